// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ALLOC, FREE, TRIM and the pools do with memory: exact sizes, intact
 * contents, zeroes between clients, bounds, and sums that a model agrees with.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"
#include "raiser.h"

#define POOL_LIMIT	(192 * BT_MIB)
#define POOL_RESERVE	(16 * BT_MIB)

FIXTURE(alloc) {
	struct bt_client c;
	int admin;
};

FIXTURE_SETUP(alloc)
{
	int pool;

	bt_param_set("huge", "Y");
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	pool = bt_pool_create(self->admin, "alloc", POOL_LIMIT, POOL_RESERVE);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open(&self->c, pool));
}

FIXTURE_TEARDOWN(alloc)
{
	struct bmem_pool_stats st;

	bt_param_set("huge", "Y");
	bt_client_close(&self->c);
	/* Whatever a test did, its pool is back at its reservation. */
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->c.pool, &st) &&
			    st.total_bytes == st.reserve_bytes, 5000)) {
		TH_LOG("total %llu, reserve %llu, attached %llu, escaped %llu",
		       st.total_bytes, st.reserve_bytes, st.attached_bytes,
		       st.escaped_bytes);
	}
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_EQ(0, st.escaped_bytes);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->c.pool));
	close(self->admin);
}

#define EXPECT_SOUND(fd) do {						\
	const char *bad_ = bt_check(fd);				\
	EXPECT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

#define ASSERT_SOUND(fd) do {						\
	const char *bad_ = bt_check(fd);				\
	ASSERT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

/* ---- sizes and alignments -------------------------------------------------- */

static const __u64 sizes[] = {
	1, 63, 64, 65, 4095, 4096, 4097,
	511 * BT_KIB, 512 * BT_KIB, 513 * BT_KIB,
	BT_MIB - 1, BT_MIB, BT_MIB + 1,
	2 * BT_MIB - 1, 2 * BT_MIB, 2 * BT_MIB + 1,
	2202010 /* 2.1 MiB */, 64 * BT_MIB + 1,
};

TEST_F_TIMEOUT(alloc, sizes_side_by_side, BT_SLOW)
{
	struct bmem_alloc_entry e[ARRAY_SIZE(sizes)];
	struct bmem_client_stats st;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, bt_alloc1(self->c.fd, sizes[i], &e[i])) {
			TH_LOG("%llu bytes", sizes[i]);
		}
		EXPECT_EQ(0, e[i].offset % BMEM_ALIGN_MIN);
		EXPECT_LE(sizes[i], e[i].granted);
		EXPECT_GT(BT_PAGE, e[i].granted - sizes[i]);
		if (sizes[i] >= BT_MIB)
			EXPECT_LT((e[i].granted - sizes[i]) * 100, sizes[i]);
		bt_fill(self->c.map + e[i].offset, sizes[i], i);
		EXPECT_SOUND(self->c.fd);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = i; j < ARRAY_SIZE(sizes); j++)
			EXPECT_EQ(-1, bt_verify(self->c.map + e[j].offset,
						sizes[j], j));
		EXPECT_EQ(0, bt_free1(self->c.fd, e[i].handle));
		EXPECT_SOUND(self->c.fd);
	}
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(st.attached_bytes, st.cached_bytes);
}

/* Tensors of 2.1 MiB share huge pages: ten take 21 MiB, not 40. */
TEST_F_TIMEOUT(alloc, packed_across_huge_pages, BT_SLOW)
{
	struct bmem_alloc_entry e[10];
	struct bmem_client_stats st;
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, bt_alloc1(self->c.fd, 2202010, &e[i]));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(BT_ROUND_UP(10 * BT_ROUND_UP(2202010, BT_PAGE), BT_HUGE),
		  st.attached_bytes);
}

TEST_F_TIMEOUT(alloc, bounds, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bmem_client_stats st;

	EXPECT_EQ(-EINVAL, bt_alloc1(self->c.fd, 0, &e));
	EXPECT_EQ(-EFBIG, bt_alloc1(self->c.fd, POOL_LIMIT + 1, &e));
	EXPECT_EQ(-EOVERFLOW, bt_alloc1(self->c.fd, ~0ULL, &e));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, POOL_LIMIT, &e));
	EXPECT_SOUND(self->c.fd);
	/* Both ends of it are there. */
	EXPECT_EQ(0, bt_poke(self->c.map + e.offset, 1));
	EXPECT_EQ(0, bt_poke(self->c.map + e.offset + POOL_LIMIT - 1, 1));
	EXPECT_EQ(-ENOSPC, bt_alloc1(self->c.fd, 1, &e));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(POOL_LIMIT, st.attached_bytes);
}

TEST_F_TIMEOUT(alloc, alignments, BT_SLOW)
{
	static const __u64 some[] = { 1, 4097, 3 * BT_MIB };
	struct bmem_alloc_entry e;
	__u32 align;
	size_t i;

	for (align = BMEM_ALIGN_MIN; align <= BMEM_ALIGN_MAX; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(some); i++) {
			e = (struct bmem_alloc_entry){
				.bytes = some[i], .align = align,
			};
			ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
			EXPECT_EQ(0, e.offset % align) {
				TH_LOG("%llu bytes aligned to %u at %#llx",
				       some[i], align, e.offset);
			}
		}
	}
	EXPECT_SOUND(self->c.fd);
}

/* What debugfs says of this client's only line, before there is a selector. */
static const char *placed_by(int fd, const char *column, char *text, size_t size)
{
	struct bmem_query q;
	char id[24];

	if (bt_query(fd, &q))
		return "?";
	snprintf(id, sizeof(id), "%llu", q.client_id);
	return bt_table_text("placement", "client", id, column, text, size) ? "?" :
	       text;
}

TEST_F_TIMEOUT(alloc, policies, BT_SLOW)
{
	static const char * const names[] = { "first", "first", "best", "buddy" };
	struct bmem_alloc_entry e[4], gap;
	__u64 pages;
	char text[32];
	__u32 policy;
	int i;

	for (policy = BMEM_PLACE_AUTO; policy <= BMEM_PLACE_BUDDY; policy++) {
		ASSERT_EQ(0, bt_bind_policy(self->c.fd, policy));
		EXPECT_STREQ(names[policy], placed_by(self->c.fd, "policy", text,
						      sizeof(text)));
		EXPECT_STREQ(policy ? "pinned" : "default",
			     placed_by(self->c.fd, "why", text, sizeof(text)));
		/* Gaps of 20 and, behind it, of 10 pages: 9 fit both. */
		ASSERT_EQ(0, bt_alloc1(self->c.fd, 20 * BT_PAGE, &e[0]));
		ASSERT_EQ(0, bt_alloc1(self->c.fd, BT_PAGE, &e[1]));
		ASSERT_EQ(0, bt_alloc1(self->c.fd, 10 * BT_PAGE, &e[2]));
		ASSERT_EQ(0, bt_alloc1(self->c.fd, BT_PAGE, &e[3]));
		ASSERT_EQ(0, bt_free1(self->c.fd, e[0].handle));
		ASSERT_EQ(0, bt_free1(self->c.fd, e[2].handle));
		ASSERT_EQ(0, bt_alloc1(self->c.fd, 9 * BT_PAGE, &gap));
		pages = gap.granted / BT_PAGE;
		EXPECT_EQ(policy == BMEM_PLACE_BUDDY ? 16 : 9, pages);
		if (policy == BMEM_PLACE_BUDDY) {
			EXPECT_EQ(0, gap.offset % gap.granted);
		} else {
			EXPECT_EQ(e[policy == BMEM_PLACE_BEST ? 2 : 0].offset,
				  gap.offset);
		}
		EXPECT_SOUND(self->c.fd);
		for (i = 1; i < 4; i += 2)
			EXPECT_EQ(0, bt_free1(self->c.fd, e[i].handle));
		EXPECT_EQ(0, bt_free1(self->c.fd, gap.handle));
		EXPECT_SOUND(self->c.fd);
	}
}

/* What a policy would round up to does not count: what was asked for fits. */
TEST_F_TIMEOUT(alloc, rounding_refuses_nothing, BT_SLOW)
{
	struct bmem_alloc_entry e[2];

	ASSERT_EQ(0, bt_bind_policy(self->c.fd, BMEM_PLACE_BUDDY));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, BT_MIB, &e[0]));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, POOL_LIMIT - BT_MIB - BT_MIB / 2, &e[1]));
	EXPECT_SOUND(self->c.fd);
	EXPECT_EQ(0, bt_free1(self->c.fd, e[0].handle));
	EXPECT_EQ(0, bt_free1(self->c.fd, e[1].handle));
	EXPECT_SOUND(self->c.fd);
}

TEST_F_TIMEOUT(alloc, zero_flag, BT_SLOW)
{
	struct bmem_alloc_entry e, z;
	__u64 bytes = 5 * BT_MIB + 100;
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, bt_alloc1(self->c.fd, bytes, &e));
		memset(self->c.map + e.offset, 0xa5, bytes);
		ASSERT_EQ(0, bt_free1(self->c.fd, e.handle));
		z = (struct bmem_alloc_entry){
			.bytes = bytes - round * 1000000, .flags = BMEM_ALLOC_ZERO,
		};
		ASSERT_EQ(0, bt_alloc(self->c.fd, &z, 1, NULL));
		EXPECT_EQ(e.offset, z.offset);
		EXPECT_EQ(-1, bt_not_byte(self->c.map + z.offset, z.bytes, 0));
		ASSERT_EQ(0, bt_free1(self->c.fd, z.handle));
	}
}

/* Memory is there when ALLOC returns, wherever in the tensor one looks. */
TEST_F_TIMEOUT(alloc, every_page_is_there, BT_SLOW)
{
	struct bmem_alloc_entry e;
	__u64 at;

	ASSERT_EQ(0, bt_alloc1(self->c.fd, 10 * BT_MIB + 1, &e));
	for (at = 0; at < e.granted; at += BT_PAGE)
		ASSERT_EQ(0, bt_poke(self->c.map + e.offset + at, 1));
}

/* ---- the model -------------------------------------------------------------- */

#define MODEL_MAX	256
#define MODEL_STEPS	2500

struct model {
	struct bmem_alloc_entry t[MODEL_MAX];
	__u64 seed[MODEL_MAX];
	int nr;
	__u64 bytes;
	__u64 rnd;
	__u64 allocs;
	__u64 frees;
	__u64 refused;
};

static __u64 model_size(struct model *m)
{
	unsigned int bits = bt_random(&m->rnd) % 24;

	return 1 + bt_random(&m->rnd) % (2ULL << bits);
}

/* A batch of up to eight; the pool may be too small for it. */
static const char *model_alloc(struct model *m, struct bt_client *c)
{
	unsigned int nr = 1 + bt_random(&m->rnd) % 8, i;
	struct bmem_alloc_entry e[8];
	int ret;

	if (m->nr + nr > MODEL_MAX)
		return NULL;
	for (i = 0; i < nr; i++)
		e[i] = (struct bmem_alloc_entry){
			.bytes = model_size(m),
			.align = bt_random(&m->rnd) % 4 ? 0 :
				 64U << (bt_random(&m->rnd) % 16),
			.flags = bt_random(&m->rnd) % 8 ? 0 : BMEM_ALLOC_ZERO,
			.site = bt_random(&m->rnd) % 20,
		};
	ret = bt_alloc(c->fd, e, nr, NULL);
	m->refused += ret == -ENOSPC;
	if (ret)
		return ret == -ENOSPC ? NULL : strerror(-ret);
	for (i = 0; i < nr; i++) {
		if (e[i].flags & BMEM_ALLOC_ZERO &&
		    bt_not_byte(c->map + e[i].offset, e[i].bytes, 0) >= 0)
			return "zeroed tensor is not zero";
		m->seed[m->nr] = bt_random(&m->rnd);
		bt_tag(c->map + e[i].offset, e[i].bytes, m->seed[m->nr]);
		m->bytes += e[i].bytes;
		m->t[m->nr++] = e[i];
		m->allocs++;
	}
	return NULL;
}

static const char *model_free(struct model *m, struct bt_client *c)
{
	unsigned int nr = 1 + bt_random(&m->rnd) % 8, i, freed;
	struct bmem_free_entry f[8];

	if (!m->nr)
		return NULL;
	if (nr > (unsigned int)m->nr)
		nr = m->nr;
	for (i = 0; i < nr; i++) {
		int at = bt_random(&m->rnd) % m->nr;

		if (bt_tag_verify(c->map + m->t[at].offset, m->t[at].bytes,
				  m->seed[at]) >= 0)
			return "content changed";
		f[i] = (struct bmem_free_entry){ .handle = m->t[at].handle };
		m->bytes -= m->t[at].bytes;
		m->t[at] = m->t[--m->nr];
		m->seed[at] = m->seed[m->nr];
		m->frees++;
	}
	if (bt_free(c->fd, f, nr, &freed) || freed != nr)
		return "a free failed";
	return NULL;
}

/* The arena fills up for a while, then empties, and so on. */
static const char *model_step(struct model *m, struct bt_client *c, int step)
{
	unsigned int what = bt_random(&m->rnd) % 100;

	if (what < (step / 150 % 2 ? 35 : 65))
		return model_alloc(m, c);
	if (what < 96)
		return model_free(m, c);
	if (what < 97)
		return bt_bind_policy(c->fd, bt_random(&m->rnd) % 4) ?
		       "pinning a policy failed" : NULL;
	if (what < 98)
		return bt_trim(c->fd, 0, bt_random(&m->rnd) % (32 * BT_MIB), NULL) ?
		       "trim failed" : NULL;
	return bt_bind_cache(c->fd, bt_random(&m->rnd) % (32 * BT_MIB)) ?
	       "bind failed" : NULL;
}

static const char *model_compare(struct model *m, struct bt_client *c)
{
	struct bmem_client_stats st;

	if (bt_client_stats(c->fd, 0, &st))
		return "no statistics";
	if (st.live_tensors != (__u64)m->nr || st.live_bytes != m->bytes ||
	    st.allocs != m->allocs || st.frees != m->frees ||
	    st.failed != m->refused)
		return "model and statistics differ";
	return bt_check(c->fd);
}

TEST_F_TIMEOUT(alloc, random_against_a_model, 2 * BT_SLOW)
{
	struct model *m = calloc(1, sizeof(*m));
	const char *bad = NULL, *env = getenv("BMEM_SEED");
	int step;

	m->rnd = env ? strtoull(env, NULL, 0) : bt_now_ns();
	TH_LOG("BMEM_SEED=%llu", m->rnd);
	for (step = 0; step < MODEL_STEPS; step++) {
		bad = model_step(m, &self->c, step);
		if (!bad)
			bad = model_compare(m, &self->c);
		ASSERT_EQ(NULL, bad) {
			TH_LOG("step %d: %s", step, bad);
		}
		if (step % 500 == 499)
			TH_LOG("%d steps, %d tensors, %llu MiB, %llu refused",
			       step + 1, m->nr, m->bytes / BT_MIB, m->refused);
	}
	EXPECT_LT(MODEL_STEPS / 2, m->allocs);
	EXPECT_LT(0, m->refused);
}

/* ---- threads ----------------------------------------------------------------- */

struct worker {
	struct bt_client *c;
	__u64 seed;
	const char *bad;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct bmem_alloc_entry e[8];
	int round, i;

	for (round = 0; round < 60 && !w->bad; round++) {
		for (i = 0; i < 8; i++) {
			if (bt_alloc1(w->c->fd, bt_random(&w->seed) % (BT_MIB / 2) + 1, &e[i]))
				w->bad = "alloc failed";
			else
				bt_tag(w->c->map + e[i].offset, e[i].bytes, e[i].handle);
		}
		for (i = 0; i < 8 && !w->bad; i++) {
			if (bt_tag_verify(w->c->map + e[i].offset, e[i].bytes,
					  e[i].handle) >= 0)
				w->bad = "content changed";
			else if (bt_free1(w->c->fd, e[i].handle))
				w->bad = "free failed";
		}
		if (round % 8 == 0)
			bt_trim(w->c->fd, 0, 0, NULL);
	}
	return NULL;
}

TEST_F_TIMEOUT(alloc, threads, BT_SLOW)
{
	struct worker w[4];
	pthread_t thread[4];
	int i;

	for (i = 0; i < 4; i++) {
		w[i] = (struct worker){ .c = &self->c, .seed = i };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, work, &w[i]));
	}
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(NULL, w[i].bad) {
			TH_LOG("%s", w[i].bad);
		}
	}
	EXPECT_SOUND(self->c.fd);
}

/* ---- zeroes between clients ---------------------------------------------------- */

#define SECRET	0xa5

/* Fills what the pool gives with a pattern and goes. */
static int leave_secrets(int pool, __u64 bytes, bool by_free)
{
	struct bmem_alloc_entry e;
	struct bt_client a;
	int ret = bt_client_open(&a, pool);

	if (ret)
		return ret;
	ret = bt_alloc1(a.fd, bytes, &e);
	if (!ret)
		memset(a.map + e.offset, SECRET, bytes);
	if (!ret && by_free) {
		ret = bt_free1(a.fd, e.handle);
		bt_trim(a.fd, 0, 0, NULL);
	}
	bt_client_close(&a);
	return ret;
}

/* What a new client finds in memory that it never wrote: -1, or where. */
static long long find_secrets(int pool, __u64 bytes)
{
	struct bmem_alloc_entry e;
	struct bt_client b;
	long long at = -2;

	if (bt_client_open(&b, pool))
		return -2;
	if (!bt_alloc1(b.fd, bytes, &e))
		at = bt_not_byte(b.map + e.offset, e.granted, 0);
	bt_client_close(&b);
	return at;
}

TEST_F_TIMEOUT(alloc, no_page_reaches_another_unzeroed, BT_SLOW)
{
	__u64 bytes = 2 * POOL_RESERVE;
	int round;

	for (round = 0; round < 6; round++) {
		bt_param_set("huge", round % 3 == 2 ? "N" : "Y");
		ASSERT_EQ(0, leave_secrets(self->c.pool, bytes, round & 1));
		/* At once, and after the background had time to zero. */
		EXPECT_EQ(-1, find_secrets(self->c.pool, bytes));
		ASSERT_EQ(0, leave_secrets(self->c.pool, bytes, round & 1));
		usleep(300000);
		EXPECT_EQ(-1, find_secrets(self->c.pool, bytes));
	}
	EXPECT_SOUND(self->c.fd);
}

/* While one client is busy leaving pages, another takes them. */
static int leave_forever(void *arg)
{
	int pool = *(int *)arg;

	for (;;)
		if (leave_secrets(pool, POOL_RESERVE, false))
			return 1;
}

TEST_F_TIMEOUT(alloc, no_page_reaches_another_unzeroed_racing, BT_SLOW)
{
	pid_t pid = bt_spawn(leave_forever, &self->c.pool);
	int round, status;

	for (round = 0; round < 40; round++)
		EXPECT_EQ(-1, find_secrets(self->c.pool, POOL_RESERVE));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_SOUND(self->c.fd);
}

/* Free pages are zeroed in the background, and only then are they "zeroed". */
TEST_F_TIMEOUT(alloc, background_zeroing, BT_SLOW)
{
	struct bmem_pool_stats st;

	ASSERT_EQ(0, leave_secrets(self->c.pool, POOL_RESERVE, false));
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->c.fd, self->c.pool, &st) &&
			    st.zeroed_bytes == POOL_RESERVE, 20000)) {
		TH_LOG("zeroed %llu, dirty %llu, zeroing %llu", st.zeroed_bytes,
		       st.dirty_bytes, st.zeroing_bytes);
	}
	EXPECT_EQ(0, st.dirty_bytes);
}

/* ---- the cache ------------------------------------------------------------------ */

/* Allocates and frees so many huge pages, so that they end in the cache. */
static int fill_cache(int fd, unsigned int huge)
{
	struct bmem_alloc_entry e;
	int ret = bt_alloc1(fd, huge * BT_HUGE, &e);

	return ret ? ret : bt_free1(fd, e.handle);
}

TEST_F_TIMEOUT(alloc, cache_bound_and_trim, BT_SLOW)
{
	struct bmem_client_stats st;
	int fd = self->c.fd;
	__u64 trimmed;

	ASSERT_EQ(0, bt_bind_cache(fd, 4 * BT_HUGE));
	ASSERT_EQ(0, fill_cache(fd, 10));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(4 * BT_HUGE, st.cached_bytes);
	EXPECT_EQ(4 * BT_HUGE, st.attached_bytes);
	EXPECT_SOUND(fd);
	ASSERT_EQ(0, bt_trim(fd, 0, 3 * BT_HUGE + 5, &trimmed));
	EXPECT_EQ(BT_HUGE, trimmed);
	ASSERT_EQ(0, bt_bind_cache(fd, BT_HUGE));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.cached_bytes);
	ASSERT_EQ(0, bt_trim(fd, 0, 0, &trimmed));
	EXPECT_EQ(BT_HUGE, trimmed);
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(0, st.attached_bytes);
	ASSERT_EQ(0, bt_trim(fd, 0, 0, &trimmed));
	EXPECT_EQ(0, trimmed);
	ASSERT_EQ(0, bt_bind_cache(fd, 0));
	ASSERT_EQ(0, fill_cache(fd, 3));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_SOUND(fd);
}

TEST_F_TIMEOUT(alloc, trim_the_pool, BT_SLOW)
{
	struct bmem_client_stats st;
	struct bt_client other;
	__u64 trimmed;

	ASSERT_EQ(0, bt_client_open(&other, self->c.pool));
	ASSERT_EQ(0, bt_bind_cache(other.fd, 5 * BT_HUGE));
	ASSERT_EQ(0, bt_bind_cache(self->c.fd, 5 * BT_HUGE));
	ASSERT_EQ(0, fill_cache(other.fd, 5));
	ASSERT_EQ(0, fill_cache(self->c.fd, 3));
	ASSERT_EQ(0, bt_trim(self->c.fd, BMEM_TRIM_POOL, BT_HUGE, &trimmed));
	EXPECT_EQ(6 * BT_HUGE, trimmed);
	ASSERT_EQ(0, bt_client_stats(other.fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.attached_bytes);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.attached_bytes);
	EXPECT_SOUND(self->c.fd);
	/* Another pool's clients keep theirs: the admin's default pool. */
	ASSERT_EQ(0, fill_cache(self->admin, 1));
	ASSERT_EQ(0, bt_trim(self->c.fd, BMEM_TRIM_POOL, 0, &trimmed));
	EXPECT_EQ(2 * BT_HUGE, trimmed);
	ASSERT_EQ(0, bt_client_stats(self->admin, 0, &st));
	EXPECT_EQ(BT_HUGE, st.cached_bytes);
	bt_client_close(&other);
}

struct trimmer {
	int fd;
	volatile pid_t tid;
	volatile bool through;
	int ret;
	__u64 trimmed;
};

static void *trim_pool(void *arg)
{
	struct trimmer *t = arg;

	t->tid = gettid();
	t->ret = bt_trim(t->fd, BMEM_TRIM_POOL, 0, &t->trimmed);
	t->through = true;
	return NULL;
}

#define BUSY_ROUNDS	20

/*
 * A client that is busy for a moment, with one of the module's own workers, is
 * asked like any other.  It may take too long to let go of it once, on a machine
 * that has much to do, but not always.
 */
TEST_F_TIMEOUT(alloc, trim_waits_for_who_is_busy, BT_SLOW)
{
	struct trimmer t = { .fd = self->c.fd };
	struct bt_client other;
	pthread_t thread;
	int i, ret;

	ret = raiser_load();
	if (ret == -ENOSYS)
		SKIP(return, "no bmem_raise.ko for this kernel");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, bt_client_open(&other, self->c.pool));
	ASSERT_EQ(0, bt_bind_cache(other.fd, 5 * BT_HUGE));
	ASSERT_EQ(0, fill_cache(other.fd, 5));
	for (i = 0; i < BUSY_ROUNDS && !t.trimmed; i++) {
		t.tid = 0;
		t.through = false;
		ASSERT_EQ(0, hold_client(other.id));
		ASSERT_EQ(0, pthread_create(&thread, NULL, trim_pool, &t));
		EXPECT_TRUE(BT_WAIT(t.through || (t.tid && bt_task_state(t.tid) == 'D'),
				    BT_SOON));
		EXPECT_EQ(0, hold_client(0));
		pthread_join(thread, NULL);
		EXPECT_EQ(0, t.ret);
	}
	EXPECT_EQ(5 * BT_HUGE, t.trimmed);
	bt_client_close(&other);
	EXPECT_EQ(0, raiser_unload());
}

/* A pool at its limit takes back what idle clients only cache. */
TEST_F_TIMEOUT(alloc, room_after_trim, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client other;

	ASSERT_EQ(0, bt_client_open(&other, self->c.pool));
	ASSERT_EQ(0, bt_bind_cache(other.fd, POOL_LIMIT));
	ASSERT_EQ(0, fill_cache(other.fd, POOL_LIMIT / BT_HUGE));
	bt_trim(self->c.fd, BMEM_TRIM_POOL, 0, NULL);
	EXPECT_EQ(0, bt_alloc1(self->c.fd, POOL_LIMIT, &e));
	EXPECT_SOUND(self->c.fd);
	bt_client_close(&other);
}

/* ---- pools ------------------------------------------------------------------------ */

TEST_F_TIMEOUT(alloc, pool_reservation, BT_SLOW)
{
	/* Much more than a processor keeps aside of free pages. */
	__u64 want = 512 * BT_MIB, before, after;
	struct bmem_pool_stats st;
	int pool;

	before = bt_meminfo("MemFree");
	pool = bt_pool_create(self->admin, "reserve", want, want);
	ASSERT_LE(0, pool);
	after = bt_meminfo("MemFree");
	EXPECT_LT(after + want / 2, before);
	ASSERT_EQ(0, bt_pool_stats(self->admin, pool, &st));
	EXPECT_EQ(want, st.total_bytes);
	EXPECT_EQ(want, st.zeroed_bytes + st.dirty_bytes + st.zeroing_bytes);
	EXPECT_EQ(0, st.clients);

	ASSERT_EQ(0, bt_pool_resize(self->admin, pool, BMEM_RESIZE_RESERVE, 0,
				    BT_HUGE));
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, pool, &st) &&
			    st.total_bytes == BT_HUGE, 5000)) {
		TH_LOG("total is %llu", st.total_bytes);
	}
	ASSERT_EQ(0, bt_pool_resize(self->admin, pool, BMEM_RESIZE_RESERVE, 0,
				    8 * BT_HUGE));
	ASSERT_EQ(0, bt_pool_stats(self->admin, pool, &st));
	EXPECT_EQ(8 * BT_HUGE, st.total_bytes);
	EXPECT_EQ(8 * BT_HUGE, st.reserve_bytes);
	EXPECT_EQ(want, st.limit_bytes);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
	EXPECT_TRUE(BT_WAIT(bt_meminfo("MemFree") + want / 2 > before, 5000));
}

TEST_F_TIMEOUT(alloc, limit_below_what_is_held, BT_SLOW)
{
	struct bmem_alloc_entry e, more;
	__u64 held = 40 * BT_MIB;

	ASSERT_EQ(0, bt_bind_cache(self->c.fd, 0));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, held, &e));
	bt_tag(self->c.map + e.offset, held, 5);
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool, BMEM_RESIZE_LIMIT,
				    20 * BT_MIB, 0));
	EXPECT_EQ(-1, bt_tag_verify(self->c.map + e.offset, held, 5));
	EXPECT_EQ(-ENOSPC, bt_alloc1(self->c.fd, BT_HUGE, &more));
	EXPECT_SOUND(self->c.fd);
	ASSERT_EQ(0, bt_free1(self->c.fd, e.handle));
	EXPECT_EQ(-EFBIG, bt_alloc1(self->c.fd, 20 * BT_MIB + 1, &more));
	EXPECT_EQ(0, bt_alloc1(self->c.fd, 20 * BT_MIB, &more));
	EXPECT_SOUND(self->c.fd);
}

#define ROUNDS		(bt_debug_kernel() ? 50 : 300)

/**
 * struct resizer - a thread that reserves all of a pool, and nothing, again and again
 * @fd: open device
 * @pool: pool, whose limit is a huge page
 * @rounds: how often yet it is to have reserved it
 */
struct resizer {
	int fd;
	int pool;
	volatile int rounds;
};

static void *resize(void *arg)
{
	struct resizer *r = arg;

	while (r->rounds) {
		/* There is no room for it while somebody has the page. */
		if (!bt_pool_resize(r->fd, r->pool, BMEM_RESIZE_RESERVE, 0,
				    BT_HUGE))
			r->rounds--;
		bt_pool_resize(r->fd, r->pool, BMEM_RESIZE_RESERVE, 0, 0);
	}
	return NULL;
}

/* What the reservation is about to get is not refused to who asks for it first. */
TEST_F_TIMEOUT(alloc, room_that_is_being_reserved, BT_SLOW)
{
	struct resizer r = { .fd = self->admin, .rounds = ROUNDS };
	struct bmem_alloc_entry e;
	pthread_t thread;
	int ret = 0;

	r.pool = bt_pool_create(self->admin, "reserving", BT_HUGE, 0);
	ASSERT_LE(0, r.pool);
	ASSERT_EQ(0, bt_bind_pool(self->c.fd, r.pool));
	ASSERT_EQ(0, bt_bind_cache(self->c.fd, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, resize, &r));
	while (!ret && r.rounds) {
		ret = bt_alloc1(self->c.fd, BT_HUGE, &e);
		if (!ret)
			ret = bt_free1(self->c.fd, e.handle);
		bt_trim(self->c.fd, 0, 0, NULL);
	}
	EXPECT_EQ(0, ret) {
		TH_LOG("%d rounds before the end", r.rounds);
	}
	/* Nobody is in its way any more. */
	pthread_join(thread, NULL);
	ASSERT_EQ(0, bt_bind_pool(self->c.fd, BMEM_POOL_DEFAULT));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, r.pool));
	EXPECT_EQ(0, bt_bind_pool(self->c.fd, self->c.pool));
}

/* Node by node, by the pool's figures and by where the pages really are. */
/* How many of @nr huge pages from @p on are on each of two nodes. */
static int where_pages_are(char *p, int nr, int *on)
{
	void *pages[16];
	int status[16], i;

	on[0] = on[1] = 0;
	for (i = 0; i < nr; i++) {
		pages[i] = p + i * BT_HUGE;
		bt_poke(pages[i], 1);
	}
	if (syscall(SYS_move_pages, 0, nr, pages, NULL, status, 0))
		return -errno;
	for (i = 0; i < nr; i++) {
		if (status[i] != 0 && status[i] != 1)
			return -EIO;
		on[status[i]]++;
	}
	return 0;
}

static const char *check_nodes(int fd, int pool)
{
	struct bmem_pool_stats all, node;
	__u64 total = 0, attached = 0;
	int n;

	for (n = 0; n < bt_numa_nodes(); n++) {
		if (bt_pool_stats_node(fd, pool, n, &node))
			return "no figures of a node";
		total += node.total_bytes;
		attached += node.attached_bytes;
	}
	bt_pool_stats(fd, pool, &all);
	return total == all.total_bytes && attached == all.attached_bytes ?
	       NULL : "nodes do not add up to the pool";
}

TEST_F_TIMEOUT(alloc, numa_policies, BT_SLOW)
{
	static const struct {
		enum bmem_policy policy;
		int nid;
	} tries[] = {
		{ BMEM_POLICY_LOCAL, 0 }, { BMEM_POLICY_BIND, 0 },
		{ BMEM_POLICY_BIND, 1 }, { BMEM_POLICY_INTERLEAVE, 0 },
	};
	struct bmem_pool_stats st;
	struct bmem_alloc_entry e;
	struct bt_client c;
	int pool, on[2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		pool = bt_pool_create_on(self->admin, "policy", 16 * BT_HUGE,
					 4 * BT_HUGE, tries[i].policy,
					 tries[i].nid);
		if (tries[i].nid >= bt_numa_nodes()) {
			EXPECT_EQ(-EINVAL, pool);
			continue;
		}
		ASSERT_LE(0, pool);
		ASSERT_EQ(0, bt_client_open(&c, pool));
		ASSERT_EQ(0, bt_alloc1(c.fd, 8 * BT_HUGE, &e));
		EXPECT_EQ(NULL, check_nodes(c.fd, pool)) {
			TH_LOG("policy %d", tries[i].policy);
		}
		ASSERT_EQ(0, bt_pool_stats(c.fd, pool, &st));
		EXPECT_EQ(tries[i].policy, st.policy);
		EXPECT_EQ(tries[i].nid, st.bind_nid);
		ASSERT_EQ(0, where_pages_are(c.map + e.offset, 8, on));
		if (tries[i].policy == BMEM_POLICY_BIND)
			EXPECT_EQ(8, on[tries[i].nid]);
		if (tries[i].policy == BMEM_POLICY_INTERLEAVE && bt_numa_nodes() > 1) {
			/* In turn. */
			EXPECT_EQ(4, on[0]);
			EXPECT_EQ(4, on[1]);
		}
		bt_client_close(&c);
		EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
	}
	if (bt_numa_nodes() == 1)
		TH_LOG("one NUMA node: boot with numa=fake=2 for the rest");
}

/* ---- base pages ---------------------------------------------------------------------- */

#define FALLBACK_BYTES	(5 * BT_MIB + 123)

TEST_F_TIMEOUT(alloc, fallback_to_base_pages, BT_SLOW)
{
	struct bmem_pool_stats before, after;
	struct bmem_alloc_entry e;
	struct bmem_client_stats st;
	struct bt_smaps maps;
	char *p;

	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->c.pool, &before));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, FALLBACK_BYTES, &e));
	p = self->c.map + e.offset;
	bt_fill(p, FALLBACK_BYTES, 9);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_LE(e.granted, st.base_bytes);
	EXPECT_EQ(st.attached_bytes, st.base_bytes);
	EXPECT_SOUND(self->c.fd);
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->c.pool, &after));
	EXPECT_EQ(before.fallbacks + 3, after.fallbacks);
	EXPECT_EQ(before.huge_taken, after.huge_taken);
	EXPECT_EQ(st.base_bytes, after.base_bytes);
	ASSERT_EQ(0, bt_smaps(0, p, e.granted, &maps));
	EXPECT_EQ(0, maps.pmd);
	EXPECT_EQ(-1, bt_verify(p, FALLBACK_BYTES, 9));
	ASSERT_EQ(0, bt_free1(self->c.fd, e.handle));
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_SOUND(self->c.fd);
}

/* Adds to a counter in every page as fast as it can until told to stop. */
struct writer {
	char *p;
	__u64 pages;
	volatile bool stop;
	__u64 rounds;
};

static void *keep_writing(void *arg)
{
	struct writer *w = arg;
	__u64 i;

	while (!w->stop) {
		for (i = 0; i < w->pages; i++)
			(*(volatile __u64 *)(w->p + i * BT_PAGE + 2048))++;
		w->rounds++;
	}
	return NULL;
}

/* No store of the writer was lost. */
static long long lost_stores(const struct writer *w)
{
	__u64 i;

	for (i = 0; i < w->pages; i++)
		if (*(__u64 *)(w->p + i * BT_PAGE + 2048) != w->rounds)
			return i;
	return -1;
}

TEST_F_TIMEOUT(alloc, promotion, BT_SLOW)
{
	struct writer w = { .pages = 3 * BT_HUGE / BT_PAGE };
	struct bmem_pool_stats pool;
	struct bmem_client_stats st;
	struct bmem_alloc_entry e = {
		.bytes = 3 * BT_HUGE, .align = BT_HUGE, .flags = BMEM_ALLOC_ZERO,
	};
	struct bt_smaps maps;
	pthread_t thread;
	char *again, *balancing;

	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	/* The reservation is huge pages; without it there are none to be had. */
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	w.p = self->c.map + e.offset;
	bt_tag(w.p, e.bytes, 3);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	ASSERT_EQ(3 * BT_HUGE, st.base_bytes);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_writing, &w));
	ASSERT_TRUE(BT_WAIT(*(volatile __u64 *)&w.rounds, BT_SOON));
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(self->c.fd, 0, &st) &&
			    !st.base_bytes, 60000)) {
		TH_LOG("still %llu in base pages", st.base_bytes);
	}
	usleep(100000);
	w.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(-1, lost_stores(&w));
	EXPECT_EQ(-1, bt_tag_verify(w.p, e.bytes, 3));
	EXPECT_EQ(3, st.promoted);
	EXPECT_EQ(3 * BT_HUGE, st.attached_bytes);
	/*
	 * A mapping that has page tables for small pages keeps them; one that
	 * has none yet is made of huge pages.
	 */
	balancing = bt_balancing_off();
	again = bt_map(self->c.fd, e.offset, e.bytes);
	EXPECT_EQ(-1, bt_tag_verify(again, e.bytes, 3));
	ASSERT_EQ(0, bt_smaps(0, again, e.bytes, &maps));
	EXPECT_EQ(3 * BT_HUGE, maps.pmd);
	bt_balancing_back(balancing);
	munmap(again, e.bytes);
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->c.pool, &pool));
	EXPECT_EQ(3, pool.promoted);
	EXPECT_EQ(0, pool.base_bytes);
	EXPECT_SOUND(self->c.fd);
}

/*
 * The only huge page of a reservation is what base pages are made room for with,
 * also in the moment in which it is being zeroed.  In chunks in base pages, with
 * room in each, there is what else there can be in the pool.
 */
TEST_F_TIMEOUT(alloc, room_that_is_being_zeroed, BT_SLOW)
{
	struct bmem_alloc_entry part[4], whole, more;
	int pool, i, ret = 0, fd = self->c.fd;
	char ms[32];

	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_param("promote_ms", ms, sizeof(ms)));
	ASSERT_EQ(0, bt_param_set("promote_ms", "3600000"));
	pool = bt_pool_create(self->admin, "zeroing", 4 * BT_HUGE, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_bind_pool(fd, pool));
	ASSERT_EQ(0, bt_bind_cache(fd, 0));
	for (i = 0; i < 4; i++) {
		part[i] = (struct bmem_alloc_entry){
			.bytes = 3 * BT_HUGE / 4, .align = BT_HUGE,
		};
		ASSERT_EQ(0, bt_alloc(fd, &part[i], 1, NULL));
	}
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	for (i = 0; i < ROUNDS && !ret; i++) {
		ASSERT_EQ(0, bt_pool_resize(self->admin, pool,
					    BMEM_RESIZE_RESERVE, 0, BT_HUGE));
		whole = (struct bmem_alloc_entry){
			.bytes = BT_HUGE, .align = BT_HUGE,
		};
		ASSERT_EQ(0, bt_alloc(fd, &whole, 1, NULL));
		ASSERT_EQ(0, bt_free1(fd, whole.handle));
		ASSERT_EQ(0, bt_trim(fd, 0, 0, NULL));
		/* The keeper begins at once, or a little later. */
		usleep(i % 8 * 50);
		ret = bt_alloc1(fd, BT_PAGE, &more);
		if (!ret)
			ASSERT_EQ(0, bt_free1(fd, more.handle));
	}
	EXPECT_EQ(0, ret) {
		TH_LOG("round %d", i);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, bt_free1(fd, part[i].handle));
	EXPECT_EQ(0, bt_param_set("promote_ms", ms));
	ASSERT_EQ(0, bt_bind_pool(fd, BMEM_POOL_DEFAULT));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
	EXPECT_EQ(0, bt_bind_pool(fd, self->c.pool));
}

/* A try that is due in an hour comes soon once the time between tries is short. */
TEST_F_TIMEOUT(alloc, promoted_sooner, BT_SLOW)
{
	struct bmem_client_stats st;
	struct bmem_alloc_entry e;
	char ms[32];

	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_param("promote_ms", ms, sizeof(ms)));
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	ASSERT_EQ(0, bt_param_set("promote_ms", "3600000"));
	EXPECT_EQ(0, bt_alloc1(self->c.fd, BT_HUGE, &e));
	/* Longer than one that was under way. */
	usleep(1500000);
	EXPECT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.base_bytes);
	EXPECT_EQ(0, bt_param_set("promote_ms", "10"));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(self->c.fd, 0, &st) &&
			    !st.base_bytes, BT_SOON));
	EXPECT_EQ(0, bt_param_set("promote_ms", ms));
}

/*
 * A page with @bytes of @from, which whoever writes to is kept waiting for: until
 * the descriptor is closed, which says when somebody does.
 */
static int slow_page(void **page, const void *from, size_t bytes)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	*page = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*page == MAP_FAILED)
		goto none;
	memcpy(*page, from, bytes);
	reg.range.start = (uintptr_t)*page;
	reg.range.len = BT_PAGE;
	wp.range = reg.range;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg) &&
	    !ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		return fd;
none:
	close(fd);
	return -EOPNOTSUPP;
}

/* An ALLOC in a thread of its own. */
struct slow_alloc {
	int fd;
	struct bmem_alloc_entry *e;
	int ret;
};

static void *alloc_slowly(void *arg)
{
	struct slow_alloc *s = arg;

	s->ret = bt_alloc(s->fd, s->e, 1, NULL);
	return NULL;
}

/*
 * An ALLOC that cannot tell its caller has taken nothing; but what was written to
 * its memory meanwhile is not there any more when the next asks for zeroes, also
 * when that memory has become another in between.
 */
TEST_F_TIMEOUT(alloc, promoted_before_it_failed, BT_SLOW)
{
	struct bmem_alloc_entry a, b, z = {
		.bytes = BT_MIB / 2, .flags = BMEM_ALLOC_ZERO,
	};
	struct slow_alloc s = { .fd = self->c.fd };
	struct bmem_client_stats st;
	struct pollfd p = { .events = POLLIN };
	pthread_t thread;
	void *page = NULL;

	b = (struct bmem_alloc_entry){ .bytes = z.bytes };
	p.fd = slow_page(&page, &b, sizeof(b));
	if (p.fd < 0)
		SKIP(return, "no userfaultfd");
	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, BT_MIB, &a));
	bt_fill(self->c.map + a.offset, BT_MIB, 5);
	/* Where the next one will be. */
	ASSERT_EQ(0, bt_alloc1(self->c.fd, z.bytes, &b));
	ASSERT_EQ(0, bt_free1(self->c.fd, b.handle));
	ASSERT_NE(0, bt_peek(self->c.map + b.offset));

	s.e = page;
	ASSERT_EQ(0, pthread_create(&thread, NULL, alloc_slowly, &s));
	ASSERT_EQ(1, poll(&p, 1, BT_SOON));
	memset(self->c.map + b.offset, 0xa5, z.bytes);
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(self->c.fd, 0, &st) &&
			    !st.base_bytes, 60000));
	ASSERT_EQ(0, mprotect(page, BT_PAGE, PROT_READ));
	close(p.fd);
	pthread_join(thread, NULL);
	EXPECT_EQ(-EFAULT, s.ret);

	ASSERT_EQ(0, bt_alloc(self->c.fd, &z, 1, NULL));
	EXPECT_EQ(b.offset, z.offset);
	EXPECT_EQ(-1, bt_not_byte(self->c.map + z.offset, z.bytes, 0));
	EXPECT_EQ(-1, bt_verify(self->c.map + a.offset, BT_MIB, 5));
	munmap(page, BT_PAGE);
	EXPECT_SOUND(self->c.fd);
}

/* ---- pins ------------------------------------------------------------------------------- */

#define PINNED	(8 * BT_PAGE)

/* Puts pages of @p into a pipe, which holds references until it is read. */
static int pin(int *pipes, char *p)
{
	struct iovec iov = { p, PINNED };
	ssize_t n;

	if (pipe(pipes))
		return -errno;
	n = vmsplice(pipes[1], &iov, 1, 0);
	return n == PINNED ? 0 : n < 0 ? -errno : -EIO;
}

/* Reads the pipe empty; the first offset that is not as the pattern was. */
static long long unpin(int *pipes, __u64 seed)
{
	static char back[PINNED];
	__u64 got = 0;
	ssize_t n;

	while (got < PINNED && (n = read(pipes[0], back + got, PINNED - got)) > 0)
		got += n;
	close(pipes[0]);
	close(pipes[1]);
	return got == PINNED ? bt_verify(back, PINNED, seed) : -2;
}

static __u64 escaped_now(int fd, int pool)
{
	struct bmem_pool_stats st;

	return bt_pool_stats(fd, pool, &st) ? ~0ULL : st.escaped_bytes;
}

/* The end of every test of pins: content as it was, nothing stays escaped. */
#define EXPECT_UNPINS(pipes, pool) do {					\
	EXPECT_EQ(-1, unpin(pipes, 7));					\
	EXPECT_TRUE(BT_WAIT(!escaped_now(self->admin, pool), 10000));	\
} while (0)

static void test_pin_and_trim(struct __test_metadata *_metadata,
			      FIXTURE_DATA(alloc) *self, __u64 unit)
{
	struct bmem_client_stats st;
	struct bmem_alloc_entry e, other;
	int pipes[2];
	char *p;

	ASSERT_EQ(0, bt_alloc1(self->c.fd, BT_HUGE, &e));
	p = self->c.map + e.offset;
	bt_fill(p, PINNED, 7);
	ASSERT_EQ(0, pin(pipes, p));
	ASSERT_EQ(0, bt_free1(self->c.fd, e.handle));
	ASSERT_EQ(0, bt_trim(self->c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_EQ(unit, st.escaped_bytes);
	EXPECT_EQ(unit, escaped_now(self->admin, self->c.pool));
	EXPECT_SOUND(self->c.fd);
	/* Others get other pages, at the same place too. */
	ASSERT_EQ(0, bt_alloc1(self->c.fd, 8 * BT_HUGE, &other));
	EXPECT_EQ(e.offset, other.offset);
	memset(self->c.map + other.offset, 0xee, other.bytes);
	usleep(2500000);
	EXPECT_EQ(unit, escaped_now(self->admin, self->c.pool));
	EXPECT_UNPINS(pipes, self->c.pool);
	EXPECT_SOUND(self->c.fd);
}

TEST_F_TIMEOUT(alloc, pinned_huge_page, BT_SLOW)
{
	struct bmem_pool_stats st;

	test_pin_and_trim(_metadata, self, BT_HUGE);
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->c.pool, &st));
	EXPECT_EQ(BT_HUGE, st.escaped_total_bytes);
}

TEST_F_TIMEOUT(alloc, pinned_base_pages, BT_SLOW)
{
	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	test_pin_and_trim(_metadata, self, PINNED);
}

/* A free that keeps the huge page in the client must not hand it on either. */
TEST_F_TIMEOUT(alloc, pinned_and_closed, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client gone;
	int pipes[2];

	ASSERT_EQ(0, bt_client_open(&gone, self->c.pool));
	ASSERT_EQ(0, bt_alloc1(gone.fd, BT_HUGE, &e));
	bt_fill(gone.map + e.offset, PINNED, 7);
	ASSERT_EQ(0, pin(pipes, gone.map + e.offset));
	bt_client_close(&gone);
	EXPECT_EQ(BT_HUGE, escaped_now(self->admin, self->c.pool));
	EXPECT_EQ(NULL, bt_check_pool(self->admin, self->c.pool));
	EXPECT_EQ(-1, find_secrets(self->c.pool, POOL_RESERVE - BT_HUGE));
	EXPECT_UNPINS(pipes, self->c.pool);
}

#define PINS	16

/*
 * A pool may be unmade while the keeper gets pages for it, in place of those that
 * have escaped.  None stays behind: the kernel would complain.
 */
TEST_F_TIMEOUT(alloc, unmade_while_refilled, BT_SLOW)
{
	int pipes[PINS][2], pool, rounds = bt_debug_kernel() ? 2 : 5, i;
	struct bmem_alloc_entry e;
	struct bt_client gone;
	__u64 end;

	while (rounds--) {
		pool = bt_pool_create(self->admin, "refilled",
				      2 * PINS * BT_HUGE, PINS * BT_HUGE);
		ASSERT_LE(0, pool);
		ASSERT_EQ(0, bt_client_open(&gone, pool));
		ASSERT_EQ(0, bt_alloc1(gone.fd, PINS * BT_HUGE, &e));
		for (i = 0; i < PINS; i++) {
			char *p = gone.map + e.offset + i * BT_HUGE;

			bt_fill(p, PINNED, 7);
			ASSERT_EQ(0, pin(pipes[i], p));
		}
		bt_client_close(&gone);
		EXPECT_EQ(PINS * BT_HUGE, escaped_now(self->admin, pool));
		for (i = 0; i < PINS; i++)
			EXPECT_EQ(-1, unpin(pipes[i], 7));
		end = bt_now_ms() + 10000;
		while (escaped_now(self->admin, pool) && bt_now_ms() < end)
			usleep(500);
		EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
	}
}

/* Base pages that are pinned stay where they are, and what is in them too. */
TEST_F_TIMEOUT(alloc, pinned_while_promoted, BT_SLOW)
{
	struct bmem_alloc_entry e = { .bytes = BT_HUGE, .align = BT_HUGE };
	struct bmem_client_stats st;
	int pipes[2];
	char *p;

	if (bt_param_set("huge", "N"))
		SKIP(return, "no parameter huge");
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->c.pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	p = self->c.map + e.offset;
	bt_fill(p, BT_HUGE, 7);
	ASSERT_EQ(0, pin(pipes, p));
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	usleep(3000000);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.base_bytes);
	/* The pipe shows what is written now: it is still the same page. */
	bt_fill(p, BT_HUGE, 8);
	EXPECT_EQ(-1, unpin(pipes, 8));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(self->c.fd, 0, &st) &&
			    !st.base_bytes, 60000));
	EXPECT_EQ(-1, bt_verify(p, BT_HUGE, 8));
	EXPECT_SOUND(self->c.fd);
}

/* ---- memory cgroups ------------------------------------------------------------------------ */

#define CGROUP_MOUNT	"/tmp/bmem-cgroup"
#define CGROUP		CGROUP_MOUNT "/bmem-test"

static int make_cgroup(void)
{
	int ret;

	mkdir(CGROUP_MOUNT, 0755);
	if (mount("none", CGROUP_MOUNT, "cgroup2", 0, NULL) && errno != EBUSY)
		return -errno;
	ret = bt_write_file(CGROUP_MOUNT "/cgroup.subtree_control", "+memory");
	if (ret)
		return ret;
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return -errno;
	return bt_write_file(CGROUP "/memory.max", "50331648");
}

/* In a cgroup with 48 MiB: how much beyond the reservation can be had. */
static int alloc_in_cgroup(void *arg)
{
	int *pool = arg;
	struct bmem_alloc_entry e;
	struct bmem_client_stats st;
	struct bt_client c;
	char pid[16];
	int ret;

	snprintf(pid, sizeof(pid), "%d", getpid());
	ret = bt_write_file(CGROUP "/cgroup.procs", pid);
	if (!ret)
		ret = bt_client_open(&c, *pool);
	if (ret)
		return ret;
	ret = bt_alloc1(c.fd, POOL_RESERVE + 100 * BT_MIB, &e);
	if (ret != -ENOMEM)
		return ret ? ret : -ENOTUNIQ;
	if (bt_client_stats(c.fd, 0, &st) || st.failed != 1 ||
	    st.attached_bytes != st.cached_bytes)
		return -EUCLEAN;
	/* The reservation is nobody's charge. */
	ret = bt_alloc1(c.fd, POOL_RESERVE + 16 * BT_MIB, &e);
	return ret;
}

TEST_F_TIMEOUT(alloc, charged_to_the_cgroup, BT_SLOW)
{
	struct bmem_query q;
	int ret;

	ASSERT_EQ(0, bt_query(self->admin, &q));
	ret = make_cgroup();
	if (ret || !(q.caps & BMEM_CAP_MEMCG)) {
		umount2(CGROUP_MOUNT, MNT_DETACH);
		SKIP(return, "no memory controller: %s", strerror(-ret));
	}
	EXPECT_EQ(0, bt_in_child(alloc_in_cgroup, &self->c.pool));
	EXPECT_EQ(0, rmdir(CGROUP));
	umount2(CGROUP_MOUNT, MNT_DETACH);
	EXPECT_SOUND(self->c.fd);
}

TEST_HARNESS_MAIN
