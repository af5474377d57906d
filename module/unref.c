// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tensors that have been referred to, and are not any more: no hold and no link
 * is left, and they have not been freed.  What waits in a queue to be cleaned
 * up has been freed, and is not in the registry.
 *
 * The graph keeps a list of them, so that a look at it costs nothing but for
 * what is on it.
 */
#include "bmem_private.h"

static void hit(struct leak_round *round, u32 node)
{
	struct bmem_tensor t;
	struct leak_hit hit = {
		.tensor = &t,
		.evidence = BMEM_LEAK_NO_REFERENCE,
		.confidence = 100,
	};

	if (!bmem_links_check(round->client, node, &t))
		return;
	hit.cookie = round->client->links->graph.nodes[node].gen;
	bmem_leak_suspect(round, &hit);
}

static int unref_scan(struct bmem_client *client, struct leak_round *round)
{
	if (!READ_ONCE(client->links))
		return 0;
	return bmem_links_sweep(round) ?: bmem_links_walk(round, false, hit);
}

static bool unref_still(struct bmem_client *client,
			const struct leak_suspect *s)
{
	const struct graph_node *n;
	struct bmem_tensor t;
	u32 node;

	if (!client->links)
		return false;
	node = graph_find(&client->links->graph, s->handle);
	if (node == GRAPH_NONE || !bmem_links_check(client, node, &t))
		return false;
	n = &client->links->graph.nodes[node];
	return n->flags & GRAPH_IDLE && n->gen == s->cookie;
}

const struct leak_detector bmem_leak_unref = {
	.name = "unreferenced",
	.kind = BMEM_LEAK_UNREFERENCED,
	.rounds = 1,
	.scan = unref_scan,
	.still = unref_still,
};
