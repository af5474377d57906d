// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Blocks that are freed and used again, and for how long they stay.
 */
#include <pthread.h>

#include "client.h"

static void reused_at_once(void **state)
{
	static const size_t sizes[] = {
		33 * KIB, 64 * KIB, 256 * KIB, MIB, 64 * MIB,
	};
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	size_t i, round;
	char *p, *q;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		p = bmem_alloc(c, sizes[i], 0, 0, NULL);
		IS(p);
		memset(p, 0xaa, sizes[i]);
		for (round = 0; round < 5; round++) {
			EQ(bmem_free(c, p), 0);
			EQ(bmem_free(c, p), -ENOENT);
			LIVE(c, 0, 0);
			q = bmem_alloc(c, sizes[i] - round, 0, 0, NULL);
			IS(q == p);
			LIVE(c, 1, sizes[i] - round);
			EQ(info_of(c, q).bytes, sizes[i] - round);
		}
		EQ(bmem_free(c, p), 0);
		p = bmem_alloc(c, sizes[i], 0, BMEM_ALLOC_ZERO, NULL);
		IS(p);
		IS(all_are(p, 0, sizes[i]));
		EQ(bmem_free(c, p), 0);
		EQ(bmem_flush(c), 0);
		EQ(stats_of(c).granted_bytes, 0);
	}
}

/* No more than an eighth is wasted, and alignment is looked at. */
static void reused_if_it_fits(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p, *q;

	(void)state;
	p = bmem_alloc(c, 90 * PAGE, 0, 0, NULL);
	IS(p);
	EQ(bmem_free(c, p), 0);
	q = bmem_alloc(c, 80 * PAGE, 0, 0, NULL);
	IS(q == p);
	EQ(bmem_usable_size(c, q), 90 * PAGE);
	EQ(bmem_free(c, q), 0);
	q = bmem_alloc(c, 79 * PAGE, 0, 0, NULL);
	IS(q);
	EQ(bmem_usable_size(c, q), 79 * PAGE);
	EQ(bmem_free(c, q), 0);
	EQ(bmem_flush(c), 0);
	p = bmem_alloc(c, PAGE * 10, 0, 0, NULL);
	q = bmem_alloc(c, PAGE * 10, 0, 0, NULL);
	IS(p && q);
	EQ(bmem_free(c, q), 0);
	q = bmem_alloc(c, PAGE * 10, HUGE, 0, NULL);
	IS(q);
	EQ((uintptr_t)q % HUGE, 0);
	EQ(bmem_free(c, q), 0);
	EQ(bmem_free(c, p), 0);
}

/*
 * While there is more than ever before nothing idle is kept, however much was
 * asked for in vain.
 */
static void refused_is_no_peak(void **state)
{
	static const size_t sizes[] = { 1UL << 46, SIZE_MAX / 2 };
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p, *q, *r;
	size_t i;

	(void)state;
	p = bmem_alloc(c, 64 * KIB, 0, 0, NULL);
	q = bmem_alloc(c, 64 * KIB, 0, 0, NULL);
	IS(p && q);
	for (i = 0; i < COUNT(sizes); i++)
		IS(!bmem_alloc(c, sizes[i], 0, 0, NULL));
	EQ(bmem_free(c, p), 0);
	EQ(stats_of(c).granted_bytes, 128 * KIB);
	r = bmem_alloc(c, 128 * KIB, 0, 0, NULL);
	IS(r);
	EQ(stats_of(c).granted_bytes, 192 * KIB);
	EQ(bmem_free(c, r), 0);
	EQ(bmem_free(c, q), 0);
}

/* What lies idle makes room where there is none. */
static void gives_way(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *p, *q;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(16 * MIB);
	p = bmem_alloc(c, 12 * MIB, 0, 0, NULL);
	IS(p);
	EQ(bmem_free(c, p), 0);
	q = bmem_alloc(c, 16 * MIB, 0, 0, NULL);
	IS(q);
	EQ(bmem_free(c, q), 0);
	/* Also for slots. */
	p = bmem_alloc(c, 100, 0, 0, NULL);
	IS(p);
	EQ(bmem_free(c, p), 0);
	LIVE(c, 0, 0);
}

/* Idle blocks never add to what the process held at most. */
static void bounded(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_client_stats st;
	void *p[64];
	size_t i, round;

	(void)state;
	for (round = 0; round < 4; round++) {
		for (i = 0; i < COUNT(p); i++) {
			p[i] = bmem_alloc(c, (i + 10 * round + 9) * PAGE, 0, 0,
					  NULL);
			IS(p[i]);
		}
		for (i = 0; i < COUNT(p); i++)
			EQ(bmem_free(c, p[i]), 0);
		st = stats_of(c);
		EQ(st.live_tensors, 0);
		IS(st.idle_bytes <= 4 * MIB);
	}
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).idle_bytes, 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(stats_of(c).attached_bytes, 0);
}

static void goes_back_when_old(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p = bmem_alloc(c, 5 * MIB, 0, 0, NULL);

	(void)state;
	IS(p);
	EQ(bmem_free(c, p), 0);
	EQ(stats_of(c).granted_bytes, 5 * MIB);
	usleep(300000);
	/* A call tells the time, the next slow path acts on it. */
	EQ(stats_of(c).live_tensors, 0);
	p = bmem_alloc(c, 40 * KIB, 0, 0, NULL);
	IS(p);
	EQ(stats_of(c).granted_bytes, 40 * KIB);
	EQ(bmem_free(c, p), 0);
}

static struct bmem_client *shared;

static void *leave_blocks(void *arg)
{
	void *p[3];
	size_t i;

	(void)arg;
	for (i = 0; i < 3; i++)
		p[i] = bmem_alloc(shared, (i + 1) * 36 * KIB, 0, 0, NULL);
	for (i = 0; i < 3; i++)
		if (bmem_free(shared, p[i]))
			return shared;
	return NULL;
}

static void thread_leaves_nothing(void **state)
{
	pthread_t t;
	void *ret;

	(void)state;
	shared = client();
	EQ(pthread_create(&t, NULL, leave_blocks, NULL), 0);
	EQ(pthread_join(t, &ret), 0);
	EQ((uintptr_t)ret, 0);
	LIVE(shared, 0, 0);
	EQ(stats_of(shared).granted_bytes, 0);
	bmem_close(shared);
}

/* A stash of a thread that sleeps: who else gives it back, and what if nobody. */
static struct {
	size_t bytes;
	bool freed;
	bool go;
} asleep;

static void *free_and_sleep(void *arg)
{
	void *p = bmem_alloc(shared, asleep.bytes, 0, 0, NULL);

	if (!p || bmem_free(shared, p))
		arg = NULL;
	__atomic_store_n(&asleep.freed, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&asleep.go, __ATOMIC_ACQUIRE))
		usleep(1000);
	return arg;
}

static pthread_t fall_asleep(size_t bytes)
{
	pthread_t t;

	asleep.bytes = bytes;
	asleep.freed = false;
	asleep.go = false;
	EQ(pthread_create(&t, NULL, free_and_sleep, shared), 0);
	while (!__atomic_load_n(&asleep.freed, __ATOMIC_ACQUIRE))
		usleep(1000);
	return t;
}

static void wake_up(pthread_t t)
{
	void *ret;

	__atomic_store_n(&asleep.go, true, __ATOMIC_RELEASE);
	EQ(pthread_join(t, &ret), 0);
	IS(ret == shared);
}

static void sleeper_is_recalled(void **state)
{
	static const size_t sizes[] = { 40 * KIB, 5 * MIB, 65 * MIB };
	pthread_t t;
	size_t i;

	(void)state;
	shared = client();
	EQ(bmem_events_start(shared), 0);
	for (i = 0; i < COUNT(sizes); i++) {
		t = fall_asleep(sizes[i]);
		EQ(stats_of(shared).granted_bytes,
		   (sizes[i] + PAGE - 1) / PAGE * PAGE);
		EQ(bmem_trim(shared, 0, BMEM_TRIM_POOL, NULL), 0);
		while (stats_of(shared).granted_bytes)
			usleep(1000);
		wake_up(t);
		LIVE(shared, 0, 0);
	}
	bmem_close(shared);
}

/* Without a thread for events one block stays, of 64 MiB at the most. */
static void sleeper_keeps_no_more(void **state)
{
	pthread_t t;

	(void)state;
	shared = client();
	t = fall_asleep(64 * MIB);
	EQ(bmem_trim(shared, 0, BMEM_TRIM_POOL, NULL), 0);
	EQ(stats_of(shared).granted_bytes, 64 * MIB);
	wake_up(t);
	EQ(stats_of(shared).granted_bytes, 0);
	t = fall_asleep(64 * MIB + 1);
	EQ(stats_of(shared).granted_bytes, 0);
	wake_up(t);
	bmem_close(shared);
}

#define USERS	3
#define MINE	6

static void *use_stash(void *arg)
{
	uint64_t rnd = (uintptr_t)&rnd | 1;
	char *p[MINE] = { 0 }, *q;
	size_t size[MINE] = { 0 };
	unsigned int i, n;

	for (n = 0; !__atomic_load_n(&asleep.go, __ATOMIC_ACQUIRE); n++) {
		rnd = rnd * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (unsigned int)(rnd >> 40) % MINE;
		q = p[i];
		if (q) {
			/* Nobody else was given it meanwhile. */
			if (q[0] != (char)i || q[size[i] - 1] != (char)size[i] ||
			    bmem_free(shared, q))
				return NULL;
			p[i] = NULL;
			continue;
		}
		size[i] = (40 + (rnd >> 50) % 200) * KIB;
		p[i] = bmem_alloc(shared, size[i], 0, 0, NULL);
		if (!p[i])
			return NULL;
		p[i][0] = (char)i;
		p[i][size[i] - 1] = (char)size[i];
	}
	for (i = 0; i < MINE; i++)
		if (p[i] && bmem_free(shared, p[i]))
			return NULL;
	return arg;
}

/* Recalls at any moment of threads that use their stashes all the time. */
static void recalled_in_use(void **state)
{
	pthread_t t[USERS];
	unsigned int i;
	void *ret;

	(void)state;
	shared = client();
	EQ(bmem_events_start(shared), 0);
	asleep.go = false;
	for (i = 0; i < USERS; i++)
		EQ(pthread_create(&t[i], NULL, use_stash, shared), 0);
	for (i = 0; i < 500; i++) {
		EQ(bmem_trim(shared, 0, BMEM_TRIM_POOL, NULL), 0);
		usleep(1000);
	}
	__atomic_store_n(&asleep.go, true, __ATOMIC_RELEASE);
	for (i = 0; i < USERS; i++) {
		EQ(pthread_join(t[i], &ret), 0);
		IS(ret == shared);
	}
	/* It may be giving back what it took from one of them. */
	EQ(bmem_events_stop(shared), 0);
	EQ(bmem_flush(shared), 0);
	LIVE(shared, 0, 0);
	EQ(stats_of(shared).granted_bytes, 0);
	bmem_close(shared);
}

static void resized_in_place(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, 1000, 0, 0, NULL), *q;

	(void)state;
	IS(p);
	memset(p, 7, 1000);
	q = bmem_realloc(c, p, 1024, BMEM_ALLOC_ZERO);
	IS(q == p);
	IS(all_are(q, 7, 1000) && all_are(q + 1000, 0, 24));
	LIVE(c, 1, 1024);
	EQ(info_of(c, q).bytes, 1024);
	q = bmem_realloc(c, p, 600, 0);
	IS(q == p);
	LIVE(c, 1, 600);
	/* Below half it moves, above what is granted too. */
	q = bmem_realloc(c, p, 500, 0);
	IS(q && q != p);
	IS(all_are(q, 7, 500));
	LIVE(c, 1, 500);
	EQ(bmem_free(c, p), -ENOENT);
	p = bmem_realloc(c, q, 100 * KIB, BMEM_ALLOC_ZERO);
	IS(p && all_are(p, 7, 500) && all_are(p + 500, 0, 100 * KIB - 500));
	q = bmem_realloc(c, p, 99 * KIB, 0);
	IS(q == p);
	LIVE(c, 1, 99 * KIB);
	EQ(bmem_free(c, q), 0);
	LIVE(c, 0, 0);
	EQ(stats_of(c).allocs, stats_of(c).frees);
}

static const struct CMUnitTest tests[] = {
	TEST(reused_at_once),
	TEST(reused_if_it_fits),
	TEST(refused_is_no_peak),
	TEST(gives_way),
	TEST(bounded),
	TEST(goes_back_when_old),
	TEST(thread_leaves_nothing),
	TEST(sleeper_is_recalled),
	TEST(sleeper_keeps_no_more),
	TEST(recalled_in_use),
	TEST(resized_in_place),
};

TEST_MAIN(tests)
