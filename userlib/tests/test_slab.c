// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Slots, span map and ledger as the fallback keeps them.  The test plays the
 * library: it writes records, reads the map, and gives back what it should
 * not.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "../src/arena.h"
#include "client.h"
#include "place_slab.h"

#define PLACE_OF(name)	((name) & ((1ULL << BMEM_SLOT_PLACE_BITS) - 1))
#define OFFSET_OF(name)	(PLACE_OF(name) << 6)
#define RECORD_OF(name)	((uint32_t)((name) >> BMEM_SLOT_PLACE_BITS))

static struct bmem_client *c;

static int set_up(void **state)
{
	struct bmem_options o = {
		.backend = BMEM_BACKEND_MEMFD,
		.max_bytes = LIMIT,
	};

	test_note_name(state);
	c = client_with(&o);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	bmem_close(c);
	return 0;
}

#define SLAB_TEST(f)	{ #f, f, set_up, tear_down, (void *)#f }

/* Calls of fallocate() that fail: after so many that do not, for want of room. */
static int alloc_after, alloc_fails;

int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
	if (mode || !alloc_fails || alloc_after-- > 0)
		return __real_fallocate(fd, mode, off, len);
	alloc_fails--;
	errno = ENOSPC;
	return -1;
}

/*
 * What the backend takes for the time, where it stands still: what is kept then
 * grows old by what is done, not by how long that takes beside other programs.
 */
static struct timespec still;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_MONOTONIC_COARSE || !still.tv_sec)
		return __real_clock_gettime(id, ts);
	*ts = still;
	return 0;
}

static int set_up_still(void **state)
{
	clock_gettime(CLOCK_MONOTONIC_COARSE, &still);
	return set_up(state);
}

static int tear_down_still(void **state)
{
	still.tv_sec = 0;
	return tear_down(state);
}

#define STILL_TEST(f)	{ #f, f, set_up_still, tear_down_still, (void *)#f }

/* ---- the calls ---- */

static int try_get(uint32_t class, uint64_t *names, uint32_t *nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg),
		.size_class = class,
		.nr = *nr,
		.slots = (uintptr_t)names,
	};
	int ret = call(c, BMEM_SLOTS_GET, &arg);

	*nr = arg.nr;
	return ret;
}

static void get(uint32_t class, uint64_t *names, uint32_t nr)
{
	uint32_t got = nr;

	EQ(try_get(class, names, &got), 0);
	EQ(got, nr);
}

static uint32_t put(const uint64_t *names, uint32_t nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg),
		.nr = nr,
		.slots = (uintptr_t)names,
	};

	EQ(call(c, BMEM_SLOTS_PUT, &arg), 0);
	return arg.nr;
}

static struct bmem_alloc_entry take(uint64_t bytes, uint32_t flags)
{
	struct bmem_alloc_entry e = {
		.bytes = bytes,
		.site = 77,
		.flags = flags,
	};
	struct bmem_alloc arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};

	EQ(call(c, BMEM_ALLOC, &arg), 0);
	return e;
}

static int give(uint64_t handle)
{
	struct bmem_free_entry e = { .handle = handle };
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};

	EQ(call(c, BMEM_FREE, &arg), 0);
	EQ(arg.freed, e.result == 0);
	return e.result;
}

/* What the backend says without looking into the ledger. */
static struct bmem_client_stats plain(void)
{
	struct bmem_client_stats st = { .size = sizeof(st) };

	EQ(call(c, BMEM_CLIENT_STATS, &st), 0);
	return st;
}

static struct bmem_client_stats sums(void)
{
	struct bmem_client_stats st = {
		.size = sizeof(st),
		.flags = BMEM_STATS_LEDGER,
	};

	EQ(call(c, BMEM_CLIENT_STATS, &st), 0);
	return st;
}

static int info_by(uint32_t flags, uint64_t what, struct bmem_tensor *t)
{
	struct bmem_tensor_info arg = {
		.size = sizeof(arg),
		.flags = flags,
	};
	int ret;

	if (flags)
		arg.offset = what;
	else
		arg.handle = what;
	ret = call(c, BMEM_TENSOR_INFO, &arg);
	*t = arg.tensor;
	return ret;
}

/* The whole list, @part at a time. */
static uint32_t list_all(struct bmem_tensor *out, uint32_t room, uint32_t part)
{
	struct bmem_tensor_list arg = { .size = sizeof(arg) };
	uint32_t n = 0;

	do {
		IS(n + part <= room);
		arg.nr = part;
		arg.entries = (uintptr_t)(out + n);
		EQ(call(c, BMEM_TENSOR_LIST, &arg), 0);
		n += arg.nr;
	} while (arg.nr == part);
	return n;
}

static void bind_level(uint32_t level)
{
	struct bmem_bind arg = {
		.size = sizeof(arg),
		.flags = BMEM_BIND_LEVEL,
		.level = level,
	};

	EQ(call(c, BMEM_BIND, &arg), 0);
}

/* ---- the library's part ---- */

static void rec_alloc(uint32_t record, uint64_t bytes, uint32_t site)
{
	struct bmem_record *r = &c->ledger[record];
	uint32_t ticks = __atomic_load_n(&c->clock->ticks, __ATOMIC_RELAXED) -
			 c->control->epoch;
	uint64_t gen = (r->head >> BMEM_RECORD_GEN_SHIFT) + 1;

	__atomic_store_n(&r->what,
			 (uint64_t)site << BMEM_RECORD_SITE_SHIFT | ticks,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&r->head, bytes << BMEM_RECORD_SIZE_SHIFT |
			 (gen & BMEM_RECORD_GEN_MASK) << BMEM_RECORD_GEN_SHIFT |
			 BMEM_RECORD_LIVE, __ATOMIC_RELEASE);
}

static void rec_free(uint32_t record)
{
	struct bmem_record *r = &c->ledger[record];

	__atomic_store_n(&r->head, r->head & ~BMEM_RECORD_STATE_MASK,
			 __ATOMIC_RELEASE);
}

/* ---- slots ---- */

/* What the span map says of a slot is true. */
static void check_slot(uint64_t name, uint32_t class)
{
	const struct slab_class *k = &slab_classes[class];
	uint64_t page = OFFSET_OF(name) / PAGE, entry = c->spans[page], first;
	uint32_t slot;

	EQ(entry & BMEM_SPAN_KIND_MASK, class + 1);
	EQ(entry >> 60, 0);
	first = page - (entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK);
	EQ((OFFSET_OF(name) - first * PAGE) % k->bytes, 0);
	slot = (uint32_t)((OFFSET_OF(name) - first * PAGE) / k->bytes);
	IS(slot < k->slots);
	EQ(RECORD_OF(name),
	   (entry >> BMEM_SPAN_RECORD_SHIFT & BMEM_SPAN_RECORD_MASK) + slot);
	IS(RECORD_OF(name) < c->records);
}

static void every_class(void **state)
{
	static uint64_t names[BMEM_BATCH_MAX];
	struct bmem_client_stats st;
	uint32_t class, i, n, spans;

	(void)state;
	for (class = 0; class < BMEM_CLASSES; class++) {
		for (n = 1; n <= BMEM_BATCH_MAX; n *= 4) {
			get(class, names, n);
			for (i = 0; i < n; i++) {
				check_slot(names[i], class);
				IS(!i || PLACE_OF(names[i]) >
					 PLACE_OF(names[i - 1]));
				EQ(c->ledger[RECORD_OF(names[i])].head, 0);
				EQ(c->ledger[RECORD_OF(names[i])].what, 0);
				memset(c->base + OFFSET_OF(names[i]), 0xa5,
				       slab_classes[class].bytes);
				rec_alloc(RECORD_OF(names[i]), 1, 0);
			}
			st = plain();
			spans = (n + slab_classes[class].slots - 1) /
				slab_classes[class].slots;
			EQ(st.slots, n);
			EQ(st.slot_bytes, n * slab_classes[class].bytes);
			EQ(st.granted_bytes, st.slot_bytes);
			EQ(st.live_bytes, st.slot_bytes);
			EQ(st.live_tensors, n);
			EQ(st.spans, spans);
			EQ(st.span_bytes,
			   spans * slab_classes[class].pages * PAGE);
			EQ(put(names, n), n);
			st = plain();
			EQ(st.slots, 0);
			EQ(st.spans, 0);
			EQ(st.span_bytes, 0);
			EQ(st.granted_bytes, 0);
			EQ(c->spans[OFFSET_OF(names[0]) / PAGE], 0);
		}
	}
	EQ(plain().allocs, 0);
}

/* Each size is in a class that holds it, and in none that is too large. */
static void class_edges(void **state)
{
	uint32_t class, bytes, less = 0;
	uint64_t name;
	struct bmem_tensor t;

	(void)state;
	for (class = 0; class < BMEM_CLASSES; class++) {
		bytes = slab_classes[class].bytes;
		EQ(slab_class_of(bytes), class);
		EQ(slab_class_of(bytes - 1), class);
		EQ(slab_class_of(less + 1), class);
		get(class, &name, 1);
		rec_alloc(RECORD_OF(name), bytes, 3);
		EQ(info_by(BMEM_INFO_OFFSET, OFFSET_OF(name), &t), 0);
		EQ(t.bytes, bytes);
		EQ(sums().ledger_bad, 0);
		rec_alloc(RECORD_OF(name), bytes + 1, 3);
		EQ(sums().ledger_bad, 1);
		rec_alloc(RECORD_OF(name), 0, 3);
		EQ(sums().ledger_bad, 1);
		EQ(put(&name, 1), 1);
		less = bytes;
	}
	EQ(less, BMEM_SLOT_MAX);
}

/* A freed slot low down comes before those above. */
static void lowest_first(void **state)
{
	uint64_t names[64 * 5], again[2];

	(void)state;
	get(0, names, 64 * 5);
	EQ(put(&names[64 * 4 + 3], 1), 1);
	EQ(put(&names[64 + 7], 1), 1);
	EQ(put(&names[64 * 2 + 1], 1), 1);
	get(0, again, 2);
	EQ(again[0], names[64 + 7]);
	EQ(again[1], names[64 * 2 + 1]);
	/* An empty span is gone, whichever it is. */
	EQ(put(&names[64 * 3], 64), 64);
	EQ(plain().spans, 4);
	EQ(c->spans[OFFSET_OF(names[64 * 3]) / PAGE], 0);
	EQ(put(names, 64), 64);
	EQ(plain().spans, 3);
}

#define BAD_NAME(bad) do { \
	uint64_t __n[3] = { names[0], bad, names[1] }; \
	EQ(put(__n, 3), 2); \
	EQ(plain().slots, out - 2); \
	/* The lowest, so the same again. */ \
	get(5, __n, 2); \
	EQ(__n[0], names[0]); \
	EQ(__n[1], names[1]); \
} while (0)

/* Names that are of no slot that is out are passed over, and change nothing. */
static void put_nonsense(void **state)
{
	uint64_t names[10], in;
	struct bmem_alloc_entry e = take(3 * PAGE, BMEM_ALLOC_RECORD);
	const uint64_t out = 10;

	(void)state;
	get(5, names, 10);
	get(5, &in, 1);
	EQ(put(&in, 1), 1);
	BAD_NAME(0);
	BAD_NAME(UINT64_MAX);
	BAD_NAME(in);
	BAD_NAME(names[0]);				/* twice */
	BAD_NAME(names[3] + 1);				/* inside */
	BAD_NAME(names[3] ^ 1ULL << BMEM_SLOT_PLACE_BITS);	/* record */
	BAD_NAME(PLACE_OF(names[3]));
	BAD_NAME(names[3] | 1ULL << (BMEM_SLOT_PLACE_BITS - 1));
	BAD_NAME(e.offset / 64);			/* a tensor */
	BAD_NAME(e.offset / 64 + PAGE / 64);		/* its second page */
	BAD_NAME((c->len - PAGE) / 64);
	BAD_NAME(c->len / 64);
	EQ(give(e.handle), 0);
	EQ(plain().slots, out);
	EQ(plain().granted_bytes, out * slab_classes[5].bytes);
}

/* Behind the last slot of a span is no slot. */
static void put_tail(void **state)
{
	const struct slab_class *k = &slab_classes[22];
	uint64_t names[64], bad;

	(void)state;
	IS(k->slots * k->bytes < k->pages * PAGE);
	get(22, names, k->slots);
	bad = names[k->slots - 1] + k->bytes / 64 +
	      (1ULL << BMEM_SLOT_PLACE_BITS);
	EQ(put(&bad, 1), 0);
	EQ(plain().slots, k->slots);
}

static void no_room(void **state)
{
	struct bmem_options o = {
		.backend = BMEM_BACKEND_MEMFD,
		.max_bytes = HUGE,
	};
	static uint64_t names[BMEM_BATCH_MAX];
	uint32_t nr = BMEM_BATCH_MAX;

	(void)state;
	bmem_close(c);
	c = client_with(&o);
	EQ(try_get(BMEM_CLASSES - 1, names, &nr), 0);
	EQ(nr, HUGE / BMEM_SLOT_MAX);
	EQ(plain().failed, 0);
	nr = 5;
	EQ(try_get(BMEM_CLASSES - 1, names + 100, &nr), -ENOSPC);
	EQ(nr, 5);
	EQ(try_get(0, names + 100, &nr), -ENOSPC);
	EQ(plain().failed, 2);
	EQ(plain().slots, HUGE / BMEM_SLOT_MAX);
	EQ(put(names, 2), 2);
	nr = 5;
	EQ(try_get(0, names + 100, &nr), 0);
	EQ(nr, 5);
}

/* Without memory, a call that got none has changed nothing. */
static void no_memory(void **state)
{
	static uint64_t names[BMEM_BATCH_MAX];
	struct bmem_alloc_entry e = { .bytes = 1, .flags = BMEM_ALLOC_RECORD };
	struct bmem_alloc arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};
	struct bmem_client_stats st;
	uint32_t nr = 64;

	(void)state;
	alloc_after = 0;
	alloc_fails = 2;
	EQ(try_get(9, names, &nr), -ENOMEM);
	EQ(call(c, BMEM_ALLOC, &arg), -ENOMEM);
	st = sums();
	EQ(st.failed, 2);
	EQ(st.slots + st.spans + st.granted_bytes + st.recorded, 0);
	EQ(st.attached_bytes, 0);
	EQ(c->spans[0], 0);
	/* The second chunk cannot be had, so there are the slots of the first. */
	alloc_after = 1;
	alloc_fails = 1;
	nr = 100;
	EQ(try_get(BMEM_CLASSES - 1, names, &nr), 0);
	EQ(nr, HUGE / BMEM_SLOT_MAX);
	EQ(plain().attached_bytes, HUGE);
	EQ(put(names, nr), nr);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	st = plain();
	EQ(st.attached_bytes + st.ledger_bytes + st.span_map_bytes, 0);
}

/* So many spans come and go, in the lowest chunk. */
static void pass_spans(int nr)
{
	struct bmem_alloc_entry e;

	while (nr--) {
		e = take(16 * PAGE, 0);
		EQ(e.offset, 0);
		EQ(give(e.handle), 0);
	}
}

/*
 * Chunks that nobody used for long go back, as long as nobody has said how many
 * may stay.
 */
static void cache_ages(void **state)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_CACHE,
		.cache_bytes = 6 * MIB,
	};
	struct bmem_alloc_entry e;

	(void)state;
	e = take(6 * MIB, 0);
	EQ(give(e.handle), 0);
	EQ(plain().cached_bytes, 6 * MIB);
	pass_spans(300);
	EQ(plain().cached_bytes, HUGE);
	EQ(plain().attached_bytes, HUGE);
	EQ(call(c, BMEM_BIND, &bind), 0);
	e = take(6 * MIB, 0);
	EQ(give(e.handle), 0);
	pass_spans(300);
	EQ(plain().cached_bytes, 6 * MIB);
	bind.cache_bytes = HUGE;
	EQ(call(c, BMEM_BIND, &bind), 0);
	EQ(plain().cached_bytes, HUGE);
}

/* Fill and empty so much; returns what is cached then. */
static uint64_t swing(uint64_t bytes)
{
	struct bmem_alloc_entry e[64];
	int nr = (int)(bytes / HUGE), i;

	for (i = 0; i < nr; i++)
		e[i] = take(HUGE, 0);
	EQ(plain().attached_bytes, bytes);
	for (i = nr; i--;)
		EQ(give(e[i].handle), 0);
	return plain().cached_bytes;
}

/*
 * A loop that gets more again each time than is kept soon has all of it kept,
 * and no more than that; what is not used for long goes back all the same.
 */
static void cache_learns(void **state)
{
	const uint64_t bytes = 128 * MIB;
	time_t end = time(NULL) + 120;

	(void)state;
	EQ(swing(bytes), bytes / 8 * 3);
	/* Not before it has cost something: one chunk takes less than a ms. */
	EQ(swing(bytes / 8 * 3 + HUGE), bytes / 8 * 3);
	while (swing(bytes) < bytes && time(NULL) < end)
		;
	EQ(plain().cached_bytes, bytes);
	EQ(plain().cache_limit_bytes, bytes);
	EQ(plain().peak_attached_bytes, bytes);
	/* At most as many as spans come and go while this is learned. */
	pass_spans(20000);
	EQ(plain().cached_bytes, HUGE);
}

static void policy_set(uint32_t policy)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_POLICY,
		.policy = policy,
	};

	EQ(call(c, BMEM_BIND, &bind), 0);
}

/*
 * What is cached is used before other memory comes, wherever it lies; but first
 * fit was asked for as what it is.
 */
static void cache_comes_first(void **state)
{
	struct bmem_alloc_entry low, mid, e;

	(void)state;
	low = take(HUGE, 0);
	mid = take(3 * HUGE, 0);
	take(PAGE, 0);
	EQ(give(low.handle), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(give(mid.handle), 0);
	EQ(plain().cached_bytes, 3 * HUGE);
	/* From where it begins, up to where it ends, and across. */
	e = take(HUGE, 0);
	EQ(e.offset, HUGE);
	EQ(give(e.handle), 0);
	e = take(HUGE + PAGE, 0);
	EQ(e.offset, HUGE);
	EQ(give(e.handle), 0);
	e = take(3 * HUGE, 0);
	EQ(e.offset, HUGE);
	EQ(plain().cached_bytes, 0);
	EQ(plain().attached_bytes, 4 * HUGE);
	EQ(give(e.handle), 0);
	/* As far as it fits: one new chunk, not three behind the page. */
	e = take(4 * HUGE - PAGE, 0);
	EQ(e.offset, PAGE);
	EQ(plain().attached_bytes, 5 * HUGE);
	EQ(give(e.handle), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	policy_set(BMEM_PLACE_FIRST);
	EQ(take(HUGE, 0).offset, 0);
}

/* What is cached in one place does not add to the peak for another one. */
static void cache_below_peak(void **state)
{
	struct bmem_alloc_entry low, mid, top;

	(void)state;
	low = take(2 * MIB, 0);
	mid = take(PAGE, 0);
	EQ(give(low.handle), 0);
	EQ(plain().cached_bytes, HUGE);
	/* Too long for the chunk that is cached. */
	top = take(3 * MIB, 0);
	EQ(top.offset, 2 * MIB + PAGE);
	EQ(plain().cached_bytes, 0);
	EQ(plain().attached_bytes, 4 * MIB);
	EQ(plain().peak_attached_bytes, 4 * MIB);
	EQ(give(mid.handle), 0);
	EQ(give(top.handle), 0);
}

/* ---- tensors with a record ---- */

static void recorded(void **state)
{
	struct bmem_alloc_entry e = take(3 * PAGE + 1, BMEM_ALLOC_RECORD), f;
	uint64_t page = e.offset / PAGE, entry = c->spans[page];
	uint32_t record = entry >> BMEM_SPAN_RECORD_SHIFT &
			  BMEM_SPAN_RECORD_MASK;
	struct bmem_client_stats st;
	struct bmem_tensor t;

	(void)state;
	EQ(entry & BMEM_SPAN_KIND_MASK, BMEM_SPAN_TENSOR);
	EQ(entry & BMEM_SPAN_SINGLE, 0);
	IS(entry & BMEM_SPAN_RECORDED);
	EQ((entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK) <<
	   BMEM_SLOT_PLACE_BITS | e.offset / 64, e.handle);
	EQ(c->spans[page + 1],
	   BMEM_SPAN_MORE | 4ULL << BMEM_SPAN_ARG_SHIFT);
	EQ(c->spans[page + 2], 0);
	EQ(c->ledger[record].head,
	   (3 * PAGE + 1) << BMEM_RECORD_SIZE_SHIFT |
	   1 << BMEM_RECORD_GEN_SHIFT | BMEM_RECORD_LIVE);
	EQ(c->ledger[record].what >> BMEM_RECORD_SITE_SHIFT, 77);
	st = sums();
	EQ(st.recorded, 1);
	EQ(st.live_bytes, 3 * PAGE + 1);
	EQ(st.idle_bytes, 0);
	/* Freed without a call. */
	rec_free(record);
	EQ(info_by(0, e.handle, &t), -ENOENT);
	st = sums();
	EQ(st.live_tensors, 0);
	EQ(st.idle_bytes, 4 * PAGE);
	EQ(st.allocs, 1);
	EQ(st.frees, 1);
	EQ(plain().live_bytes, 3 * PAGE + 1);
	/* And used for another. */
	rec_alloc(record, 100, 5);
	EQ(info_by(BMEM_INFO_OFFSET, e.offset + 4 * PAGE - 1, &t), 0);
	EQ(t.handle, e.handle);
	EQ(t.bytes, 100);
	EQ(t.site, 5);
	EQ(t.flags, BMEM_ALLOC_RECORD);
	EQ(sums().allocs, 2);
	EQ(give(e.handle), 0);
	EQ(give(e.handle), -ENOENT);
	EQ(c->spans[page], 0);
	EQ(c->spans[page + 1], 0);
	st = sums();
	EQ(st.recorded, 0);
	EQ(st.allocs, 2);
	EQ(st.frees, 2);
	f = take(PAGE, 0);
	entry = c->spans[f.offset / PAGE];
	IS(entry & BMEM_SPAN_SINGLE);
	EQ(entry & BMEM_SPAN_RECORDED, 0);
	EQ(c->spans[f.offset / PAGE + 1], 0);
	EQ(give(f.handle), 0);
}

static uint64_t place_by(uint32_t policy, uint64_t bytes, uint64_t *granted)
{
	struct bmem_alloc_entry e;
	struct bmem_tensor t;

	policy_set(policy);
	e = take(bytes, 0);
	EQ(info_by(0, e.handle, &t), 0);
	EQ(t.granted, e.granted);
	EQ(t.bytes, bytes);
	EQ(give(e.handle), 0);
	*granted = e.granted;
	return e.offset;
}

/* A gap of 8 pages, then one of 3, then the rest: who takes which? */
static void policies(void **state)
{
	struct bmem_alloc_entry wide = take(8 * PAGE, 0), narrow;
	uint64_t granted, live;

	(void)state;
	take(PAGE, 0);
	narrow = take(3 * PAGE, 0);
	take(PAGE, 0);
	EQ(give(wide.handle), 0);
	EQ(give(narrow.handle), 0);
	live = stats_of(c).granted_bytes;
	EQ(place_by(BMEM_PLACE_AUTO, 3 * PAGE, &granted), narrow.offset);
	EQ(granted, 3 * PAGE);
	EQ(place_by(BMEM_PLACE_FIRST, 3 * PAGE, &granted), wide.offset);
	EQ(place_by(BMEM_PLACE_BEST, 3 * PAGE, &granted), narrow.offset);
	EQ(granted, 3 * PAGE);
	EQ(place_by(BMEM_PLACE_BUDDY, 3 * PAGE, &granted) % (4 * PAGE), 0);
	EQ(granted, 4 * PAGE);
	EQ(stats_of(c).granted_bytes, live);
	EQ(stats_of(c).policy, BMEM_PLACE_BUDDY);
}

/* What is in a slot has a handle, but not one to free it by. */
static void slot_handle(void **state)
{
	struct bmem_tensor t, u;
	uint64_t name, offset;

	(void)state;
	get(20, &name, 1);
	offset = OFFSET_OF(name);
	EQ(info_by(BMEM_INFO_OFFSET, offset, &t), -ENOENT);
	rec_alloc(RECORD_OF(name), 1000, 9);
	EQ(info_by(BMEM_INFO_OFFSET, offset + slab_classes[20].bytes - 1, &t),
	   0);
	EQ(t.handle, (1ULL << 25 | 1) << BMEM_SLOT_PLACE_BITS | offset / 64);
	EQ(t.offset, offset);
	EQ(t.bytes, 1000);
	EQ(t.granted, slab_classes[20].bytes);
	EQ(t.site, 9);
	EQ(t.flags, BMEM_ALLOC_RECORD);
	EQ(info_by(0, t.handle, &u), 0);
	EQ(u.offset, offset);
	EQ(give(t.handle), -ENOENT);
	EQ(info_by(BMEM_INFO_OFFSET, offset + slab_classes[20].bytes, &u),
	   -ENOENT);
	rec_free(RECORD_OF(name));
	rec_alloc(RECORD_OF(name), 1000, 9);
	EQ(info_by(0, t.handle, &u), -ENOENT);
	EQ(sums().allocs, 2);
	EQ(sums().frees, 1);
	EQ(put(&name, 1), 1);
	EQ(info_by(BMEM_INFO_OFFSET, offset, &u), -ENOENT);
	EQ(sums().allocs, 2);
	EQ(sums().frees, 2);
}

static void levels(void **state)
{
	uint64_t names[3];
	struct bmem_client_stats st;
	uint32_t level;

	(void)state;
	EQ(c->control->level, BMEM_LEVEL_STANDARD);
	get(1, names, 3);
	rec_alloc(RECORD_OF(names[1]), 70, 1);
	for (level = BMEM_LEVEL_COUNTS; level <= BMEM_LEVEL_FULL; level++) {
		bind_level(level);
		EQ(c->control->level, level);
		st = sums();
		EQ(st.level, level);
		EQ(st.live_tensors, 1);
		EQ(st.live_bytes, 70);
		EQ(st.idle_bytes, 2 * 128);
	}
	/* Nothing is written any more, so all that is out counts. */
	bind_level(BMEM_LEVEL_OFF);
	st = sums();
	EQ(st.level, BMEM_LEVEL_OFF);
	EQ(st.live_tensors, 3);
	EQ(st.live_bytes, 70 + 2 * 128);
	EQ(st.idle_bytes, 0);
	EQ(put(names, 3), 3);
}

static void recall(void **state)
{
	struct bmem_trim arg = {
		.size = sizeof(arg),
		.flags = BMEM_TRIM_POOL,
	};
	uint32_t was = c->control->recall;

	(void)state;
	EQ(call(c, BMEM_TRIM, &arg), 0);
	EQ(c->control->recall, was + 1);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(c->control->recall, was + 1);
}

/* Memory of map and ledger comes and goes with what is in them. */
static void meta(void **state)
{
	static uint64_t names[BMEM_BATCH_MAX];
	struct bmem_client_stats st = plain();
	uint64_t none = st.meta_bytes;
	int i;

	(void)state;
	EQ(st.ledger_bytes, 0);
	EQ(st.span_map_bytes, 0);
	for (i = 0; i < 2; i++) {
		get(0, names, BMEM_BATCH_MAX);
		st = plain();
		EQ(st.ledger_bytes, BMEM_BATCH_MAX * 16);
		EQ(st.span_map_bytes, PAGE);
		IS(st.meta_bytes > none + st.ledger_bytes + st.span_map_bytes);
		rec_alloc(RECORD_OF(names[9]), 1, 1);
		EQ(put(names, BMEM_BATCH_MAX), BMEM_BATCH_MAX);
		EQ(bmem_trim(c, 0, 0, NULL), 0);
		st = plain();
		EQ(st.ledger_bytes, 0);
		EQ(st.span_map_bytes, 0);
		EQ(st.attached_bytes, 0);
	}
}

/* Memory of the books that is there, whatever they say. */
static uint64_t books_there(void)
{
	size_t pages = c->arena->mapping_len / PAGE, i;
	unsigned char *here = malloc(pages);
	uint64_t bytes = 0;

	IS(here);
	EQ(mincore(c->arena->mapping, pages * PAGE, here), 0);
	for (i = 0; i < pages; i++)
		bytes += here[i] & 1 ? PAGE : 0;
	free(here);
	return bytes;
}

/* Each of so many parts of the books has a page of which little is used. */
#define BOOKS_PARTS	24

static uint64_t books_check(void)
{
	uint64_t there = books_there(), said = plain().meta_bytes;

	IS(there <= said + BOOKS_PARTS * PAGE);
	IS(said <= there + BOOKS_PARTS * PAGE);
	return there;
}

static void site_name_nr(uint32_t site, uint32_t nr)
{
	struct bmem_frame frames[BMEM_FRAMES_MAX] = { { .offset = site } };
	struct bmem_site arg = {
		.size = sizeof(arg),
		.site = site,
		.label = "site",
		.frames = (uintptr_t)frames,
		.nr_frames = nr,
	};

	EQ(call(c, BMEM_SITE, &arg), 0);
}

/* What is said to be the books' memory is what they take up. */
static void meta_is_there(void **state)
{
	void *p[8];
	uint64_t first = books_check(), most;
	uint32_t i;

	(void)state;
	for (i = 1; i <= 500; i++)
		site_name_nr(i * 0x9e3779b1U, 1 + i % 3);
	/* A number's place in its table, a name and three frames. */
	IS(books_check() - first <= 500 * 160 + 4 * PAGE);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = bmem_alloc(c, 3 * MIB, 0, 0, NULL);
		IS(p[i]);
	}
	most = books_check();
	for (i = 0; i < ARRAY_SIZE(p); i++)
		EQ(bmem_free(c, p[i]), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(plain().attached_bytes, 0);
	/* Each of these began in a chunk of its own. */
	IS(books_check() + ARRAY_SIZE(p) * PAGE <= most);
}

/* What a chunk has of the books, with tensors of a MiB: 1/400 of it at most. */
static void meta_of_chunks(void **state)
{
	uint64_t first = plain().meta_bytes;
	uint64_t handles[64];
	uint32_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(handles); i++)
		handles[i] = take(MIB, 0).handle;
	EQ(plain().attached_bytes, ARRAY_SIZE(handles) * MIB);
	IS(plain().meta_bytes - first <= ARRAY_SIZE(handles) * MIB / 400);
	for (i = 0; i < ARRAY_SIZE(handles); i++)
		EQ(give(handles[i]), 0);
}

/* Does each of @nr tensors of a page exist if its bit is set, and only then? */
static void pages_look(const struct bmem_alloc_entry *e, uint32_t nr,
		       uint64_t live)
{
	struct bmem_tensor t;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		if (!(live >> i & 1)) {
			EQ(info_by(0, e[i].handle, &t), -ENOENT);
			EQ(info_by(BMEM_INFO_OFFSET, e[i].offset + 9, &t),
			   -ENOENT);
			continue;
		}
		EQ(info_by(0, e[i].handle, &t), 0);
		EQ(t.offset, e[i].offset);
		EQ(info_by(BMEM_INFO_OFFSET, e[i].offset + 9, &t), 0);
		EQ(t.handle, e[i].handle);
	}
}

/* Neighbours that share their place in the index are found, and go, one by one. */
static void neighbours(void **state)
{
	struct bmem_alloc_entry e[2 * INDEX_PAGES + 1];
	const uint32_t nr = ARRAY_SIZE(e);
	uint64_t live = (1ULL << nr) - 1, names[64];
	uint32_t i, k;

	(void)state;
	for (i = 0; i < nr; i++) {
		e[i] = take(PAGE, 0);
		EQ(e[i].offset, i * PAGE);
	}
	pages_look(e, nr, live);
	for (i = 0; i < nr; i++) {
		k = i * 7 % nr;
		EQ(give(e[k].handle), 0);
		EQ(give(e[k].handle), -ENOENT);
		live &= ~(1ULL << k);
		pages_look(e, nr, live);
	}
	/* A span of many pages between two of one. */
	e[0] = take(PAGE, 0);
	get(SLAB_CLASSES - 1, names, 2);
	e[1] = take(PAGE, 0);
	EQ(give(e[0].handle), 0);
	EQ(put(names + 1, 1), 1);
	EQ(put(names + 1, 1), 0);
	pages_look(e, 2, 2);
	EQ(put(names, 1), 1);
	EQ(put(names, 1), 0);
	pages_look(e, 2, 2);
	EQ(give(e[1].handle), 0);
}

/* A stack is kept whole when it becomes longer, and when it becomes shorter. */
static void frames_change(void **state)
{
	static const uint32_t lengths[] = { 1, 3, 2, 0, BMEM_FRAMES_MAX, 1 };
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	uint32_t i, had = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct bmem_site_frames get = {
			.size = sizeof(get),
			.site = 7,
			.nr = BMEM_FRAMES_MAX,
			.frames = (uintptr_t)frames,
		};

		site_name_nr(7, lengths[i]);
		site_name_nr(1000 + i, 5);
		had = lengths[i] ? lengths[i] : had;
		EQ(call(c, BMEM_SITE_FRAMES, &get), 0);
		EQ(get.nr, had);
		EQ(frames[0].offset, 7);
		IS(had == 1 || !frames[had - 1].offset);
	}
}

static void name_site(uint32_t site, const char *label)
{
	struct bmem_site arg = { .size = sizeof(arg), .site = site };

	strcpy(arg.label, label);
	EQ(call(c, BMEM_SITE, &arg), 0);
}

/* A site's name may become any other, and be as long as it may. */
static void names_change(void **state)
{
	static const uint32_t lengths[] = {
		15, 1, 0, 16, 63, 5, 31, 32, 33, 47, 48, 0, 63,
	};
	struct bmem_alloc_entry e = take(PAGE, 0);
	struct bmem_tensor_info arg = {
		.size = sizeof(arg),
		.handle = e.handle,
	};
	char label[BMEM_LABEL_LEN];
	uint32_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(label, 0, sizeof(label));
		memset(label, 'a' + (int)i, lengths[i]);
		for (k = 0; k < 3; k++) {
			name_site(1000 + k, label);
			name_site(77, label);
			EQ(call(c, BMEM_TENSOR_INFO, &arg), 0);
			EQ(memcmp(arg.label, label, sizeof(label)), 0);
		}
	}
	EQ(give(e.handle), 0);
}

/* Parent and child keep the same books. */
static void forked(void **state)
{
	uint64_t names[3];
	struct bmem_tensor t[4];
	int fds[2], status;
	pid_t pid;

	(void)state;
	EQ(pipe(fds), 0);
	pid = fork();
	IS(pid >= 0);
	if (!pid) {
		uint32_t nr = 3;

		if (try_get(3, names, &nr) || nr != 3)
			_exit(1);
		rec_alloc(RECORD_OF(names[1]), 200, 4);
		_exit(write(fds[1], names, sizeof(names)) != sizeof(names));
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	EQ(read(fds[0], names, sizeof(names)), sizeof(names));
	close(fds[0]);
	close(fds[1]);
	EQ(plain().slots, 3);
	EQ(list_all(t, 4, 4), 1);
	EQ(t[0].offset, OFFSET_OF(names[1]));
	EQ(t[0].bytes, 200);
	EQ(put(names, 3), 3);
	EQ(plain().slots, 0);
}

/* ---- sites ---- */

static uint32_t site_rows(struct bmem_site_row *rows, uint32_t nr)
{
	struct bmem_site_list arg = {
		.size = sizeof(arg),
		.row_size = sizeof(*rows),
		.nr = nr,
		.rows = (uintptr_t)rows,
	};

	EQ(call(c, BMEM_SITE_LIST, &arg), 0);
	return arg.nr;
}

static void sites(void **state)
{
	struct bmem_site_row rows[8];
	struct bmem_alloc_entry e;
	uint64_t names[8];
	int i;

	(void)state;
	name_site(900, "high");
	name_site(5, "low");
	get(3, names, 8);
	for (i = 0; i < 6; i++)
		rec_alloc(RECORD_OF(names[i]), 200 + (uint64_t)i, 5);
	rec_free(RECORD_OF(names[5]));
	c->ledger[RECORD_OF(names[5])].what = 5ULL << 32 | 3;
	rec_alloc(RECORD_OF(names[6]), 99, 12345);	/* no such site */
	e = take(5 * MIB, 0);				/* site 77 */
	EQ(site_rows(rows, 8), 4);
	EQ(rows[0].site, 0);
	EQ(rows[0].live_tensors, 1);
	EQ(rows[0].live_bytes, 99);
	EQ(rows[1].site, 5);
	STR(rows[1].label, "low");
	EQ(rows[1].live_tensors, 5);
	EQ(rows[1].live_bytes, 5 * 200 + 10);
	EQ(rows[1].nr_sizes, BMEM_SITE_SIZES + 1);
	EQ(rows[1].sizes[0], 0);
	EQ(rows[1].size_hist[0], 5);
	EQ(rows[1].life_hist[2], 1);
	EQ(rows[1].frees, 1);
	EQ(rows[1].allocs, 6);
	EQ(rows[2].site, 77);
	EQ(rows[2].live_bytes, 5 * MIB);
	EQ(rows[2].nr_sizes, 1);
	EQ(rows[2].sizes[0], 5 * MIB);
	EQ(rows[2].size_hist[8], 1);
	EQ(rows[3].site, 900);
	EQ(rows[3].live_tensors, 0);
	EQ(rows[3].peak_bytes, 0);
	EQ(give(e.handle), 0);
	EQ(site_rows(rows, 8), 4);
	EQ(rows[2].live_bytes, 0);
	EQ(rows[2].peak_bytes, 5 * MIB);
}

/* ---- garbage ---- */

static void garbage(void **state)
{
	static uint64_t names[BMEM_CLASSES * 40];
	static struct bmem_tensor t[BMEM_CLASSES * 40 + 64 + 3];
	struct bmem_site_row rows[8];
	struct bmem_client_stats st, was;
	uint64_t seed = 0x5eed, *words = (uint64_t *)c->ledger;
	uint32_t i, n, round, records;

	(void)state;
	for (i = 0; i < BMEM_CLASSES; i++)
		get(i, names + 40 * i, 40);
	for (i = 0; i < 3; i++)
		take(MIB, BMEM_ALLOC_RECORD);
	was = plain();
	records = (uint32_t)(was.ledger_bytes / sizeof(*c->ledger));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 2 * records; i++)
			words[i] = test_random(&seed);
		st = sums();
		EQ(st.slots, was.slots);
		EQ(st.slot_bytes, was.slot_bytes);
		EQ(st.granted_bytes, was.granted_bytes);
		EQ(st.attached_bytes, was.attached_bytes);
		EQ(st.spans, was.spans);
		IS(st.ledger_bad > 0);
		IS(st.ledger_bad <= st.live_tensors);
		IS(st.live_bytes <= st.granted_bytes);
		EQ(st.live_bytes > 0, 1);
		n = list_all(t, COUNT(t), 64);
		EQ(n, st.live_tensors);
		for (i = 0; i < n; i++) {
			IS(t[i].bytes && t[i].bytes <= t[i].granted);
			IS(t[i].offset + t[i].granted <= c->len);
			IS(!i || t[i].offset >=
				 t[i - 1].offset + t[i - 1].granted);
		}
		(void)site_rows(rows, 8);
	}
	EQ(put(names, BMEM_BATCH_MAX), BMEM_BATCH_MAX);
	EQ(put(names + BMEM_BATCH_MAX, BMEM_BATCH_MAX), BMEM_BATCH_MAX);
	EQ(put(names + 2 * BMEM_BATCH_MAX,
	       COUNT(names) - 2 * BMEM_BATCH_MAX),
	   COUNT(names) - 2 * BMEM_BATCH_MAX);
	EQ(plain().slots, 0);
	EQ(plain().spans, 0);
}

/* ---- threads ---- */

#define THREADS		2

static _Atomic bool stop;

/* Slots come and go, and are used in between. */
static void *user(void *arg)
{
	uint64_t seed = (uintptr_t)arg, names[64];
	uint32_t class, nr, i, round;

	for (round = 0; round < 1500; round++) {
		class = (uint32_t)(test_random(&seed) % BMEM_CLASSES);
		nr = 1 + (uint32_t)(test_random(&seed) % 64);
		if (try_get(class, names, &nr))
			abort();
		for (i = 0; i < nr; i++) {
			rec_alloc(RECORD_OF(names[i]),
				  slab_classes[class].bytes, 7);
			memset(c->base + OFFSET_OF(names[i]), (int)(round + i),
			       64);
		}
		for (i = 0; i < nr; i++) {
			if (!all_are(c->base + OFFSET_OF(names[i]),
				     (unsigned char)(round + i), 64))
				abort();
			if (i % 2)
				rec_free(RECORD_OF(names[i]));
		}
		if (put(names, nr) != nr)
			abort();
	}
	return NULL;
}

/* A reader sees no record that makes no sense, whole or torn. */
static void *reader(void *arg)
{
	struct bmem_tensor t[64];
	struct bmem_tensor_list list = {
		.size = sizeof(list),
		.entries = (uintptr_t)t,
	};
	struct bmem_client_stats st = {
		.size = sizeof(st),
		.flags = BMEM_STATS_LEDGER,
	};
	uint32_t i;

	(void)arg;
	while (!stop) {
		if (call(c, BMEM_CLIENT_STATS, &st) || st.ledger_bad ||
		    st.live_bytes > st.granted_bytes)
			abort();
		st.client_id = 0;
		list.nr = 64;
		if (call(c, BMEM_TENSOR_LIST, &list))
			abort();
		for (i = 0; i < list.nr; i++)
			if (t[i].bytes != t[i].granted || t[i].site != 7)
				abort();
		if (list.nr < 64)
			list.cursor = 0;
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t users[THREADS], watcher;
	struct bmem_client_stats st;
	uintptr_t i;

	(void)state;
	stop = false;
	EQ(pthread_create(&watcher, NULL, reader, NULL), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_create(&users[i], NULL, user, (void *)(i + 1)), 0);
	for (i = 0; i < THREADS; i++)
		EQ(pthread_join(users[i], NULL), 0);
	stop = true;
	EQ(pthread_join(watcher, NULL), 0);
	st = sums();
	EQ(st.slots, 0);
	EQ(st.spans, 0);
	EQ(st.granted_bytes, 0);
	EQ(st.allocs, st.frees);
}

/* ---- against a model ---- */

#define THINGS		3000

/* A slot that is out, or a tensor with a record or without. */
struct thing {
	uint64_t name;		/* of a slot; a tensor's handle */
	uint64_t offset;
	uint64_t granted;
	uint64_t bytes;		/* 0 while it is idle */
	uint64_t asked;		/* what the books take it for */
	uint64_t gens;
	uint32_t record;
	uint32_t site;
	uint32_t flags;
	bool slot;
};

static struct model {
	uint64_t seed, first_seed;
	struct thing t[THINGS];
	uint32_t nr;
	uint64_t past, plain;
	unsigned long step;
} m;

static uint64_t rnd(uint64_t n)
{
	return test_random(&m.seed) % n;
}

static bool has_record(const struct thing *t)
{
	return t->slot || t->flags & BMEM_ALLOC_RECORD;
}

static void model_get(void)
{
	uint64_t names[200];
	uint32_t class = (uint32_t)rnd(BMEM_CLASSES), nr, i;

	nr = 1 + (uint32_t)rnd(rnd(10) ? 20 : 200);
	if (m.nr + nr > THINGS)
		return;
	get(class, names, nr);
	for (i = 0; i < nr; i++) {
		check_slot(names[i], class);
		m.t[m.nr++] = (struct thing) {
			.name = names[i],
			.offset = OFFSET_OF(names[i]),
			.granted = slab_classes[class].bytes,
			.asked = slab_classes[class].bytes,
			.record = RECORD_OF(names[i]),
			.slot = true,
		};
	}
}

static void model_alloc(void)
{
	uint64_t bytes = 1 + rnd(1UL << rnd(21));
	uint32_t flags = rnd(2) ? BMEM_ALLOC_RECORD : 0;
	struct bmem_alloc_entry e;

	if (m.nr == THINGS)
		return;
	e = take(bytes, flags);
	m.t[m.nr++] = (struct thing) {
		.name = e.handle,
		.offset = e.offset,
		.granted = e.granted,
		.bytes = bytes,
		.asked = bytes,
		.gens = 1,
		.record = c->spans[e.offset / PAGE] >> BMEM_SPAN_RECORD_SHIFT &
			  BMEM_SPAN_RECORD_MASK,
		.site = 77,
		.flags = flags,
	};
	m.plain += !flags;
}

static void forget(uint32_t i)
{
	if (has_record(&m.t[i]))
		m.past += m.t[i].gens;
	m.t[i] = m.t[--m.nr];
}

static void model_give(void)
{
	uint64_t names[100];
	uint32_t i, nr = 0, want = 1 + (uint32_t)rnd(60);

	while (m.nr && want--) {
		i = (uint32_t)rnd(m.nr);
		if (m.t[i].slot)
			names[nr++] = m.t[i].name;
		else
			EQ(give(m.t[i].name), 0);
		forget(i);
	}
	if (!nr)
		return;
	/* Among what is not out any more. */
	for (i = 0; i < 10; i++)
		names[nr + i] = rnd(2) ? names[rnd(nr)] :
				names[rnd(nr)] ^ 1ULL << (38 + rnd(26));
	EQ(put(names, nr + 10), nr);
}

/* Use, reuse and free, without a call. */
static void model_use(void)
{
	uint32_t n, i;

	for (n = 0; m.nr && n < 50; n++) {
		i = (uint32_t)rnd(m.nr);
		if (!has_record(&m.t[i]))
			continue;
		if (m.t[i].bytes) {
			rec_free(m.t[i].record);
			m.t[i].bytes = 0;
			continue;
		}
		m.t[i].bytes = 1 + rnd(m.t[i].granted);
		m.t[i].site = (uint32_t)rnd(5);
		m.t[i].gens++;
		rec_alloc(m.t[i].record, m.t[i].bytes, m.t[i].site);
	}
}

static void compare_sums(void)
{
	struct bmem_client_stats st = plain(), led = sums();
	struct bmem_client_stats want = { 0 };
	uint64_t live = 0, bytes = 0, allocs = m.past + m.plain;
	uint32_t i;

	for (i = 0; i < m.nr; i++) {
		const struct thing *t = &m.t[i];

		want.live_bytes += t->asked;
		want.granted_bytes += t->granted;
		want.slots += t->slot;
		want.slot_bytes += t->slot ? t->granted : 0;
		want.recorded += !t->slot && has_record(t);
		want.idle_bytes += t->bytes ? 0 : t->granted;
		live += t->bytes != 0;
		bytes += t->bytes;
		allocs += has_record(t) ? t->gens : 0;
	}
	EQ(st.live_tensors, m.nr);
	EQ(st.live_bytes, want.live_bytes);
	EQ(st.granted_bytes, want.granted_bytes);
	EQ(st.slots, want.slots);
	EQ(st.slot_bytes, want.slot_bytes);
	EQ(st.recorded, want.recorded);
	EQ(st.idle_bytes, 0);
	IS(st.span_bytes >= st.slot_bytes);
	IS(st.granted_bytes <= st.attached_bytes);
	EQ(led.granted_bytes, want.granted_bytes);
	EQ(led.live_tensors, live);
	EQ(led.live_bytes, bytes);
	EQ(led.idle_bytes, want.idle_bytes);
	EQ(led.allocs, allocs);
	EQ(led.frees, allocs - live);
	EQ(led.ledger_bad, 0);
}

static int by_offset(const void *a, const void *b)
{
	const struct thing *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void compare_list(void)
{
	static struct bmem_tensor list[THINGS + BMEM_BATCH_MAX];
	uint32_t n = list_all(list, COUNT(list), 1 + (uint32_t)rnd(900));
	uint64_t end = 0;
	uint32_t i, k = 0;

	qsort(m.t, m.nr, sizeof(m.t[0]), by_offset);
	for (i = 0; i < m.nr; i++) {
		const struct thing *t = &m.t[i];

		IS(t->offset >= end);
		end = t->offset + t->granted;
		if (!t->bytes)
			continue;
		IS(k < n);
		EQ(list[k].offset, t->offset);
		EQ(list[k].bytes, t->bytes);
		EQ(list[k].granted, t->granted);
		EQ(list[k].site, t->site);
		if (!t->slot)
			EQ(list[k].handle, t->name);
		k++;
	}
	EQ(k, n);
}

static void random_program(void **state)
{
	unsigned long steps = test_number("BMEM_TEST_STEPS", 4000) / 2;

	(void)state;
	memset(&m, 0, sizeof(m));
	m.first_seed = m.seed =
		test_number("BMEM_TEST_SEED",
			    (unsigned long)time(NULL) * 1000003) | 1;
	print_message("BMEM_TEST_SEED=0x%llx\n",
		      (unsigned long long)m.first_seed);
	for (m.step = 0; m.step < steps; m.step++) {
		switch (rnd(m.step / 300 % 2 ? 5 : 4)) {
		case 0:
			model_get();
			break;
		case 1:
			model_alloc();
			break;
		case 2:
			model_use();
			break;
		default:
			model_give();
		}
		compare_sums();
		if (m.step % 32 == 0)
			compare_list();
	}
	while (m.nr)
		model_give();
	compare_sums();
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(plain().attached_bytes, 0);
	EQ(plain().spans, 0);
	EQ(plain().ledger_bytes, 0);
	EQ(plain().span_map_bytes, 0);
}

static const struct CMUnitTest tests[] = {
	SLAB_TEST(every_class),
	SLAB_TEST(class_edges),
	SLAB_TEST(lowest_first),
	SLAB_TEST(put_nonsense),
	SLAB_TEST(put_tail),
	SLAB_TEST(no_room),
	SLAB_TEST(no_memory),
	SLAB_TEST(cache_ages),
	STILL_TEST(cache_learns),
	STILL_TEST(cache_comes_first),
	SLAB_TEST(cache_below_peak),
	SLAB_TEST(recorded),
	SLAB_TEST(policies),
	SLAB_TEST(slot_handle),
	SLAB_TEST(levels),
	SLAB_TEST(recall),
	SLAB_TEST(meta),
	SLAB_TEST(meta_is_there),
	SLAB_TEST(meta_of_chunks),
	SLAB_TEST(neighbours),
	SLAB_TEST(frames_change),
	SLAB_TEST(names_change),
	SLAB_TEST(forked),
	SLAB_TEST(sites),
	SLAB_TEST(garbage),
	SLAB_TEST(threads),
	SLAB_TEST(random_program),
};

TEST_MAIN(tests)
