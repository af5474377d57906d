// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The malloc() behind this one: the C library's, or that of another allocator
 * that the program is linked with.
 *
 * dlsym() may allocate, and then asks us; it is given a piece of a small buffer,
 * which is never taken back.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "preload.h"

#define EARLY_BYTES	(64 * 1024)
#define EARLY_ALIGN	64

static __thread bool looking __attribute__((tls_model("initial-exec")));

static char early[EARLY_BYTES] __attribute__((aligned(4096)));
static _Atomic size_t early_used;

/**
 * next_is_early() - is a block from before the next malloc() was known?
 * @ptr: any pointer
 *
 * Return: true if it is.
 */
bool next_is_early(const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)early < EARLY_BYTES;
}

/**
 * early_alloc() - a block, while the next malloc() is not known
 * @size: bytes
 * @align: power of two, at most 4096
 *
 * Return: the block, all zero, or NULL when there is no more room.
 */
void *early_alloc(size_t size, size_t align)
{
	size_t at = atomic_load(&early_used), from, to;

	if (align < EARLY_ALIGN)
		align = EARLY_ALIGN;
	if (size > EARLY_BYTES || align > 4096)
		return NULL;
	do {
		/* Its size stands in front of it. */
		from = (at + sizeof(size_t) + align - 1) & ~(align - 1);
		to = from + size;
		if (to > EARLY_BYTES)
			return NULL;
	} while (!atomic_compare_exchange_weak(&early_used, &at, to));
	memcpy(early + from - sizeof(size), &size, sizeof(size));
	return early + from;
}

/**
 * early_size() - size of a block from early_alloc()
 * @ptr: block
 *
 * Return: bytes.
 */
size_t early_size(const void *ptr)
{
	size_t size;

	memcpy(&size, (const char *)ptr - sizeof(size), sizeof(size));
	return size;
}

static void *early_malloc(size_t size)
{
	return early_alloc(size, 0);
}

static void *early_calloc(size_t nr, size_t size)
{
	return size && nr > SIZE_MAX / size ? NULL : early_alloc(nr * size, 0);
}

static void *early_realloc(void *ptr, size_t size)
{
	size_t had = ptr ? early_size(ptr) : 0;
	void *to = early_alloc(size, 0);

	if (to && ptr)
		memcpy(to, ptr, had < size ? had : size);
	return to;
}

static void early_free(void *ptr)
{
	(void)ptr;
}

static void *early_memalign(size_t align, size_t size)
{
	return early_alloc(size, align);
}

/* What dlsym() gets while it is called from here. */
static const struct next while_looking = {
	.malloc = early_malloc,
	.calloc = early_calloc,
	.realloc = early_realloc,
	.free = early_free,
	.aligned_alloc = early_memalign,
	.memalign = early_memalign,
};

static void *no_memalign(size_t align, size_t size)
{
	(void)align;
	(void)size;
	errno = ENOMEM;
	return NULL;
}

static void *no_valloc(size_t size)
{
	(void)size;
	errno = ENOMEM;
	return NULL;
}

static int no_posix_memalign(void **ptr, size_t align, size_t size)
{
	(void)ptr;
	(void)align;
	(void)size;
	return ENOMEM;
}

static size_t no_usable_size(void *ptr)
{
	(void)ptr;
	return 0;
}

/* ISO C has no cast from data to function. */
static void find(void *function, const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	if (at)
		memcpy(function, &at, sizeof(at));
}

static const struct next *look(void)
{
	struct next n = {
		.aligned_alloc = no_memalign,
		.memalign = no_memalign,
		.posix_memalign = no_posix_memalign,
		.valloc = no_valloc,
		.pvalloc = no_valloc,
		.malloc_usable_size = no_usable_size,
	};

	if (looking)
		return &while_looking;
	looking = true;
	find(&n.malloc, "malloc");
	find(&n.calloc, "calloc");
	find(&n.realloc, "realloc");
	find(&n.free, "free");
	find(&n.posix_memalign, "posix_memalign");
	find(&n.aligned_alloc, "aligned_alloc");
	find(&n.memalign, "memalign");
	find(&n.valloc, "valloc");
	find(&n.pvalloc, "pvalloc");
	find(&n.malloc_usable_size, "malloc_usable_size");
	/* Another thread that is in here writes the same words. */
	next = n;
	looking = false;
	return &next;
}

static void *first_malloc(size_t size)
{
	return look()->malloc(size);
}

static void *first_calloc(size_t nr, size_t size)
{
	return look()->calloc(nr, size);
}

static void *first_realloc(void *ptr, size_t size)
{
	return look()->realloc(ptr, size);
}

static void first_free(void *ptr)
{
	look()->free(ptr);
}

static int first_posix_memalign(void **ptr, size_t align, size_t size)
{
	const struct next *n = look();

	return n->posix_memalign ? n->posix_memalign(ptr, align, size) : ENOMEM;
}

static void *first_aligned_alloc(size_t align, size_t size)
{
	return look()->aligned_alloc(align, size);
}

static void *first_memalign(size_t align, size_t size)
{
	return look()->memalign(align, size);
}

static void *first_valloc(size_t size)
{
	const struct next *n = look();

	return n->valloc ? n->valloc(size) : no_valloc(size);
}

static void *first_pvalloc(size_t size)
{
	const struct next *n = look();

	return n->pvalloc ? n->pvalloc(size) : no_valloc(size);
}

static size_t first_usable_size(void *ptr)
{
	const struct next *n = look();

	return n->malloc_usable_size ? n->malloc_usable_size(ptr) : 0;
}

struct next next = {
	.malloc = first_malloc,
	.calloc = first_calloc,
	.realloc = first_realloc,
	.free = first_free,
	.posix_memalign = first_posix_memalign,
	.aligned_alloc = first_aligned_alloc,
	.memalign = first_memalign,
	.valloc = first_valloc,
	.pvalloc = first_pvalloc,
	.malloc_usable_size = first_usable_size,
};
