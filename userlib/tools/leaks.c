// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The verb "leaks": what the module's detectors have found, by call site, and
 * what processes that are gone have left behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "ctl.h"

/* Rows and bundles that people are shown unless they say how many. */
#define ROWS_SHOWN	50
#define BUNDLES_SHOWN	5

/* --scan: a suspect is looked at again after so long, and so often. */
#define SCAN_DELAY_MS	1000
#define SCAN_ROUNDS	3

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[BMEM_LEAK_UNREFERENCED] = "unreferenced",
		[BMEM_LEAK_UNREACHABLE] = "unreachable",
		[BMEM_LEAK_CYCLE] = "cycle",
		[BMEM_LEAK_GROWTH] = "growth",
	};

	return kind < ARRAY_SIZE(names) && names[kind] ? names[kind] : "?";
}

static const char *state_name(uint32_t state)
{
	return state == BMEM_LEAK_CONFIRMED ? "confirmed" : "suspected";
}

/* ---- fetching ------------------------------------------------------------------- */

static void leak_frames(struct ctl *ctl, struct leak *l)
{
	struct bmem_site_frames arg = {
		.size = sizeof(arg),
		.client_id = l->row.client_id,
		.site = l->row.site,
		.nr = BMEM_FRAMES_MAX,
		.frames = (uintptr_t)l->stack.frames,
	};

	if (l->row.nr_frames && !bmem_site_frames(ctl->c, &arg))
		l->stack.nr = arg.nr;
}

static bool leak_wanted(const struct options *o, uint64_t client, uint32_t pid,
			uint32_t site)
{
	return (!o->client || o->client == client) &&
	       (!o->pid || o->pid == pid) && (!o->has_site || o->site == site);
}

static void leak_add(struct ctl *ctl, const struct bmem_leak_row *row,
		     struct table *t)
{
	struct leak *l;

	if (!leak_wanted(ctl->o, row->client_id, row->pid, row->site))
		return;
	l = table_add(t);
	l->row = *row;
	l->kind = kind_name(row->kind);
	l->state = state_name(row->state);
}

#define BATCH	64

/**
 * fetch_leaks() - what has been found in clients that the user may see
 * @ctl: run
 * @t: table of struct leak, added to
 * @sums: added to, or NULL
 *
 * Without stacks.
 *
 * Return: 0 or a negative errno.
 */
int fetch_leaks(struct ctl *ctl, struct table *t, struct leak_sums *sums)
{
	struct bmem_leak_row rows[BATCH];
	struct bmem_leak_list list = {
		.size = sizeof(list),
		.flags = ctl->o->client ? 0 : BMEM_LEAK_LIST_ALL,
		.client_id = ctl->o->client,
		.row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	uint32_t i;
	int ret;

	do {
		list.nr = BATCH;
		list.cleared = 0;
		list.dropped = 0;
		list.cut_short = 0;
		ret = bmem_leak_list(ctl->c, &list);
		if (ret)
			return ret;
		for (i = 0; i < list.nr; i++)
			leak_add(ctl, &rows[i], t);
		if (!sums)
			continue;
		sums->cleared += list.cleared;
		sums->dropped += list.dropped;
		sums->cut_short |= list.cut_short;
	} while (list.nr == BATCH);
	return 0;
}

static void grave_add(const struct tombstone *tomb,
		      const struct bmem_tombstone_site *held, struct table *t)
{
	struct leak *l = table_add(t);

	l->grave = tomb->row.serial;
	l->kind = "exit";
	l->state = "left behind";
	l->row.client_id = tomb->row.client_id;
	l->row.pid = tomb->row.pid;
	l->row.site = held->site;
	l->row.tensors = held->live_tensors;
	l->row.bytes = held->live_bytes;
	l->row.oldest_ms = tomb->row.closed_ms;
	l->row.confidence = 100;
	memcpy(l->row.label, held->label, sizeof(l->row.label));
	l->stack.nr = held->nr_frames;
	memcpy(l->stack.frames, held->frames, sizeof(held->frames));
}

/*
 * Of a process that is gone and was asked for: what it held at its end.  That of
 * all would be mostly what programs do not care to free before they exit.
 */
static int fetch_graves(struct ctl *ctl, struct table *t)
{
	struct table tombs = *view_named("tombstones");
	const struct tombstone *tomb;
	uint32_t k;
	size_t i;
	int ret;

	if (!ctl->o->client && !ctl->o->pid)
		return 0;
	ret = fetch_tombstones(ctl, &tombs);
	tomb = tombs.rows;
	for (i = 0; i < tombs.nr; i++, tomb++)
		for (k = 0; k < tomb->nr_sites; k++)
			if (leak_wanted(ctl->o, tomb->row.client_id,
					tomb->row.pid, tomb->sites[k].site))
				grave_add(tomb, &tomb->sites[k], t);
	table_free(&tombs);
	return ret;
}

static int fetch_all(struct ctl *ctl, struct table *t, struct leak_sums *sums)
{
	int live = fetch_leaks(ctl, t, sums), gone;
	size_t i;

	if (live && live != -ENOENT)
		return live;
	for (i = 0; i < t->nr; i++)
		leak_frames(ctl, (struct leak *)t->rows + i);
	gone = fetch_graves(ctl, t);
	/* --client is one that lives, or one that is gone. */
	return gone == -ENOENT || gone == -EOPNOTSUPP ? live : gone;
}

static int leak_program(struct ctl *ctl, const void *row, uint32_t module,
			struct program *p)
{
	const struct leak *l = row;

	if (l->grave)
		return program_of_tombstone(ctl, l->grave, module, p);
	return program_of_client(ctl, l->row.client_id, l->row.pid, module, p);
}

static void leaks_name(struct ctl *ctl, struct table *t)
{
	struct leak *l = t->rows;
	size_t i;

	for (i = 0; i < t->nr; i++, l++)
		if (!l->where)
			l->where = stack_where(ctl, l->stack.frames,
					       l->stack.nr, leak_program, l);
}

/* ---- what leaking stacks have in common -------------------------------------------- */

/**
 * struct analysis - bundles, and what they point into
 * @sites: of the clients that have findings
 * @paths: stacks of these, and of @leaks
 * @bundles: largest first
 * @nr: how many
 */
struct analysis {
	struct table sites;
	struct path *paths;
	struct bundle *bundles;
	size_t nr;
};

static bool is_leaking(const struct table *leaks, uint64_t client, uint32_t site)
{
	const struct leak *l = leaks->rows;
	size_t i;

	for (i = 0; i < leaks->nr; i++)
		if (l[i].row.client_id == client && l[i].row.site == site)
			return true;
	return false;
}

static bool is_first_of_client(const struct leak *l, size_t at)
{
	size_t i;

	for (i = 0; i < at; i++)
		if (!l[i].grave && l[i].row.client_id == l[at].row.client_id)
			return false;
	return true;
}

static void fetch_sites_of(struct ctl *ctl, const struct table *leaks,
			   struct table *sites)
{
	const struct leak *l = leaks->rows;
	struct client who = { .who.client_id = 0 };
	size_t i;

	for (i = 0; i < leaks->nr; i++) {
		if (l[i].grave || !is_first_of_client(l, i))
			continue;
		who.who.client_id = l[i].row.client_id;
		who.who.pid = l[i].row.pid;
		/* It may be gone by now: then there is less to compare with. */
		(void)fetch_sites(ctl, &who, sites);
	}
}

/* Points into the rows, which must not be sorted any more. */
static void analyse(struct ctl *ctl, const struct table *leaks,
		    struct analysis *a)
{
	const struct leak *l = leaks->rows;
	const struct site *s;
	struct path *p;
	size_t i, nr = 0;

	a->sites = *view_named("sites");
	fetch_sites_of(ctl, leaks, &a->sites);
	s = a->sites.rows;
	a->paths = must(calloc(leaks->nr + a->sites.nr + 1, sizeof(*a->paths)));
	for (i = 0; i < leaks->nr; i++) {
		if (l[i].grave || !l[i].stack.nr)
			continue;
		p = &a->paths[nr++];
		*p = (struct path) {
			.client = l[i].row.client_id, .row = &l[i],
			.frames = l[i].stack.frames, .nr = l[i].stack.nr,
			.bytes = l[i].row.bytes, .tensors = l[i].row.tensors,
			.leaks = true,
		};
	}
	for (i = 0; nr && i < a->sites.nr; i++) {
		if (!s[i].stack.nr ||
		    is_leaking(leaks, s[i].client, s[i].row.site))
			continue;
		p = &a->paths[nr++];
		*p = (struct path) {
			.client = s[i].client, .frames = s[i].stack.frames,
			.nr = s[i].stack.nr,
		};
	}
	a->nr = paths_bundle(a->paths, nr, &a->bundles);
}

static void analysis_free(struct analysis *a)
{
	free(a->bundles);
	free(a->paths);
	table_free(&a->sites);
}

static char *bundle_frame(struct ctl *ctl, const struct bundle *g)
{
	const struct path *p = g->path;

	if (!g->depth)
		return NULL;
	return stack_where(ctl, &p->frames[p->nr - g->depth], 1, leak_program,
			   p->row);
}

static void bundle_print(struct ctl *ctl, const struct bundle *g)
{
	char *where = bundle_frame(ctl, g), *size, *safe;

	if (!where)
		return;
	size = text_bytes(g->bytes, ctl->o->bytes);
	safe = text_safe(where, strlen(where), text_is_utf8());
	printf("common: client %llu, %s in %llu tensors of %zu site%s: %s; %s\n",
	       (unsigned long long)g->path->client, size,
	       (unsigned long long)g->tensors, g->nr, g->nr == 1 ? "" : "s",
	       safe, g->parted ? "what comes through there all leaks" :
				 "other stacks come through there as well");
	free(where);
	free(size);
	free(safe);
}

static json_t *bundle_json(struct ctl *ctl, const struct bundle *g)
{
	const struct path *p = g->path;
	json_t *o = must(json_object());

	json_object_set_new(o, "client", json_integer((json_int_t)p->client));
	json_object_set_new(o, "sites", json_integer((json_int_t)g->nr));
	json_object_set_new(o, "tensors", json_integer((json_int_t)g->tensors));
	json_object_set_new(o, "bytes", json_integer((json_int_t)g->bytes));
	json_object_set_new(o, "parted", json_boolean(g->parted));
	json_object_set_new(o, "frames",
			    stack_json(ctl, &p->frames[p->nr - g->depth],
				       g->depth ? 1 : 0, leak_program, p->row));
	return o;
}

/* ---- for people ---------------------------------------------------------------------- */

void leak_details(struct ctl *ctl, const void *row, FILE *out)
{
	const struct leak *l = row;

	if (ctl->o->stacks)
		stack_print(ctl, l->stack.frames, l->stack.nr, leak_program, l,
			    out);
}

void leak_more(struct ctl *ctl, const void *row, void *object)
{
	const struct leak *l = row;

	json_object_set_new(object, "frames",
			    stack_json(ctl, l->stack.frames, l->stack.nr,
				       leak_program, l));
}

void leak_drop(void *row)
{
	free(((struct leak *)row)->where);
}

/**
 * sum_leaks() - count findings
 * @sums: added to
 * @t: table of struct leak
 */
void sum_leaks(struct leak_sums *sums, const struct table *t)
{
	const struct leak *l = t->rows;
	size_t i;

	for (i = 0; i < t->nr; i++, l++) {
		if (l->grave)
			continue;
		if (l->row.state == BMEM_LEAK_CONFIRMED)
			sums->confirmed++;
		else
			sums->suspected++;
		sums->confirmed_bytes += l->row.confirmed_bytes;
		sums->suspected_bytes += l->row.bytes - l->row.confirmed_bytes;
	}
}

static void print_cut(struct ctl *ctl, const struct table *t, size_t shown)
{
	const struct leak *l = t->rows;
	uint64_t bytes = 0;
	size_t i;
	char *size;

	if (shown >= t->nr)
		return;
	for (i = shown; i < t->nr; i++)
		bytes += l[i].row.bytes;
	size = text_bytes(bytes, ctl->o->bytes);
	printf("%zu more findings of %s are not shown: --limit %zu\n",
	       t->nr - shown, size, t->nr);
	free(size);
}

static void print_sums(struct ctl *ctl, const struct leak_sums *sums)
{
	char *sure = text_bytes(sums->confirmed_bytes, ctl->o->bytes),
	     *perhaps = text_bytes(sums->suspected_bytes, ctl->o->bytes);

	printf("confirmed: %llu findings, %s; suspected: %llu, %s; cleared: %llu\n",
	       (unsigned long long)sums->confirmed, sure,
	       (unsigned long long)sums->suspected, perhaps,
	       (unsigned long long)sums->cleared);
	if (sums->dropped)
		printf("there was no room for %llu tensors: there is more than this\n",
		       (unsigned long long)sums->dropped);
	if (sums->cut_short)
		puts("a scan did not come to its end: there may be more than this");
	free(sure);
	free(perhaps);
}

static void print_next(struct ctl *ctl, const struct table *t)
{
	const struct leak *l = t->rows;

	if (!t->nr && ctl->o->scan)
		return;
	if (!t->nr)
		puts("next: bmemctl leaks --scan");
	else if (l->grave)
		printf("next: bmemctl tombstones --client %llu --stacks\n",
		       (unsigned long long)l->row.client_id);
	else
		printf("next: bmemctl tensors --client %llu --site %u --sort age\n",
		       (unsigned long long)l->row.client_id, l->row.site);
}

static void print_people(struct ctl *ctl, const struct table *t,
			 const struct analysis *a, const struct leak_sums *sums)
{
	struct options o = *ctl->o;
	struct ctl few = *ctl;
	size_t i;

	if (!o.has_limit)
		o.limit = ROWS_SHOWN;
	few.o = &o;
	table_print(&few, t, stdout);
	if (o.plain)
		return;
	print_cut(ctl, t, o.limit ? o.limit : t->nr);
	for (i = 0; i < a->nr && i < BUNDLES_SHOWN; i++)
		if (a->bundles[i].nr > 1 || a->bundles[i].parted)
			bundle_print(ctl, &a->bundles[i]);
	print_sums(ctl, sums);
	print_next(ctl, t);
}

/* ---- for programs --------------------------------------------------------------------- */

static int leaks_json(struct ctl *ctl, const struct table *t,
		      const struct analysis *a, const struct leak_sums *sums)
{
	json_t *o = must(json_object()), *groups = must(json_array());
	size_t limit = ctl->o->limit, i;

	for (i = 0; i < a->nr; i++)
		json_array_append_new(groups, bundle_json(ctl, &a->bundles[i]));
	json_object_set_new(o, "bmemctl", json_integer(SCHEMA));
	json_object_set_new(o, "leaks", table_json(ctl, t));
	json_object_set_new(o, "groups", groups);
	json_object_set_new(o, "cleared", json_integer((json_int_t)sums->cleared));
	json_object_set_new(o, "dropped", json_integer((json_int_t)sums->dropped));
	json_object_set_new(o, "cut_short", json_boolean(sums->cut_short));
	json_object_set_new(o, "truncated",
			    json_integer(limit && limit < t->nr ?
					 (json_int_t)(t->nr - limit) : 0));
	return json_print(ctl->o, o, stdout) ? STATUS_FAILED : STATUS_OK;
}

/* A line a call site, as flame graphs are made of. */
static void print_folded(struct ctl *ctl, const struct table *t)
{
	const struct leak *l = t->rows;
	size_t i;

	for (i = 0; i < t->nr; i++, l++) {
		printf("pid %u", l->row.pid);
		stack_folded(ctl, l->stack.frames, l->stack.nr, leak_program, l,
			     stdout);
		if (!l->stack.nr) {
			char *label = folded_name(l->row.label,
						  sizeof(l->row.label));

			printf(";%s", label);
			free(label);
		}
		printf(" %llu\n", (unsigned long long)l->row.bytes);
	}
}

/* ---- pprof --------------------------------------------------------------------------- */

/*
 * The heap profile of gperftools as text, which pprof reads.  Each program file
 * gets a place of its own to be mapped at, from its beginning on, which the list
 * at the end tells.
 */
#define PLACE_BASE	0x100000000000ULL
#define PLACE_SIZE	0x100000000ULL

/**
 * struct place - a program file's
 * @client: whose number @module is
 * @grave: or of which tombstone's client
 * @module: number
 * @gap: what its addresses are ahead of its offsets
 * @path: where the file is
 */
struct place {
	uint64_t client;
	uint64_t grave;
	uint32_t module;
	uint64_t gap;
	char path[BMEM_PATH_LEN];
};

static const struct column no_columns[] = { { 0 } };

static size_t place_of(struct ctl *ctl, struct table *places,
		       const struct leak *l, uint32_t module)
{
	struct place *p = places->rows;
	struct program file;
	size_t i;

	for (i = 0; i < places->nr; i++)
		if (p[i].client == l->row.client_id && p[i].grave == l->grave &&
		    p[i].module == module)
			return i;
	memset(&file, 0, sizeof(file));
	if (module)
		(void)leak_program(ctl, l, module, &file);
	p = table_add(places);
	p->client = l->row.client_id;
	p->grave = l->grave;
	p->module = module;
	p->gap = symbols_gap(ctl->symbols, &file);
	memcpy(p->path, file.path, sizeof(p->path));
	return i;
}

/*
 * Frames are return addresses.  pprof looks one before them, where the call is,
 * in all of a stack or in all but the innermost.
 */
static uint64_t placed(struct ctl *ctl, struct table *places,
		       const struct leak *l, uint32_t frame)
{
	const struct bmem_frame *f = &l->stack.frames[frame];
	size_t i = place_of(ctl, places, l, f->module);
	const struct place *p = (struct place *)places->rows + i;

	return PLACE_BASE + PLACE_SIZE * i +
	       (f->offset - p->gap - !frame) % PLACE_SIZE;
}

static void print_pprof(struct ctl *ctl, const struct table *t)
{
	struct table places = {
		.columns = no_columns, .row_size = sizeof(struct place),
	};
	const struct leak *l = t->rows;
	const struct place *p;
	uint64_t tensors = 0, bytes = 0;
	char *path;
	uint32_t k;
	size_t i;

	for (i = 0; i < t->nr; i++) {
		tensors += l[i].row.tensors;
		bytes += l[i].row.bytes;
	}
	printf("heap profile: %llu: %llu [%llu: %llu] @ heapprofile\n",
	       (unsigned long long)tensors, (unsigned long long)bytes,
	       (unsigned long long)tensors, (unsigned long long)bytes);
	for (i = 0; i < t->nr; i++, l++) {
		printf("%llu: %llu [%llu: %llu] @",
		       (unsigned long long)l->row.tensors,
		       (unsigned long long)l->row.bytes,
		       (unsigned long long)l->row.tensors,
		       (unsigned long long)l->row.bytes);
		for (k = 0; k < l->stack.nr; k++)
			printf(" 0x%llx", (unsigned long long)
			       placed(ctl, &places, l, k));
		putchar('\n');
	}
	puts("\nMAPPED_LIBRARIES:");
	for (p = places.rows, i = 0; i < places.nr; i++, p++) {
		path = text_safe(p->path, sizeof(p->path), false);
		printf("%llx-%llx r-xp 00000000 00:00 0 %s\n",
		       (unsigned long long)(PLACE_BASE + PLACE_SIZE * i),
		       (unsigned long long)(PLACE_BASE + PLACE_SIZE * (i + 1)),
		       *path ? path : "[unknown]");
		free(path);
	}
	table_free(&places);
}

/* ---- the verb ------------------------------------------------------------------------ */

static int scan_client(struct ctl *ctl, const struct client *who)
{
	struct bmem_leak_scan arg = {
		.size = sizeof(arg), .client_id = who->who.client_id,
		.delay_ms = SCAN_DELAY_MS,
	};
	int ret = bmem_leak_scan(ctl->c, &arg);

	return ret == -ENOENT ? 0 : ret;
}

/* All clients at a time: who waits, waits for all of them together. */
static int scan(struct ctl *ctl)
{
	static const struct timespec delay = {
		.tv_sec = SCAN_DELAY_MS / 1000,
		.tv_nsec = SCAN_DELAY_MS % 1000 * 1000000L + 50000000,
	};
	struct table clients = *view_named("clients");
	int ret = fetch_clients(ctl, &clients), round;
	const struct client *who = clients.rows;
	size_t i;

	for (round = 0; !ret && round < SCAN_ROUNDS; round++) {
		if (round)
			nanosleep(&delay, NULL);
		for (i = 0; !ret && i < clients.nr; i++)
			if (!ctl->o->pid || who[i].who.pid == ctl->o->pid)
				ret = scan_client(ctl, &who[i]);
	}
	table_free(&clients);
	return ret;
}

/**
 * leaks_print() - all that is to be said of findings
 * @ctl: run
 * @t: table of struct leak; is sorted
 * @sums: what the module said of them; they are added up here
 *
 * Return: an enum status.
 */
int leaks_print(struct ctl *ctl, struct table *t, struct leak_sums *sums)
{
	struct analysis a = { .nr = 0 };
	int status = STATUS_OK;

	if (ctl->o->folded) {
		print_folded(ctl, t);
		return STATUS_OK;
	}
	if (ctl->o->pprof) {
		print_pprof(ctl, t);
		return STATUS_OK;
	}
	leaks_name(ctl, t);
	sum_leaks(sums, t);
	if (table_sort(t, view_order(ctl, t), ctl->o->reverse))
		return STATUS_USAGE;
	analyse(ctl, t, &a);
	if (ctl->o->json)
		status = leaks_json(ctl, t, &a, sums);
	else
		print_people(ctl, t, &a, sums);
	analysis_free(&a);
	return status;
}

int show_leaks(struct ctl *ctl)
{
	struct leak_sums sums = { .confirmed = 0 };
	struct table t = *view_named("leaks");
	int ret = ctl->o->scan ? scan(ctl) : 0, status;

	if (!ret || ret == -ENOENT)
		ret = fetch_all(ctl, &t, &sums);
	status = ret ? view_failed(ctl, &t, ret) : leaks_print(ctl, &t, &sums);
	table_free(&t);
	return status;
}
