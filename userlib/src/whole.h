/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * From a whole stack that a thread knows to its site: what is on the way of
 * every large allocation, and at level full of every one.
 */
#ifndef BMEM_WHOLE_H
#define BMEM_WHOLE_H

#include "caller.h"
#include "module.h"
#include "scope.h"
#include "site.h"
#include "stack.h"

/* A struct site_frame, so that both words are compared at once. */
typedef uint64_t frame_words __attribute__((vector_size(16), aligned(8),
					    may_alias));

_Static_assert(sizeof(frame_words) == sizeof(struct site_frame), "a frame");

static inline struct site_outer *outer_entry(struct site_cache *sc, uintptr_t fp,
				      uintptr_t pc)
{
	uint64_t h = (pc ^ fp << 20) * 0x9e3779b97f4a7c15ULL;

	return &sc->outers[h >> 58];
}

_Static_assert(SITE_OUTERS == 1 << (64 - 58), "index of an outer stack");

/* Does @x lie in memory as it did?  Its addresses are those of a past walk. */
__attribute__((no_sanitize("address", "thread")))
static inline bool outer_same(const struct site_outer *x, uintptr_t fp,
			      uintptr_t pc, uintptr_t high)
{
	const struct site_frame *at = x->frames, *last;
	frame_words diff = { 0 };
	uintptr_t end;

	if (x->fp != fp || at->pc != pc)
		return false;
	if (!x->nr)
		return true;
	last = at + x->nr - 1;
	for (; at < last; at++) {
		diff |= *(const frame_words *)fp ^ *(const frame_words *)at;
		fp = at->next;
	}
	if (diff[0] | diff[1] || ((const uintptr_t *)fp)[1] != last->pc)
		return false;
	if (x->nr == BMEM_FRAMES_MAX - 1)
		return true;
	end = *(const uintptr_t *)fp;
	return end == x->end || !stack_frame_ok(end, fp, high);
}

/*
 * Where the caller's caller has its frame, if frame pointers lead there; or 0.
 * Nothing is read that is not on the thread's own stack, above this frame.
 */
__attribute__((no_sanitize("address", "thread")))
static inline uintptr_t outer_fp(const struct site_cache *sc, const void *frame)
{
	uintptr_t at = (uintptr_t)frame, fp;

	if (at - sc->low >= sc->high - sc->low)
		return 0;
	fp = *(const uintptr_t *)frame;
	return stack_frame_ok(fp, at, sc->high) ? fp : 0;
}

/* The stack that begins at what outer_fp() found, if the thread knows it. */
__attribute__((no_sanitize("address", "thread")))
static inline const struct site_outer *outer_look(struct site_cache *sc,
						  uintptr_t fp)
{
	uintptr_t pc = ((const uintptr_t *)fp)[1];
	struct site_outer *x = outer_entry(sc, fp, pc);

	/* In a register from here on, not worked out again for each use. */
	__asm__("" : "+r" (x));
	return outer_same(x, fp, pc, sc->high) ? x : NULL;
}

/* The first of the places for a site. */
static inline struct site_call *call_set(struct site_cache *sc, const void *ret,
					 uint64_t what, struct twin t)
{
	uint64_t h = ((uintptr_t)ret ^ what << 40 ^ t.key) *
		     0x9e3779b97f4a7c15ULL;

	return &sc->calls[(h >> 57) * SITE_WAYS];
}

_Static_assert(SITE_CALLS == SITE_WAYS << (64 - 57), "index of a call");

static inline struct site_call *call_find(struct site_cache *sc,
					  const void *ret, uint64_t what,
					  struct twin t)
{
	struct site_call *e = call_set(sc, ret, what, t);
	struct site_call *end = e + SITE_WAYS;

	for (; e < end; e++)
		if (e->ret == (uintptr_t)ret && e->outer.key == t.key &&
		    e->what == what && e->outer.check == t.check && e->site)
			return e;
	return NULL;
}

/* The site, if no sample is due; or 0. */
static inline uint32_t call_hit(struct site_call *e, bool whole,
				uint32_t weight)
{
	if (__builtin_expect(!whole, 0)) {
		if (e->left <= weight)
			return 0;
		e->left -= weight;
	}
	return e->site;
}

/* A stack without a label that the thread knows; or 0. */
static inline __attribute__((always_inline))
uint32_t site_known(struct site_cache *sc, const void *ret, const void *frame,
		    uint32_t weight)
{
	struct twin t = { sc->loads + 1, 0 };
	const struct site_outer *x;
	struct site_call *e;
	bool whole = false;
	uintptr_t fp;

	if (sc->loads != module_loads())
		return 0;
	fp = outer_fp(sc, frame);
	if (fp) {
		x = outer_look(sc, fp);
		if (!x)
			return 0;
		t = x->t;
		whole = x->whole;
	}
	e = call_find(sc, ret, bmem_scope_id(), t);
	return e ? call_hit(e, whole, weight) : 0;
}

/* The site of a whole stack that this thread knows, if nothing is due; or 0. */
static inline __attribute__((always_inline))
uint32_t site_hit_whole(struct site_cache *sc, const void *ret,
			const void *frame, uint32_t weight)
{
	uint32_t site;

	if (__builtin_expect(!sc->meter.left || caller_on(), 0))
		return 0;
	site = site_known(sc, ret, frame, weight);
	if (__builtin_expect(site != 0, 1))
		sc->meter.left--;
	return site;
}

#endif /* BMEM_WHOLE_H */
