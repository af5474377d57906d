/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmarks of this folder share: where blocks come from, and the
 * clock.  One program measures every allocator: LD_PRELOAD says which malloc()
 * it calls, and its first argument whether it calls malloc() or bmem_alloc().
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bmem.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))

/**
 * enum source - where blocks come from
 * @NOTHING: nowhere: what is left is the loop, whose cost is taken off
 * @MALLOC: malloc(), of whoever is preloaded
 * @BMEM: libbmem
 */
enum source { NOTHING, MALLOC, BMEM };

/* Time that others on the machine took does not count. */
static inline double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* "loop" is nothing, "bmem" and "bmem-..." libbmem, all else malloc(). */
static inline enum source source_of(const char *name)
{
	if (!strcmp(name, "loop"))
		return NOTHING;
	return strncmp(name, "bmem", 4) ? MALLOC : BMEM;
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* "bmem-tight" keeps no empty memory, "bmem-keep" all that there ever was. */
static inline struct bmem_client *client_open_as(const char *name)
{
	struct bmem_options options = {
		.sz = sizeof(options), .flags = BMEM_OPEN_QUIET,
	};
	struct bmem_client *client;

	if (!strcmp(name, "bmem-tight") || !strcmp(name, "bmem-keep")) {
		options.flags |= BMEM_OPEN_CACHE;
		options.cache_bytes = strcmp(name, "bmem-keep") ? 0 : 1UL << 40;
	}

	if (bmem_open(&client, &options)) {
		fputs("bench: bmem_open failed\n", stderr);
		exit(1);
	}
	return client;
}

static inline struct bmem_client *client_open(void)
{
	return client_open_as("bmem");
}

#endif /* SOURCE_H */
