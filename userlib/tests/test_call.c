// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The calls of <linux/bmem.h> as the fallback answers them, one misuse at a
 * time.  The library itself makes few of these mistakes, so this goes to the
 * backend directly; it is linked with the objects, not with the library.
 */
#include "../src/internal.h"
#include "client.h"

static struct bmem_client *c;

static int set_up(void **state)
{
	struct bmem_options o = {
		.backend = BMEM_BACKEND_MEMFD,
		.max_bytes = LIMIT,
	};

	test_note_name(state);
	c = client_with(&o);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	bmem_close(c);
	return 0;
}

#define CALL_TEST(f)	{ #f, f, set_up, tear_down, (void *)#f }

/* Call @cmd with @good, of which one field has another value. */
#define WITH(cmd, good, field, value, err) do { \
	__typeof__(good) __arg = (good); \
	__arg.field = (value); \
	EQ(call(c, cmd, &__arg), err); \
} while (0)

/* What is true of every call. */
#define COMMON(cmd, good) COMMON_FROM(cmd, good, sizeof(good))

/* The same for one whose struct was of @least bytes when it was first there. */
#define COMMON_FROM(cmd, good, least) do { \
	struct { \
		__typeof__(good) arg; \
		uint64_t tail; \
	} __big = { .arg = (good) }; \
	WITH(cmd, good, size, 0, -EINVAL); \
	WITH(cmd, good, size, (least) - 1, -EINVAL); \
	WITH(cmd, good, size, UINT32_MAX, -E2BIG); \
	WITH(cmd, good, flags, 1U << 31, -EOPNOTSUPP); \
	__big.arg.size = sizeof(__big); \
	__big.tail = 1; \
	EQ(call(c, cmd, &__big), -E2BIG); \
	__big.tail = 0; \
	EQ(call(c, cmd, &__big), 0); \
	EQ(__big.arg.size, sizeof(__big)); \
} while (0)

static void no_such_call(void **state)
{
	uint32_t arg[64] = { sizeof(arg) };

	(void)state;
	EQ(call(c, _IO(BMEM_IOC_TYPE, 0x3f), arg), -ENOTTY);
	EQ(call(c, _IO(BMEM_IOC_TYPE, 0x70), arg), -ENOTTY);
	EQ(call(c, _IO(BMEM_IOC_TYPE, 0xff), arg), -ENOTTY);
	EQ(call(c, _IO(BMEM_IOC_TYPE, 0), arg), -ENOTTY);
	EQ(call(c, _IO('x', 0x40), arg), -ENOTTY);
}

static void query(void **state)
{
	struct bmem_query good = { .size = sizeof(good) };

	(void)state;
	COMMON(BMEM_QUERY, good);
}

static void bind(void **state)
{
	struct bmem_bind good = {
		.size = sizeof(good),
		.flags = BMEM_BIND_POOL | BMEM_BIND_LABEL | BMEM_BIND_CACHE,
		.cache_bytes = 3 * MIB,
		.label = "me",
	};
	struct bmem_bind bad = good;

	(void)state;
	COMMON(BMEM_BIND, good);
	EQ(stats_of(c).cache_limit_bytes, 2 * MIB);
	WITH(BMEM_BIND, good, flags, 0, -EINVAL);
	WITH(BMEM_BIND, good, __reserved, 1, -EOPNOTSUPP);
	WITH(BMEM_BIND, good, pool, 1, -ENOENT);
	bad.flags = BMEM_BIND_LEVEL | BMEM_BIND_POLICY;
	bad.level = BMEM_LEVEL_COUNTS;
	bad.policy = BMEM_PLACE_BUDDY;
	WITH(BMEM_BIND, bad, level, BMEM_LEVEL_FULL + 1, -EINVAL);
	WITH(BMEM_BIND, bad, policy, BMEM_PLACE_BUDDY + 1, -EINVAL);
	EQ(stats_of(c).level, BMEM_LEVEL_STANDARD);
	EQ(stats_of(c).policy, BMEM_PLACE_AUTO);
	EQ(call(c, BMEM_BIND, &bad), 0);
	EQ(stats_of(c).level, BMEM_LEVEL_COUNTS);
	EQ(stats_of(c).policy, BMEM_PLACE_BUDDY);
	bad = good;
	WITH(BMEM_BIND, good, label[0], '\n', -EINVAL);
	WITH(BMEM_BIND, good, label[0], 0, 0);
	memset(bad.label, 'x', sizeof(bad.label));
	EQ(call(c, BMEM_BIND, &bad), -EINVAL);
	/* What is not asked for is not looked at. */
	bad.flags = BMEM_BIND_CACHE;
	bad.pool = 99;
	EQ(call(c, BMEM_BIND, &bad), 0);
}

/* A bound below what is cached takes effect at once. */
static void bind_cache_trims(void **state)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_CACHE,
		.cache_bytes = 16 * MIB,
	};
	void *p = bmem_alloc(c, 10 * MIB, 0, 0, NULL);

	(void)state;
	IS(p);
	EQ(call(c, BMEM_BIND, &bind), 0);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_flush(c), 0);
	EQ(stats_of(c).cached_bytes, 10 * MIB);
	bind.cache_bytes = 4 * MIB;
	EQ(call(c, BMEM_BIND, &bind), 0);
	EQ(stats_of(c).cached_bytes, 4 * MIB);
}

static void site(void **state)
{
	struct bmem_site good = {
		.size = sizeof(good),
		.site = 7,
		.label = "here",
	};
	struct bmem_site again = good;
	void *p;

	(void)state;
	COMMON(BMEM_SITE, good);
	WITH(BMEM_SITE, good, site, 0, -EINVAL);
	WITH(BMEM_SITE, good, __reserved, 1, -EOPNOTSUPP);
	WITH(BMEM_SITE, good, label[2], 0x1f, -EINVAL);
	EQ(stats_of(c).sites, 1);
	/* Seen by ALLOC first, then named, then named again. */
	p = bmem_alloc_at(c, 40000, 0, 0, 8);
	IS(p);
	EQ(stats_of(c).sites, 2);
	STR(info_of(c, p).label, "");
	again.site = 8;
	EQ(call(c, BMEM_SITE, &again), 0);
	STR(info_of(c, p).label, "here");
	strcpy(again.label, "there");
	EQ(call(c, BMEM_SITE, &again), 0);
	STR(info_of(c, p).label, "there");
	EQ(stats_of(c).sites, 2);
	/* Numbers that meet in the table are kept apart. */
	again.site = 8 + SITE_SLOTS;
	strcpy(again.label, "elsewhere");
	EQ(call(c, BMEM_SITE, &again), 0);
	STR(info_of(c, p).label, "there");
	EQ(stats_of(c).sites, 3);
}

static void alloc(void **state)
{
	struct bmem_alloc_entry e[4] = {
		{ .bytes = 1 }, { .bytes = 2 }, { .bytes = 3 }, { .bytes = 4 },
	};
	struct bmem_alloc good = {
		.size = sizeof(good),
		.nr = 4,
		.failed = 77,
		.entries = (uintptr_t)e,
	};
	struct bmem_alloc arg;

	(void)state;
	COMMON(BMEM_ALLOC, good);
	WITH(BMEM_ALLOC, good, nr, 0, -EINVAL);
	WITH(BMEM_ALLOC, good, nr, BMEM_BATCH_MAX + 1, -EINVAL);
#define ENTRY(field, value, err) do { \
	struct bmem_alloc_entry __was = e[2]; \
	arg = good; \
	e[2].handle = e[2].offset = 5; \
	e[2].field = value; \
	EQ(call(c, BMEM_ALLOC, &arg), err); \
	EQ(arg.failed, 2); \
	/* Out fields are written on success only. */ \
	EQ(e[2].handle, 5); \
	EQ(e[2].offset, 5); \
	e[2] = __was; \
} while (0)
	ENTRY(bytes, 0, -EINVAL);
	ENTRY(align, 32, -EINVAL);
	ENTRY(align, 96, -EINVAL);
	ENTRY(align, 4 * MIB, -EINVAL);
	ENTRY(flags, 4, -EOPNOTSUPP);
	ENTRY(__reserved, 1, -EOPNOTSUPP);
	ENTRY(bytes, UINT64_MAX, -EOVERFLOW);
	ENTRY(bytes, UINT64_MAX - PAGE, -EOVERFLOW);
	/* 252 MiB fit, but not with a large neighbour. */
	e[0].bytes = 10 * MIB;
	arg = good;
	e[2].bytes = 250 * MIB;
	EQ(call(c, BMEM_ALLOC, &arg), -EFBIG);
	EQ(stats_of(c).live_tensors, 4);
}

static void alloc_failed_index(void **state)
{
	struct bmem_alloc_entry e[3] = {
		{ .bytes = 2 * MIB }, { .bytes = 200 * MIB, .align = HUGE },
		{ .bytes = 2 * MIB },
	};
	struct bmem_alloc arg = {
		.size = sizeof(arg),
		.nr = 3,
		.entries = (uintptr_t)e,
	};

	(void)state;
	IS(bmem_alloc(c, 100 * MIB, 0, 0, NULL));
	EQ(call(c, BMEM_ALLOC, &arg), -ENOSPC);
	EQ(arg.failed, 1);
	LIVE(c, 1, 100 * MIB);
}

static void free_(void **state)
{
	struct bmem_free_entry e[5] = { { 0 } };
	struct bmem_free good = {
		.size = sizeof(good),
		.nr = 5,
		.entries = (uintptr_t)e,
	};
	struct bmem_free arg = good;
	struct bmem_tensor_desc d;
	void *p = bmem_alloc(c, 40000, 0, 0, NULL);

	(void)state;
	IS(p);
	d = info_of(c, p);
	COMMON(BMEM_FREE, good);
	WITH(BMEM_FREE, good, nr, 0, -EINVAL);
	WITH(BMEM_FREE, good, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	e[1].handle = d.handle;
	e[4].__reserved = 1;
	EQ(call(c, BMEM_FREE, &arg), -EOPNOTSUPP);
	LIVE(c, 1, 40000);
	e[4].__reserved = 0;
	e[0].handle = 0;
	e[2].handle = d.handle;			/* twice */
	e[3].handle = d.handle + 64;		/* next page */
	e[4].handle = d.handle + (1ULL << 38);	/* next generation */
	EQ(call(c, BMEM_FREE, &arg), 0);
	EQ(arg.freed, 1);
	EQ(e[0].result, -ENOENT);
	EQ(e[1].result, 0);
	EQ(e[2].result, -ENOENT);
	EQ(e[3].result, -ENOENT);
	EQ(e[4].result, -ENOENT);
	LIVE(c, 0, 0);
}

/* An old handle does not free what came to lie there. */
static void free_generation(void **state)
{
	void *p = bmem_alloc(c, 10, 0, 0, NULL), *q;
	struct bmem_free_entry e = { .handle = info_of(c, p).handle };
	struct bmem_free arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};

	(void)state;
	EQ(bmem_free(c, p), 0);
	q = bmem_alloc(c, 10, 0, 0, NULL);
	IS(q == p);
	EQ(call(c, BMEM_FREE, &arg), 0);
	EQ(e.result, -ENOENT);
	e.handle = UINT64_MAX;
	EQ(call(c, BMEM_FREE, &arg), 0);
	EQ(e.result, -ENOENT);
	LIVE(c, 1, 10);
}

static void info(void **state)
{
	void *p = bmem_alloc_at(c, 5000, 0, 0, 0);
	struct bmem_tensor_info good = {
		.size = sizeof(good),
		.handle = info_of(c, p).handle,
	};
	struct bmem_tensor_info by_offset = {
		.size = sizeof(good),
		.flags = BMEM_INFO_OFFSET,
		.offset = 4096,
	};
	struct bmem_tensor_info arg = by_offset;

	(void)state;
	IS(p);
	COMMON(BMEM_TENSOR_INFO, good);
	WITH(BMEM_TENSOR_INFO, good, offset, 4096, -EINVAL);
	WITH(BMEM_TENSOR_INFO, good, handle, 0, -ENOENT);
	WITH(BMEM_TENSOR_INFO, by_offset, handle, 1, -EINVAL);
	WITH(BMEM_TENSOR_INFO, by_offset, offset, 8192, -ENOENT);
	WITH(BMEM_TENSOR_INFO, by_offset, offset, UINT64_MAX, -ENOENT);
	/* A call that fails writes nothing back. */
	arg.offset = 8192;
	strcpy(arg.label, "mine");
	EQ(call(c, BMEM_TENSOR_INFO, &arg), -ENOENT);
	STR(arg.label, "mine");
	arg.offset = 4096;
	EQ(call(c, BMEM_TENSOR_INFO, &arg), 0);
	EQ(arg.tensor.offset, 0);
	EQ(arg.tensor.bytes, 5000);
	EQ(arg.tensor.handle, good.handle);
}

static void list(void **state)
{
	struct bmem_tensor t[2];
	struct bmem_tensor_list good = {
		.size = sizeof(good),
		.nr = 2,
		.entries = (uintptr_t)t,
	};

	(void)state;
	COMMON(BMEM_TENSOR_LIST, good);
	WITH(BMEM_TENSOR_LIST, good, nr, 0, -EINVAL);
	WITH(BMEM_TENSOR_LIST, good, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	WITH(BMEM_TENSOR_LIST, good, site, 1, -EINVAL);
	WITH(BMEM_TENSOR_LIST, good, client_id, 1, -ENOENT);
}

static void stats(void **state)
{
	struct bmem_client_stats good = { .size = sizeof(good) };

	(void)state;
	COMMON_FROM(BMEM_CLIENT_STATS, good,
		    offsetof(struct bmem_client_stats, shared_bytes));
	WITH(BMEM_CLIENT_STATS, good, size, sizeof(good) - 1, 0);
	WITH(BMEM_CLIENT_STATS, good, client_id, 1, -ENOENT);
	WITH(BMEM_CLIENT_STATS, good, flags, 1, -EOPNOTSUPP);
	WITH(BMEM_CLIENT_STATS, good, flags, BMEM_STATS_LEDGER, 0);
}

static void slots(void **state)
{
	uint64_t names[4];
	struct bmem_slots get = {
		.size = sizeof(get),
		.size_class = 7,
		.nr = 2,
		.slots = (uintptr_t)names,
	};
	struct bmem_slots put = get;

	(void)state;
	COMMON(BMEM_SLOTS_GET, get);
	WITH(BMEM_SLOTS_GET, get, size_class, BMEM_CLASSES, -EINVAL);
	WITH(BMEM_SLOTS_GET, get, size_class, UINT32_MAX, -EINVAL);
	WITH(BMEM_SLOTS_GET, get, nr, 0, -EINVAL);
	WITH(BMEM_SLOTS_GET, get, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	WITH(BMEM_SLOTS_GET, get, flags, 1, -EOPNOTSUPP);
	EQ(stats_of(c).slots, 2);
	put.size_class = 0;
	WITH(BMEM_SLOTS_PUT, put, size_class, 1, -EINVAL);
	WITH(BMEM_SLOTS_PUT, put, nr, 0, -EINVAL);
	WITH(BMEM_SLOTS_PUT, put, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	WITH(BMEM_SLOTS_PUT, put, flags, 1, -EOPNOTSUPP);
	EQ(stats_of(c).slots, 2);
	COMMON(BMEM_SLOTS_PUT, put);
	EQ(stats_of(c).slots, 0);
	/* What was taken back already is passed over. */
	EQ(call(c, BMEM_SLOTS_PUT, &put), 0);
	EQ(put.nr, 0);
}

static void module(void **state)
{
	struct bmem_module good = {
		.size = sizeof(good),
		.module = BMEM_MODULES_MAX,
		.build_id_len = 20,
		.build_id = { 1, 2, 3 },
		.path = "/lib/libtorch.so",
	};
	struct bmem_module_info info = {
		.size = sizeof(info),
		.module = BMEM_MODULES_MAX,
	};
	struct bmem_module bad = good;

	(void)state;
	EQ(call(c, BMEM_MODULE_INFO, &info), -ENOENT);
	COMMON(BMEM_MODULE, good);
	WITH(BMEM_MODULE, good, module, 0, -EINVAL);
	WITH(BMEM_MODULE, good, module, BMEM_MODULES_MAX + 1, -EINVAL);
	WITH(BMEM_MODULE, good, build_id_len, BMEM_BUILD_ID_MAX + 1, -EINVAL);
	WITH(BMEM_MODULE, good, path[3], '\n', -EINVAL);
	memset(bad.path, 'x', sizeof(bad.path));
	EQ(call(c, BMEM_MODULE, &bad), -EINVAL);
	COMMON(BMEM_MODULE_INFO, info);
	WITH(BMEM_MODULE_INFO, info, module, 0, -ENOENT);
	WITH(BMEM_MODULE_INFO, info, module, 1, -ENOENT);
	WITH(BMEM_MODULE_INFO, info, module, UINT32_MAX, -ENOENT);
	WITH(BMEM_MODULE_INFO, info, client_id, 1, -ENOENT);
	EQ(call(c, BMEM_MODULE_INFO, &info), 0);
	EQ(info.build_id_len, 20);
	EQ(memcmp(info.build_id, good.build_id, BMEM_BUILD_ID_MAX), 0);
	STR(info.path, good.path);
	/* Named again, it is replaced. */
	WITH(BMEM_MODULE, good, path[0], 0, 0);
	EQ(call(c, BMEM_MODULE_INFO, &info), 0);
	STR(info.path, "");
}

static void site_frames(void **state)
{
	struct bmem_module file = {
		.size = sizeof(file),
		.module = 3,
		.path = "a.out",
	};
	struct bmem_frame f[BMEM_FRAMES_MAX] = {
		{ .module = 3, .offset = 0x1234 }, { .offset = 99 },
	}, back[BMEM_FRAMES_MAX];
	struct bmem_site good = {
		.size = sizeof(good),
		.site = 7,
		.label = "here",
		.frames = (uintptr_t)f,
		.nr_frames = 2,
	};
	struct bmem_site_frames ask = {
		.size = sizeof(ask),
		.site = 7,
		.nr = BMEM_FRAMES_MAX,
		.frames = (uintptr_t)back,
	}, few = ask;

	(void)state;
	EQ(call(c, BMEM_SITE, &good), -EINVAL);	/* module 3 is not known */
	EQ(stats_of(c).sites, 0);
	EQ(call(c, BMEM_MODULE, &file), 0);
	COMMON(BMEM_SITE, good);
	WITH(BMEM_SITE, good, nr_frames, BMEM_FRAMES_MAX + 1, -EINVAL);
	WITH(BMEM_SITE, good, __reserved2, 1, -EOPNOTSUPP);
	f[1].__reserved = 1;
	EQ(call(c, BMEM_SITE, &good), -EOPNOTSUPP);
	f[1] = (struct bmem_frame) { .module = BMEM_MODULES_MAX + 1 };
	EQ(call(c, BMEM_SITE, &good), -EINVAL);
	f[1].module = 2;
	EQ(call(c, BMEM_SITE, &good), -EINVAL);
	COMMON(BMEM_SITE_FRAMES, ask);
	WITH(BMEM_SITE_FRAMES, ask, nr, BMEM_FRAMES_MAX + 1, -EINVAL);
	WITH(BMEM_SITE_FRAMES, ask, site, 0, -ENOENT);
	WITH(BMEM_SITE_FRAMES, ask, site, 8, -ENOENT);
	WITH(BMEM_SITE_FRAMES, ask, client_id, 1, -ENOENT);
	EQ(call(c, BMEM_SITE_FRAMES, &ask), 0);
	EQ(ask.nr, 2);
	EQ(back[0].module, 3);
	EQ(back[0].offset, 0x1234);
	EQ(back[1].module, 0);
	EQ(back[1].offset, 99);
	few.nr = 1;
	EQ(call(c, BMEM_SITE_FRAMES, &few), -EMSGSIZE);
	EQ(few.nr, 2);
	/* No frames leave them as they are. */
	WITH(BMEM_SITE, good, nr_frames, 0, 0);
	EQ(call(c, BMEM_SITE_FRAMES, &few), 0);
	EQ(few.nr, 2);
}

static void site_list(void **state)
{
	struct bmem_site_row rows[3];
	struct bmem_site_list good = {
		.size = sizeof(good),
		.row_size = sizeof(rows[0]),
		.nr = 3,
		.rows = (uintptr_t)rows,
	};
	struct bmem_site_list arg = good;
	struct { struct bmem_site_row row; uint64_t more; } wide;
	struct bmem_site s = { .size = sizeof(s), .site = 4 };

	(void)state;
	COMMON(BMEM_SITE_LIST, good);
	WITH(BMEM_SITE_LIST, good, nr, 0, -EINVAL);
	WITH(BMEM_SITE_LIST, good, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	WITH(BMEM_SITE_LIST, good, row_size, sizeof(rows[0]) - 1, -EINVAL);
	WITH(BMEM_SITE_LIST, good, row_size, 4097, -EINVAL);
	WITH(BMEM_SITE_LIST, good, client_id, 1, -ENOENT);
	EQ(call(c, BMEM_SITE, &s), 0);
	/* Site 0 is always there; a wider row ends with zeroes. */
	wide.more = 1;
	arg.rows = (uintptr_t)&wide;
	arg.row_size = sizeof(wide);
	arg.nr = 1;
	EQ(call(c, BMEM_SITE_LIST, &arg), 0);
	EQ(arg.nr, 1);
	EQ(wide.row.site, 0);
	EQ(wide.more, 0);
	EQ(call(c, BMEM_SITE_LIST, &arg), 0);
	EQ(arg.nr, 1);
	EQ(wide.row.site, 4);
	EQ(call(c, BMEM_SITE_LIST, &arg), 0);
	EQ(arg.nr, 0);
	arg.nr = 1;
	arg.cursor = UINT64_MAX;
	EQ(call(c, BMEM_SITE_LIST, &arg), 0);
	EQ(arg.nr, 0);
}

static void client_list(void **state)
{
	struct bmem_client_row rows[2];
	struct bmem_client_list good = {
		.size = sizeof(good),
		.row_size = sizeof(rows[0]),
		.nr = 2,
		.rows = (uintptr_t)rows,
	};
	struct bmem_client_list arg = good;
	struct { struct bmem_client_row row; uint64_t more; } wide;
	struct bmem_query q = { .size = sizeof(q) };
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_LABEL,
		.label = "a label",
	};

	(void)state;
	COMMON(BMEM_CLIENT_LIST, good);
	WITH(BMEM_CLIENT_LIST, good, nr, 0, -EINVAL);
	WITH(BMEM_CLIENT_LIST, good, nr, BMEM_BATCH_MAX + 1, -EINVAL);
	WITH(BMEM_CLIENT_LIST, good, row_size, sizeof(rows[0]) - 1, -EINVAL);
	WITH(BMEM_CLIENT_LIST, good, row_size, 4097, -EINVAL);
	EQ(call(c, BMEM_QUERY, &q), 0);
	EQ(call(c, BMEM_BIND, &bind), 0);
	/* This client, once; a wider row ends with zeroes. */
	wide.more = 1;
	arg.rows = (uintptr_t)&wide;
	arg.row_size = sizeof(wide);
	arg.nr = 1;
	EQ(call(c, BMEM_CLIENT_LIST, &arg), 0);
	EQ(arg.nr, 1);
	EQ(wide.row.client_id, q.client_id);
	EQ(wide.row.pid, getpid());
	EQ(wide.row.uid, geteuid());
	EQ(wide.row.pool, 0);
	assert_string_equal(wide.row.label, "a label");
	assert_string_not_equal(wide.row.comm, "");
	EQ(wide.more, 0);
	EQ(call(c, BMEM_CLIENT_LIST, &arg), 0);
	EQ(arg.nr, 0);
	arg.nr = 1;
	arg.cursor = UINT64_MAX;
	EQ(call(c, BMEM_CLIENT_LIST, &arg), 0);
	EQ(arg.nr, 0);
}

/* fork() copies the fallback's memory by itself. */
static void clone_of_it(void **state)
{
	struct bmem_clone clone = { .size = sizeof(clone) };
	struct bmem_bind bind = {
		.size = sizeof(bind), .flags = BMEM_BIND_CLONE,
	};

	(void)state;
	EQ(call(c, BMEM_CLONE, &clone), -EOPNOTSUPP);
	WITH(BMEM_CLONE, clone, size, 4, -EINVAL);
	EQ(call(c, BMEM_BIND, &bind), -EOPNOTSUPP);
}

/* Nothing outlives the fallback's processes. */
static void tombstones(void **state)
{
	struct bmem_tombstone_list l = { .size = sizeof(l), .nr = 1 };
	struct bmem_tombstone_sites s = { .size = sizeof(s), .serial = 1 };
	struct bmem_tombstone_module m = { .size = sizeof(m), .serial = 1 };
	struct bmem_growth_list g = { .size = sizeof(g) };

	(void)state;
	EQ(call(c, BMEM_TOMBSTONE_LIST, &l), -EOPNOTSUPP);
	EQ(call(c, BMEM_TOMBSTONE_SITES, &s), -EOPNOTSUPP);
	EQ(call(c, BMEM_TOMBSTONE_MODULE, &m), -EOPNOTSUPP);
	EQ(call(c, BMEM_GROWTH_LIST, &g), -EOPNOTSUPP);
	WITH(BMEM_TOMBSTONE_LIST, l, size, 4, -EINVAL);
}

/* The fallback keeps no links, and looks for no leaks. */
static void links_and_leaks(void **state)
{
	struct bmem_link link = { .size = sizeof(link), .nr = 1 };
	struct bmem_leak_scan scan = { .size = sizeof(scan) };
	struct bmem_leak_list list = { .size = sizeof(list), .nr = 1 };
	struct bmem_tensor_info info = {
		.size = sizeof(info), .flags = BMEM_INFO_OFFSET,
	};
	char *p = bmem_alloc(c, 5000, 0, 0, NULL);

	(void)state;
	EQ(call(c, BMEM_LINK, &link), -EOPNOTSUPP);
	EQ(call(c, BMEM_UNLINK, &link), -EOPNOTSUPP);
	EQ(call(c, BMEM_LEAK_SCAN, &scan), -EOPNOTSUPP);
	EQ(call(c, BMEM_LEAK_LIST, &list), -EOPNOTSUPP);
	EQ(bmem_link_batch(c, &link), -EOPNOTSUPP);
	EQ(bmem_unlink_batch(c, &link), -EOPNOTSUPP);
	EQ(bmem_link(c, NULL, p), -EOPNOTSUPP);
	EQ(bmem_link(c, p, p), -EOPNOTSUPP);
	EQ(bmem_unlink(c, p, p + 4999), -EOPNOTSUPP);
	EQ(bmem_link(c, NULL, &link), -EINVAL);
	EQ(bmem_link(c, &link, p), -EINVAL);
	info.offset = p - (char *)bmem_space(c, NULL);
	info.holds = 1;
	info.links_in = 1;
	info.links_out = 1;
	EQ(call(c, BMEM_TENSOR_INFO, &info), 0);
	EQ(info.holds + info.links_in + info.links_out, 0);
	bmem_free(c, p);
	EQ(bmem_link(c, NULL, p), -ENOENT);
}

static void trim(void **state)
{
	struct bmem_trim good = { .size = sizeof(good) };
	struct bmem_trim queued = {
		.size = sizeof(queued), .flags = BMEM_TRIM_QUEUED,
	};

	(void)state;
	COMMON(BMEM_TRIM, good);
	WITH(BMEM_TRIM, good, flags, BMEM_TRIM_POOL, 0);
	WITH(BMEM_TRIM, queued, keep_bytes, 1, -EINVAL);
	EQ(call(c, BMEM_TRIM, &queued), 0);
	EQ(queued.trimmed_bytes, 0);
}

static void pools(void **state)
{
	uint32_t ids[2] = { 9, 9 };
	struct bmem_pool_list l = {
		.size = sizeof(l),
		.nr = 1,
		.ids = (uintptr_t)ids,
	};
	struct bmem_pool_stats s = { .size = sizeof(s) };
	struct bmem_pressure p = { .size = sizeof(p) };
	struct bmem_pool_list few = l;
	struct bmem_pool_create create = { .size = sizeof(create) };
	struct bmem_pool_resize resize = { .size = sizeof(resize) };
	struct bmem_pool_destroy destroy = { .size = sizeof(destroy) };

	(void)state;
	COMMON(BMEM_POOL_LIST, l);
	EQ(ids[0], 0);
	WITH(BMEM_POOL_LIST, l, __reserved, 1, -EOPNOTSUPP);
	WITH(BMEM_POOL_LIST, l, nr, BMEM_POOLS_MAX + 1, -EINVAL);
	ids[0] = 9;
	few.nr = 0;
	EQ(call(c, BMEM_POOL_LIST, &few), -EMSGSIZE);
	EQ(few.nr, 1);
	EQ(ids[0], 9);
	COMMON(BMEM_POOL_STATS, s);
	WITH(BMEM_POOL_STATS, s, nid, 1, -EINVAL);
	WITH(BMEM_POOL_STATS, s, flags, BMEM_STATS_NODE, 0);
	WITH(BMEM_POOL_STATS, s, pool, 1, -ENOENT);
	COMMON(BMEM_PRESSURE, p);
	WITH(BMEM_PRESSURE, p, nid, 1, -EINVAL);
	WITH(BMEM_PRESSURE, p, flags, BMEM_STATS_NODE, 0);
	WITH(BMEM_PRESSURE, p, pool, 1, -ENOENT);
	EQ(call(c, BMEM_PRESSURE, &p), 0);
	EQ(p.held_bytes, s.attached_bytes);
	EQ(p.level, BMEM_PRESSURE_NONE);
	EQ(call(c, BMEM_POOL_CREATE, &create), -EOPNOTSUPP);
	EQ(call(c, BMEM_POOL_RESIZE, &resize), -EOPNOTSUPP);
	EQ(call(c, BMEM_POOL_DESTROY, &destroy), -EOPNOTSUPP);
}

static const struct CMUnitTest tests[] = {
	CALL_TEST(no_such_call),
	CALL_TEST(query),
	CALL_TEST(bind),
	CALL_TEST(bind_cache_trims),
	CALL_TEST(site),
	CALL_TEST(alloc),
	CALL_TEST(alloc_failed_index),
	CALL_TEST(free_),
	CALL_TEST(free_generation),
	CALL_TEST(info),
	CALL_TEST(list),
	CALL_TEST(stats),
	CALL_TEST(slots),
	CALL_TEST(module),
	CALL_TEST(site_frames),
	CALL_TEST(site_list),
	CALL_TEST(client_list),
	CALL_TEST(clone_of_it),
	CALL_TEST(tombstones),
	CALL_TEST(links_and_leaks),
	CALL_TEST(trim),
	CALL_TEST(pools),
};

TEST_MAIN(tests)
