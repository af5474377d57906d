// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Counts the large blocks of a program, for comparison: a preload library that
 * goes in front of all others and passes everything on.
 *
 * From COUNT_THRESHOLD bytes on, blocks are entered by address and size as they
 * were asked for.  Knows nothing of bmem.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define SLOTS (1U << 20)
#define GONE ((uintptr_t)1)

static struct {
	uintptr_t ptr;
	size_t size;
} table[SLOTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t threshold = 64 << 10;
static uint64_t blocks, bytes, peak, total;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void *(*next_aligned_alloc)(size_t, size_t);
static void *(*next_memalign)(size_t, size_t);

/* What dlsym() asks for before it has answered. */
static char early[64 << 10] __attribute__((aligned(64)));
static size_t early_used;

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void *early_alloc(size_t size)
{
	void *p = early + early_used;

	size = (size + 63) & ~(size_t)63;
	if (size > sizeof(early) - early_used)
		abort();
	early_used += size;
	return p;
}

static void look_up(void)
{
	static __thread bool inside;
	const char *env = getenv("COUNT_THRESHOLD");

	if (inside)
		return;
	inside = true;
	if (env)
		threshold = strtoull(env, NULL, 0);
	*(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next_free = dlsym(RTLD_NEXT, "free");
	*(void **)&next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&next_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	*(void **)&next_memalign = dlsym(RTLD_NEXT, "memalign");
	*(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
	inside = false;
}

static bool ready(void)
{
	if (!next_malloc)
		look_up();
	return next_malloc;
}

static uint32_t slot_of(uintptr_t p)
{
	return (uint32_t)(p * 0x9e3779b97f4a7c15ULL >> 44) % SLOTS;
}

static void enter(const void *p, size_t size)
{
	uint32_t at = slot_of((uintptr_t)p);

	if (!p || size < threshold)
		return;
	pthread_mutex_lock(&lock);
	while (table[at].ptr > GONE)
		at = (at + 1) % SLOTS;
	table[at].ptr = (uintptr_t)p;
	table[at].size = size;
	blocks++;
	total++;
	bytes += size;
	if (bytes > peak)
		peak = bytes;
	pthread_mutex_unlock(&lock);
}

static bool entered(const void *p)
{
	uint32_t at = slot_of((uintptr_t)p);
	bool is;

	pthread_mutex_lock(&lock);
	while (table[at].ptr && table[at].ptr != (uintptr_t)p)
		at = (at + 1) % SLOTS;
	is = table[at].ptr;
	pthread_mutex_unlock(&lock);
	return is;
}

/* Before it goes: another thread may get the same address at once. */
static size_t leave(const void *p)
{
	uint32_t at = slot_of((uintptr_t)p);
	size_t size = 0;

	if (!p)
		return 0;
	pthread_mutex_lock(&lock);
	while (table[at].ptr && table[at].ptr != (uintptr_t)p)
		at = (at + 1) % SLOTS;
	if (table[at].ptr) {
		table[at].ptr = GONE;
		size = table[at].size;
		blocks--;
		bytes -= size;
	}
	pthread_mutex_unlock(&lock);
	return size;
}

EXPORT void *malloc(size_t size)
{
	void *p = ready() ? next_malloc(size) : early_alloc(size);

	enter(p, size);
	return p;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	void *p = ready() ? next_calloc(nr, size) : early_alloc(nr * size);

	enter(p, nr * size);
	return p;
}

EXPORT void free(void *ptr)
{
	if (!ptr || is_early(ptr) || !ready())
		return;
	(void)leave(ptr);
	next_free(ptr);
}

EXPORT void *realloc(void *ptr, size_t size)
{
	size_t had;
	void *p;

	if (is_early(ptr)) {
		p = malloc(size);
		if (p)
			memcpy(p, ptr, size);
		return p;
	}
	if (!ready())
		return early_alloc(size);
	had = leave(ptr);
	p = next_realloc(ptr, size);
	if (p)
		enter(p, size);
	else if (size)
		enter(ptr, had);
	return p;
}

EXPORT int posix_memalign(void **ptr, size_t align, size_t size)
{
	int ret = ready() ? next_posix_memalign(ptr, align, size) : ENOMEM;

	if (!ret)
		enter(*ptr, size);
	return ret;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *p = ready() ? next_aligned_alloc(align, size) : NULL;

	enter(p, size);
	return p;
}

EXPORT void *memalign(size_t align, size_t size)
{
	void *p = ready() ? next_memalign(align, size) : NULL;

	enter(p, size);
	return p;
}

EXPORT void *reallocarray(void *ptr, size_t nr, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(nr, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(ptr, all);
}

/*
 * C++'s operators new: what they answer has come through malloc() above, or has
 * not, as those behind see fit.  The operators delete end in free().
 */
#define NEW(name, parameters, arguments)				\
	EXPORT void *name parameters;					\
	EXPORT void *name parameters					\
	{								\
		static void *(*next) parameters;			\
		void *p;						\
									\
		if (!next)						\
			*(void **)&next = dlsym(RTLD_NEXT, #name);	\
		p = next arguments;					\
		if (p && size >= threshold && !entered(p))		\
			enter(p, size);					\
		return p;						\
	}

NEW(_Znwm, (size_t size), (size))
NEW(_Znam, (size_t size), (size))
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), (size, tag))
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), (size, tag))
NEW(_ZnwmSt11align_val_t, (size_t size, size_t align), (size, align))
NEW(_ZnamSt11align_val_t, (size_t size, size_t align), (size, align))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t,
    (size_t size, size_t align, const void *tag), (size, align, tag))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t,
    (size_t size, size_t align, const void *tag), (size, align, tag))

/* The allocating thread may be interrupted by fork(). */
static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor))
static void begin(void)
{
	(void)ready();
	pthread_atfork(before_fork, after_fork, after_fork);
}

/**
 * count_look() - what is there
 * @now: out: live blocks, their bytes, most bytes so far, blocks so far
 */
EXPORT void count_look(uint64_t now[4])
{
	pthread_mutex_lock(&lock);
	now[0] = blocks;
	now[1] = bytes;
	now[2] = peak;
	now[3] = total;
	pthread_mutex_unlock(&lock);
}
