// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: raised anywhere, handed on by workers.
 *
 * Raising an event copies it into queues of bounded length, from any context,
 * and wakes workers: one for each subscriber, one that hands events to
 * programs.  A subscriber may sleep, and take as long as it likes: nobody waits
 * for it, other subscribers included.
 *
 * One pass of each a tick at the most, of EVENT_QUEUE_MAX events at the most: a
 * storm costs no more than that.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"
#include "reader.h"
#include "trace.h"

/* Events that debugfs shows. */
#define RECENT_MAX	64

static void readers_run(struct work_struct *work);

/* Guards queues, the chain, and what follows; taken last, in any context. */
static DEFINE_SPINLOCK(event_lock);
static u64 raised;
static struct bmem_event_record recent[RECENT_MAX];
static RAW_NOTIFIER_HEAD(chain);

static struct event_tap readers_tap = {
	.work = __DELAYED_WORK_INITIALIZER(readers_tap.work, readers_run, 0),
};

static struct workqueue_struct *event_wq;

/* Passes of the readers' worker, under event_lock; who waits for one to end. */
static u64 readers_begun;
static u64 readers_ended;
static DECLARE_WAIT_QUEUE_HEAD(readers_through);

/* What one pass hands to readers, and how much was lost so far. */
static struct bmem_event_record batch[EVENT_QUEUE_MAX];
static u64 readers_overrun;

static void tap_kick(struct event_tap *tap)
{
	bool passed = time_before_eq(jiffies, READ_ONCE(tap->passed));

	queue_delayed_work(event_wq, &tap->work, passed ? 1 : 0);
}

/*
 * A pass begins, unless there was one in this tick: who raised an event after
 * that one was taken from the queue of work, and before it said so, has had this
 * one begin at once.
 */
static bool tap_begin(struct event_tap *tap)
{
	unsigned long now = jiffies;

	if (now == READ_ONCE(tap->passed)) {
		queue_delayed_work(event_wq, &tap->work, 1);
		return false;
	}
	WRITE_ONCE(tap->passed, now);
	return true;
}

/* ---- subscribers -------------------------------------------------------------- */

static struct bmem_subscriber *subscriber_of(struct notifier_block *nb)
{
	return container_of(nb, struct bmem_subscriber, nb);
}

#define chained(nb) rcu_dereference_protected(nb, lockdep_is_held(&event_lock))

#define for_each_chained(nb)						\
	for ((nb) = chained(chain.head); (nb); (nb) = chained((nb)->next))

static int subscriber_note(struct notifier_block *nb, unsigned long type,
			   void *rec)
{
	struct bmem_subscriber *sub = subscriber_of(nb);

	if (sub->types & BMEM_EVENT_BIT(type)) {
		event_queue_push(&sub->tap.queue, rec);
		tap_kick(&sub->tap);
	}
	return NOTIFY_DONE;
}

static bool subscriber_pop(struct bmem_subscriber *sub,
			   struct bmem_event_record *rec)
{
	unsigned long flags;
	bool there;

	spin_lock_irqsave(&event_lock, flags);
	there = event_queue_pop(&sub->tap.queue, rec);
	spin_unlock_irqrestore(&event_lock, flags);
	return there;
}

static void subscriber_run(struct work_struct *work)
{
	struct bmem_subscriber *sub = container_of(to_delayed_work(work),
						   struct bmem_subscriber,
						   tap.work);
	struct bmem_event_record rec;
	unsigned int i;

	if (!tap_begin(&sub->tap))
		return;
	WRITE_ONCE(sub->task, current);
	for (i = 0; i < EVENT_QUEUE_MAX && subscriber_pop(sub, &rec); i++) {
		sub->cause = rec.cause;
		sub->handle(&rec);
		cond_resched();
	}
	WRITE_ONCE(sub->task, NULL);
	if (i == EVENT_QUEUE_MAX)
		tap_kick(&sub->tap);
}

/* The cause of what a subscriber raises while it is being called, else 0. */
static u64 inherited_cause(void)
{
	struct notifier_block *nb;

	lockdep_assert_held(&event_lock);
	if (!in_task())
		return 0;
	for_each_chained(nb)
		if (READ_ONCE(subscriber_of(nb)->task) == current)
			return subscriber_of(nb)->cause;
	return 0;
}

/* ---- programs ----------------------------------------------------------------- */

static void readers_run(struct work_struct *work)
{
	struct event_queue *q = &readers_tap.queue;
	unsigned int nr = 0;
	unsigned long flags;
	u64 overrun;

	if (!tap_begin(&readers_tap))
		return;
	spin_lock_irqsave(&event_lock, flags);
	while (event_queue_pop(q, &batch[nr]))
		nr++;
	overrun = q->overrun;
	readers_begun++;
	spin_unlock_irqrestore(&event_lock, flags);

	bmem_readers_deliver(batch, nr, overrun - readers_overrun);
	readers_overrun = overrun;
	/* Pairs with ended(). */
	smp_store_release(&readers_ended, readers_begun);
	wake_up_all(&readers_through);
}

/* ---- raising -------------------------------------------------------------------- */

/**
 * bmem_event_raise() - something happened
 * @note: what
 *
 * From any context but NMI, under any lock; never sleeps.
 */
void bmem_event_raise(const struct bmem_event_note *note)
{
	struct bmem_event_record rec = {
		.event.size = sizeof(rec.event),
		.event.type = note->type,
		.event.client_id = note->client,
		.event.pool = note->pool,
		.event.level = note->level,
		.event.bytes = note->bytes,
		.event.arg = note->arg,
		.uid = note->client ? note->uid : INVALID_UID,
	};
	bool read = bmem_readers_any();
	unsigned long flags;

	spin_lock_irqsave(&event_lock, flags);
	rec.event.time_ns = ktime_get_boottime_ns();
	rec.event.serial = ++raised;
	rec.cause = note->cause ?: inherited_cause() ?: raised;
	recent[raised % RECENT_MAX] = rec;
	raw_notifier_call_chain(&chain, note->type, &rec);
	if (read)
		event_queue_push(&readers_tap.queue, &rec);
	spin_unlock_irqrestore(&event_lock, flags);

	trace_bmem_event(&rec);
	if (read)
		tap_kick(&readers_tap);
}

static bool ended(u64 pass)
{
	/* Pairs with the pass's end: what it delivered is seen. */
	return smp_load_acquire(&readers_ended) >= pass;
}

/**
 * bmem_events_settle() - wait until what has been raised is with those who read
 *
 * No longer than that takes by itself, and not at all when nothing waits: who
 * calls all the time makes nobody work more often.
 *
 * Return: 0, or -EINTR when killed.
 */
int bmem_events_settle(void)
{
	u64 pass;

	spin_lock_irq(&event_lock);
	/* What waits goes in one that has not begun. */
	pass = readers_begun + (readers_tap.queue.nr ? 1 : 0);
	spin_unlock_irq(&event_lock);
	return wait_event_killable(readers_through, ended(pass)) ? -EINTR : 0;
}

/**
 * bmem_event_subscribe() - be called for events
 * @sub: with handle and types set, and all else zero
 *
 * A subscriber that acts in a way that may raise events asks
 * bmem_rule_claim() with the record's cause first, and hands the cause on when
 * it acts later, from a worker of its own.
 *
 * Return: 0, or -EEXIST when it has subscribed.
 */
int bmem_event_subscribe(struct bmem_subscriber *sub)
{
	int rc;

	sub->nb.notifier_call = subscriber_note;
	INIT_DELAYED_WORK(&sub->tap.work, subscriber_run);
	spin_lock_irq(&event_lock);
	rc = raw_notifier_chain_register(&chain, &sub->nb);
	spin_unlock_irq(&event_lock);
	return rc;
}

/**
 * bmem_event_unsubscribe() - be called no more
 * @sub: as it subscribed; it is not being called any more afterwards, and what
 *	waited for it is forgotten
 */
void bmem_event_unsubscribe(struct bmem_subscriber *sub)
{
	spin_lock_irq(&event_lock);
	raw_notifier_chain_unregister(&chain, &sub->nb);
	sub->tap.queue.nr = 0;
	spin_unlock_irq(&event_lock);
	cancel_delayed_work_sync(&sub->tap.work);
}

static const char * const types[] = {
	[BMEM_EVENT_PRESSURE] = "pressure",
	[BMEM_EVENT_CLEANUP_DONE] = "cleanup-done",
	[BMEM_EVENT_ALLOC_FAILED] = "alloc-failed",
	[BMEM_EVENT_RECALL] = "recall",
	[BMEM_EVENT_COMPACT_WANTED] = "compact-wanted",
	[BMEM_EVENT_COMPACTED] = "compacted",
	[BMEM_EVENT_LEAK_SUSPECTED] = "leak-suspected",
	[BMEM_EVENT_LEAK_CONFIRMED] = "leak-confirmed",
	[BMEM_EVENT_LEAK_CLEARED] = "leak-cleared",
	[BMEM_EVENT_CLIENT_GONE] = "client-gone",
};

static void show_record(struct seq_file *m,
			const struct bmem_event_record *rec)
{
	const struct bmem_event *e = &rec->event;

	seq_printf(m, "%llu %llu %s %llu ", e->serial, e->time_ns,
		   types[e->type], e->client_id);
	if (e->client_id)
		seq_printf(m, "%u ",
			   from_kuid_munged(&init_user_ns, rec->uid));
	else
		seq_puts(m, "- ");
	if (e->pool == BMEM_EVENT_NO_POOL)
		seq_puts(m, "- ");
	else
		seq_printf(m, "%u ", e->pool);
	seq_printf(m, "%u %llu %llu %llu\n", e->level, e->bytes, e->arg,
		   rec->cause);
}

/**
 * bmem_events_show() - print the last events, oldest first
 * @m: where to
 */
void bmem_events_show(struct seq_file *m)
{
	struct bmem_event_record rec;
	u64 serial, last;

	seq_puts(m, "# serial time_ns type client uid pool level bytes arg cause\n");
	bmem_events_count(&last, NULL, NULL);
	serial = last > RECENT_MAX ? last - RECENT_MAX : 0;
	while (serial++ < last) {
		spin_lock_irq(&event_lock);
		rec = recent[serial % RECENT_MAX];
		spin_unlock_irq(&event_lock);
		/* Events go on meanwhile. */
		if (rec.event.serial == serial)
			show_record(m, &rec);
	}
}

/**
 * bmem_events_count() - how many there have been
 * @all: out
 * @merged: out unless NULL, those for which a later one was handed on, once for
 *	each that it was not handed to
 * @overrun: out unless NULL, those that were not handed on, likewise
 */
void bmem_events_count(u64 *all, u64 *merged, u64 *overrun)
{
	u64 merges, overruns;
	struct notifier_block *nb;

	spin_lock_irq(&event_lock);
	*all = raised;
	merges = readers_tap.queue.merged;
	overruns = readers_tap.queue.overrun;
	for_each_chained(nb) {
		merges += subscriber_of(nb)->tap.queue.merged;
		overruns += subscriber_of(nb)->tap.queue.overrun;
	}
	spin_unlock_irq(&event_lock);
	if (merged)
		*merged = merges;
	if (overrun)
		*overrun = overruns;
}

int bmem_events_start(void)
{
	event_wq = alloc_workqueue("bmem_event", WQ_UNBOUND, 0);
	return event_wq ? 0 : -ENOMEM;
}

/* After everybody who raises events and everybody who subscribes. */
void bmem_events_stop(void)
{
	cancel_delayed_work_sync(&readers_tap.work);
	destroy_workqueue(event_wq);
}
