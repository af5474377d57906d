/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The fallback's arena: what bmem.ko keeps for a client, kept by the process.
 *
 * The books lie in shared memory, as the tensors do, so that parent and child
 * keep the same books after fork(), which is how the device behaves; those of a
 * private client lie in private memory, so that each has its own.  All
 * tables are sparse: a page of one costs memory when it is first written.
 *
 * One mutex guards everything; the dirty bits can be read without it.  It is robust: when a
 * process is killed while it holds it, the others get ENOTRECOVERABLE, since
 * the books may be half written.
 *
 * Calls go arena (lock, figures), registry (tensors), slab, listing, callers ->
 * extent, ledger, heap -> reuse -> chunk -> backing, place.
 */
#ifndef BMEM_ARENA_H
#define BMEM_ARENA_H

#include <pthread.h>

#include "backing.h"
#include "internal.h"
#include "place_slab.h"

/* The generation of a tensor; the bit above says that a handle is a slot's. */
#define HANDLE_GEN_BITS	25
#define GEN_MASK	((1U << HANDLE_GEN_BITS) - 1)

/* A place, as handles and the names of slots have it. */
#define PLACE_SHIFT	6
#define PLACE_MASK	((1ULL << BMEM_SLOT_PLACE_BITS) - 1)

/* All extents that begin in so many pages have one place of the index. */
#define INDEX_PAGES	16U

/* Records of tensors that are kept for the next ones. */
#define SPARE_RECORDS	32

/**
 * struct extent - what has a run of pages: a tensor, or a span of slots
 * @page: first page
 * @pages: length
 * @gen: tells a tensor from others that began at the same page; 0 for a span
 * @record: in the ledger, of the tensor or of the span's first slot
 * @peer: another one that begins in the same pages of the index; 0 for none
 * @bytes: exact size of a tensor
 * @born_ms: when, by the coarse monotonic clock
 * @site: call site
 * @flags: BMEM_ALLOC_*
 * @free: one bit a slot, set while it is in
 * @class: size class of the slots
 * @child: heap.c: first of those below
 * @next: heap.c: next one with the same parent; next free extent
 * @prev: heap.c: the one before, or the parent
 */
struct extent {
	uint32_t page;
	uint32_t pages;
	uint32_t gen;
	uint32_t record;
	uint32_t peer;
	union {
		struct {
			uint64_t bytes;
			uint64_t born_ms;
			uint32_t site;
			uint32_t flags;
		};
		struct {
			uint64_t free;
			uint32_t class;
			uint32_t child;
			uint32_t next;
			uint32_t prev;
		};
	};
};

/**
 * struct caller - a call site
 * @site: its number
 * @frames: where its stack begins in @books->frames
 * @text: where its name begins in @books->texts
 * @nr_frames: length of its stack
 * @room: most frames that were ever there
 * @text_room: bytes that its name may have there; 0 while it has none
 */
struct caller {
	uint32_t site;
	uint32_t frames;
	uint32_t text;
	uint8_t nr_frames;
	uint8_t room;
	uint8_t text_room;
};

#define FRAMES_ROOM	((BMEM_SITES_MAX + 1) * BMEM_FRAMES_MAX)

/*
 * Room for a name comes in multiples of this; what a longer name leaves behind
 * is lost.  There is enough for every site to have had each.
 */
#define TEXT_UNIT	16U
#define TEXT_UNITS	(BMEM_LABEL_LEN / TEXT_UNIT)
#define TEXTS_ROOM	((BMEM_SITES_MAX + 1) * TEXT_UNIT * \
			 (TEXT_UNITS * (TEXT_UNITS + 1) / 2))

/**
 * struct books - what all processes that share an arena see
 * @lock: guards all below and all tables
 * @place: which pages are in extents
 * @ledger: which records are in use: pages are records here
 * @st: the client's figures, kept in the form in which they are asked for
 * @who: who the client is, likewise
 * @opened_ms: when it was opened, by the clock of clock_now()
 * @limit: most bytes that may be attached, whole chunks
 * @gen: generation of the last tensor
 * @cache_fixed: BIND has set the cache bound
 * @age: advances with each span that comes or goes, and with @age_ticks
 * @age_ticks: when that was last, in ticks
 * @keep: the age at which cached chunks are given back; 0 for the least, and
 *	that not all may be cached
 * @oldest: when what is cached for longest may have been emptied, in @age
 * @again_us: CPU time that chunks took which had been given back
 * @judged_us: since when, by the CPU time of the process that looked last
 * @calm_us: for how much CPU time that was little, since @keep was changed
 * @chunks_taken: chunks attached so far
 * @chunks_given: chunks given back so far
 * @extents_top: extents that were ever in use
 * @extents_free: list of those that are not, by @next
 * @heaps: by size class, the spans that have a slot in
 * @nr_spare: length of @spare
 * @spare: single records that are in use for @ledger but for nobody else
 * @past: tensors that were in records now given back
 * @plain: tensors without a record so far
 * @modules: program files, by number - 1
 * @site_slots: entries of @sites, open addressing by number, 0 for free
 * @sites: call sites in the order in which they came; the first is site 0
 * @frames_top: frames that were ever in use
 * @frames: of all sites
 * @texts_top: bytes of names that were ever in use
 * @texts: names of all sites
 * @rows_top: sites whose figures were ever asked for
 * @rows: these figures, without names, in the order of @sites
 */
struct books {
	pthread_mutex_t lock;
	struct place place;
	struct place ledger;
	struct bmem_client_stats st;
	struct bmem_client_row who;
	uint64_t opened_ms;
	uint64_t limit;
	uint32_t gen;
	bool cache_fixed;
	uint32_t age;
	uint32_t age_ticks;
	uint32_t keep;
	uint32_t oldest;
	uint64_t again_us;
	uint64_t judged_us;
	uint64_t calm_us;
	uint64_t chunks_taken;
	uint64_t chunks_given;
	uint32_t extents_top;
	uint32_t extents_free;
	uint32_t heaps[SLAB_CLASSES];
	uint32_t nr_spare;
	uint32_t spare[SPARE_RECORDS];
	uint64_t past;
	uint64_t plain;
	struct bmem_module modules[BMEM_MODULES_MAX];
	uint32_t site_slots[SITE_SLOTS];
	struct caller sites[BMEM_SITES_MAX + 1];
	uint32_t frames_top;
	struct bmem_frame frames[FRAMES_ROOM];
	uint32_t texts_top;
	char texts[TEXTS_ROOM];
	uint32_t rows_top;
	struct bmem_site_row rows[BMEM_SITES_MAX + 1];
};

/**
 * struct arena - an arena, as this process sees it
 * @books: shared; the tables below are in the same mapping
 * @mapping: where that begins
 * @mapping_len: its length
 * @backing: the memory
 * @held: @books->lock is held for fork(), not by what it interrupted
 * @clock: of this arena alone, advanced by whoever is in a call; in the client's
 *	window, with @control, once it has one
 * @control: as in the ABI
 * @map: the span map
 * @records: the ledger
 * @nr_records: its length
 * @apart: it and @map are no part of @mapping
 * @starts: one bit a page, set where an extent begins
 * @dirty: one bit a page, set when an extent there was freed since the chunk
 *	was attached, so that it may hold something other than zeroes; the bits
 *	of an extent belong to whoever has it, those around them do not
 * @state: CHUNK_*, by chunk
 * @since: when a cached chunk was emptied, in @books->age
 * @map_state: 1 where a chunk's page of the span map has memory
 * @ledger_state: the same by 512 records of the ledger
 * @index: by %INDEX_PAGES pages: one of the extents that begin there, 0 for none
 * @extents: by number, 0 is none
 * @tables: for the tables of @books->place: those of n chunks at n times the
 *	size of those of one, so that every size has its place
 * @ledger_tables: the same for @books->ledger
 */
struct arena {
	struct books *books;
	char *mapping;
	size_t mapping_len;
	struct backing backing;
	bool held;
	struct bmem_clock *clock;
	struct bmem_control *control;
	uint64_t *map;
	struct bmem_record *records;
	uint32_t nr_records;
	bool apart;
	uint64_t *starts;
	_Atomic uint64_t *dirty;
	uint8_t *state;
	uint32_t *since;
	uint8_t *map_state;
	uint8_t *ledger_state;
	uint32_t *index;
	struct extent *extents;
	char *tables;
	char *ledger_tables;
};

/* ---- arena.c ----------------------------------------------------- */

struct arena *arena_open(uint64_t limit, bool private, int *err);
void arena_close(struct arena *a);
int arena_lock(struct arena *a);
void arena_unlock(struct arena *a);
void arena_fork(struct arena *a, enum fork_step step);
struct arena *arena_empty(size_t len, uint32_t nr_records, int *err);
int arena_window(struct arena *a, struct bmem_client *c);
int arena_move(struct arena *a, struct bmem_client *c);
int table_forget(const struct arena *a, void *from, size_t bytes);
uint64_t clock_now(struct arena *a);
int arena_bind(struct arena *a, const struct bmem_bind *bind);
int arena_trim(struct arena *a, struct bmem_trim *cmd);
int arena_stats(struct arena *a, struct bmem_client_stats *st);
int arena_pool_stats(struct arena *a, struct bmem_pool_stats *st);

/* ---- who.c -------------------------------------------------------- */

void who_init(struct books *bk, uint64_t now);
void who_label(struct books *bk, const char *label);
int arena_client_list(struct arena *a, struct bmem_client_list *cmd);

/* ---- registry.c -------------------------------------------------- */

int arena_alloc(struct arena *a, struct bmem_alloc_entry *entries, uint32_t nr,
		uint32_t *failed);
int arena_free(struct arena *a, struct bmem_free_entry *entries, uint32_t nr,
	       uint32_t *freed);

/* ---- slab.c ------------------------------------------------------ */

int arena_slots_get(struct arena *a, struct bmem_slots *cmd);
int arena_slots_put(struct arena *a, struct bmem_slots *cmd);

int adopt_span(struct arena *a, uint32_t start, uint32_t class,
	       uint32_t record);
int adopt_tensor(struct arena *a, const struct extent *like);

/* ---- listing.c --------------------------------------------------- */

int arena_info(struct arena *a, struct bmem_tensor_info *cmd);
int arena_list(struct arena *a, struct bmem_tensor_list *cmd);
void ledger_stats(struct arena *a, struct bmem_client_stats *st);

/* ---- callers.c; the lock is held for site_*() -------------------- */

int arena_name_site(struct arena *a, const struct bmem_site *cmd);
int arena_name_module(struct arena *a, const struct bmem_module *cmd);
int arena_module_info(struct arena *a, struct bmem_module_info *cmd);
int arena_site_frames(struct arena *a, struct bmem_site_frames *cmd);
int arena_site_list(struct arena *a, struct bmem_site_list *cmd);
struct caller *site_find(struct books *bk, uint32_t site);
struct caller *site_get(struct books *bk, uint32_t site);
void site_label(const struct books *bk, const struct caller *s,
		char label[BMEM_LABEL_LEN]);

/* ---- ledger.c; the lock is held ---------------------------------- */

/**
 * struct record_view - what a record says, as far as it makes sense
 * @live: there is a tensor
 * @bad: it says what cannot be
 * @bytes: exact size, or what was granted where it makes no sense
 * @site: call site
 * @ticks: when it was allocated, or how long it lived, in ticks
 * @gen: generation
 */
struct record_view {
	bool live;
	bool bad;
	uint64_t bytes;
	uint32_t site;
	uint32_t ticks;
	uint32_t gen;
};

int ledger_get(struct arena *a, uint32_t nr, uint32_t *first);
int ledger_take(struct arena *a, uint32_t first, uint32_t nr);
void ledger_put(struct arena *a, uint32_t first, uint32_t nr);
int record_get(struct arena *a, uint32_t *record);
void record_put(struct arena *a, uint32_t record);
void record_clear(struct arena *a, uint32_t record);
void record_write(struct arena *a, uint32_t record, uint64_t bytes,
		  uint32_t site);
void record_read(const struct arena *a, uint32_t record, uint64_t granted,
		 struct record_view *v);
uint64_t record_age(const struct arena *a, const struct record_view *v);
void ledger_trim(struct arena *a);

/* ---- extent.c; the lock is held ---------------------------------- */

int run_place(struct arena *a, enum place_policy policy, uint32_t *pages,
	      uint32_t align, uint32_t *start);
int run_take(struct arena *a, uint32_t start, uint32_t pages);
void run_unplace(struct arena *a, uint32_t start, uint32_t pages);
struct extent *extent_new(struct arena *a, uint32_t start, uint32_t pages);
void extent_gone(struct arena *a, struct extent *x);
struct extent *extent_at(const struct arena *a, uint64_t page);
struct extent *extent_covering(const struct arena *a, uint64_t page);
uint32_t extent_after(const struct arena *a, uint32_t page, uint32_t end);
void map_write(struct arena *a, uint32_t page, uint64_t entry);
void map_trim(struct arena *a);
void map_forget(struct arena *a, uint32_t chunk, uint32_t nr);

/* ---- heap.c; the lock is held ------------------------------------ */

void heap_insert(struct arena *a, uint32_t *root, uint32_t i);
void heap_remove(struct arena *a, uint32_t *root, uint32_t i);

/* ---- reuse.c; the lock is held ----------------------------------- */

uint32_t run_reuse(struct arena *a, uint32_t start, uint32_t pages,
		   uint32_t align);

/* ---- chunk.c; the lock is held, but for span_zero() -------------- */

bool chunk_absent(const struct arena *a, uint32_t chunk);
int span_attach(struct arena *a, uint32_t start, uint32_t pages);
void span_release(struct arena *a, uint32_t start, uint32_t pages);
void span_soil(struct arena *a, uint32_t start, uint32_t pages);
void span_zero(struct arena *a, uint32_t start, uint32_t pages);
uint64_t cache_most(const struct books *bk);
uint64_t cache_trim(struct arena *a, uint64_t keep);

/* Tensors, and spans of slots. */
static inline bool extent_slotted(const struct extent *x)
{
	return !x->gen;
}

static inline bool extent_recorded(const struct extent *x)
{
	return x->gen && x->flags & BMEM_ALLOC_RECORD;
}

static inline uint64_t extent_handle(const struct extent *x)
{
	return (uint64_t)x->gen << BMEM_SLOT_PLACE_BITS |
	       (uint64_t)x->page << (PAGE_SHIFT - PLACE_SHIFT);
}

static inline uint32_t extent_number(const struct arena *a,
				     const struct extent *x)
{
	return (uint32_t)(x - a->extents);
}

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
