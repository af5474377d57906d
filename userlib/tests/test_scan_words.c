// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The scan's look at words (module/scan_words.h) by itself, against the plainest
 * one there can be.
 */
#include "scan_words.h"
#include "test.h"

#define WORDS	64
#define SPACE	0x7f1200000000ULL
#define SIZE	(64ULL << 20)

static struct scan_look look;
static u64 got[2 * WORDS];
static unsigned int nr_got;

static void take(void *arg, u64 value)
{
	(void)arg;
	if (nr_got < COUNT(got))
		got[nr_got++] = value;
}

static void clear(void)
{
	unsigned int i;

	memset(&look, 0, sizeof(look));
	for (i = 0; i < SCAN_RECENT; i++)
		look.recent[i].page = ~0U;
	nr_got = 0;
}

/* Each length, with words at the edges of the space in each place. */
static void all_words_once(void **state)
{
	static const u64 values[] = {
		SPACE - 1, SPACE, SPACE + 1, SPACE + SIZE - 1, SPACE + SIZE, 0,
		~0ULL,
	};
	u64 words[WORDS], want[WORDS];
	unsigned int nr, i, n, round;

	(void)state;
	for (nr = 0; nr <= WORDS; nr++) {
		for (round = 0; round < COUNT(values); round++) {
			for (i = 0, n = 0; i < nr; i++) {
				words[i] = values[(i * 5 + i / 7 + round) %
						  COUNT(values)];
				if (words[i] >= SPACE && words[i] < SPACE + SIZE)
					want[n++] = words[i];
			}
			nr_got = 0;
			scan_words(SPACE, SIZE, words, words + nr, take, NULL);
			EQ(nr_got, n);
			IS(!memcmp(got, want, n * sizeof(*want)));
		}
	}
	/* Mapped nowhere. */
	nr_got = 0;
	scan_words(~0ULL, 0, words, words + WORDS, take, NULL);
	EQ(nr_got, 0);
}

/* The gap between two mappings leads nowhere; what is mapped twice, once each. */
static void mappings(void **state)
{
	(void)state;
	clear();
	look.nr_ranges = 3;
	look.ranges[0] = (struct scan_range){ SPACE, SPACE + 4096, 8192 };
	look.ranges[1] = (struct scan_range){ SPACE + 65536, SPACE + 69632, 0 };
	look.ranges[2] = (struct scan_range){ SPACE, SPACE + 4096, 8192 };
	scan_address(&look, SPACE + 4096, take, NULL);
	scan_address(&look, SPACE + 65535, take, NULL);
	scan_address(&look, SPACE - 1, take, NULL);
	EQ(nr_got, 0);
	scan_address(&look, SPACE + 65536 + 7, take, NULL);
	EQ(nr_got, 1);
	EQ(got[0], 7);
	scan_address(&look, SPACE + 4095, take, NULL);
	EQ(nr_got, 3);
	EQ(got[1], 8192 + 4095);
	EQ(got[2], 8192 + 4095);
}

/* A tensor is known as a whole, a slab's slots one by one. */
static void what_is_known(void **state)
{
	u32 class = slab_class_of(192), bytes = slab_classes[class].bytes, slot;
	u64 first = 300 * 4096;

	(void)state;
	clear();
	EQ(scan_known(&look, 77 * 4096), false);
	*scan_recent_at(&look, 77) = (struct scan_recent){
		.page = 77, .first = 70, .class = SLAB_CLASSES,
	};
	EQ(scan_known(&look, 77 * 4096), true);
	EQ(scan_known(&look, 77 * 4096 + 4095), true);
	EQ(scan_known(&look, 78 * 4096), false);
	*scan_recent_at(&look, 300) = (struct scan_recent){
		.page = 300, .first = 300, .class = class, .reached = 0x5,
	};
	for (slot = 0; slot < 4; slot++) {
		EQ(scan_known(&look, first + slot * bytes), !(slot & 1));
		EQ(scan_known(&look, first + slot * bytes + bytes - 1),
		   !(slot & 1));
	}
	/* Another page of the same hash is not mistaken for it. */
	for (slot = 301; scan_recent_at(&look, slot) != scan_recent_at(&look, 300);
	     slot++)
		;
	EQ(scan_known(&look, (u64)slot * 4096), false);
}

static const struct CMUnitTest tests[] = {
	TEST(all_words_once),
	TEST(mappings),
	TEST(what_is_known),
};

TEST_MAIN(tests)
