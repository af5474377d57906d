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

static int busy(struct notifier_block *nb, unsigned long type, void *arg)
{
	const struct bmem_event_record *rec = arg;

	if (!completion_done(&leave)) {
		complete(&entered);
		wait_for_completion(&leave);
	}
	atomic64_add(1 + rec->merged, &handled);
	return NOTIFY_DONE;
}

static struct notifier_block busy_nb = { .notifier_call = busy };

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

/* That these return at all, while it is being called, is what is shown. */
static void busy_handler_delays_nobody(struct kunit *test)
{
	unsigned long patience = msecs_to_jiffies(PATIENCE_MS);

	KUNIT_ASSERT_EQ(test, bmem_event_subscribe(&busy_nb), 0);
	raise_some(1);
	KUNIT_ASSERT_NE(test, 0UL,
			wait_for_completion_timeout(&entered, patience));
	raise_some(STORM);
	KUNIT_EXPECT_TRUE(test, comes_to(&delivered, STORM + 1));
	KUNIT_EXPECT_EQ(test, bmem_events_settle(), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&handled), 0);
	/* Nothing is forgotten when it comes back: handed on, or counted. */
	complete_all(&leave);
	KUNIT_EXPECT_TRUE(test, comes_to(&handled, STORM + 1 -
					 chain_tap.queue.overrun));
	bmem_event_unsubscribe(&busy_nb);
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
	KUNIT_CASE(storm_costs_a_pass_a_tick),
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
