// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A private client over fork(): two processes, each with all of it, and
 * neither with anything of the other's.
 */
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "child.h"
#include "client.h"

#define TENSORS		300
#define THREADS		4
#define FORKS		20

extern char **environ;

/* Each process has its own: this is ordinary memory. */
static unsigned char *held[2][TENSORS];
static struct bmem_client *c;

static struct bmem_client *client_private(void)
{
	struct bmem_options o = {
		.flags = BMEM_OPEN_PRIVATE,
		.max_bytes = LIMIT,
	};

	return client_with(&o);
}

static size_t size_of(size_t i)
{
	if (i == 7)
		return 5 * MIB + 100;
	return i % 10 ? 1 + i * 53 % 9000 : 40000 + i * 100;
}

static int value_of(size_t i, int seed)
{
	return (int)((2 * i + (size_t)seed) % 251);
}

static bool fill(int set, int seed)
{
	size_t i;

	for (i = 0; i < TENSORS; i++) {
		held[set][i] = bmem_alloc(c, size_of(i), 0, 0, NULL);
		if (!held[set][i])
			return false;
		memset(held[set][i], value_of(i, seed), size_of(i));
	}
	return true;
}

static void paint(int set, int seed)
{
	size_t i;

	for (i = 0; i < TENSORS; i++)
		memset(held[set][i], value_of(i, seed), size_of(i));
}

static bool whole(int set, int seed)
{
	size_t i;

	for (i = 0; i < TENSORS; i++)
		if (!all_are(held[set][i], (unsigned char)value_of(i, seed),
			     size_of(i)))
			return false;
	return true;
}

static bool drain(int set)
{
	size_t i;

	for (i = 0; i < TENSORS; i++)
		if (bmem_free(c, held[set][i]) ||
		    bmem_free(c, held[set][i]) != -ENOENT)
			return false;
	return true;
}

static bool stats_are(uint64_t tensors, uint64_t granted)
{
	struct bmem_client_stats st = stats_of(c);

	return st.live_tensors == tensors && st.granted_bytes == granted;
}

/* Slots that the module had in nobody gets in the child of its client. */
static bool empty(void)
{
	bool lost = !strcmp(bmem_backend_name(c), "memfd") && on_dev();

	return !bmem_flush(c) &&
	       stats_are(0, lost ? stats_of(c).granted_bytes : 0);
}

static uint64_t sum_of_sizes(void)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < TENSORS; i++)
		sum += size_of(i);
	return sum;
}

static void set_up(void)
{
	c = client_private();
}

static void tear_down(void)
{
	EQ(bmem_flush(c), 0);
	LIVE(c, 0, 0);
	EQ(stats_of(c).granted_bytes, 0);
	EQ(stats_of(c).slots, 0);
	bmem_close(c);
}

/* The child changes, frees and allocates all that it can. */
static int child_turns_all_over(void)
{
	struct bmem_client_stats st = stats_of(c);

	if (st.live_tensors != TENSORS || st.live_bytes != sum_of_sizes())
		return 1;
	if (!whole(0, 0))
		return 2;
	paint(0, 100);
	if (!fill(1, 50) || !whole(0, 100) || !whole(1, 50))
		return 3;
	if (!drain(0) || !whole(1, 50) || !drain(1))
		return 4;
	return empty() ? 0 : 5;
}

static void each_has_its_own(void **state)
{
	struct bmem_client_stats before, after;

	(void)state;
	set_up();
	IS(fill(0, 0));
	before = stats_of(c);
	EQ(in_child(child_turns_all_over).status, 0);
	after = stats_of(c);
	/* Nothing of it is seen here. */
	IS(whole(0, 0));
	EQ(after.live_tensors, before.live_tensors);
	EQ(after.live_bytes, before.live_bytes);
	EQ(after.granted_bytes, before.granted_bytes);
	EQ(after.attached_bytes, before.attached_bytes);
	EQ(after.client_id, before.client_id);
	IS(drain(0));
	tear_down();
}

/* The parent goes on while the child looks; each waits for the other. */
static void both_at_a_time(void **state)
{
	int there[2], back[2], status;
	char byte = 0;
	pid_t pid;

	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(pipe(there), 0);
	EQ(pipe(back), 0);
	pid = fork();
	IS(pid >= 0);
	if (!pid) {
		paint(0, 10);
		if (write(there[1], &byte, 1) != 1 ||
		    read(back[0], &byte, 1) != 1)
			_exit(1);
		_exit(whole(0, 10) && fill(1, 20) && whole(0, 10) && drain(0) &&
		      drain(1) && empty() ? 0 : 2);
	}
	EQ(read(there[0], &byte, 1), 1);
	IS(whole(0, 0));
	paint(0, 30);
	IS(fill(1, 40));
	IS(drain(0));
	EQ(write(back[1], &byte, 1), 1);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	IS(whole(1, 40));
	IS(drain(1));
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	tear_down();
}

static int client_ids(void)
{
	static uint64_t of_parent;

	if (!of_parent) {
		of_parent = stats_of(c).client_id;
		return in_child(client_ids).status;
	}
	return stats_of(c).client_id != of_parent ? 0 : 1;
}

static void has_its_own_name(void **state)
{
	(void)state;
	set_up();
	EQ(client_ids(), 0);
	tear_down();
}

static int generation;

static int child_of_child(void)
{
	int mine = ++generation;

	if (!whole(0, mine - 1))
		return 1;
	paint(0, mine);
	if (generation < 4 && in_child(child_of_child).status)
		return 2;
	if (!whole(0, mine) || !drain(0))
		return 3;
	return empty() ? 0 : 4;
}

static void children_of_children(void **state)
{
	(void)state;
	set_up();
	IS(fill(0, 0));
	generation = 0;
	EQ(in_child(child_of_child).status, 0);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

static int child_closes(void)
{
	if (!drain(0))
		return 1;
	bmem_close(c);
	return 0;
}

static void closed_by_one(void **state)
{
	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(in_child(child_closes).status, 0);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

static int child_resizes(void)
{
	size_t i, n;
	unsigned char *p;

	for (i = 0; i < TENSORS; i++) {
		n = size_of(i);
		p = bmem_realloc(c, held[0][i], 3 * n, 0);
		if (!p || !all_are(p, (unsigned char)value_of(i, 0), n))
			return 1;
		if (bmem_free(c, p))
			return 2;
	}
	return empty() ? 0 : 3;
}

static void resized(void **state)
{
	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(in_child(child_resizes).status, 0);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/* ---- threads ---- */

static pthread_barrier_t idle, done;

static void *leave_idle(void *arg)
{
	unsigned char *p[TENSORS];
	size_t i;

	for (i = 0; i < TENSORS; i++)
		p[i] = bmem_alloc(c, size_of(i), 0, 0, NULL);
	for (i = 0; i < TENSORS; i++)
		if (!p[i] || bmem_free(c, p[i]))
			arg = NULL;
	pthread_barrier_wait(&idle);
	pthread_barrier_wait(&done);
	return arg;
}

/* What threads kept that are not here is used, and comes back. */
static int child_without_threads(void)
{
	uint64_t before = stats_of(c).granted_bytes;

	if (!before)
		return 1;
	if (!whole(0, 0) || !fill(1, 9) || !whole(0, 0) || !whole(1, 9))
		return 2;
	if (!drain(0) || !drain(1))
		return 3;
	return empty() ? 0 : 4;
}

static void idle_of_other_threads(void **state)
{
	pthread_t t[THREADS];
	void *ret;
	size_t i;

	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(pthread_barrier_init(&idle, NULL, THREADS + 1), 0);
	EQ(pthread_barrier_init(&done, NULL, THREADS + 1), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_create(&t[i], NULL, leave_idle, t), 0);
	pthread_barrier_wait(&idle);
	EQ(in_child(child_without_threads).status, 0);
	EQ(in_child(child_without_threads).status, 0);
	pthread_barrier_wait(&done);
	for (i = 0; i < THREADS; i++) {
		EQ(pthread_join(t[i], &ret), 0);
		IS(ret == t);
	}
	pthread_barrier_destroy(&idle);
	pthread_barrier_destroy(&done);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

static atomic_bool stop;

static size_t forks(void)
{
	return test_under("valgrind") ? 3 : FORKS;
}

static void *keep_busy(void *arg)
{
	unsigned char *p[16] = { NULL };
	size_t i, n, at, seed = (size_t)arg;

	/* From 8 to TENSORS: without the one that takes long to write. */
	for (i = seed; !atomic_load(&stop); i++) {
		sched_yield();
		at = i * 7 % COUNT(p);
		if (p[at]) {
			if (p[at][0] != (unsigned char)at || bmem_free(c, p[at]))
				return NULL;
		}
		n = size_of(8 + i % (TENSORS - 8));
		p[at] = bmem_alloc(c, n, 0, 0, NULL);
		if (!p[at])
			return NULL;
		memset(p[at], (int)at, n);
	}
	for (at = 0; at < COUNT(p); at++)
		if (p[at] && (p[at][0] != (unsigned char)at ||
			      bmem_free(c, p[at])))
			return NULL;
	return arg;
}

/*
 * What the threads have live is live here for ever.  What is new must lie on
 * none of it: all of it is counted, and has records.
 */
static int child_of_busy(void)
{
	struct bmem_client_stats st = stats_of(c);
	uint64_t live = st.live_tensors - TENSORS;
	int i;

	if (st.live_tensors < TENSORS || !whole(0, 0))
		return 1;
	for (i = 0; i < 3; i++)
		if (!fill(1, i) || !whole(0, 0) || !whole(1, i) || !drain(1))
			return 2;
	if (!drain(0) || bmem_flush(c))
		return 3;
	st = stats_of(c);
	return st.live_tensors == live ? 0 : 4;
}

static void under_load(void **state)
{
	pthread_t t[2];
	void *ret;
	size_t i;

	(void)state;
	set_up();
	IS(fill(0, 0));
	atomic_store(&stop, false);
	for (i = 0; i < COUNT(t); i++)
		EQ(pthread_create(&t[i], NULL, keep_busy, (void *)(i + 1)), 0);
	for (i = 0; i < forks(); i++)
		EQ(in_child(child_of_busy).status, 0);
	atomic_store(&stop, true);
	for (i = 0; i < COUNT(t); i++) {
		EQ(pthread_join(t[i], &ret), 0);
		IS(ret == (void *)(i + 1));
	}
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/* At this level no record tells what is live. */
static void under_load_without_records(void **state)
{
	pthread_t t[2];
	void *ret;
	size_t i;
	int status;

	(void)state;
	set_up();
	EQ(bmem_set_level(c, BMEM_LEVEL_OFF), 0);
	IS(fill(0, 0));
	atomic_store(&stop, false);
	for (i = 0; i < COUNT(t); i++)
		EQ(pthread_create(&t[i], NULL, keep_busy, (void *)(i + 1)), 0);
	for (i = 0; i < forks(); i++) {
		pid_t pid = fork();

		IS(pid >= 0);
		if (!pid)
			_exit(fill(1, 3) && whole(0, 0) && whole(1, 3) &&
			      !bmem_flush(c) && whole(1, 3) ? 0 : 1);
		EQ(waitpid(pid, &status, 0), pid);
		EQ(status, 0);
	}
	atomic_store(&stop, true);
	for (i = 0; i < COUNT(t); i++) {
		EQ(pthread_join(t[i], &ret), 0);
		IS(ret == (void *)(i + 1));
	}
	IS(whole(0, 0));
	for (i = 0; i < TENSORS; i++)
		EQ(bmem_free(c, held[0][i]), 0);
	EQ(bmem_flush(c), 0);
	bmem_close(c);
}

static void *only_forks(void *arg)
{
	return in_child(child_turns_all_over).status ? NULL : arg;
}

static void in_a_thread_without_cache(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(pthread_create(&t, NULL, only_forks, c), 0);
	EQ(pthread_join(t, &ret), 0);
	IS(ret == c);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/* ---- odd places ---- */

static void forks_at_exit(void)
{
	_exit(in_child(child_turns_all_over).status);
}

static int child_exits(void)
{
	atexit(forks_at_exit);
	exit(77);
}

static void in_an_exit_handler(void **state)
{
	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(in_child(child_exits).status, 0);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

static volatile sig_atomic_t signals, is_child;
static pid_t of_signals[FORKS];

static void forks_in_signal(int sig)
{
	int saved = errno;
	pid_t pid;

	(void)sig;
	if (signals < FORKS && !is_child) {
		pid = fork();
		if (!pid)
			is_child = 1;
		else
			of_signals[signals++] = pid;
	}
	errno = saved;
}

/*
 * The signal comes at any moment of what the thread does; the child goes on
 * with that.
 */
static void in_a_signal_handler(void **state)
{
	struct sigaction sa = { .sa_handler = forks_in_signal }, was;
	struct itimerval once = { .it_value.tv_usec = 1 };
	int i, status;

	(void)state;
	/* It holds signals back, and a lock that was interrupted is a cycle. */
	if (test_under("tsan"))
		skip();
	set_up();
	IS(fill(0, 0));
	signals = 0;
	is_child = 0;
	EQ(sigaction(SIGALRM, &sa, &was), 0);
	for (i = 0; i < FORKS && !is_child; i++) {
		once.it_value.tv_usec = 1 + i * 97;
		EQ(setitimer(ITIMER_REAL, &once, NULL), 0);
		while (signals <= i && !is_child)
			if (!fill(1, 5) || !whole(1, 5) || !drain(1) ||
			    bmem_flush(c))
				_exit(2);
	}
	if (is_child)
		_exit(whole(0, 0) && fill(1, 6) && whole(0, 0) &&
		      whole(1, 6) && drain(0) && drain(1) && empty() ? 0 : 1);
	EQ(sigaction(SIGALRM, &was, NULL), 0);
	EQ(signals, FORKS);
	for (i = 0; i < FORKS; i++) {
		EQ(waitpid(of_signals[i], &status, 0), of_signals[i]);
		EQ(status, 0);
	}
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/* Neither copies anything, nor minds. */
static void spawned(void **state)
{
	char *argv[] = { (char *)"true", NULL };
	int status;
	pid_t pid;

	(void)state;
	set_up();
	IS(fill(0, 0));
	EQ(posix_spawnp(&pid, "true", NULL, NULL, argv, environ), 0);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/*
 * A thread that stays in the dynamic linker whenever it asks there, with the
 * linker's lock, which a child cannot get if fork() comes then.
 */
typedef int (*phdr_fn)(struct dl_phdr_info *info, size_t size, void *arg);
int __real_dl_iterate_phdr(phdr_fn fn, void *arg);
int __wrap_dl_iterate_phdr(phdr_fn fn, void *arg);

struct ask {
	phdr_fn fn;
	void *arg;
	bool slept;
};

static __thread bool slow;
static _Atomic uint32_t asked;
static atomic_bool asking;

static int sleep_first(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct timespec while_forking = { .tv_nsec = 20000000 };
	struct ask *a = arg;

	if (!a->slept) {
		a->slept = true;
		atomic_store(&asking, true);
		nanosleep(&while_forking, NULL);
		atomic_store(&asking, false);
	}
	return a->fn(info, size, a->arg);
}

int __wrap_dl_iterate_phdr(phdr_fn fn, void *arg)
{
	struct ask a = { .fn = fn, .arg = arg };

	if (!slow)
		return __real_dl_iterate_phdr(fn, arg);
	atomic_fetch_add(&asked, 1);
	return __real_dl_iterate_phdr(sleep_first, &a);
}

static atomic_bool named;

static void *name_new_sites(void *arg)
{
	char label[32];
	int i;

	(void)arg;
	slow = true;
	for (i = 0; i < 5; i++) {
		snprintf(label, sizeof(label), "new %d", i);
		bmem_free(c, bmem_alloc(c, 100, 0, 0, label));
	}
	slow = false;
	atomic_store(&named, true);
	return NULL;
}

/* A site that is new asks the linker. */
static int child_asks_the_linker(void)
{
	/* A child that waits for ever is ended. */
	alarm(60);
	bmem_free(c, bmem_alloc(c, 100, 0, 0, "the child's"));
	return 0;
}

static void while_the_linker_is_asked(void **state)
{
	pthread_t t;

	(void)state;
	set_up();
	atomic_store(&named, false);
	EQ(pthread_create(&t, NULL, name_new_sites, NULL), 0);
	while (!atomic_load(&named)) {
		if (atomic_load(&asking))
			EQ(in_child(child_asks_the_linker).status, 0);
		else
			sched_yield();
	}
	EQ(pthread_join(t, NULL), 0);
	IS(atomic_load(&asked));
	tear_down();
}

/* Better no memory than its parent's. */
static int child_without_room(void)
{
	/* cmocka would take it for a failure of the test. */
	signal(SIGSEGV, SIG_DFL);
	if (bmem_alloc(c, 100, 0, 0, NULL) || bmem_alloc(c, MIB, 0, 0, NULL))
		return 1;
	if (bmem_free(c, held[0][0]) != -ENOENT || !bmem_owns(c, held[0][0]))
		return 2;
	*(volatile unsigned char *)held[0][0] = 1;
	return 3;
}

static void no_room_for_a_copy(void **state)
{
	struct rlimit was, low;
	unsigned long pages;
	struct child ch;
	FILE *statm;

	(void)state;
	if (!on_dev())
		skip();
	set_up();
	IS(fill(0, 0));
	EQ(getrlimit(RLIMIT_AS, &was), 0);
	/* Room for all but another space. */
	statm = fopen("/proc/self/statm", "r");
	IS(statm);
	EQ(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	low.rlim_cur = pages * PAGE + 64 * MIB;
	low.rlim_max = was.rlim_max;
	EQ(setrlimit(RLIMIT_AS, &low), 0);
	ch = in_child(child_without_room);
	EQ(setrlimit(RLIMIT_AS, &was), 0);
	EQ(ch.status, 1000 + SIGSEGV);
	IS(whole(0, 0));
	IS(drain(0));
	tear_down();
}

/* Clients of both kinds at once: the shared one stays shared. */
static int child_of_both(void)
{
	struct bmem_client *other = c;
	unsigned char *p = held[1][0], *q = held[1][1];

	if (*p != 1 || *q != 1)
		return 1;
	*p = 2;
	*q = 2;
	if (bmem_free(other, p))
		return 2;
	return 0;
}

static void beside_a_shared_one(void **state)
{
	struct bmem_client *shared = client();

	(void)state;
	set_up();
	held[1][0] = bmem_alloc(c, PAGE, 0, 0, NULL);
	held[1][1] = bmem_alloc(shared, PAGE, 0, 0, NULL);
	IS(held[1][0] && held[1][1]);
	*held[1][0] = 1;
	*held[1][1] = 1;
	EQ(in_child(child_of_both).status, 0);
	EQ(*held[1][0], 1);
	EQ(*held[1][1], 2);
	EQ(bmem_free(c, held[1][0]), 0);
	EQ(bmem_free(shared, held[1][1]), 0);
	bmem_close(shared);
	tear_down();
}

static const struct CMUnitTest tests[] = {
	TEST(each_has_its_own),
	TEST(both_at_a_time),
	TEST(has_its_own_name),
	TEST(children_of_children),
	TEST(closed_by_one),
	TEST(resized),
	TEST(idle_of_other_threads),
	TEST(under_load),
	TEST(under_load_without_records),
	TEST(in_a_thread_without_cache),
	TEST(in_an_exit_handler),
	TEST(in_a_signal_handler),
	TEST(spawned),
	TEST(while_the_linker_is_asked),
	TEST(no_room_for_a_copy),
	TEST(beside_a_shared_one),
};

TEST_MAIN(tests)
