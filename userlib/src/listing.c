// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What is known of tensors, those in slots included: one, all in turn, sums.
 */
#include <errno.h>
#include <string.h>

#include "arena.h"

static void use_record(const struct arena *a, const struct record_view *v,
		       struct bmem_tensor *t)
{
	t->bytes = v->bytes;
	t->site = v->site;
	t->age_ms = record_age(a, v);
}

/* Returns false for a recorded tensor that its owner has freed. */
static bool describe_tensor(const struct arena *a, const struct extent *x,
			    uint64_t now, struct bmem_tensor *t)
{
	struct record_view v;

	*t = (struct bmem_tensor) {
		.handle = extent_handle(x),
		.offset = (uint64_t)x->page << PAGE_SHIFT,
		.bytes = x->bytes,
		.granted = (uint64_t)x->pages << PAGE_SHIFT,
		.age_ms = now - x->born_ms,
		.site = x->site,
		.flags = x->flags,
	};
	if (!extent_recorded(x))
		return true;
	record_read(a, x->record, t->granted, &v);
	if (v.live)
		use_record(a, &v, t);
	return v.live;
}

/* Returns false for a slot that holds no tensor. */
static bool describe_slot(const struct arena *a, const struct extent *x,
			  uint32_t slot, struct bmem_tensor *t)
{
	uint32_t bytes = slab_classes[x->class].bytes;
	struct record_view v;

	if (x->free >> slot & 1)
		return false;
	record_read(a, x->record + slot, bytes, &v);
	if (!v.live)
		return false;
	*t = (struct bmem_tensor) {
		.offset = ((uint64_t)x->page << PAGE_SHIFT) +
			  (uint64_t)slot * bytes,
		.granted = bytes,
		.flags = BMEM_ALLOC_RECORD,
	};
	t->handle = (uint64_t)(1U << HANDLE_GEN_BITS | v.gen) <<
		    BMEM_SLOT_PLACE_BITS | t->offset >> PLACE_SHIFT;
	use_record(a, &v, t);
	return true;
}

/* The tensor that covers an offset. */
static bool describe_at(const struct arena *a, uint64_t offset, uint64_t now,
			struct bmem_tensor *t)
{
	struct extent *x = extent_covering(a, offset >> PAGE_SHIFT);
	uint64_t inside;
	uint32_t slot;

	if (!x)
		return false;
	if (!extent_slotted(x))
		return describe_tensor(a, x, now, t);
	inside = offset - ((uint64_t)x->page << PAGE_SHIFT);
	slot = (uint32_t)inside / slab_classes[x->class].bytes;
	return slot < slab_classes[x->class].slots &&
	       describe_slot(a, x, slot, t);
}

static bool describe_handle(const struct arena *a, uint64_t handle,
			    uint64_t now, struct bmem_tensor *t)
{
	return describe_at(a, (handle & PLACE_MASK) << PLACE_SHIFT, now, t) &&
	       t->handle == handle;
}

/**
 * arena_info() - BMEM_TENSOR_INFO
 * @a: arena
 * @cmd: checked
 *
 * Return: 0, -ENOENT or -ENOTRECOVERABLE.
 */
int arena_info(struct arena *a, struct bmem_tensor_info *cmd)
{
	uint64_t now;
	bool found;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	now = clock_now(a);
	found = cmd->flags & BMEM_INFO_OFFSET ?
		describe_at(a, cmd->offset, now, &cmd->tensor) :
		describe_handle(a, cmd->handle, now, &cmd->tensor);
	if (found)
		site_label(a->books, site_find(a->books, cmd->tensor.site),
			   cmd->label);
	/* There are no links in the fallback. */
	cmd->holds = 0;
	cmd->links_in = 0;
	cmd->links_out = 0;
	cmd->__reserved = 0;
	arena_unlock(a);
	return found ? 0 : -ENOENT;
}

static bool list_wants(const struct bmem_tensor_list *cmd,
		       const struct bmem_tensor *t)
{
	if (cmd->flags & BMEM_LIST_SITE && t->site != cmd->site)
		return false;
	return t->bytes >= cmd->min_bytes && t->age_ms >= cmd->min_age_ms;
}

/* The first slot of a span that begins at or behind the cursor. */
static uint32_t first_slot(const struct extent *x, uint64_t cursor)
{
	uint64_t begin = (uint64_t)x->page << PAGE_SHIFT;
	uint64_t at = cursor << PLACE_SHIFT;
	uint32_t bytes = slab_classes[x->class].bytes;

	return at <= begin ? 0 : (uint32_t)((at - begin + bytes - 1) / bytes);
}

/* Slots of one span, from the cursor on, which moves behind what was seen. */
static void list_span(struct arena *a, const struct extent *x,
		      struct bmem_tensor_list *cmd, struct bmem_tensor *out,
		      uint32_t *n)
{
	const struct slab_class *c = &slab_classes[x->class];
	uint64_t begin = (uint64_t)x->page << PAGE_SHIFT;
	uint32_t slot = first_slot(x, cmd->cursor);

	for (; slot < c->slots && *n < cmd->nr; slot++)
		if (describe_slot(a, x, slot, &out[*n]))
			*n += list_wants(cmd, &out[*n]);
	if (slot < c->slots)
		begin += (uint64_t)slot * c->bytes;
	else
		begin += (uint64_t)x->pages << PAGE_SHIFT;
	cmd->cursor = begin >> PLACE_SHIFT;
}

static void list_extent(struct arena *a, const struct extent *x, uint64_t now,
			struct bmem_tensor_list *cmd, struct bmem_tensor *out,
			uint32_t *n)
{
	uint64_t begin = ((uint64_t)x->page << PAGE_SHIFT) >> PLACE_SHIFT;

	if (extent_slotted(x)) {
		list_span(a, x, cmd, out, n);
		return;
	}
	if (cmd->cursor <= begin && describe_tensor(a, x, now, &out[*n]))
		*n += list_wants(cmd, &out[*n]);
	cmd->cursor = begin + (((uint64_t)x->pages << PAGE_SHIFT) >>
			       PLACE_SHIFT);
}

/* The extent that the cursor is in or before. */
static struct extent *extent_from(const struct arena *a, uint64_t cursor)
{
	uint32_t end = a->books->place.chunks * PLACE_CHUNK_PAGES;
	uint64_t page = cursor >> (PAGE_SHIFT - PLACE_SHIFT);
	struct extent *x;
	uint32_t next;

	if (page >= end)
		return NULL;
	x = extent_covering(a, page);
	if (x)
		return x;
	next = extent_after(a, (uint32_t)page, end);
	return next < end ? extent_at(a, next) : NULL;
}

/**
 * arena_list() - BMEM_TENSOR_LIST
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_list(struct arena *a, struct bmem_tensor_list *cmd)
{
	struct bmem_tensor *out = (void *)(uintptr_t)cmd->entries;
	struct extent *x;
	uint32_t n = 0;
	uint64_t now;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	now = clock_now(a);
	while (n < cmd->nr) {
		x = extent_from(a, cmd->cursor);
		if (!x)
			break;
		list_extent(a, x, now, cmd, out, &n);
	}
	arena_unlock(a);
	cmd->nr = n;
	return 0;
}

/* ---- sums --------------------------------------------------------- */

/* What the ledger says of all slots and recorded tensors together. */
struct ledger_sums {
	uint64_t live;
	uint64_t bytes;
	uint64_t allocs;
	uint64_t bad;
	uint64_t idle_bytes;
};

static void sum_record(const struct arena *a, uint32_t record,
		       uint64_t granted, struct ledger_sums *s)
{
	struct record_view v;

	record_read(a, record, granted, &v);
	s->allocs += v.gen;
	s->live += v.live;
	s->bad += v.bad;
	if (v.live)
		s->bytes += v.bytes;
	else
		s->idle_bytes += granted;
}

static void sum_extent(const struct arena *a, const struct extent *x,
		       struct ledger_sums *s)
{
	const struct slab_class *c;
	uint32_t slot;

	if (extent_recorded(x)) {
		sum_record(a, x->record, (uint64_t)x->pages << PAGE_SHIFT, s);
		return;
	}
	if (!extent_slotted(x)) {
		s->live++;
		s->bytes += x->bytes;
		return;
	}
	c = &slab_classes[x->class];
	for (slot = 0; slot < c->slots; slot++)
		if (!(x->free >> slot & 1))
			sum_record(a, x->record + slot, c->bytes, s);
}

/**
 * ledger_stats() - BMEM_STATS_LEDGER: correct what the books take for live
 * @a: arena, locked
 * @st: the client's figures
 *
 * A client may have scribbled fewer generations than it has live tensors.
 */
void ledger_stats(struct arena *a, struct bmem_client_stats *st)
{
	uint32_t end = a->books->place.chunks * PLACE_CHUNK_PAGES, page;
	struct ledger_sums s = { 0 };
	const struct extent *x;

	for (page = extent_after(a, 0, end); page < end;
	     page = extent_after(a, page + x->pages, end)) {
		x = extent_at(a, page);
		sum_extent(a, x, &s);
	}
	st->live_tensors = s.live;
	st->live_bytes = s.bytes;
	st->idle_bytes = s.idle_bytes;
	st->ledger_bad = s.bad;
	st->allocs = a->books->past + a->books->plain + s.allocs;
	st->frees = st->allocs > s.live ? st->allocs - s.live : 0;
}
