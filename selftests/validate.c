// SPDX-License-Identifier: GPL-2.0-only
/*
 * Integrated validations: all parts at once, held against what must be there.
 *
 *	life_cycle		a tensor from ALLOC until its page is the pool's
 *	memory_pressure		two clients that must share, and who is told
 *	leak_detection		what leaks is found, told, measured and named, in
 *				a process that runs and when it is gone
 *	performance_impact	what all that costs those who do not need it
 *	concurrent_safety	everything at once, contents and sums in the end
 *	soak			replays of two programs, pressure and kills,
 *				counters against the truth every second
 *
 * BMEM_SOAK_S is how many seconds the soak takes (12).
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "leak_calls.h"
#include "player.h"

#define POOL_LIMIT	(256 * BT_MIB)

#ifndef TRACES
#define TRACES		"traces"
#endif

#define EXPECT_SOUND(fd) do {						\
	const char *bad_ = bt_check(fd);				\
	EXPECT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

FIXTURE(validate) {
	int admin;
	int pool;
};

FIXTURE_SETUP(validate)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "validate", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
}

FIXTURE_TEARDOWN(validate)
{
	struct bmem_pool_stats st;

	EXPECT_TRUE(BT_WAIT(!bt_pool_now(self->admin, self->pool, &st) &&
			    !st.total_bytes, 10000)) {
		TH_LOG("%llu bytes are left", st.total_bytes);
	}
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

static __u64 attached(int fd, int pool)
{
	struct bmem_pool_stats st;

	return bt_pool_now(fd, pool, &st) ? ~0ULL : st.attached_bytes;
}

/* ---- life cycle ------------------------------------------------------------------ */

TEST_F_TIMEOUT(validate, life_cycle, BT_SLOW)
{
	static const __u64 sizes[] = {
		1, 63, 4096, 4097, 100000, BT_MIB, BT_HUGE, BT_HUGE + 1,
		5 * BT_HUGE + 12345,
	};
	enum { NR = ARRAY_SIZE(sizes) };
	struct bmem_alloc_entry e[NR] = { 0 };
	struct bmem_client_stats st;
	struct bmem_tensor_info info;
	struct bmem_tensor *rows;
	struct bt_client c;
	__u64 sum = 0, id;
	int i;

	ASSERT_EQ(0, bt_client_open(&c, self->pool));
	id = c.id;
	ASSERT_EQ(0, bt_site(c.fd, 7, "life"));
	for (i = 0; i < NR; i++) {
		e[i].bytes = sizes[i];
		e[i].site = 7;
		sum += sizes[i];
	}
	/* Born together, */
	ASSERT_EQ(0, bt_alloc(c.fd, e, NR, NULL));
	EXPECT_SOUND(c.fd);
	/* known by handle and by address, */
	for (i = 0; i < NR; i++) {
		bt_fill(c.map + e[i].offset, sizes[i], i);
		ASSERT_EQ(0, bt_info(c.fd, e[i].handle, &info));
		EXPECT_EQ(sizes[i], info.tensor.bytes);
		EXPECT_STREQ("life", info.label);
		ASSERT_EQ(0, bt_info_at(c.fd, e[i].offset + sizes[i] - 1,
					&info));
		EXPECT_EQ(e[i].handle, info.tensor.handle);
	}
	/* listed and counted, */
	EXPECT_EQ(NR, bt_list(c.fd, 0, &rows));
	free(rows);
	ASSERT_EQ(0, bt_client_now(c.fd, 0, &st));
	EXPECT_EQ(sum, st.live_bytes);
	EXPECT_EQ(NR, st.allocs);
	/* used, */
	for (i = 0; i < NR; i++)
		EXPECT_EQ(-1, bt_verify(c.map + e[i].offset, sizes[i], i));
	/* freed one by one, each once, */
	for (i = NR - 1; i >= 0; i--) {
		ASSERT_EQ(0, bt_free1(c.fd, e[i].handle));
		EXPECT_EQ(-ENOENT, bt_free1(c.fd, e[i].handle));
		EXPECT_EQ(-ENOENT, bt_info(c.fd, e[i].handle, &info));
		EXPECT_SOUND(c.fd);
	}
	/* and what they held is the pool's again, by itself. */
	EXPECT_TRUE(BT_WAIT(!attached(c.fd, self->pool), 5000));
	ASSERT_EQ(0, bt_client_now(c.fd, 0, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(0, st.cached_bytes + st.queued_bytes);
	EXPECT_EQ(sum, st.peak_live_bytes);
	bt_client_close(&c);
	EXPECT_EQ(-ENOENT, bt_client_now(self->admin, id, &st));
}

/* ---- pressure --------------------------------------------------------------------- */

/* All events that wait; how many, or -errno. */
static int read_events(int fd, struct bmem_event *e, int max)
{
	ssize_t got = read(fd, e, max * sizeof(*e));

	return got < 0 ? -errno : (int)(got / sizeof(*e));
}

static const struct bmem_event *find_event(const struct bmem_event *e, int nr,
					   __u32 type, __u32 pool)
{
	int i;

	for (i = 0; i < nr; i++)
		if (e[i].type == type && e[i].pool == pool)
			return &e[i];
	return NULL;
}

TEST_F_TIMEOUT(validate, memory_pressure, BT_SLOW)
{
	struct bmem_events want = {
		.size = sizeof(want), .flags = BMEM_EVENTS_SET,
		.mask = BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE) |
			BMEM_EVENT_BIT(BMEM_EVENT_CLEANUP_DONE) |
			BMEM_EVENT_BIT(BMEM_EVENT_RECALL) |
			BMEM_EVENT_BIT(BMEM_EVENT_COMPACT_WANTED),
	};
	struct bmem_alloc_entry live, idle, more, extra;
	const struct bmem_event *p, *d;
	struct bmem_event e[256];
	struct bmem_client_stats st;
	struct bt_client a, b;
	int i, nr = 0, got;
	__u64 asked;

	ASSERT_EQ(0, bt_client_open(&a, self->pool));
	ASSERT_EQ(0, bt_client_open(&b, self->pool));
	ASSERT_EQ(0, bt_bind_cache(a.fd, 60 * BT_MIB));
	ASSERT_EQ(0, fcntl(b.fd, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, bt_call(b.fd, BMEM_EVENTS, &want));
	/* A quarter of the pool is idle with a client that does nothing. */
	ASSERT_EQ(0, bt_alloc1(a.fd, 40 * BT_MIB, &live));
	bt_tag(a.map + live.offset, 40 * BT_MIB, 1);
	ASSERT_EQ(0, bt_alloc1(a.fd, 60 * BT_MIB, &idle));
	ASSERT_EQ(0, bt_free1(a.fd, idle.handle));
	ASSERT_EQ(0, bt_client_now(a.fd, 0, &st));
	EXPECT_EQ(60 * BT_MIB, st.cached_bytes);
	asked = bt_debugfs_value("overhead", "sweeps_asked");
	/* Another one comes to need it, and has it before it is refused. */
	ASSERT_EQ(0, bt_alloc1(b.fd, 120 * BT_MIB, &more));
	EXPECT_TRUE(BT_WAIT(!bt_client_now(a.fd, 0, &st) && !st.cached_bytes,
			    2000));
	ASSERT_EQ(0, bt_alloc1(b.fd, 90 * BT_MIB, &idle));
	EXPECT_EQ(-1, bt_tag_verify(a.map + live.offset, 40 * BT_MIB, 1));
	/* Figures are brought up to date after it, unless they are just that. */
	for (i = 0; i < 20; i++) {
		usleep(150000);
		if (bt_debugfs_value("overhead", "sweeps_asked") > asked)
			break;
		ASSERT_EQ(0, bt_alloc1(a.fd, BT_HUGE, &extra));
		ASSERT_EQ(0, bt_free1(a.fd, extra.handle));
	}
	EXPECT_LT(asked, bt_debugfs_value("overhead", "sweeps_asked"));
	/* It was told so, in the order in which it happened. */
	p = NULL;
	d = NULL;
	BT_WAIT(({
		while (nr < 128 && (got = read_events(b.fd, e + nr, 64)) > 0)
			nr += got;
		p = find_event(e, nr, BMEM_EVENT_PRESSURE, self->pool);
		d = find_event(e, nr, BMEM_EVENT_CLEANUP_DONE, self->pool);
		p && d && find_event(e, nr, BMEM_EVENT_COMPACT_WANTED, self->pool);
	}), 300);
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, d);
	EXPECT_LE(BMEM_PRESSURE_RAISED, p->level);
	EXPECT_LT(p->serial, d->serial);
	EXPECT_LE(BT_HUGE, d->bytes);
	EXPECT_NE(NULL, find_event(e, nr, BMEM_EVENT_COMPACT_WANTED, self->pool));
	for (i = 1; i < nr; i++) {
		EXPECT_LT(e[i - 1].serial, e[i].serial);
		EXPECT_EQ(0, e[i].lost);
	}
	EXPECT_SOUND(a.fd);
	EXPECT_SOUND(b.fd);
	bt_client_close(&a);
	bt_client_close(&b);
}

/* Killed: the child; when it has ended by itself before, that was a failure. */
static bool end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

/* ---- leaks -------------------------------------------------------------------------- */

enum { KEPT = 10, LOST, RELEASED, GROWING, HELD };

static const char *const labels[] = {
	"kept", "lost", "released", "growing", "held",
};

#define TENSORS		8
#define LEAKED		20000
/* Growth of less than that is not told. */
#define GROWTH_MS	"5000"

/**
 * struct leaky - a process that leaks, in shared memory
 * @pool: to bind to
 * @id: its client; set when all is as it shall be
 * @grow: what grows is to begin: it is lost, too, and before that all is known
 * @repent: it is to hold again what it has let go of
 * @repented: it does
 * @at: where its tensors are, but for those of LOST
 */
struct leaky {
	int pool;
	volatile __u64 id;
	volatile int grow;
	volatile int repent;
	volatile int repented;
	void *volatile at[3 * TENSORS];
};

/* Tensors of a site; pointers to them in @at, unless that is NULL. */
static int put_some(struct bt_client *c, __u32 site, void *volatile *at,
		    __u64 *handles)
{
	struct bmem_alloc_entry e;
	int i, ret = 0;

	for (i = 0; i < TENSORS && !ret; i++) {
		e = (struct bmem_alloc_entry){
			.bytes = LEAKED, .site = site,
			.flags = BMEM_ALLOC_RECORD,
		};
		ret = bt_alloc(c->fd, &e, 1, NULL);
		if (at)
			at[i] = c->map + e.offset;
		if (handles)
			handles[i] = e.handle;
		/* A handle or an offset on the stack leads to it as well. */
		explicit_bzero(&e, sizeof(e));
	}
	return ret;
}

#define HOLE	(32 * BT_MIB)

/*
 * What will be a hole between two tensors, for who measures.  The others come
 * after it: at small offsets any small number would lead to them.
 */
static int put_held(struct bt_client *c, void *volatile *at, __u64 *hole)
{
	struct bmem_alloc_entry e[3] = {
		{ .bytes = BT_MIB, .site = HELD },
		{ .bytes = HOLE, .site = HELD },
		{ .bytes = BT_MIB, .site = HELD },
	};
	int ret = bt_alloc(c->fd, e, 3, NULL);

	at[0] = c->map + e[0].offset;
	at[1] = c->map + e[2].offset;
	*hole = e[1].handle;
	return ret;
}

static int leak(void *arg)
{
	struct leaky *l = arg;
	__u64 released[TENSORS], hole;
	struct bmem_alloc_entry e;
	struct bt_client c;
	int i, ret;

	ret = bt_client_open(&c, l->pool);
	for (i = KEPT; i <= HELD && !ret; i++)
		ret = bt_site(c.fd, i, labels[i - KEPT]);
	ret = ret ? ret : put_held(&c, l->at, &hole);
	ret = ret ? ret : put_some(&c, KEPT, l->at + TENSORS, NULL);
	ret = ret ? ret : put_some(&c, RELEASED, l->at + 2 * TENSORS, released);
	ret = ret ? ret : put_some(&c, LOST, NULL, NULL);
	/* What grows begins to fill it. */
	ret = ret ? ret : bt_free1(c.fd, hole);
	for (i = 0; i < TENSORS && !ret; i++) {
		ret = lk_link(c.fd, 0, released[i]);
		ret = ret ? ret : lk_unlink(c.fd, 0, released[i]);
	}
	if (ret)
		return 1;
	l->id = c.id;
	while (!l->grow)
		usleep(1000);
	for (;;) {
		e = (struct bmem_alloc_entry){
			.bytes = 64 * BT_KIB, .site = GROWING,
		};
		if (bt_alloc(c.fd, &e, 1, NULL))
			return 2;
		usleep(50000);
		if (!l->repent || l->repented)
			continue;
		for (i = 0; i < TENSORS; i++)
			if (lk_link(c.fd, 0, released[i]))
				return 3;
		l->repented = 1;
	}
}

static int scan_of(int fd, __u64 id, __u32 kinds, struct bmem_leak_scan *scan)
{
	*scan = (struct bmem_leak_scan){
		.size = sizeof(*scan), .client_id = id, .kinds = kinds,
		.flags = BMEM_LEAK_SCAN_AGE | BMEM_LEAK_SCAN_CONFIRM,
		.delay_ms = 50,
	};
	return bt_call(fd, BMEM_LEAK_SCAN, scan);
}

/* Is this kind of leak of this site found, and in which state?  0 if not. */
static int found(int fd, __u64 id, __u32 kind, __u32 site,
		 struct bmem_leak_row *row)
{
	const struct bmem_leak_row *r = NULL;
	struct bmem_leak_row *rows;
	int nr = lk_list(fd, id, 0, &rows, NULL), state = nr < 0 ? nr : 0;

	if (nr > 0)
		r = lk_row(rows, nr, kind, site);
	if (r) {
		state = r->state;
		*row = *r;
	}
	free(rows);
	return state;
}

/* Which of the events are of this type and client: the first, or NULL. */
static const struct bmem_event *event_of(const struct bmem_event *e, int nr,
					 __u32 type, __u64 client)
{
	int i;

	for (i = 0; i < nr; i++)
		if (e[i].type == type && e[i].client_id == client)
			return &e[i];
	return NULL;
}

/* Bytes that a tombstone names under a label; 0 when it does not. */
static __u64 buried(__u64 client, const char *label)
{
	char *text = bt_read_file(BT_DEBUGFS "/tombstones"), *line, *save;
	unsigned long long bytes = 0, b, n;
	bool in = false;
	char want[32];

	snprintf(want, sizeof(want), " client=%llu ", client);
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (*line != ' ')
			in = strstr(line, want);
		else if (in && strstr(line, label) &&
			 sscanf(line, " %llu bytes in %llu tensors", &b, &n) == 2)
			bytes += b;
	}
	free(text);
	return bytes;
}

static void expect_evidence(struct __test_metadata *_metadata, int fd,
			    __u64 id)
{
	struct bmem_leak_row row;

	/* Each is found by what shows it, and what is held is not accused. */
	ASSERT_EQ(BMEM_LEAK_CONFIRMED,
		  found(fd, id, BMEM_LEAK_UNREACHABLE, LOST, &row));
	EXPECT_EQ(TENSORS, row.confirmed_tensors);
	EXPECT_EQ(TENSORS * LEAKED, row.confirmed_bytes);
	EXPECT_TRUE(row.evidence & BMEM_LEAK_NO_POINTER);
	EXPECT_STREQ("lost", row.label);
	ASSERT_EQ(BMEM_LEAK_CONFIRMED,
		  found(fd, id, BMEM_LEAK_UNREFERENCED, RELEASED, &row));
	EXPECT_EQ(TENSORS, row.confirmed_tensors);
	EXPECT_TRUE(row.evidence & BMEM_LEAK_NO_REFERENCE);
	EXPECT_EQ(0, found(fd, id, BMEM_LEAK_UNREACHABLE, RELEASED, &row));
	EXPECT_EQ(0, found(fd, id, BMEM_LEAK_UNREACHABLE, KEPT, &row));
	EXPECT_EQ(0, found(fd, id, BMEM_LEAK_UNREFERENCED, KEPT, &row));
	EXPECT_EQ(0, found(fd, id, BMEM_LEAK_GROWTH, KEPT, &row));
	/* The rule: who leaks has his space looked at. */
	EXPECT_TRUE(BT_WAIT(found(fd, id, BMEM_LEAK_UNREACHABLE, LOST, &row) &&
			    row.largest_hole_bytes >= HOLE / 4, 5000));
	EXPECT_LE(row.largest_hole_bytes, row.hole_bytes);
	EXPECT_GT(1000, row.fragmentation);
}

static void expect_told(struct __test_metadata *_metadata,
			const struct bmem_event *e, int nr, __u64 id)
{
	static const __u32 order[] = {
		BMEM_EVENT_LEAK_SUSPECTED, BMEM_EVENT_LEAK_CONFIRMED,
		BMEM_EVENT_LEAK_CLEARED, BMEM_EVENT_CLIENT_GONE,
	};
	const struct bmem_event *was = NULL, *is;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		is = event_of(e, nr, order[i], id);
		ASSERT_NE(NULL, is) {
			TH_LOG("no event of type %u among %d", order[i], nr);
		}
		if (was)
			EXPECT_LT(was->serial, is->serial);
		was = is;
	}
}

TEST_F_TIMEOUT(validate, leak_detection, BT_SLOW)
{
	struct bmem_events want = {
		.size = sizeof(want), .flags = BMEM_EVENTS_SET,
		.mask = BMEM_EVENT_BIT(BMEM_EVENT_LEAK_SUSPECTED) |
			BMEM_EVENT_BIT(BMEM_EVENT_LEAK_CONFIRMED) |
			BMEM_EVENT_BIT(BMEM_EVENT_LEAK_CLEARED) |
			BMEM_EVENT_BIT(BMEM_EVENT_CLIENT_GONE),
	};
	int fd = self->admin, nr = 0, got;
	struct bmem_leak_scan scan;
	struct bmem_event e[128];
	struct bmem_leak_row row;
	char age[16], growth[16];
	struct leaky *l;
	pid_t pid;

	l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, l);
	l->pool = self->pool;
	ASSERT_EQ(0, bt_param("leak_age_ms", age, sizeof(age)));
	ASSERT_EQ(0, bt_param("growth_ms", growth, sizeof(growth)));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "1"));
	ASSERT_EQ(0, bt_param_set("growth_ms", GROWTH_MS));
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, bt_call(fd, BMEM_EVENTS, &want));
	pid = bt_spawn(leak, l);
	ASSERT_TRUE(BT_WAIT(l->id, 20000));
	ASSERT_EQ(0, scan_of(fd, l->id, LK_UNREF |
			     BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE), &scan));
	EXPECT_EQ(2, scan.confirmed);
	EXPECT_EQ(2 * TENSORS * LEAKED, scan.confirmed_bytes);
	expect_evidence(_metadata, fd, l->id);
	l->grow = 1;
	/* What grows is found by itself, whatever leads to it. */
	EXPECT_TRUE(BT_WAIT(found(fd, l->id, BMEM_LEAK_GROWTH, GROWING, &row) > 0,
			    60000));
	EXPECT_TRUE(row.evidence & BMEM_LEAK_TREND);
	EXPECT_LT(0, row.slope);
	/* What is held again is no leak any more. */
	l->repent = 1;
	ASSERT_TRUE(BT_WAIT(l->repented, 10000));
	ASSERT_EQ(0, scan_of(fd, l->id, LK_UNREF, &scan));
	EXPECT_EQ(0, scan.confirmed + scan.suspected);
	EXPECT_LE(1, scan.cleared);
	/* Killed: all is back, and what it leaked has a name yet. */
	EXPECT_TRUE(end(pid));
	EXPECT_TRUE(BT_WAIT(!attached(fd, self->pool), 5000));
	EXPECT_EQ(-ENOENT, scan_of(fd, l->id, LK_UNREF, &scan));
	EXPECT_TRUE(BT_WAIT(buried(l->id, "lost") == TENSORS * LEAKED, 5000));
	EXPECT_EQ(TENSORS * LEAKED, buried(l->id, "kept"));
	EXPECT_LT(0, buried(l->id, "growing"));
	ASSERT_EQ(0, bt_call(fd, BMEM_EVENTS, &want));
	while (nr < 64 && (got = read_events(fd, e + nr, 64)) > 0)
		nr += got;
	expect_told(_metadata, e, nr, l->id);
	EXPECT_EQ(0, bt_param_set("leak_age_ms", age));
	EXPECT_EQ(0, bt_param_set("growth_ms", growth));
	munmap(l, sizeof(*l));
}

/* ---- cost --------------------------------------------------------------------------- */

#define PAIRS	400
#define TAKES	7

static int by_size(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/* Nanoseconds of a pair of ALLOC and FREE of a huge page: the median. */
static __u64 pair_ns(int fd)
{
	struct bmem_alloc_entry e;
	__u64 took[PAIRS], start;
	int i;

	for (i = 0; i < PAIRS; i++) {
		start = bt_now_ns();
		if (bt_alloc1(fd, BT_HUGE, &e) || bt_free1(fd, e.handle))
			return ~0ULL;
		took[i] = bt_now_ns() - start;
	}
	qsort(took, PAIRS, sizeof(*took), by_size);
	return took[PAIRS / 2];
}

struct watcher {
	pthread_t thread;
	int fd;
	int pool;
	bool stop;
};

/* Looks at all there is a thousand times a second, and reads every event. */
static void *watch(void *arg)
{
	struct watcher *w = arg;
	struct bmem_pressure p;
	struct bmem_event e[64];

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		bt_pressure(w->fd, w->pool, &p);
		while (read_events(w->fd, e, 64) > 0)
			;
		free(bt_read_file(BT_DEBUGFS "/cleanup"));
		usleep(1000);
	}
	return NULL;
}

static int watch_start(struct watcher *w, int pool)
{
	struct bmem_events want = {
		.size = sizeof(want), .flags = BMEM_EVENTS_SET,
		.mask = BMEM_EVENT_BIT(BMEM_EVENT_TYPES) - 2,
	};

	*w = (struct watcher){ .fd = bt_open(), .pool = pool };
	if (w->fd < 0 || bt_bind_pool(w->fd, pool) ||
	    fcntl(w->fd, F_SETFL, O_NONBLOCK) ||
	    bt_call(w->fd, BMEM_EVENTS, &want))
		return -1;
	return pthread_create(&w->thread, NULL, watch, w);
}

static void watch_stop(struct watcher *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(w->thread, NULL);
	close(w->fd);
}

/*
 * Pairs that are alone, pairs while somebody watches everything, and pairs while
 * a lot waits to go back: the best of some takes each, since the machine is not
 * this test's alone.
 */
TEST_F_TIMEOUT(validate, performance_impact, BT_SLOW)
{
	__u64 alone = ~0ULL, watched = ~0ULL, waiting = ~0ULL, ns;
	struct bmem_alloc_entry hold, queued;
	struct bmem_client_stats before, after;
	struct watcher w;
	struct bt_client c;
	char idle[16];
	int i;

	ASSERT_EQ(0, bt_client_open(&c, self->pool));
	ASSERT_EQ(0, bt_bind_cache(c.fd, BT_HUGE));
	ASSERT_EQ(0, bt_alloc1(c.fd, 100 * BT_MIB, &hold));
	ASSERT_EQ(0, bt_param("cleanup_idle_ms", idle, sizeof(idle)));
	pair_ns(c.fd);
	for (i = 0; i < TAKES; i++) {
		ns = pair_ns(c.fd);
		alone = ns < alone ? ns : alone;
		ASSERT_EQ(0, watch_start(&w, self->pool));
		ns = pair_ns(c.fd);
		watch_stop(&w);
		watched = ns < watched ? ns : watched;
		EXPECT_EQ(0, bt_param_set("cleanup_idle_ms", "60000"));
		ASSERT_EQ(0, bt_alloc1(c.fd, 4 * BT_HUGE, &queued));
		ASSERT_EQ(0, bt_free1(c.fd, queued.handle));
		ASSERT_EQ(0, bt_client_now(c.fd, 0, &before));
		EXPECT_LT(0, before.queued_bytes);
		ns = pair_ns(c.fd);
		waiting = ns < waiting ? ns : waiting;
		/* It waited all the time. */
		ASSERT_EQ(0, bt_client_now(c.fd, 0, &after));
		EXPECT_EQ(before.queued_bytes, after.queued_bytes);
		bt_trim(c.fd, BMEM_TRIM_QUEUED, 0, NULL);
		EXPECT_EQ(0, bt_param_set("cleanup_idle_ms", idle));
	}
	TH_LOG("a pair: %llu ns alone, %llu while watched, %llu while 8 MiB wait",
	       alone, watched, waiting);
	EXPECT_NE(~0ULL, alone);
	if (!bt_debug_kernel()) {
		EXPECT_GE(alone * 3 / 2, watched);
		EXPECT_GE(alone * 3 / 2, waiting);
	}
	EXPECT_SOUND(c.fd);
	bt_client_close(&c);
}

/* ---- all at once --------------------------------------------------------------------- */

#define THREADS		6
#define HOLDS		12
#define ROUNDS		(bt_debug_kernel() ? 60 : 300)

struct one {
	pthread_t thread;
	struct bt_client *c;
	int pool;
	__u64 seed;
	unsigned int done;
	char bad[128];
};

/* Allocates, fills, checks and frees, whatever else goes on. */
static void *user(void *arg)
{
	struct bmem_alloc_entry e[HOLDS] = { 0 };
	struct one *o = arg;
	__u64 seed[HOLDS];
	int i, at, ret;

	for (i = 0; i < ROUNDS && !o->bad[0]; i++) {
		at = bt_random(&o->seed) % HOLDS;
		if (e[at].handle) {
			if (bt_tag_verify(o->c->map + e[at].offset,
					  e[at].bytes, seed[at]) != -1)
				snprintf(o->bad, sizeof(o->bad),
					 "round %d: contents changed", i);
			ret = bt_free1(o->c->fd, e[at].handle);
			if (ret)
				snprintf(o->bad, sizeof(o->bad), "free: %d", ret);
			e[at].handle = 0;
			continue;
		}
		ret = bt_alloc1(o->c->fd, 1 + bt_random(&o->seed) %
				(2 * BT_HUGE), &e[at]);
		if (ret) {
			e[at].handle = 0;
			if (ret != -ENOSPC && ret != -ENOMEM)
				snprintf(o->bad, sizeof(o->bad), "alloc: %d",
					 ret);
			continue;
		}
		seed[at] = bt_random(&o->seed);
		bt_tag(o->c->map + e[at].offset, e[at].bytes, seed[at]);
		o->done++;
	}
	for (at = 0; at < HOLDS; at++)
		if (e[at].handle)
			bt_free1(o->c->fd, e[at].handle);
	return NULL;
}

/* Everything that moves memory about from outside. */
static void *meddler(void *arg)
{
	static const char *const batches[] = { "0", "1", "10", "1024" };
	static const char *const levels[] = {
		"70,80,90,95", "10,20,30,40", "97,98,99,100",
	};
	struct one *o = arg;
	int i, what, ret = 0;
	char *text;

	for (i = 0; i < ROUNDS; i++) {
		what = bt_random(&o->seed) % 8;
		switch (what) {
		case 0:
			ret = bt_write_file(BT_DEBUGFS "/cleanup", "flush");
			break;
		case 1:
			/* It may find nobody who can be looked at. */
			bt_write_file(BT_DEBUGFS "/shrink", "2048");
			ret = 0;
			break;
		case 2:
			ret = bt_trim(o->c->fd, BMEM_TRIM_POOL, 0, NULL);
			break;
		case 3:
			ret = bt_param_set("cleanup_batch",
					   batches[bt_random(&o->seed) % 4]);
			break;
		case 4:
			ret = bt_param_set("pressure_levels",
					   levels[bt_random(&o->seed) % 3]);
			break;
		case 5:
			ret = bt_bind_cache(o->c->fd,
					    bt_random(&o->seed) % (16 * BT_MIB));
			break;
		case 6:
			/* There may be no room for it just now. */
			bt_pool_resize(o->c->fd, o->pool, BMEM_RESIZE_RESERVE, 0,
				       bt_random(&o->seed) % 8 * BT_HUGE);
			ret = 0;
			break;
		case 7:
			text = bt_read_file(BT_DEBUGFS "/pressure");
			ret = text ? 0 : -ENOENT;
			free(text);
			break;
		}
		if (ret)
			snprintf(o->bad, sizeof(o->bad), "meddling %d: %d", what, ret);
		usleep(1000);
	}
	return NULL;
}

TEST_F_TIMEOUT(validate, concurrent_safety, BT_SLOW)
{
	char batch[16], levels[16];
	struct bt_client c[2];
	struct one o[THREADS + 2];
	int i;

	ASSERT_EQ(0, bt_param("cleanup_batch", batch, sizeof(batch)));
	ASSERT_EQ(0, bt_param("pressure_levels", levels, sizeof(levels)));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, bt_client_open(&c[i], self->pool));
	for (i = 0; i < THREADS + 2; i++) {
		o[i] = (struct one){
			.c = &c[i % 2], .pool = self->pool, .seed = i + 1,
		};
		ASSERT_EQ(0, pthread_create(&o[i].thread, NULL,
					    i < THREADS ? user : meddler, &o[i]));
	}
	for (i = 0; i < THREADS + 2; i++) {
		ASSERT_EQ(0, pthread_join(o[i].thread, NULL));
		EXPECT_STREQ("", o[i].bad);
		if (i < THREADS)
			EXPECT_LT(0, o[i].done);
	}
	EXPECT_EQ(0, bt_param_set("cleanup_batch", batch));
	EXPECT_EQ(0, bt_param_set("pressure_levels", levels));
	EXPECT_EQ(0, bt_pool_resize(self->admin, self->pool, BMEM_RESIZE_RESERVE,
				    0, 0));
	for (i = 0; i < 2; i++) {
		EXPECT_SOUND(c[i].fd);
		ASSERT_EQ(0, bt_trim(c[i].fd, 0, 0, NULL));
	}
	EXPECT_EQ(0, attached(self->admin, self->pool));
	EXPECT_EQ(0, bt_debugfs_value("cleanup", "surplus_bytes"));
	for (i = 0; i < 2; i++)
		bt_client_close(&c[i]);
}

/* ---- soak --------------------------------------------------------------------------- */

/* Replays of the two traces hold up to 76 MiB and 110 MiB. */
#define SOAK_LIMIT	(224 * BT_MIB)
#define SOAK_TAKE	(36 * BT_MIB)

struct soak {
	int pool;
	const char *file;
};

/* Plays a trace again and again until it is killed; contents are checked. */
static int replayer(void *arg)
{
	struct soak *s = arg;
	struct trace trace;
	struct player p;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", TRACES, s->file);
	if (trace_load(&trace, path))
		return 1;
	for (;;) {
		if (player_open(&p, &trace, &backend_raw, "soak", s->pool))
			return 2;
		p.pattern = true;
		while (p.next < trace.nr)
			if (player_step(&p))
				return 3;
		player_close(&p);
	}
}

/*
 * Takes some and lets go of it, in turn: with what the replays hold at the most,
 * nearly all that there is.
 */
static int presser(void *arg)
{
	struct soak *s = arg;
	struct bmem_alloc_entry e;
	struct bt_client c;
	__u64 seed = getpid(), tag;

	if (bt_client_open(&c, s->pool))
		return 1;
	for (;;) {
		if (!bt_alloc1(c.fd, 1 + bt_random(&seed) % SOAK_TAKE, &e)) {
			tag = bt_random(&seed);
			bt_tag(c.map + e.offset, e.bytes, tag);
			usleep(bt_random(&seed) % 50000);
			if (bt_tag_verify(c.map + e.offset, e.bytes, tag) >= 0)
				return 2;
			bt_free1(c.fd, e.handle);
		}
		usleep(bt_random(&seed) % 20000);
	}
}

/* Does it neither run nor finish the call that it was in? */
static bool stopped(pid_t pid)
{
	char state = bt_task_state(pid);

	return state == 'T' || state == 'Z';
}

static unsigned int soak_seconds(void)
{
	const char *s = getenv("BMEM_SOAK_S");

	return s ? strtoul(s, NULL, 10) : 12;
}

TEST_F_TIMEOUT(validate, soak, 4000)
{
	static int (*const roles[])(void *) = { replayer, replayer, presser };
	struct soak as[3] = {
		{ self->pool, "kv-tensor.trace.zst" },
		{ self->pool, "cnn-tensor.trace.zst" },
		{ self->pool, "" },
	};
	unsigned int s, i, seconds = soak_seconds();
	struct bmem_pool_stats st;
	struct bmem_pressure p;
	char levels[16];
	const char *bad;
	pid_t pids[3];

	ASSERT_EQ(0, bt_pool_resize(self->admin, self->pool, BMEM_RESIZE_LIMIT,
				    SOAK_LIMIT, 0));
	/* However far the replays come: there is to be pressure. */
	ASSERT_EQ(0, bt_param("pressure_levels", levels, sizeof(levels)));
	ASSERT_EQ(0, bt_param_set("pressure_levels", "15,25,40,60"));
	for (i = 0; i < 3; i++)
		pids[i] = bt_spawn(roles[i], &as[i]);
	for (s = 1; s <= seconds; s++) {
		sleep(1);
		bad = bt_check_parts(self->admin, self->pool);
		EXPECT_EQ(NULL, bad) {
			TH_LOG("second %u: %s", s, bad);
		}
		/* All stop, so that sums are of one moment; some die. */
		for (i = 0; i < 3; i++)
			kill(pids[i], SIGSTOP);
		for (i = 0; i < 3; i++)
			EXPECT_TRUE(BT_WAIT(stopped(pids[i]), BT_SOON));
		bad = bt_check_pool(self->admin, self->pool);
		EXPECT_EQ(NULL, bad) {
			TH_LOG("second %u: %s", s, bad);
		}
		for (i = 0; i < 3; i++)
			kill(pids[i], SIGCONT);
		if (s % 3)
			continue;
		i = s / 3 % 3;
		EXPECT_TRUE(end(pids[i])) {
			TH_LOG("second %u: child %u had ended", s, i);
		}
		pids[i] = bt_spawn(roles[i], &as[i]);
	}
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(end(pids[i]));
	EXPECT_EQ(0, bt_param_set("pressure_levels", levels));
	/* Nothing has drifted. */
	EXPECT_TRUE(BT_WAIT(!bt_pool_now(self->admin, self->pool, &st) &&
			    !st.total_bytes, 10000));
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_EQ(0, st.escaped_bytes);
	EXPECT_EQ(st.huge_taken, st.huge_given);
	EXPECT_TRUE(BT_WAIT(!bt_debugfs_value("cleanup", "surplus_bytes"),
			    2000));
	ASSERT_EQ(0, bt_pressure(self->admin, self->pool, &p));
	EXPECT_LT(0, p.entered[BMEM_PRESSURE_HIGH]);
	TH_LOG("%u s: %llu huge pages taken, peak %llu MiB, pressure told of %llu times",
	       seconds, st.huge_taken, st.peak_attached_bytes / BT_MIB, p.events);
}

TEST_HARNESS_MAIN
