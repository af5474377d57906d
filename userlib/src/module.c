// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Program files: which one an address is in, and how the backend is told.
 *
 * What the dynamic linker has loaded is copied into a table of ranges when an
 * address is met that is in none of them; readers take no lock, a counter tells
 * them when the table changed under them.  A file keeps its number when it is
 * unloaded.  The number comes from the file's identity, so that two processes
 * which share a client since fork() rarely differ, whatever each loads.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "module.h"

#define RANGES_MAX	BMEM_MODULES_MAX

/**
 * struct program - what the backend is told of a file; written once
 * @id: hash of its build id, or of its path where it has none; 0 while free
 * @build_id_len: see struct bmem_module
 * @build_id: see there
 * @path: see there
 */
struct program {
	uint64_t id;
	uint32_t build_id_len;
	uint8_t build_id[BMEM_BUILD_ID_MAX];
	char path[BMEM_PATH_LEN];
};

/**
 * struct range - code of a file in memory
 * @low: where it begins
 * @high: first address behind it
 * @base: the file's load address
 * @program: number of the file, %RUNTIME may be set
 */
struct range {
	_Atomic uintptr_t low;
	_Atomic uintptr_t high;
	_Atomic uintptr_t base;
	_Atomic uint32_t program;
};

#define RUNTIME		(1U << 31)

/**
 * struct found - a range as the dynamic linker tells it, before it is entered
 * @low: as in struct range
 * @high: as in struct range
 * @base: as in struct range
 * @runtime: it is the C library's
 * @program: the file
 */
struct found {
	uintptr_t low;
	uintptr_t high;
	uintptr_t base;
	bool runtime;
	struct program program;
};

/**
 * struct scan - what the dynamic linker has loaded
 * @nr: ranges
 * @adds: its count of what it ever loaded
 * @subs: its count of what it ever unloaded
 * @order: indices of @found by address
 * @found: the ranges
 */
struct scan {
	uint32_t nr;
	uint64_t adds;
	uint64_t subs;
	uint16_t order[RANGES_MAX];
	struct found found[RANGES_MAX];
};

/*
 * @programs and @ranges are written by who holds @writer, which is the process
 * id of the holder; a holder that is not of this process is the parent's thread,
 * which is not here.  @seq is odd while @ranges change.
 */
static struct program programs[BMEM_MODULES_MAX + 1];
static struct range ranges[RANGES_MAX];
static _Atomic uint32_t nr_ranges, seq;
static _Atomic uint64_t known_adds;
_Atomic uint64_t module_subs;
static _Atomic pid_t writer;

/* The thread is in here already: in a signal, or from the linker's malloc(). */
static __thread bool busy __attribute__((tls_model("initial-exec")));

/*
 * Acquire and release keep the words of a range between the two looks at @seq,
 * and between its two changes.
 */
static uintptr_t load(const _Atomic uintptr_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* Search while nobody writes; the answer holds if @seq stayed the same. */
static bool range_search(uintptr_t pc, struct module_place *p)
{
	uint32_t lo = 0, mid, hi, file;

	hi = atomic_load_explicit(&nr_ranges, memory_order_acquire);
	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (pc < load(&ranges[mid].low)) {
			hi = mid;
		} else if (pc >= load(&ranges[mid].high)) {
			lo = mid + 1;
		} else {
			file = atomic_load_explicit(&ranges[mid].program,
						    memory_order_acquire);
			p->module = file & ~RUNTIME;
			p->runtime = file & RUNTIME;
			p->offset = pc - load(&ranges[mid].base);
			return true;
		}
	}
	return false;
}

static bool range_find(uintptr_t pc, struct module_place *p)
{
	uint32_t before, tries;
	bool found;

	for (tries = 0; tries < 100; tries++) {
		before = atomic_load_explicit(&seq, memory_order_acquire);
		if (!(before & 1)) {
			found = range_search(pc, p);
			if (atomic_load_explicit(&seq, memory_order_relaxed) ==
			    before)
				return found;
		}
		sched_yield();
	}
	return false;
}

static void take_build_id(struct program *p, const char *note, size_t len)
{
	const ElfW(Nhdr) *n;
	size_t name, desc;

	while (len >= sizeof(*n)) {
		n = (const void *)note;
		name = (n->n_namesz + 3UL) & ~3UL;
		desc = (n->n_descsz + 3UL) & ~3UL;
		if (name + desc > len - sizeof(*n))
			return;
		note += sizeof(*n);
		if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
		    !memcmp(note, ELF_NOTE_GNU, 4) &&
		    n->n_descsz <= BMEM_BUILD_ID_MAX) {
			p->build_id_len = n->n_descsz;
			memcpy(p->build_id, note + name, n->n_descsz);
			return;
		}
		note += name + desc;
		len -= sizeof(*n) + name + desc;
	}
}

static void take_path(struct program *p, const char *path)
{
	char self[4096];
	ssize_t n;
	size_t len;

	if (!*path) {
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n > 0 ? n : 0] = '\0';
		path = self;
	}
	/* The end of a path says more than its beginning. */
	len = strlen(path);
	if (len >= BMEM_PATH_LEN)
		path += len - (BMEM_PATH_LEN - 1);
	label_copy(p->path, path, BMEM_PATH_LEN - 1);
}

static bool is_runtime(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "libc.so", 7) || !strncmp(name, "libc-", 5) ||
	       !strncmp(name, "ld-musl", 7);
}

static void program_fill(struct program *p, const struct dl_phdr_info *info)
{
	const ElfW(Phdr) *ph = info->dlpi_phdr;
	int i;

	for (i = 0; i < info->dlpi_phnum && !p->build_id_len; i++)
		if (ph[i].p_type == PT_NOTE)
			take_build_id(p, (const char *)info->dlpi_addr +
					 ph[i].p_vaddr, ph[i].p_memsz);
	take_path(p, info->dlpi_name);
	p->id = p->build_id_len ?
		hash_text(1, (const char *)p->build_id, p->build_id_len) :
		hash_text(2, p->path, strlen(p->path));
	p->id += !p->id;
}

static int collect(struct dl_phdr_info *info, size_t size, void *arg)
{
	const ElfW(Phdr) *ph = info->dlpi_phdr;
	struct scan *s = arg;
	struct found *f;
	int i;

	(void)size;
	s->adds = info->dlpi_adds;
	s->subs = info->dlpi_subs;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !(ph[i].p_flags & PF_X))
			continue;
		if (s->nr == RANGES_MAX)
			return 1;
		f = &s->found[s->nr++];
		f->base = info->dlpi_addr;
		f->low = f->base + ph[i].p_vaddr;
		/* A call may be the last instruction there is. */
		f->high = f->low + ph[i].p_memsz + 1;
		f->runtime = is_runtime(info->dlpi_name);
		program_fill(&f->program, info);
	}
	return 0;
}

/* Not qsort(), which may allocate. */
static void scan_sort(struct scan *s)
{
	uint32_t i, at;

	for (i = 0; i < s->nr; i++) {
		for (at = i; at; at--) {
			if (s->found[s->order[at - 1]].low < s->found[i].low)
				break;
			s->order[at] = s->order[at - 1];
		}
		s->order[at] = (uint16_t)i;
	}
}

/* The number of a file, which it gets now if it has none; 0 for no room. */
static uint32_t program_number(const struct program *p)
{
	uint32_t at = (uint32_t)(p->id % BMEM_MODULES_MAX), n;

	for (n = 0; n < BMEM_MODULES_MAX; n++) {
		if (!programs[at + 1].id)
			programs[at + 1] = *p;
		if (programs[at + 1].id == p->id)
			return at + 1;
		at = (at + 1) % BMEM_MODULES_MAX;
	}
	return 0;
}

static void store(_Atomic uintptr_t *word, uintptr_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static void ranges_write(const struct scan *s)
{
	uint32_t i, number, odd = atomic_load(&seq) | 1;
	const struct found *f;

	atomic_store_explicit(&seq, odd, memory_order_relaxed);
	for (i = 0; i < s->nr; i++) {
		f = &s->found[s->order[i]];
		number = program_number(&f->program);
		store(&ranges[i].low, f->low);
		store(&ranges[i].high, f->high);
		store(&ranges[i].base, f->base);
		atomic_store_explicit(&ranges[i].program,
				      number | (f->runtime ? RUNTIME : 0),
				      memory_order_release);
	}
	atomic_store_explicit(&nr_ranges, s->nr, memory_order_release);
	atomic_store(&known_adds, s->adds);
	atomic_store(&module_subs, s->subs);
	atomic_store_explicit(&seq, odd + 1, memory_order_release);
}

static void writer_lock(void)
{
	pid_t self = getpid(), have;

	for (;;) {
		have = 0;
		if (atomic_compare_exchange_strong(&writer, &have, self))
			return;
		if (have != self &&
		    atomic_compare_exchange_strong(&writer, &have, self))
			return;
		sched_yield();
	}
}

/*
 * The dynamic linker's lock is not held together with ours: another thread may
 * allocate while it has the former.
 */
static void refresh(void)
{
	struct scan *s = scratch_get(sizeof(*s));

	if (!s)
		return;
	dl_iterate_phdr(collect, s);
	scan_sort(s);
	writer_lock();
	/* An older view of what is loaded must not replace a newer one. */
	if (s->adds + s->subs >=
	    atomic_load(&known_adds) + atomic_load(&module_subs))
		ranges_write(s);
	atomic_store(&writer, 0);
	scratch_put(s, sizeof(*s));
}

/*
 * A child of fork() in whose parent another thread has the dynamic linker's
 * lock waits for it for ever.  So fork() waits until nobody has it from here;
 * if that takes too long, the child does not ask the linker again.
 */
#define FORK_WAIT_MS	200

static _Atomic uint32_t looking;
static atomic_bool forking, blind;
static __thread bool forker __attribute__((tls_model("initial-exec")));
/* This thread's part of @looking. */
static __thread uint32_t mine __attribute__((tls_model("initial-exec")));

/* Is nobody in fork()?  Nobody will be then, until we are out. */
static bool look_enter(void)
{
	if (atomic_load(&forking))
		return false;
	atomic_fetch_add(&looking, 1);
	if (!atomic_load(&forking)) {
		mine++;
		return true;
	}
	atomic_fetch_sub(&looking, 1);
	return false;
}

/**
 * module_look_begin() - before anything that takes the dynamic linker's lock
 *
 * Return: true, and module_look_end() is to be called; false where it may be
 * that nobody ever lets go of it.
 */
bool module_look_begin(void)
{
	while (!atomic_load(&blind)) {
		if (look_enter())
			return true;
		/* A handler of fork() that somebody else has. */
		if (forker)
			return false;
		sched_yield();
	}
	return false;
}

/**
 * module_look_end() - after that
 */
void module_look_end(void)
{
	mine--;
	atomic_fetch_sub(&looking, 1);
}

static int stale(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(bool *)arg = info->dlpi_adds != atomic_load(&known_adds) ||
		       info->dlpi_subs != atomic_load(&module_subs);
	return 1;
}

/* Look again if something was loaded since; true if so. */
static bool look_again(void)
{
	bool changed = false;
	int saved = errno;

	if (busy || !module_look_begin())
		return false;
	busy = true;
	dl_iterate_phdr(stale, &changed);
	if (changed)
		refresh();
	busy = false;
	module_look_end();
	errno = saved;
	return changed;
}

/**
 * module_find() - which program file is an address in?
 * @pc: return address
 * @place: out
 *
 * Return: true if it is in the code of one; else @place has module 0 and the
 * address itself.
 */
bool module_find(uintptr_t pc, struct module_place *place)
{
	place->module = 0;
	place->runtime = false;
	place->id = 0;
	place->offset = pc;
	if (!range_find(pc, place) && !(look_again() && range_find(pc, place)))
		return false;
	if (place->module)
		place->id = programs[place->module].id;
	return true;
}

/**
 * module_look() - notice what was loaded and unloaded
 *
 * An address that was one file's and is now another's cannot tell.
 */
void module_look(void)
{
	(void)look_again();
}

/**
 * module_fork() - a call of fork() has got somewhere
 * @step: where
 */
void module_fork(enum fork_step step)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint32_t tries = FORK_WAIT_MS;

	switch (step) {
	case FORK_PREPARE:
		forker = true;
		atomic_store(&forking, true);
		while (atomic_load(&looking) != mine && tries--)
			nanosleep(&ms, NULL);
		break;
	case FORK_CHILD:
		/* A lock of this thread is one of its parent's, too. */
		if (mine || atomic_load(&looking))
			atomic_store(&blind, true);
		atomic_store(&looking, mine);
		/* Somebody was just writing the table: it is written again. */
		if (atomic_load(&seq) & 1 && !busy)
			atomic_store(&known_adds, 0);
		atomic_store(&forking, false);
		forker = false;
		break;
	case FORK_PARENT:
		atomic_store(&forking, false);
		forker = false;
		break;
	}
}

/**
 * module_announce() - tell a client's backend of a program file
 * @c: client
 * @module: number from module_find()
 */
void module_announce(struct bmem_client *c, uint32_t module)
{
	_Atomic uint64_t *word = &c->sites.announced[module / 64];
	struct bmem_module arg = { .size = sizeof(arg), .module = module };
	uint64_t bit = 1ULL << module % 64;
	const struct program *p = &programs[module];

	if (!module || atomic_load(word) & bit)
		return;
	arg.build_id_len = p->build_id_len;
	memcpy(arg.build_id, p->build_id, sizeof(arg.build_id));
	memcpy(arg.path, p->path, sizeof(arg.path));
	if (!call(c, BMEM_MODULE, &arg))
		atomic_fetch_or(word, bit);
}
