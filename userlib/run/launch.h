/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the files of bmem-run share.
 */
#ifndef BMEM_LAUNCH_H
#define BMEM_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* As env(1) has them. */
#define EXIT_OURS	125
#define EXIT_CANNOT	126
#define EXIT_MISSING	127

/* program.c */
char *program_find(const char *name);
bool program_fits(const char *path);

/* device.c */
void device_explain(FILE *to, int err);
int device_check(uint32_t pool, const char *label);
int pool_find(const char *name, uint32_t *pool);

#endif /* BMEM_LAUNCH_H */
