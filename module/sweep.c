// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sweeps: from time to time what all ledgers say is made into figures of call
 * sites.
 *
 * A sweep adds up in a table of its own what is live, while others go on with
 * the client between two slices of it, and publishes the sums when it is
 * through; so sums are those of one sweep, and two sweeps do not disturb each
 * other.  What has come and gone since the last look is counted at once, and
 * only once: the table of generations tells how much of it was seen before.
 *
 * One worker sweeps all clients that have something to look at, every SWEEP_MS.
 * All of them together get 1 / SWEEP_SHARE of one CPU, each its part of that:
 * one with a large ledger is swept more seldom, and keeps none waiting.
 */
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"

#define SWEEP_MS	(PATTERN_PERIOD * BMEM_TICK_MS)
#define SWEEP_SHARE	200		/* 1 / 200: half a percent */

/* What is done in one hold of a client's lock. */
#define SLICE_EXTENTS	256
#define SLICE_SITES	1024

/* A sweep that is not patient sleeps so often for a client that is busy. */
#define SLICE_TRIES	1

/* Sites that may be added while a sweep is under way, and still count. */
#define TALLY_SLACK	64

static void sweep_work(struct work_struct *work);

static struct workqueue_struct *sweep_wq;
static DECLARE_DELAYED_WORK(sweep_dwork, sweep_work);
static atomic64_t sweeps_ns = ATOMIC64_INIT(0);
/* Sweeps because of an event; of the rule's worker. */
static u64 sweeps_asked;

/**
 * struct tally - what a sweep has found of one site
 * @bytes: live
 * @live: tensors
 */
struct tally {
	u64 bytes;
	u32 live;
};

/**
 * struct sweep - a sweep under way
 * @client: whose ledger
 * @now: tick
 * @timed: the ledger has sites and times
 * @strange: records that make no sense, or name a site that is not known
 * @ns: time spent with the lock held
 * @live: tensors of all sites
 * @bytes: live bytes of all sites
 * @grows: a site has been found to grow
 * @nr: entries in @tally
 * @tally: by struct site.index
 */
struct sweep {
	struct bmem_client *client;
	u32 now;
	bool timed;
	u64 strange;
	u64 ns;
	u64 live;
	u64 bytes;
	bool grows;
	u32 nr;
	struct tally *tally;
};

/**
 * bmem_sweeps_ns() - time that all sweeps have taken
 *
 * Return: nanoseconds.
 */
u64 bmem_sweeps_ns(void)
{
	return atomic64_read(&sweeps_ns);
}

/**
 * bmem_sweeps_asked() - sweeps that were made because of an event
 *
 * Return: that.
 */
u64 bmem_sweeps_asked(void)
{
	return READ_ONCE(sweeps_asked);
}

/* ---- generations --------------------------------------------------------------------- */

/*
 * Two bytes a record, in pieces that are made when a record of theirs is first
 * seen to have been used.  A record that is not out has 0 there.
 */
#define GENS_PIECE	256

static_assert(PAGE_SIZE / sizeof(struct bmem_record) == GENS_PIECE);

/* The client waits meanwhile, and it is no matter if there is none. */
#define GFP_GENS	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

static u16 *gens_piece(struct bmem_client *client, u32 record, bool make)
{
	struct xarray *xa = &client->sites.gens;
	unsigned long index = record / GENS_PIECE;
	u16 *piece = xa_load(xa, index);

	if (piece || !make)
		return piece;
	piece = kcalloc(GENS_PIECE, sizeof(*piece), GFP_GENS);
	if (!piece)
		return NULL;
	if (xa_err(xa_store(xa, index, piece, GFP_GENS))) {
		kfree(piece);
		return NULL;
	}
	client->sites.bytes += GENS_PIECE * sizeof(*piece);
	return piece;
}

/*
 * How many tensors there were since the last look: right up to 65535.  Without
 * memory to take it down, nothing has been seen.
 */
static u16 gens_advance(struct bmem_client *client, const struct ledger_view *v)
{
	u16 *piece = gens_piece(client, v->record, v->gen);
	u16 *gen, seen;

	if (!piece)
		return 0;
	gen = &piece[v->record % GENS_PIECE];
	seen = (u16)v->gen - *gen;
	*gen = v->gen;
	return seen;
}

/* The record is not out any more; returns what was not seen of it. */
static u32 gens_finish(struct bmem_client *client, const struct ledger_view *v)
{
	u16 *piece = gens_piece(client, v->record, false);
	u32 seen = v->gen;

	if (piece) {
		seen = (u16)((u16)v->gen - piece[v->record % GENS_PIECE]);
		piece[v->record % GENS_PIECE] = 0;
	}
	return seen;
}

/* Pieces of what the ledger has given back. */
static void gens_trim(struct bmem_client *client)
{
	unsigned long index;
	u16 *piece;

	xa_for_each(&client->sites.gens, index, piece) {
		cond_resched();
		if (bmem_window_at(&client->ledger, index))
			continue;
		xa_erase(&client->sites.gens, index);
		kfree(piece);
		client->sites.bytes -= GENS_PIECE * sizeof(*piece);
	}
}

/**
 * bmem_gens_clone() - what was seen of a client's records was seen of a clone's
 * @to: clone, locked
 * @from: client, locked
 *
 * Return: 0, -ENOMEM or -EINTR.
 */
int bmem_gens_clone(struct bmem_client *to, struct bmem_client *from)
{
	unsigned long index;
	u16 *piece, *own;

	xa_for_each(&from->sites.gens, index, piece) {
		own = kmemdup(piece, GENS_PIECE * sizeof(*piece),
			      GFP_BMEM_META);
		if (!own)
			return -ENOMEM;
		if (xa_err(xa_store(&to->sites.gens, index, own,
				    GFP_BMEM_META))) {
			kfree(own);
			return -ENOMEM;
		}
		to->sites.bytes += GENS_PIECE * sizeof(*own);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * bmem_gens_release() - forget the generations of a client that dies
 * @client: client, locked
 */
void bmem_gens_release(struct bmem_client *client)
{
	unsigned long index;
	u16 *piece;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->sites.gens, index, piece) {
		kfree(piece);
		cond_resched();
	}
	xa_destroy(&client->sites.gens);
}

/* ---- records --------------------------------------------------------------------- */

/* NULL when the record is nonsense, or its site is. */
static struct site *site_of(struct bmem_client *client,
			    const struct ledger_view *v)
{
	struct site *site;

	if (v->state == LEDGER_BAD)
		return NULL;
	site = bmem_site_find(client, v->site);
	/* One for which there was no room is nobody's fault. */
	if (!site && client->sites.nr >= BMEM_SITES_MAX)
		return &client->sites.none;
	return site;
}

/* When the last tensor of a record was allocated, as well as can be told. */
static u32 born(const struct ledger_view *v, u32 now)
{
	u32 ago = v->ticks;

	if (v->state == LEDGER_LIVE)
		return min(v->ticks, now);
	return now - min(ago, now);
}

static void note_history(struct site *site, const struct ledger_view *v,
			 u64 seen, u32 now, bool timed)
{
	if (seen)
		bmem_pattern_allocs(site, seen, v->bytes,
				    timed ? born(v, now) : now);
	if (v->fresh && timed)
		bmem_pattern_free(site, v->ticks);
}

static void sweep_view(struct bmem_client *client, const struct ledger_view *v,
		       void *arg)
{
	struct sweep *sw = arg;
	struct site *site = site_of(client, v);

	if (!site) {
		sw->strange++;
		site = &client->sites.none;
	}
	note_history(site, v, gens_advance(client, v), sw->now, sw->timed);
	if (v->state == LEDGER_IDLE || site->index >= sw->nr)
		return;
	sw->tally[site->index].live++;
	sw->tally[site->index].bytes += v->bytes;
}

/**
 * bmem_site_returned() - a slot or recorded tensor is given back
 * @client: client, locked
 * @v: what its record says; no one will look at it again
 */
void bmem_site_returned(struct bmem_client *client,
			const struct ledger_view *v)
{
	u32 seen = gens_finish(client, v), now;
	bool timed = bmem_sites_tracked(client);
	struct site *site;

	lockdep_assert_held(&client->lock);
	if (!static_branch_likely(&bmem_tracking))
		return;
	site = site_of(client, v) ?: &client->sites.none;
	now = bmem_client_ticks(client);
	note_history(site, v, seen, now, timed);
	/* What is given back alive ends now. */
	if (v->state == LEDGER_LIVE && timed)
		bmem_pattern_free(site, now - min(v->ticks, now));
}

static void settle_view(struct bmem_client *client,
			const struct ledger_view *v, void *arg)
{
	struct site *site = site_of(client, v) ?: &client->sites.none;

	if (v->state == LEDGER_IDLE)
		return;
	site->live++;
	site->live_bytes += v->bytes;
}

/**
 * bmem_sites_settle() - count what the ledger says is live, for the last time
 * @client: client that dies, locked
 *
 * Needs no memory.
 */
void bmem_sites_settle(struct bmem_client *client)
{
	u64 cursor = 0;

	while (!bmem_ledger_walk(client, &cursor, SLICE_EXTENTS, false,
				 settle_view, NULL))
		cond_resched();
}

/* ---- one sweep ------------------------------------------------------------------------ */

static int walk_slice(struct sweep *sw, u64 *cursor, bool patient, bool *done)
{
	struct bmem_client *client = sw->client;
	unsigned int tries = SLICE_TRIES;
	int rc = bmem_client_lock(client, patient ? NULL : &tries);
	u64 start;

	if (rc)
		return rc;
	start = ktime_get_ns();
	sw->now = bmem_client_ticks(client);
	sw->timed = bmem_sites_tracked(client);
	*done = bmem_ledger_walk(client, cursor, SLICE_EXTENTS, true,
				 sweep_view, sw);
	sw->ns += ktime_get_ns() - start;
	mutex_unlock(&client->lock);
	return 0;
}

static void publish_site(struct sweep *sw, struct site *site)
{
	struct tally *t = &sw->tally[site->index];

	if (site->index >= sw->nr)
		return;
	site->ledger_live = t->live;
	site->ledger_bytes = t->bytes;
	sw->live += site->live + t->live;
	sw->bytes += site->live_bytes + t->bytes;
	bmem_pattern_peak(site);
	bmem_pattern_sample(site, sw->now);
	if (bmem_growth_watch(&site->trend, &site->told, sw->now))
		sw->grows = true;
}

static void publish_sums(struct sweep *sw)
{
	struct site_table *sites = &sw->client->sites;
	u64 kib = DIV_ROUND_UP_ULL(sw->bytes, 1024);

	sites->strange = sw->strange;
	sites->swept_live = sw->live;
	sites->swept_bytes = sw->bytes;
	trend_add(&sites->trend, min_t(u64, kib, U32_MAX), sw->now,
		  PATTERN_PERIOD);
	bmem_growth_watch(&sites->trend, &sites->told, sw->now);
}

static int publish_slice(struct sweep *sw, u64 *id, bool patient, bool *done)
{
	struct bmem_client *client = sw->client;
	unsigned int tries = SLICE_TRIES;
	int rc = bmem_client_lock(client, patient ? NULL : &tries);
	struct site *site = NULL;
	unsigned int i;
	u64 start;

	if (rc)
		return rc;
	start = ktime_get_ns();
	for (i = 0; i < SLICE_SITES; i++) {
		site = bmem_site_next(client, *id);
		if (!site)
			break;
		publish_site(sw, site);
		*id = (u64)site->id + 1;
	}
	*done = !site;
	if (*done) {
		publish_sums(sw);
		gens_trim(client);
		if (sw->grows)
			bmem_leak_soon(client, BMEM_LEAK_GROWTH);
	}
	sw->ns += ktime_get_ns() - start;
	mutex_unlock(&client->lock);
	return 0;
}

static int sweep_run(struct sweep *sw, bool patient)
{
	u64 cursor = 0, id = 0;
	bool done = false;
	int rc = 0;

	while (!rc && !done) {
		rc = walk_slice(sw, &cursor, patient, &done);
		cond_resched();
	}
	done = false;
	while (!rc && !done) {
		rc = publish_slice(sw, &id, patient, &done);
		cond_resched();
	}
	return rc;
}

static int sweep_client(struct bmem_client *client, bool patient, u64 *ns)
{
	struct mem_cgroup *old = set_active_memcg(client->memcg);
	struct sweep sw = {
		.client = client,
		.nr = READ_ONCE(client->sites.nr) + 1 + TALLY_SLACK,
	};
	int rc = -ENOMEM;

	sw.tally = kvcalloc(sw.nr, sizeof(*sw.tally), GFP_BMEM_META);
	if (sw.tally)
		rc = sweep_run(&sw, patient);
	kvfree(sw.tally);
	set_active_memcg(old);
	atomic64_add(sw.ns, &sweeps_ns);
	*ns = sw.ns;
	return rc;
}

/**
 * bmem_sweep() - bring the figures of a client's sites up to date
 * @client: client, not locked
 * @patient: wait for it for as long as it takes, unless killed
 *
 * Return: 0; -EINTR; -EBUSY when it is busy and @patient is not set; -ENOENT
 * when it is gone; -ENOMEM.
 */
int bmem_sweep(struct bmem_client *client, bool patient)
{
	u64 ns;

	return sweep_client(client, patient, &ns);
}

/* ---- the worker ------------------------------------------------------------------------ */

static bool sweep_wanted(struct bmem_client *client)
{
	return bmem_sites_tracked(client) &&
	       (READ_ONCE(client->slots) || READ_ONCE(client->live));
}

static void sweep_later(void)
{
	queue_delayed_work(sweep_wq, &sweep_dwork, msecs_to_jiffies(SWEEP_MS));
}

/* Is it time to, for one of @nr clients? */
static bool sweep_due(const struct bmem_client *client, unsigned int nr,
		      u64 now)
{
	u64 period = max_t(u64, SWEEP_MS * NSEC_PER_MSEC,
			   client->sites.cost * SWEEP_SHARE * nr);

	/* Half a turn early is nearer than half a turn late. */
	return now - client->sites.swept + SWEEP_MS * NSEC_PER_MSEC / 2 >=
	       period;
}

/*
 * By the clock a sweep takes longer when others have the CPU meanwhile, which is
 * no cost of the client's: the less of two is.
 */
static void sweep_learn(struct site_table *sites, u64 ns)
{
	sites->cost = sites->took ? min(sites->took, ns) : ns;
	sites->took = ns;
}

/* True when there is something to look at, now or at another turn. */
static bool sweep_turn(struct bmem_client *client, unsigned int nr, u64 now)
{
	u64 ns;

	if (!sweep_wanted(client))
		return false;
	if (sweep_due(client, nr, now)) {
		sweep_client(client, false, &ns);
		sweep_learn(&client->sites, ns);
		client->sites.swept = now;
	}
	return true;
}

static void sweep_work(struct work_struct *work)
{
	static unsigned int last_nr = 1;
	u64 id = 0, last = bmem_clients_last(), now = ktime_get_ns();
	struct bmem_client *client;
	unsigned int nr = 0;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		nr += sweep_turn(client, last_nr, now);
		bmem_client_put(client);
		cond_resched();
	}
	last_nr = max(nr, 1U);
	if (nr)
		sweep_later();
}

/**
 * bmem_sweep_soon() - a client may have something to look at
 * @client: client
 */
void bmem_sweep_soon(struct bmem_client *client)
{
	if (sweep_wanted(client) && !delayed_work_pending(&sweep_dwork))
		sweep_later();
}

/*
 * A client's memory has just changed by much: a sweep that is not due by the
 * clock, unless the last one is too near for what it costs.
 */
static void sweep_now(struct bmem_client *client)
{
	u64 now = ktime_get_ns();
	u64 least = max_t(u64, SWEEP_MS * NSEC_PER_MSEC / 10,
			  client->sites.cost * SWEEP_SHARE);

	if (!sweep_wanted(client) ||
	    now - READ_ONCE(client->sites.swept) < least)
		return;
	WRITE_ONCE(client->sites.swept, now);
	bmem_sweep(client, false);
	sweeps_asked++;
}

/* The rule: cleanup done brings the figures of tracking up to date. */
static void obey_cleanup(const struct bmem_event_record *rec)
{
	static struct bmem_rule rule;
	struct bmem_client *client;

	if (!rec->event.client_id || !bmem_rule_claim(&rule, rec->cause))
		return;
	client = bmem_client_get(rec->event.client_id);
	if (!client)
		return;
	sweep_now(client);
	bmem_client_put(client);
}

static struct bmem_subscriber cleanup_rule = {
	.handle = obey_cleanup,
	.types = BMEM_EVENT_BIT(BMEM_EVENT_CLEANUP_DONE),
};

/**
 * bmem_sweep_start() - make the worker
 *
 * Return: 0 or a negative errno.
 */
int bmem_sweep_start(void)
{
	int rc;

	sweep_wq = alloc_workqueue("bmem_sweep", WQ_UNBOUND, 1);
	if (!sweep_wq)
		return -ENOMEM;
	rc = bmem_event_subscribe(&cleanup_rule);
	if (rc)
		destroy_workqueue(sweep_wq);
	return rc;
}

/**
 * bmem_sweep_stop() - stop it; no client is left
 */
void bmem_sweep_stop(void)
{
	bmem_event_unsubscribe(&cleanup_rule);
	cancel_delayed_work_sync(&sweep_dwork);
	destroy_workqueue(sweep_wq);
}
