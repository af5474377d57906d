// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Parent and child on one client: neither hands out what the other keeps idle,
 * and either frees what the other allocated.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "child.h"
#include "client.h"

#define TENSORS		300

/* Where both sides write down what they have. */
struct board {
	unsigned char *p[2][TENSORS];
	size_t n[2][TENSORS];
};

static struct bmem_client *c;
static struct board *board;

static size_t size_of(size_t i)
{
	return i % 10 ? 1 + i * 53 % 9000 : 40000 + i * 100;
}

static bool fill(int side)
{
	size_t i;

	for (i = 0; i < TENSORS; i++) {
		board->n[side][i] = size_of(i);
		board->p[side][i] = bmem_alloc(c, size_of(i), 0, 0, NULL);
		if (!board->p[side][i])
			return false;
		memset(board->p[side][i], (int)(2 * i + (size_t)side) % 251,
		       size_of(i));
	}
	return true;
}

static bool whole(int side)
{
	size_t i;

	for (i = 0; i < TENSORS; i++)
		if (!all_are(board->p[side][i],
			     (unsigned char)((2 * i + (size_t)side) % 251),
			     board->n[side][i]))
			return false;
	return true;
}

static bool drain(int side)
{
	size_t i;

	for (i = 0; i < TENSORS; i++)
		if (bmem_free(c, board->p[side][i]) ||
		    bmem_free(c, board->p[side][i]) != -ENOENT)
			return false;
	return true;
}

static void set_up(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	IS(board != MAP_FAILED);
	c = client();
}

/* The parent has idle slots and blocks of every kind when it forks. */
static void leave_idle(void)
{
	IS(fill(0));
	IS(drain(0));
}

static void tear_down(void)
{
	EQ(bmem_flush(c), 0);
	LIVE(c, 0, 0);
	EQ(stats_of(c).granted_bytes, 0);
	EQ(stats_of(c).slots, 0);
	bmem_close(c);
	munmap(board, sizeof(*board));
}

static int child_fills(void)
{
	if (!fill(1) || !whole(1))
		return 1;
	return bmem_flush(c) ? 2 : 0;
}

static void idle_is_not_inherited(void **state)
{
	struct bmem_client_stats st;

	(void)state;
	set_up();
	leave_idle();
	EQ(in_child(child_fills).status, 0);
	/* What the parent kept it hands out; nothing lies on the child's. */
	IS(fill(0));
	IS(whole(0) && whole(1));
	st = stats_of(c);
	EQ(st.live_tensors, 2 * TENSORS);
	IS(drain(0) && drain(1));
	tear_down();
}

static int child_drains(void)
{
	if (!whole(0) || !drain(0))
		return 1;
	return bmem_flush(c) ? 2 : 0;
}

static void either_frees(void **state)
{
	(void)state;
	set_up();
	IS(fill(0));
	EQ(in_child(child_drains).status, 0);
	LIVE(c, 0, 0);
	EQ(in_child(child_fills).status, 0);
	IS(whole(1));
	IS(drain(1));
	tear_down();
}

static void *fill_in_thread(void *arg)
{
	return fill(1) ? arg : NULL;
}

static int child_with_threads(void)
{
	pthread_t t;
	void *ret;

	if (!fill(0))
		return 1;
	if (pthread_create(&t, NULL, fill_in_thread, board) ||
	    pthread_join(t, &ret) || ret != board)
		return 2;
	if (!whole(0) || !whole(1) || !drain(0) || !drain(1))
		return 3;
	bmem_close(c);
	return 0;
}

/* The child has threads, and closes the client; the parent goes on with it. */
static void child_closes(void **state)
{
	struct bmem_client_stats st;

	(void)state;
	set_up();
	leave_idle();
	EQ(bmem_flush(c), 0);
	EQ(in_child(child_with_threads).status, 0);
	/* All that the child had kept is back. */
	st = stats_of(c);
	EQ(st.granted_bytes, 0);
	IS(fill(0));
	IS(whole(0));
	IS(drain(0));
	tear_down();
}

static atomic_bool stop;

static void *keep_busy(void *arg)
{
	unsigned char *p;
	size_t i;

	for (i = 0; !atomic_load(&stop); i++) {
		p = bmem_alloc(c, size_of(i % TENSORS), 0, 0, NULL);
		if (!p)
			return NULL;
		p[0] = (unsigned char)i;
		if (p[0] != (unsigned char)i || bmem_free(c, p))
			return NULL;
	}
	return arg;
}

static int child_of_threads(void)
{
	return fill(1) && whole(1) && drain(1) && !bmem_flush(c) ? 0 : 1;
}

/* fork() at any moment of what other threads do. */
static void fork_in_the_middle(void **state)
{
	pthread_t t[2];
	void *ret;
	size_t i;

	(void)state;
	set_up();
	atomic_store(&stop, false);
	for (i = 0; i < COUNT(t); i++)
		EQ(pthread_create(&t[i], NULL, keep_busy, board), 0);
	for (i = 0; i < 20; i++)
		EQ(in_child(child_of_threads).status, 0);
	atomic_store(&stop, true);
	for (i = 0; i < COUNT(t); i++) {
		EQ(pthread_join(t[i], &ret), 0);
		IS(ret == board);
	}
	/*
	 * A child may have been forked with a tensor live, which only the
	 * parent frees.
	 */
	tear_down();
}

static const struct CMUnitTest tests[] = {
	TEST(idle_is_not_inherited),
	TEST(either_frees),
	TEST(child_closes),
	TEST(fork_in_the_middle),
};

TEST_MAIN(tests)
