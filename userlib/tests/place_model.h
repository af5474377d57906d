/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * module/place.c against one byte a page: what a list of bytes makes it do is
 * done to a naive model as well, and everything that it answers is compared.
 * Used by the random test and by the fuzzer.
 */
#ifndef PLACE_MODEL_H
#define PLACE_MODEL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "place.h"

#define PM_CHUNKS	16
#define PM_PAGES	(PM_CHUNKS * PLACE_CHUNK_PAGES)
#define PM_SPANS	PM_PAGES

struct place_model {
	struct place pl;
	unsigned char used[PM_PAGES];
	struct {
		u32 start, pages;
	} span[PM_SPANS];
	u32 nr;
	unsigned long step;
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

/* Lowest free run by looking at every page; PM_PAGES if there is none. */
static u32 pm_find(const struct place_model *pm, u32 pages, u32 align)
{
	u32 end = pm->pl.chunks * PLACE_CHUNK_PAGES, start, n;

	for (start = 0; start + pages <= end; start += align) {
		for (n = 0; n < pages && !pm->used[start + n]; n++)
			;
		if (n == pages)
			return start;
	}
	return PM_PAGES;
}

static void pm_grow(struct place_model *pm)
{
	u32 chunks = pm->pl.chunks ? 2 * pm->pl.chunks : 1;

	free(place_grow(&pm->pl, calloc(1, place_table_bytes(chunks)), chunks));
}

static void pm_alloc(struct place_model *pm, u32 pages, u32 align)
{
	u32 start = PM_PAGES, want = pm_find(pm, pages, align), n;
	int ret = place_alloc(&pm->pl, pages, align, &start);

	if (ret == -EAGAIN || ret == -ENOSPC) {
		bool last = pm->pl.chunks == PM_CHUNKS;

		/* Refused only if not even any alignment would do. */
		pm_check(pm, align == 1 ? want == PM_PAGES :
			 pm_find(pm, pages + align - 1, 1) == PM_PAGES,
			 "refused, but it fits", pages, align, 0, want);
		pm_check(pm, (ret == -ENOSPC) == (last || pages > PM_PAGES),
			 "wrong refusal", pages, align, (u32)-ret,
			 last ? ENOSPC : EAGAIN);
		if (ret == -EAGAIN)
			pm_grow(pm);
		return;
	}
	pm_check(pm, !ret, "failed", pages, align, (u32)-ret, 0);
	pm_check(pm, start % align == 0, "alignment", pages, align, start, 0);
	pm_check(pm, align == 1 ? start == want : start >= want,
		 "not the lowest", pages, align, start, want);
	for (n = 0; n < pages; n++) {
		pm_check(pm, !pm->used[start + n], "taken already", pages,
			 align, start + n, 0);
		pm->used[start + n] = 1;
	}
	pm->span[pm->nr].start = start;
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
	memset(pm->used + start, 0, pages);
	pm->span[at] = pm->span[--pm->nr];
}

static void pm_compare_chunks(struct place_model *pm)
{
	u32 chunk, n, i;

	for (chunk = 0; chunk < PM_CHUNKS; chunk++) {
		for (i = 0, n = 0; i < PLACE_CHUNK_PAGES; i++)
			n += pm->used[chunk * PLACE_CHUNK_PAGES + i];
		pm_check(pm, place_chunk_used(&pm->pl, chunk) == n,
			 "chunk_used", chunk, 0,
			 place_chunk_used(&pm->pl, chunk), n);
	}
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

static struct place_model *pm_new(void)
{
	struct place_model *pm = calloc(1, sizeof(*pm));

	if (!pm || place_init(&pm->pl, PM_CHUNKS))
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
	free(place_table(&pm->pl));
	free(pm);
}

/* One step by four bytes. */
static void pm_step(struct place_model *pm, const unsigned char b[4])
{
	u32 arg = (u32)b[1] | (u32)b[2] << 8;
	u32 align = 1U << (b[3] % 10);

	pm->step++;
	switch (b[0] % 8) {
	case 0:
	case 1:
		pm_alloc(pm, 1 + arg % 8, align);
		break;
	case 2:
		pm_alloc(pm, 1 + arg % 700, b[3] & 0x80 ? align : 1);
		break;
	case 3:
		pm_alloc(pm, 1 + arg % (PM_PAGES + 10), 1);
		break;
	default:
		pm_free(pm, arg);
		break;
	}
}

#endif /* PLACE_MODEL_H */
