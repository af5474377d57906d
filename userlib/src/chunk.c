// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Chunks: the 2 MiB at a time in which the fallback gets its memory.
 *
 *	absent	-> attached, when the first span needs it
 *	attached with spans -> cached, when its last span goes
 *	cached	-> attached with spans, when one comes
 *	cached	-> absent, when it was for long, beyond the cache bound, on trim,
 *		   or for want of room
 *
 * What is cached is recognised by having no page in a span.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "arena.h"

#define CHUNK_ABSENT	0
#define CHUNK_ATTACHED	1
#define CHUNK_NEW	2	/* attached by the call that is under way */

/*
 * What is cached gets older by one with each span that comes or goes, and by
 * some with each tick.  It is given back at the age of @keep: at least, and at
 * most.
 */
#define KEEP_MIN	256U
#define KEEP_MAX	(1U << 20)
#define AGE_TICK	2

/*
 * Getting a chunk again that was given back takes a tenth to a quarter of a
 * millisecond, most of which the kernel spends on zeroing it.  Where that comes
 * to more than this part of all CPU time, as much may be cached as there ever
 * was; where it still does, it is kept for twice as long, and so on.  It is
 * looked at so often, or once it came to as much as is too much for that time
 * whatever the rest of it brings; at first already when it came to some twenty
 * chunks, and to four times as many with each doubling: what is kept for long
 * already costs more to keep.
 */
#define AGAIN_SHARE	16
#define JUDGE_US	1000000U
#define AGAIN_LEAST	4000U
#define AGAIN_MOST	(JUDGE_US / AGAIN_SHARE)

/* So long it has to be little until less long will do. */
#define CALM_US		(16 * JUDGE_US)

static uint64_t chunk_bytes(uint32_t chunks)
{
	return (uint64_t)chunks << HUGE_SHIFT;
}

/* watch.c looks at it at any time. */
static void attached_set(struct books *bk, uint64_t bytes)
{
	__atomic_store_n(&bk->st.attached_bytes, bytes, __ATOMIC_RELAXED);
}

/* Is a span alone in a chunk? */
static bool alone_in(const struct arena *a, uint32_t start, uint32_t pages,
		     uint32_t chunk)
{
	uint32_t at = chunk * PLACE_CHUNK_PAGES;

	return place_chunk_only(&a->books->place, chunk,
				max_u32(start, at) - at,
				min_u32(start + pages - at, PLACE_CHUNK_PAGES));
}

/**
 * chunk_absent() - has a chunk no memory?
 * @a: arena
 * @chunk: its number
 *
 * Return: true then.
 */
bool chunk_absent(const struct arena *a, uint32_t chunk)
{
	return a->state[chunk] == CHUNK_ABSENT;
}

static bool chunk_cached(const struct arena *a, uint32_t chunk)
{
	return a->state[chunk] == CHUNK_ATTACHED &&
	       place_chunk_empty(&a->books->place, chunk);
}

/* Give back @nr cached chunks in a row. */
static bool chunks_drop(struct arena *a, uint32_t chunk, uint32_t nr)
{
	struct books *bk = a->books;

	if (backing_detach(&a->backing, chunk, nr))
		return false;
	memset(a->state + chunk, CHUNK_ABSENT, nr);
	bk->st.cached_bytes -= chunk_bytes(nr);
	attached_set(bk, bk->st.attached_bytes - chunk_bytes(nr));
	bk->chunks_given += nr;
	map_forget(a, chunk, nr);
	return true;
}

/* Give back cached chunks, from the top, until @bytes or all are gone. */
static uint64_t cache_drop(struct arena *a, uint64_t bytes)
{
	uint32_t chunk = a->books->place.chunks;
	uint64_t dropped = 0;

	while (chunk-- && dropped < bytes && a->books->st.cached_bytes)
		if (chunk_cached(a, chunk) && chunks_drop(a, chunk, 1))
			dropped += BMEM_HUGE_SIZE;
	return dropped;
}

static uint32_t keep_of(const struct books *bk)
{
	return bk->keep ? bk->keep : KEEP_MIN;
}

/**
 * cache_most() - the most that may ever be cached
 * @bk: books, locked
 *
 * As long as nobody has said so: three eighths of the peak, or all of it while
 * getting chunks again has turned out to take too much of the process's time.
 *
 * Return: bytes.
 */
uint64_t cache_most(const struct books *bk)
{
	uint64_t eighths = bk->keep ? 8 : 3;
	uint64_t share = bk->st.peak_attached_bytes / 8 * eighths &
			 ~(uint64_t)(BMEM_HUGE_SIZE - 1);

	if (bk->cache_fixed || share < bk->st.cache_limit_bytes)
		return bk->st.cache_limit_bytes;
	return share;
}

static void age_advance(struct arena *a)
{
	uint32_t ticks = a->clock->ticks;
	struct books *bk = a->books;

	bk->age += 1 + (ticks - bk->age_ticks) * AGE_TICK;
	bk->age_ticks = ticks;
}

/* A chunk is empty now. */
static void cache_enter(struct arena *a, uint32_t chunk)
{
	struct books *bk = a->books;

	if (!bk->st.cached_bytes)
		bk->oldest = bk->age;
	a->since[chunk] = bk->age;
	bk->st.cached_bytes += BMEM_HUGE_SIZE;
}

static bool chunk_old(const struct arena *a, uint32_t chunk)
{
	return chunk_cached(a, chunk) &&
	       a->books->age - a->since[chunk] >= keep_of(a->books);
}

/* Give back what was cached for long, neighbours together. */
static void cache_sweep(struct arena *a)
{
	struct books *bk = a->books;
	uint32_t oldest = 0, chunk, end;

	for (chunk = 0; chunk < bk->place.chunks; chunk = end) {
		end = chunk + 1;
		if (!chunk_cached(a, chunk))
			continue;
		while (chunk_old(a, end - 1) && end < bk->place.chunks &&
		       chunk_old(a, end))
			end++;
		if (chunk_old(a, chunk) && chunks_drop(a, chunk, end - chunk))
			continue;
		oldest = max_u32(oldest, bk->age - a->since[chunk]);
	}
	/* What could not be given back is tried again after as long. */
	bk->oldest = bk->age - oldest % keep_of(bk);
}

/* Give back what is too old or too much, unless somebody said how much. */
static void cache_shrink(struct arena *a)
{
	struct books *bk = a->books;
	uint64_t room = cache_most(bk);

	if (!bk->st.cached_bytes)
		return;
	if (!bk->cache_fixed && bk->age - bk->oldest >= keep_of(bk))
		cache_sweep(a);
	if (bk->st.cached_bytes > room)
		cache_drop(a, bk->st.cached_bytes - room);
}

static uint64_t now_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* So much CPU time that chunks took is looked at at once. */
static uint64_t again_enough(const struct books *bk)
{
	uint64_t times = bk->keep ? 2 * (bk->keep / KEEP_MIN) : 1;
	uint64_t us = AGAIN_LEAST * times * times;

	return us < AGAIN_MOST ? us : AGAIN_MOST;
}

/* What the client once held cost so much CPU time to get again. */
static void again_judge(struct books *bk, uint64_t cost)
{
	uint64_t now = now_us(CLOCK_PROCESS_CPUTIME_ID);
	/* It may be another process that shares the books. */
	uint64_t all = now > bk->judged_us ? now - bk->judged_us : 0;

	bk->again_us += cost;
	if (all < JUDGE_US && bk->again_us < again_enough(bk))
		return;
	if (bk->again_us < all / AGAIN_SHARE / 4)
		bk->calm_us += all;
	if (bk->again_us > all / AGAIN_SHARE) {
		bk->keep = bk->keep ? min_u32(2 * bk->keep, KEEP_MAX) :
				      KEEP_MIN;
		bk->calm_us = 0;
	} else if (bk->calm_us >= CALM_US) {
		bk->keep = bk->keep > KEEP_MIN ? bk->keep / 2 : 0;
		bk->calm_us = 0;
	}
	bk->again_us = 0;
	bk->judged_us = now;
}

static bool over_limit(const struct books *bk, uint64_t more)
{
	return bk->st.attached_bytes + more > bk->limit;
}

static bool over_peak(const struct books *bk, uint64_t more)
{
	return bk->st.attached_bytes + more > bk->st.peak_attached_bytes;
}

static int make_room(struct arena *a, uint64_t more)
{
	struct books *bk = a->books;

	if (over_limit(bk, more))
		cache_drop(a, bk->st.attached_bytes + more - bk->limit);
	if (over_limit(bk, more))
		return -ENOSPC;
	/* What is idle must not add to the peak. */
	if (!bk->cache_fixed && over_peak(bk, more))
		cache_drop(a, bk->st.attached_bytes + more -
			      bk->st.peak_attached_bytes);
	return 0;
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

/* Memory for all chunks of a range that have none: @missing. */
static int missing_attach(struct arena *a, uint32_t first, uint32_t last,
			  uint32_t missing)
{
	struct books *bk = a->books;
	uint64_t start;
	int ret;

	ret = make_room(a, chunk_bytes(missing));
	if (ret || over_peak(bk, chunk_bytes(missing)))
		return ret ? ret : runs_attach(a, first, last);
	start = now_us(CLOCK_THREAD_CPUTIME_ID);
	ret = runs_attach(a, first, last);
	again_judge(bk, now_us(CLOCK_THREAD_CPUTIME_ID) - start);
	return ret;
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
		else if (bk->st.cached_bytes &&
			 alone_in(a, start, pages, chunk))
			bk->st.cached_bytes -= BMEM_HUGE_SIZE;
	}
	bk->chunks_taken += missing;
	attached_set(bk, bk->st.attached_bytes + chunk_bytes(missing));
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

	age_advance(a);
	for (chunk = first; chunk <= last; chunk++)
		missing += chunk_absent(a, chunk);
	if (missing)
		ret = missing_attach(a, first, last, missing);
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
 * Chunks that it leaves empty are cached.  What was cached for long is given
 * back; beyond the bound those at the top, which are the last to be used again.
 */
void span_release(struct arena *a, uint32_t start, uint32_t pages)
{
	uint32_t last = (start + pages - 1) / PLACE_CHUNK_PAGES, chunk;

	age_advance(a);
	for (chunk = start / PLACE_CHUNK_PAGES; chunk <= last; chunk++)
		if (chunk_cached(a, chunk))
			cache_enter(a, chunk);
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
