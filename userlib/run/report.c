// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a process says when it ends: how much it had at most, from where, and
 * what it never freed.
 *
 * A call site's share of the peak is not known to anybody afterwards, so the
 * largest sites are noted when there is clearly more than when they were noted
 * last.
 *
 * It runs behind the last destructor, since on_exit() handlers that were there
 * before the C library's own run after it; or where the program calls _exit().
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../src/symbol.h"
#include "preload.h"

#define EXPORT	__attribute__((visibility("default")))
#define TOP	3
#define ROWS	256
/* How much is allocated between two looks: this, or a share of what is live. */
#define LOOK_BYTES	(4 << 20)
#define LOOK_SHARE	16
/* What counts as clearly more: this, and a share. */
#define MORE_BYTES	(1 << 20)
#define MORE_SHARE	8
/* Other processes than the one that was asked for report from this peak on. */
#define OTHERS_BYTES	(1 << 20)
#define FRAMES_SHOWN	4
/* Milliseconds that a report waits for another thread to note the peak. */
#define PATIENCE	1000
/* Names are as long as they are: this is for the longest of all of them. */
#define REPORT_BYTES	(16 * 1024)

enum {
	AT_EXIT,
	TO_FILE,
	NOT_AT_ALL,
};

/**
 * struct sum - the largest sites at some time
 * @live_bytes: of all sites, as the sites add up
 * @live_tensors: their number
 * @nr: how many of @sites are filled in
 * @sites: the largest first
 */
struct sum {
	uint64_t live_bytes;
	uint64_t live_tensors;
	uint32_t nr;
	struct bmem_site_row sites[TOP];
};

static int mode;
static char path[4096];

/* Somebody is at the end. */
static atomic_flag ending = ATOMIC_FLAG_INIT;
/* Who has @noting has what follows. */
static atomic_flag noting = ATOMIC_FLAG_INIT;
static struct bmem_site_row rows[ROWS];
static struct sum at_peak, last;
static _Atomic uint64_t noted_bytes;

/* ---- sums ---------------------------------------------------------- */

static void enter(struct sum *s, const struct bmem_site_row *row)
{
	uint32_t at;

	s->live_bytes += row->live_bytes;
	s->live_tensors += row->live_tensors;
	if (!row->live_bytes)
		return;
	for (at = s->nr; at; at--) {
		if (s->sites[at - 1].live_bytes >= row->live_bytes)
			break;
		if (at < TOP)
			s->sites[at] = s->sites[at - 1];
	}
	if (at == TOP)
		return;
	s->sites[at] = *row;
	if (s->nr < TOP)
		s->nr++;
}

static bool add_up(struct bmem_client *c, struct sum *s)
{
	struct bmem_site_list list = {
		.size = sizeof(list),
		.row_size = sizeof(*rows),
		.rows = (uintptr_t)rows,
	};
	uint32_t i;

	memset(s, 0, sizeof(*s));
	do {
		list.nr = ROWS;
		if (bmem_site_list(c, &list))
			return false;
		for (i = 0; i < list.nr; i++)
			enter(s, &rows[i]);
	} while (list.nr == ROWS);
	return true;
}

static void note_peak(struct bmem_client *c, uint64_t live)
{
	if (atomic_flag_test_and_set(&noting))
		return;
	if (add_up(c, &last) && last.live_bytes > at_peak.live_bytes)
		at_peak = last;
	atomic_store(&noted_bytes, live);
	atomic_flag_clear(&noting);
}

/**
 * report_look() - is there more than ever?
 *
 * The caller is inside, and has allocated as much as it may between two looks.
 */
void report_look(void)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct bmem_client *c = atomic_load(&run.client);
	uint64_t noted = atomic_load(&noted_bytes);

	self.left = INT64_MAX;
	if (mode == NOT_AT_ALL)
		return;
	self.left = LOOK_BYTES;
	if (!c || bmem_stats(c, &st))
		return;
	tree_note(&st);
	if (st.live_bytes / LOOK_SHARE > LOOK_BYTES)
		self.left = (int64_t)(st.live_bytes / LOOK_SHARE);
	if (st.live_bytes > noted + noted / MORE_SHARE + MORE_BYTES)
		note_peak(c, st.live_bytes);
}

/* ---- names --------------------------------------------------------- */

struct file {
	const char *path;
	uintptr_t base;
};

/* Of a long path the end is known. */
static bool same_file(const char *name, const char *end)
{
	size_t a = strlen(name), b = strlen(end);

	return a >= b && !strcmp(name + a - b, end);
}

static int find_file(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *name = info->dlpi_name;
	struct file *f = arg;
	char exe[4096];
	ssize_t n;

	(void)size;
	if (!*name) {
		n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
		exe[n > 0 ? n : 0] = '\0';
		name = exe;
	}
	if (!same_file(name, f->path))
		return 0;
	f->base = info->dlpi_addr;
	return 1;
}

static void add_frame(struct text *t, struct bmem_client *c,
		      const struct bmem_frame *frame)
{
	struct bmem_module_info info = {
		.size = sizeof(info),
		.module = frame->module,
	};
	struct file f = { .path = info.path };
	const char *name = "?";
	struct symbol s = { 0 };

	if (frame->module && !bmem_module_info(c, &info)) {
		name = strrchr(info.path, '/');
		name = name ? name + 1 : info.path;
		if (dl_iterate_phdr(find_file, &f))
			symbol_find(f.base + frame->offset - 1, &s);
	}
	if (s.name[0])
		text_add(t, "%s+0x%llx ", s.name,
			 (unsigned long long)s.offset + 1);
	text_add(t, "(%s+0x%llx)", name, (unsigned long long)frame->offset);
}

static void add_callers(struct text *t, struct bmem_client *c, uint32_t site)
{
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	struct bmem_site_frames sf = {
		.size = sizeof(sf),
		.site = site,
		.nr = BMEM_FRAMES_MAX,
		.frames = (uintptr_t)frames,
	};
	uint32_t i;

	if (bmem_site_frames(c, &sf))
		return;
	/* The first is in the label. */
	for (i = 1; i < sf.nr && i < FRAMES_SHOWN; i++) {
		text_add(t, "bmem-run:         called from ");
		add_frame(t, c, &frames[i]);
		text_add(t, "\n");
	}
}

static void add_sites(struct text *t, struct bmem_client *c,
		      const struct sum *s)
{
	const struct bmem_site_row *row;
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		row = &s->sites[i];
		text_add(t, "bmem-run:     ");
		text_size(t, row->live_bytes);
		text_add(t, " in %llu %s: %s\n",
			 (unsigned long long)row->live_tensors,
			 row->live_tensors == 1 ? "block" : "blocks",
			 row->label[0] ? row->label : "(call site not known)");
		/* Python's file and line say more than the interpreter's. */
		if (strstr(row->label, "+0x"))
			add_callers(t, c, row->site);
	}
}

/* ---- the report ---------------------------------------------------- */

static void add_head(struct text *t)
{
	text_add(t, "bmem-run: %s (pid %d): ", program_invocation_short_name,
		 (int)getpid());
}

static void add_missed(struct text *t)
{
	uint64_t missed = atomic_load(&run.missed);
	uint64_t refused = atomic_load(&run.refused);

	if (missed) {
		text_add(t, "bmem-run: no room for %llu %s (",
			 (unsigned long long)missed,
			 missed == 1 ? "request" : "requests");
		text_size(t, atomic_load(&run.missed_bytes));
		text_add(t, " together): served by libc\n");
	}
	if (refused)
		text_add(t, "bmem-run: no room for %llu %s: failed with ENOMEM\n",
			 (unsigned long long)refused,
			 refused == 1 ? "request" : "requests");
	if (atomic_load(&run.lost))
		text_add(t, "bmem-run: the program closed bmem's file descriptor: what came after is not counted\n");
}

/* As a shell would have it: no more than letters, or in quotes. */
static bool is_plain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";

	return *word && !word[strspn(word, plain)];
}

/* What moves a terminal's cursor is spelt out; there is a form for that. */
static void add_word(struct text *t, const char *word)
{
	bool spelt = false;
	const char *at;

	if (is_plain(word)) {
		text_add(t, "%s", word);
		return;
	}
	for (at = word; *at; at++)
		spelt |= (unsigned char)*at < ' ' || *at == 0x7f;
	text_add(t, spelt ? "$'" : "'");
	for (at = word; *at; at++) {
		if (spelt && *at == '\n')
			text_add(t, "\\n");
		else if ((unsigned char)*at < ' ' || *at == 0x7f)
			text_add(t, "\\%03o", *at);
		else if (spelt && (*at == '\'' || *at == '\\'))
			text_add(t, "\\%c", *at);
		else if (*at == '\'')
			text_add(t, "'\\''");
		else
			text_add(t, "%c", *at);
	}
	text_add(t, "'");
}

static void add_command(struct text *t)
{
	char words[256], *at;
	ssize_t n;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	bool cut;

	if (fd < 0)
		return;
	n = read(fd, words, sizeof(words) - 1);
	close(fd);
	if (n < 0)
		n = 0;
	cut = n == sizeof(words) - 1;
	/* A program that writes its name there leaves room behind it. */
	while (n > 0 && !words[n - 1])
		n--;
	words[n] = '\0';
	for (at = words; at < words + n; at += strlen(at) + 1) {
		text_add(t, at > words ? " " : "");
		add_word(t, at);
	}
	text_add(t, "%s\n", cut ? "..." : "");
}

static void add_next(struct text *t, struct bmem_client *c,
		     const struct bmem_client_stats *st)
{
	text_add(t, "bmem-run: next: ");
	if ((!c || !st->allocs) && !tree_others()) {
		text_add(t, "bmem-run --threshold %s -- ",
			 atomic_load(&run.threshold) > 4096 ? "4K" : "0");
	} else if (c && !strcmp(bmem_backend_name(c), "dev")) {
		text_add(t, "bmemctl tombstones\n");
		return;
	} else {
		text_add(t, "BMEM_LEVEL=full bmem-run -- ");
	}
	add_command(t);
}

static void add_peak(struct text *t, struct bmem_client *c,
		     const struct bmem_client_stats *st)
{
	const struct sum *s = at_peak.live_bytes > last.live_bytes ?
			      &at_peak : &last;

	add_head(t);
	text_add(t, "peak ");
	text_size(t, st->peak_live_bytes);
	text_add(t, " in blocks of ");
	text_size(t, atomic_load(&run.threshold));
	text_add(t, " and more, %llu allocated (%s backend)\n",
		 (unsigned long long)st->allocs, bmem_backend_name(c));
	if (!s->nr)
		return;
	text_add(t, "bmem-run: largest call sites when ");
	text_size(t, s->live_bytes);
	text_add(t, " were live:\n");
	add_sites(t, c, s);
}

static void add_unfreed(struct text *t, struct bmem_client *c,
			const struct bmem_client_stats *st)
{
	if (!st->live_tensors) {
		text_add(t, "bmem-run: all of it was freed\n");
		return;
	}
	text_add(t, "bmem-run: never freed: ");
	text_size(t, st->live_bytes);
	text_add(t, " in %llu %s\n", (unsigned long long)st->live_tensors,
		 st->live_tensors == 1 ? "block" : "blocks");
	add_sites(t, c, &last);
}

static void add_all(struct text *t)
{
	struct bmem_client_stats st = {
		.size = sizeof(st),
		.flags = BMEM_STATS_LEDGER,
	};
	struct bmem_client *c = atomic_load(&run.client);

	if (c && (!add_up(c, &last) || bmem_stats(c, &st))) {
		add_head(t);
		text_add(t, "no report: bmem's file descriptor is closed\n");
		return;
	}
	if (!c && !run.main)
		return;
	if (c)
		tree_end(&st);
	if (c && !run.main && st.peak_live_bytes < OTHERS_BYTES)
		return;
	if (!c && atomic_load(&run.off)) {
		add_head(t);
		text_add(t, "%s: nothing of it is in bmem\n",
			 atomic_load(&run.off));
	} else if (!c || !st.allocs) {
		add_head(t);
		text_add(t, "asked for no block of ");
		text_size(t, atomic_load(&run.threshold));
		text_add(t, " or more\n");
	} else {
		add_peak(t, c, &st);
		add_unfreed(t, c, &st);
	}
	add_missed(t);
	if (run.main && tree_others())
		tree_add(t);
	/* No other threshold would help. */
	if (!c && atomic_load(&run.off))
		return;
	add_next(t, c, &st);
}

/* A child of fork() that ends is its parent's business. */
static void end_of_child(void)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	struct bmem_client *c = atomic_load(&run.client);

	if (c && !bmem_stats(c, &st))
		tree_end(&st);
}

static void put(const struct text *t)
{
	int fd;

	if (mode == AT_EXIT) {
		text_say(t);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	text_write(t, fd);
	close(fd);
}

/* From other threads, which go on; not from one that was cancelled in there. */
static bool take_notes(void)
{
	const struct timespec soon = { .tv_nsec = 1000000 };
	int turn;

	for (turn = 0; turn < PATIENCE; turn++) {
		if (!atomic_flag_test_and_set(&noting))
			return true;
		nanosleep(&soon, NULL);
	}
	return false;
}

static void at_end(int status, void *arg)
{
	static char report[REPORT_BYTES];
	static struct text t = { .at = report, .room = sizeof(report) };

	(void)status;
	(void)arg;
	/* Nothing can be asked where a signal handler has interrupted libbmem. */
	if (self.inside || mode == NOT_AT_ALL ||
	    atomic_flag_test_and_set(&ending))
		return;
	self.inside++;
	if (getpid() != run.pid)
		end_of_child();
	else if (take_notes())
		add_all(&t);
	self.inside--;
	if (t.len)
		put(&t);
}

/**
 * report_set_up() - where the report is to go
 * @where: "exit", "off", or a path
 */
void report_set_up(const char *where)
{
	mode = !strcmp(where, "off") ? NOT_AT_ALL : AT_EXIT;
	if (!strchr(where, '/'))
		return;
	if (strlen(where) >= sizeof(path))
		return;
	strcpy(path, where);
	mode = TO_FILE;
}

/* That of a handler of SIGSEGV, say, has no room for a report. */
static bool on_small_stack(void)
{
	stack_t st;

	return !sigaltstack(NULL, &st) && st.ss_flags & SS_ONSTACK;
}

/*
 * Shells, and programs in a hurry, end without exit(). A child of vfork() that
 * does is none of ours: it has its parent's memory, and another number.
 */
EXPORT void _exit(int status)
{
	if (getpid() == run.pid && !on_small_stack())
		at_end(status, NULL);
	for (;;)
		syscall(SYS_exit_group, status);
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

static void at_quick_end(void)
{
	at_end(0, NULL);
}

__attribute__((constructor))
static void begin(void)
{
	on_exit(at_end, NULL);
	at_quick_exit(at_quick_end);
}
