// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The device as a backend: one descriptor, one mapping, and ioctl().
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

static int dev_call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	int ret, saved = errno;

	/* Only a fatal signal ends a wait in the module; others may come. */
	do {
		ret = ioctl(c->fd, cmd, arg);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

static int dev_query(struct bmem_client *c, struct bmem_query *q)
{
	int ret;

	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	ret = dev_call(c, BMEM_QUERY, q);
	if (ret)
		return ret;
	if (q->page_size != BMEM_PAGE_SIZE || q->huge_size != BMEM_HUGE_SIZE ||
	    q->batch_max < BMEM_BATCH_MAX || !q->space_bytes)
		return -EOPNOTSUPP;
	return 0;
}

static int map_len(struct bmem_client *c, size_t len)
{
	char *p = space_map(c->fd, len);

	if (!p)
		return -errno;
	c->base = p;
	c->len = len;
	if (!handles_init(c))
		return 0;
	munmap(p, len);
	return -ENOMEM;
}

/* The whole space, or as much of its beginning as the process may map. */
static int dev_map(struct bmem_client *c, uint64_t space)
{
	uint64_t len = space;
	int ret;

	ret = space_bound(&len);
	if (ret)
		return ret;
	for (;;) {
		ret = map_len(c, len);
		if (ret != -ENOMEM)
			return ret;
		len = pow2_below(len - 1);
		if (len < BMEM_HUGE_SIZE)
			return ret;
	}
}

static int dev_set_up(struct bmem_client *c, const struct bmem_options *o)
{
	struct bmem_query q;
	int ret;

	ret = dev_query(c, &q);
	if (!ret)
		ret = client_bind(c, o);
	if (!ret)
		ret = dev_map(c, q.space_bytes);
	return ret;
}

static int dev_open(struct bmem_client *c, const struct bmem_options *o)
{
	int ret;

	do {
		c->fd = open(BMEM_DEVICE, O_RDWR | O_CLOEXEC);
	} while (c->fd < 0 && errno == EINTR);
	if (c->fd < 0)
		return -errno;
	ret = dev_set_up(c, o);
	if (ret) {
		close(c->fd);
		c->fd = -1;
	}
	return ret;
}

static void dev_close(struct bmem_client *c)
{
	handles_fini(c);
	munmap(c->base, c->len);
	close(c->fd);
}

const struct backend backend_dev = {
	.name = "dev",
	.open = dev_open,
	.close = dev_close,
	.call = dev_call,
};
