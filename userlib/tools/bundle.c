// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Where leaking stacks part from those that do not leak.
 *
 * Stacks are put in order from the outermost frame on, so that those that have
 * come through the same calls stand together.  A run of them in which all leak
 * is a bundle; the frame that names it is the innermost one that all of it have
 * in common and that is in no stack that does not leak.  A function that is
 * called from both sides does not tell them apart.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* The frame at @depth, the outermost one being at 0. */
static const struct bmem_frame *frame_at(const struct path *p, uint32_t depth)
{
	return &p->frames[p->nr - 1 - depth];
}

static int frame_compare(const struct bmem_frame *a, const struct bmem_frame *b)
{
	if (a->module != b->module)
		return a->module < b->module ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* What ends is before what goes on. */
static int compare(const void *a, const void *b)
{
	const struct path *x = a, *y = b;
	uint32_t i;
	int ret;

	if (x->client != y->client)
		return x->client < y->client ? -1 : 1;
	for (i = 0; i < x->nr && i < y->nr; i++) {
		ret = frame_compare(frame_at(x, i), frame_at(y, i));
		if (ret)
			return ret;
	}
	return x->nr < y->nr ? -1 : x->nr > y->nr;
}

/**
 * struct bundling - under way
 * @paths: sorted
 * @bundles: out
 * @nr: entries in @bundles
 * @innocent: frames of the client's stacks that do not leak, sorted
 * @nr_innocent: entries in @innocent
 */
struct bundling {
	const struct path *paths;
	struct bundle *bundles;
	size_t nr;
	struct bmem_frame *innocent;
	size_t nr_innocent;
};

static int by_frame(const void *a, const void *b)
{
	return frame_compare(a, b);
}

/* Takes down what the stacks of a client that do not leak come through. */
static void innocent_find(struct bundling *g, size_t first, size_t end)
{
	const struct path *p;
	size_t i, room = 0;

	for (i = first; i < end; i++)
		room += g->paths[i].leaks ? 0 : g->paths[i].nr;
	free(g->innocent);
	g->innocent = must(calloc(room + 1, sizeof(*g->innocent)));
	g->nr_innocent = room;
	for (i = first, room = 0; i < end; i++) {
		p = &g->paths[i];
		if (p->leaks || !p->nr)
			continue;
		memcpy(&g->innocent[room], p->frames,
		       p->nr * sizeof(*p->frames));
		room += p->nr;
	}
	qsort(g->innocent, room, sizeof(*g->innocent), by_frame);
}

/* The deepest of @depth frames that none of those has; @depth if all are there. */
static uint32_t telling_depth(const struct bundling *g, const struct path *p,
			      uint32_t depth)
{
	uint32_t d;

	for (d = depth; d; d--)
		if (!bsearch(frame_at(p, d - 1), g->innocent, g->nr_innocent,
			     sizeof(*g->innocent), by_frame))
			return d;
	return depth;
}

static void bundle_add(struct bundling *g, size_t first, size_t end,
		      uint32_t depth, bool parted)
{
	struct bundle *b = &g->bundles[g->nr++];
	size_t i;

	*b = (struct bundle) {
		.path = &g->paths[first], .nr = end - first,
		.depth = telling_depth(g, &g->paths[first], depth),
		.parted = parted,
	};
	for (i = first; i < end; i++) {
		b->bytes += g->paths[i].bytes;
		b->tensors += g->paths[i].tensors;
	}
}

static size_t leaking(const struct path *paths, size_t first, size_t end)
{
	size_t n = 0;

	for (; first < end; first++)
		n += paths[first].leaks;
	return n;
}

/* Do all go on, and by the same frame?  The first and the last tell. */
static bool go_together(const struct path *paths, size_t first, size_t end,
			uint32_t depth)
{
	return paths[first].nr > depth && paths[end - 1].nr > depth &&
	       !frame_compare(frame_at(&paths[first], depth),
			      frame_at(&paths[end - 1], depth));
}

/* Of one client, with @depth frames in common; no deeper than stacks are. */
static void split(struct bundling *g, size_t first, size_t end, uint32_t depth,
		  bool parted)
{
	const struct path *paths = g->paths;
	size_t leaks = leaking(paths, first, end), next;

	if (!leaks)
		return;
	if (leaks == end - first) {
		while (go_together(paths, first, end, depth))
			depth++;
		bundle_add(g, first, end, depth, parted);
		return;
	}
	/* What ends here has all its frames in common with what does not leak. */
	for (; first < end && paths[first].nr == depth; first++)
		if (paths[first].leaks)
			bundle_add(g, first, first + 1, depth, false);
	for (; first < end; first = next) {
		next = first + 1;
		while (next < end && !frame_compare(frame_at(&paths[first], depth),
						    frame_at(&paths[next], depth)))
			next++;
		split(g, first, next, depth + 1, true);
	}
}

static int by_bytes(const void *a, const void *b)
{
	const struct bundle *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->path < y->path ? -1 : x->path > y->path;
}

/**
 * paths_bundle() - find what leaking stacks have in common
 * @paths: stacks; are sorted
 * @nr: how many
 * @bundles: out, as many as leak at most, the largest first; for free()
 *
 * Return: how many.
 */
size_t paths_bundle(struct path *paths, size_t nr, struct bundle **bundles)
{
	struct bundling g = { .paths = paths };
	size_t first, end;

	g.bundles = must(calloc(leaking(paths, 0, nr) + 1, sizeof(*g.bundles)));
	if (nr)
		qsort(paths, nr, sizeof(*paths), compare);
	for (first = 0; first < nr; first = end) {
		end = first + 1;
		while (end < nr && paths[end].client == paths[first].client)
			end++;
		innocent_find(&g, first, end);
		split(&g, first, end, 0, false);
	}
	free(g.innocent);
	if (g.nr)
		qsort(g.bundles, g.nr, sizeof(*g.bundles), by_bytes);
	*bundles = g.bundles;
	return g.nr;
}
