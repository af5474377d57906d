// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The process's one client: what bmem-run wants of it, when it is opened, and
 * what becomes of requests that it cannot serve.
 *
 * It is opened when the first block of the threshold's size is asked for, so
 * that a program that never does costs nothing.  While one thread opens it the
 * others are served by libc; nobody waits.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "preload.h"
#include "run.h"

#define THRESHOLD_DEFAULT	(64 * 1024)

/*
 * UNREAD, then CLOSED or OFF once somebody was READING what bmem-run wants;
 * then OPEN or OFF once somebody was OPENING the client.
 */
enum {
	UNREAD,
	READING,
	CLOSED,
	OPENING,
	OPEN,
	OFF,
};

struct run run;
__thread struct thread self;

_Static_assert(UNREAD == 0, "what a process begins with");

static void turn_off(const char *why)
{
	atomic_store(&run.off, why);
	atomic_store(&run.threshold, SIZE_MAX);
	atomic_store(&run.state, OFF);
}

static bool env_is(const char *name, const char *value)
{
	const char *env = getenv(name);

	return env && !strcmp(env, value);
}

/* A number that bmem-run wrote; anything else is as good as nothing. */
static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *env = getenv(name);
	char *end;
	uint64_t n;
	int saved = errno;

	if (!env || *env < '0' || *env > '9')
		return otherwise;
	n = strtoull(env, &end, 10);
	errno = saved;
	return *end ? otherwise : n;
}

static void read_wishes(void)
{
	const char *report = getenv(RUN_REPORT);
	uint64_t owner = env_number(RUN_PID, 0);

	run.pid = getpid();
	say_set_up();
	run.full_fails = env_is(RUN_FULL, "fail");
	run.verbose = env_is("BMEM_VERBOSE", "1");
	run.main = owner == (uint64_t)run.pid;
	report_set_up(report ? report : "exit");
	tree_set_up(owner);
	atomic_store(&run.threshold,
		     env_number(RUN_THRESHOLD, THRESHOLD_DEFAULT));
}

/* Once a process; before the C library has an environment there is no hurry. */
static void read_once(void)
{
	int unread = UNREAD;

	if (!environ ||
	    !atomic_compare_exchange_strong(&run.state, &unread, READING))
		return;
	if (getauxval(AT_SECURE)) {
		turn_off("has rights of its own");
		return;
	}
	read_wishes();
	atomic_store(&run.state, CLOSED);
}

static int open_now(struct bmem_client **c)
{
	const char *label = getenv(RUN_LABEL);
	struct bmem_options o = {
		.sz = sizeof(o),
		.pool = (uint32_t)env_number(RUN_POOL, BMEM_POOL_DEFAULT),
		.label = label && *label ? label : NULL,
		.flags = BMEM_OPEN_QUIET | BMEM_OPEN_PRIVATE,
	};

	space_set_up();
	return bmem_open(c, &o);
}

static void tell_open(const struct bmem_client *c)
{
	TEXT(t, 32);

	if (!run.verbose)
		return;
	text_size(&t, atomic_load(&run.threshold));
	say("active in %s (pid %d): %s backend, blocks of %s and more",
	    program_invocation_short_name, (int)getpid(), bmem_backend_name(c),
	    t.at);
}

/*
 * From when libbmem has got ready for fork() to when that is over it cannot be
 * called by the thread that forks, which may allocate: others have to get ready
 * as well. These run just outside of libbmem's, since they are registered later.
 */
static void before_fork(void)
{
	self.inside++;
}

static void after_fork(void)
{
	self.inside--;
}

/**
 * client_open() - open the client, if that is to be and nobody does already
 *
 * The caller is inside.  Keeps errno.
 *
 * Return: the client, or NULL: the request is for libc.
 */
struct bmem_client *client_open(void)
{
	int saved = errno, closed = CLOSED, state, ret;
	struct bmem_client *c = NULL;
	size_t len;
	void *base;

	if (!atomic_compare_exchange_strong(&run.state, &closed, OPENING))
		return NULL;
	if (!malloc_is_here()) {
		turn_off("has an allocator of its own");
		if (run.verbose)
			say("%s (pid %d) has an allocator of its own, and goes on without bmem",
			    program_invocation_short_name, (int)getpid());
		errno = saved;
		return NULL;
	}
	/* A thread that was cancelled does not end in malloc(). */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	ret = open_now(&c);
	pthread_setcancelstate(state, NULL);
	if (ret) {
		turn_off("could not open bmem");
		say("%s (pid %d) goes on without bmem: %s",
		    program_invocation_short_name, (int)getpid(),
		    bmem_strerror(ret));
	} else {
		pthread_atfork(before_fork, after_fork, after_fork);
		base = bmem_space(c, &len);
		atomic_store(&run.base, (uintptr_t)base);
		atomic_store_explicit(&run.len, len, memory_order_release);
		atomic_store_explicit(&run.client, c, memory_order_release);
		atomic_store(&run.state, OPEN);
		tell_open(c);
	}
	errno = saved;
	return c;
}

/**
 * client_wants() - is a request for bmem?
 * @size: in bytes
 *
 * Return: true if it is to be tried.
 */
bool client_wants(size_t size)
{
	if (unlikely(atomic_load_explicit(&run.state, memory_order_relaxed) <
		     CLOSED))
		read_once();
	return atomic_load_explicit(&run.state, memory_order_relaxed) >=
	       CLOSED && size >= atomic_load(&run.threshold);
}

static bool is_full(int err)
{
	return err == ENOMEM || err == ENOSPC || err == EFBIG;
}

static void tell_full(size_t size, int err)
{
	TEXT(t, 32);

	text_size(&t, size);
	say("%s (pid %d): no room for %s: %s", program_invocation_short_name,
	    (int)getpid(), t.at, bmem_strerror(err));
	say("%s; this is said once", run.full_fails ?
	    "such requests fail (--full fail)" :
	    "such requests go to libc (--full libc)");
}

static void lose(int err)
{
	if (atomic_exchange(&run.lost, true))
		return;
	atomic_store(&run.threshold, SIZE_MAX);
	say("%s (pid %d) has closed bmem's file descriptor (%s): from now on all goes to libc",
	    program_invocation_short_name, (int)getpid(), strerrordesc_np(err));
}

/**
 * client_failed() - bmem could not serve a request
 * @size: of the request
 * @err: errno of bmem_alloc()
 *
 * Return: true if the request is to fail, false if it is for libc.
 */
bool client_failed(size_t size, int err)
{
	static _Atomic bool told;

	if (!is_full(err)) {
		if (err != EINVAL)
			lose(err);
		return false;
	}
	/* What is more than there can ever be is asked to see it fail. */
	if (err != EFBIG && !atomic_exchange(&told, true))
		tell_full(size, err);
	if (run.full_fails) {
		atomic_fetch_add(&run.refused, 1);
		return true;
	}
	atomic_fetch_add(&run.missed, 1);
	atomic_fetch_add(&run.missed_bytes, size);
	return false;
}

/**
 * client_misuse() - a pointer into bmem's space could not be freed
 * @function: what the program called
 * @ptr: with what
 * @err: errno
 *
 * As with malloc(), a program that frees what it does not have is ended.
 */
void client_misuse(const char *function, const void *ptr, int err)
{
	if (err != EINVAL && err != ENOENT) {
		lose(err);
		return;
	}
	say("%s (pid %d): %s(%p): not a live block; freed twice?",
	    program_invocation_short_name, (int)getpid(), function, ptr);
	abort();
}

/* The thread that was in the middle of it is not in the child. */
static void in_child(void)
{
	int opening = OPENING;

	/* It looks at once, so that it is known before it is killed, say. */
	self.left = 0;
	atomic_compare_exchange_strong(&run.state, &opening, CLOSED);
}

__attribute__((constructor))
static void begin(void)
{
	read_once();
	pthread_atfork(NULL, NULL, in_child);
	if (!run.verbose || atomic_load(&run.state) != CLOSED)
		return;
	self.inside++;
	(void)client_open();
	self.inside--;
}

__attribute__((visibility("default")))
struct bmem_client *bmem_run_client(void);

/**
 * bmem_run_client() - the client behind malloc(), for whoever asks by name
 *
 * Return: the client, opened now if need be; NULL where there is none.
 */
struct bmem_client *bmem_run_client(void)
{
	struct bmem_client *c;

	read_once();
	self.inside++;
	c = client_get();
	self.inside--;
	return c;
}
