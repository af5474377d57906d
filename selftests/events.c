// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: read() and poll() on the device, masks, what is lost, who sees what,
 * and waiting for memory.
 *
 * An event at will is an ALLOC that can never succeed: its size tells it from
 * others.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"

#define LIMIT		(16 * BT_MIB)
#define EVENT		sizeof(struct bmem_event)
#define FAILED		BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED)
#define ALL		(BMEM_EVENT_BIT(BMEM_EVENT_TYPES) - 2)
#define USER		1000

/* Emulation is slow, and 6.1 is slower; the size is for more than CI. */
static unsigned int scaled(unsigned int n)
{
	const char *scale = getenv("BMEM_TEST_SCALE");

	return n * (scale ? atoi(scale) : 1);
}

static int events_call(int fd, __u32 flags, __u64 mask, struct bmem_events *out)
{
	struct bmem_events arg = {
		.size = sizeof(arg), .flags = flags, .mask = mask,
	};
	int ret = bt_call(fd, BMEM_EVENTS, &arg);

	if (out)
		*out = arg;
	return ret;
}

static int want(int fd, __u64 mask)
{
	return events_call(fd, BMEM_EVENTS_SET, mask, NULL);
}

static int nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* Raises an event that has @mark as its bytes. */
static int mark(int fd, __u64 mark)
{
	struct bmem_alloc_entry e = { .bytes = LIMIT + mark };

	return bt_alloc(fd, &e, 1, NULL) == -EFBIG ? 0 : -1;
}

static __u64 marked(const struct bmem_event *e)
{
	return e->bytes - LIMIT;
}

static int ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

FIXTURE(events) {
	int fd;
	int pool;
	__u64 id;
	struct bt_client c;
};

FIXTURE_SETUP(events)
{
	ASSERT_EQ(0, geteuid());
	self->fd = bt_open();
	ASSERT_LE(0, self->fd);
	self->pool = bt_pool_create(self->fd, "events", LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_client_open(&self->c, self->pool));
}

FIXTURE_TEARDOWN(events)
{
	EXPECT_EQ(NULL, bt_check(self->c.fd));
	bt_client_close(&self->c);
	EXPECT_EQ(0, bt_pool_destroy(self->fd, self->pool));
	close(self->fd);
}

/* ---- one event -------------------------------------------------------------- */

TEST_F_TIMEOUT(events, tells_what_happened, BT_SLOW)
{
	struct bmem_events st;
	struct bmem_event e;
	struct timespec now;
	char serial[32], text[32];
	__u64 at;

	ASSERT_EQ(0, want(self->c.fd, FAILED));
	EXPECT_EQ(0, ready(self->c.fd, 0));
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	EXPECT_EQ(POLLIN, ready(self->c.fd, 10000));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(FAILED, st.mask);
	EXPECT_EQ(ALL, st.known & ALL);
	EXPECT_EQ(1, st.waiting);
	EXPECT_EQ(0, st.lost);
	EXPECT_EQ(BMEM_EVENTS_MAX, st.capacity);

	ASSERT_EQ(EVENT, read(self->c.fd, &e, sizeof(e)));
	clock_gettime(CLOCK_BOOTTIME, &now);
	at = now.tv_sec * 1000000000ULL + now.tv_nsec;
	EXPECT_EQ(EVENT, e.size);
	EXPECT_EQ(BMEM_EVENT_ALLOC_FAILED, e.type);
	EXPECT_EQ(self->c.id, e.client_id);
	EXPECT_EQ(self->c.pool, e.pool);
	EXPECT_EQ(4096, marked(&e));
	EXPECT_EQ(EFBIG, e.arg);
	EXPECT_EQ(0, e.lost);
	EXPECT_LT(e.time_ns, at);
	EXPECT_GT(e.time_ns + 60000000000ULL, at);
	EXPECT_EQ(0, ready(self->c.fd, 0));

	/* The same in debugfs. */
	snprintf(serial, sizeof(serial), "%llu", e.serial);
	ASSERT_EQ(0, bt_table_text("events", "serial", serial, "type", text,
				   sizeof(text)));
	EXPECT_STREQ("alloc-failed", text);
	ASSERT_EQ(0, bt_table_text("events", "serial", serial, "cause", text,
				   sizeof(text)));
	EXPECT_STREQ(serial, text);
}

TEST_F_TIMEOUT(events, none_unless_asked, BT_SLOW)
{
	struct bmem_events st;
	struct bmem_event e;

	ASSERT_EQ(0, mark(self->c.fd, 4096));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(0, st.mask);
	EXPECT_EQ(0, st.waiting);
	EXPECT_EQ(0, st.lost);
	EXPECT_EQ(0, ready(self->c.fd, 50));
	EXPECT_EQ(-1, read(self->c.fd, &e, sizeof(e)));
	EXPECT_EQ(EINVAL, errno);
	/* What was before is not told afterwards. */
	ASSERT_EQ(0, want(self->c.fd, ALL));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(0, st.waiting);
}

/* Every type alone: an event passes where its bit is set, and nowhere else. */
TEST_F_TIMEOUT(events, masks, BT_SLOW)
{
	struct bmem_events st;
	struct bmem_event e;
	unsigned int type;

	for (type = 1; type < BMEM_EVENT_TYPES; type++) {
		ASSERT_EQ(0, want(self->c.fd, BMEM_EVENT_BIT(type)));
		ASSERT_EQ(0, mark(self->c.fd, type * 4096));
		ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
		ASSERT_EQ(type == BMEM_EVENT_ALLOC_FAILED, st.waiting);
		if (st.waiting) {
			ASSERT_EQ(EVENT, read(self->c.fd, &e, sizeof(e)));
			EXPECT_EQ(type * 4096, marked(&e));
		}
	}
	ASSERT_EQ(0, want(self->c.fd, ALL));
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_LE(1, st.waiting);
	/* What is not wanted any more is neither told nor lost. */
	ASSERT_EQ(0, want(self->c.fd, ALL & ~FAILED));
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(0, st.waiting);
	EXPECT_EQ(0, st.lost);
}

/* ---- read() ----------------------------------------------------------------- */

TEST_F_TIMEOUT(events, whole_events, BT_SLOW)
{
	char buf[3 * EVENT], *bad;
	struct bmem_event e[3];
	struct iovec v[] = {
		{ buf, 10 }, { buf + 10, EVENT }, { buf + 10 + EVENT, EVENT },
	};
	size_t n;
	int i;

	ASSERT_EQ(0, want(self->c.fd, FAILED));
	ASSERT_EQ(0, nonblock(self->c.fd, true));
	EXPECT_EQ(-1, read(self->c.fd, e, sizeof(e)));
	EXPECT_EQ(EAGAIN, errno);
	for (i = 1; i <= 6; i++)
		ASSERT_EQ(0, mark(self->c.fd, i * 4096));
	ASSERT_EQ(POLLIN, ready(self->c.fd, 10000));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, NULL));
	for (n = 0; n < EVENT; n++) {
		EXPECT_EQ(-1, read(self->c.fd, buf, n));
		EXPECT_EQ(EINVAL, errno);
	}
	/* No part of a second one. */
	EXPECT_EQ(EVENT, read(self->c.fd, buf, 2 * EVENT - 1));
	/* Across the parts of a readv(); its last 10 bytes hold none. */
	ASSERT_EQ(2 * EVENT, readv(self->c.fd, v, 3));
	memcpy(e, buf, 2 * EVENT);
	EXPECT_EQ(2 * 4096, marked(&e[0]));
	EXPECT_EQ(3 * 4096, marked(&e[1]));

	/* What could not be written is there still. */
	bad = mmap(NULL, 2 * BT_PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, bad);
	ASSERT_EQ(0, mprotect(bad + BT_PAGE, BT_PAGE, PROT_NONE));
	EXPECT_EQ(-1, read(self->c.fd, bad + BT_PAGE - 10, EVENT));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(EVENT, read(self->c.fd, bad + BT_PAGE - EVENT, 2 * EVENT));
	EXPECT_EQ(4 * 4096, marked((void *)(bad + BT_PAGE - EVENT)));
	ASSERT_EQ(2 * EVENT, read(self->c.fd, e, sizeof(e)));
	EXPECT_EQ(5 * 4096, marked(&e[0]));
	EXPECT_EQ(6 * 4096, marked(&e[1]));
	EXPECT_EQ(0, e[0].lost + e[1].lost);
	munmap(bad, 2 * BT_PAGE);
}

TEST_F_TIMEOUT(events, no_splice_no_write_no_offset, BT_SLOW)
{
	struct bmem_event e;
	int p[2];

	ASSERT_EQ(0, want(self->c.fd, FAILED));
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	ASSERT_EQ(POLLIN, ready(self->c.fd, 10000));
	ASSERT_EQ(0, pipe(p));
	EXPECT_EQ(-1, splice(self->c.fd, NULL, p[1], NULL, EVENT, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, sendfile(p[1], self->c.fd, NULL, EVENT));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->c.fd, &e, sizeof(e), 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, write(self->c.fd, &e, sizeof(e)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(EVENT, read(self->c.fd, &e, sizeof(e)));
	close(p[0]);
	close(p[1]);
}

static void on_signal(int sig)
{
	(void)sig;
}

struct blocked {
	int fd;
	volatile pid_t tid;
	struct bmem_event e;
	ssize_t ret;
	int err;
};

static void *read_one(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->ret = read(b->fd, &b->e, sizeof(b->e));
	b->err = errno;
	return NULL;
}

static bool start_blocked(struct blocked *b, int fd, pthread_t *t)
{
	*b = (struct blocked){ .fd = fd };
	return !pthread_create(t, NULL, read_one, b) && BT_WAIT(b->tid, 10000) &&
	       BT_WAIT(bt_task_state(b->tid) == 'S', 10000);
}

TEST_F_TIMEOUT(events, a_signal_ends_read, BT_SLOW)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct blocked b;
	pthread_t t;

	ASSERT_EQ(0, want(self->c.fd, FAILED));
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_TRUE(start_blocked(&b, self->c.fd, &t));
	pthread_kill(t, SIGUSR1);
	pthread_join(t, NULL);
	EXPECT_EQ(-1, b.ret);
	EXPECT_EQ(EINTR, b.err);

	/* With SA_RESTART it goes on. */
	sa.sa_flags = SA_RESTART;
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_TRUE(start_blocked(&b, self->c.fd, &t));
	pthread_kill(t, SIGUSR1);
	usleep(50000);
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	pthread_join(t, NULL);
	EXPECT_EQ(EVENT, b.ret);
	EXPECT_EQ(4096, marked(&b.e));

	/* Who waits for what is asked for no more is told. */
	ASSERT_TRUE(start_blocked(&b, self->c.fd, &t));
	ASSERT_EQ(0, want(self->c.fd, 0));
	pthread_join(t, NULL);
	EXPECT_EQ(-1, b.ret);
	EXPECT_EQ(EINVAL, b.err);
}

/* ---- who does not read ------------------------------------------------------- */

TEST_F_TIMEOUT(events, never_reads, BT_SLOW)
{
	const unsigned int total = scaled(20000);
	struct bmem_event e[BMEM_EVENTS_MAX + 1];
	__u64 lost = 0, serial = 0;
	struct bmem_client_stats before, after;
	struct bmem_events st, early;
	unsigned int i, nr;
	ssize_t n;

	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &before));
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	for (i = 1; i <= total; i++) {
		ASSERT_EQ(0, mark(self->c.fd, i * 4096ULL));
		if (i == total / 2) {
			ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &early));
			EXPECT_EQ(total / 2, early.waiting + early.lost);
		}
	}
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_LT(0, st.waiting);
	EXPECT_GE(BMEM_EVENTS_MAX, st.waiting);
	EXPECT_EQ(total, st.waiting + st.lost);
	/* Bounded memory: one queue, whatever came. */
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &after));
	EXPECT_EQ(BMEM_EVENTS_MAX * EVENT, after.meta_bytes - before.meta_bytes);

	n = read(self->c.fd, e, sizeof(e));
	ASSERT_EQ(st.waiting * EVENT, n);
	nr = n / EVENT;
	for (i = 0; i < nr; i++) {
		EXPECT_LT(serial, e[i].serial);
		serial = e[i].serial;
		lost += e[i].lost;
		/* What is lost is told where it is missing. */
		EXPECT_EQ(lost + i + 1, marked(&e[i]) / 4096);
	}
	EXPECT_EQ(total, lost + nr);
	EXPECT_EQ(total * 4096ULL, marked(&e[nr - 1]));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(lost, st.lost);

	/* From now on nothing is missing. */
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	ASSERT_EQ(POLLIN, ready(self->c.fd, 10000));
	ASSERT_EQ(EVENT, read(self->c.fd, e, sizeof(e)));
	EXPECT_EQ(0, e[0].lost);
}

/* One that never reads does not disturb one that does. */
TEST_F_TIMEOUT(events, readers_are_apart, BT_SLOW)
{
	const unsigned int total = 1000;
	unsigned int got = 0;
	struct bmem_events st;
	struct bmem_event e;
	unsigned int i;

	ASSERT_EQ(0, want(self->c.fd, FAILED));
	ASSERT_EQ(0, want(self->fd, FAILED));
	for (i = 1; i <= total; i++) {
		ASSERT_EQ(0, mark(self->c.fd, i * 4096ULL));
		ASSERT_EQ(EVENT, read(self->fd, &e, sizeof(e)));
		EXPECT_EQ(0, e.lost);
		EXPECT_EQ(i * 4096ULL, marked(&e));
		got++;
	}
	EXPECT_EQ(total, got);
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(BMEM_EVENTS_MAX, st.waiting);
	EXPECT_EQ(total - BMEM_EVENTS_MAX, st.lost);
}

#define ASKS		200

/* Nanoseconds for an event and a call of BMEM_EVENTS, ASKS times. */
static __u64 asks_ns(int fd, __u32 flags, __u64 mask, int answer)
{
	__u64 start = bt_now_ns();
	int i;

	for (i = 0; i < ASKS; i++)
		if (mark(fd, 4096) ||
		    events_call(fd, flags, mask, NULL) != answer)
			return 0;
	return bt_now_ns() - start;
}

/*
 * Events are handed out once a tick, whoever asks how often: a call waits until
 * its answer is right, and one that is refused for nothing.
 */
TEST_F_TIMEOUT(events, asking_makes_nobody_work, BT_SLOW)
{
	__u64 asked, queried, refused;
	struct timespec tick;

	ASSERT_EQ(0, clock_getres(CLOCK_MONOTONIC_COARSE, &tick));
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	asked = asks_ns(self->c.fd, BMEM_EVENTS_SET, FAILED, 0);
	queried = asks_ns(self->c.fd, 0, 0, 0);
	refused = asks_ns(self->c.fd, 0, FAILED, -EINVAL);
	TH_LOG("%d calls: %llu us that ask, %llu us that query, %llu us that are refused; a tick is %ld us",
	       ASKS, asked / 1000, queried / 1000, refused / 1000,
	       tick.tv_nsec / 1000);
	EXPECT_LE(ASKS * tick.tv_nsec / 2, asked);
	EXPECT_LE(ASKS * tick.tv_nsec / 2, queried);
	EXPECT_LT(0, refused);
	if (!bt_debug_kernel())
		EXPECT_GE(asked / 2, refused);
}

/* ---- wake-ups ---------------------------------------------------------------- */

enum how { BY_READ, BY_POLL, BY_EPOLL_EDGE, HOWS };

/**
 * struct game - one raises an event when the other has got the one before
 * @fd: the descriptor of the one that waits
 * @by: fd of the one that raises
 * @how: how the other waits
 * @rounds: how often
 * @got: what has been got
 * @bad: first round in which something else than the event came, or none
 */
struct game {
	int fd;
	int by;
	enum how how;
	unsigned int rounds;
	volatile unsigned int got;
	unsigned int bad;
};

static void wait_for(struct game *g, int ep)
{
	struct epoll_event ev;

	if (g->how == BY_POLL)
		ready(g->fd, -1);
	else if (g->how == BY_EPOLL_EDGE)
		epoll_wait(ep, &ev, 1, -1);
}

static void *catch_all(void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct game *g = arg;
	int ep = epoll_create1(0);
	struct bmem_event e;
	unsigned int i;
	ssize_t n;

	epoll_ctl(ep, EPOLL_CTL_ADD, g->fd, &ev);
	for (i = 1; i <= g->rounds; i++) {
		do {
			wait_for(g, ep);
			n = read(g->fd, &e, sizeof(e));
		} while (n < 0 && errno == EAGAIN);
		if (n != EVENT || marked(&e) != i * 4096ULL)
			g->bad = i;
		g->got = i;
	}
	close(ep);
	return NULL;
}

/* A wake-up that is lost leaves both waiting for ever. */
TEST_F_TIMEOUT(events, no_wake_up_is_lost, BT_SLOW)
{
	struct game g = {
		.fd = self->fd, .by = self->c.fd, .rounds = scaled(500),
	};
	pthread_t t;
	unsigned int i;

	ASSERT_EQ(0, want(self->fd, FAILED));
	for (g.how = 0; g.how < HOWS; g.how++) {
		ASSERT_EQ(0, nonblock(self->fd, g.how != BY_READ));
		g.got = 0;
		g.bad = 0;
		ASSERT_EQ(0, pthread_create(&t, NULL, catch_all, &g));
		for (i = 1; i <= g.rounds; i++) {
			ASSERT_EQ(0, mark(g.by, i * 4096ULL));
			while (g.got < i)
				sched_yield();
		}
		pthread_join(t, NULL);
		EXPECT_EQ(0, g.bad) {
			TH_LOG("round %u, waiting in way %d", g.bad, g.how);
		}
	}
}

#define PRODUCERS	3
#define CONSUMERS	3

struct crowd {
	int fd;
	int pool;
	unsigned int each;
	bool done;
	__u64 got;
	__u64 lost;
	unsigned int bad;
	unsigned int produced;
};

static void *produce(void *arg)
{
	struct crowd *c = arg;
	unsigned int i;
	int fd = bt_open();

	if (fd < 0 || bt_bind_pool(fd, c->pool))
		return NULL;
	for (i = 1; i <= c->each; i++) {
		if (!mark(fd, 4096))
			__atomic_fetch_add(&c->produced, 1, __ATOMIC_RELAXED);
		if (i % 16 == 0)
			usleep(1000);
	}
	close(fd);
	return NULL;
}

static void *consume(void *arg)
{
	struct crowd *c = arg;
	struct bmem_event e[5];
	ssize_t n, i;

	while (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE) || ready(c->fd, 0)) {
		if (!ready(c->fd, 20))
			continue;
		n = read(c->fd, e, sizeof(e));
		if (n < 0 && errno != EAGAIN)
			__atomic_fetch_add(&c->bad, 1, __ATOMIC_RELAXED);
		for (i = 0; i < n / (ssize_t)EVENT; i++) {
			__atomic_fetch_add(&c->got, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&c->lost, e[i].lost, __ATOMIC_RELAXED);
			if (marked(&e[i]) != 4096 || e[i].size != EVENT)
				__atomic_fetch_add(&c->bad, 1, __ATOMIC_RELAXED);
		}
		if (n > 0 && n % (ssize_t)EVENT)
			__atomic_fetch_add(&c->bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Threads that share a descriptor: each event is got once, or counted. */
TEST_F_TIMEOUT(events, threads_share_a_descriptor, BT_SLOW)
{
	struct crowd c = {
		.fd = self->fd, .pool = self->pool, .each = scaled(2000),
	};
	pthread_t p[PRODUCERS], q[CONSUMERS];
	struct bmem_events st;
	int i;

	ASSERT_EQ(0, want(c.fd, FAILED));
	ASSERT_EQ(0, nonblock(c.fd, true));
	for (i = 0; i < CONSUMERS; i++)
		ASSERT_EQ(0, pthread_create(&q[i], NULL, consume, &c));
	for (i = 0; i < PRODUCERS; i++)
		ASSERT_EQ(0, pthread_create(&p[i], NULL, produce, &c));
	for (i = 0; i < PRODUCERS; i++)
		pthread_join(p[i], NULL);
	ASSERT_EQ(0, events_call(c.fd, 0, 0, &st));
	__atomic_store_n(&c.done, true, __ATOMIC_RELEASE);
	for (i = 0; i < CONSUMERS; i++)
		pthread_join(q[i], NULL);
	EXPECT_EQ(0, c.bad);
	EXPECT_EQ(PRODUCERS * c.each, c.produced);
	EXPECT_EQ(c.produced, c.got + c.lost);
	ASSERT_EQ(0, events_call(c.fd, 0, 0, &st));
	EXPECT_EQ(0, st.waiting);
	EXPECT_EQ(c.lost, st.lost);
}

static void *change_masks(void *arg)
{
	__u64 rnd = (uintptr_t)&rnd;
	struct crowd *c = arg;

	while (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) {
		__u64 mask = bt_random(&rnd);
		int ret = want(c->fd, mask);

		if (ret != (mask & ~ALL ? -EOPNOTSUPP : 0) ||
		    want(c->fd, mask & ALL))
			__atomic_fetch_add(&c->bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Masks that change under those who read: only what was asked for comes. */
TEST_F_TIMEOUT(events, hostile_masks, BT_SLOW)
{
	struct crowd c = {
		.fd = self->fd, .pool = self->pool, .each = scaled(1000),
	};
	pthread_t p[PRODUCERS], m[2];
	struct bmem_events st;
	struct bmem_event e;
	__u64 got = 0;
	int i;

	ASSERT_EQ(0, nonblock(c.fd, true));
	for (i = 0; i < PRODUCERS; i++)
		ASSERT_EQ(0, pthread_create(&p[i], NULL, produce, &c));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&m[i], NULL, change_masks, &c));
	while (__atomic_load_n(&c.produced, __ATOMIC_RELAXED) <
	       PRODUCERS * c.each) {
		ssize_t n = read(c.fd, &e, sizeof(e));

		if (n < 0) {
			EXPECT_TRUE(errno == EAGAIN || errno == EINVAL);
			sched_yield();
			continue;
		}
		got++;
		EXPECT_EQ(EVENT, n);
		EXPECT_TRUE(e.type && e.type < BMEM_EVENT_TYPES);
	}
	__atomic_store_n(&c.done, true, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		pthread_join(m[i], NULL);
	for (i = 0; i < PRODUCERS; i++)
		pthread_join(p[i], NULL);
	EXPECT_EQ(0, c.bad);
	EXPECT_GE(c.produced, got);
	ASSERT_EQ(0, want(c.fd, 0));
	ASSERT_EQ(0, events_call(c.fd, 0, 0, &st));
	EXPECT_EQ(0, st.waiting);
	EXPECT_EQ(0, ready(c.fd, 0));
}

/* ---- fork ---------------------------------------------------------------------- */

struct shared {
	int fd;
	__u64 seen[64];
	unsigned int nr;
};

static int read_half(void *arg)
{
	struct shared *s = arg;
	struct bmem_event e;

	while (s->nr < 32) {
		if (read(s->fd, &e, sizeof(e)) != EVENT)
			return 1;
		s->seen[s->nr++] = e.serial;
	}
	return 0;
}

TEST_F_TIMEOUT(events, fork_shares_the_queue, BT_SLOW)
{
	struct shared *s = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct bmem_event e;
	unsigned int i, k;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, s);
	s->fd = self->c.fd;
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	pid = bt_spawn(read_half, s);
	for (i = 1; i <= 64; i++)
		ASSERT_EQ(0, mark(self->c.fd, i * 4096));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(EVENT, read(self->c.fd, &e, sizeof(e)));
		for (k = 0; k < s->nr; k++)
			EXPECT_NE(s->seen[k], e.serial);
	}
	EXPECT_EQ(0, ready(self->c.fd, 0));
	munmap(s, BT_PAGE);
}

/* ---- other events ---------------------------------------------------------------- */

struct other {
	char node[64];
	int pool;
	uid_t uid;
	volatile __u64 id;
	volatile int go;
	volatile unsigned int got[4];
	int ret;
};

static struct other *other_new(int pool)
{
	struct other *o = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (o == MAP_FAILED || bt_lend_device(o->node, sizeof(o->node)))
		return NULL;
	o->pool = pool;
	return o;
}

static void other_end(struct other *o)
{
	unlink(o->node);
	munmap(o, BT_PAGE);
}

static int hold_and_wait(void *arg)
{
	struct other *o = arg;
	struct bmem_alloc_entry e;
	struct bmem_query q;
	int fd;

	if (o->uid && bt_become(o->uid, BT_NOBODY, -1))
		return 1;
	fd = open(o->node, O_RDWR);
	if (fd < 0 || bt_bind_pool(fd, o->pool) || bt_query(fd, &q) ||
	    bt_alloc1(fd, 100000, &e))
		return 2;
	o->id = q.client_id;
	pause();
	return 0;
}

/* Reads until an event of @type about @client is there. */
static int read_about(int fd, __u32 type, __u64 client, struct bmem_event *e)
{
	__u64 end = bt_now_ms() + 20000;

	while (ready(fd, 1000) || bt_now_ms() < end) {
		if (read(fd, e, sizeof(*e)) != EVENT)
			return -errno;
		if (e->type == type && e->client_id == client)
			return 0;
	}
	return -ETIME;
}

TEST_F_TIMEOUT(events, tells_of_an_end, BT_SLOW)
{
	struct other *o = other_new(self->pool);
	struct bmem_event e;
	char text[32];
	pid_t pid;

	ASSERT_NE(NULL, o);
	ASSERT_EQ(0, want(self->fd, BMEM_EVENT_BIT(BMEM_EVENT_CLIENT_GONE)));
	pid = bt_spawn(hold_and_wait, o);
	ASSERT_TRUE(BT_WAIT(o->id, 20000));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ASSERT_EQ(0, read_about(self->fd, BMEM_EVENT_CLIENT_GONE, o->id, &e));
	EXPECT_EQ(100000, e.bytes);
	EXPECT_EQ(self->pool, e.pool);
	snprintf(text, sizeof(text), "tombstone %llu client=%llu ", e.arg, o->id);
	{
		char *all = bt_read_file(BT_DEBUGFS "/tombstones");

		ASSERT_NE(NULL, all);
		EXPECT_NE(NULL, strstr(all, text));
		free(all);
	}
	other_end(o);
}

/*
 * An event that could not be told, and then is not asked for any more, does not
 * take with it what it was to tell of those that were lost.
 */
TEST_F_TIMEOUT(events, lost_stays_lost, BT_SLOW)
{
	const __u64 recall = BMEM_EVENT_BIT(BMEM_EVENT_RECALL);
	struct bmem_events before, after;
	struct bmem_event e;
	unsigned int i;
	char *bad;

	bad = mmap(NULL, BT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, bad);
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	for (i = 1; i <= 4 * BMEM_EVENTS_MAX; i++)
		ASSERT_EQ(0, mark(self->c.fd, i * 4096ULL));
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &before));
	ASSERT_LT(0, before.lost);
	EXPECT_EQ(-1, read(self->c.fd, bad, EVENT));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, events_call(self->c.fd, BMEM_EVENTS_SET, recall, &after));
	EXPECT_EQ(0, after.waiting);
	EXPECT_EQ(before.lost, after.lost);
	ASSERT_EQ(0, bt_trim(self->c.fd, BMEM_TRIM_POOL, 0, NULL));
	ASSERT_EQ(EVENT, read(self->c.fd, &e, sizeof(e)));
	EXPECT_EQ(BMEM_EVENT_RECALL, e.type);
	EXPECT_EQ(before.lost, e.lost);
	munmap(bad, BT_PAGE);
}

TEST_F_TIMEOUT(events, tells_of_a_recall, BT_SLOW)
{
	struct bmem_event e;

	ASSERT_EQ(0, want(self->c.fd, BMEM_EVENT_BIT(BMEM_EVENT_RECALL)));
	ASSERT_EQ(0, bt_trim(self->c.fd, BMEM_TRIM_POOL, 0, NULL));
	ASSERT_EQ(0, read_about(self->c.fd, BMEM_EVENT_RECALL, self->c.id, &e));
	EXPECT_EQ(self->pool, e.pool);
}

/* ---- who sees what ------------------------------------------------------------------ */

/* Which of the events with marks 1 to 3 pages are told; the last one is his own. */
static int listen_as(void *arg)
{
	struct other *o = arg;
	struct bmem_event e;
	struct bmem_query q;
	int fd;

	if (o->uid && bt_become(o->uid, BT_NOBODY, -1))
		return 1;
	fd = open(o->node, O_RDWR);
	if (fd < 0 || bt_bind_pool(fd, o->pool) || bt_query(fd, &q) ||
	    want(fd, FAILED))
		return 2;
	o->id = q.client_id;
	if (!BT_WAIT(o->go, 30000))
		return 3;
	if (mark(fd, 3 * 4096))
		return 4;
	do {
		if (read(fd, &e, sizeof(e)) != EVENT)
			return 5;
		if (e.bytes < LIMIT || marked(&e) > 3 * 4096 ||
		    e.type != BMEM_EVENT_ALLOC_FAILED)
			return 6;
		o->got[marked(&e) / 4096]++;
	} while (e.client_id != q.client_id);
	return e.lost ? 7 : 0;
}

static int fail_once(void *arg)
{
	struct other *o = arg;
	int fd;

	if (o->uid && bt_become(o->uid, BT_NOBODY, -1))
		return 1;
	fd = open(o->node, O_RDWR);
	if (fd < 0 || bt_bind_pool(fd, o->pool))
		return 2;
	return mark(fd, o->go * 4096) ? 3 : 0;
}

/* An event of each of two users: who listens as @uid sees @first, @second. */
static int listen_to_two(int pool, uid_t uid, unsigned int first,
			 unsigned int second)
{
	struct other *l = other_new(pool), *u = other_new(pool);
	int ret, status;
	pid_t pid;

	l->uid = uid;
	pid = bt_spawn(listen_as, l);
	ret = BT_WAIT(l->id, 30000) ? 0 : -1;
	for (u->go = 1; !ret && u->go <= 2; u->go++) {
		u->uid = USER + u->go;
		ret = bt_in_child(fail_once, u);
	}
	l->go = 1;
	waitpid(pid, &status, 0);
	if (!ret && status)
		ret = 100 + WEXITSTATUS(status);
	if (!ret && (l->got[1] != first || l->got[2] != second || l->got[3] != 1))
		ret = 1000 + 100 * l->got[1] + 10 * l->got[2] + l->got[3];
	other_end(l);
	other_end(u);
	return ret;
}

TEST_F_TIMEOUT(events, own_users_only, BT_SLOW)
{
	EXPECT_EQ(0, listen_to_two(self->pool, USER + 1, 1, 0));
	EXPECT_EQ(0, listen_to_two(self->pool, USER + 2, 0, 1));
	EXPECT_EQ(0, listen_to_two(self->pool, USER + 3, 0, 0));
	EXPECT_EQ(0, listen_to_two(self->pool, 0, 1, 1));
}

/* Asks with as many descriptors as it may, and one more; holds them. */
static int ask_often(void *arg)
{
	struct rlimit many = { BMEM_READERS_MAX + 64, BMEM_READERS_MAX + 64 };
	static int fds[BMEM_READERS_MAX + 1];
	struct other *o = arg;
	int i, ret = 0;

	if (setrlimit(RLIMIT_NOFILE, &many) || bt_become(o->uid, BT_NOBODY, -1))
		return 1;
	for (i = 0; !ret && i <= BMEM_READERS_MAX; i++) {
		fds[i] = open(o->node, O_RDWR);
		if (fds[i] < 0)
			return 2;
		ret = want(fds[i], FAILED);
	}
	if (ret != -EMFILE || i != BMEM_READERS_MAX + 1)
		return 3;
	/* It may ask for something else, or with another when one is done. */
	if (want(fds[5], BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE)) ||
	    want(fds[7], 0) || want(fds[i - 1], FAILED) ||
	    want(fds[7], FAILED) != -EMFILE)
		return 4;
	close(fds[9]);
	if (want(fds[7], FAILED))
		return 5;
	o->id = 1;
	pause();
	return 0;
}

/* A user has so many that ask, which is no other user's concern. */
TEST_F_TIMEOUT(events, readers_have_a_bound, BT_SLOW)
{
	struct other *o = other_new(self->pool);
	int status = 0;
	pid_t pid;

	o->uid = USER + 1;
	pid = bt_spawn(ask_often, o);
	EXPECT_TRUE(BT_WAIT(o->id || waitpid(pid, &status, WNOHANG) == pid,
			    60000));
	EXPECT_EQ(1, o->id) {
		TH_LOG("status %x", status);
	}
	EXPECT_EQ(0, listen_to_two(self->pool, USER + 2, 0, 1));
	EXPECT_EQ(0, listen_to_two(self->pool, 0, 1, 1));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_EQ(0, listen_to_two(self->pool, USER + 1, 1, 0));
	other_end(o);
}

/* It is who asked that counts, not who reads. */
static int ask_and_fall(void *arg)
{
	struct other *o = arg;
	struct bmem_event e;
	int fd = open(o->node, O_RDWR);

	if (fd < 0 || bt_bind_pool(fd, o->pool) || want(fd, FAILED) ||
	    bt_become(USER, BT_NOBODY, -1))
		return 1;
	o->id = 1;
	if (read(fd, &e, sizeof(e)) != EVENT || marked(&e) != 4096)
		return 2;
	/* Asked again, it is another one who asks. */
	if (want(fd, FAILED))
		return 3;
	o->id = 2;
	if (!BT_WAIT(o->go, 30000) || mark(fd, 3 * 4096))
		return 4;
	/* Its own, but not the one of root before. */
	if (read(fd, &e, sizeof(e)) != EVENT || marked(&e) != 3 * 4096)
		return 5;
	return 0;
}

TEST_F_TIMEOUT(events, who_asks_counts, BT_SLOW)
{
	struct other *o = other_new(self->pool);
	int status;
	pid_t pid;

	ASSERT_NE(NULL, o);
	pid = bt_spawn(ask_and_fall, o);
	ASSERT_TRUE(BT_WAIT(o->id == 1, 30000));
	ASSERT_EQ(0, mark(self->c.fd, 4096));
	ASSERT_TRUE(BT_WAIT(o->id == 2, 30000));
	ASSERT_EQ(0, mark(self->c.fd, 2 * 4096));
	o->go = 1;
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	other_end(o);
}

/* ---- waiting for memory ---------------------------------------------------------------- */

/**
 * struct waiting - a call that waits for memory
 * @fd: client
 * @bytes: what it asks for; 0 for slots of the largest class
 * @ms: for how long
 * @tid: thread that waits
 * @ret: what it answered
 * @took: for how long it waited, in milliseconds
 * @slept: how often the thread slept
 * @e: what it got
 */
struct waiting {
	int fd;
	__u64 bytes;
	unsigned int ms;
	volatile pid_t tid;
	int ret;
	__u64 took;
	long slept;
	struct bmem_alloc_entry e;
};

static int alloc_waiting(int fd, struct bmem_alloc_entry *e, unsigned int ms)
{
	struct bmem_alloc a = {
		.size = sizeof(a), .flags = BMEM_CALL_WAIT, .timeout_ms = ms,
		.nr = 1, .entries = (uintptr_t)e,
	};

	return bt_call(fd, BMEM_ALLOC, &a);
}

static int slots_waiting(int fd, unsigned int ms)
{
	__u64 name;
	struct bmem_slots s = {
		.size = sizeof(s), .flags = BMEM_CALL_WAIT, .timeout_ms = ms,
		.size_class = BMEM_CLASSES - 1, .nr = 1, .slots = (uintptr_t)&name,
	};
	int ret = bt_call(fd, BMEM_SLOTS_GET, &s);

	s.flags = 0;
	s.timeout_ms = 0;
	s.size_class = 0;
	return ret ?: bt_call(fd, BMEM_SLOTS_PUT, &s);
}

static void *do_wait(void *arg)
{
	struct waiting *w = arg;
	struct rusage before, after;
	__u64 begun = bt_now_ms();

	getrusage(RUSAGE_THREAD, &before);
	w->tid = gettid();
	w->e = (struct bmem_alloc_entry){ .bytes = w->bytes };
	w->ret = w->bytes ? alloc_waiting(w->fd, &w->e, w->ms) :
			    slots_waiting(w->fd, w->ms);
	getrusage(RUSAGE_THREAD, &after);
	w->took = bt_now_ms() - begun;
	w->slept = after.ru_nvcsw - before.ru_nvcsw;
	return NULL;
}

static bool waits(struct waiting *w, pthread_t *t)
{
	w->tid = 0;
	return !pthread_create(t, NULL, do_wait, w) && BT_WAIT(w->tid, 10000) &&
	       BT_WAIT(bt_task_state(w->tid) == 'S', 10000);
}

TEST_F_TIMEOUT(events, waits_until_a_free, BT_SLOW)
{
	struct waiting w = {
		.fd = self->c.fd, .bytes = 4 * BT_MIB, .ms = 30000,
	};
	struct bmem_alloc_entry all = { .bytes = LIMIT };
	struct bt_client other;
	pthread_t t;

	/* Of the same client. */
	ASSERT_EQ(0, bt_alloc(self->c.fd, &all, 1, NULL));
	ASSERT_TRUE(waits(&w, &t));
	usleep(300000);
	EXPECT_EQ('S', bt_task_state(w.tid));
	ASSERT_EQ(0, bt_free1(self->c.fd, all.handle));
	pthread_join(t, NULL);
	EXPECT_EQ(0, w.ret);
	EXPECT_LE(300, w.took);
	EXPECT_GT(20000, w.took);
	/* Woken, not polling. */
	EXPECT_GT(50, w.slept);
	ASSERT_EQ(0, bt_free1(self->c.fd, w.e.handle));

	/* Of another one, which would keep all of it. */
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_client_open(&other, self->pool));
	ASSERT_EQ(0, bt_bind_cache(other.fd, LIMIT));
	ASSERT_EQ(0, bt_alloc(other.fd, &all, 1, NULL));
	ASSERT_TRUE(waits(&w, &t));
	ASSERT_EQ(0, bt_free1(other.fd, all.handle));
	pthread_join(t, NULL);
	EXPECT_EQ(0, w.ret);
	EXPECT_GT(20000, w.took);
	ASSERT_EQ(0, bt_free1(self->c.fd, w.e.handle));

	/* One that goes away. */
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_alloc(other.fd, &all, 1, NULL));
	w.bytes = 0;
	ASSERT_TRUE(waits(&w, &t));
	bt_client_close(&other);
	pthread_join(t, NULL);
	EXPECT_EQ(0, w.ret);
	EXPECT_GT(20000, w.took);
}

TEST_F_TIMEOUT(events, waits_no_longer, BT_SLOW)
{
	struct waiting w = {
		.fd = self->c.fd, .bytes = 4 * BT_MIB, .ms = 1000,
	};
	struct bmem_alloc_entry all = { .bytes = LIMIT };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct bmem_client_stats before, after;
	struct bmem_events st;
	pthread_t t;

	ASSERT_EQ(0, bt_alloc(self->c.fd, &all, 1, NULL));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &before));
	ASSERT_EQ(0, want(self->c.fd, FAILED));
	do_wait(&w);
	EXPECT_EQ(-ENOSPC, w.ret);
	EXPECT_LE(990, w.took);
	EXPECT_GT(15000, w.took);
	EXPECT_GT(50, w.slept);
	/* One call, one failure. */
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &after));
	EXPECT_EQ(before.failed + 1, after.failed);
	ASSERT_EQ(0, events_call(self->c.fd, 0, 0, &st));
	EXPECT_EQ(1, st.waiting);

	/* A signal ends it, whatever its handler says; nothing is left. */
	w.ms = 30000;
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_TRUE(waits(&w, &t));
	pthread_kill(t, SIGUSR1);
	pthread_join(t, NULL);
	EXPECT_EQ(-EINTR, w.ret);
	EXPECT_GT(20000, w.took);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &after));
	EXPECT_EQ(before.failed + 1, after.failed);
	EXPECT_EQ(before.attached_bytes, after.attached_bytes);

	/* What can never be is not waited for; nor without any time. */
	w.bytes = 2 * LIMIT;
	do_wait(&w);
	EXPECT_EQ(-EFBIG, w.ret);
	w.bytes = 4 * BT_MIB;
	w.ms = 0;
	do_wait(&w);
	EXPECT_EQ(-ENOSPC, w.ret);
	EXPECT_GT(15000, w.took);
	ASSERT_EQ(0, bt_free1(self->c.fd, all.handle));
}

TEST_F_TIMEOUT(events, waits_for_bounds, BT_SLOW)
{
	struct waiting w = {
		.fd = self->c.fd, .bytes = LIMIT, .ms = 30000,
	};
	struct bmem_alloc_entry all = { .bytes = LIMIT };
	struct bt_client other;
	pthread_t t;

	ASSERT_EQ(0, bt_client_open(&other, self->pool));
	ASSERT_EQ(0, bt_alloc(other.fd, &all, 1, NULL));
	ASSERT_TRUE(waits(&w, &t));
	ASSERT_EQ(0, bt_pool_resize(self->fd, self->pool, BMEM_RESIZE_LIMIT,
				    2 * LIMIT, 0));
	pthread_join(t, NULL);
	EXPECT_EQ(0, w.ret);
	EXPECT_GT(20000, w.took);
	ASSERT_EQ(0, bt_free1(self->c.fd, w.e.handle));
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_pool_resize(self->fd, self->pool, BMEM_RESIZE_LIMIT,
				    LIMIT, 0));

	/* Who is bound to another pool meanwhile goes on there. */
	ASSERT_TRUE(waits(&w, &t));
	ASSERT_EQ(0, bt_bind_pool(self->c.fd, BMEM_POOL_DEFAULT));
	pthread_join(t, NULL);
	EXPECT_EQ(0, w.ret);
	EXPECT_GT(20000, w.took);
	ASSERT_EQ(0, bt_free1(self->c.fd, w.e.handle));
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	bt_client_close(&other);
}

#define CROWD		4

static void *take_turns(void *arg)
{
	struct crowd *c = arg;
	unsigned int i;
	int fd = bt_open();

	if (fd < 0 || bt_bind_pool(fd, c->pool))
		return arg;
	for (i = 0; i < c->each; i++) {
		struct bmem_alloc_entry e = { .bytes = LIMIT };

		if (alloc_waiting(fd, &e, BMEM_WAIT_MAX_MS) ||
		    bt_free1(fd, e.handle))
			__atomic_fetch_add(&c->bad, 1, __ATOMIC_RELAXED);
	}
	close(fd);
	return NULL;
}

/* There is room for one at a time: each gets it, and none sleeps for ever. */
TEST_F_TIMEOUT(events, crowd_takes_turns, BT_SLOW)
{
	struct crowd c = { .pool = self->pool, .each = scaled(50) };
	pthread_t t[CROWD];
	void *failed;
	int i;

	for (i = 0; i < CROWD; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, take_turns, &c));
	for (i = 0; i < CROWD; i++) {
		pthread_join(t[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_EQ(0, c.bad);
}

TEST_HARNESS_MAIN
