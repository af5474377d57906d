// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What an allocation and its free cost, in nanoseconds of CPU time.
 *
 * usage: bench [ROUNDS]
 *
 * "alone": nothing else is live; "crowded": 10000 tensors are, with gaps.
 * Each figure is the best of five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <bmem.h>

#define CROWD	10000

static double now_ns(void)
{
	struct timespec ts;

	/* CPU time, so that others on the machine do not count. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double pairs(struct bmem_client *c, size_t size, unsigned int flags,
		    const char *label, long rounds)
{
	double start = now_ns();
	void *p;
	long i;

	for (i = 0; i < rounds; i++) {
		p = bmem_alloc(c, size, 0, flags, label);
		if (!p)
			abort();
		*(volatile char *)p = 1;
		bmem_free(c, p);
	}
	return (now_ns() - start) / (double)rounds;
}

static double batches(struct bmem_client *c, size_t size, long rounds)
{
	struct bmem_request r[64] = { 0 };
	void *ptrs[64];
	double start;
	long i, k;

	for (k = 0; k < 64; k++)
		r[k].size = size;
	start = now_ns();
	for (i = 0; i < rounds / 64; i++) {
		if (bmem_alloc_batch(c, r, 64, NULL))
			abort();
		for (k = 0; k < 64; k++)
			ptrs[k] = r[k].ptr;
		bmem_free_batch(c, ptrs, 64);
	}
	return (now_ns() - start) / (double)(rounds / 64 * 64);
}

static void best(const char *what, struct bmem_client *c, size_t size,
		 unsigned int flags, const char *label, long rounds)
{
	double least = 1e18, t;
	int i;

	for (i = 0; i < 5; i++) {
		t = size ? pairs(c, size, flags, label, rounds) :
			   batches(c, 64, rounds);
		if (t < least)
			least = t;
	}
	printf("%-36s %8.0f ns\n", what, least);
}

static void all(struct bmem_client *c, const char *how, long rounds)
{
	printf("%s, backend %s\n", how, bmem_backend_name(c));
	best("  64 B", c, 64, 0, NULL, rounds);
	best("  64 B, with a label", c, 64, 0, "weights of a layer", rounds);
	best("  64 B, in batches of 64", c, 0, 0, NULL, rounds);
	best("  1 MiB", c, 1 << 20, 0, NULL, rounds);
	best("  1 MiB, zeroed", c, 1 << 20, BMEM_ALLOC_ZERO, NULL, rounds / 50);
	best("  64 MiB (beyond the cache)", c, 64 << 20, 0, NULL, 20);
}

static void crowd(struct bmem_client *c)
{
	static void *p[CROWD];
	int i;

	for (i = 0; i < CROWD; i++) {
		p[i] = bmem_alloc(c, 1 + (size_t)(i * 7919L % 60000), 0, 0,
				  NULL);
		if (!p[i])
			abort();
	}
	for (i = 0; i < CROWD; i += 3)
		bmem_free(c, p[i]);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 100000;
	struct bmem_client *c;

	if (bmem_open(&c, NULL))
		return 1;
	all(c, "alone", rounds);
	crowd(c);
	all(c, "crowded", rounds);
	bmem_close(c);
	return 0;
}
