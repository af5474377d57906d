/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the Python package has in C: loaded with ctypes, built without any
 * headers of Python or NumPy, so that one file does for all their versions.
 */
#ifndef BMEM_PYTHON_NATIVE_H
#define BMEM_PYTHON_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bmem.h>

#define EXPORT __attribute__((visibility("default")))

/* numpy.c */
EXPORT void *bmem_numpy_handler(struct bmem_client *client, size_t threshold);
EXPORT const char *bmem_numpy_name(void);
EXPORT void bmem_numpy_counts(uint64_t counts[2]);

/* dlpack.c */
struct block;
typedef struct _object PyObject;

EXPORT struct block *bmem_block_new(struct bmem_client *client, size_t size,
				    size_t align, unsigned int flags,
				    const char *label);
EXPORT void *bmem_block_ptr(const struct block *block);
EXPORT void bmem_block_put(struct block *block);
EXPORT PyObject *bmem_block_dlpack(struct block *block, int32_t ndim,
				   const int64_t *shape, uint32_t code,
				   uint32_t bits, int versioned);

#endif /* BMEM_PYTHON_NATIVE_H */
