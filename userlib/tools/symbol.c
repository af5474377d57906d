// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Names for addresses: function, file and line, from a program file's debug
 * information or its symbol table, long after the process is gone.
 *
 * A file is used only when its build id is the one that the process named: what
 * has been rebuilt since would give wrong names.  It is looked for where the
 * process had it, there within the process's own root, and by build id under
 * /usr/lib/debug/.build-id.  Paths come from other users: only regular files
 * are opened, and nothing is asked of the network.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ctl.h"

#define DEBUG_DIR	"/usr/lib/debug"

/* Lists of looked-up addresses in each file. */
#define LOOKED_LISTS	256

/**
 * struct looked - an address that was looked up: call sites have most of their
 * frames in common, and debug information is read from end to end
 * @next: the next in the list
 * @address: in its file
 * @nr: entries in @spots
 * @spots: what it is in
 */
struct looked {
	struct looked *next;
	uint64_t address;
	unsigned int nr;
	struct spot spots[];
};

/**
 * struct loaded - a program file that was looked for
 * @next: the next in the list
 * @program: what it is
 * @dwfl: libdwfl's session, or NULL when it was not found
 * @module: the file in it
 * @bias: what libdwfl adds to the file's own addresses
 * @looked: by address
 */
struct loaded {
	struct loaded *next;
	struct program program;
	Dwfl *dwfl;
	Dwfl_Module *module;
	GElf_Addr bias;
	struct looked *looked[LOOKED_LISTS];
};

/**
 * struct demangled - a C++ name
 * @next: the next in the list
 * @name: for people
 */
struct demangled {
	struct demangled *next;
	char name[];
};

/**
 * struct symbols - all that was looked for
 * @loaded: list
 * @names: list, so that names last as long as this
 * @debug_dir: where separate debug files are
 * @callbacks: for libdwfl
 * @demangle: of libstdc++, or NULL where there is none
 */
struct symbols {
	struct loaded *loaded;
	struct demangled *names;
	char *debug_dir;
	Dwfl_Callbacks callbacks;
	char *(*demangle)(const char *name, char *buf, size_t *len, int *status);
};

/*
 * A program with C++ names runs where libstdc++ is; there is no need to have it
 * where none does.
 */
static void find_demangler(struct symbols *s)
{
	void *lib = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);

	if (lib)
		*(void **)&s->demangle = dlsym(lib, "__cxa_demangle");
}

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
	s->callbacks = (Dwfl_Callbacks) {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_build_id_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &s->debug_dir,
	};
	find_demangler(s);
	return s;
}

static void loaded_free(struct loaded *l)
{
	struct looked *at;
	size_t i;

	for (i = 0; i < LOOKED_LISTS; i++) {
		while ((at = l->looked[i])) {
			l->looked[i] = at->next;
			free(at);
		}
	}
	if (l->dwfl)
		dwfl_end(l->dwfl);
	free(l);
}

/**
 * symbols_close() - forget it all
 * @s: from symbols_open(), or NULL
 */
void symbols_close(struct symbols *s)
{
	struct demangled *name;
	struct loaded *l;

	if (!s)
		return;
	while ((l = s->loaded)) {
		s->loaded = l->next;
		loaded_free(l);
	}
	while ((name = s->names)) {
		s->names = name->next;
		free(name);
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

static bool same_build(Dwfl_Module *module, const struct program *p)
{
	const unsigned char *bits;
	GElf_Addr at;
	int len;

	if (!p->build_id_len)
		return true;
	len = dwfl_module_build_id(module, &bits, &at);
	return len == (int)p->build_id_len &&
	       !memcmp(bits, p->build_id, p->build_id_len);
}

static bool load(struct symbols *s, struct loaded *l, const char *path)
{
	int fd = open_regular(path);

	if (fd < 0)
		return false;
	l->dwfl = dwfl_begin(&s->callbacks);
	if (l->dwfl)
		dwfl_report_begin(l->dwfl);
	/* The descriptor is libdwfl's when that succeeds. */
	l->module = l->dwfl ? dwfl_report_offline(l->dwfl, path, path, fd) :
			      NULL;
	if (!l->module)
		close(fd);
	else
		dwfl_report_end(l->dwfl, NULL, NULL);
	if (l->module && same_build(l->module, &l->program) &&
	    dwfl_module_getelf(l->module, &l->bias))
		return true;
	dwfl_end(l->dwfl);
	l->dwfl = NULL;
	l->module = NULL;
	return false;
}

static bool load_from(struct symbols *s, struct loaded *l, char *path)
{
	bool ok = load(s, l, path);

	free(path);
	return ok;
}

static char *debug_file(const struct symbols *s, const struct program *p)
{
	char hex[2 * BMEM_BUILD_ID_MAX + 1] = "";
	uint32_t i;

	for (i = 0; i < p->build_id_len && i < BMEM_BUILD_ID_MAX; i++)
		sprintf(hex + 2 * i, "%02x", p->build_id[i]);
	return text_format("%s/.build-id/%.2s/%s.debug", s->debug_dir, hex,
			   hex + 2);
}

static bool load_any(struct symbols *s, struct loaded *l)
{
	const struct program *p = &l->program;

	if (p->path[0] == '/') {
		if (load(s, l, p->path))
			return true;
		if (p->pid &&
		    load_from(s, l, text_format("/proc/%u/root%s", p->pid,
						p->path)))
			return true;
	}
	return p->build_id_len > 1 && load_from(s, l, debug_file(s, p));
}

static bool same_program(const struct program *a, const struct program *b)
{
	if (a->build_id_len || b->build_id_len)
		return a->build_id_len == b->build_id_len &&
		       !memcmp(a->build_id, b->build_id, a->build_id_len);
	return a->pid == b->pid && !strcmp(a->path, b->path);
}

static struct loaded *loaded(struct symbols *s, const struct program *p)
{
	struct loaded *l;

	for (l = s->loaded; l; l = l->next)
		if (same_program(&l->program, p))
			return l;
	l = must(calloc(1, sizeof(*l)));
	l->program = *p;
	l->program.path[sizeof(l->program.path) - 1] = 0;
	l->next = s->loaded;
	s->loaded = l;
	load_any(s, l);
	return l;
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
	struct loaded *l = s ? loaded(s, p) : NULL;
	GElf_Addr bias;
	GElf_Phdr ph;
	size_t nr, i;
	Elf *elf;

	elf = l && l->module ? dwfl_module_getelf(l->module, &bias) : NULL;
	if (!elf || elf_getphdrnum(elf, &nr))
		return 0;
	for (i = 0; i < nr; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD &&
		    ph.p_flags & PF_X)
			return ph.p_vaddr - ph.p_offset;
	return 0;
}

/* ---- names --------------------------------------------------------------------- */

static const char *readable(struct symbols *s, const char *name)
{
	struct demangled *d;
	int status = -1;
	char *text;

	if (!name || strncmp(name, "_Z", 2) || !s->demangle)
		return name;
	text = s->demangle(name, NULL, NULL, &status);
	if (status || !text) {
		free(text);
		return name;
	}
	d = must(malloc(sizeof(*d) + strlen(text) + 1));
	strcpy(d->name, text);
	free(text);
	d->next = s->names;
	s->names = d;
	return d->name;
}

/* The name with its namespace where the debug information has the linker's. */
static const char *die_name(struct symbols *s, Dwarf_Die *die)
{
	static const unsigned int names[] = {
		DW_AT_linkage_name, DW_AT_MIPS_linkage_name,
	};
	Dwarf_Attribute attr;
	const char *name;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		name = dwarf_formstring(dwarf_attr_integrate(die, names[i],
							     &attr));
		if (name)
			return readable(s, name);
	}
	return dwarf_diename(die);
}

/* Where an inlined function was called. */
static void call_place(Dwarf_Die *die, Dwarf_Die *cu, struct spot *spot)
{
	Dwarf_Attribute attr;
	Dwarf_Word file = 0, line = 0;
	Dwarf_Files *files;
	size_t nr;

	spot->file = NULL;
	spot->line = 0;
	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attr), &file) ||
	    dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attr), &line) ||
	    dwarf_getsrcfiles(cu, &files, &nr))
		return;
	spot->file = dwarf_filesrc(files, file, NULL, NULL);
	spot->line = (int)line;
}

/* The functions around an address, those that are inlined first. */
static unsigned int from_scopes(struct symbols *s, struct loaded *l,
				GElf_Addr addr, struct spot *spots)
{
	Dwarf_Addr bias = 0;
	Dwarf_Die *cu, *scopes = NULL, *inner = NULL;
	unsigned int n = 0;
	int i, nr, tag, all;

	cu = dwfl_module_addrdie(l->module, addr, &bias);
	if (!cu)
		return 0;
	nr = dwarf_getscopes(cu, addr - bias, &inner);
	/* What is around an inlined one in the program, not in the source. */
	all = nr > 0 ? dwarf_getscopes_die(&inner[0], &scopes) : 0;
	for (i = 0; i < all && n < INLINED_MAX; i++) {
		tag = dwarf_tag(&scopes[i]);
		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		spots[n++].function = die_name(s, &scopes[i]);
		if (tag == DW_TAG_subprogram)
			break;
		if (n < INLINED_MAX)
			call_place(&scopes[i], cu, &spots[n]);
	}
	free(scopes);
	free(inner);
	return n;
}

static void line_of(struct loaded *l, GElf_Addr addr, struct spot *spot)
{
	Dwfl_Line *line = dwfl_module_getsrc(l->module, addr);

	if (line)
		spot->file = dwfl_lineinfo(line, NULL, &spot->line, NULL, NULL,
					   NULL);
}

/* The symbol that covers an address, or the one before it without a size. */
static bool from_symbols(struct symbols *s, struct loaded *l, GElf_Addr addr,
			 struct spot *spot)
{
	GElf_Off delta = 0;
	GElf_Sym sym;
	const char *name = dwfl_module_addrinfo(l->module, addr, &delta, &sym,
						NULL, NULL, NULL);

	if (!name)
		return false;
	spot->function = readable(s, name);
	spot->delta = delta;
	return true;
}

static unsigned int look_up(struct symbols *s, struct loaded *l,
			    uint64_t address, struct spot *spots)
{
	/* The call is before the address that it returns to. */
	GElf_Addr addr = address - 1 + l->bias;
	unsigned int n = from_scopes(s, l, addr, spots);

	if (n && spots[0].function) {
		line_of(l, addr, &spots[0]);
		return n;
	}
	memset(spots, 0, INLINED_MAX * sizeof(*spots));
	if (!from_symbols(s, l, addr, &spots[0]))
		return 0;
	line_of(l, addr, &spots[0]);
	if (spots[0].file)
		spots[0].delta = 0;
	else
		spots[0].delta++;
	return 1;
}

static struct looked *looked(struct symbols *s, struct loaded *l,
			     uint64_t address)
{
	struct looked **list = &l->looked[(address ^ address >> 8) %
					  LOOKED_LISTS], *at;
	struct spot spots[INLINED_MAX] = { { 0 } };
	unsigned int n;

	for (at = *list; at; at = at->next)
		if (at->address == address)
			return at;
	n = look_up(s, l, address, spots);
	at = must(malloc(sizeof(*at) + n * sizeof(*spots)));
	at->next = *list;
	at->address = address;
	at->nr = n;
	memcpy(at->spots, spots, n * sizeof(*spots));
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
	struct loaded *l = loaded(s, p);
	struct looked *at;

	memset(spots, 0, INLINED_MAX * sizeof(*spots));
	if (!l->module || !address)
		return 0;
	at = looked(s, l, address);
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
	if (spot->file)
		return text_format("%s (%s:%d)", spot->function,
				   base_name(spot->file), spot->line);
	if (spot->delta)
		return text_format("%s+%#llx (%s)", spot->function,
				   (unsigned long long)spot->delta,
				   base_name(p->path));
	return text_format("%s (%s)", spot->function, base_name(p->path));
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
