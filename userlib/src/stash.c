// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Stashes: tensors of whole pages that were freed and may soon be wanted again.
 *
 * Programs free and ask again in loops, with the same sizes.  A block in the
 * stash is used again without a call, as it is: it never left the client.  The
 * backend still counts it as granted, so a stash is bounded by a small part of
 * what the process has, but for the block that was freed last, which may have
 * STASH_LONE; and what is old goes back.
 *
 * A thread that sleeps gives nothing back.  When the module recalls what is
 * idle, the thread that hears of it, where there is one, takes the others'
 * stashes from them; so where there is one, a block that was freed last may
 * have any length.
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache.h"

/* Older blocks go back, in ticks. */
#define STASH_TICKS	10
#define STASH_LONE_TICKS 5
/* What all stashes may have, in bytes: this and a share of what is held. */
#define STASH_FLOOR	(256 * 1024)
#define STASH_SHARE	64
/* So often a thread is let run that is at its stash before it keeps it. */
#define SEIZE_TRIES	1000

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
	poke(&s->pages, s->pages - block.pages);
	memmove(&s->kept[i], &s->kept[i + 1], (s->nr - i) * sizeof(block));
	__atomic_store_n(&s->moving, false, __ATOMIC_RELEASE);
	return block;
}

static void give_back(struct bmem_client *c, const struct kept *block)
{
	(void)block_release(c, (uint64_t)(block->ptr - c->base));
}

/**
 * stash_hold() - stash_enter(), once who takes what is in there is through
 * @c: client
 * @s: the caller's own stash; or the depot's, locked, which nobody seizes
 */
void stash_hold(struct bmem_client *c, struct stash *s)
{
	while (!stash_enter(s)) {
		guard_lock(&c->depot->lock);
		guard_unlock(&c->depot->lock);
	}
}

/* The oldest of the caller's own blocks, if there is one. */
static bool stash_oldest(struct bmem_client *c, struct stash *s,
			 struct kept *block)
{
	bool any;

	stash_hold(c, s);
	any = s->nr;
	if (any)
		*block = stash_cut(s, 0);
	stash_leave(s);
	return any;
}

/**
 * stash_take() - a block for a request
 * @c: client
 * @s: stash, the caller's own or locked
 * @block: out, the block freed last that fits
 * @pages: length wanted
 * @align: power of two that its address is to be a multiple of, at most
 *	%BMEM_HUGE_SIZE
 *
 * Return: true if there is one.
 */
bool stash_take(struct bmem_client *c, struct stash *s, struct kept *block,
		uint64_t pages, uint64_t align)
{
	bool found = false;
	uint32_t i;

	stash_hold(c, s);
	for (i = s->nr; i-- && !found;) {
		found = kept_fits(&s->kept[i], pages) &&
			!((uintptr_t)s->kept[i].ptr & (align - 1));
		if (found)
			*block = stash_cut(s, i);
	}
	stash_leave(s);
	return found;
}

/* For who looks without the lock. */
static void depot_note(struct depot *d)
{
	if (d->stash.nr)
		poke(&d->stashed, d->stash.kept[0].since);
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

	if (peek(&d->stash.pages) < pages)
		return false;
	guard_lock(&d->lock);
	found = stash_take(c, &d->stash, block, pages, align);
	depot_note(d);
	guard_unlock(&d->lock);
	return found;
}

static bool depot_has_room(struct bmem_client *c, uint32_t pages)
{
	const struct stash *s = &c->depot->stash;

	return peek(&s->nr) < STASH_MAX &&
	       peek(&s->pages) + pages <= stash_limit(c);
}

/* Put a block in the depot, if there is room. */
static bool depot_stash(struct bmem_client *c, const struct kept *block)
{
	struct depot *d = c->depot;
	bool room;

	/* Mostly there is none, and that is seen without the lock. */
	if (!depot_has_room(c, block->pages))
		return false;
	guard_lock(&d->lock);
	room = depot_has_room(c, block->pages);
	if (room)
		stash_push(&d->stash, d->stash.nr, block);
	depot_note(d);
	guard_unlock(&d->lock);
	return room;
}

/* The thread's oldest block goes to the depot or back. */
static void stash_spill(struct bmem_client *c, struct stash *s)
{
	struct kept block;

	if (stash_oldest(c, s, &block) && !depot_stash(c, &block))
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

	while (stash_oldest(c, &m->stash, &block))
		give_back(c, &block);
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
	/* It may be more than there can ever be. */
	uint64_t held = (uint64_t)peek(&d->held) + (pages << PAGE_SHIFT);

	m->stash_limit = stash_limit(c);
	if ((int64_t)held > peek(&d->peak)) {
		stash_empty(c, m);
		stash_depot_flush(c);
		return;
	}
	while (peek(&m->stash.pages) > m->stash_limit)
		stash_spill(c, &m->stash);
}

/**
 * stash_room() - make room in the stash for a block that was freed
 * @c: client
 * @m: this thread's cache
 * @pages: its length
 *
 * One alone has room up to %STASH_LONE, and beyond that while there is a thread
 * that can take it from a thread that sleeps.
 *
 * Return: false when it has to go back.
 */
bool stash_room(struct bmem_client *c, struct cache *m, uint32_t pages)
{
	struct stash *s = &m->stash;

	cache_look(c, m);
	m->stash_limit = stash_limit(c);
	if (pages > STASH_LONE && pages > m->stash_limit &&
	    !peek(&c->events.owner))
		return false;
	while (peek(&s->nr) == STASH_MAX ||
	       (peek(&s->nr) && peek(&s->pages) + pages > m->stash_limit))
		stash_spill(c, s);
	return true;
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
	depot_note(d);
	guard_unlock(&d->lock);
	return old;
}

/* Is it worth a look?  The next one sees what this misses. */
static bool depot_old(struct bmem_client *c, uint32_t ticks)
{
	const struct depot *d = c->depot;

	return peek(&d->stash.nr) && ticks_now(c) - peek(&d->stashed) >= ticks;
}

static void depot_release(struct bmem_client *c, uint32_t ticks)
{
	struct kept block;

	while (depot_old(c, ticks) && depot_pop(c, ticks, &block))
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

	while (peek(&s->nr)) {
		/* One beyond the bound is only kept for as long as a loop. */
		ticks = peek(&s->pages) > m->stash_limit ? STASH_LONE_TICKS :
							   STASH_TICKS;
		if (now - s->kept[0].since < ticks ||
		    !stash_oldest(c, s, &block))
			break;
		give_back(c, &block);
	}
	depot_release(c, STASH_TICKS);
}

/* ---- of other threads ---------------------------------------------------------- */

static int membarrier(int cmd)
{
	return (int)syscall(SYS_membarrier, cmd, 0, 0);
}

/*
 * Keep a thread away from its stash.  It has entered it before the barrier, and
 * is waited for, or it sees after it that it must not.  One that is held up in
 * there, by a signal or the scheduler, keeps what it has.
 */
static bool seize(struct stash *s)
{
	unsigned int tries = 0;

	poke(&s->seized, true);
	if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		for (; tries < SEIZE_TRIES; tries++) {
			if (!__atomic_load_n(&s->busy, __ATOMIC_ACQUIRE))
				return true;
			sched_yield();
		}
	__atomic_store_n(&s->seized, false, __ATOMIC_RELEASE);
	return false;
}

/* The next cache from @at on that another thread has, with something in it. */
static struct stash *stash_of_other(struct bmem_client *c,
				    const struct cache *mine, uint32_t *at)
{
	struct depot *d = c->depot;
	struct cache *m;
	uint64_t bits;

	for (; *at < c->nr_caches; ++*at) {
		bits = d->caches[*at / 64] & ~d->orphans[*at / 64];
		m = &c->caches[*at];
		if (bits >> (*at % 64) & 1 && m != mine && peek(&m->stash.nr)) {
			++*at;
			return &m->stash;
		}
	}
	return NULL;
}

/* False when there is no further one. */
static bool recall_next(struct bmem_client *c, const struct cache *mine,
			uint32_t *at)
{
	struct kept got[STASH_MAX];
	uint32_t nr = 0, i;
	struct stash *s;

	/* fork() takes it, too: no child finds a stash that is seized. */
	guard_lock(&c->depot->lock);
	s = stash_of_other(c, mine, at);
	if (s && seize(s)) {
		nr = s->nr;
		memcpy(got, s->kept, nr * sizeof(*got));
		poke(&s->pages, 0);
		poke(&s->nr, 0);
		__atomic_store_n(&s->seized, false, __ATOMIC_RELEASE);
	}
	guard_unlock(&c->depot->lock);
	for (i = 0; i < nr; i++)
		give_back(c, &got[i]);
	return s;
}

/**
 * stash_recall() - give back what other threads of the process have stashed
 * @c: client
 *
 * They may sleep, for ever.
 */
void stash_recall(struct bmem_client *c)
{
	const struct cache *mine = thread_cache_peek(c);
	uint32_t at = 0;

	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
		return;
	while (recall_next(c, mine, &at))
		;
}
