/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the files of bmemctl share.
 *
 * Every list is an array of plain structs and a table of columns that says
 * where in the struct a value is, what it is, and what it is called.  Sorting,
 * the table for people and JSON are made from that table alone: a new figure is
 * one new line in it.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <bmem.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* In each object of JSON; it counts up when a key changes its meaning. */
#define SCHEMA	1

/* Exit status; the manual page has the same list. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_DEVICE = 3,
	STATUS_NOT_FOUND = 4,
	STATUS_DENIED = 5,
};

/**
 * struct options - what the command line says
 * @verb: what to do
 * @name: its argument, a pool's name or number
 * @lines: what is printed has no end: an object of JSON is a line
 * @watch: do it again and again
 * @json: print JSON
 * @bytes: print sizes as numbers
 * @plain: without headings
 * @sort: by which column; NULL for the verb's own
 * @reverse: the other way round
 * @limit: rows to show, 0 for all
 * @has_limit: @limit was given
 * @client: whose, 0 for all
 * @site: of this call site only
 * @has_site: @site was given
 * @pid: of this process only, 0 for all
 * @min_bytes: tensors of at least that size
 * @min_age_ms: tensors of at least that age
 * @stacks: print whole stacks
 * @symbols: look up names of functions
 * @debug_dir: where separate debug files are, or NULL
 * @scan: look for leaks now
 * @all: show what is all right as well
 * @folded: print stacks a line each, as flame graphs are made of
 * @pprof: print a heap profile
 * @batch: print instead of taking over the terminal
 * @interval_ms: from one round to the next
 * @rounds: how many rounds, 0 for no end
 * @max_bytes: most memory that the pool may hold
 * @reserve_bytes: memory that it keeps
 * @policy: enum bmem_policy
 * @node: NUMA node
 * @gid: group that may use the pool
 * @has_max: @max_bytes was given
 * @has_reserve: likewise
 * @has_policy: likewise
 * @has_node: likewise
 * @has_gid: likewise
 */
struct options {
	const struct verb *verb;
	const char *name;
	bool lines;
	bool watch;
	bool json;
	bool bytes;
	bool plain;
	const char *sort;
	bool reverse;
	uint64_t limit;
	bool has_limit;
	uint64_t client;
	uint32_t site;
	bool has_site;
	uint32_t pid;
	uint64_t min_bytes;
	uint64_t min_age_ms;
	bool stacks;
	bool symbols;
	const char *debug_dir;
	bool scan;
	bool all;
	bool folded;
	bool pprof;
	bool batch;
	uint64_t interval_ms;
	uint64_t rounds;
	uint64_t max_bytes;
	uint64_t reserve_bytes;
	uint32_t policy;
	uint32_t node;
	uint32_t gid;
	bool has_max;
	bool has_reserve;
	bool has_policy;
	bool has_node;
	bool has_gid;
};

/**
 * struct ctl - one run
 * @o: options
 * @c: client of the device
 * @self: its id, which lists leave out
 * @backend: "dev" or "memfd"
 * @symbols: for names of functions, or NULL
 */
struct ctl {
	const struct options *o;
	struct bmem_client *c;
	uint64_t self;
	const char *backend;
	struct symbols *symbols;
};

/**
 * struct verb - what bmemctl can do
 * @name: first argument, or the first two
 * @run: does it; an enum status
 * @accepts: keys of the options that it takes, see bmemctl.c
 * @argument: it takes a pool's name
 */
struct verb {
	const char *name;
	int (*run)(struct ctl *ctl);
	const char *accepts;
	bool argument;
};

/* ---- text.c -------------------------------------------------------------- */

void *must(void *p);
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *text_safe(const char *text, size_t max, bool utf8);
size_t text_width(const char *text, bool utf8);
size_t text_fit(const char *text, size_t width, bool utf8);
bool text_is_utf8(void);
char *text_bytes(uint64_t bytes, bool exact);
char *text_ms(uint64_t ms);
int text_to_bytes(const char *text, uint64_t *bytes);
int text_to_ms(const char *text, uint64_t *ms);
int text_to_number(const char *text, uint64_t max, uint64_t *number);

/* ---- table.c --------------------------------------------------------------- */

/**
 * enum kind - what a value is
 * @KIND_NUMBER: a count
 * @KIND_ID: a number that names something: sorted upwards
 * @KIND_BYTES: a size
 * @KIND_MS: a time in milliseconds
 * @KIND_HEX: a name of 64 bits; a string in JSON, where numbers have 63
 * @KIND_CHARS: a char array, of anybody's making
 * @KIND_TEXT: a char pointer, likewise; NULL for nothing
 */
enum kind {
	KIND_NUMBER,
	KIND_ID,
	KIND_BYTES,
	KIND_MS,
	KIND_HEX,
	KIND_CHARS,
	KIND_TEXT,
};

/**
 * struct column - one value of a row
 * @key: its name in JSON, and for --sort
 * @title: heading, another name for --sort; NULL for what only JSON has
 * @kind: what it is
 * @offset: where it is in the row's struct
 * @size: its length there
 */
struct column {
	const char *key;
	const char *title;
	enum kind kind;
	size_t offset;
	size_t size;
};

#define COLUMN(type, field, key, title, kind) \
	{ key, title, kind, offsetof(type, field), \
	  sizeof(((type *)0)->field) }

/**
 * struct table - an array of rows and what they are
 * @name: its key in JSON
 * @columns: ends with one without a key
 * @sort: column that it is sorted by unless told otherwise
 * @rows: array
 * @nr: rows in it
 * @row_size: length of one
 * @details: prints what stands below a row; may be NULL
 * @more: adds to a row's object what is no plain value; may be NULL
 * @drop: frees what a row points to; may be NULL
 */
struct table {
	const char *name;
	const struct column *columns;
	const char *sort;
	void *rows;
	size_t nr;
	size_t row_size;
	void (*details)(struct ctl *ctl, const void *row, FILE *out);
	void (*more)(struct ctl *ctl, const void *row, void *object);
	void (*drop)(void *row);
};

void *table_add(struct table *t);
void table_free(struct table *t);
const struct column *table_column(const struct table *t, const char *name);
char *table_names(const struct table *t);
int table_sort(struct table *t, const char *by, bool reverse);
void table_print(struct ctl *ctl, const struct table *t, FILE *out);
void *table_json(struct ctl *ctl, const struct table *t);
void *json_text(const char *text);
int json_print(const struct options *o, void *object, FILE *out);

/* ---- fetch.c ----------------------------------------------------------------- */

/**
 * struct client - one row of "clients"
 * @who: who it is
 * @st: its figures
 * @pool: name of its pool
 * @level: how much is recorded
 * @placement: where its tensors are placed
 */
struct client {
	struct bmem_client_row who;
	struct bmem_client_stats st;
	char pool[BMEM_POOL_NAME_LEN];
	const char *level;
	const char *placement;
};

/**
 * struct pool - one row of "pools"
 * @st: its figures, this program's own client not counted
 * @policy: their policy by name
 * @group: group that may use it; NULL for all
 */
struct pool {
	struct bmem_pool_stats st;
	const char *policy;
	char *group;
};

/**
 * struct pressed - one row of "pressure"
 * @p: the pool's figures
 * @name: the pool's
 * @level: its level by name
 * @rising: bytes a second by which it has grown lately, or 0
 * @falling: bytes a second by which it has fallen lately, or 0
 * @regained: sum over what came back, but for what its owner took again
 */
struct pressed {
	struct bmem_pressure p;
	char name[BMEM_POOL_NAME_LEN];
	const char *level;
	uint64_t rising;
	uint64_t falling;
	uint64_t regained;
};

/**
 * struct stack - where a call site is
 * @nr: frames
 * @frames: innermost first
 */
struct stack {
	uint32_t nr;
	struct bmem_frame frames[BMEM_FRAMES_MAX];
};

/**
 * struct site - one row of "sites"
 * @client: whose
 * @pid: its process
 * @row: its figures
 * @class: how it uses memory
 * @stack: its stack
 * @where: name of the innermost frame, or NULL
 */
struct site {
	uint64_t client;
	uint32_t pid;
	struct bmem_site_row row;
	const char *class;
	struct stack stack;
	char *where;
};

/**
 * struct tensor - one row of "tensors"
 * @client: whose
 * @pid: its process
 * @t: what is known of it
 * @label: its site's
 * @where: its site's, which owns it
 */
struct tensor {
	uint64_t client;
	uint32_t pid;
	struct bmem_tensor t;
	char label[BMEM_LABEL_LEN];
	const char *where;
};

/**
 * struct tombstone - one row of "tombstones"
 * @row: its figures
 * @end: how the client ended
 * @nr_sites: entries in @sites
 * @sites: what it held by call site
 */
struct tombstone {
	struct bmem_tombstone_row row;
	char end[24];
	uint32_t nr_sites;
	struct bmem_tombstone_site *sites;
};

/**
 * struct leak - one row of "leaks"
 * @row: what is known of it
 * @grave: serial number of the tombstone that it is of, 0 for a client that
 *	lives
 * @kind: what shows that it is one
 * @state: how sure it is
 * @stack: where it was allocated
 * @where: name of the innermost frame, or NULL
 */
struct leak {
	struct bmem_leak_row row;
	uint64_t grave;
	const char *kind;
	const char *state;
	struct stack stack;
	char *where;
};

/**
 * struct leak_sums - over findings
 * @confirmed: findings that are
 * @suspected: findings that are not yet
 * @confirmed_bytes: of tensors that are
 * @suspected_bytes: of tensors that are not yet
 * @cleared: findings that went away
 * @dropped: tensors for which the module had no room
 * @cut_short: kinds whose scan did not come to its end
 */
struct leak_sums {
	uint64_t confirmed;
	uint64_t suspected;
	uint64_t confirmed_bytes;
	uint64_t suspected_bytes;
	uint64_t cleared;
	uint64_t dropped;
	uint32_t cut_short;
};

/**
 * struct growth - one row of "growth"
 * @client: whose
 * @pid: its process
 * @row: what is known of it
 * @site: number of the call site, or "all"
 * @trend: what becomes of it
 * @lasts: it has grown for long enough to be told of
 * @stack: where it is
 * @where: name of the innermost frame, or NULL
 */
struct growth {
	uint64_t client;
	uint32_t pid;
	struct bmem_growth_row row;
	char site[16];
	const char *trend;
	const char *lasts;
	struct stack stack;
	char *where;
};

/**
 * struct seat - one row of "top"
 * @who: the client
 * @tensors: live
 * @live: live bytes
 * @attached: bytes held
 * @peak: largest @live
 * @slope: bytes a minute by which @live rises
 * @trend: what becomes of @live
 * @leaks: findings
 * @leaked: bytes of these
 */
struct seat {
	struct bmem_client_row who;
	uint64_t tensors;
	uint64_t live;
	uint64_t attached;
	uint64_t peak;
	uint64_t slope;
	const char *trend;
	uint64_t leaks;
	uint64_t leaked;
};

/**
 * struct event - one line of "events"
 * @e: what happened
 * @type: what it is about
 * @pool: number of the pool, or nothing
 * @time: when, by local time
 */
struct event {
	struct bmem_event e;
	const char *type;
	char pool[12];
	char time[32];
};

/**
 * struct totals - the one row of "status"
 * @backend: "dev" or "memfd"
 * @module: the module's version, or NULL
 * @scope: whose clients and tombstones these are
 * @pools: how many there are
 * @clients: likewise
 * @tombstones: likewise
 * @leaks_confirmed: findings that are confirmed
 * @leaks_suspected: findings that are not yet
 * @leaked_bytes: of tensors whose leak is confirmed
 * @live_tensors: sum over clients, as all up to @meta_bytes
 * @live_bytes: likewise
 * @granted_bytes: likewise
 * @attached_bytes: likewise
 * @cached_bytes: likewise
 * @meta_bytes: likewise
 * @failed: sum over pools, as all below
 * @pool_limit_bytes: likewise
 * @pool_total_bytes: likewise
 * @pool_free_bytes: likewise
 */
struct totals {
	const char *backend;
	char *module;
	char *scope;
	uint64_t pools;
	uint64_t clients;
	uint64_t tombstones;
	uint64_t leaks_confirmed;
	uint64_t leaks_suspected;
	uint64_t leaked_bytes;
	uint64_t live_tensors;
	uint64_t live_bytes;
	uint64_t granted_bytes;
	uint64_t attached_bytes;
	uint64_t cached_bytes;
	uint64_t meta_bytes;
	uint64_t failed;
	uint64_t pool_limit_bytes;
	uint64_t pool_total_bytes;
	uint64_t pool_free_bytes;
};

int fetch_pools(struct ctl *ctl, struct table *t);
int fetch_pressure(struct ctl *ctl, struct table *t);
int fetch_clients(struct ctl *ctl, struct table *t);
int fetch_sites(struct ctl *ctl, const struct client *who, struct table *t);
int fetch_tensors(struct ctl *ctl, const struct client *who, struct table *t);
int fetch_tombstones(struct ctl *ctl, struct table *t);
int fetch_growth(struct ctl *ctl, const struct client *who, struct table *t);
int fetch_leaks(struct ctl *ctl, struct table *t, struct leak_sums *sums);
const char *policy_name(uint32_t policy);
const char *trend_name(uint32_t trend);
int complain(const char *what, int err);

/* ---- symbol.c ------------------------------------------------------------------ */

/**
 * struct program - what a frame's program file is
 * @build_id_len: length of @build_id, 0 for none
 * @build_id: note that names its contents
 * @path: where it was
 * @pid: process that runs it, 0 when that is over
 */
struct program {
	uint32_t build_id_len;
	uint8_t build_id[BMEM_BUILD_ID_MAX];
	char path[BMEM_PATH_LEN];
	uint32_t pid;
};

#define INLINED_MAX	8

/**
 * struct spot - a function that an address is in
 * @function: its name; NULL for none known
 * @delta: bytes from its beginning, where there is no @file; else 0
 * @file: source file, or NULL
 * @line: in it
 *
 * Owned by the struct symbols.
 */
struct spot {
	const char *function;
	uint64_t delta;
	const char *file;
	int line;
};

struct symbols *symbols_open(const char *debug_dir);
void symbols_close(struct symbols *s);
uint64_t symbols_gap(struct symbols *s, const struct program *p);
unsigned int symbols_find(struct symbols *s, const struct program *p,
			  uint64_t address, struct spot *spots);
char *symbols_text(struct symbols *s, const struct program *p,
		   uint64_t address, bool whole);

/* ---- debuginfo.c --------------------------------------------------------------- */

/* Bytes of a name, at the most; what is longer is cut. */
#define DEBUGINFO_NAME_MAX	4096

/**
 * struct debuginfo_job - a program file that a process is to read
 * @what: what it is said to be
 * @path: where it is
 * @debug_dir: where separate debug files are
 * @program: the file
 * @debug: its debug file, or -1
 * @channel: a socket that keeps messages apart, to who asks
 */
struct debuginfo_job {
	const struct program *what;
	const char *path;
	char *debug_dir;
	int program;
	int debug;
	int channel;
};

/**
 * struct debuginfo_greeting - the file is what it is said to be
 * @gap: the address of its code less where that is in the file; 0 for not known
 */
struct debuginfo_greeting {
	uint64_t gap;
};

/**
 * struct debuginfo_answer - what an address is in
 * @nr: entries in @spots, the innermost first
 * @bytes: of @text
 * @spots: as struct spot, with the lengths of names, their last 0 included; 0 for
 *	none
 * @text: the names, one behind the other
 */
struct debuginfo_answer {
	uint32_t nr;
	uint32_t bytes;
	struct {
		uint64_t delta;
		int32_t line;
		uint32_t function;
		uint32_t file;
	} spots[INLINED_MAX];
	char text[2 * INLINED_MAX * DEBUGINFO_NAME_MAX];
};

void debuginfo_serve(const struct debuginfo_job *job)
	__attribute__((noreturn));

/* ---- stack.c --------------------------------------------------------------------- */

typedef int (*program_fn)(struct ctl *ctl, const void *row, uint32_t module,
			  struct program *p);

char *stack_where(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		  program_fn program, const void *row);
void stack_print(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		 program_fn program, const void *row, FILE *out);
void *stack_json(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		 program_fn program, const void *row);

void stack_folded(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		  program_fn program, const void *row, FILE *out);
char *folded_name(const char *text, size_t max);

/* ---- bundle.c --------------------------------------------------------------------- */

/**
 * struct path - a stack to be compared with others
 * @client: whose
 * @frames: innermost first
 * @nr: how many
 * @leaks: what was allocated there leaks
 * @bytes: how much of it
 * @tensors: how many
 * @row: the caller's
 */
struct path {
	uint64_t client;
	const struct bmem_frame *frames;
	uint32_t nr;
	bool leaks;
	uint64_t bytes;
	uint64_t tensors;
	const void *row;
};

/**
 * struct bundle - leaking stacks that have come the same way
 * @path: the first of them, the others follow
 * @nr: how many
 * @depth: where the frame that names it is, of those that they have in common,
 *	counted from the outermost on; 0 for none
 * @parted: no stack that does not leak has all of these
 * @bytes: sum
 * @tensors: sum
 */
struct bundle {
	const struct path *path;
	size_t nr;
	uint32_t depth;
	bool parted;
	uint64_t bytes;
	uint64_t tensors;
};

size_t paths_bundle(struct path *paths, size_t nr, struct bundle **bundles);

/* ---- views.c, leaks.c, top.c, events.c, admin.c, device.c ----------------------------------------------------- */

int show_status(struct ctl *ctl);
int show_pools(struct ctl *ctl);
int show_pressure(struct ctl *ctl);
int show_clients(struct ctl *ctl);
int show_tensors(struct ctl *ctl);
int show_sites(struct ctl *ctl);
int show_tombstones(struct ctl *ctl);
int show_growth(struct ctl *ctl);
int show_leaks(struct ctl *ctl);
int show_top(struct ctl *ctl);
const char *view_order(struct ctl *ctl, const struct table *t);
int view_failed(struct ctl *ctl, const struct table *t, int err);
int program_of_client(struct ctl *ctl, uint64_t client, uint32_t pid,
		      uint32_t module, struct program *p);
int program_of_tombstone(struct ctl *ctl, uint64_t serial, uint32_t module,
			 struct program *p);
void leak_details(struct ctl *ctl, const void *row, FILE *out);
void leak_more(struct ctl *ctl, const void *row, void *object);
void leak_drop(void *row);
void sum_leaks(struct leak_sums *sums, const struct table *t);
int leaks_print(struct ctl *ctl, struct table *t, struct leak_sums *sums);
int print_json(struct ctl *ctl, const struct table *t);
const struct table *view_named(const char *name);

int show_events(struct ctl *ctl);

int pool_create(struct ctl *ctl);
int pool_resize(struct ctl *ctl);
int pool_destroy(struct ctl *ctl);

int device_open(struct ctl *ctl);
void device_say(int err, const char *device, char *text, size_t len);

#endif /* CTL_H */
