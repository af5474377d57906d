/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What tracking costs, and the governor that keeps it under its target.
 */
#ifndef BMEM_OVERHEAD_H
#define BMEM_OVERHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "bmem.h"

#define OVERHEAD_TIMES	(BMEM_OVERHEAD_TIMING + 1)

/**
 * struct governor - holds tracking under a share of the CPU
 * @permille: the target; 0 for none
 * @throttle: sampling intervals are multiplied by two to this power
 * @reduced: at level full, below 1 MiB, sites are those of level standard
 * @patience: windows to wait before whole stacks are tried again
 * @wait: windows that are left of these
 */
struct governor {
	_Atomic uint32_t permille;
	_Atomic uint32_t throttle;
	_Atomic bool reduced;
	_Atomic uint32_t patience;
	_Atomic uint32_t wait;
};

/**
 * struct share - what went by in one window
 * @track_ns: spent on tracking
 * @walk_ns: part of it that went into walking stacks
 * @cpu_ns: CPU time altogether
 * @timed: allocations that were timed for it
 */
struct share {
	int64_t track_ns;
	int64_t walk_ns;
	int64_t cpu_ns;
	int64_t timed;
};

/**
 * struct costs - what tracking took of one client, all threads together
 * @governor: see there
 * @ns: by enum bmem_overhead_source: time, scaled up from what was timed; a
 *	timed operation can come out shorter than the timer that is subtracted
 *	from it, so that only sums are right, and they are signed
 * @cpu_ns: CPU time of the threads in which @ns was spent
 * @window: what the governor has not looked at yet, in the order of struct share
 * @allocs: allocations that @ns is for
 * @timed: allocations that were timed as a whole
 * @timed_for: those that these stand for
 * @timed_ns: the time of those, without tracking
 * @samples: stacks taken by sampling
 * @caches: threads' caches there are
 */
struct costs {
	struct governor governor;
	_Atomic int64_t ns[OVERHEAD_TIMES];
	_Atomic uint64_t cpu_ns;
	_Atomic int64_t window[4];
	_Atomic uint64_t allocs;
	_Atomic uint64_t timed;
	_Atomic uint64_t timed_for;
	_Atomic int64_t timed_ns;
	_Atomic uint64_t samples;
	_Atomic uint32_t caches;
};

/**
 * struct meter - what one thread has measured and not yet added to struct costs
 * @left: allocations until the one that is timed
 * @next: what @left was at first
 * @over: allocations since then that came too late to be counted in @left
 * @passed: allocations since then that went the short way
 * @every: how many allocations the one that is timed stands for
 * @quick: how many of these went the short way
 * @timing: this allocation is timed
 * @ns: by enum bmem_overhead_source, scaled up
 * @allocs: allocations that @ns is for
 * @timed: allocations that were timed as a whole
 * @timed_for: those that these stand for
 * @timed_ns: the time of those, without tracking
 * @from: when the allocation that is timed had its site
 * @inner_ns: time since then, or since its site was asked for, that is counted
 *	by itself, the timer's own included
 * @window: when the thread's window began; 0 before the first
 * @cpu: the thread's CPU time then
 *
 * What happens at every allocation is timed at one in about two thousand and
 * scaled up by @every; what happens rarely is timed always.
 */
struct meter {
	uint32_t left;
	uint32_t next;
	uint32_t over;
	uint32_t passed;
	uint32_t every;
	uint32_t quick;
	bool timing;
	int64_t ns[OVERHEAD_TIMES];
	uint64_t allocs;
	uint64_t timed;
	uint64_t timed_for;
	int64_t timed_ns;
	uint64_t from;
	int64_t inner_ns;
	uint64_t window;
	uint64_t cpu;
};

static inline uint64_t meter_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* So many allocations went the short way, where nobody counts. */
static inline void meter_pass(struct meter *m, uint32_t nr)
{
	uint32_t now = nr < m->left ? nr : m->left;

	m->left -= now;
	m->over += nr - now;
	m->passed += nr;
}

void governor_step(struct governor *g, const struct share *s);
int costs_init(struct costs *costs, const struct bmem_options *o);
void meter_start(struct costs *costs, struct meter *m, uint32_t next);
void meter_whole(struct meter *m, uint32_t source, uint64_t from);
void meter_scaled(struct meter *m, uint32_t source, uint64_t from);
void meter_add(struct meter *m, uint32_t source, int64_t ns, uint32_t times,
	       uint32_t scale);
int64_t meter_median(const uint64_t *at, uint32_t nr);
void meter_timing(struct meter *m, uint64_t from);
void meter_done(struct meter *m);
void meter_window(struct costs *costs, struct meter *m);
void meter_flush(struct costs *costs, struct meter *m);

#endif /* BMEM_OVERHEAD_H */
