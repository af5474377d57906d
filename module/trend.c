// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Trends.
 *
 * What is kept is an exponential histogram (Datar, Gionis, Indyk, Motwani,
 * "Maintaining stream statistics over sliding windows", 2002): of the youngest
 * past every period has its own span, of what is older two share one, then
 * four, and so on, so that a few spans cover a life of weeks and still resolve
 * the last minutes.  When there is no more room the period doubles.  A span
 * has the least and the most that was seen in it, so what comes and goes
 * within one does not depend on when it was looked at.
 *
 * The test is Mann's and Kendall's (H. B. Mann, "Nonparametric tests against
 * trend", Econometrica 13, 1945; M. G. Kendall, "Rank correlation methods",
 * 1975): it asks of all pairs of spans how many rise and how many fall, and so
 * minds neither the shape of the growth nor single outliers.  A pair counts
 * only if its lows and its highs agree, and counts as no pair of equals would:
 * the variance is not made smaller for ties.  Both make it say "grows" less
 * often.  Samples that follow each other are alike, which the test does not
 * know, so one in a thousand is what it takes, not the usual one in twenty.
 *
 * The slope is the median of slopes of pairs (Theil's incomplete method, "A
 * rank-invariant method of linear and polynomial regression analysis", 1950;
 * of all pairs: P. K. Sen, 1968), of the low points: what is always there.
 */
#include "trend.h"

/* Normal deviates in hundredths: from here on it is no accident. */
#define Z_GROWS		300

/* A swing is a change by this part of its upper end, 1 / SWING. */
#define SWING		4
#define SWINGS_SAW	2

/* A rise of less than this part of what there is, or in all, is none. */
#define RISE_PART	64
#define RISE_LEAST	16

/* What is above all before it is so by this part of that at least. */
#define NEW_HIGH_PART	32

/* Points of the growth that its speed is made from. */
#define SPEED_POINTS	4

/*
 * Speed of the last half, quarter and eighth of the growth, in percent of that
 * of the whole: below, it slows down; above, it gains speed.
 */
#define SPEED_HALF	75
#define SPEED_QUARTER	60
#define SPEED_EIGHTH	50
#define SPEED_GAINING	115

/* All spans, the one that has just begun included. */
#define POINTS	(TREND_SPANS + 1)

static u32 min32(u32 a, u32 b)
{
	return a < b ? a : b;
}

static u32 max32(u32 a, u32 b)
{
	return a > b ? a : b;
}

/* Ticks from @a to @b; 0 for what has been overtaken. */
static u32 ticks_between(u32 a, u32 b)
{
	return (u32)(b - a) <= 0x7fffffffU ? b - a : 0;
}

/* ---- the past --------------------------------------------------------------------- */

/*
 * Numbers of 32 bits in 16, good to one in 2048: an exponent above eleven bits
 * of which the highest one is implied.
 */
static u16 pack(u32 n, bool up)
{
	u32 exponent = 0;

	for (; n >= 4096; exponent++)
		n = n / 2 + (up && n % 2);
	return (u16)(n < 2048 ? n : (exponent + 1) << 11 | (n & 2047));
}

static u32 unpack(u16 packed)
{
	u32 exponent = packed >> 11, n = packed & 2047;

	return exponent ? (n | 2048) << (exponent - 1) : n;
}

static u32 high_of(const struct trend *t, unsigned int i)
{
	u32 high = t->low[i] + unpack(t->spread[i]);

	return high < t->low[i] ? ~0U : high;
}

#define CLOSE_GAP(array, gap, nr) \
	memmove(&(array)[gap], &(array)[(gap) + 1], \
		((nr) - (gap) - 1) * sizeof((array)[0]))

/* Joins the spans @i and @i + 1. */
static void join(struct trend *t, unsigned int i)
{
	u32 high = max32(high_of(t, i), high_of(t, i + 1));

	t->low[i] = min32(t->low[i], t->low[i + 1]);
	t->spread[i] = pack(high - t->low[i], true);
	t->ticks[i] = pack(unpack(t->ticks[i]) + unpack(t->ticks[i + 1]),
			   false);
	t->weight[i]++;
	CLOSE_GAP(t->low, i + 1, t->nr);
	CLOSE_GAP(t->spread, i + 1, t->nr);
	CLOSE_GAP(t->ticks, i + 1, t->nr);
	CLOSE_GAP(t->weight, i + 1, t->nr);
	t->nr--;
}

/* So few of each length; weights go down from the oldest to the youngest. */
static void join_alike(struct trend *t, unsigned int alike)
{
	unsigned int first, end = t->nr;

	while (end) {
		first = end - 1;
		while (first && t->weight[first - 1] == t->weight[end - 1])
			first--;
		if (end - first <= alike) {
			end = first;
			continue;
		}
		join(t, first);
		/* There is one more of the next length now. */
		end = t->nr;
	}
}

/*
 * There is one span of each length, the youngest one of the base period: now
 * that is as long as the next.
 */
static void double_base(struct trend *t)
{
	unsigned int i;

	join(t, t->nr - 2);
	t->weight[t->nr - 1] = 1;
	for (i = 0; i < t->nr; i++)
		t->weight[i]--;
	t->base++;
}

/*
 * The oldest two of one length become one: what is old is thinned out first,
 * to one span of each length, and the youngest past stays as it is.
 */
static void make_room(struct trend *t)
{
	unsigned int i;

	for (i = 0; i + 1 < t->nr; i++) {
		if (t->weight[i] == t->weight[i + 1]) {
			join(t, i);
			return;
		}
	}
	double_base(t);
}

static void close_span(struct trend *t, u32 now)
{
	if (t->nr == TREND_SPANS)
		make_room(t);
	t->low[t->nr] = t->now.low;
	t->spread[t->nr] = pack(t->now.high - t->now.low, true);
	t->ticks[t->nr] = pack(ticks_between(t->now.from, now), false);
	t->weight[t->nr++] = 0;
	t->open = false;
	join_alike(t, TREND_ALIKE);
}

static void note_swing(struct trend *t, u32 value)
{
	u32 top = max32(t->turn, value);
	bool far = top - min32(t->turn, value) > top / SWING;
	bool down = value < t->turn;

	if (t->falling == down) {
		t->turn = value;
		return;
	}
	if (!far)
		return;
	if (t->falling && t->swings != 255)
		t->swings++;
	t->falling = !t->falling;
	t->turn = value;
}

/**
 * trend_add() - a sample
 * @t: trend
 * @value: how much there is
 * @now: tick; differences may be up to 2^31
 * @period: ticks that the shortest spans are to last, the same at each call
 */
void trend_add(struct trend *t, u32 value, u32 now, u32 period)
{
	if (t->open && ticks_between(t->now.from, now) >= (u64)period << t->base)
		close_span(t, now);
	if (!t->open) {
		t->now.from = now;
		t->now.low = value;
		t->now.high = value;
		t->open = true;
	}
	t->now.low = min32(t->now.low, value);
	t->now.high = max32(t->now.high, value);
	if (value != t->turn)
		note_swing(t, value);
}

/* Oldest first; returns how many. */
static unsigned int points(const struct trend *t, struct trend_span *to)
{
	u32 from = t->now.from;
	unsigned int i = t->nr;

	if (!t->open)
		return 0;
	to[i] = t->now;
	while (i--) {
		from -= unpack(t->ticks[i]);
		to[i].from = from;
		to[i].low = t->low[i];
		to[i].high = high_of(t, i);
	}
	return t->nr + 1;
}

/* Of spans that begin after so many ticks; of the youngest where none does. */
static void range_after(const struct trend_span *at, unsigned int n, u32 ticks,
			u32 *least, u32 *most)
{
	unsigned int i = n - 1;

	*least = at[i].low;
	*most = at[i].high;
	while (i-- && ticks_between(at[0].from, at[i].from) >= ticks) {
		*least = min32(*least, at[i].low);
		*most = max32(*most, at[i].high);
	}
}

/**
 * trend_range() - the least and the most in the later half of a life
 * @t: trend
 * @now: tick
 * @least: out
 * @most: out
 */
void trend_range(const struct trend *t, u32 now, u32 *least, u32 *most)
{
	struct trend_span at[POINTS];
	unsigned int n = points(t, at);

	*least = 0;
	*most = 0;
	if (n)
		range_after(at, n, ticks_between(at[0].from, now) / 2, least,
			    most);
}

/* ---- the test ---------------------------------------------------------------------- */

static int pair(const struct trend_span *a, const struct trend_span *b)
{
	if (b->low > a->low && b->high > a->high)
		return 1;
	return b->low < a->low && b->high < a->high ? -1 : 0;
}

static u32 root(u64 n)
{
	u64 bit = 1ULL << 31, r = 0;

	for (; bit; bit >>= 1)
		if ((r | bit) * (r | bit) <= n)
			r |= bit;
	return (u32)r;
}

/* Kendall's S as a normal deviate, in hundredths. */
static int deviate(const struct trend_span *at, u32 n)
{
	u32 variance = n * (n - 1) * (2 * n + 5), i, j;
	int sum = 0;
	u64 square;
	u32 z;

	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			sum += pair(&at[i], &at[j]);
	if (!sum || !variance)
		return 0;
	/* One less: S has steps of two. */
	square = (u64)((sum < 0 ? -sum : sum) - 1);
	z = root(square * square * 18 * 10000 / variance);
	return sum < 0 ? -(int)z : (int)z;
}

/* Halves of a deviate, after which the normal distribution is as good as 1. */
#define HALVES	6

/* The normal distribution, per thousand, at each half of a deviate. */
static u32 confidence_of(int z)
{
	static const u16 normal[HALVES + 1] = {
		500, 691, 841, 933, 977, 994, 999,
	};
	u32 size = (u32)(z < 0 ? -z : z), i = size / 50, p = 999;

	if (i < HALVES)
		p = normal[i] + (normal[i + 1] - normal[i]) * (size % 50) / 50;
	return z < 0 ? 1000 - p : p;
}

/* ---- the verdict --------------------------------------------------------------------- */

/* The last point that is about as low as any: there the growth began. */
static unsigned int begin_of(const struct trend_span *at, unsigned int n)
{
	u32 low = at[0].low, last = at[n - 1].low;
	unsigned int i;

	for (i = 1; i < n; i++)
		low = min32(low, at[i].low);
	for (i = n - 1; i; i--)
		if (at[i].low <= low + (last - min32(low, last)) / 10)
			break;
	return i;
}

static s64 slope_of(const struct trend_span *a, const struct trend_span *b)
{
	u32 ticks = ticks_between(a->from, b->from);

	if (!ticks)
		return 0;
	return ((s64)b->low - a->low) * 1000 / (s64)ticks;
}

/* Theil's: each point of the earlier half with its like in the later one. */
static s64 median_slope(const struct trend_span *at, unsigned int n)
{
	s64 sorted[POINTS], slope;
	unsigned int half = n / 2, nr, i;

	for (nr = 0; nr + half < n && nr < half; nr++) {
		slope = slope_of(&at[nr], &at[nr + n - half]);
		for (i = nr; i && sorted[i - 1] > slope; i--)
			sorted[i] = sorted[i - 1];
		sorted[i] = slope;
	}
	return nr ? sorted[nr / 2] : 0;
}

/*
 * The growth began somewhere in the first span: where it would have, had it
 * always been as fast.
 */
static u32 since_of(const struct trend_span *at, unsigned int n, s64 slope)
{
	u32 length, into = 0;

	if (n < 2 || slope <= 0 || at[1].low <= at[0].low)
		return at[0].from;
	length = ticks_between(at[0].from, at[1].from);
	if ((u64)(at[1].low - at[0].low) * 1000 / (u64)slope < length)
		into = length - (u32)((u64)(at[1].low - at[0].low) * 1000 /
				      (u64)slope);
	return at[0].from + into;
}

/* How high the low points were at a time that is not before the first. */
static u32 low_at(const struct trend_span *at, unsigned int n, u32 ticks)
{
	unsigned int i = n - 1;
	u32 from, into;
	s64 step;

	while (i && ticks_between(at[0].from, at[i].from) > ticks)
		i--;
	if (i == n - 1)
		return at[i].low;
	from = ticks_between(at[0].from, at[i].from);
	into = ticks_between(at[i].from, at[i + 1].from);
	step = (s64)at[i + 1].low - at[i].low;
	return into ? (u32)(at[i].low + step * (s64)(ticks - from) / into) :
		      at[i].low;
}

/*
 * What it gained in the last 1 / @part of the growth until @end, in percent of
 * what it would have gained in that at a constant speed.
 */
static u64 speed_of(const struct trend_span *at, unsigned int n, u32 end,
		    u32 part)
{
	u32 first = at[0].low, last = at[n - 1].low, before, life;

	life = ticks_between(at[0].from, end);
	before = low_at(at, n, life - life / part);
	if (last <= before || last <= first)
		return 0;
	return (u64)(last - before) * part * 100 / (last - first);
}

static bool is_material(u32 rise, u32 level)
{
	return rise >= RISE_LEAST && rise >= level / RISE_PART;
}

/*
 * Above all that was there when the growth began, and before: else it is on
 * its way up again, as it has been before.
 */
static bool is_new_high(const struct trend_span *at, unsigned int n,
			unsigned int begin)
{
	u32 most = 0;
	unsigned int i;

	for (i = 0; i <= begin; i++)
		most = max32(most, at[i].high);
	return at[n - 1].low > most + most / NEW_HIGH_PART;
}

/* What fills up slows down; the last moments tell little, so less of them. */
static bool slows_down(const struct trend_span *at, unsigned int n, u32 now)
{
	return speed_of(at, n, now, 2) < SPEED_HALF ||
	       speed_of(at, n, now, 4) < SPEED_QUARTER ||
	       speed_of(at, n, now, 8) < SPEED_EIGHTH;
}

/*
 * What grows is lowest where a span begins.  So the last low point says how much
 * there was then: taken for that of now, it is less speed, the more so the
 * longer the span has lasted.
 */
static bool gains_speed(const struct trend_span *at, unsigned int n)
{
	u32 last = at[n - 1].from;

	/* Where it began, there may be much of what was before. */
	if (n > SPEED_POINTS && speed_of(at + 1, n - 1, last, 2) < SPEED_GAINING)
		return false;
	return speed_of(at, n, last, 2) > SPEED_GAINING;
}

static enum trend_class growth_class(const struct trend_span *at,
				     unsigned int n, u32 now)
{
	if (slows_down(at, n, now))
		return TREND_PLATEAU;
	return gains_speed(at, n) ? TREND_ACCELERATING : TREND_LINEAR;
}

/* Does it change by no more than an eighth, from so many ticks on? */
static bool is_flat(const struct trend_span *at, unsigned int n, u32 ticks)
{
	u32 least, most;

	range_after(at, n, ticks, &least, &most);
	return most - least <= most / 8;
}

/* Of what does not grow; a plateau may be as short as a quarter of a life. */
static enum trend_class rest_class(const struct trend *t,
				   const struct trend_span *at, unsigned int n,
				   u32 now)
{
	u32 life = ticks_between(at[0].from, now), last = at[n - 1].low;
	bool higher = last > at[0].low && last - at[0].low > last / 8;

	if (is_flat(at, n, life / 2))
		return higher ? TREND_PLATEAU : TREND_STEADY;
	if (t->swings >= SWINGS_SAW)
		return TREND_SAW_TOOTH;
	return higher && is_flat(at, n, life / 4 * 3) ? TREND_PLATEAU :
							TREND_UNKNOWN;
}

/**
 * trend_may_grow() - is it worth to judge?
 * @t: trend
 *
 * Return: false when trend_judge() would not find growth; in a few
 * instructions.
 */
bool trend_may_grow(const struct trend *t)
{
	return t->nr + 1 >= TREND_NEEDED && t->now.low > t->low[0] &&
	       is_material(t->now.low - t->low[0], t->now.low);
}

/**
 * trend_judge() - what has become of it so far
 * @t: trend
 * @now: tick
 * @v: out
 */
void trend_judge(const struct trend *t, u32 now, struct trend_verdict *v)
{
	struct trend_span at[POINTS];
	unsigned int n = points(t, at), begin;
	int z;

	memset(v, 0, sizeof(*v));
	v->confidence = 500;
	if (!n)
		return;
	z = deviate(at, n);
	v->confidence = confidence_of(z);
	begin = begin_of(at, n);
	if (z >= Z_GROWS && n >= TREND_NEEDED && is_new_high(at, n, begin) &&
	    is_material(at[n - 1].low - min32(at[begin].low, at[n - 1].low),
			at[n - 1].low)) {
		v->class = growth_class(&at[begin], n - begin, now);
	} else {
		begin = 0;
		if (n >= TREND_NEEDED / 2)
			v->class = rest_class(t, at, n, now);
	}
	v->slope = median_slope(&at[begin], n - begin);
	v->since = begin ? since_of(&at[begin], n - begin, v->slope) :
			   at[0].from;
	if (at[n - 1].low > at[begin].low)
		v->rise = at[n - 1].low - at[begin].low;
}

/*
 * Close to the bounds of the test, noise makes growth disappear for a moment:
 * that is the end of it when it takes longer than this part of the growth.
 */
#define LAPSE_PART	8

/* Of a life of 2^YOUNG periods or less each look counts; up to so many are left. */
#define YOUNG		4
#define LOOKS_LEFT	6

static bool has_ended(const struct trend *t, u32 now)
{
	return ticks_between(t->seen, now) >
	       ticks_between(t->noticed, t->seen) / LAPSE_PART;
}

/*
 * What does not grow is judged the more seldom the older it is: a look in so
 * many is still a small part of its life.
 */
static bool is_due(struct trend *t)
{
	u32 doubled = t->nr && t->weight[0] > YOUNG ? t->weight[0] - YOUNG : 0;

	return !(++t->looks & ((1U << min32(doubled, LOOKS_LEFT)) - 1));
}

/**
 * trend_watch() - to be called after trend_add()
 * @t: trend
 * @now: tick
 * @least: as for trend_lasts()
 *
 * A few instructions where nothing grows, most of the time.
 *
 * Return: as trend_lasts().
 */
bool trend_watch(struct trend *t, u32 now, u32 least)
{
	struct trend_verdict v = { .class = TREND_UNKNOWN };

	if (!t->growing && !is_due(t))
		return false;
	if (trend_may_grow(t))
		trend_judge(t, now, &v);
	if (!trend_grows(&v)) {
		t->growing = t->growing && !has_ended(t, now);
		return false;
	}
	if (!t->growing) {
		t->growing = true;
		t->noticed = now;
	}
	t->seen = now;
	return trend_lasts(t, &v, now, least);
}

/**
 * trend_lasts() - has it been growing for so long that it is to be told?
 * @t: trend that trend_watch() is called for
 * @v: what trend_judge() said of it
 * @now: tick
 * @least: ticks that it takes at least
 *
 * Whatever fills up to a bound begins like what has none.  So it is not told
 * before it has gone on for as long again as it took to be noticed.
 *
 * Return: true if so.
 */
bool trend_lasts(const struct trend *t, const struct trend_verdict *v, u32 now,
		 u32 least)
{
	return t->growing && trend_grows(v) &&
	       ticks_between(v->since, now) >= least &&
	       ticks_between(t->noticed, now) >=
	       ticks_between(v->since, t->noticed);
}
