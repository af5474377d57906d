// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A library for dlopen(): its constructor waits for a thread that is the first
 * of the process to use each of these operators.
 */
#include <new>
#include <pthread.h>

namespace {

struct alignas(128) wide {
	char bytes[128];
};

char *volatile bytes;
wide *volatile aligned;

}

static void *work(void *arg)
{
	bytes = new char[10];
	delete[] bytes;
	bytes = new (std::nothrow) char;
	delete bytes;
	aligned = new wide;
	delete aligned;
	bytes = new char[100000];
	delete[] bytes;
	return arg;
}

__attribute__((constructor))
static void begin()
{
	pthread_t t;

	if (!pthread_create(&t, nullptr, work, nullptr))
		pthread_join(t, nullptr);
}

/* What misfit calls. */
extern "C" int newer();

int newer()
{
	return 0;
}
