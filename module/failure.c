// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last ALLOC that failed, and what there was at that moment.
 */
#include <linux/math64.h>
#include <linux/ktime.h>

#include "bmem_private.h"
#include "event.h"

static const char * const reasons[] = {
	[BMEM_REASON_LIMIT] = "the pool is at its limit",
	[BMEM_REASON_MEMORY] = "the system or the memory cgroup has no memory",
	[BMEM_REASON_SPACE] = "the client's space has no gap of this size",
	[BMEM_REASON_TOO_LARGE] = "larger than the pool's limit or the space",
	[BMEM_REASON_LEDGER] = "the client's ledger has no record left",
};

static DEFINE_SPINLOCK(failure_lock);
static struct bmem_failure last;

/**
 * bmem_failure_note() - take down a failure
 * @client: whose, locked
 * @f: what was asked for and why it failed; the rest is filled in
 */
void bmem_failure_note(struct bmem_client *client, struct bmem_failure *f)
{
	struct bmem_event_note note = {
		.type = BMEM_EVENT_ALLOC_FAILED,
		.pool = client->pool->id,
		.client = client->who.id,
		.uid = client->who.uid,
	};

	lockdep_assert_held(&client->lock);
	f->when = ktime_get_boottime_ns();
	f->client = client->who.id;
	f->tgid = client->who.tgid;
	strscpy(f->comm, client->who.comm, sizeof(f->comm));
	bmem_pool_describe(client->pool, f);
	place_measure(&client->place, &f->arena);
	f->attached = client->attached;

	spin_lock(&failure_lock);
	f->serial = last.serial + 1;
	last = *f;
	spin_unlock(&failure_lock);

	note.bytes = f->call_bytes;
	note.arg = -f->error;
	bmem_event_raise(&note);
}

/**
 * bmem_fragmentation() - how scattered the holes of an arena are
 * @st: its shape
 *
 * Return: share of the holes that is not in the largest one, in permille.
 */
u32 bmem_fragmentation(const struct place_stats *st)
{
	if (!st->hole_pages)
		return 0;
	return div_u64(1000ULL * (st->hole_pages - st->hole_best),
		       st->hole_pages);
}

/**
 * bmem_failure_show() - print the last failure
 * @m: where to
 */
void bmem_failure_show(struct seq_file *m)
{
	struct bmem_failure f;

	spin_lock(&failure_lock);
	f = last;
	spin_unlock(&failure_lock);

	seq_printf(m, "failures: %llu\n", f.serial);
	if (!f.serial)
		return;
	seq_printf(m, "ago_ms: %llu\n",
		   div_u64(ktime_get_boottime_ns() - f.when, NSEC_PER_MSEC));
	seq_printf(m, "client: %llu\n", f.client);
	seq_printf(m, "tgid: %d\n", f.tgid);
	seq_puts(m, "comm: ");
	bmem_show_name(m, f.comm);
	seq_printf(m, "\nerror: %d\n", f.error);
	seq_printf(m, "reason: %s\n", reasons[f.reason]);
	seq_printf(m, "asked_bytes: %llu\n", f.bytes);
	seq_printf(m, "asked_align: %u\n", f.align);
	seq_printf(m, "call_entries: %u\n", f.entries);
	seq_printf(m, "call_index: %u\n", f.index);
	seq_printf(m, "call_bytes: %llu\n", f.call_bytes);
	seq_printf(m, "pool: %s\n", f.pool);
	seq_printf(m, "pool_limit_bytes: %llu\n", f.pool_limit);
	seq_printf(m, "pool_total_bytes: %llu\n", f.pool_total);
	seq_printf(m, "pool_attached_bytes: %llu\n", f.pool_attached);
	seq_printf(m, "pool_free_bytes: %llu\n", f.pool_free);
	seq_printf(m, "client_attached_bytes: %llu\n", bmem_bytes(f.attached));
	seq_printf(m, "client_used_bytes: %llu\n", bmem_bytes(f.arena.used));
	seq_printf(m, "holes: %u\n", f.arena.holes);
	seq_printf(m, "hole_bytes: %llu\n", bmem_bytes(f.arena.hole_pages));
	seq_printf(m, "largest_hole_bytes: %llu\n",
		   bmem_bytes(f.arena.hole_best));
	seq_printf(m, "fragmentation_permille: %u\n", bmem_fragmentation(&f.arena));
}

/**
 * bmem_failures_count() - how many there have been
 *
 * Return: that.
 */
u64 bmem_failures_count(void)
{
	u64 n;

	spin_lock(&failure_lock);
	n = last.serial;
	spin_unlock(&failure_lock);
	return n;
}
