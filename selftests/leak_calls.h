/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links and leaks in few words, for the tests of both.
 */
#ifndef LEAK_CALLS_H
#define LEAK_CALLS_H

#include "bmem_test.h"

#define LK_UNREF	BMEM_LEAK_KIND(BMEM_LEAK_UNREFERENCED)
#define LK_CYCLE	BMEM_LEAK_KIND(BMEM_LEAK_CYCLE)

/* The result of one reference, or what the call answered. */
int lk_link(int fd, __u64 from, __u64 to);
int lk_unlink(int fd, __u64 from, __u64 to);

/* Many, in calls of %BMEM_BATCH_MAX: how many results were 0, or -errno. */
long lk_links(int fd, unsigned long cmd, struct bmem_link_entry *e, __u32 nr);

/* Looks for @kinds without regard to age, and confirms with @delay, if any. */
int lk_scan(int fd, __u32 kinds, __u32 delay_ms, struct bmem_leak_scan *out);

/* All findings of @client, to be freed: how many, or -errno. */
int lk_list(int fd, __u64 client, __u32 kinds, struct bmem_leak_row **rows,
	    struct bmem_leak_list *totals);

/* The finding of a kind and site in those. */
const struct bmem_leak_row *lk_row(const struct bmem_leak_row *rows, int nr,
				   __u32 kind, __u32 site);

/**
 * struct lk_slots - a client with slots of the smallest class
 * @c: client
 * @ledger: its ledger
 * @ledger_bytes: length of that
 * @names: of the slots
 * @nr: how many
 */
struct lk_slots {
	struct bt_client c;
	volatile struct bmem_record *ledger;
	__u64 ledger_bytes;
	__u64 *names;
	__u32 nr;
};

int lk_slots_open(struct lk_slots *s, int pool, __u32 nr);
void lk_slots_close(struct lk_slots *s);

/* Makes slot @i a tensor of @site; answers its handle. */
__u64 lk_slot_live(struct lk_slots *s, __u32 i, __u32 site);
void lk_slot_free(struct lk_slots *s, __u32 i);

#endif /* LEAK_CALLS_H */
