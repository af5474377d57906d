// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Events of the fallback: each call tells by itself what it made happen.
 *
 * They go through a pipe, of which all writes are of one event, and so are
 * whole.  Processes that share the client share the pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "events.h"

#define KNOWN	(BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE) | \
		 BMEM_EVENT_BIT(BMEM_EVENT_ALLOC_FAILED) | \
		 BMEM_EVENT_BIT(BMEM_EVENT_RECALL))

#define LEVELS		5
#define HYSTERESIS	5

/* Attached of the limit, in percent, above which a level begins. */
static const uint32_t percent[LEVELS] = { 0, 70, 80, 90, 95 };

static uint64_t wanted(const struct watch *w)
{
	return __atomic_load_n(&w->mask, __ATOMIC_ACQUIRE);
}

static int pipe_open(struct watch *w)
{
	int ends[2];

	if (w->ends[1])
		return 0;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	w->ends[0] = ends[0];
	w->ends[1] = ends[1];
	return 0;
}

/**
 * watch_fd() - where a client of the fallback has its events
 * @c: client
 *
 * Return: descriptor, or a negative errno.
 */
int watch_fd(struct bmem_client *c)
{
	int ret;

	guard_lock(&c->events.pipe_lock);
	ret = pipe_open(&c->events.watch);
	guard_unlock(&c->events.pipe_lock);
	return ret ? ret : c->events.watch.ends[0];
}

/**
 * watch_close() - nothing is told any more
 * @c: client
 */
void watch_close(struct bmem_client *c)
{
	struct watch *w = &c->events.watch;

	if (w->ends[1]) {
		close(w->ends[0]);
		close(w->ends[1]);
	}
	memset(w, 0, sizeof(*w));
}

static uint32_t waiting(const struct watch *w)
{
	int bytes = 0;

	if (!w->ends[1] || ioctl(w->ends[0], FIONREAD, &bytes))
		return 0;
	return (uint32_t)bytes / sizeof(struct bmem_event);
}

/* A reader that does not read loses the oldest. */
static void make_room(struct watch *w)
{
	struct bmem_event old;

	if (read(w->ends[0], &old, sizeof(old)) != sizeof(old))
		return;
	__atomic_fetch_add(&w->lost, old.lost + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&w->lost_ever, 1, __ATOMIC_RELAXED);
}

static void tell(struct bmem_client *c, struct bmem_event *e)
{
	struct watch *w = &c->events.watch;
	struct timespec now;
	int state;

	if (!(wanted(w) & BMEM_EVENT_BIT(e->type)))
		return;
	clock_gettime(CLOCK_BOOTTIME, &now);
	e->size = sizeof(*e);
	e->serial = __atomic_add_fetch(&w->serial, 1, __ATOMIC_RELAXED);
	e->time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	e->client_id = c->arena->books->st.client_id;
	e->pool = BMEM_POOL_DEFAULT;
	/* Whoever allocates and frees does not end in there when it is cancelled. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	/* As many as the device keeps for a reader; a pipe holds more. */
	while (waiting(w) >= BMEM_EVENTS_MAX)
		make_room(w);
	e->lost = __atomic_exchange_n(&w->lost, 0, __ATOMIC_RELAXED);
	while (write(w->ends[1], e, sizeof(*e)) < 0 && errno == EAGAIN)
		make_room(w);
	pthread_setcancelstate(state, NULL);
}

/* ---- what happened -------------------------------------------------------------- */

static uint64_t attached(const struct arena *a)
{
	return __atomic_load_n(&a->books->st.attached_bytes, __ATOMIC_RELAXED);
}

static uint32_t level_of(const struct arena *a, uint64_t bytes, uint32_t old)
{
	uint32_t level = LEVELS;

	while (--level) {
		uint64_t limit = a->books->limit / 100;

		if (bytes > limit * percent[level])
			break;
		if (level <= old && bytes > limit * (percent[level] - HYSTERESIS))
			break;
	}
	return level;
}

static void check_pressure(struct bmem_client *c)
{
	struct watch *w = &c->events.watch;
	uint64_t bytes = attached(c->arena);
	uint32_t old = __atomic_load_n(&w->level, __ATOMIC_RELAXED);
	uint32_t level = level_of(c->arena, bytes, old);
	struct bmem_event e = {
		.type = BMEM_EVENT_PRESSURE,
		.level = level,
		.bytes = bytes,
		.arg = old,
	};

	if (level != old &&
	    __atomic_compare_exchange_n(&w->level, &old, level, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		tell(c, &e);
}

static uint64_t asked(unsigned long cmd, const void *arg)
{
	const struct bmem_alloc *alloc = arg;
	const struct bmem_slots *slots = arg;
	const struct bmem_alloc_entry *entries;
	uint64_t bytes = 0;
	uint32_t i;

	if (cmd == BMEM_SLOTS_GET)
		return (uint64_t)slots->nr *
		       slab_classes[slots->size_class].bytes;
	entries = (const void *)(uintptr_t)alloc->entries;
	for (i = 0; i < alloc->nr; i++)
		bytes += (entries[i].bytes + BMEM_PAGE_SIZE - 1) &
			 ~(BMEM_PAGE_SIZE - 1ULL);
	return bytes;
}

static void tell_failure(struct bmem_client *c, unsigned long cmd, int ret,
			 const void *arg)
{
	struct bmem_event e = {
		.type = BMEM_EVENT_ALLOC_FAILED,
		.bytes = asked(cmd, arg),
		.arg = (uint64_t)-ret,
	};

	tell(c, &e);
}

static void tell_recall(struct bmem_client *c, const struct bmem_trim *trim)
{
	struct bmem_event e = { .type = BMEM_EVENT_RECALL };

	if (trim->flags & BMEM_TRIM_POOL)
		tell(c, &e);
}

/**
 * watch_after() - a call of the ABI is through
 * @c: client of the fallback
 * @cmd: which call
 * @ret: what it answered
 * @arg: what it was given
 */
void watch_after(struct bmem_client *c, unsigned long cmd, int ret,
		 const void *arg)
{
	if (!wanted(&c->events.watch))
		return;
	switch (cmd) {
	case BMEM_ALLOC:
	case BMEM_SLOTS_GET:
		if (ret == -ENOSPC || ret == -ENOMEM || ret == -EFBIG)
			tell_failure(c, cmd, ret, arg);
		check_pressure(c);
		break;
	case BMEM_FREE:
	case BMEM_SLOTS_PUT:
	case BMEM_BIND:
		check_pressure(c);
		break;
	case BMEM_TRIM:
		if (!ret)
			tell_recall(c, arg);
		check_pressure(c);
		break;
	}
}

/* ---- BMEM_EVENTS ------------------------------------------------------------------ */

/* What waits and is not asked for any more is dropped, the rest goes back in. */
static void keep_wanted(struct watch *w, uint64_t mask)
{
	struct bmem_event kept[BMEM_EVENTS_MAX];
	unsigned int nr = 0, i;

	while (nr < BMEM_EVENTS_MAX &&
	       read(w->ends[0], &kept[nr], sizeof(*kept)) == sizeof(*kept))
		if (mask & BMEM_EVENT_BIT(kept[nr].type))
			nr++;
	for (i = 0; i < nr; i++)
		if (write(w->ends[1], &kept[i], sizeof(*kept)) < 0)
			return;
}

static int set_mask(struct bmem_client *c, uint64_t mask)
{
	struct watch *w = &c->events.watch;
	int ret = 0, state;

	/* Nor with the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	guard_lock(&c->events.pipe_lock);
	if (mask)
		ret = pipe_open(w);
	if (!ret) {
		/* It begins with how it is, and tells what changes. */
		if (!wanted(w))
			__atomic_store_n(&w->level,
					 level_of(c->arena, attached(c->arena), 0),
					 __ATOMIC_RELAXED);
		/* Whoever sees it sees the pipe. */
		__atomic_store_n(&w->mask, mask, __ATOMIC_RELEASE);
		if (w->ends[1])
			keep_wanted(w, mask);
	}
	guard_unlock(&c->events.pipe_lock);
	pthread_setcancelstate(state, NULL);
	return ret;
}

/**
 * watch_call() - BMEM_EVENTS
 * @c: client of the fallback
 * @user: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int watch_call(struct bmem_client *c, struct bmem_events *user)
{
	struct watch *w = &c->events.watch;
	struct bmem_events cmd;
	int ret;

	ret = sized_in(&cmd, sizeof(cmd), user, user->size, sizeof(cmd));
	if (ret)
		return ret;
	if (cmd.flags & ~BMEM_EVENTS_SET || cmd.mask & ~KNOWN)
		return -EOPNOTSUPP;
	if (cmd.flags & BMEM_EVENTS_SET)
		ret = set_mask(c, cmd.mask);
	else if (cmd.mask)
		ret = -EINVAL;
	if (ret)
		return ret;
	cmd.mask = wanted(w);
	cmd.known = KNOWN;
	cmd.lost = __atomic_load_n(&w->lost_ever, __ATOMIC_RELAXED);
	cmd.waiting = waiting(w);
	cmd.capacity = BMEM_EVENTS_MAX;
	memcpy(user, &cmd, sizeof(cmd));
	return 0;
}
