// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shrink: the system has no memory, and asks for what holds no tensor.
 *
 * Every page beyond the reservations that clients cache, or have freed and not
 * yet given back, goes.  The reservation stays, also when it waits on a list,
 * and when the system is about to kill: that it is there is what it is for.
 *
 * What processes keep idle themselves only they can give back.  They are asked
 * for it, by pressure's worker, and what they free is here the next time.  In
 * this order, each step counted for itself:
 *
 *	shrink		what is cached or queued, as much as is asked for; and
 *			clients are asked for idle memory, once a second at most
 *	oom		before anybody is killed, all that is cached or queued;
 *			where that is nothing, clients are asked once more, and
 *			have ANSWER_TRIES * ANSWER_MS to give it back, once a second
 *
 * Reclaim comes with whatever locks its caller has, a client's and a page's
 * among them.  So counting is one atomic read, and what is given back is what
 * can be locked without waiting; no lock is waited for that anybody holds while
 * he allocates.
 */
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "bmem_private.h"

/*
 * Of what clients have that part counts as what they would give back when they
 * were asked: nobody knows before.
 */
#define LENT_SHARE	16

/* Looks at clients that are busy, a jiffy apart, before somebody is killed. */
#define OOM_TRIES	10

/* How long clients have to answer before that. */
#define ANSWER_TRIES	20
#define ANSWER_MS	10

static struct shrinker *shrinker;

static unsigned long shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	long lent = atomic_long_read(&bmem_lent_pages);

	return atomic_long_read(&bmem_surplus_pages) +
	       DIV_ROUND_UP(max(lent, 0L), LENT_SHARE) ?: SHRINK_EMPTY;
}

static unsigned long reclaim(unsigned long pages, enum bmem_gain gain,
			     bool *busy)
{
	unsigned long got = bmem_cleanup_reclaim(pages, gain, busy);

	bmem_pressure_of_system(false);
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
 * What clients give back meanwhile, by whichever way.  The caller may have locks
 * that one of them needs for it, so it is not waited for long, nor often.  One
 * caller at a time is here, who has the system's oom_lock, and perhaps one by
 * debugfs: to him a time that is just being written is one as well.
 */
static unsigned long wait_for_clients(void)
{
	static unsigned long last;
	long was = atomic_long_read(&bmem_lent_pages), now = was;
	unsigned int i;
	bool busy;

	if (was <= 0 || (READ_ONCE(last) &&
			 time_before(jiffies, READ_ONCE(last) + HZ)))
		return 0;
	bmem_pressure_of_system(true);
	bmem_pressure_count_wait();
	for (i = 0; i < ANSWER_TRIES && now >= was; i++) {
		schedule_timeout_uninterruptible(msecs_to_jiffies(ANSWER_MS));
		bmem_cleanup_reclaim(ULONG_MAX, BMEM_GAIN_OOM, &busy);
		now = atomic_long_read(&bmem_lent_pages);
	}
	WRITE_ONCE(last, jiffies | 1);
	return now < was ? was - now : 0;
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
	*(unsigned long *)freed += got ?: wait_for_clients();
	return NOTIFY_OK;
}

static struct notifier_block oom_nb = { .notifier_call = oom_notify };

/* ---- debugfs --------------------------------------------------------------------- */

/*
 * As reclaim would.  It comes again when it got less than it wanted; who writes
 * here is told when to.
 */
static int shrink_by(unsigned long pages)
{
	unsigned long got = 0;
	bool busy = false;

	if (atomic_long_read(&bmem_surplus_pages) && pages)
		got = reclaim(pages, BMEM_GAIN_SHRINK, &busy);
	return busy && got < pages ? -EAGAIN : 0;
}

/* So that lockdep takes it for reclaim. */
static ssize_t shrink_write(struct file *file, const char __user *buf,
			    size_t count, loff_t *ppos)
{
	unsigned long pages, freed = 0;
	char buffer[24], *word;
	bool last;
	int rc = 0;

	word = bmem_get_word(buf, count, buffer, sizeof(buffer));
	if (IS_ERR(word))
		return PTR_ERR(word);
	last = !strcmp(word, "oom");
	if (!last)
		rc = kstrtoul(word, 0, &pages);
	if (rc)
		return rc;
	fs_reclaim_acquire(GFP_KERNEL);
	if (last)
		oom_notify(&oom_nb, 0, &freed);
	else
		rc = shrink_by(pages);
	fs_reclaim_release(GFP_KERNEL);
	return rc ?: count;
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
