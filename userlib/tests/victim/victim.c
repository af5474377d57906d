// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A program that says where in it a call is, so that names that are made of that
 * can be held against the source: "address line build-id", numbers in hex and
 * decimal.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uintptr_t base;
static char id[128];

static void note(const char *at, size_t len)
{
	const ElfW(Nhdr) *n;
	const unsigned char *desc;
	size_t size, i;

	while (len >= sizeof(*n)) {
		n = (const void *)at;
		desc = (const void *)(at + sizeof(*n) + ((n->n_namesz + 3) & ~3U));
		for (i = 0; n->n_type == NT_GNU_BUILD_ID && i < n->n_descsz; i++)
			sprintf(id + 2 * i, "%02x", desc[i]);
		size = sizeof(*n) + ((n->n_namesz + 3) & ~3U) +
		       ((n->n_descsz + 3) & ~3U);
		at += size;
		len -= size < len ? size : len;
	}
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	int i;

	(void)size;
	(void)arg;
	base = info->dlpi_addr;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			note((const char *)base + info->dlpi_phdr[i].p_vaddr,
			     info->dlpi_phdr[i].p_memsz);
	return 1;
}

__attribute__((noinline)) void victim_says(int line)
{
	uintptr_t address = (uintptr_t)__builtin_return_address(0) - base;

	printf("%lx %d %s\n", (unsigned long)address, line, id);
}

static inline __attribute__((always_inline)) void victim_inner(void)
{
	victim_says(__LINE__);
	__asm__ volatile("");
}

__attribute__((noinline)) void victim_outer(void)
{
	victim_inner();
	__asm__ volatile("");
}

int main(void)
{
	dl_iterate_phdr(look, NULL);
	victim_outer();
	return 0;
}
