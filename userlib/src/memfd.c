// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback as a backend: the calls of <linux/bmem.h>, answered by an arena
 * of this process under the rules of that header.
 */
#include <errno.h>
#include <string.h>

#include "arena.h"

_Static_assert(BMEM_CLASSES == SLAB_CLASSES, "size classes");
_Static_assert(BMEM_SLOT_MAX == SLAB_BYTES_MAX, "largest class");

static int do_query(struct arena *a, void *arg)
{
	struct bmem_query *q = arg;

	if (q->flags)
		return -EOPNOTSUPP;
	q->caps = a->backing.huge ? BMEM_CAP_HUGE : 0;
	q->client_id = a->books->st.client_id;
	q->space_bytes = a->backing.len;
	q->page_size = BMEM_PAGE_SIZE;
	q->huge_size = BMEM_HUGE_SIZE;
	q->align_min = BMEM_ALIGN_MIN;
	q->align_max = BMEM_ALIGN_MAX;
	q->batch_max = BMEM_BATCH_MAX;
	q->sites_max = BMEM_SITES_MAX;
	q->pools_max = BMEM_POOLS_MAX;
	q->pool = BMEM_POOL_DEFAULT;
	/* There is nothing to map them from: the offsets stay 0. */
	q->spans_bytes = (a->backing.len >> PAGE_SHIFT) * sizeof(*a->map);
	q->ledger_bytes = (uint64_t)a->nr_records * sizeof(*a->records);
	return 0;
}

static int do_bind(struct arena *a, void *arg)
{
	const struct bmem_bind *bind = arg;

	if (bind->flags & ~(BMEM_BIND_POOL | BMEM_BIND_LABEL | BMEM_BIND_CACHE |
			    BMEM_BIND_LEVEL | BMEM_BIND_POLICY))
		return -EOPNOTSUPP;
	if (bind->__reserved)
		return -EOPNOTSUPP;
	if (!bind->flags)
		return -EINVAL;
	if (bind->flags & BMEM_BIND_LABEL && label_check(bind->label))
		return -EINVAL;
	if (bind->flags & BMEM_BIND_POOL && bind->pool != BMEM_POOL_DEFAULT)
		return -ENOENT;
	if (bind->flags & BMEM_BIND_LEVEL && bind->level > BMEM_LEVEL_FULL)
		return -EINVAL;
	if (bind->flags & BMEM_BIND_POLICY && bind->policy > BMEM_PLACE_BUDDY)
		return -EINVAL;
	return arena_bind(a, bind);
}

static int do_site(struct arena *a, void *arg)
{
	const struct bmem_site *cmd = arg;

	if (cmd->flags || cmd->__reserved || cmd->__reserved2)
		return -EOPNOTSUPP;
	if (!cmd->site || cmd->nr_frames > BMEM_FRAMES_MAX ||
	    label_check(cmd->label))
		return -EINVAL;
	return arena_name_site(a, cmd);
}

/* The rule for labels, at another length. */
static bool bad_path(const char *path)
{
	size_t n = strnlen(path, BMEM_PATH_LEN);

	if (n == BMEM_PATH_LEN)
		return true;
	while (n--)
		if ((unsigned char)path[n] < ' ' || path[n] == 0x7f)
			return true;
	return false;
}

static int do_module(struct arena *a, void *arg)
{
	const struct bmem_module *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (!cmd->module || cmd->module > BMEM_MODULES_MAX ||
	    cmd->build_id_len > BMEM_BUILD_ID_MAX || bad_path(cmd->path))
		return -EINVAL;
	return arena_name_module(a, cmd);
}

/* This arena has one client. */
static bool stranger(const struct arena *a, uint64_t client_id)
{
	return client_id && client_id != a->books->st.client_id;
}

static int do_module_info(struct arena *a, void *arg)
{
	struct bmem_module_info *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (stranger(a, cmd->client_id))
		return -ENOENT;
	return arena_module_info(a, cmd);
}

static int do_site_frames(struct arena *a, void *arg)
{
	struct bmem_site_frames *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (cmd->nr > BMEM_FRAMES_MAX)
		return -EINVAL;
	if (stranger(a, cmd->client_id))
		return -ENOENT;
	return arena_site_frames(a, cmd);
}

static bool bad_nr(uint32_t nr)
{
	return !nr || nr > BMEM_BATCH_MAX;
}

static int do_alloc(struct arena *a, void *arg)
{
	struct bmem_alloc *cmd = arg;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->timeout_ms)
		return -EINVAL;
	cmd->failed = 0;
	if (bad_nr(cmd->nr))
		return -EINVAL;
	return arena_alloc(a, (void *)(uintptr_t)cmd->entries, cmd->nr,
			   &cmd->failed);
}

static int do_free(struct arena *a, void *arg)
{
	struct bmem_free *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->freed = 0;
	if (bad_nr(cmd->nr))
		return -EINVAL;
	return arena_free(a, (void *)(uintptr_t)cmd->entries, cmd->nr,
			  &cmd->freed);
}

static int do_slots_get(struct arena *a, void *arg)
{
	struct bmem_slots *cmd = arg;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->timeout_ms)
		return -EINVAL;
	if (cmd->size_class >= BMEM_CLASSES || bad_nr(cmd->nr))
		return -EINVAL;
	return arena_slots_get(a, cmd);
}

static int do_slots_put(struct arena *a, void *arg)
{
	struct bmem_slots *cmd = arg;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->timeout_ms)
		return -EINVAL;
	if (cmd->size_class || bad_nr(cmd->nr))
		return -EINVAL;
	return arena_slots_put(a, cmd);
}

static int do_info(struct arena *a, void *arg)
{
	struct bmem_tensor_info *cmd = arg;

	if (cmd->flags & ~BMEM_INFO_OFFSET)
		return -EOPNOTSUPP;
	if (cmd->flags & BMEM_INFO_OFFSET ? cmd->handle : cmd->offset)
		return -EINVAL;
	return arena_info(a, cmd);
}

static int do_list(struct arena *a, void *arg)
{
	struct bmem_tensor_list *cmd = arg;

	if (cmd->flags & ~BMEM_LIST_SITE)
		return -EOPNOTSUPP;
	if (bad_nr(cmd->nr) || (!(cmd->flags & BMEM_LIST_SITE) && cmd->site))
		return -EINVAL;
	if (stranger(a, cmd->client_id))
		return -ENOENT;
	return arena_list(a, cmd);
}

static int do_site_list(struct arena *a, void *arg)
{
	struct bmem_site_list *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (bad_nr(cmd->nr) || cmd->row_size > BMEM_PAGE_SIZE ||
	    cmd->row_size < sizeof(struct bmem_site_row))
		return -EINVAL;
	if (stranger(a, cmd->client_id))
		return -ENOENT;
	return arena_site_list(a, cmd);
}

static int do_client_list(struct arena *a, void *arg)
{
	struct bmem_client_list *cmd = arg;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (bad_nr(cmd->nr) || cmd->row_size > BMEM_PAGE_SIZE ||
	    cmd->row_size < sizeof(struct bmem_client_row))
		return -EINVAL;
	return arena_client_list(a, cmd);
}

static int do_stats(struct arena *a, void *arg)
{
	struct bmem_client_stats *st = arg;

	if (st->flags & ~BMEM_STATS_LEDGER)
		return -EOPNOTSUPP;
	if (stranger(a, st->client_id))
		return -ENOENT;
	return arena_stats(a, st);
}

static int do_trim(struct arena *a, void *arg)
{
	struct bmem_trim *cmd = arg;

	if (cmd->flags & ~(BMEM_TRIM_POOL | BMEM_TRIM_QUEUED))
		return -EOPNOTSUPP;
	/* What is freed here is cached, or gone at once. */
	if (cmd->flags & BMEM_TRIM_QUEUED) {
		cmd->trimmed_bytes = 0;
		return cmd->keep_bytes ? -EINVAL : 0;
	}
	/* This client is the pool's only one. */
	return arena_trim(a, cmd);
}

static int do_pool_list(struct arena *a, void *arg)
{
	struct bmem_pool_list *cmd = arg;
	uint32_t room = cmd->nr, *ids = (void *)(uintptr_t)cmd->ids;

	(void)a;
	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (room > BMEM_POOLS_MAX)
		return -EINVAL;
	cmd->nr = 1;
	if (!room)
		return -EMSGSIZE;
	ids[0] = BMEM_POOL_DEFAULT;
	return 0;
}

static int do_pool_stats(struct arena *a, void *arg)
{
	struct bmem_pool_stats *st = arg;

	if (st->flags & ~BMEM_STATS_NODE)
		return -EOPNOTSUPP;
	/* Which node memory is on, the fallback does not know. */
	if (st->nid)
		return -EINVAL;
	if (st->pool != BMEM_POOL_DEFAULT)
		return -ENOENT;
	*st = (struct bmem_pool_stats) {
		.size = st->size,
		.flags = st->flags,
	};
	return arena_pool_stats(a, st);
}

/*
 * What is out, against the limit.  Events have a hysteresis, which is the
 * listener's; this is the level without one.
 */
static int do_pressure(struct arena *a, void *arg)
{
	static const uint32_t above[] = { 700, 800, 900, 950 };
	struct bmem_pressure *p = arg;
	struct bmem_pool_stats st = { .size = sizeof(st) };
	struct bmem_client_stats cs = { .size = sizeof(cs) };
	int ret;

	if (p->flags & ~BMEM_STATS_NODE)
		return -EOPNOTSUPP;
	if (p->nid)
		return -EINVAL;
	if (p->pool != BMEM_POOL_DEFAULT)
		return -ENOENT;
	ret = arena_pool_stats(a, &st);
	if (!ret)
		ret = arena_stats(a, &cs);
	if (ret)
		return ret;
	*p = (struct bmem_pressure) {
		.size = p->size,
		.flags = p->flags,
		.held_bytes = st.attached_bytes,
		.limit_bytes = st.limit_bytes,
		.cached_bytes = cs.cached_bytes,
	};
	if (st.limit_bytes)
		p->permille = (st.attached_bytes * 1000 + st.limit_bytes - 1) /
			      st.limit_bytes;
	while (p->level < ARRAY_SIZE(above) && p->permille > above[p->level])
		p->level++;
	return 0;
}

/**
 * struct abi_call - one call of the ABI
 * @fn: does it; NULL for what the fallback cannot do
 * @size: length of its argument
 * @min: the shortest allowed, where its struct has grown; else 0
 * @back: written back on failure as well, for what its text promises then
 */
struct abi_call {
	int (*fn)(struct arena *a, void *arg);
	uint32_t size;
	uint32_t min;
	bool back;
};

#define NR_FIRST	_IOC_NR(BMEM_QUERY)
#define CALL(cmd, type, ...) \
	[_IOC_NR(cmd) - NR_FIRST] = { .size = sizeof(struct type), __VA_ARGS__ }

static const struct abi_call calls[] = {
	CALL(BMEM_QUERY, bmem_query, .fn = do_query),
	CALL(BMEM_BIND, bmem_bind, .fn = do_bind),
	CALL(BMEM_SITE, bmem_site, .fn = do_site),
	CALL(BMEM_ALLOC, bmem_alloc, .fn = do_alloc, .back = true),
	CALL(BMEM_FREE, bmem_free, .fn = do_free),
	CALL(BMEM_TENSOR_INFO, bmem_tensor_info, .fn = do_info),
	CALL(BMEM_TENSOR_LIST, bmem_tensor_list, .fn = do_list),
	CALL(BMEM_CLIENT_STATS, bmem_client_stats, .fn = do_stats,
	     .min = offsetof(struct bmem_client_stats, shared_bytes)),
	CALL(BMEM_TRIM, bmem_trim, .fn = do_trim),
	CALL(BMEM_POOL_CREATE, bmem_pool_create),
	CALL(BMEM_POOL_DESTROY, bmem_pool_destroy),
	CALL(BMEM_POOL_RESIZE, bmem_pool_resize),
	CALL(BMEM_POOL_LIST, bmem_pool_list, .fn = do_pool_list, .back = true),
	CALL(BMEM_POOL_STATS, bmem_pool_stats, .fn = do_pool_stats),
	CALL(BMEM_SLOTS_GET, bmem_slots, .fn = do_slots_get),
	CALL(BMEM_SLOTS_PUT, bmem_slots, .fn = do_slots_put),
	CALL(BMEM_MODULE, bmem_module, .fn = do_module),
	CALL(BMEM_MODULE_INFO, bmem_module_info, .fn = do_module_info),
	CALL(BMEM_SITE_LIST, bmem_site_list, .fn = do_site_list),
	CALL(BMEM_SITE_FRAMES, bmem_site_frames, .fn = do_site_frames,
	     .back = true),
	/* Private memory is copied by the kernel, see backing.c. */
	CALL(BMEM_CLONE, bmem_clone),
	CALL(BMEM_CLIENT_LIST, bmem_client_list, .fn = do_client_list),
	/* Nothing of the fallback outlives its processes. */
	CALL(BMEM_TOMBSTONE_LIST, bmem_tombstone_list),
	CALL(BMEM_TOMBSTONE_SITES, bmem_tombstone_sites),
	CALL(BMEM_TOMBSTONE_MODULE, bmem_tombstone_module),
	CALL(BMEM_LINK, bmem_link),
	CALL(BMEM_UNLINK, bmem_link),
	CALL(BMEM_LEAK_SCAN, bmem_leak_scan),
	CALL(BMEM_LEAK_LIST, bmem_leak_list),
	/* Nobody looks at it from time to time. */
	CALL(BMEM_GROWTH_LIST, bmem_growth_list),
	CALL(BMEM_PRESSURE, bmem_pressure, .fn = do_pressure),
	CALL(BMEM_LEAK_SKIP, bmem_leak_skip),
};

union abi_arg {
	struct bmem_query query;
	struct bmem_bind bind;
	struct bmem_site site;
	struct bmem_alloc alloc;
	struct bmem_free free;
	struct bmem_tensor_info info;
	struct bmem_tensor_list list;
	struct bmem_client_stats stats;
	struct bmem_trim trim;
	struct bmem_pool_create create;
	struct bmem_pool_destroy destroy;
	struct bmem_pool_resize resize;
	struct bmem_pool_list pools;
	struct bmem_pool_stats pool_stats;
	struct bmem_slots slots;
	struct bmem_module module;
	struct bmem_module_info module_info;
	struct bmem_site_list site_list;
	struct bmem_site_frames site_frames;
	struct bmem_client_list client_list;
	struct bmem_tombstone_list tombstone_list;
	struct bmem_tombstone_sites tombstone_sites;
	struct bmem_tombstone_module tombstone_module;
	struct bmem_leak_scan leak_scan;
	struct bmem_leak_list leak_list;
	struct bmem_link link;
	struct bmem_growth_list growth_list;
	struct bmem_pressure pressure;
	struct bmem_leak_skip leak_skip;
};

static int memfd_call(struct bmem_client *c, unsigned long cmd, void *user)
{
	unsigned int nr = _IOC_NR(cmd) - NR_FIRST;
	uint32_t size = *(const uint32_t *)user;
	const struct abi_call *call;
	union abi_arg arg;
	int ret;

	if (cmd == BMEM_EVENTS)
		return watch_call(c, user);
	if (_IOC_TYPE(cmd) != BMEM_IOC_TYPE || nr >= ARRAY_SIZE(calls))
		return -ENOTTY;
	call = &calls[nr];
	if (!call->size)
		return -ENOTTY;
	ret = sized_in(&arg, call->size, user, size,
		       call->min ? call->min : call->size);
	if (ret)
		return ret;
	if (!call->fn)
		return -EOPNOTSUPP;
	ret = call->fn(c->arena, &arg);
	watch_after(c, cmd, ret, &arg);
	if (!ret || call->back)
		memcpy(user, &arg, size < call->size ? size : call->size);
	return ret;
}

static int memfd_open(struct bmem_client *c, const struct bmem_options *o)
{
	int ret;

	c->arena = arena_open(o->max_bytes, c->private, &ret);
	if (!c->arena)
		return ret;
	c->base = c->arena->backing.base;
	c->len = c->arena->backing.len;
	ret = arena_window(c->arena, c);
	if (ret) {
		arena_close(c->arena);
		return ret;
	}
	c->clock = c->arena->clock;
	c->control = c->arena->control;
	c->spans = c->arena->map;
	c->ledger = c->arena->records;
	c->records = c->arena->nr_records;
	ret = client_bind(c, o);
	if (ret)
		arena_close(c->arena);
	return ret;
}

static void memfd_close(struct bmem_client *c)
{
	arena_close(c->arena);
}

static void memfd_fork(struct bmem_client *c, enum fork_step step)
{
	arena_fork(c->arena, step);
}

const struct backend backend_memfd = {
	.name = "memfd",
	.open = memfd_open,
	.close = memfd_close,
	.call = memfd_call,
	.fork = memfd_fork,
};
