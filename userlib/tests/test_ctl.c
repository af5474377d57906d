// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * bmemctl's parts: text for people, tables, JSON, names of addresses, and what
 * it shows of this process's own tensors on the fallback.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "../src/internal.h"
#undef ARRAY_SIZE
#include "../tools/ctl.h"
#undef ARRAY_SIZE
#include "test.h"

/* ---- text ------------------------------------------------------------------- */

#define TEXT(call, want) do { \
	char *text__ = call; \
	assert_string_equal(text__, want); \
	free(text__); \
} while (0)

static void sizes(void **state)
{
	uint64_t n;

	(void)state;
	TEXT(text_bytes(0, false), "0B");
	TEXT(text_bytes(1023, false), "1023B");
	TEXT(text_bytes(1024, false), "1.0KiB");
	TEXT(text_bytes(1535, false), "1.4KiB");
	TEXT(text_bytes(1048575, false), "1023.9KiB");
	TEXT(text_bytes(1048576, false), "1.0MiB");
	TEXT(text_bytes(13107200, false), "12.5MiB");
	TEXT(text_bytes(UINT64_MAX, false), "15.9EiB");
	TEXT(text_bytes(13107200, true), "13107200");
	TEXT(text_bytes(UINT64_MAX, true), "18446744073709551615");

	EQ(text_to_bytes("0", &n), 0);
	EQ(n, 0);
	EQ(text_to_bytes("17B", &n), 0);
	EQ(n, 17);
	EQ(text_to_bytes("4k", &n), 0);
	EQ(n, 4096);
	EQ(text_to_bytes("3M", &n), 0);
	EQ(n, 3 << 20);
	EQ(text_to_bytes("2GiB", &n), 0);
	EQ(n, 2ULL << 30);
	EQ(text_to_bytes("16777215T", &n), 0);
	EQ(text_to_bytes("16777216T", &n), -ERANGE);
	EQ(text_to_bytes("18446744073709551616", &n), -ERANGE);
	EQ(text_to_bytes("99999999999999999999999999", &n), -ERANGE);
	EQ(text_to_bytes("", &n), -EINVAL);
	EQ(text_to_bytes("M", &n), -EINVAL);
	EQ(text_to_bytes("-1M", &n), -EINVAL);
	EQ(text_to_bytes("1.5M", &n), -EINVAL);
	EQ(text_to_bytes(" 1M", &n), -EINVAL);
	EQ(text_to_bytes("1MB", &n), -EINVAL);
	EQ(text_to_bytes("1M ", &n), -EINVAL);
	EQ(text_to_bytes("0x10", &n), -EINVAL);
}

static void times(void **state)
{
	uint64_t n;

	(void)state;
	TEXT(text_ms(0), "0.0s");
	TEXT(text_ms(59999), "59.9s");
	TEXT(text_ms(60000), "1m00s");
	TEXT(text_ms(3599999), "59m59s");
	TEXT(text_ms(3600000), "1h00m");
	TEXT(text_ms(86399999), "23h59m");
	TEXT(text_ms(273600000), "3d04h");
	EQ(text_to_ms("2", &n), 0);
	EQ(n, 2000);
	EQ(text_to_ms("500ms", &n), 0);
	EQ(n, 500);
	EQ(text_to_ms("3m", &n), 0);
	EQ(n, 180000);
	EQ(text_to_ms("1h", &n), 0);
	EQ(n, 3600000);
	EQ(text_to_ms("1d", &n), 0);
	EQ(n, 86400000);
	EQ(text_to_ms("1w", &n), -EINVAL);
	EQ(text_to_ms("s", &n), -EINVAL);
	EQ(text_to_ms("18446744073709551615d", &n), -ERANGE);
}

static void numbers(void **state)
{
	uint64_t n;

	(void)state;
	EQ(text_to_number("18446744073709551615", UINT64_MAX, &n), 0);
	EQ(n, UINT64_MAX);
	EQ(text_to_number("7", 6, &n), -ERANGE);
	EQ(text_to_number("+7", 9, &n), -EINVAL);
	EQ(text_to_number("7x", 9, &n), -EINVAL);
	EQ(text_to_number("", 9, &n), -EINVAL);
}

static void names_are_harmless(void **state)
{
	static const struct {
		const char *text, *utf8, *ascii;
	} names[] = {
		{ "plain label/1", "plain label/1", "plain label/1" },
		{ "a\033[31mred\033[0m", "a\\x1b[31mred\\x1b[0m", NULL },
		{ "title\033]0;x\a", "title\\x1b]0;x\\x07", NULL },
		{ "line\nbreak\r\t", "line\\x0abreak\\x0d\\x09", NULL },
		{ "del\177", "del\\x7f", NULL },
		/* CSI as one character, and as a byte that is no UTF-8. */
		{ "c1\302\233m", "c1\\xc2\\x9bm", NULL },
		{ "raw\233m", "raw\\x9bm", NULL },
		/* Written from right to left; a space that is none. */
		{ "x\342\200\256y", "x\\xe2\\x80\\xaey", NULL },
		{ "x\342\200\213y", "x\\xe2\\x80\\x8by", NULL },
		{ "na\303\257ve", "na\303\257ve", "na\\xc3\\xafve" },
		{ "\346\240\207", "\346\240\207", "\\xe6\\xa0\\x87" },
		/* Cut, too long, a surrogate, beyond the last. */
		{ "cut\303", "cut\\xc3", NULL },
		{ "\300\257", "\\xc0\\xaf", NULL },
		{ "\355\240\200", "\\xed\\xa0\\x80", NULL },
		{ "\364\220\200\200", "\\xf4\\x90\\x80\\x80", NULL },
	};
	char full[4] = { 'a', 'b', 'c', 'd' };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		TEXT(text_safe(names[i].text, 64, true), names[i].utf8);
		TEXT(text_safe(names[i].text, 64, false),
		     names[i].ascii ? names[i].ascii : names[i].utf8);
	}
	TEXT(text_safe(full, sizeof(full), true), "abcd");
	EQ(text_width("abc", true), 3);
	EQ(text_fit("abc", 2, true), 2);
	EQ(text_fit("abc", 9, false), 3);
	EQ(text_fit("na\303\257ve", 4, false), 4);
	if (setlocale(LC_CTYPE, "C.UTF-8")) {
		EQ(text_width("na\303\257ve", true), 5);
		EQ(text_width("\346\240\207", true), 2);
		EQ(text_fit("na\303\257ve", 2, true), 2);
		EQ(text_fit("na\303\257ve", 3, true), 4);
		EQ(text_fit("na\303\257ve", 9, true), 6);
		/* Half of one is nothing. */
		EQ(text_fit("\346\240\207", 1, true), 0);
		EQ(text_fit("\346\240\207", 2, true), 3);
	}
}

/* ---- tables ------------------------------------------------------------------ */

struct row {
	uint64_t bytes;
	uint32_t id;
	char name[8];
	const char *text;
	uint64_t ms;
	uint64_t handle;
};

static const struct column columns[] = {
	COLUMN(struct row, id, "id", "id", KIND_ID),
	COLUMN(struct row, bytes, "bytes", "size", KIND_BYTES),
	COLUMN(struct row, ms, "age_ms", "age", KIND_MS),
	COLUMN(struct row, handle, "handle", NULL, KIND_HEX),
	COLUMN(struct row, name, "name", "name", KIND_CHARS),
	COLUMN(struct row, text, "text", "text", KIND_TEXT),
	{ 0 },
};

static struct table make_table(void)
{
	static const struct row rows[] = {
		{ 2048, 3, "beta", "x", 1000, 1ULL << 63 },
		{ 5, 1, "", NULL, 61000, 1 },
		{ 2048, 2, "12345678", "a\033b", 0, 2 },
		{ 1 << 20, 10, "alpha", "\233", 500, 3 },
	};
	struct table t = {
		.name = "things", .columns = columns, .sort = "size",
		.row_size = sizeof(struct row),
	};
	size_t i;

	for (i = 0; i < 4; i++)
		*(struct row *)table_add(&t) = rows[i];
	return t;
}

static void expect_order(const char *by, bool reverse, const char *want)
{
	struct table t = make_table();
	char ids[64] = "";
	size_t i;

	EQ(table_sort(&t, by, reverse), 0);
	for (i = 0; i < t.nr; i++)
		sprintf(ids + strlen(ids), "%u ", ((struct row *)t.rows)[i].id);
	assert_string_equal(ids, want);
	table_free(&t);
}

/* Figures go down, names go up, and what is equal stays as it was. */
static void sorting(void **state)
{
	struct table t = make_table();
	char *names;

	(void)state;
	expect_order(NULL, false, "10 3 2 1 ");
	expect_order("bytes", false, "10 3 2 1 ");
	expect_order("size", true, "1 3 2 10 ");
	expect_order("id", false, "1 2 3 10 ");
	expect_order("id", true, "10 3 2 1 ");
	expect_order("name", false, "1 2 10 3 ");
	expect_order("text", true, "10 3 2 1 ");
	expect_order("age", false, "1 3 10 2 ");
	expect_order("handle", false, "3 10 2 1 ");
	EQ(table_sort(&t, "nothing", false), -ENOENT);
	names = table_names(&t);
	assert_string_equal(names, "id size age handle name text");
	free(names);
	table_free(&t);
}

static char *printed(const struct options *o)
{
	struct ctl ctl = { .o = o };
	struct table t = make_table();
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	EQ(table_sort(&t, "id", false), 0);
	table_print(&ctl, &t, f);
	fclose(f);
	table_free(&t);
	return text;
}

static void table_for_people(void **state)
{
	struct options o = { .limit = 0 };

	(void)state;
	setlocale(LC_CTYPE, "C");
	TEXT(printed(&o),
	     "id    size    age  name      text\n"
	     " 1      5B  1m01s  -         -\n"
	     " 2  2.0KiB   0.0s  12345678  a\\x1bb\n"
	     " 3  2.0KiB   1.0s  beta      x\n"
	     "10  1.0MiB   0.5s  alpha     \\x9b\n");
	o.bytes = true;
	o.plain = true;
	o.limit = 2;
	TEXT(printed(&o),
	     "1     5  1m01s  -         -\n"
	     "2  2048   0.0s  12345678  a\\x1bb\n");
}

static void table_for_programs(void **state)
{
	struct options o = { .limit = 3 };
	struct ctl ctl = { .o = &o };
	struct table t = make_table();
	json_t *array, *row;
	char *text = NULL;
	size_t len, i;
	FILE *f;

	(void)state;
	EQ(table_sort(&t, "id", true), 0);
	array = table_json(&ctl, &t);
	EQ(json_array_size(array), 3);
	row = json_array_get(array, 1);
	EQ(json_integer_value(json_object_get(row, "bytes")), 2048);
	assert_true(json_is_integer(json_object_get(row, "age_ms")));
	assert_string_equal(json_string_value(json_object_get(row, "handle")),
			    "0x8000000000000000");
	/* What is no UTF-8 is told, not dropped. */
	row = json_array_get(array, 0);
	assert_string_equal(json_string_value(json_object_get(row, "text")),
			    "\\x9b");
	row = json_array_get(array, 2);
	assert_string_equal(json_string_value(json_object_get(row, "name")),
			    "12345678");
	f = open_memstream(&text, &len);
	EQ(json_print(&o, array, f), 0);
	fclose(f);
	for (i = 0; i < len; i++)
		assert_true(text[i] == '\n' || (text[i] >= ' ' && text[i] < 127));
	assert_non_null(strstr(text, "a\\u001Bb"));
	free(text);
	table_free(&t);
}

/* ---- names of addresses --------------------------------------------------------- */

static char here[4096];

static char *beside(const char *name)
{
	ssize_t n;

	if (!here[0]) {
		n = readlink("/proc/self/exe", here, sizeof(here) - 1);
		assert_true(n > 0);
		here[n] = 0;
		*strrchr(here, '/') = 0;
	}
	return text_format("%s/%s", here, name);
}

struct truth {
	unsigned long address;
	int line;
	struct program program;
};

/* Runs a command that has to succeed, and frees it. */
static void shell(char *command)
{
	EQ(system(command), 0);
	free(command);
}

/* What a program says of itself. */
static void ask(const char *name, const char *path, struct truth *t)
{
	char *command = beside(name), id[128] = "";
	unsigned int byte;
	size_t i;
	FILE *f = popen(command, "re");

	memset(t, 0, sizeof(*t));
	assert_non_null(f);
	EQ(fscanf(f, "%lx %d %127s", &t->address, &t->line, id), 3);
	EQ(pclose(f), 0);
	for (i = 0; sscanf(id + 2 * i, "%2x", &byte) == 1; i++)
		t->program.build_id[t->program.build_id_len++] = (uint8_t)byte;
	snprintf(t->program.path, sizeof(t->program.path), "%s", path);
	free(command);
}

/* Paths in the ABI are short, and build directories may not be. */
static char *short_path(const char *name)
{
	char *to = text_format("/tmp/ctl.%d.%s", getpid(), name);
	char *from = beside(name);

	unlink(to);
	EQ(symlink(from, to), 0);
	free(from);
	return to;
}

static void end_path(char *path)
{
	unlink(path);
	free(path);
}

static void with_debug_information(void **state)
{
	struct symbols *s = symbols_open(NULL);
	struct spot spots[INLINED_MAX];
	char *path = short_path("victim"), *want;
	struct truth t;

	(void)state;
	ask("victim", path, &t);
	EQ(t.program.build_id_len, 20);
	EQ(symbols_find(s, &t.program, t.address, spots), 2);
	assert_string_equal(spots[0].function, "victim_inner");
	assert_string_equal(strrchr(spots[0].file, '/'), "/victim.c");
	EQ(spots[0].line, t.line);
	assert_string_equal(spots[1].function, "victim_outer");
	want = text_format("victim_inner (victim.c:%d)", t.line);
	TEXT(symbols_text(s, &t.program, t.address, false), want);
	free(want);
	want = text_format("victim_inner (victim.c:%d), inlined into victim_outer (victim.c:%d)",
			   t.line, t.line + 6);
	TEXT(symbols_text(s, &t.program, t.address, true), want);
	free(want);
	/* An address outside of it. */
	EQ(symbols_find(s, &t.program, 1ULL << 40, spots), 0);
	EQ(symbols_find(s, &t.program, 0, spots), 0);
	symbols_close(s);
	end_path(path);
}

static void with_symbols_only(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	struct spot spots[INLINED_MAX];
	char *path = short_path("victim.symbols"), *text;
	struct truth t;

	(void)state;
	ask("victim.symbols", path, &t);
	EQ(symbols_find(s, &t.program, t.address, spots), 1);
	assert_string_equal(spots[0].function, "victim_outer");
	assert_null(spots[0].file);
	assert_true(spots[0].delta > 0 && spots[0].delta < 100);
	text = symbols_text(s, &t.program, t.address, true);
	assert_non_null(strstr(text, "victim_outer+0x"));
	assert_non_null(strstr(text, ".victim.symbols)"));
	free(text);
	symbols_close(s);
	end_path(path);
}

static void stripped(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	char *path = short_path("victim.stripped"), *want;
	struct truth t;

	(void)state;
	ask("victim.stripped", path, &t);
	want = text_format("ctl.%d.victim.stripped+%#lx", getpid(), t.address);
	TEXT(symbols_text(s, &t.program, t.address, true), want);
	TEXT(symbols_text(NULL, &t.program, t.address, true), want);
	free(want);
	memset(&t.program, 0, sizeof(t.program));
	TEXT(symbols_text(s, &t.program, 0x1234, true), "0x1234");
	symbols_close(s);
	end_path(path);
}

/* Its debug information is a file by build id; the program may be gone. */
static void debug_file_by_build_id(void **state)
{
	char *debug = text_format("/tmp/ctl.%d.debug", getpid()), *at, *from,
	     *want;
	static const char *const paths[] = { "here", "/nonexistent/program" };
	struct truth t;
	struct symbols *s;
	size_t i;

	(void)state;
	ask("victim.stripped", "x", &t);
	at = text_format("%s/.build-id/%02x", debug, t.program.build_id[0]);
	shell(text_format("mkdir -p %s", at));
	free(at);
	at = text_format("%s/.build-id/%02x/", debug, t.program.build_id[0]);
	for (i = 1; i < t.program.build_id_len; i++) {
		want = text_format("%s%02x", at, t.program.build_id[i]);
		free(at);
		at = want;
	}
	want = text_format("%s.debug", at);
	from = beside("victim.debug");
	EQ(symlink(from, want), 0);
	free(from);
	free(want);
	free(at);

	want = text_format("victim_inner (victim.c:%d)", t.line);
	for (i = 0; i < 2; i++) {
		char *path = i ? NULL : short_path("victim.stripped");

		snprintf(t.program.path, sizeof(t.program.path), "%s",
			 i ? paths[i] : path);
		s = symbols_open(debug);
		TEXT(symbols_text(s, &t.program, t.address, false), want);
		symbols_close(s);
		if (path)
			end_path(path);
	}
	free(want);
	shell(text_format("rm -rf %s", debug));
	free(debug);
}

/* A file that was built anew since would give wrong names. */
static void another_build(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	char *path = short_path("victim"), *text;
	struct truth t;

	(void)state;
	ask("victim", path, &t);
	t.program.build_id[3] ^= 1;
	text = symbols_text(s, &t.program, t.address, false);
	assert_null(strstr(text, "victim_"));
	free(text);
	/* Without a build id there is nothing to compare. */
	t.program.build_id_len = 0;
	memset(t.program.build_id, 0, sizeof(t.program.build_id));
	text = symbols_text(s, &t.program, t.address, false);
	assert_non_null(strstr(text, "victim_inner"));
	free(text);
	symbols_close(s);
	end_path(path);
}

/* Opening a FIFO would wait for ever, and a device may do anything. */
static void no_regular_file(void **state)
{
	static const char *const others[] = { "/dev/zero", "/tmp", "relative" };
	struct symbols *s = symbols_open("/nonexistent");
	struct program p = { .build_id_len = 0 };
	struct spot spots[INLINED_MAX];
	char *fifo = text_format("/tmp/ctl.%d.fifo", getpid());
	char *junk = text_format("/tmp/ctl.%d.junk", getpid());
	FILE *f;
	size_t i;

	(void)state;
	EQ(mkfifo(fifo, 0600), 0);
	snprintf(p.path, sizeof(p.path), "%s", fifo);
	EQ(symbols_find(s, &p, 0x1000, spots), 0);
	for (i = 0; i < 3; i++) {
		snprintf(p.path, sizeof(p.path), "%s", others[i]);
		EQ(symbols_find(s, &p, 0x1000, spots), 0);
	}
	f = fopen(junk, "w");
	fputs("\177ELF and then nothing that makes sense", f);
	fclose(f);
	snprintf(p.path, sizeof(p.path), "%s", junk);
	EQ(symbols_find(s, &p, 0x1000, spots), 0);
	symbols_close(s);
	end_path(fifo);
	end_path(junk);
}

/* Whoever can write a program file can put a FIFO where it says that its debug
 * information is.
 */
static void debug_link_to_fifo(void **state)
{
	char *dir = text_format("/tmp/ctl.%d.link", getpid());
	char *from = beside("victim.stripped"), *want;
	struct symbols *s = symbols_open("/nonexistent");
	struct truth t;

	(void)state;
	ask("victim.stripped", "x", &t);
	shell(text_format("mkdir %s && cd %s && touch fifo && objcopy --add-gnu-debuglink=fifo '%s' program && rm fifo && mkfifo fifo",
			      dir, dir, from));
	snprintf(t.program.path, sizeof(t.program.path), "%s/program", dir);
	want = text_format("program+%#lx", t.address);
	alarm(60);
	TEXT(symbols_text(s, &t.program, t.address, false), want);
	alarm(0);
	free(want);
	symbols_close(s);
	shell(text_format("rm -r %s", dir));
	free(from);
	free(dir);
}

/* ---- who reads program files ---------------------------------------------- */

static pid_t only_child(void)
{
	char *path = text_format("/proc/self/task/%d/children", getpid());
	FILE *f = fopen(path, "re");
	int pid = 0, more;

	assert_non_null(f);
	EQ(fscanf(f, "%d %d", &pid, &more), 1);
	fclose(f);
	free(path);
	return pid;
}

static char *status_of(pid_t pid, const char *key)
{
	char *path = text_format("/proc/%d/status", pid), line[256];
	FILE *f = fopen(path, "re");
	char *value = NULL;

	assert_non_null(f);
	while (!value && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = text_format("%s", line + strlen(key));
	fclose(f);
	free(path);
	assert_non_null(value);
	value[strcspn(value, "\n")] = 0;
	return value;
}

static int oom_score_adj(pid_t pid)
{
	char *path = text_format("/proc/%d/oom_score_adj", pid);
	FILE *f = fopen(path, "re");
	int adj = 0;

	assert_non_null(f);
	EQ(fscanf(f, "%d", &adj), 1);
	fclose(f);
	free(path);
	return adj;
}

static void reader_has_no_rights(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	char *path = short_path("victim.stripped"), link[64], to[PATH_MAX];
	struct spot spots[INLINED_MAX];
	struct truth t;
	ssize_t n;
	pid_t pid;
	int fd;

	(void)state;
	ask("victim.stripped", path, &t);
	EQ(symbols_find(s, &t.program, t.address, spots), 0);
	pid = only_child();
	TEXT(status_of(pid, "NoNewPrivs:"), "\t1");
	TEXT(status_of(pid, "CapEff:"), "\t0000000000000000");
	TEXT(status_of(pid, "CapPrm:"), "\t0000000000000000");
	EQ(oom_score_adj(pid), 1000);
	if (!geteuid()) {
		TEXT(status_of(pid, "Uid:"), "\t65534\t65534\t65534\t65534");
		TEXT(status_of(pid, "Gid:"), "\t65534\t65534\t65534\t65534");
		TEXT(status_of(pid, "Groups:"), "\t ");
	}
	/* Who asks, and the file, unless libdw has it in memory. */
	for (fd = 0; fd < 64; fd++) {
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, fd);
		n = readlink(link, to, sizeof(to) - 1);
		to[n < 0 ? 0 : n] = 0;
		EQ(!strncmp(to, "socket:", 7), !fd);
		if (fd && n >= 0)
			assert_non_null(strstr(to, "/victim.stripped"));
	}
	symbols_close(s);
	EQ(waitpid(-1, NULL, WNOHANG), -1);
	end_path(path);
}

/* What nobody else may read is read all the same where its owner asks. */
static void private_directory(void **state)
{
	char *dir = text_format("/tmp/ctl.%d.private", getpid());
	char *from = beside("victim"), *want;
	struct symbols *s = symbols_open("/nonexistent");
	struct truth t;

	(void)state;
	ask("victim", "x", &t);
	shell(text_format("mkdir -m 700 %s && cp '%s' %s/victim", dir, from,
			      dir));
	snprintf(t.program.path, sizeof(t.program.path), "%s/victim", dir);
	want = text_format("victim_inner (victim.c:%d)", t.line);
	TEXT(symbols_text(s, &t.program, t.address, false), want);
	free(want);
	symbols_close(s);
	shell(text_format("rm -r %s", dir));
	free(from);
	free(dir);
}

/* A file that makes libdw fail costs its own names, and no others'. */
static void reader_that_dies(void **state)
{
	char *bad = short_path("victim"), *good = short_path("victim_cxx");
	struct symbols *s = symbols_open("/nonexistent");
	struct spot spots[INLINED_MAX];
	struct truth t, u;

	(void)state;
	ask("victim", bad, &t);
	EQ(symbols_find(s, &t.program, t.address, spots), 2);
	EQ(kill(only_child(), SIGKILL), 0);
	EQ(symbols_find(s, &t.program, t.address + 1, spots), 0);
	EQ(symbols_find(s, &t.program, t.address + 2, spots), 0);
	/* What is known stays known. */
	EQ(symbols_find(s, &t.program, t.address, spots), 2);
	assert_string_equal(spots[0].function, "victim_inner");
	ask("victim_cxx", good, &u);
	assert_int_not_equal(symbols_find(s, &u.program, u.address, spots), 0);
	symbols_close(s);
	end_path(good);
	end_path(bad);
}

/* What another process says of a build id changes nothing for this one. */
static void programs_of_others(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	char *path = short_path("victim"), *other = short_path("victim_cxx");
	struct spot spots[INLINED_MAX];
	struct program liar;
	struct truth t;

	(void)state;
	ask("victim", path, &t);
	liar = t.program;
	liar.pid = 1;
	strcpy(liar.path, "/nonexistent/victim");
	EQ(symbols_find(s, &liar, t.address, spots), 0);
	strcpy(liar.path, other);
	EQ(symbols_find(s, &liar, t.address, spots), 0);
	EQ(symbols_find(s, &t.program, t.address, spots), 2);
	/* A file that two of them have is read by one process. */
	t.program.pid = (uint32_t)getpid();
	EQ(symbols_find(s, &t.program, t.address, spots), 2);
	IS(only_child() > 0);
	symbols_close(s);
	end_path(path);
	end_path(other);
}

/* What a file could make of the process that reads it. */
enum lie {
	TRUTH, NO_GREETING, LONG_GREETING, NO_ANSWER, MANY_SPOTS, MANY_BYTES,
	FEW_BYTES, LONG_NAME, NO_END, HONEST, LIES, NAMELESS,
};

static enum lie lie;

__attribute__((noreturn))
void __real_debuginfo_serve(const struct debuginfo_job *job);
__attribute__((noreturn))
void __wrap_debuginfo_serve(const struct debuginfo_job *job);

static void tell(const struct debuginfo_job *job, const void *data, size_t bytes)
{
	if (send(job->channel, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		_exit(1);
}

static void answer(const struct debuginfo_job *job)
{
	static struct debuginfo_answer a = {
		.nr = 2, .bytes = 8, .text = "abc\0def",
		.spots = { { .function = 4, .line = 7 }, { .file = 4 } },
	};
	size_t bytes = offsetof(struct debuginfo_answer, text) + a.bytes;

	switch (lie) {
	case NO_ANSWER:
		bytes = 3;
		break;
	case MANY_SPOTS:
		a.nr = INLINED_MAX + 1;
		break;
	case MANY_BYTES:
		a.bytes = sizeof(a.text) + 1;
		bytes = sizeof(a);
		break;
	case FEW_BYTES:
		a.bytes = 7;
		break;
	case LONG_NAME:
		a.spots[1].file = ~0U;
		break;
	case NO_END:
		a.spots[0].function = 3;
		break;
	case NAMELESS:
		a.spots[0].file = 4;
		a.spots[0].function = 0;
		break;
	default:
		break;
	}
	tell(job, &a, bytes);
}

void __wrap_debuginfo_serve(const struct debuginfo_job *job)
{
	struct { struct debuginfo_greeting hello; char more[8]; } hello = {
		.hello.gap = 5,
	};
	uint64_t address;

	if (lie == TRUTH)
		__real_debuginfo_serve(job);
	/* It has the other end as well. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (lie == NO_GREETING)
		_exit(0);
	tell(job, &hello, lie == LONG_GREETING ? sizeof(hello) :
						     sizeof(hello.hello));
	while (recv(job->channel, &address, sizeof(address), 0) > 0)
		answer(job);
	_exit(0);
}

static void reader_that_lies(void **state)
{
	char *path = short_path("victim");
	struct spot spots[INLINED_MAX];
	struct symbols *s;
	struct truth t;

	(void)state;
	ask("victim", path, &t);
	for (lie = NO_GREETING; lie < LIES; lie++) {
		s = symbols_open("/nonexistent");
		EQ(symbols_find(s, &t.program, t.address, spots),
		   lie == HONEST ? 2 : 0);
		if (lie == HONEST) {
			assert_string_equal(spots[0].function, "abc");
			EQ(spots[0].line, 7);
			assert_null(spots[0].file);
			assert_null(spots[1].function);
			assert_string_equal(spots[1].file, "def");
			EQ(symbols_gap(s, &t.program), 5);
		}
		symbols_close(s);
	}
	lie = NAMELESS;
	s = symbols_open("/nonexistent");
	TEXT(symbols_text(s, &t.program, t.address, false), "? (abc:7)");
	symbols_close(s);
	lie = TRUTH;
	end_path(path);
}

static void cxx_names(void **state)
{
	struct symbols *s = symbols_open("/nonexistent");
	char *path = short_path("victim_cxx"), *text;
	struct truth t;

	(void)state;
	ask("victim_cxx", path, &t);
	t.program.build_id_len = 0;
	text = symbols_text(s, &t.program, t.address, false);
	if (!strstr(text, "victims::layer<unsigned long>::backward(unsigned long*)"))
		fail_msg("%s", text);
	free(text);
	symbols_close(s);
	end_path(path);
}

/* ---- what is shown of this process ------------------------------------------------- */

static struct bmem_client *c;
static struct options o;
static struct ctl ctl;

static int set_up(void **state)
{
	struct bmem_options how = {
		.sz = sizeof(how), .backend = BMEM_BACKEND_MEMFD,
		.label = "under \033test",
	};
	struct bmem_query q = { .size = sizeof(q) };

	test_note_name(state);
	how.label = "under test";
	if (bmem_open(&c, &how) || bmem_query(c, &q))
		return -1;
	o = (struct options){ .json = true, .symbols = true };
	ctl = (struct ctl){
		.o = &o, .c = c, .self = q.client_id, .backend = "memfd",
		.symbols = symbols_open(NULL),
	};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	symbols_close(ctl.symbols);
	bmem_close(c);
	return 0;
}

static int saved = -1;
static FILE *caught;

/* All that @run prints. */
static char *output(int (*run)(struct ctl *ctl), int want)
{
	char *text = must(calloc(1, 1 << 20));
	int ret;

	fflush(stdout);
	saved = dup(1);
	caught = tmpfile();
	dup2(fileno(caught), 1);
	ret = run(&ctl);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	rewind(caught);
	fread(text, 1, (1 << 20) - 1, caught);
	fclose(caught);
	EQ(ret, want);
	return text;
}

static json_t *shown(int (*run)(struct ctl *ctl), const char *key)
{
	char *text = output(run, STATUS_OK);
	json_error_t err;
	json_t *all = json_loads(text, 0, &err), *rows;

	if (!all)
		fail_msg("%s at line %d of %s", err.text, err.line, text);
	EQ(json_integer_value(json_object_get(all, "bmemctl")), 1);
	rows = json_incref(json_object_get(all, key));
	assert_true(json_is_array(rows));
	json_decref(all);
	free(text);
	return rows;
}

static json_int_t value(json_t *rows, size_t at, const char *key)
{
	json_t *v = json_object_get(json_array_get(rows, at), key);

	if (!json_is_integer(v))
		fail_msg("no number %s in row %zu", key, at);
	return json_integer_value(v);
}

static const char *word(json_t *rows, size_t at, const char *key)
{
	json_t *v = json_object_get(json_array_get(rows, at), key);

	if (!json_is_string(v))
		fail_msg("no text %s in row %zu", key, at);
	return json_string_value(v);
}

__attribute__((noinline)) static void *test_ctl_allocates(size_t size)
{
	void *p = bmem_alloc(c, size, 0, 0, "from here");

	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline)) static void *test_ctl_loses(size_t size,
							const char *label)
{
	void *p = bmem_alloc(c, size, 0, 0, label);

	__asm__ volatile("" ::: "memory");
	return p;
}

static void own_tensors(void **state)
{
	static const size_t bytes[] = { 5000, 3000000, 70000 };
	struct bmem_client_stats st = { .size = sizeof(st) };
	void *p[3];
	json_int_t tensors = 0, live = 0;
	json_t *rows;
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		p[i] = test_ctl_allocates(bytes[i]);
		assert_non_null(p[i]);
	}
	EQ(bmem_stats(c, &st), 0);

	rows = shown(show_clients, "clients");
	EQ(json_array_size(rows), 1);
	EQ(value(rows, 0, "client"), ctl.self);
	EQ(value(rows, 0, "pid"), getpid());
	EQ(value(rows, 0, "uid"), geteuid());
	EQ(value(rows, 0, "live_tensors"), 3);
	EQ(value(rows, 0, "live_bytes"), 3075000);
	EQ(value(rows, 0, "attached_bytes"), st.attached_bytes);
	assert_string_equal(word(rows, 0, "label"), "under test");
	json_decref(rows);

	rows = shown(show_tensors, "tensors");
	EQ(json_array_size(rows), 3);
	EQ(value(rows, 0, "bytes"), 3000000);
	EQ(value(rows, 1, "bytes"), 70000);
	EQ(value(rows, 2, "bytes"), 5000);
	assert_true(!strncmp(word(rows, 0, "label"), "from here @", 11));
	json_decref(rows);
	o.min_bytes = 70000;
	o.reverse = true;
	o.sort = "size";
	rows = shown(show_tensors, "tensors");
	EQ(json_array_size(rows), 2);
	EQ(value(rows, 0, "bytes"), 70000);
	json_decref(rows);
	o.min_bytes = 0;
	o.sort = NULL;
	o.reverse = false;

	/* All three from one place, which has a name, some with more frames. */
	rows = shown(show_sites, "sites");
	for (i = 0; i < json_array_size(rows); i++) {
		tensors += value(rows, i, "live_tensors");
		live += value(rows, i, "live_bytes");
		if (!strstr(word(rows, i, "where"), "test_ctl_allocates (test_ctl.c:"))
			fail_msg("where: %s", word(rows, i, "where"));
	}
	EQ(tensors, 3);
	EQ(live, 3075000);
	json_decref(rows);

	o.json = false;
	o.stacks = true;
	text = output(show_sites, STATUS_OK);
	assert_non_null(strstr(text, "\n      #0 test_ctl_allocates (test_ctl.c:"));
	free(text);
	text = output(show_tensors, STATUS_OK);
	assert_non_null(strstr(text, "  2.8MiB  "));
	free(text);
	for (i = 0; i < 3; i++)
		EQ(bmem_free(c, p[i]), 0);
}

static void own_status(void **state)
{
	void *p = test_ctl_allocates(1 << 20);
	json_t *rows;

	(void)state;
	rows = shown(show_status, "status");
	EQ(json_array_size(rows), 1);
	EQ(value(rows, 0, "clients"), 1);
	EQ(value(rows, 0, "pools"), 1);
	EQ(value(rows, 0, "live_bytes"), 1 << 20);
	EQ(value(rows, 0, "tombstones"), 0);
	assert_string_equal(word(rows, 0, "scope"), "this process");
	json_decref(rows);
	rows = shown(show_pools, "pools");
	EQ(json_array_size(rows), 1);
	EQ(value(rows, 0, "clients"), 0);
	assert_true(value(rows, 0, "attached_bytes") >= 1 << 20);
	json_decref(rows);
	EQ(bmem_free(c, p), 0);
}

static void nobody_there(void **state)
{
	(void)state;
	o.client = ctl.self + 1;
	free(output(show_clients, STATUS_NOT_FOUND));
	free(output(show_tensors, STATUS_NOT_FOUND));
	free(output(show_sites, STATUS_NOT_FOUND));
	free(output(show_tombstones, STATUS_FAILED));
}

/* ---- the device -------------------------------------------------------------------- */

static void advice_names_what_to_do(void **state)
{
	char why[512], *node = text_format("/tmp/ctl.%d.node", getpid());
	struct stat st;
	int fd;

	(void)state;
	device_say(-ENOENT, node, why, sizeof(why));
	assert_non_null(strstr(why, "modprobe bmem"));
	fd = open(node, O_CREAT | O_RDWR, 0660);
	assert_true(fd >= 0);
	EQ(fchmod(fd, 0660), 0);
	device_say(-EACCES, node, why, sizeof(why));
	assert_non_null(strstr(why, "group "));
	assert_non_null(strstr(why, "mode 0660"));
	EQ(fstat(fd, &st), 0);
	if (!st.st_gid)
		assert_non_null(strstr(why, "chgrp"));
	else
		assert_non_null(strstr(why, "usermod -aG"));
	if (!geteuid()) {
		EQ(fchown(fd, 0, 12345), 0);
		device_say(-EACCES, node, why, sizeof(why));
		assert_non_null(strstr(why, "usermod -aG 12345 "));
	}
	device_say(-EIO, node, why, sizeof(why));
	assert_non_null(strstr(why, strerror(EIO)));
	close(fd);
	end_path(node);
}

#define SHOW_TEST(f)	{ #f, f, set_up, tear_down, (void *)#f }

/* ---- what leaking stacks have in common ----------------------------------------- */

/* A stack as a word, outermost frame first; one that leaks has its bytes. */
struct word {
	const char *frames;
	uint64_t bytes;
	uint64_t client;
};

#define WORDS	8

/*
 * "bytes frames" of each bundle, the frame that names it being the last; with an
 * asterisk where others have the same ones.
 */
static void expect_bundles(const struct word *words, const char *want)
{
	struct bmem_frame frames[WORDS][8];
	struct path paths[WORDS];
	struct bundle *b;
	char got[256] = "";
	const struct path *p;
	size_t i, k, nr, len;

	for (i = 0; i < WORDS && words[i].frames; i++) {
		len = strlen(words[i].frames);
		for (k = 0; k < len; k++)
			frames[i][len - 1 - k] = (struct bmem_frame) {
				.module = 1,
				.offset = (uint64_t)words[i].frames[k],
			};
		paths[i] = (struct path) {
			.client = words[i].client, .frames = frames[i],
			.nr = (uint32_t)len, .leaks = words[i].bytes,
			.bytes = words[i].bytes, .tensors = 1,
		};
	}
	nr = paths_bundle(paths, i, &b);
	for (i = 0; i < nr; i++) {
		sprintf(got + strlen(got), "%llu ",
			(unsigned long long)b[i].bytes);
		p = b[i].path;
		EQ(b[i].tensors, b[i].nr);
		for (k = 0; k < b[i].depth; k++)
			sprintf(got + strlen(got), "%c",
				(char)p->frames[p->nr - 1 - k].offset);
		strcat(got, b[i].parted ? " " : "* ");
	}
	free(b);
	STR(got, want);
}

/* Frames have letters: main, train, eval, forward, alloc. */
static void bundles(void **state)
{
	(void)state;
	expect_bundles((struct word[WORDS]) { { 0 } }, "");
	expect_bundles((struct word[WORDS]) { { "mtfa", 0, 1 } }, "");
	/* All leak: what they have in common. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mtfb", 7, 1 } }, "12 mtf* ");
	/* The same functions, of which one way leads to a leak. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mtga", 7, 1 }, { "mefa", 0, 1 },
		{ "mega", 0, 1 } }, "12 mt ");
	/* The same function at the end, called in two ways. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mtfa", 7, 1 }, { "mefa", 0, 1 } },
		"12 mt ");
	/* As deep as they go together. */
	expect_bundles((struct word[WORDS]) {
		{ "mtxfa", 5, 1 }, { "mtxga", 7, 1 }, { "mefa", 0, 1 } },
		"12 mtx ");
	/* Two ways, the larger first. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mefa", 0, 1 }, { "mdfa", 90, 1 } },
		"90 md 5 mt ");
	/* One that leaks and one that does not have the same stack. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mtfa", 0, 1 } }, "5 mtfa* ");
	/* One ends where others go on. */
	expect_bundles((struct word[WORDS]) {
		{ "mt", 5, 1 }, { "mtfa", 0, 1 }, { "mtgb", 3, 1 } },
		"5 mt* 3 mtgb ");
	/* Recursion. */
	expect_bundles((struct word[WORDS]) {
		{ "mrrra", 5, 1 }, { "mrra", 0, 1 }, { "mrrrra", 2, 1 } },
		"7 mrrr ");
	/* The same numbers in another client are other frames. */
	expect_bundles((struct word[WORDS]) {
		{ "mtfa", 5, 1 }, { "mtfa", 0, 2 }, { "mtfa", 7, 3 } },
		"7 mtfa* 5 mtfa* ");
	/* Without a stack there is nothing to have in common. */
	expect_bundles((struct word[WORDS]) {
		{ "", 5, 1 }, { "", 6, 1 }, { "ma", 0, 1 } }, "6 * 5 * ");
}

static void folded_names(void **state)
{
	(void)state;
	TEXT(folded_name("a;b (c.c:3)", 64), "a:b (c.c:3)");
	TEXT(folded_name("", 64), "?");
	TEXT(folded_name("x\ny", 64), "x\\x0ay");
	TEXT(folded_name("abcdef", 3), "abc");
}

/* ---- findings ------------------------------------------------------------------- */

#define LOST_SITES	500
#define LOST_TENSORS	200
#define LOST_BYTES	64

static struct table found;

/* As the module would tell of it, had all of it leaked. */
static void find_all(struct table *t)
{
	struct table sites = *view_named("sites");
	struct client who = {
		.who = { .client_id = ctl.self, .pid = (uint32_t)getpid() },
	};
	const struct site *s;
	struct leak *l;
	size_t i;

	*t = *view_named("leaks");
	EQ(fetch_sites(&ctl, &who, &sites), 0);
	for (s = sites.rows, i = 0; i < sites.nr; i++, s++) {
		if (!s->row.live_tensors)
			continue;
		l = table_add(t);
		l->kind = "unreachable";
		l->state = "confirmed";
		l->stack = s->stack;
		l->row = (struct bmem_leak_row) {
			.client_id = ctl.self, .pid = who.who.pid,
			.state = BMEM_LEAK_CONFIRMED, .site = s->row.site,
			.tensors = LOST_TENSORS,
			.bytes = LOST_TENSORS * s->row.live_bytes,
			.confirmed_tensors = LOST_TENSORS,
			.confirmed_bytes = LOST_TENSORS * s->row.live_bytes,
		};
		memcpy(l->row.label, s->row.label, sizeof(l->row.label));
	}
	table_free(&sites);
}

static int print_found(struct ctl *run)
{
	struct leak_sums sums = { .confirmed = 0 };

	return leaks_print(run, &found, &sums);
}

static uint64_t cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* What one report takes, names of functions included, is under a tenth of a second. */
static char *reported(const char *what)
{
	uint64_t begun = cpu_us(), took;
	char *text = output(print_found, STATUS_OK);

	took = cpu_us() - begun;
	print_message("%s of %d sites: %llu us\n", what, LOST_SITES,
		      (unsigned long long)took);
	assert_true(took < 100000 || getenv("BMEM_TEST_SAN"));
	return text;
}

static void expect_people(void)
{
	size_t rows = 0;
	char *text, *at;

	text = reported("for people");
	for (at = text; (at = strstr(at, " unreachable ")); at++)
		rows++;
	EQ(rows, 50);
	assert_non_null(strstr(text, "\n450 more findings of 5.4MiB are not shown: --limit 500\n"));
	assert_non_null(strstr(text, "test_ctl_loses (test_ctl.c:"));
	assert_non_null(strstr(text, "\nconfirmed: 500 findings, 6.1MiB; "));
	free(text);
}

/* As flame graph tools take a line apart: at its last blank, and semicolons. */
static void expect_folded(void)
{
	char *text = reported("folded"), *line, *save = NULL, *blank, *end;
	unsigned long long sum = 0;
	size_t lines = 0;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save), lines++) {
		blank = strrchr(line, ' ');
		assert_non_null(blank);
		sum += strtoull(blank + 1, &end, 10);
		assert_true(end > blank + 1 && !*end);
		*blank = 0;
		assert_true(!strncmp(line, "pid ", 4));
		assert_non_null(strstr(line, ";test_ctl_loses"));
		assert_null(strstr(line, ";;"));
	}
	EQ(lines, LOST_SITES);
	EQ(sum, LOST_SITES * LOST_TENSORS * LOST_BYTES);
	free(text);
}

/* One site for each label: 100000 tensors of 500 sites leak. */
static void many_findings(void **state)
{
	static void *lost[LOST_SITES];
	char label[32];
	size_t i;

	(void)state;
	o.json = false;
	for (i = 0; i < LOST_SITES; i++) {
		snprintf(label, sizeof(label), "site-%zu", i);
		lost[i] = test_ctl_loses(LOST_BYTES, label);
		assert_non_null(lost[i]);
	}
	find_all(&found);
	EQ(found.nr, LOST_SITES);
	expect_people();
	o.folded = true;
	expect_folded();
	o.folded = false;
	o.pprof = true;
	free(reported("pprof"));
	o.pprof = false;
	o.json = true;
	free(reported("JSON"));
	table_free(&found);
	for (i = 0; i < LOST_SITES; i++)
		EQ(bmem_free(c, lost[i]), 0);
}

/* pprof wants the path to be the file's own. */
static char *copy_of(const char *name)
{
	char *to = text_format("/tmp/ctl.%d.%s", getpid(), name);
	char *from = beside(name);

	shell(text_format("cp '%s' %s", from, to));
	free(from);
	return to;
}

/* pprof's own words for a profile of @program: lines, of bytes. */
static char *pprof_says(const char *profile, const char *program)
{
	char *path = text_format("/tmp/ctl.%d.heap", getpid());
	char *command = text_format("google-pprof --text --lines '%s' %s 2>&1",
				    program, path);
	char *text = must(calloc(1, 1 << 16));
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(profile, f);
	EQ(fclose(f), 0);
	f = popen(command, "r");
	assert_non_null(f);
	(void)!fread(text, 1, (1 << 16) - 1, f);
	pclose(f);
	free(command);
	end_path(path);
	return text;
}

/* Whatever a program is linked to: at any address, or at one of its own. */
static void pprof_reads_it(void **state)
{
	static const char *const victims[] = { "victim", "victim.fixed" };
	char *profile, *text, *want, *path;
	struct bmem_module module = { .size = sizeof(module) };
	struct truth t;
	struct leak *l;
	size_t i;

	(void)state;
	if (system("command -v google-pprof >/dev/null"))
		skip();
	o.json = false;
	o.pprof = true;
	for (i = 0; i < 2; i++) {
		path = copy_of(victims[i]);
		ask(victims[i], path, &t);
		/* In this client's books it is a program file of its own. */
		module.module = BMEM_MODULES_MAX - (uint32_t)i;
		module.build_id_len = t.program.build_id_len;
		memcpy(module.build_id, t.program.build_id,
		       sizeof(module.build_id));
		snprintf(module.path, sizeof(module.path), "%s", path);
		EQ(call(c, BMEM_MODULE, &module), 0);
		found = *view_named("leaks");
		l = table_add(&found);
		l->kind = "unreachable";
		l->row.client_id = ctl.self;
		l->row.tensors = 3;
		l->row.bytes = 3 << 20;
		l->stack.nr = 1;
		l->stack.frames[0].module = module.module;
		l->stack.frames[0].offset = t.address;
		profile = output(print_found, STATUS_OK);
		text = pprof_says(profile, path);
		want = text_format("victim.c:%d", t.line);
		if (!strstr(text, "Total: 3.0 MB") || !strstr(text, want) ||
		    !strstr(text, "victim_"))
			fail_msg("no %s in %s of %s", want, text, profile);
		free(want);
		free(text);
		free(profile);
		end_path(path);
		table_free(&found);
	}
	o.pprof = false;
}

static const struct CMUnitTest tests[] = {
	TEST(sizes),
	TEST(times),
	TEST(numbers),
	TEST(names_are_harmless),
	TEST(sorting),
	TEST(table_for_people),
	TEST(table_for_programs),
	TEST(with_debug_information),
	TEST(with_symbols_only),
	TEST(stripped),
	TEST(debug_file_by_build_id),
	TEST(another_build),
	TEST(no_regular_file),
	TEST(debug_link_to_fifo),
	TEST(cxx_names),
	TEST(reader_has_no_rights),
	TEST(private_directory),
	TEST(reader_that_dies),
	TEST(programs_of_others),
	TEST(reader_that_lies),
	SHOW_TEST(own_tensors),
	SHOW_TEST(own_status),
	SHOW_TEST(nobody_there),
	TEST(advice_names_what_to_do),
	TEST(bundles),
	TEST(folded_names),
	SHOW_TEST(many_findings),
	SHOW_TEST(pprof_reads_it),
};

TEST_MAIN(tests)
