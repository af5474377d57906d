// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * From a pointer to the tensor's handle, in one load.
 *
 * A sparse table has 8 bytes for every page of the space.  A tensor begins
 * with a page, so the table is exact.  Freeing exchanges the entry for 0
 * before the backend is told; of two threads that free the same tensor one
 * gets the handle and the other 0.
 */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

static size_t table_bytes(const struct bmem_client *c)
{
	return (c->len >> PAGE_SHIFT) * sizeof(*c->handles);
}

/**
 * handles_init() - make the table
 * @c: client, whose @len is known
 *
 * Return: 0 or -ENOMEM.
 */
int handles_init(struct bmem_client *c)
{
	c->handles = scratch_get(table_bytes(c));
	return c->handles ? 0 : -ENOMEM;
}

/**
 * handles_fini() - unmake the table
 * @c: client
 */
void handles_fini(struct bmem_client *c)
{
	scratch_put((void *)c->handles, table_bytes(c));
	c->handles = NULL;
}

/**
 * handle_fits() - can this client reach a tensor?
 * @c: client
 * @e: what ALLOC answered
 *
 * Not when only a part of the space is mapped and the tensor lies behind it.
 *
 * Return: true if all of it is mapped.
 */
bool handle_fits(const struct bmem_client *c, const struct bmem_alloc_entry *e)
{
	return !(e->offset % BMEM_PAGE_SIZE) && e->granted >= e->bytes &&
	       e->offset < c->len && e->granted <= c->len - e->offset;
}

/**
 * handle_put() - enter a tensor
 * @c: client
 * @e: what ALLOC answered, with handle_fits()
 *
 * Return: its address.
 */
void *handle_put(struct bmem_client *c, const struct bmem_alloc_entry *e)
{
	atomic_store_explicit(&c->handles[e->offset >> PAGE_SHIFT], e->handle,
			      memory_order_release);
	return c->base + e->offset;
}

/**
 * handle_take() - become the one who frees a tensor
 * @c: client
 * @ptr: where it begins
 * @handle: out, its handle
 *
 * Return: 0, -EINVAL when no tensor can begin at @ptr, -ENOENT when none does.
 */
int handle_take(struct bmem_client *c, const void *ptr, uint64_t *handle)
{
	size_t off = (uintptr_t)ptr - (uintptr_t)c->base;

	if (!bmem_owns(c, ptr) || off % BMEM_PAGE_SIZE)
		return -EINVAL;
	*handle = atomic_exchange_explicit(&c->handles[off >> PAGE_SHIFT], 0,
					   memory_order_acq_rel);
	return *handle ? 0 : -ENOENT;
}

/**
 * handle_restore() - put back what handle_take() took
 * @c: client
 * @ptr: the tensor, which the backend has not freed
 * @handle: its handle
 */
void handle_restore(struct bmem_client *c, const void *ptr, uint64_t handle)
{
	size_t off = (uintptr_t)ptr - (uintptr_t)c->base;
	uint64_t none = 0;

	/* Should the tensor be gone after all, its page may have another. */
	atomic_compare_exchange_strong(&c->handles[off >> PAGE_SHIFT], &none,
				       handle);
}
