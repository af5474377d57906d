// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of tensors: every live allocation of a client, by place.
 *
 * A tensor is placed and backed first, told to the caller next, and enters
 * the registry last, when nothing can fail any more; until then no handle
 * finds it.
 *
 * A handle is the tensor's place in units of %BMEM_ALIGN_MIN, with a
 * generation above it.
 */
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>

#include "bmem_private.h"
#include "trace.h"

#define HANDLE_PLACE_BITS	38
#define HANDLE_PLACE_SHIFT	6	/* BMEM_ALIGN_MIN */
#define HANDLE_GEN_MASK		((1U << (64 - HANDLE_PLACE_BITS)) - 1)

static_assert(1 << HANDLE_PLACE_SHIFT == BMEM_ALIGN_MIN);

/* Tables of an arena begin with so many chunks and double. */
#define ARENA_CHUNKS_MIN	16

/* Tensors that are looked at before a listing lets others have the lock. */
#define LIST_STRIDE		1024

static struct kmem_cache *tensor_cache;

size_t bmem_tensor_size(void)
{
	return kmem_cache_size(tensor_cache);
}

/* ---- the tree -------------------------------------------------------------- */

static struct tensor *tensor_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct tensor, node);
}

/* The tensor with the lowest place at or above @page. */
static struct tensor *tensor_from(struct bmem_client *client, u64 page)
{
	struct rb_node *node = client->tensors.rb_node;
	struct tensor *best = NULL;

	lockdep_assert_held(&client->lock);
	while (node) {
		struct tensor *t = tensor_of(node);

		if (t->page >= page) {
			best = t;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

static struct tensor *tensor_at(struct bmem_client *client, u32 page)
{
	struct tensor *t = tensor_from(client, page);

	return t && t->page == page ? t : NULL;
}

/* The tensor that @page is a part of. */
static struct tensor *tensor_covering(struct bmem_client *client, u64 page)
{
	struct rb_node *node = client->tensors.rb_node;

	lockdep_assert_held(&client->lock);
	while (node) {
		struct tensor *t = tensor_of(node);

		if (page < t->page)
			node = node->rb_left;
		else if (page >= t->page + t->pages)
			node = node->rb_right;
		else
			return t;
	}
	return NULL;
}

static void tensor_insert(struct bmem_client *client, struct tensor *t)
{
	struct rb_node **link = &client->tensors.rb_node, *parent = NULL;

	lockdep_assert_held(&client->lock);
	while (*link) {
		parent = *link;
		link = t->page < tensor_of(parent)->page ? &parent->rb_left :
							   &parent->rb_right;
	}
	rb_link_node(&t->node, parent, link);
	rb_insert_color(&t->node, &client->tensors);
}

static u64 tensor_handle(const struct tensor *t)
{
	return (u64)t->gen << HANDLE_PLACE_BITS |
	       (u64)t->page << (PAGE_SHIFT - HANDLE_PLACE_SHIFT);
}

static struct tensor *tensor_by_handle(struct bmem_client *client, u64 handle)
{
	u64 place = (handle & ((1ULL << HANDLE_PLACE_BITS) - 1)) <<
		    HANDLE_PLACE_SHIFT;
	struct tensor *t;

	if (!IS_ALIGNED(place, PAGE_SIZE))
		return NULL;
	t = tensor_at(client, place >> PAGE_SHIFT);
	return t && tensor_handle(t) == handle ? t : NULL;
}

static void tensor_describe(const struct tensor *t, struct bmem_tensor *out)
{
	out->handle = tensor_handle(t);
	out->offset = bmem_bytes(t->page);
	out->bytes = t->bytes;
	out->granted = bmem_bytes(t->pages);
	out->age_ms = div_u64(ktime_get_boottime_ns() - t->born, NSEC_PER_MSEC);
	out->site = t->site_id;
	out->flags = t->flags;
}

/* ---- alloc ------------------------------------------------------------------- */

/**
 * struct alloc_call - one ALLOC under way
 * @client: client
 * @entries: copy of the caller's
 * @tensors: one for each entry, placed below @placed
 * @nr: number of entries
 * @placed: how many are placed
 * @need: base pages that those need
 * @call_bytes: sum over the entries
 * @reason: why the last try failed
 */
struct alloc_call {
	struct bmem_client *client;
	struct bmem_alloc_entry *entries;
	struct tensor **tensors;
	u32 nr;
	u32 placed;
	u64 need;
	u64 call_bytes;
	enum bmem_reason reason;
};

static int entry_check(const struct bmem_alloc_entry *e)
{
	if (e->flags & ~BMEM_ALLOC_ZERO || e->__reserved)
		return -EOPNOTSUPP;
	if (!e->bytes)
		return -EINVAL;
	if (e->align && (!is_power_of_2(e->align) ||
			 e->align < BMEM_ALIGN_MIN || e->align > BMEM_ALIGN_MAX))
		return -EINVAL;
	if (e->bytes > U64_MAX - PAGE_SIZE)
		return -EOVERFLOW;
	return 0;
}

/* Sets @failed to the entry that is to blame. */
static int alloc_check(struct alloc_call *call, u32 *failed)
{
	u64 bytes;
	int rc;

	for (*failed = 0; *failed < call->nr; ++*failed) {
		struct bmem_alloc_entry *e = &call->entries[*failed];

		rc = entry_check(e);
		if (rc)
			return rc;
		bytes = PAGE_ALIGN(e->bytes);
		if (check_add_overflow(call->call_bytes, bytes,
				       &call->call_bytes))
			return -EOVERFLOW;
	}
	*failed = 0;
	return 0;
}

static int arena_grow(struct bmem_client *client)
{
	struct place *pl = &client->place;
	u32 chunks = min_t(u32, pl->chunks ? 2 * pl->chunks : ARENA_CHUNKS_MIN,
			   pl->chunks_max);
	void *table = kvzalloc(place_table_bytes(chunks), GFP_BMEM_META);

	if (!table)
		return -ENOMEM;
	kvfree(place_grow(pl, table, chunks));
	return 0;
}

static void tensor_unplace(struct bmem_client *client, struct tensor *t)
{
	place_free(&client->place, t->page, t->pages);
	bmem_backing_release(client, t->page, t->pages);
}

/* -ENOSPC when the arena has no room; sets t->page. */
static int arena_place(struct bmem_client *client, struct tensor *t, u32 align)
{
	int rc;

	for (;;) {
		rc = place_alloc(&client->place, t->pages, align, &t->page);
		if (rc != -EAGAIN)
			return rc;
		rc = arena_grow(client);
		if (rc)
			return rc;
	}
}

static void next_gen(struct bmem_client *client, struct tensor *t)
{
	client->gen = (client->gen + 1) & HANDLE_GEN_MASK;
	if (!client->gen)
		client->gen = 1;
	t->gen = client->gen;
}

/* Finds a place for a tensor, and what memory it takes. */
static int tensor_place(struct alloc_call *call, struct tensor *t,
			const struct bmem_alloc_entry *e)
{
	struct bmem_client *client = call->client;
	int rc;

	t->bytes = e->bytes;
	t->pages = PAGE_ALIGN(e->bytes) >> PAGE_SHIFT;
	t->flags = e->flags;
	t->site_id = e->site;
	next_gen(client, t);

	call->reason = BMEM_REASON_MEMORY;
	rc = arena_place(client, t, max_t(u32, e->align >> PAGE_SHIFT, 1));
	if (rc) {
		if (rc == -ENOSPC)
			call->reason = BMEM_REASON_SPACE;
		return rc;
	}
	rc = bmem_backing_prepare(client, t->page, t->pages, &call->need);
	if (!rc && call->need > bmem_pool_free_pages(client->pool)) {
		call->reason = BMEM_REASON_LIMIT;
		rc = -ENOSPC;
	}
	if (rc)
		tensor_unplace(client, t);
	return rc;
}

static int tensor_attach(struct alloc_call *call, struct tensor *t)
{
	struct bmem_client *client = call->client;
	int rc;

	rc = bmem_backing_attach(client, t->page, t->pages);
	if (!rc && t->flags & BMEM_ALLOC_ZERO)
		rc = bmem_backing_zero(client, t->page, t->pages);
	/* Another client took what had been free. */
	call->reason = rc == -ENOSPC ? BMEM_REASON_LIMIT : BMEM_REASON_MEMORY;
	if (rc)
		return rc;
	/* Last, since a site stays once it is known. */
	t->site = bmem_site_get(client, t->site_id);
	return t->site ? 0 : -ENOMEM;
}

static void alloc_undo(struct alloc_call *call)
{
	lockdep_assert_held(&call->client->lock);
	while (call->placed)
		tensor_unplace(call->client, call->tensors[--call->placed]);
}

/*
 * Places and backs all tensors of the call or none.  All are placed before any
 * is backed, so that a call there is no room for has not touched the pool.
 */
static int alloc_place(struct alloc_call *call, u32 *failed)
{
	int rc;
	u32 i;

	lockdep_assert_held(&call->client->lock);
	call->need = 0;
	for (i = 0; i < call->nr; i++, call->placed++) {
		rc = tensor_place(call, call->tensors[i], &call->entries[i]);
		if (rc)
			goto undo;
	}
	for (i = 0; i < call->nr; i++) {
		rc = tensor_attach(call, call->tensors[i]);
		if (rc)
			goto undo;
	}
	return 0;

undo:
	*failed = i;
	alloc_undo(call);
	return rc;
}

static void alloc_note_failure(struct alloc_call *call, u32 failed, int rc)
{
	struct bmem_client *client = call->client;
	struct bmem_failure f = {
		.reason = call->reason,
		.error = rc,
		.entries = call->nr,
		.index = failed,
		.bytes = call->entries[failed].bytes,
		.align = call->entries[failed].align,
		.call_bytes = call->call_bytes,
	};

	lockdep_assert_held(&client->lock);
	client->failed++;
	bmem_pool_count_failure(client->pool);
	bmem_failure_note(client, &f);
	trace_bmem_alloc_fail(client->who.id, f.bytes, f.call_bytes, rc,
			      f.reason, f.pool_free,
			      bmem_bytes(f.arena.hole_best));
}

/* A call that no amount of freeing could make succeed, and from where on. */
static bool too_large(const struct alloc_call *call, u32 *failed)
{
	u64 most = min_t(u64, READ_ONCE(call->client->pool->limit),
			 bmem_space_pages);
	u64 pages = 0;
	u32 i;

	if (call->call_bytes >> PAGE_SHIFT <= most)
		return false;
	for (i = 0; pages <= most; i++)
		pages += PAGE_ALIGN(call->entries[i].bytes) >> PAGE_SHIFT;
	*failed = i - 1;
	return true;
}

/* A failure that is the caller's to mend, or the last try, is taken down. */
static bool final_failure(int rc, bool last)
{
	if (!rc || rc == -EINTR)
		return false;
	return last || (rc != -ENOSPC && rc != -ENOMEM);
}

static int alloc_try(struct alloc_call *call, bool last, u32 *failed)
{
	struct bmem_client *client = call->client;
	int rc;

	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	if (too_large(call, failed)) {
		call->reason = BMEM_REASON_TOO_LARGE;
		rc = -EFBIG;
	} else {
		rc = alloc_place(call, failed);
	}
	if (final_failure(rc, last))
		alloc_note_failure(call, *failed, rc);
	mutex_unlock(&client->lock);
	return rc;
}

static void alloc_tell(struct alloc_call *call)
{
	u32 i;

	for (i = 0; i < call->nr; i++) {
		const struct tensor *t = call->tensors[i];
		struct bmem_alloc_entry *e = &call->entries[i];

		e->handle = tensor_handle(t);
		e->offset = bmem_bytes(t->page);
		e->granted = bmem_bytes(t->pages);
	}
}

static void tensor_publish(struct bmem_client *client, struct tensor *t)
{
	bmem_backing_soil(client, t->page, t->pages);
	t->born = ktime_get_boottime_ns();
	tensor_insert(client, t);
	t->site->live++;
	t->site->live_bytes += t->bytes;
	t->site->allocs++;
	client->allocs++;
	client->live++;
	client->live_bytes += t->bytes;
	client->granted += t->pages;
	if (client->live_bytes > client->peak_live_bytes)
		client->peak_live_bytes = client->live_bytes;
	trace_bmem_alloc(client->who.id, tensor_handle(t), bmem_bytes(t->page),
			 t->bytes, t->site_id);
}

static int alloc_run(struct alloc_call *call, struct bmem_alloc *cmd, bool last)
{
	size_t bytes = array_size(call->nr, sizeof(*call->entries));
	u64 __user *to = u64_to_user_ptr(cmd->entries);
	u32 i;
	int rc;

	rc = alloc_check(call, &cmd->failed) ?:
	     alloc_try(call, last, &cmd->failed);
	if (rc)
		return rc;
	alloc_tell(call);
	if (copy_to_user(to, call->entries, bytes))
		rc = -EFAULT;

	mutex_lock(&call->client->lock);
	if (rc)
		alloc_undo(call);
	for (i = 0; i < call->placed; i++) {
		tensor_publish(call->client, call->tensors[i]);
		call->tensors[i] = NULL;
	}
	mutex_unlock(&call->client->lock);
	return rc;
}

/* ALLOC and FREE take their array in, and the caller frees it. */
static void *entries_get(u64 from, u32 nr, size_t size)
{
	void *entries;

	if (!nr || nr > BMEM_BATCH_MAX)
		return ERR_PTR(-EINVAL);
	entries = kvmalloc_array(nr, size, GFP_BMEM_META);
	if (!entries)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(entries, u64_to_user_ptr(from), nr * size)) {
		kvfree(entries);
		return ERR_PTR(-EFAULT);
	}
	return entries;
}

static int tensors_get(struct alloc_call *call)
{
	u32 i;

	call->tensors = kvcalloc(call->nr, sizeof(*call->tensors),
				 GFP_BMEM_META);
	if (!call->tensors)
		return -ENOMEM;
	for (i = 0; i < call->nr; i++) {
		call->tensors[i] = kmem_cache_alloc(tensor_cache,
						    GFP_BMEM_META);
		if (!call->tensors[i])
			return -ENOMEM;
	}
	return 0;
}

static void tensors_put(struct alloc_call *call)
{
	u32 i;

	for (i = 0; call->tensors && i < call->nr; i++)
		if (call->tensors[i])
			kmem_cache_free(tensor_cache, call->tensors[i]);
	kvfree(call->tensors);
}

/**
 * bmem_tensor_alloc() - BMEM_ALLOC
 * @client: client
 * @cmd: as in the ABI
 * @last: the caller will not try again after -ENOSPC or -ENOMEM
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_alloc(struct bmem_client *client, struct bmem_alloc *cmd,
		      bool last)
{
	struct alloc_call call = { .client = client, .nr = cmd->nr };
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->failed = 0;
	call.entries = entries_get(cmd->entries, cmd->nr,
				   sizeof(*call.entries));
	if (IS_ERR(call.entries))
		return PTR_ERR(call.entries);
	rc = tensors_get(&call) ?: alloc_run(&call, cmd, last);
	tensors_put(&call);
	kvfree(call.entries);
	return rc;
}

/* ---- free --------------------------------------------------------------------- */

static void tensor_remove(struct bmem_client *client, struct tensor *t)
{
	rb_erase(&t->node, &client->tensors);
	t->site->live--;
	t->site->live_bytes -= t->bytes;
	client->frees++;
	client->live--;
	client->live_bytes -= t->bytes;
	client->granted -= t->pages;
	tensor_unplace(client, t);
	trace_bmem_free(client->who.id, tensor_handle(t), bmem_bytes(t->page),
			t->bytes, t->site_id);
	kmem_cache_free(tensor_cache, t);
}

static void free_all(struct bmem_client *client, struct bmem_free *cmd,
		     struct bmem_free_entry *entries)
{
	struct tensor *t;
	u32 i;

	lockdep_assert_held(&client->lock);
	for (i = 0; i < cmd->nr; i++) {
		t = tensor_by_handle(client, entries[i].handle);
		entries[i].result = t ? 0 : -ENOENT;
		entries[i].__reserved = 0;
		if (!t)
			continue;
		tensor_remove(client, t);
		cmd->freed++;
		cond_resched();
	}
}

/**
 * bmem_tensor_free() - BMEM_FREE
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_free(struct bmem_client *client, struct bmem_free *cmd)
{
	struct bmem_free_entry *entries;
	int rc = 0;
	u32 i;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->freed = 0;
	entries = entries_get(cmd->entries, cmd->nr, sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < cmd->nr; i++) {
		if (entries[i].__reserved) {
			rc = -EOPNOTSUPP;
			goto out;
		}
	}
	if (mutex_lock_killable(&client->lock)) {
		rc = -EINTR;
		goto out;
	}
	free_all(client, cmd, entries);
	mutex_unlock(&client->lock);
	if (copy_to_user(u64_to_user_ptr(cmd->entries), entries,
			 array_size(cmd->nr, sizeof(*entries))))
		rc = -EFAULT;
out:
	kvfree(entries);
	return rc;
}

/* ---- info, list ------------------------------------------------------------------ */

/**
 * bmem_tensor_info() - BMEM_TENSOR_INFO
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_info(struct bmem_client *client, struct bmem_tensor_info *cmd)
{
	struct tensor *t;

	if (cmd->flags & ~BMEM_INFO_OFFSET)
		return -EOPNOTSUPP;
	if (cmd->flags & BMEM_INFO_OFFSET ? cmd->handle : cmd->offset)
		return -EINVAL;
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	if (cmd->flags & BMEM_INFO_OFFSET)
		t = tensor_covering(client, cmd->offset >> PAGE_SHIFT);
	else
		t = tensor_by_handle(client, cmd->handle);
	if (t) {
		tensor_describe(t, &cmd->tensor);
		strscpy_pad(cmd->label, t->site->label, sizeof(cmd->label));
	}
	mutex_unlock(&client->lock);
	return t ? 0 : -ENOENT;
}

static bool list_wants(const struct bmem_tensor_list *cmd,
		       const struct bmem_tensor *t)
{
	if (cmd->flags & BMEM_LIST_SITE && t->site != cmd->site)
		return false;
	return t->bytes >= cmd->min_bytes && t->age_ms >= cmd->min_age_ms;
}

/*
 * Goes on from the cursor for one hold of the lock.  Returns true when the
 * array is full or the list at its end.
 */
static bool list_stride(struct bmem_client *client,
			struct bmem_tensor_list *cmd, struct bmem_tensor *out,
			u32 *n)
{
	u32 seen;
	struct tensor *t = tensor_from(client, cmd->cursor);

	for (seen = 0; t && *n < cmd->nr && seen < LIST_STRIDE; seen++) {
		tensor_describe(t, &out[*n]);
		if (list_wants(cmd, &out[*n]))
			++*n;
		cmd->cursor = (u64)t->page + 1;
		t = tensor_of(rb_next(&t->node));
	}
	return !t || *n == cmd->nr;
}

static int list_collect(struct bmem_client *client,
			struct bmem_tensor_list *cmd, struct bmem_tensor *out,
			u32 *n)
{
	bool done;

	do {
		if (mutex_lock_killable(&client->lock))
			return -EINTR;
		done = list_stride(client, cmd, out, n);
		mutex_unlock(&client->lock);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (!done);
	return 0;
}

/**
 * bmem_tensor_list() - BMEM_TENSOR_LIST
 * @client: whose tensors
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_list(struct bmem_client *client, struct bmem_tensor_list *cmd)
{
	struct bmem_tensor *out;
	u32 n = 0;
	int rc;

	if (cmd->flags & ~BMEM_LIST_SITE)
		return -EOPNOTSUPP;
	if (!cmd->nr || cmd->nr > BMEM_BATCH_MAX ||
	    (!(cmd->flags & BMEM_LIST_SITE) && cmd->site))
		return -EINVAL;
	out = kvcalloc(cmd->nr, sizeof(*out), GFP_BMEM_META);
	if (!out)
		return -ENOMEM;
	rc = list_collect(client, cmd, out, &n);
	if (!rc && copy_to_user(u64_to_user_ptr(cmd->entries), out,
				array_size(n, sizeof(*out))))
		rc = -EFAULT;
	cmd->nr = n;
	kvfree(out);
	return rc;
}

/**
 * bmem_tensor_records() - copies of a client's tensors
 * @client: client, not locked
 * @cursor: 0 to begin; where the next call goes on
 * @rec: array
 * @nr: its length
 *
 * Return: how many there were; fewer than @nr at the end, or when killed.
 */
unsigned int bmem_tensor_records(struct bmem_client *client, u64 *cursor,
				 struct tensor_record *rec, unsigned int nr)
{
	unsigned int n = 0;
	struct tensor *t;

	if (mutex_lock_killable(&client->lock))
		return 0;
	for (t = tensor_from(client, *cursor); t && n < nr;
	     t = tensor_of(rb_next(&t->node))) {
		rec[n].client = client->who.id;
		rec[n].tgid = client->who.tgid;
		tensor_describe(t, &rec[n].tensor);
		strscpy(rec[n].label, t->site->label, sizeof(rec[n].label));
		*cursor = (u64)t->page + 1;
		n++;
	}
	mutex_unlock(&client->lock);
	return n;
}

/**
 * bmem_tensors_release() - forget all tensors of a client that dies
 * @client: client, locked
 *
 * The figures stay, for the tombstone; the spans go with the arena.
 */
void bmem_tensors_release(struct bmem_client *client)
{
	struct tensor *t, *next;

	lockdep_assert_held(&client->lock);
	rbtree_postorder_for_each_entry_safe(t, next, &client->tensors, node) {
		kmem_cache_free(tensor_cache, t);
		cond_resched();
	}
	client->tensors = RB_ROOT;
}

int bmem_tensors_init(void)
{
	tensor_cache = KMEM_CACHE(tensor, SLAB_ACCOUNT);
	return tensor_cache ? 0 : -ENOMEM;
}

void bmem_tensors_exit(void)
{
	kmem_cache_destroy(tensor_cache);
}
