// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that a call makes fails once, and every copy from or to
 * the caller: the call succeeds, or says ENOMEM (EFAULT for a copy) and has
 * changed nothing.  faults.sh prepares the kernel for it; it takes one with
 * fault injection.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#define POOL_LIMIT	(64 * BT_MIB)
#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define SWEEP_MAX	2000

FIXTURE(faults) {
	struct ctx x;
	int admin;
	int nth;
	__u64 clients;
};

FIXTURE_SETUP(faults)
{
	int pool;

	self->nth = open(FAIL_NTH, O_RDWR);
	if (self->nth < 0)
		SKIP(return, "no fault injection in this kernel");
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	pool = bt_pool_create(self->admin, "faults", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, ctx_open(&self->x, pool));
	ASSERT_EQ(0, bt_bind_cache(self->x.c.fd, 0));
	self->clients = bt_debugfs_value("stats", "clients");
}

FIXTURE_TEARDOWN(faults)
{
	const char *bad = bt_check(self->x.c.fd);

	EXPECT_EQ(NULL, bad) {
		TH_LOG("%s", bad);
	}
	bt_client_close(&self->x.c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->x.c.pool));
	close(self->admin);
	close(self->nth);
}

/* The @n-th chance of a fault from now on is one. */
static void arm(int nth, int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	if (pwrite(nth, text, strlen(text), 0) < 0)
		perror("# fail-nth");
}

/* Was it used up?  If not, it is taken back. */
static bool fired(int nth)
{
	char text[16] = { 0 };

	if (pread(nth, text, sizeof(text) - 1, 0) <= 0)
		return false;
	arm(nth, 0);
	return !atoi(text);
}

/* What a call may answer when something in it failed. */
static bool excusable(int ret)
{
	return !ret || ret == -ENOMEM || ret == -EFAULT;
}

/* What GET takes back when it cannot tell of it was there for a moment. */
static void forget_peaks(struct bt_snap *before, const struct bt_snap *after)
{
	before->client.peak_attached_bytes = after->client.peak_attached_bytes;
	before->pool.peak_attached_bytes = after->pool.peak_attached_bytes;
	before->pool.huge_taken = after->pool.huge_taken;
	before->pool.huge_given = after->pool.huge_given;
	before->pool.fallbacks = after->pool.fallbacks;
}

/* Free pages are all zeroed: none is with the keeper, and so taken elsewhere. */
static bool settled(int fd, int pool)
{
	struct bmem_pool_stats st;

	return !bt_pool_stats(fd, pool, &st) && !st.dirty_bytes &&
	       !st.zeroing_bytes;
}

/* One call with its @n-th chance of a fault taken; false when it had fewer. */
static bool sweep_one(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self,
		      int i, int n)
{
	struct bt_snap before, after;
	const char *changed;
	union any a;
	bool hit;
	int ret;

	make_good(&self->x, i, &a);
	BT_WAIT(settled(self->x.c.fd, self->x.c.pool), 10000);
	bt_snap(self->x.c.fd, &before);
	arm(self->nth, n);
	ret = bt_call(self->x.c.fd, calls[i].cmd, &a);
	hit = fired(self->nth);
	bt_snap(self->x.c.fd, &after);
	EXPECT_TRUE(excusable(ret)) {
		TH_LOG("%s, fault %d: %d", calls[i].name, n, ret);
	}
	if (i == SLOTS_GET)
		forget_peaks(&before, &after);
	/* FREE and PUT have done it when they cannot tell the results. */
	changed = ret && ((i != FREE && i != SLOTS_PUT) || ret != -EFAULT) ?
		  bt_snap_diff(&before, &after) : NULL;
	EXPECT_EQ(NULL, changed) {
		TH_LOG("%s, fault %d: %d, changed %s", calls[i].name, n, ret, changed);
	}
	calls[i].undo(&self->x, &a, !ret);
	return hit;
}

/*
 * Sweeps one ioctl until it has no more chances of a fault, three times: how
 * many it has differs from call to call, as slabs fill up.  Returns the most.
 */
static int sweep(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self, int i)
{
	__u64 pools = bt_debugfs_value("stats", "pools");
	int round, n, most = 0;

	for (round = 0; round < 3; round++) {
		for (n = 1; n < SWEEP_MAX; n++)
			if (!sweep_one(_metadata, self, i, n))
				break;
		EXPECT_LT(n, SWEEP_MAX);
		if (n - 1 > most)
			most = n - 1;
	}
	EXPECT_EQ(pools, bt_debugfs_value("stats", "pools")) {
		TH_LOG("%s left a pool", calls[i].name);
	}
	TH_LOG("%s: %d places to fail", calls[i].name, most);
	return most;
}

TEST_F_TIMEOUT(faults, every_ioctl, 2 * BT_SLOW)
{
	int i, places = 0;

	for (i = 0; i < CALLS; i++)
		places += sweep(_metadata, self, i);
	/* A sweep that never hits anything has not looked. */
	EXPECT_LT(2 * CALLS, places);
}

/* A large batch goes through every kind of table. */
TEST_F_TIMEOUT(faults, large_batch, 2 * BT_SLOW)
{
	static struct bmem_alloc_entry e[100];
	struct bmem_free_entry f[100];
	struct bt_snap before, after;
	const char *changed;
	bool hit = true;
	int n, i, ret;

	/* What is taken and given back is the pool's own: no figure moves. */
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->x.c.pool,
				    BMEM_RESIZE_RESERVE, 0, 32 * BT_MIB));
	for (n = 1; n < SWEEP_MAX && hit; n++) {
		for (i = 0; i < 100; i++)
			e[i] = (struct bmem_alloc_entry){
				.bytes = 100000 + i, .site = n * 100 + i,
			};
		ASSERT_TRUE(BT_WAIT(settled(self->x.c.fd, self->x.c.pool), 10000));
		bt_snap(self->x.c.fd, &before);
		arm(self->nth, n);
		ret = bt_alloc(self->x.c.fd, e, 100, NULL);
		hit = fired(self->nth);
		bt_snap(self->x.c.fd, &after);
		/* Sites that were seen stay known. */
		after.client.sites = before.client.sites;
		changed = ret ? bt_snap_diff(&before, &after) : NULL;
		EXPECT_TRUE(excusable(ret));
		EXPECT_EQ(NULL, changed) {
			TH_LOG("fault %d: %d, changed %s", n, ret, changed);
		}
		for (i = 0; i < 100; i++)
			f[i] = (struct bmem_free_entry){ .handle = e[i].handle };
		if (!ret)
			EXPECT_EQ(0, bt_free(self->x.c.fd, f, 100, NULL));
	}
	EXPECT_LT(10, n);
	TH_LOG("%d places to fail", n - 2);
}

/*
 * Slots of many new spans: each needs memory, a part of the span map and of
 * the ledger.  As many as could be had are given; none is kept back.
 */
TEST_F_TIMEOUT(faults, many_slots, 2 * BT_SLOW)
{
	static const __u32 classes[] = { 0, 15, BMEM_CLASSES - 1 };
	__u64 names[300];
	struct bmem_slots s = { .size = sizeof(s), .slots = (uintptr_t)names };
	struct bt_snap before, after;
	const char *changed;
	size_t k;
	bool hit;
	int n, ret;

	for (k = 0; k < ARRAY_SIZE(classes); k++) {
		for (n = 1, hit = true; n < SWEEP_MAX && hit; n++) {
			s.size_class = classes[k];
			s.nr = ARRAY_SIZE(names);
			ASSERT_TRUE(BT_WAIT(settled(self->x.c.fd, self->x.c.pool), 10000));
			bt_snap(self->x.c.fd, &before);
			arm(self->nth, n);
			ret = bt_call(self->x.c.fd, BMEM_SLOTS_GET, &s);
			hit = fired(self->nth);
			EXPECT_TRUE(excusable(ret)) {
				TH_LOG("fault %d: %d", n, ret);
			}
			bt_snap(self->x.c.fd, &after);
			forget_peaks(&before, &after);
			changed = ret ? bt_snap_diff(&before, &after) : NULL;
			EXPECT_EQ(NULL, changed) {
				TH_LOG("fault %d: %d, changed %s", n, ret, changed);
			}
			EXPECT_EQ(before.client.slots + (ret ? 0 : s.nr),
				  after.client.slots);
			s.size_class = 0;
			if (!ret)
				EXPECT_EQ(0, bt_call(self->x.c.fd, BMEM_SLOTS_PUT, &s));
			bt_snap(self->x.c.fd, &after);
			EXPECT_EQ(before.client.slots, after.client.slots);
			EXPECT_EQ(before.client.spans, after.client.spans);
			EXPECT_EQ(before.client.attached_bytes,
				  after.client.attached_bytes);
		}
		EXPECT_LT(4, n);
		TH_LOG("class %u: %d places to fail", classes[k], n - 2);
	}
}

/* One write to what a clone shares, with its @n-th chance of a fault taken. */
static bool write_one(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self,
		      __u64 at, __u64 bytes, int n)
{
	char *p = self->x.c.map + at, *q;
	struct bt_client d;
	const char *bad;
	int ret = bt_client_clone(&self->x.c, &d);
	bool hit;

	EXPECT_EQ(0, ret);
	if (ret)
		return false;
	q = d.map + at;
	EXPECT_EQ(-1, bt_tag_verify(q, bytes, 1));
	arm(self->nth, n);
	*(volatile char *)(q + 100) = 3;
	hit = fired(self->nth);
	EXPECT_EQ(3, q[100]);
	EXPECT_EQ(0, p[100]);
	EXPECT_EQ(-1, bt_tag_verify(p, bytes, 1));
	EXPECT_EQ(-1, bt_tag_verify(q, bytes, 1));
	bad = bt_check(d.fd);
	EXPECT_EQ(NULL, bad) {
		TH_LOG("fault %d: %s", n, bad);
	}
	bt_client_close(&d);
	return hit;
}

/*
 * The copy that a write to what clones share needs: a huge page, and where there
 * is none many others.  Core mm tries again what has failed, and then there is
 * memory.
 */
TEST_F_TIMEOUT(faults, copy_on_write, 2 * BT_SLOW)
{
	__u64 bytes = 3 * BT_MIB;
	struct bmem_alloc_entry e;
	int n, huge;

	ASSERT_EQ(0, bt_alloc1(self->x.c.fd, bytes, &e));
	bt_tag(self->x.c.map + e.offset, bytes, 1);
	for (huge = 1; huge >= 0; huge--) {
		ASSERT_EQ(0, bt_param_set("huge", huge ? "Y" : "N"));
		for (n = 1; n < SWEEP_MAX; n += n > 3 ? 60 : 1)
			if (!write_one(_metadata, self, e.offset, bytes, n))
				break;
		EXPECT_LT(huge ? 1 : 100, n);
		TH_LOG("up to %d places to fail", n - 1);
	}
	EXPECT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_EQ(0, bt_free1(self->x.c.fd, e.handle));
}

/* And a clone of much, with sites, slots and records. */
TEST_F_TIMEOUT(faults, clone_of_much, 2 * BT_SLOW)
{
	struct bmem_alloc_entry e[60];
	struct bmem_clone arg = { .size = sizeof(arg) };
	struct bt_snap before, after;
	__u64 names[200];
	struct bmem_slots s = {
		.size = sizeof(s), .size_class = 7, .nr = ARRAY_SIZE(names),
		.slots = (uintptr_t)names,
	};
	const char *changed;
	bool hit = true;
	int n, i, ret;

	for (i = 0; i < 60; i++)
		e[i] = (struct bmem_alloc_entry){
			.bytes = 40000 + i, .site = 10 + i,
			.flags = i % 2 ? BMEM_ALLOC_RECORD : 0,
		};
	ASSERT_EQ(0, bt_alloc(self->x.c.fd, e, 60, NULL));
	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_SLOTS_GET, &s));
	for (n = 1; n < SWEEP_MAX && hit; n++) {
		ASSERT_TRUE(BT_WAIT(settled(self->x.c.fd, self->x.c.pool), 10000));
		bt_snap(self->x.c.fd, &before);
		arm(self->nth, n);
		ret = bt_call(self->x.c.fd, BMEM_CLONE, &arg);
		hit = fired(self->nth);
		if (!ret)
			close(arg.fd);
		bt_snap(self->x.c.fd, &after);
		EXPECT_TRUE(excusable(ret)) {
			TH_LOG("fault %d: %d", n, ret);
		}
		changed = bt_snap_diff(&before, &after);
		EXPECT_EQ(NULL, changed) {
			TH_LOG("fault %d: %d, changed %s", n, ret, changed);
		}
	}
	EXPECT_LT(60, n);
	TH_LOG("%d places to fail", n - 2);
}

TEST_F_TIMEOUT(faults, open_device, BT_SLOW)
{
	bool hit = true;
	int n, fd;

	for (n = 1; n < SWEEP_MAX && hit; n++) {
		arm(self->nth, n);
		fd = bt_open();
		hit = fired(self->nth);
		EXPECT_TRUE(fd >= 0 || fd == -ENOMEM) {
			TH_LOG("fault %d: %d", n, fd);
		}
		if (fd >= 0)
			close(fd);
		EXPECT_EQ(self->clients, bt_debugfs_value("stats", "clients"));
	}
	EXPECT_LT(2, n);
	TH_LOG("%d places to fail", n - 2);
}

/* Mapping, and touching what is mapped. */
TEST_F_TIMEOUT(faults, map_and_touch, BT_SLOW)
{
	char *p, copy[100];
	bool hit = true;
	int n;

	for (n = 1; n < SWEEP_MAX && hit; n++) {
		arm(self->nth, n);
		p = bt_map(self->x.c.fd, 0, 4 * BT_MIB);
		hit = fired(self->nth);
		if (!p) {
			EXPECT_EQ(ENOMEM, errno);
			continue;
		}
		arm(self->nth, n);
		memcpy(copy, p + self->x.live[0].offset, sizeof(copy));
		fired(self->nth);
		munmap(p, 4 * BT_MIB);
	}
	EXPECT_LE(2, n);
}

/* Pools and clients that come and go, with failures in between. */
TEST_F_TIMEOUT(faults, pool_with_reservation, BT_SLOW)
{
	__u64 pools = bt_debugfs_value("stats", "pools");
	bool hit = true;
	int n, pool;

	for (n = 1; n < SWEEP_MAX && hit; n++) {
		arm(self->nth, n);
		pool = bt_pool_create(self->admin, "fp", 8 * BT_HUGE, 4 * BT_HUGE);
		hit = fired(self->nth);
		EXPECT_TRUE(pool >= 0 || excusable(pool));
		if (pool >= 0) {
			EXPECT_EQ(NULL, bt_check_parts(self->admin, pool));
			EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
		}
		EXPECT_EQ(pools, bt_debugfs_value("stats", "pools"));
	}
	EXPECT_LT(2, n);
}

TEST_HARNESS_MAIN
