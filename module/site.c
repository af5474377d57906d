// SPDX-License-Identifier: GPL-2.0-only
/*
 * Call sites: where in a program tensors come from, by the program's own
 * numbering.
 *
 * A site enters the table by BMEM_SITE or ALLOC, and by nothing that is
 * written into the ledger.  It stays for as long as its client does, so
 * tensors refer to it without a count.
 */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bmem_private.h"

/* One hook in so many is timed, and stands for the others. */
#define HOOKS_TIMED	64

DEFINE_STATIC_KEY_TRUE(bmem_tracking);

static struct kmem_cache *site_cache;
static atomic64_t hooks_ns = ATOMIC64_INIT(0);

/* ---- time that the hooks take -------------------------------------------------- */

static u64 hook_enter(struct bmem_client *client)
{
	return client->sites.hooks++ % HOOKS_TIMED ? 0 : ktime_get_ns();
}

static void hook_leave(u64 entered)
{
	if (entered)
		atomic64_add((ktime_get_ns() - entered) * HOOKS_TIMED,
			     &hooks_ns);
}

/**
 * bmem_site_hooks_ns() - time that was spent on sites in ALLOC and FREE
 *
 * Return: nanoseconds, scaled up from one call in %HOOKS_TIMED.
 */
u64 bmem_site_hooks_ns(void)
{
	return atomic64_read(&hooks_ns);
}

/* ---- the table ------------------------------------------------------------------- */

/**
 * bmem_site_find() - a site that is known
 * @client: client, locked
 * @id: the client's number for it, 0 for the tensors without one
 *
 * Return: the site or NULL.
 */
struct site *bmem_site_find(struct bmem_client *client, u32 id)
{
	lockdep_assert_held(&client->lock);
	return id ? xa_load(&client->sites.by_id, id) : &client->sites.none;
}

/**
 * bmem_site_next() - walk over the sites, by number
 * @client: client, locked
 * @id: lowest number
 *
 * Return: the site with the lowest number from @id on, or NULL.
 */
struct site *bmem_site_next(struct bmem_client *client, u64 id)
{
	unsigned long index = id;

	lockdep_assert_held(&client->lock);
	if (!id)
		return &client->sites.none;
	return xa_find(&client->sites.by_id, &index, U32_MAX, XA_PRESENT);
}

static struct site *site_make(u32 id)
{
	struct site *site = kmem_cache_zalloc(site_cache, GFP_BMEM_META);

	if (site)
		site->id = id;
	return site;
}

/* Nothing can fail once a site can be found. */
static int site_publish(struct bmem_client *client, struct site *site)
{
	struct site_table *table = &client->sites;
	int rc;

	lockdep_assert_held(&client->lock);
	if (table->nr >= BMEM_SITES_MAX)
		return -ENOSPC;
	rc = xa_err(xa_store(&table->by_id, site->id, site, GFP_BMEM_META));
	if (!rc)
		site->index = ++table->nr;
	return rc;
}

static struct site *site_add(struct bmem_client *client, u32 id)
{
	struct site *site;
	int rc;

	/* Known before memory is asked for, since it may go on for long. */
	if (client->sites.nr >= BMEM_SITES_MAX)
		return &client->sites.none;
	site = site_make(id);
	if (!site)
		return NULL;
	rc = site_publish(client, site);
	if (rc) {
		kmem_cache_free(site_cache, site);
		return NULL;
	}
	return site;
}

/**
 * bmem_sites_tracked() - are a client's tensors counted by site?
 * @client: client
 *
 * Return: true from %BMEM_LEVEL_STANDARD on.
 */
bool bmem_sites_tracked(struct bmem_client *client)
{
	return static_branch_likely(&bmem_tracking) &&
	       bmem_control_level(client) >= BMEM_LEVEL_STANDARD;
}

/**
 * bmem_site_get() - the site of a new tensor
 * @client: client, locked
 * @id: the caller's number for it
 *
 * Return: the site, which lives as long as the client; the one of tensors
 * without a site when @id is 0, there is no room for another, or sites are not
 * tracked; NULL without memory.
 */
struct site *bmem_site_get(struct bmem_client *client, u32 id)
{
	struct site *site;
	u64 entered;

	if (!id || !bmem_sites_tracked(client))
		return &client->sites.none;
	entered = hook_enter(client);
	site = bmem_site_find(client, id) ?: site_add(client, id);
	hook_leave(entered);
	return site;
}

/**
 * bmem_site_alloc() - a tensor without a record is allocated
 * @client: client, locked
 * @site: of bmem_site_get()
 * @bytes: exact size
 */
void bmem_site_alloc(struct bmem_client *client, struct site *site, u64 bytes)
{
	u64 entered;

	lockdep_assert_held(&client->lock);
	/* What tombstones show: exact at every level. */
	site->live++;
	site->live_bytes += bytes;
	if (!static_branch_likely(&bmem_tracking))
		return;
	entered = hook_enter(client);
	bmem_pattern_allocs(site, 1, bytes, bmem_client_ticks(client));
	bmem_pattern_peak(site);
	hook_leave(entered);
}

/**
 * bmem_site_free() - a tensor without a record is freed
 * @client: client, locked
 * @site: as for bmem_site_alloc()
 * @bytes: as for bmem_site_alloc()
 * @lifetime_ns: how long it lived
 */
void bmem_site_free(struct bmem_client *client, struct site *site, u64 bytes,
		    u64 lifetime_ns)
{
	u64 entered;

	lockdep_assert_held(&client->lock);
	site->live--;
	site->live_bytes -= bytes;
	if (!static_branch_likely(&bmem_tracking))
		return;
	entered = hook_enter(client);
	bmem_pattern_free(site, div_u64(lifetime_ns,
					BMEM_TICK_MS * NSEC_PER_MSEC));
	hook_leave(entered);
}

/* ---- BMEM_SITE ---------------------------------------------------------------- */

/**
 * struct naming - one BMEM_SITE under way
 * @site: the site, if it is new
 * @label: NULL for empty
 * @frames: NULL to leave them
 */
struct naming {
	struct site *site;
	char *label;
	struct site_frames *frames;
};

static size_t frames_bytes(u32 nr)
{
	return struct_size((struct site_frames *)NULL, at, nr);
}

static struct site_frames *frames_copy(const struct bmem_site *cmd)
{
	const struct bmem_frame __user *from = u64_to_user_ptr(cmd->frames);
	struct site_frames *frames;
	struct bmem_frame frame;
	u32 i;

	frames = kmalloc(frames_bytes(cmd->nr_frames), GFP_BMEM_META);
	if (!frames)
		return ERR_PTR(-ENOMEM);
	frames->nr = cmd->nr_frames;
	for (i = 0; i < cmd->nr_frames; i++) {
		int rc = 0;

		if (copy_from_user(&frame, &from[i], sizeof(frame)))
			rc = -EFAULT;
		else if (frame.__reserved)
			rc = -EOPNOTSUPP;
		else if (frame.module > BMEM_MODULES_MAX)
			rc = -EINVAL;
		if (rc) {
			kfree(frames);
			return ERR_PTR(rc);
		}
		frames->at[i].module = frame.module;
		frames->at[i].offset = frame.offset;
	}
	return frames;
}

static int naming_check(const struct bmem_site *cmd)
{
	if (cmd->flags || cmd->__reserved || cmd->__reserved2)
		return -EOPNOTSUPP;
	if (!cmd->site || cmd->nr_frames > BMEM_FRAMES_MAX)
		return -EINVAL;
	return bmem_label_check(cmd->label);
}

static int naming_prepare(struct naming *n, const struct bmem_site *cmd)
{
	if (cmd->label[0]) {
		n->label = kstrdup(cmd->label, GFP_BMEM_META);
		if (!n->label)
			return -ENOMEM;
	}
	if (cmd->nr_frames) {
		n->frames = frames_copy(cmd);
		if (IS_ERR(n->frames)) {
			int rc = PTR_ERR(n->frames);

			n->frames = NULL;
			return rc;
		}
	}
	n->site = site_make(cmd->site);
	return n->site ? 0 : -ENOMEM;
}

static bool frames_known(struct bmem_client *client,
			 const struct site_frames *frames)
{
	u32 i;

	for (i = 0; frames && i < frames->nr; i++)
		if (frames->at[i].module &&
		    !bmem_progfile_known(client, frames->at[i].module))
			return false;
	return true;
}

/* Leaves in @n what is to be freed. */
static int naming_apply(struct bmem_client *client, struct naming *n)
{
	struct site *site = bmem_site_find(client, n->site->id);
	int rc;

	if (!frames_known(client, n->frames))
		return -EINVAL;
	if (!site) {
		rc = site_publish(client, n->site);
		if (rc)
			return rc;
		site = n->site;
		n->site = NULL;
	}
	client->sites.bytes += ksize(n->label) - ksize(site->label);
	swap(site->label, n->label);
	if (n->frames) {
		client->sites.bytes += ksize(n->frames) - ksize(site->frames);
		swap(site->frames, n->frames);
	}
	return 0;
}

static void naming_end(struct naming *n)
{
	kfree(n->label);
	kfree(n->frames);
	if (n->site)
		kmem_cache_free(site_cache, n->site);
}

/**
 * bmem_site_name() - BMEM_SITE
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_site_name(struct bmem_client *client, const struct bmem_site *cmd)
{
	struct naming n = {};
	int rc;

	rc = naming_check(cmd) ?: naming_prepare(&n, cmd);
	if (!rc && mutex_lock_killable(&client->lock))
		rc = -EINTR;
	if (!rc) {
		rc = naming_apply(client, &n);
		mutex_unlock(&client->lock);
	}
	naming_end(&n);
	return rc;
}

/* ---- a client's beginning and end ------------------------------------------------ */

/**
 * bmem_sites_init() - no sites
 * @client: client that is being opened, zeroed
 */
void bmem_sites_init(struct bmem_client *client)
{
	xa_init_flags(&client->sites.by_id, XA_FLAGS_ACCOUNT);
	xa_init_flags(&client->sites.progfiles, XA_FLAGS_ACCOUNT);
	xa_init_flags(&client->sites.gens, XA_FLAGS_ACCOUNT);
}

/* All of a site but for what is allocated. */
static void site_copy(struct site *to, const struct site *from)
{
	*to = *from;
	to->label = NULL;
	to->frames = NULL;
}

static int site_clone(struct bmem_client *to, const struct site *from)
{
	struct site *site = site_make(from->id);
	int rc;

	if (!site)
		return -ENOMEM;
	rc = site_publish(to, site);
	if (rc) {
		kmem_cache_free(site_cache, site);
		return rc;
	}
	site_copy(site, from);
	if (from->label)
		site->label = kstrdup(from->label, GFP_BMEM_META);
	if (from->frames)
		site->frames = kmemdup(from->frames,
				       frames_bytes(from->frames->nr),
				       GFP_BMEM_META);
	if ((from->label && !site->label) || (from->frames && !site->frames))
		return -ENOMEM;
	to->sites.bytes += ksize(site->label) + ksize(site->frames);
	return 0;
}

/**
 * bmem_sites_clone() - the same sites in a clone, with their figures
 * @to: clone, locked, without sites
 * @from: client, locked
 *
 * Return: 0, -ENOMEM or -EINTR; what was taken goes with the clone.
 */
int bmem_sites_clone(struct bmem_client *to, struct bmem_client *from)
{
	struct site *site;
	unsigned long id;
	int rc = 0;

	lockdep_assert_held(&from->lock);
	site_copy(&to->sites.none, &from->sites.none);
	to->sites.strange = from->sites.strange;
	xa_for_each(&from->sites.by_id, id, site) {
		rc = site_clone(to, site);
		if (rc)
			return rc;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return bmem_progfiles_clone(to, from) ?: bmem_gens_clone(to, from);
}

/**
 * bmem_sites_release() - forget the sites of a client that dies
 * @client: client, locked, without tensors
 */
void bmem_sites_release(struct bmem_client *client)
{
	struct site *site;
	unsigned long id;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->sites.by_id, id, site) {
		kfree(site->label);
		kfree(site->frames);
		kmem_cache_free(site_cache, site);
		cond_resched();
	}
	xa_destroy(&client->sites.by_id);
	bmem_progfiles_release(client);
	bmem_gens_release(client);
	client->sites.bytes = 0;
	client->sites.nr = 0;
}

/**
 * bmem_sites_bytes() - kernel memory for a client's sites
 * @client: client
 *
 * Return: bytes.
 */
u64 bmem_sites_bytes(const struct bmem_client *client)
{
	return (u64)READ_ONCE(client->sites.nr) * kmem_cache_size(site_cache) +
	       READ_ONCE(client->sites.bytes);
}

int bmem_sites_start(void)
{
	site_cache = kmem_cache_create("bmem_site", sizeof(struct site),
				       0, SLAB_ACCOUNT, NULL);
	return site_cache ? 0 : -ENOMEM;
}

void bmem_sites_stop(void)
{
	kmem_cache_destroy(site_cache);
}
