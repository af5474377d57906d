// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The device as a backend: one descriptor, one mapping, and ioctl().
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "descriptor.h"
#include "internal.h"

/* Of @calls: none may begin. */
#define FROZEN		(1U << 31)

/*
 * Calls of private clients that this thread is in, and how many of these clients
 * it has frozen: it does not wait for any of them.
 */
static __thread uint32_t inside __attribute__((tls_model("initial-exec")));
static __thread uint32_t frozen __attribute__((tls_model("initial-exec")));

/* Not while a thread of the process forks, but this one. */
static bool try_begin(struct bmem_client *c)
{
	uint32_t calls = atomic_load(&c->calls);

	/* Never one too many for a moment: a child would have it for ever. */
	while (!(calls & FROZEN) || frozen)
		if (atomic_compare_exchange_weak(&c->calls, &calls, calls + 1))
			return true;
	return false;
}

static void call_begin(struct bmem_client *c)
{
	/* First and last, for a signal handler that forks in between. */
	inside++;
	atomic_signal_fence(memory_order_seq_cst);
	while (!try_begin(c))
		sched_yield();
}

static void call_end(struct bmem_client *c)
{
	atomic_fetch_sub(&c->calls, 1);
	atomic_signal_fence(memory_order_seq_cst);
	inside--;
}

static bool may_wait(unsigned long cmd, const void *arg)
{
	const struct bmem_alloc *alloc = arg;
	const struct bmem_slots *slots = arg;

	return (cmd == BMEM_ALLOC && alloc->flags & BMEM_CALL_WAIT) ||
	       (cmd == BMEM_SLOTS_GET && slots->flags & BMEM_CALL_WAIT);
}

static int do_call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	int ret, saved = errno;

	if (c->private && !descriptor_is(c))
		return -EBADF;
	/* One that waits for memory ends with any signal, and is to. */
	do {
		ret = ioctl(c->fd, cmd, arg);
	} while (ret < 0 && errno == EINTR && !may_wait(cmd, arg));
	if (ret < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

/*
 * One that waits for memory may do so for long, and fork() does not wait for it:
 * it is not counted.  But nobody learns what came of it before fork() is over,
 * since what the child has was perhaps made before.
 */
static int call_waiting(struct bmem_client *c, unsigned long cmd, void *arg)
{
	int ret = do_call(c, cmd, arg);

	call_begin(c);
	call_end(c);
	return ret;
}

static int call_counted(struct bmem_client *c, unsigned long cmd, void *arg)
{
	int ret;

	call_begin(c);
	ret = do_call(c, cmd, arg);
	call_end(c);
	return ret;
}

static int dev_call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	int ret;

	if (!c->private)
		return do_call(c, cmd, arg);
	ret = may_wait(cmd, arg) ? call_waiting(c, cmd, arg) :
				   call_counted(c, cmd, arg);
	/* A signal handler has forked, and this is the child. */
	if (ret == -EBADF && c->backend != &backend_dev)
		ret = call(c, cmd, arg);
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
	    q->batch_max < BMEM_BATCH_MAX || !q->space_bytes ||
	    q->spans_bytes < (q->space_bytes >> PAGE_SHIFT) * sizeof(uint64_t))
		return -EOPNOTSUPP;
	return 0;
}

static bool map_over(const struct bmem_client *c, const void *at, size_t len,
		     int prot, uint64_t offset)
{
	return mmap((void *)at, len, prot,
		    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, c->fd,
		    (off_t)offset) != MAP_FAILED;
}

/* A window of the device, or NULL. */
static void *window(const struct bmem_client *c, size_t len, int prot,
		    uint64_t offset)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, c->fd,
		       (off_t)offset);

	return p == MAP_FAILED ? NULL : p;
}

static size_t spans_bytes(const struct bmem_client *c)
{
	return (c->len >> PAGE_SHIFT) * sizeof(*c->spans);
}

static size_t ledger_bytes(const struct bmem_client *c)
{
	return c->records * sizeof(*c->ledger);
}

static int map_control(struct bmem_client *c, const struct bmem_query *q)
{
	if (!map_over(c, c->window, sizeof(c->window), PROT_READ,
		      q->control_offset))
		return -errno;
	c->clock = (const void *)c->window;
	c->control = (const void *)(c->window + BMEM_PAGE_SIZE);
	return 0;
}

/* As much of the ledger as the process may map; none is no mistake. */
static void map_ledger(struct bmem_client *c, const struct bmem_query *q)
{
	uint64_t len = q->ledger_bytes;

	if (len > (uint64_t)BMEM_RECORDS_MAX * sizeof(*c->ledger))
		len = (uint64_t)BMEM_RECORDS_MAX * sizeof(*c->ledger);
	for (len = space_share(len, 16); len >= BMEM_PAGE_SIZE;
	     len = pow2_below(len - 1)) {
		c->ledger = window(c, len, PROT_READ | PROT_WRITE,
				   q->ledger_offset);
		if (!c->ledger)
			continue;
		c->records = (uint32_t)(len / sizeof(*c->ledger));
		return;
	}
}

/* The space and its span map. */
static int map_len(struct bmem_client *c, const struct bmem_query *q,
		   size_t len)
{
	int ret;

	c->base = space_map(c->fd, len, MAP_SHARED);
	if (!c->base)
		return -errno;
	c->len = len;
	c->spans = window(c, spans_bytes(c), PROT_READ, q->spans_offset);
	if (c->spans)
		return 0;
	ret = -errno;
	munmap(c->base, len);
	return ret;
}

/* The whole space, or as much of its beginning as the process may map. */
static int map_space(struct bmem_client *c, const struct bmem_query *q)
{
	uint64_t len = q->space_bytes;
	int ret;

	ret = space_bound(&len);
	if (ret)
		return ret;
	for (;;) {
		ret = map_len(c, q, len);
		if (ret != -ENOMEM)
			return ret;
		len = pow2_below(len - 1);
		if (len < BMEM_HUGE_SIZE)
			return ret;
	}
}

static int dev_map(struct bmem_client *c, const struct bmem_query *q)
{
	int ret;

	ret = map_control(c, q);
	if (ret)
		return ret;
	ret = map_space(c, q);
	if (!ret)
		map_ledger(c, q);
	return ret;
}

/* Ask for clones, or in the child take one; a module may not know of them. */
static bool bind_clone(struct bmem_client *c)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_CLONE,
	};

	return !dev_call(c, BMEM_BIND, &bind);
}

static int dev_set_up(struct bmem_client *c, const struct bmem_options *o)
{
	struct bmem_query q;
	int ret;

	c->clone = -1;
	ret = dev_query(c, &q);
	if (!ret)
		ret = client_bind(c, o);
	if (!ret)
		c->cloneable = c->private && bind_clone(c);
	if (!ret)
		ret = dev_map(c, &q);
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
	if (c->private)
		descriptor_take(c, c->fd);
	ret = dev_set_up(c, o);
	if (ret) {
		close(c->fd);
		c->fd = -1;
	}
	return ret;
}

static void dev_close(struct bmem_client *c)
{
	munmap(c->base, c->len);
	munmap((void *)c->spans, spans_bytes(c));
	if (c->records)
		munmap(c->ledger, ledger_bytes(c));
	if (!c->private || descriptor_is(c))
		close(c->fd);
}

/* Wait until all other threads are out of their calls. */
static void freeze(struct bmem_client *c)
{
	const struct timespec soon = { .tv_nsec = 50000 };

	frozen++;
	atomic_fetch_or(&c->calls, FROZEN);
	while ((atomic_load(&c->calls) & ~FROZEN) > inside)
		nanosleep(&soon, NULL);
}

static void thaw(struct bmem_client *c)
{
	atomic_fetch_and(&c->calls, ~FROZEN);
	frozen--;
}

/* -1 when the module has no room for what the child may write to. */
static int clone_make(struct bmem_client *c)
{
	struct bmem_clone arg = { .size = sizeof(arg) };

	if (!c->cloneable || dev_call(c, BMEM_CLONE, &arg))
		return -1;
	return descriptor_raise(arg.fd);
}

/* Everything is where it was, but the clone's. */
static int clone_map(struct bmem_client *c)
{
	struct bmem_query q;
	int ret = dev_query(c, &q);

	if (ret)
		return ret;
	if (map_over(c, c->base, c->len, PROT_READ | PROT_WRITE, 0) &&
	    map_over(c, c->spans, spans_bytes(c), PROT_READ, q.spans_offset) &&
	    map_over(c, c->clock, 2UL * BMEM_PAGE_SIZE, PROT_READ,
		     q.control_offset) &&
	    (!c->records || map_over(c, c->ledger, ledger_bytes(c),
				     PROT_READ | PROT_WRITE, q.ledger_offset)))
		return 0;
	return -errno;
}

/* In the child, the parent's descriptor becomes the clone's. */
static void become_clone(struct bmem_client *c)
{
	int saved = errno, fd = c->clone, ret;

	c->clone = -1;
	ret = dup3(fd, c->fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	if (!ret) {
		(void)bind_clone(c);
		ret = clone_map(c);
	}
	if (ret) {
		snapshot_missing(c, ret);
		close(c->fd);
		c->fd = -1;
	}
	errno = saved;
}

static void become(struct bmem_client *c)
{
	int fd = c->fd, err = c->fork_err;

	if (!err)
		err = snapshot_use(c);
	if (err)
		snapshot_missing(c, err);
	if (descriptor_is(c))
		close(fd);
	c->fd = -1;
}

static void dev_fork(struct bmem_client *c, enum fork_step step)
{
	switch (step) {
	case FORK_PREPARE:
		freeze(c);
		c->clone = clone_make(c);
		if (c->clone < 0)
			c->arena = snapshot_take(c, &c->fork_err);
		break;
	case FORK_PARENT:
		if (c->clone >= 0)
			close(c->clone);
		c->clone = -1;
		snapshot_drop(c);
		thaw(c);
		break;
	case FORK_CHILD:
		if (c->clone >= 0)
			become_clone(c);
		else
			become(c);
		thaw(c);
		break;
	}
}

const struct backend backend_dev = {
	.name = "dev",
	.open = dev_open,
	.close = dev_close,
	.call = dev_call,
	.fork = dev_fork,
};
