// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the reachability scan costs: instructions a word of present memory, by
 * what is in it, and of memory that is not there.
 */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "../module/scan_words.h"

#define MEMORY	(64 * BT_MIB)
#define REPEAT	3
#define TENSORS	1000

static int fd;

static __u64 scan(void)
{
	struct bmem_leak_scan cmd = {
		.size = sizeof(cmd),
		.kinds = BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE),
		.delay_ms = 1,
	};
	__u64 start = bt_now_ns();

	MUST(bt_call(fd, BMEM_LEAK_SCAN, &cmd));
	return bt_now_ns() - start;
}

static void count(void *arg, uint64_t word)
{
	(void)word;
	++*(unsigned int *)arg;
}

/* The scan's loop over words alone, where none leads anywhere. */
static __u64 loop(const void *at, size_t bytes)
{
	unsigned int leads = 0;
	__u64 start = bt_now_ns();

	scan_words(1ULL << 46, BT_GIB, at, at + bytes, count, &leads);
	start = bt_now_ns() - start;
	MUST(leads ? -EINVAL : 0);
	return start;
}

static void *memory(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	MUST(p == MAP_FAILED ? -ENOMEM : 0);
	return p;
}

/* What a scan takes above @base; less where other work got into that one. */
static double above(__u64 base)
{
	return (double)(__s64)(scan() - base);
}

static void sample(const char *name, __u64 base, double words)
{
	int i;

	for (i = 0; i < REPEAT; i++)
		SAMPLE(above(base) / words, "instructions",
		       "vm/icount/scan_word/%s", name);
}

int main(void)
{
	struct bmem_alloc_entry e;
	char *space, *m, *at[TENSORS];
	struct bmem_query q = { .size = sizeof(q) };
	double words = MEMORY / 8;
	__u64 base, i;
	uint64_t *w;

	fd = bt_open();
	MUST(fd);
	MUST(bt_query(fd, &q));
	space = bt_map(fd, 0, q.space_bytes);
	MUST(space ? 0 : -ENOMEM);
	for (i = 0; i < TENSORS; i++) {
		e = (struct bmem_alloc_entry){
			.bytes = 4096, .site = 1, .flags = BMEM_ALLOC_RECORD,
		};
		MUST(bt_alloc(fd, &e, 1, NULL));
		at[i] = space + e.offset;
	}
	scan();
	base = scan();
	SAMPLE(base, "instructions", "vm/icount/scan_small_process");
	m = memory(1UL << 42, MAP_NORESERVE);
	for (i = 0; i < 64; i++)
		m[i << 36] = 1;
	SAMPLE(above(base), "instructions", "vm/icount/scan_4tib_hole");
	munmap(m, 1UL << 42);

	m = memory(MEMORY, 0);
	w = (void *)m;
	bt_fill(m, MEMORY, 1);
	sample("numbers", base, words);
	SAMPLE(loop(m, MEMORY) / words, "instructions",
	       "vm/icount/scan_loop_word");
	for (i = 0; i < REPEAT; i++)
		SAMPLE((above(base) - loop(m, MEMORY)) / (MEMORY / BT_PAGE),
		       "instructions", "vm/icount/scan_page_rest");
	for (i = 0; i < MEMORY / 8; i += 8)
		w[i] = (uintptr_t)at[i / 8 * 7919 % TENSORS];
	sample("one_pointer_in_8", base, words);
	madvise(m, MEMORY, MADV_DONTNEED);
	sample("absent", base, words);
	return 0;
}
