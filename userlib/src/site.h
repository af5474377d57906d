/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * From an allocation to the number of its call site.
 *
 * A thread remembers the sites that it has seen in a struct site_cache: a hit
 * is a few instructions; a miss asks the client's tables, and a site that is
 * new to these gets its name and is announced to the backend.
 */
#ifndef BMEM_SITE_H
#define BMEM_SITE_H

#include "caller.h"
#include "internal.h"
#include "scope.h"

/* From here on a tensor's site is its whole stack. */
#define SITE_BIG	(1UL << 20)

/* Powers of two. */
#define SITE_FLAT	512
#define SITE_ENTRIES	128
#define SITE_OUTERS	64
#define SITE_CALLS	512
/* Places that a struct site_call may be in. */
#define SITE_WAYS	4

/**
 * struct site_flat - a site that a thread knows by return address and scope
 * @key: both, see site_key()
 * @site: its number
 * @left: allocations that may take the short way; below 0 for none
 */
struct site_flat {
	uint64_t key;
	uint32_t site;
	int32_t left;
};

/**
 * struct site_dealt - what goes with a struct site_flat
 * @given: what its @left was when it was last looked at
 * @rest: what remains then until the next sample, in allocations; large ones
 *	count more
 */
struct site_dealt {
	uint32_t given;
	uint32_t rest;
};

/**
 * struct site_entry - a site that a thread knows by hash
 * @key: return address; or, of an interpreter's place, struct twin's key
 * @check: hash of label and scope; or struct twin's check
 * @site: its number
 * @left: until the next sample, as in struct site_dealt
 */
struct site_entry {
	uint64_t key;
	uint64_t check;
	uint32_t site;
	uint32_t left;
};

/**
 * struct site_frame - what lies at a frame pointer
 * @next: the caller's frame pointer
 * @pc: return address
 */
struct site_frame {
	uintptr_t next;
	uintptr_t pc;
};

/**
 * struct site_outer - a stack as it lies in memory, but for its innermost frame
 * @fp: where it begins, the frame pointer of who called the caller of this
 *	library; 0 while there is none here
 * @end: saved frame pointer of the last frame, which leads no further
 * @t: hash of its return addresses
 * @nr: frames; 0 where none above the innermost is to be had
 * @whole: they go back to the beginning of the thread
 * @frames: these; the last one's @next is not used.  Where @nr is 0, the first
 *	one's @pc is what is no return address
 *
 * When all of these are found unchanged in memory, a walk would give the same
 * stack.  The loads do not wait for each other, as those of a walk do, so that
 * looking is several times as fast as walking.  What a function calls in turn
 * to allocate has one of these in common.
 */
struct site_outer {
	uintptr_t fp;
	uintptr_t end;
	struct twin t;
	uint32_t nr;
	bool whole;
	struct site_frame frames[BMEM_FRAMES_MAX - 1];
};

/**
 * struct site_call - a site that a thread knows by its whole stack
 * @ret: innermost return address
 * @what: hash of label and scope
 * @outer: of the rest, struct site_outer's @t
 * @site: its number, 0 while there is none here
 * @left: as in struct site_entry, where the stack is not whole
 */
struct site_call {
	uint64_t ret;
	uint64_t what;
	struct twin outer;
	uint32_t site;
	uint32_t left;
};

/**
 * struct site_cache - what one thread knows of the sites of one client
 * @meter: what it measured of its tracking
 * @low: lowest address of the thread's stack
 * @high: first address above it; 0 until it is known, 1 when that cannot be
 * @random: state of the sampler's generator
 * @loads: module_loads() when the rest was entered
 * @flat: direct-mapped by return address and scope
 * @dealt: the same order
 * @entries: direct-mapped by hash
 * @outers: direct-mapped by frame pointer and return address
 * @calls: by hash, each in one of %SITE_WAYS places, the latest first
 *
 * All zero is empty.  Before it goes away, or another thread or client uses it,
 * site_cache_flush() hands on what was measured and makes it all zero again.
 */
struct site_cache {
	struct meter meter;
	uintptr_t low;
	uintptr_t high;
	uint64_t random;
	uint64_t loads;
	struct site_flat flat[SITE_FLAT];
	struct site_dealt dealt[SITE_FLAT];
	struct site_entry entries[SITE_ENTRIES];
	struct site_outer outers[SITE_OUTERS];
	struct site_call calls[SITE_CALLS];
};

static inline struct site_entry *site_entry(struct site_cache *sc, uint64_t key,
					    uint64_t check)
{
	uint64_t h = (key ^ check << 32) * 0x9e3779b97f4a7c15ULL;

	return &sc->entries[h >> 57];
}

_Static_assert(SITE_ENTRIES == 1 << (64 - 57), "index of an entry");

/* Blocks are sampled more often, in proportion. */
static inline uint32_t site_weight(size_t bytes)
{
	return bytes <= BMEM_SLOT_MAX ? 1 : 1 + (uint32_t)(bytes >> 14);
}

uint32_t site_slow(struct bmem_client *c, struct site_cache *sc,
		   const char *label, const void *ret, const void *frame,
		   uint32_t level, size_t bytes);
uint32_t site_whole(struct bmem_client *c, struct site_cache *sc,
		    const void *ret, const void *frame, uint32_t level,
		    size_t bytes);
void site_cache_flush(struct bmem_client *c, struct site_cache *sc);

/* At level full, are sites those of level standard at the moment? */
static inline bool site_reduced(const struct bmem_client *c)
{
	return atomic_load_explicit(&c->sites.costs.governor.reduced,
				    memory_order_relaxed);
}

/* A return address and the thread's scope, in one word. */
static inline uint64_t site_key(const void *ret)
{
	return (uintptr_t)ret ^ tls.scope_key;
}

/*
 * Two calls are hardly ever less than 8 bytes apart: what sets up the second
 * one's arguments is in between.  So those of 4 KiB of code have places of
 * their own.
 */
static inline struct site_flat *site_flat(struct site_cache *sc, uint64_t key)
{
	return (struct site_flat *)((char *)sc->flat +
				    (key & (SITE_FLAT - 1) * 8) * 2);
}

/* What goes with that. */
static inline struct site_dealt *site_dealt(struct site_cache *sc, uint64_t key)
{
	return (struct site_dealt *)((char *)sc->dealt +
				     (key & (SITE_FLAT - 1) * 8));
}

_Static_assert(sizeof(struct site_flat) == 8 * 2 &&
	       sizeof(struct site_dealt) == 8, "index of a site");

/* The thread's entry of a return address, if it knows it; or NULL. */
static inline struct site_flat *site_look(struct site_cache *sc,
					  const void *ret)
{
	uint64_t key = site_key(ret);
	struct site_flat *e = site_flat(sc, key);

	return __builtin_expect(e->key == key, 1) ? e : NULL;
}

/* The same for the site of a slot, if nothing else is due. */
static inline struct site_flat *site_hit(struct site_cache *sc, const void *ret)
{
	struct site_flat *e = site_look(sc, ret);

	return __builtin_expect(e && --e->left >= 0, 1) ? e : NULL;
}

/**
 * site_of() - the call site of an allocation
 * @c: client
 * @sc: the calling thread's cache for this client
 * @label: what the memory is for, or NULL
 * @ret: return address of the allocating function
 * @frame: its __builtin_frame_address(0)
 * @level: enum bmem_level that holds
 * @bytes: size of the tensor
 *
 * Keeps errno.
 *
 * Return: the site's number; 0 below %BMEM_LEVEL_STANDARD, or when there is no
 * room for another site.
 */
static inline uint32_t site_of(struct bmem_client *c, struct site_cache *sc,
			       const char *label, const void *ret,
			       const void *frame, uint32_t level, size_t bytes)
{
	struct site_flat *e;
	uint32_t site = 0;

	if (level < BMEM_LEVEL_STANDARD)
		return 0;
	if (__builtin_expect(level == BMEM_LEVEL_STANDARD && !label &&
			     bytes <= BMEM_SLOT_MAX, 1)) {
		e = site_hit(sc, ret);
		if (e)
			return e->site;
	} else if (!label) {
		site = site_whole(c, sc, ret, frame, level, bytes);
	}
	return site ? site :
		      site_slow(c, sc, label, ret, frame, level, bytes);
}

/* Has a block without a label its return address for a site? */
static inline bool site_is_flat(const struct bmem_client *c, uint32_t level,
				size_t bytes)
{
	if (__builtin_expect(level != BMEM_LEVEL_STANDARD, 0) &&
	    (level != BMEM_LEVEL_FULL || !site_reduced(c)))
		return false;
	return bytes < SITE_BIG &&
	       (__builtin_expect(!caller_on(), 1) || bytes < CALLER_BYTES);
}

/* site_hit() for the site of such a block. */
static inline struct site_flat *site_hit_block(struct site_cache *sc,
					       const void *ret, size_t bytes)
{
	/* That of what is more than %BMEM_SLOT_MAX, see site_weight(). */
	uint32_t more = (uint32_t)(bytes >> 14);
	uint64_t key = site_key(ret);
	struct site_flat *e = site_flat(sc, key);
	int32_t left = e->left - (int32_t)(more + 1);

	if (__builtin_expect(e->key != key || left <= 0, 0))
		return NULL;
	e->left = left;
	/* When the site is settled, it counts as one. */
	site_dealt(sc, key)->given -= more;
	return e;
}

/**
 * site_of_block() - site_of() for a block without a label
 * @c: as for site_of()
 * @sc: as for site_of()
 * @ret: as for site_of()
 * @frame: as for site_of()
 * @level: %BMEM_LEVEL_STANDARD or %BMEM_LEVEL_FULL
 * @bytes: more than %BMEM_SLOT_MAX
 *
 * Return: as for site_of().
 */
static inline uint32_t site_of_block(struct bmem_client *c,
				     struct site_cache *sc, const void *ret,
				     const void *frame, uint32_t level,
				     size_t bytes)
{
	struct site_flat *e;
	uint32_t site;

	if (site_is_flat(c, level, bytes)) {
		e = site_hit_block(sc, ret, bytes);
		if (__builtin_expect(e != NULL, 1))
			return e->site;
	}
	site = site_whole(c, sc, ret, frame, level, bytes);
	return site ? site :
		      site_slow(c, sc, NULL, ret, frame, level, bytes);
}

/**
 * site_timed() - is the allocation that site_of() was asked for timed?
 * @sc: the calling thread's cache
 *
 * If so, its record is stored between meter_now() and site_timed_record(), and
 * site_timed_end() is called at the end, whatever came of it.
 *
 * Return: true for about one in two thousand.
 */
static inline bool site_timed(const struct site_cache *sc)
{
	return __builtin_expect(sc->meter.timing, 0);
}

/**
 * site_timed_record() - a record was stored, in an allocation that is timed
 * @sc: the calling thread's cache
 * @from: meter_now() before the store
 */
static inline void site_timed_record(struct site_cache *sc, uint64_t from)
{
	meter_scaled(&sc->meter, BMEM_OVERHEAD_RECORD, from);
}

/**
 * site_timed_end() - an allocation that is timed has ended
 * @sc: the calling thread's cache
 */
static inline void site_timed_end(struct site_cache *sc)
{
	meter_done(&sc->meter);
}

#endif /* BMEM_SITE_H */
