/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Program files: which one an address is in.
 */
#ifndef BMEM_MODULE_H
#define BMEM_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "internal.h"

/**
 * struct module_place - an address as the file that it is in has it
 * @module: number of the program file, 0 for none that is known
 * @runtime: the file is the C library, which programs and threads begin in
 * @id: hash of the file's build id, or of its path
 * @offset: relative to the file's load address
 */
struct module_place {
	uint32_t module;
	bool runtime;
	uint64_t id;
	uint64_t offset;
};

bool module_find(uintptr_t pc, struct module_place *place);
void module_look(void);
bool module_look_begin(void);
void module_look_end(void);
void module_fork(enum fork_step step);
void module_announce(struct bmem_client *c, uint32_t module);

extern _Atomic uint64_t module_subs __attribute__((visibility("hidden")));

/**
 * module_loads() - what is loaded may have changed when this has
 *
 * Return: a number that changes when an address that was a program file's may
 * have become another's, and not before somebody has noticed.
 */
static inline uint64_t module_loads(void)
{
	return atomic_load_explicit(&module_subs, memory_order_relaxed);
}

#endif /* BMEM_MODULE_H */
