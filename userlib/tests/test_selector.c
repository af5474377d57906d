// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The choice of placement policies (module/selector.c) by itself.
 */
#include <errno.h>

#include "tests/selector_streams.h"
#include "test.h"

static int setup(void **state)
{
	struct stream *s = malloc(sizeof(*s));
	void *table = calloc(1, selector_table_bytes(STREAM_CHUNKS,
						     STREAM_ENTRIES));

	test_note_name(state);
	if (!s || !table || stream_init(s, table))
		return -1;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stream *s = *state;

	free(s->sel.table);
	free(s);
	return 0;
}

#define STREAM_TEST(f)	{ #f, f, setup, teardown, (void *)#f }

static void ranges(void **state)
{
	struct stream *s = *state;
	struct selector_report rep;
	u32 range, next = 1;

	for (range = 0; range < SELECTOR_RANGES; range++) {
		EQ(selector_report(&s->sel, range, &rep), 0);
		EQ(rep.pages_min, next);
		EQ(selector_range(rep.pages_min), range);
		EQ(selector_range(rep.pages_max), range);
		EQ(rep.range.policy, PLACE_FIRST);
		EQ(rep.range.why, SELECTOR_DEFAULT);
		next = rep.pages_max + 1;
	}
	EQ(rep.pages_min, 4097);
	EQ(rep.pages_max, 1U << 31);
	EQ(selector_report(&s->sel, SELECTOR_RANGES, &rep), -EINVAL);
}

static void init_range(void **state)
{
	struct selector sel;
	struct place pl;
	u64 t;

	(void)state;
	EQ(place_init(&pl, 1), 0);
	EQ(selector_init(&sel, &pl, &t, 0, 1, 1), -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 3, 1, 1), -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 2 * SELECTOR_CHUNKS_MAX, 1, 1),
	   -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 1, 0, 1), -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 1, SELECTOR_ENTRIES_MAX + 1, 1),
	   -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 1, 1, 0), -EINVAL);
	EQ(selector_init(&sel, &pl, &t, 1, 1, SELECTOR_EPOCH_MAX + 1),
	   -EINVAL);
	EQ(selector_init(&sel, &pl, NULL, 0, 0, 1), 0);
}

static void chooses_buddy(void **state)
{
	struct stream *s = *state;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_epochs(s, stream_for_buddy, SELECTOR_EPOCHS - 1);
	EQ(r->policy, PLACE_FIRST);
	EQ(r->row, SELECTOR_EPOCHS - 1);
	stream_epochs(s, stream_for_buddy, 1);
	EQ(r->policy, PLACE_BUDDY);
	EQ(r->why, SELECTOR_WASTE);
	EQ(r->switches, 1);
	IS(r->since > 0 && r->since < s->now);
	IS(r->old.waste > r->new.waste + SELECTOR_MARGIN);
	EQ(selector_pick(&s->sel, 500), PLACE_BUDDY);
	EQ(selector_pick(&s->sel, 256), PLACE_FIRST);
}

static void chooses_best(void **state)
{
	struct stream *s = *state;

	stream_epochs(s, stream_for_best, 20);
	EQ(s->sel.range[STREAM_HALVES].policy, PLACE_BEST);
	EQ(s->sel.range[STREAM_HALVES].why, SELECTOR_WASTE);
	EQ(s->sel.range[STREAM_HALVES].switches, 1);
}

static void chooses_first(void **state)
{
	struct stream *s = *state;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_epochs(s, stream_for_first, 10);
	EQ(r->policy, PLACE_FIRST);
	EQ(r->switches, 0);
	IS(r->epochs > 5);
	stream_epochs(s, stream_for_buddy, SELECTOR_EPOCHS);
	EQ(r->policy, PLACE_BUDDY);
	stream_epochs(s, stream_for_first, 2 * SELECTOR_EPOCHS);
	EQ(r->policy, PLACE_FIRST);
	EQ(r->why, SELECTOR_WASTE);
	EQ(r->switches, 2);
}

static void does_not_flap(void **state)
{
	struct stream *s = *state;

	stream_alternate(s, 30);
	EQ(s->sel.range[STREAM_WHOLES].switches, 0);
	IS(s->sel.range[STREAM_WHOLES].epochs > 25);
}

/* The row doubles three times, so an adversary gets a switch in 24 epochs. */
static void flaps_less_and_less(void **state)
{
	struct stream *s = *state;
	const struct selector_range *r = &s->sel.range[STREAM_WHOLES];

	stream_against(s, 100);
	IS(r->switches >= SELECTOR_DOUBLINGS);
	IS(r->switches <= stream_switches_max(r->epochs));
}

static void stays_pinned(void **state)
{
	struct stream *s = *state;
	struct selector_report rep;
	u32 epoch, i;

	stream_epochs(s, stream_for_buddy, 2);
	EQ(selector_pin(&s->sel, SELECTOR_AUTO + 1), -EINVAL);
	EQ(selector_pin(&s->sel, PLACE_BEST), 0);
	epoch = s->sel.epoch;
	for (i = 0; i < 200; i++)
		stream_for_buddy(s);
	EQ(s->sel.epoch, epoch);
	EQ(selector_pick(&s->sel, 1), PLACE_BEST);
	EQ(selector_pick(&s->sel, 500), PLACE_BEST);
	EQ(selector_report(&s->sel, STREAM_WHOLES, &rep), 0);
	EQ(rep.range.policy, PLACE_BEST);
	EQ(rep.range.why, SELECTOR_PINNED);
	EQ(selector_pin(&s->sel, SELECTOR_AUTO), 0);
	EQ(selector_pick(&s->sel, 500), PLACE_FIRST);
	stream_epochs(s, stream_for_buddy, 4);
	EQ(selector_pick(&s->sel, 500), PLACE_BUDDY);
}

static void same_twice(void **state)
{
	struct stream *s = *state, *t = malloc(sizeof(*t));
	void *table = calloc(1, selector_table_bytes(STREAM_CHUNKS,
						     STREAM_ENTRIES));

	IS(t && table);
	EQ(stream_init(t, table), 0);
	stream_against(s, 10);
	stream_against(t, 10);
	EQ(memcmp(s->sel.range, t->sel.range, sizeof(s->sel.range)), 0);
	EQ(s->now, t->now);
	free(table);
	free(t);
}

static void costs_little_when_nothing_changes(void **state)
{
	struct stream *s = *state;
	u32 most = SELECTOR_GAP_MAX * STREAM_EPOCH, gap;
	u64 began;

	stream_epochs(s, stream_for_first, 12);
	gap = s->sel.gap;
	IS(gap >= most && gap < 2 * most);
	began = s->now;
	stream_epochs(s, stream_for_first, 2);
	EQ(s->sel.gap, gap);
	IS(s->now - began > 2 * most);
}

/* A table of four entries ends every epoch, and only time is lost. */
static void table_full(void **state)
{
	struct stream *s = *state;
	u32 i;

	EQ(selector_init(&s->sel, &s->real, s->sel.table, STREAM_CHUNKS, 4,
			 STREAM_EPOCH), 0);
	for (i = 0; i < 500; i++)
		stream_for_best(s);
	IS(s->sel.cut > 3);
	IS(s->sel.epoch >= s->sel.cut);
	EQ(s->sel.range[STREAM_HALVES].switches, 0);
}

static void until_epoch(struct stream *s)
{
	while (!s->sel.running)
		stream_alloc(s, 0, 1);
}

/* Shadow arenas of 4 chunks: longer spans are not followed, a heap ends it. */
static void arena_full(void **state)
{
	struct stream *s = *state;
	u32 i, tag;

	EQ(selector_init(&s->sel, &s->real, s->sel.table, 4, STREAM_ENTRIES,
			 STREAM_EPOCH), 0);
	until_epoch(s);
	tag = selector_alloc(&s->sel, 0, 2 * PLACE_CHUNK_PAGES, 1);
	selector_free(&s->sel, 0, tag, 0, 2 * PLACE_CHUNK_PAGES);
	tag = selector_alloc(&s->sel, 0, 1U << 31, 1);
	selector_free(&s->sel, 0, tag, 0, 1U << 31);
	EQ(s->sel.live, 0);
	IS(s->sel.running);
	for (i = 0; i < 200 && s->sel.running; i++)
		stream_alloc(s, i, 300);
	IS(!s->sel.running);
	IS(i < 200);
}

/* What was there before stands in the way, and goes when its owner frees it. */
static void begins_with_a_copy(void **state)
{
	struct stream *s = *state;
	u32 start[2], p, tag;

	EQ(place_init(&s->real, STREAM_CHUNKS), 0);
	place_grow(&s->real, calloc(1, place_table_bytes(2)), 2);
	EQ(place_alloc(&s->real, 100, 1, &start[0]), 0);
	EQ(place_alloc(&s->real, 800, 1, &start[1]), 0);
	until_epoch(s);
	for (p = 0; p < PLACE_POLICIES; p++) {
		EQ(s->sel.arena[p].pages_used, 900);
		EQ(s->sel.arena[p].chunks_used, 2);
	}
	EQ(s->sel.live, 900);
	selector_free(&s->sel, 0, 0, start[0], 100);
	/* This one is from now, and so in no copy. */
	tag = selector_alloc(&s->sel, 0, 60, 1);
	EQ(s->sel.entry[tag & 0xfff].start[PLACE_FIRST], 0);
	EQ(s->sel.live, 860);
	selector_free(&s->sel, 0, tag, 0, 60);
	EQ(s->sel.before, 800);
	/* Beyond the tables, and more than there is. */
	selector_free(&s->sel, 0, 0, STREAM_CHUNKS * 512 - 1, 2);
	selector_free(&s->sel, 0, 0, STREAM_CHUNKS * 512, 1);
	selector_free(&s->sel, 0, 0, 0, 801);
	EQ(s->sel.live, 800);
	selector_free(&s->sel, 0, 0, start[1], 800);
	EQ(s->sel.before, 0);
	for (p = 0; p < PLACE_POLICIES; p++)
		EQ(s->sel.arena[p].pages_used, 0);
	EQ(s->sel.live, 0);
	free(place_table(&s->real));
}

/* An arena of more chunks than the shadows is copied once they have grown. */
static void grows(void **state)
{
	struct stream *s = *state;
	u32 chunks = 2 * STREAM_CHUNKS, start;

	EQ(place_init(&s->real, chunks), 0);
	place_grow(&s->real, calloc(1, place_table_bytes(chunks)), chunks);
	EQ(place_alloc(&s->real, 100, 1, &start), 0);
	until_epoch(s);
	EQ(s->sel.live, 0);
	EQ(s->sel.arena[0].pages_used, 0);
	selector_free(&s->sel, 0, 0, start, 100);
	EQ(s->sel.live, 0);
	free(selector_grow(&s->sel,
			   malloc(selector_table_bytes(chunks, STREAM_ENTRIES)),
			   chunks));
	IS(!s->sel.running);
	until_epoch(s);
	EQ(s->sel.live, 100);
	EQ(s->sel.arena[0].pages_used, 100);
	selector_free(&s->sel, 0, 0, start, 100);
	EQ(s->sel.live, 0);
	free(place_table(&s->real));
}

static void strange_frees(void **state)
{
	struct stream *s = *state;
	u32 tag, events;

	until_epoch(s);
	tag = selector_alloc(&s->sel, 0, 7, 1);
	IS(tag);
	EQ(s->sel.live, 7);
	selector_free(&s->sel, 0, tag, 0, 7);
	EQ(s->sel.live, 0);
	events = s->sel.events;
	selector_free(&s->sel, 0, tag, 0, 7);
	selector_free(&s->sel, 0, tag | 0xfff, 0, 7);
	selector_free(&s->sel, 0, tag + (1 << 20), 0, 7);
	selector_free(&s->sel, 0, ~0U, ~0U, ~0U);
	selector_free(&s->sel, 0, 0, STREAM_CHUNKS * 512 - 1, 2);
	selector_free(&s->sel, 0, 0, 0, 0);
	EQ(s->sel.live, 0);
	EQ(s->sel.events, events);
}

/* With no memory it picks first fit and follows nothing. */
static void no_table(void **state)
{
	struct stream *s = malloc(sizeof(*s));
	u32 i;

	(void)state;
	IS(s);
	EQ(stream_init(s, NULL), 0);
	for (i = 0; i < 100; i++)
		stream_for_buddy(s);
	EQ(s->sel.epoch, 0);
	EQ(selector_pick(&s->sel, 500), PLACE_FIRST);
	EQ(selector_pin(&s->sel, PLACE_BUDDY), 0);
	EQ(selector_pick(&s->sel, 500), PLACE_BUDDY);
	free(s);
}

static const struct CMUnitTest tests[] = {
	STREAM_TEST(ranges),
	TEST(init_range),
	STREAM_TEST(chooses_buddy),
	STREAM_TEST(chooses_best),
	STREAM_TEST(chooses_first),
	STREAM_TEST(does_not_flap),
	STREAM_TEST(flaps_less_and_less),
	STREAM_TEST(stays_pinned),
	STREAM_TEST(same_twice),
	STREAM_TEST(costs_little_when_nothing_changes),
	STREAM_TEST(table_full),
	STREAM_TEST(arena_full),
	STREAM_TEST(begins_with_a_copy),
	STREAM_TEST(grows),
	STREAM_TEST(strange_frees),
	TEST(no_table),
};

TEST_MAIN(tests)
