/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Hashes of words and texts.
 */
#ifndef BMEM_HASH_H
#define BMEM_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The finaliser of MurmurHash3: every bit of the input moves every other. */
static inline uint64_t mix(uint64_t h)
{
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 33);
}

static inline uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		h = mix(h ^ word);
		text += sizeof(word);
	}
	word = (uint64_t)len << 56;
	memcpy(&word, text, len);
	return mix(h ^ word);
}

/**
 * struct twin - two hashes of the same thing, independent of each other
 * @key: what tables are searched by
 * @check: what tells two things apart whose @key is equal
 *
 * Together they are taken for the thing itself: among 16384 things, a chance
 * of 1e-30 that two are mistaken for each other.  Neither is 0.
 */
struct twin {
	uint64_t key;
	uint64_t check;
};

static inline struct twin twin_add(struct twin t, uint64_t word)
{
	t.key = (t.key ^ word) * 0x9e3779b97f4a7c15ULL;
	t.key ^= t.key >> 32;
	t.check = (t.check + word) * 0xd6e8feb86659fd93ULL;
	t.check ^= t.check >> 29;
	return t;
}

static inline struct twin twin_end(struct twin t)
{
	t.key = mix(t.key);
	t.check = mix(t.check);
	t.key += !t.key;
	t.check += !t.check;
	return t;
}

#endif /* BMEM_HASH_H */
