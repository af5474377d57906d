// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench_map: mapping, touching and giving back large memory, in instructions,
 * by bmem and by what the kernel has without it.
 *
 * Each figure is one of three repetitions.  "all" is the whole, "map" up to
 * where the memory may be used, "touch" the first byte of each 2 MiB written,
 * "release" all of it given back; "faults" are counted by the kernel.  In the way
 * "4k", for scale, each 4 KiB is touched.  bmem
 * runs on a warm pool: its reservation is zeroed, and the client keeps nothing
 * for itself; each repetition waits until that is so again.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "bench.h"

#define REPEAT		3
#define LARGEST		BT_GIB
/* A fault each: a GiB of them is half a minute for what is known by then. */
#define LARGEST_4K	(128 * BT_MIB)
#define HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define THP		"/sys/kernel/mm/transparent_hugepage/enabled"

static const __u64 sizes[] = {
	2 * BT_MIB, 16 * BT_MIB, 128 * BT_MIB, LARGEST,
};

/**
 * struct area - memory that is mapped
 * @p: where
 * @bytes: how much
 * @fd: of the file or the client behind it, or -1
 * @handle: bmem's name for it
 */
struct area {
	char *p;
	__u64 bytes;
	int fd;
	__u64 handle;
};

/**
 * struct way - one way to have memory
 * @name: what the figures call it
 * @largest: most bytes to measure
 * @prepare: makes it possible for @LARGEST bytes; 0 or -errno
 * @map: maps @bytes of an area
 * @release: gives all back
 * @settle: waits until it can be repeated
 * @finish: undoes @prepare
 */
struct way {
	const char *name;
	__u64 largest;
	int (*prepare)(struct area *a);
	int (*map)(struct area *a);
	void (*release)(struct area *a);
	void (*settle)(struct area *a);
	void (*finish)(struct area *a);
};

static void nothing(struct area *a)
{
	(void)a;
}

static int map_flags(struct area *a, int flags)
{
	a->p = mmap(NULL, a->bytes, PROT_READ | PROT_WRITE, flags, a->fd, 0);
	return a->p == MAP_FAILED ? -errno : 0;
}

static void unmap(struct area *a)
{
	munmap(a->p, a->bytes);
}

/* ---- bmem ------------------------------------------------------------------ */

static int pool;

static int bmem_prepare(struct area *a)
{
	a->fd = bt_open();
	if (a->fd < 0)
		return a->fd;
	pool = bt_pool_create(a->fd, "map", 2 * LARGEST, LARGEST);
	if (pool < 0)
		return pool;
	MUST(bt_bind_pool(a->fd, pool));
	return bt_bind_cache(a->fd, 0);
}

static void bmem_settle(struct area *a)
{
	struct bmem_pool_stats st;

	do {
		usleep(100000);
		MUST(bt_pool_stats(a->fd, pool, &st));
	} while (st.zeroed_bytes != LARGEST);
}

static int bmem_map(struct area *a)
{
	struct bmem_alloc_entry e;
	int ret = bt_alloc1(a->fd, a->bytes, &e);

	if (ret)
		return ret;
	a->handle = e.handle;
	a->p = bt_map(a->fd, e.offset, a->bytes);
	return a->p ? 0 : -errno;
}

static void bmem_release(struct area *a)
{
	munmap(a->p, a->bytes);
	MUST(bt_free1(a->fd, a->handle));
}

static void bmem_finish(struct area *a)
{
	int fd = bt_open();

	close(a->fd);
	MUST(bt_pool_destroy(fd, pool));
	close(fd);
}

/* The library's way: the space stays mapped. */
static struct bt_client client;

static int open_prepare(struct area *a)
{
	a->fd = bt_open();
	pool = bt_pool_create(a->fd, "map", 2 * LARGEST, LARGEST);
	if (pool < 0)
		return pool;
	MUST(bt_client_open(&client, pool));
	return bt_bind_cache(client.fd, 0);
}

static int open_map(struct area *a)
{
	struct bmem_alloc_entry e;
	int ret = bt_alloc1(client.fd, a->bytes, &e);

	a->handle = e.handle;
	a->p = client.map + e.offset;
	return ret;
}

static void open_release(struct area *a)
{
	MUST(bt_free1(client.fd, a->handle));
}

static void open_finish(struct area *a)
{
	bt_client_close(&client);
	bmem_finish(a);
}

/* ---- the others ------------------------------------------------------------ */

static int huge_prepare(struct area *a)
{
	char text[32];

	a->fd = -1;
	snprintf(text, sizeof(text), "%llu\n", LARGEST / BT_HUGE);
	return bt_write_file(HUGEPAGES, text);
}

static void huge_finish(struct area *a)
{
	(void)a;
	bt_write_file(HUGEPAGES, "0\n");
}

static int huge_map(struct area *a)
{
	return map_flags(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
}

static int memfd_map(struct area *a)
{
	a->fd = syscall(SYS_memfd_create, "bench", MFD_HUGETLB);
	if (a->fd < 0)
		return -errno;
	if (ftruncate(a->fd, a->bytes))
		return -errno;
	return map_flags(a, MAP_SHARED);
}

static void memfd_release(struct area *a)
{
	unmap(a);
	close(a->fd);
	a->fd = -1;
}

static int thp_prepare(struct area *a)
{
	a->fd = -1;
	return bt_write_file(THP, "madvise");
}

/* Room to begin at a multiple of 2 MiB, or its first page cannot be huge. */
static int thp_map(struct area *a)
{
	__u64 more = a->bytes + BT_HUGE;
	char *p = mmap(NULL, more, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	a->p = (char *)BT_ROUND_UP((uintptr_t)p, BT_HUGE);
	a->fd = a->p - p;
	return madvise(a->p, a->bytes, MADV_HUGEPAGE) ? -errno : 0;
}

static void thp_release(struct area *a)
{
	munmap(a->p - a->fd, a->bytes + BT_HUGE);
	a->fd = -1;
}

static int small_prepare(struct area *a)
{
	a->fd = -1;
	return bt_write_file(THP, "never");
}

static int small_map(struct area *a)
{
	return map_flags(a, MAP_PRIVATE | MAP_ANONYMOUS);
}

static const struct way ways[] = {
	{ "bmem", LARGEST, bmem_prepare, bmem_map, bmem_release, bmem_settle,
	  bmem_finish },
	{ "bmem-mapped", LARGEST, open_prepare, open_map, open_release,
	  bmem_settle, open_finish },
	{ "hugetlb", LARGEST, huge_prepare, huge_map, unmap, nothing,
	  huge_finish },
	{ "memfd-hugetlb", LARGEST, huge_prepare, memfd_map, memfd_release,
	  nothing, huge_finish },
	{ "thp", LARGEST, thp_prepare, thp_map, thp_release, nothing, nothing },
	{ "4k", LARGEST_4K, small_prepare, small_map, unmap, nothing, nothing },
};

/* ---- figures --------------------------------------------------------------- */

static void touch(const struct way *w, const struct area *a)
{
	__u64 step = strcmp(w->name, "4k") ? BT_HUGE : BT_PAGE, at;

	for (at = 0; at < a->bytes; at += step)
		*(volatile char *)(a->p + at) = 1;
}

static void measure(const struct way *w, struct area *a)
{
	__u64 own = clock_cost(), t[4];
	long faults;

	w->settle(a);
	faults = bt_minor_faults();
	t[0] = bt_now_ns();
	MUST(w->map(a));
	t[1] = bt_now_ns();
	touch(w, a);
	t[2] = bt_now_ns();
	w->release(a);
	t[3] = bt_now_ns();
	faults = bt_minor_faults() - faults;
#define AS(what)	"vm/icount/map/%s/%llu/" what, w->name, a->bytes
	SAMPLE(t[3] - t[0] - 3 * own, "instructions", AS("all"));
	SAMPLE(t[1] - t[0] - own, "instructions", AS("map"));
	SAMPLE(t[2] - t[1] - own, "instructions", AS("touch"));
	SAMPLE(t[3] - t[2] - own, "instructions", AS("release"));
	SAMPLE(faults, "faults", AS("faults"));
}

int main(void)
{
	size_t i, k, n;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const struct way *w = &ways[i];
		struct area a = { .fd = -1 };
		int ret = w->prepare(&a);

		if (ret) {
			printf("%s: %s: not measured\n", w->name, strerror(-ret));
			continue;
		}
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			a.bytes = sizes[k];
			for (n = 0; n < REPEAT && a.bytes <= w->largest; n++)
				measure(w, &a);
		}
		w->finish(&a);
	}
	return 0;
}
