// SPDX-License-Identifier: GPL-2.0-only
/*
 * Patterns: what a call site's figures say about how it uses memory.
 *
 * Figures only, no list of past tensors: counts, histograms, and a few samples
 * of what was live.  Of tensors that have no record all is seen.  Of tensors
 * that have one, a sweep sees what is in the slot when it passes: their number
 * by the record's generation, all of it put down to the site that is in the
 * record now; size and lifetime of the one tensor that is still to be read.
 * So counts add up over a client's sites, while those of two sites that share
 * slots are estimates, and histograms hold what was seen and no more.
 *
 * What is live at the end of each sweep goes into the site's trend.
 */
#include <linux/log2.h>

#include "bmem_private.h"

/*
 * The rules by which a site is classed, in this order; all but the second need
 * samples.  Ticks are of BMEM_TICK_MS.
 *
 * growing	its trend says so, see trend.c
 * temporary	TEMPORARY_FREES tensors were freed, which is three quarters of
 *		all, and half of them lived less than SOON ticks
 * one-shot	FEW allocations at most, the last LONG_AGO, and at least as
 *		long ago as it was after the first
 * cache	CACHE_FREES tensors were freed, which is an eighth of all; half
 *		of them lived SOON ticks or more; in the later half of the
 *		samples live bytes stay above three quarters of their peak
 * steady	in the later half of the samples live bytes change by an eighth
 *		of the most at most, and they are not zero
 */
#define SAMPLES_NEEDED	3
#define TEMPORARY_FREES	16
#define CACHE_FREES	16
#define SOON		128
#define FEW		8
#define LONG_AGO	500

/* ---- figures ---------------------------------------------------------------------- */

/* Bucket i begins at 64 << 2i bytes. */
static unsigned int size_bucket(u64 bytes)
{
	return bytes < 256 ? 0 :
	       min_t(unsigned int, (ilog2(bytes) - 6) / 2,
		     BMEM_SITE_BUCKETS - 1);
}

/* Bucket i begins at 2^(i-1) ticks. */
static unsigned int life_bucket(u32 ticks)
{
	return ticks ? min_t(unsigned int, ilog2(ticks) + 1,
			     BMEM_SITE_BUCKETS - 1) : 0;
}

static void count_up(u32 *counter)
{
	if (*counter != U32_MAX)
		++*counter;
}

static void note_size(struct site *site, u64 bytes)
{
	unsigned int i, nr = min_t(unsigned int, site->nr_sizes,
				   BMEM_SITE_SIZES);

	count_up(&site->size_hist[size_bucket(bytes)]);
	for (i = 0; i < nr; i++)
		if (site->sizes[i] == bytes)
			return;
	if (nr < BMEM_SITE_SIZES)
		site->sizes[nr] = bytes;
	site->nr_sizes = nr + 1;
}

/**
 * bmem_pattern_allocs() - tensors were allocated
 * @site: site, its client locked
 * @nr: how many, at least 1
 * @bytes: exact size of one of them
 * @tick: when that was
 */
void bmem_pattern_allocs(struct site *site, u64 nr, u64 bytes, u32 tick)
{
	if (!site->allocs || tick < site->first)
		site->first = tick;
	if (tick > site->last)
		site->last = tick;
	site->allocs += nr;
	note_size(site, bytes);
}

/**
 * bmem_pattern_free() - a tensor was seen to be freed
 * @site: site, its client locked
 * @lifetime: in ticks
 */
void bmem_pattern_free(struct site *site, u32 lifetime)
{
	count_up(&site->life_hist[life_bucket(lifetime)]);
}

/**
 * bmem_pattern_peak() - what is live has changed
 * @site: site, its client locked
 */
void bmem_pattern_peak(struct site *site)
{
	site->peak = max(site->peak, site->live_bytes + site->ledger_bytes);
}

/* ---- samples ---------------------------------------------------------------------- */

/**
 * bmem_pattern_sample() - a sweep has seen what is live
 * @site: site, its client locked
 * @now: tick
 */
void bmem_pattern_sample(struct site *site, u32 now)
{
	u64 kib = DIV_ROUND_UP_ULL(site->live_bytes + site->ledger_bytes, 1024);

	if (site->allocs)
		trend_add(&site->trend, min_t(u64, kib, U32_MAX), now,
			  PATTERN_PERIOD);
}

/* ---- class ------------------------------------------------------------------------ */

static u64 frees_of(const struct site *site)
{
	u64 live = site->live + site->ledger_live;

	return site->allocs - min(site->allocs, live);
}

/**
 * bmem_pattern_median() - the middle of a histogram
 * @hist: counters, %BMEM_SITE_BUCKETS of them
 *
 * Return: bucket that the median is in, or -1 when all are empty.
 */
int bmem_pattern_median(const u32 *hist)
{
	u64 all = 0, sum = 0;
	int i;

	for (i = 0; i < BMEM_SITE_BUCKETS; i++)
		all += hist[i];
	for (i = 0; i < BMEM_SITE_BUCKETS; i++) {
		sum += hist[i];
		if (2 * sum > all)
			return i;
	}
	return -1;
}

static u64 reuse_ticks(const struct site *site)
{
	if (site->allocs < 2)
		return 0;
	return div64_u64(site->last - site->first, site->allocs - 1);
}

/*
 * Where no tensor was seen after its end, by Little's law: what is live at a
 * time is the rate of allocations times the mean lifetime.
 */
static bool lives_soon_over(const struct site *site)
{
	int median = bmem_pattern_median(site->life_hist);

	if (median >= 0)
		return median < life_bucket(SOON);
	return (site->live + site->ledger_live) * reuse_ticks(site) < SOON;
}

static bool is_growing(const struct site *site, u32 now)
{
	struct trend_verdict v;

	if (!trend_may_grow(&site->trend))
		return false;
	trend_judge(&site->trend, now, &v);
	return trend_grows(&v);
}

static bool is_temporary(const struct site *site)
{
	u64 frees = frees_of(site);

	return frees >= TEMPORARY_FREES &&
	       frees >= site->allocs - site->allocs / 4 &&
	       lives_soon_over(site);
}

static bool is_one_shot(const struct site *site, u32 now)
{
	u32 ago = now - min(now, site->last);

	return site->allocs <= FEW && ago >= LONG_AGO &&
	       ago >= site->last - site->first;
}

static bool is_cache(const struct site *site, u32 now)
{
	u64 frees = frees_of(site);
	u32 least, most;

	trend_range(&site->trend, now, &least, &most);
	return frees >= CACHE_FREES && frees >= site->allocs / 8 &&
	       !lives_soon_over(site) &&
	       least >= (site->peak - site->peak / 4) >> 10;
}

static bool is_steady(const struct site *site, u32 now)
{
	u32 least, most;

	trend_range(&site->trend, now, &least, &most);
	return most && most - least <= most / 8;
}

static enum bmem_site_class class_of(const struct site *site, u32 now)
{
	bool sampled = site->trend.nr >= SAMPLES_NEEDED;

	if (is_growing(site, now))
		return BMEM_SITE_GROWING;
	if (is_temporary(site))
		return BMEM_SITE_TEMPORARY;
	if (!sampled)
		return BMEM_SITE_UNKNOWN;
	if (is_one_shot(site, now))
		return BMEM_SITE_ONE_SHOT;
	if (is_cache(site, now))
		return BMEM_SITE_CACHE;
	return is_steady(site, now) ? BMEM_SITE_STEADY : BMEM_SITE_UNKNOWN;
}

/* ---- row -------------------------------------------------------------------------- */

/**
 * bmem_pattern_row() - a site's figures
 * @site: site, its client locked
 * @now: tick
 * @row: out
 */
void bmem_pattern_row(const struct site *site, u32 now,
		      struct bmem_site_row *row)
{
	memset(row, 0, sizeof(*row));
	row->site = site->id;
	row->site_class = class_of(site, now);
	row->nr_frames = site->frames ? site->frames->nr : 0;
	row->nr_sizes = site->nr_sizes;
	row->live_tensors = site->live + site->ledger_live;
	row->live_bytes = site->live_bytes + site->ledger_bytes;
	row->peak_bytes = site->peak;
	row->allocs = site->allocs;
	row->frees = frees_of(site);
	if (site->allocs) {
		row->first_ms = (u64)(now - min(now, site->first)) *
				BMEM_TICK_MS;
		row->last_ms = (u64)(now - min(now, site->last)) *
			       BMEM_TICK_MS;
	}
	if (site->allocs > 1)
		row->reuse_ms = div64_u64((u64)(site->last - site->first) *
					  BMEM_TICK_MS, site->allocs - 1);
	if (site->nr_sizes <= BMEM_SITE_SIZES)
		memcpy(row->sizes, site->sizes, sizeof(row->sizes));
	memcpy(row->size_hist, site->size_hist, sizeof(row->size_hist));
	memcpy(row->life_hist, site->life_hist, sizeof(row->life_hist));
	strscpy(row->label, bmem_site_label(site), sizeof(row->label));
}
