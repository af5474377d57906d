// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Trends (module/trend.c) by themselves: series of which the answer is known,
 * and the recorded programs by call site.
 */
#include "../../selftests/trace.h"
#include "tests/trend_series.h"
#include "test.h"

static const char *const names[TREND_CLASSES] = {
	"unknown", "steady", "plateau", "saw-tooth", "linear", "accelerating",
};

static void known_series(void **state)
{
	struct trend_verdict v;
	const struct series *s;
	struct trend t;
	char text[96];
	uint64_t seed;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(trend_series); i++) {
		s = &trend_series[i];
		for (seed = 1; seed <= 50; seed++) {
			snprintf(text, sizeof(text), "%s, %u samples, seed %d",
				 s->name, s->samples, (int)seed);
			test_eq(series_play(s, seed, &t, &v), 0, text,
				__FILE__, __LINE__);
			test_str(names[v.class], names[s->class], text,
				 __FILE__, __LINE__);
		}
	}
}

/* ---- recorded programs ------------------------------------------------------------ */

/* A power of two above the number of sites of any of them. */
#define SITES	16384

/* Ticks of growth that it takes at least, as in the module. */
#define LEAST	6000

struct live {
	uint32_t site;
	bool used, told;
	uint64_t bytes;
	struct trend t;
};

static struct live *site_of(struct live *sites, uint32_t id)
{
	uint32_t i = id * 2654435761U % SITES;

	while (sites[i].used && sites[i].site != id)
		i = (i + 1) % SITES;
	sites[i].used = true;
	sites[i].site = id;
	return &sites[i];
}

/* Takes a sample of all sites; returns how many are told of for the first time. */
static unsigned int look(struct live *sites, uint32_t now)
{
	unsigned int i, told = 0;
	struct live *s;

	for (i = 0; i < SITES; i++) {
		s = &sites[i];
		if (!s->used)
			continue;
		trend_add(&s->t, (uint32_t)((s->bytes + 1023) / 1024), now, 100);
		if (trend_watch(&s->t, now, LEAST) && !s->told) {
			s->told = true;
			told++;
			print_message("site %08x: %llu bytes at %u\n", s->site,
				      (unsigned long long)s->bytes, now);
		}
	}
	return told;
}

/* With a sample after each so many events. */
static unsigned int replay(const struct trace *tr, size_t every)
{
	struct live *sites = calloc(SITES, sizeof(*sites)), *s;
	uint64_t *size = calloc(tr->ids, sizeof(*size));
	uint32_t *where = calloc(tr->ids, sizeof(*where)), now = 0;
	unsigned int told = 0;
	size_t i;

	for (i = 0; i < tr->nr; i++) {
		const struct trace_event *e = &tr->events[i];

		if (e->bytes) {
			size[e->id] = e->bytes;
			where[e->id] = e->site;
		}
		s = site_of(sites, where[e->id]);
		s->bytes += e->bytes ? e->bytes : -size[e->id];
		if (i % every == every - 1)
			told += look(sites, now += 100);
	}
	free(sites);
	free(size);
	free(where);
	return told;
}

static void recorded_programs(void **state)
{
	static const char *const traces[] = {
		"cnn-heap", "cnn-tensor", "kv-heap", "kv-tensor", "numpy-heap",
	};
	/* As if they had run for half a minute, for five, for an hour. */
	static const unsigned int samples[] = { 30, 300, 3600 };
	size_t i, k, kinds = test_under("valgrind") ? 1 : COUNT(samples);
	char path[256], text[64];
	struct trace tr;

	(void)state;
	for (i = 0; i < COUNT(traces); i++) {
		snprintf(path, sizeof(path), TRACES "/%s.trace.zst", traces[i]);
		EQ(trace_load(&tr, path), 0);
		for (k = 0; k < kinds; k++) {
			snprintf(text, sizeof(text), "%s in %u samples",
				 traces[i], samples[k]);
			test_eq(replay(&tr, tr.nr / samples[k]), 0, text,
				__FILE__, __LINE__);
		}
		trace_unload(&tr);
	}
}

/* ---- corners --------------------------------------------------------------------- */

static void check_shape(const struct trend *t)
{
	unsigned int i;

	IS(t->nr <= TREND_SPANS);
	for (i = 0; i + 1 < t->nr; i++) {
		IS(t->weight[i] >= t->weight[i + 1]);
		IS(t->ticks[i]);
	}
}

/* Spans cover a life without gaps, however long it is, and the period doubles. */
static void long_life(void **state)
{
	uint32_t steps = test_under("valgrind") ? 1 << 16 : 1 << 25;
	uint32_t i, least, most, now = 0;
	struct trend_verdict v;
	struct trend t = { 0 };
	uint64_t seed = 1;

	(void)state;
	for (i = 0; i < steps; i++, now += 50) {
		trend_add(&t, 1000 + series_random(&seed), now, 50);
		if (!(i & (i - 1)) || i % 1000003 == 0)
			check_shape(&t);
	}
	check_shape(&t);
	EQ(t.base > 0, steps == 1 << 25);
	trend_judge(&t, now, &v);
	EQ(v.class, TREND_SAW_TOOTH);
	trend_range(&t, now, &least, &most);
	IS(least < 1010 && most > 2000);
}

/* A clock that stands, jumps and goes back spoils the verdict and nothing else. */
static void strange_clocks(void **state)
{
	struct trend_verdict v;
	struct trend t = { 0 };
	uint64_t seed = 7;
	uint32_t steps = test_number("BMEM_TEST_STEPS", 1000000);
	uint32_t i, now = 0;

	(void)state;
	trend_judge(&t, 0, &v);
	EQ(v.class, TREND_UNKNOWN);
	EQ(v.confidence, 500);
	IS(!trend_may_grow(&t));
	for (i = 0; i < steps; i++) {
		trend_add(&t, series_random(&seed) << i % 23, now,
			  i % 5 ? 100 : 0);
		trend_watch(&t, now - i % 3, 0);
		trend_judge(&t, now, &v);
		IS(v.class < TREND_CLASSES && v.confidence <= 1000);
		now += series_random(&seed) << (i % 1000 ? 0 : 22);
		now -= i % 7 ? 0 : 2000;
	}
	IS(t.nr <= TREND_SPANS);
}

/* What is said of the slope and the beginning, and when it is told. */
static void figures(void **state)
{
	uint32_t i, now = 0, told = 0;
	struct trend_verdict v;
	struct trend t = { 0 };

	(void)state;
	/* A hundred a sample, of a hundred ticks, from the 5000th on. */
	for (i = 0; i < 6000; i++, now += 100) {
		trend_add(&t, 10000 + (i > 5000 ? (i - 5000) * 100 : 0), now,
			  100);
		if (trend_watch(&t, now, 6000) && !told)
			told = i;
	}
	trend_judge(&t, now, &v);
	EQ(v.class, TREND_LINEAR);
	EQ(v.slope, 1000);
	IS(v.since > 480000 && v.since < 515000);
	IS(v.confidence > 990);
	IS(v.rise > 80000);
	IS(told >= 5060 && told < 5150);
}

static const struct CMUnitTest tests[] = {
	TEST(known_series),
	TEST(recorded_programs),
	TEST(long_life),
	TEST(strange_clocks),
	TEST(figures),
};

TEST_MAIN(tests)
