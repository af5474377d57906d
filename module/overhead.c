// SPDX-License-Identifier: GPL-2.0-only
/*
 * Overhead: what bookkeeping costs, in memory by what it is for, and in time.
 *
 * Memory is compared with the bytes of live tensors; those that are out count
 * as live, since the ledgers are not read for it.  Time is the kernel's own
 * for sweeps and call sites, compared with one CPU's since the module was
 * loaded; what tracking costs a program itself, its library measures.
 */
#include <linux/ktime.h>

#include "bmem_private.h"

/* Sources above this are named, in thousandths of a percent. */
#define MUCH	2000

static const char * const kinds[META_KINDS] = {
	[META_LEDGER] = "ledger",
	[META_SPAN_MAP] = "span_map",
	[META_SITES] = "sites",
	[META_TENSORS] = "tensors",
	[META_SPANS] = "spans",
	[META_TABLES] = "tables",
	[META_LEAKS] = "leaks",
	[META_LINKS] = "links",
};

static u64 since;

/* In thousandths of a percent, rounded up; bounded where there is no whole. */
static u64 share_of(u64 part, u64 whole)
{
	if (!part)
		return 0;
	return div64_u64(part, max(whole, 1ULL)) > 1000 ? 100000000 :
	       mul_u64_u64_div_u64(part, 100000, max(whole, 1ULL)) + 1;
}

static void show_share(struct seq_file *m, const char *name, u64 share)
{
	u32 rest;
	u64 percent = div_u64_rem(share, 1000, &rest);

	seq_printf(m, "%s_percent: %llu.%03u\n", name, percent, rest);
}

/**
 * struct costs - sums over all clients
 * @live_bytes: live tensors
 * @meta: by enum meta_kind
 */
struct costs {
	u64 live_bytes;
	u64 meta[META_KINDS];
};

/* A figure of a busy client may be a moment older than the next. */
static void sum_costs(struct costs *sum)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;
	unsigned int i;

	while ((client = bmem_client_next(id, last))) {
		u64 meta[META_KINDS];

		id = client->who.id;
		bmem_client_meta(client, meta);
		for (i = 0; i < META_KINDS; i++)
			sum->meta[i] += meta[i];
		sum->live_bytes += READ_ONCE(client->live_bytes) +
				   READ_ONCE(client->slot_bytes);
		bmem_client_put(client);
		cond_resched();
	}
}

static void show_memory(struct seq_file *m, const struct costs *sum)
{
	u64 all = 0;
	unsigned int i;

	for (i = 0; i < META_KINDS; i++)
		all += sum->meta[i];
	seq_printf(m, "live_bytes: %llu\n", sum->live_bytes);
	seq_printf(m, "meta_bytes: %llu\n", all);
	show_share(m, "meta", share_of(all, sum->live_bytes));
	for (i = 0; i < META_KINDS; i++) {
		seq_printf(m, "%s_bytes: %llu\n", kinds[i], sum->meta[i]);
		show_share(m, kinds[i], share_of(sum->meta[i], sum->live_bytes));
	}
}

static void show_time(struct seq_file *m, u64 up)
{
	seq_printf(m, "up_ns: %llu\n", up);
	seq_printf(m, "sweeps_ns: %llu\n", bmem_sweeps_ns());
	show_share(m, "sweeps", share_of(bmem_sweeps_ns(), up));
	seq_printf(m, "sweeps_asked: %llu\n", bmem_sweeps_asked());
	seq_printf(m, "hooks_ns: %llu\n", bmem_site_hooks_ns());
	show_share(m, "hooks", share_of(bmem_site_hooks_ns(), up));
}

static void show_much(struct seq_file *m, const struct costs *sum, u64 up)
{
	bool none = true;
	unsigned int i;

	seq_puts(m, "above_2_percent:");
	for (i = 0; i < META_KINDS; i++) {
		if (share_of(sum->meta[i], sum->live_bytes) <= MUCH)
			continue;
		seq_printf(m, " %s", kinds[i]);
		none = false;
	}
	if (share_of(bmem_sweeps_ns(), up) > MUCH) {
		seq_puts(m, " sweeps");
		none = false;
	}
	if (share_of(bmem_site_hooks_ns(), up) > MUCH) {
		seq_puts(m, " hooks");
		none = false;
	}
	seq_puts(m, none ? " -\n" : "\n");
}

/**
 * bmem_overhead_show() - print the file "overhead"
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int bmem_overhead_show(struct seq_file *m, void *v)
{
	u64 up = ktime_get_ns() - since;
	struct costs sum = {};

	sum_costs(&sum);
	show_memory(m, &sum);
	show_time(m, up);
	show_much(m, &sum, up);
	return 0;
}

/**
 * bmem_overhead_start() - the module is loaded
 */
void bmem_overhead_start(void)
{
	since = ktime_get_ns();
}
