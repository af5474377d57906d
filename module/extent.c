// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extents: what lies where in a client's arena, tensors and slab spans alike.
 */
#include "bmem_private.h"

static struct extent *extent_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct extent, node);
}

/**
 * bmem_extent_from() - the lowest extent that begins at or above a page
 * @client: client, locked
 * @page: number of the page
 *
 * Return: the extent or NULL.
 */
struct extent *bmem_extent_from(struct bmem_client *client, u64 page)
{
	struct rb_node *node = client->extents.rb_node;
	struct extent *best = NULL;

	lockdep_assert_held(&client->lock);
	while (node) {
		struct extent *e = extent_of(node);

		if (e->page >= page) {
			best = e;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

/**
 * bmem_extent_covering() - the extent that a page is a part of
 * @client: client, locked
 * @page: number of the page
 *
 * Return: the extent or NULL.
 */
struct extent *bmem_extent_covering(struct bmem_client *client, u64 page)
{
	struct rb_node *node = client->extents.rb_node;

	lockdep_assert_held(&client->lock);
	while (node) {
		struct extent *e = extent_of(node);

		if (page < e->page)
			node = node->rb_left;
		else if (page >= (u64)e->page + e->pages)
			node = node->rb_right;
		else
			return e;
	}
	return NULL;
}

/**
 * bmem_extent_next() - the extent behind another
 * @e: extent
 *
 * Return: that or NULL.
 */
struct extent *bmem_extent_next(struct extent *e)
{
	return extent_of(rb_next(&e->node));
}

/**
 * bmem_extent_insert() - enter an extent
 * @client: client, locked
 * @e: extent that overlaps no other
 */
void bmem_extent_insert(struct bmem_client *client, struct extent *e)
{
	struct rb_node **link = &client->extents.rb_node, *parent = NULL;

	lockdep_assert_held(&client->lock);
	e->reached = false;
	e->queued = false;
	while (*link) {
		parent = *link;
		link = e->page < extent_of(parent)->page ? &parent->rb_left :
							   &parent->rb_right;
	}
	rb_link_node(&e->node, parent, link);
	rb_insert_color(&e->node, &client->extents);
}

/**
 * bmem_extent_erase() - take an extent out
 * @client: client, locked
 * @e: extent that was entered
 */
void bmem_extent_erase(struct bmem_client *client, struct extent *e)
{
	lockdep_assert_held(&client->lock);
	rb_erase(&e->node, &client->extents);
}
