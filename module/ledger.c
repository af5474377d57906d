// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ledger: what a process says of its slots, read without believing it.
 *
 * Records come in runs, one for each slab span or recorded tensor, placed as
 * spans are in the arena, with a record where that has a page.
 */
#include <linux/slab.h>

#include "bmem_private.h"

#define RECORDS_PAGE	(PAGE_SIZE / sizeof(struct bmem_record))
#define RECORDS_CHUNKS	(BMEM_RECORDS_MAX / PLACE_CHUNK_PAGES)

/* Tables begin with so many chunks and double. */
#define CHUNKS_MIN	8

/* Pages that a ledger may have whatever it uses. */
#define LEDGER_SLACK	16

/* A record that is being written is read again, so often. */
#define READ_TRIES	3

static_assert(sizeof(struct bmem_record) == 16);
static_assert(BMEM_RECORDS_MAX % PLACE_CHUNK_PAGES == 0);

/**
 * bmem_place_grow() - larger tables for a placement
 * @pl: placement
 * @least: chunks to begin with
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_place_grow(struct place *pl, u32 least)
{
	u32 chunks = min(pl->chunks ? 2 * pl->chunks : least, pl->chunks_max);
	void *table = kvzalloc(place_table_bytes(chunks), GFP_BMEM_META);

	if (!table)
		return -ENOMEM;
	kvfree(place_grow(pl, table, chunks));
	return 0;
}

/**
 * bmem_ledger_init() - an empty ledger
 * @client: client
 *
 * Return: 0 or a negative errno.
 */
int bmem_ledger_init(struct bmem_client *client)
{
	bmem_window_init(&client->ledger, client, BMEM_LEDGER_OFFSET);
	client->ledger_keep = LEDGER_SLACK;
	return place_init(&client->records, RECORDS_CHUNKS);
}

/**
 * bmem_ledger_destroy() - the client is gone
 * @client: client, locked
 */
void bmem_ledger_destroy(struct bmem_client *client)
{
	kvfree(place_table(&client->records));
	memset(&client->records, 0, sizeof(client->records));
	bmem_window_destroy(&client->ledger);
}

static struct bmem_record *record_at(struct bmem_client *client, u32 record)
{
	struct bmem_record *page = bmem_window_at(&client->ledger,
						  record / RECORDS_PAGE);

	return page + record % RECORDS_PAGE;
}

static bool page_unused(struct bmem_client *client, unsigned long index)
{
	const u64 *map = place_chunk_map(&client->records,
					 index * RECORDS_PAGE /
					 PLACE_CHUNK_PAGES);
	unsigned int i, words = RECORDS_PAGE / 64;

	map += index * RECORDS_PAGE % PLACE_CHUNK_PAGES / 64;
	for (i = 0; i < words; i++)
		if (map[i])
			return false;
	return true;
}

/**
 * bmem_ledger_trim() - give back pages that have no record in use
 * @client: client, locked
 */
void bmem_ledger_trim(struct bmem_client *client)
{
	struct page *page;
	unsigned long index;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->ledger.pages, index, page) {
		if (page_unused(client, index))
			bmem_window_remove(&client->ledger, index);
		if (fatal_signal_pending(current))
			return;
		cond_resched();
	}
	client->ledger_keep = LEDGER_SLACK + 2 * client->ledger.nr;
}

/* Most pages have hardly a record.  Else a trim is not worth its time. */
static bool ledger_sparse(const struct bmem_client *client)
{
	unsigned long need = client->records.pages_used / RECORDS_PAGE + 1;

	return client->ledger.nr > client->ledger_keep &&
	       client->ledger.nr > 4 * need;
}

/**
 * bmem_ledger_put() - a run of records is not used any more
 * @client: client, locked
 * @record: the first
 * @nr: how many
 */
void bmem_ledger_put(struct bmem_client *client, u32 record, u32 nr)
{
	place_free(&client->records, record, nr);
	if (ledger_sparse(client))
		bmem_ledger_trim(client);
}

/* A whole record; one that is written all the time is read as free. */
static u64 record_read(const struct bmem_record *rec, u64 *what)
{
	unsigned int tries;
	u64 head;

	for (tries = 0; tries < READ_TRIES; tries++) {
		/* Pairs with the process's release, see struct bmem_record. */
		head = smp_load_acquire(&rec->head);
		*what = READ_ONCE(rec->what);
		/* @what before @head again: what was written meanwhile shows. */
		smp_rmb();
		if (READ_ONCE(rec->head) == head)
			return head;
	}
	return head & ~BMEM_RECORD_STATE_MASK;
}

/* Pages for a run of records that is taken. */
static int ledger_back(struct bmem_client *client, u32 record, u32 nr)
{
	unsigned long page;

	for (page = record / RECORDS_PAGE;
	     page <= (record + nr - 1) / RECORDS_PAGE; page++)
		if (!bmem_window_add(&client->ledger, page))
			return -ENOMEM;
	return 0;
}

/**
 * bmem_ledger_clone() - the same run of records in a clone
 * @to: clone, locked
 * @from: client, locked; its process may be writing to them
 * @record: the first
 * @nr: how many
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_ledger_clone(struct bmem_client *to, struct bmem_client *from,
		      u32 record, u32 nr)
{
	int rc;
	u32 i;

	do {
		rc = place_take(&to->records, record, nr);
		if (rc == -EAGAIN && bmem_place_grow(&to->records, CHUNKS_MIN))
			return -ENOMEM;
	} while (rc == -EAGAIN);
	rc = rc ?: ledger_back(to, record, nr);
	for (i = record; !rc && i < record + nr; i++) {
		struct bmem_record *rec = record_at(from, i);
		u64 what = 0, head = 0;

		if (!PageHWPoison(virt_to_page(rec)))
			head = record_read(rec, &what);
		rec = record_at(to, i);
		WRITE_ONCE(rec->what, what);
		WRITE_ONCE(rec->head, head);
	}
	return rc;
}

/**
 * bmem_ledger_get() - a run of records, all free
 * @client: client, locked
 * @nr: how many, at least 1
 * @record: out, the first
 *
 * Return: 0, -ENOSPC when the ledger is full, -ENOMEM.
 */
int bmem_ledger_get(struct bmem_client *client, u32 nr, u32 *record)
{
	u32 i;
	int rc;

	lockdep_assert_held(&client->lock);
	do {
		rc = place_alloc(&client->records, nr, 1, record);
		if (rc == -EAGAIN && bmem_place_grow(&client->records,
						     CHUNKS_MIN))
			return -ENOMEM;
	} while (rc == -EAGAIN);
	if (rc)
		return rc;
	rc = ledger_back(client, *record, nr);
	if (rc) {
		bmem_ledger_put(client, *record, nr);
		return rc;
	}
	for (i = 0; i < nr; i++)
		bmem_ledger_clear(client, *record + i);
	return 0;
}

/**
 * bmem_ledger_clear() - make a record free, with generation 0
 * @client: client, locked
 * @record: record that is in use
 */
void bmem_ledger_clear(struct bmem_client *client, u32 record)
{
	struct bmem_record *rec = record_at(client, record);

	WRITE_ONCE(rec->head, 0);
	WRITE_ONCE(rec->what, 0);
}

/**
 * bmem_ledger_write() - the first tensor of a record
 * @client: client, locked
 * @record: record
 * @bytes: exact size
 * @site: number of its site
 */
void bmem_ledger_write(struct bmem_client *client, u32 record, u64 bytes,
		       u32 site)
{
	struct bmem_record *rec = record_at(client, record);

	WRITE_ONCE(rec->what, (u64)site << BMEM_RECORD_SITE_SHIFT |
			      bmem_client_ticks(client));
	/* Pairs with the acquire of record_read(), and the process's own. */
	smp_store_release(&rec->head, bytes << BMEM_RECORD_SIZE_SHIFT |
				      1 << BMEM_RECORD_GEN_SHIFT |
				      BMEM_RECORD_LIVE);
}

static enum ledger_state state_of(u64 head, u64 granted)
{
	u64 bytes = head >> BMEM_RECORD_SIZE_SHIFT;

	switch (head & BMEM_RECORD_STATE_MASK) {
	case BMEM_RECORD_FREE:
	case BMEM_RECORD_SEEN:
		return LEDGER_IDLE;
	case BMEM_RECORD_LIVE:
		return bytes && bytes <= granted ? LEDGER_LIVE : LEDGER_BAD;
	default:
		return LEDGER_BAD;
	}
}

/**
 * bmem_ledger_read() - what a record says
 * @client: client, locked
 * @record: record that is in use
 * @see: mark it as seen, if it is free
 * @v: in, @v->offset and @v->granted; out, all else
 */
void bmem_ledger_read(struct bmem_client *client, u32 record, bool see,
		      struct ledger_view *v)
{
	struct bmem_record *rec = record_at(client, record);
	u64 what = 0, head = BMEM_RECORD_STATE_MASK;

	lockdep_assert_held(&client->lock);
	/* Memory that has failed is not read: then it is no record. */
	if (!PageHWPoison(virt_to_page(rec)))
		head = record_read(rec, &what);
	v->record = record;
	v->state = state_of(head, v->granted);
	v->bytes = v->granted;
	if (v->state == LEDGER_LIVE)
		v->bytes = head >> BMEM_RECORD_SIZE_SHIFT;
	v->site = what >> BMEM_RECORD_SITE_SHIFT;
	v->ticks = what;
	v->gen = head >> BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK;
	v->fresh = false;
	if (v->state != LEDGER_IDLE)
		return;
	if (see && v->gen && !(head & BMEM_RECORD_STATE_MASK))
		v->fresh = cmpxchg(&rec->head, head,
				   head | BMEM_RECORD_SEEN) == head;
	v->bytes = min(head >> BMEM_RECORD_SIZE_SHIFT, v->granted);
	/* Where nothing is recorded, a slot that is out is a tensor. */
	if (bmem_control_level(client) == BMEM_LEVEL_OFF) {
		v->state = LEDGER_LIVE;
		v->bytes = v->granted;
		v->site = 0;
	}
}
