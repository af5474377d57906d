// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan while the process that it reads does all that a process
 * can do: nobody is accused, nothing is faulted in, and users see their own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"

#define TENSORS		64
#define AGE		"1"
#define DELAY_MS	1
/* How long a stress goes on, in seconds: BMEM_STRESS_S is for more. */
#define STRESS_S	4

/**
 * struct target - a process whose client is scanned
 * @c: its client
 * @roots: shared with the test: where its pointers are, and its client's id
 */
struct target {
	struct bt_client c;
	struct roots {
		volatile __u64 id;
		volatile __u64 turns;
		void *volatile at[TENSORS];
	} *roots;
};

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

FIXTURE(scan) {
	int fd;
	char age[32];
	struct roots *roots;
};

FIXTURE_SETUP(scan)
{
	self->fd = bt_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, bt_param("leak_age_ms", self->age, sizeof(self->age)));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", AGE));
	self->roots = mmap(NULL, sizeof(*self->roots), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->roots);
}

FIXTURE_TEARDOWN(scan)
{
	munmap(self->roots, sizeof(*self->roots));
	EXPECT_EQ(0, bt_param_set("leak_age_ms", self->age));
	close(self->fd);
}

/* A client of a process: tensors that have records, as libbmem's do. */
static int target_open(struct target *t, struct roots *roots)
{
	struct bmem_alloc_entry e = { 0 };
	unsigned int i;
	int ret = bt_client_open(&t->c, BMEM_POOL_DEFAULT);

	t->roots = roots;
	for (i = 0; !ret && i < TENSORS; i++) {
		e = (struct bmem_alloc_entry){
			.bytes = 5000 * (1 + i % 7), .site = 1,
			.flags = BMEM_ALLOC_RECORD,
		};
		ret = bt_alloc(t->c.fd, &e, 1, NULL);
		if (!ret)
			roots->at[i] = t->c.map + e.offset;
	}
	if (!ret)
		roots->id = t->c.id;
	return ret;
}

/* ---- what targets do ----------------------------------------------------------- */

static void *more_memory(size_t bytes)
{
	char *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		_exit(3);
	return m;
}

static void map_and_unmap(void)
{
	char *m = more_memory(BT_MIB);

	memset(m, 1, BT_MIB);
	munmap(m + 4096, BT_MIB / 2);
	munmap(m, BT_MIB);
}

static void move_around(void)
{
	char *m = more_memory(BT_MIB), *to = more_memory(2 * BT_MIB);

	memset(m, 1, BT_MIB);
	to = mremap(m, BT_MIB, BT_MIB, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (to == MAP_FAILED || mprotect(to, 4096, PROT_READ))
		_exit(3);
	munmap(to, 2 * BT_MIB);
}

static void split_huge(void)
{
	char *m = more_memory(6 * BT_MIB);

	madvise(m, 6 * BT_MIB, MADV_HUGEPAGE);
	memset(m, 1, 6 * BT_MIB);
	madvise(m + 3 * BT_MIB, 4096, MADV_DONTNEED);
	mprotect(m + 2 * BT_MIB, 4096, PROT_READ);
	madvise(m, 6 * BT_MIB, MADV_PAGEOUT);
	munmap(m, 6 * BT_MIB);
}

/*
 * What is reclaimed where there is no swap: clean pages of files, and memory
 * that is not needed any more.
 */
static void reclaim(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *m = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *idle = more_memory(BT_MIB);

	if (m == MAP_FAILED)
		_exit(3);
	m[0]++;
	memset(idle, 1, BT_MIB);
	madvise(idle, BT_MIB, MADV_FREE);
	madvise(idle, BT_MIB, MADV_PAGEOUT);
	*(volatile char *)(m + 8192);
	madvise(m, 16384, MADV_PAGEOUT);
	*(volatile char *)(m + 8192);
	munmap(idle, BT_MIB);
	munmap(m, 16384);
	close(fd);
}

static void fork_and_exit(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* Whoever is to kill it may be killed first: it does not stay without him. */
static void yield_below(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		sched_yield();
	_exit(0);
}

static void fork_and_kill(void)
{
	pid_t self = getpid(), pid = fork();

	if (!pid)
		yield_below(self);
	usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void fork_and_exec(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(3);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		_exit(3);
}

static void *nothing(void *arg)
{
	return arg;
}

static void thread_and_join(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, nothing, NULL))
		_exit(3);
	pthread_join(t, NULL);
}

static void (*const acts[])(void) = {
	map_and_unmap, move_around, split_huge, reclaim, fork_and_exit,
	fork_and_kill, fork_and_exec, thread_and_join,
};

static int act_forever(void *arg)
{
	struct target t;
	unsigned int i;

	if (target_open(&t, arg))
		return 1;
	for (i = 0;; i++) {
		acts[i % ARRAY_SIZE(acts)]();
		t.roots->turns++;
	}
	return 0;
}

static int live_shortly(void *arg)
{
	struct target t;
	__u64 seed = getpid();

	if (target_open(&t, arg))
		return 1;
	usleep(bt_random(&seed) % 20000);
	if (bt_random(&seed) % 2)
		return 0;
	execl("/bin/true", "true", NULL);
	return 1;
}

static __u64 stress_ms(void)
{
	const char *env = getenv("BMEM_STRESS_S");

	return 1000ULL * (env ? strtoul(env, NULL, 0) : STRESS_S);
}

/* How many huge mappings were taken apart so far; ~0 where there are none. */
static __u64 huge_splits(void)
{
	char *text = bt_read_file("/proc/vmstat");
	char *at = text ? strstr(text, "\nthp_split_pmd ") : NULL;
	__u64 nr = at ? strtoull(strchr(at, ' '), NULL, 10) : ~0ULL;

	free(text);
	return nr;
}

TEST_F_TIMEOUT(scan, target_does_all_it_can, BT_SLOW)
{
	__u64 end, scans = 0, whole = 0, splits = huge_splits();
	struct bmem_leak_scan cmd;
	pid_t pid;

	pid = bt_spawn(act_forever, self->roots);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(BT_WAIT(self->roots->turns, 20000));
	/* For so long, and until it has done everything twice, and some were whole. */
	for (end = bt_now_ms() + stress_ms();
	     bt_now_ms() < end || self->roots->turns < 2 * ARRAY_SIZE(acts) || !whole;
	     scans++) {
		ASSERT_EQ(0, scan(self->fd, self->roots->id, &cmd));
		EXPECT_EQ(0, cmd.confirmed);
		whole += !cmd.cut_short;
	}
	printf("# %llu scans, %llu whole, of a process that did %llu things\n",
	       scans, whole, self->roots->turns);
	EXPECT_LT(0, whole);
	/* It was a huge page that it split. */
	EXPECT_LT(splits, huge_splits());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* It ends, or becomes another program, at any moment of a scan. */
TEST_F_TIMEOUT(scan, target_ends, BT_SLOW)
{
	__u64 end, scans = 0, gone = 0;
	struct bmem_leak_scan cmd;
	pid_t pid;
	int ret;

	/* For so long, and until one has been scanned before it ended. */
	for (end = bt_now_ms() + stress_ms(); bt_now_ms() < end || scans == gone;) {
		self->roots->id = 0;
		pid = bt_spawn(live_shortly, self->roots);
		ASSERT_LT(0, pid);
		ASSERT_TRUE(BT_WAIT(self->roots->id, 20000));
		do {
			ret = scan(self->fd, self->roots->id, &cmd);
			scans++;
			if (!ret)
				EXPECT_EQ(0, cmd.confirmed);
			if (scans % 7 == 0)
				kill(pid, SIGKILL);
		} while (!ret);
		EXPECT_EQ(-ENOENT, ret);
		gone++;
		waitpid(pid, NULL, 0);
	}
	printf("# %llu scans of %llu processes that ended\n", scans, gone);
}

/* ---- what a scan leaves alone ---------------------------------------------------- */

static int sleep_sparse(void *arg)
{
	struct target t;
	char *m = mmap(NULL, 1UL << 42, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int i;

	if (m == MAP_FAILED || target_open(&t, arg))
		return 1;
	for (i = 0; i < 64; i++)
		m[(unsigned long)i << 36] = 1;
	t.roots->turns = 1;
	for (;;)
		pause();
}

static __u64 status_kib(pid_t pid, const char *key)
{
	char path[64], *text, *at;
	__u64 kib = ~0ULL;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	text = bt_read_file(path);
	at = text ? strstr(text, key) : NULL;
	if (at)
		kib = strtoull(at + strlen(key), NULL, 10);
	free(text);
	return kib;
}

/* All: a page that the test writes to ceases to be shared with its child. */
static __u64 dirty_kib(pid_t pid)
{
	return status_kib(pid, "Private_Dirty:") + status_kib(pid, "Shared_Dirty:");
}

TEST_F_TIMEOUT(scan, nothing_is_faulted_in_or_dirtied, BT_SLOW)
{
	struct bmem_leak_scan cmd;
	__u64 rss, dirty, start;
	pid_t pid;

	pid = bt_spawn(sleep_sparse, self->roots);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(BT_WAIT(self->roots->turns, 20000));
	/* It goes to sleep, and touches nothing any more. */
	ASSERT_TRUE(BT_WAIT(bt_task_state(pid) == 'S', BT_SOON));
	rss = status_kib(pid, "Rss:");
	dirty = dirty_kib(pid);
	ASSERT_NE(~0ULL, rss);
	start = bt_now_ms();
	ASSERT_EQ(0, scan(self->fd, self->roots->id, &cmd));
	EXPECT_EQ(0, cmd.cut_short);
	/* 4 TiB, of which 64 pages are there. */
	EXPECT_GT(5000, bt_now_ms() - start);
	EXPECT_EQ(rss, status_kib(pid, "Rss:"));
	EXPECT_EQ(dirty, dirty_kib(pid));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- who shares the process's memory ------------------------------------------------ */

#define PHASES		20
#define PHASE_MS	120
#define ATTEMPTS	4
#define SAMPLES		65536
#define PRESENT		(48 * BT_MIB)

enum { QUIET, SCANNED, OVER };

/**
 * struct stall - how long mmap() and munmap() took in a process
 * @roots: as a target has them
 * @phase: what goes on meanwhile
 * @nr: samples, by phase
 * @ns: these
 */
struct stall {
	struct roots roots;
	volatile int phase;
	volatile unsigned int nr[2];
	__u32 ns[2][SAMPLES];
};

static int map_and_measure(void *arg)
{
	struct stall *st = arg;
	struct target t;
	__u64 begin;
	int phase;
	char *m;

	if (target_open(&t, &st->roots))
		return 1;
	memset(more_memory(PRESENT), 1, PRESENT);
	st->roots.turns = 1;
	while ((phase = st->phase) != OVER) {
		begin = bt_now_ns();
		m = more_memory(4 * BT_PAGE);
		munmap(m, 4 * BT_PAGE);
		begin = bt_now_ns() - begin;
		if (phase == st->phase && st->nr[phase] < SAMPLES)
			st->ns[phase][st->nr[phase]++] = begin;
	}
	return 0;
}

static int by_length(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static __u32 percentile(const struct stall *st, int phase, unsigned int percent)
{
	static __u32 sorted[SAMPLES];
	unsigned int nr = st->nr[phase];

	memcpy(sorted, st->ns[phase], nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), by_length);
	return nr ? sorted[(__u64)nr * percent / 100] : 0;
}

/* Reads memory, as a scan does. */
static void compute(void)
{
	static __u64 memory[BT_MIB / sizeof(__u64)];
	volatile __u64 sum = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(memory); i++)
		sum += memory[i];
}

/*
 * In turns: the process is scanned, or somebody else is as busy, so that what is
 * compared is not how many processors there are.
 */
static int measure(int fd, struct stall *st)
{
	struct bmem_leak_scan cmd;
	__u64 end;
	int i, ret;

	st->nr[QUIET] = 0;
	st->nr[SCANNED] = 0;
	for (i = 0; i < PHASES; i++) {
		st->phase = i % 2;
		for (end = bt_now_ms() + PHASE_MS; bt_now_ms() < end;) {
			if (i % 2 == QUIET) {
				compute();
				continue;
			}
			ret = scan(fd, st->roots.id, &cmd);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* On a host that is busy some attempts say nothing; one that is not is enough. */
TEST_F_TIMEOUT(scan, nobody_waits_for_long, BT_SLOW)
{
	struct stall *st = mmap(NULL, sizeof(*st), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	__u32 quiet = 0, scanned = 1;
	unsigned int i;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, st);
	pid = bt_spawn(map_and_measure, st);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(BT_WAIT(st->roots.turns, 20000));
	for (i = 0; i < ATTEMPTS && scanned > 2 * quiet; i++) {
		ASSERT_EQ(0, measure(self->fd, st));
		quiet = percentile(st, QUIET, 99);
		scanned = percentile(st, SCANNED, 99);
		printf("# mmap() and munmap(): median %u ns, p99 %u ns (%u samples); while scanned %u ns, %u ns (%u)\n",
		       percentile(st, QUIET, 50), quiet, st->nr[QUIET],
		       percentile(st, SCANNED, 50), scanned, st->nr[SCANNED]);
	}
	EXPECT_LE(100, st->nr[SCANNED]);
	EXPECT_GE(2 * quiet, scanned);
	st->phase = OVER;
	waitpid(pid, NULL, 0);
	munmap(st, sizeof(*st));
}

/* ---- what the worker does ------------------------------------------------------------ */

static __u64 confirmed(int fd, __u32 *cut_short)
{
	struct bmem_leak_row row = { 0 };
	struct bmem_leak_list list = {
		.size = sizeof(list),
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE),
		.row_size = sizeof(row),
		.nr = 1,
		.rows = (uintptr_t)&row,
	};

	if (bt_call(fd, BMEM_LEAK_LIST, &list))
		return ~0ULL;
	*cut_short = list.cut_short;
	return row.confirmed_tensors;
}

/*
 * A tensor that no word ever led to, behind one that the mapping's address leads
 * to.  Younger than leak_age_ms, it is suspected by a scan that was asked not to
 * mind, and the worker, who minds, looks at it again: in a moment it does not
 * come to the end, in all the time that it needs it confirms it.
 */
TEST_F_TIMEOUT(scan, worker_gives_up, BT_SLOW)
{
	struct bmem_leak_scan cmd = {
		.size = sizeof(cmd), .flags = BMEM_LEAK_SCAN_AGE,
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE),
		.delay_ms = 8000,
	};
	struct bmem_alloc_entry e[2] = {
		{ .bytes = 5000, .site = 1, .flags = BMEM_ALLOC_RECORD },
		{ .bytes = 6000, .site = 1, .flags = BMEM_ALLOC_RECORD },
	};
	char delay[32], limit[32], *m = more_memory(PRESENT);
	struct bt_client c;
	__u32 cut = 0;

	ASSERT_EQ(0, bt_param("leak_delay_ms", delay, sizeof(delay)));
	ASSERT_EQ(0, bt_param("leak_round_ms", limit, sizeof(limit)));
	ASSERT_EQ(0, bt_client_open(&c, BMEM_POOL_DEFAULT));
	ASSERT_EQ(0, bt_alloc(c.fd, e, 2, NULL));
	memset(m, 1, PRESENT);
	EXPECT_EQ(0, bt_param_set("leak_age_ms", "3600000"));
	EXPECT_EQ(0, bt_param_set("leak_delay_ms", "50"));
	EXPECT_EQ(-EINVAL, bt_param_set("leak_round_ms", "9"));
	EXPECT_EQ(0, bt_param_set("leak_round_ms", "10"));
	ASSERT_EQ(0, bt_call(c.fd, BMEM_LEAK_SCAN, &cmd));
	ASSERT_EQ(0, bt_call(c.fd, BMEM_LEAK_SCAN, &cmd));
	EXPECT_EQ(0, cmd.cut_short);
	EXPECT_EQ(1, cmd.suspected);
	EXPECT_TRUE(BT_WAIT(confirmed(c.fd, &cut) == 0 && cut, 30000));
	EXPECT_EQ(0, bt_param_set("leak_round_ms", limit));
	EXPECT_TRUE(BT_WAIT(confirmed(c.fd, &cut) == 1, 60000));
	EXPECT_EQ(0, cut);
	EXPECT_EQ(0, bt_param_set("leak_delay_ms", delay));
	bt_client_close(&c);
	munmap(m, PRESENT);
}

/* Pages that read as zero and cost no more than their entries in page tables. */
#define EMPTY		(bt_debug_kernel() ? 2 * BT_GIB : 8 * BT_GIB)

/* Does a worker look for leaks?  The kernel names each by what it is at. */
static bool worker_looks(void)
{
	char path[300], *comm;
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool looks = false;

	while (dir && !looks && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		comm = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ?
		       bt_read_file(path) : NULL;
		looks = comm && strstr(comm, "+bmem_leak");
		free(comm);
	}
	if (dir)
		closedir(dir);
	return looks;
}

/*
 * The worker is at a process that it takes long for: whoever switches it off does
 * not wait for that.  The worker rests as long as it works, so it takes it twice
 * as long as who asks for a scan.
 */
TEST_F_TIMEOUT(scan, off_ends_it, BT_SLOW)
{
	struct bmem_leak_scan cmd;
	__u64 start, whole, took;
	struct bt_client c;
	char limit[32], *m;

	m = mmap(NULL, EMPTY, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, m);
	ASSERT_EQ(0, madvise(m, EMPTY, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, madvise(m, EMPTY, MADV_POPULATE_READ));
	ASSERT_EQ(0, bt_param("leak_round_ms", limit, sizeof(limit)));
	ASSERT_EQ(0, bt_client_open(&c, BMEM_POOL_DEFAULT));
	start = bt_now_ms();
	ASSERT_EQ(0, scan(c.fd, 0, &cmd));
	whole = bt_now_ms() - start;
	EXPECT_EQ(0, cmd.cut_short);
	EXPECT_EQ(0, bt_param_set("leak_round_ms", "3600000"));
	EXPECT_EQ(0, bt_write_file(BT_DEBUGFS "/leaks", "scan=1"));
	EXPECT_TRUE(BT_WAIT(worker_looks(), BT_SOON));
	usleep(200000);
	start = bt_now_ms();
	EXPECT_EQ(0, bt_write_file(BT_DEBUGFS "/leaks", "off"));
	took = bt_now_ms() - start;
	EXPECT_TRUE(BT_WAIT(!worker_looks(), BT_SOON));
	printf("# a scan takes %llu ms, the end of the worker's %llu ms\n", whole, took);
	EXPECT_GT(whole, took);
	EXPECT_EQ(0, bt_write_file(BT_DEBUGFS "/leaks", "scan=0"));
	EXPECT_EQ(0, bt_write_file(BT_DEBUGFS "/leaks", "on"));
	EXPECT_EQ(0, bt_param_set("leak_round_ms", limit));
	bt_client_close(&c);
	munmap(m, EMPTY);
}

/* ---- whose memory may be read ------------------------------------------------------ */

static int sleep_as_root(void *arg)
{
	struct target t;

	if (target_open(&t, arg))
		return 1;
	for (;;)
		pause();
}

struct stranger {
	char path[64];
	__u64 theirs;
	int out;
};

/*
 * A user's client that another user's process maps, too: he has leaked all of
 * it, and is not told, since what that process knows is not his to see.
 */
static int user_scans(void *arg)
{
	struct stranger *s = arg;
	struct bmem_leak_scan cmd;
	struct bmem_alloc_entry e = {
		.bytes = 5000, .site = 1, .flags = BMEM_ALLOC_RECORD,
	};
	int fd, result[3], fds[2], over[2];
	char byte;
	pid_t pid;

	if (pipe(fds) || pipe(over))
		return 1;
	fd = open(s->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 2;
	pid = fork();
	if (!pid) {
		/* Stays root; who was its parent cannot kill it, but can end. */
		close(over[1]);
		if (!bt_map(fd, 0, BT_HUGE) || write(fds[1], "", 1) != 1)
			_exit(1);
		_exit(read(over[0], &byte, 1) != 0);
	}
	if (read(fds[0], &byte, 1) != 1 || bt_become(BT_NOBODY, BT_NOBODY, -1))
		return 3;
	result[0] = scan(fd, s->theirs, &cmd);
	if (!bt_map(fd, 0, BT_HUGE) || bt_alloc(fd, &e, 1, NULL))
		return 4;
	usleep(20000);
	result[1] = scan(fd, 0, &cmd) ?: (int)cmd.cut_short;
	usleep(20000);
	result[2] = scan(fd, 0, &cmd) ?: (int)cmd.suspected;
	if (write(s->out, result, sizeof(result)) != sizeof(result))
		return 5;
	return 0;
}

TEST_F(scan, users_see_their_own)
{
	struct stranger s;
	int fds[2], result[3] = { 0 };
	pid_t pid;

	pid = bt_spawn(sleep_as_root, self->roots);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(BT_WAIT(self->roots->id, 20000));
	s.theirs = self->roots->id;
	ASSERT_EQ(0, pipe(fds));
	s.out = fds[1];
	ASSERT_EQ(0, bt_lend_device(s.path, sizeof(s.path)));
	EXPECT_EQ(0, bt_in_child(user_scans, &s));
	unlink(s.path);
	ASSERT_EQ(sizeof(result), read(fds[0], result, sizeof(result)));
	EXPECT_EQ(-ENOENT, result[0]);
	EXPECT_EQ(BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE), result[1]);
	EXPECT_EQ(0, result[2]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_HARNESS_MAIN
