// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks over a client's slots and recorded tensors, with what the ledger says.
 */
#include "bmem_private.h"

static void walk_span(struct bmem_client *client, const struct span *s,
		      bool see, ledger_fn fn, void *arg)
{
	struct ledger_view v;
	u32 slot;

	for (slot = 0; slot < slab_classes[s->class].slots; slot++)
		if (bmem_span_view(client, s, slot, see, &v))
			fn(client, &v, arg);
}

/**
 * bmem_ledger_walk() - look at slots and recorded tensors
 * @client: client, locked
 * @cursor: 0 to begin; where the next call goes on
 * @max: extents to look at, at most
 * @see: mark free records as seen
 * @fn: called for each slot that is out, and each recorded tensor
 * @arg: for @fn
 *
 * Return: true at the end.
 */
bool bmem_ledger_walk(struct bmem_client *client, u64 *cursor,
		      unsigned int max, bool see, ledger_fn fn, void *arg)
{
	struct extent *e = bmem_extent_from(client, *cursor);
	struct ledger_view v;

	for (; e && max; e = bmem_extent_next(e), max--) {
		*cursor = (u64)e->page + 1;
		if (e->slab)
			walk_span(client, span_of(e), see, fn, arg);
		else if (bmem_tensor_view(client, tensor_of(e), see, &v))
			fn(client, &v, arg);
	}
	return !e;
}

static void sum_view(struct bmem_client *client, const struct ledger_view *v,
		     void *arg)
{
	struct ledger_sums *sums = arg;

	if (v->state == LEDGER_IDLE) {
		sums->uses += v->gen;
		sums->idle_bytes += v->granted;
		return;
	}
	/* What lives has been allocated, whatever the record says. */
	sums->uses += max(v->gen, 1U);
	if (v->state == LEDGER_BAD)
		sums->bad++;
	sums->live++;
	sums->live_bytes += v->bytes;
}

/* Extents that are looked at before others get the lock. */
#define SUM_STRIDE	1024

/**
 * bmem_ledger_sum() - add up what the ledger says
 * @client: client, locked
 * @cursor: 0 to begin; where the next call goes on
 * @sums: added to
 *
 * Return: true at the end.
 */
bool bmem_ledger_sum(struct bmem_client *client, u64 *cursor,
		     struct ledger_sums *sums)
{
	return bmem_ledger_walk(client, cursor, SUM_STRIDE, false, sum_view,
				sums);
}
