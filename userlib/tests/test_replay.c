// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Recorded programs, played by two threads: what each block holds is checked
 * when it is freed and at the end, and after every 1000 events what the ledger
 * and the backend say of the client against what the threads have done.
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../../selftests/trace.h"
#include "client.h"

#define THREADS		2
#define EVERY		1000
/* Blocks are written to and looked at at both ends, and so far apart between. */
#define STEP		PAGE
#define STRIDE		32

/**
 * struct block - a block of the trace
 * @ptr: where it is while it is live
 * @bytes: its size
 * @granted: the size of the slot, or of the pages, that it has
 */
struct block {
	_Atomic(char *) ptr;
	size_t bytes;
	size_t granted;
};

static struct bmem_client *c;
static struct trace trace;
static struct block *blocks;
static size_t last;
static pthread_barrier_t barrier;
static _Atomic int64_t live, live_bytes, granted_bytes;
static atomic_ulong allocs, errors;

/* cmocka's checks belong to its own thread; here errors are counted. */
static bool check(bool ok, const char *what, size_t event)
{
	if (!ok && atomic_fetch_add(&errors, 1) < 10)
		print_error("event %zu of %s: %s\n", event, trace.name, what);
	return ok;
}

static uint64_t tag(uint32_t id, size_t at)
{
	return (id + 1) * 0x9e3779b97f4a7c15ULL ^ at;
}

static void write_tags(char *p, size_t bytes, uint32_t id)
{
	uint64_t word;
	size_t at;

	for (at = 0; at + sizeof(word) <= bytes; at += STEP) {
		word = tag(id, at);
		memcpy(p + at, &word, sizeof(word));
	}
	memset(p + bytes - 1, (int)id, 1);
}

static bool tags_are_there(const char *p, size_t bytes, uint32_t id)
{
	uint64_t word;
	size_t at;

	/* The last byte may be one of a word's. */
	for (at = 0; at + sizeof(word) < bytes; at += STEP) {
		word = tag(id, at);
		if (memcmp(p + at, &word, sizeof(word)))
			return false;
	}
	return p[bytes - 1] == (char)id;
}

static void play_alloc(const struct trace_event *ev, size_t event)
{
	struct block *b = &blocks[ev->id];
	size_t align = ev->align < BMEM_ALIGN_MIN ? 0 : ev->align;
	char *p = bmem_alloc(c, ev->bytes, align, 0, NULL);

	if (!check(p, "no memory", event))
		exit(1);
	check(!((uintptr_t)p & (ev->align - 1)), "not aligned", event);
	write_tags(p, ev->bytes, ev->id);
	b->bytes = ev->bytes;
	b->granted = bmem_usable_size(c, p);
	atomic_fetch_add(&allocs, 1);
	atomic_fetch_add(&live, 1);
	atomic_fetch_add(&live_bytes, (int64_t)b->bytes);
	atomic_fetch_add(&granted_bytes, (int64_t)b->granted);
	atomic_store(&b->ptr, p);
}

/* The other thread may not have come to its allocation yet. */
static void play_free(const struct trace_event *ev, size_t event)
{
	struct block *b = &blocks[ev->id];
	char *p;

	while (!(p = atomic_load(&b->ptr)))
		sched_yield();
	check(tags_are_there(p, b->bytes, ev->id), "other contents", event);
	atomic_store(&b->ptr, NULL);
	check(!bmem_free(c, p), "not freed", event);
	atomic_fetch_sub(&live, 1);
	atomic_fetch_sub(&live_bytes, (int64_t)b->bytes);
	atomic_fetch_sub(&granted_bytes, (int64_t)b->granted);
}

/* Whose event it is: half of all blocks are freed by who did not allocate. */
static uintptr_t player_of(size_t event)
{
	return event / STRIDE * 0x9e3779b1U >> 16 & (THREADS - 1);
}

static void compare(size_t event)
{
	struct bmem_client_stats st = {
		.size = sizeof(st), .flags = BMEM_STATS_LEDGER,
	};

	if (!check(!bmem_stats(c, &st), "no figures", event))
		return;
	check(st.live_tensors == (uint64_t)live, "live tensors", event);
	check(st.live_bytes == (uint64_t)live_bytes, "live bytes", event);
	check(!st.ledger_bad, "bad records", event);
	check(st.allocs == allocs, "allocations", event);
	check(st.allocs - st.frees == st.live_tensors, "frees", event);
	/* The backend knows what it gave out, the ledger what of it is idle. */
	check(st.granted_bytes - st.idle_bytes == (uint64_t)granted_bytes,
	      "granted bytes", event);
	check(st.slots + st.recorded >= st.live_tensors, "slots and blocks",
	      event);
	check(st.granted_bytes <= st.attached_bytes, "attached", event);
}

static void *play(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	size_t i;

	for (i = 0; i < last; i++) {
		if (i % EVERY == 0) {
			pthread_barrier_wait(&barrier);
			if (!me)
				compare(i);
			pthread_barrier_wait(&barrier);
		}
		if (player_of(i) != me)
			continue;
		if (trace.events[i].bytes)
			play_alloc(&trace.events[i], i);
		else
			play_free(&trace.events[i], i);
	}
	return NULL;
}

static void free_rest(void)
{
	struct trace_event ev = { 0 };

	for (ev.id = 0; ev.id < trace.ids; ev.id++)
		if (blocks[ev.id].ptr)
			play_free(&ev, last);
}

static void replay(const char *name)
{
	pthread_t threads[THREADS];
	char path[PATH_MAX];
	uintptr_t i;

	snprintf(path, sizeof(path), TRACES "/%s.trace.zst", name);
	EQ(trace_load(&trace, path), 0);
	last = test_number("BMEM_TEST_STEPS", trace.nr);
	if (last > trace.nr)
		last = trace.nr;
	blocks = calloc(trace.ids, sizeof(*blocks));
	IS(blocks);
	c = client();
	live = live_bytes = granted_bytes = 0;
	allocs = errors = 0;
	EQ(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_create(&threads[i], NULL, play, (void *)i), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_join(threads[i], NULL), 0);
	compare(last);
	free_rest();
	compare(last);
	EQ(errors, 0);
	EQ(live, 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	LIVE(c, 0, 0);
	EQ(stats_of(c).attached_bytes, 0);
	bmem_close(c);
	pthread_barrier_destroy(&barrier);
	free(blocks);
	trace_unload(&trace);
}

static void two_threads(void **state)
{
	(void)state;
	replay(test_name);
}

#define TRACE(name)	{ name, two_threads, test_note_name, NULL, (void *)name }

static const struct CMUnitTest tests[] = {
	TRACE("cnn-tensor"),
	TRACE("kv-tensor"),
	TRACE("cnn-heap"),
	TRACE("kv-heap"),
	TRACE("numpy-heap"),
};

TEST_MAIN(tests)
