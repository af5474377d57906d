// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Stashes: tensors of whole pages that were freed and may soon be wanted again.
 *
 * Programs free and ask again in loops, with the same sizes.  A block in the
 * stash is used again without a call, as it is: it never left the client.  The
 * backend still counts it as granted, so a stash is bounded by a small part of
 * what the process has, but for the block that was freed last; and what is old
 * goes back.
 */
#include <string.h>

#include "cache.h"

/* Older blocks go back, in ticks. */
#define STASH_TICKS	10
#define STASH_LONE_TICKS 5
/* What all stashes may have, in bytes: this and a share of what is held. */
#define STASH_FLOOR	(256 * 1024)
#define STASH_SHARE	64

static uint64_t stash_limit(const struct bmem_client *c)
{
	int64_t held = peek(&c->depot->held);
	uint64_t bytes = held > 0 ? (uint64_t)held / STASH_SHARE : 0;
	uint32_t threads = peek(&c->depot->threads);

	return ((bytes + STASH_FLOOR) / (threads ? threads : 1)) >> PAGE_SHIFT;
}

/* Take block @i out; the others keep their order. */
static void stash_cut(struct stash *s, uint32_t i)
{
	uint32_t n = s->nr - 1 - i;

	poke(&s->moving, true);
	atomic_signal_fence(memory_order_seq_cst);
	poke(&s->nr, s->nr - 1);
	s->pages -= s->len[i];
	if (n) {
		memmove(&s->len[i], &s->len[i + 1], n * sizeof(*s->len));
		memmove(&s->since[i], &s->since[i + 1], n * sizeof(*s->since));
		memmove(&s->names[i], &s->names[i + 1], n * sizeof(*s->names));
	}
	__atomic_store_n(&s->moving, false, __ATOMIC_RELEASE);
}

static void stash_add(struct stash *s, uint64_t name, uint32_t pages,
		      uint32_t since)
{
	s->len[s->nr] = pages;
	s->since[s->nr] = since;
	s->names[s->nr] = name;
	s->pages += pages;
	__atomic_store_n(&s->nr, s->nr + 1, __ATOMIC_RELEASE);
}

/**
 * stash_take() - a block for a request
 * @s: stash, the caller's own or locked
 * @pages: length wanted
 * @align: power of two that the offset is to be a multiple of
 *
 * Return: name of the block freed last that is at most an eighth too long;
 * %NAME_NONE if there is none.
 */
uint64_t stash_take(struct stash *s, uint64_t pages, uint64_t align)
{
	uint64_t spare = pages / 8, name;
	uint32_t i = s->nr;

	while (i--) {
		if (s->len[i] - pages > spare)
			continue;
		name = s->names[i];
		if (name_offset(name) & (align - 1))
			continue;
		stash_cut(s, i);
		return name;
	}
	return NAME_NONE;
}

/**
 * stash_depot_take() - stash_take() from the depot
 * @c: client
 * @pages: as for stash_take()
 * @align: as for stash_take()
 *
 * Return: as for stash_take().
 */
uint64_t stash_depot_take(struct bmem_client *c, uint64_t pages, uint64_t align)
{
	struct depot *d = c->depot;
	uint64_t name;

	if (!peek(&d->stash.nr))
		return NAME_NONE;
	pthread_mutex_lock(&d->lock);
	name = stash_take(&d->stash, pages, align);
	pthread_mutex_unlock(&d->lock);
	return name;
}

/* Put a block in the depot, if there is room. */
static bool depot_stash(struct bmem_client *c, uint64_t name, uint32_t pages,
			uint32_t since)
{
	struct depot *d = c->depot;
	bool room;

	pthread_mutex_lock(&d->lock);
	room = d->stash.nr < STASH_MAX &&
	       d->stash.pages + pages <= stash_limit(c);
	if (room)
		stash_add(&d->stash, name, pages, since);
	pthread_mutex_unlock(&d->lock);
	return room;
}

/* The thread's oldest block goes to the depot or back. */
static void stash_spill(struct bmem_client *c, struct stash *s)
{
	uint64_t name = s->names[0];
	uint32_t pages = s->len[0], since = s->since[0];

	stash_cut(s, 0);
	if (!depot_stash(c, name, pages, since))
		block_release(c, name_offset(name));
}

/**
 * stash_empty() - keep nothing
 * @c: client
 * @m: the caller's cache, or one that nobody uses any more
 */
void stash_empty(struct bmem_client *c, struct cache *m)
{
	uint64_t name;

	while (m->stash.nr) {
		name = m->stash.names[0];
		stash_cut(&m->stash, 0);
		(void)block_release(c, name_offset(name));
	}
}

/**
 * stash_tighten() - make room, because more memory is about to be asked for
 * @c: client
 * @m: this thread's cache
 * @pages: how much
 *
 * While the process grows beyond what it ever held, nothing stays: idle blocks
 * must not add to its peak.
 */
void stash_tighten(struct bmem_client *c, struct cache *m, uint64_t pages)
{
	struct depot *d = c->depot;
	int64_t held = peek(&d->held) + (int64_t)(pages << PAGE_SHIFT);

	m->stash_limit = stash_limit(c);
	if (held > peek(&d->peak)) {
		stash_empty(c, m);
		stash_depot_flush(c);
		held = peek(&d->held) + (int64_t)(pages << PAGE_SHIFT);
		if (held > peek(&d->peak))
			poke(&d->peak, held);
		return;
	}
	while (m->stash.pages > m->stash_limit)
		stash_spill(c, &m->stash);
}

/**
 * stash_put() - keep a block that was freed
 * @c: client
 * @m: this thread's cache
 * @name: the block, whose record is free
 * @pages: its length
 */
void stash_put(struct bmem_client *c, struct cache *m, uint64_t name,
	       uint32_t pages)
{
	struct stash *s = &m->stash;

	if (__builtin_expect(s->nr == STASH_MAX ||
			     (s->nr && s->pages + pages > m->stash_limit), 0)) {
		cache_look(c, m);
		m->stash_limit = stash_limit(c);
		while (s->nr == STASH_MAX ||
		       (s->nr && s->pages + pages > m->stash_limit))
			stash_spill(c, s);
	}
	stash_add(s, name, pages, ticks_now(c));
}

/* The depot's oldest block, if it is at least @ticks old. */
static bool depot_pop(struct bmem_client *c, uint32_t ticks, uint64_t *name)
{
	struct depot *d = c->depot;
	bool old;

	pthread_mutex_lock(&d->lock);
	old = d->stash.nr && ticks_now(c) - d->stash.since[0] >= ticks;
	if (old) {
		*name = d->stash.names[0];
		stash_cut(&d->stash, 0);
	}
	pthread_mutex_unlock(&d->lock);
	return old;
}

static void depot_release(struct bmem_client *c, uint32_t ticks)
{
	uint64_t name;

	while (peek(&c->depot->stash.nr) && depot_pop(c, ticks, &name))
		block_release(c, name_offset(name));
}

/**
 * stash_depot_flush() - give back the depot's blocks
 * @c: client
 */
void stash_depot_flush(struct bmem_client *c)
{
	depot_release(c, 0);
}

/**
 * stash_age() - give back blocks that have been idle for long
 * @c: client
 * @m: this thread's cache
 */
void stash_age(struct bmem_client *c, struct cache *m)
{
	struct stash *s = &m->stash;
	uint32_t now = ticks_now(c), ticks;
	uint64_t name;

	while (s->nr) {
		/* One beyond the bound is only kept for as long as a loop. */
		ticks = s->pages > m->stash_limit ? STASH_LONE_TICKS :
						    STASH_TICKS;
		if (now - s->since[0] < ticks)
			break;
		name = s->names[0];
		stash_cut(s, 0);
		block_release(c, name_offset(name));
	}
	depot_release(c, STASH_TICKS);
}
