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
 * It is the same for all of the operators, since what one has allocated another
 * frees; and it is found out when the process begins: dlsym() waits for the lock
 * which dlopen() holds while it runs constructors, and a constructor may wait for
 * a thread that is in here.
 *
 * A program may have operators of its own, which come before these: mostly not
 * all forms, since those of the C++ library call one another.  Then all is left
 * to these, which get to the program's.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))
#define CALLER	__builtin_return_address(0)

#define OPERATORS(each)							\
	each(_Znwm)							\
	each(_Znam)							\
	each(_ZnwmRKSt9nothrow_t)					\
	each(_ZnamRKSt9nothrow_t)					\
	each(_ZnwmSt11align_val_t)					\
	each(_ZnamSt11align_val_t)					\
	each(_ZnwmSt11align_val_tRKSt9nothrow_t)			\
	each(_ZnamSt11align_val_tRKSt9nothrow_t)			\
	each(_ZdlPv)							\
	each(_ZdaPv)							\
	each(_ZdlPvm)							\
	each(_ZdaPvm)							\
	each(_ZdlPvRKSt9nothrow_t)					\
	each(_ZdaPvRKSt9nothrow_t)					\
	each(_ZdlPvSt11align_val_t)					\
	each(_ZdaPvSt11align_val_t)					\
	each(_ZdlPvmSt11align_val_t)					\
	each(_ZdaPvmSt11align_val_t)					\
	each(_ZdlPvSt11align_val_tRKSt9nothrow_t)			\
	each(_ZdaPvSt11align_val_tRKSt9nothrow_t)

#define NUMBER(name)	AT##name,
enum { OPERATORS(NUMBER) NR };

static const char * const names[NR] = {
#define NAME(name)	[AT##name] = #name,
	OPERATORS(NAME)
};

/* What they throw; where that is not, they are not, and need no search. */
extern const char _ZTISt9bad_alloc[] __attribute__((weak));

/* Those behind these; NULL for what is not there. */
static void *behind[NR];

/* By now @behind is known; and the program has none of its own. */
static _Atomic bool looked, alone;

static bool is_alone(void);

/* Another thread that is in here writes the same words. */
static __attribute__((noinline)) void look(void)
{
	int i;

	atomic_store(&alone, is_alone());
	for (i = 0; _ZTISt9bad_alloc && i < NR; i++)
		behind[i] = dlsym(RTLD_NEXT, names[i]);
	/* That one is missing is no error of the program's. */
	if (_ZTISt9bad_alloc)
		(void)dlerror();
	atomic_store_explicit(&looked, true, memory_order_release);
}

static inline void look_once(void)
{
	if (unlikely(!atomic_load_explicit(&looked, memory_order_acquire)))
		look();
}

__attribute__((constructor))
static void begin(void)
{
	look_once();
}

static void *look_in(const char *library, const char *name)
{
	void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD), *at;

	if (!handle)
		return NULL;
	at = dlsym(handle, name);
	dlclose(handle);
	return at;
}

/*
 * For those who fail: of the C++ library that is there for some alone, or that a
 * library has within itself.
 */
static void *find_hidden(const char *name, const void *caller)
{
	struct link_map *map;
	Dl_info info;
	void *at = NULL;

	if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP))
		at = look_in(map->l_name, name);
	return at ? at : look_in("libstdc++.so.6", name);
}

static void *get(size_t size, size_t align)
{
	return align ? aligned_alloc(align, size) : malloc(size);
}

/*
 * An operator that is asked for a size, and for an alignment or what says that
 * it does not throw.  ISO C has no cast from data to function.
 */
#define NEW(name, parameters, arguments, align)				\
	EXPORT void *name parameters;					\
	EXPORT void *name parameters					\
	{								\
		void *(*call) parameters;				\
		void *p = NULL, *at;					\
									\
		look_once();						\
		if (likely(atomic_load_explicit(&alone,			\
						memory_order_relaxed)))	\
			p = new_here(size, align, CALLER);		\
		if (p)							\
			return p;					\
		memcpy(&call, &behind[AT##name], sizeof(call));		\
		if (call)						\
			return call arguments;				\
		p = get(size, align);					\
		if (likely(p))						\
			return p;					\
		at = find_hidden(#name, CALLER);			\
		memcpy(&call, &at, sizeof(call));			\
		return call ? call arguments : NULL;			\
	}

#define DELETE(name, parameters, arguments)				\
	EXPORT void name parameters;					\
	EXPORT void name parameters					\
	{								\
		void (*call) parameters;				\
									\
		look_once();						\
		memcpy(&call, &behind[AT##name], sizeof(call));		\
		if (!call || (owned(ptr) &&				\
			      atomic_load_explicit(&alone,		\
						   memory_order_relaxed))) \
			free(ptr);					\
		else							\
			call arguments;					\
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

/* The same under names that nobody else has. */
#define OWN(name)							\
	extern __typeof__(name) own##name				\
		__attribute__((alias(#name), visibility("hidden")));
OPERATORS(OWN)

typedef void (*function)(void);

/* Do all forms by their names, which the linker has looked up, lead here? */
static bool is_alone(void)
{
#define IS_OWN(name)	(function)name == (function)own##name &&
	return OPERATORS(IS_OWN) true;
}
