// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cleanup: what clients have freed goes back to the pool, at the right moment.
 *
 * FREE only queues huge pages that hold no tensor any more; a worker takes them
 * away, those of one client together.  There are three queues, by urgency:
 *
 *	deferred	once more than bmem_cleanup_batch wait, or a sixteenth
 *			of what the client holds, or the client was quiet for
 *			bmem_cleanup_idle_ms
 *	immediate	the pool's pressure is high
 *	emergency	it is critical, or a client was busy again and again
 *
 * The most urgent come first, of these the client that has the most.  A pass
 * ends after bmem_cleanup_slice_us and goes on when others had their turn; a
 * client is locked for SLICE_CHUNKS at a time, so that is how long its FREE may
 * have to wait.  One that is busy is tried again, RETRIES times, and is then
 * more urgent: the worker waits longer for those.
 *
 * What somebody still pins is let go, too, and not used again: it is the pool's
 * business from then on, which looks at it again until the pin is gone.
 *
 * A client's cache that was not used for bmem_cleanup_cache_ms goes the same
 * way, and under pressure at once.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"
#include "trace.h"

/* Chunks that go back in one hold of a client's lock. */
#define SLICE_CHUNKS	16

/*
 * Clients that are looked at to find the one that has the most: for so long the
 * lock is held that FREE may have to wait for.
 */
#define PICK_MAX	64

/* Times that a client may be busy before it is more urgent. */
#define RETRIES		8

/* A client that is busy is waited for in steps, more of them in need. */
#define BUSY_US		100
#define BUSY_IMMEDIATE	10
#define BUSY_EMERGENCY	50

/* The part of what a client holds that may wait, whatever the batch. */
#define WAIT_SHARE	16

#define RECALL_WINDOW	HZ

/**
 * enum cleanup_urgency - a client's queue
 * @URGENCY_DEFERRED: in a batch, or when it is quiet
 * @URGENCY_IMMEDIATE: now
 * @URGENCY_EMERGENCY: now, and busy clients are waited for
 * @URGENCIES: how many there are
 */
enum cleanup_urgency {
	URGENCY_DEFERRED,
	URGENCY_IMMEDIATE,
	URGENCY_EMERGENCY,
	URGENCIES,
};

unsigned int bmem_cleanup_batch = 10;
unsigned int bmem_cleanup_idle_ms = 100;
unsigned int bmem_cleanup_slice_us = 2000;
unsigned int bmem_cleanup_cache_ms = 1000;

/* Cached or queued pages that would go to the system. */
atomic_long_t bmem_surplus_pages = ATOMIC_LONG_INIT(0);

/* Guards both lists, and what is said to be under cleanup's lock. */
static DEFINE_SPINLOCK(cleanup_lock);
/* Clients that have chunks cached or queued; the last pass saw the last. */
static LIST_HEAD(holders);
/* Those that reclaim may find something with. */
static LIST_HEAD(givers);
/* Times that a pool's clients were asked for all they can do without. */
static u64 urgings;

static void deferred_run(struct work_struct *work);
static void urgent_run(struct work_struct *work);

static struct workqueue_struct *cleanup_wq;
static DECLARE_DELAYED_WORK(deferred_work, deferred_run);
/* While it is pending: when it is due, in jiffies; under cleanup_lock. */
static unsigned long deferred_at;
static DECLARE_DELAYED_WORK(urgent_work, urgent_run);

/* Powers of two of microseconds that the oldest in a queue had to wait. */
#define WAIT_BUCKETS	24

/**
 * struct queue_figures - what a queue has done
 * @passes: passes
 * @yields: of these, those that ended since their time was up
 * @longest: nanoseconds in the longest
 * @busy: times that a client was busy
 * @escalated: clients that went to the next queue for that
 * @pinned: pages that somebody else pinned when they were let go
 * @waits: how often the oldest of a client's queue had waited so long
 */
static struct queue_figures {
	atomic64_t passes;
	atomic64_t yields;
	atomic64_t longest;
	atomic64_t busy;
	atomic64_t escalated;
	atomic64_t pinned;
	atomic64_t waits[WAIT_BUCKETS];
} figures[URGENCIES];

static atomic64_t gains[BMEM_GAINS];
static atomic64_t passes = ATOMIC64_INIT(0);

/* The event of memory that the next urgent pass is because of: of several the last. */
static u64 urgent_cause;

/**
 * bmem_cleanup_gain() - count pages that came back
 * @pool: theirs, which stays meanwhile
 * @gain: by what
 * @pages: how many
 */
void bmem_cleanup_gain(struct bmem_pool *pool, enum bmem_gain gain,
		       unsigned long pages)
{
	if (!pages)
		return;
	atomic64_add(pages, &gains[gain]);
	atomic64_add(pages, &pool->pressure.gains[gain]);
}

/* ---- queueing ------------------------------------------------------------------ */

static unsigned long idle_jiffies(void)
{
	return msecs_to_jiffies(READ_ONCE(bmem_cleanup_idle_ms));
}

static unsigned long cache_jiffies(void)
{
	return msecs_to_jiffies(READ_ONCE(bmem_cleanup_cache_ms));
}

/* Enough to take it away in one go? */
static bool batch_full(const struct bmem_client *client)
{
	unsigned long nr = READ_ONCE(client->nr_queued);

	return nr > READ_ONCE(bmem_cleanup_batch) ||
	       nr * WAIT_SHARE * BMEM_HUGE_PAGES > READ_ONCE(client->attached);
}

/* The worker is to look in @delay jiffies at the latest. */
static void deferred_by_locked(unsigned long delay)
{
	unsigned long at = jiffies + delay;

	lockdep_assert_held(&cleanup_lock);
	if (delayed_work_pending(&deferred_work) &&
	    time_after_eq(at, deferred_at))
		return;
	deferred_at = at;
	mod_delayed_work(cleanup_wq, &deferred_work, delay);
}

static void deferred_by(unsigned long delay)
{
	spin_lock(&cleanup_lock);
	deferred_by_locked(delay);
	spin_unlock(&cleanup_lock);
}

static void holder_add(struct bmem_client *client)
{
	spin_lock(&cleanup_lock);
	list_add_tail(&client->holder, &holders);
	/* What its pool was asked before is no business of what it has now. */
	client->urged = urgings;
	spin_unlock(&cleanup_lock);
}

static void giver_add(struct bmem_client *client)
{
	spin_lock(&cleanup_lock);
	list_add_tail(&client->giver.link, &givers);
	spin_unlock(&cleanup_lock);
}

/* It holds nothing any more that there would be something to say about. */
static void leave_locked(struct bmem_client *client)
{
	lockdep_assert_held(&cleanup_lock);
	list_del_init(&client->holder);
	list_del_init(&client->giver.link);
	client->urgency = URGENCY_DEFERRED;
	client->drop_cache = false;
}

static void holder_urge(struct bmem_client *client, u32 level)
{
	u8 urgency = level >= BMEM_PRESSURE_CRITICAL ? URGENCY_EMERGENCY :
						       URGENCY_IMMEDIATE;

	lockdep_assert_held(&cleanup_lock);
	client->urgency = max(client->urgency, urgency);
	if (level >= BMEM_PRESSURE_HIGH)
		client->drop_cache = true;
}

/* A pool is asked once, and each of its clients when it is looked at. */
static void catch_up(struct bmem_client *client)
{
	const u64 *urged = READ_ONCE(client->pool)->pressure.urged;
	u32 level = BMEM_PRESSURE_CRITICAL;

	lockdep_assert_held(&cleanup_lock);
	while (level > BMEM_PRESSURE_NONE && urged[level] <= client->urged)
		level--;
	client->urged = urgings;
	if (level > BMEM_PRESSURE_NONE)
		holder_urge(client, level);
}

/*
 * The worker is told when a client's first chunk is queued or cached: what
 * comes after leaves no earlier, and the worker finds out itself when that is.
 */
static void note_queued(struct bmem_client *client)
{
	bool first = client->nr_queued == 1;

	/* Its owner may have taken back what was enough before. */
	if (first)
		client->full = false;
	if (!client->full && batch_full(client)) {
		client->full = true;
		/* By a timer: whoever frees is not to wait for the worker. */
		deferred_by(1);
	} else if (first) {
		deferred_by(idle_jiffies());
	}
}

/**
 * bmem_cleanup_note() - a chunk has been cached or queued
 * @client: client, locked; whoever lets go of the lock calls
 *	bmem_cleanup_kick(), or it takes a little longer
 * @queued: which of the two
 */
void bmem_cleanup_note(struct bmem_client *client, bool queued)
{
	u32 level = READ_ONCE(client->pool->pressure.level);

	lockdep_assert_held(&client->lock);
	if (list_empty(&client->holder))
		holder_add(client);
	if (client->nr_surplus && list_empty(&client->giver.link))
		giver_add(client);
	if (unlikely(level >= BMEM_PRESSURE_HIGH)) {
		spin_lock(&cleanup_lock);
		holder_urge(client, level);
		spin_unlock(&cleanup_lock);
		WRITE_ONCE(client->kick, true);
	}
	if (queued)
		note_queued(client);
	else if (client->nr_cached == 1 && !client->cache_fixed)
		deferred_by(cache_jiffies());
}

/**
 * bmem_cleanup_now() - what is urgent is to go now
 */
void bmem_cleanup_now(void)
{
	queue_delayed_work(cleanup_wq, &urgent_work, 0);
}

/**
 * bmem_cleanup_forget() - a client dies, or leaves its pool
 * @client: client, locked
 */
void bmem_cleanup_forget(struct bmem_client *client)
{
	lockdep_assert_held(&client->lock);
	spin_lock(&cleanup_lock);
	leave_locked(client);
	spin_unlock(&cleanup_lock);
}

/* All that a pool's clients hold without a tensor has to go now. */
static void urge_all(struct bmem_pool *pool, u32 level)
{
	spin_lock(&cleanup_lock);
	pool->pressure.urged[level] = ++urgings;
	spin_unlock(&cleanup_lock);
}

/**
 * bmem_cleanup_urge() - a pool is under pressure
 * @pool: pool
 * @level: enum bmem_pressure_level
 */
void bmem_cleanup_urge(struct bmem_pool *pool, u32 level)
{
	urge_all(pool, level);
	bmem_cleanup_now();
}

/* ---- one client ------------------------------------------------------------------ */

/**
 * struct pass - the worker's look at all clients
 * @nr: its number
 * @urgent: for what is urgent alone
 * @start: when it began, by ktime_get_ns()
 * @pages: what went back
 * @pool: id of the pool that it was of, or %BMEM_EVENT_NO_POOL for several
 * @client: id of the client that it was of, or 0 for several
 * @uid: that client's user
 * @worst: the most urgent queue that was looked at
 * @missed: some were busy
 * @dated: of what waits something is due by itself,
 * @next: at this time first, in jiffies
 */
struct pass {
	u64 nr;
	bool urgent;
	u64 start;
	unsigned long pages;
	u32 pool;
	u64 client;
	kuid_t uid;
	u8 worst;
	bool missed;
	bool dated;
	unsigned long next;
};

static bool time_up(const struct pass *pass)
{
	return ktime_get_ns() - pass->start >=
	       (u64)READ_ONCE(bmem_cleanup_slice_us) * NSEC_PER_USEC;
}

static bool queue_due(const struct bmem_client *client)
{
	return READ_ONCE(client->nr_queued) &&
	       (batch_full(client) ||
		time_after_eq(jiffies, READ_ONCE(client->queued_at) +
				       idle_jiffies()));
}

/* What its owner did not ask for by its size. */
static bool cache_due(const struct bmem_client *client)
{
	return READ_ONCE(client->nr_cached) &&
	       !READ_ONCE(client->cache_fixed) &&
	       time_after_eq(jiffies, READ_ONCE(client->cached_at) +
				      cache_jiffies());
}

static bool client_due(const struct bmem_client *client, bool urgent)
{
	lockdep_assert_held(&cleanup_lock);
	if (urgent)
		return client->urgency > URGENCY_DEFERRED &&
		       (READ_ONCE(client->nr_queued) ||
			(client->drop_cache && READ_ONCE(client->nr_cached)));
	return queue_due(client) || cache_due(client);
}

static bool more_urgent(const struct bmem_client *a,
			const struct bmem_client *b)
{
	if (a->urgency != b->urgency)
		return a->urgency > b->urgency;
	return READ_ONCE(a->nr_queued) + READ_ONCE(a->nr_cached) >
	       READ_ONCE(b->nr_queued) + READ_ONCE(b->nr_cached);
}

/* When what a client holds is due by itself, for who looks next. */
static void note_date(struct pass *pass, const struct bmem_client *client)
{
	unsigned long at;

	if (READ_ONCE(client->nr_queued))
		at = READ_ONCE(client->queued_at) + idle_jiffies();
	else if (READ_ONCE(client->nr_cached) &&
		 !READ_ONCE(client->cache_fixed))
		at = READ_ONCE(client->cached_at) + cache_jiffies();
	else
		return;
	if (pass->dated && time_after_eq(at, pass->next))
		return;
	pass->dated = true;
	pass->next = at;
}

/* The pass is through with it: it is the last now, and the next are before. */
static void seen(struct pass *pass, struct bmem_client *client)
{
	lockdep_assert_held(&cleanup_lock);
	client->pass = pass->nr;
	list_move_tail(&client->holder, &holders);
}

/*
 * The best of those at the head, NULL when none is due.  True when some have
 * not been looked at yet: who comes meanwhile is behind those who have been,
 * and sees to it himself that there is another pass.
 */
static bool pick_some(struct pass *pass, struct bmem_client **best)
{
	struct bmem_client *client, *next;
	unsigned int nr = 0;

	lockdep_assert_held(&cleanup_lock);
	*best = NULL;
	list_for_each_entry_safe(client, next, &holders, holder) {
		if (client->pass >= pass->nr)
			return false;
		if (nr++ == PICK_MAX)
			return true;
		catch_up(client);
		if (!client_due(client, pass->urgent)) {
			note_date(pass, client);
			seen(pass, client);
		} else if (!*best || more_urgent(client, *best)) {
			*best = client;
		}
	}
	return false;
}

/* The next for this pass, for bmem_client_put(), or NULL. */
static struct bmem_client *pick(struct pass *pass, u8 *urgency)
{
	struct bmem_client *best;
	bool more;

	do {
		cond_resched();
		spin_lock(&cleanup_lock);
		more = pick_some(pass, &best);
		if (best) {
			*urgency = best->urgency;
			kref_get(&best->ref);
			seen(pass, best);
		}
		spin_unlock(&cleanup_lock);
	} while (!best && more);
	return best;
}

static bool lock_busy(struct bmem_client *client, u8 urgency)
{
	static const unsigned int tries[URGENCIES] = {
		[URGENCY_IMMEDIATE] = BUSY_IMMEDIATE,
		[URGENCY_EMERGENCY] = BUSY_EMERGENCY,
	};
	unsigned int i;

	for (i = 0; !mutex_trylock(&client->lock); i++) {
		if (i >= tries[urgency])
			return false;
		usleep_range(BUSY_US, 2 * BUSY_US);
	}
	return true;
}

/* Busy so often that it is more urgent from now on. */
static void escalate(struct bmem_client *client, u8 urgency)
{
	atomic64_inc(&figures[urgency].busy);
	if (++client->busy < RETRIES)
		return;
	client->busy = 0;
	spin_lock(&cleanup_lock);
	if (client->urgency < URGENCY_EMERGENCY) {
		client->urgency++;
		atomic64_inc(&figures[urgency].escalated);
	}
	spin_unlock(&cleanup_lock);
	bmem_cleanup_now();
}

static enum bmem_gain gain_of(const struct bmem_client *client, u8 urgency)
{
	unsigned long recalled = READ_ONCE(client->recalled_at);

	if (recalled && time_before(jiffies, recalled + RECALL_WINDOW))
		return BMEM_GAIN_RECALL;
	return BMEM_GAIN_DEFERRED + urgency;
}

static void count_wait(const struct bmem_client *client, u8 urgency)
{
	u64 us = div_u64(ktime_get_ns() - client->queued_ns, NSEC_PER_USEC);
	unsigned int bucket = us ? min(ilog2(us) + 1, WAIT_BUCKETS - 1) : 0;

	atomic64_inc(&figures[urgency].waits[bucket]);
}

/*
 * What was asked for is done: until the next time it is as any other.  Not when
 * more has been asked for meanwhile, for which an urgent pass comes next.
 */
static void settle_locked(struct bmem_client *client, u8 urgency,
			  bool drop_cache)
{
	lockdep_assert_held(&client->lock);
	client->full = false;
	spin_lock(&cleanup_lock);
	if (client->urgency == urgency && client->drop_cache == drop_cache) {
		client->urgency = URGENCY_DEFERRED;
		client->drop_cache = false;
	}
	if (!client->nr_queued && !client->nr_cached)
		leave_locked(client);
	spin_unlock(&cleanup_lock);
}

/* One hold of a client's lock.  True when there is more. */
static bool clean_slice(struct bmem_client *client, u8 urgency, bool cache,
			unsigned long *pages)
{
	struct bmem_pool *pool = client->pool;
	u64 escaped = client->escaped;

	lockdep_assert_held(&client->lock);
	if (client->nr_queued) {
		*pages = bmem_backing_flush(client, SLICE_CHUNKS);
		bmem_cleanup_gain(pool, gain_of(client, urgency), *pages);
		if (!client->nr_queued)
			count_wait(client, urgency);
	} else if (cache && client->nr_cached) {
		unsigned long keep = client->nr_cached -
				     min(client->nr_cached, SLICE_CHUNKS * 1UL);

		*pages = bmem_backing_trim(client, keep);
		bmem_cleanup_gain(pool, urgency ? BMEM_GAIN_PRESSURE :
						  BMEM_GAIN_CACHE, *pages);
	}
	atomic64_add(client->escaped - escaped, &figures[urgency].pinned);
	return client->nr_queued || (cache && client->nr_cached);
}

/* What went back is of one pool and client, or of several. */
static void pass_add(struct pass *pass, const struct bmem_client *client,
		     unsigned long pages)
{
	u32 pool = client->pool->id;

	if (!pages)
		return;
	if (!pass->pages) {
		pass->pool = pool;
		pass->client = client->who.id;
		pass->uid = client->who.uid;
	}
	if (pass->pool != pool)
		pass->pool = BMEM_EVENT_NO_POOL;
	if (pass->client != client->who.id)
		pass->client = 0;
	pass->pages += pages;
}

/* False when the pass's time is up. */
static bool clean(struct pass *pass, struct bmem_client *client, u8 urgency)
{
	bool drop_cache = READ_ONCE(client->drop_cache), more;
	bool cache = urgency ? drop_cache : cache_due(client);

	pass->worst = max(pass->worst, urgency);
	do {
		unsigned long pages = 0;

		if (!lock_busy(client, urgency)) {
			pass->missed = true;
			escalate(client, urgency);
			return true;
		}
		client->busy = 0;
		more = false;
		if (!client->dead) {
			more = clean_slice(client, urgency, cache, &pages);
			pass_add(pass, client, pages);
			if (!more)
				settle_locked(client, urgency, drop_cache);
		}
		mutex_unlock(&client->lock);
		cond_resched();
		if (time_up(pass))
			return false;
	} while (more);
	return true;
}

/* ---- passes ------------------------------------------------------------------------ */

static void count_pass(const struct pass *pass, bool yielded, u64 ns)
{
	struct queue_figures *f = &figures[pass->worst];

	atomic64_inc(&f->passes);
	if (yielded)
		atomic64_inc(&f->yields);
	if (ns > atomic64_read(&f->longest))
		atomic64_set(&f->longest, ns);
}

static void tell_pass(const struct pass *pass, u64 ns, u64 cause)
{
	struct bmem_event_note note = {
		.type = BMEM_EVENT_CLEANUP_DONE,
		.pool = pass->pool,
		.client = pass->client,
		.uid = pass->uid,
		.level = pass->worst,
		.bytes = bmem_bytes(pass->pages),
		.arg = ns,
		.cause = cause,
	};

	bmem_event_raise(&note);
}

/* False when its time was up. */
static bool run_pass(struct pass *pass, u64 cause)
{
	struct bmem_client *client;
	bool through = true;
	u8 urgency;
	u64 ns;

	pass->start = ktime_get_ns();
	pass->nr = atomic64_inc_return(&passes);
	while (through && (client = pick(pass, &urgency))) {
		through = clean(pass, client, urgency);
		note_date(pass, client);
		bmem_client_put(client);
	}
	ns = ktime_get_ns() - pass->start;
	count_pass(pass, !through, ns);
	if (pass->pages)
		tell_pass(pass, ns, cause);
	return through;
}

static void urgent_run(struct work_struct *work)
{
	struct pass pass = { .urgent = true };

	if (!run_pass(&pass, READ_ONCE(urgent_cause)))
		bmem_cleanup_now();
	else if (pass.missed)
		queue_delayed_work(cleanup_wq, &urgent_work, 1);
	else
		WRITE_ONCE(urgent_cause, 0);
}

static void deferred_again(const struct pass *pass, bool soon)
{
	unsigned long now = jiffies;

	if (soon)
		deferred_by(1);
	else if (pass->dated)
		deferred_by(time_after(pass->next, now) ? pass->next - now : 1);
}

static void deferred_run(struct work_struct *work)
{
	struct pass pass = { 0 };
	bool through = run_pass(&pass, 0);

	deferred_again(&pass, !through || pass.missed);
}

/* ---- for others ---------------------------------------------------------------------- */

/*
 * The next behind @at, for bmem_client_put(), or NULL.  Nobody is missed: who
 * walks at the same time has a place of his own.
 */
static struct bmem_client *giver_next(struct giver *at)
{
	struct bmem_client *client = NULL;
	struct giver *next = at;

	spin_lock(&cleanup_lock);
	list_for_each_entry_continue(next, &givers, link) {
		if (next->walker)
			continue;
		client = container_of(next, struct bmem_client, giver);
		kref_get(&client->ref);
		list_move(&at->link, &next->link);
		break;
	}
	spin_unlock(&cleanup_lock);
	return client;
}

static void giver_walk(struct giver *at)
{
	spin_lock(&cleanup_lock);
	list_add(&at->link, &givers);
	spin_unlock(&cleanup_lock);
}

static void giver_drop(struct giver *at)
{
	spin_lock(&cleanup_lock);
	list_del_init(&at->link);
	spin_unlock(&cleanup_lock);
}

/**
 * bmem_cleanup_flush() - give back all that is queued
 *
 * Waits for clients that are busy.  A fatal signal ends it.
 */
void bmem_cleanup_flush(void)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;
	unsigned long pages;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		if (!bmem_client_lock(client, NULL)) {
			pages = bmem_backing_flush(client, ULONG_MAX);
			bmem_cleanup_gain(client->pool, BMEM_GAIN_TRIM, pages);
			mutex_unlock(&client->lock);
		}
		bmem_client_put(client);
		if (fatal_signal_pending(current))
			return;
		cond_resched();
	}
}

static unsigned long reclaim_from(struct bmem_client *client,
				  unsigned long pages, enum bmem_gain gain,
				  unsigned int *tries)
{
	unsigned long got = bmem_backing_reclaim(client, pages, tries);

	bmem_cleanup_gain(client->pool, gain, got);
	/* Until it has something again. */
	if (!client->nr_surplus)
		giver_drop(&client->giver);
	return got;
}

/**
 * bmem_cleanup_reclaim() - give cached and queued pages back to the system
 * @pages: how many are wanted
 * @gain: what to count them as
 * @busy: out: a client was passed over
 *
 * For reclaim: takes no memory, and passes over clients that are busy.
 *
 * Return: how many went back.
 */
unsigned long bmem_cleanup_reclaim(unsigned long pages, enum bmem_gain gain,
				   bool *busy)
{
	struct giver at = { .walker = true };
	unsigned int tries = BMEM_IDLE_TRIES;
	struct bmem_client *client;
	unsigned long got = 0;

	*busy = false;
	giver_walk(&at);
	while (got < pages && (client = giver_next(&at))) {
		if (mutex_trylock(&client->lock)) {
			if (!client->dead)
				got += reclaim_from(client, pages - got, gain,
						    &tries);
			mutex_unlock(&client->lock);
		} else {
			*busy = true;
		}
		bmem_client_put(client);
		cond_resched();
	}
	giver_drop(&at);
	return got;
}

/* ---- the rule ------------------------------------------------------------------------ */

/* Pressure above 80 % makes cleanup immediate, whatever was queued before. */
static void obey_pressure(const struct bmem_event_record *rec)
{
	static struct bmem_rule rule;
	struct bmem_pool *pool;

	if (rec->event.level < BMEM_PRESSURE_HIGH ||
	    !bmem_rule_claim(&rule, rec->cause))
		return;
	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(rec->event.pool);
	if (pool)
		urge_all(pool, rec->event.level);
	mutex_unlock(&bmem_registry_lock);
	WRITE_ONCE(urgent_cause, rec->cause);
	bmem_cleanup_now();
}

static struct bmem_subscriber pressure_rule = {
	.handle = obey_pressure,
	.types = BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE),
};

/* ---- debugfs --------------------------------------------------------------------------- */

static const char * const urgencies[URGENCIES] = {
	[URGENCY_DEFERRED] = "deferred",
	[URGENCY_IMMEDIATE] = "immediate",
	[URGENCY_EMERGENCY] = "emergency",
};

static const char * const causes[BMEM_GAINS] = {
	[BMEM_GAIN_DEFERRED] = "deferred",
	[BMEM_GAIN_IMMEDIATE] = "immediate",
	[BMEM_GAIN_EMERGENCY] = "emergency",
	[BMEM_GAIN_CACHE] = "cache",
	[BMEM_GAIN_PRESSURE] = "pressure",
	[BMEM_GAIN_RECALL] = "recall",
	[BMEM_GAIN_RESERVE] = "reserve",
	[BMEM_GAIN_SHRINK] = "shrink",
	[BMEM_GAIN_OOM] = "oom",
	[BMEM_GAIN_TRIM] = "trim",
	[BMEM_GAIN_REUSED] = "reused",
};

/**
 * struct depth - what is in a queue
 * @clients: clients
 * @chunks: chunks
 */
struct depth {
	unsigned long clients;
	unsigned long chunks;
};

static void sum_depth(struct bmem_client *client, struct depth *depths)
{
	unsigned long nr = READ_ONCE(client->nr_queued);

	if (!nr)
		return;
	spin_lock(&cleanup_lock);
	if (!list_empty(&client->holder)) {
		catch_up(client);
		depths[client->urgency].clients++;
		depths[client->urgency].chunks += nr;
	}
	spin_unlock(&cleanup_lock);
}

static void sum_depths(struct depth *depths, unsigned long *cached)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		*cached += READ_ONCE(client->nr_cached);
		sum_depth(client, depths);
		bmem_client_put(client);
		cond_resched();
	}
}

static void show_queue(struct seq_file *m, unsigned int i,
		       const struct depth *d)
{
	struct queue_figures *f = &figures[i];
	const char *name = urgencies[i];
	unsigned int b;

	seq_printf(m, "%s_clients: %lu\n", name, d->clients);
	seq_printf(m, "%s_bytes: %llu\n", name, (u64)d->chunks * BMEM_HUGE_SIZE);
	seq_printf(m, "%s_passes: %lld\n", name, atomic64_read(&f->passes));
	seq_printf(m, "%s_yields: %lld\n", name, atomic64_read(&f->yields));
	seq_printf(m, "%s_longest_ns: %lld\n", name,
		   atomic64_read(&f->longest));
	seq_printf(m, "%s_busy: %lld\n", name, atomic64_read(&f->busy));
	seq_printf(m, "%s_escalated: %lld\n", name,
		   atomic64_read(&f->escalated));
	seq_printf(m, "%s_pinned_bytes: %llu\n", name,
		   bmem_bytes(atomic64_read(&f->pinned)));
	seq_printf(m, "%s_waits_us:", name);
	for (b = 0; b < WAIT_BUCKETS; b++)
		if (atomic64_read(&f->waits[b]))
			seq_printf(m, " <%lu:%lld", BIT(b),
				   atomic64_read(&f->waits[b]));
	seq_putc(m, '\n');
}

/**
 * bmem_cleanup_show() - print the file "cleanup"
 * @m: where to
 */
void bmem_cleanup_show(struct seq_file *m)
{
	struct depth depths[URGENCIES] = {};
	unsigned long cached = 0;
	u64 recalls, waits;
	unsigned int i;

	sum_depths(depths, &cached);
	bmem_pressure_system(&recalls, &waits);
	for (i = 0; i < URGENCIES; i++)
		show_queue(m, i, &depths[i]);
	seq_printf(m, "cached_bytes: %llu\n", (u64)cached * BMEM_HUGE_SIZE);
	seq_printf(m, "surplus_bytes: %llu\n",
		   bmem_bytes(atomic_long_read(&bmem_surplus_pages)));
	seq_printf(m, "lent_bytes: %llu\n",
		   bmem_bytes(max(atomic_long_read(&bmem_lent_pages), 0L)));
	seq_printf(m, "system_recalls: %llu\n", recalls);
	seq_printf(m, "system_waits: %llu\n", waits);
	for (i = 0; i < BMEM_GAINS; i++)
		seq_printf(m, "gained_%s_bytes: %llu\n", causes[i],
			   bmem_bytes(atomic64_read(&gains[i])));
}

/**
 * bmem_cleanup_start() - make the workers
 *
 * Return: 0 or a negative errno.
 */
int bmem_cleanup_start(void)
{
	int rc;

	/* One pass at a time: both look at the same clients. */
	cleanup_wq = alloc_ordered_workqueue("bmem_cleanup", WQ_MEM_RECLAIM);
	if (!cleanup_wq)
		return -ENOMEM;
	rc = bmem_event_subscribe(&pressure_rule);
	if (rc)
		destroy_workqueue(cleanup_wq);
	return rc;
}

/**
 * bmem_cleanup_stop() - stop them; no client is left
 */
void bmem_cleanup_stop(void)
{
	bmem_event_unsubscribe(&pressure_rule);
	cancel_delayed_work_sync(&urgent_work);
	cancel_delayed_work_sync(&deferred_work);
	destroy_workqueue(cleanup_wq);
}
