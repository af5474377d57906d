/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one user may take of what all share.
 */
#ifndef BMEM_QUOTA_H
#define BMEM_QUOTA_H

#include <linux/types.h>

struct bmem_pool;
struct quota;

struct quota *bmem_quota_get(const struct bmem_pool *pool);
struct quota *bmem_quota_hold(struct quota *q);
void bmem_quota_put(struct quota *q);
bool bmem_quota_take(struct quota *q, unsigned long nr, unsigned long max);
void bmem_quota_give(struct quota *q, unsigned long nr);

#endif /* BMEM_QUOTA_H */
