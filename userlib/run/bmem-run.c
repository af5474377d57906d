// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * bmem-run: run a program with its large blocks in bmem.
 *
 * Sets what the preload library reads, checks what can be checked before, and
 * becomes the program.
 */
#include <argp.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bmem.h>

#include "launch.h"
#include "run.h"

/**
 * struct wishes - what the command line says
 * @threshold: in bytes
 * @label: or NULL
 * @pool: or NULL
 * @backend: or NULL
 * @report: "exit", "off", or an absolute path
 * @full: "libc" or "fail"
 * @command: words of the program's command line
 */
struct wishes {
	uint64_t threshold;
	const char *label;
	const char *pool;
	const char *backend;
	char *report;
	const char *full;
	char **command;
};

enum {
	OPT_REPORT = 256,
	OPT_FULL,
};

static const struct argp_option options[] = {
	{ "threshold", 't', "SIZE", 0,
	  "blocks of SIZE bytes and more are bmem's; suffixes K, M and G; default 64K, 0 for all", 0 },
	{ "label", 'l', "LABEL", 0,
	  "what reports call the program's memory", 0 },
	{ "pool", 'p', "POOL", 0, "name or number of a pool of the device", 0 },
	{ "backend", 'b', "NAME", 0,
	  "auto: the device if it can be used, memory of the process alone if not; dev: the device, or nothing; memfd: memory of the process", 0 },
	{ "report", OPT_REPORT, "WHERE", 0,
	  "exit: on standard error when it ends (default); off; or a file to append to", 0 },
	{ "full", OPT_FULL, "HOW", 0,
	  "where bmem has no room, libc: the C library serves (default); fail: the request fails", 0 },
	{ 0 },
};

/* "64K", "1M", "4096", "1GiB". */
static bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
	if (!unit || (end[1] && strcmp(end + 1, "iB") && strcmp(end + 1, "B")))
		return false;
	return !__builtin_mul_overflow(*size,
				       1ULL << 10 * (unit - units + 1), size);
}

static bool is_one_of(const char *text, const char *const *names)
{
	while (*names)
		if (!strcmp(text, *names++))
			return true;
	return false;
}

static bool label_fits(const char *label)
{
	const unsigned char *at = (const void *)label;

	if (strlen(label) >= BMEM_LABEL_LEN)
		return false;
	for (; *at; at++)
		if (*at < ' ' || *at == 0x7f)
			return false;
	return true;
}

/* An absolute path, since the program may go elsewhere. */
static char *report_path(const char *arg)
{
	char dir[PATH_MAX], *path;
	int fd;

	if (!strcmp(arg, "exit") || !strcmp(arg, "off"))
		return strdup(arg);
	if (*arg == '/')
		path = strdup(arg);
	else if (!getcwd(dir, sizeof(dir)) ||
		 asprintf(&path, "%s/%s", dir, arg) < 0)
		path = NULL;
	if (!path)
		error(EXIT_OURS, errno, "%s", arg);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		error(EXIT_OURS, errno, "report %s", arg);
	close(fd);
	return path;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static const char * const backends[] = { "auto", "dev", "memfd", NULL };
	static const char * const fulls[] = { "libc", "fail", NULL };
	struct wishes *w = state->input;

	switch (key) {
	case 't':
		if (!parse_size(arg, &w->threshold))
			argp_error(state, "no size: %s", arg);
		return 0;
	case 'l':
		if (!label_fits(arg))
			argp_error(state, "a label has at most %d bytes and no control characters",
				   BMEM_LABEL_LEN - 1);
		w->label = arg;
		return 0;
	case 'p':
		w->pool = arg;
		return 0;
	case 'b':
		if (!is_one_of(arg, backends))
			argp_error(state, "no backend: %s (auto, dev, memfd)",
				   arg);
		w->backend = arg;
		return 0;
	case OPT_REPORT:
		free(w->report);
		w->report = report_path(arg);
		return 0;
	case OPT_FULL:
		if (!is_one_of(arg, fulls))
			argp_error(state, "no way to go on: %s (libc, fail)",
				   arg);
		w->full = arg;
		return 0;
	case ARGP_KEY_ARGS:
		w->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no command");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[--] COMMAND [ARGUMENT...]",
	.doc = "Runs COMMAND with its large blocks of memory in bmem."
	       "\vStatus: that of COMMAND; 125 for a mistake in this command line, 126 where COMMAND cannot be run, 127 where there is none.\n"
	       "BMEM_VERBOSE=1 says when bmem becomes active, in each process. See bmem-run(1).",
};

const char *argp_program_version = "bmem-run 0.1.0";

static bool backend_is(const struct wishes *w, const char *name)
{
	const char *backend = w->backend ? w->backend : getenv("BMEM_BACKEND");

	return backend && !strcmp(backend, name);
}

static uint32_t choose_pool(const struct wishes *w)
{
	uint32_t pool = BMEM_POOL_DEFAULT;
	int ret;

	if (!w->pool)
		return pool;
	if (backend_is(w, "memfd"))
		error(EXIT_OURS, 0, "pools are the device's; there are none with --backend memfd");
	ret = pool_find(w->pool, &pool);
	if (ret == -ENOENT && !access("/dev/bmem", F_OK))
		error(EXIT_OURS, 0, "no such pool: %s", w->pool);
	if (ret) {
		device_explain(stderr, ret);
		exit(EXIT_OURS);
	}
	return pool;
}

/* What the program would run into, told before it starts. */
static void check_device(const struct wishes *w, uint32_t pool)
{
	int ret;

	if (backend_is(w, "memfd"))
		return;
	if (backend_is(w, "dev") || w->pool) {
		ret = device_check(pool, w->label);
		if (!ret)
			return;
		if (ret == -ENOENT && w->pool && !access("/dev/bmem", F_OK))
			error(EXIT_OURS, 0, "no such pool: %s", w->pool);
		device_explain(stderr, ret);
		exit(EXIT_OURS);
	}
	if (!access("/dev/bmem", F_OK) && access("/dev/bmem", R_OK | W_OK)) {
		device_explain(stderr, EACCES);
		fprintf(stderr, "bmem-run: until then, memory of the process alone\n");
	}
}

/* Beside this program, or where make install puts it. */
static char *find_library(void)
{
	static const char * const places[] = {
		"%s/" RUN_LIBRARY, "%s/../lib/" RUN_LIBRARY,
		"%s/../lib64/" RUN_LIBRARY,
	};
	char exe[PATH_MAX], *path;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	size_t i;

	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/'))
		*strrchr(exe, '/') = '\0';
	for (i = 0; n > 0 && i < sizeof(places) / sizeof(*places); i++) {
		char real[PATH_MAX];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (asprintf(&path, places[i], exe) < 0)
			break;
#pragma GCC diagnostic pop
		if (realpath(path, real)) {
			free(path);
			return strdup(real);
		}
		free(path);
	}
	/* The dynamic linker may know it. */
	return strdup(RUN_LIBRARY);
}

static void set(const char *name, const char *value)
{
	if (value ? setenv(name, value, 1) : unsetenv(name))
		error(EXIT_OURS, errno, "%s", name);
}

static void set_number(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	set(name, text);
}

static void set_preload(void)
{
	const char *had = getenv("LD_PRELOAD");
	char *library = find_library(), *value;

	if (strpbrk(library, " :"))
		error(EXIT_OURS, 0, "%s: the dynamic linker takes no such name",
		      library);
	if (asprintf(&value, "%s%s%s", library, had && *had ? ":" : "",
		     had ? had : "") < 0)
		error(EXIT_OURS, errno, "LD_PRELOAD");
	set("LD_PRELOAD", value);
}

static void set_environment(const struct wishes *w, uint32_t pool)
{
	set_number(RUN_THRESHOLD, w->threshold);
	set_number(RUN_PID, (uint64_t)getpid());
	set(RUN_TREE, RUN_TREE_NONE);
	set(RUN_LABEL, w->label);
	set(RUN_REPORT, w->report);
	set(RUN_FULL, w->full);
	set(RUN_POOL, NULL);
	if (w->pool)
		set_number(RUN_POOL, pool);
	if (w->backend)
		set("BMEM_BACKEND", w->backend);
	set_preload();
}

int main(int argc, char **argv)
{
	struct wishes w = {
		.threshold = 64 << 10,
		.full = "libc",
	};
	uint32_t pool;
	char *path;
	int err;

	argp_err_exit_status = EXIT_OURS;
	w.report = strdup("exit");
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &w);

	path = program_find(w.command[0]);
	if (path && !program_fits(path))
		return EXIT_CANNOT;
	pool = choose_pool(&w);
	check_device(&w, pool);
	set_environment(&w, pool);
	execvp(w.command[0], w.command);
	err = errno;
	error(0, err, "%s", w.command[0]);
	return err == ENOENT ? EXIT_MISSING : EXIT_CANNOT;
}
