// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has memory of this machine ever failed?
 *
 * A page with an uncorrected error has a flag of its own, so whether a huge
 * page has one takes a look at 512 of them: more work than all else that it
 * takes to hand a huge page out or to take it back.  But hardly any machine
 * ever sees an error, and core mm announces each by a tracepoint, after it has
 * set the flag.  Until the first one there is nothing to look for.
 *
 * Where the kernel has no such tracepoint, everything is looked at always.
 * Pages that failed before the module was loaded are none of ours: the page
 * allocator does not hand them out.
 */
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "bmem_private.h"

static bool seen = true;
static struct tracepoint *announced;

static void note_failure(void *unused, unsigned long pfn, int type, int result)
{
	WRITE_ONCE(seen, true);
}

static void find_announcement(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "memory_failure_event"))
		announced = tp;
}

/**
 * bmem_poison_seen() - has memory failed, for all that is known?
 *
 * Return: false while no page of any pool can be poisoned.
 */
bool bmem_poison_seen(void)
{
	return READ_ONCE(seen);
}

/**
 * bmem_page_poisoned() - has any of these pages failed?
 * @page: first
 * @pages: how many, of one compound page
 *
 * Return: true when one has an uncorrected memory error.
 */
bool bmem_page_poisoned(struct page *page, unsigned int pages)
{
	unsigned int i;

	if (!bmem_poison_seen())
		return false;
	for (i = 0; i < pages; i++)
		if (PageHWPoison(page + i))
			return true;
	return false;
}

/**
 * bmem_poison_start() - listen for memory failures, before any page is taken
 */
void bmem_poison_start(void)
{
	for_each_kernel_tracepoint(find_announcement, NULL);
	if (!announced)
		return;
	seen = false;
	if (tracepoint_probe_register(announced, note_failure, NULL)) {
		announced = NULL;
		seen = true;
	}
}

/**
 * bmem_poison_stop() - listen no more
 */
void bmem_poison_stop(void)
{
	if (!announced)
		return;
	tracepoint_probe_unregister(announced, note_failure, NULL);
	tracepoint_synchronize_unregister();
}
