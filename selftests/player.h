/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Playing a trace on /dev/bmem, against a model of what must then be there.
 */
#ifndef PLAYER_H
#define PLAYER_H

#include "bmem_test.h"
#include "trace.h"

/**
 * struct block - the model of one tensor
 * @addr: where the process sees it; NULL while it is not live
 * @handle: its name, when the backend has one
 * @bytes: what was asked for
 * @granted: what it takes up, 0 when the backend did not say
 * @site: number of its call site
 */
struct block {
	char *addr;
	__u64 handle;
	__u64 bytes;
	__u64 granted;
	__u32 site;
};

struct player;

/**
 * struct backend - how a player reaches the memory
 * @name: what messages call it
 * @slots: small tensors are in slots, so that the kernel's peak counts idle ones
 * @open: makes the player's client
 * @alloc: fills @addr, @handle and @granted of a block whose rest is set
 * @free: frees a block
 * @site: gives a call site its name; the number that it has from now on
 * @stats: sums over the client
 * @list: one BMEM_TENSOR_LIST
 * @check: NULL when the invariants hold
 * @close: gives all back
 *
 * All but @check answer 0 or -errno.
 */
struct backend {
	const char *name;
	bool slots;
	int (*open)(struct player *p, const char *label, int pool);
	int (*alloc)(struct player *p, struct block *b, __u32 align);
	int (*free)(struct player *p, struct block *b);
	int (*site)(struct player *p, __u32 hash, const char *label,
		    __u32 *number);
	int (*stats)(struct player *p, struct bmem_client_stats *st);
	int (*list)(struct player *p, struct bmem_tensor_list *l);
	const char *(*check)(struct player *p);
	void (*close)(struct player *p);
};

extern const struct backend backend_raw;
/* Through libbmem; NULL in programs that were built without it. */
const struct backend *backend_lib(void);

/**
 * struct known_site - a call site that has its name
 * @hash: what the trace calls it
 * @number: what the backend calls it
 */
struct known_site {
	__u32 hash;
	__u32 number;
};

/**
 * struct player - a replay under way
 * @trace: what is played
 * @backend: on what
 * @priv: the backend's own
 * @client: the raw backend's client
 * @blocks: model, one a block of the trace
 * @pattern: whether contents are written and checked
 * @sites: the sites that have their names, as a hash table
 * @next: event that is played next
 * @played: events played so far
 * @live: number of live blocks
 * @live_bytes: what they asked for
 * @peak_bytes: largest @live_bytes so far
 * @big_bytes: sum of all requests of 1 MiB and more
 * @big_granted: what was granted for them
 * @error: what went wrong
 */
struct player {
	const struct trace *trace;
	const struct backend *backend;
	void *priv;
	struct bt_client client;
	struct block *blocks;
	bool pattern;
	struct known_site *sites;
	size_t next;
	__u64 played;
	__u64 live;
	__u64 live_bytes;
	__u64 peak_bytes;
	__u64 big_bytes;
	__u64 big_granted;
	char error[512];
};

/* All of these answer NULL, or @error. */
const char *player_open(struct player *p, const struct trace *t,
			const struct backend *backend, const char *label,
			int pool);
const char *player_seek(struct player *p, size_t event);
const char *player_step(struct player *p);
const char *player_verify(struct player *p);
const char *player_check(struct player *p);
const char *player_drain(struct player *p);
void player_close(struct player *p);

#endif /* PLAYER_H */
