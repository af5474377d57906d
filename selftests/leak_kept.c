// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part of the corpus that does not leak, though it looks like it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <linux/bmem.h>

#include "leak_corpus.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static void *volatile keep[1024];
static struct node *volatile list;

static void *map(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		_exit(3);
	return p;
}

static void start(struct world *w, void *(*fn)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, w))
		_exit(3);
}

/* ---- where pointers may be ---------------------------------------------------------- */

static void cache(struct world *w)
{
	void **table = malloc(500 * sizeof(*table));
	unsigned int i;

	for (i = 0; i < 500; i++)
		table[i] = get(w, 100 + i * 8, KEPT);
	keep[0] = table;
	settle(w);
}

static void interior(struct world *w)
{
	keep[0] = (char *)get(w, 3000, KEPT) + 1500;
	keep[1] = (char *)get(w, 3000, KEPT) + 2999;
	keep[2] = (char *)get(w, 2 * MIB, KEPT) + MIB;
	keep[3] = (char *)get(w, 2 * MIB, KEPT) + 2 * MIB - 1;
	settle(w);
}

/* One block, from which a program cuts its own. */
static void arena(struct world *w)
{
	char *a = get(w, 4 * MIB, KEPT);
	unsigned int i;

	for (i = 0; i < 64; i++)
		keep[i] = a + (i + 1) * 50000;
	settle(w);
}

static void tagged(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 64; i++)
		keep[i] = (void *)((uintptr_t)get(w, 400, KEPT) | (i % 8));
	settle(w);
}

static __thread void *volatile mine;

static void thread_local(struct world *w)
{
	mine = get(w, 700, KEPT);
	settle(w);
}

static void *other_thread(void *arg)
{
	struct world *w = arg;
	void *volatile p = get(w, 80 * KIB, KEPT);
	void *volatile *q = alloca(sizeof(*q));

	*q = get(w, 700, KEPT);
	mine = get(w, 700, KEPT);
	keep[0] = (void *)1;
	for (;;)
		pause();
	(void)p;
	return NULL;
}

static void blocked_thread(struct world *w)
{
	start(w, other_thread);
	while (!keep[0])
		usleep(1000);
	settle(w);
}

static pthread_key_t key;

static void thread_key(struct world *w)
{
	pthread_key_create(&key, NULL);
	pthread_setspecific(key, get(w, 700, KEPT));
	settle(w);
}

static void on_the_stack(struct world *w)
{
	void *volatile p[40];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = get(w, 350, KEPT);
	settle(w);
	__asm__ volatile("" ::"r"(p) : "memory");
}

static void read_only(struct world *w)
{
	void **m = map(4096, MAP_PRIVATE);

	m[100] = get(w, 350, KEPT);
	mprotect(m, 4096, PROT_READ);
	settle(w);
}

static void no_access(struct world *w)
{
	void **m = map(4096, MAP_PRIVATE);

	m[100] = get(w, 350, KEPT);
	mprotect(m, 4096, PROT_NONE);
	settle(w);
}

static void shared_memory(struct world *w)
{
	void **m = map(4096, MAP_SHARED);

	m[100] = get(w, 350, KEPT);
	settle(w);
}

static void file_mapping(struct world *w)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	void **m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	int mem = memfd_create("corpus", 0);
	void **s;

	if (m == MAP_FAILED || ftruncate(mem, 4096))
		_exit(3);
	s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (s == MAP_FAILED)
		_exit(3);
	m[200] = get(w, 350, KEPT);
	s[200] = get(w, 350, KEPT);
	settle(w);
}

static void huge_pages(struct world *w)
{
	char *m = map(8 * MIB, MAP_PRIVATE);

	madvise(m, 8 * MIB, MADV_HUGEPAGE);
	memset(m, 0, 8 * MIB);
	*(void **)(m + 5 * MIB + 8) = get(w, 350, KEPT);
	*(void **)(m + 8 * MIB - 8) = get(w, 350, KEPT);
	settle(w);
}

static void sparse(struct world *w)
{
	char *m = mmap(NULL, 1UL << 42, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int i;

	if (m == MAP_FAILED)
		_exit(3);
	for (i = 0; i < 64; i++)
		*(void **)(m + ((unsigned long)i << 36) + 4088) =
			get(w, 350, KEPT);
	settle(w);
}

/* ---- in a register only ------------------------------------------------------------ */

/* The complement of a pointer, which leads nowhere. */
static NOINLINE uintptr_t hidden(struct world *w)
{
	return ~(uintptr_t)get(w, 700, KEPT);
}

/* Nothing but a register that a call keeps has it, in a thread that waits. */
static NOINLINE void wait_with_register(uintptr_t p)
{
	keep[0] = (void *)1;
	__asm__ volatile("movq %0, %%r12\n\t"
			 "notq %%r12\n"
			 "1:\n\t"
			 "movl $34, %%eax\n\t"	/* pause() */
			 "syscall\n\t"
			 "jmp 1b"
			 :: "r"(p) : "rax", "rcx", "r11", "r12", "memory");
}

/* And in one that never stops. */
static NOINLINE void spin_with_register(uintptr_t p)
{
	keep[0] = (void *)1;
	__asm__ volatile("movq %0, %%r12\n\t"
			 "notq %%r12\n"
			 "1:\n\t"
			 "pause\n\t"
			 "jmp 1b"
			 :: "r"(p) : "r12", "memory");
}

static NOINLINE uintptr_t hide_and_scrub(struct world *w)
{
	uintptr_t p = hidden(w);

	scrub();
	return p;
}

static void *waits(void *arg)
{
	wait_with_register(hide_and_scrub(arg));
	return NULL;
}

static void *spins(void *arg)
{
	spin_with_register(hide_and_scrub(arg));
	return NULL;
}

static void register_of_waiting(struct world *w)
{
	start(w, waits);
	while (!keep[0])
		usleep(1000);
	settle(w);
}

static void register_of_running(struct world *w)
{
	start(w, spins);
	while (!keep[0])
		usleep(1000);
	settle(w);
}

/* ---- in tensors ------------------------------------------------------------------------ */

static void list_in_tensors(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		struct node *n = get(w, sizeof(*n), KEPT);

		n->next = list;
		list = n;
	}
	settle(w);
}

static NOINLINE struct node *tree(struct world *w, unsigned int depth)
{
	struct node *n = get(w, 60 * KIB * !(depth % 3) + sizeof(*n), KEPT);

	if (depth) {
		n->next = tree(w, depth - 1);
		n->other = tree(w, depth - 1);
	}
	return n;
}

static void tree_in_tensors(struct world *w)
{
	list = tree(w, 6);
	settle(w);
}

static void in_another_client(struct world *w)
{
	struct bmem_options o = {
		.sz = sizeof(o), .backend = BMEM_BACKEND_DEV,
	};
	struct world other = { 0 };
	struct node *n;

	if (bmem_open(&w->more, &o))
		_exit(3);
	other.c = w->more;
	n = get(&other, sizeof(*n), KEPT);
	n->next = get(w, 1000, KEPT);
	list = n;
	settle(w);
}

/* ---- in other processes ---------------------------------------------------------------- */

static void only_in_child(struct world *w)
{
	pid_t pid;

	keep[0] = get(w, 1300, KEPT);
	keep[1] = get(w, 130 * KIB, KEPT);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	keep[0] = NULL;
	keep[1] = NULL;
	settle(w);
	kill(pid, SIGKILL);
}

static int send_fd(int to, int fd)
{
	char space[CMSG_SPACE(sizeof(fd))] = { 0 }, c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = space, .msg_controllen = sizeof(space),
	};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	return sendmsg(to, &msg, 0) == 1 ? 0 : -1;
}

static int take_fd(int from)
{
	char space[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = space, .msg_controllen = sizeof(space),
	};
	int fd;

	if (recvmsg(from, &msg, 0) != 1)
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/*
 * A client of bare calls, which knows its tensors by offset; the other process
 * has it mapped elsewhere, and knows two by their addresses there.
 */
static void bare_calls(struct world *w)
{
	/* The last is short, and high up: no number is in it by chance. */
	struct bmem_alloc_entry e[4] = {
		{ .bytes = 5000, .site = 1 }, { .bytes = 70000, .site = 1 },
		{ .bytes = 900000, .site = 1 }, { .bytes = 3000, .site = 1 },
	};
	struct bmem_alloc a = {
		.size = sizeof(a), .nr = 4, .entries = (uintptr_t)e,
	};
	struct bmem_site s = { .size = sizeof(s), .site = 1, .label = KEPT };
	struct bmem_query q = { .size = sizeof(q) };
	int fd = open("/dev/bmem", O_RDWR), pair[2], there[2], got;
	char *m, c;

	if (fd < 0 || ioctl(fd, BMEM_QUERY, &q) || ioctl(fd, BMEM_SITE, &s) ||
	    ioctl(fd, BMEM_ALLOC, &a) || pipe(there) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		_exit(3);
	m = mmap(NULL, q.space_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED || send_fd(pair[0], fd))
		_exit(3);
	keep[0] = (void *)e[0].handle;
	keep[1] = (void *)e[1].offset;
	if (fork())
		goto out;
	munmap(m, q.space_bytes);
	got = take_fd(pair[1]);
	m = mmap(NULL, q.space_bytes / 2, PROT_READ | PROT_WRITE, MAP_SHARED, got,
		 0);
	if (m == MAP_FAILED)
		_exit(3);
	keep[2] = m + e[2].offset + 64;
	keep[3] = m + e[3].offset + 64;
	/* That is how they are known, and not by their offsets on this stack. */
	memset(e, 0, sizeof(e));
	go_on();
	if (write(there[1], "", 1) != 1)
		_exit(3);
	for (;;)
		pause();
out:
	memset(e, 0, sizeof(e));
	if (read(there[0], &c, 1) != 1)
		_exit(3);
	w->bare = fd;
	usleep(200000);
	settle(w);
	kill(0, SIGTERM);
}

/* ---- what moves ---------------------------------------------------------------------------- */

static void *rotate(void *arg)
{
	unsigned int i;
	void *first;

	(void)arg;
	for (;;) {
		first = keep[0];
		for (i = 0; i < 299; i++)
			keep[i] = keep[i + 1];
		keep[299] = first;
		sched_yield();
	}
	return NULL;
}

static void moving_pointers(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 300; i++)
		keep[i] = get(w, 900, KEPT);
	start(w, rotate);
	settle(w);
}

static void *dance(void *arg)
{
	void **m = map(4096, MAP_PRIVATE);

	m[1] = get(arg, 900, KEPT);
	keep[0] = (void *)1;
	for (;;) {
		m = mremap(m, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED,
			   map(4096, MAP_PRIVATE));
		usleep(200);
	}
	return NULL;
}

static void moving_memory(struct world *w)
{
	start(w, dance);
	while (!keep[0])
		usleep(1000);
	settle(w);
}

static void *copy_on_and_on(void *arg)
{
	struct world *w = arg;
	void *old, *new;

	for (;;) {
		new = get(w, 20 * KIB, "table");
		old = keep[0];
		memcpy(new, old, 20 * KIB);
		keep[0] = new;
		bmem_free(w->c, old);
		usleep(500);
	}
	return NULL;
}

/* All pointers are in a tensor that is younger than any scan. */
static void table_copied_all_the_time(struct world *w)
{
	void **table = get(w, 20 * KIB, "table");
	unsigned int i;

	for (i = 0; i < 200; i++)
		table[i] = get(w, 900, KEPT);
	keep[0] = table;
	start(w, copy_on_and_on);
	settle(w);
}

static void *saw(void *arg)
{
	struct world *w = arg;
	unsigned int i;

	for (;;) {
		for (i = 0; i < 40; i++) {
			keep[i] = get(w, 30 * KIB, KEPT);
			usleep(5000);
		}
		for (i = 0; i < 40; i++) {
			bmem_free(w->c, keep[i]);
			keep[i] = NULL;
		}
	}
	return NULL;
}

static void saw_tooth(struct world *w)
{
	start(w, saw);
	settle(w);
}

static void *warm_up(void *arg)
{
	struct world *w = arg;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		keep[i] = get(w, 5000, KEPT);
		usleep(3000);
	}
	for (;;)
		pause();
	return NULL;
}

static void plateau(struct world *w)
{
	start(w, warm_up);
	settle(w);
}

static ucontext_t here, there;
static struct world *co_world;

static void suspended(void)
{
	void *volatile p = get(co_world, 1100, KEPT);

	swapcontext(&there, &here);
	(void)p;
}

static void coroutine(struct world *w)
{
	co_world = w;
	getcontext(&there);
	there.uc_stack.ss_sp = malloc(64 * KIB);
	there.uc_stack.ss_size = 64 * KIB;
	there.uc_link = &here;
	makecontext(&there, suspended, 0);
	swapcontext(&here, &there);
	settle(w);
}

static void run_on_other_stack(void)
{
	settle(co_world);
}

/* The main thread is elsewhere, and comes back to its stack. */
static void main_is_suspended(struct world *w)
{
	void *volatile p = get(w, 1100, KEPT);

	co_world = w;
	getcontext(&there);
	there.uc_stack.ss_sp = malloc(64 * KIB);
	there.uc_stack.ss_size = 64 * KIB;
	there.uc_link = &here;
	makecontext(&there, run_on_other_stack, 0);
	swapcontext(&here, &there);
	__asm__ volatile("" ::"r"(p) : "memory");
}

/* ---- what is said by links ------------------------------------------------------------ */

static void must(int ret)
{
	if (ret)
		_exit(3);
}

/* A ring that is held at one place. */
static void held_ring(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 20; i++)
		keep[i] = get(w, 3000, KEPT);
	for (i = 0; i < 20; i++)
		must(bmem_link(w->c, keep[i], keep[(i + 1) % 20]));
	must(bmem_link(w->c, NULL, keep[7]));
	settle(w);
}

/* Let go once less than it was held; and links to what holds nothing back. */
static void held_still(struct world *w)
{
	keep[0] = get(w, 100 * KIB, KEPT);
	keep[1] = get(w, 500, KEPT);
	must(bmem_link(w->c, NULL, keep[0]));
	must(bmem_link(w->c, NULL, keep[0]));
	must(bmem_link(w->c, keep[0], keep[1]));
	must(bmem_unlink(w->c, NULL, keep[0]));
	settle(w);
}

/* ---- what only seems to grow --------------------------------------------------------------- */

#define FULL		100
#define TOOTH		70
#define BOUND		64
#define FILL_BYTES	(8 * KIB)

static void *fill[FULL];

/* Five seconds of warm-up; from then on one goes for each that comes. */
static void fill_up(struct world *w, unsigned int i)
{
	if (i >= FULL)
		must(bmem_free(w->c, fill[i % FULL]));
	fill[i % FULL] = get(w, FILL_BYTES, KEPT);
}

static void warm_up_to_a_plateau(struct world *w)
{
	go_on_stepping(w, fill_up);
}

static void rise_and_drop(struct world *w, unsigned int i)
{
	unsigned int k;

	for (k = 0; i && i % TOOTH == 0 && k < TOOTH; k++)
		must(bmem_free(w->c, fill[k]));
	fill[i % TOOTH] = get(w, FILL_BYTES, KEPT);
}

static void teeth_of_seconds(struct world *w)
{
	go_on_stepping(w, rise_and_drop);
}

/* What comes is larger than what goes, and smaller again. */
static void insert_bounded(struct world *w, unsigned int i)
{
	if (i >= BOUND)
		must(bmem_free(w->c, fill[i % BOUND]));
	fill[i % BOUND] = get(w, FILL_BYTES + i * 31 % FILL_BYTES, KEPT);
}

static void cache_with_a_bound(struct world *w)
{
	go_on_stepping(w, insert_bounded);
}

const struct program innocent[] = {
	{ "a large cache", cache, 0 },
	{ "pointers to the middle and the end", interior, 0 },
	{ "a program's own arena", arena, 0 },
	{ "tags in the lower bits", tagged, 0 },
	{ "thread-local storage", thread_local, 0 },
	{ "a thread that waits", blocked_thread, 0 },
	{ "a thread's key", thread_key, 0 },
	{ "on the stack", on_the_stack, 0 },
	{ "memory that was made read-only", read_only, 0 },
	{ "memory that nobody may access", no_access, 0 },
	{ "shared memory", shared_memory, 0 },
	{ "mapped files", file_mapping, 0 },
	{ "huge pages", huge_pages, 0 },
	{ "4 TiB with holes", sparse, 0 },
	{ "a register of a thread that waits", register_of_waiting, 0 },
	{ "a register of a thread that runs", register_of_running, 0 },
	{ "a list in tensors", list_in_tensors, 0 },
	{ "a tree in tensors", tree_in_tensors, 0 },
	{ "a tensor of another client", in_another_client, 0 },
	{ "a child", only_in_child, 0 },
	{ "bare calls, offsets and another mapping", bare_calls, 0 },
	{ "pointers that move", moving_pointers, 0 },
	{ "memory that moves", moving_memory, 0 },
	{ "a table that is copied all the time", table_copied_all_the_time, 0 },
	{ "a saw-tooth", saw_tooth, 0 },
	{ "growth to a plateau", plateau, 0 },
	{ "a coroutine that is suspended", coroutine, 0 },
	{ "a main thread that is suspended", main_is_suspended, 0 },
	{ "a ring of links that is held", held_ring, BMEM_LEAK_CYCLE },
	{ "held once more than let go", held_still, BMEM_LEAK_UNREFERENCED },
	{ "warm-up to a plateau", warm_up_to_a_plateau, BMEM_LEAK_GROWTH },
	{ "a saw-tooth of seconds", teeth_of_seconds, BMEM_LEAK_GROWTH },
	{ "a cache with a bound", cache_with_a_bound, BMEM_LEAK_GROWTH },
};

const unsigned int nr_innocent = ARRAY_SIZE(innocent);
