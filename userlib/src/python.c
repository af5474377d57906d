// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Where a Python program is: "file:line" of the frames that matter.
 *
 * Extensions let go of the interpreter's lock around their work, PyTorch for
 * every operation, so whoever allocates there must not touch an object.  But
 * the frames of this thread are pushed and popped by this thread alone, and
 * they keep their code objects alive: while it is down here all of that lies
 * still, and can be read.  Nothing is written, no reference is counted, nothing
 * is allocated, so this is right with and without the lock and even inside the
 * interpreter's own allocator.
 *
 * The price is that the layout of frames has to be known.  It does not change
 * within one minor release of CPython; a release that is not in the table, and
 * a build without the lock, are left alone.
 *
 * Once the interpreter is being finalized nobody is asked any more: it takes
 * away the frames of threads that have not ended.
 */
#include <stdio.h>
#include <string.h>

#include "caller.h"
#include "hash.h"

/* Resolved by the dynamic linker where the program, or a library that it is
 * linked with, is CPython; NULL elsewhere.
 */
#define python __attribute__((weak, visibility("default")))
extern const unsigned long Py_Version python;
extern char PyCode_Type python;
extern const char *Py_GetVersion(void) python;
extern int Py_IsInitialized(void) python;
extern char *PyGILState_GetThisThreadState(void) python;
extern int PyCode_Addr2Line(char *code, int offset) python;

/**
 * struct layout - where things are in one minor release, in bytes
 * @minor: of CPython 3
 * @via: field of the thread that leads to where @top is; 0 for itself
 * @top: its innermost frame
 * @code: frame: code object; the lowest bits may be a tag
 * @previous: frame: its caller
 * @instr: frame: instruction
 * @owner: frame: who made it, a byte
 * @first: code: number of its first line
 * @table: code: line table
 * @bytes: code: first instruction
 * @text: first character of an ASCII text
 * @wide: that of another
 *
 * Taken from the headers of these releases; the tests would notice.
 */
struct layout {
	uint8_t minor;
	uint8_t via;
	uint8_t top;
	uint8_t code;
	uint8_t previous;
	uint8_t instr;
	uint8_t owner;
	uint8_t first;
	uint8_t table;
	uint8_t bytes;
	uint8_t text;
	uint8_t wide;
};

static const struct layout layouts[] = {
	{ 11, 56, 8, 32, 48, 56, 69, 72, 136, 184, 48, 72 },
	{ 13, 0, 72, 0, 8, 56, 70, 68, 136, 200, 40, 56 },
	{ 14, 0, 72, 0, 8, 56, 74, 68, 136, 208, 40, 56 },
};

/* The same in all of them. */
#define OBJECT_TYPE	8
#define TEXT_LENGTH	16
#define TEXT_STATE	32
#define STATE_KIND(s)	((s) >> 2 & 7)
#define STATE_COMPACT	0x20
#define STATE_ASCII	0x40
#define CODE_FILE	112
/* Frames with a higher number are the interpreter's own. */
#define OWNER_LAST	2

/* Frames that are looked at, and that a name may have. */
#define DEPTH		64
#define PICKS		3
#define FILE_CHARS	256
#define JOIN		" < "

static const struct layout *layout;

#define at(type, base, offset)	(*(type const *)((base) + (offset)))

/**
 * struct spot - a place in a Python program
 * @code: code object
 * @offset: of the instruction, negative before the first
 */
struct spot {
	char *code;
	int offset;
};

/* The value of a spot that is no news to anybody: in this library's package. */
#define SPOT_OURS	1

/*
 * What is known of spots: a hash of file and line, with the lowest bit set
 * where it is library code.  Threads read and write as they like: an entry
 * whose halves are not of one writing does not have the key.
 */
#define KNOWN	1024
static struct {
	_Atomic uint64_t mixed;
	_Atomic uint64_t value;
} known[KNOWN];

/* The characters that matter, others as '?'.  Its end, where it is too long. */
static size_t text_read(const char *object, char *to, size_t room)
{
	uint32_t state = at(uint32_t, object, TEXT_STATE), kind, c;
	size_t n = at(size_t, object, TEXT_LENGTH), from, i;
	const char *data = object + layout->text;

	*to = '\0';
	if (!(state & STATE_COMPACT))
		return 0;
	if (!(state & STATE_ASCII))
		data = object + layout->wide;
	kind = STATE_KIND(state);
	from = n > room - 1 ? n - (room - 1) : 0;
	n -= from;
	for (i = 0; i < n; i++) {
		if (kind == 1)
			c = at(uint8_t, data, from + i);
		else if (kind == 2)
			c = at(uint16_t, data, 2 * (from + i));
		else
			c = at(uint32_t, data, 4 * (from + i));
		to[i] = c < ' ' || c >= 0x7f ? '?' : (char)c;
	}
	to[n] = '\0';
	return n;
}

static bool in_library(const char *file)
{
	return strstr(file, "/dist-packages/") ||
	       strstr(file, "/site-packages/") ||
	       strstr(file, "/lib/python3") || !strncmp(file, "<frozen ", 8);
}

static uint64_t spot_work_out(const struct spot *s)
{
	int line = PyCode_Addr2Line(s->code, s->offset);
	char file[FILE_CHARS];
	size_t n = text_read(at(char *, s->code, CODE_FILE), file, sizeof(file));
	uint64_t value = hash_text((uint64_t)line, file, n);

	if (strstr(file, "-packages/bmem/"))
		return SPOT_OURS;
	return (value & ~1ULL) | in_library(file);
}

static uint64_t spot_value(const struct spot *s)
{
	uint64_t key = (uintptr_t)s->code, value, mixed;
	uint32_t i;

	/* Code may be freed, and other code be put in its place. */
	key = mix(key ^ (uint64_t)(uint32_t)s->offset << 40);
	key ^= at(uintptr_t, s->code, layout->table) * 0x9e3779b97f4a7c15ULL;
	key += at(uint32_t, s->code, layout->first);
	i = mix(key) % KNOWN;
	value = atomic_load_explicit(&known[i].value, memory_order_relaxed);
	mixed = atomic_load_explicit(&known[i].mixed, memory_order_relaxed);
	if ((value ^ mixed) == key && value)
		return value;
	value = spot_work_out(s);
	atomic_store_explicit(&known[i].value, value, memory_order_relaxed);
	atomic_store_explicit(&known[i].mixed, value ^ key,
			      memory_order_relaxed);
	return value;
}

/**
 * struct picks - the frames that a place is named by, innermost first
 * @nr: how many
 * @own: how many of them, the last, are the program's own
 * @spots: where they are
 * @values: spot_value() of each
 */
struct picks {
	uint32_t nr;
	uint32_t own;
	struct spot spots[PICKS];
	uint64_t values[PICKS];
};

static void pick(struct picks *p, const struct spot *s)
{
	uint64_t value = spot_value(s);
	bool own = !(value & 1);

	if (value == SPOT_OURS)
		return;
	/* Of libraries the innermost is enough where the program has a word. */
	if (own && !p->own && p->nr > 1)
		p->nr = 1;
	if (p->nr == PICKS || (!own && p->own))
		return;
	p->spots[p->nr] = *s;
	p->values[p->nr++] = value;
	p->own += own;
}

static bool frame_spot(const char *frame, struct spot *s)
{
	if (at(uint8_t, frame, layout->owner) > OWNER_LAST)
		return false;
	s->code = (char *)(at(uintptr_t, frame, layout->code) & ~7UL);
	if (!s->code || at(char *, s->code, OBJECT_TYPE) != &PyCode_Type)
		return false;
	s->offset = (int)(at(char *, frame, layout->instr) - s->code -
			  layout->bytes);
	return true;
}

static void look(struct picks *p)
{
	const char *thread, *frame;
	struct spot s;
	uint32_t n;

	p->nr = p->own = 0;
	if (!Py_IsInitialized())
		return;
	thread = PyGILState_GetThisThreadState();
	if (thread && layout->via)
		thread = at(char *, thread, layout->via);
	if (!thread)
		return;
	frame = at(char *, thread, layout->top);
	for (n = 0; frame && n < DEPTH; n++) {
		if (frame_spot(frame, &s))
			pick(p, &s);
		if (p->own && p->nr == PICKS)
			break;
		frame = at(char *, frame, layout->previous);
	}
}

/* A file's name; with that of its directory where alone it says nothing. */
static const char *short_name(const char *file)
{
	const char *name = strrchr(file, '/');

	if (!name)
		return file;
	if (strcmp(name, "/__init__.py") && strcmp(name, "/__main__.py"))
		return name + 1;
	while (name > file && name[-1] != '/')
		name--;
	return name;
}

static size_t write_spot(const struct spot *s, char *to, size_t room)
{
	char file[FILE_CHARS];

	text_read(at(char *, s->code, CODE_FILE), file, sizeof(file));
	return (size_t)snprintf(to, room, "%s:%d", short_name(file),
				PyCode_Addr2Line(s->code, s->offset));
}

/* What does not fit goes: callers first, then the library before the program. */
static void write_name(const struct picks *p, char *name, size_t len)
{
	uint32_t first = p->own ? p->nr - p->own : 0, from = 0, to = p->nr, i;
	char text[PICKS][FILE_CHARS + 16];
	size_t size = 0, n = 0;

	for (i = 0; i < p->nr; i++)
		size += write_spot(&p->spots[i], text[i], sizeof(text[i])) +
			(i ? strlen(JOIN) : 0);
	while (size >= len && to - from > 1)
		size -= strlen(JOIN) +
			strlen(text[to - 1 > first ? --to : from++]);
	for (i = from; i < to && n < len; i++)
		n += (size_t)snprintf(name + n, len - n, "%s%s",
				      i > from ? JOIN : "", text[i]);
}

/**
 * python_caller() - see bmem_caller_fn
 * @name: see there
 * @len: see there
 *
 * Return: see there.
 */
uint64_t python_caller(char *name, size_t len)
{
	struct picks p;
	uint64_t key = 0;
	uint32_t i;

	look(&p);
	if (!p.nr)
		return 0;
	for (i = 0; i < p.nr; i++)
		key = mix(key + p.values[i]);
	if (name)
		write_name(&p, name, len);
	return key + !key;
}

/**
 * python_here() - is this process a Python that can be looked at?
 *
 * Return: true if python_caller() may be called.
 */
bool python_here(void)
{
	uint32_t minor, i;

	if (!&Py_Version || !&PyCode_Type || !Py_GetVersion ||
	    !Py_IsInitialized || !PyGILState_GetThisThreadState ||
	    !PyCode_Addr2Line)
		return false;
	if (Py_Version >> 24 != 3 || strstr(Py_GetVersion(), "free-threading"))
		return false;
	minor = Py_Version >> 16 & 0xff;
	for (i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].minor == minor)
			layout = &layouts[i];
	return layout;
}
