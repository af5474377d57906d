/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call sites, the program files that their frames refer to, and what is made
 * out of them: figures of how each uses memory.
 *
 * All of it is under the client's lock, but for what says otherwise.
 */
#ifndef BMEM_SITE_H
#define BMEM_SITE_H

#include <linux/jump_label.h>
#include <linux/seq_file.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include <linux/bmem.h>

#include "trend.h"

struct bmem_client;
struct ledger_view;
struct progfile;

/**
 * struct site_frames - a stack, packed
 * @nr: entries in @at
 * @at: innermost first
 * @at.module: number of the program file, 0 for unknown
 * @at.offset: return address in it
 */
struct site_frames {
	u8 nr;
	struct site_frame {
		u16 module;
		u64 offset;
	} __packed at[];
};

/**
 * struct site - a place in a program that allocates tensors
 * @id: the client's number for it, 0 for all that have none
 * @index: 1 for the first that the client has, and so on; 0 for no_site
 * @live: tensors without a record
 * @live_bytes: what they asked for
 * @ledger_bytes: live bytes that the ledger had at the end of the last sweep
 * @ledger_live: tensors that those were
 * @first: tick of the first allocation
 * @last: tick of the last one that was seen
 * @allocs: tensors allocated: all that have no record; the others as far as
 *	seen, see pattern.c
 * @peak: largest sum of @live_bytes and @ledger_bytes seen
 * @sizes: exact sizes seen, while those are no more than there is room for
 * @size_hist: tensors seen, by size
 * @life_hist: tensors seen to be freed, by lifetime
 * @nr_sizes: entries in @sizes, or one more than it has room for
 * @told: somebody was told that it grows
 * @trend: sums of @live_bytes and @ledger_bytes as sweeps saw them, in KiB
 * @label: what the client calls it; NULL for empty
 * @frames: its stack, or NULL
 */
struct site {
	u32 id;
	u32 index;
	u64 live;
	u64 live_bytes;
	u64 ledger_bytes;
	u32 ledger_live;
	u32 first;
	u32 last;
	u64 allocs;
	u64 peak;
	u64 sizes[BMEM_SITE_SIZES];
	u32 size_hist[BMEM_SITE_BUCKETS];
	u32 life_hist[BMEM_SITE_BUCKETS];
	u8 nr_sizes;
	bool told;
	struct trend trend;
	char *label;
	struct site_frames *frames;
};

static_assert(sizeof(struct site) <= 496);

/**
 * struct site_table - a client's sites
 * @by_id: struct site by id
 * @none: the site of tensors that have none, or none that has room
 * @nr: entries in @by_id
 * @progfiles: struct progfile by number
 * @gens: generations of the ledger's records when they were last looked at
 * @bytes: memory of labels, frames, @progfiles and @gens
 * @strange: records that the last sweep found to make no sense, or to name a
 *	site that is not known
 * @swept: when the worker last swept, by ktime_get_ns(); the worker's alone
 * @cost: nanoseconds that this took, or the one before it if that was less; the
 *	worker's alone
 * @took: nanoseconds that this took; the worker's alone
 * @hooks: calls of the hooks
 * @trend: of all live bytes together, in KiB
 * @swept_live: live tensors at the end of the last sweep
 * @swept_bytes: what those asked for
 * @told: somebody was told that these grow
 */
struct site_table {
	struct xarray by_id;
	struct site none;
	u32 nr;
	struct xarray progfiles;
	struct xarray gens;
	u64 bytes;
	u64 strange;
	u64 swept;
	u64 cost;
	u64 took;
	u32 hooks;
	struct trend trend;
	u64 swept_live;
	u64 swept_bytes;
	bool told;
};

static inline const char *bmem_site_label(const struct site *site)
{
	return site->label ?: "";
}

/* Off when the module's level is off: then no site is looked up or counted. */
DECLARE_STATIC_KEY_TRUE(bmem_tracking);

/* ---- site ---------------------------------------------------------------- */

int bmem_sites_start(void);
void bmem_sites_stop(void);
void bmem_sites_init(struct bmem_client *client);
int bmem_sites_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_sites_release(struct bmem_client *client);
u64 bmem_sites_bytes(const struct bmem_client *client);
bool bmem_sites_tracked(struct bmem_client *client);
int bmem_site_name(struct bmem_client *client, const struct bmem_site *cmd);
struct site *bmem_site_find(struct bmem_client *client, u32 id);
struct site *bmem_site_next(struct bmem_client *client, u64 id);
struct site *bmem_site_get(struct bmem_client *client, u32 id);
void bmem_site_alloc(struct bmem_client *client, struct site *site, u64 bytes);
void bmem_site_free(struct bmem_client *client, struct site *site, u64 bytes,
		    u64 lifetime_ns);
u64 bmem_site_hooks_ns(void);

/* ---- progfile -------------------------------------------------------------- */

int bmem_progfile_name(struct bmem_client *client,
		       const struct bmem_module *cmd);
int bmem_progfile_info(struct bmem_client *self, struct bmem_module_info *cmd);
bool bmem_progfile_known(struct bmem_client *client, u32 module);
void bmem_progfile_tell(const struct progfile *file, u32 *build_id_len,
			u8 *build_id, char *path);
size_t bmem_progfile_size(const struct progfile *file);
struct progfile *bmem_progfile_take(struct bmem_client *client, u32 module);
int bmem_progfiles_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_progfiles_release(struct bmem_client *client);

/* ---- pattern ------------------------------------------------------------- */

/* Ticks that the shortest spans of a trend last. */
#define PATTERN_PERIOD	(1000 / BMEM_TICK_MS)

void bmem_pattern_allocs(struct site *site, u64 nr, u64 bytes, u32 tick);
void bmem_pattern_free(struct site *site, u32 lifetime);
void bmem_pattern_peak(struct site *site);
void bmem_pattern_sample(struct site *site, u32 now);
void bmem_pattern_row(const struct site *site, u32 now,
		      struct bmem_site_row *row);
int bmem_pattern_median(const u32 *hist);

/* ---- sweep ----------------------------------------------------------------- */

int bmem_sweep_start(void);
void bmem_sweep_stop(void);
void bmem_sweep_soon(struct bmem_client *client);
int bmem_sweep(struct bmem_client *client, bool patient);
u64 bmem_sweeps_ns(void);
u64 bmem_sweeps_asked(void);
void bmem_site_returned(struct bmem_client *client,
			const struct ledger_view *v);
void bmem_sites_settle(struct bmem_client *client);
int bmem_gens_clone(struct bmem_client *to, struct bmem_client *from);
void bmem_gens_release(struct bmem_client *client);

/* ---- site list --------------------------------------------------------------- */

int bmem_site_list(struct bmem_client *self, struct bmem_site_list *cmd);
int bmem_site_frames(struct bmem_client *self, struct bmem_site_frames *cmd);
void bmem_sitelist_debugfs(struct dentry *dir);

/* ---- growth -------------------------------------------------------------------- */

bool bmem_growth_watch(struct trend *trend, bool *told, u32 now);
int bmem_growth_list(struct bmem_client *self, struct bmem_growth_list *cmd);
void bmem_growth_debugfs(struct dentry *dir);

/* ---- overhead ------------------------------------------------------------------ */

void bmem_overhead_start(void);
int bmem_overhead_show(struct seq_file *m, void *v);

#endif /* BMEM_SITE_H */
