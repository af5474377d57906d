/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Idle memory that a process keeps at hand: each thread its own, and a depot
 * for all.
 *
 * All of it lies in memory that a child of fork() finds full of zeroes, and
 * zeroes mean: nothing here, nobody holds the lock, no thread has this cache.
 * So the child begins with nothing, and the parent keeps what is its own.  Of a
 * private client the child has a copy instead, see fork.c.
 *
 * Locks, outer first: the list of clients (thread.c), a depot's.  Neither is
 * held across a call to the backend, but that thread exit and bmem_close()
 * hold the list's.
 */
#ifndef BMEM_CACHE_H
#define BMEM_CACHE_H

#include <pthread.h>

#include "record.h"
#include "site.h"
#include "tls.h"

/* A magazine's greatest capacity, in slots, and that of a depot's shelf. */
#define MAGAZINE_MAX	64
#define SHELF_MAX	1024
/* Most blocks in a stash. */
#define STASH_MAX	32
/* A block that is beyond the bound may be that long, in pages: 64 MiB. */
#define STASH_LONE	(64U << (20 - PAGE_SHIFT))
/* Most threads that have a cache of their own at a time. */
#define CACHES_MAX	4096

/**
 * struct kept - a tensor of whole pages that was freed
 * @ptr: where it is
 * @record: its record
 * @pages: its length
 * @since: when it was freed, in ticks
 */
struct kept {
	char *ptr;
	struct bmem_record *record;
	uint32_t pages;
	uint32_t since;
};

/**
 * struct stash - what is kept of these
 * @pages: their lengths together
 * @nr: how many
 * @moving: somebody is changing the order of the rest
 * @busy: its thread is at it
 * @seized: another thread is, or waits until @busy is not set
 * @kept: the blocks, oldest first
 *
 * Another thread may take them all, see stash_recall().  It never writes to
 * @kept.
 */
struct stash {
	uint64_t pages;
	uint32_t nr;
	bool moving;
	bool busy;
	bool seized;
	struct kept kept[STASH_MAX];
};

/**
 * struct idle - a free slot
 * @ptr: where it is
 * @record: its record
 *
 * Both, and not a name, so that the pointer that is pushed does not have to
 * wait until the record was looked up.
 */
struct idle {
	char *ptr;
	struct bmem_record *record;
};

/**
 * struct magazine - a stack of free slots of one class, without the slots
 * @top: the first place without a slot
 * @bottom: the first place; NULL until the magazine is first used
 * @end: behind the last place that may have a slot
 * @inverse: of the class's size, see slot_at()
 * @slots: slots in a span of the class
 *
 * All zero is empty and full at once, and of a class that has no slots.
 */
struct magazine {
	struct idle *top;
	struct idle *bottom;
	struct idle *end;
	uint32_t inverse;
	uint32_t slots;
};

/**
 * struct wear - what is known of a magazine's use
 * @trips: refills and flushes since its capacity was last changed
 * @used: refilled or flushed since the last sweep
 */
struct wear {
	uint16_t trips;
	uint16_t used;
};

/**
 * struct cache - one thread's
 * @magazines: by class + 1, which is the kind of a span's pages; none at 0
 * @idle: their slots, by class; one place more than are used, so that not all
 *	begin at the same place of a page
 * @wear: by class
 * @stash: free tensors of whole pages
 * @stash_limit: most pages that @stash keeps when more memory is asked for
 * @cap_bytes: what all magazines could hold
 * @recall: value of bmem_control.recall that was obeyed
 * @swept: when the magazines were last swept, in ticks
 * @refused: times that a magazine could not grow since then
 * @moving: the thread is changing the order of @idle
 * @sites: the call sites that the thread knows
 */
struct cache {
	uint64_t stash_limit;
	uint64_t cap_bytes;
	uint32_t recall;
	uint32_t swept;
	uint32_t refused;
	bool moving;
	struct stash stash;
	struct wear wear[BMEM_CLASSES];
	char stagger[0x340];
	struct magazine magazines[BMEM_CLASSES + 1];
	struct idle idle[BMEM_CLASSES][MAGAZINE_MAX + 1];
	struct site_cache sites;
} __attribute__((aligned(4096)));

/**
 * struct shelf - idle slots of one class
 * @nr: how many
 * @used: taken from since the last sweep
 * @slots: their names
 */
struct shelf {
	uint32_t nr;
	uint32_t used;
	uint64_t slots[SHELF_MAX];
};

/**
 * struct depot - idle memory of a process, for all its threads
 * @lock: guards all but @held, @peak and @swept; @stash's figures and @stashed can
 *	be looked at without it
 * @bytes: sum of the slots on @shelves
 * @shelves: by class
 * @stash: tensors of whole pages
 * @stashed: when the oldest of these was freed, in ticks, while there is one
 * @caches: which of the client's caches have a thread
 * @threads: how many
 * @held: what this process took from the backend less what it gave back; may
 *	be negative in a child
 * @peak: most that @held ever was, and would have been with blocks in stashes
 * @swept: when the shelves were last swept, in ticks
 * @held_for_fork: @lock is held for fork(), not by what it interrupted
 * @orphaned: there may be something in @orphans
 * @orphans: which of @caches are of threads that are not in this process
 */
struct depot {
	pthread_mutex_t lock;
	uint64_t bytes;
	struct shelf shelves[BMEM_CLASSES];
	struct stash stash;
	uint32_t stashed;
	uint64_t caches[CACHES_MAX / 64];
	uint32_t threads;
	int64_t held;
	int64_t peak;
	uint32_t swept;
	bool held_for_fork;
	bool orphaned;
	uint64_t orphans[CACHES_MAX / 64];
} __attribute__((aligned(4096)));

/* Is the client the one that this thread used last? */
static inline bool cache_at_hand(const struct bmem_client *c)
{
	return __builtin_expect(tls.slots[0].serial == glance(&c->serial), 1);
}

/**
 * slot_inverse() - what slot_at() multiplies by
 * @bytes: size of a class's slots
 *
 * Return: 2^16 / @bytes, modulo 2^32.
 */
static inline uint32_t slot_inverse(uint32_t bytes)
{
	uint32_t zeroes = (uint32_t)__builtin_ctz(bytes), odd = bytes >> zeroes;
	uint32_t inverse = odd;

	/* Newton: right in 3 bits at first, in twice as many each time. */
	while (odd * inverse != 1)
		inverse *= 2 - odd * inverse;
	return inverse << (16 - zeroes);
}

/**
 * slot_at() - which slot of a span begins at an offset
 * @mag: magazine of the span's class
 * @inside: offset from the span's first byte, below its length
 *
 * Modulo 2^32, the product is 2^16 times the quotient where there is no
 * remainder.  Where the remainder is no multiple of the size's power of two,
 * the lower half is not 0.  Where it is one, the upper half is a number whose
 * product with the size's odd part is @inside without these factors of two,
 * modulo 2^16; that has less than 16 bits, so it is no product of a slot's
 * number, which is below 64, with that odd part, which is below 16.  One test
 * after a rotation finds all of that.
 *
 * Return: the slot; ~0 where none begins.
 */
static inline __attribute__((always_inline))
uint32_t slot_at(const struct magazine *mag, uint32_t inside)
{
	uint32_t product = inside * mag->inverse;
	uint32_t slot = product << 16 | product >> 16;

	return __builtin_expect(slot >= mag->slots, 0) ? ~0U : slot;
}

_Static_assert(SLAB_PAGES_MAX << PAGE_SHIFT <= 1 << 17, "length of a span");
_Static_assert(SLAB_BYTES_MAX <= 1 << 15, "length of a slot");

static inline struct magazine *magazine_of(struct cache *m, size_t class)
{
	return m->magazines + 1 + class;
}

static inline uint32_t magazine_nr(const struct magazine *mag)
{
	return (uint32_t)(mag->top - mag->bottom);
}

static inline uint32_t magazine_cap(const struct magazine *mag)
{
	return (uint32_t)(mag->end - mag->bottom);
}

/* @top is the magazine's; there is room. */
static inline void slot_push(struct magazine *mag, struct idle *top, char *ptr,
			     struct bmem_record *record)
{
	top->ptr = ptr;
	top->record = record;
	/* Last, since fork() may come at any time. */
	__atomic_store_n(&mag->top, top + 1, __ATOMIC_RELEASE);
}

static inline uint64_t block_pages(size_t size)
{
	return (size + BMEM_PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* May a block serve a request?  One that is at most an eighth too long may. */
static inline bool kept_fits(const struct kept *block, uint64_t pages)
{
	return block->pages - pages <= pages / 8;
}

/**
 * stash_enter() - begin to use this thread's stash
 * @s: stash
 *
 * What keeps the store before the load is stash_recall()'s membarrier(): here
 * it costs nothing.
 *
 * Return: false when another thread is taking what is in there.
 */
static inline bool stash_enter(struct stash *s)
{
	poke(&s->busy, true);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(!__atomic_load_n(&s->seized, __ATOMIC_ACQUIRE), 1))
		return true;
	__atomic_store_n(&s->busy, false, __ATOMIC_RELEASE);
	return false;
}

/**
 * stash_leave() - after stash_enter()
 * @s: stash
 */
static inline void stash_leave(struct stash *s)
{
	__atomic_store_n(&s->busy, false, __ATOMIC_RELEASE);
}

/*
 * Into the caller's own stash, entered, or one that is locked, which has @nr
 * blocks; there is room.
 */
static inline void stash_push(struct stash *s, uint32_t nr,
			      const struct kept *block)
{
	s->kept[nr] = *block;
	poke(&s->pages, s->pages + block->pages);
	__atomic_store_n(&s->nr, nr + 1, __ATOMIC_RELEASE);
}

struct cache *thread_cache(struct bmem_client *c);

/* The thread's cache, soonest found where it was used last; or NULL. */
static inline struct cache *cache_of(struct bmem_client *c)
{
	return cache_at_hand(c) ? tls.slots[0].cache : thread_cache(c);
}

/* Call site of an allocation, as far as the level wants one. */
static inline __attribute__((always_inline))
uint32_t site_from(struct bmem_client *c, const char *label, const void *ret,
		   const void *frame, size_t bytes)
{
	struct cache *m = cache_of(c);
	uint32_t level = level_now(c);

	if (__builtin_expect(m != NULL, 1))
		return site_of(c, &m->sites, label, ret, frame, level, bytes);
	return level < BMEM_LEVEL_STANDARD ? 0 : site_at(c, label, ret);
}

/* Likewise, where the allocation is none that is timed as a whole. */
static inline __attribute__((always_inline))
uint32_t site_from_untimed(struct bmem_client *c, const char *label,
			   const void *ret, const void *frame, size_t bytes)
{
	uint32_t site = site_from(c, label, ret, frame, bytes);

	/* Or the next one that can be would be, from here on. */
	if (cache_at_hand(c))
		tls.slots[0].cache->sites.meter.timing = false;
	return site;
}

/* thread.c */
extern bool clients_forked __attribute__((visibility("hidden")));
int thread_client_add(struct bmem_client *c);
void thread_client_remove(struct bmem_client *c);
void thread_client_lose(int fd);
struct cache *thread_cache_peek(const struct bmem_client *c);

/* fork.c */
void fork_clients(struct bmem_client *clients, enum fork_step step);
void orphans_adopt(struct bmem_client *c);

/* magazine.c */
void magazines_init(struct bmem_client *c);
void magazine_set(struct magazine *mag, uint32_t class, struct idle *idle);
void cache_flush(struct bmem_client *c, struct cache *m);
void cache_look(struct bmem_client *c, struct cache *m);
int magazine_refill(struct bmem_client *c, struct cache *m, uint32_t class);
void magazine_spill(struct bmem_client *c, struct cache *m, uint32_t class);

/* slots.c */
int slots_get(struct bmem_client *c, uint32_t class, uint64_t *names,
	      uint32_t nr, uint32_t *got, uint32_t wait_ms);
void slots_put(struct bmem_client *c, uint64_t *names, uint32_t nr,
	       uint64_t bytes);

/* depot.c */
int depot_init(struct bmem_client *c);
void depot_hide(struct bmem_client *c);
void depot_fini(struct bmem_client *c);
uint32_t depot_take(struct bmem_client *c, uint32_t class, uint64_t *names,
		    uint32_t nr);
void depot_give(struct bmem_client *c, uint32_t class, uint64_t *names,
		uint32_t nr);
void depot_flush(struct bmem_client *c);
void depot_sweep(struct bmem_client *c);
bool idle_flush(struct bmem_client *c);

/* stash.c */
void stash_hold(struct bmem_client *c, struct stash *s);
bool stash_take(struct bmem_client *c, struct stash *s, struct kept *block,
		uint64_t pages, uint64_t align);
bool stash_depot_take(struct bmem_client *c, struct kept *block, uint64_t pages,
		      uint64_t align);
bool stash_room(struct bmem_client *c, struct cache *m, uint32_t pages);
void stash_empty(struct bmem_client *c, struct cache *m);
void stash_tighten(struct bmem_client *c, struct cache *m, uint64_t pages);
void stash_depot_flush(struct bmem_client *c);
void stash_recall(struct bmem_client *c);
void stash_age(struct bmem_client *c, struct cache *m);

/* block.c */
void *block_alloc(struct bmem_client *c, size_t size, size_t align,
		  unsigned int flags, uint32_t site);
void *block_reuse(struct bmem_client *c, size_t size, size_t align,
		  unsigned int flags, uint32_t site);
int blocks_get(struct bmem_client *c, struct bmem_alloc_entry *e, uint32_t nr);
int block_free(struct bmem_client *c, char *ptr, uint64_t entry,
	       uint64_t offset);
int block_keep(struct bmem_client *c, uint64_t offset, uint64_t entry);
int block_release(struct bmem_client *c, uint64_t offset);

/* tensor.c */
int request_check(size_t size, size_t align, unsigned int flags);
void *tensor_alloc(struct bmem_client *c, size_t size, size_t align,
		   unsigned int flags, uint32_t site);
int tensor_give(struct bmem_client *c, void *ptr, uint64_t entry,
		struct bmem_record *r);

#endif /* BMEM_CACHE_H */
