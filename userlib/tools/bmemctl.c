// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * bmemctl: who holds the memory of bmem, in which tensors, allocated where.
 */
#include <argp.h>
#include <errno.h>
#include <grp.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

const char *argp_program_version = "bmemctl 0.1.0";

static const char doc[] =
"Shows who holds the memory of bmem, in which tensors, and where in the "
"program these were allocated; makes, changes and removes pools.\n"
"\n"
"  status                    what there is in all\n"
"  pools                     pools and their memory\n"
"  pools create NAME         make one: --max and what follows it below\n"
"  pools resize POOL         change --max, --reserve or both\n"
"  pools destroy POOL        remove one that no client is bound to\n"
"  pressure                  how pressed pools are, and what came back by what\n"
"  clients                   processes that hold memory\n"
"  tensors                   their live tensors\n"
"  sites                     where these are allocated\n"
"  tombstones                processes that are gone, and what they held\n"
"  leaks                     what leaks, by call site; with --scan, look now\n"
"  growth                    call sites and clients that hold more and more\n"
"  top                       all of it on the terminal; q ends, s sorts\n"
"  events                    what happens, as it happens\n"
"  watch VERB                one of those that show, again and again\n"
"\v"
"SIZE is a whole number with K, M, G or T; TIME one with ms, s, m, h or d. "
"Exit status: 0 done, 1 failed, 2 wrong usage, 3 no /dev/bmem or no permission "
"for it, 4 no such client or pool, 5 needs CAP_SYS_ADMIN.";

enum key {
	KEY_JSON = 'j',
	KEY_BYTES = 'b',
	KEY_SORT = 's',
	KEY_REVERSE = 'r',
	KEY_LIMIT = 'n',
	KEY_CLIENT = 'c',
	KEY_INTERVAL = 'i',
	KEY_COUNT = 'k',
	KEY_STACKS = 'S',
	KEY_SITE = 0x100,
	KEY_MIN_SIZE,
	KEY_MIN_AGE,
	KEY_NO_HEADINGS,
	KEY_NO_SYMBOLS,
	KEY_DEBUG_DIR,
	KEY_MAX,
	KEY_RESERVE,
	KEY_POLICY,
	KEY_NODE,
	KEY_GROUP,
	KEY_LIST,
	KEY_BATCH,
	KEY_PID,
	KEY_SCAN,
	KEY_ALL,
	KEY_FOLDED,
	KEY_PPROF,
};

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON; sizes are numbers of bytes", 1 },
	{ "bytes", KEY_BYTES, NULL, 0, "Print sizes in bytes; -b with top: --batch", 1 },
	{ "sort", KEY_SORT, "COLUMN", 0, "Sort by this column", 1 },
	{ "reverse", KEY_REVERSE, NULL, 0, "Sort the other way round", 1 },
	{ "limit", KEY_LIMIT, "N", 0, "Show the first N rows only; -n with top: --count", 1 },
	{ "no-headings", KEY_NO_HEADINGS, NULL, 0, "Leave out the line of headings", 1 },
	{ "client", KEY_CLIENT, "ID", 0, "Of this client only", 2 },
	{ "pid", KEY_PID, "PID", 0, "Of this process only", 2 },
	{ "site", KEY_SITE, "N", 0, "Of this call site only (tensors, sites, leaks, growth)", 2 },
	{ "scan", KEY_SCAN, NULL, 0, "Look for leaks first", 2 },
	{ "all", KEY_ALL, NULL, 0, "Show what does not grow as well (growth)", 2 },
	{ "folded", KEY_FOLDED, NULL, 0, "Print folded stacks, for flame graphs (leaks)", 2 },
	{ "pprof", KEY_PPROF, NULL, 0, "Print a heap profile, for pprof (leaks)", 2 },
	{ "min-size", KEY_MIN_SIZE, "SIZE", 0, "Tensors of at least that size", 2 },
	{ "min-age", KEY_MIN_AGE, "TIME", 0, "Tensors of at least that age", 2 },
	{ "stacks", KEY_STACKS, NULL, 0, "Print whole stacks (sites, tombstones, leaks, growth)", 2 },
	{ "no-symbols", KEY_NO_SYMBOLS, NULL, 0, "Do not look up names of functions", 2 },
	{ "debug-dir", KEY_DEBUG_DIR, "DIR", 0, "Where separate debug files are (/usr/lib/debug)", 2 },
	{ "max", KEY_MAX, "SIZE", 0, "Most memory that the pool may hold", 3 },
	{ "reserve", KEY_RESERVE, "SIZE", 0, "Memory that it holds from the start", 3 },
	{ "policy", KEY_POLICY, "WORD", 0, "local, bind or interleave", 3 },
	{ "node", KEY_NODE, "N", 0, "NUMA node, with --policy bind", 3 },
	{ "group", KEY_GROUP, "GROUP", 0, "Who may use it; without, everybody who may use bmem", 3 },
	{ "interval", KEY_INTERVAL, "TIME", 0, "From one round to the next (2s)", 4 },
	{ "count", KEY_COUNT, "N", 0, "Stop after N rounds, or events", 4 },
	{ "batch", KEY_BATCH, NULL, 0, "Print, do not take over the terminal (top)", 4 },
	{ "list", KEY_LIST, "WHAT", OPTION_HIDDEN, "Verbs, or a verb's columns", 5 },
	{ 0 },
};

/* All that a verb may be told is in its third field; -j goes with everything. */
#define SHOWS	"jbsrnH"

static const struct verb verbs[] = {
	{ "status", show_status, "jb", false },
	{ "pools", show_pools, SHOWS, false },
	{ "pools create", pool_create, "jmvpog", true },
	{ "pools resize", pool_resize, "jmv", true },
	{ "pools destroy", pool_destroy, "j", true },
	{ "pressure", show_pressure, SHOWS, false },
	{ "clients", show_clients, SHOWS "cP", false },
	{ "tensors", show_tensors, SHOWS "cPtzayd", false },
	{ "sites", show_sites, SHOWS "cPtSyd", false },
	{ "tombstones", show_tombstones, SHOWS "cPSyd", false },
	{ "leaks", show_leaks, SHOWS "cPtSydNFR", false },
	{ "growth", show_growth, SHOWS "cPtSydA", false },
	{ "top", show_top, "bsrnHcPBik", false },
	{ "events", show_events, "jbcHk", false },
};

/* The letter that stands for an option in struct verb. */
static char letter(int key)
{
	switch (key) {
	case KEY_SITE: return 't';
	case KEY_MIN_SIZE: return 'z';
	case KEY_MIN_AGE: return 'a';
	case KEY_NO_HEADINGS: return 'H';
	case KEY_NO_SYMBOLS: return 'y';
	case KEY_DEBUG_DIR: return 'd';
	case KEY_MAX: return 'm';
	case KEY_RESERVE: return 'v';
	case KEY_POLICY: return 'p';
	case KEY_NODE: return 'o';
	case KEY_GROUP: return 'g';
	case KEY_PID: return 'P';
	case KEY_SCAN: return 'N';
	case KEY_ALL: return 'A';
	case KEY_FOLDED: return 'F';
	case KEY_PPROF: return 'R';
	case KEY_BATCH: return 'B';
	default: return (char)key;
	}
}

/**
 * struct parser - the command line while it is read
 * @o: what it says
 * @words: what is no option
 * @nr: how many
 * @used: keys of the options that were given
 * @nr_used: how many
 */
struct parser {
	struct options o;
	const char *words[4];
	unsigned int nr;
	int used[64];
	unsigned int nr_used;
};

static uint64_t number(struct argp_state *state, const char *arg,
		       const char *what, uint64_t max)
{
	uint64_t n = 0;

	if (text_to_number(arg, max, &n))
		argp_error(state, "%s must be a number up to %llu, not '%s'",
			   what, (unsigned long long)max, arg);
	return n;
}

static uint64_t size(struct argp_state *state, const char *arg,
		     const char *what)
{
	uint64_t bytes = 0;

	if (text_to_bytes(arg, &bytes))
		argp_error(state, "%s must be a size such as 512M or 4G, not '%s'",
			   what, arg);
	return bytes;
}

static uint64_t duration(struct argp_state *state, const char *arg,
			 const char *what)
{
	uint64_t ms = 0;

	if (text_to_ms(arg, &ms))
		argp_error(state, "%s must be a time such as 500ms, 10s or 2h, not '%s'",
			   what, arg);
	return ms;
}

static uint32_t policy(struct argp_state *state, const char *arg)
{
	uint32_t p;

	for (p = BMEM_POLICY_LOCAL; p <= BMEM_POLICY_INTERLEAVE; p++)
		if (!strcmp(policy_name(p), arg))
			return p;
	argp_error(state, "--policy must be local, bind or interleave, not '%s'",
		   arg);
	return 0;
}

static uint32_t group(struct argp_state *state, const char *arg)
{
	struct group *g = getgrnam(arg);
	uint64_t gid = 0;

	if (g)
		return g->gr_gid;
	if (text_to_number(arg, BMEM_GID_ANY - 1, &gid))
		argp_error(state, "there is no group '%s'", arg);
	return (uint32_t)gid;
}

/* What a verb can sort by, a line a column: key and heading; or all verbs. */
static void list(const char *what)
{
	const struct table *t = view_named(what);
	const struct column *col;
	size_t i;

	for (col = t ? t->columns : NULL; col && col->key; col++)
		printf("%s %s\n", col->key, col->title ? col->title : "");
	for (i = 0; !t && i < ARRAY_SIZE(verbs); i++)
		puts(verbs[i].name);
	exit(STATUS_OK);
}

static error_t parse_pool(int key, char *arg, struct argp_state *state)
{
	struct options *o = &((struct parser *)state->input)->o;

	switch (key) {
	case KEY_MAX:
		o->max_bytes = size(state, arg, "--max");
		o->has_max = true;
		return 0;
	case KEY_RESERVE:
		o->reserve_bytes = size(state, arg, "--reserve");
		o->has_reserve = true;
		return 0;
	case KEY_POLICY:
		o->policy = policy(state, arg);
		o->has_policy = true;
		return 0;
	case KEY_NODE:
		o->node = (uint32_t)number(state, arg, "--node", UINT32_MAX);
		o->has_node = true;
		return 0;
	case KEY_GROUP:
		o->gid = group(state, arg);
		o->has_gid = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_show(int key, char *arg, struct argp_state *state)
{
	struct options *o = &((struct parser *)state->input)->o;

	switch (key) {
	case KEY_JSON:
		o->json = true;
		return 0;
	case KEY_BYTES:
		o->bytes = true;
		return 0;
	case KEY_SORT:
		o->sort = arg;
		return 0;
	case KEY_REVERSE:
		o->reverse = true;
		return 0;
	case KEY_LIMIT:
		o->limit = number(state, arg, "--limit", INT64_MAX);
		o->has_limit = true;
		return 0;
	case KEY_NO_HEADINGS:
		o->plain = true;
		return 0;
	case KEY_CLIENT:
		o->client = number(state, arg, "--client", UINT64_MAX);
		if (!o->client)
			argp_error(state, "--client must be the id of a client, which is not 0");
		return 0;
	case KEY_SITE:
		o->site = (uint32_t)number(state, arg, "--site", UINT32_MAX);
		o->has_site = true;
		return 0;
	case KEY_MIN_SIZE:
		o->min_bytes = size(state, arg, "--min-size");
		return 0;
	case KEY_MIN_AGE:
		o->min_age_ms = duration(state, arg, "--min-age");
		return 0;
	case KEY_STACKS:
		o->stacks = true;
		return 0;
	case KEY_NO_SYMBOLS:
		o->symbols = false;
		return 0;
	case KEY_DEBUG_DIR:
		o->debug_dir = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_leaks(int key, char *arg, struct argp_state *state)
{
	struct options *o = &((struct parser *)state->input)->o;

	switch (key) {
	case KEY_PID:
		o->pid = (uint32_t)number(state, arg, "--pid", INT32_MAX);
		if (!o->pid)
			argp_error(state, "--pid must be the number of a process, which is not 0");
		return 0;
	case KEY_SCAN:
		o->scan = true;
		return 0;
	case KEY_ALL:
		o->all = true;
		return 0;
	case KEY_FOLDED:
		o->folded = true;
		return 0;
	case KEY_PPROF:
		o->pprof = true;
		return 0;
	case KEY_BATCH:
		o->batch = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_round(int key, char *arg, struct argp_state *state)
{
	struct options *o = &((struct parser *)state->input)->o;

	switch (key) {
	case KEY_INTERVAL:
		o->interval_ms = duration(state, arg, "--interval");
		if (o->interval_ms < 10 || o->interval_ms > 86400000)
			argp_error(state, "--interval must be from 10ms to 1d");
		return 0;
	case KEY_COUNT:
		o->rounds = number(state, arg, "--count", INT64_MAX);
		return 0;
	case KEY_LIST:
		list(arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct verb *find_verb(const char *first, const char *second)
{
	size_t i, len = strlen(first);

	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strncmp(verbs[i].name, first, len))
			continue;
		if (!second && !verbs[i].name[len])
			return &verbs[i];
		if (second && verbs[i].name[len] == ' ' &&
		    !strcmp(verbs[i].name + len + 1, second))
			return &verbs[i];
	}
	return NULL;
}

/* Words: [watch] verb [verb's second word] [pool]. */
static void take_words(struct argp_state *state, struct parser *p)
{
	const char *const *w = p->words;
	unsigned int nr = p->nr, taken = 1;

	if (nr && !strcmp(w[0], "watch")) {
		p->o.watch = true;
		w++;
		nr--;
	}
	if (!nr)
		argp_error(state, "say what to show: status, pools, pressure, clients, tensors, sites, tombstones, leaks, growth, top or events");
	if (nr > 1) {
		p->o.verb = find_verb(w[0], w[1]);
		taken = 2;
	} else {
		p->o.verb = find_verb(w[0], NULL);
	}
	if (!p->o.verb)
		argp_error(state, "there is no '%s%s%s'", w[0],
			   nr > 1 ? " " : "", nr > 1 ? w[1] : "");
	if (p->o.verb->argument && nr == taken)
		argp_error(state, "%s needs the pool's name", p->o.verb->name);
	if (nr - taken > (p->o.verb->argument ? 1U : 0U))
		argp_error(state, "'%s' is too much", w[nr - 1]);
	p->o.lines = p->o.verb->run == show_events;
	if ((p->o.verb->argument || p->o.lines) && p->o.watch)
		argp_error(state, "%s is not for watching", p->o.verb->name);
	p->o.name = p->o.verb->argument ? w[taken] : NULL;
}

static const char *option_name(int key)
{
	const struct argp_option *opt;

	for (opt = options; opt->name; opt++)
		if (opt->key == key)
			return opt->name;
	return "?";
}

static bool is_top(const struct options *o)
{
	return !strcmp(o->verb->name, "top");
}

/* top has its short options from other programs of that name. */
static void top_options(struct argp_state *state, struct options *o)
{
	if (!is_top(o))
		return;
	if (o->watch)
		argp_error(state, "top is not for watching");
	o->batch |= o->bytes;
	o->bytes = false;
	if (o->has_limit)
		o->rounds = o->limit;
	o->limit = 0;
}

/* An option that a verb does not know is a mistake, not ignored. */
static void check_options(struct argp_state *state, const struct parser *p)
{
	const struct options *o = &p->o;
	unsigned int i;
	int key;

	for (i = 0; i < p->nr_used; i++) {
		key = p->used[i];
		if (key == KEY_INTERVAL || key == KEY_COUNT) {
			if (!o->watch && !strchr(o->verb->accepts, letter(key)))
				argp_error(state, "--%s is for watch",
					   option_name(key));
		} else if (!strchr(o->verb->accepts, letter(key))) {
			argp_error(state, "--%s is not for %s",
				   option_name(key), o->verb->name);
		}
	}
	if (o->json + o->folded + o->pprof > 1)
		argp_error(state, "--json, --folded and --pprof exclude each other");
	if (o->has_node && o->policy != BMEM_POLICY_BIND)
		argp_error(state, "--node is for --policy bind");
	if (o->policy == BMEM_POLICY_BIND && !o->has_node)
		argp_error(state, "--policy bind needs --node");
}

static void check_sort(struct argp_state *state, const struct options *o)
{
	const struct table *t = view_named(o->verb->name);
	char *names;

	if (!o->sort || !t || table_column(t, o->sort))
		return;
	names = table_names(t);
	argp_error(state, "%s have no column '%s', but: %s", o->verb->name,
		   o->sort, names);
	free(names);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct parser *p = state->input;
	error_t err;

	switch (key) {
	case ARGP_KEY_ARG:
		if (p->nr == ARRAY_SIZE(p->words))
			argp_error(state, "'%s' is too much", arg);
		p->words[p->nr++] = arg;
		return 0;
	case ARGP_KEY_END:
		take_words(state, p);
		check_options(state, p);
		check_sort(state, &p->o);
		top_options(state, &p->o);
		return 0;
	}
	err = parse_show(key, arg, state);
	if (err == ARGP_ERR_UNKNOWN)
		err = parse_pool(key, arg, state);
	if (err == ARGP_ERR_UNKNOWN)
		err = parse_leaks(key, arg, state);
	if (err == ARGP_ERR_UNKNOWN)
		err = parse_round(key, arg, state);
	if (!err && p->nr_used < ARRAY_SIZE(p->used))
		p->used[p->nr_used++] = key;
	return err;
}

static const struct argp argp = {
	.options = options, .parser = parse, .doc = doc,
	.args_doc = "[watch] VERB [POOL]",
};

/* Whoever reads has seen enough: that is no failure. */
static int flush(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		exit(STATUS_OK);
	fprintf(stderr, "bmemctl: standard output: %s\n", strerror(errno));
	return STATUS_FAILED;
}

static void wait_ms(uint64_t ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* A blank line between two tables; an object of JSON is a line of its own. */
static int watch(struct ctl *ctl)
{
	const struct options *o = ctl->o;
	uint64_t round;
	int status;

	for (round = 1;; round++) {
		status = flush(o->verb->run(ctl));
		if (status || round == o->rounds)
			return status;
		wait_ms(o->interval_ms);
		if (!o->json)
			putchar('\n');
	}
}

int main(int argc, char **argv)
{
	struct parser p = { .o = { .symbols = true, .interval_ms = 2000 } };
	struct ctl ctl = { .o = &p.o };
	int status;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	argp_err_exit_status = STATUS_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &p))
		return STATUS_USAGE;
	status = device_open(&ctl);
	if (status)
		return status;
	if (p.o.symbols && strchr(p.o.verb->accepts, letter(KEY_NO_SYMBOLS)))
		ctl.symbols = symbols_open(p.o.debug_dir);
	status = p.o.watch ? watch(&ctl) : flush(p.o.verb->run(&ctl));
	symbols_close(ctl.symbols);
	bmem_close(ctl.c);
	return status;
}
