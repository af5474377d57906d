/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The corpus of leaks: small programs that leak, each in a way of its own, and
 * some that do not though they look like it.
 *
 * A program is a function that runs in a process of its own.  It allocates what
 * it loses with the label LOST and says how many tensors that are; whatever else
 * it allocates has another label and is in use.
 */
#ifndef LEAK_CORPUS_H
#define LEAK_CORPUS_H

#include <stdbool.h>
#include <stddef.h>

#include <bmem.h>

#define LOST	"lost"
#define KEPT	"kept"

/**
 * struct world - what a program has
 * @program: which it is
 * @c: its client
 * @more: a second one, or NULL
 * @bare: descriptor of one that is the device alone, or 0
 * @again: it has called exec() to be itself once more
 * @lost: tensors with the label LOST that nothing leads to
 * @ready: descriptor to say so to
 * @over: descriptor that is closed when it is to end
 */
struct world {
	const struct program *program;
	struct bmem_client *c;
	struct bmem_client *more;
	int bare;
	bool again;
	unsigned int lost;
	int ready;
	int over;
};

#define NOINLINE	__attribute__((noinline, noclone))
#define KIB		1024UL
#define MIB		(1024UL * KIB)

/* What programs make lists and trees of. */
struct node {
	struct node *next;
	struct node *other;
	char rest[112];
};

/**
 * struct program - one of the corpus
 * @name: says what it does
 * @run: does it, and calls settle() when it has
 * @kind: enum bmem_leak_kind by which it is told, 0 for unreachable
 */
struct program {
	const char *name;
	void (*run)(struct world *w);
	unsigned int kind;
};

extern const struct program leaking[];
extern const struct program innocent[];
extern const unsigned int nr_leaking;
extern const unsigned int nr_innocent;

/* Say that all is as it is to be found, and wait until the program is to end. */
void settle(struct world *w);

/*
 * Say so at once, and take a step every STEP_MS until the program is to end: as
 * many as the clock says, however slow the machine is.
 */
#define STEP_MS	50
void go_on_stepping(struct world *w, void (*step)(struct world *w, unsigned int i));

/* Call exec() for the same program, with @again set; w->bare is kept open. */
void run_again(struct world *w);

/* Get a tensor that is written to; ends the process when there is none. */
void *get(struct world *w, size_t size, const char *label);

/* What a program does next, so that registers have something else in them. */
void go_on(void);

/* Overwrite what dead frames have left on this stack. */
void scrub(void);

#endif /* LEAK_CORPUS_H */
