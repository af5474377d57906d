// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library's magazines and stash on the real device: what it does without
 * a call the kernel reads from the ledger, to the byte; threads that end and
 * processes that are killed leave nothing behind.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include <bmem.h>

#include "bmem_test.h"
#include "hog.h"
#include "trace.h"

#define POOL_LIMIT	(512 * BT_MIB)
#define PLAYERS		2
#define EVERY		1000
#define EVENTS		120000
/* The debug kernel is there for what it says in its log. */
#define DEBUG_EVENTS	12000
/* Pages of the ledger that are looked at: far more than the events need. */
#define LEDGER_SEEN	65536
/* One block of so many is freed by the other thread. */
#define HANDED		16

#ifndef TRACES
#define TRACES		"traces"
#endif

static int lib_open(struct bmem_client **c, int pool)
{
	struct bmem_options options = {
		.sz = sizeof(options), .pool = pool,
		.backend = BMEM_BACKEND_DEV, .label = "cached",
	};

	return bmem_open(c, &options);
}

static int ledger_stats(struct bmem_client *c, struct bmem_client_stats *st)
{
	*st = (struct bmem_client_stats){
		.size = sizeof(*st), .flags = BMEM_STATS_LEDGER,
	};
	return bmem_stats(c, st);
}

FIXTURE(cached) {
	struct bmem_client *c;
	int admin;
	int pool;
};

FIXTURE_SETUP(cached)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "cached", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, lib_open(&self->c, self->pool));
}

FIXTURE_TEARDOWN(cached)
{
	struct bmem_pool_stats st;

	bmem_close(self->c);
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
			    !st.total_bytes, 5000));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

/* ---- replays ------------------------------------------------------------------ */

/**
 * struct part - one thread's replay
 * @c: client, both threads'
 * @trace: what it plays
 * @blocks: its live blocks
 * @bytes: their sizes
 * @given: blocks that it has to free for the other
 * @given_id: the numbers that they were tagged with
 * @given_bytes: their sizes
 * @nr_given: how many
 * @other: the other thread's part
 * @meet: where both wait for each other
 * @events: how many to play
 * @live: its live blocks, those that it has given away too
 * @live_bytes: what they asked for
 * @bad: what went wrong
 */
struct part {
	struct bmem_client *c;
	struct trace trace;
	void **blocks;
	__u64 *bytes;
	void *given[EVERY];
	__u64 given_id[EVERY];
	__u64 given_bytes[EVERY];
	int nr_given;
	struct part *other;
	pthread_barrier_t *meet;
	size_t events;
	__u64 live;
	__u64 live_bytes;
	char bad[256];
};

#define PART_BAD(p, ...) do {						\
	if (!(p)->bad[0])						\
		snprintf((p)->bad, sizeof((p)->bad), __VA_ARGS__);	\
} while (0)

static void part_alloc(struct part *p, const struct trace_event *ev)
{
	size_t align = ev->align < BMEM_ALIGN_MIN ? 0 : ev->align;
	void *at = bmem_alloc(p->c, ev->bytes, align, 0, NULL);

	if (!at) {
		PART_BAD(p, "block %u of %llu bytes: %s", ev->id, ev->bytes,
			 strerror(errno));
		return;
	}
	bt_tag(at, ev->bytes, ev->id);
	p->blocks[ev->id] = at;
	p->bytes[ev->id] = ev->bytes;
	p->live++;
	p->live_bytes += ev->bytes;
}

static void part_release(struct part *p, void *at, __u64 bytes, __u64 id)
{
	long long changed = bt_tag_verify(at, bytes, id);
	int ret;

	if (changed >= 0)
		PART_BAD(p, "block %llu of %llu bytes changed at %lld", id,
			 bytes, changed);
	ret = bmem_free(p->c, at);
	if (ret)
		PART_BAD(p, "freeing block %llu: %s", id, strerror(-ret));
}

static void part_free(struct part *p, __u32 id)
{
	struct part *to = p->other;

	p->live--;
	p->live_bytes -= p->bytes[id];
	if (id % HANDED) {
		part_release(p, p->blocks[id], p->bytes[id], id);
	} else {
		to->given[to->nr_given] = p->blocks[id];
		to->given_bytes[to->nr_given] = p->bytes[id];
		to->given_id[to->nr_given++] = id;
	}
	p->blocks[id] = NULL;
}

static void part_free_given(struct part *p)
{
	while (p->nr_given--)
		part_release(p, p->given[p->nr_given],
			     p->given_bytes[p->nr_given],
			     p->given_id[p->nr_given]);
	p->nr_given = 0;
}

static int count_tensor(const struct bmem_tensor_desc *d, void *arg)
{
	__u64 *sums = arg;

	sums[0]++;
	sums[1] += d->bytes;
	return 0;
}

/* Where the library has mapped the ledger of its only client, or NULL. */
static const char *mapped_ledger(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct bmem_query q;
	unsigned long long at, offset;
	const char *found = NULL;
	char line[512];
	int fd = bt_open();

	if (!maps || fd < 0 || bt_query(fd, &q))
		return NULL;
	while (!found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%llx-%*x %*s %llx", &at, &offset) == 2 &&
		    offset == q.ledger_offset && strstr(line, BT_DEVICE))
			found = (const char *)(uintptr_t)at;
	fclose(maps);
	close(fd);
	return found;
}

/* Adds up a page of the ledger; false where there is none. */
static bool sum_page(const char *page, __u64 *nr, __u64 *bytes)
{
	struct bmem_record records[BMEM_PAGE_SIZE / sizeof(struct bmem_record)];
	struct iovec to = { records, sizeof(records) };
	struct iovec from = { (void *)page, sizeof(records) };
	size_t i;

	/* Not by reading it: that ends in SIGBUS where no page is. */
	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != sizeof(records))
		return false;
	for (i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		if ((records[i].head & BMEM_RECORD_STATE_MASK) !=
		    BMEM_RECORD_LIVE)
			continue;
		++*nr;
		*bytes += records[i].head >> BMEM_RECORD_SIZE_SHIFT;
	}
	return true;
}

/*
 * What the records say, read as the process sees them and without the kernel's
 * help, is what the kernel says that they say.
 */
static void sum_ledger(struct part *p, const struct bmem_client_stats *st)
{
	static const char *ledger;
	__u64 nr = 0, bytes = 0, pages = 0, at;

	if (!ledger)
		ledger = mapped_ledger();
	if (!ledger) {
		PART_BAD(p, "the ledger is not mapped");
		return;
	}
	for (at = 0; at < LEDGER_SEEN && pages * BT_PAGE < st->ledger_bytes; at++)
		pages += sum_page(ledger + at * BT_PAGE, &nr, &bytes);
	if (pages * BT_PAGE != st->ledger_bytes || nr != st->live_tensors ||
	    bytes != st->live_bytes)
		PART_BAD(p, "ledger: %llu pages, %llu live, %llu bytes; kernel: %llu, %llu, %llu",
			 pages, nr, bytes, st->ledger_bytes / BT_PAGE,
			 st->live_tensors, st->live_bytes);
}

/* Nobody does anything meanwhile: the kernel knows each tensor to the byte. */
static void compare(struct part *p)
{
	__u64 live = p->live + p->other->live, sums[2] = { 0 };
	__u64 bytes = p->live_bytes + p->other->live_bytes;
	struct bmem_client_stats st;

	if (ledger_stats(p->c, &st)) {
		PART_BAD(p, "no statistics");
		return;
	}
	if (st.live_tensors != live || st.live_bytes != bytes || st.ledger_bad)
		PART_BAD(p, "model %llu tensors, %llu bytes; ledger %llu, %llu, %llu bad",
			 live, bytes, st.live_tensors, st.live_bytes, st.ledger_bad);
	sum_ledger(p, &st);
	if (st.live_bytes + st.idle_bytes > st.granted_bytes ||
	    st.granted_bytes > st.attached_bytes ||
	    st.slot_bytes > st.span_bytes)
		PART_BAD(p, "live %llu + idle %llu, granted %llu, attached %llu, slots %llu in spans %llu",
			 st.live_bytes, st.idle_bytes, st.granted_bytes,
			 st.attached_bytes, st.slot_bytes, st.span_bytes);
	if (bmem_foreach(p->c, count_tensor, sums) || sums[0] != live ||
	    sums[1] != bytes)
		PART_BAD(p, "listed %llu, %llu bytes; model %llu, %llu", sums[0],
			 sums[1], live, bytes);
}

/* Both threads come here; the first one of both looks. */
static void part_meet(struct part *p, bool first)
{
	pthread_barrier_wait(p->meet);
	part_free_given(p);
	pthread_barrier_wait(p->meet);
	if (first)
		compare(p);
	pthread_barrier_wait(p->meet);
}

static void *part_play(void *arg)
{
	struct part *p = arg;
	size_t i;

	for (i = 0; i < p->events; i++) {
		const struct trace_event *ev = &p->trace.events[i];

		if (ev->bytes)
			part_alloc(p, ev);
		else if (p->blocks[ev->id])
			part_free(p, ev->id);
		if ((i + 1) % EVERY == 0)
			part_meet(p, p < p->other);
	}
	return NULL;
}

static void part_drain(struct part *p)
{
	size_t i;

	for (i = 0; i < p->trace.ids; i++)
		if (p->blocks[i])
			part_release(p, p->blocks[i], p->bytes[i], i);
}

TEST_F_TIMEOUT(cached, two_threads, 4 * BT_SLOW)
{
	static const char *const names[PLAYERS] = { "cnn-tensor", "kv-heap" };
	static struct part parts[PLAYERS];
	pthread_barrier_t meet;
	pthread_t threads[PLAYERS];
	struct bmem_client_stats st;
	char path[PATH_MAX];
	int i;

	pthread_barrier_init(&meet, NULL, PLAYERS);
	for (i = 0; i < PLAYERS; i++) {
		struct part *p = &parts[i];

		snprintf(path, sizeof(path), "%s/%s.trace.zst", TRACES, names[i]);
		ASSERT_EQ(0, trace_load(&p->trace, path));
		p->c = self->c;
		p->blocks = calloc(p->trace.ids, sizeof(*p->blocks));
		p->bytes = calloc(p->trace.ids, sizeof(*p->bytes));
		p->other = &parts[!i];
		p->meet = &meet;
		p->events = bt_debug_kernel() ? DEBUG_EVENTS : EVENTS;
	}
	for (i = 0; i < PLAYERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, part_play, &parts[i]));
	for (i = 0; i < PLAYERS; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_STREQ("", parts[i].bad);
	}
	ASSERT_EQ(0, ledger_stats(self->c, &st));
	TH_LOG("%llu allocations, %llu slots, %llu KiB of ledger; peak %llu attached of %llu live",
	       st.allocs, st.slots, st.ledger_bytes / BT_KIB,
	       st.peak_attached_bytes, st.peak_live_bytes);
	for (i = 0; i < PLAYERS; i++) {
		part_drain(&parts[i]);
		EXPECT_STREQ("", parts[i].bad);
	}
	ASSERT_EQ(0, ledger_stats(self->c, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(0, st.live_bytes);
	EXPECT_EQ(0, bmem_flush(self->c));
	ASSERT_EQ(0, ledger_stats(self->c, &st));
	EXPECT_EQ(0, st.slots + st.spans + st.recorded + st.granted_bytes);
}

/* ---- threads that come and go --------------------------------------------------- */

#define THREADS		1000
#define AT_ONCE		8
/* By then a few have left all that they may. */
#define EARLY		(25 * AT_ONCE)

static void *come_and_go(void *arg)
{
	struct bmem_client *c = arg;
	__u64 rnd = (uintptr_t)&rnd;
	void *p[20];
	int i;

	for (i = 0; i < 20; i++) {
		p[i] = bmem_alloc(c, 1 + bt_random(&rnd) % 40000, 0, 0, NULL);
		if (!p[i])
			return (void *)1;
	}
	for (i = 0; i < 20; i++)
		if (bmem_free(c, p[i]))
			return (void *)2;
	return NULL;
}

/* As without a module: not an invalid size, but more than there is. */
TEST_F_TIMEOUT(cached, larger_than_a_record_can_say, BT_SLOW)
{
	EXPECT_EQ(NULL, bmem_alloc(self->c, 1ULL << 62, 0, 0, NULL));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(NULL, bmem_alloc(self->c, 1ULL << 40, 0, 0, NULL));
	EXPECT_EQ(EFBIG, errno);
}

/* ---- fork ------------------------------------------------------------------------ */

#define BIG	(7 * BT_MIB)

/* What a private client has before fork(), and who it is in the child, if known. */
struct family {
	struct bmem_client *c;
	char *big;
	char *small[50];
	__u64 id;
	const char *backend;
};

static int family_open(struct family *f, int pool)
{
	struct bmem_options options = {
		.sz = sizeof(options), .pool = pool,
		.backend = BMEM_BACKEND_DEV, .label = "family",
		.flags = BMEM_OPEN_PRIVATE,
	};
	struct bmem_query q = { .size = sizeof(q) };
	int ret = bmem_open(&f->c, &options), i;

	if (ret)
		return ret;
	f->big = bmem_alloc(f->c, BIG, 64, 0, "big");
	for (i = 0; i < 50; i++) {
		f->small[i] = bmem_alloc(f->c, 100 + i, 0, 0, "small");
		if (!f->small[i])
			return -errno;
		memset(f->small[i], i, 100);
	}
	if (!f->big)
		return -errno;
	bt_tag(f->big, BIG, 5);
	ret = bmem_query(f->c, &q);
	f->id = q.client_id;
	return ret;
}

static bool family_intact(const struct family *f, __u64 seed)
{
	int i;

	for (i = 0; i < 50; i++)
		if (bt_not_byte(f->small[i], 100, i) >= 0)
			return false;
	return bt_tag_verify(f->big, BIG, seed) < 0;
}

static __u64 clients_of(pid_t pid)
{
	char text[16];
	__u64 live;

	snprintf(text, sizeof(text), "%d", pid);
	return bt_table_sum("clients", "tgid", text, "live", &live) ? 0 : live;
}

/* In the child; answers the number of what is wrong. */
static int family_child(void *arg)
{
	struct family *f = arg;
	struct bmem_query q = { .size = sizeof(q) };
	bool dev = !strcmp(bmem_backend_name(f->c), "dev");
	char *p;
	int i;

	if (f->backend && strcmp(bmem_backend_name(f->c), f->backend))
		return 1;
	if (!family_intact(f, 5))
		return 2;
	bt_tag(f->big, BIG, 6);
	if (bmem_query(f->c, &q) || (dev && q.client_id == f->id))
		return 3;
	if (dev && !clients_of(getpid()))
		return 4;
	p = bmem_alloc(f->c, 3 * BT_MIB, 0, 0, "child");
	if (!p || bmem_free(f->c, p) || bmem_free(f->c, f->small[7]))
		return 5;
	f->small[7] = bmem_alloc(f->c, 107, 0, 0, "child");
	if (!f->small[7])
		return 6;
	memset(f->small[7], 7, 100);
	if (!family_intact(f, 6))
		return 7;
	for (i = 0; i < 50; i++)
		if (bmem_free(f->c, f->small[i]))
			return 8;
	return bmem_free(f->c, f->big) ? 9 : 42;
}

static int family_tree(void *arg)
{
	struct family *f = arg;
	int ret = bt_in_child(family_child, f);

	return ret == 42 ? family_child(f) : ret;
}

TEST_F_TIMEOUT(cached, child_is_a_client, BT_SLOW)
{
	struct family f = { .backend = "dev" };
	struct bmem_client_stats before, after;
	struct bmem_pool_stats st;
	int i;

	ASSERT_EQ(0, family_open(&f, self->pool));
	ASSERT_EQ(0, ledger_stats(f.c, &before));
	EXPECT_EQ(42, bt_in_child(family_child, &f));
	EXPECT_EQ(42, bt_in_child(family_tree, &f));
	EXPECT_TRUE(family_intact(&f, 5));
	ASSERT_EQ(0, ledger_stats(f.c, &after));
	EXPECT_EQ(before.live_tensors, after.live_tensors);
	EXPECT_EQ(before.live_bytes, after.live_bytes);
	EXPECT_EQ(before.allocs, after.allocs);
	EXPECT_EQ(before.attached_bytes, after.attached_bytes);
	EXPECT_EQ(0, after.shared_bytes);
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->pool, &st));
	EXPECT_EQ(0, st.shared_bytes);
	EXPECT_EQ(0, bmem_free(f.c, f.big));
	for (i = 0; i < 50; i++)
		EXPECT_EQ(0, bmem_free(f.c, f.small[i]));
	ASSERT_EQ(0, ledger_stats(f.c, &after));
	EXPECT_EQ(0, after.live_tensors);
	bmem_close(f.c);
}

/* Without room for what the child may write to it gets a copy of its own. */
TEST_F_TIMEOUT(cached, child_without_room, BT_SLOW)
{
	struct family f = { .backend = "memfd" };

	ASSERT_EQ(0, family_open(&f, self->pool));
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->pool, BMEM_RESIZE_LIMIT,
				    10 * BT_MIB, 0));
	EXPECT_EQ(42, bt_in_child(family_child, &f));
	EXPECT_TRUE(family_intact(&f, 5));
	bmem_close(f.c);
}

static int families_child(void *arg)
{
	struct family *f = arg;
	int ret = family_child(&f[0]);

	return ret == 42 ? family_child(&f[1]) : ret;
}

/* A program may have several: the child has all of them. */
TEST_F_TIMEOUT(cached, child_is_several_clients, BT_SLOW)
{
	struct family f[2] = { { .backend = "dev" }, { .backend = "dev" } };

	ASSERT_EQ(0, family_open(&f[0], self->pool));
	ASSERT_EQ(0, family_open(&f[1], self->pool));
	EXPECT_EQ(42, bt_in_child(families_child, f));
	EXPECT_TRUE(family_intact(&f[0], 5));
	EXPECT_TRUE(family_intact(&f[1], 5));
	bmem_close(f[0].c);
	bmem_close(f[1].c);
}

/* In the child, with what no gap of the space is long enough for. */
static int child_asks_for_too_much(void *arg)
{
	struct family *f = arg;
	size_t len;

	bmem_space(f->c, &len);
	if (strcmp(bmem_backend_name(f->c), "memfd"))
		return 1;
	if (bmem_alloc(f->c, len - BT_MIB, 0, 0, "much"))
		return 2;
	return errno == ENOSPC ? 42 : errno;
}

/* Where nobody else makes room there is nothing to wait for. */
TEST_F_TIMEOUT(cached, child_does_not_wait, BT_SLOW)
{
	struct family f = { .backend = "memfd" };

	ASSERT_EQ(0, family_open(&f, self->pool));
	ASSERT_EQ(0, bmem_set_wait(f.c, 1000));
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->pool, BMEM_RESIZE_LIMIT,
				    10 * BT_MIB, 0));
	EXPECT_EQ(42, bt_in_child(child_asks_for_too_much, &f));
	bmem_close(f.c);
}

/* A thread that waits for more than there is, and what it got in the end. */
struct waiter {
	struct bmem_client *c;
	size_t bytes;
	volatile pid_t tid;
	char *got;
	int err;
};

static void *wait_for_room(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	w->got = bmem_alloc(w->c, w->bytes, 0, 0, "waiter");
	w->err = w->got ? 0 : errno;
	if (w->got)
		bt_tag(w->got, w->bytes, 9);
	return NULL;
}

#define WAIT_MS		BMEM_WAIT_MAX_MS
#define WAIT_POOL	(32 * BT_MIB)
#define WAIT_ROOM	(16 * BT_MIB)

/*
 * A pool with some room that nobody has, a client with a thread that waits for
 * more, and another client that can make room for it.
 */
struct crowd {
	struct family f;
	struct waiter w;
	struct bt_client hog;
	struct bmem_alloc_entry e;
	pthread_t thread;
};

static int crowd_gather(struct crowd *x, int admin, int pool, __u64 room)
{
	struct bmem_pool_stats st;
	int rc;

	rc = bt_pool_resize(admin, pool, BMEM_RESIZE_LIMIT, WAIT_POOL, 0) ?:
	     family_open(&x->f, pool) ?: bmem_set_wait(x->f.c, WAIT_MS) ?:
	     bt_client_open(&x->hog, pool) ?: bt_pool_stats(admin, pool, &st);
	if (rc)
		return rc;
	x->e.bytes = WAIT_POOL - st.attached_bytes - room;
	x->e.align = BT_HUGE;
	x->w.c = x->f.c;
	x->w.bytes = room + BT_HUGE;
	rc = bt_alloc(x->hog.fd, &x->e, 1, NULL);
	if (rc || pthread_create(&x->thread, NULL, wait_for_room, &x->w))
		return rc ?: -EAGAIN;
	/* By then it waits, and does not try, for which it takes the room. */
	usleep(200000);
	return BT_WAIT(x->w.tid && bt_task_state(x->w.tid) == 'S', BT_SOON) ?
	       0 : -ETIME;
}

static int crowd_make_room(struct crowd *x)
{
	return bt_free1(x->hog.fd, x->e.handle);
}

/* It got what it wanted, and nobody else has it. */
static bool crowd_served(struct crowd *x)
{
	pthread_join(x->thread, NULL);
	return !x->w.err && family_intact(&x->f, 5) &&
	       bt_tag_verify(x->w.got, x->w.bytes, 9) < 0 &&
	       !bmem_free(x->f.c, x->w.got);
}

static void crowd_leave(struct crowd *x)
{
	bt_client_close(&x->hog);
	bmem_close(x->f.c);
}

/* fork() does not wait until another thread has got its memory. */
TEST_F_TIMEOUT(cached, fork_beside_one_that_waits, BT_SLOW)
{
	struct crowd x;
	__u64 began;
	int i;

	/* Without room for a clone, and with. */
	for (i = 0; i < 2; i++) {
		x = (struct crowd){ .f.backend = i ? "dev" : "memfd" };
		ASSERT_EQ(0, crowd_gather(&x, self->admin, self->pool,
					  i * WAIT_ROOM));
		began = bt_now_ms();
		EXPECT_EQ(42, bt_in_child(family_child, &x.f));
		EXPECT_GT(WAIT_MS / 2, bt_now_ms() - began);
		/* That it waits yet is what this is about. */
		EXPECT_EQ(EBUSY, pthread_tryjoin_np(x.thread, NULL));
		EXPECT_EQ(0, crowd_make_room(&x));
		EXPECT_TRUE(crowd_served(&x));
		crowd_leave(&x);
	}
}

static void *make_room_soon(void *arg)
{
	__u64 rnd = (uintptr_t)&rnd;

	usleep(bt_random(&rnd) % 3000);
	return crowd_make_room(arg) ? arg : NULL;
}

/* It gets it while the child is being made. */
TEST_F_TIMEOUT(cached, fork_beside_one_that_is_served, BT_SLOW)
{
	struct crowd x;
	pthread_t maker;
	void *bad;
	int i;

	for (i = 0; i < 12; i++) {
		x = (struct crowd){ .w.err = -1 };
		ASSERT_EQ(0, crowd_gather(&x, self->admin, self->pool,
					  i % 2 * WAIT_ROOM));
		ASSERT_EQ(0, pthread_create(&maker, NULL, make_room_soon, &x));
		EXPECT_EQ(42, bt_in_child(family_child, &x.f)) {
			TH_LOG("round %d", i);
		}
		pthread_join(maker, &bad);
		EXPECT_EQ(NULL, bad);
		EXPECT_TRUE(crowd_served(&x));
		crowd_leave(&x);
	}
}

static volatile bool calls_stop;

static void *keep_calling(void *arg)
{
	struct bmem_query q = { .size = sizeof(q) };
	struct family *f = arg;

	while (!calls_stop)
		bmem_query(f->c, &q);
	return NULL;
}

static int family_forks_on(void *arg)
{
	alarm(BT_SLOW / 4);
	return family_tree(arg);
}

/* The parent's threads do not go on, nor wait, in the child. */
TEST_F_TIMEOUT(cached, child_of_busy_threads_forks, BT_SLOW)
{
	struct family f = { .backend = "dev" };
	pthread_t threads[2];
	int i;

	ASSERT_EQ(0, family_open(&f, self->pool));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, keep_calling,
					    &f));
	for (i = 0; i < 20; i++)
		ASSERT_EQ(42, bt_in_child(family_forks_on, &f)) {
			TH_LOG("child %d", i);
		}
	calls_stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_TRUE(family_intact(&f, 5));
	bmem_close(f.c);
}

TEST_F_TIMEOUT(cached, thousand_threads, BT_SLOW)
{
	pthread_t threads[AT_ONCE];
	struct bmem_client_stats st, early = { 0 };
	void *result;
	int n, i;

	for (n = 0; n < THREADS; n += AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL,
						    come_and_go, self->c));
		for (i = 0; i < AT_ONCE; i++) {
			pthread_join(threads[i], &result);
			ASSERT_EQ(NULL, result);
		}
		if (n == EARLY)
			ASSERT_EQ(0, ledger_stats(self->c, &early));
	}
	ASSERT_EQ(0, ledger_stats(self->c, &st));
	EXPECT_EQ(0, st.live_tensors);
	/* What threads leave to others does not grow with their number. */
	TH_LOG("%llu idle slots, %llu idle bytes; early %llu, %llu", st.slots,
	       st.idle_bytes, early.slots, early.idle_bytes);
	EXPECT_LE(st.idle_bytes, 2 * early.idle_bytes + BT_MIB);
	EXPECT_EQ(0, bmem_flush(self->c));
	ASSERT_EQ(0, ledger_stats(self->c, &st));
	EXPECT_EQ(0, st.slots);
	EXPECT_EQ(0, st.idle_bytes);
	EXPECT_EQ(0, st.granted_bytes);
}

/* ---- killed ---------------------------------------------------------------------- */

#define KILLS		200
#define HELD		256

static void *rage(void *arg)
{
	struct bmem_client *c = arg;
	__u64 rnd = (uintptr_t)&rnd + getpid(), what;
	void *p[HELD] = { 0 };

	for (;;) {
		what = bt_random(&rnd) % HELD;
		if (p[what])
			bmem_free(c, p[what]);
		p[what] = bmem_alloc(c, 1 + bt_random(&rnd) %
				     (what ? 20000 : 3 * BT_MIB), 0, 0, "rage");
		if (p[what])
			*(volatile char *)p[what] = 1;
		if (bt_random(&rnd) % 500 == 0)
			bmem_flush(c);
	}
	return NULL;
}

static int rage_all(void *arg)
{
	struct bmem_client *c;
	pthread_t thread;

	if (lib_open(&c, *(int *)arg) || pthread_create(&thread, NULL, rage, c))
		return 1;
	rage(c);
	return 2;
}

TEST_F_TIMEOUT(cached, killed, BT_SLOW)
{
	struct bmem_pool_stats st;
	__u64 rnd = 11;
	pid_t pid;
	int i, status, kills = bt_debug_kernel() ? KILLS / 8 : KILLS;

	for (i = 0; i < kills; i++) {
		pid = bt_spawn(rage_all, &self->pool);
		ASSERT_LT(0, pid);
		usleep(bt_random(&rnd) % 100000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		/* And not of itself, or of what it was given, before that. */
		EXPECT_EQ(SIGKILL, status);
		ASSERT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
				    !st.attached_bytes && !st.total_bytes, 5000)) {
			TH_LOG("kill %d: %llu attached, %llu in all", i,
			       st.attached_bytes, st.total_bytes);
		}
		EXPECT_EQ(1, st.clients);
		EXPECT_EQ(NULL, bt_check_pool(self->admin, self->pool));
	}
}

/* ---- events, waiting ------------------------------------------------------------ */

#define SMALL_POOL	(16 * BT_MIB)
#define GARBAGE		4

/**
 * struct runtime - one that keeps memory it could do without
 * @garbage: blocks
 * @nr: how many
 * @calls: events it heard of
 * @bad: what could not be freed
 */
struct runtime {
	void *garbage[GARBAGE];
	unsigned int nr;
	unsigned int calls;
	unsigned int bad;
};

static void collect(struct bmem_client *c, const struct bmem_event *e, void *arg)
{
	struct runtime *r = arg;
	unsigned int nr = __atomic_exchange_n(&r->nr, 0, __ATOMIC_ACQ_REL);

	/* Before there is room: from then on, who waited for it looks. */
	__atomic_fetch_add(&r->calls, 1, __ATOMIC_RELEASE);
	r->bad += e->type != BMEM_EVENT_ALLOC_FAILED || !e->client_id;
	while (nr--)
		r->bad += !!bmem_free(c, r->garbage[nr]);
}

/* An allocation that waits, until a handler has made room for it. */
TEST_F_TIMEOUT(cached, hears_and_waits, BT_SLOW)
{
	int pool = bt_pool_create(self->admin, "heard", SMALL_POOL, 0);
	struct runtime r = { .nr = 0 };
	struct bmem_client *c;
	__u64 begun;
	void *p;

	ASSERT_LE(0, pool);
	ASSERT_EQ(0, lib_open(&c, pool));
	while (r.nr < GARBAGE - 1) {
		r.garbage[r.nr] = bmem_alloc(c, 4 * BT_MIB, 0, 0, "garbage");
		ASSERT_NE(NULL, r.garbage[r.nr++]);
	}
	/* Without anybody who hears of it there is no use in waiting. */
	ASSERT_EQ(0, bmem_set_wait(c, 500));
	begun = bt_now_ms();
	EXPECT_EQ(NULL, bmem_alloc(c, 12 * BT_MIB, 0, 0, "much"));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_LE(490, bt_now_ms() - begun);

	ASSERT_EQ(0, bmem_set_wait(c, BMEM_WAIT_MAX_MS));
	ASSERT_EQ(0, bmem_on_event(c, BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED),
				   collect, &r));
	ASSERT_EQ(0, bmem_events_start(c));
	begun = bt_now_ms();
	p = bmem_alloc(c, 12 * BT_MIB, 0, 0, "much");
	EXPECT_NE(NULL, p);
	EXPECT_GT(20000, bt_now_ms() - begun);
	EXPECT_LT(0, __atomic_load_n(&r.calls, __ATOMIC_ACQUIRE));
	EXPECT_EQ(0, r.bad);
	EXPECT_EQ(0, bmem_free(c, p));
	bmem_close(c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

#define STOCKED		48

/* Leaves blocks behind that nobody uses. */
static void *stock_up(void *arg)
{
	struct bmem_client *c = arg;
	void *p[STOCKED];
	int i;

	for (i = 0; i < STOCKED; i++)
		p[i] = bmem_alloc(c, 10000, 0, 0, "stock");
	for (i = 0; i < STOCKED; i++)
		if (!p[i] || bmem_free(c, p[i]))
			return NULL;
	return arg;
}

static __u64 stock_of(int fd, __u64 id)
{
	struct bmem_client_stats st;

	return bt_client_now(fd, id, &st) ? ~0ULL : st.granted_bytes;
}

/* A process that sleeps is asked for what it does not use: its thread answers. */
TEST_F_TIMEOUT(cached, sleeper_answers_recall, BT_SLOW)
{
	int pool = bt_pool_create(self->admin, "asleep", SMALL_POOL, 0);
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct bmem_client *c;
	void *done = NULL;
	pthread_t t;

	ASSERT_LE(0, pool);
	ASSERT_EQ(0, lib_open(&c, pool));
	ASSERT_EQ(0, bmem_stats(c, &st));
	ASSERT_EQ(0, bt_bind_pool(self->admin, pool));
	ASSERT_EQ(0, pthread_create(&t, NULL, stock_up, c));
	pthread_join(t, &done);
	ASSERT_EQ(c, done);
	EXPECT_LT(0, stock_of(self->admin, st.client_id));
	/* Without the thread nobody hears of it before the next call. */
	ASSERT_EQ(0, bt_trim(self->admin, BMEM_TRIM_POOL, 0, NULL));
	usleep(500000);
	EXPECT_LT(0, stock_of(self->admin, st.client_id));
	ASSERT_EQ(0, bmem_events_start(c));
	ASSERT_EQ(0, bt_trim(self->admin, BMEM_TRIM_POOL, 0, NULL));
	EXPECT_TRUE(BT_WAIT(!stock_of(self->admin, st.client_id), 10000));
	ASSERT_EQ(0, bmem_events_stop(c));
	bmem_close(c);
	ASSERT_EQ(0, bt_bind_pool(self->admin, BMEM_POOL_DEFAULT));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

/* ---- a system without memory ----------------------------------------------------- */

/* What is left to it, as for the hog of pressure.c. */
#define HOG_ROOM	(256 * BT_MIB)
/* MiB that the hog has when a block becomes idle. */
#define HOG_PART	64
#define HELD_SMALL	10000
#define HELD_SMALLS	(64 * BT_MIB / HELD_SMALL)
#define HELD_LIVE	(4 * BT_MIB)
/* Most that a thread keeps of what it freed when nobody hears of a recall. */
#define HELD_LONE	(64 * BT_MIB)
/* A magazine's slots, and the ends of what is live. */
#define HELD_SLACK	(2 * BT_HUGE)
#define AT_WORK		5000

/**
 * struct holder - a process that has let go of nearly all it had
 * @pool: where it has it
 * @smalls: slots that one of its threads had, up to %HELD_SMALLS
 * @large: bytes of the block that the other one freed last
 * @listens: it has a thread for events
 * @works: that thread goes on to allocate; else it sleeps, as the other does
 * @c: its client
 * @id: the kernel's number of that
 * @filled: the thread with slots has them all
 * @tagged: the other one has the block, too
 * @ready: the thread with slots has let go
 * @free: the one with the block is to let go
 * @freed: it has
 * @leave: it may end
 *
 * Shared with the test.
 */
struct holder {
	int pool;
	unsigned int smalls;
	__u64 large;
	bool listens;
	bool works;
	struct bmem_client *c;
	__u64 id;
	bool filled;
	bool tagged;
	bool ready;
	bool free;
	bool freed;
	bool leave;
};

static bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void set(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

static void wait_for(const struct holder *h, const bool *flag)
{
	while (!is_set(flag) && !is_set(&h->leave))
		usleep(1000);
}

/*
 * Slots by the thousand, of which a magazine's remain; it sleeps then.  The large
 * block is behind all of them, so that it is known how many huge pages remain.
 */
static void *hold_small(void *arg)
{
	static char *p[HELD_SMALLS];
	struct holder *h = arg;
	unsigned int i;

	for (i = 0; i < h->smalls; i++) {
		p[i] = bmem_alloc(h->c, HELD_SMALL, 0, 0, "small");
		if (!p[i])
			return NULL;
		p[i][0] = 1;
	}
	set(&h->filled);
	wait_for(h, &h->tagged);
	for (i = 0; i < h->smalls; i++)
		if (bmem_free(h->c, p[i]))
			return NULL;
	set(&h->ready);
	for (;;)
		pause();
}

/* A slot of the thread's magazine, again and again: no call is needed. */
static int work(struct bmem_client *c)
{
	unsigned int i;
	void *p;

	for (i = 0; i < AT_WORK; i++) {
		p = bmem_alloc(c, 100, 0, 0, "work");
		if (!p || bmem_free(c, p))
			return 1;
	}
	return 0;
}

static int hold(void *arg)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct holder *h = arg;
	pthread_t thread;
	char *live, *p;

	if (lib_open(&h->c, h->pool) || bmem_stats(h->c, &st))
		return 1;
	h->id = st.client_id;
	if (h->listens && bmem_events_start(h->c))
		return 2;
	live = bmem_alloc(h->c, HELD_LIVE, 0, 0, "live");
	if (!live || pthread_create(&thread, NULL, hold_small, h))
		return 3;
	bt_tag(live, HELD_LIVE, 7);
	wait_for(h, &h->filled);
	p = bmem_alloc(h->c, h->large, 0, 0, "large");
	if (!p)
		return 4;
	bt_tag(p, h->large, 8);
	set(&h->tagged);
	wait_for(h, &h->free);
	if (bmem_free(h->c, p))
		return 5;
	set(&h->freed);
	while (!is_set(&h->leave)) {
		if (h->works && work(h->c))
			return 6;
		usleep(10000);
	}
	return bt_tag_verify(live, HELD_LIVE, 7) >= 0 ? 7 : 0;
}

/* Where it is, when what it should have done does not come. */
static void say_stuck(pid_t pid, const struct holder *h)
{
	printf("# client %llu, filled %d, tagged %d, ready %d, freed %d\n",
	       h->id, h->filled, h->tagged, h->ready, h->freed);
	printf("# %llu MiB free, %llu available; stalls: %llu in compaction, %llu pages scanned, %llu read again\n",
	       bt_meminfo("MemFree") / BT_MIB,
	       bt_meminfo("MemAvailable") / BT_MIB, vmstat("compact_stall"),
	       vmstat("pgscan_direct"), vmstat("workingset_refault_file"));
	bt_say_where(pid);
}

static bool has_let_go(const struct holder *h)
{
	return is_set(&h->ready) && is_set(&h->freed);
}

static __u64 held_by(int fd, const struct holder *h)
{
	struct bmem_client_stats st;

	return bt_client_now(fd, h->id, &st) ? ~0ULL : st.attached_bytes;
}

/* The block is let go of, and idle, when the hog has a part of what there is. */
static bool is_given(const struct appetite *want)
{
	static unsigned int mib;
	struct holder *h = want->arg;

	if (++mib == HOG_PART)
		set(&h->free);
	if (mib == HOG_PART && !BT_WAIT(is_set(&h->freed), BT_SOON))
		return true;
	return mib > HOG_PART && held_by(want->fd, h) <= want->enough;
}

FIXTURE(starved) {
	int admin;
	int pool;
	pid_t pid;
	struct holder *h;
};

FIXTURE_SETUP(starved)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "starved", 64 * BT_GIB, 0);
	ASSERT_LE(0, self->pool);
	self->h = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->h);
	self->h->pool = self->pool;
}

FIXTURE_TEARDOWN(starved)
{
	int status;

	set(&self->h->free);
	set(&self->h->leave);
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(BT_WAIT(!bt_pool_destroy(self->admin, self->pool), 5000));
	munmap(self->h, BT_PAGE);
	close(self->admin);
}

/* It has let go, and the kernel knows of nothing that it could take itself. */
static bool holds(int fd, const struct holder *h, __u64 bytes)
{
	__u64 held = held_by(fd, h);

	return has_let_go(h) && held >= bytes &&
	       held <= bytes + HELD_SLACK &&
	       !bt_debugfs_value("cleanup", "surplus_bytes");
}

/* Is that so, or soon?  If not, says where it is. */
static bool holds_soon(int fd, pid_t pid, const struct holder *h, __u64 bytes)
{
	bool ok = BT_WAIT(holds(fd, h, bytes), BT_SOON);

	if (!ok)
		say_stuck(pid, h);
	return ok;
}

/* Has the thread with slots let go of them, or soon?  If not, says where it is. */
static bool ready_soon(pid_t pid, const struct holder *h)
{
	bool ok = BT_WAIT(is_set(&h->ready), BT_SOON);

	if (!ok)
		say_stuck(pid, h);
	return ok;
}

/*
 * A process takes all there is.  Meanwhile another lets go of what it has, and
 * its threads sleep: what they keep idle comes back by the library's thread,
 * nobody is killed, and what is live stays as it is.  All that is free at first
 * but for what both need is in a tensor, so that it takes no longer on a large
 * machine.
 */
TEST_F_TIMEOUT(starved, one_that_listens, BT_SLOW)
{
	__u64 large = 3 * HELD_LONE / 2, kills = vmstat("oom_kill"), room;
	__u64 recalls = bt_debugfs_value("cleanup", "system_recalls");
	struct bmem_alloc_entry ballast;
	struct bmem_client_stats st;
	struct bmem_pressure p;
	struct appetite want;
	struct bt_client c;

	self->h->listens = true;
	self->h->smalls = HELD_SMALLS;
	self->h->large = large;
	ASSERT_EQ(0, bt_client_open(&c, self->pool));
	bt_write_file("/proc/sys/vm/drop_caches", "3");
	room = HOG_ROOM + HELD_SMALLS * HELD_SMALL + large + HELD_LIVE;
	ASSERT_LE(room + BT_HUGE, bt_meminfo("MemAvailable"));
	ASSERT_EQ(0, bt_alloc1(c.fd, BT_ROUND_UP(bt_meminfo("MemAvailable") -
						 room, BT_HUGE), &ballast));
	bt_tag(c.map + ballast.offset, BT_HUGE, 9);
	self->pid = bt_spawn(hold, self->h);
	ASSERT_TRUE(ready_soon(self->pid, self->h));
	want = (struct appetite){
		.fd = self->admin,
		.pool = self->pool,
		.most = bt_meminfo("MemTotal"),
		.enough = HELD_LIVE + HELD_SLACK,
		.sated = is_given,
		.arg = self->h,
	};
	EXPECT_EQ(0, bt_in_child(hog, &want));
	EXPECT_TRUE(has_let_go(self->h));
	EXPECT_EQ(kills, vmstat("oom_kill"));
	ASSERT_EQ(0, bt_client_now(self->admin, self->h->id, &st));
	EXPECT_LE(large + HELD_LIVE, st.peak_attached_bytes);
	EXPECT_GE(want.enough, st.attached_bytes);
	EXPECT_LT(recalls, bt_debugfs_value("cleanup", "system_recalls"));
	EXPECT_EQ(-1, bt_tag_verify(c.map + ballast.offset, BT_HUGE, 9));
	EXPECT_EQ(NULL, bt_check(c.fd));
	ASSERT_EQ(0, bt_pressure(self->admin, self->pool, &p));
	TH_LOG("at most %llu MiB, then %llu; by shrinker %llu, before a kill %llu, recalled %llu; waits %llu",
	       st.peak_attached_bytes / BT_MIB, st.attached_bytes / BT_MIB,
	       p.gained_bytes[BMEM_GAIN_SHRINK] / BT_MIB,
	       p.gained_bytes[BMEM_GAIN_OOM] / BT_MIB,
	       p.gained_bytes[BMEM_GAIN_RECALL] / BT_MIB,
	       bt_debugfs_value("cleanup", "system_waits"));
	bt_client_close(&c);
}

/*
 * What the system wanted a moment ago may be asked of all clients up to a second
 * later, of those that came meanwhile as well.  When one that is opened now has
 * been asked, that is over for those after it.
 */
static bool system_is_quiet(void)
{
	int fd = bt_open();
	__u32 recall = recall_of(fd);
	bool quiet;

	quiet = recall != ~0U && !bt_write_file(BT_DEBUGFS "/shrink", "oom") &&
		BT_WAIT(recall_of(fd) != recall, BT_SOON);
	close(fd);
	return quiet;
}

/*
 * Somebody is about to be killed, and there is nothing that the kernel could take
 * itself: who keeps something idle is asked, though he was a moment ago, and
 * waited for.  That is once a second.
 */
TEST_F_TIMEOUT(starved, one_that_is_asked_last, BT_SLOW)
{
	__u64 large = 3 * HELD_LONE / 2, waits, recalls;
	struct bmem_pressure p;

	ASSERT_TRUE(system_is_quiet());
	self->h->listens = true;
	self->h->free = true;
	self->h->large = large;
	self->pid = bt_spawn(hold, self->h);
	ASSERT_TRUE(holds_soon(self->admin, self->pid, self->h,
			       large + HELD_LIVE));
	usleep(1100000);
	waits = bt_debugfs_value("cleanup", "system_waits");
	recalls = bt_debugfs_value("cleanup", "system_recalls");
	EXPECT_EQ(-EINVAL, bt_write_file(BT_DEBUGFS "/shrink", "ooms"));
	EXPECT_EQ(waits, bt_debugfs_value("cleanup", "system_waits"));
	EXPECT_LE(large + HELD_LIVE, held_by(self->admin, self->h));
	ASSERT_EQ(0, bt_write_file(BT_DEBUGFS "/shrink", "oom"));
	EXPECT_EQ(waits + 1, bt_debugfs_value("cleanup", "system_waits"));
	EXPECT_TRUE(BT_WAIT(holds(self->admin, self->h, HELD_LIVE), 5000));
	EXPECT_LT(recalls, bt_debugfs_value("cleanup", "system_recalls"));
	ASSERT_EQ(0, bt_pressure(self->admin, self->pool, &p));
	TH_LOG("recalled %llu MiB, before a kill %llu",
	       p.gained_bytes[BMEM_GAIN_RECALL] / BT_MIB,
	       p.gained_bytes[BMEM_GAIN_OOM] / BT_MIB);
}

/* A thread that goes on lets go of it by itself, though it makes no call. */
TEST_F_TIMEOUT(starved, one_that_works, BT_SLOW)
{
	self->h->works = true;
	self->h->smalls = HELD_SMALLS;
	self->h->free = true;
	self->h->large = HELD_LONE;
	self->pid = bt_spawn(hold, self->h);
	EXPECT_TRUE(holds_soon(self->admin, self->pid, self->h, HELD_LIVE));
}

/*
 * Where all sleep and nobody hears, a block of that length stays, none longer.
 * There are no slots: in how many huge pages those of the depot are depends on
 * when it was last looked through.
 */
TEST_F_TIMEOUT(starved, one_that_sleeps, BT_SLOW)
{
	self->h->free = true;
	self->h->large = HELD_LONE;
	self->pid = bt_spawn(hold, self->h);
	EXPECT_TRUE(holds_soon(self->admin, self->pid, self->h,
			       HELD_LONE + HELD_LIVE));
	TH_LOG("holds %llu MiB", held_by(self->admin, self->h) / BT_MIB);
	/* It may be asked, nothing comes of it. */
	EXPECT_EQ(0, bt_bind_pool(self->admin, self->pool));
	EXPECT_EQ(0, bt_trim(self->admin, BMEM_TRIM_POOL, 0, NULL));
	usleep(500000);
	EXPECT_LE(HELD_LONE + HELD_LIVE, held_by(self->admin, self->h));
	EXPECT_EQ(0, bt_bind_pool(self->admin, BMEM_POOL_DEFAULT));
}

TEST_F_TIMEOUT(starved, one_that_sleeps_on_more, BT_SLOW)
{
	self->h->free = true;
	self->h->large = HELD_LONE + BT_PAGE;
	self->pid = bt_spawn(hold, self->h);
	EXPECT_TRUE(holds_soon(self->admin, self->pid, self->h, HELD_LIVE));
}

/* ---- ways out --------------------------------------------------------------------- */

static struct bmem_client *leaver;
static char *left;

static int furnish(int pool)
{
	static struct runtime r;

	if (lib_open(&leaver, pool))
		return 1;
	left = bmem_alloc(leaver, 100000, 0, 0, "left");
	if (!left || bmem_ref(leaver, left) ||
	    !bmem_alloc(leaver, 3 * BT_MIB, 0, 0, "left, too"))
		return 2;
	memset(left, 3, 100000);
	if (bmem_on_event(leaver, BMEM_EVENT_BIT(BMEM_EVENT_RECALL), collect, &r) ||
	    bmem_events_start(leaver))
		return 3;
	return 0;
}

static void at_exit(void)
{
	void *p = bmem_alloc(leaver, 5000, 0, 0, "at exit");

	if (!p || bmem_free(leaver, p) || bt_not_byte(left, 100000, 3) >= 0 ||
	    bmem_unref(leaver, left) || bmem_unref(leaver, left))
		_exit(60);
	bmem_close(leaver);
}

static int leave_by_exit(void *arg)
{
	int ret = furnish(*(int *)arg);

	if (ret || atexit(at_exit))
		return 50 + ret;
	exit(0);
}

static int leave_at_once(void *arg)
{
	return furnish(*(int *)arg);
}

static int leave_by_exec(void *arg)
{
	int ret = furnish(*(int *)arg);

	if (!ret)
		execlp("sleep", "sleep", "1000", NULL);
	return 70 + ret;
}

static int leave_by_signal(void *arg)
{
	int ret = furnish(*(int *)arg);

	if (!ret)
		pause();
	return 80 + ret;
}

/* Parent and child share it; the child frees what the parent allocated. */
static int leave_by_fork(void *arg)
{
	int ret = furnish(*(int *)arg), status;
	pid_t pid;

	if (ret)
		return ret;
	pid = fork();
	if (!pid)
		_exit(bmem_unref(leaver, left) || bmem_unref(leaver, left));
	if (waitpid(pid, &status, 0) != pid || status)
		return 10;
	return bmem_free(leaver, left) == -ENOENT ? 0 : 11;
}

static bool is_named(pid_t pid, const char *name)
{
	char path[64], *comm;
	bool is;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	comm = bt_read_file(path);
	is = comm && !strncmp(comm, name, strlen(name));
	free(comm);
	return is;
}

/* However a process with all of it ends: every byte is back. */
TEST_F_TIMEOUT(cached, every_way_out, BT_SLOW)
{
	static const struct {
		int (*fn)(void *arg);
		bool stays;
	} ways[] = {
		{ leave_by_exit, false }, { leave_at_once, false },
		{ leave_by_exec, true }, { leave_by_signal, true },
		{ leave_by_fork, false },
	};
	struct bmem_pool_stats st;
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		pid = bt_spawn(ways[i].fn, &self->pool);
		ASSERT_LT(0, pid);
		if (ways[i].fn == leave_by_signal) {
			EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
					    st.attached_bytes > 3 * BT_MIB, 10000));
			kill(pid, SIGKILL);
		}
		if (!ways[i].stays) {
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			EXPECT_EQ(0, status) {
				TH_LOG("way %u: status %#x", i, status);
			}
		}
		if (ways[i].fn == leave_by_exec)
			EXPECT_TRUE(BT_WAIT(is_named(pid, "sleep"), 10000));
		EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
				    st.clients == 1 && !st.attached_bytes, 10000)) {
			TH_LOG("way %u: %u clients, %llu attached", i, st.clients,
			       st.attached_bytes);
		}
		if (ways[i].stays) {
			/* Another program by now, it has nothing of it. */
			kill(pid, SIGKILL);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
		}
		EXPECT_EQ(NULL, bt_check_pool(self->admin, self->pool));
	}
}

TEST_HARNESS_MAIN
