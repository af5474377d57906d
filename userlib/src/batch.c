// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Batches: several tensors, all or none.
 *
 * Small ones come from magazines and blocks from stashes, as any; what is left
 * is one call for all.
 */
#include <errno.h>

#include "cache.h"

/* Batches up to here need no memory but the stack's. */
#define BATCH_SMALL	32

static bool is_small(const struct bmem_client *c, const struct bmem_request *r)
{
	uint32_t align = r->align ? (uint32_t)r->align : 1;

	return c->nr_caches && slab_class_aligned(r->size, align) != SLAB_NONE;
}

static void *alloc_here(struct bmem_client *c, const struct bmem_request *r,
			uint32_t site)
{
	return is_small(c, r) ?
	       tensor_alloc(c, r->size, r->align, r->flags, site) :
	       block_reuse(c, r->size, r->align, r->flags, site);
}

static uint32_t site_for(const struct bmem_request *r, uint32_t site)
{
	return r->site ? r->site : site;
}

/* Ask for the requests that have no tensor yet. */
static int batch_ask(struct bmem_client *c, struct bmem_request *req,
		     uint32_t nr, struct bmem_alloc_entry *e, uint32_t asked)
{
	uint32_t i;
	int ret;

	if (!asked)
		return 0;
	ret = blocks_get(c, e, asked);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++)
		if (!req[i].ptr)
			req[i].ptr = c->base + e++->offset;
	return 0;
}

/* One call's worth of a batch. */
static int batch_part(struct bmem_client *c, struct bmem_request *req,
		      uint32_t nr, uint32_t site, struct bmem_alloc_entry *e)
{
	uint32_t i, asked = 0;

	for (i = 0; i < nr; i++) {
		req[i].ptr = alloc_here(c, &req[i], site_for(&req[i], site));
		if (req[i].ptr)
			continue;
		if (is_small(c, &req[i]))
			return -errno;
		e[asked++] = (struct bmem_alloc_entry) {
			.bytes = req[i].size,
			.align = (uint32_t)req[i].align,
			.site = site_for(&req[i], site),
			.flags = req[i].flags,
		};
	}
	return batch_ask(c, req, nr, e, asked);
}

static void batch_undo(struct bmem_client *c, struct bmem_request *req,
		       size_t nr)
{
	while (nr--) {
		(void)bmem_free(c, req[nr].ptr);
		req[nr].ptr = NULL;
	}
}

static int batch_check(const struct bmem_request *req, size_t nr)
{
	size_t i, sum = 0;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = request_check(req[i].size, req[i].align, req[i].flags);
		if (ret)
			return ret;
		if (__builtin_add_overflow(sum, req[i].size + BMEM_PAGE_SIZE,
					   &sum))
			return -EOVERFLOW;
	}
	return 0;
}

static int batch_all(struct bmem_client *c, struct bmem_request *req,
		     size_t nr, uint32_t site, struct bmem_alloc_entry *e,
		     uint32_t max)
{
	size_t done;
	uint32_t part;
	int ret;

	for (done = 0; done < nr; done += part) {
		part = nr - done < max ? (uint32_t)(nr - done) : max;
		ret = batch_part(c, req + done, part, site, e);
		if (!ret)
			continue;
		batch_undo(c, req, done + part);
		return ret;
	}
	return 0;
}

__attribute__((noinline))
int bmem_alloc_batch(struct bmem_client *c, struct bmem_request *req,
		     size_t nr, const char *label)
{
	uint32_t site = site_from_untimed(c, label, __builtin_return_address(0),
					  __builtin_frame_address(0),
					  nr ? req->size : 0);
	struct bmem_alloc_entry few[BATCH_SMALL], *e;
	const size_t bytes = BMEM_BATCH_MAX * sizeof(*e);
	size_t i;
	int ret;

	for (i = 0; i < nr; i++)
		req[i].ptr = NULL;
	ret = batch_check(req, nr);
	if (ret)
		return ret;
	if (nr <= BATCH_SMALL)
		return batch_all(c, req, nr, site, few, BATCH_SMALL);
	e = scratch_get(bytes);
	if (!e)
		return -ENOMEM;
	ret = batch_all(c, req, nr, site, e, BMEM_BATCH_MAX);
	scratch_put(e, bytes);
	return ret;
}

int bmem_free_batch(struct bmem_client *c, void *const *ptrs, size_t nr)
{
	int ret = 0, one;
	size_t i;

	for (i = 0; i < nr; i++) {
		one = bmem_free(c, ptrs[i]);
		if (one && !ret)
			ret = one;
	}
	return ret;
}
