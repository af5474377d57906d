// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Links and what is lost (module/graph*.c) by themselves.
 */
#include <errno.h>
#include <time.h>

#include "test.h"

#define gm_free(p)	free(p)
#define GM_CHECK(what)	IS(what)

static void *gm_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);

	IS(p);
	return p;
}

#include "tests/graph_model.h"

static void empty(void **state)
{
	struct graph g;

	(void)state;
	graph_init(&g, 1);
	EQ(graph_find(&g, 1), GRAPH_NONE);
	IS(graph_nodes_full(&g));
	IS(graph_links_full(&g));
	gm_look(&g, 1, NULL, NULL, NULL);
	EQ(g.lost.nr, 0);
	gm_end(&g);
}

static void self_and_twice(void **state)
{
	struct graph g;
	uint32_t a, b;

	(void)state;
	graph_init(&g, 1);
	gm_room(&g);
	a = graph_add(&g, 7, 0);
	gm_room(&g);
	b = graph_add(&g, 9, 0);
	EQ(graph_find(&g, 7), a);
	EQ(graph_link(&g, a, a), 0);
	EQ(graph_link(&g, a, a), -EEXIST);
	EQ(graph_link(&g, a, b), 0);
	EQ(graph_unlink(&g, b, a), -ENOENT);
	EQ(graph_drop(&g, a), -ENOENT);
	gm_look(&g, 1, NULL, NULL, NULL);
	EQ(g.nodes[a].flags & GM_SHOWN, GRAPH_LOST | GRAPH_CYCLE);
	EQ(g.nodes[b].flags & GM_SHOWN, GRAPH_LOST | GRAPH_BEHIND);
	EQ(graph_hold(&g, a), 0);
	EQ(g.nodes[a].flags & GM_SHOWN, 0);
	gm_look(&g, 1, NULL, NULL, NULL);
	EQ(g.lost.nr, 0);
	EQ(graph_unlink(&g, a, b), 0);
	EQ(g.nodes[b].flags & GM_SHOWN, GRAPH_IDLE);
	IS(graph_remove(&g, b, 8));
	IS(!graph_remove(&g, a, 0));
	IS(graph_remove(&g, a, 8));
	EQ(g.nr_nodes, 0);
	EQ(g.nr_links, 0);
	gm_end(&g);
}

/* What refers, but never was referred to, is in use by something. */
static void never_referred(void **state)
{
	struct graph g;
	uint32_t a, b;

	(void)state;
	graph_init(&g, 1);
	gm_room(&g);
	a = graph_add(&g, 1, 0);
	gm_room(&g);
	b = graph_add(&g, 2, 0);
	EQ(graph_link(&g, a, b), 0);
	gm_look(&g, 1, NULL, NULL, NULL);
	EQ(g.lost.nr + g.idle.nr, 0);
	EQ(graph_unlink(&g, a, b), 0);
	EQ(graph_find(&g, 1), GRAPH_NONE);
	EQ(g.idle.nr, 1);
	gm_end(&g);
}

static void too_many_holds(void **state)
{
	struct graph g;
	uint32_t a;

	(void)state;
	graph_init(&g, 1);
	gm_room(&g);
	a = graph_add(&g, 1, 0);
	EQ(graph_hold(&g, a), 0);
	g.nodes[a].holds = UINT32_MAX;
	EQ(graph_hold(&g, a), -EOVERFLOW);
	EQ(g.nodes[a].holds, UINT32_MAX);
	gm_end(&g);
}

/* A hundred nodes, each a cycle by itself, and a look that is not through. */
static void half_a_look(struct graph *g, struct graph_look *look)
{
	uint32_t i;
	bool done;

	graph_init(g, 1);
	for (i = 0; i < 100; i++) {
		gm_room(g);
		graph_add(g, i + 1, 0);
		EQ(graph_link(g, i, i), 0);
	}
	graph_look_begin(g, look);
	gm_free(graph_look_grow(look, gm_alloc(graph_look_bytes(200, 200)),
				200, 200));
	EQ(graph_look_take(g, look, 30, &done), 0);
	IS(!done);
	IS(graph_remove(g, 3, 9));
}

/* What is given up is looked at another time. */
static void abort_a_look(void **state)
{
	struct graph_look look = { 0 };
	struct graph g;
	uint32_t at = 0;

	(void)state;
	half_a_look(&g, &look);
	while (!graph_look_abort(&g, &look, &at, 7))
		;
	gm_free(graph_look_table(&look));
	gm_look(&g, 1000, NULL, NULL, NULL);
	EQ(g.lost.nr, 99);
	gm_end(&g);
}

/* A copy of a graph that is being looked at is to be looked at as a whole. */
static void forget_a_look(void **state)
{
	struct graph_look look = { 0 };
	struct graph g;

	(void)state;
	half_a_look(&g, &look);
	graph_dirty_all(&g);
	gm_free(graph_look_table(&look));
	gm_look(&g, 1000, NULL, NULL, NULL);
	EQ(g.lost.nr, 99);
	gm_end(&g);
}

static void million_chain(void **state)
{
	uint32_t nr = test_number("BMEM_TEST_STEPS", 1000000);

	(void)state;
	/* The first is not referred to; what it leads to is no cycle's. */
	EQ(gm_chain(nr, false), 1);
}

static void million_cycle(void **state)
{
	uint32_t nr = test_number("BMEM_TEST_STEPS", 1000000);

	(void)state;
	EQ(gm_chain(nr, true), nr);
}

static void random_against_model(void **state)
{
	uint64_t seed = test_number("BMEM_TEST_SEED",
				    (unsigned long)time(NULL) * 1000003);
	unsigned long steps = test_number("BMEM_TEST_STEPS", 20000), i;
	struct graph_model *gm = gm_new(seed);

	(void)state;
	print_message("# BMEM_TEST_SEED=%llu\n", (unsigned long long)seed);
	for (i = 0; i < steps; i++)
		gm_step(gm, &seed);
	IS(gm->lost > steps / 100);
	gm_end(&gm->g);
	gm_free(gm);
}

static const struct CMUnitTest tests[] = {
	TEST(empty),
	TEST(self_and_twice),
	TEST(never_referred),
	TEST(too_many_holds),
	TEST(abort_a_look),
	TEST(forget_a_look),
	TEST(million_chain),
	TEST(million_cycle),
	TEST(random_against_model),
};

TEST_MAIN(tests)
