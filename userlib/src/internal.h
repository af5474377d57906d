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
 * Locks: the fallback's one mutex (struct arena_shared) and no other.  Handles
 * and sites are tables of atomics.
 */
#ifndef BMEM_INTERNAL_H
#define BMEM_INTERNAL_H

#include <stdatomic.h>

#include "bmem.h"

_Static_assert(sizeof(void *) == 8, "libbmem is for 64-bit systems");

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define BMEM_DEVICE	"/dev/bmem"

#define PAGE_SHIFT	12
#define HUGE_SHIFT	21
_Static_assert(1 << PAGE_SHIFT == BMEM_PAGE_SIZE, "page size");
_Static_assert(1 << HUGE_SHIFT == BMEM_HUGE_SIZE, "huge page size");

/* Twice what the kernel can know, so that chains stay short. */
#define SITE_SLOTS	(2 * BMEM_SITES_MAX)

/**
 * struct site_slot - one call site that has been seen
 * @key: hash of return address and label; 0 while the slot is free
 * @site: its number; SITE_PENDING until it is known, SITE_LOST for no room
 */
struct site_slot {
	_Atomic uint64_t key;
	_Atomic uint32_t site;
};

/**
 * struct sites - the call sites of a client
 * @slots: open addressing by @key; entries are never removed
 * @names: hashes of the names that have a number, which is the lower half of
 *	the hash; keeps two names from having the same number
 * @used: slots in use
 * @lost: allocations that found no room
 */
struct sites {
	struct site_slot slots[SITE_SLOTS];
	_Atomic uint64_t names[SITE_SLOTS];
	_Atomic uint32_t used;
	_Atomic uint64_t lost;
};

/**
 * struct backend - where memory comes from
 * @name: for bmem_backend_name()
 * @open: fill in @base, @len and the backend's own fields of a client
 * @close: undo @open
 * @call: do one call of <linux/bmem.h>; 0 or a negative errno
 */
struct backend {
	const char *name;
	int (*open)(struct bmem_client *c, const struct bmem_options *o);
	void (*close)(struct bmem_client *c);
	int (*call)(struct bmem_client *c, unsigned long cmd, void *arg);
};

/**
 * struct bmem_client - one client; lives in a sparse mapping of its own
 * @backend: which one it is
 * @base: where the space is mapped, a multiple of %BMEM_HUGE_SIZE
 * @len: how much of it is mapped
 * @handles: by page of the space: handle of the tensor that begins there, or
 *	0; whoever exchanges it for 0 is the one who frees
 * @fd: the device's descriptor, or -1
 * @arena: the fallback's, or NULL
 * @sites: call sites
 */
struct bmem_client {
	const struct backend *backend;
	char *base;
	size_t len;
	_Atomic uint64_t *handles;
	int fd;
	struct arena *arena;
	struct sites sites;
};

extern const struct backend backend_dev;
extern const struct backend backend_memfd;

static inline int call(struct bmem_client *c, unsigned long cmd, void *arg)
{
	return c->backend->call(c, cmd, arg);
}

/* client.c */
int client_bind(struct bmem_client *c, const struct bmem_options *o);
int label_check(const char *label);

/* handle.c */
int handles_init(struct bmem_client *c);
void handles_fini(struct bmem_client *c);
bool handle_fits(const struct bmem_client *c, const struct bmem_alloc_entry *e);
void *handle_put(struct bmem_client *c, const struct bmem_alloc_entry *e);
int handle_take(struct bmem_client *c, const void *ptr, uint64_t *handle);
void handle_restore(struct bmem_client *c, const void *ptr, uint64_t handle);

/* notice.c */
void notice_fallback(int err, bool quiet);

/* site.c */
uint32_t site_at(struct bmem_client *c, const char *label, const void *ret);

/* size.c */
int sized_in(void *to, size_t known, const void *from, size_t size, size_t min);
void *scratch_get(size_t bytes);
void scratch_put(void *scratch, size_t bytes);
uint64_t pow2_below(uint64_t n);

/* space.c */
int space_bound(uint64_t *len);
char *space_map(int fd, size_t len);

#endif /* BMEM_INTERNAL_H */
