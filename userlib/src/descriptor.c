// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The device's descriptor in a program that does not know of it.
 *
 * Such a program may close all its descriptors, and the number may soon be
 * another file's. So ours is put where few programs look, and whether it is
 * still the device's is asked before each call. Another client's would answer
 * to that as well; so whoever gets a number takes it away from clients that
 * believe to have it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "descriptor.h"

/* From here on, or a little below where the program may have so many. */
#define HIGH	1000
#define BELOW	24

static int high_copy(int fd)
{
	struct rlimit lim;
	int from = HIGH;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur < 2 * BELOW)
		return -1;
	if (lim.rlim_cur < HIGH + BELOW)
		from = (int)lim.rlim_cur - BELOW;
	return fcntl(fd, F_DUPFD_CLOEXEC, from);
}

/**
 * descriptor_raise() - move a descriptor out of the way
 * @fd: descriptor
 *
 * Keeps errno.
 *
 * Return: what it is now, a higher number if possible.
 */
int descriptor_raise(int fd)
{
	int saved = errno, high = high_copy(fd);

	if (high >= 0) {
		close(fd);
		fd = high;
	}
	errno = saved;
	return fd;
}

/**
 * descriptor_take() - a client has the device open
 * @c: private client
 * @fd: descriptor; the client's from now on, under a higher number if possible
 */
void descriptor_take(struct bmem_client *c, int fd)
{
	int saved = errno;
	struct stat st;

	fd = descriptor_raise(fd);
	thread_client_lose(fd);
	c->fd = fd;
	c->device = fstat(fd, &st) ? 0 : st.st_rdev;
	errno = saved;
}

/**
 * descriptor_is() - is it still the device's?
 * @c: private client
 *
 * Keeps errno.
 *
 * Return: false if the program has closed it.
 */
bool descriptor_is(const struct bmem_client *c)
{
	int saved = errno, fd = peek(&c->fd);
	struct stat st;
	bool is;

	is = fd >= 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
	     st.st_rdev == c->device;
	errno = saved;
	return is;
}
