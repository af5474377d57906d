// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file "links": which tensors refer to which.
 */
#include <linux/debugfs.h>
#include <linux/sched/signal.h>

#include "bmem_private.h"

#define ROWS_BATCH	64

/**
 * struct links_iter - where a reader of "links" is
 * @pos: number of the entry that @row[@at] is, 1 for the first
 * @client: id of the client that the batch is of
 * @last: id of the last client
 * @cursor: where its next batch begins
 * @tries: patience that is left
 * @at: entry of the batch
 * @nr: entries in the batch
 * @tgid: process of the client
 * @row: the batch
 */
struct links_iter {
	loff_t pos;
	u64 client;
	u64 last;
	u64 cursor;
	unsigned int tries;
	u32 at;
	u32 nr;
	pid_t tgid;
	struct link_row row[ROWS_BATCH];
};

/* Until there is a row, or the client is at its end. */
static void iter_fill(struct links_iter *iter, struct bmem_client *client)
{
	u32 nr = 0;

	while (!nr && !fatal_signal_pending(current)) {
		if (bmem_client_lock(client, &iter->tries))
			return;
		iter->tgid = client->who.tgid;
		nr = bmem_links_rows(client, &iter->cursor, iter->row,
				     ROWS_BATCH);
		mutex_unlock(&client->lock);
		cond_resched();
	}
	iter->nr = nr == U32_MAX ? 0 : nr;
}

/* The next batch, of this client or of the next one that has links. */
static bool links_fetch(struct links_iter *iter)
{
	struct bmem_client *client = bmem_client_get(iter->client);

	iter->at = 0;
	iter->nr = 0;
	do {
		if (client) {
			iter_fill(iter, client);
			bmem_client_put(client);
		}
		if (iter->nr)
			return true;
		if (fatal_signal_pending(current))
			return false;
		client = bmem_client_next(iter->client, iter->last);
		if (client) {
			iter->client = client->who.id;
			iter->cursor = 0;
		}
	} while (client);
	return false;
}

static struct links_iter *links_advance(struct links_iter *iter)
{
	iter->pos++;
	if (iter->at + 1 < iter->nr) {
		iter->at++;
		return iter;
	}
	return links_fetch(iter) ? iter : NULL;
}

static void *links_start(struct seq_file *m, loff_t *pos)
{
	struct links_iter *iter = m->private, *row;

	if (!*pos || *pos < iter->pos) {
		memset(iter, 0, sizeof(*iter));
		iter->last = bmem_clients_last();
		iter->tries = BMEM_REPORT_TRIES;
	}
	if (!*pos)
		return SEQ_START_TOKEN;
	if (*pos == iter->pos)
		return iter->at < iter->nr ? iter : NULL;
	do {
		row = links_advance(iter);
	} while (row && iter->pos < *pos);
	return row;
}

static void *links_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return links_advance(m->private);
}

static void links_stop(struct seq_file *m, void *v)
{
}

static int links_show(struct seq_file *m, void *v)
{
	const struct links_iter *iter = v;
	const struct link_row *row;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# client tgid from to count\n");
		return 0;
	}
	row = &iter->row[iter->at];
	seq_printf(m, "%llu %d ", iter->client, iter->tgid);
	if (row->from)
		seq_printf(m, "%#llx", row->from);
	else
		seq_putc(m, '-');
	seq_printf(m, " %#llx %u\n", row->to, row->count);
	return 0;
}

static const struct seq_operations links_sops = {
	.start = links_start,
	.next = links_next,
	.stop = links_stop,
	.show = links_show,
};

static int links_open(struct inode *inode, struct file *file)
{
	return seq_open_private(file, &links_sops, sizeof(struct links_iter));
}

static const struct file_operations links_fops = {
	.owner = THIS_MODULE,
	.open = links_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

/**
 * bmem_linklist_debugfs() - make the file
 * @dir: where
 */
void bmem_linklist_debugfs(struct dentry *dir)
{
	debugfs_create_file("links", 0400, dir, NULL, &links_fops);
}
