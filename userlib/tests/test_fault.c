// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The fallback where the system says no: fallocate, madvise, memfd_create,
 * mmap and open are answered here (ld --wrap) when a test wants it.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "child.h"
#include "client.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

#define NEVER	1000000

static struct {
	int alloc_err, alloc_after, alloc_times;	/* fallocate */
	int punch_err, punch_times;
	int populate_err, populate_times;		/* madvise */
	int memfd_err;
	bool huge;					/* the system has some */
	size_t map_max;
	int maps_left;					/* then no more */
	bool die;
	unsigned int allocs, punches, populates, huge_files;
} sys;

static void sys_reset(void)
{
	memset(&sys, 0, sizeof(sys));
	sys.map_max = SIZE_MAX;
	sys.maps_left = NEVER;
}

int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __real_madvise(void *p, size_t len, int advice);
int __real_memfd_create(const char *name, unsigned int flags);
int __real_open(const char *path, int flags, ...);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);

static bool hit(int *times, int err)
{
	if (!err || !*times)
		return false;
	--*times;
	errno = err;
	return true;
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
	if (sys.die)
		_exit(0);
	if (mode) {
		sys.punches++;
		if (hit(&sys.punch_times, sys.punch_err))
			return -1;
	} else {
		sys.allocs++;
		if (!sys.alloc_after) {
			if (hit(&sys.alloc_times, sys.alloc_err))
				return -1;
		} else {
			sys.alloc_after--;
		}
	}
	return __real_fallocate(fd, mode, off, len);
}

int __wrap_madvise(void *p, size_t len, int advice);
int __wrap_madvise(void *p, size_t len, int advice)
{
	if (advice == MADV_POPULATE_WRITE) {
		sys.populates++;
		if (hit(&sys.populate_times, sys.populate_err))
			return -1;
	}
	return __real_madvise(p, len, advice);
}

int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags)
{
	if (sys.memfd_err) {
		errno = sys.memfd_err;
		return -1;
	}
	/* Huge pages are played by small ones. */
	if (sys.huge && flags & MFD_HUGETLB) {
		sys.huge_files++;
		EQ(flags >> 26, 21);
		flags = MFD_CLOEXEC;
	}
	return __real_memfd_create(name, flags);
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	const char *text = strstr(path, "/free_hugepages") ? "8\n" : "0\n";
	int fd;

	if (!strstr(path, "hugepages-2048kB"))
		return __real_open(path, flags, 0);
	if (!sys.huge)
		text = "0\n";
	fd = __real_memfd_create("sysfs", MFD_CLOEXEC);
	EQ(pwrite(fd, text, 2, 0), 2);
	return fd;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	if (len > sys.map_max || sys.maps_left-- <= 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(addr, len, prot, flags, fd, off);
}

static struct bmem_client *fresh(void)
{
	struct bmem_options o = {
		.flags = BMEM_OPEN_CACHE,
		.backend = BMEM_BACKEND_MEMFD,
		.max_bytes = LIMIT,
		.cache_bytes = 16 * MIB,
	};

	return client_with(&o);
}

static uint64_t space_of(struct bmem_client *c)
{
	struct bmem_query q = { .size = sizeof(q) };

	EQ(bmem_query(c, &q), 0);
	return q.space_bytes;
}

static void out_of_memory(void **state)
{
	static const int errs[] = { ENOSPC, ENOMEM, EIO };
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	size_t i;
	char *p;

	(void)state;
	sys_reset();
	c = fresh();
	for (i = 0; i < COUNT(errs); i++) {
		sys.alloc_err = errs[i];
		sys.alloc_times = 1;
		NUL(bmem_alloc(c, 5 * MIB, 0, 0, NULL), ENOMEM);
		/* Hugetlbfs keeps what it could get before it ran out. */
		EQ(sys.punches, i + 1);
		LIVE(c, 0, 0);
		EQ(stats_of(c).attached_bytes, 0);
		EQ(stats_of(c).failed, i + 1);
	}
	p = bmem_alloc(c, 5 * MIB, 0, BMEM_ALLOC_ZERO, NULL);
	IS(p);
	IS(all_are(p, 0, 5 * MIB));
}

/* The second of two runs cannot be had: the first one goes back as well. */
static void out_of_memory_midway(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_client_stats st;
	char *low, *mid, *p;

	(void)state;
	sys_reset();
	c = fresh();
	low = bmem_alloc(c, 4 * MIB, HUGE, 0, NULL);
	mid = bmem_alloc(c, 2 * MIB, HUGE, 0, NULL);
	IS(low && mid);
	/* absent, absent, cached, absent: for one tensor two runs are missing */
	EQ(bmem_free(c, low), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(bmem_free(c, mid), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).cached_bytes, 2 * MIB);
	sys.alloc_err = ENOSPC;
	sys.alloc_after = 1;
	sys.alloc_times = NEVER;
	NUL(bmem_alloc(c, 10 * MIB, 0, 0, NULL), ENOMEM);
	st = stats_of(c);
	EQ(st.live_bytes, 0);
	EQ(st.attached_bytes, st.cached_bytes);
	sys.alloc_times = 0;
	p = bmem_alloc(c, 10 * MIB, 0, 0, NULL);
	IS(p);
	memset(p, 1, 10 * MIB);
	EQ(stats_of(c).attached_bytes, 10 * MIB);
	EQ(stats_of(c).cached_bytes, 0);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(stats_of(c).attached_bytes, 0);
}

/* What the client has cached is given up before an allocation fails. */
static void out_of_memory_cached(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	char *a, *b;

	(void)state;
	sys_reset();
	c = fresh();
	a = bmem_alloc(c, 8 * MIB, HUGE, 0, NULL);
	b = bmem_alloc(c, 2 * MIB, HUGE, 0, NULL);
	IS(a && b);
	EQ(bmem_free(c, a), 0);
	sys.alloc_err = ENOSPC;
	sys.alloc_times = 1;
	a = bmem_alloc(c, 10 * MIB, 0, 0, NULL);
	IS(a);
	memset(a, 1, 10 * MIB);
	EQ(stats_of(c).cached_bytes, 0);
	EQ(stats_of(c).attached_bytes, 12 * MIB);
}

static void interrupted(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *p;

	(void)state;
	sys_reset();
	c = fresh();
	sys.alloc_err = EINTR;
	sys.alloc_times = 4;
	p = bmem_alloc(c, 2 * MIB, 0, 0, NULL);
	IS(p);
	EQ(sys.allocs, 5);
	EQ(bmem_free(c, p), 0);
	sys.punch_err = EINTR;
	sys.punch_times = 4;
	EQ(bmem_trim(c, 0, 0, NULL), 0);
	EQ(stats_of(c).attached_bytes, 0);
}

/* Memory that cannot be given back is still counted. */
static void punch_fails(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	uint64_t trimmed = 99;
	char *p;

	(void)state;
	sys_reset();
	c = fresh();
	p = bmem_alloc(c, 4 * MIB, 0, 0, NULL);
	IS(p);
	memset(p, 0xee, 4 * MIB);
	EQ(bmem_free(c, p), 0);
	sys.punch_err = EPERM;
	sys.punch_times = NEVER;
	EQ(bmem_trim(c, 0, 0, &trimmed), 0);
	EQ(trimmed, 0);
	EQ(stats_of(c).cached_bytes, 4 * MIB);
	EQ(stats_of(c).attached_bytes, 4 * MIB);
	p = bmem_alloc(c, 4 * MIB, 0, BMEM_ALLOC_ZERO, NULL);
	IS(p);
	IS(all_are(p, 0, 4 * MIB));
}

/* ---- without memfds ---- */

static void anonymous(void **state)
{
	static const int errs[] = { ENOSYS, EPERM, EMFILE };
	struct bmem_client *c;
	size_t i;
	char *p;

	(void)state;
	for (i = 0; i < COUNT(errs); i++) {
		sys_reset();
		sys.memfd_err = errs[i];
		c = fresh();
		p = bmem_alloc(c, 5 * MIB, 0, 0, NULL);
		IS(p);
		EQ(sys.allocs, 0);
		memset(p, 0xee, 5 * MIB);
		EQ(bmem_free(c, p), 0);
		EQ(bmem_trim(c, 0, 0, NULL), 0);
		EQ(stats_of(c).attached_bytes, 0);
		/* It has left: what comes back is zero without a memset. */
		p = bmem_alloc(c, 5 * MIB, 0, 0, NULL);
		IS(p);
		IS(all_are(p, 0, 5 * MIB));
		bmem_close(c);
	}
}

static void anonymous_out_of_memory(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;

	(void)state;
	sys_reset();
	sys.memfd_err = ENOSYS;
	c = fresh();
	sys.populate_err = ENOMEM;
	sys.populate_times = 1;
	NUL(bmem_alloc(c, 5 * MIB, 0, 0, NULL), ENOMEM);
	EQ(stats_of(c).attached_bytes, 0);
	sys.populate_err = EINTR;
	sys.populate_times = 3;
	IS(bmem_alloc(c, 5 * MIB, 0, 0, NULL));
}

/* A kernel before 5.14 does not know MADV_POPULATE_WRITE. */
static void anonymous_old_kernel(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	char *p;

	(void)state;
	sys_reset();
	sys.memfd_err = ENOSYS;
	sys.populate_err = EINVAL;
	sys.populate_times = NEVER;
	c = fresh();
	p = bmem_alloc(c, 5 * MIB, 0, BMEM_ALLOC_ZERO, NULL);
	IS(p);
	IS(all_are(p, 0, 5 * MIB));
}

static void old_kernel(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	char *p;

	(void)state;
	sys_reset();
	sys.populate_err = EINVAL;
	sys.populate_times = NEVER;
	c = fresh();
	p = bmem_alloc(c, 5 * MIB, 0, 0, NULL);
	IS(p);
	memset(p, 1, 5 * MIB);
}

/* ---- huge pages ---- */

static void huge_pages(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_pool_stats ps = { .size = sizeof(ps) };
	struct bmem_query q = { .size = sizeof(q) };

	(void)state;
	sys_reset();
	sys.huge = true;
	c = fresh();
	EQ(sys.huge_files, 1);
	EQ(bmem_query(c, &q), 0);
	EQ(q.caps, BMEM_CAP_HUGE);
	IS(bmem_alloc(c, 5 * MIB, 0, 0, NULL));
	EQ(stats_of(c).base_bytes, 0);
	EQ(bmem_pool_stats(c, &ps), 0);
	EQ(ps.huge_taken, 3);
	EQ(ps.fallbacks, 0);
	EQ(ps.base_bytes, 0);
	/* They run out: an error now, not a signal later. */
	sys.alloc_err = ENOSPC;
	sys.alloc_times = NEVER;
	NUL(bmem_alloc(c, 5 * MIB, 0, 0, NULL), ENOMEM);
	LIVE(c, 1, 5 * MIB);
}

static void no_huge_pages(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_query q = { .size = sizeof(q) };

	(void)state;
	sys_reset();
	c = fresh();
	EQ(bmem_query(c, &q), 0);
	EQ(q.caps, 0);
	IS(bmem_alloc(c, 5 * MIB, 0, 0, NULL));
	EQ(stats_of(c).base_bytes, 6 * MIB);
}

/* ---- address space ---- */

static void little_space(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	void *p;

	(void)state;
	sys_reset();
	sys.map_max = 100 * MIB;
	c = fresh();
	EQ(space_of(c), 64 * MIB);
	NUL(bmem_alloc(c, 64 * MIB + 1, 0, 0, NULL), EFBIG);
	p = bmem_alloc(c, 60 * MIB, 0, 0, NULL);
	IS(p);
	NUL(bmem_alloc(c, 5 * MIB, 0, 0, NULL), ENOSPC);
	EQ(stats_of(c).failed, 2);
	EQ(bmem_free(c, p), 0);
	IS(bmem_alloc(c, 64 * MIB, 0, 0, NULL));
}

static void no_space(void **state)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_MEMFD,
	};
	struct bmem_client *c;

	(void)state;
	sys_reset();
	sys.map_max = MIB;
	EQ(bmem_open(&c, &o), -ENOMEM);
	sys_reset();
	sys.map_max = 1;
	EQ(bmem_open(&c, &o), -ENOMEM);
	sys_reset();
}

/* Whichever mapping is refused, opening fails and leaves nothing behind. */
static void no_more_maps(void **state)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_MEMFD,
		.max_bytes = LIMIT,
	};
	struct bmem_client *c = NULL;
	int n, fd, ret = -ENOMEM;

	(void)state;
	fd = dup(0);
	close(fd);
	for (n = 0; n < 20; n++) {
		sys_reset();
		sys.maps_left = n;
		ret = bmem_open(&c, &o);
		sys_reset();
		if (!ret)
			break;
		EQ(ret, -ENOMEM);
		EQ((uintptr_t)c, 0);
		EQ(dup(0), fd);
		close(fd);
	}
	EQ(ret, 0);
	IS(n >= 5);
	bmem_close(c);
}

/* ---- a process that dies with the lock ---- */

static struct bmem_client *shared;

static int child_dies(void)
{
	sys.die = true;
	(void)bmem_alloc(shared, 5 * MIB, 0, 0, NULL);
	return 1;
}

static void death_in_the_books(void **state)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	struct bmem_tensor t;
	struct bmem_tensor_list l = {
		.size = sizeof(l),
		.nr = 1,
		.entries = (uintptr_t)&t,
	};
	void *p;
	int i;

	(void)state;
	sys_reset();
	shared = fresh();
	p = bmem_alloc(shared, 100, 0, 0, NULL);
	IS(p);
	EQ(in_child(child_dies).status, 0);
	/* Nothing is trusted any more, and nothing hangs. */
	for (i = 0; i < 2; i++) {
		NUL(bmem_alloc(shared, 1, 0, 0, NULL), ENOTRECOVERABLE);
		NUL(bmem_realloc(shared, p, 50000, 0), ENOTRECOVERABLE);
		EQ(bmem_stats(shared, &st), -ENOTRECOVERABLE);
		EQ(bmem_trim(shared, 0, 0, NULL), -ENOTRECOVERABLE);
		EQ(bmem_tensor_info(shared, p, &d), -ENOTRECOVERABLE);
		EQ(bmem_tensor_list(shared, &l), -ENOTRECOVERABLE);
	}
	/* What is in the tensors is still there, and what takes no call works. */
	strcpy(p, "content");
	EQ(bmem_usable_size(shared, p), 128);
	IS(bmem_realloc(shared, p, 128, 0) == p);
	STR(p, "content");
	EQ(bmem_free(shared, p), 0);
	EQ(bmem_free(shared, p), -ENOENT);
	bmem_close(shared);
}

static const struct CMUnitTest tests[] = {
	TEST(out_of_memory),
	TEST(out_of_memory_midway),
	TEST(out_of_memory_cached),
	TEST(interrupted),
	TEST(punch_fails),
	TEST(anonymous),
	TEST(anonymous_out_of_memory),
	TEST(anonymous_old_kernel),
	TEST(old_kernel),
	TEST(huge_pages),
	TEST(no_huge_pages),
	TEST(little_space),
	TEST(no_space),
	TEST(no_more_maps),
	TEST(death_in_the_books),
};

TEST_MAIN(tests)
