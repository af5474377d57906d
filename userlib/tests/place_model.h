/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * module/place_*.c against one byte a page: what a list of bytes makes them do
 * is done to a naive model as well, and everything that they answer is
 * compared.  A selector follows all of it, and its shadow arenas are held
 * against its own entries.  Used by the random test and by the fuzzer.
 */
#ifndef PLACE_MODEL_H
#define PLACE_MODEL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "selector.h"

#define PM_CHUNKS	16
#define PM_PAGES	(PM_CHUNKS * PLACE_CHUNK_PAGES)
#define PM_SPANS	PM_PAGES

/* Small enough that inputs fill them. */
#define PM_SHADOW_CHUNKS	4
#define PM_SHADOW_ENTRIES	48
#define PM_EPOCH		128

struct place_model {
	struct place pl;
	unsigned char used[PM_PAGES];
	struct {
		u32 start, pages, tag;
	} span[PM_SPANS];
	u32 nr;
	unsigned long step;
	struct selector sel;
};

static void pm_check(struct place_model *pm, bool ok, const char *what,
		     u32 pages, u32 align, u32 got, u32 want)
{
	if (ok)
		return;
	fprintf(stderr,
		"place: step %lu: %s: pages %u align %u: got %u, expected %u\n",
		pm->step, what, pages, align, got, want);
	abort();
}

/* Length of the free run at @start by looking at every page. */
static u32 pm_run(const struct place_model *pm, u32 start)
{
	u32 end = pm->pl.chunks * PLACE_CHUNK_PAGES, n = start;

	while (n < end && !pm->used[n])
		n++;
	return n - start;
}

static u32 pm_up(u32 page, u32 align)
{
	return (page + align - 1) / align * align;
}

/* Lowest multiple of @align with so many free pages; PM_PAGES if none. */
static u32 pm_find(const struct place_model *pm, u32 pages, u32 align)
{
	u32 end = pm->pl.chunks * PLACE_CHUNK_PAGES, start = 0, n;

	while (start + pages <= end) {
		for (n = 0; n < pages && !pm->used[start + n]; n++)
			;
		if (n == pages)
			return start;
		start = pm_up(start + n + 1, align);
	}
	return PM_PAGES;
}

/* Empty chunks that a free run is in. */
static u32 pm_empty(const struct place_model *pm, u32 start, u32 pages)
{
	u32 chunk, page, n = 0;

	for (chunk = start / PLACE_CHUNK_PAGES;
	     chunk * PLACE_CHUNK_PAGES < start + pages; chunk++) {
		page = chunk * PLACE_CHUNK_PAGES;
		n += pm_run(pm, page) >= PLACE_CHUNK_PAGES;
	}
	return n;
}

struct pm_fit {
	u32 start, empty, run;
};

static void pm_try(const struct place_model *pm, struct pm_fit *best, u32 start,
		   u32 pages, u32 run)
{
	struct pm_fit fit = { start, pm_empty(pm, start, pages), run };

	if (fit.empty < best->empty ||
	    (fit.empty == best->empty && fit.run < best->run))
		*best = fit;
}

/* What place.h says of best fit. */
static u32 pm_find_best(const struct place_model *pm, u32 pages, u32 align)
{
	u32 end = pm->pl.chunks * PLACE_CHUNK_PAGES, page, run, seen = 0;
	struct pm_fit best = { PM_PAGES, ~0U, ~0U };

	for (page = 0; page < end; page += run + 1) {
		run = pm_run(pm, page);
		if (run < pages)
			continue;
		if (seen++ == PLACE_BEST_RUNS)
			break;
		if (pm_up(page, align) + pages > page + run)
			continue;
		pm_try(pm, &best, pm_up(page, align), pages, run);
		if (page + run < end)
			pm_try(pm, &best,
			       (page + run - pages) / align * align, pages, run);
	}
	if (best.start == PM_PAGES && seen >= PLACE_BEST_RUNS) {
		best.start = pm_find(pm, pages + align - 1, 1);
		if (best.start < PM_PAGES)
			best.start = pm_up(best.start, align);
	}
	return best.start;
}

static u32 pm_granted(enum place_policy policy, u32 pages)
{
	u32 n = 1;

	if (policy != PLACE_BUDDY)
		return pages;
	if (pages > PLACE_CHUNK_PAGES)
		return pm_up(pages, PLACE_CHUNK_PAGES);
	while (n < pages)
		n *= 2;
	return n;
}

static void pm_grow(struct place_model *pm)
{
	u32 chunks = pm->pl.chunks ? 2 * pm->pl.chunks : 1;

	free(place_grow(&pm->pl, calloc(1, place_table_bytes(chunks)), chunks));
}

/* Refused: by best fit where it fits nowhere, by others at least not roomily. */
static void pm_refused(struct place_model *pm, int ret,
		       enum place_policy policy, u32 pages, u32 align)
{
	bool last = pm->pl.chunks == PM_CHUNKS;

	if (policy == PLACE_BEST)
		pm_check(pm, pm_find_best(pm, pages, align) == PM_PAGES,
			 "best fit refused", pages, align, 0, 1);
	pm_check(pm, pm_find(pm, pages + align - 1, 1) == PM_PAGES,
		 "refused, but it fits", pages, align, 0, 1);
	pm_check(pm, (ret == -ENOSPC) == (last || pages > PM_PAGES),
		 "wrong refusal", pages, align, (u32)-ret,
		 last ? ENOSPC : EAGAIN);
	if (ret == -EAGAIN)
		pm_grow(pm);
}

static void pm_place_right(struct place_model *pm, enum place_policy policy,
			   u32 pages, u32 align, u32 start)
{
	u32 want = policy == PLACE_BEST ? pm_find_best(pm, pages, align) :
					  pm_find(pm, pages, align);

	pm_check(pm, start % align == 0, "alignment", pages, align, start, 0);
	if (policy == PLACE_BEST)
		pm_check(pm, start == want, "not the best", pages, align, start,
			 want);
	else
		pm_check(pm, align == 1 ? start == want : start >= want,
			 "not the lowest", pages, align, start, want);
}

/* A span that was just placed knows which chunks it has to itself. */
static void pm_compare_alone(struct place_model *pm, u32 start, u32 pages)
{
	u32 chunk, at, from, to, n, i;

	for (chunk = start / PLACE_CHUNK_PAGES;
	     chunk * PLACE_CHUNK_PAGES < start + pages; chunk++) {
		at = chunk * PLACE_CHUNK_PAGES;
		from = start > at ? start - at : 0;
		to = start + pages - at < PLACE_CHUNK_PAGES ?
		     start + pages - at : PLACE_CHUNK_PAGES;
		for (i = 0, n = 0; i < PLACE_CHUNK_PAGES; i++)
			n += pm->used[at + i];
		pm_check(pm, place_chunk_only(&pm->pl, chunk, from, to) ==
			 (n == to - from), "chunk_only", pages, 0, from, to);
	}
}

static void pm_alloc(struct place_model *pm, enum place_policy policy,
		     u32 asked, u32 align)
{
	u32 start = PM_PAGES, granted = 0, n;
	u32 pages = asked > PM_PAGES ? asked : pm_granted(policy, asked);
	u32 own = pages < PLACE_CHUNK_PAGES ? pages : PLACE_CHUNK_PAGES;
	int ret = place_alloc_by(&pm->pl, policy, asked, align, &start,
				 &granted);

	if (policy == PLACE_BUDDY && align < own && asked <= PM_PAGES)
		align = own;
	if (ret == -EAGAIN || ret == -ENOSPC) {
		pm_refused(pm, ret, policy, pages, align);
		return;
	}
	pm_check(pm, !ret, "failed", pages, align, (u32)-ret, 0);
	pm_check(pm, granted == pages, "granted", asked, align, granted, pages);
	pm_place_right(pm, policy, pages, align, start);
	for (n = 0; n < pages; n++) {
		pm_check(pm, !pm->used[start + n], "taken already", pages,
			 align, start + n, 0);
		pm->used[start + n] = 1;
	}
	pm_compare_alone(pm, start, pages);
	pm->span[pm->nr].start = start;
	pm->span[pm->nr].tag = selector_alloc(&pm->sel, pm->step, asked, align);
	pm->span[pm->nr++].pages = pages;
}

static void pm_free(struct place_model *pm, u32 at)
{
	u32 start, pages;

	if (!pm->nr)
		return;
	at %= pm->nr;
	start = pm->span[at].start;
	pages = pm->span[at].pages;
	place_free(&pm->pl, start, pages);
	selector_free(&pm->sel, pm->step, pm->span[at].tag, start, pages);
	memset(pm->used + start, 0, pages);
	pm->span[at] = pm->span[--pm->nr];
}

static void pm_compare_chunks(struct place_model *pm)
{
	u32 chunk, n, i, touched = 0;

	for (chunk = 0; chunk < PM_CHUNKS; chunk++) {
		for (i = 0, n = 0; i < PLACE_CHUNK_PAGES; i++)
			n += pm->used[chunk * PLACE_CHUNK_PAGES + i];
		pm_check(pm, place_chunk_used(&pm->pl, chunk) == n,
			 "chunk_used", chunk, 0,
			 place_chunk_used(&pm->pl, chunk), n);
		touched += n > 0;
	}
	pm_check(pm, pm->pl.chunks_used == touched, "chunks_used", 0, 0,
		 pm->pl.chunks_used, touched);
}

static void pm_compare_map(struct place_model *pm)
{
	u32 page, end = pm->pl.chunks * PLACE_CHUNK_PAGES;
	const u64 *map;
	bool bit;

	for (page = 0; page < end; page++) {
		map = place_chunk_map(&pm->pl, page / PLACE_CHUNK_PAGES);
		bit = map[page % PLACE_CHUNK_PAGES / 64] >> (page % 64) & 1;
		pm_check(pm, bit == pm->used[page], "map", page, 0, bit,
			 pm->used[page]);
	}
}

static void pm_compare_shape(struct place_model *pm)
{
	struct place_stats st, want = { 0 };
	u32 page, run = 0;

	place_measure(&pm->pl, &st);
	for (page = 0; page < PM_PAGES; page++) {
		if (!pm->used[page]) {
			run++;
			continue;
		}
		want.used++;
		want.top = page + 1;
		want.holes += run > 0;
		want.hole_pages += run;
		if (run > want.hole_best)
			want.hole_best = run;
		run = 0;
	}
	pm_check(pm, st.used == want.used, "used", 0, 0, st.used, want.used);
	pm_check(pm, st.top == want.top, "top", 0, 0, st.top, want.top);
	pm_check(pm, st.holes == want.holes, "holes", 0, 0, st.holes,
		 want.holes);
	pm_check(pm, st.hole_pages == want.hole_pages, "hole_pages", 0, 0,
		 st.hole_pages, want.hole_pages);
	pm_check(pm, st.hole_best == want.hole_best, "hole_best", 0, 0,
		 st.hole_best, want.hole_best);
	pm_check(pm, pm->pl.spans == pm->nr, "spans", 0, 0, pm->pl.spans,
		 pm->nr);
}

/* A shadow arena's bitmap has as many pages as it says. */
static void pm_compare_bits(struct place_model *pm, const struct place *pl)
{
	u32 chunk, n = 0;

	for (chunk = 0; chunk < pl->chunks; chunk++)
		n += place_chunk_used(pl, chunk);
	pm_check(pm, n == pl->pages_used, "shadow bits", 0, 0, n,
		 pl->pages_used);
}

/*
 * A shadow arena holds what the entries say, each placed by its policy, and
 * what is left from before the epoch.
 */
static void pm_compare_shadow(struct place_model *pm, u32 policy)
{
	const struct selector *sel = &pm->sel;
	const struct place *pl = &sel->arena[policy];
	u32 i, n, page, by, range, spans = 0, granted = 0, live = 0;
	const struct selector_entry *e;

	for (i = 0; i < sel->entries; i++) {
		e = &sel->entry[i];
		if (!e->pages)
			continue;
		range = selector_range(e->pages);
		by = range == sel->subject ? policy : sel->range[range].policy;
		n = pm_granted(by, e->pages);
		spans++;
		granted += n;
		live += e->pages;
		page = e->start[policy];
		pm_check(pm, page + n <= pl->chunks * PLACE_CHUNK_PAGES &&
			 pl->used[page / 64] >> (page % 64) & 1,
			 "shadow span", e->pages, 0, page, 0);
	}
	pm_check(pm, sel->before || pl->spans == spans, "shadow spans", policy, 0, pl->spans,
		 spans);
	granted += sel->before;
	live += sel->before;
	pm_check(pm, pl->pages_used == granted, "shadow pages", policy, 0,
		 pl->pages_used, granted);
	pm_check(pm, sel->live == live, "shadow live", policy, 0, sel->live,
		 live);
	pm_compare_bits(pm, pl);
}

static void pm_compare_selector(struct place_model *pm)
{
	u32 policy;

	if (!pm->sel.running)
		return;
	pm_check(pm, pm->sel.events < PM_EPOCH, "epoch", 0, 0,
		 pm->sel.events, PM_EPOCH);
	for (policy = 0; policy < PLACE_POLICIES; policy++)
		pm_compare_shadow(pm, policy);
}

static struct place_model *pm_new(void)
{
	struct place_model *pm = calloc(1, sizeof(*pm));
	void *table = calloc(1, selector_table_bytes(PM_SHADOW_CHUNKS,
						     PM_SHADOW_ENTRIES));

	if (!pm || !table || place_init(&pm->pl, PM_CHUNKS) ||
	    selector_init(&pm->sel, &pm->pl, table, PM_SHADOW_CHUNKS,
			  PM_SHADOW_ENTRIES, PM_EPOCH))
		abort();
	return pm;
}

static void pm_end(struct place_model *pm)
{
	while (pm->nr)
		pm_free(pm, 0);
	pm_compare_chunks(pm);
	pm_compare_map(pm);
	pm_compare_shape(pm);
	pm_compare_selector(pm);
	free(pm->sel.table);
	free(place_table(&pm->pl));
	free(pm);
}

/* Something rarer: what an epoch's end, a pin, a stranger's tag do. */
static void pm_step_selector(struct place_model *pm, u32 arg, u32 what)
{
	switch (what % 4) {
	case 0:
		/* Epochs come as often as the input likes. */
		pm->sel.until = 1;
		break;
	case 1:
		selector_pin(&pm->sel, arg % (SELECTOR_AUTO + 2));
		break;
	case 2:
		pm->sel.events = PM_EPOCH - 1;
		break;
	default:
		pm_compare_selector(pm);
		break;
	}
}

/* One step by four bytes. */
static void pm_step(struct place_model *pm, const unsigned char b[4])
{
	enum place_policy policy = (b[0] >> 3) % 4;
	u32 arg = (u32)b[1] | (u32)b[2] << 8;
	u32 align = 1U << (b[3] % 10);

	pm->step++;
	switch (b[0] % 8) {
	case 0:
	case 1:
		arg = 1 + arg % 8;
		break;
	case 2:
		arg = 1 + arg % 700;
		align = b[3] & 0x80 ? align : 1;
		break;
	case 3:
		if (b[3] % 4 == 0) {
			pm_step_selector(pm, arg, b[3] / 4);
			return;
		}
		arg = 1 + arg % (PM_PAGES + 10);
		align = 1;
		break;
	default:
		pm_free(pm, arg);
		return;
	}
	if (policy == PLACE_POLICIES)
		policy = selector_pick(&pm->sel, arg);
	pm_alloc(pm, policy, arg, align);
}

#endif /* PLACE_MODEL_H */
