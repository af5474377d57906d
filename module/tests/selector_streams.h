/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * Streams of allocations and frees of which it is known what serves them best.
 * The native tests and KUnit play the same.
 */
#ifndef BMEM_SELECTOR_STREAMS_H
#define BMEM_SELECTOR_STREAMS_H

#include "../selector.h"

#define STREAM_SPANS		256
#define STREAM_CHUNKS		128
#define STREAM_ENTRIES		512
#define STREAM_EPOCH		2048

/* Ranges that the streams below are about. */
#define STREAM_HALVES		4	/* 129 to 256 pages */
#define STREAM_WHOLES		5	/* 257 to 512 pages */

/**
 * struct stream - a client as its selector sees it
 * @sel: selector
 * @real: the client's arena: empty, so that every epoch begins alike
 * @now: events so far, the selector's time
 * @seed: of the random numbers, not 0
 * @span: what is alive
 */
struct stream {
	struct selector sel;
	struct place real;
	u64 now;
	u64 seed;
	struct {
		u32 pages;
		u32 tag;
	} span[STREAM_SPANS];
};

static u32 stream_random(struct stream *s, u32 below)
{
	s->seed ^= s->seed >> 12;
	s->seed ^= s->seed << 25;
	s->seed ^= s->seed >> 27;
	return (u32)(s->seed * 0x2545f4914f6cdd1dULL >> 40) % below;
}

static void stream_alloc(struct stream *s, u32 i, u32 pages)
{
	s->span[i].pages = pages;
	s->span[i].tag = selector_alloc(&s->sel, s->now++, pages, 1);
}

static void stream_free(struct stream *s, u32 i)
{
	if (s->span[i].pages)
		selector_free(&s->sel, s->now++, s->span[i].tag, 0,
			      s->span[i].pages);
	s->span[i].pages = 0;
}

static void stream_clear(struct stream *s)
{
	u32 i;

	for (i = 0; i < STREAM_SPANS; i++)
		stream_free(s, i);
}

/*
 * One span in eight of almost a chunk survives: side by side they lie across
 * two chunks each and hold both, rounded up to a chunk they hold one.
 */
static void stream_for_buddy(struct stream *s)
{
	u32 i, n;

	for (i = 0; i < 64; i++)
		stream_alloc(s, i, 500);
	for (i = 0; i < 64; i++)
		if (i % 8)
			stream_free(s, i);
	for (n = 0; n < 100; n++) {
		stream_alloc(s, 100, 500);
		stream_free(s, 100);
	}
	stream_clear(s);
}

/*
 * Holes of two lengths, and what fits the shorter ones is asked for first:
 * put into the longer ones it leaves no place for the others.
 */
static void stream_for_best(struct stream *s)
{
	u32 i, n;

	for (i = 0; i < 40; i++) {
		stream_alloc(s, 4 * i, 250);
		stream_alloc(s, 4 * i + 1, 129);
		stream_alloc(s, 4 * i + 2, 130);
		stream_alloc(s, 4 * i + 3, 129);
	}
	for (n = 0; n < 5; n++) {
		for (i = 0; i < 80; i++)
			stream_free(s, 2 * i);
		for (i = 0; i < 40; i++)
			stream_alloc(s, 4 * i + 2, 130);
		for (i = 0; i < 40; i++)
			stream_alloc(s, 4 * i, 250);
	}
	stream_clear(s);
}

/* One length, half a chunk and a little: rounding wastes, searching is idle. */
static void stream_for_first(struct stream *s)
{
	u32 n, i;

	for (n = 0; n < 1000; n++) {
		i = stream_random(s, 64);
		stream_free(s, i);
		stream_alloc(s, i, 260);
	}
	stream_clear(s);
}

/* Play until so many more epochs have begun. */
static void stream_epochs(struct stream *s, void (*play)(struct stream *s),
			  u32 epochs)
{
	u32 end = s->sel.epoch + epochs;

	while (s->sel.epoch < end || s->sel.running)
		play(s);
}

/* Another taste at each epoch: none ever has a row of epochs for itself. */
static void stream_alternate(struct stream *s, u32 epochs)
{
	u32 i;

	for (i = 0; i < epochs; i++)
		stream_epochs(s, i % 2 ? stream_for_first : stream_for_buddy,
			      1);
}

/* Always the taste that what was chosen is worst for. */
static void stream_against(struct stream *s, u32 epochs)
{
	u32 i;

	for (i = 0; i < epochs; i++)
		stream_epochs(s, s->sel.range[STREAM_WHOLES].policy ==
				 PLACE_BUDDY ? stream_for_first :
					       stream_for_buddy, 1);
}

/* Switches that even a stream against the selector gets in so many epochs. */
static u32 stream_switches_max(u32 epochs)
{
	return SELECTOR_DOUBLINGS + 1 +
	       epochs / (SELECTOR_EPOCHS << SELECTOR_DOUBLINGS);
}

/* Return: 0, or -EINVAL; @table as selector_init() takes it. */
static int stream_init(struct stream *s, void *table)
{
	memset(s, 0, sizeof(*s));
	s->seed = 88172645463325252ULL;
	if (place_init(&s->real, STREAM_CHUNKS))
		return -EINVAL;
	return selector_init(&s->sel, &s->real, table, STREAM_CHUNKS,
			     STREAM_ENTRIES, STREAM_EPOCH);
}

#endif /* BMEM_SELECTOR_STREAMS_H */
