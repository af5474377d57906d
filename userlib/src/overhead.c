// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What tracking costs, and the governor that keeps it under its target.
 *
 * Threads measure for themselves and add up into the client's struct costs
 * every ten milliseconds, together with the CPU time that has passed; sooner
 * where it is too much for these already.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "site.h"

#define TARGET_DEFAULT	20
#define PERMILLE	1000
#define WINDOW_NS	(10 * 1000 * 1000)
/* So many allocations were timed before the end of a window is not waited for. */
#define CERTAIN_TIMED	4
/* A source that takes more than this share of a whole is named. */
#define SOURCE_PERMILLE	20

#define THROTTLE_MAX	20
#define PATIENCE_MIN	8
#define PATIENCE_MAX	1024

#define GAPS_MAX	64
/*
 * A look or a store does not take so long: the thread was interrupted.  Scaled
 * up by two thousand, an interrupt would be more than all else.
 */
#define INTERRUPTED_NS	20000
#define LOOK_NS		4000
#define STORE_NS	500

static uint64_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The median of @nr gaps between @nr + 1 readings of the clock. */
static int64_t median(const uint64_t *at, uint32_t nr)
{
	int64_t gaps[GAPS_MAX];
	uint32_t i;

	for (i = 0; i < nr; i++)
		gaps[i] = (int64_t)(at[i + 1] - at[i]);
	qsort(gaps, nr, sizeof(gaps[0]), by_value);
	return gaps[nr / 2];
}

/* What two readings of the clock are apart with nothing in between. */
static int64_t timer_measure(void)
{
	uint64_t at[GAPS_MAX + 1];
	uint32_t i;

	for (i = 0; i <= GAPS_MAX; i++)
		at[i] = meter_now();
	return median(at, GAPS_MAX);
}

static int64_t timer_ns(void)
{
	static _Atomic int64_t known;
	int64_t ns = atomic_load_explicit(&known, memory_order_relaxed);

	if (!ns) {
		ns = timer_measure() + 1;
		atomic_store_explicit(&known, ns, memory_order_relaxed);
	}
	return ns - 1;
}

/* One of the two readings lies between them, the other one outside. */
static int64_t account(struct meter *m, uint64_t from)
{
	int64_t timer = timer_ns();
	int64_t ns = (int64_t)(meter_now() - from) - timer;

	m->ns[BMEM_OVERHEAD_TIMING] += 2 * timer;
	m->inner_ns += ns + 2 * timer;
	return ns;
}

/**
 * meter_start() - the next allocation is timed
 * @costs: the client's
 * @m: the thread's
 * @next: how many allocations go by until the one after it
 */
void meter_start(struct costs *costs, struct meter *m, uint32_t next)
{
	if (!m->every)
		atomic_fetch_add(&costs->caches, 1);
	m->every = m->next + m->over + 1;
	m->over = 0;
	m->quick = m->passed;
	m->passed = 0;
	m->next = next;
	m->left = next;
	m->allocs += m->every;
	m->inner_ns = 0;
	m->timing = true;
}

/**
 * meter_whole() - note what is timed whenever it happens
 * @m: the thread's
 * @source: enum bmem_overhead_source
 * @from: meter_now() before it
 */
void meter_whole(struct meter *m, uint32_t source, uint64_t from)
{
	m->ns[source] += account(m, from);
}

/**
 * meter_scaled() - note what is timed only in an allocation that is timed
 * @m: the thread's
 * @source: enum bmem_overhead_source
 * @from: meter_now() before it, and after meter_start()
 *
 * What meter_whole() noted meanwhile is no part of it.  All but records stands
 * for those that did not go the short way only.
 */
void meter_scaled(struct meter *m, uint32_t source, uint64_t from)
{
	int64_t inner = source == BMEM_OVERHEAD_RECORD ? 0 : m->inner_ns;
	int64_t ns = account(m, from) - inner;
	bool store = source == BMEM_OVERHEAD_RECORD;
	uint32_t scale = store ? m->every : m->every - m->quick;

	m->ns[source] += ns < (store ? STORE_NS : LOOK_NS) ?
			 ns * scale : ns;
}

/**
 * meter_add() - the same for what was timed by others
 * @m: the thread's
 * @source: enum bmem_overhead_source
 * @ns: how long it took, without the timer
 * @times: how often it was done in this time
 * @scale: how many that is for
 */
void meter_add(struct meter *m, uint32_t source, int64_t ns, uint32_t times,
	       uint32_t scale)
{
	m->ns[source] += ns * scale / times;
}

/**
 * meter_median() - what something took that was done several times
 * @at: readings of meter_now() before each time, and after the last
 * @nr: how often, 1 to 64
 *
 * Return: the median, without the timer.
 */
int64_t meter_median(const uint64_t *at, uint32_t nr)
{
	return median(at, nr) - timer_ns();
}

/**
 * meter_timing() - note what was done for the sake of timing only
 * @m: the thread's
 * @from: meter_now() before it
 */
void meter_timing(struct meter *m, uint64_t from)
{
	int64_t ns = (int64_t)(meter_now() - from);

	if (ns < INTERRUPTED_NS)
		m->ns[BMEM_OVERHEAD_TIMING] += ns;
}

/**
 * meter_done() - the allocation that was timed has ended well
 * @m: the thread's
 */
void meter_done(struct meter *m)
{
	int64_t ns = (int64_t)(meter_now() - m->from) - timer_ns();

	if (!m->timing)
		return;
	m->ns[BMEM_OVERHEAD_TIMING] += 2 * timer_ns();
	m->timed++;
	/* A thread's first, which has everything made, stands for itself alone. */
	m->timed_for += m->every;
	m->timed_ns += (ns - m->inner_ns) * m->every;
	m->timing = false;
}

/**
 * governor_step() - look at a window, and take back or allow
 * @g: governor
 * @s: what went by
 *
 * Where the target is missed, the interval of samples doubles; where walking
 * stacks is most of what tracking takes, that is what ends.  Whole stacks are
 * tried again later, and later still when that fails.
 */
void governor_step(struct governor *g, const struct share *s)
{
	int64_t target = s->cpu_ns * atomic_load(&g->permille) / PERMILLE;
	uint32_t throttle = atomic_load(&g->throttle);
	uint32_t patience = atomic_load(&g->patience);
	bool reduced = atomic_load(&g->reduced);

	if (s->track_ns > target) {
		if (!reduced && s->walk_ns > s->track_ns / 2) {
			patience = patience < PATIENCE_MIN ? PATIENCE_MIN :
				   patience < PATIENCE_MAX / 2 ? 2 * patience :
				   PATIENCE_MAX;
			atomic_store(&g->patience, patience);
			atomic_store(&g->wait, patience);
			atomic_store(&g->reduced, true);
		} else if (throttle < THROTTLE_MAX) {
			atomic_store(&g->throttle, throttle + 1);
		}
		return;
	}
	if (s->track_ns < target / 2 && throttle)
		atomic_store(&g->throttle, throttle - 1);
	if (!reduced)
		atomic_store(&g->patience, patience ? patience - 1 : 0);
	else if (atomic_fetch_sub(&g->wait, 1) <= 1)
		atomic_store(&g->reduced, false);
}

/*
 * Whatever the rest of the window brings, whole stacks take too much.  Only
 * these do not wait for its end: they are tried again soon, where samples that
 * were made rare come back one window at a time.  One that was dear, scaled up
 * by two thousand, is not enough to go by.
 */
static bool certain(const struct governor *g, const struct share *s)
{
	int64_t most = WINDOW_NS / PERMILLE * (int64_t)atomic_load(&g->permille);

	return s->timed >= CERTAIN_TIMED && s->track_ns > most &&
	       s->walk_ns > s->track_ns / 2 && !atomic_load(&g->reduced);
}

/* The thread whose window fills up the client's has the governor look at it. */
static void governor_add(struct costs *costs, const struct share *s)
{
	struct share sum;

	sum.track_ns = atomic_fetch_add(&costs->window[0], s->track_ns) + s->track_ns;
	sum.walk_ns = atomic_fetch_add(&costs->window[1], s->walk_ns) + s->walk_ns;
	sum.cpu_ns = atomic_fetch_add(&costs->window[2], s->cpu_ns) + s->cpu_ns;
	sum.timed = atomic_fetch_add(&costs->window[3], s->timed) + s->timed;
	if (sum.cpu_ns < WINDOW_NS && !certain(&costs->governor, &sum))
		return;
	sum.cpu_ns = atomic_exchange(&costs->window[2], 0);
	sum.track_ns = atomic_exchange(&costs->window[0], 0);
	sum.walk_ns = atomic_exchange(&costs->window[1], 0);
	sum.timed = atomic_exchange(&costs->window[3], 0);
	if (sum.cpu_ns)
		governor_step(&costs->governor, &sum);
}

static int64_t track_ns(const struct meter *m)
{
	int64_t sum = 0;
	int i;

	for (i = 0; i < OVERHEAD_TIMES; i++)
		sum += m->ns[i];
	return sum;
}

/* What a thread has measured, but for the CPU time that it is a part of. */
static struct share measured(const struct meter *m)
{
	return (struct share) {
		.track_ns = track_ns(m),
		.walk_ns = m->ns[BMEM_OVERHEAD_WALK],
		.timed = (int64_t)m->timed,
	};
}

/**
 * meter_flush() - add what a thread has measured to its client's costs
 * @costs: the client's
 * @m: the thread's
 */
void meter_flush(struct costs *costs, struct meter *m)
{
	struct share s = measured(m);
	uint64_t cpu = cpu_now();
	int i;

	if (!m->window)
		return;
	/* The thread of a child begins with none. */
	if (cpu < m->cpu)
		m->cpu = cpu;
	for (i = 0; i < OVERHEAD_TIMES; i++) {
		atomic_fetch_add(&costs->ns[i], m->ns[i]);
		m->ns[i] = 0;
	}
	s.cpu_ns = (int64_t)(cpu - m->cpu);
	atomic_fetch_add(&costs->cpu_ns, cpu - m->cpu);
	atomic_fetch_add(&costs->allocs, m->allocs);
	atomic_fetch_add(&costs->timed, m->timed);
	atomic_fetch_add(&costs->timed_for, m->timed_for);
	atomic_fetch_add(&costs->timed_ns, m->timed_ns);
	m->allocs = 0;
	m->timed = 0;
	m->timed_for = 0;
	m->timed_ns = 0;
	m->cpu = cpu;
	m->window = meter_now();
	governor_add(costs, &s);
}

static bool too_much(const struct costs *costs, const struct meter *m)
{
	struct share s = measured(m);

	return certain(&costs->governor, &s);
}

/**
 * meter_window() - flush when it is time to
 * @costs: the client's
 * @m: the thread's
 */
void meter_window(struct costs *costs, struct meter *m)
{
	if (!m->window) {
		m->cpu = cpu_now();
		m->window = meter_now();
	} else if (meter_now() - m->window >= WINDOW_NS || too_much(costs, m)) {
		meter_flush(costs, m);
	}
}

static int env_target(uint32_t *permille)
{
	const char *env = secure_getenv("BMEM_OVERHEAD");
	unsigned long n;
	char *end;

	if (!env || !*env)
		return 0;
	n = strtoul(env, &end, 10);
	if (*end || *env < '0' || *env > '9' || !n || n > PERMILLE)
		return -EINVAL;
	*permille = (uint32_t)n;
	return 0;
}

/**
 * costs_init() - set the target that a client begins with
 * @costs: the client's, all zero
 * @o: options
 *
 * Return: 0, or -EINVAL for a target that makes no sense.
 */
int costs_init(struct costs *costs, const struct bmem_options *o)
{
	uint32_t permille = o->overhead_permille;
	int ret;

	if (!permille) {
		permille = TARGET_DEFAULT;
		ret = env_target(&permille);
		if (ret)
			return ret;
	}
	if (permille > PERMILLE)
		return -EINVAL;
	atomic_store(&costs->governor.permille, permille);
	return 0;
}

int bmem_set_overhead(struct bmem_client *c, unsigned int permille)
{
	if (!permille || permille > PERMILLE)
		return -EINVAL;
	atomic_store(&c->sites.costs.governor.permille, permille);
	return 0;
}

/* Bytes of the tables that are there: they are mapped whole, used in part. */
static int64_t resident(const struct sites *s)
{
	uintptr_t from = (uintptr_t)s & ~(BMEM_PAGE_SIZE - 1UL);
	size_t pages, i;
	unsigned char here[sizeof(*s) / BMEM_PAGE_SIZE + 2];
	int64_t bytes = 0;

	pages = ((uintptr_t)(s + 1) - from + BMEM_PAGE_SIZE - 1) >> PAGE_SHIFT;
	if (mincore((void *)from, pages << PAGE_SHIFT, here))
		return -errno;
	for (i = 0; i < pages; i++)
		bytes += here[i] & 1 ? BMEM_PAGE_SIZE : 0;
	return bytes;
}

static int fill_memory(struct bmem_client *c, struct bmem_overhead *o)
{
	struct bmem_client_stats st = {
		.size = sizeof(st),
		.flags = BMEM_STATS_LEDGER,
	};
	int64_t tables = resident(&c->sites);
	int ret, i;

	if (tables < 0)
		return (int)tables;
	ret = bmem_stats(c, &st);
	if (ret == -EOPNOTSUPP) {
		st.flags = 0;
		ret = bmem_stats(c, &st);
	}
	if (ret)
		return ret;
	o->data_bytes = st.live_bytes;
	o->source[BMEM_OVERHEAD_LEDGER] = st.ledger_bytes;
	o->source[BMEM_OVERHEAD_SPAN_MAP] = st.span_map_bytes;
	o->source[BMEM_OVERHEAD_REGISTRY] =
		st.meta_bytes - st.ledger_bytes - st.span_map_bytes;
	o->source[BMEM_OVERHEAD_SITE_TABLES] = (uint64_t)tables +
		atomic_load(&c->sites.costs.caches) * sizeof(struct site_cache);
	for (i = OVERHEAD_TIMES; i < BMEM_OVERHEAD_SOURCES; i++)
		o->meta_bytes += o->source[i];
	return 0;
}

static uint64_t not_negative(int64_t n)
{
	return n < 0 ? 0 : (uint64_t)n;
}

static void fill_time(struct costs *costs, struct bmem_overhead *o)
{
	uint64_t timed = atomic_load(&costs->timed_for);
	int64_t sum = 0, ns;
	int i;

	for (i = 0; i < OVERHEAD_TIMES; i++) {
		ns = atomic_load(&costs->ns[i]);
		sum += ns;
		o->source[i] = not_negative(ns);
	}
	o->track_ns = not_negative(sum);
	o->cpu_ns = atomic_load(&costs->cpu_ns);
	o->allocs = atomic_load(&costs->allocs);
	o->samples = atomic_load(&costs->samples);
	ns = atomic_load(&costs->timed_ns);
	if (!timed || ns <= 0)
		return;
	o->untracked_ns = (uint64_t)((double)ns / (double)timed *
				     (double)o->allocs);
	o->tracked_ns = o->untracked_ns + o->track_ns;
}

static uint64_t source_whole(const struct bmem_overhead *o, int source)
{
	return source < OVERHEAD_TIMES ? o->cpu_ns : o->data_bytes;
}

int bmem_overhead(struct bmem_client *c, struct bmem_overhead *to)
{
	struct governor *g = &c->sites.costs.governor;
	struct bmem_overhead o;
	int ret, i;

	ret = sized_in(&o, sizeof(o), to, to->sz, sizeof(o));
	if (ret)
		return ret;
	o = (struct bmem_overhead) { .sz = to->sz };
	ret = fill_memory(c, &o);
	if (ret)
		return ret;
	fill_time(&c->sites.costs, &o);
	for (i = 0; i < BMEM_OVERHEAD_SOURCES; i++)
		if (o.source[i] > source_whole(&o, i) / PERMILLE *
				  SOURCE_PERMILLE)
			o.above |= 1U << i;
	o.permille = atomic_load(&g->permille);
	o.throttle = atomic_load(&g->throttle);
	o.reduced = atomic_load(&g->reduced);
	*to = o;
	return 0;
}

struct text {
	char *at;
	size_t room;
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void put(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at, t->room, format, args);
	va_end(args);
	if (n < 0)
		return;
	t->len += (size_t)n;
	if ((size_t)n >= t->room) {
		t->room = 0;
		t->at = NULL;
		return;
	}
	t->at += n;
	t->room -= (size_t)n;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

size_t bmem_overhead_text(const struct bmem_overhead *o, char *text, size_t len)
{
	static const char * const names[BMEM_OVERHEAD_SOURCES] = {
		[BMEM_OVERHEAD_RECORD] = "record store",
		[BMEM_OVERHEAD_LOOKUP] = "site lookup",
		[BMEM_OVERHEAD_WALK] = "stack walk",
		[BMEM_OVERHEAD_UNWIND] = "unwinding",
		[BMEM_OVERHEAD_REGISTER] = "site registration",
		[BMEM_OVERHEAD_TIMING] = "timing",
		[BMEM_OVERHEAD_LEDGER] = "ledger memory",
		[BMEM_OVERHEAD_SPAN_MAP] = "span map",
		[BMEM_OVERHEAD_REGISTRY] = "registry",
		[BMEM_OVERHEAD_SITE_TABLES] = "site tables",
	};
	struct text t = { text, len, 0 };
	int i;

	put(&t, "memory: %.2f %% (%llu of metadata for %llu bytes)\n",
	    percent(o->meta_bytes, o->data_bytes),
	    (unsigned long long)o->meta_bytes,
	    (unsigned long long)o->data_bytes);
	put(&t, "cpu: %.2f %% (%llu of %llu ns, target %.1f %%)\n",
	    percent(o->track_ns, o->cpu_ns), (unsigned long long)o->track_ns,
	    (unsigned long long)o->cpu_ns, o->permille / 10.0);
	put(&t, "allocation: %.2f %% more (%.1f of %.1f ns)\n",
	    percent(o->tracked_ns - o->untracked_ns, o->untracked_ns),
	    o->allocs ? (double)o->tracked_ns / (double)o->allocs : 0,
	    o->allocs ? (double)o->untracked_ns / (double)o->allocs : 0);
	for (i = 0; i < BMEM_OVERHEAD_SOURCES; i++)
		if (o->above & 1U << i)
			put(&t, "above 2 %%: %s, %.2f %% of %s\n", names[i],
			    percent(o->source[i], source_whole(o, i)),
			    i < OVERHEAD_TIMES ? "cpu" : "data");
	if (o->throttle)
		put(&t, "reduced: stacks are sampled at 1 in %u of their rate\n",
		    1U << o->throttle);
	if (o->reduced)
		put(&t, "reduced: sites below 1 MiB are return addresses\n");
	return t.len;
}
