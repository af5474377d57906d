// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan's walk over a process's memory.
 *
 * A process is read in strides.  In each its mmap_lock is held for as long as
 * it takes to find some pages and take references to them; they are read when
 * it is free again, and the next stride goes on at the next address, wherever
 * that is by then.  Nothing is faulted in: page tables say what is there, so
 * that a hole costs an entry of the highest table that has none below it.
 *
 * A process that ends meanwhile is not kept from it for longer than a stride.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>

#include "scan.h"

/* Entries of page tables that one stride looks at. */
#define STRIDE_STEPS	8192

/* How often a lock, or a page that is being moved, is waited for. */
#define WAIT_TRIES	200
#define WAIT_MS		1

/* ---- which memory ------------------------------------------------------------- */

static bool is_stack(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_GROWSDOWN &&
	       vma->vm_start <= vma->vm_mm->start_stack &&
	       vma->vm_mm->start_stack <= vma->vm_end;
}

/*
 * What the process can write, or could: a pointer stays where it is when the
 * memory is made read-only.
 */
static bool is_memory(const struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_IO | VM_PFNMAP) || bmem_vm_is_bmem(vma))
		return false;
	return vma->vm_flags & VM_WRITE || vma->anon_vma;
}

/* ---- page tables ------------------------------------------------------------------ */

/* Take references to pages that were there a moment ago. */
static void take(struct scan *s, struct scan_stride *st, unsigned long nr)
{
	long i, got;

	nr = min_t(unsigned long, nr, SCAN_PAGES - st->nr);
	got = bmem_get_pages_remote(st->mm, st->at, nr,
				    FOLL_NOFAULT | FOLL_FORCE,
				    s->pages + st->nr);
	/* Gone meanwhile, which its entry will say; or none that can be read. */
	if (got <= 0 && got != -EHWPOISON && st->bad != st->at) {
		st->bad = st->at;
		return;
	}
	if (got <= 0) {
		if (got != -EHWPOISON)
			s->away++;
		st->at += PAGE_SIZE;
		return;
	}
	for (i = 0; i < got; i++)
		s->addrs[st->nr++] = st->at + i * PAGE_SIZE;
	st->at += got * PAGE_SIZE;
}

static bool full(const struct scan_stride *st)
{
	return st->nr == SCAN_PAGES || !st->steps || st->moving;
}

/*
 * The length of the run of present entries that begins at an entry, or, with
 * *@hole, of those that have no memory; 0 at one that is away or moving.
 */
static unsigned long table_run(const pte_t *pte, unsigned long most,
			       bool *hole, enum bmem_leaf *leaf)
{
	pte_t first = READ_ONCE(*pte), next;
	unsigned long n;

	*hole = !pte_present(first);
	if (*hole && !pte_none(first)) {
		*leaf = bmem_leaf_of(first);
		return *leaf == BMEM_LEAF_NOTHING;
	}
	for (n = 1; n < most; n++) {
		next = READ_ONCE(pte[n]);
		if (*hole ? !pte_none(next) : !pte_present(next))
			break;
	}
	return n;
}

static bool is_table(pmd_t pmd)
{
	return !pmd_none(pmd) && pmd_present(pmd) && !pmd_leaf(pmd);
}

/*
 * A table that is taken away is freed after a grace period, or, by older
 * kernels, under mmap_lock for writing.  So it is looked up anew after each
 * sleep; where there is none any more the caller begins again.
 */
static void walk_table(struct scan *s, struct scan_stride *st,
		       const pmd_t *where, unsigned long end)
{
	enum bmem_leaf leaf = BMEM_LEAF_NOTHING;
	unsigned long n, most;
	const pte_t *table;
	bool hole;
	pmd_t pmd;

	while (st->at < end && !full(st)) {
		most = min((end - st->at) >> PAGE_SHIFT,
			   (unsigned long)st->steps);
		rcu_read_lock();
		pmd = READ_ONCE(*where);
		if (!is_table(pmd)) {
			rcu_read_unlock();
			return;
		}
		table = (const pte_t *)pmd_page_vaddr(pmd);
		n = table_run(table + pte_index(st->at), most, &hole, &leaf);
		rcu_read_unlock();
		st->steps -= max(n, 1UL);
		if (!n && leaf == BMEM_LEAF_MOVING) {
			st->moving = st->at + PAGE_SIZE;
		} else if (!n) {
			s->away++;
			st->at += PAGE_SIZE;
		} else if (hole) {
			st->at += n * PAGE_SIZE;
		} else {
			take(s, st, n);
		}
	}
}

/* A huge page that is not there: on its way, or away as a whole. */
static void walk_absent(struct scan *s, struct scan_stride *st, pmd_t pmd,
			unsigned long end)
{
	if (bmem_huge_leaf_of(pmd) == BMEM_LEAF_MOVING) {
		st->moving = end;
		return;
	}
	s->away++;
	st->at = end;
}

/* @end is that of the VMA; no further than the entry goes. */
static void walk_pmd(struct scan *s, struct scan_stride *st, pud_t *pud,
		     unsigned long end)
{
	const pmd_t *where = pmd_offset(pud, st->at);
	pmd_t pmd = READ_ONCE(*where);

	end = pmd_addr_end(st->at, end);
	st->steps--;
	if (pmd_none(pmd))
		st->at = end;
	else if (!pmd_present(pmd))
		walk_absent(s, st, pmd, end);
	else if (pmd_leaf(pmd))
		take(s, st, (end - st->at) >> PAGE_SHIFT);
	else
		walk_table(s, st, where, end);
}

static void walk_step(struct scan *s, struct scan_stride *st, unsigned long end)
{
	pgd_t *pgd = pgd_offset(st->mm, st->at);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd)) {
		st->steps--;
		st->at = pgd_addr_end(st->at, end);
		return;
	}
	p4d = p4d_offset(pgd, st->at);
	if (p4d_none(*p4d)) {
		st->steps--;
		st->at = p4d_addr_end(st->at, end);
		return;
	}
	pud = pud_offset(p4d, st->at);
	if (pud_none(*pud)) {
		st->steps--;
		st->at = pud_addr_end(st->at, end);
		return;
	}
	if (pud_leaf(*pud)) {
		st->steps--;
		take(s, st, (pud_addr_end(st->at, end) - st->at) >> PAGE_SHIFT);
		return;
	}
	walk_pmd(s, st, pud, end);
}

/* ---- strides ------------------------------------------------------------------------- */

/* Under mmap_lock; what is not there is as good as none. */
static void stack_of(struct mm_struct *mm, unsigned long *start,
		     unsigned long *end)
{
	struct vm_area_struct *vma = find_vma(mm, mm->start_stack);

	if (!vma)
		return;
	if (is_stack(vma)) {
		*start = vma->vm_start;
		*end = vma->vm_end;
	}
}

/* Under mmap_lock. */
static void gather(struct scan *s, struct scan_stride *st)
{
	struct vm_area_struct *vma = find_vma(st->mm, st->at);
	struct bmem_client *other;
	unsigned long end;

	for (; vma && vma->vm_start < st->end && !full(st);
	     vma = find_vma(st->mm, st->at)) {
		end = min(vma->vm_end, st->end);
		st->at = max(st->at, vma->vm_start);
		st->steps--;
		other = bmem_vm_space(vma);
		if (other)
			bmem_scan_other(s, other);
		if (!is_memory(vma) || is_stack(vma) != st->stack) {
			st->at = end;
			continue;
		}
		while (st->at < end && !full(st))
			walk_step(s, st, end);
	}
	if (!full(st))
		st->at = st->end;
}

static int lock_mm(struct scan *s, struct mm_struct *mm)
{
	unsigned int tries;
	int rc;

	for (tries = 0; !mmap_read_trylock(mm); tries++) {
		rc = bmem_scan_breathe(s);
		if (rc)
			return rc;
		if (tries == WAIT_TRIES)
			return -EBUSY;
		msleep(WAIT_MS);
	}
	return 0;
}

/*
 * A process that is about to end has given up its memory before it gives up its
 * client, and what it had would look lost.
 */
static bool mm_get(struct scan *s, struct mm_struct *mm)
{
	if (mmget_not_zero(mm))
		return true;
	s->cut = true;
	return false;
}

/**
 * bmem_scan_stack() - where is a process's main stack?
 * @s: scan
 * @mm: process, with a reference by mmgrab()
 * @start: out, its lowest address; the same as @end where there is none
 * @end: out
 *
 * Return: 0; -EBUSY when the process's mmap_lock cannot be had; -EINTR.
 */
int bmem_scan_stack(struct scan *s, struct mm_struct *mm, unsigned long *start,
		    unsigned long *end)
{
	int rc;

	*start = 0;
	*end = 0;
	if (!mm_get(s, mm))
		return 0;
	rc = lock_mm(s, mm);
	if (!rc) {
		stack_of(mm, start, end);
		mmap_read_unlock(mm);
	}
	mmput_async(mm);
	return rc;
}

/* 1 when there may be more, 0 at the end; the process is gone then or done. */
static int stride(struct scan *s, struct scan_stride *st)
{
	int rc;

	st->steps = STRIDE_STEPS;
	st->nr = 0;
	st->moving = 0;
	if (st->at >= st->end || !mm_get(s, st->mm))
		return 0;
	rc = lock_mm(s, st->mm);
	if (!rc) {
		gather(s, st);
		mmap_read_unlock(st->mm);
		rc = 1;
	}
	/* Perhaps the last one: what that takes is somebody else's to do. */
	mmput_async(st->mm);
	return rc;
}

/* The part of a page that comes from @from on and is not to be skipped. */
static void read_page(struct scan *s, const void *at, unsigned long addr,
		      unsigned long from)
{
	unsigned long end = addr + PAGE_SIZE, to;
	const struct scan_skip *skip = s->skips;
	unsigned int i;

	from = clamp(from, addr, end);
	/* By address. */
	for (i = 0; i < s->nr_skips && from < end; i++, skip++) {
		if (skip->end <= from || skip->start >= end)
			continue;
		to = max(skip->start, from);
		bmem_scan_words(s, at + (from - addr), to - from);
		from = min(skip->end, end);
	}
	bmem_scan_words(s, at + (from - addr), end - from);
}

static void read_pages(struct scan *s, const struct scan_stride *st)
{
	unsigned int i;
	void *at;

	for (i = 0; i < st->nr; i++) {
		at = kmap_local_page(s->pages[i]);
		read_page(s, at, s->addrs[i], st->from);
		kunmap_local(at);
		put_page(s->pages[i]);
	}
}

/* A page that stays on its way for long is as good as away. */
static void wait_moving(struct scan *s, struct scan_stride *st,
			unsigned int *tries)
{
	if (!st->moving) {
		*tries = 0;
		return;
	}
	if (++*tries < WAIT_TRIES) {
		msleep(WAIT_MS);
		return;
	}
	*tries = 0;
	s->away++;
	st->at = st->moving;
}

/**
 * bmem_scan_memory() - read a process's memory
 * @s: scan
 * @mm: process, with a reference by mmgrab()
 * @from: address, aligned to words
 * @to: where to stop
 * @stack: read the main thread's stack, else all but that
 *
 * Return: 0, also when the process ended; -EINTR, or an errno of
 * bmem_client_lock().
 */
int bmem_scan_memory(struct scan *s, struct mm_struct *mm, unsigned long from,
		     unsigned long to, bool stack)
{
	struct scan_stride st = {
		.mm = mm,
		.from = from,
		.at = from & PAGE_MASK,
		.bad = ~0UL,
		.end = to,
		.stack = stack,
	};
	unsigned int tries = 0;
	int rc;

	while ((rc = stride(s, &st)) > 0) {
		read_pages(s, &st);
		rc = bmem_scan_settle(s);
		if (!rc)
			rc = bmem_scan_breathe(s);
		if (rc)
			return rc;
		wait_moving(s, &st, &tries);
	}
	return rc;
}
