// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growth: which call sites, and which clients, hold more and more.
 *
 * Sweeps keep the trends (see trend.c); this file tells of them: to programs by
 * GROWTH_LIST, to people by the file "growth", and to leak.c as a detector: a
 * site that grows without end leaks, whether or not something leads to what it
 * holds.
 */
#include <linux/debugfs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bmem_private.h"
#include "seqlist.h"

unsigned int bmem_growth_ms = 60000;

static_assert(TREND_STEADY == (int)BMEM_TREND_STEADY);
static_assert(TREND_PLATEAU == (int)BMEM_TREND_PLATEAU);
static_assert(TREND_SAW_TOOTH == (int)BMEM_TREND_SAW_TOOTH);
static_assert(TREND_LINEAR == (int)BMEM_TREND_LINEAR);
static_assert(TREND_ACCELERATING == (int)BMEM_TREND_ACCELERATING);

/* Rows that are made, and sites that are looked at, in one hold of a lock. */
#define ROWS_BATCH	16
#define SITES_BATCH	512

/* Thousands of ticks in a minute. */
#define MINUTE		(60 / BMEM_TICK_MS)

static_assert(60 % BMEM_TICK_MS == 0);

static u32 least_ticks(void)
{
	return READ_ONCE(bmem_growth_ms) / BMEM_TICK_MS;
}

/**
 * bmem_growth_watch() - a sweep has added to a trend
 * @trend: trend, its client locked
 * @told: whether somebody was told of it; brought up to date
 * @now: tick
 *
 * Return: true when it is to be told now for the first time.
 */
bool bmem_growth_watch(struct trend *trend, bool *told, u32 now)
{
	bool was = *told;

	*told = trend_watch(trend, now, least_ticks());
	return *told && !was;
}

/* ---- rows --------------------------------------------------------------------------- */

static u64 kib_bytes(u32 kib)
{
	return (u64)kib << 10;
}

static u64 ms_since(u32 tick, u32 now)
{
	return (u64)(now - min(now, tick)) * BMEM_TICK_MS;
}

/* Bytes a minute; 0 when it does not rise. */
static u64 slope_bytes(const struct trend_verdict *v)
{
	return v->slope > 0 ? (u64)v->slope * MINUTE << 10 : 0;
}

static void row_trend(struct bmem_growth_row *row, const struct trend *trend,
		      u32 now)
{
	struct trend_verdict v;

	trend_judge(trend, now, &v);
	row->trend = v.class;
	row->confidence = v.confidence;
	row->since_ms = trend->open ? ms_since(v.since, now) : 0;
	row->rise_bytes = kib_bytes(v.rise);
	row->slope = slope_bytes(&v);
	if (trend_lasts(trend, &v, now, least_ticks()))
		row->flags |= BMEM_GROWTH_LASTS;
}

static void row_of_site(const struct site *site, u32 now,
			struct bmem_growth_row *row)
{
	u64 live = site->live + site->ledger_live;

	memset(row, 0, sizeof(*row));
	row_trend(row, &site->trend, now);
	row->site = site->id;
	row->live_tensors = live;
	row->live_bytes = site->live_bytes + site->ledger_bytes;
	row->peak_bytes = site->peak;
	row->allocs = site->allocs;
	row->frees = site->allocs - min(site->allocs, live);
	row->last_ms = site->allocs ? ms_since(site->last, now) : 0;
	strscpy(row->label, bmem_site_label(site), sizeof(row->label));
}

static void row_of_client(const struct bmem_client *client, u32 now,
			  struct bmem_growth_row *row)
{
	memset(row, 0, sizeof(*row));
	row_trend(row, &client->sites.trend, now);
	row->flags |= BMEM_GROWTH_WHOLE;
	row->live_tensors = client->sites.swept_live;
	row->live_bytes = client->sites.swept_bytes;
	row->peak_bytes = client->peak_live_bytes;
	strscpy(row->label, client->who.label, sizeof(row->label));
}

static bool row_wanted(const struct bmem_growth_row *row, u32 flags)
{
	return !(flags & BMEM_GROWTH_ONLY) ||
	       row->trend == BMEM_TREND_LINEAR ||
	       row->trend == BMEM_TREND_ACCELERATING;
}

static bool worth_judging(const struct site *site, u32 flags)
{
	if (flags & BMEM_GROWTH_ONLY)
		return trend_may_grow(&site->trend);
	return site->id || site->allocs;
}

/*
 * Fills up to @nr rows from *@cursor on: 0 for the client as a whole, else one
 * more than the number of a site.  Returns how many; *@end when there is no
 * more.
 */
static u32 rows_fill(struct bmem_client *client, u32 flags, u64 *cursor,
		     struct bmem_growth_row *rows, u32 nr, bool *end)
{
	u32 now = bmem_client_ticks(client), n = 0, seen;
	struct site *site;

	if (!*cursor) {
		row_of_client(client, now, &rows[n]);
		n += row_wanted(&rows[n], flags);
		*cursor = 1;
	}
	for (seen = 0; n < nr && seen < SITES_BATCH; seen++) {
		site = bmem_site_next(client, *cursor - 1);
		*end = !site;
		if (!site)
			break;
		*cursor = (u64)site->id + 2;
		if (!worth_judging(site, flags))
			continue;
		row_of_site(site, now, &rows[n]);
		n += row_wanted(&rows[n], flags);
	}
	return n;
}

/* ---- detector ----------------------------------------------------------------------- */

static void tell(struct leak_round *round, const struct site *site, u32 now)
{
	struct leak_trend leak = {
		.site = site->id,
		.tensors = site->live + site->ledger_live,
		.bytes = site->live_bytes + site->ledger_bytes,
		.evidence = BMEM_LEAK_TREND,
	};
	struct trend_verdict v;
	u64 age;

	if (!site->trend.growing)
		return;
	trend_judge(&site->trend, now, &v);
	if (!trend_lasts(&site->trend, &v, now, least_ticks()))
		return;
	age = ms_since(v.since, now) * NSEC_PER_MSEC;
	leak.since = round->now - min(age, round->now);
	leak.slope = slope_bytes(&v);
	leak.confidence = v.confidence / 10;
	bmem_leak_site(round, &leak);
}

static int tell_slice(struct leak_round *round, u64 *id, bool *end)
{
	struct bmem_client *client = round->client;
	int rc = bmem_leak_lock(round);
	struct site *site;
	u32 now, seen;

	if (rc)
		return rc;
	now = bmem_client_ticks(client);
	for (seen = 0; seen < SITES_BATCH && !*end; seen++) {
		site = bmem_site_next(client, *id);
		*end = !site;
		if (!site)
			break;
		tell(round, site, now);
		*id = (u64)site->id + 1;
	}
	mutex_unlock(&client->lock);
	return 0;
}

static int growth_scan(struct bmem_client *client, struct leak_round *round)
{
	int rc = bmem_sweep(client, round->patient);
	bool end = false;
	u64 id = 0;

	while (!rc && !end) {
		rc = tell_slice(round, &id, &end);
		cond_resched();
	}
	return rc;
}

const struct leak_detector bmem_leak_growth = {
	.name = "growth",
	.kind = BMEM_LEAK_GROWTH,
	.rounds = 1,
	.sites = true,
	.scan = growth_scan,
};

/* ---- GROWTH_LIST -------------------------------------------------------------------- */

static int list_run(struct bmem_client *client, struct bmem_growth_list *cmd,
		    struct bmem_growth_row *rows)
{
	bool end = false;
	u32 told = 0, n;
	int rc;

	while (!end && told < cmd->nr) {
		rc = bmem_client_lock(client, NULL);
		if (rc)
			return rc;
		n = rows_fill(client, cmd->flags, &cmd->cursor, rows,
			      min_t(u32, cmd->nr - told, ROWS_BATCH), &end);
		mutex_unlock(&client->lock);
		rc = bmem_rows_tell(cmd->rows, told, cmd->row_size, rows,
				    sizeof(*rows), n);
		if (rc)
			return rc;
		told += n;
		cond_resched();
	}
	cmd->nr = told;
	return 0;
}

static int list_client(struct bmem_client *client, struct bmem_growth_list *cmd)
{
	struct bmem_growth_row *rows;
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
 * bmem_growth_list() - BMEM_GROWTH_LIST
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_growth_list(struct bmem_client *self, struct bmem_growth_list *cmd)
{
	struct bmem_client *client;
	int rc;

	if (cmd->flags & ~BMEM_GROWTH_ONLY)
		return -EOPNOTSUPP;
	rc = bmem_rows_check(cmd->nr, cmd->row_size,
			     offsetofend(struct bmem_growth_row, label));
	if (rc)
		return rc;
	client = bmem_client_visible(self, cmd->client_id);
	if (!client)
		return -ENOENT;
	rc = list_client(client, cmd);
	bmem_client_put(client);
	return rc;
}

/* ---- the file ------------------------------------------------------------------------ */

static const char * const trends[] = {
	[BMEM_TREND_UNKNOWN] = "unknown",
	[BMEM_TREND_STEADY] = "steady",
	[BMEM_TREND_PLATEAU] = "plateau",
	[BMEM_TREND_SAW_TOOTH] = "saw-tooth",
	[BMEM_TREND_LINEAR] = "linear",
	[BMEM_TREND_ACCELERATING] = "accelerating",
};

/**
 * struct growth_iter - where a reader of "growth" is
 * @list: a batch is one row
 * @cursor: as for rows_fill()
 * @end: there is no more of that client
 * @row: the row
 */
struct growth_iter {
	struct seqlist list;
	u64 cursor;
	bool end;
	struct bmem_growth_row row;
};

/* The next row of a client, unless there is none or it stays busy. */
static void growth_fill(struct seqlist *list, struct bmem_client *client,
			bool begin)
{
	struct growth_iter *iter = container_of(list, struct growth_iter, list);

	if (begin) {
		iter->cursor = 0;
		iter->end = false;
		bmem_sweep(client, false);
	}
	while (!list->nr && !iter->end) {
		if (bmem_client_lock(client, &list->tries)) {
			iter->end = true;
			break;
		}
		list->nr = rows_fill(client, 0, &iter->cursor, &iter->row, 1,
				     &iter->end);
		mutex_unlock(&client->lock);
		cond_resched();
	}
}

static const struct seqlist_type growth_type = {
	.size = sizeof(struct growth_iter),
	.fill = growth_fill,
};

static int growth_show(struct seq_file *m, void *v)
{
	const struct growth_iter *iter = v;
	const struct bmem_growth_row *row = &iter->row;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "# client site trend lasts confidence slope since_ms rise live peak tensors last_ms label\n");
		return 0;
	}
	seq_printf(m, "%llu ", iter->list.client);
	if (row->flags & BMEM_GROWTH_WHOLE)
		seq_puts(m, "all");
	else
		seq_printf(m, "%u", row->site);
	seq_printf(m, " %s %u %u %llu %llu %llu %llu %llu %llu %llu ",
		   trends[row->trend], !!(row->flags & BMEM_GROWTH_LASTS),
		   row->confidence, row->slope, row->since_ms, row->rise_bytes,
		   row->live_bytes, row->peak_bytes, row->live_tensors,
		   row->last_ms);
	bmem_show_name(m, row->label);
	seq_putc(m, '\n');
	return 0;
}

DEFINE_SEQLIST(growth);

/**
 * bmem_growth_debugfs() - make the file
 * @dir: where
 */
void bmem_growth_debugfs(struct dentry *dir)
{
	debugfs_create_file("growth", 0400, dir, NULL, &growth_fops);
}
