// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <sys/mman.h>

#include "leak_calls.h"

/* In the handle of what is in a slot, above its generation. */
#define HANDLE_SLOT	(1ULL << 25)

static int link_one(int fd, unsigned long cmd, __u64 from, __u64 to)
{
	struct bmem_link_entry e = { .from = from, .to = to, .result = 1 };
	struct bmem_link l = {
		.size = sizeof(l), .nr = 1, .entries = (uintptr_t)&e,
	};
	int ret = bt_call(fd, cmd, &l);

	if (!ret && l.done != !e.result)
		return 1;
	return ret ? ret : e.result;
}

int lk_link(int fd, __u64 from, __u64 to)
{
	return link_one(fd, BMEM_LINK, from, to);
}

int lk_unlink(int fd, __u64 from, __u64 to)
{
	return link_one(fd, BMEM_UNLINK, from, to);
}

long lk_links(int fd, unsigned long cmd, struct bmem_link_entry *e, __u32 nr)
{
	struct bmem_link l = { .size = sizeof(l) };
	long done = 0;
	int ret;

	for (; nr; nr -= l.nr, e += l.nr) {
		l.nr = nr < BMEM_BATCH_MAX ? nr : BMEM_BATCH_MAX;
		l.entries = (uintptr_t)e;
		ret = bt_call(fd, cmd, &l);
		if (ret)
			return ret;
		done += l.done;
	}
	return done;
}

int lk_scan(int fd, __u32 kinds, __u32 delay_ms, struct bmem_leak_scan *out)
{
	struct bmem_leak_scan s = {
		.size = sizeof(s), .kinds = kinds, .delay_ms = delay_ms,
		.flags = BMEM_LEAK_SCAN_AGE |
			 (delay_ms ? BMEM_LEAK_SCAN_CONFIRM : 0),
	};
	int ret = bt_call(fd, BMEM_LEAK_SCAN, &s);

	if (out)
		*out = s;
	return ret;
}

int lk_list(int fd, __u64 client, __u32 kinds, struct bmem_leak_row **rows,
	    struct bmem_leak_list *totals)
{
	struct bmem_leak_list l = {
		.size = sizeof(l), .client_id = client, .kinds = kinds,
		.row_size = sizeof(**rows),
	}, sum = { 0 };
	int nr = 0, ret;

	*rows = NULL;
	do {
		*rows = realloc(*rows, (nr + 100) * sizeof(**rows));
		if (!*rows)
			return -ENOMEM;
		l.nr = 100;
		l.rows = (uintptr_t)(*rows + nr);
		ret = bt_call(fd, BMEM_LEAK_LIST, &l);
		if (ret)
			return ret;
		nr += l.nr;
		sum.cleared += l.cleared;
		sum.dropped += l.dropped;
		sum.cut_short |= l.cut_short;
	} while (l.nr == 100);
	if (totals)
		*totals = sum;
	return nr;
}

const struct bmem_leak_row *lk_row(const struct bmem_leak_row *rows, int nr,
				   __u32 kind, __u32 site)
{
	int i;

	for (i = 0; i < nr; i++)
		if (rows[i].kind == kind && rows[i].site == site)
			return &rows[i];
	return NULL;
}

static int slots_get(struct lk_slots *s, __u32 nr)
{
	struct bmem_slots get = { .size = sizeof(get) };
	int ret;

	while (s->nr < nr) {
		get.nr = nr - s->nr < BMEM_BATCH_MAX ? nr - s->nr :
						       BMEM_BATCH_MAX;
		get.slots = (uintptr_t)(s->names + s->nr);
		ret = bt_call(s->c.fd, BMEM_SLOTS_GET, &get);
		if (ret)
			return ret;
		s->nr += get.nr;
	}
	return 0;
}

int lk_slots_open(struct lk_slots *s, int pool, __u32 nr)
{
	struct bmem_query q;
	int ret = bt_client_open(&s->c, pool);

	if (ret)
		return ret;
	ret = bt_query(s->c.fd, &q);
	if (ret)
		return ret;
	s->ledger_bytes = q.ledger_bytes;
	s->ledger = mmap(NULL, q.ledger_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED, s->c.fd, q.ledger_offset);
	s->names = calloc(nr, sizeof(*s->names));
	s->nr = 0;
	if (s->ledger == MAP_FAILED || !s->names)
		return -ENOMEM;
	return slots_get(s, nr);
}

void lk_slots_close(struct lk_slots *s)
{
	munmap((void *)s->ledger, s->ledger_bytes);
	free(s->names);
	bt_client_close(&s->c);
}

__u64 lk_slot_live(struct lk_slots *s, __u32 i, __u32 site)
{
	volatile struct bmem_record *r =
		&s->ledger[s->names[i] >> BMEM_SLOT_PLACE_BITS];
	__u64 gen = (r->head >> BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK) + 1;

	r->what = (__u64)site << BMEM_RECORD_SITE_SHIFT;
	__atomic_store_n(&r->head, 64ULL << BMEM_RECORD_SIZE_SHIFT |
			 gen << BMEM_RECORD_GEN_SHIFT | BMEM_RECORD_LIVE,
			 __ATOMIC_RELEASE);
	return (gen | HANDLE_SLOT) << BMEM_SLOT_PLACE_BITS |
	       (s->names[i] & ((1ULL << BMEM_SLOT_PLACE_BITS) - 1));
}

void lk_slot_free(struct lk_slots *s, __u32 i)
{
	volatile struct bmem_record *r =
		&s->ledger[s->names[i] >> BMEM_SLOT_PLACE_BITS];

	__atomic_store_n(&r->head, (r->head & ~BMEM_RECORD_STATE_MASK) |
			 BMEM_RECORD_FREE, __ATOMIC_RELEASE);
}
