// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites of place, its selector, and trends: the native tests' vectors,
 * streams and series, and a random walk against a model that keeps a byte a
 * page.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/vmalloc.h>

static unsigned int breaths;

#define place_breathe()	((void)breaths++)

#include "../place.c"
#include "../place_best.c"
#include "../place_buddy.c"
#include "../selector.c"
#include "../trend.c"
#include "place_vectors.h"
#include "selector_streams.h"
#include "trend_series.h"

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

static int alloc(struct kunit *test, enum place_policy policy, u32 pages,
		 u32 align, u32 *start, u32 *granted)
{
	struct fixture *f = test->priv;
	void *table;
	u32 chunks;
	int rc;

	for (;;) {
		rc = place_alloc_by(&f->pl, policy, pages, align, start,
				    granted);
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
static void expect_fit(struct kunit *test, enum place_policy policy, u32 pages,
		       u32 align, int rc, u32 start)
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
	if (align == 1 && policy == PLACE_FIRST)
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

static void runs_steps(struct kunit *test, const struct place_step *steps,
		       u32 nr)
{
	struct fixture *f = test->priv;
	struct place_step got = {};
	void *table = vzalloc(place_table_bytes(PLACE_VECTOR_CHUNKS));
	u32 at;

	KUNIT_ASSERT_NOT_NULL(test, table);
	KUNIT_ASSERT_EQ(test, place_init(&f->pl, PLACE_VECTOR_CHUNKS), 0);
	place_grow(&f->pl, table, PLACE_VECTOR_CHUNKS);
	at = place_run_steps(&f->pl, steps, nr, &got);
	if (at < nr) {
		KUNIT_EXPECT_EQ(test, got.ret, steps[at].ret);
		KUNIT_EXPECT_EQ(test, got.start, steps[at].start);
		KUNIT_EXPECT_EQ(test, got.granted, steps[at].granted);
	}
	KUNIT_EXPECT_EQ(test, at, nr);
}

static void vectors_first(struct kunit *test)
{
	runs_steps(test, place_first_steps, ARRAY_SIZE(place_first_steps));
}

static void vectors_best(struct kunit *test)
{
	runs_steps(test, place_best_steps, ARRAY_SIZE(place_best_steps));
}

static void vectors_buddy(struct kunit *test)
{
	runs_steps(test, place_buddy_steps, ARRAY_SIZE(place_buddy_steps));
}

static void refuses_bad_size(struct kunit *test)
{
	struct place pl;

	KUNIT_EXPECT_EQ(test, place_init(&pl, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, place_init(&pl, 3), -EINVAL);
	KUNIT_EXPECT_EQ(test, place_init(&pl, 2 * PLACE_CHUNKS_MAX), -EINVAL);
}

static void walks_like_the_model(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct { u32 start, pages; } *spans;
	u32 nr = 0, step, start = 0, pages, align, granted, i;
	enum place_policy policy;
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
			policy = prandom_u32_state(&rnd) % PLACE_POLICIES;
			rc = alloc(test, policy, pages, align, &start,
				   &granted);
			pages = place_granted(policy, pages);
			if (policy == PLACE_BUDDY)
				align = max(align, min_t(u32, pages,
							 PLACE_CHUNK_PAGES));
			expect_fit(test, policy, pages, align, rc, start);
			if (rc)
				continue;
			KUNIT_ASSERT_EQ(test, granted, pages);
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

#define LONG_BREATHS	64
#define LONG_CHUNKS	(LONG_BREATHS * PLACE_BREATH)

/* An arena of many gigabytes keeps nobody from the CPU, whatever is done to it. */
static void breathes(struct kunit *test)
{
	struct fixture *f = test->priv;
	void *table = vzalloc(place_table_bytes(LONG_CHUNKS));
	struct place_stats st;
	u32 pages = LONG_CHUNKS * PLACE_CHUNK_PAGES, at;

	KUNIT_ASSERT_NOT_NULL(test, table);
	KUNIT_ASSERT_EQ(test, place_init(&f->pl, LONG_CHUNKS), 0);
	breaths = 0;
	place_grow(&f->pl, table, LONG_CHUNKS);
	/* The chunks, and as many nodes above them. */
	KUNIT_EXPECT_GE(test, breaths, 2 * LONG_BREATHS - 16);
	breaths = 0;
	KUNIT_ASSERT_EQ(test, place_alloc(&f->pl, pages, 1, &at), 0);
	KUNIT_EXPECT_GE(test, breaths, LONG_BREATHS);
	breaths = 0;
	place_free(&f->pl, at, pages);
	KUNIT_EXPECT_GE(test, breaths, LONG_BREATHS);
	for (at = 0; at < pages; at += PLACE_CHUNK_PAGES)
		KUNIT_ASSERT_EQ(test, place_take(&f->pl, at, 1), 0);
	breaths = 0;
	place_measure(&f->pl, &st);
	KUNIT_EXPECT_EQ(test, st.holes, LONG_CHUNKS - 1);
	KUNIT_EXPECT_GE(test, breaths, LONG_BREATHS);
}

static struct kunit_case place_cases[] = {
	KUNIT_CASE(refuses_bad_size),
	KUNIT_CASE(vectors_first),
	KUNIT_CASE(vectors_best),
	KUNIT_CASE(vectors_buddy),
	KUNIT_CASE(walks_like_the_model),
	KUNIT_CASE(breathes),
	{}
};

static struct kunit_suite place_suite = {
	.name = "bmem_place",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = place_cases,
};

static int stream_fixture_init(struct kunit *test)
{
	struct stream *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	void *table = vzalloc(selector_table_bytes(STREAM_CHUNKS,
						   STREAM_ENTRIES));

	if (!s || !table || stream_init(s, table)) {
		vfree(table);
		return -ENOMEM;
	}
	test->priv = s;
	return 0;
}

static void stream_fixture_exit(struct kunit *test)
{
	struct stream *s = test->priv;

	if (s)
		vfree(s->sel.table);
}

static void chooses_buddy(struct kunit *test)
{
	struct stream *s = test->priv;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_epochs(s, stream_for_buddy, SELECTOR_EPOCHS - 1);
	KUNIT_EXPECT_EQ(test, r->policy, PLACE_FIRST);
	stream_epochs(s, stream_for_buddy, 1);
	KUNIT_EXPECT_EQ(test, r->policy, PLACE_BUDDY);
	KUNIT_EXPECT_EQ(test, r->why, SELECTOR_WASTE);
	KUNIT_EXPECT_GT(test, r->old.waste, r->new.waste + SELECTOR_MARGIN);
}

static void chooses_best(struct kunit *test)
{
	struct stream *s = test->priv;

	stream_epochs(s, stream_for_best, SELECTOR_EPOCHS);
	KUNIT_EXPECT_EQ(test, s->sel.range[STREAM_HALVES].policy, PLACE_BEST);
	KUNIT_EXPECT_EQ(test, s->sel.range[STREAM_HALVES].why, SELECTOR_WASTE);
}

static void chooses_first(struct kunit *test)
{
	struct stream *s = test->priv;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_epochs(s, stream_for_buddy, SELECTOR_EPOCHS);
	KUNIT_EXPECT_EQ(test, r->policy, PLACE_BUDDY);
	stream_epochs(s, stream_for_first, 2 * SELECTOR_EPOCHS);
	KUNIT_EXPECT_EQ(test, r->policy, PLACE_FIRST);
	KUNIT_EXPECT_EQ(test, r->switches, 2);
}

static void does_not_flap(struct kunit *test)
{
	struct stream *s = test->priv;

	stream_alternate(s, 12);
	KUNIT_EXPECT_EQ(test, s->sel.range[STREAM_WHOLES].switches, 0);
}

static void flaps_less_and_less(struct kunit *test)
{
	struct stream *s = test->priv;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_against(s, 24);
	KUNIT_EXPECT_GT(test, r->switches, 0);
	KUNIT_EXPECT_LE(test, r->switches, stream_switches_max(r->epochs));
}

static void stays_pinned(struct kunit *test)
{
	struct stream *s = test->priv;
	u32 i;

	KUNIT_EXPECT_EQ(test, selector_pin(&s->sel, SELECTOR_AUTO + 1),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, selector_pin(&s->sel, PLACE_BEST), 0);
	for (i = 0; i < 100; i++)
		stream_for_buddy(s);
	KUNIT_EXPECT_EQ(test, s->sel.epoch, 0);
	KUNIT_EXPECT_EQ(test, selector_pick(&s->sel, 500), PLACE_BEST);
}

static struct kunit_case selector_cases[] = {
	KUNIT_CASE(chooses_buddy),
	KUNIT_CASE(chooses_best),
	KUNIT_CASE(chooses_first),
	KUNIT_CASE(does_not_flap),
	KUNIT_CASE(flaps_less_and_less),
	KUNIT_CASE(stays_pinned),
	{}
};

static struct kunit_suite selector_suite = {
	.name = "bmem_selector",
	.init = stream_fixture_init,
	.exit = stream_fixture_exit,
	.test_cases = selector_cases,
};

static void known_series(struct kunit *test)
{
	struct trend *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	const struct series *s = trend_series;
	struct trend_verdict v;

	KUNIT_ASSERT_NOT_NULL(test, t);
	for (; s < trend_series + ARRAY_SIZE(trend_series); s++) {
		KUNIT_EXPECT_EQ_MSG(test, series_play(s, 1, t, &v), 0, "%s",
				    s->name);
		KUNIT_EXPECT_EQ_MSG(test, v.class, s->class, "%s, %u samples",
				    s->name, s->samples);
		cond_resched();
	}
}

static struct kunit_case trend_cases[] = {
	KUNIT_CASE(known_series),
	{}
};

static struct kunit_suite trend_suite = {
	.name = "bmem_trend",
	.test_cases = trend_cases,
};

kunit_test_suites(&place_suite, &selector_suite, &trend_suite);

MODULE_DESCRIPTION("KUnit suites of bmem's placement and trends");
MODULE_LICENSE("GPL");
MODULE_INFO(test, "Y");
