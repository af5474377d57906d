// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one user may take of what all share and no memory cgroup is charged for.
 */
#include <linux/cred.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "bmem_private.h"
#include "quota.h"

/**
 * struct quota - what a user has taken
 * @link: among all, under quotas_lock
 * @pool: of which pool, constant; NULL for what is no pool's
 * @uid: user, constant
 * @refs: who refers to it, under quotas_lock
 * @taken: how much, likewise
 */
struct quota {
	struct list_head link;
	const struct bmem_pool *pool;
	kuid_t uid;
	unsigned int refs;
	unsigned long taken;
};

/* Taken last. */
static DEFINE_SPINLOCK(quotas_lock);
static LIST_HEAD(quotas);

/*
 * Who has numbers of other users in a user namespace of his own is one user all
 * the same.  What the system's own namespaces keep apart are others.
 */
static kuid_t quota_user(void)
{
	const struct cred *cred = current_cred();
	const struct user_namespace *ns;
	kuid_t uid = cred->uid;

	for (ns = cred->user_ns; ns->parent; ns = ns->parent)
		if (!uid_eq(ns->owner, GLOBAL_ROOT_UID))
			uid = ns->owner;
	return uid;
}

static struct quota *quota_find(const struct bmem_pool *pool, kuid_t uid)
{
	struct quota *q;

	lockdep_assert_held(&quotas_lock);
	list_for_each_entry(q, &quotas, link)
		if (q->pool == pool && uid_eq(q->uid, uid))
			return q;
	return NULL;
}

/**
 * bmem_quota_get() - the caller's user's
 * @pool: what it is about, there until bmem_quota_put(); NULL for no pool
 *
 * Return: the quota, for bmem_quota_put(), or NULL without memory.
 */
struct quota *bmem_quota_get(const struct bmem_pool *pool)
{
	struct quota *q, *new = kzalloc(sizeof(*new), GFP_BMEM_META);
	kuid_t uid = quota_user();

	if (!new)
		return NULL;
	spin_lock(&quotas_lock);
	q = quota_find(pool, uid);
	if (!q) {
		q = new;
		new = NULL;
		q->pool = pool;
		q->uid = uid;
		list_add(&q->link, &quotas);
	}
	q->refs++;
	spin_unlock(&quotas_lock);
	kfree(new);
	return q;
}

/**
 * bmem_quota_hold() - one more refers to it
 * @q: quota
 *
 * Return: @q.
 */
struct quota *bmem_quota_hold(struct quota *q)
{
	spin_lock(&quotas_lock);
	q->refs++;
	spin_unlock(&quotas_lock);
	return q;
}

/**
 * bmem_quota_put() - one less refers to it
 * @q: quota, or NULL
 */
void bmem_quota_put(struct quota *q)
{
	bool last;

	if (!q)
		return;
	spin_lock(&quotas_lock);
	last = !--q->refs;
	if (last)
		list_del(&q->link);
	spin_unlock(&quotas_lock);
	if (!last)
		return;
	WARN_ON_ONCE(q->taken);
	kfree(q);
}

static bool quota_take(struct quota *q, unsigned long nr, unsigned long max)
{
	bool room;

	spin_lock(&quotas_lock);
	room = nr <= max && q->taken <= max - nr;
	if (room)
		q->taken += nr;
	spin_unlock(&quotas_lock);
	return room;
}

/**
 * bmem_quota_take() - take some more
 * @q: quota
 * @nr: how much
 * @max: most that a user may have without CAP_SYS_RESOURCE
 *
 * Return: whether the caller may.
 */
bool bmem_quota_take(struct quota *q, unsigned long nr, unsigned long max)
{
	return quota_take(q, nr, max) ||
	       (capable(CAP_SYS_RESOURCE) && quota_take(q, nr, ULONG_MAX));
}

/**
 * bmem_quota_give() - give some back
 * @q: quota
 * @nr: how much
 */
void bmem_quota_give(struct quota *q, unsigned long nr)
{
	spin_lock(&quotas_lock);
	q->taken -= nr;
	spin_unlock(&quotas_lock);
}
