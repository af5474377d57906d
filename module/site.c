// SPDX-License-Identifier: GPL-2.0-only
/*
 * Call sites: where in a program tensors come from, by the program's own
 * numbering, with what is live of each.
 */
#include <linux/slab.h>

#include "bmem_private.h"

static struct site *site_add(struct bmem_client *client, u32 id)
{
	struct site *site;

	if (client->nr_sites >= BMEM_SITES_MAX)
		return ERR_PTR(-ENOSPC);
	site = kzalloc(sizeof(*site), GFP_BMEM_META);
	if (!site)
		return ERR_PTR(-ENOMEM);
	site->id = id;
	if (xa_err(xa_store(&client->sites, id, site, GFP_BMEM_META))) {
		kfree(site);
		return ERR_PTR(-ENOMEM);
	}
	client->nr_sites++;
	return site;
}

static struct site *site_find_or_add(struct bmem_client *client, u32 id)
{
	struct site *site = xa_load(&client->sites, id);

	lockdep_assert_held(&client->lock);
	return site ?: site_add(client, id);
}

/**
 * bmem_site_get() - the site of a new tensor
 * @client: client, locked
 * @id: the caller's number for it
 *
 * Return: the site, which lives as long as the client; the one of tensors
 * without a site when @id is 0 or there is no room for another; NULL without
 * memory.
 */
struct site *bmem_site_get(struct bmem_client *client, u32 id)
{
	struct site *site;

	if (!id)
		return &client->no_site;
	site = site_find_or_add(client, id);
	if (!IS_ERR(site))
		return site;
	return PTR_ERR(site) == -ENOSPC ? &client->no_site : NULL;
}

/**
 * bmem_site_name() - BMEM_SITE
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_site_name(struct bmem_client *client, struct bmem_site *cmd)
{
	struct site *site;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (!cmd->site)
		return -EINVAL;
	rc = bmem_label_check(cmd->label);
	if (rc)
		return rc;
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	site = site_find_or_add(client, cmd->site);
	if (!IS_ERR(site))
		strscpy_pad(site->label, cmd->label, sizeof(site->label));
	mutex_unlock(&client->lock);
	return PTR_ERR_OR_ZERO(site);
}

/**
 * bmem_sites_release() - forget the sites of a client that dies
 * @client: client, locked, without tensors
 */
void bmem_sites_release(struct bmem_client *client)
{
	struct site *site;
	unsigned long id;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->sites, id, site)
		kfree(site);
	xa_destroy(&client->sites);
}
