// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Best fit: the free run that a span fits into best.
 *
 * What counts first is how many empty chunks the span would make part of: each
 * costs a huge page, and one that is left empty can be given back.  Then the
 * shortest run wins.  In a run the span goes to its beginning or, where that
 * saves an empty chunk, to its end.
 *
 * An arena of a million spans may have as many runs, so only the lowest
 * PLACE_BEST_RUNS that are long enough are compared: one look at the words of a
 * chunk that has some within, and one tree walk to the next chunk that has, or
 * to a run across chunks.  Runs that are too short cost nothing, for no node
 * whose longest is too short is entered, and an exact fit in chunks that are in
 * use ends the search.  With fewer runs than that in the arena the answer is the
 * true best fit.
 */
#include "place_find.h"

/* How many empty chunks a free run is in; those that it fills are empty. */
static u32 empty_chunks(struct place *pl, u32 start, u32 pages)
{
	u32 first = start / PLACE_CHUNK_PAGES;
	u32 last = (start + pages - 1) / PLACE_CHUNK_PAGES;
	u32 n = place_chunk_empty(pl, first);

	pl->steps += 2;
	if (last > first)
		n += last - first - 1 + place_chunk_empty(pl, last);
	return n;
}

/**
 * struct place_fit - a place for a span
 * @start: first page, %PLACE_NONE for no place
 * @empty: empty chunks that it would be in
 * @run: length of the free run that it is in
 */
struct place_fit {
	u32 start;
	u32 empty;
	u32 run;
};

/* Is there anything that a run of a length can be better in? */
static inline bool run_better(const struct place_fit *best, u32 run)
{
	return best->empty || run < best->run;
}

static void fit_try(struct place *pl, struct place_fit *best, u32 start,
		    u32 pages, u32 run)
{
	/* A shorter run has no whole chunk in it. */
	u32 empty = run < PLACE_CHUNK_PAGES ? 0 :
		    empty_chunks(pl, start, pages);

	if (empty > best->empty || (empty == best->empty && run >= best->run))
		return;
	best->start = start;
	best->empty = empty;
	best->run = run;
}

/* The run from @from up to @to, the end of all if there is nothing behind. */
static void run_try(struct place *pl, struct place_fit *best, u32 from, u32 to,
		    u32 pages, u32 align)
{
	u32 start = place_align_up(from, align), run = to - from;

	if (start + pages > to)
		return;
	fit_try(pl, best, start, pages, run);
	/* Behind the last span there is no end worth going to. */
	if (run_better(best, run) && to < pl->chunks * PLACE_CHUNK_PAGES)
		fit_try(pl, best, (to - pages) & ~(align - 1), pages, run);
}

/* Nothing is better than that. */
static inline bool fit_exact(const struct place_fit *best, u32 pages)
{
	return best->run == pages && !best->empty;
}

/* The inner runs of a chunk, not more than @tries; returns how many may follow. */
static inline u32 chunk_try(struct place *pl, struct place_fit *best, u32 chunk,
			    u32 pages, u32 align, u32 tries)
{
	u32 at = chunk * PLACE_CHUNK_PAGES, run;
	u32 head = pl->tree[pl->chunks + chunk].head;
	struct place_holes h;

	pl->steps += PLACE_CHUNK_WORDS - head / 64;
	place_holes_from(&h, place_chunk_map(pl, chunk), head);
	while (place_hole_next(&h) && h.end < PLACE_CHUNK_PAGES) {
		run = h.end - h.start;
		if (run < pages)
			continue;
		if (run_better(best, run))
			run_try(pl, best, at + h.start, at + h.end, pages,
				align);
		if (!--tries || fit_exact(best, pages))
			return 0;
	}
	return tries;
}

/**
 * place_find_best() - the best place for a span
 * @pl: arena
 * @pages: length
 * @align: a power of two up to %PLACE_CHUNK_PAGES
 *
 * Return: the span's first page; where the runs compared hold no aligned span,
 * one in a run that is long enough for any alignment; %PLACE_NONE if there is
 * none.
 */
u32 place_find_best(struct place *pl, u32 pages, u32 align)
{
	struct place_fit best = { PLACE_NONE, ~0U, ~0U };
	u32 tries = PLACE_BEST_RUNS, start = 0, end, chunk;
	const struct place_run *run = &pl->tree[pl->chunks];

	end = run->head < pages ? 0 : run->head;
	for (;;) {
		if (end > start) {
			if (end % PLACE_CHUNK_PAGES == 0)
				end = place_run_end(pl, end);
			if (run_better(&best, end - start))
				run_try(pl, &best, start, end, pages, align);
			if (end == pl->chunks * PLACE_CHUNK_PAGES)
				return best.start;
			if (!--tries || fit_exact(&best, pages))
				break;
		}
		chunk = end / PLACE_CHUNK_PAGES;
		run = &pl->tree[pl->chunks + chunk];
		pl->steps++;
		if (run->inner >= pages)
			tries = chunk_try(pl, &best, chunk, pages, align,
					  tries);
		if (!tries)
			break;
		start = place_find_on(pl, chunk, run->tail, pages, &end);
		if (start == PLACE_NONE)
			return best.start;
	}
	if (best.start == PLACE_NONE)
		return place_find_roomy(pl, pages, align);
	return best.start;
}
