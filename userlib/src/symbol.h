/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Functions by address.
 */
#ifndef BMEM_SYMBOL_H
#define BMEM_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

#define SYMBOL_FILE	64
#define SYMBOL_NAME	128

/**
 * struct symbol - where an address is
 * @file: last part of the program file's path, cut
 * @file_offset: from where the file is loaded
 * @name: the function as its file exports it, cut; empty if none is known
 * @offset: from where the function begins
 */
struct symbol {
	char file[SYMBOL_FILE];
	uint64_t file_offset;
	char name[SYMBOL_NAME];
	uint64_t offset;
};

bool symbol_find(uintptr_t pc, struct symbol *s);

#endif /* BMEM_SYMBOL_H */
