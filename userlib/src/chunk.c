// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Chunks: the 2 MiB at a time in which the fallback gets its memory.
 *
 *	absent	-> attached, when the first span needs it
 *	attached with spans -> cached, when its last span goes
 *	cached	-> attached with spans, when one comes
 *	cached	-> absent, beyond the cache bound, on trim, or for want of room
 *
 * What is cached is recognised by having no page in a span.
 */
#include <errno.h>
#include <string.h>

#include "arena.h"

#define CHUNK_ABSENT	0
#define CHUNK_ATTACHED	1
#define CHUNK_NEW	2	/* attached by the call that is under way */

/* The part of what a client has ever held that it may keep for its next. */
#define CACHE_SHARE	8

/*
 * Giving a chunk back and getting one again takes most of a millisecond.  Who
 * needs one again so soon, in ticks, may keep one more, until it has been calm
 * for so long.
 */
#define REGRET_TICKS	10
#define CALM_TICKS	100

static uint64_t chunk_bytes(uint32_t chunks)
{
	return (uint64_t)chunks << HUGE_SHIFT;
}

/* How many pages of a span lie in one chunk. */
static uint32_t part_of(uint32_t start, uint32_t pages, uint32_t chunk)
{
	uint32_t begin = max_u32(start, chunk * PLACE_CHUNK_PAGES);
	uint32_t end = min_u32(start + pages, (chunk + 1) * PLACE_CHUNK_PAGES);

	return end - begin;
}

static bool chunk_cached(const struct arena *a, uint32_t chunk)
{
	return a->state[chunk] == CHUNK_ATTACHED &&
	       !place_chunk_used(&a->books->place, chunk);
}

/* Give a cached chunk back. */
static bool chunk_drop(struct arena *a, uint32_t chunk)
{
	struct books *bk = a->books;

	if (backing_detach(&a->backing, chunk, 1))
		return false;
	a->state[chunk] = CHUNK_ABSENT;
	bk->st.cached_bytes -= BMEM_HUGE_SIZE;
	bk->st.attached_bytes -= BMEM_HUGE_SIZE;
	bk->chunks_given++;
	return true;
}

/* Give back cached chunks, from the top, until @bytes or all are gone. */
static uint64_t cache_drop(struct arena *a, uint64_t bytes)
{
	uint32_t chunk = a->books->place.chunks;
	uint64_t dropped = 0;

	while (chunk-- && dropped < bytes && a->books->st.cached_bytes)
		if (chunk_cached(a, chunk) && chunk_drop(a, chunk))
			dropped += BMEM_HUGE_SIZE;
	return dropped;
}

/**
 * cache_most() - the most that may ever be cached
 * @bk: books, locked
 *
 * As long as nobody has said so: three eighths of the peak.  A loop that fills
 * and empties more than that pays for it each time.
 *
 * Return: bytes.
 */
uint64_t cache_most(const struct books *bk)
{
	uint64_t share = bk->st.peak_attached_bytes / 8 * 3 &
			 ~(uint64_t)(BMEM_HUGE_SIZE - 1);

	if (bk->cache_fixed || share < bk->st.cache_limit_bytes)
		return bk->st.cache_limit_bytes;
	return share;
}

/*
 * How much may be cached.  As long as nobody has said so: a share of the peak,
 * and what it has lately been a mistake to give back.
 */
static uint64_t cache_room(const struct books *bk)
{
	uint64_t room = bk->st.peak_attached_bytes / CACHE_SHARE;

	if (bk->cache_fixed)
		return bk->st.cache_limit_bytes;
	if (room < BMEM_HUGE_SIZE)
		room = BMEM_HUGE_SIZE;
	room += chunk_bytes(bk->cache_extra);
	return room < cache_most(bk) ? room : cache_most(bk);
}

/* Chunks are attached soon after others were given back: keep more of them. */
static void cache_regret(struct arena *a, uint32_t missing)
{
	struct books *bk = a->books;
	uint32_t most = (uint32_t)(cache_most(bk) >> HUGE_SHIFT);
	uint32_t n = min_u32(missing, bk->dropped);

	if (!n || a->clock->ticks - bk->dropped_at >= REGRET_TICKS)
		return;
	bk->dropped -= n;
	bk->cache_extra = min_u32(bk->cache_extra + n, most);
	bk->regret_at = a->clock->ticks;
}

/* Give back what is beyond the bound, and note it. */
static void cache_shrink(struct arena *a)
{
	struct books *bk = a->books;
	uint32_t ticks = a->clock->ticks;
	uint64_t room;

	if (bk->cache_extra && ticks - bk->regret_at >= CALM_TICKS) {
		bk->cache_extra /= 2;
		bk->regret_at = ticks;
	}
	room = cache_room(bk);
	if (bk->st.cached_bytes <= room)
		return;
	if (ticks - bk->dropped_at >= REGRET_TICKS)
		bk->dropped = 0;
	bk->dropped_at = ticks;
	bk->dropped += (uint32_t)(cache_drop(a, bk->st.cached_bytes - room) >>
				  HUGE_SHIFT);
}

static bool over_limit(const struct books *bk, uint64_t more)
{
	return bk->st.attached_bytes + more > bk->limit;
}

static int make_room(struct arena *a, uint64_t more)
{
	struct books *bk = a->books;

	if (over_limit(bk, more))
		cache_drop(a, bk->st.attached_bytes + more - bk->limit);
	return over_limit(bk, more) ? -ENOSPC : 0;
}

static void forget_dirt(struct arena *a, uint32_t chunk, uint32_t nr)
{
	_Atomic uint64_t *word = a->dirty + (size_t)chunk * PLACE_CHUNK_WORDS;
	size_t n = (size_t)nr * PLACE_CHUNK_WORDS;

	while (n--)
		atomic_store_explicit(word++, 0, memory_order_relaxed);
}

static int run_attach(struct arena *a, uint32_t chunk, uint32_t nr)
{
	int ret;

	ret = backing_attach(&a->backing, chunk, nr);
	/* What this client has cached is the first to go. */
	if (ret && cache_drop(a, chunk_bytes(nr)))
		ret = backing_attach(&a->backing, chunk, nr);
	if (ret)
		return ret;
	memset(a->state + chunk, CHUNK_NEW, nr);
	forget_dirt(a, chunk, nr);
	return 0;
}

static void runs_undo(struct arena *a, uint32_t first, uint32_t last)
{
	uint32_t chunk;

	for (chunk = first; chunk <= last; chunk++) {
		if (a->state[chunk] != CHUNK_NEW)
			continue;
		(void)backing_detach(&a->backing, chunk, 1);
		a->state[chunk] = CHUNK_ABSENT;
	}
}

static int runs_attach(struct arena *a, uint32_t first, uint32_t last)
{
	uint32_t chunk = first, end;
	int ret;

	while (chunk <= last) {
		if (a->state[chunk] != CHUNK_ABSENT) {
			chunk++;
			continue;
		}
		for (end = chunk + 1; end <= last; end++)
			if (a->state[end] != CHUNK_ABSENT)
				break;
		ret = run_attach(a, chunk, end - chunk);
		if (ret) {
			runs_undo(a, first, last);
			return ret;
		}
		chunk = end;
	}
	return 0;
}

/* Count what runs_attach() and the placement before it have changed. */
static void span_count(struct arena *a, uint32_t start, uint32_t pages,
		       uint32_t missing)
{
	uint32_t last = (start + pages - 1) / PLACE_CHUNK_PAGES, chunk;
	struct books *bk = a->books;

	for (chunk = start / PLACE_CHUNK_PAGES; chunk <= last; chunk++) {
		if (a->state[chunk] == CHUNK_NEW)
			a->state[chunk] = CHUNK_ATTACHED;
		else if (place_chunk_used(&bk->place, chunk) ==
			 part_of(start, pages, chunk))
			bk->st.cached_bytes -= BMEM_HUGE_SIZE;
	}
	bk->chunks_taken += missing;
	bk->st.attached_bytes += chunk_bytes(missing);
	if (bk->st.attached_bytes > bk->st.peak_attached_bytes)
		bk->st.peak_attached_bytes = bk->st.attached_bytes;
}

/**
 * span_attach() - put memory under a span that was just placed
 * @a: arena
 * @start: first page
 * @pages: length
 *
 * Return: 0, -ENOSPC at the limit, -ENOMEM; then the caller frees the span.
 */
int span_attach(struct arena *a, uint32_t start, uint32_t pages)
{
	uint32_t first = start / PLACE_CHUNK_PAGES;
	uint32_t last = (start + pages - 1) / PLACE_CHUNK_PAGES;
	uint32_t missing = 0, chunk;
	int ret = 0;

	for (chunk = first; chunk <= last; chunk++)
		missing += a->state[chunk] == CHUNK_ABSENT;
	if (missing)
		cache_regret(a, missing);
	if (missing)
		ret = make_room(a, chunk_bytes(missing));
	if (!ret && missing)
		ret = runs_attach(a, first, last);
	if (!ret)
		span_count(a, start, pages, missing);
	return ret;
}

/**
 * span_release() - a span is gone
 * @a: arena
 * @start: first page
 * @pages: length
 *
 * Chunks that it leaves empty are cached.  Beyond the bound those at the top
 * are given back, which are the last to be used again.
 */
void span_release(struct arena *a, uint32_t start, uint32_t pages)
{
	uint32_t last = (start + pages - 1) / PLACE_CHUNK_PAGES, chunk;
	struct bmem_client_stats *st = &a->books->st;

	for (chunk = start / PLACE_CHUNK_PAGES; chunk <= last; chunk++)
		if (chunk_cached(a, chunk))
			st->cached_bytes += BMEM_HUGE_SIZE;
	cache_shrink(a);
}

/* The bits of a word that stand for pages from @page on and before @end. */
static uint64_t word_mask(uint32_t page, uint32_t end)
{
	uint32_t n = min_u32(64 - page % 64, end - page);

	return (n == 64 ? ~0ULL : (1ULL << n) - 1) << (page % 64);
}

/**
 * span_soil() - note that a span may hold something other than zeroes
 * @a: arena
 * @start: first page
 * @pages: length
 */
void span_soil(struct arena *a, uint32_t start, uint32_t pages)
{
	uint32_t end = start + pages, page;
	_Atomic uint64_t *word;
	uint64_t was;

	/* Bits are changed under the lock; only reading them needs none. */
	for (page = start; page < end; page = next_word(page)) {
		word = &a->dirty[page / 64];
		was = atomic_load_explicit(word, memory_order_relaxed);
		atomic_store_explicit(word, was | word_mask(page, end),
				      memory_order_relaxed);
	}
}

static void zero_word(struct arena *a, uint32_t word, uint64_t bits)
{
	char *base = a->backing.base + ((size_t)word * 64 << PAGE_SHIFT);
	int at, n;

	while (bits) {
		at = __builtin_ctzll(bits);
		n = ~(bits >> at) ? __builtin_ctzll(~(bits >> at)) : 64;
		memset(base + ((size_t)at << PAGE_SHIFT), 0,
		       (size_t)n << PAGE_SHIFT);
		bits &= n == 64 ? 0 : ~(((1ULL << n) - 1) << at);
	}
}

/**
 * span_zero() - make a span read as zeroes
 * @a: arena
 * @start: first page
 * @pages: length
 *
 * Needs no lock: the span is the caller's, and nobody else knows it yet.
 */
void span_zero(struct arena *a, uint32_t start, uint32_t pages)
{
	uint32_t end = start + pages, page;
	uint64_t dirt;

	for (page = start; page < end; page = next_word(page)) {
		dirt = atomic_load_explicit(&a->dirty[page / 64],
					    memory_order_relaxed);
		zero_word(a, page / 64, dirt & word_mask(page, end));
	}
}

/**
 * cache_trim() - give back cached chunks
 * @a: arena
 * @keep: bytes that may stay
 *
 * Return: bytes that went.
 */
uint64_t cache_trim(struct arena *a, uint64_t keep)
{
	uint64_t cached = a->books->st.cached_bytes;

	keep &= ~(uint64_t)(BMEM_HUGE_SIZE - 1);
	return cached > keep ? cache_drop(a, cached - keep) : 0;
}
