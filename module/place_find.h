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

u32 place_find_run(struct place *pl, u32 from, u32 pages);
u32 place_run_end(struct place *pl, u32 page);
u32 place_find_aligned(struct place *pl, u32 pages, u32 align);
u32 place_find_roomy(struct place *pl, u32 pages, u32 align);
u32 place_find_best(struct place *pl, u32 pages, u32 align);
u32 place_find_buddy(struct place *pl, u32 pages, u32 align);
u32 place_buddy_pages(u32 pages);

#endif /* BMEM_PLACE_FIND_H */
