// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Placement (module/place_*.c) by itself.
 */
#include <errno.h>
#include <time.h>

#include "place_model.h"
#include "place_slab.h"
#include "tests/place_vectors.h"
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
	place_free(&pm->pl, 1, 425);
	place_free(&pm->pl, 0, 1);
	place_free(&pm->pl, 500, 100);
	pm_end(pm);
}

static void run_steps(const struct place_step *steps, u32 nr)
{
	struct place_step got = { 0 };
	struct place pl;
	u32 at;

	EQ(place_init(&pl, PLACE_VECTOR_CHUNKS), 0);
	place_grow(&pl, calloc(1, place_table_bytes(PLACE_VECTOR_CHUNKS)),
		   PLACE_VECTOR_CHUNKS);
	at = place_run_steps(&pl, steps, nr, &got);
	if (at < nr) {
		fprintf(stderr, "# step %u\n", at);
		EQ(got.ret, steps[at].ret);
		EQ(got.start, steps[at].start);
		EQ(got.granted, steps[at].granted);
	}
	EQ(at, nr);
	free(place_table(&pl));
}

static void vectors_first(void **state)
{
	(void)state;
	run_steps(place_first_steps, COUNT(place_first_steps));
}

static void vectors_best(void **state)
{
	(void)state;
	run_steps(place_best_steps, COUNT(place_best_steps));
}

static void vectors_buddy(void **state)
{
	(void)state;
	run_steps(place_buddy_steps, COUNT(place_buddy_steps));
}

#define MANY_CHUNKS	4096u
#define MANY_SPANS	1000000u

/* Steps of one allocation and its free. */
static u32 pair_steps(struct place *pl, enum place_policy policy, u32 pages,
		      u32 align)
{
	u32 before = pl->steps, start, granted;

	EQ(place_alloc_by(pl, policy, pages, align, &start, &granted), 0);
	place_free(pl, start, granted);
	return pl->steps - before;
}

/*
 * A million spans, a quarter of them holes again: every policy stays within what
 * its bounds on the runs that it tries come to.
 */
static void million_spans(void **state)
{
	u32 levels = 13, try = 3 * PLACE_CHUNK_WORDS + 3 * levels;
	u32 pages, align, at, granted;
	struct place pl;

	(void)state;
	EQ(place_init(&pl, MANY_CHUNKS), 0);
	place_grow(&pl, calloc(1, place_table_bytes(MANY_CHUNKS)), MANY_CHUNKS);
	for (at = 0; at < MANY_SPANS; at++)
		EQ(place_alloc_by(&pl, PLACE_FIRST, 1 + at % 2, 1, &pages,
				  &granted), 0);
	/* They lie 1, 2, 1, 2, ... pages long: every other 2 goes. */
	for (at = 0; at < MANY_SPANS / 4; at++)
		place_free(&pl, 6 * at + 1, 2);
	EQ(pl.spans, MANY_SPANS - MANY_SPANS / 4);
	for (pages = 1; pages <= 600; pages = pages * 2 + 1) {
		for (align = 1; align <= 512; align *= 8) {
			IS(pair_steps(&pl, PLACE_FIRST, pages, align) <
			   40 * try);
			IS(pair_steps(&pl, PLACE_BEST, pages, align) <
			   (PLACE_BEST_RUNS + 8) * try);
			IS(pair_steps(&pl, PLACE_BUDDY, pages, align) <
			   40 * try);
		}
	}
	/* With no alignment first fit is one descent. */
	IS(pair_steps(&pl, PLACE_FIRST, 2, 1) < 4 * try);
	free(place_table(&pl));
}

static void slab_classes_right(void **state)
{
	const struct slab_class *c = slab_classes;
	u32 i, step, bytes;

	(void)state;
	EQ(c[0].bytes, 64);
	EQ(c[SLAB_CLASSES - 1].bytes, SLAB_BYTES_MAX);
	for (i = 0; i < SLAB_CLASSES; i++) {
		/* Eight to a doubling, but multiples of a granule. */
		bytes = c[i].bytes;
		step = 64;
		while (step * 16 <= bytes)
			step *= 2;
		if (i + 1 < SLAB_CLASSES)
			EQ(c[i + 1].bytes, bytes + step);
		EQ(bytes % SLAB_GRANULE, 0);
		EQ(c[i].slots, c[i].pages * PAGE / bytes);
		IS(c[i].slots >= (bytes <= 2048 ? 8 : bytes <= 8192 ? 4 : 2));
		IS(c[i].slots <= 64);
		IS(c[i].pages <= SLAB_PAGES_MAX);
		/* At most a sixteenth behind the last slot. */
		IS((c[i].pages * PAGE - c[i].slots * bytes) * 16 <=
		   c[i].pages * PAGE);
	}
}

static void slab_class_of_every_size(void **state)
{
	u32 bytes, class;

	(void)state;
	for (bytes = 1; bytes <= SLAB_BYTES_MAX; bytes++) {
		class = slab_class_of(bytes);
		IS(class < SLAB_CLASSES);
		IS(slab_classes[class].bytes >= bytes);
		if (class)
			IS(slab_classes[class - 1].bytes < bytes);
		if (bytes >= 512)
			IS((slab_classes[class].bytes - bytes) * 8 <= bytes);
		EQ(slab_class_aligned(bytes, 1), class);
	}
}

static void slab_class_of_every_alignment(void **state)
{
	u32 bytes, align, class, want;

	(void)state;
	for (align = 1; align <= SLAB_ALIGN_MAX; align *= 2) {
		for (bytes = 1; bytes <= SLAB_BYTES_MAX; bytes += 61) {
			class = slab_class_aligned(bytes, align);
			for (want = 0; want < SLAB_CLASSES; want++)
				if (slab_classes[want].bytes >= bytes &&
				    slab_classes[want].bytes % align == 0)
					break;
			EQ(class, want);
		}
	}
	EQ(slab_class_aligned(0, 64), SLAB_NONE);
	EQ(slab_class_aligned(SLAB_BYTES_MAX + 1, 64), SLAB_NONE);
	EQ(slab_class_aligned(1ULL << 32 | 64, 64), SLAB_NONE);
	EQ(slab_class_aligned(64, 2 * SLAB_ALIGN_MAX), SLAB_NONE);
}

static void slab_slot_at_every_offset(void **state)
{
	u32 class, offset, slot, bytes;

	(void)state;
	for (class = 0; class < SLAB_CLASSES; class++) {
		bytes = slab_classes[class].bytes;
		for (offset = 0; offset < slab_classes[class].pages * PAGE;
		     offset++) {
			slot = slab_slot_at(class, offset);
			if (offset % bytes == 0)
				EQ(slot, offset / bytes);
			else
				IS(slot >= slab_classes[class].slots);
		}
	}
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
			pm_compare_selector(pm);
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
	TEST(vectors_first),
	TEST(vectors_best),
	TEST(vectors_buddy),
	TEST(million_spans),
	TEST(slab_classes_right),
	TEST(slab_class_of_every_size),
	TEST(slab_class_of_every_alignment),
	TEST(slab_slot_at_every_offset),
	TEST(random_against_model),
};

TEST_MAIN(tests)
