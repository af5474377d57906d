// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shrink: the system has no memory, and asks for what holds no tensor.
 *
 * Every page beyond the reservations that clients cache, or have freed and not
 * yet given back, goes.  The reservation stays, also when it waits on a list,
 * and when the system is about to kill: that it is there is what it is for.
 *
 * Reclaim comes with whatever locks its caller has, a client's and a page's
 * among them.  So counting is one atomic read, and what is given back is what
 * can be locked without waiting; no lock is waited for that anybody holds while
 * he allocates.
 */
#include <linux/debugfs.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>

#include "bmem_private.h"

/* Looks at clients that are busy, a jiffy apart, before somebody is killed. */
#define OOM_TRIES	10

static struct shrinker *shrinker;

static unsigned long shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long pages = atomic_long_read(&bmem_surplus_pages);

	return pages ?: SHRINK_EMPTY;
}

static unsigned long reclaim(unsigned long pages, enum bmem_gain gain,
			     bool *busy)
{
	unsigned long got = bmem_cleanup_reclaim(pages, gain, busy);

	bmem_pressure_of_system();
	return got;
}

static unsigned long shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long pages;
	bool busy;

	pages = reclaim(sc->nr_to_scan, BMEM_GAIN_SHRINK, &busy);
	sc->nr_scanned = max(pages, sc->nr_to_scan);
	return pages ?: SHRINK_STOP;
}

/*
 * The last chance before somebody is killed: all at once.  Nobody is killed
 * because a client was being looked at in just that moment; but it may be the
 * caller who does, so this does not go on for long.
 */
static int oom_notify(struct notifier_block *nb, unsigned long unused,
		      void *freed)
{
	unsigned long got;
	int tries = OOM_TRIES;
	bool busy;

	while (!(got = reclaim(ULONG_MAX, BMEM_GAIN_OOM, &busy)) && busy &&
	       --tries)
		schedule_timeout_uninterruptible(1);
	*(unsigned long *)freed += got;
	return NOTIFY_OK;
}

static struct notifier_block oom_nb = { .notifier_call = oom_notify };

/* ---- debugfs --------------------------------------------------------------------- */

/*
 * As reclaim would, and so that lockdep takes it for that.  Reclaim comes again
 * when it got less than it wanted; who writes here is told when to.
 */
static ssize_t shrink_write(struct file *file, const char __user *buf,
			    size_t count, loff_t *ppos)
{
	unsigned long pages, got = 0;
	bool busy = false;
	int rc;

	rc = kstrtoul_from_user(buf, count, 0, &pages);
	if (rc)
		return rc;
	fs_reclaim_acquire(GFP_KERNEL);
	if (atomic_long_read(&bmem_surplus_pages) && pages)
		got = reclaim(pages, BMEM_GAIN_SHRINK, &busy);
	fs_reclaim_release(GFP_KERNEL);
	return busy && got < pages ? -EAGAIN : count;
}

static const struct file_operations shrink_fops = {
	.owner = THIS_MODULE,
	.write = shrink_write,
	.llseek = noop_llseek,
};

/**
 * bmem_shrink_debugfs() - make the file "shrink"
 * @dir: where
 */
void bmem_shrink_debugfs(struct dentry *dir)
{
	debugfs_create_file("shrink", 0200, dir, NULL, &shrink_fops);
}

/**
 * bmem_shrink_start() - let the system ask
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_shrink_start(void)
{
	shrinker = bmem_shrinker_add(shrink_count, shrink_scan);
	if (!shrinker)
		return -ENOMEM;
	register_oom_notifier(&oom_nb);
	return 0;
}

/**
 * bmem_shrink_stop() - no more
 */
void bmem_shrink_stop(void)
{
	unregister_oom_notifier(&oom_nb);
	bmem_shrinker_remove(shrinker);
}
