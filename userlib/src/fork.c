// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * fork() with a private client: two processes go on, each with all of it.
 *
 * The memory and the tables are copied by the kernel, or by bmem.ko; what is
 * done here is that they are copied at a moment at which they make sense.
 * Locks are taken before, all of them: the list of clients, then for each
 * client its depot's and its backend's.
 *
 * Threads do not stop for that: the fast paths take no lock.  A child finds of
 * each thread what it had done up to some moment, no later thing without the
 * earlier ones, since a thread that writes to a page which was already copied
 * waits until fork() is over.  So what a thread keeps must make sense after
 * each single store, but for where it says that it does not: struct cache's
 * and struct stash's @moving.
 *
 * In the child, what other threads kept has nobody.  It goes to the depot when
 * the child first comes to a slow path: most children call execve() before.
 */
#include <string.h>

#include "cache.h"
#include "module.h"

/* How many locks this thread has, or is just about to take or let go of. */
__thread uint32_t guards_inside;

/**
 * guard_hold() - take a lock for the length of fork()
 * @lock: lock
 *
 * Where the caller is a signal handler that interrupted who has it, in this
 * thread, it stays as it is, in the child as well: what was interrupted goes on
 * there, and lets go of it.
 *
 * Return: true if it was taken.
 */
bool guard_hold(pthread_mutex_t *lock)
{
	if (!guards_inside)
		return !pthread_mutex_lock(lock);
	return !pthread_mutex_trylock(lock);
}

/**
 * guard_leave() - let go of it, in the parent and in the child
 * @lock: lock
 * @held: what guard_hold() answered
 */
void guard_leave(pthread_mutex_t *lock, bool held)
{
	if (held)
		pthread_mutex_unlock(lock);
}

/* All caches but the one that the only thread has are nobody's. */
static void orphan_all(struct bmem_client *c)
{
	const struct cache *mine = thread_cache_peek(c);
	struct depot *d = c->depot;
	uint32_t at;

	memcpy(d->orphans, d->caches, sizeof(d->orphans));
	if (mine) {
		at = (uint32_t)(mine - c->caches);
		d->orphans[at / 64] &= ~(1ULL << (at % 64));
	}
	poke(&d->orphaned, true);
}

static void forget_cache(struct cache *m)
{
	memset(&m->stash, 0, sizeof(m->stash));
	memset(m->wear, 0, sizeof(m->wear));
	memset(m->magazines, 0, sizeof(m->magazines));
	m->cap_bytes = 0;
	m->moving = false;
}

/* Its places are entered in any order, and its slots after that. */
static bool magazine_whole(const struct magazine *mag)
{
	return mag->bottom && mag->bottom <= mag->top && mag->top <= mag->end;
}

static void adopt(struct bmem_client *c, struct cache *m)
{
	uint32_t class;

	if (m->moving)
		memset(m->magazines, 0, sizeof(m->magazines));
	/* The thread was just about to use one for the first time. */
	for (class = 0; class < BMEM_CLASSES; class++)
		if (!magazine_whole(magazine_of(m, class)))
			memset(magazine_of(m, class), 0, sizeof(*m->magazines));
	if (m->stash.moving)
		m->stash.nr = 0;
	/* Time of a thread that is not here cannot be read. */
	m->sites.meter.window = 0;
	cache_flush(c, m);
	site_cache_flush(c, &m->sites);
	memset(&m->sites, 0, sizeof(m->sites));
	forget_cache(m);
}

/* One bit of @orphans, which is cleared; ~0 when there is none. */
static uint32_t orphan_next(struct depot *d)
{
	uint32_t at = ~0U, i;

	guard_lock(&d->lock);
	for (i = 0; i < CACHES_MAX / 64 && at == ~0U; i++) {
		if (!d->orphans[i])
			continue;
		at = i * 64 + (uint32_t)__builtin_ctzll(d->orphans[i]);
		d->orphans[i] &= d->orphans[i] - 1;
	}
	if (at == ~0U)
		poke(&d->orphaned, false);
	guard_unlock(&d->lock);
	return at;
}

/**
 * orphans_adopt() - take over what the parent's other threads kept
 * @c: client of a child
 */
void orphans_adopt(struct bmem_client *c)
{
	struct depot *d = c->depot;
	uint32_t at;

	for (at = orphan_next(d); at != ~0U; at = orphan_next(d)) {
		adopt(c, &c->caches[at]);
		guard_lock(&d->lock);
		d->caches[at / 64] &= ~(1ULL << (at % 64));
		poke(&d->threads, d->threads - 1);
		guard_unlock(&d->lock);
	}
}

static void fork_prepare(struct bmem_client *c)
{
	struct depot *d = c->depot;

	d->held_for_fork = guard_hold(&d->lock);
	c->backend->fork(c, FORK_PREPARE);
}

static void fork_parent(struct bmem_client *c)
{
	struct depot *d = c->depot;

	c->backend->fork(c, FORK_PARENT);
	guard_leave(&d->lock, d->held_for_fork);
}

static void fork_child(struct bmem_client *c)
{
	struct depot *d = c->depot;

	c->backend->fork(c, FORK_CHILD);
	/* In the child it is another client, which has not been told. */
	depot_hide(c);
	orphan_all(c);
	guard_leave(&d->lock, d->held_for_fork);
}

/* What a client has besides its memory, shared or not. */
static void fork_extras(struct bmem_client *c, enum fork_step step)
{
	switch (step) {
	case FORK_PREPARE:
		events_prepare(c);
		c->refs.held = guard_hold(&c->refs.lock);
		break;
	case FORK_PARENT:
		guard_leave(&c->refs.lock, c->refs.held);
		events_parent(c);
		break;
	case FORK_CHILD:
		guard_leave(&c->refs.lock, c->refs.held);
		events_child(c);
		if (!c->private)
			depot_hide(c);
		break;
	}
}

/**
 * fork_clients() - a call of fork() has got somewhere
 * @clients: all that are open; their list is locked
 * @step: where
 */
void fork_clients(struct bmem_client *clients, enum fork_step step)
{
	struct bmem_client *c;

	module_fork(step);
	for (c = clients; c; c = c->next) {
		fork_extras(c, step);
		if (!c->private)
			continue;
		if (step == FORK_PREPARE)
			fork_prepare(c);
		else if (step == FORK_PARENT)
			fork_parent(c);
		else
			fork_child(c);
	}
}
