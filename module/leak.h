/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leaks: what detectors have found, grouped by call site, and how sure it is.
 *
 * A detector is a file that can tell of one client which of its tensors are
 * leaked in one particular way.  It knows nothing of reports: it gets a round
 * and says in it what it finds.  What becomes of that - suspected, looked at
 * again after a delay, confirmed or cleared, told to users - is in leak.c.
 *
 * All of it is under the client's lock, but for what says otherwise.
 */
#ifndef BMEM_LEAK_H
#define BMEM_LEAK_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include <linux/bmem.h>

#include "place.h"

struct bmem_client;
struct dentry;
struct leak_finding;

#define LEAK_KINDS	(BMEM_LEAK_GROWTH + 1)
#define LEAK_ALL	(BMEM_LEAK_KIND(BMEM_LEAK_UNREFERENCED) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_CYCLE) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_GROWTH))

/**
 * struct leak_table - what is known of a client's leaks
 * @round_lock: one round at a time; outside of the client's lock
 * @suspects: struct leak_suspect by handle and kind
 * @by_site: struct leak_finding by kind and site
 * @findings: the same by number
 * @nr_suspects: entries in @suspects
 * @nr_findings: entries in @findings
 * @recheck: when suspects that are not confirmed are to be looked at again, by
 *	ktime_get_boottime_ns(), 0 for never; by kind
 * @scanned: when the last round of a kind began
 * @serial: number of the last round
 * @cleared: findings that went away
 * @dropped: tensors for which the last round of a kind had no room
 * @cut_short: kinds whose last round did not come to its end
 * @arena: shape of the client's space when a finding was last told of, in
 *	pages
 * @rested: until when the worker lets a kind alone; the worker's own
 * @due: kinds that the worker is to look for; atomic bits, without the lock
 */
struct leak_table {
	/* One round at a time; taken before the client's lock. */
	struct mutex round_lock;
	struct rb_root suspects;
	struct rb_root by_site;
	struct list_head findings;
	u32 nr_suspects;
	u32 nr_findings;
	u64 recheck[LEAK_KINDS];
	u64 scanned[LEAK_KINDS];
	u64 serial;
	u64 cleared;
	u64 dropped[LEAK_KINDS];
	u32 cut_short;
	struct place_stats arena;
	u64 rested[LEAK_KINDS];
	unsigned long due;
};

/**
 * struct leak_suspect - a tensor that a detector has found
 * @node: link in leak_table.suspects
 * @handle: the tensor
 * @cookie: as in struct leak_hit
 * @bytes: what it asked for
 * @born: when, by ktime_get_boottime_ns()
 * @since: when it became suspected
 * @serial: the last round that found it
 * @finding: of its site, once it is suspected and not ignored
 * @kind: enum bmem_leak_kind
 * @evidence: as in struct leak_hit
 * @seen: rounds in a row, up to the detector's @rounds
 * @confidence: as in struct leak_hit
 * @confirmed: it is
 * @changed: it was found with another cookie before
 * @ignored: the user does not want to be told of it again
 * @shadowed: not told of, since another kind tells of the tensor
 */
struct leak_suspect {
	struct rb_node node;
	u64 handle;
	u64 cookie;
	u64 bytes;
	u64 born;
	u64 since;
	u64 serial;
	struct leak_finding *finding;
	u32 evidence;
	u8 kind;
	u8 seen;
	u8 confidence;
	bool confirmed : 1;
	bool changed : 1;
	bool ignored : 1;
	bool shadowed : 1;
};

struct leak_round;

/**
 * struct leak_detector - how one kind of leak is found
 * @name: as in the file "leaks"
 * @kind: enum bmem_leak_kind
 * @rounds: in so many rounds in a row, with the same cookie, must a tensor be
 *	found to be suspected; at least 1
 * @sites: it is of whole sites, told by bmem_leak_site()
 * @period: how often the worker is to scan this client unasked, in
 *	nanoseconds; 0, or no function, for never.  Called without the client's
 *	lock.
 * @scan: look at one client and call bmem_leak_suspect() (or, for a kind that
 *	is of whole sites, bmem_leak_site()) for all that there is.  Sleeps, and
 *	is called without the client's lock, which it takes by
 *	bmem_client_lock() for short times.  Returns 0 or a negative errno;
 *	-EINTR, -EBUSY, -ENOMEM, or bmem_leak_cut_short(), mean that it has not
 *	seen all, so that nothing is cleared; -ENOENT that the client is gone.
 * @still: with the client locked, is this still so?  NULL when only another
 *	scan can tell.
 */
struct leak_detector {
	const char *name;
	u32 kind;
	unsigned int rounds;
	bool sites;
	u64 (*period)(struct bmem_client *client);
	int (*scan)(struct bmem_client *client, struct leak_round *round);
	bool (*still)(struct bmem_client *client,
		      const struct leak_suspect *s);
};

/**
 * struct leak_round - one look at one client by one detector
 * @client: client
 * @detector: detector
 * @serial: number of the round
 * @now: when it began, by ktime_get_boottime_ns()
 * @min_age: younger tensors do not become suspects, in nanoseconds;
 *	bmem_leak_suspect() sees to that
 * @delay: suspects that are so old are confirmed, in nanoseconds
 * @unasked: the worker's, which is over once "off" says so
 * @patient: wait for a client that is busy; else bmem_client_lock() gets the
 *	few @tries
 * @tries: for bmem_client_lock()
 * @until: when to give up, by ktime_get_boottime_ns(); 0 for never
 * @hits: tensors and sites found
 * @dropped: those for which there was no room
 * @cut_short: not all could be seen
 */
struct leak_round {
	struct bmem_client *client;
	const struct leak_detector *detector;
	u64 serial;
	u64 now;
	u64 min_age;
	u64 delay;
	bool unasked;
	bool patient;
	unsigned int tries;
	u64 until;
	u64 hits;
	u64 dropped;
	bool cut_short;
};

/**
 * struct leak_hit - what a detector says of a tensor
 * @tensor: as bmem_tensor_find() or bmem_tensor_records() told of it
 * @cookie: what must be the same in the next round for it to be the same leak:
 *	a generation, a checksum; else 0
 * @evidence: BMEM_LEAK_NO_REFERENCE ...
 * @confidence: percent
 */
struct leak_hit {
	const struct bmem_tensor *tensor;
	u64 cookie;
	u32 evidence;
	u8 confidence;
};

/**
 * struct leak_trend - what a detector says of a whole site
 * @site: its number
 * @tensors: live
 * @bytes: what they asked for
 * @since: since when, by ktime_get_boottime_ns()
 * @slope: bytes per minute
 * @evidence: %BMEM_LEAK_TREND ...
 * @confidence: percent
 */
struct leak_trend {
	u32 site;
	u64 tensors;
	u64 bytes;
	u64 since;
	u64 slope;
	u32 evidence;
	u8 confidence;
};

extern unsigned int bmem_leak_age_ms;
extern unsigned int bmem_leak_delay_ms;
extern unsigned int bmem_leak_round_ms;
extern unsigned int bmem_cycle_ms;
extern unsigned int bmem_growth_ms;

extern const struct leak_detector bmem_leak_unref;
extern const struct leak_detector bmem_leak_unreached;
extern const struct leak_detector bmem_leak_cycle;
extern const struct leak_detector bmem_leak_growth;

/* ---- for detectors ------------------------------------------------------- */

void bmem_leak_suspect(struct leak_round *round, const struct leak_hit *hit);
void bmem_leak_site(struct leak_round *round, const struct leak_trend *trend);
void bmem_leak_cut_short(struct leak_round *round);
int bmem_leak_lock(struct leak_round *round);
int bmem_leak_late(const struct leak_round *round);
void bmem_leak_soon(struct bmem_client *client, u32 kind);

/* ---- rules ------------------------------------------------------------------ */

int bmem_leak_rules_start(void);
void bmem_leak_rules_stop(void);

/* ---- for everybody else ------------------------------------------------------ */

void bmem_leak_recheck(struct bmem_client *client);
void bmem_leaks_init(struct bmem_client *client);
void bmem_leaks_release(struct bmem_client *client);
void bmem_leaks_free(struct bmem_client *client);
u64 bmem_leaks_bytes(const struct bmem_client *client);
int bmem_leak_scan(struct bmem_client *self, struct bmem_leak_scan *cmd);
int bmem_leak_list(struct bmem_client *self, struct bmem_leak_list *cmd);
void bmem_leaks_forget(struct bmem_client *client, bool ignore);
int bmem_leaks_scan_all(void);
void bmem_leaks_period(unsigned int seconds);
void bmem_leaks_on(void);
int bmem_leaks_off(void);
u32 bmem_leak_rows(struct bmem_client *client, u64 after, u32 kinds,
		   struct bmem_leak_row *rows, u32 nr);
const char *bmem_leak_name(u32 kind);
void bmem_leaklist_debugfs(struct dentry *dir);
int bmem_leak_start(void);
void bmem_leak_stop(void);

#endif /* BMEM_LEAK_H */
