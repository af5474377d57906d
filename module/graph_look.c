// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * What is referred to, but from nothing that is in use: cycles of links that no
 * reference from outside leads into, and what hangs on them.
 *
 * The parts of the graph that something has changed in are taken down, in
 * slices, while the graph goes on to change; they are judged apart from it; and
 * what comes out is checked against the graph as it is by then.
 *
 * Components are found as by R. Tarjan, "Depth-first search and linear graph
 * algorithms", SIAM Journal on Computing 1 (1972), without recursion.  They come
 * out with those that are referred to before those that refer to them, so one
 * pass in the opposite direction tells which are reached from what is in use.
 * (Linux does the same for sockets in flight, net/unix/garbage.c.)
 */
#include "graph.h"

/* Of components. */
#define LOOK_USED	1
#define LOOK_CYCLE	2
/* Referred to by what is not in use. */
#define LOOK_AFTER	4
/* Of which one is a cycle, or comes after one. */
#define LOOK_AFTER_CYCLE 8

/* ---- taking down ---------------------------------------------------------------- */

/**
 * graph_look_bytes() - what a look takes
 * @nodes: room for so many nodes
 * @links: room for so many links
 *
 * Return: bytes.
 */
size_t graph_look_bytes(u32 nodes, u32 links)
{
	return nodes * (sizeof(u64) + sizeof(u32) + sizeof(u8)) +
	       links * sizeof(struct graph_pair);
}

/**
 * graph_look_table() - the table that a look has
 * @look: look
 *
 * Return: what graph_look_grow() was given last, or NULL.
 */
void *graph_look_table(struct graph_look *look)
{
	return look->names;
}

/**
 * graph_look_grow() - move a look to a larger table
 * @look: look, or all zero
 * @table: graph_look_bytes() of @nodes and @links
 * @nodes: room for nodes, not less than there is
 * @links: room for links, likewise
 *
 * Return: the old table, which is the caller's again, or NULL.
 */
void *graph_look_grow(struct graph_look *look, void *table, u32 nodes,
		      u32 links)
{
	struct graph_look old = *look;

	look->names = table;
	look->links = (struct graph_pair *)(look->names + nodes);
	look->nodes = (u32 *)(look->links + links);
	look->used = (u8 *)(look->nodes + nodes);
	look->nodes_room = nodes;
	look->links_room = links;
	if (!old.names)
		return NULL;
	memcpy(look->names, old.names, old.nr_nodes * sizeof(*old.names));
	memcpy(look->links, old.links, old.nr_links * sizeof(*old.links));
	memcpy(look->nodes, old.nodes, old.nr_nodes * sizeof(*old.nodes));
	memcpy(look->used, old.used, old.nr_nodes * sizeof(*old.used));
	return old.names;
}

/**
 * graph_look_begin() - look at all that is dirty
 * @g: graph; one look at a time
 * @look: look, with or without a table
 */
void graph_look_begin(struct graph *g, struct graph_look *look)
{
	look->nr_nodes = 0;
	look->nr_links = 0;
	look->taken = 0;
	look->changes = g->changes;
	/* Number 0 is that of nodes that have never been looked at. */
	g->look = g->look + 1 ? g->look + 1 : 1;
	g->now = g->dirty;
	g->dirty = GRAPH_NONE;
}

static bool in_use(const struct graph_node *n)
{
	return n->holds || !(n->flags & GRAPH_REFERRED);
}

/* False when there is no room for it. */
static bool take_node(struct graph *g, struct graph_look *look, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	if (n->look == g->look)
		return true;
	if (look->nr_nodes == look->nodes_room)
		return false;
	n->look = g->look;
	n->index = look->nr_nodes;
	look->nodes[look->nr_nodes] = node;
	look->names[look->nr_nodes] = n->name;
	look->used[look->nr_nodes] = in_use(n);
	look->nr_nodes++;
	return true;
}

/* Is what was taken down as number @index still there? */
static bool same_node(const struct graph *g, const struct graph_look *look,
		      u32 index)
{
	const struct graph_node *n = &g->nodes[look->nodes[index]];

	return n->name == look->names[index] && n->look == g->look &&
	       n->index == index;
}

/* All links of a node, and where they lead; false when there is no room. */
static bool take_links(struct graph *g, struct graph_look *look, u32 node)
{
	const struct graph_node *n = &g->nodes[node];
	u32 begin = look->nr_links, i, to;

	for (i = n->out; i != GRAPH_NONE; i = g->links[i].out_next) {
		to = g->links[i].to;
		if (look->nr_links == look->links_room ||
		    !take_node(g, look, to)) {
			look->nr_links = begin;
			return false;
		}
		look->links[look->nr_links].from = n->index;
		look->links[look->nr_links].to = g->nodes[to].index;
		look->nr_links++;
	}
	for (i = n->in; i != GRAPH_NONE; i = g->links[i].in_next) {
		if (!take_node(g, look, g->links[i].from)) {
			look->nr_links = begin;
			return false;
		}
	}
	return true;
}

/* One step; false when there is no room for it. */
static bool take_step(struct graph *g, struct graph_look *look, u32 *cost)
{
	struct graph_node *n;
	u32 node;

	if (look->taken < look->nr_nodes) {
		node = look->nodes[look->taken];
		if (same_node(g, look, look->taken)) {
			if (!take_links(g, look, node))
				return false;
			*cost += g->nodes[node].nr_out + g->nodes[node].nr_in;
		}
		look->taken++;
		return true;
	}
	node = g->now;
	n = &g->nodes[node];
	if (!take_node(g, look, node))
		return false;
	g->now = n->dirty_next;
	if (g->now != GRAPH_NONE)
		g->nodes[g->now].dirty_prev = GRAPH_NONE;
	n->flags &= ~GRAPH_DIRTY;
	return true;
}

/**
 * graph_look_take() - take down more of what is to be looked at
 * @g: graph
 * @look: look
 * @max: steps after which to return; the links of one node are one step
 * @done: out, that was all
 *
 * Return: 0, or -EAGAIN when the table is full and is to be grown first.
 */
int graph_look_take(struct graph *g, struct graph_look *look, u32 max,
		    bool *done)
{
	u32 cost = 0;

	for (; cost < max; cost++) {
		*done = look->taken == look->nr_nodes && g->now == GRAPH_NONE;
		if (*done)
			return 0;
		if (!take_step(g, look, &cost))
			return -EAGAIN;
	}
	return 0;
}

/**
 * graph_look_abort() - it is to be looked at another time
 * @g: graph
 * @look: look
 * @at: 0 to begin; where the next call goes on
 * @max: nodes in one call, at most
 *
 * Return: true when nothing is left to do.
 */
bool graph_look_abort(struct graph *g, struct graph_look *look, u32 *at,
		      u32 max)
{
	for (; *at < look->nr_nodes && max; ++*at, max--)
		if (same_node(g, look, *at))
			graph_dirty(g, look->nodes[*at]);
	for (; g->now != GRAPH_NONE && max; max--)
		graph_dirty(g, g->now);
	return *at == look->nr_nodes && g->now == GRAPH_NONE;
}

/* ---- judging ------------------------------------------------------------------------ */

/**
 * graph_judge_bytes() - what it takes to judge a look
 * @look: look that is complete
 *
 * Return: bytes.
 */
size_t graph_judge_bytes(const struct graph_look *look)
{
	size_t nodes = look->nr_nodes;

	return (7 * nodes + 1 + look->nr_links) * sizeof(u32) + nodes;
}

static void judge_tables(struct graph_look *look, void *table)
{
	u32 n = look->nr_nodes;

	look->first = table;
	look->num = look->first + n + 1;
	look->low = look->num + n;
	look->comp = look->low + n;
	look->order = look->comp + n;
	look->stack = look->order + n;
	look->work = look->stack + n;
	look->to = look->work + n;
	look->verdict = (u8 *)(look->to + look->nr_links);
	look->nr_revived = 0;
	look->spread = 0;
	look->edge = 0;
}

/* Links by the node that they come from. */
static void judge_sort(struct graph_look *look)
{
	u32 n = look->nr_nodes, i;

	memset(look->first, 0, (n + 1) * sizeof(u32));
	for (i = 0; i < look->nr_links; i++) {
		graph_breathe();
		look->first[look->links[i].from + 1]++;
	}
	for (i = 0; i < n; i++) {
		graph_breathe();
		look->first[i + 1] += look->first[i];
		look->comp[i] = look->first[i];
	}
	for (i = 0; i < look->nr_links; i++) {
		graph_breathe();
		look->to[look->comp[look->links[i].from]++] =
			look->links[i].to;
	}
	for (i = 0; i < n; i++)
		look->comp[i] = look->first[i];
	memset(look->num, 0, n * sizeof(u32));
}

/**
 * struct search - a depth-first search under way
 * @reached: nodes reached
 * @depth: length of graph_look.work
 * @waiting: length of graph_look.stack
 * @comps: components found
 * @placed: length of graph_look.order
 */
struct search {
	u32 reached;
	u32 depth;
	u32 waiting;
	u32 comps;
	u32 placed;
};

static void search_enter(struct graph_look *look, struct search *s, u32 v)
{
	look->num[v] = ++s->reached;
	look->low[v] = s->reached;
	look->work[s->depth++] = v;
	look->stack[s->waiting++] = v;
}

/* A node that all others of its component were reached from is left. */
static void search_close(struct graph_look *look, struct search *s, u32 v)
{
	u32 w;

	do {
		w = look->stack[--s->waiting];
		look->comp[w] = s->comps;
		/* Never the lowest again. */
		look->low[w] = GRAPH_NONE;
		look->order[s->placed++] = w;
	} while (w != v);
	s->comps++;
}

static void search_leave(struct graph_look *look, struct search *s, u32 v)
{
	u32 low = look->low[v], above;

	s->depth--;
	if (low == look->num[v])
		search_close(look, s, v);
	if (!s->depth)
		return;
	above = look->work[s->depth - 1];
	if (look->low[v] < look->low[above])
		look->low[above] = look->low[v];
}

static void search_from(struct graph_look *look, struct search *s, u32 root)
{
	u32 v, w;

	search_enter(look, s, root);
	while (s->depth) {
		graph_breathe();
		v = look->work[s->depth - 1];
		if (look->comp[v] == look->first[v + 1]) {
			search_leave(look, s, v);
			continue;
		}
		w = look->to[look->comp[v]++];
		if (!look->num[w])
			search_enter(look, s, w);
		else if (look->low[w] < look->low[v])
			look->low[v] = look->low[w];
	}
}

/* Which components are in use by what is outside, and which are cycles. */
static void comps_begin(struct graph_look *look, u32 comps)
{
	u32 n = look->nr_nodes, i, v, k;

	memset(look->work, 0, comps * sizeof(u32));
	for (i = 0; i < n; i++) {
		graph_breathe();
		v = look->order[i];
		if (look->used[v])
			look->work[look->comp[v]] |= LOOK_USED;
		if (i && look->comp[look->order[i - 1]] == look->comp[v])
			look->work[look->comp[v]] |= LOOK_CYCLE;
		for (k = look->first[v]; k < look->first[v + 1]; k++)
			if (look->to[k] == v)
				look->work[look->comp[v]] |= LOOK_CYCLE;
	}
}

/* What follows for a component from one that refers to it. */
static u32 comp_hands_on(u32 flags)
{
	if (flags & LOOK_USED)
		return LOOK_USED;
	if (flags & (LOOK_CYCLE | LOOK_AFTER_CYCLE))
		return LOOK_AFTER | LOOK_AFTER_CYCLE;
	return LOOK_AFTER;
}

static u8 comp_verdict(u32 flags)
{
	if (flags & LOOK_USED)
		return 0;
	if (flags & LOOK_CYCLE)
		return GRAPH_LOST | GRAPH_CYCLE |
		       (flags & LOOK_AFTER ? GRAPH_BEHIND : 0);
	return GRAPH_LOST | (flags & LOOK_AFTER_CYCLE ? GRAPH_BEHIND : 0);
}

/* Those that refer come before those that are referred to. */
static void comps_judge(struct graph_look *look)
{
	u32 i, k, v, flags;

	for (i = look->nr_nodes; i--;) {
		graph_breathe();
		v = look->order[i];
		flags = look->work[look->comp[v]];
		look->verdict[v] = comp_verdict(flags);
		for (k = look->first[v]; k < look->first[v + 1]; k++)
			if (look->comp[look->to[k]] != look->comp[v])
				look->work[look->comp[look->to[k]]] |=
					comp_hands_on(flags);
	}
}

/**
 * graph_judge() - which nodes of a look are referred to from nothing in use
 * @look: look that is complete
 * @table: graph_judge_bytes()
 *
 * Takes time in proportion to nodes and links, and needs no graph.
 */
void graph_judge(struct graph_look *look, void *table)
{
	struct search s = { 0 };
	u32 v;

	judge_tables(look, table);
	judge_sort(look);
	for (v = 0; v < look->nr_nodes; v++)
		if (!look->num[v])
			search_from(look, &s, v);
	comps_begin(look, s.comps);
	comps_judge(look);
}

/* ---- checking ------------------------------------------------------------------------- */

/* It is in use, and so is all that it leads to; returns how many more are. */
static u32 revive(struct graph_look *look, u32 index)
{
	if (!look->verdict[index])
		return 0;
	look->verdict[index] = 0;
	/* No node twice, so that there is room. */
	look->stack[look->nr_revived++] = index;
	return 1;
}

/* One link of what has been revived. */
static u32 revive_next(struct graph_look *look)
{
	u32 v = look->stack[look->spread];

	if (look->first[v] + look->edge < look->first[v + 1])
		return revive(look, look->to[look->first[v] + look->edge++]);
	look->edge = 0;
	look->spread++;
	return 0;
}

/* Does the graph still say so of it? */
static bool still_lost(const struct graph *g, const struct graph_look *look,
		       u32 index)
{
	const struct graph_node *n = &g->nodes[look->nodes[index]], *from;
	u32 i;

	if (in_use(n))
		return false;
	for (i = n->in; i != GRAPH_NONE; i = g->links[i].in_next) {
		from = &g->nodes[g->links[i].from];
		if (from->look != g->look ||
		    !same_node(g, look, from->index) ||
		    !look->verdict[from->index])
			return false;
	}
	return true;
}

/**
 * graph_check() - is what was judged to be lost still so?
 * @g: graph
 * @look: look that has been judged
 * @at: 0 to begin; where the next call goes on
 * @max: steps after which to return, not 0; the links to one node are one step
 * @revived: added to: nodes that are in use after all
 *
 * Nodes that are revived may be what others were judged by: it is to be done
 * again from the beginning until there are none.
 *
 * Return: true at the end.
 */
bool graph_check(struct graph *g, struct graph_look *look, u32 *at, u32 max,
		 u32 *revived)
{
	u32 cost;

	for (cost = 0; cost < max; cost++) {
		if (look->spread < look->nr_revived) {
			*revived += revive_next(look);
			continue;
		}
		if (*at == look->nr_nodes)
			return true;
		if (look->verdict[*at] && same_node(g, look, *at)) {
			cost += g->nodes[look->nodes[*at]].nr_in;
			if (!still_lost(g, look, *at))
				*revived += revive(look, *at);
		}
		++*at;
	}
	return false;
}

/**
 * graph_mark() - put on the list of the lost what has been found to be lost
 * @g: graph
 * @look: look that has been checked
 * @at: 0 to begin; where the next call goes on
 * @max: nodes in one call, at most
 *
 * Return: true at the end.
 */
bool graph_mark(struct graph *g, struct graph_look *look, u32 *at, u32 max)
{
	u32 node, flags;

	for (; *at < look->nr_nodes && max; ++*at, max--) {
		if (!same_node(g, look, *at))
			continue;
		node = look->nodes[*at];
		flags = look->verdict[*at] & (GRAPH_CYCLE | GRAPH_BEHIND);
		graph_keep(g, node);
		if (flags && !in_use(&g->nodes[node]))
			graph_lose(g, node, flags);
	}
	return *at == look->nr_nodes;
}
