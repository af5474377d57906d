// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Structs that say how long they are, memory without malloc(), powers of two.
 *
 * The library may itself stand behind malloc(), so it must not call it on the
 * way to a tensor.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* No struct will ever be this long; a larger size is a wild value. */
#define SIZED_MAX	4096

static bool all_zero(const char *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/**
 * sized_in() - read a struct that the caller may have in another length
 * @to: out, @known bytes; what the caller's struct is too short for becomes 0
 * @known: length that this library knows
 * @from: the caller's struct
 * @size: its length
 * @min: shortest length that makes sense
 *
 * Return: 0; -EINVAL when @size is below @min; -E2BIG when there is something
 * behind what is known that is not 0.
 */
int sized_in(void *to, size_t known, const void *from, size_t size, size_t min)
{
	if (size < min)
		return -EINVAL;
	if (size > SIZED_MAX)
		return -E2BIG;
	if (size > known && !all_zero((const char *)from + known, size - known))
		return -E2BIG;
	if (size < known)
		memset((char *)to + size, 0, known - size);
	memcpy(to, from, size < known ? size : known);
	return 0;
}

/**
 * scratch_get() - memory for the length of a call
 * @bytes: how much
 *
 * Return: zeroed memory for scratch_put(), or NULL.
 */
void *scratch_get(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/**
 * scratch_put() - give it back
 * @scratch: from scratch_get(), or NULL
 * @bytes: as for scratch_get()
 */
void scratch_put(void *scratch, size_t bytes)
{
	if (scratch)
		munmap(scratch, bytes);
}

/**
 * pow2_below() - largest power of two up to @n
 * @n: not 0
 *
 * Return: that power.
 */
uint64_t pow2_below(uint64_t n)
{
	return 1ULL << (63 - __builtin_clzll(n));
}
