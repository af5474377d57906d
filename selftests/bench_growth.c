// SPDX-License-Identifier: GPL-2.0-only
/*
 * What finding growth costs beside allocation: instructions of all that sweeps
 * do in their default period, by how many sites there are, and of the calls that
 * one thread makes meanwhile.
 */
#include "bench.h"

/* Seconds until growth is judged, and that are measured. */
#define WARM_UP		10
#define SECONDS		8
#define BLOCK		4096

static __u64 swept(void)
{
	return bt_debugfs_value("overhead", "sweeps_ns");
}

/* Each site grows, so that each is looked at as closely as there is. */
static void grow(int fd, __u32 sites)
{
	static struct bmem_alloc_entry e[BMEM_BATCH_MAX];
	__u32 done, i, nr;

	for (done = 0; done < sites; done += nr) {
		nr = sites - done < BMEM_BATCH_MAX ? sites - done : BMEM_BATCH_MAX;
		for (i = 0; i < nr; i++)
			e[i] = (struct bmem_alloc_entry){
				.bytes = BLOCK, .site = 1 + done + i,
			};
		MUST(bt_alloc(fd, e, nr, NULL));
	}
}

static void pair(int fd, __u32 site)
{
	struct bmem_alloc_entry e = { .bytes = BLOCK, .site = site };

	MUST(bt_alloc(fd, &e, 1, NULL));
	MUST(bt_free1(fd, e.handle));
}

/* A second of nothing but pairs; returns how many. */
static __u64 busy_second(int fd, __u32 sites)
{
	__u64 end = bt_now_ns() + 1000000000ULL, nr;

	for (nr = 0; bt_now_ns() < end; nr++)
		pair(fd, 1 + nr % sites);
	return nr;
}

static void measure(int pool, __u32 sites)
{
	__u64 begun, sweeps = 0, calls = 0, nr = 0, was;
	struct bt_client c;
	unsigned int i;

	MUST(bt_client_open(&c, pool));
	MUST(bt_bind_cache(c.fd, 16 * BT_MIB));
	/* So many looks, and from then on they are judged. */
	for (i = 0; i < WARM_UP; i++) {
		grow(c.fd, sites);
		busy_second(c.fd, sites);
	}
	for (i = 0; i < SECONDS; i++) {
		grow(c.fd, sites);
		was = swept();
		begun = bt_now_ns();
		nr += busy_second(c.fd, sites);
		calls += bt_now_ns() - begun;
		sweeps += swept() - was;
	}
	MUST(sweeps && sweeps < calls ? 0 : -EINVAL);
	/* One clock counts the instructions of all processors. */
	calls -= sweeps;
	SAMPLE(100.0 * sweeps / calls, "%", "vm/icount/growth_share/%u", sites);
	SAMPLE((double)calls / nr, "instructions", "vm/icount/growth_pair");
	SAMPLE((double)sweeps / SECONDS, "instructions",
	       "vm/icount/growth_second/%u", sites);
	bt_client_close(&c);
}

int main(void)
{
	int admin = bt_open(), pool;

	MUST(admin);
	pool = bt_pool_create(admin, "growth", BT_GIB, 0);
	MUST(pool);
	measure(pool, 100);
	measure(pool, 2000);
	MUST(bt_pool_destroy(admin, pool));
	close(admin);
	return 0;
}
