// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Which program will be run, and can a library be loaded into it?
 */
#include <elf.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "launch.h"

/* Scripts whose interpreter is a script: as far as the kernel goes. */
#define SCRIPTS_MAX	5
#define HEAD_BYTES	256

/* What execvp() would find in one directory of the path, or NULL. */
static char *found_in(const char *dir, size_t len, const char *name)
{
	struct stat st;
	char *path;

	if (asprintf(&path, "%.*s%s%s", (int)len, dir, len ? "/" : "",
		     name) < 0)
		return NULL;
	if (!stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
		return path;
	free(path);
	return NULL;
}

/**
 * program_find() - the file that execvp() would run
 * @name: as the user gave it
 *
 * Return: its path, to be freed; or NULL, and execvp() knows why.
 */
char *program_find(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char *found;

	if (strchr(name, '/'))
		return strdup(name);
	if (!path)
		path = "/bin:/usr/bin";
	for (;; path = end + 1) {
		end = strchrnul(path, ':');
		found = found_in(path, (size_t)(end - path), name);
		if (found || !*end)
			return found;
	}
}

/* The interpreter of a script, to be freed; NULL where it is none. */
static char *interpreter(const char *line)
{
	size_t len;

	if (strncmp(line, "#!", 2))
		return NULL;
	line += 2 + strspn(line + 2, " \t");
	len = strcspn(line, " \t\n");
	return len ? strndup(line, len) : NULL;
}

/* Programs that get rights from their file are loaded without our library. */
static void tell_if_secure(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return;
	if ((st.st_mode & S_ISUID && st.st_uid != getuid()) ||
	    (st.st_mode & S_ISGID && st.st_mode & S_IXGRP &&
	     st.st_gid != getgid()) ||
	    (getuid() && getxattr(path, "security.capability", NULL, 0) > 0))
		error(0, 0,
		      "%s gets rights of its own (setuid, setgid or capabilities): it runs without bmem",
		      path);
}

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
	return pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

static bool has_interpreter(int fd, const Elf64_Ehdr *e)
{
	Elf64_Phdr ph;
	int i;

	for (i = 0; i < e->e_phnum; i++)
		if (read_at(fd, &ph, sizeof(ph),
			    e->e_phoff + (uint64_t)i * e->e_phentsize) &&
		    ph.p_type == PT_INTERP)
			return true;
	return false;
}

/* ld.so can be run as a program, and preloads. */
static bool is_linker(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "ld-", 3) || !strncmp(name, "ld.so", 5);
}

static bool same_machine(const Elf64_Ehdr *e)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr us;
	bool known;

	known = fd >= 0 && read_at(fd, &us, sizeof(us), 0);
	if (fd >= 0)
		close(fd);
	return !known || (us.e_machine == e->e_machine &&
			  us.e_ident[EI_CLASS] == e->e_ident[EI_CLASS]);
}

static bool elf_fits(const char *path, int fd, const Elf64_Ehdr *e)
{
	if (!same_machine(e)) {
		error(0, 0, "%s is for another kind of machine or word size: bmem cannot be loaded into it",
		      path);
		return false;
	}
	if (!has_interpreter(fd, e) && !is_linker(path)) {
		error(0, 0, "%s is linked statically: nothing can be loaded into it, so bmem-run cannot serve it",
		      path);
		return false;
	}
	tell_if_secure(path);
	return true;
}

static bool fits(const char *path, int depth)
{
	union {
		char line[HEAD_BYTES + 1];
		Elf64_Ehdr elf;
	} head = { 0 };
	/* What is no file may keep whoever opens it waiting. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *next;
	bool ok;

	/* What may be run but not read cannot be judged. */
	if (fd < 0)
		return true;
	if (read(fd, head.line, HEAD_BYTES) < 0) {
		close(fd);
		return true;
	}
	next = interpreter(head.line);
	if (next)
		ok = depth >= SCRIPTS_MAX || fits(next, depth + 1);
	else
		ok = memcmp(head.line, ELFMAG, SELFMAG) ||
		     elf_fits(path, fd, &head.elf);
	free(next);
	close(fd);
	return ok;
}

/**
 * program_fits() - can a library be loaded into a program?
 * @path: program or script
 *
 * Says on stderr why not, or if the linker is going to ignore it.
 *
 * Return: false if the program has no dynamic linker, or not ours.
 */
bool program_fits(const char *path)
{
	return fits(path, 0);
}
