// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of links and what is lost: the native tests' model, a long chain
 * and a long cycle.
 */
#include <kunit/test.h>
#include <linux/random.h>
#include <linux/vmalloc.h>

#include "../graph.c"
#include "../graph_look.c"

#define STEPS		1500
#define LONG		50000

/* Whose checks these are: the model knows no test. */
static struct kunit *graph_test;

#define gm_free(p)	kvfree(p)
#define GM_CHECK(what)	KUNIT_ASSERT_TRUE(graph_test, what)

static void *gm_alloc(size_t bytes)
{
	void *p = kvzalloc(bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(graph_test, p);
	return p;
}

#include "graph_model.h"

static int graph_init_test(struct kunit *test)
{
	graph_test = test;
	return 0;
}

static void random_against_model(struct kunit *test)
{
	u64 seed = get_random_u64();
	struct graph_model *gm = gm_new(seed);
	int i;

	kunit_info(test, "seed %llu\n", seed);
	for (i = 0; i < STEPS; i++) {
		gm_step(gm, &seed);
		cond_resched();
	}
	KUNIT_EXPECT_GT(test, gm->lost, (u64)STEPS / 100);
	gm_end(&gm->g);
	gm_free(gm);
}

static void long_chain(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, gm_chain(LONG, false), 1U);
}

static void long_cycle(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, gm_chain(LONG, true), (u32)LONG);
}

static struct kunit_case graph_cases[] = {
	KUNIT_CASE(random_against_model),
	KUNIT_CASE(long_chain),
	KUNIT_CASE(long_cycle),
	{}
};

static struct kunit_suite graph_suite = {
	.name = "bmem_graph",
	.init = graph_init_test,
	.test_cases = graph_cases,
};

kunit_test_suite(graph_suite);
