// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of place: fixed vectors, and a random walk against a model that
 * keeps a byte a page.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/vmalloc.h>

#include "../place.c"

#define CHUNKS		8
#define PAGES		(CHUNKS * PLACE_CHUNK_PAGES)
#define WALK_STEPS	20000

struct fixture {
	struct place pl;
	u8 *model;
};

static int fixture_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->model = kunit_kzalloc(test, PAGES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, f->model);
	KUNIT_ASSERT_EQ(test, place_init(&f->pl, CHUNKS), 0);
	test->priv = f;
	return 0;
}

static void fixture_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	/* Also called when fixture_init() gave up. */
	if (f)
		vfree(place_table(&f->pl));
}

static int alloc(struct kunit *test, u32 pages, u32 align, u32 *start)
{
	struct fixture *f = test->priv;
	void *table;
	u32 chunks;
	int rc;

	for (;;) {
		rc = place_alloc(&f->pl, pages, align, start);
		if (rc != -EAGAIN)
			return rc;
		chunks = f->pl.chunks ? 2 * f->pl.chunks : 1;
		table = vzalloc(place_table_bytes(chunks));
		KUNIT_ASSERT_NOT_NULL(test, table);
		vfree(place_grow(&f->pl, table, chunks));
	}
}

/* First fit, said in the plainest way. */
static u32 model_first_fit(const u8 *model, u32 pages)
{
	u32 page, run = 0;

	for (page = 0; page < PAGES; page++) {
		run = model[page] ? 0 : run + 1;
		if (run == pages)
			return page + 1 - pages;
	}
	return PLACE_NONE;
}

static bool model_free(const u8 *model, u32 start, u32 pages)
{
	return start + pages <= PAGES &&
	       !memchr_inv(model + start, 0, pages);
}

/*
 * What a span may be told: the lowest place without an alignment; with one an
 * aligned place that is free, and -ENOSPC only where no run is long enough
 * for every alignment.
 */
static void expect_fit(struct kunit *test, u32 pages, u32 align, int rc,
		       u32 start)
{
	struct fixture *f = test->priv;

	if (rc) {
		KUNIT_ASSERT_EQ(test, rc, -ENOSPC);
		KUNIT_ASSERT_EQ(test, PLACE_NONE,
				model_first_fit(f->model, pages + align - 1));
		return;
	}
	KUNIT_ASSERT_EQ(test, start % align, 0);
	KUNIT_ASSERT_TRUE(test, model_free(f->model, start, pages));
	if (align == 1)
		KUNIT_ASSERT_EQ(test, start, model_first_fit(f->model, pages));
}

static void expect_shape(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct place_stats want = {}, got;
	u32 page, run = 0, used[CHUNKS] = {};

	for (page = 0; page < PAGES; page++) {
		if (!f->model[page])
			continue;
		want.used++;
		want.top = page + 1;
		used[page / PLACE_CHUNK_PAGES]++;
	}
	for (page = 0; page < CHUNKS; page++)
		KUNIT_EXPECT_EQ(test, place_chunk_used(&f->pl, page),
				used[page]);
	for (page = 0; page < want.top; page++) {
		if (!f->model[page]) {
			want.hole_pages++;
			if (!run++)
				want.holes++;
			want.hole_best = max(want.hole_best, run);
		} else {
			run = 0;
		}
	}
	place_measure(&f->pl, &got);
	KUNIT_EXPECT_EQ(test, got.used, want.used);
	KUNIT_EXPECT_EQ(test, got.top, want.top);
	KUNIT_EXPECT_EQ(test, got.holes, want.holes);
	KUNIT_EXPECT_EQ(test, got.hole_pages, want.hole_pages);
	KUNIT_EXPECT_EQ(test, got.hole_best, want.hole_best);
}

static void refuses_nonsense(struct kunit *test)
{
	struct place pl;
	u32 start;

	KUNIT_EXPECT_EQ(test, place_init(&pl, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, place_init(&pl, 3), -EINVAL);
	KUNIT_EXPECT_EQ(test, place_init(&pl, 2 * PLACE_CHUNKS_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(test, 0, 1, &start), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(test, 1, 0, &start), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(test, 1, 3, &start), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(test, 1, 1024, &start), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(test, PAGES + 1, 1, &start), -ENOSPC);
	KUNIT_EXPECT_EQ(test, alloc(test, ~0U, 1, &start), -ENOSPC);
}

static void packs_side_by_side(struct kunit *test)
{
	u32 start, i;

	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_EQ(test, alloc(test, 538, 1, &start), 0);
		KUNIT_EXPECT_EQ(test, start, i * 538);
	}
}

static void finds_run_across_chunks(struct kunit *test)
{
	struct fixture *f = test->priv;
	u32 all, start;

	KUNIT_ASSERT_EQ(test, alloc(test, PAGES, 1, &all), 0);
	KUNIT_EXPECT_EQ(test, alloc(test, 1, 1, &start), -ENOSPC);
	place_free(&f->pl, 0, PAGES);
	KUNIT_ASSERT_EQ(test, alloc(test, 500, 1, &start), 0);
	KUNIT_ASSERT_EQ(test, alloc(test, 600, 1, &all), 0);
	KUNIT_ASSERT_EQ(test, alloc(test, 100, 1, &start), 0);
	place_free(&f->pl, all, 600);
	KUNIT_ASSERT_EQ(test, alloc(test, 600, 1, &start), 0);
	KUNIT_EXPECT_EQ(test, start, 500);
}

static void aligns(struct kunit *test)
{
	u32 start, align;

	KUNIT_ASSERT_EQ(test, alloc(test, 1, 1, &start), 0);
	for (align = 2; align <= PLACE_CHUNK_PAGES; align *= 2) {
		KUNIT_ASSERT_EQ(test, alloc(test, 3, align, &start), 0);
		KUNIT_EXPECT_EQ(test, start % align, 0);
	}
}

static void walks_like_the_model(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct { u32 start, pages; } *spans;
	u32 nr = 0, step, start = 0, pages, align, i;
	u64 seed = get_random_u64();
	struct rnd_state rnd;
	int rc;

	kunit_info(test, "seed %llu", seed);
	prandom_seed_state(&rnd, seed);
	spans = kunit_kcalloc(test, PAGES, sizeof(*spans), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, spans);

	for (step = 0; step < WALK_STEPS; step++) {
		if (!nr || prandom_u32_state(&rnd) % 100 < 53) {
			pages = 1 + prandom_u32_state(&rnd) %
				(prandom_u32_state(&rnd) % 8 ? 40 : 1500);
			align = prandom_u32_state(&rnd) % 3 ? 1 :
				1U << prandom_u32_state(&rnd) % 10;
			rc = alloc(test, pages, align, &start);
			expect_fit(test, pages, align, rc, start);
			if (rc)
				continue;
			memset(f->model + start, 1, pages);
			spans[nr].start = start;
			spans[nr++].pages = pages;
		} else {
			i = prandom_u32_state(&rnd) % nr;
			place_free(&f->pl, spans[i].start, spans[i].pages);
			memset(f->model + spans[i].start, 0, spans[i].pages);
			spans[i] = spans[--nr];
		}
		if (step % 500 == 0)
			expect_shape(test);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, f->pl.spans, nr);
}

static struct kunit_case place_cases[] = {
	KUNIT_CASE(refuses_nonsense),
	KUNIT_CASE(packs_side_by_side),
	KUNIT_CASE(finds_run_across_chunks),
	KUNIT_CASE(aligns),
	KUNIT_CASE(walks_like_the_model),
	{}
};

static struct kunit_suite place_suite = {
	.name = "bmem_place",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = place_cases,
};

kunit_test_suite(place_suite);

MODULE_DESCRIPTION("KUnit suite of bmem's placement");
MODULE_LICENSE("GPL");
MODULE_INFO(test, "Y");
