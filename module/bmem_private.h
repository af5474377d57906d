/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of bmem.ko share.
 *
 * Calls go one way: main, debugfs, fdinfo -> clone -> client, promote,
 * tombstone -> leak -> tensor, slots -> site, failure -> placement, ledger,
 * span map, extent, control -> selector, place -> vm, backing and share ->
 * around, window -> cleanup -> pool -> pressure, room, poison, quota.  Whoever has
 * something to tell calls event, which calls reader.  Workers of cleanup,
 * pressure and shrink call from above: client and backing.
 *
 * Lock order, outermost first:
 *
 *	pass_lock			the leak worker's look at all clients
 *	leak_table.round_lock		one look for leaks at a time
 *	mmap_lock, or that of a VMA	.fault comes with it, and goes on at the page
 *					lock, or the client's where a page is shared
 *	bmem_client.lock		placement, tensors, slots, sites, figures
 *	bmem_client.lock of a clone	that nobody has been told of yet
 *	share.lock			who has a huge page that clients share
 *	page lock			of a page that is mapped or taken away
 *	i_mmap_rwsem			(core mm, in unmap_mapping_range)
 *	bmem_client.chunks.xa_lock,	which page is where in the arena
 *	window.pages.xa_lock		and in a window
 *	bmem_client.around_lock,	the place where core mm finds a page
 *	i_pages.xa_lock, PMD locks	to map, and what it takes to do so
 *	cleanup_lock			who has pages that no tensor needs
 *	bmem_pool.lock			free lists and figures of a pool
 *	bmem_pool.room.lock		who waits for memory of a pool
 *	charges_lock			whose chunks of a share count for a user
 *	quotas_lock			what users have taken; taken last
 *	event_lock			events that have been raised; taken last,
 *					whatever else is held
 *
 * bmem_registry_lock stands apart: pools and clients come and go under it, and
 * it nests in bmem_client.lock and with bmem_pool.lock and cleanup_lock alone.
 * Nobody waits for a client under it, since a client may be busy for long.
 *
 * readers_lock and a reader's own lock, in this order, are taken with no other
 * but quotas_lock.
 *
 * Reclaim comes with locks of its caller's, who may be one of ours and hold
 * bmem_client.lock or a page's: there both are tried for, never waited for.
 *
 * User memory is never touched under any of them.  Nobody holds two clients'
 * locks, but for who makes a clone.
 */
#ifndef BMEM_PRIVATE_H
#define BMEM_PRIVATE_H

#include <linux/bitmap.h>
#include <linux/cred.h>
#include <linux/gfp.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <linux/bmem.h>

#include "compat.h"
#include "leak.h"
#include "links.h"
#include "place.h"
#include "place_slab.h"
#include "reader.h"
#include "selector.h"
#include "site.h"

#if PAGE_SHIFT != 12
#error "bmem needs 4 KiB pages"
#endif

#define BMEM_HUGE_ORDER		9
#define BMEM_HUGE_PAGES		512U

static_assert(PAGE_SIZE == BMEM_PAGE_SIZE);
static_assert(PAGE_SIZE << BMEM_HUGE_ORDER == BMEM_HUGE_SIZE);
static_assert(PLACE_CHUNK_PAGES == BMEM_HUGE_PAGES);

/*
 * Bookkeeping that a caller makes the kernel keep: charged to it, and refused
 * rather than paid for by an OOM kill, of which the victim may be another.
 */
#define GFP_BMEM_META	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static inline u64 bmem_bytes(u64 pages)
{
	return pages << PAGE_SHIFT;
}

/* ---- pool ------------------------------------------------------------- */

/**
 * struct bmem_node - a pool's memory on one NUMA node
 * @zeroed_list: free huge pages, zeroed, by page->lru
 * @dirty_list: free huge pages, not zeroed, by page->lru
 * @escaped_list: huge and base pages that clients let go while they were
 *	pinned, by page->lru
 * @zeroed: pages on @zeroed_list, in base pages as all that follows
 * @dirty: pages on @dirty_list
 * @zeroing: pages taken from @dirty_list to be zeroed
 * @attached: pages that clients hold
 * @escaped: pages on @escaped_list
 * @base: part of @attached that was got as base pages
 *
 * All under the pool's lock.
 */
struct bmem_node {
	struct list_head zeroed_list;
	struct list_head dirty_list;
	struct list_head escaped_list;
	unsigned long zeroed;
	unsigned long dirty;
	unsigned long zeroing;
	unsigned long attached;
	unsigned long escaped;
	unsigned long base;
};

/**
 * struct pool_pressure - how much of its limit a pool has out, and since when
 * @level: enum bmem_pressure_level; written under the pool's lock, read
 *	without it where a moment does not matter
 * @rise_above: pages held beyond which the level rises
 * @fall_below: pages held below which it falls
 * @since: when it became what it is, by ktime_get_ns()
 * @ns: time spent in each before that
 * @entered: how often each was entered, from below or above
 * @sampled: when @trend was brought up to date
 * @sample: pages held then
 * @trend: pages a second, up or down, smoothed
 * @acted: level that was acted upon last; of pressure's worker
 * @told: level that was told last; of pressure's worker
 * @told_at: when, in jiffies; of pressure's worker
 * @recalled_at: when clients were asked for idle memory last, likewise
 * @events: PRESSURE events raised
 * @recalls: times that clients were asked for idle memory
 * @compactions: times that compaction was asked for
 * @urged: by level, the number of the last time that cleanup was asked to take
 *	what clients hold without a tensor; under cleanup's lock
 * @queued: chunks that its clients have queued
 * @cached: chunks that they have cached
 * @gains: pages regained, by enum bmem_gain
 *
 * Under the pool's lock where nothing else is said.
 */
struct pool_pressure {
	u32 level;
	unsigned long rise_above;
	unsigned long fall_below;
	u64 since;
	u64 ns[BMEM_PRESSURE_LEVELS];
	u64 entered[BMEM_PRESSURE_LEVELS];
	u64 sampled;
	unsigned long sample;
	s64 trend;
	u32 acted;
	u32 told;
	unsigned long told_at;
	unsigned long recalled_at;
	u64 events;
	u64 recalls;
	u64 compactions;
	u64 urged[BMEM_PRESSURE_LEVELS];
	atomic_long_t queued;
	atomic_long_t cached;
	atomic64_t gains[BMEM_GAINS];
};

/**
 * struct bmem_pool - a named set of huge pages
 * @id: index in the registry, constant
 * @policy: enum bmem_policy, constant
 * @nid: node of %BMEM_POLICY_BIND, constant
 * @gid: group that may bind, or INVALID_GID for all, constant
 * @name: constant
 * @clients: clients bound to it, under bmem_registry_lock
 * @waiters: calls that wait for its memory, under bmem_registry_lock
 * @published: it can be found, under bmem_registry_lock
 * @resizing: its bounds are being changed, under bmem_registry_lock
 * @room: who waits for memory to come back
 * @freed: how often some has
 * @lock: guards what follows
 * @kept: the keeper is at work on it
 * @limit: most pages that it may hold
 * @reserve: pages that it keeps
 * @owned: pages that were got for the reservation and are in the pool or
 *	attached; @reserve when all is well
 * @owning: part of @owned that the system is being asked for
 * @total: sum over the nodes' zeroed, dirty, zeroing, attached and escaped
 * @attached: sum over the nodes
 * @taking: pages got for clients that do not have them yet
 * @promised: pages that clients share, counted once for each of them but the
 *	first: so many more they may take to copy them to
 * @escaped: sum over the nodes
 * @peak_attached: largest @attached so far
 * @escaped_ever: pages that ever went through an escaped list
 * @huge_taken: huge pages got from the system
 * @huge_given: huge pages given back to the system
 * @fallbacks: chunks begun in base pages for want of a huge page
 * @promoted: chunks moved from base pages to a huge page
 * @failed: ALLOC calls refused
 * @next_nid: where %BMEM_POLICY_INTERLEAVE goes on
 * @pressure: how much of the limit is out
 * @nodes: one for every possible node
 */
struct bmem_pool {
	u32 id;
	u32 policy;
	int nid;
	kgid_t gid;
	char name[BMEM_POOL_NAME_LEN];

	unsigned int clients;
	unsigned int waiters;
	bool published;
	bool resizing;

	wait_queue_head_t room;
	atomic_t freed;

	/* Guards all below and the nodes; taken last. */
	spinlock_t lock;
	bool kept;
	unsigned long limit;
	unsigned long reserve;
	unsigned long owned;
	unsigned long owning;
	unsigned long total;
	unsigned long attached;
	unsigned long taking;
	unsigned long promised;
	unsigned long escaped;
	unsigned long peak_attached;
	unsigned long escaped_ever;
	u64 huge_taken;
	u64 huge_given;
	u64 fallbacks;
	u64 promoted;
	u64 failed;
	int next_nid;
	struct pool_pressure pressure;
	struct bmem_node nodes[];
};

struct bmem_failure;
struct bmem_client;

extern struct mutex bmem_registry_lock;
extern struct xarray bmem_pools;
extern bool bmem_huge;

int bmem_pools_init(u64 limit, u64 reserve);
void bmem_keeper_stop(void);
void bmem_pools_exit(void);
struct bmem_pool *bmem_pool_create(struct bmem_pool_create *cmd);
void bmem_pool_publish(struct bmem_pool *pool);
void bmem_pool_abort(struct bmem_pool *pool);
struct bmem_pool *bmem_pool_find(u32 id);
int bmem_pool_destroy(struct bmem_pool_destroy *cmd);
int bmem_pool_resize(struct bmem_pool_resize *cmd);
int bmem_pool_ids(u32 *ids, u32 *nr);
int bmem_pool_node_check(u32 flags, u32 nid);
int bmem_pool_stats(struct bmem_pool_stats *st);
int bmem_pool_may_bind(const struct bmem_pool *pool);
u64 bmem_pool_free_pages(struct bmem_pool *pool);
void bmem_pool_describe(struct bmem_pool *pool, struct bmem_failure *f);
struct page *bmem_pool_take(struct bmem_pool *pool);
struct page *bmem_pool_take_base(struct bmem_pool *pool);
bool bmem_pool_promise(struct bmem_pool *pool, unsigned long pages);
void bmem_pool_promise_forced(struct bmem_pool *pool, unsigned long pages);
void bmem_pool_unpromise(struct bmem_pool *pool, unsigned long pages);
struct page *bmem_pool_take_promised(struct bmem_pool *pool);
struct page *bmem_pool_take_base_promised(struct bmem_pool *pool);
void bmem_pool_renew_promise(struct bmem_pool *pool, struct list_head *gone);
unsigned long bmem_pool_give(struct bmem_pool *pool, struct list_head *gone);
void bmem_pool_count_failure(struct bmem_pool *pool);
void bmem_pool_count_fallback(struct bmem_pool *pool);
void bmem_pool_count_promotion(struct bmem_pool *pool);

/* ---- room ---------------------------------------------------------------- */

/**
 * struct room_wait - a call that may wait for memory
 * @pool: where it waits, during a try
 * @left: for how long yet, in jiffies
 * @seen: bmem_pool.freed before the try
 * @slept: it has waited before
 */
struct room_wait {
	struct bmem_pool *pool;
	long left;
	int seen;
	bool slept;
};

struct bmem_client;

void bmem_pool_freed(struct bmem_pool *pool);
int bmem_room_init(struct room_wait *r, u32 flags, u32 timeout_ms,
		   u32 reserved);
void bmem_room_begin(struct room_wait *r, struct bmem_client *client);
bool bmem_room_again(struct room_wait *r, int *rc);

unsigned long bmem_pool_drain(struct bmem_pool *pool);
void bmem_pools_each(void (*fn)(struct bmem_pool *pool, void *arg), void *arg);
bool bmem_pool_owns(const struct page *page);

/* ---- pressure ------------------------------------------------------------- */

extern unsigned int bmem_pressure_hysteresis;
extern unsigned int bmem_pressure_cooldown_ms;

int bmem_pressure_start(void);
void bmem_pressure_stop(void);
void bmem_pressure_init(struct bmem_pool *pool);
void bmem_pressure_cross(struct bmem_pool *pool);
void bmem_pressure_of_system(bool last);
void bmem_pressure_count_wait(void);
void bmem_pressure_system(u64 *recalls, u64 *waits);
int bmem_pressure_set_levels(const char *val);
int bmem_pressure_get_levels(char *buffer);
void bmem_pressure_changed(void);
int bmem_pressure_query(struct bmem_client *client, struct bmem_pressure *cmd);
void bmem_pressure_show(struct seq_file *m);

/*
 * What is compared with a pool's limit, but for pages that are being got: they
 * are attached in a moment, or not at all.
 */
static inline unsigned long bmem_pool_out(const struct bmem_pool *pool)
{
	lockdep_assert_held(&pool->lock);
	return pool->attached + pool->promised + pool->escaped;
}

/* A pool's pages came or went: two compares while the level stays. */
static inline void bmem_pressure_check(struct bmem_pool *pool)
{
	unsigned long held = bmem_pool_out(pool);

	if (unlikely(held > pool->pressure.rise_above ||
		     held < pool->pressure.fall_below))
		bmem_pressure_cross(pool);
}

static inline bool bmem_pool_pressed(const struct bmem_pool *pool)
{
	return READ_ONCE(pool->pressure.level) >= BMEM_PRESSURE_HIGH;
}

/* ---- poison -------------------------------------------------------------- */

void bmem_poison_start(void);
void bmem_poison_stop(void);
bool bmem_poison_seen(void);
bool bmem_page_poisoned(struct page *page, unsigned int pages);

/* ---- window -------------------------------------------------------------- */

/* Beyond the largest space: BMEM_RECORDS_MAX records, an entry for each page. */
#define BMEM_CONTROL_OFFSET	BIT_ULL(45)
#define BMEM_SPANS_OFFSET	BIT_ULL(46)
#define BMEM_LEDGER_OFFSET	BIT_ULL(47)

/**
 * struct window - a table that the process maps
 * @pages: struct page by number; entries change under the client's lock and
 *	the xa_lock, .fault reads under the xa_lock
 * @client: whose
 * @offset: where it begins in the device, in bytes
 * @empty: what stands for pages that are not there; NULL for none
 * @nr: pages
 */
struct window {
	struct xarray pages;
	struct bmem_client *client;
	u64 offset;
	struct page *empty;
	unsigned long nr;
};

void bmem_window_init(struct window *w, struct bmem_client *client,
		      u64 offset);
void *bmem_window_at(struct window *w, unsigned long index);
void *bmem_window_add(struct window *w, unsigned long index);
void bmem_window_remove(struct window *w, unsigned long index);
bool bmem_window_try_remove(struct window *w, unsigned long index);
void bmem_window_destroy(struct window *w);
vm_fault_t bmem_window_fault(struct window *w, struct vm_fault *vmf);

/* ---- client ------------------------------------------------------------ */

/**
 * struct bmem_chunk - what is behind 2 MiB of an arena
 * @cached: link in bmem_client.cached or bmem_client.queued while it holds no
 *	span; huge only
 * @index: its number in the arena, constant
 * @huge: its huge page, or NULL when it is in base pages or hollow
 * @base: its base pages, NULL where there is none; NULL when hollow and with
 *	@huge, but while it is being promoted
 * @nr_base: how many base pages there are
 * @soiled: pages that have been in a span since they were attached, or came
 *	from base pages, and so may hold something other than zeroes
 * @queued: it is in bmem_client.queued
 * @surplus: its huge page goes to the system when it is given back; while it
 *	is in one of these lists
 * @touched: its huge page has been mapped, and so may hold something anywhere;
 *	under the chunks' xa_lock
 * @frozen: whoever faults waits for the client's lock; under it and the chunks'
 *	xa_lock
 * @share: with whom its huge page is shared, or was; NULL for nobody
 * @quota: while it is shared, of whom it counts against that it is one more to be
 *	copied; NULL for nobody, as in one of its owners
 * @charge: link in share.charges while it has a @quota
 * @unsure: it has been shared, and who had it may have pinned it to read from it:
 *	not to be written to before that has been looked at
 *
 * @huge, @share, @unsure, @base and its entries change under the client's lock together with
 * the chunks' xa_lock, and while the page's lock is held if it may be mapped.
 * The rest is under the client's lock.
 */
struct bmem_chunk {
	struct list_head cached;
	u32 index;
	struct page *huge;
	struct page **base;
	unsigned int nr_base;
	bool queued;
	bool surplus;
	bool touched;
	bool frozen;
	struct share *share;
	struct quota *quota;
	struct list_head charge;
	bool unsure;
	DECLARE_BITMAP(soiled, BMEM_HUGE_PAGES);
};

/**
 * struct extent - a part of the arena with one use
 * @node: link in bmem_client.extents, ordered by @page
 * @page: first page in the arena
 * @pages: length in pages
 * @tag: of the selector, 0 for none
 * @slab: it is a struct span, else a struct tensor
 * @reached: the scan under way has found a word that leads to it
 * @queued: the scan is to read it yet
 */
struct extent {
	struct rb_node node;
	u32 page;
	u32 pages;
	u32 tag;
	bool slab;
	bool reached;
	bool queued;
};

/**
 * struct tensor - one live allocation
 * @at: where it is
 * @bytes: exact size that was asked for
 * @born: when, by ktime_get_boottime_ns()
 * @site: where it came from
 * @site_id: what the caller called that
 * @gen: tells it from others that began at the same page
 * @flags: BMEM_ALLOC_*
 * @record: its record, with %BMEM_ALLOC_RECORD
 */
struct tensor {
	struct extent at;
	u64 bytes;
	u64 born;
	struct site *site;
	u32 site_id;
	u32 gen;
	u32 flags;
	u32 record;
};

/**
 * struct span - a slab of slots of one size class
 * @at: where it is
 * @partial: link in bmem_client.partial while a slot is in
 * @free: one bit a slot, set while it is in
 * @reached: one bit a slot: as struct extent has it
 * @read: one bit a slot: the scan under way has read it
 * @record: record of the first slot
 * @class: size class
 */
struct span {
	struct extent at;
	struct list_head partial;
	u64 free;
	u64 reached;
	u64 read;
	u32 record;
	u32 class;
};

static inline struct tensor *tensor_of(struct extent *e)
{
	return container_of(e, struct tensor, at);
}

static inline struct span *span_of(struct extent *e)
{
	return container_of(e, struct span, at);
}

struct bmem_tombstone;

/**
 * struct bmem_identity - who opened the device; constant but for @label, and in
 * a clone for what is about its process, under the client's lock
 * @id: client id
 * @opened: when, by ktime_get_boottime_ns()
 * @cgroup: id of the cgroup in the unified hierarchy, 0 without one
 * @exec_id: tells the program that the process ran from one that it has
 *	executed since
 * @tgid: process, in the initial pid namespace
 * @ns_tgid: the same in its own
 * @pid_ns: number of that
 * @uid: effective user
 * @comm: name of the thread that opened
 * @label: what the client calls itself, under the client's lock
 */
struct bmem_identity {
	u64 id;
	u64 opened;
	u64 cgroup;
	u64 exec_id;
	pid_t tgid;
	pid_t ns_tgid;
	u32 pid_ns;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
	char label[BMEM_LABEL_LEN];
};

/**
 * struct scan_skip - memory of a process that holds no references
 * @mm: whose, with a reference by mmgrab()
 * @start: address
 * @end: behind it
 */
struct scan_skip {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
};

/**
 * struct scan_skips - all of a client's, for the reachability scan
 * @nr: entries in @at
 * @at: NULL until there is one
 */
struct scan_skips {
	unsigned int nr;
	struct scan_skip *at;
};

/**
 * struct giver - a place in the line of clients that reclaim takes from
 * @link: in the line
 * @walker: it is no client's: somebody who walks along it has come so far
 */
struct giver {
	struct list_head link;
	bool walker;
};

/**
 * struct bmem_client - one open of the device and all that belongs to it
 * @ref: the open file's, and those who look at it through the registry
 * @who: identity
 * @memcg: charged for memory that a worker attaches
 * @pid: its process, under bmem_registry_lock
 * @inode: its i_mapping holds all mappings of this client and no other's
 * @maps: VMAs
 * @around_lock: of the one place in @inode's page cache
 * @reader: reads events
 * @chunks: struct bmem_chunk by number; entries change under @lock and its
 *	xa_lock, .fault reads under xa_lock
 * @lock: guards all below
 * @dead: the last descriptor is closed
 * @cloneable: what may be shared is mapped for writing by its own fault only
 * @clone: it began as a clone
 * @orphan: of a clone, whose process is the one that made it yet
 * @inherited: of a clone, tensors that had been allocated when it began
 * @pool: where its memory comes from
 * @place: which pages of the arena are in spans
 * @extents: struct extent by page
 * @partial: struct span that have a slot that is in, by size class
 * @records: which records of the ledger are in use
 * @ledger: the ledger's pages
 * @ledger_keep: pages of the ledger below which it is not trimmed
 * @span_map: the span map's pages
 * @control: page of struct bmem_control, constant
 * @level: enum bmem_level that the client asked for
 * @policy: enum bmem_placement that the client asked for
 * @selector: chooses a policy; NULL until there is something to choose
 * @sites: call sites and their figures
 * @leaks: what is known of its leaks
 * @links: references between its tensors; NULL until one is declared
 * @cached: chunks without a span, oldest first
 * @nr_cached: length of @cached
 * @cached_at: when @cached last changed, in jiffies
 * @queued: chunks without a span that leave soon, oldest first
 * @nr_queued: length of @queued
 * @queued_at: when one was queued last, in jiffies
 * @queued_ns: when the oldest since it was empty was, by ktime_get_ns()
 * @nr_surplus: chunks in both whose pages would go to the system
 * @full: so many are queued that cleanup was told
 * @kick: cleanup has something to do that cannot wait
 * @recalled_at: when the client was asked for idle memory last, in jiffies
 * @holder: link in cleanup's list, under its lock and @lock
 * @giver: place in the line of those that reclaim takes from, likewise
 * @urgency: enum cleanup_urgency, under cleanup's lock
 * @drop_cache: what is cached has to leave, too, likewise
 * @urged: the last time that its pool was asked and it knows of, likewise
 * @pass: cleanup's pass that saw the client last, likewise
 * @busy: times in a row that cleanup found the client busy; of its worker
 * @cache_max: most that @nr_cached may be
 * @cache_fixed: the client chose @cache_max; else it may be less
 * @nr_chunks: entries in @chunks
 * @nr_base_chunks: of these in base pages
 * @nr_shares: of these that have a struct share
 * @gen: generation of the last tensor
 * @attached: pages held
 * @base: part of @attached in base pages
 * @granted: pages in live tensors
 * @peak_attached: largest @attached so far
 * @live: live tensors
 * @live_bytes: what they asked for
 * @peak_live_bytes: largest @live_bytes so far
 * @allocs: tensors allocated
 * @frees: tensors freed
 * @failed: ALLOC calls that failed
 * @promoted: chunks promoted
 * @escaped: pages that were pinned by others when given back
 * @slots: slots that are out
 * @slot_bytes: their classes' sizes
 * @nr_spans: slab spans
 * @span_pages: pages in them
 * @recorded: live tensors that have a record
 * @recorded_bytes: what those asked of ALLOC
 * @recorded_allocs: tensors with a record allocated
 * @uses: tensors that were in slots, and recorded tensors, that are back
 * @skips: memory that holds no references
 * @tombstone: made at open, so that death needs no memory
 */
struct bmem_client {
	struct kref ref;
	struct bmem_identity who;
	struct mem_cgroup *memcg;
	struct pid *pid;
	struct inode *inode;
	atomic_t maps;
	/* Of the one place in the inode's page cache; never waited for. */
	spinlock_t around_lock;
	struct event_reader reader;
	struct xarray chunks;

	/* Guards all below. */
	struct mutex lock;
	bool dead;
	bool cloneable;
	bool clone;
	bool orphan;
	u64 inherited;
	struct bmem_pool *pool;
	struct place place;
	struct rb_root extents;
	struct list_head partial[SLAB_CLASSES];
	struct place records;
	struct window ledger;
	unsigned long ledger_keep;
	struct window span_map;
	struct page *control;
	u32 level;
	u32 policy;
	struct selector *selector;
	struct site_table sites;
	struct leak_table leaks;
	struct links *links;
	struct list_head cached;
	unsigned long nr_cached;
	unsigned long cached_at;
	struct list_head queued;
	unsigned long nr_queued;
	unsigned long queued_at;
	u64 queued_ns;
	unsigned long nr_surplus;
	bool full;
	bool kick;
	unsigned long recalled_at;
	struct list_head holder;
	struct giver giver;
	u8 urgency;
	bool drop_cache;
	u64 urged;
	u64 pass;
	unsigned int busy;
	unsigned long cache_max;
	bool cache_fixed;
	unsigned long nr_chunks;
	unsigned long nr_base_chunks;
	unsigned long nr_shares;
	u32 gen;

	unsigned long attached;
	unsigned long base;
	unsigned long granted;
	unsigned long peak_attached;
	u64 live;
	u64 live_bytes;
	u64 peak_live_bytes;
	u64 allocs;
	u64 frees;
	u64 failed;
	u64 promoted;
	u64 escaped;
	u64 slots;
	u64 slot_bytes;
	u64 nr_spans;
	u64 span_pages;
	u64 recorded;
	u64 recorded_bytes;
	u64 recorded_allocs;
	u64 uses;
	struct scan_skips skips;
	struct bmem_tombstone *tombstone;
};

/* What is out counts as live here: the ledger is not read for it. */
static inline void bmem_count_peak(struct bmem_client *client)
{
	u64 live = client->live_bytes + client->slot_bytes;

	if (live > client->peak_live_bytes)
		client->peak_live_bytes = live;
}

/**
 * enum meta_kind - what kernel memory a client takes besides its tensors'
 * @META_LEDGER: pages of the ledger, and which records are in use
 * @META_SPAN_MAP: pages of the span map
 * @META_SITES: sites, their figures, labels and frames, program files
 * @META_TENSORS: one object a tensor
 * @META_SPANS: one object a slab span
 * @META_TABLES: which pages of the arena are in use, and what is behind them
 * @META_LEAKS: suspects and findings
 * @META_LINKS: references between tensors
 * @META_KINDS: how many there are
 */
enum meta_kind {
	META_LEDGER,
	META_SPAN_MAP,
	META_SITES,
	META_TENSORS,
	META_SPANS,
	META_TABLES,
	META_LEAKS,
	META_LINKS,
	META_KINDS,
};

extern unsigned int bmem_cache_mib;
extern u64 bmem_clients_opened;

/* Patience of one report with busy clients: half a second in all. */
#define BMEM_REPORT_TRIES	100

struct bmem_client *bmem_client_open(void);
void bmem_client_close(struct bmem_client *client);
void bmem_client_put(struct bmem_client *client);
struct bmem_client *bmem_client_get(u64 id);
u64 bmem_clients_last(void);
struct bmem_client *bmem_client_next(u64 id, u64 last);
struct bmem_client *bmem_client_visible(struct bmem_client *self, u64 id);
unsigned int bmem_clients_count(void);
int bmem_client_bind(struct bmem_client *client, struct bmem_bind *cmd);
void bmem_client_stats(struct bmem_client *client,
		       struct bmem_client_stats *st);
void bmem_client_settle(struct bmem_client *client,
			struct bmem_client_stats *st);
void bmem_client_meta(struct bmem_client *client, u64 *meta);
int bmem_client_query(struct bmem_client *self, struct bmem_client_stats *st);
bool bmem_client_report(struct bmem_client *client,
			struct bmem_client_stats *st,
			struct bmem_identity *who, char *pool,
			unsigned int *tries);
bool bmem_client_describe(struct bmem_client *client,
			  struct bmem_identity *who, u32 *pool,
			  unsigned int *tries);
pid_t bmem_client_pid(struct bmem_client *client);
void bmem_client_join(struct bmem_client *client, struct bmem_pool *pool);
int bmem_client_alloc(struct bmem_client *client, struct bmem_alloc *cmd);
int bmem_client_slots(struct bmem_client *client, struct bmem_slots *cmd,
		      u32 __user *nr);
int bmem_client_list(struct bmem_client *self, struct bmem_tensor_list *cmd);
int bmem_client_trim(struct bmem_client *client, struct bmem_trim *cmd);
void bmem_clients_update(void);
unsigned long bmem_clients_trim(struct bmem_pool *pool, unsigned long keep,
				bool recall, unsigned int tries,
				enum bmem_gain gain);
void bmem_clients_recall(const struct bmem_pool *pool);
int bmem_text_check(const char *text, size_t size);
int bmem_client_lock(struct bmem_client *client, unsigned int *tries);
int bmem_label_check(const char *label);

/* ---- extent, span map, control ------------------------------------------- */

struct extent *bmem_extent_from(struct bmem_client *client, u64 page);
struct extent *bmem_extent_covering(struct bmem_client *client, u64 page);
struct extent *bmem_extent_next(struct extent *e);
void bmem_extent_insert(struct bmem_client *client, struct extent *e);
void bmem_extent_erase(struct bmem_client *client, struct extent *e);

int bmem_span_map_init(struct bmem_client *client);
int bmem_span_map_prepare(struct bmem_client *client, u32 page, u32 pages);
void bmem_span_map_set(struct bmem_client *client, u32 page, u64 entry);

extern u32 bmem_level;

int bmem_control_start(void);
void bmem_control_stop(void);
int bmem_control_init(struct bmem_client *client);
void bmem_control_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_control_destroy(struct bmem_client *client);
void bmem_control_update(struct bmem_client *client);
void bmem_control_recall(struct bmem_client *client);
u32 bmem_control_level(struct bmem_client *client);
u32 bmem_client_ticks(struct bmem_client *client);
void bmem_clock_open(void);
void bmem_clock_close(void);
vm_fault_t bmem_control_fault(struct bmem_client *client,
			      struct vm_fault *vmf);

/* ---- ledger ---------------------------------------------------------------- */

/**
 * enum ledger_state - what a record says is in its slot
 * @LEDGER_IDLE: nothing
 * @LEDGER_LIVE: a tensor
 * @LEDGER_BAD: what cannot be
 */
enum ledger_state {
	LEDGER_IDLE,
	LEDGER_LIVE,
	LEDGER_BAD,
};

/**
 * struct ledger_view - what is known of a slot or recorded tensor that is out
 * @offset: in the space, in bytes
 * @granted: in bytes
 * @record: number of its record
 * @bytes: exact size by the record; @granted where that makes no sense
 * @site: number of the site by the record, unchecked
 * @ticks: by the record: live, when it was allocated, since the client's
 *	epoch; idle, how long it lived
 * @gen: tensors in the slot since it was given out, by the record
 * @state: enum ledger_state
 * @fresh: idle, and nobody has seen that before
 */
struct ledger_view {
	u64 offset;
	u64 granted;
	u64 bytes;
	u32 record;
	u32 site;
	u32 ticks;
	u32 gen;
	enum ledger_state state;
	bool fresh;
};

/**
 * struct ledger_sums - the sums over a ledger
 * @live: slots and recorded tensors that are live or make no sense
 * @live_bytes: their sizes
 * @idle_bytes: granted to those that are idle
 * @bad: records that make no sense
 * @uses: tensors since the slots were given out
 */
struct ledger_sums {
	u64 live;
	u64 live_bytes;
	u64 idle_bytes;
	u64 bad;
	u64 uses;
};

/* Tensors allocated so far, those in slots and by records as the ledger says. */
static inline u64 bmem_client_allocs(const struct bmem_client *client,
				     const struct ledger_sums *sums)
{
	return client->allocs - client->recorded_allocs + client->uses +
	       sums->uses;
}

typedef void (*ledger_fn)(struct bmem_client *client,
			  const struct ledger_view *v, void *arg);

int bmem_place_grow(struct place *pl, u32 least);
int bmem_ledger_init(struct bmem_client *client);
void bmem_ledger_destroy(struct bmem_client *client);
int bmem_ledger_clone(struct bmem_client *to, struct bmem_client *from,
		      u32 record, u32 nr);
int bmem_ledger_get(struct bmem_client *client, u32 nr, u32 *record);
void bmem_ledger_put(struct bmem_client *client, u32 record, u32 nr);
void bmem_ledger_trim(struct bmem_client *client);
void bmem_ledger_clear(struct bmem_client *client, u32 record);
void bmem_ledger_write(struct bmem_client *client, u32 record, u64 bytes,
		       u32 site);
void bmem_ledger_read(struct bmem_client *client, u32 record, bool see,
		      struct ledger_view *v);
bool bmem_ledger_walk(struct bmem_client *client, u64 *cursor,
		      unsigned int max, bool see, ledger_fn fn, void *arg);
bool bmem_ledger_sum(struct bmem_client *client, u64 *cursor,
		     struct ledger_sums *sums);

/* ---- slots ------------------------------------------------------------------ */

int bmem_slots_init(void);
void bmem_slots_exit(void);
size_t bmem_span_size(void);
int bmem_slots_get(struct bmem_client *client, struct bmem_slots *cmd,
		   u32 __user *nr, bool last);
int bmem_slots_put(struct bmem_client *client, struct bmem_slots *cmd);
bool bmem_span_view(struct bmem_client *client, const struct span *s, u32 slot,
		    bool see, struct ledger_view *v);
int bmem_span_clone(struct bmem_client *to, struct bmem_client *from,
		    const struct span *s);
void bmem_span_release(struct span *s);

/* ---- placement --------------------------------------------------------------- */

int bmem_arena_place(struct bmem_client *client, enum place_policy policy,
		     u32 pages, u32 align, u32 *page, u32 *granted);
int bmem_arena_take(struct bmem_client *client, u32 page, u32 pages);
int bmem_placement_find(struct bmem_client *client, struct extent *e,
			u32 align);
void bmem_placement_added(struct bmem_client *client, struct extent *e,
			  u32 pages, u32 align);
void bmem_placement_removed(struct bmem_client *client,
			    const struct extent *e);
void bmem_placement_pin(struct bmem_client *client);
size_t bmem_placement_bytes(const struct bmem_client *client);
void bmem_placement_release(struct bmem_client *client);
void bmem_placement_free(struct bmem_client *client);
void bmem_placelist_debugfs(struct dentry *dir);

/* ---- tensor ------------------------------------------------------------- */

/**
 * struct tensor_record - a copy of a tensor that outlives its lock
 * @client: id of its client
 * @tgid: process of its client
 * @tensor: as in the ABI
 * @label: its site's
 */
struct tensor_record {
	u64 client;
	pid_t tgid;
	struct bmem_tensor tensor;
	char label[BMEM_LABEL_LEN];
};

typedef void (*tensor_fn)(struct bmem_client *client,
			  const struct bmem_tensor *t, u32 gen, void *arg);

int bmem_tensors_init(void);
void bmem_tensors_exit(void);
int bmem_tensor_alloc(struct bmem_client *client, struct bmem_alloc *cmd,
		      bool last);
int bmem_tensor_free(struct bmem_client *client, struct bmem_free *cmd);
int bmem_tensor_info(struct bmem_client *client, struct bmem_tensor_info *cmd);
int bmem_tensor_list(struct bmem_client *client, struct bmem_tensor_list *cmd);
u32 bmem_tensor_gen(struct bmem_client *client, u64 handle);
bool bmem_tensor_find(struct bmem_client *client, u64 handle,
		      struct bmem_tensor *out);
unsigned int bmem_tensor_records(struct bmem_client *client, u64 *cursor,
				 struct tensor_record *rec, unsigned int nr,
				 unsigned int *tries);
int bmem_tensor_clone(struct bmem_client *to, struct bmem_client *from,
		      const struct tensor *t);
bool bmem_tensors_unreached(struct bmem_client *client, u64 *cursor,
			    unsigned int max, tensor_fn fn, void *arg);
void bmem_tensors_release(struct bmem_client *client);
size_t bmem_tensor_size(void);
bool bmem_tensor_view(struct bmem_client *client, const struct tensor *t,
		      bool see, struct ledger_view *v);

/* ---- tombstone, failure --------------------------------------------------- */

extern unsigned int bmem_tombstones_max;

struct bmem_tombstone *bmem_tombstone_alloc(void);
void bmem_tombstone_put(struct bmem_tombstone *t);
void bmem_tombstone_write(struct bmem_client *client);
void bmem_tombstone_bury(struct bmem_client *client);
struct bmem_tombstone *bmem_tombstone_get(u64 serial);
const struct bmem_identity *bmem_tombstone_who(const struct bmem_tombstone *t);
void bmem_tombstone_row(const struct bmem_tombstone *t,
			struct bmem_tombstone_row *row);
bool bmem_tombstone_site(const struct bmem_tombstone *t, u32 at,
			 struct bmem_tombstone_site *row);
const struct progfile *bmem_tombstone_file(const struct bmem_tombstone *t,
					   u32 module);
u64 bmem_tombstone_serial(const struct bmem_tombstone *t);
void bmem_tombstone_show(struct seq_file *m, const struct bmem_tombstone *t);
void bmem_tombstones_count(u64 *buried, u64 *dropped);
int bmem_tombstones_init(void);
void bmem_tombstones_exit(void);

/**
 * enum bmem_reason - why an ALLOC failed
 * @BMEM_REASON_LIMIT: the pool is at its limit
 * @BMEM_REASON_MEMORY: the system or the memory cgroup has nothing left
 * @BMEM_REASON_SPACE: the client's space has no gap that is large enough
 * @BMEM_REASON_TOO_LARGE: larger than the pool's limit or the space
 * @BMEM_REASON_LEDGER: the client's ledger has no record left
 */
enum bmem_reason {
	BMEM_REASON_LIMIT,
	BMEM_REASON_MEMORY,
	BMEM_REASON_SPACE,
	BMEM_REASON_TOO_LARGE,
	BMEM_REASON_LEDGER,
};

/**
 * struct bmem_failure - what there was when an ALLOC failed
 * @when: by ktime_get_boottime_ns()
 * @serial: how many there have been
 * @client: id
 * @tgid: process
 * @comm: its name
 * @pool: name of its pool
 * @reason: enum bmem_reason
 * @error: negative errno
 * @entries: tensors in the call
 * @index: the one that failed
 * @bytes: what that one asked for
 * @align: its alignment
 * @call_bytes: what the whole call asked for
 * @pool_limit: in bytes
 * @pool_total: in bytes, all that the pool held
 * @pool_attached: in bytes
 * @pool_free: in bytes, what the pool could still have granted
 * @arena: shape of the client's arena, in pages
 * @attached: pages that the client held
 */
struct bmem_failure {
	u64 when;
	u64 serial;
	u64 client;
	pid_t tgid;
	char comm[TASK_COMM_LEN];
	char pool[BMEM_POOL_NAME_LEN];
	enum bmem_reason reason;
	int error;
	u32 entries;
	u32 index;
	u64 bytes;
	u32 align;
	u64 call_bytes;
	u64 pool_limit;
	u64 pool_total;
	u64 pool_attached;
	u64 pool_free;
	struct place_stats arena;
	u64 attached;
};

void bmem_failure_note(struct bmem_client *client, struct bmem_failure *f);
void bmem_alloc_refused(struct bmem_client *client, struct bmem_failure *f);
u32 bmem_fragmentation(const struct place_stats *st);
void bmem_failure_show(struct seq_file *m);
u64 bmem_failures_count(void);

/* ---- backing, share, around, promote ----------------------------------------- */

int bmem_backing_prepare(struct bmem_client *client, u32 page, u32 pages,
			 u64 *need);
int bmem_backing_attach(struct bmem_client *client, u32 page, u32 pages);
int bmem_backing_zero(struct bmem_client *client, u32 page, u32 pages);
/* How often those who have a page for a moment are waited for. */
#define BMEM_IDLE_TRIES	50U

/* Huge pages that one fault maps: beyond it takes longer than others should wait. */
#define BMEM_AROUND_MAX	32U

extern unsigned int bmem_clone_share;
extern unsigned int bmem_fault_around;

int bmem_backing_unshare(struct bmem_client *client, pgoff_t page, bool write);
int bmem_backing_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_shares_settle(struct bmem_client *client);
void bmem_backing_soil(struct bmem_client *client, u32 page, u32 pages);
void bmem_backing_release(struct bmem_client *client, u32 page, u32 pages);
unsigned long bmem_backing_trim(struct bmem_client *client,
				unsigned long keep);
unsigned long bmem_backing_flush(struct bmem_client *client,
				 unsigned long chunks);
unsigned long bmem_backing_reclaim(struct bmem_client *client,
				   unsigned long pages, unsigned int *tries);
unsigned long bmem_backing_cache_room(const struct bmem_client *client);
int bmem_backing_promote(struct bmem_client *client, unsigned long index);
void bmem_backing_destroy(struct bmem_client *client);
struct page *bmem_backing_get_page(struct bmem_client *client, pgoff_t page,
				   bool write);
bool bmem_backing_has_page(struct bmem_client *client, pgoff_t page,
			   const struct page *is, bool write);
struct page *bmem_backing_look(struct bmem_client *client, pgoff_t page);
bool bmem_backing_get_marked(struct bmem_client *client, pgoff_t page,
			     unsigned int own, struct page **pages,
			     unsigned int nr);

void bmem_around_mark(struct bmem_client *client, struct page *page);
void bmem_around_unmark(struct page *page);
bool bmem_around_marked(struct page *page);
bool bmem_around_fault(struct bmem_client *client, struct vm_fault *vmf);

extern unsigned int bmem_promote_ms;

int bmem_promote_init(void);
void bmem_promote_exit(void);
void bmem_promote_soon(void);
void bmem_promote_changed(void);

/* ---- cleanup, shrink --------------------------------------------------------- */

extern unsigned int bmem_cleanup_batch;
extern unsigned int bmem_cleanup_idle_ms;
extern unsigned int bmem_cleanup_slice_us;
extern unsigned int bmem_cleanup_cache_ms;
extern atomic_long_t bmem_surplus_pages;
extern atomic_long_t bmem_lent_pages;

int bmem_cleanup_start(void);
void bmem_cleanup_stop(void);
void bmem_cleanup_note(struct bmem_client *client, bool queued);
void bmem_cleanup_forget(struct bmem_client *client);
void bmem_cleanup_now(void);
void bmem_cleanup_urge(struct bmem_pool *pool, u32 level);
void bmem_cleanup_gain(struct bmem_pool *pool, enum bmem_gain gain,
		       unsigned long pages);
void bmem_cleanup_flush(void);
unsigned long bmem_cleanup_reclaim(unsigned long pages, enum bmem_gain gain,
				   bool *busy);
void bmem_cleanup_show(struct seq_file *m);

/* The client's lock has been let go: what its holder could not do under it. */
static inline void bmem_cleanup_kick(struct bmem_client *client)
{
	if (unlikely(READ_ONCE(client->kick))) {
		WRITE_ONCE(client->kick, false);
		bmem_cleanup_now();
	}
}

int bmem_shrink_start(void);
void bmem_shrink_stop(void);
void bmem_shrink_debugfs(struct dentry *dir);

/* ---- vm ---------------------------------------------------------------------- */

extern u64 bmem_space_pages;

int bmem_vm_init(void);
void bmem_vm_exit(void);
struct inode *bmem_vm_inode(void);
bool bmem_vm_is_bmem(const struct vm_area_struct *vma);
struct bmem_client *bmem_vm_space(const struct vm_area_struct *vma);
int bmem_mmap(struct file *file, struct vm_area_struct *vma);

/* ---- clone ------------------------------------------------------------------------ */

struct file *bmem_client_clone(struct file *file, struct bmem_clone *cmd);

/* ---- scan ---------------------------------------------------------------------- */

int bmem_leak_skip(struct bmem_client *client, struct bmem_leak_skip *cmd);
void bmem_leak_skips_release(struct bmem_client *client);

/* ---- lists by ioctl ------------------------------------------------------------- */

bool bmem_sees_all(void);
bool bmem_sees(const struct bmem_identity *who, bool all);
int bmem_rows_check(u32 nr, u32 row_size, size_t least);
int bmem_row_tell(u64 rows, u32 at, u32 row_size, const void *row, size_t size);
int bmem_rows_tell(u64 rows, u32 at, u32 row_size, const void *row,
		   size_t size, u32 nr);
int bmem_client_rows(struct bmem_client_list *cmd);
int bmem_tombstone_rows(struct bmem_tombstone_list *cmd);
int bmem_tombstone_sites(struct bmem_tombstone_sites *cmd);
int bmem_tombstone_module(struct bmem_tombstone_module *cmd);

/* ---- debugfs, fdinfo ------------------------------------------------------------ */

void bmem_debugfs_init(void);
void bmem_debugfs_exit(void);
void bmem_show_fdinfo(struct seq_file *m, struct file *file);
void bmem_show_name(struct seq_file *m, const char *name);
void bmem_show_text(struct seq_file *m, const char *text);
char *bmem_get_word(const char __user *from, size_t nr, char *word,
		    size_t size);

#endif /* BMEM_PRIVATE_H */
