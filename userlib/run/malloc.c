// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * malloc() and its family.
 *
 * Whose a block is shows in its address.  A block is the next malloc()'s where
 * it is below the threshold, where the thread is in libbmem already, and where
 * bmem has no room.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))
/*
 * Functions that the program calls leave the frame pointer alone and go on in
 * one that may use it: what that finds there is the program's.
 */
#define CALLER	__builtin_return_address(0)
#define FRAME	__builtin_frame_address(0)

/* A request that fails, where NULL is one that is for the next malloc(). */
#define REFUSED	((void *)-1)

static inline bool small(size_t size)
{
	return size < atomic_load_explicit(&run.threshold,
					   memory_order_relaxed);
}

/* @more: who asks does so once more where this fails, and that counts. */
static inline __attribute__((always_inline))
void *ask(size_t size, size_t align, unsigned int flags, const void *ret,
	  const void *frame, bool more)
{
	int saved = errno;
	struct bmem_client *c;
	void *p = NULL;

	if (unlikely(self.inside)) {
		self.asked = true;
		return NULL;
	}
	if (size > PTRDIFF_MAX || !client_wants(size))
		return NULL;
	self.inside++;
	c = client_get();
	if (likely(c)) {
		p = bmem_alloc_from(c, size ? size : 1, align, flags, NULL, ret,
				    frame);
		if (unlikely(!p) && !more && client_failed(size, errno))
			p = REFUSED;
	}
	self.left -= (int64_t)size;
	if (unlikely(self.left < 0))
		report_look();
	self.inside--;
	errno = p == REFUSED ? ENOMEM : saved;
	return p;
}

static __attribute__((noinline))
void *serve(size_t size, size_t align, unsigned int flags, const void *ret,
	    const void *frame)
{
	return ask(size, align, flags, ret, frame, false);
}

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static void *copied(void *to, const void *from, size_t had, size_t size)
{
	memcpy(to, from, had < size ? had : size);
	return to;
}

static void give_back_one(const char *function, void *ptr)
{
	int saved = errno, ret;

	self.inside++;
	ret = bmem_free(atomic_load(&run.client), ptr);
	self.inside--;
	errno = saved;
	if (unlikely(ret))
		client_misuse(function, ptr, -ret);
}

/*
 * One of the blocks that wait, or NULL.  A signal handler may give all of them
 * back before this has begun; from then on it only adds: where there are as many
 * as before, the last one is still that.
 */
static void *take_later(void)
{
	void *ptr = NULL;
	unsigned int nr;

	self.inside++;
	atomic_signal_fence(memory_order_seq_cst);
	nr = __atomic_load_n(&self.nr_later, __ATOMIC_RELAXED);
	while (nr) {
		ptr = __atomic_load_n(&self.later[nr - 1], __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(&self.nr_later, &nr, nr - 1,
						false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			break;
	}
	atomic_signal_fence(memory_order_seq_cst);
	self.inside--;
	return ptr;
}

/* What was freed while libbmem could not be called. */
static __attribute__((noinline)) void give_back_later(void)
{
	void *ptr;

	while ((ptr = take_later()))
		give_back_one("free", ptr);
}

/* A signal handler may do the same at any time. */
static void keep_for_later(void *ptr)
{
	unsigned int at = __atomic_fetch_add(&self.nr_later, 1,
					     __ATOMIC_RELAXED);

	if (at < LATER_MAX)
		self.later[at] = ptr;
	else
		__atomic_fetch_sub(&self.nr_later, 1, __ATOMIC_RELAXED);
}

static void give_back(const char *function, void *ptr)
{
	if (unlikely(self.inside)) {
		keep_for_later(ptr);
		return;
	}
	give_back_one(function, ptr);
	if (unlikely(self.nr_later))
		give_back_later();
}

static inline void pass_on_free(void *ptr)
{
	if (likely(!next_is_early(ptr)))
		next.free(ptr);
}

static __attribute__((noinline))
void *malloc_here(size_t size, const void *ret)
{
	void *p = serve(size, 0, 0, ret, FRAME);

	if (!p)
		return next.malloc(size);
	return p == REFUSED ? NULL : p;
}

EXPORT void *malloc(size_t size)
{
	if (likely(small(size)))
		return next.malloc(size);
	return malloc_here(size, CALLER);
}

static __attribute__((noinline))
void *calloc_here(size_t nr, size_t size, const void *ret)
{
	void *p = serve(nr * size, 0, BMEM_ALLOC_ZERO, ret, FRAME);

	if (!p)
		return next.calloc(nr, size);
	return p == REFUSED ? NULL : p;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	size_t bytes;

	if (unlikely(__builtin_mul_overflow(nr, size, &bytes)))
		return no_memory();
	if (likely(small(bytes)))
		return next.calloc(nr, size);
	return calloc_here(nr, size, CALLER);
}

EXPORT void free(void *ptr)
{
	if (owned(ptr))
		give_back("free", ptr);
	else
		pass_on_free(ptr);
}

EXPORT void free_sized(void *ptr, size_t size);
EXPORT void free_sized(void *ptr, size_t size)
{
	(void)size;
	free(ptr);
}

EXPORT void free_aligned_sized(void *ptr, size_t align, size_t size);
EXPORT void free_aligned_sized(void *ptr, size_t align, size_t size)
{
	(void)align;
	(void)size;
	free(ptr);
}

/* Bytes of a block that the program may use; 0 where nobody knows. */
static size_t usable(void *ptr)
{
	if (!ptr)
		return 0;
	if (owned(ptr))
		return bmem_usable_size(atomic_load(&run.client), ptr);
	if (next_is_early(ptr))
		return early_size(ptr);
	return next.malloc_usable_size(ptr);
}

/* One of ours gets another size, and may become the next malloc()'s. */
static void *resize_owned(void *ptr, size_t size, const void *ret,
			  const void *frame)
{
	size_t had = usable(ptr);
	int err = -ERANGE;
	void *p = NULL;

	if (!self.inside) {
		self.inside++;
		err = bmem_resize(atomic_load(&run.client), ptr, size);
		self.inside--;
	}
	if (!err)
		return ptr;
	if (unlikely(err != -ERANGE))
		client_misuse("realloc", ptr, -err);
	if (!small(size))
		p = serve(size, 0, 0, ret, frame);
	if (!p)
		p = next.malloc(size);
	if (!p || p == REFUSED)
		return NULL;
	copied(p, ptr, had, size);
	give_back("realloc", ptr);
	return p;
}

/* One of the next malloc()'s, which may become ours. */
static void *resize_passed_on(void *ptr, size_t size, const void *ret,
			      const void *frame)
{
	size_t had = small(size) && !next_is_early(ptr) ? 0 : usable(ptr);
	void *p = NULL;

	if (had && !small(size))
		p = serve(size, 0, 0, ret, frame);
	if (p == REFUSED)
		return NULL;
	if (!p && !next_is_early(ptr))
		return next.realloc(ptr, size);
	if (!p)
		p = next.malloc(size);
	if (!p)
		return NULL;
	copied(p, ptr, had, size);
	pass_on_free(ptr);
	return p;
}

static __attribute__((noinline))
void *resize_here(void *ptr, size_t size, const void *ret)
{
	return owned(ptr) ? resize_owned(ptr, size, ret, FRAME) :
			    resize_passed_on(ptr, size, ret, FRAME);
}

static inline __attribute__((always_inline))
void *resize(void *ptr, size_t size, const void *ret)
{
	if (!ptr)
		return likely(small(size)) ? next.malloc(size) :
					     malloc_here(size, ret);
	if (size)
		return resize_here(ptr, size, ret);
	free(ptr);
	return NULL;
}

EXPORT void *realloc(void *ptr, size_t size)
{
	return resize(ptr, size, CALLER);
}

/* Under a name that nobody else has. */
extern __typeof__(realloc) own_realloc
	__attribute__((alias("realloc"), copy(realloc), visibility("hidden")));

/* As the C library's, it is for blocks of whichever realloc() comes first. */
EXPORT void *reallocarray(void *ptr, size_t nr, size_t size)
{
	size_t bytes;

	if (unlikely(__builtin_mul_overflow(nr, size, &bytes)))
		return no_memory();
	if (unlikely(realloc != own_realloc))
		return realloc(ptr, bytes);
	return resize(ptr, bytes, CALLER);
}

/* What bmem can align to; what is no power of two the next one shall judge. */
static inline bool can_align(size_t align)
{
	return align && !(align & (align - 1)) && align <= BMEM_ALIGN_MAX;
}

static inline bool passes_on(size_t align, size_t size)
{
	return small(size) || !can_align(align);
}

/* Less is what every block has. */
static inline size_t own_align(size_t align)
{
	return align < BMEM_ALIGN_MIN ? 0 : align;
}

static inline __attribute__((always_inline))
void *serve_aligned(size_t align, size_t size, const void *ret,
		    const void *frame)
{
	return serve(size, own_align(align), 0, ret, frame);
}

static __attribute__((noinline))
int posix_memalign_here(void **ptr, size_t align, size_t size, const void *ret)
{
	int saved = errno;
	void *p = serve_aligned(align, size, ret, FRAME);

	errno = saved;
	if (!p)
		return next.posix_memalign(ptr, align, size);
	if (p == REFUSED)
		return ENOMEM;
	*ptr = p;
	return 0;
}

EXPORT int posix_memalign(void **ptr, size_t align, size_t size)
{
	if (!align || align & (align - 1) || align % sizeof(void *))
		return EINVAL;
	if (passes_on(align, size))
		return next.posix_memalign(ptr, align, size);
	return posix_memalign_here(ptr, align, size, CALLER);
}

static __attribute__((noinline))
void *memalign_here(size_t align, size_t size, const void *ret)
{
	void *p = serve_aligned(align, size, ret, FRAME);

	if (!p)
		return next.memalign(align, size);
	return p == REFUSED ? NULL : p;
}

EXPORT void *memalign(size_t align, size_t size)
{
	if (passes_on(align, size))
		return next.memalign(align, size);
	return memalign_here(align, size, CALLER);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (passes_on(align, size))
		return next.aligned_alloc(align, size);
	return memalign_here(align, size, CALLER);
}

EXPORT void *valloc(size_t size)
{
	if (small(size))
		return next.valloc(size);
	return memalign_here(BMEM_PAGE_SIZE, size, CALLER);
}

EXPORT void *pvalloc(size_t size)
{
	size_t bytes = (size + BMEM_PAGE_SIZE - 1) &
		       ~(size_t)(BMEM_PAGE_SIZE - 1);

	if (bytes < size || small(bytes))
		return next.pvalloc(size);
	return memalign_here(BMEM_PAGE_SIZE, bytes, CALLER);
}

/**
 * new_here() - what operator new is asked for, if it is for bmem
 * @size: in bytes
 * @align: power of two; 0 for what malloc() has
 * @ret: return address of the operator
 *
 * Operators call each other and malloc() in the end, so what is not served here
 * is only counted there.
 *
 * Return: the block; NULL for whom else it is, also to fail.
 */
__attribute__((noinline))
void *new_here(size_t size, size_t align, const void *ret)
{
	if (small(size) || (align && !can_align(align)))
		return NULL;
	return ask(size, own_align(align), 0, ret, FRAME, true);
}

EXPORT size_t malloc_usable_size(void *ptr)
{
	return usable(ptr);
}

extern __typeof__(malloc) own_malloc
	__attribute__((alias("malloc"), copy(malloc), visibility("hidden")));

/**
 * malloc_is_here() - does a call of malloc() by its name lead here?
 *
 * A library before this one may count blocks and pass them on; an allocator that
 * the program has within itself does not, and must not be given others' blocks
 * to free.  The caller is inside.
 *
 * Return: true if it does.
 */
bool malloc_is_here(void)
{
	if (likely(malloc == own_malloc))
		return true;
	self.asked = false;
	free(malloc(atomic_load(&run.threshold)));
	return self.asked;
}
