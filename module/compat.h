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
#include <linux/shrinker.h>

#include "bmem_probed.h"

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
	static struct shrinker shrinker = { .seeks = DEFAULT_SEEKS };

	shrinker.count_objects = count;
	shrinker.scan_objects = scan;
	return register_shrinker(&shrinker, "bmem") ? NULL : &shrinker;
}

static inline void bmem_shrinker_remove(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
}
#endif

#endif /* BMEM_COMPAT_H */
