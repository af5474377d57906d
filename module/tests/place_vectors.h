/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * What place answers, step by step, on an arena of PLACE_VECTOR_CHUNKS chunks
 * that cannot grow.  The native tests and KUnit run the same.
 */
#ifndef BMEM_PLACE_VECTORS_H
#define BMEM_PLACE_VECTORS_H

#include "../place.h"

#define PLACE_VECTOR_CHUNKS	4

/**
 * struct place_step - one call and its answer
 * @policy: of an allocation; %PLACE_STEP_FREE to free what is at @start
 * @pages: length asked for; to free, length granted
 * @align: of an allocation
 * @ret: what place_alloc_by() returns
 * @start: first page
 * @granted: length granted
 */
struct place_step {
	int policy;
	u32 pages;
	u32 align;
	int ret;
	u32 start;
	u32 granted;
};

#define PLACE_STEP_FREE		(-1)

#define STEP(by, n, al, at, got)					\
	{ .policy = (by), .pages = (n), .align = (al), .start = (at),	\
	  .granted = (got) }
#define FAIL(by, n, al, err)						\
	{ .policy = (by), .pages = (n), .align = (al), .ret = -(err) }
#define FREE(at, n)							\
	{ .policy = PLACE_STEP_FREE, .pages = (n), .start = (at) }

static const struct place_step place_first_steps[] = {
	STEP(PLACE_FIRST, 538, 1, 0, 538),
	STEP(PLACE_FIRST, 538, 1, 538, 538),
	STEP(PLACE_FIRST, 1, 512, 1536, 1),
	STEP(PLACE_FIRST, 460, 1, 1076, 460),
	FREE(0, 538),
	STEP(PLACE_FIRST, 3, 1, 0, 3),
	STEP(PLACE_FIRST, 3, 8, 8, 3),
	STEP(PLACE_FIRST, 5, 1, 3, 5),
	FAIL(PLACE_FIRST, 528, 1, ENOSPC),
	STEP(PLACE_FIRST, 527, 1, 11, 527),
	STEP(PLACE_FIRST, 511, 1, 1537, 511),
	FAIL(PLACE_FIRST, 1, 1, ENOSPC),
	FAIL(PLACE_FIRST, 0, 1, EINVAL),
	FAIL(PLACE_FIRST, 1, 0, EINVAL),
	FAIL(PLACE_FIRST, 1, 3, EINVAL),
	FAIL(PLACE_FIRST, 1, 1024, EINVAL),
	FAIL(PLACE_FIRST, ~0U, 1, ENOSPC),
	FAIL(PLACE_POLICIES, 1, 1, EINVAL),
};

static const struct place_step place_best_steps[] = {
	/* Leaves holes of 100 at 0, 50 at 101, 20 at 152, 20 at 173. */
	STEP(PLACE_BEST, 100, 1, 0, 100),
	STEP(PLACE_BEST, 1, 1, 100, 1),
	STEP(PLACE_BEST, 50, 1, 101, 50),
	STEP(PLACE_BEST, 1, 1, 151, 1),
	STEP(PLACE_BEST, 20, 1, 152, 20),
	STEP(PLACE_BEST, 1, 1, 172, 1),
	STEP(PLACE_BEST, 20, 1, 173, 20),
	STEP(PLACE_BEST, 1, 1, 193, 1),
	FREE(0, 100),
	FREE(101, 50),
	FREE(152, 20),
	FREE(173, 20),
	/* The lowest of equals, then the shortest that fits. */
	STEP(PLACE_BEST, 19, 1, 152, 19),
	STEP(PLACE_BEST, 20, 1, 173, 20),
	STEP(PLACE_BEST, 30, 1, 101, 30),
	STEP(PLACE_BEST, 20, 1, 131, 20),
	STEP(PLACE_BEST, 60, 1, 0, 60),
	/* Shortest of those that hold it aligned. */
	STEP(PLACE_BEST, 8, 16, 64, 8),
	STEP(PLACE_BEST, 4, 64, 256, 4),
	/* Across chunks, and all that is left at the end. */
	STEP(PLACE_BEST, 1500, 1, 260, 1500),
	STEP(PLACE_BEST, 288, 1, 1760, 288),
	FAIL(PLACE_BEST, 63, 1, ENOSPC),
	STEP(PLACE_BEST, 62, 1, 194, 62),
	/* At the end of a run where its beginning is in an empty chunk. */
	FREE(260, 1500),
	STEP(PLACE_BEST, 252, 1, 260, 252),
	STEP(PLACE_BEST, 224, 1, 1536, 224),
	STEP(PLACE_BEST, 600, 1, 512, 600),
	FAIL(PLACE_BEST, 0, 1, EINVAL),
	FAIL(PLACE_BEST, PLACE_VECTOR_CHUNKS * 512 + 1, 1, ENOSPC),
};

static const struct place_step place_buddy_steps[] = {
	STEP(PLACE_BUDDY, 3, 1, 0, 4),
	STEP(PLACE_FIRST, 1, 1, 4, 1),
	STEP(PLACE_BUDDY, 5, 1, 8, 8),
	STEP(PLACE_BUDDY, 1, 1, 5, 1),
	STEP(PLACE_BUDDY, 2, 1, 6, 2),
	STEP(PLACE_BUDDY, 1, 32, 32, 1),
	STEP(PLACE_BUDDY, 16, 1, 16, 16),
	STEP(PLACE_BUDDY, 200, 1, 256, 256),
	STEP(PLACE_BUDDY, 513, 1, 512, 1024),
	STEP(PLACE_BUDDY, 512, 1, 1536, 512),
	FAIL(PLACE_BUDDY, 129, 1, ENOSPC),
	STEP(PLACE_BUDDY, 128, 1, 128, 128),
	STEP(PLACE_BEST, 95, 1, 33, 95),
	FAIL(PLACE_BUDDY, 1, 1, ENOSPC),
	/* Two neighbours join. */
	FREE(0, 4),
	FREE(4, 1),
	FREE(5, 1),
	FREE(6, 2),
	FREE(8, 8),
	STEP(PLACE_BUDDY, 9, 1, 0, 16),
	FAIL(PLACE_BUDDY, 2000, 1, ENOSPC),
	FAIL(PLACE_BUDDY, PLACE_VECTOR_CHUNKS * 512 + 1, 1, ENOSPC),
};

#undef STEP
#undef FAIL
#undef FREE

/*
 * Runs @nr steps on an empty arena with all its tables.  Return: @nr, or the
 * first step with another answer than expected; @got then holds that answer.
 */
static u32 place_run_steps(struct place *pl, const struct place_step *steps,
			   u32 nr, struct place_step *got)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		*got = steps[i];
		if (got->policy == PLACE_STEP_FREE) {
			place_free(pl, got->start, got->pages);
			continue;
		}
		got->start = 0;
		got->granted = 0;
		got->ret = place_alloc_by(pl, (enum place_policy)got->policy,
					  got->pages, got->align, &got->start,
					  &got->granted);
		if (got->ret != steps[i].ret ||
		    got->start != steps[i].start ||
		    got->granted != steps[i].granted)
			break;
	}
	return i;
}

#endif /* BMEM_PLACE_VECTORS_H */
