// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pressure: how much of its limit a pool has out, and what is done about it.
 *
 * Whoever takes from or gives to a pool compares what it has out with the two
 * bounds of its level; only one that crosses a bound does more, and wakes a
 * worker.  A level is left downwards only some percent below where it was
 * entered, so that a program at its edge does not make it flap.
 *
 * What a level asks for, in this order, each on top of those before:
 *
 *	raised		free pages beyond the reservation go to the system; what
 *			is queued goes back without waiting for more
 *	high		what clients cache for their next tensors goes back, and
 *			from now on nothing is cached
 *	severe		clients are asked for idle memory: stashes, magazines,
 *			large tensors that only the library keeps
 *	critical	compaction is asked for, by an event; cleanup waits for
 *			clients that are busy
 *
 * From high on that comes by way of the event, as for every subscriber.
 *
 * Each step's gain is counted for itself, see enum bmem_gain: "reserve" at
 * raised; "immediate" and, from critical on, "emergency" what was queued;
 * "pressure" what was cached; "recall" what clients gave back within a second
 * of having been asked.
 *
 * Of the system's pressure a module learns from its shrinker alone.  When it has
 * been asked lately, all clients of all pools are asked for idle memory: shrink.c
 * says in which order what goes.  Of PSI
 * only the means to report stalls are exported, neither figures nor triggers.
 * They are not used: who waits for a pool's limit is not short of the system's
 * memory, and what kills by PSI would think so.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/nodemask.h>
#include <linux/nospec.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"

/* While a pool is pressed its trend is brought up to date so often. */
#define SAMPLE_MS	1000
/* Clients are asked for idle memory at most so often. */
#define RECALL_MS	1000

unsigned int bmem_pressure_hysteresis = 2;
unsigned int bmem_pressure_cooldown_ms = 100;

/* Percentages above which a level is entered; four bytes, changed at once. */
#define LEVEL_BITS	8
static u32 level_percents = 70 | 80 << 8 | 90 << 16 | 95U << 24;

static void pressure_run(struct work_struct *work);

static struct workqueue_struct *pressure_wq;
static DECLARE_DELAYED_WORK(pressure_work, pressure_run);

/* The shrinker was asked; and somebody is about to be killed. */
static bool system_asked;
static bool system_last;
static unsigned long system_recalled;
static atomic64_t system_recalls = ATOMIC64_INIT(0);
/* Times that it was about to kill, and clients had time to answer first. */
static atomic64_t system_waits = ATOMIC64_INIT(0);

/* ---- levels ------------------------------------------------------------------- */

static unsigned int percent_of(u32 level)
{
	u32 percents = READ_ONCE(level_percents);

	return percents >> (level - 1) * LEVEL_BITS & 0xff;
}

/* Pages held beyond which a level is entered. */
static unsigned long enter_above(unsigned long limit, u32 level)
{
	return mul_u64_u64_div_u64(limit, percent_of(level), 100);
}

/* Pages held up to which it is left. */
static unsigned long leave_at(unsigned long limit, u32 level)
{
	unsigned int percent = percent_of(level);

	percent -= min(percent, READ_ONCE(bmem_pressure_hysteresis));
	return mul_u64_u64_div_u64(limit, percent, 100);
}

static u32 level_of(unsigned long held, unsigned long limit, u32 level)
{
	while (level < BMEM_PRESSURE_CRITICAL &&
	       held > enter_above(limit, level + 1))
		level++;
	while (level > BMEM_PRESSURE_NONE && held <= leave_at(limit, level))
		level--;
	return level;
}

static void set_bounds(struct bmem_pool *pool)
{
	struct pool_pressure *p = &pool->pressure;

	p->rise_above = p->level == BMEM_PRESSURE_CRITICAL ? ULONG_MAX :
			enter_above(pool->limit, p->level + 1);
	p->fall_below = p->level == BMEM_PRESSURE_NONE ? 0 :
			leave_at(pool->limit, p->level) + 1;
}

/**
 * bmem_pressure_cross() - a bound may have been crossed, or has moved
 * @pool: pool, its lock held
 */
void bmem_pressure_cross(struct bmem_pool *pool)
{
	struct pool_pressure *p = &pool->pressure;
	u32 level = level_of(bmem_pool_out(pool), pool->limit, p->level);
	u64 now;

	if (level != p->level) {
		now = ktime_get_ns();
		p->ns[p->level] += now - p->since;
		p->since = now;
		p->entered[level]++;
		WRITE_ONCE(p->level, level);
		/* Not when it would have looked again anyway. */
		mod_delayed_work(pressure_wq, &pressure_work, 0);
	}
	set_bounds(pool);
}

/**
 * bmem_pressure_init() - a pool that is being made
 * @pool: pool with its limit, that nobody else knows
 */
void bmem_pressure_init(struct bmem_pool *pool)
{
	pool->pressure.since = ktime_get_ns();
	pool->pressure.sampled = pool->pressure.since;
	pool->pressure.entered[BMEM_PRESSURE_NONE] = 1;
	set_bounds(pool);
}

static void cross_one(struct bmem_pool *pool, void *unused)
{
	spin_lock(&pool->lock);
	bmem_pressure_cross(pool);
	spin_unlock(&pool->lock);
}

/**
 * bmem_pressure_changed() - percentages are others now
 */
void bmem_pressure_changed(void)
{
	bmem_pools_each(cross_one, NULL);
}

/* ---- parameter ---------------------------------------------------------------- */

/**
 * bmem_pressure_set_levels() - other percentages
 * @val: four of them, 1 to 100, growing, with commas between them
 *
 * Return: 0 or -EINVAL, and nothing has changed.
 */
int bmem_pressure_set_levels(const char *val)
{
	unsigned int p[BMEM_PRESSURE_CRITICAL], i;
	int used = 0;

	if (sscanf(val, "%3u,%3u,%3u,%3u%n", &p[0], &p[1], &p[2], &p[3],
		   &used) != BMEM_PRESSURE_CRITICAL || !used)
		return -EINVAL;
	if (val[used] == '\n')
		used++;
	if (val[used])
		return -EINVAL;
	for (i = 0; i < BMEM_PRESSURE_CRITICAL; i++)
		if (p[i] > 100 || p[i] <= (i ? p[i - 1] : 0))
			return -EINVAL;
	WRITE_ONCE(level_percents, p[0] | p[1] << 8 | p[2] << 16 | p[3] << 24);
	bmem_pressure_changed();
	return 0;
}

/**
 * bmem_pressure_get_levels() - what they are
 * @buffer: out, a page
 *
 * Return: its length.
 */
int bmem_pressure_get_levels(char *buffer)
{
	return sysfs_emit(buffer, "%u,%u,%u,%u\n",
			  percent_of(BMEM_PRESSURE_RAISED),
			  percent_of(BMEM_PRESSURE_HIGH),
			  percent_of(BMEM_PRESSURE_SEVERE),
			  percent_of(BMEM_PRESSURE_CRITICAL));
}

/* ---- the worker --------------------------------------------------------------- */

/**
 * struct look - what a look at all pools has found
 * @again: in so many milliseconds another look is due, 0 for never
 * @nr: entries in @recall
 * @recall: pools whose clients are to be asked; only compared with
 */
struct look {
	unsigned int again;
	unsigned int nr;
	struct bmem_pool *recall[BMEM_POOLS_MAX];
};

static void look_again(struct look *look, unsigned int ms)
{
	if (!look->again || ms < look->again)
		look->again = ms;
}

static bool passed(unsigned long since, unsigned int ms)
{
	return time_after_eq(jiffies, since + msecs_to_jiffies(ms));
}

static void sample(struct bmem_pool *pool)
{
	struct pool_pressure *p = &pool->pressure;
	u64 now = ktime_get_ns();
	s64 ms = div_s64(now - p->sampled, NSEC_PER_MSEC);
	s64 by;

	if (ms < SAMPLE_MS)
		return;
	by = (s64)bmem_pool_out(pool) - (s64)p->sample;
	p->trend = (p->trend + div64_s64(by * MSEC_PER_SEC, ms)) / 2;
	p->sample = bmem_pool_out(pool);
	p->sampled = now;
}

static void tell(struct bmem_pool *pool, u32 type, u32 level, u64 held, u32 was)
{
	struct bmem_event_note note = {
		.type = type,
		.pool = pool->id,
		.level = level,
		.bytes = bmem_bytes(held),
		.arg = was,
	};

	bmem_event_raise(&note);
}

/*
 * More pressure than was told last is told at once; less, or the same again
 * after less, when the last is some time ago.
 */
static void tell_level(struct bmem_pool *pool, u32 level, u64 held,
		       struct look *look)
{
	unsigned int cooldown = READ_ONCE(bmem_pressure_cooldown_ms), ago;
	struct pool_pressure *p = &pool->pressure;

	if (level == p->told)
		return;
	ago = jiffies_to_msecs(jiffies - p->told_at);
	if (level < p->told && ago < cooldown) {
		look_again(look, cooldown - ago + 1);
		return;
	}
	tell(pool, BMEM_EVENT_PRESSURE, level, held, p->told);
	p->told = level;
	p->told_at = jiffies;
	p->events++;
}

static void act(struct bmem_pool *pool, u32 level, u64 held,
		struct look *look)
{
	struct pool_pressure *p = &pool->pressure;
	bool rose = level > p->acted;

	p->acted = level;
	if (rose && level >= BMEM_PRESSURE_RAISED) {
		bmem_cleanup_gain(pool, BMEM_GAIN_RESERVE,
				  bmem_pool_drain(pool));
		bmem_cleanup_urge(pool, level);
	}
	if (level >= BMEM_PRESSURE_SEVERE) {
		if (!p->recalls || passed(p->recalled_at, RECALL_MS)) {
			p->recalled_at = jiffies;
			p->recalls++;
			look->recall[look->nr++] = pool;
		}
		/* Who holds on to idle memory is asked again. */
		look_again(look, RECALL_MS);
	}
	if (rose && level == BMEM_PRESSURE_CRITICAL) {
		p->compactions++;
		tell(pool, BMEM_EVENT_COMPACT_WANTED, level, held, 0);
	}
}

static void look_at(struct bmem_pool *pool, void *arg)
{
	struct look *look = arg;
	u64 held;
	u32 level;

	spin_lock(&pool->lock);
	sample(pool);
	level = pool->pressure.level;
	held = bmem_pool_out(pool);
	spin_unlock(&pool->lock);
	tell_level(pool, level, held, look);
	act(pool, level, held, look);
	if (level)
		look_again(look, SAMPLE_MS);
}

static void ask_all(struct look *look)
{
	if (!xchg(&system_asked, false))
		return;
	if (!xchg(&system_last, false) && !passed(system_recalled, RECALL_MS)) {
		WRITE_ONCE(system_asked, true);
		look_again(look, RECALL_MS);
		return;
	}
	system_recalled = jiffies;
	atomic64_inc(&system_recalls);
	bmem_clients_recall(NULL);
}

static void pressure_run(struct work_struct *work)
{
	/* Of one work: never twice at a time. */
	static struct look look;
	unsigned int i;

	look.again = 0;
	look.nr = 0;
	bmem_pools_each(look_at, &look);
	for (i = 0; i < look.nr; i++)
		bmem_clients_recall(look.recall[i]);
	ask_all(&look);
	if (look.again)
		queue_delayed_work(pressure_wq, &pressure_work,
				   msecs_to_jiffies(look.again));
}

/**
 * bmem_pressure_of_system() - the system has asked for memory
 * @last: for the last time: clients are asked whenever they were before
 *
 * From reclaim.
 */
void bmem_pressure_of_system(bool last)
{
	if (last)
		WRITE_ONCE(system_last, true);
	else if (READ_ONCE(system_asked))
		return;
	WRITE_ONCE(system_asked, true);
	mod_delayed_work(pressure_wq, &pressure_work, 0);
}

/**
 * bmem_pressure_count_wait() - clients are waited for before the system kills
 */
void bmem_pressure_count_wait(void)
{
	atomic64_inc(&system_waits);
}

/* ---- reports ------------------------------------------------------------------- */

/**
 * bmem_pressure_system() - what the system's pressure has led to
 * @recalls: out, times that all clients were asked for idle memory
 * @waits: out, times that they were waited for before a kill
 */
void bmem_pressure_system(u64 *recalls, u64 *waits)
{
	*recalls = atomic64_read(&system_recalls);
	*waits = atomic64_read(&system_waits);
}

static u32 permille_of(u64 held, u64 limit)
{
	u64 permille = div64_u64(held * 1000 + limit - 1, max(limit, 1ULL));

	return min_t(u64, permille, U32_MAX);
}

static void node_figures(struct bmem_pool *pool, int nid,
			 struct bmem_pressure *cmd)
{
	const struct bmem_node *node = &pool->nodes[nid];
	unsigned long limit = min(pool->limit, node_present_pages(nid));
	unsigned long held = node->attached + node->escaped;

	cmd->held_bytes = bmem_bytes(held);
	cmd->limit_bytes = bmem_bytes(limit);
	cmd->level = level_of(held, limit, BMEM_PRESSURE_NONE);
}

static u64 chunk_bytes(const atomic_long_t *chunks)
{
	return (u64)atomic_long_read(chunks) * BMEM_HUGE_SIZE;
}

static void figures(struct bmem_pool *pool, struct bmem_pressure *cmd)
{
	struct pool_pressure *p = &pool->pressure;
	u64 now = ktime_get_ns(), ns;
	unsigned int i;

	spin_lock(&pool->lock);
	sample(pool);
	cmd->level = p->level;
	cmd->held_bytes = bmem_bytes(bmem_pool_out(pool));
	cmd->limit_bytes = bmem_bytes(pool->limit);
	if (cmd->flags & BMEM_STATS_NODE)
		node_figures(pool, array_index_nospec(cmd->nid, nr_node_ids),
			     cmd);
	cmd->trend = p->trend * (s64)PAGE_SIZE;
	for (i = 0; i < BMEM_PRESSURE_LEVELS; i++) {
		ns = p->ns[i] + (i == p->level ? now - p->since : 0);
		cmd->level_ms[i] = div_u64(ns, NSEC_PER_MSEC);
		cmd->entered[i] = p->entered[i];
	}
	spin_unlock(&pool->lock);
	cmd->permille = permille_of(cmd->held_bytes, cmd->limit_bytes);
	cmd->events = READ_ONCE(p->events);
	cmd->recalls = READ_ONCE(p->recalls);
	cmd->compactions = READ_ONCE(p->compactions);
	for (i = 0; i < BMEM_GAINS; i++)
		cmd->gained_bytes[i] = bmem_bytes(atomic64_read(&p->gains[i]));
	cmd->queued_bytes = chunk_bytes(&p->queued);
	cmd->cached_bytes = chunk_bytes(&p->cached);
}

/**
 * bmem_pressure_query() - BMEM_PRESSURE
 * @client: caller
 * @cmd: as in the ABI; all but the in fields is overwritten
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_pressure_query(struct bmem_client *client, struct bmem_pressure *cmd)
{
	struct bmem_pressure in = *cmd;
	struct bmem_pool *pool;
	int rc;

	rc = bmem_pool_node_check(in.flags, in.nid);
	if (rc)
		return rc;
	*cmd = (struct bmem_pressure){
		.size = in.size, .flags = in.flags, .pool = in.pool,
		.nid = in.nid,
	};
	mutex_lock(&bmem_registry_lock);
	pool = bmem_pool_find(in.pool);
	if (pool)
		figures(pool, cmd);
	mutex_unlock(&bmem_registry_lock);
	return pool ? 0 : -ENOENT;
}

static const char * const levels[BMEM_PRESSURE_LEVELS] = {
	[BMEM_PRESSURE_NONE] = "none",
	[BMEM_PRESSURE_RAISED] = "raised",
	[BMEM_PRESSURE_HIGH] = "high",
	[BMEM_PRESSURE_SEVERE] = "severe",
	[BMEM_PRESSURE_CRITICAL] = "critical",
};

static void show_row(struct bmem_pool *pool, int nid, struct seq_file *m)
{
	struct bmem_pressure now = {
		.flags = nid < 0 ? 0 : BMEM_STATS_NODE,
		.nid = nid < 0 ? 0 : nid,
	};
	unsigned int i;

	figures(pool, &now);
	seq_printf(m, "%u %s ", pool->id, pool->name);
	if (nid < 0)
		seq_puts(m, "all");
	else
		seq_printf(m, "%d", nid);
	seq_printf(m, " %s %u %llu %llu %llu %llu %lld %llu %llu %llu",
		   levels[now.level], now.permille, now.held_bytes,
		   now.limit_bytes, now.queued_bytes, now.cached_bytes,
		   now.trend, now.events, now.recalls, now.compactions);
	for (i = 0; i < BMEM_PRESSURE_LEVELS; i++)
		seq_printf(m, " %llu", now.level_ms[i]);
	for (i = 0; i < BMEM_PRESSURE_LEVELS; i++)
		seq_printf(m, " %llu", now.entered[i]);
	seq_putc(m, '\n');
}

static void show_pool(struct bmem_pool *pool, void *m)
{
	int nid;

	show_row(pool, -1, m);
	if (num_node_state(N_MEMORY) == 1)
		return;
	for_each_node_state(nid, N_MEMORY)
		show_row(pool, nid, m);
}

/**
 * bmem_pressure_show() - print the file "pressure"
 * @m: where to
 */
void bmem_pressure_show(struct seq_file *m)
{
	seq_puts(m, "# id name node level permille held limit queued cached trend events recalls compactions none_ms raised_ms high_ms severe_ms critical_ms none raised high severe critical\n");
	bmem_pools_each(show_pool, m);
}

/**
 * bmem_pressure_start() - make the worker
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_pressure_start(void)
{
	pressure_wq = alloc_ordered_workqueue("bmem_pressure", WQ_MEM_RECLAIM);
	return pressure_wq ? 0 : -ENOMEM;
}

/**
 * bmem_pressure_stop() - stop it; no pool is left
 *
 * Parameters may be written to until the module is gone: what they change they
 * look for in pools.
 */
void bmem_pressure_stop(void)
{
	cancel_delayed_work_sync(&pressure_work);
	destroy_workqueue(pressure_wq);
}
