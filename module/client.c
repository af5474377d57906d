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

#include "bmem_private.h"
#include "trace.h"

/* Tries to allocate after what is cached has been taken back. */
#define ALLOC_RETRIES	2

/*
 * Unmapping costs in proportion to a client's mappings; nobody else waits for
 * a client that has more than this.
 */
#define TRIM_MAPS_MAX	64

/* At most so often do callers without memory empty the caches of others. */
#define TRIM_PERIOD	(HZ / 10)

/* How long a report tries to get a busy client's lock. */
#define REPORT_TRIES	20
#define REPORT_MS	5

unsigned int bmem_cache_mib = 16;
u64 bmem_clients_opened;

/* Clients by id, under bmem_registry_lock. */
static DEFINE_XARRAY(clients);
static unsigned int nr_clients;

/**
 * bmem_label_check() - is it fit to be shown?
 * @label: array of %BMEM_LABEL_LEN
 *
 * Return: 0, or -EINVAL without a terminating zero or with a control
 * character.
 */
int bmem_label_check(const char *label)
{
	size_t i, len = strnlen(label, BMEM_LABEL_LEN);

	if (len == BMEM_LABEL_LEN)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (iscntrl(label[i]))
			return -EINVAL;
	return 0;
}

static void identify(struct bmem_identity *who)
{
	who->opened = ktime_get_boottime_ns();
	who->cgroup = bmem_current_cgroup();
	who->tgid = task_tgid_nr(current);
	who->uid = current_euid();
	get_task_comm(who->comm, current);
}

static int client_init(struct bmem_client *client)
{
	int rc;

	kref_init(&client->ref);
	mutex_init(&client->lock);
	xa_init_flags(&client->chunks, XA_FLAGS_ACCOUNT);
	xa_init_flags(&client->sites, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&client->cached);
	client->tensors = RB_ROOT;
	client->cache_max = READ_ONCE(bmem_cache_mib) /
			    (BMEM_HUGE_SIZE / SZ_1M);
	identify(&client->who);

	rc = place_init(&client->place, bmem_space_pages / PLACE_CHUNK_PAGES);
	if (rc)
		return rc;
	client->tombstone = bmem_tombstone_alloc();
	if (!client->tombstone)
		return -ENOMEM;
	client->inode = bmem_vm_inode();
	if (IS_ERR(client->inode)) {
		bmem_tombstone_free(client->tombstone);
		return PTR_ERR(client->inode);
	}
	return 0;
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

/* Gives the client an id and a pool; nothing fails once it can be found. */
static int client_publish(struct bmem_client *client)
{
	struct bmem_pool *pool;
	int rc;

	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(BMEM_POOL_DEFAULT);
	client->pool = pool;
	client->who.id = bmem_clients_opened + 1;
	rc = xa_err(xa_store(&clients, client->who.id, client, GFP_KERNEL));
	if (!rc) {
		bmem_clients_opened++;
		nr_clients++;
		pool->clients++;
	}
	mutex_unlock(&bmem_registry_lock);
	return rc;
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
	rc = client_publish(client);
	if (rc)
		goto err_memcg;
	trace_bmem_client_open(client->who.id, client->who.tgid,
			       client->who.comm);
	return client;

err_memcg:
	mem_cgroup_put(client->memcg);
	iput(client->inode);
	bmem_tombstone_free(client->tombstone);
err_free:
	kfree(client);
	return ERR_PTR(rc);
}

static void client_free(struct kref *ref)
{
	struct bmem_client *client = container_of(ref, struct bmem_client, ref);

	mutex_destroy(&client->lock);
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

	mutex_lock(&client->lock);
	client->dead = true;
	bmem_tombstone_write(client);
	bmem_tensors_release(client);
	bmem_backing_destroy(client);
	WARN_ON_ONCE(client->attached || client->base || client->nr_chunks ||
		     client->nr_cached);
	kvfree(place_table(&client->place));
	memset(&client->place, 0, sizeof(client->place));
	bmem_sites_release(client);
	mutex_unlock(&client->lock);
	bmem_tombstone_bury(client);
	pool_leave(pool);

	trace_bmem_client_close(client->who.id, client->who.tgid,
				client->who.comm);
	iput(client->inode);
	mem_cgroup_put(client->memcg);
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
 * bmem_client_next() - walk over all clients
 * @id: 0 to begin, else the id of the last
 *
 * Return: the client with the next higher id, for bmem_client_put(), or NULL.
 */
struct bmem_client *bmem_client_next(u64 id)
{
	struct bmem_client *client;
	unsigned long index = id;

	mutex_lock(&bmem_registry_lock);
	client = xa_find_after(&clients, &index, ULONG_MAX, XA_PRESENT);
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
	swap(*pool, client->pool);
	return 0;
}

static int bind_locked(struct bmem_client *client, struct bmem_bind *cmd,
		       struct bmem_pool **pool)
{
	int rc;

	if (cmd->flags & BMEM_BIND_POOL) {
		rc = bind_pool(client, pool);
		if (rc)
			return rc;
	}
	if (cmd->flags & BMEM_BIND_LABEL)
		strscpy_pad(client->who.label, cmd->label,
			    sizeof(client->who.label));
	if (cmd->flags & BMEM_BIND_CACHE) {
		client->cache_max = cmd->cache_bytes / BMEM_HUGE_SIZE;
		bmem_backing_trim(client, client->cache_max);
	}
	trace_bmem_bind(client->who.id, client->pool->id, client->who.label);
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

	if (cmd->flags & ~(BMEM_BIND_POOL | BMEM_BIND_LABEL |
			   BMEM_BIND_CACHE) || cmd->__reserved)
		return -EOPNOTSUPP;
	if (!cmd->flags)
		return -EINVAL;
	if (cmd->flags & BMEM_BIND_LABEL && bmem_label_check(cmd->label))
		return -EINVAL;

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
	if (pool)
		pool_leave(pool);
	return rc;
}

static u64 meta_bytes(struct bmem_client *client)
{
	return sizeof(*client) + place_table_bytes(client->place.chunks) +
	       client->nr_chunks * sizeof(struct bmem_chunk) +
	       client->nr_base_chunks * BMEM_HUGE_PAGES * sizeof(void *) +
	       client->live * bmem_tensor_size() +
	       client->nr_sites * sizeof(struct site);
}

static void fill_stats(struct bmem_client *client,
		       struct bmem_client_stats *st)
{
	st->client_id = client->who.id;
	st->sites = client->nr_sites;
	st->live_tensors = client->live;
	st->live_bytes = client->live_bytes;
	st->granted_bytes = bmem_bytes(client->granted);
	st->attached_bytes = bmem_bytes(client->attached);
	st->base_bytes = bmem_bytes(client->base);
	st->cached_bytes = (u64)client->nr_cached * BMEM_HUGE_SIZE;
	st->cache_limit_bytes = (u64)client->cache_max * BMEM_HUGE_SIZE;
	st->meta_bytes = meta_bytes(client);
	st->peak_live_bytes = client->peak_live_bytes;
	st->peak_attached_bytes = bmem_bytes(client->peak_attached);
	st->allocs = client->allocs;
	st->frees = client->frees;
	st->failed = client->failed;
	st->promoted = client->promoted;
	st->escaped_bytes = bmem_bytes(client->escaped);
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
	fill_stats(client, st);
	st->pool = client->pool->id;
}

/**
 * bmem_client_report() - a client's figures for a report on all of them
 * @client: client
 * @st: out
 * @who: out
 * @pool: out, name of its pool, %BMEM_POOL_NAME_LEN bytes
 *
 * A client may be busy for as long as its owner likes, and a report must not
 * wait for that: when its lock cannot be had soon, each figure is right for
 * itself, but they may not add up.
 *
 * Return: false when the client is gone.
 */
bool bmem_client_report(struct bmem_client *client,
			struct bmem_client_stats *st,
			struct bmem_identity *who, char *pool)
{
	unsigned int tries = 0;
	bool locked, there;

	while (!(locked = mutex_trylock(&client->lock)) &&
	       tries++ < REPORT_TRIES)
		msleep(REPORT_MS);
	fill_stats(client, st);
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
 * bmem_clients_trim() - give back what clients of a pool have cached
 * @pool: pool
 * @keep: how many chunks each may keep
 *
 * Clients that are busy are passed over: their lock may be held by a caller
 * that waits for memory itself.  So are clients with many mappings.  A fatal
 * signal ends it.
 *
 * Return: how many pages went back.
 */
unsigned long bmem_clients_trim(struct bmem_pool *pool, unsigned long keep)
{
	struct bmem_client *client;
	unsigned long pages = 0;
	u64 id = 0;

	while (!fatal_signal_pending(current) &&
	       (client = bmem_client_next(id))) {
		id = client->who.id;
		if (atomic_read(&client->maps) <= TRIM_MAPS_MAX &&
		    mutex_trylock(&client->lock)) {
			if (!client->dead && client->pool == pool)
				pages += bmem_backing_trim(client, keep);
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
	static unsigned long last_trim;
	struct bmem_pool *pool;
	unsigned long pages;

	if (mutex_lock_killable(&client->lock))
		return 0;
	pages = bmem_backing_trim(client, 0);
	pool = client->pool;
	mutex_unlock(&client->lock);

	if (error == -ENOMEM) {
		if (time_before(jiffies, READ_ONCE(last_trim) + TRIM_PERIOD))
			return pages;
		WRITE_ONCE(last_trim, jiffies);
	}
	return pages + bmem_clients_trim(pool, 0);
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
	unsigned int tries = 0;
	bool last = false;
	int rc;

	rc = bmem_tensor_alloc(client, cmd, false);
	while ((rc == -ENOSPC || rc == -ENOMEM) && !last) {
		last = !trim_for(client, rc) || ++tries == ALLOC_RETRIES;
		rc = bmem_tensor_alloc(client, cmd, last);
	}
	if (READ_ONCE(client->nr_base_chunks))
		bmem_promote_soon();
	return rc;
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
	struct bmem_pool *pool;

	if (cmd->flags & ~BMEM_TRIM_POOL)
		return -EOPNOTSUPP;
	if (cmd->flags & BMEM_TRIM_POOL && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	pages = bmem_backing_trim(client, keep);
	pool = client->pool;
	mutex_unlock(&client->lock);
	/* Only compared with: it need not be there any more. */
	if (cmd->flags & BMEM_TRIM_POOL)
		pages += bmem_clients_trim(pool, keep);
	cmd->trimmed_bytes = bmem_bytes(pages);
	trace_bmem_trim(client->who.id, cmd->flags, cmd->trimmed_bytes);
	return 0;
}
