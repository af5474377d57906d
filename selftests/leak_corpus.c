// SPDX-License-Identifier: GPL-2.0-only
/*
 * The detectors on the corpus of leaks: what they find, what they miss, and that
 * they accuse nobody who keeps what he has.
 *
 * All programs run at the same time.  Each is scanned as its owner would have it
 * done, so often as it takes for a finding to be confirmed.  BMEM_CORPUS=NAME
 * runs the programs whose names begin so, and says what was found.
 *
 * What only grows, and is known to the program, is told by its trend.  That
 * takes eight looks a second apart before anything is said, and as long again
 * before it is told, so those that grow begin first, and those that only seem to
 * go on beside them for as long.
 *
 * Out of reach by design, and not in the corpus: pointers that are hidden on
 * purpose (XOR-ed, compressed, in parts), that are not aligned to words, and
 * that only the kernel has (epoll, io_uring).
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
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

/* Growth of less than that is not told, and that long it is waited for. */
#define GROWTH		"8000"
#define GROWTH_MS	90000

/* What the corpus has at least. */
#define LEAKING_MIN	40
#define INNOCENT_MIN	20

/* Of a hundred programs that leak so many are to be seen through. */
#define RECALL		97

/* Clients of one program. */
#define CLIENTS		3

/**
 * struct state - what a program says when it is ready
 * @id: of its clients, 0 for none
 * @lost: tensors that it has lost
 */
struct state {
	__u64 id[CLIENTS];
	unsigned int lost;
};

/**
 * struct run - a program that runs
 * @program: which
 * @pid: its process
 * @over: closed to end it
 * @state: what it said
 * @found: tensors with the label LOST that are confirmed; of growth, sites
 * @wrong: confirmed tensors, or sites, with another label
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

static __u64 bare_id(int fd)
{
	struct bmem_query q = { .size = sizeof(q) };

	return fd && !bt_query(fd, &q) ? q.client_id : 0;
}

static void ready(struct world *w)
{
	struct state st = {
		.id = { client_id(w->c), client_id(w->more), bare_id(w->bare) },
		.lost = w->lost,
	};

	if (write(w->ready, &st, sizeof(st)) != sizeof(st))
		_exit(3);
}

static __attribute__((noinline)) void tell_and_wait(struct world *w)
{
	char c;

	ready(w);
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

void go_on_stepping(struct world *w, void (*step)(struct world *w, unsigned int i))
{
	struct pollfd over = { .fd = w->over, .events = POLLIN };
	__u64 begun = bt_now_ms();
	unsigned int i = 0;

	ready(w);
	while (!poll(&over, 1, STEP_MS / 2))
		while ((__u64)i * STEP_MS <= bt_now_ms() - begun)
			step(w, i++);
}

#define AGAIN	"BMEM_CORPUS_AGAIN"

void run_again(struct world *w)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %d %d %td", w->ready, w->over, w->bare,
		 w->program - leaking);
	fcntl(w->ready, F_SETFD, 0);
	fcntl(w->over, F_SETFD, 0);
	if (w->bare)
		fcntl(w->bare, F_SETFD, 0);
	setenv(AGAIN, text, 1);
	execl("/proc/self/exe", "leak_corpus", NULL);
	_exit(3);
}

static void program_main(struct world *w)
{
	struct bmem_options o = {
		.sz = sizeof(o), .backend = BMEM_BACKEND_DEV, .label = "corpus",
	};
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ret = bmem_open(&w->c, &o);
	if (ret) {
		fprintf(stderr, "# %s: %s\n", w->program->name,
			bmem_strerror(ret));
		_exit(3);
	}
	go_on();
	scrub();
	w->program->run(w);
	_exit(0);
}

/* This is a program of the corpus that has called run_again(). */
static __attribute__((constructor)) void main_again(void)
{
	const char *text = getenv(AGAIN);
	struct world w = { .again = true };
	ptrdiff_t at;

	if (!text || sscanf(text, "%d %d %d %td", &w.ready, &w.over, &w.bare,
			    &at) != 4)
		return;
	w.program = leaking + at;
	program_main(&w);
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
		struct world w = {
			.program = p, .ready = ready[1], .over = over[0],
		};

		close(ready[0]);
		close(over[1]);
		setpgid(0, 0);
		program_main(&w);
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

static __u32 kinds_of(const struct program *p)
{
	return BMEM_LEAK_KIND(p->kind ? p->kind : BMEM_LEAK_UNREACHABLE);
}

static bool grows(const struct program *p)
{
	return p->kind == BMEM_LEAK_GROWTH;
}

static int scan(int fd, __u64 id, __u32 kinds, struct bmem_leak_scan *cmd)
{
	*cmd = (struct bmem_leak_scan){
		.size = sizeof(*cmd),
		.client_id = id,
		.kinds = kinds,
		.delay_ms = DELAY_MS,
	};
	return bt_call(fd, BMEM_LEAK_SCAN, cmd);
}

static void count_row(struct run *r, const struct bmem_leak_row *row)
{
	bool lost = !strncmp(row->label, LOST, strlen(LOST)) ||
		    !strncmp(row->label, "layer", 5) ||
		    !strncmp(row->label, "slow", 4);
	__u64 nr;

	if (verbose())
		printf("#   %s %llu of %llu bytes %llu, %llu confirmed\n",
		       row->label, row->tensors, row->id, row->bytes,
		       row->confirmed_tensors);
	if (!strncmp(row->label, "slow", 4))
		return;
	nr = grows(r->program) ? row->confirmed_tensors > 0 :
				 row->confirmed_tensors;
	if (lost)
		r->found += nr;
	else
		r->wrong += nr;
}

static int collect(int fd, __u64 id, struct run *r)
{
	struct bmem_leak_row rows[ROWS];
	struct bmem_leak_list list = {
		.size = sizeof(list),
		.client_id = id,
		.kinds = kinds_of(r->program),
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
	char growth[32];
	unsigned int nr;
	struct run runs[PROGRAMS];
};

FIXTURE_SETUP(corpus)
{
	self->fd = bt_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, bt_param("leak_age_ms", self->age, sizeof(self->age)));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", AGE));
	ASSERT_EQ(0, bt_param("growth_ms", self->growth, sizeof(self->growth)));
	ASSERT_EQ(0, bt_param_set("growth_ms", GROWTH));
}

FIXTURE_TEARDOWN(corpus)
{
	while (self->nr)
		run_stop(&self->runs[--self->nr]);
	EXPECT_EQ(0, bt_param_set("leak_age_ms", self->age));
	EXPECT_EQ(0, bt_param_set("growth_ms", self->growth));
	close(self->fd);
}

static bool wanted(const struct program *p)
{
	const char *name = getenv("BMEM_CORPUS");

	return !name || !strncmp(p->name, name, strlen(name));
}

static int scan_run(int fd, const struct run *r)
{
	struct bmem_leak_scan cmd;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < CLIENTS; i++) {
		if (!r->state.id[i])
			continue;
		ret = scan(fd, r->state.id[i], kinds_of(r->program), &cmd);
		if (ret || cmd.cut_short)
			printf("# %s: scan: %s, cut short %#x\n",
			       r->program->name, strerror(-ret), cmd.cut_short);
	}
	return ret;
}

/* Who has lost something, or says so; the rest is to be found innocent. */
static bool leaks(const struct run *r)
{
	return r->program >= leaking && r->program < leaking + nr_leaking;
}

/* What is told of a program by now; 0 or -errno. */
static int look(int fd, struct run *r)
{
	unsigned int i;
	int ret = 0;

	r->found = 0;
	r->wrong = 0;
	for (i = 0; !ret && i < CLIENTS; i++)
		if (r->state.id[i])
			ret = collect(fd, r->state.id[i], r);
	return ret;
}

/* Until all is told that grows and leaks; 0 or -errno. */
static int judge_growth(int fd, struct run *runs, unsigned int nr)
{
	__u64 begun = bt_now_ms();
	bool more = true;
	unsigned int i;
	int ret = 0;

	while (!ret && more && bt_now_ms() - begun < GROWTH_MS) {
		more = false;
		for (i = 0; !ret && i < nr; i++) {
			if (!grows(runs[i].program))
				continue;
			ret = scan_run(fd, &runs[i]);
			ret = ret ? ret : look(fd, &runs[i]);
			more |= leaks(&runs[i]) && !runs[i].found;
		}
		if (more)
			usleep(4 * PAUSE_MS * 1000);
	}
	printf("# growth was waited for, for %llu ms\n", bt_now_ms() - begun);
	return ret;
}

/* All rounds of all programs' clients; 0, or an errno of which it tells. */
static int judge(int fd, struct run *runs, unsigned int nr)
{
	unsigned int round, i;
	int ret = 0;

	for (round = 0; round < ROUNDS; round++) {
		usleep(PAUSE_MS * 1000);
		for (i = 0; !ret && i < nr; i++)
			ret = scan_run(fd, &runs[i]);
		if (ret)
			return ret;
	}
	ret = judge_growth(fd, runs, nr);
	for (i = 0; !ret && i < nr; i++)
		if (!grows(runs[i].program))
			ret = look(fd, &runs[i]);
	return ret;
}

static int start_all(struct run *runs, unsigned int *nr,
		     const struct program *programs, unsigned int nr_programs,
		     bool growing)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr_programs; i++) {
		if (!wanted(&programs[i]) || grows(&programs[i]) != growing)
			continue;
		ret = run_start(&runs[(*nr)++], &programs[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* Of so many that leak, how many are seen through?  Nobody else is accused. */
static unsigned int verdict(struct __test_metadata *_metadata,
			    const struct run *runs, unsigned int nr,
			    unsigned int *found)
{
	unsigned int i, guilty = 0, accused = 0;
	__u64 lost = 0, seen = 0;

	*found = 0;
	for (i = 0; i < nr; i++) {
		const struct run *r = &runs[i];
		bool wrong = r->wrong || r->found > r->state.lost;

		EXPECT_FALSE(wrong) TH_LOG("accused: %s", r->program->name);
		EXPECT_EQ(leaks(r), r->state.lost > 0);
		accused += wrong;
		guilty += leaks(r);
		*found += r->found > 0;
		lost += r->state.lost;
		seen += r->found;
		if (r->found < r->state.lost)
			TH_LOG("%llu of %u found: %s", r->found, r->state.lost,
			       r->program->name);
	}
	printf("# %u of %u programs that leak were seen through, %llu of %llu tensors; %u of %u were accused\n",
	       *found, guilty, seen, lost, accused, nr);
	return guilty;
}

TEST_F_TIMEOUT(corpus, leaks_are_found, BT_SLOW)
{
	unsigned int found, nr;

	ASSERT_EQ(0, start_all(self->runs, &self->nr, leaking, nr_leaking, true));
	ASSERT_EQ(0, start_all(self->runs, &self->nr, innocent, nr_innocent, true));
	ASSERT_EQ(0, start_all(self->runs, &self->nr, leaking, nr_leaking, false));
	ASSERT_EQ(0, judge(self->fd, self->runs, self->nr));
	nr = verdict(_metadata, self->runs, self->nr, &found);
	EXPECT_LE(RECALL * nr, 100 * found);
}

TEST_F_TIMEOUT(corpus, nobody_is_accused, BT_SLOW)
{
	unsigned int found;

	ASSERT_EQ(0, start_all(self->runs, &self->nr, innocent, nr_innocent, false));
	ASSERT_EQ(0, judge(self->fd, self->runs, self->nr));
	verdict(_metadata, self->runs, self->nr, &found);
	EXPECT_EQ(0, found);
}

TEST(size)
{
	printf("# %u programs leak, %u do not\n", nr_leaking, nr_innocent);
	EXPECT_LE(LEAKING_MIN, nr_leaking);
	EXPECT_LE(INNOCENT_MIN, nr_innocent);
}

TEST_HARNESS_MAIN
