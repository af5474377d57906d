// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of debugfs that list something of all clients.
 */
#include <linux/sched/signal.h>

#include "bmem_private.h"
#include "seqlist.h"

/* The next batch, of this client or of the next one that has any. */
static bool fetch(struct seqlist *list, const struct seqlist_type *type)
{
	struct bmem_client *client = bmem_client_get(list->client);
	bool begin = false;

	list->at = 0;
	list->nr = 0;
	do {
		if (client) {
			type->fill(list, client, begin);
			bmem_client_put(client);
		}
		if (list->nr)
			return true;
		if (fatal_signal_pending(current))
			return false;
		client = bmem_client_next(list->client, list->last);
		if (client) {
			list->client = client->who.id;
			begin = true;
		}
	} while (client);
	return false;
}

/* The entry that the reader is at, NULL behind the last. */
static struct seqlist *entry(struct seqlist *list,
			     const struct seqlist_type *type)
{
	return list->over || (list->end && !type->totals) ? NULL : list;
}

static struct seqlist *advance(struct seqlist *list,
			       const struct seqlist_type *type)
{
	list->pos++;
	list->over = list->end;
	if (list->at + 1 < list->nr)
		list->at++;
	else if (!list->end)
		list->end = !fetch(list, type);
	return entry(list, type);
}

/**
 * seqlist_start() - as seq_operations.start
 * @m: of a file that was opened with a struct seqlist as private part
 * @pos: number of an entry
 * @type: the list
 *
 * Return: the reader's struct seqlist, SEQ_START_TOKEN for the line of headings,
 * or NULL at the end.
 */
void *seqlist_start(struct seq_file *m, loff_t *pos,
		    const struct seqlist_type *type)
{
	struct seqlist *list = m->private, *at;

	if (!*pos || *pos < list->pos) {
		memset(list, 0, type->size);
		list->last = bmem_clients_last();
		list->tries = BMEM_REPORT_TRIES;
	}
	if (!*pos)
		return SEQ_START_TOKEN;
	/* It was fetched, but there was no room to print it. */
	if (*pos == list->pos)
		return entry(list, type);
	do {
		at = advance(list, type);
	} while (at && list->pos < *pos);
	return at;
}

/**
 * seqlist_next() - as seq_operations.next
 * @m: as for seqlist_start()
 * @pos: number of the entry, counted up
 * @type: the list
 *
 * Return: as seqlist_start().
 */
void *seqlist_next(struct seq_file *m, loff_t *pos,
		   const struct seqlist_type *type)
{
	++*pos;
	return advance(m->private, type);
}

/**
 * seqlist_stop() - as seq_operations.stop: nothing is held
 * @m: file
 * @v: entry
 */
void seqlist_stop(struct seq_file *m, void *v)
{
}
