// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Extents in a heap, the one with the lowest page on top.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan: "The pairing heap",
 * 1986): entering costs a comparison, leaving a logarithm on average, and any
 * element can leave.  Its links are numbers of extents, so it can lie in memory
 * that processes share.
 */
#include "arena.h"

/* Make one of two tops the other's child; both may be 0. */
static uint32_t join(struct arena *a, uint32_t i, uint32_t k)
{
	struct extent *x = a->extents, *top;
	uint32_t swap;

	if (!i || !k)
		return i | k;
	if (x[k].page < x[i].page) {
		swap = i;
		i = k;
		k = swap;
	}
	top = &x[i];
	x[k].prev = i;
	x[k].next = top->child;
	if (top->child)
		x[top->child].prev = k;
	top->child = k;
	top->next = 0;
	top->prev = 0;
	return i;
}

/* Make one heap of the children of one that goes. */
static uint32_t join_all(struct arena *a, uint32_t first)
{
	struct extent *x = a->extents;
	uint32_t pairs = 0, top = 0, i, k;

	while (first) {
		i = first;
		k = x[i].next;
		first = k ? x[k].next : 0;
		x[i].next = 0;
		x[i].prev = 0;
		if (k) {
			x[k].next = 0;
			x[k].prev = 0;
		}
		i = join(a, i, k);
		x[i].next = pairs;
		pairs = i;
	}
	while (pairs) {
		i = pairs;
		pairs = x[i].next;
		x[i].next = 0;
		top = join(a, top, i);
	}
	return top;
}

/**
 * heap_insert() - enter an extent
 * @a: arena
 * @root: number of the top, 0 for an empty heap
 * @i: number of the extent, in no heap
 */
void heap_insert(struct arena *a, uint32_t *root, uint32_t i)
{
	struct extent *x = &a->extents[i];

	x->child = 0;
	x->next = 0;
	x->prev = 0;
	*root = join(a, *root, i);
}

/**
 * heap_remove() - take one out
 * @a: arena
 * @root: number of the top
 * @i: number of the extent, in this heap
 */
void heap_remove(struct arena *a, uint32_t *root, uint32_t i)
{
	struct extent *x = a->extents, *gone = &x[i];
	uint32_t below = join_all(a, gone->child);

	if (*root == i) {
		*root = below;
		return;
	}
	if (x[gone->prev].child == i)
		x[gone->prev].child = gone->next;
	else
		x[gone->prev].next = gone->next;
	if (gone->next)
		x[gone->next].prev = gone->prev;
	*root = join(a, *root, below);
}
