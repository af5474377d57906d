// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping the huge pages around a fault together with the one it was for.
 *
 * Most of a fault's cost is the way to .fault and back, and a page table that
 * core mm gets ready for the case that no huge page comes.  Whoever touches
 * the first huge page of a large tensor will touch the others, so they are
 * mapped with it.
 *
 * What maps a huge page ahead of its fault is core mm's filemap_map_pages(),
 * and that maps what it finds in the page cache of the file's inode.  The inode
 * is the client's own and its page cache empty, so one place in it, the first,
 * is enough: the huge pages are put there one after the other, each while it
 * is mapped.
 *
 * Only a page that is marked may be mapped so, one that lies wholly in a tensor
 * with others.  The mark is its mapping, and changes while the page is locked.
 * Whoever takes a marked page away, or gives it another owner, takes the mark
 * off before he unmaps it.
 */
#include <linux/pagemap.h>

#include "bmem_private.h"
#include "trace.h"

unsigned int bmem_fault_around = 16;

/**
 * bmem_around_mark() - let a huge page be mapped ahead of its fault
 * @client: client, locked
 * @page: its huge page, which nobody else has a part of
 */
void bmem_around_mark(struct bmem_client *client, struct page *page)
{
	struct folio *folio = page_folio(page);

	lockdep_assert_held(&client->lock);
	if (folio->mapping)
		return;
	folio_lock(folio);
	folio_mark_uptodate(folio);
	/* Makes core mm ask before it splits the page: bmem_vm_release(). */
	folio_set_private(folio);
	folio->mapping = client->inode->i_mapping;
	folio_unlock(folio);
}

/**
 * bmem_around_unmark() - from now on a page is mapped by its own fault only
 * @page: huge or base page, locked, marked or not
 */
void bmem_around_unmark(struct page *page)
{
	struct folio *folio = page_folio(page);

	folio->mapping = NULL;
	folio_clear_private(folio);
}

/**
 * bmem_around_marked() - may a huge page be mapped ahead of its fault?
 * @page: huge page that is in the table
 *
 * Return: whether it may; for sure only while it is locked.
 */
bool bmem_around_marked(struct page *page)
{
	return READ_ONCE(page_folio(page)->mapping);
}

/**
 * struct around - what is mapped in one fault
 * @start: first address
 * @end: behind the last
 */
struct around {
	unsigned long start;
	unsigned long end;
};

/*
 * An aligned range, so that it is all under one page of the PMDs and two faults
 * in it are for the same.
 */
static struct around range_around(const struct vm_fault *vmf)
{
	unsigned int n = rounddown_pow_of_two(READ_ONCE(bmem_fault_around));
	unsigned long bytes = n * PMD_SIZE;
	unsigned long start = ALIGN_DOWN(vmf->address, bytes);

	return (struct around){
		.start = max(start, ALIGN(vmf->vma->vm_start, PMD_SIZE)),
		.end = min(start + bytes,
			   ALIGN_DOWN(vmf->vma->vm_end, PMD_SIZE)),
	};
}

static bool may_be_huge(const struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;

	/* Elsewhere a new entry's address may matter, which is not right here. */
	return IS_ENABLED(CONFIG_X86_64) &&
	       /* Of a page that failed, .fault maps what is still good. */
	       !bmem_poison_seen() && vmf->prealloc_pte &&
	       !(vma->vm_flags & VM_NOHUGEPAGE) &&
	       IS_ALIGNED((vma->vm_start >> PAGE_SHIFT) - vma->vm_pgoff,
			  BMEM_HUGE_PAGES) &&
	       pmd_none(*vmf->pmd);
}

/*
 * True when @addr is served.  For core mm the page is at index 0, where folios
 * of the pool say they are; should it come to a page table after all, since the
 * PMD has changed meanwhile, the place in it is right all the same.
 */
static bool map_one(struct vm_fault *vmf, unsigned long addr, struct page *page)
{
	struct xarray *cache = &vmf->vma->vm_file->f_mapping->i_pages;
	struct vm_fault one = {
		.vma = vmf->vma,
		.gfp_mask = vmf->gfp_mask,
		.pgoff = linear_page_index(vmf->vma, addr),
		.address = addr,
		.real_address = addr,
		.flags = vmf->flags,
		.pmd = pmd_offset(vmf->pud, addr),
		.pud = vmf->pud,
		.prealloc_pte = vmf->prealloc_pte,
	};
	bool done;

	if (!pmd_none(*one.pmd))
		return false;
	/* The first place takes no memory. */
	xa_store_irq(cache, 0, page_folio(page), GFP_ATOMIC);
	done = filemap_map_pages(&one, 0, 0) == VM_FAULT_NOPAGE;
	vmf->prealloc_pte = one.prealloc_pte;
	return done;
}

/* Under the client's around_lock. */
static bool map_all(struct vm_fault *vmf, const struct around *a,
		    struct page **pages, unsigned int own)
{
	unsigned int i, nr = (a->end - a->start) / PMD_SIZE;
	bool done = false;

	for (i = 0; i < nr && vmf->prealloc_pte; i++) {
		unsigned int k = (own + i) % nr;
		bool mapped = pages[k] &&
			      map_one(vmf, a->start + k * PMD_SIZE, pages[k]);

		/* The one that it is for comes first. */
		if (!i)
			done = mapped;
		if (!done)
			break;
	}
	xa_erase_irq(&vmf->vma->vm_file->f_mapping->i_pages, 0);
	return done;
}

/* Whoever finds the one place in use has his own page mapped alone. */
static bool map_if_free(struct bmem_client *client, struct vm_fault *vmf,
			const struct around *a, struct page **pages,
			unsigned int own)
{
	bool done;

	if (!spin_trylock(&client->around_lock))
		return false;
	done = map_all(vmf, a, pages, own);
	spin_unlock(&client->around_lock);
	return done;
}

/**
 * bmem_around_fault() - map a marked huge page, and those around it
 * @client: client
 * @vmf: fault
 *
 * Return: true when the fault has been served.
 */
bool bmem_around_fault(struct bmem_client *client, struct vm_fault *vmf)
{
	unsigned long at = ALIGN_DOWN(vmf->address, PMD_SIZE);
	struct page *pages[BMEM_AROUND_MAX];
	unsigned int own, nr, i;
	struct around a;
	bool done;

	if (!may_be_huge(vmf))
		return false;
	a = range_around(vmf);
	if (at < a.start || at >= a.end)
		return false;
	own = (at - a.start) / PMD_SIZE;
	nr = (a.end - a.start) / PMD_SIZE;
	if (!bmem_backing_get_marked(client,
				     linear_page_index(vmf->vma, a.start),
				     own, pages, nr))
		return false;
	done = map_if_free(client, vmf, &a, pages, own);
	for (i = 0; i < nr; i++)
		if (pages[i])
			put_page(pages[i]);
	if (done)
		trace_bmem_fault(client->who.id, vmf->pgoff, true);
	return done;
}
