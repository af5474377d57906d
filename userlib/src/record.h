/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Records, slots' names and the span map, as <linux/bmem.h> defines them.
 *
 * Everything here is on the way of every allocation.  The kernel, and every
 * other process of the client, reads records at any time, so they are written
 * with atomic stores; only one thread writes a record at a time, because only
 * one has its slot.
 */
#ifndef BMEM_RECORD_H
#define BMEM_RECORD_H

#include "internal.h"

#pragma GCC visibility push(hidden)
#include "place_slab.h"
#pragma GCC visibility pop

_Static_assert(SLAB_CLASSES == BMEM_CLASSES, "size classes");
_Static_assert(SLAB_BYTES_MAX == BMEM_SLOT_MAX, "size classes");

#define PLACE_MASK	((1ULL << BMEM_SLOT_PLACE_BITS) - 1)
/* Generation and state, where they lie in a record's head. */
#define GEN_BITS	(BMEM_RECORD_GEN_MASK << BMEM_RECORD_GEN_SHIFT)
#define GEN_ONE		(1ULL << BMEM_RECORD_GEN_SHIFT)

/* Words that others read or write at the same time. */
#define peek(p)		__atomic_load_n(p, __ATOMIC_RELAXED)
#define poke(p, value)	__atomic_store_n(p, value, __ATOMIC_RELAXED)

/*
 * The same as peek() where it is read once and nothing is lost by reading it
 * late: a plain load can be an operand of what is done with it.
 */
#ifdef __SANITIZE_THREAD__
#define glance(p)	peek(p)
#else
#define glance(p)	(*(p))
#endif

/* A slot's or block's name: its offset and its record. */
static inline uint64_t name_of(uint64_t offset, uint64_t record)
{
	return offset / SLAB_GRANULE | record << BMEM_SLOT_PLACE_BITS;
}

static inline uint64_t name_offset(uint64_t name)
{
	return (name & PLACE_MASK) * SLAB_GRANULE;
}

static inline uint32_t name_record(uint64_t name)
{
	return (uint32_t)(name >> BMEM_SLOT_PLACE_BITS);
}

/* Both pages of the control window. */
struct window {
	struct bmem_clock clock;
	char rest[BMEM_PAGE_SIZE - sizeof(struct bmem_clock)];
	struct bmem_control control;
};

static inline const struct window *window_of(const struct bmem_client *c)
{
	return (const struct window *)c->window;
}

static inline uint32_t level_now(const struct bmem_client *c)
{
	return glance(&window_of(c)->control.level);
}

/* Ticks since the client was opened. */
static inline uint32_t ticks_now(const struct bmem_client *c)
{
	const struct window *w = window_of(c);

	return glance(&w->clock.ticks) - w->control.epoch;
}

static inline bool head_live(uint64_t head)
{
	return (head & BMEM_RECORD_STATE_MASK) == BMEM_RECORD_LIVE;
}

static inline uint64_t head_bytes(uint64_t head)
{
	return head >> BMEM_RECORD_SIZE_SHIFT;
}

/* The lower half of @what, which is written alone when the tensor is freed. */
typedef uint32_t what_half __attribute__((may_alias));

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "halves of what");

static inline what_half *ticks_of(struct bmem_record *r)
{
	return (what_half *)&r->what;
}

/**
 * record_live() - enter a tensor
 * @r: record of a slot that the caller has
 * @bytes: exact size
 * @site: call site, 0 below %BMEM_LEVEL_STANDARD
 * @ticks: when, 0 below %BMEM_LEVEL_STANDARD
 */
static inline void record_live(struct bmem_record *r, uint64_t bytes,
			       uint32_t site, uint32_t ticks)
{
	uint64_t head = peek(&r->head);

	poke(&r->what, (uint64_t)site << BMEM_RECORD_SITE_SHIFT | ticks);
	head = ((head + GEN_ONE) & GEN_BITS) +
	       (bytes << BMEM_RECORD_SIZE_SHIFT) + BMEM_RECORD_LIVE;
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
}

/* Turn the time of a tensor that was freed into its lifetime. */
static inline void record_lifetime(struct bmem_record *r, uint32_t now)
{
	poke(ticks_of(r), now - glance(ticks_of(r)));
}

static inline uint64_t span_at(const struct bmem_client *c, uint64_t offset)
{
	return peek(&c->spans[offset >> PAGE_SHIFT]);
}

static inline uint32_t span_record(uint64_t entry)
{
	return entry >> BMEM_SPAN_RECORD_SHIFT & BMEM_SPAN_RECORD_MASK;
}

/* The kind of a slab span's page is its class + 1. */
static inline uint32_t span_class(uint64_t entry)
{
	return (uint32_t)(entry & BMEM_SPAN_KIND_MASK) - 1;
}

/* Kinds that are none of a slab span's are above, but for 0. */
static inline uint32_t span_kind(uint64_t entry)
{
	return (uint32_t)(entry & BMEM_SPAN_KIND_MASK);
}

/* Offset from the beginning of its slab span. */
static inline uint32_t span_inside(uint64_t entry, uint64_t offset)
{
	/* Shifted once, to where the page's number belongs. */
	uint32_t page = (uint32_t)(entry << (PAGE_SHIFT - BMEM_SPAN_ARG_SHIFT));

	return (page & ~(uint32_t)(BMEM_PAGE_SIZE - 1)) |
	       (offset & (BMEM_PAGE_SIZE - 1));
}

/* What FREE calls the tensor that begins at @offset. */
static inline uint64_t span_handle(uint64_t entry, uint64_t offset)
{
	uint64_t gen = entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK;

	return gen << BMEM_SLOT_PLACE_BITS | offset / SLAB_GRANULE;
}

/* Length in pages of the tensor that begins at @offset. */
static inline uint32_t span_pages(const struct bmem_client *c, uint64_t entry,
				  uint64_t offset)
{
	if (entry & BMEM_SPAN_SINGLE)
		return 1;
	return span_at(c, offset + BMEM_PAGE_SIZE) >> BMEM_SPAN_ARG_SHIFT &
	       BMEM_SPAN_PAGES_MASK;
}

static inline bool span_is_tensor(uint64_t entry)
{
	return (entry & BMEM_SPAN_KIND_MASK) == BMEM_SPAN_TENSOR;
}

#endif /* BMEM_RECORD_H */
