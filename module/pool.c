// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool: a named set of huge pages that clients draw from.
 *
 * A pool keeps its reservation: "owned" huge pages, got from the system
 * uncharged, that wait zeroed or dirty on a list of their NUMA node while no
 * client holds them.  What clients take beyond it comes from the page
 * allocator, is charged to the taker's memory cgroup, and goes straight back;
 * a charged page cannot be charged to another cgroup again, so it never
 * waits on a list.
 *
 * A page is recycled only when the pool's reference is the last one.  Pages
 * that somebody else still pins when a client lets go of them escape: they
 * are counted, watched, and given to the system once the pin is gone.
 *
 * The keeper is one low-priority thread for all pools: it zeroes dirty pages,
 * fills reservations up again and watches escaped pages.
 */
#include <linux/ctype.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/nodemask.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <linux/wait.h>

#include "bmem_private.h"
#include "trace.h"

/* One round of compaction at the most: base pages are the fallback. */
#define GFP_BMEM_HUGE	(GFP_HIGHUSER | __GFP_COMP | __GFP_ZERO | \
			 __GFP_NORETRY | __GFP_NOWARN)
/* An administrator waits for a reservation, so reclaim is worth a try. */
#define GFP_BMEM_RESERVE (GFP_HIGHUSER | __GFP_COMP | __GFP_ZERO | \
			 __GFP_RETRY_MAYFAIL | __GFP_NOWARN)
/* The caller gets an error rather than the system an OOM kill. */
#define GFP_BMEM_BASE	(GFP_HIGHUSER | __GFP_ZERO | __GFP_RETRY_MAYFAIL | \
			 __GFP_NOWARN | __GFP_ACCOUNT)

/* page->private of a huge page that belongs to a reservation */
#define BMEM_PAGE_OWNED	1UL

/**
 * enum take_way - how a client takes a page
 * @TAKE_PLAIN: if there is room below the limit, zeroed
 * @TAKE_PROMISED: room was kept for it; all of it will be written to
 * @TAKE_FORCED: likewise, and if what was kept is not there, without
 */
enum take_way {
	TAKE_PLAIN,
	TAKE_PROMISED,
	TAKE_FORCED,
};

/* How long the keeper waits before it looks again at what it could not do. */
#define KEEPER_RETRY	HZ

/* Escaped pages looked at in one hold of the pool's lock. */
#define WATCH_STRIDE	64

/* Pools and clients come and go under it, and pools' client counts change. */
DEFINE_MUTEX(bmem_registry_lock);
DEFINE_XARRAY_ALLOC(bmem_pools);

bool bmem_huge = true;

/* Of what clients have: pages that would go to the system. */
atomic_long_t bmem_lent_pages = ATOMIC_LONG_INIT(0);

static DECLARE_WAIT_QUEUE_HEAD(keeper_wait);
/* Woken when a page has come, or does not, and when the keeper leaves a pool. */
static DECLARE_WAIT_QUEUE_HEAD(kept_wait);
static bool keeper_work;
static struct task_struct *keeper;

static void keeper_kick(void)
{
	WRITE_ONCE(keeper_work, true);
	wake_up(&keeper_wait);
}

static unsigned int page_pages(const struct page *page)
{
	return 1U << compound_order((struct page *)page);
}

static struct bmem_node *page_node(struct bmem_pool *pool,
				   const struct page *page)
{
	return &pool->nodes[page_to_nid(page)];
}

static void zero_pages(struct page *page, unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < pages; i++) {
		clear_highpage(page + i);
		if (i % 16 == 15)
			cond_resched();
	}
}

/*
 * Pages that clients hold, are about to, or may yet take copies of, and those
 * that they held and somebody else still pins.
 */
static unsigned long pool_held(const struct bmem_pool *pool)
{
	lockdep_assert_held(&pool->lock);
	return bmem_pool_out(pool) + pool->taking;
}

/* The next of the nodes in turn; the only one for a bound pool. */
static int next_node_of(struct bmem_pool *pool)
{
	int nid;

	if (pool->policy == BMEM_POLICY_BIND)
		return pool->nid;
	spin_lock(&pool->lock);
	nid = next_node_in(pool->next_nid, node_states[N_MEMORY]);
	pool->next_nid = nid;
	spin_unlock(&pool->lock);
	return nid;
}

static int pick_node(struct bmem_pool *pool)
{
	if (pool->policy == BMEM_POLICY_LOCAL)
		return numa_mem_id();
	return next_node_of(pool);
}

/*
 * Core mm compares a folio's index with the size of the file before it maps it
 * as huge, and the page allocator leaves there what the last user had.
 */
static struct page *system_page(const struct bmem_pool *pool, int nid,
				gfp_t gfp, unsigned int order)
{
	struct page *page;

	if (order && !READ_ONCE(bmem_huge))
		return NULL;
	if (pool->policy == BMEM_POLICY_BIND)
		gfp |= __GFP_THISNODE;
	page = alloc_pages_node(nid, gfp, order);
	if (page)
		page_folio(page)->index = 0;
	return page;
}

/* Counts an owned page as the pool's no more. */
static void disown(struct bmem_pool *pool, struct page *page)
{
	lockdep_assert_held(&pool->lock);
	if (page_private(page) != BMEM_PAGE_OWNED)
		return;
	set_page_private(page, 0);
	pool->owned -= BMEM_HUGE_PAGES;
}

/* The page leaves the pool; the caller drops the reference. */
static void count_given(struct bmem_pool *pool, struct page *page)
{
	unsigned int pages = page_pages(page);

	disown(pool, page);
	pool->total -= pages;
	if (pages > 1)
		pool->huge_given++;
}

/*
 * The page is nobody's any more, but must not be used again for now.  One of
 * the reservation stays its own: were it replaced at once, pins could take
 * any amount of memory that nobody is charged for.
 */
static void count_escaped(struct bmem_pool *pool, struct page *page)
{
	struct bmem_node *node = page_node(pool, page);
	unsigned int pages = page_pages(page);

	/* But for one that never comes back. */
	if (bmem_page_poisoned(page, pages))
		disown(pool, page);
	list_add_tail(&page->lru, &node->escaped_list);
	node->escaped += pages;
	pool->escaped += pages;
	pool->escaped_ever += pages;
}

static void count_attached(struct bmem_pool *pool, struct bmem_node *node,
			   unsigned int pages)
{
	lockdep_assert_held(&pool->lock);
	node->attached += pages;
	pool->attached += pages;
	if (pages == 1)
		node->base++;
	if (pool->attached > pool->peak_attached)
		pool->peak_attached = pool->attached;
	bmem_pressure_check(pool);
}

/* Memory may fail while it waits on a list: such a page is passed over. */
static struct page *list_take(struct bmem_pool *pool, struct list_head *list,
			      unsigned long *count)
{
	struct page *page;

	lockdep_assert_held(&pool->lock);
	for (;;) {
		page = list_first_entry_or_null(list, struct page, lru);
		if (!page)
			return NULL;
		list_del_init(&page->lru);
		*count -= BMEM_HUGE_PAGES;
		if (!bmem_page_poisoned(page, BMEM_HUGE_PAGES))
			return page;
		count_escaped(pool, page);
	}
}

/* A free page of one node; *@dirty says whether it has to be zeroed. */
static struct page *take_on_node(struct bmem_pool *pool, int nid, bool *dirty)
{
	struct bmem_node *node = &pool->nodes[nid];
	struct page *page = list_take(pool, &node->zeroed_list, &node->zeroed);

	*dirty = false;
	if (page)
		return page;
	*dirty = true;
	return list_take(pool, &node->dirty_list, &node->dirty);
}

static struct page *take_anywhere(struct bmem_pool *pool, bool *dirty)
{
	struct page *page;
	int nid;

	if (nr_node_ids == 1)
		return take_on_node(pool, first_memory_node, dirty);
	for_each_node_state(nid, N_MEMORY) {
		page = take_on_node(pool, nid, dirty);
		if (page)
			return page;
	}
	return NULL;
}

/* Is there room for @pages more?  If so they are counted in the total. */
static bool commit(struct bmem_pool *pool, unsigned int pages)
{
	lockdep_assert_held(&pool->lock);
	if (pool->total + pages > pool->limit)
		return false;
	pool->total += pages;
	return true;
}

/* What was promised is more than a limit that was lowered since then. */
static bool must_force(const struct bmem_pool *pool, enum take_way way)
{
	return way == TAKE_FORCED ||
	       (way == TAKE_PROMISED && pool_held(pool) > pool->limit);
}

/* For a client, which has not got them yet. */
static bool commit_taking(struct bmem_pool *pool, unsigned int pages,
			  enum take_way way)
{
	if (must_force(pool, way))
		pool->total += pages;
	else if (!commit(pool, pages))
		return false;
	/* What was promised is counted as held already. */
	if (way == TAKE_PLAIN)
		pool->taking += pages;
	return true;
}

/* A promise is kept when the page is there, so that it stands if none is. */
static void count_taken(struct bmem_pool *pool, struct page *page,
			unsigned int pages, enum take_way way)
{
	if (way != TAKE_PLAIN)
		pool->promised -= pages;
	if (page_private(page) != BMEM_PAGE_OWNED)
		atomic_long_add(pages, &bmem_lent_pages);
	count_attached(pool, page_node(pool, page), pages);
}

static struct page *take_from_system(struct bmem_pool *pool, int nid,
				     gfp_t gfp, unsigned int order,
				     enum take_way way)
{
	unsigned int pages = 1U << order;
	struct page *page = system_page(pool, nid, gfp, order);

	spin_lock(&pool->lock);
	if (way == TAKE_PLAIN)
		pool->taking -= pages;
	if (page) {
		count_taken(pool, page, pages, way);
		if (order)
			pool->huge_taken++;
	} else {
		pool->total -= pages;
	}
	spin_unlock(&pool->lock);
	return page ?: ERR_PTR(-ENOMEM);
}

/*
 * Is there something to take, or nothing to wait for?  There is while no free
 * page is there, but one will be: once the keeper has zeroed it, or the system
 * has answered whoever asked it for the reservation.
 */
static bool worth_a_try(struct bmem_pool *pool)
{
	unsigned long free = 0, coming;
	int nid;

	spin_lock(&pool->lock);
	coming = pool->owning;
	for_each_node_state(nid, N_MEMORY) {
		free += pool->nodes[nid].zeroed + pool->nodes[nid].dirty;
		coming += pool->nodes[nid].zeroing;
	}
	spin_unlock(&pool->lock);
	return free || !coming;
}

/*
 * Waits while the last of the pool's room is pages that are not there yet.  When
 * somebody else was faster, who tries again finds that there is no room.
 */
static int wait_for_free(struct bmem_pool *pool)
{
	if (!worth_a_try(pool)) {
		/* The keeper yields to everybody; not to one that waits for it. */
		set_user_nice(keeper, 0);
		if (wait_event_killable(kept_wait, worth_a_try(pool)))
			return -EINTR;
	}
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * From one node, or with @nid %NUMA_NO_NODE from any: what is listed, then
 * what the system has.  -EAGAIN when all of the pool's room is listed
 * elsewhere or being zeroed.
 */
static struct page *take_huge(struct bmem_pool *pool, int nid,
			      enum take_way way)
{
	gfp_t gfp = GFP_BMEM_HUGE | __GFP_ACCOUNT;
	struct page *page;
	bool dirty, room;

	spin_lock(&pool->lock);
	if (way == TAKE_PLAIN &&
	    pool_held(pool) + BMEM_HUGE_PAGES > pool->limit) {
		spin_unlock(&pool->lock);
		return ERR_PTR(-ENOSPC);
	}
	page = nid == NUMA_NO_NODE ? take_anywhere(pool, &dirty) :
				     take_on_node(pool, nid, &dirty);
	if (page)
		count_taken(pool, page, BMEM_HUGE_PAGES, way);
	room = !page && commit_taking(pool, BMEM_HUGE_PAGES, way);
	spin_unlock(&pool->lock);

	if (page) {
		if (dirty && way == TAKE_PLAIN)
			zero_pages(page, BMEM_HUGE_PAGES);
		return page;
	}
	if (!room)
		return ERR_PTR(-EAGAIN);
	if (nid != NUMA_NO_NODE)
		gfp |= __GFP_THISNODE;
	if (way != TAKE_PLAIN)
		gfp &= ~__GFP_ZERO;
	return take_from_system(pool, nid, gfp, BMEM_HUGE_ORDER, way);
}

static struct page *take_by_policy(struct bmem_pool *pool, enum take_way way)
{
	struct page *page;

	if (pool->policy == BMEM_POLICY_BIND)
		return take_huge(pool, pool->nid, way);
	/* One above the limit only if no node has any that is free. */
	if (nr_node_ids > 1 && way != TAKE_FORCED) {
		page = take_huge(pool, pick_node(pool), way);
		if (!IS_ERR(page) || PTR_ERR(page) == -ENOSPC)
			return page;
	}
	return take_huge(pool, NUMA_NO_NODE, way);
}

/**
 * bmem_pool_take() - a zeroed huge page for a client
 * @pool: pool
 *
 * May sleep.  The page has one reference, the caller's, and is counted as
 * attached until bmem_pool_give().
 *
 * Return: the page; -ENOSPC at the pool's limit; -ENOMEM when the system or
 * the caller's memory cgroup has no huge page; -EINTR when killed.
 */
struct page *bmem_pool_take(struct bmem_pool *pool)
{
	struct page *page;
	int rc;

	for (;;) {
		page = take_by_policy(pool, TAKE_PLAIN);
		if (!IS_ERR(page) || PTR_ERR(page) != -EAGAIN)
			return page;
		rc = wait_for_free(pool);
		if (rc)
			return ERR_PTR(rc);
	}
}

/**
 * bmem_pool_promise() - keep room for copies
 * @pool: pool
 * @pages: base pages that bmem_pool_take_promised(), or
 *	bmem_pool_take_base_promised(), may be asked for from now on
 *
 * Return: false when they would be above the limit.
 */
bool bmem_pool_promise(struct bmem_pool *pool, unsigned long pages)
{
	bool room;

	spin_lock(&pool->lock);
	room = pages <= pool->limit && pool_held(pool) <= pool->limit - pages;
	if (room) {
		pool->promised += pages;
		bmem_pressure_check(pool);
	}
	spin_unlock(&pool->lock);
	return room;
}

/**
 * bmem_pool_promise_forced() - likewise, with room or without
 * @pool: pool
 * @pages: base pages, for which as many are given back soon
 */
void bmem_pool_promise_forced(struct bmem_pool *pool, unsigned long pages)
{
	spin_lock(&pool->lock);
	pool->promised += pages;
	bmem_pressure_check(pool);
	spin_unlock(&pool->lock);
}

/**
 * bmem_pool_unpromise() - pages that were promised will not be asked for
 * @pool: pool
 * @pages: base pages
 */
void bmem_pool_unpromise(struct bmem_pool *pool, unsigned long pages)
{
	spin_lock(&pool->lock);
	pool->promised -= pages;
	bmem_pressure_check(pool);
	spin_unlock(&pool->lock);
	if (pages)
		bmem_pool_freed(pool);
}

/* How often others are waited for that take a page this moment. */
#define PROMISE_TRIES	20

/**
 * bmem_pool_take_promised() - a huge page that was promised, to copy to
 * @pool: pool
 *
 * May sleep.  As bmem_pool_take(), but that it holds anything, and that the
 * pool's limit is no obstacle: room was kept, and a limit that was lowered
 * since then does not matter.
 *
 * Return: the page; -ENOMEM, and the promise stands; -EINTR when killed.
 */
struct page *bmem_pool_take_promised(struct bmem_pool *pool)
{
	unsigned int tries = 0;
	struct page *page;

	for (;;) {
		page = take_by_policy(pool, tries < PROMISE_TRIES ?
				      TAKE_PROMISED : TAKE_FORCED);
		if (!IS_ERR(page) || PTR_ERR(page) != -EAGAIN)
			return page;
		if (wait_for_free(pool))
			return ERR_PTR(-EINTR);
		tries++;
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
	}
}

/*
 * Room for one base page, made by giving up a free page of the reservation
 * where need be; the keeper gets another when there is room again.  -EAGAIN when
 * all of the pool's room is in pages that are not there yet.
 */
static int commit_base(struct bmem_pool *pool, enum take_way way)
{
	struct page *page = NULL;
	bool dirty, room;

	spin_lock(&pool->lock);
	if (way == TAKE_PLAIN && pool_held(pool) >= pool->limit) {
		spin_unlock(&pool->lock);
		return -ENOSPC;
	}
	room = commit_taking(pool, 1, way);
	if (!room) {
		page = take_anywhere(pool, &dirty);
		if (page)
			count_given(pool, page);
		if (way == TAKE_PROMISED)
			way = TAKE_FORCED;
		room = commit_taking(pool, 1, way);
	}
	spin_unlock(&pool->lock);
	if (page)
		put_page(page);
	return room ? 0 : -EAGAIN;
}

/**
 * bmem_pool_take_base() - a zeroed base page for a client
 * @pool: pool
 *
 * May sleep.  As bmem_pool_take(), for where no huge page is to be had.
 *
 * Return: the page; -ENOSPC, -ENOMEM or -EINTR.
 */
struct page *bmem_pool_take_base(struct bmem_pool *pool)
{
	int rc;

	while ((rc = commit_base(pool, TAKE_PLAIN)) == -EAGAIN) {
		rc = wait_for_free(pool);
		if (rc)
			break;
	}
	if (rc)
		return ERR_PTR(rc);
	return take_from_system(pool, pick_node(pool), GFP_BMEM_BASE, 0,
				TAKE_PLAIN);
}

/**
 * bmem_pool_take_base_promised() - a base page that was promised, to copy to
 * @pool: pool
 *
 * May sleep.  As bmem_pool_take_promised().  Nobody can be told that there is
 * none, so the system may kill somebody for it, as it does when the child of
 * fork() writes to memory of its own.
 *
 * Return: the page; -ENOMEM, and the promise stands.
 */
struct page *bmem_pool_take_base_promised(struct bmem_pool *pool)
{
	commit_base(pool, TAKE_PROMISED);
	return take_from_system(pool, pick_node(pool),
				GFP_HIGHUSER | __GFP_NOWARN | __GFP_ACCOUNT, 0,
				TAKE_PROMISED);
}

/**
 * bmem_pool_renew_promise() - base pages that were promised go back
 * @pool: pool
 * @gone: as for bmem_pool_give()
 *
 * They are promised anew.
 */
void bmem_pool_renew_promise(struct bmem_pool *pool, struct list_head *gone)
{
	unsigned long pages = 0;
	struct page *page;

	list_for_each_entry(page, gone, lru)
		pages += page_pages(page);
	spin_lock(&pool->lock);
	pool->promised += pages;
	spin_unlock(&pool->lock);
	bmem_pool_give(pool, gone);
}

/* Where a page goes that a client let go of. */
enum give_way {
	GIVE_ESCAPED,
	GIVE_KEPT,
	GIVE_SYSTEM,
};

/* Takes over the client's reference unless the page is for the system. */
static enum give_way give_locked(struct bmem_pool *pool, struct page *page)
{
	struct bmem_node *node = page_node(pool, page);
	unsigned int pages = page_pages(page);

	lockdep_assert_held(&pool->lock);
	if (page_private(page) != BMEM_PAGE_OWNED)
		atomic_long_sub(pages, &bmem_lent_pages);
	node->attached -= pages;
	pool->attached -= pages;
	if (pages == 1)
		node->base--;

	if (page_count(page) != 1 || bmem_page_poisoned(page, pages)) {
		count_escaped(pool, page);
		return GIVE_ESCAPED;
	}
	if (page_private(page) == BMEM_PAGE_OWNED &&
	    pool->owned <= pool->reserve) {
		list_add_tail(&page->lru, &node->dirty_list);
		node->dirty += pages;
		return GIVE_KEPT;
	}
	count_given(pool, page);
	return GIVE_SYSTEM;
}

/**
 * bmem_pool_give() - a client lets go of pages
 * @pool: the pool they came from
 * @gone: by page->lru, what the bmem_pool_take functions answered, unmapped
 *	everywhere; empty afterwards
 *
 * Takes over the caller's references.  The keeper is told once, so that it
 * does not begin to zero while there is more to come.
 *
 * Return: how many base pages escaped, since somebody else still pins them.
 */
unsigned long bmem_pool_give(struct bmem_pool *pool, struct list_head *gone)
{
	unsigned long escaped = 0;
	struct page *page, *next;
	LIST_HEAD(to_system);
	bool work = false;

	spin_lock(&pool->lock);
	list_for_each_entry_safe(page, next, gone, lru) {
		list_del_init(&page->lru);
		switch (give_locked(pool, page)) {
		case GIVE_ESCAPED:
			escaped += page_pages(page);
			work = true;
			break;
		case GIVE_KEPT:
			work = true;
			break;
		case GIVE_SYSTEM:
			list_add_tail(&page->lru, &to_system);
			break;
		}
	}
	work |= pool->owned < pool->reserve;
	bmem_pressure_check(pool);
	spin_unlock(&pool->lock);

	list_for_each_entry_safe(page, next, &to_system, lru) {
		list_del_init(&page->lru);
		put_page(page);
	}
	if (work)
		keeper_kick();
	bmem_pool_freed(pool);
	return escaped;
}

void bmem_pool_count_failure(struct bmem_pool *pool)
{
	spin_lock(&pool->lock);
	pool->failed++;
	spin_unlock(&pool->lock);
}

void bmem_pool_count_fallback(struct bmem_pool *pool)
{
	spin_lock(&pool->lock);
	pool->fallbacks++;
	spin_unlock(&pool->lock);
}

void bmem_pool_count_promotion(struct bmem_pool *pool)
{
	spin_lock(&pool->lock);
	pool->promoted++;
	spin_unlock(&pool->lock);
}

static unsigned long grantable(const struct bmem_pool *pool)
{
	unsigned long held = pool_held(pool);

	return held < pool->limit ? pool->limit - held : 0;
}

/**
 * bmem_pool_free_pages() - what the pool could still grant
 * @pool: pool
 *
 * Return: base pages below the limit.
 */
u64 bmem_pool_free_pages(struct bmem_pool *pool)
{
	u64 pages;

	spin_lock(&pool->lock);
	pages = grantable(pool);
	spin_unlock(&pool->lock);
	return pages;
}

/**
 * bmem_pool_describe() - a pool at the moment of a failure
 * @pool: pool
 * @f: out, the fields that begin with pool
 */
void bmem_pool_describe(struct bmem_pool *pool, struct bmem_failure *f)
{
	strscpy(f->pool, pool->name, sizeof(f->pool));
	spin_lock(&pool->lock);
	f->pool_free = bmem_bytes(grantable(pool));
	f->pool_limit = bmem_bytes(pool->limit);
	f->pool_total = bmem_bytes(pool->total);
	f->pool_attached = bmem_bytes(pool->attached);
	spin_unlock(&pool->lock);
}

/* ---- reservation --------------------------------------------------------- */

/* One more owned page.  -EALREADY: there are as many as are reserved. */
static int own_one(struct bmem_pool *pool, int nid, gfp_t gfp)
{
	struct bmem_node *node;
	struct page *page;
	int rc = 0;

	spin_lock(&pool->lock);
	if (pool->owned >= pool->reserve)
		rc = -EALREADY;
	else if (!commit(pool, BMEM_HUGE_PAGES))
		rc = -ENOMEM;
	if (!rc) {
		pool->owned += BMEM_HUGE_PAGES;
		pool->owning += BMEM_HUGE_PAGES;
	}
	spin_unlock(&pool->lock);
	if (rc)
		return rc;

	page = system_page(pool, nid, gfp, BMEM_HUGE_ORDER);
	spin_lock(&pool->lock);
	pool->owning -= BMEM_HUGE_PAGES;
	if (page) {
		set_page_private(page, BMEM_PAGE_OWNED);
		node = page_node(pool, page);
		list_add_tail(&page->lru, &node->zeroed_list);
		node->zeroed += BMEM_HUGE_PAGES;
		pool->huge_taken++;
	} else {
		pool->owned -= BMEM_HUGE_PAGES;
		pool->total -= BMEM_HUGE_PAGES;
	}
	spin_unlock(&pool->lock);
	wake_up(&kept_wait);
	return page ? 0 : -ENOMEM;
}

/* Own pages up to the reservation. */
static int fill_reserve(struct bmem_pool *pool)
{
	long missing;
	int rc;

	/* What cannot succeed is not tried at the cost of everybody's cache. */
	spin_lock(&pool->lock);
	missing = pool->reserve - pool->owned;
	spin_unlock(&pool->lock);
	if (missing > si_mem_available())
		return -ENOMEM;
	for (;;) {
		rc = own_one(pool, next_node_of(pool),
			     GFP_BMEM_RESERVE);
		if (rc)
			return rc == -EALREADY ? 0 : rc;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
}

/* Give back free owned pages that the reservation does not ask for. */
static unsigned long drain_reserve(struct bmem_pool *pool)
{
	unsigned long pages = 0;
	struct page *page;
	bool dirty;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		for (;;) {
			spin_lock(&pool->lock);
			page = pool->owned > pool->reserve ?
				take_on_node(pool, nid, &dirty) : NULL;
			if (page)
				count_given(pool, page);
			spin_unlock(&pool->lock);
			if (!page)
				break;
			put_page(page);
			pages += BMEM_HUGE_PAGES;
			cond_resched();
		}
	}
	return pages;
}

/* ---- keeper ---------------------------------------------------------------- */

/*
 * Looks at the first few escaped pages of a node, the rest follows in later
 * calls; those that nobody else has any more leave for @freed.
 */
static void watch_some(struct bmem_pool *pool, struct bmem_node *node,
		       unsigned int some, struct list_head *freed)
{
	struct page *page;

	lockdep_assert_held(&pool->lock);
	while (some--) {
		page = list_first_entry_or_null(&node->escaped_list,
						struct page, lru);
		if (!page)
			return;
		if (page_count(page) != 1 ||
		    bmem_page_poisoned(page, page_pages(page))) {
			list_move_tail(&page->lru, &node->escaped_list);
			continue;
		}
		list_move_tail(&page->lru, freed);
		node->escaped -= page_pages(page);
		pool->escaped -= page_pages(page);
		count_given(pool, page);
	}
}

/* Give escaped pages to the system once nobody else has them. */
static void watch_escaped(struct bmem_pool *pool, struct bmem_node *node)
{
	unsigned long left = READ_ONCE(node->escaped);
	struct page *page, *next;
	LIST_HEAD(freed);

	/* Each page is at least one: so many looks see all of them. */
	while (left) {
		unsigned int some = min_t(unsigned long, left, WATCH_STRIDE);

		spin_lock(&pool->lock);
		watch_some(pool, node, some, &freed);
		bmem_pressure_check(pool);
		spin_unlock(&pool->lock);
		left -= some;
		cond_resched();
	}
	if (!list_empty(&freed))
		bmem_pool_freed(pool);
	list_for_each_entry_safe(page, next, &freed, lru) {
		list_del_init(&page->lru);
		put_page(page);
	}
}

/* Does the pool need another look after a while? */
static bool pool_unsettled(struct bmem_pool *pool)
{
	bool unsettled;

	spin_lock(&pool->lock);
	unsettled = pool->escaped || pool->owned < pool->reserve;
	spin_unlock(&pool->lock);
	return unsettled;
}

static void set_kept(struct bmem_pool *pool, bool kept)
{
	spin_lock(&pool->lock);
	pool->kept = kept;
	spin_unlock(&pool->lock);
}

/* The pool with the lowest id from @id on; it stays until keeper_leave(). */
static struct bmem_pool *keeper_enter(unsigned long id)
{
	struct bmem_pool *pool;

	mutex_lock(&bmem_registry_lock);
	pool = xa_find(&bmem_pools, &id, ULONG_MAX, XA_PRESENT);
	if (pool)
		set_kept(pool, true);
	mutex_unlock(&bmem_registry_lock);
	return pool;
}

/* After this the pool may go. */
static void keeper_leave(struct bmem_pool *pool)
{
	set_kept(pool, false);
	wake_up(&kept_wait);
}

static bool pool_kept(struct bmem_pool *pool)
{
	bool kept;

	spin_lock(&pool->lock);
	kept = pool->kept;
	spin_unlock(&pool->lock);
	return kept;
}

/* Zero one dirty page.  False when there is none. */
static bool zero_one(struct bmem_pool *pool, struct bmem_node *node)
{
	struct page *page;
	bool surplus;

	spin_lock(&pool->lock);
	page = list_take(pool, &node->dirty_list, &node->dirty);
	if (page)
		node->zeroing += BMEM_HUGE_PAGES;
	spin_unlock(&pool->lock);
	if (!page)
		return false;

	zero_pages(page, BMEM_HUGE_PAGES);

	spin_lock(&pool->lock);
	node->zeroing -= BMEM_HUGE_PAGES;
	surplus = pool->owned > pool->reserve;
	if (surplus) {
		count_given(pool, page);
	} else {
		list_add_tail(&page->lru, &node->zeroed_list);
		node->zeroed += BMEM_HUGE_PAGES;
	}
	spin_unlock(&pool->lock);
	trace_bmem_pool_zeroed(pool->id, page_to_nid(page));
	if (surplus)
		put_page(page);
	wake_up(&kept_wait);
	return true;
}

/*
 * What is dirty now.  What comes meanwhile has its turn in the next round, for
 * which the keeper is kicked: clients can bring more for as long as they like, and
 * other pools wait.
 */
static void zero_dirty(struct bmem_pool *pool)
{
	struct bmem_node *node;
	unsigned long left;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		node = &pool->nodes[nid];
		left = READ_ONCE(node->dirty) / BMEM_HUGE_PAGES;
		while (left-- && !kthread_should_stop() && zero_one(pool, node))
			cond_resched();
	}
}

/* Own pages that are missing.  A resize that is under way does it itself. */
static void refill(struct bmem_pool *pool)
{
	while (!kthread_should_stop() && !READ_ONCE(pool->resizing) &&
	       !own_one(pool, next_node_of(pool), GFP_BMEM_HUGE))
		cond_resched();
}

/* One round over all pools.  True when some need another after a while. */
static bool keeper_round(bool look)
{
	struct bmem_pool *pool;
	bool unsettled = false;
	unsigned long id = 0;
	int nid;

	while (!kthread_should_stop() && (pool = keeper_enter(id))) {
		id = pool->id + 1;
		zero_dirty(pool);
		if (look) {
			for_each_node_state(nid, N_MEMORY)
				watch_escaped(pool, &pool->nodes[nid]);
			refill(pool);
		}
		unsettled |= pool_unsettled(pool);
		keeper_leave(pool);
	}
	return unsettled;
}

static int keeper_run(void *unused)
{
	unsigned long next_look = jiffies;
	bool unsettled = false, look;

	while (!kthread_should_stop()) {
		wait_event_interruptible_timeout(keeper_wait,
						 READ_ONCE(keeper_work) ||
						 kthread_should_stop(),
						 unsettled ? KEEPER_RETRY :
						 MAX_SCHEDULE_TIMEOUT);
		/* Zeroing ahead is for idle time: anything else goes first. */
		set_user_nice(current, MAX_NICE);
		WRITE_ONCE(keeper_work, false);
		/* What was in vain once is not tried again at every kick. */
		look = time_after_eq(jiffies, next_look);
		if (look)
			next_look = jiffies + KEEPER_RETRY;
		unsettled = keeper_round(look);
	}
	return 0;
}

/* ---- registry ----------------------------------------------------------------- */

static struct bmem_pool *pool_alloc(void)
{
	struct bmem_pool *pool;
	int nid;

	pool = kvzalloc(struct_size(pool, nodes, nr_node_ids), GFP_KERNEL);
	if (!pool)
		return NULL;
	spin_lock_init(&pool->lock);
	init_waitqueue_head(&pool->room);
	pool->next_nid = first_memory_node;
	for (nid = 0; nid < nr_node_ids; nid++) {
		INIT_LIST_HEAD(&pool->nodes[nid].zeroed_list);
		INIT_LIST_HEAD(&pool->nodes[nid].dirty_list);
		INIT_LIST_HEAD(&pool->nodes[nid].escaped_list);
	}
	return pool;
}

/* What is still pinned goes to the system when it is unpinned. */
static void abandon_escaped(struct bmem_pool *pool, struct bmem_node *node)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &node->escaped_list, lru) {
		list_del_init(&page->lru);
		spin_lock(&pool->lock);
		disown(pool, page);
		spin_unlock(&pool->lock);
		/* Poisoned memory must not be handed out again. */
		if (!bmem_page_poisoned(page, page_pages(page)))
			put_page(page);
	}
}

/* The pool is out of the registry and has no client. */
static void pool_free(struct bmem_pool *pool)
{
	int nid;

	spin_lock(&pool->lock);
	pool->reserve = 0;
	spin_unlock(&pool->lock);
	/* So that the keeper has little to zero; what it does zero it gives back. */
	drain_reserve(pool);
	wait_event(kept_wait, !pool_kept(pool));
	/* It may have been getting one, for the reservation that there was. */
	drain_reserve(pool);
	for_each_node_state(nid, N_MEMORY)
		abandon_escaped(pool, &pool->nodes[nid]);
	WARN_ONCE(pool->attached || pool->owned || pool->promised ||
		  pool->taking,
		  "pool %s: attached %lu, owned %lu, promised %lu, taking %lu\n",
		  pool->name, pool->attached, pool->owned, pool->promised,
		  pool->taking);
	kvfree(pool);
}

static int check_bounds(u64 limit, u64 reserve)
{
	if (!limit || !IS_ALIGNED(limit, BMEM_HUGE_SIZE) ||
	    !IS_ALIGNED(reserve, BMEM_HUGE_SIZE) || reserve > limit)
		return -EINVAL;
	return 0;
}

static int check_name(const char *name)
{
	size_t i, len = strnlen(name, BMEM_POOL_NAME_LEN);

	if (!len || len == BMEM_POOL_NAME_LEN)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (!isascii(name[i]) ||
		    (!isalnum(name[i]) && !strchr("._-", name[i])))
			return -EINVAL;
	return 0;
}

static int check_policy(const struct bmem_pool_create *cmd)
{
	if (cmd->policy > BMEM_POLICY_INTERLEAVE)
		return -EINVAL;
	if (cmd->policy != BMEM_POLICY_BIND)
		return cmd->nid ? -EINVAL : 0;
	if (cmd->nid >= nr_node_ids || !node_state(cmd->nid, N_MEMORY))
		return -EINVAL;
	return 0;
}

static int set_gid(struct bmem_pool *pool, u32 gid)
{
	pool->gid = INVALID_GID;
	if (gid == BMEM_GID_ANY)
		return 0;
	pool->gid = make_kgid(current_user_ns(), gid);
	return gid_valid(pool->gid) ? 0 : -EINVAL;
}

static bool name_taken(const char *name)
{
	struct bmem_pool *other;
	unsigned long id;

	lockdep_assert_held(&bmem_registry_lock);
	xa_for_each(&bmem_pools, id, other)
		if (!strcmp(other->name, name))
			return true;
	return false;
}

/*
 * Gives the pool an id, and keeps its name from others.  The id's place is there
 * before the registry is locked, with which nobody waits for memory.
 */
static int pool_register(struct bmem_pool *pool)
{
	int rc = xa_alloc(&bmem_pools, &pool->id, XA_ZERO_ENTRY,
			  XA_LIMIT(0, BMEM_POOLS_MAX - 1), GFP_KERNEL);

	if (rc)
		return rc == -EBUSY ? -ENOSPC : rc;
	mutex_lock(&bmem_registry_lock);
	if (name_taken(pool->name))
		rc = -EEXIST;
	else
		rc = xa_err(xa_store(&bmem_pools, pool->id, pool, 0));
	if (rc)
		xa_erase(&bmem_pools, pool->id);
	mutex_unlock(&bmem_registry_lock);
	return rc;
}

/* Before a reservation of any size is filled for nothing. */
static int check_taken(const char *name)
{
	bool taken;

	mutex_lock(&bmem_registry_lock);
	taken = name_taken(name);
	mutex_unlock(&bmem_registry_lock);
	return taken ? -EEXIST : 0;
}

/**
 * bmem_pool_create() - make a pool and fill its reservation
 * @cmd: as in the ABI
 *
 * Nobody finds the pool before bmem_pool_publish(); bmem_pool_abort() unmakes
 * it instead.
 *
 * Return: the pool, or an ERR_PTR with an errno of the ABI.
 */
struct bmem_pool *bmem_pool_create(struct bmem_pool_create *cmd)
{
	struct bmem_pool *pool;
	int rc;

	if (cmd->flags)
		return ERR_PTR(-EOPNOTSUPP);
	rc = check_bounds(cmd->limit_bytes, cmd->reserve_bytes) ?:
	     check_name(cmd->name) ?: check_policy(cmd) ?:
	     check_taken(cmd->name);
	if (rc)
		return ERR_PTR(rc);

	pool = pool_alloc();
	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->policy = cmd->policy;
	pool->nid = cmd->nid;
	pool->limit = cmd->limit_bytes >> PAGE_SHIFT;
	pool->reserve = cmd->reserve_bytes >> PAGE_SHIFT;
	strscpy(pool->name, cmd->name, sizeof(pool->name));
	bmem_pressure_init(pool);

	rc = set_gid(pool, cmd->gid) ?:
	     fill_reserve(pool) ?: pool_register(pool);
	if (rc) {
		pool_free(pool);
		return ERR_PTR(rc);
	}
	cmd->pool = pool->id;
	return pool;
}

/**
 * bmem_pool_publish() - let others find a pool
 * @pool: what bmem_pool_create() answered; may be gone afterwards
 */
void bmem_pool_publish(struct bmem_pool *pool)
{
	trace_bmem_pool_create(pool->id, bmem_bytes(pool->limit),
			       bmem_bytes(pool->reserve));
	mutex_lock(&bmem_registry_lock);
	pool->published = true;
	mutex_unlock(&bmem_registry_lock);
}

/**
 * bmem_pool_abort() - unmake a pool that nobody has found
 * @pool: what bmem_pool_create() answered
 */
void bmem_pool_abort(struct bmem_pool *pool)
{
	mutex_lock(&bmem_registry_lock);
	xa_erase(&bmem_pools, pool->id);
	mutex_unlock(&bmem_registry_lock);
	pool_free(pool);
}

/**
 * bmem_pool_find() - a pool by its id
 * @id: id
 *
 * Return: the pool, which stays while bmem_registry_lock is held; or NULL.
 */
struct bmem_pool *bmem_pool_find(u32 id)
{
	struct bmem_pool *pool = xa_load(&bmem_pools, id);

	lockdep_assert_held(&bmem_registry_lock);
	return pool && pool->published ? pool : NULL;
}

/**
 * bmem_pool_destroy() - unmake a pool
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_pool_destroy(struct bmem_pool_destroy *cmd)
{
	struct bmem_pool *pool;
	int rc = 0;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(cmd->pool);
	if (!pool)
		rc = -ENOENT;
	else if (pool->clients || pool->waiters || pool->resizing ||
		 pool->id == BMEM_POOL_DEFAULT)
		rc = -EBUSY;
	else
		xa_erase(&bmem_pools, cmd->pool);
	mutex_unlock(&bmem_registry_lock);
	if (rc)
		return rc;
	pool_free(pool);
	trace_bmem_pool_destroy(cmd->pool);
	return 0;
}

static void set_bounds(struct bmem_pool *pool, u64 limit, u64 reserve)
{
	spin_lock(&pool->lock);
	pool->limit = limit >> PAGE_SHIFT;
	pool->reserve = reserve >> PAGE_SHIFT;
	bmem_pressure_cross(pool);
	spin_unlock(&pool->lock);
}

/* Fields that the flags do not name are filled in with what holds. */
static int resize_begin(struct bmem_pool_resize *cmd, struct bmem_pool **found)
{
	struct bmem_pool *pool;
	int rc = -ENOENT;

	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(cmd->pool);
	if (!pool)
		goto out;
	rc = -EBUSY;
	if (pool->resizing)
		goto out;
	if (!(cmd->flags & BMEM_RESIZE_LIMIT))
		cmd->limit_bytes = bmem_bytes(pool->limit);
	if (!(cmd->flags & BMEM_RESIZE_RESERVE))
		cmd->reserve_bytes = bmem_bytes(pool->reserve);
	rc = check_bounds(cmd->limit_bytes, cmd->reserve_bytes);
	if (rc)
		goto out;
	pool->resizing = true;
	*found = pool;
out:
	mutex_unlock(&bmem_registry_lock);
	return rc;
}

/**
 * bmem_pool_resize() - change a pool's bounds
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI; on failure the old bounds stand.
 */
int bmem_pool_resize(struct bmem_pool_resize *cmd)
{
	struct bmem_pool *pool;
	u64 limit, reserve;
	int rc;

	if (cmd->flags & ~(BMEM_RESIZE_LIMIT | BMEM_RESIZE_RESERVE) ||
	    cmd->__reserved)
		return -EOPNOTSUPP;
	if (!cmd->flags)
		return -EINVAL;
	rc = resize_begin(cmd, &pool);
	if (rc)
		return rc;

	/* The registry is not locked: a large reservation takes its time. */
	limit = bmem_bytes(pool->limit);
	reserve = bmem_bytes(pool->reserve);
	set_bounds(pool, cmd->limit_bytes, cmd->reserve_bytes);
	rc = fill_reserve(pool);
	if (rc)
		set_bounds(pool, limit, reserve);
	drain_reserve(pool);
	bmem_pool_freed(pool);
	if (!rc)
		trace_bmem_pool_resize(pool->id, cmd->limit_bytes,
				       cmd->reserve_bytes);

	mutex_lock(&bmem_registry_lock);
	pool->resizing = false;
	mutex_unlock(&bmem_registry_lock);
	return rc;
}

/**
 * bmem_pool_ids() - ids of all pools
 * @ids: array of %BMEM_POOLS_MAX
 * @nr: out, how many there are
 *
 * Return: 0.
 */
int bmem_pool_ids(u32 *ids, u32 *nr)
{
	struct bmem_pool *pool;
	unsigned long id;

	*nr = 0;
	mutex_lock(&bmem_registry_lock);
	xa_for_each(&bmem_pools, id, pool)
		if (pool->published)
			ids[(*nr)++] = id;
	mutex_unlock(&bmem_registry_lock);
	return 0;
}

static void add_node_stats(struct bmem_pool_stats *st,
			   const struct bmem_node *node)
{
	st->zeroed_bytes += bmem_bytes(node->zeroed);
	st->dirty_bytes += bmem_bytes(node->dirty);
	st->zeroing_bytes += bmem_bytes(node->zeroing);
	st->attached_bytes += bmem_bytes(node->attached);
	st->escaped_bytes += bmem_bytes(node->escaped);
	st->base_bytes += bmem_bytes(node->base);
}

static void stats_locked(struct bmem_pool *pool, struct bmem_pool_stats *st)
{
	int nid;

	st->clients = pool->clients;
	st->policy = pool->policy;
	st->bind_nid = pool->nid;
	st->gid = gid_valid(pool->gid) ?
		  from_kgid_munged(current_user_ns(), pool->gid) : BMEM_GID_ANY;
	strscpy_pad(st->name, pool->name, sizeof(st->name));

	spin_lock(&pool->lock);
	if (st->flags & BMEM_STATS_NODE) {
		nid = array_index_nospec(st->nid, nr_node_ids);
		add_node_stats(st, &pool->nodes[nid]);
	} else {
		for_each_node_state(nid, N_MEMORY)
			add_node_stats(st, &pool->nodes[nid]);
	}
	st->total_bytes = st->zeroed_bytes + st->dirty_bytes +
			  st->zeroing_bytes + st->attached_bytes +
			  st->escaped_bytes;
	st->limit_bytes = bmem_bytes(pool->limit);
	st->reserve_bytes = bmem_bytes(pool->reserve);
	st->peak_attached_bytes = bmem_bytes(pool->peak_attached);
	st->huge_taken = pool->huge_taken;
	st->huge_given = pool->huge_given;
	st->fallbacks = pool->fallbacks;
	st->promoted = pool->promoted;
	st->escaped_total_bytes = bmem_bytes(pool->escaped_ever);
	st->failed = pool->failed;
	st->shared_bytes = bmem_bytes(pool->promised);
	spin_unlock(&pool->lock);
}

/**
 * bmem_pool_node_check() - is a pool asked about as it should be?
 * @flags: of the call
 * @nid: node that it is about, with %BMEM_STATS_NODE
 *
 * Return: 0, -EOPNOTSUPP or -EINVAL.
 */
int bmem_pool_node_check(u32 flags, u32 nid)
{
	if (flags & ~BMEM_STATS_NODE)
		return -EOPNOTSUPP;
	if (!(flags & BMEM_STATS_NODE))
		return nid ? -EINVAL : 0;
	return nid < nr_node_ids && node_state(nid, N_MEMORY) ? 0 : -EINVAL;
}

/**
 * bmem_pool_stats() - the sums over a pool
 * @st: as in the ABI; all but the in fields is overwritten
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_pool_stats(struct bmem_pool_stats *st)
{
	struct bmem_pool_stats in = *st;
	struct bmem_pool *pool;
	int rc;

	rc = bmem_pool_node_check(in.flags, in.nid);
	if (rc)
		return rc;
	memset(st, 0, sizeof(*st));
	st->size = in.size;
	st->flags = in.flags;
	st->pool = in.pool;
	st->nid = in.nid;
	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(in.pool);
	if (pool)
		stats_locked(pool, st);
	mutex_unlock(&bmem_registry_lock);
	return pool ? 0 : -ENOENT;
}

/**
 * bmem_pool_owns() - is a page of its pool's reservation?
 * @page: huge page that a client has
 *
 * Return: whether it goes back to the reservation, rather than to the system.
 */
bool bmem_pool_owns(const struct page *page)
{
	return page_private(page) == BMEM_PAGE_OWNED;
}

/**
 * bmem_pool_drain() - give free pages beyond the reservation to the system
 * @pool: pool
 *
 * Return: how many.
 */
unsigned long bmem_pool_drain(struct bmem_pool *pool)
{
	return drain_reserve(pool);
}

/**
 * bmem_pools_each() - do something for every pool that can be found
 * @fn: what; with bmem_registry_lock held
 * @arg: for @fn
 */
void bmem_pools_each(void (*fn)(struct bmem_pool *pool, void *arg), void *arg)
{
	struct bmem_pool *pool;
	unsigned long id;

	mutex_lock(&bmem_registry_lock);
	xa_for_each(&bmem_pools, id, pool)
		if (pool->published)
			fn(pool, arg);
	mutex_unlock(&bmem_registry_lock);
}

/**
 * bmem_pool_may_bind() - may the caller draw from this pool?
 * @pool: pool
 *
 * Return: 0 or -EPERM.
 */
int bmem_pool_may_bind(const struct bmem_pool *pool)
{
	if (!gid_valid(pool->gid) || in_group_p(pool->gid) ||
	    capable(CAP_SYS_ADMIN))
		return 0;
	return -EPERM;
}

/**
 * bmem_pools_init() - start the keeper and make the default pool
 * @limit: its limit in bytes
 * @reserve: its reservation in bytes
 *
 * Return: 0 or a negative errno.
 */
int bmem_pools_init(u64 limit, u64 reserve)
{
	struct bmem_pool_create cmd = {
		.limit_bytes = limit,
		.reserve_bytes = reserve,
		.gid = BMEM_GID_ANY,
		.name = "default",
	};
	struct bmem_pool *pool;

	keeper = kthread_run(keeper_run, NULL, "bmem_keeper");
	if (IS_ERR(keeper))
		return PTR_ERR(keeper);
	pool = bmem_pool_create(&cmd);
	if (IS_ERR(pool))
		kthread_stop(keeper);
	else
		bmem_pool_publish(pool);
	return PTR_ERR_OR_ZERO(pool);
}

/**
 * bmem_keeper_stop() - stop the keeper; no client is left
 *
 * After this no pool changes by itself.
 */
void bmem_keeper_stop(void)
{
	kthread_stop(keeper);
}

/**
 * bmem_pools_exit() - unmake all pools
 *
 * The keeper is stopped, and no client is left.  Pressure's worker and writers
 * of parameters may still be looking, with the registry's lock.
 */
void bmem_pools_exit(void)
{
	struct bmem_pool *pool;
	unsigned long id;

	xa_for_each(&bmem_pools, id, pool) {
		mutex_lock(&bmem_registry_lock);
		xa_erase(&bmem_pools, id);
		mutex_unlock(&bmem_registry_lock);
		pool_free(pool);
	}
	xa_destroy(&bmem_pools);
}
