// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The depot: idle slots of a process, between its threads and the backend.
 *
 * Threads give what they have too much of and take what they lack, half a
 * magazine at a time.  What is here counts as held, so it is bounded by a
 * small part of what the process has from the backend.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cache.h"

/* What may lie on the shelves in any case, in bytes, and beyond that. */
#define DEPOT_FLOOR	(64 * 1024)
#define DEPOT_SHARE	256
/* So many slots at a time leave a shelf for good: stacks can be small. */
#define SHELF_PART	128
/* Ticks between two looks for what nobody takes. */
#define SWEEP_TICKS	10

static size_t region_bytes(uint32_t caches)
{
	return sizeof(struct depot) + (size_t)caches * sizeof(struct cache);
}

/**
 * depot_init() - make room for the depot and the threads' caches
 * @c: client
 *
 * Where address space is short, fewer threads have a cache.
 *
 * Return: 0 or -ENOMEM.
 */
int depot_init(struct bmem_client *c)
{
	uint32_t n = 0;

	if (c->records)
		n = (uint32_t)(space_share(region_bytes(CACHES_MAX), 32) /
			       sizeof(struct cache));
	if (n > CACHES_MAX)
		n = CACHES_MAX;
	for (;; n /= 2) {
		c->depot = scratch_get(region_bytes(n));
		if (c->depot)
			break;
		if (!n)
			return -ENOMEM;
	}
	c->nr_caches = n;
	c->caches = (struct cache *)(c->depot + 1);
	c->region_bytes = region_bytes(n);
	if (c->private)
		return 0;
	/* A child that saw them would hand out its parent's slots. */
	if (n && (madvise(c->depot, region_bytes(n), MADV_WIPEONFORK) ||
		  madvise(c, BMEM_PAGE_SIZE, MADV_WIPEONFORK)))
		c->nr_caches = 0;
	return 0;
}

static void skip(struct bmem_client *c, const void *at, size_t bytes)
{
	struct bmem_leak_skip arg = {
		.size = sizeof(arg),
		.addr = (uintptr_t)at,
		.bytes = bytes & ~7UL,
	};

	/* What there is to be had without: leaks that are found. */
	(void)call(c, BMEM_LEAK_SKIP, &arg);
}

/**
 * depot_hide() - say that what is here are no references to tensors
 * @c: client
 *
 * Caches name the tensors that they had last, which may be in use or lost.  It
 * has to be said once in each process that has the client.
 */
void depot_hide(struct bmem_client *c)
{
	skip(c, c, sizeof(*c));
	skip(c, c->depot, c->region_bytes);
}

/**
 * depot_fini() - undo depot_init()
 * @c: client
 */
void depot_fini(struct bmem_client *c)
{
	scratch_put(c->depot, c->region_bytes);
	c->depot = NULL;
}

static uint64_t depot_limit(const struct depot *d)
{
	int64_t held = peek(&d->held);

	return DEPOT_FLOOR + (held > 0 ? (uint64_t)held / DEPOT_SHARE : 0);
}

/**
 * depot_take() - idle slots of one class
 * @c: client
 * @class: size class
 * @names: out
 * @nr: how many are wanted
 *
 * Return: how many there were.
 */
uint32_t depot_take(struct bmem_client *c, uint32_t class, uint64_t *names,
		    uint32_t nr)
{
	struct depot *d = c->depot;
	struct shelf *s = &d->shelves[class];

	if (!peek(&s->nr))
		return 0;
	guard_lock(&d->lock);
	if (nr > s->nr)
		nr = s->nr;
	poke(&s->nr, s->nr - nr);
	memcpy(names, s->slots + s->nr, nr * sizeof(*names));
	d->bytes -= (uint64_t)nr * slab_classes[class].bytes;
	s->used = 1;
	guard_unlock(&d->lock);
	return nr;
}

/**
 * depot_give() - put idle slots on the shelf, or give them back
 * @c: client
 * @class: their size class
 * @names: their names
 * @nr: how many
 */
void depot_give(struct bmem_client *c, uint32_t class, uint64_t *names,
		uint32_t nr)
{
	uint32_t bytes = slab_classes[class].bytes, n = 0;
	struct depot *d = c->depot;
	struct shelf *s = &d->shelves[class];
	uint64_t room;

	guard_lock(&d->lock);
	room = depot_limit(d);
	if (d->bytes < room) {
		room = (room - d->bytes) / bytes;
		n = SHELF_MAX - s->nr;
		n = n < nr ? n : nr;
		n = n < room ? n : (uint32_t)room;
		memcpy(s->slots + s->nr, names, n * sizeof(*names));
		poke(&s->nr, s->nr + n);
		d->bytes += (uint64_t)n * bytes;
	}
	guard_unlock(&d->lock);
	if (n < nr)
		slots_put(c, names + n, nr - n, (uint64_t)(nr - n) * bytes);
}

static void shelf_empty(struct bmem_client *c, uint32_t class)
{
	uint64_t names[SHELF_PART];
	uint32_t i, nr;

	/* No longer than that, or others could keep this thread here. */
	for (i = 0; i < SHELF_MAX / SHELF_PART; i++) {
		nr = depot_take(c, class, names, SHELF_PART);
		if (!nr)
			return;
		slots_put(c, names, nr,
			  (uint64_t)nr * slab_classes[class].bytes);
	}
}

/**
 * depot_flush() - give back all that is in the depot
 * @c: client
 */
void depot_flush(struct bmem_client *c)
{
	uint32_t class;

	for (class = 0; class < BMEM_CLASSES; class++)
		shelf_empty(c, class);
	stash_depot_flush(c);
}

/**
 * depot_sweep() - give back what nobody has taken for a while
 * @c: client
 */
void depot_sweep(struct bmem_client *c)
{
	uint32_t now = ticks_now(c), class;
	struct depot *d = c->depot;
	bool idle;

	if (now - peek(&d->swept) < SWEEP_TICKS)
		return;
	poke(&d->swept, now);
	for (class = 0; class < BMEM_CLASSES; class++) {
		guard_lock(&d->lock);
		idle = !d->shelves[class].used;
		d->shelves[class].used = 0;
		guard_unlock(&d->lock);
		if (idle)
			shelf_empty(c, class);
	}
}

/**
 * idle_flush() - give back what this thread and the depot have
 * @c: client
 *
 * Return: true if there was anything.
 */
bool idle_flush(struct bmem_client *c)
{
	int64_t held = peek(&c->depot->held);
	struct cache *m = thread_cache_peek(c);

	if (peek(&c->depot->orphaned))
		orphans_adopt(c);
	if (m)
		cache_flush(c, m);
	depot_flush(c);
	return peek(&c->depot->held) != held;
}

int bmem_flush(struct bmem_client *c)
{
	idle_flush(c);
	return 0;
}
