// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the shortest way of an allocation and a free counts on: tables and
 * arithmetic of the threads' caches.
 */
#include "../src/cache.h"
#include "client.h"

static struct cache *m;

static int set_up(void **state)
{
	test_note_name(state);
	m = scratch_get(sizeof(*m));
	IS(m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_put(m, sizeof(*m));
	return 0;
}

#define CACHE_TEST(f)	{ #f, f, set_up, tear_down, (void *)#f }

/* Against a division, wherever a pointer can lead. */
static void slot_at_every_offset(void **state)
{
	uint32_t class, at, slot, bytes, len;
	struct magazine *mag;

	(void)state;
	for (class = 0; class < BMEM_CLASSES; class++) {
		mag = magazine_of(m, class);
		magazine_set(mag, class, m->idle[class]);
		bytes = slab_classes[class].bytes;
		len = slab_classes[class].pages * BMEM_PAGE_SIZE;
		for (at = 0; at < len; at++) {
			slot = slot_at(mag, at);
			if (at % bytes || at / bytes >= slab_classes[class].slots)
				EQ(slot, ~0U);
			else
				EQ(slot, at / bytes);
		}
	}
}

static void magazine_of_every_size(void **state)
{
	struct bmem_client *c = client();
	size_t size;

	(void)state;
	for (size = 1; size <= BMEM_SLOT_MAX; size++)
		EQ(c->magazine_offsets[(size - 1) / SLAB_GRANULE],
		   (char *)magazine_of(m, slab_class_of((uint32_t)size)) -
		   (char *)m);
	bmem_close(c);
}

/* As a child of fork() finds them: nothing to take, and room for nothing. */
static void zeroes_are_no_magazine(void **state)
{
	uint32_t kind, at;

	(void)state;
	for (kind = 0; kind <= BMEM_CLASSES; kind++) {
		const struct magazine *mag = &m->magazines[kind];

		IS(mag->top == mag->bottom);
		IS(mag->top == mag->end);
		for (at = 0; at < SLAB_PAGES_MAX * BMEM_PAGE_SIZE; at += 64)
			EQ(slot_at(mag, at), ~0U);
	}
}

static const struct CMUnitTest tests[] = {
	CACHE_TEST(slot_at_every_offset),
	CACHE_TEST(magazine_of_every_size),
	CACHE_TEST(zeroes_are_no_magazine),
};

TEST_MAIN(tests)
