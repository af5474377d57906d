// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench_calls: what calls cost, in instructions, by how many tensors live and
 * by tracking level.
 */
#include "bench.h"

#define REPEAT		15
#define LARGE		(4 * BT_MIB)
#define SITES		16

static int admin;

/*
 * As many clients as figures, so that none sees what another left.  A client
 * keeps what it frees, or a figure would be of huge pages that come and go.
 */
static void open_client(struct bt_client *c, int pool)
{
	__u32 site;

	MUST(bt_client_open(c, pool));
	MUST(bt_bind_cache(c->fd, 4 * LARGE));
	for (site = 1; site <= SITES; site++)
		MUST(bt_site(c->fd, site, "bench"));
}

/* Frees every ninth of @nr tensors, so that holes are everywhere. */
static void punch(int fd, const __u64 *handles, unsigned int nr)
{
	unsigned int i;

	for (i = 4; i < nr; i += 9)
		MUST(bt_free1(fd, handles[i]));
}

/* Makes @live tensors of a page, with a hole of a page after each eighth. */
static void populate(int fd, unsigned int live)
{
	static struct bmem_alloc_entry e[BMEM_BATCH_MAX];
	unsigned int nr = live + live / 8, done, i, n;
	__u64 *handles = malloc(nr * sizeof(*handles));

	for (done = 0; done < nr; done += n) {
		n = nr - done < BMEM_BATCH_MAX ? nr - done : BMEM_BATCH_MAX;
		for (i = 0; i < n; i++)
			e[i] = (struct bmem_alloc_entry){
				.bytes = BT_PAGE, .site = 1 + i % SITES,
			};
		MUST(bt_alloc(fd, e, n, NULL));
		for (i = 0; i < n; i++)
			handles[done + i] = e[i].handle;
	}
	punch(fd, handles, nr);
	free(handles);
}

/* Instructions of one ALLOC and its FREE. */
static __u64 pair(int fd, __u64 bytes, __u64 own)
{
	struct bmem_alloc_entry e = { .bytes = bytes, .site = 1 };
	__u64 start = bt_now_ns();

	MUST(bt_alloc(fd, &e, 1, NULL));
	MUST(bt_free1(fd, e.handle));
	return bt_now_ns() - start - own;
}

static void pairs_at(int pool, unsigned int live)
{
	__u64 own = clock_cost();
	struct bt_client c;
	int i;

	open_client(&c, pool);
	populate(c.fd, live);
	pair(c.fd, LARGE, own);
	for (i = 0; i < REPEAT; i++)
		SAMPLE(pair(c.fd, LARGE, own), "instructions",
		       "vm/icount/pair_at/%u", live);
	bt_client_close(&c);
}

static void pairs_by_level(int pool)
{
	static const char *const names[] = { "off", "counts", "standard", "full" };
	__u64 own = clock_cost();
	struct bt_client c;
	__u32 level;
	int i, ret;

	open_client(&c, pool);
	populate(c.fd, 1000);
	for (level = BMEM_LEVEL_OFF; level <= BMEM_LEVEL_FULL; level++) {
		struct bmem_bind b = {
			.size = sizeof(b), .flags = BMEM_BIND_LEVEL,
			.level = level,
		};

		ret = bt_call(c.fd, BMEM_BIND, &b);
		if (ret) {
			printf("level %s: %s: not measured\n", names[level],
			       strerror(-ret));
			continue;
		}
		pair(c.fd, LARGE, own);
		for (i = 0; i < REPEAT; i++)
			SAMPLE(pair(c.fd, LARGE, own), "instructions",
			       "vm/icount/pair_level/%s", names[level]);
	}
	bt_client_close(&c);
}

/* A magazine of 64 slots, refilled and flushed. */
static void slots(int pool, __u32 class)
{
	__u64 names[64], own = clock_cost(), start, middle;
	struct bmem_slots s = { .size = sizeof(s) };
	struct bt_client c;
	int i, ret;

	open_client(&c, pool);
	for (i = 0; i < REPEAT; i++) {
		s.size_class = class;
		s.nr = 64;
		s.slots = (uintptr_t)names;
		start = bt_now_ns();
		ret = bt_call(c.fd, BMEM_SLOTS_GET, &s);
		middle = bt_now_ns();
		if (ret) {
			printf("slots: %s: not measured\n", strerror(-ret));
			break;
		}
		s.size_class = 0;
		MUST(bt_call(c.fd, BMEM_SLOTS_PUT, &s));
		SAMPLE(middle - start - own, "instructions",
		       "vm/icount/slots_get_64/%u", class);
		SAMPLE(bt_now_ns() - middle - own, "instructions",
		       "vm/icount/slots_put_64/%u", class);
	}
	bt_client_close(&c);
}

int main(void)
{
	unsigned int live;
	__u64 room;
	int pool;

	admin = bt_open();
	MUST(admin);
	pool = bt_pool_create(admin, "calls", 7 * BT_GIB, 0);
	MUST(pool);
	pairs_by_level(pool);
	slots(pool, 0);
	slots(pool, 15);
	slots(pool, BMEM_CLASSES - 1);
	for (live = 100; live <= 1000000; live *= 10) {
		room = bt_meminfo("MemAvailable");
		if (room < live * 3 / 2 * BT_PAGE + BT_GIB) {
			printf("%u tensors: %llu MiB free: not measured\n", live,
			       room / BT_MIB);
			break;
		}
		pairs_at(pool, live);
	}
	MUST(bt_pool_destroy(admin, pool));
	close(admin);
	return 0;
}
