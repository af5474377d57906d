/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * bmem: tensor memory from pools of huge pages, accounted for exactly.
 *
 * One open of /dev/bmem is one client.  A client owns a space: a range of
 * device offsets that starts at 0 and is mapped once, with MAP_SHARED.  ALLOC
 * answers an offset into that mapping; the memory behind it is there when the
 * call returns, so touching a live tensor never fails.  Everything a client
 * holds goes back when its last descriptor and its last mapping are gone.
 *
 * All sizes are bytes unless a field says otherwise.
 */
#ifndef _UAPI_LINUX_BMEM_H
#define _UAPI_LINUX_BMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: ioctl rules
 *
 * The letter is 0xBE (not registered).  The number alone names the call; the
 * size of its argument is in the argument's first field, so that structs can
 * grow.  A caller sets @size to sizeof() of the struct it was compiled with
 * and every field it does not use to zero.
 *
 * The kernel reads fields that the caller's struct is too short to have as
 * zero, and writes back no more than @size bytes.
 *
 * errno values, the same for every call:
 *
 * ======================= ===================================================
 * ENOTTY                  no call has this number
 * EFAULT                  a pointer leads to memory that cannot be accessed
 * EINVAL                  @size is below the call's first version, or a value
 *                         is outside the range that its field documents
 * E2BIG                   @size exceeds what this kernel knows and a byte
 *                         beyond it is not zero, or it exceeds a page
 * EOPNOTSUPP              a flag bit that is not defined, or a reserved field
 *                         that is not zero
 * EOVERFLOW               sizes that do not fit 64 bits when added up
 * ENOENT                  no such tensor, pool or client, or one that the
 *                         caller may not see
 * EPERM                   the call needs CAP_SYS_ADMIN, or the pool admits
 *                         only another group
 * EEXIST                  a pool of this name is there already
 * EBUSY                   the object is in use: a pool that has clients, a
 *                         client that has tensors
 * EMSGSIZE                the array is too small; its count field says how
 *                         many entries there are
 * EFBIG                   larger than the pool's limit or the client's space:
 *                         it cannot succeed however much is freed
 * ENOSPC                  the pool is at its limit, or the client's space has
 *                         no gap of this size, or a table is full (pools,
 *                         sites)
 * ENOMEM                  the system, or the caller's memory cgroup, has no
 *                         memory left
 * EINTR                   the caller was killed while it waited
 * ======================= ===================================================
 *
 * A call that fails has changed nothing, unless its text says otherwise.
 */

/** define BMEM_IOC_TYPE - ioctl letter */
#define BMEM_IOC_TYPE		0xBE

/** define BMEM_PAGE_SIZE - granularity of placement, in bytes */
#define BMEM_PAGE_SIZE		4096

/** define BMEM_HUGE_SIZE - unit in which memory enters and leaves a pool */
#define BMEM_HUGE_SIZE		(2 * 1024 * 1024)

/** define BMEM_ALIGN_MIN - smallest alignment that a tensor can ask for */
#define BMEM_ALIGN_MIN		64

/** define BMEM_ALIGN_MAX - largest alignment that a tensor can ask for */
#define BMEM_ALIGN_MAX		BMEM_HUGE_SIZE

/** define BMEM_BATCH_MAX - most entries in one ALLOC, FREE or TENSOR_LIST */
#define BMEM_BATCH_MAX		1024

/** define BMEM_LABEL_LEN - bytes of a label, terminating zero included */
#define BMEM_LABEL_LEN		64

/** define BMEM_POOL_NAME_LEN - bytes of a pool's name, zero included */
#define BMEM_POOL_NAME_LEN	32

/** define BMEM_POOLS_MAX - most pools at a time */
#define BMEM_POOLS_MAX		64

/** define BMEM_SITES_MAX - most call sites that one client can name */
#define BMEM_SITES_MAX		16384

/** define BMEM_POOL_DEFAULT - id of the pool made when the module loads */
#define BMEM_POOL_DEFAULT	0

/** define BMEM_GID_ANY - a pool that admits every group */
#define BMEM_GID_ANY		0xffffffffU

/** define BMEM_CAP_HUGE - the kernel maps huge pages as huge pages */
#define BMEM_CAP_HUGE		(1ULL << 0)
/** define BMEM_CAP_MEMCG - memory beyond a reservation is charged to cgroups */
#define BMEM_CAP_MEMCG		(1ULL << 1)

/**
 * struct bmem_query - BMEM_QUERY: who am I, and what are the limits?
 * @size: sizeof(struct bmem_query)
 * @flags: must be 0
 * @caps: out, BMEM_CAP_*
 * @client_id: out, identity of this client, never 0, never used again
 * @space_bytes: out, length of the client's space; offsets are below it
 * @page_size: out, BMEM_PAGE_SIZE
 * @huge_size: out, BMEM_HUGE_SIZE
 * @align_min: out, BMEM_ALIGN_MIN
 * @align_max: out, BMEM_ALIGN_MAX
 * @batch_max: out, BMEM_BATCH_MAX
 * @sites_max: out, BMEM_SITES_MAX
 * @pools_max: out, BMEM_POOLS_MAX
 * @pool: out, id of the pool that the client is bound to
 */
struct bmem_query {
	__u32 size;
	__u32 flags;
	__aligned_u64 caps;
	__aligned_u64 client_id;
	__aligned_u64 space_bytes;
	__u32 page_size;
	__u32 huge_size;
	__u32 align_min;
	__u32 align_max;
	__u32 batch_max;
	__u32 sites_max;
	__u32 pools_max;
	__u32 pool;
};

/** define BMEM_BIND_POOL - change the client's pool to @pool */
#define BMEM_BIND_POOL		(1U << 0)
/** define BMEM_BIND_LABEL - set the client's label to @label */
#define BMEM_BIND_LABEL		(1U << 1)
/** define BMEM_BIND_CACHE - set the client's cache bound to @cache_bytes */
#define BMEM_BIND_CACHE		(1U << 2)

/**
 * struct bmem_bind - BMEM_BIND: choose a pool, a label, a cache bound
 * @size: sizeof(struct bmem_bind)
 * @flags: BMEM_BIND_*, which of the fields below to apply; at least one
 * @pool: id of a pool
 * @__reserved: must be 0
 * @cache_bytes: how many bytes of empty huge pages the client may keep
 *	attached for its next tensors; rounded down to whole huge pages
 * @label: what reports call this client; ends with a zero, control characters
 *	are refused
 *
 * A client starts in the pool %BMEM_POOL_DEFAULT.
 *
 * Errors: %EBUSY to change the pool while tensors are live; %ENOENT for no
 * such pool; %EPERM for a pool of another group; %EINVAL for a label without
 * its terminating zero or with control characters.
 */
struct bmem_bind {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 __reserved;
	__aligned_u64 cache_bytes;
	char label[BMEM_LABEL_LEN];
};

/**
 * struct bmem_site - BMEM_SITE: give a call site its name
 * @size: sizeof(struct bmem_site)
 * @flags: must be 0
 * @site: number that the caller chose for the site, not 0
 * @__reserved: must be 0
 * @label: what reports call the site; same rules as for a client's label
 *
 * Sites are the caller's own numbering of where its tensors come from.
 * Naming a site again replaces its label.  A site that ALLOC saw first has an
 * empty label until it is named.
 *
 * Errors: %ENOSPC when %BMEM_SITES_MAX sites are known; %EINVAL for site 0 or
 * a bad label.
 */
struct bmem_site {
	__u32 size;
	__u32 flags;
	__u32 site;
	__u32 __reserved;
	char label[BMEM_LABEL_LEN];
};

/** define BMEM_ALLOC_ZERO - the tensor's bytes read as zero */
#define BMEM_ALLOC_ZERO		(1U << 0)

/**
 * struct bmem_alloc_entry - one tensor to allocate
 * @bytes: in, exact size, 1 or more
 * @align: in, alignment of the offset: 0 or a power of two from
 *	%BMEM_ALIGN_MIN to %BMEM_ALIGN_MAX; 0 means %BMEM_ALIGN_MIN
 * @site: in, number of the call site, 0 for unknown; what is beyond
 *	%BMEM_SITES_MAX sites is summed up with the unknown
 * @flags: in, BMEM_ALLOC_*
 * @__reserved: in, must be 0
 * @handle: out, name of the tensor within this client, never 0
 * @offset: out, where it begins in the client's space
 * @granted: out, bytes that it takes up, @bytes or more
 *
 * Without %BMEM_ALLOC_ZERO the content is undefined, but never that of another
 * client.
 */
struct bmem_alloc_entry {
	__aligned_u64 bytes;
	__u32 align;
	__u32 site;
	__u32 flags;
	__u32 __reserved;
	__aligned_u64 handle;
	__aligned_u64 offset;
	__aligned_u64 granted;
};

/**
 * struct bmem_alloc - BMEM_ALLOC: allocate @nr tensors, all or none
 * @size: sizeof(struct bmem_alloc)
 * @flags: must be 0
 * @nr: number of entries, 1 to %BMEM_BATCH_MAX
 * @failed: out, on failure: which entry was the first that could not be had;
 *	written for %EINVAL, %EOPNOTSUPP, %EOVERFLOW, %EFBIG, %ENOSPC and
 *	%ENOMEM once the entries have been read
 * @entries: pointer to struct bmem_alloc_entry[@nr]
 *
 * Physical memory is attached before the call returns.  The out fields of the
 * entries are written only on success.
 *
 * Errors: %EINVAL for size 0 or a bad alignment; %EOVERFLOW, %EFBIG, %ENOSPC,
 * %ENOMEM, %EINTR as in the table above.
 */
struct bmem_alloc {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 failed;
	__aligned_u64 entries;
};

/**
 * struct bmem_free_entry - one tensor to free
 * @handle: in, what ALLOC answered
 * @result: out, 0 or -ENOENT when no live tensor has this handle
 * @__reserved: must be 0
 */
struct bmem_free_entry {
	__aligned_u64 handle;
	__s32 result;
	__u32 __reserved;
};

/**
 * struct bmem_free - BMEM_FREE: free @nr tensors, each for itself
 * @size: sizeof(struct bmem_free)
 * @flags: must be 0
 * @nr: number of entries, 1 to %BMEM_BATCH_MAX
 * @freed: out, how many were freed
 * @entries: pointer to struct bmem_free_entry[@nr]
 *
 * The call succeeds when the array could be read and written; what became of
 * each tensor is in its entry.  A tensor named twice is freed once.  When the
 * results or @freed cannot be written back the call fails with %EFAULT and the
 * tensors are free all the same.
 */
struct bmem_free {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 freed;
	__aligned_u64 entries;
};

/**
 * struct bmem_tensor - what is known of one live tensor
 * @handle: its name within its client
 * @offset: where it begins in the client's space
 * @bytes: exact size that was asked for
 * @granted: bytes that it takes up
 * @age_ms: milliseconds since it was allocated
 * @site: number of its call site, 0 for unknown
 * @flags: BMEM_ALLOC_* it was allocated with
 */
struct bmem_tensor {
	__aligned_u64 handle;
	__aligned_u64 offset;
	__aligned_u64 bytes;
	__aligned_u64 granted;
	__aligned_u64 age_ms;
	__u32 site;
	__u32 flags;
};

/** define BMEM_INFO_OFFSET - look up by @offset instead of @handle */
#define BMEM_INFO_OFFSET	(1U << 0)

/**
 * struct bmem_tensor_info - BMEM_TENSOR_INFO: one tensor of this client
 * @size: sizeof(struct bmem_tensor_info)
 * @flags: 0 or %BMEM_INFO_OFFSET
 * @handle: in, the tensor's handle; must be 0 with %BMEM_INFO_OFFSET
 * @offset: in, any offset inside the tensor with %BMEM_INFO_OFFSET, else
 *	must be 0
 * @tensor: out
 * @label: out, label of the tensor's call site, empty when it has none
 *
 * Errors: %ENOENT when no live tensor has the handle or covers the offset.
 * An offset counts as covered up to the tensor's granted size.
 */
struct bmem_tensor_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 handle;
	__aligned_u64 offset;
	struct bmem_tensor tensor;
	char label[BMEM_LABEL_LEN];
};

/** define BMEM_LIST_SITE - only tensors of call site @site */
#define BMEM_LIST_SITE		(1U << 0)

/**
 * struct bmem_tensor_list - BMEM_TENSOR_LIST: live tensors by offset
 * @size: sizeof(struct bmem_tensor_list)
 * @flags: BMEM_LIST_*
 * @client_id: whose tensors; 0 for this client's, another's needs the same
 *	effective user or CAP_SYS_ADMIN
 * @cursor: in, 0 to begin; out, where the next call goes on
 * @min_bytes: only tensors of at least so many bytes
 * @min_age_ms: only tensors at least so old, in milliseconds
 * @site: with %BMEM_LIST_SITE, else must be 0
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @entries: pointer to struct bmem_tensor[@nr]
 *
 * Each call is a moment of its own: what is allocated behind the cursor, or
 * freed ahead of it, between two calls is not in the list.
 *
 * Errors: %ENOENT for a client that is not there or may not be seen.
 */
struct bmem_tensor_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__aligned_u64 cursor;
	__aligned_u64 min_bytes;
	__aligned_u64 min_age_ms;
	__u32 site;
	__u32 nr;
	__aligned_u64 entries;
};

/**
 * struct bmem_client_stats - BMEM_CLIENT_STATS: the sums over one client
 * @size: sizeof(struct bmem_client_stats)
 * @flags: must be 0
 * @client_id: in, 0 for this client, another's needs the same effective user
 *	or CAP_SYS_ADMIN; out, the client's id
 * @pool: out, id of its pool
 * @sites: out, number of call sites known
 * @live_tensors: out, number of live tensors
 * @live_bytes: out, sum of what they asked for
 * @granted_bytes: out, sum of what they take up
 * @attached_bytes: out, physical memory held, base pages and cache included
 * @base_bytes: out, part of @attached_bytes that is in base pages
 * @cached_bytes: out, part of @attached_bytes in huge pages with no tensor
 * @cache_limit_bytes: out, most that @cached_bytes may be
 * @meta_bytes: out, kernel memory for this client's own bookkeeping
 * @peak_live_bytes: out, largest @live_bytes so far
 * @peak_attached_bytes: out, largest @attached_bytes so far
 * @allocs: out, tensors allocated so far
 * @frees: out, tensors freed so far
 * @failed: out, ALLOC calls that failed for want of memory or room
 * @promoted: out, ranges of 2 MiB moved from base pages to a huge page; a
 *	mapping that saw the base pages goes on with small entries for the
 *	range, one that is made afterwards maps it as huge
 * @escaped_bytes: out, memory that was pinned by somebody else when this
 *	client let it go
 *
 * At any moment @live_bytes <= @granted_bytes <= @attached_bytes.
 */
struct bmem_client_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__u32 pool;
	__u32 sites;
	__aligned_u64 live_tensors;
	__aligned_u64 live_bytes;
	__aligned_u64 granted_bytes;
	__aligned_u64 attached_bytes;
	__aligned_u64 base_bytes;
	__aligned_u64 cached_bytes;
	__aligned_u64 cache_limit_bytes;
	__aligned_u64 meta_bytes;
	__aligned_u64 peak_live_bytes;
	__aligned_u64 peak_attached_bytes;
	__aligned_u64 allocs;
	__aligned_u64 frees;
	__aligned_u64 failed;
	__aligned_u64 promoted;
	__aligned_u64 escaped_bytes;
};

/** define BMEM_TRIM_POOL - every client of this client's pool; CAP_SYS_ADMIN */
#define BMEM_TRIM_POOL		(1U << 0)

/**
 * struct bmem_trim - BMEM_TRIM: give back huge pages that hold no tensor
 * @size: sizeof(struct bmem_trim)
 * @flags: 0 or %BMEM_TRIM_POOL
 * @keep_bytes: how many bytes of cached huge pages each client may keep
 * @trimmed_bytes: out, how many bytes went back to the pool
 *
 * With %BMEM_TRIM_POOL, clients that are busy in another call are passed over,
 * and those whose space is mapped in many places.
 */
struct bmem_trim {
	__u32 size;
	__u32 flags;
	__aligned_u64 keep_bytes;
	__aligned_u64 trimmed_bytes;
};

/**
 * enum bmem_policy - from which NUMA node a pool takes its pages
 * @BMEM_POLICY_LOCAL: the caller's own, be it free in the pool or in the
 *	system; any other when that has none
 * @BMEM_POLICY_BIND: one node, and no other
 * @BMEM_POLICY_INTERLEAVE: all nodes in turn, any other when one has none
 */
enum bmem_policy {
	BMEM_POLICY_LOCAL = 0,
	BMEM_POLICY_BIND = 1,
	BMEM_POLICY_INTERLEAVE = 2,
};

/**
 * struct bmem_pool_create - BMEM_POOL_CREATE: make a pool (CAP_SYS_ADMIN)
 * @size: sizeof(struct bmem_pool_create)
 * @flags: must be 0
 * @limit_bytes: most memory that the pool may hold, a multiple of
 *	%BMEM_HUGE_SIZE and at least that
 * @reserve_bytes: memory held from creation on, a multiple of %BMEM_HUGE_SIZE,
 *	at most @limit_bytes
 * @policy: enum bmem_policy
 * @nid: NUMA node for %BMEM_POLICY_BIND, else must be 0
 * @gid: group (in the caller's user namespace) whose members may bind to the
 *	pool, or %BMEM_GID_ANY; CAP_SYS_ADMIN may always
 * @pool: out, id of the pool
 * @name: letters, digits, '.', '_' and '-', at least one, ends with a zero
 *
 * Errors: %EEXIST, %ENOSPC for too many pools, %ENOMEM when the reservation
 * cannot be had, %EPERM.
 */
struct bmem_pool_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 limit_bytes;
	__aligned_u64 reserve_bytes;
	__u32 policy;
	__u32 nid;
	__u32 gid;
	__u32 pool;
	char name[BMEM_POOL_NAME_LEN];
};

/**
 * struct bmem_pool_destroy - BMEM_POOL_DESTROY: unmake a pool (CAP_SYS_ADMIN)
 * @size: sizeof(struct bmem_pool_destroy)
 * @flags: must be 0
 * @pool: id of the pool
 * @__reserved: must be 0
 *
 * Errors: %EBUSY while a client is bound to it, and for the default pool.
 */
struct bmem_pool_destroy {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 __reserved;
};

/** define BMEM_RESIZE_LIMIT - set the limit to @limit_bytes */
#define BMEM_RESIZE_LIMIT	(1U << 0)
/** define BMEM_RESIZE_RESERVE - set the reservation to @reserve_bytes */
#define BMEM_RESIZE_RESERVE	(1U << 1)

/**
 * struct bmem_pool_resize - BMEM_POOL_RESIZE: new bounds (CAP_SYS_ADMIN)
 * @size: sizeof(struct bmem_pool_resize)
 * @flags: BMEM_RESIZE_*, at least one
 * @pool: id of the pool
 * @__reserved: must be 0
 * @limit_bytes: as for BMEM_POOL_CREATE
 * @reserve_bytes: as for BMEM_POOL_CREATE
 *
 * A limit below what clients hold takes nothing away from them: the pool then
 * grants no more until enough has been freed.
 *
 * Errors: %EINVAL when the reservation would exceed the limit or a size is no
 * multiple of %BMEM_HUGE_SIZE; %ENOMEM when a larger reservation cannot be had;
 * %EBUSY while another resize of the pool is under way.
 */
struct bmem_pool_resize {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 __reserved;
	__aligned_u64 limit_bytes;
	__aligned_u64 reserve_bytes;
};

/**
 * struct bmem_pool_list - BMEM_POOL_LIST: ids of all pools
 * @size: sizeof(struct bmem_pool_list)
 * @flags: must be 0
 * @nr: in, capacity of the array, 0 to %BMEM_POOLS_MAX; out, number of pools
 * @__reserved: must be 0
 * @ids: pointer to __u32[@nr]
 *
 * Errors: %EMSGSIZE when there are more pools than @nr; @nr is written, the
 * array is not.
 */
struct bmem_pool_list {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 __reserved;
	__aligned_u64 ids;
};

/** define BMEM_STATS_NODE - figures of NUMA node @nid instead of all */
#define BMEM_STATS_NODE		(1U << 0)

/**
 * struct bmem_pool_stats - BMEM_POOL_STATS: the sums over one pool
 * @size: sizeof(struct bmem_pool_stats)
 * @flags: 0 or %BMEM_STATS_NODE
 * @pool: in, id of the pool
 * @nid: in, NUMA node with %BMEM_STATS_NODE, else must be 0
 * @clients: out, clients bound to the pool
 * @policy: out, enum bmem_policy
 * @bind_nid: out, node of %BMEM_POLICY_BIND
 * @gid: out, group that may bind, in the caller's user namespace
 * @limit_bytes: out
 * @reserve_bytes: out
 * @total_bytes: out, what the pool holds: the sum of the next five
 * @zeroed_bytes: out, free and zeroed
 * @dirty_bytes: out, free, to be zeroed before another client gets it
 * @zeroing_bytes: out, free, being zeroed now
 * @attached_bytes: out, held by clients
 * @escaped_bytes: out, let go by clients but still pinned by somebody else
 * @base_bytes: out, part of @attached_bytes in base pages
 * @peak_attached_bytes: out, largest @attached_bytes so far (all nodes)
 * @huge_taken: out, huge pages got from the system so far (all nodes)
 * @huge_given: out, huge pages given back to the system so far (all nodes)
 * @fallbacks: out, 2 MiB ranges that began in base pages because there was no
 *	huge page (all nodes)
 * @promoted: out, 2 MiB ranges moved from base pages to a huge page
 *	(all nodes)
 * @escaped_total_bytes: out, all that ever went through @escaped_bytes
 *	(all nodes)
 * @failed: out, ALLOC calls refused for want of memory or room (all nodes)
 * @name: out
 *
 * With %BMEM_STATS_NODE only @total_bytes to @base_bytes are of the node;
 * what is marked "all nodes" stays that of the pool.
 */
struct bmem_pool_stats {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 nid;
	__u32 clients;
	__u32 policy;
	__u32 bind_nid;
	__u32 gid;
	__aligned_u64 limit_bytes;
	__aligned_u64 reserve_bytes;
	__aligned_u64 total_bytes;
	__aligned_u64 zeroed_bytes;
	__aligned_u64 dirty_bytes;
	__aligned_u64 zeroing_bytes;
	__aligned_u64 attached_bytes;
	__aligned_u64 escaped_bytes;
	__aligned_u64 base_bytes;
	__aligned_u64 peak_attached_bytes;
	__aligned_u64 huge_taken;
	__aligned_u64 huge_given;
	__aligned_u64 fallbacks;
	__aligned_u64 promoted;
	__aligned_u64 escaped_total_bytes;
	__aligned_u64 failed;
	char name[BMEM_POOL_NAME_LEN];
};

/* Numbers below 0x40 stay unused: the VFS takes some small ones for itself. */
#define BMEM_QUERY		_IO(BMEM_IOC_TYPE, 0x40)
#define BMEM_BIND		_IO(BMEM_IOC_TYPE, 0x41)
#define BMEM_SITE		_IO(BMEM_IOC_TYPE, 0x42)
#define BMEM_ALLOC		_IO(BMEM_IOC_TYPE, 0x43)
#define BMEM_FREE		_IO(BMEM_IOC_TYPE, 0x44)
#define BMEM_TENSOR_INFO	_IO(BMEM_IOC_TYPE, 0x45)
#define BMEM_TENSOR_LIST	_IO(BMEM_IOC_TYPE, 0x46)
#define BMEM_CLIENT_STATS	_IO(BMEM_IOC_TYPE, 0x47)
#define BMEM_TRIM		_IO(BMEM_IOC_TYPE, 0x48)
#define BMEM_POOL_CREATE	_IO(BMEM_IOC_TYPE, 0x49)
#define BMEM_POOL_DESTROY	_IO(BMEM_IOC_TYPE, 0x4a)
#define BMEM_POOL_RESIZE	_IO(BMEM_IOC_TYPE, 0x4b)
#define BMEM_POOL_LIST		_IO(BMEM_IOC_TYPE, 0x4c)
#define BMEM_POOL_STATS		_IO(BMEM_IOC_TYPE, 0x4d)

#endif /* _UAPI_LINUX_BMEM_H */
