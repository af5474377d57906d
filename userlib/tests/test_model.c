// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A random program against a model of it: after every step the figures of the
 * library are those of the model, and no tensor lies on another.
 *
 * BMEM_TEST_SEED and BMEM_TEST_STEPS repeat or lengthen a run; the seed of
 * each run is printed when it fails.
 */
#include <time.h>

#include "client.h"

#define SLOTS		400
#define CHUNKS		8192	/* of 2 MiB that the model looks at */
#define SITES		5

struct tensor {
	unsigned char *p;
	size_t bytes;
	size_t granted;
	uint32_t site;
	unsigned char mark;
	bool slot;			/* small enough for one */
};

static struct model {
	struct bmem_client *c;
	char *base;
	uint64_t seed, first_seed, limit;
	struct tensor t[SLOTS];
	uint32_t sites[SITES];
	uint64_t live, bytes, granted, slots, allocs, frees, failed, peak;
	unsigned int used[CHUNKS];	/* tensors in each chunk */
	uint64_t chunks;		/* with at least one */
	unsigned long step;
} m;

#define MEQ(got, want) do { \
	long long __got = (long long)(got), __want = (long long)(want); \
	if (__got != __want) \
		print_error("BMEM_TEST_SEED=0x%llx, step %lu\n", \
			    (unsigned long long)m.first_seed, m.step); \
	test_eq(__got, __want, #got, __FILE__, __LINE__); \
} while (0)

static uint64_t rnd(uint64_t n)
{
	return test_random(&m.seed) % n;
}

/* Like tensors: many small, few large, often just beside a round size. */
static size_t some_size(void)
{
	size_t n = 1UL << rnd(25);

	switch (rnd(4)) {
	case 0:
		return n;
	case 1:
		return n + 1;
	case 2:
		return n > 1 ? n - 1 : 1;
	default:
		return 1 + rnd(2 * n);
	}
}

static size_t some_align(void)
{
	return rnd(3) ? 0 : 64UL << rnd(16);
}

static void cover(const struct tensor *t, int by)
{
	size_t first = (size_t)((char *)t->p - m.base) / HUGE;
	size_t last = ((size_t)((char *)t->p - m.base) + t->granted - 1) / HUGE;
	size_t i;

	MEQ(last < CHUNKS, 1);
	for (i = first; i <= last; i++) {
		m.chunks -= m.used[i] > 0;
		m.used[i] += (unsigned int)by;
		m.chunks += m.used[i] > 0;
	}
}

/*
 * A slot may be larger for its alignment, or a page where there is no room for
 * more slots; a block may be one that is used again.
 */
static void note_granted(const struct tensor *t, size_t align)
{
	size_t least = granted_for(t->bytes);

	MEQ(t->granted >= least, 1);
	if (t->slot)
		MEQ(t->granted == least || align > 64 ||
		    (t->granted % PAGE == 0 && stats_of(m.c).failed), 1);
	else if (t->bytes > BMEM_SLOT_MAX)
		MEQ(t->granted <= least + least / 8, 1);
	m.slots += t->slot;
}

static void note_alloc(struct tensor *t, void *p, size_t bytes, size_t align,
		       uint32_t site)
{
	t->p = p;
	t->bytes = bytes;
	t->granted = bmem_usable_size(m.c, p);
	t->slot = t->granted <= BMEM_SLOT_MAX && align <= PAGE;
	t->site = site;
	t->mark = (unsigned char)rnd(256);
	note_granted(t, align);
	/* The ends show any overlap, the middle is left for speed. */
	memset(t->p, t->mark, bytes < 64 ? bytes : 64);
	memset(t->p + bytes - (bytes < 64 ? bytes : 64), t->mark,
	       bytes < 64 ? bytes : 64);
	m.allocs++;
	m.live++;
	m.bytes += bytes;
	m.granted += t->granted;
	cover(t, 1);
}

static void note_free(struct tensor *t)
{
	m.frees++;
	m.live--;
	m.bytes -= t->bytes;
	m.granted -= t->granted;
	m.slots -= t->slot;
	cover(t, -1);
	t->p = NULL;
}

static void note_peak(void)
{
	if (m.bytes > m.peak)
		m.peak = m.bytes;
}

static void whole(const struct tensor *t)
{
	size_t n = t->bytes < 64 ? t->bytes : 64;

	MEQ(all_are(t->p, t->mark, n), 1);
	MEQ(all_are(t->p + t->bytes - n, t->mark, n), 1);
}

static struct tensor *slot(bool live)
{
	size_t i, at = rnd(SLOTS);

	for (i = 0; i < SLOTS; i++, at = (at + 1) % SLOTS)
		if (!!m.t[at].p == live)
			return &m.t[at];
	return NULL;
}

static bool want_of_room(int err)
{
	return err == ENOSPC || err == ENOMEM || err == EFBIG;
}

/*
 * Nothing is refused that there is room for.  Chunks at both ends may be there
 * for others; the machine may be short of memory for a device.
 */
static void note_refused(int err, uint64_t need)
{
	uint64_t attached = stats_of(m.c).attached_bytes;

	MEQ(want_of_room(err), 1);
	m.failed++;
	MEQ((on_dev() && err == ENOMEM) ||
	    attached + need + 2 * HUGE > m.limit, 1);
}

static void do_alloc(void)
{
	struct tensor *t = slot(false);
	size_t n = some_size(), align = some_align();
	unsigned int flags = rnd(4) ? 0 : BMEM_ALLOC_ZERO;
	uint32_t site = m.sites[rnd(SITES)];
	void *p;

	if (!t)
		return;
	p = bmem_alloc_at(m.c, n, align, flags, site);
	if (!p) {
		note_refused(errno, n + align);
		return;
	}
	MEQ((uintptr_t)p % (align ? align : 64), 0);
	if (flags)
		MEQ(all_are(p, 0, n), 1);
	note_alloc(t, p, n, align, site);
	note_peak();
}

/* What a batch had got before it failed was allocated, and freed again. */
static void note_undone(void)
{
	struct bmem_client_stats st = stats_of(m.c);

	MEQ(st.allocs - m.allocs, st.frees - m.frees);
	m.allocs = st.allocs;
	m.frees = st.frees;
}

static void do_batch(void)
{
	struct bmem_request r[40] = { 0 };
	size_t nr = 1 + rnd(COUNT(r)), i;
	uint64_t need = 0;
	int ret;

	if (m.live + nr > SLOTS)
		return;
	for (i = 0; i < nr; i++) {
		r[i].size = 1 + rnd(100000);
		r[i].align = some_align();
		r[i].site = m.sites[1];
		need += r[i].size + r[i].align;
	}
	ret = bmem_alloc_batch(m.c, r, nr, NULL);
	if (ret) {
		note_refused(-ret, need);
		note_undone();
		return;
	}
	for (i = 0; i < nr; i++)
		note_alloc(slot(false), r[i].ptr, r[i].size, r[i].align,
			   m.sites[1]);
	note_peak();
}

static void do_free(void)
{
	struct tensor *t = slot(true);
	void *p;

	if (!t)
		return;
	whole(t);
	p = t->p;
	note_free(t);
	MEQ(bmem_free(m.c, p), 0);
	MEQ(bmem_free(m.c, p), -ENOENT);
}

static void do_free_batch(void)
{
	void *ptrs[50];
	size_t n = rnd(COUNT(ptrs)), i;
	struct tensor *t;

	for (i = 0; i < n; i++) {
		t = slot(true);
		ptrs[i] = t ? t->p : NULL;
		if (!t)
			continue;
		whole(t);
		note_free(t);
	}
	MEQ(bmem_free_batch(m.c, ptrs, n), 0);
}

static void do_realloc(void)
{
	struct tensor *t = slot(true), old;
	size_t n = some_size(), keep;
	unsigned char *p;

	if (!t)
		return;
	old = *t;
	p = bmem_realloc(m.c, t->p, n, 0);
	if (!p) {
		note_refused(errno, n);
		whole(t);
		return;
	}
	if (p == old.p) {
		MEQ(n <= old.granted, 1);
		keep = n < 64 ? n : 64;
		MEQ(all_are(p, old.mark, keep < old.bytes ? keep : old.bytes),
		    1);
		m.bytes += n - old.bytes;
		t->bytes = n;
		memset(t->p, t->mark, keep);
		memset(t->p + n - keep, t->mark, keep);
		note_peak();
		return;
	}
	keep = old.bytes < 64 ? old.bytes : 64;
	MEQ(all_are(p, old.mark, keep < n ? keep : n), 1);
	/* For a moment there are both. */
	m.bytes += n;
	note_peak();
	m.bytes -= n;
	note_free(t);
	note_alloc(t, p, n, 0, old.site);
}

static void do_info(void)
{
	struct tensor *t = slot(true);
	struct bmem_tensor_desc d;

	if (!t)
		return;
	d = info_of(m.c, t->p + rnd(t->granted));
	MEQ((uintptr_t)d.ptr, (uintptr_t)t->p);
	MEQ(d.bytes, t->bytes);
	MEQ(d.granted, t->granted);
	MEQ(d.site, t->site);
}

static void do_trim(void)
{
	uint64_t keep = rnd(20 * MIB), trimmed, had;

	EQ(bmem_flush(m.c), 0);
	had = stats_of(m.c).cached_bytes;
	MEQ(bmem_trim(m.c, keep, 0, &trimmed), 0);
	keep &= ~(HUGE - 1);
	MEQ(trimmed, had > keep ? had - keep : 0);
}

static void compare(void)
{
	struct bmem_client_stats st = stats_of(m.c);

	MEQ(st.live_tensors, m.live);
	MEQ(st.live_bytes, m.bytes);
	MEQ(st.granted_bytes - st.idle_bytes, m.granted);
	MEQ(st.ledger_bad, 0);
	MEQ(st.allocs, m.allocs);
	MEQ(st.frees, m.frees);
	/* A call that fails is made again when something idle went back. */
	MEQ(st.failed >= m.failed, 1);
	/* A block that is used again counts in it as what was asked first. */
	MEQ(st.peak_live_bytes + SLOTS * PAGE >= m.peak, 1);
	MEQ(st.cached_bytes <= st.cache_limit_bytes, 1);
	MEQ(st.attached_bytes <= m.limit, 1);
	MEQ(st.attached_bytes >= st.granted_bytes, 1);
	/* Base pages of a device come and go one by one. */
	if (!on_dev() || !st.base_bytes)
		MEQ(st.attached_bytes - st.cached_bytes >= m.chunks * HUGE, 1);
}

/* With nothing idle any more, to the byte. */
static void compare_flushed(void)
{
	struct bmem_client_stats st;

	EQ(bmem_flush(m.c), 0);
	st = stats_of(m.c);
	MEQ(st.idle_bytes, 0);
	MEQ(st.granted_bytes, m.granted);
	MEQ(st.slots == m.slots || st.failed, 1);
	MEQ(st.slots + st.recorded, m.live);
	MEQ(st.live_tensors, m.live);
}

static void compare_sites(void)
{
	struct bmem_site_sums s = { .sz = sizeof(s) };
	uint64_t tensors, bytes;
	size_t i, k;

	for (i = 0; i < SITES; i++) {
		tensors = bytes = 0;
		for (k = 0; k < SLOTS; k++) {
			if (!m.t[k].p || m.t[k].site != m.sites[i])
				continue;
			tensors++;
			bytes += m.t[k].bytes;
		}
		MEQ(bmem_site_stats(m.c, m.sites[i], &s), 0);
		MEQ(s.live_tensors, tensors);
		MEQ(s.live_bytes, bytes);
	}
}

static void step(void)
{
	uint64_t r = rnd(100);
	/* Fills up and empties again, in turns. */
	bool filling = m.step / 500 % 2 == 0;

	if (r < (filling ? 45U : 25U))
		do_alloc();
	else if (r < 75)
		do_free();
	else if (r < 80)
		do_batch();
	else if (r < 83)
		do_free_batch();
	else if (r < 93)
		do_realloc();
	else if (r < 98)
		do_info();
	else
		do_trim();
	compare();
	if (m.step % 64 == 0)
		compare_sites();
	if (m.step % 100 == 0)
		compare_flushed();
}

static void run(uint64_t seed, uint64_t limit)
{
	struct bmem_pool_stats ps = { .size = sizeof(ps) };
	struct bmem_query q = { .size = sizeof(q) };
	unsigned long steps = test_number("BMEM_TEST_STEPS", 8000);
	char name[16];
	void *first;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.seed = m.first_seed = seed | 1;
	m.c = client_limit(limit);
	EQ(bmem_query(m.c, &q), 0);
	ps.pool = q.pool;
	EQ(bmem_pool_stats(m.c, &ps), 0);
	m.limit = ps.limit_bytes;
	/* First fit: the first tensor is where the space begins. */
	first = bmem_alloc(m.c, 10 * PAGE, 0, 0, NULL);
	IS(first);
	m.base = first;
	EQ(bmem_free(m.c, first), 0);
	EQ(bmem_flush(m.c), 0);
	m.allocs = m.frees = 1;
	m.peak = 10 * PAGE;
	for (i = 1; i < SITES; i++) {
		snprintf(name, sizeof(name), "site %zu", i);
		m.sites[i] = bmem_site(m.c, name);
		IS(m.sites[i]);
	}
	for (m.step = 0; m.step < steps; m.step++)
		step();
	while (m.live)
		do_free();
	compare();
	MEQ(bmem_trim(m.c, 0, 0, NULL), 0);
	MEQ(stats_of(m.c).attached_bytes, 0);
	MEQ(stats_of(m.c).slots, 0);
	bmem_close(m.c);
}

static uint64_t seed_of_run(void)
{
	return test_number("BMEM_TEST_SEED",
			   (unsigned long)time(NULL) * 1000003);
}

static void random_program(void **state)
{
	(void)state;
	run(seed_of_run(), 4 * GIB);
}

/* The same where there is never enough. */
static void random_program_tight(void **state)
{
	(void)state;
	run(seed_of_run(), 48 * MIB);
}

static const struct CMUnitTest tests[] = {
	TEST(random_program),
	TEST(random_program_tight),
};

TEST_MAIN(tests)
