// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tombstones: what clients held when they were gone, by call site.
 *
 * Each client brings its own from when it is opened, so that death needs no
 * memory.  The stacks of its largest sites, and the program files that they
 * refer to, are taken over from the client as they are.  A ring keeps the
 * latest; a client that never allocated leaves none, nor does a clone that was
 * only there for a while, see struct bmem_clone.
 */
#include <linux/fs.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "bmem_private.h"
#include "event.h"
#include "trace.h"

unsigned int bmem_tombstones_max = 256;

/**
 * struct held - what a client held of one site
 * @id: as in struct site
 * @live: tensors
 * @live_bytes: what they asked for
 * @frames: its stack, or NULL
 * @label: the site's
 */
struct held {
	u32 id;
	u64 live;
	u64 live_bytes;
	struct site_frames *frames;
	char label[BMEM_LABEL_LEN];
};

/**
 * struct named_file - a program file that frames refer to
 * @module: by this number
 * @file: what is known of it
 */
struct named_file {
	u32 module;
	struct progfile *file;
};

/**
 * struct bmem_tombstone - the post-mortem record of a client
 * @ref: the ring's, and those who look at it
 * @serial: 1 for the first tombstone, and so on
 * @who: identity
 * @pool: name of its pool
 * @closed: when, by ktime_get_boottime_ns()
 * @way: enum bmem_way_out
 * @code: exit status or signal number
 * @stats: figures at the end, before anything was given back, but for
 *	@stats.escaped_bytes
 * @nr_sites: entries in @sites
 * @sites: what was live, by site, largest first
 * @rest: what was live of all other sites
 * @rest_sites: how many those are
 * @nr_files: entries in @files
 * @files: what the frames in @sites refer to
 *
 * Once it is on the ring nothing of it changes.
 */
struct bmem_tombstone {
	struct kref ref;
	u64 serial;
	struct bmem_identity who;
	char pool[BMEM_POOL_NAME_LEN];
	u64 closed;
	enum bmem_way_out way;
	int code;
	struct bmem_client_stats stats;
	u32 nr_sites;
	u32 rest_sites;
	struct held sites[BMEM_TOMBSTONE_SITES_MAX];
	struct held rest;
	u32 nr_files;
	struct named_file files[BMEM_TOMBSTONE_MODULES_MAX];
};

static DEFINE_SPINLOCK(ring_lock);
static struct bmem_tombstone **ring;
static u64 ring_buried;

struct bmem_tombstone *bmem_tombstone_alloc(void)
{
	struct bmem_tombstone *t = kzalloc(sizeof(*t), GFP_BMEM_META);

	if (t)
		kref_init(&t->ref);
	return t;
}

static void tombstone_free(struct kref *ref)
{
	struct bmem_tombstone *t = container_of(ref, struct bmem_tombstone, ref);
	u32 i;

	for (i = 0; i < t->nr_sites; i++)
		kfree(t->sites[i].frames);
	for (i = 0; i < t->nr_files; i++)
		kfree(t->files[i].file);
	kfree(t);
}

/**
 * bmem_tombstone_put() - drop a reference
 * @t: tombstone, or NULL
 */
void bmem_tombstone_put(struct bmem_tombstone *t)
{
	if (t)
		kref_put(&t->ref, tombstone_free);
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
	if (at == BMEM_TOMBSTONE_SITES_MAX) {
		rest_add(t, site->live, site->live_bytes);
		return;
	}
	if (t->nr_sites == BMEM_TOMBSTONE_SITES_MAX) {
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

static struct progfile *file_find(const struct bmem_tombstone *t, u32 module)
{
	u32 i;

	for (i = 0; i < t->nr_files; i++)
		if (t->files[i].module == module)
			return t->files[i].file;
	return NULL;
}

/* The files that a stack refers to, as far as there is room for them. */
static void files_take(struct bmem_tombstone *t, struct bmem_client *client,
		       const struct site_frames *frames)
{
	struct progfile *file;
	u32 i, module;

	for (i = 0; i < frames->nr; i++) {
		if (t->nr_files == ARRAY_SIZE(t->files))
			return;
		module = frames->at[i].module;
		if (!module || file_find(t, module))
			continue;
		file = bmem_progfile_take(client, module);
		if (!file)
			continue;
		t->files[t->nr_files].module = module;
		t->files[t->nr_files++].file = file;
	}
}

/* The client is about to forget its sites: their stacks go on from here. */
static void stacks_take(struct bmem_tombstone *t, struct bmem_client *client)
{
	struct site *site;
	u32 i;

	for (i = 0; i < t->nr_sites; i++) {
		site = bmem_site_find(client, t->sites[i].id);
		if (!site || !site->frames)
			continue;
		t->sites[i].frames = site->frames;
		site->frames = NULL;
		files_take(t, client, t->sites[i].frames);
	}
}

static void find_way_out(struct bmem_tombstone *t)
{
	t->way = BMEM_WAY_CLOSED;
	if (task_tgid_nr(current) != t->who.tgid)
		return;
	if (!(current->flags & PF_EXITING)) {
		if (current->self_exec_id != t->who.exec_id)
			t->way = BMEM_WAY_EXEC;
		return;
	}
	t->code = current->exit_code & 0x7f;
	t->way = BMEM_WAY_SIGNAL;
	if (t->code)
		return;
	t->way = BMEM_WAY_EXIT;
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
	stacks_take(t, client);
}

/* Without memory for the copy, what there is has to do. */
static void *uncharged(void *p, size_t size)
{
	void *copy = kmemdup(p, size, GFP_KERNEL | __GFP_NOWARN);

	if (!copy)
		return p;
	kfree(p);
	return copy;
}

/* On the ring, charged memory would pin the memory cgroup of the dead. */
static struct bmem_tombstone *tombstone_uncharged(struct bmem_tombstone *t)
{
	struct site_frames *frames;
	struct progfile *file;
	u32 i;

	for (i = 0; i < t->nr_sites; i++) {
		frames = t->sites[i].frames;
		if (frames)
			t->sites[i].frames =
				uncharged(frames, struct_size(frames, at,
							      frames->nr));
	}
	for (i = 0; i < t->nr_files; i++) {
		file = t->files[i].file;
		t->files[i].file = uncharged(file, bmem_progfile_size(file));
	}
	return uncharged(t, sizeof(*t));
}

/* Those of clones that nobody did anything with would push others off. */
static bool worth_telling(const struct bmem_client *client,
			  const struct bmem_tombstone *t)
{
	if (!client->clone)
		return t->stats.allocs;
	return !client->orphan && (t->way != BMEM_WAY_CLOSED ||
				   t->stats.allocs > client->inherited);
}

/**
 * bmem_tombstone_bury() - put a client's tombstone on the ring
 * @client: client, after it gave everything back
 */
void bmem_tombstone_bury(struct bmem_client *client)
{
	struct bmem_tombstone *t = client->tombstone, *old;
	struct bmem_event_note note = {
		.type = BMEM_EVENT_CLIENT_GONE,
		.pool = client->pool->id,
		.client = client->who.id,
		.uid = client->who.uid,
	};
	bool told = worth_telling(client, t);

	if (told)
		t = tombstone_uncharged(t);
	old = t;
	t->stats.escaped_bytes = bmem_bytes(client->escaped);
	client->tombstone = NULL;
	if (told) {
		trace_bmem_tombstone(t->who.id, t->who.tgid, t->who.comm,
				     t->stats.live_tensors,
				     t->stats.live_bytes);
		note.bytes = t->stats.live_bytes;
		spin_lock(&ring_lock);
		t->serial = ++ring_buried;
		note.arg = t->serial;
		if (bmem_tombstones_max)
			swap(ring[t->serial % bmem_tombstones_max], old);
		spin_unlock(&ring_lock);
		bmem_event_raise(&note);
	}
	bmem_tombstone_put(old);
}

/**
 * bmem_tombstone_get() - the oldest tombstone from a serial number on
 * @serial: serial number
 *
 * Return: the tombstone, for bmem_tombstone_put(); NULL when there is none.
 */
struct bmem_tombstone *bmem_tombstone_get(u64 serial)
{
	struct bmem_tombstone *t = NULL;
	u64 oldest = 1;

	spin_lock(&ring_lock);
	if (ring_buried > bmem_tombstones_max)
		oldest = ring_buried - bmem_tombstones_max + 1;
	serial = max(serial, oldest);
	if (serial <= ring_buried) {
		t = ring[serial % bmem_tombstones_max];
		kref_get(&t->ref);
	}
	spin_unlock(&ring_lock);
	return t;
}

/**
 * bmem_tombstone_who() - whose it is
 * @t: tombstone
 *
 * Return: the identity, for as long as the tombstone is held.
 */
const struct bmem_identity *bmem_tombstone_who(const struct bmem_tombstone *t)
{
	return &t->who;
}

static u64 lived_ms(const struct bmem_tombstone *t)
{
	return div_u64(t->closed - t->who.opened, NSEC_PER_MSEC);
}

/* Since its end. */
static u64 closed_ms(const struct bmem_tombstone *t)
{
	return div_u64(ktime_get_boottime_ns() - t->closed, NSEC_PER_MSEC);
}

/**
 * bmem_tombstone_row() - what it says, as in the ABI
 * @t: tombstone
 * @row: out, all zero but for the pid and the user, which depend on who asks
 */
void bmem_tombstone_row(const struct bmem_tombstone *t,
			struct bmem_tombstone_row *row)
{
	const struct bmem_client_stats *st = &t->stats;

	row->serial = t->serial;
	row->client_id = t->who.id;
	row->lived_ms = lived_ms(t);
	row->closed_ms = closed_ms(t);
	row->cgroup = t->who.cgroup;
	row->way = t->way;
	row->code = t->code;
	row->live_tensors = st->live_tensors;
	row->live_bytes = st->live_bytes;
	row->granted_bytes = st->granted_bytes;
	row->attached_bytes = st->attached_bytes;
	row->peak_live_bytes = st->peak_live_bytes;
	row->peak_attached_bytes = st->peak_attached_bytes;
	row->allocs = st->allocs;
	row->frees = st->frees;
	row->failed = st->failed;
	row->escaped_bytes = st->escaped_bytes;
	row->nr_sites = t->nr_sites;
	row->rest_sites = t->rest_sites;
	row->rest_tensors = t->rest.live;
	row->rest_bytes = t->rest.live_bytes;
	strscpy(row->pool, t->pool, sizeof(row->pool));
	strscpy(row->comm, t->who.comm, sizeof(row->comm));
	strscpy(row->label, t->who.label, sizeof(row->label));
}

/**
 * bmem_tombstone_site() - one of its sites, as in the ABI
 * @t: tombstone
 * @at: 0 for the largest
 * @row: out, all zero
 *
 * Return: false when there is none.
 */
bool bmem_tombstone_site(const struct bmem_tombstone *t, u32 at,
			 struct bmem_tombstone_site *row)
{
	const struct held *held = &t->sites[at];
	u32 i;

	if (at >= t->nr_sites)
		return false;
	row->site = held->id;
	row->live_tensors = held->live;
	row->live_bytes = held->live_bytes;
	strscpy(row->label, held->label, sizeof(row->label));
	row->nr_frames = held->frames ? held->frames->nr : 0;
	for (i = 0; i < row->nr_frames; i++) {
		row->frames[i].module = held->frames->at[i].module;
		row->frames[i].offset = held->frames->at[i].offset;
	}
	return true;
}

/**
 * bmem_tombstone_file() - a program file that its frames refer to
 * @t: tombstone
 * @module: its number
 *
 * Return: the file, for as long as the tombstone is held; NULL for none.
 */
const struct progfile *bmem_tombstone_file(const struct bmem_tombstone *t,
					   u32 module)
{
	return module ? file_find(t, module) : NULL;
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
	case BMEM_WAY_EXIT:
		seq_printf(m, " way=exit(%d)", t->code);
		break;
	case BMEM_WAY_SIGNAL:
		seq_printf(m, " way=signal(%d)", t->code);
		break;
	case BMEM_WAY_EXEC:
		seq_puts(m, " way=exec");
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
		   lived_ms(t), closed_ms(t), st->live_tensors, st->live_bytes,
		   st->granted_bytes, st->attached_bytes,
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
		bmem_tombstone_put(ring[i]);
	kvfree(ring);
}
