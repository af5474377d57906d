/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * trend: does a quantity grow without end, from a few numbers that are kept of
 * its past?
 *
 * Pure logic, as place.h is: compiled into the module and into the tests.  The
 * caller serialises all calls on one trend.
 */
#ifndef BMEM_TREND_H
#define BMEM_TREND_H

#ifdef __KERNEL__
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#endif

/* Spans that are kept, and how many of one length at most. */
#define TREND_SPANS	24
#define TREND_ALIKE	4

/* Fewer than these, and nothing is said about the trend. */
#define TREND_NEEDED	8

/**
 * enum trend_class - what becomes of the quantity
 * @TREND_UNKNOWN: too little of it was seen, or it fits nowhere
 * @TREND_STEADY: it has always been about the same
 * @TREND_PLATEAU: it has grown, and does no more, or ever less
 * @TREND_SAW_TOOTH: it goes up and down
 * @TREND_LINEAR: it grows, and about as fast as it did
 * @TREND_ACCELERATING: it grows faster and faster
 * @TREND_CLASSES: how many there are
 */
enum trend_class {
	TREND_UNKNOWN,
	TREND_STEADY,
	TREND_PLATEAU,
	TREND_SAW_TOOTH,
	TREND_LINEAR,
	TREND_ACCELERATING,
	TREND_CLASSES
};

/**
 * struct trend_span - a part of the past
 * @from: tick of the first sample in it
 * @low: least of its samples
 * @high: largest of its samples
 */
struct trend_span {
	u32 from;
	u32 low;
	u32 high;
};

/**
 * struct trend - a quantity's past
 * @low: least in each span of the past, oldest first
 * @spread: by how much its largest is larger, packed: see trend.c
 * @ticks: how long it lasted, packed
 * @weight: the same as a power of two of the base period
 * @now: the span that has just begun; nothing in it when @open is not set
 * @noticed: tick at which it was first found to grow, with @growing
 * @seen: tick at which it was last found to
 * @turn: where it last turned: highest or lowest sample since
 * @base: the base period: so often has the caller's period been doubled
 * @nr: spans of the past
 * @looks: calls of trend_watch(), modulo 256
 * @swings: how often it has gone up and come down again by much, up to 255
 * @open: @now has a sample
 * @falling: @turn is a lowest one
 * @growing: it does, or did a short time ago
 *
 * All zero to begin with.
 */
struct trend {
	u32 low[TREND_SPANS];
	u16 spread[TREND_SPANS];
	u16 ticks[TREND_SPANS];
	u8 weight[TREND_SPANS];
	struct trend_span now;
	u32 noticed;
	u32 seen;
	u32 turn;
	u8 base;
	u8 nr;
	u8 looks;
	u8 swings;
	bool open;
	bool falling;
	bool growing;
};

/**
 * struct trend_verdict - what a trend amounts to
 * @class: in a word
 * @confidence: that it rises, per thousand: one less the chance that what has
 *	no trend looks like this; 500 for no trend at all
 * @since: tick at which the growth began, or of the first sample
 * @slope: change of the low points in a thousand ticks, from @since on
 * @rise: how far the low points are above where they were at @since
 */
struct trend_verdict {
	enum trend_class class;
	u32 confidence;
	u32 since;
	s64 slope;
	u32 rise;
};

void trend_add(struct trend *t, u32 value, u32 now, u32 period);
void trend_range(const struct trend *t, u32 now, u32 *least, u32 *most);
bool trend_may_grow(const struct trend *t);
void trend_judge(const struct trend *t, u32 now, struct trend_verdict *v);
bool trend_watch(struct trend *t, u32 now, u32 least);
bool trend_lasts(const struct trend *t, const struct trend_verdict *v, u32 now,
		 u32 least);

static inline bool trend_grows(const struct trend_verdict *v)
{
	return v->class == TREND_LINEAR || v->class == TREND_ACCELERATING;
}

#endif /* BMEM_TREND_H */
