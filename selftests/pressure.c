// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pressure: levels and their edges, what each makes happen, and what bmem gives
 * back when the system has no memory.
 */
#include <signal.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"
#include "hog.h"

/* A thousandth of it is a whole number of pages. */
#define POOL_LIMIT	(125 * BT_HUGE)
#define PERMILLE	(POOL_LIMIT / 1000)
#define NEVER_MS	"60000"

#define EXPECT_SOUND(fd) do {						\
	const char *bad_ = bt_check(fd);				\
	EXPECT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

static const char *const names[] = {
	"pressure_levels", "pressure_hysteresis", "pressure_cooldown_ms",
	"cleanup_idle_ms", "huge",
};

FIXTURE(pressure) {
	int admin;
	struct bt_client c;
	char was[ARRAY_SIZE(names)][16];
};

FIXTURE_SETUP(pressure)
{
	size_t i;
	int pool;

	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		ASSERT_EQ(0, bt_param(names[i], self->was[i], 16));
	pool = bt_pool_create(self->admin, "pressure", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open(&self->c, pool));
}

FIXTURE_TEARDOWN(pressure)
{
	struct bmem_pool_stats st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_EQ(0, bt_param_set(names[i], self->was[i]));
	bt_client_close(&self->c);
	EXPECT_TRUE(BT_WAIT(!bt_pool_now(self->admin, self->c.pool, &st) &&
			    !st.total_bytes, 5000));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->c.pool));
	close(self->admin);
}

static int level(int fd, int pool)
{
	struct bmem_pressure p;

	return bt_pressure(fd, pool, &p) ? -1 : (int)p.level;
}

static __u64 attached(int fd, int pool)
{
	struct bmem_pool_stats st;

	return bt_pool_now(fd, pool, &st) ? ~0ULL : st.attached_bytes;
}

/* Serial number of the last event that there was. */
static unsigned long long last_event(void)
{
	char *text = bt_read_file(BT_DEBUGFS "/events"), *line, *save = NULL;
	unsigned long long serial, last = 0;

	for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%llu %*u %*s", &serial) == 1 && serial > last)
			last = serial;
	free(text);
	return last;
}

/* Events of @type about @pool after event @since, of those that debugfs shows. */
static int events(const char *type, int pool, unsigned long long since)
{
	char *text = bt_read_file(BT_DEBUGFS "/events"), *line, *save = NULL;
	unsigned long long serial;
	char is[32];
	int of, nr = 0;

	for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%llu %*u %31s %*s %*s %d", &serial, is, &of) == 3 &&
		    serial > since && !strcmp(is, type) && of == pool)
			nr++;
	free(text);
	return nr;
}

/* ---- thresholds ------------------------------------------------------------------ */

TEST_F_TIMEOUT(pressure, nonsense_is_refused, BT_SLOW)
{
	static const struct {
		const char *name;
		const char *value;
	} nonsense[] = {
		{ "pressure_levels", "70,80,90" },
		{ "pressure_levels", "70,80,90,95,99" },
		{ "pressure_levels", "70,80,80,95" },
		{ "pressure_levels", "80,70,90,95" },
		{ "pressure_levels", "0,80,90,95" },
		{ "pressure_levels", "70,80,90,101" },
		{ "pressure_levels", "-70,80,90,95" },
		{ "pressure_levels", "70,80,90,95 x" },
		{ "pressure_levels", "70;80;90;95" },
		{ "pressure_levels", "4294967366,80,90,95" },
		{ "pressure_levels", "x" },
		{ "pressure_hysteresis", "21" },
		{ "pressure_hysteresis", "-1" },
		{ "pressure_hysteresis", "2%" },
		{ "pressure_cooldown_ms", "60001" },
		{ "pressure_cooldown_ms", "soon" },
		{ "pressure_cooldown_ms", "-1" },
		{ "pressure_cooldown_ms", "18446744073709551616" },
		{ "pressure_hysteresis", "4294967298" },
	};
	char now[16], was[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		ASSERT_EQ(0, bt_param(nonsense[i].name, was, sizeof(was)));
		EXPECT_EQ(-EINVAL, bt_param_set(nonsense[i].name,
						nonsense[i].value)) {
			TH_LOG("%s = %s", nonsense[i].name, nonsense[i].value);
		}
		ASSERT_EQ(0, bt_param(nonsense[i].name, now, sizeof(now)));
		EXPECT_STREQ(was, now);
	}
	EXPECT_EQ(0, bt_param_set("pressure_levels", "1,2,3,100"));
	EXPECT_EQ(0, bt_param("pressure_levels", now, sizeof(now)));
	EXPECT_STREQ("1,2,3,100", now);
}

/* A client in base pages: the pool has out what its tensors take, to the page. */
static int exact(int fd, __u64 permille, struct bmem_alloc_entry *e)
{
	*e = (struct bmem_alloc_entry){ .bytes = permille * PERMILLE };
	return bt_alloc(fd, e, 1, NULL);
}

TEST_F_TIMEOUT(pressure, edges_are_exact, BT_SLOW)
{
	static const int percents[] = { 70, 80, 90, 95 };
	struct bmem_alloc_entry most, at, above, more;
	struct bmem_pressure p;
	int i, fd = self->c.fd, pool = self->c.pool;

	ASSERT_EQ(0, bt_param_set("huge", "N"));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, exact(fd, percents[i] * 10 - 1, &most));
		ASSERT_EQ(0, bt_pressure(fd, pool, &p));
		EXPECT_EQ(percents[i] * 10 - 1, p.permille);
		EXPECT_EQ(i, p.level);
		/* Exactly at it is not above it. */
		ASSERT_EQ(0, exact(fd, 1, &at));
		ASSERT_EQ(0, bt_pressure(fd, pool, &p));
		EXPECT_EQ(percents[i] * 10, p.permille);
		EXPECT_EQ(i, p.level);
		ASSERT_EQ(0, bt_alloc1(fd, BT_PAGE, &more));
		EXPECT_EQ(i + 1, level(fd, pool));
		ASSERT_EQ(0, bt_free1(fd, more.handle));
		ASSERT_EQ(0, exact(fd, 1, &above));
		ASSERT_EQ(0, bt_pressure(fd, pool, &p));
		EXPECT_EQ(percents[i] * 10 + 1, p.permille);
		EXPECT_EQ(i + 1, p.level);
		/* It stays until two percent below, and one page. */
		ASSERT_EQ(0, bt_free1(fd, above.handle));
		ASSERT_EQ(0, bt_free1(fd, at.handle));
		EXPECT_EQ(i + 1, level(fd, pool));
		ASSERT_EQ(0, bt_free1(fd, most.handle));
		EXPECT_EQ(0, level(fd, pool));
		ASSERT_EQ(0, exact(fd, percents[i] * 10 - 20, &at));
		ASSERT_EQ(0, exact(fd, 21, &above));
		EXPECT_EQ(i + 1, level(fd, pool));
		ASSERT_EQ(0, bt_alloc1(fd, BT_PAGE, &more));
		ASSERT_EQ(0, bt_free1(fd, above.handle));
		EXPECT_EQ(i + 1, level(fd, pool));
		ASSERT_EQ(0, bt_free1(fd, more.handle));
		EXPECT_EQ(i, level(fd, pool));
		ASSERT_EQ(0, bt_free1(fd, at.handle));
	}
	EXPECT_SOUND(fd);
}

/* Other percentages, and another limit, hold at once. */
TEST_F_TIMEOUT(pressure, edges_that_move, BT_SLOW)
{
	struct bmem_alloc_entry e;
	int fd = self->c.fd, pool = self->c.pool;

	ASSERT_EQ(0, bt_alloc1(fd, POOL_LIMIT / 2, &e));
	EXPECT_EQ(BMEM_PRESSURE_NONE, level(fd, pool));
	ASSERT_EQ(0, bt_param_set("pressure_levels", "10,20,30,95"));
	EXPECT_EQ(BMEM_PRESSURE_SEVERE, level(fd, pool));
	ASSERT_EQ(0, bt_param_set("pressure_levels", "70,80,90,95"));
	EXPECT_EQ(BMEM_PRESSURE_NONE, level(fd, pool));
	ASSERT_EQ(0, bt_pool_resize(self->admin, pool, BMEM_RESIZE_LIMIT,
				    64 * BT_HUGE, 0));
	EXPECT_EQ(BMEM_PRESSURE_CRITICAL, level(fd, pool));
	ASSERT_EQ(0, bt_pool_resize(self->admin, pool, BMEM_RESIZE_LIMIT,
				    POOL_LIMIT, 0));
	EXPECT_EQ(BMEM_PRESSURE_NONE, level(fd, pool));
}

/* ---- what each level does --------------------------------------------------------- */

/* What a client in its quiet holds without a tensor goes, once others press. */
TEST_F_TIMEOUT(pressure, cleanup_is_immediate, BT_SLOW)
{
	struct bmem_alloc_entry e[3], big;
	struct bmem_client_stats st;
	struct bmem_pressure p;
	struct bt_client other;
	int i, fd = self->c.fd, pool = self->c.pool;
	unsigned long long since = last_event();

	ASSERT_EQ(0, bt_param_set("cleanup_idle_ms", NEVER_MS));
	ASSERT_EQ(0, bt_bind_cache(fd, BT_HUGE));
	ASSERT_EQ(0, bt_alloc1(fd, 40 * BT_HUGE, &big));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, bt_alloc1(fd, BT_HUGE, &e[i]));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, bt_free1(fd, e[i].handle));
	ASSERT_EQ(0, bt_client_now(fd, 0, &st));
	EXPECT_EQ(BT_HUGE, st.cached_bytes);
	EXPECT_EQ(2 * BT_HUGE, st.queued_bytes);
	ASSERT_EQ(0, bt_client_open(&other, pool));
	/* 79.2 % is not above 80: what is queued goes, what is cached stays. */
	ASSERT_EQ(0, bt_alloc1(other.fd, 56 * BT_HUGE, &e[0]));
	EXPECT_TRUE(BT_WAIT(!bt_client_now(fd, 0, &st) && !st.queued_bytes,
			    2000));
	EXPECT_EQ(BT_HUGE, st.cached_bytes);
	EXPECT_EQ(BMEM_PRESSURE_RAISED, level(fd, pool));
	ASSERT_EQ(0, bt_alloc1(other.fd, 5 * BT_HUGE, &e[1]));
	EXPECT_EQ(BMEM_PRESSURE_HIGH, level(fd, pool));
	EXPECT_TRUE(BT_WAIT(!bt_client_now(fd, 0, &st) && !st.cached_bytes,
			    2000));
	EXPECT_EQ(40 * BT_HUGE, st.attached_bytes);
	ASSERT_EQ(0, bt_pressure(fd, pool, &p));
	EXPECT_EQ(2 * BT_HUGE, p.gained_bytes[BMEM_GAIN_IMMEDIATE]);
	EXPECT_EQ(BT_HUGE, p.gained_bytes[BMEM_GAIN_PRESSURE]);
	EXPECT_LE(1, events("pressure", pool, since));
	EXPECT_TRUE(BT_WAIT(events("cleanup-done", pool, since), 2000));
	bt_client_close(&other);
	EXPECT_SOUND(fd);
}

TEST_F_TIMEOUT(pressure, severe_and_critical, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bmem_pressure p;
	int fd = self->c.fd, pool = self->c.pool;
	__u32 recall = recall_of(fd);
	/* A pool before it may have had the same id. */
	unsigned long long since = last_event();

	ASSERT_EQ(0, bt_alloc1(fd, 112 * BT_HUGE, &e));
	EXPECT_EQ(BMEM_PRESSURE_HIGH, level(fd, pool));
	usleep(100000);
	EXPECT_EQ(recall, recall_of(fd));
	ASSERT_EQ(0, bt_alloc1(fd, BT_HUGE, &e));
	EXPECT_EQ(BMEM_PRESSURE_SEVERE, level(fd, pool));
	EXPECT_TRUE(BT_WAIT(recall_of(fd) > recall, 2000));
	/* Who goes on like that is asked again. */
	EXPECT_TRUE(BT_WAIT(recall_of(fd) > recall + 1, 5000));
	EXPECT_EQ(0, events("compact-wanted", pool, since));
	ASSERT_EQ(0, bt_alloc1(fd, 6 * BT_HUGE, &e));
	EXPECT_EQ(BMEM_PRESSURE_CRITICAL, level(fd, pool));
	EXPECT_TRUE(BT_WAIT(events("compact-wanted", pool, since) == 1,
			    2000));
	ASSERT_EQ(0, bt_pressure(fd, pool, &p));
	EXPECT_EQ(1, p.compactions);
	EXPECT_LE(2, p.recalls);
	/* Up three steps at once, then one and one: nothing was skipped. */
	EXPECT_EQ(1, p.entered[BMEM_PRESSURE_CRITICAL]);
	EXPECT_EQ(1, p.entered[BMEM_PRESSURE_SEVERE]);
	EXPECT_SOUND(fd);
}

/* What a client gives back when it was asked is counted for that. */
TEST_F_TIMEOUT(pressure, recall_that_is_answered, BT_SLOW)
{
	struct bmem_alloc_entry e, idle[4];
	struct bmem_client_stats st;
	struct bmem_pressure p;
	int i, fd = self->c.fd, pool = self->c.pool;
	__u32 recall = recall_of(fd);

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, bt_alloc1(fd, 2 * BT_HUGE, &idle[i]));
	ASSERT_EQ(0, bt_alloc1(fd, 109 * BT_HUGE, &e));
	ASSERT_TRUE(BT_WAIT(recall_of(fd) > recall, 2000));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, bt_free1(fd, idle[i].handle));
	EXPECT_TRUE(BT_WAIT(attached(fd, pool) == 109 * BT_HUGE, 2000));
	/* It is counted before the client can be locked again. */
	ASSERT_EQ(0, bt_client_now(fd, 0, &st));
	ASSERT_EQ(0, bt_pressure(fd, pool, &p));
	EXPECT_EQ(8 * BT_HUGE, p.gained_bytes[BMEM_GAIN_RECALL] +
			       p.gained_bytes[BMEM_GAIN_IMMEDIATE]);
	EXPECT_LT(0, p.gained_bytes[BMEM_GAIN_RECALL]);
}

/* ---- time ---------------------------------------------------------------------------- */

/* A program at an edge, and one that jumps over several, all the time. */
TEST_F_TIMEOUT(pressure, does_not_flap, BT_SLOW)
{
	int i, fd = self->c.fd, pool = self->c.pool;
	struct bmem_pressure before, after;
	struct bmem_alloc_entry e, all;
	__u64 start, ms;

	ASSERT_EQ(0, bt_param_set("huge", "N"));
	ASSERT_EQ(0, exact(fd, 800, &all));
	ASSERT_EQ(0, bt_pressure(fd, pool, &before));
	for (i = 0; i < 2000; i++) {
		ASSERT_EQ(0, bt_alloc1(fd, BT_PAGE, &e));
		ASSERT_EQ(0, bt_free1(fd, e.handle));
	}
	ASSERT_EQ(0, bt_pressure(fd, pool, &after));
	EXPECT_EQ(before.entered[BMEM_PRESSURE_HIGH] + 1,
		  after.entered[BMEM_PRESSURE_HIGH]);
	EXPECT_GE(before.events + 2, after.events);
	ASSERT_EQ(0, bt_free1(fd, all.handle));

	/*
	 * Edges are crossed here, but not told of more often than agreed.  They
	 * are close to each other: a rise that is seen on its way is told of once
	 * for each level, and is to be one step.
	 */
	ASSERT_EQ(0, bt_param_set("pressure_levels", "94,95,96,97"));
	ASSERT_EQ(0, bt_param_set("pressure_hysteresis", "0"));
	ASSERT_EQ(0, bt_param_set("pressure_cooldown_ms", "500"));
	ASSERT_EQ(0, bt_pool_resize(self->admin, pool, BMEM_RESIZE_LIMIT,
				    BT_HUGE, 0));
	usleep(600000);
	ASSERT_EQ(0, bt_pressure(fd, pool, &before));
	start = bt_now_ms();
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, bt_alloc1(fd, 500 * BT_PAGE, &e));
		ASSERT_EQ(0, bt_free1(fd, e.handle));
	}
	ms = bt_now_ms() - start;
	/* The last of them is that there is none any more. */
	EXPECT_TRUE(BT_WAIT(!bt_pressure(fd, pool, &after) &&
			    after.events >= before.events + 2, 3000));
	TH_LOG("%llu crossings, %llu events in %llu ms",
	       after.entered[4] - before.entered[4],
	       after.events - before.events, ms);
	EXPECT_LE(100, after.entered[4] - before.entered[4]);
	/* Up at once and down after a while: two in each period. */
	EXPECT_GE(2 * (ms / 500 + 3), after.events - before.events);
	EXPECT_LE(2, after.events - before.events);
	EXPECT_EQ(BMEM_PRESSURE_NONE, level(fd, pool));
}

TEST_F_TIMEOUT(pressure, time_and_trend, BT_SLOW)
{
	int i, fd = self->c.fd, pool = self->c.pool;
	struct bmem_pressure a, b;
	struct bmem_alloc_entry e;
	__u64 start, ms = 0, least, most;

	/* What passes between two looks is more than it takes without them. */
	start = bt_now_ms();
	ASSERT_EQ(0, bt_pressure(fd, pool, &a));
	least = bt_now_ms();
	ASSERT_EQ(0, bt_alloc1(fd, 95 * BT_HUGE, &e));
	usleep(1500000);
	least = bt_now_ms() - least;
	ASSERT_EQ(0, bt_pressure(fd, pool, &b));
	most = bt_now_ms() - start;
	for (i = 0; i < BMEM_PRESSURE_LEVELS; i++)
		ms += b.level_ms[i] - a.level_ms[i];
	EXPECT_LE(ms, most + 5);
	EXPECT_GE(ms + 10 + least / 10, least);
	EXPECT_LE(1400, b.level_ms[BMEM_PRESSURE_RAISED]);
	EXPECT_LT(0, b.trend);
	/* Halved each time while nothing happens: little is left of it. */
	for (i = 0; i < 4; i++) {
		usleep(1050000);
		ASSERT_EQ(0, bt_pressure(fd, pool, &b));
	}
	ASSERT_EQ(0, bt_free1(fd, e.handle));
	usleep(1500000);
	ASSERT_EQ(0, bt_pressure(fd, pool, &b));
	EXPECT_GT(0, b.trend);
	EXPECT_EQ(BMEM_PRESSURE_NONE, b.level);
}

TEST_F_TIMEOUT(pressure, nodes_add_up, BT_SLOW)
{
	struct bmem_pressure all, node;
	struct bmem_alloc_entry e;
	__u64 held = 0;
	int n, fd = self->c.fd, pool = self->c.pool;

	ASSERT_EQ(0, bt_alloc1(fd, 90 * BT_HUGE, &e));
	ASSERT_EQ(0, bt_pressure(fd, pool, &all));
	for (n = 0; n < bt_numa_nodes(); n++) {
		node = (struct bmem_pressure){
			.size = sizeof(node), .flags = BMEM_STATS_NODE,
			.pool = pool, .nid = n,
		};
		ASSERT_EQ(0, bt_call(fd, BMEM_PRESSURE, &node));
		EXPECT_GE(all.limit_bytes, node.limit_bytes);
		held += node.held_bytes;
	}
	EXPECT_EQ(all.held_bytes, held);
	EXPECT_EQ(90 * BT_HUGE, held);
}

/* What a clone may yet take counts as it does against the limit. */
TEST_F_TIMEOUT(pressure, promises_count, BT_SLOW)
{
	int fd = self->c.fd, pool = self->c.pool;
	struct bmem_alloc_entry e, more;
	struct bt_client parent, clone;
	struct bmem_pressure p;

	ASSERT_EQ(0, bt_client_open_cloneable(&parent, pool));
	ASSERT_EQ(0, bt_alloc1(parent.fd, 62 * BT_HUGE, &e));
	EXPECT_EQ(BMEM_PRESSURE_NONE, level(fd, pool));
	ASSERT_EQ(0, bt_client_clone(&parent, &clone));
	ASSERT_EQ(0, bt_pressure(fd, pool, &p));
	EXPECT_EQ(124 * BT_HUGE, p.held_bytes);
	EXPECT_EQ(992, p.permille);
	EXPECT_EQ(BMEM_PRESSURE_CRITICAL, p.level);
	EXPECT_TRUE(BT_WAIT(!bt_pressure(fd, pool, &p) && p.events, 2000));
	EXPECT_EQ(-ENOSPC, bt_alloc1(fd, 2 * BT_HUGE, &more));
	bt_client_close(&clone);
	EXPECT_TRUE(BT_WAIT(level(fd, pool) == BMEM_PRESSURE_NONE, 5000));
	ASSERT_EQ(0, bt_pressure(fd, pool, &p));
	EXPECT_EQ(62 * BT_HUGE, p.held_bytes);
	bt_client_close(&parent);
	EXPECT_SOUND(fd);
}

/* ---- the system ------------------------------------------------------------------------ */

/*
 * As reclaim does it: what holds no tensor goes, what does or is reserved not.
 * Of one node, so that it is known which tensor has the reservation's pages.
 */
TEST_F_TIMEOUT(pressure, shrinker_takes_what_is_idle, BT_SLOW)
{
	int pool = bt_pool_create_on(self->admin, "reserved", 64 * BT_HUGE,
				     4 * BT_HUGE, BMEM_POLICY_BIND, 0);
	struct bmem_alloc_entry live, idle;
	struct bmem_pool_stats st;
	struct bmem_pressure p;
	struct bt_client c;

	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_param_set("cleanup_idle_ms", NEVER_MS));
	ASSERT_EQ(0, bt_client_open(&c, pool));
	ASSERT_EQ(0, bt_bind_cache(c.fd, 8 * BT_HUGE));
	ASSERT_EQ(0, bt_alloc1(c.fd, 30 * BT_HUGE, &live));
	ASSERT_EQ(0, bt_alloc1(c.fd, 9 * BT_HUGE, &idle));
	bt_tag(c.map + live.offset, 30 * BT_HUGE, 7);
	bt_tag(c.map + idle.offset, 9 * BT_HUGE, 8);
	ASSERT_EQ(0, bt_free1(c.fd, idle.handle));
	EXPECT_EQ(39 * BT_HUGE, attached(c.fd, pool));
	EXPECT_LE(9 * BT_HUGE, bt_debugfs_value("cleanup", "surplus_bytes"));
	/* A little is asked for, and then more than there is. */
	ASSERT_EQ(0, bt_shrink("1"));
	EXPECT_EQ(38 * BT_HUGE, attached(c.fd, pool));
	ASSERT_EQ(0, bt_shrink("1000000"));
	EXPECT_EQ(30 * BT_HUGE, attached(c.fd, pool));
	EXPECT_EQ(0, bt_debugfs_value("cleanup", "surplus_bytes"));
	ASSERT_EQ(0, bt_shrink("1000000"));
	EXPECT_EQ(-1, bt_tag_verify(c.map + live.offset, 30 * BT_HUGE, 7));
	ASSERT_EQ(0, bt_pressure(c.fd, pool, &p));
	EXPECT_EQ(9 * BT_HUGE, p.gained_bytes[BMEM_GAIN_SHRINK]);
	/* The reservation stays, whatever the system says. */
	ASSERT_EQ(0, bt_free1(c.fd, live.handle));
	ASSERT_EQ(0, bt_trim(c.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_shrink("1000000"));
	ASSERT_EQ(0, bt_pool_now(c.fd, pool, &st));
	EXPECT_EQ(4 * BT_HUGE, st.total_bytes);
	EXPECT_NE(0, bt_shrink("all"));
	EXPECT_SOUND(c.fd);
	bt_client_close(&c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

/* Who has mapped his idle memory very often keeps nobody with it. */
TEST_F_TIMEOUT(pressure, shrinker_takes_none_mapped_often, BT_SLOW)
{
	int fd = self->c.fd, pool = self->c.pool, i;
	struct bmem_alloc_entry e;
	char *p[200];

	ASSERT_EQ(0, bt_param_set("cleanup_idle_ms", NEVER_MS));
	ASSERT_EQ(0, bt_bind_cache(fd, 4 * BT_HUGE));
	ASSERT_EQ(0, bt_alloc1(fd, 4 * BT_HUGE, &e));
	ASSERT_EQ(0, bt_free1(fd, e.handle));
	for (i = 0; i < 200; i++) {
		p[i] = bt_map(fd, 0, BT_HUGE);
		ASSERT_NE(NULL, p[i]);
	}
	ASSERT_EQ(0, bt_shrink("1000000"));
	EXPECT_EQ(4 * BT_HUGE, attached(fd, pool));
	for (i = 0; i < 200; i++)
		munmap(p[i], BT_HUGE);
	ASSERT_EQ(0, bt_shrink("1000000"));
	EXPECT_EQ(0, attached(fd, pool));
}

/* What clones shared once is idle as all else, when they are gone. */
TEST_F_TIMEOUT(pressure, shrinker_takes_what_was_shared, BT_SLOW)
{
	int fd = self->c.fd, pool = self->c.pool;
	struct bt_client parent, clone;
	struct bmem_alloc_entry e;

	ASSERT_EQ(0, bt_param_set("cleanup_idle_ms", NEVER_MS));
	ASSERT_EQ(0, bt_client_open_cloneable(&parent, pool));
	ASSERT_EQ(0, bt_bind_cache(parent.fd, 8 * BT_HUGE));
	ASSERT_EQ(0, bt_alloc1(parent.fd, 8 * BT_HUGE, &e));
	bt_tag(parent.map + e.offset, 8 * BT_HUGE, 3);
	ASSERT_EQ(0, bt_client_clone(&parent, &clone));
	bt_client_close(&clone);
	ASSERT_EQ(0, bt_free1(parent.fd, e.handle));
	EXPECT_EQ(8 * BT_HUGE, attached(fd, pool));
	ASSERT_EQ(0, bt_shrink("1000000"));
	EXPECT_EQ(0, attached(fd, pool));
	bt_client_close(&parent);
	EXPECT_SOUND(fd);
}

/* What the shrinker, or the last moment before a kill, gave the system. */
static __u64 regained(int fd, int pool)
{
	struct bmem_pressure p;

	if (bt_pressure(fd, pool, &p))
		return 0;
	return p.gained_bytes[BMEM_GAIN_SHRINK] + p.gained_bytes[BMEM_GAIN_OOM];
}

static bool all_regained(const struct appetite *want)
{
	return regained(want->fd, want->pool) >= want->enough;
}

#define ROOM		(256 * BT_MIB)
#define IDLE		(192 * BT_MIB)
#define RESERVED	(32 * BT_MIB)

/*
 * A process takes all there is, and what bmem keeps without a tensor beyond its
 * reservation, to the last page: nobody is killed, what is live stays as it is,
 * and so does the reservation.  All that is free before that but for ROOM is in
 * tensors, so that it takes no longer on a large machine.
 */
TEST_F_TIMEOUT(pressure, memory_hog, BT_SLOW)
{
	int pool = bt_pool_create(self->admin, "hog", 64 * BT_GIB, RESERVED);
	__u64 kills = vmstat("oom_kill"), room;
	struct appetite want;
	struct bmem_alloc_entry ballast, idle;
	struct bmem_pool_stats st;
	struct bmem_pressure p;
	struct bt_client c;
	int ret;

	ASSERT_LE(0, pool);
	ASSERT_NE(~0ULL, kills);
	bt_write_file("/proc/sys/vm/drop_caches", "3");
	ASSERT_EQ(0, bt_client_open(&c, pool));
	ASSERT_EQ(0, bt_bind_cache(c.fd, IDLE));
	room = bt_meminfo("MemAvailable");
	if (room < 2 * IDLE + ROOM)
		SKIP(goto out, "%llu MiB available", room / BT_MIB);
	ASSERT_EQ(0, bt_alloc1(c.fd, IDLE, &idle));
	ASSERT_EQ(0, bt_alloc1(c.fd, BT_ROUND_UP(room - IDLE - ROOM, BT_HUGE),
			       &ballast));
	bt_tag(c.map + ballast.offset, BT_HUGE, 9);
	ASSERT_EQ(0, bt_free1(c.fd, idle.handle));
	EXPECT_EQ(ballast.granted + IDLE, attached(c.fd, pool));
	want = (struct appetite){
		.fd = c.fd,
		.pool = pool,
		.most = bt_meminfo("MemTotal"),
		.enough = bt_debugfs_value("cleanup", "surplus_bytes"),
		.sated = all_regained,
	};
	/* On some node what is live may have had of the reservation. */
	EXPECT_LE(IDLE - RESERVED, want.enough);
	EXPECT_GE(IDLE, want.enough);
	ret = bt_in_child(hog, &want);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(kills, vmstat("oom_kill"));
	ASSERT_EQ(0, bt_pressure(c.fd, pool, &p));
	TH_LOG("up to %llu MiB for the hog; shrinker %llu MiB, before a kill %llu MiB",
	       want.most / BT_MIB, p.gained_bytes[BMEM_GAIN_SHRINK] / BT_MIB,
	       p.gained_bytes[BMEM_GAIN_OOM] / BT_MIB);
	EXPECT_EQ(want.enough, regained(c.fd, pool));
	ASSERT_EQ(0, bt_pool_now(c.fd, pool, &st));
	EXPECT_EQ(ballast.granted + IDLE - want.enough, st.total_bytes);
	EXPECT_EQ(0, bt_debugfs_value("cleanup", "surplus_bytes"));
	EXPECT_EQ(-1, bt_tag_verify(c.map + ballast.offset, BT_HUGE, 9));
	EXPECT_SOUND(c.fd);
out:
	bt_client_close(&c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

TEST_HARNESS_MAIN
