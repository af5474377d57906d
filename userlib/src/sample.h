/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Which allocations have their whole stack taken.
 */
#ifndef BMEM_SAMPLE_H
#define BMEM_SAMPLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SAMPLE_FIRST	10
#define SAMPLE_MAX	4096

uint32_t random_below(uint64_t *state, uint32_t bound);
uint32_t sample_draw(uint64_t *random, uint32_t interval, uint32_t throttle);
void sample_learn(_Atomic uint32_t *interval, bool news);

#endif /* BMEM_SAMPLE_H */
