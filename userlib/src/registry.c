// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback's registry: which tensors there are, and where they come from.
 *
 * A tensor is placed and given memory first, and enters the registry last,
 * when nothing can fail any more.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "arena.h"

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- tensors ----------------------------------------------------- */

static uint32_t pages_of(uint64_t bytes)
{
	return (uint32_t)((bytes + BMEM_PAGE_SIZE - 1) >> PAGE_SHIFT);
}

static bool starts_at(const struct arena *a, uint32_t page)
{
	return a->starts[page / 64] >> (page % 64) & 1;
}

static uint64_t handle_of(uint32_t page, uint32_t gen)
{
	return (uint64_t)gen << 32 | page;
}

static struct record *record_by_handle(struct arena *a, uint64_t handle)
{
	uint32_t page = (uint32_t)handle;
	struct record *r;

	if ((uint64_t)page << PAGE_SHIFT >= a->backing.len ||
	    !starts_at(a, page))
		return NULL;
	r = &a->records[page];
	return r->gen == handle >> 32 ? r : NULL;
}

static uint32_t page_of(const struct arena *a, const struct record *r)
{
	return (uint32_t)(r - a->records);
}

/* Last page up to @page at which a tensor begins; @page + 1 if none. */
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

/* First page from @page on, before @end, at which one begins; @end if none. */
static uint32_t start_after(const struct arena *a, uint32_t page, uint32_t end)
{
	uint64_t bits;

	for (; page < end; page = next_word(page)) {
		bits = a->starts[page / 64] >> (page % 64);
		if (bits)
			return page + (uint32_t)__builtin_ctzll(bits);
	}
	return end;
}

static struct record *record_covering(struct arena *a, uint64_t offset)
{
	uint32_t page, start;

	if (offset >= a->backing.len)
		return NULL;
	page = (uint32_t)(offset >> PAGE_SHIFT);
	start = start_before(a, page);
	if (start > page || page - start >= a->records[start].pages)
		return NULL;
	return &a->records[start];
}

static void describe(const struct arena *a, const struct record *r,
		     struct bmem_tensor *t)
{
	uint32_t page = page_of(a, r);

	*t = (struct bmem_tensor) {
		.handle = handle_of(page, r->gen),
		.offset = (uint64_t)page << PAGE_SHIFT,
		.bytes = r->bytes,
		.granted = (uint64_t)r->pages << PAGE_SHIFT,
		.age_ms = now_ms() - r->born_ms,
		.site = r->site,
		.flags = r->flags,
	};
}

/* ---- call sites -------------------------------------------------- */

/* The entry of a site, or the free one where it belongs. */
static struct site_name *site_slot(struct books *bk, uint32_t site)
{
	uint32_t at = site % SITE_SLOTS;

	/* At most half of the slots are ever used, so one is free. */
	while (bk->sites[at].site && bk->sites[at].site != site)
		at = (at + 1) % SITE_SLOTS;
	return &bk->sites[at];
}

static struct site_name *site_get(struct books *bk, uint32_t site)
{
	struct site_name *s = site_slot(bk, site);

	if (s->site)
		return s;
	if (bk->st.sites >= BMEM_SITES_MAX)
		return NULL;
	s->site = site;
	bk->st.sites++;
	return s;
}

/**
 * arena_name_site() - BMEM_SITE
 * @a: arena
 * @site: number, not 0
 * @label: name, checked
 *
 * Return: 0, -ENOSPC or -ENOTRECOVERABLE.
 */
int arena_name_site(struct arena *a, uint32_t site, const char *label)
{
	struct site_name *s;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	s = site_get(a->books, site);
	if (s)
		memcpy(s->label, label, sizeof(s->label));
	arena_unlock(a);
	return s ? 0 : -ENOSPC;
}

/* ---- alloc ------------------------------------------------------- */

static int entry_check(const struct bmem_alloc_entry *e)
{
	if (e->flags & ~BMEM_ALLOC_ZERO || e->__reserved)
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

static int entry_place(struct arena *a, const struct bmem_alloc_entry *e,
		       uint32_t *start)
{
	uint32_t pages = pages_of(e->bytes);
	uint32_t align = max_u32(e->align >> PAGE_SHIFT, 1);
	struct place *pl = &a->books->place;
	int ret;

	for (;;) {
		ret = place_alloc(pl, pages, align, start);
		if (ret != -EAGAIN)
			break;
		arena_grow(a);
	}
	if (ret)
		return ret;
	ret = span_attach(a, *start, pages);
	/* Nothing was counted, so there is nothing to release. */
	if (ret)
		place_free(pl, *start, pages);
	return ret;
}

static void batch_undo(struct arena *a, const struct bmem_alloc_entry *e,
		       const uint32_t *starts, uint32_t nr)
{
	uint32_t pages;

	while (nr--) {
		pages = pages_of(e[nr].bytes);
		place_free(&a->books->place, starts[nr], pages);
		span_release(a, starts[nr], pages);
	}
}

static int batch_place(struct arena *a, const struct bmem_alloc_entry *e,
		       uint32_t nr, uint32_t *starts, uint32_t *failed)
{
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = entry_place(a, &e[i], &starts[i]);
		if (!ret)
			continue;
		batch_undo(a, e, starts, i);
		*failed = i;
		return ret;
	}
	return 0;
}

static uint32_t next_gen(struct books *bk)
{
	if (!++bk->gen)
		bk->gen = 1;
	return bk->gen;
}

/* Enter a placed tensor in the books.  Nothing can fail any more. */
static void publish(struct arena *a, struct bmem_alloc_entry *e,
		    uint32_t start, uint64_t now)
{
	struct bmem_client_stats *st = &a->books->st;
	struct record *r = &a->records[start];

	*r = (struct record) {
		.bytes = e->bytes,
		.born_ms = now,
		.pages = pages_of(e->bytes),
		.site = e->site,
		.flags = e->flags,
		.gen = next_gen(a->books),
	};
	a->starts[start / 64] |= 1ULL << (start % 64);
	/* A site without room stays nameless; its tensor is none the worse. */
	if (e->site)
		(void)site_get(a->books, e->site);

	e->handle = handle_of(start, r->gen);
	e->offset = (uint64_t)start << PAGE_SHIFT;
	e->granted = (uint64_t)r->pages << PAGE_SHIFT;

	st->allocs++;
	st->live_tensors++;
	st->live_bytes += e->bytes;
	st->granted_bytes += e->granted;
	if (st->live_bytes > st->peak_live_bytes)
		st->peak_live_bytes = st->live_bytes;
}

static bool too_large(const struct arena *a, uint64_t bytes)
{
	return bytes > a->books->limit || bytes > a->backing.len;
}

static int batch_alloc(struct arena *a, struct bmem_alloc_entry *e,
		       uint32_t nr, uint64_t bytes, uint32_t *failed)
{
	uint32_t starts[BMEM_BATCH_MAX], i;
	uint64_t now = now_ms();
	int ret;

	if (too_large(a, bytes))
		ret = -EFBIG;
	else
		ret = batch_place(a, e, nr, starts, failed);
	if (ret) {
		a->books->st.failed++;
		return ret;
	}
	for (i = 0; i < nr; i++)
		publish(a, &e[i], starts[i], now);
	return 0;
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
	uint64_t bytes;
	uint32_t i;
	int ret;

	ret = batch_check(e, nr, &bytes, failed);
	if (!ret)
		ret = arena_lock(a);
	if (ret)
		return ret;
	ret = batch_alloc(a, e, nr, bytes, failed);
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

static void tensor_free(struct arena *a, struct record *r)
{
	struct bmem_client_stats *st = &a->books->st;
	uint32_t start = page_of(a, r);

	st->frees++;
	st->live_tensors--;
	st->live_bytes -= r->bytes;
	st->granted_bytes -= (uint64_t)r->pages << PAGE_SHIFT;
	a->starts[start / 64] &= ~(1ULL << (start % 64));
	span_soil(a, start, r->pages);
	place_free(&a->books->place, start, r->pages);
	span_release(a, start, r->pages);
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
	struct record *r;
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++)
		if (e[i].__reserved)
			return -EOPNOTSUPP;
	ret = arena_lock(a);
	if (ret)
		return ret;
	for (*freed = 0, i = 0; i < nr; i++) {
		r = record_by_handle(a, e[i].handle);
		e[i].result = r ? 0 : -ENOENT;
		if (!r)
			continue;
		tensor_free(a, r);
		++*freed;
	}
	arena_unlock(a);
	return 0;
}

/* ---- questions --------------------------------------------------- */

/**
 * arena_info() - BMEM_TENSOR_INFO
 * @a: arena
 * @cmd: checked
 *
 * Return: 0, -ENOENT or -ENOTRECOVERABLE.
 */
int arena_info(struct arena *a, struct bmem_tensor_info *cmd)
{
	struct record *r;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	r = cmd->flags & BMEM_INFO_OFFSET ? record_covering(a, cmd->offset) :
					    record_by_handle(a, cmd->handle);
	memset(cmd->label, 0, sizeof(cmd->label));
	if (r) {
		describe(a, r, &cmd->tensor);
		if (r->site)
			memcpy(cmd->label, site_slot(a->books, r->site)->label,
			       sizeof(cmd->label));
	}
	arena_unlock(a);
	return r ? 0 : -ENOENT;
}

static bool list_wants(const struct bmem_tensor_list *cmd,
		       const struct bmem_tensor *t)
{
	if (cmd->flags & BMEM_LIST_SITE && t->site != cmd->site)
		return false;
	return t->bytes >= cmd->min_bytes && t->age_ms >= cmd->min_age_ms;
}

/**
 * arena_list() - BMEM_TENSOR_LIST
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_list(struct arena *a, struct bmem_tensor_list *cmd)
{
	struct bmem_tensor *out = (void *)(uintptr_t)cmd->entries;
	uint32_t n = 0, page, end;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	end = a->books->place.chunks * PLACE_CHUNK_PAGES;
	page = cmd->cursor < end ? (uint32_t)cmd->cursor : end;
	while (n < cmd->nr) {
		page = start_after(a, page, end);
		if (page == end)
			break;
		describe(a, &a->records[page], &out[n]);
		n += list_wants(cmd, &out[n]);
		page++;
	}
	arena_unlock(a);
	cmd->cursor = page;
	cmd->nr = n;
	return 0;
}
