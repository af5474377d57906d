// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What becomes of a client when its process ends, becomes another program,
 * forks in the middle of everything, or unloads the library.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "child.h"
#include "client.h"

#define FAILED	BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED)

static struct bmem_client *c;
static char *early;
static atomic_uint events;

static void count(struct bmem_client *client, const struct bmem_event *e,
		  void *arg)
{
	(void)client;
	(void)e;
	(void)arg;
	atomic_fetch_add(&events, 1);
}

/* A client with everything that one can have. */
static void furnish(void)
{
	c = client();
	early = bmem_alloc(c, 70000, 0, 0, "early");
	assert_non_null(early);
	memset(early, 5, 70000);
	EQ(bmem_ref(c, early), 0);
	EQ(bmem_on_event(c, FAILED, count, NULL), 0);
	EQ(bmem_events_start(c), 0);
	bmem_scope_push("life");
}

/* ---- exit ----------------------------------------------------------------------- */

/* Runs after main() has returned; _exit() here is what the parent sees. */
static void at_exit(void)
{
	char *late = bmem_alloc(c, 100000, 0, 0, "late");

	if (!late || !all_are(early, 5, 70000))
		_exit(50);
	memset(late, 1, 100000);
	if (bmem_free(c, late) || bmem_unref(c, early) || bmem_unref(c, early) ||
	    bmem_free(c, early) != -ENOENT)
		_exit(51);
	bmem_close(c);
}

static int exit_with_handlers(void)
{
	furnish();
	if (atexit(at_exit))
		return 1;
	exit(7);
}

static int exit_and_leave_all(void)
{
	furnish();
	exit(8);
}

static int exit_at_once(void)
{
	furnish();
	return 9;
}

static void handlers_of_exit(void **state)
{
	(void)state;
	/* Of the parent cmocka's: they are not run again in the child. */
	EQ(in_child(exit_with_handlers).status, 7);
	EQ(in_child(exit_and_leave_all).status, 8);
	EQ(in_child(exit_at_once).status, 9);
}

static void *exit_in_thread(void *arg)
{
	(void)arg;
	exit(10);
}

/* Others allocate while one calls exit(). */
static void *keep_going(void *arg)
{
	for (;;) {
		void *p = bmem_alloc(c, 300, 0, 0, NULL);

		if (!p || bmem_free(c, p))
			_exit(60);
	}
	return arg;
}

static int exit_among_threads(void)
{
	pthread_t t;
	int i;

	furnish();
	for (i = 0; i < 2; i++)
		if (pthread_create(&t, NULL, keep_going, NULL))
			return 1;
	if (pthread_create(&t, NULL, exit_in_thread, NULL))
		return 1;
	for (;;)
		pause();
}

static void exit_of_a_thread(void **state)
{
	(void)state;
	EQ(in_child(exit_among_threads).status, 10);
}

/* ---- threads ----------------------------------------------------------------------- */

/* Neither an allocation nor fork() is where a thread ends that was cancelled. */
static void *go_on_cancelled(void *arg)
{
	int *got = arg, status;
	pid_t pid;
	char *p;

	pthread_cancel(pthread_self());
	p = bmem_alloc(c, 8 * MIB, 0, 0, "cancelled");
	*got += p && !bmem_free(c, p) && !bmem_flush(c);
	*got += !bmem_alloc(c, 1UL << 46, 0, 0, "too much");
	*got += !bmem_events_want(c, FAILED);
	pid = fork();
	if (!pid)
		_exit(42);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	*got += waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		WEXITSTATUS(status) == 42;
	return NULL;
}

static int cancel_in_calls(void)
{
	int got = 0;
	pthread_t t;
	char *p;

	furnish();
	if (pthread_create(&t, NULL, go_on_cancelled, &got) ||
	    pthread_join(t, NULL))
		return 1;
	p = bmem_alloc(c, 8 * MIB, 0, 0, "after that");
	if (!p || bmem_free(c, p))
		return 2;
	bmem_close(c);
	return 10 + got;
}

static void cancelled_in_calls(void **state)
{
	(void)state;
	EQ(in_child(cancel_in_calls).status, 14);
}

static pthread_key_t key;

/* May be called before and after the library's own. */
static void use_at_the_end(void *arg)
{
	char *p = bmem_alloc(c, 200, 0, 0, "at the end"), *given = arg;

	IS(p && all_are(given, 3, 40000));
	EQ(bmem_free(c, p), 0);
	EQ(bmem_free(c, given), 0);
}

static void *end_with_a_tensor(void *arg)
{
	char *p = bmem_alloc(c, 40000, 0, 0, NULL);

	if (p)
		memset(p, 3, 40000);
	pthread_setspecific(key, p);
	return p ? arg : NULL;
}

static void destructors_of_threads(void **state)
{
	pthread_t t;
	void *ok;
	int i;

	(void)state;
	c = client();
	EQ(pthread_key_create(&key, use_at_the_end), 0);
	for (i = 0; i < 50; i++) {
		EQ(pthread_create(&t, NULL, end_with_a_tensor, &ok), 0);
		EQ(pthread_join(t, &ok), 0);
		IS(ok);
	}
	EQ(pthread_key_delete(key), 0);
	LIVE(c, 0, 0);
	bmem_close(c);
}

/* ---- exec -------------------------------------------------------------------------- */

/* Lists its descriptors, for the parent to read. */
static int list_descriptors(void)
{
	execl("/bin/sh", "sh", "-c", "exec ls -l /proc/self/fd >&2", NULL);
	return 99;
}

static int become_another(void)
{
	furnish();
	return list_descriptors();
}

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* The new program has what it would have had without. */
static void exec_leaves_nothing(void **state)
{
	struct child plain = in_child(list_descriptors),
		     other = in_child(become_another);

	(void)state;
	EQ(plain.status, 0);
	EQ(other.status, 0);
	IS(lines(plain.err) > 3);
	EQ(lines(other.err), lines(plain.err));
	assert_null(strstr(other.err, "bmem"));
	assert_null(strstr(other.err, "memfd"));
}

/* ---- fork in the middle -------------------------------------------------------------- */

static atomic_bool stop;

static void *do_all(void *arg)
{
	char *p;

	while (!atomic_load(&stop)) {
		p = bmem_alloc(c, 5000, 0, 0, NULL);
		if (!p || bmem_ref(c, p) || bmem_unref(c, p) ||
		    bmem_alloc(c, 1UL << 39, 0, 0, NULL) ||
		    bmem_on_event(c, FAILED, count, &p) ||
		    bmem_on_event(c, 0, count, &p) || bmem_unref(c, p))
			return NULL;
	}
	return arg;
}

static int child_does_all(void)
{
	char *p = bmem_alloc(c, 70000, 0, 0, NULL);

	if (!p || bmem_ref(c, p) || bmem_unref(c, p) || bmem_unref(c, p))
		return 1;
	if (bmem_on_event(c, FAILED, count, NULL))
		return 2;
	/* No thread can be started here under ThreadSanitizer. */
	if (!test_under("tsan") && (bmem_events_start(c) || bmem_events_stop(c)))
		return 3;
	if (bmem_on_event(c, 0, count, NULL))
		return 4;
	bmem_close(c);
	return 0;
}

static void forks(unsigned int flags)
{
	struct bmem_options o = { .max_bytes = LIMIT, .flags = flags };
	pthread_t t[2];
	void *ok;
	int i;

	c = client_with(&o);
	atomic_store(&stop, false);
	for (i = 0; i < 2; i++)
		EQ(pthread_create(&t[i], NULL, do_all, &o), 0);
	for (i = 0; i < 15; i++)
		EQ(in_child(child_does_all).status, 0);
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++) {
		EQ(pthread_join(t[i], &ok), 0);
		IS(ok);
	}
	bmem_close(c);
}

static void fork_in_the_middle(void **state)
{
	(void)state;
	forks(0);
}

static void private_fork_in_the_middle(void **state)
{
	(void)state;
	forks(BMEM_OPEN_PRIVATE);
}

/* ---- dlclose -------------------------------------------------------------------------- */

static void *library;
static atomic_bool running;

#define FIND(name)	((typeof(&(name)))(uintptr_t)dlsym(library, #name))

static void *in_unloaded(void *arg)
{
	void *p = FIND(bmem_alloc)(arg, 3000, 0, 0, NULL);

	atomic_store(&running, true);
	/* This thread ends after the library has been closed. */
	while (!atomic_load(&stop))
		sched_yield();
	return p;
}

/* The shared library beside this program, apart from what it is linked with. */
static void unload(void **state)
{
	struct bmem_options o = {
		.sz = sizeof(o), .max_bytes = LIMIT, .backend = BMEM_BACKEND_MEMFD,
	};
	char path[4096], *slash;
	struct bmem_client *other = NULL;
	typeof(&bmem_free) free_fn;
	pthread_t t;
	void *p, *again;
	ssize_t n;

	(void)state;
	n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	IS(n > 0);
	path[n] = 0;
	slash = strrchr(path, '/');
	strcpy(slash, "/../libbmem.so.0");
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		print_error("%s\n", dlerror());
	assert_non_null(library);
	EQ(FIND(bmem_open)(&other, &o), 0);
	EQ(FIND(bmem_on_event)(other, FAILED, count, NULL), 0);
	EQ(FIND(bmem_events_start)(other), 0);
	free_fn = FIND(bmem_free);
	atomic_store(&stop, false);
	EQ(pthread_create(&t, NULL, in_unloaded, other), 0);
	while (!atomic_load(&running))
		sched_yield();
	EQ(dlclose(library), 0);
	/* It is there still: its thread, its client, a thread that ends. */
	atomic_store(&events, 0);
	again = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(again);
	IS(again == library);
	assert_null(FIND(bmem_alloc)(other, 1UL << 39, 0, 0, NULL));
	while (!atomic_load(&events))
		sched_yield();
	atomic_store(&stop, true);
	EQ(pthread_join(t, &p), 0);
	EQ(free_fn(other, p), 0);
	FIND(bmem_close)(other);
	EQ(dlclose(again), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(handlers_of_exit),
	TEST(exit_of_a_thread),
	TEST(cancelled_in_calls),
	TEST(destructors_of_threads),
	TEST(exec_leaves_nothing),
	TEST(fork_in_the_middle),
	TEST(private_fork_in_the_middle),
	TEST(unload),
};

TEST_MAIN(tests)
