// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Threads and their caches: which thread has which, and what becomes of it
 * when the thread ends.
 *
 * A thread finds its cache by the client's serial, which is never used again:
 * when a client is closed its caches are unmapped, and what threads still have
 * of them is a serial that no client answers to.  A child of fork() has
 * inherited the numbers of its parent, but gives a client that it shares a new
 * serial, since the old one was wiped.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cache.h"

__thread struct tls tls = {
	.slots = { [0 ... TLS_SLOTS - 1] = { .serial = TLS_NONE } },
};

/* All clients that are open; a thread that ends may still have their slots. */
static pthread_mutex_t clients_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bmem_client *clients;
static bool clients_held;

/* A process was forked off by this one, or this one was. */
bool clients_forked;

/* How often the destructors of this thread's keys were gone through. */
static __thread unsigned int rounds __attribute__((tls_model("initial-exec")));

#define ROUNDS_MAX	(PTHREAD_DESTRUCTOR_ITERATIONS - 1)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int set_up_ret;

static uint64_t next_serial(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

/* An open client by its serial; clients_lock is held. */
static struct bmem_client *client_by_serial(uint64_t serial)
{
	struct bmem_client *c = clients;

	while (c && peek(&c->serial) != serial)
		c = c->next;
	return c;
}

/* Take what a thread has of a client, which it uses no more. */
static void cache_clear(struct bmem_client *c, struct cache *m)
{
	cache_flush(c, m);
	site_cache_flush(c, &m->sites);
	memset(&m->sites, 0, sizeof(m->sites));
}

static void detach(struct bmem_client *c, struct cache *m)
{
	uint32_t at = (uint32_t)(m - c->caches);

	cache_clear(c, m);
	guard_lock(&c->depot->lock);
	c->depot->caches[at / 64] &= ~(1ULL << (at % 64));
	poke(&c->depot->threads, c->depot->threads - 1);
	guard_unlock(&c->depot->lock);
}

/* Give up the cache of a client that may have been closed since. */
static void slot_drop(struct tls_slot *s)
{
	struct bmem_client *c;

	if (s->serial == TLS_NONE)
		return;
	guard_lock(&clients_lock);
	c = client_by_serial(s->serial);
	if (c)
		detach(c, s->cache);
	guard_unlock(&clients_lock);
	s->serial = TLS_NONE;
}

/*
 * What cleans up after us may still allocate and free; it then has a new cache,
 * and we are called again in the next round.  After the last of these a thread
 * has none: nobody would empty it.  That is a round early, since
 * ThreadSanitizer takes itself away in the last one, before us.
 */
static void thread_end(void *arg)
{
	uint32_t i;

	(void)arg;
	rounds++;
	for (i = 0; i < TLS_SLOTS; i++)
		slot_drop(&tls.slots[i]);
}

/*
 * A thread that was cancelled does not end in fork(), neither in the parent, with
 * all locks, nor in the child, which would be over.
 */
static __thread int cancel_state __attribute__((tls_model("initial-exec")));

/* The list must be whole, and nobody's, in the child. */
static void before_fork(void)
{
	bool held;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	held = guard_hold(&clients_lock);
	clients_held = held;
	poke(&clients_forked, true);
	fork_clients(clients, FORK_PREPARE);
}

static void after_fork_parent(void)
{
	fork_clients(clients, FORK_PARENT);
	guard_leave(&clients_lock, clients_held);
	pthread_setcancelstate(cancel_state, NULL);
}

static void after_fork_child(void)
{
	fork_clients(clients, FORK_CHILD);
	guard_leave(&clients_lock, clients_held);
	pthread_setcancelstate(cancel_state, NULL);
}

static void set_up(void)
{
	set_up_ret = -pthread_key_create(&key, thread_end);
	if (!set_up_ret)
		set_up_ret = -pthread_atfork(before_fork, after_fork_parent,
					     after_fork_child);
}

/**
 * thread_client_add() - a client is open from now on
 * @c: client
 *
 * Return: 0 or -ENOMEM.
 */
int thread_client_add(struct bmem_client *c)
{
	pthread_once(&once, set_up);
	if (set_up_ret)
		return -ENOMEM;
	guard_lock(&clients_lock);
	c->serial = next_serial();
	c->next = clients;
	clients = c;
	guard_unlock(&clients_lock);
	return 0;
}

/**
 * thread_client_lose() - somebody got a descriptor
 * @fd: its number, which no client had that did not lose it before
 */
void thread_client_lose(int fd)
{
	struct bmem_client *c;

	guard_lock(&clients_lock);
	for (c = clients; c; c = c->next)
		if (c->fd == fd)
			poke(&c->fd, -1);
	guard_unlock(&clients_lock);
}

/* Caches of threads that are still there, which use the client no more. */
static void detach_all(struct bmem_client *c)
{
	uint32_t i;

	for (i = 0; i < c->nr_caches; i++)
		if (c->depot->caches[i / 64] >> (i % 64) & 1)
			cache_clear(c, &c->caches[i]);
}

/**
 * thread_client_remove() - a client is about to be closed
 * @c: client
 *
 * Gives back what threads and the depot have of it: another process may go on
 * with the client.
 */
void thread_client_remove(struct bmem_client *c)
{
	struct bmem_client **at = &clients;

	if (c->private && peek(&c->depot->orphaned))
		orphans_adopt(c);
	guard_lock(&clients_lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	detach_all(c);
	guard_unlock(&clients_lock);
	depot_flush(c);
}

/* A child of fork() finds no serial, and threads of it may race for one. */
static uint64_t serial_get(struct bmem_client *c)
{
	uint64_t serial = peek(&c->serial), mine;

	if (serial)
		return serial;
	mine = next_serial();
	if (__atomic_compare_exchange_n(&c->serial, &serial, mine, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return mine;
	return serial;
}

static struct cache *cache_claim(struct bmem_client *c)
{
	struct depot *d = c->depot;
	struct cache *m = NULL;
	uint32_t i;

	guard_lock(&d->lock);
	for (i = 0; i < c->nr_caches; i++) {
		if (d->caches[i / 64] >> (i % 64) & 1)
			continue;
		d->caches[i / 64] |= 1ULL << (i % 64);
		poke(&d->threads, d->threads + 1);
		m = &c->caches[i];
		break;
	}
	guard_unlock(&d->lock);
	return m;
}

/* Make a slot the first, where the fast path looks. */
static void slot_first(uint32_t i)
{
	struct tls_slot s = tls.slots[i];

	memmove(tls.slots + 1, tls.slots, i * sizeof(s));
	tls.slots[0] = s;
}

/**
 * thread_cache_peek() - this thread's cache of a client, if it has one
 * @c: client
 *
 * Return: the cache, or NULL.
 */
struct cache *thread_cache_peek(const struct bmem_client *c)
{
	uint64_t serial = peek(&c->serial);
	uint32_t i;

	for (i = 0; i < TLS_SLOTS; i++) {
		if (tls.slots[i].serial != serial)
			continue;
		if (i)
			slot_first(i);
		return tls.slots[0].cache;
	}
	return NULL;
}

/**
 * thread_cache() - this thread's cache of a client
 * @c: client
 *
 * Takes the place of the cache of the client that was not used for longest, if
 * need be.
 *
 * Return: the cache, or NULL when the client can have no more of them.
 */
struct cache *thread_cache(struct bmem_client *c)
{
	struct cache *m = thread_cache_peek(c);

	if (m || !c->nr_caches || rounds >= ROUNDS_MAX)
		return m;
	slot_drop(&tls.slots[TLS_SLOTS - 1]);
	/* Without it nobody would give back what is in the cache. */
	if (pthread_setspecific(key, &tls))
		return NULL;
	m = cache_claim(c);
	if (!m)
		return NULL;
	m->recall = peek(&c->control->recall);
	slot_first(TLS_SLOTS - 1);
	tls.slots[0].cache = m;
	tls.slots[0].serial = serial_get(c);
	return m;
}
