// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Slots: sizes at the edges of the classes, who holds them when threads come,
 * go and free for each other, levels that change under way, several clients.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "client.h"

#define THREADS		1000
#define BATCH		25
#define EACH		40
#define PAIRS		3000

static struct bmem_client *c;
static atomic_ulong errors;

/* cmocka's checks belong to its own thread; here errors are counted. */
static void check(bool ok)
{
	if (!ok)
		atomic_fetch_add(&errors, 1);
}

static void nothing_left(void)
{
	struct bmem_client_stats st;

	EQ(atomic_load(&errors), 0);
	EQ(bmem_flush(c), 0);
	st = stats_of(c);
	EQ(st.live_tensors, 0);
	EQ(st.slots, 0);
	EQ(st.granted_bytes, 0);
	EQ(st.idle_bytes, 0);
	EQ(st.ledger_bad, 0);
}

static void one_size(size_t n)
{
	struct bmem_tensor_desc d;
	char *p = bmem_alloc(c, n, 0, 0, NULL);

	IS(p);
	EQ((uintptr_t)p % 64, 0);
	memset(p, 0x77, n);
	d = info_of(c, p + n - 1);
	IS(d.ptr == p);
	EQ(d.bytes, n);
	EQ(d.granted, granted_for(n));
	EQ(bmem_usable_size(c, p + n - 1), granted_for(n));
	LIVE(c, 1, n);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, p), -ENOENT);
	LIVE(c, 0, 0);
	EQ(bmem_flush(c), 0);
}

static void every_class_edge(void **state)
{
	size_t n;

	(void)state;
	c = client();
	for (n = 64; n <= BMEM_SLOT_MAX; n = granted_for(n + 1)) {
		one_size(n - 1);
		one_size(n);
		one_size(n + 1);
	}
	nothing_left();
	bmem_close(c);
}

static void odd_sizes(void **state)
{
	static const size_t sizes[] = {
		1, 63, 64, 65, 256 * KIB, 513 * KIB, MIB - 1, MIB, MIB + 1,
		2202010, 64 * MIB + 1, LIMIT,
	};
	size_t i;

	(void)state;
	SKIP_ON_DEV();
	c = client();
	NUL(bmem_alloc(c, 0, 0, 0, NULL), EINVAL);
	for (i = 0; i < COUNT(sizes); i++)
		one_size(sizes[i]);
	NUL(bmem_alloc(c, LIMIT + 1, 0, 0, NULL), EFBIG);
	NUL(bmem_alloc(c, SIZE_MAX, 0, 0, NULL), EOVERFLOW);
	nothing_left();
	bmem_close(c);
}

static void alignments(void **state)
{
	static const size_t sizes[] = { 1, 64, 100, 3000, 32768, 40000 };
	size_t align, i;
	char *p;

	(void)state;
	c = client();
	for (align = 64; align <= BMEM_ALIGN_MAX; align *= 2) {
		for (i = 0; i < COUNT(sizes); i++) {
			p = bmem_alloc(c, sizes[i], align, 0, NULL);
			IS(p);
			EQ((uintptr_t)p % align, 0);
			memset(p, 1, sizes[i]);
			EQ(bmem_free(c, p), 0);
		}
	}
	for (i = 1; i < 64; i++)
		NUL(bmem_alloc(c, 10, i, 0, NULL), EINVAL);
	NUL(bmem_alloc(c, 10, 65, 0, NULL), EINVAL);
	NUL(bmem_alloc(c, 10, 4096 + 64, 0, NULL), EINVAL);
	NUL(bmem_alloc(c, 10, 2 * BMEM_ALIGN_MAX, 0, NULL), EINVAL);
	NUL(bmem_alloc(c, 10, 1UL << 63, 0, NULL), EINVAL);
	NUL(bmem_alloc(c, 10, (1UL << 32) + 64, 0, NULL), EINVAL);
	nothing_left();
	bmem_close(c);
}

static void *come_and_go(void *arg)
{
	void *p[EACH];
	size_t i;

	for (i = 0; i < EACH; i++) {
		p[i] = bmem_alloc(c, 1 + (i * 977 + (uintptr_t)arg) % 60000, 0,
				  i % 2, NULL);
		check(p[i]);
	}
	for (i = 0; i < EACH; i++)
		check(!bmem_free(c, p[i]));
	return NULL;
}

/* A thousand threads leave no slot behind, and the depot stays bounded. */
static void threads_leave_nothing(void **state)
{
	unsigned long n = test_number("BMEM_TEST_STEPS", THREADS), i;
	struct bmem_client_stats st;
	pthread_t t[BATCH];
	uintptr_t k;

	(void)state;
	c = client();
	atomic_store(&errors, 0);
	for (i = 0; i < n; i += BATCH) {
		for (k = 0; k < BATCH; k++)
			EQ(pthread_create(&t[k], NULL, come_and_go,
					  (void *)(i + k)), 0);
		for (k = 0; k < BATCH; k++)
			EQ(pthread_join(t[k], NULL), 0);
	}
	st = stats_of(c);
	EQ(st.live_tensors, 0);
	EQ(st.allocs, (n + BATCH - 1) / BATCH * BATCH * EACH);
	EQ(st.frees, st.allocs);
	IS(st.idle_bytes <= 4 * MIB);
	nothing_left();
	bmem_close(c);
}

#define RING		256

static _Atomic(unsigned char *) ring[RING];

static void *produce(void *arg)
{
	uint64_t seed = 4711;
	unsigned char *p;
	size_t i, n;

	(void)arg;
	for (i = 0; i < PAIRS; i++) {
		while (atomic_load(&ring[i % RING]))
			sched_yield();
		n = 2 + test_random(&seed) % 9000;
		if (i % 64 == 0)
			n = 70000;
		p = bmem_alloc(c, n, 0, 0, NULL);
		check(p);
		memset(p, (int)(i % 251), n);
		p[0] = (unsigned char)(n % 253);
		atomic_store(&ring[i % RING], p);
	}
	return NULL;
}

static void consume(void)
{
	uint64_t seed = 4711;
	unsigned char *p;
	size_t i, n;

	for (i = 0; i < PAIRS; i++) {
		while (!(p = atomic_load(&ring[i % RING])))
			sched_yield();
		n = 2 + test_random(&seed) % 9000;
		if (i % 64 == 0)
			n = 70000;
		check(p[0] == n % 253);
		check(all_are(p + 1, (unsigned char)(i % 251), n - 1));
		atomic_store(&ring[i % RING], NULL);
		check(!bmem_free(c, p));
	}
}

static void freed_by_another(void **state)
{
	pthread_t t;

	(void)state;
	c = client();
	atomic_store(&errors, 0);
	EQ(pthread_create(&t, NULL, produce, NULL), 0);
	consume();
	EQ(pthread_join(t, NULL), 0);
	EQ(stats_of(c).frees, PAIRS);
	nothing_left();
	bmem_close(c);
}

static atomic_bool stop;

static void *allocate_on(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1;
	unsigned char *p[64] = { NULL };
	size_t n[64], i;

	while (!atomic_load(&stop)) {
		i = test_random(&seed) % 64;
		if (p[i]) {
			check(all_are(p[i], (unsigned char)i, n[i]));
			check(!bmem_free(c, p[i]));
		}
		n[i] = 1 + test_random(&seed) % 3000;
		p[i] = bmem_alloc(c, n[i], 0, 0, NULL);
		check(p[i]);
		memset(p[i], (int)i, n[i]);
	}
	for (i = 0; i < 64; i++)
		check(!bmem_free(c, p[i]));
	return NULL;
}

static void levels_under_way(void **state)
{
	static const enum bmem_level levels[] = {
		BMEM_LEVEL_OFF, BMEM_LEVEL_COUNTS, BMEM_LEVEL_STANDARD,
		BMEM_LEVEL_FULL,
	};
	pthread_t t[3];
	uintptr_t i;

	(void)state;
	c = client();
	atomic_store(&errors, 0);
	atomic_store(&stop, false);
	for (i = 0; i < COUNT(t); i++)
		EQ(pthread_create(&t[i], NULL, allocate_on, (void *)i), 0);
	for (i = 0; i < 60; i++) {
		EQ(bmem_set_level(c, levels[i % COUNT(levels)]), 0);
		EQ(stats_of(c).level, levels[i % COUNT(levels)]);
		usleep(1000);
	}
	EQ(bmem_set_level(c, 4), -EINVAL);
	atomic_store(&stop, true);
	for (i = 0; i < COUNT(t); i++)
		EQ(pthread_join(t[i], NULL), 0);
	nothing_left();
	bmem_close(c);
}

static void level_of_records(void **state)
{
	void *p, *q;

	(void)state;
	c = client();
	EQ(bmem_set_level(c, BMEM_LEVEL_COUNTS), 0);
	p = bmem_alloc_at(c, 100, 0, 0, 77);
	EQ(info_of(c, p).site, 0);
	EQ(info_of(c, p).bytes, 100);
	EQ(bmem_set_level(c, BMEM_LEVEL_STANDARD), 0);
	q = bmem_alloc_at(c, 100, 0, 0, 77);
	EQ(info_of(c, q).site, 77);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, q), 0);
	EQ(bmem_set_level(c, BMEM_LEVEL_OFF), 0);
	p = bmem_alloc_at(c, 100, 0, 0, 77);
	EQ(info_of(c, p).bytes, 128);
	EQ(bmem_usable_size(c, p), 128);
	/* Freed at a level that would not have let it pass. */
	EQ(bmem_set_level(c, BMEM_LEVEL_FULL), 0);
	EQ(bmem_free(c, p), 0);
	nothing_left();
	bmem_close(c);
}

static void level_from_environment(void **state)
{
	struct bmem_options o = {
		.sz = sizeof(o), .flags = BMEM_OPEN_LEVEL,
		.level = BMEM_LEVEL_COUNTS,
	};
	struct bmem_client *none;

	(void)state;
	setenv("BMEM_LEVEL", "full", 1);
	c = client();
	EQ(stats_of(c).level, BMEM_LEVEL_FULL);
	bmem_close(c);
	c = client_with(&o);
	EQ(stats_of(c).level, BMEM_LEVEL_COUNTS);
	bmem_close(c);
	setenv("BMEM_LEVEL", "much", 1);
	EQ(bmem_open(&none, NULL), -EINVAL);
	unsetenv("BMEM_LEVEL");
	c = client();
	EQ(stats_of(c).level, BMEM_LEVEL_STANDARD);
	bmem_close(c);
}

#define CLIENTS		20

/* More clients than a thread remembers, opened and closed while it goes on. */
static void many_clients(void **state)
{
	struct bmem_client *all[CLIENTS];
	size_t live[CLIENTS] = { 0 }, i, round;
	void *p;

	(void)state;
	for (i = 0; i < CLIENTS; i++)
		all[i] = client_limit(8 * MIB);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < CLIENTS; i++) {
			p = bmem_alloc(all[i], 100 + i, 0, 0, NULL);
			IS(p && bmem_owns(all[i], p));
			if (round % 2)
				EQ(bmem_free(all[i], p), 0);
			else
				live[i]++;
		}
		i = round % CLIENTS;
		LIVE(all[i], live[i], live[i] * (100 + i));
		live[i] = 0;
		bmem_close(all[i]);
		all[i] = client_limit(8 * MIB);
	}
	for (i = 0; i < CLIENTS; i++)
		bmem_close(all[i]);
}

static void *use_and_wait(void *arg)
{
	check(!bmem_free(c, bmem_alloc(c, 100, 0, 0, NULL)));
	atomic_store(&stop, true);
	usleep((useconds_t)(uintptr_t)arg);
	return NULL;
}

/* Threads that used a client may end while it is closed, and afterwards. */
static void closed_before_threads_end(void **state)
{
	pthread_t t;
	uintptr_t i;

	(void)state;
	atomic_store(&errors, 0);
	for (i = 0; i < 100; i++) {
		c = client_limit(8 * MIB);
		atomic_store(&stop, false);
		EQ(pthread_create(&t, NULL, use_and_wait, (void *)(i * 5)), 0);
		while (!atomic_load(&stop))
			sched_yield();
		bmem_close(c);
		EQ(pthread_join(t, NULL), 0);
	}
	EQ(atomic_load(&errors), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(every_class_edge),
	TEST(odd_sizes),
	TEST(alignments),
	TEST(threads_leave_nothing),
	TEST(freed_by_another),
	TEST(levels_under_way),
	TEST(level_of_records),
	TEST(level_from_environment),
	TEST(many_clients),
	TEST(closed_before_threads_end),
};

TEST_MAIN(tests)
