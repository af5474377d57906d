// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks: rounds of detectors, and what becomes of what they find.
 *
 * A tensor that a detector finds is a suspect; those of one kind and call site
 * together are a finding, which is what users see.  In a round a detector finds
 * all that there is, and what it does not find any more is cleared at the end
 * of the round, unless the round was cut short.  A suspect that is still one
 * after a delay is confirmed.
 *
 * No tensor is told of twice: it is of the kind that suspected it first, and
 * what other kinds have to say of it is evidence there.  When the first does not
 * find it any more, another has it from its next round on.  A finding of a whole
 * site counts what the findings of the site's tensors do not.
 *
 * Rounds are run by whoever asks for one, and by a worker: for suspects that
 * are to be looked at again, for kinds that something happened to, and
 * periodically.  Figures of findings are made anew at the end of each round,
 * beside the old ones, while others go on with the client between two slices.
 */
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"
#include "trace.h"

/* Suspects of one client. */
#define SUSPECTS_MAX	1048576U

/* Suspects that are looked at in one hold of a client's lock. */
#define SLICE_SUSPECTS	1024

/* The worker looks at least so often, in milliseconds, while it has to. */
#define WORK_MS_MIN	10
#define WORK_MS_MAX	60000

/* A client that is busy is let alone for so long. */
#define BUSY_MS		1000

/* All clients together get 1 / WORK_SHARE of the worker's time. */
#define WORK_SHARE	10

unsigned int bmem_leak_age_ms = 5000;
unsigned int bmem_leak_delay_ms = 5000;
unsigned int bmem_leak_round_ms = 30000;

static const struct leak_detector * const detectors[] = {
	&bmem_leak_unref,
	&bmem_leak_cycle,
	&bmem_leak_growth,
	&bmem_leak_unreached,
};

static void leak_work(struct work_struct *work);

static struct kmem_cache *suspect_cache;
static struct workqueue_struct *leak_wq;
static DECLARE_DELAYED_WORK(leak_dwork, leak_work);
static atomic64_t last_finding = ATOMIC64_INIT(0);

/* What "scan=SECONDS" and "off" said. */
static unsigned int scan_period;
static bool leaks_off;

/* The worker's, while it looks at clients; taken first. */
static DEFINE_MUTEX(pass_lock);

/**
 * struct leak_sums - what there is of a finding
 * @tensors: suspects
 * @bytes: what they asked for
 * @confirmed_tensors: confirmed suspects
 * @confirmed_bytes: what those asked for
 * @oldest: when the oldest was born, or since when a site grows
 * @slope: of a site
 * @evidence: of all
 * @confidence: of the least sure
 * @nr_samples: entries in @samples
 * @samples: handles of the first
 */
struct leak_sums {
	u64 tensors;
	u64 bytes;
	u64 confirmed_tensors;
	u64 confirmed_bytes;
	u64 oldest;
	u64 slope;
	u32 evidence;
	u8 confidence;
	u8 nr_samples;
	u64 samples[BMEM_LEAK_SAMPLES];
};

/**
 * struct leak_finding - suspects of one kind and site
 * @node: link in leak_table.by_site
 * @link: link in leak_table.findings
 * @id: number
 * @kind: enum bmem_leak_kind
 * @site: number of the site
 * @state: enum bmem_leak_state; 0 until it has been published
 * @ignored: of a whole site: the user does not want to be told of it again
 * @first_seen: when it was made
 * @checked: when @sums were made
 * @serial: round that @next is of
 * @sums: what is published
 * @next: what is being added up
 */
struct leak_finding {
	struct rb_node node;
	struct list_head link;
	u64 id;
	u32 kind;
	u32 site;
	u32 state;
	bool ignored;
	u64 first_seen;
	u64 checked;
	u64 serial;
	struct leak_sums sums;
	struct leak_sums next;
};

static const struct leak_detector *detector_of(u32 kind)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(detectors); i++)
		if (detectors[i]->kind == kind)
			return detectors[i];
	return NULL;
}

/* ---- findings --------------------------------------------------------------- */

static int key_cmp(u64 first, u64 second, u64 of_first, u64 of_second)
{
	if (first != of_first)
		return first < of_first ? -1 : 1;
	if (second != of_second)
		return second < of_second ? -1 : 1;
	return 0;
}

static struct leak_finding *finding_find(const struct leak_table *table,
					 u32 kind, u32 site)
{
	struct rb_node *node = table->by_site.rb_node;
	struct leak_finding *f;
	int cmp;

	while (node) {
		f = rb_entry(node, struct leak_finding, node);
		cmp = key_cmp(kind, site, f->kind, f->site);
		if (!cmp)
			return f;
		node = cmp < 0 ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static struct leak_finding *finding_make(struct leak_table *table, u32 kind,
					 u32 site, u64 now)
{
	struct leak_finding *f;

	if (table->nr_findings >= BMEM_LEAKS_MAX)
		return NULL;
	f = kzalloc(sizeof(*f), GFP_BMEM_META);
	if (!f)
		return NULL;
	f->kind = kind;
	f->site = site;
	f->first_seen = now;
	f->id = atomic64_inc_return(&last_finding);
	list_add_tail(&f->link, &table->findings);
	table->nr_findings++;
	return f;
}

/* NULL when there is no room for it, or no memory. */
static struct leak_finding *finding_get(struct leak_table *table, u32 kind,
					u32 site, u64 now)
{
	struct rb_node **link = &table->by_site.rb_node, *parent = NULL;
	struct leak_finding *f;
	int cmp;

	while (*link) {
		parent = *link;
		f = rb_entry(parent, struct leak_finding, node);
		cmp = key_cmp(kind, site, f->kind, f->site);
		if (!cmp)
			return f;
		link = cmp < 0 ? &parent->rb_left : &parent->rb_right;
	}
	f = finding_make(table, kind, site, now);
	if (!f)
		return NULL;
	rb_link_node(&f->node, parent, link);
	rb_insert_color(&f->node, &table->by_site);
	return f;
}

static void finding_remove(struct leak_table *table, struct leak_finding *f)
{
	rb_erase(&f->node, &table->by_site);
	list_del(&f->link);
	table->nr_findings--;
	kfree(f);
}

/* What is published of a finding, but for what others tell of. */
static void finding_own(const struct leak_table *table,
			const struct leak_finding *f, struct leak_sums *own)
{
	const struct leak_finding *other;
	unsigned int i;

	*own = f->sums;
	if (!detector_of(f->kind)->sites)
		return;
	for (i = 0; i < ARRAY_SIZE(detectors); i++) {
		other = detectors[i]->sites ? NULL :
			finding_find(table, detectors[i]->kind, f->site);
		if (!other || !other->state)
			continue;
		own->tensors -= min(own->tensors, other->sums.tensors);
		own->bytes -= min(own->bytes, other->sums.bytes);
	}
	own->confirmed_tensors = min(own->confirmed_tensors, own->tensors);
	own->confirmed_bytes = min(own->confirmed_bytes, own->bytes);
}

/* What a ledger, or nobody, made up is of no site. */
static u32 known_site(struct bmem_client *client, u32 site)
{
	return bmem_site_find(client, site) ? site : 0;
}

static struct leak_sums *next_sums(struct leak_round *round,
				   struct leak_finding *f)
{
	if (f->serial != round->serial) {
		memset(&f->next, 0, sizeof(f->next));
		f->serial = round->serial;
	}
	return &f->next;
}

/* ---- suspects ----------------------------------------------------------------- */

static struct leak_suspect *suspect_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct leak_suspect, node);
}

/* The first suspect from a handle on. */
static struct leak_suspect *suspect_from(struct leak_table *table, u64 handle)
{
	struct rb_node *node = table->suspects.rb_node;
	struct leak_suspect *best = NULL;

	while (node) {
		struct leak_suspect *s = suspect_of(node);

		if (s->handle >= handle) {
			best = s;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

static void suspect_remove(struct leak_table *table, struct leak_suspect *s)
{
	rb_erase(&s->node, &table->suspects);
	table->nr_suspects--;
	kmem_cache_free(suspect_cache, s);
}

/* NULL when there is none and it is not to be made, or there is no room. */
static struct leak_suspect *suspect_get(struct leak_table *table, u32 kind,
					u64 handle, bool make)
{
	struct rb_node **link = &table->suspects.rb_node, *parent = NULL;
	struct leak_suspect *s;
	int cmp;

	while (*link) {
		parent = *link;
		s = suspect_of(parent);
		cmp = key_cmp(handle, kind, s->handle, s->kind);
		if (!cmp)
			return s;
		link = cmp < 0 ? &parent->rb_left : &parent->rb_right;
	}
	if (!make || table->nr_suspects >= SUSPECTS_MAX)
		return NULL;
	s = kmem_cache_zalloc(suspect_cache, GFP_BMEM_META);
	if (!s)
		return NULL;
	s->kind = kind;
	s->handle = handle;
	rb_link_node(&s->node, parent, link);
	rb_insert_color(&s->node, &table->suspects);
	table->nr_suspects++;
	return s;
}

/* Suspects of one tensor, which stand together, by kind. */
static struct leak_suspect *suspect_first(struct leak_suspect *s)
{
	struct leak_suspect *before = suspect_of(rb_prev(&s->node));

	while (before && before->handle == s->handle) {
		s = before;
		before = suspect_of(rb_prev(&s->node));
	}
	return s;
}

static struct leak_suspect *suspect_next(struct leak_suspect *s)
{
	struct leak_suspect *next = suspect_of(rb_next(&s->node));

	return next && next->handle == s->handle ? next : NULL;
}

/* Does another kind tell of the tensor, or is nobody to? */
static bool is_told(struct leak_suspect *s)
{
	struct leak_suspect *other;

	for (other = suspect_first(s); other; other = suspect_next(other))
		if (other != s && (other->finding || other->ignored))
			return true;
	return false;
}

/* What other kinds have seen of a tensor that this one tells of. */
static u32 more_evidence(struct leak_suspect *s)
{
	struct leak_suspect *other;
	u32 evidence = 0;

	for (other = suspect_first(s); other; other = suspect_next(other))
		if (other->shadowed)
			evidence |= other->evidence;
	return evidence;
}

/* The same tensor, but what was seen of it before was something else. */
static void suspect_restart(struct leak_suspect *s)
{
	s->changed = s->seen > 0;
	s->seen = 0;
	s->since = 0;
	s->finding = NULL;
	s->confirmed = false;
	s->ignored = false;
	s->shadowed = false;
}

static void suspect_seen(struct leak_round *round, struct leak_suspect *s,
			 u32 site)
{
	struct leak_table *table = &round->client->leaks;

	s->serial = round->serial;
	round->hits++;
	if (s->seen < round->detector->rounds)
		s->seen++;
	if (s->seen < round->detector->rounds || s->ignored)
		return;
	if (s->finding) {
		if (round->now - s->since >= round->delay)
			s->confirmed = true;
		return;
	}
	s->shadowed = is_told(s);
	if (s->shadowed)
		return;
	s->finding = finding_get(table, s->kind,
				 known_site(round->client, site), round->now);
	s->since = round->now;
	if (!s->finding)
		round->dropped++;
}

/**
 * bmem_leak_suspect() - a tensor is leaked, as far as can be told
 * @round: the detector's; its client locked
 * @hit: what is known of it
 *
 * Where there is no room, or no memory, for another suspect, it is counted.
 */
void bmem_leak_suspect(struct leak_round *round, const struct leak_hit *hit)
{
	struct leak_table *table = &round->client->leaks;
	const struct bmem_tensor *t = hit->tensor;
	struct leak_suspect *s;
	u64 age = t->age_ms * NSEC_PER_MSEC;
	bool old = age >= round->min_age;

	lockdep_assert_held(&round->client->lock);
	/* One that is suspected already stays so, however young. */
	s = suspect_get(table, round->detector->kind, t->handle, old);
	if (!s) {
		round->dropped += old;
		return;
	}
	if (s->serial == round->serial)
		return;
	if (s->cookie != hit->cookie || !s->seen)
		suspect_restart(s);
	s->cookie = hit->cookie;
	s->bytes = t->bytes;
	s->born = round->now - min(age, round->now);
	s->evidence = hit->evidence;
	s->confidence = hit->confidence;
	suspect_seen(round, s, t->site);
}

/**
 * bmem_leak_site() - a whole site is leaking, as far as can be told
 * @round: the detector's; its client locked
 * @trend: what is known of it
 */
void bmem_leak_site(struct leak_round *round, const struct leak_trend *trend)
{
	struct leak_finding *f;
	struct leak_sums *sums;

	lockdep_assert_held(&round->client->lock);
	f = finding_get(&round->client->leaks, round->detector->kind,
			known_site(round->client, trend->site), round->now);
	if (!f) {
		round->dropped++;
		return;
	}
	round->hits++;
	sums = next_sums(round, f);
	sums->tensors = trend->tensors;
	sums->bytes = trend->bytes;
	sums->oldest = trend->since;
	sums->slope = trend->slope;
	sums->evidence = trend->evidence;
	sums->confidence = trend->confidence;
	if (round->now - f->first_seen < round->delay)
		return;
	sums->confirmed_tensors = trend->tensors;
	sums->confirmed_bytes = trend->bytes;
}

/**
 * bmem_leak_cut_short() - not all of the client can be looked at
 * @round: the detector's
 */
void bmem_leak_cut_short(struct leak_round *round)
{
	round->cut_short = true;
}

/* Nobody asked for it, and "off" said that nobody wants to know. */
static bool unwanted(const struct leak_round *round)
{
	return round->unasked && READ_ONCE(leaks_off);
}

/**
 * bmem_leak_lock() - lock the client of a round
 * @round: the detector's
 *
 * Return: as bmem_client_lock(); -EINTR also as bmem_leak_late().
 */
int bmem_leak_lock(struct leak_round *round)
{
	if (unwanted(round))
		return -EINTR;
	return bmem_client_lock(round->client,
				round->patient ? NULL : &round->tries);
}

/**
 * bmem_leak_late() - is a round to be given up?
 * @round: the detector's
 *
 * Whoever is patient waits for as long as it takes; one that is not keeps the
 * others from their turn.
 *
 * Return: 0; -EBUSY if so; -EINTR when it is not wanted any more.
 */
int bmem_leak_late(const struct leak_round *round)
{
	if (unwanted(round))
		return -EINTR;
	return round->until && ktime_get_boottime_ns() > round->until ?
	       -EBUSY : 0;
}

/* ---- the end of a round ---------------------------------------------------------- */

static void sums_add(struct leak_round *round, struct leak_suspect *s)
{
	struct leak_sums *sums = next_sums(round, s->finding);

	if (!sums->tensors || s->born < sums->oldest)
		sums->oldest = s->born;
	if (!sums->tensors || s->confidence < sums->confidence)
		sums->confidence = s->confidence;
	sums->tensors++;
	sums->bytes += s->bytes;
	sums->evidence |= s->evidence | more_evidence(s);
	if (s->confirmed) {
		sums->confirmed_tensors++;
		sums->confirmed_bytes += s->bytes;
	}
	if (sums->nr_samples < BMEM_LEAK_SAMPLES)
		sums->samples[sums->nr_samples++] = s->handle;
}

/* Not what others look at, nor one whose content changes all the time. */
static bool worth_a_look(const struct leak_suspect *s)
{
	return !s->confirmed && !s->ignored && !s->shadowed &&
	       (s->finding || !s->changed);
}

/* @state: enum bmem_leak_state, 0 for cleared. */
static void finding_tell(struct bmem_client *client,
			 const struct leak_finding *f, u32 state)
{
	static const u32 types[] = {
		[0] = BMEM_EVENT_LEAK_CLEARED,
		[BMEM_LEAK_SUSPECTED] = BMEM_EVENT_LEAK_SUSPECTED,
		[BMEM_LEAK_CONFIRMED] = BMEM_EVENT_LEAK_CONFIRMED,
	};
	struct bmem_event_note note = {
		.type = types[state],
		.pool = client->pool->id,
		.level = f->kind,
		.client = client->who.id,
		.uid = client->who.uid,
		.arg = f->site,
	};
	struct leak_sums own;

	finding_own(&client->leaks, f, &own);
	note.bytes = own.bytes;
	bmem_event_raise(&note);
	trace_bmem_leak(client->who.id, client->who.tgid, f->id, f->kind,
			state, f->site, own.tensors, own.bytes);
}

static void finding_clear(struct bmem_client *client, struct leak_finding *f)
{
	if (f->state) {
		client->leaks.cleared++;
		finding_tell(client, f, 0);
	}
	finding_remove(&client->leaks, f);
}

/* What the round has made of a finding of its kind. */
static void finding_publish(struct leak_round *round, struct leak_finding *f)
{
	bool found = f->serial == round->serial && f->next.tensors;
	u32 state;

	if (!found) {
		/* Sites that were not looked at are as they were. */
		if (!round->detector->sites || !round->cut_short)
			finding_clear(round->client, f);
		return;
	}
	if (f->ignored)
		return;
	f->sums = f->next;
	f->checked = round->now;
	state = f->sums.confirmed_tensors ? BMEM_LEAK_CONFIRMED :
					    BMEM_LEAK_SUSPECTED;
	if (state > f->state)
		finding_tell(round->client, f, state);
	f->state = state;
}

/* At the end of a round; @waiting suspects are to be looked at again. */
static void findings_publish(struct leak_round *round, u32 waiting)
{
	struct leak_table *table = &round->client->leaks;
	u32 kind = round->detector->kind;
	struct leak_finding *f, *next;

	list_for_each_entry_safe(f, next, &table->findings, link) {
		if (f->kind != kind)
			continue;
		finding_publish(round, f);
		if (round->detector->sites &&
		    f->state == BMEM_LEAK_SUSPECTED)
			waiting++;
	}
	table->recheck[kind] = waiting ? round->now + round->delay : 0;
	table->dropped[kind] = round->dropped;
	table->cut_short &= ~BMEM_LEAK_KIND(kind);
	if (round->cut_short)
		table->cut_short |= BMEM_LEAK_KIND(kind);
}

/* Clears or adds up suspects from a handle on. */
static bool settle_slice(struct leak_round *round, u64 *from, u32 *waiting)
{
	struct leak_table *table = &round->client->leaks;
	u32 kind = round->detector->kind;
	struct leak_suspect *s = suspect_from(table, *from), *next;
	unsigned int i;

	for (i = 0; s && i < SLICE_SUSPECTS; i++, s = next) {
		next = suspect_of(rb_next(&s->node));
		/* Once for each tensor, of which other kinds may follow. */
		*from = max(*from, s->handle + (s->kind == kind));
		if (s->kind != kind)
			continue;
		if (s->serial != round->serial && !round->cut_short) {
			suspect_remove(table, s);
		} else {
			*waiting += worth_a_look(s);
			if (s->finding)
				sums_add(round, s);
		}
	}
	return !s;
}

static int round_settle(struct leak_round *round)
{
	bool done = false;
	u32 waiting = 0;
	u64 from = 0;
	int rc;

	while (!done) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		done = settle_slice(round, &from, &waiting);
		if (done)
			findings_publish(round, waiting);
		mutex_unlock(&round->client->lock);
		cond_resched();
	}
	return 0;
}

/* ---- rounds ---------------------------------------------------------------------- */

/**
 * struct leak_look - how a client is to be looked at
 * @kinds: BMEM_LEAK_KIND()s
 * @again: only what is suspected so far, where the detector can tell
 * @wait: for another round to end
 * @unasked: as in struct leak_round
 * @patient: as in struct leak_round
 * @min_age: as in struct leak_round
 * @delay: as in struct leak_round
 * @cut_short: out, BMEM_LEAK_KIND()s
 */
struct leak_look {
	u32 kinds;
	bool again;
	bool wait;
	bool unasked;
	bool patient;
	u64 min_age;
	u64 delay;
	u32 cut_short;
};

static void look_init(struct leak_look *look, u32 kinds, bool wait,
		      bool patient)
{
	memset(look, 0, sizeof(*look));
	look->kinds = kinds;
	look->wait = wait;
	look->patient = patient;
	look->min_age = READ_ONCE(bmem_leak_age_ms) * (u64)NSEC_PER_MSEC;
	look->delay = READ_ONCE(bmem_leak_delay_ms) * (u64)NSEC_PER_MSEC;
}

/* The same tensor is found again, with what was known of it. */
static bool again_slice(struct leak_round *round, u64 *from)
{
	const struct leak_detector *d = round->detector;
	struct leak_table *table = &round->client->leaks;
	struct leak_suspect *s = suspect_from(table, *from);
	struct bmem_tensor t;
	unsigned int i;

	for (i = 0; s && i < SLICE_SUSPECTS; i++) {
		*from = max(*from, s->handle + (s->kind == d->kind));
		if (s->kind == d->kind &&
		    bmem_tensor_find(round->client, s->handle, &t) &&
		    d->still(round->client, s))
			suspect_seen(round, s, t.site);
		s = suspect_of(rb_next(&s->node));
	}
	return !s;
}

static int look_again(struct leak_round *round)
{
	bool done = false;
	u64 from = 0;
	int rc;

	while (!done) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		done = again_slice(round, &from);
		mutex_unlock(&round->client->lock);
		cond_resched();
	}
	return 0;
}

static int round_begin(struct leak_round *round, bool again)
{
	struct leak_table *table = &round->client->leaks;
	int rc = bmem_leak_lock(round);

	if (rc)
		return rc;
	round->now = ktime_get_boottime_ns();
	if (!round->patient)
		round->until = round->now + READ_ONCE(bmem_leak_round_ms) *
					    (u64)NSEC_PER_MSEC;
	round->serial = ++table->serial;
	if (!again)
		table->scanned[round->detector->kind] = round->now;
	mutex_unlock(&round->client->lock);
	return 0;
}

/* One round, with the client's round_lock held. */
static int round_run(struct leak_round *round, bool again)
{
	const struct leak_detector *d = round->detector;
	int rc = round_begin(round, again), settled;

	if (rc)
		return rc;
	if (again && d->still)
		rc = look_again(round);
	else
		rc = d->scan(round->client, round);
	if (rc == -ENOENT)
		return rc;
	if (rc)
		round->cut_short = true;
	settled = round_settle(round);
	trace_bmem_leak_round(round->client->who.id, d->kind, round->hits,
			      round->dropped, round->cut_short,
			      ktime_get_boottime_ns() - round->now);
	return rc ?: settled;
}

static int round_enter(struct bmem_client *client, bool wait)
{
	if (wait)
		return mutex_lock_killable(&client->leaks.round_lock) ?
		       -EINTR : 0;
	return mutex_trylock(&client->leaks.round_lock) ? 0 : -EBUSY;
}

/*
 * Runs a round of each kind.  What they need is charged to the client, whoever
 * looks.  Returns 0 or the first error; what else can be done is done.
 */
static int client_look(struct bmem_client *client, struct leak_look *look)
{
	struct mem_cgroup *old;
	int rc = round_enter(client, look->wait), one;
	unsigned int i;

	if (rc)
		return rc;
	old = set_active_memcg(client->memcg);
	for (i = 0; i < ARRAY_SIZE(detectors) && rc != -ENOENT &&
	     rc != -EINTR; i++) {
		struct leak_round round = {
			.client = client,
			.detector = detectors[i],
			.min_age = look->min_age,
			.delay = look->delay,
			.unasked = look->unasked,
			.patient = look->patient,
			.tries = BMEM_REPORT_TRIES,
		};

		if (!(look->kinds & BMEM_LEAK_KIND(detectors[i]->kind)))
			continue;
		one = round_run(&round, look->again);
		if (round.cut_short)
			look->cut_short |= BMEM_LEAK_KIND(detectors[i]->kind);
		if (one && (!rc || one == -EINTR || one == -ENOENT))
			rc = one;
	}
	set_active_memcg(old);
	mutex_unlock(&client->leaks.round_lock);
	return rc;
}

/* ---- LEAK_SCAN ---------------------------------------------------------------------- */

static int scan_check(const struct bmem_leak_scan *cmd)
{
	if (cmd->flags & ~(BMEM_LEAK_SCAN_CONFIRM | BMEM_LEAK_SCAN_AGE) ||
	    cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->kinds & ~LEAK_ALL || cmd->delay_ms > BMEM_LEAK_DELAY_MAX)
		return -EINVAL;
	if (!(cmd->flags & BMEM_LEAK_SCAN_AGE) && cmd->min_age_ms)
		return -EINVAL;
	return 0;
}

/* Rounds that it takes to confirm what there is. */
static unsigned int passes_of(const struct bmem_leak_scan *cmd, u32 kinds)
{
	unsigned int i, most = 0;

	if (!(cmd->flags & BMEM_LEAK_SCAN_CONFIRM))
		return 1;
	for (i = 0; i < ARRAY_SIZE(detectors); i++)
		if (kinds & BMEM_LEAK_KIND(detectors[i]->kind))
			most = max(most, detectors[i]->rounds);
	return most + 1;
}

/* A fraction more than the delay, so that it has passed by any clock. */
static int sleep_for(u64 delay)
{
	schedule_timeout_killable(nsecs_to_jiffies(delay) + 2);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static void sums_tell(struct bmem_client *client, struct bmem_leak_scan *cmd,
		      u32 kinds)
{
	struct leak_finding *f;
	struct leak_sums own;

	list_for_each_entry(f, &client->leaks.findings, link) {
		if (!f->state || !(kinds & BMEM_LEAK_KIND(f->kind)))
			continue;
		finding_own(&client->leaks, f, &own);
		if (f->state == BMEM_LEAK_CONFIRMED)
			cmd->confirmed++;
		else
			cmd->suspected++;
		cmd->confirmed_bytes += own.confirmed_bytes;
		cmd->suspected_bytes += own.bytes - own.confirmed_bytes;
	}
	cmd->cleared = client->leaks.cleared;
}

static int scan_client(struct bmem_client *client, struct bmem_leak_scan *cmd)
{
	u32 kinds = cmd->kinds ?: LEAK_ALL;
	unsigned int pass, passes = passes_of(cmd, kinds);
	struct leak_look look;
	int rc = 0;

	look_init(&look, kinds, true, true);
	if (cmd->delay_ms)
		look.delay = cmd->delay_ms * (u64)NSEC_PER_MSEC;
	if (cmd->flags & BMEM_LEAK_SCAN_AGE)
		look.min_age = cmd->min_age_ms * (u64)NSEC_PER_MSEC;
	for (pass = 0; !rc && pass < passes; pass++) {
		if (pass)
			rc = sleep_for(look.delay);
		look.cut_short = 0;
		if (!rc)
			rc = client_look(client, &look);
		/* What would not hold still is among what was cut short. */
		if (rc == -EBUSY)
			rc = 0;
	}
	if (!rc)
		rc = bmem_client_lock(client, NULL);
	if (rc)
		return rc;
	cmd->cut_short = look.cut_short;
	sums_tell(client, cmd, kinds);
	mutex_unlock(&client->lock);
	mod_delayed_work(leak_wq, &leak_dwork, 0);
	return 0;
}

/**
 * bmem_leak_scan() - BMEM_LEAK_SCAN
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_leak_scan(struct bmem_client *self, struct bmem_leak_scan *cmd)
{
	struct bmem_client *client;
	int rc;

	rc = scan_check(cmd);
	if (rc)
		return rc;
	client = bmem_client_visible(self, cmd->client_id);
	if (!client)
		return -ENOENT;
	cmd->cut_short = 0;
	cmd->suspected = 0;
	cmd->confirmed = 0;
	cmd->suspected_bytes = 0;
	cmd->confirmed_bytes = 0;
	rc = scan_client(client, cmd);
	bmem_client_put(client);
	return rc;
}

/* ---- the worker ------------------------------------------------------------------------ */

/* When a kind is to be looked for, by ktime_get_boottime_ns(). */
static u64 kind_due(struct bmem_client *client, const struct leak_detector *d)
{
	struct leak_table *table = &client->leaks;
	u64 period = READ_ONCE(scan_period) * (u64)NSEC_PER_SEC, at = U64_MAX;
	u64 own = d->period ? d->period(client) : 0;

	if (test_bit(d->kind, &table->due))
		at = 0;
	if (period)
		at = min(at, READ_ONCE(table->scanned[d->kind]) + period);
	if (own)
		at = min(at, READ_ONCE(table->scanned[d->kind]) + own);
	if (READ_ONCE(table->recheck[d->kind]))
		at = min(at, READ_ONCE(table->recheck[d->kind]));
	/* However often it is asked for, what costs much comes seldom. */
	return max(at, table->rested[d->kind]);
}

/* Only what was found before, or all? */
static bool kind_again(struct bmem_client *client,
		       const struct leak_detector *d)
{
	return !test_and_clear_bit(d->kind, &client->leaks.due) &&
	       d->still && READ_ONCE(client->leaks.recheck[d->kind]) &&
	       !(d->period && d->period(client));
}

/* Looks for a kind, for one of @nr clients; when is it to be looked for again? */
static u64 kind_turn(struct bmem_client *client, const struct leak_detector *d,
		     unsigned int nr)
{
	u64 begin = ktime_get_boottime_ns(), end, rest;
	struct leak_look look;
	int rc;

	look_init(&look, BMEM_LEAK_KIND(d->kind), false, false);
	look.unasked = true;
	look.again = kind_again(client, d);
	rc = client_look(client, &look);
	end = ktime_get_boottime_ns();
	rest = (end - begin) * WORK_SHARE * nr;
	if (rc == -EBUSY) {
		/* One that is busy has its turn later. */
		set_bit(d->kind, &client->leaks.due);
		rest = max_t(u64, rest, BUSY_MS * NSEC_PER_MSEC);
	}
	client->leaks.rested[d->kind] = end + rest;
	return kind_due(client, d);
}

/* Has the client its turn; when does it need another? */
static u64 client_turn(struct bmem_client *client, unsigned int nr)
{
	u64 now = ktime_get_boottime_ns(), next = U64_MAX, at;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(detectors); i++) {
		at = kind_due(client, detectors[i]);
		if (at <= now)
			at = kind_turn(client, detectors[i], nr);
		next = min(next, at);
	}
	return next;
}

static void work_at(u64 next)
{
	u64 now = ktime_get_boottime_ns(), ms = 0;

	if (next > now)
		ms = div_u64(next - now, NSEC_PER_MSEC) + 1;
	ms = clamp_t(u64, ms, WORK_MS_MIN, WORK_MS_MAX);
	queue_delayed_work(leak_wq, &leak_dwork, msecs_to_jiffies(ms));
}

/* All clients have their turn, unless it is not wanted any more. */
static void leak_pass(void)
{
	static unsigned int last_nr = 1;
	u64 id = 0, last = bmem_clients_last(), next = U64_MAX, at;
	struct bmem_client *client;
	unsigned int nr = 0;

	lockdep_assert_held(&pass_lock);
	while (!READ_ONCE(leaks_off) &&
	       (client = bmem_client_next(id, last))) {
		id = client->who.id;
		at = client_turn(client, last_nr);
		nr += at != U64_MAX;
		next = min(next, at);
		bmem_client_put(client);
		cond_resched();
	}
	last_nr = max(nr, 1U);
	if (next != U64_MAX || READ_ONCE(scan_period))
		work_at(next);
}

static void leak_work(struct work_struct *work)
{
	mutex_lock(&pass_lock);
	if (!READ_ONCE(leaks_off))
		leak_pass();
	mutex_unlock(&pass_lock);
}

/**
 * bmem_leak_soon() - something happened that a kind is to be looked for after
 * @client: client, locked or not
 * @kind: enum bmem_leak_kind
 */
void bmem_leak_soon(struct bmem_client *client, u32 kind)
{
	if (READ_ONCE(leaks_off))
		return;
	if (!test_and_set_bit(kind, &client->leaks.due))
		mod_delayed_work(leak_wq, &leak_dwork, 0);
}

/**
 * bmem_leak_recheck() - what is suspected may not be so any more
 * @client: client, locked or not
 */
void bmem_leak_recheck(struct bmem_client *client)
{
	struct leak_table *table = &client->leaks;
	bool any = false;
	u32 kind;

	for (kind = 0; kind < LEAK_KINDS; kind++) {
		if (!READ_ONCE(table->recheck[kind]))
			continue;
		/* Long ago; a round that ends now sets it anew. */
		WRITE_ONCE(table->recheck[kind], 1);
		any = true;
	}
	if (any && !READ_ONCE(leaks_off))
		mod_delayed_work(leak_wq, &leak_dwork, 0);
}

/* ---- what the file "leaks" is told --------------------------------------------------- */

/**
 * bmem_leaks_scan_all() - look for all kinds in all clients
 *
 * Return: 0 or -EINTR.
 */
int bmem_leaks_scan_all(void)
{
	u64 id = 0, last = bmem_clients_last();
	struct bmem_client *client;
	struct leak_look look;
	int rc = 0;

	look_init(&look, LEAK_ALL, true, false);
	while (rc != -EINTR && (client = bmem_client_next(id, last))) {
		id = client->who.id;
		rc = client_look(client, &look);
		bmem_client_put(client);
		if (fatal_signal_pending(current))
			rc = -EINTR;
		cond_resched();
	}
	mod_delayed_work(leak_wq, &leak_dwork, 0);
	return rc == -EINTR ? rc : 0;
}

/**
 * bmem_leaks_period() - look at all clients from time to time
 * @seconds: how often; 0 for never
 */
void bmem_leaks_period(unsigned int seconds)
{
	WRITE_ONCE(scan_period, seconds);
	mod_delayed_work(leak_wq, &leak_dwork, 0);
}

static void suspects_forget(struct leak_table *table, bool ignore)
{
	struct leak_suspect *s, *next;

	for (s = suspect_of(rb_first(&table->suspects)); s; s = next) {
		next = suspect_of(rb_next(&s->node));
		if (ignore && (s->finding || s->shadowed)) {
			s->finding = NULL;
			s->shadowed = false;
			s->ignored = true;
		} else if (!ignore) {
			suspect_remove(table, s);
		}
		cond_resched();
	}
}

static void findings_forget(struct leak_table *table, bool ignore)
{
	struct leak_finding *f, *next;

	list_for_each_entry_safe(f, next, &table->findings, link) {
		if (ignore && detector_of(f->kind)->sites) {
			f->ignored = true;
			f->state = 0;
		} else {
			finding_remove(table, f);
		}
	}
}

/**
 * bmem_leaks_forget() - drop what has been found of a client
 * @client: client, locked
 * @ignore: and do not tell of it again
 */
void bmem_leaks_forget(struct bmem_client *client, bool ignore)
{
	lockdep_assert_held(&client->lock);
	suspects_forget(&client->leaks, ignore);
	findings_forget(&client->leaks, ignore);
	memset(client->leaks.recheck, 0, sizeof(client->leaks.recheck));
	memset(client->leaks.dropped, 0, sizeof(client->leaks.dropped));
	client->leaks.cut_short = 0;
}

/**
 * bmem_leaks_on() - look for leaks unasked
 */
void bmem_leaks_on(void)
{
	WRITE_ONCE(leaks_off, false);
	mod_delayed_work(leak_wq, &leak_dwork, 0);
}

/**
 * bmem_leaks_off() - look for leaks only when asked
 *
 * Waits for the worker, which goes on no further than to the end of its slice:
 * it finds nothing any more afterwards.
 *
 * Return: 0, or -EINTR when killed.
 */
int bmem_leaks_off(void)
{
	WRITE_ONCE(leaks_off, true);
	if (mutex_lock_killable(&pass_lock))
		return -EINTR;
	mutex_unlock(&pass_lock);
	return 0;
}

/* ---- reports -------------------------------------------------------------------------- */

/**
 * bmem_leak_name() - what a kind is called
 * @kind: enum bmem_leak_kind
 *
 * Return: a word.
 */
const char *bmem_leak_name(u32 kind)
{
	const struct leak_detector *d = detector_of(kind);

	return d ? d->name : "unknown";
}

static u64 ms_ago(u64 now, u64 then)
{
	return now > then ? div_u64(now - then, NSEC_PER_MSEC) : 0;
}

static void row_fill(struct bmem_client *client, const struct leak_finding *f,
		     u64 now, struct bmem_leak_row *row)
{
	const struct site *site = bmem_site_find(client, f->site);
	struct leak_sums own;

	finding_own(&client->leaks, f, &own);
	memset(row, 0, sizeof(*row));
	row->id = f->id;
	row->client_id = client->who.id;
	row->kind = f->kind;
	row->state = f->state;
	row->site = f->site;
	row->tensors = own.tensors;
	row->bytes = own.bytes;
	row->confirmed_tensors = own.confirmed_tensors;
	row->confirmed_bytes = own.confirmed_bytes;
	row->oldest_ms = ms_ago(now, f->sums.oldest);
	row->first_seen_ms = ms_ago(now, f->first_seen);
	row->checked_ms = ms_ago(now, f->checked);
	row->slope = f->sums.slope;
	row->confidence = f->sums.confidence;
	row->evidence = f->sums.evidence;
	row->nr_samples = f->sums.nr_samples;
	memcpy(row->samples, f->sums.samples, sizeof(row->samples));
	row->hole_bytes = bmem_bytes(client->leaks.arena.hole_pages);
	row->largest_hole_bytes = bmem_bytes(client->leaks.arena.hole_best);
	row->fragmentation = bmem_fragmentation(&client->leaks.arena);
	if (!site)
		return;
	row->nr_frames = site->frames ? site->frames->nr : 0;
	strscpy(row->label, bmem_site_label(site), sizeof(row->label));
}

/**
 * bmem_leak_rows() - findings of a client, by number
 * @client: client, locked
 * @after: those with higher numbers than this
 * @kinds: BMEM_LEAK_KIND()s
 * @rows: out, all but bmem_leak_row.pid
 * @nr: room in @rows
 *
 * Return: how many there are; fewer than @nr at the end.
 */
u32 bmem_leak_rows(struct bmem_client *client, u64 after, u32 kinds,
		   struct bmem_leak_row *rows, u32 nr)
{
	u64 now = ktime_get_boottime_ns();
	struct leak_finding *f;
	u32 n = 0;

	lockdep_assert_held(&client->lock);
	list_for_each_entry(f, &client->leaks.findings, link) {
		if (n == nr)
			break;
		if (f->id > after && f->state &&
		    kinds & BMEM_LEAK_KIND(f->kind))
			row_fill(client, f, now, &rows[n++]);
	}
	return n;
}

/* ---- beginning and end ------------------------------------------------------------------ */

/**
 * bmem_leaks_init() - nothing found so far
 * @client: client that is being opened, zeroed
 */
void bmem_leaks_init(struct bmem_client *client)
{
	mutex_init(&client->leaks.round_lock);
	client->leaks.suspects = RB_ROOT;
	client->leaks.by_site = RB_ROOT;
	INIT_LIST_HEAD(&client->leaks.findings);
}

/**
 * bmem_leaks_release() - forget the leaks of a client that dies
 * @client: client, locked and dead
 */
void bmem_leaks_release(struct bmem_client *client)
{
	bmem_leaks_forget(client, false);
}

/**
 * bmem_leaks_free() - the end of what bmem_leaks_init() began
 * @client: client that is freed
 */
void bmem_leaks_free(struct bmem_client *client)
{
	mutex_destroy(&client->leaks.round_lock);
}

/**
 * bmem_leaks_bytes() - kernel memory for what was found of a client
 * @client: client
 *
 * Return: bytes.
 */
u64 bmem_leaks_bytes(const struct bmem_client *client)
{
	return (u64)READ_ONCE(client->leaks.nr_suspects) *
	       kmem_cache_size(suspect_cache) +
	       (u64)READ_ONCE(client->leaks.nr_findings) *
	       sizeof(struct leak_finding);
}

/**
 * bmem_leak_start() - make the worker
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_leak_start(void)
{
	suspect_cache = kmem_cache_create("bmem_suspect",
					  sizeof(struct leak_suspect), 0,
					  SLAB_ACCOUNT, NULL);
	if (!suspect_cache)
		return -ENOMEM;
	leak_wq = alloc_workqueue("bmem_leak", WQ_UNBOUND, 1);
	if (leak_wq)
		return 0;
	kmem_cache_destroy(suspect_cache);
	return -ENOMEM;
}

/**
 * bmem_leak_stop() - stop it; no client is left
 */
void bmem_leak_stop(void)
{
	cancel_delayed_work_sync(&leak_dwork);
	destroy_workqueue(leak_wq);
	kmem_cache_destroy(suspect_cache);
}
