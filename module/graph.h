/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * graph: who refers to whom among the tensors of one client, and what of it
 * nobody refers to any more.
 *
 * Pure logic: it knows neither memory nor locks, calls nothing, and is
 * compiled into the module, into libbmem's fallback and into the tests.  The
 * caller serialises all calls on one graph and provides the memory for its
 * tables.  Nothing in it recurses, and no single call takes longer than what
 * its caller has allowed it, but for those that say so.
 *
 * A node is a tensor that takes part.  A reference to it is a link from
 * another node, of which there is at most one, or a hold, which is a reference
 * from outside; holds are counted.  A node that has never been referred to is
 * in use by something that is not told of, and so counts as held.
 */
#ifndef BMEM_GRAPH_H
#define BMEM_GRAPH_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

/* Where it may go on for long, and nobody waits for a lock. */
#ifdef __KERNEL__
#define graph_breathe()	cond_resched()
#else
#define graph_breathe()	do { } while (0)
#endif

/* No node, no link. */
#define GRAPH_NONE	0xffffffffU

/* Most nodes, and most links. */
#define GRAPH_MAX	(1U << 21)

/* It has been referred to. */
#define GRAPH_REFERRED	1
/* Something about its references has changed since it was last looked at. */
#define GRAPH_DIRTY	2
/* On the list of those that nothing refers to. */
#define GRAPH_IDLE	4
/* On the list of those that are referred to from nothing in use. */
#define GRAPH_LOST	8
/* Of those: in a cycle. */
#define GRAPH_CYCLE	16
/* Of those: referred to from outside of its cycle, if it has one. */
#define GRAPH_BEHIND	32

/**
 * struct graph_node - a tensor that takes part
 * @name: what the caller calls it, not 0
 * @gen: the caller's
 * @holds: references from outside
 * @out: first of the links from it
 * @in: first of the links to it
 * @nr_in: number of those
 * @nr_out: number of those from it
 * @hash: next with the same hash; next free node
 * @next: on the list that it is on
 * @prev: likewise
 * @dirty_next: next that is dirty
 * @dirty_prev: likewise
 * @flags: GRAPH_*
 * @index: its number in the last look at it
 * @look: which one that was
 */
struct graph_node {
	u64 name;
	u32 gen;
	u32 holds;
	u32 out;
	u32 in;
	u32 nr_in;
	u32 nr_out;
	u32 hash;
	u32 next;
	u32 prev;
	u32 dirty_next;
	u32 dirty_prev;
	u32 flags;
	u32 index;
	u32 look;
};

/**
 * struct graph_link - a link
 * @from: node that refers
 * @to: node that is referred to
 * @hash: next with the same hash; next free link
 * @out_next: next from the same node
 * @out_prev: likewise
 * @in_next: next to the same node
 * @in_prev: likewise
 */
struct graph_link {
	u32 from;
	u32 to;
	u32 hash;
	u32 out_next;
	u32 out_prev;
	u32 in_next;
	u32 in_prev;
};

/**
 * struct graph_list - nodes in a list
 * @head: first of them
 * @nr: how many
 * @at: where a walk goes on; stays right when nodes come and go
 */
struct graph_list {
	u32 head;
	u32 nr;
	u32 at;
};

/**
 * struct graph - nodes and links
 * @nodes: table, with hash heads behind it
 * @node_heads: first node by hash
 * @nodes_room: length of both, a power of two, or 0
 * @nodes_top: nodes that were ever in use
 * @nodes_free: list of those that are not
 * @nr_nodes: in use
 * @links: table, with hash heads behind it
 * @link_heads: first link by hash
 * @links_room: length of both, likewise
 * @links_top: likewise
 * @links_free: likewise
 * @nr_links: in use
 * @idle: nodes that have been referred to, and are not any more
 * @lost: nodes that are referred to, but from nothing in use
 * @dirty: nodes that are to be looked at
 * @now: of these, nodes that the look under way has yet to look at
 * @changes: counts up with each change
 * @look: number of the last look
 * @seed: of the hash
 */
struct graph {
	struct graph_node *nodes;
	u32 *node_heads;
	u32 nodes_room;
	u32 nodes_top;
	u32 nodes_free;
	u32 nr_nodes;
	struct graph_link *links;
	u32 *link_heads;
	u32 links_room;
	u32 links_top;
	u32 links_free;
	u32 nr_links;
	struct graph_list idle;
	struct graph_list lost;
	u32 dirty;
	u32 now;
	u64 changes;
	u32 look;
	u64 seed;
};

void graph_init(struct graph *g, u64 seed);
size_t graph_nodes_bytes(u32 room);
size_t graph_links_bytes(u32 room);
void *graph_grow_nodes(struct graph *g, void *table, u32 room);
void *graph_grow_links(struct graph *g, void *table, u32 room);

bool graph_nodes_full(const struct graph *g);
bool graph_links_full(const struct graph *g);

u32 graph_find(const struct graph *g, u64 name);
u32 graph_add(struct graph *g, u64 name, u32 gen);
int graph_link(struct graph *g, u32 from, u32 to);
int graph_unlink(struct graph *g, u32 from, u32 to);
int graph_hold(struct graph *g, u32 node);
int graph_drop(struct graph *g, u32 node);
bool graph_remove(struct graph *g, u32 node, u32 max);
void graph_walk_begin(struct graph_list *list);
u32 graph_walk_next(const struct graph *g, struct graph_list *list);
void graph_dirty(struct graph *g, u32 node);
void graph_dirty_all(struct graph *g);
void graph_lose(struct graph *g, u32 node, u32 flags);
void graph_keep(struct graph *g, u32 node);

/**
 * struct graph_pair - a link, by the numbers of its nodes in a look
 * @from: number
 * @to: number
 */
struct graph_pair {
	u32 from;
	u32 to;
};

/**
 * struct graph_look - what a part of a graph was at a moment
 * @nodes: numbers of the nodes in the graph
 * @names: their names
 * @used: of each, whether it is in use by what is not in the graph
 * @links: links among them
 * @nr_nodes: how many
 * @nr_links: how many
 * @nodes_room: length of @nodes, @names and @used
 * @links_room: length of @links
 * @taken: nodes whose links have been taken down
 * @changes: graph.changes when it began
 * @first: by node, where the links from it begin in @to; one more at the end
 * @to: nodes that links lead to
 * @num: of each node, when it was first reached, from 1 on
 * @low: of each node, Tarjan's lowlink
 * @comp: of each node, next link to follow; later its component
 * @order: nodes by component; links lead to the same or one before
 * @stack: nodes that have no component yet; later those that were revived
 * @work: nodes whose links are being followed; later LOOK_* by component
 * @verdict: of each node, GRAPH_LOST, GRAPH_CYCLE and GRAPH_BEHIND
 * @nr_revived: nodes that are in use after all, in @stack
 * @spread: of these, those of which all links have been followed
 * @edge: links of the next one that have been
 *
 * All parts of the graph that something has changed in, with everything that
 * is linked to it in either direction.
 */
struct graph_look {
	u64 *names;
	u32 *nodes;
	struct graph_pair *links;
	u8 *used;
	u32 nr_nodes;
	u32 nr_links;
	u32 nodes_room;
	u32 links_room;
	u32 taken;
	u64 changes;

	u32 *first;
	u32 *to;
	u32 *num;
	u32 *low;
	u32 *comp;
	u32 *order;
	u32 *stack;
	u32 *work;
	u8 *verdict;
	u32 nr_revived;
	u32 spread;
	u32 edge;
};

size_t graph_look_bytes(u32 nodes, u32 links);
void *graph_look_table(struct graph_look *look);
void *graph_look_grow(struct graph_look *look, void *table, u32 nodes,
		      u32 links);
void graph_look_begin(struct graph *g, struct graph_look *look);
int graph_look_take(struct graph *g, struct graph_look *look, u32 max,
		    bool *done);
bool graph_look_abort(struct graph *g, struct graph_look *look, u32 *at,
		      u32 max);
size_t graph_judge_bytes(const struct graph_look *look);
void graph_judge(struct graph_look *look, void *table);
bool graph_check(struct graph *g, struct graph_look *look, u32 *at, u32 max,
		 u32 *revived);
bool graph_mark(struct graph *g, struct graph_look *look, u32 *at, u32 max);

#endif /* BMEM_GRAPH_H */
