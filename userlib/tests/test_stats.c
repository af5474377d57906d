// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Figures, lists, trimming, pools, the length rule of the ABI's structs, and
 * errors in words.
 */
#include <limits.h>

#include "client.h"

static void stats_follow(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_client_stats st;
	void *p, *q;

	(void)state;
	st = stats_of(c);
	EQ(st.live_tensors, 0);
	EQ(st.attached_bytes, 0);
	EQ(st.peak_live_bytes, 0);
	p = bmem_alloc_at(c, 3 * MIB, 0, 0, 0);
	q = bmem_alloc_at(c, 10, 0, 0, 0);
	IS(p && q);
	st = stats_of(c);
	EQ(st.live_tensors, 2);
	EQ(st.live_bytes, 3 * MIB + 10);
	EQ(st.granted_bytes - st.idle_bytes, 3 * MIB + 64);
	EQ(st.attached_bytes, 4 * MIB);
	EQ(st.cached_bytes, 0);
	EQ(bmem_free(c, p), 0);
	st = stats_of(c);
	EQ(st.live_bytes, 10);
	EQ(st.granted_bytes - st.idle_bytes, 64);
	EQ(bmem_flush(c), 0);
	st = stats_of(c);
	EQ(st.live_bytes, 10);
	EQ(st.granted_bytes, 64);
	EQ(st.slots, 1);
	EQ(st.attached_bytes, 4 * MIB);
	EQ(st.cached_bytes, 2 * MIB);
	/* Slots count as full. */
	IS(st.peak_live_bytes >= 3 * MIB + 64);
	IS(st.peak_live_bytes <= 3 * MIB + 8 * 64);
	EQ(st.peak_attached_bytes, 4 * MIB);
	EQ(st.allocs, 2);
	EQ(st.frees, 1);
	EQ(st.failed, 0);
	IS(st.meta_bytes > 0);
	EQ(st.pool, 0);
}

static void cache_bound(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_client_stats st;
	void *p = bmem_alloc(c, 64 * MIB, 0, 0, NULL);

	(void)state;
	IS(p);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_flush(c), 0);
	st = stats_of(c);
	/* Three eighths of the peak, for a while. */
	EQ(st.cached_bytes, 24 * MIB);
	EQ(st.attached_bytes, 24 * MIB);
	EQ(st.peak_attached_bytes, 64 * MIB);
}

static void cache_bound_most(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_cached(LIMIT);
	void *p = bmem_alloc(c, 64 * MIB, 0, 0, NULL);

	(void)state;
	IS(p);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).cached_bytes, 16 * MIB);
	p = bmem_alloc(c, 200 * MIB, 0, 0, NULL);
	IS(p);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).cached_bytes, 16 * MIB);
}

static void trim(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_cached(LIMIT);
	void *p = bmem_alloc(c, 12 * MIB, 0, 0, NULL);
	void *live = bmem_alloc(c, 10, 0, 0, NULL);
	uint64_t trimmed = 99;

	(void)state;
	IS(p && live);
	EQ(bmem_trim(c, 0, 0, &trimmed), 0);
	EQ(trimmed, 0);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).cached_bytes, 12 * MIB);
	EQ(bmem_trim(c, 7 * MIB, 0, &trimmed), 0);
	EQ(trimmed, 6 * MIB);
	EQ(stats_of(c).cached_bytes, 6 * MIB);
	EQ(bmem_trim(c, UINT64_MAX, 0, &trimmed), 0);
	EQ(trimmed, 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(stats_of(c).cached_bytes, 0);
	EQ(stats_of(c).attached_bytes, 2 * MIB);
	EQ(bmem_trim(c, 0, 1U << 5, NULL), -EOPNOTSUPP);
	memset(live, 1, 10);
}

/* What was trimmed has really left the process. */
static void trim_returns_memory(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	unsigned long before, during, after, skip_pages;
	struct bmem_query q = { .size = sizeof(q) };
	FILE *f = fopen("/proc/self/statm", "r");
	void *p;

	(void)state;
	IS(f);
	/* The tools' shadows are in the process's figures too. */
	if (getenv("BMEM_TEST_SAN")) {
		fclose(f);
		skip();
	}
	setvbuf(f, NULL, _IONBF, 0);
	c = client();
#define RSS(x) do { \
	rewind(f); \
	EQ(fscanf(f, "%lu %lu", &skip_pages, &(x)), 2); \
} while (0)
	RSS(before);
	p = bmem_alloc(c, 64 * MIB, 0, 0, NULL);
	IS(p);
	memset(p, 1, 64 * MIB);
	RSS(during);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	RSS(after);
	fclose(f);
	EQ(bmem_query(c, &q), 0);
	/* Huge pages of hugetlbfs are not in the RSS, nor a device's always. */
	if (!(q.caps & BMEM_CAP_HUGE))
		IS(during - before >= 64 * MIB / PAGE);
	IS(after < before + 8 * MIB / PAGE);
}

/* ---- one tensor, all tensors ---- */

static void info_interior(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *a = bmem_alloc(c, 5000, 0, 0, "a");
	char *b = bmem_alloc(c, 3 * MIB, 0, 0, "b");
	char *e = bmem_alloc(c, 1, 0, 0, "c");
	struct bmem_tensor_desc d = { .sz = sizeof(d) };

	(void)state;
	IS(a && b && e);
	IS(info_of(c, a + 1).ptr == a);
	IS(info_of(c, a + 4999).ptr == a);
	/* Up to the granted size. */
	IS(info_of(c, a + 5 * KIB - 1).ptr == a);
	IS(info_of(c, b + 3 * MIB - 1).ptr == b);
	IS(info_of(c, b + MIB + 12345).ptr == b);
	EQ(info_of(c, b + MIB).bytes, 3 * MIB);
	HAS(info_of(c, b + MIB).label, "b @ ");
	IS(info_of(c, e + 63).ptr == e);
	EQ(bmem_tensor_info(c, e + 64, &d), -ENOENT);
	EQ(bmem_tensor_info(c, &d, &d), -EINVAL);
	EQ(bmem_tensor_info(c, NULL, &d), -EINVAL);
	EQ(bmem_free(c, b), 0);
	EQ(bmem_tensor_info(c, b, &d), -ENOENT);
	EQ(bmem_tensor_info(c, b + MIB, &d), -ENOENT);
	IS(info_of(c, a).handle && info_of(c, a).handle != info_of(c, e).handle);
	IS(info_of(c, a).age_ms < 600000);
}

static void info_desc_size(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char *p = bmem_alloc(c, 5000, 0, 0, "a");
	struct {
		struct bmem_tensor_desc d;
		uint64_t tail;
	} big = { .d.sz = sizeof(big) };
	struct bmem_tensor_desc d = { .sz = 0 };

	(void)state;
	IS(p);
	EQ(bmem_tensor_info(c, p, &d), -EINVAL);
	/* The shortest there is: without the label, which stays untouched. */
	d.sz = offsetof(struct bmem_tensor_desc, label);
	strcpy(d.label, "mine");
	EQ(bmem_tensor_info(c, p, &d), 0);
	EQ(d.bytes, 5000);
	STR(d.label, "mine");
	EQ(bmem_tensor_info(c, p, &big.d), 0);
	EQ(big.d.bytes, 5000);
	EQ(big.d.sz, sizeof(big));
	big.tail = 1;
	EQ(bmem_tensor_info(c, p, &big.d), -E2BIG);
}

struct walk {
	struct bmem_client *c;
	size_t nr, stop_at;
	char *last;
	uint64_t bytes;
	bool frees, ordered;
};

static int step(const struct bmem_tensor_desc *d, void *arg)
{
	struct walk *w = arg;

	w->ordered = w->ordered && (char *)d->ptr > w->last;
	w->last = d->ptr;
	w->bytes += d->bytes;
	if (w->frees && bmem_free(w->c, d->ptr))
		return -1;
	return ++w->nr == w->stop_at ? 42 : 0;
}

static void foreach(void **state)
{
	static const size_t counts[] = { 0, 1, 63, 64, 65, 128, 300 };
	size_t i, k;

	(void)state;
	for (k = 0; k < COUNT(counts); k++) {
		BMEM_AUTO_CLOSE struct bmem_client *c = client();
		struct walk w = { .c = c, .ordered = true };
		uint64_t sum = 0;

		for (i = 0; i < counts[k]; i++) {
			IS(bmem_alloc(c, 1 + i * 100, 0, 0, NULL));
			sum += 1 + i * 100;
		}
		EQ(bmem_foreach(c, step, &w), 0);
		EQ(w.nr, counts[k]);
		EQ(w.bytes, sum);
		IS(w.ordered);
	}
}

static void foreach_stops(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct walk w = { .c = c, .stop_at = 70 };
	size_t i;

	(void)state;
	for (i = 0; i < 100; i++)
		IS(bmem_alloc(c, 10, 0, 0, NULL));
	EQ(bmem_foreach(c, step, &w), 42);
	EQ(w.nr, 70);
}

static void foreach_frees(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct walk w = { .c = c, .frees = true };
	size_t i;

	(void)state;
	for (i = 0; i < 200; i++)
		IS(bmem_alloc(c, 10, 0, 0, NULL));
	EQ(bmem_foreach(c, step, &w), 0);
	EQ(w.nr, 200);
	LIVE(c, 0, 0);
}

static void list_filters(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	uint32_t a = bmem_site(c, "a");
	struct bmem_tensor t[4];
	struct bmem_tensor_list l = {
		.size = sizeof(l),
		.nr = 4,
		.entries = (uintptr_t)t,
	};

	(void)state;
	IS(bmem_alloc_at(c, 100, 0, 0, a));
	IS(bmem_alloc_at(c, 200, 0, 0, 0));
	IS(bmem_alloc_at(c, 300, 0, 0, a));
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 3);
	EQ(t[0].bytes, 100);
	EQ(t[2].bytes, 300);
	l.cursor = 0;
	l.nr = 2;
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 2);
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 1);
	EQ(t[0].bytes, 300);
	l.cursor = 0;
	l.nr = 4;
	l.min_bytes = 200;
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 2);
	l.cursor = 0;
	l.nr = 4;
	l.flags = BMEM_LIST_SITE;
	l.site = a;
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 1);
	EQ(t[0].bytes, 300);
	l.cursor = 0;
	l.nr = 4;
	l.min_age_ms = 3600000;
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 0);
	l.cursor = UINT64_MAX;
	l.nr = 4;
	l.min_age_ms = 0;
	EQ(bmem_tensor_list(c, &l), 0);
	EQ(l.nr, 0);
}

static void list_bad(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_tensor t[1];
	const struct bmem_tensor_list good = {
		.size = sizeof(good),
		.nr = 1,
		.entries = (uintptr_t)t,
	};
	struct bmem_tensor_list l;

	(void)state;
#define BAD(field, value, err) do { \
	l = good; \
	l.field = value; \
	EQ(bmem_tensor_list(c, &l), err); \
} while (0)
	BAD(size, sizeof(l) - 1, -EINVAL);
	BAD(nr, 0, -EINVAL);
	BAD(nr, BMEM_BATCH_MAX + 1, -EINVAL);
	BAD(flags, 2, -EOPNOTSUPP);
	BAD(site, 1, -EINVAL);
	BAD(client_id, 0xffffffffffffULL, -ENOENT);
#undef BAD
}

/* ---- the ABI's length rule ---- */

static void abi_lengths(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct {
		struct bmem_client_stats st;
		uint64_t tail;
	} big = { .st.size = sizeof(big) };
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct bmem_query q = { .size = sizeof(q), .flags = 1 };

	(void)state;
	EQ(bmem_stats(c, &big.st), 0);
	EQ(big.st.size, sizeof(big));
	big.st.client_id = 0;
	big.tail = 1;
	EQ(bmem_stats(c, &big.st), -E2BIG);
	/* As it was before it grew, and shorter than it ever was. */
	st.size = offsetof(struct bmem_client_stats, shared_bytes);
	EQ(bmem_stats(c, &st), 0);
	EQ(st.size, offsetof(struct bmem_client_stats, shared_bytes));
	st = (struct bmem_client_stats){
		.size = offsetof(struct bmem_client_stats, shared_bytes) - 8,
	};
	EQ(bmem_stats(c, &st), -EINVAL);
	st.size = 0;
	EQ(bmem_stats(c, &st), -EINVAL);
	st.size = sizeof(st);
	st.flags = 1;
	EQ(bmem_stats(c, &st), -EOPNOTSUPP);
	st.flags = 0;
	st.client_id = 0xffffffffffffULL;
	EQ(bmem_stats(c, &st), -ENOENT);
	EQ(bmem_query(c, &q), -EOPNOTSUPP);
}

/* One may ask for oneself by id. */
static void stats_by_id(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_query q = { .size = sizeof(q) };
	struct bmem_client_stats st = { .size = sizeof(st) };

	(void)state;
	EQ(bmem_query(c, &q), 0);
	st.client_id = q.client_id;
	EQ(bmem_stats(c, &st), 0);
	EQ(st.client_id, q.client_id);
}

/* ---- pools ---- */

static void pool_of_fallback(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_pool_create create = {
		.size = sizeof(create),
		.limit_bytes = HUGE,
		.gid = BMEM_GID_ANY,
		.name = "x",
	};
	struct bmem_pool_resize resize = {
		.size = sizeof(resize),
		.flags = BMEM_RESIZE_LIMIT,
		.limit_bytes = HUGE,
	};
	struct bmem_pool_stats ps = { .size = sizeof(ps) };
	uint32_t ids[4] = { 9, 9, 9, 9 };
	void *p;

	(void)state;
	SKIP_ON_DEV();
	c = client();
	EQ(bmem_pool_list(c, ids, 4), 1);
	EQ(ids[0], BMEM_POOL_DEFAULT);
	EQ(ids[1], 9);
	EQ(bmem_pool_list(c, NULL, 0), -EMSGSIZE);
	EQ(bmem_pool_list(c, ids, BMEM_POOLS_MAX + 1), -EINVAL);
	p = bmem_alloc(c, 3 * MIB, 0, 0, NULL);
	IS(p);
	EQ(bmem_pool_stats(c, &ps), 0);
	EQ(ps.limit_bytes, LIMIT);
	EQ(ps.attached_bytes, 4 * MIB);
	EQ(ps.total_bytes, ps.zeroed_bytes + ps.dirty_bytes + ps.zeroing_bytes +
	   ps.attached_bytes + ps.escaped_bytes);
	EQ(ps.huge_taken + ps.fallbacks, 2);
	EQ(ps.clients, 1);
	ps.pool = 1;
	EQ(bmem_pool_stats(c, &ps), -ENOENT);
	EQ(bmem_pool_create(c, &create), -EOPNOTSUPP);
	EQ(bmem_pool_resize(c, &resize), -EOPNOTSUPP);
	EQ(bmem_pool_destroy(c, 0), -EOPNOTSUPP);
}

/* ---- words ---- */

static void strerror_says(void **state)
{
	static const int errs[] = {
		ENOTTY, EFAULT, EINVAL, E2BIG, EOPNOTSUPP, EOVERFLOW, ENOENT,
		EPERM, EEXIST, EBUSY, EMSGSIZE, EFBIG, ENOSPC, ENOMEM, EINTR, EHWPOISON,
		EACCES, ENODEV, ENXIO, ENOTRECOVERABLE,
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(errs); i++) {
		const char *text = bmem_strerror(errs[i]);

		STR(bmem_strerror(-errs[i]), text);
		/* Ours, which says more than the C library does. */
		IS(strcmp(text, strerror(errs[i])));
		for (j = 0; j < i; j++)
			if (errs[i] != ENXIO)
				IS(strcmp(text, bmem_strerror(errs[j])));
	}
	STR(bmem_strerror(0), "no error");
	HAS(bmem_strerror(-ENOENT), "modprobe bmem");
	HAS(bmem_strerror(EACCES), "join the group");
	STR(bmem_strerror(EPIPE), "Broken pipe");
	STR(bmem_strerror(-EPIPE), "Broken pipe");
	STR(bmem_strerror(99999), "unknown error");
	STR(bmem_strerror(INT_MIN), "unknown error");
	STR(bmem_strerror(INT_MAX), "unknown error");
}

static const struct CMUnitTest tests[] = {
	TEST(stats_follow),
	TEST(cache_bound),
	TEST(cache_bound_most),
	TEST(trim),
	TEST(trim_returns_memory),
	TEST(info_interior),
	TEST(info_desc_size),
	TEST(foreach),
	TEST(foreach_stops),
	TEST(foreach_frees),
	TEST(list_filters),
	TEST(list_bad),
	TEST(abi_lengths),
	TEST(stats_by_id),
	TEST(pool_of_fallback),
	TEST(strerror_says),
};

TEST_MAIN(tests)
