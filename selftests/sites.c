// SPDX-License-Identifier: GPL-2.0-only
/*
 * Call sites: their stacks and program files, what the kernel makes out of the
 * ledger about each, and what it makes of a ledger that is nonsense.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#define POOL_LIMIT	(64 * BT_MIB)
#define RECORDS		16384
#define LEDGER_BYTES	(RECORDS * sizeof(struct bmem_record))

/* A site that is never named. */
#define NO_SITE		4000000

FIXTURE(sites) {
	struct ctx x;
	int admin;
	struct bmem_query q;
	volatile struct bmem_clock *clock;
	volatile struct bmem_control *control;
	volatile struct bmem_record *ledger;
};

FIXTURE_SETUP(sites)
{
	int fd, pool;
	char *p;

	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	pool = bt_pool_create(self->admin, "sites", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, ctx_open(&self->x, pool));
	fd = self->x.c.fd;
	ASSERT_EQ(0, bt_query(fd, &self->q));
	p = mmap(NULL, 2 * BT_PAGE, PROT_READ, MAP_SHARED, fd,
		 self->q.control_offset);
	ASSERT_NE(MAP_FAILED, (void *)p);
	self->clock = (void *)p;
	self->control = (void *)(p + BT_PAGE);
	p = mmap(NULL, LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 self->q.ledger_offset);
	ASSERT_NE(MAP_FAILED, (void *)p);
	self->ledger = (void *)p;
}

/* All that keeps the client. */
static void client_end(FIXTURE_DATA(sites) *self)
{
	if (self->clock) {
		munmap((void *)self->clock, 2 * BT_PAGE);
		munmap((void *)self->ledger, LEDGER_BYTES);
	}
	self->clock = NULL;
	bt_client_close(&self->x.c);
}

FIXTURE_TEARDOWN(sites)
{
	client_end(self);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->x.c.pool));
	close(self->admin);
}

/* ---- what a library does ------------------------------------------------------ */

static __u32 ticks(FIXTURE_DATA(sites) *self)
{
	return self->clock->ticks - self->control->epoch;
}

static int slots_get(int fd, __u32 class, __u64 *names, __u32 nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg), .size_class = class, .nr = nr,
		.slots = (uintptr_t)names,
	};
	int ret = bt_call(fd, BMEM_SLOTS_GET, &arg);

	return ret ?: arg.nr == nr ? 0 : -ENOMEM;
}

static int slots_put(int fd, __u64 *names, __u32 nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg), .nr = nr, .slots = (uintptr_t)names,
	};
	int ret = bt_call(fd, BMEM_SLOTS_PUT, &arg);

	return ret ?: arg.nr == nr ? 0 : -ENOENT;
}

static volatile struct bmem_record *record_of(FIXTURE_DATA(sites) *self,
					      __u64 name)
{
	return &self->ledger[name >> BMEM_SLOT_PLACE_BITS];
}

static void record_alloc(FIXTURE_DATA(sites) *self, __u64 name, __u64 bytes,
			 __u32 site)
{
	volatile struct bmem_record *r = record_of(self, name);
	__u64 gen = r->head >> BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK;

	r->what = (__u64)site << BMEM_RECORD_SITE_SHIFT | ticks(self);
	__atomic_store_n(&r->head, bytes << BMEM_RECORD_SIZE_SHIFT |
			 ((gen + 1) & BMEM_RECORD_GEN_MASK) << BMEM_RECORD_GEN_SHIFT |
			 BMEM_RECORD_LIVE, __ATOMIC_RELEASE);
}

static void record_free(FIXTURE_DATA(sites) *self, __u64 name)
{
	volatile struct bmem_record *r = record_of(self, name);
	__u64 what = r->what;

	__atomic_store_n(&r->head, r->head & ~BMEM_RECORD_STATE_MASK,
			 __ATOMIC_RELEASE);
	r->what = (what & ~0xffffffffULL) | (__u32)(ticks(self) - (__u32)what);
}

/* ---- asking ---------------------------------------------------------------------- */

static int list(int fd, __u64 client, __u64 *cursor, struct bmem_site_row *rows,
		__u32 *nr)
{
	struct bmem_site_list arg = {
		.size = sizeof(arg), .client_id = client, .cursor = *cursor,
		.row_size = sizeof(*rows), .nr = *nr, .rows = (uintptr_t)rows,
	};
	int ret = bt_call(fd, BMEM_SITE_LIST, &arg);

	*cursor = arg.cursor;
	*nr = arg.nr;
	return ret;
}

/* The row of one site, as of now; 0 or -errno. */
static int row_of(int fd, __u32 site, struct bmem_site_row *row)
{
	static struct bmem_site_row rows[BMEM_BATCH_MAX];
	__u32 nr = BMEM_BATCH_MAX, i;
	__u64 cursor = 0;
	int ret = list(fd, 0, &cursor, rows, &nr);

	for (i = 0; !ret && i < nr; i++) {
		if (rows[i].site == site) {
			*row = rows[i];
			return 0;
		}
	}
	return ret ?: -ENOENT;
}

static int name_site(int fd, __u32 site, const char *label,
		     struct bmem_frame *frames, __u32 nr)
{
	struct bmem_site arg = {
		.size = sizeof(arg), .site = site, .frames = (uintptr_t)frames,
		.nr_frames = nr,
	};

	strcpy(arg.label, label);
	return bt_call(fd, BMEM_SITE, &arg);
}

static int frames_of(int fd, __u64 client, __u32 site, struct bmem_frame *frames,
		     __u32 *nr)
{
	struct bmem_site_frames arg = {
		.size = sizeof(arg), .client_id = client, .site = site,
		.nr = *nr, .frames = (uintptr_t)frames,
	};
	int ret = bt_call(fd, BMEM_SITE_FRAMES, &arg);

	*nr = arg.nr;
	return ret;
}

static int name_module(int fd, __u32 module, const char *path, __u32 len)
{
	struct bmem_module arg = {
		.size = sizeof(arg), .module = module, .build_id_len = len,
	};

	memset(arg.build_id, 0xa0 + module % 16, len);
	strcpy(arg.path, path);
	return bt_call(fd, BMEM_MODULE, &arg);
}

static int module_info(int fd, __u64 client, __u32 module,
		       struct bmem_module_info *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->client_id = client;
	arg->module = module;
	return bt_call(fd, BMEM_MODULE_INFO, arg);
}

/* ---- stacks and program files ------------------------------------------------------ */

TEST_F_TIMEOUT(sites, program_files, BT_SLOW)
{
	struct bmem_module_info info;
	int fd = self->x.c.fd;

	ASSERT_EQ(0, name_module(fd, 7, "/lib/a b.so", BMEM_BUILD_ID_MAX));
	ASSERT_EQ(0, module_info(fd, 0, 7, &info));
	EXPECT_STREQ("/lib/a b.so", info.path);
	EXPECT_EQ(BMEM_BUILD_ID_MAX, info.build_id_len);
	EXPECT_EQ(-1, bt_not_byte(info.build_id, BMEM_BUILD_ID_MAX, 0xa7));

	/* Named again, all of it is replaced. */
	ASSERT_EQ(0, name_module(fd, 7, "/x", 0));
	ASSERT_EQ(0, module_info(fd, 0, 7, &info));
	EXPECT_STREQ("/x", info.path);
	EXPECT_EQ(0, info.build_id_len);
	EXPECT_EQ(-1, bt_not_byte(info.build_id, BMEM_BUILD_ID_MAX, 0));
	EXPECT_EQ(-1, bt_not_byte(info.path + 2, BMEM_PATH_LEN - 2, 0));
}

TEST_F_TIMEOUT(sites, bad_program_files, BT_SLOW)
{
	struct bmem_module arg = { .size = sizeof(arg), .module = 9 };
	struct bmem_module_info info;
	int fd = self->x.c.fd;

	memset(arg.path, 'a', sizeof(arg.path));
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_MODULE, &arg));
	strcpy(arg.path, "a\nb");
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_MODULE, &arg));
	strcpy(arg.path, "/fine");
	arg.build_id[0] = 1;
	EXPECT_EQ(-EINVAL, bt_call(fd, BMEM_MODULE, &arg));
	EXPECT_EQ(-ENOENT, module_info(fd, 0, 9, &info));
	arg.build_id_len = 1;
	EXPECT_EQ(0, bt_call(fd, BMEM_MODULE, &arg));
}

TEST_F_TIMEOUT(sites, most_program_files, BT_SLOW)
{
	struct bmem_module_info info;
	__u32 i;

	for (i = 1; i <= BMEM_MODULES_MAX; i++)
		ASSERT_EQ(0, name_module(self->x.c.fd, i, "/bin/true", i % 33));
	for (i = 1; i <= BMEM_MODULES_MAX; i++) {
		ASSERT_EQ(0, module_info(self->x.c.fd, 0, i, &info));
		ASSERT_EQ(i % 33, info.build_id_len);
	}
}

static void fill_stack(struct bmem_frame *frames, __u32 nr, __u64 seed)
{
	__u32 i;

	for (i = 0; i < nr; i++)
		frames[i] = (struct bmem_frame){ i % 2, 0, bt_random(&seed) };
}

TEST_F_TIMEOUT(sites, stacks, BT_SLOW)
{
	struct bmem_frame in[BMEM_FRAMES_MAX], out[BMEM_FRAMES_MAX];
	int fd = self->x.c.fd;
	struct bmem_site_row row;
	__u32 nr = BMEM_FRAMES_MAX;

	fill_stack(in, BMEM_FRAMES_MAX, 5);
	ASSERT_EQ(0, name_site(fd, 20, "deep", in, BMEM_FRAMES_MAX));
	ASSERT_EQ(0, frames_of(fd, 0, 20, out, &nr));
	ASSERT_EQ(BMEM_FRAMES_MAX, nr);
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));

	/* No frames leave them as they are; some replace them. */
	ASSERT_EQ(0, name_site(fd, 20, "label", NULL, 0));
	nr = BMEM_FRAMES_MAX;
	ASSERT_EQ(0, frames_of(fd, 0, 20, out, &nr));
	EXPECT_EQ(BMEM_FRAMES_MAX, nr);
	ASSERT_EQ(0, name_site(fd, 20, "", in + 3, 2));
	nr = 2;
	ASSERT_EQ(0, frames_of(fd, 0, 20, out, &nr));
	EXPECT_EQ(2, nr);
	EXPECT_EQ(0, memcmp(in + 3, out, sizeof(*in) * 2));
	ASSERT_EQ(0, row_of(fd, 20, &row));
	EXPECT_EQ(2, row.nr_frames);
	EXPECT_STREQ("", row.label);

	nr = 1;
	EXPECT_EQ(-EMSGSIZE, frames_of(fd, 0, 20, out, &nr));
	EXPECT_EQ(2, nr);
	nr = 0;
	EXPECT_EQ(-EMSGSIZE, frames_of(fd, 0, 20, NULL, &nr));
	EXPECT_EQ(2, nr);
	nr = 0;
	EXPECT_EQ(0, name_site(fd, 21, "none", NULL, 0));
	EXPECT_EQ(0, frames_of(fd, 0, 21, NULL, &nr));
}

/* What is refused has made no site, and has not touched one. */
TEST_F_TIMEOUT(sites, bad_stacks, BT_SLOW)
{
	static const struct {
		struct bmem_frame frame;
		int err;
	} bad[] = {
		{ { 0, 1, 0 }, EOPNOTSUPP },
		{ { 2, 0, 0 }, EINVAL },
		{ { BMEM_MODULES_MAX, 0, 0 }, EINVAL },
		{ { BMEM_MODULES_MAX + 1, 0, 0 }, EINVAL },
		{ { 65536 + 1, 0, 0 }, EINVAL },
		{ { 0xffffffff, 0, 0 }, EINVAL },
	};
	struct bmem_frame frames[FRAMES], out[FRAMES];
	struct bt_snap before, after;
	int fd = self->x.c.fd;
	__u32 i, nr = FRAMES;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(frames, self->x.frames, sizeof(frames));
		frames[FRAMES - 1] = bad[i].frame;
		bt_snap(fd, &before);
		EXPECT_EQ(-bad[i].err, name_site(fd, 30, "new", frames, FRAMES)) {
			TH_LOG("bad frame %u", i);
		}
		EXPECT_EQ(-bad[i].err, name_site(fd, 1, "old", frames, FRAMES));
		bt_snap(fd, &after);
		EXPECT_EQ(NULL, bt_snap_diff(&before, &after));
	}
	EXPECT_EQ(-ENOENT, frames_of(fd, 0, 30, out, &nr));
	nr = FRAMES;
	ASSERT_EQ(0, frames_of(fd, 0, 1, out, &nr));
	EXPECT_EQ(0, memcmp(out, self->x.frames, sizeof(out)));
}

/* ---- the list -------------------------------------------------------------------- */

TEST_F_TIMEOUT(sites, list_in_pieces, BT_SLOW)
{
	struct bmem_site_row rows[3];
	__u32 id, nr, want[] = { 0, 1, 5, 4711, 0xffffffff }, n = 0, i;
	int fd = self->x.c.fd;
	__u64 cursor = 0;

	for (i = 2; i < ARRAY_SIZE(want); i++)
		ASSERT_EQ(0, bt_site(fd, want[i], "x"));
	do {
		nr = 2;
		ASSERT_EQ(0, list(fd, 0, &cursor, rows, &nr));
		for (i = 0; i < nr; i++, n++) {
			id = rows[i].site;
			ASSERT_LT(n, ARRAY_SIZE(want));
			EXPECT_EQ(want[n], id);
		}
	} while (nr == 2);
	EXPECT_EQ(ARRAY_SIZE(want), n);
	nr = 2;
	cursor = ~0ULL;
	EXPECT_EQ(0, list(fd, 0, &cursor, rows, &nr));
	EXPECT_EQ(0, nr);
}

/* A caller of a later version reads zeroes in what this kernel does not know. */
TEST_F_TIMEOUT(sites, longer_rows, BT_SLOW)
{
	size_t row_size = sizeof(struct bmem_site_row) + 24;
	unsigned char *rows = malloc(3 * row_size);
	struct bmem_site_list arg = {
		.size = sizeof(arg), .row_size = row_size, .nr = 3,
		.rows = (uintptr_t)rows,
	};
	struct bmem_site_row *second = (void *)(rows + row_size);

	memset(rows, 0xee, 3 * row_size);
	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_SITE_LIST, &arg));
	EXPECT_EQ(2, arg.nr);
	EXPECT_EQ(1, second->site);
	EXPECT_EQ(-1, bt_not_byte(second + 1, 24, 0));
	EXPECT_EQ(-1, bt_not_byte(rows + 2 * row_size, row_size, 0xee));
	free(rows);
}

TEST_F_TIMEOUT(sites, most_sites, BT_SLOW)
{
	struct bmem_alloc_entry e = { .bytes = 4096, .site = NO_SITE };
	struct bmem_client_stats st;
	int fd = self->x.c.fd;
	struct bmem_site_row row;
	__u32 i;

	for (i = 2; i <= BMEM_SITES_MAX; i++)
		ASSERT_EQ(0, name_site(fd, i, "s", self->x.frames, FRAMES));
	EXPECT_EQ(-ENOSPC, name_site(fd, NO_SITE, "one more", NULL, 0));
	EXPECT_EQ(0, name_site(fd, BMEM_SITES_MAX, "renamed", NULL, 0));

	/* Tensors of yet another site are those of none. */
	ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	ASSERT_EQ(0, row_of(fd, 0, &row));
	EXPECT_EQ(LIVE + 1, row.live_tensors);
	ASSERT_EQ(0, bt_client_stats(fd, 0, &st));
	EXPECT_EQ(BMEM_SITES_MAX, st.sites);
	/* With a stack of three frames a site takes less than 512 bytes. */
	EXPECT_LT(st.meta_bytes, BMEM_SITES_MAX * 512ULL + BT_MIB);
}

/* ---- other users ------------------------------------------------------------------- */

struct user {
	const char *node;
	__u64 id;
};

static int nobody_looks(void *arg)
{
	struct bmem_module_info info;
	struct bmem_frame frames[FRAMES];
	struct bmem_site_row row;
	struct user *u = arg;
	__u32 nr = 1;
	__u64 cursor = 0;
	int fd;

	if (bt_become(BT_NOBODY, BT_NOBODY, -1))
		return 1;
	fd = open(u->node, O_RDWR);
	if (fd < 0)
		return 2;
	if (list(fd, u->id, &cursor, &row, &nr) != -ENOENT)
		return 3;
	nr = FRAMES;
	if (frames_of(fd, u->id, 1, frames, &nr) != -ENOENT)
		return 4;
	return module_info(fd, u->id, 1, &info) == -ENOENT ? 0 : 5;
}

TEST_F_TIMEOUT(sites, other_clients, BT_SLOW)
{
	struct bmem_module_info info;
	struct bmem_frame frames[FRAMES];
	struct bmem_site_row rows[2];
	__u32 nr = 2;
	__u64 cursor = 0;
	struct user u = { .id = self->q.client_id };
	char node[64];

	/* Root may look at all, */
	EXPECT_EQ(0, list(self->admin, u.id, &cursor, rows, &nr));
	EXPECT_EQ(2, nr);
	EXPECT_STREQ("a site", rows[1].label);
	nr = FRAMES;
	EXPECT_EQ(0, frames_of(self->admin, u.id, 1, frames, &nr));
	EXPECT_EQ(0, memcmp(frames, self->x.frames, sizeof(frames)));
	EXPECT_EQ(0, module_info(self->admin, u.id, 1, &info));
	EXPECT_STREQ("/a/program", info.path);
	/* a stranger at none. */
	ASSERT_EQ(0, bt_lend_device(node, sizeof(node)));
	u.node = node;
	EXPECT_EQ(0, bt_in_child(nobody_looks, &u));
	unlink(node);
}

/* ---- figures ------------------------------------------------------------------------- */

TEST_F_TIMEOUT(sites, figures_of_tensors, BT_SLOW)
{
	static const __u64 sizes[] = { 100, 5000, 5000, 70000, 3 * BT_MIB };
	struct bmem_alloc_entry e[ARRAY_SIZE(sizes)] = {};
	int fd = self->x.c.fd;
	struct bmem_site_row row;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		e[i].bytes = sizes[i];
		e[i].site = 50;
	}
	ASSERT_EQ(0, bt_alloc(fd, e, ARRAY_SIZE(sizes), NULL));
	ASSERT_EQ(0, row_of(fd, 50, &row));
	EXPECT_EQ(5, row.live_tensors);
	EXPECT_EQ(100 + 2 * 5000 + 70000 + 3 * BT_MIB, row.live_bytes);
	EXPECT_EQ(row.live_bytes, row.peak_bytes);
	EXPECT_EQ(5, row.allocs);
	EXPECT_EQ(0, row.frees);
	EXPECT_EQ(4, row.nr_sizes);
	EXPECT_EQ(100, row.sizes[0]);
	EXPECT_EQ(3 * BT_MIB, row.sizes[3]);
	EXPECT_EQ(1, row.size_hist[0]);
	EXPECT_EQ(2, row.size_hist[3]);
	EXPECT_EQ(1, row.size_hist[5]);
	EXPECT_EQ(1, row.size_hist[7]);

	usleep(60000);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, bt_free1(fd, e[i].handle));
	e[0].bytes = 12345;
	ASSERT_EQ(0, bt_alloc(fd, e, 1, NULL));
	ASSERT_EQ(0, row_of(fd, 50, &row));
	EXPECT_EQ(2, row.live_tensors);
	EXPECT_EQ(12345 + 3 * BT_MIB, row.live_bytes);
	EXPECT_LT(row.live_bytes, row.peak_bytes);
	EXPECT_EQ(6, row.allocs);
	EXPECT_EQ(4, row.frees);
	/* More sizes than are kept. */
	EXPECT_EQ(BMEM_SITE_SIZES + 1, row.nr_sizes);
	/* Lives of 60 ms or more: bucket 3 begins at 40 ms. */
	EXPECT_EQ(0, row.life_hist[0] + row.life_hist[1] + row.life_hist[2]);
	for (i = 3; i < BMEM_SITE_BUCKETS; i++)
		row.life_hist[0] += row.life_hist[i];
	EXPECT_EQ(4, row.life_hist[0]);
	EXPECT_LE(60, row.first_ms);
}

#define MODEL_SLOTS	200
#define MODEL_SITES	8

/**
 * struct model - what the ledger is told, kept besides
 * @name: slots
 * @bytes: of the tensor that is in it, or 0
 * @site: its site
 * @live: tensors by site
 * @live_bytes: their bytes
 * @allocs: all so far
 */
struct model {
	__u64 name[MODEL_SLOTS];
	__u64 bytes[MODEL_SLOTS];
	__u32 site[MODEL_SLOTS];
	__u64 live[MODEL_SITES];
	__u64 live_bytes[MODEL_SITES];
	__u64 allocs;
};

static void model_step(FIXTURE_DATA(sites) *self, struct model *m, __u64 *rnd)
{
	unsigned int i = bt_random(rnd) % MODEL_SLOTS;
	__u32 s = m->site[i];

	if (m->bytes[i]) {
		record_free(self, m->name[i]);
		m->live[s]--;
		m->live_bytes[s] -= m->bytes[i];
		m->bytes[i] = 0;
		return;
	}
	s = bt_random(rnd) % MODEL_SITES;
	m->site[i] = s;
	m->bytes[i] = 1 + bt_random(rnd) % 1024;
	m->live[s]++;
	m->live_bytes[s] += m->bytes[i];
	m->allocs++;
	record_alloc(self, m->name[i], m->bytes[i], 100 + s);
}

static const char *model_differs(int fd, const struct model *m)
{
	__u64 allocs = 0, frees = 0, live = 0;
	struct bmem_site_row row;
	unsigned int s;

	for (s = 0; s < MODEL_SITES; s++) {
		if (row_of(fd, 100 + s, &row))
			return "no row";
		if (row.live_tensors != m->live[s])
			return "tensors";
		if (row.live_bytes != m->live_bytes[s])
			return "bytes";
		if (row.peak_bytes < row.live_bytes)
			return "peak";
		allocs += row.allocs;
		frees += row.frees;
		live += row.live_tensors;
	}
	if (allocs != m->allocs)
		return "allocs";
	return allocs == frees + live ? NULL : "frees";
}

/* Whatever slots share sites and sites share slots, sums are exact. */
TEST_F_TIMEOUT(sites, figures_of_slots, BT_SLOW)
{
	static struct model m;
	__u64 rnd = 42;
	int fd = self->x.c.fd, i, round;
	const char *bad;

	ASSERT_EQ(0, slots_get(fd, 15, m.name, MODEL_SLOTS));
	for (i = 0; i < MODEL_SITES; i++)
		ASSERT_EQ(0, bt_site(fd, 100 + i, "model"));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 1000; i++)
			model_step(self, &m, &rnd);
		bad = model_differs(fd, &m);
		ASSERT_EQ(NULL, bad) {
			TH_LOG("round %d: %s", round, bad);
		}
	}
	/* Nothing is lost, and nothing counted twice, when slots go back. */
	for (i = 0; i < MODEL_SLOTS; i++)
		if (m.bytes[i])
			record_free(self, m.name[i]);
	ASSERT_EQ(0, slots_put(fd, m.name, MODEL_SLOTS));
	memset(m.live, 0, sizeof(m.live));
	memset(m.live_bytes, 0, sizeof(m.live_bytes));
	bad = model_differs(fd, &m);
	EXPECT_EQ(NULL, bad) {
		TH_LOG("in the end: %s", bad);
	}
}

/* What happens between two looks is counted by the generation. */
TEST_F_TIMEOUT(sites, many_in_one_slot, BT_SLOW)
{
	int fd = self->x.c.fd, i;
	struct bmem_site_row row;
	__u64 name;

	ASSERT_EQ(0, bt_site(fd, 60, "loop"));
	ASSERT_EQ(0, slots_get(fd, 3, &name, 1));
	for (i = 0; i < 5000; i++) {
		record_alloc(self, name, 200, 60);
		record_free(self, name);
	}
	ASSERT_EQ(0, row_of(fd, 60, &row));
	EXPECT_EQ(5000, row.allocs);
	EXPECT_EQ(5000, row.frees);
	EXPECT_EQ(BMEM_SITE_TEMPORARY, row.site_class);
	for (i = 0; i < 3000; i++) {
		record_alloc(self, name, 200, 60);
		record_free(self, name);
	}
	ASSERT_EQ(0, slots_put(fd, &name, 1));
	ASSERT_EQ(0, row_of(fd, 60, &row));
	EXPECT_EQ(8000, row.allocs);
	EXPECT_EQ(8000, row.frees);
	EXPECT_EQ(1, row.nr_sizes);
	EXPECT_EQ(200, row.sizes[0]);
	EXPECT_EQ(0, row.live_tensors);

	/* A slot that is given out again begins anew. */
	ASSERT_EQ(0, slots_get(fd, 3, &name, 1));
	record_alloc(self, name, 200, 60);
	ASSERT_EQ(0, row_of(fd, 60, &row));
	EXPECT_EQ(8001, row.allocs);
	EXPECT_EQ(1, row.live_tensors);
}

/* A tensor with a record is used again without a call. */
TEST_F_TIMEOUT(sites, recorded_tensor, BT_SLOW)
{
	struct bmem_alloc_entry e = {
		.bytes = 100000, .site = 70, .flags = BMEM_ALLOC_RECORD,
	};
	struct bmem_site_row row;
	int fd = self->x.c.fd;

	ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	ASSERT_EQ(0, row_of(fd, 70, &row));
	EXPECT_EQ(1, row.live_tensors);
	EXPECT_EQ(100000, row.live_bytes);
	EXPECT_EQ(1, row.allocs);
	/* Freed alive: it lived until now. */
	ASSERT_EQ(0, bt_free1(fd, e.handle));
	ASSERT_EQ(0, row_of(fd, 70, &row));
	EXPECT_EQ(0, row.live_tensors);
	EXPECT_EQ(1, row.allocs);
	EXPECT_EQ(1, row.frees);
}

/* Nobody asks for it, and the ledger is looked at all the same. */
TEST_F_TIMEOUT(sites, worker, BT_SLOW)
{
	__u64 name, swept;

	ASSERT_EQ(0, slots_get(self->x.c.fd, 3, &name, 1));
	swept = bt_debugfs_value("overhead", "sweeps_ns");
	EXPECT_TRUE(BT_WAIT(bt_debugfs_value("overhead", "sweeps_ns") > swept,
			    60000));
	EXPECT_EQ(0, slots_put(self->x.c.fd, &name, 1));
}

#define MANY_SLOTS	400000
#define CHEAP_NS	2000000ULL
#define DEAR_NS		40000000ULL

/* What the next sweep takes, in nanoseconds; 0 when none comes. */
static __u64 next_sweep(void)
{
	__u64 swept = bt_debugfs_value("overhead", "sweeps_ns"), now = swept;

	BT_WAIT((now = bt_debugfs_value("overhead", "sweeps_ns")) > swept, BT_SOON);
	return now - swept;
}

/*
 * Every sweep has its part of the CPU.  One that took long, as one does that
 * others keep from the CPU, does not put the next off before a second one says
 * so: here it is many slots of a sudden.
 */
TEST_F_TIMEOUT(sites, one_long_sweep, BT_SLOW)
{
	static __u64 names[BMEM_BATCH_MAX];
	__u64 many, begun, took;
	char level[32];
	int i;

	ASSERT_EQ(0, bt_param("level", level, sizeof(level)));
	ASSERT_TRUE(BT_WAIT((many = next_sweep()) && many < CHEAP_NS, BT_SOON));
	/* None comes before all slots are there. */
	ASSERT_EQ(0, bt_param_set("level", "off"));
	for (i = 0; i < MANY_SLOTS; i += BMEM_BATCH_MAX)
		ASSERT_EQ(0, slots_get(self->x.c.fd, 0, names, BMEM_BATCH_MAX));
	ASSERT_EQ(0, bt_param_set("level", level));
	many = next_sweep();
	begun = bt_now_ns();
	ASSERT_NE(0, next_sweep());
	took = bt_now_ns() - begun;
	TH_LOG("a sweep of %u slots: %llu us, the next one after %llu ms",
	       MANY_SLOTS, many / 1000, took / 1000000);
	if (many < DEAR_NS)
		SKIP(return, "the machine is too fast to tell");
	/* Its part of the CPU is half a percent. */
	EXPECT_GT(100 * many, took);
}

/* ---- classes --------------------------------------------------------------------------- */

#define ONE_SHOT	200
#define TEMPORARY	201
#define CACHE		202
#define GROWING		203
#define STEADY		204
#define PLAIN_GROWING	205

#define CACHED		64
#define STEPS		300
#define STEP_US		50000

/*
 * Fifteen seconds of a program: a model that is loaded, activations that come
 * and go, a cache that fills up and evicts, and two leaks.
 */
TEST_F_TIMEOUT(sites, classes, BT_SLOW)
{
	static __u64 steady[40], cache[CACHED], loop[4], leak[STEPS];
	struct bmem_alloc_entry once[2] = {
		{ .bytes = BT_MIB, .site = ONE_SHOT },
		{ .bytes = 2 * BT_MIB, .site = ONE_SHOT },
	}, plain = { .bytes = 8192, .site = PLAIN_GROWING };
	static const struct {
		__u32 site, class;
	} want[] = {
		{ ONE_SHOT, BMEM_SITE_ONE_SHOT },
		{ TEMPORARY, BMEM_SITE_TEMPORARY },
		{ CACHE, BMEM_SITE_CACHE },
		{ GROWING, BMEM_SITE_GROWING },
		{ STEADY, BMEM_SITE_STEADY },
		{ PLAIN_GROWING, BMEM_SITE_GROWING },
	};
	struct bmem_site_row row;
	int fd = self->x.c.fd, i, k;
	char path[64];

	for (i = 0; i < (int)ARRAY_SIZE(want); i++)
		ASSERT_EQ(0, bt_site(fd, want[i].site, "class"));
	ASSERT_EQ(0, bt_alloc(fd, once, 2, NULL));
	ASSERT_EQ(0, slots_get(fd, 20, steady, ARRAY_SIZE(steady)));
	ASSERT_EQ(0, slots_get(fd, 25, cache, CACHED));
	ASSERT_EQ(0, slots_get(fd, 10, loop, ARRAY_SIZE(loop)));
	ASSERT_EQ(0, slots_get(fd, 12, leak, STEPS));
	for (i = 0; i < (int)ARRAY_SIZE(steady); i++)
		record_alloc(self, steady[i], 1500, STEADY);
	for (i = 0; i < STEPS; i++) {
		for (k = 0; k < (int)ARRAY_SIZE(loop); k++) {
			record_alloc(self, loop[k], 640 + k, TEMPORARY);
			record_free(self, loop[k]);
		}
		if (i >= CACHED)
			record_free(self, cache[i % CACHED]);
		record_alloc(self, cache[i % CACHED], 2500, CACHE);
		record_alloc(self, leak[i], 800, GROWING);
		if (i % 4 == 0)
			ASSERT_EQ(0, bt_alloc(fd, &plain, 1, NULL));
		/* On a slow machine the worker does not look every second. */
		if (i % 10 == 0)
			ASSERT_EQ(0, row_of(fd, STEADY, &row));
		usleep(STEP_US);
	}
	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		ASSERT_EQ(0, row_of(fd, want[i].site, &row));
		EXPECT_EQ(want[i].class, row.site_class) {
			TH_LOG("site %u: live %llu peak %llu allocs %llu frees %llu last %llu ms",
			       row.site, row.live_bytes, row.peak_bytes,
			       row.allocs, row.frees, row.last_ms);
		}
	}
	/* The file says the same. */
	ASSERT_EQ(0, bt_table_text("sites", "site", "203", "class", path, sizeof(path)));
	EXPECT_STREQ("growing", path);
	ASSERT_EQ(0, bt_table_text("sites", "site", "202", "sizes", path, sizeof(path)));
	EXPECT_STREQ("2500", path);
}

/* ---- nonsense --------------------------------------------------------------------------- */

#define NONSENSE_SLOTS	1000

/* Reads all reports, over and over, until it is killed. */
static int reader(void *arg)
{
	static const char * const files[] = {
		"sites", "growth", "stats", "tensors", "tombstones", "clients", "overhead",
	};
	char path[128], *text;
	unsigned int i;

	(void)arg;
	for (;;) {
		for (i = 0; i < ARRAY_SIZE(files); i++) {
			snprintf(path, sizeof(path), BT_DEBUGFS "/%s", files[i]);
			text = bt_read_file(path);
			if (!text)
				return 1;
			free(text);
		}
	}
	return 0;
}

static __u64 any_client(FIXTURE_DATA(sites) *self, const char *column)
{
	char id[24];
	__u64 sum = ~0ULL;

	snprintf(id, sizeof(id), "%llu", self->q.client_id);
	bt_table_sum("sites", "client", id, column, &sum);
	return sum;
}

TEST_F_TIMEOUT(sites, random_ledger, BT_SLOW)
{
	static __u64 names[NONSENSE_SLOTS];
	struct bmem_client_stats before = { .size = sizeof(before) };
	struct bmem_client_stats after = before;
	int fd = self->x.c.fd, i, status;
	__u64 rnd = 11, end, rounds = 0;
	pid_t pid;

	ASSERT_EQ(0, slots_get(fd, 0, names, NONSENSE_SLOTS));
	ASSERT_EQ(0, bt_call(fd, BMEM_CLIENT_STATS, &before));
	pid = bt_spawn(reader, NULL);
	ASSERT_LT(0, pid);
	for (end = bt_now_ms() + 3000; bt_now_ms() < end || rounds < 100; rounds++) {
		for (i = 0; i < 1000; i++) {
			volatile struct bmem_record *r = record_of(self,
				names[bt_random(&rnd) % NONSENSE_SLOTS]);

			r->what = bt_random(&rnd);
			r->head = bt_random(&rnd);
		}
	}
	/* The kernel's own totals are what they were. */
	ASSERT_EQ(0, bt_call(fd, BMEM_CLIENT_STATS, &after));
	EXPECT_EQ(before.sites, after.sites);
	EXPECT_EQ(before.slots, after.slots);
	EXPECT_EQ(before.live_tensors, after.live_tensors);
	EXPECT_EQ(before.live_bytes, after.live_bytes);
	EXPECT_EQ(before.granted_bytes, after.granted_bytes);
	EXPECT_EQ(before.attached_bytes, after.attached_bytes);
	/* No site is made, and what names none is marked. */
	EXPECT_LT(NONSENSE_SLOTS / 2, any_client(self, "strange"));
	EXPECT_EQ(1, any_client(self, "site"));

	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, slots_put(fd, names, NONSENSE_SLOTS));
	EXPECT_EQ(NULL, bt_check(fd));
}

#define LABELS		200

/* Is it to be taken?  It ends, and no byte before that controls a terminal. */
static bool is_text(const char *label)
{
	int i;

	for (i = 0; i < BMEM_LABEL_LEN && label[i]; i++)
		if ((unsigned char)label[i] < 32 || label[i] == 127)
			return false;
	return i < BMEM_LABEL_LEN;
}

/* Of any bytes; of text alone; of that and one byte that is none. */
static void random_label(char *label, __u64 *rnd, unsigned int round)
{
	unsigned int len = bt_random(rnd) % (BMEM_LABEL_LEN + 1), i;

	memset(label, 0, BMEM_LABEL_LEN);
	for (i = 0; i < len; i++) {
		label[i] = bt_random(rnd);
		if (round % 4 && ((unsigned char)label[i] < 32 || label[i] == 127))
			label[i] |= 0x80;
	}
	/* Each of them comes in its turn. */
	if (round % 4 == 2 && len)
		label[bt_random(rnd) % len] = round / 4 % 33 < 32 ? round / 4 % 33 : 127;
}

/* The first byte of a report that is no text, or -1. */
static int strange_byte(const char *name)
{
	char path[128], *text, *at;
	int ch = -1;

	snprintf(path, sizeof(path), BT_DEBUGFS "/%s", name);
	text = bt_read_file(path);
	if (!text)
		return 0;
	for (at = text; *at && ch < 0; at++)
		if (*at != '\n' && *at != '\t' && (*at < 32 || *at > 126))
			ch = (unsigned char)*at;
	free(text);
	return ch;
}

/* Labels of random bytes are refused, or kept to the byte, and shown as text. */
TEST_F_TIMEOUT(sites, random_labels, BT_SLOW)
{
	static const char * const files[] = {
		"sites", "growth", "clients", "tensors",
	};
	struct bmem_bind bind = { .size = sizeof(bind), .flags = BMEM_BIND_LABEL };
	struct bmem_alloc_entry e = { .bytes = 5000 };
	int fd = self->x.c.fd, taken = 0, ret;
	struct bmem_site_row row;
	__u64 rnd = 7;
	__u32 i;

	for (i = 0; i < LABELS; i++) {
		struct bmem_site site = { .size = sizeof(site), .site = 1000 + i };

		random_label(site.label, &rnd, i);
		memcpy(bind.label, site.label, sizeof(bind.label));
		ret = is_text(site.label) ? 0 : -EINVAL;
		EXPECT_EQ(ret, bt_call(fd, BMEM_SITE, &site));
		EXPECT_EQ(ret, bt_call(fd, BMEM_BIND, &bind));
		EXPECT_EQ(ret ? -ENOENT : 0, row_of(fd, site.site, &row));
		if (ret)
			continue;
		EXPECT_STREQ(site.label, row.label);
		e.site = site.site;
		ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
		taken++;
	}
	EXPECT_LT(LABELS / 4, taken);
	EXPECT_GT(LABELS, taken);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		ret = strange_byte(files[i]);
		EXPECT_EQ(-1, ret) {
			TH_LOG("file %u: byte %#x", i, ret);
		}
	}
	client_end(self);
	EXPECT_EQ(-1, strange_byte("tombstones"));
}

/* ---- levels ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(sites, levels, BT_SLOW)
{
	static const char * const bad[] = { " ", "most", "4", "-1", "fullest", "1x" };
	struct bmem_bind bind = {
		.size = sizeof(bind), .flags = BMEM_BIND_LEVEL,
		.level = BMEM_LEVEL_STANDARD,
	};
	struct bmem_alloc_entry e = { .bytes = 4096, .site = 90 };
	int fd = self->x.c.fd;
	struct bmem_tensor_info info;
	struct bmem_site_row row;
	char level[32];
	unsigned int i;

	ASSERT_EQ(0, bt_param("level", level, sizeof(level)));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_NE(0, bt_param_set("level", bad[i])) {
			TH_LOG("bad level %u", i);
		}
	}
	EXPECT_EQ(BMEM_LEVEL_STANDARD, self->control->level);
	EXPECT_EQ(0, bt_param_set("level", "counts"));
	EXPECT_EQ(BMEM_LEVEL_COUNTS, self->control->level);
	/* The lower of the two holds. */
	EXPECT_EQ(0, bt_call(fd, BMEM_BIND, &bind));
	EXPECT_EQ(BMEM_LEVEL_COUNTS, self->control->level);
	EXPECT_EQ(0, bt_param_set("level", "3"));
	EXPECT_EQ(BMEM_LEVEL_STANDARD, self->control->level);

	EXPECT_EQ(0, bt_param_set("level", "off"));
	EXPECT_EQ(BMEM_LEVEL_OFF, self->control->level);
	EXPECT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	EXPECT_EQ(0, bt_info(fd, e.handle, &info));
	EXPECT_EQ(0, info.tensor.site);
	EXPECT_EQ(-ENOENT, row_of(fd, 90, &row));
	EXPECT_EQ(0, bt_param_set("level", level));

	/* What was allocated before is freed after, and the other way round. */
	EXPECT_EQ(0, bt_free1(fd, e.handle));
	EXPECT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	EXPECT_EQ(0, bt_param_set("level", "off"));
	EXPECT_EQ(0, bt_free1(fd, e.handle));
	EXPECT_EQ(0, bt_param_set("level", level));
	EXPECT_EQ(0, row_of(fd, 90, &row));
	EXPECT_EQ(0, row.live_tensors);
	EXPECT_EQ(1, row.allocs);
	EXPECT_EQ(1, row.frees);
}

static __u64 sweeps(void)
{
	return bt_debugfs_value("overhead", "sweeps_ns");
}

/* Who records no sites is not looked at; once it does, it is, without a call. */
TEST_F_TIMEOUT(sites, sweeps_begin_with_the_level, BT_SLOW)
{
	struct bmem_bind bind = {
		.size = sizeof(bind), .flags = BMEM_BIND_LEVEL,
		.level = BMEM_LEVEL_COUNTS,
	};
	__u64 swept, before;

	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_BIND, &bind));
	swept = sweeps();
	do {
		before = swept;
		usleep(2500000);
		swept = sweeps();
	} while (swept != before);
	bind.level = BMEM_LEVEL_STANDARD;
	ASSERT_EQ(0, bt_call(self->x.c.fd, BMEM_BIND, &bind));
	EXPECT_TRUE(BT_WAIT(sweeps() > swept, 60000));
}

/* ---- the end ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(sites, tombstone, BT_SLOW)
{
	__u64 names[3], bad;
	char *text, line[100], label[40];
	int fd = self->x.c.fd;

	snprintf(label, sizeof(label), "held by %d", getpid());
	ASSERT_EQ(0, bt_site(fd, 80, label));
	ASSERT_EQ(0, slots_get(fd, 15, names, 3));
	ASSERT_EQ(0, slots_get(fd, 3, &bad, 1));
	record_alloc(self, names[0], 1000, 80);
	record_alloc(self, names[1], 24, 80);
	record_alloc(self, names[2], 24, 80);
	record_free(self, names[2]);
	record_alloc(self, bad, 256, NO_SITE);
	client_end(self);
	text = bt_read_file(BT_DEBUGFS "/tombstones");
	ASSERT_NE(NULL, text);
	snprintf(line, sizeof(line), "  1024 bytes in 2 tensors\t%s\n", label);
	EXPECT_NE(NULL, strstr(text, line));
	free(text);
}

/* With nothing recorded, the tombstone still has it all, without a site. */
TEST_F_TIMEOUT(sites, tombstone_when_off, BT_SLOW)
{
	struct bmem_alloc_entry e = { .bytes = 54321, .site = 81 };
	char *text, *at, level[32], who[64];
	__u64 id = self->q.client_id;
	__u64 live = 0, name;
	int i;

	ASSERT_EQ(0, bt_param("level", level, sizeof(level)));
	ASSERT_EQ(0, bt_param_set("level", "off"));
	EXPECT_EQ(0, bt_alloc(self->x.c.fd, &e, 1, NULL));
	EXPECT_EQ(0, slots_get(self->x.c.fd, 3, &name, 1));
	for (i = 0; i < LIVE; i++)
		bt_free1(self->x.c.fd, self->x.live[i].handle);
	client_end(self);
	EXPECT_EQ(0, bt_param_set("level", level));

	text = bt_read_file(BT_DEBUGFS "/tombstones");
	ASSERT_NE(NULL, text);
	snprintf(who, sizeof(who), " client=%llu ", id);
	at = strstr(text, who);
	ASSERT_NE(NULL, at);
	/* The tensor, and a slot of 256 bytes. */
	EXPECT_EQ(1, sscanf(strchr(at, '\n'), " %llu bytes in 2 tensors\tsite 0\n",
			    &live));
	EXPECT_EQ(54321 + 256, live);
	free(text);
}

TEST_F_TIMEOUT(sites, overhead, BT_SLOW)
{
	static const char * const kinds[] = {
		"ledger_bytes", "span_map_bytes", "sites_bytes", "tensors_bytes",
		"spans_bytes", "tables_bytes", "leaks_bytes",
		"links_bytes",
	};
	__u64 sum, value, meta;
	unsigned int i;

	/* All of a moment in which nothing was added, by a sweep or so. */
	do {
		meta = bt_debugfs_value("stats", "meta_bytes");
		for (sum = 0, i = 0; i < ARRAY_SIZE(kinds); i++) {
			value = bt_debugfs_value("overhead", kinds[i]);
			EXPECT_NE(~0ULL, value);
			sum += value;
		}
		value = bt_debugfs_value("overhead", "meta_bytes");
	} while (bt_debugfs_value("stats", "meta_bytes") != meta);
	EXPECT_EQ(sum, value);
	EXPECT_EQ(sum, meta);
	EXPECT_LT(0, bt_debugfs_value("overhead", "sweeps_ns"));
	EXPECT_LT(0, bt_debugfs_value("overhead", "hooks_ns"));
}

TEST_HARNESS_MAIN
