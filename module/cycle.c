// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tensors that are referred to, but only by each other: cycles of links that no
 * reference from outside leads into, and what hangs on them.
 *
 * Only what is linked, in whatever direction, to something that has changed is
 * looked at.  It is taken down in slices, so that its client goes on meanwhile,
 * into memory that is there before the client is locked; judged without the
 * lock; and checked against what there is by then.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "bmem_private.h"

/* What is done in one hold of a client's lock. */
#define SLICE_STEPS	2048

/* Tables begin with room for so many nodes, and twice as many links. */
#define ROOM_MIN	1024U

/* Checks of a client that changes all the time. */
#define CHECKS_MAX	4

unsigned int bmem_cycle_ms = 10000;

static int look_grow(struct graph_look *look)
{
	u32 nodes = max(look->nodes_room, ROOM_MIN / 2);
	u32 links = max(look->links_room, ROOM_MIN);
	void *table;

	/* Both, or a graph that has a few nodes and many links never ends. */
	if (nodes > GRAPH_MAX || links > 2 * GRAPH_MAX)
		return -ENOMEM;
	table = kvmalloc(graph_look_bytes(2 * nodes, 2 * links), GFP_BMEM_META);
	if (!table)
		return -ENOMEM;
	kvfree(graph_look_grow(look, table, 2 * nodes, 2 * links));
	return 0;
}

/* Takes down all that is to be looked at. */
static int look_take(struct leak_round *round, struct graph_look *look)
{
	struct bmem_client *client = round->client;
	bool done = false, begun = false;
	int rc = 0;

	while (!done) {
		if (rc == -EAGAIN)
			rc = look_grow(look);
		if (!rc)
			rc = bmem_leak_lock(round);
		if (!rc && fatal_signal_pending(current)) {
			mutex_unlock(&client->lock);
			rc = -EINTR;
		}
		if (rc)
			return rc;
		if (!begun)
			graph_look_begin(&client->links->graph, look);
		begun = true;
		rc = graph_look_take(&client->links->graph, look, SLICE_STEPS,
				     &done);
		mutex_unlock(&client->lock);
		cond_resched();
	}
	return 0;
}

/* Returns 1 when some are in use after all, since others have changed. */
static int look_check(struct leak_round *round, struct graph_look *look)
{
	struct bmem_client *client = round->client;
	u32 at = 0, revived = 0;
	bool done = false;
	int rc;

	while (!done) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		done = look->changes == client->links->graph.changes ||
		       graph_check(&client->links->graph, look, &at,
				   SLICE_STEPS, &revived);
		mutex_unlock(&client->lock);
		cond_resched();
	}
	return revived > 0;
}

static int look_mark(struct leak_round *round, struct graph_look *look)
{
	struct bmem_client *client = round->client;
	bool done = false;
	u32 at = 0;
	int rc;

	while (!done) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		done = graph_mark(&client->links->graph, look, &at,
				  SLICE_STEPS);
		mutex_unlock(&client->lock);
		cond_resched();
	}
	return 0;
}

static int look_judge(struct leak_round *round, struct graph_look *look)
{
	void *table = kvmalloc(graph_judge_bytes(look), GFP_BMEM_META);
	unsigned int checks = 0;
	int rc;

	if (!table)
		return -ENOMEM;
	graph_judge(look, table);
	do {
		rc = look_check(round, look);
	} while (rc > 0 && ++checks < CHECKS_MAX);
	if (!rc)
		rc = look_mark(round, look);
	kvfree(table);
	return rc > 0 ? -EBUSY : rc;
}

/*
 * What was not looked at to the end is to be looked at another time.  Who gives
 * up since the client is busy, or is killed, does not wait for it here either:
 * the next look goes on with this.
 */
static int look_abort(struct leak_round *round)
{
	struct links *links = round->client->links;
	bool done = false;
	int rc;

	while (!done) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		done = graph_look_abort(&links->graph, &links->look,
					&links->look_at, SLICE_STEPS);
		mutex_unlock(&round->client->lock);
		cond_resched();
	}
	links->look_open = false;
	return 0;
}

static void look_end(struct links *links)
{
	if (links->look_open)
		return;
	kvfree(graph_look_table(&links->look));
	memset(&links->look, 0, sizeof(links->look));
	links->look_at = 0;
}

static int look(struct leak_round *round)
{
	struct links *links = round->client->links;
	int rc = 0;

	lockdep_assert_held(&round->client->leaks.round_lock);
	if (links->look_open)
		rc = look_abort(round);
	look_end(links);
	if (rc || READ_ONCE(links->graph.dirty) == GRAPH_NONE)
		return rc;
	links->look_open = true;
	rc = look_take(round, &links->look) ?:
	     look_judge(round, &links->look);
	if (rc)
		look_abort(round);
	else
		links->look_open = false;
	look_end(links);
	return rc;
}

static void hit(struct leak_round *round, u32 node)
{
	const struct graph *g = &round->client->links->graph;
	struct bmem_tensor t;
	struct leak_hit hit = { .tensor = &t, .confidence = 100 };

	if (!bmem_links_check(round->client, node, &t))
		return;
	hit.cookie = g->nodes[node].gen;
	if (g->nodes[node].flags & GRAPH_CYCLE)
		hit.evidence |= BMEM_LEAK_IN_CYCLE;
	if (g->nodes[node].flags & GRAPH_BEHIND)
		hit.evidence |= BMEM_LEAK_BEHIND;
	bmem_leak_suspect(round, &hit);
}

static int cycle_scan(struct bmem_client *client, struct leak_round *round)
{
	if (!READ_ONCE(client->links))
		return 0;
	return bmem_links_sweep(round) ?: look(round) ?:
	       bmem_links_walk(round, true, hit);
}

/* Unasked for whoever wants to know all, and pays for it. */
static u64 cycle_period(struct bmem_client *client)
{
	if (!READ_ONCE(client->links) ||
	    bmem_control_level(client) < BMEM_LEVEL_FULL)
		return 0;
	return READ_ONCE(bmem_cycle_ms) * (u64)NSEC_PER_MSEC;
}

const struct leak_detector bmem_leak_cycle = {
	.name = "cycle",
	.kind = BMEM_LEAK_CYCLE,
	.rounds = 1,
	.period = cycle_period,
	.scan = cycle_scan,
};
