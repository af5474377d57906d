/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * place: which pages of a linear arena a span gets.
 *
 * Pure logic: it knows neither memory nor locks, calls nothing, and is
 * compiled into the module, into libbmem's fallback and into the tests.  The
 * caller serialises all calls on one arena and provides the memory for its
 * tables.
 */
#ifndef BMEM_PLACE_H
#define BMEM_PLACE_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

/* Others get the CPU now and then where much is to be done: the caller may sleep. */
#ifndef place_breathe
#ifdef __KERNEL__
#define place_breathe()	cond_resched()
#else
#define place_breathe()	do { } while (0)
#endif
#endif

/* Chunks, or nodes above them, that are gone through without a breath. */
#define PLACE_BREATH	1024U

/* A chunk is the part of the arena that one huge page can back. */
#define PLACE_CHUNK_PAGES	512
#define PLACE_CHUNK_WORDS	(PLACE_CHUNK_PAGES / 64)

/* Page numbers, and the sum of two, must fit 32 bits. */
#define PLACE_CHUNKS_MAX	(1U << 22)

/* So many free runs does best fit look at, from the lowest on. */
#define PLACE_BEST_RUNS		32

/**
 * enum place_policy - where a span goes
 * @PLACE_FIRST: to the lowest free run that fits
 * @PLACE_BEST: of the lowest %PLACE_BEST_RUNS that fit, to the beginning or the
 *	end of that where it makes part of the fewest empty chunks; among
 *	equals to the shortest, then to the lowest place
 * @PLACE_BUDDY: rounded up to a power of two and aligned to it, from a chunk on
 *	to whole chunks, to the lowest such place
 * @PLACE_POLICIES: how many there are
 *
 * All work on the same tables, so that each span of an arena may have been
 * placed by another one.
 */
enum place_policy {
	PLACE_FIRST,
	PLACE_BEST,
	PLACE_BUDDY,
	PLACE_POLICIES
};

/**
 * struct place_run - the free runs of a range of chunks, in pages
 * @head: length of the run that starts at the range's first page
 * @tail: length of the run that ends at the range's last page
 * @inner: length of the longest other one
 */
struct place_run {
	u32 head;
	u32 tail;
	u32 inner;
};

/**
 * struct place - the placement of one arena
 * @chunks: chunks that there are tables for: 0 or a power of two
 * @chunks_max: chunks that there may ever be: a power of two
 * @pages_used: pages in spans
 * @spans: number of spans
 * @chunks_used: chunks with a page in a span
 * @steps: words and nodes looked at so far, modulo 2^32
 * @used: one bit a page, set while it is in a span; @chunks times
 *	%PLACE_CHUNK_WORDS words
 * @tree: runs of every aligned power-of-two range of chunks, as a binary heap:
 *	the whole at 1, the halves of i at 2i and 2i+1, single chunks from
 *	@chunks on
 */
struct place {
	u32 chunks;
	u32 chunks_max;
	u32 pages_used;
	u32 spans;
	u32 chunks_used;
	u32 steps;
	u64 *used;
	struct place_run *tree;
};

/**
 * struct place_stats - the shape of an arena, in pages
 * @used: pages in spans
 * @top: pages up to the end of the last span
 * @holes: number of free runs below @top
 * @hole_pages: pages in them
 * @hole_best: length of the longest of them
 */
struct place_stats {
	u32 used;
	u32 top;
	u32 holes;
	u32 hole_pages;
	u32 hole_best;
};

int place_init(struct place *pl, u32 chunks_max);
size_t place_table_bytes(u32 chunks);
void *place_grow(struct place *pl, void *table, u32 chunks);
int place_alloc(struct place *pl, u32 pages, u32 align, u32 *start);
int place_alloc_by(struct place *pl, enum place_policy policy, u32 pages,
		   u32 align, u32 *start, u32 *granted);
u32 place_granted(enum place_policy policy, u32 pages);
int place_take(struct place *pl, u32 start, u32 pages);
void place_free(struct place *pl, u32 start, u32 pages);
u32 place_chunk_used(const struct place *pl, u32 chunk);
void place_measure(const struct place *pl, struct place_stats *st);

/**
 * place_table() - the memory that the arena's tables are in
 * @pl: arena
 *
 * Return: what place_grow() got last, for the caller to free; NULL before.
 */
static inline void *place_table(const struct place *pl)
{
	return pl->used;
}

/**
 * place_chunk_map() - which pages of a chunk are in spans
 * @pl: arena
 * @chunk: number of a chunk below @pl->chunks
 *
 * Return: %PLACE_CHUNK_WORDS words, valid until the next place_grow().
 */
static inline const u64 *place_chunk_map(const struct place *pl, u32 chunk)
{
	return pl->used + (size_t)chunk * PLACE_CHUNK_WORDS;
}

/**
 * place_chunk_empty() - is no page of a chunk in a span?
 * @pl: arena
 * @chunk: number of a chunk
 *
 * Return: true then, and beyond the tables.
 */
static inline bool place_chunk_empty(const struct place *pl, u32 chunk)
{
	return chunk >= pl->chunks ||
	       pl->tree[pl->chunks + chunk].head == PLACE_CHUNK_PAGES;
}

/**
 * place_chunk_only() - has a span a chunk to itself?
 * @pl: arena
 * @chunk: number of a chunk of the tables
 * @start: first page of the span, or its part in the chunk
 * @end: the page behind that; both count from the chunk's first page
 *
 * Return: true when no page around it is in a span.
 */
static inline bool place_chunk_only(const struct place *pl, u32 chunk,
				    u32 start, u32 end)
{
	const struct place_run *run = &pl->tree[pl->chunks + chunk];

	return run->head == start && run->tail == PLACE_CHUNK_PAGES - end;
}

#endif /* BMEM_PLACE_H */
