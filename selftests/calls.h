/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every ioctl as a row of a table, with an argument for which it succeeds:
 * the tests of the ABI spoil it, the sweep of failures repeats it, the fuzzer
 * starts from it.
 */
#ifndef CALLS_H
#define CALLS_H

#include "bmem_test.h"

#define LIVE	4
#define FRAMES	3
#define SLOTS	4

/* Any argument, with room for the tail of a longer struct. */
union any {
	struct {
		__u32 size;
		__u32 flags;
	};
	struct bmem_query query;
	struct bmem_bind bind;
	struct bmem_clone clone;
	struct bmem_site site;
	struct bmem_alloc alloc;
	struct bmem_free free;
	struct bmem_tensor_info info;
	struct bmem_tensor_list list;
	struct bmem_client_stats stats;
	struct bmem_trim trim;
	struct bmem_pool_create create;
	struct bmem_pool_destroy destroy;
	struct bmem_pool_resize resize;
	struct bmem_pool_list pools;
	struct bmem_pool_stats pool_stats;
	struct bmem_slots slots;
	struct bmem_module module;
	struct bmem_module_info module_info;
	struct bmem_site_list site_list;
	struct bmem_site_frames site_frames;
	struct bmem_growth_list growth_list;
	struct bmem_client_list client_list;
	struct bmem_tombstone_list tombstone_list;
	struct bmem_tombstone_sites tombstone_sites;
	struct bmem_tombstone_module tombstone_module;
	struct bmem_leak_scan leak_scan;
	struct bmem_leak_list leak_list;
	struct bmem_events events;
	struct bmem_link link;
	struct bmem_pressure pressure;
	struct bmem_leak_skip leak_skip;
	unsigned char bytes[8192];
};

/**
 * struct ctx - what the calls are made on
 * @c: a client of a pool of its own
 * @live: tensors that stay
 * @entry: what ALLOC is given
 * @gone: what FREE is given
 * @rows: where TENSOR_LIST writes
 * @ids: where POOL_LIST writes
 * @slots: where SLOTS_GET writes, and what SLOTS_PUT is given
 * @frames: what SITE is given
 * @stack: where SITE_FRAMES writes
 * @sites: where SITE_LIST writes
 * @growth: where GROWTH_LIST writes
 * @clients: where CLIENT_LIST writes
 * @tombs: where TOMBSTONE_LIST writes
 * @held: where TOMBSTONE_SITES writes
 * @leaks: where LEAK_LIST writes
 * @links: what LINK and UNLINK are given
 * @serial: a tombstone with two sites, one of them with a stack
 */
struct ctx {
	struct bt_client c;
	struct bmem_alloc_entry live[LIVE];
	struct bmem_alloc_entry entry[2];
	struct bmem_free_entry gone[2];
	struct bmem_tensor rows[LIVE];
	__u32 ids[BMEM_POOLS_MAX];
	__u64 slots[SLOTS];
	struct bmem_frame frames[FRAMES];
	struct bmem_frame stack[BMEM_FRAMES_MAX];
	struct bmem_site_row sites[2];
	struct bmem_growth_row growth[2];
	struct bmem_client_row clients[2];
	struct bmem_tombstone_row tombs[2];
	struct bmem_tombstone_site held[BMEM_TOMBSTONE_SITES_MAX];
	struct bmem_leak_row leaks[2];
	struct bmem_link_entry links[2];
	__u64 serial;
};

/**
 * struct call - one ioctl
 * @name: how messages call it
 * @cmd: its number
 * @size: of its struct
 * @min: of its struct's first version
 * @known: flag bits that are defined
 * @writes: has out fields that success writes
 * @good: completes a zeroed argument so that the call succeeds
 * @undo: takes back what @good and the call did; told whether the call did it
 */
struct call {
	const char *name;
	unsigned long cmd;
	size_t size;
	size_t min;
	__u32 known;
	bool writes;
	void (*good)(struct ctx *x, union any *a);
	void (*undo)(struct ctx *x, union any *a, bool done);
};

enum call_index {
	QUERY, BIND, SITE, ALLOC, FREE, INFO, LIST, STATS, TRIM, CREATE,
	DESTROY, RESIZE, POOLS, POOL_STATS, SLOTS_GET, SLOTS_PUT, MODULE,
	MODULE_INFO, SITE_LIST, SITE_FRAMES, CLIENT_LIST, TOMBSTONE_LIST,
	TOMBSTONE_SITES, TOMBSTONE_MODULE, LEAK_SCAN, LEAK_LIST, EVENTS, LINK,
	UNLINK, GROWTH_LIST, CLONE, PRESSURE, LEAK_SKIP, CALLS,
};

extern const struct call calls[CALLS];

/* Makes a good argument of call @i in @a. */
void make_good(struct ctx *x, int i, union any *a);

/* Number of the tombstone of @client, and what it says; 0 for none. */
__u64 tombstone_of(int fd, __u64 client, struct bmem_tombstone_row *row);

/* A client of a pool of its own with some live tensors; 0 or -errno. */
int ctx_open(struct ctx *x, int pool);

#endif /* CALLS_H */
