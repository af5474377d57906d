// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a block of code leaves behind, on either backend.
 */
#include <pthread.h>

#include "client.h"

static struct bmem_client *cl;

static int setup(void **state)
{
	test_note_name(state);
	cl = client();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bmem_close(cl);
	return 0;
}

#define BLOCK_TEST(f)	{ #f, f, setup, teardown, (void *)#f }

static const size_t sizes[] = { 100, 5000, 40000, 300000, 3 << 20 };

/* What was there before, and what has come and gone, is not left behind. */
static void clean(void **state)
{
	struct bmem_block *b;
	void *before[5], *p;
	char text[64] = "x";
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++)
		before[i] = bmem_alloc(cl, sizes[i], 64, 0, "before");
	b = bmem_block_begin(cl);
	IS(b);
	for (i = 0; i < COUNT(sizes); i++) {
		p = bmem_alloc(cl, sizes[i], 64, 0, "inside");
		IS(p);
		EQ(bmem_free(cl, p), 0);
	}
	/* In the place of one that was there: nothing is more than before. */
	EQ(bmem_free(cl, before[2]), 0);
	EQ(bmem_block_end(b, text, sizeof(text)), 0);
	STR(text, "");
	for (i = 0; i < COUNT(sizes); i++)
		if (i != 2)
			EQ(bmem_free(cl, before[i]), 0);
}

static void left(void **state)
{
	struct bmem_block *outer = bmem_block_begin(cl), *inner;
	char text[1024], inside[1024];
	void *p[8];
	int i;

	(void)state;
	IS(outer);
	for (i = 0; i < 3; i++)
		p[i] = bmem_alloc(cl, 1000, 64, 0, "small");
	inner = bmem_block_begin(cl);
	IS(inner);
	p[3] = bmem_alloc(cl, 1 << 20, 64, 0, "large");
	EQ(bmem_block_end(inner, inside, sizeof(inside)), 1);
	HAS(inside, "1048576 bytes in 1 tensors left behind:\n");
	HAS(inside, "1048576 bytes in 1 tensors from large");
	IS(!strstr(inside, "small"));
	EQ(bmem_block_end(outer, text, sizeof(text)), 4);
	HAS(text, "1051576 bytes in 4 tensors left behind:\n");
	HAS(text, "3000 bytes in 3 tensors from small");
	/* The largest first. */
	IS(strstr(text, "large") < strstr(text, "small"));
	for (i = 0; i < 4; i++)
		EQ(bmem_free(cl, p[i]), 0);
}

/* One that has the place of one that was there before is another one. */
static void same_place(void **state)
{
	struct bmem_block *b;
	void *p, *again;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		p = bmem_alloc(cl, sizes[i], 64, 0, "place");
		b = bmem_block_begin(cl);
		EQ(bmem_free(cl, p), 0);
		again = bmem_alloc(cl, sizes[i], 64, 0, "place");
		IS(again == p);
		EQ(bmem_block_end(b, NULL, 0), 1);
		EQ(bmem_free(cl, again), 0);
	}
}

/* The message is bounded, and ends where there is no more room. */
static void messages(void **state)
{
	char label[32], text[4096], little[20];
	struct bmem_block *b, *c;
	void *p[40];
	int i;

	(void)state;
	b = bmem_block_begin(cl);
	c = bmem_block_begin(cl);
	for (i = 0; i < 40; i++) {
		snprintf(label, sizeof(label), "site-%d", i);
		p[i] = bmem_alloc(cl, 100 + i, 64, 0, label);
	}
	EQ(bmem_block_end(b, text, sizeof(text)), 40);
	HAS(text, "site-39");
	IS(!strstr(text, "site-1 "));
	HAS(text, "and more from 24 other sites");
	memset(little, 'x', sizeof(little));
	EQ(bmem_block_end(c, little, 10), 40);
	EQ(strlen(little), 9);
	EQ(little[10], 'x');
	for (i = 0; i < 40; i++)
		EQ(bmem_free(cl, p[i]), 0);
}

/* More than the tables begin with, of what was there and of call sites. */
static void many(void **state)
{
	enum { MANY = 2000 };
	static void *p[2 * MANY];
	struct bmem_block *b;
	char label[32], text[256];
	int i;

	(void)state;
	for (i = 0; i < MANY; i++)
		p[i] = bmem_alloc(cl, 64, 64, 0, "old");
	b = bmem_block_begin(cl);
	IS(b);
	for (; i < 2 * MANY; i++) {
		snprintf(label, sizeof(label), "site-%d", i % 500);
		p[i] = bmem_alloc(cl, 64, 64, 0, label);
	}
	EQ(bmem_block_end(b, text, sizeof(text)), MANY);
	HAS(text, "128000 bytes in 2000 tensors");
	for (i = 0; i < 2 * MANY; i++)
		EQ(bmem_free(cl, p[i]), 0);
}

/* What another thread has left, through its own magazine. */
static void *other(void *arg)
{
	*(void **)arg = bmem_alloc(cl, 200, 64, 0, "other thread");
	return NULL;
}

static void threads(void **state)
{
	struct bmem_block *b = bmem_block_begin(cl);
	char text[256];
	pthread_t t;
	void *p;

	(void)state;
	EQ(pthread_create(&t, NULL, other, &p), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(bmem_block_end(b, text, sizeof(text)), 1);
	HAS(text, "other thread");
	EQ(bmem_free(cl, p), 0);
}

/* The module looks for leaks, the fallback says that it cannot. */
static void scans(void **state)
{
	struct bmem_leak_scan scan = { .size = sizeof(scan) };
	struct bmem_leak_row row;
	struct bmem_leak_list list = {
		.size = sizeof(list), .row_size = sizeof(row), .nr = 1,
		.rows = (uintptr_t)&row,
	};
	int want = strcmp(bmem_backend_name(cl), "dev") ? -EOPNOTSUPP : 0;

	(void)state;
	EQ(bmem_leak_scan(cl, &scan), want);
	EQ(scan.confirmed, 0);
	EQ(bmem_leak_list(cl, &list), want);
	if (!want)
		EQ(list.nr, 0);
}

static const struct CMUnitTest tests[] = {
	BLOCK_TEST(clean),
	BLOCK_TEST(left),
	BLOCK_TEST(same_place),
	BLOCK_TEST(messages),
	BLOCK_TEST(many),
	BLOCK_TEST(threads),
	BLOCK_TEST(scans),
};

TEST_MAIN(tests)
