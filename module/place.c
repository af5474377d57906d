// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * First fit by address over a line of 4 KiB pages.
 *
 * A bitmap says which pages are used.  Above it stands a binary tree over the
 * chunks; every node knows the free run at its head, at its tail and its
 * longest, so the lowest run of a length is found in one descent, runs that
 * cross chunks included, however many spans there are.  (The idea of such a
 * summary tree over a bitmap is that of the Go runtime's page allocator,
 * "Scaling the Go page allocator", 2019.)
 *
 * Freeing needs no memory and cannot fail.
 */
#include "place.h"

/*
 * With an alignment above one page, the lowest run that is long enough may
 * still not hold an aligned span.  So many runs are tried before one is asked
 * for that is long enough wherever it starts.
 */
#define PLACE_ALIGN_TRIES	16

#define PLACE_NONE		(~0U)

static u32 min_u32(u32 a, u32 b)
{
	return a < b ? a : b;
}

/* Number of bits set; the compiler's own may call into a missing library. */
static u32 weight(u64 w)
{
	w -= (w >> 1) & 0x5555555555555555ULL;
	w = (w & 0x3333333333333333ULL) + ((w >> 2) & 0x3333333333333333ULL);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (u32)((w * 0x0101010101010101ULL) >> 56);
}

/* First bit at or after @from that equals @value; PLACE_CHUNK_PAGES if none. */
static u32 next_bit(const u64 *map, u32 from, bool value)
{
	u32 word = from / 64;
	u64 flip = value ? 0 : ~0ULL;
	u64 bits;

	if (from >= PLACE_CHUNK_PAGES)
		return PLACE_CHUNK_PAGES;
	bits = (map[word] ^ flip) & (~0ULL << (from % 64));
	while (!bits) {
		if (++word == PLACE_CHUNK_WORDS)
			return PLACE_CHUNK_PAGES;
		bits = map[word] ^ flip;
	}
	return word * 64 + (u32)__builtin_ctzll(bits);
}

/* The runs of one chunk from page @from on; pages before it count as used. */
static struct place_run chunk_runs(const u64 *map, u32 from)
{
	struct place_run run = { 0 };
	u32 start, end;

	for (start = next_bit(map, from, false); start < PLACE_CHUNK_PAGES;
	     start = next_bit(map, end, false)) {
		end = next_bit(map, start, true);
		if (start == 0)
			run.head = end;
		if (end == PLACE_CHUNK_PAGES)
			run.tail = end - start;
		if (end - start > run.best)
			run.best = end - start;
	}
	return run;
}

/* Lowest run of @pages in one chunk that starts at or after page @from. */
static u32 chunk_find(const u64 *map, u32 from, u32 pages)
{
	u32 start, end;

	for (start = next_bit(map, from, false); start < PLACE_CHUNK_PAGES;
	     start = next_bit(map, end, false)) {
		end = next_bit(map, start, true);
		if (end - start >= pages)
			return start;
	}
	return PLACE_NONE;
}

static void tree_join(struct place *pl, u32 node, u32 half)
{
	const struct place_run *l = &pl->tree[2 * node];
	const struct place_run *r = l + 1;
	struct place_run *n = &pl->tree[node];

	n->head = l->head == half ? half + r->head : l->head;
	n->tail = r->tail == half ? half + l->tail : r->tail;
	n->best = l->tail + r->head;
	if (l->best > n->best)
		n->best = l->best;
	if (r->best > n->best)
		n->best = r->best;
}

/* Bring the nodes above the chunks @first to @last up to date. */
static void tree_update(struct place *pl, u32 first, u32 last)
{
	u32 half = PLACE_CHUNK_PAGES;
	u32 node;

	first += pl->chunks;
	last += pl->chunks;
	while (first > 1) {
		first /= 2;
		last /= 2;
		for (node = first; node <= last; node++)
			tree_join(pl, node, half);
		half *= 2;
	}
}

static void set_pages(struct place *pl, u32 start, u32 pages, bool value)
{
	u32 first = start / PLACE_CHUNK_PAGES;
	u32 last = (start + pages - 1) / PLACE_CHUNK_PAGES;
	u32 page = start, end = start + pages, chunk;

	while (page < end) {
		u32 n = min_u32(64 - page % 64, end - page);
		u64 mask = (n == 64 ? ~0ULL : (1ULL << n) - 1) << (page % 64);

		if (value)
			pl->used[page / 64] |= mask;
		else
			pl->used[page / 64] &= ~mask;
		page += n;
	}
	for (chunk = first; chunk <= last; chunk++)
		pl->tree[pl->chunks + chunk] =
			chunk_runs(place_chunk_map(pl, chunk), 0);
	tree_update(pl, first, last);
}

/**
 * place_init() - an empty arena
 * @pl: arena
 * @chunks_max: chunks that it may grow to, a power of two up to
 *	%PLACE_CHUNKS_MAX
 *
 * Return: 0, or -EINVAL for a bad @chunks_max.
 */
int place_init(struct place *pl, u32 chunks_max)
{
	if (!chunks_max || chunks_max > PLACE_CHUNKS_MAX ||
	    chunks_max & (chunks_max - 1))
		return -EINVAL;
	memset(pl, 0, sizeof(*pl));
	pl->chunks_max = chunks_max;
	return 0;
}

/**
 * place_table_bytes() - memory that tables take up
 * @chunks: for so many chunks
 *
 * Return: bytes to give to place_grow().
 */
size_t place_table_bytes(u32 chunks)
{
	return (size_t)chunks * (PLACE_CHUNK_WORDS * sizeof(u64) +
				 2 * sizeof(struct place_run));
}

/**
 * place_grow() - move the tables to larger memory
 * @pl: arena
 * @table: place_table_bytes(@chunks) bytes, zeroed, aligned to 8
 * @chunks: a power of two above @pl->chunks, at most @pl->chunks_max
 *
 * Return: the memory of the old tables, for the caller to free; may be NULL.
 */
void *place_grow(struct place *pl, void *table, u32 chunks)
{
	void *old = pl->used;
	u64 *used = table;
	u32 old_chunks = pl->chunks, chunk;

	if (old)
		memcpy(used, old, (size_t)old_chunks * PLACE_CHUNK_WORDS *
				  sizeof(u64));
	pl->used = used;
	pl->tree = (struct place_run *)(used +
					(size_t)chunks * PLACE_CHUNK_WORDS);
	pl->chunks = chunks;
	for (chunk = 0; chunk < chunks; chunk++)
		pl->tree[chunks + chunk] =
			chunk_runs(place_chunk_map(pl, chunk), 0);
	tree_update(pl, 0, chunks - 1);
	return old;
}

/*
 * Lowest free run of @pages that starts at or after @from.
 *
 * Walks the tree's nodes from left to right, the largest that lie wholly
 * ahead first, and carries the run that ends where the walk stands.
 */
static u32 find_run(const struct place *pl, u32 from, u32 pages)
{
	u32 node = pl->chunks + from / PLACE_CHUNK_PAGES;
	u32 span = PLACE_CHUNK_PAGES, at, carry;
	struct place_run run;

	at = from - from % PLACE_CHUNK_PAGES;
	run = chunk_runs(place_chunk_map(pl, at / PLACE_CHUNK_PAGES),
			 from % PLACE_CHUNK_PAGES);
	if (run.best >= pages)
		return at + chunk_find(place_chunk_map(pl,
						       at / PLACE_CHUNK_PAGES),
				       from % PLACE_CHUNK_PAGES, pages);
	carry = run.tail;
	at += PLACE_CHUNK_PAGES;

	for (;;) {
		while (node & 1) {
			if (node == 1)
				return PLACE_NONE;
			node /= 2;
			span *= 2;
		}
		node++;
		run = pl->tree[node];
		if (carry + run.head >= pages)
			return at - carry;
		if (run.best >= pages)
			break;
		carry = run.head == span ? carry + span : run.tail;
		at += span;
	}

	while (node < pl->chunks) {
		const struct place_run *l = &pl->tree[2 * node];

		span /= 2;
		node *= 2;
		if (l->best >= pages)
			continue;
		if (l->tail + l[1].head >= pages)
			return at + span - l->tail;
		node++;
		at += span;
	}
	return at + chunk_find(place_chunk_map(pl, at / PLACE_CHUNK_PAGES),
			       0, pages);
}

static u32 align_up(u32 page, u32 align)
{
	return (page + align - 1) & ~(align - 1);
}

static u32 find_aligned(const struct place *pl, u32 pages, u32 align)
{
	u32 end = pl->chunks * PLACE_CHUNK_PAGES;
	u32 from = 0, start, fit, tries;

	for (tries = 0; tries < PLACE_ALIGN_TRIES; tries++) {
		start = find_run(pl, from, pages);
		if (start == PLACE_NONE)
			return PLACE_NONE;
		fit = align_up(start, align);
		if (fit == start)
			return start;
		/* A run found from its aligned page on starts there or later. */
		start = fit < end ? find_run(pl, fit, pages) : PLACE_NONE;
		if (start == PLACE_NONE || start == fit)
			return start;
		from = start;
	}
	start = find_run(pl, 0, pages + align - 1);
	return start == PLACE_NONE ? start : align_up(start, align);
}

/**
 * place_alloc() - the lowest free run
 * @pl: arena
 * @pages: length, at least 1
 * @align: the first page is a multiple of it: a power of two up to
 *	%PLACE_CHUNK_PAGES
 * @start: out, the first page
 *
 * The run is the lowest that fits; with an @align above 1 the lowest among the
 * first few and, after them, one that is long enough for any alignment.
 *
 * Return: 0; -EAGAIN when it fits only after place_grow(); -ENOSPC when not
 * even @pl->chunks_max chunks would do; -EINVAL for a bad @pages or @align.
 */
int place_alloc(struct place *pl, u32 pages, u32 align, u32 *start)
{
	u32 at = PLACE_NONE;

	if (!pages || !align || align > PLACE_CHUNK_PAGES ||
	    align & (align - 1))
		return -EINVAL;
	if (pages > (u64)pl->chunks_max * PLACE_CHUNK_PAGES)
		return -ENOSPC;
	if (pl->chunks && pl->tree[1].best >= pages)
		at = find_aligned(pl, pages, align);
	if (at == PLACE_NONE)
		return pl->chunks < pl->chunks_max ? -EAGAIN : -ENOSPC;

	set_pages(pl, at, pages, true);
	pl->pages_used += pages;
	pl->spans++;
	*start = at;
	return 0;
}

/**
 * place_free() - give a run back
 * @pl: arena
 * @start: what place_alloc() answered
 * @pages: what it was asked for
 */
void place_free(struct place *pl, u32 start, u32 pages)
{
	set_pages(pl, start, pages, false);
	pl->pages_used -= pages;
	pl->spans--;
}

/**
 * place_chunk_used() - how full a chunk is
 * @pl: arena
 * @chunk: number of a chunk
 *
 * Return: how many of its pages are in spans; 0 beyond the tables.
 */
u32 place_chunk_used(const struct place *pl, u32 chunk)
{
	const u64 *map;
	u32 word, n = 0;

	if (chunk >= pl->chunks)
		return 0;
	map = place_chunk_map(pl, chunk);
	for (word = 0; word < PLACE_CHUNK_WORDS; word++)
		n += weight(map[word]);
	return n;
}

static void count_hole(struct place_stats *st, u32 pages)
{
	if (!pages)
		return;
	st->holes++;
	st->hole_pages += pages;
	if (pages > st->hole_best)
		st->hole_best = pages;
}

/**
 * place_measure() - the shape of an arena
 * @pl: arena
 * @st: out
 *
 * Takes time in proportion to the number of chunks.
 */
void place_measure(const struct place *pl, struct place_stats *st)
{
	u32 page = 0, hole = 0;

	memset(st, 0, sizeof(*st));
	st->used = pl->pages_used;
	if (!pl->chunks)
		return;
	st->top = pl->chunks * PLACE_CHUNK_PAGES - pl->tree[1].tail;
	while (page < st->top) {
		u32 chunk = page / PLACE_CHUNK_PAGES;
		u32 base = chunk * PLACE_CHUNK_PAGES;
		u32 size = min_u32(st->top - base, PLACE_CHUNK_PAGES);
		const u64 *map = place_chunk_map(pl, chunk);
		u32 free = min_u32(next_bit(map, page - base, false), size);
		u32 used = min_u32(next_bit(map, free, true), size);

		if (base + free > page) {
			count_hole(st, hole);
			hole = 0;
		}
		hole += used - free;
		page = base + used;
	}
	count_hole(st, hole);
}
