// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a program file says of its addresses, found out by a process of its own.
 *
 * Program files are other users', and libdw reads whatever is in them.  A file
 * that makes it fail, or go on for ever, ends the process that reads that file
 * and no other; and where bmemctl runs as root, that process has no rights.  It
 * has the files open that it needs, and nothing else, and is the first to go
 * where memory runs out.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl.h"

/* User and group that own nothing. */
#define NOBODY		65534

/* Seconds of CPU time: the largest files there are take a few. */
#define CPU_MAX		60

/* Where the descriptors are that are left. */
enum { CHANNEL, PROGRAM, DEBUG, DESCRIPTORS };

/**
 * struct reader - a program file that is being read
 * @job: what it is
 * @dwfl: libdwfl's session
 * @module: the file in it
 * @bias: what libdwfl adds to the file's own addresses
 * @callbacks: for libdwfl
 * @demangle: of libstdc++, or NULL where there is none
 * @names: C++ names for people, until the answer is sent
 * @nr_names: how many
 */
struct reader {
	const struct debuginfo_job *job;
	Dwfl *dwfl;
	Dwfl_Module *module;
	GElf_Addr bias;
	Dwfl_Callbacks callbacks;
	char *(*demangle)(const char *name, char *buf, size_t *len, int *status);
	char *names[INLINED_MAX + 1];
	unsigned int nr_names;
};

/* ---- rights ------------------------------------------------------------------- */

static int place(int fd)
{
	return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTORS);
}

static bool only_descriptors(const struct debuginfo_job *job)
{
	int channel = place(job->channel), program = place(job->program);
	int debug = place(job->debug);

	if (dup2(channel, CHANNEL) < 0 || dup2(program, PROGRAM) < 0)
		return false;
	if (debug >= 0 ? dup2(debug, DEBUG) < 0 : close(DEBUG) && errno != EBADF)
		return false;
	return !close_range(DESCRIPTORS, ~0U, 0);
}

/* What is in a file may unpack to more than there is. */
static void die_first(void)
{
	static const char most[] = "1000";
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, most, strlen(most)) < 0)
		errno = 0;
	close(fd);
}

static bool no_rights(void)
{
	const struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {
		{ 0 },
	};
	const struct rlimit cpu = { CPU_MAX, CPU_MAX }, core = { 0, 0 };

	if (!geteuid() && (setgroups(0, NULL) ||
			   setresgid(NOBODY, NOBODY, NOBODY) ||
			   setresuid(NOBODY, NOBODY, NOBODY)))
		return false;
	return !syscall(SYS_capset, &header, none) &&
	       !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) &&
	       !setrlimit(RLIMIT_CPU, &cpu) && !setrlimit(RLIMIT_CORE, &core);
}

/* ---- the file ----------------------------------------------------------------- */

/*
 * A program with C++ names runs where libstdc++ is; there is no need to have it
 * where none does.
 */
static void find_demangler(struct reader *r)
{
	void *lib = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);

	if (lib)
		*(void **)&r->demangle = dlsym(lib, "__cxa_demangle");
}

/*
 * The one that was opened for it, or by build id; not where the file says: that
 * may be a FIFO.
 */
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name,
			  Dwarf_Addr base, const char *file, const char *link,
			  GElf_Word crc, char **debug_file)
{
	int fd = fcntl(DEBUG, F_DUPFD_CLOEXEC, DESCRIPTORS);

	if (fd < 0)
		return dwfl_build_id_find_debuginfo(module, data, name, base,
						    file, link, crc, debug_file);
	*debug_file = NULL;
	return fd;
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

static bool load(struct reader *r)
{
	const struct debuginfo_job *job = r->job;

	find_demangler(r);
	r->callbacks = (Dwfl_Callbacks) {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = (char **)&job->debug_dir,
	};
	r->dwfl = dwfl_begin(&r->callbacks);
	if (!r->dwfl)
		return false;
	dwfl_report_begin(r->dwfl);
	r->module = dwfl_report_offline(r->dwfl, job->path, job->path, PROGRAM);
	if (!r->module)
		return false;
	dwfl_report_end(r->dwfl, NULL, NULL);
	return same_build(r->module, job->what) &&
	       dwfl_module_getelf(r->module, &r->bias);
}

/* The address of its code less where that is in the file; 0 if not known. */
static uint64_t gap(const struct reader *r)
{
	GElf_Addr bias;
	GElf_Phdr ph;
	size_t nr, i;
	Elf *elf = dwfl_module_getelf(r->module, &bias);

	if (!elf || elf_getphdrnum(elf, &nr))
		return 0;
	for (i = 0; i < nr; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD &&
		    ph.p_flags & PF_X)
			return ph.p_vaddr - ph.p_offset;
	return 0;
}

/* ---- names --------------------------------------------------------------------- */

static const char *readable(struct reader *r, const char *name)
{
	int status = -1;
	char *text;

	if (!name || strncmp(name, "_Z", 2) || !r->demangle ||
	    r->nr_names == ARRAY_SIZE(r->names))
		return name;
	text = r->demangle(name, NULL, NULL, &status);
	if (status || !text) {
		free(text);
		return name;
	}
	r->names[r->nr_names++] = text;
	return text;
}

/* The name with its namespace where the debug information has the linker's. */
static const char *die_name(struct reader *r, Dwarf_Die *die)
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
			return readable(r, name);
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
static unsigned int from_scopes(struct reader *r, GElf_Addr addr,
				struct spot *spots)
{
	Dwarf_Addr bias = 0;
	Dwarf_Die *cu, *scopes = NULL, *inner = NULL;
	unsigned int n = 0;
	int i, nr, tag, all;

	cu = dwfl_module_addrdie(r->module, addr, &bias);
	if (!cu)
		return 0;
	nr = dwarf_getscopes(cu, addr - bias, &inner);
	/* What is around an inlined one in the program, not in the source. */
	all = nr > 0 ? dwarf_getscopes_die(&inner[0], &scopes) : 0;
	for (i = 0; i < all && n < INLINED_MAX; i++) {
		tag = dwarf_tag(&scopes[i]);
		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		spots[n++].function = die_name(r, &scopes[i]);
		if (tag == DW_TAG_subprogram)
			break;
		if (n < INLINED_MAX)
			call_place(&scopes[i], cu, &spots[n]);
	}
	free(scopes);
	free(inner);
	return n;
}

static void line_of(struct reader *r, GElf_Addr addr, struct spot *spot)
{
	Dwfl_Line *line = dwfl_module_getsrc(r->module, addr);

	if (line)
		spot->file = dwfl_lineinfo(line, NULL, &spot->line, NULL, NULL,
					   NULL);
}

/* The symbol that covers an address, or the one before it without a size. */
static bool from_symbols(struct reader *r, GElf_Addr addr, struct spot *spot)
{
	GElf_Off delta = 0;
	GElf_Sym sym;
	const char *name = dwfl_module_addrinfo(r->module, addr, &delta, &sym,
						NULL, NULL, NULL);

	if (!name)
		return false;
	spot->function = readable(r, name);
	spot->delta = delta;
	return true;
}

static unsigned int look_up(struct reader *r, uint64_t address,
			    struct spot *spots)
{
	/* The call is before the address that it returns to. */
	GElf_Addr addr = address - 1 + r->bias;
	unsigned int n = from_scopes(r, addr, spots);

	if (n && spots[0].function) {
		line_of(r, addr, &spots[0]);
		return n;
	}
	memset(spots, 0, INLINED_MAX * sizeof(*spots));
	if (!from_symbols(r, addr, &spots[0]))
		return 0;
	line_of(r, addr, &spots[0]);
	if (spots[0].file)
		spots[0].delta = 0;
	else
		spots[0].delta++;
	return 1;
}

/* ---- questions ---------------------------------------------------------------- */

static uint32_t put_text(struct debuginfo_answer *a, const char *text)
{
	size_t len;

	if (!text)
		return 0;
	len = strnlen(text, DEBUGINFO_NAME_MAX - 1);
	memcpy(a->text + a->bytes, text, len);
	a->text[a->bytes + len] = 0;
	a->bytes += (uint32_t)len + 1;
	return (uint32_t)len + 1;
}

static void answer(struct reader *r, uint64_t address,
		   struct debuginfo_answer *a)
{
	struct spot spots[INLINED_MAX] = { { 0 } };
	uint32_t i;

	a->bytes = 0;
	a->nr = look_up(r, address, spots);
	for (i = 0; i < a->nr; i++) {
		a->spots[i].delta = spots[i].delta;
		a->spots[i].line = spots[i].line;
		a->spots[i].function = put_text(a, spots[i].function);
		a->spots[i].file = put_text(a, spots[i].file);
	}
	while (r->nr_names)
		free(r->names[--r->nr_names]);
}

static bool tell(const void *data, size_t bytes)
{
	return send(CHANNEL, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

/**
 * debuginfo_serve() - answer questions about a file until nobody asks any more
 * @job: what is read, and who asks
 *
 * In a process of its own.  First it says whether the file is what it is said to
 * be, in a struct debuginfo_greeting, if it is; then, for each address that it is
 * sent, it sends a struct debuginfo_answer up to the end of the text.
 */
void debuginfo_serve(const struct debuginfo_job *job)
{
	static struct debuginfo_answer a;
	struct debuginfo_greeting hello;
	struct reader r = { .job = job };
	uint64_t address;

	if (!only_descriptors(job))
		_exit(1);
	die_first();
	if (!no_rights() || !load(&r))
		_exit(1);
	hello.gap = gap(&r);
	if (!tell(&hello, sizeof(hello)))
		_exit(1);
	while (recv(CHANNEL, &address, sizeof(address), MSG_WAITALL) ==
	       sizeof(address)) {
		answer(&r, address, &a);
		if (!tell(&a, offsetof(struct debuginfo_answer, text) + a.bytes))
			break;
	}
	_exit(0);
}
