/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT */
/*
 * What words lead to, as far as it is looked up without a lock: which of them
 * are addresses in a mapping of the space, and which of these lead to where
 * others have led lately.
 *
 * Pure logic, as place.h is: compiled into the module and into the benchmarks,
 * where it is measured at full speed.
 */
#ifndef BMEM_SCAN_WORDS_H
#define BMEM_SCAN_WORDS_H

#include "place_slab.h"

#ifdef __KERNEL__
#include <linux/compiler.h>
#define scan_read(word)	READ_ONCE(*(word))
#else
#define scan_read(word)	__atomic_load_n(word, __ATOMIC_RELAXED)
#endif

/* Places that words led to lately: 2^(32 - SCAN_RECENT_SHIFT). */
#define SCAN_RECENT		2048
#define SCAN_RECENT_SHIFT	21
/* Mappings. */
#define SCAN_RANGES		1024
#define SCAN_PAGE_SHIFT		12

/**
 * struct scan_range - where the space is mapped
 * @start: address
 * @end: behind it
 * @offset: in the space, in bytes
 */
struct scan_range {
	u64 start;
	u64 end;
	u64 offset;
};

/**
 * struct scan_recent - where a word has led
 * @page: page of the arena, or ~0
 * @first: first page of the extent that it is in
 * @class: of its slots, or %SLAB_CLASSES for a tensor
 * @reached: one bit a slot
 */
struct scan_recent {
	u32 page;
	u32 first;
	u32 class;
	u64 reached;
};

/**
 * struct scan_look - what is known of where words may lead
 * @low: lowest address where the space is mapped
 * @span: distance from there to the end of the highest
 * @nr_ranges: entries in @ranges
 * @ranges: mappings of the space
 * @recent: by a hash of the page
 */
struct scan_look {
	u64 low;
	u64 span;
	u32 nr_ranges;
	struct scan_range ranges[SCAN_RANGES];
	struct scan_recent recent[SCAN_RECENT];
};

static inline struct scan_recent *scan_recent_at(struct scan_look *look,
						 u32 page)
{
	return &look->recent[(page * 0x61c88647U) >> SCAN_RECENT_SHIFT];
}

static inline u32 scan_slot_in(u32 class, u64 offset, u32 first)
{
	return (u32)(offset - ((u64)first << SCAN_PAGE_SHIFT)) /
	       slab_classes[class].bytes;
}

/**
 * scan_known() - has a word led to the same tensor lately?
 * @look: look
 * @offset: in the space, where it leads
 *
 * Return: true if so.
 */
static inline bool scan_known(struct scan_look *look, u64 offset)
{
	u32 page = (u32)(offset >> SCAN_PAGE_SHIFT), slot;
	const struct scan_recent *r = scan_recent_at(look, page);

	if (r->page != page)
		return false;
	if (r->class == SLAB_CLASSES)
		return true;
	slot = scan_slot_in(r->class, offset, r->first);
	return slot < 64 && r->reached >> slot & 1;
}

/**
 * scan_address() - where does an address lead?
 * @look: look
 * @word: address
 * @note: called with each offset in the space that it stands for, unless that
 *	is known
 * @arg: for @note
 */
static inline void scan_address(struct scan_look *look, u64 word,
				void (*note)(void *arg, u64 offset), void *arg)
{
	const struct scan_range *r = look->ranges;
	u64 offset;
	u32 i;

	for (i = 0; i < look->nr_ranges; i++, r++) {
		if (word - r->start >= r->end - r->start)
			continue;
		offset = word - r->start + r->offset;
		if (!scan_known(look, offset))
			note(arg, offset);
	}
}

/**
 * scan_words() - find the addresses in memory
 * @low: of the look
 * @span: of the look
 * @word: aligned to 8 bytes; others may write to it
 * @end: behind the last
 * @lead: called with each word between the lowest and the highest address
 * @arg: for @lead
 */
static __always_inline void
scan_words(u64 low, u64 span, const u64 *word, const u64 *end,
	   void (*lead)(void *arg, u64 word), void *arg)
{
#define SCAN_LEADS(w) __builtin_expect((w) - low < span, 0)
	/* A page is whole, and hardly any word leads anywhere. */
	for (; end - word >= 8; word += 8) {
		u64 a = scan_read(word), b = scan_read(word + 1);
		u64 c = scan_read(word + 2), d = scan_read(word + 3);
		u64 e = scan_read(word + 4), f = scan_read(word + 5);
		u64 g = scan_read(word + 6), h = scan_read(word + 7);

		if (SCAN_LEADS(a))
			lead(arg, a);
		if (SCAN_LEADS(b))
			lead(arg, b);
		if (SCAN_LEADS(c))
			lead(arg, c);
		if (SCAN_LEADS(d))
			lead(arg, d);
		if (SCAN_LEADS(e))
			lead(arg, e);
		if (SCAN_LEADS(f))
			lead(arg, f);
		if (SCAN_LEADS(g))
			lead(arg, g);
		if (SCAN_LEADS(h))
			lead(arg, h);
	}
	for (; word < end; word++) {
		u64 a = scan_read(word);

		if (SCAN_LEADS(a))
			lead(arg, a);
	}
#undef SCAN_LEADS
}

#endif /* BMEM_SCAN_WORDS_H */
