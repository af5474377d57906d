// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The memory under the fallback's arena: huge pages in a memfd if the system
 * has any free, ordinary pages in a memfd if not, anonymous shared memory
 * where memfds are forbidden.  What a child of fork() is to have a copy of is
 * anonymous private memory, and the kernel copies it when it is written to.
 *
 * Attaching allocates at once, so that a lack of memory is an error of the
 * allocation and not a signal at the first touch.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backing.h"
#include "internal.h"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB	(HUGE_SHIFT << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define HUGE_DIR	"/sys/kernel/mm/hugepages/hugepages-2048kB/"

/* Where no huge page is to be had, so many times none is asked for. */
#define PLAIN_TIMES	64

static unsigned long read_number(const char *path)
{
	char buf[32];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	return strtoul(buf, NULL, 10);
}

static bool system_has_huge(void)
{
	return read_number(HUGE_DIR "free_hugepages") >
	       read_number(HUGE_DIR "resv_hugepages");
}

/* A file that may not grow to @len would kill the process with SIGXFSZ. */
static bool file_may_be(size_t len)
{
	struct rlimit lim;

	return getrlimit(RLIMIT_FSIZE, &lim) || lim.rlim_cur >= len;
}

static int map_file(struct backing *bk, size_t len, unsigned int flags)
{
	int fd = memfd_create("bmem", MFD_CLOEXEC | flags);
	int err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)len)) {
		bk->base = space_map(fd, len, MAP_SHARED);
		if (bk->base) {
			bk->fd = fd;
			bk->len = len;
			return 0;
		}
	}
	err = -errno;
	close(fd);
	return err;
}

static int map_anonymous(struct backing *bk, size_t len)
{
	bk->base = space_map(-1, len, bk->private ? MAP_PRIVATE : MAP_SHARED);
	if (!bk->base)
		return -errno;
	bk->fd = -1;
	bk->len = len;
	return 0;
}

static int open_plain(struct backing *bk, size_t len)
{
	int ret = -EFBIG;

	if (!bk->private && file_may_be(len))
		ret = map_file(bk, len, 0);
	/* A lack of address space is no better without a file. */
	if (ret && ret != -ENOMEM)
		ret = map_anonymous(bk, len);
	if (!ret)
		(void)madvise(bk->base, len, MADV_HUGEPAGE);
	return ret;
}

/**
 * backing_open() - reserve a range without memory
 * @bk: out
 * @len: its length, a multiple of %BMEM_HUGE_SIZE
 * @private: a child of fork() gets a copy
 *
 * Return: 0, or a negative errno; -ENOMEM when a shorter one might do.
 */
int backing_open(struct backing *bk, size_t len, bool private)
{
	bk->private = private;
	/* Huge pages of a file that are private end in a SIGBUS where none is. */
	bk->huge = !private && system_has_huge() && file_may_be(len) &&
		   !map_file(bk, len, MFD_HUGETLB | MFD_HUGE_2MB);
	return bk->huge ? 0 : open_plain(bk, len);
}

/**
 * backing_close() - give everything back
 * @bk: backing
 */
void backing_close(struct backing *bk)
{
	munmap(bk->base, bk->len);
	if (bk->fd >= 0)
		close(bk->fd);
}

static int change_file(struct backing *bk, int mode, size_t off, size_t len)
{
	int ret, state;

	/* A thread that ended in there would leave the books half written. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	do {
		ret = fallocate(bk->fd, mode, (off_t)off, (off_t)len);
	} while (ret && errno == EINTR);
	ret = ret ? -errno : 0;
	pthread_setcancelstate(state, NULL);
	return ret;
}

static int populate(char *p, size_t len)
{
	size_t i;
	int ret;

	do {
		ret = madvise(p, len, MADV_POPULATE_WRITE);
	} while (ret && errno == EINTR);
	if (!ret || errno != EINVAL)
		return ret ? -errno : 0;
	/* Before 5.14.  Anonymous memory raises no SIGBUS. */
	for (i = 0; i < len; i += BMEM_PAGE_SIZE)
		*(volatile char *)(p + i) = 0;
	return 0;
}

/*
 * Make huge pages of chunks that have their first page.  They read as zero.
 *
 * This works whatever the system's setting for shared memory is, since it is
 * asked for.  Getting one huge page takes a third of the time of 512 others,
 * giving it back a fortieth.
 */
static bool collapse(struct backing *bk, size_t off, size_t len)
{
	if (!madvise(bk->base + off, len, MADV_COLLAPSE))
		return true;
	bk->plain = errno == EINVAL ? UINT32_MAX : PLAIN_TIMES;
	return false;
}

static bool try_collapse(struct backing *bk)
{
	if (bk->huge || bk->plain == UINT32_MAX)
		return false;
	if (!bk->plain)
		return true;
	bk->plain--;
	return false;
}

/* Memory for a part of the file; some may be there where that fails. */
static int fill_file(struct backing *bk, size_t off, size_t len)
{
	size_t at;
	int ret;

	if (try_collapse(bk)) {
		for (at = off; at < off + len; at += BMEM_HUGE_SIZE) {
			ret = change_file(bk, 0, at, BMEM_PAGE_SIZE);
			if (ret)
				return ret;
		}
		if (collapse(bk, off, len))
			return 0;
	}
	return change_file(bk, 0, off, len);
}

/**
 * backing_attach() - put memory under chunks that have none
 * @bk: backing
 * @chunk: the first
 * @nr: how many
 *
 * The memory reads as zero.
 *
 * Return: 0, or -ENOMEM and none has memory.
 */
int backing_attach(struct backing *bk, uint32_t chunk, uint32_t nr)
{
	size_t off = (size_t)chunk << HUGE_SHIFT;
	size_t len = (size_t)nr << HUGE_SHIFT;

	if (bk->fd < 0) {
		if (!populate(bk->base + off, len))
			return 0;
		(void)backing_detach(bk, chunk, nr);
		return -ENOMEM;
	}
	if (fill_file(bk, off, len)) {
		(void)backing_detach(bk, chunk, nr);
		return -ENOMEM;
	}
	/* The memory is there; mapping it now only saves page faults. */
	(void)madvise(bk->base + off, len, MADV_POPULATE_WRITE);
	return 0;
}

/**
 * backing_detach() - give the memory of chunks back to the system
 * @bk: backing
 * @chunk: the first
 * @nr: how many
 *
 * Return: 0, or a negative errno and they still have it.
 */
int backing_detach(struct backing *bk, uint32_t chunk, uint32_t nr)
{
	size_t off = (size_t)chunk << HUGE_SHIFT;
	size_t len = (size_t)nr << HUGE_SHIFT;

	if (bk->fd >= 0)
		return change_file(bk,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   off, len);
	return madvise(bk->base + off, len,
		       bk->private ? MADV_DONTNEED : MADV_REMOVE) ? -errno : 0;
}
