// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events for programs: read() and poll() on the device.
 *
 * Each open file has a queue of bounded length, from when it asks for events.
 * Who does not read loses the oldest, and is told how many.
 *
 * Whoever asks for events, or no longer does, waits for a few of the others to be
 * told, not for all; and a user may have so many that ask and no more.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#include "bmem_private.h"
#include "event.h"
#include "quota.h"
#include "reader.h"

#define EVENTS_KNOWN	(GENMASK_ULL(BMEM_EVENT_TYPES - 1, 1))

/* How many are told before others have their turn. */
#define DELIVER_AT_ONCE	64

/* Guards who is among them; taken before a reader's own lock. */
static DEFINE_MUTEX(readers_lock);
/* Those that asked for any, by client. */
static DEFINE_XARRAY(readers);

/**
 * bmem_readers_any() - does anybody read events?
 *
 * Return: that; who asks for events at this moment may not be among them.
 */
bool bmem_readers_any(void)
{
	return !xa_empty(&readers);
}

/**
 * bmem_reader_init() - nothing is asked for yet
 * @r: reader of a client that is being opened
 */
void bmem_reader_init(struct event_reader *r)
{
	r->quota = NULL;
	init_waitqueue_head(&r->wait);
	spin_lock_init(&r->lock);
}

static int enlist(struct event_reader *r)
{
	struct quota *quota;
	int rc = -EMFILE;

	lockdep_assert_held(&readers_lock);
	if (r->quota)
		return 0;
	quota = bmem_quota_get(NULL);
	if (!quota)
		return -ENOMEM;
	if (!bmem_quota_take(quota, 1, BMEM_READERS_MAX))
		goto put;
	rc = xa_err(xa_store(&readers, r->client, r, GFP_BMEM_META));
	if (rc)
		goto give;
	r->quota = quota;
	return 0;
give:
	bmem_quota_give(quota, 1);
put:
	bmem_quota_put(quota);
	return rc;
}

static void delist(struct event_reader *r)
{
	lockdep_assert_held(&readers_lock);
	if (!r->quota)
		return;
	xa_erase(&readers, r->client);
	bmem_quota_give(r->quota, 1);
	bmem_quota_put(r->quota);
	r->quota = NULL;
}

/**
 * bmem_reader_close() - nothing is delivered any more
 * @r: reader whose file is closed
 */
void bmem_reader_close(struct event_reader *r)
{
	mutex_lock(&readers_lock);
	delist(r);
	mutex_unlock(&readers_lock);
	kfree(r->queue);
	r->queue = NULL;
}

/**
 * bmem_reader_bytes() - kernel memory that it takes
 * @r: reader
 *
 * Return: bytes.
 */
size_t bmem_reader_bytes(const struct event_reader *r)
{
	return READ_ONCE(r->queue) ? BMEM_EVENTS_MAX * sizeof(*r->queue) : 0;
}

static struct bmem_event *queue_at(struct event_reader *r, unsigned int i)
{
	return &r->queue[(r->head + i) % BMEM_EVENTS_MAX];
}

static void lose_oldest(struct event_reader *r)
{
	lockdep_assert_held(&r->lock);
	/* What it stands for has been counted in lost_ever. */
	r->lost += queue_at(r, 0)->lost + 1;
	r->lost_ever++;
	r->head = (r->head + 1) % BMEM_EVENTS_MAX;
	r->nr--;
}

/* ---- delivery -------------------------------------------------------------- */

/* May it be told?  As for reports: of one's own, and with the privilege of all. */
static bool may_see(const struct event_reader *r,
		    const struct bmem_event_record *rec)
{
	const struct bmem_event *e = &rec->event;

	if (r->admin)
		return true;
	if (e->client_id)
		return e->client_id == r->client || uid_eq(rec->uid, r->uid);
	return e->pool == READ_ONCE(r->pool) || e->pool == BMEM_EVENT_NO_POOL;
}

static bool deliver_one(struct event_reader *r,
			const struct bmem_event_record *rec)
{
	struct bmem_event *e;

	lockdep_assert_held(&r->lock);
	if (!(r->mask & BMEM_EVENT_BIT(rec->event.type)) || !may_see(r, rec))
		return false;
	if (r->nr == BMEM_EVENTS_MAX)
		lose_oldest(r);
	e = queue_at(r, r->nr);
	*e = rec->event;
	e->lost = rec->merged;
	r->lost_ever += rec->merged;
	r->nr++;
	return true;
}

/**
 * struct delivery - events on their way to all readers
 * @recs: events, oldest first
 * @nr: how many
 * @overrun: events before them that there is no record of
 * @next: id of the client that may be the next
 */
struct delivery {
	const struct bmem_event_record *recs;
	unsigned int nr;
	u64 overrun;
	unsigned long next;
};

static void deliver(struct event_reader *r, const struct delivery *d)
{
	bool wake = false;
	unsigned int i;

	spin_lock(&r->lock);
	r->lost += d->overrun;
	r->lost_ever += d->overrun;
	for (i = 0; i < d->nr; i++)
		wake |= deliver_one(r, &d->recs[i]);
	spin_unlock(&r->lock);
	if (wake)
		wake_up_interruptible_poll(&r->wait, EPOLLIN | EPOLLRDNORM);
}

/* Answers whether there may be more. */
static bool deliver_some(struct delivery *d)
{
	struct event_reader *r;
	unsigned int i;

	mutex_lock(&readers_lock);
	for (i = 0; i < DELIVER_AT_ONCE; i++) {
		r = xa_find(&readers, &d->next, ULONG_MAX, XA_PRESENT);
		if (!r)
			break;
		deliver(r, d);
		d->next++;
	}
	mutex_unlock(&readers_lock);
	return r;
}

/**
 * bmem_readers_deliver() - hand out events
 * @recs: events, oldest first
 * @nr: how many
 * @overrun: events before them that there is no record of: they may have been
 *	for anybody
 */
void bmem_readers_deliver(const struct bmem_event_record *recs,
			  unsigned int nr, u64 overrun)
{
	struct delivery d = {
		.recs = recs,
		.nr = nr,
		.overrun = overrun,
	};

	while (deliver_some(&d))
		cond_resched();
}

/* ---- BMEM_EVENTS ----------------------------------------------------------- */

/*
 * What was asked for, and is no more, is neither read nor lost.  What was lost
 * before that, and was to be told with it, is told with the next.
 */
static void keep_wanted(struct event_reader *r)
{
	unsigned int i, kept = 0;
	struct bmem_event *e;

	lockdep_assert_held(&r->lock);
	for (i = 0; i < r->nr; i++) {
		e = queue_at(r, i);
		if (r->mask & BMEM_EVENT_BIT(e->type))
			*queue_at(r, kept++) = *e;
		else
			r->lost += e->lost;
	}
	r->nr = kept;
}

static void set_mask(struct event_reader *r, u64 mask)
{
	bool admin = mask && capable(CAP_SYS_ADMIN);

	spin_lock(&r->lock);
	r->mask = mask;
	r->uid = current_euid();
	r->admin = admin;
	keep_wanted(r);
	spin_unlock(&r->lock);

	/* Who waits and has nothing to wait for any more is told. */
	if (!mask)
		wake_up_interruptible_all(&r->wait);
}

static int want(struct event_reader *r, u64 mask)
{
	struct bmem_event *queue = NULL;
	int rc = 0;

	if (mask && !READ_ONCE(r->queue)) {
		queue = kcalloc(BMEM_EVENTS_MAX, sizeof(*queue), GFP_BMEM_META);
		if (!queue)
			return -ENOMEM;
	}
	if (mutex_lock_killable(&readers_lock)) {
		kfree(queue);
		return -EINTR;
	}
	if (!r->queue)
		swap(r->queue, queue);
	if (mask)
		rc = enlist(r);
	else
		delist(r);
	if (!rc)
		set_mask(r, mask);
	mutex_unlock(&readers_lock);
	kfree(queue);
	return rc;
}

/**
 * bmem_reader_check() - can BMEM_EVENTS be answered?
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_reader_check(const struct bmem_events *cmd)
{
	if (cmd->flags & ~BMEM_EVENTS_SET || cmd->mask & ~EVENTS_KNOWN)
		return -EOPNOTSUPP;
	return !(cmd->flags & BMEM_EVENTS_SET) && cmd->mask ? -EINVAL : 0;
}

/**
 * bmem_reader_set() - BMEM_EVENTS
 * @r: reader
 * @cmd: as in the ABI, checked
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_reader_set(struct event_reader *r, struct bmem_events *cmd)
{
	int rc = 0;

	if (cmd->flags & BMEM_EVENTS_SET)
		rc = want(r, cmd->mask);
	if (rc)
		return rc;
	spin_lock(&r->lock);
	cmd->mask = r->mask;
	cmd->waiting = r->nr;
	cmd->lost = r->lost_ever;
	spin_unlock(&r->lock);
	cmd->known = EVENTS_KNOWN;
	cmd->capacity = BMEM_EVENTS_MAX;
	return 0;
}

/* ---- read, poll -------------------------------------------------------------- */

static bool pop(struct event_reader *r, struct bmem_event *e)
{
	bool there;

	spin_lock(&r->lock);
	there = r->nr;
	if (there) {
		*e = *queue_at(r, 0);
		e->lost += r->lost;
		r->lost = 0;
		r->head = (r->head + 1) % BMEM_EVENTS_MAX;
		r->nr--;
	}
	spin_unlock(&r->lock);
	return there;
}

/* The reader's memory was bad: the event is as if it had not been read. */
static void unpop(struct event_reader *r, const struct bmem_event *e)
{
	spin_lock(&r->lock);
	if (!(r->mask & BMEM_EVENT_BIT(e->type))) {
		r->lost += e->lost;
	} else if (r->nr == BMEM_EVENTS_MAX) {
		r->lost += e->lost + 1;
		r->lost_ever++;
	} else {
		r->head = (r->head + BMEM_EVENTS_MAX - 1) % BMEM_EVENTS_MAX;
		*queue_at(r, 0) = *e;
		r->nr++;
	}
	spin_unlock(&r->lock);
}

static bool pending(struct event_reader *r)
{
	return READ_ONCE(r->nr);
}

static int wait_pending(struct event_reader *r, bool nowait)
{
	if (!nowait && wait_event_interruptible(r->wait,
						pending(r) ||
						!READ_ONCE(r->mask)))
		return -ERESTARTSYS;
	if (pending(r))
		return 0;
	return READ_ONCE(r->mask) ? -EAGAIN : -EINVAL;
}

/**
 * bmem_reader_read() - read events
 * @r: reader
 * @iocb: call
 * @to: where to
 *
 * Return: bytes, a whole number of events; -EINVAL when there is no room for
 * one, or none is asked for; -EAGAIN; -EFAULT; -ERESTARTSYS.
 */
ssize_t bmem_reader_read(struct event_reader *r, struct kiocb *iocb,
			 struct iov_iter *to)
{
	bool nowait = iocb->ki_filp->f_flags & O_NONBLOCK ||
		      iocb->ki_flags & IOCB_NOWAIT;
	struct bmem_event e;
	ssize_t done = 0;
	int rc;

	if (iov_iter_count(to) < sizeof(e))
		return -EINVAL;
	do {
		rc = wait_pending(r, nowait);
		if (rc == -EAGAIN && !nowait)
			continue;
		if (rc)
			return rc;
		while (iov_iter_count(to) >= sizeof(e) && pop(r, &e)) {
			if (copy_to_iter(&e, sizeof(e), to) != sizeof(e)) {
				unpop(r, &e);
				return done ?: -EFAULT;
			}
			done += sizeof(e);
		}
		/* Another thread may have been faster. */
	} while (!done);
	return done;
}

/**
 * bmem_reader_poll() - is there an event to read?
 * @r: reader
 * @file: its file
 * @pt: who waits
 *
 * Return: EPOLLIN or nothing.
 */
__poll_t bmem_reader_poll(struct event_reader *r, struct file *file,
			  poll_table *pt)
{
	poll_wait(file, &r->wait, pt);
	return pending(r) ? EPOLLIN | EPOLLRDNORM : 0;
}
