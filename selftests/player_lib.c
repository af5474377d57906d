// SPDX-License-Identifier: GPL-2.0-only
/*
 * Playing a trace through libbmem; see player.h.
 */
#include "player.h"

#ifdef USE_LIBBMEM

#include <bmem.h>

static int lib_open(struct player *p, const char *label, int pool)
{
	struct bmem_options options = {
		.sz = sizeof(options), .label = label, .pool = pool,
	};

	return bmem_open((struct bmem_client **)&p->priv, &options);
}

static int lib_alloc(struct player *p, struct block *b, __u32 align)
{
	b->addr = bmem_alloc_at(p->priv, b->bytes, align, 0, b->site);
	if (!b->addr)
		return -errno;
	/* Asking costs a call; the figure of waste is of these alone. */
	if (b->bytes >= BT_MIB)
		b->granted = bmem_usable_size(p->priv, b->addr);
	return 0;
}

static int lib_free(struct player *p, struct block *b)
{
	return bmem_free(p->priv, b->addr);
}

static int lib_site(struct player *p, __u32 hash, const char *label,
		    __u32 *number)
{
	(void)hash;
	*number = bmem_site(p->priv, label);
	return *number ? 0 : -errno;
}

static int lib_stats(struct player *p, struct bmem_client_stats *st)
{
	return bmem_stats(p->priv, st);
}

static int lib_list(struct player *p, struct bmem_tensor_list *l)
{
	return bmem_tensor_list(p->priv, l);
}

static void lib_close(struct player *p)
{
	bmem_close(p->priv);
}

static const struct backend lib = {
	.slots = true,
	.name = "libbmem",
	.open = lib_open,
	.alloc = lib_alloc,
	.free = lib_free,
	.site = lib_site,
	.stats = lib_stats,
	.list = lib_list,
	.close = lib_close,
};

const struct backend *backend_lib(void)
{
	return &lib;
}

#else

const struct backend *backend_lib(void)
{
	return NULL;
}

#endif /* USE_LIBBMEM */
