/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Clients for tests: BMEM_BACKEND chooses the backend, memfd by default.
 */
#ifndef BMEM_TEST_CLIENT_H
#define BMEM_TEST_CLIENT_H

#include <errno.h>
#include <unistd.h>

#include <bmem.h>

#include "test.h"

/* More than any test needs, little enough to be quick under valgrind. */
#define LIMIT	(256 * MIB)

__attribute__((unused))
static bool on_dev(void)
{
	const char *env = getenv("BMEM_BACKEND");

	return env && !strcmp(env, "dev");
}

#define SKIP_ON_DEV() do { \
	if (on_dev()) \
		skip(); \
} while (0)

__attribute__((unused))
static struct bmem_client *client_with(struct bmem_options *o)
{
	struct bmem_client *c = NULL;
	int ret;

	o->sz = sizeof(*o);
	ret = bmem_open(&c, o);
	if (ret)
		print_error("bmem_open: %s\n", bmem_strerror(ret));
	EQ(ret, 0);
	return c;
}

__attribute__((unused))
static struct bmem_client *client_limit(uint64_t max_bytes)
{
	struct bmem_options o = { .max_bytes = max_bytes };

	return client_with(&o);
}

__attribute__((unused))
static struct bmem_client *client(void)
{
	return client_limit(LIMIT);
}

/* One that keeps what it has, so that tests can tell how much that is. */
__attribute__((unused))
static struct bmem_client *client_cached(uint64_t max_bytes)
{
	struct bmem_options o = {
		.flags = BMEM_OPEN_CACHE,
		.max_bytes = max_bytes,
		.cache_bytes = 16 * MIB,
	};

	return client_with(&o);
}

__attribute__((unused))
static struct bmem_client_stats stats_of(struct bmem_client *c)
{
	struct bmem_client_stats st = { .size = sizeof(st) };

	EQ(bmem_stats(c, &st), 0);
	return st;
}

__attribute__((unused))
static struct bmem_tensor_desc info_of(struct bmem_client *c, const void *p)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };

	EQ(bmem_tensor_info(c, p, &d), 0);
	return d;
}

/* What a tensor is granted that is new, not used again. */
__attribute__((unused))
static size_t granted_for(size_t bytes)
{
	size_t step = 64;

	if (bytes > BMEM_SLOT_MAX)
		step = PAGE;
	else if (bytes > KIB)
		step = 1UL << (60 - __builtin_clzl(bytes - 1));
	return (bytes + step - 1) & ~(step - 1);
}

/* Live counts are what they should be, and sums are in order. */
#define LIVE(c, tensors, bytes) do { \
	struct bmem_client_stats __st = stats_of(c); \
	EQ(__st.live_tensors, tensors); \
	EQ(__st.live_bytes, bytes); \
	IS(__st.live_bytes <= __st.granted_bytes); \
	IS(__st.granted_bytes <= __st.attached_bytes); \
} while (0)

__attribute__((unused))
static bool all_are(const void *p, unsigned char value, size_t n)
{
	const unsigned char *s = p;

	/* Equal to itself shifted by one: memcmp() does it at full speed. */
	return !n || (*s == value && !memcmp(s, s + 1, n - 1));
}

#endif /* BMEM_TEST_CLIENT_H */
