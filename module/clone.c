// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clones: a second client with all that a first one has, for the child of
 * fork().
 *
 * The device is opened once more, and what came of that is filled: so there is
 * one way to make a client, and one to unmake it.  What is known of the first
 * one's arena is taken from its extents alone, since an ALLOC that has yet to
 * tell its caller has places and pages without one.  Slots of a SLOTS_GET that
 * has yet to tell are out in the clone: nobody there has them, until it ends.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "bmem_private.h"
#include "trace.h"

static int clone_extents(struct bmem_client *to, struct bmem_client *from)
{
	struct extent *e;
	int rc = 0;

	for (e = bmem_extent_from(from, 0); !rc && e; e = bmem_extent_next(e)) {
		if (e->slab)
			rc = bmem_span_clone(to, from, span_of(e));
		else
			rc = bmem_tensor_clone(to, from, tensor_of(e));
		if (!rc && fatal_signal_pending(current))
			rc = -EINTR;
		cond_resched();
	}
	return rc;
}

static void clone_settings(struct bmem_client *to, struct bmem_client *from)
{
	bmem_client_join(to, from->pool);
	memcpy(to->who.label, from->who.label, sizeof(to->who.label));
	to->cache_max = from->cache_max;
	to->cache_fixed = from->cache_fixed;
	to->policy = from->policy;
	to->cloneable = true;
	to->clone = true;
	to->orphan = true;
	bmem_control_clone(to, from);
}

/* Last, since nothing of a clone that was not finished is to be told. */
static int clone_figures(struct bmem_client *to, struct bmem_client *from)
{
	struct ledger_sums sums = {};
	u64 cursor = 0;

	/* Both are locked for as long as it takes to read a ledger of any size. */
	while (!bmem_ledger_sum(to, &cursor, &sums)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	to->gen = from->gen;
	to->ledger_keep = from->ledger_keep;
	to->granted = from->granted;
	to->live = from->live;
	to->live_bytes = from->live_bytes;
	to->allocs = from->allocs;
	to->frees = from->frees;
	to->slots = from->slots;
	to->slot_bytes = from->slot_bytes;
	to->nr_spans = from->nr_spans;
	to->span_pages = from->span_pages;
	to->recorded = from->recorded;
	to->recorded_bytes = from->recorded_bytes;
	to->recorded_allocs = from->recorded_allocs;
	to->uses = from->uses;
	bmem_count_peak(to);
	to->inherited = bmem_client_allocs(to, &sums);
	return 0;
}

static int clone_locked(struct bmem_client *to, struct bmem_client *from)
{
	int rc;

	lockdep_assert_held(&from->lock);
	if (!from->cloneable)
		return -EINVAL;
	clone_settings(to, from);
	rc = bmem_sites_clone(to, from) ?: clone_extents(to, from) ?:
	     bmem_links_clone(to, from) ?: bmem_backing_clone(to, from) ?:
	     clone_figures(to, from);
	if (rc)
		return rc;
	trace_bmem_clone(from->who.id, to->who.id, bmem_bytes(to->nr_shares) *
			 BMEM_HUGE_PAGES, bmem_bytes(to->attached));
	return 0;
}

static int clone_into(struct bmem_client *to, struct bmem_client *from)
{
	int rc;

	if (mutex_lock_killable(&from->lock))
		return -EINTR;
	/* Nobody has been told of it, so nobody has it and waits for the other. */
	mutex_lock_nested(&to->lock, SINGLE_DEPTH_NESTING);
	rc = clone_locked(to, from);
	mutex_unlock(&to->lock);
	mutex_unlock(&from->lock);
	if (!rc && READ_ONCE(to->nr_base_chunks))
		bmem_promote_soon();
	bmem_sweep_soon(to);
	return rc;
}

/**
 * bmem_client_clone() - BMEM_CLONE
 * @file: open device
 * @cmd: as in the ABI, but for the descriptor
 *
 * Return: another open device, for fput(), or an ERR_PTR with an errno of the
 * ABI.
 */
struct file *bmem_client_clone(struct file *file, struct bmem_clone *cmd)
{
	struct bmem_client *from = file->private_data, *to;
	struct file *clone;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return ERR_PTR(-EOPNOTSUPP);
	if (!READ_ONCE(from->cloneable))
		return ERR_PTR(-EINVAL);
	clone = dentry_open(&file->f_path,
			    file->f_flags & (O_ACCMODE | O_LARGEFILE | O_NONBLOCK),
			    current_cred());
	if (IS_ERR(clone))
		return clone;
	to = clone->private_data;
	rc = clone_into(to, from);
	if (rc) {
		fput(clone);
		return ERR_PTR(rc);
	}
	cmd->client_id = to->who.id;
	return clone;
}
