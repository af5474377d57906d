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
 * PLACE_BEST_RUNS that are long enough are compared: one tree walk to find each
 * and one to its end.  Runs that are too short cost nothing, for no node whose
 * longest is too short is entered, and an exact fit in chunks that are in use
 * ends the search.  With fewer runs than that in the arena the answer is the
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

static void fit_try(struct place *pl, struct place_fit *best, u32 start,
		    u32 pages, u32 run)
{
	u32 empty = empty_chunks(pl, start, pages);

	if (best->start != PLACE_NONE &&
	    (empty > best->empty ||
	     (empty == best->empty && run >= best->run)))
		return;
	best->start = start;
	best->empty = empty;
	best->run = run;
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
	struct place_fit best = { .start = PLACE_NONE };
	u32 end = pl->chunks * PLACE_CHUNK_PAGES;
	u32 from = 0, start, fit, run, tries;

	for (tries = 0; from < end && tries < PLACE_BEST_RUNS; tries++) {
		start = place_find_run(pl, from, pages);
		if (start == PLACE_NONE)
			return best.start;
		from = place_run_end(pl, start + pages - 1);
		run = from - start;
		fit = place_align_up(start, align);
		if (fit + pages > from)
			continue;
		fit_try(pl, &best, fit, pages, run);
		/* Behind the last span there is no end worth going to. */
		if (from < end)
			fit_try(pl, &best, (from - pages) & ~(align - 1),
				pages, run);
		if (best.run == pages && !best.empty)
			return best.start;
	}
	if (from < end && best.start == PLACE_NONE)
		return place_find_roomy(pl, pages, align);
	return best.start;
}
