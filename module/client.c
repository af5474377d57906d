// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client: one open of the device, and all that belongs to it.
 */
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/memcontrol.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "backing.h"
#include "bmem_private.h"
#include "trace.h"

/* Tries to allocate after what is cached has been taken back. */
#define ALLOC_RETRIES	2

/*
 * Unmapping costs in proportion to a client's mappings; nobody else waits for
 * a client that has more than this.
 */
#define TRIM_MAPS_MAX	128

/*
 * A caller at the pool's limit, and one that asks for all of a pool, sleeps so
 * often for others that are busy and may have what it wants, REPORT_MS each.
 */
#define TRIM_TRIES	20

/* At most so often do callers without memory empty the caches of others. */
#define TRIM_PERIOD	(HZ / 10)

/* How long one try to get a busy client's lock takes. */
#define REPORT_MS	5

unsigned int bmem_cache_mib = 16;
u64 bmem_clients_opened;

/* Clients by id, under bmem_registry_lock. */
static DEFINE_XARRAY(clients);
static unsigned int nr_clients;

/**
 * bmem_text_check() - is it fit to be shown?
 * @text: array
 * @size: its length
 *
 * Return: 0, or -EINVAL without a terminating zero or with a control
 * character.
 */
int bmem_text_check(const char *text, size_t size)
{
	size_t i, len = strnlen(text, size);

	if (len == size)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (iscntrl(text[i]))
			return -EINVAL;
	return 0;
}

/**
 * bmem_label_check() - the same for a label
 * @label: array of %BMEM_LABEL_LEN
 *
 * Return: as above.
 */
int bmem_label_check(const char *label)
{
	return bmem_text_check(label, BMEM_LABEL_LEN);
}

static void identify_process(struct bmem_identity *who)
{
	who->exec_id = current->self_exec_id;
	who->tgid = task_tgid_nr(current);
	who->ns_tgid = task_tgid_vnr(current);
	who->pid_ns = task_active_pid_ns(current)->ns.inum;
	get_task_comm(who->comm, current);
}

static void identify(struct bmem_identity *who)
{
	who->opened = ktime_get_boottime_ns();
	who->cgroup = bmem_current_cgroup();
	who->uid = current_euid();
	identify_process(who);
}

static int client_init(struct bmem_client *client)
{
	unsigned int i;
	int rc;

	kref_init(&client->ref);
	mutex_init(&client->lock);
	spin_lock_init(&client->around_lock);
	bmem_reader_init(&client->reader);
	xa_init_flags(&client->chunks, XA_FLAGS_ACCOUNT);
	bmem_sites_init(client);
	bmem_leaks_init(client);
	INIT_LIST_HEAD(&client->cached);
	INIT_LIST_HEAD(&client->queued);
	INIT_LIST_HEAD(&client->holder);
	INIT_LIST_HEAD(&client->giver.link);
	client->extents = RB_ROOT;
	for (i = 0; i < SLAB_CLASSES; i++)
		INIT_LIST_HEAD(&client->partial[i]);
	client->cache_max = READ_ONCE(bmem_cache_mib) /
			    (BMEM_HUGE_SIZE / SZ_1M);
	identify(&client->who);

	rc = place_init(&client->place, bmem_space_pages / PLACE_CHUNK_PAGES) ?:
	     bmem_ledger_init(client);
	if (rc)
		return rc;
	rc = bmem_span_map_init(client);
	if (rc)
		return rc;
	rc = bmem_control_init(client);
	if (rc)
		goto err_span_map;
	client->tombstone = bmem_tombstone_alloc();
	if (!client->tombstone) {
		rc = -ENOMEM;
		goto err_control;
	}
	client->inode = bmem_vm_inode();
	if (IS_ERR(client->inode)) {
		rc = PTR_ERR(client->inode);
		goto err_tombstone;
	}
	return 0;

err_tombstone:
	bmem_tombstone_put(client->tombstone);
err_control:
	bmem_control_destroy(client);
err_span_map:
	bmem_window_destroy(&client->span_map);
	return rc;
}

/* Count a client in, so that the pool stays. */
static struct bmem_pool *pool_enter(u32 id)
{
	struct bmem_pool *pool;
	int rc = -ENOENT;

	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(id);
	if (pool)
		rc = bmem_pool_may_bind(pool);
	if (!rc)
		pool->clients++;
	mutex_unlock(&bmem_registry_lock);
	return rc ? ERR_PTR(rc) : pool;
}

static void pool_leave(struct bmem_pool *pool)
{
	mutex_lock(&bmem_registry_lock);
	pool->clients--;
	mutex_unlock(&bmem_registry_lock);
}

/**
 * bmem_client_join() - go to another pool, without being asked for the group
 * @client: client, locked, with nothing behind its arena
 * @pool: pool that another client is in, which stays there meanwhile
 */
void bmem_client_join(struct bmem_client *client, struct bmem_pool *pool)
{
	mutex_lock(&bmem_registry_lock);
	client->pool->clients--;
	pool->clients++;
	client->pool = pool;
	WRITE_ONCE(client->reader.pool, pool->id);
	mutex_unlock(&bmem_registry_lock);
}

/* Its place is there, so that nothing fails once it can be found. */
static void client_enter(struct bmem_client *client, u64 id)
{
	struct bmem_pool *pool = bmem_pool_find(BMEM_POOL_DEFAULT);

	lockdep_assert_held(&bmem_registry_lock);
	client->pool = pool;
	client->who.id = id;
	client->reader.client = id;
	client->reader.pool = pool->id;
	WARN_ON_ONCE(xa_err(xa_store(&clients, id, client, 0)));
	WRITE_ONCE(bmem_clients_opened, id);
	nr_clients++;
	pool->clients++;
}

/*
 * Gives the client an id and a pool.  What that takes is there before the registry
 * is locked: everybody would wait for who has to wait for memory.  An id that
 * somebody else got first is nobody's any more once he is gone.
 */
static int client_publish(struct bmem_client *client)
{
	bool entered;
	u64 id;
	int rc;

	do {
		id = bmem_clients_last() + 1;
		rc = xa_reserve(&clients, id, GFP_BMEM_META);
		if (rc)
			return rc;
		mutex_lock(&bmem_registry_lock);
		entered = id == bmem_clients_opened + 1;
		if (entered)
			client_enter(client, id);
		mutex_unlock(&bmem_registry_lock);
		if (!entered)
			xa_release(&clients, id);
	} while (!entered);
	return 0;
}

/**
 * bmem_client_open() - a client for the calling process
 *
 * Return: the client, for bmem_client_close(), or an ERR_PTR.
 */
struct bmem_client *bmem_client_open(void)
{
	struct bmem_client *client;
	int rc;

	client = kzalloc(sizeof(*client), GFP_BMEM_META);
	if (!client)
		return ERR_PTR(-ENOMEM);
	rc = client_init(client);
	if (rc)
		goto err_free;
	client->memcg = get_mem_cgroup_from_mm(current->mm);
	client->pid = get_pid(task_tgid(current));
	rc = client_publish(client);
	if (rc)
		goto err_memcg;
	/* The module's level may have changed before it could be found. */
	bmem_control_update(client);
	trace_bmem_client_open(client->who.id, client->who.tgid,
			       client->who.comm);
	return client;

err_memcg:
	put_pid(client->pid);
	mem_cgroup_put(client->memcg);
	iput(client->inode);
	bmem_tombstone_put(client->tombstone);
	bmem_control_destroy(client);
	bmem_window_destroy(&client->span_map);
err_free:
	kfree(client);
	return ERR_PTR(rc);
}

static void client_free(struct kref *ref)
{
	struct bmem_client *client = container_of(ref, struct bmem_client, ref);

	bmem_control_destroy(client);
	bmem_placement_free(client);
	/* Workers that look at the client charge what they need to its group. */
	mem_cgroup_put(client->memcg);
	put_pid(client->pid);
	mutex_destroy(&client->lock);
	bmem_leaks_free(client);
	bmem_links_free(client);
	kfree(client);
}

/**
 * bmem_client_put() - drop a reference
 * @client: client
 */
void bmem_client_put(struct bmem_client *client)
{
	kref_put(&client->ref, client_free);
}

/**
 * bmem_client_close() - the last descriptor and mapping are gone
 * @client: client
 *
 * Gives back all memory and leaves a tombstone.
 */
void bmem_client_close(struct bmem_client *client)
{
	struct bmem_pool *pool = client->pool;

	WARN_ON_ONCE(atomic_read(&client->maps));
	mutex_lock(&bmem_registry_lock);
	xa_erase(&clients, client->who.id);
	nr_clients--;
	mutex_unlock(&bmem_registry_lock);
	bmem_reader_close(&client->reader);

	mutex_lock(&client->lock);
	client->dead = true;
	bmem_cleanup_forget(client);
	bmem_sites_settle(client);
	bmem_tombstone_write(client);
	bmem_leaks_release(client);
	bmem_links_release(client);
	bmem_tensors_release(client);
	bmem_backing_destroy(client);
	WARN_ON_ONCE(client->attached || client->base || client->nr_chunks ||
		     client->nr_cached || client->nr_queued);
	bmem_placement_release(client);
	bmem_window_destroy(&client->span_map);
	bmem_ledger_destroy(client);
	bmem_sites_release(client);
	bmem_leak_skips_release(client);
	mutex_unlock(&client->lock);
	bmem_tombstone_bury(client);
	pool_leave(pool);

	trace_bmem_client_close(client->who.id, client->who.tgid,
				client->who.comm);
	iput(client->inode);
	bmem_client_put(client);
}

/**
 * bmem_client_get() - find a client
 * @id: its id
 *
 * Return: the client, for bmem_client_put(), or NULL.
 */
struct bmem_client *bmem_client_get(u64 id)
{
	struct bmem_client *client;

	mutex_lock(&bmem_registry_lock);
	client = xa_load(&clients, id);
	if (client)
		kref_get(&client->ref);
	mutex_unlock(&bmem_registry_lock);
	return client;
}

/**
 * bmem_clients_last() - where a walk over all clients ends
 *
 * Return: id of the client that was opened last.
 */
u64 bmem_clients_last(void)
{
	return READ_ONCE(bmem_clients_opened);
}

/**
 * bmem_client_next() - walk over all clients
 * @id: 0 to begin, else the id of the last
 * @last: bmem_clients_last() when the walk began: else those who come and go
 *	all the time would keep it from its end
 *
 * Return: the client with the next higher id, for bmem_client_put(), or NULL.
 */
struct bmem_client *bmem_client_next(u64 id, u64 last)
{
	struct bmem_client *client;
	unsigned long index = id;

	mutex_lock(&bmem_registry_lock);
	client = xa_find_after(&clients, &index, last, XA_PRESENT);
	if (client)
		kref_get(&client->ref);
	mutex_unlock(&bmem_registry_lock);
	return client;
}

/**
 * bmem_client_visible() - find a client that the caller may look at
 * @self: the caller's
 * @id: its id, 0 for @self
 *
 * Return: the client, for bmem_client_put(); NULL when there is none or it is
 * another user's.
 */
struct bmem_client *bmem_client_visible(struct bmem_client *self, u64 id)
{
	struct bmem_client *client;

	if (!id || id == self->who.id) {
		kref_get(&self->ref);
		return self;
	}
	client = bmem_client_get(id);
	if (!client)
		return NULL;
	if (uid_eq(client->who.uid, current_euid()) || capable(CAP_SYS_ADMIN))
		return client;
	bmem_client_put(client);
	return NULL;
}

/* False when it cannot be had while there are tries left, or when killed. */
static bool lock_trying(struct bmem_client *client, unsigned int *tries)
{
	while (!mutex_trylock(&client->lock)) {
		if (!*tries || fatal_signal_pending(current))
			return false;
		--*tries;
		msleep(REPORT_MS);
	}
	return true;
}

/**
 * bmem_client_lock() - lock a client to look at it
 * @client: client
 * @tries: times that the caller sleeps for it yet, counted down: one budget for
 *	all the clients that it looks at; NULL to wait until killed
 *
 * Return: 0, locked; -EINTR; -EBUSY when it is busy and there is no try left;
 * -ENOENT when it is dead.
 */
int bmem_client_lock(struct bmem_client *client, unsigned int *tries)
{
	if (!tries) {
		if (mutex_lock_killable(&client->lock))
			return -EINTR;
	} else if (!lock_trying(client, tries)) {
		return -EBUSY;
	}
	if (!client->dead)
		return 0;
	mutex_unlock(&client->lock);
	return -ENOENT;
}

/**
 * bmem_clients_count() - how many clients are open
 *
 * Return: that.
 */
unsigned int bmem_clients_count(void)
{
	return READ_ONCE(nr_clients);
}

/* Swaps *@pool, entered, with the client's. */
static int bind_pool(struct bmem_client *client, struct bmem_pool **pool)
{
	lockdep_assert_held(&client->lock);
	if (*pool == client->pool)
		return 0;
	/* Spans of tensors that are being allocated count, too. */
	if (client->place.pages_used)
		return -EBUSY;
	bmem_backing_trim(client, 0);
	/* Killed: what is left belongs to the old pool. */
	if (client->nr_cached || client->nr_queued)
		return -EINTR;
	/* Who looks through cleanup's list looks at pools, too. */
	bmem_cleanup_forget(client);
	swap(*pool, client->pool);
	WRITE_ONCE(client->reader.pool, client->pool->id);
	return 0;
}

/*
 * The first process that asks for a clone, which is its user and no other's:
 * who made it stays who may look at it.
 */
static void adopt(struct bmem_client *client)
{
	struct pid *pid = get_pid(task_tgid(current));

	lockdep_assert_held(&client->lock);
	mutex_lock(&bmem_registry_lock);
	swap(pid, client->pid);
	identify_process(&client->who);
	mutex_unlock(&bmem_registry_lock);
	put_pid(pid);
	client->orphan = false;
}

/* A mapping made before could be written to without .page_mkwrite. */
static int bind_clone(struct bmem_client *client)
{
	lockdep_assert_held(&client->lock);
	if (client->cloneable)
		return 0;
	WRITE_ONCE(client->cloneable, true);
	/* Either this sees a mapping, or who maps sees that.  See bmem_mmap(). */
	smp_mb();
	if (!atomic_read(&client->maps))
		return 0;
	WRITE_ONCE(client->cloneable, false);
	return -EBUSY;
}

/* What is looked at unasked depends on the level. */
static void level_changed(struct bmem_client *client)
{
	bmem_control_update(client);
	bmem_sweep_soon(client);
	if (READ_ONCE(client->links))
		bmem_leak_soon(client, BMEM_LEAK_CYCLE);
}

/* What may fail: all of it is done, or nothing. */
static int bind_first(struct bmem_client *client, struct bmem_bind *cmd,
		      struct bmem_pool **pool)
{
	bool cloneable = client->cloneable;
	int rc = 0;

	if (cmd->flags & BMEM_BIND_CLONE)
		rc = bind_clone(client);
	if (!rc && cmd->flags & BMEM_BIND_POOL)
		rc = bind_pool(client, pool);
	if (rc)
		WRITE_ONCE(client->cloneable, cloneable);
	return rc;
}

static int bind_locked(struct bmem_client *client, struct bmem_bind *cmd,
		       struct bmem_pool **pool)
{
	int rc = bind_first(client, cmd, pool);

	if (rc)
		return rc;
	if (cmd->flags & BMEM_BIND_CLONE && client->orphan)
		adopt(client);
	if (cmd->flags & BMEM_BIND_LABEL)
		strscpy_pad(client->who.label, cmd->label,
			    sizeof(client->who.label));
	if (cmd->flags & BMEM_BIND_CACHE) {
		client->cache_max = cmd->cache_bytes / BMEM_HUGE_SIZE;
		client->cache_fixed = true;
		bmem_backing_trim(client, client->cache_max);
	}
	if (cmd->flags & BMEM_BIND_LEVEL) {
		client->level = cmd->level;
		level_changed(client);
	}
	if (cmd->flags & BMEM_BIND_POLICY) {
		client->policy = cmd->policy;
		bmem_placement_pin(client);
	}
	trace_bmem_bind(client->who.id, client->pool->id, client->who.label);
	return 0;
}

static int bind_check(const struct bmem_bind *cmd)
{
	if (cmd->flags & ~(BMEM_BIND_POOL | BMEM_BIND_LABEL | BMEM_BIND_CACHE |
			   BMEM_BIND_LEVEL | BMEM_BIND_POLICY |
			   BMEM_BIND_CLONE) ||
	    cmd->__reserved)
		return -EOPNOTSUPP;
	if (!cmd->flags)
		return -EINVAL;
	if (cmd->flags & BMEM_BIND_LABEL && bmem_label_check(cmd->label))
		return -EINVAL;
	if (cmd->flags & BMEM_BIND_LEVEL && cmd->level > BMEM_LEVEL_FULL)
		return -EINVAL;
	if (cmd->flags & BMEM_BIND_POLICY && cmd->policy > BMEM_PLACE_BUDDY)
		return -EINVAL;
	return 0;
}

/**
 * bmem_client_bind() - BMEM_BIND
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_bind(struct bmem_client *client, struct bmem_bind *cmd)
{
	struct bmem_pool *pool = NULL;
	int rc;

	rc = bind_check(cmd);
	if (rc)
		return rc;
	if (cmd->flags & BMEM_BIND_POOL) {
		pool = pool_enter(cmd->pool);
		if (IS_ERR(pool))
			return PTR_ERR(pool);
	}
	if (mutex_lock_killable(&client->lock)) {
		rc = -EINTR;
	} else {
		rc = bind_locked(client, cmd, &pool);
		mutex_unlock(&client->lock);
	}
	/* On success, the pool that the client was in before. */
	if (pool) {
		/* Who waits there for this client is to look in the new one. */
		bmem_pool_freed(pool);
		pool_leave(pool);
	}
	return rc;
}

/**
 * bmem_client_meta() - kernel memory for a client's own bookkeeping
 * @client: client; each figure is right for itself when it is not locked
 * @meta: out, bytes by enum meta_kind
 */
void bmem_client_meta(struct bmem_client *client, u64 *meta)
{
	meta[META_LEDGER] = bmem_bytes(client->ledger.nr) +
			    place_table_bytes(client->records.chunks);
	meta[META_SPAN_MAP] = bmem_bytes(client->span_map.nr);
	meta[META_SITES] = bmem_sites_bytes(client);
	meta[META_TENSORS] = client->live * bmem_tensor_size();
	meta[META_SPANS] = client->nr_spans * bmem_span_size();
	/*
	 * The client itself, its page of the control window, and what says who
	 * shares pages: with each of the clients that do.
	 */
	meta[META_TABLES] = sizeof(*client) + PAGE_SIZE +
			    bmem_placement_bytes(client) +
			    bmem_reader_bytes(&client->reader) +
			    client->nr_chunks * sizeof(struct bmem_chunk) +
			    client->nr_shares * sizeof(struct share) +
			    client->nr_base_chunks * BMEM_HUGE_PAGES *
			    sizeof(void *);
	meta[META_LEAKS] = bmem_leaks_bytes(client);
	meta[META_LINKS] = bmem_links_bytes(client);
}

static u64 meta_bytes(struct bmem_client *client)
{
	u64 meta[META_KINDS], sum = 0;
	unsigned int i;

	bmem_client_meta(client, meta);
	for (i = 0; i < META_KINDS; i++)
		sum += meta[i];
	return sum;
}

static void fill_stats(struct bmem_client *client,
		       struct bmem_client_stats *st)
{
	st->client_id = client->who.id;
	st->sites = client->sites.nr;
	st->live_tensors = client->live + client->slots;
	st->live_bytes = client->live_bytes + client->slot_bytes;
	st->granted_bytes = bmem_bytes(client->granted) + client->slot_bytes;
	st->attached_bytes = bmem_bytes(client->attached);
	st->base_bytes = bmem_bytes(client->base);
	st->cached_bytes = (u64)client->nr_cached * BMEM_HUGE_SIZE;
	st->cache_limit_bytes = (u64)bmem_backing_cache_room(client) *
				BMEM_HUGE_SIZE;
	st->meta_bytes = meta_bytes(client);
	st->peak_live_bytes = client->peak_live_bytes;
	st->peak_attached_bytes = bmem_bytes(client->peak_attached);
	st->allocs = client->allocs;
	st->frees = client->frees;
	st->failed = client->failed;
	st->promoted = client->promoted;
	st->escaped_bytes = bmem_bytes(client->escaped);
	st->slots = client->slots;
	st->slot_bytes = client->slot_bytes;
	st->spans = client->nr_spans;
	st->span_bytes = bmem_bytes(client->span_pages);
	st->ledger_bytes = bmem_bytes(client->ledger.nr);
	st->span_map_bytes = bmem_bytes(client->span_map.nr);
	st->idle_bytes = 0;
	st->ledger_bad = 0;
	st->recorded = client->recorded;
	st->level = bmem_control_level(client);
	st->policy = client->policy;
	st->shared_bytes = (u64)client->nr_shares * BMEM_HUGE_SIZE;
	st->queued_bytes = (u64)client->nr_queued * BMEM_HUGE_SIZE;
}

/* Replaces what the kernel must take for live by what the ledger says is. */
static void stats_from_ledger(struct bmem_client *client,
			      struct bmem_client_stats *st,
			      const struct ledger_sums *sums)
{
	u64 unrecorded = client->live - client->recorded;

	lockdep_assert_held(&client->lock);
	/* The sums may be of several moments. */
	st->live_tensors = unrecorded + sums->live;
	st->live_bytes = client->live_bytes - client->recorded_bytes +
			 sums->live_bytes;
	st->live_bytes = min(st->live_bytes, st->granted_bytes);
	/* A block that is used again may hold more than ALLOC was asked for. */
	st->peak_live_bytes = max(st->peak_live_bytes, st->live_bytes);
	st->idle_bytes = min(sums->idle_bytes,
			     st->granted_bytes - st->live_bytes);
	st->ledger_bad = sums->bad;
	st->allocs = bmem_client_allocs(client, sums);
	st->frees = st->allocs - min(st->allocs, st->live_tensors);
}

/**
 * bmem_client_stats() - the sums over a client
 * @client: client, locked and in a pool
 * @st: out, but for @st->size and @st->flags
 */
void bmem_client_stats(struct bmem_client *client,
		       struct bmem_client_stats *st)
{
	lockdep_assert_held(&client->lock);
	bmem_shares_settle(client);
	fill_stats(client, st);
	st->pool = client->pool->id;
}

static int sum_ledger(struct bmem_client *client, struct ledger_sums *sums)
{
	u64 cursor = 0;
	bool done;

	do {
		if (mutex_lock_killable(&client->lock))
			return -EINTR;
		done = bmem_ledger_sum(client, &cursor, sums);
		mutex_unlock(&client->lock);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (!done);
	return 0;
}

/**
 * bmem_client_settle() - the last sums over a client
 * @client: client that dies, locked
 * @st: out
 */
void bmem_client_settle(struct bmem_client *client,
			struct bmem_client_stats *st)
{
	struct ledger_sums sums = { 0 };
	u64 cursor = 0;

	while (!bmem_ledger_sum(client, &cursor, &sums))
		cond_resched();
	bmem_client_stats(client, st);
	stats_from_ledger(client, st, &sums);
}

/**
 * bmem_client_query() - BMEM_CLIENT_STATS
 * @self: caller
 * @st: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_query(struct bmem_client *self, struct bmem_client_stats *st)
{
	bool read = st->flags & BMEM_STATS_LEDGER;
	struct bmem_client *client;
	struct ledger_sums sums = { 0 };
	int rc = 0;

	if (st->flags & ~BMEM_STATS_LEDGER)
		return -EOPNOTSUPP;
	client = bmem_client_visible(self, st->client_id);
	if (!client)
		return -ENOENT;
	if (read)
		rc = sum_ledger(client, &sums);
	if (!rc && mutex_lock_killable(&client->lock))
		rc = -EINTR;
	if (rc)
		goto out;
	if (client->dead) {
		rc = -ENOENT;
	} else {
		bmem_client_stats(client, st);
		if (read)
			stats_from_ledger(client, st, &sums);
	}
	mutex_unlock(&client->lock);
out:
	bmem_client_put(client);
	return rc;
}

/* Steps of bmem_ledger_sum() that a report takes under one lock. */
#define REPORT_STRIDES	8

/* Exact, where the ledger is not so large that its owner would notice. */
static void report_ledger(struct bmem_client *client,
			  struct bmem_client_stats *st)
{
	struct ledger_sums sums = { 0 };
	unsigned int i;
	u64 cursor = 0;

	for (i = 0; i < REPORT_STRIDES; i++) {
		if (!bmem_ledger_sum(client, &cursor, &sums))
			continue;
		stats_from_ledger(client, st, &sums);
		return;
	}
}

/**
 * bmem_client_report() - a client's figures for a report on all of them
 * @client: client
 * @st: out
 * @who: out
 * @pool: out, name of its pool, %BMEM_POOL_NAME_LEN bytes
 * @tries: as for bmem_client_lock(), not NULL
 *
 * A client may be busy for as long as its owner likes, and a report must not
 * wait for that: when its lock cannot be had soon, each figure is right for
 * itself, but they may not add up.  Then, and when its ledger is large, slots
 * that are out count as live.
 *
 * Return: false when the client is gone.
 */
bool bmem_client_report(struct bmem_client *client,
			struct bmem_client_stats *st,
			struct bmem_identity *who, char *pool,
			unsigned int *tries)
{
	bool locked = lock_trying(client, tries), there;

	if (locked)
		bmem_shares_settle(client);
	fill_stats(client, st);
	if (locked)
		report_ledger(client, st);
	*who = client->who;
	/* With the registry locked, the pool that it is in stays. */
	mutex_lock(&bmem_registry_lock);
	there = !client->dead && client->pool;
	if (there)
		strscpy(pool, client->pool->name, BMEM_POOL_NAME_LEN);
	mutex_unlock(&bmem_registry_lock);
	if (locked)
		mutex_unlock(&client->lock);
	return there;
}

/**
 * bmem_client_describe() - who a client is, and which pool it is in
 * @client: client
 * @who: out
 * @pool: out, id of its pool
 * @tries: as for bmem_client_lock(), not NULL; the label of a client that stays
 *	busy may be half of an old and half of a new one, and so may a clone's
 *	process
 *
 * Return: false when the client is gone.
 */
bool bmem_client_describe(struct bmem_client *client,
			  struct bmem_identity *who, u32 *pool,
			  unsigned int *tries)
{
	bool locked = lock_trying(client, tries), there;

	*who = client->who;
	who->label[sizeof(who->label) - 1] = 0;
	who->comm[sizeof(who->comm) - 1] = 0;
	/* With the registry locked, the pool that it is in stays. */
	mutex_lock(&bmem_registry_lock);
	there = !client->dead && client->pool;
	if (there)
		*pool = client->pool->id;
	mutex_unlock(&bmem_registry_lock);
	if (locked)
		mutex_unlock(&client->lock);
	return there;
}

/**
 * bmem_client_pid() - a client's process
 * @client: client
 *
 * Return: its number in the caller's pid namespace, 0 for none there.
 */
pid_t bmem_client_pid(struct bmem_client *client)
{
	pid_t pid;

	mutex_lock(&bmem_registry_lock);
	pid = pid_vnr(client->pid);
	mutex_unlock(&bmem_registry_lock);
	return pid;
}

/**
 * bmem_clients_update() - the module's level has changed
 */
void bmem_clients_update(void)
{
	struct bmem_client *client;
	u64 id = 0, last = bmem_clients_last();

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		level_changed(client);
		bmem_client_put(client);
		cond_resched();
	}
}

/**
 * bmem_clients_recall() - ask clients for their idle memory
 * @pool: those of a pool, or NULL for all
 *
 * Those that stay busy for long are not: what they are at may be just that.
 */
void bmem_clients_recall(const struct bmem_pool *pool)
{
	struct bmem_client *client;
	u64 id = 0, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		if ((!pool || READ_ONCE(client->pool) == pool) &&
		    !bmem_client_lock(client, &tries)) {
			client->recalled_at = jiffies | 1;
			bmem_control_recall(client);
			mutex_unlock(&client->lock);
		}
		bmem_client_put(client);
		cond_resched();
	}
}

/* While the client is locked, its pool stays. */
static unsigned long trim_counted(struct bmem_client *client,
				  unsigned long keep, enum bmem_gain gain)
{
	unsigned long pages = bmem_backing_trim(client, keep);

	bmem_cleanup_gain(client->pool, gain, pages);
	return pages;
}

/**
 * bmem_clients_trim() - give back what clients of a pool have cached
 * @pool: pool
 * @keep: how many chunks each may keep
 * @recall: ask them for their idle slots, too
 * @tries: times that the caller sleeps for clients that are busy
 * @gain: what to count it as
 *
 * Clients that stay busy are passed over: their lock may be held by a caller
 * that waits for memory itself.  So are clients with many mappings.  A fatal
 * signal ends it.
 *
 * Return: how many pages went back.
 */
unsigned long bmem_clients_trim(struct bmem_pool *pool, unsigned long keep,
				bool recall, unsigned int tries,
				enum bmem_gain gain)
{
	struct bmem_client *client;
	u64 id = 0, last = bmem_clients_last();
	unsigned long pages = 0;
	unsigned int none = 0;

	while (!fatal_signal_pending(current) &&
	       (client = bmem_client_next(id, last))) {
		id = client->who.id;
		if (atomic_read(&client->maps) <= TRIM_MAPS_MAX &&
		    lock_trying(client, READ_ONCE(client->pool) == pool ?
					&tries : &none)) {
			if (!client->dead && client->pool == pool) {
				pages += trim_counted(client, keep, gain);
				if (recall)
					bmem_control_recall(client);
			}
			mutex_unlock(&client->lock);
		}
		bmem_client_put(client);
		cond_resched();
	}
	return pages;
}

/*
 * What a client's own cache holds always helps it.  That of others helps at
 * the pool's limit; without memory it may not, since the caller's cgroup may
 * be what is full, so it is not asked for all the time.
 */
static unsigned long trim_for(struct bmem_client *client, int error)
{
	static unsigned long last_trim, last_recall;
	struct bmem_pool *pool;
	unsigned long pages;
	bool recall;

	if (mutex_lock_killable(&client->lock))
		return 0;
	pages = trim_counted(client, 0, BMEM_GAIN_EMERGENCY);
	pool = client->pool;
	mutex_unlock(&client->lock);

	if (error == -ENOMEM) {
		if (time_before(jiffies, READ_ONCE(last_trim) + TRIM_PERIOD))
			return pages;
		WRITE_ONCE(last_trim, jiffies);
	}
	/* It costs every thread of every client its idle slots. */
	recall = time_after_eq(jiffies, READ_ONCE(last_recall) + TRIM_PERIOD);
	if (recall)
		WRITE_ONCE(last_recall, jiffies);
	return pages + bmem_clients_trim(pool, 0, recall,
					 error == -ENOSPC ? TRIM_TRIES : 0,
					 BMEM_GAIN_EMERGENCY);
}

/* One more try?  Takes back what is cached before it. */
static bool try_again(struct bmem_client *client, int rc, unsigned int *tries,
		      bool *last)
{
	if ((rc != -ENOSPC && rc != -ENOMEM) || *last)
		return false;
	*last = !trim_for(client, rc) || ++*tries == ALLOC_RETRIES;
	return true;
}

/**
 * struct demand - a call for memory, until it is granted or refused
 * @wait: for room
 * @tries: with cached memory taken back, since it waited last
 * @last: there is nothing more to take back
 */
struct demand {
	struct room_wait wait;
	unsigned int tries;
	bool last;
};

static void demand_begin(struct demand *d, struct bmem_client *client)
{
	d->tries = 0;
	d->last = false;
	bmem_room_begin(&d->wait, client);
}

/* If it fails it will not be tried again. */
static bool demand_last(const struct demand *d)
{
	return d->last && !d->wait.left;
}

/* One more try, after one that ended with *@rc?  Waits for it if need be. */
static bool demand_again(struct demand *d, struct bmem_client *client, int *rc)
{
	if (try_again(client, *rc, &d->tries, &d->last))
		return true;
	if (!bmem_room_again(&d->wait, rc))
		return false;
	demand_begin(d, client);
	return true;
}

/* What came of it; @nr: how many were allocated. */
static int demand_end(struct bmem_client *client, int rc, u32 nr)
{
	if (READ_ONCE(client->nr_base_chunks))
		bmem_promote_soon();
	bmem_sweep_soon(client);
	if (!rc)
		bmem_links_allocated(client, nr);
	return rc;
}

/**
 * bmem_client_alloc() - BMEM_ALLOC, with cached memory taken back if need be
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_alloc(struct bmem_client *client, struct bmem_alloc *cmd)
{
	struct demand d;
	int rc;

	rc = bmem_room_init(&d.wait, cmd->flags, cmd->timeout_ms,
			    cmd->__reserved);
	if (rc)
		return rc;
	demand_begin(&d, client);
	do {
		rc = bmem_tensor_alloc(client, cmd, demand_last(&d));
	} while (demand_again(&d, client, &rc));
	return demand_end(client, rc, cmd->nr);
}

/**
 * bmem_client_slots() - BMEM_SLOTS_GET, likewise
 * @client: client
 * @cmd: as in the ABI
 * @nr: where the caller is told how many there are
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_slots(struct bmem_client *client, struct bmem_slots *cmd,
		      u32 __user *nr)
{
	struct demand d;
	int rc;

	rc = bmem_room_init(&d.wait, cmd->flags, cmd->timeout_ms,
			    cmd->__reserved);
	if (rc)
		return rc;
	demand_begin(&d, client);
	do {
		rc = bmem_slots_get(client, cmd, nr, demand_last(&d));
	} while (demand_again(&d, client, &rc));
	return demand_end(client, rc, cmd->nr);
}

/**
 * bmem_client_list() - BMEM_TENSOR_LIST
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_list(struct bmem_client *self, struct bmem_tensor_list *cmd)
{
	struct bmem_client *client = bmem_client_visible(self, cmd->client_id);
	int rc;

	if (!client)
		return -ENOENT;
	rc = bmem_tensor_list(client, cmd);
	bmem_client_put(client);
	return rc;
}

/**
 * bmem_client_trim() - BMEM_TRIM
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_trim(struct bmem_client *client, struct bmem_trim *cmd)
{
	unsigned long keep = cmd->keep_bytes / BMEM_HUGE_SIZE, pages;
	bool queued = cmd->flags & BMEM_TRIM_QUEUED;
	struct bmem_pool *pool;

	if (cmd->flags & ~(BMEM_TRIM_POOL | BMEM_TRIM_QUEUED))
		return -EOPNOTSUPP;
	if (queued && cmd->keep_bytes)
		return -EINVAL;
	if (cmd->flags & BMEM_TRIM_POOL && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* Then all that is cached may stay. */
	if (queued)
		keep = ULONG_MAX;
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	pages = trim_counted(client, keep, BMEM_GAIN_TRIM);
	if (!queued)
		bmem_ledger_trim(client);
	pool = client->pool;
	mutex_unlock(&client->lock);
	/* Only compared with: it need not be there any more. */
	if (cmd->flags & BMEM_TRIM_POOL)
		pages += bmem_clients_trim(pool, keep, !queued, TRIM_TRIES,
					   BMEM_GAIN_TRIM);
	cmd->trimmed_bytes = bmem_bytes(pages);
	trace_bmem_trim(client->who.id, cmd->flags, cmd->trimmed_bytes);
	return 0;
}
