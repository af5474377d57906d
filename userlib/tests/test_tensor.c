// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Allocating and freeing: sizes, alignments, zeroing, batches, reallocation,
 * and every misuse by itself.
 */
#include "client.h"

static const size_t sizes[] = {
	1, 63, 64, 65, 4095, 4096, 4097,
	512 * KIB - 1, 512 * KIB, 512 * KIB + 1, 513 * KIB,
	MIB - 1, MIB, MIB + 1, HUGE - 1, HUGE, HUGE + 1,
	2202010 /* 2.1 MiB */, 64 * MIB + 1,
};

static size_t pages_up(size_t n)
{
	return (n + PAGE - 1) & ~(PAGE - 1);
}

static void alloc_every_size(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		size_t n = sizes[i];
		char *p = bmem_alloc(c, n, 0, 0, "size");
		struct bmem_tensor_desc d;

		IS(p);
		EQ((uintptr_t)p % BMEM_ALIGN_MIN, 0);
		memset(p, 0x5a, n);
		d = info_of(c, p);
		EQ(d.bytes, n);
		EQ(d.granted, granted_for(n));
		EQ(bmem_usable_size(c, p), granted_for(n));
		LIVE(c, 1, n);
		EQ(stats_of(c).granted_bytes - stats_of(c).idle_bytes,
		   granted_for(n));
		EQ(bmem_free(c, p), 0);
		LIVE(c, 0, 0);
		EQ(bmem_flush(c), 0);
		EQ(stats_of(c).granted_bytes, 0);
	}
	EQ(stats_of(c).allocs, COUNT(sizes));
	EQ(stats_of(c).frees, COUNT(sizes));
}

static void alloc_every_size_at_once(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p[COUNT(sizes)];
	size_t i, sum = 0;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		p[i] = bmem_alloc(c, sizes[i], 0, 0, NULL);
		IS(p[i]);
		memset(p[i], (int)i + 1, sizes[i]);
		sum += sizes[i];
		LIVE(c, i + 1, sum);
	}
	for (i = 0; i < COUNT(sizes); i++)
		IS(all_are(p[i], (unsigned char)(i + 1), sizes[i]));
	for (i = 0; i < COUNT(sizes); i++)
		EQ(bmem_free(c, p[i]), 0);
	LIVE(c, 0, 0);
}

static void alloc_size_zero(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();

	(void)state;
	NUL(bmem_alloc(c, 0, 0, 0, NULL), EINVAL);
	LIVE(c, 0, 0);
	EQ(stats_of(c).failed, 0);
}

static void alloc_size_max(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_query q = { .size = sizeof(q) };

	(void)state;
	NUL(bmem_alloc(c, SIZE_MAX, 0, 0, NULL), EOVERFLOW);
	NUL(bmem_alloc(c, SIZE_MAX - PAGE, 0, 0, NULL), EFBIG);
	EQ(bmem_query(c, &q), 0);
	NUL(bmem_alloc(c, q.space_bytes + 1, 0, 0, NULL), EFBIG);
	LIVE(c, 0, 0);
	EQ(stats_of(c).failed, 2);
}

static void alloc_beyond_limit(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *p;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(8 * MIB);
	NUL(bmem_alloc(c, 8 * MIB + 1, 0, 0, NULL), EFBIG);
	p = bmem_alloc(c, 8 * MIB, 0, 0, NULL);
	IS(p);
	EQ(bmem_free(c, p), 0);
}

static void align_good(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	size_t align;
	void *gap, *p;

	(void)state;
	/* So that nothing is aligned by chance. */
	gap = bmem_alloc(c, 1, 0, 0, NULL);
	IS(gap);
	for (align = BMEM_ALIGN_MIN; align <= BMEM_ALIGN_MAX; align *= 2) {
		p = bmem_alloc(c, 5000, align, 0, NULL);
		IS(p);
		EQ((uintptr_t)p % align, 0);
		EQ(info_of(c, p).bytes, 5000);
	}
	LIVE(c, 17, 1 + 16 * 5000);
}

static void align_bad(void **state)
{
	static const size_t bad[] = {
		1, 2, 8, 32, 63, 65, 96, 100, 4095, 3 * 4096, HUGE - 64,
		4 * MIB, 1UL << 31, 1UL << 32, (1UL << 32) + 64, SIZE_MAX,
	};
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		NUL(bmem_alloc(c, 100, bad[i], 0, NULL), EINVAL);
	LIVE(c, 0, 0);
}

static void flags_bad(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	unsigned int bit;

	(void)state;
	for (bit = 1; bit < 32; bit++)
		NUL(bmem_alloc(c, 100, 0, 1U << bit, NULL), EOPNOTSUPP);
	LIVE(c, 0, 0);
}

static void zero_fresh(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, 5 * MIB, 0, BMEM_ALLOC_ZERO, NULL);

	(void)state;
	IS(p);
	IS(all_are(p, 0, 5 * MIB));
	EQ(info_of(c, p).flags, BMEM_ALLOC_ZERO);
}

static void zero_after_dirt(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	size_t i;
	char *p;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		/* One chunk stays attached, so that dirt comes back. */
		p = bmem_alloc(c, 6 * MIB, 0, 0, NULL);
		IS(p);
		memset(p, 0xee, 6 * MIB);
		EQ(bmem_free(c, p), 0);
		p = bmem_alloc(c, sizes[i], 0, BMEM_ALLOC_ZERO, NULL);
		IS(p);
		IS(all_are(p, 0, sizes[i]));
		EQ(bmem_free(c, p), 0);
	}
}

/* Only every other page is dirty, in runs that do not end with words. */
static void zero_patches(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p[200], *all;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(p); i++) {
		p[i] = bmem_alloc(c, (1 + i % 5) * PAGE, 0, 0, NULL);
		IS(p[i]);
		memset(p[i], 0xdd, (1 + i % 5) * PAGE);
	}
	for (i = 0; i < COUNT(p); i++)
		EQ(bmem_free(c, p[i]), 0);
	all = bmem_alloc(c, 10 * MIB, 0, BMEM_ALLOC_ZERO, NULL);
	IS(all);
	IS(all_are(all, 0, 10 * MIB));
}

static void zero_leaves_neighbours(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p[32], *z;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(p); i++) {
		p[i] = bmem_alloc(c, PAGE, 0, 0, NULL);
		IS(p[i]);
		memset(p[i], 0xcc, PAGE);
	}
	for (i = 1; i < COUNT(p); i += 2) {
		EQ(bmem_free(c, p[i]), 0);
		z = bmem_alloc(c, 1, 0, BMEM_ALLOC_ZERO, NULL);
		IS(z);
		IS(all_are(z, 0, PAGE));
	}
	for (i = 0; i < COUNT(p); i += 2)
		IS(all_are(p[i], 0xcc, PAGE));
}

static void free_null(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();

	(void)state;
	EQ(bmem_free(c, NULL), 0);
	EQ(stats_of(c).frees, 0);
}

static void free_foreign(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *heap = malloc(100), *p = bmem_alloc(c, 100, 0, 0, NULL);
	int on_stack;

	(void)state;
	IS(heap && p);
	EQ(bmem_free(c, heap), -EINVAL);
	EQ(bmem_free(c, &on_stack), -EINVAL);
	EQ(bmem_free(c, (void *)1), -EINVAL);
	EQ(bmem_free(c, (void *)-1), -EINVAL);
	LIVE(c, 1, 100);
	free(heap);
}

static void free_other_client(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *a = client();
	BMEM_AUTO_CLOSE struct bmem_client *b = client();
	void *p = bmem_alloc(a, 100, 0, 0, NULL);

	(void)state;
	IS(p);
	EQ(bmem_free(b, p), -EINVAL);
	LIVE(a, 1, 100);
	EQ(bmem_free(a, p), 0);
}

static void free_inside(size_t bytes)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, bytes, 0, 0, NULL);
	size_t at;

	IS(p);
	for (at = 1; at < 64; at++)
		EQ(bmem_free(c, p + at), -EINVAL);
	for (at = 64; at < bytes; at += 64)
		EQ(bmem_free(c, p + at), -ENOENT);
	LIVE(c, 1, bytes);
	EQ(bmem_free(c, p), 0);
}

static void free_interior(void **state)
{
	(void)state;
	free_inside(200);
	free_inside(3 * PAGE);
	free_inside(15 * PAGE);
}

static void free_twice(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, 100, 0, 0, NULL), *q;

	(void)state;
	IS(p);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, p), -ENOENT);
	EQ(stats_of(c).frees, 1);
	LIVE(c, 0, 0);
	/* What comes to lie there next is whole. */
	q = bmem_alloc(c, 100, 0, 0, NULL);
	IS(q == p);
	LIVE(c, 1, 100);
	EQ(bmem_free(c, q), 0);
}

static void free_keeps_errno(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p = bmem_alloc(c, 100, 0, 0, NULL);

	(void)state;
	IS(p);
	errno = 77;
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, p), -ENOENT);
	EQ(errno, 77);
}

static void owns_by_range(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_query q = { .size = sizeof(q) };
	char *p = bmem_alloc(c, 40000, 0, 0, NULL), *base;

	(void)state;
	IS(p);
	EQ(bmem_query(c, &q), 0);
	IS(bmem_owns(c, p));
	IS(bmem_owns(c, p + 99));
	IS(!bmem_owns(c, NULL));
	IS(!bmem_owns(c, &q));
	IS(!bmem_owns(c, (void *)-1));
	/* First fit: the first tensor begins with the space. */
	base = p;
	IS(!bmem_owns(c, base - 1));
	IS(!bmem_owns(c, base + q.space_bytes));
	EQ(bmem_free(c, p), 0);
	IS(bmem_owns(c, p));
}

static void usable_size(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, 5000, 0, 0, NULL);
	int x;

	(void)state;
	IS(p);
	EQ(bmem_usable_size(c, p), 5 * KIB);
	EQ(bmem_usable_size(c, p + 4999), 5 * KIB);
	EQ(bmem_usable_size(c, p + 5 * KIB), 0);
	EQ(bmem_usable_size(c, &x), 0);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_usable_size(c, p), 0);
	p = bmem_alloc(c, 100000, 0, 0, NULL);
	IS(p);
	EQ(bmem_usable_size(c, p), pages_up(100000));
	EQ(bmem_usable_size(c, p + PAGE), pages_up(100000));
	EQ(bmem_usable_size(c, p + 50000), pages_up(100000));
	EQ(bmem_usable_size(c, p + pages_up(100000)), 0);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_usable_size(c, p), 0);
	EQ(bmem_usable_size(c, p + PAGE), 0);
}

/* ---- realloc ---- */

static void fill(unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 31 + i / 251);
}

static bool filled(const unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != (unsigned char)(i * 31 + i / 251))
			return false;
	return true;
}

static void realloc_content(void **state)
{
	static const size_t steps[] = {
		1, 100, 4095, 4096, 4097, 5000, 3 * MIB, 2 * MIB + 1, 100, 7,
		64 * KIB, 1,
	};
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	unsigned char *p = NULL;
	size_t i, old = 0;

	(void)state;
	for (i = 0; i < COUNT(steps); i++) {
		p = bmem_realloc(c, p, steps[i], 0);
		IS(p);
		IS(filled(p, old < steps[i] ? old : steps[i]));
		fill(p, steps[i]);
		old = steps[i];
		LIVE(c, 1, steps[i]);
		EQ(info_of(c, p).bytes, steps[i]);
	}
	EQ(bmem_free(c, p), 0);
}

static void realloc_same_size(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p = bmem_alloc(c, 5000, 0, 0, NULL);

	(void)state;
	IS(p);
	IS(bmem_realloc(c, p, 5000, 0) == p);
	EQ(stats_of(c).allocs, 1);
	EQ(bmem_free(c, p), 0);
}

static void realloc_zero_tail(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	unsigned char *dirt = bmem_alloc(c, 2 * MIB, 0, 0, NULL), *p;

	(void)state;
	IS(dirt);
	memset(dirt, 0xff, 2 * MIB);
	EQ(bmem_free(c, dirt), 0);
	p = bmem_alloc(c, 5000, 0, 0, NULL);
	IS(p);
	fill(p, 5000);
	p = bmem_realloc(c, p, MIB, BMEM_ALLOC_ZERO);
	IS(p);
	IS(filled(p, 5000));
	IS(all_are(p + 5000, 0, MIB - 5000));
}

static void realloc_keeps_site(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	uint32_t site = bmem_site(c, "first");
	void *p = bmem_alloc_at(c, 100, 0, 0, site);

	(void)state;
	IS(p);
	p = bmem_realloc(c, p, 10000, 0);
	IS(p);
	EQ(info_of(c, p).site, site);
	STR(info_of(c, p).label, "first");
}

static void realloc_errors(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	unsigned char *p = bmem_alloc(c, 100, 0, 0, NULL);
	int x;

	(void)state;
	IS(p);
	fill(p, 100);
	NUL(bmem_realloc(c, p, 0, 0), EINVAL);
	NUL(bmem_realloc(c, p, 200, 1U << 7), EOPNOTSUPP);
	NUL(bmem_realloc(c, p, 100, 1U << 7), EOPNOTSUPP);
	NUL(bmem_realloc(c, p, SIZE_MAX, 0), EOVERFLOW);
	NUL(bmem_realloc(c, p, SIZE_MAX - PAGE, 0), EFBIG);
	NUL(bmem_realloc(c, &x, 200, 0), EINVAL);
	NUL(bmem_realloc(c, p + 1, 200, 0), EINVAL);
	NUL(bmem_realloc(c, NULL, 0, 0), EINVAL);
	/* After all that it is as it was. */
	IS(filled(p, 100));
	LIVE(c, 1, 100);
	EQ(bmem_free(c, p), 0);
	NUL(bmem_realloc(c, p, 200, 0), ENOENT);
}

/* ---- batches ---- */

static void batch_all(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_request r[COUNT(sizes)] = { 0 };
	void *ptrs[COUNT(sizes)];
	size_t i, sum = 0;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		r[i].size = sizes[i];
		r[i].align = i % 2 ? 4096 : 0;
		sum += sizes[i];
	}
	EQ(bmem_alloc_batch(c, r, COUNT(sizes), "batch"), 0);
	LIVE(c, COUNT(sizes), sum);
	for (i = 0; i < COUNT(sizes); i++) {
		IS(r[i].ptr);
		EQ(info_of(c, r[i].ptr).bytes, sizes[i]);
		memset(r[i].ptr, 1, sizes[i]);
		ptrs[i] = r[i].ptr;
	}
	EQ(bmem_free_batch(c, ptrs, COUNT(sizes)), 0);
	LIVE(c, 0, 0);
}

static void batch_empty(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();

	(void)state;
	EQ(bmem_alloc_batch(c, NULL, 0, NULL), 0);
	EQ(bmem_free_batch(c, NULL, 0), 0);
	LIVE(c, 0, 0);
}

#define MANY	2500

static void batch_many(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_request *r = calloc(MANY, sizeof(*r));
	void **ptrs = calloc(MANY, sizeof(*ptrs));
	size_t i;

	(void)state;
	IS(r && ptrs);
	for (i = 0; i < MANY; i++)
		r[i].size = 1 + i;
	EQ(bmem_alloc_batch(c, r, MANY, NULL), 0);
	LIVE(c, MANY, MANY * (MANY + 1UL) / 2);
	for (i = 0; i < MANY; i++)
		ptrs[i] = r[i].ptr;
	EQ(bmem_free_batch(c, ptrs, MANY), 0);
	LIVE(c, 0, 0);
	free(r);
	free(ptrs);
}

static void batch_none(size_t nr, size_t bad, size_t size, size_t align,
		       uint32_t flags, int err)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_request *r = calloc(nr, sizeof(*r));
	size_t i;

	IS(r);
	for (i = 0; i < nr; i++) {
		r[i].size = 100;
		r[i].ptr = &r[i];
	}
	r[bad].size = size;
	r[bad].align = align;
	r[bad].flags = flags;
	EQ(bmem_alloc_batch(c, r, nr, NULL), err);
	for (i = 0; i < nr; i++)
		EQ((uintptr_t)r[i].ptr, 0);
	LIVE(c, 0, 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).attached_bytes, stats_of(c).cached_bytes);
	free(r);
}

static void batch_all_or_nothing(void **state)
{
	(void)state;
	batch_none(1, 0, 0, 0, 0, -EINVAL);
	batch_none(10, 0, 0, 0, 0, -EINVAL);
	batch_none(10, 9, 0, 0, 0, -EINVAL);
	batch_none(10, 5, 100, 3, 0, -EINVAL);
	batch_none(10, 5, 100, (1UL << 32) + 64, 0, -EINVAL);
	batch_none(10, 5, 100, 0, 2, -EOPNOTSUPP);
	batch_none(10, 5, SIZE_MAX, 0, 0, -EOVERFLOW);
	batch_none(10, 5, SIZE_MAX - PAGE, 0, 0, -EOVERFLOW);
	batch_none(10, 5, 1UL << 60, 0, 0, -EFBIG);
	/* In a later call of a batch that takes several. */
	batch_none(MANY, MANY - 1, 0, 0, 0, -EINVAL);
}

static void batch_out_of_room(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_request r[6] = { 0 };
	void *p;
	size_t i;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(16 * MIB);
	p = bmem_alloc(c, 8 * MIB, 0, 0, NULL);
	IS(p);
	for (i = 0; i < 5; i++)
		r[i].size = 2 * MIB;
	EQ(bmem_alloc_batch(c, r, 5, NULL), -ENOSPC);
	LIVE(c, 1, 8 * MIB);
	EQ(stats_of(c).allocs, 1);
	EQ(stats_of(c).failed, 1);
	EQ(bmem_alloc_batch(c, r, 4, NULL), 0);
	LIVE(c, 5, 16 * MIB);
}

static void batch_sites(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_request r[2] = { { .size = 10 }, { .size = 20 } };

	(void)state;
	r[1].site = bmem_site(c, "own");
	EQ(bmem_alloc_batch(c, r, 2, "common"), 0);
	HAS(info_of(c, r[0].ptr).label, "common @ ");
	STR(info_of(c, r[1].ptr).label, "own");
}

static void free_batch_mixed(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p = bmem_alloc(c, 10, 0, 0, NULL);
	void *q = bmem_alloc(c, 10, 0, 0, NULL);
	void *r = bmem_alloc(c, 10, 0, 0, NULL);
	int x;

	(void)state;
	IS(p && q && r);
	{
		void *list[] = { p, NULL, p, &x, q };

		/* The first error is told; what is good is freed. */
		EQ(bmem_free_batch(c, list, COUNT(list)), -ENOENT);
	}
	LIVE(c, 1, 10);
	{
		void *list[] = { &x, r, r };

		EQ(bmem_free_batch(c, list, COUNT(list)), -EINVAL);
	}
	LIVE(c, 0, 0);
	EQ(stats_of(c).frees, 3);
}

/* ---- want of room ---- */

static void exhaust(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *p[16];
	size_t i;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(32 * MIB);
	for (i = 0; i < COUNT(p); i++) {
		p[i] = bmem_alloc(c, 2 * MIB, 0, 0, NULL);
		IS(p[i]);
		memset(p[i], 1, 2 * MIB);
	}
	NUL(bmem_alloc(c, 1, 0, 0, NULL), ENOSPC);
	EQ(stats_of(c).failed, 1);
	LIVE(c, 16, 32 * MIB);
	EQ(bmem_free(c, p[7]), 0);
	p[7] = bmem_alloc(c, 2 * MIB, 0, 0, NULL);
	IS(p[7]);
	EQ(stats_of(c).attached_bytes, 32 * MIB);
}

/* Cached chunks count towards the limit, but never stand in the way. */
static void cache_makes_room(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *a, *b, *p;

	(void)state;
	SKIP_ON_DEV();
	c = client_cached(16 * MIB);
	a = bmem_alloc(c, 6 * MIB, 0, 0, NULL);
	IS(bmem_alloc(c, 2 * MIB, 0, 0, NULL));
	b = bmem_alloc(c, 6 * MIB, 0, 0, NULL);
	IS(bmem_alloc(c, 2 * MIB, 0, 0, NULL));
	IS(a && b);
	EQ(bmem_free(c, a), 0);
	EQ(bmem_free(c, b), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).attached_bytes, 16 * MIB);
	EQ(stats_of(c).cached_bytes, 12 * MIB);
	/* Fits neither gap, so it lies behind them, where nothing is. */
	p = bmem_alloc(c, 10 * MIB, 0, 0, NULL);
	IS(p);
	memset(p, 1, 10 * MIB);
	EQ(stats_of(c).attached_bytes, 16 * MIB);
	EQ(stats_of(c).cached_bytes, 2 * MIB);
	EQ(stats_of(c).peak_attached_bytes, 16 * MIB);
	NUL(bmem_alloc(c, 4 * MIB, 0, 0, NULL), ENOSPC);
}

/* ---- RAII ---- */

static void *leave_scope(struct bmem_client *c, bool release)
{
	BMEM_AUTO struct bmem_scoped a = bmem_scoped_alloc(c, 100, 0, 0, "a");
	BMEM_AUTO struct bmem_scoped none =
		bmem_scoped_alloc(c, 0, 0, 0, "none");

	IS(a.ptr);
	EQ((uintptr_t)none.ptr, 0);
	HAS(info_of(c, a.ptr).label, "a @ ");
	LIVE(c, 1, 100);
	return release ? bmem_scoped_release(&a) : NULL;
}

static void scoped(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p;

	(void)state;
	leave_scope(c, false);
	LIVE(c, 0, 0);
	p = leave_scope(c, true);
	LIVE(c, 1, 100);
	EQ(bmem_free(c, p), 0);
}

static void scoped_early(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();

	(void)state;
	{
		BMEM_AUTO struct bmem_scoped a =
			bmem_scoped_alloc(c, 100, 0, 0, NULL);

		bmem_scoped_free(&a);
		EQ((uintptr_t)a.ptr, 0);
		LIVE(c, 0, 0);
	}
	EQ(stats_of(c).frees, 1);
}

static const struct CMUnitTest tests[] = {
	TEST(alloc_every_size),
	TEST(alloc_every_size_at_once),
	TEST(alloc_size_zero),
	TEST(alloc_size_max),
	TEST(alloc_beyond_limit),
	TEST(align_good),
	TEST(align_bad),
	TEST(flags_bad),
	TEST(zero_fresh),
	TEST(zero_after_dirt),
	TEST(zero_patches),
	TEST(zero_leaves_neighbours),
	TEST(free_null),
	TEST(free_foreign),
	TEST(free_other_client),
	TEST(free_interior),
	TEST(free_twice),
	TEST(free_keeps_errno),
	TEST(owns_by_range),
	TEST(usable_size),
	TEST(realloc_content),
	TEST(realloc_same_size),
	TEST(realloc_zero_tail),
	TEST(realloc_keeps_site),
	TEST(realloc_errors),
	TEST(batch_all),
	TEST(batch_empty),
	TEST(batch_many),
	TEST(batch_all_or_nothing),
	TEST(batch_out_of_room),
	TEST(batch_sites),
	TEST(free_batch_mixed),
	TEST(exhaust),
	TEST(cache_makes_room),
	TEST(scoped),
	TEST(scoped_early),
};

TEST_MAIN(tests)
