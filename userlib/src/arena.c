// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback's arena as a whole: its lock, its figures, begin and end.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"

/* Tables of placement begin with so many chunks and double. */
#define CHUNKS_FIRST	16U

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
	int err = pthread_mutex_lock(&a->books->lock);

	/* Unlocked without being made consistent, it is dead for good. */
	if (err == EOWNERDEAD)
		pthread_mutex_unlock(&a->books->lock);
	return err ? -ENOTRECOVERABLE : 0;
}

/**
 * arena_unlock() - let others have them
 * @a: arena
 */
void arena_unlock(struct arena *a)
{
	pthread_mutex_unlock(&a->books->lock);
}

static int lock_init(struct books *bk)
{
	pthread_mutexattr_t attr;
	int err;

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
 * arena_grow() - tables for twice as many chunks
 * @a: arena, locked
 */
void arena_grow(struct arena *a)
{
	struct place *pl = &a->books->place;
	uint32_t chunks = pl->chunks ? 2 * pl->chunks : CHUNKS_FIRST;

	chunks = min_u32(chunks, pl->chunks_max);
	/* The old tables stay where they are; they are half as large. */
	place_grow(pl, a->tables + place_table_bytes(chunks), chunks);
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
	uint32_t size = st->size;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	*st = a->books->st;
	st->size = size;
	if (!a->backing.huge)
		st->base_bytes = st->attached_bytes;
	st->meta_bytes = sizeof(struct books) +
			 place_table_bytes(a->books->place.chunks) +
			 st->live_tensors * sizeof(struct record);
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

/**
 * arena_set_cache() - BMEM_BIND with BMEM_BIND_CACHE
 * @a: arena
 * @bytes: new bound
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_set_cache(struct arena *a, uint64_t bytes)
{
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	a->books->st.cache_limit_bytes = bytes & ~(BMEM_HUGE_SIZE - 1ULL);
	cache_trim(a, bytes);
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
	arena_unlock(a);
	return 0;
}

/* Lay out the tables one behind the other; returns where they end. */
static uintptr_t layout(struct arena *a, uintptr_t at, size_t len)
{
	size_t pages = len >> PAGE_SHIFT, chunks = len >> HUGE_SHIFT;
	size_t bits = chunks * PLACE_CHUNK_WORDS * sizeof(uint64_t);

	a->books = (void *)at;
	at += (sizeof(*a->books) + 63) & ~63UL;
	a->starts = (void *)at;
	at += bits;
	a->dirty = (void *)at;
	at += bits;
	a->state = (void *)at;
	at += (chunks + 63) & ~63UL;
	a->records = (void *)at;
	at += pages * sizeof(*a->records);
	a->tables = (void *)at;
	return at + 2 * place_table_bytes((uint32_t)chunks);
}

static int tables_map(struct arena *a, size_t len)
{
	size_t bytes = layout(a, 0, len);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	layout(a, (uintptr_t)p, len);
	a->books_len = bytes;
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
	if (ret)
		return ret;
	bk->limit = limit;
	bk->st.client_id = new_id();
	bk->st.pool = BMEM_POOL_DEFAULT;
	bk->st.cache_limit_bytes = CACHE_DEFAULT;
	return lock_init(bk);
}

static int try_open(struct arena *a, uint64_t limit, size_t len)
{
	int ret;

	ret = backing_open(&a->backing, len);
	if (ret)
		return ret;
	ret = tables_map(a, len);
	if (ret) {
		backing_close(&a->backing);
		return ret;
	}
	ret = books_init(a, limit);
	if (ret) {
		munmap(a->books, a->books_len);
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
 * @err: out, a negative errno on failure
 *
 * Return: the arena, or NULL.
 */
struct arena *arena_open(uint64_t limit, int *err)
{
	uint64_t least = limit ? SPACE_MIN : SPACE_DEFAULT;
	struct arena *a = scratch_get(sizeof(*a));

	*err = -ENOMEM;
	if (!a)
		return NULL;
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
 * arena_close() - unmake an arena, as far as this process is concerned
 * @a: arena
 */
void arena_close(struct arena *a)
{
	/* Not destroyed: another process may have the mutex. */
	munmap(a->books, a->books_len);
	backing_close(&a->backing);
	scratch_put(a, sizeof(*a));
}
