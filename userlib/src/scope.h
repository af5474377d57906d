/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Labels for all that a thread allocates until it takes them off again.
 */
#ifndef BMEM_SCOPE_H
#define BMEM_SCOPE_H

#include <stdint.h>

#include <linux/bmem.h>

#include "tls.h"

#define SCOPES_MAX	1024
/* Return addresses are below this bit, numbers of scopes from it on. */
#define SCOPE_SHIFT	53

_Static_assert(SCOPES_MAX < 1 << (64 - SCOPE_SHIFT), "numbers of scopes");

/* The calling thread's scope: one load. */
static inline uint32_t bmem_scope_id(void)
{
	return tls.scopes.id;
}

void scope_text(char text[BMEM_LABEL_LEN], uint32_t id);

#endif /* BMEM_SCOPE_H */
