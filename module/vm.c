// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a client's space, and of the windows beside it.
 *
 * The pages are ordinary: reference-counted, returned from .fault, and a page
 * of a huge page makes core mm map the whole of it by one PMD entry.  For
 * that, every client has an inode of its own on a private pseudo file system:
 * its size is the largest there is, since core mm maps small pages beyond
 * i_size, and its i_mapping lists this client's mappings and no other's, so
 * that taking a page away touches nobody else.
 */
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>

#include "bmem_private.h"
#include "trace.h"

#define BMEM_FS_MAGIC	0x424d454d	/* "BMEM" */

u64 bmem_space_pages;

static struct vfsmount *bmem_mnt;

static int bmem_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, BMEM_FS_MAGIC) ? 0 : -ENOMEM;
}

/*
 * No owner: the mount lives as long as the module and must not pin it.  Open
 * files do that, and every inode belongs to one.
 */
static struct file_system_type bmem_fs_type = {
	.name = "bmem",
	.init_fs_context = bmem_init_fs_context,
	.kill_sb = kill_anon_super,
};

/*
 * Core mm wants to split a huge page that bmem_around_mark() marked, for advice
 * on a part of it.  Never: its parts would be page cache, and nobody's.  Without
 * a mark core mm does not try, since the page has no mapping.
 */
static bool bmem_vm_release(struct folio *folio, gfp_t gfp)
{
	return false;
}

static const struct address_space_operations bmem_vm_aops = {
	.dirty_folio = noop_dirty_folio,
	.release_folio = bmem_vm_release,
};

/**
 * bmem_vm_inode() - an inode for one client's mappings
 *
 * Return: the inode, for iput(), or an ERR_PTR.
 */
struct inode *bmem_vm_inode(void)
{
	struct inode *inode = alloc_anon_inode(bmem_mnt->mnt_sb);

	if (IS_ERR(inode))
		return inode;
	i_size_write(inode, MAX_LFS_FILESIZE);
	inode->i_mapping->a_ops = &bmem_vm_aops;
	return inode;
}

/*
 * Nobody else can be told that there is no memory.  Who is killed never sees a
 * SIGBUS; but where the kernel copies from or to user memory, or pins it, it
 * has to end: tried again, it would be until there is memory, or a lock free.
 */
static vm_fault_t fault_failed(int rc)
{
	switch (rc) {
	case -EINTR:
		return VM_FAULT_SIGBUS;
	case -EHWPOISON:
		return VM_FAULT_HWPOISON;
	default:
		return VM_FAULT_OOM;
	}
}

/*
 * A page that is locked and in the table may be mapped.  Whoever takes one
 * away takes it out of the table, waits for its lock, and unmaps: after that
 * nobody can map it again.
 */
static vm_fault_t bmem_fault(struct vm_fault *vmf)
{
	struct bmem_client *client = vmf->vma->vm_private_data;
	bool write = vmf->flags & FAULT_FLAG_WRITE;
	struct page *page;
	int rc;

	if (bmem_around_fault(client, vmf))
		return VM_FAULT_NOPAGE;
	for (;;) {
		page = bmem_backing_get_page(client, vmf->pgoff, write);
		if (PTR_ERR(page) == -EAGAIN) {
			rc = bmem_backing_unshare(client, vmf->pgoff, write);
			if (rc)
				return fault_failed(rc);
			continue;
		}
		if (!page)
			return VM_FAULT_SIGBUS;
		lock_page(page);
		/* Core mm would go on to look for the page's mapping. */
		if (PageHWPoison(page)) {
			unlock_page(page);
			put_page(page);
			return VM_FAULT_HWPOISON;
		}
		if (bmem_backing_has_page(client, vmf->pgoff, page, write))
			break;
		unlock_page(page);
		put_page(page);
	}
	trace_bmem_fault(client->who.id, vmf->pgoff, PageCompound(page));
	vmf->page = page;
	return VM_FAULT_LOCKED;
}

/*
 * A page that was mapped for reading, or is about to be for writing.  Once it is
 * locked again it may have left, or be shared: then the fault begins anew.
 */
static vm_fault_t bmem_page_mkwrite(struct vm_fault *vmf)
{
	struct bmem_client *client = vmf->vma->vm_private_data;
	struct page *page = vmf->page;
	vm_fault_t ret = VM_FAULT_LOCKED;

	lock_page(page);
	if (PageHWPoison(page))
		ret = VM_FAULT_HWPOISON;
	else if (!bmem_backing_has_page(client, vmf->pgoff, page, true))
		ret = VM_FAULT_NOPAGE;
	if (ret == VM_FAULT_LOCKED)
		return ret;
	unlock_page(page);
	if (ret == VM_FAULT_HWPOISON)
		return ret;
	/*
	 * Core mm holds the page, which .fault would take for a pin: so the small
	 * entry goes, and the next fault is one of .fault alone.
	 */
	unmap_mapping_range(client->inode->i_mapping, bmem_bytes(vmf->pgoff),
			    PAGE_SIZE, 1);
	return ret;
}

/*
 * Maps nothing.  But newer kernels call .fault under the lock of the VMA alone
 * only where there is a .map_pages too, and else take mmap_lock, for which all
 * threads of the process queue, and begin anew.
 */
static vm_fault_t bmem_map_pages(struct vm_fault *vmf, pgoff_t start,
				 pgoff_t end)
{
	return 0;
}

static void bmem_vm_open(struct vm_area_struct *vma)
{
	struct bmem_client *client = vma->vm_private_data;

	atomic_inc(&client->maps);
}

static void bmem_vm_close(struct vm_area_struct *vma)
{
	struct bmem_client *client = vma->vm_private_data;

	atomic_dec(&client->maps);
}

static const struct vm_operations_struct bmem_vm_ops = {
	.open = bmem_vm_open,
	.close = bmem_vm_close,
	.fault = bmem_fault,
	.map_pages = bmem_map_pages,
};

/* With .page_mkwrite, core mm maps what is read as not to be written to. */
static const struct vm_operations_struct bmem_cow_ops = {
	.open = bmem_vm_open,
	.close = bmem_vm_close,
	.fault = bmem_fault,
	.page_mkwrite = bmem_page_mkwrite,
	.map_pages = bmem_map_pages,
};

static vm_fault_t bmem_spans_fault(struct vm_fault *vmf)
{
	struct bmem_client *client = vmf->vma->vm_private_data;

	return bmem_window_fault(&client->span_map, vmf);
}

/* Counted, as those of the space are: what is trimmed is unmapped from both. */
static const struct vm_operations_struct bmem_spans_ops = {
	.open = bmem_vm_open,
	.close = bmem_vm_close,
	.fault = bmem_spans_fault,
};

static vm_fault_t bmem_ledger_fault(struct vm_fault *vmf)
{
	struct bmem_client *client = vmf->vma->vm_private_data;

	return bmem_window_fault(&client->ledger, vmf);
}

static const struct vm_operations_struct bmem_ledger_ops = {
	.fault = bmem_ledger_fault,
};

static vm_fault_t bmem_vm_control_fault(struct vm_fault *vmf)
{
	return bmem_control_fault(vmf->vma->vm_private_data, vmf);
}

static void bmem_control_open(struct vm_area_struct *vma)
{
	bmem_clock_open();
}

static void bmem_control_close(struct vm_area_struct *vma)
{
	bmem_clock_close();
}

static const struct vm_operations_struct bmem_control_ops = {
	.open = bmem_control_open,
	.close = bmem_control_close,
	.fault = bmem_vm_control_fault,
};

/**
 * struct view - what can be mapped
 * @offset: where it begins in the device, in bytes
 * @bytes: its length; 0 for what depends on the space
 * @readonly: only the kernel writes it
 * @ops: of its mappings
 */
struct view {
	u64 offset;
	u64 bytes;
	bool readonly;
	const struct vm_operations_struct *ops;
};

static const struct view views[] = {
	{ .ops = &bmem_vm_ops },
	{
		.offset = BMEM_CONTROL_OFFSET,
		.bytes = 2 * PAGE_SIZE,
		.readonly = true,
		.ops = &bmem_control_ops,
	},
	{
		.offset = BMEM_SPANS_OFFSET,
		.readonly = true,
		.ops = &bmem_spans_ops,
	},
	{
		.offset = BMEM_LEDGER_OFFSET,
		.bytes = BMEM_RECORDS_MAX * sizeof(struct bmem_record),
		.ops = &bmem_ledger_ops,
	},
};

static u64 view_bytes(const struct view *view)
{
	if (view->bytes)
		return view->bytes;
	return view->offset ? bmem_space_pages * sizeof(u64) :
			      bmem_bytes(bmem_space_pages);
}

/* What can be cloned is mapped with operations of its own. */
static bool is_space(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &bmem_vm_ops || vma->vm_ops == &bmem_cow_ops;
}

/**
 * bmem_vm_is_bmem() - is this a mapping of the space or of a window?
 * @vma: VMA of any process
 *
 * Return: true if it is.
 */
bool bmem_vm_is_bmem(const struct vm_area_struct *vma)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(views); i++)
		if (vma->vm_ops == views[i].ops)
			return true;
	return is_space(vma);
}

/**
 * bmem_vm_space() - whose space is this a mapping of?
 * @vma: VMA of any process
 *
 * Return: the client, which lives as long as the VMA does; NULL when it is of
 * no space.
 */
struct bmem_client *bmem_vm_space(const struct vm_area_struct *vma)
{
	return is_space(vma) ? vma->vm_private_data : NULL;
}

static const struct view *view_of(struct vm_area_struct *vma)
{
	u64 at = bmem_bytes(vma->vm_pgoff), bytes = bmem_bytes(vma_pages(vma));
	const struct view *view;
	unsigned int i;

	if (vma->vm_pgoff > (U64_MAX >> PAGE_SHIFT) - vma_pages(vma))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(views); i++) {
		view = &views[i];
		if (at >= view->offset &&
		    at + bytes <= view->offset + view_bytes(view))
			return view;
	}
	return NULL;
}

/**
 * bmem_mmap() - map a part of the client's space, or of a window
 * @file: open device
 * @vma: shared, not executable, within what there is
 *
 * Not executable, since tensors are data that others may have written.  Not
 * growing, since the whole space can be mapped at once.  Not dumped, since a
 * core file would hold the whole space.
 *
 * Return: 0; -EINVAL for a private mapping or one that leaves what there is;
 * -EACCES for an executable one, or to write to what only the kernel writes.
 */
int bmem_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct bmem_client *client = file->private_data;
	const struct view *view = view_of(vma);

	if (!(vma->vm_flags & VM_MAYSHARE) || !view)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC || (view->readonly &&
					vma->vm_flags & VM_WRITE))
		return -EACCES;

	bmem_vm_flags(vma, VM_DONTEXPAND | VM_DONTDUMP,
		      VM_MAYEXEC | (view->readonly ? VM_MAYWRITE : 0));
	vma->vm_private_data = client;
	vma->vm_ops = view->ops;
	/* Core mm calls .open for copies only. */
	if (view->ops->open)
		view->ops->open(vma);
	/* Counted before it is asked for: see bind_clone(). */
	smp_mb__after_atomic();
	if (view->ops == &bmem_vm_ops && READ_ONCE(client->cloneable))
		vma->vm_ops = &bmem_cow_ops;
	return 0;
}

/**
 * bmem_vm_init() - mount the private file system
 *
 * Return: 0 or a negative errno.
 */
int bmem_vm_init(void)
{
	bmem_mnt = kern_mount(&bmem_fs_type);
	return PTR_ERR_OR_ZERO(bmem_mnt);
}

/**
 * bmem_vm_exit() - unmount it; no inode is left
 */
void bmem_vm_exit(void)
{
	kern_unmount(bmem_mnt);
}
