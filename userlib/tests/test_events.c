// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Events: handlers, threads, event loops, and what fork() and close make of
 * them.  On the device the pool has no limit that a test may fill, so pressure
 * is the fallback's here.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "child.h"
#include "client.h"

#define SMALL		(16 * MIB)
#define FAILED		BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED)
#define PRESSURE	BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE)

static struct bmem_client *c;

/* What a handler saw. */
struct seen {
	atomic_uint calls;
	atomic_uint lost;
	struct bmem_event last;
	pthread_t thread;
};

static void see(struct bmem_client *client, const struct bmem_event *e,
		void *arg)
{
	struct seen *s = arg;

	(void)client;
	s->last = *e;
	s->thread = pthread_self();
	atomic_fetch_add(&s->lost, (unsigned int)e->lost);
	atomic_fetch_add(&s->calls, 1);
}

/* The same where several threads are in it. */
static void tally(struct bmem_client *client, const struct bmem_event *e,
		  void *arg)
{
	struct seen *s = arg;

	(void)client;
	atomic_fetch_add(&s->lost, (unsigned int)e->lost);
	atomic_fetch_add(&s->calls, 1);
}

/* An event at will: what is larger than everything. */
static void happen(size_t mark)
{
	assert_null(bmem_alloc(c, (1UL << 39) + mark * PAGE, 0, 0, NULL));
	EQ(errno, EFBIG);
}

static size_t mark_of(const struct bmem_event *e)
{
	return (e->bytes - (1UL << 39)) / PAGE;
}

/* Dispatches until @want calls were made; on the device that takes a moment. */
static void until(struct seen *s, unsigned int want)
{
	while (atomic_load(&s->calls) < want)
		IS(bmem_events_dispatch(c, 10000) > 0);
	EQ(atomic_load(&s->calls), want);
}

static void handler_is_called(void **state)
{
	struct seen s = { 0 }, other = { 0 };
	struct bmem_events st = { .size = sizeof(st) };

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, NULL, NULL), -EINVAL);
	EQ(bmem_on_event(c, 0, see, &s), -ENOENT);
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	EQ(bmem_events_dispatch(c, 0), 0);
	happen(3);
	until(&s, 1);
	EQ(s.last.type, BMEM_EVENT_ALLOC_FAILED);
	EQ(s.last.size, sizeof(s.last));
	EQ(mark_of(&s.last), 3);
	EQ(s.last.arg, EFBIG);
	EQ(s.last.lost, 0);
	IS(pthread_equal(s.thread, pthread_self()));

	/* Each handler by its own mask; the same one twice is one. */
	EQ(bmem_on_event(c, PRESSURE, see, &other), 0);
	EQ(bmem_on_event(c, FAILED | PRESSURE, see, &s), 0);
	happen(4);
	until(&s, 2);
	EQ(atomic_load(&other.calls), 0);
	EQ(bmem_events_status(c, &st), 0);
	EQ(st.mask, FAILED | PRESSURE);
	EQ(st.waiting, 0);
	EQ(bmem_on_event(c, 0, see, &s), 0);
	EQ(bmem_on_event(c, 0, see, &s), -ENOENT);
	happen(5);
	EQ(bmem_events_dispatch(c, 0), 0);
	EQ(atomic_load(&s.calls), 2);
	EQ(bmem_on_event(c, 0, see, &other), 0);
	bmem_close(c);
}

static void handlers_are_bounded(void **state)
{
	struct seen s[BMEM_HANDLERS_MAX + 1] = { 0 };
	unsigned int i;

	(void)state;
	c = client();
	for (i = 0; i < BMEM_HANDLERS_MAX; i++)
		EQ(bmem_on_event(c, FAILED, see, &s[i]), 0);
	EQ(bmem_on_event(c, FAILED, see, &s[i]), -ENOSPC);
	happen(1);
	until(&s[BMEM_HANDLERS_MAX - 1], 1);
	for (i = 0; i < BMEM_HANDLERS_MAX; i++)
		EQ(atomic_load(&s[i].calls), 1);
	/* What is refused changes nothing. */
	EQ(bmem_on_event(c, 1ULL << 63, see, &s[0]), -EOPNOTSUPP);
	EQ(bmem_events_want(c, 1), -EOPNOTSUPP);
	happen(2);
	until(&s[0], 2);
	EQ(bmem_on_event(c, 0, see, &s[3]), 0);
	EQ(bmem_on_event(c, FAILED, see, &s[i]), 0);
	happen(3);
	until(&s[i], 1);
	EQ(atomic_load(&s[3].calls), 2);
	bmem_close(c);
}

static void read_without_handlers(void **state)
{
	struct bmem_event e[20];
	unsigned int i;

	(void)state;
	c = client();
	EQ(bmem_events_want(c, FAILED), 0);
	EQ(bmem_events_read(c, e, 20, 0), 0);
	EQ(bmem_events_read(c, e, 0, 0), -EINVAL);
	for (i = 0; i < 3; i++)
		happen(i);
	for (i = 0; i < 3; i++) {
		EQ(bmem_events_read(c, e, 1, 10000), 1);
		EQ(mark_of(e), i);
	}
	EQ(bmem_events_read(c, e, 1, 1), 0);
	bmem_close(c);
}

/* Bounded, and what was lost is told. */
static void never_dispatches(void **state)
{
	struct seen s = { 0 };
	struct bmem_events st = { .size = sizeof(st) };
	unsigned int i;

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	for (i = 1; i <= 1000; i++)
		happen(i);
	EQ(bmem_events_status(c, &st), 0);
	IS(st.waiting <= BMEM_EVENTS_MAX);
	IS(st.waiting);
	if (!on_dev())
		EQ(st.waiting, BMEM_EVENTS_MAX);
	EQ(st.waiting + st.lost, 1000);
	until(&s, st.waiting);
	EQ(atomic_load(&s.calls) + atomic_load(&s.lost), 1000);
	EQ(mark_of(&s.last), 1000);
	bmem_close(c);
}

static void program_has_its_loop(void **state)
{
	struct seen s = { 0 };
	struct pollfd p = { .events = POLLIN };

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	p.fd = bmem_events_fd(c);
	IS(p.fd >= 0);
	EQ(poll(&p, 1, 0), 0);
	happen(1);
	EQ(poll(&p, 1, 10000), 1);
	EQ(p.revents, POLLIN);
	EQ(bmem_events_dispatch(c, 0), 1);
	EQ(poll(&p, 1, 0), 0);
	bmem_close(c);
}

/* ---- what a handler may do ----------------------------------------------------- */

static int nested, removed;

static void busy_handler(struct bmem_client *client, const struct bmem_event *e,
			 void *arg)
{
	void *p = bmem_alloc(client, 100000, 0, 0, "in a handler");

	(void)e;
	assert_non_null(p);
	nested = bmem_events_dispatch(client, 0);
	EQ(bmem_free(client, p), 0);
	EQ(bmem_trim(client, 0, 0, NULL), 0);
	removed = bmem_on_event(client, 0, busy_handler, arg);
}

static void handler_may_allocate(void **state)
{
	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, busy_handler, NULL), 0);
	happen(1);
	EQ(bmem_events_dispatch(c, 10000), 1);
	EQ(nested, -EBUSY);
	EQ(removed, 0);
	happen(2);
	EQ(bmem_events_dispatch(c, 0), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

/* ---- pressure: collect garbage, try again --------------------------------------- */

#define GARBAGE	6

struct runtime {
	void *garbage[GARBAGE];
	atomic_uint nr;
	unsigned int highest;
};

static void collect(struct bmem_client *client, const struct bmem_event *e,
		    void *arg)
{
	struct runtime *r = arg;

	if (e->level > r->highest)
		r->highest = e->level;
	if (e->level < 2)
		return;
	while (atomic_load(&r->nr))
		EQ(bmem_free(client, r->garbage[atomic_fetch_sub(&r->nr, 1) - 1]), 0);
}

static void pressure_collects_garbage(void **state)
{
	struct runtime r = { 0 };
	void *p;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(SMALL);
	EQ(bmem_on_pressure(c, collect, &r), 0);
	while (atomic_load(&r.nr) < GARBAGE) {
		p = bmem_alloc(c, 2 * MIB, 0, 0, "garbage");
		assert_non_null(p);
		r.garbage[atomic_fetch_add(&r.nr, 1)] = p;
	}
	/* 12 of 16 MiB: the first level, and no reason to collect. */
	IS(bmem_events_dispatch(c, 0) > 0);
	EQ(r.highest, 1);
	EQ(atomic_load(&r.nr), GARBAGE);
	p = bmem_alloc(c, 3 * MIB, 0, 0, "more");
	assert_non_null(p);
	IS(bmem_events_dispatch(c, 0) > 0);
	EQ(atomic_load(&r.nr), 0);
	IS(r.highest >= 2);
	/* There is room again. */
	EQ(bmem_free(c, p), 0);
	p = bmem_alloc(c, 12 * MIB, 0, 0, "most");
	assert_non_null(p);
	EQ(bmem_free(c, p), 0);
	bmem_close(c);
}

static uint32_t level_after(size_t bytes)
{
	struct bmem_event e[16];
	uint32_t level = 99;
	void *p = NULL;
	int n;

	if (bytes) {
		p = bmem_alloc(c, bytes, 0, 0, NULL);
		assert_non_null(p);
	}
	while ((n = bmem_events_read(c, e, 16, 0)) > 0)
		level = e[n - 1].level;
	EQ(bmem_free(c, p), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	return level;
}

/* Of 200 MiB, in whole huge pages: at the percentage it is not above it. */
static void levels_are_exact(void **state)
{
	(void)state;
	SKIP_ON_DEV();
	c = client_limit(200 * MIB);
	EQ(bmem_events_want(c, PRESSURE), 0);
	EQ(level_after(140 * MIB), 99);
	EQ(level_after(142 * MIB), 1);
	EQ(level_after(160 * MIB), 1);
	EQ(level_after(162 * MIB), 2);
	EQ(level_after(182 * MIB), 3);
	EQ(level_after(192 * MIB), 4);
	bmem_close(c);
}

/* ---- threads --------------------------------------------------------------------- */

static void library_has_a_thread(void **state)
{
	struct seen s = { 0 };
	unsigned int i;

	(void)state;
	c = client();
	EQ(bmem_events_stop(c), -ENOENT);
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	EQ(bmem_events_start(c), 0);
	EQ(bmem_events_start(c), -EBUSY);
	for (i = 1; i <= 50; i++) {
		happen(i);
		while (atomic_load(&s.calls) < i)
			sched_yield();
		EQ(mark_of(&s.last), i);
	}
	IS(!pthread_equal(s.thread, pthread_self()));
	EQ(bmem_events_stop(c), 0);
	EQ(bmem_events_stop(c), -ENOENT);
	/* It can be begun again, and ends with the client. */
	EQ(bmem_events_start(c), 0);
	happen(51);
	while (atomic_load(&s.calls) < 51)
		sched_yield();
	bmem_close(c);
}

static atomic_bool in_handler, let_go;

static void slow(struct bmem_client *client, const struct bmem_event *e,
		 void *arg)
{
	(void)client;
	(void)e;
	(void)arg;
	atomic_store(&in_handler, true);
	while (!atomic_load(&let_go))
		sched_yield();
	atomic_store(&in_handler, false);
}

/* A client whose thread is in slow() until it is let go. */
static void enter_slow(void)
{
	c = client();
	atomic_store(&let_go, false);
	EQ(bmem_on_event(c, FAILED, slow, NULL), 0);
	EQ(bmem_events_start(c), 0);
	happen(1);
	while (!atomic_load(&in_handler))
		sched_yield();
}

static void *release_soon(void *arg)
{
	const struct timespec soon = { .tv_nsec = 20000000 };

	nanosleep(&soon, NULL);
	atomic_store(&let_go, true);
	return arg;
}

/* Once it is removed, nobody is in it. */
static void removal_waits(void **state)
{
	pthread_t t;

	(void)state;
	enter_slow();
	EQ(pthread_create(&t, NULL, release_soon, NULL), 0);
	EQ(bmem_on_event(c, 0, slow, NULL), 0);
	IS(!atomic_load(&in_handler));
	pthread_join(t, NULL);
	bmem_close(c);
}

static void *remove_slow(void *arg)
{
	return bmem_on_event(c, 0, slow, NULL) ? c : arg;
}

/* One that is asked for while somebody waits until it is removed, stays. */
static void asked_for_again(void **state)
{
	struct bmem_events st = { .size = sizeof(st), .mask = 0 };
	const struct timespec soon = { .tv_nsec = 1000000 };
	pthread_t t;
	void *bad;
	int i;

	(void)state;
	enter_slow();
	EQ(pthread_create(&t, NULL, remove_slow, NULL), 0);
	do {
		st.mask = 0;
		EQ(bmem_events_status(c, &st), 0);
	} while (st.mask & FAILED);
	EQ(bmem_on_event(c, FAILED, slow, NULL), 0);
	atomic_store(&let_go, true);
	EQ(pthread_join(t, &bad), 0);
	assert_null(bad);
	atomic_store(&let_go, false);
	happen(2);
	for (i = 0; i < 10000 && !atomic_load(&in_handler); i++)
		nanosleep(&soon, NULL);
	IS(atomic_load(&in_handler));
	atomic_store(&let_go, true);
	bmem_close(c);
}

/* Who is in one for long keeps nobody from allocating, nor others from hearing. */
static void busy_handler_delays_nobody(void **state)
{
	struct seen s = { 0 };
	struct bmem_client *busy;
	unsigned int i;
	void *p;

	(void)state;
	enter_slow();
	busy = c;
	for (i = 0; i < 1000; i++) {
		p = bmem_alloc(busy, 1000 + i * 100, 0, 0, NULL);
		assert_non_null(p);
		EQ(bmem_free(busy, p), 0);
	}
	c = client();
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	EQ(bmem_events_start(c), 0);
	for (i = 1; i <= 100; i++) {
		happen(i);
		while (atomic_load(&s.calls) < i)
			sched_yield();
		EQ(mark_of(&s.last), i);
	}
	IS(atomic_load(&in_handler));
	bmem_close(c);
	atomic_store(&let_go, true);
	bmem_close(busy);
}

static int stopped;

static void stops(struct bmem_client *client, const struct bmem_event *e,
		  void *arg)
{
	stopped = bmem_events_stop(client);
	see(client, e, arg);
}

static void thread_cannot_stop_itself(void **state)
{
	struct seen s = { 0 };

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, stops, &s), 0);
	EQ(bmem_events_start(c), 0);
	happen(1);
	while (!atomic_load(&s.calls))
		sched_yield();
	EQ(stopped, -EDEADLK);
	bmem_close(c);
}

#define RACERS	4
#define ROUNDS	200

static void *race(void *arg)
{
	struct seen *s = arg;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		void *p = bmem_alloc(c, 1UL << 39, 0, 0, NULL);

		if (p || bmem_events_dispatch(c, 0) < 0)
			return s;
		if (i % 50 == 0 && (bmem_on_event(c, FAILED, tally, s + 1) ||
				    bmem_on_event(c, 0, tally, s + 1)))
			return s;
	}
	return NULL;
}

/* Dispatch, register and fail from everywhere: each event is one thread's. */
static void threads_dispatch(void **state)
{
	struct seen s[2 * RACERS] = { 0 }, all = { 0 };
	pthread_t t[RACERS];
	unsigned int i;
	void *bad;

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, tally, &all), 0);
	for (i = 0; i < RACERS; i++)
		EQ(pthread_create(&t[i], NULL, race, &s[2 * i]), 0);
	for (i = 0; i < RACERS; i++) {
		EQ(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	while (bmem_events_dispatch(c, 100) > 0)
		;
	EQ(atomic_load(&all.calls) + atomic_load(&all.lost), RACERS * ROUNDS);
	bmem_close(c);
}

/* ---- fork, close -------------------------------------------------------------------- */

static struct seen after_fork;

static int child_shares(void)
{
	/* The thread is the parent's; the handler is the child's as well. */
	if (bmem_events_stop(c) != -ENOENT)
		return 1;
	if (bmem_alloc(c, 1UL << 39, 0, 0, NULL) ||
	    bmem_events_dispatch(c, 10000) != 1 ||
	    atomic_load(&after_fork.calls) != 1)
		return 2;
	return bmem_events_start(c) || bmem_events_stop(c) ? 3 : 0;
}

static void fork_shares_events(void **state)
{
	(void)state;
	c = client();
	memset(&after_fork, 0, sizeof(after_fork));
	EQ(bmem_on_event(c, FAILED, see, &after_fork), 0);
	EQ(in_child(child_shares).status, 0);
	EQ(bmem_events_dispatch(c, 0), 0);
	EQ(atomic_load(&after_fork.calls), 0);
	bmem_close(c);
}

static int child_begins_anew(void)
{
	struct bmem_event e;

	if (bmem_alloc(c, 1UL << 39, 0, 0, NULL))
		return 1;
	if (bmem_events_stop(c) != -ENOENT)
		return 2;
	/* What the parent asked for is the parent's. */
	if (bmem_events_dispatch(c, 0) > 0 || atomic_load(&after_fork.calls))
		return 3;
	if (bmem_events_want(c, FAILED) || bmem_alloc(c, 1UL << 39, 0, 0, NULL))
		return 4;
	return bmem_events_read(c, &e, 1, 10000) == 1 ? 0 : 5;
}

static void private_child_begins_anew(void **state)
{
	struct bmem_options o = {
		.max_bytes = LIMIT, .flags = BMEM_OPEN_PRIVATE,
	};

	(void)state;
	c = client_with(&o);
	memset(&after_fork, 0, sizeof(after_fork));
	EQ(bmem_on_event(c, FAILED, see, &after_fork), 0);
	EQ(bmem_events_start(c), 0);
	EQ(in_child(child_begins_anew).status, 0);
	happen(1);
	while (atomic_load(&after_fork.calls) < 1)
		sched_yield();
	bmem_close(c);
}

static unsigned int descriptors(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += dup2(fd, fd) == fd;
	return n;
}

static void nothing_stays_open(void **state)
{
	struct seen s = { 0 };
	unsigned int before = descriptors(), i;

	(void)state;
	for (i = 0; i < 20; i++) {
		c = client();
		EQ(bmem_on_event(c, FAILED, see, &s), 0);
		EQ(bmem_events_start(c), 0);
		if (i % 2)
			EQ(bmem_events_stop(c), 0);
		bmem_close(c);
	}
	EQ(descriptors(), before);
}

static int child_counts(void)
{
	return (int)descriptors();
}

/* The thread is the parent's, and so is what ends it. */
static void child_has_no_pipe(void **state)
{
	struct seen s = { 0 };
	int before;

	(void)state;
	c = client();
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	before = in_child(child_counts).status;
	EQ(bmem_events_start(c), 0);
	EQ(in_child(child_counts).status, before);
	bmem_close(c);
}

/* A daemon has no standard input: then the pipe is that. */
static void no_standard_input(void **state)
{
	struct bmem_events st = { .size = sizeof(st) };
	int in;

	(void)state;
	SKIP_ON_DEV();
	c = client();
	in = dup(STDIN_FILENO);
	close(STDIN_FILENO);
	EQ(bmem_events_fd(c), STDIN_FILENO);
	EQ(bmem_events_want(c, FAILED), 0);
	happen(1);
	EQ(bmem_events_status(c, &st), 0);
	EQ(st.waiting, 1);
	bmem_close(c);
	if (in >= 0) {
		dup2(in, STDIN_FILENO);
		close(in);
	}
}

static void no_descriptor_left(void **state)
{
	struct rlimit old, few = { .rlim_cur = descriptors() + 4 };
	struct seen s = { 0 };
	int fds[64], n = 0;

	(void)state;
	SKIP_ON_DEV();
	c = client();
	EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (fds[n] = dup(0)) >= 0)
		n++;
	EQ(bmem_on_event(c, FAILED, see, &s), -EMFILE);
	EQ(bmem_events_fd(c), -EMFILE);
	EQ(bmem_events_start(c), -EMFILE);
	EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (n--)
		close(fds[n]);
	EQ(bmem_on_event(c, FAILED, see, &s), 0);
	happen(1);
	until(&s, 1);
	bmem_close(c);
}

static void waiting_has_bounds(void **state)
{
	(void)state;
	c = client_limit(SMALL);
	EQ(bmem_set_wait(c, BMEM_WAIT_MAX_MS + 1), -EINVAL);
	EQ(bmem_set_wait(c, 0), 0);
	EQ(bmem_set_wait(c, 10), on_dev() ? 0 : -EOPNOTSUPP);
	bmem_close(c);
}

static const struct CMUnitTest tests[] = {
	TEST(handler_is_called),
	TEST(handlers_are_bounded),
	TEST(read_without_handlers),
	TEST(never_dispatches),
	TEST(program_has_its_loop),
	TEST(handler_may_allocate),
	TEST(pressure_collects_garbage),
	TEST(levels_are_exact),
	TEST(library_has_a_thread),
	TEST(removal_waits),
	TEST(asked_for_again),
	TEST(busy_handler_delays_nobody),
	TEST(thread_cannot_stop_itself),
	TEST(threads_dispatch),
	TEST(fork_shares_events),
	TEST(private_child_begins_anew),
	TEST(nothing_stays_open),
	TEST(child_has_no_pipe),
	TEST(no_standard_input),
	TEST(no_descriptor_left),
	TEST(waiting_has_bounds),
};

TEST_MAIN(tests)
