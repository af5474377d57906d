/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Those who read events from the device: one queue an open file.
 */
#ifndef BMEM_READER_H
#define BMEM_READER_H

#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>

#include <linux/bmem.h>

struct bmem_event_record;
struct iov_iter;
struct kiocb;
struct quota;

/**
 * struct event_reader - a client that reads events
 * @quota: its user's, of those that asked for any; NULL while it asks for none;
 *	under readers_lock
 * @wait: who waits for an event
 * @client: id of the client, constant
 * @pool: id of the pool that it is bound to
 * @lock: guards all below; taken last
 * @mask: BMEM_EVENT_BIT() of the types that it asked for
 * @uid: user that asked
 * @admin: that had CAP_SYS_ADMIN
 * @queue: ring of %BMEM_EVENTS_MAX; NULL until something is asked for
 * @head: index of the oldest event
 * @nr: how many wait
 * @lost: events lost since the last one was read, older than those that wait
 * @lost_ever: events lost so far
 */
struct event_reader {
	struct quota *quota;
	wait_queue_head_t wait;
	u64 client;
	u32 pool;

	/* Guards all below. */
	spinlock_t lock;
	u64 mask;
	kuid_t uid;
	bool admin;
	struct bmem_event *queue;
	unsigned int head;
	unsigned int nr;
	u64 lost;
	u64 lost_ever;
};

void bmem_reader_init(struct event_reader *r);
void bmem_reader_close(struct event_reader *r);
size_t bmem_reader_bytes(const struct event_reader *r);
int bmem_reader_check(const struct bmem_events *cmd);
int bmem_reader_set(struct event_reader *r, struct bmem_events *cmd);
ssize_t bmem_reader_read(struct event_reader *r, struct kiocb *iocb,
			 struct iov_iter *to);
__poll_t bmem_reader_poll(struct event_reader *r, struct file *file,
			  poll_table *pt);
bool bmem_readers_any(void);
void bmem_readers_deliver(const struct bmem_event_record *recs,
			  unsigned int nr, u64 overrun);

#endif /* BMEM_READER_H */
