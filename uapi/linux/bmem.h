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
 * ENOENT                  no such tensor, pool, client, site, program file or
 *                         tombstone, or one that the caller may not see
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
 *                         sites, ledger)
 * ENOMEM                  the system, or the caller's memory cgroup, has no
 *                         memory left
 * EHWPOISON               memory that has to be copied first, since clones have
 *                         it too, has failed
 * EINTR                   the caller was killed while it waited, or with
 *                         %BMEM_CALL_WAIT got a signal
 * ======================= ===================================================
 *
 * A call that fails has changed nothing, unless its text says otherwise.
 *
 * mmap() answers EINVAL for a mapping that is private or leaves the space, or
 * the window, that it begins in; EACCES for an executable one, and to write to
 * what only the kernel writes.
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

/** define BMEM_BATCH_MAX - most entries in the array of one call */
#define BMEM_BATCH_MAX		1024

/** define BMEM_LABEL_LEN - bytes of a label, terminating zero included */
#define BMEM_LABEL_LEN		64

/** define BMEM_POOL_NAME_LEN - bytes of a pool's name, zero included */
#define BMEM_POOL_NAME_LEN	32

/** define BMEM_POOLS_MAX - most pools at a time */
#define BMEM_POOLS_MAX		64

/** define BMEM_SITES_MAX - most call sites that one client can name */
#define BMEM_SITES_MAX		16384

/** define BMEM_MODULES_MAX - most program files that one client can name */
#define BMEM_MODULES_MAX	1024

/** define BMEM_FRAMES_MAX - most stack frames of a call site */
#define BMEM_FRAMES_MAX		24

/** define BMEM_COMM_LEN - bytes of a process's name, zero included */
#define BMEM_COMM_LEN		16

/** define BMEM_BUILD_ID_MAX - longest build id, in bytes */
#define BMEM_BUILD_ID_MAX	32

/** define BMEM_PATH_LEN - bytes of a program file's name, zero included */
#define BMEM_PATH_LEN		128

/** define BMEM_POOL_DEFAULT - id of the pool made when the module loads */
#define BMEM_POOL_DEFAULT	0

/** define BMEM_GID_ANY - a pool that admits every group */
#define BMEM_GID_ANY		0xffffffffU

/**
 * DOC: slots, span map, ledger
 *
 * Small tensors are too many for a call each.  SLOTS_GET gives out slots:
 * places for one tensor of a size class each, which the process hands out and
 * takes back by itself.  What it does with them it writes into the ledger, one
 * record of 16 bytes a slot, which the kernel reads when somebody asks.  A
 * tensor of ALLOC with %BMEM_ALLOC_RECORD has a record too, and may be used
 * again for another, no larger, without a call.
 *
 * The kernel believes no record: which slots are out, where they are and how
 * large they are it knows by itself.  A record only tells whether there is a
 * tensor in the slot, and its exact size, site and time; one that makes no
 * sense is counted as such, and spoils its own client's report only.
 *
 * From a pointer to the record leads the span map: one entry of 8 bytes for
 * each page of the space, which only the kernel can write.
 *
 * All three are mapped with MAP_SHARED from the device at the offsets that
 * QUERY answers; the control page and the span map with PROT_READ only.  What
 * is mapped beyond what there is reads as zero in the span map, and raises
 * SIGBUS in the ledger.
 */

/** define BMEM_SLOT_MAX - size of the largest class, in bytes */
#define BMEM_SLOT_MAX		32768
/**
 * define BMEM_CLASSES - number of size classes
 *
 * Class c is of 64 * (c + 1) bytes up to class 15, 1024 bytes; from there on
 * there are eight to a doubling, the last is %BMEM_SLOT_MAX.
 */
#define BMEM_CLASSES		56
/** define BMEM_SLOT_PLACE_BITS - lower bits of a slot's name: offset / 64 */
#define BMEM_SLOT_PLACE_BITS	38
/** define BMEM_RECORDS_MAX - most records in a ledger */
#define BMEM_RECORDS_MAX	(1U << 26)

/** define BMEM_TICK_MS - unit of time in the ledger, in milliseconds */
#define BMEM_TICK_MS		10

/**
 * struct bmem_clock - first page of the control window; the same for all
 * @ticks: time since the module was loaded, in units of %BMEM_TICK_MS; it may
 *	be late by a few
 */
struct bmem_clock {
	__u32 ticks;
};

/**
 * struct bmem_control - second page of the control window; one a client
 * @level: enum bmem_level that holds for the client now
 * @recall: counts up whenever the client is asked to give back its idle slots
 * @epoch: value of bmem_clock.ticks when the client was opened
 */
struct bmem_control {
	__u32 level;
	__u32 recall;
	__u32 epoch;
};

/**
 * enum bmem_level - how much is recorded of a tensor
 * @BMEM_LEVEL_OFF: nothing: slots that are out count as live; tensors that
 *	were allocated meanwhile count as idle once the level is raised
 * @BMEM_LEVEL_COUNTS: that it lives, and its exact size
 * @BMEM_LEVEL_STANDARD: also when it was allocated, and its call site, by the
 *	return address; whole stacks for samples
 * @BMEM_LEVEL_FULL: the call site is the whole stack, always
 */
enum bmem_level {
	BMEM_LEVEL_OFF = 0,
	BMEM_LEVEL_COUNTS = 1,
	BMEM_LEVEL_STANDARD = 2,
	BMEM_LEVEL_FULL = 3,
};

/*
 * An entry of the span map, by its lower 8 bits:
 *
 *	0		no span
 *	1 ... 56	slab span; class + 1
 *	254		second page of a tensor; bits 8 to 39: its length in pages
 *	255		first page of a tensor; further pages of one read as 0
 *
 * Bits 8 to 33 are the page's number in its slab span, or the generation of
 * the tensor, which is the part of its handle above %BMEM_SLOT_PLACE_BITS.
 * Bits 34 to 59 are the record of the span's first slot, or of the tensor.
 * Bit 60 is set when a tensor has a record.  Bit 61 is set when a tensor is
 * one page long.
 */
#define BMEM_SPAN_KIND_MASK	0xffULL
#define BMEM_SPAN_MORE		254ULL
#define BMEM_SPAN_TENSOR	255ULL
#define BMEM_SPAN_ARG_SHIFT	8
#define BMEM_SPAN_ARG_MASK	((1ULL << 26) - 1)
#define BMEM_SPAN_PAGES_MASK	((1ULL << 32) - 1)
#define BMEM_SPAN_RECORD_SHIFT	34
#define BMEM_SPAN_RECORD_MASK	((1ULL << 26) - 1)
#define BMEM_SPAN_RECORDED	(1ULL << 60)
#define BMEM_SPAN_SINGLE	(1ULL << 61)

/**
 * struct bmem_record - what a ledger says of one slot
 * @what: site in the upper 32 bits; in the lower, the time of the allocation,
 *	or, once it is freed, how long the tensor lived, both in ticks since
 *	bmem_control.epoch
 * @head: state in bits 0 and 1, generation in bits 2 to 23, exact size in
 *	bytes in bits 24 to 63
 *
 * Whoever allocates stores @what first and @head, with release semantics,
 * last; the generation is one above the old one.  Whoever frees stores @head
 * with the state %BMEM_RECORD_FREE and all else as it was, and may store the
 * lifetime into @what afterwards.  A reader takes @head, @what, and @head
 * again; when both are equal and live, the record is whole.  The kernel sets
 * the generation to 0 when it gives out the slot, so that it counts the
 * slot's tensors since then; it may turn %BMEM_RECORD_FREE into
 * %BMEM_RECORD_SEEN, which means the same.
 */
struct bmem_record {
	__aligned_u64 what;
	__aligned_u64 head;
};

#define BMEM_RECORD_STATE_MASK	3ULL
#define BMEM_RECORD_FREE	0ULL
#define BMEM_RECORD_LIVE	1ULL
#define BMEM_RECORD_SEEN	2ULL
#define BMEM_RECORD_GEN_SHIFT	2
#define BMEM_RECORD_GEN_MASK	((1ULL << 22) - 1)
#define BMEM_RECORD_SIZE_SHIFT	24
#define BMEM_RECORD_SITE_SHIFT	32

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
 * @control_offset: out, where to map the control window: two pages, struct
 *	bmem_clock and struct bmem_control
 * @spans_offset: out, where to map the span map
 * @spans_bytes: out, its length: 8 bytes a page of the space
 * @ledger_offset: out, where to map the ledger
 * @ledger_bytes: out, its greatest length: 16 bytes for each of
 *	%BMEM_RECORDS_MAX
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
	__aligned_u64 control_offset;
	__aligned_u64 spans_offset;
	__aligned_u64 spans_bytes;
	__aligned_u64 ledger_offset;
	__aligned_u64 ledger_bytes;
};

/** define BMEM_BIND_POOL - change the client's pool to @pool */
#define BMEM_BIND_POOL		(1U << 0)
/** define BMEM_BIND_LABEL - set the client's label to @label */
#define BMEM_BIND_LABEL		(1U << 1)
/** define BMEM_BIND_CACHE - set the client's cache bound to @cache_bytes */
#define BMEM_BIND_CACHE		(1U << 2)
/** define BMEM_BIND_LEVEL - set the client's tracking level to @level */
#define BMEM_BIND_LEVEL		(1U << 3)
/** define BMEM_BIND_POLICY - pin the client's placement policy to @policy */
#define BMEM_BIND_POLICY	(1U << 4)
/**
 * define BMEM_BIND_CLONE - let the client be cloned; make a clone one's own
 *
 * Before its space is mapped for the first time: the client may be cloned from
 * now on.  A clone may be from the start; of a clone, the first process that
 * binds with this flag becomes its process, of which reports tell instead of
 * the one that made it.
 *
 * Since Linux 6.5 a space that can be cloned cannot be pinned for long for
 * writing (fixed buffers of io_uring, RDMA, VFIO): core mm answers %EFAULT for
 * mappings of files whose writes are to be told of.  Pins that end with the
 * call (O_DIRECT) are no matter.
 */
#define BMEM_BIND_CLONE		(1U << 5)

/**
 * enum bmem_placement - where in its space a client's tensors are placed
 * @BMEM_PLACE_AUTO: a selector measures the others on the client's own tensors
 *	and takes the best for each range of sizes
 * @BMEM_PLACE_FIRST: the lowest gap that fits
 * @BMEM_PLACE_BEST: the smallest gap that fits, of these the lowest
 * @BMEM_PLACE_BUDDY: sizes rounded up to powers of two, aligned to their size
 */
enum bmem_placement {
	BMEM_PLACE_AUTO = 0,
	BMEM_PLACE_FIRST = 1,
	BMEM_PLACE_BEST = 2,
	BMEM_PLACE_BUDDY = 3,
};

/**
 * struct bmem_bind - BMEM_BIND: choose a pool, a label, bounds and policies
 * @size: sizeof(struct bmem_bind)
 * @flags: BMEM_BIND_*, which of the fields below to apply; at least one
 * @pool: id of a pool
 * @__reserved: must be 0
 * @cache_bytes: how many bytes of empty huge pages the client may keep
 *	attached for its next tensors; rounded down to whole huge pages; until
 *	it is set, an eighth of the most that the client ever held, at least
 *	one huge page, at most what the module's parameter cache_mib says;
 *	in libbmem's fallback three eighths, as long as they were used lately,
 *	or all where getting them again takes too much of the process's time;
 *	what is not set is not kept for ever either, and at the level
 *	%BMEM_PRESSURE_HIGH nothing is
 * @label: what reports call this client; ends with a zero, control characters
 *	are refused
 * @level: enum bmem_level; the lower of it and the module's parameter level
 *	holds
 * @policy: enum bmem_placement
 *
 * A client starts in the pool %BMEM_POOL_DEFAULT, with %BMEM_LEVEL_STANDARD and
 * %BMEM_PLACE_AUTO.
 *
 * Errors: %EBUSY to change the pool while tensors are live, and for
 * %BMEM_BIND_CLONE when the space is mapped; %ENOENT for no such pool; %EPERM
 * for a pool of another group; %EINVAL for no flag, a label without its
 * terminating zero or with control characters, a level or a policy that there
 * is not.
 */
struct bmem_bind {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 __reserved;
	__aligned_u64 cache_bytes;
	char label[BMEM_LABEL_LEN];
	__u32 level;
	__u32 policy;
};

/**
 * struct bmem_clone - BMEM_CLONE: a second client with the same in it
 * @size: sizeof(struct bmem_clone)
 * @flags: must be 0
 * @fd: out, descriptor of the clone, closed by execve(), open as the caller's is
 * @__reserved: must be 0
 * @client_id: out, the clone's id
 *
 * What fork() does to a process's memory this does to a client.  The clone is
 * in the same pool and has every tensor, slot and record of the caller's at
 * the same place, with the same handle, contents, site, time and links, and the
 * same label, bounds and policies.  From then on the two have nothing to do with
 * each other: what one writes, allocates and frees the other does not see.
 *
 * Huge pages are not copied, but shared until one of the two writes to them.
 * The first write to one after the call takes a page from the pool and copies
 * to it; for each that is shared, the pool keeps room for that below its limit,
 * so that no write fails for want of room.  If the system has neither a huge
 * page nor 4 KiB pages by then, it is as it is with memory of fork(): the
 * system ends a process to get some.  What is pinned for somebody to write to
 * (O_DIRECT) stays the caller's, and is copied by the call; so are 4 KiB
 * pages.  Who pins memory to read from it while it is shared sees what there
 * was then.
 *
 * Meanwhile other threads that touch the space wait.  The clone of a clone is
 * like any other; there is no chain.  Until a process binds it with
 * %BMEM_BIND_CLONE the clone counts for the process that made it, and leaves no
 * tombstone; later on it leaves one unless it is closed by a process that goes
 * on and has allocated nothing since.  Its figures begin as the caller's are,
 * but for the peaks, which begin at what it holds, and @failed, @promoted and
 * @escaped_bytes, which begin at 0.
 *
 * Errors: %EINVAL for a client without %BMEM_BIND_CLONE; %ENOSPC when the pool
 * has no room for copies of all huge pages that hold something, or keeps as much
 * of it for this user as one may have without CAP_SYS_RESOURCE (the module's
 * parameter clone_share); %ENOMEM;
 * %EINTR; %EMFILE and %ENFILE for too many descriptors; %EHWPOISON when memory
 * that has to be copied has failed.
 */
struct bmem_clone {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 __reserved;
	__aligned_u64 client_id;
};

/**
 * struct bmem_module - BMEM_MODULE: name a program file that frames refer to
 * @size: sizeof(struct bmem_module)
 * @flags: must be 0
 * @module: number that the caller chose for it, 1 to %BMEM_MODULES_MAX
 * @build_id_len: length of @build_id, 0 to %BMEM_BUILD_ID_MAX; 0 when the file
 *	has none
 * @build_id: the note's bytes, the rest 0
 * @path: name of the file, rules as for a label
 *
 * Naming it again replaces what was said.
 *
 * Errors: %EINVAL for a number, length or path outside its range.
 */
struct bmem_module {
	__u32 size;
	__u32 flags;
	__u32 module;
	__u32 build_id_len;
	__u8 build_id[BMEM_BUILD_ID_MAX];
	char path[BMEM_PATH_LEN];
};

/**
 * struct bmem_frame - one stack frame of a call site
 * @module: number of its program file, 0 for unknown
 * @__reserved: must be 0
 * @offset: the return address, relative to the file's load address (which
 *	makes it an address as the file's own symbol table has them)
 */
struct bmem_frame {
	__u32 module;
	__u32 __reserved;
	__aligned_u64 offset;
};

/**
 * struct bmem_site - BMEM_SITE: give a call site its name
 * @size: sizeof(struct bmem_site)
 * @flags: must be 0
 * @site: number that the caller chose for the site, not 0
 * @__reserved: must be 0
 * @label: what reports call the site; same rules as for a client's label
 * @frames: pointer to struct bmem_frame[@nr_frames], innermost first
 * @nr_frames: 0 to %BMEM_FRAMES_MAX; 0 leaves the frames as they are
 * @__reserved2: must be 0
 *
 * Sites are the caller's own numbering of where its tensors come from.
 * Naming a site again replaces its label.  A site that ALLOC saw first has an
 * empty label until it is named.
 *
 * Errors: %ENOSPC when %BMEM_SITES_MAX sites are known; %EINVAL for site 0, a
 * bad label, too many frames, or one of a program file that was not named.
 */
struct bmem_site {
	__u32 size;
	__u32 flags;
	__u32 site;
	__u32 __reserved;
	char label[BMEM_LABEL_LEN];
	__aligned_u64 frames;
	__u32 nr_frames;
	__u32 __reserved2;
};

/** define BMEM_ALLOC_ZERO - the tensor's bytes read as zero */
#define BMEM_ALLOC_ZERO		(1U << 0)
/** define BMEM_ALLOC_RECORD - the tensor has a record in the ledger */
#define BMEM_ALLOC_RECORD	(1U << 1)

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
 *
 * With %BMEM_ALLOC_RECORD, of which @bytes must be less than 2^40, the kernel
 * writes the first record itself, live, and
 * the span map says which one it is.  From then on what the record says of the
 * tensor's state, size (up to @granted), site and time is what reports show.
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

/** define BMEM_CALL_WAIT - wait for memory to come back, up to timeout_ms */
#define BMEM_CALL_WAIT		(1U << 0)
/** define BMEM_WAIT_MAX_MS - longest that a call may wait, in milliseconds */
#define BMEM_WAIT_MAX_MS	60000

/**
 * struct bmem_alloc - BMEM_ALLOC: allocate @nr tensors, all or none
 * @size: sizeof(struct bmem_alloc)
 * @flags: 0 or %BMEM_CALL_WAIT
 * @nr: number of entries, 1 to %BMEM_BATCH_MAX
 * @failed: out, on failure: which entry was the first that could not be had;
 *	written for %EINVAL, %EOPNOTSUPP, %EOVERFLOW, %EFBIG, %ENOSPC and
 *	%ENOMEM once the entries have been read
 * @entries: pointer to struct bmem_alloc_entry[@nr]
 * @timeout_ms: with %BMEM_CALL_WAIT, up to %BMEM_WAIT_MAX_MS, else must be 0
 * @__reserved: must be 0
 *
 * Physical memory is attached before the call returns.  The out fields of the
 * entries are written only on success.
 *
 * With %BMEM_CALL_WAIT a call that would fail with %ENOSPC or %ENOMEM sleeps
 * until a client of the pool frees something, or memory of the pool comes back
 * otherwise, and tries again; it fails as it would have when @timeout_ms are
 * over, and with %EINTR when a signal comes first.  Memory that comes back to
 * the system alone does not wake it.  Callers that wait are not served in
 * turn: small requests may overtake large ones.
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
	__u32 timeout_ms;
	__u32 __reserved;
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
 *
 * A slot that holds a tensor is listed as one, with %BMEM_ALLOC_RECORD; its
 * handle is good for TENSOR_INFO while that tensor lives, but not for FREE.
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

/**
 * struct bmem_slots - BMEM_SLOTS_GET, BMEM_SLOTS_PUT: slots of one size class
 * @size: sizeof(struct bmem_slots)
 * @flags: GET: 0 or %BMEM_CALL_WAIT; PUT: must be 0
 * @size_class: GET: 0 to %BMEM_CLASSES - 1; PUT: must be 0, the slots
 *	may be of any class
 * @nr: in, number of slots, 1 to %BMEM_BATCH_MAX; out, how many were given
 *	out or taken back
 * @slots: pointer to __u64[@nr]; a slot's name is its offset / 64, with its
 *	record from bit %BMEM_SLOT_PLACE_BITS on
 * @timeout_ms: GET: as for ALLOC; PUT: must be 0
 * @__reserved: must be 0
 *
 * GET gives out as many as there is memory for; it fails when that is none.
 * The slots' records are there, free, with generation 0.
 *
 * PUT takes back slots, each for itself; their records' state does not matter.
 * Names that are of no slot that is out are passed over: @nr then is less than
 * what was asked.  When GET cannot write the names, or @nr, it takes the slots
 * back and fails with %EFAULT; when PUT cannot write @nr, it fails with %EFAULT
 * and the slots are in all the same.
 *
 * Errors: %EINVAL for @size_class or @nr outside their range; %ENOSPC, %ENOMEM,
 * %EINTR as for ALLOC; %ENOSPC also when the ledger is full.
 */
struct bmem_slots {
	__u32 size;
	__u32 flags;
	__u32 size_class;
	__u32 nr;
	__aligned_u64 slots;
	__u32 timeout_ms;
	__u32 __reserved;
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
 * @holds: out, holds, see struct bmem_link
 * @links_in: out, links to it
 * @links_out: out, links from it
 * @__reserved: out, 0
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
	__u32 holds;
	__u32 links_in;
	__u32 links_out;
	__u32 __reserved;
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

/** define BMEM_STATS_LEDGER - read the ledger, for exact figures */
#define BMEM_STATS_LEDGER	(1U << 1)

/**
 * struct bmem_client_stats - BMEM_CLIENT_STATS: the sums over one client
 * @size: sizeof(struct bmem_client_stats)
 * @flags: 0 or %BMEM_STATS_LEDGER
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
 * @slots: out, slots that are out
 * @slot_bytes: out, sum of their classes' sizes, part of @granted_bytes
 * @spans: out, slab spans
 * @span_bytes: out, what they take up; @slot_bytes and slots that are in
 * @ledger_bytes: out, memory of the ledger, part of @meta_bytes
 * @span_map_bytes: out, memory of the span map, part of @meta_bytes
 * @idle_bytes: out, part of @granted_bytes that holds no tensor: idle slots,
 *	and recorded tensors that were freed; with %BMEM_STATS_LEDGER, else 0
 * @ledger_bad: out, records that make no sense; with %BMEM_STATS_LEDGER
 * @recorded: out, tensors with a record, slots not counted
 * @level: out, enum bmem_level that holds now
 * @policy: out, enum bmem_placement that was asked for
 * @shared_bytes: out, part of @attached_bytes that clones, or what this is a
 *	clone of, have too
 * @queued_bytes: out, part of @attached_bytes in huge pages with no tensor that
 *	leave soon, unless the client's next tensors come first; not part of
 *	@cached_bytes
 *
 * At any moment @live_bytes <= @granted_bytes <= @attached_bytes.
 *
 * Without %BMEM_STATS_LEDGER slots that are out, and recorded tensors, count
 * as live tensors of the size that was granted, or asked of ALLOC; @allocs and
 * @frees count calls for tensors, not slots.  With it, @live_tensors,
 * @live_bytes, @allocs and @frees are what the ledger says of them (@allocs up
 * to 2^22 for each slot between GET and PUT).  Peaks are of the former, unless
 * the latter has been seen to be more.
 * It takes time in proportion to the number of slots; the lock is not held
 * across it, so the figures are exact for a client that does nothing meanwhile.
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
	__aligned_u64 slots;
	__aligned_u64 slot_bytes;
	__aligned_u64 spans;
	__aligned_u64 span_bytes;
	__aligned_u64 ledger_bytes;
	__aligned_u64 span_map_bytes;
	__aligned_u64 idle_bytes;
	__aligned_u64 ledger_bad;
	__aligned_u64 recorded;
	__u32 level;
	__u32 policy;
	__aligned_u64 shared_bytes;
	__aligned_u64 queued_bytes;
};

/**
 * enum bmem_site_class - how a call site uses memory
 * @BMEM_SITE_UNKNOWN: not seen for long enough
 * @BMEM_SITE_ONE_SHOT: allocated a few times, long ago
 * @BMEM_SITE_TEMPORARY: many tensors that soon die
 * @BMEM_SITE_STEADY: what is live of it hardly changes
 * @BMEM_SITE_CACHE: long lives, in and out, below a bound that it has reached
 * @BMEM_SITE_GROWING: what is live of it grows
 */
enum bmem_site_class {
	BMEM_SITE_UNKNOWN = 0,
	BMEM_SITE_ONE_SHOT = 1,
	BMEM_SITE_TEMPORARY = 2,
	BMEM_SITE_STEADY = 3,
	BMEM_SITE_CACHE = 4,
	BMEM_SITE_GROWING = 5,
};

/** define BMEM_SITE_SIZES - exact sizes that are kept of a site */
#define BMEM_SITE_SIZES		4
/** define BMEM_SITE_BUCKETS - buckets of a site's histograms */
#define BMEM_SITE_BUCKETS	16

/**
 * struct bmem_site_row - what is known of one call site
 * @site: its number, 0 for all tensors without one
 * @site_class: enum bmem_site_class
 * @nr_frames: frames known, see SITE_FRAMES
 * @nr_sizes: different exact sizes seen, up to %BMEM_SITE_SIZES + 1, which
 *	means more than are kept
 * @live_tensors: live tensors
 * @live_bytes: what they asked for
 * @peak_bytes: largest @live_bytes seen
 * @allocs: tensors allocated, as far as seen
 * @frees: tensors freed, as far as seen
 * @first_ms: age of its first allocation, in milliseconds
 * @last_ms: age of the last allocation that was seen, in milliseconds
 * @reuse_ms: mean time from one allocation to the next, in milliseconds
 * @sizes: the exact sizes, where @nr_sizes is at most %BMEM_SITE_SIZES
 * @size_hist: tensors seen by size; bucket i is from 64 << 2i bytes on, the
 *	first also what is below
 * @life_hist: tensors seen to be freed, by lifetime; bucket 0 is below a tick,
 *	bucket i from 2^(i-1) ticks of %BMEM_TICK_MS on
 * @label: its label
 */
struct bmem_site_row {
	__u32 site;
	__u32 site_class;
	__u32 nr_frames;
	__u32 nr_sizes;
	__aligned_u64 live_tensors;
	__aligned_u64 live_bytes;
	__aligned_u64 peak_bytes;
	__aligned_u64 allocs;
	__aligned_u64 frees;
	__aligned_u64 first_ms;
	__aligned_u64 last_ms;
	__aligned_u64 reuse_ms;
	__aligned_u64 sizes[BMEM_SITE_SIZES];
	__u32 size_hist[BMEM_SITE_BUCKETS];
	__u32 life_hist[BMEM_SITE_BUCKETS];
	char label[BMEM_LABEL_LEN];
};

/**
 * struct bmem_site_list - BMEM_SITE_LIST: call sites by number
 * @size: sizeof(struct bmem_site_list)
 * @flags: must be 0
 * @client_id: whose; 0 for this client, another's needs the same effective
 *	user or CAP_SYS_ADMIN
 * @cursor: in, 0 to begin; out, where the next call goes on
 * @row_size: sizeof(struct bmem_site_row) that the caller was compiled with
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @rows: pointer to struct bmem_site_row[@nr]
 *
 * A call with cursor 0 reads the ledger first, so that the figures are those
 * of now.
 *
 * Errors: %ENOENT for a client that is not there or may not be seen; %EINVAL
 * for @nr or @row_size outside their range; %ENOMEM, %EINTR.
 */
struct bmem_site_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__aligned_u64 cursor;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
};

/**
 * struct bmem_site_frames - BMEM_SITE_FRAMES: the stack of one call site
 * @size: sizeof(struct bmem_site_frames)
 * @flags: must be 0
 * @client_id: as in struct bmem_site_list
 * @site: number of the site
 * @nr: in, capacity of the array, 0 to %BMEM_FRAMES_MAX; out, number of frames
 * @frames: pointer to struct bmem_frame[@nr]
 *
 * Errors: %ENOENT for no such client or site; %EMSGSIZE when there are more
 * frames than @nr, which is written.
 */
struct bmem_site_frames {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__u32 site;
	__u32 nr;
	__aligned_u64 frames;
};

/**
 * enum bmem_trend - what becomes of the live bytes of a call site or client
 * @BMEM_TREND_UNKNOWN: too little was seen of it, or it fits nowhere
 * @BMEM_TREND_STEADY: they have always been about the same
 * @BMEM_TREND_PLATEAU: they have grown, and do no more, or ever less
 * @BMEM_TREND_SAW_TOOTH: they go up and down
 * @BMEM_TREND_LINEAR: they grow, and about as fast as they did
 * @BMEM_TREND_ACCELERATING: they grow faster and faster
 */
enum bmem_trend {
	BMEM_TREND_UNKNOWN = 0,
	BMEM_TREND_STEADY = 1,
	BMEM_TREND_PLATEAU = 2,
	BMEM_TREND_SAW_TOOTH = 3,
	BMEM_TREND_LINEAR = 4,
	BMEM_TREND_ACCELERATING = 5,
};

/** define BMEM_GROWTH_WHOLE - the row is of the client as a whole */
#define BMEM_GROWTH_WHOLE	(1U << 0)
/**
 * define BMEM_GROWTH_LASTS - it has been growing for the module's growth_ms, and
 *	for twice as long as it took to see that
 */
#define BMEM_GROWTH_LASTS	(1U << 1)

/**
 * struct bmem_growth_row - whether what is live of a call site grows
 * @site: number of the site, 0 for tensors without one
 * @trend: enum bmem_trend
 * @flags: BMEM_GROWTH_*
 * @confidence: that it rises, per thousand: one less the chance that what has
 *	no trend looks like this; 500 for no trend at all
 * @slope: by how many bytes a minute it rises; 0 when it does not
 * @since_ms: milliseconds since it began to grow; of what does not grow, since
 *	it was first looked at
 * @rise_bytes: by how much its low points have risen since
 * @live_tensors: live tensors
 * @live_bytes: what those asked for
 * @peak_bytes: largest @live_bytes seen
 * @allocs: tensors allocated, as in struct bmem_site_row; of a client, 0
 * @frees: tensors freed, likewise
 * @last_ms: milliseconds since the last allocation, likewise
 * @label: label of the site, or of the client
 */
struct bmem_growth_row {
	__u32 site;
	__u32 trend;
	__u32 flags;
	__u32 confidence;
	__aligned_u64 slope;
	__aligned_u64 since_ms;
	__aligned_u64 rise_bytes;
	__aligned_u64 live_tensors;
	__aligned_u64 live_bytes;
	__aligned_u64 peak_bytes;
	__aligned_u64 allocs;
	__aligned_u64 frees;
	__aligned_u64 last_ms;
	char label[BMEM_LABEL_LEN];
};

/** define BMEM_GROWTH_ONLY - list what is linear or accelerating, nothing else */
#define BMEM_GROWTH_ONLY	(1U << 0)

/**
 * struct bmem_growth_list - BMEM_GROWTH_LIST: whose live bytes grow
 * @size: sizeof(struct bmem_growth_list)
 * @flags: 0 or %BMEM_GROWTH_ONLY
 * @client_id: as in struct bmem_site_list
 * @cursor: in, 0 to begin; out, where the next call goes on
 * @row_size: sizeof(struct bmem_growth_row) that the caller was compiled with
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @rows: pointer to struct bmem_growth_row[@nr]
 *
 * The first row is of the client as a whole, then sites follow by number.  A
 * call with cursor 0 reads the ledger first, so that the figures are those of
 * now; trends are of what is looked at each second, from the level
 * %BMEM_LEVEL_STANDARD on.
 *
 * Errors: %ENOENT for a client that is not there or may not be seen; %EINVAL
 * for @nr or @row_size outside their range; %ENOMEM, %EINTR.
 */
struct bmem_growth_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__aligned_u64 cursor;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
};

/**
 * struct bmem_module_info - BMEM_MODULE_INFO: what BMEM_MODULE said
 * @size: sizeof(struct bmem_module_info)
 * @flags: must be 0
 * @client_id: as in struct bmem_site_list
 * @module: number of the program file
 * @build_id_len: out
 * @build_id: out
 * @path: out
 *
 * Errors: %ENOENT for no such client or program file.
 */
struct bmem_module_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__u32 module;
	__u32 build_id_len;
	__u8 build_id[BMEM_BUILD_ID_MAX];
	char path[BMEM_PATH_LEN];
};

/**
 * struct bmem_client_row - who a client is
 * @client_id: its id, as QUERY answers it
 * @age_ms: milliseconds since it was opened
 * @cgroup: id of the cgroup that opened it, in the unified hierarchy; 0 for
 *	none
 * @pid: process that opened it, in the caller's pid namespace; 0 when it has no
 *	number there
 * @uid: effective user that opened it, in the caller's user namespace
 * @pool: id of its pool
 * @mappings: mappings that there are of it
 * @comm: name of the thread that opened it; may hold any byte
 * @label: what BIND said
 */
struct bmem_client_row {
	__aligned_u64 client_id;
	__aligned_u64 age_ms;
	__aligned_u64 cgroup;
	__u32 pid;
	__u32 uid;
	__u32 pool;
	__u32 mappings;
	char comm[BMEM_COMM_LEN];
	char label[BMEM_LABEL_LEN];
};

/**
 * struct bmem_client_list - BMEM_CLIENT_LIST: clients by id
 * @size: sizeof(struct bmem_client_list)
 * @flags: must be 0
 * @cursor: in, 0 to begin; out, where the next call goes on
 * @row_size: sizeof(struct bmem_client_row) that the caller was compiled with
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @rows: pointer to struct bmem_client_row[@nr]
 *
 * Lists the clients that the caller may look at: those of the same effective
 * user, with CAP_SYS_ADMIN all.  The caller's own is among them.  Their figures
 * are CLIENT_STATS's; a client may be gone by then.
 *
 * Errors: %EINVAL for @nr or @row_size outside their range; %EINTR.
 */
struct bmem_client_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 cursor;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
};

/** define BMEM_TOMBSTONE_SITES_MAX - most sites that a tombstone names */
#define BMEM_TOMBSTONE_SITES_MAX	16
/** define BMEM_TOMBSTONE_MODULES_MAX - most program files that it names */
#define BMEM_TOMBSTONE_MODULES_MAX	32

/**
 * enum bmem_way_out - how a client came to its end
 * @BMEM_WAY_CLOSED: its descriptors and mappings were closed
 * @BMEM_WAY_EXIT: its process exited
 * @BMEM_WAY_SIGNAL: its process was killed by a signal
 * @BMEM_WAY_EXEC: they were closed after its process had executed another
 *	program: by that, if they were not handed on to it
 */
enum bmem_way_out {
	BMEM_WAY_CLOSED = 0,
	BMEM_WAY_EXIT = 1,
	BMEM_WAY_SIGNAL = 2,
	BMEM_WAY_EXEC = 3,
};

/**
 * struct bmem_tombstone_row - what a client was when it was gone
 * @serial: number of the tombstone, 1 for the first since the module was loaded
 * @client_id: the client's id
 * @lived_ms: from when it was opened to its end, in milliseconds
 * @closed_ms: milliseconds since its end
 * @cgroup: as in struct bmem_client_row
 * @pid: its process, in the caller's pid namespace, where that is the initial
 *	one or the process's own; else 0
 * @uid: as in struct bmem_client_row
 * @way: enum bmem_way_out
 * @code: exit status or number of the signal
 * @live_tensors: as in struct bmem_client_stats, as all up to @failed at the
 *	moment of its end
 * @live_bytes: likewise
 * @granted_bytes: likewise
 * @attached_bytes: likewise
 * @peak_live_bytes: likewise
 * @peak_attached_bytes: likewise
 * @allocs: likewise
 * @frees: likewise
 * @failed: likewise
 * @escaped_bytes: memory that was pinned by somebody else when it was let go
 * @nr_sites: call sites that TOMBSTONE_SITES tells of
 * @rest_sites: further sites that had live tensors
 * @rest_tensors: live tensors of those
 * @rest_bytes: what those asked for
 * @pool: name of its pool
 * @comm: as in struct bmem_client_row
 * @label: what the client called itself
 */
struct bmem_tombstone_row {
	__aligned_u64 serial;
	__aligned_u64 client_id;
	__aligned_u64 lived_ms;
	__aligned_u64 closed_ms;
	__aligned_u64 cgroup;
	__u32 pid;
	__u32 uid;
	__u32 way;
	__u32 code;
	__aligned_u64 live_tensors;
	__aligned_u64 live_bytes;
	__aligned_u64 granted_bytes;
	__aligned_u64 attached_bytes;
	__aligned_u64 peak_live_bytes;
	__aligned_u64 peak_attached_bytes;
	__aligned_u64 allocs;
	__aligned_u64 frees;
	__aligned_u64 failed;
	__aligned_u64 escaped_bytes;
	__u32 nr_sites;
	__u32 rest_sites;
	__aligned_u64 rest_tensors;
	__aligned_u64 rest_bytes;
	char pool[BMEM_POOL_NAME_LEN];
	char comm[BMEM_COMM_LEN];
	char label[BMEM_LABEL_LEN];
};

/**
 * struct bmem_tombstone_list - BMEM_TOMBSTONE_LIST: tombstones, oldest first
 * @size: sizeof(struct bmem_tombstone_list)
 * @flags: must be 0
 * @cursor: in, 0 to begin; out, where the next call goes on
 * @row_size: sizeof(struct bmem_tombstone_row) that the caller was compiled
 *	with
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @rows: pointer to struct bmem_tombstone_row[@nr]
 *
 * Lists the tombstones of the caller's effective user, with CAP_SYS_ADMIN all,
 * as far as they are kept: the latest, as many as the module's parameter
 * tombstones says.  A client that never allocated leaves none; for clones see
 * struct bmem_clone.
 *
 * Errors: %EINVAL for @nr or @row_size outside their range; %EINTR.
 */
struct bmem_tombstone_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 cursor;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
};

/**
 * struct bmem_tombstone_site - what a client held of one call site at its end
 * @site: the client's number for it, 0 for all tensors without one
 * @nr_frames: entries in @frames
 * @live_tensors: tensors
 * @live_bytes: what they asked for
 * @label: the site's
 * @frames: its stack, innermost first
 */
struct bmem_tombstone_site {
	__u32 site;
	__u32 nr_frames;
	__aligned_u64 live_tensors;
	__aligned_u64 live_bytes;
	char label[BMEM_LABEL_LEN];
	struct bmem_frame frames[BMEM_FRAMES_MAX];
};

/**
 * struct bmem_tombstone_sites - BMEM_TOMBSTONE_SITES: its sites, largest first
 * @size: sizeof(struct bmem_tombstone_sites)
 * @flags: must be 0
 * @serial: number of the tombstone
 * @row_size: sizeof(struct bmem_tombstone_site) that the caller was compiled
 *	with
 * @nr: in, capacity of the array, 0 to %BMEM_TOMBSTONE_SITES_MAX; out, number
 *	of sites
 * @rows: pointer to struct bmem_tombstone_site[@nr]
 *
 * Errors: %ENOENT for a tombstone that is not there or may not be seen;
 * %EINVAL for @nr or @row_size outside their range; %EMSGSIZE when there are
 * more sites than @nr, which is written.
 */
struct bmem_tombstone_sites {
	__u32 size;
	__u32 flags;
	__aligned_u64 serial;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
};

/**
 * struct bmem_tombstone_module - BMEM_TOMBSTONE_MODULE: a program file of one
 * @size: sizeof(struct bmem_tombstone_module)
 * @flags: must be 0
 * @serial: number of the tombstone
 * @module: number of the program file in its sites' frames
 * @build_id_len: out
 * @build_id: out
 * @path: out
 *
 * A tombstone keeps the first %BMEM_TOMBSTONE_MODULES_MAX program files that
 * its frames refer to, those of its largest site first.
 *
 * Errors: %ENOENT for no such tombstone or program file.
 */
struct bmem_tombstone_module {
	__u32 size;
	__u32 flags;
	__aligned_u64 serial;
	__u32 module;
	__u32 build_id_len;
	__u8 build_id[BMEM_BUILD_ID_MAX];
	char path[BMEM_PATH_LEN];
};

/**
 * enum bmem_event_type - what an event is about
 * @BMEM_EVENT_PRESSURE: the pressure level of a pool, or of the system, has
 *	changed; level: the new one, bytes: attached, arg: the old level
 * @BMEM_EVENT_CLEANUP_DONE: a cleanup of a pool, or of all, is through; level:
 *	why, bytes: given back, arg: how long it took, in nanoseconds
 * @BMEM_EVENT_ALLOC_FAILED: an ALLOC or SLOTS_GET of a client failed for want
 *	of memory or room; bytes: what the call asked for, arg: the errno
 * @BMEM_EVENT_RECALL: bmem_control.recall of a client has counted up
 * @BMEM_EVENT_COMPACT_WANTED: a pool would be helped by compaction
 * @BMEM_EVENT_COMPACTED: a pool, or a client's space, has been compacted;
 *	bytes: given back
 * @BMEM_EVENT_LEAK_SUSPECTED: tensors of a client may be leaked; level: enum
 *	bmem_leak_kind, bytes: theirs, arg: their call site
 * @BMEM_EVENT_LEAK_CONFIRMED: they still look leaked
 * @BMEM_EVENT_LEAK_CLEARED: they are not
 * @BMEM_EVENT_CLIENT_GONE: a client is gone, and has a tombstone; bytes: what
 *	was live, arg: serial number of the tombstone
 */
enum bmem_event_type {
	BMEM_EVENT_PRESSURE = 1,
	BMEM_EVENT_CLEANUP_DONE = 2,
	BMEM_EVENT_ALLOC_FAILED = 3,
	BMEM_EVENT_RECALL = 4,
	BMEM_EVENT_COMPACT_WANTED = 5,
	BMEM_EVENT_COMPACTED = 6,
	BMEM_EVENT_LEAK_SUSPECTED = 7,
	BMEM_EVENT_LEAK_CONFIRMED = 8,
	BMEM_EVENT_LEAK_CLEARED = 9,
	BMEM_EVENT_CLIENT_GONE = 10,
};

/** define BMEM_EVENT_TYPES - one above the last type of event */
#define BMEM_EVENT_TYPES	11
/** define BMEM_EVENT_NO_POOL - pool of an event that is of no pool */
#define BMEM_EVENT_NO_POOL	0xffffffffU

/**
 * struct bmem_event - something happened
 * @size: sizeof(struct bmem_event) that the kernel was compiled with: where the
 *	next event begins
 * @type: enum bmem_event_type
 * @serial: number of the event since the module was loaded
 * @lost: events that the reader would have got between the one it got before
 *	and this one, and did not
 * @time_ns: when, by CLOCK_BOOTTIME
 * @client_id: the client that it is about, 0 for none
 * @pool: id of the pool that it is about, or %BMEM_EVENT_NO_POOL
 * @level: see the type
 * @bytes: see the type
 * @arg: see the type
 */
struct bmem_event {
	__u32 size;
	__u32 type;
	__aligned_u64 serial;
	__aligned_u64 lost;
	__aligned_u64 time_ns;
	__aligned_u64 client_id;
	__u32 pool;
	__u32 level;
	__aligned_u64 bytes;
	__aligned_u64 arg;
};

/** define BMEM_EVENT_BIT - bit of an event type in a mask */
#define BMEM_EVENT_BIT(type)	(1ULL << (type))
/** define BMEM_EVENTS_MAX - most events that wait for one descriptor */
#define BMEM_EVENTS_MAX		64
/** define BMEM_READERS_MAX - most descriptors of a user that ask for events */
#define BMEM_READERS_MAX	1024

/**
 * DOC: reading events
 *
 * read() on the device answers whole events, oldest first, as many as there
 * are and fit; an event begins where the size in the one before it says.  It
 * waits while there is none, unless the descriptor is O_NONBLOCK.  poll()
 * answers POLLIN while there is one.  Those who share a descriptor, as threads,
 * or parent and child after fork(), share its events: each is read once.
 *
 * An event is told to descriptors that asked for its type with BMEM_EVENTS,
 * when it is about a client of the same effective user, or about the
 * descriptor's own; or about the pool that the descriptor is bound to, or
 * about no client and no pool.  With CAP_SYS_ADMIN all are told.  Whose user and
 * whose privilege is that of who called BMEM_EVENTS, at that moment.
 *
 * Who does not read loses the oldest: bmem_event.lost of the next one says how
 * many.  Events of the same type, client and pool that come faster than they
 * can be handed out may be lost likewise, all but the last.
 *
 * read() fails with %EAGAIN where it would have to wait; %EINVAL when there is
 * no room for an event, or when none was asked for and none waits; %EFAULT,
 * and the event stays; %EINTR.  splice() and sendfile() are refused.
 */

/** define BMEM_EVENTS_SET - ask for the types in @mask and no others */
#define BMEM_EVENTS_SET		(1U << 0)

/**
 * struct bmem_events - BMEM_EVENTS: which events does this descriptor tell?
 * @size: sizeof(struct bmem_events)
 * @flags: 0 or %BMEM_EVENTS_SET
 * @mask: in, with %BMEM_EVENTS_SET, BMEM_EVENT_BIT() of types, 0 for none; else
 *	must be 0; out, what holds now
 * @known: out, all types that this kernel has
 * @lost: out, events that this descriptor lost so far
 * @waiting: out, events that wait to be read
 * @capacity: out, %BMEM_EVENTS_MAX
 *
 * A descriptor begins with none.  Events that wait and are not asked for any
 * more are dropped, and not counted as lost.
 *
 * What happened before the call is not told because of it, and @lost and
 * @waiting know of it: for that the call may wait some milliseconds, until
 * events that are on their way have been handed out.
 *
 * Errors: %EOPNOTSUPP for a type that this kernel does not have; %EMFILE when
 * %BMEM_READERS_MAX descriptors of the caller's user ask for events already, and
 * it does not have CAP_SYS_RESOURCE; %ENOMEM; %EINTR.
 */
struct bmem_events {
	__u32 size;
	__u32 flags;
	__aligned_u64 mask;
	__aligned_u64 known;
	__aligned_u64 lost;
	__u32 waiting;
	__u32 capacity;
};

/**
 * enum bmem_leak_kind - what shows that a tensor is leaked
 * @BMEM_LEAK_UNREFERENCED: it has been referred to by LINK, and is no more
 * @BMEM_LEAK_UNREACHABLE: no word of its process leads to it
 * @BMEM_LEAK_CYCLE: it is referred to from within a cycle of links only
 * @BMEM_LEAK_GROWTH: what is live of its call site grows without bound
 *
 * A tensor is told of once, as of the kind that suspected it first; what others
 * have seen of it stands in the evidence there.  When that kind does not find it
 * any more, another that does has it from its next scan on.  So figures of
 * findings, of whatever kinds, may be added up.
 */
enum bmem_leak_kind {
	BMEM_LEAK_UNREFERENCED = 1,
	BMEM_LEAK_UNREACHABLE = 2,
	BMEM_LEAK_CYCLE = 3,
	BMEM_LEAK_GROWTH = 4,
};

/** define BMEM_LEAK_KIND - bit of a kind in a mask of kinds */
#define BMEM_LEAK_KIND(kind)	(1U << (kind))

/**
 * enum bmem_leak_state - how sure it is
 * @BMEM_LEAK_SUSPECTED: seen once
 * @BMEM_LEAK_CONFIRMED: still so when it was looked at again after a delay
 */
enum bmem_leak_state {
	BMEM_LEAK_SUSPECTED = 1,
	BMEM_LEAK_CONFIRMED = 2,
};

/** define BMEM_LEAK_NO_REFERENCE - every declared reference has gone */
#define BMEM_LEAK_NO_REFERENCE	(1U << 0)
/** define BMEM_LEAK_IN_CYCLE - links lead from it to itself, none from outside */
#define BMEM_LEAK_IN_CYCLE	(1U << 1)
/** define BMEM_LEAK_BEHIND - links lead to it, all from what is leaked itself */
#define BMEM_LEAK_BEHIND	(1U << 2)
/** define BMEM_LEAK_NO_POINTER - no word in memory or a register leads to it */
#define BMEM_LEAK_NO_POINTER	(1U << 3)
/** define BMEM_LEAK_UNCHANGED - its content is what it was a scan before */
#define BMEM_LEAK_UNCHANGED	(1U << 4)
/** define BMEM_LEAK_TREND - live bytes of its site rise by a trend test */
#define BMEM_LEAK_TREND		(1U << 5)

/** define BMEM_LEAKS_MAX - most findings of one client */
#define BMEM_LEAKS_MAX		1024
/** define BMEM_LEAK_SAMPLES - handles of tensors that a finding names */
#define BMEM_LEAK_SAMPLES	4
/** define BMEM_LEAK_DELAY_MAX - longest delay of LEAK_SCAN, in milliseconds */
#define BMEM_LEAK_DELAY_MAX	60000

/** define BMEM_LEAK_SCAN_CONFIRM - wait, and look again, until confirmed */
#define BMEM_LEAK_SCAN_CONFIRM	(1U << 0)
/** define BMEM_LEAK_SCAN_AGE - @min_age_ms instead of the module's leak_age_ms */
#define BMEM_LEAK_SCAN_AGE	(1U << 1)

/**
 * struct bmem_leak_scan - BMEM_LEAK_SCAN: look for leaks now
 * @size: sizeof(struct bmem_leak_scan)
 * @flags: BMEM_LEAK_SCAN_*
 * @client_id: whose; 0 for this client, another's needs the same effective
 *	user or CAP_SYS_ADMIN
 * @kinds: BMEM_LEAK_KIND()s to look for, 0 for all
 * @delay_ms: how long a suspect must have been one to be confirmed, in
 *	milliseconds up to %BMEM_LEAK_DELAY_MAX; 0 for the module's parameter
 *	leak_delay_ms
 * @min_age_ms: with %BMEM_LEAK_SCAN_AGE, tensors that are younger are left
 *	alone; in milliseconds; else must be 0
 * @cut_short: out, BMEM_LEAK_KIND()s of scans that did not come to their end;
 *	what those found before still stands
 * @__reserved: must be 0
 * @suspected: out, findings of @kinds that are suspected
 * @confirmed: out, those that are confirmed
 * @suspected_bytes: out, sum over the tensors that are suspected
 * @confirmed_bytes: out, sum over those that are confirmed
 * @cleared: out, findings that have gone away since the client was opened
 *
 * The call returns when the scans are done.  With %BMEM_LEAK_SCAN_CONFIRM it
 * then sleeps for the delay and scans again, as often as it takes to confirm
 * what it found; without, suspects are looked at again in the background.
 *
 * Errors: %ENOENT for a client that is not there or may not be seen; %EINVAL
 * for a kind that there is not, a delay outside its range, or an age without
 * its flag; %ENOMEM, %EINTR.
 */
struct bmem_leak_scan {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__u32 kinds;
	__u32 delay_ms;
	__u32 min_age_ms;
	__u32 cut_short;
	__aligned_u64 __reserved;
	__aligned_u64 suspected;
	__aligned_u64 confirmed;
	__aligned_u64 suspected_bytes;
	__aligned_u64 confirmed_bytes;
	__aligned_u64 cleared;
};

/**
 * struct bmem_leak_row - one finding: tensors of a site that are leaked alike
 * @id: number of the finding, never 0, never used again
 * @client_id: the client
 * @pid: its process, in the caller's pid namespace; 0 when it has no number
 *	there
 * @kind: enum bmem_leak_kind
 * @state: enum bmem_leak_state; confirmed when one of its tensors is
 * @site: number of the call site, 0 for all tensors without one
 * @tensors: tensors that are suspected or confirmed; of growth, all that are
 *	live of the site but for those that other findings tell of
 * @bytes: what they asked for
 * @confirmed_tensors: those that are confirmed
 * @confirmed_bytes: what those asked for
 * @oldest_ms: age of the oldest, in milliseconds; of growth, since when
 * @first_seen_ms: milliseconds since it was first suspected
 * @checked_ms: milliseconds since it was last looked at: the figures are those
 *	of then
 * @slope: of growth: bytes per minute, else 0
 * @confidence: in percent
 * @evidence: BMEM_LEAK_NO_REFERENCE to BMEM_LEAK_TREND, of all kinds that found
 *	any of the tensors
 * @nr_samples: entries in @samples
 * @nr_frames: frames of the site, see SITE_FRAMES
 * @samples: handles of some of its tensors, for TENSOR_INFO
 * @label: label of the site
 * @hole_bytes: room between tensors in the client's space, when a finding of
 *	the client was last raised as an event
 * @largest_hole_bytes: the largest of these holes
 * @fragmentation: share of @hole_bytes that is not in the largest, in permille
 * @__reserved: 0
 */
struct bmem_leak_row {
	__aligned_u64 id;
	__aligned_u64 client_id;
	__u32 pid;
	__u32 kind;
	__u32 state;
	__u32 site;
	__aligned_u64 tensors;
	__aligned_u64 bytes;
	__aligned_u64 confirmed_tensors;
	__aligned_u64 confirmed_bytes;
	__aligned_u64 oldest_ms;
	__aligned_u64 first_seen_ms;
	__aligned_u64 checked_ms;
	__aligned_u64 slope;
	__u32 confidence;
	__u32 evidence;
	__u32 nr_samples;
	__u32 nr_frames;
	__aligned_u64 samples[BMEM_LEAK_SAMPLES];
	char label[BMEM_LABEL_LEN];
	__aligned_u64 hole_bytes;
	__aligned_u64 largest_hole_bytes;
	__u32 fragmentation;
	__u32 __reserved;
};

/** define BMEM_LEAK_LIST_ALL - of all clients that the caller may look at */
#define BMEM_LEAK_LIST_ALL	(1U << 0)

/**
 * struct bmem_leak_list - BMEM_LEAK_LIST: what has been found so far
 * @size: sizeof(struct bmem_leak_list)
 * @flags: 0 or %BMEM_LEAK_LIST_ALL
 * @client_id: as in struct bmem_leak_scan; must be 0 with %BMEM_LEAK_LIST_ALL
 * @cursor_client: in, 0 to begin; out, where the next call goes on
 * @cursor: likewise
 * @kinds: BMEM_LEAK_KIND()s to list, 0 for all
 * @__reserved: must be 0
 * @row_size: sizeof(struct bmem_leak_row) that the caller was compiled with
 * @nr: in, capacity of the array, 1 to %BMEM_BATCH_MAX; out, entries written;
 *	fewer than the capacity means that the list is at its end
 * @rows: pointer to struct bmem_leak_row[@nr]
 * @cleared: out, findings that have gone away, of the clients whose list begins
 *	in this call
 * @dropped: out, tensors for which there was no room in the findings, likewise:
 *	when it is not 0 the list is not all that there is
 * @cut_short: out, BMEM_LEAK_KIND()s whose last scan did not come to its end,
 *	likewise
 * @__reserved2: must be 0
 *
 * Findings of a client by number.  With %BMEM_LEAK_LIST_ALL, those of the
 * clients of the caller's effective user, with CAP_SYS_ADMIN all, by client; a
 * client that stays busy is passed over.
 *
 * Errors: %ENOENT for a client that is not there or may not be seen; %EINVAL
 * for @nr or @row_size outside their range, a kind that there is not, or a
 * client with %BMEM_LEAK_LIST_ALL; %ENOMEM, %EINTR.
 */
struct bmem_leak_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 client_id;
	__aligned_u64 cursor_client;
	__aligned_u64 cursor;
	__u32 kinds;
	__u32 __reserved;
	__u32 row_size;
	__u32 nr;
	__aligned_u64 rows;
	__aligned_u64 cleared;
	__aligned_u64 dropped;
	__u32 cut_short;
	__u32 __reserved2;
};

/** define BMEM_LINKS_MAX - most links, and most tensors with any, of a client */
#define BMEM_LINKS_MAX		(1U << 21)

/**
 * struct bmem_link_entry - one reference
 * @from: in, handle of the tensor that refers; 0 for a hold, which is a
 *	reference from the program itself
 * @to: in, handle of the tensor that is referred to; may be @from
 * @result: out, 0 or a negative errno
 * @__reserved: in, must be 0
 */
struct bmem_link_entry {
	__aligned_u64 from;
	__aligned_u64 to;
	__s32 result;
	__u32 __reserved;
};

/**
 * struct bmem_link - BMEM_LINK, BMEM_UNLINK: who refers to whom
 * @size: sizeof(struct bmem_link)
 * @flags: must be 0
 * @nr: number of entries, 1 to %BMEM_BATCH_MAX
 * @done: out, how many results are 0
 * @entries: pointer to struct bmem_link_entry[@nr]
 *
 * LINK declares references, from one tensor to another (a view to its base, a
 * node to its gradient) or from the program itself; UNLINK takes them back.
 * From one tensor to another there is one link at most.  Holds are counted: a
 * tensor that was held twice is to be let go twice.
 *
 * A tensor takes part from when it is first referred to until it is freed: from
 * then on its program says of every reference that it keeps to it, and one that
 * is left without any is a leak, as is a cycle that no reference leads into.  A
 * tensor that only refers to others counts as in use.  When a tensor is freed
 * the links from and to it are gone, too.
 *
 * Any tensor that TENSOR_LIST lists will do, also what is in a slot; of those,
 * and of tensors with a record, the kernel notices some time later that they
 * are gone.
 *
 * Results: %ENOENT when no live tensor has one of the handles, and of UNLINK
 * when there is no such reference; %EEXIST when there is the link already;
 * %EOVERFLOW when it is held 2^32 - 1 times; %EINVAL for @to 0; %ENOSPC for
 * more than %BMEM_LINKS_MAX links, or tensors with any; %ENOMEM.
 *
 * The call succeeds when the array could be read and written; when the results
 * cannot be written back it fails with %EFAULT and is done all the same.
 */
struct bmem_link {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 done;
	__aligned_u64 entries;
};

/** define BMEM_LEAK_SKIPS_MAX - most ranges that one process leaves out */
#define BMEM_LEAK_SKIPS_MAX	16

/**
 * struct bmem_leak_skip - BMEM_LEAK_SKIP: memory that holds no references
 * @size: sizeof(struct bmem_leak_skip)
 * @flags: must be 0
 * @addr: where it begins in the calling process, a multiple of 8
 * @bytes: its length, a multiple of 8
 *
 * The scan for tensors that no word leads to takes every word of a process that
 * maps the space for a pointer.  An allocator's own books, which have the
 * addresses of all that it gave out, it has to leave out: this tells it where
 * they are.  It holds for the calling process, not for its children, until the
 * process ends or tells anew of a range that overlaps.
 *
 * Errors: %ENOSPC beyond %BMEM_LEAK_SKIPS_MAX ranges, or 256 of all processes
 * that share the client; %EINVAL for a range that is empty, not aligned or not
 * in the process's address space; %ENOMEM, %EINTR.
 */
struct bmem_leak_skip {
	__u32 size;
	__u32 flags;
	__aligned_u64 addr;
	__aligned_u64 bytes;
};

/** define BMEM_TRIM_POOL - every client of this client's pool; CAP_SYS_ADMIN */
#define BMEM_TRIM_POOL		(1U << 0)
/** define BMEM_TRIM_QUEUED - only what leaves soon anyway; @keep_bytes must be 0 */
#define BMEM_TRIM_QUEUED	(1U << 1)

/**
 * struct bmem_trim - BMEM_TRIM: give back huge pages that hold no tensor
 * @size: sizeof(struct bmem_trim)
 * @flags: BMEM_TRIM_*
 * @keep_bytes: how many bytes of cached huge pages each client may keep
 * @trimmed_bytes: out, how many bytes went back to the pool
 *
 * With %BMEM_TRIM_POOL, clients that stay busy in another call are passed over,
 * and those whose space is mapped in many places; bmem_control.recall of all
 * others counts up.  The ledger's unused pages go, too; they are not counted.
 *
 * With %BMEM_TRIM_QUEUED, only what FREE has queued (bmem_client_stats
 * .queued_bytes) goes: now, and not a moment later; nobody is asked for more.
 *
 * Errors: %EINVAL for @keep_bytes with %BMEM_TRIM_QUEUED; %EPERM.
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
 * @shared_bytes: out, what clients hold in common, once for each of them but
 *	the first: the sum of their attached_bytes is @attached_bytes and this;
 *	so much is kept free below the limit, for copies (all nodes)
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
	__aligned_u64 shared_bytes;
};

/**
 * enum bmem_pressure_level - how much of its limit a pool has out
 * @BMEM_PRESSURE_NONE: room
 * @BMEM_PRESSURE_RAISED: above 70 %: what was freed goes back at once
 * @BMEM_PRESSURE_HIGH: above 80 %: nothing that holds no tensor stays with a
 *	client
 * @BMEM_PRESSURE_SEVERE: above 90 %: clients are asked for idle memory, too
 * @BMEM_PRESSURE_CRITICAL: above 95 %: compaction is asked for, and cleanup
 *	waits for clients that are busy
 *
 * The percentages are the module's parameter pressure_levels.  A level is left
 * only when it is below its percentage by pressure_hysteresis.
 */
enum bmem_pressure_level {
	BMEM_PRESSURE_NONE = 0,
	BMEM_PRESSURE_RAISED = 1,
	BMEM_PRESSURE_HIGH = 2,
	BMEM_PRESSURE_SEVERE = 3,
	BMEM_PRESSURE_CRITICAL = 4,
};

/** define BMEM_PRESSURE_LEVELS - how many of them there are */
#define BMEM_PRESSURE_LEVELS	5

/**
 * enum bmem_gain - by what memory came back
 * @BMEM_GAIN_DEFERRED: FREE had queued it, and enough was queued, or the client
 *	was quiet
 * @BMEM_GAIN_IMMEDIATE: likewise, under pressure
 * @BMEM_GAIN_EMERGENCY: likewise, at the level %BMEM_PRESSURE_CRITICAL, or
 *	since an ALLOC could not do without
 * @BMEM_GAIN_CACHE: a client's cache that was not used any more
 * @BMEM_GAIN_PRESSURE: a client's cache, under pressure
 * @BMEM_GAIN_RECALL: what clients gave back within a second of being asked
 * @BMEM_GAIN_RESERVE: free pages beyond the reservation
 * @BMEM_GAIN_SHRINK: cached or queued, since the system had no memory
 * @BMEM_GAIN_OOM: likewise, when it was about to kill for it
 * @BMEM_GAIN_TRIM: TRIM asked for it
 * @BMEM_GAIN_REUSED: the client's own next tensors took back what was queued
 */
enum bmem_gain {
	BMEM_GAIN_DEFERRED = 0,
	BMEM_GAIN_IMMEDIATE = 1,
	BMEM_GAIN_EMERGENCY = 2,
	BMEM_GAIN_CACHE = 3,
	BMEM_GAIN_PRESSURE = 4,
	BMEM_GAIN_RECALL = 5,
	BMEM_GAIN_RESERVE = 6,
	BMEM_GAIN_SHRINK = 7,
	BMEM_GAIN_OOM = 8,
	BMEM_GAIN_TRIM = 9,
	BMEM_GAIN_REUSED = 10,
};

/** define BMEM_GAINS - how many of them there are */
#define BMEM_GAINS		11

/**
 * struct bmem_pressure - BMEM_PRESSURE: how pressed a pool is
 * @size: sizeof(struct bmem_pressure)
 * @flags: 0 or %BMEM_STATS_NODE
 * @pool: in, id of the pool
 * @nid: in, NUMA node with %BMEM_STATS_NODE, else must be 0
 * @level: out, enum bmem_pressure_level
 * @permille: out, what clients hold, may yet take to copy what clones share, or
 *	let go while somebody else pins it, in thousandths of the limit, rounded
 *	up; of a node, of the limit or of the node's memory, whichever is less,
 *	and without what may yet be taken
 * @held_bytes: out, that
 * @limit_bytes: out, what it is compared with
 * @queued_bytes: out, part that leaves soon (of all nodes, as all below)
 * @cached_bytes: out, part that clients keep for their next tensors
 * @trend: out, bytes a second by which @held_bytes has grown or, below 0,
 *	fallen lately
 * @events: out, PRESSURE events raised
 * @recalls: out, times that clients were asked for idle memory
 * @compactions: out, times that compaction was asked for
 * @level_ms: out, milliseconds spent in each level
 * @entered: out, how often each was entered
 * @gained_bytes: out, what came back, by enum bmem_gain
 *
 * Anybody may ask about any pool, as with POOL_STATS.  A node's @level is that
 * of its @permille, without hysteresis.
 *
 * Errors: %ENOENT for no such pool; %EINVAL for a node that there is not.
 */
struct bmem_pressure {
	__u32 size;
	__u32 flags;
	__u32 pool;
	__u32 nid;
	__u32 level;
	__u32 permille;
	__aligned_u64 held_bytes;
	__aligned_u64 limit_bytes;
	__aligned_u64 queued_bytes;
	__aligned_u64 cached_bytes;
	__s64 trend;
	__aligned_u64 events;
	__aligned_u64 recalls;
	__aligned_u64 compactions;
	__aligned_u64 level_ms[BMEM_PRESSURE_LEVELS];
	__aligned_u64 entered[BMEM_PRESSURE_LEVELS];
	__aligned_u64 gained_bytes[BMEM_GAINS];
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
#define BMEM_SLOTS_GET		_IO(BMEM_IOC_TYPE, 0x4e)
#define BMEM_SLOTS_PUT		_IO(BMEM_IOC_TYPE, 0x4f)
#define BMEM_MODULE		_IO(BMEM_IOC_TYPE, 0x50)
#define BMEM_MODULE_INFO	_IO(BMEM_IOC_TYPE, 0x51)
#define BMEM_SITE_LIST		_IO(BMEM_IOC_TYPE, 0x52)
#define BMEM_SITE_FRAMES	_IO(BMEM_IOC_TYPE, 0x53)
#define BMEM_CLONE		_IO(BMEM_IOC_TYPE, 0x54)
#define BMEM_EVENTS		_IO(BMEM_IOC_TYPE, 0x55)
#define BMEM_LINK		_IO(BMEM_IOC_TYPE, 0x56)
#define BMEM_UNLINK		_IO(BMEM_IOC_TYPE, 0x57)
#define BMEM_CLIENT_LIST	_IO(BMEM_IOC_TYPE, 0x58)
#define BMEM_TOMBSTONE_LIST	_IO(BMEM_IOC_TYPE, 0x59)
#define BMEM_TOMBSTONE_SITES	_IO(BMEM_IOC_TYPE, 0x5a)
#define BMEM_TOMBSTONE_MODULE	_IO(BMEM_IOC_TYPE, 0x5b)
#define BMEM_LEAK_SCAN		_IO(BMEM_IOC_TYPE, 0x5c)
#define BMEM_LEAK_LIST		_IO(BMEM_IOC_TYPE, 0x5d)
#define BMEM_GROWTH_LIST	_IO(BMEM_IOC_TYPE, 0x5e)
#define BMEM_PRESSURE		_IO(BMEM_IOC_TYPE, 0x5f)
#define BMEM_LEAK_SKIP		_IO(BMEM_IOC_TYPE, 0x60)

#endif /* _UAPI_LINUX_BMEM_H */
