// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The verbs that show something, and the columns of what they show.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "ctl.h"

/* ---- what they show ----------------------------------------------------------- */

#define STATUS(field, title, kind) \
	COLUMN(struct totals, field, #field, title, kind)

static const struct column status_columns[] = {
	STATUS(backend, "backend", KIND_TEXT),
	STATUS(module, "module", KIND_TEXT),
	STATUS(scope, "shows", KIND_TEXT),
	STATUS(pools, "pools", KIND_NUMBER),
	STATUS(clients, "clients", KIND_NUMBER),
	STATUS(tombstones, "tombstones", KIND_NUMBER),
	STATUS(leaks_confirmed, "leaks", KIND_NUMBER),
	STATUS(leaks_suspected, "suspected", KIND_NUMBER),
	STATUS(leaked_bytes, "leaked", KIND_BYTES),
	STATUS(live_tensors, "tensors", KIND_NUMBER),
	STATUS(live_bytes, "live", KIND_BYTES),
	STATUS(granted_bytes, "granted", KIND_BYTES),
	STATUS(attached_bytes, "attached", KIND_BYTES),
	STATUS(cached_bytes, "cached", KIND_BYTES),
	STATUS(meta_bytes, "books", KIND_BYTES),
	STATUS(failed, "failed", KIND_NUMBER),
	STATUS(pool_total_bytes, "pools hold", KIND_BYTES),
	STATUS(pool_free_bytes, "of that free", KIND_BYTES),
	STATUS(pool_limit_bytes, "pools may hold", KIND_BYTES),
	{ 0 },
};

#define POOL(field, title, kind) \
	COLUMN(struct pool, st.field, #field, title, kind)

static const struct column pool_columns[] = {
	COLUMN(struct pool, st.pool, "id", "id", KIND_ID),
	POOL(name, "name", KIND_CHARS),
	POOL(clients, "clients", KIND_NUMBER),
	COLUMN(struct pool, st.limit_bytes, "limit_bytes", "max", KIND_BYTES),
	POOL(reserve_bytes, "reserve", KIND_BYTES),
	POOL(total_bytes, "holds", KIND_BYTES),
	POOL(attached_bytes, "attached", KIND_BYTES),
	POOL(zeroed_bytes, "zeroed", KIND_BYTES),
	POOL(dirty_bytes, "dirty", KIND_BYTES),
	POOL(zeroing_bytes, NULL, KIND_BYTES),
	POOL(escaped_bytes, "escaped", KIND_BYTES),
	POOL(base_bytes, "4k-pages", KIND_BYTES),
	POOL(shared_bytes, NULL, KIND_BYTES),
	POOL(peak_attached_bytes, "peak", KIND_BYTES),
	POOL(failed, "failed", KIND_NUMBER),
	POOL(huge_taken, NULL, KIND_NUMBER),
	POOL(huge_given, NULL, KIND_NUMBER),
	POOL(fallbacks, NULL, KIND_NUMBER),
	POOL(promoted, NULL, KIND_NUMBER),
	POOL(escaped_total_bytes, NULL, KIND_BYTES),
	COLUMN(struct pool, policy, "policy", "policy", KIND_TEXT),
	COLUMN(struct pool, st.bind_nid, "node", NULL, KIND_ID),
	COLUMN(struct pool, group, "group", "group", KIND_TEXT),
	{ 0 },
};

#define PRESSED(field, title, kind) \
	COLUMN(struct pressed, p.field, #field, title, kind)
#define LEVEL_MS(level, key) \
	COLUMN(struct pressed, p.level_ms[level], key "_ms", NULL, KIND_MS)
#define ENTERED(level, key) \
	COLUMN(struct pressed, p.entered[level], key "_entered", NULL, \
	       KIND_NUMBER)
#define GAINED(gain, key) \
	COLUMN(struct pressed, p.gained_bytes[gain], "gained_" key "_bytes", \
	       NULL, KIND_BYTES)

static const struct column pressure_columns[] = {
	COLUMN(struct pressed, p.pool, "id", "id", KIND_ID),
	COLUMN(struct pressed, name, "name", "name", KIND_CHARS),
	COLUMN(struct pressed, level, "level", "level", KIND_TEXT),
	PRESSED(permille, "permille", KIND_NUMBER),
	COLUMN(struct pressed, p.held_bytes, "held_bytes", "held", KIND_BYTES),
	COLUMN(struct pressed, p.limit_bytes, "limit_bytes", "max", KIND_BYTES),
	PRESSED(queued_bytes, "queued", KIND_BYTES),
	PRESSED(cached_bytes, "cached", KIND_BYTES),
	COLUMN(struct pressed, rising, "rising_bytes", "rising/s", KIND_BYTES),
	COLUMN(struct pressed, falling, "falling_bytes", "falling/s",
	       KIND_BYTES),
	COLUMN(struct pressed, regained, "regained_bytes", "regained",
	       KIND_BYTES),
	PRESSED(events, "events", KIND_NUMBER),
	PRESSED(recalls, "recalls", KIND_NUMBER),
	PRESSED(compactions, NULL, KIND_NUMBER),
	LEVEL_MS(BMEM_PRESSURE_NONE, "none"),
	LEVEL_MS(BMEM_PRESSURE_RAISED, "raised"),
	LEVEL_MS(BMEM_PRESSURE_HIGH, "high"),
	LEVEL_MS(BMEM_PRESSURE_SEVERE, "severe"),
	LEVEL_MS(BMEM_PRESSURE_CRITICAL, "critical"),
	ENTERED(BMEM_PRESSURE_NONE, "none"),
	ENTERED(BMEM_PRESSURE_RAISED, "raised"),
	ENTERED(BMEM_PRESSURE_HIGH, "high"),
	ENTERED(BMEM_PRESSURE_SEVERE, "severe"),
	ENTERED(BMEM_PRESSURE_CRITICAL, "critical"),
	GAINED(BMEM_GAIN_DEFERRED, "deferred"),
	GAINED(BMEM_GAIN_IMMEDIATE, "immediate"),
	GAINED(BMEM_GAIN_EMERGENCY, "emergency"),
	GAINED(BMEM_GAIN_CACHE, "cache"),
	GAINED(BMEM_GAIN_PRESSURE, "pressure"),
	GAINED(BMEM_GAIN_RECALL, "recall"),
	GAINED(BMEM_GAIN_RESERVE, "reserve"),
	GAINED(BMEM_GAIN_SHRINK, "shrink"),
	GAINED(BMEM_GAIN_OOM, "oom"),
	GAINED(BMEM_GAIN_TRIM, "trim"),
	GAINED(BMEM_GAIN_REUSED, "reused"),
	{ 0 },
};

#define WHO(field, title, kind) \
	COLUMN(struct client, who.field, #field, title, kind)
#define SUM(field, title, kind) \
	COLUMN(struct client, st.field, #field, title, kind)

static const struct column client_columns[] = {
	COLUMN(struct client, who.client_id, "client", "client", KIND_ID),
	WHO(pid, "pid", KIND_ID),
	WHO(uid, "uid", KIND_ID),
	WHO(comm, "comm", KIND_CHARS),
	COLUMN(struct client, pool, "pool", "pool", KIND_CHARS),
	WHO(age_ms, "age", KIND_MS),
	SUM(live_tensors, "tensors", KIND_NUMBER),
	SUM(live_bytes, "live", KIND_BYTES),
	SUM(granted_bytes, "granted", KIND_BYTES),
	SUM(attached_bytes, "attached", KIND_BYTES),
	SUM(shared_bytes, NULL, KIND_BYTES),
	SUM(base_bytes, NULL, KIND_BYTES),
	SUM(cached_bytes, "cached", KIND_BYTES),
	SUM(queued_bytes, NULL, KIND_BYTES),
	SUM(cache_limit_bytes, NULL, KIND_BYTES),
	SUM(idle_bytes, NULL, KIND_BYTES),
	SUM(meta_bytes, NULL, KIND_BYTES),
	SUM(peak_live_bytes, "peak", KIND_BYTES),
	SUM(peak_attached_bytes, NULL, KIND_BYTES),
	SUM(allocs, NULL, KIND_NUMBER),
	SUM(frees, NULL, KIND_NUMBER),
	SUM(failed, "failed", KIND_NUMBER),
	SUM(promoted, NULL, KIND_NUMBER),
	SUM(escaped_bytes, NULL, KIND_BYTES),
	SUM(slots, NULL, KIND_NUMBER),
	SUM(slot_bytes, NULL, KIND_BYTES),
	SUM(spans, NULL, KIND_NUMBER),
	SUM(span_bytes, NULL, KIND_BYTES),
	SUM(ledger_bytes, NULL, KIND_BYTES),
	SUM(ledger_bad, NULL, KIND_NUMBER),
	SUM(span_map_bytes, NULL, KIND_BYTES),
	SUM(recorded, NULL, KIND_NUMBER),
	SUM(sites, "sites", KIND_NUMBER),
	WHO(mappings, NULL, KIND_NUMBER),
	WHO(cgroup, NULL, KIND_ID),
	COLUMN(struct client, level, "level", NULL, KIND_TEXT),
	COLUMN(struct client, placement, "placement", NULL, KIND_TEXT),
	WHO(label, "label", KIND_CHARS),
	{ 0 },
};

#define TENSOR(field, key, title, kind) \
	COLUMN(struct tensor, t.field, key, title, kind)

static const struct column tensor_columns[] = {
	COLUMN(struct tensor, client, "client", "client", KIND_ID),
	COLUMN(struct tensor, pid, "pid", NULL, KIND_ID),
	TENSOR(handle, "handle", NULL, KIND_HEX),
	TENSOR(offset, "offset", "offset", KIND_HEX),
	TENSOR(bytes, "bytes", "size", KIND_BYTES),
	TENSOR(granted, "granted_bytes", "granted", KIND_BYTES),
	TENSOR(age_ms, "age_ms", "age", KIND_MS),
	TENSOR(site, "site", "site", KIND_ID),
	TENSOR(flags, "flags", NULL, KIND_ID),
	COLUMN(struct tensor, label, "label", "label", KIND_CHARS),
	COLUMN(struct tensor, where, "where", "where", KIND_TEXT),
	{ 0 },
};

#define SITE(field, title, kind) \
	COLUMN(struct site, row.field, #field, title, kind)

static const struct column site_columns[] = {
	COLUMN(struct site, client, "client", "client", KIND_ID),
	COLUMN(struct site, pid, "pid", NULL, KIND_ID),
	COLUMN(struct site, row.site, "site", "site", KIND_ID),
	COLUMN(struct site, class, "class", "class", KIND_TEXT),
	SITE(live_tensors, "tensors", KIND_NUMBER),
	SITE(live_bytes, "live", KIND_BYTES),
	SITE(peak_bytes, "peak", KIND_BYTES),
	SITE(allocs, "allocs", KIND_NUMBER),
	SITE(frees, "frees", KIND_NUMBER),
	SITE(first_ms, NULL, KIND_MS),
	SITE(last_ms, "last", KIND_MS),
	SITE(reuse_ms, NULL, KIND_MS),
	SITE(label, "label", KIND_CHARS),
	COLUMN(struct site, where, "where", "where", KIND_TEXT),
	{ 0 },
};

#define TOMB(field, title, kind) \
	COLUMN(struct tombstone, row.field, #field, title, kind)

static const struct column tombstone_columns[] = {
	TOMB(serial, "serial", KIND_ID),
	COLUMN(struct tombstone, row.client_id, "client", "client", KIND_ID),
	TOMB(pid, "pid", KIND_ID),
	TOMB(uid, "uid", KIND_ID),
	TOMB(comm, "comm", KIND_CHARS),
	TOMB(pool, "pool", KIND_CHARS),
	COLUMN(struct tombstone, end, "end", "end", KIND_CHARS),
	COLUMN(struct tombstone, row.closed_ms, "closed_ms", "ago", KIND_MS),
	TOMB(lived_ms, "lived", KIND_MS),
	TOMB(live_tensors, "tensors", KIND_NUMBER),
	TOMB(live_bytes, "live", KIND_BYTES),
	TOMB(granted_bytes, NULL, KIND_BYTES),
	TOMB(attached_bytes, "attached", KIND_BYTES),
	TOMB(peak_live_bytes, "peak", KIND_BYTES),
	TOMB(peak_attached_bytes, NULL, KIND_BYTES),
	TOMB(allocs, NULL, KIND_NUMBER),
	TOMB(frees, NULL, KIND_NUMBER),
	TOMB(failed, NULL, KIND_NUMBER),
	TOMB(escaped_bytes, NULL, KIND_BYTES),
	TOMB(rest_sites, NULL, KIND_NUMBER),
	TOMB(rest_tensors, NULL, KIND_NUMBER),
	TOMB(rest_bytes, NULL, KIND_BYTES),
	TOMB(cgroup, NULL, KIND_ID),
	TOMB(label, "label", KIND_CHARS),
	{ 0 },
};

#define LEAK(field, title, kind) \
	COLUMN(struct leak, row.field, #field, title, kind)

static const struct column leak_columns[] = {
	LEAK(id, NULL, KIND_ID),
	COLUMN(struct leak, row.client_id, "client", "client", KIND_ID),
	LEAK(pid, "pid", KIND_ID),
	COLUMN(struct leak, kind, "kind", "kind", KIND_TEXT),
	COLUMN(struct leak, state, "state", "state", KIND_TEXT),
	LEAK(tensors, "tensors", KIND_NUMBER),
	LEAK(bytes, "leaked", KIND_BYTES),
	LEAK(confirmed_tensors, NULL, KIND_NUMBER),
	LEAK(confirmed_bytes, NULL, KIND_BYTES),
	LEAK(oldest_ms, "oldest", KIND_MS),
	LEAK(first_seen_ms, NULL, KIND_MS),
	LEAK(checked_ms, NULL, KIND_MS),
	COLUMN(struct leak, row.slope, "slope_bytes", "a-minute", KIND_BYTES),
	COLUMN(struct leak, row.confidence, "confidence", "sure-%", KIND_NUMBER),
	LEAK(evidence, NULL, KIND_ID),
	COLUMN(struct leak, grave, "tombstone", NULL, KIND_ID),
	LEAK(site, "site", KIND_ID),
	LEAK(label, "label", KIND_CHARS),
	COLUMN(struct leak, where, "where", "where", KIND_TEXT),
	{ 0 },
};

#define GROWTH(field, title, kind) \
	COLUMN(struct growth, row.field, #field, title, kind)

static const struct column growth_columns[] = {
	COLUMN(struct growth, client, "client", "client", KIND_ID),
	COLUMN(struct growth, pid, "pid", "pid", KIND_ID),
	COLUMN(struct growth, site, "site", "site", KIND_CHARS),
	COLUMN(struct growth, trend, "trend", "trend", KIND_TEXT),
	COLUMN(struct growth, lasts, "lasts", "lasts", KIND_TEXT),
	COLUMN(struct growth, row.slope, "slope_bytes", "a-minute", KIND_BYTES),
	GROWTH(confidence, "sure-permille", KIND_NUMBER),
	GROWTH(since_ms, "since", KIND_MS),
	GROWTH(rise_bytes, "rise", KIND_BYTES),
	GROWTH(live_tensors, "tensors", KIND_NUMBER),
	GROWTH(live_bytes, "live", KIND_BYTES),
	GROWTH(peak_bytes, NULL, KIND_BYTES),
	GROWTH(allocs, NULL, KIND_NUMBER),
	GROWTH(frees, NULL, KIND_NUMBER),
	GROWTH(last_ms, "last", KIND_MS),
	GROWTH(label, "label", KIND_CHARS),
	COLUMN(struct growth, where, "where", "where", KIND_TEXT),
	{ 0 },
};

#define SEAT(field, key, title, kind) \
	COLUMN(struct seat, field, key, title, kind)

static const struct column top_columns[] = {
	SEAT(who.client_id, "client", "client", KIND_ID),
	SEAT(who.pid, "pid", "pid", KIND_ID),
	SEAT(who.uid, "uid", "uid", KIND_ID),
	SEAT(who.comm, "comm", "comm", KIND_CHARS),
	SEAT(tensors, "live_tensors", "tensors", KIND_NUMBER),
	SEAT(live, "live_bytes", "live", KIND_BYTES),
	SEAT(attached, "attached_bytes", "attached", KIND_BYTES),
	SEAT(peak, "peak_live_bytes", "peak", KIND_BYTES),
	SEAT(trend, "trend", "trend", KIND_TEXT),
	SEAT(slope, "slope_bytes", "a-minute", KIND_BYTES),
	SEAT(leaks, "leaks", "leaks", KIND_NUMBER),
	SEAT(leaked, "leaked_bytes", "leaked", KIND_BYTES),
	SEAT(who.label, "label", "label", KIND_CHARS),
	{ 0 },
};

/* ---- program files -------------------------------------------------------------- */

/**
 * program_of_client() - a program file of a client
 * @ctl: run
 * @client: client
 * @pid: its process
 * @module: number of the file
 * @p: out
 *
 * Return: 0 or a negative errno.
 */
int program_of_client(struct ctl *ctl, uint64_t client, uint32_t pid,
		      uint32_t module, struct program *p)
{
	struct bmem_module_info info = {
		.size = sizeof(info), .client_id = client, .module = module,
	};
	int ret = bmem_module_info(ctl->c, &info);

	if (ret)
		return ret;
	p->build_id_len = info.build_id_len;
	memcpy(p->build_id, info.build_id, sizeof(p->build_id));
	memcpy(p->path, info.path, sizeof(p->path));
	p->pid = pid;
	return 0;
}

/**
 * program_of_tombstone() - a program file of a client that is gone
 * @ctl: run
 * @serial: number of the tombstone
 * @module: number of the file
 * @p: out
 *
 * Return: 0 or a negative errno.
 */
int program_of_tombstone(struct ctl *ctl, uint64_t serial, uint32_t module,
			 struct program *p)
{
	struct bmem_tombstone_module info = {
		.size = sizeof(info), .serial = serial, .module = module,
	};
	int ret = bmem_tombstone_module(ctl->c, &info);

	if (ret)
		return ret;
	p->build_id_len = info.build_id_len;
	memcpy(p->build_id, info.build_id, sizeof(p->build_id));
	memcpy(p->path, info.path, sizeof(p->path));
	return 0;
}

static int site_program(struct ctl *ctl, const void *row, uint32_t module,
			struct program *p)
{
	const struct site *s = row;

	return program_of_client(ctl, s->client, s->pid, module, p);
}

static int growth_program(struct ctl *ctl, const void *row, uint32_t module,
			  struct program *p)
{
	const struct growth *g = row;

	return program_of_client(ctl, g->client, g->pid, module, p);
}

static int tombstone_program(struct ctl *ctl, const void *row, uint32_t module,
			     struct program *p)
{
	const struct tombstone *t = row;

	return program_of_tombstone(ctl, t->row.serial, module, p);
}

/* ---- below and inside of rows ------------------------------------------------------ */

static void site_details(struct ctl *ctl, const void *row, FILE *out)
{
	const struct site *s = row;

	if (ctl->o->stacks)
		stack_print(ctl, s->stack.frames, s->stack.nr, site_program, s,
			    out);
}

static void growth_details(struct ctl *ctl, const void *row, FILE *out)
{
	const struct growth *g = row;

	if (ctl->o->stacks)
		stack_print(ctl, g->stack.frames, g->stack.nr, growth_program,
			    g, out);
}

static void growth_more(struct ctl *ctl, const void *row, void *object)
{
	const struct growth *g = row;

	json_object_set_new(object, "frames",
			    stack_json(ctl, g->stack.frames, g->stack.nr,
				       growth_program, g));
}

static void *numbers(const uint32_t *n, size_t nr)
{
	json_t *array = must(json_array());
	size_t i;

	for (i = 0; i < nr; i++)
		json_array_append_new(array, json_integer(n[i]));
	return array;
}

static void site_more(struct ctl *ctl, const void *row, void *object)
{
	const struct site *s = row;
	json_t *sizes = must(json_array());
	uint32_t i;

	for (i = 0; s->row.nr_sizes <= BMEM_SITE_SIZES && i < s->row.nr_sizes; i++)
		json_array_append_new(sizes, json_integer((json_int_t)s->row.sizes[i]));
	json_object_set_new(object, "sizes", sizes);
	json_object_set_new(object, "size_hist",
			    numbers(s->row.size_hist, BMEM_SITE_BUCKETS));
	json_object_set_new(object, "life_hist",
			    numbers(s->row.life_hist, BMEM_SITE_BUCKETS));
	json_object_set_new(object, "frames",
			    stack_json(ctl, s->stack.frames, s->stack.nr,
				       site_program, s));
}

static void held_print(struct ctl *ctl, const struct tombstone *t,
		       const struct bmem_tombstone_site *held, FILE *out)
{
	char *where = stack_where(ctl, held->frames, held->nr_frames,
				  tombstone_program, t);
	char *size = text_bytes(held->live_bytes, ctl->o->bytes);
	char *label, *safe;

	label = held->label[0] ? must(strndup(held->label, sizeof(held->label))) :
				 text_format("site %u", held->site);
	safe = text_safe(label, strlen(label), text_is_utf8());
	fprintf(out, "    %9s in %llu tensors  %s", size,
		(unsigned long long)held->live_tensors, safe);
	free(safe);
	if (where) {
		safe = text_safe(where, strlen(where), text_is_utf8());
		fprintf(out, "  %s", safe);
		free(safe);
	}
	putc('\n', out);
	if (ctl->o->stacks)
		stack_print(ctl, held->frames, held->nr_frames,
			    tombstone_program, t, out);
	free(label);
	free(size);
	free(where);
}

static void tombstone_details(struct ctl *ctl, const void *row, FILE *out)
{
	const struct tombstone *t = row;
	char *size;
	uint32_t i;

	for (i = 0; i < t->nr_sites; i++)
		held_print(ctl, t, &t->sites[i], out);
	if (!t->row.rest_sites)
		return;
	size = text_bytes(t->row.rest_bytes, ctl->o->bytes);
	fprintf(out, "    %9s in %llu tensors  %u other sites\n", size,
		(unsigned long long)t->row.rest_tensors, t->row.rest_sites);
	free(size);
}

static json_t *held_json(struct ctl *ctl, const struct tombstone *t,
			 const struct bmem_tombstone_site *held)
{
	json_t *o = must(json_object());
	char *label = must(strndup(held->label, sizeof(held->label)));

	json_object_set_new(o, "site", json_integer(held->site));
	json_object_set_new(o, "live_tensors",
			    json_integer((json_int_t)held->live_tensors));
	json_object_set_new(o, "live_bytes",
			    json_integer((json_int_t)held->live_bytes));
	json_object_set_new(o, "label", json_text(label));
	json_object_set_new(o, "frames",
			    stack_json(ctl, held->frames, held->nr_frames,
				       tombstone_program, t));
	free(label);
	return o;
}

static void tombstone_more(struct ctl *ctl, const void *row, void *object)
{
	const struct tombstone *t = row;
	json_t *sites = must(json_array());
	uint32_t i;

	for (i = 0; i < t->nr_sites; i++)
		json_array_append_new(sites, held_json(ctl, t, &t->sites[i]));
	json_object_set_new(object, "sites", sites);
}

/* ---- tables -------------------------------------------------------------------------- */

static void drop_pool(void *row)
{
	free(((struct pool *)row)->group);
}

static void drop_site(void *row)
{
	free(((struct site *)row)->where);
}

static void drop_growth(void *row)
{
	free(((struct growth *)row)->where);
}

static void drop_tombstone(void *row)
{
	free(((struct tombstone *)row)->sites);
}

static void drop_totals(void *row)
{
	struct totals *sum = row;

	free(sum->module);
	free(sum->scope);
}

#define EVENT(field, title, kind) \
	COLUMN(struct event, e.field, #field, title, kind)

static const struct column event_columns[] = {
	COLUMN(struct event, time, "time", "time", KIND_CHARS),
	EVENT(time_ns, NULL, KIND_NUMBER),
	EVENT(serial, NULL, KIND_ID),
	COLUMN(struct event, type, "type", "type", KIND_TEXT),
	COLUMN(struct event, e.client_id, "client", "client", KIND_ID),
	COLUMN(struct event, pool, "pool", "pool", KIND_CHARS),
	EVENT(level, "level", KIND_NUMBER),
	EVENT(bytes, "bytes", KIND_BYTES),
	EVENT(arg, "arg", KIND_NUMBER),
	EVENT(lost, "lost", KIND_NUMBER),
	{ 0 },
};

static const struct table views[] = {
	{ .name = "status", .columns = status_columns, .sort = "backend",
	  .row_size = sizeof(struct totals), .drop = drop_totals },
	{ .name = "pools", .columns = pool_columns, .sort = "id",
	  .row_size = sizeof(struct pool), .drop = drop_pool },
	{ .name = "pressure", .columns = pressure_columns, .sort = "id",
	  .row_size = sizeof(struct pressed) },
	{ .name = "clients", .columns = client_columns, .sort = "live",
	  .row_size = sizeof(struct client) },
	{ .name = "tensors", .columns = tensor_columns, .sort = "size",
	  .row_size = sizeof(struct tensor) },
	{ .name = "sites", .columns = site_columns, .sort = "live",
	  .row_size = sizeof(struct site), .details = site_details,
	  .more = site_more, .drop = drop_site },
	{ .name = "tombstones", .columns = tombstone_columns, .sort = "serial",
	  .row_size = sizeof(struct tombstone), .details = tombstone_details,
	  .more = tombstone_more, .drop = drop_tombstone },
	{ .name = "leaks", .columns = leak_columns, .sort = "leaked",
	  .row_size = sizeof(struct leak), .details = leak_details,
	  .more = leak_more, .drop = leak_drop },
	{ .name = "top", .columns = top_columns, .sort = "live",
	  .row_size = sizeof(struct seat) },
	{ .name = "growth", .columns = growth_columns, .sort = "a-minute",
	  .row_size = sizeof(struct growth), .details = growth_details,
	  .more = growth_more, .drop = drop_growth },
	{ .name = "events", .columns = event_columns, .sort = "serial",
	  .row_size = sizeof(struct event) },
};

/**
 * view_named() - what a verb shows
 * @name: of the verb
 *
 * Return: a table without rows, or NULL.
 */
const struct table *view_named(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(views); i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}

/**
 * print_json() - a table as an object with its name
 * @ctl: run
 * @t: table, sorted
 *
 * Return: enum status.
 */
int print_json(struct ctl *ctl, const struct table *t)
{
	json_t *o = must(json_object());

	json_object_set_new(o, "bmemctl", json_integer(SCHEMA));
	json_object_set_new(o, t->name, table_json(ctl, t));
	return json_print(ctl->o, o, stdout) ? STATUS_FAILED : STATUS_OK;
}

/**
 * view_order() - what a list is sorted by
 * @ctl: run
 * @t: table
 *
 * Watching, rows keep their places, so that a diff shows what changed.
 *
 * Return: a column.
 */
const char *view_order(struct ctl *ctl, const struct table *t)
{
	if (ctl->o->sort)
		return ctl->o->sort;
	return ctl->o->watch ? t->columns[0].key : t->sort;
}

/**
 * view_failed() - say why a list cannot be shown
 * @ctl: run
 * @t: table
 * @ret: negative errno
 *
 * Return: enum status.
 */
int view_failed(struct ctl *ctl, const struct table *t, int ret)
{
	if (ret == -ENOENT && ctl->o->client) {
		fprintf(stderr, "bmemctl: %s: no client %llu, or it is another user's\n",
			t->name, (unsigned long long)ctl->o->client);
		return STATUS_NOT_FOUND;
	}
	if (ret == -EOPNOTSUPP && strcmp(ctl->backend, "dev")) {
		fprintf(stderr, "bmemctl: %s: without /dev/bmem there are none\n",
			t->name);
		return STATUS_FAILED;
	}
	return complain(t->name, ret);
}

/* @ret is what became of fetching the rows. */
static int show(struct ctl *ctl, struct table *t, int ret)
{
	if (ret)
		return view_failed(ctl, t, ret);
	if (table_sort(t, view_order(ctl, t), ctl->o->reverse))
		return STATUS_USAGE;
	if (ctl->o->json)
		return print_json(ctl, t);
	table_print(ctl, t, stdout);
	return STATUS_OK;
}

int show_pools(struct ctl *ctl)
{
	struct table t = *view_named("pools");
	int status = show(ctl, &t, fetch_pools(ctl, &t));

	table_free(&t);
	return status;
}

/* How short of memory the system is, where its kernel says so. */
static void print_stalls(void)
{
	FILE *psi = fopen("/proc/pressure/memory", "re");
	double some, full;

	if (!psi)
		return;
	if (fscanf(psi, "some avg10=%lf %*[^\n] full avg10=%lf", &some, &full) == 2)
		printf("\nsystem: tasks waited for memory in %.2f %% of the last 10 s, all of them in %.2f %%\n",
		       some, full);
	fclose(psi);
}

int show_pressure(struct ctl *ctl)
{
	struct table t = *view_named("pressure");
	int status = show(ctl, &t, fetch_pressure(ctl, &t));

	table_free(&t);
	if (status == STATUS_OK && !ctl->o->json)
		print_stalls();
	return status;
}

int show_clients(struct ctl *ctl)
{
	struct table t = *view_named("clients");
	int status = show(ctl, &t, fetch_clients(ctl, &t));

	table_free(&t);
	return status;
}

/* Calls @fetch for each client that is wanted. */
static int for_clients(struct ctl *ctl, struct table *t,
		       int (*fetch)(struct ctl *ctl, const struct client *who,
				    struct table *t))
{
	struct table clients = *view_named("clients");
	int ret = fetch_clients(ctl, &clients);
	const struct client *who = clients.rows;
	size_t i;

	for (i = 0; !ret && i < clients.nr; i++)
		ret = fetch(ctl, &who[i], t);
	table_free(&clients);
	return ret;
}

static int fetch_named_sites(struct ctl *ctl, struct table *t)
{
	int ret = for_clients(ctl, t, fetch_sites);
	struct site *s = t->rows;
	size_t i;

	for (i = 0; i < t->nr; i++)
		s[i].where = stack_where(ctl, s[i].stack.frames, s[i].stack.nr,
					 site_program, &s[i]);
	return ret;
}

int show_sites(struct ctl *ctl)
{
	struct table t = *view_named("sites");
	int status = show(ctl, &t, fetch_named_sites(ctl, &t));

	table_free(&t);
	return status;
}

static int fetch_named_growth(struct ctl *ctl, struct table *t)
{
	int ret = for_clients(ctl, t, fetch_growth);
	struct growth *g = t->rows;
	size_t i;

	for (i = 0; i < t->nr; i++)
		g[i].where = stack_where(ctl, g[i].stack.frames, g[i].stack.nr,
					 growth_program, &g[i]);
	return ret;
}

int show_growth(struct ctl *ctl)
{
	struct table t = *view_named("growth");
	int status = show(ctl, &t, fetch_named_growth(ctl, &t));

	table_free(&t);
	return status;
}

static int by_site(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	if (x->client != y->client)
		return x->client < y->client ? -1 : 1;
	return x->row.site < y->row.site ? -1 : x->row.site > y->row.site;
}

/* Labels and places of tensors are those of their sites. */
static void find_sites(struct table *tensors, const struct table *sites)
{
	struct tensor *t = tensors->rows;
	const struct site *s;
	struct site key;
	size_t i;

	for (i = 0; sites->nr && i < tensors->nr; i++, t++) {
		key.client = t->client;
		key.row.site = t->t.site;
		s = bsearch(&key, sites->rows, sites->nr, sizeof(*s), by_site);
		if (!s)
			continue;
		memcpy(t->label, s->row.label, sizeof(t->label));
		t->where = s->where;
	}
}

int show_tensors(struct ctl *ctl)
{
	struct table t = *view_named("tensors"), sites = *view_named("sites");
	int ret = for_clients(ctl, &t, fetch_tensors), status;

	/* A client may be gone in between: its tensors are shown all the same. */
	if (!ret && t.nr)
		(void)fetch_named_sites(ctl, &sites);
	if (sites.nr)
		qsort(sites.rows, sites.nr, sites.row_size, by_site);
	find_sites(&t, &sites);
	status = show(ctl, &t, ret);
	table_free(&t);
	table_free(&sites);
	return status;
}

int show_tombstones(struct ctl *ctl)
{
	struct table t = *view_named("tombstones");
	int status = show(ctl, &t, fetch_tombstones(ctl, &t));

	table_free(&t);
	return status;
}

/* ---- status ---------------------------------------------------------------------------- */

/* The line of a file that begins with @key, without it; NULL for none. */
static char *line_of(const char *path, const char *key)
{
	char line[128], *found = NULL;
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, key, strlen(key)))
			found = must(strdup(line + strlen(key)));
	}
	if (f)
		fclose(f);
	return found;
}

/* CAP_SYS_ADMIN, in the namespace where that means something to the module. */
static bool sees_all(void)
{
	char *caps = line_of("/proc/self/status", "CapEff:\t"),
	     *map = line_of("/proc/self/uid_map", "");
	bool all = caps && map && strtoull(caps, NULL, 16) >> 21 & 1 &&
		   strstr(map, "4294967295");

	free(caps);
	free(map);
	return all;
}

static char *scope(struct ctl *ctl)
{
	if (strcmp(ctl->backend, "dev"))
		return text_format("this process");
	if (sees_all())
		return text_format("all clients");
	return text_format("clients of user %u", geteuid());
}

static void sum_clients(struct totals *sum, const struct table *t)
{
	const struct client *c = t->rows;
	size_t i;

	sum->clients = t->nr;
	for (i = 0; i < t->nr; i++, c++) {
		sum->live_tensors += c->st.live_tensors;
		sum->live_bytes += c->st.live_bytes;
		sum->granted_bytes += c->st.granted_bytes;
		sum->attached_bytes += c->st.attached_bytes;
		sum->cached_bytes += c->st.cached_bytes;
		sum->meta_bytes += c->st.meta_bytes;
	}
}

static void sum_pools(struct totals *sum, const struct table *t)
{
	const struct pool *p = t->rows;
	size_t i;

	sum->pools = t->nr;
	for (i = 0; i < t->nr; i++, p++) {
		sum->failed += p->st.failed;
		sum->pool_limit_bytes += p->st.limit_bytes;
		sum->pool_total_bytes += p->st.total_bytes;
		sum->pool_free_bytes += p->st.zeroed_bytes + p->st.dirty_bytes +
					p->st.zeroing_bytes;
	}
}

/* A module that is older has no findings to tell of. */
static void sum_findings(struct ctl *ctl, struct totals *sum)
{
	struct table t = *view_named("leaks");
	struct leak_sums leaks = { .confirmed = 0 };

	if (!fetch_leaks(ctl, &t, NULL))
		sum_leaks(&leaks, &t);
	sum->leaks_confirmed = leaks.confirmed;
	sum->leaks_suspected = leaks.suspected;
	sum->leaked_bytes = leaks.confirmed_bytes;
	table_free(&t);
}

static int fetch_totals(struct ctl *ctl, struct totals *sum)
{
	struct table pools = *view_named("pools"),
		     clients = *view_named("clients"),
		     tombs = *view_named("tombstones");
	int ret = fetch_pools(ctl, &pools);

	if (!ret)
		ret = fetch_clients(ctl, &clients);
	if (!ret)
		ret = fetch_tombstones(ctl, &tombs);
	sum_pools(sum, &pools);
	sum_clients(sum, &clients);
	sum_findings(ctl, sum);
	sum->tombstones = tombs.nr;
	table_free(&pools);
	table_free(&clients);
	table_free(&tombs);
	/* The fallback has no tombstones. */
	return ret == -EOPNOTSUPP ? 0 : ret;
}

static char *status_value(struct ctl *ctl, const struct column *col,
			  const void *at)
{
	const char *text;

	switch (col->kind) {
	case KIND_TEXT:
		text = *(const char *const *)at;
		return text_safe(text ? text : "-", 256, text_is_utf8());
	case KIND_BYTES:
		return text_bytes(*(const uint64_t *)at, ctl->o->bytes);
	default:
		return text_format("%llu", *(const unsigned long long *)at);
	}
}

/* A figure a line: a row of all of them would be wider than any terminal. */
static void print_status(struct ctl *ctl, const struct totals *sum)
{
	const struct column *col;
	char *text;

	for (col = status_columns; col->key; col++) {
		text = status_value(ctl, col, (const char *)sum + col->offset);
		printf("%s:%*s%s\n", col->title, (int)(16 - strlen(col->title)),
		       "", text);
		free(text);
	}
}

int show_status(struct ctl *ctl)
{
	struct table t = *view_named("status");
	struct totals *sum = table_add(&t);
	int ret, status = STATUS_OK;

	sum->backend = ctl->backend;
	sum->module = line_of("/sys/module/bmem/version", "");
	sum->scope = scope(ctl);
	ret = fetch_totals(ctl, sum);
	if (ret)
		status = complain("status", ret);
	else if (ctl->o->json)
		status = print_json(ctl, &t);
	else
		print_status(ctl, sum);
	table_free(&t);
	return status;
}
