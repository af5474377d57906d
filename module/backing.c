// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is behind an arena: chunks.
 *
 * A chunk is attached when the first span needs it, as one huge page where
 * there is one and else in base pages, as many as its spans cover.  An empty
 * chunk of a huge page stays for the client's next spans up to the client's
 * cache bound; beyond it, it is queued, and cleanup takes it away, unless the
 * client's next spans come first: they take it where it is, or its page to
 * where they are.  Base pages leave one by one as their spans do.
 *
 * A chunk begins hollow, with neither: so that all that a call needs is known
 * before any of it is taken.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "backing.h"
#include "bmem_private.h"
#include "trace.h"

/* The part of a range of pages that lies in one chunk. */
struct part {
	u32 at;
	u32 end;
	u32 index;
	u32 first;
	u32 n;
};

static struct part range_parts(u32 page, u32 pages)
{
	return (struct part){ .at = page, .end = page + pages };
}

static bool next_part(struct part *p)
{
	p->at += p->n;
	if (p->at >= p->end)
		return false;
	p->index = p->at / BMEM_HUGE_PAGES;
	p->first = p->at % BMEM_HUGE_PAGES;
	p->n = min(BMEM_HUGE_PAGES - p->first, p->end - p->at);
	return true;
}

static bool chunk_hollow(const struct bmem_chunk *chunk)
{
	return !chunk->huge && !chunk->base;
}

static struct page *chunk_page(const struct bmem_chunk *chunk, u32 i)
{
	if (chunk->huge)
		return chunk->huge + i;
	return chunk->base ? chunk->base[i] : NULL;
}

/* May it be mapped now, and written to through that mapping? */
static bool chunk_open(const struct bmem_chunk *chunk, bool write)
{
	return !chunk->frozen && !(write && chunk->unsure);
}

/**
 * bmem_backing_get_page() - the page behind a place in the arena
 * @client: client
 * @page: number of the page in the arena
 * @write: for somebody who will write to it
 *
 * Return: the page with a reference taken; NULL where nothing is attached;
 * -EAGAIN when bmem_backing_unshare() has to come first.
 */
struct page *bmem_backing_get_page(struct bmem_client *client, pgoff_t page,
				   bool write)
{
	struct bmem_chunk *chunk;
	struct page *p = NULL;

	xa_lock(&client->chunks);
	chunk = xa_load(&client->chunks, page / BMEM_HUGE_PAGES);
	if (chunk && !chunk_open(chunk, write))
		p = ERR_PTR(-EAGAIN);
	else if (chunk)
		p = chunk_page(chunk, page % BMEM_HUGE_PAGES);
	if (!IS_ERR_OR_NULL(p)) {
		get_page(p);
		/* Core mm will map all of a huge page. */
		if (chunk->huge)
			chunk->touched = true;
	}
	xa_unlock(&client->chunks);
	return p;
}

/**
 * bmem_backing_look() - the page behind a place in the arena, to read
 * @client: client, locked: the page stays for as long as that
 * @page: number of the page in the arena
 *
 * Takes no reference, which would make the page escape if it were given back.
 *
 * Return: the page, or NULL where nothing is attached or memory has failed.
 */
struct page *bmem_backing_look(struct bmem_client *client, pgoff_t page)
{
	struct bmem_chunk *chunk;
	struct page *p = NULL;

	lockdep_assert_held(&client->lock);
	chunk = xa_load(&client->chunks, page / BMEM_HUGE_PAGES);
	if (chunk)
		p = chunk_page(chunk, page % BMEM_HUGE_PAGES);
	return p && !bmem_page_poisoned(p, 1) ? p : NULL;
}

/**
 * bmem_backing_get_marked() - the huge pages that may be mapped together
 * @client: client
 * @page: first page in the arena, of the first chunk
 * @own: chunk that must be among them, counted from there
 * @pages: out, one for each chunk: with a reference taken, or NULL where
 *	there is none that bmem_around_mark() marked
 * @nr: chunks
 *
 * Return: false when @own's is not; then there is none.
 */
bool bmem_backing_get_marked(struct bmem_client *client, pgoff_t page,
			     unsigned int own, struct page **pages,
			     unsigned int nr)
{
	unsigned long first = page / BMEM_HUGE_PAGES;
	XA_STATE(xas, &client->chunks, first);
	struct bmem_chunk *chunk;

	xas_lock(&xas);
	chunk = xa_load(&client->chunks, first + own);
	if (!chunk || !chunk->huge || !bmem_around_marked(chunk->huge)) {
		xas_unlock(&xas);
		return false;
	}
	memset(pages, 0, nr * sizeof(*pages));
	xas_for_each(&xas, chunk, first + nr - 1) {
		if (!chunk->huge || !bmem_around_marked(chunk->huge))
			continue;
		chunk->touched = true;
		get_page(chunk->huge);
		pages[chunk->index - first] = chunk->huge;
	}
	xas_unlock(&xas);
	return true;
}

/**
 * bmem_backing_has_page() - is this page still behind a place in the arena?
 * @client: client
 * @page: number of the page in the arena
 * @is: what bmem_backing_get_page() answered, locked by the caller
 * @write: as there
 *
 * Return: true when it is, and may be mapped so, and will be until the caller
 * unlocks it.
 */
bool bmem_backing_has_page(struct bmem_client *client, pgoff_t page,
			   const struct page *is, bool write)
{
	struct bmem_chunk *chunk;
	bool has;

	xa_lock(&client->chunks);
	chunk = xa_load(&client->chunks, page / BMEM_HUGE_PAGES);
	has = chunk && chunk_open(chunk, write) &&
	      chunk_page(chunk, page % BMEM_HUGE_PAGES) == is;
	xa_unlock(&client->chunks);
	return has;
}

/**
 * bmem_count_attached() - a client has got pages
 * @client: client, locked
 * @pages: how many
 * @base: they are base pages
 */
void bmem_count_attached(struct bmem_client *client, u32 pages, bool base)
{
	client->attached += pages;
	if (base)
		client->base += pages;
	if (client->attached > client->peak_attached)
		client->peak_attached = client->attached;
}

/**
 * bmem_give_pages() - a client lets go of pages
 * @client: client, locked
 * @gone: by page->lru, unmapped and out of the table
 *
 * Return: how many base pages escaped.
 */
unsigned long bmem_give_pages(struct bmem_client *client,
			      struct list_head *gone)
{
	unsigned long escaped;
	struct page *p;

	list_for_each_entry(p, gone, lru) {
		u32 pages = compound_nr(p);

		client->attached -= pages;
		if (pages == 1)
			client->base--;
	}
	escaped = bmem_pool_give(client->pool, gone);
	if (!escaped)
		return 0;
	client->escaped += escaped;
	trace_bmem_escape(client->who.id, escaped);
	return escaped;
}

/* ---- attach ---------------------------------------------------------------- */

/**
 * bmem_chunk_set_huge() - put a huge page into the table
 * @client: client, locked
 * @chunk: where
 * @huge: page that has not been mapped; or NULL, to take out what is there
 */
void bmem_chunk_set_huge(struct bmem_client *client, struct bmem_chunk *chunk,
			 struct page *huge)
{
	xa_lock(&client->chunks);
	chunk->huge = huge;
	chunk->touched = false;
	xa_unlock(&client->chunks);
}

/**
 * bmem_chunk_add() - a hollow chunk
 * @client: client, locked
 * @index: where there is none
 *
 * Return: the chunk, or NULL without memory.
 */
struct bmem_chunk *bmem_chunk_add(struct bmem_client *client, u32 index)
{
	struct bmem_chunk *chunk = kzalloc(sizeof(*chunk), GFP_BMEM_META);

	if (!chunk)
		return NULL;
	INIT_LIST_HEAD(&chunk->cached);
	chunk->index = index;
	if (xa_err(xa_store(&client->chunks, index, chunk,
			    GFP_BMEM_META))) {
		kfree(chunk);
		return NULL;
	}
	client->nr_chunks++;
	return chunk;
}

static void count_surplus(struct bmem_client *client,
			  const struct bmem_chunk *chunk, long sign)
{
	if (!chunk->surplus)
		return;
	client->nr_surplus += sign;
	atomic_long_add(sign * (long)BMEM_HUGE_PAGES, &bmem_surplus_pages);
}

/* An empty chunk stays, for good or until cleanup comes. */
static void chunk_keep(struct bmem_client *client, struct bmem_chunk *chunk,
		       bool queue)
{
	chunk->queued = queue;
	/* What the reservation lent out does not help the system. */
	chunk->surplus = !bmem_pool_owns(chunk->huge);
	count_surplus(client, chunk, 1);
	if (queue) {
		atomic_long_inc(&client->pool->pressure.queued);
		list_add_tail(&chunk->cached, &client->queued);
		if (!client->nr_queued++)
			client->queued_ns = ktime_get_ns();
		client->queued_at = jiffies;
	} else {
		atomic_long_inc(&client->pool->pressure.cached);
		list_add_tail(&chunk->cached, &client->cached);
		client->nr_cached++;
		client->cached_at = jiffies;
	}
	bmem_cleanup_note(client, queue);
}

static void chunk_uncache(struct bmem_client *client, struct bmem_chunk *chunk)
{
	if (list_empty(&chunk->cached))
		return;
	list_del_init(&chunk->cached);
	count_surplus(client, chunk, -1);
	if (chunk->queued) {
		atomic_long_dec(&client->pool->pressure.queued);
		client->nr_queued--;
	} else {
		atomic_long_dec(&client->pool->pressure.cached);
		client->nr_cached--;
		client->cached_at = jiffies;
	}
}

/* Its owner has a use for an empty chunk again. */
static void chunk_reuse(struct bmem_client *client, struct bmem_chunk *chunk)
{
	if (!list_empty(&chunk->cached) && chunk->queued)
		bmem_cleanup_gain(client->pool, BMEM_GAIN_REUSED,
				  BMEM_HUGE_PAGES);
	chunk_uncache(client, chunk);
}

/**
 * bmem_backing_prepare() - what will a span need?
 * @client: client, locked
 * @page: first page of the span
 * @pages: its length
 * @need: added to: base pages that bmem_backing_attach() will take
 *
 * Return: 0; -ENOMEM or -EINTR, and the caller frees the span and calls
 * bmem_backing_release() for it.
 */
int bmem_backing_prepare(struct bmem_client *client, u32 page, u32 pages,
			 u64 *need)
{
	struct part p = range_parts(page, pages);

	lockdep_assert_held(&client->lock);
	while (next_part(&p)) {
		struct bmem_chunk *chunk = xa_load(&client->chunks, p.index);

		if (!chunk) {
			chunk = bmem_chunk_add(client, p.index);
			if (!chunk)
				return -ENOMEM;
			*need += BMEM_HUGE_PAGES;
		} else if (chunk->base) {
			*need += p.n;
		}
		chunk_reuse(client, chunk);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * bmem_chunk_fill_base() - a chunk is to be in base pages, of which it has none
 * @client: client, locked
 * @chunk: hollow, or the caller takes its huge page out next
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_chunk_fill_base(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct page **base = kcalloc(BMEM_HUGE_PAGES, sizeof(*base),
				     GFP_BMEM_META);

	if (!base)
		return -ENOMEM;
	xa_lock(&client->chunks);
	chunk->base = base;
	xa_unlock(&client->chunks);
	client->nr_base_chunks++;
	bmem_pool_count_fallback(client->pool);
	return 0;
}

/*
 * The page of a chunk that is queued anyway, for another place of the same
 * client: it need not be zeroed.  NULL when there is none that nobody pins.
 */
static struct page *take_queued(struct bmem_client *client)
{
	struct bmem_chunk *chunk;
	struct page *huge;
	LIST_HEAD(gone);

	while ((chunk = list_first_entry_or_null(&client->queued,
						 struct bmem_chunk, cached))) {
		loff_t at = (loff_t)chunk->index * BMEM_HUGE_SIZE;

		huge = chunk->huge;
		chunk_uncache(client, chunk);
		if (bmem_chunk_leave(client, chunk))
			continue;
		trace_bmem_detach(client->who.id, chunk->index, true);
		bmem_chunk_remove(client, chunk);
		bmem_page_settle(huge);
		unmap_mapping_range(client->inode->i_mapping, at,
				    BMEM_HUGE_SIZE, 1);
		if (page_count(huge) == 1 &&
		    !bmem_page_poisoned(huge, BMEM_HUGE_PAGES)) {
			bmem_cleanup_gain(client->pool, BMEM_GAIN_REUSED,
					  BMEM_HUGE_PAGES);
			return huge;
		}
		list_add(&huge->lru, &gone);
		bmem_give_pages(client, &gone);
	}
	return NULL;
}

/* Its owner may have written anywhere in it. */
static void chunk_refill(struct bmem_client *client, struct bmem_chunk *chunk,
			 struct page *huge)
{
	/* Counted as attached all the while. */
	bmem_chunk_set_huge(client, chunk, huge);
	xa_lock(&client->chunks);
	chunk->touched = true;
	xa_unlock(&client->chunks);
	trace_bmem_attach(client->who.id, chunk->index, huge);
}

/**
 * bmem_chunk_fill() - give a chunk a huge page, or make ready for base pages
 * @client: client, locked
 * @chunk: hollow
 *
 * Return: 0, -ENOSPC, -ENOMEM or -EINTR.
 */
int bmem_chunk_fill(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct page *huge = take_queued(client);
	int rc = 0;

	if (huge) {
		chunk_refill(client, chunk, huge);
		return 0;
	}
	huge = bmem_pool_take(client->pool);
	if (!IS_ERR(huge)) {
		bmem_chunk_set_huge(client, chunk, huge);
		bmem_count_attached(client, BMEM_HUGE_PAGES, false);
	} else if (PTR_ERR(huge) == -ENOMEM) {
		rc = bmem_chunk_fill_base(client, chunk);
	} else {
		rc = PTR_ERR(huge);
	}
	if (!rc)
		trace_bmem_attach(client->who.id, chunk->index, chunk->huge);
	return rc;
}

/**
 * bmem_attach_base() - give a chunk base pages
 * @client: client, locked
 * @chunk: of bmem_chunk_fill_base()
 * @first: the first that is to be there
 * @n: how many are
 *
 * Return: 0, -ENOSPC, -ENOMEM or -EINTR.
 */
int bmem_attach_base(struct bmem_client *client, struct bmem_chunk *chunk,
		     u32 first, u32 n)
{
	struct page *p;
	u32 i;

	for (i = first; i < first + n; i++) {
		/* Copied when the chunk was unshared, to zero another tensor. */
		if (chunk->base[i])
			continue;
		p = bmem_pool_take_base(client->pool);
		if (IS_ERR(p))
			return PTR_ERR(p);
		xa_lock(&client->chunks);
		chunk->base[i] = p;
		xa_unlock(&client->chunks);
		chunk->nr_base++;
		bmem_count_attached(client, 1, true);
	}
	return 0;
}

/**
 * bmem_backing_attach() - put memory behind a span
 * @client: client, locked
 * @page: first page of the span, prepared
 * @pages: its length
 *
 * Return: 0; -ENOSPC, -ENOMEM or -EINTR, and the caller frees the span and
 * calls bmem_backing_release() for it.
 */
int bmem_backing_attach(struct bmem_client *client, u32 page, u32 pages)
{
	struct part p = range_parts(page, pages);
	int rc = 0;

	lockdep_assert_held(&client->lock);
	while (!rc && next_part(&p)) {
		struct bmem_chunk *chunk = xa_load(&client->chunks, p.index);

		if (fatal_signal_pending(current))
			return -EINTR;
		if (chunk_hollow(chunk))
			rc = bmem_chunk_fill(client, chunk);
		if (!rc && chunk->base)
			rc = bmem_attach_base(client, chunk, p.first, p.n);
		cond_resched();
	}
	return rc;
}

static int zero_part(struct bmem_client *client, struct bmem_chunk *chunk,
		     u32 first, u32 n)
{
	bool touched;
	int rc;
	u32 i;

	xa_lock(&client->chunks);
	touched = chunk->touched;
	xa_unlock(&client->chunks);
	/* One that is shared has been mapped. */
	rc = bmem_chunk_unshare(client, chunk);
	if (rc)
		return rc;
	for (i = first; i < first + n; i++)
		if (touched || test_bit(i, chunk->soiled))
			clear_highpage(chunk_page(chunk, i));
	return 0;
}

/**
 * bmem_backing_zero() - make a span read as zeroes
 * @client: client, locked
 * @page: first page of the span
 * @pages: its length
 *
 * Only what the program could have written since it was attached is written
 * to.
 *
 * Return: 0; -EINTR; -ENOMEM or -EHWPOISON for what would have to be copied
 * first, since clients share it.
 */
int bmem_backing_zero(struct bmem_client *client, u32 page, u32 pages)
{
	struct part p = range_parts(page, pages);
	int rc = 0;

	lockdep_assert_held(&client->lock);
	while (!rc && next_part(&p)) {
		struct bmem_chunk *chunk = xa_load(&client->chunks, p.index);

		rc = zero_part(client, chunk, p.first, p.n);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return rc;
}

/**
 * bmem_backing_soil() - note that a span's pages may be written from now on
 * @client: client, locked
 * @page: first page of the span
 * @pages: its length
 */
void bmem_backing_soil(struct bmem_client *client, u32 page, u32 pages)
{
	struct part p = range_parts(page, pages);

	lockdep_assert_held(&client->lock);
	while (next_part(&p)) {
		struct bmem_chunk *chunk = xa_load(&client->chunks, p.index);

		bitmap_set(chunk->soiled, p.first, p.n);
		/* What is alone in it and goes on in the next. */
		if (p.n == BMEM_HUGE_PAGES && pages > p.n && chunk->huge &&
		    !chunk->share && !chunk->unsure)
			bmem_around_mark(client, chunk->huge);
		cond_resched();
	}
}

/* ---- release ----------------------------------------------------------------- */

/**
 * bmem_chunk_remove() - there is nothing behind a chunk any more
 * @client: client, locked
 * @chunk: whose pages, and share, are somebody else's by now
 */
void bmem_chunk_remove(struct bmem_client *client, struct bmem_chunk *chunk)
{
	xa_erase(&client->chunks, chunk->index);
	bmem_window_remove(&client->span_map, chunk->index);
	client->nr_chunks--;
	if (chunk->base)
		client->nr_base_chunks--;
	kfree(chunk->base);
	kfree(chunk);
}

static void detach_hollow(struct bmem_client *client, struct bmem_chunk *chunk)
{
	if (place_chunk_empty(&client->place, chunk->index))
		bmem_chunk_remove(client, chunk);
}

static void unmap_pages(struct bmem_client *client, u64 page, u64 n)
{
	unmap_mapping_range(client->inode->i_mapping, bmem_bytes(page),
			    bmem_bytes(n), 1);
}

/**
 * bmem_chunk_unmap() - take a part of a chunk out of all mappings
 * @client: client, locked
 * @chunk: chunk
 * @first: first page in it
 * @n: how many
 */
void bmem_chunk_unmap(struct bmem_client *client,
		      const struct bmem_chunk *chunk, u32 first, u32 n)
{
	unmap_pages(client, (u64)chunk->index * BMEM_HUGE_PAGES + first, n);
}

/**
 * bmem_page_settle() - the table has changed: nobody maps a page any more
 * @p: page that has left it, or may not be mapped as before
 *
 * Whoever found a page in the table before it left, and has it locked, maps
 * it yet, and so does whoever found it marked.  After this nobody does.
 */
void bmem_page_settle(struct page *p)
{
	lock_page(p);
	bmem_around_unmark(p);
	unlock_page(p);
}

/* Chunks that leave together, so that a range of them is unmapped at once. */
#define LEAVE_MAX	64U

/**
 * struct leaving - huge pages on their way out
 * @gone: the pages, out of the table
 * @first: number of the first one's chunk
 * @n: how many there are, in a row
 * @settled: nobody is about to map them
 * @tries: how often those that somebody has are waited for yet, of one call all
 *	together: the client is locked meanwhile, and its memory kept from others
 * @escaped: pages that somebody still had
 */
struct leaving {
	struct list_head gone;
	u32 first;
	u32 n;
	bool settled;
	unsigned int tries;
	unsigned long escaped;
};

#define LEAVING_NONE(name) {						\
	.gone = LIST_HEAD_INIT((name).gone),				\
	.tries = BMEM_IDLE_TRIES,					\
}

static void leave_now(struct bmem_client *client, struct leaving *l)
{
	struct page *p;

	if (!l->n)
		return;
	if (!l->settled)
		list_for_each_entry(p, &l->gone, lru)
			bmem_page_settle(p);
	unmap_pages(client, (u64)l->first * BMEM_HUGE_PAGES,
		    (u64)l->n * BMEM_HUGE_PAGES);
	/* A fault nearby that looked at it is soon done; a pin is not. */
	list_for_each_entry(p, &l->gone, lru)
		bmem_page_idle(p, &l->tries);
	l->escaped += bmem_give_pages(client, &l->gone);
	l->n = 0;
	cond_resched();
}

/* Takes a chunk's huge page out of the table; it is gone by leave_now(). */
static void leave(struct bmem_client *client, struct bmem_chunk *chunk,
		  struct leaving *l)
{
	/* Others have it yet. */
	if (bmem_chunk_leave(client, chunk))
		return;
	if (l->n == LEAVE_MAX || chunk->index != l->first + l->n)
		leave_now(client, l);
	if (!l->n)
		l->first = chunk->index;
	l->n++;
	chunk_uncache(client, chunk);
	list_add_tail(&chunk->huge->lru, &l->gone);
	trace_bmem_detach(client->who.id, chunk->index, true);
	bmem_chunk_remove(client, chunk);
}

/* Takes base pages out of the table, to @gone. */
static void remove_base(struct bmem_client *client, struct bmem_chunk *chunk,
			u32 first, u32 n, struct list_head *gone)
{
	u32 i;

	xa_lock(&client->chunks);
	for (i = first; i < first + n; i++) {
		if (!chunk->base[i])
			continue;
		list_add_tail(&chunk->base[i]->lru, gone);
		chunk->base[i] = NULL;
		chunk->nr_base--;
	}
	xa_unlock(&client->chunks);
}

static void detach_base(struct bmem_client *client, struct bmem_chunk *chunk,
			u32 first, u32 n)
{
	struct page *p;
	LIST_HEAD(gone);

	remove_base(client, chunk, first, n, &gone);
	list_for_each_entry(p, &gone, lru)
		bmem_page_settle(p);
	bmem_chunk_unmap(client, chunk, first, n);
	bmem_give_pages(client, &gone);
	bitmap_clear(chunk->soiled, first, n);
	if (chunk->nr_base)
		return;
	trace_bmem_detach(client->who.id, chunk->index, false);
	bmem_chunk_remove(client, chunk);
}

/* The part of what a client has ever held that it may keep for its next. */
#define CACHE_SHARE	8

/**
 * bmem_backing_cache_room() - how many empty chunks may stay
 * @client: client
 *
 * Return: chunks.
 */
unsigned long bmem_backing_cache_room(const struct bmem_client *client)
{
	unsigned long share = client->peak_attached / CACHE_SHARE /
			      BMEM_HUGE_PAGES;

	if (client->cache_fixed)
		return client->cache_max;
	return min(max(share, 1UL), client->cache_max);
}

/* Unmapping so many is its owner's business, not the worker's, nor reclaim's. */
#define CLEANUP_MAPS_MAX	128

static void release_huge(struct bmem_client *client, struct bmem_chunk *chunk,
			 struct leaving *l)
{
	/* A call that failed may have stopped before a chunk that is cached. */
	if (!place_chunk_empty(&client->place, chunk->index) ||
	    !list_empty(&chunk->cached))
		return;
	/* Never soiled: attached by a call that failed, which leaves nothing. */
	if (bmem_chunk_shared(chunk) ||
	    bitmap_empty(chunk->soiled, BMEM_HUGE_PAGES) ||
	    bmem_page_poisoned(chunk->huge, BMEM_HUGE_PAGES) ||
	    atomic_read(&client->maps) > CLEANUP_MAPS_MAX) {
		leave(client, chunk, l);
		return;
	}
	/* Reclaim takes none of which it would have to ask who has it. */
	bmem_chunk_settle(client, chunk);
	chunk_keep(client, chunk, bmem_pool_pressed(client->pool) ||
		   client->nr_cached >= bmem_backing_cache_room(client));
}

/**
 * bmem_backing_release() - a span is gone
 * @client: client, locked
 * @page: first page of the former span
 * @pages: its length
 */
void bmem_backing_release(struct bmem_client *client, u32 page, u32 pages)
{
	struct part p = range_parts(page, pages);
	struct leaving l = LEAVING_NONE(l);

	lockdep_assert_held(&client->lock);
	while (next_part(&p)) {
		struct bmem_chunk *chunk = xa_load(&client->chunks, p.index);

		/* A call that failed may have stopped before this one. */
		if (!chunk)
			continue;
		if (chunk->huge)
			release_huge(client, chunk, &l);
		else if (chunk->base)
			detach_base(client, chunk, p.first, p.n);
		else
			detach_hollow(client, chunk);
		cond_resched();
	}
	leave_now(client, &l);
}

/* The oldest of a list leave, while it is longer than @keep; at most @chunks. */
static unsigned long leave_oldest(struct bmem_client *client,
				  struct list_head *list, unsigned long *nr,
				  unsigned long keep, unsigned long chunks)
{
	struct leaving l = LEAVING_NONE(l);
	unsigned long pages = 0;

	lockdep_assert_held(&client->lock);
	while (*nr > keep && chunks--) {
		leave(client, list_first_entry(list, struct bmem_chunk, cached),
		      &l);
		pages += BMEM_HUGE_PAGES;
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	leave_now(client, &l);
	return pages;
}

/**
 * bmem_backing_flush() - give back chunks that are queued
 * @client: client, locked
 * @chunks: how many at most
 *
 * A fatal signal ends it.
 *
 * Return: how many pages went back.
 */
unsigned long bmem_backing_flush(struct bmem_client *client,
				 unsigned long chunks)
{
	return leave_oldest(client, &client->queued, &client->nr_queued, 0,
			    chunks);
}

/**
 * bmem_backing_trim() - give back chunks that hold no span
 * @client: client, locked
 * @keep: how many may stay of those that are cached; none that is queued does
 *
 * A fatal signal ends it.
 *
 * Return: how many pages went back.
 */
unsigned long bmem_backing_trim(struct bmem_client *client, unsigned long keep)
{
	unsigned long pages = bmem_backing_flush(client, ULONG_MAX);

	return pages + leave_oldest(client, &client->cached,
				    &client->nr_cached, keep, ULONG_MAX);
}

/* False when somebody has one of the pages locked. */
static bool reclaim_chunk(struct bmem_client *client, struct bmem_chunk *chunk,
			  struct leaving *l)
{
	struct page *huge = chunk->huge;

	/* An empty chunk is in no clone, and was settled when it was kept. */
	if (chunk->share || !trylock_page(huge))
		return false;
	if (!bmem_window_try_remove(&client->span_map, chunk->index)) {
		unlock_page(huge);
		return false;
	}
	leave(client, chunk, l);
	bmem_around_unmark(huge);
	unlock_page(huge);
	return true;
}

static unsigned long reclaim_list(struct bmem_client *client,
				  struct list_head *list, unsigned long pages,
				  struct leaving *l)
{
	struct bmem_chunk *chunk, *next;
	unsigned long got = 0;

	list_for_each_entry_safe(chunk, next, list, cached) {
		if (got >= pages)
			break;
		if (chunk->surplus && reclaim_chunk(client, chunk, l))
			got += BMEM_HUGE_PAGES;
	}
	return got;
}

/**
 * bmem_backing_reclaim() - give back to the system what holds no span
 * @client: client, locked
 * @pages: how many are wanted
 * @tries: as for bmem_page_idle()
 *
 * For reclaim, whose caller may hold a page's lock: waits for none, and takes
 * no memory.  Nothing of a client with many mappings.
 *
 * Return: how many pages went back, but for those that somebody has yet.
 */
unsigned long bmem_backing_reclaim(struct bmem_client *client,
				   unsigned long pages, unsigned int *tries)
{
	struct leaving l = LEAVING_NONE(l);
	unsigned long got;

	lockdep_assert_held(&client->lock);
	/* Whoever is short of memory does not wait for what another has mapped. */
	if (atomic_read(&client->maps) > CLEANUP_MAPS_MAX)
		return 0;
	l.settled = true;
	l.tries = *tries;
	got = reclaim_list(client, &client->queued, pages, &l);
	if (got < pages)
		got += reclaim_list(client, &client->cached, pages - got, &l);
	leave_now(client, &l);
	*tries = l.tries;
	return got - l.escaped;
}

/**
 * bmem_backing_destroy() - give back everything
 * @client: client, locked, with no mapping left
 */
void bmem_backing_destroy(struct bmem_client *client)
{
	struct leaving l = LEAVING_NONE(l);
	struct bmem_chunk *chunk;
	unsigned long index;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->chunks, index, chunk) {
		if (chunk->huge)
			leave(client, chunk, &l);
		else if (chunk_hollow(chunk))
			bmem_chunk_remove(client, chunk);
		else
			detach_base(client, chunk, 0, BMEM_HUGE_PAGES);
		cond_resched();
	}
	leave_now(client, &l);
	xa_destroy(&client->chunks);
}

/* ---- promote ------------------------------------------------------------------- */

/* How long a page that nobody can map any more is waited for, each time. */
#define IDLE_US		100

/**
 * bmem_page_idle() - has a page that nobody can map no other reference?
 * @p: page with one reference, the caller's
 * @tries: how often it is waited for, counted down
 *
 * Those who waited for the page's lock hold a reference for a moment yet.  One
 * that stays is a pin.
 *
 * Return: true when there is none.
 */
bool bmem_page_idle(struct page *p, unsigned int *tries)
{
	while (page_count(p) != 1) {
		if (!*tries)
			return false;
		--*tries;
		usleep_range(IDLE_US, 2 * IDLE_US);
	}
	return true;
}

static bool page_idle(struct page *p)
{
	unsigned int tries = BMEM_IDLE_TRIES;

	return bmem_page_idle(p, &tries);
}

static bool base_pages_idle(struct page **base)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++) {
		if (!base[i])
			continue;
		/* A poisoned page cannot be read. */
		if (PageHWPoison(base[i]) || !page_idle(base[i]))
			return false;
		if (fatal_signal_pending(current))
			return false;
	}
	return true;
}

static void base_pages_settle(struct page **base)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++)
		if (base[i])
			bmem_page_settle(base[i]);
}

static void base_pages_copy(struct page *huge, struct page **base)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++) {
		if (base[i])
			copy_highpage(huge + i, base[i]);
		if (i % 16 == 15)
			cond_resched();
	}
}

static void base_pages_give(struct bmem_client *client, struct page **base)
{
	LIST_HEAD(gone);

	bmem_base_pages_list(base, &gone);
	bmem_give_pages(client, &gone);
}

/*
 * An ALLOC that is yet to tell its caller may be undone, and then nothing says
 * that somebody may have written to its pages.
 */
static void soil_base(struct bmem_chunk *chunk)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++)
		if (chunk->base[i])
			__set_bit(i, chunk->soiled);
}

static void chunk_promoted(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct page **base = chunk->base;

	soil_base(chunk);
	xa_lock(&client->chunks);
	chunk->base = NULL;
	xa_unlock(&client->chunks);
	base_pages_give(client, base);
	kfree(base);
	chunk->nr_base = 0;
	client->nr_base_chunks--;
	client->promoted++;
	bmem_count_attached(client, BMEM_HUGE_PAGES, false);
	bmem_pool_count_promotion(client->pool);
	trace_bmem_promote(client->who.id, chunk->index);
}

/**
 * bmem_backing_promote() - move a chunk from base pages to a huge page
 * @client: client, locked
 * @index: number of the chunk
 *
 * The huge page is in the table, locked, before the base pages are unmapped:
 * whoever touches them from then on waits for its lock, and a reference to a
 * base page is a pin.
 *
 * Return: 0, also when there is nothing to do; -EBUSY while a page is pinned;
 * -ENOSPC, -ENOMEM or -EINTR.
 */
int bmem_backing_promote(struct bmem_client *client, unsigned long index)
{
	struct bmem_chunk *chunk = xa_load(&client->chunks, index);
	struct page *huge;
	LIST_HEAD(gone);
	bool idle;

	lockdep_assert_held(&client->lock);
	if (!chunk || !chunk->base)
		return 0;
	huge = bmem_pool_take(client->pool);
	if (IS_ERR(huge))
		return PTR_ERR(huge);

	lock_page(huge);
	bmem_chunk_set_huge(client, chunk, huge);
	base_pages_settle(chunk->base);
	bmem_chunk_unmap(client, chunk, 0, BMEM_HUGE_PAGES);
	idle = base_pages_idle(chunk->base);
	if (idle)
		base_pages_copy(huge, chunk->base);
	else
		bmem_chunk_set_huge(client, chunk, NULL);
	unlock_page(huge);

	if (idle) {
		chunk_promoted(client, chunk);
		return 0;
	}
	page_idle(huge);
	list_add(&huge->lru, &gone);
	bmem_pool_give(client->pool, &gone);
	return -EBUSY;
}
