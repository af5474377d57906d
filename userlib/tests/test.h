/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the test programs share.
 *
 * A check that fails says what it looked at, what came, what was expected, and
 * how to run its test alone.
 */
#ifndef BMEM_TEST_H
#define BMEM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB		1024UL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)
#define PAGE		4096UL
#define HUGE		(2 * MIB)
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const char *test_name, *test_program;

static int test_note_name(void **state)
{
	test_name = *state;
	return 0;
}

#define TEST(f)		{ #f, f, test_note_name, NULL, (void *)#f }

__attribute__((unused, noreturn))
static void test_fail(const char *file, int line, const char *what,
		      const char *got, const char *want)
{
	const char *backend = getenv("BMEM_BACKEND");

	print_error("%s:%d: %s\n    got:      %s\n    expected: %s\n    alone:    BMEM_BACKEND=%s %s %s\n",
		    file, line, what, got, want, backend ? backend : "auto",
		    test_program, test_name);
	_fail(file, line);
	abort();
}

__attribute__((unused))
static void test_eq(long long got, long long want, const char *what,
		    const char *file, int line)
{
	char g[64], w[64];

	if (got == want)
		return;
	snprintf(g, sizeof(g), "%lld (0x%llx)", got, got);
	snprintf(w, sizeof(w), "%lld (0x%llx)", want, want);
	test_fail(file, line, what, g, w);
}

__attribute__((unused))
static void test_str(const char *got, const char *want, const char *what,
		     const char *file, int line)
{
	if (strcmp(got, want))
		test_fail(file, line, what, got, want);
}

/* The argument evaluated is the one that is shown. */
#define EQ(got, want) test_eq((long long)(got), (long long)(want), \
			      #got, __FILE__, __LINE__)
#define STR(got, want)	test_str(got, want, #got, __FILE__, __LINE__)
#define IS(what) do { \
	if (!(what)) \
		test_fail(__FILE__, __LINE__, #what, "false", "true"); \
} while (0)
#define HAS(text, part) do { \
	if (!strstr(text, part)) \
		test_fail(__FILE__, __LINE__, "text that contains the expected", \
			  text, part); \
} while (0)
/* The expression is NULL and errno is @err. */
#define NUL(expr, err) do { \
	errno = 0; \
	EQ((uintptr_t)(expr), 0); \
	EQ(errno, err); \
} while (0)

__attribute__((unused))
static bool test_under(const char *tool)
{
	const char *san = getenv("BMEM_TEST_SAN");

	return san && !strcmp(san, tool);
}

__attribute__((unused))
static unsigned long test_number(const char *env, unsigned long fallback)
{
	const char *s = getenv(env);

	return s ? strtoul(s, NULL, 0) : fallback;
}

/* xorshift64*: the same numbers from the same seed everywhere. */
__attribute__((unused))
static uint64_t test_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

#define TEST_MAIN(tests) \
int main(int argc, char **argv) \
{ \
	test_program = argv[0]; \
	if (argc > 1) \
		cmocka_set_test_filter(argv[1]); \
	setenv("BMEM_BACKEND", "memfd", 0); \
	return cmocka_run_group_tests(tests, NULL, NULL); \
}

#endif /* BMEM_TEST_H */
