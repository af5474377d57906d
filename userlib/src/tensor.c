// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors: allocate, free, give another size.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

/* Batches up to here need no memory but the stack's. */
#define BATCH_SMALL	32

static int check_request(size_t align)
{
	/* The ABI's field is narrower than size_t. */
	return align > BMEM_ALIGN_MAX ? -EINVAL : 0;
}

static void free_handle(struct bmem_client *c, uint64_t handle)
{
	struct bmem_free_entry entry = { .handle = handle };
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&entry,
	};

	(void)call(c, BMEM_FREE, &arg);
}

/* Allocate @nr tensors, all of which this client can reach, or none. */
static int alloc_entries(struct bmem_client *c, struct bmem_alloc_entry *e,
			 uint32_t nr)
{
	struct bmem_alloc arg = {
		.size = sizeof(arg),
		.nr = nr,
		.entries = (uintptr_t)e,
	};
	uint32_t i;
	int ret;

	ret = call(c, BMEM_ALLOC, &arg);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		if (handle_fits(c, &e[i]))
			continue;
		while (nr--)
			free_handle(c, e[nr].handle);
		return -ENOMEM;
	}
	return 0;
}

static void *alloc_one(struct bmem_client *c, size_t size, size_t align,
		       unsigned int flags, uint32_t site)
{
	struct bmem_alloc_entry e = {
		.bytes = size,
		.align = (uint32_t)align,
		.site = site,
		.flags = flags,
	};
	int ret;

	ret = check_request(align);
	if (!ret)
		ret = alloc_entries(c, &e, 1);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	return handle_put(c, &e);
}

__attribute__((noinline))
void *bmem_alloc(struct bmem_client *c, size_t size, size_t align,
		 unsigned int flags, const char *label)
{
	return alloc_one(c, size, align, flags,
			 site_at(c, label, __builtin_return_address(0)));
}

void *bmem_alloc_at(struct bmem_client *c, size_t size, size_t align,
		    unsigned int flags, uint32_t site)
{
	return alloc_one(c, size, align, flags, site);
}

static int batch_fill(struct bmem_alloc_entry *e,
		      const struct bmem_request *req, uint32_t nr,
		      uint32_t site)
{
	uint32_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = check_request(req[i].align);
		if (ret)
			return ret;
		e[i] = (struct bmem_alloc_entry) {
			.bytes = req[i].size,
			.align = (uint32_t)req[i].align,
			.site = req[i].site ? req[i].site : site,
			.flags = req[i].flags,
		};
	}
	return 0;
}

/* One call's worth of a batch. */
static int batch_part(struct bmem_client *c, struct bmem_request *req,
		      uint32_t nr, uint32_t site, struct bmem_alloc_entry *e)
{
	uint32_t i;
	int ret;

	ret = batch_fill(e, req, nr, site);
	if (!ret)
		ret = alloc_entries(c, e, nr);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++)
		req[i].ptr = handle_put(c, &e[i]);
	return 0;
}

static void batch_undo(struct bmem_client *c, struct bmem_request *req,
		       size_t nr)
{
	while (nr--) {
		(void)bmem_free(c, req[nr].ptr);
		req[nr].ptr = NULL;
	}
}

static uint32_t part_size(size_t left, uint32_t max)
{
	return left < max ? (uint32_t)left : max;
}

static int batch_all(struct bmem_client *c, struct bmem_request *req,
		     size_t nr, uint32_t site, struct bmem_alloc_entry *e,
		     uint32_t max)
{
	size_t done;
	uint32_t part;
	int ret;

	for (done = 0; done < nr; done += part) {
		part = part_size(nr - done, max);
		ret = batch_part(c, req + done, part, site, e);
		if (!ret)
			continue;
		batch_undo(c, req, done);
		return ret;
	}
	return 0;
}

__attribute__((noinline))
int bmem_alloc_batch(struct bmem_client *c, struct bmem_request *req,
		     size_t nr, const char *label)
{
	uint32_t site = site_at(c, label, __builtin_return_address(0));
	struct bmem_alloc_entry few[BATCH_SMALL], *e;
	const size_t bytes = BMEM_BATCH_MAX * sizeof(*e);
	size_t i;
	int ret;

	for (i = 0; i < nr; i++)
		req[i].ptr = NULL;
	if (nr <= BATCH_SMALL)
		return batch_all(c, req, nr, site, few, BATCH_SMALL);
	e = scratch_get(bytes);
	if (!e)
		return -ENOMEM;
	ret = batch_all(c, req, nr, site, e, BMEM_BATCH_MAX);
	scratch_put(e, bytes);
	return ret;
}

int bmem_free(struct bmem_client *c, void *ptr)
{
	struct bmem_free_entry entry = { 0 };
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&entry,
	};
	uint64_t handle;
	int ret;

	if (!ptr)
		return 0;
	ret = handle_take(c, ptr, &handle);
	if (ret)
		return ret;
	entry.handle = handle;
	ret = call(c, BMEM_FREE, &arg);
	/* Nobody else can have been given the tensor: it is still live. */
	if (ret)
		handle_restore(c, ptr, handle);
	return ret ? ret : entry.result;
}

/* What a batch of frees has collected for its next call. */
struct free_part {
	uint32_t nr;
	int ret;
	void *ptrs[BATCH_SMALL];
	struct bmem_free_entry entries[BATCH_SMALL];
};

static void part_note(struct free_part *part, int ret)
{
	if (ret && !part->ret)
		part->ret = ret;
}

static void part_flush(struct bmem_client *c, struct free_part *part)
{
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = part->nr,
		.entries = (uintptr_t)part->entries,
	};
	uint32_t i;
	int ret;

	if (!part->nr)
		return;
	ret = call(c, BMEM_FREE, &arg);
	part_note(part, ret);
	for (i = 0; i < part->nr; i++) {
		if (ret)
			handle_restore(c, part->ptrs[i],
				       part->entries[i].handle);
		else
			part_note(part, part->entries[i].result);
	}
	part->nr = 0;
}

int bmem_free_batch(struct bmem_client *c, void *const *ptrs, size_t nr)
{
	struct free_part part = { 0 };
	uint64_t handle;
	size_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		if (!ptrs[i])
			continue;
		ret = handle_take(c, ptrs[i], &handle);
		part_note(&part, ret);
		if (ret)
			continue;
		part.ptrs[part.nr] = ptrs[i];
		part.entries[part.nr++] = (struct bmem_free_entry) {
			.handle = handle,
		};
		if (part.nr == BATCH_SMALL)
			part_flush(c, &part);
	}
	part_flush(c, &part);
	return part.ret;
}

/* Move a tensor that is ours alone, since its handle was taken. */
static void *move(struct bmem_client *c, void *ptr, uint64_t handle,
		  size_t size, unsigned int flags)
{
	struct bmem_tensor_info info = {
		.size = sizeof(info),
		.handle = handle,
	};
	void *to;
	int ret;

	ret = call(c, BMEM_TENSOR_INFO, &info);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	if (info.tensor.bytes == size && !(flags & ~BMEM_ALLOC_ZERO)) {
		handle_restore(c, ptr, handle);
		return ptr;
	}
	to = alloc_one(c, size, 0, flags, info.tensor.site);
	if (!to)
		return NULL;
	memcpy(to, ptr, size < info.tensor.bytes ? size : info.tensor.bytes);
	free_handle(c, handle);
	return to;
}

__attribute__((noinline))
void *bmem_realloc(struct bmem_client *c, void *ptr, size_t size,
		   unsigned int flags)
{
	uint64_t handle;
	void *to;
	int ret;

	if (!ptr)
		return alloc_one(c, size, 0, flags,
				 site_at(c, NULL, __builtin_return_address(0)));
	ret = handle_take(c, ptr, &handle);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	to = move(c, ptr, handle, size, flags);
	if (!to)
		handle_restore(c, ptr, handle);
	return to;
}
