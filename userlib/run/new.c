// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * C++'s operator new and delete, by their names in the object files.
 *
 * Those of the C++ library call malloc(), and all blocks would seem to come from
 * there.  So what is for bmem is taken here, for who called; all else, with new
 * handlers and exceptions, is left to the operators behind these.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))
#define CALLER	__builtin_return_address(0)

/* ISO C has no cast from data to function. */
#define NEXT(function, name) do {					\
	void *at_ = atomic_load_explicit(&(function), memory_order_acquire); \
	if (unlikely(!at_)) {						\
		at_ = dlsym(RTLD_NEXT, name);				\
		atomic_store_explicit(&(function), at_,			\
				      memory_order_release);		\
	}								\
	memcpy(&call, &at_, sizeof(call));				\
} while (0)

/*
 * An operator that is asked for a size, and for an alignment or what says that
 * it does not throw.  A program without a C++ library calls none of them.
 */
#define NEW(name, parameters, arguments, align)				\
	EXPORT void *name parameters;					\
	EXPORT void *name parameters					\
	{								\
		static _Atomic(void *) found;				\
		void *(*call) parameters;				\
		void *p = new_here(size, align, CALLER);		\
									\
		if (p)							\
			return p;					\
		NEXT(found, #name);					\
		return call ? call arguments : malloc(size);		\
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
