// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Placement (module/place.c) by itself.
 */
#include <errno.h>
#include <time.h>

#include "place_model.h"
#include "test.h"

static void init_range(void **state)
{
	struct place pl;

	(void)state;
	EQ(place_init(&pl, 0), -EINVAL);
	EQ(place_init(&pl, 3), -EINVAL);
	EQ(place_init(&pl, PLACE_CHUNKS_MAX + 1), -EINVAL);
	EQ(place_init(&pl, 2 * PLACE_CHUNKS_MAX), -EINVAL);
	EQ(place_init(&pl, 1), 0);
	EQ(place_init(&pl, PLACE_CHUNKS_MAX), 0);
}

static void alloc_bad(void **state)
{
	struct place_model *pm = pm_new();
	u32 at = 77;

	(void)state;
	EQ(place_alloc(&pm->pl, 1, 1, &at), -EAGAIN);
	pm_grow(pm);
	EQ(place_alloc(&pm->pl, 0, 1, &at), -EINVAL);
	EQ(place_alloc(&pm->pl, 1, 0, &at), -EINVAL);
	EQ(place_alloc(&pm->pl, 1, 3, &at), -EINVAL);
	EQ(place_alloc(&pm->pl, 1, 1024, &at), -EINVAL);
	EQ(place_alloc(&pm->pl, PM_PAGES + 1, 1, &at), -ENOSPC);
	EQ(place_alloc(&pm->pl, ~0U, 1, &at), -ENOSPC);
	EQ(place_alloc(&pm->pl, 513, 1, &at), -EAGAIN);
	EQ(at, 77);
	EQ(pm->pl.pages_used, 0);
	pm_end(pm);
}

static void first_fit(void **state)
{
	struct place_model *pm = pm_new();
	u32 at;

	(void)state;
	pm_grow(pm);
	pm_grow(pm);
	EQ(place_alloc(&pm->pl, 500, 1, &at), 0);
	EQ(at, 0);
	/* Across the border of two chunks. */
	EQ(place_alloc(&pm->pl, 100, 1, &at), 0);
	EQ(at, 500);
	EQ(place_alloc(&pm->pl, 1, 512, &at), -EAGAIN);
	place_free(&pm->pl, 0, 500);
	EQ(place_alloc(&pm->pl, 1, 512, &at), 0);
	EQ(at, 0);
	EQ(place_alloc(&pm->pl, 425, 1, &at), -EAGAIN + EAGAIN);
	EQ(at, 1);
	free(place_table(&pm->pl));
	free(pm);
}

static void against_model(uint64_t seed, unsigned long steps)
{
	struct place_model *pm = pm_new();
	unsigned long i;
	uint64_t r;

	/* On a failure the model aborts; this is how to repeat it. */
	fprintf(stderr, "# BMEM_TEST_SEED=0x%llx\n", (unsigned long long)seed);
	seed |= 1;
	for (i = 0; i < steps; i++) {
		r = test_random(&seed);
		/* Fills up for a while, then empties. */
		if (i / 2000 % 2 && (r & 7) < 4 && r >> 60 < 10)
			r |= 4;
		pm_step(pm, (unsigned char *)&r);
		if (i % 32 == 0) {
			pm_compare_chunks(pm);
			pm_compare_map(pm);
			pm_compare_shape(pm);
		}
	}
	pm_end(pm);
}

static void random_against_model(void **state)
{
	(void)state;
	against_model(test_number("BMEM_TEST_SEED",
				  (unsigned long)time(NULL) * 1000003),
		      test_number("BMEM_TEST_STEPS", 100000));
}

static const struct CMUnitTest tests[] = {
	TEST(init_range),
	TEST(alloc_bad),
	TEST(first_fit),
	TEST(random_against_model),
};

TEST_MAIN(tests)
