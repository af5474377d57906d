// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Several threads on one client: tensors that change hands, races for one
 * free, sites that several see first at once.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "client.h"

#define THREADS		4
#define ROUNDS		3000
#define SHELF		64

/* A tensor's first 16 bytes say how long it is and end with a check. */
struct stamp {
	uint64_t bytes;
	uint64_t check;
};

static struct bmem_client *c;
static _Atomic(void *) shelf[SHELF];
static atomic_ulong allocs, frees, errors;
static atomic_int ready;

/* cmocka's checks belong to its own thread; here errors are counted. */
static void check(bool ok)
{
	if (!ok)
		atomic_fetch_add(&errors, 1);
}

static void *stamped(uint64_t *seed)
{
	size_t n = sizeof(struct stamp) + test_random(seed) % 60000;
	struct stamp *s;

	if (test_random(seed) % 64 == 0)
		n += 3 * MIB;
	s = bmem_alloc(c, n, 0, test_random(seed) % 2, "thread");
	if (!s) {
		check(errno == ENOSPC);
		return NULL;
	}
	atomic_fetch_add(&allocs, 1);
	s->bytes = n;
	s->check = ~(uint64_t)n;
	((char *)s)[n - 1] |= 1;
	return s;
}

static void release(void *p)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	struct stamp *s = p;

	check(s->check == ~s->bytes);
	check(!bmem_tensor_info(c, p, &d) && d.bytes == s->bytes);
	check(!bmem_free(c, p));
	atomic_fetch_add(&frees, 1);
}

/* Puts a tensor on the shelf and frees what another thread had put there. */
static void *swap_tensors(void *arg)
{
	uint64_t seed = (uintptr_t)arg * 7919 + 1;
	unsigned long i, rounds = test_number("BMEM_TEST_STEPS", ROUNDS);
	void *p;

	for (i = 0; i < rounds; i++) {
		p = atomic_exchange(&shelf[test_random(&seed) % SHELF],
				    stamped(&seed));
		if (p)
			release(p);
		if (i % 256 == 0)
			check(!bmem_trim(c, 2 * MIB, 0, NULL));
	}
	return NULL;
}

static void in_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS];
	uintptr_t i;

	atomic_store(&ready, 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_create(&t[i], NULL, fn, (void *)(i + 1)), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static void start_together(void)
{
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < THREADS)
		;
}

static void threads_swap(void **state)
{
	size_t i;

	(void)state;
	c = client_limit(96 * MIB);
	atomic_store(&errors, 0);
	in_threads(swap_tensors);
	for (i = 0; i < SHELF; i++)
		if (shelf[i])
			release(shelf[i]);
	EQ(atomic_load(&errors), 0);
	LIVE(c, 0, 0);
	EQ(stats_of(c).allocs, atomic_load(&allocs));
	EQ(stats_of(c).frees, atomic_load(&frees));
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(stats_of(c).attached_bytes, 0);
	bmem_close(c);
}

#define PRIZES		500

static void *prizes[PRIZES];
static atomic_ulong won, lost;

static void *race_to_free(void *arg)
{
	size_t i;
	int ret;

	(void)arg;
	start_together();
	for (i = 0; i < PRIZES; i++) {
		ret = bmem_free(c, prizes[i]);
		check(ret == 0 || ret == -ENOENT);
		atomic_fetch_add(ret ? &lost : &won, 1);
	}
	return NULL;
}

/*
 * Of all who free the same tensor exactly one succeeds.  It is above what has a
 * slot: that two threads free one of those at once nobody promises to notice.
 */
static void threads_double_free(void **state)
{
	size_t i;

	(void)state;
	c = client();
	atomic_store(&errors, 0);
	for (i = 0; i < PRIZES; i++) {
		prizes[i] = bmem_alloc(c, BMEM_SLOT_MAX + 1, 0, 0, NULL);
		IS(prizes[i]);
	}
	in_threads(race_to_free);
	EQ(atomic_load(&errors), 0);
	EQ(atomic_load(&won), PRIZES);
	EQ(atomic_load(&lost), PRIZES * (THREADS - 1));
	EQ(stats_of(c).frees, PRIZES);
	LIVE(c, 0, 0);
	bmem_close(c);
}

static void *moved[THREADS + 1];

static void *race_to_move(void *arg)
{
	start_together();
	moved[(uintptr_t)arg] = bmem_realloc(c, prizes[0], 5000, 0);
	check(moved[(uintptr_t)arg] || errno == ENOENT);
	return NULL;
}

/* The same for those who move it. */
static void threads_double_realloc(void **state)
{
	size_t i, round, n;

	(void)state;
	c = client();
	atomic_store(&errors, 0);
	for (round = 0; round < 200; round++) {
		prizes[0] = bmem_alloc(c, 100, 0, 0, NULL);
		IS(prizes[0]);
		in_threads(race_to_move);
		for (i = 1, n = 0; i <= THREADS; i++) {
			if (!moved[i])
				continue;
			n++;
			EQ(bmem_free(c, moved[i]), 0);
		}
		EQ(n, 1);
	}
	EQ(atomic_load(&errors), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

static uint32_t seen[THREADS + 1][100];

static void *see_sites(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	char name[32];
	size_t i;

	start_together();
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "site %zu", i);
		seen[me][i] = bmem_site(c, name);
	}
	return NULL;
}

/* Whoever sees a site first, all have the same number for it. */
static void threads_sites(void **state)
{
	size_t i, k;

	(void)state;
	c = client();
	in_threads(see_sites);
	for (i = 0; i < 100; i++) {
		IS(seen[1][i]);
		for (k = 2; k <= THREADS; k++)
			EQ(seen[k][i], seen[1][i]);
	}
	EQ(stats_of(c).sites, 100);
	EQ(bmem_sites_lost(c), 0);
	bmem_close(c);
}

static void *open_close(void *arg)
{
	struct bmem_options o = { .sz = sizeof(o), .max_bytes = 16 * MIB };
	struct bmem_client *mine;
	int i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		if (bmem_open(&mine, &o)) {
			check(false);
			continue;
		}
		check(bmem_alloc(mine, 1000, 0, 0, NULL));
		bmem_close(mine);
	}
	return NULL;
}

static void threads_open(void **state)
{
	(void)state;
	atomic_store(&errors, 0);
	in_threads(open_close);
	EQ(atomic_load(&errors), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(threads_swap),
	TEST(threads_double_free),
	TEST(threads_double_realloc),
	TEST(threads_sites),
	TEST(threads_open),
};

TEST_MAIN(tests)
