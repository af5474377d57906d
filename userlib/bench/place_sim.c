// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What each placement policy, and the selector, makes of a recorded program:
 *
 *	zstd -dc NAME.trace.zst | place_sim [--small] [--loops N]
 *
 * Only places are given, no memory.  Blocks up to 32 KiB are left out, for
 * slabs serve them; with --small they take whole pages.  --loops plays the
 * trace so many times, freeing all between.
 *
 * Printed, by policy: held (chunks with a span, 2 MiB each) over live bytes,
 * at the peaks of both and on average over the events; steps (words and nodes
 * looked at) an operation, and of the dearest one; CPU time an operation, this
 * program's own work with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "selector.h"

#define PAGE_BYTES	4096u
#define CHUNK_BYTES	(PLACE_CHUNK_PAGES * (u64)PAGE_BYTES)
#define SMALL_BYTES	32768u
#define ARENA_CHUNKS	(1u << 16)
#define SHADOW_CHUNKS	256
#define SHADOW_ENTRIES	1024
#define SELECT		PLACE_POLICIES

struct event {
	u64 bytes;
	u32 id, align;
};

struct trace {
	struct event *events;
	size_t nr, room;
	u32 ids;
};

struct span {
	u64 bytes;
	u32 start, granted, tag;
};

struct run {
	struct place pl;
	struct selector sel;
	u32 policy;
	struct span *spans;
	u64 live, ops, steps, live_peak, held_peak;
	u32 steps_max;
	double live_sum, held_sum;
};

static const char * const policies[] = { "first", "best", "buddy", "selector" };
static const char * const whys[] = { "default", "waste", "cost", "pinned" };

static void die(const char *what)
{
	fprintf(stderr, "place_sim: %s\n", what);
	exit(1);
}

static void *table(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (!p)
		die("out of memory");
	return p;
}

/* False for a line that is no event. */
static bool parse(const char *line, struct event *ev)
{
	unsigned long long bytes;
	unsigned int id, align;

	*ev = (struct event){ 0 };
	if (sscanf(line, "a %u %llu %u", &id, &bytes, &align) == 3) {
		*ev = (struct event){ bytes, id, align };
		return bytes > 0;
	}
	return sscanf(line, "f %u", &ev->id) == 1;
}

static void read_trace(struct trace *t)
{
	char line[256];
	struct event ev;

	while (fgets(line, sizeof(line), stdin)) {
		if (!parse(line, &ev))
			continue;
		if (t->nr == t->room) {
			t->room = t->room ? 2 * t->room : 1 << 16;
			t->events = realloc(t->events,
					    t->room * sizeof(*t->events));
			if (!t->events)
				die("out of memory");
		}
		t->events[t->nr++] = ev;
		if (ev.id >= t->ids)
			t->ids = ev.id + 1;
	}
	if (!t->nr)
		die("no events on standard input");
}

static void run_init(struct run *r, u32 policy, u32 ids)
{
	u32 shadow = SHADOW_CHUNKS, entries = SHADOW_ENTRIES;

	memset(r, 0, sizeof(*r));
	r->policy = policy;
	r->spans = table(ids * sizeof(*r->spans));
	if (place_init(&r->pl, ARENA_CHUNKS) ||
	    selector_init(&r->sel, &r->pl,
			  table(selector_table_bytes(shadow, entries)),
			  shadow, entries, SELECTOR_EPOCH))
		die("bad constants");
	if (policy != SELECT)
		selector_pin(&r->sel, policy);
}

static void run_end(struct run *r)
{
	free(r->spans);
	free(r->sel.table);
	free(place_table(&r->pl));
}

static void account(struct run *r, u32 steps_before)
{
	u64 held = r->pl.chunks_used * CHUNK_BYTES;
	u32 steps = r->pl.steps - steps_before;

	r->ops++;
	r->steps += steps;
	if (steps > r->steps_max)
		r->steps_max = steps;
	if (r->live > r->live_peak)
		r->live_peak = r->live;
	if (held > r->held_peak)
		r->held_peak = held;
	r->live_sum += (double)r->live;
	r->held_sum += (double)held;
}

static void grow(struct place *pl)
{
	u32 chunks = pl->chunks ? 2 * pl->chunks : 1;

	free(place_grow(pl, table(place_table_bytes(chunks)), chunks));
}

static void run_alloc(struct run *r, const struct event *ev)
{
	u32 pages = (u32)((ev->bytes + PAGE_BYTES - 1) / PAGE_BYTES);
	u32 align = ev->align > PAGE_BYTES ? ev->align / PAGE_BYTES : 1;
	struct span *s = &r->spans[ev->id];
	enum place_policy policy = selector_pick(&r->sel, pages);
	u32 before = r->pl.steps;
	int ret;

	while ((ret = place_alloc_by(&r->pl, policy, pages, align, &s->start,
				     &s->granted)) == -EAGAIN)
		grow(&r->pl);
	if (ret)
		die("the trace does not fit the arena");
	s->tag = selector_alloc(&r->sel, r->ops, pages, align);
	s->bytes = ev->bytes;
	r->live += ev->bytes;
	account(r, before);
}

static void run_free(struct run *r, u32 id)
{
	struct span *s = &r->spans[id];
	u32 before = r->pl.steps;

	if (!s->bytes)
		return;
	place_free(&r->pl, s->start, s->granted);
	selector_free(&r->sel, r->ops, s->tag, s->start, s->granted);
	r->live -= s->bytes;
	s->bytes = 0;
	account(r, before);
}

static void play(struct run *r, const struct trace *t, u64 least)
{
	size_t i;
	u32 id;

	for (i = 0; i < t->nr; i++) {
		if (!t->events[i].bytes)
			run_free(r, t->events[i].id);
		else if (t->events[i].bytes > least)
			run_alloc(r, &t->events[i]);
	}
	for (id = 0; id < t->ids; id++)
		run_free(r, id);
}

static void print_ranges(const struct selector *sel)
{
	struct selector_report rep;
	u32 range, p;

	printf("  selector: %u epochs, %u told nothing\n", sel->epoch, sel->cut);
	for (range = 0; range < SELECTOR_RANGES; range++) {
		selector_report(sel, range, &rep);
		if (!rep.range.epochs)
			continue;
		printf("  %5u pages up: %-5s since op %llu (%s), %u switches, %u epochs;",
		       rep.pages_min, policies[rep.range.policy],
		       (unsigned long long)rep.range.since,
		       whys[rep.range.why], rep.range.switches,
		       rep.range.epochs);
		for (p = 0; p < PLACE_POLICIES; p++)
			printf(" %s %u.%u %%, %u.%02u steps%s", policies[p],
			       rep.range.last[p].waste / 10,
			       rep.range.last[p].waste % 10,
			       rep.range.last[p].cost / 100,
			       rep.range.last[p].cost % 100,
			       p + 1 < PLACE_POLICIES ? ";" : "\n");
	}
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void run_policy(const struct trace *t, u32 policy, u64 least, long loops)
{
	struct run r;
	double began;

	run_init(&r, policy, t->ids);
	began = cpu_ns();
	while (loops-- > 0)
		play(&r, t, least);
	if (r.ops)
		printf("%-9s %8llu %9.3f %9.3f %9.1f %9u %9.0f\n",
		       policies[policy], (unsigned long long)r.ops,
		       (double)r.held_peak / (double)r.live_peak,
		       r.held_sum / r.live_sum,
		       (double)r.steps / (double)r.ops, r.steps_max,
		       (cpu_ns() - began) / (double)r.ops);
	if (policy == SELECT)
		print_ranges(&r.sel);
	run_end(&r);
}

int main(int argc, char **argv)
{
	u64 least = SMALL_BYTES;
	struct trace t = { 0 };
	long loops = 1, i;
	u32 policy;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--small"))
			least = 0;
		else if (!strcmp(argv[i], "--loops") && i + 1 < argc)
			loops = strtol(argv[++i], NULL, 10);
		else
			die("usage: place_sim [--small] [--loops N] <TRACE");
	}
	read_trace(&t);
	printf("%-9s %8s %9s %9s %9s %9s %9s\n", "policy", "ops", "peak",
	       "mean", "steps/op", "most", "ns/op");
	for (policy = 0; policy <= SELECT; policy++)
		run_policy(&t, policy, least, loops);
	free(t.events);
	return 0;
}
