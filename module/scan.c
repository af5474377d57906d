// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan: marks what words lead to, and reports the rest.
 *
 * kmemleak's method, on the memory of processes.  A tensor that no word leads
 * to, older than a minimum age, is found; leak.c has it found twice with the
 * same content, and once more after a delay, before anybody is told that it is
 * leaked.
 *
 * Marks are in the extents themselves, under the client's lock, so tensors may
 * come and go while the scan runs.  What words lead to is looked up in batches,
 * so that the lock is held for moments; places where words led lately need no
 * look.  A slot or tensor that is free but may be in use for all the kernel
 * knows is read, but never reported.
 *
 * Whatever cannot be read might hold a pointer: the scan is cut short then, and
 * reports nothing.
 */
#include <linux/highmem.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/jhash.h>
#include <linux/ktime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "scan.h"
#include "trace.h"

/* Extents whose marks are cleared, or that are reported, in one hold. */
#define SLICE_EXTENTS	256
/* Pages of a tensor that are read in one hold. */
#define SLICE_PAGES	16

/* A worker is busy for so long and sleeps for as long, in milliseconds. */
#define BUSY_MS		10

/* New processes may come so often while those before are read. */
#define ROUNDS_MAX	8

/* Words of a tensor that go into its checksum. */
#define SUM_WORDS	64

/* ---- what a word leads to ------------------------------------------------------ */

static_assert(SCAN_PAGE_SHIFT == PAGE_SHIFT);

static void queue(struct scan *s, struct extent *e)
{
	if (e->queued)
		return;
	e->queued = true;
	if (s->nr_grey == SCAN_GREY)
		s->grey_lost = true;
	else
		s->grey[s->nr_grey++] = e->page;
}

static void reach_slot(struct scan *s, struct span *sp, u64 offset,
		       struct scan_recent *r)
{
	u32 slot = scan_slot_in(sp->class, offset, sp->at.page);

	/* What is behind the last slot leads nowhere, nor does a slot that is in. */
	if (slot < slab_classes[sp->class].slots &&
	    !(sp->free & BIT_ULL(slot)) && !(sp->reached & BIT_ULL(slot))) {
		sp->reached |= BIT_ULL(slot);
		queue(s, &sp->at);
	}
	r->class = sp->class;
	r->reached = sp->reached;
}

static void reach(struct scan *s, u64 offset)
{
	struct extent *e = bmem_extent_covering(s->client,
						offset >> PAGE_SHIFT);
	struct scan_recent *r = scan_recent_at(&s->look, offset >> PAGE_SHIFT);

	if (!e)
		return;
	r->page = offset >> PAGE_SHIFT;
	r->first = e->page;
	if (e->slab) {
		reach_slot(s, span_of(e), offset, r);
		return;
	}
	r->class = SLAB_CLASSES;
	if (!e->reached) {
		e->reached = true;
		queue(s, e);
	}
}

static void settle_locked(struct scan *s)
{
	unsigned int i;

	lockdep_assert_held(&s->client->lock);
	for (i = 0; i < s->nr_hits; i++)
		reach(s, s->hits[i]);
	s->nr_hits = 0;
}

/**
 * bmem_scan_settle() - look up where words led
 * @s: scan; no lock is held
 *
 * Return: 0 or an errno of bmem_client_lock().
 */
int bmem_scan_settle(struct scan *s)
{
	int rc;

	if (s->error || !s->nr_hits)
		return s->error;
	rc = bmem_leak_lock(s->round);
	if (rc) {
		s->error = rc;
		return rc;
	}
	settle_locked(s);
	mutex_unlock(&s->client->lock);
	return 0;
}

/* Leads to where none has led lately. */
static void note(void *arg, u64 offset)
{
	struct scan *s = arg;

	if (s->error)
		return;
	s->hits[s->nr_hits++] = offset;
	if (s->nr_hits < SCAN_HITS)
		return;
	if (s->locked)
		settle_locked(s);
	else
		bmem_scan_settle(s);
}

/* A word between the lowest and the highest address of the space. */
static noinline void note_address(void *arg, u64 word)
{
	struct scan *s = arg;

	scan_address(&s->look, word, note, s);
}

static void note_offset(struct scan *s, u64 offset)
{
	if (!scan_known(&s->look, offset))
		note(s, offset);
}

/* A word that may be a handle or an offset. */
static noinline void note_number(struct scan *s, u64 word)
{
	u64 bytes = bmem_bytes(bmem_space_pages);

	if (word < bytes) {
		note_offset(s, word);
		return;
	}
	word = (word & (BIT_ULL(BMEM_SLOT_PLACE_BITS) - 1)) * BMEM_ALIGN_MIN;
	if (word < bytes && IS_ALIGNED(word, PAGE_SIZE))
		note_offset(s, word);
}

static void words_and_numbers(struct scan *s, const u64 *at, size_t nr)
{
	u64 low = s->look.low, span = s->look.span, word;
	size_t i;

	for (i = 0; i < nr; i++) {
		word = scan_read(&at[i]);
		if (unlikely(word - low < span))
			note_address(s, word);
		else if (word)
			note_number(s, word);
	}
}

/**
 * bmem_scan_words() - read memory
 * @s: scan; no lock is held but, with @s->locked, the client's
 * @at: aligned to 8 bytes; others may write to it
 * @bytes: length
 */
void bmem_scan_words(struct scan *s, const void *at, size_t bytes)
{
	const u64 *word = at, *end = word + bytes / sizeof(*word);

	s->words += end - word;
	if (s->numbers) {
		words_and_numbers(s, word, end - word);
		return;
	}
	scan_words(s->look.low, s->look.span, word, end, note_address, s);
}

/**
 * bmem_scan_breathe() - let others go on, between two strides
 * @s: scan; no lock is held
 *
 * Return: 0; -EINTR when the caller was killed; or as bmem_leak_late().
 */
int bmem_scan_breathe(struct scan *s)
{
	int rc;

	cond_resched();
	if (fatal_signal_pending(current))
		return -EINTR;
	rc = bmem_leak_late(s->round);
	if (rc)
		return rc;
	if (s->round->patient ||
	    ktime_get_ns() - s->busy < BUSY_MS * NSEC_PER_MSEC)
		return 0;
	msleep(BUSY_MS);
	s->busy = ktime_get_ns();
	return 0;
}

/* ---- what tensors hold ----------------------------------------------------------- */

static int scan_lock(struct scan *s)
{
	int rc = bmem_leak_lock(s->round);

	s->locked = !rc;
	return rc;
}

static void scan_unlock(struct scan *s)
{
	settle_locked(s);
	s->locked = false;
	mutex_unlock(&s->client->lock);
}

/* A range of the arena; where nothing is attached there is nothing. */
static void read_arena(struct scan *s, u64 offset, u64 end)
{
	struct page *page;
	size_t bytes;
	void *at;

	for (; offset < end; offset += bytes) {
		bytes = min_t(u64, PAGE_SIZE - offset_in_page(offset),
			      end - offset);
		page = bmem_backing_look(s->client, offset >> PAGE_SHIFT);
		if (!page)
			continue;
		at = kmap_local_page(page);
		bmem_scan_words(s, at + offset_in_page(offset), bytes);
		kunmap_local(at);
	}
}

static void read_span(struct scan *s, struct span *sp)
{
	u32 bytes = slab_classes[sp->class].bytes, slot;
	u64 grey, at;

	while ((grey = sp->reached & ~sp->read)) {
		slot = __ffs64(grey);
		sp->read |= BIT_ULL(slot);
		at = bmem_bytes(sp->at.page) + (u64)slot * bytes;
		read_arena(s, at, at + bytes);
	}
}

/* The extent that a grey page stands for, if it is still that. */
static struct extent *grey_extent(struct scan *s, u32 page)
{
	struct extent *e = bmem_extent_covering(s->client, page);

	return e && e->page == page ? e : NULL;
}

/* One slice of an extent; *@at says how far a tensor has been read. */
static int read_slice(struct scan *s, u32 page, u32 *at, bool *done)
{
	struct extent *e;
	int rc = scan_lock(s);
	u32 n;

	if (rc)
		return rc;
	*done = true;
	e = grey_extent(s, page);
	if (!e)
		goto out;
	if (!*at)
		e->queued = false;
	if (e->slab) {
		read_span(s, span_of(e));
	} else if (*at < e->pages) {
		n = min_t(u32, SLICE_PAGES, e->pages - *at);
		read_arena(s, bmem_bytes((u64)page + *at),
			   bmem_bytes((u64)page + *at + n));
		*at += n;
		*done = *at == e->pages;
	}
out:
	scan_unlock(s);
	return bmem_scan_breathe(s);
}

static int read_extent(struct scan *s, u32 page)
{
	bool done = false;
	u32 at = 0;
	int rc = 0;

	while (!rc && !done)
		rc = read_slice(s, page, &at, &done);
	return rc;
}

typedef void (*extent_fn)(struct scan *s, struct extent *e);

/* All extents, in slices. */
static int each_extent(struct scan *s, extent_fn fn)
{
	struct extent *e;
	unsigned int i;
	u64 page = 0;
	int rc;

	do {
		rc = scan_lock(s);
		if (rc)
			return rc;
		e = bmem_extent_from(s->client, page);
		for (i = 0; e && i < SLICE_EXTENTS; i++) {
			page = (u64)e->page + e->pages;
			fn(s, e);
			e = bmem_extent_next(e);
		}
		scan_unlock(s);
		rc = bmem_scan_breathe(s);
	} while (!rc && e);
	return rc;
}

static void clear_extent(struct scan *s, struct extent *e)
{
	e->reached = false;
	e->queued = false;
	if (!e->slab)
		return;
	span_of(e)->reached = 0;
	span_of(e)->read = 0;
}

static void find_grey(struct scan *s, struct extent *e)
{
	if (!e->queued)
		return;
	if (s->nr_grey == SCAN_GREY)
		s->grey_lost = true;
	else
		s->grey[s->nr_grey++] = e->page;
}

/* Until all that has been reached has been read. */
static int read_reached(struct scan *s)
{
	int rc = bmem_scan_settle(s);

	for (;;) {
		while (!rc && s->nr_grey)
			rc = read_extent(s, s->grey[--s->nr_grey]);
		if (rc || !s->grey_lost)
			return rc;
		s->grey_lost = false;
		rc = each_extent(s, find_grey);
	}
}

/* ---- processes ---------------------------------------------------------------------- */

/*
 * The main thread's stack comes right behind the registers, from where its
 * pointer is, so that what dead frames have left there leads nowhere.
 */
static int read_process(struct scan *s, struct mm_struct *mm)
{
	unsigned long start = 0, end = 0, again;
	int rc = bmem_scan_skips(s, mm);

	if (!rc)
		rc = bmem_scan_stack(s, mm, &start, &end);
	again = start;
	if (!rc)
		rc = bmem_scan_registers(s, mm, &start, end);
	/* It may not be read, or is about to end. */
	if (s->cut)
		return rc;
	if (!rc)
		rc = bmem_scan_memory(s, mm, start, end, true);
	if (!rc)
		rc = bmem_scan_memory(s, mm, 0, TASK_SIZE_MAX, false);
	/* What was in a register then may be in one again. */
	if (!rc)
		rc = bmem_scan_registers(s, mm, &again, end);
	return rc;
}

/* Processes may fork while they are read.  A scan that is cut short is over. */
static int read_processes(struct scan *s)
{
	unsigned int i, turn;
	bool more = true;
	int rc = 0;

	for (turn = 0; more && turn < ROUNDS_MAX; turn++) {
		more = false;
		for (i = 0; !rc && !s->cut && i < s->nr_mms; i++) {
			if (s->mms[i].done)
				continue;
			s->mms[i].done = true;
			more = true;
			rc = read_process(s, s->mms[i].mm);
		}
		if (!rc && more)
			rc = bmem_scan_find(s, false);
		if (rc || s->cut)
			return rc;
	}
	if (more)
		s->cut = true;
	return bmem_scan_others(s);
}

/* ---- report --------------------------------------------------------------------------- */

static u32 sum_word(struct scan *s, u64 offset, u32 sum)
{
	struct page *page = bmem_backing_look(s->client, offset >> PAGE_SHIFT);
	u64 word;
	void *at;

	if (!page)
		return sum;
	at = kmap_local_page(page);
	word = READ_ONCE(*(u64 *)(at + offset_in_page(offset)));
	kunmap_local(at);
	return jhash_2words((u32)word, (u32)(word >> 32), sum);
}

/* A sample of the words, from the first to the last. */
static u32 checksum(struct scan *s, const struct bmem_tensor *t)
{
	u64 words = t->bytes / sizeof(u64), i;
	u64 nr = min_t(u64, words, SUM_WORDS);
	u32 sum = 0;

	for (i = 0; i < nr; i++)
		sum = sum_word(s, t->offset + (words - 1) * i /
			       max_t(u64, nr - 1, 1) * sizeof(u64), sum);
	return sum;
}

static void report(struct bmem_client *client, const struct bmem_tensor *t,
		   u32 gen, void *arg)
{
	struct scan *s = arg;
	struct leak_hit hit = {
		.tensor = t,
		.cookie = (u64)gen << 32 | checksum(s, t),
		.evidence = BMEM_LEAK_NO_POINTER | BMEM_LEAK_UNCHANGED,
		.confidence = 95,
	};

	bmem_leak_suspect(s->round, &hit);
}

static int report_all(struct scan *s)
{
	bool done = false;
	u64 cursor = 0;
	int rc = 0;

	while (!rc && !done) {
		rc = scan_lock(s);
		if (rc)
			return rc;
		done = bmem_tensors_unreached(s->client, &cursor,
					      SLICE_EXTENTS, report, s);
		scan_unlock(s);
		rc = bmem_scan_breathe(s);
	}
	return rc;
}

/* ---- the detector ------------------------------------------------------------------------ */

static int scan_run(struct scan *s)
{
	int rc = bmem_scan_find(s, true);

	/* Who never maps the space has no pointers, and nothing to lose. */
	if (rc || s->cut || !s->look.nr_ranges)
		goto out;
	rc = each_extent(s, clear_extent);
	/* What begins the space is at an offset that is no number to tell. */
	if (s->numbers)
		note(s, 0);
	if (!rc)
		rc = read_processes(s);
	if (!rc && !s->cut)
		rc = read_reached(s);
	if (!rc && s->away)
		s->cut = true;
	if (!rc && !s->cut)
		rc = report_all(s);
out:
	if (s->cut)
		bmem_leak_cut_short(s->round);
	return rc;
}

/* What the scan has to know of the client before it begins. */
static int scan_begin(struct scan *s)
{
	struct bmem_client *client = s->client;
	unsigned int i;
	int rc = bmem_leak_lock(s->round);

	if (rc)
		return rc;
	ihold(client->inode);
	s->inode = client->inode;
	s->numbers = client->live != client->recorded;
	/* Nobody says which slots hold tensors. */
	if (bmem_control_level(client) == BMEM_LEVEL_OFF)
		s->cut = true;
	mutex_unlock(&client->lock);
	for (i = 0; i < SCAN_RECENT; i++)
		s->look.recent[i].page = ~0U;
	s->busy = ktime_get_ns();
	return 0;
}

static int scan_client(struct bmem_client *client, struct leak_round *round)
{
	struct scan *s = kvzalloc(sizeof(*s), GFP_BMEM_META);
	u64 start = ktime_get_ns();
	int rc;

	if (!s)
		return -ENOMEM;
	s->round = round;
	s->client = client;
	rc = scan_begin(s);
	if (!rc && s->cut)
		bmem_leak_cut_short(round);
	else if (!rc)
		rc = scan_run(s);
	trace_bmem_scan(client->who.id, s->nr_mms, s->words, s->away, s->cut,
			ktime_get_ns() - start, rc);
	bmem_scan_forget(s);
	if (s->inode)
		iput(s->inode);
	kvfree(s);
	return rc;
}

const struct leak_detector bmem_leak_unreached = {
	.name = "unreachable",
	.kind = BMEM_LEAK_UNREACHABLE,
	.rounds = 2,
	.scan = scan_client,
};
