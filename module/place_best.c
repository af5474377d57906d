// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Best fit: the shortest free run that a span fits into.
 *
 * An arena of a million spans may have as many runs, so only the lowest
 * PLACE_BEST_RUNS that are long enough are compared: one tree walk to find each
 * and one to its end.  Runs that are too short cost nothing, for no node whose
 * longest is too short is entered, and an exact fit ends the search.  With
 * fewer runs than that in the arena the answer is the true best fit.
 */
#include "place_find.h"

/**
 * place_find_best() - the shortest run that holds a span
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
	u32 end = pl->chunks * PLACE_CHUNK_PAGES;
	u32 best = PLACE_NONE, best_pages = ~0U;
	u32 from, start, fit, tries;

	for (from = 0, tries = 0; from < end; tries++) {
		if (tries == PLACE_BEST_RUNS) {
			if (best == PLACE_NONE)
				return place_find_roomy(pl, pages, align);
			return best;
		}
		start = place_find_run(pl, from, pages);
		if (start == PLACE_NONE)
			return best;
		from = place_run_end(pl, start + pages - 1);
		fit = place_align_up(start, align);
		if (fit + pages > from || from - start >= best_pages)
			continue;
		best = fit;
		best_pages = from - start;
		if (best_pages == pages)
			return best;
	}
	return best;
}
