// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A thread's call stack: by frame pointers, which is cheap and ends early in
 * code that was built without them, or by the compiler's unwinder, which is
 * neither.
 *
 * Nothing that is read here is believed: a frame pointer may be anything.  It
 * is followed only upwards and inside the thread's own stack, all of which is
 * mapped above the current frame.
 */
#include <errno.h>
#include <pthread.h>
#include <unwind.h>

#include "module.h"
#include "stack.h"

/* The thread is in here already: from a signal, or from malloc(). */
static __thread bool busy __attribute__((tls_model("initial-exec")));

/**
 * stack_bounds() - where is the calling thread's stack?
 * @low: out, its lowest address
 * @high: out, the first address above it
 *
 * Slow, and may allocate.
 *
 * Return: 0, -ENOENT when that cannot be known, -EBUSY when the thread is in
 * here already.
 */
int stack_bounds(uintptr_t *low, uintptr_t *high)
{
	pthread_attr_t attr;
	int saved = errno;
	void *addr = NULL;
	size_t size = 0;

	if (busy)
		return -EBUSY;
	busy = true;
	if (!pthread_getattr_np(pthread_self(), &attr)) {
		if (pthread_attr_getstack(&attr, &addr, &size))
			size = 0;
		pthread_attr_destroy(&attr);
	}
	busy = false;
	errno = saved;
	if (!size)
		return -ENOENT;
	*low = (uintptr_t)addr;
	*high = *low + size;
	return 0;
}

/**
 * stack_walk() - follow the frame pointers
 * @st: out
 * @ret: return address of the function that has @frame
 * @frame: its __builtin_frame_address(0)
 * @low: lowest address of the stack
 * @high: first address above it, or 0 when that is not known
 */
__attribute__((no_sanitize("address", "thread")))
void stack_walk(struct stack *st, const void *ret, const void *frame,
		uintptr_t low, uintptr_t high)
{
	uintptr_t fp = (uintptr_t)frame, next;
	struct module_place place;
	bool runtime = false;

	st->nr = 1;
	st->whole = false;
	st->walked = false;
	st->off[0] = 0;
	st->pcs[0] = (uintptr_t)ret;
	if (high - low < FRAME_SIZE || !stack_frame_ok(fp, low - 1, high))
		return;
	st->walked = true;
	while (st->nr < BMEM_FRAMES_MAX) {
		next = *(const uintptr_t *)fp;
		st->end = next;
		if (!stack_frame_ok(next, fp, high))
			break;
		st->pcs[st->nr] = ((const uintptr_t *)next)[1];
		if (!module_find(st->pcs[st->nr], &place))
			break;
		st->off[st->nr++] = next - (uintptr_t)frame;
		runtime = place.runtime;
		fp = next;
	}
	/* The C library calls what a thread begins with. */
	st->whole = st->nr == BMEM_FRAMES_MAX || !st->end || runtime;
}

struct unwinding {
	struct stack *st;
	uintptr_t ret;
};

static _Unwind_Reason_Code unwind_frame(struct _Unwind_Context *ctx, void *arg)
{
	struct unwinding *u = arg;
	uintptr_t pc = _Unwind_GetIP(ctx);

	/* What is below the caller is this library. */
	if (!u->st->nr && pc != u->ret)
		return _URC_NO_REASON;
	if (!pc || u->st->nr == BMEM_FRAMES_MAX)
		return _URC_END_OF_STACK;
	u->st->pcs[u->st->nr++] = pc;
	return _URC_NO_REASON;
}

static bool in_runtime(uintptr_t pc)
{
	struct module_place place;

	return module_find(pc, &place) && place.runtime;
}

/* What the C library and the program's own start-up do before main(). */
static void trim(struct stack *st)
{
	if (st->nr > 2 && in_runtime(st->pcs[st->nr - 2]) &&
	    !in_runtime(st->pcs[st->nr - 1]))
		st->nr--;
	while (st->nr > 2 && in_runtime(st->pcs[st->nr - 2]) &&
	       in_runtime(st->pcs[st->nr - 1]))
		st->nr--;
}

/**
 * stack_unwind() - the whole stack by the compiler's unwinder
 * @st: out
 * @ret: return address of the function of this library that was called
 *
 * Not for signal handlers.
 *
 * Return: true if @st is filled in.
 */
bool stack_unwind(struct stack *st, const void *ret)
{
	struct unwinding u = { .st = st, .ret = (uintptr_t)ret };
	int saved = errno;

	if (busy)
		return false;
	busy = true;
	st->nr = 0;
	st->whole = true;
	st->walked = false;
	_Unwind_Backtrace(unwind_frame, &u);
	if (st->nr && st->nr < BMEM_FRAMES_MAX)
		trim(st);
	busy = false;
	errno = saved;
	return st->nr;
}
