// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench_list: how long listing 100000 tensors takes, and what another thread's
 * ALLOC and FREE wait meanwhile: no more than without, or a lock is held
 * across the list.
 */
#include <pthread.h>

#include "bench.h"

#define TENSORS		100000
#define REPEAT		7

/**
 * struct beside - a thread that allocates and frees
 * @c: the client, that of the listing thread
 * @stop: told to end
 * @longest: out, longest pair, in nanoseconds
 * @pairs: out, how many
 */
struct beside {
	struct bt_client *c;
	volatile bool stop;
	volatile __u64 longest;
	volatile __u64 pairs;
};

static void populate(int fd)
{
	static struct bmem_alloc_entry e[BMEM_BATCH_MAX];
	unsigned int done, i, n;

	for (done = 0; done < TENSORS; done += n) {
		n = TENSORS - done < BMEM_BATCH_MAX ? TENSORS - done :
						      BMEM_BATCH_MAX;
		for (i = 0; i < n; i++)
			e[i] = (struct bmem_alloc_entry){ .bytes = BT_PAGE };
		MUST(bt_alloc(fd, e, n, NULL));
	}
}

static void *allocate(void *arg)
{
	struct beside *b = arg;
	struct bmem_alloc_entry e;
	__u64 t;

	while (!b->stop) {
		t = bt_now_ns();
		MUST(bt_alloc1(b->c->fd, 8 * BT_PAGE, &e));
		MUST(bt_free1(b->c->fd, e.handle));
		t = bt_now_ns() - t;
		if (t > b->longest)
			b->longest = t;
		b->pairs++;
	}
	return NULL;
}

/* Lists all once; nanoseconds. */
static __u64 list(struct bt_client *c)
{
	static struct bmem_tensor rows[BMEM_BATCH_MAX];
	struct bmem_tensor_list l = {
		.size = sizeof(l), .entries = (uintptr_t)rows,
	};
	__u64 start = bt_now_ns(), nr = 0;

	do {
		l.nr = BMEM_BATCH_MAX;
		MUST(bt_call(c->fd, BMEM_TENSOR_LIST, &l));
		nr += l.nr;
	} while (l.nr == BMEM_BATCH_MAX);
	start = bt_now_ns() - start;
	if (nr < TENSORS)
		MUST(-EIO);
	return start;
}

int main(void)
{
	struct beside b = { 0 };
	struct bt_client c;
	pthread_t thread;
	__u64 took;
	int i, pool, admin = bt_open();

	MUST(admin);
	pool = bt_pool_create(admin, "list", BT_GIB, 0);
	MUST(pool);
	MUST(bt_client_open(&c, pool));
	populate(c.fd);
	for (i = 0; i < REPEAT; i++)
		SAMPLE(list(&c) / 1e6, "ms", "vm/time/list_alone/%d", TENSORS);
	b.c = &c;
	if (pthread_create(&thread, NULL, allocate, &b))
		MUST(-errno);
	for (i = 0; i < REPEAT; i++) {
		b.longest = 0;
		usleep(50000);
		SAMPLE(b.longest / 1e3, "us", "vm/time/alloc_wait/alone");
		b.longest = 0;
		b.pairs = 0;
		took = list(&c);
		SAMPLE(took / 1e6, "ms", "vm/time/list/%d", TENSORS);
		SAMPLE(b.longest / 1e3, "us", "vm/time/alloc_wait/listing");
		SAMPLE(b.pairs, "pairs", "vm/time/alloc_pairs/listing");
	}
	b.stop = true;
	pthread_join(thread, NULL);
	bt_client_close(&c);
	MUST(bt_pool_destroy(admin, pool));
	close(admin);
	return 0;
}
