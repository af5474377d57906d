// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Keeps the program from mapping something over bmem's space, or unmapping it.
 *
 * A program that maps at an address of its own choice replaces what is there,
 * and the library would go on to hand that out. Such a call fails instead, as it
 * does where the kernel has no room. System calls that the program makes itself
 * are not seen.
 */
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/* libbmem's own code, which does map over its space: in a child of fork(). */
static _Atomic uintptr_t code_low, code_high;

static int find_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	const ElfW(Phdr) *ph = info->dlpi_phdr;
	uintptr_t at = (uintptr_t)arg - info->dlpi_addr;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || at - ph[i].p_vaddr >= ph[i].p_memsz)
			continue;
		atomic_store(&code_low, info->dlpi_addr + ph[i].p_vaddr);
		atomic_store(&code_high, info->dlpi_addr + ph[i].p_vaddr +
					 ph[i].p_memsz);
		return 1;
	}
	return 0;
}

/**
 * space_set_up() - learn which calls are libbmem's
 *
 * Before the client is open.
 */
void space_set_up(void)
{
	dl_iterate_phdr(find_code, (void *)bmem_open);
}

static bool overlaps(const void *addr, size_t len)
{
	uintptr_t from = (uintptr_t)addr, base = atomic_load(&run.base);
	size_t have = atomic_load(&run.len);

	if (!have || !len)
		return false;
	return from - base < have || (from < base && len > base - from);
}

static bool is_libbmem(const void *ret)
{
	return (uintptr_t)ret >= atomic_load(&code_low) &&
	       (uintptr_t)ret < atomic_load(&code_high);
}

/* Is the call to be refused? It is told once. */
static bool forbidden(const char *call, const void *addr, size_t len,
		      const void *ret)
{
	static _Atomic bool told;

	if (likely(!overlaps(addr, len)) || is_libbmem(ret))
		return false;
	if (!atomic_exchange(&told, true))
		say("%s (pid %d): %s(%p, %zu) would replace bmem's space; refused, this is said once",
		    program_invocation_short_name, (int)getpid(), call, addr,
		    len);
	return true;
}

static void *map(void *addr, size_t len, int prot, int flags, int fd, off_t at,
		 const void *ret)
{
	if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE) &&
	    forbidden("mmap", addr, len, ret)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, at);
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t at)
{
	return map(addr, len, prot, flags, fd, at, __builtin_return_address(0));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t at)
{
	return map(addr, len, prot, flags, fd, at, __builtin_return_address(0));
}

EXPORT int munmap(void *addr, size_t len)
{
	if (forbidden("munmap", addr, len, __builtin_return_address(0))) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_munmap, addr, len);
}

EXPORT void *mremap(void *addr, size_t old, size_t len, int flags, ...)
{
	const void *ret = __builtin_return_address(0);
	void *to = NULL;
	va_list args;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(args, flags);
		to = va_arg(args, void *);
		va_end(args);
	}
	if (forbidden("mremap", addr, old, ret) ||
	    (flags & MREMAP_FIXED && forbidden("mremap", to, len, ret))) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mremap, addr, old, len, flags, to);
}
