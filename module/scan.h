/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reachability scan: which tensors does a word lead to, in the memory and
 * the registers of the processes that map their client's space?
 *
 * A word leads to a tensor when, taken as an address in one of the mappings of
 * the space, it lies in the tensor, at its beginning or anywhere else.  Roots
 * are the words of the processes; what they lead to is read in turn.
 */
#ifndef BMEM_SCAN_H
#define BMEM_SCAN_H

#include <linux/mm_types.h>
#include <linux/types.h>

#include "bmem_private.h"
#include "leak.h"
#include "scan_words.h"

/* Pages of a process that are read together: half a MiB. */
#define SCAN_PAGES	128
/* Words that lead somewhere and are looked up together. */
#define SCAN_HITS	256
/* Processes, and other clients that those map. */
#define SCAN_MMS	256
#define SCAN_OTHERS	64
/* Tensors that wait to be read; if there are more they are looked for. */
#define SCAN_GREY	16384

/* Pages of another client that are copied in one hold of its lock. */
#define SCAN_COPIES	16

/**
 * struct scan_mm - a process that maps it
 * @mm: with a reference by mmgrab()
 * @done: its memory has been read
 */
struct scan_mm {
	struct mm_struct *mm;
	bool done;
};

/**
 * struct scan_stride - what is read of a process in one hold of its mmap_lock
 * @mm: process
 * @from: what lies below is not read
 * @at: address that comes next
 * @bad: where the last page could not be had
 * @end: where to stop
 * @stack: leave out the main thread's stack
 * @steps: entries of page tables that may be looked at yet
 * @nr: pages in scan.pages
 * @moving: where the page at @at ends, which is being moved: wait for it; or 0
 */
struct scan_stride {
	struct mm_struct *mm;
	unsigned long from;
	unsigned long at;
	unsigned long bad;
	unsigned long end;
	bool stack;
	unsigned int steps;
	unsigned int nr;
	unsigned long moving;
};

/**
 * struct scan - one scan of one client
 * @round: what it is a part of
 * @client: whose tensors
 * @inode: of its mappings, held
 * @numbers: offsets and handles count as pointers do
 * @locked: the client is locked by the scan
 * @cut: something could not be read, so that nothing follows
 * @error: of a lookup
 * @words: words read
 * @away: pages that were not there to be read
 * @busy: when the scan last slept, by ktime_get_ns()
 * @nr_mms: entries in @mms
 * @nr_others: entries in @others
 * @nr_skips: entries in @skips
 * @nr_hits: entries in @hits
 * @nr_grey: entries in @grey
 * @grey_lost: there was no room in @grey
 * @skips: books of the library in the process that is being read
 * @others: other clients whose spaces the processes map, with a reference
 * @mms: processes
 * @hits: offsets to look up
 * @grey: first pages of extents that are to be read
 * @look: where the space is mapped, and places that words led to lately
 * @pages: of a process, with a reference
 * @addrs: their addresses
 * @copies: pages of other clients
 */
struct scan {
	struct leak_round *round;
	struct bmem_client *client;
	struct inode *inode;
	bool numbers;
	bool locked;
	bool cut;
	int error;
	u64 words;
	u64 away;
	u64 busy;
	unsigned int nr_mms;
	unsigned int nr_others;
	unsigned int nr_skips;
	unsigned int nr_hits;
	unsigned int nr_grey;
	bool grey_lost;
	struct scan_skip skips[BMEM_LEAK_SKIPS_MAX];
	struct bmem_client *others[SCAN_OTHERS];
	struct scan_mm mms[SCAN_MMS];
	u64 hits[SCAN_HITS];
	u32 grey[SCAN_GREY];
	struct scan_look look;
	struct page *pages[SCAN_PAGES];
	unsigned long addrs[SCAN_PAGES];
	u64 copies[SCAN_COPIES][PAGE_SIZE / sizeof(u64)];
};

/* ---- scan.c: marking ------------------------------------------------------- */

void bmem_scan_words(struct scan *s, const void *at, size_t bytes);
int bmem_scan_settle(struct scan *s);
int bmem_scan_breathe(struct scan *s);

/* ---- scan_memory.c: a process's memory --------------------------------------- */

int bmem_scan_memory(struct scan *s, struct mm_struct *mm, unsigned long from,
		     unsigned long to, bool stack);
int bmem_scan_stack(struct scan *s, struct mm_struct *mm, unsigned long *start,
		    unsigned long *end);

/* ---- scan_space.c: who maps the space, and what others' spaces hold ------------ */

int bmem_scan_find(struct scan *s, bool first);
void bmem_scan_forget(struct scan *s);
void bmem_scan_other(struct scan *s, struct bmem_client *other);
int bmem_scan_others(struct scan *s);

/* ---- scan_skip.c: what holds no references ------------------------------------- */

int bmem_scan_skips(struct scan *s, struct mm_struct *mm);

/* ---- scan_regs.c: its threads --------------------------------------------------- */

int bmem_scan_registers(struct scan *s, struct mm_struct *mm,
			unsigned long *start, unsigned long end);

#endif /* BMEM_SCAN_H */
