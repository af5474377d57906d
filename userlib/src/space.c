// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Address space for a client's space: how much, and where.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "internal.h"

/**
 * space_share() - leave room for the rest of the process
 * @len: bytes of address space wanted
 * @part: how small a part of what RLIMIT_AS allows is meant
 *
 * Return: @len, or if RLIMIT_AS is set no more than the largest power of two
 * in one @part-th of it.
 */
uint64_t space_share(uint64_t len, uint32_t part)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_AS, &lim) && lim.rlim_cur != RLIM_INFINITY &&
	    len > lim.rlim_cur / part)
		len = pow2_below(lim.rlim_cur / part | 1);
	return len;
}

/**
 * space_bound() - how much of a space to map
 * @len: in, bytes of address space wanted; out, if RLIMIT_AS is set no more
 *	than the largest power of two in half of it
 *
 * Return: 0, or -ENOMEM when that is less than one huge page.
 */
int space_bound(uint64_t *len)
{
	*len = space_share(*len, 2);
	return *len < BMEM_HUGE_SIZE ? -ENOMEM : 0;
}

static bool is_huge_aligned(const void *p)
{
	return !((uintptr_t)p % BMEM_HUGE_SIZE);
}

static char *map_at(void *where, int fd, size_t len, int flags)
{
	void *p;

	flags |= MAP_NORESERVE;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	p = mmap(where, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p != MAP_FAILED)
		return p;
	/* What valgrind answers when it has no room; the kernel has no cause. */
	if (errno == EINVAL)
		errno = ENOMEM;
	return NULL;
}

/* Reserve enough to hold an aligned range, and put the mapping inside. */
static char *map_aligned(int fd, size_t len, int flags)
{
	size_t room = len + BMEM_HUGE_SIZE;
	char *hole = mmap(NULL, room, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;
	char *p;
	int err;

	if (hole == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)hole % BMEM_HUGE_SIZE;
	p = map_at(hole + head, fd, len, flags | MAP_FIXED);
	if (!p) {
		err = errno;
		munmap(hole, room);
		errno = err;
		return NULL;
	}
	if (head)
		munmap(hole, head);
	munmap(p + len, BMEM_HUGE_SIZE - head);
	return p;
}

/**
 * space_map() - map a space
 * @fd: what to map from its beginning, or -1 for anonymous memory
 * @len: how much, a multiple of %BMEM_HUGE_SIZE
 * @flags: MAP_SHARED or MAP_PRIVATE
 *
 * Alignments up to %BMEM_ALIGN_MAX are those of offsets, so the address has to
 * be a multiple of it.  Kernels see to that for huge pages, as a rule.
 *
 * Return: the address, or NULL and errno.
 */
char *space_map(int fd, size_t len, int flags)
{
	char *p = map_at(NULL, fd, len, flags);

	if (!p || is_huge_aligned(p))
		return p;
	munmap(p, len);
	return map_aligned(fd, len, flags);
}
