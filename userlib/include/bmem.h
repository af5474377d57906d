/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libbmem: tensor memory that is accounted for exactly.
 *
 * A client is one open of /dev/bmem, or of the library's own fallback when
 * there is no such device.  Every function may be called from any thread at
 * any time, except that nobody may use a client while or after bmem_close()
 * runs on it.  The library never calls malloc() on the way to a tensor.
 *
 * Functions that return int return 0 or a negative errno; functions that
 * return a pointer return NULL and set errno.  bmem_strerror() says what to
 * do about each.  All sizes are bytes.
 *
 * Structs of the kernel's ABI (<linux/bmem.h>) are handed through as they are,
 * under the ABI's own rule: the caller sets the first field, @size, to the
 * sizeof() of the struct and everything it does not use to zero.
 */
#ifndef BMEM_H
#define BMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/bmem.h>

#ifdef __cplusplus
extern "C" {
/* Calls have the names of their arguments' structs, like stat(2). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

#pragma GCC visibility push(default)

/** struct bmem_client - opaque; made by bmem_open(), ended by bmem_close() */
struct bmem_client;

/**
 * enum bmem_backend - where a client's memory comes from
 * @BMEM_BACKEND_AUTO: what the environment variable BMEM_BACKEND says (auto,
 *	dev or memfd); without it, or with auto, the device if it can be opened
 *	and the fallback if it is missing or not permitted
 * @BMEM_BACKEND_DEV: the device, or an error
 * @BMEM_BACKEND_MEMFD: the fallback: memory of this process and its children,
 *	with the same interface and the same accounting, seen by nobody else
 */
enum bmem_backend {
	BMEM_BACKEND_AUTO = 0,
	BMEM_BACKEND_DEV = 1,
	BMEM_BACKEND_MEMFD = 2,
};

/** define BMEM_OPEN_QUIET - do not say on stderr that the fallback is used */
#define BMEM_OPEN_QUIET		(1U << 0)
/** define BMEM_OPEN_CACHE - @cache_bytes applies, even when it is 0 */
#define BMEM_OPEN_CACHE		(1U << 1)
/** define BMEM_OPEN_LEVEL - @level applies, even when it is 0 */
#define BMEM_OPEN_LEVEL		(1U << 2)
/**
 * define BMEM_OPEN_PRIVATE - a child of fork() gets a copy of its own
 *
 * As with malloc(): the child has all tensors, with their contents and their
 * books, at the same addresses, and what either side writes, allocates or frees
 * from then on the other does not see.
 */
#define BMEM_OPEN_PRIVATE	(1U << 3)

/**
 * struct bmem_options - how to open a client
 * @sz: sizeof(struct bmem_options) that the caller was compiled with
 * @backend: enum bmem_backend; anything but AUTO wins over the environment
 * @pool: id of the pool to bind to; the fallback has %BMEM_POOL_DEFAULT only
 * @label: what reports call the client, at most %BMEM_LABEL_LEN - 1 bytes
 *	without control characters; NULL for none; only read by bmem_open()
 * @max_bytes: most memory that the fallback may hold, in bytes, rounded up to
 *	whole huge pages; 0 for as much as the machine has; the device has its
 *	pool's limit instead
 * @cache_bytes: with %BMEM_OPEN_CACHE: how many bytes of empty huge pages the
 *	client keeps for its next tensors, rounded down to whole huge pages;
 *	without, a share of the most that the client ever held, and in the
 *	fallback only for as long as the memory was used lately
 * @flags: BMEM_OPEN_*
 * @level: with %BMEM_OPEN_LEVEL: enum bmem_level, how much is recorded of a
 *	tensor; without it must be 0, and what the environment variable
 *	BMEM_LEVEL says (off, counts, standard or full) applies, or the
 *	backend's default (standard)
 * @overhead_permille: most CPU time that tracking may take, see
 *	bmem_set_overhead(); 0 for what the environment variable BMEM_OVERHEAD
 *	says, and without it 20
 * @__reserved: must be 0
 */
struct bmem_options {
	size_t sz;
	uint32_t backend;
	uint32_t pool;
	const char *label;
	uint64_t max_bytes;
	uint64_t cache_bytes;
	uint32_t flags;
	uint32_t level;
	uint32_t overhead_permille;
	uint32_t __reserved;
};

/**
 * bmem_open() - become a client
 * @client: out, the client; NULL on failure; the caller ends it with
 *	bmem_close()
 * @options: how, or NULL for the defaults
 *
 * Without %BMEM_OPEN_PRIVATE parent and child share the client and its memory
 * after fork(), as with any shared mapping: either may allocate and free, what one writes the other
 * sees, and all of it goes back when the last of them is gone.  Whichever side
 * allocated a tensor, and whether before the fork or after it, either may free
 * it.  What one process keeps idle for its next tensors is not the other's; if
 * it is killed, that stays with the client until the last of them closes it.
 *
 * With %BMEM_OPEN_PRIVATE the child of fork() goes on with a client of its own.
 * Memory is copied when one side writes to it: of the fallback by the page, of
 * the device by the huge page.  The child of a client of the device is a client
 * of the device as well, with an id and a tombstone of its own.  Where the pool
 * has no room for what the two may have to copy, or keeps as much for the user's
 * other children as it may (clone_share in bmem(4)), or the module does not know
 * how, all is copied before fork(), and the child's client is one of the
 * fallback, which the module does not know; where there is no memory for that
 * either, the child says so on stderr, and has neither the tensors nor any
 * other.  What other threads write to tensors while fork() runs may be copied
 * in part.
 * The threads that
 * are not in the child leave it what they kept idle; what one of them was just
 * about to allocate or free may stay with the child, unused.  fork() may be
 * called in any thread, and waits until no other one is in the backend, but for
 * those that wait for memory, see bmem_set_wait().
 * vfork() and posix_spawn() do nothing of this.  Handlers of pthread_atfork()
 * that were registered before the first client was opened may not use it.  The
 * child of fork() in a signal handler that interrupted this library may use it
 * only after the handler has returned.
 *
 * When the device cannot be had and AUTO chooses the fallback, one line on
 * stderr says why, once a process; %BMEM_OPEN_QUIET or BMEM_QUIET=1 in the
 * environment silences it.
 *
 * Return: 0, or
 *
 * * -EINVAL - @client is NULL, a value is outside its range, a bad label,
 *   BMEM_BACKEND, BMEM_LEVEL or BMEM_OVERHEAD has a value that makes no sense
 * * -E2BIG - @sz is larger than this library knows, with a tail that is not 0
 * * -EOPNOTSUPP - unknown flag, reserved field not 0, a level without
 *   %BMEM_OPEN_LEVEL, or a device that speaks another ABI
 * * -ENOENT - no device (only when the fallback is ruled out), no such pool
 * * -ENXIO, -ENODEV, -EACCES, -EPERM, -ENOTTY - the device cannot be used
 *   (-EPERM also: the pool admits only another group)
 * * -ENOMEM - no memory or no address space, see RLIMIT_AS
 */
int bmem_open(struct bmem_client **client, const struct bmem_options *options);

/**
 * bmem_close() - end a client
 * @client: from bmem_open(), or NULL
 *
 * Threads that used it may still be running or about to end.
 * Frees every tensor that is still live and unmaps the space: no pointer into
 * it may be used any more.  Keeps errno.
 */
void bmem_close(struct bmem_client *client);

/**
 * bmem_backend_name() - which backend a client got
 * @client: client
 *
 * Return: "dev" or "memfd", a constant.
 */
const char *bmem_backend_name(const struct bmem_client *client);

/**
 * bmem_query() - identity and limits of a client
 * @client: client
 * @query: in and out, see struct bmem_query; the caller sets @query->size
 *
 * @space_bytes is that of the client's space; under RLIMIT_AS only a part of
 * it may be mapped.
 *
 * Return: 0, -EINVAL, -E2BIG or -EOPNOTSUPP.
 */
int bmem_query(struct bmem_client *client, struct bmem_query *query);

/**
 * bmem_alloc() - allocate a tensor
 * @client: client
 * @size: exact size in bytes, 1 or more
 * @align: 0, or a power of two from %BMEM_ALIGN_MIN to %BMEM_ALIGN_MAX;
 *	0 means %BMEM_ALIGN_MIN
 * @flags: 0 or %BMEM_ALLOC_ZERO
 * @label: what the memory is for, in the name of the call site; or NULL
 *
 * The memory is there when the call returns: touching it never fails.  With
 * %BMEM_ALLOC_ZERO it reads as zero, provided that the program never wrote
 * outside its live tensors; only what an earlier tensor had is cleared.
 *
 * The call site is the caller's return address together with @label; it is
 * named "label @ program+0xoffset" the first time it is seen (without a label
 * the function's name stands in for it where the dynamic linker knows one).
 *
 * Return: the tensor, to be freed with bmem_free(); or NULL and errno:
 *
 * * EINVAL - @size is 0 or @align is bad
 * * EOPNOTSUPP - unknown flag
 * * EFBIG - larger than the pool's limit or the client's space
 * * ENOSPC - the pool is at its limit, or the space has no gap of this size
 * * ENOMEM - the system, the memory cgroup or the mapped part of the space
 *   (RLIMIT_AS) has no room left
 */
void *bmem_alloc(struct bmem_client *client, size_t size, size_t align,
		 unsigned int flags, const char *label);

/**
 * bmem_alloc_at() - allocate a tensor at a call site of the caller's choice
 * @client: client
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @site: what bmem_site() answered, or 0 for unknown
 *
 * For runtimes that know better than a return address where a tensor comes
 * from.
 *
 * Return: as for bmem_alloc().
 */
void *bmem_alloc_at(struct bmem_client *client, size_t size, size_t align,
		    unsigned int flags, uint32_t site);

/**
 * bmem_alloc_from() - allocate a tensor for the caller of an allocator
 * @client: client
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @label: as for bmem_alloc()
 * @ret: return address of the allocator's function that the program called
 * @frame: that function's __builtin_frame_address(0); it has not returned
 *
 * For allocators on top of this library, which want their own caller to be the
 * call site.
 *
 * Return: as for bmem_alloc().
 */
void *bmem_alloc_from(struct bmem_client *client, size_t size, size_t align,
		      unsigned int flags, const char *label, const void *ret,
		      const void *frame);

/**
 * struct bmem_request - one tensor of a batch
 * @size: in, as for bmem_alloc()
 * @align: in, as for bmem_alloc()
 * @flags: in, as for bmem_alloc()
 * @site: in, as for bmem_alloc_at(); 0 for the call site of
 *	bmem_alloc_batch() itself
 * @ptr: out, the tensor; NULL on failure
 */
struct bmem_request {
	size_t size;
	size_t align;
	uint32_t flags;
	uint32_t site;
	void *ptr;
};

/**
 * bmem_alloc_batch() - allocate several tensors, all or none
 * @client: client
 * @requests: array of @nr requests
 * @nr: how many; 0 is allowed and does nothing
 * @label: as for bmem_alloc(), for requests without a site
 *
 * One system call does for %BMEM_BATCH_MAX tensors of more than
 * %BMEM_SLOT_MAX bytes; smaller ones need none, as a rule.
 *
 * Return: 0, or the negative of an errno of bmem_alloc(); then every @ptr is
 * NULL and nothing is allocated.
 */
int bmem_alloc_batch(struct bmem_client *client, struct bmem_request *requests,
		     size_t nr, const char *label);

/**
 * bmem_free() - free a tensor
 * @client: the client that it was allocated from
 * @ptr: what an allocation returned, or NULL
 *
 * Any thread may free any tensor, and any process that shares the client.  A
 * mistake changes nothing and is told; only when two threads free one tensor of
 * up to %BMEM_SLOT_MAX bytes in the same moment, or one that was allocated at
 * %BMEM_LEVEL_OFF is freed twice, this may go unnoticed, and two later tensors
 * then share their memory.  Keeps errno.
 *
 * The memory may stay with the process for its next tensors: bmem_flush().
 *
 * Return: 0, or
 *
 * * -EINVAL - no pointer that this client ever returned: outside its space, or
 *   no multiple of %BMEM_ALIGN_MIN
 * * -ENOENT - no live tensor begins there: freed already, or @ptr leads into
 *   the middle of one
 */
int bmem_free(struct bmem_client *client, void *ptr);

/**
 * bmem_free_batch() - free several tensors, each for itself
 * @client: client
 * @ptrs: array of @nr pointers; NULL entries are passed over
 * @nr: how many
 *
 * Return: 0, or the error of the first pointer that could not be freed; all
 * others are free all the same.
 */
int bmem_free_batch(struct bmem_client *client, void *const *ptrs, size_t nr);

/**
 * bmem_realloc() - give a tensor another size
 * @client: client
 * @ptr: live tensor, or NULL for a new one
 * @size: new exact size, 1 or more
 * @flags: 0, or %BMEM_ALLOC_ZERO: what lies beyond the old size reads as zero
 *
 * Keeps the content up to the smaller of both sizes, and the call site of the
 * first allocation.  The tensor stays where it is when its granted size is
 * enough and at least half of it is used then; the books hold the exact size
 * either way.  When it moves its new alignment is %BMEM_ALIGN_MIN whatever the
 * old one was, as with realloc(3).  Of a tensor allocated at %BMEM_LEVEL_OFF
 * the granted size stands for the old one.
 *
 * Return: the tensor, @ptr is then no longer valid; or NULL and errno as for
 * bmem_alloc() and bmem_free(), @ptr is then as it was.
 */
void *bmem_realloc(struct bmem_client *client, void *ptr, size_t size,
		   unsigned int flags);

/**
 * bmem_resize() - give a tensor another size where it is
 * @client: client
 * @ptr: live tensor
 * @size: new exact size, 1 or more
 *
 * What lies beyond the old size is as it was.
 *
 * Return: 0, or a negative errno and the tensor is as it was:
 *
 * * -ERANGE - @size is more than was granted, or would leave more than half of
 *   that unused, or the books cannot be changed: allocate another tensor
 * * -EINVAL, -ENOENT - as for bmem_free(); -EINVAL also: @size is 0
 */
int bmem_resize(struct bmem_client *client, void *ptr, size_t size);

/**
 * bmem_owns() - does an address lie in a client's space?
 * @client: client
 * @ptr: any pointer
 *
 * Two comparisons; says nothing of whether a tensor is live there.
 *
 * Return: true if it does.
 */
bool bmem_owns(const struct bmem_client *client, const void *ptr);

/**
 * bmem_space() - where is a client's space?
 * @client: client
 * @len: out, how much of it is mapped; may be NULL
 *
 * Neither changes while the client is open, nor in a child of fork().
 *
 * Return: its first address.
 */
void *bmem_space(const struct bmem_client *client, size_t *len);

/**
 * bmem_usable_size() - bytes that a tensor takes up
 * @client: client
 * @ptr: any pointer into a tensor
 *
 * Return: the granted size, at least what was asked for; 0 when no tensor is
 * live there.
 */
size_t bmem_usable_size(struct bmem_client *client, const void *ptr);

/**
 * struct bmem_tensor_desc - what is known of a live tensor
 * @sz: sizeof(struct bmem_tensor_desc), set by the caller
 * @ptr: where it begins
 * @bytes: exact size that was asked for
 * @granted: bytes that it takes up, @bytes or more
 * @age_ms: milliseconds since it was allocated
 * @handle: its name within its client, in the kernel's reports
 * @site: number of its call site, 0 for unknown
 * @flags: BMEM_ALLOC_* it was allocated with
 * @label: name of the call site, empty when it has none; bmem_foreach()
 *	leaves it empty
 */
struct bmem_tensor_desc {
	size_t sz;
	void *ptr;
	uint64_t bytes;
	uint64_t granted;
	uint64_t age_ms;
	uint64_t handle;
	uint32_t site;
	uint32_t flags;
	char label[BMEM_LABEL_LEN];
};

/**
 * bmem_tensor_info() - which tensor does a pointer belong to?
 * @client: client
 * @ptr: any pointer into a tensor, up to its granted size
 * @desc: in and out; the caller sets @desc->sz
 *
 * Return: 0, or
 *
 * * -EINVAL - @ptr is not in the client's space, or @desc->sz is too small
 * * -E2BIG - @desc->sz is larger than this library knows and not 0 there
 * * -ENOENT - no live tensor there
 */
int bmem_tensor_info(struct bmem_client *client, const void *ptr,
		     struct bmem_tensor_desc *desc);

/**
 * typedef bmem_visit_fn - what bmem_foreach() calls
 * @desc: a tensor; valid during the call
 * @arg: what bmem_foreach() was given
 *
 * May allocate and free.
 *
 * Return: 0 to go on, anything else to stop.
 */
typedef int (*bmem_visit_fn)(const struct bmem_tensor_desc *desc, void *arg);

/**
 * bmem_foreach() - visit all live tensors of a client, by address
 * @client: client
 * @fn: called for each
 * @arg: handed to @fn
 *
 * Tensors that come and go meanwhile may be visited or not; all others are
 * visited once.
 *
 * Return: 0 at the end, what @fn returned when it stopped, or a negative
 * errno.
 */
int bmem_foreach(struct bmem_client *client, bmem_visit_fn fn, void *arg);

/**
 * bmem_tensor_list() - live tensors of this or another client
 * @client: client
 * @list: in and out, see struct bmem_tensor_list; the caller sets @list->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOENT.
 */
int bmem_tensor_list(struct bmem_client *client, struct bmem_tensor_list *list);

/**
 * bmem_site() - a call site by name
 * @client: client
 * @name: 1 to %BMEM_LABEL_LEN - 1 bytes; a longer one is cut, control
 *	characters become '?'
 *
 * The same name gives the same number for as long as the client lives.
 *
 * Return: the number, not 0; or 0 and errno: EINVAL for no name, ENOSPC when
 * the table of sites is full (bmem_sites_lost() counts these).
 */
uint32_t bmem_site(struct bmem_client *client, const char *name);

/**
 * bmem_sites_lost() - allocations whose call site found no room
 * @client: client
 *
 * Return: how many allocations, and calls of bmem_site(), went on as site 0
 * because the table of sites was full.
 */
uint64_t bmem_sites_lost(const struct bmem_client *client);

/**
 * struct bmem_site_sums - what is live of one call site
 * @sz: sizeof(struct bmem_site_sums), set by the caller
 * @live_tensors: number of live tensors
 * @live_bytes: sum of what they asked for
 * @granted_bytes: sum of what they take up
 */
struct bmem_site_sums {
	size_t sz;
	uint64_t live_tensors;
	uint64_t live_bytes;
	uint64_t granted_bytes;
};

/**
 * bmem_site_stats() - add up the live tensors of one call site
 * @client: client
 * @site: number of the site, 0 for tensors without one
 * @sums: in and out; the caller sets @sums->sz
 *
 * Walks all live tensors; exact when nobody allocates or frees meanwhile.
 *
 * Return: 0, -EINVAL or -E2BIG for a bad @sums->sz.
 */
int bmem_site_stats(struct bmem_client *client, uint32_t site,
		    struct bmem_site_sums *sums);

/**
 * bmem_site_list() - call sites of this or another client
 * @client: client
 * @list: in and out, see struct bmem_site_list; the caller sets @list->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -ENOENT, -ENOMEM or -EINTR.
 */
int bmem_site_list(struct bmem_client *client, struct bmem_site_list *list);

/**
 * bmem_growth_list() - whose live bytes grow, by call site
 * @client: client
 * @list: in and out, see struct bmem_growth_list; the caller sets @list->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP (the memfd backend: nobody keeps
 * trends there), -ENOENT, -ENOMEM or -EINTR.
 */
int bmem_growth_list(struct bmem_client *client, struct bmem_growth_list *list);

/**
 * bmem_site_frames() - the stack of one call site
 * @client: client
 * @frames: in and out, see struct bmem_site_frames; the caller sets
 *	@frames->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -ENOENT or -EMSGSIZE.
 */
int bmem_site_frames(struct bmem_client *client,
		     struct bmem_site_frames *frames);

/**
 * bmem_module_info() - a program file that stacks refer to
 * @client: client
 * @info: in and out, see struct bmem_module_info; the caller sets @info->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOENT.
 */
int bmem_module_info(struct bmem_client *client, struct bmem_module_info *info);

/**
 * bmem_stats() - the sums over a client
 * @client: client
 * @stats: in and out, see struct bmem_client_stats; the caller sets
 *	@stats->size, and @stats->client_id to 0 for itself
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP, or -ENOENT for another client that
 * is not there or may not be seen.
 */
int bmem_stats(struct bmem_client *client, struct bmem_client_stats *stats);

/**
 * bmem_client_list() - clients that the caller may look at
 * @client: client; only its descriptor is used
 * @list: in and out, see struct bmem_client_list; the caller sets @list->size
 *
 * The fallback knows this client only.
 *
 * Return: 0, -EINVAL, -E2BIG or -EOPNOTSUPP.
 */
int bmem_client_list(struct bmem_client *client, struct bmem_client_list *list);

/**
 * bmem_block_begin() - a block of code begins that is to leave nothing behind
 * @client: client
 *
 * Return: for bmem_block_end(), which frees it; NULL with errno set to ENOMEM
 * or what TENSOR_LIST says.
 */
struct bmem_block *bmem_block_begin(struct bmem_client *client);

/**
 * bmem_block_end() - what has the block left behind?
 * @block: of bmem_block_begin(); freed
 * @text: out, a message that names the call sites, empty for nothing; may be
 *	NULL when @len is 0
 * @len: bytes that @text has room for
 *
 * Return: tensors that are live and were not when it began; or -ENOMEM or what
 * TENSOR_LIST says.
 */
int64_t bmem_block_end(struct bmem_block *block, char *text, size_t len);

/**
 * bmem_leak_scan() - look for leaks now
 * @client: client
 * @scan: in and out, see struct bmem_leak_scan; the caller sets @scan->size,
 *	and @scan->client_id to 0 for itself
 *
 * For tests of what a piece of code leaves behind, which need no scan and no
 * device, see bmem_block_begin().
 *
 * Return: 0, -EINVAL, -E2BIG, -ENOENT, -ENOMEM, -EINTR; -EOPNOTSUPP also on
 * the fallback.
 */
int bmem_leak_scan(struct bmem_client *client, struct bmem_leak_scan *scan);

/**
 * bmem_leak_list() - what has been found so far
 * @client: client
 * @list: in and out, see struct bmem_leak_list; the caller sets @list->size
 *
 * Return: 0, -EINVAL, -E2BIG, -ENOENT, -ENOMEM, -EINTR; -EOPNOTSUPP also on
 * the fallback.
 */
int bmem_leak_list(struct bmem_client *client, struct bmem_leak_list *list);

/**
 * bmem_tombstone_list() - clients that are gone, and what they held
 * @client: client; only its descriptor is used
 * @list: in and out, see struct bmem_tombstone_list; the caller sets
 *	@list->size
 *
 * Return: 0, -EINVAL, -E2BIG; -EOPNOTSUPP also on the fallback, of which
 * nothing outlives its processes.
 */
int bmem_tombstone_list(struct bmem_client *client,
			struct bmem_tombstone_list *list);

/**
 * bmem_tombstone_sites() - what a tombstone's client held, by call site
 * @client: client; only its descriptor is used
 * @sites: in and out, see struct bmem_tombstone_sites; the caller sets
 *	@sites->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EMSGSIZE or -ENOENT; -EOPNOTSUPP also on the
 * fallback.
 */
int bmem_tombstone_sites(struct bmem_client *client,
			 struct bmem_tombstone_sites *sites);

/**
 * bmem_tombstone_module() - a program file that a tombstone's stacks refer to
 * @client: client; only its descriptor is used
 * @info: in and out, see struct bmem_tombstone_module; the caller sets
 *	@info->size
 *
 * Return: 0, -EINVAL, -E2BIG or -ENOENT; -EOPNOTSUPP also on the fallback.
 */
int bmem_tombstone_module(struct bmem_client *client,
			  struct bmem_tombstone_module *info);

/**
 * bmem_set_level() - how much is recorded of tensors from now on
 * @client: client
 * @level: see enum bmem_level; the module's parameter may hold it down
 *
 * May be called at any time, while other threads allocate and free.
 *
 * Return: 0, or -EINVAL for a level that is none.
 */
int bmem_set_level(struct bmem_client *client, enum bmem_level level);

/**
 * bmem_set_wait() - let allocations wait for memory
 * @client: client
 * @timeout_ms: for how long at the most, up to %BMEM_WAIT_MAX_MS; 0 not at all
 *
 * From then on an allocation that would fail with ENOSPC or ENOMEM sleeps until
 * a client of the pool frees something, and tries again, until the time is
 * over.  A signal ends it: it fails with EINTR, whatever SA_RESTART says.  With
 * a private client it does not answer while another thread is in fork().
 *
 * Return: 0; -EINVAL for too long a time; -EOPNOTSUPP on the fallback, whose
 * allocations fail at once.
 */
int bmem_set_wait(struct bmem_client *client, unsigned int timeout_ms);

/** define BMEM_HANDLERS_MAX - most handlers of events that a client can have */
#define BMEM_HANDLERS_MAX	16

/**
 * typedef bmem_event_fn - something happened
 * @client: client that was asked for it
 * @event: what; valid until the function returns
 * @arg: as it was given to bmem_on_event()
 *
 * Called in a thread that dispatches events, with no lock held: may allocate,
 * free, trim, register and remove handlers, of this and other clients.  May not
 * dispatch, nor close the client.  Other threads go on meanwhile, and so do
 * their allocations: what it frees may be gone when it allocates.
 */
typedef void (*bmem_event_fn)(struct bmem_client *client,
			      const struct bmem_event *event, void *arg);

/**
 * bmem_on_event() - be called when something happens
 * @client: client
 * @mask: BMEM_EVENT_BIT() of types; replaces what was asked for with the same
 *	@fn and @arg; 0 for nothing any more
 * @fn: function
 * @arg: what it is given
 *
 * Nothing is called by itself: somebody has to call bmem_events_dispatch(), or
 * bmem_events_start() once.  Which events a client is told, <linux/bmem.h>
 * says.  After a call with @mask 0 that is not made from within a handler, no
 * other thread is in the function.
 *
 * The fallback tells PRESSURE, against @max_bytes of its options or what the
 * machine has (above 70, 80, 90 and 95 %, less 5 on the way down), ALLOC_FAILED
 * and RECALL, each of its own client.
 *
 * Return: 0, or
 *
 * * -EINVAL - no function
 * * -EOPNOTSUPP - a type that the kernel, or the fallback, does not have
 * * -ENOENT - @mask is 0, and it had not been asked for
 * * -ENOSPC - there are %BMEM_HANDLERS_MAX already
 * * -ENOMEM, -EMFILE, -ENFILE - no memory, no descriptor
 * * -ENOTTY - the module is too old for events
 * * -EBADF - the program has closed the device's descriptor
 */
int bmem_on_event(struct bmem_client *client, uint64_t mask, bmem_event_fn fn,
		  void *arg);

/**
 * bmem_on_pressure() - be called when memory becomes short, or is no more
 * @client: client
 * @fn: function; @event->level is enum bmem_pressure_level, @event->arg the
 *	level before
 * @arg: what it is given
 *
 * bmem_on_event() for %BMEM_EVENT_PRESSURE.
 *
 * Return: as for bmem_on_event().
 */
int bmem_on_pressure(struct bmem_client *client, bmem_event_fn fn, void *arg);

/**
 * bmem_events_dispatch() - call handlers for what has happened
 * @client: client
 * @timeout_ms: how long to wait for an event; 0 not at all, below 0 for ever
 *
 * In the calling thread; several may do that, each event is one's.  What the
 * handlers freed goes back at once, as by bmem_flush().
 *
 * Return: number of events; 0 when there was none in time; -EINTR for a signal;
 * -EBUSY from within a handler; an errno of bmem_on_event().
 */
int bmem_events_dispatch(struct bmem_client *client, int timeout_ms);

/**
 * bmem_events_fd() - a descriptor for an event loop of the program's own
 * @client: client
 *
 * It can be read when bmem_events_dispatch() has something to do.  Stays the
 * library's: only to be waited on, not read, not closed.
 *
 * Return: the descriptor, or an errno of bmem_on_event().
 */
int bmem_events_fd(struct bmem_client *client);

/**
 * bmem_events_start() - have a thread of the library dispatch events
 * @client: client
 *
 * The thread has all signals blocked, and ends with bmem_events_stop() or
 * bmem_close().  A child of fork() does not have it.
 *
 * It also answers %BMEM_EVENT_RECALL, without any handler: what the client keeps
 * for its next allocations goes back although the program sleeps: what is in
 * the depot, and blocks that other threads have freed.  These keep slots of
 * small tensors, up to 512 KiB a thread, until they allocate or free next; a
 * huge page that such a slot is in stays with the client.
 *
 * Without it, threads give back what they have when they allocate or free.  One
 * that never does keeps the block that it freed last, of up to 64 MiB; others
 * of up to 256 KiB and a 64th of what the process has, divided by the number of
 * its threads; and slots as above.  The depot keeps slots of 64 KiB and a 256th
 * of what the process has.
 *
 * Return: 0; -EBUSY when there is one; -EAGAIN, or an errno of bmem_on_event().
 */
int bmem_events_start(struct bmem_client *client);

/**
 * bmem_events_stop() - end that thread
 * @client: client
 *
 * Waits for a handler that is being called.
 *
 * Return: 0; -ENOENT when there is none; -EDEADLK from within one of its
 * handlers.
 */
int bmem_events_stop(struct bmem_client *client);

/**
 * bmem_events_want() - ask for events without handlers
 * @client: client
 * @mask: BMEM_EVENT_BIT() of types, besides those of handlers
 *
 * Return: 0, or an errno of bmem_on_event().
 */
int bmem_events_want(struct bmem_client *client, uint64_t mask);

/**
 * bmem_events_read() - read events instead of being called
 * @client: client
 * @events: out, array of @nr
 * @nr: at least 1; no more than 16 are read at a time
 * @timeout_ms: as for bmem_events_dispatch()
 *
 * An event that is read is no handler's any more.
 *
 * Return: number of events; 0 when there was none in time; -EINTR; -EINVAL; an
 * errno of bmem_on_event().
 */
int bmem_events_read(struct bmem_client *client, struct bmem_event *events,
		     unsigned int nr, int timeout_ms);

/**
 * bmem_events_status() - what is asked for, what waits, what was lost
 * @client: client
 * @status: in and out, see struct bmem_events; the caller sets @status->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOTTY.
 */
int bmem_events_status(struct bmem_client *client, struct bmem_events *status);

/**
 * bmem_link() - declare that a tensor refers to another
 * @client: client
 * @from: any pointer into the tensor that refers; NULL for the program itself
 * @to: any pointer into the tensor that is referred to
 *
 * See struct bmem_link for what follows from it.
 *
 * Return: 0, or
 *
 * * -EINVAL - not the client's memory
 * * -ENOENT - no live tensor there
 * * -EEXIST - the link has been declared
 * * -EOVERFLOW - held too often
 * * -ENOSPC, -ENOMEM - no room, or no memory, for another
 * * -EOPNOTSUPP - on the fallback, which keeps no links
 */
int bmem_link(struct bmem_client *client, const void *from, const void *to);

/**
 * bmem_unlink() - take that back
 * @client: client
 * @from: as it was declared
 * @to: as it was declared
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP, or -ENOENT also when there is no such
 * reference.
 */
int bmem_unlink(struct bmem_client *client, const void *from, const void *to);

/**
 * bmem_link_batch() - declare many references, by handle
 * @client: client
 * @link: in and out, see struct bmem_link; the caller sets @link->size
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOMEM; each entry has a result.
 */
int bmem_link_batch(struct bmem_client *client, struct bmem_link *link);

/**
 * bmem_unlink_batch() - take back many
 * @client: client
 * @link: likewise
 *
 * Return: likewise.
 */
int bmem_unlink_batch(struct bmem_client *client, struct bmem_link *link);

/**
 * bmem_ref() - one more holder of a tensor
 * @client: client
 * @ptr: a tensor, or what bmem_view() answered
 *
 * A tensor begins with one holder, who allocated it.  Each of them lets go of it
 * with bmem_unref(); the last one frees it.  Who frees it with bmem_free() while
 * there are others takes it from them, and has to see to it that none of them
 * calls bmem_unref().
 *
 * Holders are counted beside the tensors, in the process; a tensor that never
 * had a second one costs nothing.  A child of fork() has a copy of the counts:
 * where it shares the client, one of both processes alone may let go of a
 * tensor for the last time.
 *
 * Return: 0; -EINVAL for what is not the client's; -ENOENT when no live tensor
 * begins there; -ENOMEM.
 */
int bmem_ref(struct bmem_client *client, void *ptr);

/**
 * bmem_unref() - let go of a tensor
 * @client: client
 * @ptr: a tensor, or what bmem_view() answered; or NULL
 *
 * Return: 0; -ENOENT when nobody holds it; an errno of bmem_free() where it was
 * the last holder.
 */
int bmem_unref(struct bmem_client *client, void *ptr);

/**
 * bmem_view() - hold a part of a tensor
 * @client: client
 * @base: a tensor, or another view
 * @offset: where the part begins, from @base
 * @bytes: its length; it ends within the tensor's exact size
 *
 * The tensor stays until its holders and those of all its views have let go.  A
 * view of a view is one of the tensor.
 *
 * Return: @base + @offset, for bmem_unref(); or NULL and errno: EINVAL for a
 * part that is not in the tensor, or an empty one whose address is the first
 * behind it, and those of bmem_ref().
 */
void *bmem_view(struct bmem_client *client, void *base, size_t offset,
		size_t bytes);

/**
 * bmem_flush() - give back what is kept for later tensors
 * @client: client
 *
 * Memory of freed tensors stays at hand for the next ones: with the thread that
 * freed them, and in a depot that the threads of a process share.  Both are
 * bounded, and given back by themselves when idle, when the thread ends, and
 * when memory is short.  This gives back at once what the calling thread and
 * the depot have.
 *
 * Return: 0.
 */
int bmem_flush(struct bmem_client *client);

/**
 * bmem_trim() - give back huge pages that hold no tensor
 * @client: client
 * @keep: how many bytes of them may stay
 * @flags: 0, or %BMEM_TRIM_POOL for every client of the pool (CAP_SYS_ADMIN)
 * @trimmed: out, how many bytes went back; may be NULL
 *
 * Does what bmem_flush() does first.
 *
 * Return: 0, -EOPNOTSUPP for an unknown flag, -EPERM.
 */
int bmem_trim(struct bmem_client *client, uint64_t keep, unsigned int flags,
	      uint64_t *trimmed);

/**
 * bmem_pool_create() - make a pool (CAP_SYS_ADMIN)
 * @client: client; only its descriptor is used
 * @create: in and out, see struct bmem_pool_create; the caller sets
 *	@create->size
 *
 * Return: 0, -EEXIST, -ENOSPC, -ENOMEM, -EPERM, -EINVAL; -EOPNOTSUPP on the
 * fallback, which has one pool.
 */
int bmem_pool_create(struct bmem_client *client,
		     struct bmem_pool_create *create);

/**
 * bmem_pool_destroy() - unmake a pool (CAP_SYS_ADMIN)
 * @client: client; only its descriptor is used
 * @pool: id of the pool
 *
 * Return: 0, -EBUSY while a client is bound to it, -ENOENT, -EPERM;
 * -EOPNOTSUPP on the fallback.
 */
int bmem_pool_destroy(struct bmem_client *client, uint32_t pool);

/**
 * bmem_pool_resize() - give a pool new bounds (CAP_SYS_ADMIN)
 * @client: client; only its descriptor is used
 * @resize: in, see struct bmem_pool_resize; the caller sets @resize->size
 *
 * Return: 0, -EINVAL, -ENOMEM, -ENOENT, -EPERM; -EOPNOTSUPP on the fallback.
 */
int bmem_pool_resize(struct bmem_client *client,
		     struct bmem_pool_resize *resize);

/**
 * bmem_pool_list() - ids of all pools
 * @client: client; only its descriptor is used
 * @ids: out, array of @nr ids; NULL only when @nr is 0
 * @nr: capacity of the array, at most %BMEM_POOLS_MAX
 *
 * Return: the number of pools, or -EMSGSIZE when there are more than @nr
 * (%BMEM_POOLS_MAX always do), -EINVAL.
 */
int bmem_pool_list(struct bmem_client *client, uint32_t *ids, uint32_t nr);

/**
 * bmem_pool_stats() - the sums over a pool
 * @client: client; only its descriptor is used
 * @stats: in and out, see struct bmem_pool_stats; the caller sets
 *	@stats->size and @stats->pool
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOENT.
 */
int bmem_pool_stats(struct bmem_client *client, struct bmem_pool_stats *stats);

/**
 * bmem_pool_pressure() - how pressed a pool is, and what was done about it
 * @client: client; only its descriptor is used
 * @pressure: in and out, see struct bmem_pressure; the caller sets
 *	@pressure->size and @pressure->pool
 *
 * Without the module it tells how much is out; nothing is ever done about it.
 *
 * Return: 0, -EINVAL, -E2BIG, -EOPNOTSUPP or -ENOENT.
 */
int bmem_pool_pressure(struct bmem_client *client,
		       struct bmem_pressure *pressure);

/**
 * bmem_scope_push() - label what the calling thread allocates from now on
 * @name: what the memory is for, 1 to %BMEM_LABEL_LEN - 1 bytes; NULL or empty
 *	changes nothing, but has to be popped as well
 *
 * Scopes nest: inside "decoder" the scope "kv-cache" is "decoder/kv-cache",
 * cut to %BMEM_LABEL_LEN - 1 bytes.  A call site is another one in another
 * scope, and its name begins with that of the scope.  From the 33rd scope
 * inside of each other on, and when the process has named 768, a new one is
 * the same as the one around it.
 *
 * Scopes are the thread's, in all clients; a new thread begins without.  The
 * text is copied.
 */
void bmem_scope_push(const char *name);

/**
 * bmem_scope_pop() - end what the last bmem_scope_push() of this thread began
 *
 * Does nothing where nothing was pushed.
 */
void bmem_scope_pop(void);

/**
 * typedef bmem_caller_fn - where is the calling thread, for its interpreter?
 * @name: out, where to write what people call the place, "train.py:42" say;
 *	NULL when only the key is wanted, which is nearly always
 * @len: length of @name, terminating zero included; what is longer is cut
 *
 * Called in the middle of an allocation, in any thread: must not allocate from
 * a client, take no lock that may be held around an allocation, be fast.
 *
 * Return: a number that is the same whenever the thread is at this place, and
 * only then; 0 where the thread runs nothing that the interpreter can name.
 */
typedef uint64_t (*bmem_caller_fn)(char *name, size_t len);

/**
 * bmem_set_caller() - have call sites named by an interpreter
 * @fn: whom to ask, or NULL for nobody
 *
 * From then on, what would have its stack taken, and everything from 64 KiB on,
 * has a site of this place instead: its name is "label @ " and what @fn wrote,
 * its frames are those of the first allocation there.  Where @fn answers 0 all
 * is as without it.
 *
 * Need not be called in a program that is CPython 3.11, 3.13 or 3.14: places
 * in its code are found without, unless BMEM_PYTHON=off is in the environment.
 * @fn stays in use for as long as the process lives, if not replaced.
 */
void bmem_set_caller(bmem_caller_fn fn);

/**
 * bmem_set_overhead() - how much CPU time may tracking take?
 * @client: client
 * @permille: share of the threads' CPU time, 1 to 1000
 *
 * The library times what it does for tracking.  Where that takes more than its
 * share, it takes the stacks of fewer allocations; at %BMEM_LEVEL_FULL, where
 * walking stacks is most of it, call sites below 1 MiB become those of
 * %BMEM_LEVEL_STANDARD for a while.  bmem_overhead() says so.
 *
 * What a record and its site cost at the least stays, whatever the share is.
 *
 * Return: 0, or -EINVAL.
 */
int bmem_set_overhead(struct bmem_client *client, unsigned int permille);

/**
 * enum bmem_overhead_source - what tracking consists of
 * @BMEM_OVERHEAD_RECORD: storing records, in nanoseconds
 * @BMEM_OVERHEAD_LOOKUP: finding sites by return address
 * @BMEM_OVERHEAD_WALK: finding sites by walking stacks
 * @BMEM_OVERHEAD_UNWIND: unwinding the stacks of samples
 * @BMEM_OVERHEAD_REGISTER: naming sites that are new
 * @BMEM_OVERHEAD_TIMING: measuring all this
 * @BMEM_OVERHEAD_LEDGER: the ledger, in bytes
 * @BMEM_OVERHEAD_SPAN_MAP: the span map
 * @BMEM_OVERHEAD_REGISTRY: other books of the backend
 * @BMEM_OVERHEAD_SITE_TABLES: tables of sites in this process
 * @BMEM_OVERHEAD_SOURCES: how many there are
 */
enum bmem_overhead_source {
	BMEM_OVERHEAD_RECORD = 0,
	BMEM_OVERHEAD_LOOKUP = 1,
	BMEM_OVERHEAD_WALK = 2,
	BMEM_OVERHEAD_UNWIND = 3,
	BMEM_OVERHEAD_REGISTER = 4,
	BMEM_OVERHEAD_TIMING = 5,
	BMEM_OVERHEAD_LEDGER = 6,
	BMEM_OVERHEAD_SPAN_MAP = 7,
	BMEM_OVERHEAD_REGISTRY = 8,
	BMEM_OVERHEAD_SITE_TABLES = 9,
	BMEM_OVERHEAD_SOURCES = 10,
};

/**
 * struct bmem_overhead - what tracking a client's tensors costs
 * @sz: sizeof(struct bmem_overhead), set by the caller
 * @meta_bytes: memory of all books: the sum of the sources from
 *	%BMEM_OVERHEAD_LEDGER on
 * @data_bytes: what live tensors asked for
 * @track_ns: CPU time of tracking, the sum of the sources up to
 *	%BMEM_OVERHEAD_TIMING
 * @cpu_ns: CPU time of the threads that allocate, from each one's first
 *	allocation on
 * @tracked_ns: time of @allocs allocations, tracking included
 * @untracked_ns: the same without; 0 when none was timed yet
 * @allocs: allocations that these times are for
 * @samples: stacks taken by sampling
 * @source: by enum bmem_overhead_source: nanoseconds or bytes
 * @above: bit i is set where source i is above 2 % of @cpu_ns or @data_bytes
 * @permille: share of CPU time that tracking may take
 * @throttle: sampling was reduced to 1 in 2 to this power
 * @reduced: 1 while call sites below 1 MiB are not whole stacks although the
 *	level is %BMEM_LEVEL_FULL
 * @__reserved: 0
 */
struct bmem_overhead {
	size_t sz;
	uint64_t meta_bytes;
	uint64_t data_bytes;
	uint64_t track_ns;
	uint64_t cpu_ns;
	uint64_t tracked_ns;
	uint64_t untracked_ns;
	uint64_t allocs;
	uint64_t samples;
	uint64_t source[BMEM_OVERHEAD_SOURCES];
	uint32_t above;
	uint32_t permille;
	uint32_t throttle;
	uint32_t reduced;
	uint32_t __reserved;
};

/**
 * bmem_overhead() - what does tracking cost?
 * @client: client
 * @overhead: in and out; the caller sets @overhead->sz
 *
 * All figures are measured: memory is counted, time is that of one allocation
 * in about two thousand, less what the timer itself takes, scaled up; what is
 * rare is timed always.  What a thread did in its last hundredth of a second
 * may be missing.
 *
 * Return: 0, -EINVAL or -E2BIG for a bad @overhead->sz, -ENOMEM.
 */
int bmem_overhead(struct bmem_client *client, struct bmem_overhead *overhead);

/**
 * bmem_overhead_text() - the same for people
 * @overhead: from bmem_overhead()
 * @text: out, ends with a zero; may be NULL when @len is 0
 * @len: its length
 *
 * The three ratios, a line each; then a line for each source above 2 %, and
 * one where the governor has reduced anything.
 *
 * Return: the text's length without the zero, whether or not it fits.
 */
size_t bmem_overhead_text(const struct bmem_overhead *overhead, char *text,
			  size_t len);

/**
 * bmem_strerror() - what an error of this library means and what to do
 * @err: errno, positive or negative
 *
 * Return: a constant sentence, never NULL.
 */
const char *bmem_strerror(int err);

/**
 * struct bmem_scoped - a tensor that ends with its scope
 * @client: whose it is
 * @ptr: the tensor, or NULL
 *
 * A variable of this type that is declared with %BMEM_AUTO frees its tensor
 * when it goes out of scope, on every way out::
 *
 *	BMEM_AUTO struct bmem_scoped t = bmem_scoped_alloc(c, n, 0, 0, "kv");
 *
 *	if (!t.ptr)
 *		return -errno;
 */
struct bmem_scoped {
	struct bmem_client *client;
	void *ptr;
};

/** define BMEM_AUTO - makes a struct bmem_scoped free itself */
#define BMEM_AUTO	__attribute__((cleanup(bmem_scoped_free)))
/** define BMEM_AUTO_CLOSE - makes a struct bmem_client pointer close itself */
#define BMEM_AUTO_CLOSE	__attribute__((cleanup(bmem_close_scoped)))

/**
 * bmem_scoped_alloc() - bmem_alloc() for a %BMEM_AUTO variable
 * @client: as for bmem_alloc()
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @label: as for bmem_alloc()
 *
 * Inlined always, so that the call site is the caller's.
 *
 * Return: the tensor; @ptr is NULL, and errno set, as for bmem_alloc().
 */
static inline __attribute__((always_inline)) struct bmem_scoped
bmem_scoped_alloc(struct bmem_client *client, size_t size, size_t align,
		  unsigned int flags, const char *label)
{
	struct bmem_scoped t = {
		client, bmem_alloc(client, size, align, flags, label),
	};

	return t;
}

/**
 * bmem_scoped_free() - what %BMEM_AUTO calls; may also be called earlier
 * @t: tensor; its @ptr becomes NULL
 */
static inline void bmem_scoped_free(struct bmem_scoped *t)
{
	if (t->ptr)
		(void)bmem_free(t->client, t->ptr);
	t->ptr = NULL;
}

/**
 * bmem_scoped_release() - take a tensor out of the scope's hands
 * @t: tensor; its @ptr becomes NULL
 *
 * Return: the tensor, for the caller to free.
 */
static inline void *bmem_scoped_release(struct bmem_scoped *t)
{
	void *ptr = t->ptr;

	t->ptr = NULL;
	return ptr;
}

/**
 * bmem_close_scoped() - what %BMEM_AUTO_CLOSE calls
 * @client: client, or pointer to NULL
 */
static inline void bmem_close_scoped(struct bmem_client **client)
{
	bmem_close(*client);
	*client = NULL;
}

/** define BMEM_SCOPE - bmem_scope_push() until the block ends */
#define BMEM_SCOPE(name) \
	__attribute__((cleanup(bmem_scope_end), unused)) int \
	BMEM_SCOPE_NAME(__LINE__) = bmem_scope_begin(name)
#define BMEM_SCOPE_NAME(line)	BMEM_SCOPE_JOIN(line)
#define BMEM_SCOPE_JOIN(line)	bmem_scope_at_ ## line

/**
 * bmem_scope_begin() - what %BMEM_SCOPE calls
 * @name: as for bmem_scope_push()
 *
 * Return: 0.
 */
static inline int bmem_scope_begin(const char *name)
{
	bmem_scope_push(name);
	return 0;
}

/**
 * bmem_scope_end() - what ends a %BMEM_SCOPE
 * @scope: variable that stands for it
 */
static inline void bmem_scope_end(const int *scope)
{
	(void)scope;
	bmem_scope_pop();
}

#pragma GCC visibility pop

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* BMEM_H */
