// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the module knows, as arrays.  Clients come and go meanwhile: what is gone
 * when it is looked at is left out.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/**
 * complain() - say what failed
 * @what: what was tried
 * @err: negative errno
 *
 * Return: enum status.
 */
int complain(const char *what, int err)
{
	fprintf(stderr, "bmemctl: %s: %s\n", what, strerror(-err));
	switch (err) {
	case -ENOENT:
		return STATUS_NOT_FOUND;
	case -EPERM:
		return STATUS_DENIED;
	default:
		return STATUS_FAILED;
	}
}

static const char *name_of(const char *const *names, size_t nr, uint32_t at)
{
	return at < nr ? names[at] : "?";
}

/**
 * policy_name() - a pool's NUMA policy in words
 * @policy: enum bmem_policy
 *
 * Return: a constant.
 */
const char *policy_name(uint32_t policy)
{
	static const char *const names[] = {
		[BMEM_POLICY_LOCAL] = "local",
		[BMEM_POLICY_BIND] = "bind",
		[BMEM_POLICY_INTERLEAVE] = "interleave",
	};

	return name_of(names, ARRAY_SIZE(names), policy);
}

static const char *level_name(uint32_t level)
{
	static const char *const names[] = {
		[BMEM_LEVEL_OFF] = "off",
		[BMEM_LEVEL_COUNTS] = "counts",
		[BMEM_LEVEL_STANDARD] = "standard",
		[BMEM_LEVEL_FULL] = "full",
	};

	return name_of(names, ARRAY_SIZE(names), level);
}

static const char *placement_name(uint32_t policy)
{
	static const char *const names[] = {
		[BMEM_PLACE_AUTO] = "auto",
		[BMEM_PLACE_FIRST] = "first",
		[BMEM_PLACE_BEST] = "best",
		[BMEM_PLACE_BUDDY] = "buddy",
	};

	return name_of(names, ARRAY_SIZE(names), policy);
}

static const char *class_name(uint32_t class)
{
	static const char *const names[] = {
		[BMEM_SITE_UNKNOWN] = "unknown",
		[BMEM_SITE_ONE_SHOT] = "one-shot",
		[BMEM_SITE_TEMPORARY] = "temporary",
		[BMEM_SITE_STEADY] = "steady",
		[BMEM_SITE_CACHE] = "cache",
		[BMEM_SITE_GROWING] = "growing",
	};

	return name_of(names, ARRAY_SIZE(names), class);
}

/* ---- pools -------------------------------------------------------------------- */

static char *group_name(uint32_t gid)
{
	struct group *g;

	if (gid == BMEM_GID_ANY)
		return NULL;
	g = getgrgid(gid);
	return g ? must(strdup(g->gr_name)) : text_format("%u", gid);
}

/* The pool that this program's own client is in, or none. */
static int64_t own_pool(struct ctl *ctl)
{
	struct bmem_query q = { .size = sizeof(q) };

	return bmem_query(ctl->c, &q) ? -1 : (int64_t)q.pool;
}

/**
 * fetch_pools() - all pools
 * @ctl: run
 * @t: table of struct pool, added to
 *
 * Return: 0 or a negative errno.
 */
int fetch_pools(struct ctl *ctl, struct table *t)
{
	uint32_t ids[BMEM_POOLS_MAX];
	int64_t own = own_pool(ctl);
	struct pool *p;
	int i, nr, ret;

	nr = bmem_pool_list(ctl->c, ids, BMEM_POOLS_MAX);
	for (i = 0; i < nr; i++) {
		struct bmem_pool_stats st = {
			.size = sizeof(st), .pool = ids[i],
		};

		ret = bmem_pool_stats(ctl->c, &st);
		if (ret == -ENOENT)
			continue;
		if (ret)
			return ret;
		if (st.clients && own == st.pool)
			st.clients--;
		p = table_add(t);
		p->st = st;
		p->policy = policy_name(st.policy);
		p->group = group_name(st.gid);
	}
	return nr < 0 ? nr : 0;
}

/* ---- pressure ------------------------------------------------------------------ */

static const char *pressure_name(uint32_t level)
{
	static const char *const names[] = {
		[BMEM_PRESSURE_NONE] = "none",
		[BMEM_PRESSURE_RAISED] = "raised",
		[BMEM_PRESSURE_HIGH] = "high",
		[BMEM_PRESSURE_SEVERE] = "severe",
		[BMEM_PRESSURE_CRITICAL] = "critical",
	};

	return name_of(names, ARRAY_SIZE(names), level);
}

static void pressure_add(struct table *t, const struct bmem_pressure *now,
			 const char *name)
{
	struct pressed *p = table_add(t);
	unsigned int i;

	p->p = *now;
	memcpy(p->name, name, sizeof(p->name));
	p->level = pressure_name(now->level);
	if (now->trend > 0)
		p->rising = now->trend;
	else
		p->falling = -now->trend;
	for (i = 0; i < BMEM_GAINS; i++)
		if (i != BMEM_GAIN_REUSED)
			p->regained += now->gained_bytes[i];
}

/**
 * fetch_pressure() - how pressed all pools are
 * @ctl: run
 * @t: table of struct pressed, added to
 *
 * Return: 0 or a negative errno.
 */
int fetch_pressure(struct ctl *ctl, struct table *t)
{
	uint32_t ids[BMEM_POOLS_MAX];
	int i, nr, ret = 0;

	nr = bmem_pool_list(ctl->c, ids, BMEM_POOLS_MAX);
	for (i = 0; i < nr && (!ret || ret == -ENOENT); i++) {
		struct bmem_pressure now = {
			.size = sizeof(now), .pool = ids[i],
		};
		struct bmem_pool_stats st = {
			.size = sizeof(st), .pool = ids[i],
		};

		ret = bmem_pool_stats(ctl->c, &st);
		if (!ret)
			ret = bmem_pool_pressure(ctl->c, &now);
		if (!ret)
			pressure_add(t, &now, st.name);
	}
	if (nr < 0)
		return nr;
	return ret == -ENOENT ? 0 : ret;
}

/* ---- clients -------------------------------------------------------------------- */

static int pool_name(struct ctl *ctl, uint32_t pool, char *name)
{
	struct bmem_pool_stats st = { .size = sizeof(st), .pool = pool };
	int ret = bmem_pool_stats(ctl->c, &st);

	memcpy(name, st.name, BMEM_POOL_NAME_LEN);
	return ret;
}

static int client_add(struct ctl *ctl, const struct bmem_client_row *who,
		      struct table *t)
{
	struct bmem_client_stats st = {
		.size = sizeof(st), .client_id = who->client_id,
	};
	struct client *c;
	int ret;

	ret = bmem_stats(ctl->c, &st);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	c = table_add(t);
	c->who = *who;
	c->st = st;
	c->level = level_name(st.level);
	c->placement = placement_name(st.policy);
	ret = pool_name(ctl, st.pool, c->pool);
	return ret == -ENOENT ? 0 : ret;
}

/* This program shows itself only where there is nobody else. */
static bool client_wanted(struct ctl *ctl, const struct bmem_client_row *who)
{
	if (ctl->o->client)
		return who->client_id == ctl->o->client;
	if (ctl->o->pid)
		return who->pid == ctl->o->pid;
	return who->client_id != ctl->self || strcmp(ctl->backend, "dev");
}

#define BATCH	64

/**
 * fetch_clients() - clients that the user may see
 * @ctl: run
 * @t: table of struct client, added to
 *
 * Return: 0 or a negative errno; -ENOENT for --client's that is not there.
 */
int fetch_clients(struct ctl *ctl, struct table *t)
{
	struct bmem_client_row rows[BATCH];
	struct bmem_client_list list = {
		.size = sizeof(list),
		.row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	uint32_t i;
	int ret;

	do {
		list.nr = BATCH;
		ret = bmem_client_list(ctl->c, &list);
		for (i = 0; !ret && i < list.nr; i++)
			if (client_wanted(ctl, &rows[i]))
				ret = client_add(ctl, &rows[i], t);
	} while (!ret && list.nr == BATCH);
	if (!ret && ctl->o->client && !t->nr)
		return -ENOENT;
	return ret;
}

/* ---- sites ------------------------------------------------------------------------ */

static void stack_fetch(struct ctl *ctl, uint64_t client, uint32_t site,
			struct stack *stack)
{
	struct bmem_site_frames arg = {
		.size = sizeof(arg),
		.client_id = client,
		.site = site,
		.nr = BMEM_FRAMES_MAX,
		.frames = (uintptr_t)stack->frames,
	};

	if (!bmem_site_frames(ctl->c, &arg))
		stack->nr = arg.nr;
}

/* Site 0 is always there, and mostly nothing comes from it. */
static bool site_wanted(struct ctl *ctl, const struct bmem_site_row *row)
{
	if (ctl->o->has_site)
		return row->site == ctl->o->site;
	return row->site || row->allocs || row->live_tensors;
}

/**
 * fetch_sites() - call sites of a client
 * @ctl: run
 * @who: whose
 * @t: table of struct site, added to
 *
 * Return: 0 or a negative errno.
 */
int fetch_sites(struct ctl *ctl, const struct client *who, struct table *t)
{
	struct bmem_site_row rows[BATCH];
	struct bmem_site_list list = {
		.size = sizeof(list),
		.client_id = who->who.client_id,
		.row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	struct site *s;
	uint32_t i;
	int ret;

	do {
		list.nr = BATCH;
		ret = bmem_site_list(ctl->c, &list);
		if (ret)
			break;
		for (i = 0; i < list.nr; i++) {
			if (!site_wanted(ctl, &rows[i]))
				continue;
			s = table_add(t);
			s->client = who->who.client_id;
			s->pid = who->who.pid;
			s->row = rows[i];
			s->class = class_name(rows[i].site_class);
			if (s->row.nr_frames)
				stack_fetch(ctl, s->client, s->row.site,
					    &s->stack);
		}
	} while (list.nr == BATCH);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- growth ------------------------------------------------------------------------ */

/**
 * trend_name() - a trend in a word
 * @trend: enum bmem_trend
 *
 * Return: a constant.
 */
const char *trend_name(uint32_t trend)
{
	static const char *const names[] = {
		[BMEM_TREND_UNKNOWN] = "unknown",
		[BMEM_TREND_STEADY] = "steady",
		[BMEM_TREND_PLATEAU] = "plateau",
		[BMEM_TREND_SAW_TOOTH] = "saw-tooth",
		[BMEM_TREND_LINEAR] = "linear",
		[BMEM_TREND_ACCELERATING] = "accelerating",
	};

	return name_of(names, ARRAY_SIZE(names), trend);
}

static void growth_add(struct ctl *ctl, const struct client *who,
		       const struct bmem_growth_row *row, struct table *t)
{
	bool whole = row->flags & BMEM_GROWTH_WHOLE;
	struct growth *g;

	if (ctl->o->has_site && (whole || row->site != ctl->o->site))
		return;
	g = table_add(t);
	g->client = who->who.client_id;
	g->pid = who->who.pid;
	g->row = *row;
	g->trend = trend_name(row->trend);
	g->lasts = row->flags & BMEM_GROWTH_LASTS ? "yes" : "no";
	if (whole) {
		strcpy(g->site, "all");
		return;
	}
	snprintf(g->site, sizeof(g->site), "%u", row->site);
	if (row->site)
		stack_fetch(ctl, g->client, row->site, &g->stack);
}

/**
 * fetch_growth() - call sites of a client that grow, or with --all all of them
 * @ctl: run
 * @who: whose
 * @t: table of struct growth, added to
 *
 * Return: 0 or a negative errno.
 */
int fetch_growth(struct ctl *ctl, const struct client *who, struct table *t)
{
	struct bmem_growth_row rows[BATCH];
	struct bmem_growth_list list = {
		.size = sizeof(list),
		.flags = ctl->o->all || ctl->o->has_site ? 0 : BMEM_GROWTH_ONLY,
		.client_id = who->who.client_id,
		.row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	uint32_t i;
	int ret;

	do {
		list.nr = BATCH;
		ret = bmem_growth_list(ctl->c, &list);
		for (i = 0; !ret && i < list.nr; i++)
			growth_add(ctl, who, &rows[i], t);
	} while (!ret && list.nr == BATCH);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- tensors ------------------------------------------------------------------------ */

/**
 * fetch_tensors() - live tensors of a client
 * @ctl: run
 * @who: whose
 * @t: table of struct tensor, added to
 *
 * Return: 0 or a negative errno.
 */
int fetch_tensors(struct ctl *ctl, const struct client *who, struct table *t)
{
	struct bmem_tensor *rows = must(calloc(BMEM_BATCH_MAX, sizeof(*rows)));
	struct bmem_tensor_list list = {
		.size = sizeof(list),
		.flags = ctl->o->has_site ? BMEM_LIST_SITE : 0,
		.client_id = who->who.client_id,
		.min_bytes = ctl->o->min_bytes,
		.min_age_ms = ctl->o->min_age_ms,
		.site = ctl->o->site,
		.entries = (uintptr_t)rows,
	};
	struct tensor *tensor;
	uint32_t i;
	int ret;

	do {
		list.nr = BMEM_BATCH_MAX;
		ret = bmem_tensor_list(ctl->c, &list);
		if (ret)
			break;
		for (i = 0; i < list.nr; i++) {
			tensor = table_add(t);
			tensor->client = who->who.client_id;
			tensor->pid = who->who.pid;
			tensor->t = rows[i];
		}
	} while (list.nr == BMEM_BATCH_MAX);
	free(rows);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- tombstones ----------------------------------------------------------------------- */

static void tombstone_end(struct tombstone *t)
{
	switch (t->row.way) {
	case BMEM_WAY_EXIT:
		snprintf(t->end, sizeof(t->end), "exit %u", t->row.code);
		break;
	case BMEM_WAY_SIGNAL:
		snprintf(t->end, sizeof(t->end), "signal %u", t->row.code);
		break;
	case BMEM_WAY_EXEC:
		snprintf(t->end, sizeof(t->end), "exec");
		break;
	default:
		snprintf(t->end, sizeof(t->end), "closed");
	}
}

static void tombstone_sites(struct ctl *ctl, struct tombstone *t)
{
	struct bmem_tombstone_sites arg = {
		.size = sizeof(arg),
		.serial = t->row.serial,
		.row_size = sizeof(*t->sites),
		.nr = BMEM_TOMBSTONE_SITES_MAX,
	};

	t->sites = must(calloc(BMEM_TOMBSTONE_SITES_MAX, sizeof(*t->sites)));
	arg.rows = (uintptr_t)t->sites;
	if (!bmem_tombstone_sites(ctl->c, &arg))
		t->nr_sites = arg.nr;
}

/**
 * fetch_tombstones() - clients that are gone and that the user may see
 * @ctl: run
 * @t: table of struct tombstone, added to
 *
 * Return: 0 or a negative errno; -ENOENT for --client's that is not there.
 */
int fetch_tombstones(struct ctl *ctl, struct table *t)
{
	struct bmem_tombstone_row rows[BATCH];
	struct bmem_tombstone_list list = {
		.size = sizeof(list),
		.row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	struct tombstone *tomb;
	uint32_t i;
	int ret;

	do {
		list.nr = BATCH;
		ret = bmem_tombstone_list(ctl->c, &list);
		if (ret)
			return ret;
		for (i = 0; i < list.nr; i++) {
			if (ctl->o->client && rows[i].client_id != ctl->o->client)
				continue;
			if (ctl->o->pid && rows[i].pid != ctl->o->pid)
				continue;
			tomb = table_add(t);
			tomb->row = rows[i];
			tombstone_end(tomb);
			tombstone_sites(ctl, tomb);
		}
	} while (list.nr == BATCH);
	return ctl->o->client && !t->nr ? -ENOENT : 0;
}
