// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * NumPy's memory handler (NEP 49): arrays from a threshold on are tensors, all
 * else is malloc()'s.
 *
 * NumPy gives realloc() no old size, free() one that is not always right, and
 * arrays that another handler's memory may be in: what a block is, its address
 * says.  Every array keeps the handler that it was made with, so nothing here
 * is ever taken back.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#ifdef BMEM_HAVE_NUMPY
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <Python.h>
#include <numpy/ndarraytypes.h>
#endif

/* As in numpy/ndarraytypes.h, from 1.22 on. */
struct allocator {
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t nr, size_t size);
	void *(*realloc)(void *ctx, void *ptr, size_t size);
	void (*free)(void *ctx, void *ptr, size_t size);
};

struct handler {
	char name[127];
	uint8_t version;
	struct allocator allocator;
};

#ifdef BMEM_HAVE_NUMPY
_Static_assert(sizeof(struct handler) == sizeof(PyDataMem_Handler), "handler");
_Static_assert(offsetof(struct handler, allocator.realloc) ==
	       offsetof(PyDataMem_Handler, allocator.realloc), "handler");
#endif

/**
 * struct arrays - the memory of arrays
 * @client: where large ones are
 * @threshold: from so many bytes on
 * @served: arrays that became tensors
 * @refused: arrays that should have, but there was no room
 */
static struct {
	struct bmem_client *client;
	size_t threshold;
	_Atomic uint64_t served;
	_Atomic uint64_t refused;
} arrays;

static bool ours(const void *ptr)
{
	return bmem_owns(arrays.client, ptr);
}

static void *tensor(size_t size, unsigned int flags, const void *ret,
		    const void *frame)
{
	void *p = bmem_alloc_from(arrays.client, size, 0, flags, NULL, ret,
				  frame);

	atomic_fetch_add_explicit(p ? &arrays.served : &arrays.refused, 1,
				  memory_order_relaxed);
	return p;
}

#define TENSOR(size, flags) \
	tensor(size, flags, __builtin_return_address(0), \
	       __builtin_frame_address(0))

static void *array_malloc(void *ctx, size_t size)
{
	void *p = size >= arrays.threshold ? TENSOR(size, 0) : NULL;

	(void)ctx;
	return p ? p : malloc(size);
}

static void *array_calloc(void *ctx, size_t nr, size_t size)
{
	void *p = NULL;
	size_t bytes;

	(void)ctx;
	if (!__builtin_mul_overflow(nr, size, &bytes) &&
	    bytes >= arrays.threshold)
		p = TENSOR(bytes, BMEM_ALLOC_ZERO);
	return p ? p : calloc(nr, size);
}

static void array_free(void *ctx, void *ptr, size_t size)
{
	(void)ctx;
	(void)size;
	if (ours(ptr))
		(void)bmem_free(arrays.client, ptr);
	else
		free(ptr);
}

/* From malloc() to a tensor or back; @old is how much there may be to copy. */
static void *moved(void *ptr, size_t old, size_t size, void *to)
{
	if (!to)
		return NULL;
	memcpy(to, ptr, old < size ? old : size);
	array_free(NULL, ptr, old);
	return to;
}

static void *array_realloc(void *ctx, void *ptr, size_t size)
{
	void *p = NULL;
	size_t old;

	(void)ctx;
	if (!ptr)
		return array_malloc(ctx, size);
	if (!ours(ptr)) {
		if (size >= arrays.threshold)
			p = TENSOR(size, 0);
		return p ? moved(ptr, malloc_usable_size(ptr), size, p) :
			   realloc(ptr, size);
	}
	if (size >= arrays.threshold)
		p = bmem_realloc(arrays.client, ptr, size, 0);
	if (p)
		return p;
	old = bmem_usable_size(arrays.client, ptr);
	return moved(ptr, old, size, malloc(size ? size : 1));
}

static struct handler handler = {
	.name = "bmem",
	.version = 1,
	.allocator = {
		.malloc = array_malloc,
		.calloc = array_calloc,
		.realloc = array_realloc,
		.free = array_free,
	},
};

/**
 * bmem_numpy_handler() - the handler, of which a process has one
 * @client: where arrays go, never closed
 * @threshold: from so many bytes on; may be changed at any time
 *
 * Return: what the capsule "mem_handler" has to hold.
 */
void *bmem_numpy_handler(struct bmem_client *client, size_t threshold)
{
	if (!arrays.client)
		arrays.client = client;
	arrays.threshold = threshold ? threshold : 1;
	return &handler;
}

/**
 * bmem_numpy_name() - what NumPy wants that capsule to be called
 *
 * A capsule keeps no copy, and arrays look at it after Python's modules, and
 * the strings in them, are gone.
 *
 * Return: the name.
 */
const char *bmem_numpy_name(void)
{
	return "mem_handler";
}

/**
 * bmem_numpy_counts() - how many arrays came by
 * @counts: out, those that became tensors, and those that found no room
 */
void bmem_numpy_counts(uint64_t counts[2])
{
	counts[0] = atomic_load(&arrays.served);
	counts[1] = atomic_load(&arrays.refused);
}
