// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The adaptive scheduler of stack samples.
 *
 * Each site has an interval: one allocation in so many is sampled.  A sample
 * that shows a stack that nobody has seen halves it, one that shows nothing
 * new doubles it: busy sites with few stacks are soon left alone, new ones and
 * those with many stacks are looked at often.
 */
#include "sample.h"

/* The governor may throttle until samples are as good as off. */
#define LEFT_MAX	(1U << 30)

/**
 * random_below() - a number from 0 up to, not including, @bound
 * @state: of the generator, xorshift64* (Vigna); 0 to begin with
 * @bound: 1 or more
 *
 * Return: the number.
 */
uint32_t random_below(uint64_t *state, uint32_t bound)
{
	uint64_t x = *state ? *state : 0x9e3779b97f4a7c15ULL;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (uint32_t)((x * 0x2545f4914f6cdd1dULL >> 32) * bound >> 32);
}

/**
 * sample_draw() - how many allocations until the next sample?
 * @random: state of the generator
 * @interval: the site's interval, 1 or more
 * @throttle: the governor's
 *
 * The mean is the interval; the number itself is drawn, so that samples do not
 * keep step with a loop that allocates from several stacks in turn.
 *
 * Return: 1 for the very next, or more.
 */
uint32_t sample_draw(uint64_t *random, uint32_t interval, uint32_t throttle)
{
	uint64_t mean = (uint64_t)interval << throttle;

	if (mean > LEFT_MAX / 2)
		mean = LEFT_MAX / 2;
	return 1 + random_below(random, (uint32_t)(2 * mean - 1));
}

/**
 * sample_learn() - adapt a site's interval to what a sample has shown
 * @interval: the site's
 * @news: the stack had not been seen before
 *
 * Threads may do so at the same time; one of them then goes unheard.
 */
void sample_learn(_Atomic uint32_t *interval, bool news)
{
	uint32_t n = atomic_load_explicit(interval, memory_order_relaxed);

	if (news)
		n = n > 1 ? n / 2 : 1;
	else
		n = n < SAMPLE_MAX / 2 ? n * 2 : SAMPLE_MAX;
	atomic_store_explicit(interval, n, memory_order_relaxed);
}
