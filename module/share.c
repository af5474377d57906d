// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages that several clients have, since one is a clone of another.
 *
 * Nobody writes to such a page: it is mapped for reading only, and whoever wants
 * to write takes a copy first.  That it can be copied the pool has promised: it
 * keeps room below its limit for each owner but one.  Nobody's memory cgroup is
 * charged for that, so a user may have a part of the limit promised at the most.
 *
 * A page gets its second owner while it is mapped nowhere and nobody has a
 * reference but the pool.  So nobody can write to it through a pin either; one
 * that is pinned then is copied instead.
 *
 * Who had it may have pinned it to read from it, and must not see what the last
 * owner writes later on.  So that one looks for pins before it writes, while it is
 * mapped nowhere, and if there is one takes a copy, too.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "backing.h"
#include "bmem_private.h"
#include "quota.h"
#include "trace.h"

unsigned int bmem_clone_share = 50;

/* Guards which chunks of a share count for whom. */
static DEFINE_SPINLOCK(charges_lock);

static struct share *share_make(void)
{
	struct share *s = kmalloc(sizeof(*s), GFP_BMEM_META);

	if (!s)
		return NULL;
	kref_init(&s->ref);
	mutex_init(&s->lock);
	atomic_set(&s->owners, 1);
	INIT_LIST_HEAD(&s->charges);
	return s;
}

static void share_free(struct kref *ref)
{
	struct share *s = container_of(ref, struct share, ref);

	mutex_destroy(&s->lock);
	kfree(s);
}

static void share_put(struct share *s)
{
	kref_put(&s->ref, share_free);
}

/* With the share locked: pairs with the acquire of bmem_chunk_shared(). */
static void share_disown(struct share *s)
{
	atomic_dec_return_release(&s->owners);
}

static void chunk_set_share(struct bmem_client *client,
			    struct bmem_chunk *chunk, struct share *s)
{
	xa_lock(&client->chunks);
	client->nr_shares += !!s;
	client->nr_shares -= !!chunk->share;
	chunk->share = s;
	xa_unlock(&client->chunks);
}

/* Its page is one more to be copied, on behalf of a user. */
static bool chunk_charge(struct bmem_client *client, struct bmem_chunk *chunk,
			 struct share *s, struct quota *quota)
{
	unsigned long max = READ_ONCE(client->pool->limit) *
			    READ_ONCE(bmem_clone_share) / 100;

	if (!bmem_quota_take(quota, BMEM_HUGE_PAGES, max))
		return false;
	spin_lock(&charges_lock);
	chunk->quota = bmem_quota_hold(quota);
	list_add_tail(&chunk->charge, &s->charges);
	spin_unlock(&charges_lock);
	return true;
}

/*
 * With the share locked, before one of several owners leaves: it is one less to
 * be copied.  Where that one counts for nobody, another does not any more, so
 * that who is left alone with the page has nothing counted for it.
 */
static void share_uncharge(struct share *s, struct bmem_chunk *chunk)
{
	struct quota *quota;

	lockdep_assert_held(&s->lock);
	spin_lock(&charges_lock);
	if (!chunk->quota)
		chunk = list_first_entry(&s->charges, struct bmem_chunk, charge);
	quota = chunk->quota;
	chunk->quota = NULL;
	list_del(&chunk->charge);
	spin_unlock(&charges_lock);
	bmem_quota_give(quota, BMEM_HUGE_PAGES);
	bmem_quota_put(quota);
}

/* The others are gone. */
static void share_forget(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct share *s = chunk->share;

	chunk_set_share(client, chunk, NULL);
	share_put(s);
}

/* ---- copies ------------------------------------------------------------------- */

static bool chunk_uses(const struct bmem_client *client, u32 index, u32 i)
{
	const u64 *map = place_chunk_map(&client->place, index);

	return map[i / 64] & BIT_ULL(i % 64);
}

static void copy_huge(struct page *to, struct page *from)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++) {
		copy_highpage(to + i, from + i);
		if (i % 16 == 15)
			cond_resched();
	}
}

/* Another page comes into the table, and the shared one out of all mappings. */
static void chunk_replace(struct bmem_client *client, struct bmem_chunk *chunk,
			  struct page *huge, struct page **base)
{
	struct page *old = chunk->huge;

	xa_lock(&client->chunks);
	client->nr_shares -= !!chunk->share;
	chunk->share = NULL;
	chunk->unsure = false;
	chunk->huge = huge;
	chunk->base = base;
	chunk->touched = true;
	xa_unlock(&client->chunks);
	bmem_page_settle(old);
	bmem_chunk_unmap(client, chunk, 0, BMEM_HUGE_PAGES);
}

static void base_pages_drop(struct bmem_client *client, struct page **base)
{
	LIST_HEAD(gone);

	bmem_base_pages_list(base, &gone);
	bmem_pool_renew_promise(client->pool, &gone);
	kfree(base);
}

/* Of the pages that are in spans; the rest holds nothing. */
static struct page **copy_to_base(struct bmem_client *client,
				  const struct bmem_chunk *chunk, u32 *nr)
{
	struct page **base = kcalloc(BMEM_HUGE_PAGES, sizeof(*base),
				     GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	u32 i;

	*nr = 0;
	for (i = 0; base && i < BMEM_HUGE_PAGES; i++) {
		struct page *p;

		if (!chunk_uses(client, chunk->index, i))
			continue;
		p = bmem_pool_take_base_promised(client->pool);
		if (IS_ERR(p)) {
			base_pages_drop(client, base);
			return NULL;
		}
		copy_highpage(p, chunk->huge + i);
		base[i] = p;
		++*nr;
	}
	return base;
}

static int unshare_to_base(struct bmem_client *client,
			   struct bmem_chunk *chunk)
{
	struct page **base;
	u32 nr;

	base = copy_to_base(client, chunk, &nr);
	if (!base)
		return -ENOMEM;
	chunk_replace(client, chunk, NULL, base);
	chunk->nr_base = nr;
	client->nr_base_chunks++;
	client->attached -= BMEM_HUGE_PAGES;
	bmem_count_attached(client, nr, true);
	bmem_pool_unpromise(client->pool, BMEM_HUGE_PAGES - nr);
	bmem_pool_count_fallback(client->pool);
	bmem_promote_soon();
	return 0;
}

/* What is copied has been promised. */
static int unshare_by_copy(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct page *huge;

	if (bmem_page_poisoned(chunk->huge, BMEM_HUGE_PAGES))
		return -EHWPOISON;
	huge = bmem_pool_take_promised(client->pool);
	if (PTR_ERR(huge) == -ENOMEM)
		return unshare_to_base(client, chunk);
	if (IS_ERR(huge))
		return PTR_ERR(huge);
	copy_huge(huge, chunk->huge);
	chunk_replace(client, chunk, huge, NULL);
	return 0;
}

static void chunk_freeze(struct bmem_client *client, struct bmem_chunk *chunk,
			 bool frozen)
{
	xa_lock(&client->chunks);
	chunk->frozen = frozen;
	xa_unlock(&client->chunks);
}

static void chunk_set_unsure(struct bmem_client *client,
			     struct bmem_chunk *chunk, bool unsure)
{
	xa_lock(&client->chunks);
	chunk->unsure = unsure;
	xa_unlock(&client->chunks);
}

/* Somebody reads from the page through a pin, for who knows how long. */
static int chunk_escape(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct page *old = chunk->huge;
	LIST_HEAD(gone);
	int rc;

	/* The old page counts as escaped, but room is no excuse for no copy. */
	bmem_pool_promise_forced(client->pool, BMEM_HUGE_PAGES);
	rc = unshare_by_copy(client, chunk);
	if (rc) {
		bmem_pool_unpromise(client->pool, BMEM_HUGE_PAGES);
		return rc;
	}
	client->attached += BMEM_HUGE_PAGES;
	list_add(&old->lru, &gone);
	bmem_give_pages(client, &gone);
	return 0;
}

/* Has nobody who had the page, and has no more, a pin? */
static int chunk_make_sure(struct bmem_client *client, struct bmem_chunk *chunk)
{
	unsigned int tries = BMEM_IDLE_TRIES;
	int rc = 0;

	if (!chunk->unsure)
		return 0;
	chunk_freeze(client, chunk, true);
	bmem_page_settle(chunk->huge);
	bmem_chunk_unmap(client, chunk, 0, BMEM_HUGE_PAGES);
	if (bmem_page_idle(chunk->huge, &tries))
		chunk_set_unsure(client, chunk, false);
	else
		rc = chunk_escape(client, chunk);
	chunk_freeze(client, chunk, false);
	return rc;
}

/**
 * bmem_chunk_unshare() - make sure that a chunk's page is its client's alone
 * @client: client, locked
 * @chunk: chunk
 *
 * What is copied comes from what the pool has promised.  A chunk may be in base
 * pages afterwards.
 *
 * Return: 0; -ENOMEM; -EINTR when killed; -EHWPOISON when the page has failed.
 */
int bmem_chunk_unshare(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct share *s = chunk->share;
	bool copy;
	int rc = 0;

	lockdep_assert_held(&client->lock);
	if (!s)
		return chunk_make_sure(client, chunk);
	/* Another owner has it for as long as the system takes for a page. */
	if (mutex_lock_killable(&s->lock))
		return -EINTR;
	copy = bmem_chunk_shared(chunk);
	if (copy)
		rc = unshare_by_copy(client, chunk);
	if (copy && !rc) {
		share_uncharge(s, chunk);
		share_disown(s);
	}
	mutex_unlock(&s->lock);
	if (rc)
		return rc;
	if (!copy) {
		share_forget(client, chunk);
		return chunk_make_sure(client, chunk);
	}
	share_put(s);
	trace_bmem_unshare(client->who.id, chunk->index, chunk->huge);
	return 0;
}

/**
 * bmem_backing_unshare() - before a page is mapped
 * @client: client, not locked
 * @page: number of the page in the arena
 * @write: to be written to
 *
 * Also waits until it may be mapped at all.
 *
 * Return: 0, and it is to be looked up again; else as bmem_chunk_unshare().
 */
int bmem_backing_unshare(struct bmem_client *client, pgoff_t page, bool write)
{
	struct bmem_chunk *chunk;
	int rc = 0;

	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	chunk = xa_load(&client->chunks, page / BMEM_HUGE_PAGES);
	if (chunk && write)
		rc = bmem_chunk_unshare(client, chunk);
	mutex_unlock(&client->lock);
	return rc;
}

/**
 * bmem_chunk_leave() - let go of a huge page that others have, too
 * @client: client, locked
 * @chunk: chunk of a huge page
 *
 * Return: true when the chunk is gone; false when nobody else has its page, and
 * the caller has to give it back.
 */
bool bmem_chunk_leave(struct bmem_client *client, struct bmem_chunk *chunk)
{
	struct share *s = chunk->share;
	struct page *p = chunk->huge;
	u32 index = chunk->index;

	lockdep_assert_held(&client->lock);
	if (!s)
		return false;
	mutex_lock(&s->lock);
	if (!bmem_chunk_shared(chunk)) {
		mutex_unlock(&s->lock);
		share_forget(client, chunk);
		return false;
	}
	client->nr_shares--;
	client->attached -= BMEM_HUGE_PAGES;
	share_uncharge(s, chunk);
	bmem_chunk_remove(client, chunk);
	bmem_page_settle(p);
	unmap_mapping_range(client->inode->i_mapping,
			    (loff_t)index * BMEM_HUGE_SIZE, BMEM_HUGE_SIZE, 1);
	share_disown(s);
	mutex_unlock(&s->lock);
	share_put(s);
	bmem_pool_unpromise(client->pool, BMEM_HUGE_PAGES);
	trace_bmem_detach(client->who.id, index, true);
	return true;
}

/**
 * bmem_chunk_settle() - forget a share that nobody else is in any more
 * @client: client, locked
 * @chunk: chunk
 */
void bmem_chunk_settle(struct bmem_client *client, struct bmem_chunk *chunk)
{
	lockdep_assert_held(&client->lock);
	if (chunk->share && !bmem_chunk_shared(chunk))
		share_forget(client, chunk);
}

/**
 * bmem_shares_settle() - which huge pages are shared now?
 * @client: client, locked; its @nr_shares is right afterwards
 */
void bmem_shares_settle(struct bmem_client *client)
{
	struct bmem_chunk *chunk;
	unsigned long index;

	lockdep_assert_held(&client->lock);
	if (!client->nr_shares)
		return;
	xa_for_each(&client->chunks, index, chunk) {
		bmem_chunk_settle(client, chunk);
		cond_resched();
	}
}

/* ---- clones ------------------------------------------------------------------- */

/**
 * struct cloning - a client's memory being cloned
 * @from: client, locked
 * @to: clone, locked; has all its extents, but nothing behind them
 * @quota: of the caller's user
 * @promised: pages that the pool has promised and that no share accounts for
 * @tries: how often pages that seem to be pinned are waited for yet
 */
struct cloning {
	struct bmem_client *from;
	struct bmem_client *to;
	struct quota *quota;
	unsigned long promised;
	unsigned int tries;
};

static struct bmem_chunk *chunk_from(const struct cloning *c, u32 index)
{
	return xa_load(&c->from->chunks, index);
}

/* All that takes memory for bookkeeping, while others go on. */
static int clone_prepare(struct cloning *c)
{
	struct bmem_chunk *chunk;
	unsigned long index, pages = 0;

	xa_for_each(&c->from->chunks, index, chunk) {
		/* Cached, or of tensors that nobody has been told of yet. */
		if (place_chunk_empty(&c->to->place, index))
			continue;
		if (!bmem_chunk_add(c->to, index))
			return -ENOMEM;
		bmem_chunk_settle(c->from, chunk);
		if (chunk->huge && !chunk->share) {
			struct share *s = share_make();

			if (!s)
				return -ENOMEM;
			chunk_set_share(c->from, chunk, s);
		}
		if (chunk->huge)
			pages += BMEM_HUGE_PAGES;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	if (!bmem_pool_promise(c->from->pool, pages))
		return -ENOSPC;
	c->promised = pages;
	return 0;
}

/* Nobody has any of it mapped from here on, until clone_thaw(). */
static void clone_freeze(struct cloning *c)
{
	struct bmem_chunk *chunk, *own;
	unsigned long index;
	u32 i;

	xa_for_each(&c->to->chunks, index, own) {
		chunk = chunk_from(c, index);
		chunk_freeze(c->from, chunk, true);
		if (chunk->huge)
			bmem_page_settle(chunk->huge);
		for (i = 0; chunk->base && i < BMEM_HUGE_PAGES; i++)
			if (chunk->base[i])
				bmem_page_settle(chunk->base[i]);
		cond_resched();
	}
	unmap_mapping_range(c->from->inode->i_mapping, 0,
			    bmem_bytes(bmem_space_pages), 1);
}

static void clone_thaw(struct cloning *c)
{
	struct bmem_chunk *own;
	unsigned long index;

	xa_for_each(&c->to->chunks, index, own) {
		chunk_freeze(c->from, chunk_from(c, index), false);
		cond_resched();
	}
}

static int chunk_share(struct cloning *c, struct bmem_chunk *own,
		       struct bmem_chunk *chunk)
{
	if (!chunk_charge(c->to, own, chunk->share, c->quota))
		return -ENOSPC;
	atomic_inc(&chunk->share->owners);
	kref_get(&chunk->share->ref);
	bmem_chunk_set_huge(c->to, own, chunk->huge);
	own->touched = true;
	chunk_set_share(c->to, own, chunk->share);
	chunk_set_unsure(c->from, chunk, true);
	chunk_set_unsure(c->to, own, true);
	bmem_count_attached(c->to, BMEM_HUGE_PAGES, false);
	c->promised -= BMEM_HUGE_PAGES;
	return 0;
}

static int clone_page(struct bmem_client *to, struct bmem_chunk *own, u32 i,
		      struct page *from)
{
	int rc = 0;

	if (PageHWPoison(from))
		return -EHWPOISON;
	if (own->base)
		rc = bmem_attach_base(to, own, i, 1);
	if (!rc)
		copy_highpage(own->huge ? own->huge + i : own->base[i], from);
	return rc;
}

/* What cannot be shared: into a huge page, or base pages if there is none. */
static int chunk_copy(struct cloning *c, struct bmem_chunk *own,
		      const struct bmem_chunk *chunk)
{
	int rc = bmem_chunk_fill(c->to, own);
	u32 i;

	for (i = 0; !rc && i < BMEM_HUGE_PAGES; i++) {
		if (chunk_uses(c->to, own->index, i))
			rc = clone_page(c->to, own, i, chunk->huge ?
				       chunk->huge + i : chunk->base[i]);
		if (i % 16 == 15)
			cond_resched();
	}
	own->touched = true;
	return rc;
}

/*
 * A page that others have already has been idle once, and nobody could pin it
 * to write to it since.
 */
static bool chunk_may_share(struct cloning *c, const struct bmem_chunk *chunk)
{
	return chunk->huge && (bmem_chunk_shared(chunk) ||
			       bmem_page_poisoned(chunk->huge,
						  BMEM_HUGE_PAGES) ||
			       bmem_page_idle(chunk->huge, &c->tries));
}

static int chunk_clone(struct cloning *c, struct bmem_chunk *own,
		       struct bmem_chunk *chunk)
{
	bitmap_copy(own->soiled, chunk->soiled, BMEM_HUGE_PAGES);
	if (chunk_may_share(c, chunk))
		return chunk_share(c, own, chunk);
	if (chunk->huge) {
		bmem_pool_unpromise(c->to->pool, BMEM_HUGE_PAGES);
		c->promised -= BMEM_HUGE_PAGES;
	}
	return chunk_copy(c, own, chunk);
}

/* With bookkeeping for all of it, and room promised. */
static int clone_chunks(struct cloning *c)
{
	struct bmem_chunk *own;
	unsigned long index;
	int rc = 0;

	clone_freeze(c);
	xa_for_each(&c->to->chunks, index, own) {
		rc = chunk_clone(c, own, chunk_from(c, index));
		if (!rc && fatal_signal_pending(current))
			rc = -EINTR;
		if (rc)
			break;
		cond_resched();
	}
	clone_thaw(c);
	bmem_pool_unpromise(c->to->pool, c->promised);
	return rc;
}

/**
 * bmem_backing_clone() - put the memory behind a client also behind its clone
 * @to: clone, locked, in the same pool, with all its extents
 * @from: client, locked
 *
 * Return: 0; -ENOSPC, -ENOMEM, -EINTR or -EHWPOISON, and the clone is to be
 * closed.
 */
int bmem_backing_clone(struct bmem_client *to, struct bmem_client *from)
{
	struct cloning c = {
		.from = from,
		.to = to,
		.quota = bmem_quota_get(to->pool),
		.tries = BMEM_IDLE_TRIES,
	};
	int rc;

	lockdep_assert_held(&from->lock);
	lockdep_assert_held(&to->lock);
	if (!c.quota)
		return -ENOMEM;
	rc = clone_prepare(&c);
	if (!rc)
		rc = clone_chunks(&c);
	bmem_quota_put(c.quota);
	return rc;
}
