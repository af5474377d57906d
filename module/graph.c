// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Nodes and links: tables that refer to each other by index, so that they can
 * be moved to larger ones.
 */
#include "graph.h"

/* ---- tables ----------------------------------------------------------------- */

static u64 mix(u64 x)
{
	/* The finaliser of splitmix64. */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static u32 *node_head(const struct graph *g, u64 name)
{
	return &g->node_heads[mix(name ^ g->seed) & (g->nodes_room - 1)];
}

static u32 *link_head(const struct graph *g, u32 from, u32 to)
{
	u64 both = (u64)from << 32 | to;

	return &g->link_heads[mix(both ^ g->seed) & (g->links_room - 1)];
}

/**
 * graph_init() - an empty graph
 * @g: graph
 * @seed: a number that nobody can guess, against chosen names
 */
void graph_init(struct graph *g, u64 seed)
{
	memset(g, 0, sizeof(*g));
	g->seed = seed;
	g->nodes_free = GRAPH_NONE;
	g->links_free = GRAPH_NONE;
	g->idle.head = GRAPH_NONE;
	g->idle.at = GRAPH_NONE;
	g->lost.head = GRAPH_NONE;
	g->lost.at = GRAPH_NONE;
	g->dirty = GRAPH_NONE;
	g->now = GRAPH_NONE;
}

/**
 * graph_nodes_bytes() - what a table of nodes takes
 * @room: nodes, a power of two up to %GRAPH_MAX
 *
 * Return: bytes.
 */
size_t graph_nodes_bytes(u32 room)
{
	return room * (sizeof(struct graph_node) + sizeof(u32));
}

/**
 * graph_links_bytes() - what a table of links takes
 * @room: links, likewise
 *
 * Return: bytes.
 */
size_t graph_links_bytes(u32 room)
{
	return room * (sizeof(struct graph_link) + sizeof(u32));
}

/**
 * graph_grow_nodes() - move to a larger table
 * @g: graph
 * @table: graph_nodes_bytes() of @room
 * @room: more than there is
 *
 * Takes time in proportion to the number of nodes.
 *
 * Return: the old table, which is the caller's again, or NULL.
 */
void *graph_grow_nodes(struct graph *g, void *table, u32 room)
{
	void *old = g->nodes;
	u32 i, *head;

	if (old)
		memcpy(table, old, g->nodes_top * sizeof(*g->nodes));
	g->nodes = table;
	g->node_heads = (u32 *)(g->nodes + room);
	g->nodes_room = room;
	memset(g->node_heads, 0xff, room * sizeof(u32));
	for (i = 0; i < g->nodes_top; i++) {
		if (!g->nodes[i].name)
			continue;
		head = node_head(g, g->nodes[i].name);
		g->nodes[i].hash = *head;
		*head = i;
	}
	return old;
}

/**
 * graph_grow_links() - move to a larger table
 * @g: graph
 * @table: graph_links_bytes() of @room
 * @room: more than there is
 *
 * Takes time in proportion to the number of links.
 *
 * Return: the old table, which is the caller's again, or NULL.
 */
void *graph_grow_links(struct graph *g, void *table, u32 room)
{
	void *old = g->links;
	u32 i, *head;

	if (old)
		memcpy(table, old, g->links_top * sizeof(*g->links));
	g->links = table;
	g->link_heads = (u32 *)(g->links + room);
	g->links_room = room;
	memset(g->link_heads, 0xff, room * sizeof(u32));
	for (i = 0; i < g->links_top; i++) {
		if (g->links[i].from == GRAPH_NONE)
			continue;
		head = link_head(g, g->links[i].from, g->links[i].to);
		g->links[i].hash = *head;
		*head = i;
	}
	return old;
}

/**
 * graph_nodes_full() - is there no room for another node?
 * @g: graph
 *
 * Return: that.
 */
bool graph_nodes_full(const struct graph *g)
{
	return g->nodes_free == GRAPH_NONE && g->nodes_top == g->nodes_room;
}

/**
 * graph_links_full() - is there no room for another link?
 * @g: graph
 *
 * Return: that.
 */
bool graph_links_full(const struct graph *g)
{
	return g->links_free == GRAPH_NONE && g->links_top == g->links_room;
}

/* ---- lists --------------------------------------------------------------------- */

static struct graph_list *list_of(struct graph *g, const struct graph_node *n)
{
	if (n->flags & GRAPH_IDLE)
		return &g->idle;
	return n->flags & GRAPH_LOST ? &g->lost : NULL;
}

static void list_leave(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];
	struct graph_list *list = list_of(g, n);

	if (!list)
		return;
	if (list->at == node)
		list->at = n->next;
	if (n->next != GRAPH_NONE)
		g->nodes[n->next].prev = n->prev;
	if (n->prev != GRAPH_NONE)
		g->nodes[n->prev].next = n->next;
	else
		list->head = n->next;
	list->nr--;
	n->flags &= ~(GRAPH_IDLE | GRAPH_LOST | GRAPH_CYCLE | GRAPH_BEHIND);
}

static void list_enter(struct graph *g, u32 node, u32 flags)
{
	struct graph_node *n = &g->nodes[node];
	struct graph_list *list;

	list_leave(g, node);
	n->flags |= flags;
	list = list_of(g, n);
	n->prev = GRAPH_NONE;
	n->next = list->head;
	if (list->head != GRAPH_NONE)
		g->nodes[list->head].prev = node;
	list->head = node;
	list->nr++;
}

/**
 * graph_walk_begin() - begin to walk over a list
 * @list: list; one walk at a time
 */
void graph_walk_begin(struct graph_list *list)
{
	list->at = list->head;
}

/**
 * graph_walk_next() - the next node of a list
 * @g: graph
 * @list: list
 *
 * Others may change the graph between two calls.
 *
 * Return: the node, or %GRAPH_NONE at the end.
 */
u32 graph_walk_next(const struct graph *g, struct graph_list *list)
{
	u32 node = list->at;

	if (node != GRAPH_NONE)
		list->at = g->nodes[node].next;
	return node;
}

static void dirty_remove(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	if (!(n->flags & GRAPH_DIRTY))
		return;
	if (n->dirty_next != GRAPH_NONE)
		g->nodes[n->dirty_next].dirty_prev = n->dirty_prev;
	if (n->dirty_prev != GRAPH_NONE)
		g->nodes[n->dirty_prev].dirty_next = n->dirty_next;
	else if (g->now == node)
		g->now = n->dirty_next;
	else
		g->dirty = n->dirty_next;
	n->flags &= ~GRAPH_DIRTY;
}

/**
 * graph_dirty() - a node is to be looked at
 * @g: graph
 * @node: node
 *
 * Not by the look under way, which may have passed it.
 */
void graph_dirty(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	dirty_remove(g, node);
	n->flags |= GRAPH_DIRTY;
	n->dirty_prev = GRAPH_NONE;
	n->dirty_next = g->dirty;
	if (g->dirty != GRAPH_NONE)
		g->nodes[g->dirty].dirty_prev = node;
	g->dirty = node;
}

/**
 * graph_dirty_all() - all nodes are to be looked at, and no look is under way
 * @g: graph
 *
 * Takes time in proportion to the number of nodes.
 */
void graph_dirty_all(struct graph *g)
{
	u32 i;

	g->now = GRAPH_NONE;
	g->dirty = GRAPH_NONE;
	for (i = 0; i < g->nodes_top; i++) {
		if (!g->nodes[i].name)
			continue;
		g->nodes[i].flags &= ~GRAPH_DIRTY;
		graph_dirty(g, i);
	}
}

/**
 * graph_keep() - a node is in use after all
 * @g: graph
 * @node: node
 */
void graph_keep(struct graph *g, u32 node)
{
	if (g->nodes[node].flags & GRAPH_LOST)
		list_leave(g, node);
}

/**
 * graph_lose() - a node is not in use, though it is referred to
 * @g: graph
 * @node: node
 * @flags: %GRAPH_CYCLE, %GRAPH_BEHIND
 */
void graph_lose(struct graph *g, u32 node, u32 flags)
{
	if (!(g->nodes[node].flags & GRAPH_IDLE))
		list_enter(g, node, GRAPH_LOST | flags);
}

/* ---- nodes ------------------------------------------------------------------------ */

/**
 * graph_find() - the node of a name
 * @g: graph
 * @name: name
 *
 * Return: the node, or %GRAPH_NONE.
 */
u32 graph_find(const struct graph *g, u64 name)
{
	u32 i;

	if (!g->nodes_room || !name)
		return GRAPH_NONE;
	for (i = *node_head(g, name); i != GRAPH_NONE; i = g->nodes[i].hash)
		if (g->nodes[i].name == name)
			return i;
	return GRAPH_NONE;
}

/**
 * graph_add() - a tensor takes part
 * @g: graph that is not full and has no node of this name
 * @name: name, not 0
 * @gen: the caller's
 *
 * Until it is referred to, or refers to another, it is to be dropped again by
 * graph_remove().
 *
 * Return: the node.
 */
u32 graph_add(struct graph *g, u64 name, u32 gen)
{
	struct graph_node *n;
	u32 node, *head;

	if (g->nodes_free != GRAPH_NONE) {
		node = g->nodes_free;
		g->nodes_free = g->nodes[node].hash;
	} else {
		node = g->nodes_top++;
	}
	n = &g->nodes[node];
	memset(n, 0, sizeof(*n));
	n->name = name;
	n->gen = gen;
	n->out = GRAPH_NONE;
	n->in = GRAPH_NONE;
	head = node_head(g, name);
	n->hash = *head;
	*head = node;
	g->nr_nodes++;
	return node;
}

static void node_free(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];
	u32 *at = node_head(g, n->name);

	list_leave(g, node);
	dirty_remove(g, node);
	while (*at != node)
		at = &g->nodes[*at].hash;
	*at = n->hash;
	n->name = 0;
	n->flags = 0;
	n->look = 0;
	n->hash = g->nodes_free;
	g->nodes_free = node;
	g->nr_nodes--;
}

/* After a reference has come or gone: the list that it belongs to. */
static void node_settle(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	g->changes++;
	if (!(n->flags & GRAPH_REFERRED)) {
		if (!n->nr_out)
			node_free(g, node);
		return;
	}
	if (!n->holds && !n->nr_in) {
		if (!(n->flags & GRAPH_IDLE))
			list_enter(g, node, GRAPH_IDLE);
	} else if (n->flags & GRAPH_IDLE || n->holds) {
		list_leave(g, node);
	}
	graph_dirty(g, node);
}

/**
 * graph_hold() - refer to a node from outside
 * @g: graph
 * @node: node
 *
 * Return: 0, or -EOVERFLOW when it is held so often that no more can be counted.
 */
int graph_hold(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	if (n->holds == 0xffffffffU)
		return -EOVERFLOW;
	n->holds++;
	n->flags |= GRAPH_REFERRED;
	node_settle(g, node);
	return 0;
}

/**
 * graph_drop() - refer to it once less
 * @g: graph
 * @node: node
 *
 * Return: 0, or -ENOENT when it is not held.
 */
int graph_drop(struct graph *g, u32 node)
{
	struct graph_node *n = &g->nodes[node];

	if (!n->holds)
		return -ENOENT;
	n->holds--;
	node_settle(g, node);
	return 0;
}

/* ---- links ------------------------------------------------------------------------- */

static u32 link_find(const struct graph *g, u32 from, u32 to)
{
	u32 i;

	if (!g->links_room)
		return GRAPH_NONE;
	for (i = *link_head(g, from, to); i != GRAPH_NONE; i = g->links[i].hash)
		if (g->links[i].from == from && g->links[i].to == to)
			return i;
	return GRAPH_NONE;
}

static void link_attach(struct graph *g, u32 link, u32 from, u32 to)
{
	struct graph_node *a = &g->nodes[from], *b = &g->nodes[to];
	struct graph_link *l = &g->links[link];
	u32 *head = link_head(g, from, to);

	l->from = from;
	l->to = to;
	l->hash = *head;
	*head = link;
	l->out_prev = GRAPH_NONE;
	l->out_next = a->out;
	if (a->out != GRAPH_NONE)
		g->links[a->out].out_prev = link;
	a->out = link;
	a->nr_out++;
	l->in_prev = GRAPH_NONE;
	l->in_next = b->in;
	if (b->in != GRAPH_NONE)
		g->links[b->in].in_prev = link;
	b->in = link;
	b->nr_in++;
}

static void link_detach(struct graph *g, u32 link)
{
	struct graph_link *l = &g->links[link];
	struct graph_node *a = &g->nodes[l->from], *b = &g->nodes[l->to];
	u32 *at = link_head(g, l->from, l->to);

	while (*at != link)
		at = &g->links[*at].hash;
	*at = l->hash;
	if (l->out_next != GRAPH_NONE)
		g->links[l->out_next].out_prev = l->out_prev;
	if (l->out_prev != GRAPH_NONE)
		g->links[l->out_prev].out_next = l->out_next;
	else
		a->out = l->out_next;
	a->nr_out--;
	if (l->in_next != GRAPH_NONE)
		g->links[l->in_next].in_prev = l->in_prev;
	if (l->in_prev != GRAPH_NONE)
		g->links[l->in_prev].in_next = l->in_next;
	else
		b->in = l->in_next;
	b->nr_in--;
}

static void link_free(struct graph *g, u32 link)
{
	link_detach(g, link);
	g->links[link].from = GRAPH_NONE;
	g->links[link].hash = g->links_free;
	g->links_free = link;
	g->nr_links--;
}

/**
 * graph_link() - a node refers to another, or to itself
 * @g: graph that has room for a link
 * @from: node
 * @to: node
 *
 * Return: 0, or -EEXIST when it does so already.
 */
int graph_link(struct graph *g, u32 from, u32 to)
{
	u32 link;

	if (link_find(g, from, to) != GRAPH_NONE)
		return -EEXIST;
	if (g->links_free != GRAPH_NONE) {
		link = g->links_free;
		g->links_free = g->links[link].hash;
	} else {
		link = g->links_top++;
	}
	g->nr_links++;
	link_attach(g, link, from, to);
	g->nodes[to].flags |= GRAPH_REFERRED;
	node_settle(g, to);
	return 0;
}

/**
 * graph_unlink() - it does so no more
 * @g: graph
 * @from: node; gone if it has never been referred to, and this was its last link
 * @to: node
 *
 * Return: 0, or -ENOENT when there is no such link.
 */
int graph_unlink(struct graph *g, u32 from, u32 to)
{
	u32 link = link_find(g, from, to);

	if (link == GRAPH_NONE)
		return -ENOENT;
	link_free(g, link);
	node_settle(g, to);
	if (from != to && !(g->nodes[from].flags & GRAPH_REFERRED))
		node_settle(g, from);
	return 0;
}

/**
 * graph_remove() - a tensor is gone
 * @g: graph
 * @node: node
 * @max: links to remove in one call, at most
 *
 * Return: true when it and all its links are gone; else it is to be called
 * again.
 */
bool graph_remove(struct graph *g, u32 node, u32 max)
{
	struct graph_node *n = &g->nodes[node];
	u32 other;

	while (n->out != GRAPH_NONE && max--) {
		other = g->links[n->out].to;
		link_free(g, n->out);
		if (other != node)
			node_settle(g, other);
	}
	while (n->out == GRAPH_NONE && n->in != GRAPH_NONE && max--) {
		other = g->links[n->in].from;
		link_free(g, n->in);
		if (!(g->nodes[other].flags & GRAPH_REFERRED))
			node_settle(g, other);
	}
	if (n->out != GRAPH_NONE || n->in != GRAPH_NONE)
		return false;
	g->changes++;
	node_free(g, node);
	return true;
}
