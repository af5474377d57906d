/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bmem_raise.ko can do in the kernel for tests: raise events, and keep
 * clients busy.
 */
#ifndef RAISER_H
#define RAISER_H

#include <linux/types.h>

/* 0 or -errno, -ENOSYS where there is none for this kernel. */
int raiser_load(void);
int raiser_unload(void);

int raise_event(__u32 type, __u32 pool, __u64 client, __u32 level);

/* Nobody else gets its lock, until it is that of client 0. */
int hold_client(__u64 client);

#endif /* RAISER_H */
