// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors that get another size, in place where it fits.
 */
#include <errno.h>
#include <string.h>

#include "cache.h"

/**
 * struct extent - a live tensor, as the library sees it
 * @ptr: where it begins
 * @entry: what the span map says of its first page
 * @bytes: exact size; what was granted if nothing says
 * @granted: what it takes up
 * @r: its record, or NULL
 * @head: what the record's head was; not live for a tensor from level off
 * @site: its call site
 */
struct extent {
	char *ptr;
	uint64_t entry;
	uint64_t bytes;
	uint64_t granted;
	struct bmem_record *r;
	uint64_t head;
	uint32_t site;
};

static int from_record(const struct bmem_client *c, struct extent *x,
		       uint32_t record, bool believe)
{
	x->r = &c->ledger[record];
	x->head = peek(&x->r->head);
	x->site = (uint32_t)(peek(&x->r->what) >> BMEM_RECORD_SITE_SHIFT);
	x->bytes = x->granted;
	if (!head_live(x->head))
		return believe ? 0 : -ENOENT;
	if (head_bytes(x->head) < x->granted)
		x->bytes = head_bytes(x->head);
	return 0;
}

static int slot_extent(const struct bmem_client *c, struct extent *x,
		       uint64_t entry, uint64_t offset)
{
	uint32_t class = span_class(entry);
	uint32_t slot = slab_slot_at(class, span_inside(entry, offset));

	if (slot >= slab_classes[class].slots)
		return -ENOENT;
	x->granted = slab_classes[class].bytes;
	return from_record(c, x, span_record(entry) + slot,
			   atomic_load_explicit(&c->was_off,
						memory_order_relaxed));
}

static int block_extent(struct bmem_client *c, struct extent *x,
			uint64_t entry, uint64_t offset)
{
	struct bmem_tensor_info info = {
		.size = sizeof(info),
		.handle = span_handle(entry, offset),
	};
	int ret;

	if (!span_is_tensor(entry) || offset % BMEM_PAGE_SIZE)
		return -ENOENT;
	x->granted = (uint64_t)span_pages(c, entry, offset) << PAGE_SHIFT;
	if (entry & BMEM_SPAN_RECORDED && span_record(entry) < c->records)
		return from_record(c, x, span_record(entry), false);
	ret = call(c, BMEM_TENSOR_INFO, &info);
	if (ret)
		return ret;
	x->bytes = info.tensor.bytes;
	x->site = info.tensor.site;
	return 0;
}

static int extent_of(struct bmem_client *c, struct extent *x, void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry;

	if (offset >= c->len || offset % BMEM_ALIGN_MIN)
		return -EINVAL;
	entry = span_at(c, offset);
	*x = (struct extent) { .ptr = ptr, .entry = entry };
	return span_class(entry) < BMEM_CLASSES ?
	       slot_extent(c, x, entry, offset) :
	       block_extent(c, x, entry, offset);
}

/* Without a record the backend keeps the size, which cannot be changed. */
static bool fits(const struct extent *x, size_t size)
{
	return size == x->bytes || (x->r && size <= x->granted);
}

/*
 * Write another head, if the tensor is still what it was: of two threads that
 * resize or free it one does it.
 */
static int head_set(struct extent *x, uint64_t head)
{
	uint64_t was = x->head;

	if (!x->r || !head_live(was))
		return 0;
	if (!__atomic_compare_exchange_n(&x->r->head, &was, head, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return -ENOENT;
	x->head = head;
	return 0;
}

static void zero_tail(char *p, size_t from, size_t to, unsigned int flags)
{
	if (flags & BMEM_ALLOC_ZERO && to > from)
		memset(p + from, 0, to - from);
}

/* What would leave more than half of it empty had better move. */
static bool fits_well(const struct extent *x, size_t size)
{
	return fits(x, size) && (size == x->bytes || size > x->granted / 2);
}

static int size_set(struct extent *x, size_t size)
{
	uint64_t head = (x->head & (GEN_BITS | BMEM_RECORD_STATE_MASK)) |
			(uint64_t)size << BMEM_RECORD_SIZE_SHIFT;

	return head_set(x, head);
}

static void *in_place(struct extent *x, size_t size, unsigned int flags)
{
	int ret = size_set(x, size);

	if (ret) {
		errno = -ret;
		return NULL;
	}
	zero_tail(x->ptr, x->bytes, size, flags);
	return x->ptr;
}

/* Take a tensor away from everybody else, copy it, and let it go. */
static void *move(struct bmem_client *c, struct extent *x, size_t size,
		  unsigned int flags)
{
	uint64_t live = x->head;
	char *to;
	int ret;

	ret = head_set(x, live & ~BMEM_RECORD_STATE_MASK);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	to = tensor_alloc(c, size, 0, 0, x->site);
	if (!to) {
		if (x->r)
			__atomic_store_n(&x->r->head, live, __ATOMIC_RELEASE);
		x->head = live;
		return NULL;
	}
	memcpy(to, x->ptr, size < x->bytes ? size : x->bytes);
	zero_tail(to, x->bytes, size, flags);
	ret = tensor_give(c, x->ptr, x->entry, x->r);
	if (!ret)
		return to;
	(void)bmem_free(c, to);
	errno = -ret;
	return NULL;
}

__attribute__((noinline))
void *bmem_realloc(struct bmem_client *c, void *ptr, size_t size,
		   unsigned int flags)
{
	struct extent x;
	void *to;
	int ret;

	if (!ptr)
		return tensor_alloc(c, size, 0, flags,
				    site_from_untimed(c, NULL,
						      __builtin_return_address(0),
						      __builtin_frame_address(0),
						      size));
	ret = request_check(size, 0, flags);
	if (!ret)
		ret = extent_of(c, &x, ptr);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	if (fits_well(&x, size))
		return in_place(&x, size, flags);
	to = move(c, &x, size, flags);
	return to || errno == ENOENT || !fits(&x, size) ?
	       to : in_place(&x, size, flags);
}

int bmem_resize(struct bmem_client *c, void *ptr, size_t size)
{
	struct extent x;
	int ret;

	if (!size)
		return -EINVAL;
	ret = extent_of(c, &x, ptr);
	if (ret)
		return ret;
	return fits_well(&x, size) ? size_set(&x, size) : -ERANGE;
}
