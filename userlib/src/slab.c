// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Slots: spans of one size class, given out and taken back by the batch.
 *
 * A span is there while one of its slots is out.  Those that have a slot in
 * are in their class's heap, so that the lowest is used first and the others
 * get a chance to become empty.
 */
#include <errno.h>

#include "arena.h"

static uint64_t all_in(uint32_t class)
{
	return ~0ULL >> (64 - slab_classes[class].slots);
}

/* The word that names a slot. */
static uint64_t slot_name(const struct extent *x, uint32_t slot)
{
	uint64_t at = ((uint64_t)x->page << PAGE_SHIFT) +
		      (uint64_t)slot * slab_classes[x->class].bytes;

	return at >> PLACE_SHIFT |
	       (uint64_t)(x->record + slot) << BMEM_SLOT_PLACE_BITS;
}

/* The map points from each of its pages to a span, or no longer. */
static void span_enter(struct arena *a, const struct extent *x, bool in)
{
	uint64_t entry = (x->class + 1) |
			 (uint64_t)x->record << BMEM_SPAN_RECORD_SHIFT;
	uint32_t i;

	for (i = 0; i < x->pages; i++)
		map_write(a, x->page + i,
			  in ? entry | (uint64_t)i << BMEM_SPAN_ARG_SHIFT : 0);
}

static int span_make(struct arena *a, uint32_t class)
{
	const struct slab_class *c = &slab_classes[class];
	struct books *bk = a->books;
	uint32_t start, record, pages = c->pages;
	struct extent *x;
	int ret;

	ret = ledger_get(a, c->slots, &record);
	if (ret)
		return ret;
	/* Low, where least is ever free: what they keep from being given back. */
	ret = run_place(a, PLACE_FIRST, &pages, 1, &start);
	if (ret) {
		ledger_put(a, record, c->slots);
		return ret;
	}
	x = extent_new(a, start, pages);
	x->record = record;
	x->class = class;
	x->free = all_in(class);
	span_enter(a, x, true);
	heap_insert(a, &bk->heaps[class], extent_number(a, x));
	bk->st.spans++;
	bk->st.span_bytes += (uint64_t)pages << PAGE_SHIFT;
	return 0;
}

static void span_unmake(struct arena *a, struct extent *x)
{
	struct books *bk = a->books;

	heap_remove(a, &bk->heaps[x->class], extent_number(a, x));
	bk->st.spans--;
	bk->st.span_bytes -= (uint64_t)x->pages << PAGE_SHIFT;
	ledger_put(a, x->record, slab_classes[x->class].slots);
	span_enter(a, x, false);
	extent_gone(a, x);
}

/* Give out up to @nr slots of a span that has some; returns how many. */
static uint32_t span_take(struct arena *a, struct extent *x, uint64_t *out,
			  uint32_t nr)
{
	uint32_t n, slot;

	for (n = 0; n < nr && x->free; n++) {
		slot = (uint32_t)__builtin_ctzll(x->free);
		x->free &= x->free - 1;
		record_clear(a, x->record + slot);
		out[n] = slot_name(x, slot);
	}
	if (!x->free)
		heap_remove(a, &a->books->heaps[x->class],
			    extent_number(a, x));
	return n;
}

static void count_out(struct bmem_client_stats *st, uint64_t nr, uint64_t bytes)
{
	st->slots += nr;
	st->slot_bytes += bytes;
	st->live_tensors += nr;
	st->live_bytes += bytes;
	st->granted_bytes += bytes;
	if (st->live_bytes > st->peak_live_bytes)
		st->peak_live_bytes = st->live_bytes;
}

static void count_in(struct bmem_client_stats *st, uint64_t nr, uint64_t bytes)
{
	st->slots -= nr;
	st->slot_bytes -= bytes;
	st->live_tensors -= nr;
	st->live_bytes -= bytes;
	st->granted_bytes -= bytes;
}

/**
 * arena_slots_get() - BMEM_SLOTS_GET
 * @a: arena
 * @cmd: checked
 *
 * Return: 0, -ENOSPC, -ENOMEM or -ENOTRECOVERABLE.
 */
int arena_slots_get(struct arena *a, struct bmem_slots *cmd)
{
	uint64_t *out = (void *)(uintptr_t)cmd->slots;
	const uint32_t *top = &a->books->heaps[cmd->size_class];
	uint32_t n = 0;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	clock_now(a);
	while (n < cmd->nr) {
		if (!*top)
			ret = span_make(a, cmd->size_class);
		if (ret)
			break;
		n += span_take(a, &a->extents[*top], out + n, cmd->nr - n);
	}
	count_out(&a->books->st, n,
		  (uint64_t)n * slab_classes[cmd->size_class].bytes);
	a->books->st.failed += !n;
	arena_unlock(a);
	if (!n)
		return ret;
	cmd->nr = n;
	return 0;
}

/* Find the slot that a word names, if it is out; probably in the span @x. */
static struct extent *slot_find(const struct arena *a, uint64_t name,
				struct extent *x, uint32_t *slot)
{
	uint64_t at = (name & PLACE_MASK) << PLACE_SHIFT;

	if (!x || (at >> PAGE_SHIFT) - x->page >= x->pages)
		x = extent_at(a, at >> PAGE_SHIFT);
	if (!x || !extent_slotted(x))
		return NULL;
	*slot = slab_slot_at(x->class, (uint32_t)(at - ((uint64_t)x->page <<
							 PAGE_SHIFT)));
	if (*slot >= slab_classes[x->class].slots || x->free >> *slot & 1)
		return NULL;
	return slot_name(x, *slot) == name ? x : NULL;
}

/*
 * Take back a slot; returns its size, 0 for what is none.  @span is where the
 * one before was, if it is still there, and after this the same of this one.
 */
static uint32_t slot_put(struct arena *a, uint64_t name, struct extent **span)
{
	struct record_view v;
	struct extent *x;
	uint32_t slot, bytes;

	x = slot_find(a, name, *span, &slot);
	if (!x)
		return 0;
	*span = x;
	bytes = slab_classes[x->class].bytes;
	record_read(a, x->record + slot, bytes, &v);
	a->books->past += v.gen;
	if (!x->free)
		heap_insert(a, &a->books->heaps[x->class],
			    extent_number(a, x));
	x->free |= 1ULL << slot;
	if (x->free == all_in(x->class)) {
		span_unmake(a, x);
		*span = NULL;
	}
	return bytes;
}

/**
 * arena_slots_put() - BMEM_SLOTS_PUT
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_slots_put(struct arena *a, struct bmem_slots *cmd)
{
	const uint64_t *names = (const void *)(uintptr_t)cmd->slots;
	struct extent *span = NULL;
	uint64_t bytes = 0;
	uint32_t i, n = 0, got;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	clock_now(a);
	for (i = 0; i < cmd->nr; i++) {
		got = slot_put(a, names[i], &span);
		n += got != 0;
		bytes += got;
	}
	count_in(&a->books->st, n, bytes);
	arena_unlock(a);
	cmd->nr = n;
	return 0;
}

/**
 * adopt_span() - enter a span of another arena at its place, all slots out
 * @a: arena that nobody uses yet
 * @start: first page
 * @class: size class
 * @record: record of the first slot
 *
 * Return: 0, or a negative errno.
 */
int adopt_span(struct arena *a, uint32_t start, uint32_t class, uint32_t record)
{
	const struct slab_class *c = &slab_classes[class];
	struct bmem_client_stats *st = &a->books->st;
	struct extent *x;
	int ret;

	ret = run_take(a, start, c->pages);
	if (!ret)
		ret = ledger_take(a, record, c->slots);
	if (ret)
		return ret;
	x = extent_new(a, start, c->pages);
	x->record = record;
	x->class = class;
	span_enter(a, x, true);
	st->spans++;
	st->span_bytes += (uint64_t)c->pages << PAGE_SHIFT;
	count_out(st, c->slots, (uint64_t)c->slots * c->bytes);
	return 0;
}
