// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI's promises: every call succeeds when it should, and every wrong
 * field, size, pointer, handle and user gets the errno that
 * <linux/bmem.h> names and changes nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#define POOL_LIMIT	(64 * BT_MIB)
#define POOL_RESERVE	(8 * BT_MIB)
#define NO_POOL		9999
#define NO_CLIENT	0x7fffffffffffffffULL

/* ---- one field wrong ------------------------------------------------------ */

enum where { IN_ARG, IN_ALLOC_ENTRY, IN_FREE_ENTRY, IN_LINK_ENTRY };

/**
 * struct wrong - one field of a good argument replaced
 * @call: which call
 * @where: in which struct the field is
 * @flags: set in the argument's flags besides
 * @err: what the call must answer
 */
struct wrong {
	int call;
	enum where where;
	size_t offset;
	size_t width;
	__u64 value;
	__u32 flags;
	int err;
	const char *what;
};

#define FIELD(type, field) \
	offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define W(call, type, field, value, err) \
	{ call, IN_ARG, FIELD(type, field), value, 0, err, #field " = " #value }
#define WF(call, flags, type, field, value, err) \
	{ call, IN_ARG, FIELD(type, field), value, flags, err, \
	  #field " = " #value " with " #flags }
#define WE(call, where, type, field, value, err) \
	{ call, where, FIELD(type, field), value, 0, err, "entry's " #field " = " #value }
#define WA(field, value, err) \
	WE(ALLOC, IN_ALLOC_ENTRY, bmem_alloc_entry, field, value, err)

static const struct wrong wrongs[] = {
	W(CLONE, bmem_clone, __reserved, 1, EOPNOTSUPP),
	W(BIND, bmem_bind, flags, 1 << 6, EOPNOTSUPP),
	WF(BIND, BMEM_BIND_LEVEL, bmem_bind, level, BMEM_LEVEL_FULL + 1, EINVAL),
	WF(BIND, BMEM_BIND_POLICY, bmem_bind, policy, BMEM_PLACE_BUDDY + 1, EINVAL),
	W(SLOTS_GET, bmem_slots, size_class, BMEM_CLASSES, EINVAL),
	W(SLOTS_GET, bmem_slots, size_class, 0xffffffff, EINVAL),
	W(SLOTS_GET, bmem_slots, nr, 0, EINVAL),
	W(SLOTS_GET, bmem_slots, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(SLOTS_GET, bmem_slots, slots, 0, EFAULT),
	W(SLOTS_GET, bmem_slots, timeout_ms, 1, EINVAL),
	WF(SLOTS_GET, BMEM_CALL_WAIT, bmem_slots, timeout_ms,
	   BMEM_WAIT_MAX_MS + 1, EINVAL),
	W(SLOTS_GET, bmem_slots, __reserved, 1, EOPNOTSUPP),
	W(SLOTS_PUT, bmem_slots, size_class, 1, EINVAL),
	W(SLOTS_PUT, bmem_slots, timeout_ms, 1, EINVAL),
	W(SLOTS_PUT, bmem_slots, __reserved, 1, EOPNOTSUPP),
	W(SLOTS_PUT, bmem_slots, nr, 0, EINVAL),
	W(SLOTS_PUT, bmem_slots, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(SLOTS_PUT, bmem_slots, slots, 0, EFAULT),
	W(BIND, bmem_bind, flags, 0, EINVAL),
	W(BIND, bmem_bind, __reserved, 1, EOPNOTSUPP),
	W(BIND, bmem_bind, __reserved, 0x80000000, EOPNOTSUPP),

	W(SITE, bmem_site, site, 0, EINVAL),
	W(SITE, bmem_site, __reserved, 1, EOPNOTSUPP),

	W(ALLOC, bmem_alloc, nr, 0, EINVAL),
	W(ALLOC, bmem_alloc, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(ALLOC, bmem_alloc, nr, 0xffffffff, EINVAL),
	W(ALLOC, bmem_alloc, timeout_ms, 1, EINVAL),
	WF(ALLOC, BMEM_CALL_WAIT, bmem_alloc, timeout_ms,
	   BMEM_WAIT_MAX_MS + 1, EINVAL),
	WF(ALLOC, BMEM_CALL_WAIT, bmem_alloc, timeout_ms, 0xffffffff, EINVAL),
	W(ALLOC, bmem_alloc, __reserved, 1, EOPNOTSUPP),
	W(ALLOC, bmem_alloc, entries, 0, EFAULT),
	W(ALLOC, bmem_alloc, entries, 0x800000000000, EFAULT),
	W(ALLOC, bmem_alloc, entries, ~0ULL, EFAULT),
	WA(bytes, 0, EINVAL),
	WA(bytes, POOL_LIMIT + 1, EFBIG),
	WA(bytes, 1ULL << 62, EFBIG),
	WA(bytes, POOL_LIMIT - 4 * BT_PAGE, ENOSPC),
	WA(align, 1, EINVAL),
	WA(align, 32, EINVAL),
	WA(align, 63, EINVAL),
	WA(align, 65, EINVAL),
	WA(align, 96, EINVAL),
	WA(align, 2 * BMEM_ALIGN_MAX, EINVAL),
	WA(align, 0x80000000, EINVAL),
	WA(align, 0xffffffff, EINVAL),
	WA(flags, 1U << 2, EOPNOTSUPP),
	WA(flags, 1U << 31, EOPNOTSUPP),
	WA(__reserved, 1, EOPNOTSUPP),
	WA(__reserved, 0x80000000, EOPNOTSUPP),

	W(FREE, bmem_free, nr, 0, EINVAL),
	W(FREE, bmem_free, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(FREE, bmem_free, nr, 0xffffffff, EINVAL),
	W(FREE, bmem_free, entries, 0, EFAULT),
	W(FREE, bmem_free, entries, ~0ULL, EFAULT),
	WE(FREE, IN_FREE_ENTRY, bmem_free_entry, __reserved, 1, EOPNOTSUPP),

	W(INFO, bmem_tensor_info, handle, 0, ENOENT),
	W(INFO, bmem_tensor_info, handle, ~0ULL, ENOENT),
	W(INFO, bmem_tensor_info, offset, 4096, EINVAL),
	WF(INFO, BMEM_INFO_OFFSET, bmem_tensor_info, offset, 4096, EINVAL),
	WF(INFO, BMEM_INFO_OFFSET, bmem_tensor_info, handle, 1, EINVAL),

	W(LIST, bmem_tensor_list, client_id, NO_CLIENT, ENOENT),
	W(LIST, bmem_tensor_list, site, 1, EINVAL),
	W(LIST, bmem_tensor_list, nr, 0, EINVAL),
	W(LIST, bmem_tensor_list, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(LIST, bmem_tensor_list, entries, 0, EFAULT),
	W(LIST, bmem_tensor_list, entries, ~0ULL, EFAULT),

	W(STATS, bmem_client_stats, client_id, NO_CLIENT, ENOENT),

	W(CREATE, bmem_pool_create, limit_bytes, 0, EINVAL),
	W(CREATE, bmem_pool_create, limit_bytes, BT_HUGE - 1, EINVAL),
	W(CREATE, bmem_pool_create, limit_bytes, BT_HUGE + 4096, EINVAL),
	W(CREATE, bmem_pool_create, limit_bytes, ~0ULL, EINVAL),
	W(CREATE, bmem_pool_create, reserve_bytes, 4096, EINVAL),
	W(CREATE, bmem_pool_create, reserve_bytes, 5 * BT_HUGE, EINVAL),
	W(CREATE, bmem_pool_create, policy, 3, EINVAL),
	W(CREATE, bmem_pool_create, policy, 0xffffffff, EINVAL),
	W(CREATE, bmem_pool_create, nid, 1, EINVAL),
	W(CREATE, bmem_pool_create, name, 0, EINVAL),
	W(CREATE, bmem_pool_create, name, ' ', EINVAL),
	W(CREATE, bmem_pool_create, name, '/', EINVAL),
	W(CREATE, bmem_pool_create, name, '\n', EINVAL),
	W(CREATE, bmem_pool_create, name, 0xe9, EINVAL),

	W(DESTROY, bmem_pool_destroy, pool, NO_POOL, ENOENT),
	W(DESTROY, bmem_pool_destroy, pool, 0xffffffff, ENOENT),
	W(DESTROY, bmem_pool_destroy, pool, BMEM_POOL_DEFAULT, EBUSY),
	W(DESTROY, bmem_pool_destroy, __reserved, 1, EOPNOTSUPP),

	W(RESIZE, bmem_pool_resize, flags, 0, EINVAL),
	W(RESIZE, bmem_pool_resize, pool, NO_POOL, ENOENT),
	W(RESIZE, bmem_pool_resize, __reserved, 1, EOPNOTSUPP),
	W(RESIZE, bmem_pool_resize, limit_bytes, 0, EINVAL),
	W(RESIZE, bmem_pool_resize, limit_bytes, POOL_LIMIT + 1, EINVAL),
	W(RESIZE, bmem_pool_resize, limit_bytes, POOL_RESERVE - BT_HUGE, EINVAL),
	W(RESIZE, bmem_pool_resize, reserve_bytes, POOL_LIMIT + BT_HUGE, EINVAL),
	W(RESIZE, bmem_pool_resize, reserve_bytes, 4096, EINVAL),

	W(POOLS, bmem_pool_list, nr, 0, EMSGSIZE),
	W(POOLS, bmem_pool_list, nr, BMEM_POOLS_MAX + 1, EINVAL),
	W(POOLS, bmem_pool_list, __reserved, 1, EOPNOTSUPP),
	W(POOLS, bmem_pool_list, ids, 0, EFAULT),
	W(POOLS, bmem_pool_list, ids, ~0ULL, EFAULT),

	WF(TRIM, BMEM_TRIM_QUEUED, bmem_trim, keep_bytes, 1, EINVAL),
	WF(TRIM, BMEM_TRIM_QUEUED, bmem_trim, keep_bytes, ~0ULL, EINVAL),
	W(PRESSURE, bmem_pressure, pool, NO_POOL, ENOENT),
	W(PRESSURE, bmem_pressure, nid, 1, EINVAL),
	WF(PRESSURE, BMEM_STATS_NODE, bmem_pressure, nid, 4096, EINVAL),
	WF(PRESSURE, BMEM_STATS_NODE, bmem_pressure, nid, 0xffffffff, EINVAL),
	W(POOL_STATS, bmem_pool_stats, pool, NO_POOL, ENOENT),
	W(POOL_STATS, bmem_pool_stats, nid, 1, EINVAL),
	WF(POOL_STATS, BMEM_STATS_NODE, bmem_pool_stats, nid, 4096, EINVAL),
	WF(POOL_STATS, BMEM_STATS_NODE, bmem_pool_stats, nid, 0xffffffff, EINVAL),

	W(SITE, bmem_site, __reserved2, 1, EOPNOTSUPP),
	W(SITE, bmem_site, nr_frames, BMEM_FRAMES_MAX + 1, EINVAL),
	W(SITE, bmem_site, nr_frames, 0xffffffff, EINVAL),
	W(SITE, bmem_site, frames, 0, EFAULT),
	W(SITE, bmem_site, frames, ~0ULL, EFAULT),

	W(MODULE, bmem_module, module, 0, EINVAL),
	W(MODULE, bmem_module, module, BMEM_MODULES_MAX + 1, EINVAL),
	W(MODULE, bmem_module, module, 0xffffffff, EINVAL),
	W(MODULE, bmem_module, build_id_len, 19, EINVAL),
	W(MODULE, bmem_module, build_id_len, BMEM_BUILD_ID_MAX + 1, EINVAL),
	W(MODULE, bmem_module, build_id_len, 0xffffffff, EINVAL),

	W(MODULE_INFO, bmem_module_info, module, 0, ENOENT),
	W(MODULE_INFO, bmem_module_info, module, 2, ENOENT),
	W(MODULE_INFO, bmem_module_info, module, 0xffffffff, ENOENT),
	W(MODULE_INFO, bmem_module_info, client_id, ~0ULL, ENOENT),

	W(SITE_LIST, bmem_site_list, client_id, ~0ULL, ENOENT),
	W(SITE_LIST, bmem_site_list, row_size, 0, EINVAL),
	W(SITE_LIST, bmem_site_list, row_size,
	  sizeof(struct bmem_site_row) - 1, EINVAL),
	W(SITE_LIST, bmem_site_list, row_size, BMEM_PAGE_SIZE + 1, EINVAL),
	W(SITE_LIST, bmem_site_list, nr, 0, EINVAL),
	W(SITE_LIST, bmem_site_list, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(SITE_LIST, bmem_site_list, rows, 0, EFAULT),
	W(SITE_LIST, bmem_site_list, rows, ~0ULL, EFAULT),

	W(SITE_FRAMES, bmem_site_frames, client_id, ~0ULL, ENOENT),
	W(SITE_FRAMES, bmem_site_frames, site, 0, ENOENT),
	W(SITE_FRAMES, bmem_site_frames, site, 2, ENOENT),
	W(SITE_FRAMES, bmem_site_frames, nr, BMEM_FRAMES_MAX + 1, EINVAL),
	W(SITE_FRAMES, bmem_site_frames, nr, FRAMES - 1, EMSGSIZE),
	W(SITE_FRAMES, bmem_site_frames, frames, 0, EFAULT),
	W(SITE_FRAMES, bmem_site_frames, frames, ~0ULL, EFAULT),

	W(CLIENT_LIST, bmem_client_list, row_size, 0, EINVAL),
	W(CLIENT_LIST, bmem_client_list, row_size,
	  sizeof(struct bmem_client_row) - 1, EINVAL),
	W(CLIENT_LIST, bmem_client_list, row_size, BMEM_PAGE_SIZE + 1, EINVAL),
	W(CLIENT_LIST, bmem_client_list, nr, 0, EINVAL),
	W(CLIENT_LIST, bmem_client_list, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(CLIENT_LIST, bmem_client_list, nr, 0xffffffff, EINVAL),
	W(CLIENT_LIST, bmem_client_list, rows, 0, EFAULT),
	W(CLIENT_LIST, bmem_client_list, rows, ~0ULL, EFAULT),

	W(TOMBSTONE_LIST, bmem_tombstone_list, row_size, 0, EINVAL),
	W(TOMBSTONE_LIST, bmem_tombstone_list, row_size,
	  sizeof(struct bmem_tombstone_row) - 1, EINVAL),
	W(TOMBSTONE_LIST, bmem_tombstone_list, row_size, BMEM_PAGE_SIZE + 1,
	  EINVAL),
	W(TOMBSTONE_LIST, bmem_tombstone_list, nr, 0, EINVAL),
	W(TOMBSTONE_LIST, bmem_tombstone_list, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(TOMBSTONE_LIST, bmem_tombstone_list, rows, 0, EFAULT),
	W(TOMBSTONE_LIST, bmem_tombstone_list, rows, ~0ULL, EFAULT),

	W(TOMBSTONE_SITES, bmem_tombstone_sites, serial, 0, ENOENT),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, serial, ~0ULL, ENOENT),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, row_size, 0, EINVAL),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, row_size,
	  sizeof(struct bmem_tombstone_site) - 1, EINVAL),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, row_size, BMEM_PAGE_SIZE + 1,
	  EINVAL),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, nr, 0, EMSGSIZE),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, nr, 1, EMSGSIZE),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, nr,
	  BMEM_TOMBSTONE_SITES_MAX + 1, EINVAL),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, rows, 0, EFAULT),
	W(TOMBSTONE_SITES, bmem_tombstone_sites, rows, ~0ULL, EFAULT),

	W(TOMBSTONE_MODULE, bmem_tombstone_module, serial, 0, ENOENT),
	W(TOMBSTONE_MODULE, bmem_tombstone_module, serial, ~0ULL, ENOENT),
	W(TOMBSTONE_MODULE, bmem_tombstone_module, module, 0, ENOENT),
	W(TOMBSTONE_MODULE, bmem_tombstone_module, module, 2, ENOENT),
	W(TOMBSTONE_MODULE, bmem_tombstone_module, module, 0xffffffff, ENOENT),

	W(LINK, bmem_link, nr, 0, EINVAL),
	W(LINK, bmem_link, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(LINK, bmem_link, nr, 0xffffffff, EINVAL),
	W(LINK, bmem_link, entries, 0, EFAULT),
	W(LINK, bmem_link, entries, ~0ULL, EFAULT),
	WE(LINK, IN_LINK_ENTRY, bmem_link_entry, __reserved, 1, EOPNOTSUPP),
	W(UNLINK, bmem_link, nr, 0, EINVAL),
	W(UNLINK, bmem_link, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(UNLINK, bmem_link, nr, 0xffffffff, EINVAL),
	W(UNLINK, bmem_link, entries, 0, EFAULT),
	W(UNLINK, bmem_link, entries, ~0ULL, EFAULT),
	WE(UNLINK, IN_LINK_ENTRY, bmem_link_entry, __reserved, 1, EOPNOTSUPP),

	W(LEAK_SCAN, bmem_leak_scan, client_id, ~0ULL, ENOENT),
	W(LEAK_SCAN, bmem_leak_scan, kinds, 1, EINVAL),
	W(LEAK_SCAN, bmem_leak_scan, kinds, 1U << (BMEM_LEAK_GROWTH + 1), EINVAL),
	W(LEAK_SCAN, bmem_leak_scan, delay_ms, BMEM_LEAK_DELAY_MAX + 1, EINVAL),
	W(LEAK_SCAN, bmem_leak_scan, min_age_ms, 1, EINVAL),
	W(LEAK_SCAN, bmem_leak_scan, __reserved, 1, EOPNOTSUPP),

	W(LEAK_LIST, bmem_leak_list, client_id, ~0ULL, ENOENT),
	WF(LEAK_LIST, BMEM_LEAK_LIST_ALL, bmem_leak_list, client_id, 1, EINVAL),
	W(LEAK_LIST, bmem_leak_list, kinds, 1, EINVAL),
	W(LEAK_LIST, bmem_leak_list, kinds, 0x80000000, EINVAL),
	W(LEAK_LIST, bmem_leak_list, __reserved, 1, EOPNOTSUPP),
	W(LEAK_LIST, bmem_leak_list, __reserved2, 1, EOPNOTSUPP),
	W(LEAK_LIST, bmem_leak_list, row_size, 0, EINVAL),
	W(LEAK_LIST, bmem_leak_list, row_size,
	  offsetof(struct bmem_leak_row, hole_bytes) - 1, EINVAL),
	W(LEAK_LIST, bmem_leak_list, row_size, BMEM_PAGE_SIZE + 1, EINVAL),
	W(LEAK_LIST, bmem_leak_list, nr, 0, EINVAL),
	W(LEAK_LIST, bmem_leak_list, nr, BMEM_BATCH_MAX + 1, EINVAL),

	W(EVENTS, bmem_events, mask, 1, EOPNOTSUPP),
	W(EVENTS, bmem_events, mask, BMEM_EVENT_BIT(BMEM_EVENT_TYPES), EOPNOTSUPP),
	W(EVENTS, bmem_events, mask, 1ULL << 63, EOPNOTSUPP),
	W(EVENTS, bmem_events, mask, ~0ULL, EOPNOTSUPP),
	W(EVENTS, bmem_events, flags, 0, EINVAL),

	W(GROWTH_LIST, bmem_growth_list, client_id, ~0ULL, ENOENT),
	W(GROWTH_LIST, bmem_growth_list, row_size, 0, EINVAL),
	W(GROWTH_LIST, bmem_growth_list, row_size,
	  sizeof(struct bmem_growth_row) - 1, EINVAL),
	W(GROWTH_LIST, bmem_growth_list, row_size, BMEM_PAGE_SIZE + 1, EINVAL),
	W(GROWTH_LIST, bmem_growth_list, nr, 0, EINVAL),
	W(GROWTH_LIST, bmem_growth_list, nr, BMEM_BATCH_MAX + 1, EINVAL),
	W(GROWTH_LIST, bmem_growth_list, rows, 0, EFAULT),
	W(GROWTH_LIST, bmem_growth_list, rows, ~0ULL, EFAULT),

	W(LEAK_SKIP, bmem_leak_skip, addr, 4, EINVAL),
	W(LEAK_SKIP, bmem_leak_skip, addr, ~0ULL - 7, EINVAL),
	W(LEAK_SKIP, bmem_leak_skip, bytes, 0, EINVAL),
	W(LEAK_SKIP, bmem_leak_skip, bytes, 4, EINVAL),
	W(LEAK_SKIP, bmem_leak_skip, bytes, ~0ULL - 7, EINVAL),
};

/* ---- the fixture ---------------------------------------------------------- */

FIXTURE(abi) {
	struct ctx x;
	int admin;
};

FIXTURE_SETUP(abi)
{
	int pool;

	ASSERT_EQ(0, geteuid());
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	pool = bt_pool_create(self->admin, "abi", POOL_LIMIT, POOL_RESERVE);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, ctx_open(&self->x, pool));
}

FIXTURE_TEARDOWN(abi)
{
	EXPECT_EQ(NULL, bt_check(self->x.c.fd)) {
		TH_LOG("%s", bt_check(self->x.c.fd));
	}
	bt_client_close(&self->x.c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->x.c.pool));
	close(self->admin);
}

/* What a call that has to fail answered, and what it changed all the same. */
struct outcome {
	int ret;
	const char *changed;
};

/* Makes call @i with @arg, which stands for @a, and compares all counters. */
static struct outcome attempt(struct ctx *x, int i, union any *a, void *arg)
{
	struct bt_snap before, after;
	struct outcome out;

	bt_snap(x->c.fd, &before);
	out.ret = bt_call(x->c.fd, calls[i].cmd, arg);
	bt_snap(x->c.fd, &after);
	out.changed = bt_snap_diff(&before, &after);
	calls[i].undo(x, a, !out.ret);
	return out;
}

#define EXPECT_FAILS(err, got, what) do {				\
	struct outcome o_ = (got);					\
	EXPECT_EQ(-(err), o_.ret) {					\
		TH_LOG("%s: %s", calls[i].name, what);			\
	}								\
	EXPECT_EQ(NULL, o_.changed) {					\
		TH_LOG("%s: %s: changed %s", calls[i].name, what,	\
		       o_.changed);					\
	}								\
} while (0)

/* ---- sizes ---------------------------------------------------------------- */

TEST_F_TIMEOUT(abi, every_call_succeeds, BT_SLOW)
{
	union any a;
	int i, ret;

	for (i = 0; i < CALLS; i++) {
		make_good(&self->x, i, &a);
		ret = bt_call(self->x.c.fd, calls[i].cmd, &a);
		EXPECT_EQ(0, ret) {
			TH_LOG("%s", calls[i].name);
		}
		calls[i].undo(&self->x, &a, !ret);
	}
}

TEST_F_TIMEOUT(abi, unknown_number, BT_SLOW)
{
	unsigned char page[4096] = { 0 };
	unsigned int nr, i;

	for (nr = 0; nr < 256; nr++) {
		for (i = 0; i < CALLS && _IOC_NR(calls[i].cmd) != nr; i++)
			;
		if (i < CALLS)
			continue;
		EXPECT_EQ(-ENOTTY, bt_call(self->x.c.fd, _IO(BMEM_IOC_TYPE, nr), page)) {
			TH_LOG("number %#x", nr);
		}
	}
	EXPECT_EQ(-ENOTTY, bt_call(self->x.c.fd, _IO(0xBD, 0x40), page));
	EXPECT_EQ(-ENOTTY, bt_call(self->x.c.fd,
				   _IO(BMEM_IOC_TYPE, 0xff), NULL));
}

TEST_F_TIMEOUT(abi, short_struct, BT_SLOW)
{
	union any a;
	size_t size;
	int i;

	for (i = 0; i < CALLS; i++) {
		for (size = 0; size < calls[i].min; size++) {
			make_good(&self->x, i, &a);
			a.size = size;
			EXPECT_FAILS(EINVAL, attempt(&self->x, i, &a, &a),
				     "short struct");
		}
	}
}

TEST_F_TIMEOUT(abi, long_clean_struct, BT_SLOW)
{
	union any a;
	size_t m;
	int i, ret;

	for (i = 0; i < CALLS; i++) {
		const size_t sizes[] = {
			calls[i].size + 1, calls[i].size + 8,
			calls[i].size + 1000, BT_PAGE,
		};

		for (m = 0; m < ARRAY_SIZE(sizes); m++) {
			make_good(&self->x, i, &a);
			a.size = sizes[m];
			ret = bt_call(self->x.c.fd, calls[i].cmd, &a);
			EXPECT_EQ(0, ret) {
				TH_LOG("%s of %zu bytes", calls[i].name, sizes[m]);
			}
			EXPECT_EQ(-1, bt_not_byte(a.bytes + calls[i].size,
						  sizeof(a) - calls[i].size, 0)) {
				TH_LOG("%s wrote beyond its struct", calls[i].name);
			}
			calls[i].undo(&self->x, &a, !ret);
		}
		/* No struct is longer than a page, whatever is in it. */
		make_good(&self->x, i, &a);
		a.size = BT_PAGE + 1;
		EXPECT_FAILS(E2BIG, attempt(&self->x, i, &a, &a), "beyond a page");
	}
}

TEST_F_TIMEOUT(abi, long_dirty_struct, BT_SLOW)
{
	static const size_t more[] = { 1, 8, 64, 2000 };
	union any a;
	size_t m;
	int i;

	for (i = 0; i < CALLS; i++) {
		for (m = 0; m < ARRAY_SIZE(more); m++) {
			make_good(&self->x, i, &a);
			a.size = calls[i].size + more[m];
			a.bytes[a.size - 1] = 1;
			EXPECT_FAILS(E2BIG, attempt(&self->x, i, &a, &a),
				     "dirty tail");
		}
	}
}

/* A size of 4 GiB must neither be believed nor take long. */
TEST_F_TIMEOUT(abi, absurd_size, BT_SLOW)
{
	union any a;
	int i;

	for (i = 0; i < CALLS; i++) {
		make_good(&self->x, i, &a);
		a.size = 0xffffffff;
		EXPECT_FAILS(E2BIG, attempt(&self->x, i, &a, &a), "4 GiB");
	}
}

/* ---- fields --------------------------------------------------------------- */

TEST_F_TIMEOUT(abi, unknown_flags, BT_SLOW)
{
	union any a;
	int i, bit;

	for (i = 0; i < CALLS; i++) {
		for (bit = 0; bit < 32; bit++) {
			if (calls[i].known & (1U << bit))
				continue;
			make_good(&self->x, i, &a);
			a.flags |= 1U << bit;
			EXPECT_FAILS(EOPNOTSUPP, attempt(&self->x, i, &a, &a),
				     "unknown flag");
		}
	}
}

static void set_field(struct ctx *x, const struct wrong *w, union any *a)
{
	unsigned char *base = a->bytes;
	__u64 value = w->value;

	if (w->where == IN_ALLOC_ENTRY)
		base = (unsigned char *)&x->entry[a->alloc.nr - 1];
	else if (w->where == IN_FREE_ENTRY)
		base = (unsigned char *)&x->gone[0];
	else if (w->where == IN_LINK_ENTRY)
		base = (unsigned char *)&x->links[0];
	/* Of a string only the first character. */
	memcpy(base + w->offset, &value, w->width > 8 ? 1 : w->width);
	a->flags |= w->flags;
}

TEST_F_TIMEOUT(abi, one_field_wrong, BT_SLOW)
{
	union any a;
	size_t n;

	for (n = 0; n < ARRAY_SIZE(wrongs); n++) {
		int i = wrongs[n].call;

		make_good(&self->x, i, &a);
		set_field(&self->x, &wrongs[n], &a);
		EXPECT_FAILS(wrongs[n].err, attempt(&self->x, i, &a, &a),
			     wrongs[n].what);
	}
}

/* Out fields are not read: whatever is in them, the call succeeds. */
TEST_F_TIMEOUT(abi, garbage_in_out_fields, BT_SLOW)
{
	struct bmem_alloc_entry e = {
		.bytes = 100, .handle = ~0ULL, .offset = ~0ULL, .granted = 7,
	};
	struct bmem_alloc al = {
		.size = sizeof(al), .nr = 1, .failed = 77,
		.entries = (uintptr_t)&e,
	};
	struct bmem_free_entry f = { .result = 12345 };
	struct bmem_free fr = {
		.size = sizeof(fr), .nr = 1, .freed = 99, .entries = (uintptr_t)&f,
	};

	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_ALLOC, &al));
	EXPECT_EQ(4096, e.granted);
	EXPECT_LT(e.offset, self->x.c.space);
	f.handle = e.handle;
	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_FREE, &fr));
	EXPECT_EQ(0, f.result);
	EXPECT_EQ(1, fr.freed);
}

/* Figures that are there with a flag only are 0 without, whatever was in them. */
TEST_F_TIMEOUT(abi, figures_without_their_flag, BT_SLOW)
{
	struct bmem_client_stats st;

	memset(&st, 0xa5, sizeof(st));
	st.size = sizeof(st);
	st.flags = 0;
	st.client_id = 0;
	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_CLIENT_STATS, &st));
	EXPECT_EQ(self->x.c.id, st.client_id);
	EXPECT_EQ(0, st.idle_bytes);
	EXPECT_EQ(0, st.ledger_bad);
}

/* What a client's label is, out of debugfs; "" when it has none. */
static void label_of(int fd, char *label, size_t size)
{
	struct bmem_query q;
	char id[24];

	bt_query(fd, &q);
	snprintf(id, sizeof(id), "%llu", q.client_id);
	bt_table_text("clients", "id", id, "label", label, size);
}

TEST_F_TIMEOUT(abi, labels, BT_SLOW)
{
	struct bmem_bind b = { .size = sizeof(b), .flags = BMEM_BIND_LABEL };
	struct bmem_site s = { .size = sizeof(s), .site = 1 };
	char full[BMEM_LABEL_LEN], seen[128];
	int fd = self->x.c.fd, ch;

	memset(full, 'x', sizeof(full));
	memcpy(b.label, full, sizeof(full));
	memcpy(s.label, full, sizeof(full));
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_BIND, &b));
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_SITE, &s));
	b.label[BMEM_LABEL_LEN - 1] = s.label[BMEM_LABEL_LEN - 1] = 0;
	EXPECT_EQ(0, bt_call(fd, BMEM_BIND, &b));
	EXPECT_EQ(0, bt_call(fd, BMEM_SITE, &s));
	label_of(fd, seen, sizeof(seen));
	EXPECT_STREQ(b.label, seen);
	for (ch = 1; ch < 32; ch++) {
		b.label[5] = s.label[5] = ch;
		EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_BIND, &b));
		EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_SITE, &s));
	}
	b.label[5] = s.label[5] = 0x7f;
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_BIND, &b));
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_SITE, &s));
	/* An empty label is a label. */
	EXPECT_EQ(0, bt_bind_label(fd, ""));
	EXPECT_EQ(0, bt_site(fd, 1, ""));
}

/* One bad part of a BIND leaves its good parts undone. */
TEST_F_TIMEOUT(abi, bind_all_or_nothing, BT_SLOW)
{
	struct bmem_bind b = {
		.size = sizeof(b), .pool = NO_POOL, .cache_bytes = 10 * BT_HUGE,
		.flags = BMEM_BIND_POOL | BMEM_BIND_LABEL | BMEM_BIND_CACHE,
		.label = "not to be",
	};
	struct bmem_client_stats before, after;
	char seen[128];
	int fd = bt_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bt_bind_label(fd, "first"));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &before));
	EXPECT_EQ(-ENOENT, bt_call(fd, BMEM_BIND, &b));
	b.pool = 0xffffffff;
	EXPECT_EQ(-ENOENT, bt_call(fd, BMEM_BIND, &b));
	b.pool = self->x.c.pool;
	b.label[3] = '\n';
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_BIND, &b));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	label_of(fd, seen, sizeof(seen));
	EXPECT_STREQ("first", seen);
	close(fd);
	/* A pool cannot be changed under live tensors. */
	EXPECT_EQ(-EBUSY, bt_bind_pool(self->x.c.fd, BMEM_POOL_DEFAULT));
	/* But it can be named again. */
	b = (struct bmem_bind){ .size = sizeof(b), .flags = BMEM_BIND_CACHE,
				.cache_bytes = 3 * BT_HUGE + 4096 };
	EXPECT_EQ(0, bt_call(self->x.c.fd, BMEM_BIND, &b));
	ASSERT_EQ(0, bt_client_stats(self->x.c.fd, 0, &after));
	EXPECT_EQ(3 * BT_HUGE, after.cache_limit_bytes);
}

TEST_F_TIMEOUT(abi, pool_names, BT_SLOW)
{
	struct bmem_pool_create c = {
		.size = sizeof(c), .limit_bytes = BT_HUGE, .gid = BMEM_GID_ANY,
	};
	struct bmem_pool_stats st;
	int fd = self->admin;

	memset(c.name, 'n', sizeof(c.name));
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_POOL_CREATE, &c));
	c.name[sizeof(c.name) - 1] = 0;
	ASSERT_EQ(0, bt_call(fd, BMEM_POOL_CREATE, &c));
	EXPECT_EQ(-EEXIST, bt_call(fd, BMEM_POOL_CREATE, &c));
	ASSERT_EQ(0, bt_pool_stats(fd, c.pool, &st));
	EXPECT_STREQ(c.name, st.name);
	EXPECT_EQ(0, bt_pool_destroy(fd, c.pool));
	EXPECT_EQ(-ENOENT, bt_pool_destroy(fd, c.pool));
	EXPECT_EQ(-ENOENT, bt_pool_stats(fd, c.pool, &st));
}

TEST_F_TIMEOUT(abi, sites_are_bounded, BT_SLOW)
{
	struct bmem_alloc_entry e = { .bytes = 64, .site = 0x80000000 };
	struct bmem_client_stats st;
	int fd = self->x.c.fd;
	unsigned int n;

	for (n = 1; n <= BMEM_SITES_MAX; n++)
		if (bt_site(fd, n, "s"))
			break;
	EXPECT_EQ(BMEM_SITES_MAX + 1, n);
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(BMEM_SITES_MAX, st.sites);
	EXPECT_EQ(-ENOSPC, bt_site(fd, n, "one more"));
	/* Tensors of sites that found no room are had all the same. */
	EXPECT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	/* Known ones can still be renamed and used. */
	EXPECT_EQ(0, bt_site(fd, 7, "renamed"));
	e.site = 7;
	EXPECT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(BMEM_SITES_MAX, st.sites);
}

/* ---- pointers ------------------------------------------------------------- */

/* The end of a page that is followed by nothing. */
static unsigned char *edge(void)
{
	unsigned char *p = mmap(NULL, 2 * BT_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p + BT_PAGE, BT_PAGE);
	return p + BT_PAGE;
}

TEST_F_TIMEOUT(abi, bad_struct_pointer, BT_SLOW)
{
	unsigned char *end = edge(), *p;
	union any a;
	size_t in;
	int i;

	for (i = 0; i < CALLS; i++) {
		make_good(&self->x, i, &a);
		EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, NULL), "NULL");
		make_good(&self->x, i, &a);
		EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, end), "unmapped");
		make_good(&self->x, i, &a);
		EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, (void *)-4096UL),
			     "kernel's half");
		for (in = 1; in < calls[i].size; in += 7) {
			make_good(&self->x, i, &a);
			p = end - in;
			memcpy(p, &a, in);
			EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, p),
				     "only partly mapped");
		}
		/* The tail of a longer struct is read as well. */
		make_good(&self->x, i, &a);
		a.size = calls[i].size + 8;
		p = end - calls[i].size;
		memcpy(p, &a, calls[i].size);
		EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, p),
			     "tail not mapped");
	}
}

TEST_F_TIMEOUT(abi, struct_in_read_only_memory, BT_SLOW)
{
	unsigned char *p = edge() - BT_PAGE;
	struct outcome out;
	union any a;
	int i;

	for (i = 0; i < CALLS; i++) {
		make_good(&self->x, i, &a);
		mprotect(p, BT_PAGE, PROT_READ | PROT_WRITE);
		memcpy(p, &a, calls[i].size);
		mprotect(p, BT_PAGE, PROT_READ);
		out = attempt(&self->x, i, &a, p);
		if (calls[i].writes) {
			EXPECT_FAILS(EFAULT, out, "read-only struct");
		} else {
			EXPECT_EQ(0, out.ret) {
				TH_LOG("%s", calls[i].name);
			}
		}
	}
}

/* Arrays: all but the last entry mapped, or all of it but read-only. */
TEST_F_TIMEOUT(abi, bad_alloc_array, BT_SLOW)
{
	unsigned char *end = edge();
	struct bmem_alloc_entry *e;
	union any a;
	int i = ALLOC;

	make_good(&self->x, i, &a);
	e = (void *)(end - sizeof(*e));
	e[0] = self->x.entry[0];
	a.alloc.entries = (uintptr_t)e;
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "half an array");

	e = (void *)(end - 2 * sizeof(*e));
	memcpy(e, self->x.entry, sizeof(self->x.entry));
	a.alloc.entries = (uintptr_t)e;
	mprotect(end - BT_PAGE, BT_PAGE, PROT_READ);
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "read-only array");

	/* Writable to the middle: the results cannot be told, so none stay. */
	e = mmap(NULL, 2 * BT_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	e = (void *)((char *)e + BT_PAGE - sizeof(*e));
	memcpy(e, self->x.entry, sizeof(self->x.entry));
	mprotect((char *)(e + 1), BT_PAGE, PROT_READ);
	a.alloc.entries = (uintptr_t)e;
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "half read-only array");
}

TEST_F_TIMEOUT(abi, bad_free_array, BT_SLOW)
{
	unsigned char *end = edge();
	struct bmem_free_entry *e;
	struct bmem_free f = { .size = sizeof(f), .nr = 2 };
	union any a;
	int i = FREE;

	make_good(&self->x, i, &a);
	e = (void *)(end - sizeof(*e));
	e[0] = self->x.gone[0];
	a.free.nr = 2;
	a.free.entries = (uintptr_t)e;
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "half an array");

	e = (void *)(end - 2 * sizeof(*e));
	memset(e, 0, 2 * sizeof(*e));
	e[0].handle = self->x.live[0].handle;
	e[1].handle = self->x.live[1].handle;
	mprotect(end - BT_PAGE, BT_PAGE, PROT_READ);
	f.entries = (uintptr_t)e;
	EXPECT_EQ(-EFAULT, bt_call(self->x.c.fd, BMEM_FREE, &f));
	EXPECT_EQ(-ENOENT, bt_free1(self->x.c.fd, e[0].handle));
	EXPECT_EQ(-ENOENT, bt_free1(self->x.c.fd, e[1].handle));
}

TEST_F_TIMEOUT(abi, bad_out_arrays, BT_SLOW)
{
	unsigned char *end = edge();
	union any a;
	int i;

	i = LIST;
	make_good(&self->x, i, &a);
	a.list.entries = (uintptr_t)(end - sizeof(struct bmem_tensor));
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "half an array");
	i = POOLS;
	make_good(&self->x, i, &a);
	a.pools.ids = (uintptr_t)(end - sizeof(__u32));
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "half an array");

	mprotect(end - BT_PAGE, BT_PAGE, PROT_READ);
	i = LIST;
	make_good(&self->x, i, &a);
	a.list.entries = (uintptr_t)(end - BT_PAGE);
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "read-only array");
	i = POOLS;
	make_good(&self->x, i, &a);
	a.pools.ids = (uintptr_t)(end - BT_PAGE);
	EXPECT_FAILS(EFAULT, attempt(&self->x, i, &a, &a), "read-only array");
}

/* ---- handles -------------------------------------------------------------- */

TEST_F_TIMEOUT(abi, foreign_handles, BT_SLOW)
{
	struct bmem_alloc_entry e[2 * LIVE];
	struct bmem_tensor_info info;
	struct bt_snap before, after;
	struct bt_client other;
	int i, j;

	ASSERT_EQ(0, bt_client_open(&other, self->x.c.pool));
	for (i = 0; i < 2 * LIVE; i++)
		ASSERT_EQ(0, bt_alloc1(other.fd, BT_MIB, &e[i]));
	ASSERT_EQ(0, bt_snap(self->x.c.fd, &before));
	for (i = 0; i < 2 * LIVE; i++) {
		/* A number may name a tensor in both: only those that do not. */
		for (j = 0; j < LIVE; j++)
			if (e[i].handle == self->x.live[j].handle)
				break;
		if (j < LIVE)
			continue;
		EXPECT_EQ(-ENOENT, bt_free1(self->x.c.fd, e[i].handle));
		EXPECT_EQ(-ENOENT, bt_info(self->x.c.fd, e[i].handle, &info));
	}
	ASSERT_EQ(0, bt_snap(self->x.c.fd, &after));
	EXPECT_EQ(NULL, bt_snap_diff(&before, &after));
	EXPECT_EQ(NULL, bt_check(other.fd));
	bt_client_close(&other);
}

TEST_F_TIMEOUT(abi, stale_handles, BT_SLOW)
{
	struct bmem_alloc_entry first, again;
	struct bmem_tensor_info info;
	int fd = self->x.c.fd, n;

	ASSERT_EQ(0, bt_alloc1(fd, BT_MIB, &first));
	ASSERT_EQ(0, bt_free1(fd, first.handle));
	EXPECT_EQ(-ENOENT, bt_free1(fd, first.handle));
	EXPECT_EQ(-ENOENT, bt_info(fd, first.handle, &info));
	/* The place is used again, the name is not. */
	for (n = 0; n < 1000; n++) {
		ASSERT_EQ(0, bt_alloc1(fd, BT_MIB, &again));
		ASSERT_NE(0, again.handle);
		ASSERT_NE(first.handle, again.handle);
		ASSERT_EQ(first.offset, again.offset);
		ASSERT_EQ(-ENOENT, bt_free1(fd, first.handle));
		ASSERT_EQ(0, bt_free1(fd, again.handle));
	}
}

TEST_F_TIMEOUT(abi, double_free_in_a_batch, BT_SLOW)
{
	struct bmem_free_entry f[4] = {
		{ .handle = self->x.live[1].handle },
		{ .handle = self->x.live[1].handle },
		{ .handle = 0 },
		{ .handle = self->x.live[2].handle },
	};
	struct bmem_client_stats before, after;
	unsigned int freed;

	ASSERT_EQ(0, bt_client_stats(self->x.c.fd, 0, &before));
	ASSERT_EQ(0, bt_free(self->x.c.fd, f, 4, &freed));
	EXPECT_EQ(2, freed);
	EXPECT_EQ(0, f[0].result);
	EXPECT_EQ(-ENOENT, f[1].result);
	EXPECT_EQ(-ENOENT, f[2].result);
	EXPECT_EQ(0, f[3].result);
	ASSERT_EQ(0, bt_client_stats(self->x.c.fd, 0, &after));
	EXPECT_EQ(before.frees + 2, after.frees);
	EXPECT_EQ(before.live_tensors - 2, after.live_tensors);
	EXPECT_EQ(before.live_bytes - 4097, after.live_bytes);
}

TEST_F_TIMEOUT(abi, tensor_info, BT_SLOW)
{
	struct bmem_alloc_entry e = {
		.bytes = 2 * BT_MIB + 100, .align = 4096, .site = 77,
		.flags = BMEM_ALLOC_ZERO,
	};
	struct bmem_tensor_info info, at;
	int fd = self->x.c.fd;

	ASSERT_EQ(0, bt_site(fd, 77, "layer 3"));
	ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	ASSERT_EQ(0, bt_info(fd, e.handle, &info));
	EXPECT_EQ(e.handle, info.tensor.handle);
	EXPECT_EQ(e.offset, info.tensor.offset);
	EXPECT_EQ(e.bytes, info.tensor.bytes);
	EXPECT_EQ(e.granted, info.tensor.granted);
	EXPECT_EQ(77, info.tensor.site);
	EXPECT_EQ(BMEM_ALLOC_ZERO, info.tensor.flags);
	EXPECT_STREQ("layer 3", info.label);
	EXPECT_LT(info.tensor.age_ms, 60000);
	usleep(50000);
	ASSERT_EQ(0, bt_info_at(fd, e.offset, &at));
	EXPECT_LE(info.tensor.age_ms + 40, at.tensor.age_ms);
	at.tensor.age_ms = info.tensor.age_ms;
	EXPECT_EQ(0, memcmp(&at.tensor, &info.tensor, sizeof(at.tensor)));
	EXPECT_EQ(0, bt_info_at(fd, e.offset + e.granted - 1, &at));
	EXPECT_EQ(e.handle, at.tensor.handle);
	if (!bt_info_at(fd, e.offset + e.granted, &at))
		EXPECT_NE(e.handle, at.tensor.handle);
	EXPECT_EQ(-ENOENT, bt_info_at(fd, self->x.c.space - 1, &at));
	EXPECT_EQ(-ENOENT, bt_info_at(fd, self->x.c.space, &at));
	EXPECT_EQ(-ENOENT, bt_info_at(fd, ~0ULL, &at));
}

TEST_F_TIMEOUT(abi, query, BT_SLOW)
{
	struct bmem_query q, other;
	int fd = bt_open();

	ASSERT_EQ(0, bt_query(self->x.c.fd, &q));
	EXPECT_EQ(BMEM_PAGE_SIZE, q.page_size);
	EXPECT_EQ(BMEM_HUGE_SIZE, q.huge_size);
	EXPECT_EQ(BMEM_ALIGN_MIN, q.align_min);
	EXPECT_EQ(BMEM_ALIGN_MAX, q.align_max);
	EXPECT_EQ(BMEM_BATCH_MAX, q.batch_max);
	EXPECT_EQ(BMEM_SITES_MAX, q.sites_max);
	EXPECT_EQ(BMEM_POOLS_MAX, q.pools_max);
	EXPECT_EQ(self->x.c.pool, q.pool);
	EXPECT_LE(POOL_LIMIT, q.space_bytes);
	EXPECT_EQ(0, q.space_bytes % BT_HUGE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bt_query(fd, &other));
	EXPECT_EQ(BMEM_POOL_DEFAULT, other.pool);
	EXPECT_NE(0, q.client_id);
	EXPECT_NE(q.client_id, other.client_id);
	close(fd);
}

/* ---- batches and want of room --------------------------------------------- */

TEST_F_TIMEOUT(abi, batch_all_or_nothing, BT_SLOW)
{
	static struct bmem_alloc_entry e[BMEM_BATCH_MAX];
	static const struct {
		__u64 bytes;
		__u32 align;
		__u32 flags;
		int err;
	} last[] = {
		{ 0, 0, 0, EINVAL }, { 1, 3, 0, EINVAL },
		{ 1, 0, 4, EOPNOTSUPP }, { POOL_LIMIT + 1, 0, 0, EFBIG },
		{ POOL_LIMIT - 6 * BT_MIB, 0, 0, ENOSPC },
	};
	struct bt_snap before, after;
	unsigned int failed, n, at;
	int fd = self->x.c.fd;

	for (n = 0; n < ARRAY_SIZE(last); n++) {
		for (at = 0; at < BMEM_BATCH_MAX; at++)
			e[at] = (struct bmem_alloc_entry){ .bytes = at + 1 };
		e[at - 1].bytes = last[n].bytes;
		e[at - 1].align = last[n].align;
		e[at - 1].flags = last[n].flags;
		bt_snap(fd, &before);
		EXPECT_EQ(-last[n].err, bt_alloc(fd, e, BMEM_BATCH_MAX, &failed));
		EXPECT_EQ(BMEM_BATCH_MAX - 1, failed);
		bt_snap(fd, &after);
		EXPECT_EQ(NULL, bt_snap_diff(&before, &after)) {
			TH_LOG("%d: changed %s", last[n].err,
			       bt_snap_diff(&before, &after));
		}
		EXPECT_EQ(0, e[0].handle);
	}
	/* Right from end to end it succeeds, and each gets its own place. */
	e[BMEM_BATCH_MAX - 1] = (struct bmem_alloc_entry){ .bytes = 1 };
	EXPECT_EQ(0, bt_alloc(fd, e, BMEM_BATCH_MAX, NULL));
	EXPECT_EQ(NULL, bt_check(fd));
}

/* Each entry could be had, all of them together could not. */
TEST_F_TIMEOUT(abi, batch_exceeds_the_pool, BT_SLOW)
{
	static const struct {
		__u64 bytes[3];
		int err;
		unsigned int failed;
	} tries[] = {
		{ { 20 * BT_MIB, 20 * BT_MIB, 22 * BT_MIB }, ENOSPC, 2 },
		{ { 20 * BT_MIB, 20 * BT_MIB, 40 * BT_MIB }, EFBIG, 2 },
		{ { 40 * BT_MIB, 40 * BT_MIB, 1 }, EFBIG, 1 },
		{ { ~0ULL, 1, 1 }, EOVERFLOW, 0 },
		{ { 1ULL << 63, 1ULL << 63, 1 }, EOVERFLOW, 1 },
	};
	struct bt_snap before, after;
	unsigned int failed;
	size_t n;
	int i;

	ASSERT_EQ(0, bt_bind_cache(self->x.c.fd, 0));
	bt_snap(self->x.c.fd, &before);
	for (n = 0; n < ARRAY_SIZE(tries); n++) {
		struct bmem_alloc_entry e[3] = { 0 };

		for (i = 0; i < 3; i++)
			e[i].bytes = tries[n].bytes[i];
		EXPECT_EQ(-tries[n].err, bt_alloc(self->x.c.fd, e, 3, &failed)) {
			TH_LOG("case %zu", n);
		}
		/* EOVERFLOW does not say which. */
		if (tries[n].err != EOVERFLOW)
			EXPECT_EQ(tries[n].failed, failed) {
				TH_LOG("case %zu", n);
			}
		bt_snap(self->x.c.fd, &after);
		EXPECT_EQ(NULL, bt_snap_diff(&before, &after)) {
			TH_LOG("case %zu changed %s", n, bt_snap_diff(&before, &after));
		}
	}
}

/* The last failure is told with what was asked, and why it could not be. */
#define EXPECT_TOLD(err, asked) do {					\
	EXPECT_EQ(self->x.c.id, bt_debugfs_value("last_failure", "client")); \
	EXPECT_EQ(getpid(), (pid_t)bt_debugfs_value("last_failure", "tgid")); \
	EXPECT_EQ(-(err), (int)bt_debugfs_value("last_failure", "error")); \
	EXPECT_EQ(asked, bt_debugfs_value("last_failure", "asked_bytes")); \
	EXPECT_EQ(POOL_LIMIT,						\
		  bt_debugfs_value("last_failure", "pool_limit_bytes")); \
	EXPECT_EQ(before.pool.attached_bytes,				\
		  bt_debugfs_value("last_failure", "pool_attached_bytes")); \
	EXPECT_EQ(POOL_LIMIT - before.pool.attached_bytes,		\
		  bt_debugfs_value("last_failure", "pool_free_bytes"));	\
} while (0)

TEST_F_TIMEOUT(abi, failure_is_told, BT_SLOW)
{
	struct bmem_alloc_entry e = { .bytes = POOL_LIMIT + 12345, .site = 1 };
	struct bt_snap before, after;
	__u64 failures = bt_debugfs_value("stats", "failures");
	int fd = self->x.c.fd;

	ASSERT_EQ(0, bt_snap(fd, &before));
	EXPECT_EQ(-EFBIG, bt_alloc(fd, &e, 1, NULL));
	EXPECT_TOLD(EFBIG, POOL_LIMIT + 12345);
	e.bytes = POOL_LIMIT - 4096;
	EXPECT_EQ(-ENOSPC, bt_alloc(fd, &e, 1, NULL));
	EXPECT_TOLD(ENOSPC, POOL_LIMIT - 4096);
	ASSERT_EQ(0, bt_snap(fd, &after));
	EXPECT_EQ(NULL, bt_snap_diff(&before, &after)) {
		TH_LOG("changed %s", bt_snap_diff(&before, &after));
	}
	EXPECT_EQ(before.client.failed + 2, after.client.failed);
	EXPECT_EQ(before.pool.failed + 2, after.pool.failed);
	EXPECT_EQ(failures + 2, bt_debugfs_value("stats", "failures"));
	/* A call that asked for nonsense is no failure of the pool's. */
	e.bytes = 0;
	EXPECT_EQ(-EINVAL, bt_alloc(fd, &e, 1, NULL));
	EXPECT_EQ(failures + 2, bt_debugfs_value("stats", "failures"));
}

TEST_F_TIMEOUT(abi, reservation_that_cannot_be_had, BT_SLOW)
{
	__u64 before = bt_meminfo("MemFree");
	__u64 want = BT_ROUND_UP(bt_meminfo("MemTotal"), BT_HUGE);

	EXPECT_EQ(-ENOMEM, bt_pool_create(self->admin, "big", want, want));
	/* It came back; other things in the system may hold a little more. */
	EXPECT_TRUE(BT_WAIT(bt_meminfo("MemFree") + 64 * BT_MIB > before, 5000)) {
		TH_LOG("%llu free before, %llu after", before, bt_meminfo("MemFree"));
	}
	EXPECT_EQ(-ENOMEM, bt_pool_resize(self->admin, self->x.c.pool,
					  BMEM_RESIZE_LIMIT | BMEM_RESIZE_RESERVE,
					  want, want));
	EXPECT_EQ(NULL, bt_check(self->x.c.fd));
}

TEST_F_TIMEOUT(abi, pool_table_is_bounded, BT_SLOW)
{
	struct bmem_pool_list l = { .size = sizeof(l), .nr = 1 };
	__u32 ids[BMEM_POOLS_MAX] = { 0 };
	int made[BMEM_POOLS_MAX], n = 0, i;

	while (n < BMEM_POOLS_MAX) {
		made[n] = bt_pool_create(self->admin, "t", BT_HUGE, 0);
		if (made[n] < 0)
			break;
		n++;
	}
	EXPECT_EQ(-ENOSPC, bt_pool_create(self->admin, "t", BT_HUGE, 0));
	l.ids = (uintptr_t)ids;
	ids[0] = 4242;
	EXPECT_EQ(-EMSGSIZE, bt_call(self->admin, BMEM_POOL_LIST, &l));
	EXPECT_EQ(BMEM_POOLS_MAX, l.nr);
	EXPECT_EQ(4242, ids[0]);
	EXPECT_EQ(0, bt_call(self->admin, BMEM_POOL_LIST, &l));
	EXPECT_EQ(BMEM_POOLS_MAX, l.nr);
	for (i = 0; i < n; i++) {
		int at;

		for (at = 0; at < BMEM_POOLS_MAX && (int)ids[at] != made[i]; at++)
			;
		EXPECT_LT(at, BMEM_POOLS_MAX);
		EXPECT_EQ(0, bt_pool_destroy(self->admin, made[i]));
	}
}

TEST_F_TIMEOUT(abi, pool_in_use, BT_SLOW)
{
	struct bmem_pool_stats st;

	EXPECT_EQ(-EBUSY, bt_pool_destroy(self->admin, self->x.c.pool));
	EXPECT_EQ(-EBUSY, bt_pool_destroy(self->admin, BMEM_POOL_DEFAULT));
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->x.c.pool, &st));
	EXPECT_EQ(1, st.clients);
}

/* ---- other users ---------------------------------------------------------- */

struct user {
	struct ctx *x;
	const char *node;
	uid_t uid;
	int group;
	int err;
	__u64 id;
};

/* Each privileged call as nobody, on @fd; the first that is not refused. */
static int refused(struct ctx *x, int fd)
{
	static const int privileged[] = { CREATE, DESTROY, RESIZE };
	union any a;
	size_t n;
	int i;

	for (n = 0; n < ARRAY_SIZE(privileged); n++) {
		i = privileged[n];
		memset(&a, 0, sizeof(a));
		a.size = calls[i].size;
		if (i == DESTROY)
			a.destroy.pool = x->c.pool;
		else
			calls[i].good(x, &a);
		if (bt_call(fd, calls[i].cmd, &a) != -EPERM)
			return i;
	}
	return bt_trim(fd, BMEM_TRIM_POOL, 0, NULL) == -EPERM ? 0 : TRIM;
}

static int nobody_manages_pools(void *arg)
{
	struct user *u = arg;
	int fd, ret;

	ret = bt_become(u->uid, BT_NOBODY, -1);
	if (ret)
		return ret;
	if (open(BT_DEVICE, O_RDWR) >= 0)
		return -ENOTUNIQ;
	fd = u->node ? open(u->node, O_RDWR) : u->x->c.fd;
	return fd < 0 ? -errno : refused(u->x, fd);
}

TEST_F_TIMEOUT(abi, unprivileged_pool_administration, BT_SLOW)
{
	struct user u = { .x = &self->x, .uid = BT_NOBODY, .group = -1 };
	struct bt_snap before, after;
	char node[64];

	/* A descriptor of root's does not make its holder root. */
	ASSERT_EQ(0, bt_snap(self->x.c.fd, &before));
	EXPECT_EQ(0, bt_in_child(nobody_manages_pools, &u));
	ASSERT_EQ(0, bt_lend_device(node, sizeof(node)));
	u.node = node;
	EXPECT_EQ(0, bt_in_child(nobody_manages_pools, &u));
	unlink(node);
	ASSERT_EQ(0, bt_snap(self->x.c.fd, &after));
	EXPECT_EQ(NULL, bt_snap_diff(&before, &after));
}

/* Opens the node as another user and binds to a pool. */
static int user_binds(void *arg)
{
	struct user *u = arg;
	struct bmem_alloc_entry e;
	int fd, ret;

	ret = bt_become(u->uid, BT_NOBODY, u->group);
	if (ret)
		return ret;
	fd = open(u->node, O_RDWR);
	if (fd < 0)
		return -errno;
	ret = bt_bind_pool(fd, u->x->c.pool);
	if (ret)
		return ret;
	return bt_alloc1(fd, 4096, &e);
}

TEST_F_TIMEOUT(abi, pool_of_a_group, BT_SLOW)
{
	struct bmem_pool_create c = {
		.size = sizeof(c), .limit_bytes = 4 * BT_HUGE, .gid = 12345,
	};
	struct ctx x = self->x;
	struct user u = { .x = &x, .uid = BT_NOBODY, .group = -1 };
	struct bmem_pool_stats st;
	char node[64];
	int fd;

	snprintf(c.name, sizeof(c.name), "group.%d", getpid());
	ASSERT_EQ(0, bt_call(self->admin, BMEM_POOL_CREATE, &c));
	ASSERT_EQ(0, bt_pool_stats(self->admin, c.pool, &st));
	EXPECT_EQ(12345, st.gid);
	x.c.pool = c.pool;
	ASSERT_EQ(0, bt_lend_device(node, sizeof(node)));
	u.node = node;
	EXPECT_EQ(-EPERM, bt_in_child(user_binds, &u));
	u.group = 54321;
	EXPECT_EQ(-EPERM, bt_in_child(user_binds, &u));
	u.group = 12345;
	EXPECT_EQ(0, bt_in_child(user_binds, &u));
	fd = bt_open();
	EXPECT_EQ(0, bt_bind_pool(fd, c.pool));
	close(fd);
	unlink(node);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, c.pool));
}

/* Looks at client @id as another user. */
static int user_looks(void *arg)
{
	struct user *u = arg;
	struct bmem_client_stats st;
	struct bmem_tensor *rows;
	int fd, nr, ret;

	ret = bt_become(u->uid, BT_NOBODY, -1);
	if (ret)
		return ret;
	fd = open(u->node, O_RDWR);
	if (fd < 0)
		return -errno;
	nr = bt_list(fd, u->id, &rows);
	ret = bt_client_stats(fd, u->id, &st);
	if (nr < 0)
		return nr == ret ? ret : -ENOTUNIQ;
	return ret ? ret : nr;
}

/* A client of user 1000 that lives until the pipe is closed. */
static int user_holds(void *arg)
{
	struct user *u = arg;
	struct bmem_alloc_entry e;
	struct bmem_query q;
	int fd;

	if (bt_become(u->uid, BT_NOBODY, -1))
		return 1;
	fd = open(u->node, O_RDWR);
	if (fd < 0 || bt_alloc1(fd, 3000, &e) || bt_alloc1(fd, BT_MIB, &e) ||
	    bt_query(fd, &q))
		return 1;
	u->id = q.client_id;
	pause();
	return 0;
}

TEST_F_TIMEOUT(abi, listing_across_users, BT_SLOW)
{
	struct user *held = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct user looker;
	char node[64];
	pid_t pid;

	ASSERT_EQ(0, bt_lend_device(node, sizeof(node)));
	*held = (struct user){ .node = node, .uid = 1000 };
	pid = bt_spawn(user_holds, held);
	EXPECT_TRUE(BT_WAIT(((volatile struct user *)held)->id, 10000));
	looker = *held;
	EXPECT_EQ(2, bt_in_child(user_looks, &looker));
	looker.uid = 1001;
	EXPECT_EQ(-ENOENT, bt_in_child(user_looks, &looker));
	looker.uid = 0;
	EXPECT_EQ(2, bt_in_child(user_looks, &looker));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	looker.uid = 1000;
	EXPECT_EQ(-ENOENT, bt_in_child(user_looks, &looker));
	unlink(node);
}

/* ---- listing -------------------------------------------------------------- */

TEST_F_TIMEOUT(abi, list_filters, BT_SLOW)
{
	struct bmem_tensor_list l = {
		.size = sizeof(l), .nr = LIVE, .entries = (uintptr_t)self->x.rows,
	};
	struct bmem_alloc_entry e = { .bytes = 9000, .site = 5 };
	int fd = self->x.c.fd;

	ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	l.flags = BMEM_LIST_SITE;
	l.site = 5;
	ASSERT_EQ(0, bt_call(fd, BMEM_TENSOR_LIST, &l));
	ASSERT_EQ(1, l.nr);
	EXPECT_EQ(e.handle, self->x.rows[0].handle);

	/* Site 0 is the tensors without a site. */
	l.cursor = 0;
	l.nr = LIVE;
	l.site = 0;
	ASSERT_EQ(0, bt_call(fd, BMEM_TENSOR_LIST, &l));
	EXPECT_EQ(LIVE, l.nr);

	l = (struct bmem_tensor_list){
		.size = sizeof(l), .nr = LIVE, .min_bytes = 700000,
		.entries = (uintptr_t)self->x.rows,
	};
	ASSERT_EQ(0, bt_call(fd, BMEM_TENSOR_LIST, &l));
	ASSERT_EQ(2, l.nr);
	EXPECT_LE(700000, self->x.rows[0].bytes);
	EXPECT_LE(700000, self->x.rows[1].bytes);

	l.nr = LIVE;
	l.cursor = l.min_bytes = 0;
	l.min_age_ms = 1000000;
	ASSERT_EQ(0, bt_call(fd, BMEM_TENSOR_LIST, &l));
	EXPECT_EQ(0, l.nr);
}

struct churn {
	int fd;
	volatile bool stop;
	volatile unsigned long rounds;
	int err;
};

static void *churn_tensors(void *arg)
{
	struct churn *ch = arg;
	struct bmem_alloc_entry e[16];
	__u64 rnd = 42;
	int i;

	while (!ch->stop) {
		for (i = 0; i < 16; i++)
			ch->err |= bt_alloc1(ch->fd, bt_random(&rnd) % 30000 + 1, &e[i]);
		for (i = 0; i < 16; i++)
			ch->err |= bt_free1(ch->fd, e[i].handle);
		ch->rounds++;
	}
	return NULL;
}

#define STAYING	100

/* Lists in pages of 7; -1, or how many of @stay were in it, in order. */
static int list_in_pages(int fd, const struct bmem_alloc_entry *stay)
{
	struct bmem_tensor rows[7];
	struct bmem_tensor_list l = {
		.size = sizeof(l), .entries = (uintptr_t)rows,
	};
	__u64 end = 0;
	int seen = 0;
	__u32 i;

	do {
		l.nr = ARRAY_SIZE(rows);
		if (bt_call(fd, BMEM_TENSOR_LIST, &l))
			return -1;
		for (i = 0; i < l.nr; i++) {
			if (rows[i].offset < end)
				return -1;
			end = rows[i].offset + rows[i].granted;
			if (seen < STAYING && rows[i].handle == stay[seen].handle)
				seen++;
		}
	} while (l.nr == ARRAY_SIZE(rows));
	return seen;
}

TEST_F_TIMEOUT(abi, list_while_others_allocate, BT_SLOW)
{
	struct bmem_alloc_entry stay[STAYING], gap[STAYING];
	struct churn ch = { .fd = self->x.c.fd };
	pthread_t thread;
	int i;

	for (i = 0; i < STAYING; i++) {
		ASSERT_EQ(0, bt_alloc1(ch.fd, 8192, &stay[i]));
		ASSERT_EQ(0, bt_alloc1(ch.fd, 16384, &gap[i]));
	}
	for (i = 0; i < STAYING; i++)
		ASSERT_EQ(0, bt_free1(ch.fd, gap[i].handle));
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn_tensors, &ch));
	/* 100 lists can be over before a busy machine runs the thread at all. */
	for (i = 0; i < 100 || ch.rounds < 10; i++)
		ASSERT_EQ(STAYING, list_in_pages(ch.fd, stay));
	ch.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, ch.err);
	EXPECT_LT(0, ch.rounds);
}

/* ---- parameters ---------------------------------------------------------------- */

/* It is refused, and what was there stays. */
static void expect_refused(struct __test_metadata *_metadata, const char *name,
			   const char *value)
{
	char was[64], now[64];

	ASSERT_EQ(0, bt_param(name, was, sizeof(was)));
	EXPECT_EQ(-EINVAL, bt_param_set(name, value)) {
		TH_LOG("%s = %s", name, value);
	}
	ASSERT_EQ(0, bt_param(name, now, sizeof(now)));
	EXPECT_STREQ(was, now) {
		TH_LOG("%s = %s", name, value);
	}
}

/* No parameter that can be written is left out, whatever there will be. */
TEST(every_parameter_refuses_nonsense)
{
	static const char * const nonsense[] = {
		"x", " ", "-1", "98446744073709551616", "4294967296",
	};
	static const struct {
		const char *name, *value;
	} beyond[] = {
		{ "cache_mib", "65537" }, { "promote_ms", "9" },
		{ "promote_ms", "3600001" }, { "leak_age_ms", "3600001" },
		{ "leak_delay_ms", "3600001" }, { "leak_round_ms", "9" },
		{ "leak_round_ms", "3600001" }, { "cycle_ms", "99" },
		{ "cycle_ms", "3600001" }, { "clone_share", "101" },
	};
	DIR *dir = opendir(BT_PARAMS);
	struct dirent *entry;
	unsigned int i, nr = 0;
	struct stat st;

	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) ||
		    !S_ISREG(st.st_mode) || !(st.st_mode & 0200))
			continue;
		nr++;
		for (i = 0; i < ARRAY_SIZE(nonsense); i++)
			expect_refused(_metadata, entry->d_name, nonsense[i]);
	}
	closedir(dir);
	EXPECT_LT(10, nr);
	for (i = 0; i < ARRAY_SIZE(beyond); i++)
		expect_refused(_metadata, beyond[i].name, beyond[i].value);
}

/* ---- files that are told a word ------------------------------------------------- */

static int tell(int fd, const char *text, size_t bytes)
{
	ssize_t ret = write(fd, text, bytes);

	return ret < 0 ? -errno : ret;
}

TEST(files_take_one_word)
{
	static const struct {
		const char *path, *word;
		int most;
	} files[] = {
		{ BT_DEBUGFS "/cleanup", "flush", 15 },
		{ BT_DEBUGFS "/shrink", "0", 23 },
		{ BT_DEBUGFS "/leaks", "scan=0", 63 },
	};
	char text[4096], *nowhere;
	unsigned int i;
	int fd;

	nowhere = mmap(NULL, BT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, nowhere);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fd = open(files[i].path, O_WRONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		memset(text, ' ', sizeof(text));
		memcpy(text + 3, files[i].word, strlen(files[i].word));
		EXPECT_EQ(files[i].most, tell(fd, text, files[i].most));
		EXPECT_EQ(-EINVAL, tell(fd, text, files[i].most + 1));
		EXPECT_EQ(-EINVAL, tell(fd, text, sizeof(text)));
		EXPECT_EQ(-EINVAL, tell(fd, text, 0));
		EXPECT_EQ(-EINVAL, tell(fd, text, 3));
		EXPECT_EQ(-EFAULT, tell(fd, nowhere, 4));
		text[1] = 'x';
		EXPECT_EQ(-EINVAL, tell(fd, text, files[i].most));
		close(fd);
	}
	munmap(nowhere, BT_PAGE);
}

TEST_HARNESS_MAIN
