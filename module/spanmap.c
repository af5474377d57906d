// SPDX-License-Identifier: GPL-2.0-only
/*
 * The span map: from a page of the arena to its span, for the process.
 *
 * A page of the map is about one chunk of the arena, and there while that is.
 */
#include "bmem_private.h"

static_assert(PAGE_SIZE / sizeof(u64) == PLACE_CHUNK_PAGES);

static u64 *entry_at(struct bmem_client *client, u32 page)
{
	u64 *entries = bmem_window_at(&client->span_map,
				      page / PLACE_CHUNK_PAGES);

	return entries + page % PLACE_CHUNK_PAGES;
}

/**
 * bmem_span_map_init() - an empty span map
 * @client: client
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_span_map_init(struct bmem_client *client)
{
	bmem_window_init(&client->span_map, client, BMEM_SPANS_OFFSET);
	client->span_map.empty = alloc_page(GFP_BMEM_META | __GFP_ZERO);
	return client->span_map.empty ? 0 : -ENOMEM;
}

/**
 * bmem_span_map_prepare() - make room for the entries of some pages
 * @client: client, locked
 * @page: the first, prepared in the backing
 * @pages: how many will be set, at most as many as a chunk has
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_span_map_prepare(struct bmem_client *client, u32 page, u32 pages)
{
	u32 first = page / PLACE_CHUNK_PAGES;
	u32 last = (page + pages - 1) / PLACE_CHUNK_PAGES;

	if (!bmem_window_add(&client->span_map, first) ||
	    !bmem_window_add(&client->span_map, last))
		return -ENOMEM;
	return 0;
}

/**
 * bmem_span_map_set() - set an entry
 * @client: client, locked
 * @page: page whose entry there is room for
 * @entry: as in the ABI
 */
void bmem_span_map_set(struct bmem_client *client, u32 page, u64 entry)
{
	WRITE_ONCE(*entry_at(client, page), entry);
}
