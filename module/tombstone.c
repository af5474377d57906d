// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tombstones: what clients held when they were gone, by call site.
 *
 * Each client brings its own from when it is opened, so that death needs no
 * memory.  A ring keeps the latest; a client that never allocated leaves
 * none.
 */
#include <linux/fs.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "bmem_private.h"
#include "trace.h"

#define TOMBSTONE_SITES	16

unsigned int bmem_tombstones_max = 256;

/**
 * enum way_out - how a client came to its end
 * @WAY_CLOSED: its descriptors and mappings were closed
 * @WAY_EXIT: its process exited
 * @WAY_SIGNAL: its process was killed by a signal
 */
enum way_out {
	WAY_CLOSED,
	WAY_EXIT,
	WAY_SIGNAL,
};

/**
 * struct held - what a client held of one site
 * @id: as in struct site
 * @live: tensors
 * @live_bytes: what they asked for
 * @label: the site's
 */
struct held {
	u32 id;
	u64 live;
	u64 live_bytes;
	char label[BMEM_LABEL_LEN];
};

/**
 * struct bmem_tombstone - the post-mortem record of a client
 * @serial: 1 for the first tombstone, and so on
 * @who: identity
 * @pool: name of its pool
 * @closed: when, by ktime_get_boottime_ns()
 * @way: enum way_out
 * @code: exit status or signal number
 * @stats: figures at the end, before anything was given back, but for
 *	@stats.escaped_bytes
 * @nr_sites: entries in @sites
 * @sites: what was live, by site, largest first
 * @rest: what was live of all other sites
 * @rest_sites: how many those are
 */
struct bmem_tombstone {
	u64 serial;
	struct bmem_identity who;
	char pool[BMEM_POOL_NAME_LEN];
	u64 closed;
	enum way_out way;
	int code;
	struct bmem_client_stats stats;
	u32 nr_sites;
	u32 rest_sites;
	struct held sites[TOMBSTONE_SITES];
	struct held rest;
};

static DEFINE_SPINLOCK(ring_lock);
static struct bmem_tombstone **ring;
static u64 ring_buried;

struct bmem_tombstone *bmem_tombstone_alloc(void)
{
	return kzalloc(sizeof(struct bmem_tombstone), GFP_BMEM_META);
}

void bmem_tombstone_free(struct bmem_tombstone *t)
{
	kfree(t);
}

u64 bmem_tombstone_serial(const struct bmem_tombstone *t)
{
	return t->serial;
}

static void rest_add(struct bmem_tombstone *t, u64 live, u64 live_bytes)
{
	t->rest.live += live;
	t->rest.live_bytes += live_bytes;
	t->rest_sites++;
}

/* Keeps the largest sites sorted; what falls out goes to the rest. */
static void site_add(struct bmem_tombstone *t, const struct site *site)
{
	u32 at = t->nr_sites;

	if (!site->live)
		return;
	while (at && t->sites[at - 1].live_bytes < site->live_bytes)
		at--;
	if (at == TOMBSTONE_SITES) {
		rest_add(t, site->live, site->live_bytes);
		return;
	}
	if (t->nr_sites == TOMBSTONE_SITES) {
		t->nr_sites--;
		rest_add(t, t->sites[t->nr_sites].live,
			 t->sites[t->nr_sites].live_bytes);
	}
	memmove(&t->sites[at + 1], &t->sites[at],
		(t->nr_sites - at) * sizeof(*t->sites));
	t->sites[at].id = site->id;
	t->sites[at].live = site->live;
	t->sites[at].live_bytes = site->live_bytes;
	strscpy(t->sites[at].label, bmem_site_label(site),
		sizeof(t->sites[at].label));
	t->nr_sites++;
}

static void find_way_out(struct bmem_tombstone *t)
{
	t->way = WAY_CLOSED;
	if (!(current->flags & PF_EXITING) ||
	    task_tgid_nr(current) != t->who.tgid)
		return;
	t->code = current->exit_code & 0x7f;
	t->way = WAY_SIGNAL;
	if (t->code)
		return;
	t->way = WAY_EXIT;
	t->code = current->exit_code >> 8 & 0xff;
}

/**
 * bmem_tombstone_write() - take down what a client holds
 * @client: client, locked, about to give everything back
 */
void bmem_tombstone_write(struct bmem_client *client)
{
	struct bmem_tombstone *t = client->tombstone;
	struct site *site;
	u64 id = 0;

	lockdep_assert_held(&client->lock);
	t->who = client->who;
	t->closed = ktime_get_boottime_ns();
	strscpy(t->pool, client->pool->name, sizeof(t->pool));
	find_way_out(t);
	bmem_client_settle(client, &t->stats);
	while ((site = bmem_site_next(client, id))) {
		site_add(t, site);
		id = (u64)site->id + 1;
	}
}

/* On the ring, a charged one would pin the memory cgroup of the dead. */
static struct bmem_tombstone *uncharged(struct bmem_tombstone *t)
{
	struct bmem_tombstone *copy = kmemdup(t, sizeof(*t),
					      GFP_KERNEL | __GFP_NOWARN);

	if (!copy)
		return t;
	kfree(t);
	return copy;
}

/**
 * bmem_tombstone_bury() - put a client's tombstone on the ring
 * @client: client, after it gave everything back
 */
void bmem_tombstone_bury(struct bmem_client *client)
{
	struct bmem_tombstone *t = uncharged(client->tombstone), *old = t;

	t->stats.escaped_bytes = bmem_bytes(client->escaped);
	client->tombstone = NULL;
	if (t->stats.allocs) {
		trace_bmem_tombstone(t->who.id, t->who.tgid, t->who.comm,
				     t->stats.live_tensors,
				     t->stats.live_bytes);
		spin_lock(&ring_lock);
		t->serial = ++ring_buried;
		if (bmem_tombstones_max)
			swap(ring[t->serial % bmem_tombstones_max], old);
		spin_unlock(&ring_lock);
	}
	kfree(old);
}

/**
 * bmem_tombstone_copy() - the oldest tombstone from a serial number on
 * @serial: serial number
 *
 * Return: a copy, for bmem_tombstone_free(); NULL when there is none; an
 * ERR_PTR without memory.
 */
struct bmem_tombstone *bmem_tombstone_copy(u64 serial)
{
	struct bmem_tombstone *t = kmalloc(sizeof(*t), GFP_KERNEL);
	u64 oldest = 1;

	if (!t)
		return ERR_PTR(-ENOMEM);
	spin_lock(&ring_lock);
	if (ring_buried > bmem_tombstones_max)
		oldest = ring_buried - bmem_tombstones_max + 1;
	serial = max(serial, oldest);
	if (serial > ring_buried) {
		kfree(t);
		t = NULL;
	} else {
		*t = *ring[serial % bmem_tombstones_max];
	}
	spin_unlock(&ring_lock);
	return t;
}

static void show_site(struct seq_file *m, const char *label,
		      const struct held *held)
{
	seq_printf(m, "  %llu bytes in %llu tensors\t", held->live_bytes,
		   held->live);
	bmem_show_text(m, label);
	seq_putc(m, '\n');
}

static void show_way_out(struct seq_file *m, const struct bmem_tombstone *t)
{
	switch (t->way) {
	case WAY_EXIT:
		seq_printf(m, " way=exit(%d)", t->code);
		break;
	case WAY_SIGNAL:
		seq_printf(m, " way=signal(%d)", t->code);
		break;
	default:
		seq_puts(m, " way=closed");
	}
}

/**
 * bmem_tombstone_show() - print one
 * @m: where to
 * @t: tombstone
 */
void bmem_tombstone_show(struct seq_file *m, const struct bmem_tombstone *t)
{
	const struct bmem_client_stats *st = &t->stats;
	char unnamed[24], rest[40];
	u32 i;

	seq_printf(m, "tombstone %llu client=%llu tgid=%d comm=", t->serial,
		   t->who.id, t->who.tgid);
	bmem_show_name(m, t->who.comm);
	seq_printf(m, " uid=%u pool=%s",
		   from_kuid_munged(&init_user_ns, t->who.uid), t->pool);
	show_way_out(m, t);
	seq_printf(m, " lived_ms=%llu closed_ms=%llu live_tensors=%llu live_bytes=%llu granted_bytes=%llu attached_bytes=%llu peak_live_bytes=%llu peak_attached_bytes=%llu allocs=%llu frees=%llu failed=%llu escaped_bytes=%llu label=",
		   div_u64(t->closed - t->who.opened, NSEC_PER_MSEC),
		   div_u64(t->closed, NSEC_PER_MSEC), st->live_tensors,
		   st->live_bytes, st->granted_bytes, st->attached_bytes,
		   st->peak_live_bytes, st->peak_attached_bytes, st->allocs,
		   st->frees, st->failed, st->escaped_bytes);
	bmem_show_name(m, t->who.label);
	seq_putc(m, '\n');

	for (i = 0; i < t->nr_sites; i++) {
		const struct held *held = &t->sites[i];

		snprintf(unnamed, sizeof(unnamed), "site %u", held->id);
		show_site(m, held->label[0] ? held->label : unnamed, held);
	}
	if (t->rest_sites) {
		snprintf(rest, sizeof(rest), "%u other sites", t->rest_sites);
		show_site(m, rest, &t->rest);
	}
}

/**
 * bmem_tombstones_count() - how many there have been
 * @buried: out, all so far
 * @dropped: out, those that the ring has no more
 */
void bmem_tombstones_count(u64 *buried, u64 *dropped)
{
	spin_lock(&ring_lock);
	*buried = ring_buried;
	*dropped = ring_buried > bmem_tombstones_max ?
		   ring_buried - bmem_tombstones_max : 0;
	spin_unlock(&ring_lock);
}

int bmem_tombstones_init(void)
{
	ring = kvcalloc(max(bmem_tombstones_max, 1U), sizeof(*ring),
			GFP_KERNEL);
	return ring ? 0 : -ENOMEM;
}

void bmem_tombstones_exit(void)
{
	unsigned int i;

	for (i = 0; i < bmem_tombstones_max; i++)
		kfree(ring[i]);
	kvfree(ring);
}
