// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for room: a call that finds none sleeps until memory of its pool
 * comes back, for as long as its caller allows.
 *
 * Who waits takes the pool's count of what came back before it tries, so that
 * nothing can come back unnoticed between the try and the sleep.
 */
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "bmem_private.h"

/**
 * bmem_pool_freed() - memory of a pool has come back
 * @pool: pool
 *
 * From any context.
 */
void bmem_pool_freed(struct bmem_pool *pool)
{
	atomic_inc(&pool->freed);
	smp_mb__after_atomic(); /* see below */
	/* Either this sees who waits, or who begins to wait sees the count. */
	if (waitqueue_active(&pool->room))
		wake_up_interruptible_all(&pool->room);
}

/**
 * bmem_room_init() - how long may a call wait?
 * @r: out
 * @flags: of the call
 * @timeout_ms: likewise
 * @reserved: likewise
 *
 * Return: 0, -EOPNOTSUPP or -EINVAL.
 */
int bmem_room_init(struct room_wait *r, u32 flags, u32 timeout_ms,
		   u32 reserved)
{
	if (flags & ~BMEM_CALL_WAIT || reserved)
		return -EOPNOTSUPP;
	if (!(flags & BMEM_CALL_WAIT) && timeout_ms)
		return -EINVAL;
	if (timeout_ms > BMEM_WAIT_MAX_MS)
		return -EINVAL;
	r->left = msecs_to_jiffies(timeout_ms);
	r->pool = NULL;
	r->slept = false;
	return 0;
}

/**
 * bmem_room_begin() - before a try
 * @r: wait
 * @client: client
 */
void bmem_room_begin(struct room_wait *r, struct bmem_client *client)
{
	if (!r->left)
		return;
	/* With the registry locked, the client's pool stays. */
	mutex_lock(&bmem_registry_lock);
	r->pool = client->pool;
	r->pool->waiters++;
	mutex_unlock(&bmem_registry_lock);
	r->seen = atomic_read(&r->pool->freed);
}

static bool came_back(const struct room_wait *r)
{
	return atomic_read(&r->pool->freed) != r->seen;
}

static int sleep_for_room(struct room_wait *r)
{
	long left = wait_event_interruptible_timeout(r->pool->room,
						     came_back(r), r->left);

	if (left < 0)
		return -EINTR;
	/* What woke it before was not enough: let some more come together. */
	if (left && r->slept) {
		schedule_timeout_interruptible(1);
		left--;
		if (signal_pending(current))
			return -EINTR;
	}
	r->slept = true;
	r->left = left;
	return 0;
}

/**
 * bmem_room_again() - after a try
 * @r: wait
 * @rc: what came of it; becomes -EINTR for a signal
 *
 * When it failed for want of room, and there is time left, sleeps until memory
 * comes back or the time is over.
 *
 * Return: is there to be one more try?
 */
bool bmem_room_again(struct room_wait *r, int *rc)
{
	bool again = r->pool && (*rc == -ENOSPC || *rc == -ENOMEM);

	if (again) {
		int err = sleep_for_room(r);

		if (err) {
			*rc = err;
			again = false;
		}
	}
	if (r->pool) {
		mutex_lock(&bmem_registry_lock);
		r->pool->waiters--;
		mutex_unlock(&bmem_registry_lock);
		r->pool = NULL;
	}
	return again;
}
