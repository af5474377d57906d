// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/bmem: the device and its ioctl table, the module and its parameters.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "bmem_private.h"
#include "event.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* ---- parameters ------------------------------------------------------------- */

/* What a client may keep, a ring, and periods, each within reason. */
#define CACHE_MIB_MAX		65536
#define TOMBSTONES_MAX		65536
#define PROMOTE_MS_MIN		10
#define PROMOTE_MS_MAX		3600000
#define LEAK_MS_MAX		3600000
#define CYCLE_MS_MIN		100
#define ROUND_MS_MIN		10
#define GROWTH_MS_MAX		604800000	/* a week */

/* Placement counts pages in 32 bits. */
#define SPACE_GIB_MAX		((u64)PLACE_CHUNKS_MAX * BMEM_HUGE_SIZE / SZ_1G)

static unsigned int reserve_mib = 64;
module_param(reserve_mib, uint, 0444);
MODULE_PARM_DESC(reserve_mib,
		 "MiB that the default pool holds from the start, multiple of 2 (default 64)");

static unsigned int limit_mib;
module_param(limit_mib, uint, 0444);
MODULE_PARM_DESC(limit_mib,
		 "most MiB that the default pool may hold, multiple of 2; 0 for half of the memory (default 0)");

static unsigned int space_gib;
module_param(space_gib, uint, 0444);
MODULE_PARM_DESC(space_gib,
		 "GiB of address space of a client, power of two; 0 for four times the memory (default 0)");

/* A number that is none of a parameter's is that, also one beyond all numbers. */
static int set_bounded(const char *val, const struct kernel_param *kp,
		       unsigned int min, unsigned int max)
{
	int rc = param_set_uint_minmax(val, kp, min, max);

	return rc == -ERANGE ? -EINVAL : rc;
}

static int set_cache_mib(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, CACHE_MIB_MAX);
}

static const struct kernel_param_ops cache_mib_ops = {
	.set = set_cache_mib,
	.get = param_get_uint,
};
module_param_cb(cache_mib, &cache_mib_ops, &bmem_cache_mib, 0644);
MODULE_PARM_DESC(cache_mib,
		 "MiB of empty huge pages that a new client may keep attached (default 16)");

static int set_tombstones(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, TOMBSTONES_MAX);
}

static const struct kernel_param_ops tombstones_ops = {
	.set = set_tombstones,
	.get = param_get_uint,
};
module_param_cb(tombstones, &tombstones_ops, &bmem_tombstones_max, 0444);
MODULE_PARM_DESC(tombstones,
		 "how many tombstones are kept (default 256)");

static int set_promote_ms(const char *val, const struct kernel_param *kp)
{
	int rc = set_bounded(val, kp, PROMOTE_MS_MIN, PROMOTE_MS_MAX);

	if (!rc)
		bmem_promote_changed();
	return rc;
}

static const struct kernel_param_ops promote_ms_ops = {
	.set = set_promote_ms,
	.get = param_get_uint,
};
module_param_cb(promote_ms, &promote_ms_ops, &bmem_promote_ms, 0644);
MODULE_PARM_DESC(promote_ms,
		 "milliseconds between tries to move base pages to huge pages (default 1000)");

/* What cleanup waits for, and for how long it goes on. */
#define CLEANUP_BATCH_MAX	1024
#define CLEANUP_MS_MAX		60000
#define CLEANUP_SLICE_MIN	100
#define CLEANUP_SLICE_MAX	1000000
#define HYSTERESIS_MAX		20
#define COOLDOWN_MAX		60000

static int set_cleanup_batch(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, CLEANUP_BATCH_MAX);
}

static const struct kernel_param_ops cleanup_batch_ops = {
	.set = set_cleanup_batch,
	.get = param_get_uint,
};
module_param_cb(cleanup_batch, &cleanup_batch_ops, &bmem_cleanup_batch, 0644);
MODULE_PARM_DESC(cleanup_batch,
		 "freed huge pages of a client that wait before they go back together (default 10)");

static int set_cleanup_ms(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 1, CLEANUP_MS_MAX);
}

static const struct kernel_param_ops cleanup_ms_ops = {
	.set = set_cleanup_ms,
	.get = param_get_uint,
};
module_param_cb(cleanup_idle_ms, &cleanup_ms_ops, &bmem_cleanup_idle_ms, 0644);
MODULE_PARM_DESC(cleanup_idle_ms,
		 "milliseconds without a further one after which fewer go back, too (default 100)");
module_param_cb(cleanup_cache_ms, &cleanup_ms_ops, &bmem_cleanup_cache_ms,
		0644);
MODULE_PARM_DESC(cleanup_cache_ms,
		 "milliseconds without use after which a client's cache goes back, unless it asked for its size (default 1000)");

static int set_cleanup_slice(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, CLEANUP_SLICE_MIN, CLEANUP_SLICE_MAX);
}

static const struct kernel_param_ops cleanup_slice_ops = {
	.set = set_cleanup_slice,
	.get = param_get_uint,
};
module_param_cb(cleanup_slice_us, &cleanup_slice_ops, &bmem_cleanup_slice_us,
		0644);
MODULE_PARM_DESC(cleanup_slice_us,
		 "microseconds after which cleanup lets others go first (default 2000)");

static int set_pressure_levels(const char *val, const struct kernel_param *kp)
{
	return bmem_pressure_set_levels(val);
}

static int get_pressure_levels(char *buffer, const struct kernel_param *kp)
{
	return bmem_pressure_get_levels(buffer);
}

static const struct kernel_param_ops pressure_levels_ops = {
	.set = set_pressure_levels,
	.get = get_pressure_levels,
};
module_param_cb(pressure_levels, &pressure_levels_ops, NULL, 0644);
MODULE_PARM_DESC(pressure_levels,
		 "percentages of a pool's limit above which its pressure is raised, high, severe, critical (default 70,80,90,95)");

static int set_hysteresis(const char *val, const struct kernel_param *kp)
{
	int rc = set_bounded(val, kp, 0, HYSTERESIS_MAX);

	if (!rc)
		bmem_pressure_changed();
	return rc;
}

static const struct kernel_param_ops hysteresis_ops = {
	.set = set_hysteresis,
	.get = param_get_uint,
};
module_param_cb(pressure_hysteresis, &hysteresis_ops,
		&bmem_pressure_hysteresis, 0644);
MODULE_PARM_DESC(pressure_hysteresis,
		 "by how many percent pressure has to fall below a level to leave it (default 2)");

static int set_cooldown(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, COOLDOWN_MAX);
}

static const struct kernel_param_ops cooldown_ops = {
	.set = set_cooldown,
	.get = param_get_uint,
};
module_param_cb(pressure_cooldown_ms, &cooldown_ops,
		&bmem_pressure_cooldown_ms, 0644);
MODULE_PARM_DESC(pressure_cooldown_ms,
		 "milliseconds between events of a pool's pressure that do not tell of more (default 100)");

static const char * const levels[] = {
	[BMEM_LEVEL_OFF] = "off",
	[BMEM_LEVEL_COUNTS] = "counts",
	[BMEM_LEVEL_STANDARD] = "standard",
	[BMEM_LEVEL_FULL] = "full",
};

static int parse_level(const char *val)
{
	unsigned int level;
	int rc;

	rc = sysfs_match_string(levels, val);
	if (rc >= 0)
		return rc;
	rc = kstrtouint(val, 0, &level);
	if (rc)
		return rc == -ERANGE ? -EINVAL : rc;
	return level < ARRAY_SIZE(levels) ? level : -EINVAL;
}

static int set_level(const char *val, const struct kernel_param *kp)
{
	int level = parse_level(val);

	if (level < 0)
		return level;
	WRITE_ONCE(bmem_level, level);
	if (level)
		static_branch_enable(&bmem_tracking);
	else
		static_branch_disable(&bmem_tracking);
	bmem_clients_update();
	return 0;
}

static int get_level(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", levels[READ_ONCE(bmem_level)]);
}

static const struct kernel_param_ops level_ops = {
	.set = set_level,
	.get = get_level,
};
module_param_cb(level, &level_ops, NULL, 0644);
MODULE_PARM_DESC(level,
		 "most that is recorded of any client's tensors: off, counts, standard or full (default full)");

static int set_leak_ms(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, LEAK_MS_MAX);
}

static const struct kernel_param_ops leak_ms_ops = {
	.set = set_leak_ms,
	.get = param_get_uint,
};
module_param_cb(leak_age_ms, &leak_ms_ops, &bmem_leak_age_ms, 0644);
MODULE_PARM_DESC(leak_age_ms,
		 "milliseconds below which a tensor is too young to be a leak (default 5000)");
module_param_cb(leak_delay_ms, &leak_ms_ops, &bmem_leak_delay_ms, 0644);
MODULE_PARM_DESC(leak_delay_ms,
		 "milliseconds after which a suspected leak is looked at again (default 5000)");

static int set_round_ms(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, ROUND_MS_MIN, LEAK_MS_MAX);
}

static const struct kernel_param_ops round_ms_ops = {
	.set = set_round_ms,
	.get = param_get_uint,
};
module_param_cb(leak_round_ms, &round_ms_ops, &bmem_leak_round_ms, 0644);
MODULE_PARM_DESC(leak_round_ms,
		 "milliseconds after which the module gives up a look for leaks that nobody waits for (default 30000)");

static int set_cycle_ms(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, CYCLE_MS_MIN, LEAK_MS_MAX);
}

static const struct kernel_param_ops cycle_ms_ops = {
	.set = set_cycle_ms,
	.get = param_get_uint,
};
module_param_cb(cycle_ms, &cycle_ms_ops, &bmem_cycle_ms, 0644);
MODULE_PARM_DESC(cycle_ms,
		 "milliseconds between looks for cycles of links, in clients with level full (default 10000)");

static int set_growth_ms(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, GROWTH_MS_MAX);
}

static const struct kernel_param_ops growth_ms_ops = {
	.set = set_growth_ms,
	.get = param_get_uint,
};
module_param_cb(growth_ms, &growth_ms_ops, &bmem_growth_ms, 0644);
MODULE_PARM_DESC(growth_ms,
		 "milliseconds that a call site must have been growing to be told of (default 60000)");

static int set_fault_around(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 1, BMEM_AROUND_MAX);
}

static const struct kernel_param_ops fault_around_ops = {
	.set = set_fault_around,
	.get = param_get_uint,
};
module_param_cb(fault_around, &fault_around_ops, &bmem_fault_around, 0644);
MODULE_PARM_DESC(fault_around,
		 "huge pages of a large tensor that one fault maps, up to 32 (default 16; 1 for none but its own)");

static int set_clone_share(const char *val, const struct kernel_param *kp)
{
	return set_bounded(val, kp, 0, 100);
}

static const struct kernel_param_ops clone_share_ops = {
	.set = set_clone_share,
	.get = param_get_uint,
};
module_param_cb(clone_share, &clone_share_ops, &bmem_clone_share, 0644);
MODULE_PARM_DESC(clone_share,
		 "percentage of a pool's limit that is kept for copies of what clones of one user share, at the most (default 50)");

module_param_named(huge, bmem_huge, bool, 0644);
MODULE_PARM_DESC(huge,
		 "take huge pages from the system; N for base pages only (default Y)");

/* ---- ioctl ------------------------------------------------------------------- */

static int query(struct bmem_client *client, struct bmem_query *cmd)
{
	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->caps = 0;
	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		cmd->caps |= BMEM_CAP_HUGE;
	if (IS_ENABLED(CONFIG_MEMCG))
		cmd->caps |= BMEM_CAP_MEMCG;
	cmd->client_id = client->who.id;
	cmd->space_bytes = bmem_bytes(bmem_space_pages);
	cmd->page_size = BMEM_PAGE_SIZE;
	cmd->huge_size = BMEM_HUGE_SIZE;
	cmd->align_min = BMEM_ALIGN_MIN;
	cmd->align_max = BMEM_ALIGN_MAX;
	cmd->batch_max = BMEM_BATCH_MAX;
	cmd->sites_max = BMEM_SITES_MAX;
	cmd->pools_max = BMEM_POOLS_MAX;
	cmd->control_offset = BMEM_CONTROL_OFFSET;
	cmd->spans_offset = BMEM_SPANS_OFFSET;
	cmd->spans_bytes = bmem_space_pages * sizeof(u64);
	cmd->ledger_offset = BMEM_LEDGER_OFFSET;
	cmd->ledger_bytes = BMEM_RECORDS_MAX * sizeof(struct bmem_record);
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	cmd->pool = client->pool->id;
	mutex_unlock(&client->lock);
	return 0;
}

static int pool_list(struct bmem_pool_list *cmd)
{
	u32 ids[BMEM_POOLS_MAX], room = cmd->nr;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (room > BMEM_POOLS_MAX)
		return -EINVAL;
	rc = bmem_pool_ids(ids, &cmd->nr);
	if (rc)
		return rc;
	if (cmd->nr > room)
		return -EMSGSIZE;
	if (copy_to_user(u64_to_user_ptr(cmd->ids), ids,
			 cmd->nr * sizeof(*ids)))
		return -EFAULT;
	return 0;
}

/* What happened before the call is not told of because of it. */
static int events(struct bmem_client *client, struct bmem_events *cmd)
{
	int rc = bmem_reader_check(cmd);

	rc = rc ?: bmem_events_settle();
	return rc ?: bmem_reader_set(&client->reader, cmd);
}

union bmem_cmd {
	struct bmem_query query;
	struct bmem_bind bind;
	struct bmem_clone clone;
	struct bmem_site site;
	struct bmem_alloc alloc;
	struct bmem_free free;
	struct bmem_tensor_info tensor_info;
	struct bmem_tensor_list tensor_list;
	struct bmem_client_stats client_stats;
	struct bmem_trim trim;
	struct bmem_pool_create pool_create;
	struct bmem_pool_destroy pool_destroy;
	struct bmem_pool_resize pool_resize;
	struct bmem_pool_list pool_list;
	struct bmem_pool_stats pool_stats;
	struct bmem_slots slots;
	struct bmem_module module;
	struct bmem_module_info module_info;
	struct bmem_site_list site_list;
	struct bmem_site_frames site_frames;
	struct bmem_growth_list growth_list;
	struct bmem_client_list client_list;
	struct bmem_tombstone_list tombstone_list;
	struct bmem_tombstone_sites tombstone_sites;
	struct bmem_tombstone_module tombstone_module;
	struct bmem_leak_scan leak_scan;
	struct bmem_leak_list leak_list;
	struct bmem_events events;
	struct bmem_link link;
	struct bmem_pressure pressure;
	struct bmem_leak_skip leak_skip;
	u32 size;
};

/* No more than the caller's struct has room for. */
static int write_back(void __user *user, const union bmem_cmd *cmd,
		      size_t size)
{
	size = min_t(size_t, size, cmd->size);
	return copy_to_user(user, cmd, size) ? -EFAULT : 0;
}

/**
 * enum bmem_out - when is an ioctl's struct written back?
 * @OUT_NEVER: it has no out fields
 * @OUT_DONE: after success
 * @OUT_FAILED: after failure, for a field that tells more about it
 * @OUT_ALWAYS: in both cases
 * @OUT_SELF: by the call, before what it did can be seen
 */
enum bmem_out {
	OUT_NEVER,
	OUT_DONE,
	OUT_FAILED,
	OUT_ALWAYS,
	OUT_SELF,
};

static bool wants_out(enum bmem_out out, int rc)
{
	switch (out) {
	case OUT_DONE:
		return !rc;
	case OUT_FAILED:
		return rc;
	case OUT_ALWAYS:
		return true;
	default:
		return false;
	}
}

/**
 * struct bmem_op - one ioctl
 * @fn: does it, on the struct in place, for the client of an open file
 * @size: of the struct that this kernel knows
 * @min: of the struct's first version
 * @out: when the struct is written back
 * @admin: needs CAP_SYS_ADMIN
 */
struct bmem_op {
	int (*fn)(struct file *file, union bmem_cmd *cmd, void __user *user);
	unsigned int size;
	unsigned int min;
	enum bmem_out out;
	bool admin;
};

#define BMEM_OP_FN(_name, _call)					\
	static int op_##_name(struct file *file, union bmem_cmd *cmd,	\
			      void __user *user)			\
	{								\
		struct bmem_client *client __maybe_unused =		\
			file->private_data;				\
									\
		return _call;						\
	}

BMEM_OP_FN(query, query(client, &cmd->query))
BMEM_OP_FN(bind, bmem_client_bind(client, &cmd->bind))
BMEM_OP_FN(site, bmem_site_name(client, &cmd->site))
BMEM_OP_FN(alloc, bmem_client_alloc(client, &cmd->alloc))
BMEM_OP_FN(free, bmem_tensor_free(client, &cmd->free))
BMEM_OP_FN(tensor_info, bmem_tensor_info(client, &cmd->tensor_info))
BMEM_OP_FN(tensor_list, bmem_client_list(client, &cmd->tensor_list))
BMEM_OP_FN(client_stats, bmem_client_query(client, &cmd->client_stats))
BMEM_OP_FN(trim, bmem_client_trim(client, &cmd->trim))
BMEM_OP_FN(pool_destroy, bmem_pool_destroy(&cmd->pool_destroy))
BMEM_OP_FN(pool_resize, bmem_pool_resize(&cmd->pool_resize))
BMEM_OP_FN(pool_list, pool_list(&cmd->pool_list))
BMEM_OP_FN(pool_stats, bmem_pool_stats(&cmd->pool_stats))
BMEM_OP_FN(slots_put, bmem_slots_put(client, &cmd->slots))
BMEM_OP_FN(module, bmem_progfile_name(client, &cmd->module))
BMEM_OP_FN(module_info, bmem_progfile_info(client, &cmd->module_info))
BMEM_OP_FN(site_list, bmem_site_list(client, &cmd->site_list))
BMEM_OP_FN(site_frames, bmem_site_frames(client, &cmd->site_frames))
BMEM_OP_FN(events, events(client, &cmd->events))
BMEM_OP_FN(growth_list, bmem_growth_list(client, &cmd->growth_list))
BMEM_OP_FN(client_list, bmem_client_rows(&cmd->client_list))
BMEM_OP_FN(tombstone_list, bmem_tombstone_rows(&cmd->tombstone_list))
BMEM_OP_FN(tombstone_sites, bmem_tombstone_sites(&cmd->tombstone_sites))
BMEM_OP_FN(pressure, bmem_pressure_query(client, &cmd->pressure))
BMEM_OP_FN(tombstone_module, bmem_tombstone_module(&cmd->tombstone_module))
BMEM_OP_FN(leak_scan, bmem_leak_scan(client, &cmd->leak_scan))
BMEM_OP_FN(link, bmem_link(client, &cmd->link, false))
BMEM_OP_FN(unlink, bmem_link(client, &cmd->link, true))
BMEM_OP_FN(leak_list, bmem_leak_list(client, &cmd->leak_list))
BMEM_OP_FN(leak_skip, bmem_leak_skip(client, &cmd->leak_skip))

/* Slots that the caller is not told of are taken back. */
static int op_slots_get(struct file *file, union bmem_cmd *cmd,
			void __user *user)
{
	struct bmem_slots __user *slots = user;

	return bmem_client_slots(file->private_data, &cmd->slots, &slots->nr);
}

/* The id is told first: once others find the pool, nothing may fail. */
static int op_pool_create(struct file *file, union bmem_cmd *cmd,
			  void __user *user)
{
	struct bmem_pool *pool = bmem_pool_create(&cmd->pool_create);

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	if (write_back(user, cmd, sizeof(cmd->pool_create))) {
		bmem_pool_abort(pool);
		return -EFAULT;
	}
	bmem_pool_publish(pool);
	return 0;
}

/* The descriptor is told first: once it is open others may use it. */
static int op_clone(struct file *file, union bmem_cmd *cmd, void __user *user)
{
	int fd = get_unused_fd_flags(O_CLOEXEC), rc;
	struct file *clone;

	if (fd < 0)
		return fd;
	clone = bmem_client_clone(file, &cmd->clone);
	if (IS_ERR(clone)) {
		rc = PTR_ERR(clone);
		goto err_fd;
	}
	cmd->clone.fd = fd;
	if (write_back(user, cmd, sizeof(cmd->clone))) {
		rc = -EFAULT;
		goto err_clone;
	}
	fd_install(fd, clone);
	return 0;

err_clone:
	fput(clone);
err_fd:
	put_unused_fd(fd);
	return rc;
}

#define BMEM_OP_AS(_ioctl, _fn, _name, _last, _out, _admin)		\
	[_IOC_NR(_ioctl) - _IOC_NR(BMEM_QUERY)] = {			\
		.fn = op_##_fn,						\
		.size = sizeof_field(union bmem_cmd, _name) +		\
			BUILD_BUG_ON_ZERO(sizeof_field(union bmem_cmd,	\
						       _name) % 8),	\
		.min = offsetofend(typeof_member(union bmem_cmd,	\
						 _name), _last),	\
		.out = _out,						\
		.admin = _admin,					\
	}

#define BMEM_OP(_ioctl, _name, _last, _out, _admin)			\
	BMEM_OP_AS(_ioctl, _name, _name, _last, _out, _admin)

static const struct bmem_op ops[] = {
	BMEM_OP(BMEM_QUERY, query, pool, OUT_DONE, false),
	BMEM_OP(BMEM_BIND, bind, label, OUT_NEVER, false),
	BMEM_OP(BMEM_CLONE, clone, client_id, OUT_SELF, false),
	BMEM_OP(BMEM_SITE, site, label, OUT_NEVER, false),
	BMEM_OP(BMEM_ALLOC, alloc, entries, OUT_FAILED, false),
	BMEM_OP(BMEM_FREE, free, entries, OUT_DONE, false),
	BMEM_OP(BMEM_TENSOR_INFO, tensor_info, label, OUT_DONE, false),
	BMEM_OP(BMEM_TENSOR_LIST, tensor_list, entries, OUT_DONE, false),
	BMEM_OP(BMEM_CLIENT_STATS, client_stats, escaped_bytes, OUT_DONE, false),
	BMEM_OP(BMEM_TRIM, trim, trimmed_bytes, OUT_DONE, false),
	BMEM_OP(BMEM_POOL_CREATE, pool_create, name, OUT_SELF, true),
	BMEM_OP(BMEM_POOL_DESTROY, pool_destroy, __reserved, OUT_NEVER, true),
	BMEM_OP(BMEM_POOL_RESIZE, pool_resize, reserve_bytes, OUT_NEVER, true),
	BMEM_OP(BMEM_POOL_LIST, pool_list, ids, OUT_ALWAYS, false),
	BMEM_OP(BMEM_POOL_STATS, pool_stats, name, OUT_DONE, false),
	BMEM_OP_AS(BMEM_SLOTS_GET, slots_get, slots, slots, OUT_SELF, false),
	BMEM_OP_AS(BMEM_SLOTS_PUT, slots_put, slots, slots, OUT_DONE, false),
	BMEM_OP(BMEM_MODULE, module, path, OUT_NEVER, false),
	BMEM_OP(BMEM_MODULE_INFO, module_info, path, OUT_DONE, false),
	BMEM_OP(BMEM_SITE_LIST, site_list, rows, OUT_DONE, false),
	BMEM_OP(BMEM_SITE_FRAMES, site_frames, frames, OUT_ALWAYS, false),
	BMEM_OP(BMEM_EVENTS, events, capacity, OUT_DONE, false),
	BMEM_OP(BMEM_CLIENT_LIST, client_list, rows, OUT_DONE, false),
	BMEM_OP(BMEM_TOMBSTONE_LIST, tombstone_list, rows, OUT_DONE, false),
	BMEM_OP(BMEM_TOMBSTONE_SITES, tombstone_sites, rows, OUT_ALWAYS, false),
	BMEM_OP(BMEM_TOMBSTONE_MODULE, tombstone_module, path, OUT_DONE, false),
	BMEM_OP(BMEM_LINK, link, entries, OUT_DONE, false),
	BMEM_OP_AS(BMEM_UNLINK, unlink, link, entries, OUT_DONE, false),
	BMEM_OP(BMEM_LEAK_SCAN, leak_scan, cleared, OUT_DONE, false),
	BMEM_OP(BMEM_LEAK_LIST, leak_list, __reserved2, OUT_DONE, false),
	BMEM_OP(BMEM_GROWTH_LIST, growth_list, rows, OUT_DONE, false),
	BMEM_OP(BMEM_PRESSURE, pressure, gained_bytes, OUT_DONE, false),
	BMEM_OP(BMEM_LEAK_SKIP, leak_skip, bytes, OUT_NEVER, false),
};

static const struct bmem_op *find_op(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd) - _IOC_NR(BMEM_QUERY);
	const struct bmem_op *op;

	if (cmd != _IO(BMEM_IOC_TYPE, _IOC_NR(cmd)) || nr >= ARRAY_SIZE(ops))
		return NULL;
	op = &ops[array_index_nospec(nr, ARRAY_SIZE(ops))];
	/* There are numbers in between that no call has. */
	return op->fn ? op : NULL;
}

static long bmem_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	const struct bmem_op *op = find_op(nr);
	void __user *user = (void __user *)arg;
	union bmem_cmd cmd;
	u32 usize;
	int rc;

	if (!op)
		return -ENOTTY;
	if (get_user(usize, (u32 __user *)user))
		return -EFAULT;
	if (usize < op->min || usize > PAGE_SIZE)
		return usize < op->min ? -EINVAL : -E2BIG;
	memset(&cmd, 0, sizeof(cmd));
	rc = copy_struct_from_user(&cmd, op->size, user, usize);
	if (rc)
		return rc;
	cmd.size = usize;
	if (op->admin && !capable(CAP_SYS_ADMIN))
		return -EPERM;

	/* Find out that nothing can be written back before anything is done. */
	if (op->out != OUT_NEVER && write_back(user, &cmd, op->size))
		return -EFAULT;
	rc = op->fn(file, &cmd, user);
	if (wants_out(op->out, rc) && write_back(user, &cmd, op->size) && !rc)
		rc = -EFAULT;
	return rc;
}

/* ---- device --------------------------------------------------------------------- */

static int bmem_open(struct inode *inode, struct file *file)
{
	struct bmem_client *client = bmem_client_open();

	if (IS_ERR(client))
		return PTR_ERR(client);
	file->private_data = client;
	file->f_mapping = client->inode->i_mapping;
	return nonseekable_open(inode, file);
}

static int bmem_release(struct inode *inode, struct file *file)
{
	bmem_client_close(file->private_data);
	return 0;
}

static ssize_t bmem_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct bmem_client *client = iocb->ki_filp->private_data;

	return bmem_reader_read(&client->reader, iocb, to);
}

static __poll_t bmem_poll(struct file *file, poll_table *pt)
{
	struct bmem_client *client = file->private_data;

	return bmem_reader_poll(&client->reader, file, pt);
}

static const struct file_operations bmem_fops = {
	.owner = THIS_MODULE,
	.open = bmem_open,
	.release = bmem_release,
	.read_iter = bmem_read_iter,
	.poll = bmem_poll,
	.unlocked_ioctl = bmem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = bmem_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.show_fdinfo = bmem_show_fdinfo,
};

static struct miscdevice bmem_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bmem",
	.fops = &bmem_fops,
	.mode = 0660,
};

/* ---- module ---------------------------------------------------------------------- */

static int space_init(void)
{
	u64 gib = space_gib;

	if (gib && (!is_power_of_2(gib) || gib > SPACE_GIB_MAX)) {
		pr_err("space_gib must be a power of two up to %llu\n",
		       SPACE_GIB_MAX);
		return -EINVAL;
	}
	if (!gib) {
		gib = DIV_ROUND_UP_ULL(4 * bmem_bytes(totalram_pages()), SZ_1G);
		gib = min_t(u64, roundup_pow_of_two(gib), SPACE_GIB_MAX);
	}
	bmem_space_pages = gib << (30 - PAGE_SHIFT);
	return 0;
}

static int pools_init(void)
{
	u64 limit = (u64)limit_mib * SZ_1M, reserve = (u64)reserve_mib * SZ_1M;
	int rc;

	if (!limit)
		limit = ALIGN_DOWN(bmem_bytes(totalram_pages()) / 2,
				   BMEM_HUGE_SIZE);
	rc = bmem_pools_init(limit, reserve);
	if (rc == -EINVAL)
		pr_err("reserve_mib and limit_mib must be multiples of 2, and reserve_mib at most limit_mib\n");
	else if (rc)
		pr_err("no default pool of %u MiB: error %d\n", reserve_mib,
		       rc);
	return rc;
}

static void pools_exit(void)
{
	bmem_keeper_stop();
	bmem_pools_exit();
}

static int poison_init(void)
{
	bmem_poison_start();
	return 0;
}

static int views_init(void)
{
	bmem_overhead_start();
	bmem_debugfs_init();
	return 0;
}

static int device_init(void)
{
	return misc_register(&bmem_misc);
}

static void device_exit(void)
{
	misc_deregister(&bmem_misc);
}

/* In the order in which they start; they stop in the opposite one. */
static const struct part {
	int (*start)(void);
	void (*stop)(void);
} parts[] = {
	{ bmem_events_start, bmem_events_stop },
	{ bmem_tensors_init, bmem_tensors_exit },
	{ bmem_slots_init, bmem_slots_exit },
	{ bmem_sites_start, bmem_sites_stop },
	{ bmem_control_start, bmem_control_stop },
	{ bmem_tombstones_init, bmem_tombstones_exit },
	{ bmem_vm_init, bmem_vm_exit },
	{ poison_init, bmem_poison_stop },
	{ bmem_cleanup_start, bmem_cleanup_stop },
	{ bmem_pressure_start, bmem_pressure_stop },
	{ pools_init, pools_exit },
	{ bmem_shrink_start, bmem_shrink_stop },
	/* Workers that look at clients, and through these at pools. */
	{ bmem_promote_init, bmem_promote_exit },
	{ bmem_sweep_start, bmem_sweep_stop },
	{ bmem_leak_start, bmem_leak_stop },
	{ bmem_leak_rules_start, bmem_leak_rules_stop },
	{ views_init, bmem_debugfs_exit },
	{ device_init, device_exit },
};

static void parts_stop(size_t nr)
{
	while (nr--)
		parts[nr].stop();
}

static int __init bmem_init(void)
{
	int rc = space_init();
	size_t i;

	for (i = 0; !rc && i < ARRAY_SIZE(parts); i++) {
		rc = parts[i].start();
		if (rc)
			parts_stop(i);
	}
	return rc;
}

static void __exit bmem_exit(void)
{
	parts_stop(ARRAY_SIZE(parts));
}

module_init(bmem_init);
module_exit(bmem_exit);

MODULE_DESCRIPTION("Tensor memory from pools of huge pages, accounted for exactly");
MODULE_AUTHOR("The bmem maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
