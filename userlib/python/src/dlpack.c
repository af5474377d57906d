// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tensors that other libraries borrow: DLPack.
 *
 * A block lives as long as the handle in Python and everybody who took a
 * capsule.  Deleters run late, in any thread, with or without the
 * interpreter's lock, even after its end: they touch nothing of Python.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

/* The interpreter's own, from whichever it is. */
PyObject *PyCapsule_New(void *ptr, const char *name,
			void (*destructor)(PyObject *capsule));
void *PyCapsule_GetPointer(PyObject *capsule, const char *name);
int PyCapsule_IsValid(PyObject *capsule, const char *name);
PyObject *PyErr_NoMemory(void);

#define DL_CPU		1
#define DL_MAJOR	1
#define DL_MINOR	0

#define NAME_OLD	"dltensor"
#define NAME_NEW	"dltensor_versioned"

/* As in dlpack.h, 0.6 and 1.0. */
struct dl_tensor {
	void *data;
	int32_t device_type;
	int32_t device_id;
	int32_t ndim;
	uint8_t code;
	uint8_t bits;
	uint16_t lanes;
	int64_t *shape;
	int64_t *strides;
	uint64_t byte_offset;
};

struct dl_managed {
	struct dl_tensor tensor;
	void *ctx;
	void (*deleter)(struct dl_managed *self);
};

struct dl_versioned {
	uint32_t major;
	uint32_t minor;
	void *ctx;
	void (*deleter)(struct dl_versioned *self);
	uint64_t flags;
	struct dl_tensor tensor;
};

_Static_assert(sizeof(struct dl_tensor) == 48, "DLTensor");
_Static_assert(sizeof(struct dl_managed) == 64, "DLManagedTensor");
_Static_assert(sizeof(struct dl_versioned) == 80, "DLManagedTensorVersioned");

/**
 * struct block - a tensor and how many hold it
 * @refs: the handle in Python, and each capsule's tensor
 * @client: whose it is
 * @ptr: the tensor
 */
struct block {
	atomic_uint refs;
	struct bmem_client *client;
	void *ptr;
};

/**
 * struct lent - a capsule's tensor
 * @block: what it is about
 * @old: of the first form of capsules
 * @new: of the second
 * @shape: lengths, then strides
 */
struct lent {
	struct block *block;
	union {
		struct dl_managed old;
		struct dl_versioned new;
	};
	int64_t shape[];
};

/**
 * bmem_block_new() - allocate a tensor that can be lent
 * @client: as for bmem_alloc()
 * @size: as for bmem_alloc()
 * @align: as for bmem_alloc()
 * @flags: as for bmem_alloc()
 * @label: as for bmem_alloc()
 *
 * Return: a block with one reference, or NULL and errno.
 */
struct block *bmem_block_new(struct bmem_client *client, size_t size,
			     size_t align, unsigned int flags,
			     const char *label)
{
	struct block *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	b->ptr = bmem_alloc(client, size, align, flags, label);
	if (!b->ptr) {
		free(b);
		return NULL;
	}
	b->client = client;
	atomic_init(&b->refs, 1);
	return b;
}

void *bmem_block_ptr(const struct block *block)
{
	return block->ptr;
}

/**
 * bmem_block_put() - let go of a block; the last one frees the tensor
 * @block: block
 */
void bmem_block_put(struct block *block)
{
	if (atomic_fetch_sub(&block->refs, 1) != 1)
		return;
	(void)bmem_free(block->client, block->ptr);
	free(block);
}

static void lent_end(struct lent *l)
{
	bmem_block_put(l->block);
	free(l);
}

static void delete_old(struct dl_managed *self)
{
	lent_end(self->ctx);
}

static void delete_new(struct dl_versioned *self)
{
	lent_end(self->ctx);
}

/* Whoever takes the tensor renames the capsule: only nobody's ends here. */
static void capsule_end(PyObject *capsule)
{
	struct dl_versioned *new;
	struct dl_managed *old;

	if (PyCapsule_IsValid(capsule, NAME_OLD)) {
		old = PyCapsule_GetPointer(capsule, NAME_OLD);
		old->deleter(old);
	} else if (PyCapsule_IsValid(capsule, NAME_NEW)) {
		new = PyCapsule_GetPointer(capsule, NAME_NEW);
		new->deleter(new);
	}
}

static void fill(struct dl_tensor *t, struct lent *l, int32_t ndim,
		 const int64_t *shape, uint32_t code, uint32_t bits)
{
	int64_t step = 1;
	int32_t i;

	*t = (struct dl_tensor) {
		.data = l->block->ptr,
		.device_type = DL_CPU,
		.ndim = ndim,
		.code = (uint8_t)code,
		.bits = (uint8_t)bits,
		.lanes = 1,
		.shape = l->shape,
		.strides = l->shape + ndim,
	};
	for (i = ndim; i--;) {
		t->shape[i] = shape[i];
		t->strides[i] = step;
		step *= shape[i];
	}
}

static PyObject *capsule_of(struct lent *l, bool versioned)
{
	if (versioned)
		return PyCapsule_New(&l->new, NAME_NEW, capsule_end);
	return PyCapsule_New(&l->old, NAME_OLD, capsule_end);
}

/**
 * bmem_block_dlpack() - lend a block as an array, rows first
 * @block: block
 * @ndim: number of dimensions
 * @shape: their lengths; the array fits in the block
 * @code: DLPack's code of the element's type
 * @bits: its size
 * @versioned: the second form of capsules, from DLPack 1.0 on
 *
 * Return: a capsule, or NULL and an exception.
 */
PyObject *bmem_block_dlpack(struct block *block, int32_t ndim,
			    const int64_t *shape, uint32_t code, uint32_t bits,
			    int versioned)
{
	struct lent *l = malloc(sizeof(*l) + 2 * (size_t)ndim * sizeof(*shape));
	PyObject *capsule;

	if (!l)
		return PyErr_NoMemory();
	l->block = block;
	if (versioned)
		l->new = (struct dl_versioned) {
			.major = DL_MAJOR,
			.minor = DL_MINOR,
			.ctx = l,
			.deleter = delete_new,
		};
	else
		l->old = (struct dl_managed) {
			.ctx = l,
			.deleter = delete_old,
		};
	fill(versioned ? &l->new.tensor : &l->old.tensor, l, ndim, shape, code,
	     bits);
	atomic_fetch_add(&block->refs, 1);
	capsule = capsule_of(l, versioned);
	if (!capsule)
		lent_end(l);
	return capsule;
}
