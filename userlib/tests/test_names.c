// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Numbers of call sites where hashes meet: looks into src/site.c, which is
 * compiled in here with a backend that only remembers.
 */
#include "../src/site.c"
#include "test.h"

#define NAMES	400000

static struct bmem_site last;
static unsigned int calls;

static int remember(struct bmem_client *client, unsigned long cmd, void *arg)
{
	(void)client;
	EQ(cmd, BMEM_SITE);
	last = *(struct bmem_site *)arg;
	calls++;
	errno = EIO;
	return 0;
}

static const struct backend fake = { .call = remember };

static struct bmem_client *fresh(void)
{
	struct bmem_client *c = aligned_alloc(BMEM_PAGE_SIZE, sizeof(*c));

	IS(c);
	memset(c, 0, sizeof(*c));
	c->backend = &fake;
	calls = 0;
	return c;
}

static void name_of(char *name, size_t i)
{
	sprintf(name, "name %zu", i);
}

static uint64_t hash_of(size_t i)
{
	char name[32];

	name_of(name, i);
	return hash_text(0, name, strlen(name));
}

struct low {
	uint32_t hash;
	uint32_t name;
};

static int by_hash(const void *a, const void *b)
{
	const struct low *x = a, *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Among so many names some have the same lower half of their hash. */
static void names_that_meet(void **state)
{
	struct low *low = calloc(NAMES, sizeof(*low));
	struct bmem_client *c = fresh();
	unsigned int pairs = 0;
	char a[32], b[32];
	uint32_t na, nb;
	size_t i;

	(void)state;
	IS(low);
	for (i = 0; i < NAMES; i++) {
		low[i].hash = (uint32_t)hash_of(i);
		low[i].name = (uint32_t)i;
	}
	qsort(low, NAMES, sizeof(*low), by_hash);
	for (i = 1; i < NAMES; i++) {
		if (low[i].hash != low[i - 1].hash)
			continue;
		pairs++;
		name_of(a, low[i - 1].name);
		name_of(b, low[i].name);
		na = bmem_site(c, a);
		nb = bmem_site(c, b);
		IS(na && nb);
		IS(na != nb);
		STR(last.label, b);
		EQ(bmem_site(c, a), na);
		EQ(bmem_site(c, b), nb);
	}
	/* 18 are expected; none in 1e-8 of all hash functions. */
	IS(pairs > 0);
	EQ(calls, 2 * pairs);
	free(low);
	free(c);
}

/* The same name is the same number in another process, too. */
static void number_is_of_the_name(void **state)
{
	struct bmem_client *c = fresh(), *d = fresh();
	char name[32];
	size_t i;

	(void)state;
	for (i = 0; i < 100; i++) {
		name_of(name, i);
		EQ(bmem_site(c, name), (uint32_t)hash_of(i));
	}
	for (i = 100; i--;) {
		name_of(name, i);
		EQ(bmem_site(d, name), (uint32_t)hash_of(i));
	}
	free(c);
	free(d);
}

/* Where another thread has claimed a slot and not yet published it. */
static void pending_slot(void **state)
{
	struct bmem_client *c = fresh();
	const struct stack none = { 0 };
	uint32_t number = (uint32_t)hash_of(5);

	(void)state;
	IS(slot_get(&c->sites, stack_key(&none, what_of("name 5", 0))));
	EQ(bmem_site(c, "name 5"), number);
	EQ(calls, 1);
	EQ(bmem_site(c, "name 5"), number);
	EQ(calls, 1);
	free(c);
}

/* Whatever goes on underneath, an allocation's errno is not touched. */
static void errno_kept(void **state)
{
	struct bmem_client *c = fresh();

	(void)state;
	errno = 77;
	IS(bmem_site(c, "first sight"));
	EQ(calls, 1);
	EQ(errno, 77);
	free(c);
}

static void hash_of_every_byte(void **state)
{
	char text[BMEM_LABEL_LEN] = "", flipped[BMEM_LABEL_LEN];
	size_t len, i;

	(void)state;
	for (len = 1; len < sizeof(text); len++) {
		text[len - 1] = 'a';
		IS(hash_text(0, text, len) != hash_text(0, text, len - 1));
		for (i = 0; i < len; i++) {
			memcpy(flipped, text, sizeof(text));
			flipped[i] ^= 1;
			IS(hash_text(0, text, len) !=
			   hash_text(0, flipped, len));
		}
	}
}

static void name_without_symbol(void **state)
{
	char name[BMEM_LABEL_LEN];

	(void)state;
	/* No object is mapped there. */
	site_name(name, NULL, (void *)0x1000);
	STR(name, "?+0x1000");
	site_name(name, "label", (void *)0x1000);
	STR(name, "label @ ?+0x1000");
	/* A function that the dynamic linker knows. */
	site_name(name, NULL, (char *)(uintptr_t)&strtoul + 1);
	HAS(name, " @ libc.so.6+0x");
}

static const struct CMUnitTest tests[] = {
	TEST(names_that_meet),
	TEST(number_is_of_the_name),
	TEST(pending_slot),
	TEST(errno_kept),
	TEST(hash_of_every_byte),
	TEST(name_without_symbol),
};

TEST_MAIN(tests)
