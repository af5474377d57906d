// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback's registry: tensors of whole pages, allocated and freed.
 *
 * A tensor is placed and given memory first, and enters the registry last,
 * when nothing can fail any more.
 */
#include <errno.h>

#include "arena.h"

static uint32_t pages_of(uint64_t bytes)
{
	return (uint32_t)((bytes + BMEM_PAGE_SIZE - 1) >> PAGE_SHIFT);
}

/* ---- alloc ------------------------------------------------------- */

static int entry_check(const struct bmem_alloc_entry *e)
{
	if (e->flags & ~(BMEM_ALLOC_ZERO | BMEM_ALLOC_RECORD) || e->__reserved)
		return -EOPNOTSUPP;
	if (!e->bytes)
		return -EINVAL;
	if (e->align && (e->align & (e->align - 1) ||
			 e->align < BMEM_ALIGN_MIN ||
			 e->align > BMEM_ALIGN_MAX))
		return -EINVAL;
	return e->bytes > UINT64_MAX - BMEM_PAGE_SIZE ? -EOVERFLOW : 0;
}

/* Check a batch; @failed is the entry that is to blame. */
static int batch_check(const struct bmem_alloc_entry *e, uint32_t nr,
		       uint64_t *bytes, uint32_t *failed)
{
	uint64_t granted;
	uint32_t i;
	int ret;

	*bytes = 0;
	for (i = 0; i < nr; i++) {
		*failed = i;
		ret = entry_check(&e[i]);
		if (ret)
			return ret;
		granted = (e[i].bytes + BMEM_PAGE_SIZE - 1) &
			  ~(uint64_t)(BMEM_PAGE_SIZE - 1);
		if (__builtin_add_overflow(*bytes, granted, bytes))
			return -EOVERFLOW;
	}
	*failed = 0;
	return 0;
}

/**
 * struct spot - where an entry's tensor will be
 * @start: first page
 * @pages: length
 * @record: its record, if it has one
 */
struct spot {
	uint32_t start;
	uint32_t pages;
	uint32_t record;
};

/* No selector measures here: left to itself, a client gets the best fit. */
static enum place_policy policy_of(const struct books *bk)
{
	switch (bk->st.policy) {
	case BMEM_PLACE_FIRST:
		return PLACE_FIRST;
	case BMEM_PLACE_BUDDY:
		return PLACE_BUDDY;
	default:
		return PLACE_BEST;
	}
}

static int entry_place(struct arena *a, const struct bmem_alloc_entry *e,
		       struct spot *spot)
{
	int ret;

	spot->pages = pages_of(e->bytes);
	ret = run_place(a, policy_of(a->books), &spot->pages,
			max_u32(e->align >> PAGE_SHIFT, 1), &spot->start);
	if (ret || !(e->flags & BMEM_ALLOC_RECORD))
		return ret;
	ret = record_get(a, &spot->record);
	if (ret)
		run_unplace(a, spot->start, spot->pages);
	return ret;
}

static void batch_undo(struct arena *a, const struct bmem_alloc_entry *e,
		       const struct spot *spots, uint32_t nr)
{
	while (nr--) {
		if (e[nr].flags & BMEM_ALLOC_RECORD)
			record_put(a, spots[nr].record);
		run_unplace(a, spots[nr].start, spots[nr].pages);
	}
}

static int batch_place(struct arena *a, const struct bmem_alloc_entry *e,
		       uint32_t nr, struct spot *spots, uint32_t *failed)
{
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = entry_place(a, &e[i], &spots[i]);
		if (!ret)
			continue;
		batch_undo(a, e, spots, i);
		*failed = i;
		return ret;
	}
	return 0;
}

static uint32_t next_gen(struct books *bk)
{
	bk->gen = (bk->gen + 1) & GEN_MASK;
	if (!bk->gen)
		bk->gen = 1;
	return bk->gen;
}

/* Tell the process by the span map that there is a tensor, or no longer. */
static void tensor_enter(struct arena *a, const struct extent *x, bool in)
{
	uint64_t entry = BMEM_SPAN_TENSOR |
			 (uint64_t)x->gen << BMEM_SPAN_ARG_SHIFT;

	if (extent_recorded(x))
		entry |= BMEM_SPAN_RECORDED |
			 (uint64_t)x->record << BMEM_SPAN_RECORD_SHIFT;
	if (x->pages == 1)
		entry |= BMEM_SPAN_SINGLE;
	else
		map_write(a, x->page + 1,
			  in ? BMEM_SPAN_MORE |
			       (uint64_t)x->pages << BMEM_SPAN_ARG_SHIFT : 0);
	map_write(a, x->page, in ? entry : 0);
}

static void count_new(struct books *bk, const struct extent *x)
{
	struct bmem_client_stats *st = &bk->st;

	if (extent_recorded(x))
		st->recorded++;
	else
		bk->plain++;
	st->allocs++;
	st->live_tensors++;
	st->live_bytes += x->bytes;
	st->granted_bytes += (uint64_t)x->pages << PAGE_SHIFT;
	if (st->live_bytes > st->peak_live_bytes)
		st->peak_live_bytes = st->live_bytes;
}

/* Enter a placed tensor in the books.  Nothing can fail any more. */
static void publish(struct arena *a, struct bmem_alloc_entry *e,
		    const struct spot *spot, uint64_t now)
{
	struct extent *x = extent_new(a, spot->start, spot->pages);

	x->gen = next_gen(a->books);
	x->record = spot->record;
	x->bytes = e->bytes;
	x->born_ms = now;
	x->site = e->site;
	x->flags = e->flags;
	if (extent_recorded(x))
		record_write(a, x->record, x->bytes, x->site);
	tensor_enter(a, x, true);
	/* A site without room stays nameless; its tensor is none the worse. */
	if (e->site)
		(void)site_get(a->books, e->site);
	count_new(a->books, x);
	e->handle = extent_handle(x);
	e->offset = (uint64_t)x->page << PAGE_SHIFT;
	e->granted = (uint64_t)x->pages << PAGE_SHIFT;
}

static bool too_large(const struct arena *a, uint64_t bytes)
{
	return bytes > a->books->limit || bytes > a->backing.len;
}

static int batch_alloc(struct arena *a, struct bmem_alloc_entry *e,
		       uint32_t nr, uint64_t bytes, struct spot *spots,
		       uint32_t *failed)
{
	uint64_t now = clock_now(a);
	uint32_t i;
	int ret;

	if (too_large(a, bytes))
		ret = -EFBIG;
	else
		ret = batch_place(a, e, nr, spots, failed);
	if (ret) {
		a->books->st.failed++;
		return ret;
	}
	for (i = 0; i < nr; i++)
		publish(a, &e[i], &spots[i], now);
	return 0;
}

/* A thread that allocates one at a time may have the least stack there is. */
static __attribute__((noinline))
int many_alloc(struct arena *a, struct bmem_alloc_entry *e, uint32_t nr,
	       uint64_t bytes, uint32_t *failed)
{
	struct spot spots[BMEM_BATCH_MAX];

	return batch_alloc(a, e, nr, bytes, spots, failed);
}

/**
 * arena_alloc() - BMEM_ALLOC
 * @a: arena
 * @e: entries
 * @nr: how many
 * @failed: out, the entry that is to blame
 *
 * Return: 0 or an errno of the ABI, or -ENOTRECOVERABLE.
 */
int arena_alloc(struct arena *a, struct bmem_alloc_entry *e, uint32_t nr,
		uint32_t *failed)
{
	struct spot spot;
	uint64_t bytes;
	uint32_t i;
	int ret;

	ret = batch_check(e, nr, &bytes, failed);
	if (!ret)
		ret = arena_lock(a);
	if (ret)
		return ret;
	ret = nr == 1 ? batch_alloc(a, e, nr, bytes, &spot, failed) :
			many_alloc(a, e, nr, bytes, failed);
	arena_unlock(a);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++)
		if (e[i].flags & BMEM_ALLOC_ZERO)
			span_zero(a, (uint32_t)(e[i].offset >> PAGE_SHIFT),
				  (uint32_t)(e[i].granted >> PAGE_SHIFT));
	return 0;
}

/* ---- free -------------------------------------------------------- */

static void record_end(struct arena *a, const struct extent *x)
{
	struct record_view v;

	record_read(a, x->record, (uint64_t)x->pages << PAGE_SHIFT, &v);
	a->books->past += v.gen;
	record_put(a, x->record);
	a->books->st.recorded--;
}

static void tensor_free(struct arena *a, struct extent *x)
{
	struct bmem_client_stats *st = &a->books->st;

	st->frees++;
	st->live_tensors--;
	st->live_bytes -= x->bytes;
	st->granted_bytes -= (uint64_t)x->pages << PAGE_SHIFT;
	tensor_enter(a, x, false);
	if (extent_recorded(x))
		record_end(a, x);
	extent_gone(a, x);
}

static struct extent *tensor_by_handle(struct arena *a, uint64_t handle)
{
	struct extent *x;

	x = extent_at(a, (handle & PLACE_MASK) >> (PAGE_SHIFT - PLACE_SHIFT));
	return x && !extent_slotted(x) && extent_handle(x) == handle ? x : NULL;
}

/**
 * arena_free() - BMEM_FREE
 * @a: arena
 * @e: entries
 * @nr: how many
 * @freed: out, how many were live
 *
 * Return: 0, -EOPNOTSUPP or -ENOTRECOVERABLE.
 */
int arena_free(struct arena *a, struct bmem_free_entry *e, uint32_t nr,
	       uint32_t *freed)
{
	struct extent *x;
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++)
		if (e[i].__reserved)
			return -EOPNOTSUPP;
	ret = arena_lock(a);
	if (ret)
		return ret;
	clock_now(a);
	for (*freed = 0, i = 0; i < nr; i++) {
		x = tensor_by_handle(a, e[i].handle);
		e[i].result = x ? 0 : -ENOENT;
		if (!x)
			continue;
		tensor_free(a, x);
		++*freed;
	}
	arena_unlock(a);
	return 0;
}

/**
 * adopt_tensor() - enter a tensor of another arena at its place
 * @a: arena that nobody uses yet
 * @like: the tensor
 *
 * Return: 0, or a negative errno.
 */
int adopt_tensor(struct arena *a, const struct extent *like)
{
	struct extent *x;
	uint32_t peer;
	int ret;

	ret = run_take(a, like->page, like->pages);
	if (!ret && extent_recorded(like))
		ret = ledger_take(a, like->record, 1);
	if (ret)
		return ret;
	x = extent_new(a, like->page, like->pages);
	peer = x->peer;
	*x = *like;
	x->peer = peer;
	if (x->gen > a->books->gen)
		a->books->gen = x->gen;
	tensor_enter(a, x, true);
	if (x->site)
		(void)site_get(a->books, x->site);
	count_new(a->books, x);
	return 0;
}
