// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * C++'s operator new and delete, by their names in the object files.
 *
 * Those of the C++ library call malloc(), and all blocks would seem to come from
 * there.  So what is for bmem is taken here, for who called; all else, with new
 * handlers and exceptions, is left to the operators behind these.
 *
 * There may be none that can be found: a C program, Python say, has the C++
 * library among what it loads later, for these libraries alone.  Then small
 * blocks are malloc()'s, which is where that library's operators would get them.
 * Whether it is so is found out once, for all of the operators alike, since what
 * one has allocated another frees; and looking takes long.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))
#define CALLER	__builtin_return_address(0)

/* What is looked for and is not there. */
#define NONE		((void *)-1)

static void *find(const char *name)
{
	static _Atomic(void *) any;
	void *at = atomic_load(&any);

	if (!at) {
		at = dlsym(RTLD_NEXT, "_Znwm");
		if (!at)
			at = NONE;
		atomic_store(&any, at);
	}
	if (at != NONE)
		at = dlsym(RTLD_NEXT, name);
	return at ? at : NONE;
}

/* For those who fail: of the C++ library that is there for some alone. */
static void *find_hidden(const char *name)
{
	void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);

	return library ? dlsym(library, name) : NULL;
}

static void *get(size_t size, size_t align)
{
	return align ? aligned_alloc(align, size) : malloc(size);
}

/* ISO C has no cast from data to function. */
#define NEXT(function, name) do {					\
	void *at_ = atomic_load_explicit(&(function), memory_order_acquire); \
	if (unlikely(!at_)) {						\
		at_ = find(name);					\
		atomic_store_explicit(&(function), at_,			\
				      memory_order_release);		\
	}								\
	if (at_ == NONE)						\
		at_ = NULL;						\
	memcpy(&call, &at_, sizeof(call));				\
} while (0)

/*
 * An operator that is asked for a size, and for an alignment or what says that
 * it does not throw.
 */
#define NEW(name, parameters, arguments, align)				\
	EXPORT void *name parameters;					\
	EXPORT void *name parameters					\
	{								\
		static _Atomic(void *) found;				\
		void *(*call) parameters;				\
		void *p = new_here(size, align, CALLER), *at;		\
									\
		if (p)							\
			return p;					\
		NEXT(found, #name);					\
		if (call)						\
			return call arguments;				\
		p = get(size, align);					\
		if (likely(p))						\
			return p;					\
		at = find_hidden(#name);				\
		memcpy(&call, &at, sizeof(call));			\
		return call ? call arguments : NULL;			\
	}

#define DELETE(name, parameters, arguments)				\
	EXPORT void name parameters;					\
	EXPORT void name parameters					\
	{								\
		static _Atomic(void *) found;				\
		void (*call) parameters;				\
									\
		if (owned(ptr)) {					\
			free(ptr);					\
			return;						\
		}							\
		NEXT(found, #name);					\
		if (call)						\
			call arguments;					\
		else							\
			free(ptr);					\
	}

NEW(_Znwm, (size_t size), (size), 0)
NEW(_Znam, (size_t size), (size), 0)
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), 0)
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), 0)
NEW(_ZnwmSt11align_val_t, (size_t size, size_t align), (size, align), align)
NEW(_ZnamSt11align_val_t, (size_t size, size_t align), (size, align), align)
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t,
    (size_t size, size_t align, const void *tag), (size, align, tag), align)
NEW(_ZnamSt11align_val_tRKSt9nothrow_t,
    (size_t size, size_t align, const void *tag), (size, align, tag), align)

DELETE(_ZdlPv, (void *ptr), (ptr))
DELETE(_ZdaPv, (void *ptr), (ptr))
DELETE(_ZdlPvm, (void *ptr, size_t size), (ptr, size))
DELETE(_ZdaPvm, (void *ptr, size_t size), (ptr, size))
DELETE(_ZdlPvRKSt9nothrow_t, (void *ptr, const void *tag), (ptr, tag))
DELETE(_ZdaPvRKSt9nothrow_t, (void *ptr, const void *tag), (ptr, tag))
DELETE(_ZdlPvSt11align_val_t, (void *ptr, size_t align), (ptr, align))
DELETE(_ZdaPvSt11align_val_t, (void *ptr, size_t align), (ptr, align))
DELETE(_ZdlPvmSt11align_val_t, (void *ptr, size_t size, size_t align),
       (ptr, size, align))
DELETE(_ZdaPvmSt11align_val_t, (void *ptr, size_t size, size_t align),
       (ptr, size, align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t,
       (void *ptr, size_t align, const void *tag), (ptr, align, tag))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t,
       (void *ptr, size_t align, const void *tag), (ptr, align, tag))
