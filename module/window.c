// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: small tables that kernel and process share, page by page.
 *
 * A page of a window is there when the kernel has added it.  The span map's
 * other pages read as zero: one empty page stands for all of them, and nobody
 * can write to it.  Every client has its own, since a page table entry is all
 * that a reference to it costs.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "bmem_private.h"

/* Far from where the count of references to a page would wrap. */
#define EMPTY_REFS_MAX	(INT_MAX / 2)

/**
 * bmem_window_init() - a window without pages
 * @w: window
 * @client: client
 * @offset: where it begins in the device, in bytes
 */
void bmem_window_init(struct window *w, struct bmem_client *client, u64 offset)
{
	xa_init_flags(&w->pages, XA_FLAGS_ACCOUNT);
	w->client = client;
	w->offset = offset;
	w->empty = NULL;
	w->nr = 0;
}

/**
 * bmem_window_at() - the memory of a page
 * @w: window, its client locked
 * @index: number of the page
 *
 * Return: its address, or NULL when it is not there.
 */
void *bmem_window_at(struct window *w, unsigned long index)
{
	struct page *page = xa_load(&w->pages, index);

	lockdep_assert_held(&w->client->lock);
	return page ? page_address(page) : NULL;
}

/*
 * Whoever found @page in the table before it changed, and has it locked, maps
 * it yet.  After this nobody does, and nobody has.
 */
static void unmap_page(struct window *w, unsigned long index, struct page *page)
{
	lock_page(page);
	unlock_page(page);
	unmap_mapping_range(w->client->inode->i_mapping,
			    w->offset + bmem_bytes(index), PAGE_SIZE, 1);
}

/**
 * bmem_window_add() - make sure that a page is there
 * @w: window, its client locked
 * @index: number of the page
 *
 * Return: its address, or NULL without memory.
 */
void *bmem_window_add(struct window *w, unsigned long index)
{
	void *at = bmem_window_at(w, index);
	struct page *page;

	if (at)
		return at;
	page = alloc_page(GFP_BMEM_META | __GFP_ZERO);
	if (!page)
		return NULL;
	if (xa_err(xa_store(&w->pages, index, page, GFP_BMEM_META))) {
		put_page(page);
		return NULL;
	}
	w->nr++;
	if (w->empty)
		unmap_page(w, index, w->empty);
	return page_address(page);
}

/**
 * bmem_window_remove() - take a page away, if it is there
 * @w: window, its client locked
 * @index: number of the page
 */
void bmem_window_remove(struct window *w, unsigned long index)
{
	struct page *page;

	lockdep_assert_held(&w->client->lock);
	page = xa_erase(&w->pages, index);
	if (!page)
		return;
	w->nr--;
	unmap_page(w, index, page);
	put_page(page);
}

/**
 * bmem_window_try_remove() - the same for reclaim: waits for nobody
 * @w: window, its client locked
 * @index: number of the page
 *
 * Return: false when somebody has the page locked, and it stays.
 */
bool bmem_window_try_remove(struct window *w, unsigned long index)
{
	struct page *page = xa_load(&w->pages, index);

	lockdep_assert_held(&w->client->lock);
	if (!page)
		return true;
	if (!trylock_page(page))
		return false;
	xa_erase(&w->pages, index);
	unlock_page(page);
	w->nr--;
	unmap_mapping_range(w->client->inode->i_mapping,
			    w->offset + bmem_bytes(index), PAGE_SIZE, 1);
	put_page(page);
	return true;
}

/**
 * bmem_window_destroy() - take all pages away
 * @w: window of a client that dies; nobody maps it
 */
void bmem_window_destroy(struct window *w)
{
	struct page *page;
	unsigned long index;

	xa_for_each(&w->pages, index, page) {
		put_page(page);
		cond_resched();
	}
	xa_destroy(&w->pages);
	w->nr = 0;
	if (w->empty)
		put_page(w->empty);
	w->empty = NULL;
}

/* With a reference taken; NULL where there is nothing to map. */
static struct page *window_get_page(struct window *w, unsigned long index)
{
	struct page *page;

	xa_lock(&w->pages);
	page = xa_load(&w->pages, index);
	if (!page && w->empty && page_ref_count(w->empty) < EMPTY_REFS_MAX)
		page = w->empty;
	if (page)
		get_page(page);
	xa_unlock(&w->pages);
	return page;
}

static bool window_has_page(struct window *w, unsigned long index,
			    const struct page *is)
{
	struct page *page = xa_load(&w->pages, index);

	return (page ?: w->empty) == is;
}

/**
 * bmem_window_fault() - map a page
 * @w: window
 * @vmf: fault
 *
 * Who takes a page away waits for its lock between the table and the mapping,
 * so what is in the table while the page is locked may be mapped.
 *
 * Return: VM_FAULT_LOCKED with the page, or VM_FAULT_SIGBUS.
 */
vm_fault_t bmem_window_fault(struct window *w, struct vm_fault *vmf)
{
	unsigned long index = vmf->pgoff - (w->offset >> PAGE_SHIFT);
	struct page *page;

	for (;;) {
		page = window_get_page(w, index);
		if (!page)
			return VM_FAULT_SIGBUS;
		lock_page(page);
		if (PageHWPoison(page)) {
			unlock_page(page);
			put_page(page);
			return VM_FAULT_HWPOISON;
		}
		if (window_has_page(w, index, page))
			break;
		unlock_page(page);
		put_page(page);
	}
	vmf->page = page;
	return VM_FAULT_LOCKED;
}
