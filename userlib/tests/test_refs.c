// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors with several holders, and views: the last one frees, no one twice.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "child.h"
#include "client.h"

static struct bmem_client *c;

static void last_one_frees(void **state)
{
	static const size_t sizes[] = { 100, 5000, 40000, 3000000 };
	size_t i;
	char *p;

	(void)state;
	c = client();
	for (i = 0; i < COUNT(sizes); i++) {
		p = bmem_alloc(c, sizes[i], 0, 0, NULL);
		assert_non_null(p);
		EQ(bmem_ref(c, p), 0);
		EQ(bmem_ref(c, p), 0);
		EQ(bmem_unref(c, p), 0);
		EQ(bmem_unref(c, p), 0);
		LIVE(c, 1, sizes[i]);
		memset(p, 7, sizes[i]);
		EQ(bmem_unref(c, p), 0);
		LIVE(c, 0, 0);
		EQ(bmem_unref(c, p), -ENOENT);
		/* One holder, as any tensor has. */
		p = bmem_alloc(c, sizes[i], 0, 0, NULL);
		EQ(bmem_unref(c, p), 0);
		LIVE(c, 0, 0);
	}
	EQ(bmem_unref(c, NULL), 0);
	bmem_close(c);
}

static void views_keep_their_base(void **state)
{
	char *p, *a, *b, *again;

	(void)state;
	c = client();
	p = bmem_alloc(c, 100000, 0, 0, NULL);
	memset(p, 3, 100000);
	a = bmem_view(c, p, 50000, 1000);
	IS(a == p + 50000);
	b = bmem_view(c, a, 100, 10);
	IS(b == p + 50100);
	again = bmem_view(c, p, 50000, 50000);
	IS(again == a);
	/* Who allocated it lets go: it stays. */
	EQ(bmem_unref(c, p), 0);
	EQ(bmem_unref(c, p), -ENOENT);
	LIVE(c, 1, 100000);
	EQ(bmem_unref(c, a), 0);
	IS(all_are(b, 3, 10));
	EQ(bmem_unref(c, a), 0);
	LIVE(c, 1, 100000);
	EQ(bmem_ref(c, b), 0);
	EQ(bmem_unref(c, b), 0);
	LIVE(c, 1, 100000);
	EQ(bmem_unref(c, b), 0);
	LIVE(c, 0, 0);
	EQ(bmem_unref(c, b), -EINVAL);
	bmem_close(c);
}

/* Of a small tensor, at its beginning, of all of it. */
static void views_of_all_kinds(void **state)
{
	char *p, *v;

	(void)state;
	c = client();
	p = bmem_alloc(c, 200, 0, 0, NULL);
	v = bmem_view(c, p, 0, 200);
	IS(v == p);
	EQ(bmem_unref(c, v), 0);
	LIVE(c, 1, 200);
	v = bmem_view(c, p, 199, 1);
	IS(v == p + 199);
	EQ(bmem_unref(c, p), 0);
	v[0] = 1;
	EQ(bmem_unref(c, v), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

static void misuse(void **state)
{
	char *p, *v;
	int local;

	(void)state;
	c = client();
	p = bmem_alloc(c, 1000, 0, 0, NULL);
	EQ(bmem_ref(c, &local), -EINVAL);
	EQ(bmem_unref(c, &local), -EINVAL);
	EQ(bmem_ref(c, NULL), -EINVAL);
	NUL(bmem_view(c, &local, 0, 1), EINVAL);
	EQ(bmem_ref(c, p + 64), -ENOENT);
	NUL(bmem_view(c, p + 64, 0, 1), ENOENT);
	/* The exact size counts, not what was granted. */
	NUL(bmem_view(c, p, 0, 1001), EINVAL);
	NUL(bmem_view(c, p, 1001, 0), EINVAL);
	NUL(bmem_view(c, p, SIZE_MAX, 2), EINVAL);
	NUL(bmem_view(c, p, 2, SIZE_MAX), EINVAL);
	v = bmem_view(c, p, 1000, 0);
	IS(v == p + 1000);
	EQ(bmem_unref(c, v), 0);
	/* What failed left nothing behind: it is a tensor like any other. */
	EQ(bmem_free(c, p), 0);
	/* Where nothing more was granted, the end is another's beginning. */
	p = bmem_alloc(c, 128, 0, 0, NULL);
	EQ(bmem_usable_size(c, p), 128);
	NUL(bmem_view(c, p, 128, 0), EINVAL);
	v = bmem_view(c, p, 100, 28);
	IS(v == p + 100);
	NUL(bmem_view(c, v, 28, 0), EINVAL);
	EQ(bmem_unref(c, v), 0);
	EQ(bmem_free(c, p), 0);
	p = bmem_alloc(c, 1000, 0, 0, NULL);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_ref(c, p), -ENOENT);
	p = bmem_alloc(c, 1000, 0, 0, NULL);
	EQ(bmem_unref(c, p), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

/* ---- many ------------------------------------------------------------------- */

#define BASES	300

/* The table grows and shrinks; a model counts beside it. */
static void random_walk(void **state)
{
	unsigned long steps = test_number("BMEM_TEST_STEPS", 40000);
	static unsigned int held[BASES][9];
	uint64_t seed = 0x5eed;
	char *base[BASES] = { 0 };
	unsigned long s, live = 0;

	(void)state;
	c = client();
	memset(held, 0, sizeof(held));
	for (s = 0; s < steps; s++) {
		unsigned int i = test_random(&seed) % BASES;
		unsigned int v = test_random(&seed) % 9, k, any = 0;

		if (!base[i]) {
			base[i] = bmem_alloc(c, 1000 + 40 * i, 0, 0, NULL);
			assert_non_null(base[i]);
			held[i][0] = 1;
			live++;
			continue;
		}
		for (k = 0; k < 9; k++)
			any += held[i][k];
		if (test_random(&seed) % 2) {
			/* Only who holds something may make a view of it. */
			if (!held[i][0])
				continue;
			IS(bmem_view(c, base[i], 100 * v, 90) ==
			   base[i] + 100 * v);
			held[i][v]++;
		} else if (held[i][v]) {
			EQ(bmem_unref(c, base[i] + 100 * v), 0);
			held[i][v]--;
			if (any == 1) {
				base[i] = NULL;
				live--;
			}
		}
		if (s % 1000 == 0)
			EQ(stats_of(c).live_tensors, live);
	}
	for (s = 0; s < BASES; s++) {
		unsigned int v;

		for (v = 0; base[s] && v < 9; v++)
			while (held[s][v]--)
				EQ(bmem_unref(c, base[s] + 100 * v), 0);
	}
	LIVE(c, 0, 0);
	bmem_close(c);
}

#define THREADS	4
#define ROUNDS	3000

static char *common;

static void *hold_and_let_go(void *arg)
{
	unsigned int i;
	char *v;

	for (i = 0; i < ROUNDS; i++) {
		v = bmem_view(c, common, i % 500, 10);
		if (v != common + i % 500 || *v != 9 || bmem_ref(c, v) ||
		    bmem_unref(c, v) || bmem_unref(c, v))
			return arg;
	}
	return bmem_unref(c, common) ? arg : NULL;
}

/* Each thread lets go of its own reference at last; one of them frees. */
static void threads_hold(void **state)
{
	pthread_t t[THREADS];
	unsigned int i;
	void *bad;

	(void)state;
	c = client();
	common = bmem_alloc(c, 1000, 0, 0, NULL);
	memset(common, 9, 1000);
	for (i = 1; i < THREADS; i++)
		EQ(bmem_ref(c, common), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_create(&t[i], NULL, hold_and_let_go, common), 0);
	for (i = 0; i < THREADS; i++) {
		EQ(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	LIVE(c, 0, 0);
	bmem_close(c);
}

/* ---- fork --------------------------------------------------------------------- */

static char *kept;

static int child_lets_go(void)
{
	if (bmem_unref(c, kept + 10) || bmem_unref(c, kept) ||
	    bmem_unref(c, kept) != -ENOENT)
		return 1;
	return stats_of(c).live_tensors ? 2 : 0;
}

/* A child of its own has counts of its own. */
static void private_child_has_its_counts(void **state)
{
	struct bmem_options o = {
		.max_bytes = LIMIT, .flags = BMEM_OPEN_PRIVATE,
	};

	(void)state;
	c = client_with(&o);
	kept = bmem_alloc(c, 50000, 0, 0, NULL);
	IS(bmem_view(c, kept, 10, 10) == kept + 10);
	EQ(in_child(child_lets_go).status, 0);
	LIVE(c, 1, 50000);
	EQ(bmem_unref(c, kept), 0);
	EQ(bmem_unref(c, kept + 10), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

static atomic_bool stop;

static void *churn(void *arg)
{
	char *p = arg;

	while (!atomic_load(&stop)) {
		if (bmem_ref(c, p) || bmem_unref(c, p))
			return NULL;
	}
	return arg;
}

static int child_uses_refs(void)
{
	char *p = bmem_alloc(c, 100, 0, 0, NULL);

	return !p || bmem_ref(c, p) || bmem_unref(c, p) || bmem_unref(c, p);
}

/* A thread that is in the table when fork() is called is not in the child's. */
static void fork_in_the_middle(void **state)
{
	/* Few under valgrind, where the thread that forks seldom has its turn. */
	unsigned long forks = test_number("BMEM_TEST_STEPS", 40000) / 400, i;
	char *p;
	pthread_t t;
	void *ok;

	(void)state;
	c = client();
	p = bmem_alloc(c, 100, 0, 0, NULL);
	atomic_store(&stop, false);
	EQ(pthread_create(&t, NULL, churn, p), 0);
	for (i = 0; i < forks; i++)
		EQ(in_child(child_uses_refs).status, 0);
	atomic_store(&stop, true);
	EQ(pthread_join(t, &ok), 0);
	IS(ok == p);
	EQ(bmem_unref(c, p), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

static const struct CMUnitTest tests[] = {
	TEST(last_one_frees),
	TEST(views_keep_their_base),
	TEST(views_of_all_kinds),
	TEST(misuse),
	TEST(random_walk),
	TEST(threads_hold),
	TEST(private_child_has_its_counts),
	TEST(fork_in_the_middle),
};

TEST_MAIN(tests)
