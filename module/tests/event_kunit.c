// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of events: what a rule may act upon, and the queue they wait in.
 */
#include <kunit/test.h>
#include <linux/random.h>
#include <linux/vmalloc.h>

#include "../event.h"

/* ---- rules ----------------------------------------------------------------- */

static void once_a_cause(struct kunit *test)
{
	struct bmem_rule rule = {};

	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 1));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 1));
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 5));
	/* A cause that was overtaken has its turn, once. */
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 3));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 3));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 5));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 1));
}

static void window_of_causes(struct kunit *test)
{
	struct bmem_rule rule = {};

	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 100));
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 37));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 36));
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 163));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 100));
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, 101));
	KUNIT_EXPECT_TRUE(test, bmem_rule_claim(&rule, U64_MAX));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, 163));
	KUNIT_EXPECT_FALSE(test, bmem_rule_claim(&rule, U64_MAX));
}

/*
 * Four rules that each raise what the next one acts upon, in a circle: without
 * causes one event would keep them busy for ever.
 */
static void circle_ends(struct kunit *test)
{
	struct event_queue *q = vzalloc(sizeof(*q));
	struct bmem_event_record rec = {};
	struct bmem_rule rules[4] = {};
	unsigned int acts = 0, steps = 0, i;
	u64 serial = 0;

	KUNIT_ASSERT_NOT_NULL(test, q);
	for (i = 0; i < 10; i++) {
		rec.event.serial = ++serial;
		rec.cause = serial;
		rec.event.type = i % 4;
		event_queue_push(q, &rec);
	}
	while (event_queue_pop(q, &rec) && steps++ < 1000) {
		if (!bmem_rule_claim(&rules[rec.event.type], rec.cause))
			continue;
		acts++;
		rec.event.serial = ++serial;
		rec.event.type = (rec.event.type + 1) % 4;
		event_queue_push(q, &rec);
	}
	/* Each rule once for each of the ten causes. */
	KUNIT_EXPECT_EQ(test, acts, 40);
	KUNIT_EXPECT_EQ(test, q->nr, 0);
	vfree(q);
}

/* ---- queue ----------------------------------------------------------------- */

static void push(struct event_queue *q, u32 type, u64 client, u64 serial)
{
	struct bmem_event_record rec = {
		.event.type = type,
		.event.client_id = client,
		.event.serial = serial,
	};

	event_queue_push(q, &rec);
}

static void full_queue_merges(struct kunit *test)
{
	struct event_queue *q = vzalloc(sizeof(*q));
	struct bmem_event_record rec;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, q);
	push(q, 1, 7, 1);
	for (i = 1; i < EVENT_QUEUE_MAX; i++)
		push(q, 2, 7, i + 1);
	push(q, 1, 7, 1000);
	push(q, 1, 7, 1001);
	KUNIT_EXPECT_EQ(test, q->nr, EVENT_QUEUE_MAX);
	KUNIT_EXPECT_EQ(test, q->merged, 2);
	/* Of another client: nothing stands for the oldest. */
	push(q, 1, 8, 1002);
	KUNIT_EXPECT_EQ(test, q->overrun, 1);
	for (i = 2; i < EVENT_QUEUE_MAX; i++) {
		KUNIT_ASSERT_TRUE(test, event_queue_pop(q, &rec));
		KUNIT_ASSERT_EQ(test, rec.event.serial, i + 1);
		KUNIT_ASSERT_EQ(test, rec.merged, 0);
	}
	KUNIT_EXPECT_TRUE(test, event_queue_pop(q, &rec));
	KUNIT_EXPECT_EQ(test, rec.event.serial, 1001);
	KUNIT_EXPECT_EQ(test, rec.merged, 2);
	KUNIT_EXPECT_TRUE(test, event_queue_pop(q, &rec));
	KUNIT_EXPECT_EQ(test, rec.event.serial, 1002);
	KUNIT_EXPECT_FALSE(test, event_queue_pop(q, &rec));
	vfree(q);
}

/* Whatever comes and goes: each event is handed on, stood for, or counted. */
static void nothing_unaccounted(struct kunit *test)
{
	struct event_queue *q = vzalloc(sizeof(*q));
	u64 serial = 0, out = 0, stood = 0, last = 0;
	struct bmem_event_record rec;
	u32 step, word;

	KUNIT_ASSERT_NOT_NULL(test, q);
	for (step = 0; step < 50000; step++) {
		get_random_bytes(&word, sizeof(word));
		/* Long floods, long ebbs. */
		if ((step >> 12) % 2 == (word % 4 == 0)) {
			push(q, word >> 8 & 3, word >> 16 & 63, ++serial);
		} else if (event_queue_pop(q, &rec)) {
			KUNIT_ASSERT_GT(test, rec.event.serial, last);
			last = rec.event.serial;
			out++;
			stood += rec.merged;
		}
	}
	while (event_queue_pop(q, &rec)) {
		out++;
		stood += rec.merged;
	}
	KUNIT_EXPECT_EQ(test, out + stood + q->overrun, serial);
	KUNIT_EXPECT_GT(test, stood, 0);
	vfree(q);
}

static struct kunit_case event_cases[] = {
	KUNIT_CASE(once_a_cause),
	KUNIT_CASE(window_of_causes),
	KUNIT_CASE(circle_ends),
	KUNIT_CASE(full_queue_merges),
	KUNIT_CASE(nothing_unaccounted),
	{}
};

static struct kunit_suite event_suite = {
	.name = "bmem_event",
	.test_cases = event_cases,
};

kunit_test_suite(event_suite);
