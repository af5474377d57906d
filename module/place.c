// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * First fit by address over a line of 4 KiB pages.
 *
 * A bitmap says which pages are used.  Above it stands a binary tree over the
 * chunks; every node knows the free run at its head, at its tail and the
 * longest between these, so the lowest run of a length is found in one descent,
 * runs that cross chunks included, however many spans there are.  (The idea of
 * such a summary tree over a bitmap is that of the Go runtime's page allocator,
 * "Scaling the Go page allocator", 2019.)  That the runs at a node's ends do
 * not count as ones between leads a search only to chunks whose words have to
 * be looked at: the others' runs are seen from above.
 *
 * Best fit and buddy search the same tables.  Freeing needs no memory and
 * cannot fail.
 */
#include "place_find.h"

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

/* First used page at or after @from; PLACE_CHUNK_PAGES if there is none. */
static inline u32 next_used(const u64 *map, u32 from)
{
	u32 word = from / 64;
	u64 bits;

	if (from >= PLACE_CHUNK_PAGES)
		return PLACE_CHUNK_PAGES;
	bits = map[word] >> (from % 64);
	if (bits)
		return from + (u32)__builtin_ctzll(bits);
	while (++word < PLACE_CHUNK_WORDS)
		if (map[word])
			return word * 64 + (u32)__builtin_ctzll(map[word]);
	return PLACE_CHUNK_PAGES;
}

/* First free page at or after @from; PLACE_CHUNK_PAGES if there is none. */
static inline u32 next_free(const u64 *map, u32 from)
{
	u32 word = from / 64;
	u64 bits;

	if (from >= PLACE_CHUNK_PAGES)
		return PLACE_CHUNK_PAGES;
	bits = ~map[word] >> (from % 64);
	if (bits)
		return from + (u32)__builtin_ctzll(bits);
	while (++word < PLACE_CHUNK_WORDS)
		if (~map[word])
			return word * 64 + (u32)__builtin_ctzll(~map[word]);
	return PLACE_CHUNK_PAGES;
}

/* Where the free run begins that ends at @end; @end if that is behind a span. */
static u32 run_begin(const u64 *map, u32 end)
{
	u32 word = end / 64;
	u64 bits;

	if (end % 64) {
		bits = map[word] << (64 - end % 64);
		if (bits)
			return end - (u32)__builtin_clzll(bits);
	}
	while (word--)
		if (map[word])
			return word * 64 + 64 -
			       (u32)__builtin_clzll(map[word]);
	return 0;
}

/* The free runs of one chunk. */
static struct place_run chunk_runs(const u64 *map)
{
	struct place_run run = { 0 };
	struct place_holes h;

	place_holes_from(&h, map, 0);
	while (place_hole_next(&h)) {
		if (h.start == 0)
			run.head = h.end;
		if (h.end == PLACE_CHUNK_PAGES)
			run.tail = h.end - h.start;
		else if (h.start > 0 && h.end - h.start > run.inner)
			run.inner = h.end - h.start;
	}
	return run;
}

/* Lowest run of @pages in one chunk that starts at or after page @from. */
static u32 chunk_find(struct place *pl, u32 chunk, u32 from, u32 pages)
{
	struct place_holes h;

	pl->steps += PLACE_CHUNK_WORDS - from / 64;
	place_holes_from(&h, place_chunk_map(pl, chunk), from);
	while (place_hole_next(&h))
		if (h.end - h.start >= pages)
			return chunk * PLACE_CHUNK_PAGES + h.start;
	return PLACE_NONE;
}

static void breathe(u32 done)
{
	if (done % PLACE_BREATH == PLACE_BREATH - 1)
		place_breathe();
}

/* True if that changes what the node says. */
static inline bool tree_join(struct place *pl, u32 node, u32 half)
{
	const struct place_run *l = &pl->tree[2 * node];
	const struct place_run *r = l + 1;
	struct place_run *n = &pl->tree[node];
	u32 head = l->head, tail = r->tail, inner = 0;

	if (head < half && tail < half)
		inner = l->tail + r->head;
	if (head == half)
		head += r->head;
	if (tail == half)
		tail += l->tail;
	if (l->inner > inner)
		inner = l->inner;
	if (r->inner > inner)
		inner = r->inner;
	if (n->head == head && n->tail == tail && n->inner == inner)
		return false;
	n->head = head;
	n->tail = tail;
	n->inner = inner;
	return true;
}

/* Bring the nodes above the chunks @first to @last up to date. */
static void tree_update(struct place *pl, u32 first, u32 last)
{
	u32 half = PLACE_CHUNK_PAGES, node;
	bool changed = true;

	first += pl->chunks;
	last += pl->chunks;
	while (first > 1 && changed) {
		first /= 2;
		last /= 2;
		pl->steps += last - first + 1;
		changed = tree_join(pl, first, half);
		for (node = first + 1; node <= last; node++) {
			changed |= tree_join(pl, node, half);
			breathe(node - first);
		}
		half *= 2;
	}
}

/* The longest inner run of a chunk, in which none is longer than @most. */
static u32 chunk_inner(const u64 *map, u32 head, u32 most)
{
	struct place_holes h;
	u32 inner = 0;

	place_holes_from(&h, map, head);
	while (inner < most && place_hole_next(&h) &&
	       h.end < PLACE_CHUNK_PAGES)
		if (h.end - h.start > inner)
			inner = h.end - h.start;
	return inner;
}

/* The inner run from @from to @to is now cut by the pages from @start to @end. */
static void inner_cut(struct place_run *run, const u64 *map, u32 from, u32 to,
		      u32 start, u32 end)
{
	u32 left = start - from > to - end ? start - from : to - end;

	if (to - from < run->inner)
		return;
	/* Before, between and behind it and another one are used pages. */
	if (left + (to - from) >= PLACE_CHUNK_PAGES - 3)
		run->inner = left;
	else
		run->inner = chunk_inner(map, run->head, run->inner);
}

/* The runs of a chunk that the pages from @start to @end are now taken from. */
static void run_cut(struct place_run *run, const u64 *map, u32 start, u32 end)
{
	u32 left;

	if (run->head == PLACE_CHUNK_PAGES) {
		run->head = start;
		run->tail = PLACE_CHUNK_PAGES - end;
		return;
	}
	if (start < run->head) {
		left = run->head - end;
		run->head = start;
	} else if (start >= PLACE_CHUNK_PAGES - run->tail) {
		left = start - (PLACE_CHUNK_PAGES - run->tail);
		run->tail = PLACE_CHUNK_PAGES - end;
	} else {
		inner_cut(run, map, run_begin(map, start), next_used(map, end),
			  start, end);
		return;
	}
	if (left > run->inner)
		run->inner = left;
}

/* The runs of a chunk that the pages from @start to @end are now in. */
static void run_join(struct place_run *run, const u64 *map, u32 start, u32 end)
{
	u32 from = 0, to = PLACE_CHUNK_PAGES, gone = 0;

	if (start != run->head)
		from = run_begin(map, start);
	if (end != PLACE_CHUNK_PAGES - run->tail)
		to = next_used(map, end);

	if (from > 0 && to < PLACE_CHUNK_PAGES) {
		if (to - from > run->inner)
			run->inner = to - from;
		return;
	}
	/* What was an inner run is part of one at an end now. */
	if (from == 0) {
		run->head = to;
		gone = to - end;
	}
	if (to == PLACE_CHUNK_PAGES) {
		run->tail = to - from;
		gone = start - from;
	}
	if (from == 0 && to == PLACE_CHUNK_PAGES)
		run->inner = 0;
	else if (gone && gone == run->inner)
		run->inner = chunk_inner(map, run->head, gone);
}

static inline void set_word(u64 *word, u64 mask, bool value)
{
	*word = value ? *word | mask : *word & ~mask;
}

static void set_part(struct place_run *run, u64 *map, u32 start, u32 end,
		     bool value)
{
	u32 word = start / 64, last = (end - 1) / 64;
	u64 mask = ~0ULL << (start % 64);

	for (; word < last; word++) {
		set_word(&map[word], mask, value);
		mask = ~0ULL;
	}
	set_word(&map[last], mask & ~0ULL >> (63 - (end - 1) % 64), value);
	if (value)
		run_cut(run, map, start, end);
	else
		run_join(run, map, start, end);
}

/* Most of the chunks of a large span are wholly in it. */
static struct place_run set_whole(u64 *map, bool value)
{
	u32 free = value ? 0 : PLACE_CHUNK_PAGES, word;

	for (word = 0; word < PLACE_CHUNK_WORDS; word++)
		map[word] = value ? ~0ULL : 0;
	return (struct place_run){ .head = free, .tail = free };
}

/* The pages of a chunk from @start to @end; true if that changes its runs. */
static bool set_chunk(struct place *pl, u32 chunk, u32 start, u32 end,
		      bool value)
{
	struct place_run *run = &pl->tree[pl->chunks + chunk], was = *run;
	u64 *map = pl->used + (size_t)chunk * PLACE_CHUNK_WORDS;

	pl->steps += PLACE_CHUNK_WORDS;
	if (end - start == PLACE_CHUNK_PAGES)
		*run = set_whole(map, value);
	else
		set_part(run, map, start, end, value);
	if (run->head == PLACE_CHUNK_PAGES)
		pl->chunks_used--;
	if (was.head == PLACE_CHUNK_PAGES)
		pl->chunks_used++;
	return run->head != was.head || run->tail != was.tail ||
	       run->inner != was.inner;
}

static void set_pages(struct place *pl, u32 start, u32 pages, bool value)
{
	u32 first = start / PLACE_CHUNK_PAGES;
	u32 last = (start + pages - 1) / PLACE_CHUNK_PAGES, chunk;
	u32 from = start % PLACE_CHUNK_PAGES;
	bool changed = false;

	for (chunk = first; chunk < last; chunk++) {
		changed |= set_chunk(pl, chunk, from, PLACE_CHUNK_PAGES,
				     value);
		from = 0;
		breathe(chunk - first);
	}
	changed |= set_chunk(pl, last, from,
			     start + pages - last * PLACE_CHUNK_PAGES, value);
	if (changed)
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
	u64 *old = pl->used, *used = table;
	u32 old_chunks = pl->chunks, chunk;

	pl->used = used;
	pl->tree = (struct place_run *)(used +
					(size_t)chunks * PLACE_CHUNK_WORDS);
	pl->chunks = chunks;
	for (chunk = 0; chunk < chunks; chunk++) {
		u64 *map = used + (size_t)chunk * PLACE_CHUNK_WORDS;

		if (chunk < old_chunks)
			memcpy(map, old + (size_t)chunk * PLACE_CHUNK_WORDS,
			       PLACE_CHUNK_WORDS * sizeof(u64));
		pl->tree[chunks + chunk] = chunk_runs(map);
		pl->steps += PLACE_CHUNK_WORDS;
		breathe(chunk);
	}
	tree_update(pl, 0, chunks - 1);
	return old;
}

/*
 * The node behind one, at its level or above; 0 behind the last.  @span is how
 * many pages it has.
 */
static inline u32 node_behind(u32 node, u32 *span)
{
	u32 up = (u32)__builtin_ctz(~node);

	node >>= up;
	*span <<= up;
	return node ? node + 1 : 0;
}

/* In a node that has an inner run of the length. */
static u32 find_below(struct place *pl, u32 node, u32 span, u32 at, u32 pages,
		      u32 *end)
{
	const struct place_run *l;

	while (node < pl->chunks) {
		span /= 2;
		node *= 2;
		l = &pl->tree[node];
		pl->steps++;
		if (l->inner >= pages)
			continue;
		at += span;
		if (l->tail + l[1].head >= pages) {
			*end = at + l[1].head;
			return at - l->tail;
		}
		node++;
	}
	*end = at;
	return at;
}

/**
 * place_find_on() - the lowest free run of a length behind a chunk
 * @pl: arena
 * @chunk: the chunk
 * @carry: length of the run that it ends with, which counts
 * @pages: length
 * @end: out, where the run ends, or a chunk's end from which it may go on:
 *	place_run_end() knows; the answer itself where the run is yet to be
 *	looked for, in the chunk that begins there
 *
 * Walks the tree's nodes from left to right, the largest that lie wholly
 * ahead first, and carries the run that ends where the walk stands.
 *
 * Return: its first page; %PLACE_NONE if there is none.
 */
u32 place_find_on(struct place *pl, u32 chunk, u32 carry, u32 pages, u32 *end)
{
	u32 at = (chunk + 1) * PLACE_CHUNK_PAGES, span = PLACE_CHUNK_PAGES;
	u32 node = pl->chunks + chunk;
	const struct place_run *run;

	for (;;) {
		node = node_behind(node, &span);
		if (!node)
			break;
		pl->steps++;
		run = &pl->tree[node];
		if (carry + run->head >= pages) {
			at += run->head;
			carry += run->head;
			break;
		}
		if (run->inner >= pages)
			return find_below(pl, node, span, at, pages, end);
		carry = run->head == span ? carry + span : run->tail;
		at += span;
	}
	*end = at;
	return carry >= pages ? at - carry : PLACE_NONE;
}

/**
 * place_run_end() - where a free run ends that goes up to a chunk's end
 * @pl: arena
 * @at: the page behind that chunk
 *
 * Return: the first used page from @at on, or the end of the tables.
 */
u32 place_run_end(struct place *pl, u32 at)
{
	u32 node = pl->chunks + at / PLACE_CHUNK_PAGES - 1;
	u32 span = PLACE_CHUNK_PAGES, head;

	for (;;) {
		node = node_behind(node, &span);
		if (!node)
			return at;
		pl->steps++;
		head = pl->tree[node].head;
		at += head;
		if (head < span)
			return at;
	}
}

/**
 * place_find_run() - the lowest free run of a length
 * @pl: arena
 * @from: where the run may begin, a page of the tables
 * @pages: length
 *
 * Return: its first page, at or after @from; %PLACE_NONE if there is none.
 */
u32 place_find_run(struct place *pl, u32 from, u32 pages)
{
	u32 chunk = from / PLACE_CHUNK_PAGES, in = from % PLACE_CHUNK_PAGES;
	const struct place_run *run = &pl->tree[pl->chunks + chunk];
	u32 page = PLACE_NONE, end;

	if (in + pages <= run->head)
		page = from;
	else if (run->inner >= pages)
		page = chunk_find(pl, chunk, in, pages);
	if (run->inner < pages)
		pl->steps++;
	if (page != PLACE_NONE)
		return page;
	page = place_find_on(pl, chunk,
			     min_u32(run->tail, PLACE_CHUNK_PAGES - in),
			     pages, &end);
	return page == end ? chunk_find(pl, page / PLACE_CHUNK_PAGES, 0, pages) :
			     page;
}

/**
 * place_find_aligned() - the lowest run that begins at a multiple
 * @pl: arena
 * @pages: length
 * @align: a power of two up to %PLACE_CHUNK_PAGES
 *
 * Return: the first page, the lowest among the first %PLACE_ALIGN_TRIES runs
 * and, after them, one in a run that is long enough for any alignment;
 * %PLACE_NONE if there is none.
 */
u32 place_find_aligned(struct place *pl, u32 pages, u32 align)
{
	u32 end = pl->chunks * PLACE_CHUNK_PAGES;
	u32 from = 0, start, fit, tries;

	for (tries = 0; tries < PLACE_ALIGN_TRIES; tries++) {
		start = place_find_run(pl, from, pages);
		if (start == PLACE_NONE)
			return PLACE_NONE;
		fit = place_align_up(start, align);
		if (fit == start)
			return start;
		/* A run found from its aligned page on starts there or later. */
		start = fit < end ? place_find_run(pl, fit, pages) : PLACE_NONE;
		if (start == PLACE_NONE || start == fit)
			return start;
		from = start;
	}
	return place_find_roomy(pl, pages, align);
}

/**
 * place_find_roomy() - room in a run that is long enough for an alignment
 * @pl: arena
 * @pages: length
 * @align: a power of two up to %PLACE_CHUNK_PAGES
 *
 * Return: the first page, a multiple of @align; %PLACE_NONE if there is none.
 */
u32 place_find_roomy(struct place *pl, u32 pages, u32 align)
{
	u32 start = place_find_run(pl, 0, pages + align - 1);

	return start == PLACE_NONE ? start : place_align_up(start, align);
}

static u32 longest(const struct place_run *run)
{
	u32 ends = run->head > run->tail ? run->head : run->tail;

	return ends > run->inner ? ends : run->inner;
}

static u32 find_by(struct place *pl, enum place_policy policy, u32 pages,
		   u32 align)
{
	switch (policy) {
	case PLACE_BEST:
		return place_find_best(pl, pages, align);
	case PLACE_BUDDY:
		return place_find_buddy(pl, pages, align);
	default:
		return place_find_aligned(pl, pages, align);
	}
}

/**
 * place_granted() - the length of a span
 * @policy: who places it
 * @pages: asked for: 1 to %PLACE_CHUNKS_MAX * %PLACE_CHUNK_PAGES
 *
 * Return: pages that the span takes up, to be given to place_free().
 */
u32 place_granted(enum place_policy policy, u32 pages)
{
	return policy == PLACE_BUDDY ? place_buddy_pages(pages) : pages;
}

/**
 * place_alloc_by() - a free run by a policy
 * @pl: arena
 * @policy: where it goes
 * @pages: length, at least 1
 * @align: the first page is a multiple of it: a power of two up to
 *	%PLACE_CHUNK_PAGES
 * @start: out, the first page
 * @granted: out, the span's length: @pages or, by %PLACE_BUDDY, more
 *
 * Without an alignment first fit finds the lowest run, and buddy and spans
 * with one the lowest among the first few and, after them, one that is long
 * enough for any alignment.  Time is in proportion to the logarithm of the
 * number of chunks, and to the number of runs tried, which is bounded.
 *
 * Return: 0; -EAGAIN when it fits only after place_grow(); -ENOSPC when not
 * even @pl->chunks_max chunks would do; -EINVAL for a bad @policy, @pages or
 * @align.
 */
int place_alloc_by(struct place *pl, enum place_policy policy, u32 pages,
		   u32 align, u32 *start, u32 *granted)
{
	u32 at = PLACE_NONE;

	if ((u32)policy >= PLACE_POLICIES || !pages || !align ||
	    align > PLACE_CHUNK_PAGES || align & (align - 1))
		return -EINVAL;
	if (pages > (u64)pl->chunks_max * PLACE_CHUNK_PAGES)
		return -ENOSPC;
	pages = place_granted(policy, pages);
	if (pl->chunks && longest(&pl->tree[1]) >= pages)
		at = find_by(pl, policy, pages, align);
	if (at == PLACE_NONE)
		return pl->chunks < pl->chunks_max ? -EAGAIN : -ENOSPC;

	set_pages(pl, at, pages, true);
	pl->pages_used += pages;
	pl->spans++;
	*start = at;
	*granted = pages;
	return 0;
}

/**
 * place_alloc() - the lowest free run
 * @pl: arena
 * @pages: length, at least 1
 * @align: the first page is a multiple of it: a power of two up to
 *	%PLACE_CHUNK_PAGES
 * @start: out, the first page
 *
 * Return: what place_alloc_by() does by %PLACE_FIRST.
 */
int place_alloc(struct place *pl, u32 pages, u32 align, u32 *start)
{
	u32 granted;

	return place_alloc_by(pl, PLACE_FIRST, pages, align, start, &granted);
}

/**
 * place_take() - a certain run, which nobody has
 * @pl: arena
 * @start: its first page
 * @pages: its length
 *
 * Return: 0; -EAGAIN when it is there only after place_grow(); -EINVAL when it
 * never is.
 */
int place_take(struct place *pl, u32 start, u32 pages)
{
	u64 end = (u64)start + pages;

	if (!pages || end > (u64)pl->chunks_max * PLACE_CHUNK_PAGES)
		return -EINVAL;
	if (end > (u64)pl->chunks * PLACE_CHUNK_PAGES)
		return -EAGAIN;
	set_pages(pl, start, pages, true);
	pl->pages_used += pages;
	pl->spans++;
	return 0;
}

/**
 * place_free() - give a run back
 * @pl: arena
 * @start: its first page
 * @pages: its length, what place_alloc_by() granted
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
 * Takes time in proportion to the number of chunks, and of free runs.
 */
void place_measure(const struct place *pl, struct place_stats *st)
{
	u32 page = 0, hole = 0, runs = 0;

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
		u32 free = min_u32(next_free(map, page - base), size);
		u32 used = min_u32(next_used(map, free), size);

		if (base + free > page) {
			count_hole(st, hole);
			hole = 0;
		}
		hole += used - free;
		page = base + used;
		breathe(runs++);
	}
	count_hole(st, hole);
}
