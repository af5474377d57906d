// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Figures of clients and pools, and the administration of pools: the calls of
 * the ABI under the library's names.
 */
#include <errno.h>

#include "cache.h"

int bmem_query(struct bmem_client *c, struct bmem_query *query)
{
	return call(c, BMEM_QUERY, query);
}

int bmem_stats(struct bmem_client *c, struct bmem_client_stats *stats)
{
	uint32_t flags = stats->flags;
	int ret;

	/* Small tensors are in the ledger only. */
	stats->flags |= BMEM_STATS_LEDGER;
	ret = call(c, BMEM_CLIENT_STATS, stats);
	stats->flags = flags;
	return ret;
}

int bmem_client_list(struct bmem_client *c, struct bmem_client_list *list)
{
	return call(c, BMEM_CLIENT_LIST, list);
}

int bmem_tombstone_list(struct bmem_client *c, struct bmem_tombstone_list *list)
{
	return call(c, BMEM_TOMBSTONE_LIST, list);
}

int bmem_tombstone_sites(struct bmem_client *c,
			 struct bmem_tombstone_sites *sites)
{
	return call(c, BMEM_TOMBSTONE_SITES, sites);
}

int bmem_tombstone_module(struct bmem_client *c,
			  struct bmem_tombstone_module *info)
{
	return call(c, BMEM_TOMBSTONE_MODULE, info);
}

int bmem_leak_list(struct bmem_client *c, struct bmem_leak_list *list)
{
	return call(c, BMEM_LEAK_LIST, list);
}

int bmem_leak_scan(struct bmem_client *c, struct bmem_leak_scan *scan)
{
	idle_flush(c);
	return call(c, BMEM_LEAK_SCAN, scan);
}

int bmem_trim(struct bmem_client *c, uint64_t keep, unsigned int flags,
	      uint64_t *trimmed)
{
	struct bmem_trim arg = {
		.size = sizeof(arg),
		.flags = flags,
		.keep_bytes = keep,
	};
	int ret;

	if (!(flags & BMEM_TRIM_QUEUED))
		idle_flush(c);
	ret = call(c, BMEM_TRIM, &arg);
	if (!ret && trimmed)
		*trimmed = arg.trimmed_bytes;
	return ret;
}

int bmem_pool_create(struct bmem_client *c, struct bmem_pool_create *create)
{
	return call(c, BMEM_POOL_CREATE, create);
}

int bmem_pool_destroy(struct bmem_client *c, uint32_t pool)
{
	struct bmem_pool_destroy arg = { .size = sizeof(arg), .pool = pool };

	return call(c, BMEM_POOL_DESTROY, &arg);
}

int bmem_pool_resize(struct bmem_client *c, struct bmem_pool_resize *resize)
{
	return call(c, BMEM_POOL_RESIZE, resize);
}

int bmem_pool_list(struct bmem_client *c, uint32_t *ids, uint32_t nr)
{
	struct bmem_pool_list arg = {
		.size = sizeof(arg),
		.nr = nr,
		.ids = (uintptr_t)ids,
	};
	int ret = call(c, BMEM_POOL_LIST, &arg);

	return ret ? ret : (int)arg.nr;
}

int bmem_pool_stats(struct bmem_client *c, struct bmem_pool_stats *stats)
{
	return call(c, BMEM_POOL_STATS, stats);
}

int bmem_pool_pressure(struct bmem_client *c, struct bmem_pressure *pressure)
{
	return call(c, BMEM_PRESSURE, pressure);
}
