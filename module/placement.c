// SPDX-License-Identifier: GPL-2.0-only
/*
 * Placement: where in its arena a client's tensors go, by the policy that the
 * client pinned, or by the one that serves its sizes best.
 *
 * A selector takes memory, so a client gets one when it holds enough for the
 * choice to matter; until then it is first fit, and for slab spans best fit.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "bmem_private.h"

/* Tables of an arena begin with so many chunks and double. */
#define ARENA_CHUNKS_MIN	16

/* A selector takes a thousandth of the memory that makes it worth while. */
#define SELECTOR_PAGES		(64UL << (20 - PAGE_SHIFT))
#define SELECTOR_CHUNKS		128
#define SELECTOR_ENTRIES	1024

/* By enum bmem_placement but for BMEM_PLACE_AUTO. */
static const enum place_policy pinned[] = {
	[BMEM_PLACE_FIRST] = PLACE_FIRST,
	[BMEM_PLACE_BEST] = PLACE_BEST,
	[BMEM_PLACE_BUDDY] = PLACE_BUDDY,
};

static u64 now_ms(void)
{
	return div_u64(ktime_get_coarse_boottime_ns(), NSEC_PER_MSEC);
}

/**
 * bmem_arena_place() - find room in the arena
 * @client: client, locked
 * @policy: where it goes
 * @pages: length
 * @align: in pages, a power of two
 * @page: out, the first page
 * @granted: out, the length
 *
 * Return: 0; -ENOSPC when the arena has no room; -ENOMEM.
 */
int bmem_arena_place(struct bmem_client *client, enum place_policy policy,
		     u32 pages, u32 align, u32 *page, u32 *granted)
{
	int rc;

	lockdep_assert_held(&client->lock);
	for (;;) {
		rc = place_alloc_by(&client->place, policy, pages, align, page,
				    granted);
		if (rc != -EAGAIN)
			return rc;
		rc = bmem_place_grow(&client->place, ARENA_CHUNKS_MIN);
		if (rc)
			return rc;
	}
}

/**
 * bmem_arena_take() - take certain pages of the arena, which nobody has
 * @client: client, locked
 * @page: the first
 * @pages: how many
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_arena_take(struct bmem_client *client, u32 page, u32 pages)
{
	int rc;

	lockdep_assert_held(&client->lock);
	for (;;) {
		rc = place_take(&client->place, page, pages);
		if (rc != -EAGAIN)
			return rc;
		rc = bmem_place_grow(&client->place, ARENA_CHUNKS_MIN);
		if (rc)
			return rc;
	}
}

/* Without memory it is done without, until the next tensor. */
static void selector_make(struct bmem_client *client)
{
	void *table = kvmalloc(selector_table_bytes(SELECTOR_CHUNKS,
						    SELECTOR_ENTRIES),
			       GFP_BMEM_META);
	struct selector *sel = kzalloc(sizeof(*sel), GFP_BMEM_META);

	if (!sel || !table ||
	    selector_init(sel, &client->place, table, SELECTOR_CHUNKS,
			  SELECTOR_ENTRIES, SELECTOR_EPOCH)) {
		kfree(sel);
		kvfree(table);
		return;
	}
	client->selector = sel;
}

/* Its shadows must hold a copy of the arena; without memory they stay empty. */
static void selector_follow(struct bmem_client *client)
{
	struct selector *sel = client->selector;
	u32 chunks = min_t(u32, client->place.chunks, SELECTOR_CHUNKS_MAX);
	void *table;

	if (chunks <= sel->chunks)
		return;
	table = kvmalloc(selector_table_bytes(chunks, SELECTOR_ENTRIES),
			 GFP_BMEM_META);
	if (table)
		kvfree(selector_grow(sel, table, chunks));
}

static enum place_policy policy_for(struct bmem_client *client, u32 pages)
{
	if (client->policy != BMEM_PLACE_AUTO)
		return pinned[client->policy];
	if (!client->selector && client->attached >= SELECTOR_PAGES)
		selector_make(client);
	if (client->selector)
		selector_follow(client);
	return client->selector ? selector_pick(client->selector, pages) :
				  PLACE_FIRST;
}

/**
 * bmem_placement_find() - find room for a tensor
 * @client: client, locked
 * @e: in, its length in pages; out, its place, and what it takes up
 * @align: in pages, a power of two
 *
 * Return: as bmem_arena_place().
 */
int bmem_placement_find(struct bmem_client *client, struct extent *e, u32 align)
{
	u32 pages = e->pages;
	enum place_policy policy = policy_for(client, pages);
	int rc;

	rc = bmem_arena_place(client, policy, pages, align, &e->page,
			      &e->pages);
	/* Nothing is refused for what rounding would have taken. */
	if (rc == -ENOSPC && policy != PLACE_FIRST)
		rc = bmem_arena_place(client, PLACE_FIRST, pages, align,
				      &e->page, &e->pages);
	return rc;
}

/**
 * bmem_placement_added() - an extent is in the arena to stay
 * @client: client, locked
 * @e: extent
 * @pages: length that it asked for
 * @align: in pages, that it asked for
 */
void bmem_placement_added(struct bmem_client *client, struct extent *e,
			  u32 pages, u32 align)
{
	e->tag = 0;
	if (client->selector)
		e->tag = selector_alloc(client->selector, now_ms(), pages,
					align);
}

/**
 * bmem_placement_removed() - an extent leaves the arena
 * @client: client, locked
 * @e: extent that was added
 */
void bmem_placement_removed(struct bmem_client *client, const struct extent *e)
{
	if (client->selector && client->selector->running)
		selector_free(client->selector, now_ms(), e->tag, e->page,
			      e->pages);
}

/**
 * bmem_placement_pin() - what the client asked for has changed
 * @client: client, locked
 */
void bmem_placement_pin(struct bmem_client *client)
{
	if (!client->selector)
		return;
	selector_pin(client->selector, client->policy == BMEM_PLACE_AUTO ?
		     SELECTOR_AUTO : pinned[client->policy]);
}

/**
 * bmem_placement_bytes() - memory for placement
 * @client: client; locked, or the figure may be a moment old
 *
 * Return: bytes.
 */
size_t bmem_placement_bytes(const struct bmem_client *client)
{
	size_t bytes = place_table_bytes(client->place.chunks);

	if (client->selector)
		bytes += sizeof(*client->selector) +
			 selector_table_bytes(client->selector->chunks,
					      SELECTOR_ENTRIES);
	return bytes;
}

/**
 * bmem_placement_free() - nobody looks at the client any more
 * @client: client
 */
void bmem_placement_free(struct bmem_client *client)
{
	if (client->selector)
		kvfree(client->selector->table);
	kfree(client->selector);
}

/**
 * bmem_placement_release() - the client is gone
 * @client: client, locked, with nothing in its arena
 *
 * The selector stays for those who look at its size without a lock.
 */
void bmem_placement_release(struct bmem_client *client)
{
	kvfree(place_table(&client->place));
	memset(&client->place, 0, sizeof(client->place));
}
