// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Functions by address, from the symbols that program files export.
 *
 * Not dladdr(): that waits for the lock which dlopen() holds while it runs
 * constructors, and a constructor may wait for a thread that is in here.
 * dl_iterate_phdr() takes another one, and nothing is called under it.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "symbol.h"

/**
 * struct tables - what a loaded file tells of its symbols
 * @symbols: DT_SYMTAB
 * @strings: DT_STRTAB
 * @len: length of @strings
 * @hash: DT_HASH, or NULL
 * @gnu_hash: DT_GNU_HASH, or NULL
 */
struct tables {
	const ElfW(Sym) *symbols;
	const char *strings;
	size_t len;
	const uint32_t *hash;
	const uint32_t *gnu_hash;
};

struct search {
	uintptr_t pc;
	struct symbol *s;
	bool found;
};

static void copy_text(char *to, const char *from, size_t room)
{
	size_t n = strnlen(from, room - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

static void copy_file(char *to, const char *path)
{
	char self[4096];
	const char *name;
	ssize_t n;

	if (!*path) {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n > 0 ? n : 0] = '\0';
		path = self;
	}
	name = strrchr(path, '/');
	copy_text(to, name ? name + 1 : path, SYMBOL_FILE);
}

/* glibc has added the load address to these, other linkers and the vDSO not. */
static const void *table_at(const struct dl_phdr_info *info, ElfW(Addr) at)
{
	return (const void *)(at < info->dlpi_addr ? at + info->dlpi_addr : at);
}

static bool tables_find(const struct dl_phdr_info *info, const ElfW(Dyn) *d,
			struct tables *t)
{
	memset(t, 0, sizeof(*t));
	for (; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			t->symbols = table_at(info, d->d_un.d_ptr);
		else if (d->d_tag == DT_STRTAB)
			t->strings = table_at(info, d->d_un.d_ptr);
		else if (d->d_tag == DT_STRSZ)
			t->len = d->d_un.d_val;
		else if (d->d_tag == DT_HASH)
			t->hash = table_at(info, d->d_un.d_ptr);
		else if (d->d_tag == DT_GNU_HASH)
			t->gnu_hash = table_at(info, d->d_un.d_ptr);
	}
	return t->symbols && t->strings;
}

/* Symbols of a GNU hash table: the last chain ends behind the last of them. */
static size_t gnu_hash_count(const uint32_t *h)
{
	uint32_t buckets = h[0], first = h[1], last = 0, i;
	const uint32_t *bucket = h + 4 + h[2] * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = bucket + buckets;

	for (i = 0; i < buckets; i++)
		if (bucket[i] > last)
			last = bucket[i];
	if (last < first)
		return 0;
	while (!(chain[last - first] & 1))
		last++;
	return (size_t)last + 1;
}

static size_t symbol_count(const struct tables *t)
{
	if (t->hash)
		return t->hash[1];
	return t->gnu_hash ? gnu_hash_count(t->gnu_hash) : 0;
}

static bool is_function(const ElfW(Sym) *sym)
{
	int type = sym->st_info & 0xf;

	return sym->st_value && sym->st_shndx != SHN_UNDEF &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC ||
		type == STT_NOTYPE);
}

/* The function that @at, relative to the load address, is in. */
static void name_find(const struct tables *t, uint64_t at, struct symbol *s)
{
	const ElfW(Sym) *best = NULL, *sym = t->symbols;
	size_t n = symbol_count(t);

	for (; n--; sym++) {
		if (!is_function(sym) || sym->st_value > at ||
		    sym->st_name >= t->len)
			continue;
		if (sym->st_size && at >= sym->st_value + sym->st_size)
			continue;
		if (!best || sym->st_value > best->st_value)
			best = sym;
	}
	if (!best)
		return;
	s->offset = at - best->st_value;
	copy_text(s->name, t->strings + best->st_name, SYMBOL_NAME);
}

static bool is_inside(const struct dl_phdr_info *info, uintptr_t pc)
{
	uintptr_t at = pc - info->dlpi_addr;
	int i;

	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    at - info->dlpi_phdr[i].p_vaddr <
		    info->dlpi_phdr[i].p_memsz)
			return true;
	return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *q = arg;
	const ElfW(Phdr) *ph = info->dlpi_phdr;
	struct tables t;
	int i;

	(void)size;
	if (!is_inside(info, q->pc))
		return 0;
	q->found = true;
	q->s->file_offset = q->pc - info->dlpi_addr;
	copy_file(q->s->file, info->dlpi_name);
	for (i = 0; i < info->dlpi_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC &&
		    tables_find(info, (const void *)(info->dlpi_addr +
						     ph[i].p_vaddr), &t))
			name_find(&t, q->s->file_offset, q->s);
	return 1;
}

/**
 * symbol_find() - where is an address?
 * @pc: address in a function; of a return address, the byte before it
 * @s: out
 *
 * Keeps errno.
 *
 * Return: true if it is in a program file; else @s is empty.
 */
bool symbol_find(uintptr_t pc, struct symbol *s)
{
	struct search q = { .pc = pc, .s = s };
	int saved = errno;

	memset(s, 0, sizeof(*s));
	dl_iterate_phdr(look, &q);
	errno = saved;
	return q.found;
}
