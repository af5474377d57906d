// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback's arena as a whole: its lock, its figures, begin and end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"

#define CACHE_DEFAULT	(16ULL << 20)
#define SPACE_MIN	(64ULL << 20)
#define SPACE_DEFAULT	(64ULL << 30)
#define SPACE_MAX	((uint64_t)PLACE_CHUNKS_MAX << HUGE_SHIFT)

/* How much larger than the memory the space is, so that gaps can be found. */
#define SPACE_RATIO	4

/**
 * arena_lock() - have the books to oneself
 * @a: arena
 *
 * Return: 0, or -ENOTRECOVERABLE when a process died in here.
 */
int arena_lock(struct arena *a)
{
	int err = guard_lock(&a->books->lock);

	/* Unlocked without being made consistent, it is dead for good. */
	if (err == EOWNERDEAD)
		pthread_mutex_unlock(&a->books->lock);
	if (err)
		guards_inside--;
	return err ? -ENOTRECOVERABLE : 0;
}

/**
 * arena_unlock() - let others have them
 * @a: arena
 */
void arena_unlock(struct arena *a)
{
	guard_unlock(&a->books->lock);
}

/**
 * table_forget() - give memory of a table back
 * @a: arena, locked
 * @from: where it begins, a page
 * @bytes: length, whole pages; they read as zero afterwards
 *
 * Return: 0, or a negative errno and nothing has changed.
 */
int table_forget(const struct arena *a, void *from, size_t bytes)
{
	int advice = a->backing.private ? MADV_DONTNEED : MADV_REMOVE;

	return madvise(from, bytes, advice) ? -errno : 0;
}

static int lock_init(struct arena *a)
{
	struct books *bk = a->books;
	pthread_mutexattr_t attr;
	int err;

	/* All zero is unlocked. */
	if (a->backing.private)
		return 0;
	err = pthread_mutexattr_init(&attr);
	if (err)
		return -err;
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	err = pthread_mutex_init(&bk->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -err;
}

/**
 * clock_now() - read the time, and advance the clock that all see
 * @a: arena, locked
 *
 * Nobody advances the clock between calls, so it is as late as the last call
 * of this client is old.
 *
 * Return: milliseconds of the coarse monotonic clock.
 */
uint64_t clock_now(struct arena *a)
{
	struct timespec ts;
	uint64_t ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	__atomic_store_n(&a->clock->ticks, (uint32_t)(ms / BMEM_TICK_MS),
			 __ATOMIC_RELAXED);
	return ms;
}

/* Memory of the books, as far as it was ever written to. */
static uint64_t meta_bytes(const struct arena *a)
{
	const struct books *bk = a->books;
	uint64_t bytes;

	bytes = offsetof(struct books, modules) +
		(uint64_t)bk->st.sites * (sizeof(struct caller) +
					  2 * sizeof(*bk->site_slots));
	bytes += (uint64_t)bk->frames_top * sizeof(*bk->frames) +
		 bk->texts_top + (uint64_t)bk->rows_top * sizeof(*bk->rows);
	bytes += place_table_bytes(bk->place.chunks) +
		 place_table_bytes(bk->ledger.chunks);
	bytes += (uint64_t)bk->extents_top * sizeof(struct extent);
	/* The index, the bitmaps and the states. */
	bytes += (uint64_t)bk->place.chunks *
		 (PLACE_CHUNK_PAGES / INDEX_PAGES * sizeof(*a->index) +
		  2 * PLACE_CHUNK_WORDS * sizeof(uint64_t) + 6);
	return bytes + bk->st.ledger_bytes + bk->st.span_map_bytes;
}

/**
 * arena_stats() - BMEM_CLIENT_STATS
 * @a: arena
 * @st: out; @st->size and @st->flags stay
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_stats(struct arena *a, struct bmem_client_stats *st)
{
	uint32_t size = st->size, flags = st->flags;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	*st = a->books->st;
	st->size = size;
	st->flags = flags;
	if (!a->backing.huge)
		st->base_bytes = st->attached_bytes;
	st->cache_limit_bytes = cache_most(a->books);
	st->level = a->control->level;
	st->meta_bytes = meta_bytes(a);
	if (flags & BMEM_STATS_LEDGER)
		ledger_stats(a, st);
	arena_unlock(a);
	return 0;
}

/**
 * arena_pool_stats() - BMEM_POOL_STATS: the fallback's one pool
 * @a: arena
 * @st: out, zeroed but for what is asked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_pool_stats(struct arena *a, struct bmem_pool_stats *st)
{
	const struct bmem_client_stats *cs = &a->books->st;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	st->clients = 1;
	st->gid = BMEM_GID_ANY;
	st->limit_bytes = a->books->limit;
	st->total_bytes = cs->attached_bytes;
	st->attached_bytes = cs->attached_bytes;
	st->peak_attached_bytes = cs->peak_attached_bytes;
	st->failed = cs->failed;
	if (a->backing.huge) {
		st->huge_taken = a->books->chunks_taken;
		st->huge_given = a->books->chunks_given;
	} else {
		st->base_bytes = cs->attached_bytes;
		st->fallbacks = a->books->chunks_taken;
	}
	arena_unlock(a);
	strcpy(st->name, "memfd");
	return 0;
}

static void level_set(struct arena *a, uint32_t level)
{
	__atomic_store_n(&a->control->level, level, __ATOMIC_RELAXED);
}

/**
 * arena_bind() - BMEM_BIND, but for the pool
 * @a: arena
 * @bind: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_bind(struct arena *a, const struct bmem_bind *bind)
{
	struct books *bk = a->books;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	if (bind->flags & BMEM_BIND_CACHE) {
		bk->cache_fixed = true;
		bk->st.cache_limit_bytes = bind->cache_bytes &
					   ~(BMEM_HUGE_SIZE - 1ULL);
		cache_trim(a, bind->cache_bytes);
	}
	if (bind->flags & BMEM_BIND_LEVEL)
		level_set(a, bind->level);
	if (bind->flags & BMEM_BIND_POLICY)
		bk->st.policy = bind->policy;
	if (bind->flags & BMEM_BIND_LABEL)
		who_label(bk, bind->label);
	arena_unlock(a);
	return 0;
}

/**
 * arena_trim() - BMEM_TRIM
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_trim(struct arena *a, struct bmem_trim *cmd)
{
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	cmd->trimmed_bytes = cache_trim(a, cmd->keep_bytes);
	ledger_trim(a);
	map_trim(a);
	if (cmd->flags & BMEM_TRIM_POOL)
		__atomic_fetch_add(&a->control->recall, 1, __ATOMIC_RELAXED);
	arena_unlock(a);
	return 0;
}

/* The next table of a mapping: where it begins, a page of its own. */
static void *table(uintptr_t *at, size_t bytes)
{
	uintptr_t here = *at;

	*at += (bytes + BMEM_PAGE_SIZE - 1) & ~(BMEM_PAGE_SIZE - 1UL);
	return (void *)here;
}

/*
 * How long the ledger is: twice what the space has room for, since ranges of
 * records need to fit between others.
 */
static uint32_t records_for(size_t len)
{
	size_t records = 2 * len >> PLACE_SHIFT;

	return records < BMEM_RECORDS_MAX ? (uint32_t)records :
					    BMEM_RECORDS_MAX;
}

/* Lay out the tables one behind the other; returns where they end. */
static uintptr_t layout(struct arena *a, uintptr_t at, size_t len)
{
	size_t pages = len >> PAGE_SHIFT, chunks = len >> HUGE_SHIFT;
	size_t bits = chunks * PLACE_CHUNK_WORDS * sizeof(uint64_t);
	uint32_t records = a->nr_records ? a->nr_records : records_for(len);
	uint32_t parts = records / PLACE_CHUNK_PAGES;

	a->nr_records = records;
	a->clock = table(&at, sizeof(*a->clock));
	a->control = table(&at, sizeof(*a->control));
	a->books = table(&at, sizeof(*a->books));
	a->map = table(&at, pages * sizeof(*a->map));
	a->records = table(&at, records * sizeof(*a->records));
	a->starts = table(&at, bits);
	a->dirty = table(&at, bits);
	a->state = table(&at, chunks);
	a->since = table(&at, chunks * sizeof(*a->since));
	a->map_state = table(&at, chunks);
	a->ledger_state = table(&at, parts);
	a->index = table(&at, pages / INDEX_PAGES * sizeof(*a->index));
	a->extents = table(&at, (pages + 1) * sizeof(*a->extents));
	a->tables = table(&at, 2 * place_table_bytes((uint32_t)chunks));
	a->ledger_tables = table(&at, 2 * place_table_bytes(parts));
	return at;
}

static int tables_map(struct arena *a, size_t len)
{
	int flags = a->backing.private ? MAP_PRIVATE : MAP_SHARED;
	size_t bytes = layout(a, 0, len);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* They are sparse. */
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
	layout(a, (uintptr_t)p, len);
	a->mapping = p;
	a->mapping_len = bytes;
	return 0;
}

static uint64_t new_id(void)
{
	static _Atomic uint32_t serial;

	return (uint64_t)getpid() << 32 | (atomic_fetch_add(&serial, 1) + 1);
}

static int books_init(struct arena *a, uint64_t limit)
{
	struct books *bk = a->books;
	int ret;

	ret = place_init(&bk->place, (uint32_t)(a->backing.len >> HUGE_SHIFT));
	if (!ret)
		ret = place_init(&bk->ledger,
				 a->nr_records / PLACE_CHUNK_PAGES);
	if (ret)
		return ret;
	bk->limit = limit;
	bk->st.client_id = new_id();
	bk->st.pool = BMEM_POOL_DEFAULT;
	bk->st.cache_limit_bytes = CACHE_DEFAULT;
	bk->st.policy = BMEM_PLACE_AUTO;
	level_set(a, BMEM_LEVEL_STANDARD);
	who_init(bk, clock_now(a));
	a->control->epoch = a->clock->ticks;
	return lock_init(a);
}

static int try_open(struct arena *a, uint64_t limit, size_t len)
{
	int ret;

	ret = backing_open(&a->backing, len, a->backing.private);
	if (ret)
		return ret;
	ret = tables_map(a, len);
	if (ret) {
		backing_close(&a->backing);
		return ret;
	}
	ret = books_init(a, limit);
	if (ret) {
		munmap(a->mapping, a->mapping_len);
		backing_close(&a->backing);
	}
	return ret;
}

static uint64_t memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) :
			   SPACE_DEFAULT;
}

static uint64_t round_up_huge(uint64_t bytes)
{
	return (bytes + BMEM_HUGE_SIZE - 1) & ~(uint64_t)(BMEM_HUGE_SIZE - 1);
}

/* A power of two that leaves room for gaps between tensors. */
static uint64_t space_for(uint64_t limit, uint64_t least)
{
	uint64_t len = limit < SPACE_MAX / SPACE_RATIO / 2 ?
		       2 * pow2_below(limit * SPACE_RATIO - 1) : SPACE_MAX;

	return len > least ? len : least;
}

static int open_largest(struct arena *a, uint64_t limit, uint64_t len)
{
	int ret;

	ret = space_bound(&len);
	while (!ret) {
		a->nr_records = 0;
		ret = try_open(a, limit, len);
		if (ret != -ENOMEM || len == BMEM_HUGE_SIZE)
			break;
		len /= 2;
		ret = 0;
	}
	return ret;
}

/**
 * arena_open() - make an arena
 * @limit: most bytes that may be attached; 0 for all that the machine has
 * @private: a child of fork() gets a copy of it
 * @err: out, a negative errno on failure
 *
 * Return: the arena, or NULL.
 */
struct arena *arena_open(uint64_t limit, bool private, int *err)
{
	uint64_t least = limit ? SPACE_MIN : SPACE_DEFAULT;
	struct arena *a = scratch_get(sizeof(*a));

	*err = -ENOMEM;
	if (!a)
		return NULL;
	a->backing.private = private;
	if (!limit)
		limit = memory_bytes();
	if (limit > SPACE_MAX)
		limit = SPACE_MAX;
	limit = round_up_huge(limit);
	*err = open_largest(a, limit, space_for(limit, least));
	if (!*err)
		return a;
	scratch_put(a, sizeof(*a));
	return NULL;
}

/**
 * arena_empty() - make a private arena of a certain size
 * @len: of its space
 * @nr_records: length of its ledger
 * @err: out, a negative errno on failure
 *
 * Return: the arena, without a limit, or NULL.
 */
struct arena *arena_empty(size_t len, uint32_t nr_records, int *err)
{
	struct arena *a = scratch_get(sizeof(*a));

	*err = -ENOMEM;
	if (!a)
		return NULL;
	a->backing.private = true;
	a->nr_records = nr_records;
	*err = try_open(a, len, len);
	if (!*err)
		return a;
	scratch_put(a, sizeof(*a));
	return NULL;
}

/* All of the arena's mapping is still to be its own when this is gone from it. */
static int table_move(void *table, size_t bytes, const void *to)
{
	bytes = (bytes + BMEM_PAGE_SIZE - 1) & ~(BMEM_PAGE_SIZE - 1UL);
	if (mremap(table, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
	    MAP_FAILED)
		return -errno;
	return mmap(table, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_NORESERVE | MAP_FIXED, -1, 0) == table ? 0 : -errno;
}

/**
 * arena_window() - have clock and control page in a client's window
 * @a: arena that nobody else has yet, or in a process with one thread
 * @c: the client, which unmaps them
 *
 * Return: 0, or a negative errno.
 */
int arena_window(struct arena *a, struct bmem_client *c)
{
	struct bmem_control *control = (void *)(c->window + BMEM_PAGE_SIZE);
	int flags = a->backing.private ? MAP_PRIVATE : MAP_SHARED;
	struct bmem_clock *clock = (void *)c->window;

	/* In place of what is mapped there: at no time is there a hole. */
	if (mmap(clock, sizeof(c->window), PROT_READ | PROT_WRITE,
		 flags | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		return -errno;
	*clock = *a->clock;
	*control = *a->control;
	/* The first ones are not written to any more. */
	(void)table_forget(a, a->clock, BMEM_PAGE_SIZE);
	(void)table_forget(a, a->control, BMEM_PAGE_SIZE);
	a->clock = clock;
	a->control = control;
	return 0;
}

/**
 * arena_move() - move an arena to where a client of the device is mapped
 * @a: arena, in a process with one thread
 * @c: client, with as much mapped of everything
 *
 * What is mapped there is no more, but whoever has a pointer to it finds the
 * same there.  The ledger stays where it is if the client has none.
 *
 * Return: 0, or a negative errno and both are in pieces.
 */
int arena_move(struct arena *a, struct bmem_client *c)
{
	size_t map = (a->backing.len >> PAGE_SHIFT) * sizeof(*a->map);
	size_t records = a->nr_records * sizeof(*a->records);
	int ret;

	if (mremap(a->backing.base, a->backing.len, a->backing.len,
		   MREMAP_MAYMOVE | MREMAP_FIXED, c->base) == MAP_FAILED)
		return -errno;
	a->backing.base = c->base;
	ret = arena_window(a, c);
	if (!ret)
		ret = table_move(a->map, map, c->spans);
	if (!ret && c->records)
		ret = table_move(a->records, records, c->ledger);
	if (ret)
		return ret;
	a->map = (uint64_t *)(uintptr_t)c->spans;
	if (c->records)
		a->records = c->ledger;
	a->apart = true;
	return 0;
}

static void tables_unmap(struct arena *a)
{
	char *end = a->mapping + a->mapping_len;

	munmap(a->mapping, a->mapping_len);
	if (!a->apart)
		return;
	munmap(a->map, (a->backing.len >> PAGE_SHIFT) * sizeof(*a->map));
	if ((char *)a->records < a->mapping || (char *)a->records >= end)
		munmap(a->records, a->nr_records * sizeof(*a->records));
}

/**
 * arena_fork() - a private arena becomes two
 * @a: arena; nobody may be in a call of it meanwhile
 * @step: what is under way
 */
void arena_fork(struct arena *a, enum fork_step step)
{
	struct books *bk = a->books;

	switch (step) {
	case FORK_PREPARE:
		a->held = guard_hold(&bk->lock);
		break;
	case FORK_PARENT:
		guard_leave(&bk->lock, a->held);
		break;
	case FORK_CHILD:
		bk->st.client_id = new_id();
		guard_leave(&bk->lock, a->held);
		break;
	}
}

/**
 * arena_close() - unmake an arena, as far as this process is concerned
 * @a: arena
 */
void arena_close(struct arena *a)
{
	/* Not destroyed: another process may have the mutex. */
	tables_unmap(a);
	backing_close(&a->backing);
	scratch_put(a, sizeof(*a));
}
