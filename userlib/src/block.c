// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Blocks: tensors of whole pages, which the backend knows one by one.
 *
 * A block has a record, so that it can be used again from a stash without a
 * call, and so that of two threads that free it one is told.
 */
#include <errno.h>
#include <string.h>

#include "cache.h"

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define single_threaded()	__libc_single_threaded
#else
#define single_threaded()	false
#endif

static void held_add(struct bmem_client *c, int64_t bytes)
{
	__atomic_fetch_add(&c->depot->held, bytes, __ATOMIC_RELAXED);
}

/* Not sooner than the memory is there: what was refused is no peak. */
static void peak_note(struct depot *d)
{
	int64_t held = peek(&d->held);

	if (held > peek(&d->peak))
		poke(&d->peak, held);
}

static int release(struct bmem_client *c, uint64_t handle, uint64_t bytes)
{
	struct bmem_free_entry e = { .handle = handle };
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};
	int ret;

	ret = call(c, BMEM_FREE, &arg);
	if (!ret)
		ret = e.result;
	if (!ret)
		held_add(c, -(int64_t)bytes);
	return ret;
}

/**
 * block_release() - give a block back
 * @c: client
 * @offset: where it begins; the caller has it
 *
 * Return: 0, -ENOENT when there is none, or an errno of the call.
 */
int block_release(struct bmem_client *c, uint64_t offset)
{
	uint64_t entry = span_at(c, offset);

	if (!span_is_tensor(entry))
		return -ENOENT;
	return release(c, span_handle(entry, offset),
		       (uint64_t)span_pages(c, entry, offset) << PAGE_SHIFT);
}

/* Can this client reach it?  Not when its space is mapped in part only. */
static bool block_fits(const struct bmem_client *c,
		       const struct bmem_alloc_entry *e)
{
	uint64_t entry;

	if (e->offset % BMEM_PAGE_SIZE || e->granted < e->bytes ||
	    e->offset >= c->len || e->granted > c->len - e->offset)
		return false;
	if (!(e->flags & BMEM_ALLOC_RECORD))
		return true;
	entry = span_at(c, e->offset);
	return !(entry & BMEM_SPAN_RECORDED) || span_record(entry) < c->records;
}

/**
 * blocks_get() - ask the backend for blocks, all or none
 * @c: client
 * @e: entries; gets %BMEM_ALLOC_RECORD where there is a ledger
 * @nr: how many, 1 to %BMEM_BATCH_MAX
 *
 * Return: 0 or an errno of BMEM_ALLOC; -ENOMEM also for what is not mapped.
 */
int blocks_get(struct bmem_client *c, struct bmem_alloc_entry *e, uint32_t nr)
{
	struct bmem_alloc arg = {
		.size = sizeof(arg),
		.nr = nr,
		.entries = (uintptr_t)e,
	};
	uint32_t i;
	int ret;

	/* A size that no record has room for is refused for what it is, or had. */
	for (i = 0; c->nr_caches && i < nr; i++)
		if (!(e[i].bytes >> (64 - BMEM_RECORD_SIZE_SHIFT)))
			e[i].flags |= BMEM_ALLOC_RECORD;
	ret = call(c, BMEM_ALLOC, &arg);
	/* What lies idle here may be what is missing. */
	if ((ret == -ENOSPC || ret == -ENOMEM) && idle_flush(c))
		ret = call(c, BMEM_ALLOC, &arg);
	if ((ret == -ENOSPC || ret == -ENOMEM) && peek(&c->wait_ms)) {
		arg.flags = BMEM_CALL_WAIT;
		arg.timeout_ms = peek(&c->wait_ms);
		ret = call(c, BMEM_ALLOC, &arg);
	}
	if (ret)
		return ret;
	for (i = 0; i < nr; i++)
		held_add(c, (int64_t)e[i].granted);
	for (i = 0; i < nr && block_fits(c, &e[i]); i++)
		;
	if (i == nr) {
		peak_note(c->depot);
		return 0;
	}
	while (nr--)
		(void)release(c, e[nr].handle, e[nr].granted);
	return -ENOMEM;
}

/* Enter a block that is used again; its record is kept at every level. */
static void *reuse(struct bmem_client *c, const struct kept *block, size_t size,
		   unsigned int flags, uint32_t site)
{
	bool full = level_now(c) >= BMEM_LEVEL_STANDARD;

	record_live(block->record, size, full ? site : 0,
		    full ? ticks_now(c) : 0);
	if (flags & BMEM_ALLOC_ZERO)
		memset(block->ptr, 0, size);
	return block->ptr;
}

/**
 * block_reuse() - a block from a stash
 * @c: client
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @site: as for bmem_alloc_at()
 *
 * The request was checked.
 *
 * Return: the tensor, or NULL when no stash has one that fits.
 */
void *block_reuse(struct bmem_client *c, size_t size, size_t align,
		  unsigned int flags, uint32_t site)
{
	struct cache *m = cache_of(c);
	struct kept block;
	uint64_t pages;

	if (!m)
		return NULL;
	if (align < BMEM_PAGE_SIZE)
		align = BMEM_PAGE_SIZE;
	pages = block_pages(size);
	if (stash_take(c, &m->stash, &block, pages, align) ||
	    stash_depot_take(c, &block, pages, align))
		return reuse(c, &block, size, flags, site);
	cache_look(c, m);
	stash_tighten(c, m, pages);
	return NULL;
}

/**
 * block_alloc() - a tensor of whole pages
 * @c: client
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @site: as for bmem_alloc_at()
 *
 * Return: the tensor, or NULL and errno.
 */
void *block_alloc(struct bmem_client *c, size_t size, size_t align,
		  unsigned int flags, uint32_t site)
{
	struct bmem_alloc_entry e = {
		.bytes = size,
		.align = (uint32_t)align,
		.site = site,
		.flags = flags,
	};
	void *p;
	int ret;

	ret = request_check(size, align, flags);
	if (!ret) {
		p = block_reuse(c, size, align, flags, site);
		if (p)
			return p;
		ret = blocks_get(c, &e, 1);
	}
	if (!ret)
		return c->base + e.offset;
	errno = -ret;
	return NULL;
}

static bool has_record(const struct bmem_client *c, uint64_t entry)
{
	return entry & BMEM_SPAN_RECORDED && span_record(entry) < c->records;
}

/* May a block go to the thread's stash of @nr, entered, as that is? */
static inline bool has_room(const struct cache *m, uint32_t nr, uint32_t pages)
{
	return nr < STASH_MAX &&
	       (m->stash.pages + pages <= m->stash_limit ||
		(!nr && pages <= STASH_LONE));
}

/**
 * block_keep() - put a block in the stash
 * @c: client
 * @offset: where it begins
 * @entry: what the span map says of that page; its record is free
 *
 * Without a record, or a cache, or room, it goes back.
 *
 * Return: 0, or -ENOENT when it is there no more.
 */
int block_keep(struct bmem_client *c, uint64_t offset, uint64_t entry)
{
	struct cache *m = cache_of(c);
	uint32_t pages;

	if (!m || !has_record(c, entry))
		return block_release(c, offset);
	pages = span_pages(c, entry, offset);
	if (!stash_room(c, m, pages))
		return block_release(c, offset);
	stash_hold(c, &m->stash);
	stash_push(&m->stash, m->stash.nr, &(struct kept) {
		c->base + offset, &c->ledger[span_record(entry)], pages,
		ticks_now(c),
	});
	stash_leave(&m->stash);
	return 0;
}

/*
 * Nobody else can free what this thread frees: it is alone, and no process was
 * forked off that has the client too.
 */
static bool alone(void)
{
	return single_threaded() && !peek(&clients_forked);
}

/*
 * Enter that a block is free: of all who try, one is told that it did it.
 *
 * Return: true if the caller is the one.
 */
static inline __attribute__((always_inline))
bool retire(struct bmem_record *r, uint64_t head)
{
	uint64_t free = head - BMEM_RECORD_LIVE;

	/* Nothing remains of the state if it was live, and nothing else. */
	if (free & BMEM_RECORD_STATE_MASK)
		return false;
	if (alone()) {
		poke(&r->head, free);
		return true;
	}
	return __atomic_compare_exchange_n(&r->head, &head, free, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A mistake, or a block that does not go to this thread's stash as it is. */
static __attribute__((noinline))
int block_free_slow(struct bmem_client *c, const char *ptr)
{
	uint64_t offset = (uint64_t)(ptr - c->base), head;
	uint64_t entry = span_at(c, offset);
	struct bmem_record *r;
	int ret;

	if (offset % BMEM_ALIGN_MIN)
		return -EINVAL;
	if (!span_is_tensor(entry) || offset % BMEM_PAGE_SIZE)
		return -ENOENT;
	if (!has_record(c, entry))
		return block_release(c, offset);
	r = &c->ledger[span_record(entry)];
	head = peek(&r->head);
	if (!retire(r, head))
		return -ENOENT;
	if (level_now(c) >= BMEM_LEVEL_STANDARD)
		record_lifetime(r, ticks_now(c));
	ret = block_keep(c, offset, entry);
	/* The call failed, so the tensor is still live. */
	if (ret && ret != -ENOENT)
		__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
	return ret;
}

/**
 * block_free() - free a tensor of whole pages
 * @c: client
 * @ptr: where it begins
 * @entry: what the span map says of that page; no slab span's
 * @offset: of @ptr in the space
 *
 * Makes no call where the thread's stash has room, so that it needs no frame.
 *
 * Return: 0, -EINVAL where no tensor can begin, or -ENOENT when none does.
 */
int block_free(struct bmem_client *c, char *ptr, uint64_t entry,
	       uint64_t offset)
{
	struct bmem_record *r;
	uint32_t pages, nr, now;
	struct cache *m;

	if (__builtin_expect(!span_is_tensor(entry) ||
			     offset % BMEM_PAGE_SIZE ||
			     !has_record(c, entry) || !cache_at_hand(c), 0))
		return block_free_slow(c, ptr);
	m = tls.slots[0].cache;
	pages = span_pages(c, entry, offset);
	if (__builtin_expect(!stash_enter(&m->stash), 0))
		return block_free_slow(c, ptr);
	/* Nobody changes it now. */
	nr = m->stash.nr;
	if (__builtin_expect(!has_room(m, nr, pages), 0)) {
		stash_leave(&m->stash);
		return block_free_slow(c, ptr);
	}
	r = &c->ledger[span_record(entry)];
	if (__builtin_expect(!retire(r, peek(&r->head)), 0)) {
		stash_leave(&m->stash);
		return -ENOENT;
	}
	now = ticks_now(c);
	if (level_now(c) >= BMEM_LEVEL_STANDARD)
		record_lifetime(r, now);
	stash_push(&m->stash, nr, &(struct kept) { ptr, r, pages, now });
	stash_leave(&m->stash);
	return 0;
}
