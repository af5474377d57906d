// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots: places for small tensors, cut from slab spans, given out in batches.
 *
 * The kernel knows which slots are out; what is in them the ledger says.  A
 * span whose slots are all in is given back at once: those who come and go
 * keep their slots in magazines.
 */
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bmem_private.h"
#include "trace.h"

static_assert(SLAB_CLASSES == BMEM_CLASSES);
static_assert(SLAB_BYTES_MAX == BMEM_SLOT_MAX);
static_assert(SLAB_GRANULE == BMEM_ALIGN_MIN);

#define PLACE_MASK	((1ULL << BMEM_SLOT_PLACE_BITS) - 1)

static struct kmem_cache *span_cache;

size_t bmem_span_size(void)
{
	return kmem_cache_size(span_cache);
}

static u64 slots_mask(const struct span *s)
{
	return GENMASK_ULL(slab_classes[s->class].slots - 1, 0);
}

static u64 slot_offset(const struct span *s, u32 slot)
{
	return bmem_bytes(s->at.page) + (u64)slot * slab_classes[s->class].bytes;
}

static u64 slot_name(const struct span *s, u32 slot)
{
	return (u64)(s->record + slot) << BMEM_SLOT_PLACE_BITS |
	       slot_offset(s, slot) / BMEM_ALIGN_MIN;
}

/**
 * bmem_span_view() - what the ledger says of a slot
 * @client: client, locked
 * @s: span
 * @slot: slot of its class
 * @see: as for bmem_ledger_read()
 * @v: out
 *
 * Return: false when the slot is in.
 */
bool bmem_span_view(struct bmem_client *client, const struct span *s, u32 slot,
		    bool see, struct ledger_view *v)
{
	if (s->free & BIT_ULL(slot))
		return false;
	v->offset = slot_offset(s, slot);
	v->granted = slab_classes[s->class].bytes;
	bmem_ledger_read(client, s->record + slot, see, v);
	return true;
}

/* ---- spans --------------------------------------------------------------------- */

static void span_map(struct bmem_client *client, const struct span *s, bool set)
{
	u64 entry = 0;
	u32 i;

	for (i = 0; i < s->at.pages; i++) {
		if (set)
			entry = (s->class + 1) |
				(u64)i << BMEM_SPAN_ARG_SHIFT |
				(u64)s->record << BMEM_SPAN_RECORD_SHIFT;
		bmem_span_map_set(client, s->at.page + i, entry);
	}
}

/* The reason of an error, when what gave it could have been full. */
static enum bmem_reason reason_of(int rc, enum bmem_reason full)
{
	return rc == -ENOSPC ? full : BMEM_REASON_MEMORY;
}

/* Memory and records for a span that has a place. */
static int span_equip(struct bmem_client *client, struct span *s,
		      enum bmem_reason *why)
{
	u64 need = 0;
	int rc;

	*why = BMEM_REASON_MEMORY;

	rc = bmem_backing_prepare(client, s->at.page, s->at.pages, &need);
	if (rc)
		return rc;
	if (need > bmem_pool_free_pages(client->pool)) {
		*why = BMEM_REASON_LIMIT;
		return -ENOSPC;
	}
	rc = bmem_span_map_prepare(client, s->at.page, s->at.pages);
	if (rc)
		return rc;
	rc = bmem_backing_attach(client, s->at.page, s->at.pages);
	*why = reason_of(rc, BMEM_REASON_LIMIT);
	if (rc)
		return rc;
	rc = bmem_ledger_get(client, slab_classes[s->class].slots, &s->record);
	*why = reason_of(rc, BMEM_REASON_LEDGER);
	return rc;
}

static int span_place(struct bmem_client *client, struct span *s,
		      enum bmem_reason *why)
{
	int rc;

	/* Into the smallest gap: what is left of a large one serves a tensor. */
	rc = bmem_arena_place(client, PLACE_BEST, s->at.pages, 1, &s->at.page,
			      &s->at.pages);
	*why = reason_of(rc, BMEM_REASON_SPACE);
	if (rc)
		return rc;
	rc = span_equip(client, s, why);
	if (!rc)
		return 0;
	place_free(&client->place, s->at.page, s->at.pages);
	bmem_backing_release(client, s->at.page, s->at.pages);
	return rc;
}

static struct span *span_add(struct bmem_client *client, u32 class,
			     enum bmem_reason *why)
{
	struct span *s = kmem_cache_zalloc(span_cache, GFP_BMEM_META);
	int rc;

	*why = BMEM_REASON_MEMORY;
	if (!s)
		return ERR_PTR(-ENOMEM);
	s->class = class;
	s->at.slab = true;
	s->at.pages = slab_classes[class].pages;
	s->free = slots_mask(s);
	rc = span_place(client, s, why);
	if (rc) {
		kmem_cache_free(span_cache, s);
		return ERR_PTR(rc);
	}
	bmem_backing_soil(client, s->at.page, s->at.pages);
	span_map(client, s, true);
	bmem_extent_insert(client, &s->at);
	bmem_placement_added(client, &s->at, s->at.pages, 1);
	list_add(&s->partial, &client->partial[class]);
	client->nr_spans++;
	client->span_pages += s->at.pages;
	trace_bmem_span_add(client->who.id, bmem_bytes(s->at.page), class);
	return s;
}

static void span_remove(struct bmem_client *client, struct span *s)
{
	list_del(&s->partial);
	client->nr_spans--;
	client->span_pages -= s->at.pages;
	bmem_extent_erase(client, &s->at);
	bmem_placement_removed(client, &s->at);
	span_map(client, s, false);
	bmem_ledger_put(client, s->record, slab_classes[s->class].slots);
	place_free(&client->place, s->at.page, s->at.pages);
	bmem_backing_release(client, s->at.page, s->at.pages);
	trace_bmem_span_remove(client->who.id, bmem_bytes(s->at.page),
			       s->class);
	kmem_cache_free(span_cache, s);
}

/* Low spans are filled first, as far as that is known without a search. */
static void span_partial(struct bmem_client *client, struct span *s)
{
	struct list_head *list = &client->partial[s->class];
	struct span *first = list_first_entry_or_null(list, struct span,
						      partial);

	if (first && first->at.page < s->at.page)
		list_add_tail(&s->partial, list);
	else
		list_add(&s->partial, list);
}

/**
 * bmem_span_clone() - the same slab span in a clone
 * @to: clone, locked, with no memory behind its arena yet
 * @from: client, locked
 * @s: its span
 *
 * Return: 0 or -ENOMEM; what was taken goes with the clone.
 */
int bmem_span_clone(struct bmem_client *to, struct bmem_client *from,
		    const struct span *s)
{
	struct span *own = kmem_cache_alloc(span_cache, GFP_BMEM_META);
	int rc;

	if (!own)
		return -ENOMEM;
	*own = *s;
	own->at.tag = 0;
	INIT_LIST_HEAD(&own->partial);
	rc = bmem_arena_take(to, s->at.page, s->at.pages) ?:
	     bmem_span_map_prepare(to, s->at.page, s->at.pages) ?:
	     bmem_ledger_clone(to, from, s->record,
			       slab_classes[s->class].slots);
	if (rc) {
		kmem_cache_free(span_cache, own);
		return rc;
	}
	bmem_extent_insert(to, &own->at);
	span_map(to, own, true);
	/* Extents come from the lowest on, and low spans are filled first. */
	if (own->free)
		list_add_tail(&own->partial, &to->partial[own->class]);
	return 0;
}

/**
 * bmem_span_release() - forget a span of a client that dies
 * @s: span, out of the tree
 */
void bmem_span_release(struct span *s)
{
	kmem_cache_free(span_cache, s);
}

/* ---- get ------------------------------------------------------------------------ */

static u64 slot_take(struct bmem_client *client, struct span *s)
{
	u32 slot = __ffs64(s->free);

	s->free &= ~BIT_ULL(slot);
	if (!s->free)
		list_del_init(&s->partial);
	bmem_ledger_clear(client, s->record + slot);
	client->slots++;
	client->slot_bytes += slab_classes[s->class].bytes;
	return slot_name(s, slot);
}

static void slot_put(struct bmem_client *client, struct span *s, u32 slot)
{
	if (!s->free)
		span_partial(client, s);
	s->free |= BIT_ULL(slot);
	client->slots--;
	client->slot_bytes -= slab_classes[s->class].bytes;
	if (s->free == slots_mask(s))
		span_remove(client, s);
}

/* As many as can be had; an error only when that is none. */
static int slots_take(struct bmem_client *client, u32 class, u32 nr,
		      u64 *names, u32 *got, enum bmem_reason *why)
{
	struct span *s;

	lockdep_assert_held(&client->lock);
	for (*got = 0; *got < nr; ++*got) {
		s = list_first_entry_or_null(&client->partial[class],
					     struct span, partial);
		if (!s)
			s = span_add(client, class, why);
		if (IS_ERR(s))
			return *got ? 0 : PTR_ERR(s);
		names[*got] = slot_take(client, s);
	}
	return 0;
}

static void slots_refused(struct bmem_client *client, u32 class, u32 nr,
			  int rc, enum bmem_reason why)
{
	struct bmem_failure f = {
		.reason = why,
		.error = rc,
		.entries = nr,
		.bytes = slab_classes[class].bytes,
		.align = BMEM_ALIGN_MIN,
		.call_bytes = (u64)nr * slab_classes[class].bytes,
	};

	bmem_alloc_refused(client, &f);
}

/* The span and slot of a name, if it is of a slot that is out. */
static struct span *slot_find(struct bmem_client *client, u64 name, u32 *slot)
{
	u64 offset = (name & PLACE_MASK) * BMEM_ALIGN_MIN;
	struct extent *e = bmem_extent_covering(client, offset >> PAGE_SHIFT);
	struct span *s;

	if (!e || !e->slab)
		return NULL;
	s = span_of(e);
	*slot = slab_slot_at(s->class, offset - bmem_bytes(e->page));
	if (*slot >= slab_classes[s->class].slots ||
	    slot_name(s, *slot) != name || s->free & BIT_ULL(*slot))
		return NULL;
	return s;
}

/* Answers how many were out. */
static u32 slots_give(struct bmem_client *client, const u64 *names, u32 nr)
{
	struct ledger_view v;
	u32 i, slot, given = 0;
	struct span *s;

	lockdep_assert_held(&client->lock);
	for (i = 0; i < nr; i++) {
		s = slot_find(client, names[i], &slot);
		if (!s)
			continue;
		bmem_span_view(client, s, slot, true, &v);
		client->uses += v.gen;
		bmem_site_returned(client, &v);
		slot_put(client, s, slot);
		given++;
		cond_resched();
	}
	return given;
}

static int slots_check(const struct bmem_slots *cmd, u32 classes)
{
	if (cmd->size_class >= classes || !cmd->nr || cmd->nr > BMEM_BATCH_MAX)
		return -EINVAL;
	return 0;
}

/**
 * bmem_slots_get() - BMEM_SLOTS_GET
 * @client: client
 * @cmd: as in the ABI, of which @cmd->flags and what belongs to them are the
 *	caller's
 * @nr: where the caller is told how many there are
 * @last: the caller will not try again after -ENOSPC or -ENOMEM
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_slots_get(struct bmem_client *client, struct bmem_slots *cmd,
		   u32 __user *nr, bool last)
{
	int rc = slots_check(cmd, BMEM_CLASSES);
	enum bmem_reason why;
	u32 class, got;
	u64 *names;

	if (rc)
		return rc;
	names = kmalloc_array(cmd->nr, sizeof(*names), GFP_BMEM_META);
	if (!names)
		return -ENOMEM;
	class = array_index_nospec(cmd->size_class, BMEM_CLASSES);
	if (mutex_lock_killable(&client->lock)) {
		rc = -EINTR;
		goto out;
	}
	rc = slots_take(client, class, cmd->nr, names, &got, &why);
	if (rc && rc != -EINTR && last)
		slots_refused(client, class, cmd->nr, rc, why);
	mutex_unlock(&client->lock);
	if (rc)
		goto out;

	if (copy_to_user(u64_to_user_ptr(cmd->slots), names,
			 array_size(got, sizeof(*names))) || put_user(got, nr))
		rc = -EFAULT;
	/* Only now it is done: a call that failed has left nothing. */
	mutex_lock(&client->lock);
	if (rc)
		slots_give(client, names, got);
	else
		bmem_count_peak(client);
	mutex_unlock(&client->lock);
	if (!rc)
		trace_bmem_slots_get(client->who.id, class, got);
out:
	kfree(names);
	return rc;
}

/**
 * bmem_slots_put() - BMEM_SLOTS_PUT
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_slots_put(struct bmem_client *client, struct bmem_slots *cmd)
{
	u64 *names;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->timeout_ms)
		return -EINVAL;
	rc = slots_check(cmd, 1);
	if (rc)
		return rc;
	names = kmalloc_array(cmd->nr, sizeof(*names), GFP_BMEM_META);
	if (!names)
		return -ENOMEM;
	if (copy_from_user(names, u64_to_user_ptr(cmd->slots),
			   array_size(cmd->nr, sizeof(*names)))) {
		rc = -EFAULT;
	} else if (mutex_lock_killable(&client->lock)) {
		rc = -EINTR;
	} else {
		cmd->nr = slots_give(client, names, cmd->nr);
		if (cmd->nr)
			bmem_pool_freed(client->pool);
		mutex_unlock(&client->lock);
		bmem_cleanup_kick(client);
		trace_bmem_slots_put(client->who.id, cmd->nr);
	}
	kfree(names);
	return rc;
}

int bmem_slots_init(void)
{
	span_cache = kmem_cache_create("bmem_span", sizeof(struct span),
				       0, SLAB_ACCOUNT, NULL);
	return span_cache ? 0 : -ENOMEM;
}

void bmem_slots_exit(void)
{
	kmem_cache_destroy(span_cache);
}
