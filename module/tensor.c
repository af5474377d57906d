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
#define HANDLE_GEN_BITS		(64 - HANDLE_PLACE_BITS)
/* Set in the handle of what is in a slot, which has its record's generation. */
#define HANDLE_SLOT		(1U << (HANDLE_GEN_BITS - 1))
#define HANDLE_GEN_MASK		(HANDLE_SLOT - 1)

#define RECORD_BYTES_MAX	(~0ULL >> BMEM_RECORD_SIZE_SHIFT)

static_assert(1 << HANDLE_PLACE_SHIFT == BMEM_ALIGN_MIN);
static_assert(HANDLE_PLACE_BITS == BMEM_SLOT_PLACE_BITS);
static_assert(HANDLE_GEN_MASK <= BMEM_SPAN_ARG_MASK);
static_assert(BMEM_RECORD_GEN_MASK <= HANDLE_GEN_MASK);

/* Tensors that are looked at before a listing lets others have the lock. */
#define LIST_STRIDE		1024

static struct kmem_cache *tensor_cache;

size_t bmem_tensor_size(void)
{
	return kmem_cache_size(tensor_cache);
}

/* ---- handles ---------------------------------------------------------------- */

static u64 place_handle(u64 offset, u32 gen)
{
	return (u64)gen << HANDLE_PLACE_BITS | offset >> HANDLE_PLACE_SHIFT;
}

static u64 handle_offset(u64 handle)
{
	return (handle & ((1ULL << HANDLE_PLACE_BITS) - 1)) <<
	       HANDLE_PLACE_SHIFT;
}

static u64 tensor_handle(const struct tensor *t)
{
	return place_handle(bmem_bytes(t->at.page), t->gen);
}

/* The tensor that begins at a page. */
static struct tensor *tensor_at(struct bmem_client *client, u64 page)
{
	struct extent *e = bmem_extent_from(client, page);

	return e && e->page == page && !e->slab ? tensor_of(e) : NULL;
}

static struct tensor *tensor_by_handle(struct bmem_client *client, u64 handle)
{
	u64 offset = handle_offset(handle);
	struct tensor *t;

	if (!IS_ALIGNED(offset, PAGE_SIZE))
		return NULL;
	t = tensor_at(client, offset >> PAGE_SHIFT);
	return t && tensor_handle(t) == handle ? t : NULL;
}

/* ---- descriptions -------------------------------------------------------------- */

/**
 * struct describer - what it takes to describe many tensors
 * @client: client, locked
 * @now: ktime_get_boottime_ns()
 * @ticks: bmem_client_ticks()
 */
struct describer {
	struct bmem_client *client;
	u64 now;
	u32 ticks;
};

static void describer_init(struct describer *d, struct bmem_client *client)
{
	d->client = client;
	d->now = ktime_get_boottime_ns();
	d->ticks = bmem_client_ticks(client);
}

/* From a record; false when there is no tensor. */
static bool view_describe(const struct describer *d,
			  const struct ledger_view *v, struct bmem_tensor *out)
{
	if (v->state == LEDGER_IDLE)
		return false;
	out->offset = v->offset;
	out->bytes = v->bytes;
	out->granted = v->granted;
	/* A time to come is nonsense. */
	out->age_ms = v->ticks < d->ticks ?
		      (u64)(d->ticks - v->ticks) * BMEM_TICK_MS : 0;
	out->site = v->site;
	out->flags = BMEM_ALLOC_RECORD;
	return true;
}

/**
 * bmem_tensor_view() - what the ledger says of a tensor
 * @client: client, locked
 * @t: tensor
 * @see: as for bmem_ledger_read()
 * @v: out
 *
 * Return: false when it has no record.
 */
bool bmem_tensor_view(struct bmem_client *client, const struct tensor *t,
		      bool see, struct ledger_view *v)
{
	if (!(t->flags & BMEM_ALLOC_RECORD))
		return false;
	v->offset = bmem_bytes(t->at.page);
	v->granted = bmem_bytes(t->at.pages);
	bmem_ledger_read(client, t->record, see, v);
	return true;
}

static bool tensor_describe(const struct describer *d, const struct tensor *t,
			    struct bmem_tensor *out)
{
	struct ledger_view v;

	out->handle = tensor_handle(t);
	if (bmem_tensor_view(d->client, t, false, &v)) {
		if (!view_describe(d, &v, out))
			return false;
		out->flags |= t->flags;
		return true;
	}
	out->offset = bmem_bytes(t->at.page);
	out->bytes = t->bytes;
	out->granted = bmem_bytes(t->at.pages);
	out->age_ms = div_u64(d->now - t->born, NSEC_PER_MSEC);
	out->site = t->site_id;
	out->flags = t->flags;
	return true;
}

static bool slot_describe(const struct describer *d, const struct span *s,
			  u32 slot, struct bmem_tensor *out)
{
	struct ledger_view v;

	if (slot >= slab_classes[s->class].slots ||
	    !bmem_span_view(d->client, s, slot, false, &v) ||
	    !view_describe(d, &v, out))
		return false;
	out->handle = place_handle(v.offset, v.gen | HANDLE_SLOT);
	return true;
}

/* What lies at an offset; false when that is no tensor. */
static bool describe_at(const struct describer *d, u64 offset,
			struct bmem_tensor *out)
{
	struct extent *e = bmem_extent_covering(d->client, offset >> PAGE_SHIFT);
	const struct span *s;

	if (!e)
		return false;
	if (!e->slab)
		return tensor_describe(d, tensor_of(e), out);
	s = span_of(e);
	return slot_describe(d, s, (u32)(offset - bmem_bytes(e->page)) /
				   slab_classes[s->class].bytes, out);
}

/* The label of a site that a record, or nobody, may have made up. */
static const char *site_label(struct bmem_client *client, u32 id)
{
	struct site *site = bmem_site_find(client, id);

	return site ? bmem_site_label(site) : "";
}

/**
 * struct walker - a walk over what is live, by place
 * @d: describes
 * @place: where to go on, in units of %BMEM_ALIGN_MIN
 * @e: the extent that covers it or comes next, NULL at the end
 */
struct walker {
	struct describer d;
	u64 place;
	struct extent *e;
};

#define PLACES_PAGE	(PAGE_SIZE >> HANDLE_PLACE_SHIFT)

static void walker_init(struct walker *w, struct bmem_client *client, u64 place)
{
	describer_init(&w->d, client);
	w->place = place;
	w->e = bmem_extent_covering(client, place / PLACES_PAGE) ?:
	       bmem_extent_from(client, place / PLACES_PAGE);
}

static void walker_skip(struct walker *w)
{
	w->place = ((u64)w->e->page + w->e->pages) * PLACES_PAGE;
	w->e = bmem_extent_next(w->e);
}

/* One step: a tensor, or a slot.  True when it is live and described. */
static bool walker_step(struct walker *w, struct bmem_tensor *out)
{
	u64 start = (u64)w->e->page * PLACES_PAGE;
	const struct slab_class *class;
	bool live;
	u32 slot;

	if (!w->e->slab) {
		/* Not again, if the walk was cut within it. */
		live = w->place <= start &&
		       tensor_describe(&w->d, tensor_of(w->e), out);
		walker_skip(w);
		return live;
	}
	class = &slab_classes[span_of(w->e)->class];
	slot = w->place <= start ? 0 :
	       DIV_ROUND_UP((u32)(w->place - start) << HANDLE_PLACE_SHIFT,
			    class->bytes);
	if (slot >= class->slots) {
		walker_skip(w);
		return false;
	}
	live = slot_describe(&w->d, span_of(w->e), slot, out);
	w->place = start + ((slot + 1) * class->bytes >> HANDLE_PLACE_SHIFT);
	return live;
}

static bool reached_at(const struct extent *e, u64 offset)
{
	const struct span *s;

	if (!e->slab)
		return e->reached;
	s = container_of(e, struct span, at);
	return s->reached >> ((u32)(offset - bmem_bytes(e->page)) /
			      slab_classes[s->class].bytes) & 1;
}

/* What tells tensors in one place from each other, beside their handles. */
static u32 record_gen(struct bmem_client *client, struct extent *e)
{
	struct ledger_view v;

	if (e->slab || !bmem_tensor_view(client, tensor_of(e), false, &v))
		return 0;
	return v.gen;
}

/**
 * bmem_tensors_unreached() - the live tensors that a scan has not reached
 * @client: client, locked
 * @cursor: 0 to begin; where the next call goes on
 * @max: places to look at, at most
 * @fn: called for each
 * @arg: for @fn
 *
 * Return: true at the end.
 */
bool bmem_tensors_unreached(struct bmem_client *client, u64 *cursor,
			    unsigned int max, tensor_fn fn, void *arg)
{
	struct bmem_tensor t;
	struct extent *e;
	struct walker w;

	walker_init(&w, client, *cursor);
	for (; w.e && max; max--) {
		e = w.e;
		memset(&t, 0, sizeof(t));
		if (walker_step(&w, &t) && !reached_at(e, t.offset))
			fn(client, &t, record_gen(client, e), arg);
	}
	*cursor = w.place;
	return !w.e;
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
	if (e->flags & ~(BMEM_ALLOC_ZERO | BMEM_ALLOC_RECORD) || e->__reserved)
		return -EOPNOTSUPP;
	if (!e->bytes)
		return -EINVAL;
	if (e->align && (!is_power_of_2(e->align) ||
			 e->align < BMEM_ALIGN_MIN || e->align > BMEM_ALIGN_MAX))
		return -EINVAL;
	if (e->bytes > U64_MAX - PAGE_SIZE)
		return -EOVERFLOW;
	if (e->flags & BMEM_ALLOC_RECORD && e->bytes > RECORD_BYTES_MAX)
		return -EINVAL;
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

static u32 align_pages(const struct bmem_alloc_entry *e)
{
	return max_t(u32, e->align >> PAGE_SHIFT, 1);
}

static void arena_unplace(struct bmem_client *client, struct tensor *t)
{
	place_free(&client->place, t->at.page, t->at.pages);
	bmem_backing_release(client, t->at.page, t->at.pages);
}

static void tensor_unplace(struct bmem_client *client, struct tensor *t)
{
	if (t->flags & BMEM_ALLOC_RECORD)
		bmem_ledger_put(client, t->record, 1);
	arena_unplace(client, t);
}

static void next_gen(struct bmem_client *client, struct tensor *t)
{
	client->gen = (client->gen + 1) & HANDLE_GEN_MASK;
	if (!client->gen)
		client->gen = 1;
	t->gen = client->gen;
}

/* What a tensor that has a place needs besides memory. */
static int tensor_equip(struct alloc_call *call, struct tensor *t)
{
	struct bmem_client *client = call->client;
	int rc;

	rc = bmem_backing_prepare(client, t->at.page, t->at.pages, &call->need);
	if (rc)
		return rc;
	if (call->need > bmem_pool_free_pages(client->pool)) {
		call->reason = BMEM_REASON_LIMIT;
		return -ENOSPC;
	}
	return bmem_span_map_prepare(client, t->at.page,
				     min(t->at.pages, 2U));
}

/* Takes no more than it must, where a policy that rounds up took too much. */
static int tensor_place_exactly(struct alloc_call *call, struct tensor *t,
				u32 align)
{
	struct bmem_client *client = call->client;
	int rc;

	t->at.pages = PAGE_ALIGN(t->bytes) >> PAGE_SHIFT;
	rc = bmem_arena_place(client, PLACE_FIRST, t->at.pages, align,
			      &t->at.page, &t->at.pages);
	if (rc)
		return rc;
	rc = tensor_equip(call, t);
	if (rc)
		arena_unplace(client, t);
	return rc;
}

/* By the client's policy; with what the tensor needs. */
static int tensor_place_by_policy(struct alloc_call *call, struct tensor *t,
				  u32 align)
{
	struct bmem_client *client = call->client;
	u32 pages = t->at.pages;
	u64 need = call->need;
	int rc;

	rc = bmem_placement_find(client, &t->at, align);
	if (rc) {
		if (rc == -ENOSPC)
			call->reason = BMEM_REASON_SPACE;
		return rc;
	}
	rc = tensor_equip(call, t);
	if (!rc)
		return 0;
	arena_unplace(client, t);
	if (rc != -ENOSPC || t->at.pages == pages)
		return rc;
	call->need = need;
	return tensor_place_exactly(call, t, align);
}

/* Finds a place for a tensor, and what memory it takes. */
static int tensor_place(struct alloc_call *call, struct tensor *t,
			const struct bmem_alloc_entry *e)
{
	struct bmem_client *client = call->client;
	int rc;

	t->at.slab = false;
	t->at.pages = PAGE_ALIGN(e->bytes) >> PAGE_SHIFT;
	t->bytes = e->bytes;
	t->flags = e->flags;
	t->site_id = bmem_sites_tracked(client) ? e->site : 0;
	next_gen(client, t);

	call->reason = BMEM_REASON_MEMORY;
	if (t->flags & BMEM_ALLOC_RECORD) {
		rc = bmem_ledger_get(client, 1, &t->record);
		if (rc == -ENOSPC)
			call->reason = BMEM_REASON_LEDGER;
		if (rc)
			return rc;
	}
	rc = tensor_place_by_policy(call, t, align_pages(e));
	if (rc && t->flags & BMEM_ALLOC_RECORD)
		bmem_ledger_put(client, t->record, 1);
	return rc;
}

static int tensor_attach(struct alloc_call *call, struct tensor *t)
{
	struct bmem_client *client = call->client;
	int rc;

	rc = bmem_backing_attach(client, t->at.page, t->at.pages);
	if (!rc && t->flags & BMEM_ALLOC_ZERO)
		rc = bmem_backing_zero(client, t->at.page, t->at.pages);
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

/**
 * bmem_alloc_refused() - count and take down an allocation that failed
 * @client: client, locked
 * @f: what was asked for, and why it failed; the rest is filled in
 */
void bmem_alloc_refused(struct bmem_client *client, struct bmem_failure *f)
{
	lockdep_assert_held(&client->lock);
	client->failed++;
	bmem_pool_count_failure(client->pool);
	bmem_failure_note(client, f);
	trace_bmem_alloc_fail(client->who.id, f->bytes, f->call_bytes, f->error,
			      f->reason, f->pool_free,
			      bmem_bytes(f->arena.hole_best));
}

static void alloc_note_failure(struct alloc_call *call, u32 failed, int rc)
{
	struct bmem_failure f = {
		.reason = call->reason,
		.error = rc,
		.entries = call->nr,
		.index = failed,
		.bytes = call->entries[failed].bytes,
		.align = call->entries[failed].align,
		.call_bytes = call->call_bytes,
	};

	bmem_alloc_refused(call->client, &f);
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
		e->offset = bmem_bytes(t->at.page);
		e->granted = bmem_bytes(t->at.pages);
	}
}

static void tensor_map(struct bmem_client *client, const struct tensor *t)
{
	u64 entry = BMEM_SPAN_TENSOR | (u64)t->gen << BMEM_SPAN_ARG_SHIFT;

	if (t->flags & BMEM_ALLOC_RECORD)
		entry |= (u64)t->record << BMEM_SPAN_RECORD_SHIFT |
			 BMEM_SPAN_RECORDED;
	if (t->at.pages == 1)
		entry |= BMEM_SPAN_SINGLE;
	else
		bmem_span_map_set(client, t->at.page + 1, BMEM_SPAN_MORE |
				  (u64)t->at.pages << BMEM_SPAN_ARG_SHIFT);
	bmem_span_map_set(client, t->at.page, entry);
}

static void tensor_unmap(struct bmem_client *client, const struct tensor *t)
{
	bmem_span_map_set(client, t->at.page, 0);
	if (t->at.pages > 1)
		bmem_span_map_set(client, t->at.page + 1, 0);
}

static void tensor_publish(struct bmem_client *client, struct tensor *t)
{
	bmem_backing_soil(client, t->at.page, t->at.pages);
	t->born = ktime_get_boottime_ns();
	bmem_extent_insert(client, &t->at);
	tensor_map(client, t);
	if (t->flags & BMEM_ALLOC_RECORD) {
		bmem_ledger_write(client, t->record, t->bytes, t->site_id);
		client->recorded++;
		client->recorded_bytes += t->bytes;
		client->recorded_allocs++;
	} else {
		bmem_site_alloc(client, t->site, t->bytes);
	}
	client->allocs++;
	client->live++;
	client->live_bytes += t->bytes;
	client->granted += t->at.pages;
	bmem_count_peak(client);
	trace_bmem_alloc(client->who.id, tensor_handle(t),
			 bmem_bytes(t->at.page), t->bytes, t->site_id);
}

static void alloc_publish(struct alloc_call *call)
{
	u32 i;

	for (i = 0; i < call->nr; i++) {
		const struct bmem_alloc_entry *e = &call->entries[i];
		struct tensor *t = call->tensors[i];

		tensor_publish(call->client, t);
		bmem_placement_added(call->client, &t->at,
				     PAGE_ALIGN(e->bytes) >> PAGE_SHIFT,
				     align_pages(e));
		call->tensors[i] = NULL;
	}
}

static int alloc_run(struct alloc_call *call, struct bmem_alloc *cmd, bool last)
{
	size_t bytes = array_size(call->nr, sizeof(*call->entries));
	u64 __user *to = u64_to_user_ptr(cmd->entries);
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
	else
		alloc_publish(call);
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
 * @cmd: as in the ABI, of which @cmd->flags and what belongs to them are the
 *	caller's
 * @last: the caller will not try again after -ENOSPC or -ENOMEM
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_alloc(struct bmem_client *client, struct bmem_alloc *cmd,
		      bool last)
{
	struct alloc_call call = { .client = client, .nr = cmd->nr };
	int rc;

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

/* What its record says is looked at for the last time. */
static void tensor_unrecord(struct bmem_client *client, struct tensor *t)
{
	struct ledger_view v;

	bmem_tensor_view(client, t, true, &v);
	client->uses += max(v.gen, 1U);
	client->recorded--;
	client->recorded_bytes -= t->bytes;
	bmem_site_returned(client, &v);
}

static void tensor_remove(struct bmem_client *client, struct tensor *t)
{
	bmem_links_forget(client, tensor_handle(t));
	bmem_extent_erase(client, &t->at);
	bmem_placement_removed(client, &t->at);
	tensor_unmap(client, t);
	if (t->flags & BMEM_ALLOC_RECORD) {
		tensor_unrecord(client, t);
	} else {
		bmem_site_free(client, t->site, t->bytes,
			       ktime_get_boottime_ns() - t->born);
	}
	client->frees++;
	client->live--;
	client->live_bytes -= t->bytes;
	client->granted -= t->at.pages;
	tensor_unplace(client, t);
	trace_bmem_free(client->who.id, tensor_handle(t),
			bmem_bytes(t->at.page), t->bytes, t->site_id);
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
	/* It may be cached, or too little for a huge page: who waits looks. */
	if (cmd->freed)
		bmem_pool_freed(client->pool);
	mutex_unlock(&client->lock);
	bmem_cleanup_kick(client);
	if (copy_to_user(u64_to_user_ptr(cmd->entries), entries,
			 array_size(cmd->nr, sizeof(*entries))))
		rc = -EFAULT;
out:
	kvfree(entries);
	return rc;
}

/* ---- info, list ------------------------------------------------------------------ */

static void info_fill(struct bmem_client *client, struct bmem_tensor_info *cmd)
{
	strscpy_pad(cmd->label, site_label(client, cmd->tensor.site),
		    sizeof(cmd->label));
	bmem_links_count(client, cmd->tensor.handle, &cmd->holds,
			 &cmd->links_in, &cmd->links_out);
	cmd->__reserved = 0;
}

/**
 * bmem_tensor_info() - BMEM_TENSOR_INFO
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tensor_info(struct bmem_client *client, struct bmem_tensor_info *cmd)
{
	bool by_offset = cmd->flags & BMEM_INFO_OFFSET;
	struct describer d;
	u64 offset;
	bool found;

	if (cmd->flags & ~BMEM_INFO_OFFSET)
		return -EOPNOTSUPP;
	if (by_offset ? cmd->handle : cmd->offset)
		return -EINVAL;
	offset = by_offset ? cmd->offset : handle_offset(cmd->handle);
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	describer_init(&d, client);
	found = describe_at(&d, offset, &cmd->tensor) &&
		(by_offset || cmd->tensor.handle == cmd->handle);
	if (found)
		info_fill(client, cmd);
	mutex_unlock(&client->lock);
	return found ? 0 : -ENOENT;
}

/**
 * bmem_tensor_find() - what is known of a tensor
 * @client: client, locked
 * @handle: its handle; any number will do
 * @out: out
 *
 * Return: false when there is no live tensor of this name.
 */
bool bmem_tensor_find(struct bmem_client *client, u64 handle,
		      struct bmem_tensor *out)
{
	struct describer d;

	describer_init(&d, client);
	return describe_at(&d, handle_offset(handle), out) &&
	       out->handle == handle;
}

/**
 * bmem_tensor_gen() - tells tensors with the same handle from each other
 * @client: client, locked
 * @handle: handle of a live tensor
 *
 * Return: the generation of its record; 0 for a tensor that has none, or whose
 * handle has it.
 */
u32 bmem_tensor_gen(struct bmem_client *client, u64 handle)
{
	const struct tensor *t = tensor_by_handle(client, handle);
	struct ledger_view v;

	if (!t || !bmem_tensor_view(client, t, false, &v))
		return 0;
	return v.gen;
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
	struct walker w;
	u32 seen;

	walker_init(&w, client, cmd->cursor);
	for (seen = 0; w.e && *n < cmd->nr && seen < LIST_STRIDE; seen++)
		if (walker_step(&w, &out[*n]) && list_wants(cmd, &out[*n]))
			++*n;
	cmd->cursor = w.place;
	return !w.e || *n == cmd->nr;
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
 * @tries: as for bmem_client_lock()
 *
 * Return: how many there were; fewer than @nr at the end, when the client stays
 * busy, or when killed.
 */
unsigned int bmem_tensor_records(struct bmem_client *client, u64 *cursor,
				 struct tensor_record *rec, unsigned int nr,
				 unsigned int *tries)
{
	unsigned int n = 0, seen;
	struct walker w;

	while (n < nr) {
		if (bmem_client_lock(client, tries))
			return n;
		walker_init(&w, client, *cursor);
		for (seen = 0; w.e && n < nr && seen < LIST_STRIDE; seen++) {
			if (!walker_step(&w, &rec[n].tensor))
				continue;
			rec[n].client = client->who.id;
			rec[n].tgid = client->who.tgid;
			strscpy(rec[n].label,
				site_label(client, rec[n].tensor.site),
				sizeof(rec[n].label));
			n++;
		}
		*cursor = w.place;
		mutex_unlock(&client->lock);
		if (!w.e || fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return n;
}

/**
 * bmem_tensor_clone() - the same tensor in a clone
 * @to: clone, locked, with all sites, and no memory behind its arena yet
 * @from: client, locked
 * @t: its tensor
 *
 * Return: 0 or -ENOMEM; what was taken goes with the clone.
 */
int bmem_tensor_clone(struct bmem_client *to, struct bmem_client *from,
		      const struct tensor *t)
{
	struct tensor *own = kmem_cache_alloc(tensor_cache, GFP_BMEM_META);
	int rc;

	if (!own)
		return -ENOMEM;
	*own = *t;
	own->at.tag = 0;
	own->site = bmem_site_find(to, t->site->id);
	rc = bmem_arena_take(to, t->at.page, t->at.pages) ?:
	     bmem_span_map_prepare(to, t->at.page, min(t->at.pages, 2U));
	if (!rc && t->flags & BMEM_ALLOC_RECORD)
		rc = bmem_ledger_clone(to, from, t->record, 1);
	if (rc) {
		kmem_cache_free(tensor_cache, own);
		return rc;
	}
	bmem_extent_insert(to, &own->at);
	tensor_map(to, own);
	return 0;
}

/**
 * bmem_tensors_release() - forget all extents of a client that dies
 * @client: client, locked
 *
 * The figures stay, for the tombstone; the places go with the arena.
 */
void bmem_tensors_release(struct bmem_client *client)
{
	struct extent *e, *next;

	lockdep_assert_held(&client->lock);
	rbtree_postorder_for_each_entry_safe(e, next, &client->extents, node) {
		if (e->slab)
			bmem_span_release(span_of(e));
		else
			kmem_cache_free(tensor_cache, tensor_of(e));
		cond_resched();
	}
	client->extents = RB_ROOT;
}

int bmem_tensors_init(void)
{
	tensor_cache = kmem_cache_create("bmem_tensor", sizeof(struct tensor),
					 0, SLAB_ACCOUNT, NULL);
	return tensor_cache ? 0 : -ENOMEM;
}

void bmem_tensors_exit(void)
{
	kmem_cache_destroy(tensor_cache);
}
