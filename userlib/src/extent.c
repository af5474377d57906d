// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Extents: which run of pages has what, and the span map that says so to the
 * process.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena.h"

/* Tables of placement begin with so many chunks and double. */
#define CHUNKS_FIRST	16U

#define MAP_THERE	1	/* the chunk's page of the span map has memory */
#define MAP_INDEXED	2	/* so has the index, of it and its neighbour */

/* Two neighbours share a page of the index; its state is the first one's. */
#define INDEX_CHUNKS	2U

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
	*x = (struct extent) { .page = start, .pages = pages };
	a->index[start] = i;
	a->starts[start / 64] |= 1ULL << (start % 64);
	return x;
}

/**
 * extent_gone() - give up a run and who had it
 * @a: arena
 * @x: extent, of which only its first page is in the index
 */
void extent_gone(struct arena *a, struct extent *x)
{
	struct books *bk = a->books;
	uint32_t start = x->page, pages = x->pages;

	a->starts[start / 64] &= ~(1ULL << (start % 64));
	a->index[start] = 0;
	x->next = bk->extents_free;
	bk->extents_free = extent_number(a, x);
	span_soil(a, start, pages);
	run_unplace(a, start, pages);
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
	uint32_t i;

	if (page >= a->backing.len >> PAGE_SHIFT)
		return NULL;
	i = a->index[page];
	return i ? &a->extents[i] : NULL;
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
	x = &a->extents[a->index[start]];
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

static void index_count(struct arena *a, uint32_t chunk)
{
	uint8_t *state = &a->map_state[chunk - chunk % INDEX_CHUNKS];

	if (*state & MAP_INDEXED)
		return;
	*state |= MAP_INDEXED;
	a->books->index_pages++;
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
	if (*state & MAP_THERE)
		return;
	*state |= MAP_THERE;
	a->books->st.span_map_bytes += BMEM_PAGE_SIZE;
	index_count(a, chunk);
}

/* Give back memory of the index that says nothing. */
static void index_forget(struct arena *a, uint32_t chunk)
{
	struct books *bk = a->books;
	char *index = (char *)a->index;

	chunk -= chunk % INDEX_CHUNKS;
	if (!(a->map_state[chunk] & MAP_INDEXED) ||
	    !place_chunk_empty(&bk->place, chunk))
		return;
	/* A space can be one chunk. */
	if (chunk + 1 < bk->place.chunks &&
	    !place_chunk_empty(&bk->place, chunk + 1))
		return;
	if (table_forget(a, index + chunk / INDEX_CHUNKS * BMEM_PAGE_SIZE,
			 BMEM_PAGE_SIZE))
		return;
	a->map_state[chunk] &= (uint8_t)~MAP_INDEXED;
	bk->index_pages--;
}

/**
 * map_forget() - give back memory of the span map and the index
 * @a: arena
 * @chunk: the first that it says nothing about, as all that follow
 * @nr: how many
 */
void map_forget(struct arena *a, uint32_t chunk, uint32_t nr)
{
	char *map = (char *)a->map;

	for (; nr; nr--, chunk++) {
		index_forget(a, chunk);
		if (!(a->map_state[chunk] & MAP_THERE) ||
		    table_forget(a, map + ((size_t)chunk << PAGE_SHIFT),
				 BMEM_PAGE_SIZE))
			continue;
		a->map_state[chunk] &= (uint8_t)~MAP_THERE;
		a->books->st.span_map_bytes -= BMEM_PAGE_SIZE;
	}
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
_Static_assert(INDEX_CHUNKS * PLACE_CHUNK_PAGES * sizeof(uint32_t) ==
	       BMEM_PAGE_SIZE, "two have one of the index");
