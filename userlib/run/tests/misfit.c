// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A program for tests of bmem-run: does what it is told, and says how it went.
 *
 * misfit library FILE    loads a library for itself alone, calls newer() in it
 * misfit leak N BYTES    never frees N blocks
 * misfit deep BYTES      the same of four larger ones, in functions with long
 *			  names
 * misfit fill N BYTES    keeps N blocks, all written to; prints how many it got
 * misfit daemon FILE     becomes a daemon with a block in hand; writes to FILE
 * misfit twice           frees a block twice
 * misfit other FILE      has a block and, where standard error was, a file
 * misfit quiet BYTES     closes all descriptors with a block in hand, then ends
 * misfit killed BYTES    gets a block, then kills itself
 * misfit hasty BYTES     gets a block, then ends without exit()
 * misfit crash BYTES     gets a block, then ends without exit() in a handler of
 *			  SIGSEGV, on the least stack there is
 * misfit grows BYTES     ends while a thread has more each moment, from many places
 * misfit quick BYTES     gets a block, then ends by quick_exit()
 * misfit cancelled BYTES gets a block in a thread that was cancelled
 * misfit forks BYTES     forks three children with a block each: one is killed,
 *			  one ends by _exit(), one by exit()
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline))
void *leak_here(size_t size);

/* Exported, so that its name is known. */
__attribute__((noinline))
void *leak_here(size_t size)
{
	char *p = malloc(size);

	if (p)
		memset(p, 1, size);
	return p;
}

/* As templates have them, one below the other. */
#define LONG(n)	a_name_of_a_function_that_is_as_long_as_one_from_a_template_of_a_type_in_a_name_space_of_a_library_for_tensors_that_are_multiplied_##n
#define LINK(n, next)							\
	void *LONG(n)(size_t size);					\
	__attribute__((noinline)) void *LONG(n)(size_t size)		\
	{								\
		void *volatile p = next(size);				\
									\
		return p;						\
	}
#define CHAIN(n)	LINK(n##1, leak_here) LINK(n##2, LONG(n##1)) \
			LINK(n##3, LONG(n##2)) LINK(n##4, LONG(n##3))

CHAIN(1)
CHAIN(2)
CHAIN(3)

/* Of a place that is new, the first block has no whole stack. */
static int deep(size_t size)
{
	return !LONG(14)(size) || !LONG(14)(2 * size) ||
	       !LONG(24)(2 * size) || !LONG(34)(2 * size);
}

static int fill(int n, size_t size)
{
	int i, got = 0;

	for (i = 0; i < n; i++)
		got += leak_here(size) != NULL;
	printf("got %d of %d\n", got, n);
	return 0;
}

static int as_daemon(const char *path)
{
	char *p = malloc(300000);
	FILE *f;
	int fd;

	if (!p)
		return 1;
	memset(p, 7, 300000);
	if (daemon(0, 0))
		return 1;
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	p = realloc(p, 900000);
	f = fopen(path, "w");
	if (!f)
		return 1;
	fprintf(f, "%s\n", p && p[0] == 7 && p[299999] == 7 ? "whole" : "lost");
	free(p);
	return fclose(f);
}

static int other(const char *path)
{
	if (!leak_here(1000000) || close(2) ||
	    open(path, O_RDWR | O_CREAT | O_TRUNC, 0666) != 2)
		return 1;
	return write(2, "content\n", 8) != 8;
}

static void on_crash(int sig)
{
	_exit(sig);
}

/* What lies below the handler's stack cannot be written to. */
static int crash(void)
{
	struct sigaction sa = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK };
	size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ);
	size_t len = (size + 4095) & ~4095UL;
	char *low = mmap(NULL, 4096 + len, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t st = { .ss_sp = low + 4096, .ss_size = len };

	if (low == MAP_FAILED || mprotect(low + 4096, len, PROT_READ | PROT_WRITE) ||
	    sigaltstack(&st, NULL) || sigaction(SIGSEGV, &sa, NULL))
		return 1;
	*(volatile char *)low = 1;
	return 1;
}

static _Atomic bool growing;

#define TEN(statement)	statement statement statement statement statement \
			statement statement statement statement statement

/* All of it is looked at when there is an eighth more than before. */
static void *grow(void *arg)
{
	size_t size = *(size_t *)arg, live = 0;
	void *volatile p;

	TEN(TEN(TEN(p = malloc(size); live += size;)))
	atomic_store(&growing, true);
	do {
		p = malloc(live / 6);
		live += live / 6;
	} while (p);
	return arg;
}

static int grows(size_t size)
{
	pthread_t t;

	if (pthread_create(&t, NULL, grow, &size))
		return 1;
	while (!atomic_load(&growing))
		;
	exit(0);
}

static void child(unsigned int how, size_t size)
{
	if (!leak_here(size))
		abort();
	if (how == 0)
		raise(SIGKILL);
	if (how == 1)
		_exit(0);
	exit(0);
}

static int forks(size_t size)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid)
			child(i, size);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

/* What begins with one block of so many bytes. */
static int with_block(const char *what, size_t size)
{
	if (!strcmp(what, "forks"))
		return forks(size);
	if (!strcmp(what, "deep"))
		return deep(size);
	if (!strcmp(what, "grows"))
		return grows(size);
	if (!leak_here(size))
		return 1;
	if (!strcmp(what, "quiet"))
		return close_range(0, ~0U, 0);
	if (!strcmp(what, "killed"))
		raise(SIGKILL);
	if (!strcmp(what, "crash"))
		return crash();
	if (!strcmp(what, "hasty"))
		_exit(0);
	if (!strcmp(what, "quick"))
		quick_exit(0);
	return 2;
}

static int library(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*newer)(void) = NULL;

	if (handle)
		*(void **)&newer = dlsym(handle, "newer");
	return newer ? newer() : 1;
}

static void *leak_cancelled(void *arg)
{
	size_t *size = arg;

	pthread_cancel(pthread_self());
	if (leak_here(*size))
		*size = 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return NULL;
}

static int cancelled(size_t size)
{
	pthread_t t;

	if (pthread_create(&t, NULL, leak_cancelled, &size))
		return 1;
	pthread_join(t, NULL);
	return size ? 2 : 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	void *volatile p;

	if (!strcmp(what, "leak") && argc > 3) {
		for (int i = 0; i < atoi(argv[2]); i++)
			leak_here(strtoul(argv[3], NULL, 10));
		return 0;
	}
	if (!strcmp(what, "fill") && argc > 3)
		return fill(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	if (!strcmp(what, "library") && argc > 2)
		return library(argv[2]);
	if (!strcmp(what, "other") && argc > 2)
		return other(argv[2]);
	if (!strcmp(what, "daemon") && argc > 2)
		return as_daemon(argv[2]);
	if (!strcmp(what, "cancelled") && argc > 2)
		return cancelled(strtoul(argv[2], NULL, 10));
	if (!strcmp(what, "twice")) {
		p = malloc(100000);
		free(p);
		free(p);
		return 0;
	}
	return argc > 2 ? with_block(what, strtoul(argv[2], NULL, 10)) : 2;
}
