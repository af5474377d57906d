/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * The selector: which placement policy serves which sizes of a client.
 *
 * Pure logic, as place.h is.  It measures on the client's own stream: in an
 * epoch every request is replayed into one shadow arena a policy: a copy of the
 * client's, which holds no memory but the tables.  One size range is the epoch's subject: shadow
 * arena p places the subject's spans by policy p, and all others by what the
 * client uses now.  What the arenas differ in is then what the choice for the
 * subject would do to the whole.
 *
 * Everything is bounded: the memory by what the caller gives, the time of a
 * call by the size of the shadow tables.  Between epochs a call is a decrement
 * and a test.  The caller serialises all calls.
 */
#ifndef BMEM_SELECTOR_H
#define BMEM_SELECTOR_H

#include "place.h"

/* Ranges double from 1..16 pages (64 KiB) to more than 4096 pages (16 MiB). */
#define SELECTOR_RANGES		10
#define SELECTOR_RANGE_PAGES	16U

/*
 * Events, allocations and frees, of an epoch.  A quarter of it is over before
 * what lives long has shown what it does to the holes around it.
 */
#define SELECTOR_EPOCH		16384U
#define SELECTOR_EPOCH_MAX	(1U << 20)

/*
 * The gap between two epochs, in allocations: at first this part of an epoch's
 * length; where nothing changes it grows to so many lengths.
 */
#define SELECTOR_GAP_MIN	8U
#define SELECTOR_GAP_MAX	64U

/* Allocations that the subject must have had for an epoch to tell anything. */
#define SELECTOR_SUBJECT_MIN	8U

/*
 * Another policy must save this much in a row of epochs: per thousand of the
 * subject's requested pages, and of all requested pages.
 */
#define SELECTOR_MARGIN		50U
#define SELECTOR_MARGIN_ALL	10U
#define SELECTOR_EPOCHS		3U

/* Each switch doubles the row that the next one takes, so many times. */
#define SELECTOR_DOUBLINGS	3U

/* Largest number of spans that an epoch may have alive, and shadow chunks. */
#define SELECTOR_ENTRIES_MAX	4095U
#define SELECTOR_CHUNKS_MAX	4096U

/* For selector_pin(): measure and choose. */
#define SELECTOR_AUTO		PLACE_POLICIES

/**
 * enum selector_why - why a range has its policy
 * @SELECTOR_DEFAULT: it began with it
 * @SELECTOR_WASTE: it wasted less, by the margin
 * @SELECTOR_COST: it wasted no more, and took less than half the steps
 * @SELECTOR_PINNED: the user said so
 */
enum selector_why {
	SELECTOR_DEFAULT,
	SELECTOR_WASTE,
	SELECTOR_COST,
	SELECTOR_PINNED
};

/**
 * struct selector_figures - a policy as measured
 * @waste: pages of touched chunks beyond those requested, per thousand
 *	requested, in the mean over the epoch
 * @cost: steps of an allocation or free of the subject range, in hundredths
 */
struct selector_figures {
	u32 waste;
	u32 cost;
};

/**
 * struct selector_range - what is known of a size range
 * @policy: enum place_policy in use
 * @why: enum selector_why of @policy
 * @rival: enum place_policy that was better in the last @row epochs
 * @row: number of epochs
 * @switches: times that @policy changed by measurement
 * @epochs: epochs with this range as the subject that told something
 * @since: time when @policy came into use, the caller's
 * @old: figures of the policy before, at the switch; zeros by default
 * @new: figures of @policy, at the switch; zeros by default
 * @last: figures of every policy in the last epoch that told something
 */
struct selector_range {
	u8 policy;
	u8 why;
	u8 rival;
	u8 row;
	u32 switches;
	u32 epochs;
	u64 since;
	struct selector_figures old;
	struct selector_figures new;
	struct selector_figures last[PLACE_POLICIES];
};

/**
 * struct selector_entry - a span in the shadow arenas
 * @pages: length asked for, 0 while the entry is free
 * @start: first page in each arena; of a free entry, the next free one
 */
struct selector_entry {
	u32 pages;
	u32 start[PLACE_POLICIES];
};

/**
 * struct selector - the selector of one client
 * @until: allocations up to the next one that is looked at; 1 in an epoch
 * @gap: allocations between two epochs now
 * @length: events of an epoch
 * @pinned: policy, or %SELECTOR_AUTO
 * @running: an epoch runs
 * @copied: it began with copies of the client's arena
 * @quiet: no range had a rival twice running in this round over the ranges
 * @subject: range that the epoch is about
 * @entries: size of @entry, 0 to measure nothing
 * @entry_free: first free entry, @entries if there is none
 * @chunks: size of each shadow arena
 * @epoch: number of the epoch that runs, or ran last
 * @cut: epochs that told nothing
 * @real: the client's arena
 * @table: memory of the shadow arenas, one behind the other
 * @entry: spans of the epoch
 * @arena: one for each policy
 * @range: what is known of the ranges
 * @events: of the epoch so far
 * @allocs: allocations of the epoch so far, by range
 * @before: pages of spans that were there before the epoch
 * @live: pages alive in the shadow arenas: @before, and those asked for since
 * @live_subject: those of the subject
 * @sum_live: @live summed over the events
 * @sum_subject: @live_subject summed over the events
 * @sum_held: pages of touched chunks summed over the events
 * @steps: steps of the subject's events
 * @ops: number of them
 */
struct selector {
	u32 until;
	u32 gap;
	u32 length;
	u8 pinned;
	bool running;
	bool copied;
	bool quiet;
	u32 subject;
	u32 entries;
	u32 entry_free;
	u32 chunks;
	u32 epoch;
	u32 cut;
	const struct place *real;
	u8 *table;
	struct selector_entry *entry;
	struct place arena[PLACE_POLICIES];
	struct selector_range range[SELECTOR_RANGES];
	u32 events;
	u32 allocs[SELECTOR_RANGES];
	u32 before;
	u32 live;
	u32 live_subject;
	u64 sum_live;
	u64 sum_subject;
	u64 sum_held[PLACE_POLICIES];
	u32 steps[PLACE_POLICIES];
	u32 ops;
};

/**
 * struct selector_report - one range for a reader
 * @pages_min: shortest span of the range, in pages
 * @pages_max: longest
 * @range: what is known of it; @range.policy is the pinned one while pinned
 */
struct selector_report {
	u32 pages_min;
	u32 pages_max;
	struct selector_range range;
};

size_t selector_table_bytes(u32 chunks, u32 entries);
int selector_init(struct selector *sel, const struct place *real, void *table,
		  u32 chunks, u32 entries, u32 length);
void *selector_grow(struct selector *sel, void *table, u32 chunks);
u32 selector_alloc_shadow(struct selector *sel, u64 now, u32 pages, u32 align);
void selector_free_shadow(struct selector *sel, u64 now, u32 tag, u32 start,
			  u32 pages);
int selector_pin(struct selector *sel, u32 policy);
int selector_report(const struct selector *sel, u32 range,
		    struct selector_report *report);

/**
 * selector_range() - the range of a length
 * @pages: at least 1
 *
 * Return: number of the range.
 */
static inline u32 selector_range(u32 pages)
{
	u32 range;

	if (pages <= SELECTOR_RANGE_PAGES)
		return 0;
	range = 28 - (u32)__builtin_clz(pages - 1);
	return range < SELECTOR_RANGES ? range : SELECTOR_RANGES - 1;
}

/**
 * selector_pick() - the policy for a request
 * @sel: selector
 * @pages: at least 1
 *
 * Return: policy for place_alloc_by().
 */
static inline enum place_policy selector_pick(const struct selector *sel,
					      u32 pages)
{
	if (sel->pinned != SELECTOR_AUTO)
		return (enum place_policy)sel->pinned;
	return (enum place_policy)sel->range[selector_range(pages)].policy;
}

/**
 * selector_alloc() - a span was placed
 * @sel: selector
 * @now: time, in any unit
 * @pages: length asked for, at least 1
 * @align: alignment asked for, as in place_alloc_by()
 *
 * Return: a tag to be kept with the span for selector_free(); 0 for a span
 * that is not followed.
 */
static inline u32 selector_alloc(struct selector *sel, u64 now, u32 pages,
				 u32 align)
{
	if (--sel->until)
		return 0;
	return selector_alloc_shadow(sel, now, pages, align);
}

/**
 * selector_free() - a span was freed
 * @sel: selector
 * @now: time, in any unit
 * @tag: what selector_alloc() answered
 * @start: its first page in the client's arena
 * @pages: its length there, as granted
 */
static inline void selector_free(struct selector *sel, u64 now, u32 tag,
				 u32 start, u32 pages)
{
	if (sel->running)
		selector_free_shadow(sel, now, tag, start, pages);
}

#endif /* BMEM_SELECTOR_H */
