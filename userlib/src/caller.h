/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Callers that an interpreter runs: what the machine's stack does not show.
 */
#ifndef BMEM_CALLER_H
#define BMEM_CALLER_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmem.h"

/* From here on every allocation has its caller asked for. */
#define CALLER_BYTES	(64UL << 10)

extern _Atomic bmem_caller_fn caller_hook
	__attribute__((visibility("hidden")));

/**
 * caller_on() - is there anybody to ask?
 *
 * Return: true if there is.
 */
static inline bool caller_on(void)
{
	return atomic_load_explicit(&caller_hook, memory_order_relaxed);
}

/**
 * caller_key() - where is the calling thread, in its interpreter's terms?
 *
 * Keeps errno.
 *
 * Return: the key of the place; 0 where it runs no interpreter.
 */
static inline uint64_t caller_key(void)
{
	bmem_caller_fn fn = atomic_load_explicit(&caller_hook,
						 memory_order_relaxed);

	int saved = errno;
	uint64_t key;

	if (!fn)
		return 0;
	key = fn(NULL, 0);
	errno = saved;
	return key;
}

void caller_name(char *name, size_t len);
void caller_look(void);

uint64_t python_caller(char *name, size_t len);
bool python_here(void);

#endif /* BMEM_CALLER_H */
