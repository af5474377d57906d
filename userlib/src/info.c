// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What is known of tensors: one by its address, all in turn, by call site.
 */
#include <errno.h>
#include <string.h>

#include "record.h"

/* Tensors asked for at a time; they lie on the stack. */
#define LIST_PART	64

bool bmem_owns(const struct bmem_client *c, const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)c->base < c->len;
}

void *bmem_space(const struct bmem_client *c, size_t *len)
{
	if (len)
		*len = c->len;
	return c->base;
}

static int info_at(struct bmem_client *c, const void *ptr,
		   struct bmem_tensor_info *info)
{
	if (!bmem_owns(c, ptr))
		return -EINVAL;
	*info = (struct bmem_tensor_info) {
		.size = sizeof(*info),
		.flags = BMEM_INFO_OFFSET,
		.offset = (uintptr_t)ptr - (uintptr_t)c->base,
	};
	return call(c, BMEM_TENSOR_INFO, info);
}

/* What a slot grants, from the span map alone; 0 for a free one. */
static size_t slot_usable(const struct bmem_client *c, uint64_t entry,
			  uint64_t offset)
{
	const struct slab_class *k = &slab_classes[span_class(entry)];
	uint32_t slot = span_inside(entry, offset) / k->bytes;

	if (slot >= k->slots)
		return 0;
	if (head_live(peek(&c->ledger[span_record(entry) + slot].head)) ||
	    atomic_load_explicit(&c->was_off, memory_order_relaxed))
		return k->bytes;
	return 0;
}

size_t bmem_usable_size(struct bmem_client *c, const void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)c->base, entry;
	struct bmem_tensor_info info;

	if (offset >= c->len)
		return 0;
	entry = span_at(c, offset);
	if (span_class(entry) < BMEM_CLASSES)
		return slot_usable(c, entry, offset);
	if (span_is_tensor(entry) && entry & BMEM_SPAN_RECORDED &&
	    span_record(entry) < c->records) {
		if (!head_live(peek(&c->ledger[span_record(entry)].head)))
			return 0;
		offset &= ~(uint64_t)(BMEM_PAGE_SIZE - 1);
		return (size_t)span_pages(c, entry, offset) << PAGE_SHIFT;
	}
	return info_at(c, ptr, &info) ? 0 : info.tensor.granted;
}

static void describe(const struct bmem_client *c, const struct bmem_tensor *t,
		     struct bmem_tensor_desc *d)
{
	d->ptr = c->base + t->offset;
	d->bytes = t->bytes;
	d->granted = t->granted;
	d->age_ms = t->age_ms;
	d->handle = t->handle;
	d->site = t->site;
	/* That there is a record is the library's own doing. */
	d->flags = t->flags & ~BMEM_ALLOC_RECORD;
}

int bmem_tensor_info(struct bmem_client *c, const void *ptr,
		     struct bmem_tensor_desc *desc)
{
	struct bmem_tensor_info info;
	struct bmem_tensor_desc d;
	int ret;

	ret = sized_in(&d, sizeof(d), desc, desc->sz,
		       offsetof(struct bmem_tensor_desc, label));
	if (!ret)
		ret = info_at(c, ptr, &info);
	if (ret)
		return ret;
	describe(c, &info.tensor, &d);
	memcpy(d.label, info.label, sizeof(d.label));
	memcpy(desc, &d, d.sz < sizeof(d) ? d.sz : sizeof(d));
	return 0;
}

int bmem_tensor_list(struct bmem_client *c, struct bmem_tensor_list *list)
{
	return call(c, BMEM_TENSOR_LIST, list);
}

int bmem_site_list(struct bmem_client *c, struct bmem_site_list *list)
{
	return call(c, BMEM_SITE_LIST, list);
}

int bmem_growth_list(struct bmem_client *c, struct bmem_growth_list *list)
{
	return call(c, BMEM_GROWTH_LIST, list);
}

int bmem_site_frames(struct bmem_client *c, struct bmem_site_frames *frames)
{
	return call(c, BMEM_SITE_FRAMES, frames);
}

int bmem_module_info(struct bmem_client *c, struct bmem_module_info *info)
{
	return call(c, BMEM_MODULE_INFO, info);
}

static int visit_part(struct bmem_client *c, const struct bmem_tensor *t,
		      uint32_t nr, bmem_visit_fn fn, void *arg)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		describe(c, &t[i], &d);
		ret = fn(&d, arg);
		if (ret)
			return ret;
	}
	return 0;
}

int bmem_foreach(struct bmem_client *c, bmem_visit_fn fn, void *arg)
{
	struct bmem_tensor part[LIST_PART];
	struct bmem_tensor_list list = {
		.size = sizeof(list),
		.entries = (uintptr_t)part,
	};
	int ret;

	do {
		list.nr = LIST_PART;
		ret = call(c, BMEM_TENSOR_LIST, &list);
		if (!ret)
			ret = visit_part(c, part, list.nr, fn, arg);
		if (ret)
			return ret;
	} while (list.nr == LIST_PART);
	return 0;
}

static int add_up(struct bmem_client *c, uint32_t site,
		  struct bmem_site_sums *sums)
{
	struct bmem_tensor part[LIST_PART];
	struct bmem_tensor_list list = {
		.size = sizeof(list),
		.flags = BMEM_LIST_SITE,
		.site = site,
		.entries = (uintptr_t)part,
	};
	uint32_t i;
	int ret;

	do {
		list.nr = LIST_PART;
		ret = call(c, BMEM_TENSOR_LIST, &list);
		if (ret)
			return ret;
		for (i = 0; i < list.nr; i++) {
			sums->live_tensors++;
			sums->live_bytes += part[i].bytes;
			sums->granted_bytes += part[i].granted;
		}
	} while (list.nr == LIST_PART);
	return 0;
}

int bmem_site_stats(struct bmem_client *c, uint32_t site,
		    struct bmem_site_sums *sums)
{
	struct bmem_site_sums s;
	size_t sz = sums->sz;
	int ret;

	ret = sized_in(&s, sizeof(s), sums, sz, sizeof(s));
	if (ret)
		return ret;
	s = (struct bmem_site_sums) { .sz = sz };
	ret = add_up(c, site, &s);
	if (!ret)
		memcpy(sums, &s, sizeof(s));
	return ret;
}
