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

static inline struct bmem_record *record_at(const struct bmem_client *c,
					    uint32_t bytes)
{
	return (struct bmem_record *)((char *)c->ledger + bytes);
}

/*
 * The record of a slot that is handed out, below level standard.  At level off
 * nothing says which slots are live, so that frees have to be believed.
 */
static cold void *slot_use_low(struct bmem_client *c, char *ptr,
			       struct bmem_record *r, size_t size)
{
	if (level_now(c) != BMEM_LEVEL_OFF)
		record_live(r, size, 0, 0);
	else if (!atomic_load_explicit(&c->was_off, memory_order_relaxed))
		atomic_store_explicit(&c->was_off, true, memory_order_relaxed);
	return ptr;
}

/* Hand out a slot; the magazine is not empty. */
static inline __attribute__((always_inline))
void *slot_pop(struct bmem_client *c, struct cache *m, uint32_t class,
	       size_t size, uint32_t site)
{
	uint32_t at = --m->magazines[class].nr;
	struct bmem_record *r = record_at(c, m->records[class][at]);
	char *ptr = m->ptrs[class][at];

	if (unlikely(level_now(c) < BMEM_LEVEL_STANDARD))
		return slot_use_low(c, ptr, r, size);
	record_live(r, size, site, ticks_now(c));
	return ptr;
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
	if (!m->magazines[class].nr) {
		ret = magazine_refill(c, m, class);
		/* Where no span can be had, there may still be a page. */
		if (ret == -ENOSPC && slab_classes[class].pages > 1)
			return block_alloc(c, size, align, flags, site);
		if (ret) {
			errno = -ret;
			return NULL;
		}
	}
	p = slot_pop(c, m, class, size, site);
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

static inline __attribute__((always_inline))
void *alloc_fast(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, uint32_t site)
{
	struct cache *m;
	uint32_t class;

	if (unlikely(size - 1 >= SLAB_BYTES_MAX ||
		     (align & ~(size_t)BMEM_ALIGN_MIN) | flags))
		return alloc_slow(c, size, align, flags, site);
	class = slab_class_of((uint32_t)size);
	if (unlikely(!cache_at_hand(c)))
		return alloc_slow(c, size, align, flags, site);
	m = tls_slots[0].cache;
	if (unlikely(!m->magazines[class].nr))
		return alloc_slow(c, size, align, flags, site);
	return slot_pop(c, m, class, size, site);
}

/* One allocation in some thousand, whose parts are timed. */
static cold void *alloc_timed(struct bmem_client *c, size_t size, size_t align,
			      unsigned int flags, uint32_t site)
{
	struct cache *m = tls_slots[0].cache;
	void *p = alloc_slow(c, size, align, flags, site);
	struct bmem_record spare = { 0 };
	uint64_t from = meter_now();

	/* The same stores once more, where nobody looks. */
	record_live(&spare, size, site, ticks_now(c));
	site_timed_record(&m->sites, from);
	site_timed_end(&m->sites);
	return p;
}

static inline __attribute__((always_inline))
void *alloc_from(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label, const void *ret,
		 const void *frame)
{
	uint32_t site = site_from(c, label, ret, frame, size);

	if (unlikely(!cache_at_hand(c) ||
		     site_timed(&tls_slots[0].cache->sites)))
		return cache_at_hand(c) ?
		       alloc_timed(c, size, align, flags, site) :
		       alloc_slow(c, size, align, flags, site);
	return alloc_fast(c, size, align, flags, site);
}

__attribute__((noinline))
void *bmem_alloc(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label)
{
	return alloc_from(c, size, align, flags, label,
			  __builtin_return_address(0),
			  __builtin_frame_address(0));
}

void *bmem_alloc_from(struct bmem_client *c, size_t size, size_t align,
		      unsigned int flags, const char *label, const void *ret,
		      const void *frame)
{
	return alloc_from(c, size, align, flags, label, ret, frame);
}

void *bmem_alloc_at(struct bmem_client *c, size_t size, size_t align,
		    unsigned int flags, uint32_t site)
{
	return alloc_fast(c, size, align, flags, site);
}

/* Which slot is it, counted from the span's first?  ~0 for none. */
static inline uint32_t slot_at(uint64_t entry, uint64_t offset)
{
	const struct slab_class *k = &slab_classes[span_class(entry)];
	uint32_t inside = span_inside(entry, offset);
	uint32_t slot = (uint64_t)(inside / SLAB_GRANULE) * k->recip >> 21;

	return slot < k->slots && slot * k->bytes == inside ? slot : ~0U;
}

/*
 * Enter that a slot is free again.  What was allocated at level off has no
 * record that is live; such a free has to be believed.
 */
static int slot_retire(struct bmem_client *c, uint64_t offset, uint64_t entry,
		       uint32_t *record)
{
	uint32_t slot = slot_at(entry, offset);
	struct bmem_record *r;
	uint64_t head;

	if (slot == ~0U)
		return -ENOENT;
	*record = span_record(entry) + slot;
	r = &c->ledger[*record];
	head = peek(&r->head);
	if (!head_live(head))
		return atomic_load_explicit(&c->was_off, memory_order_relaxed) ?
		       0 : -ENOENT;
	poke(&r->head, head & ~BMEM_RECORD_STATE_MASK);
	if (level_now(c) >= BMEM_LEVEL_STANDARD)
		record_lifetime(r, ticks_now(c));
	return 0;
}

static void slot_keep(struct bmem_client *c, uint32_t class, uint64_t offset,
		      uint32_t record)
{
	uint64_t name = name_of(offset, record);
	struct cache *m = thread_cache(c);

	if (!m) {
		slots_put(c, &name, 1, slab_classes[class].bytes);
		return;
	}
	if (m->magazines[class].nr >= m->magazines[class].cap)
		magazine_spill(c, m, class);
	slot_push(m, class, c->base + offset,
		  record * (uint32_t)sizeof(*c->ledger));
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
	slot_keep(c, span_class(entry), offset, (uint32_t)(r - c->ledger));
	return 0;
}

/* A block, a mistake, or a slot for which there is no room. */
static __attribute__((noinline))
int free_slow(struct bmem_client *c, void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry;
	uint32_t record;
	int ret;

	if (!ptr)
		return 0;
	if (offset >= c->len || offset % BMEM_ALIGN_MIN)
		return -EINVAL;
	entry = span_at(c, offset);
	if (span_class(entry) >= BMEM_CLASSES)
		return block_free(c, offset, entry);
	ret = slot_retire(c, offset, entry, &record);
	if (!ret)
		slot_keep(c, span_class(entry), offset, record);
	return ret;
}

int bmem_free(struct bmem_client *c, void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry, head;
	struct bmem_record *r;
	struct cache *m;
	uint32_t class, slot, record;

	if (unlikely(offset >= c->len))
		return free_slow(c, ptr);
	entry = span_at(c, offset);
	class = span_class(entry);
	if (unlikely(class >= BMEM_CLASSES || !cache_at_hand(c)))
		return free_slow(c, ptr);
	slot = slot_at(entry, offset);
	if (unlikely(slot == ~0U))
		return free_slow(c, ptr);
	record = (span_record(entry) + slot) * (uint32_t)sizeof(*r);
	r = record_at(c, record);
	head = peek(&r->head);
	m = tls_slots[0].cache;
	if (unlikely(m->magazines[class].nr >= m->magazines[class].cap))
		return free_slow(c, ptr);
	/* Before the push, whose address is known sooner than the record's. */
	if (likely(head_live(head))) {
		poke(&r->head, head - BMEM_RECORD_LIVE);
		if (likely(level_now(c) >= BMEM_LEVEL_STANDARD))
			record_lifetime(r, ticks_now(c));
	} else if (!atomic_load_explicit(&c->was_off, memory_order_relaxed)) {
		return -ENOENT;
	}
	slot_push(m, class, ptr, record);
	return 0;
}
