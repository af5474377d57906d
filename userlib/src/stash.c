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
static struct kept stash_cut(struct stash *s, uint32_t i)
{
	struct kept block = s->kept[i];

	poke(&s->moving, true);
	atomic_signal_fence(memory_order_seq_cst);
	poke(&s->nr, s->nr - 1);
	s->pages -= block.pages;
	memmove(&s->kept[i], &s->kept[i + 1], (s->nr - i) * sizeof(block));
	__atomic_store_n(&s->moving, false, __ATOMIC_RELEASE);
	return block;
}

static void give_back(struct bmem_client *c, const struct kept *block)
{
	(void)block_release(c, (uint64_t)(block->ptr - c->base));
}

/**
 * stash_take() - a block for a request
 * @s: stash, the caller's own or locked
 * @block: out, the block freed last that fits
 * @pages: length wanted
 * @align: power of two that its address is to be a multiple of, at most
 *	%BMEM_HUGE_SIZE
 *
 * Return: true if there is one.
 */
bool stash_take(struct stash *s, struct kept *block, uint64_t pages,
		uint64_t align)
{
	uint32_t i = s->nr;

	while (i--) {
		if (!kept_fits(&s->kept[i], pages) ||
		    (uintptr_t)s->kept[i].ptr & (align - 1))
			continue;
		*block = stash_cut(s, i);
		return true;
	}
	return false;
}

/**
 * stash_depot_take() - stash_take() from the depot
 * @c: client
 * @block: as for stash_take()
 * @pages: as for stash_take()
 * @align: as for stash_take()
 *
 * Return: as for stash_take().
 */
bool stash_depot_take(struct bmem_client *c, struct kept *block, uint64_t pages,
		      uint64_t align)
{
	struct depot *d = c->depot;
	bool found;

	if (!peek(&d->stash.nr))
		return false;
	guard_lock(&d->lock);
	found = stash_take(&d->stash, block, pages, align);
	guard_unlock(&d->lock);
	return found;
}

/* Put a block in the depot, if there is room. */
static bool depot_stash(struct bmem_client *c, const struct kept *block)
{
	struct depot *d = c->depot;
	bool room;

	guard_lock(&d->lock);
	room = d->stash.nr < STASH_MAX &&
	       d->stash.pages + block->pages <= stash_limit(c);
	if (room)
		stash_push(&d->stash, block->ptr, block->record, block->pages,
			   block->since);
	guard_unlock(&d->lock);
	return room;
}

/* The thread's oldest block goes to the depot or back. */
static void stash_spill(struct bmem_client *c, struct stash *s)
{
	struct kept block = stash_cut(s, 0);

	if (!depot_stash(c, &block))
		give_back(c, &block);
}

/**
 * stash_empty() - keep nothing
 * @c: client
 * @m: the caller's cache, or one that nobody uses any more
 */
void stash_empty(struct bmem_client *c, struct cache *m)
{
	struct kept block;

	while (m->stash.nr) {
		block = stash_cut(&m->stash, 0);
		give_back(c, &block);
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
 * stash_room() - make room in the stash for a block that was freed
 * @c: client
 * @m: this thread's cache
 * @pages: its length
 *
 * One alone has room, whatever its length.
 */
void stash_room(struct bmem_client *c, struct cache *m, uint32_t pages)
{
	struct stash *s = &m->stash;

	cache_look(c, m);
	m->stash_limit = stash_limit(c);
	while (s->nr == STASH_MAX ||
	       (s->nr && s->pages + pages > m->stash_limit))
		stash_spill(c, s);
}

/* The depot's oldest block, if it is at least @ticks old. */
static bool depot_pop(struct bmem_client *c, uint32_t ticks,
		      struct kept *block)
{
	struct depot *d = c->depot;
	bool old;

	guard_lock(&d->lock);
	old = d->stash.nr && ticks_now(c) - d->stash.kept[0].since >= ticks;
	if (old)
		*block = stash_cut(&d->stash, 0);
	guard_unlock(&d->lock);
	return old;
}

static void depot_release(struct bmem_client *c, uint32_t ticks)
{
	struct kept block;

	while (peek(&c->depot->stash.nr) && depot_pop(c, ticks, &block))
		give_back(c, &block);
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
	struct kept block;

	while (s->nr) {
		/* One beyond the bound is only kept for as long as a loop. */
		ticks = s->pages > m->stash_limit ? STASH_LONE_TICKS :
						    STASH_TICKS;
		if (now - s->kept[0].since < ticks)
			break;
		block = stash_cut(s, 0);
		give_back(c, &block);
	}
	depot_release(c, STASH_TICKS);
}
