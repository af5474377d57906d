// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors: allocate and free.
 *
 * Up to %BMEM_SLOT_MAX bytes an allocation takes a slot from the thread's
 * magazine and writes its record; a free is the reverse.  Neither makes a
 * call, takes a lock or has an atomic read-modify-write.  All else is out of
 * line, so that this fits in registers.
 */
#include <errno.h>
#include <string.h>

#include "cache.h"
#include "whole.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define cold		__attribute__((noinline, cold))

/**
 * request_check() - the ABI's rules for a request
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 *
 * Return: 0, -EOPNOTSUPP, -EINVAL or -EOVERFLOW.
 */
int request_check(size_t size, size_t align, unsigned int flags)
{
	if (flags & ~BMEM_ALLOC_ZERO)
		return -EOPNOTSUPP;
	if (!size || align > BMEM_ALIGN_MAX || align & (align - 1) ||
	    (align && align < BMEM_ALIGN_MIN))
		return -EINVAL;
	return size > SIZE_MAX - BMEM_PAGE_SIZE ? -EOVERFLOW : 0;
}

/*
 * The record of a slot that is handed out, below level standard.  At level off
 * nothing says which slots are live, so that frees have to be believed.
 */
static __attribute__((noinline, returns_nonnull))
void *slot_use_low(struct bmem_client *c, char *ptr, struct bmem_record *r,
		   size_t size)
{
	if (level_now(c) != BMEM_LEVEL_OFF)
		record_live(r, size, 0, 0);
	else if (!atomic_load_explicit(&c->was_off, memory_order_relaxed))
		atomic_store_explicit(&c->was_off, true, memory_order_relaxed);
	return ptr;
}

/* Hand out a slot; the magazine is not empty. */
static inline __attribute__((always_inline))
void *slot_pop(struct bmem_client *c, struct magazine *mag, size_t size,
	       uint32_t site, bool low)
{
	struct idle *slot = --mag->top;
	struct bmem_record *r = slot->record;
	char *ptr = slot->ptr;

	if (!ptr)
		__builtin_unreachable();
	if (unlikely(low))
		return slot_use_low(c, ptr, r, size);
	record_live(r, size, site, ticks_now(c));
	return ptr;
}

static inline bool level_low(const struct bmem_client *c)
{
	return level_now(c) < BMEM_LEVEL_STANDARD;
}

static cold void *alloc_slow(struct bmem_client *c, size_t size, size_t align,
			     unsigned int flags, uint32_t site)
{
	uint32_t class = SLAB_NONE;
	struct cache *m;
	void *p;
	int ret;

	ret = request_check(size, align, flags);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	m = thread_cache(c);
	if (m)
		class = slab_class_aligned(size, align ? (uint32_t)align : 1);
	if (class == SLAB_NONE)
		return block_alloc(c, size, align, flags, site);
	if (!magazine_nr(magazine_of(m, class))) {
		ret = magazine_refill(c, m, class);
		/* Where no span can be had, there may still be a page. */
		if (ret == -ENOSPC && slab_classes[class].pages > 1)
			return block_alloc(c, size, align, flags, site);
		if (ret) {
			errno = -ret;
			return NULL;
		}
	}
	p = slot_pop(c, magazine_of(m, class), size, site, level_low(c));
	if (flags & BMEM_ALLOC_ZERO)
		memset(p, 0, size);
	return p;
}

/**
 * tensor_alloc() - bmem_alloc_at() for the library's own use
 * @c: client
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @site: as for bmem_alloc_at()
 *
 * Return: the tensor, or NULL and errno.
 */
void *tensor_alloc(struct bmem_client *c, size_t size, size_t align,
		   unsigned int flags, uint32_t site)
{
	return alloc_slow(c, size, align, flags, site);
}

/* The magazine that has a slot of this size; NULL for the slow path. */
static inline __attribute__((always_inline))
struct magazine *magazine_for(const struct bmem_client *c, size_t size)
{
	struct magazine *mag;

	if (unlikely(size - 1 >= SLAB_BYTES_MAX || !cache_at_hand(c)))
		return NULL;
	mag = (void *)((char *)tls.slots[0].cache +
		       c->magazine_offsets[(size - 1) / SLAB_GRANULE]);
	return unlikely(mag->top == mag->bottom) ? NULL : mag;
}

/* One allocation in some thousand, whose parts are timed. */
static cold void *alloc_timed(struct bmem_client *c, size_t size, size_t align,
			      unsigned int flags, uint32_t site)
{
	struct cache *m = tls.slots[0].cache;
	void *p = alloc_slow(c, size, align, flags, site);
	struct bmem_record spare = { 0 };
	uint64_t from = meter_now();

	/* The same stores once more, where nobody looks. */
	record_live(&spare, size, site, ticks_now(c));
	site_timed_record(&m->sites, from);
	site_timed_end(&m->sites);
	/* Who only ever takes the quick way hears of a recall, too. */
	cache_look(c, m);
	return p;
}

static inline __attribute__((always_inline))
bool is_plain(size_t align, unsigned int flags, const char *label)
{
	/* A test and its jump are as good as one: not to be made one of three. */
	if (unlikely(label))
		return false;
	__asm__ volatile("");
	if (unlikely(flags))
		return false;
	__asm__ volatile("");
	return likely(!(align & ~(size_t)BMEM_ALIGN_MIN));
}

/* To load once more is better than to need a frame for what was loaded. */
#define forget()	__asm__ volatile("" : : : "memory")

/* Take the block that is the stash's last, and @at its place; leaves the stash. */
static inline __attribute__((always_inline))
void *block_pop(struct stash *s, uint32_t at, size_t size, uint32_t site,
		uint32_t ticks)
{
	struct kept *block = &s->kept[at];
	char *ptr = block->ptr;

	if (!ptr)
		__builtin_unreachable();
	poke(&s->nr, at);
	poke(&s->pages, s->pages - block->pages);
	record_live(block->record, size, site, ticks);
	stash_leave(s);
	return ptr;
}

/*
 * The block that this thread freed last, for a site that the thread knows by
 * return address; or NULL.
 */
static inline __attribute__((always_inline))
void *block_flat(struct bmem_client *c, size_t size, const void *ret)
{
	struct site_flat *site;
	struct cache *m;
	uint32_t at;

	if (unlikely(!cache_at_hand(c) ||
		     !site_is_flat(c, level_now(c), size)))
		return NULL;
	m = tls.slots[0].cache;
	if (unlikely(!stash_enter(&m->stash)))
		return NULL;
	at = m->stash.nr - 1;
	if (unlikely(at >= STASH_MAX ||
		     !kept_fits(&m->stash.kept[at], block_pages(size))))
		goto none;
	site = site_hit_block(&m->sites, ret, size);
	if (unlikely(!site))
		goto none;
	forget();
	at = m->stash.nr - 1;
	return block_pop(&m->stash, at, size, site->site, ticks_now(c));
none:
	stash_leave(&m->stash);
	return NULL;
}

/*
 * The block that this thread freed last, if it is one for this request; or NULL.
 * A block has its record at every level.
 */
static inline __attribute__((always_inline))
void *block_quick(struct bmem_client *c, size_t size, const void *ret,
		  const void *frame)
{
	uint32_t level = level_now(c), site = 0, at;
	struct cache *m;

	if (unlikely(size > SIZE_MAX - BMEM_PAGE_SIZE || !cache_at_hand(c)))
		return NULL;
	m = tls.slots[0].cache;
	at = peek(&m->stash.nr) - 1;
	if (unlikely(at >= STASH_MAX ||
		     !kept_fits(&m->stash.kept[at], block_pages(size))))
		return NULL;
	if (likely(level >= BMEM_LEVEL_STANDARD)) {
		site = site_of_block(c, &m->sites, ret, frame, level, size);
		if (site_timed(&m->sites))
			return alloc_timed(c, size, 0, 0, site);
	}
	/* Only this thread puts anything in. */
	if (unlikely(!stash_enter(&m->stash)))
		return NULL;
	if (unlikely(m->stash.nr != at + 1)) {
		stash_leave(&m->stash);
		return NULL;
	}
	return block_pop(&m->stash, at, size, site,
			 level >= BMEM_LEVEL_STANDARD ? ticks_now(c) : 0);
}

/* Has an allocation without a label its whole stack for a site? */
static inline bool is_whole(const struct bmem_client *c, size_t size)
{
	uint32_t level = level_now(c);

	if (level == BMEM_LEVEL_FULL && !site_reduced(c))
		return true;
	return size >= SITE_BIG && level >= BMEM_LEVEL_STANDARD;
}

/*
 * A slot, or the block that this thread freed last, for a whole stack that it
 * knows; or NULL.
 */
static inline __attribute__((always_inline))
void *alloc_known(struct bmem_client *c, size_t size, const void *ret,
		  const void *frame)
{
	struct magazine *mag = NULL;
	uint32_t at = 0, site;
	struct cache *m;

	if (unlikely(!cache_at_hand(c) || !is_whole(c, size)))
		return NULL;
	m = tls.slots[0].cache;
	if (size <= SLAB_BYTES_MAX) {
		mag = magazine_for(c, size);
		if (unlikely(!mag))
			return NULL;
	} else {
		at = peek(&m->stash.nr) - 1;
		if (unlikely(size > SIZE_MAX - BMEM_PAGE_SIZE ||
			     at >= STASH_MAX ||
			     !kept_fits(&m->stash.kept[at], block_pages(size))))
			return NULL;
	}
	site = site_hit_whole(&m->sites, ret, frame, mag ? 1 : site_weight(size));
	if (unlikely(!site))
		return NULL;
	if (mag)
		return slot_pop(c, mag, size, site, false);
	if (unlikely(!stash_enter(&m->stash)))
		return NULL;
	/* Only this thread puts anything in. */
	if (unlikely(m->stash.nr != at + 1)) {
		stash_leave(&m->stash);
		return NULL;
	}
	return block_pop(&m->stash, at, size, site, ticks_now(c));
}

/* All that is not done where it is asked for. */
static inline __attribute__((always_inline))
void *alloc_from(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label, const void *ret,
		 const void *frame)
{
	uint32_t site;
	void *p;

	if (size > SLAB_BYTES_MAX && is_plain(align, flags, label)) {
		p = block_quick(c, size, ret, frame);
		if (likely(p))
			return p;
	}
	site = site_from(c, label, ret, frame, size);
	if (unlikely(cache_at_hand(c) && site_timed(&tls.slots[0].cache->sites)))
		return alloc_timed(c, size, align, flags, site);
	return alloc_slow(c, size, align, flags, site);
}

/* Frames of this file's functions are not further apart, in bytes. */
#define FRAME_NEAR	1024

/*
 * The frame of what bmem_alloc() has become.  It jumps to its other parts, so
 * that it needs no frame: theirs is then the one below the caller's.  Where
 * jumps are compiled to calls, as under ThreadSanitizer, its own is that.
 */
static inline __attribute__((always_inline))
const void *own_frame(const void *ret)
{
	void *const *own = __builtin_frame_address(0), *const *frame = own;
	int i;

	if (likely(__builtin_return_address(0) == ret))
		return own;
	/* At most so many of them have called each other. */
	for (i = 0; i < 3 && frame[1] != ret; i++) {
		/* Where frames are not kept, what lies there may be anything. */
		if ((uintptr_t)*frame - (uintptr_t)frame > FRAME_NEAR ||
		    (uintptr_t)*frame % FRAME_ALIGN)
			return own;
		frame = *frame;
	}
	return frame[1] == ret ? frame : own;
}

/* The rest of bmem_alloc(). */
static __attribute__((noinline))
void *alloc_other(struct bmem_client *c, size_t size, size_t align,
		  unsigned int flags, const char *label, const void *ret)
{
	return alloc_from(c, size, align, flags, label, ret, own_frame(ret));
}

/* bmem_alloc() where its site may be a whole stack. */
static __attribute__((noinline))
void *alloc_whole(struct bmem_client *c, size_t size, const void *ret)
{
	void *p = alloc_known(c, size, ret, own_frame(ret));

	return likely(p) ? p : alloc_other(c, size, 0, 0, NULL, ret);
}

/* A slot from the magazine, for a site that the thread knows; or NULL. */
static inline __attribute__((always_inline))
void *alloc_quick(struct bmem_client *c, size_t size, const void *ret)
{
	struct magazine *mag = magazine_for(c, size);
	struct site_flat *site;

	if (unlikely(!mag))
		return NULL;
	if (unlikely(level_now(c) != BMEM_LEVEL_STANDARD)) {
		if (peek(&c->control->level) != BMEM_LEVEL_FULL)
			return slot_pop(c, mag, size, 0, true);
		if (!site_reduced(c))
			return NULL;
	}
	site = site_hit(&tls.slots[0].cache->sites, ret);
	if (unlikely(!site))
		return NULL;
	return slot_pop(c, mag, size, site->site, false);
}

/* bmem_alloc() of a block; out of line, since it takes more registers. */
static __attribute__((noinline))
void *alloc_flat(struct bmem_client *c, size_t size, const void *ret)
{
	void *p;

	if (size >= SITE_BIG)
		return alloc_whole(c, size, ret);
	p = block_flat(c, size, ret);
	return likely(p) ? p : alloc_whole(c, size, ret);
}

__attribute__((noinline))
void *bmem_alloc(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label)
{
	void *p;

	if (!is_plain(align, flags, label))
		return alloc_other(c, size, align, flags, label,
				   __builtin_return_address(0));
	/* One test for both bounds: no block is as short as nothing. */
	if (unlikely(size - 1 >= SLAB_BYTES_MAX))
		return alloc_flat(c, size, __builtin_return_address(0));
	p = alloc_quick(c, size, __builtin_return_address(0));
	if (likely(p))
		return p;
	/* The return address is loaded once more, not kept. */
	forget();
	return alloc_whole(c, size, __builtin_return_address(0));
}

/* The rest of bmem_alloc_from(), with its arguments, so that it jumps here. */
static __attribute__((noinline))
void *from_other(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label, const void *ret,
		 const void *frame)
{
	void *p = NULL;

	if (is_plain(align, flags, label)) {
		if (size > SLAB_BYTES_MAX && size < SITE_BIG)
			p = block_flat(c, size, ret);
		if (unlikely(!p))
			p = alloc_known(c, size, ret, frame);
	}
	return likely(p) ? p : alloc_from(c, size, align, flags, label, ret,
					  frame);
}

void *bmem_alloc_from(struct bmem_client *c, size_t size, size_t align,
		      unsigned int flags, const char *label, const void *ret,
		      const void *frame)
{
	void *p;

	if (!is_plain(align, flags, label))
		return from_other(c, size, align, flags, label, ret, frame);
	p = alloc_quick(c, size, ret);
	/* Constants, so that nothing is kept that is needed here only. */
	return likely(p) ? p : from_other(c, size, 0, 0, NULL, ret, frame);
}

void *bmem_alloc_at(struct bmem_client *c, size_t size, size_t align,
		    unsigned int flags, uint32_t site)
{
	struct magazine *mag = NULL;

	if (likely(!((align & ~(size_t)BMEM_ALIGN_MIN) | flags)))
		mag = magazine_for(c, size);
	if (unlikely(!mag))
		return alloc_slow(c, size, align, flags, site);
	return slot_pop(c, mag, size, site, level_low(c));
}

/*
 * Enter that a slot is free again.  What was allocated at level off has no
 * record that is live; such a free has to be believed.
 */
static int slot_retire(struct bmem_client *c, struct bmem_record *r)
{
	uint64_t head = peek(&r->head);

	if (!head_live(head))
		return atomic_load_explicit(&c->was_off, memory_order_relaxed) ?
		       0 : -ENOENT;
	poke(&r->head, head & ~BMEM_RECORD_STATE_MASK);
	if (!level_low(c))
		record_lifetime(r, ticks_now(c));
	return 0;
}

static void slot_keep(struct bmem_client *c, uint32_t class, uint64_t offset,
		      struct bmem_record *r)
{
	struct cache *m = thread_cache(c);
	struct magazine *mag;
	uint64_t name;

	if (!m) {
		name = name_of(offset, (uint64_t)(r - c->ledger));
		slots_put(c, &name, 1, slab_classes[class].bytes);
		return;
	}
	mag = magazine_of(m, class);
	if (mag->top >= mag->end)
		magazine_spill(c, m, class);
	slot_push(mag, mag->top, c->base + offset, r);
}

/**
 * tensor_give() - keep the memory of a tensor that nobody has any more
 * @c: client
 * @ptr: where it begins
 * @entry: what the span map says of that page
 * @r: its record, free; NULL for a block without
 *
 * Return: 0, or -ENOENT when it had no record and was freed by somebody else.
 */
int tensor_give(struct bmem_client *c, void *ptr, uint64_t entry,
		struct bmem_record *r)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base;

	if (r && level_now(c) >= BMEM_LEVEL_STANDARD)
		record_lifetime(r, ticks_now(c));
	if (span_class(entry) >= BMEM_CLASSES)
		return block_keep(c, offset, entry);
	slot_keep(c, span_class(entry), offset, r);
	return 0;
}

/* A mistake, or a slot for which there is no room. */
static __attribute__((noinline))
int free_slow(struct bmem_client *c, void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry;
	struct bmem_record *r;
	uint32_t slot;
	int ret;

	if (!ptr)
		return 0;
	if (offset >= c->len || offset % BMEM_ALIGN_MIN)
		return -EINVAL;
	entry = span_at(c, offset);
	/* Nothing begins on such a page: bmem_free() has dealt with blocks. */
	if (span_class(entry) >= BMEM_CLASSES)
		return -ENOENT;
	slot = slab_slot_at(span_class(entry), span_inside(entry, offset));
	if (slot >= slab_classes[span_class(entry)].slots)
		return -ENOENT;
	r = &c->ledger[span_record(entry) + slot];
	ret = slot_retire(c, r);
	if (!ret)
		slot_keep(c, span_class(entry), offset, r);
	return ret;
}

int bmem_free(struct bmem_client *c, void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry, head;
	struct bmem_record *r;
	struct magazine *mag;
	struct idle *top;
	uint32_t slot;

	if (unlikely(offset >= c->len))
		return free_slow(c, ptr);
	entry = span_at(c, offset);
	if (unlikely(span_kind(entry) > BMEM_CLASSES))
		return block_free(c, ptr, entry, offset);
	if (unlikely(!cache_at_hand(c)))
		return free_slow(c, ptr);
	mag = &tls.slots[0].cache->magazines[span_kind(entry)];
	/* In a register from here on, not worked out again for the push. */
	__asm__("" : "+r"(mag));
	slot = slot_at(mag, span_inside(entry, offset));
	top = mag->top;
	if (unlikely(slot == ~0U || top >= mag->end))
		return free_slow(c, ptr);
	r = &c->ledger[span_record(entry) + (uint64_t)slot];
	/* Nothing remains of the state if it was live, and nothing else. */
	head = peek(&r->head) - BMEM_RECORD_LIVE;
	if (likely(!(head & BMEM_RECORD_STATE_MASK))) {
		/* Before the push, whose address is known sooner. */
		poke(&r->head, head);
		if (likely(!level_low(c)))
			record_lifetime(r, ticks_now(c));
	} else if (!atomic_load_explicit(&c->was_off, memory_order_relaxed)) {
		return -ENOENT;
	}
	slot_push(mag, top, ptr, r);
	return 0;
}
