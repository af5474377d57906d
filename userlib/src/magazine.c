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
#include <stddef.h>
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

_Static_assert(offsetof(struct cache, idle) <= UINT16_MAX,
	       "magazine_offsets");
_Static_assert(SLAB_GRANULE == BMEM_ALIGN_MIN, "magazine_offsets");

/**
 * magazines_init() - fill in a client's @magazine_offsets
 * @c: client
 */
void magazines_init(struct bmem_client *c)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(c->magazine_offsets); i++)
		c->magazine_offsets[i] = (uint16_t)(
			offsetof(struct cache, magazines) +
			(slab_class_by_granules[i + 1] + 1U) *
			sizeof(struct magazine));
}

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

/**
 * magazine_set() - make an empty magazine out of zeroes
 * @mag: the magazine
 * @class: its size class
 * @idle: %MAGAZINE_MAX places for slots
 */
void magazine_set(struct magazine *mag, uint32_t class, struct idle *idle)
{
	mag->inverse = slot_inverse(slab_classes[class].bytes);
	mag->slots = slab_classes[class].slots;
	mag->bottom = idle;
	mag->top = idle;
	mag->end = idle;
}

static void cap_set(struct cache *m, uint32_t class, uint32_t cap)
{
	struct magazine *mag = magazine_of(m, class);

	if (!mag->bottom)
		magazine_set(mag, class, m->idle[class]);
	m->cap_bytes += (int64_t)(cap - (int64_t)magazine_cap(mag)) *
			slab_classes[class].bytes;
	mag->end = mag->bottom + cap;
	m->wear[class].trips = 0;
}

static void push_name(const struct bmem_client *c, struct magazine *mag,
		      uint64_t name)
{
	slot_push(mag, mag->top, c->base + name_offset(name),
		  &c->ledger[name_record(name)]);
}

/* Take the @nr slots that have been there longest out of a magazine. */
static void spill(struct bmem_client *c, struct cache *m, uint32_t class,
		  uint32_t nr)
{
	struct magazine *mag = magazine_of(m, class);
	struct idle *s = mag->bottom;
	uint64_t names[MAGAZINE_MAX];
	uint32_t i;

	if (!nr)
		return;
	for (i = 0; i < nr; i++)
		names[i] = name_of((uint64_t)(s[i].ptr - c->base),
				   (uint64_t)(s[i].record - c->ledger));
	poke(&m->moving, true);
	atomic_signal_fence(memory_order_seq_cst);
	mag->top -= nr;
	memmove(s, s + nr, (size_t)((char *)mag->top - (char *)s));
	__atomic_store_n(&m->moving, false, __ATOMIC_RELEASE);
	depot_give(c, class, names, nr);
}

/* Halve the magazines that were not refilled or flushed since last time. */
static void sweep(struct bmem_client *c, struct cache *m)
{
	struct magazine *mag;
	uint32_t class, cap, nr;

	for (class = 0; class < BMEM_CLASSES; class++) {
		mag = magazine_of(m, class);
		cap = magazine_cap(mag);
		if (m->wear[class].used || !cap) {
			m->wear[class].used = 0;
			continue;
		}
		cap = cap / 2 >= CAP_MIN ? cap / 2 : 0;
		nr = magazine_nr(mag);
		if (nr > cap)
			spill(c, m, class, nr - cap);
		cap_set(m, class, cap);
	}
	m->refused = 0;
	m->swept = ticks_now(c);
}

static void grow(struct bmem_client *c, struct cache *m, uint32_t class)
{
	uint32_t bytes = slab_classes[class].bytes, cap;
	uint32_t had = magazine_cap(magazine_of(m, class));

	m->wear[class].used = 1;
	if (!had) {
		cap_set(m, class, cap_first(bytes));
		return;
	}
	if (++m->wear[class].trips < TRIPS || had >= cap_last(bytes))
		return;
	cap = clamp(had * 2U, CAP_MIN, cap_last(bytes));
	if (m->cap_bytes + (uint64_t)(cap - had) * bytes > cap_limit(c)) {
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
		if (!magazine_cap(magazine_of(m, class)))
			continue;
		spill(c, m, class, magazine_nr(magazine_of(m, class)));
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
	if (peek(&c->depot->orphaned))
		orphans_adopt(c);
	obey_recall(c, m);
	if (ticks_now(c) - m->swept >= SWEEP_TICKS)
		sweep(c, m);
	stash_age(c, m);
	depot_sweep(c);
}

static int wait_for_slot(struct bmem_client *c, uint32_t class,
			 uint64_t *names, uint32_t *got, int ret)
{
	uint32_t ms = peek(&c->wait_ms);

	return ms ? slots_get(c, class, names, 1, got, ms) : ret;
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
	uint32_t want, got, i;
	int ret;

	cache_look(c, m);
	grow(c, m, class);
	want = (magazine_cap(magazine_of(m, class)) + 1) / 2;
	got = depot_take(c, class, names, want);
	if (!got) {
		ret = slots_get(c, class, names, want, &got, 0);
		if ((ret == -ENOSPC || ret == -ENOMEM) && idle_flush(c)) {
			cap_set(m, class, CAP_MIN);
			ret = slots_get(c, class, names, 1, &got, 0);
		}
		/* For a span of several pages the caller tries a page next. */
		if (ret == -ENOMEM ||
		    (ret == -ENOSPC && slab_classes[class].pages == 1))
			ret = wait_for_slot(c, class, names, &got, ret);
		if (ret)
			return ret;
	}
	/*
	 * The last one is the first to be used again and again: the record of a
	 * first slot often begins a page, as the clock does, and a load waits
	 * for stores at the same place of any page.
	 */
	for (i = 0; i < got; i++)
		push_name(c, magazine_of(m, class), names[i]);
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
	struct magazine *mag = magazine_of(m, class);

	cache_look(c, m);
	grow(c, m, class);
	if (mag->top >= mag->end)
		spill(c, m, class, (magazine_nr(mag) + 1U) / 2);
}
