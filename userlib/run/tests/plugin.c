// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A library for dlopen(): its constructor waits for a thread that allocates
 * where nobody has before, its destructor frees.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BYTES	200000

static void *of_thread, *of_constructor;

void *plugin_block(void);

static void *work(void *arg)
{
	of_thread = malloc(BYTES);
	if (of_thread)
		memset(of_thread, 1, BYTES);
	return arg;
}

__attribute__((constructor))
static void begin(void)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, work, NULL))
		pthread_join(t, NULL);
	of_constructor = malloc(BYTES);
}

__attribute__((destructor))
static void end(void)
{
	free(of_thread);
	free(of_constructor);
}

void *plugin_block(void)
{
	return of_thread;
}
