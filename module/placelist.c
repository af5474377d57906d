// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file "placement" in debugfs: by which policy each client's tensors are
 * placed, and why.
 */
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/slab.h>

#include "bmem_private.h"

static const char * const names[] = {
	[PLACE_FIRST] = "first",
	[PLACE_BEST] = "best",
	[PLACE_BUDDY] = "buddy",
};

static const char * const reasons[] = {
	[SELECTOR_DEFAULT] = "default",
	[SELECTOR_WASTE] = "waste",
	[SELECTOR_COST] = "cost",
	[SELECTOR_PINNED] = "pinned",
};

/* Waste in the thousand, steps in hundredths. */
static void show_figures(struct seq_file *m, const struct selector_figures *f)
{
	seq_printf(m, " %u/%u", f->waste, f->cost);
}

static void show_range(struct seq_file *m, u64 client,
		       const struct selector_report *r)
{
	u64 now = div_u64(ktime_get_coarse_boottime_ns(), NSEC_PER_MSEC);
	const struct selector_range *range = &r->range;
	unsigned int i;

	seq_printf(m, "%llu %llu %llu %s %s %llu %u %u", client,
		   bmem_bytes(r->pages_min), bmem_bytes(r->pages_max),
		   names[range->policy], reasons[range->why],
		   range->since ? now - min(now, range->since) : 0,
		   range->switches, range->epochs);
	show_figures(m, &range->old);
	show_figures(m, &range->new);
	for (i = 0; i < PLACE_POLICIES; i++)
		show_figures(m, &range->last[i]);
	seq_putc(m, '\n');
}

/* What a client without a selector does: one line for all sizes. */
static void show_plain(struct seq_file *m, u64 client, u32 policy)
{
	bool pinned = policy != BMEM_PLACE_AUTO;

	seq_printf(m, "%llu %u %llu %s %s 0 0 0 - - - - -\n", client,
		   BMEM_PAGE_SIZE, bmem_bytes(bmem_space_pages),
		   names[pinned ? policy - BMEM_PLACE_FIRST : PLACE_FIRST],
		   reasons[pinned ? SELECTOR_PINNED : SELECTOR_DEFAULT]);
}

static void client_show(struct seq_file *m, struct bmem_client *client,
			struct selector_report *reports, unsigned int *tries)
{
	u32 i, policy;
	bool measured;

	/* One that is busy now is left out. */
	if (bmem_client_lock(client, tries))
		return;
	policy = client->policy;
	measured = client->selector;
	for (i = 0; measured && i < SELECTOR_RANGES; i++)
		selector_report(client->selector, i, &reports[i]);
	mutex_unlock(&client->lock);

	if (!measured)
		show_plain(m, client->who.id, policy);
	for (i = 0; measured && i < SELECTOR_RANGES; i++)
		show_range(m, client->who.id, &reports[i]);
}

static int placement_show(struct seq_file *m, void *v)
{
	u64 id = 0, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;
	struct selector_report *reports;
	struct bmem_client *client;

	reports = kmalloc_array(SELECTOR_RANGES, sizeof(*reports), GFP_KERNEL);
	if (!reports)
		return -ENOMEM;
	seq_puts(m, "# client min_bytes max_bytes policy why since_ms switches epochs before after first best buddy\n");
	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		client_show(m, client, reports, &tries);
		bmem_client_put(client);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	kfree(reports);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(placement);

/**
 * bmem_placelist_debugfs() - make the file
 * @dir: where
 */
void bmem_placelist_debugfs(struct dentry *dir)
{
	debugfs_create_file("placement", 0444, dir, NULL, &placement_fops);
}
