/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmarks in the VM share.  A line that begins with "@ " is a
 * sample for scripts/bench: "@ NAME VALUE UNIT"; all others are for people.
 *
 * Under -icount one instruction of the guest is a nanosecond of its clock, so
 * that times are counts.
 */
#ifndef BENCH_H
#define BENCH_H

#include "bmem_test.h"

/* Prints one sample. */
#define SAMPLE(value, unit, ...) do {					\
	printf("@ ");							\
	printf(__VA_ARGS__);						\
	printf(" %.10g %s\n", (double)(value), unit);			\
	fflush(stdout);							\
} while (0)

/* Ends the program when @ret says that a step failed. */
#define MUST(step) do {							\
	long long must_ = (step);					\
	if (must_ < 0) {						\
		printf("%s: %s\n", #step, strerror(-must_));		\
		exit(1);						\
	}								\
} while (0)

/* What reading the clock twice costs by itself. */
static inline __u64 clock_cost(void)
{
	__u64 least = ~0ULL, t;
	int i;

	for (i = 0; i < 16; i++) {
		t = bt_now_ns();
		t = bt_now_ns() - t;
		if (t < least)
			least = t;
	}
	return least;
}

#endif /* BENCH_H */
