// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/bmem: what there is, for people and scripts.
 *
 * Summaries have one "key: value" a line.  Lists have a line that starts with
 * '#' and names the columns, then a line an entry; names in them have spaces,
 * backslashes and all that is not printable ASCII as octal escapes, and an
 * empty one is "-".  All sizes
 * are bytes.  No lock is held from one entry to the next.
 */
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#include <linux/uaccess.h>

#include "bmem_private.h"
#include "event.h"
#include "seqlist.h"

static struct dentry *dir;

/* Octal escapes for what is not plain, for backslashes, and for @more. */
static void show_escaped(struct seq_file *m, const char *text,
			 const char *more)
{
	seq_escape_str(m, text, ESCAPE_OCTAL | ESCAPE_NAP | ESCAPE_APPEND,
		       more);
}

/**
 * bmem_show_name() - print a name as one word
 * @m: where to
 * @name: user-provided text
 */
void bmem_show_name(struct seq_file *m, const char *name)
{
	if (name[0])
		show_escaped(m, name, " \\");
	else
		seq_putc(m, '-');
}

/**
 * bmem_show_text() - print user-provided text at the end of a line
 * @m: where to
 * @text: text, may have spaces
 */
void bmem_show_text(struct seq_file *m, const char *text)
{
	show_escaped(m, text, "\\");
}

/**
 * bmem_get_word() - the word that a file is told by one write
 * @from: what was written
 * @nr: its length
 * @word: out, where it is put
 * @size: room there; what is written is shorter
 *
 * Return: the word without the white space around it, or an ERR_PTR: -EINVAL for
 * nothing and for too much, -EFAULT.
 */
char *bmem_get_word(const char __user *from, size_t nr, char *word, size_t size)
{
	if (!nr || nr >= size)
		return ERR_PTR(-EINVAL);
	if (copy_from_user(word, from, nr))
		return ERR_PTR(-EFAULT);
	word[nr] = 0;
	return strim(word);
}

/* ---- stats ------------------------------------------------------------------ */

static void sum_clients(struct bmem_client_stats *sum)
{
	u64 id = 0, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;
	struct bmem_client *client;

	while (!fatal_signal_pending(current) &&
	       (client = bmem_client_next(id, last))) {
		struct bmem_client_stats st = {};
		char pool[BMEM_POOL_NAME_LEN];
		struct bmem_identity who;
		bool there;

		id = client->who.id;
		there = bmem_client_report(client, &st, &who, pool, &tries);
		bmem_client_put(client);
		if (!there)
			continue;
		sum->live_tensors += st.live_tensors;
		sum->live_bytes += st.live_bytes;
		sum->granted_bytes += st.granted_bytes;
		sum->attached_bytes += st.attached_bytes;
		sum->base_bytes += st.base_bytes;
		sum->cached_bytes += st.cached_bytes;
		sum->queued_bytes += st.queued_bytes;
		sum->meta_bytes += st.meta_bytes;
		sum->slots += st.slots;
		sum->span_bytes += st.span_bytes;
		sum->idle_bytes += st.idle_bytes;
		sum->ledger_bytes += st.ledger_bytes;
		sum->ledger_bad += st.ledger_bad;
		cond_resched();
	}
}

static int stats_show(struct seq_file *m, void *v)
{
	struct bmem_client_stats sum = {};
	u64 buried, dropped, raised, merged, overrun;
	u32 ids[BMEM_POOLS_MAX], pools;

	sum_clients(&sum);
	bmem_pool_ids(ids, &pools);
	bmem_tombstones_count(&buried, &dropped);
	bmem_events_count(&raised, &merged, &overrun);

	seq_printf(m, "clients: %u\n", bmem_clients_count());
	seq_printf(m, "clients_total: %llu\n", READ_ONCE(bmem_clients_opened));
	seq_printf(m, "tensors: %llu\n", sum.live_tensors);
	seq_printf(m, "live_bytes: %llu\n", sum.live_bytes);
	seq_printf(m, "granted_bytes: %llu\n", sum.granted_bytes);
	seq_printf(m, "attached_bytes: %llu\n", sum.attached_bytes);
	seq_printf(m, "base_bytes: %llu\n", sum.base_bytes);
	seq_printf(m, "cached_bytes: %llu\n", sum.cached_bytes);
	seq_printf(m, "queued_bytes: %llu\n", sum.queued_bytes);
	seq_printf(m, "meta_bytes: %llu\n", sum.meta_bytes);
	seq_printf(m, "slots: %llu\n", sum.slots);
	seq_printf(m, "span_bytes: %llu\n", sum.span_bytes);
	seq_printf(m, "idle_bytes: %llu\n", sum.idle_bytes);
	seq_printf(m, "ledger_bytes: %llu\n", sum.ledger_bytes);
	seq_printf(m, "ledger_bad: %llu\n", sum.ledger_bad);
	seq_printf(m, "pools: %u\n", pools);
	seq_printf(m, "space_bytes: %llu\n", bmem_bytes(bmem_space_pages));
	seq_printf(m, "failures: %llu\n", bmem_failures_count());
	seq_printf(m, "tombstones: %llu\n", buried - dropped);
	seq_printf(m, "tombstones_total: %llu\n", buried);
	seq_printf(m, "tombstones_dropped: %llu\n", dropped);
	seq_printf(m, "events: %llu\n", raised);
	seq_printf(m, "events_merged: %llu\n", merged);
	seq_printf(m, "events_overrun: %llu\n", overrun);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

/* ---- pools -------------------------------------------------------------------- */

static const char * const policies[] = {
	[BMEM_POLICY_LOCAL] = "local",
	[BMEM_POLICY_BIND] = "bind",
	[BMEM_POLICY_INTERLEAVE] = "interleave",
};

static void show_pool(struct seq_file *m, const struct bmem_pool_stats *st,
		      const char *node)
{
	seq_printf(m, "%u %s %s %s %u %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu\n",
		   st->pool, st->name, node, policies[st->policy], st->clients,
		   st->limit_bytes, st->reserve_bytes, st->total_bytes,
		   st->zeroed_bytes, st->dirty_bytes, st->zeroing_bytes,
		   st->attached_bytes, st->escaped_bytes, st->base_bytes,
		   st->peak_attached_bytes, st->huge_taken, st->huge_given,
		   st->fallbacks, st->promoted, st->failed, st->shared_bytes);
}

static int pools_show(struct seq_file *m, void *v)
{
	u32 ids[BMEM_POOLS_MAX], nr, i;
	char node[16];
	int nid;

	seq_puts(m, "# id name node policy clients limit reserve total zeroed dirty zeroing attached escaped base peak_attached huge_taken huge_given fallbacks promoted failed shared\n");
	bmem_pool_ids(ids, &nr);
	for (i = 0; i < nr; i++) {
		struct bmem_pool_stats st = { .pool = ids[i] };

		if (bmem_pool_stats(&st))
			continue;
		show_pool(m, &st, "all");
		if (num_node_state(N_MEMORY) == 1)
			continue;
		for_each_node_state(nid, N_MEMORY) {
			struct bmem_pool_stats on = {
				.pool = ids[i],
				.flags = BMEM_STATS_NODE,
				.nid = nid,
			};

			if (bmem_pool_stats(&on))
				break;
			snprintf(node, sizeof(node), "%d", nid);
			show_pool(m, &on, node);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pools);

/* ---- clients -------------------------------------------------------------------- */

/*
 * A list's position is the index of its entry; the private part keeps up with
 * it, so that going on costs no walk from the start.
 */
struct clients_iter {
	loff_t pos;
	u64 id;
	u64 last;
	unsigned int tries;
};

static void clients_rewind(struct clients_iter *iter)
{
	iter->pos = 0;
	iter->id = 0;
	iter->last = bmem_clients_last();
	iter->tries = BMEM_REPORT_TRIES;
}

static struct bmem_client *clients_advance(struct clients_iter *iter)
{
	struct bmem_client *client = bmem_client_next(iter->id, iter->last);

	/* At the end no id follows, so that it stays the end. */
	iter->id = client ? client->who.id : U64_MAX;
	iter->pos++;
	return client;
}

static void *clients_start(struct seq_file *m, loff_t *pos)
{
	struct clients_iter *iter = m->private;
	struct bmem_client *client;

	if (!*pos) {
		clients_rewind(iter);
		return SEQ_START_TOKEN;
	}
	if (iter->pos == *pos) {
		/* The entry was fetched, but there was no room to print it. */
		client = bmem_client_get(iter->id);
		if (client)
			return client;
		iter->pos--;
	} else if (iter->pos > *pos) {
		clients_rewind(iter);
	}
	do {
		client = clients_advance(iter);
		if (iter->pos == *pos || !client)
			return client;
		bmem_client_put(client);
	} while (true);
}

static void *clients_next(struct seq_file *m, void *v, loff_t *pos)
{
	if (v != SEQ_START_TOKEN)
		bmem_client_put(v);
	++*pos;
	return clients_advance(m->private);
}

static void clients_stop(struct seq_file *m, void *v)
{
	if (v && v != SEQ_START_TOKEN)
		bmem_client_put(v);
}

static int clients_show(struct seq_file *m, void *v)
{
	struct clients_iter *iter = m->private;
	struct bmem_client *client = v;
	struct bmem_client_stats st = {};
	struct bmem_identity who;
	char pool[BMEM_POOL_NAME_LEN];

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# id tgid uid comm pool age_ms tensors live granted attached base cached peak_live peak_attached allocs frees failed promoted escaped meta maps sites shared cgroup label\n");
		return 0;
	}
	if (!bmem_client_report(client, &st, &who, pool, &iter->tries))
		return SEQ_SKIP;

	seq_printf(m, "%llu %d %u ", who.id, who.tgid,
		   from_kuid_munged(&init_user_ns, who.uid));
	bmem_show_name(m, who.comm);
	seq_printf(m, " %s %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %d %u %llu %llu ",
		   pool,
		   div_u64(ktime_get_boottime_ns() - who.opened, NSEC_PER_MSEC),
		   st.live_tensors, st.live_bytes, st.granted_bytes,
		   st.attached_bytes, st.base_bytes, st.cached_bytes,
		   st.peak_live_bytes, st.peak_attached_bytes, st.allocs,
		   st.frees, st.failed, st.promoted, st.escaped_bytes,
		   st.meta_bytes, atomic_read(&client->maps), st.sites,
		   st.shared_bytes, who.cgroup);
	bmem_show_name(m, who.label);
	seq_putc(m, '\n');
	return 0;
}

static const struct seq_operations clients_sops = {
	.start = clients_start,
	.next = clients_next,
	.stop = clients_stop,
	.show = clients_show,
};

static int clients_open(struct inode *inode, struct file *file)
{
	return seq_open_private(file, &clients_sops,
				sizeof(struct clients_iter));
}

static const struct file_operations clients_fops = {
	.owner = THIS_MODULE,
	.open = clients_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

/* ---- tensors ----------------------------------------------------------------------- */

#define TENSORS_BATCH	32

/**
 * struct tensors_iter - where a reader of "tensors" is
 * @list: where in the batch
 * @cursor: where the client's next batch begins
 * @rec: the batch
 */
struct tensors_iter {
	struct seqlist list;
	u64 cursor;
	struct tensor_record rec[TENSORS_BATCH];
};

static void tensors_fill(struct seqlist *list, struct bmem_client *client,
			 bool begin)
{
	struct tensors_iter *iter = container_of(list, struct tensors_iter,
						 list);

	if (begin)
		iter->cursor = 0;
	list->nr = bmem_tensor_records(client, &iter->cursor, iter->rec,
				       TENSORS_BATCH, &list->tries);
}

static const struct seqlist_type tensors_type = {
	.size = sizeof(struct tensors_iter),
	.fill = tensors_fill,
};

static int tensors_show(struct seq_file *m, void *v)
{
	const struct tensors_iter *iter = v;
	const struct tensor_record *rec;
	const struct bmem_tensor *t;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# client tgid handle offset bytes granted age_ms site flags label\n");
		return 0;
	}
	rec = &iter->rec[iter->list.at];
	t = &rec->tensor;
	seq_printf(m, "%llu %d %#llx %#llx %llu %llu %llu %u %#x ", rec->client,
		   rec->tgid, t->handle, t->offset, t->bytes, t->granted,
		   t->age_ms, t->site, t->flags);
	bmem_show_name(m, rec->label);
	seq_putc(m, '\n');
	return 0;
}

DEFINE_SEQLIST(tensors);

/* ---- tombstones -------------------------------------------------------------------- */

/* A position is the serial number of the next tombstone. */
static void *tombstones_start(struct seq_file *m, loff_t *pos)
{
	struct bmem_tombstone *t = bmem_tombstone_get(*pos);

	if (t)
		*pos = bmem_tombstone_serial(t);
	return t;
}

static void *tombstones_next(struct seq_file *m, void *v, loff_t *pos)
{
	bmem_tombstone_put(v);
	++*pos;
	return tombstones_start(m, pos);
}

static void tombstones_stop(struct seq_file *m, void *v)
{
	bmem_tombstone_put(v);
}

static int tombstones_show(struct seq_file *m, void *v)
{
	bmem_tombstone_show(m, v);
	return 0;
}

static const struct seq_operations tombstones_sops = {
	.start = tombstones_start,
	.next = tombstones_next,
	.stop = tombstones_stop,
	.show = tombstones_show,
};
DEFINE_SEQ_ATTRIBUTE(tombstones);

static int last_failure_show(struct seq_file *m, void *v)
{
	bmem_failure_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(last_failure);

static int events_show(struct seq_file *m, void *v)
{
	bmem_events_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(events);

static int overhead_show(struct seq_file *m, void *v)
{
	return bmem_overhead_show(m, v);
}
DEFINE_SHOW_ATTRIBUTE(overhead);

static int pressure_show(struct seq_file *m, void *v)
{
	bmem_pressure_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pressure);

static int cleanup_show(struct seq_file *m, void *v)
{
	bmem_cleanup_show(m);
	return 0;
}

static int cleanup_open(struct inode *inode, struct file *file)
{
	return single_open(file, cleanup_show, NULL);
}

/* "flush": what is queued goes back before the write returns. */
static ssize_t cleanup_write(struct file *file, const char __user *buf,
			     size_t count, loff_t *ppos)
{
	char buffer[16], *verb;

	verb = bmem_get_word(buf, count, buffer, sizeof(buffer));
	if (IS_ERR(verb))
		return PTR_ERR(verb);
	if (strcmp(verb, "flush"))
		return -EINVAL;
	bmem_cleanup_flush();
	return count;
}

static const struct file_operations cleanup_fops = {
	.owner = THIS_MODULE,
	.open = cleanup_open,
	.read = seq_read,
	.write = cleanup_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/**
 * bmem_debugfs_init() - make the files
 */
void bmem_debugfs_init(void)
{
	dir = debugfs_create_dir("bmem", NULL);
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
	debugfs_create_file("pools", 0444, dir, NULL, &pools_fops);
	debugfs_create_file("clients", 0444, dir, NULL, &clients_fops);
	debugfs_create_file("tensors", 0400, dir, NULL, &tensors_fops);
	debugfs_create_file("tombstones", 0400, dir, NULL, &tombstones_fops);
	debugfs_create_file("last_failure", 0444, dir, NULL,
			    &last_failure_fops);
	debugfs_create_file("events", 0444, dir, NULL, &events_fops);
	bmem_placelist_debugfs(dir);
	debugfs_create_file("overhead", 0444, dir, NULL, &overhead_fops);
	debugfs_create_file("pressure", 0444, dir, NULL, &pressure_fops);
	debugfs_create_file("cleanup", 0644, dir, NULL, &cleanup_fops);
	bmem_shrink_debugfs(dir);
	bmem_sitelist_debugfs(dir);
	bmem_leaklist_debugfs(dir);
	bmem_linklist_debugfs(dir);
	bmem_growth_debugfs(dir);
}

/**
 * bmem_debugfs_exit() - remove them; waits for readers
 */
void bmem_debugfs_exit(void)
{
	debugfs_remove(dir);
}
