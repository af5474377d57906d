// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Extents: which run of pages has what, and the span map that says so to the
 * process.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "arena.h"

/* Tables of placement begin with so many chunks and double. */
#define CHUNKS_FIRST	16U

static void arena_grow(struct arena *a)
{
	struct place *pl = &a->books->place;
	uint32_t chunks = pl->chunks ? 2 * pl->chunks : CHUNKS_FIRST;

	chunks = min_u32(chunks, pl->chunks_max);
	/* The old tables stay where they are; they are half as large. */
	place_grow(pl, a->tables + place_table_bytes(chunks), chunks);
}

/**
 * run_place() - find a run of pages, and put memory under it
 * @a: arena
 * @policy: which
 * @pages: length; out, what the policy makes of it
 * @align: in pages, a power of two
 * @start: out, first page
 *
 * Return: 0, -ENOSPC, -ENOMEM.
 */
int run_place(struct arena *a, enum place_policy policy, uint32_t *pages,
	      uint32_t align, uint32_t *start)
{
	struct place *pl = &a->books->place;
	int ret;

	for (;;) {
		ret = place_alloc_by(pl, policy, *pages, align, start, pages);
		if (ret != -EAGAIN)
			break;
		arena_grow(a);
	}
	if (ret)
		return ret;
	/* The others have their rules, which know no memory. */
	if (policy == PLACE_BEST)
		*start = run_reuse(a, *start, *pages, align);
	ret = span_attach(a, *start, *pages);
	/* Nothing was counted, so there is nothing to release. */
	if (ret)
		place_free(pl, *start, *pages);
	return ret;
}

/**
 * run_take() - the same for a certain run, which nobody has
 * @a: arena
 * @start: first page
 * @pages: length
 *
 * Return: 0, -EINVAL beyond the space, -ENOSPC, -ENOMEM.
 */
int run_take(struct arena *a, uint32_t start, uint32_t pages)
{
	struct place *pl = &a->books->place;
	int ret;

	for (;;) {
		ret = place_take(pl, start, pages);
		if (ret != -EAGAIN)
			break;
		arena_grow(a);
	}
	if (ret)
		return ret;
	ret = span_attach(a, start, pages);
	if (ret)
		place_free(pl, start, pages);
	return ret;
}

/**
 * run_unplace() - undo run_place()
 * @a: arena
 * @start: first page
 * @pages: length
 */
void run_unplace(struct arena *a, uint32_t start, uint32_t pages)
{
	place_free(&a->books->place, start, pages);
	span_release(a, start, pages);
}

/**
 * extent_new() - enter who has a run
 * @a: arena
 * @start: first page
 * @pages: length
 *
 * There are as many extents as pages, so there is always one.
 *
 * Return: the extent, of which only the run is filled in.
 */
struct extent *extent_new(struct arena *a, uint32_t start, uint32_t pages)
{
	struct books *bk = a->books;
	uint32_t i = bk->extents_free;
	struct extent *x;

	if (!i)
		i = ++bk->extents_top;
	x = &a->extents[i];
	if (i == bk->extents_free)
		bk->extents_free = x->next;
	*x = (struct extent) {
		.page = start,
		.pages = pages,
		.peer = a->index[start / INDEX_PAGES],
	};
	a->index[start / INDEX_PAGES] = i;
	a->starts[start / 64] |= 1ULL << (start % 64);
	return x;
}

/**
 * extent_gone() - give up a run and who had it
 * @a: arena
 * @x: extent
 */
void extent_gone(struct arena *a, struct extent *x)
{
	struct books *bk = a->books;
	uint32_t start = x->page, pages = x->pages, i = extent_number(a, x);
	uint32_t *link = &a->index[start / INDEX_PAGES];

	while (*link != i)
		link = &a->extents[*link].peer;
	*link = x->peer;
	a->starts[start / 64] &= ~(1ULL << (start % 64));
	x->next = bk->extents_free;
	bk->extents_free = i;
	span_soil(a, start, pages);
	run_unplace(a, start, pages);
}

/* The extent that begins at a page where one does. */
static struct extent *extent_starting(const struct arena *a, uint32_t page)
{
	struct extent *x = &a->extents[a->index[page / INDEX_PAGES]];

	while (x->page != page)
		x = &a->extents[x->peer];
	return x;
}

/* Where extents begin in the 64 pages up to @page, whose bit is the highest. */
static uint64_t starts_to(const struct arena *a, uint32_t page)
{
	uint32_t word = page / 64, above = 63 - page % 64;
	uint64_t bits = a->starts[word] << above;

	if (word && above)
		bits |= a->starts[word - 1] >> (64 - above);
	return bits;
}

/**
 * extent_at() - the tensor that begins at a page, or the span it is in
 * @a: arena
 * @page: any number
 *
 * Return: the extent, or NULL.
 */
struct extent *extent_at(const struct arena *a, uint64_t page)
{
	struct extent *x;
	uint32_t inside;
	uint64_t bits;

	if (page >= a->backing.len >> PAGE_SHIFT)
		return NULL;
	bits = starts_to(a, (uint32_t)page);
	if (!bits)
		return NULL;
	inside = (uint32_t)__builtin_clzll(bits);
	x = extent_starting(a, (uint32_t)page - inside);
	return !inside || (extent_slotted(x) && inside < x->pages) ? x : NULL;
}

/* Last page up to @page at which an extent begins; @page + 1 if none. */
static uint32_t start_before(const struct arena *a, uint32_t page)
{
	uint32_t word = page / 64;
	uint64_t bits = a->starts[word] & (~0ULL >> (63 - page % 64));

	while (!bits) {
		if (!word)
			return page + 1;
		bits = a->starts[--word];
	}
	return word * 64 + 63 - (uint32_t)__builtin_clzll(bits);
}

/**
 * extent_covering() - the extent that has a page
 * @a: arena
 * @page: any number
 *
 * Return: the extent, or NULL.
 */
struct extent *extent_covering(const struct arena *a, uint64_t page)
{
	struct extent *x;
	uint32_t start;

	if (page >= a->backing.len >> PAGE_SHIFT)
		return NULL;
	start = start_before(a, (uint32_t)page);
	if (start > page)
		return NULL;
	x = extent_starting(a, start);
	return page - start < x->pages ? x : NULL;
}

/**
 * extent_after() - where the next extent begins
 * @a: arena
 * @page: from here on
 * @end: up to here
 *
 * Return: its first page, @end if there is none.
 */
uint32_t extent_after(const struct arena *a, uint32_t page, uint32_t end)
{
	uint64_t bits;

	for (; page < end; page = next_word(page)) {
		bits = a->starts[page / 64] >> (page % 64);
		if (bits)
			return page + (uint32_t)__builtin_ctzll(bits);
	}
	return end;
}

/**
 * map_write() - write an entry of the span map
 * @a: arena
 * @page: whose
 * @entry: as in the ABI
 */
void map_write(struct arena *a, uint32_t page, uint64_t entry)
{
	uint32_t chunk = page / PLACE_CHUNK_PAGES;
	uint8_t *state = &a->map_state[chunk];

	__atomic_store_n(&a->map[page], entry, __ATOMIC_RELEASE);
	if (*state)
		return;
	*state = 1;
	a->books->st.span_map_bytes += BMEM_PAGE_SIZE;
}

/**
 * map_forget() - give back memory of the span map
 * @a: arena
 * @chunk: the first that it says nothing about, as all that follow
 * @nr: how many
 */
void map_forget(struct arena *a, uint32_t chunk, uint32_t nr)
{
	char *map = (char *)a->map + ((size_t)chunk << PAGE_SHIFT);
	uint32_t there = 0, i;

	for (i = 0; i < nr; i++)
		there += a->map_state[chunk + i];
	if (!there || table_forget(a, map, (size_t)nr << PAGE_SHIFT))
		return;
	memset(a->map_state + chunk, 0, nr);
	a->books->st.span_map_bytes -= (uint64_t)there << PAGE_SHIFT;
}

/**
 * map_trim() - give back memory of the span map that says nothing
 * @a: arena
 */
void map_trim(struct arena *a)
{
	uint32_t chunk;

	for (chunk = 0; chunk < a->books->place.chunks; chunk++)
		if (!place_chunk_used(&a->books->place, chunk))
			map_forget(a, chunk, 1);
}

_Static_assert(PLACE_CHUNK_PAGES * sizeof(uint64_t) == BMEM_PAGE_SIZE,
	       "a chunk has one page of the span map");
_Static_assert(SLAB_PAGES_MAX <= 64, "extent_at() looks 64 pages back");
