// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of leaks: to programs by LEAK_LIST, to people by the file "leaks",
 * which takes the words that kmemleak's takes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/kstrtox.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bmem_private.h"
#include "seqlist.h"

/* Rows that are made in one hold of a client's lock. */
#define ROWS_BATCH	32

/* ---- LEAK_LIST ----------------------------------------------------------------- */

/**
 * struct listing - one LEAK_LIST under way
 * @cmd: the call
 * @kinds: BMEM_LEAK_KIND()s
 * @told: rows written
 * @rows: a batch
 */
struct listing {
	struct bmem_leak_list *cmd;
	u32 kinds;
	u32 told;
	struct bmem_leak_row rows[ROWS_BATCH];
};

static void totals_add(struct listing *l, const struct leak_table *table)
{
	u32 kind;

	l->cmd->cleared += table->cleared;
	l->cmd->cut_short |= table->cut_short & l->kinds;
	for (kind = 0; kind < LEAK_KINDS; kind++)
		if (l->kinds & BMEM_LEAK_KIND(kind))
			l->cmd->dropped += table->dropped[kind];
}

/* Rows from the cursor on, which moves to the last. */
static int batch_tell(struct listing *l, struct bmem_client *client, u32 nr)
{
	struct bmem_leak_list *cmd = l->cmd;
	u32 i;
	int rc;

	for (i = 0; i < nr; i++) {
		l->rows[i].pid = bmem_client_pid(client);
		rc = bmem_row_tell(cmd->rows, l->told, cmd->row_size,
				   &l->rows[i], sizeof(l->rows[i]));
		if (rc)
			return rc;
		cmd->cursor = l->rows[i].id;
		l->told++;
	}
	return 0;
}

/* Until the client's end or that of the array. */
static int list_client(struct listing *l, struct bmem_client *client,
		       unsigned int *tries)
{
	struct bmem_leak_list *cmd = l->cmd;
	u32 nr, want;
	int rc;

	do {
		want = min_t(u32, cmd->nr - l->told, ROWS_BATCH);
		rc = bmem_client_lock(client, tries);
		if (rc)
			return rc;
		if (cmd->cursor_client != client->who.id)
			totals_add(l, &client->leaks);
		nr = bmem_leak_rows(client, cmd->cursor, l->kinds, l->rows,
				    want);
		mutex_unlock(&client->lock);
		cmd->cursor_client = client->who.id;
		rc = batch_tell(l, client, nr);
		if (rc)
			return rc;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (nr == want && l->told < cmd->nr);
	return 0;
}

static int list_all(struct listing *l)
{
	struct bmem_leak_list *cmd = l->cmd;
	u64 id = cmd->cursor_client, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;
	bool all = bmem_sees_all();
	struct bmem_client *client;
	int rc;

	/* First what is left of the one that the last call ended at. */
	if (id)
		id--;
	while (l->told < cmd->nr && (client = bmem_client_next(id, last))) {
		id = client->who.id;
		rc = 0;
		if (cmd->cursor_client != id)
			cmd->cursor = 0;
		if (bmem_sees(&client->who, all))
			rc = list_client(l, client, &tries);
		bmem_client_put(client);
		if (rc && rc != -EBUSY && rc != -ENOENT)
			return rc;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static int list_check(const struct bmem_leak_list *cmd)
{
	if (cmd->flags & ~BMEM_LEAK_LIST_ALL || cmd->__reserved ||
	    cmd->__reserved2)
		return -EOPNOTSUPP;
	if (cmd->kinds & ~LEAK_ALL ||
	    (cmd->flags & BMEM_LEAK_LIST_ALL && cmd->client_id))
		return -EINVAL;
	return bmem_rows_check(cmd->nr, cmd->row_size,
			       offsetofend(struct bmem_leak_row, label));
}

static int list_run(struct bmem_client *self, struct listing *l)
{
	struct bmem_client *client;
	int rc;

	if (l->cmd->flags & BMEM_LEAK_LIST_ALL)
		return list_all(l);
	client = bmem_client_visible(self, l->cmd->client_id);
	if (!client)
		return -ENOENT;
	rc = list_client(l, client, NULL);
	bmem_client_put(client);
	return rc;
}

/**
 * bmem_leak_list() - BMEM_LEAK_LIST
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_leak_list(struct bmem_client *self, struct bmem_leak_list *cmd)
{
	struct listing *l;
	int rc = list_check(cmd);

	if (rc)
		return rc;
	l = kzalloc(sizeof(*l), GFP_BMEM_META);
	if (!l)
		return -ENOMEM;
	l->cmd = cmd;
	l->kinds = cmd->kinds ?: LEAK_ALL;
	cmd->cleared = 0;
	cmd->dropped = 0;
	cmd->cut_short = 0;
	rc = list_run(self, l);
	cmd->nr = l->told;
	kfree(l);
	return rc;
}

/* ---- the file: reading ------------------------------------------------------------ */

/**
 * struct leaks_iter - where a reader of "leaks" is
 * @list: where in the batch
 * @after: number of the last finding of the batch
 * @suspected: findings shown that are suspected
 * @confirmed: findings shown that are confirmed
 * @cleared: as in struct bmem_leak_list, of the clients so far
 * @dropped: likewise
 * @cut_short: likewise
 * @tgid: process of the client
 * @comm: its name
 * @row: the batch
 */
struct leaks_iter {
	struct seqlist list;
	u64 after;
	u64 suspected;
	u64 confirmed;
	u64 cleared;
	u64 dropped;
	u32 cut_short;
	pid_t tgid;
	char comm[TASK_COMM_LEN];
	struct bmem_leak_row row[ROWS_BATCH];
};

static void iter_begin(struct leaks_iter *iter, struct bmem_client *client)
{
	const struct leak_table *table = &client->leaks;
	u32 kind;

	iter->tgid = client->who.tgid;
	strscpy(iter->comm, client->who.comm, sizeof(iter->comm));
	iter->cleared += table->cleared;
	iter->cut_short |= table->cut_short;
	for (kind = 0; kind < LEAK_KINDS; kind++)
		iter->dropped += table->dropped[kind];
}

/* All of a batch is shown before the totals are. */
static void iter_count(struct leaks_iter *iter)
{
	u32 i;

	for (i = 0; i < iter->list.nr; i++) {
		if (iter->row[i].state == BMEM_LEAK_CONFIRMED)
			iter->confirmed++;
		else
			iter->suspected++;
	}
}

static void leaks_fill(struct seqlist *list, struct bmem_client *client,
		       bool begin)
{
	struct leaks_iter *iter = container_of(list, struct leaks_iter, list);

	if (begin)
		iter->after = 0;
	if (bmem_client_lock(client, &list->tries))
		return;
	if (begin)
		iter_begin(iter, client);
	list->nr = bmem_leak_rows(client, iter->after, LEAK_ALL, iter->row,
				  ROWS_BATCH);
	mutex_unlock(&client->lock);
	iter_count(iter);
	if (list->nr)
		iter->after = iter->row[list->nr - 1].id;
}

static const struct seqlist_type leaks_type = {
	.size = sizeof(struct leaks_iter),
	.totals = true,
	.fill = leaks_fill,
};

static const char * const evidences[] = {
	"no-reference", "in-cycle", "behind", "no-pointer", "unchanged",
	"trend",
};

static void show_evidence(struct seq_file *m, u32 evidence)
{
	const char *comma = "";
	unsigned int i;

	if (!evidence)
		seq_putc(m, '-');
	for (i = 0; i < ARRAY_SIZE(evidences); i++) {
		if (!(evidence & BIT(i)))
			continue;
		seq_printf(m, "%s%s", comma, evidences[i]);
		comma = ",";
	}
}

static void show_totals(struct seq_file *m, const struct leaks_iter *iter)
{
	const char *comma = "";
	u32 kind;

	seq_printf(m, "# suspected %llu confirmed %llu cleared %llu dropped %llu cut_short ",
		   iter->suspected, iter->confirmed, iter->cleared,
		   iter->dropped);
	if (!iter->cut_short)
		seq_putc(m, '-');
	for (kind = 0; kind < LEAK_KINDS; kind++) {
		if (!(iter->cut_short & BMEM_LEAK_KIND(kind)))
			continue;
		seq_printf(m, "%s%s", comma, bmem_leak_name(kind));
		comma = ",";
	}
	seq_putc(m, '\n');
}

static const char *state_name(u32 state)
{
	return state == BMEM_LEAK_CONFIRMED ? "confirmed" : "suspected";
}

static int leaks_show(struct seq_file *m, void *v)
{
	const struct leaks_iter *iter = v;
	const struct bmem_leak_row *row;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# id client tgid comm kind state site tensors bytes confirmed_tensors confirmed_bytes oldest_ms first_seen_ms checked_ms slope confidence evidence frames fragmentation label\n");
		return 0;
	}
	if (iter->list.end) {
		show_totals(m, iter);
		return 0;
	}
	row = &iter->row[iter->list.at];
	seq_printf(m, "%llu %llu %d ", row->id, row->client_id, iter->tgid);
	bmem_show_name(m, iter->comm);
	seq_printf(m, " %s %s %u %llu %llu %llu %llu %llu %llu %llu %llu %u ",
		   bmem_leak_name(row->kind), state_name(row->state),
		   row->site, row->tensors, row->bytes, row->confirmed_tensors,
		   row->confirmed_bytes, row->oldest_ms, row->first_seen_ms,
		   row->checked_ms, row->slope, row->confidence);
	show_evidence(m, row->evidence);
	seq_printf(m, " %u %u ", row->nr_frames, row->fragmentation);
	bmem_show_name(m, row->label);
	seq_putc(m, '\n');
	return 0;
}

/* ---- the file: writing ---------------------------------------------------------------- */

/* Longest period, in seconds: a month. */
#define PERIOD_MAX	(31U * 24 * 60 * 60)

/* Forgets what has been found of all clients. */
static int forget_all(bool ignore)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;
	int rc = 0;

	while (rc != -EINTR && (client = bmem_client_next(id, last))) {
		id = client->who.id;
		rc = bmem_client_lock(client, NULL);
		if (!rc) {
			bmem_leaks_forget(client, ignore);
			mutex_unlock(&client->lock);
		}
		bmem_client_put(client);
		cond_resched();
	}
	return rc == -EINTR ? rc : 0;
}

/* The finding with a number; its client, locked and referenced, or NULL. */
static struct bmem_client *finding_find(u64 finding, struct bmem_leak_row *row)
{
	u64 id = 0, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;
	struct bmem_client *client;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		if (!bmem_client_lock(client, &tries)) {
			if (bmem_leak_rows(client, finding - 1, LEAK_ALL, row,
					   1) && row->id == finding)
				return client;
			mutex_unlock(&client->lock);
		}
		bmem_client_put(client);
		if (fatal_signal_pending(current))
			return NULL;
		cond_resched();
	}
	return NULL;
}

static void dump_site(struct bmem_client *client, u32 id)
{
	const struct site *site = bmem_site_find(client, id);
	u32 i;

	for (i = 0; site && site->frames && i < site->frames->nr; i++)
		pr_info("  frame %u: program file %u + %#llx\n", i,
			site->frames->at[i].module, site->frames->at[i].offset);
}

static void dump_samples(struct bmem_client *client,
			 const struct bmem_leak_row *row)
{
	struct bmem_tensor t;
	u32 i;

	for (i = 0; i < row->nr_samples; i++) {
		if (!bmem_tensor_find(client, row->samples[i], &t))
			continue;
		pr_info("  tensor %#llx: offset %#llx, %llu bytes, age %llu ms\n",
			t.handle, t.offset, t.bytes, t.age_ms);
	}
}

/* To the log, as kmemleak does it. */
static int dump(const char *number)
{
	struct bmem_leak_row *row;
	struct bmem_client *client;
	u64 finding;
	int rc;

	rc = kstrtou64(number, 0, &finding);
	if (rc || !finding)
		return -EINVAL;
	row = kzalloc(sizeof(*row), GFP_KERNEL);
	if (!row)
		return -ENOMEM;
	client = finding_find(finding, row);
	if (client) {
		pr_info("finding %llu: %s %s, client %llu, site %u, %llu bytes in %llu tensors\n",
			row->id, state_name(row->state),
			bmem_leak_name(row->kind), row->client_id, row->site,
			row->bytes, row->tensors);
		dump_samples(client, row);
		dump_site(client, row->site);
		mutex_unlock(&client->lock);
		bmem_client_put(client);
	}
	kfree(row);
	return client ? 0 : -ENOENT;
}

static int set_period(const char *number)
{
	unsigned int seconds;
	int rc;

	rc = kstrtouint(number, 0, &seconds);
	if (rc || seconds > PERIOD_MAX)
		return -EINVAL;
	bmem_leaks_period(seconds);
	return 0;
}

static int obey(const char *word)
{
	if (!strcmp(word, "scan"))
		return bmem_leaks_scan_all();
	if (!strcmp(word, "clear"))
		return forget_all(true);
	if (!strcmp(word, "off"))
		return bmem_leaks_off() ?: forget_all(false);
	if (!strcmp(word, "on")) {
		bmem_leaks_on();
		return 0;
	}
	if (!strncmp(word, "scan=", 5))
		return set_period(word + 5);
	if (!strncmp(word, "dump=", 5))
		return dump(word + 5);
	return -EINVAL;
}

static ssize_t leaks_write(struct file *file, const char __user *from,
			   size_t nr, loff_t *pos)
{
	char buffer[64], *word;
	int rc;

	word = bmem_get_word(from, nr, buffer, sizeof(buffer));
	rc = PTR_ERR_OR_ZERO(word) ?: obey(word);
	return rc ?: nr;
}

DEFINE_SEQLIST(leaks, .write = leaks_write);

/**
 * bmem_leaklist_debugfs() - make the file
 * @dir: where
 */
void bmem_leaklist_debugfs(struct dentry *dir)
{
	debugfs_create_file("leaks", 0600, dir, NULL, &leaks_fops);
}
