// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks: suspected, confirmed and cleared; told to those who may know, within
 * bounds, and soon; looked for unasked; and not to be talked into anything by a
 * process that scribbles on its ledger.
 *
 * BMEM_LEAKED is how many tensors leak in the test of the report (default
 * 100000).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "leak_calls.h"
#include "raiser.h"

#define POOL_LIMIT	(256 * BT_MIB)
#define LEAKS		BT_DEBUGFS "/leaks"
#define SITES		500
#define USER		1234

FIXTURE(leaks) {
	struct bt_client c;
	int admin;
	int pool;
	char age[32];
	char delay[32];
};

FIXTURE_SETUP(leaks)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "leaks", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_client_open(&self->c, self->pool));
	ASSERT_EQ(0, bt_param("leak_age_ms", self->age, sizeof(self->age)));
	ASSERT_EQ(0, bt_param("leak_delay_ms", self->delay, sizeof(self->delay)));
	/* Who wants to see that something is looked at again, unasked, says so. */
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "60000"));
}

FIXTURE_TEARDOWN(leaks)
{
	EXPECT_EQ(0, bt_param_set("leak_age_ms", self->age));
	EXPECT_EQ(0, bt_param_set("leak_delay_ms", self->delay));
	EXPECT_EQ(0, bt_write_file(LEAKS, "on"));
	EXPECT_EQ(0, bt_write_file(LEAKS, "scan=0"));
	bt_client_close(&self->c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

/* A tensor of @site that was held, and is not any more. */
static __u64 lose(int fd, __u32 site)
{
	struct bmem_alloc_entry e = { .bytes = 1000 + site, .site = site };

	if (bt_alloc(fd, &e, 1, NULL) || lk_link(fd, 0, e.handle) ||
	    lk_unlink(fd, 0, e.handle))
		return 0;
	return e.handle;
}

/* The state of the only finding, 0 for none, or -1. */
static int state(int fd)
{
	struct bmem_leak_row *rows;
	int nr = lk_list(fd, 0, 0, &rows, NULL), ret = -1;

	if (nr >= 0 && nr <= 1)
		ret = nr ? (int)rows[0].state : 0;
	free(rows);
	return ret;
}

/* ---- states ------------------------------------------------------------------- */

TEST_F(leaks, suspected_confirmed_cleared)
{
	struct bmem_leak_list totals;
	struct bmem_leak_scan scan;
	struct bmem_leak_row *rows;
	__u64 a, b, id;

	ASSERT_EQ(0, bt_site(self->c.fd, 5, "five"));
	a = lose(self->c.fd, 5);
	b = lose(self->c.fd, 5);
	ASSERT_TRUE(a && b);
	/* Too young. */
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "3600000"));
	scan = (struct bmem_leak_scan){ .size = sizeof(scan) };
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_LEAK_SCAN, &scan));
	EXPECT_EQ(0, scan.suspected);
	ASSERT_EQ(0, lk_scan(self->c.fd, 0, 0, &scan));
	EXPECT_EQ(1, scan.suspected);
	EXPECT_EQ(0, scan.confirmed);
	EXPECT_EQ(2010, scan.suspected_bytes);
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	id = rows[0].id;
	EXPECT_EQ(BMEM_LEAK_SUSPECTED, rows[0].state);
	EXPECT_EQ(BMEM_LEAK_UNREFERENCED, rows[0].kind);
	EXPECT_EQ(BMEM_LEAK_NO_REFERENCE, rows[0].evidence);
	EXPECT_EQ(self->c.id, rows[0].client_id);
	EXPECT_EQ(getpid(), rows[0].pid);
	EXPECT_EQ(5, rows[0].site);
	EXPECT_EQ(2, rows[0].tensors);
	EXPECT_EQ(2010, rows[0].bytes);
	EXPECT_EQ(0, rows[0].confirmed_tensors);
	EXPECT_EQ(2, rows[0].nr_samples);
	EXPECT_EQ(0, strcmp("five", rows[0].label));
	free(rows);
	/* Who looks for older ones only has not seen that these are none. */
	scan = (struct bmem_leak_scan){ .size = sizeof(scan) };
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_LEAK_SCAN, &scan));
	EXPECT_EQ(1, scan.suspected);
	/* Looked at again, but too soon. */
	ASSERT_EQ(0, lk_scan(self->c.fd, 0, 0, &scan));
	EXPECT_EQ(0, scan.confirmed);
	ASSERT_EQ(0, lk_scan(self->c.fd, 0, 50, &scan));
	EXPECT_EQ(1, scan.confirmed);
	EXPECT_EQ(2010, scan.confirmed_bytes);
	/* One goes: the finding stays, with what is left. */
	ASSERT_EQ(0, lk_link(self->c.fd, 0, a));
	ASSERT_EQ(0, lk_scan(self->c.fd, 0, 0, &scan));
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(id, rows[0].id);
	EXPECT_EQ(1, rows[0].confirmed_tensors);
	EXPECT_EQ(b, rows[0].samples[0]);
	free(rows);
	EXPECT_EQ(0, scan.cleared);
	ASSERT_EQ(0, bt_free1(self->c.fd, b));
	ASSERT_EQ(0, lk_scan(self->c.fd, 0, 0, &scan));
	EXPECT_EQ(0, scan.confirmed + scan.suspected);
	EXPECT_EQ(1, scan.cleared);
	ASSERT_EQ(0, lk_list(self->c.fd, 0, 0, &rows, &totals));
	EXPECT_EQ(1, totals.cleared);
	free(rows);
}

/* Rows as they were in the call's first version, and longer ones. */
TEST_F(leaks, rows_of_all_sizes)
{
	static const size_t sizes[] = {
		offsetof(struct bmem_leak_row, hole_bytes),
		sizeof(struct bmem_leak_row), sizeof(struct bmem_leak_row) + 40,
	};
	struct bmem_leak_row *row;
	unsigned char rows[1024];
	struct bmem_leak_list l;
	__u32 sites;
	unsigned int i;

	ASSERT_NE(0, lose(self->c.fd, 1));
	ASSERT_NE(0, lose(self->c.fd, 2));
	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 0, NULL));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(rows, 0xa5, sizeof(rows));
		l = (struct bmem_leak_list){
			.size = sizeof(l), .nr = 2, .row_size = sizes[i],
			.rows = (uintptr_t)rows,
		};
		ASSERT_EQ(0, bt_call(self->c.fd, BMEM_LEAK_LIST, &l));
		ASSERT_EQ(2, l.nr);
		row = (struct bmem_leak_row *)rows;
		sites = row->site;
		row = (struct bmem_leak_row *)(rows + sizes[i]);
		EXPECT_EQ(2, sites * row->site);
		EXPECT_EQ(-1, bt_not_byte(rows + 2 * sizes[i],
					  sizeof(rows) - 2 * sizes[i], 0xa5));
		if (sizes[i] > sizeof(*row))
			EXPECT_EQ(-1, bt_not_byte(rows + sizeof(*row), 40, 0));
	}
}

/* One that is suspected anew has to wait anew. */
TEST_F(leaks, back_and_forth)
{
	__u64 a = lose(self->c.fd, 1);

	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 1, NULL));
	EXPECT_EQ(BMEM_LEAK_CONFIRMED, state(self->c.fd));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, a));
	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 0, NULL));
	EXPECT_EQ(0, state(self->c.fd));
	ASSERT_EQ(0, lk_unlink(self->c.fd, 0, a));
	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 0, NULL));
	EXPECT_EQ(BMEM_LEAK_SUSPECTED, state(self->c.fd));
}

/* ---- unasked -------------------------------------------------------------------- */

/* What has taken the place of a suspect, without a call, is not confirmed. */
TEST_F_TIMEOUT(leaks, block_used_again, BT_SLOW)
{
	struct bmem_alloc_entry e = {
		.bytes = 5000, .flags = BMEM_ALLOC_RECORD,
	};
	struct bmem_leak_scan scan = {
		.size = sizeof(scan), .kinds = LK_UNREF,
		.flags = BMEM_LEAK_SCAN_AGE, .delay_ms = 1000,
	};
	struct bmem_record *ledger;
	struct bmem_query q;

	ASSERT_EQ(0, bt_query(self->c.fd, &q));
	ledger = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      self->c.fd, q.ledger_offset);
	ASSERT_NE(MAP_FAILED, ledger);
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	ASSERT_EQ(BMEM_RECORD_LIVE, ledger->head & BMEM_RECORD_STATE_MASK);
	ASSERT_EQ(0, lk_link(self->c.fd, 0, e.handle));
	ASSERT_EQ(0, lk_unlink(self->c.fd, 0, e.handle));
	/* Not looked at again before something else is there. */
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "1000"));
	ASSERT_EQ(0, bt_write_file(LEAKS, "off"));
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_LEAK_SCAN, &scan));
	EXPECT_EQ(BMEM_LEAK_SUSPECTED, state(self->c.fd));
	ledger->head += 1ULL << BMEM_RECORD_GEN_SHIFT;
	ASSERT_EQ(0, bt_write_file(LEAKS, "on"));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) != BMEM_LEAK_SUSPECTED, 20000));
	EXPECT_EQ(0, state(self->c.fd));
	munmap(ledger, BT_PAGE);
}

TEST_F_TIMEOUT(leaks, every_thousand_allocations, BT_SLOW)
{
	struct bmem_alloc_entry e[500];
	struct bmem_free_entry f[500];
	int i, k;

	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "500"));
	ASSERT_NE(0, lose(self->c.fd, 1));
	for (k = 0; k < 3; k++) {
		for (i = 0; i < 500; i++)
			e[i] = (struct bmem_alloc_entry){ .bytes = 100 };
		ASSERT_EQ(0, bt_alloc(self->c.fd, e, 500, NULL));
		for (i = 0; i < 500; i++)
			f[i] = (struct bmem_free_entry){ .handle = e[i].handle };
		ASSERT_EQ(0, bt_free(self->c.fd, f, 500, NULL));
	}
	/* Found, and then looked at again. */
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) > 0, 10000));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) == BMEM_LEAK_CONFIRMED, 10000));
}

TEST_F_TIMEOUT(leaks, cycles_at_level_full, BT_SLOW)
{
	struct bmem_bind bind = {
		.size = sizeof(bind), .flags = BMEM_BIND_LEVEL,
		.level = BMEM_LEVEL_FULL,
	};
	struct bmem_alloc_entry e = { .bytes = 100 };
	char cycle[32];

	ASSERT_EQ(0, bt_param("cycle_ms", cycle, sizeof(cycle)));
	ASSERT_EQ(0, bt_param_set("cycle_ms", "100"));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "200"));
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_BIND, &bind));
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, e.handle));
	ASSERT_EQ(0, lk_link(self->c.fd, e.handle, e.handle));
	usleep(400000);
	EXPECT_EQ(0, state(self->c.fd));
	ASSERT_EQ(0, lk_unlink(self->c.fd, 0, e.handle));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) == BMEM_LEAK_CONFIRMED, 10000));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, e.handle));
	EXPECT_TRUE(BT_WAIT(!state(self->c.fd), 10000));
	EXPECT_EQ(0, bt_param_set("cycle_ms", cycle));
}

/* Nobody looked before the module's level was raised; from then on somebody does. */
TEST_F_TIMEOUT(leaks, cycles_once_the_level_is_full, BT_SLOW)
{
	struct bmem_bind bind = {
		.size = sizeof(bind), .flags = BMEM_BIND_LEVEL,
		.level = BMEM_LEVEL_FULL,
	};
	struct bmem_alloc_entry e = { .bytes = 100 };
	char cycle[32], level[32];

	ASSERT_EQ(0, bt_param("cycle_ms", cycle, sizeof(cycle)));
	ASSERT_EQ(0, bt_param("level", level, sizeof(level)));
	ASSERT_EQ(0, bt_param_set("cycle_ms", "100"));
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_EQ(0, bt_param_set("level", "standard"));
	/* Nor is a first link a reason to look. */
	ASSERT_EQ(0, bt_write_file(LEAKS, "off"));
	EXPECT_EQ(0, bt_call(self->c.fd, BMEM_BIND, &bind));
	EXPECT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	EXPECT_EQ(0, lk_link(self->c.fd, e.handle, e.handle));
	EXPECT_EQ(0, bt_write_file(LEAKS, "on"));
	usleep(1000000);
	EXPECT_EQ(0, state(self->c.fd));
	EXPECT_EQ(0, bt_param_set("level", "full"));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) > 0, BT_SOON));
	EXPECT_EQ(0, bt_param_set("level", level));
	EXPECT_EQ(0, bt_param_set("cycle_ms", cycle));
}

TEST_F_TIMEOUT(leaks, periodic, BT_SLOW)
{
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "100"));
	ASSERT_NE(0, lose(self->c.fd, 1));
	usleep(300000);
	EXPECT_EQ(0, state(self->c.fd));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan=1"));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) == BMEM_LEAK_CONFIRMED, 10000));
}

/* What happened to a kind is looked at now, however long the period is. */
TEST_F_TIMEOUT(leaks, soon_within_a_period, BT_SLOW)
{
	struct bmem_alloc_entry e[BMEM_BATCH_MAX] = {};
	unsigned int i;

	for (i = 0; i < BMEM_BATCH_MAX; i++)
		e[i].bytes = BT_PAGE;
	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "100"));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan"));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan=86400"));
	ASSERT_NE(0, lose(self->c.fd, 1));
	/* So many allocations have unreferenced tensors looked for. */
	ASSERT_EQ(0, bt_alloc(self->c.fd, e, BMEM_BATCH_MAX, NULL));
	EXPECT_TRUE(BT_WAIT(state(self->c.fd) == BMEM_LEAK_CONFIRMED, 10000));
}

/* ---- events ------------------------------------------------------------------- */

/* Events of a type and client among the last. */
static int told(const char *type, __u64 client)
{
	char *text = bt_read_file(BT_DEBUGFS "/events"), want[64], *at;
	int nr = 0;

	snprintf(want, sizeof(want), " %s %llu ", type, client);
	for (at = text; at && (at = strstr(at, want)); at++)
		nr++;
	free(text);
	return nr;
}

/* What is room between tensors, as the first finding has it. */
static __u64 hole(int fd)
{
	struct bmem_leak_row *rows;
	int nr = lk_list(fd, 0, 0, &rows, NULL);
	__u64 bytes = nr > 0 ? rows[0].hole_bytes : 0;

	free(rows);
	return bytes;
}

TEST_F_TIMEOUT(leaks, are_told_and_measured, BT_SLOW)
{
	struct bmem_alloc_entry e[3] = {
		{ .bytes = BT_MIB }, { .bytes = 3 * BT_MIB }, { .bytes = BT_MIB },
	};
	int fd = self->c.fd;

	ASSERT_EQ(0, bt_alloc(fd, e, 3, NULL));
	ASSERT_EQ(0, bt_free1(fd, e[1].handle));
	ASSERT_EQ(0, lk_link(fd, 0, e[0].handle));
	ASSERT_EQ(0, lk_unlink(fd, 0, e[0].handle));
	ASSERT_EQ(0, lk_scan(fd, LK_UNREF, 0, NULL));
	EXPECT_EQ(1, told("leak-suspected", self->c.id));
	EXPECT_EQ(0, told("leak-confirmed", self->c.id));
	/* The rule: where there is a leak, the space is looked at. */
	EXPECT_TRUE(BT_WAIT(hole(fd) == 3 * BT_MIB, 10000));
	ASSERT_EQ(0, lk_scan(fd, LK_UNREF, 1, NULL));
	EXPECT_EQ(1, told("leak-suspected", self->c.id));
	EXPECT_EQ(1, told("leak-confirmed", self->c.id));
	EXPECT_EQ(0, told("leak-cleared", self->c.id));
	ASSERT_EQ(0, bt_free1(fd, e[0].handle));
	ASSERT_EQ(0, lk_scan(fd, LK_UNREF, 0, NULL));
	EXPECT_EQ(1, told("leak-cleared", self->c.id));
}

/*
 * The rule: what is suspected in a pool is looked at again once that has been
 * compacted, and not when its time comes; in another pool it is left alone.
 */
TEST_F_TIMEOUT(leaks, compaction_looks_again, BT_SLOW)
{
	struct bmem_leak_row *rows;
	__u64 lost;
	int ret;

	ASSERT_EQ(0, bt_param_set("leak_delay_ms", "60000"));
	lost = lose(self->c.fd, 1);
	ASSERT_NE(0, lost);
	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 0, NULL));
	ASSERT_EQ(BMEM_LEAK_SUSPECTED, state(self->c.fd));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, lost));
	ret = raiser_load();
	if (ret == -ENOSYS)
		SKIP(return, "no bmem_raise.ko for this kernel");
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0, raise_event(BMEM_EVENT_COMPACTED, BMEM_POOL_DEFAULT, 0, 0));
	usleep(1500000);
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(BMEM_LEAK_SUSPECTED, rows[0].state);
	EXPECT_LE(1500, rows[0].checked_ms);
	free(rows);
	EXPECT_EQ(0, raise_event(BMEM_EVENT_COMPACTED, self->pool, 0, 0));
	EXPECT_TRUE(BT_WAIT(!state(self->c.fd), 20000));
	EXPECT_LT(0, told("compacted", 0));
	EXPECT_EQ(0, raiser_unload());
}

/*
 * How often the leak rule has to wait for a client that stays busy, for half a
 * second each: longer than cleanup is waited for, which is not as long as it
 * takes to clean up what nobody asked for.
 */
#define HOLD_UPS	64
#define OBEYED_MS	25000
#define IDLE_MS		"60000"

/* What waits for cleanup. */
static __u64 queued(int fd)
{
	struct bmem_client_stats st;

	return bt_client_now(fd, 0, &st) ? ~0ULL : st.queued_bytes;
}

/*
 * A leak that was found in a busy client holds up the rule that looks at it,
 * and no other: by the time that cleanup has obeyed what was raised last, the
 * leak rule has not come to what was raised before that.
 */
TEST_F_TIMEOUT(leaks, busy_rule_delays_nobody, BT_SLOW)
{
	struct bmem_alloc_entry e[4] = {
		{ .bytes = BT_MIB }, { .bytes = 3 * BT_MIB }, { .bytes = BT_MIB },
		{ .bytes = BT_MIB },
	};
	struct bmem_alloc_entry held, gone = { .bytes = BT_HUGE, .align = BT_HUGE };
	struct bt_client busy, leaky;
	int fd = self->c.fd, i, ret;
	__u64 before;
	char idle[16];

	ret = raiser_load();
	if (ret == -ENOSYS)
		SKIP(return, "no bmem_raise.ko for this kernel");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, bt_param("cleanup_idle_ms", idle, sizeof(idle)));
	ASSERT_EQ(0, bt_param_set("cleanup_idle_ms", IDLE_MS));
	ASSERT_EQ(0, bt_client_open(&busy, self->pool));
	ASSERT_EQ(0, bt_client_open(&leaky, self->pool));
	/* What the rule found when it looked the last time, and what is there. */
	ASSERT_EQ(0, bt_alloc(leaky.fd, e, 4, NULL));
	ASSERT_EQ(0, bt_free1(leaky.fd, e[1].handle));
	ASSERT_NE(0, lose(leaky.fd, 1));
	ASSERT_EQ(0, lk_scan(leaky.fd, LK_UNREF, 0, NULL));
	ASSERT_TRUE(BT_WAIT(hole(leaky.fd), BT_SOON));
	before = hole(leaky.fd);
	ASSERT_EQ(0, bt_free1(leaky.fd, e[2].handle));
	ASSERT_EQ(0, bt_bind_cache(fd, 0));
	ASSERT_EQ(0, bt_alloc1(fd, 160 * BT_MIB, &held));
	ASSERT_EQ(0, bt_alloc(fd, &gone, 1, NULL));
	ASSERT_EQ(0, bt_free1(fd, gone.handle));
	usleep(300000);
	ASSERT_EQ(BT_HUGE, queued(fd));

	ASSERT_EQ(0, hold_client(busy.id));
	for (i = 0; i < HOLD_UPS; i++)
		EXPECT_EQ(0, raise_event(BMEM_EVENT_LEAK_SUSPECTED, self->pool,
					 busy.id, 0));
	EXPECT_EQ(0, raise_event(BMEM_EVENT_LEAK_SUSPECTED, self->pool,
				 leaky.id, 0));
	EXPECT_EQ(0, raise_event(BMEM_EVENT_PRESSURE, self->pool, 0,
				 BMEM_PRESSURE_HIGH));
	EXPECT_TRUE(BT_WAIT(!queued(fd), OBEYED_MS));
	EXPECT_EQ(before, hole(leaky.fd));
	EXPECT_EQ(0, hold_client(0));
	EXPECT_TRUE(BT_WAIT(hole(leaky.fd) > before, BT_SOON));

	EXPECT_EQ(0, raiser_unload());
	EXPECT_EQ(0, bt_param_set("cleanup_idle_ms", idle));
	bt_client_close(&leaky);
	bt_client_close(&busy);
}

/* ---- several kinds --------------------------------------------------------------- */

#define UNREACHED	BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE)

/* What all rows of a site say together, and what one kind's says, or zeroes. */
static __u64 of_site(int fd, __u32 site, __u32 kind, struct bmem_leak_row *row)
{
	struct bmem_leak_row *rows;
	int nr = lk_list(fd, 0, 0, &rows, NULL), i;
	__u64 bytes = 0;

	memset(row, 0, sizeof(*row));
	for (i = 0; i < nr; i++) {
		if (rows[i].site != site)
			continue;
		bytes += rows[i].bytes;
		if (rows[i].kind == kind)
			*row = rows[i];
	}
	free(rows);
	return bytes;
}

/* The sums of the findings of a site are those of its tensors. */
TEST_F_TIMEOUT(leaks, no_tensor_is_told_of_twice, BT_SLOW)
{
	struct bmem_alloc_entry e[3] = {
		{ .bytes = 4096, .flags = BMEM_ALLOC_RECORD },
		{ .bytes = 1005, .site = 5, .flags = BMEM_ALLOC_RECORD },
		{ .bytes = 1005, .site = 5, .flags = BMEM_ALLOC_RECORD },
	};
	struct bmem_leak_scan scan;
	struct bmem_leak_row row;
	int fd = self->c.fd;
	__u64 a;

	/* Where the client is mapped is a pointer, and leads to the first. */
	ASSERT_EQ(0, bt_alloc(fd, e, 3, NULL));
	a = e[1].handle;
	ASSERT_EQ(0, lk_link(fd, 0, a));
	ASSERT_EQ(0, lk_unlink(fd, 0, a));
	ASSERT_EQ(0, lk_scan(fd, LK_UNREF, 1, &scan));
	EXPECT_EQ(1005, scan.confirmed_bytes);
	ASSERT_EQ(0, lk_scan(fd, UNREACHED, 1, &scan));
	/* That nothing leads to either is seen; one has been told of. */
	EXPECT_EQ(1005, scan.confirmed_bytes);
	EXPECT_EQ(2010, of_site(fd, 5, BMEM_LEAK_UNREACHABLE, &row));
	EXPECT_EQ(1, row.tensors);
	EXPECT_EQ(e[2].handle, row.samples[0]);
	ASSERT_EQ(0, lk_scan(fd, 0, 1, &scan));
	EXPECT_EQ(2010, scan.confirmed_bytes + scan.suspected_bytes);
	EXPECT_EQ(2010, of_site(fd, 5, BMEM_LEAK_UNREFERENCED, &row));
	EXPECT_EQ(1, row.tensors);
	EXPECT_EQ(a, row.samples[0]);
	EXPECT_EQ(BMEM_LEAK_NO_REFERENCE | BMEM_LEAK_NO_POINTER | BMEM_LEAK_UNCHANGED,
		  row.evidence);
	EXPECT_EQ(2, told("leak-confirmed", self->c.id));
	/* One kind lets it go: the other has it. */
	ASSERT_EQ(0, lk_link(fd, 0, a));
	ASSERT_EQ(0, lk_scan(fd, 0, 1, &scan));
	EXPECT_EQ(2010, scan.confirmed_bytes);
	EXPECT_EQ(2010, of_site(fd, 5, BMEM_LEAK_UNREACHABLE, &row));
	EXPECT_EQ(2, row.tensors);
	EXPECT_EQ(BMEM_LEAK_NO_POINTER | BMEM_LEAK_UNCHANGED, row.evidence);
	/* And keeps it. */
	ASSERT_EQ(0, lk_unlink(fd, 0, a));
	ASSERT_EQ(0, lk_scan(fd, 0, 1, &scan));
	EXPECT_EQ(2010, of_site(fd, 5, BMEM_LEAK_UNREACHABLE, &row));
	EXPECT_EQ(2, row.tensors);
	EXPECT_EQ(BMEM_LEAK_NO_REFERENCE | BMEM_LEAK_NO_POINTER | BMEM_LEAK_UNCHANGED,
		  row.evidence);
	/* What is not to be told of is not told of as another kind either. */
	ASSERT_EQ(0, bt_write_file(LEAKS, "clear"));
	ASSERT_EQ(0, lk_scan(fd, 0, 1, &scan));
	EXPECT_EQ(0, of_site(fd, 5, 0, &row));
	EXPECT_EQ(0, scan.confirmed + scan.suspected);
}

/* ---- the file ---------------------------------------------------------------------- */

static int shown_of(__u64 client, pid_t pid)
{
	char *text = bt_read_file(LEAKS), want[32], *line;
	int nr = 0;

	snprintf(want, sizeof(want), " %llu %d ", client, pid);
	for (line = text; line && (line = strchr(line, '\n')); line++)
		nr += !strncmp(strchrnul(line, ' '), want, strlen(want));
	free(text);
	return nr;
}

static int shown(__u64 client)
{
	return shown_of(client, getpid());
}

TEST_F_TIMEOUT(leaks, words, BT_SLOW)
{
	struct bmem_leak_row *rows;
	char word[64];

	ASSERT_EQ(0, bt_param_set("leak_age_ms", "0"));
	ASSERT_NE(0, lose(self->c.fd, 3));
	EXPECT_EQ(0, shown(self->c.id));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan"));
	EXPECT_EQ(1, shown(self->c.id));
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	snprintf(word, sizeof(word), "dump=%llu\n", rows[0].id);
	EXPECT_EQ(0, bt_write_file(LEAKS, word));
	free(rows);
	EXPECT_EQ(-ENOENT, bt_write_file(LEAKS, "dump=9999999999"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, "dump=x"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, "dump=0"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, "scan=99999999"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, "scan=-1"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, "nonsense"));
	EXPECT_EQ(-EINVAL, bt_write_file(LEAKS, " "));
	/* What is known is not told again; what comes after that is. */
	ASSERT_EQ(0, bt_write_file(LEAKS, "clear\n"));
	EXPECT_EQ(0, shown(self->c.id));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan"));
	EXPECT_EQ(0, shown(self->c.id));
	ASSERT_NE(0, lose(self->c.fd, 3));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan"));
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(1, rows[0].tensors);
	free(rows);
	ASSERT_EQ(0, bt_write_file(LEAKS, "off"));
	EXPECT_EQ(0, shown(self->c.id));
	ASSERT_EQ(0, bt_write_file(LEAKS, "on"));
	ASSERT_EQ(0, bt_write_file(LEAKS, "scan"));
	ASSERT_EQ(1, lk_list(self->c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(2, rows[0].tensors);
	free(rows);
}

/* ---- reports ------------------------------------------------------------------------ */

static __u32 leaked(void)
{
	const char *nr = getenv("BMEM_LEAKED");

	return nr ? strtoul(nr, NULL, 0) : 100000;
}

/* All slots are tensors that were held once, of @sites sites. */
static int lose_slots(struct lk_slots *s, __u32 sites)
{
	struct bmem_link_entry *e = calloc(s->nr, sizeof(*e));
	long done;
	__u32 i;

	for (i = 1; i <= sites; i++)
		if (bt_site(s->c.fd, i, "a site"))
			return -1;
	for (i = 0; i < s->nr; i++)
		e[i].to = lk_slot_live(s, i, i % sites + 1);
	done = lk_links(s->c.fd, BMEM_LINK, e, s->nr);
	if (done == s->nr)
		done = lk_links(s->c.fd, BMEM_UNLINK, e, s->nr);
	free(e);
	return done == s->nr ? 0 : -1;
}

/* The best of some tries: others may have been at work meanwhile. */
#define TRIES		5

static int list_time(int fd, __u64 *best)
{
	struct bmem_leak_row *rows;
	int i, nr = 0;
	__u64 at;

	for (i = 0; i < TRIES; i++) {
		at = bt_now_ms();
		nr = lk_list(fd, 0, 0, &rows, NULL);
		free(rows);
		at = bt_now_ms() - at;
		*best = at < *best ? at : *best;
	}
	return nr;
}

static void file_time(__u64 *best)
{
	int i;
	__u64 at;

	for (i = 0; i < TRIES; i++) {
		at = bt_now_ms();
		free(bt_read_file(LEAKS));
		at = bt_now_ms() - at;
		*best = at < *best ? at : *best;
	}
}

TEST_F_TIMEOUT(leaks, a_report_is_fast, 4 * BT_SLOW)
{
	struct bmem_leak_list totals;
	struct bmem_leak_scan scan;
	struct bmem_leak_row *rows;
	__u32 nr = leaked(), sum = 0;
	__u64 list_ms = ~0ULL, file_ms = ~0ULL;
	struct lk_slots s;
	int i;

	ASSERT_EQ(0, lk_slots_open(&s, self->pool, nr));
	ASSERT_EQ(0, lose_slots(&s, SITES));
	ASSERT_EQ(0, lk_scan(s.c.fd, LK_UNREF, 1, &scan));
	EXPECT_EQ(SITES, scan.confirmed);
	EXPECT_EQ(64ULL * nr, scan.confirmed_bytes);
	ASSERT_EQ(SITES, list_time(s.c.fd, &list_ms));
	file_time(&file_ms);
	ASSERT_EQ(SITES, lk_list(s.c.fd, 0, 0, &rows, &totals));
	for (i = 0; i < SITES; i++)
		sum += rows[i].tensors;
	EXPECT_EQ(nr, sum);
	EXPECT_EQ(0, totals.dropped);
	TH_LOG("%u tensors of %d sites: list %llu ms, file %llu ms", nr, SITES,
	       list_ms, file_ms);
	EXPECT_GT(bt_debug_kernel() ? 2000 : 100, list_ms);
	EXPECT_GT(bt_debug_kernel() ? 2000 : 100, file_ms);
	free(rows);
	lk_slots_close(&s);
}

TEST_F_TIMEOUT(leaks, bounded_and_marked, BT_SLOW)
{
	__u32 nr = BMEM_LEAKS_MAX + 200;
	char *text;
	struct bmem_leak_list totals;
	struct bmem_leak_row *rows;
	struct lk_slots s;

	ASSERT_EQ(0, lk_slots_open(&s, self->pool, nr));
	ASSERT_EQ(0, lose_slots(&s, nr));
	ASSERT_EQ(0, lk_scan(s.c.fd, LK_UNREF, 0, NULL));
	EXPECT_EQ(BMEM_LEAKS_MAX, lk_list(s.c.fd, 0, 0, &rows, &totals));
	EXPECT_EQ(200, totals.dropped);
	free(rows);
	text = bt_read_file(LEAKS);
	EXPECT_NE(NULL, strstr(text, "\n# suspected 1024 confirmed 0 cleared 0 dropped 200 cut_short -\n")) {
		TH_LOG("%s", strstr(text, "\n# "));
	}
	free(text);
	lk_slots_close(&s);
}

/* ---- who may know ----------------------------------------------------------------------- */

/**
 * struct look - what another process is to see
 * @node: device
 * @uid: its user
 * @client: client that it looks at
 * @all: findings that it sees of all clients
 */
struct look {
	char node[128];
	uid_t uid;
	__u64 client;
	int all;
};

/* Bit 0: it sees the client's findings; bit 1: it can scan it. */
static int looks(void *arg)
{
	struct look *k = arg;
	struct bmem_leak_scan scan = {
		.size = sizeof(scan), .client_id = k->client,
	};
	struct bmem_leak_row row[4];
	struct bmem_leak_list l = {
		.size = sizeof(l), .row_size = sizeof(row[0]), .nr = 4,
		.rows = (uintptr_t)row, .flags = BMEM_LEAK_LIST_ALL,
	};
	int fd, ret = 0;

	if (k->uid && bt_become(k->uid, k->uid, -1))
		return -1;
	fd = open(k->node, O_RDWR);
	if (fd < 0 || bt_call(fd, BMEM_LEAK_LIST, &l))
		return -1;
	if ((int)l.nr != k->all)
		return 64 + l.nr;
	l.flags = 0;
	l.client_id = k->client;
	l.nr = 4;
	l.cursor = 0;
	l.cursor_client = 0;
	ret |= !bt_call(fd, BMEM_LEAK_LIST, &l) && l.nr == 1;
	ret |= !bt_call(fd, BMEM_LEAK_SCAN, &scan) << 1;
	return ret;
}

/* Loses a tensor as a user, says so, and waits to be killed. */
static pid_t loser(const struct look *k, uid_t uid, __u64 *client)
{
	int pipes[2], fd;
	struct bmem_query q;
	pid_t pid;

	if (pipe(pipes))
		return -1;
	pid = fork();
	if (!pid) {
		if (bt_become(uid, uid, -1))
			_exit(1);
		fd = open(k->node, O_RDWR);
		if (fd < 0 || !lose(fd, 1) || lk_scan(fd, 0, 0, NULL) ||
		    bt_query(fd, &q))
			_exit(1);
		if (write(pipes[1], &q.client_id, 8) != 8)
			_exit(1);
		pause();
	}
	close(pipes[1]);
	if (read(pipes[0], client, 8) != 8)
		pid = -1;
	close(pipes[0]);
	return pid;
}

TEST_F_TIMEOUT(leaks, other_users, BT_SLOW)
{
	struct look k = { .all = 1 };
	__u64 client, others;
	pid_t pid, other;

	ASSERT_EQ(0, bt_lend_device(k.node, sizeof(k.node)));
	pid = loser(&k, USER, &client);
	other = loser(&k, USER + 1, &others);
	ASSERT_LT(0, pid);
	ASSERT_LT(0, other);
	k.client = client;
	k.uid = USER;
	EXPECT_EQ(3, bt_in_child(looks, &k));
	/* The other sees its own, and as if there were none else. */
	k.uid = USER + 1;
	EXPECT_EQ(0, bt_in_child(looks, &k));
	k.uid = USER + 2;
	k.all = 0;
	EXPECT_EQ(0, bt_in_child(looks, &k));
	k.uid = 0;
	k.all = 2;
	EXPECT_EQ(3, bt_in_child(looks, &k));
	kill(pid, SIGKILL);
	kill(other, SIGKILL);
	waitpid(pid, NULL, 0);
	waitpid(other, NULL, 0);
	k.all = 0;
	EXPECT_EQ(0, bt_in_child(looks, &k));
	unlink(k.node);
}

/* ---- a process that lies -------------------------------------------------------------------- */

/* Whatever its records say, nobody else is accused, and nothing breaks. */
TEST_F_TIMEOUT(leaks, scribbled_ledger, BT_SLOW)
{
	struct bmem_leak_row *rows;
	struct lk_slots s;
	__u64 rnd = 42;
	int round, i, nr;

	ASSERT_NE(0, lose(self->c.fd, 9));
	ASSERT_EQ(0, lk_slots_open(&s, self->pool, 3000));
	ASSERT_EQ(0, lose_slots(&s, 50));
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 3000; i++) {
			volatile struct bmem_record *r =
				&s.ledger[s.names[i] >> BMEM_SLOT_PLACE_BITS];

			if (bt_random(&rnd) % 4)
				continue;
			r->what = bt_random(&rnd);
			/* Half of them as if nothing had happened but that. */
			if (bt_random(&rnd) % 2)
				r->head = bt_random(&rnd);
		}
		ASSERT_EQ(0, lk_scan(s.c.fd, LK_UNREF | LK_CYCLE, 1, NULL));
		nr = lk_list(s.c.fd, 0, 0, &rows, NULL);
		ASSERT_LT(0, nr);
		for (i = 0; i < nr; i++) {
			EXPECT_EQ(s.c.id, rows[i].client_id);
			/* Sites that nobody named are none. */
			EXPECT_GE(50, rows[i].site);
			EXPECT_GE(rows[i].bytes, rows[i].confirmed_bytes);
			EXPECT_GE(64 * rows[i].tensors, rows[i].bytes);
		}
		free(rows);
	}
	lk_slots_close(&s);
	/* The other client has what it had. */
	ASSERT_EQ(0, lk_scan(self->c.fd, LK_UNREF, 1, NULL));
	EXPECT_EQ(BMEM_LEAK_CONFIRMED, state(self->c.fd));
}

/* A client that goes in the middle of it takes its findings along. */
TEST_F_TIMEOUT(leaks, client_goes_meanwhile, BT_SLOW)
{
	volatile __u64 *id = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct lk_slots s;
	int i, status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)id);
	for (i = 0; i < 20; i++) {
		*id = 0;
		pid = fork();
		if (!pid) {
			if (lk_slots_open(&s, self->pool, 2000) ||
			    lose_slots(&s, 100))
				_exit(1);
			*id = s.c.id;
			for (;;)
				lk_scan(s.c.fd, 0, 1, NULL);
		}
		/* At any moment, and then when there is something to take along. */
		if (i >= 10)
			EXPECT_TRUE(BT_WAIT(*id && shown_of(*id, pid), BT_SOON));
		usleep(10000 + i * 7000);
		EXPECT_EQ(0, bt_write_file(LEAKS, i % 2 ? "scan" : "clear"));
		kill(pid, SIGKILL);
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(SIGKILL, status);
		/* A scan that goes on may keep the client until it is through. */
		if (*id)
			EXPECT_TRUE(BT_WAIT(!shown_of(*id, pid), BT_SOON));
	}
	EXPECT_EQ(0, shown(self->c.id));
	munmap((void *)id, BT_PAGE);
}

TEST_HARNESS_MAIN
