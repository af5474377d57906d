// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots, span map, ledger, control page and recorded tensors against the text
 * of the ABI: what the kernel says of them is held against a model after each
 * step, and what must be refused is tried.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"

#define POOL_LIMIT	(256 * BT_MIB)
/* The part of the span map that is looked at: more than the pool can hold. */
#define PAGES		(2 * POOL_LIMIT / BT_PAGE)
#define PLACE_MASK	((1ULL << BMEM_SLOT_PLACE_BITS) - 1)
#define MANY		4096

/**
 * struct windows - a client with all its windows mapped
 * @c: client
 * @q: what QUERY answered
 * @spans: span map, read-only
 * @ledger: ledger
 * @control: control page
 * @clock: clock page
 */
struct windows {
	struct bt_client c;
	struct bmem_query q;
	const volatile __u64 *spans;
	volatile struct bmem_record *ledger;
	const volatile struct bmem_control *control;
	const volatile struct bmem_clock *clock;
};

static void *map_window(int fd, __u64 offset, size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

static int windows_open(struct windows *w, int pool)
{
	char *control;
	int ret = bt_client_open(&w->c, pool);

	if (ret)
		return ret;
	bt_bind_cache(w->c.fd, 0);
	ret = bt_query(w->c.fd, &w->q);
	if (ret)
		return ret;
	w->spans = map_window(w->c.fd, w->q.spans_offset, PAGES * 8, PROT_READ);
	w->ledger = map_window(w->c.fd, w->q.ledger_offset, w->q.ledger_bytes,
			       PROT_READ | PROT_WRITE);
	control = map_window(w->c.fd, w->q.control_offset, 2 * BT_PAGE, PROT_READ);
	if (!w->spans || !w->ledger || !control)
		return -errno;
	w->clock = (void *)control;
	w->control = (void *)(control + BT_PAGE);
	return 0;
}

static void windows_close(struct windows *w)
{
	munmap((void *)w->spans, PAGES * 8);
	munmap((void *)w->ledger, w->q.ledger_bytes);
	munmap((void *)w->clock, 2 * BT_PAGE);
	bt_client_close(&w->c);
}

/* How many were given out, or -errno. */
static int get(int fd, __u32 class, __u32 nr, __u64 *names)
{
	struct bmem_slots s = {
		.size = sizeof(s), .size_class = class, .nr = nr,
		.slots = (uintptr_t)names,
	};
	int ret = bt_call(fd, BMEM_SLOTS_GET, &s);

	return ret ? ret : (int)s.nr;
}

/* How many were taken back, or -errno. */
static int put(int fd, const __u64 *names, __u32 nr)
{
	struct bmem_slots s = {
		.size = sizeof(s), .nr = nr, .slots = (uintptr_t)names,
	};
	int ret = bt_call(fd, BMEM_SLOTS_PUT, &s);

	return ret ? ret : (int)s.nr;
}

/* As the ABI defines the classes. */
static __u64 class_bytes(__u32 class)
{
	__u32 above = class - 15;

	if (class <= 15)
		return 64 * (class + 1);
	return (8ULL + (above - 1) % 8 + 1) << (7 + (above - 1) / 8);
}

static __u64 offset_of(__u64 name)
{
	return (name & PLACE_MASK) * BMEM_ALIGN_MIN;
}

static __u32 record_of(__u64 name)
{
	return name >> BMEM_SLOT_PLACE_BITS;
}

static void record_live(struct windows *w, __u32 record, __u64 bytes, __u32 site)
{
	volatile struct bmem_record *r = &w->ledger[record];
	__u64 gen = (r->head >> BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK) + 1;

	r->what = (__u64)site << BMEM_RECORD_SITE_SHIFT |
		  (__u32)(w->clock->ticks - w->control->epoch);
	__atomic_store_n(&r->head, bytes << BMEM_RECORD_SIZE_SHIFT |
			 gen << BMEM_RECORD_GEN_SHIFT | BMEM_RECORD_LIVE,
			 __ATOMIC_RELEASE);
}

static void record_free(struct windows *w, __u32 record)
{
	volatile struct bmem_record *r = &w->ledger[record];

	__atomic_store_n(&r->head, (r->head & ~BMEM_RECORD_STATE_MASK) |
			 BMEM_RECORD_FREE, __ATOMIC_RELEASE);
}

/* ---- model ------------------------------------------------------------------ */

/**
 * struct model - the slots that are out
 * @names: of each
 * @class: of each
 * @nr: how many
 */
struct model {
	__u64 names[MANY];
	__u8 class[MANY];
	int nr;
};

/* What the span map says as a whole. */
struct seen {
	__u64 spans;
	__u64 span_pages;
	__u64 tensors;
	__u64 tensor_pages;
};

static char message[256];

#define BAD(...) (snprintf(message, sizeof(message), __VA_ARGS__), message)

/**
 * struct reader - where in a span or tensor the reading of the map is
 * @seen: what was read so far
 * @page: number of the page
 * @before: entry of the page before it
 * @left: pages of the tensor that are to come, before its length is known 1
 * @second: the next is the second page of a tensor
 */
struct reader {
	struct seen *seen;
	__u64 page;
	__u64 before;
	__u64 left;
	bool second;
};

static __u64 arg_of(__u64 entry)
{
	return entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK;
}

static const char *read_tensor_page(struct reader *r, __u64 entry)
{
	__u64 pages = entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_PAGES_MASK;

	if (r->second) {
		if ((entry & BMEM_SPAN_KIND_MASK) != BMEM_SPAN_MORE || pages < 2)
			return BAD("second page %llu of a tensor: %#llx", r->page, entry);
		r->seen->tensor_pages += pages;
		r->left = pages - 1;
		r->second = false;
	} else if (entry) {
		return BAD("page %llu inside a tensor: %#llx", r->page, entry);
	}
	r->left--;
	return NULL;
}

static const char *read_first_page(struct reader *r, __u64 entry)
{
	if (!arg_of(entry))
		return BAD("tensor at page %llu without generation", r->page);
	r->seen->tensors++;
	r->second = !(entry & BMEM_SPAN_SINGLE);
	r->left = r->second;
	r->seen->tensor_pages += !r->second;
	return NULL;
}

static const char *read_slab_page(struct reader *r, __u64 entry)
{
	const __u64 number = BMEM_SPAN_ARG_MASK << BMEM_SPAN_ARG_SHIFT;
	__u64 arg = arg_of(entry);

	if (arg && ((r->before ^ entry) & ~number || arg_of(r->before) + 1 != arg))
		return BAD("page %llu: %#llx after %#llx", r->page, entry, r->before);
	r->seen->spans += !arg;
	r->seen->span_pages++;
	return NULL;
}

/* Page by page: each slab span is whole, each tensor's two entries agree. */
static const char *read_span_map(struct windows *w, struct seen *seen)
{
	struct reader r = { .seen = seen };
	const char *bad = NULL;
	__u64 entry, kind;

	*seen = (struct seen){ 0 };
	for (; r.page < PAGES && !bad; r.page++) {
		entry = w->spans[r.page];
		kind = entry & BMEM_SPAN_KIND_MASK;
		if (r.left)
			bad = read_tensor_page(&r, entry);
		else if (kind == BMEM_SPAN_TENSOR)
			bad = read_first_page(&r, entry);
		else if (kind && kind <= BMEM_CLASSES)
			bad = read_slab_page(&r, entry);
		else if (entry)
			bad = BAD("page %llu: %#llx", r.page, entry);
		r.before = entry;
	}
	return bad;
}

/* The way from a pointer to its record leads to the name's. */
static const char *check_name(struct windows *w, __u64 name, __u32 class)
{
	__u64 offset = offset_of(name), page = offset / BT_PAGE, start, slot;
	__u64 entry = w->spans[page];

	if ((entry & BMEM_SPAN_KIND_MASK) != class + 1)
		return BAD("slot at %#llx of class %u: entry %#llx", offset, class, entry);
	start = (page - (entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK)) * BT_PAGE;
	slot = (offset - start) / class_bytes(class);
	if (start + slot * class_bytes(class) != offset)
		return BAD("slot at %#llx: not on the grid of class %u", offset, class);
	if ((entry >> BMEM_SPAN_RECORD_SHIFT & BMEM_SPAN_RECORD_MASK) + slot !=
	    record_of(name))
		return BAD("slot at %#llx: record %u", offset, record_of(name));
	return NULL;
}

/* Everything that the kernel says, against the model. */
static const char *check_model(struct windows *w, const struct model *m)
{
	struct bmem_client_stats st;
	__u64 bytes = 0;
	struct seen seen;
	const char *bad;
	int i;

	bad = read_span_map(w, &seen);
	for (i = 0; i < m->nr && !bad; i++) {
		bytes += class_bytes(m->class[i]);
		bad = check_name(w, m->names[i], m->class[i]);
	}
	if (bad)
		return bad;
	if (bt_client_stats(w->c.fd, 0, &st))
		return BAD("no stats");
	if (st.slots != (__u64)m->nr || st.slot_bytes != bytes)
		return BAD("stats: %llu slots, %llu bytes; model %d, %llu",
			   st.slots, st.slot_bytes, m->nr, bytes);
	if (st.spans != seen.spans || st.span_bytes != seen.span_pages * BT_PAGE)
		return BAD("stats: %llu spans, %llu bytes; span map %llu, %llu",
			   st.spans, st.span_bytes, seen.spans,
			   seen.span_pages * BT_PAGE);
	if (st.span_bytes + seen.tensor_pages * BT_PAGE > st.attached_bytes)
		return BAD("%llu pages in spans, %llu in tensors, attached %llu",
			   seen.span_pages, seen.tensor_pages, st.attached_bytes);
	if (!st.spans && !seen.tensors && st.attached_bytes)
		return BAD("nothing is out, attached %llu", st.attached_bytes);
	if (st.ledger_bytes % BT_PAGE || st.span_map_bytes % BT_PAGE ||
	    st.ledger_bytes + st.span_map_bytes > st.meta_bytes)
		return BAD("ledger %llu, span map %llu, all %llu",
			   st.ledger_bytes, st.span_map_bytes, st.meta_bytes);
	return bt_check(w->c.fd);
}

static int by_name(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a & PLACE_MASK, y = *(const __u64 *)b & PLACE_MASK;

	return x < y ? -1 : x > y;
}

/* No two slots share a byte or a record. */
static const char *check_disjoint(const struct model *m)
{
	static __u64 sorted[MANY], records[MANY];
	int i;

	for (i = 0; i < m->nr; i++) {
		sorted[i] = m->names[i];
		records[i] = record_of(m->names[i]);
	}
	qsort(sorted, m->nr, sizeof(*sorted), by_name);
	qsort(records, m->nr, sizeof(*records), by_name);
	for (i = 1; i < m->nr; i++) {
		if (records[i] == records[i - 1])
			return BAD("record %llu twice", records[i]);
		if (offset_of(sorted[i]) == offset_of(sorted[i - 1]))
			return BAD("place %#llx twice", offset_of(sorted[i]));
	}
	return NULL;
}

/* ---- fixture ---------------------------------------------------------------- */

FIXTURE(slots) {
	struct windows w;
	int admin;
	int pool;
};

FIXTURE_SETUP(slots)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "slots", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, windows_open(&self->w, self->pool));
}

FIXTURE_TEARDOWN(slots)
{
	struct bmem_pool_stats st;
	const char *bad = bt_check(self->w.c.fd);

	EXPECT_EQ(NULL, bad) {
		TH_LOG("%s", bad);
	}
	windows_close(&self->w);
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
			    !st.total_bytes, 2000));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

#define FINE(check) do {						\
	const char *bad_ = (check);					\
	ASSERT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

/* ---- get and put ------------------------------------------------------------- */

TEST_F_TIMEOUT(slots, every_class, BT_SLOW)
{
	static struct model m;
	__u32 class;
	int got, i;

	for (class = 0; class < BMEM_CLASSES; class++) {
		got = get(self->w.c.fd, class, 65, m.names);
		ASSERT_EQ(65, got);
		m.nr = got;
		memset(m.class, class, got);
		for (i = 0; i < got; i++) {
			EXPECT_EQ(0, self->w.ledger[record_of(m.names[i])].head);
			bt_fill(self->w.c.map + offset_of(m.names[i]),
				class_bytes(class), m.names[i]);
		}
		FINE(check_disjoint(&m));
		FINE(check_model(&self->w, &m));
		for (i = 0; i < got; i++)
			EXPECT_EQ(-1, bt_verify(self->w.c.map + offset_of(m.names[i]),
						class_bytes(class), m.names[i]));
		EXPECT_EQ(65, put(self->w.c.fd, m.names, 65));
		m.nr = 0;
		FINE(check_model(&self->w, &m));
	}
}

/* Any class, any number, back in any order. */
TEST_F_TIMEOUT(slots, random_walk, BT_SLOW)
{
	static struct model m;
	__u64 rnd = 1, batch[64];
	int step, nr, i, got;

	for (step = 0; step < 400; step++) {
		nr = 1 + bt_random(&rnd) % 64;
		if (m.nr + nr <= MANY && bt_random(&rnd) % (m.nr + 1000) < 900) {
			__u32 class = bt_random(&rnd) % BMEM_CLASSES;

			got = get(self->w.c.fd, class, nr, m.names + m.nr);
			ASSERT_EQ(nr, got);
			memset(m.class + m.nr, class, got);
			m.nr += got;
		} else {
			for (i = 0; i < nr && m.nr; i++) {
				int at = bt_random(&rnd) % m.nr--;

				batch[i] = m.names[at];
				m.names[at] = m.names[m.nr];
				m.class[at] = m.class[m.nr];
			}
			if (i)
				ASSERT_EQ(i, put(self->w.c.fd, batch, i));
		}
		FINE(check_disjoint(&m));
		FINE(check_model(&self->w, &m));
	}
	while (m.nr) {
		got = m.nr < 64 ? m.nr : 64;
		m.nr -= got;
		ASSERT_EQ(got, put(self->w.c.fd, m.names + m.nr, got));
	}
	FINE(check_model(&self->w, &m));
}

/* As many as there is memory for, then none, then all back. */
TEST_F_TIMEOUT(slots, to_the_limit, BT_SLOW)
{
	static struct model m;
	struct bmem_client_stats st;
	int got;

	while ((got = get(self->w.c.fd, BMEM_CLASSES - 1, 1024,
			  m.names + m.nr % (MANY - 1024))) == 1024)
		m.nr += got;
	ASSERT_NE(0, got);
	if (got > 0)
		got = get(self->w.c.fd, BMEM_CLASSES - 1, 1, m.names);
	EXPECT_EQ(-ENOSPC, got);
	ASSERT_EQ(0, bt_client_stats(self->w.c.fd, 0, &st));
	EXPECT_EQ(POOL_LIMIT, st.attached_bytes);
	EXPECT_EQ(POOL_LIMIT, st.slot_bytes);
	EXPECT_LT(0, st.failed);
}

/* ---- misuse ------------------------------------------------------------------ */

TEST_F_TIMEOUT(slots, misuse, BT_SLOW)
{
	static const struct bmem_slots bad[] = {
		{ .size_class = BMEM_CLASSES, .nr = 1 },
		{ .size_class = ~0U, .nr = 1 },
		{ .nr = 0 }, { .nr = BMEM_BATCH_MAX + 1 }, { .nr = ~0U },
		{ .flags = 2, .nr = 1 }, { .flags = 1U << 31, .nr = 1 },
		{ .size = 4, .nr = 1 },
		{ .size = offsetof(struct bmem_slots, timeout_ms) - 1, .nr = 1 },
	};
	static const unsigned long calls[] = { BMEM_SLOTS_GET, BMEM_SLOTS_PUT };
	static struct model m;
	__u64 names[BMEM_BATCH_MAX];
	struct bmem_slots s;
	size_t i, k;

	ASSERT_EQ(3, get(self->w.c.fd, 2, 3, m.names));
	memset(m.class, 2, 3);
	m.nr = 3;
	for (k = 0; k < 2; k++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			s = bad[i];
			if (!s.size)
				s.size = sizeof(s);
			s.slots = (uintptr_t)names;
			EXPECT_EQ(s.flags ? -EOPNOTSUPP : -EINVAL,
				  bt_call(self->w.c.fd, calls[k], &s)) {
				TH_LOG("row %zu of call %zu", i, k);
			}
			FINE(check_model(&self->w, &m));
		}
	}
	EXPECT_EQ(3, put(self->w.c.fd, m.names, 3));
}

/* The names cannot be written, or read, as far as they should: all is undone. */
TEST_F_TIMEOUT(slots, bad_arrays, BT_SLOW)
{
	char *two = mmap(NULL, 2 * BT_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static struct model m;
	__u64 *edge = (__u64 *)(two + BT_PAGE) - 10;

	ASSERT_EQ(0, munmap(two + BT_PAGE, BT_PAGE));
	EXPECT_EQ(-EFAULT, get(self->w.c.fd, 0, 100, NULL));
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(-EFAULT, get(self->w.c.fd, 0, 11, edge));
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(-EFAULT, get(self->w.c.fd, 0, 1, (void *)(1ULL << 63)));
	FINE(check_model(&self->w, &m));
	ASSERT_EQ(10, get(self->w.c.fd, 0, 10, edge));
	memcpy(m.names, edge, 80);
	m.nr = 10;
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(-EFAULT, put(self->w.c.fd, edge, 11));
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(10, put(self->w.c.fd, edge, 10));
	munmap(two, BT_PAGE);
}

/* Why the last refused call was refused. */
static bool refused_since(const char *text)
{
	char *all = bt_read_file(BT_DEBUGFS "/last_failure");
	bool found = all && strstr(all, text);

	free(all);
	return found;
}

/* What is full is named, be it the pool or the client's space. */
TEST_F_TIMEOUT(slots, refused_says_why, BT_SLOW)
{
	struct bmem_alloc_entry e;
	__u64 name, most = POOL_LIMIT;

	ASSERT_EQ(0, bt_alloc1(self->w.c.fd, most, &e));
	EXPECT_EQ(-ENOSPC, get(self->w.c.fd, 3, 1, &name));
	EXPECT_EQ(self->w.c.id, bt_debugfs_value("last_failure", "client"));
	EXPECT_TRUE(refused_since("reason: the pool is at its limit\n"));
	ASSERT_EQ(0, bt_free1(self->w.c.fd, e.handle));
	ASSERT_EQ(1, get(self->w.c.fd, 3, 1, &name));
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
}

/* Only where the space is as small as memory: space_gib=1. */
TEST_F_TIMEOUT(slots, refused_for_want_of_space, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct windows w;
	__u64 name;
	int pool;

	if (self->w.c.space > BT_GIB)
		SKIP(return, "the space is larger than what there is to fill it with");
	pool = bt_pool_create(self->admin, "space", 2 * BT_GIB, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, windows_open(&w, pool));
	ASSERT_EQ(0, bt_alloc1(w.c.fd, w.c.space, &e));
	EXPECT_EQ(-ENOSPC, get(w.c.fd, 3, 1, &name));
	EXPECT_TRUE(refused_since("reason: the client's space has no gap"));
	windows_close(&w);
	EXPECT_TRUE(BT_WAIT(!bt_pool_destroy(self->admin, pool), 10000));
}

/* Names of nothing that is out are passed over, and what is out stays. */
TEST_F_TIMEOUT(slots, strangers, BT_SLOW)
{
	static struct model m;
	struct bmem_alloc_entry e = { .bytes = 100, .flags = BMEM_ALLOC_RECORD };
	__u64 name, batch[3];
	struct windows other;
	int bit;

	/* Class 10: 704 bytes, so that a page ends in a tail. */
	ASSERT_EQ(2, get(self->w.c.fd, 10, 2, m.names));
	memset(m.class, 10, 2);
	m.nr = 2;
	name = m.names[0];
	EXPECT_EQ(0, put(self->w.c.fd, &(__u64){ PLACE_MASK }, 1));
	EXPECT_EQ(0, put(self->w.c.fd, &(__u64){ ~0ULL }, 1));
	for (bit = 0; bit < 64; bit++) {
		__u64 flipped = name ^ 1ULL << bit;

		if (flipped == m.names[1])
			continue;
		EXPECT_EQ(0, put(self->w.c.fd, &flipped, 1)) {
			TH_LOG("bit %d", bit);
		}
	}
	FINE(check_model(&self->w, &m));

	/* One that is in, next to one that is out. */
	ASSERT_EQ(1, put(self->w.c.fd, &m.names[1], 1));
	EXPECT_EQ(0, put(self->w.c.fd, &m.names[1], 1));
	m.nr = 1;
	FINE(check_model(&self->w, &m));

	/* The same twice in one call: once. */
	ASSERT_EQ(1, get(self->w.c.fd, 10, 1, &batch[0]));
	batch[1] = batch[0];
	batch[2] = 12345;
	EXPECT_EQ(1, put(self->w.c.fd, batch, 3));
	FINE(check_model(&self->w, &m));

	/* A tensor's place and record, by all names that it could have. */
	ASSERT_EQ(0, bt_alloc(self->w.c.fd, &e, 1, NULL));
	batch[0] = e.handle;
	batch[1] = e.offset / BMEM_ALIGN_MIN;
	batch[2] = e.offset / BMEM_ALIGN_MIN |
		   (self->w.spans[e.offset / BT_PAGE] >> BMEM_SPAN_RECORD_SHIFT &
		    BMEM_SPAN_RECORD_MASK) << BMEM_SLOT_PLACE_BITS;
	EXPECT_EQ(0, put(self->w.c.fd, batch, 3));
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(0, bt_free1(self->w.c.fd, e.handle));

	/* FREE and INFO do not know a slot's name. */
	EXPECT_EQ(-ENOENT, bt_free1(self->w.c.fd, name));

	/* Another client has none of this client's. */
	ASSERT_EQ(0, windows_open(&other, self->pool));
	EXPECT_EQ(0, put(other.c.fd, &name, 1));
	windows_close(&other);
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
}

/* ---- ledger ------------------------------------------------------------------ */

static int ledger_stats(int fd, struct bmem_client_stats *st)
{
	*st = (struct bmem_client_stats){
		.size = sizeof(*st), .flags = BMEM_STATS_LEDGER,
	};
	return bt_call(fd, BMEM_CLIENT_STATS, st);
}

TEST_F_TIMEOUT(slots, records_are_listed, BT_SLOW)
{
	struct bmem_client_stats st;
	struct bmem_tensor_info info;
	struct bmem_tensor *rows;
	__u64 names[8];
	int i, nr;

	ASSERT_EQ(0, bt_site(self->w.c.fd, 7, "seven"));
	ASSERT_EQ(8, get(self->w.c.fd, 15, 8, names));
	ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(8 * 1024, st.idle_bytes);
	for (i = 0; i < 8; i++)
		record_live(&self->w, record_of(names[i]), 1000 + i, 7);
	record_free(&self->w, record_of(names[3]));
	ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
	EXPECT_EQ(7, st.live_tensors);
	EXPECT_EQ(7 * 1000 + 28 - 3, st.live_bytes);
	EXPECT_EQ(8, st.allocs);
	EXPECT_EQ(1, st.frees);
	EXPECT_EQ(1024, st.idle_bytes);
	EXPECT_EQ(0, st.ledger_bad);
	nr = bt_list(self->w.c.fd, 0, &rows);
	ASSERT_EQ(7, nr);
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(offset_of(names[i + (i >= 3)]), rows[i].offset);
		EXPECT_EQ(1000 + i + (i >= 3), rows[i].bytes);
		EXPECT_EQ(1024, rows[i].granted);
		EXPECT_EQ(7, rows[i].site);
		EXPECT_EQ(BMEM_ALLOC_RECORD, rows[i].flags);
		EXPECT_LT(rows[i].age_ms, 60000);
		EXPECT_EQ(0, bt_info(self->w.c.fd, rows[i].handle, &info));
		EXPECT_EQ(rows[i].offset, info.tensor.offset);
		EXPECT_STREQ("seven", info.label);
		EXPECT_EQ(-ENOENT, bt_free1(self->w.c.fd, rows[i].handle));
	}
	/* The next tensor of the slot has another name. */
	record_free(&self->w, record_of(names[0]));
	EXPECT_EQ(-ENOENT, bt_info(self->w.c.fd, rows[0].handle, &info));
	record_live(&self->w, record_of(names[0]), 5, 7);
	EXPECT_EQ(-ENOENT, bt_info(self->w.c.fd, rows[0].handle, &info));
	ASSERT_EQ(0, bt_info_at(self->w.c.fd, offset_of(names[0]) + 1023, &info));
	EXPECT_EQ(5, info.tensor.bytes);
	EXPECT_EQ(-ENOENT, bt_info_at(self->w.c.fd, offset_of(names[3]), &info));
	free(rows);
	EXPECT_EQ(8, put(self->w.c.fd, names, 8));
}

/* What makes no sense is marked, counts as live, and never above its slot. */
TEST_F_TIMEOUT(slots, nonsense_is_marked, BT_SLOW)
{
	static const struct { __u64 head; __u64 bad; } heads[] = {
		{ 1024ULL << BMEM_RECORD_SIZE_SHIFT | BMEM_RECORD_LIVE, 0 },
		{ 1025ULL << BMEM_RECORD_SIZE_SHIFT | BMEM_RECORD_LIVE, 1 },
		{ BMEM_RECORD_LIVE, 1 },
		{ ~0ULL << BMEM_RECORD_SIZE_SHIFT | BMEM_RECORD_LIVE, 1 },
		{ ~0ULL, 1 },
		{ 3, 1 },
	};
	struct bmem_client_stats st;
	__u64 name;
	size_t i;

	ASSERT_EQ(1, get(self->w.c.fd, 15, 1, &name));
	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		self->w.ledger[record_of(name)].head = heads[i].head;
		self->w.ledger[record_of(name)].what = ~0ULL;
		ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
		EXPECT_EQ(heads[i].bad, st.ledger_bad) {
			TH_LOG("head %#llx", heads[i].head);
		}
		EXPECT_EQ(1, st.live_tensors);
		EXPECT_LE(st.live_bytes, 1024);
		EXPECT_EQ(1, st.slots);
		FINE(bt_check(self->w.c.fd));
	}
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
	ASSERT_EQ(1, get(self->w.c.fd, 15, 1, &name));
	EXPECT_EQ(0, self->w.ledger[record_of(name)].head);
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
}

/* A recorded tensor's memory may be used again for another, no larger. */
TEST_F_TIMEOUT(slots, recorded_tensor, BT_SLOW)
{
	struct bmem_alloc_entry e = {
		.bytes = 3 * BT_MIB + 5, .flags = BMEM_ALLOC_RECORD, .site = 9,
	};
	struct bmem_client_stats st;
	struct bmem_tensor *rows;
	__u64 entry;
	__u32 record;

	ASSERT_EQ(0, bt_site(self->w.c.fd, 9, "nine"));
	ASSERT_EQ(0, bt_alloc(self->w.c.fd, &e, 1, NULL));
	entry = self->w.spans[e.offset / BT_PAGE];
	EXPECT_EQ(BMEM_SPAN_TENSOR, entry & BMEM_SPAN_KIND_MASK);
	EXPECT_TRUE(entry & BMEM_SPAN_RECORDED);
	EXPECT_EQ(e.handle, (entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK) <<
			    BMEM_SLOT_PLACE_BITS | e.offset / BMEM_ALIGN_MIN);
	EXPECT_EQ(BMEM_SPAN_MORE | (e.granted / BT_PAGE) << BMEM_SPAN_ARG_SHIFT,
		  self->w.spans[e.offset / BT_PAGE + 1]);
	record = entry >> BMEM_SPAN_RECORD_SHIFT & BMEM_SPAN_RECORD_MASK;
	EXPECT_EQ(e.bytes << BMEM_RECORD_SIZE_SHIFT | 1 << BMEM_RECORD_GEN_SHIFT |
		  BMEM_RECORD_LIVE, self->w.ledger[record].head);
	EXPECT_EQ(9, self->w.ledger[record].what >> BMEM_RECORD_SITE_SHIFT);

	record_free(&self->w, record);
	ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(e.granted, st.idle_bytes);
	EXPECT_EQ(1, st.recorded);
	EXPECT_EQ(0, bt_list(self->w.c.fd, 0, &rows));
	free(rows);

	record_live(&self->w, record, e.granted, 9);
	ASSERT_EQ(1, bt_list(self->w.c.fd, 0, &rows));
	EXPECT_EQ(e.granted, rows[0].bytes);
	free(rows);
	record_live(&self->w, record, e.granted + 1, 9);
	ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
	EXPECT_EQ(1, st.ledger_bad);
	EXPECT_EQ(e.granted, st.live_bytes);
	FINE(bt_check(self->w.c.fd));

	/* FREE ends it, whatever the record says. */
	EXPECT_EQ(0, bt_free1(self->w.c.fd, e.handle));
	EXPECT_EQ(0, self->w.spans[e.offset / BT_PAGE]);
	EXPECT_EQ(0, self->w.spans[e.offset / BT_PAGE + 1]);
	ASSERT_EQ(0, ledger_stats(self->w.c.fd, &st));
	EXPECT_EQ(0, st.live_tensors + st.recorded + st.ledger_bad + st.idle_bytes);
}

/* Tensors of one page and of more, with slabs between them. */
TEST_F_TIMEOUT(slots, span_map_of_all_kinds, BT_SLOW)
{
	static const __u64 bytes[] = {
		1, 4096, 4097, 8192, 8193, 40000, BT_MIB, 2 * BT_MIB,
		2 * BT_MIB + 1, 5 * BT_MIB,
	};
	struct bmem_alloc_entry e[ARRAY_SIZE(bytes)] = { 0 };
	static struct model m;
	struct seen seen;
	__u64 pages = 0, entry;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		e[i].bytes = bytes[i];
		ASSERT_EQ(0, bt_alloc(self->w.c.fd, &e[i], 1, NULL));
		pages += e[i].granted / BT_PAGE;
		ASSERT_EQ(1, get(self->w.c.fd, i * 5, 1, m.names + m.nr));
		m.class[m.nr++] = i * 5;
		entry = self->w.spans[e[i].offset / BT_PAGE];
		EXPECT_EQ(e[i].granted == BT_PAGE, !!(entry & BMEM_SPAN_SINGLE));
		EXPECT_FALSE(entry & BMEM_SPAN_RECORDED);
		FINE(check_model(&self->w, &m));
	}
	FINE(read_span_map(&self->w, &seen));
	EXPECT_EQ(ARRAY_SIZE(bytes), seen.tensors);
	EXPECT_EQ(pages, seen.tensor_pages);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		EXPECT_EQ(0, bt_free1(self->w.c.fd, e[i].handle));
		FINE(check_model(&self->w, &m));
	}
	EXPECT_EQ(m.nr, put(self->w.c.fd, m.names, m.nr));
	m.nr = 0;
	FINE(read_span_map(&self->w, &seen));
	EXPECT_EQ(0, seen.spans + seen.tensors);
}

/* ---- windows ----------------------------------------------------------------- */

static int try_map(int fd, __u64 offset, size_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, bytes);
	return 0;
}

TEST_F_TIMEOUT(slots, windows_refused, BT_SLOW)
{
	const struct bmem_query *q = &self->w.q;
	const struct { __u64 at, bytes; bool readonly; } w[] = {
		{ q->control_offset, 2 * BT_PAGE, true },
		{ q->spans_offset, q->spans_bytes, true },
		{ q->ledger_offset, q->ledger_bytes, false },
	};
	int fd = self->w.c.fd, rw = PROT_READ | PROT_WRITE;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(w); i++) {
		EXPECT_EQ(0, try_map(fd, w[i].at, BT_PAGE, PROT_READ, MAP_SHARED));
		EXPECT_EQ(0, try_map(fd, w[i].at + w[i].bytes - BT_PAGE, BT_PAGE,
				     PROT_READ, MAP_SHARED));
		EXPECT_EQ(w[i].readonly ? -EACCES : 0,
			  try_map(fd, w[i].at, BT_PAGE, rw, MAP_SHARED));
		EXPECT_EQ(-EINVAL, try_map(fd, w[i].at, BT_PAGE, PROT_READ, MAP_PRIVATE));
		EXPECT_EQ(-EINVAL, try_map(fd, w[i].at, BT_PAGE, rw, MAP_PRIVATE));
		EXPECT_EQ(-EACCES, try_map(fd, w[i].at, BT_PAGE,
					   PROT_READ | PROT_EXEC, MAP_SHARED));
		EXPECT_EQ(-EINVAL, try_map(fd, w[i].at + w[i].bytes - BT_PAGE,
					   2 * BT_PAGE, PROT_READ, MAP_SHARED));
		EXPECT_EQ(-EINVAL, try_map(fd, w[i].at - BT_PAGE, 2 * BT_PAGE,
					   PROT_READ, MAP_SHARED));
	}
}

static ssize_t write_by_mem(const volatile void *p)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ssize_t n = pwrite(fd, "nonsense", 8, (uintptr_t)p);

	close(fd);
	return n;
}

static ssize_t write_by_vm(const volatile void *p)
{
	struct iovec from = { "nonsense", 8 }, to = { (void *)p, 8 };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

/* What only the kernel writes nobody else does, by any way. */
TEST_F_TIMEOUT(slots, readonly, BT_SLOW)
{
	const volatile void *at[] = {
		self->w.spans, self->w.spans + 512, self->w.control, self->w.clock,
	};
	__u64 before, name;
	size_t i;

	ASSERT_EQ(1, get(self->w.c.fd, 0, 1, &name));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		/* Epoch and level are words that stay. */
		before = i == 3 ? 0 : *(const volatile __u64 *)at[i];
		EXPECT_EQ(-1, mprotect((void *)at[i], BT_PAGE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, mprotect((void *)at[i], BT_PAGE, PROT_READ | PROT_EXEC));
		EXPECT_EQ(SIGSEGV, bt_poke((void *)at[i], 1));
		EXPECT_EQ(-1, write_by_mem(at[i]));
		EXPECT_EQ(-1, write_by_vm(at[i]));
		EXPECT_EQ(0, bt_peek((void *)at[i]));
		EXPECT_EQ(before, i == 3 ? 0 : *(const volatile __u64 *)at[i]);
	}
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
}

/**
 * struct target - the span map as others attack it
 * @w: windows of the client
 * @pid: process whose mapping it is
 * @bytes: length of the mapping
 */
struct target {
	struct windows *w;
	pid_t pid;
	size_t bytes;
};

/* By the parent's memory file, which debuggers write even read-only code by. */
static bool written_by_mem(pid_t pid, const volatile void *p)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = fd < 0 ? -1 : pwrite(fd, "nonsense", 8, (uintptr_t)p);
	close(fd);
	return n > 0;
}

static bool written_by_vm(pid_t pid, const volatile void *p)
{
	struct iovec from = { "nonsense", 8 }, to = { (void *)p, 8 };

	return process_vm_writev(pid, &from, 1, &to, 1, 0) > 0;
}

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* A way that must not lead to a writable mapping; its number when it does. */
static int attack_mapping(char *p, size_t bytes)
{
	int rw = PROT_READ | PROT_WRITE;
	char *to;

	if (!mprotect(p, BT_PAGE, rw))
		return 1;
	if (!mprotect(p, bytes, PROT_WRITE))
		return 2;
	/* Beyond what was mapped, in place and elsewhere. */
	if (mremap(p, bytes, 2 * bytes, 0) != MAP_FAILED ||
	    mremap(p, bytes, 2 * bytes, MREMAP_MAYMOVE) != MAP_FAILED)
		return 3;
	if (!madvise(p, bytes, MADV_POPULATE_WRITE))
		return 4;
	if (bt_poke(p, 1) != SIGSEGV)
		return 5;
	/* A second mapping of the same, by those kernels that give one. */
	to = mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (to != MAP_FAILED && (!mprotect(to, bytes, rw) ||
				 bt_poke(to, 1) != SIGSEGV || munmap(to, bytes)))
		return 6;
	to = mremap(p, 0, bytes, MREMAP_MAYMOVE);
	if (to != MAP_FAILED && (!mprotect(to, bytes, rw) ||
				 bt_poke(to, 1) != SIGSEGV || munmap(to, bytes)))
		return 7;
	/* A hole in the middle changes nothing about the rest. */
	if (munmap(p + BT_PAGE, BT_PAGE) || !mprotect(p + 2 * BT_PAGE, BT_PAGE, rw) ||
	    bt_poke(p + 2 * BT_PAGE, 1) != SIGSEGV)
		return 8;
	return 0;
}

/* Each attack has a mapping of its own, but for what names the parent's. */
static int attack_spans(void *arg)
{
	struct target *t = arg;
	int fd = t->w->c.fd, rw = PROT_READ | PROT_WRITE, way;
	__u64 at = t->w->q.spans_offset, end = at + t->w->q.spans_bytes;
	char *p = map_window(fd, at, t->bytes, PROT_READ);

	if (!p)
		return 100;
	way = attack_mapping(p, t->bytes);
	munmap(p, t->bytes);
	if (way)
		return way;
	/* What the fork brought is no weaker. */
	if (!mprotect((void *)t->w->spans, BT_PAGE, rw))
		return 20;
	if (written_by_mem(getpid(), t->w->spans) || written_by_vm(getpid(), t->w->spans))
		return 21;
	if (written_by_mem(t->pid, t->w->spans) || written_by_vm(t->pid, t->w->spans))
		return 22;
	if (try_map(fd, at, BT_PAGE, rw, MAP_SHARED) != -EACCES ||
	    try_map(fd, at, BT_PAGE, PROT_WRITE, MAP_SHARED) != -EACCES ||
	    try_map(fd, at, BT_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED) != -EACCES)
		return 23;
	if (try_map(fd, at, BT_PAGE, PROT_READ, MAP_PRIVATE) != -EINVAL ||
	    try_map(fd, at, BT_PAGE, rw, MAP_PRIVATE) != -EINVAL)
		return 24;
	if (try_map(fd, end, BT_PAGE, PROT_READ, MAP_SHARED) != -EINVAL ||
	    try_map(fd, end - BT_PAGE, 2 * BT_PAGE, PROT_READ, MAP_SHARED) != -EINVAL ||
	    try_map(fd, at - BT_PAGE, 2 * BT_PAGE, rw, MAP_SHARED) != -EINVAL)
		return 25;
	return 0;
}

/* Nobody makes the span map writable, in the process or in a child of it. */
TEST_F_TIMEOUT(slots, span_map_attacked, BT_SLOW)
{
	struct target t = { .w = &self->w, .pid = getpid(), .bytes = 8 * BT_PAGE };
	static struct model m;
	int got;

	got = get(self->w.c.fd, 3, 64, m.names);
	ASSERT_EQ(64, got);
	m.nr = got;
	memset(m.class, 3, got);
	FINE(check_model(&self->w, &m));
	EXPECT_EQ(0, bt_in_child(attack_spans, &t));
	FINE(check_model(&self->w, &m));
	/* And in the process itself. */
	EXPECT_EQ(0, attack_spans(&t));
	FINE(check_model(&self->w, &m));
	/* What the kernel writes from now on is still seen. */
	EXPECT_EQ(64, put(self->w.c.fd, m.names, 64));
	m.nr = 0;
	FINE(check_model(&self->w, &m));
}

/* The ledger is as long as its records need; beyond is nothing. */
TEST_F_TIMEOUT(slots, ledger_bounds, BT_SLOW)
{
	volatile char *ledger = (volatile char *)self->w.ledger;
	struct bmem_client_stats st;
	__u64 names[64], page, there = 0, last = 0;
	int i;

	ASSERT_EQ(64, get(self->w.c.fd, 0, 64, names));
	for (i = 0; i < 64; i++)
		if (record_of(names[i]) > last)
			last = record_of(names[i]);
	ASSERT_EQ(0, bt_client_stats(self->w.c.fd, 0, &st));
	for (page = 0; page < 64; page++) {
		int sig = bt_peek((void *)(ledger + page * BT_PAGE));

		EXPECT_TRUE(!sig || sig == SIGBUS);
		there += !sig;
		EXPECT_EQ(sig, bt_poke((void *)(ledger + page * BT_PAGE), 0));
	}
	EXPECT_EQ(st.ledger_bytes, there * BT_PAGE);
	EXPECT_EQ(0, bt_peek((void *)&self->w.ledger[last]));
	EXPECT_EQ(SIGBUS, bt_peek((void *)(ledger + self->w.q.ledger_bytes - 1)));
	EXPECT_EQ(0, self->w.spans[PAGES - 1]);
	EXPECT_EQ(64, put(self->w.c.fd, names, 64));
}

static int child_writes(void *arg)
{
	struct windows *w = arg;
	__u64 name;

	/* The child is the same client: it sees, and may do, what the parent may. */
	if (get(w->c.fd, 15, 1, &name) != 1 || check_name(w, name, 15))
		return 1;
	record_live(w, record_of(name), 777, 0);
	bt_fill(w->c.map + offset_of(name), 777, 1);
	return bt_poke((void *)w->spans, 1) == SIGSEGV ? 0 : 2;
}

TEST_F_TIMEOUT(slots, fork_shares, BT_SLOW)
{
	struct bmem_tensor *rows;
	__u64 name;

	ASSERT_EQ(1, get(self->w.c.fd, 15, 1, &name));
	ASSERT_EQ(0, bt_in_child(child_writes, &self->w));
	ASSERT_EQ(1, bt_list(self->w.c.fd, 0, &rows));
	EXPECT_EQ(777, rows[0].bytes);
	EXPECT_EQ(-1, bt_verify(self->w.c.map + rows[0].offset, 777, 1));
	free(rows);
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
}

/* Moving, cutting and growing mappings of the windows. */
TEST_F_TIMEOUT(slots, windows_move, BT_SLOW)
{
	size_t bytes = 8 * BT_PAGE;
	__u64 name, entry;
	char *p, *to;

	ASSERT_EQ(1, get(self->w.c.fd, 3, 1, &name));
	entry = self->w.spans[offset_of(name) / BT_PAGE];
	p = map_window(self->w.c.fd, self->w.q.spans_offset, bytes, PROT_READ);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(entry, *((__u64 *)p + offset_of(name) / BT_PAGE));
	/* It must not grow beyond what it was mapped as. */
	EXPECT_EQ(MAP_FAILED, mremap(p, bytes, 2 * bytes, MREMAP_MAYMOVE));
	to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(to, mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, bt_peek(p));
	EXPECT_EQ(entry, *((__u64 *)to + offset_of(name) / BT_PAGE));
	EXPECT_EQ(-1, mprotect(to, BT_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, munmap(to + BT_PAGE, 2 * BT_PAGE));
	EXPECT_EQ(SIGSEGV, bt_peek(to + BT_PAGE));
	EXPECT_EQ(0, bt_peek(to + 3 * BT_PAGE));
	EXPECT_EQ(entry, *((__u64 *)to + offset_of(name) / BT_PAGE));
	EXPECT_EQ(1, put(self->w.c.fd, &name, 1));
	EXPECT_EQ(0, *((__u64 *)to + offset_of(name) / BT_PAGE));
	EXPECT_EQ(0, munmap(to, bytes));
}

/* The clock goes on while it is mapped; the level is what was bound. */
TEST_F_TIMEOUT(slots, control, BT_SLOW)
{
	struct bmem_bind b = { .size = sizeof(b), .flags = BMEM_BIND_LEVEL };
	__u32 ticks = self->w.clock->ticks, recall = self->w.control->recall;

	EXPECT_TRUE(BT_WAIT(self->w.clock->ticks - ticks > 2, 5000));
	EXPECT_EQ(BMEM_LEVEL_STANDARD, self->w.control->level);
	for (b.level = BMEM_LEVEL_OFF; b.level <= BMEM_LEVEL_FULL; b.level++) {
		ASSERT_EQ(0, bt_call(self->w.c.fd, BMEM_BIND, &b));
		EXPECT_EQ(b.level, self->w.control->level);
	}
	ASSERT_EQ(0, bt_trim(self->w.c.fd, BMEM_TRIM_POOL, 0, NULL));
	EXPECT_NE(recall, self->w.control->recall);
}

static int realtime(int priority)
{
	struct sched_param p = { .sched_priority = priority };

	return sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &p);
}

static void spin_until(__u64 end)
{
	while (bt_now_ms() < end)
		;
}

static int hog(void *end)
{
	if (realtime(10))
		return 1;
	spin_until(*(__u64 *)end);
	return 0;
}

/*
 * Where all CPUs are busy nobody keeps the clock.  A client that is opened then
 * finds that it begins no later than the clock says: what it allocates would be
 * of a time to come else, and of no age for ever.
 */
TEST_F_TIMEOUT(slots, clock_is_late, BT_SLOW)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	__u64 end = bt_now_ms() + 400;
	struct windows w;
	int early = 0, rc;

	for (i = 0; i < cpus; i++)
		ASSERT_LT(0, bt_spawn(hog, &end));
	ASSERT_EQ(0, realtime(20));
	spin_until(bt_now_ms() + 100);
	rc = windows_open(&w, self->pool);
	if (!rc) {
		early = (int)(w.clock->ticks - w.control->epoch);
		windows_close(&w);
	}
	EXPECT_EQ(0, realtime(0));
	EXPECT_EQ(0, rc);
	EXPECT_LE(0, early);
	while (wait(NULL) > 0)
		;
}

/* ---- a ledger full of noise --------------------------------------------------- */

#define NOISE_MS	5000
#define NOISE_SLOTS	3000

/**
 * struct noise - a process that scribbles, and what it really has
 * @pool: its pool
 * @client: out, its client
 * @ready: slots are out, the noise has begun
 */
struct noise {
	int pool;
	volatile __u64 client;
	volatile bool ready;
};

static int make_noise(void *arg)
{
	struct noise *n = arg;
	static __u64 names[BMEM_BATCH_MAX];
	struct bmem_client_stats st;
	struct windows w;
	__u64 rnd = 3;
	size_t words;
	int i;

	if (windows_open(&w, n->pool))
		return 1;
	for (i = 0; i < NOISE_SLOTS / 1000; i++)
		if (get(w.c.fd, i * 20, 1000, names) != 1000)
			return 2;
	bt_client_stats(w.c.fd, 0, &st);
	words = st.ledger_bytes / 8;
	n->client = w.c.id;
	n->ready = true;
	for (;;)
		((volatile __u64 *)w.ledger)[bt_random(&rnd) % words] =
			bt_random(&rnd);
}

static const char *const readers[] = {
	"stats", "pools", "clients", "tensors", "sites", "tombstones",
	"overhead", "placement",
};

TEST_F_TIMEOUT(slots, noise, BT_SLOW)
{
	struct noise *n = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct bmem_client_stats st;
	struct bmem_tensor *rows;
	__u64 end, bad = 0, rounds = 0, granted = 0;
	pid_t pid;
	char path[128], *text;
	int nr, i, status;

	n->pool = self->pool;
	pid = bt_spawn(make_noise, n);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(BT_WAIT(n->ready, 20000));
	/* Noise that was never seen has not been looked at. */
	for (end = bt_now_ms() + NOISE_MS; bt_now_ms() < end || !bad; rounds++) {
		ASSERT_EQ(0, bt_client_stats(self->w.c.fd, n->client, &st));
		/* These the kernel knows by itself. */
		EXPECT_EQ(NOISE_SLOTS, st.slots);
		if (!granted)
			granted = st.granted_bytes;
		EXPECT_EQ(granted, st.granted_bytes);
		EXPECT_LE(st.live_tensors, st.slots);
		EXPECT_LE(st.live_bytes, st.granted_bytes);
		EXPECT_LE(st.granted_bytes, st.attached_bytes);
		bad += st.ledger_bad;
		nr = bt_list(self->w.c.fd, n->client, &rows);
		ASSERT_LE(0, nr);
		EXPECT_LE(nr, NOISE_SLOTS);
		for (i = 0; i < nr; i++)
			EXPECT_LE(rows[i].bytes, rows[i].granted);
		free(rows);
		for (i = 0; i < (int)ARRAY_SIZE(readers); i++) {
			snprintf(path, sizeof(path), BT_DEBUGFS "/%s", readers[i]);
			text = bt_read_file(path);
			EXPECT_NE(NULL, text);
			free(text);
		}
	}
	EXPECT_LT(0, bad);
	TH_LOG("%llu rounds, %llu records that make no sense", rounds, bad);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGKILL, status);
	munmap(n, BT_PAGE);
	FINE(bt_check(self->w.c.fd));
}

/* ---- killed between, and in, the calls ---------------------------------------- */

#define KILLS		200

static int get_and_put(void *arg)
{
	int pool = *(int *)arg;
	static __u64 names[BMEM_BATCH_MAX];
	struct windows w;
	__u64 rnd = getpid();
	int got, nr, i;

	if (windows_open(&w, pool))
		return 1;
	for (;;) {
		nr = 1 + bt_random(&rnd) % BMEM_BATCH_MAX;
		got = get(w.c.fd, bt_random(&rnd) % BMEM_CLASSES, nr, names);
		for (i = 0; i < got; i++)
			record_live(&w, record_of(names[i]), 1, 1);
		if (got > 0 && bt_random(&rnd) % 4)
			put(w.c.fd, names, got);
	}
}

TEST_F_TIMEOUT(slots, killed, BT_SLOW)
{
	struct bmem_pool_stats st;
	/* The debug kernel is there for what it says in its log. */
	int i, status, kills = bt_debug_kernel() ? KILLS / 2 : KILLS;
	__u64 rnd = 5;
	pid_t pid;

	for (i = 0; i < kills; i++) {
		pid = bt_spawn(get_and_put, &self->pool);
		ASSERT_LT(0, pid);
		usleep(bt_random(&rnd) % 60000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		/* And not of itself, or of what it was given, before that. */
		EXPECT_EQ(SIGKILL, status);
		ASSERT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
				    !st.attached_bytes && !st.total_bytes, 5000)) {
			TH_LOG("kill %d: %llu attached, %llu in all", i,
			       st.attached_bytes, st.total_bytes);
		}
		EXPECT_EQ(1, st.clients);
		FINE(bt_check_pool(self->admin, self->pool));
	}
}

TEST_HARNESS_MAIN
