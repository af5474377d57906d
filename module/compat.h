/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that bmem supports, 6.1 and later.
 *
 * BMEM_HAVE_* come from module/probe, which compiles a snippet for each;
 * stable kernels carry backports, so version numbers tell nothing.  No other
 * file has a condition on the kernel.
 */
#ifndef BMEM_COMPAT_H
#define BMEM_COMPAT_H

#include <linux/cgroup.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "bmem_probed.h"

#ifdef BMEM_HAVE_LEAFOPS
#include <linux/leafops.h>
#endif

#ifdef BMEM_HAVE_EXEC_STATE
#include <linux/sched/exec_state.h>
#endif

/* 6.3: vm_flags became read-only to drivers; the helpers lock the VMA. */
static inline void bmem_vm_flags(struct vm_area_struct *vma,
				 unsigned long set, unsigned long clear)
{
#ifdef BMEM_HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/* Id of the caller's cgroup in the unified hierarchy, 0 without cgroups. */
static inline u64 bmem_current_cgroup(void)
{
	u64 id = 0;

#ifdef CONFIG_CGROUPS
	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(current));
	rcu_read_unlock();
#endif
	return id;
}

/*
 * 6.7: the kernel allocates shrinkers, and they may go while they are at work.
 * One of ours has no more than these two functions.
 */
typedef unsigned long (*bmem_shrink_fn)(struct shrinker *shrinker,
					struct shrink_control *sc);

#ifdef BMEM_HAVE_SHRINKER_ALLOC
static inline struct shrinker *bmem_shrinker_add(bmem_shrink_fn count,
						 bmem_shrink_fn scan)
{
	struct shrinker *shrinker = shrinker_alloc(0, "bmem");

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker_register(shrinker);
	return shrinker;
}

static inline void bmem_shrinker_remove(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}
#else
static inline struct shrinker *bmem_shrinker_add(bmem_shrink_fn count,
						 bmem_shrink_fn scan)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (!shrinker)
		return NULL;
	shrinker->seeks = DEFAULT_SEEKS;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	if (!register_shrinker(shrinker, "bmem"))
		return shrinker;
	kfree(shrinker);
	return NULL;
}

static inline void bmem_shrinker_remove(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

/* 6.5: there is no array of VMAs any more. */
static inline long bmem_get_pages_remote(struct mm_struct *mm,
					 unsigned long addr, unsigned long nr,
					 unsigned int flags,
					 struct page **pages)
{
#ifdef BMEM_HAVE_GUP_REMOTE_VMAS
	return get_user_pages_remote(mm, addr, nr, flags, pages, NULL, NULL);
#else
	return get_user_pages_remote(mm, addr, nr, flags, pages, NULL);
#endif
}

/**
 * enum bmem_leaf - what an entry is that is there but maps no page
 * @BMEM_LEAF_NOTHING: no memory: a marker, or memory that has failed
 * @BMEM_LEAF_MOVING: the page is being moved, and will be back in a moment
 * @BMEM_LEAF_AWAY: memory that cannot be read: in swap, or in a device
 */
enum bmem_leaf {
	BMEM_LEAF_NOTHING,
	BMEM_LEAF_MOVING,
	BMEM_LEAF_AWAY,
};

/* 6.19: swap entries became a kind of leaf entries. */
static inline enum bmem_leaf bmem_leaf_of(pte_t pte)
{
#ifdef BMEM_HAVE_LEAFOPS
	softleaf_t entry = softleaf_from_pte(pte);

	if (softleaf_is_migration(entry))
		return BMEM_LEAF_MOVING;
	if (softleaf_is_marker(entry) || softleaf_is_hwpoison(entry))
		return BMEM_LEAF_NOTHING;
#else
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (is_migration_entry(entry))
		return BMEM_LEAF_MOVING;
	if (is_pte_marker_entry(entry) || is_hwpoison_entry(entry))
		return BMEM_LEAF_NOTHING;
#endif
	return BMEM_LEAF_AWAY;
}

/* The same of an entry for a huge page; what else hugetlbfs has is away, too. */
static inline enum bmem_leaf bmem_huge_leaf_of(pmd_t pmd)
{
#ifdef BMEM_HAVE_LEAFOPS
	return pmd_is_migration_entry(pmd) ? BMEM_LEAF_MOVING : BMEM_LEAF_AWAY;
#else
	return is_pmd_migration_entry(pmd) ? BMEM_LEAF_MOVING : BMEM_LEAF_AWAY;
#endif
}

/*
 * May its own user look into it, as far as exec() and prctl() say?  @mm is the
 * task's; under RCU.  7.3: that is kept beside the memory.
 */
static inline bool bmem_task_open(struct task_struct *task,
				  struct mm_struct *mm)
{
#ifdef BMEM_HAVE_EXEC_STATE
	const struct task_exec_state *state = rcu_dereference(task->exec_state);

	return state && READ_ONCE(state->dumpable) == TASK_DUMPABLE_OWNER;
#else
	return get_dumpable(mm) == SUID_DUMP_USER;
#endif
}

/* Is it on a CPU now?  On one CPU nobody is but who asks. */
static inline bool bmem_task_running(struct task_struct *task)
{
#ifdef CONFIG_SMP
	return READ_ONCE(task->on_cpu);
#else
	return false;
#endif
}

#endif /* BMEM_COMPAT_H */
