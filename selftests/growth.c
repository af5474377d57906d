// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growth on a real kernel: which of the things that programs do with memory are
 * said to grow, who may ask, and what it costs.
 */
#include <fcntl.h>

#include "kselftest_harness.h"

#include "calls.h"
#include "leak_calls.h"

#define POOL_LIMIT	(256 * BT_MIB)
#define BLOCK		(64 * BT_KIB)

/* A program that runs for 40 seconds, in steps of a twentieth of a second. */
#define STEP_MS		50
#define STEPS		800

/* Growth of less than that is not told. */
#define LEAST_MS	"8000"

enum {
	LEAK = 300,
	FASTER,
	LEAKY_CACHE,
	FILLED,
	SAW,
	STEADY,
	IDLE,
	SITES_END
};

FIXTURE(growth) {
	struct bt_client c;
	int admin;
	int pool;
	char least[32];
};

FIXTURE_SETUP(growth)
{
	ASSERT_EQ(0, bt_param("growth_ms", self->least, sizeof(self->least)));
	ASSERT_EQ(0, bt_param_set("growth_ms", LEAST_MS));
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "growth", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_client_open(&self->c, self->pool));
}

FIXTURE_TEARDOWN(growth)
{
	bt_client_close(&self->c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
	EXPECT_EQ(0, bt_param_set("growth_ms", self->least));
}

TEST_F(growth, nonsense_is_refused)
{
	static const char * const bad[] = {
		"604800001", "99999999999999999999", "-1", "a while",
	};
	char now[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, bt_param_set("growth_ms", bad[i]));
	ASSERT_EQ(0, bt_param("growth_ms", now, sizeof(now)));
	EXPECT_STREQ(LEAST_MS, now);
	EXPECT_EQ(0, bt_param_set("growth_ms", "604800000"));
	EXPECT_EQ(0, bt_param_set("growth_ms", "0"));
}

static int list(int fd, __u64 client, __u32 flags, __u64 *cursor,
		struct bmem_growth_row *rows, __u32 *nr)
{
	struct bmem_growth_list arg = {
		.size = sizeof(arg), .flags = flags, .client_id = client,
		.cursor = *cursor, .row_size = sizeof(*rows), .nr = *nr,
		.rows = (uintptr_t)rows,
	};
	int ret = bt_call(fd, BMEM_GROWTH_LIST, &arg);

	*cursor = arg.cursor;
	*nr = arg.nr;
	return ret;
}

/* The row of one site; 0 or -errno. */
static int row_of(int fd, __u32 site, struct bmem_growth_row *row)
{
	static struct bmem_growth_row rows[BMEM_BATCH_MAX];
	__u32 nr = BMEM_BATCH_MAX, i;
	__u64 cursor = 0;
	int ret = list(fd, 0, 0, &cursor, rows, &nr);

	for (i = 0; !ret && i < nr; i++) {
		if (rows[i].site != site || rows[i].flags & BMEM_GROWTH_WHOLE)
			continue;
		*row = rows[i];
		return 0;
	}
	return ret ? ret : -ENOENT;
}

static int put(int fd, __u32 site, __u64 *handle)
{
	struct bmem_alloc_entry e = { .bytes = BLOCK, .site = site };
	int ret = bt_alloc(fd, &e, 1, NULL);

	*handle = e.handle;
	return ret;
}

/* ---- what programs do ------------------------------------------------------------- */

#define CACHED	64
#define TOOTH	70

static __u64 cache[STEPS], tooth[TOOTH];

/* One step of all of them; 0 or -errno. */
static int step(int fd, int i)
{
	int ret = 0, k;
	__u64 h;

	if (i % 3 == 0)
		ret = ret ? ret : put(fd, LEAK, &h);
	for (k = 0; k < 1 + i / 120 && i % 4 == 0; k++)
		ret = ret ? ret : put(fd, FASTER, &h);
	/* A cache from which a third is dropped: it has no bound. */
	ret = ret ? ret : put(fd, LEAKY_CACHE, &cache[i]);
	if (!ret && i % 3 == 2)
		ret = bt_free1(fd, cache[i - 2]);
	if (i < 100)
		ret = ret ? ret : put(fd, FILLED, &h);
	for (k = 0; i && i % TOOTH == 0 && k < TOOTH; k++)
		ret = ret ? ret : bt_free1(fd, tooth[k]);
	return ret ? ret : put(fd, SAW, &tooth[i % TOOTH]);
}

/* Findings of growth; 0 or -errno. */
static int findings(int fd, struct bmem_leak_row *rows, __u32 *nr)
{
	struct bmem_leak_list arg = {
		.size = sizeof(arg), .row_size = sizeof(*rows), .nr = *nr,
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_GROWTH),
		.rows = (uintptr_t)rows,
	};
	int ret = bt_call(fd, BMEM_LEAK_LIST, &arg);

	*nr = arg.nr;
	return ret;
}

static const struct {
	__u32 site, trend;
	bool grows;
} want[] = {
	{ LEAK, BMEM_TREND_LINEAR, true },
	{ FASTER, BMEM_TREND_ACCELERATING, true },
	{ LEAKY_CACHE, BMEM_TREND_LINEAR, true },
	{ FILLED, BMEM_TREND_PLATEAU, false },
	{ SAW, BMEM_TREND_SAW_TOOTH, false },
	{ STEADY, BMEM_TREND_STEADY, false },
	{ IDLE, BMEM_TREND_STEADY, false },
};

static void expect_row(struct __test_metadata *_metadata,
		       const struct bmem_growth_row *row, unsigned int i,
		       __u64 lived_ms)
{
	EXPECT_EQ(want[i].trend, row->trend);
	EXPECT_EQ(want[i].grows, !!(row->flags & BMEM_GROWTH_LASTS));
	if (want[i].grows) {
		EXPECT_LE(998, row->confidence);
		EXPECT_LT(0, row->slope);
		EXPECT_LE(strtoull(LEAST_MS, NULL, 0), row->since_ms);
		EXPECT_LT(BLOCK, row->rise_bytes);
	}
	EXPECT_GE(lived_ms, row->since_ms);
	EXPECT_GE(lived_ms, row->last_ms);
	EXPECT_EQ(row->live_tensors * BLOCK, row->live_bytes);
	EXPECT_EQ(row->allocs - row->frees, row->live_tensors);
	if (!__test_passed(_metadata))
		TH_LOG("site %u: trend %u flags %u confidence %u slope %llu since %llu rise %llu live %llu",
		       row->site, row->trend, row->flags, row->confidence,
		       row->slope, row->since_ms, row->rise_bytes,
		       row->live_bytes);
}

TEST_F_TIMEOUT(growth, programs, 240)
{
	__u64 begun = bt_now_ms(), h, cursor = 0, took;
	struct bmem_leak_scan scan = {
		.size = sizeof(scan), .flags = BMEM_LEAK_SCAN_CONFIRM,
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_GROWTH), .delay_ms = 10,
	};
	struct bmem_growth_row row, only[8];
	struct bmem_leak_row found[8];
	int fd = self->c.fd, i;
	__u32 nr = 8, k;
	char text[64];

	/* Times are told as the difference of whole ticks, which is up to one more. */
	usleep(BMEM_TICK_MS * 1000);
	for (i = LEAK; i < SITES_END; i++)
		ASSERT_EQ(0, bt_site(fd, i, "growth test"));
	for (i = 0; i < 20; i++)
		ASSERT_EQ(0, put(fd, i % 2 ? STEADY : IDLE, &h));
	for (i = 0; i < STEPS; i++) {
		ASSERT_EQ(0, step(fd, i));
		/* On a slow machine the worker does not look every second. */
		if (i % 10 == 0)
			ASSERT_EQ(0, row_of(fd, STEADY, &row));
		took = bt_now_ms() - begun;
		if (took < (__u64)(i + 1) * STEP_MS)
			usleep(((i + 1) * STEP_MS - took) * 1000);
	}
	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		ASSERT_EQ(0, row_of(fd, want[i].site, &row));
		EXPECT_STREQ("growth test", row.label);
		expect_row(_metadata, &row, i, bt_now_ms() - begun);
	}
	/* A third of a block a step: 1200 steps a minute. */
	ASSERT_EQ(0, row_of(fd, LEAK, &row));
	EXPECT_LT(400 * BLOCK * 7 / 10, row.slope);
	EXPECT_GT(400 * BLOCK * 13 / 10, row.slope);

	/* What grows and nothing else: the client as a whole, and three sites. */
	ASSERT_EQ(0, list(fd, 0, BMEM_GROWTH_ONLY, &cursor, only, &nr));
	ASSERT_EQ(4, nr);
	EXPECT_EQ(BMEM_GROWTH_WHOLE, only[0].flags & BMEM_GROWTH_WHOLE);
	for (k = 1; k < nr; k++)
		EXPECT_EQ(LEAK + k - 1, only[k].site);

	/* Nobody had to ask for the findings; looked at again they are confirmed. */
	nr = ARRAY_SIZE(found);
	ASSERT_EQ(0, findings(fd, found, &nr));
	EXPECT_EQ(3, nr);
	ASSERT_EQ(0, bt_call(fd, BMEM_LEAK_SCAN, &scan));
	EXPECT_EQ(3, scan.confirmed);
	EXPECT_EQ(0, scan.suspected);
	nr = ARRAY_SIZE(found);
	ASSERT_EQ(0, findings(fd, found, &nr));
	ASSERT_EQ(3, nr);
	for (k = 0; k < nr; k++) {
		ASSERT_LE(LEAK, found[k].site);
		ASSERT_GE(LEAKY_CACHE, found[k].site);
		EXPECT_EQ(BMEM_LEAK_CONFIRMED, found[k].state);
		EXPECT_EQ(BMEM_LEAK_TREND, found[k].evidence);
		ASSERT_EQ(0, row_of(fd, found[k].site, &row));
		EXPECT_EQ(row.live_bytes, found[k].confirmed_bytes);
		EXPECT_LE(99, found[k].confidence);
		EXPECT_LT(0, found[k].slope);
	}

	/* What is told of tensor by tensor is not told of its site once more. */
	ASSERT_EQ(0, put(fd, LEAK, &h));
	ASSERT_EQ(0, lk_link(fd, 0, h));
	ASSERT_EQ(0, lk_unlink(fd, 0, h));
	ASSERT_EQ(0, lk_scan(fd, LK_UNREF | scan.kinds, 10, &scan));
	EXPECT_EQ(4, scan.confirmed);
	ASSERT_EQ(0, row_of(fd, LEAK, &row));
	nr = ARRAY_SIZE(found);
	ASSERT_EQ(0, findings(fd, found, &nr));
	ASSERT_EQ(3, nr);
	for (k = 0; k < nr; k++)
		if (found[k].site == LEAK)
			EXPECT_EQ(row.live_bytes - BLOCK, found[k].confirmed_bytes);

	/* The file says the same. */
	ASSERT_EQ(0, bt_table_text("growth", "site", "300", "trend", text, sizeof(text)));
	EXPECT_STREQ("linear", text);
	ASSERT_EQ(0, bt_table_text("growth", "site", "303", "lasts", text, sizeof(text)));
	EXPECT_STREQ("0", text);
}

/* ---- lists --------------------------------------------------------------------------- */

#define MANY	100

/* A piece at a time it is the same as at once; the whole comes first. */
TEST_F(growth, pieces)
{
	static struct bmem_growth_row all[BMEM_BATCH_MAX], some[7];
	__u64 cursor = 0, h;
	__u32 nr = BMEM_BATCH_MAX, told = 0, n, i;

	for (i = 1; i <= MANY; i++)
		ASSERT_EQ(0, put(self->c.fd, i * 3, &h));
	ASSERT_EQ(0, list(self->c.fd, 0, 0, &cursor, all, &nr));
	ASSERT_EQ(MANY + 1, nr);
	EXPECT_EQ(BMEM_GROWTH_WHOLE, all[0].flags);
	EXPECT_EQ(MANY * BLOCK, all[0].live_bytes);
	EXPECT_EQ(MANY, all[0].live_tensors);
	cursor = 0;
	do {
		n = ARRAY_SIZE(some);
		ASSERT_EQ(0, list(self->c.fd, 0, 0, &cursor, some, &n));
		for (i = 0; i < n; i++)
			EXPECT_EQ(all[told + i].site, some[i].site);
		told += n;
	} while (n == ARRAY_SIZE(some));
	EXPECT_EQ(nr, told);

	/* Behind the last site, and where none can be. */
	n = 1;
	cursor = ~0ULL;
	EXPECT_EQ(0, list(self->c.fd, 0, 0, &cursor, some, &n));
	EXPECT_EQ(0, n);
	/* Too young for anything. */
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(BMEM_TREND_UNKNOWN, all[i].trend);
		EXPECT_EQ(500, all[i].confidence);
	}
}

/* ---- who may look ---------------------------------------------------------------------- */

struct visit {
	char path[64];
	__u64 client;
	uid_t uid;
	int want;
};

static int visitor(void *arg)
{
	static struct bmem_growth_row rows[4];
	struct visit *v = arg;
	__u64 cursor = 0;
	__u32 nr = 4;
	int fd, ret;

	if (bt_become(v->uid, BT_NOBODY, -1))
		return 2;
	fd = open(v->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 3;
	ret = list(fd, v->client, 0, &cursor, rows, &nr);
	close(fd);
	return ret != v->want;
}

TEST_F(growth, other_users)
{
	struct visit v = { .uid = 1000, .want = -ENOENT };
	static struct bmem_growth_row rows[4];
	struct bmem_query q;
	__u64 cursor = 0;
	__u32 nr = 4;

	ASSERT_EQ(0, bt_query(self->c.fd, &q));
	v.client = q.client_id;
	ASSERT_EQ(0, bt_lend_device(v.path, sizeof(v.path)));
	EXPECT_EQ(0, bt_in_child(visitor, &v));
	unlink(v.path);
	/* Root may. */
	EXPECT_EQ(0, list(self->admin, q.client_id, 0, &cursor, rows, &nr));
	EXPECT_EQ(1, nr);
}

/* ---- what it costs ------------------------------------------------------------------------ */

#define BUSY_SITES	2000

/*
 * All that sweeps do, trends included, has half a percent of one CPU.  It takes
 * 2000 sites, and the file, which is not counted as a sweep, is not read.
 */
TEST_F_TIMEOUT(growth, cost, 120)
{
	__u64 h, ns, begun, took;
	int i;

	for (i = 1; i <= BUSY_SITES; i++)
		ASSERT_EQ(0, put(self->c.fd, i, &h));
	ns = bt_debugfs_value("overhead", "sweeps_ns");
	begun = bt_now_ns();
	sleep(10);
	ns = bt_debugfs_value("overhead", "sweeps_ns") - ns;
	took = bt_now_ns() - begun;
	TH_LOG("%d sites: sweeps took %llu us of %llu ms", BUSY_SITES, ns / 1000,
	       took / 1000000);
	EXPECT_LT(0, ns);
	EXPECT_GT(took / 100, ns);
}

TEST_HARNESS_MAIN
