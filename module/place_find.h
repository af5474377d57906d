/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * What the policies of place share: searches of an arena's tables, for place.c
 * and place_*.c only.
 */
#ifndef BMEM_PLACE_FIND_H
#define BMEM_PLACE_FIND_H

#include "place.h"

/*
 * With an alignment above one page, the lowest run that is long enough may
 * still not hold an aligned span.  So many runs are tried before one is asked
 * for that is long enough wherever it starts.
 */
#define PLACE_ALIGN_TRIES	16

/* No page. */
#define PLACE_NONE		(~0U)

static inline u32 place_align_up(u32 page, u32 align)
{
	return (page + align - 1) & ~(align - 1);
}

/**
 * struct place_holes - the free runs of a chunk, one after the other
 * @map: the chunk's words
 * @word: the one that is looked at
 * @used: what it says, but that what lies behind counts as used
 * @start: the run's first page
 * @end: the page behind it
 */
struct place_holes {
	const u64 *map;
	const u64 *word;
	u64 used;
	u32 start;
	u32 end;
};

/* Those from page @from on. */
static inline void place_holes_from(struct place_holes *h, const u64 *map,
				    u32 from)
{
	h->map = map;
	h->word = map + from / 64;
	h->used = *h->word | ((1ULL << (from % 64)) - 1);
}

/* The page of the lowest of some bits of the word. */
static inline u32 place_hole_page(const struct place_holes *h, u64 bits)
{
	return (u32)(h->word - h->map) * 64 + (u32)__builtin_ctzll(bits);
}

/* False if there is no further one.  Looks at each word once. */
static inline bool place_hole_next(struct place_holes *h)
{
	const u64 *last = h->map + PLACE_CHUNK_WORDS - 1;

	while (!~h->used) {
		if (h->word == last)
			return false;
		h->used = *++h->word;
	}
	h->start = place_hole_page(h, ~h->used);
	h->used &= h->used + 1;
	while (!h->used) {
		if (h->word == last) {
			h->end = PLACE_CHUNK_PAGES;
			h->used = ~0ULL;
			return true;
		}
		h->used = *++h->word;
	}
	h->end = place_hole_page(h, h->used);
	h->used |= h->used - 1;
	return true;
}

u32 place_find_run(struct place *pl, u32 from, u32 pages);
u32 place_find_on(struct place *pl, u32 chunk, u32 carry, u32 pages, u32 *end);
u32 place_run_end(struct place *pl, u32 at);
u32 place_find_aligned(struct place *pl, u32 pages, u32 align);
u32 place_find_roomy(struct place *pl, u32 pages, u32 align);
u32 place_find_best(struct place *pl, u32 pages, u32 align);
u32 place_find_buddy(struct place *pl, u32 pages, u32 align);
u32 place_buddy_pages(u32 pages);

#endif /* BMEM_PLACE_FIND_H */
