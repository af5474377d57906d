// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Names for addresses: function, file and line, from a program file's debug
 * information or its symbol table, long after the process is gone.
 *
 * A file is used only when its build id is the one that the process named: what
 * has been rebuilt since would give wrong names.  It is looked for where the
 * process had it, there within the process's own root, and by build id under
 * /usr/lib/debug/.build-id.  Paths come from other users: only regular files
 * are opened, and nothing is asked of the network.  What is in them is read by a
 * process for each file, see debuginfo.c, whose answers are not believed to fit.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"

#define DEBUG_DIR	"/usr/lib/debug"

/* Lists of looked-up addresses in each file. */
#define LOOKED_LISTS	256

/* Seconds until an answer is not waited for any more. */
#define PATIENCE	100

/**
 * struct looked - an address that was looked up: call sites have most of their
 * frames in common, and debug information is read from end to end
 * @next: the next in the list
 * @address: in its file
 * @nr: entries in @spots
 * @spots: what it is in; the names are behind them
 */
struct looked {
	struct looked *next;
	uint64_t address;
	unsigned int nr;
	struct spot spots[];
};

/**
 * struct file - a program file that was opened
 * @next: the next in the list
 * @dev: which file it is
 * @ino: likewise
 * @what: what it was said to be
 * @fits: it is
 * @reader: the process that reads it
 * @channel: where it is asked, -1 when there is none
 * @gap: the address of its code less where that is in the file
 * @looked: by address
 */
struct file {
	struct file *next;
	dev_t dev;
	ino_t ino;
	struct program what;
	bool fits;
	pid_t reader;
	int channel;
	uint64_t gap;
	struct looked *looked[LOOKED_LISTS];
};

/**
 * struct loaded - a program file that was looked for
 * @next: the next in the list
 * @program: as a process names it
 * @file: what was found, or NULL
 *
 * By process: what one says that a build id is, or where it is, is not believed
 * of another's.  That they have the same file shows when it is open.
 */
struct loaded {
	struct loaded *next;
	struct program program;
	struct file *file;
};

/**
 * struct symbols - all that was looked for
 * @loaded: list
 * @files: list
 * @debug_dir: where separate debug files are
 */
struct symbols {
	struct loaded *loaded;
	struct file *files;
	char *debug_dir;
};

/**
 * symbols_open() - get ready to name addresses
 * @debug_dir: where separate debug files are, NULL for /usr/lib/debug
 *
 * Return: for symbols_close(); never NULL.
 */
struct symbols *symbols_open(const char *debug_dir)
{
	struct symbols *s = must(calloc(1, sizeof(*s)));

	/* Else libdwfl would ask servers. */
	unsetenv("DEBUGINFOD_URLS");
	s->debug_dir = must(strdup(debug_dir ? debug_dir : DEBUG_DIR));
	return s;
}

/* It is not asked any more, whatever the reason. */
static void reader_end(struct file *f)
{
	if (f->channel < 0)
		return;
	close(f->channel);
	f->channel = -1;
	kill(f->reader, SIGKILL);
	while (waitpid(f->reader, NULL, 0) < 0 && errno == EINTR)
		;
}

static void file_free(struct file *f)
{
	struct looked *at;
	size_t i;

	for (i = 0; i < LOOKED_LISTS; i++) {
		while ((at = f->looked[i])) {
			f->looked[i] = at->next;
			free(at);
		}
	}
	reader_end(f);
	free(f);
}

/**
 * symbols_close() - forget it all
 * @s: from symbols_open(), or NULL
 */
void symbols_close(struct symbols *s)
{
	struct loaded *l;
	struct file *f;

	if (!s)
		return;
	while ((l = s->loaded)) {
		s->loaded = l->next;
		free(l);
	}
	while ((f = s->files)) {
		s->files = f->next;
		file_free(f);
	}
	free(s->debug_dir);
	free(s);
}

/* ---- files -------------------------------------------------------------------- */

/*
 * What is no regular file is not even opened: a device may react to it.  Nor is
 * what only looks like one: reading /proc/kmsg waits, and takes what it reads
 * from others.  Most such files have no size; /proc/kcore and sysfs's have.
 */
static bool is_on_disk(int fd)
{
	struct statfs fs;
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
	       !fstatfs(fd, &fs) && fs.f_type != PROC_SUPER_MAGIC &&
	       fs.f_type != SYSFS_MAGIC;
}

static int open_regular(const char *path)
{
	char self[64];
	int fd, file;

	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!is_on_disk(fd)) {
		close(fd);
		return -1;
	}
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	file = open(self, O_RDONLY | O_CLOEXEC);
	close(fd);
	return file;
}

/* The length of what was sent, which may be more than there was room for. */
static ssize_t receive(const struct file *f, void *data, size_t most)
{
	ssize_t n;

	do
		n = recv(f->channel, data, most, MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	return n;
}

static void debug_path(const struct symbols *s, const struct program *p,
		       char *path, size_t len)
{
	char hex[2 * BMEM_BUILD_ID_MAX + 1] = "";
	uint32_t i;

	for (i = 0; i < p->build_id_len && i < BMEM_BUILD_ID_MAX; i++)
		sprintf(hex + 2 * i, "%02x", p->build_id[i]);
	snprintf(path, len, "%s/.build-id/%.2s/%s.debug", s->debug_dir, hex,
		 hex + 2);
}

static int open_debug(const struct symbols *s, const struct program *p)
{
	char path[PATH_MAX];

	if (p->build_id_len < 2)
		return -1;
	debug_path(s, p, path, sizeof(path));
	return open_regular(path);
}

static bool reader_start(struct file *f, struct debuginfo_job *job)
{
	const struct timeval patience = { .tv_sec = PATIENCE };
	struct debuginfo_greeting hello;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return false;
	job->channel = ends[1];
	f->channel = ends[0];
	f->reader = fork();
	if (!f->reader)
		debuginfo_serve(job);
	close(ends[1]);
	if (f->reader < 0) {
		close(f->channel);
		f->channel = -1;
		return false;
	}
	setsockopt(f->channel, SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	if (receive(f, &hello, sizeof(hello)) != sizeof(hello)) {
		reader_end(f);
		return false;
	}
	f->gap = hello.gap;
	return true;
}

static bool same_build(const struct program *a, const struct program *b)
{
	return a->build_id_len == b->build_id_len &&
	       !memcmp(a->build_id, b->build_id, a->build_id_len);
}

/* What is known of an open file, as one of this build. */
static struct file *file_known(const struct symbols *s, const struct program *p,
			       const struct stat *st)
{
	struct file *f = s->files;

	while (f && (f->dev != st->st_dev || f->ino != st->st_ino ||
		     !same_build(&f->what, p)))
		f = f->next;
	return f;
}

static struct file *file_make(struct symbols *s, const struct program *p,
			      const struct stat *st)
{
	struct file *f = must(calloc(1, sizeof(*f)));

	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->what = *p;
	f->channel = -1;
	f->next = s->files;
	s->files = f;
	return f;
}

/* NULL for no such file, or not of this build. */
static struct file *load(struct symbols *s, const struct program *p,
			 const char *path)
{
	struct debuginfo_job job = {
		.what = p, .path = path, .debug_dir = s->debug_dir,
	};
	struct stat st;
	struct file *f;

	job.program = open_regular(path);
	if (job.program < 0)
		return NULL;
	if (fstat(job.program, &st)) {
		close(job.program);
		return NULL;
	}
	f = file_known(s, p, &st);
	if (!f) {
		f = file_make(s, p, &st);
		job.debug = open_debug(s, p);
		f->fits = reader_start(f, &job);
		if (job.debug >= 0)
			close(job.debug);
	}
	close(job.program);
	return f->fits ? f : NULL;
}

static struct file *load_any(struct symbols *s, const struct program *p)
{
	struct file *f = NULL;
	char path[PATH_MAX];

	if (p->path[0] == '/') {
		f = load(s, p, p->path);
		snprintf(path, sizeof(path), "/proc/%u/root%s", p->pid, p->path);
		if (!f && p->pid)
			f = load(s, p, path);
	}
	if (f || p->build_id_len < 2)
		return f;
	debug_path(s, p, path, sizeof(path));
	return load(s, p, path);
}

static bool same_program(const struct program *a, const struct program *b)
{
	return a->pid == b->pid && same_build(a, b) &&
	       !strcmp(a->path, b->path);
}

static struct file *loaded(struct symbols *s, const struct program *p)
{
	struct loaded *l;

	for (l = s->loaded; l; l = l->next)
		if (same_program(&l->program, p))
			return l->file;
	l = must(calloc(1, sizeof(*l)));
	l->program = *p;
	l->program.path[sizeof(l->program.path) - 1] = 0;
	l->next = s->loaded;
	s->loaded = l;
	l->file = load_any(s, &l->program);
	return l->file;
}

/**
 * symbols_gap() - how far a file's addresses are from its offsets
 * @s: from symbols_open(), or NULL
 * @p: the file
 *
 * Return: the address of its code less where that is in the file; 0 when that is
 * not known.
 */
uint64_t symbols_gap(struct symbols *s, const struct program *p)
{
	struct file *f = s ? loaded(s, p) : NULL;

	return f ? f->gap : 0;
}

/* ---- names --------------------------------------------------------------------- */

/* A name in an answer: none, or all of it is there. */
static bool text_fits(const struct debuginfo_answer *a, uint32_t len,
		      uint32_t *at)
{
	if (len > a->bytes - *at || (len && a->text[*at + len - 1]))
		return false;
	*at += len;
	return true;
}

static bool answer_fits(const struct debuginfo_answer *a, ssize_t n)
{
	const ssize_t head = offsetof(struct debuginfo_answer, text);
	uint32_t i, at = 0;

	if (n < head || a->bytes > sizeof(a->text) || n != head + a->bytes ||
	    a->nr > INLINED_MAX)
		return false;
	for (i = 0; i < a->nr; i++)
		if (!text_fits(a, a->spots[i].function, &at) ||
		    !text_fits(a, a->spots[i].file, &at))
			return false;
	return true;
}

/* Nothing is known where nobody answers. */
static void ask(struct file *f, uint64_t address, struct debuginfo_answer *a)
{
	if (f->channel >= 0 &&
	    send(f->channel, &address, sizeof(address), MSG_NOSIGNAL) ==
	    sizeof(address) && answer_fits(a, receive(f, a, sizeof(*a))))
		return;
	reader_end(f);
	a->nr = 0;
	a->bytes = 0;
}

static const char *text_at(const char *text, uint32_t len, uint32_t *at)
{
	const char *found = len ? text + *at : NULL;

	*at += len;
	return found;
}

static struct looked *looked_make(const struct debuginfo_answer *a)
{
	size_t spots = a->nr * sizeof(struct spot);
	struct looked *l = must(malloc(sizeof(*l) + spots + a->bytes));
	char *text = (char *)l->spots + spots;
	uint32_t i, at = 0;

	memcpy(text, a->text, a->bytes);
	l->nr = a->nr;
	for (i = 0; i < a->nr; i++)
		l->spots[i] = (struct spot) {
			.delta = a->spots[i].delta,
			.line = a->spots[i].line,
			.function = text_at(text, a->spots[i].function, &at),
			.file = text_at(text, a->spots[i].file, &at),
		};
	return l;
}

static struct looked *looked(struct file *f, uint64_t address)
{
	struct looked **list = &f->looked[(address ^ address >> 8) %
					  LOOKED_LISTS], *at;
	static struct debuginfo_answer a;

	for (at = *list; at; at = at->next)
		if (at->address == address)
			return at;
	ask(f, address, &a);
	at = looked_make(&a);
	at->address = address;
	at->next = *list;
	*list = at;
	return at;
}

/**
 * symbols_find() - which function is an address in?
 * @s: from symbols_open()
 * @p: program file
 * @address: in it, as its own symbol table has addresses; a return address
 * @spots: out, %INLINED_MAX of them, the innermost first; those behind it are
 *	what it is inlined into
 *
 * Return: how many; 0 for nothing known.
 */
unsigned int symbols_find(struct symbols *s, const struct program *p,
			  uint64_t address, struct spot *spots)
{
	struct file *f = loaded(s, p);
	struct looked *at;

	memset(spots, 0, INLINED_MAX * sizeof(*spots));
	if (!address || !f)
		return 0;
	at = looked(f, address);
	memcpy(spots, at->spots, at->nr * sizeof(*spots));
	return at->nr;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static char *spot_text(const struct program *p, const struct spot *spot)
{
	const char *function = spot->function ? spot->function : "?";

	if (spot->file)
		return text_format("%s (%s:%d)", function,
				   base_name(spot->file), spot->line);
	if (spot->delta)
		return text_format("%s+%#llx (%s)", function,
				   (unsigned long long)spot->delta,
				   base_name(p->path));
	return text_format("%s (%s)", function, base_name(p->path));
}

/**
 * symbols_text() - the same for people
 * @s: from symbols_open(), NULL to look up nothing
 * @p: program file, all zero for unknown
 * @address: in it
 * @whole: with all that it is inlined into
 *
 * Return: "function (file.c:12)", "symbol+0x1f (libfoo.so.1)",
 * "libfoo.so.1+0x1234" or "0x1234", for free().
 */
char *symbols_text(struct symbols *s, const struct program *p,
		   uint64_t address, bool whole)
{
	struct spot spots[INLINED_MAX];
	unsigned int n = s ? symbols_find(s, p, address, spots) : 0, i;
	char *text, *outer, *both;

	if (!n)
		return text_format("%s%s%#llx", base_name(p->path),
				   p->path[0] ? "+" : "",
				   (unsigned long long)address);
	text = spot_text(p, &spots[0]);
	for (i = 1; whole && i < n; i++) {
		if (!spots[i].function)
			continue;
		outer = spot_text(p, &spots[i]);
		both = text_format("%s, inlined into %s", text, outer);
		free(text);
		free(outer);
		text = both;
	}
	return text;
}
