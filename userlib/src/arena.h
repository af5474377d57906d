/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The fallback's arena: what bmem.ko keeps for a client, kept by the process.
 *
 * The books lie in shared memory, as the tensors do, so that parent and child
 * keep the same books after fork(), which is how the device behaves.  All
 * tables are sparse: a page of one costs memory when it is first written.
 *
 * One mutex guards everything but the dirty bits.  It is robust: when a
 * process is killed while it holds it, the others get ENOTRECOVERABLE, since
 * the books may be half written.
 *
 * Calls go arena (lock, figures) and registry (tensors, sites) -> chunk ->
 * backing, place.
 */
#ifndef BMEM_ARENA_H
#define BMEM_ARENA_H

#include <pthread.h>

#include "backing.h"
#include "internal.h"
#include "place.h"

/**
 * struct record - a live tensor, found by its first page
 * @bytes: exact size
 * @born_ms: when, by the coarse monotonic clock
 * @pages: length
 * @site: call site
 * @flags: BMEM_ALLOC_*
 * @gen: tells it from others that began at the same page; never 0
 */
struct record {
	uint64_t bytes;
	uint64_t born_ms;
	uint32_t pages;
	uint32_t site;
	uint32_t flags;
	uint32_t gen;
};

struct site_name {
	uint32_t site;
	char label[BMEM_LABEL_LEN];
};

/**
 * struct books - what all processes that share an arena see
 * @lock: guards all below and all tables
 * @place: which pages are in spans
 * @st: the client's figures, kept in the form in which they are asked for
 * @limit: most bytes that may be attached, whole chunks
 * @gen: generation of the last tensor
 * @chunks_taken: chunks attached so far
 * @chunks_given: chunks given back so far
 * @sites: names of call sites, open addressing by number, 0 for free
 */
struct books {
	pthread_mutex_t lock;
	struct place place;
	struct bmem_client_stats st;
	uint64_t limit;
	uint32_t gen;
	uint64_t chunks_taken;
	uint64_t chunks_given;
	struct site_name sites[SITE_SLOTS];
};

/**
 * struct arena - an arena, as this process sees it
 * @books: shared; the tables below are in the same mapping
 * @books_len: length of the mapping
 * @backing: the memory
 * @starts: one bit a page, set where a tensor begins
 * @dirty: one bit a page, set when a span there was freed since the chunk was
 *	attached, so that it may hold something other than zeroes; the bits of
 *	a span belong to whoever has it, those around them do not
 * @state: CHUNK_*, by chunk
 * @records: by page
 * @tables: for the tables of @books->place: those of n chunks at n times the
 *	size of those of one, so that every size has its place
 */
struct arena {
	struct books *books;
	size_t books_len;
	struct backing backing;
	uint64_t *starts;
	_Atomic uint64_t *dirty;
	uint8_t *state;
	struct record *records;
	char *tables;
};

/* ---- arena.c ----------------------------------------------------- */

struct arena *arena_open(uint64_t limit, int *err);
void arena_close(struct arena *a);
int arena_lock(struct arena *a);
void arena_unlock(struct arena *a);
void arena_grow(struct arena *a);
int arena_set_cache(struct arena *a, uint64_t bytes);
int arena_trim(struct arena *a, struct bmem_trim *cmd);
int arena_stats(struct arena *a, struct bmem_client_stats *st);
int arena_pool_stats(struct arena *a, struct bmem_pool_stats *st);

/* ---- registry.c -------------------------------------------------- */

int arena_alloc(struct arena *a, struct bmem_alloc_entry *entries, uint32_t nr,
		uint32_t *failed);
int arena_free(struct arena *a, struct bmem_free_entry *entries, uint32_t nr,
	       uint32_t *freed);
int arena_info(struct arena *a, struct bmem_tensor_info *cmd);
int arena_list(struct arena *a, struct bmem_tensor_list *cmd);
int arena_name_site(struct arena *a, uint32_t site, const char *label);

/* ---- chunk.c; the lock is held, but for span_zero() -------------- */

int span_attach(struct arena *a, uint32_t start, uint32_t pages);
void span_release(struct arena *a, uint32_t start, uint32_t pages);
void span_soil(struct arena *a, uint32_t start, uint32_t pages);
void span_zero(struct arena *a, uint32_t start, uint32_t pages);
uint64_t cache_trim(struct arena *a, uint64_t keep);

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* First page whose bit is in the next word of a bitmap. */
static inline uint32_t next_word(uint32_t page)
{
	return page - page % 64 + 64;
}

#endif /* BMEM_ARENA_H */
