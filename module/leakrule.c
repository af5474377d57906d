// SPDX-License-Identifier: GPL-2.0-only
/*
 * What leaks have to do with other events: one that is found has its client's
 * space looked at, since leaked tensors lie between the holes; and once a pool
 * has been compacted, what is suspected in it is looked at again.
 */
#include "bmem_private.h"
#include "event.h"

/* Adds up the holes of a client's space; it is of no use to wait for long. */
static void measure(u64 id)
{
	struct bmem_client *client = bmem_client_get(id);
	unsigned int tries = BMEM_REPORT_TRIES;

	if (!client)
		return;
	if (!bmem_client_lock(client, &tries)) {
		place_measure(&client->place, &client->leaks.arena);
		mutex_unlock(&client->lock);
	}
	bmem_client_put(client);
}

static bool in_pool(struct bmem_client *client, u32 pool, unsigned int *tries)
{
	struct bmem_identity who;
	u32 is;

	return pool == BMEM_EVENT_NO_POOL ||
	       (bmem_client_describe(client, &who, &is, tries) && is == pool);
}

/* All clients of a pool, or one. */
static void look_again(const struct bmem_event *e)
{
	u64 id = 0, last = bmem_clients_last();
	unsigned int tries = BMEM_REPORT_TRIES;
	struct bmem_client *client;

	while ((client = bmem_client_next(id, last))) {
		id = client->who.id;
		if ((!e->client_id || e->client_id == id) &&
		    in_pool(client, e->pool, &tries))
			bmem_leak_recheck(client);
		bmem_client_put(client);
		cond_resched();
	}
}

static void found(const struct bmem_event_record *rec)
{
	measure(rec->event.client_id);
}

static void compacted(const struct bmem_event_record *rec)
{
	static struct bmem_rule rule;

	if (bmem_rule_claim(&rule, rec->cause))
		look_again(&rec->event);
}

static struct bmem_subscriber rules[] = {
	{
		.handle = found,
		.types = BMEM_EVENT_BIT(BMEM_EVENT_LEAK_SUSPECTED) |
			 BMEM_EVENT_BIT(BMEM_EVENT_LEAK_CONFIRMED),
	}, {
		.handle = compacted,
		.types = BMEM_EVENT_BIT(BMEM_EVENT_COMPACTED),
	},
};

/**
 * bmem_leak_rules_start() - react to events
 *
 * Return: 0 or a negative errno.
 */
int bmem_leak_rules_start(void)
{
	int rc = bmem_event_subscribe(&rules[0]);

	if (rc)
		return rc;
	rc = bmem_event_subscribe(&rules[1]);
	if (rc)
		bmem_event_unsubscribe(&rules[0]);
	return rc;
}

/**
 * bmem_leak_rules_stop() - react no more
 */
void bmem_leak_rules_stop(void)
{
	bmem_event_unsubscribe(&rules[1]);
	bmem_event_unsubscribe(&rules[0]);
}
