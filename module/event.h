/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events: what happened to memory, for those in the kernel that react and for
 * programs that listen.
 *
 * The file where something happens raises an event and knows nobody who reacts
 * to it; a file that reacts subscribes.  An event that is raised because of
 * another one has the same cause: the event of memory that all began with.  A
 * rule acts once a cause, so what it does cannot make it act again.
 */
#ifndef BMEM_EVENT_H
#define BMEM_EVENT_H

#include <linux/bits.h>
#include <linux/notifier.h>
#include <linux/seq_file.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include <linux/bmem.h>

/**
 * struct bmem_event_note - what to tell of an event
 * @type: enum bmem_event_type
 * @pool: id of the pool, or %BMEM_EVENT_NO_POOL
 * @level: as in struct bmem_event
 * @client: id of the client, 0 for none
 * @uid: its user; ignored without a client
 * @bytes: as in struct bmem_event
 * @arg: likewise
 * @cause: cause of the event that this one follows from; 0 when it is an event
 *	of memory itself.  What a subscriber raises while it is being called has
 *	the cause of what it was called for, unless it says otherwise.
 */
struct bmem_event_note {
	u32 type;
	u32 pool;
	u32 level;
	u64 client;
	kuid_t uid;
	u64 bytes;
	u64 arg;
	u64 cause;
};

/**
 * struct bmem_event_record - an event in the kernel
 * @event: as in the ABI; its lost is 0
 * @uid: user of the client, if there is one
 * @cause: serial of the event of memory that all began with; its own for that
 * @merged: older events of the same type, client and pool that it stands for,
 *	because there was no room for all of them
 */
struct bmem_event_record {
	struct bmem_event event;
	kuid_t uid;
	u64 cause;
	u64 merged;
};

/* ---- rules ----------------------------------------------------------------- */

/* How far back a rule remembers. */
#define RULE_CAUSES	64

/**
 * struct bmem_rule - what a rule has acted upon; all zero to begin with
 * @last: the latest cause
 * @seen: one bit for each of the causes up to it, bit 0 for @last itself
 *
 * Belongs to a subscriber: nothing else guards it than that it is called for
 * one event at a time.
 */
struct bmem_rule {
	u64 last;
	u64 seen;
};

/**
 * bmem_rule_claim() - may a rule act because of this?
 * @rule: rule
 * @cause: cause of the event that it would act upon
 *
 * Return: true once for each cause.  A cause far older than the latest one has
 * had its chance.
 */
static inline bool bmem_rule_claim(struct bmem_rule *rule, u64 cause)
{
	u64 by;

	if (cause > rule->last) {
		by = cause - rule->last;
		rule->seen = by < RULE_CAUSES ? rule->seen << by : 0;
		rule->last = cause;
	}
	by = rule->last - cause;
	if (by >= RULE_CAUSES || rule->seen & BIT_ULL(by))
		return false;
	rule->seen |= BIT_ULL(by);
	return true;
}

/* ---- queue ----------------------------------------------------------------- */

#define EVENT_QUEUE_MAX		256

/**
 * struct event_queue - events on their way, oldest first
 * @head: index of the oldest
 * @nr: how many there are
 * @merged: events that a later one stands for, so far
 * @overrun: events that nothing stands for, so far
 * @at: a ring
 */
struct event_queue {
	unsigned int head;
	unsigned int nr;
	u64 merged;
	u64 overrun;
	struct bmem_event_record at[EVENT_QUEUE_MAX];
};

static inline struct bmem_event_record *
event_queue_at(struct event_queue *q, unsigned int i)
{
	return &q->at[(q->head + i) % EVENT_QUEUE_MAX];
}

static inline bool event_alike(const struct bmem_event *a,
			       const struct bmem_event *b)
{
	return a->type == b->type && a->client_id == b->client_id &&
	       a->pool == b->pool;
}

/* Makes room: answers how many events a new one will have to stand for. */
static inline u64 event_queue_squeeze(struct event_queue *q,
				      const struct bmem_event *event)
{
	unsigned int i = q->nr;
	u64 merged;

	while (i && !event_alike(&event_queue_at(q, i - 1)->event, event))
		i--;
	if (!i) {
		q->overrun += event_queue_at(q, 0)->merged + 1;
		q->head = (q->head + 1) % EVENT_QUEUE_MAX;
		q->nr--;
		return 0;
	}
	merged = event_queue_at(q, i - 1)->merged + 1;
	/* In a storm of one kind it is the last, and nothing moves. */
	for (; i < q->nr; i++)
		*event_queue_at(q, i - 1) = *event_queue_at(q, i);
	q->nr--;
	q->merged++;
	return merged;
}

/**
 * event_queue_push() - add an event
 * @q: queue
 * @rec: event
 *
 * In a full queue it stands for the latest that is alike, which makes room; or
 * else the oldest is lost.
 */
static inline void event_queue_push(struct event_queue *q,
				    const struct bmem_event_record *rec)
{
	u64 merged = 0;

	if (q->nr == EVENT_QUEUE_MAX)
		merged = event_queue_squeeze(q, &rec->event);
	*event_queue_at(q, q->nr) = *rec;
	event_queue_at(q, q->nr)->merged = merged;
	q->nr++;
}

/**
 * event_queue_pop() - take the oldest event
 * @q: queue
 * @rec: out
 *
 * Return: false when there is none.
 */
static inline bool event_queue_pop(struct event_queue *q,
				   struct bmem_event_record *rec)
{
	if (!q->nr)
		return false;
	*rec = *event_queue_at(q, 0);
	q->head = (q->head + 1) % EVENT_QUEUE_MAX;
	q->nr--;
	return true;
}

/* ---- the chain ---------------------------------------------------------------- */

/**
 * struct event_tap - a way that events are handed on
 * @queue: what waits
 * @work: hands it on
 * @passed: tick of its last pass
 */
struct event_tap {
	struct event_queue queue;
	struct delayed_work work;
	unsigned long passed;
};

/**
 * struct bmem_subscriber - somebody who reacts to events
 * @handle: called for one event at a time, from a worker; may sleep, and raise
 *	events
 * @types: BMEM_EVENT_BIT() of those that it is called for
 * @nb: its place in the chain
 * @tap: its own, so that it keeps nobody else waiting
 * @task: who calls it now
 * @cause: because of what; only that task reads it
 *
 * Whoever subscribes sets the first two; the others are event.c's.
 */
struct bmem_subscriber {
	void (*handle)(const struct bmem_event_record *rec);
	u64 types;
	struct notifier_block nb;
	struct event_tap tap;
	struct task_struct *task;
	u64 cause;
};

int bmem_events_start(void);
void bmem_events_stop(void);
void bmem_event_raise(const struct bmem_event_note *note);
int bmem_event_subscribe(struct bmem_subscriber *sub);
void bmem_event_unsubscribe(struct bmem_subscriber *sub);
int bmem_events_settle(void);
void bmem_events_show(struct seq_file *m);
void bmem_events_count(u64 *raised, u64 *merged, u64 *overrun);

#endif /* BMEM_EVENT_H */
