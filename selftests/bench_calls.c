// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench_calls: what calls cost, in instructions, by how many tensors live and
 * by tracking level.
 */
#include "bench.h"

#define REPEAT		15
#define LARGE		(4 * BT_MIB)
#define SITES		16
#define QUEUED_MAX	64U

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

/* FREE of a huge page while @queued others wait to go back. */
static void free_with(const struct bt_client *c, unsigned int queued, __u64 own)
{
	static struct bmem_alloc_entry e[QUEUED_MAX + 1];
	unsigned int i, nr = queued + 1;
	__u64 start;

	for (i = 0; i < nr; i++)
		e[i] = (struct bmem_alloc_entry){
			.bytes = BT_HUGE, .align = BT_HUGE, .site = 1,
		};
	MUST(bt_alloc(c->fd, e, nr, NULL));
	for (i = 0; i < queued; i++)
		MUST(bt_free1(c->fd, e[i].handle));
	start = bt_now_ns();
	MUST(bt_free1(c->fd, e[queued].handle));
	SAMPLE(bt_now_ns() - start - own, "instructions",
	       "vm/icount/free_queued/%u", queued);
	MUST(bt_trim(c->fd, BMEM_TRIM_QUEUED, 0, NULL));
}

/*
 * The first that waits sets the worker's timer; from then on nothing depends on
 * how many there are.  The client holds so much that all of them may wait.
 */
static void frees_by_queue(int pool)
{
	static const unsigned int queued[] = { 0, 1, 10, QUEUED_MAX };
	struct bmem_alloc_entry big;
	__u64 own = clock_cost();
	struct bt_client c;
	char batch[16], idle[16];
	unsigned int i, j;

	MUST(bt_param("cleanup_batch", batch, sizeof(batch)));
	MUST(bt_param("cleanup_idle_ms", idle, sizeof(idle)));
	MUST(bt_param_set("cleanup_batch", "1024"));
	MUST(bt_param_set("cleanup_idle_ms", "60000"));
	open_client(&c, pool);
	MUST(bt_bind_cache(c.fd, 0));
	MUST(bt_alloc1(c.fd, 16 * (QUEUED_MAX + 1) * BT_HUGE, &big));
	free_with(&c, 1, own);
	for (i = 0; i < sizeof(queued) / sizeof(queued[0]); i++)
		for (j = 0; j < REPEAT; j++)
			free_with(&c, queued[i], own);
	bt_client_close(&c);
	MUST(bt_param_set("cleanup_batch", batch));
	MUST(bt_param_set("cleanup_idle_ms", idle));
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
	frees_by_queue(pool);
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
