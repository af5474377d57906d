// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of call sites: to programs by SITE_LIST and SITE_FRAMES, to people
 * by the file "sites".
 */
#include <linux/debugfs.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "bmem_private.h"

/* Rows that are made in one hold of a client's lock. */
#define ROWS_BATCH	32

/* ---- SITE_LIST ---------------------------------------------------------------------- */

/*
 * Rows of the sites from number *@cursor on, which moves behind the last.
 * Returns how many: fewer than @nr at the end.
 */
static int rows_by_number(struct bmem_client *client, u64 *cursor,
			  struct bmem_site_row *rows, u32 nr)
{
	struct site *site;
	u32 n = 0, now;

	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	if (client->dead) {
		mutex_unlock(&client->lock);
		return -ENOENT;
	}
	now = bmem_client_ticks(client);
	while (n < nr && (site = bmem_site_next(client, *cursor))) {
		bmem_pattern_row(site, now, &rows[n++]);
		*cursor = (u64)site->id + 1;
	}
	mutex_unlock(&client->lock);
	return n;
}

static int list_run(struct bmem_client *client, struct bmem_site_list *cmd,
		    struct bmem_site_row *rows)
{
	u32 told = 0, want;
	int n, rc;

	do {
		want = min_t(u32, cmd->nr - told, ROWS_BATCH);
		n = rows_by_number(client, &cmd->cursor, rows, want);
		if (n < 0)
			return n;
		rc = bmem_rows_tell(cmd->rows, told, cmd->row_size, rows,
				    sizeof(*rows), n);
		if (rc)
			return rc;
		told += n;
		cond_resched();
	} while (n == want && told < cmd->nr);
	cmd->nr = told;
	return 0;
}

static int list_client(struct bmem_client *client, struct bmem_site_list *cmd)
{
	struct bmem_site_row *rows;
	int rc = 0;

	rows = kvcalloc(ROWS_BATCH, sizeof(*rows), GFP_BMEM_META);
	if (!rows)
		return -ENOMEM;
	if (!cmd->cursor)
		rc = bmem_sweep(client, true);
	if (!rc)
		rc = list_run(client, cmd, rows);
	kvfree(rows);
	return rc;
}

/**
 * bmem_site_list() - BMEM_SITE_LIST
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_site_list(struct bmem_client *self, struct bmem_site_list *cmd)
{
	struct bmem_client *client;
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	rc = bmem_rows_check(cmd->nr, cmd->row_size,
			     offsetofend(struct bmem_site_row, label));
	if (rc)
		return rc;
	client = bmem_client_visible(self, cmd->client_id);
	if (!client)
		return -ENOENT;
	rc = list_client(client, cmd);
	bmem_client_put(client);
	return rc;
}

/* ---- SITE_FRAMES -------------------------------------------------------------------- */

static int frames_read(struct bmem_client *client, u32 id,
		       struct bmem_frame *to, u32 *nr)
{
	const struct site *site;
	u32 i;

	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	site = id ? bmem_site_find(client, id) : NULL;
	*nr = site && site->frames ? site->frames->nr : 0;
	for (i = 0; i < *nr; i++) {
		to[i].module = site->frames->at[i].module;
		to[i].__reserved = 0;
		to[i].offset = site->frames->at[i].offset;
	}
	mutex_unlock(&client->lock);
	return site ? 0 : -ENOENT;
}

/**
 * bmem_site_frames() - BMEM_SITE_FRAMES
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_site_frames(struct bmem_client *self, struct bmem_site_frames *cmd)
{
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	struct bmem_client *client;
	u32 room = cmd->nr, nr;
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (room > BMEM_FRAMES_MAX)
		return -EINVAL;
	client = bmem_client_visible(self, cmd->client_id);
	if (!client)
		return -ENOENT;
	rc = frames_read(client, cmd->site, frames, &nr);
	bmem_client_put(client);
	if (rc)
		return rc;
	cmd->nr = nr;
	if (nr > room)
		return -EMSGSIZE;
	if (copy_to_user(u64_to_user_ptr(cmd->frames), frames,
			 nr * sizeof(*frames)))
		return -EFAULT;
	return 0;
}

/* ---- the file ------------------------------------------------------------------------ */

static const char * const classes[] = {
	[BMEM_SITE_UNKNOWN] = "unknown",
	[BMEM_SITE_ONE_SHOT] = "one-shot",
	[BMEM_SITE_TEMPORARY] = "temporary",
	[BMEM_SITE_STEADY] = "steady",
	[BMEM_SITE_CACHE] = "cache",
	[BMEM_SITE_GROWING] = "growing",
};

/**
 * struct site_rank - where a site comes in its client's list
 * @live_bytes: at the time that the list was made
 * @id: the client's number for it
 */
struct site_rank {
	u64 live_bytes;
	u32 id;
};

/**
 * struct sites_iter - where a reader of "sites" is
 * @pos: number of the entry that @row is, 1 for the first
 * @client: id of the client that @rank is of
 * @rank: its sites, largest first
 * @nr: entries in @rank
 * @at: entry that comes next
 * @there: @row is to be shown; else the reader is at the end
 * @last: id of the last client
 * @tries: patience that is left
 * @strange: its struct site_table.strange for site 0, else 0
 * @row: the entry
 */
struct sites_iter {
	loff_t pos;
	u64 client;
	struct site_rank *rank;
	u32 nr;
	u32 at;
	bool there;
	u64 last;
	unsigned int tries;
	u64 strange;
	struct bmem_site_row row;
};

static int rank_cmp(const void *a, const void *b)
{
	const struct site_rank *x = a, *y = b;

	if (x->live_bytes != y->live_bytes)
		return x->live_bytes < y->live_bytes ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void rank_fill(struct bmem_client *client, struct sites_iter *iter,
		      u32 room)
{
	struct site *site;
	u64 id = 0;

	lockdep_assert_held(&client->lock);
	while (iter->nr < room && (site = bmem_site_next(client, id))) {
		iter->rank[iter->nr].live_bytes = site->live_bytes +
						  site->ledger_bytes;
		iter->rank[iter->nr++].id = site->id;
		id = (u64)site->id + 1;
	}
}

/* None of a client that stays busy: a report does not wait for it. */
static int rank_make(struct bmem_client *client, struct sites_iter *iter)
{
	u32 room;

	kvfree(iter->rank);
	iter->rank = NULL;
	iter->nr = 0;
	iter->at = 0;
	bmem_sweep(client, false);
	room = READ_ONCE(client->sites.nr) + 1;
	iter->rank = kvmalloc_array(room, sizeof(*iter->rank), GFP_KERNEL);
	if (!iter->rank)
		return -ENOMEM;
	if (bmem_client_lock(client, &iter->tries))
		return 0;
	rank_fill(client, iter, room);
	mutex_unlock(&client->lock);
	sort(iter->rank, iter->nr, sizeof(*iter->rank), rank_cmp, NULL);
	return 0;
}

/* Nobody needs to be told of a site 0 without any tensor so far. */
static bool worth_showing(const struct site *site, u64 strange)
{
	return site->id || site->allocs || site->live || site->ledger_live ||
	       strange;
}

static bool row_make(struct bmem_client *client, struct sites_iter *iter)
{
	struct site *site = bmem_site_find(client, iter->rank[iter->at].id);

	if (!site)
		return false;
	iter->strange = site->id ? 0 : client->sites.strange;
	bmem_pattern_row(site, bmem_client_ticks(client), &iter->row);
	return worth_showing(site, iter->strange);
}

/* The next row of a client. */
static bool sites_fetch(struct bmem_client *client, struct sites_iter *iter)
{
	bool found = false;

	while (!found && iter->at < iter->nr) {
		if (bmem_client_lock(client, &iter->tries)) {
			iter->at = iter->nr;
			break;
		}
		found = row_make(client, iter);
		mutex_unlock(&client->lock);
		iter->at++;
	}
	return found;
}

/* The next row of this client, or of one that comes after it. */
static struct sites_iter *sites_advance(struct sites_iter *iter)
{
	struct bmem_client *client = NULL;
	int rc = 0;

	iter->pos++;
	iter->there = false;
	if (iter->at < iter->nr)
		client = bmem_client_get(iter->client);
	for (;;) {
		if (client) {
			iter->there = sites_fetch(client, iter);
			bmem_client_put(client);
		}
		if (iter->there)
			return iter;
		client = bmem_client_next(iter->client, iter->last);
		if (!client || fatal_signal_pending(current))
			break;
		iter->client = client->who.id;
		rc = rank_make(client, iter);
		if (rc)
			break;
	}
	if (client)
		bmem_client_put(client);
	return ERR_PTR(rc);
}

static void sites_rewind(struct sites_iter *iter)
{
	kvfree(iter->rank);
	memset(iter, 0, sizeof(*iter));
}

static void *sites_start(struct seq_file *m, loff_t *pos)
{
	struct sites_iter *iter = m->private, *row;

	if (!*pos || *pos < iter->pos) {
		sites_rewind(iter);
		iter->last = bmem_clients_last();
		iter->tries = BMEM_REPORT_TRIES;
	}
	if (!*pos)
		return SEQ_START_TOKEN;
	/* The row was fetched, but there was no room to print it. */
	if (*pos == iter->pos)
		return iter->there ? iter : NULL;
	do {
		row = sites_advance(iter);
	} while (!IS_ERR_OR_NULL(row) && iter->pos < *pos);
	return row;
}

static void *sites_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return sites_advance(m->private);
}

static void sites_stop(struct seq_file *m, void *v)
{
}

/* The exact sizes, or how many there were from which size on. */
static void show_sizes(struct seq_file *m, const struct bmem_site_row *row)
{
	const char *comma = "";
	unsigned int i;

	if (!row->nr_sizes)
		seq_putc(m, '-');
	for (i = 0; row->nr_sizes <= BMEM_SITE_SIZES && i < row->nr_sizes; i++) {
		seq_printf(m, "%s%llu", comma, row->sizes[i]);
		comma = ",";
	}
	for (i = 0; row->nr_sizes > BMEM_SITE_SIZES && i < BMEM_SITE_BUCKETS;
	     i++) {
		if (!row->size_hist[i])
			continue;
		seq_printf(m, "%s%ux%llu+", comma, row->size_hist[i],
			   i ? 64ULL << 2 * i : 0);
		comma = ",";
	}
}

/* The lower end of the bucket that half of the lifetimes are in or below. */
static void show_life(struct seq_file *m, const struct bmem_site_row *row)
{
	int median = bmem_pattern_median(row->life_hist);

	if (median < 0)
		seq_puts(m, " - ");
	else
		seq_printf(m, " %u ", median ? BMEM_TICK_MS << (median - 1) : 0);
}

static int sites_show(struct seq_file *m, void *v)
{
	const struct sites_iter *iter = v;
	const struct bmem_site_row *row = &iter->row;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# client site class tensors live peak allocs frees first_ms last_ms reuse_ms strange frames sizes life_ms label\n");
		return 0;
	}
	seq_printf(m, "%llu %u %s %llu %llu %llu %llu %llu %llu %llu %llu %llu %u ",
		   iter->client, row->site, classes[row->site_class],
		   row->live_tensors, row->live_bytes, row->peak_bytes,
		   row->allocs, row->frees, row->first_ms, row->last_ms,
		   row->reuse_ms, iter->strange, row->nr_frames);
	show_sizes(m, row);
	show_life(m, row);
	bmem_show_name(m, row->label);
	seq_putc(m, '\n');
	return 0;
}

static const struct seq_operations sites_sops = {
	.start = sites_start,
	.next = sites_next,
	.stop = sites_stop,
	.show = sites_show,
};

static int sites_open(struct inode *inode, struct file *file)
{
	return seq_open_private(file, &sites_sops, sizeof(struct sites_iter));
}

static int sites_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;

	sites_rewind(m->private);
	return seq_release_private(inode, file);
}

static const struct file_operations sites_fops = {
	.owner = THIS_MODULE,
	.open = sites_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = sites_release,
};

/**
 * bmem_sitelist_debugfs() - make the file
 * @dir: where
 */
void bmem_sitelist_debugfs(struct dentry *dir)
{
	debugfs_create_file("sites", 0400, dir, NULL, &sites_fops);
}
