/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Events: who is called for them, and where they come from.
 */
#ifndef BMEM_EVENTS_H
#define BMEM_EVENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bmem.h"

struct bmem_client;

/**
 * struct handler - somebody who is called
 * @mask: for which events; 0 for none any more
 * @fn: who; NULL for a place that is free
 * @arg: with what
 * @running: calls under way
 */
struct handler {
	uint64_t mask;
	bmem_event_fn fn;
	void *arg;
	uint32_t running;
};

/**
 * struct watch - the fallback's events, told by the process itself
 * @mask: which
 * @ends: a pipe, both ends; 0 before there is one
 * @level: enum bmem_pressure_level now
 * @serial: number of the last event
 * @lost: events lost since the last that was written
 * @lost_ever: events lost so far
 */
struct watch {
	uint64_t mask;
	int ends[2];
	uint32_t level;
	uint64_t serial;
	uint64_t lost;
	uint64_t lost_ever;
};

/**
 * struct events - events of a client, in this process
 * @pipe_lock: guards the beginning of @watch; the rest of it is atomics
 * @pipe_held: it is held for fork()
 * @lock: guards all below; taken before @pipe_lock
 * @held: it is held for fork()
 * @want: what bmem_events_want() asked for
 * @handlers: who is called
 * @thread: calls them, where the library was asked to
 * @owner: process that @thread is in, 0 for none
 * @stop: a pipe; when its second end is closed, @thread ends
 * @watch: on the fallback
 */
struct events {
	pthread_mutex_t pipe_lock;
	bool pipe_held;
	pthread_mutex_t lock;
	bool held;
	uint64_t want;
	struct handler handlers[BMEM_HANDLERS_MAX];
	pthread_t thread;
	pid_t owner;
	int stop[2];
	struct watch watch;
};

void events_close(struct bmem_client *c);
void events_prepare(struct bmem_client *c);
void events_parent(struct bmem_client *c);
void events_child(struct bmem_client *c);

int watch_call(struct bmem_client *c, struct bmem_events *user);
void watch_after(struct bmem_client *c, unsigned long cmd, int ret,
		 const void *arg);
int watch_fd(struct bmem_client *c);
void watch_close(struct bmem_client *c);

#endif /* BMEM_EVENTS_H */
