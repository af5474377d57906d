// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later OR MIT
/*
 * Epochs in shadow arenas, and the decision at their end.
 *
 * An epoch begins with copies of the client's arena: what a policy is good for
 * shows only between the spans that are there for long.  Where the copy would
 * be too large it begins with empty arenas and follows its own spans only.
 *
 * A tag is the epoch's number above the entry's, so a tag of an older epoch is
 * told by its number; after a million epochs one may be taken for a new one,
 * which spoils a figure and nothing else.
 */
#include "selector.h"

#define TAG_ENTRY_BITS	12
#define TAG_ENTRY_MASK	((1U << TAG_ENTRY_BITS) - 1)
#define TAG_EPOCH_MASK	(~0U >> TAG_ENTRY_BITS)

/* Placed in this epoch and not followed: in no shadow arena. */
#define TAG_ENTRY_NONE	TAG_ENTRY_MASK

/* Per thousand and steps are capped here: "very bad" needs no more digits. */
#define FIGURE_MAX	1000000U

/*
 * @part * @scale / @whole with no 64-bit division.  Both lose the low bits
 * that @part has above 2^32 / @scale, so the quotient of figures that large is
 * good to three digits at least.
 */
static u32 ratio(u64 part, u64 whole, u32 scale)
{
	u32 result;

	while (part > 0xffffffffU / scale || whole > 0xffffffffU) {
		part >>= 1;
		whole >>= 1;
	}
	if (!whole)
		return part ? FIGURE_MAX : 0;
	result = (u32)part * scale / (u32)whole;
	return result < FIGURE_MAX ? result : FIGURE_MAX;
}

/**
 * selector_table_bytes() - memory that a selector takes up
 * @chunks: size of each shadow arena: a power of two up to
 *	%SELECTOR_CHUNKS_MAX
 * @entries: spans that an epoch may have alive, up to %SELECTOR_ENTRIES_MAX
 *
 * Return: bytes to give to selector_init().
 */
size_t selector_table_bytes(u32 chunks, u32 entries)
{
	return PLACE_POLICIES * place_table_bytes(chunks) +
	       (size_t)entries * sizeof(struct selector_entry);
}

static u32 gap_min(const struct selector *sel)
{
	return sel->length / SELECTOR_GAP_MIN + 1;
}

static void wait_for_epoch(struct selector *sel)
{
	sel->running = false;
	sel->until = sel->gap;
}

static void table_set(struct selector *sel, void *table, u32 chunks)
{
	sel->table = table;
	sel->chunks = chunks;
	sel->entry = (struct selector_entry *)(sel->table +
			PLACE_POLICIES * place_table_bytes(chunks));
}

/**
 * selector_init() - a selector with first fit everywhere
 * @sel: selector
 * @real: the client's arena, where it stays; epochs begin with a copy of it as
 *	long as it has no more chunks than @chunks
 * @table: selector_table_bytes(@chunks, @entries) bytes, aligned to 8, that
 *	stay the caller's; NULL to measure nothing
 * @chunks: as for selector_table_bytes(); more chunks take more time at the
 *	beginning of an epoch
 * @entries: as for selector_table_bytes()
 * @length: events of an epoch, %SELECTOR_EPOCH but in tests; up to
 *	%SELECTOR_EPOCH_MAX
 *
 * Return: 0, or -EINVAL for @chunks, @entries or @length out of range.
 */
int selector_init(struct selector *sel, const struct place *real, void *table,
		  u32 chunks, u32 entries, u32 length)
{
	if (!length || length > SELECTOR_EPOCH_MAX)
		return -EINVAL;
	if (table && (!chunks || chunks > SELECTOR_CHUNKS_MAX ||
		      chunks & (chunks - 1) || !entries ||
		      entries > SELECTOR_ENTRIES_MAX))
		return -EINVAL;
	memset(sel, 0, sizeof(*sel));
	sel->real = real;
	sel->pinned = SELECTOR_AUTO;
	sel->length = length;
	sel->gap = gap_min(sel);
	if (table) {
		sel->entries = entries;
		table_set(sel, table, chunks);
	}
	wait_for_epoch(sel);
	return 0;
}

/**
 * selector_grow() - move to larger memory, for an arena that has grown
 * @sel: selector that has a table
 * @table: selector_table_bytes(@chunks, @sel->entries) bytes, aligned to 8
 * @chunks: size of each shadow arena from now on: a power of two above
 *	@sel->chunks, up to %SELECTOR_CHUNKS_MAX
 *
 * What was measured is kept; an epoch that runs ends and tells nothing.
 *
 * Return: the memory of the old tables, for the caller to free.
 */
void *selector_grow(struct selector *sel, void *table, u32 chunks)
{
	void *old = sel->table;

	table_set(sel, table, chunks);
	wait_for_epoch(sel);
	return old;
}

/* A copy of the client's arena in each, or nothing if that is too large. */
static void shadows_fill(struct selector *sel)
{
	size_t bytes = place_table_bytes(sel->chunks);
	struct place *pl;
	u32 i;

	memset(sel->table, 0, PLACE_POLICIES * bytes);
	sel->copied = sel->real->chunks <= sel->chunks;
	for (i = 0; i < PLACE_POLICIES; i++) {
		pl = &sel->arena[i];
		place_init(pl, sel->chunks);
		if (sel->copied)
			*pl = *sel->real;
		pl->chunks_max = sel->chunks;
		place_grow(pl, sel->table + i * bytes, sel->chunks);
	}
	sel->before = sel->copied ? sel->real->pages_used : 0;
	sel->live = sel->before;
	for (i = 0; i < sel->entries; i++) {
		sel->entry[i].pages = 0;
		sel->entry[i].start[0] = i + 1;
	}
	sel->entry_free = 0;
}

/*
 * Where a round over the ranges ends in which none had a rival twice running,
 * epochs become rarer.
 */
static void round_end(struct selector *sel)
{
	if (sel->quiet && sel->gap < SELECTOR_GAP_MAX * sel->length)
		sel->gap *= 2;
	sel->quiet = true;
}

/*
 * The same range while it has a rival, else the next one that had enough
 * allocations in the last epoch; @fallback if none had.
 */
static u32 next_subject(struct selector *sel, u32 fallback)
{
	u32 i, range;

	if (sel->range[sel->subject].row &&
	    sel->allocs[sel->subject] >= SELECTOR_SUBJECT_MIN)
		return sel->subject;
	for (i = 1; i <= SELECTOR_RANGES; i++) {
		range = (sel->subject + i) % SELECTOR_RANGES;
		if (range == 0)
			round_end(sel);
		if (sel->allocs[range] >= SELECTOR_SUBJECT_MIN)
			return range;
	}
	return fallback;
}

static void epoch_begin(struct selector *sel, u32 fallback)
{
	sel->subject = next_subject(sel, fallback);
	shadows_fill(sel);
	sel->epoch = sel->epoch % TAG_EPOCH_MASK + 1;
	sel->running = true;
	sel->events = 0;
	memset(sel->allocs, 0, sizeof(sel->allocs));
	sel->live_subject = 0;
	sel->sum_live = 0;
	sel->sum_subject = 0;
	memset(sel->sum_held, 0, sizeof(sel->sum_held));
	memset(sel->steps, 0, sizeof(sel->steps));
	sel->ops = 0;
}

/* Whether @policy saves the margin against what the subject has. */
static bool saves(const struct selector *sel, u32 policy)
{
	u64 held = sel->sum_held[sel->range[sel->subject].policy];
	u64 saved = held - sel->sum_held[policy];

	if (held <= sel->sum_held[policy])
		return false;
	return saved * 1000 >= sel->sum_subject * SELECTOR_MARGIN &&
	       saved * 1000 >= sel->sum_live * SELECTOR_MARGIN_ALL;
}

static bool cheaper(const struct selector *sel, u32 policy)
{
	u32 own = sel->range[sel->subject].policy;

	return sel->sum_held[policy] <= sel->sum_held[own] &&
	       sel->steps[policy] < sel->steps[own] / 2;
}

/* Less held by the margin for all; where that says nothing, fewer steps. */
static bool better(const struct selector *sel, u32 a, u32 b)
{
	u64 margin = sel->sum_live * SELECTOR_MARGIN_ALL;

	if (sel->sum_held[a] * 1000 + margin < sel->sum_held[b] * 1000)
		return true;
	if (sel->sum_held[b] * 1000 + margin < sel->sum_held[a] * 1000)
		return false;
	return sel->steps[a] < sel->steps[b];
}

/* The policy that the epoch speaks for: the subject's own if none is better. */
static u32 epoch_winner(const struct selector *sel, u32 *why)
{
	u32 own = sel->range[sel->subject].policy, best = own, policy;

	*why = SELECTOR_WASTE;
	for (policy = 0; policy < PLACE_POLICIES; policy++)
		if (saves(sel, policy) &&
		    (best == own || better(sel, policy, best)))
			best = policy;
	if (best != own)
		return best;
	*why = SELECTOR_COST;
	for (policy = 0; policy < PLACE_POLICIES; policy++)
		if (cheaper(sel, policy) &&
		    (best == own || better(sel, policy, best)))
			best = policy;
	return best;
}

static void range_switch(struct selector_range *r, u32 policy, u32 why,
			 u64 now)
{
	r->old = r->last[r->policy];
	r->new = r->last[policy];
	r->policy = (u8)policy;
	r->why = (u8)why;
	r->since = now;
	r->switches++;
	r->row = 0;
}

/* Epochs in a row that the next switch of a range takes. */
static u32 row_needed(const struct selector_range *r)
{
	return SELECTOR_EPOCHS << (r->switches < SELECTOR_DOUBLINGS ?
				   r->switches : SELECTOR_DOUBLINGS);
}

static void epoch_judge(struct selector *sel, u64 now)
{
	struct selector_range *r = &sel->range[sel->subject];
	u32 winner, why, policy;

	for (policy = 0; policy < PLACE_POLICIES; policy++) {
		u64 held = sel->sum_held[policy];

		r->last[policy].waste = ratio(held - sel->sum_live,
					      sel->sum_live, 1000);
		r->last[policy].cost = ratio(sel->steps[policy], sel->ops, 100);
	}
	r->epochs++;
	winner = epoch_winner(sel, &why);
	if (winner == r->policy) {
		r->row = 0;
		return;
	}
	if (winner != r->rival)
		r->row = 0;
	r->rival = (u8)winner;
	r->row++;
	if (r->row > 1) {
		sel->quiet = false;
		sel->gap = gap_min(sel);
	}
	if (r->row >= row_needed(r))
		range_switch(r, winner, why, now);
}

static void epoch_end(struct selector *sel, u64 now)
{
	if (sel->allocs[sel->subject] >= SELECTOR_SUBJECT_MIN)
		epoch_judge(sel, now);
	else
		sel->cut++;
	wait_for_epoch(sel);
}

/* One more event has been done in all arenas. */
static void epoch_event(struct selector *sel, u64 now)
{
	u32 policy;

	sel->sum_live += sel->live;
	sel->sum_subject += sel->live_subject;
	for (policy = 0; policy < PLACE_POLICIES; policy++)
		sel->sum_held[policy] += (u64)sel->arena[policy].chunks_used *
					 PLACE_CHUNK_PAGES;
	if (++sel->events >= sel->length)
		epoch_end(sel, now);
}

/* What places a span of a range in the shadow arena of @policy. */
static enum place_policy shadow_policy(const struct selector *sel, u32 policy,
				       u32 range)
{
	return (enum place_policy)(range == sel->subject ?
				   policy : sel->range[range].policy);
}

static void shadow_free(struct selector *sel, u32 policy,
			const struct selector_entry *e, u32 range)
{
	struct place *pl = &sel->arena[policy];
	u32 before = pl->steps;

	place_free(pl, e->start[policy],
		   place_granted(shadow_policy(sel, policy, range), e->pages));
	if (range == sel->subject)
		sel->steps[policy] += pl->steps - before;
}

/* False, with nothing placed, when an arena is full. */
static bool shadows_alloc(struct selector *sel, struct selector_entry *e,
			  u32 pages, u32 align)
{
	u32 range = selector_range(pages), policy, granted, before;
	struct place *pl;

	e->pages = pages;
	for (policy = 0; policy < PLACE_POLICIES; policy++) {
		pl = &sel->arena[policy];
		before = pl->steps;
		if (place_alloc_by(pl, shadow_policy(sel, policy, range),
				   pages, align, &e->start[policy], &granted))
			break;
		if (range == sel->subject)
			sel->steps[policy] += pl->steps - before;
	}
	if (policy == PLACE_POLICIES)
		return true;
	while (policy--)
		shadow_free(sel, policy, e, range);
	return false;
}

/**
 * selector_alloc_shadow() - a span was placed while that is of interest
 * @sel: selector
 * @now: time, in any unit
 * @pages: length asked for, at least 1
 * @align: alignment asked for, as in place_alloc_by()
 *
 * For selector_alloc().  A span of half a shadow arena is not followed: it would
 * end every epoch.  When there is no entry or no room, the epoch ends.  Takes
 * time in proportion to the shadow arenas' chunks where an epoch begins, else
 * that of a place_alloc_by() for each policy.
 *
 * Return: the span's tag, or 0.
 */
u32 selector_alloc_shadow(struct selector *sel, u64 now, u32 pages, u32 align)
{
	u32 range = selector_range(pages), next, nr = sel->entry_free;
	struct selector_entry *e = &sel->entry[nr];

	sel->until = 1;
	if (!sel->entries || sel->pinned != SELECTOR_AUTO) {
		wait_for_epoch(sel);
		return 0;
	}
	if (!sel->running) {
		/* The span is in the copy already. */
		epoch_begin(sel, range);
		return 0;
	}
	if (pages / PLACE_CHUNK_PAGES >= sel->chunks / 2)
		return sel->epoch << TAG_ENTRY_BITS | TAG_ENTRY_NONE;
	if (nr == sel->entries) {
		epoch_end(sel, now);
		return 0;
	}
	next = e->start[0];
	if (!shadows_alloc(sel, e, pages, align)) {
		epoch_end(sel, now);
		return 0;
	}
	sel->entry_free = next;
	sel->allocs[range]++;
	sel->live += pages;
	if (range == sel->subject) {
		sel->live_subject += pages;
		sel->ops++;
	}
	epoch_event(sel, now);
	return sel->epoch << TAG_ENTRY_BITS | nr;
}

/* A span of this epoch. */
static void entry_free(struct selector *sel, u32 nr)
{
	struct selector_entry *e = &sel->entry[nr];
	u32 range = selector_range(e->pages), policy;

	for (policy = 0; policy < PLACE_POLICIES; policy++)
		shadow_free(sel, policy, e, range);
	sel->live -= e->pages;
	if (range == sel->subject) {
		sel->live_subject -= e->pages;
		sel->ops++;
	}
	e->pages = 0;
	e->start[0] = sel->entry_free;
	sel->entry_free = nr;
}

/* A span from before, where the client has it. */
static void copy_free(struct selector *sel, u32 start, u32 pages)
{
	u32 policy;

	for (policy = 0; policy < PLACE_POLICIES; policy++)
		place_free(&sel->arena[policy], start, pages);
	sel->before -= pages;
	sel->live -= pages;
}

/**
 * selector_free_shadow() - a span was freed while that is of interest
 * @sel: selector
 * @now: time, in any unit
 * @tag: its tag
 * @start: its first page in the client's arena
 * @pages: its length there, as granted
 *
 * For selector_free().
 */
void selector_free_shadow(struct selector *sel, u64 now, u32 tag, u32 start,
			  u32 pages)
{
	u32 nr = tag & TAG_ENTRY_MASK, end = sel->chunks * PLACE_CHUNK_PAGES;

	if (tag >> TAG_ENTRY_BITS == sel->epoch) {
		if (nr >= sel->entries || !sel->entry[nr].pages)
			return;
		entry_free(sel, nr);
	} else {
		if (!sel->copied || start >= end || pages > end - start ||
		    !pages || pages > sel->before)
			return;
		copy_free(sel, start, pages);
	}
	epoch_event(sel, now);
}

/**
 * selector_pin() - give all ranges one policy, or let them be chosen
 * @sel: selector
 * @policy: enum place_policy, or %SELECTOR_AUTO
 *
 * What was measured is kept, and no epoch runs while pinned.
 *
 * Return: 0, or -EINVAL for a bad @policy.
 */
int selector_pin(struct selector *sel, u32 policy)
{
	if (policy > SELECTOR_AUTO)
		return -EINVAL;
	sel->pinned = (u8)policy;
	wait_for_epoch(sel);
	return 0;
}

/**
 * selector_report() - what is known of a range
 * @sel: selector
 * @range: below %SELECTOR_RANGES
 * @report: out
 *
 * Return: 0, or -EINVAL for a bad @range.
 */
int selector_report(const struct selector *sel, u32 range,
		    struct selector_report *report)
{
	if (range >= SELECTOR_RANGES)
		return -EINVAL;
	report->range = sel->range[range];
	report->pages_min = range ? (SELECTOR_RANGE_PAGES << (range - 1)) + 1 :
				    1;
	report->pages_max = range < SELECTOR_RANGES - 1 ?
			    SELECTOR_RANGE_PAGES << range :
			    PLACE_CHUNKS_MAX * PLACE_CHUNK_PAGES;
	if (sel->pinned != SELECTOR_AUTO) {
		report->range.policy = sel->pinned;
		report->range.why = SELECTOR_PINNED;
	}
	return 0;
}
