// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the child of fork() has of a private client of the device when the
 * device does not make a clone: a module that cannot, or a pool without room
 * for what the child may write to.
 *
 * A mapping of the device is shared with the child, whatever anybody wants.  So
 * the child leaves the device to its parent: before fork() all that the client
 * has is copied into an arena of the fallback, with every tensor and every slot
 * at its place; the child moves that to where the device was mapped, and goes on
 * there.  What its own children get of that the kernel copies.
 *
 * Which slots of a span the module has in, nobody else knows.  They count as
 * out, and stay unused.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "cache.h"

/* The least that an arena's ledger may have. */
#define RECORDS_MIN	PLACE_CHUNK_PAGES

/* Pages in tensors and spans; UINT64_MAX when the module cannot be asked. */
static uint64_t pages_there(struct bmem_client *c)
{
	struct bmem_client_stats st = { .size = sizeof(st) };

	if (call(c, BMEM_CLIENT_STATS, &st))
		return UINT64_MAX;
	return (st.granted_bytes - st.slot_bytes + st.span_bytes) >> PAGE_SHIFT;
}

static void copy_pages(const struct bmem_client *c, struct arena *a,
		       uint32_t page, uint32_t pages)
{
	size_t at = (size_t)page << PAGE_SHIFT;

	memcpy(a->backing.base + at, c->base + at, (size_t)pages << PAGE_SHIFT);
}

static void copy_records(const struct bmem_client *c, struct arena *a,
			 uint32_t record, uint32_t nr)
{
	uint32_t i;

	for (i = record; i < record + nr; i++) {
		poke(&a->records[i].what, peek(&c->ledger[i].what));
		poke(&a->records[i].head, peek(&c->ledger[i].head));
	}
}

static bool records_there(const struct bmem_client *c, uint32_t record,
			  uint32_t nr)
{
	return record < c->records && nr <= c->records - record;
}

static int copy_span(struct bmem_client *c, struct arena *a, uint32_t page,
		     uint64_t entry, uint32_t *pages)
{
	const struct slab_class *k = &slab_classes[span_class(entry)];
	uint32_t record = span_record(entry);
	int ret;

	*pages = k->pages;
	if (!records_there(c, record, k->slots))
		return -EINVAL;
	ret = adopt_span(a, page, span_class(entry), record);
	if (ret)
		return ret;
	copy_records(c, a, record, k->slots);
	copy_pages(c, a, page, *pages);
	return 0;
}

/* What only the module knows of a tensor without a record. */
static void ask(struct bmem_client *c, struct extent *x)
{
	struct bmem_tensor_info info = {
		.size = sizeof(info),
		.flags = BMEM_INFO_OFFSET,
		.offset = (uint64_t)x->page << PAGE_SHIFT,
	};

	if (call(c, BMEM_TENSOR_INFO, &info))
		return;
	x->bytes = info.tensor.bytes;
	x->site = info.tensor.site;
	x->flags = info.tensor.flags;
	x->born_ms -= info.tensor.age_ms < x->born_ms ? info.tensor.age_ms :
							x->born_ms;
}

static int copy_tensor(struct bmem_client *c, struct arena *a, uint32_t page,
		       uint64_t entry, uint32_t *pages)
{
	struct extent x = {
		.page = page,
		.pages = span_pages(c, entry, (uint64_t)page << PAGE_SHIFT),
		.gen = entry >> BMEM_SPAN_ARG_SHIFT & BMEM_SPAN_ARG_MASK,
		.born_ms = clock_now(a),
	};
	int ret;

	*pages = x.pages;
	x.bytes = (uint64_t)x.pages << PAGE_SHIFT;
	if (entry & BMEM_SPAN_RECORDED) {
		x.flags = BMEM_ALLOC_RECORD;
		x.record = span_record(entry);
		if (!records_there(c, x.record, 1))
			return -EINVAL;
	} else {
		ask(c, &x);
	}
	ret = adopt_tensor(a, &x);
	if (ret)
		return ret;
	/* The record that adopt_tensor() has begun is not the tensor's. */
	if (entry & BMEM_SPAN_RECORDED)
		copy_records(c, a, x.record, 1);
	copy_pages(c, a, x.page, x.pages);
	return 0;
}

static int copy_at(struct bmem_client *c, struct arena *a, uint32_t page,
		   uint64_t entry, uint32_t *pages)
{
	if (span_is_tensor(entry))
		return copy_tensor(c, a, page, entry, pages);
	if (span_class(entry) < BMEM_CLASSES)
		return copy_span(c, a, page, entry, pages);
	return 0;
}

/*
 * Walk the span map until all is found that the module says there is: it is
 * longer than that by far.  What calls get meanwhile that wait for memory may
 * have been found in place of what was there before: then there is more to find.
 * A program that has closed all descriptors has to look everywhere.
 */
static int copy_all(struct bmem_client *c, struct arena *a)
{
	uint32_t page, end = (uint32_t)(c->len >> PAGE_SHIFT), pages;
	uint64_t found = 0, there = pages_there(c);
	int ret;

	for (page = 0; page < end; page += pages ? pages : 1) {
		if (found >= there)
			there = pages_there(c);
		if (found >= there)
			break;
		pages = 0;
		ret = copy_at(c, a, page, span_at(c, (uint64_t)page << PAGE_SHIFT),
			      &pages);
		if (ret)
			return ret;
		found += pages;
	}
	return 0;
}

/* Time, level and what was recalled go on as they are. */
static void copy_control(const struct bmem_client *c, struct arena *a)
{
	clock_now(a);
	a->control->epoch = a->clock->ticks - ticks_now(c);
	a->control->level = level_now(c);
	a->control->recall = peek(&c->control->recall);
}

/**
 * snapshot_take() - copy all that a client of the device has
 * @c: client; nobody else may be in a call, but one that waits for memory
 * @err: out, a negative errno on failure
 *
 * Return: the copy, or NULL.
 */
struct arena *snapshot_take(struct bmem_client *c, int *err)
{
	uint32_t records = c->records ? c->records : RECORDS_MIN;
	struct arena *a;

	*err = -ENOMEM;
	/* Hardly any address space: it is not worth the trouble. */
	if (records < RECORDS_MIN)
		return NULL;
	a = arena_empty(c->len, records, err);
	if (!a)
		return NULL;
	copy_control(c, a);
	*err = copy_all(c, a);
	if (!*err)
		return a;
	arena_close(a);
	return NULL;
}

/* Files and sites are announced again when they are next met. */
static void forget_sites(struct bmem_client *c)
{
	struct sites *s = &c->sites;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(s->announced); i++)
		atomic_store(&s->announced[i], 0);
	if (!atomic_load(&s->used))
		return;
	for (i = 0; i < SITE_SLOTS; i++)
		if (atomic_load_explicit(&s->slots[i].key,
					 memory_order_relaxed))
			atomic_store(&s->slots[i].site, SITE_PENDING);
}

/**
 * snapshot_use() - go on with the copy, in the child
 * @c: client
 *
 * Return: 0, or a negative errno and there is neither.
 */
int snapshot_use(struct bmem_client *c)
{
	int ret = arena_move(c->arena, c);

	if (ret)
		return ret;
	forget_sites(c);
	/* The fallback has nobody who would make room meanwhile. */
	c->wait_ms = 0;
	c->backend = &backend_memfd;
	return 0;
}

/**
 * snapshot_drop() - the parent does not need it
 * @c: client
 */
void snapshot_drop(struct bmem_client *c)
{
	if (c->arena)
		arena_close(c->arena);
	c->arena = NULL;
}

static int missing_call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	(void)c;
	(void)cmd;
	(void)arg;
	return -ENOMEM;
}

static void missing_close(struct bmem_client *c)
{
	munmap(c->base, c->len);
}

static void missing_fork(struct bmem_client *c, enum fork_step step)
{
	(void)c;
	(void)step;
}

static const struct backend backend_missing = {
	.name = "missing",
	.close = missing_close,
	.call = missing_call,
	.fork = missing_fork,
};

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

/*
 * Memory that reads as zero, or cannot be touched, instead of the device's.
 * RLIMIT_AS may forbid even that: then it cannot be touched.
 */
static void cover(void *at, size_t len, int prot)
{
	if (mmap(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		 MAP_FIXED, -1, 0) == MAP_FAILED)
		(void)mprotect(at, len, PROT_NONE);
}

/**
 * snapshot_missing() - there was no memory for a copy: the child has nothing
 * @c: client
 * @err: why
 *
 * What it must not do is to go on in its parent's memory: so its tensors cannot
 * be touched, and it gets no others.
 */
void snapshot_missing(struct bmem_client *c, int err)
{
	say("bmem: child of fork() has no tensors: no memory for a copy: ");
	say(bmem_strerror(err));
	say("\n");
	cover(c->base, c->len, PROT_NONE);
	cover((void *)c->spans, (c->len >> PAGE_SHIFT) * sizeof(*c->spans),
	      PROT_READ);
	if (c->records)
		cover(c->ledger, c->records * sizeof(*c->ledger),
		      PROT_READ | PROT_WRITE);
	/* All zero is empty.  The clock's window can only be read. */
	(void)madvise(c->depot, c->region_bytes, MADV_DONTNEED);
	c->nr_caches = 0;
	c->serial = 0;
	c->backend = &backend_missing;
}
