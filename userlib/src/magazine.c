// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Magazines: each thread's stacks of free slots, one a size class.
 *
 * A magazine begins small and doubles when it keeps running empty or full.
 * What is in it counts as held, so all of a thread's together are bounded, and
 * one that was not used for a while shrinks.  (Bonwick and Adams, "Magazines
 * and Vmem", 2001, have the depot and the growing; the bound in bytes is that
 * of tcmalloc's thread caches.)
 */
#include <errno.h>
#include <string.h>

#include "cache.h"

/* What a thread's magazines can hold, in bytes: at least, and at most. */
#define CAP_FLOOR	(128 * 1024)
#define CAP_CEILING	(512 * 1024)
#define CAP_SHARE	512
/* Capacity at first, and at most, is so many slots or so many bytes. */
#define CAP_FIRST	8
#define CAP_FIRST_BYTES	(8 * 1024)
#define CAP_LAST_BYTES	(64 * 1024)
#define CAP_MIN		2
/* Refills and flushes before a magazine grows. */
#define TRIPS		2
/* Ticks between two sweeps, and refusals to grow that are as good as that. */
#define SWEEP_TICKS	10
#define SWEEP_REFUSED	16

static uint32_t clamp(uint32_t n, uint32_t low, uint32_t high)
{
	return n < low ? low : n > high ? high : n;
}

static uint32_t cap_first(uint32_t bytes)
{
	return clamp(CAP_FIRST_BYTES / bytes, CAP_MIN, CAP_FIRST);
}

static uint32_t cap_last(uint32_t bytes)
{
	return clamp(CAP_LAST_BYTES / bytes, CAP_MIN, MAGAZINE_MAX);
}

static uint64_t cap_limit(const struct bmem_client *c)
{
	int64_t held = peek(&c->depot->held);
	uint64_t share = held > 0 ? (uint64_t)held / CAP_SHARE : 0;

	if (share < CAP_FLOOR)
		return CAP_FLOOR;
	return share < CAP_CEILING ? share : CAP_CEILING;
}

static void cap_set(struct cache *m, uint32_t class, uint32_t cap)
{
	struct magazine *mag = &m->magazines[class];

	m->cap_bytes += (int64_t)(cap - (int64_t)mag->cap) *
			slab_classes[class].bytes;
	mag->cap = cap;
	m->wear[class].trips = 0;
}

static uint64_t name_at(const struct bmem_client *c, const struct cache *m,
			uint32_t class, uint32_t i)
{
	return name_of((uint64_t)(m->ptrs[class][i] - c->base),
		       m->records[class][i] / sizeof(*c->ledger));
}

static void push_name(const struct bmem_client *c, struct cache *m,
		      uint32_t class, uint64_t name)
{
	slot_push(m, class, c->base + name_offset(name),
		  name_record(name) * (uint32_t)sizeof(*c->ledger));
}

/* Take the @nr slots that have been there longest out of a magazine. */
static void spill(struct bmem_client *c, struct cache *m, uint32_t class,
		  uint32_t nr)
{
	struct magazine *mag = &m->magazines[class];
	uint64_t names[MAGAZINE_MAX];
	uint32_t i;

	if (!nr)
		return;
	for (i = 0; i < nr; i++)
		names[i] = name_at(c, m, class, i);
	mag->nr -= nr;
	memmove(m->ptrs[class], m->ptrs[class] + nr,
		mag->nr * sizeof(*m->ptrs[class]));
	memmove(m->records[class], m->records[class] + nr,
		mag->nr * sizeof(*m->records[class]));
	depot_give(c, class, names, nr);
}

/* Halve the magazines that were not refilled or flushed since last time. */
static void sweep(struct bmem_client *c, struct cache *m)
{
	struct magazine *mag;
	uint32_t class, cap;

	for (class = 0; class < BMEM_CLASSES; class++) {
		mag = &m->magazines[class];
		if (m->wear[class].used || !mag->cap) {
			m->wear[class].used = 0;
			continue;
		}
		cap = mag->cap / 2 >= CAP_MIN ? mag->cap / 2 : 0;
		if (mag->nr > cap)
			spill(c, m, class, mag->nr - cap);
		cap_set(m, class, cap);
	}
	m->refused = 0;
	m->swept = ticks_now(c);
}

static void grow(struct bmem_client *c, struct cache *m, uint32_t class)
{
	uint32_t bytes = slab_classes[class].bytes, cap;
	struct magazine *mag = &m->magazines[class];

	m->wear[class].used = 1;
	if (!mag->cap) {
		cap_set(m, class, cap_first(bytes));
		return;
	}
	if (++m->wear[class].trips < TRIPS || mag->cap >= cap_last(bytes))
		return;
	cap = clamp(mag->cap * 2U, CAP_MIN, cap_last(bytes));
	if (m->cap_bytes + (uint64_t)(cap - mag->cap) * bytes > cap_limit(c)) {
		if (++m->refused >= SWEEP_REFUSED)
			sweep(c, m);
		m->wear[class].trips = 0;
		return;
	}
	cap_set(m, class, cap);
}

/**
 * cache_flush() - give back all that a thread has, to the depot first
 * @c: client
 * @m: the caller's cache, or one that nobody uses any more
 */
void cache_flush(struct bmem_client *c, struct cache *m)
{
	uint32_t class;

	for (class = 0; class < BMEM_CLASSES; class++) {
		if (!m->magazines[class].cap)
			continue;
		spill(c, m, class, m->magazines[class].nr);
		cap_set(m, class, 0);
	}
	stash_empty(c, m);
}

static void obey_recall(struct bmem_client *c, struct cache *m)
{
	uint32_t recall = peek(&c->control->recall);

	if (m->recall == recall)
		return;
	m->recall = recall;
	cache_flush(c, m);
	depot_flush(c);
}

/**
 * cache_look() - what is due now and then; for every slow path
 * @c: client
 * @m: this thread's cache
 */
void cache_look(struct bmem_client *c, struct cache *m)
{
	obey_recall(c, m);
	if (ticks_now(c) - m->swept >= SWEEP_TICKS)
		sweep(c, m);
	stash_age(c, m);
	depot_sweep(c);
}

/**
 * magazine_refill() - put slots in an empty magazine
 * @c: client
 * @m: this thread's cache
 * @class: size class
 *
 * Return: 0, there is at least one slot then; or an errno of BMEM_SLOTS_GET.
 */
int magazine_refill(struct bmem_client *c, struct cache *m, uint32_t class)
{
	uint64_t names[MAGAZINE_MAX];
	uint32_t want, got;
	int ret;

	cache_look(c, m);
	grow(c, m, class);
	want = (m->magazines[class].cap + 1) / 2;
	got = depot_take(c, class, names, want);
	if (!got) {
		ret = slots_get(c, class, names, want, &got);
		if ((ret == -ENOSPC || ret == -ENOMEM) && idle_flush(c)) {
			cap_set(m, class, CAP_MIN);
			ret = slots_get(c, class, names, 1, &got);
		}
		if (ret)
			return ret;
	}
	while (got--)
		push_name(c, m, class, names[got]);
	return 0;
}

/**
 * magazine_spill() - make room in a full magazine
 * @c: client
 * @m: this thread's cache
 * @class: size class
 */
void magazine_spill(struct bmem_client *c, struct cache *m, uint32_t class)
{
	struct magazine *mag = &m->magazines[class];

	cache_look(c, m);
	grow(c, m, class);
	if (mag->nr >= mag->cap)
		spill(c, m, class, (mag->nr + 1U) / 2);
}
