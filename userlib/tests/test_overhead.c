// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What tracking costs: the sampler, the governor, the report.
 */
#include "../src/cache.h"
#include "../src/sample.h"
#include "child.h"
#include "stacks.h"

#define STANDARD	BMEM_LEVEL_STANDARD
#define FULL		BMEM_LEVEL_FULL
#define MS		1000000

static struct bmem_client *c;
static struct site_cache *sc;

static int set_up(void **state)
{
	test_note_name(state);
	c = client_told();
	sc = cache();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(sc);
	bmem_close(c);
	return 0;
}

#undef TEST
#define TEST(f)		{ #f, f, set_up, tear_down, (void *)#f }

static void draws_have_their_mean(void **state)
{
	static const uint32_t intervals[] = { 1, 2, 10, 160, 4096 };
	uint64_t random = 0, sum;
	uint32_t n, draw;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(intervals); i++) {
		sum = 0;
		for (n = 0; n < 100000; n++) {
			draw = sample_draw(&random, intervals[i], 0);
			IS(draw >= 1 && draw < 2 * intervals[i]);
			sum += draw;
		}
		IS(sum > 98 * 1000UL * intervals[i]);
		IS(sum < 102 * 1000UL * intervals[i]);
	}
	/* However far it is throttled, the number fits. */
	for (n = 0; n < 64; n++)
		IS(sample_draw(&random, SAMPLE_MAX, n % 32) >= 1);
	IS(sample_draw(&random, 1, 8) <= 512);
}

static void intervals_adapt(void **state)
{
	_Atomic uint32_t interval = SAMPLE_FIRST;
	int i;

	(void)state;
	EQ(interval, 10);
	sample_learn(&interval, false);
	EQ(interval, 20);
	for (i = 0; i < 20; i++)
		sample_learn(&interval, false);
	EQ(interval, SAMPLE_MAX);
	sample_learn(&interval, true);
	EQ(interval, SAMPLE_MAX / 2);
	for (i = 0; i < 20; i++)
		sample_learn(&interval, true);
	EQ(interval, 1);
}

/* Frames of our own, so that stacks can be as many as one likes. */
static struct fake {
	uintptr_t fp;
	uintptr_t pc;
} fakes[4] __attribute__((aligned(64)));

static uint32_t from_stack(uint32_t which, uint32_t level, size_t bytes)
{
	const char *text = (const char *)(uintptr_t)draws_have_their_mean;
	int i;

	sc->low = (uintptr_t)fakes;
	sc->high = (uintptr_t)(fakes + COUNT(fakes));
	for (i = 0; i < 3; i++)
		fakes[i].fp = (uintptr_t)&fakes[i + 1];
	fakes[1].pc = (uintptr_t)text + which % 128;
	fakes[2].pc = (uintptr_t)text + which / 128;
	fakes[3].pc = (uintptr_t)text;
	return site_of(c, sc, NULL, text, fakes, level, bytes);
}

static uint64_t samples(void)
{
	return atomic_load(&c->sites.costs.samples);
}

static void busy_site_with_one_stack(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		IS(from_stack(0, STANDARD, 64));
	/* 1 in 10, then soon less. */
	IS(samples() >= 2 && samples() <= 12);
	for (i = 0; i < 100000; i++)
		IS(from_stack(0, STANDARD, 64));
	IS(samples() <= 50);
	/* One site by return address, one with its whole stack. */
	EQ(told.sites, 2);
}

static void site_with_new_stacks(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 2000; i++)
		IS(from_stack((uint32_t)i, STANDARD, 64));
	/* Nothing but news: in the end every one is taken. */
	IS(samples() > 1900);
	EQ(told.sites, samples() + 1);
	/* Then nothing is new. */
	for (i = 0; i < 2000; i++)
		IS(from_stack((uint32_t)1999, STANDARD, 64));
	IS(samples() < 2000 + 30);
}

static void large_ones_are_sampled_more(void **state)
{
	uint64_t small;
	int i;

	(void)state;
	for (i = 0; i < 3000; i++)
		IS(from_stack(0, STANDARD, 64));
	small = samples();
	memset(sc, 0, sizeof(*sc));
	bmem_scope_push("large");
	for (i = 0; i < 3000; i++)
		IS(from_stack(0, STANDARD, MIB - 1));
	bmem_scope_pop();
	IS(samples() - small > small + 3);
}

static void throttled(void **state)
{
	int i;

	(void)state;
	atomic_store(&c->sites.costs.governor.throttle, 12);
	for (i = 0; i < 2000; i++)
		IS(from_stack((uint32_t)i, STANDARD, 64));
	IS(samples() <= 2);
}

static void reduced(void **state)
{
	uint32_t one, two;

	(void)state;
	one = from_stack(1, FULL, 64);
	two = from_stack(2, FULL, 64);
	IS(one != two);
	atomic_store(&c->sites.costs.governor.reduced, true);
	atomic_store(&c->sites.costs.governor.wait, 1000);
	EQ(from_stack(1, FULL, 64), from_stack(2, FULL, 64));
	/* From 1 MiB on it is the whole stack all the same. */
	EQ(from_stack(1, FULL, MIB), one);
	EQ(from_stack(2, FULL, MIB), two);
}

/* What a program spends in a window of @cpu, under the governor's settings. */
static struct share load(const struct governor *g, int64_t cpu, int64_t floor,
			 int64_t sampling, int64_t walking)
{
	struct share s = { .cpu_ns = cpu };

	s.walk_ns = atomic_load(&g->reduced) ? 0 : walking;
	s.track_ns = floor + (sampling >> atomic_load(&g->throttle)) +
		     s.walk_ns;
	return s;
}

/* Share of the CPU, in 1e-3, over windows after it has settled. */
static int64_t settled(struct governor *g, int64_t floor, int64_t sampling,
		       int64_t walking)
{
	int64_t track = 0, cpu = 0;
	struct share s;
	int i;

	for (i = 0; i < 2100; i++) {
		s = load(g, 10 * MS, floor, sampling, walking);
		governor_step(g, &s);
		if (i < 100)
			continue;
		track += s.track_ns;
		cpu += s.cpu_ns;
	}
	return track * 1000 / cpu;
}

static void governor_keeps_the_target(void **state)
{
	struct governor g = { .permille = 20 };

	(void)state;
	/* Sampling alone would take 80 %, walking 40 %, both. */
	IS(settled(&g, MS / 20, 8 * MS, 0) <= 20);
	IS(atomic_load(&g.throttle) >= 5);
	g = (struct governor) { .permille = 20 };
	IS(settled(&g, MS / 20, 0, 4 * MS) <= 20);
	IS(atomic_load(&g.patience) >= 256);
	g = (struct governor) { .permille = 20 };
	IS(settled(&g, MS / 20, 8 * MS, 4 * MS) <= 20);
	g = (struct governor) { .permille = 1 };
	IS(settled(&g, 0, 8 * MS, 4 * MS) <= 1);
}

static void governor_takes_no_more_than_it_must(void **state)
{
	struct governor g = { .permille = 20 };

	(void)state;
	/* 1 % is under the target. */
	EQ(settled(&g, 0, MS / 20, MS / 20), 10);
	EQ(atomic_load(&g.throttle), 0);
	IS(!atomic_load(&g.reduced));
	/* What was taken while it was needed comes back. */
	settled(&g, 0, 8 * MS, 4 * MS);
	IS(atomic_load(&g.throttle));
	/* After some time: whole stacks are tried again late. */
	settled(&g, 0, MS / 100, MS / 100);
	EQ(settled(&g, 0, MS / 100, MS / 100), 2);
	EQ(atomic_load(&g.throttle), 0);
	IS(!atomic_load(&g.reduced));
}

static void governor_without_hope(void **state)
{
	struct governor g = { .permille = 20 };

	(void)state;
	/* Nothing can be taken from what every allocation costs. */
	EQ(settled(&g, MS, 0, 0), 100);
	EQ(atomic_load(&g.throttle), 20);
}

/* A loop that does nothing but track cannot be within 2 %. */
static void governor_steps_in(void **state)
{
	uint64_t n;

	(void)state;
	EQ(bmem_set_overhead(c, 20), 0);
	for (n = 0; n < 200000000; n++) {
		from_stack((uint32_t)n % 64, FULL, 64);
		if (atomic_load(&c->sites.costs.governor.reduced))
			break;
	}
	IS(atomic_load(&c->sites.costs.governor.reduced));
}

/* Has a thread ended whole stacks that did this, and slept so long meanwhile? */
static bool ends_them(uint64_t slept, uint64_t timed, int64_t record,
		      int64_t walk)
{
	struct costs costs = { .governor.permille = 20 };
	struct meter m = { .timed = timed };

	meter_window(&costs, &m);
	m.window -= slept;
	m.ns[BMEM_OVERHEAD_RECORD] = record;
	m.ns[BMEM_OVERHEAD_WALK] = walk;
	meter_window(&costs, &m);
	/* All or nothing was handed on. */
	EQ(atomic_load(&costs.timed) + m.timed, timed);
	EQ(atomic_load(&costs.ns[BMEM_OVERHEAD_WALK]) +
	   m.ns[BMEM_OVERHEAD_WALK], walk);
	EQ(atomic_load(&costs.governor.throttle), 0);
	return atomic_load(&costs.governor.reduced);
}

/* Has a thread's window ended early, and whole stacks with it? */
static bool ends_early(uint64_t timed, int64_t record, int64_t walk)
{
	return ends_them(0, timed, record, walk);
}

/* What is too much for a whole window of 10 ms is so before it has ended. */
static void governor_knows_before_the_end(void **state)
{
	(void)state;
	IS(ends_early(4, 0, MS / 5 + 1));
	IS(!ends_early(4, 0, MS / 5));
	IS(ends_early(4, MS / 10, MS / 10 + 1));
	/* Stacks are not most of it. */
	IS(!ends_early(4, MS, MS - 1));
	/* It may have been an accident. */
	IS(!ends_early(3, 0, MS));
}

/* A window that ends because its thread slept has hardly any CPU time in it. */
static void governor_takes_no_accident_for_certain(void **state)
{
	(void)state;
	IS(!ends_them(20 * MS, 3, 0, MS));
	IS(!ends_them(20 * MS, 4, 0, MS / 5));
	IS(ends_them(20 * MS, 4, 0, MS / 5 + 1));
}

static struct bmem_overhead report(void)
{
	struct bmem_overhead o = { .sz = sizeof(o) };

	EQ(bmem_overhead(c, &o), 0);
	return o;
}

static void sums_add_up(const struct bmem_overhead *o)
{
	uint64_t times = 0, bytes = 0, whole;
	int i;

	for (i = 0; i < BMEM_OVERHEAD_SOURCES; i++) {
		whole = i < OVERHEAD_TIMES ? o->cpu_ns : o->data_bytes;
		*(i < OVERHEAD_TIMES ? &times : &bytes) += o->source[i];
		EQ(!!(o->above & 1U << i),
		   (double)o->source[i] > 0.02 * (double)whole);
	}
	EQ(bytes, o->meta_bytes);
	/* A source that came out below nothing counts as nothing. */
	IS(times >= o->track_ns);
}

/* Where a tensor's record would be, and what a program does besides. */
static volatile uint64_t record, work;

/* As much again as tracking takes, under a sanitizer that slows both down, too. */
static void do_work(void)
{
	int i;

	for (i = 0; i < 16; i++)
		work = (uint64_t)i;
}

/* Allocations as the library's own do it, and what they cost really. */
static uint64_t spend(uint32_t level, int turns)
{
	struct timespec a, b;
	uint64_t from;
	int i;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (i = 0; i < turns; i++) {
		do_work();
		from_stack(i & 1, level, 64);
		if (!site_timed(sc)) {
			record = (uint64_t)i;
			continue;
		}
		from = meter_now();
		record = (uint64_t)i;
		site_timed_record(sc, from);
		site_timed_end(sc);
	}
	site_cache_flush(c, sc);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return (uint64_t)((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec -
			  a.tv_nsec);
}

static void report_is_measured(void **state)
{
	const int turns = 8000000 / (test_under("valgrind") ? 80 : 1);
	struct bmem_overhead o;
	void *p = bmem_alloc(c, MIB, 0, 0, NULL);
	uint64_t spent;

	(void)state;
	spent = spend(STANDARD, turns);
	o = report();
	sums_add_up(&o);
	EQ(o.data_bytes, MIB);
	/* Pages of the table of sites, and those of the numbers. */
	IS(o.source[BMEM_OVERHEAD_SITE_TABLES] >= 2 * PAGE);
	/* That of the thread, with which it allocated. */
	EQ(atomic_load(&c->sites.costs.caches), 1);
	/* Each allocation counts once, but the last few thousand. */
	IS(o.allocs <= (uint64_t)turns && o.allocs > (uint64_t)turns - 5000);
	IS(o.samples == samples() && o.samples);
	/* The window is the loop, and tracking is a part of it. */
	IS(o.cpu_ns <= spent && o.cpu_ns > spent / 2);
	IS(o.source[BMEM_OVERHEAD_LOOKUP] > 0);
	/* Valgrind translates what runs for the first time, and is timed. */
	IS(o.track_ns < o.cpu_ns || test_under("valgrind"));
	IS(o.tracked_ns >= o.untracked_ns);
	EQ(o.permille, 1000000);
	EQ(bmem_free(c, p), 0);
}

/* A thread's first allocation, which has memory fetched, is one of thousands. */
static void report_weighs_what_was_timed(void **state)
{
	struct costs costs = { .governor.permille = 20 };
	struct meter m = { 0 };

	(void)state;
	meter_window(&costs, &m);
	meter_start(&costs, &m, 1999);
	m.from = meter_now() - 100 * MS;
	meter_done(&m);
	meter_start(&costs, &m, 1999);
	m.from = meter_now();
	meter_done(&m);
	meter_flush(&costs, &m);
	EQ(atomic_load(&costs.allocs), 2001);
	EQ(atomic_load(&costs.timed), 2);
	EQ(atomic_load(&costs.timed_for), 2001);
	IS(atomic_load(&costs.timed_ns) >= 50 * MS);
	IS(atomic_load(&costs.timed_ns) / 2001 < MS);
}

/* What is not timed to its end is not timed until the end of another. */
static void report_without_batches(void **state)
{
	struct bmem_request r = { .size = 100 };
	struct meter *m;
	void *p;

	(void)state;
	/* Of a thread's allocations the first is one that is timed. */
	EQ(bmem_alloc_batch(c, &r, 1, NULL), 0);
	m = &thread_cache_peek(c)->sites.meter;
	IS(m->every);
	IS(!m->timing);
	m->left = 0;
	p = bmem_realloc(c, NULL, 100, 0);
	IS(p);
	IS(m->left);
	IS(!m->timing);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, r.ptr), 0);
}

/* What a look takes is found out by looking, whatever comes of it. */
static void whole_stacks_are_measured(void **state)
{
	struct bmem_overhead o;

	(void)state;
	spend(FULL, 1000000 / (test_under("valgrind") ? 80 : 1));
	o = report();
	IS(o.allocs);
	/* Half a dozen cache lines and a hash are more than a nanosecond each. */
	IS(o.source[BMEM_OVERHEAD_WALK] > o.allocs);
}

/* A child's thread begins with no CPU time, and goes on with its parent's. */
static int spend_in_child(void)
{
	uint64_t before = report().cpu_ns, after;

	/* The first window began before the fork, and is left out. */
	spend(STANDARD, 100000);
	spend(STANDARD, 100000);
	after = report().cpu_ns;
	return after > before && after < before + 1000UL * MS ? 0 : 1;
}

static void report_of_a_child(void **state)
{
	(void)state;
	spend(STANDARD, 100000);
	EQ(in_child(spend_in_child).status, 0);
}

static void report_names_its_sources(void **state)
{
	struct bmem_overhead o = {
		.sz = sizeof(o),
		.meta_bytes = 30,
		.data_bytes = 1000,
		.track_ns = 50,
		.cpu_ns = 1000,
		.untracked_ns = 1000,
		.tracked_ns = 1100,
		.allocs = 100,
		.above = 1U << BMEM_OVERHEAD_WALK | 1U << BMEM_OVERHEAD_LEDGER,
		.permille = 20,
		.throttle = 3,
		.reduced = 1,
	};
	char text[1000], few[10] = "";
	size_t len;

	(void)state;
	o.source[BMEM_OVERHEAD_WALK] = 45;
	o.source[BMEM_OVERHEAD_LEDGER] = 30;
	len = bmem_overhead_text(&o, text, sizeof(text));
	EQ(len, strlen(text));
	HAS(text, "memory: 3.00 %");
	HAS(text, "cpu: 5.00 %");
	HAS(text, "target 2.0 %");
	HAS(text, "allocation: 10.00 % more (11.0 of 10.0 ns)");
	HAS(text, "above 2 %: stack walk, 4.50 % of cpu");
	HAS(text, "above 2 %: ledger memory, 3.00 % of data");
	IS(!strstr(text, "unwinding"));
	HAS(text, "1 in 8");
	HAS(text, "below 1 MiB");
	/* Too little room: cut, and the length is what it would have been. */
	EQ(bmem_overhead_text(&o, few, sizeof(few)), len);
	STR(few, "memory: 3");
	EQ(bmem_overhead_text(&o, NULL, 0), len);
	/* Nothing at all is no division by zero. */
	memset(&o, 0, sizeof(o));
	bmem_overhead_text(&o, text, sizeof(text));
	HAS(text, "memory: 0.00 %");
}

static void report_arguments(void **state)
{
	struct bmem_overhead o[2] = { { .sz = sizeof(o[0]) - 1 } };

	(void)state;
	EQ(bmem_overhead(c, o), -EINVAL);
	o[0].sz = sizeof(o);
	EQ(bmem_overhead(c, o), 0);
	EQ(o[0].sz, sizeof(o));
	o[1].sz = 1;
	EQ(bmem_overhead(c, o), -E2BIG);
	EQ(bmem_set_overhead(c, 0), -EINVAL);
	EQ(bmem_set_overhead(c, 1001), -EINVAL);
	EQ(bmem_set_overhead(c, 1000), 0);
	EQ(report().permille, 1000);
}

static int open_with_target(uint32_t permille, uint32_t *is)
{
	struct bmem_options o = {
		.sz = sizeof(o), .overhead_permille = permille,
	};
	struct bmem_overhead v = { .sz = sizeof(v) };
	struct bmem_client *other;
	int ret = bmem_open(&other, &o);

	if (ret)
		return ret;
	EQ(bmem_overhead(other, &v), 0);
	*is = v.permille;
	bmem_close(other);
	return 0;
}

static void target_of_options_and_environment(void **state)
{
	static const char * const bad[] = { "0", "-1", "x", "5x", "1001", " 5" };
	uint32_t is = 0;
	size_t i;

	(void)state;
	EQ(open_with_target(0, &is), 0);
	EQ(is, 20);
	EQ(open_with_target(5, &is), 0);
	EQ(is, 5);
	EQ(open_with_target(1001, &is), -EINVAL);
	setenv("BMEM_OVERHEAD", "7", 1);
	EQ(open_with_target(0, &is), 0);
	EQ(is, 7);
	EQ(open_with_target(5, &is), 0);
	EQ(is, 5);
	for (i = 0; i < COUNT(bad); i++) {
		setenv("BMEM_OVERHEAD", bad[i], 1);
		EQ(open_with_target(0, &is), -EINVAL);
	}
	setenv("BMEM_OVERHEAD", "", 1);
	EQ(open_with_target(0, &is), 0);
	EQ(is, 20);
	unsetenv("BMEM_OVERHEAD");
}

static const struct CMUnitTest tests[] = {
	TEST(draws_have_their_mean),
	TEST(intervals_adapt),
	TEST(busy_site_with_one_stack),
	TEST(site_with_new_stacks),
	TEST(large_ones_are_sampled_more),
	TEST(throttled),
	TEST(reduced),
	TEST(governor_keeps_the_target),
	TEST(governor_takes_no_more_than_it_must),
	TEST(governor_without_hope),
	TEST(governor_steps_in),
	TEST(governor_knows_before_the_end),
	TEST(governor_takes_no_accident_for_certain),
	TEST(report_is_measured),
	TEST(report_weighs_what_was_timed),
	TEST(report_without_batches),
	TEST(whole_stacks_are_measured),
	TEST(report_of_a_child),
	TEST(report_names_its_sources),
	TEST(report_arguments),
	TEST(target_of_options_and_environment),
};

TEST_MAIN(tests)
