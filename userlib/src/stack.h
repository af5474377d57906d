/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A thread's call stack.
 */
#ifndef BMEM_STACK_H
#define BMEM_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/bmem.h>

#define FRAME_ALIGN	16
#define FRAME_SIZE	(2 * sizeof(uintptr_t))

/**
 * struct stack - a call stack
 * @nr: frames, 1 or more
 * @whole: it goes back to where the thread began, or has %BMEM_FRAMES_MAX
 * @walked: @off and @end are there: it is from stack_walk(), which read memory
 * @end: saved frame pointer of the last frame
 * @off: frame pointers, relative to the first
 * @pcs: return addresses, innermost first
 */
struct stack {
	uint32_t nr;
	bool whole;
	bool walked;
	uintptr_t end;
	uint64_t off[BMEM_FRAMES_MAX];
	uintptr_t pcs[BMEM_FRAMES_MAX];
};

/**
 * stack_frame_ok() - can this be the frame pointer of a caller?
 * @fp: any word
 * @below: its callee's frame pointer
 * @high: first address above the stack
 *
 * Return: true if it can be followed.
 */
static inline bool stack_frame_ok(uintptr_t fp, uintptr_t below,
				  uintptr_t high)
{
	return fp > below && fp <= high - FRAME_SIZE && !(fp % FRAME_ALIGN);
}

int stack_bounds(uintptr_t *low, uintptr_t *high);
void stack_walk(struct stack *st, const void *ret, const void *frame,
		uintptr_t low, uintptr_t high);
bool stack_unwind(struct stack *st, const void *ret);

#endif /* BMEM_STACK_H */
