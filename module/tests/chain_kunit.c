// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of the event chain: a subscriber that takes for ever delays
 * nobody, and a storm costs a pass a tick.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>

/* No tracepoints here: they are bmem.ko's. */
#define BMEM_TRACE_H
struct bmem_event_record;
static inline void trace_bmem_event(const struct bmem_event_record *rec) { }

#include "../event.c"

#define STORM		1000
#define PATIENCE_MS	20000

static DECLARE_COMPLETION(entered);
static DECLARE_COMPLETION(leave);
/* Events that somebody was called for, or that were counted as lost. */
static atomic64_t handled;
static atomic64_t quickly;
static atomic64_t misled;
static atomic64_t told_cause;
static atomic64_t delivered;
static atomic_t deliveries;

/* ---- in place of reader.c ----------------------------------------------------- */

bool bmem_readers_any(void)
{
	return true;
}

void bmem_readers_deliver(const struct bmem_event_record *recs,
			  unsigned int nr, u64 overrun)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		overrun += recs[i].merged;
	atomic64_add(nr + overrun, &delivered);
	atomic_inc(&deliveries);
}

/* ---- tests ---------------------------------------------------------------------- */

static void busy(const struct bmem_event_record *rec)
{
	if (!completion_done(&leave)) {
		complete(&entered);
		wait_for_completion(&leave);
	}
	atomic64_add(1 + rec->merged, &handled);
}

static void quick(const struct bmem_event_record *rec)
{
	atomic64_add(1 + rec->merged, &quickly);
}

static void deaf(const struct bmem_event_record *rec)
{
	atomic64_inc(&misled);
}

/* Tells of what it was called for, once. */
static void teller(const struct bmem_event_record *rec)
{
	struct bmem_event_note note = { .type = BMEM_EVENT_CLEANUP_DONE };

	if (rec->event.type == BMEM_EVENT_PRESSURE)
		bmem_event_raise(&note);
	else
		atomic64_set(&told_cause, rec->cause);
}

#define FAILED	BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED)

static struct bmem_subscriber busy_sub = { .handle = busy, .types = FAILED };
static struct bmem_subscriber quick_sub = { .handle = quick, .types = FAILED };
static struct bmem_subscriber deaf_sub = {
	.handle = deaf,
	.types = BMEM_EVENT_BIT(BMEM_EVENT_COMPACTED),
};

static struct bmem_subscriber teller_sub = {
	.handle = teller,
	.types = BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE) |
		 BMEM_EVENT_BIT(BMEM_EVENT_CLEANUP_DONE),
};

static void raise_some(unsigned int nr)
{
	struct bmem_event_note note = { .type = BMEM_EVENT_ALLOC_FAILED };

	while (nr--) {
		note.client = nr % 3;
		bmem_event_raise(&note);
	}
}

static bool comes_to(atomic64_t *count, u64 nr)
{
	unsigned int ms;

	for (ms = 0; ms < PATIENCE_MS && atomic64_read(count) < nr; ms += 10)
		usleep_range(10000, 11000);
	return atomic64_read(count) == nr;
}

/*
 * That these return at all, while it is being called, is what is shown, and that
 * others are called meanwhile: those that asked for it.
 */
static void busy_handler_delays_nobody(struct kunit *test)
{
	unsigned long patience = msecs_to_jiffies(PATIENCE_MS);

	u64 merged, overrun, all;

	KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&busy_sub), 0);
	KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&quick_sub), 0);
	KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&deaf_sub), 0);
	raise_some(1);
	KUNIT_ASSERT_NE(test, 0UL,
			wait_for_completion_timeout(&entered, patience));
	raise_some(STORM);
	KUNIT_EXPECT_TRUE(test, comes_to(&delivered, STORM + 1));
	KUNIT_EXPECT_EQ(test, bmem_events_settle(), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&handled), 0);
	KUNIT_EXPECT_TRUE(test, comes_to(&quickly, STORM + 1));
	KUNIT_EXPECT_EQ(test, atomic64_read(&misled), 0);
	/* What is counted is of all of them. */
	bmem_events_count(&all, &merged, &overrun);
	KUNIT_EXPECT_EQ(test, all, STORM + 1);
	KUNIT_EXPECT_EQ(test, merged, busy_sub.tap.queue.merged +
				      quick_sub.tap.queue.merged +
				      readers_tap.queue.merged);
	KUNIT_EXPECT_GE(test, merged + overrun, STORM - EVENT_QUEUE_MAX);
	/* Nothing is forgotten when it comes back: handed on, or counted. */
	complete_all(&leave);
	KUNIT_EXPECT_TRUE(test, comes_to(&handled, STORM + 1 -
					 busy_sub.tap.queue.overrun));
	bmem_event_unsubscribe(&deaf_sub);
	bmem_event_unsubscribe(&quick_sub);
	bmem_event_unsubscribe(&busy_sub);
}

/* What a subscriber raises has the cause of what it was called for. */
static void causes_are_inherited(struct kunit *test)
{
	struct bmem_event_note note = { .type = BMEM_EVENT_PRESSURE };
	u64 all;

	KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&teller_sub), 0);
	bmem_events_count(&all, NULL, NULL);
	bmem_event_raise(&note);
	KUNIT_EXPECT_TRUE(test, comes_to(&told_cause, all + 1));
	note.type = BMEM_EVENT_CLEANUP_DONE;
	bmem_event_raise(&note);
	KUNIT_EXPECT_TRUE(test, comes_to(&told_cause, all + 3));
	bmem_event_unsubscribe(&teller_sub);
}

/* Who does not want to be called any more is not, and may be gone. */
static void gone_is_gone(struct kunit *test)
{
	unsigned int i;
	u64 was;

	for (i = 0; i < 100; i++) {
		KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&quick_sub), 0);
		KUNIT_EXPECT_EQ(test, quick_sub.tap.queue.nr, 0);
		raise_some(i);
		bmem_event_unsubscribe(&quick_sub);
		was = atomic64_read(&quickly);
		raise_some(2);
		KUNIT_EXPECT_FALSE(test, delayed_work_pending(&quick_sub.tap.work));
	}
	KUNIT_EXPECT_EQ(test, bmem_events_settle(), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&quickly), was);
}

static void storm_costs_a_pass_a_tick(struct kunit *test)
{
	u64 was = atomic64_read(&delivered);
	int passes = atomic_read(&deliveries);
	unsigned long begun = jiffies, i;

	for (i = 0; i < 20; i++)
		raise_some(STORM);
	KUNIT_EXPECT_TRUE(test, comes_to(&delivered, was + 20 * STORM));
	passes = atomic_read(&deliveries) - passes;
	KUNIT_EXPECT_GT(test, passes, 0);
	KUNIT_EXPECT_LE(test, passes, (int)(jiffies - begun) + 1);
}

#define HASTY		20

/* Nor more when somebody has not seen yet that one has begun in this tick. */
static void haste_costs_a_pass_a_tick(struct kunit *test)
{
	int passes = atomic_read(&deliveries);
	unsigned long begun = jiffies, i;

	for (i = 0; i < HASTY; i++) {
		raise_some(1);
		mod_delayed_work(event_wq, &readers_tap.work, 0);
		KUNIT_ASSERT_EQ(test, bmem_events_settle(), 0);
	}
	passes = atomic_read(&deliveries) - passes;
	KUNIT_EXPECT_GE(test, passes, HASTY);
	KUNIT_EXPECT_LE(test, passes, (int)(jiffies - begun) + 1);
}

/* Who waits for what has been raised wakes when it is delivered, not before. */
static void settled_is_delivered(struct kunit *test)
{
	unsigned int i;
	u64 was;

	for (i = 0; i < 200; i++) {
		was = atomic64_read(&delivered);
		raise_some(i % 5);
		KUNIT_ASSERT_EQ(test, bmem_events_settle(), 0);
		KUNIT_ASSERT_EQ(test, atomic64_read(&delivered), was + i % 5);
	}
}

static int chain_start(struct kunit_suite *suite)
{
	return bmem_events_start();
}

static void chain_stop(struct kunit_suite *suite)
{
	bmem_events_stop();
}

static struct kunit_case chain_cases[] = {
	KUNIT_CASE(busy_handler_delays_nobody),
	KUNIT_CASE(causes_are_inherited),
	KUNIT_CASE(gone_is_gone),
	KUNIT_CASE(storm_costs_a_pass_a_tick),
	KUNIT_CASE(haste_costs_a_pass_a_tick),
	KUNIT_CASE(settled_is_delivered),
	{}
};

static struct kunit_suite chain_suite = {
	.name = "bmem_chain",
	.suite_init = chain_start,
	.suite_exit = chain_stop,
	.test_cases = chain_cases,
};

kunit_test_suite(chain_suite);
