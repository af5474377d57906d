/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Labels for all that a thread allocates until it takes them off again.
 */
#ifndef BMEM_SCOPE_H
#define BMEM_SCOPE_H

#include <stdint.h>

#include <linux/bmem.h>

#define SCOPE_DEPTH	32
#define SCOPES_MAX	1024

/**
 * struct scopes - the labels that a thread has pushed
 * @id: the innermost, 0 for none
 * @depth: how many were pushed
 * @below: what @id was before each push
 */
struct scopes {
	uint32_t id;
	uint32_t depth;
	uint32_t below[SCOPE_DEPTH];
};

extern __thread struct scopes scopes
	__attribute__((tls_model("initial-exec")));

/* The calling thread's scope: one load. */
static inline uint32_t bmem_scope_id(void)
{
	return scopes.id;
}

void scope_text(char text[BMEM_LABEL_LEN], uint32_t id);

#endif /* BMEM_SCOPE_H */
