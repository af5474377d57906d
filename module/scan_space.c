// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan's view of a space: who maps it and where, and which
 * other spaces those processes map.
 *
 * What other clients hold is read as it is, all that is attached: which of it
 * is reached would take their marks as well.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/sched/mm.h>

#include "scan.h"

/* Mappings that are looked at in one hold of i_mmap_rwsem. */
#define SLICE_VMAS	1024

/* ---- who maps it -------------------------------------------------------------- */

/* False when there is no room. */
static bool mm_add(struct scan *s, struct mm_struct *mm)
{
	unsigned int i;

	/* One mapping of a process comes after the other, as a rule. */
	if (s->nr_mms && s->mms[s->nr_mms - 1].mm == mm)
		return true;
	for (i = 0; i < s->nr_mms; i++)
		if (s->mms[i].mm == mm)
			return true;
	if (s->nr_mms == SCAN_MMS)
		return false;
	mmgrab(mm);
	s->mms[s->nr_mms].mm = mm;
	s->mms[s->nr_mms++].done = false;
	return true;
}

/* The range that a mapping lies in, or goes on from; or NULL. */
static struct scan_range *range_near(struct scan *s, const struct scan_range *r)
{
	struct scan_range *have;
	unsigned int i;

	/* The last one first: mappings come by their place in the space. */
	for (i = s->look.nr_ranges; i--;) {
		have = &s->look.ranges[i];
		if (r->start >= have->start && r->start <= have->end &&
		    r->offset - have->offset == r->start - have->start)
			return have;
	}
	return NULL;
}

/*
 * Parents and children map the same, and a mapping that was split is one.  False
 * when there is no room, or what was read before should be read again.
 */
static bool range_add(struct scan *s, const struct scan_range *r, bool first)
{
	struct scan_range *have = range_near(s, r);

	if (have && r->end <= have->end)
		return true;
	if (!first || (!have && s->look.nr_ranges == SCAN_RANGES))
		return false;
	if (have)
		have->end = r->end;
	else
		s->look.ranges[s->look.nr_ranges++] = *r;
	return true;
}

/* A VMA does not change while i_mmap_rwsem is held. */
static bool vma_add(struct scan *s, const struct vm_area_struct *vma,
		    bool first)
{
	const struct scan_range range = {
		.start = vma->vm_start,
		.end = vma->vm_end,
		.offset = bmem_bytes(vma->vm_pgoff),
	};

	if (!bmem_vm_space(vma))
		return true;
	/* Pointers to there may be half a word. */
	if (range.start <= U32_MAX)
		return false;
	return mm_add(s, vma->vm_mm) && range_add(s, &range, first);
}

static void ranges_bound(struct scan *s)
{
	unsigned int i;
	u64 high = 0;

	s->look.low = U64_MAX;
	for (i = 0; i < s->look.nr_ranges; i++) {
		s->look.low = min_t(u64, s->look.low, s->look.ranges[i].start);
		high = max_t(u64, high, s->look.ranges[i].end);
	}
	s->look.span = s->look.nr_ranges ? high - s->look.low : 0;
}

static struct vm_area_struct *vma_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct vm_area_struct, shared.rb);
}

/* Windows come after the space, and nothing there is looked at. */
static struct vm_area_struct *in_space(struct vm_area_struct *vma)
{
	return vma && vma->vm_pgoff < bmem_space_pages ? vma : NULL;
}

/* The first of a file's mappings that begins at a page of it or further on. */
static struct vm_area_struct *vma_from(struct address_space *mapping,
				       unsigned long pgoff)
{
	struct rb_node *node = mapping->i_mmap.rb_root.rb_node;
	struct vm_area_struct *vma, *best = NULL;

	while (node) {
		vma = vma_of(node);
		if (vma->vm_pgoff >= pgoff) {
			best = vma;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

/*
 * Some mappings, from *@pgoff on; false at the end.  All that begin at one page
 * are looked at together, so that there is a place to go on from.
 */
static bool find_slice(struct scan *s, unsigned long *pgoff, bool first)
{
	struct address_space *mapping = s->inode->i_mapping;
	struct vm_area_struct *vma;
	unsigned int n;

	i_mmap_lock_read(mapping);
	vma = in_space(vma_from(mapping, *pgoff));
	for (n = 0; vma && (n < SLICE_VMAS || vma->vm_pgoff == *pgoff); n++) {
		*pgoff = vma->vm_pgoff;
		if (!vma_add(s, vma, first)) {
			s->cut = true;
			break;
		}
		vma = in_space(vma_of(rb_next(&vma->shared.rb)));
	}
	if (vma)
		*pgoff = vma->vm_pgoff;
	i_mmap_unlock_read(mapping);
	return vma && !s->cut;
}

/**
 * bmem_scan_find() - find out who maps the space, and where
 * @s: scan
 * @first: the scan begins; else, who has come meanwhile
 *
 * Return: 0, or an errno of bmem_scan_breathe().  Where there is more than
 * there is room for, the scan is cut short, and nothing more is looked for.
 */
int bmem_scan_find(struct scan *s, bool first)
{
	unsigned long pgoff = 0;
	int rc = 0;

	while (!rc && find_slice(s, &pgoff, first))
		rc = bmem_scan_breathe(s);
	if (first)
		ranges_bound(s);
	return rc;
}

/**
 * bmem_scan_forget() - drop the scan's references
 * @s: scan
 */
void bmem_scan_forget(struct scan *s)
{
	while (s->nr_mms)
		mmdrop(s->mms[--s->nr_mms].mm);
	while (s->nr_others)
		bmem_client_put(s->others[--s->nr_others]);
}

/* ---- other spaces ------------------------------------------------------------------ */

/**
 * bmem_scan_other() - a process maps the space of some client
 * @s: scan
 * @other: the client, perhaps the scan's own; the caller keeps its VMA
 */
void bmem_scan_other(struct scan *s, struct bmem_client *other)
{
	unsigned int i;

	if (other == s->client)
		return;
	for (i = 0; i < s->nr_others; i++)
		if (s->others[i] == other)
			return;
	if (s->nr_others == SCAN_OTHERS) {
		s->cut = true;
		return;
	}
	kref_get(&other->ref);
	s->others[s->nr_others++] = other;
}

/* The first page that may be attached from a page on; false without any. */
static bool next_page(struct bmem_client *other, unsigned long *page)
{
	unsigned long index = *page / BMEM_HUGE_PAGES;

	if (!xa_find(&other->chunks, &index, ULONG_MAX, XA_PRESENT))
		return false;
	*page = max(*page, index * BMEM_HUGE_PAGES);
	return true;
}

static bool copy_page_at(struct scan *s, struct bmem_client *other,
			 unsigned long page, unsigned int to)
{
	struct page *p = bmem_backing_look(other, page);
	void *at;

	if (!p)
		return false;
	at = kmap_local_page(p);
	memcpy(s->copies[to], at, PAGE_SIZE);
	kunmap_local(at);
	return true;
}

/*
 * Pages that are copied while the client is locked, since nobody holds two
 * clients' locks.  Returns how many, or an errno.
 */
static int copy_slice(struct scan *s, struct bmem_client *other,
		      unsigned long *page, bool *more)
{
	unsigned int nr = 0, left = SCAN_COPIES;
	int rc;

	rc = bmem_client_lock(other, s->round->patient ? NULL :
						       &s->round->tries);
	/* It is closed: what it held is gone. */
	if (rc == -ENOENT) {
		*more = false;
		return 0;
	}
	if (rc)
		return rc;
	do {
		*more = next_page(other, page);
		if (*more)
			nr += copy_page_at(s, other, (*page)++, nr);
	} while (*more && --left);
	mutex_unlock(&other->lock);
	return nr;
}

static int read_other(struct scan *s, struct bmem_client *other)
{
	unsigned long page = 0;
	bool more = true;
	int rc = 0, i, nr;

	while (!rc && more) {
		nr = copy_slice(s, other, &page, &more);
		if (nr < 0)
			return nr;
		for (i = 0; i < nr; i++)
			bmem_scan_words(s, s->copies[i], PAGE_SIZE);
		rc = bmem_scan_settle(s);
		if (!rc)
			rc = bmem_scan_breathe(s);
	}
	return rc;
}

/**
 * bmem_scan_others() - read the spaces of the other clients that were met
 * @s: scan
 *
 * Return: 0 or an errno of bmem_client_lock().
 */
int bmem_scan_others(struct scan *s)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < s->nr_others; i++)
		rc = read_other(s, s->others[i]);
	return rc;
}
