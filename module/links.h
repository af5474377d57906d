/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links: references between a client's tensors, as its program declares them.
 *
 * Under the client's lock, but for what says otherwise.
 */
#ifndef BMEM_LINKS_H
#define BMEM_LINKS_H

#include <linux/atomic.h>
#include <linux/types.h>

#include <linux/bmem.h>

#include "graph.h"

struct bmem_client;
struct dentry;
struct leak_round;

/**
 * struct links - a client's links; made when it declares its first
 * @graph: nodes are tensors, by handle; graph_node.gen is bmem_tensor_gen()
 * @bytes: what its tables take
 * @allocs: tensors and slots allocated since unreferenced ones were looked for;
 *	without the lock
 * @purged: node that is looked at next for being stale
 * @look: look for cycles, of which there is one at a time; this and what
 *	follows under leak_table.round_lock
 * @look_open: it has begun, and what it took down is not back on graph.dirty
 * @look_at: where graph_look_abort() is to go on
 */
struct links {
	struct graph graph;
	u64 bytes;
	atomic_t allocs;
	u32 purged;
	struct graph_look look;
	bool look_open;
	u32 look_at;
};

/**
 * struct link_row - one reference, for a report
 * @from: handle of the tensor that refers, 0 for the program itself
 * @to: handle of the tensor that is referred to
 * @count: references that this stands for
 */
struct link_row {
	u64 from;
	u64 to;
	u32 count;
};

int bmem_link(struct bmem_client *client, struct bmem_link *cmd, bool unlink);
void bmem_links_forget(struct bmem_client *client, u64 handle);
void bmem_links_allocated(struct bmem_client *client, u32 nr);
void bmem_links_purge(struct bmem_client *client, u32 max);
int bmem_links_sweep(struct leak_round *round);
int bmem_links_walk(struct leak_round *round, bool lost,
		    void (*hit)(struct leak_round *round, u32 node));
bool bmem_links_check(struct bmem_client *client, u32 node,
		      struct bmem_tensor *out);
void bmem_links_count(struct bmem_client *client, u64 handle, u32 *holds,
		      u32 *in, u32 *out);
u32 bmem_links_rows(struct bmem_client *client, u64 *cursor,
		    struct link_row *rows, u32 nr);
u64 bmem_links_bytes(const struct bmem_client *client);
int bmem_links_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_links_release(struct bmem_client *client);
void bmem_links_free(struct bmem_client *client);
void bmem_linklist_debugfs(struct dentry *dir);

#endif /* BMEM_LINKS_H */
