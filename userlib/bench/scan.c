// SPDX-License-Identifier: GPL-2.0-only
/*
 * scan: how fast the reachability scan's look at words is, natively.
 *
 * usage: scan
 *
 * The module's own code, scan_words.h: each word of memory is compared with
 * where the space is mapped, and what leads there is looked up among the places
 * that words led to lately.  What the kernel does for each page before that,
 * finding it and taking a reference, and for each batch of new places after it,
 * is not in here; selftests/bench_scan counts that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sys/mman.h>

#include "scan_words.h"

/* More than any cache holds. */
#define MEMORY	(256UL << 20)
#define PASSES	4
#define TENSORS	1000
#define SPACE	0x7f0000000000UL

static struct scan_look look;
static u64 leads, unknown;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void note(void *arg, u64 offset)
{
	(void)arg;
	unknown += offset != 0;
}

static __attribute__((noinline)) void lead(void *arg, u64 word)
{
	leads++;
	scan_address(arg, word, note, NULL);
}

static double pass(const u64 *at)
{
	double start = now();

	scan_words(look.low, look.span, at, at + MEMORY / sizeof(*at), lead,
		   &look);
	return now() - start;
}

/* The first pass is not counted; the others have to see what is there. */
static void sample(const char *name, const u64 *at, u64 want)
{
	double seconds;
	int i;

	pass(at);
	for (i = 0; i < PASSES; i++) {
		leads = 0;
		unknown = 0;
		seconds = pass(at);
		if (leads != want || unknown) {
			fprintf(stderr, "scan: %llu words lead somewhere, %llu of them where nothing is known, of %llu\n",
				(unsigned long long)leads,
				(unsigned long long)unknown,
				(unsigned long long)want);
			exit(1);
		}
		printf("scan/native/%s %.10g GiB/s\n", name,
		       (double)MEMORY / (1UL << 30) / seconds);
	}
}

int main(void)
{
	u64 *at = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 i, page;

	if (at == MAP_FAILED) {
		perror("scan");
		return 1;
	}
	look.low = SPACE;
	look.span = 1UL << 40;
	look.nr_ranges = 1;
	look.ranges[0] = (struct scan_range){ SPACE, SPACE + (1UL << 40), 0 };
	for (i = 0; i < SCAN_RECENT; i++)
		look.recent[i].page = ~0U;
	for (page = 1; page <= TENSORS; page++)
		*scan_recent_at(&look, (u32)page) = (struct scan_recent){
			.page = (u32)page, .first = (u32)page,
			.class = SLAB_CLASSES,
		};
	for (i = 0; i < MEMORY / sizeof(*at); i++)
		at[i] = i * 0x9e3779b97f4a7c15UL >> 20;
	sample("numbers", at, 0);
	for (i = 0; i < MEMORY / sizeof(*at); i += 8) {
		page = 1 + i / 8 * 7919 % TENSORS;
		/* Two tensors in one place: the later one is known. */
		page = scan_recent_at(&look, (u32)page)->page;
		at[i] = SPACE + (page << SCAN_PAGE_SHIFT);
	}
	sample("one_pointer_in_8", at, MEMORY / sizeof(*at) / 8);
	return 0;
}
