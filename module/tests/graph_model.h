/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * A graph beside a model of it that is a matrix, for the native tests and for
 * KUnit.  Who includes this defines gm_alloc(), gm_free() and GM_CHECK().
 */
#ifndef BMEM_GRAPH_MODEL_H
#define BMEM_GRAPH_MODEL_H

#include "../graph.h"

#define GM_NODES	24

/**
 * struct graph_model - the model
 * @g: the graph
 * @name: of each node, 0 when it is not there
 * @referred: it has been
 * @holds: references from outside
 * @link: link[a][b]: a refers to b
 * @reach: reach[a][b]: so it does, over any number of links but none
 * @live: reached from what is in use
 * @names: names given so far
 * @lost: nodes that were found to be lost
 */
struct graph_model {
	struct graph g;
	u64 name[GM_NODES];
	bool referred[GM_NODES];
	u32 holds[GM_NODES];
	bool link[GM_NODES][GM_NODES];
	bool reach[GM_NODES][GM_NODES];
	bool live[GM_NODES];
	u64 names;
	u64 lost;
};

static void gm_room(struct graph *g)
{
	u32 room;

	if (graph_nodes_full(g)) {
		room = g->nodes_room ? 2 * g->nodes_room : 2;
		gm_free(graph_grow_nodes(g, gm_alloc(graph_nodes_bytes(room)),
					 room));
	}
	if (graph_links_full(g)) {
		room = g->links_room ? 2 * g->links_room : 2;
		gm_free(graph_grow_links(g, gm_alloc(graph_links_bytes(room)),
					 room));
	}
}

static void gm_end(struct graph *g)
{
	gm_free(g->nodes);
	gm_free(g->links);
}

/* ---- looks -------------------------------------------------------------------- */

typedef void (*gm_between)(struct graph_model *gm, void *arg);

static void gm_look_take(struct graph *g, struct graph_look *look, u32 max,
			 struct graph_model *gm, gm_between between, void *arg)
{
	bool done = false;
	u32 nodes, links;

	graph_look_begin(g, look);
	while (!done) {
		if (graph_look_take(g, look, max, &done) == -EAGAIN) {
			nodes = 2 * look->nodes_room + 1;
			links = 2 * look->links_room + 1;
			gm_free(graph_look_grow(look,
						gm_alloc(graph_look_bytes(nodes, links)),
						nodes, links));
		}
		if (between)
			between(gm, arg);
	}
}

static void gm_solve(struct graph_model *gm)
{
	u32 a, b, k;

	memcpy(gm->reach, gm->link, sizeof(gm->reach));
	for (k = 0; k < GM_NODES; k++)
		for (a = 0; a < GM_NODES; a++)
			for (b = 0; b < GM_NODES; b++)
				if (gm->reach[a][k] && gm->reach[k][b])
					gm->reach[a][b] = true;
	memset(gm->live, 0, sizeof(gm->live));
	for (a = 0; a < GM_NODES; a++) {
		if (!gm->name[a] || (gm->referred[a] && !gm->holds[a]))
			continue;
		gm->live[a] = true;
		for (b = 0; b < GM_NODES; b++)
			gm->live[b] |= gm->reach[a][b];
	}
}

/* Nothing that was found to be lost may be in use, whatever changed meanwhile. */
static void gm_sound(struct graph_model *gm, const struct graph_look *look)
{
	u32 i, a, node;

	gm_solve(gm);
	for (i = 0; i < look->nr_nodes; i++) {
		node = graph_find(&gm->g, look->names[i]);
		if (node != look->nodes[i] || !look->verdict[i])
			continue;
		for (a = 0; gm->name[a] != look->names[i]; a++)
			;
		GM_CHECK(!gm->live[a]);
	}
}

/* Brings the lists of a graph up to date; @between changes it meanwhile. */
static void gm_look(struct graph *g, u32 max, struct graph_model *gm,
		    gm_between between, void *arg)
{
	struct graph_look look = { 0 };
	u32 at, revived;
	void *table;

	gm_look_take(g, &look, max, gm, between, arg);
	table = gm_alloc(graph_judge_bytes(&look));
	graph_judge(&look, table);
	if (between)
		between(gm, arg);
	do {
		at = 0;
		revived = 0;
		while (!graph_check(g, &look, &at, max, &revived))
			;
		GM_CHECK(!revived || between);
	} while (revived);
	at = 0;
	while (!graph_mark(g, &look, &at, max))
		;
	if (gm)
		gm_sound(gm, &look);
	gm_free(table);
	gm_free(graph_look_table(&look));
}

/* ---- the model ------------------------------------------------------------------- */

static struct graph_model *gm_new(u64 seed)
{
	struct graph_model *gm = gm_alloc(sizeof(*gm));

	memset(gm, 0, sizeof(*gm));
	graph_init(&gm->g, seed);
	return gm;
}

static bool gm_bare(const struct graph_model *gm, u32 a)
{
	u32 b;

	for (b = 0; b < GM_NODES; b++)
		if (gm->link[a][b])
			return false;
	return !gm->referred[a];
}

/* The node that stands for @a, made if need be. */
static u32 gm_node(struct graph_model *gm, u32 a)
{
	gm_room(&gm->g);
	if (!gm->name[a]) {
		gm->name[a] = ++gm->names;
		graph_add(&gm->g, gm->name[a], 0);
	}
	return graph_find(&gm->g, gm->name[a]);
}

static void gm_forget(struct graph_model *gm, u32 a)
{
	gm->name[a] = 0;
	gm->referred[a] = false;
	gm->holds[a] = 0;
}

static void gm_remove(struct graph_model *gm, u32 a)
{
	u32 node = graph_find(&gm->g, gm->name[a]), b;

	if (!gm->name[a])
		return;
	while (!graph_remove(&gm->g, node, 2))
		;
	for (b = 0; b < GM_NODES; b++) {
		gm->link[a][b] = false;
		if (gm->link[b][a]) {
			gm->link[b][a] = false;
			if (b != a && gm_bare(gm, b))
				gm_forget(gm, b);
		}
	}
	gm_forget(gm, a);
}

static void gm_unlink(struct graph_model *gm, u32 a, u32 b)
{
	if (!gm->name[a] || !gm->name[b])
		return;
	GM_CHECK(graph_unlink(&gm->g, gm_node(gm, a), gm_node(gm, b)) ==
		 (gm->link[a][b] ? 0 : -ENOENT));
	gm->link[a][b] = false;
	if (gm_bare(gm, a))
		gm_forget(gm, a);
}

static void gm_change(struct graph_model *gm, u64 r)
{
	u32 a = r >> 8 & 0xffff, b = r >> 24 & 0xffff, na;

	a %= GM_NODES;
	b %= GM_NODES;
	switch (r % 16) {
	case 0 ... 6:
		na = gm_node(gm, a);
		GM_CHECK(graph_link(&gm->g, na, gm_node(gm, b)) ==
			 (gm->link[a][b] ? -EEXIST : 0));
		gm->link[a][b] = true;
		gm->referred[b] = true;
		break;
	case 7 ... 10:
		gm_unlink(gm, a, b);
		break;
	case 11:
		GM_CHECK(!graph_hold(&gm->g, gm_node(gm, a)));
		gm->holds[a]++;
		gm->referred[a] = true;
		break;
	case 12 ... 13:
		if (!gm->name[a])
			break;
		GM_CHECK(graph_drop(&gm->g, gm_node(gm, a)) ==
			 (gm->holds[a] ? 0 : -ENOENT));
		gm->holds[a] -= !!gm->holds[a];
		break;
	default:
		gm_remove(gm, a);
		break;
	}
}

static bool gm_same_cycle(const struct graph_model *gm, u32 a, u32 b)
{
	return a == b || (gm->reach[a][b] && gm->reach[b][a]);
}

/* What a look must say of a node that is there. */
static u32 gm_verdict(const struct graph_model *gm, u32 a)
{
	bool cycle = gm->reach[a][a], referred = false, behind = false;
	u32 b;

	for (b = 0; b < GM_NODES; b++) {
		referred |= gm->link[b][a];
		if (!gm->reach[b][a] || gm_same_cycle(gm, a, b))
			continue;
		/* One that refers to a cycle, or comes after another one. */
		behind |= cycle || gm->reach[b][b];
	}
	if (gm->live[a])
		return 0;
	if (!referred)
		return GRAPH_IDLE;
	if (!cycle && !behind)
		return 0;
	return GRAPH_LOST | (cycle ? GRAPH_CYCLE : 0) |
	       (behind ? GRAPH_BEHIND : 0);
}

#define GM_SHOWN (GRAPH_IDLE | GRAPH_LOST | GRAPH_CYCLE | GRAPH_BEHIND)

static void gm_compare(struct graph_model *gm)
{
	u32 a, node, nr = 0, idle = 0, lost = 0, flags;

	gm_solve(gm);
	for (a = 0; a < GM_NODES; a++) {
		if (!gm->name[a])
			continue;
		nr++;
		node = graph_find(&gm->g, gm->name[a]);
		GM_CHECK(node != GRAPH_NONE);
		flags = gm->g.nodes[node].flags & GM_SHOWN;
		GM_CHECK(flags == gm_verdict(gm, a));
		GM_CHECK(gm->g.nodes[node].holds == gm->holds[a]);
		idle += !!(flags & GRAPH_IDLE);
		lost += !!(flags & GRAPH_LOST);
	}
	GM_CHECK(nr == gm->g.nr_nodes);
	GM_CHECK(idle == gm->g.idle.nr);
	GM_CHECK(lost == gm->g.lost.nr);
	gm->lost += lost;
	graph_walk_begin(&gm->g.lost);
	while (graph_walk_next(&gm->g, &gm->g.lost) != GRAPH_NONE)
		lost--;
	GM_CHECK(!lost);
}

/* A number of the kind that splitmix64 makes. */
static u64 gm_random(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static void gm_disturb(struct graph_model *gm, void *arg)
{
	u64 r = gm_random(arg);

	if (r % 3 == 0)
		gm_change(gm, r >> 8);
}

/* Some changes, a look that is disturbed, one that is not, and a comparison. */
static void gm_step(struct graph_model *gm, u64 *state)
{
	u64 r = gm_random(state), i;

	for (i = 0; i < r % 12; i++)
		gm_change(gm, gm_random(state));
	if (r >> 32 & 1)
		gm_look(&gm->g, 1 + (r >> 40) % 8, gm, gm_disturb, state);
	gm_look(&gm->g, 1 + (r >> 40) % 64, gm, NULL, NULL);
	gm_compare(gm);
}

/* ---- large ones --------------------------------------------------------------------- */

/*
 * A chain of @nr nodes, with a link from the last to the first or not.  Returns
 * how many are lost once it is not held any more.
 */
static u32 gm_chain(u32 nr, bool closed)
{
	struct graph g;
	u32 i, lost;

	graph_init(&g, 12345);
	for (i = 0; i < nr; i++) {
		gm_room(&g);
		GM_CHECK(graph_add(&g, i + 1, 0) == i);
		if (i)
			GM_CHECK(!graph_link(&g, i - 1, i));
	}
	GM_CHECK(!graph_hold(&g, 0));
	gm_room(&g);
	if (closed)
		GM_CHECK(!graph_link(&g, nr - 1, 0));
	gm_look(&g, nr, NULL, NULL, NULL);
	GM_CHECK(!g.lost.nr);
	GM_CHECK(!g.idle.nr);
	GM_CHECK(!graph_drop(&g, 0));
	gm_look(&g, nr, NULL, NULL, NULL);
	lost = g.lost.nr + g.idle.nr;
	/* Nothing has changed: there is nothing to look at. */
	GM_CHECK(g.dirty == GRAPH_NONE);
	gm_end(&g);
	return lost;
}

#endif /* BMEM_GRAPH_MODEL_H */
