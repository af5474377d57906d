// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Call sites that an interpreter names.
 */
#include <pthread.h>

#include "client.h"

#define BIG	(2 * MIB)
#define MEDIUM	(64 * KIB)

static __thread uint64_t here;
static unsigned int keys, names;

/* An interpreter that is at line @here of one file; at 0 it is not running. */
static uint64_t interpreter(char *name, size_t len)
{
	__atomic_fetch_add(name ? &names : &keys, 1, __ATOMIC_RELAXED);
	if (name && here)
		snprintf(name, len, "model.py:%d", (int)here);
	errno = EDOM;
	return here ? here << 32 | 1 : 0;
}

static int start(void **state)
{
	here = 0;
	keys = 0;
	names = 0;
	bmem_set_caller(interpreter);
	return test_note_name(state);
}

static int stop(void **state)
{
	(void)state;
	bmem_set_caller(NULL);
	return 0;
}

static struct bmem_client *client_standard(void)
{
	struct bmem_client *c = client();

	EQ(bmem_set_level(c, BMEM_LEVEL_STANDARD), 0);
	return c;
}

__attribute__((noinline))
static void *one(struct bmem_client *c, size_t size, const char *label)
{
	void *p = bmem_alloc(c, size, 0, 0, label);

	IS(p);
	return p;
}

__attribute__((noinline))
static void *other(struct bmem_client *c, size_t size, const char *label)
{
	void *p = bmem_alloc(c, size, 0, 0, label);

	IS(p);
	return p;
}

static void named(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();

	(void)state;
	here = 42;
	STR(info_of(c, one(c, BIG, NULL)).label, "model.py:42");
	STR(info_of(c, one(c, MEDIUM, NULL)).label, "model.py:42");
	STR(info_of(c, one(c, BIG, "weights")).label, "weights @ model.py:42");
	bmem_scope_push("decoder");
	STR(info_of(c, one(c, BIG, NULL)).label, "decoder @ model.py:42");
	bmem_scope_pop();
	here = 43;
	STR(info_of(c, one(c, BIG, NULL)).label, "model.py:43");
}

static void one_site_a_place(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	uint32_t site, i;

	(void)state;
	here = 7;
	site = info_of(c, one(c, BIG, NULL)).site;
	for (i = 0; i < 10; i++) {
		EQ(info_of(c, one(c, BIG, NULL)).site, site);
		EQ(info_of(c, other(c, MEDIUM, NULL)).site, site);
	}
	EQ(stats_of(c).sites, 1);
	/* The name is asked for once. */
	EQ(names, 1);
}

static void not_running(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	uint32_t a, b;

	(void)state;
	a = info_of(c, one(c, BIG, NULL)).site;
	b = info_of(c, other(c, BIG, NULL)).site;
	IS(a && b && a != b);
	HAS(info_of(c, one(c, BIG, NULL)).label, "test_caller+0x");
	EQ(names, 0);
}

static void small_is_not_asked(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();

	(void)state;
	here = 5;
	HAS(info_of(c, one(c, MEDIUM - 1, NULL)).label, "test_caller+0x");
	EQ(keys, 0);
}

/* Where a stack would be sampled the place is: of many, some. */
static void samples(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	uint32_t i, hits = 0;

	(void)state;
	here = 9;
	for (i = 0; i < 1000; i++)
		hits += !strcmp(info_of(c, one(c, 100, NULL)).label,
				"model.py:9");
	IS(hits > 0 && hits < 1000);
}

static void keeps_errno(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();

	(void)state;
	here = 3;
	errno = EXDEV;
	IS(one(c, BIG, NULL));
	EQ(errno, EXDEV);
	IS(one(c, BIG, NULL));
	EQ(errno, EXDEV);
}

static uint64_t writes_too_much(char *name, size_t len)
{
	if (name)
		memset(name, 'x', len);
	return 1;
}

static void long_name(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	char label[200];

	(void)state;
	memset(label, 'l', sizeof(label));
	label[sizeof(label) - 1] = 0;
	bmem_set_caller(writes_too_much);
	EQ(strlen(info_of(c, one(c, BIG, NULL)).label), BMEM_LABEL_LEN - 1);
	bmem_scope_push("s");
	HAS(info_of(c, one(c, BIG, label)).label, "s/lll");
	HAS(info_of(c, one(c, BIG, label)).label, "l @ xxx");
	bmem_scope_pop();
}

static void taken_away(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();

	(void)state;
	here = 6;
	bmem_set_caller(NULL);
	HAS(info_of(c, one(c, BIG, NULL)).label, "test_caller+0x");
}

static void *in_thread(void *arg)
{
	struct bmem_client *c = arg;
	long i, bad = 0;
	char want[32];

	for (i = 0; i < 200; i++) {
		here = 1 + (uint64_t)i % 20;
		snprintf(want, sizeof(want), "model.py:%d", (int)here);
		bad += !!strcmp(info_of(c, one(c, MEDIUM, NULL)).label, want);
	}
	return (void *)bad;
}

/* Places are the threads' own, their sites are not. */
static void threads(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	pthread_t t[4];
	void *bad;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, in_thread, c), 0);
	for (i = 0; i < 4; i++) {
		EQ(pthread_join(t[i], &bad), 0);
		EQ((long)bad, 0);
	}
	EQ(stats_of(c).sites, 20);
}

#define HOOKED(f) { #f, f, start, stop, (void *)#f }

static const struct CMUnitTest tests[] = {
	HOOKED(named),
	HOOKED(one_site_a_place),
	HOOKED(not_running),
	HOOKED(small_is_not_asked),
	HOOKED(samples),
	HOOKED(keeps_errno),
	HOOKED(long_name),
	HOOKED(taken_away),
	HOOKED(threads),
};

TEST_MAIN(tests)
