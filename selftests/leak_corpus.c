// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan on the corpus of leaks: what it finds, what it misses,
 * and that it accuses nobody who keeps what he has.
 *
 * All programs run at the same time.  Each is scanned as its owner would have it
 * done, so often as it takes for a finding to be confirmed.  BMEM_CORPUS=NAME
 * runs the programs whose names begin so, and says what was found.
 *
 * Out of reach by design, and not in the corpus: pointers that are hidden on
 * purpose (XOR-ed, compressed, in parts), that are not aligned to words, and
 * that only the kernel has (epoll, io_uring).
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"
#include "leak_corpus.h"

#define PROGRAMS	128
#define ROUNDS		4
/* Ages and delays of a test, in milliseconds. */
#define AGE		"200"
#define DELAY_MS	100
#define PAUSE_MS	250
#define ROWS		64

/* Of a hundred programs that leak so many are to be seen through. */
#define RECALL		97

/**
 * struct state - what a program says when it is ready
 * @id: of its clients, 0 for none
 * @lost: tensors that it has lost
 */
struct state {
	__u64 id[2];
	unsigned int lost;
};

/**
 * struct run - a program that runs
 * @program: which
 * @pid: its process
 * @over: closed to end it
 * @state: what it said
 * @found: tensors with the label LOST that are confirmed
 * @wrong: confirmed tensors with another label
 */
struct run {
	const struct program *program;
	pid_t pid;
	int over;
	struct state state;
	__u64 found;
	__u64 wrong;
};

/* ---- in the program's process ---------------------------------------------------- */

static bool verbose(void)
{
	return getenv("BMEM_CORPUS");
}

void *get(struct world *w, size_t size, const char *label)
{
	char *p = bmem_alloc(w->c, size, 0, 0, label);

	if (!p) {
		fprintf(stderr, "# out of memory\n");
		_exit(3);
	}
	/* What was there before is not the program's. */
	memset(p, 0, size < 65536 ? size : 65536);
	return p;
}

__attribute__((noinline)) void scrub(void)
{
	volatile char dirt[16 * 1024];

	memset((char *)dirt, 0, sizeof(dirt));
	__asm__ volatile("" ::"r"(dirt) : "memory");
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) void go_on(void)
{
	char text[64];
	int v[50], i;

	for (i = 0; i < 50; i++)
		v[i] = (i * 7919) % 101;
	qsort(v, 50, sizeof(*v), by_value);
	snprintf(text, sizeof(text), "%d %g", v[7], 1.0 / (v[9] + 1));
	if (strtod(text, NULL) < 0)
		_exit(3);
	scrub();
}

static __u64 client_id(struct bmem_client *c)
{
	struct bmem_query q = { .size = sizeof(q) };

	return c && !bmem_query(c, &q) ? q.client_id : 0;
}

static __attribute__((noinline)) void tell_and_wait(struct world *w)
{
	struct state st = {
		.id = { client_id(w->c), client_id(w->more) },
		.lost = w->lost,
	};
	char c;

	if (write(w->ready, &st, sizeof(st)) != sizeof(st))
		_exit(3);
	if (read(w->over, &c, 1) < 0)
		_exit(3);
}

void settle(struct world *w)
{
	go_on();
	scrub();
	tell_and_wait(w);
	__asm__ volatile("" ::: "memory");
}

static void program_main(const struct program *p, int ready, int over)
{
	struct bmem_options o = {
		.sz = sizeof(o), .backend = BMEM_BACKEND_DEV, .label = "corpus",
	};
	struct world w = { .ready = ready, .over = over };
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	ret = bmem_open(&w.c, &o);
	if (ret) {
		fprintf(stderr, "# %s: %s\n", p->name, bmem_strerror(ret));
		_exit(3);
	}
	go_on();
	scrub();
	p->run(&w);
	_exit(0);
}

/* ---- the judge --------------------------------------------------------------------- */

static int run_start(struct run *r, const struct program *p)
{
	int ready[2], over[2];

	r->program = p;
	if (pipe2(ready, O_CLOEXEC) || pipe2(over, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	r->pid = fork();
	if (r->pid < 0)
		return -errno;
	if (!r->pid) {
		close(ready[0]);
		close(over[1]);
		program_main(p, ready[1], over[0]);
	}
	close(ready[1]);
	close(over[0]);
	r->over = over[1];
	if (read(ready[0], &r->state, sizeof(r->state)) != sizeof(r->state)) {
		fprintf(stderr, "# %s: did not get ready\n", p->name);
		close(ready[0]);
		return -EPROTO;
	}
	close(ready[0]);
	return 0;
}

static void run_stop(struct run *r)
{
	close(r->over);
	kill(-r->pid, SIGKILL);
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
}

static int scan(int fd, __u64 id, struct bmem_leak_scan *cmd)
{
	*cmd = (struct bmem_leak_scan){
		.size = sizeof(*cmd),
		.client_id = id,
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE),
		.delay_ms = DELAY_MS,
	};
	return bt_call(fd, BMEM_LEAK_SCAN, cmd);
}

static void count_row(struct run *r, const struct bmem_leak_row *row)
{
	bool lost = !strncmp(row->label, LOST, strlen(LOST)) ||
		    !strncmp(row->label, "layer", 5) ||
		    !strncmp(row->label, "slow", 4);

	if (verbose())
		printf("#   %s %llu of %llu bytes %llu, %llu confirmed\n",
		       row->label, row->tensors, row->id, row->bytes,
		       row->confirmed_tensors);
	if (!strncmp(row->label, "slow", 4))
		return;
	if (lost)
		r->found += row->confirmed_tensors;
	else
		r->wrong += row->confirmed_tensors;
}

static int collect(int fd, __u64 id, struct run *r)
{
	struct bmem_leak_row rows[ROWS];
	struct bmem_leak_list list = {
		.size = sizeof(list),
		.client_id = id,
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE),
		.row_size = sizeof(*rows),
		.nr = ROWS,
		.rows = (uintptr_t)rows,
	};
	unsigned int i;
	int ret = bt_call(fd, BMEM_LEAK_LIST, &list);

	if (ret)
		return ret;
	for (i = 0; i < list.nr; i++)
		count_row(r, &rows[i]);
	return list.cut_short ? -EAGAIN : 0;
}

FIXTURE(corpus) {
	int fd;
	char age[32];
	unsigned int nr;
	struct run runs[PROGRAMS];
};

FIXTURE_SETUP(corpus)
{
	self->fd = bt_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, bt_param("leak_age_ms", self->age, sizeof(self->age)));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", AGE));
}

FIXTURE_TEARDOWN(corpus)
{
	while (self->nr)
		run_stop(&self->runs[--self->nr]);
	EXPECT_EQ(0, bt_param_set("leak_age_ms", self->age));
	close(self->fd);
}

static bool wanted(const struct program *p)
{
	const char *name = getenv("BMEM_CORPUS");

	return !name || !strncmp(p->name, name, strlen(name));
}

/* All rounds of all programs' clients; 0, or an errno of which it tells. */
static int judge(int fd, struct run *runs, unsigned int nr)
{
	struct bmem_leak_scan cmd;
	unsigned int round, i, k;
	int ret;

	for (round = 0; round < ROUNDS; round++) {
		usleep(PAUSE_MS * 1000);
		for (i = 0; i < 2 * nr; i++) {
			k = i / 2;
			if (!runs[k].state.id[i % 2])
				continue;
			ret = scan(fd, runs[k].state.id[i % 2], &cmd);
			if (!ret && !cmd.cut_short)
				continue;
			printf("# %s: scan: %s, cut short %#x\n",
			       runs[k].program->name, strerror(-ret),
			       cmd.cut_short);
			if (ret)
				return ret;
		}
	}
	for (i = 0; i < nr; i++) {
		for (k = 0; k < 2; k++)
			if (runs[i].state.id[k])
				collect(fd, runs[i].state.id[k], &runs[i]);
	}
	return 0;
}

static int start_all(struct run *runs, unsigned int *nr,
		     const struct program *programs, unsigned int nr_programs)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr_programs; i++) {
		if (!wanted(&programs[i]))
			continue;
		ret = run_start(&runs[(*nr)++], &programs[i]);
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F_TIMEOUT(corpus, leaks_are_found, BT_SLOW)
{
	unsigned int i, found = 0;
	__u64 lost = 0, seen = 0;

	ASSERT_EQ(0, start_all(self->runs, &self->nr, leaking, nr_leaking));
	ASSERT_EQ(0, judge(self->fd, self->runs, self->nr));
	for (i = 0; i < self->nr; i++) {
		const struct run *r = &self->runs[i];

		EXPECT_EQ(0, r->wrong) TH_LOG("accused: %s", r->program->name);
		EXPECT_GE(r->state.lost, r->found)
			TH_LOG("accused: %s", r->program->name);
		found += r->found > 0;
		lost += r->state.lost;
		seen += r->found;
		if (r->found != r->state.lost)
			TH_LOG("%llu of %u found: %s", r->found, r->state.lost,
			       r->program->name);
	}
	printf("# %u of %u programs that leak were seen through, %llu of %llu tensors\n",
	       found, self->nr, seen, lost);
	EXPECT_LE(RECALL * self->nr, 100 * found);
}

TEST_F_TIMEOUT(corpus, nobody_is_accused, BT_SLOW)
{
	unsigned int i, accused = 0;

	ASSERT_EQ(0, start_all(self->runs, &self->nr, innocent, nr_innocent));
	ASSERT_EQ(0, judge(self->fd, self->runs, self->nr));
	for (i = 0; i < self->nr; i++) {
		const struct run *r = &self->runs[i];

		EXPECT_EQ(0, r->found + r->wrong)
			TH_LOG("accused: %s", r->program->name);
		accused += r->found + r->wrong > 0;
	}
	printf("# %u of %u programs that leak nothing were accused\n", accused,
	       self->nr);
}

TEST_HARNESS_MAIN
