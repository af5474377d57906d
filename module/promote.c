// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion: chunks that had to begin in base pages move to a huge page once
 * there is one.  One worker looks every bmem_promote_ms while there are such
 * chunks.
 */
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "bmem_private.h"

unsigned int bmem_promote_ms = 1000;

static void promote_work(struct work_struct *work);

static struct workqueue_struct *promote_wq;
static DECLARE_DELAYED_WORK(promote_dwork, promote_work);

/* The next chunk in base pages from @*index on. */
static bool find_base_chunk(struct bmem_client *client, unsigned long *index)
{
	struct bmem_chunk *chunk;

	lockdep_assert_held(&client->lock);
	if (!client->nr_base_chunks)
		return false;
	xa_for_each_start(&client->chunks, *index, chunk, *index)
		if (!chunk->huge)
			return true;
	return false;
}

/* One chunk a hold of the lock, until there is no huge page to be had. */
static void promote_client(struct bmem_client *client)
{
	struct mem_cgroup *old = set_active_memcg(client->memcg);
	unsigned long index = 0;
	bool more;
	int rc;

	do {
		rc = 0;
		/* One that is busy has its turn in the next round. */
		if (!mutex_trylock(&client->lock))
			break;
		more = !client->dead && find_base_chunk(client, &index);
		if (more)
			rc = bmem_backing_promote(client, index);
		mutex_unlock(&client->lock);
		index++;
		cond_resched();
	} while (more && (!rc || rc == -EBUSY));
	set_active_memcg(old);
}

static void promote_work(struct work_struct *work)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;
	bool left = false;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		if (READ_ONCE(client->nr_base_chunks))
			promote_client(client);
		left |= READ_ONCE(client->nr_base_chunks) > 0;
		bmem_client_put(client);
	}
	if (left)
		bmem_promote_soon();
}

/**
 * bmem_promote_soon() - a chunk has begun in base pages
 */
void bmem_promote_soon(void)
{
	queue_delayed_work(promote_wq, &promote_dwork,
			   msecs_to_jiffies(READ_ONCE(bmem_promote_ms)));
}

/**
 * bmem_promote_changed() - bmem_promote_ms is another now
 *
 * So is the time of the next try, be it due in an hour by the old one.
 */
void bmem_promote_changed(void)
{
	/* As long as a client is open, the worker is there. */
	mutex_lock(&bmem_registry_lock);
	if (bmem_clients_count() && delayed_work_pending(&promote_dwork))
		mod_delayed_work(promote_wq, &promote_dwork,
				 msecs_to_jiffies(READ_ONCE(bmem_promote_ms)));
	mutex_unlock(&bmem_registry_lock);
}

/**
 * bmem_promote_init() - make the worker
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_promote_init(void)
{
	promote_wq = alloc_workqueue("bmem_promote", WQ_UNBOUND, 1);
	return promote_wq ? 0 : -ENOMEM;
}

/**
 * bmem_promote_exit() - stop it; no client is left
 */
void bmem_promote_exit(void)
{
	cancel_delayed_work_sync(&promote_dwork);
	destroy_workqueue(promote_wq);
}
