// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Buddy: spans of powers of two of pages at multiples of their length, so that
 * two neighbours of a length that become free make one of twice the length.
 *
 * No lists of free blocks are kept: the tree finds an aligned place, and
 * buddies join because a run is a run.  Above a chunk spans are whole chunks,
 * for a power of two would waste up to half of a large tensor.
 */
#include "place_find.h"

/**
 * place_buddy_pages() - the length of a buddy span
 * @pages: asked for: 1 to %PLACE_CHUNKS_MAX * %PLACE_CHUNK_PAGES
 *
 * Return: up to a chunk the next power of two, above it whole chunks.
 */
u32 place_buddy_pages(u32 pages)
{
	if (pages > PLACE_CHUNK_PAGES)
		return place_align_up(pages, PLACE_CHUNK_PAGES);
	return pages == 1 ? 1 : 2U << (31 - __builtin_clz(pages - 1));
}

/**
 * place_find_buddy() - the lowest place of a buddy span
 * @pl: arena
 * @pages: length, of place_buddy_pages()
 * @align: a power of two up to %PLACE_CHUNK_PAGES
 *
 * Return: its first page; %PLACE_NONE if place_find_aligned() finds none.
 */
u32 place_find_buddy(struct place *pl, u32 pages, u32 align)
{
	u32 own = pages < PLACE_CHUNK_PAGES ? pages : PLACE_CHUNK_PAGES;

	return place_find_aligned(pl, pages, align > own ? align : own);
}
