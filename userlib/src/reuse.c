// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Where a tensor goes that would need new chunks while others are cached: into
 * those, as far as it fits.
 *
 * Placement knows which chunks are empty, not which of them have memory.  What
 * it finds is looked at again only when it needs new chunks, each of which
 * takes much longer than all that is done here.
 */
#include "arena.h"

/* So many places are compared; each takes time in proportion to its chunks. */
#define TRIES_MAX	64

/**
 * struct spot - the best place so far
 * @start: first page
 * @missing: chunks there that have no memory
 * @empty: chunks there that nothing else is in
 * @tries: how many places may still be looked at
 */
struct spot {
	uint32_t start;
	uint32_t missing;
	uint32_t empty;
	uint32_t tries;
};

static void spot_try(const struct arena *a, struct spot *best, uint32_t start,
		     uint32_t pages)
{
	uint32_t chunk = start / PLACE_CHUNK_PAGES;
	uint32_t last = (start + pages - 1) / PLACE_CHUNK_PAGES;
	uint32_t missing = 0, empty = 0;

	if (!best->tries)
		return;
	best->tries--;
	for (; chunk <= last && missing <= best->missing; chunk++) {
		missing += chunk_absent(a, chunk);
		empty += place_chunk_empty(&a->books->place, chunk);
	}
	if (missing > best->missing ||
	    (missing == best->missing && empty >= best->empty))
		return;
	best->start = start;
	best->missing = missing;
	best->empty = empty;
}

/**
 * struct gap - a free run with whole chunks in it
 * @from: first page
 * @to: the page behind it
 * @first: first chunk that is empty
 * @end: the chunk behind the last one
 */
struct gap {
	uint32_t from;
	uint32_t to;
	uint32_t first;
	uint32_t end;
};

/* Find the next gap from a chunk on; false if there is none. */
static bool gap_next(const struct place *pl, uint32_t chunk, struct gap *g)
{
	const struct place_run *runs = pl->tree + pl->chunks;

	while (chunk < pl->chunks && !place_chunk_empty(pl, chunk))
		chunk++;
	g->first = chunk;
	while (chunk < pl->chunks && place_chunk_empty(pl, chunk))
		chunk++;
	g->end = chunk;
	if (g->first == g->end)
		return false;
	g->from = g->first * PLACE_CHUNK_PAGES;
	g->to = g->end * PLACE_CHUNK_PAGES;
	if (g->first)
		g->from -= runs[g->first - 1].tail;
	if (g->end < pl->chunks)
		g->to += runs[g->end].head;
	return true;
}

static void gap_try(const struct arena *a, struct spot *best,
		    const struct gap *g, uint32_t pages, uint32_t align)
{
	uint32_t chunk, start;

	for (chunk = g->first; chunk < g->end; chunk++) {
		if (chunk_absent(a, chunk))
			continue;
		/* From its beginning on, and up to its end. */
		start = chunk * PLACE_CHUNK_PAGES;
		if (start + pages <= g->to)
			spot_try(a, best, start, pages);
		start += PLACE_CHUNK_PAGES;
		if (start >= g->from + pages) {
			start = (start - pages) & ~(align - 1);
			if (start >= g->from)
				spot_try(a, best, start, pages);
		}
	}
	start = (g->from + align - 1) & ~(align - 1);
	if (start + pages <= g->to)
		spot_try(a, best, start, pages);
	start = (g->to - pages) & ~(align - 1);
	if (g->to >= pages && start >= g->from)
		spot_try(a, best, start, pages);
}

/**
 * run_reuse() - move a run that was just placed to where memory is
 * @a: arena
 * @start: its first page
 * @pages: its length
 * @align: in pages, a power of two up to %PLACE_CHUNK_PAGES
 *
 * Return: its first page now.
 */
uint32_t run_reuse(struct arena *a, uint32_t start, uint32_t pages,
		   uint32_t align)
{
	struct spot best = { .start = start, .tries = TRIES_MAX };
	struct place *pl = &a->books->place;
	struct gap g = { 0 };
	uint32_t chunk;

	if (!a->books->st.cached_bytes)
		return start;
	for (chunk = start / PLACE_CHUNK_PAGES;
	     chunk <= (start + pages - 1) / PLACE_CHUNK_PAGES; chunk++)
		best.missing += chunk_absent(a, chunk);
	if (!best.missing)
		return start;
	place_free(pl, start, pages);
	while (best.tries && gap_next(pl, g.end, &g))
		gap_try(a, &best, &g, pages, align);
	(void)place_take(pl, best.start, pages);
	return best.start;
}
