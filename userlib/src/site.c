// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Call sites: a number for every stack, scope and label.
 *
 * The number is taken from a hash of the name and of the frames as their files
 * have them, so that parent and child, which share a client after fork(),
 * number the same site alike, whatever each has loaded since.
 *
 * No lock: a slot is claimed by its key, then its number is published.  Who
 * meets a slot that is claimed but not yet published works the number out for
 * himself and gets the same one; so nobody ever waits, not even in a child
 * whose parent was in here when it forked.
 */
#include <errno.h>
#include <string.h>

#include "caller.h"
#include "module.h"
#include "sample.h"
#include "site.h"
#include "stack.h"
#include "whole.h"

/* One allocation in so many is timed, on average. */
#define TIMED_EVERY	2048
/* Room for an interpreter's name of a place behind a label. */
#define PLACE_LEN	48
/* How many looks are timed together, where one is too short; and how often. */
#define TIMED_SHORT	16
#define TIMED_LONG	4
#define TIMED_TURNS	3

/**
 * struct origin - where an allocation comes from
 * @c: client
 * @sc: the thread's cache
 * @label: given with the call, or NULL
 * @ret: return address
 * @frame: of the function that has it
 * @scope: the thread's
 * @what: hash of @label and @scope
 * @caller: key of the interpreter's place, 0 for none
 * @weight: what it counts for the next sample; 0 to look without counting
 * @full: its site is the whole stack
 * @ask: an interpreter's place comes before its stack
 * @missed: the thread did not know the site, or a sample was due
 */
struct origin {
	struct bmem_client *c;
	struct site_cache *sc;
	const char *label;
	const void *ret;
	const void *frame;
	uint32_t scope;
	uint64_t what;
	uint64_t caller;
	uint32_t weight;
	bool full;
	bool ask;
	bool missed;
};

/* Scopes are small numbers; what a label makes is not. */
static uint64_t what_of(const char *label, uint32_t scope)
{
	if (!label || !*label)
		return scope;
	return mix(hash_text(0, label, strnlen(label, BMEM_LABEL_LEN)) +
		   scope) | 1ULL << 63;
}

/* All but the innermost frame, which many stacks have in common. */
static struct twin outer_key(const struct stack *st)
{
	struct twin t = { module_loads() + 1, 0 };
	uint32_t i;

	for (i = st->nr; i > 1; i--)
		t = twin_add(t, st->pcs[i - 1]);
	return t;
}

static struct twin stack_key(const struct stack *st, uint64_t what)
{
	struct twin t = twin_add(outer_key(st), what);

	if (st->nr)
		t = twin_add(t, st->pcs[0]);
	return twin_end(t);
}

/* Of a place that an interpreter has named: whatever the stack is. */
static struct twin place_key(const struct origin *o)
{
	struct twin t = { ~0ULL, o->what };

	return twin_end(twin_add(twin_add(t, o->caller), o->what));
}

static bool number_ok(uint32_t site)
{
	return site != SITE_PENDING && site != SITE_LOST;
}

/* Who sets @check first has what was claimed by the same key. */
static bool is_ours(_Atomic uint64_t *check, uint64_t ours)
{
	uint64_t have = 0;

	return atomic_compare_exchange_strong(check, &have, ours) ||
	       have == ours;
}

/*
 * Enter a site's identity in the set of numbers.
 *
 * Return: true if it has the lower half of its key, the number, to itself.
 */
static bool number_enter(struct sites *s, struct twin t)
{
	uint32_t at, n;
	uint64_t have;

	/* By the number alone: both who want it have to come by the same way. */
	for (n = 0; n < SITE_STEPS; n++) {
		at = site_step((uint32_t)t.key, n);
		have = 0;
		if (atomic_compare_exchange_strong(&s->names[at].key, &have,
						   t.key)) {
			atomic_fetch_add_explicit(&s->numbers, 1,
						  memory_order_relaxed);
			have = t.key;
		}
		if (have == t.key)
			return is_ours(&s->names[at].check, t.check);
		if ((uint32_t)have == (uint32_t)t.key)
			return false;
	}
	return false;
}

static uint32_t number_of(struct sites *s, struct twin t)
{
	int tries;

	for (tries = 0; tries < 8; tries++, t.key = mix(t.key + 1))
		if (number_ok((uint32_t)t.key) && number_enter(s, t))
			return (uint32_t)t.key;
	return SITE_LOST;
}

static struct twin name_key(const char *name)
{
	size_t len = strlen(name);

	return (struct twin) { hash_text(0, name, len),
			       hash_text(~0ULL, name, len) | 1 };
}

/* Fill in @frames, announce their files, and add them to the identity @t. */
static struct twin frames_of(struct bmem_client *c, const struct stack *st,
			     struct bmem_frame *frames, struct twin t)
{
	struct module_place place;
	uint32_t i;

	for (i = 0; i < st->nr; i++) {
		module_find(st->pcs[i], &place);
		module_announce(c, place.module);
		frames[i] = (struct bmem_frame) {
			.module = place.module,
			.offset = place.offset,
		};
		t = twin_add(twin_add(t, place.id), place.offset);
	}
	return st->nr ? twin_end(t) : t;
}

/* "scope/label" */
static void text_of(char text[BMEM_LABEL_LEN], uint32_t scope,
		    const char *label)
{
	size_t n;

	scope_text(text, scope);
	n = strlen(text);
	if (!label || !*label)
		return;
	if (n && n < BMEM_LABEL_LEN - 1)
		text[n++] = '/';
	label_copy(text + n, label, BMEM_LABEL_LEN - 1 - n);
}

/* "label @ file:line"; what is cut is the label. */
static void place_name(char name[BMEM_LABEL_LEN], const char *label,
			      const char *place)
{
	size_t room = BMEM_LABEL_LEN - 1;

	if (*label) {
		name += label_copy(name, label,
				   room - strlen(" @ ") - strlen(place));
		name = stpcpy(name, " @ ");
	}
	label_copy(name, place, strlen(place));
}

/* @place: what an interpreter calls the caller, empty where none is asked */
static uint32_t site_make(struct bmem_client *c, const struct stack *st,
			  uint32_t scope, const char *label, const char *place)
{
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	struct bmem_site arg = {
		.size = sizeof(arg),
		.frames = (uintptr_t)frames,
		.nr_frames = st->nr,
	};
	char text[BMEM_LABEL_LEN];
	struct twin t;

	module_look();
	text_of(text, scope, label);
	if (*place)
		place_name(arg.label, text, place);
	else
		site_name(arg.label, text, st->nr ? (void *)st->pcs[0] : NULL);
	t = frames_of(c, st, frames, name_key(arg.label));
	if (*place)
		t = name_key(arg.label);
	arg.site = number_of(&c->sites, t);
	if (arg.site == SITE_LOST || call(c, BMEM_SITE, &arg))
		return SITE_LOST;
	return arg.site;
}

/* The slot with a key, or a free one that is now claimed for it, or NULL. */
static struct site_slot *slot_get(struct sites *s, struct twin t)
{
	uint32_t hash = (uint32_t)(t.key >> 32), n;
	struct site_slot *slot;
	uint64_t have;

	for (n = 0; n < SITE_STEPS; n++) {
		slot = &s->slots[site_step(hash, n)];
		have = atomic_load_explicit(&slot->key, memory_order_relaxed);
		if (!have) {
			/* A quarter stays free, so that every search ends soon. */
			if (atomic_load(&s->used) >= SITE_SLOTS / 4 * 3)
				return NULL;
			if (atomic_compare_exchange_strong(&slot->key, &have,
							   t.key)) {
				atomic_fetch_add(&s->used, 1);
				have = t.key;
			}
		}
		if (have == t.key && is_ours(&slot->check, t.check))
			return slot;
	}
	return NULL;
}

static uint32_t site_lost(struct sites *s)
{
	atomic_fetch_add_explicit(&s->lost, 1, memory_order_relaxed);
	return 0;
}

static uint32_t slot_name(struct bmem_client *c, struct site_slot *slot,
			  const struct stack *st, uint32_t scope,
			  const char *label, const char *place)
{
	int saved = errno;
	uint32_t site;

	site = site_make(c, st, scope, label, place);
	atomic_store_explicit(&slot->interval, SAMPLE_FIRST,
			      memory_order_relaxed);
	atomic_store_explicit(&slot->site, site, memory_order_release);
	errno = saved;
	return site;
}

/**
 * struct known - what the tables say of a stack
 * @slot: its entry, NULL when they are full
 * @site: its number, 0 for lost
 * @news: nobody had seen it before
 */
struct known {
	struct site_slot *slot;
	uint32_t site;
	bool news;
};

static uint32_t draw(struct origin *o, const struct known *k)
{
	const struct governor *g = &o->c->sites.costs.governor;

	return sample_draw(&o->sc->random,
			   atomic_load_explicit(&k->slot->interval,
						memory_order_relaxed),
			   atomic_load_explicit(&g->throttle,
						memory_order_relaxed));
}

/* Are we on the thread's own stack, and where does it end? */
static bool on_stack(struct origin *o)
{
	struct site_cache *sc = o->sc;
	uintptr_t fp = (uintptr_t)o->frame;

	if (!sc->high && stack_bounds(&sc->low, &sc->high) == -ENOENT)
		sc->low = sc->high = 1;
	return fp >= sc->low && fp < sc->high;
}

static void walk(struct origin *o, struct stack *st)
{
	uintptr_t high = on_stack(o) ? o->sc->high : 0;

	stack_walk(st, o->ret, o->frame, high ? o->sc->low : 0, high);
}

/*
 * Take the whole stack of an allocation.  On another stack than the thread's
 * own this may be a signal handler, where no unwinder may run.
 */
static void capture(struct origin *o, struct stack *st)
{
	struct meter *m = &o->sc->meter;
	uint64_t from = meter_now();
	struct stack whole;

	walk(o, st);
	meter_whole(m, BMEM_OVERHEAD_WALK, from);
	if (st->whole || !on_stack(o))
		return;
	from = meter_now();
	if (stack_unwind(&whole, o->ret) && whole.nr > st->nr)
		*st = whole;
	meter_whole(m, BMEM_OVERHEAD_UNWIND, from);
}

/* With a place of an interpreter, @st is taken only where the site is new. */
static struct known lookup(struct origin *o, struct stack *st,
			   struct twin t)
{
	struct known k = { .slot = slot_get(&o->c->sites, t) };
	struct meter *m = &o->sc->meter;
	char place[BMEM_LABEL_LEN] = "";
	uint64_t from;

	o->missed = true;
	if (!k.slot)
		return k;
	k.site = atomic_load_explicit(&k.slot->site, memory_order_acquire);
	if (k.site == SITE_PENDING) {
		if (o->caller) {
			capture(o, st);
			caller_name(place, o->what ? PLACE_LEN : sizeof(place));
		}
		from = meter_now();
		k.news = true;
		k.site = slot_name(o->c, k.slot, st, o->scope, o->label,
				   place);
		meter_whole(m, BMEM_OVERHEAD_REGISTER, from);
	}
	if (k.site == SITE_LOST)
		k.site = 0;
	return k;
}

/* A sample is due at the site @at: the tensor is counted under its stack. */
static uint32_t sample(struct origin *o, struct known *at)
{
	struct costs *costs = &o->c->sites.costs;
	struct known k;
	struct stack st;

	o->caller = caller_key();
	if (!o->caller)
		capture(o, &st);
	k = lookup(o, &st, o->caller ? place_key(o) : stack_key(&st, o->what));
	sample_learn(&at->slot->interval, k.news);
	atomic_fetch_add_explicit(&costs->samples, 1, memory_order_relaxed);
	return k.site ? k.site : at->site;
}

/*
 * Allocations that may go by without a look at what else is due; and of blocks,
 * which weigh more, as many as are worth it.
 */
#define DEAL		1024
#define DEAL_BLOCKS	8192

static void deal(struct site_flat *f, struct site_dealt *d, uint32_t weight,
		 uint32_t nr)
{
	uint32_t most = weight > 1 ? DEAL_BLOCKS : DEAL;

	f->left = (int32_t)(nr < most ? nr : most);
	d->given = (uint32_t)f->left;
	d->rest = nr - d->given;
}

/* Count what went the short way since then. */
static void settle(struct site_cache *sc, uint64_t key)
{
	struct site_flat *f = site_flat(sc, key);
	struct site_dealt *d = site_dealt(sc, key);
	uint32_t left = f->left > 0 ? (uint32_t)f->left : 0;

	meter_pass(&sc->meter, d->given - left);
	f->left = (int32_t)left;
	d->given = left;
}

/* By return address alone, where the thread has no answer. */
static uint32_t flat_miss(struct origin *o, bool due, struct known *k)
{
	struct stack st = { .nr = 1, .pcs = { (uintptr_t)o->ret } };

	*k = lookup(o, &st, stack_key(&st, o->what));
	if (!k->site)
		return site_lost(&o->c->sites);
	return due ? sample(o, k) : k->site;
}

static uint32_t find_labelled(struct origin *o)
{
	uint64_t ret = (uintptr_t)o->ret;
	struct site_entry *e = site_entry(o->sc, ret, o->what);
	bool hit = e->key == ret && e->check == o->what;
	struct known k;
	uint32_t site;

	if (hit && e->left > o->weight) {
		e->left -= o->weight;
		return e->site;
	}
	site = flat_miss(o, hit, &k);
	if (site)
		*e = (struct site_entry) { ret, o->what, k.site, draw(o, &k) };
	return site;
}

static uint32_t find_flat(struct origin *o)
{
	uint64_t key = site_key(o->ret);
	struct site_flat *f = site_flat(o->sc, key);
	struct site_dealt *d = site_dealt(o->sc, key);
	bool hit = f->key == key;
	uint32_t nr = (uint32_t)f->left + d->rest, site;
	struct known k;

	if (hit && nr >= o->weight) {
		deal(f, d, o->weight, nr - o->weight);
		return f->site;
	}
	site = flat_miss(o, hit, &k);
	if (site) {
		f->key = key;
		f->site = k.site;
		deal(f, d, o->weight, draw(o, &k) - 1);
	}
	return site;
}

/* Enter what was walked from @o->frame, so that it can be looked at again. */
__attribute__((no_sanitize("address", "thread")))
static void outer_keep(struct origin *o, const struct stack *st, struct twin t,
		       uintptr_t fp)
{
	uintptr_t pc = ((const uintptr_t *)fp)[1];
	struct site_outer *x = outer_entry(o->sc, fp, pc);
	uint32_t i;

	x->fp = fp;
	x->end = st->end;
	x->t = t;
	x->nr = st->nr - 1;
	x->whole = st->whole;
	x->frames[0].pc = pc;
	for (i = 1; i < st->nr; i++) {
		x->frames[i - 1].pc = st->pcs[i];
		x->frames[i - 1].next = i + 1 == st->nr ? 0 :
			(uintptr_t)o->frame + st->off[i + 1];
	}
}

/* @e is where it was, NULL for nowhere. */
static void call_keep(struct origin *o, struct site_call *e,
		      struct twin t, uint32_t site, uint32_t left)
{
	struct site_call *set = call_set(o->sc, o->ret, o->what, t);

	if (!e) {
		e = set;
		memmove(set + 1, set, (SITE_WAYS - 1) * sizeof(*set));
	}
	*e = (struct site_call) {
		(uintptr_t)o->ret, o->what, t, site, left,
	};
}

/* By the whole stack, as far as frame pointers lead. */
static uint32_t site_full(struct origin *o)
{
	uintptr_t fp = outer_fp(o->sc, o->frame);
	const struct site_outer *x = fp ? outer_look(o->sc, fp) : NULL;
	struct site_call *e;
	struct stack st;
	struct known k;
	uint32_t site;
	struct twin t;

	if (x) {
		e = call_find(o->sc, o->ret, o->what, x->t);
		site = e ? call_hit(e, x->whole, o->weight) : 0;
		if (site)
			return site;
	}
	walk(o, &st);
	t = outer_key(&st);
	if (fp && !x && st.walked)
		outer_keep(o, &st, t, fp);
	e = call_find(o->sc, o->ret, o->what, t);
	site = e ? call_hit(e, st.whole, o->weight) : 0;
	if (site)
		return site;
	k = lookup(o, &st, stack_key(&st, o->what));
	if (!k.site)
		return site_lost(&o->c->sites);
	call_keep(o, e, t, k.site, draw(o, &k));
	return e ? sample(o, &k) : k.site;
}

/* By the interpreter's place, which a thread finds where its stacks are. */
static uint32_t site_place(struct origin *o)
{
	struct twin t = place_key(o);
	struct site_entry *e = site_entry(o->sc, t.key, t.check);
	struct stack st = { .nr = 0 };
	struct known k;

	if (e->key == t.key && e->check == t.check)
		return e->site;
	k = lookup(o, &st, t);
	if (!k.site)
		return site_lost(&o->c->sites);
	*e = (struct site_entry) { t.key, t.check, k.site, ~0U };
	return k.site;
}

static uint32_t site_find(struct origin *o)
{
	struct site_cache *sc = o->sc;

	o->scope = bmem_scope_id();
	o->what = what_of(o->label, o->scope);
	if (sc->loads != module_loads()) {
		memset(sc->flat, 0, sizeof(sc->flat));
		memset(sc->dealt, 0, sizeof(sc->dealt));
		memset(sc->entries, 0, sizeof(sc->entries));
		memset(sc->outers, 0, sizeof(sc->outers));
		memset(sc->calls, 0, sizeof(sc->calls));
		sc->loads = module_loads();
	}
	o->caller = o->ask ? caller_key() : 0;
	if (o->caller)
		return site_place(o);
	if (o->full)
		return site_full(o);
	return o->what >> 63 ? find_labelled(o) : find_flat(o);
}

/* The short way, for whatever it finds there. */
static void look_short(struct origin *o)
{
	struct site_flat *e = site_look(o->sc, o->ret);

	__asm__ volatile("" : : "r" (e) : "memory");
}

/* Look once more, the way that is taken when the thread knows the site. */
static void look_again(struct origin *o)
{
	uint32_t site = 0;

	if (o->label || o->caller)
		site = site_find(o);
	else if (o->full)
		site = site_known(o->sc, o->ret, o->frame, 0);
	else
		look_short(o);
	/* What nobody wants to know is not looked for. */
	__asm__ volatile("" : : "r" (site) : "memory");
}

/* What a look takes: the median, so that no interrupt counts. */
static int64_t time_looks(struct origin *o, void (*look)(struct origin *o),
			  uint32_t looks)
{
	uint64_t at[TIMED_TURNS + 1];
	uint32_t i, k;

	at[0] = meter_now();
	for (i = 0; i < TIMED_TURNS; i++) {
		for (k = 0; k < looks; k++)
			look(o);
		at[i + 1] = meter_now();
	}
	return meter_median(at, TIMED_TURNS);
}

static void time_again(struct origin *o, struct meter *m, uint32_t source)
{
	uint32_t looks = o->full || o->label || o->caller ? TIMED_LONG :
							    TIMED_SHORT;

	o->weight = 0;
	meter_add(m, source, time_looks(o, look_again, looks), looks,
		  m->every - m->quick);
}

/*
 * One look at what is known takes less than a timer can tell, and what runs
 * once in a thousand times is not in the caches.  So where the allocation was
 * one of these, what is timed is a few more looks.
 */
static uint32_t site_with_timer(struct origin *o)
{
	uint32_t source = o->full || o->ask ? BMEM_OVERHEAD_WALK :
					      BMEM_OVERHEAD_LOOKUP;
	struct meter *m = &o->sc->meter;
	uint64_t from;
	uint32_t site;

	module_look();
	meter_window(&o->c->sites.costs, m);
	meter_start(&o->c->sites.costs, m,
		    TIMED_EVERY / 2 + random_below(&o->sc->random, TIMED_EVERY));
	from = meter_now();
	site = site_find(o);
	if (o->missed || !site) {
		meter_scaled(m, source, from);
		from = meter_now();
	} else {
		time_again(o, m, source);
	}
	if (m->quick)
		meter_add(m, BMEM_OVERHEAD_LOOKUP,
			  time_looks(o, look_short, TIMED_SHORT), TIMED_SHORT,
			  m->quick);
	meter_timing(m, from);
	m->inner_ns = 0;
	m->from = meter_now();
	return site;
}

/**
 * site_whole() - the site of a whole stack that the thread knows
 * @c: as for site_of()
 * @sc: as for site_of()
 * @ret: as for site_of()
 * @frame: as for site_of()
 * @level: as for site_of()
 * @bytes: as for site_of()
 *
 * Return: the site, or 0 where site_slow() has to be asked.
 */
uint32_t site_whole(struct bmem_client *c, struct site_cache *sc,
		    const void *ret, const void *frame, uint32_t level,
		    size_t bytes)
{
	if (bytes < SITE_BIG && (level != BMEM_LEVEL_FULL || site_reduced(c)))
		return 0;
	return site_hit_whole(sc, ret, frame, site_weight(bytes));
}

/**
 * site_slow() - site_of() where the thread's cache has no short answer
 * @c: as for site_of()
 * @sc: as for site_of()
 * @label: as for site_of()
 * @ret: as for site_of()
 * @frame: as for site_of()
 * @level: %BMEM_LEVEL_STANDARD or %BMEM_LEVEL_FULL
 * @bytes: as for site_of()
 *
 * Return: as for site_of().
 */
uint32_t site_slow(struct bmem_client *c, struct site_cache *sc,
		   const char *label, const void *ret, const void *frame,
		   uint32_t level, size_t bytes)
{
	bool full = bytes >= SITE_BIG ||
		    (level == BMEM_LEVEL_FULL && !site_reduced(c));
	struct origin o = {
		.c = c,
		.sc = sc,
		.label = label,
		.ret = ret,
		.frame = frame,
		.weight = site_weight(bytes),
		.full = full,
		.ask = (full || bytes >= CALLER_BYTES) && caller_on(),
	};

	sc->meter.timing = false;
	if (!full && !label)
		settle(sc, site_key(ret));
	if (!sc->meter.left)
		return site_with_timer(&o);
	sc->meter.left--;
	return site_find(&o);
}

/**
 * site_cache_flush() - hand on what a thread has measured, and forget all
 * @c: client
 * @sc: the thread's cache; all zero afterwards
 */
void site_cache_flush(struct bmem_client *c, struct site_cache *sc)
{
	if (!sc->meter.every)
		return;
	meter_flush(&c->sites.costs, &sc->meter);
	atomic_fetch_sub(&c->sites.costs.caches, 1);
	memset(sc, 0, sizeof(*sc));
}

/* By name and return address, where there is no thread's cache. */
uint32_t site_at(struct bmem_client *c, const char *label, const void *ret)
{
	struct stack st = { .nr = !!ret, .pcs = { (uintptr_t)ret } };
	/* A name that was given stands for itself. */
	uint32_t scope = ret ? bmem_scope_id() : 0, site;
	struct site_slot *slot;

	slot = slot_get(&c->sites, stack_key(&st, what_of(label, scope)));
	if (!slot)
		return site_lost(&c->sites);
	site = atomic_load_explicit(&slot->site, memory_order_acquire);
	if (site == SITE_PENDING)
		site = slot_name(c, slot, &st, scope, label, "");
	return site == SITE_LOST ? site_lost(&c->sites) : site;
}

uint32_t bmem_site(struct bmem_client *c, const char *name)
{
	uint32_t site;

	if (!name || !*name) {
		errno = EINVAL;
		return 0;
	}
	site = site_at(c, name, NULL);
	if (!site)
		errno = ENOSPC;
	return site;
}

uint64_t bmem_sites_lost(const struct bmem_client *c)
{
	return atomic_load(&c->sites.lost);
}
