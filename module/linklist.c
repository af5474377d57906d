// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file "links": which tensors refer to which.
 */
#include <linux/debugfs.h>
#include <linux/sched/signal.h>

#include "bmem_private.h"
#include "seqlist.h"

#define ROWS_BATCH	64

/**
 * struct links_iter - where a reader of "links" is
 * @list: where in the batch
 * @cursor: where the client's next batch begins
 * @tgid: process of the client
 * @row: the batch
 */
struct links_iter {
	struct seqlist list;
	u64 cursor;
	pid_t tgid;
	struct link_row row[ROWS_BATCH];
};

/* Until there is a row, or the client is at its end. */
static void links_fill(struct seqlist *list, struct bmem_client *client,
		       bool begin)
{
	struct links_iter *iter = container_of(list, struct links_iter, list);
	u32 nr = 0;

	if (begin)
		iter->cursor = 0;
	while (!nr && !fatal_signal_pending(current)) {
		if (bmem_client_lock(client, &list->tries))
			return;
		iter->tgid = client->who.tgid;
		nr = bmem_links_rows(client, &iter->cursor, iter->row,
				     ROWS_BATCH);
		mutex_unlock(&client->lock);
		cond_resched();
	}
	list->nr = nr == U32_MAX ? 0 : nr;
}

static const struct seqlist_type links_type = {
	.size = sizeof(struct links_iter),
	.fill = links_fill,
};

static int links_show(struct seq_file *m, void *v)
{
	const struct links_iter *iter = v;
	const struct link_row *row;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# client tgid from to count\n");
		return 0;
	}
	row = &iter->row[iter->list.at];
	seq_printf(m, "%llu %d ", iter->list.client, iter->tgid);
	if (row->from)
		seq_printf(m, "%#llx", row->from);
	else
		seq_putc(m, '-');
	seq_printf(m, " %#llx %u\n", row->to, row->count);
	return 0;
}

DEFINE_SEQLIST(links);

/**
 * bmem_linklist_debugfs() - make the file
 * @dir: where
 */
void bmem_linklist_debugfs(struct dentry *dir)
{
	debugfs_create_file("links", 0400, dir, NULL, &links_fops);
}
