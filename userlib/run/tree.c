// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the program and its children had, together: a table that all of them
 * write to, and that the program reads when it ends.
 *
 * The table is a System V segment: children find it by its number, which is in
 * their environment, whatever descriptors they close; and since it is marked as
 * gone as soon as it is there, nothing stays of it, however they end.  The
 * program that bmem-run was given makes it, and writes its number into the
 * room that bmem-run left in the environment.
 *
 * A process takes a row when it first looks how much it has, and writes its own
 * row only, so there is nothing to lock and nothing that a process which is
 * killed could leave half done.  What it has written last holds: where it ends
 * without exit(), its peak is at least that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include "preload.h"
#include "run.h"

/* Processes after these are counted, but have no row. */
#define ROWS		1000
#define ROWS_SHOWN	5
#define MAGIC		0x626d656d74726565ULL

/**
 * struct row - a program that a process ran
 * @pid: of the process; 0 until the rest can be read
 * @ended: the peak is final
 * @peak: most bytes live at a time
 * @name: of the program
 */
struct row {
	_Atomic pid_t pid;
	_Atomic bool ended;
	_Atomic uint64_t peak;
	char name[16];
};

/**
 * struct tree - the table
 * @magic: this is one
 * @owner: process that bmem-run became
 * @nr: rows asked for, of which there are ROWS
 * @unfreed_bytes: what those had that have ended by exit()
 * @unfreed_blocks: their number
 * @rows: in the order of their first look
 */
struct tree {
	uint64_t magic;
	uint64_t owner;
	_Atomic uint32_t nr;
	_Atomic uint64_t unfreed_bytes;
	_Atomic uint64_t unfreed_blocks;
	struct row rows[ROWS];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share them");

static struct tree *tree;
/* Whose @own is, or is about to be: a child of fork() takes another. */
static _Atomic pid_t own_pid;
static _Atomic(struct row *) own;

static struct tree *attach(int id, uint64_t owner)
{
	struct tree *t = shmat(id, NULL, 0);

	if (t == (void *)-1)
		return NULL;
	if (t->magic == MAGIC && t->owner == owner)
		return t;
	shmdt(t);
	return NULL;
}

static struct tree *make(char *room, uint64_t owner)
{
	int id = shmget(IPC_PRIVATE, sizeof(struct tree), 0600), at;
	struct tree *t;

	if (id < 0)
		return NULL;
	t = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (t == (void *)-1)
		return NULL;
	t->owner = owner;
	t->magic = MAGIC;
	/* In place: setenv() would move what main() is given. */
	for (at = RUN_TREE_LEN - 1; at >= 0; at--, id /= 10)
		room[at] = (char)('0' + id % 10);
	return t;
}

/**
 * tree_set_up() - find the table, or make it
 * @owner: number of the process that bmem-run became
 *
 * Without one, as where bmem-run was not used, nothing is added up.  Where the
 * program is replaced by another with exec(), the table goes on only if a child
 * has it meanwhile.
 */
void tree_set_up(uint64_t owner)
{
	char *room = getenv(RUN_TREE);

	if (!room || strlen(room) != RUN_TREE_LEN)
		return;
	if (strcmp(room, RUN_TREE_NONE))
		tree = attach(atoi(room), owner);
	if (!tree && run.main)
		tree = make(room, owner);
}

static struct row *take_row(pid_t pid)
{
	uint32_t at = atomic_fetch_add(&tree->nr, 1);
	struct row *row;

	if (at >= ROWS)
		return NULL;
	row = &tree->rows[at];
	strncpy(row->name, program_invocation_short_name,
		sizeof(row->name) - 1);
	atomic_store(&row->pid, pid);
	return row;
}

/* NULL where there is none, and while another thread takes it. */
static struct row *own_row(void)
{
	pid_t pid = getpid(), had = atomic_load(&own_pid);
	struct row *row;

	if (had != pid && atomic_compare_exchange_strong(&own_pid, &had, pid))
		atomic_store(&own, take_row(pid));
	row = atomic_load(&own);
	return row && atomic_load(&row->pid) == pid ? row : NULL;
}

/**
 * tree_note() - how much this process had at most
 * @st: what is known now
 */
void tree_note(const struct bmem_client_stats *st)
{
	struct row *row = tree ? own_row() : NULL;

	if (row)
		atomic_store(&row->peak, st->peak_live_bytes);
}

/**
 * tree_end() - the process ends by exit()
 * @st: what is known at the end
 */
void tree_end(const struct bmem_client_stats *st)
{
	struct row *row = tree ? own_row() : NULL;

	tree_note(st);
	if (row)
		atomic_store(&row->ended, true);
	/* What a child of fork() keeps is its parent's, for the most part. */
	if (!tree || getpid() != run.pid)
		return;
	atomic_fetch_add(&tree->unfreed_bytes, st->live_bytes);
	atomic_fetch_add(&tree->unfreed_blocks, st->live_tensors);
}

/**
 * tree_others() - has any other process had a block?
 *
 * Return: true if there is something to add up.
 */
bool tree_others(void)
{
	return tree && atomic_load(&tree->nr) >
		       (atomic_load(&own_pid) == run.pid);
}

/* The largest row that is not among the @nr shown, or NULL. */
static const struct row *next_largest(const struct row **shown, uint32_t nr)
{
	uint32_t rows = atomic_load(&tree->nr), i, s;
	const struct row *best = NULL, *row;

	for (i = 0; i < rows && i < ROWS; i++) {
		row = &tree->rows[i];
		for (s = 0; s < nr && shown[s] != row; s++)
			;
		if (s == nr && atomic_load(&row->pid) &&
		    (!best || atomic_load(&row->peak) > atomic_load(&best->peak)))
			best = row;
	}
	return best;
}

static void add_row(struct text *t, const struct row *row)
{
	text_add(t, "bmem-run:     %s",
		 atomic_load(&row->ended) ? "" : "at least ");
	text_size(t, atomic_load(&row->peak));
	text_add(t, " in %.*s (pid %d)\n", (int)sizeof(row->name), row->name,
		 (int)atomic_load(&row->pid));
}

/**
 * tree_add() - what all of them had
 * @t: report to add it to
 */
void tree_add(struct text *t)
{
	const struct row *shown[ROWS_SHOWN + 1];
	uint32_t nr = atomic_load(&tree->nr), n;
	uint64_t blocks = atomic_load(&tree->unfreed_blocks);

	text_add(t, "bmem-run: %u %s in all had blocks; at most:\n", nr,
		 nr == 1 ? "process" : "processes");
	for (n = 0; n <= ROWS_SHOWN; n++) {
		shown[n] = next_largest(shown, n);
		if (!shown[n])
			break;
		if (n < ROWS_SHOWN)
			add_row(t, shown[n]);
	}
	if (n > ROWS_SHOWN) {
		text_add(t, "bmem-run:     ");
		text_size(t, atomic_load(&shown[ROWS_SHOWN]->peak));
		text_add(t, " or less in each of %u more\n", nr - ROWS_SHOWN);
	}
	text_add(t, "bmem-run: never freed by all that have ended: ");
	text_size(t, atomic_load(&tree->unfreed_bytes));
	text_add(t, " in %llu %s\n", (unsigned long long)blocks,
		 blocks == 1 ? "block" : "blocks");
}
