/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * Series of which it is known what becomes of them.  The native tests and
 * KUnit play the same.
 */
#ifndef BMEM_TREND_SERIES_H
#define BMEM_TREND_SERIES_H

#include "../trend.h"

/* Ticks between two samples, and that the shortest spans last. */
#define SERIES_PERIOD	100

/**
 * struct series - a quantity as a function of time
 * @name: what it is
 * @at: its value at sample @i, with some noise @r, 0 to 1023
 * @samples: after so many the class is to be @class
 * @class: one of enum trend_class
 * @never: it must not be said to grow at any time from @from on
 * @from: sample
 */
struct series {
	const char *name;
	u32 (*at)(u32 i, u32 r);
	u32 samples;
	enum trend_class class;
	bool never;
	u32 from;
};

static u32 series_constant(u32 i, u32 r)
{
	(void)i;
	(void)r;
	return 1000;
}

static u32 series_noise(u32 i, u32 r)
{
	(void)i;
	return 100000 + r * 8;
}

static u32 series_nothing(u32 i, u32 r)
{
	(void)i;
	(void)r;
	return 0;
}

/* A leak from the start. */
static u32 series_linear(u32 i, u32 r)
{
	return 500 + 40 * i + r / 64;
}

/* One block in a while, below what comes and goes. */
static u32 series_slow(u32 i, u32 r)
{
	return 20000 + i / 20 * 64 + r / 16;
}

/* A leak in a program that has run well for ten thousand samples. */
static u32 series_late(u32 i, u32 r)
{
	return 50000 + (i > 10000 ? 40 * (i - 10000) : 0) + r;
}

static u32 series_square(u32 i, u32 r)
{
	return 1000 + i * i / 4 + r / 64;
}

/* As fast as time goes by, on top of a leak that is always as fast. */
static u32 series_gaining(u32 i, u32 r)
{
	return 200 * i + 25 * i * i + r / 64;
}

/* Filled up in 60 samples; after 60, a quarter more makes that plain. */
static u32 series_filled(u32 i, u32 r)
{
	return 200 * (i < 60 ? i : 60) + r / 256;
}

/* 1 - exp(-t / 100), as powers of 0.99. */
static u32 series_warm_up(u32 i, u32 r)
{
	u64 left = 1000000;

	for (i = i < 2000 ? i : 2000; i; i--)
		left = left * 99 / 100;
	return (u32)((1000000 - left) / 10) + r / 64;
}

/* A buffer that is filled and emptied. */
static u32 series_saw_tooth(u32 i, u32 r)
{
	return 2000 + i % 37 * 300 + r / 64;
}

static u32 series_long_saw_tooth(u32 i, u32 r)
{
	return 2000 + i % 611 * 300 + r / 64;
}

/* The same, and each time a little stays. */
static u32 series_leaking_saw(u32 i, u32 r)
{
	return 2000 + i % 37 * 30 + i * 20 + r / 64;
}

/* A cache at its bound, with things that come and go. */
static u32 series_cache(u32 i, u32 r)
{
	return i < 30 ? i * 1000 : 30000 - r;
}

static u32 series_shrinking(u32 i, u32 r)
{
	return 1000000 - 400 * i + r / 64;
}

/* What is live between two epochs, and within. */
static u32 series_epochs(u32 i, u32 r)
{
	return (i / 50 % 2 ? 80000 : 20000) + r;
}

static const struct series trend_series[] = {
	{ "constant", series_constant, 500, TREND_STEADY, true, 0 },
	{ "noise", series_noise, 2000, TREND_STEADY, true, 8 },
	{ "nothing", series_nothing, 100, TREND_STEADY, true, 0 },
	{ "linear", series_linear, 20, TREND_LINEAR, false, 0 },
	{ "linear", series_linear, 300, TREND_LINEAR, false, 0 },
	{ "linear", series_linear, 100000, TREND_LINEAR, false, 0 },
	{ "slow", series_slow, 1200, TREND_LINEAR, false, 0 },
	{ "late", series_late, 10200, TREND_LINEAR, false, 0 },
	{ "square", series_square, 200, TREND_ACCELERATING, false, 0 },
	{ "gaining", series_gaining, 25, TREND_ACCELERATING, false, 0 },
	{ "gaining", series_gaining, 40, TREND_ACCELERATING, false, 0 },
	{ "gaining", series_gaining, 100, TREND_ACCELERATING, false, 0 },
	{ "filled", series_filled, 90, TREND_PLATEAU, true, 80 },
	{ "filled", series_filled, 20000, TREND_PLATEAU, true, 80 },
	{ "warm-up", series_warm_up, 200, TREND_PLATEAU, true, 160 },
	{ "saw-tooth", series_saw_tooth, 400, TREND_SAW_TOOTH, true, 74 },
	{ "saw-tooth", series_saw_tooth, 30000, TREND_SAW_TOOTH, true, 74 },
	{ "long saw-tooth", series_long_saw_tooth, 4000, TREND_SAW_TOOTH, true,
	  1222 },
	{ "leaking saw", series_leaking_saw, 600, TREND_LINEAR, false, 0 },
	{ "cache", series_cache, 200, TREND_PLATEAU, true, 45 },
	{ "shrinking", series_shrinking, 2000, TREND_UNKNOWN, true, 0 },
	{ "epochs", series_epochs, 1000, TREND_SAW_TOOTH, true, 200 },
};

static inline u32 series_random(u64 *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (u32)(*seed * 0x2545f4914f6cdd1dULL >> 54);
}

/*
 * Plays a series; returns the sample at which it was said to grow though it
 * must not, or 0.
 */
static u32 series_play(const struct series *s, u64 seed, struct trend *t,
		       struct trend_verdict *v)
{
	u32 i, now = 5;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < s->samples; i++, now += SERIES_PERIOD) {
		trend_add(t, s->at(i, series_random(&seed)), now,
			  SERIES_PERIOD);
		if (!s->never || i < s->from)
			continue;
		trend_judge(t, now, v);
		if (trend_grows(v))
			return i + 1;
	}
	trend_judge(t, now, v);
	return 0;
}

#endif /* BMEM_TREND_SERIES_H */
