// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Opening: options, environment, the notice about the fallback, limits.
 */
#include <sys/resource.h>

#include "child.h"
#include "client.h"

static int open_ret(const struct bmem_options *o)
{
	struct bmem_client *c = (void *)1;
	int ret = bmem_open(&c, o);

	if (ret)
		EQ((uintptr_t)c, 0);
	else
		bmem_close(c);
	return ret;
}

static void options_null(void **state)
{
	(void)state;
	EQ(open_ret(NULL), 0);
	EQ(bmem_open(NULL, NULL), -EINVAL);
	bmem_close(NULL);
}

static void options_size(void **state)
{
	struct {
		struct bmem_options o;
		uint64_t tail;
	} big = { .o.sz = sizeof(big) };
	struct bmem_options o = { .sz = 0 };

	(void)state;
	EQ(open_ret(&o), -EINVAL);
	o.sz = sizeof(o.sz) - 1;
	EQ(open_ret(&o), -EINVAL);
	o.sz = sizeof(o.sz);
	EQ(open_ret(&o), 0);
	EQ(open_ret(&big.o), 0);
	big.tail = 1ULL << 56;
	EQ(open_ret(&big.o), -E2BIG);
	o.sz = SIZE_MAX;
	EQ(open_ret(&o), -E2BIG);
}

/* A short struct means that what it has not got is 0, whatever lies there. */
static void options_short(void **state)
{
	struct bmem_options o = {
		.sz = offsetof(struct bmem_options, flags),
		.flags = ~0U,
		.level = ~0U,
	};

	(void)state;
	EQ(open_ret(&o), 0);
}

static void options_bad(void **state)
{
	struct bmem_options o = { .sz = sizeof(o), .backend = 3 };
	char label[BMEM_LABEL_LEN + 1];

	(void)state;
	EQ(open_ret(&o), -EINVAL);
	o.backend = BMEM_BACKEND_AUTO;
	o.flags = 1U << 4;
	EQ(open_ret(&o), -EOPNOTSUPP);
	o.flags = BMEM_OPEN_LEVEL;
	o.level = BMEM_LEVEL_FULL + 1;
	EQ(open_ret(&o), -EINVAL);
	o.flags = 0;
	o.level = 1;
	EQ(open_ret(&o), -EOPNOTSUPP);
	o.level = 0;
	memset(label, 'x', sizeof(label));
	label[BMEM_LABEL_LEN] = 0;
	o.label = label;
	EQ(open_ret(&o), -EINVAL);
	label[BMEM_LABEL_LEN - 1] = 0;
	EQ(open_ret(&o), 0);
	label[3] = '\n';
	EQ(open_ret(&o), -EINVAL);
	label[3] = 0x7f;
	EQ(open_ret(&o), -EINVAL);
	o.label = NULL;
	o.pool = 63;
	EQ(open_ret(&o), -ENOENT);
}

static void options_max_bytes(void **state)
{
	struct bmem_pool_stats ps = { .size = sizeof(ps) };
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;

	(void)state;
	SKIP_ON_DEV();
	c = client_limit(5 * MIB);
	EQ(bmem_pool_stats(c, &ps), 0);
	EQ(ps.limit_bytes, 6 * MIB);
	bmem_close(c);
	c = client_limit(UINT64_MAX);
	ps.pool = 0;
	EQ(bmem_pool_stats(c, &ps), 0);
	IS(ps.limit_bytes >= 64 * GIB);
	bmem_close(c);
	c = client_limit(1);
	EQ(bmem_pool_stats(c, &ps), 0);
	EQ(ps.limit_bytes, 2 * MIB);
}

static void options_cache(void **state)
{
	struct bmem_options o = {
		.cache_bytes = 5 * MIB,
		.flags = BMEM_OPEN_CACHE,
		.max_bytes = LIMIT,
	};
	struct bmem_client *c = client_with(&o);

	(void)state;
	EQ(stats_of(c).cache_limit_bytes, 4 * MIB);
	bmem_close(c);
	o.flags = 0;
	c = client_with(&o);
	EQ(stats_of(c).cache_limit_bytes, 16 * MIB);
	bmem_close(c);
	o.flags = BMEM_OPEN_CACHE;
	o.cache_bytes = 0;
	c = client_with(&o);
	EQ(stats_of(c).cache_limit_bytes, 0);
	bmem_close(c);
}

static void clients_differ(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *a = client();
	BMEM_AUTO_CLOSE struct bmem_client *b = client();
	struct bmem_query qa = { .size = sizeof(qa) }, qb = qa;

	(void)state;
	EQ(bmem_query(a, &qa), 0);
	EQ(bmem_query(b, &qb), 0);
	IS(qa.client_id && qb.client_id && qa.client_id != qb.client_id);
	EQ(qa.page_size, PAGE);
	EQ(qa.huge_size, HUGE);
	EQ(qa.align_min, 64);
	EQ(qa.align_max, HUGE);
	EQ(qa.batch_max, 1024);
	EQ(qa.sites_max, 16384);
	EQ(qa.pools_max, 64);
	EQ(qa.pool, 0);
}

/* ---- what needs a process of its own ---- */

/* Opens twice with the backend that is asked for; tells which one came. */
static int open_as(uint32_t backend, uint32_t flags)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = backend,
		.flags = flags,
		.max_bytes = LIMIT,
	};
	struct bmem_client *c;
	int i, ret, is_dev = 0;

	for (i = 0; i < 2; i++) {
		ret = bmem_open(&c, &o);
		if (ret)
			return -ret;
		is_dev = !strcmp(bmem_backend_name(c), "dev");
		bmem_close(c);
	}
	return is_dev ? 201 : 202;
}

static int child_auto(void)
{
	unsetenv("BMEM_BACKEND");
	unsetenv("BMEM_QUIET");
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_auto_quiet_flag(void)
{
	unsetenv("BMEM_BACKEND");
	unsetenv("BMEM_QUIET");
	return open_as(BMEM_BACKEND_AUTO, BMEM_OPEN_QUIET);
}

static int child_auto_quiet_env(void)
{
	unsetenv("BMEM_BACKEND");
	setenv("BMEM_QUIET", "1", 1);
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_auto_quiet_env_0(void)
{
	unsetenv("BMEM_BACKEND");
	setenv("BMEM_QUIET", "0", 1);
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_env_auto(void)
{
	setenv("BMEM_BACKEND", "auto", 1);
	return open_as(BMEM_BACKEND_AUTO, BMEM_OPEN_QUIET);
}

static int child_env_memfd(void)
{
	setenv("BMEM_BACKEND", "memfd", 1);
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_env_dev(void)
{
	setenv("BMEM_BACKEND", "dev", 1);
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_env_bad(void)
{
	setenv("BMEM_BACKEND", "dve", 1);
	return open_as(BMEM_BACKEND_AUTO, 0);
}

static int child_env_empty(void)
{
	setenv("BMEM_BACKEND", "", 1);
	return open_as(BMEM_BACKEND_AUTO, BMEM_OPEN_QUIET);
}

static int child_option_wins(void)
{
	setenv("BMEM_BACKEND", "dev", 1);
	return open_as(BMEM_BACKEND_MEMFD, 0);
}

static int child_option_dev_wins(void)
{
	setenv("BMEM_BACKEND", "memfd", 1);
	return open_as(BMEM_BACKEND_DEV, 0);
}

static bool have_device(void)
{
	return !access("/dev/bmem", R_OK | W_OK);
}

static void env_backend(void **state)
{
	int any = have_device() ? 201 : 202;
	int dev = have_device() ? 201 : ENOENT;

	(void)state;
	EQ(in_child(child_env_memfd).status, 202);
	EQ(in_child(child_env_auto).status, any);
	EQ(in_child(child_env_empty).status, any);
	EQ(in_child(child_env_dev).status, dev);
	EQ(in_child(child_env_bad).status, EINVAL);
}

static void env_precedence(void **state)
{
	(void)state;
	EQ(in_child(child_option_wins).status, 202);
	EQ(in_child(child_option_dev_wins).status,
	   have_device() ? 201 : ENOENT);
}

static void notice_once(void **state)
{
	struct child ch;
	char *end;

	(void)state;
	if (have_device())
		skip();
	ch = in_child(child_auto);
	EQ(ch.status, 202);
	HAS(ch.err, "libbmem: /dev/bmem is not there: load the module");
	HAS(ch.err, "BMEM_QUIET=1");
	/* One line, though the client was opened twice. */
	end = strchr(ch.err, '\n');
	IS(end);
	STR(end + 1, "");
	HAS(in_child(child_auto_quiet_env_0).err, "libbmem: ");
}

static void notice_quiet(void **state)
{
	(void)state;
	if (have_device())
		skip();
	STR(in_child(child_auto_quiet_flag).err, "");
	STR(in_child(child_auto_quiet_env).err, "");
	STR(in_child(child_env_memfd).err, "");
	STR(in_child(child_env_dev).err, "");
}

/* ---- limits of the process ---- */

static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu", &pages) != 1)
		abort();
	fclose(f);
	return pages * PAGE;
}

static int limited(int what, uint64_t room)
{
	struct rlimit lim = { room, room };

	return setrlimit(what, &lim);
}

/*
 * Opens with defaults in 600 MiB of address space and uses up what it got.
 * 512 MiB would fit; half is left for others.
 */
static int child_rlimit_as(void)
{
	struct bmem_client *c;
	void *p, *last = NULL;
	int ret;

	if (limited(RLIMIT_AS, address_space() + 600 * MIB))
		return 1;
	ret = bmem_open(&c, NULL);
	if (ret)
		return 2;
	/* The rest of the process still has something. */
	p = malloc(128 * MIB);
	if (!p)
		return 3;
	free(p);
	while ((p = bmem_alloc(c, 16 * MIB, 0, 0, NULL))) {
		memset(p, 1, 16 * MIB);
		last = p;
	}
	if (errno != ENOSPC && errno != ENOMEM)
		return 4;
	if (!last || bmem_free(c, last))
		return 5;
	if (!bmem_alloc(c, 16 * MIB, 0, 0, NULL))
		return 6;
	bmem_close(c);
	return 0;
}

static void rlimit_as(void **state)
{
	(void)state;
	/* The tools themselves need terabytes of addresses. */
	if (getenv("BMEM_TEST_SAN"))
		skip();
	EQ(in_child(child_rlimit_as).status, 0);
}

static int child_rlimit_as_none(void)
{
	struct bmem_client *c;
	int ret;

	if (limited(RLIMIT_AS, address_space() + 64 * KIB))
		return 1;
	ret = bmem_open(&c, NULL);
	return ret == -ENOMEM ? 0 : 2;
}

static void rlimit_as_too_small(void **state)
{
	(void)state;
	if (getenv("BMEM_TEST_SAN"))
		skip();
	EQ(in_child(child_rlimit_as_none).status, 0);
}

/* A memfd of this size would kill the process with SIGXFSZ. */
static int child_rlimit_fsize(void)
{
	struct bmem_client *c;
	char *p;

	if (limited(RLIMIT_FSIZE, 64 * KIB))
		return 1;
	if (bmem_open(&c, NULL))
		return 2;
	p = bmem_alloc(c, 5 * MIB, 0, BMEM_ALLOC_ZERO, NULL);
	if (!p)
		return 3;
	memset(p, 1, 5 * MIB);
	bmem_close(c);
	return 0;
}

static void rlimit_fsize(void **state)
{
	(void)state;
	EQ(in_child(child_rlimit_fsize).status, 0);
}

/* ---- fork ---- */

static struct bmem_client *shared;
static char *before;

static int child_shares(void)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	char *p;

	if (strcmp(before, "parent"))
		return 1;
	strcpy(before, "child");
	p = bmem_alloc(shared, 5000, 0, 0, "child");
	if (!p || (p < before + 100 && p >= before))
		return 2;
	strcpy(p, "left");
	if (bmem_stats(shared, &st) || st.live_tensors != 2)
		return 3;
	return 0;
}

static int find_left(const struct bmem_tensor_desc *d, void *arg)
{
	*(int *)arg += d->bytes == 5000 && !strcmp(d->ptr, "left");
	return 0;
}

/* Parent and child keep the same books, as with the device. */
static void fork_shares(void **state)
{
	int found = 0;

	(void)state;
	shared = client();
	before = bmem_alloc(shared, 100, 0, 0, NULL);
	IS(before);
	strcpy(before, "parent");
	EQ(in_child(child_shares).status, 0);
	STR(before, "child");
	LIVE(shared, 2, 5100);
	EQ(bmem_foreach(shared, find_left, &found), 0);
	EQ(found, 1);
	EQ(bmem_free(shared, before), 0);
	LIVE(shared, 1, 5000);
	bmem_close(shared);
}

static int child_frees(void)
{
	return -bmem_free(shared, before);
}

static void fork_frees(void **state)
{
	(void)state;
	shared = client();
	before = bmem_alloc(shared, 100, 0, 0, NULL);
	IS(before);
	EQ(in_child(child_frees).status, 0);
	LIVE(shared, 0, 0);
	/* Gone, whoever did it. */
	EQ(bmem_free(shared, before), -ENOENT);
	bmem_close(shared);
}

static int child_closes(void)
{
	bmem_close(shared);
	return 0;
}

static void fork_closes(void **state)
{
	(void)state;
	shared = client();
	before = bmem_alloc(shared, 100, 0, 0, NULL);
	IS(before);
	strcpy(before, "still");
	EQ(in_child(child_closes).status, 0);
	STR(before, "still");
	LIVE(shared, 1, 100);
	EQ(bmem_free(shared, before), 0);
	bmem_close(shared);
}

/* Everything goes back at close: no descriptor and no mapping is left. */
static void close_leaves_nothing(void **state)
{
	uint64_t as;
	int fd, i;

	(void)state;
	bmem_close(client());
	fd = dup(0);
	as = address_space();
	for (i = 0; i < 50; i++) {
		struct bmem_client *c = client();

		IS(bmem_alloc(c, 3 * MIB, 0, 0, NULL));
		bmem_close(c);
	}
	close(fd);
	EQ(dup(0), fd);
	close(fd);
	/* The tools keep books of their own. */
	if (!getenv("BMEM_TEST_SAN"))
		EQ(address_space(), as);
}

static const struct CMUnitTest tests[] = {
	TEST(options_null),
	TEST(options_size),
	TEST(options_short),
	TEST(options_bad),
	TEST(options_max_bytes),
	TEST(options_cache),
	TEST(clients_differ),
	TEST(env_backend),
	TEST(env_precedence),
	TEST(notice_once),
	TEST(notice_quiet),
	TEST(rlimit_as),
	TEST(rlimit_as_too_small),
	TEST(rlimit_fsize),
	TEST(fork_shares),
	TEST(fork_frees),
	TEST(fork_closes),
	TEST(close_leaves_nothing),
};

TEST_MAIN(tests)
