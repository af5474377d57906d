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
	(void)x;
	a->site.site = 1;
	strcpy(a->site.label, "a site");
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

static void undo_nothing(struct ctx *x, union any *a, bool done)
{
	(void)x;
	(void)a;
	(void)done;
}

const struct call calls[CALLS] = {
	[QUERY] = { "QUERY", BMEM_QUERY, sizeof(struct bmem_query), 0, true,
		    good_plain, undo_nothing },
	[BIND] = { "BIND", BMEM_BIND, sizeof(struct bmem_bind), 7, false,
		   good_bind, undo_nothing },
	[SITE] = { "SITE", BMEM_SITE, sizeof(struct bmem_site), 0, false,
		   good_site, undo_nothing },
	[ALLOC] = { "ALLOC", BMEM_ALLOC, sizeof(struct bmem_alloc), 0, true,
		    good_alloc, undo_alloc },
	[FREE] = { "FREE", BMEM_FREE, sizeof(struct bmem_free), 0, true,
		   good_free, undo_free },
	[INFO] = { "TENSOR_INFO", BMEM_TENSOR_INFO,
		   sizeof(struct bmem_tensor_info), 1, true,
		   good_info, undo_nothing },
	[LIST] = { "TENSOR_LIST", BMEM_TENSOR_LIST,
		   sizeof(struct bmem_tensor_list), 1, true,
		   good_list, undo_nothing },
	[STATS] = { "CLIENT_STATS", BMEM_CLIENT_STATS,
		    sizeof(struct bmem_client_stats), 0, true,
		    good_plain, undo_nothing },
	[TRIM] = { "TRIM", BMEM_TRIM, sizeof(struct bmem_trim), 1, true,
		   good_trim, undo_nothing },
	[CREATE] = { "POOL_CREATE", BMEM_POOL_CREATE,
		     sizeof(struct bmem_pool_create), 0, true,
		     good_create, undo_create },
	[DESTROY] = { "POOL_DESTROY", BMEM_POOL_DESTROY,
		      sizeof(struct bmem_pool_destroy), 0, false,
		      good_destroy, undo_destroy },
	[RESIZE] = { "POOL_RESIZE", BMEM_POOL_RESIZE,
		     sizeof(struct bmem_pool_resize), 3, false,
		     good_resize, undo_nothing },
	[POOLS] = { "POOL_LIST", BMEM_POOL_LIST,
		    sizeof(struct bmem_pool_list), 0, true,
		    good_pools, undo_nothing },
	[POOL_STATS] = { "POOL_STATS", BMEM_POOL_STATS,
			 sizeof(struct bmem_pool_stats), 1, true,
			 good_pool_stats, undo_nothing },
};

void make_good(struct ctx *x, int i, union any *a)
{
	memset(a, 0, sizeof(*a));
	a->size = calls[i].size;
	calls[i].good(x, a);
}

int ctx_open(struct ctx *x, int pool)
{
	static const __u64 sizes[LIVE] = { 3 * BT_MIB, 4096, 1, 700000 };
	int i, ret = bt_client_open(&x->c, pool);

	if (!ret)
		ret = bt_site(x->c.fd, 1, "a site");
	for (i = 0; i < LIVE && !ret; i++)
		ret = bt_alloc1(x->c.fd, sizes[i], &x->live[i]);
	return ret;
}
