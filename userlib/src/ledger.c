// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The ledger, seen from the side that believes nothing in it: which records
 * are in use the books know; what is in them anybody may have written.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena.h"

#define LEDGER_FIRST	16U
#define LEDGER_PART	(PLACE_CHUNK_PAGES * sizeof(struct bmem_record))

/* A record that changes whenever it is looked at is looked at so often. */
#define READ_TRIES	4

static void ledger_grow(struct arena *a)
{
	struct place *pl = &a->books->ledger;
	uint32_t chunks = pl->chunks ? 2 * pl->chunks : LEDGER_FIRST;

	chunks = min_u32(chunks, pl->chunks_max);
	place_grow(pl, a->ledger_tables + place_table_bytes(chunks), chunks);
}

static void count_parts(struct arena *a, uint32_t first, uint32_t nr)
{
	uint32_t last = (first + nr - 1) / PLACE_CHUNK_PAGES, part;

	for (part = first / PLACE_CHUNK_PAGES; part <= last; part++) {
		if (a->ledger_state[part])
			continue;
		a->ledger_state[part] = 1;
		a->books->st.ledger_bytes += LEDGER_PART;
	}
}

/**
 * ledger_get() - records in a row
 * @a: arena
 * @nr: how many
 * @first: out, the first
 *
 * Return: 0, or -ENOSPC when the ledger is full.
 */
int ledger_get(struct arena *a, uint32_t nr, uint32_t *first)
{
	int ret;

	for (;;) {
		ret = place_alloc(&a->books->ledger, nr, 1, first);
		if (ret != -EAGAIN)
			break;
		ledger_grow(a);
	}
	if (!ret)
		count_parts(a, *first, nr);
	return ret;
}

/**
 * ledger_take() - certain records in a row, which nobody has
 * @a: arena
 * @first: the first
 * @nr: how many
 *
 * Return: 0, or -EINVAL when the ledger is not so long.
 */
int ledger_take(struct arena *a, uint32_t first, uint32_t nr)
{
	int ret;

	for (;;) {
		ret = place_take(&a->books->ledger, first, nr);
		if (ret != -EAGAIN)
			break;
		ledger_grow(a);
	}
	if (!ret)
		count_parts(a, first, nr);
	return ret;
}

/**
 * ledger_put() - give them back
 * @a: arena
 * @first: the first
 * @nr: how many
 */
void ledger_put(struct arena *a, uint32_t first, uint32_t nr)
{
	place_free(&a->books->ledger, first, nr);
}

/**
 * record_get() - one record
 * @a: arena
 * @record: out
 *
 * Return: 0, or -ENOSPC when the ledger is full.
 */
int record_get(struct arena *a, uint32_t *record)
{
	struct books *bk = a->books;

	if (!bk->nr_spare)
		return ledger_get(a, 1, record);
	*record = bk->spare[--bk->nr_spare];
	return 0;
}

/**
 * record_put() - give it back
 * @a: arena
 * @record: from record_get()
 *
 * A few are kept: the tables of placement take longer than all the rest of a
 * small tensor.
 */
void record_put(struct arena *a, uint32_t record)
{
	struct books *bk = a->books;

	if (bk->nr_spare < SPARE_RECORDS)
		bk->spare[bk->nr_spare++] = record;
	else
		ledger_put(a, record, 1);
}

/**
 * record_clear() - make a record free, with generation 0
 * @a: arena
 * @record: number
 */
void record_clear(struct arena *a, uint32_t record)
{
	struct bmem_record *r = &a->records[record];

	__atomic_store_n(&r->head, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->what, 0, __ATOMIC_RELAXED);
}

/**
 * record_write() - the first tensor of a record
 * @a: arena
 * @record: number
 * @bytes: exact size
 * @site: call site
 */
void record_write(struct arena *a, uint32_t record, uint64_t bytes,
		  uint32_t site)
{
	struct bmem_record *r = &a->records[record];
	uint32_t ticks = a->clock->ticks - a->control->epoch;

	__atomic_store_n(&r->what,
			 (uint64_t)site << BMEM_RECORD_SITE_SHIFT | ticks,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&r->head,
			 bytes << BMEM_RECORD_SIZE_SHIFT |
			 1ULL << BMEM_RECORD_GEN_SHIFT | BMEM_RECORD_LIVE,
			 __ATOMIC_RELEASE);
}

/**
 * record_read() - what a record says
 * @a: arena
 * @record: number
 * @granted: the most that its tensor can have
 * @v: out
 *
 * A record that is torn at every look counts as free: nothing in it lives for
 * as long as a look takes.
 */
void record_read(const struct arena *a, uint32_t record, uint64_t granted,
		 struct record_view *v)
{
	const struct bmem_record *r = &a->records[record];
	uint64_t head, what, again, state;
	int tries = READ_TRIES;

	do {
		head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		what = __atomic_load_n(&r->what, __ATOMIC_ACQUIRE);
		again = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
	} while (head != again && --tries);

	state = head & BMEM_RECORD_STATE_MASK;
	*v = (struct record_view) {
		.live = head == again && state != BMEM_RECORD_FREE &&
			state != BMEM_RECORD_SEEN,
		.bytes = head >> BMEM_RECORD_SIZE_SHIFT,
		.site = (uint32_t)(what >> BMEM_RECORD_SITE_SHIFT),
		.ticks = (uint32_t)what,
		.gen = head >> BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK,
	};
	/* Where nothing is recorded, what is out is a tensor. */
	if (!v->live && a->control->level == BMEM_LEVEL_OFF) {
		v->live = true;
		v->bytes = granted;
		v->site = 0;
		return;
	}
	if (!v->live)
		return;
	v->bad = state != BMEM_RECORD_LIVE || !v->bytes || v->bytes > granted;
	if (v->bad)
		v->bytes = granted;
}

/**
 * record_age() - how old a live tensor is
 * @a: arena
 * @v: what its record says
 *
 * Return: milliseconds; 0 for what is yet to come.
 */
uint64_t record_age(const struct arena *a, const struct record_view *v)
{
	uint32_t now = a->clock->ticks - a->control->epoch;

	return v->ticks < now ? (uint64_t)(now - v->ticks) * BMEM_TICK_MS : 0;
}

/**
 * ledger_trim() - give back memory of the ledger that no record is in
 * @a: arena
 */
void ledger_trim(struct arena *a)
{
	struct books *bk = a->books;
	uint32_t part;

	while (bk->nr_spare)
		ledger_put(a, bk->spare[--bk->nr_spare], 1);
	for (part = 0; part < bk->ledger.chunks; part++) {
		if (!a->ledger_state[part] ||
		    place_chunk_used(&bk->ledger, part))
			continue;
		if (table_forget(a, (char *)a->records + part * LEDGER_PART,
				 LEDGER_PART))
			continue;
		a->ledger_state[part] = 0;
		bk->st.ledger_bytes -= LEDGER_PART;
	}
}
