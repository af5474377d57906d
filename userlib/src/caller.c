// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who says where an interpreter is.
 */
#include <stdlib.h>
#include <string.h>

#include "caller.h"

_Atomic bmem_caller_fn caller_hook;

/* Somebody has decided, be it for none. */
static atomic_bool decided;

void bmem_set_caller(bmem_caller_fn fn)
{
	atomic_store(&decided, true);
	atomic_store(&caller_hook, fn);
}

/**
 * caller_name() - what people call the place where the thread is
 * @name: out, empty where that is not known
 * @len: its length, 1 or more
 */
void caller_name(char *name, size_t len)
{
	bmem_caller_fn fn = atomic_load(&caller_hook);
	int saved = errno;

	name[0] = '\0';
	if (fn && !fn(name, len))
		name[0] = '\0';
	name[len - 1] = '\0';
	errno = saved;
}

/**
 * caller_look() - ask the interpreter that this process has, if it has one
 *
 * Once a process, unless the program has chosen for itself.
 */
void caller_look(void)
{
	const char *env;

	if (atomic_exchange(&decided, true))
		return;
	env = secure_getenv("BMEM_PYTHON");
	if (env && !strcmp(env, "off"))
		return;
	if (python_here())
		atomic_store(&caller_hook, python_caller);
}
