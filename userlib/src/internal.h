/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the files of libbmem share.
 *
 * The interface between the upper half (tensors, sites, statistics) and a
 * backend is the kernel's ABI itself: the device answers a call with ioctl(),
 * the fallback with a function that keeps the same books in this process.  So
 * everything above is written once, and the fallback can be held to the text
 * of <linux/bmem.h> line by line.
 *
 * Locks: those of cache.h, and inside of them the fallback's one mutex (struct
 * arena_shared).  Sites are tables of atomics.
 */
#ifndef BMEM_INTERNAL_H
#define BMEM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bmem.h"
#include "events.h"
#include "refs.h"
#include "sites.h"

_Static_assert(sizeof(void *) == 8, "libbmem is for 64-bit systems");

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define BMEM_DEVICE	"/dev/bmem"

#define PAGE_SHIFT	12
#define HUGE_SHIFT	21
_Static_assert(1 << PAGE_SHIFT == BMEM_PAGE_SIZE, "page size");
_Static_assert(1 << HUGE_SHIFT == BMEM_HUGE_SIZE, "huge page size");

/**
 * enum fork_step - where a call of fork() has got to
 * @FORK_PREPARE: it is about to be made; nobody changes books from now on
 * @FORK_PARENT: it is over, this is the process that made it
 * @FORK_CHILD: this is the new one
 */
enum fork_step {
	FORK_PREPARE,
	FORK_PARENT,
	FORK_CHILD,
};

/**
 * struct backend - where memory comes from
 * @name: for bmem_backend_name()
 * @open: fill in @base, @len and the backend's own fields of a client
 * @close: undo @open
 * @call: do one call of <linux/bmem.h>; 0 or a negative errno
 * @fork: for a private client, see enum fork_step
 */
struct backend {
	const char *name;
	int (*open)(struct bmem_client *c, const struct bmem_options *o);
	void (*close)(struct bmem_client *c);
	int (*call)(struct bmem_client *c, unsigned long cmd, void *arg);
	void (*fork)(struct bmem_client *c, enum fork_step step);
};

/**
 * struct bmem_client - one client; lives in a sparse mapping of its own
 * @stagger: keeps @serial from a place in its page where tensors and records
 *	often begin: a load waits for stores with the same lower 12 bits
 * @serial: its name in this process, never used again; a child of fork() finds
 *	0 here, which no thread's cache answers to, and gives it another
 * @window: where the backend maps @clock and @control, so that no pointer to them
 *	has to be loaded first; it is unmapped with all else that is here
 * @backend: which one it is
 * @base: where the space is mapped, a multiple of %BMEM_HUGE_SIZE
 * @len: how much of it is mapped
 * @clock: the clock that everybody shares, the first page of @window
 * @control: what the kernel asks of this client, in the page behind @clock
 * @spans: span map, 8 bytes a page of what is mapped of the space
 * @ledger: records
 * @records: how many of them are mapped; 0 when the process may not map them:
 *	every tensor is then a block without a record, and costs a call
 * @depot: idle memory of this process
 * @caches: idle memory of its threads, behind @depot
 * @nr_caches: how many threads can have some
 * @region_bytes: length of @depot and @caches together
 * @was_off: there may be tensors from %BMEM_LEVEL_OFF
 * @private: a child of fork() gets a copy of its own
 * @next: the next in the list of all clients
 * @fd: the device's descriptor, or -1
 * @device: for a private client, number of the device that @fd is
 * @calls: of a private client of the device: calls under way, but for those that
 *	wait for memory; the highest bit is set while none may begin, for fork()
 * @fork_err: why that child will have nothing
 * @cloneable: the device makes clones of it
 * @clone: while it forks: descriptor of what the child will have, or -1
 * @arena: the fallback's, or NULL; of a private client of the device, while it
 *	forks without @clone: what the child will have
 * @magazine_offsets: where in a struct cache the magazine is for
 *	(size - 1) / %BMEM_ALIGN_MIN; in here, so that no pointer to it is loaded
 * @sites: call sites
 * @events: events of it
 * @refs: references to its tensors
 * @wait_ms: how long an allocation waits for memory
 */
struct bmem_client {
	char stagger[0xa40];
	uint64_t serial;
	char window[2 * BMEM_PAGE_SIZE]
		__attribute__((aligned(BMEM_PAGE_SIZE)));
	const struct backend *backend __attribute__((aligned(BMEM_PAGE_SIZE)));
	char *base;
	size_t len;
	const struct bmem_clock *clock;
	const struct bmem_control *control;
	const uint64_t *spans;
	struct bmem_record *ledger;
	uint32_t records;
	struct depot *depot;
	struct cache *caches;
	uint32_t nr_caches;
	atomic_bool was_off;
	bool private;
	size_t region_bytes;
	struct bmem_client *next;
	int fd;
	uint64_t device;
	_Atomic uint32_t calls;
	int fork_err;
	bool cloneable;
	int clone;
	struct arena *arena;
	uint16_t magazine_offsets[BMEM_SLOT_MAX / BMEM_ALIGN_MIN];
	struct sites sites;
	struct events events;
	struct refs refs;
	uint32_t wait_ms;
};

extern const struct backend backend_dev;
extern const struct backend backend_memfd;

static inline int call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	return c->backend->call(c, cmd, arg);
}

/* fork.c */
bool guard_hold(pthread_mutex_t *lock);
void guard_leave(pthread_mutex_t *lock, bool held);

#pragma GCC visibility push(hidden)
extern __thread uint32_t guards_inside
	__attribute__((tls_model("initial-exec")));
#pragma GCC visibility pop

/* A lock that fork() takes: a signal handler that forks sees who is in here. */
static inline int guard_lock(pthread_mutex_t *lock)
{
	guards_inside++;
	atomic_signal_fence(memory_order_seq_cst);
	return pthread_mutex_lock(lock);
}

static inline void guard_unlock(pthread_mutex_t *lock)
{
	pthread_mutex_unlock(lock);
	atomic_signal_fence(memory_order_seq_cst);
	guards_inside--;
}

/* snapshot.c */
struct arena *snapshot_take(struct bmem_client *c, int *err);
int snapshot_use(struct bmem_client *c);
void snapshot_drop(struct bmem_client *c);
void snapshot_missing(struct bmem_client *c, int err);

/* client.c */
int client_bind(struct bmem_client *c, const struct bmem_options *o);
int label_check(const char *label);

/* notice.c */
void notice_fallback(int err, bool quiet);

/* name.c */
size_t label_copy(char *to, const char *from, size_t len);
void site_name(char *name, const char *label, const void *ret);

/* site.c */
uint32_t site_at(struct bmem_client *c, const char *label, const void *ret);

/* sized.c */
int sized_in(void *to, size_t known, const void *from, size_t size, size_t min);
void *scratch_get(size_t bytes);
void scratch_put(void *scratch, size_t bytes);
uint64_t pow2_below(uint64_t n);

/* space.c */
uint64_t space_share(uint64_t len, uint32_t part);
int space_bound(uint64_t *len);
char *space_map(int fd, size_t len, int flags);

#endif /* BMEM_INTERNAL_H */
