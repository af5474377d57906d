// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Scopes: nesting, threads, more than there is room for.
 */
#include <pthread.h>

#include "stacks.h"

static struct bmem_client *c;

/* The label of a tensor that is allocated now. */
__attribute__((noinline))
static const char *label_now(const char *label)
{
	static __thread char text[BMEM_LABEL_LEN];
	void *p = bmem_alloc(c, 64, 0, 0, label);

	strcpy(text, info_of(c, p).label);
	EQ(bmem_free(c, p), 0);
	return text;
}

static int set_up(void **state)
{
	test_note_name(state);
	c = client();
	/* One sample in 2^29, the least there is. */
	atomic_store(&c->sites.costs.governor.throttle, 30);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	EQ(bmem_scope_id(), 0);
	bmem_close(c);
	return 0;
}

#undef TEST
#define TEST(f)		{ #f, f, set_up, tear_down, (void *)#f }

static void nesting(void **state)
{
	(void)state;
	HAS(label_now(NULL), "test_scope+0x");
	bmem_scope_push("decoder");
	HAS(label_now(NULL), "decoder @ test_scope+0x");
	bmem_scope_push("kv-cache");
	HAS(label_now(NULL), "decoder/kv-cache @ test_scope+0x");
	HAS(label_now("keys"), "decoder/kv-cache/keys @ test_scope+0x");
	HAS(label_now(""), "decoder/kv-cache @ test_scope+0x");
	bmem_scope_pop();
	HAS(label_now(NULL), "decoder @ test_scope+0x");
	bmem_scope_pop();
	IS(!strstr(label_now(NULL), "decoder"));
}

static void sites_of_scopes(void **state)
{
	static const char * const names[] = { NULL, "one", "two" };
	struct site_cache *sc = cache();
	uint32_t site[3] = { 0 }, now;
	int i;

	(void)state;
	for (i = 0; i < 9; i++) {
		bmem_scope_push(names[i % 3]);
		now = site_here(c, sc, NULL, BMEM_LEVEL_STANDARD, 64);
		bmem_scope_pop();
		if (i < 3)
			site[i] = now;
		EQ(now, site[i % 3]);
	}
	IS(site[0] && site[1] && site[2]);
	IS(site[0] != site[1] && site[0] != site[2] && site[1] != site[2]);
	free(sc);
}

static void text_is_copied(void **state)
{
	char name[16] = "first";

	(void)state;
	bmem_scope_push(name);
	strcpy(name, "second");
	HAS(label_now(NULL), "first @ ");
	bmem_scope_push(name);
	HAS(label_now(NULL), "first/second @ ");
	bmem_scope_pop();
	bmem_scope_pop();
}

static void odd_names(void **state)
{
	char longer[200], label[BMEM_LABEL_LEN];
	uint32_t id;

	(void)state;
	bmem_scope_push("a\nb");
	id = bmem_scope_id();
	HAS(label_now(NULL), "a?b @ ");
	bmem_scope_push(NULL);
	EQ(bmem_scope_id(), id);
	bmem_scope_push("");
	EQ(bmem_scope_id(), id);
	bmem_scope_pop();
	bmem_scope_pop();
	EQ(bmem_scope_id(), id);
	bmem_scope_pop();
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	bmem_scope_push(longer);
	bmem_scope_push("inner");
	scope_text(label, bmem_scope_id());
	EQ(strlen(label), BMEM_LABEL_LEN - 1);
	HAS(label_now(NULL), "xxx @ test_scope+0x");
	bmem_scope_pop();
	bmem_scope_pop();
}

static void deeper_than_there_is_room(void **state)
{
	uint32_t id[41] = { 0 };
	char name[16];
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%d", i);
		bmem_scope_push(name);
		id[i + 1] = bmem_scope_id();
	}
	EQ(id[40], id[SCOPE_DEPTH]);
	/* Up to where the text is full, each is another one. */
	for (i = 1; i <= 20; i++)
		IS(id[i] && id[i] != id[i - 1]);
	for (i = 40; i--;) {
		bmem_scope_pop();
		EQ(bmem_scope_id(), id[i]);
	}
}

static void more_pops_than_pushes(void **state)
{
	(void)state;
	bmem_scope_pop();
	bmem_scope_pop();
	bmem_scope_push("after");
	HAS(label_now(NULL), "after @ ");
	bmem_scope_pop();
}

static void until_the_block_ends(void **state)
{
	(void)state;
	{
		BMEM_SCOPE("outer");
		BMEM_SCOPE("inner");

		HAS(label_now(NULL), "outer/inner @ ");
	}
	EQ(bmem_scope_id(), 0);
}

static void *thread(void *arg)
{
	const char *name = arg;
	char want[32];
	int i;

	EQ(bmem_scope_id(), 0);
	snprintf(want, sizeof(want), "of thread/%s @ ", name);
	for (i = 0; i < 200; i++) {
		BMEM_SCOPE("of thread");
		BMEM_SCOPE(name);

		HAS(label_now(NULL), want);
	}
	return NULL;
}

static void of_the_thread_alone(void **state)
{
	static char names[][2] = { "a", "b", "c", "d" };
	pthread_t t[COUNT(names)];
	size_t i;

	(void)state;
	bmem_scope_push("main");
	for (i = 0; i < COUNT(names); i++)
		EQ(pthread_create(&t[i], NULL, thread, names[i]), 0);
	for (i = 0; i < COUNT(names); i++)
		EQ(pthread_join(t[i], NULL), 0);
	HAS(label_now(NULL), "main @ ");
	bmem_scope_pop();
}

/* The last: there is no room afterwards. */
static void more_scopes_than_there_is_room(void **state)
{
	uint32_t outer, refused = 0, i;
	char name[16];

	(void)state;
	bmem_scope_push("outer");
	outer = bmem_scope_id();
	for (i = 0; i < 2 * SCOPES_MAX; i++) {
		snprintf(name, sizeof(name), "scope %u", i);
		bmem_scope_push(name);
		refused += bmem_scope_id() == outer;
		bmem_scope_pop();
		EQ(bmem_scope_id(), outer);
	}
	IS(refused > SCOPES_MAX);
	IS(refused < SCOPES_MAX / 4 * 5 + 100);
	/* What was named before is still known. */
	bmem_scope_push("scope 0");
	IS(bmem_scope_id() != outer);
	HAS(label_now(NULL), "outer/scope 0 @ ");
	bmem_scope_pop();
	bmem_scope_pop();
}

static const struct CMUnitTest tests[] = {
	TEST(nesting),
	TEST(sites_of_scopes),
	TEST(text_is_copied),
	TEST(odd_names),
	TEST(deeper_than_there_is_room),
	TEST(more_pops_than_pushes),
	TEST(until_the_block_ends),
	TEST(of_the_thread_alone),
	TEST(more_scopes_than_there_is_room),
};

TEST_MAIN(tests)
