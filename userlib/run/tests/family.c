// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * malloc() and its family as the C library promises them. Knows nothing of
 * bmem but what a process can ask: it passes with and without bmem-run, at any
 * threshold.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tests/test.h"

#define KB	1024UL
#define BIG	(300 * KB)

extern char **environ;

static void *(*client_of)(void);
static bool (*owns)(const void *client, const void *ptr);
static size_t threshold;

/* Did bmem serve a block? Always no without bmem-run. */
static bool in_bmem(const void *p)
{
	return client_of && owns(client_of(), p);
}

static bool for_bmem(size_t size)
{
	return client_of && size >= threshold;
}

static void look_around(void)
{
	const char *env = getenv("BMEM_RUN_THRESHOLD");

	*(void **)&client_of = dlsym(RTLD_DEFAULT, "bmem_run_client");
	*(void **)&owns = dlsym(RTLD_DEFAULT, "bmem_owns");
	threshold = env ? strtoul(env, NULL, 10) : 0;
	if (getenv("BMEM_RUN_THRESHOLD") && !client_of) {
		print_error("bmem-run's library is not here\n");
		abort();
	}
}

/* Where everything takes twenty times as long. */
static unsigned int shorter(unsigned int steps)
{
	return getenv("BMEM_TEST_SHORT") ? steps / 10 : steps;
}

static const size_t sizes[] = {
	0, 1, 15, 16, 17, 100, 4000, 4096, 5000, 32 * KB, 32 * KB + 1,
	64 * KB - 1, 64 * KB, 64 * KB + 1, 100000, 1024 * KB, 5000001,
};
#define SIZES	(sizeof(sizes) / sizeof(*sizes))

static void fill(void *p, size_t size, unsigned int seed)
{
	unsigned char *at = p;
	size_t i;

	for (i = 0; i < size; i++)
		at[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static bool filled(const void *p, size_t size, unsigned int seed)
{
	const unsigned char *at = p;
	size_t i;

	for (i = 0; i < size; i++)
		if (at[i] != (unsigned char)(seed + i * 7 + (i >> 8)))
			return false;
	return true;
}

/* What holds for every block. */
static void good(void *p, size_t size, size_t align)
{
	IS(p);
	EQ((uintptr_t)p % align, 0);
	IS(malloc_usable_size(p) >= size);
	EQ(in_bmem(p), for_bmem(size));
	if (in_bmem(p))
		EQ((uintptr_t)p % 64, 0);
	fill(p, malloc_usable_size(p), 3);
	IS(filled(p, malloc_usable_size(p), 3));
}

static void every_function(void **state)
{
	size_t i, s;
	void *p;

	(void)state;
	for (i = 0; i < SIZES; i++) {
		s = sizes[i];
		errno = 77;
		p = malloc(s);
		good(p, s, 16);
		free(p);
		p = calloc(1, s);
		good(p, s, 16);
		free(p);
		p = realloc(NULL, s);
		good(p, s, 16);
		free(p);
		p = reallocarray(NULL, s, 1);
		good(p, s, 16);
		free(p);
		EQ(posix_memalign(&p, 256, s), 0);
		good(p, s, 256);
		free(p);
		p = aligned_alloc(128, s);
		good(p, s, 128);
		free(p);
		p = memalign(4096, s);
		good(p, s, 4096);
		free(p);
		p = valloc(s);
		good(p, s, 4096);
		free(p);
		EQ(errno, 77);
	}
	p = pvalloc(64 * KB + 1);
	good(p, 68 * KB, 4096);
	free(p);
	free(NULL);
	EQ(malloc_usable_size(NULL), 0);
}

/* Two of no bytes are two. */
static void no_bytes(void **state)
{
	void *p = malloc(0), *q = malloc(0), *r = calloc(0, 5);

	(void)state;
	IS(p && q && r && p != q && q != r && p != r);
	/* As glibc has it. */
	EQ((uintptr_t)realloc(p, 0), 0);
	free(q);
	free(r);
}

static void zeroed(void **state)
{
	size_t i, k, n;
	char *p;

	(void)state;
	for (i = 0; i < SIZES; i++) {
		for (k = 0; k < 3; k++) {
			p = malloc(sizes[i]);
			IS(p);
			memset(p, 0x5a, sizes[i]);
			free(p);
			p = calloc(sizes[i], 1);
			IS(p);
			for (n = 0; n < sizes[i]; n++)
				if (p[n])
					EQ(p[n], 0);
			memset(p, 0xa5, sizes[i]);
			free(p);
		}
	}
}

static void too_much(void **state)
{
	/* The compiler knows that these are wrong. */
	volatile size_t huge = SIZE_MAX, half = PTRDIFF_MAX;
	void *p = malloc(100), *q = (void *)1;

	(void)state;
	IS(p);
	fill(p, 100, 1);
	NUL(malloc(huge), ENOMEM);
	NUL(malloc(half + 1), ENOMEM);
	NUL(malloc(half), ENOMEM);
	NUL(calloc(huge, 2), ENOMEM);
	NUL(calloc(half, 1), ENOMEM);
	NUL(reallocarray(p, huge, 2), ENOMEM);
	NUL(reallocarray(NULL, huge / 2, 3), ENOMEM);
	NUL(realloc(p, half), ENOMEM);
	NUL(memalign(64, huge), ENOMEM);
	NUL(aligned_alloc(64, huge - 10), ENOMEM);
	NUL(pvalloc(huge), ENOMEM);
	NUL(valloc(huge), ENOMEM);
	EQ(posix_memalign(&q, 64, half), ENOMEM);
	errno = 5;
	EQ(posix_memalign(&q, 24, 100000), EINVAL);
	EQ(posix_memalign(&q, 4, 100000), EINVAL);
	EQ(posix_memalign(&q, 0, 100000), EINVAL);
	EQ((uintptr_t)q, 1);
	EQ(errno, 5);
	IS(filled(p, 100, 1));
	free(p);
}

static void alignments(void **state)
{
	size_t align, i;
	void *p;

	(void)state;
	for (align = sizeof(void *); align <= 8192 * KB; align *= 2) {
		for (i = 0; i < SIZES; i++) {
			EQ(posix_memalign(&p, align, sizes[i]), 0);
			IS(p);
			EQ((uintptr_t)p % align, 0);
			IS(malloc_usable_size(p) >= sizes[i]);
			memset(p, 1, sizes[i]);
			free(p);
		}
	}
	/* No power of two: the next one is meant. */
	p = memalign(3000, 100000);
	IS(p);
	EQ((uintptr_t)p % 4096, 0);
	free(p);
}

static void realloc_across(void **state)
{
	size_t i, k, least;
	char *p;

	(void)state;
	for (i = 0; i < SIZES; i++) {
		for (k = 0; k < SIZES; k++) {
			if (!sizes[k])
				continue;
			least = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
			p = malloc(sizes[i]);
			IS(p);
			fill(p, sizes[i], 9);
			p = realloc(p, sizes[k]);
			IS(p);
			IS(filled(p, least, 9));
			IS(malloc_usable_size(p) >= sizes[k]);
			fill(p, sizes[k], 8);
			IS(filled(p, sizes[k], 8));
			free(p);
		}
	}
}

/* All that malloc_usable_size() tells of may be used, and is kept. */
static void realloc_keeps_usable(void **state)
{
	size_t i, had;
	char *p;

	(void)state;
	for (i = 0; i < SIZES; i++) {
		p = malloc(sizes[i]);
		IS(p);
		had = malloc_usable_size(p);
		fill(p, had, 4);
		p = realloc(p, had * 3 + 1);
		IS(p);
		IS(filled(p, had, 4));
		free(p);
	}
}

/* ---- random use, checked against what was written ------------------- */

#define SLOTS	300

struct block {
	char *p;
	size_t size;
	unsigned int seed;
};

static uint64_t next_random(uint64_t *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 7;
	*r ^= *r << 17;
	return *r;
}

static size_t random_size(uint64_t *r)
{
	uint64_t kind = next_random(r) % 16;

	if (kind < 10)
		return next_random(r) % 300;
	if (kind < 14)
		return next_random(r) % 20000;
	return next_random(r) % 200000;
}

static void random_step(struct block *b, uint64_t *r)
{
	size_t size = random_size(r), least;
	char *p;

	if (!b->p) {
		b->size = size;
		b->seed = (unsigned int)next_random(r);
		b->p = next_random(r) % 2 ? malloc(size) : calloc(size, 1);
		IS(b->p);
		fill(b->p, size, b->seed);
		return;
	}
	IS(filled(b->p, b->size, b->seed));
	if (next_random(r) % 3 == 0 && size) {
		least = size < b->size ? size : b->size;
		p = realloc(b->p, size);
		IS(p);
		IS(filled(p, least, b->seed));
		b->p = p;
		b->size = size;
		fill(p, size, b->seed);
		return;
	}
	free(b->p);
	b->p = NULL;
}

static void random_use(uint64_t seed, unsigned int steps)
{
	struct block blocks[SLOTS] = { 0 };
	uint64_t r = seed;
	unsigned int i;

	for (i = 0; i < steps; i++)
		random_step(&blocks[next_random(&r) % SLOTS], &r);
	for (i = 0; i < SLOTS; i++) {
		if (blocks[i].p)
			IS(filled(blocks[i].p, blocks[i].size, blocks[i].seed));
		free(blocks[i].p);
	}
}

static void at_random(void **state)
{
	(void)state;
	random_use(0x9e3779b97f4a7c15ULL, shorter(20000));
}

/* ---- threads --------------------------------------------------------- */

static void *random_thread(void *arg)
{
	random_use((uintptr_t)arg * 0x9e3779b97f4a7c15ULL + 1,
		   shorter(3000));
	return NULL;
}

static void threads_at_random(void **state)
{
	pthread_t t[8];
	uintptr_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		EQ(pthread_create(&t[i], NULL, random_thread, (void *)i), 0);
	for (i = 0; i < 8; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

/* From a place that is new, and one that is not. */
static void *frugal_thread(void *arg)
{
	unsigned int i;
	char *p;

	for (i = 0; i < 2; i++) {
		p = calloc(BIG, 1);
		p = p ? realloc(p, 20 * BIG) : NULL;
		if (p)
			p[20 * BIG - 1] = 1;
		free(p);
		if (!p || posix_memalign(arg, 4096, BIG))
			return NULL;
		free(*(void **)arg);
	}
	return arg;
}

/* As much stack as the C library's own functions are content with. */
static void least_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t t;
	void *p, *ret;

	(void)state;
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN), 0);
	EQ(pthread_create(&t, &attr, frugal_thread, &p), 0);
	EQ(pthread_join(t, &ret), 0);
	IS(ret);
	EQ(pthread_attr_destroy(&attr), 0);
}

static pthread_key_t late_key;
static __thread int late_turns;

/* Runs after, and between, whatever else cleans up when a thread ends. */
static void late(void *arg)
{
	free(arg);
	if (++late_turns >= PTHREAD_DESTRUCTOR_ITERATIONS)
		free(malloc(BIG));
	else
		pthread_setspecific(late_key, malloc(100 + BIG));
}

static void *thread_with_late(void *arg)
{
	char *p = malloc(100);

	/* Small blocks are cut from pages for as long as that goes well. */
	if (p && in_bmem(p) && malloc_usable_size(p) >= 4096)
		p = NULL;
	pthread_setspecific(late_key, malloc(5000));
	free(arg);
	free(p);
	return p ? malloc(BIG) : NULL;
}

/* More threads than may have something of their own at a time. */
static void many_threads_end(void **state)
{
	unsigned int i;
	pthread_t t;
	void *p;

	(void)state;
	EQ(pthread_key_create(&late_key, late), 0);
	for (i = 0; i < shorter(5000); i++) {
		EQ(pthread_create(&t, NULL, thread_with_late, malloc(BIG)), 0);
		EQ(pthread_join(t, &p), 0);
		IS(p);
		free(p);
	}
	pthread_key_delete(late_key);
}

/* ---- dlopen ---------------------------------------------------------- */

static void in_plugin(void **state)
{
	void *handle, *(*block)(void);
	char path[4096];
	unsigned int i;
	ssize_t n;

	(void)state;
	n = readlink("/proc/self/exe", path, sizeof(path) - 20);
	IS(n > 0);
	path[n] = '\0';
	strcpy(strrchr(path, '/'), "/plugin.so");
	for (i = 0; i < 20; i++) {
		handle = dlopen(path, RTLD_NOW);
		if (!handle)
			print_error("%s\n", dlerror());
		IS(handle);
		*(void **)&block = dlsym(handle, "plugin_block");
		IS(block && block());
		EQ(in_bmem(block()), for_bmem(200000));
		EQ(dlclose(handle), 0);
	}
}

/* ---- signals --------------------------------------------------------- */

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	char *p = malloc(5000 + (size_t)handled % 100000);

	(void)sig;
	if (p)
		memset(p, 1, 5000);
	free(p);
	handled++;
}

/*
 * malloc() is not for signal handlers, but many programs get away with it; with
 * all blocks in bmem they do here. Elsewhere they could meet libc's locks.
 */
static void in_signal_handler(void **state)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	struct sigaction sa = { .sa_handler = on_signal };
	uint64_t r = 12345;
	struct block b = { 0 };

	(void)state;
	if (!client_of || threshold)
		skip();
	EQ(sigaction(SIGALRM, &sa, NULL), 0);
	EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (handled < (int)shorter(300))
		random_step(&b, &r);
	EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
	free(b.p);
}

#ifdef __x86_64__

#define TRAP_FLAG	0x100

/* Freed before certain instructions, and how many were executed. */
static struct {
	char *p;
	int when;
} in_step[2];
static volatile sig_atomic_t steps, stepping;

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	unsigned int i;

	(void)info;
	if (sig == SIGUSR1)
		uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	if (sig == SIGUSR2)
		uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (sig != SIGTRAP || !stepping)
		return;
	for (i = 0; i < 2; i++)
		if (in_step[i].when == steps)
			free(in_step[i].p);
	steps++;
}

/* Free a block, and two in a signal handler meanwhile. */
static int free_in_steps(int first, int second)
{
	char *p = malloc(100);

	in_step[0].when = first;
	in_step[1].when = second;
	in_step[0].p = malloc(100);
	in_step[1].p = malloc(100);
	IS(p && in_step[0].p && in_step[1].p);
	steps = 0;
	raise(SIGUSR1);
	stepping = 1;
	free(p);
	stepping = 0;
	raise(SIGUSR2);
	return steps;
}

/* The same before each single instruction of free(). */
static void in_each_step(void **state)
{
	struct sigaction sa = {
		.sa_sigaction = on_step, .sa_flags = SA_SIGINFO,
	};
	int first, second, all;

	(void)state;
	if (!client_of || threshold)
		skip();
	EQ(sigaction(SIGTRAP, &sa, NULL), 0);
	EQ(sigaction(SIGUSR1, &sa, NULL), 0);
	EQ(sigaction(SIGUSR2, &sa, NULL), 0);
	all = free_in_steps(-1, -1);
	IS(all > 10);
	for (first = 0; first < all; first += 20) {
		second = first + 1;
		while (free_in_steps(first, second) > second)
			second++;
	}
	/* What had been given back twice would be given to two. */
	at_random(state);
}

#else

static void in_each_step(void **state)
{
	(void)state;
	skip();
}

#endif

/* ---- fork, exec ------------------------------------------------------ */

#define SHARED	40

static void wait_for(pid_t pid)
{
	int status = -1;

	IS(pid > 0);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
}

/* A child: sees what was written, and what it writes and frees is its own. */
static int child_checks(char **p, const size_t *len, int depth)
{
	pid_t pid;
	int i, status;

	for (i = 0; i < SHARED; i++)
		if (!filled(p[i], len[i], (unsigned int)i))
			return 1;
	for (i = 0; i < SHARED; i += 2) {
		memset(p[i], 0xee, len[i]);
		free(p[i]);
		p[i] = malloc(len[i]);
		if (!p[i])
			return 2;
		fill(p[i], len[i], (unsigned int)i);
	}
	random_use(77, 500);
	for (i = 0; i < SHARED; i++)
		if (!filled(p[i], len[i], (unsigned int)i))
			return 3;
	pid = depth ? fork() : 0;
	if (depth && !pid)
		_exit(child_checks(p, len, depth - 1));
	for (i = 0; i < SHARED; i++)
		memset(p[i], 0xdd, len[i]);
	for (i = 0; i < SHARED; i += 3)
		free(p[i]);
	random_use(78, 500);
	if (!depth)
		return 0;
	return waitpid(pid, &status, 0) == pid ? status >> 8 | status : 4;
}

static void fork_copies(void **state)
{
	static size_t len[SHARED];
	static char *p[SHARED];
	unsigned int i, turn;
	uint64_t r = 99;
	pid_t pid;

	(void)state;
	for (i = 0; i < SHARED; i++) {
		len[i] = i % 4 ? random_size(&r) + 1 : 1000 * KB + i;
		p[i] = malloc(len[i]);
		IS(p[i]);
		fill(p[i], len[i], i);
	}
	for (turn = 0; turn < 3; turn++) {
		pid = fork();
		if (!pid)
			_exit(child_checks(p, len, 2));
		random_use(turn + 1, 500);
		wait_for(pid);
		for (i = 0; i < SHARED; i++)
			IS(filled(p[i], len[i], i));
	}
	for (i = 0; i < SHARED; i++)
		free(p[i]);
}

/* Handlers that are there before libbmem's run inside of these. */
static void *around_fork;

static void at_fork(void)
{
	void *p = around_fork;

	around_fork = malloc(BIG);
	if (around_fork)
		fill(around_fork, BIG, 13);
	if (p && !filled(p, BIG, 13))
		_exit(70);
	free(p);
	random_use(31, 300);
}

static bool all_is_well(void)
{
	void *p = malloc(BIG);
	bool well = p && in_bmem(p) == for_bmem(BIG);

	free(p);
	random_use(32, 300);
	return well && around_fork && filled(around_fork, BIG, 13);
}

static void handlers_of_fork(void **state)
{
	unsigned int i;
	pid_t pid;

	(void)state;
	around_fork = malloc(BIG);
	IS(around_fork);
	fill(around_fork, BIG, 13);
	for (i = 0; i < 5; i++) {
		pid = fork();
		if (!pid)
			_exit(!all_is_well());
		wait_for(pid);
		IS(all_is_well());
	}
}

static _Atomic bool stop;

static void *busy_thread(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 5;

	while (!atomic_load(&stop))
		random_use(seed++, 200);
	return NULL;
}

/* While other threads are anywhere in the allocator. */
static void fork_among_threads(void **state)
{
	pthread_t t[3];
	uintptr_t i;
	pid_t pid;

	(void)state;
	atomic_store(&stop, false);
	for (i = 0; i < 3; i++)
		EQ(pthread_create(&t[i], NULL, busy_thread, (void *)i), 0);
	for (i = 0; i < shorter(30); i++) {
		pid = fork();
		if (!pid) {
			random_use(i + 1, 200);
			_exit(0);
		}
		wait_for(pid);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 3; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static char *self_path(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	IS(n > 0);
	path[n] = '\0';
	return path;
}

static void new_programs(void **state)
{
	char *argv[] = { self_path(), (char *)(client_of ? "is-under" :
					       "is-alone"), NULL };
	char *volatile kept = malloc(BIG);
	pid_t pid;

	(void)state;
	IS(kept);
	fill(kept, BIG, 6);
	pid = fork();
	if (!pid) {
		execv(argv[0], argv);
		_exit(50);
	}
	wait_for(pid);
	pid = vfork();
	if (!pid) {
		execv(argv[0], argv);
		_exit(50);
	}
	wait_for(pid);
	EQ(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
	wait_for(pid);
	IS(filled(kept, BIG, 6));
	free(kept);
}

/* What new_programs() runs. */
static int as_child(const char *how)
{
	void *p = malloc(BIG);

	if (!p || in_bmem(p) != for_bmem(BIG))
		return 1;
	free(p);
	return !client_of != !strcmp(how, "is-alone");
}

/* ---- what daemons and the like do ------------------------------------- */

static int without_descriptors(void)
{
	char *p = malloc(BIG), *q;
	int fd;

	fill(p, BIG, 1);
	if (close_range(3, ~0U, 0))
		return 10;
	/* Somebody else's now. */
	for (fd = 3; fd < 40; fd++)
		if (open("/dev/zero", O_RDWR | O_CLOEXEC) < 0)
			return 11;
	fd = fcntl(3, F_DUPFD, 900);
	q = malloc(10 * BIG);
	if (!q || !filled(p, BIG, 1))
		return 12;
	fill(q, 10 * BIG, 2);
	random_use(5, 2000);
	p = realloc(p, 20 * BIG);
	if (!p || !filled(p, BIG, 1) || !filled(q, 10 * BIG, 2))
		return 13;
	free(p);
	free(q);
	random_use(6, 2000);
	return 0;
}

static void descriptors_closed(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(without_descriptors());
	wait_for(pid);
}

static void mapped_over(void **state)
{
	char *p = malloc(BIG);
	void *page = (void *)((uintptr_t)p & ~4095UL);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	(void)state;
	IS(p);
	fill(p, BIG, 1);
	if (!in_bmem(p)) {
		free(p);
		skip();
	}
	errno = 0;
	IS(mmap(page, 8192, PROT_READ, flags, -1, 0) == MAP_FAILED);
	EQ(errno, ENOMEM);
	errno = 0;
	EQ(munmap(page, 4096), -1);
	EQ(errno, EINVAL);
	IS(mremap(page, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
	IS(filled(p, BIG, 1));
	/* What is not bmem's is nobody's business. */
	page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	IS(page != MAP_FAILED);
	IS(mmap(page, 4096, PROT_READ, flags, -1, 0) == page);
	page = mremap(page, 4096, 16384, MREMAP_MAYMOVE);
	IS(page != MAP_FAILED);
	EQ(munmap(page, 16384), 0);
	free(p);
}

/* A whole block may be protected, as guard pages are. */
static void protected(void **state)
{
	char *p = memalign(4096, 256 * KB);

	(void)state;
	IS(p);
	memset(p, 1, 256 * KB);
	EQ(mprotect(p + 8192, 4096, PROT_NONE), 0);
	p[8191] = 2;
	p[12288] = 3;
	EQ(mprotect(p + 8192, 4096, PROT_READ | PROT_WRITE), 0);
	EQ(p[8192], 1);
	free(p);
}

/* ---- before main(), and after it -------------------------------------- */

static char *early;

__attribute__((constructor))
static void before_main(void)
{
	pthread_atfork(at_fork, at_fork, at_fork);
	early = malloc(BIG);
	if (early)
		fill(early, BIG, 11);
}

__attribute__((destructor))
static void after_main(void)
{
	char *p = malloc(BIG);

	if (!p || !early || !filled(early, BIG, 11))
		_exit(60);
	early = realloc(early, 2 * BIG);
	if (!early || !filled(early, BIG, 11))
		_exit(61);
	free(early);
	free(p);
}

static void from_constructor(void **state)
{
	(void)state;
	IS(early && filled(early, BIG, 11));
	EQ(in_bmem(early), for_bmem(BIG));
}

static const struct CMUnitTest tests[] = {
	TEST(from_constructor),
	TEST(every_function),
	TEST(no_bytes),
	TEST(zeroed),
	TEST(too_much),
	TEST(alignments),
	TEST(realloc_across),
	TEST(realloc_keeps_usable),
	TEST(at_random),
	TEST(threads_at_random),
	TEST(least_stack),
	TEST(many_threads_end),
	TEST(in_plugin),
	TEST(in_signal_handler),
	TEST(in_each_step),
	TEST(mapped_over),
	TEST(protected),
	TEST(new_programs),
	TEST(fork_copies),
	TEST(handlers_of_fork),
	TEST(fork_among_threads),
	TEST(descriptors_closed),
};

int main(int argc, char **argv)
{
	test_program = argv[0];
	look_around();
	if (argc > 1 && !strncmp(argv[1], "is-", 3))
		return as_child(argv[1]);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
