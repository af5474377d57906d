// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links between tensors: LINK, UNLINK, and what becomes of them when tensors
 * come and go.
 *
 * The kernel is not told of it when what is in a slot, or in a tensor with a
 * record, is freed.  Its node is stale then, until somebody comes across it, or
 * looks for such nodes from time to time.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bmem_private.h"

/* Tables begin with so many entries and double. */
#define ROOM_MIN	64

/* Links that are removed before others get the CPU. */
#define REMOVE_STRIDE	4096

/* Unreferenced tensors are looked for when so many have been allocated. */
#define ALLOCS_PERIOD	1000

/* Nodes that a round of the worker checks, and that are looked at in one hold. */
#define SWEEP_NODES	2048
#define SWEEP_SLICE	256

/* Entries of the tables that are looked at for each row. */
#define ROW_STEPS	64

static_assert(GRAPH_MAX == BMEM_LINKS_MAX);

/* ---- tables ------------------------------------------------------------------- */

static struct links *links_get(struct bmem_client *client)
{
	struct links *links = client->links;

	if (links)
		return links;
	links = kzalloc(sizeof(*links), GFP_BMEM_META);
	if (!links)
		return NULL;
	graph_init(&links->graph, get_random_u64());
	links->bytes = sizeof(*links);
	WRITE_ONCE(client->links, links);
	/* From now on it is worth looking. */
	bmem_leak_soon(client, BMEM_LEAK_CYCLE);
	return links;
}

static u32 larger(u32 room)
{
	return room ? 2 * room : ROOM_MIN;
}

static int grow_nodes(struct links *links)
{
	struct graph *g = &links->graph;
	u32 room = larger(g->nodes_room);
	void *table;

	if (room > GRAPH_MAX)
		return -ENOSPC;
	table = kvzalloc(graph_nodes_bytes(room), GFP_BMEM_META);
	if (!table)
		return -ENOMEM;
	links->bytes += graph_nodes_bytes(room) -
			graph_nodes_bytes(g->nodes_room);
	kvfree(graph_grow_nodes(g, table, room));
	return 0;
}

static int grow_links(struct links *links)
{
	struct graph *g = &links->graph;
	u32 room = larger(g->links_room);
	void *table;

	if (room > GRAPH_MAX)
		return -ENOSPC;
	table = kvzalloc(graph_links_bytes(room), GFP_BMEM_META);
	if (!table)
		return -ENOMEM;
	links->bytes += graph_links_bytes(room) -
			graph_links_bytes(g->links_room);
	kvfree(graph_grow_links(g, table, room));
	return 0;
}

/* Room for a link and two nodes. */
static int make_room(struct links *links)
{
	struct graph *g = &links->graph;
	int rc = 0;

	if (g->nodes_room - g->nr_nodes < 2)
		rc = grow_nodes(links);
	if (!rc && graph_links_full(g))
		rc = grow_links(links);
	return rc;
}

/* ---- nodes ---------------------------------------------------------------------- */

static void node_remove(struct links *links, u32 node)
{
	while (!graph_remove(&links->graph, node, REMOVE_STRIDE))
		cond_resched();
}

/**
 * bmem_links_check() - is a node still the tensor that it was made for?
 * @client: client, locked, that has links
 * @node: node; removed when it is not
 * @out: out, the tensor
 *
 * Return: true when it is.
 */
bool bmem_links_check(struct bmem_client *client, u32 node,
		      struct bmem_tensor *out)
{
	const struct graph_node *n = &client->links->graph.nodes[node];

	lockdep_assert_held(&client->lock);
	if (bmem_tensor_find(client, n->name, out) &&
	    bmem_tensor_gen(client, n->name) == n->gen)
		return true;
	node_remove(client->links, node);
	return false;
}

/* The node of a live tensor, if it has one; -ENOENT when there is no tensor. */
static int node_find(struct bmem_client *client, u64 handle, u32 *node)
{
	struct bmem_tensor t;

	*node = graph_find(&client->links->graph, handle);
	if (*node != GRAPH_NONE && bmem_links_check(client, *node, &t))
		return 0;
	*node = GRAPH_NONE;
	return bmem_tensor_find(client, handle, &t) ? 0 : -ENOENT;
}

static u32 node_make(struct bmem_client *client, u64 handle, u32 node)
{
	if (node != GRAPH_NONE)
		return node;
	return graph_add(&client->links->graph, handle,
			 bmem_tensor_gen(client, handle));
}

/* ---- LINK, UNLINK ---------------------------------------------------------------- */

static int entry_link(struct bmem_client *client,
		      const struct bmem_link_entry *e)
{
	struct graph *g = &client->links->graph;
	u32 from = GRAPH_NONE, to;
	int rc;

	rc = make_room(client->links) ?: node_find(client, e->to, &to);
	if (!rc && e->from)
		rc = node_find(client, e->from, &from);
	if (rc)
		return rc;
	if (!e->from)
		return graph_hold(g, node_make(client, e->to, to));
	/* The stale node of one may have been what kept the other. */
	to = node_make(client, e->to, graph_find(g, e->to));
	from = node_make(client, e->from, graph_find(g, e->from));
	return graph_link(g, from, to);
}

static int entry_unlink(struct bmem_client *client,
			const struct bmem_link_entry *e)
{
	struct graph *g = &client->links->graph;
	u32 from, to;
	int rc;

	rc = node_find(client, e->to, &to);
	if (!rc && e->from)
		rc = node_find(client, e->from, &from);
	if (rc)
		return rc;
	to = graph_find(g, e->to);
	if (to == GRAPH_NONE)
		return -ENOENT;
	if (!e->from)
		return graph_drop(g, to);
	from = graph_find(g, e->from);
	return from == GRAPH_NONE ? -ENOENT : graph_unlink(g, from, to);
}

static int entry_run(struct bmem_client *client,
		     const struct bmem_link_entry *e, bool unlink)
{
	if (!e->to)
		return -EINVAL;
	if (unlink)
		return client->links ? entry_unlink(client, e) : -ENOENT;
	return links_get(client) ? entry_link(client, e) : -ENOMEM;
}

static void link_all(struct bmem_client *client, struct bmem_link *cmd,
		     struct bmem_link_entry *entries, bool unlink)
{
	u32 i;

	lockdep_assert_held(&client->lock);
	for (i = 0; i < cmd->nr; i++) {
		entries[i].result = entry_run(client, &entries[i], unlink);
		cmd->done += !entries[i].result;
		cond_resched();
	}
}

static struct bmem_link_entry *entries_get(const struct bmem_link *cmd)
{
	struct bmem_link_entry *entries;
	u32 i;

	if (!cmd->nr || cmd->nr > BMEM_BATCH_MAX)
		return ERR_PTR(-EINVAL);
	entries = kvmalloc_array(cmd->nr, sizeof(*entries), GFP_BMEM_META);
	if (!entries)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(entries, u64_to_user_ptr(cmd->entries),
			   array_size(cmd->nr, sizeof(*entries)))) {
		kvfree(entries);
		return ERR_PTR(-EFAULT);
	}
	for (i = 0; i < cmd->nr; i++) {
		if (!entries[i].__reserved)
			continue;
		kvfree(entries);
		return ERR_PTR(-EOPNOTSUPP);
	}
	return entries;
}

/**
 * bmem_link() - BMEM_LINK, BMEM_UNLINK
 * @client: client
 * @cmd: as in the ABI
 * @unlink: UNLINK
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_link(struct bmem_client *client, struct bmem_link *cmd, bool unlink)
{
	struct bmem_link_entry *entries;
	int rc = 0;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->done = 0;
	entries = entries_get(cmd);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	if (mutex_lock_killable(&client->lock)) {
		rc = -EINTR;
		goto out;
	}
	link_all(client, cmd, entries, unlink);
	mutex_unlock(&client->lock);
	if (copy_to_user(u64_to_user_ptr(cmd->entries), entries,
			 array_size(cmd->nr, sizeof(*entries))))
		rc = -EFAULT;
out:
	kvfree(entries);
	return rc;
}

/* ---- tensors come and go ------------------------------------------------------------ */

/**
 * bmem_links_forget() - a tensor is freed, and so are its links
 * @client: client, locked
 * @handle: its handle
 */
void bmem_links_forget(struct bmem_client *client, u64 handle)
{
	u32 node;

	lockdep_assert_held(&client->lock);
	if (!client->links)
		return;
	node = graph_find(&client->links->graph, handle);
	if (node != GRAPH_NONE)
		node_remove(client->links, node);
}

/**
 * bmem_links_allocated() - tensors, or slots for some, have been allocated
 * @client: client, not locked
 * @nr: how many
 */
void bmem_links_allocated(struct bmem_client *client, u32 nr)
{
	struct links *links = READ_ONCE(client->links);

	if (!links || atomic_add_return(nr, &links->allocs) < ALLOCS_PERIOD)
		return;
	atomic_set(&links->allocs, 0);
	bmem_leak_soon(client, BMEM_LEAK_UNREFERENCED);
}

/**
 * bmem_links_purge() - remove nodes of tensors that are gone
 * @client: client, locked
 * @max: nodes to look at, at most; all of them come in turn
 */
void bmem_links_purge(struct bmem_client *client, u32 max)
{
	struct links *links = client->links;
	struct bmem_tensor t;

	lockdep_assert_held(&client->lock);
	for (; links && max--; links->purged++) {
		if (links->purged >= links->graph.nodes_top) {
			links->purged = 0;
			return;
		}
		if (links->graph.nodes[links->purged].name)
			bmem_links_check(client, links->purged, &t);
	}
}

/**
 * bmem_links_sweep() - the same before a client's links are looked at
 * @round: round of a detector, its client not locked
 *
 * All of them when somebody waits for the result, some of them else.
 *
 * Return: 0 or an error of bmem_leak_lock().
 */
int bmem_links_sweep(struct leak_round *round)
{
	struct bmem_client *client = round->client;
	u32 left = round->patient ? GRAPH_MAX : SWEEP_NODES, nr;
	int rc;

	for (; left; left -= nr) {
		nr = min_t(u32, left, SWEEP_SLICE);
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		bmem_links_purge(client, nr);
		if (!client->links->purged)
			left = nr;
		mutex_unlock(&client->lock);
		cond_resched();
	}
	return 0;
}

/**
 * bmem_links_walk() - go over a list of what nobody refers to
 * @round: round of a detector, its client not locked, and it has links
 * @lost: what only what is lost itself refers to; else what nothing does
 * @hit: is told of each node, with the client locked
 *
 * In slices, so that the client goes on meanwhile.
 *
 * Return: 0 or an error of bmem_leak_lock().
 */
int bmem_links_walk(struct leak_round *round, bool lost,
		    void (*hit)(struct leak_round *round, u32 node))
{
	struct bmem_client *client = round->client;
	struct graph_list *list;
	bool begun = false;
	u32 node = 0;
	int rc, i;

	while (node != GRAPH_NONE) {
		rc = bmem_leak_lock(round);
		if (rc)
			return rc;
		list = lost ? &client->links->graph.lost :
			      &client->links->graph.idle;
		if (!begun)
			graph_walk_begin(list);
		begun = true;
		for (i = 0; i < SWEEP_SLICE; i++) {
			node = graph_walk_next(&client->links->graph, list);
			if (node == GRAPH_NONE)
				break;
			hit(round, node);
		}
		mutex_unlock(&client->lock);
		cond_resched();
	}
	return 0;
}

/**
 * bmem_links_count() - references to a tensor, and from it
 * @client: client, locked
 * @handle: its handle
 * @holds: out, holds
 * @in: out, links to it
 * @out: out, links from it
 */
void bmem_links_count(struct bmem_client *client, u64 handle, u32 *holds,
		      u32 *in, u32 *out)
{
	const struct graph_node *n;
	u32 node = GRAPH_NONE;

	*holds = 0;
	*in = 0;
	*out = 0;
	if (client->links && !node_find(client, handle, &node) &&
	    node != GRAPH_NONE) {
		n = &client->links->graph.nodes[node];
		*holds = n->holds;
		*in = n->nr_in;
		*out = n->nr_out;
	}
}

/* ---- reports ---------------------------------------------------------------------- */

static bool row_of_node(const struct graph *g, u32 i, struct link_row *row)
{
	row->from = 0;
	row->to = g->nodes[i].name;
	row->count = g->nodes[i].holds;
	return row->to && row->count;
}

static bool row_of_link(const struct graph *g, u32 i, struct link_row *row)
{
	if (g->links[i].from == GRAPH_NONE)
		return false;
	row->from = g->nodes[g->links[i].from].name;
	row->to = g->nodes[g->links[i].to].name;
	row->count = 1;
	return true;
}

/**
 * bmem_links_rows() - references of a client, holds first
 * @client: client, locked
 * @cursor: 0 to begin; where the next call goes on
 * @rows: out
 * @nr: room in @rows
 *
 * Return: how many there are, which may be none; %U32_MAX at the end.
 */
u32 bmem_links_rows(struct bmem_client *client, u64 *cursor,
		    struct link_row *rows, u32 nr)
{
	const struct graph *g;
	u32 n = 0, steps;

	lockdep_assert_held(&client->lock);
	if (!client->links)
		return U32_MAX;
	g = &client->links->graph;
	if (*cursor >= GRAPH_MAX + (u64)g->links_top)
		return U32_MAX;
	for (steps = ROW_STEPS * nr; steps && n < nr; steps--, ++*cursor) {
		if (*cursor < g->nodes_top)
			n += row_of_node(g, *cursor, &rows[n]);
		else if (*cursor < GRAPH_MAX)
			*cursor = GRAPH_MAX - 1;
		else if (*cursor - GRAPH_MAX < g->links_top)
			n += row_of_link(g, *cursor - GRAPH_MAX, &rows[n]);
		else
			break;
	}
	return n;
}

/**
 * bmem_links_bytes() - kernel memory for a client's links
 * @client: client
 *
 * Return: bytes.
 */
u64 bmem_links_bytes(const struct bmem_client *client)
{
	const struct links *links = READ_ONCE(client->links);

	return links ? READ_ONCE(links->bytes) : 0;
}

static int table_clone(void **to, const void *from, size_t bytes)
{
	*to = NULL;
	if (!bytes)
		return 0;
	*to = kvmalloc(bytes, GFP_BMEM_META);
	if (!*to)
		return -ENOMEM;
	memcpy(*to, from, bytes);
	return 0;
}

/**
 * bmem_links_clone() - the same links in a clone, whose tensors are the same
 * @to: clone, locked, without links
 * @from: client, locked
 *
 * Return: 0 or -ENOMEM; what was taken goes with the clone.
 */
int bmem_links_clone(struct bmem_client *to, struct bmem_client *from)
{
	const struct graph *g;
	void *nodes, *links;
	struct links *own;
	int rc;

	lockdep_assert_held(&from->lock);
	if (!from->links)
		return 0;
	g = &from->links->graph;
	own = links_get(to);
	if (!own)
		return -ENOMEM;
	rc = table_clone(&nodes, g->nodes, graph_nodes_bytes(g->nodes_room)) ?:
	     table_clone(&links, g->links, graph_links_bytes(g->links_room));
	if (rc) {
		kvfree(nodes);
		return rc;
	}
	own->graph = *g;
	own->graph.nodes = nodes;
	own->graph.node_heads = (u32 *)(own->graph.nodes + g->nodes_room);
	own->graph.links = links;
	own->graph.link_heads = (u32 *)(own->graph.links + g->links_room);
	/* A look at the first one that is under way is not one at this. */
	graph_dirty_all(&own->graph);
	own->bytes = from->links->bytes;
	own->purged = from->links->purged;
	return 0;
}

/**
 * bmem_links_release() - forget the links of a client that dies
 * @client: client, locked
 *
 * What stands for them goes with the client, since others may look at it.
 */
void bmem_links_release(struct bmem_client *client)
{
	struct links *links = client->links;

	lockdep_assert_held(&client->lock);
	if (!links)
		return;
	kvfree(links->graph.nodes);
	kvfree(links->graph.links);
	graph_init(&links->graph, 0);
	links->bytes = 0;
}

/**
 * bmem_links_free() - nobody looks at the client any more
 * @client: client whose links have been released, or that has none
 */
void bmem_links_free(struct bmem_client *client)
{
	if (!client->links)
		return;
	kvfree(graph_look_table(&client->links->look));
	kfree(client->links);
}
