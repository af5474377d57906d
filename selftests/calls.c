// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl as a row of a table; see calls.h.
 */
#include "calls.h"

/* ---- a good argument for every call --------------------------------------- */

static void good_plain(struct ctx *x, union any *a)
{
	(void)x;
	(void)a;
}

static void good_bind(struct ctx *x, union any *a)
{
	(void)x;
	a->bind.flags = BMEM_BIND_LABEL;
	strcpy(a->bind.label, "a label");
}

static void good_site(struct ctx *x, union any *a)
{
	a->site.site = 1;
	strcpy(a->site.label, "a site");
	a->site.nr_frames = FRAMES;
	a->site.frames = (uintptr_t)x->frames;
}

static void good_module(struct ctx *x, union any *a)
{
	(void)x;
	a->module.module = 1;
	a->module.build_id_len = 20;
	memset(a->module.build_id, 7, 20);
	strcpy(a->module.path, "/a/program");
}

static void good_module_info(struct ctx *x, union any *a)
{
	(void)x;
	a->module_info.module = 1;
}

static void good_site_list(struct ctx *x, union any *a)
{
	a->site_list.row_size = sizeof(*x->sites);
	a->site_list.nr = 2;
	a->site_list.rows = (uintptr_t)x->sites;
}

static void good_site_frames(struct ctx *x, union any *a)
{
	a->site_frames.site = 1;
	a->site_frames.nr = BMEM_FRAMES_MAX;
	a->site_frames.frames = (uintptr_t)x->stack;
}

static void good_client_list(struct ctx *x, union any *a)
{
	a->client_list.row_size = sizeof(*x->clients);
	a->client_list.nr = 2;
	a->client_list.rows = (uintptr_t)x->clients;
}

static void good_tombstone_list(struct ctx *x, union any *a)
{
	a->tombstone_list.row_size = sizeof(*x->tombs);
	a->tombstone_list.nr = 2;
	a->tombstone_list.rows = (uintptr_t)x->tombs;
}

static void good_tombstone_sites(struct ctx *x, union any *a)
{
	a->tombstone_sites.serial = x->serial;
	a->tombstone_sites.row_size = sizeof(*x->held);
	a->tombstone_sites.nr = BMEM_TOMBSTONE_SITES_MAX;
	a->tombstone_sites.rows = (uintptr_t)x->held;
}

static void good_growth_list(struct ctx *x, union any *a)
{
	a->growth_list.row_size = sizeof(*x->growth);
	a->growth_list.nr = 2;
	a->growth_list.rows = (uintptr_t)x->growth;
}

static void good_tombstone_module(struct ctx *x, union any *a)
{
	a->tombstone_module.serial = x->serial;
	a->tombstone_module.module = 1;
}

static void good_leak_scan(struct ctx *x, union any *a)
{
	(void)x;
	a->leak_scan.delay_ms = 1;
}

static void good_leak_list(struct ctx *x, union any *a)
{
	a->leak_list.row_size = sizeof(*x->leaks);
	a->leak_list.nr = 2;
	a->leak_list.rows = (uintptr_t)x->leaks;
}

static void good_events(struct ctx *x, union any *a)
{
	(void)x;
	a->events.flags = BMEM_EVENTS_SET;
	a->events.mask = BMEM_EVENT_BIT(BMEM_EVENT_COMPACTED);
}

static void links_call(struct ctx *x, unsigned long cmd, struct bmem_link *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	memset(x->links, 0, sizeof(x->links));
	x->links[0].from = x->live[0].handle;
	x->links[0].to = x->live[1].handle;
	x->links[1].to = x->live[0].handle;
	arg->nr = 2;
	arg->entries = (uintptr_t)x->links;
	if (cmd)
		bt_call(x->c.fd, cmd, arg);
}

static void good_link(struct ctx *x, union any *a)
{
	links_call(x, 0, &a->link);
}

static void undo_link(struct ctx *x, union any *a, bool done)
{
	struct bmem_link arg;

	(void)a;
	if (done)
		links_call(x, BMEM_UNLINK, &arg);
}

static void good_unlink(struct ctx *x, union any *a)
{
	struct bmem_link arg;

	links_call(x, BMEM_LINK, &arg);
	links_call(x, 0, &a->link);
}

static void undo_unlink(struct ctx *x, union any *a, bool done)
{
	struct bmem_link arg;

	(void)a;
	if (!done)
		links_call(x, BMEM_UNLINK, &arg);
}

/* Nobody's, and the same each time. */
static void good_leak_skip(struct ctx *x, union any *a)
{
	a->leak_skip.addr = (uintptr_t)x & ~7UL;
	a->leak_skip.bytes = 8;
}

static void good_alloc(struct ctx *x, union any *a)
{
	memset(x->entry, 0, sizeof(x->entry));
	x->entry[0].bytes = 5000;
	x->entry[1].bytes = 100;
	a->alloc.nr = 2;
	a->alloc.entries = (uintptr_t)x->entry;
}

static void undo_alloc(struct ctx *x, union any *a, bool done)
{
	unsigned int i;

	for (i = 0; done && i < a->alloc.nr; i++)
		bt_free1(x->c.fd, x->entry[i].handle);
}

static void good_free(struct ctx *x, union any *a)
{
	struct bmem_alloc_entry e;

	bt_alloc1(x->c.fd, 3 * BT_MIB, &e);
	memset(x->gone, 0, sizeof(x->gone));
	x->gone[0].handle = e.handle;
	a->free.nr = 1;
	a->free.entries = (uintptr_t)x->gone;
}

static void undo_free(struct ctx *x, union any *a, bool done)
{
	(void)a;
	if (!done)
		bt_free1(x->c.fd, x->gone[0].handle);
}

static void good_info(struct ctx *x, union any *a)
{
	a->info.handle = x->live[0].handle;
}

static void good_list(struct ctx *x, union any *a)
{
	a->list.nr = LIVE;
	a->list.entries = (uintptr_t)x->rows;
}

static void good_trim(struct ctx *x, union any *a)
{
	(void)x;
	a->trim.keep_bytes = ~0ULL;
}

static void good_create(struct ctx *x, union any *a)
{
	(void)x;
	a->create.limit_bytes = 4 * BT_HUGE;
	a->create.reserve_bytes = BT_HUGE;
	a->create.gid = BMEM_GID_ANY;
	snprintf(a->create.name, sizeof(a->create.name), "call.%d.x", getpid());
}

static void undo_create(struct ctx *x, union any *a, bool done)
{
	if (done)
		bt_pool_destroy(x->c.fd, a->create.pool);
}

static void good_destroy(struct ctx *x, union any *a)
{
	a->destroy.pool = bt_pool_create(x->c.fd, "call", BT_HUGE, 0);
}

static void undo_destroy(struct ctx *x, union any *a, bool done)
{
	if (!done)
		bt_pool_destroy(x->c.fd, a->destroy.pool);
}

static void good_resize(struct ctx *x, union any *a)
{
	struct bmem_pool_stats st;

	/* As it is: it succeeds and changes nothing. */
	bt_pool_stats(x->c.fd, x->c.pool, &st);
	a->resize.flags = BMEM_RESIZE_LIMIT | BMEM_RESIZE_RESERVE;
	a->resize.pool = x->c.pool;
	a->resize.limit_bytes = st.limit_bytes;
	a->resize.reserve_bytes = st.reserve_bytes;
}

static void good_pools(struct ctx *x, union any *a)
{
	a->pools.nr = BMEM_POOLS_MAX;
	a->pools.ids = (uintptr_t)x->ids;
}

static void good_pool_stats(struct ctx *x, union any *a)
{
	a->pool_stats.pool = x->c.pool;
}

static void good_pressure(struct ctx *x, union any *a)
{
	a->pressure.pool = x->c.pool;
}

static void slots_call(struct ctx *x, unsigned long cmd, unsigned int nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg), .nr = nr, .slots = (uintptr_t)x->slots,
	};

	bt_call(x->c.fd, cmd, &arg);
}

static void good_slots_get(struct ctx *x, union any *a)
{
	a->slots.size_class = 7;
	a->slots.nr = SLOTS;
	a->slots.slots = (uintptr_t)x->slots;
}

static void undo_slots_get(struct ctx *x, union any *a, bool done)
{
	if (done)
		slots_call(x, BMEM_SLOTS_PUT, a->slots.nr);
}

static void good_slots_put(struct ctx *x, union any *a)
{
	slots_call(x, BMEM_SLOTS_GET, SLOTS);
	a->slots.nr = SLOTS;
	a->slots.slots = (uintptr_t)x->slots;
}

static void undo_slots_put(struct ctx *x, union any *a, bool done)
{
	(void)a;
	if (!done)
		slots_call(x, BMEM_SLOTS_PUT, SLOTS);
}

static void undo_clone(struct ctx *x, union any *a, bool done)
{
	(void)x;
	if (done)
		close(a->clone.fd);
}

static void undo_nothing(struct ctx *x, union any *a, bool done)
{
	(void)x;
	(void)a;
	(void)done;
}

#define END(type, field) (offsetof(struct type, field) + sizeof(((struct type *)0)->field))
#define CALL(number, type, ...)						\
	{ #number, BMEM_##number, sizeof(struct type), sizeof(struct type), __VA_ARGS__ }
/* One whose struct has grown since its first version, which ended with @last. */
#define GROWN(number, type, last, ...)					\
	{ #number, BMEM_##number, sizeof(struct type), END(type, last), __VA_ARGS__ }

const struct call calls[CALLS] = {
	[QUERY] = GROWN(QUERY, bmem_query, pool, 0, true,
		good_plain, undo_nothing),
	[BIND] = GROWN(BIND, bmem_bind, label, 63, false,
		good_bind, undo_nothing),
	[SITE] = GROWN(SITE, bmem_site, label, 0, false,
		good_site, undo_nothing),
	[ALLOC] = GROWN(ALLOC, bmem_alloc, entries, BMEM_CALL_WAIT, true,
		good_alloc, undo_alloc),
	[FREE] = CALL(FREE, bmem_free, 0, true,
		good_free, undo_free),
	[INFO] = GROWN(TENSOR_INFO, bmem_tensor_info, label, 1, true,
		good_info, undo_nothing),
	[LIST] = CALL(TENSOR_LIST, bmem_tensor_list, 1, true,
		good_list, undo_nothing),
	[STATS] = GROWN(CLIENT_STATS, bmem_client_stats, escaped_bytes, 2, true,
		good_plain, undo_nothing),
	[TRIM] = CALL(TRIM, bmem_trim, 3, true,
		good_trim, undo_nothing),
	[CREATE] = CALL(POOL_CREATE, bmem_pool_create, 0, true,
		good_create, undo_create),
	[DESTROY] = CALL(POOL_DESTROY, bmem_pool_destroy, 0, false,
		good_destroy, undo_destroy),
	[RESIZE] = CALL(POOL_RESIZE, bmem_pool_resize, 3, false,
		good_resize, undo_nothing),
	[POOLS] = CALL(POOL_LIST, bmem_pool_list, 0, true,
		good_pools, undo_nothing),
	[POOL_STATS] = GROWN(POOL_STATS, bmem_pool_stats, name, 1, true,
		good_pool_stats, undo_nothing),
	[SLOTS_GET] = GROWN(SLOTS_GET, bmem_slots, slots, BMEM_CALL_WAIT, true,
		good_slots_get, undo_slots_get),
	[SLOTS_PUT] = GROWN(SLOTS_PUT, bmem_slots, slots, 0, true,
		good_slots_put, undo_slots_put),
	[MODULE] = CALL(MODULE, bmem_module, 0, false,
		good_module, undo_nothing),
	[MODULE_INFO] = CALL(MODULE_INFO, bmem_module_info, 0, true,
		good_module_info, undo_nothing),
	[SITE_LIST] = CALL(SITE_LIST, bmem_site_list, 0, true,
		good_site_list, undo_nothing),
	[SITE_FRAMES] = CALL(SITE_FRAMES, bmem_site_frames, 0, true,
		good_site_frames, undo_nothing),
	[CLIENT_LIST] = CALL(CLIENT_LIST, bmem_client_list, 0, true,
		good_client_list, undo_nothing),
	[TOMBSTONE_LIST] = CALL(TOMBSTONE_LIST, bmem_tombstone_list, 0, true,
		good_tombstone_list, undo_nothing),
	[TOMBSTONE_SITES] = CALL(TOMBSTONE_SITES, bmem_tombstone_sites, 0, true,
		good_tombstone_sites, undo_nothing),
	[TOMBSTONE_MODULE] = CALL(TOMBSTONE_MODULE, bmem_tombstone_module, 0, true,
		good_tombstone_module, undo_nothing),
	[LEAK_SCAN] = CALL(LEAK_SCAN, bmem_leak_scan, 3, true,
		good_leak_scan, undo_nothing),
	[LINK] = CALL(LINK, bmem_link, 0, true,
		good_link, undo_link),
	[UNLINK] = CALL(UNLINK, bmem_link, 0, true,
		good_unlink, undo_unlink),
	[LEAK_LIST] = CALL(LEAK_LIST, bmem_leak_list, 1, true,
		good_leak_list, undo_nothing),
	[EVENTS] = CALL(EVENTS, bmem_events, BMEM_EVENTS_SET, true,
		good_events, undo_nothing),
	[GROWTH_LIST] = CALL(GROWTH_LIST, bmem_growth_list, 1, true,
		good_growth_list, undo_nothing),
	[CLONE] = CALL(CLONE, bmem_clone, 0, true,
		good_plain, undo_clone),
	[PRESSURE] = CALL(PRESSURE, bmem_pressure, 1, true,
		good_pressure, undo_nothing),
	[LEAK_SKIP] = CALL(LEAK_SKIP, bmem_leak_skip, 0, false,
		good_leak_skip, undo_nothing),
};

void make_good(struct ctx *x, int i, union any *a)
{
	memset(a, 0, sizeof(*a));
	a->size = calls[i].size;
	calls[i].good(x, a);
}

__u64 tombstone_of(int fd, __u64 client, struct bmem_tombstone_row *row)
{
	struct bmem_tombstone_list l = {
		.size = sizeof(l), .row_size = sizeof(*row),
		.rows = (uintptr_t)row,
	};

	do {
		l.nr = 1;
		if (bt_call(fd, BMEM_TOMBSTONE_LIST, &l) || !l.nr)
			return 0;
	} while (row->client_id != client);
	return row->serial;
}

/* A client that is gone, with two sites, one of which has a stack. */
static int bury(struct ctx *x)
{
	struct bmem_alloc_entry e[2] = {
		{ .bytes = 5000, .site = 1 }, { .bytes = 600 },
	};
	static const int first[] = { MODULE, SITE };
	struct bmem_tombstone_row row;
	struct bmem_query q;
	union any a;
	int i, ret, fd = bt_open();

	if (fd < 0)
		return fd;
	ret = bt_query(fd, &q);
	for (i = 0; i < 2 && !ret; i++) {
		make_good(x, first[i], &a);
		ret = bt_call(fd, calls[first[i]].cmd, &a);
	}
	if (!ret)
		ret = bt_alloc(fd, e, 2, NULL);
	close(fd);
	if (ret)
		return ret;
	x->serial = tombstone_of(x->c.fd, q.client_id, &row);
	return x->serial ? 0 : -ENOENT;
}

int ctx_open(struct ctx *x, int pool)
{
	static const __u64 sizes[LIVE] = { 3 * BT_MIB, 4096, 1, 700000 };
	static const int first[] = { MODULE, SITE };
	int i, ret = bt_client_open_cloneable(&x->c, pool);
	union any a;

	/* Asked for, so that it is not given back between two looks at it. */
	if (!ret)
		ret = bt_bind_cache(x->c.fd, 2 * BT_HUGE);
	for (i = 0; i < FRAMES; i++)
		x->frames[i] = (struct bmem_frame){ i ? 1 : 0, 0, 4096 * i + 5 };
	for (i = 0; i < 2 && !ret; i++) {
		make_good(x, first[i], &a);
		ret = bt_call(x->c.fd, calls[first[i]].cmd, &a);
	}
	for (i = 0; i < LIVE && !ret; i++)
		ret = bt_alloc1(x->c.fd, sizes[i], &x->live[i]);
	return ret ? ret : bury(x);
}
