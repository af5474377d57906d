// SPDX-License-Identifier: GPL-2.0-only
/*
 * replay: what a recorded program's allocations and frees cost, and how much
 * memory they hold.
 *
 * usage: replay NAME cost|touched|held|where TRACE
 *
 * cost prints "replay/TRACE/first/NAME VALUE ns" and .../again/...: CPU time an
 * event, the loop's own included (NAME loop is that alone), the first time in a
 * fresh process and the second.  Blocks are not touched.  For libbmem also
 * chunks/TRACE/...: how many times 2 MiB were asked for meanwhile.
 *
 * touched is the same with one byte written in each page of a block, as
 * touched/TRACE/...: there the others pay for their memory as well.
 *
 * held prints "held/TRACE/peak/NAME VALUE ratio" and .../mean/...: most held
 * over most live bytes, and the sum of held over the sum of live bytes.  Held
 * is, for libbmem, what it says that it has attached, all in huge pages; for
 * the others, by how much the process has grown, when one byte is written in
 * each page.  For libbmem also .../meta/..., bookkeeping over live bytes in
 * percent.
 *
 * where says what libbmem holds it for: a table, in percent of live bytes, in the
 * mean and at the first moment when most is held, and how often chunks came
 * and went.  The columns add up to held/live.
 *
 * Every call site of the trace is one of 256 in this program, below
 * a stack of some depth.  One thread plays all threads' events in their order.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../selftests/trace.h"
#include "source.h"

#define PAGE		4096
/* Events from one look at what is held to the next. */
#define LOOK_BMEM	16
#define LOOK_RSS	256
#define DEPTH		12

typedef void *(*allocate_fn)(struct bmem_client *client, size_t size,
			     size_t align);

static char nowhere[64];

static void *pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("replay: mmap");
	return p;
}

/* What the trace asks for beyond malloc()'s 16 bytes it has to get. */
static ALWAYS_INLINE void *allocate(enum source s, struct bmem_client *client,
				    size_t size, size_t align)
{
	void *p;

	if (s == NOTHING)
		return nowhere;
	if (s == BMEM)
		return bmem_alloc(client, size, align, 0, NULL);
	if (align <= 16)
		return malloc(size);
	return posix_memalign(&p, align, size) ? NULL : p;
}

#define SOURCE NOTHING
#include "sites.h"
#define SOURCE MALLOC
#include "sites.h"
#define SOURCE BMEM
#include "sites.h"

/**
 * struct replay - a trace and its blocks
 * @trace: what is played; it and its events are no allocator's
 * @source: where blocks come from
 * @touch: blocks are written to
 * @sites: the places that allocate
 * @client: of libbmem
 * @blocks: where the trace's blocks are
 * @statm: /proc/self/statm
 * @rss0: size of the process before the first event
 */
struct replay {
	struct trace *trace;
	enum source source;
	bool touch;
	const allocate_fn *sites;
	struct bmem_client *client;
	void **blocks;
	int statm;
	uint64_t rss0;
};

/* ---- cost ------------------------------------------------------------------ */

static void touch(char *p, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		*(volatile char *)(p + at) = 1;
	*(volatile char *)(p + bytes - 1) = 1;
}

static inline void release(struct replay *r, void *p)
{
	if (r->source == BMEM)
		bmem_free(r->client, p);
	else if (r->source == MALLOC)
		free(p);
}

static inline void *acquire(struct replay *r, const struct trace_event *ev)
{
	size_t align = ev->align < BMEM_ALIGN_MIN && r->source == BMEM ?
		       0 : ev->align;
	void *p = r->sites[ev->site & 255](r->client, ev->bytes, align);

	if (!p)
		die("replay: out of memory");
	return p;
}

static __attribute__((noinline)) double play(struct replay *r)
{
	const struct trace_event *ev = r->trace->events;
	const struct trace_event *end = ev + r->trace->nr;
	double start = cpu_ns();

	for (; ev < end; ev++) {
		if (ev->bytes) {
			r->blocks[ev->id] = acquire(r, ev);
			if (r->touch)
				touch(r->blocks[ev->id], ev->bytes);
		} else {
			release(r, r->blocks[ev->id]);
			r->blocks[ev->id] = NULL;
		}
	}
	return (cpu_ns() - start) / (double)r->trace->nr;
}

static __attribute__((noinline)) double play_below(struct replay *r, int depth)
{
	double ns = depth ? play_below(r, depth - 1) : play(r);

	__asm__ volatile("" : "+x"(ns));
	return ns;
}

static void drain(struct replay *r)
{
	size_t i;

	for (i = 0; i < r->trace->ids; i++) {
		if (r->blocks[i])
			release(r, r->blocks[i]);
		r->blocks[i] = NULL;
	}
}

/* Chunks that libbmem got so far. */
static uint64_t chunks(struct replay *r)
{
	struct bmem_pool_stats pool = { .size = sizeof(pool) };

	if (r->source != BMEM)
		return 0;
	if (bmem_pool_stats(r->client, &pool))
		die("replay: bmem_pool_stats");
	return pool.huge_taken + pool.fallbacks;
}

static void cost_of(struct replay *r, const char *pass, const char *name)
{
	uint64_t before = chunks(r);

	printf("%s/%s/%s/%s %.3f ns\n", r->touch ? "touched" : "replay",
	       r->trace->name, pass, name, play_below(r, DEPTH));
	if (r->source == BMEM && !r->touch)
		printf("chunks/%s/%s/%s %llu chunks\n", r->trace->name, pass,
		       name, (unsigned long long)(chunks(r) - before));
	drain(r);
}

static void cost(struct replay *r, const char *name)
{
	cost_of(r, "first", name);
	cost_of(r, "again", name);
}

/* ---- held ------------------------------------------------------------------ */

/**
 * struct sums - what is held, as looked at now and then
 * @live: bytes of live blocks now
 * @live_peak: largest @live
 * @held_peak: most bytes held
 * @meta_peak: most bytes of bookkeeping
 * @live_sum: sum of @live
 * @held_sum: sum of bytes held
 * @meta_sum: sum of bytes of bookkeeping
 */
struct sums {
	uint64_t live;
	uint64_t live_peak;
	uint64_t held_peak;
	uint64_t meta_peak;
	double live_sum;
	double held_sum;
	double meta_sum;
};

static uint64_t resident(struct replay *r)
{
	unsigned long size, rss;
	char text[64];
	ssize_t n = pread(r->statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		die("replay: statm");
	text[n] = 0;
	sscanf(text, "%lu %lu", &size, &rss);
	return (uint64_t)rss * PAGE;
}

static void look_bmem(struct replay *r, struct sums *s)
{
	struct bmem_client_stats st = { .size = sizeof(st) };

	if (bmem_stats(r->client, &st))
		die("replay: bmem_stats");
	s->held_peak = st.peak_attached_bytes;
	if (st.meta_bytes > s->meta_peak)
		s->meta_peak = st.meta_bytes;
	s->held_sum += (double)st.attached_bytes;
	s->meta_sum += (double)st.meta_bytes;
	s->live_sum += (double)s->live;
}

static void look_rss(struct replay *r, struct sums *s)
{
	uint64_t held = resident(r);

	held = held > r->rss0 ? held - r->rss0 : 0;
	if (held > s->held_peak)
		s->held_peak = held;
	s->held_sum += (double)held;
	s->live_sum += (double)s->live;
}

static void play_held(struct replay *r, struct sums *s)
{
	const struct trace_event *ev = r->trace->events;
	size_t *bytes = pages(r->trace->ids * sizeof(*bytes)), i;

	r->rss0 = resident(r);
	for (i = 0; i < r->trace->nr; i++, ev++) {
		if (ev->bytes) {
			bytes[ev->id] = ev->bytes;
			s->live += ev->bytes;
			r->blocks[ev->id] = acquire(r, ev);
			if (r->source == MALLOC)
				touch(r->blocks[ev->id], ev->bytes);
		} else {
			s->live -= bytes[ev->id];
			release(r, r->blocks[ev->id]);
			r->blocks[ev->id] = NULL;
		}
		if (s->live > s->live_peak)
			s->live_peak = s->live;
		if (r->source == BMEM && i % LOOK_BMEM == 0)
			look_bmem(r, s);
		else if (r->source == MALLOC && i % LOOK_RSS == 0)
			look_rss(r, s);
	}
}

/* ---- where ------------------------------------------------------------------ */

enum part {
	LIVE, ROUNDING, IDLE_SLOTS, IDLE_BLOCKS, SPAN_GAPS, PAGE_GAPS, CACHED,
	PARTS
};

static const char *const part_names[PARTS] = {
	[LIVE] = "live: what the program has",
	[ROUNDING] = "rounding to slots and pages",
	[IDLE_SLOTS] = "slots in magazines and the depot",
	[IDLE_BLOCKS] = "blocks in stashes",
	[SPAN_GAPS] = "slots in their spans, and what is lost there",
	[PAGE_GAPS] = "free pages of chunks in use",
	[CACHED] = "chunks not in use",
};

/**
 * struct shares - what is held, by what for
 * @sum: of every look
 * @peak: of the one with most
 * @held: at that one
 * @small: bytes of live slots
 * @large: bytes of live blocks
 * @live: bytes that were asked for
 */
struct shares {
	double sum[PARTS];
	uint64_t peak[PARTS];
	uint64_t held;
	uint64_t small;
	uint64_t large;
	uint64_t live;
};

/* The two kinds are told apart by where sizes of slots end. */
static void share_count(struct shares *s, size_t bytes, size_t usable, int sign)
{
	s->live += sign * (int64_t)bytes;
	*(usable <= BMEM_SLOT_MAX ? &s->small : &s->large) +=
		sign * (int64_t)usable;
}

static void look_where(struct replay *r, struct shares *s)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	uint64_t blocks, now[PARTS];
	int i;

	if (bmem_stats(r->client, &st))
		die("replay: bmem_stats");
	blocks = st.granted_bytes - st.slot_bytes;
	now[LIVE] = s->live;
	now[ROUNDING] = s->small + s->large - s->live;
	now[IDLE_SLOTS] = st.slot_bytes - s->small;
	now[IDLE_BLOCKS] = blocks - s->large;
	now[SPAN_GAPS] = st.span_bytes - st.slot_bytes;
	now[CACHED] = st.cached_bytes;
	now[PAGE_GAPS] = st.attached_bytes - st.cached_bytes - st.span_bytes -
			 blocks;
	for (i = 0; i < PARTS; i++)
		s->sum[i] += (double)now[i];
	if (st.attached_bytes <= s->held)
		return;
	s->held = st.attached_bytes;
	memcpy(s->peak, now, sizeof(now));
}

static void play_where(struct replay *r, struct shares *s, uint64_t *live_peak)
{
	size_t *bytes = pages(r->trace->ids * 2 * sizeof(*bytes)), i;
	const struct trace_event *ev = r->trace->events;
	size_t *usable = bytes + r->trace->ids;

	for (i = 0; i < r->trace->nr; i++, ev++) {
		if (ev->bytes) {
			r->blocks[ev->id] = acquire(r, ev);
			bytes[ev->id] = ev->bytes;
			usable[ev->id] = bmem_usable_size(r->client,
							  r->blocks[ev->id]);
			share_count(s, bytes[ev->id], usable[ev->id], 1);
		} else {
			release(r, r->blocks[ev->id]);
			r->blocks[ev->id] = NULL;
			share_count(s, bytes[ev->id], usable[ev->id], -1);
		}
		if (s->live > *live_peak)
			*live_peak = s->live;
		if (i % LOOK_BMEM == 0)
			look_where(r, s);
	}
}

static void where(struct replay *r, const char *name)
{
	uint64_t live_peak = 0, came = chunks(r);
	struct bmem_client_stats st = { .size = sizeof(st) };
	double mean = 0, peak = 0, share;
	struct shares s = { 0 };
	int i;

	play_where(r, &s, &live_peak);
	if (bmem_stats(r->client, &st))
		die("replay: bmem_stats");
	came = chunks(r) - came;
	printf("%s, %s: %% of live bytes    mean   peak\n", r->trace->name,
	       name);
	for (i = 0; i < PARTS; i++) {
		share = 100 * s.sum[i] / s.sum[LIVE];
		mean += share;
		peak += 100 * (double)s.peak[i] / (double)live_peak;
		printf("%-46s %6.1f %6.1f\n", part_names[i], share,
		       100 * (double)s.peak[i] / (double)live_peak);
	}
	printf("%-46s %6.1f %6.1f\n", "all that is held", mean, peak);
	printf("%-46s %6llu %6llu\n", "chunks that came and went",
	       (unsigned long long)came,
	       (unsigned long long)(came - st.attached_bytes / BMEM_HUGE_SIZE));
	drain(r);
}

static void held(struct replay *r, const char *name)
{
	const char *trace = r->trace->name;
	struct sums s = { 0 };

	play_held(r, &s);
	drain(r);
	printf("held/%s/peak/%s %.4f ratio\n", trace, name,
	       (double)s.held_peak / (double)s.live_peak);
	printf("held/%s/mean/%s %.4f ratio\n", trace, name, s.held_sum / s.live_sum);
	if (r->source != BMEM)
		return;
	printf("held/%s/meta/%s %.4f %%\n", trace, name,
	       100 * s.meta_sum / s.live_sum);
	printf("held/%s/meta_peak/%s %.4f %%\n", trace, name,
	       100 * (double)s.meta_peak / (double)s.live_peak);
}

/* ---- the trace --------------------------------------------------------------- */

/*
 * A child reads the trace, so that what reading it allocates and frees is not
 * in the way of what is measured.  Of all traces none is longer than @most.
 */
static struct trace *load(const char *path)
{
	const size_t most = 1 << 20;
	struct trace *t = pages(sizeof(*t)), own;
	struct trace_event *events = pages(most * sizeof(*events));
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("replay: fork");
	if (!pid) {
		if (trace_load(&own, path) || own.nr > most)
			_exit(1);
		memcpy(events, own.events, own.nr * sizeof(*events));
		*t = own;
		t->events = events;
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "replay: %s cannot be read\n", path);
		exit(1);
	}
	return t;
}

static bool known(const char *what)
{
	return !strcmp(what, "cost") || !strcmp(what, "touched") ||
	       !strcmp(what, "held") || !strcmp(what, "where");
}

int main(int argc, char **argv)
{
	static const allocate_fn *const sites[] = {
		[NOTHING] = NOTHING_sites, [MALLOC] = MALLOC_sites,
		[BMEM] = BMEM_sites,
	};
	struct replay r = { 0 };

	if (argc != 4 || !known(argv[2])) {
		fputs("usage: replay NAME cost|touched|held|where TRACE\n",
		      stderr);
		return 2;
	}
	r.trace = load(argv[3]);
	r.source = source_of(argv[1]);
	r.touch = !strcmp(argv[2], "touched");
	if ((r.source == NOTHING && strcmp(argv[2], "cost")) ||
	    (r.source != BMEM && !strcmp(argv[2], "where"))) {
		fprintf(stderr, "replay: no %s of %s\n", argv[2], argv[1]);
		return 2;
	}
	r.sites = sites[r.source];
	r.blocks = pages(r.trace->ids * sizeof(*r.blocks));
	r.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (r.statm < 0)
		die("replay");
	if (r.source == BMEM)
		r.client = client_open_as(argv[1]);
	if (!strcmp(argv[2], "cost") || r.touch)
		cost(&r, argv[1]);
	else if (!strcmp(argv[2], "where"))
		where(&r, argv[1]);
	else
		held(&r, argv[1]);
	bmem_close(r.client);
	return 0;
}
