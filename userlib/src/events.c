// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Events for programs: read them, or be called for them.
 *
 * No lock is held while a handler runs: it may allocate, free, trim, and ask to
 * be called for other events.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "descriptor.h"
#include "events.h"

/* Events that one call hands out at the most. */
#define BATCH		16

/* Handlers of any client that this thread is in. */
static __thread unsigned int inside __attribute__((tls_model("initial-exec")));

static void lock(struct events *e)
{
	guard_lock(&e->lock);
}

static void unlock(struct events *e)
{
	guard_unlock(&e->lock);
}

/* ---- what is asked for ------------------------------------------------------ */

static uint64_t mask_of(const struct events *e)
{
	uint64_t mask = e->want;
	unsigned int i;

	/* Answered by who is told, whether or not a handler wants it, too. */
	if (e->owner == getpid())
		mask |= BMEM_EVENT_BIT(BMEM_EVENT_RECALL);

	for (i = 0; i < BMEM_HANDLERS_MAX; i++)
		mask |= e->handlers[i].mask;
	return mask;
}

static int apply(struct bmem_client *c)
{
	struct bmem_events arg = {
		.size = sizeof(arg),
		.flags = BMEM_EVENTS_SET,
		.mask = mask_of(&c->events),
	};
	int fd;

	/* Another thread may take what poll() has seen. */
	fd = bmem_events_fd(c);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		return -errno;
	return call(c, BMEM_EVENTS, &arg);
}

int bmem_events_want(struct bmem_client *c, uint64_t mask)
{
	struct events *e = &c->events;
	uint64_t old;
	int ret;

	lock(e);
	old = e->want;
	e->want = mask;
	ret = apply(c);
	if (ret)
		e->want = old;
	unlock(e);
	return ret;
}

int bmem_events_fd(struct bmem_client *c)
{
	if (c->backend != &backend_dev)
		return watch_fd(c);
	return c->private && !descriptor_is(c) ? -EBADF : c->fd;
}

int bmem_events_status(struct bmem_client *c, struct bmem_events *status)
{
	return status->flags & BMEM_EVENTS_SET ? -EINVAL :
						 call(c, BMEM_EVENTS, status);
}

/* ---- read ---------------------------------------------------------------------- */

/* A kernel that knows more of an event says so in its size. */
static int unpack(char *buf, ssize_t len, struct bmem_event *events)
{
	const char *at = buf;
	int nr = 0;

	while (at - buf + (ssize_t)sizeof(*events) <= len) {
		struct bmem_event next;

		memcpy(&next, at, sizeof(next));
		if (next.size < sizeof(next))
			break;
		events[nr++] = next;
		at += next.size;
	}
	return nr;
}

int bmem_events_read(struct bmem_client *c, struct bmem_event *events,
		     unsigned int nr, int timeout_ms)
{
	struct pollfd p = { .fd = bmem_events_fd(c), .events = POLLIN };
	char buf[BATCH * sizeof(*events)];
	ssize_t n;
	int ret;

	if (p.fd < 0)
		return p.fd;
	if (!nr)
		return -EINVAL;
	if (nr > BATCH)
		nr = BATCH;
	for (;;) {
		ret = poll(&p, 1, timeout_ms);
		if (ret < 0)
			return -errno;
		if (!ret)
			return 0;
		n = read(p.fd, buf, nr * sizeof(*events));
		if (n > 0)
			return unpack(buf, n, events);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		/* Somebody was faster; from now on time does not matter. */
		if (timeout_ms >= 0)
			return 0;
	}
}

/* ---- handlers ------------------------------------------------------------------- */

static struct handler *find(struct events *e, bmem_event_fn fn, void *arg)
{
	struct handler *free_one = NULL;
	unsigned int i;

	for (i = 0; i < BMEM_HANDLERS_MAX; i++) {
		struct handler *h = &e->handlers[i];

		if (h->fn == fn && h->arg == arg && (fn || !h->running))
			return h;
		if (!h->fn && !h->running && !free_one)
			free_one = h;
	}
	return free_one;
}

/* Until no other thread is in it. */
static void wait_until_out(struct events *e, const struct handler *h)
{
	const struct timespec soon = { .tv_nsec = 100000 };

	while (h->running > inside) {
		unlock(e);
		nanosleep(&soon, NULL);
		lock(e);
	}
}

int bmem_on_event(struct bmem_client *c, uint64_t mask, bmem_event_fn fn,
		  void *arg)
{
	struct events *e = &c->events;
	struct handler *h, old;
	int ret = 0;

	if (!fn)
		return -EINVAL;
	lock(e);
	h = find(e, fn, arg);
	if (!h || (!mask && !h->fn)) {
		ret = h ? -ENOENT : -ENOSPC;
		goto out;
	}
	old = *h;
	h->fn = fn;
	h->arg = arg;
	h->mask = mask;
	ret = apply(c);
	if (ret && mask) {
		h->fn = old.fn;
		h->arg = old.arg;
		h->mask = old.mask;
	} else if (!mask) {
		wait_until_out(e, h);
		/* Somebody may have asked for it again meanwhile. */
		if (!h->mask) {
			h->fn = NULL;
			h->arg = NULL;
		}
	}
out:
	unlock(e);
	return ret;
}

int bmem_on_pressure(struct bmem_client *c, bmem_event_fn fn, void *arg)
{
	return bmem_on_event(c, BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE), fn, arg);
}

static void hand_out(struct bmem_client *c, const struct bmem_event *event)
{
	struct events *e = &c->events;
	unsigned int i;

	lock(e);
	for (i = 0; i < BMEM_HANDLERS_MAX; i++) {
		struct handler *h = &e->handlers[i];
		bmem_event_fn fn = h->fn;
		void *arg = h->arg;

		if (!fn || !(h->mask & BMEM_EVENT_BIT(event->type)))
			continue;
		h->running++;
		unlock(e);
		inside++;
		fn(c, event, arg);
		inside--;
		lock(e);
		/* The child of a fork() in there has forgotten it. */
		if (h->running)
			h->running--;
	}
	unlock(e);
}

int bmem_events_dispatch(struct bmem_client *c, int timeout_ms)
{
	struct bmem_event events[BATCH];
	bool recalled = false;
	int nr, i;

	if (inside)
		return -EBUSY;
	nr = bmem_events_read(c, events, BATCH, timeout_ms);
	for (i = 0; i < nr; i++) {
		recalled |= events[i].type == BMEM_EVENT_RECALL;
		hand_out(c, &events[i]);
	}
	/* What handlers freed is wanted elsewhere, not by this thread. */
	if (nr > 0)
		idle_flush(c);
	if (recalled)
		stash_recall(c);
	return nr;
}

/* ---- a thread of the library ------------------------------------------------------ */

/**
 * struct job - what a thread is told
 * @client: whose events
 * @fd: where they come from
 * @stop: hung up, the thread ends
 */
struct job {
	struct bmem_client *client;
	int fd;
	int stop;
};

static void *serve(void *arg)
{
	struct job job = *(struct job *)arg;
	struct pollfd p[] = {
		{ .fd = job.fd, .events = POLLIN },
		{ .fd = job.stop },
	};

	scratch_put(arg, sizeof(job));
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		if (p[0].revents & POLLIN)
			(void)bmem_events_dispatch(job.client, 0);
		else if (p[0].revents)
			break;
	}
	return NULL;
}

static int create(struct events *e, struct job *job)
{
	sigset_t all, old;
	int err;

	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&e->thread, NULL, serve, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static int start(struct bmem_client *c)
{
	int *stop = c->events.stop, ret;
	struct job *job;

	ret = bmem_events_fd(c);
	if (ret < 0)
		return ret;
	job = scratch_get(sizeof(*job));
	if (!job)
		return -ENOMEM;
	if (pipe2(stop, O_CLOEXEC)) {
		ret = -errno;
		scratch_put(job, sizeof(*job));
		return ret;
	}
	*job = (struct job) { .client = c, .fd = ret, .stop = stop[0] };
	ret = create(&c->events, job);
	if (ret) {
		close(stop[0]);
		close(stop[1]);
		scratch_put(job, sizeof(*job));
	}
	return ret;
}

int bmem_events_start(struct bmem_client *c)
{
	struct events *e = &c->events;
	int ret = -EBUSY;

	lock(e);
	if (e->owner == getpid())
		goto out;
	e->owner = getpid();
	ret = apply(c);
	if (!ret)
		ret = start(c);
	if (ret) {
		e->owner = 0;
		(void)apply(c);
	}
out:
	unlock(e);
	return ret;
}

int bmem_events_stop(struct bmem_client *c)
{
	struct events *e = &c->events;
	int stop[2], state;
	pthread_t thread;
	bool mine;

	/* close() is where a thread may end that was cancelled: not with the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	lock(e);
	mine = e->owner && e->owner == getpid();
	thread = e->thread;
	memcpy(stop, e->stop, sizeof(stop));
	if (mine && pthread_equal(thread, pthread_self())) {
		unlock(e);
		pthread_setcancelstate(state, NULL);
		return -EDEADLK;
	}
	e->owner = 0;
	if (mine) {
		(void)apply(c);
		/* Under the lock, or a child of fork() would hold it open. */
		close(stop[1]);
	}
	unlock(e);
	pthread_setcancelstate(state, NULL);
	if (!mine)
		return -ENOENT;
	pthread_join(thread, NULL);
	close(stop[0]);
	return 0;
}

/* ---- close, fork ------------------------------------------------------------------- */

/**
 * events_close() - a client is about to end
 * @c: client
 */
void events_close(struct bmem_client *c)
{
	(void)bmem_events_stop(c);
	watch_close(c);
}

/**
 * events_prepare() - before fork()
 * @c: client
 */
void events_prepare(struct bmem_client *c)
{
	c->events.held = guard_hold(&c->events.lock);
	c->events.pipe_held = guard_hold(&c->events.pipe_lock);
}

/**
 * events_parent() - after it, in the process that called it
 * @c: client
 */
void events_parent(struct bmem_client *c)
{
	guard_leave(&c->events.pipe_lock, c->events.pipe_held);
	guard_leave(&c->events.lock, c->events.held);
}

/**
 * events_child() - after it, in the new process
 * @c: client
 *
 * The child has no thread of the library.  What it shares with the parent goes
 * on; a client of its own begins without any handler.
 */
void events_child(struct bmem_client *c)
{
	struct events *e = &c->events;
	unsigned int i;

	if (e->owner) {
		close(e->stop[0]);
		close(e->stop[1]);
	}
	e->owner = 0;
	for (i = 0; i < BMEM_HANDLERS_MAX; i++)
		e->handlers[i].running = 0;
	if (c->private) {
		memset(e->handlers, 0, sizeof(e->handlers));
		e->want = 0;
		watch_close(c);
	}
	guard_leave(&e->pipe_lock, e->pipe_held);
	guard_leave(&e->lock, e->held);
}
