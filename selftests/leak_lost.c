// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part of the corpus that leaks.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <linux/bmem.h>

#include "leak_corpus.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* What a program is to keep; nothing but words here leads to it. */
static void *volatile keep[1024];
static struct node *volatile list;

static NOINLINE void lose(struct world *w, size_t size)
{
	void *volatile p = get(w, size, LOST);

	memset(p, 0x5a, size < 64 ? size : 64);
	w->lost++;
}

static NOINLINE struct node *new_node(struct world *w, const char *label)
{
	return get(w, sizeof(struct node), label);
}

/* ---- one pointer --------------------------------------------------------------- */

static void small(struct world *w)
{
	lose(w, 100);
	settle(w);
}

static void tiny(struct world *w)
{
	lose(w, 8);
	settle(w);
}

static void slot_of_pages(struct world *w)
{
	lose(w, 30000);
	settle(w);
}

static void block(struct world *w)
{
	lose(w, 64 * KIB);
	settle(w);
}

static void large(struct world *w)
{
	lose(w, 3 * MIB + 7);
	settle(w);
}

static NOINLINE void lose_aligned(struct world *w, size_t align)
{
	void *p = bmem_alloc(w->c, 10000, align, BMEM_ALLOC_ZERO, LOST);

	if (!p)
		_exit(3);
	w->lost++;
}

static void aligned(struct world *w)
{
	lose_aligned(w, 4096);
	lose_aligned(w, 2 * MIB);
	settle(w);
}

static void many_small(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 300; i++)
		lose(w, 40 + i);
	settle(w);
}

static void many_blocks(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 30; i++)
		lose(w, 40 * KIB + i * 4096);
	settle(w);
}

static NOINLINE void lose_batch(struct world *w)
{
	struct bmem_request req[40];
	unsigned int i;

	memset(req, 0, sizeof(req));
	for (i = 0; i < ARRAY_SIZE(req); i++) {
		req[i].size = 200 + i * 1000;
		req[i].site = bmem_site(w->c, LOST);
	}
	if (bmem_alloc_batch(w->c, req, ARRAY_SIZE(req), NULL))
		_exit(3);
	w->lost += ARRAY_SIZE(req);
	memset(req, 0, sizeof(req));
	__asm__ volatile("" ::"r"(req) : "memory");
}

static void batch(struct world *w)
{
	lose_batch(w);
	settle(w);
}

static void global_twice(struct world *w)
{
	keep[0] = get(w, 500, LOST);
	w->lost++;
	keep[0] = get(w, 500, KEPT);
	settle(w);
}

static NOINLINE void early_return(struct world *w, int i)
{
	void *p = get(w, MIB, LOST);

	if (i % 2) {
		w->lost++;
		return;
	}
	bmem_free(w->c, p);
}

static void loop_with_continue(struct world *w)
{
	int i;

	for (i = 0; i < 8; i++)
		early_return(w, i);
	settle(w);
}

static jmp_buf out;

static NOINLINE void fails_half_way(struct world *w)
{
	void *volatile p = get(w, 5000, LOST);

	memset(p, 1, 5000);
	w->lost++;
	longjmp(out, 1);
}

static void error_path(struct world *w)
{
	volatile int i;

	for (i = 0; i < 10; i++)
		if (!setjmp(out))
			fails_half_way(w);
	settle(w);
}

static NOINLINE void lose_in_scope(struct world *w)
{
	BMEM_SCOPE("layer");
	lose(w, 2000);
}

static void scope(struct world *w)
{
	lose_in_scope(w);
	settle(w);
}

/* ---- one in so many ------------------------------------------------------------- */

static void one_in_twenty(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 400; i++) {
		keep[i] = get(w, 256, LOST);
		if (i % 20 == 19) {
			keep[i] = NULL;
			w->lost++;
		}
	}
	settle(w);
}

static void blocks_one_in_twenty(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 60; i++) {
		keep[i] = get(w, 100 * KIB, LOST);
		if (i % 20 == 19) {
			keep[i] = NULL;
			w->lost++;
		}
	}
	settle(w);
}

/* ---- what leads to each other -------------------------------------------------- */

static NOINLINE void lose_chain(struct world *w, unsigned int n, bool close)
{
	struct node *first = new_node(w, LOST), *at = first;
	unsigned int i;

	for (i = 1; i < n; i++) {
		at->next = new_node(w, LOST);
		at = at->next;
	}
	if (close)
		at->next = first;
	w->lost += n;
}

static void inside_leaked(struct world *w)
{
	lose_chain(w, 2, false);
	settle(w);
}

static void chain(struct world *w)
{
	lose_chain(w, 50, false);
	settle(w);
}

static void self(struct world *w)
{
	lose_chain(w, 1, true);
	settle(w);
}

static void cycle_of_two(struct world *w)
{
	lose_chain(w, 2, true);
	settle(w);
}

static void cycle_of_hundred(struct world *w)
{
	lose_chain(w, 100, true);
	settle(w);
}

static NOINLINE struct node *tree(struct world *w, unsigned int depth)
{
	struct node *n = new_node(w, LOST);

	w->lost++;
	if (depth) {
		n->next = tree(w, depth - 1);
		n->other = tree(w, depth - 1);
	}
	return n;
}

static NOINLINE void lose_tree(struct world *w)
{
	struct node *volatile root = tree(w, 5);

	root = NULL;
	(void)root;
}

static void tree_without_root(struct world *w)
{
	lose_tree(w);
	settle(w);
}

static NOINLINE void lose_ring(struct world *w)
{
	struct node *first = new_node(w, LOST), *at = first, *n;
	unsigned int i;

	for (i = 1; i < 20; i++) {
		n = new_node(w, LOST);
		n->other = at;
		at->next = n;
		at = n;
	}
	at->next = first;
	first->other = at;
	w->lost += 20;
}

static void ring(struct world *w)
{
	lose_ring(w);
	settle(w);
}

static NOINLINE void big_in_small(struct world *w)
{
	struct node *n = new_node(w, LOST);

	n->next = get(w, 300 * KIB, LOST);
	((struct node *)n->next)->other = n;
	w->lost += 2;
}

static void block_and_slot(struct world *w)
{
	big_in_small(w);
	settle(w);
}

/* A list that loses its tail when its first element is dropped. */
static void tail_dropped(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		struct node *n = new_node(w, i == 9 ? KEPT : LOST);

		n->next = list;
		list = n;
	}
	list->next = NULL;
	w->lost += 9;
	settle(w);
}

/* The pointer is in what was freed: idle memory leads nowhere. */
static NOINLINE void lose_behind(struct world *w, size_t size)
{
	struct node *holder = get(w, size, KEPT);

	holder->other = new_node(w, LOST);
	w->lost++;
	bmem_free(w->c, holder);
}

static void behind_freed_slot(struct world *w)
{
	lose_behind(w, sizeof(struct node));
	settle(w);
}

static void behind_freed_block(struct world *w)
{
	lose_behind(w, 200 * KIB);
	settle(w);
}

/* ---- tables ---------------------------------------------------------------------- */

static void overwritten_entries(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 64; i++) {
		if (keep[i % 16])
			w->lost++;
		keep[i % 16] = get(w, 1000, LOST);
	}
	settle(w);
}

static void truncated_vector(struct world *w)
{
	void **v = calloc(100, sizeof(*v));
	unsigned int i;

	for (i = 0; i < 100; i++)
		v[i] = get(w, 3000, i < 40 ? KEPT : LOST);
	memset(v + 40, 0, 60 * sizeof(*v));
	w->lost += 60;
	keep[0] = v;
	settle(w);
}

/* The entry is in another tensor, which is in use. */
static void gradient_replaced(struct world *w)
{
	struct node *param = new_node(w, KEPT);
	unsigned int i;

	keep[0] = param;
	for (i = 0; i < 9; i++) {
		if (i)
			w->lost++;
		param->other = get(w, 70 * KIB, LOST);
	}
	settle(w);
}

static NOINLINE void move_without_free(struct world *w)
{
	struct node *old = get(w, 4000, LOST), *new;

	w->lost++;
	new = get(w, 8000, KEPT);
	memcpy(new, old, 4000);
	keep[0] = new;
}

static void grown_without_free(struct world *w)
{
	move_without_free(w);
	settle(w);
}

/* ---- memory of the process ----------------------------------------------------- */

static NOINLINE void lose_in_heap(struct world *w)
{
	void **holder = malloc(64 * sizeof(*holder));
	unsigned int i;

	for (i = 0; i < 64; i++)
		holder[i] = get(w, 600, LOST);
	w->lost += 64;
	free(holder);
	/* The heap goes on to be used. */
	keep[0] = memset(malloc(64 * sizeof(*holder)), 1, 64 * sizeof(*holder));
}

static void holder_freed(struct world *w)
{
	lose_in_heap(w);
	settle(w);
}

static NOINLINE void lose_in_mapping(struct world *w)
{
	void **m = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	m[7] = get(w, 900, LOST);
	w->lost++;
	munmap(m, 4096);
}

static void holder_unmapped(struct world *w)
{
	lose_in_mapping(w);
	settle(w);
}

static void shared_holder_cleared(struct world *w)
{
	void *volatile *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	m[3] = get(w, 900, KEPT);
	m[9] = get(w, 900, LOST);
	w->lost++;
	m[9] = NULL;
	settle(w);
}

static void sparse_process(struct world *w)
{
	char *m = mmap(NULL, 1UL << 42, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int i;

	for (i = 0; i < 64; i++)
		*(void *volatile *)(m + ((unsigned long)i << 36)) =
			get(w, 300, KEPT);
	lose(w, 300);
	settle(w);
}

/* ---- threads ------------------------------------------------------------------------ */

#define THREADS	40

/*
 * One after the other, as in a program that has a thread for each request.  What
 * the last one had stays on its stack until another thread runs there.
 */
static void in_threads(struct world *w, void *(*fn)(void *))
{
	unsigned int i;
	pthread_t t;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, fn, w) || pthread_join(t, NULL))
			_exit(3);
}

static __thread void *volatile mine;
static pthread_key_t key;

static void *keep_on_stack(void *arg)
{
	struct world *w = arg;
	void *volatile p = get(w, 700, LOST);

	w->lost++;
	usleep(1000);
	(void)p;
	return NULL;
}

static void dead_thread(struct world *w)
{
	in_threads(w, keep_on_stack);
	settle(w);
}

static void *keep_in_tls(void *arg)
{
	struct world *w = arg;

	mine = get(w, 700, LOST);
	w->lost++;
	return NULL;
}

static void dead_tls(struct world *w)
{
	in_threads(w, keep_in_tls);
	settle(w);
}

static void *keep_in_key(void *arg)
{
	struct world *w = arg;

	pthread_setspecific(key, get(w, 700, LOST));
	w->lost++;
	return NULL;
}

static void key_without_destructor(struct world *w)
{
	pthread_key_create(&key, NULL);
	in_threads(w, keep_in_key);
	settle(w);
}

static void *return_it(void *arg)
{
	struct world *w = arg;

	w->lost++;
	return get(w, 80 * KIB, LOST);
}

/* pthread_join() with nowhere to put the result. */
static void result_dropped(struct world *w)
{
	in_threads(w, return_it);
	settle(w);
}

static void *volatile mailbox;
static volatile unsigned int dropped;

static void *produce(void *arg)
{
	struct world *w = arg;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		while (mailbox)
			usleep(100);
		mailbox = get(w, 2500, LOST);
	}
	while (mailbox)
		usleep(100);
	return NULL;
}

/* The other thread takes each message out of the box and forgets it. */
static void handed_over_and_dropped(struct world *w)
{
	pthread_t t;

	if (pthread_create(&t, NULL, produce, w))
		_exit(3);
	while (dropped < 20) {
		if (mailbox) {
			mailbox = NULL;
			dropped++;
		}
		usleep(100);
	}
	pthread_join(t, NULL);
	w->lost = dropped;
	settle(w);
}

static void *lose_slowly(void *arg)
{
	struct world *w = arg;

	for (;;) {
		void *p = bmem_alloc(w->c, 1500, 0, 0, "slow");

		if (!p)
			return NULL;
		usleep(20000);
	}
}

/* The ones before it go on to be lost while the scans run. */
static void slow_growth(struct world *w)
{
	pthread_t t;
	unsigned int i;

	for (i = 0; i < 5; i++)
		lose(w, 1500);
	if (pthread_create(&t, NULL, lose_slowly, w))
		_exit(3);
	settle(w);
}

static ucontext_t here, there;

static void coroutine(void)
{
	swapcontext(&there, &here);
}

static struct world *co_world;

static void coroutine_that_keeps(void)
{
	void *volatile p = get(co_world, 1100, LOST);

	co_world->lost++;
	(void)p;
	coroutine();
}

static NOINLINE void abandon_coroutine(struct world *w)
{
	char *stack = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	co_world = w;
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = 64 * KIB;
	there.uc_link = &here;
	makecontext(&there, coroutine_that_keeps, 0);
	swapcontext(&here, &there);
	munmap(stack, 64 * KIB);
	memset(&there, 0, sizeof(there));
}

static void dead_coroutine(struct world *w)
{
	abandon_coroutine(w);
	settle(w);
}

static struct world *sig_world;

static void on_signal(int sig)
{
	(void)sig;
	lose(sig_world, 650);
}

static void signal_handler(struct world *w)
{
	sig_world = w;
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	raise(SIGUSR1);
	settle(w);
}

/* ---- processes --------------------------------------------------------------------- */

static void after_fork(struct world *w)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	lose(w, 1200);
	settle(w);
}

/* The child knew it, and is gone. */
static void lost_with_child(struct world *w)
{
	pid_t pid = fork();

	if (!pid) {
		keep[0] = get(w, 90 * KIB, LOST);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	w->lost++;
	settle(w);
}

/* The child knew it, and is another program now. */
static void lost_with_exec(struct world *w)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC))
		_exit(3);
	pid = fork();
	if (!pid) {
		keep[0] = get(w, 90 * KIB, LOST);
		execl("/bin/sleep", "sleep", "600", NULL);
		_exit(0);
	}
	w->lost++;
	/* It ends when nobody has the other end open any more. */
	close(fds[1]);
	if (read(fds[0], &c, 1))
		_exit(3);
	usleep(200000);
	settle(w);
	kill(pid, SIGKILL);
}

/* Both know the tensor, and both forget it. */
static void forgotten_by_both(struct world *w)
{
	int fds[2];
	pid_t pid;
	char c;

	keep[0] = get(w, 1300, LOST);
	w->lost++;
	if (pipe(fds))
		_exit(3);
	pid = fork();
	if (!pid) {
		keep[0] = NULL;
		go_on();
		if (write(fds[1], "", 1) != 1)
			_exit(3);
		for (;;)
			pause();
	}
	if (read(fds[0], &c, 1) != 1)
		_exit(3);
	usleep(50000);
	keep[0] = NULL;
	settle(w);
	kill(pid, SIGKILL);
}

/* A client has two processes, and only the child leaks. */
static void child_leaks(struct world *w)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe(fds))
		_exit(3);
	pid = fork();
	if (!pid) {
		lose(w, 2200);
		go_on();
		if (write(fds[1], "", 1) != 1)
			_exit(3);
		for (;;)
			pause();
	}
	if (read(fds[0], &c, 1) != 1)
		_exit(3);
	w->lost++;
	settle(w);
	kill(pid, SIGKILL);
}

static void second_client(struct world *w)
{
	struct bmem_options o = {
		.sz = sizeof(o), .backend = BMEM_BACKEND_DEV,
	};
	struct world other = { 0 };
	unsigned int i;

	keep[0] = get(w, 1000, KEPT);
	if (bmem_open(&w->more, &o))
		_exit(3);
	other.c = w->more;
	for (i = 0; i < 5; i++)
		lose(&other, 1000);
	w->lost = other.lost;
	settle(w);
}

/* ---- what is said by links ------------------------------------------------------------ */

static void must(int ret)
{
	if (ret)
		_exit(3);
}

/* Kept by pointers, all of them, so that nothing but their links tells. */
static void link_ring(struct world *w, unsigned int nr, size_t size)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		keep[i] = get(w, size, LOST);
	must(bmem_link(w->c, NULL, keep[0]));
	for (i = 0; i < nr; i++)
		must(bmem_link(w->c, keep[i], keep[(i + 1) % nr]));
	must(bmem_unlink(w->c, NULL, keep[0]));
	w->lost += nr;
}

static void link_to_itself(struct world *w)
{
	link_ring(w, 1, 100 * KIB);
	settle(w);
}

static void cycle_of_links(struct world *w)
{
	link_ring(w, 2, 500);
	settle(w);
}

/* And what hangs on it. */
static void ring_of_links(struct world *w)
{
	link_ring(w, 50, 70 * KIB);
	keep[50] = get(w, 300, LOST);
	must(bmem_link(w->c, keep[7], keep[50]));
	w->lost++;
	settle(w);
}

static void held_and_let_go(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		keep[i] = get(w, 2000 + i * 20000, LOST);
		must(bmem_link(w->c, NULL, keep[i]));
		must(bmem_unlink(w->c, NULL, keep[i]));
		w->lost++;
	}
	settle(w);
}

/* The views are freed; their base is not. */
static void base_of_freed_views(struct world *w)
{
	void *view;
	unsigned int i;

	keep[0] = get(w, 5000, LOST);
	for (i = 0; i < 3; i++) {
		view = get(w, 80 * KIB, KEPT);
		must(bmem_link(w->c, view, keep[0]));
		must(bmem_free(w->c, view));
	}
	w->lost++;
	settle(w);
}

/* One holder has let go, the other one was forgotten. */
static NOINLINE void hold_twice(struct world *w)
{
	void *p = get(w, 900, LOST);

	must(bmem_ref(w->c, p));
	must(bmem_unref(w->c, p));
	must(bmem_ref(w->c, p));
	w->lost++;
}

static void reference_forgotten(struct world *w)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		hold_twice(w);
	settle(w);
}

static NOINLINE void view_and_forget(struct world *w)
{
	void *p = get(w, 90 * KIB, LOST);

	if (!bmem_view(w->c, p, 4096, 8192))
		_exit(3);
	must(bmem_unref(w->c, p));
	w->lost++;
}

static void view_forgotten(struct world *w)
{
	view_and_forget(w);
	view_and_forget(w);
	settle(w);
}

/* ---- growth: all of it is known ------------------------------------------------------------ */

#define GROWN_MAX	20000
#define GROWN_BYTES	(8 * KIB)

static void *grown[GROWN_MAX];
static unsigned int nr_grown;

static void grow(struct world *w)
{
	if (nr_grown < GROWN_MAX)
		grown[nr_grown++] = get(w, GROWN_BYTES, LOST);
}

static void append(struct world *w, unsigned int i)
{
	(void)i;
	grow(w);
}

static void list_appended_to(struct world *w)
{
	w->lost = 1;
	go_on_stepping(w, append);
}

/* A third is dropped, and what is there is used: it has no bound all the same. */
static void insert(struct world *w, unsigned int i)
{
	grow(w);
	if (i % 3 == 2) {
		must(bmem_free(w->c, grown[nr_grown / 2]));
		nr_grown--;
		grown[(nr_grown + 1) / 2] = grown[nr_grown];
	}
	*(volatile char *)grown[i % nr_grown] = 1;
}

static void cache_without_bound(struct world *w)
{
	w->lost = 1;
	go_on_stepping(w, insert);
}

/* Of twenty of a site's calls one is not undone. */
static void forget_one(struct world *w, unsigned int i)
{
	void *now[20];
	unsigned int k;

	for (k = 0; k < 20; k++)
		now[k] = get(w, GROWN_BYTES, LOST);
	for (k = 0; k < 20; k++) {
		if (k != i % 20)
			must(bmem_free(w->c, now[k]));
		else if (nr_grown < GROWN_MAX)
			grown[nr_grown++] = now[k];
	}
}

static void one_in_twenty_known(struct world *w)
{
	w->lost = 1;
	go_on_stepping(w, forget_one);
}

/* ---- exec() -------------------------------------------------------------------------------- */

static void after_exec(struct world *w)
{
	if (!w->again) {
		keep[0] = get(w, 1200, LOST);
		run_again(w);
	}
	lose(w, 1200);
	lose(w, 120 * KIB);
	settle(w);
}

/* The descriptor stays open, and is mapped again; what was there is not known. */
static void kept_over_exec(struct world *w)
{
	struct bmem_alloc_entry e[2] = {
		{ .bytes = 5000, .site = 1, .flags = BMEM_ALLOC_RECORD },
		{ .bytes = 70000, .site = 1, .flags = BMEM_ALLOC_RECORD },
	};
	struct bmem_alloc a = {
		.size = sizeof(a), .nr = 2, .entries = (uintptr_t)e,
	};
	struct bmem_site s = { .size = sizeof(s), .site = 1, .label = LOST };

	if (!w->again) {
		w->bare = open("/dev/bmem", O_RDWR);
		if (w->bare < 0 || ioctl(w->bare, BMEM_SITE, &s) ||
		    ioctl(w->bare, BMEM_ALLOC, &a))
			_exit(3);
		run_again(w);
	}
	if (mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, w->bare,
		 0) == MAP_FAILED)
		_exit(3);
	w->lost = 2;
	settle(w);
}

const struct program leaking[] = {
	{ "a small tensor", small, 0 },
	{ "a tensor of one word", tiny, 0 },
	{ "a slot of several pages", slot_of_pages, 0 },
	{ "a block", block, 0 },
	{ "a large tensor", large, 0 },
	{ "aligned tensors that were asked for as zeroes", aligned, 0 },
	{ "300 small tensors", many_small, 0 },
	{ "30 blocks", many_blocks, 0 },
	{ "a batch", batch, 0 },
	{ "a global that is set twice", global_twice, 0 },
	{ "a loop with an early return", loop_with_continue, 0 },
	{ "longjmp() over the frame that has the pointer", error_path, 0 },
	{ "within a scope", scope, 0 },
	{ "5 % of a site's small tensors", one_in_twenty, 0 },
	{ "5 % of a site's blocks", blocks_one_in_twenty, 0 },
	{ "a pointer in what is leaked only", inside_leaked, 0 },
	{ "a chain of 50", chain, 0 },
	{ "a pointer to itself", self, 0 },
	{ "a cycle of two", cycle_of_two, 0 },
	{ "a cycle of a hundred", cycle_of_hundred, 0 },
	{ "a tree without a root", tree_without_root, 0 },
	{ "a doubly linked ring", ring, 0 },
	{ "a block and a slot that lead to each other", block_and_slot, 0 },
	{ "the tail of a list", tail_dropped, 0 },
	{ "a pointer in a freed slot only", behind_freed_slot, 0 },
	{ "a pointer in a freed block only", behind_freed_block, 0 },
	{ "entries of a table overwritten", overwritten_entries, 0 },
	{ "a vector truncated", truncated_vector, 0 },
	{ "a gradient replaced", gradient_replaced, 0 },
	{ "grown by a copy, the old one not freed", grown_without_free, 0 },
	{ "pointers in freed heap that is used again", holder_freed, 0 },
	{ "a pointer in memory that is unmapped", holder_unmapped, 0 },
	{ "a pointer in shared memory that is cleared", shared_holder_cleared, 0 },
	{ "a process of 4 TiB with holes", sparse_process, 0 },
	{ "a pointer on the stack of a thread that ended", dead_thread, 0 },
	{ "thread-local storage of a thread that ended", dead_tls, 0 },
	{ "a key without a destructor", key_without_destructor, 0 },
	{ "a thread's result that nobody takes", result_dropped, 0 },
	{ "handed over to another thread and dropped", handed_over_and_dropped, 0 },
	{ "one every 20 ms", slow_growth, 0 },
	{ "a coroutine that is never resumed", dead_coroutine, 0 },
	{ "in a signal handler", signal_handler, 0 },
	{ "after fork()", after_fork, 0 },
	{ "known to a child that ended", lost_with_child, 0 },
	{ "known to a child that called exec()", lost_with_exec, 0 },
	{ "forgotten by parent and child", forgotten_by_both, 0 },
	{ "by a child that lives", child_leaks, 0 },
	{ "in a second client", second_client, 0 },
	{ "after exec()", after_exec, 0 },
	{ "known before exec() only", kept_over_exec, 0 },
	{ "a reference that is not given back", reference_forgotten, 0 },
	{ "a view that is forgotten", view_forgotten, 0 },
	{ "a link to itself", link_to_itself, BMEM_LEAK_CYCLE },
	{ "a cycle of two links", cycle_of_links, BMEM_LEAK_CYCLE },
	{ "a ring of links", ring_of_links, BMEM_LEAK_CYCLE },
	{ "held and let go", held_and_let_go, BMEM_LEAK_UNREFERENCED },
	{ "a base whose views are freed", base_of_freed_views,
	  BMEM_LEAK_UNREFERENCED },
	{ "slow growth of a list", list_appended_to, BMEM_LEAK_GROWTH },
	{ "growth inside a cache without bound", cache_without_bound,
	  BMEM_LEAK_GROWTH },
	{ "5 % of a site's calls, in a table", one_in_twenty_known,
	  BMEM_LEAK_GROWTH },
};

const unsigned int nr_leaking = ARRAY_SIZE(leaking);
