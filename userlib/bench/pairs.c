// SPDX-License-Identifier: GPL-2.0-only
/*
 * pairs: what an allocation and its free cost, by size.
 *
 * usage: pairs NAME ORDER THREADS untouched|touched
 *
 * ORDER is pair (freed at once), fifo (the oldest of the live blocks is
 * replaced), random (one at random is), lifo (all are allocated, then freed
 * last first) or handed (one thread allocates, another frees).  As many blocks
 * are live as fit 256 MiB, at most 1024.
 *
 * Prints "pairs/ORDER/THREADS/TOUCH/SIZE/NAME VALUE ns" for each size: CPU time
 * a pair, without what the same loop takes around no allocator.
 * The first 8 bytes of each block are written; when touched, also a byte of
 * each further page.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "source.h"

#define LIVE_MAX	1024
#define LIVE_BYTES	((size_t)256 << 20)
#define PAGE		4096
/* A figure is of at least so much CPU time. */
#define ENOUGH_NS	4e6
/* Where memory comes and goes, an allocator may take so much to settle. */
#define SETTLE_NS	500e6

enum order { PAIR, FIFO, RANDOM, LIFO, HANDED, ORDERS };

static const char *const order_names[ORDERS] = {
	"pair", "fifo", "random", "lifo", "handed",
};

static const size_t sizes[] = {
	64, 256, 1 << 10, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20,
	64 << 20,
};

/**
 * struct cell - what is measured
 * @order: how blocks come and go
 * @size: of a block
 * @live: live blocks, of each thread
 * @step: distance of the bytes written, 0 for the first only
 */
struct cell {
	enum order order;
	size_t size;
	size_t live;
	size_t step;
};

/**
 * struct worker - a thread's share
 * @cell: what it measures
 * @client: of libbmem
 * @blocks: live ones
 * @random: state of the generator
 * @rounds: how often to go round all live blocks
 * @run: goes round
 * @start: where threads meet before they are timed
 * @ns: out, CPU time
 */
struct worker {
	struct cell cell;
	struct bmem_client *client;
	void **blocks;
	uint64_t random;
	long rounds;
	void (*run)(struct worker *w, long rounds);
	pthread_barrier_t *start;
	double ns;
};

static __thread char scratch[LIVE_MAX * 64] __attribute__((aligned(64)));

/* ---- one block ------------------------------------------------------------- */

static ALWAYS_INLINE void *get(enum source s, struct worker *w, size_t i)
{
	size_t size = w->cell.size, at;
	char *p;

	if (s == NOTHING)
		p = scratch + i * 64;
	else if (s == MALLOC)
		p = malloc(size);
	else
		p = bmem_alloc(w->client, size, 0, 0, NULL);
	if (!p)
		die("pairs: out of memory");
	*(volatile uint64_t *)p = i;
	if (s != NOTHING && w->cell.step)
		for (at = w->cell.step; at < size; at += w->cell.step)
			*(volatile char *)(p + at) = 1;
	return p;
}

static ALWAYS_INLINE void put(enum source s, struct worker *w, void *p)
{
	if (s == MALLOC)
		free(p);
	else if (s == BMEM)
		bmem_free(w->client, p);
	else
		__asm__ volatile("" : : "r"(p));
}

/* ---- orders ---------------------------------------------------------------- */

static ALWAYS_INLINE void go_pair(enum source s, struct worker *w)
{
	size_t i;

	for (i = 0; i < w->cell.live; i++)
		put(s, w, get(s, w, i));
}

static ALWAYS_INLINE void go_fifo(enum source s, struct worker *w)
{
	size_t i;

	for (i = 0; i < w->cell.live; i++) {
		put(s, w, w->blocks[i]);
		w->blocks[i] = get(s, w, i);
	}
}

static ALWAYS_INLINE void go_random(enum source s, struct worker *w)
{
	size_t i, at;

	for (i = 0; i < w->cell.live; i++) {
		w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
		at = (w->random >> 32) * w->cell.live >> 32;
		put(s, w, w->blocks[at]);
		w->blocks[at] = get(s, w, at);
	}
}

static ALWAYS_INLINE void go_lifo(enum source s, struct worker *w)
{
	size_t i;

	for (i = 0; i < w->cell.live; i++)
		w->blocks[i] = get(s, w, i);
	while (i--)
		put(s, w, w->blocks[i]);
}

static ALWAYS_INLINE void fill(enum source s, struct worker *w)
{
	size_t i;

	for (i = 0; i < w->cell.live; i++)
		w->blocks[i] = get(s, w, i);
}

static ALWAYS_INLINE void empty(enum source s, struct worker *w)
{
	size_t i;

	for (i = 0; i < w->cell.live; i++)
		put(s, w, w->blocks[i]);
}

/* 0 rounds fill, -1 empties. */
static ALWAYS_INLINE void go(enum source s, struct worker *w, long rounds)
{
	enum order order = w->cell.order;

	if (rounds == 0)
		fill(s, w);
	else if (rounds < 0)
		empty(s, w);
	while (rounds-- > 0) {
		if (order == PAIR)
			go_pair(s, w);
		else if (order == FIFO)
			go_fifo(s, w);
		else if (order == RANDOM)
			go_random(s, w);
		else
			go_lifo(s, w);
	}
}

static __attribute__((noinline)) void go_nothing(struct worker *w, long rounds)
{
	go(NOTHING, w, rounds);
}

static __attribute__((noinline)) void go_malloc(struct worker *w, long rounds)
{
	go(MALLOC, w, rounds);
}

static __attribute__((noinline)) void go_bmem(struct worker *w, long rounds)
{
	go(BMEM, w, rounds);
}

/* ---- one figure ------------------------------------------------------------ */

static bool keeps_live(enum order order)
{
	return order == FIFO || order == RANDOM;
}

static double timed(struct worker *w, long rounds)
{
	double start = cpu_ns();

	w->run(w, rounds);
	return cpu_ns() - start;
}

/* Rounds that take long enough, when all that is slow at first is past. */
static long calibrate(struct worker *w)
{
	long rounds = 1;

	w->run(w, 1);
	while (timed(w, rounds) < ENOUGH_NS)
		rounds *= 2;
	return rounds;
}

/* What costs nothing to settle does not take long here either. */
static void settle(struct worker *w)
{
	double ns = 0;
	int i;

	for (i = 0; i < 1000 && ns < SETTLE_NS; i++)
		ns += timed(w, 1);
}

static double alone(struct worker *w)
{
	double ns;

	if (keeps_live(w->cell.order))
		w->run(w, 0);
	if (w->cell.order == LIFO)
		settle(w);
	w->rounds = calibrate(w);
	ns = timed(w, w->rounds);
	if (keeps_live(w->cell.order))
		w->run(w, -1);
	return ns / (double)w->rounds / (double)w->cell.live;
}

static void *own_thread(void *arg)
{
	struct worker *w = arg;

	if (keeps_live(w->cell.order))
		w->run(w, 0);
	w->run(w, 1 + w->rounds / 4);
	pthread_barrier_wait(w->start);
	w->ns = timed(w, w->rounds);
	if (keeps_live(w->cell.order))
		w->run(w, -1);
	return NULL;
}

/* Each thread has its own blocks. */
static double beside(struct worker *w)
{
	void *blocks[LIVE_MAX];
	pthread_barrier_t start;
	struct worker other;
	pthread_t thread[2];

	alone(w);
	pthread_barrier_init(&start, NULL, 2);
	w->start = &start;
	other = *w;
	other.blocks = blocks;
	if (pthread_create(&thread[0], NULL, own_thread, w) ||
	    pthread_create(&thread[1], NULL, own_thread, &other))
		die("pairs: thread");
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	pthread_barrier_destroy(&start);
	return (w->ns + other.ns) / 2 / (double)w->rounds / (double)w->cell.live;
}

/* ---- handed from thread to thread ------------------------------------------ */

/**
 * struct hand - two batches that go to and fro
 * @w: what is measured; its @blocks is the first batch
 * @second: the other one
 * @warm: rounds that do not count
 * @full: posted when a batch is to be freed
 * @free: posted when it is
 */
struct hand {
	struct worker w;
	void *second[LIVE_MAX];
	long warm;
	sem_t full;
	sem_t free;
};

static struct worker *batch(struct hand *h, struct worker *w, long round)
{
	*w = h->w;
	if (round % 2)
		w->blocks = h->second;
	return w;
}

static void *freer(void *arg)
{
	struct hand *h = arg;
	double *ns = calloc(1, sizeof(*ns)), start;
	struct worker w;
	long round;

	for (round = 0; round < h->w.rounds; round++) {
		sem_wait(&h->full);
		start = cpu_ns();
		h->w.run(batch(h, &w, round), -1);
		if (round >= h->warm)
			*ns += cpu_ns() - start;
		sem_post(&h->free);
	}
	return ns;
}

/* CPU time of both threads' loops; waiting for each other is not in it. */
static double handed(struct worker *from)
{
	struct hand h = { .w = *from };
	double ns = 0, start;
	struct worker w;
	pthread_t thread;
	void *result;
	long round;

	h.w.cell.live = (from->cell.live + 1) / 2;
	from->rounds = from->cell.size < PAGE ? 256 : 32;
	h.w.rounds = from->rounds;
	h.warm = h.w.rounds / 4;
	sem_init(&h.full, 0, 0);
	sem_init(&h.free, 0, 2);
	if (pthread_create(&thread, NULL, freer, &h))
		die("pairs: thread");
	for (round = 0; round < h.w.rounds; round++) {
		sem_wait(&h.free);
		start = cpu_ns();
		h.w.run(batch(&h, &w, round), 0);
		if (round >= h.warm)
			ns += cpu_ns() - start;
		sem_post(&h.full);
	}
	pthread_join(thread, &result);
	ns += *(double *)result;
	free(result);
	return ns / (double)(h.w.rounds - h.warm) / (double)h.w.cell.live;
}

/* ---- all sizes ------------------------------------------------------------- */

/* The last of so many that memory has settled. */
static double handed_settled(struct worker *w)
{
	double ns = 0, all = 0;
	int i;

	for (i = 0; i < 16 && all < SETTLE_NS; i++) {
		ns = handed(w);
		all += ns * (double)w->rounds * (double)w->cell.live / 2;
	}
	return ns;
}

static double measure(struct worker *w, int threads)
{
	if (w->cell.order == HANDED)
		return handed_settled(w);
	return threads == 2 ? beside(w) : alone(w);
}

static int usage(void)
{
	fputs("usage: pairs NAME pair|fifo|random|lifo|handed 1|2 untouched|touched\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static void *blocks[LIVE_MAX];
	struct worker w = { .blocks = blocks, .random = 1 };
	enum source source;
	double ns, loop;
	size_t i;

	if (argc != 5)
		return usage();
	source = source_of(argv[1]);
	while (w.cell.order < ORDERS &&
	       strcmp(argv[2], order_names[w.cell.order]))
		w.cell.order++;
	if (w.cell.order == ORDERS)
		return usage();
	w.cell.step = strcmp(argv[4], "touched") ? 0 : PAGE;
	if (source == BMEM)
		w.client = client_open();
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		w.cell.size = sizes[i];
		w.cell.live = LIVE_BYTES / sizes[i] < LIVE_MAX ?
			      LIVE_BYTES / sizes[i] : LIVE_MAX;
		w.run = go_nothing;
		loop = measure(&w, atoi(argv[3]));
		w.run = source == BMEM ? go_bmem : go_malloc;
		ns = measure(&w, atoi(argv[3]));
		printf("pairs/%s/%s/%s/%zu/%s %.3f ns\n", argv[2], argv[3], argv[4],
		       sizes[i], argv[1], ns - loop);
		fflush(stdout);
	}
	bmem_close(w.client);
	return 0;
}
