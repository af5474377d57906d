// SPDX-License-Identifier: GPL-2.0-only
/*
 * BMEM_CLONE: two clients with the same in them, of which neither sees what the
 * other does from then on; where the memory for that comes from, and where it
 * goes.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"

#define POOL_LIMIT	(64 * BT_MIB)
#define POOL_RESERVE	(8 * BT_MIB)
#define BYTES		(8 * BT_MIB)
#define SEED		77

FIXTURE(clone) {
	struct bt_client c;
	struct bmem_alloc_entry e;
	char *p;
	int admin;
	int pool;
};

FIXTURE_SETUP(clone)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "clone", POOL_LIMIT,
				    POOL_RESERVE);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_client_open_cloneable(&self->c, self->pool));
	ASSERT_EQ(0, bt_bind_cache(self->c.fd, 0));
	self->e = (struct bmem_alloc_entry){
		.bytes = BYTES, .align = BT_HUGE, .site = 5,
	};
	ASSERT_EQ(0, bt_alloc(self->c.fd, &self->e, 1, NULL));
	self->p = self->c.map + self->e.offset;
	bt_tag(self->p, BYTES, SEED);
}

#define EXPECT_SOUND(fd) do {						\
	const char *bad_ = bt_check(fd);				\
	EXPECT_EQ(NULL, bad_) {						\
		TH_LOG("%s", bad_);					\
	}								\
} while (0)

FIXTURE_TEARDOWN(clone)
{
	struct bmem_pool_stats st;

	if (self->c.fd >= 0)
		EXPECT_SOUND(self->c.fd);
	bt_client_close(&self->c);
	EXPECT_TRUE(BT_WAIT(!bt_pool_stats(self->admin, self->pool, &st) &&
			    !st.clients && !st.escaped_bytes, 10000));
	EXPECT_EQ(0, st.attached_bytes);
	EXPECT_EQ(0, st.shared_bytes);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

static __u64 shared(int fd)
{
	struct bmem_client_stats st;

	return bt_client_stats(fd, 0, &st) ? ~0ULL : st.shared_bytes;
}

static struct bmem_pool_stats pool_now(int fd, int pool)
{
	struct bmem_pool_stats st;

	if (bt_pool_stats(fd, pool, &st))
		memset(&st, 0xff, sizeof(st));
	return st;
}

#define POOL()	pool_now(self->admin, self->pool)

/* ---- what a clone is ---------------------------------------------------------------- */

TEST_F_TIMEOUT(clone, neither_sees_the_other, BT_SLOW)
{
	struct bt_client d;
	char *q;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	q = d.map + self->e.offset;
	EXPECT_EQ(BYTES, shared(d.fd));
	EXPECT_EQ(BYTES, shared(self->c.fd));
	EXPECT_EQ(BYTES, POOL().attached_bytes);
	EXPECT_EQ(BYTES, POOL().shared_bytes);
	EXPECT_EQ(-1, bt_tag_verify(q, BYTES, SEED));
	EXPECT_EQ(-1, bt_tag_verify(self->p, BYTES, SEED));
	EXPECT_SOUND(d.fd);
	EXPECT_SOUND(self->c.fd);

	/* Each takes a copy of what it writes to, and of nothing else. */
	self->p[0] = 'p';
	q[BT_HUGE] = 'q';
	EXPECT_EQ(BYTES - 2 * BT_HUGE, shared(d.fd));
	EXPECT_EQ(BYTES + 2 * BT_HUGE, POOL().attached_bytes);
	EXPECT_EQ(BYTES - 2 * BT_HUGE, POOL().shared_bytes);
	EXPECT_NE('p', q[0]);
	EXPECT_NE('q', self->p[BT_HUGE]);
	bt_tag(self->p, BYTES, SEED + 1);
	bt_tag(q, BYTES, SEED + 2);
	EXPECT_EQ(-1, bt_tag_verify(self->p, BYTES, SEED + 1));
	EXPECT_EQ(-1, bt_tag_verify(q, BYTES, SEED + 2));
	EXPECT_EQ(0, shared(d.fd));
	EXPECT_EQ(0, POOL().shared_bytes);
	EXPECT_EQ(2 * BYTES, POOL().attached_bytes);
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);
	EXPECT_EQ(BYTES, POOL().attached_bytes);
}

static bool same_row(const struct bmem_tensor *a, const struct bmem_tensor *b)
{
	return a->handle == b->handle && a->offset == b->offset &&
	       a->bytes == b->bytes && a->granted == b->granted &&
	       a->site == b->site && a->flags == b->flags;
}

static int site_label(int fd, __u64 handle, const char *label)
{
	struct bmem_tensor_info info;
	int ret = bt_info(fd, handle, &info);

	return ret ? ret : strcmp(info.label, label);
}

TEST_F_TIMEOUT(clone, has_all_there_is, BT_SLOW)
{
	struct bmem_alloc_entry e[40], more;
	struct bmem_client_stats a, b;
	struct bmem_tensor *rows, *own;
	struct bt_client d;
	__u64 names[40], handle;
	struct bmem_slots s = {
		.size = sizeof(s), .size_class = 3, .nr = 40,
		.slots = (uintptr_t)names,
	};
	int i, nr;

	ASSERT_EQ(0, bt_site(self->c.fd, 5, "weights"));
	ASSERT_EQ(0, bt_bind_label(self->c.fd, "trainer"));
	ASSERT_EQ(0, bt_bind_policy(self->c.fd, BMEM_PLACE_BEST));
	for (i = 0; i < 40; i++)
		e[i] = (struct bmem_alloc_entry){
			.bytes = 5000 + 9000 * i, .site = 1 + i % 7,
			.flags = i % 2 ? BMEM_ALLOC_RECORD : 0,
		};
	ASSERT_EQ(0, bt_alloc(self->c.fd, e, 40, NULL));
	for (i = 0; i < 40; i += 3)
		ASSERT_EQ(0, bt_free1(self->c.fd, e[i].handle));
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_SLOTS_GET, &s));
	ASSERT_EQ(40, s.nr);
	s.size_class = 0;
	s.nr = 7;
	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_SLOTS_PUT, &s));

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	nr = bt_list(self->c.fd, 0, &rows);
	ASSERT_EQ(nr, bt_list(d.fd, 0, &own));
	for (i = 0; i < nr; i++)
		EXPECT_TRUE(same_row(&rows[i], &own[i]));
	free(rows);
	free(own);
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &a));
	ASSERT_EQ(0, bt_client_stats(d.fd, 0, &b));
	EXPECT_EQ(a.slots, b.slots);
	EXPECT_EQ(a.spans, b.spans);
	EXPECT_EQ(a.span_bytes, b.span_bytes);
	EXPECT_EQ(a.recorded, b.recorded);
	EXPECT_EQ(a.allocs, b.allocs);
	EXPECT_EQ(a.frees, b.frees);
	EXPECT_EQ(a.sites, b.sites);
	EXPECT_EQ(a.granted_bytes, b.granted_bytes);
	EXPECT_EQ(a.attached_bytes, b.attached_bytes);
	EXPECT_EQ(a.policy, b.policy);
	EXPECT_EQ(a.pool, b.pool);
	EXPECT_EQ(0, site_label(d.fd, self->e.handle, "weights"));
	EXPECT_SOUND(d.fd);

	/* Slots that were out are out, and those that were in are in. */
	s.nr = 40;
	ASSERT_EQ(0, bt_call(d.fd, BMEM_SLOTS_PUT, &s));
	EXPECT_EQ(33, s.nr);
	ASSERT_EQ(0, bt_client_stats(d.fd, 0, &b));
	EXPECT_EQ(0, b.slots);
	EXPECT_EQ(0, b.spans);
	/* The next tensors of both are at the same place, of other handles. */
	ASSERT_EQ(0, bt_alloc1(d.fd, 70000, &more));
	handle = more.handle;
	ASSERT_EQ(0, bt_free1(d.fd, e[1].handle));
	EXPECT_EQ(-ENOENT, bt_free1(d.fd, e[1].handle));
	ASSERT_EQ(0, bt_free1(self->c.fd, e[1].handle));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, 70000, &more));
	EXPECT_EQ(0, bt_free1(self->c.fd, more.handle));
	EXPECT_EQ(0, bt_free1(d.fd, handle));
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);
}

static int one_link(int fd, unsigned long cmd, __u64 from, __u64 to)
{
	struct bmem_link_entry e = { .from = from, .to = to };
	struct bmem_link l = {
		.size = sizeof(l), .nr = 1, .entries = (uintptr_t)&e,
	};
	int ret = bt_call(fd, cmd, &l);

	return ret ? ret : e.result;
}

/* What refers to what is known of both, and then each one's own. */
TEST_F_TIMEOUT(clone, has_the_links, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client d;
	__u64 to = self->e.handle;

	ASSERT_EQ(0, bt_alloc1(self->c.fd, 5000, &e));
	ASSERT_EQ(0, one_link(self->c.fd, BMEM_LINK, e.handle, to));
	ASSERT_EQ(0, one_link(self->c.fd, BMEM_LINK, 0, to));
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	EXPECT_EQ(0, one_link(d.fd, BMEM_UNLINK, e.handle, to));
	EXPECT_NE(0, one_link(d.fd, BMEM_UNLINK, e.handle, to));
	EXPECT_EQ(0, one_link(d.fd, BMEM_UNLINK, 0, to));
	EXPECT_NE(0, one_link(d.fd, BMEM_UNLINK, 0, to));
	EXPECT_EQ(0, one_link(self->c.fd, BMEM_UNLINK, e.handle, to));
	EXPECT_EQ(0, one_link(self->c.fd, BMEM_UNLINK, 0, to));
	bt_client_close(&d);
}

/* Its events are those of the pool that it is in. */
TEST_F_TIMEOUT(clone, hears_of_its_pool, BT_SLOW)
{
	struct bmem_events want = {
		.size = sizeof(want), .flags = BMEM_EVENTS_SET,
		.mask = BMEM_EVENT_BIT(BMEM_EVENT_RECALL),
	};
	struct bmem_event e = { .pool = BMEM_EVENT_NO_POOL };
	struct bt_client d;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_call(d.fd, BMEM_EVENTS, &want));
	ASSERT_EQ(0, bt_trim(d.fd, BMEM_TRIM_POOL, 0, NULL));
	do {
		ASSERT_EQ(sizeof(e), read(d.fd, &e, sizeof(e)));
	} while (e.client_id != d.id);
	EXPECT_EQ(self->pool, e.pool);
	bt_client_close(&d);
}

TEST_F_TIMEOUT(clone, only_if_asked_for, BT_SLOW)
{
	struct bmem_clone arg = { .size = sizeof(arg) };
	struct bt_client d;

	ASSERT_EQ(0, bt_client_open(&d, self->pool));
	EXPECT_EQ(-EINVAL, bt_call(d.fd, BMEM_CLONE, &arg));
	EXPECT_EQ(-EBUSY, bt_bind_clone(d.fd));
	EXPECT_EQ(-EINVAL, bt_call(d.fd, BMEM_CLONE, &arg));
	ASSERT_EQ(0, munmap(d.map, d.space));
	EXPECT_EQ(0, bt_bind_clone(d.fd));
	d.map = bt_map(d.fd, 0, d.space);
	ASSERT_NE(NULL, d.map);
	/* Once more is no mistake. */
	EXPECT_EQ(0, bt_bind_clone(d.fd));
	ASSERT_EQ(0, bt_call(d.fd, BMEM_CLONE, &arg));
	EXPECT_EQ(FD_CLOEXEC, fcntl(arg.fd, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(arg.fd, F_GETFL) & O_ACCMODE);
	close(arg.fd);
	bt_client_close(&d);
}

/* Who binds for more than one thing, and cannot have one of them, has none. */
TEST_F_TIMEOUT(clone, bind_all_or_nothing, BT_SLOW)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_CLONE | BMEM_BIND_POOL,
		.pool = BMEM_POOL_DEFAULT,
	};
	struct bmem_clone arg = { .size = sizeof(arg) };
	struct bmem_alloc_entry e;
	struct bt_client d;

	ASSERT_EQ(0, bt_client_open(&d, self->pool));
	ASSERT_EQ(0, munmap(d.map, d.space));
	d.map = NULL;
	ASSERT_EQ(0, bt_alloc1(d.fd, 5000, &e));
	EXPECT_EQ(-EBUSY, bt_call(d.fd, BMEM_BIND, &bind));
	EXPECT_EQ(-EINVAL, bt_call(d.fd, BMEM_CLONE, &arg));
	EXPECT_EQ(0, bt_free1(d.fd, e.handle));
	EXPECT_EQ(0, bt_call(d.fd, BMEM_BIND, &bind));
	EXPECT_EQ(0, bt_call(d.fd, BMEM_CLONE, &arg));
	close(arg.fd);
	bt_client_close(&d);
}

/* A descriptor that may only read does not lead to one that may write. */
TEST_F_TIMEOUT(clone, opened_as_it_is, BT_SLOW)
{
	struct bmem_clone arg = { .size = sizeof(arg) };
	int fd = open(BT_DEVICE, O_RDONLY | O_NONBLOCK);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bt_bind_clone(fd));
	ASSERT_EQ(0, bt_call(fd, BMEM_CLONE, &arg));
	EXPECT_EQ(O_RDONLY | O_NONBLOCK,
		  fcntl(arg.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(NULL, bt_map(arg.fd, 0, BT_HUGE));
	close(arg.fd);
	close(fd);
}

/* ---- whose it is ------------------------------------------------------------------------ */

static __u64 pid_of(int fd, __u64 client)
{
	struct bmem_client_row row;
	struct bmem_client_list l = {
		.size = sizeof(l), .cursor = client - 1, .nr = 1,
		.row_size = sizeof(row), .rows = (uintptr_t)&row,
	};

	return bt_call(fd, BMEM_CLIENT_LIST, &l) || !l.nr ||
	       row.client_id != client ? 0 : row.pid;
}

static bool tombstone(int fd, __u64 client, struct bmem_tombstone_row *row)
{
	struct bmem_tombstone_list l = {
		.size = sizeof(l), .nr = 1, .row_size = sizeof(*row),
		.rows = (uintptr_t)row,
	};

	for (l.nr = 1; !bt_call(fd, BMEM_TOMBSTONE_LIST, &l) && l.nr; l.nr = 1)
		if (row->client_id == client)
			return true;
	return false;
}

static int adopt_and_exit(void *arg)
{
	struct bt_client *d = arg;

	if (bt_bind_clone(d->fd) || pid_of(d->fd, d->id) != (__u64)getpid())
		return 1;
	return 23;
}

TEST_F_TIMEOUT(clone, belongs_to_who_binds_it, BT_SLOW)
{
	struct bmem_tombstone_row row;
	struct bt_client d;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	EXPECT_EQ(getpid(), pid_of(self->admin, d.id));
	EXPECT_EQ(23, bt_in_child(adopt_and_exit, &d));
	/* The child is gone, but this process has it open yet. */
	EXPECT_FALSE(tombstone(self->admin, d.id, &row));
	/* Nobody gets it a second time. */
	EXPECT_EQ(0, bt_bind_clone(d.fd));
	EXPECT_NE(getpid(), pid_of(self->admin, d.id));
	bt_client_close(&d);
	/* Closed by another process, and without a tensor of its own. */
	EXPECT_FALSE(tombstone(self->admin, d.id, &row));
}

static int adopt_and_hold(void *arg)
{
	struct bt_client *d = arg;

	if (bt_bind_clone(d->fd))
		return 1;
	for (;;)
		pause();
}

TEST_F_TIMEOUT(clone, leaves_a_tombstone, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bmem_tombstone_row row;
	struct bt_client d;
	pid_t child;
	int status;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	child = bt_spawn(adopt_and_hold, &d);
	ASSERT_LT(0, child);
	ASSERT_TRUE(BT_WAIT(pid_of(self->admin, d.id) == (__u64)child, 10000));
	bt_client_close(&d);
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_TRUE(BT_WAIT(tombstone(self->admin, d.id, &row), 10000));
	EXPECT_EQ(child, row.pid);
	EXPECT_EQ(BMEM_WAY_SIGNAL, row.way);
	EXPECT_EQ(SIGKILL, row.code);
	EXPECT_EQ(BYTES, row.live_bytes);
	EXPECT_EQ(BYTES, row.attached_bytes);

	/* One that nobody took leaves none, whatever was done with it. */
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_alloc1(d.fd, 5000, &e));
	bt_client_close(&d);
	EXPECT_FALSE(tombstone(self->admin, d.id, &row));
	/* One that was taken does if it was used. */
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_bind_clone(d.fd));
	ASSERT_EQ(0, bt_alloc1(d.fd, 5000, &e));
	bt_client_close(&d);
	EXPECT_TRUE(tombstone(self->admin, d.id, &row));
	EXPECT_EQ(BMEM_WAY_CLOSED, row.way);
	EXPECT_EQ(BYTES + 5000, row.live_bytes);
}

/* ---- room for copies ---------------------------------------------------------------------- */

TEST_F_TIMEOUT(clone, room_is_kept, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client d, other;
	__u64 room = POOL_LIMIT - 2 * BYTES;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_client_open(&other, self->pool));
	ASSERT_EQ(0, bt_bind_cache(other.fd, 0));
	EXPECT_EQ(-ENOSPC, bt_alloc1(other.fd, room + BT_HUGE, &e));
	ASSERT_EQ(0, bt_alloc1(other.fd, room, &e));
	EXPECT_EQ(-ENOSPC, bt_alloc1(self->c.fd, 2 * BT_HUGE, &e));
	/* All that is shared can be written to. */
	bt_tag(self->p, BYTES, SEED + 1);
	EXPECT_EQ(-1, bt_tag_verify(d.map + self->e.offset, BYTES, SEED));
	EXPECT_EQ(POOL_LIMIT, POOL().attached_bytes);
	EXPECT_EQ(POOL_LIMIT, POOL().total_bytes);
	/* And there is none for another clone. */
	bt_client_close(&d);
	EXPECT_EQ(0, bt_alloc1(other.fd, BYTES, &e));
	EXPECT_EQ(-ENOSPC, bt_client_clone(&self->c, &d));
	EXPECT_EQ(0, POOL().shared_bytes);
	EXPECT_SOUND(self->c.fd);
	bt_client_close(&other);
}

/* A limit that is lowered takes away nothing that was promised. */
TEST_F_TIMEOUT(clone, room_stays, BT_SLOW)
{
	struct bt_client d;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_pool_resize(self->admin, self->pool, BMEM_RESIZE_LIMIT |
				    BMEM_RESIZE_RESERVE, BYTES, 0));
	bt_tag(d.map + self->e.offset, BYTES, SEED + 2);
	EXPECT_EQ(-1, bt_tag_verify(self->p, BYTES, SEED));
	EXPECT_EQ(2 * BYTES, POOL().attached_bytes);
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);
}

TEST_F_TIMEOUT(clone, last_one_gives_back, BT_SLOW)
{
	struct bt_client d;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	bt_client_close(&self->c);
	EXPECT_EQ(BYTES, POOL().attached_bytes);
	EXPECT_EQ(0, POOL().shared_bytes);
	EXPECT_EQ(0, shared(d.fd));
	/* The only one left needs no copy. */
	bt_tag(d.map + self->e.offset, BYTES, SEED + 1);
	EXPECT_EQ(BYTES, POOL().attached_bytes);
	EXPECT_EQ(0, bt_free1(d.fd, self->e.handle));
	EXPECT_EQ(0, POOL().attached_bytes);
	bt_client_close(&d);
}

TEST_F_TIMEOUT(clone, freed_by_one, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client d;
	char *q;

	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	q = d.map + self->e.offset;
	ASSERT_EQ(0, bt_free1(self->c.fd, self->e.handle));
	EXPECT_EQ(SIGBUS, bt_peek(self->p));
	EXPECT_EQ(-1, bt_tag_verify(q, BYTES, SEED));
	EXPECT_EQ(BYTES, POOL().attached_bytes);
	EXPECT_EQ(0, POOL().shared_bytes);
	/* At the same place, of another page. */
	e = (struct bmem_alloc_entry){ .bytes = BYTES, .align = BT_HUGE };
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	EXPECT_EQ(self->e.offset, e.offset);
	EXPECT_EQ(-1, bt_not_byte(self->p, BYTES, 0));
	EXPECT_EQ(-1, bt_tag_verify(q, BYTES, SEED));
	EXPECT_EQ(0, bt_trim(d.fd, 0, 0, NULL));
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);
}

/* The kernel itself writes zeroes, not into what others have. */
TEST_F_TIMEOUT(clone, zeroed_by_one, BT_SLOW)
{
	struct bmem_alloc_entry e[2] = {
		{ .bytes = 100000 }, { .bytes = 100000 },
	}, z = { .bytes = 100000, .flags = BMEM_ALLOC_ZERO };
	struct bt_client d;

	ASSERT_EQ(0, bt_alloc(self->c.fd, e, 2, NULL));
	bt_fill(self->c.map + e[0].offset, 100000, 1);
	bt_fill(self->c.map + e[1].offset, 100000, 2);
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	ASSERT_EQ(0, bt_free1(d.fd, e[0].handle));
	ASSERT_EQ(0, bt_alloc(d.fd, &z, 1, NULL));
	EXPECT_EQ(e[0].offset, z.offset);
	EXPECT_EQ(-1, bt_not_byte(d.map + z.offset, 100000, 0));
	EXPECT_EQ(-1, bt_verify(d.map + e[1].offset, 100000, 2));
	EXPECT_EQ(-1, bt_verify(self->c.map + e[0].offset, 100000, 1));
	EXPECT_EQ(-1, bt_verify(self->c.map + e[1].offset, 100000, 2));
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);
}

/* ---- clones of clones ------------------------------------------------------------------------ */

#define DEPTH	6

TEST_F_TIMEOUT(clone, of_a_clone, BT_SLOW)
{
	struct bt_client d[DEPTH];
	__u64 rnd = 3, size = BT_HUGE;
	struct bmem_alloc_entry e;
	int i, k;

	/* A second one, of one huge page, so that all copies have room. */
	e = (struct bmem_alloc_entry){ .bytes = size, .align = BT_HUGE };
	ASSERT_EQ(0, bt_alloc(self->c.fd, &e, 1, NULL));
	ASSERT_EQ(0, bt_free1(self->c.fd, self->e.handle));
	bt_tag(self->c.map + e.offset, size, 100);
	for (i = 0; i < DEPTH; i++) {
		ASSERT_EQ(0, bt_client_clone(i ? &d[i - 1] : &self->c, &d[i]));
		EXPECT_EQ((i + 1) * size, POOL().shared_bytes);
		EXPECT_EQ(size, POOL().attached_bytes);
	}
	/* Every second one writes: those between share what there was. */
	for (i = 0; i < DEPTH; i += 2)
		bt_tag(d[i].map + e.offset, size, i);
	for (i = 0; i < DEPTH; i++) {
		EXPECT_EQ(-1, bt_tag_verify(d[i].map + e.offset, size, i % 2 ? 100 : i));
		EXPECT_SOUND(d[i].fd);
	}
	EXPECT_EQ((DEPTH / 2 + 1) * size, POOL().attached_bytes);
	/* They go in any order. */
	for (i = DEPTH; i; i--) {
		k = bt_random(&rnd) % i;
		bt_client_close(&d[k]);
		d[k] = d[i - 1];
		EXPECT_EQ(-1, bt_tag_verify(self->c.map + e.offset, size, 100));
		EXPECT_SOUND(self->c.fd);
	}
	EXPECT_EQ(size, POOL().attached_bytes);
}

/* ---- threads that write ------------------------------------------------------------------------ */

#define WORDS	(BYTES / BT_PAGE)
#define ROUNDS	20

struct writer {
	char *p;
	volatile bool stop;
	__u64 count;
};

/* Stores ascending numbers, one a page, page by page. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	__u64 at;

	while (!w->stop) {
		at = w->count % WORDS;
		*(volatile __u64 *)(w->p + at * BT_PAGE) = ++w->count;
	}
	return NULL;
}

static __u64 word(const char *p, __u64 at)
{
	return *(volatile const __u64 *)(p + at % WORDS * BT_PAGE);
}

/*
 * A snapshot in which the last store is @n has all before it; page by page they
 * are @n - WORDS + 1 to @n.  Returns how many are not as they must be.
 */
static __u64 torn(const char *p)
{
	__u64 at, n = 0, bad = 0;

	for (at = 0; at < WORDS; at++)
		if (word(p, at) > n)
			n = word(p, at);
	for (at = n < WORDS ? 0 : n - WORDS; at < n; at++)
		bad += word(p, at) != at + 1;
	return bad;
}

TEST_F_TIMEOUT(clone, under_a_writer, BT_SLOW)
{
	struct writer w = { .p = self->p };
	struct bt_smaps maps;
	pthread_t thread;
	struct bt_client d;
	char *frozen = malloc(BYTES), *balancing;
	__u64 before, at;
	int i;

	ASSERT_NE(NULL, frozen);
	memset(self->p, 0, BYTES);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &w));
	for (i = 0; i < ROUNDS; i++) {
		before = *(volatile __u64 *)&w.count;
		ASSERT_EQ(0, bt_client_clone(&self->c, &d));
		memcpy(frozen, d.map + self->e.offset, BYTES);
		EXPECT_EQ(0, torn(frozen)) {
			TH_LOG("round %d", i);
		}
		ASSERT_TRUE(BT_WAIT(*(volatile __u64 *)&w.count > before + 100, 10000));
		EXPECT_EQ(0, memcmp(frozen, d.map + self->e.offset, BYTES));
		bt_client_close(&d);
	}
	balancing = bt_balancing_off();
	/* Once over all of it, after the last clone. */
	before = *(volatile __u64 *)&w.count;
	ASSERT_TRUE(BT_WAIT(*(volatile __u64 *)&w.count > before + WORDS, BT_SOON));
	w.stop = true;
	pthread_join(thread, NULL);
	/* No store was lost, and all is mapped as huge pages again. */
	for (at = w.count - WORDS; at < w.count; at++)
		EXPECT_EQ(at + 1, word(self->p, at));
	ASSERT_EQ(0, bt_smaps(getpid(), self->c.map, self->c.space, &maps));
	EXPECT_EQ(BYTES, maps.pmd);
	bt_balancing_back(balancing);
	free(frozen);
}

struct toucher {
	char *p;
	volatile bool stop;
	__u64 seed;
	__u64 bad;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	__u64 rnd = t->seed;

	while (!t->stop) {
		char *at = t->p + bt_random(&rnd) % (BYTES / BT_PAGE) * BT_PAGE;
		__u64 *own = (__u64 *)(at + 8 * t->seed);

		if (bt_random(&rnd) % 2)
			++*own;
		else
			t->bad += *(volatile __u64 *)at & 0xff00000000000000ULL;
	}
	return NULL;
}

/* Of two threads' words in each page, those that are not as in @was. */
static __u64 strayed(const char *p, const char *was, unsigned int seed)
{
	__u64 at, bad = 0;

	for (at = 0; at < BYTES; at += BT_PAGE) {
		bad += memcmp(p + at + 8 * seed, was + at + 8 * seed, 8) != 0;
		bad += memcmp(p + at + 8 * (seed + 2), was + at + 8 * (seed + 2), 8) != 0;
	}
	return bad;
}

/* Both sides write, read and free at once; and several clone at once. */
TEST_F_TIMEOUT(clone, both_sides_at_once, BT_SLOW)
{
	struct toucher t[4];
	pthread_t thread[4];
	struct bt_client d;
	char *was = malloc(BYTES);
	int i, k;

	ASSERT_NE(NULL, was);
	memset(self->p, 0, BYTES);
	for (i = 0; i < 10; i++) {
		memcpy(was, self->p, BYTES);
		ASSERT_EQ(0, bt_client_clone(&self->c, &d));
		for (k = 0; k < 4; k++) {
			t[k] = (struct toucher){
				.seed = k + 1,
				.p = (k % 2 ? d.map : self->c.map) + self->e.offset,
			};
			ASSERT_EQ(0, pthread_create(&thread[k], NULL, touch, &t[k]));
		}
		usleep(20000);
		EXPECT_SOUND(self->c.fd);
		for (k = 0; k < 4; k++)
			t[k].stop = true;
		for (k = 0; k < 4; k++) {
			pthread_join(thread[k], NULL);
			EXPECT_EQ(0, t[k].bad);
		}
		/* What the other side's threads wrote stayed there. */
		EXPECT_EQ(0, strayed(self->p, was, 2));
		EXPECT_EQ(0, strayed(d.map + self->e.offset, was, 1));
		EXPECT_SOUND(d.fd);
		bt_client_close(&d);
	}
	free(was);
}

/* ---- other ways to the memory ----------------------------------------------------------------- */

static __u64 value_at(const char *p)
{
	return *(volatile const __u64 *)p;
}

/* Each way writes 1 to the word at @p, through whatever the kernel has for it. */
static int by_writev(char *p)
{
	__u64 one = 1;
	struct iovec from = { &one, 8 }, to = { p, 8 };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 8 ? 0 : -errno;
}

static int by_mem(char *p)
{
	int fd = open("/proc/self/mem", O_RDWR);
	__u64 one = 1;
	int ret = pwrite(fd, &one, 8, (off_t)(uintptr_t)p) == 8 ? 0 : -errno;

	close(fd);
	return ret;
}

static int by_read(char *p)
{
	__u64 one = 1;
	int at[2], ret;

	if (pipe(at))
		return -errno;
	ret = write(at[1], &one, 8) == 8 && read(at[0], p, 8) == 8 ? 0 : -errno;
	close(at[0]);
	close(at[1]);
	return ret;
}

static int by_direct_io(char *p)
{
	char *buffer = aligned_alloc(BT_PAGE, BT_PAGE), name[32];
	int file, loop, fd, ret = -ENOMEM;

	loop = bt_loop(name, sizeof(name), &file, BT_PAGE, 1);
	if (loop == -ENODEV)
		return by_writev(p);
	fd = open(name, O_RDWR | O_DIRECT);
	if (loop < 0 || fd < 0 || !buffer)
		return -errno;
	memset(buffer, 0, BT_PAGE);
	*(__u64 *)buffer = 1;
	ret = pwrite(fd, buffer, BT_PAGE, 0) == (ssize_t)BT_PAGE &&
	      pread(fd, p, BT_PAGE, 0) == (ssize_t)BT_PAGE ? 0 : -errno;
	free(buffer);
	close(fd);
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	close(file);
	return ret;
}

static int by_small_entry(char *p)
{
	/* Read first, through a part that no huge entry can map. */
	if (mprotect(p + BT_PAGE, BT_PAGE, PROT_READ) || bt_peek(p))
		return -errno;
	*(__u64 *)p = 1;
	return 0;
}

static int by_populate(char *p)
{
	if (madvise(p, BT_PAGE, 23 /* MADV_POPULATE_WRITE */))
		return -errno;
	*(__u64 *)p = 1;
	return 0;
}

static int by_mlock(char *p)
{
	int ret = mlock(p, BT_PAGE) ? -errno : 0;

	*(__u64 *)p = 1;
	return ret ? ret : munlock(p, BT_PAGE) ? -errno : 0;
}

static int by_unprotected(char *p)
{
	if (mprotect(p, BT_HUGE, PROT_NONE) ||
	    mprotect(p, BT_HUGE, PROT_READ) || bt_peek(p) ||
	    mprotect(p, BT_HUGE, PROT_READ | PROT_WRITE))
		return -errno;
	*(__u64 *)p = 1;
	return 0;
}

static int by_mremap(char *p)
{
	char *at = mmap(NULL, 2 * BT_HUGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Another address, not one that suits huge entries. */
	if (bt_peek(p) ||
	    mremap(p, BT_HUGE, BT_HUGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   at + BT_PAGE) == MAP_FAILED)
		return -errno;
	*(__u64 *)(at + BT_PAGE) = 1;
	return munmap(at, 2 * BT_HUGE) ? -errno : 0;
}

static int by_remapped_hole(char *p)
{
	/* Reads on both sides of a hole. */
	if (munmap(p + 2 * BT_PAGE, BT_PAGE) || bt_peek(p) ||
	    bt_peek(p + 3 * BT_PAGE))
		return -errno;
	*(__u64 *)p = 1;
	return 0;
}


static const struct way {
	const char *name;
	int (*write)(char *p);
} ways[] = {
	{ "process_vm_writev", by_writev },
	{ "/proc/self/mem", by_mem },
	{ "read", by_read },
	{ "O_DIRECT", by_direct_io },
	{ "a small entry", by_small_entry },
	{ "MADV_POPULATE_WRITE", by_populate },
	{ "mlock", by_mlock },
	{ "mprotect", by_unprotected },
	{ "mremap", by_mremap },
	{ "a hole", by_remapped_hole },
};

/* By the client or its clone, through a mapping that was there before or not. */
TEST_F_TIMEOUT(clone, by_every_way, BT_SLOW)
{
	struct bt_client d, *of, *other;
	unsigned int i, k;
	char *p;
	int ret;

	for (i = 0; i < 4 * ARRAY_SIZE(ways); i++) {
		const struct way *w = &ways[i / 4];

		k = i % 4;
		memset(self->p, 0, BT_PAGE);
		p = bt_map(self->c.fd, self->e.offset, BYTES);
		ASSERT_NE(NULL, p);
		bt_tag(p + BT_PAGE, BYTES - BT_PAGE, i);
		ASSERT_EQ(0, bt_client_clone(&self->c, &d));
		of = k & 1 ? &d : &self->c;
		other = k & 1 ? &self->c : &d;
		if (k & 1) {
			munmap(p, BYTES);
			p = bt_map(d.fd, self->e.offset, BYTES);
		}
		if (k & 2)
			EXPECT_EQ(-1, bt_tag_verify(p + BT_PAGE, BYTES - BT_PAGE, i));
		ret = w->write(p);
		EXPECT_EQ(0, ret) {
			TH_LOG("%s, %u", w->name, k);
		}
		EXPECT_EQ(1, value_at(of->map + self->e.offset)) {
			TH_LOG("%s, %u", w->name, k);
		}
		EXPECT_EQ(0, value_at(other->map + self->e.offset)) {
			TH_LOG("%s, %u", w->name, k);
		}
		EXPECT_EQ(-1, bt_tag_verify(other->map + self->e.offset + BT_PAGE,
					    BYTES - BT_PAGE, i));
		EXPECT_EQ(-1, bt_tag_verify(of->map + self->e.offset + BT_PAGE,
					    BYTES - BT_PAGE, i));
		munmap(p, BYTES);
		EXPECT_SOUND(d.fd);
		bt_client_close(&d);
	}
}

/* ---- what one user may have promised -------------------------------------------------- */

/**
 * struct promised - what somebody clones as another user
 * @c: of what
 * @uid: as whom
 * @ns: in a user namespace, where he has another's number
 * @most: how many clones he wants
 * @alone: each of a client of his own, which is closed then
 * @step: how far he is
 * @made: clones that he holds until he is killed
 * @err: of the last one
 */
struct promised {
	struct bt_client c;
	uid_t uid;
	bool ns;
	int most;
	bool alone;
	volatile int step;
	volatile int made;
	volatile int err;
};

static int promise_user(struct promised *p)
{
	/* Who opens the device is of its group. */
	int ret = p->uid ? bt_become(p->uid, p->alone ? 0 : BT_NOBODY, -1) : 0;

	if (ret || !p->ns)
		return ret;
	if (unshare(CLONE_NEWUSER))
		return -errno;
	p->step = 1;
	/* Somebody maps it. */
	if (!BT_WAIT(p->step == 2, 10000))
		return -ETIME;
	return setresuid(1, 1, 1) ? -errno : 0;
}

/* A parent and its clone, of which the parent is gone. */
static int leave_alone(const struct bt_client *c, struct bt_client *d)
{
	struct bmem_query q = { .size = sizeof(q) };
	struct bmem_alloc_entry e;
	struct bt_client parent;
	int ret;

	ret = bt_query(c->fd, &q);
	if (!ret)
		ret = bt_client_open_cloneable(&parent, q.pool);
	if (ret)
		return ret;
	ret = bt_alloc1(parent.fd, BYTES, &e);
	if (!ret)
		ret = bt_client_clone(&parent, d);
	bt_client_close(&parent);
	return ret;
}

static int promise(void *arg)
{
	struct promised *p = arg;
	struct bt_client d;

	p->err = promise_user(p);
	while (!p->err && p->made < p->most) {
		p->err = p->alone ? leave_alone(&p->c, &d) :
				    bt_client_clone(&p->c, &d);
		p->made += !p->err;
	}
	p->step = 3;
	pause();
	return 0;
}

static int map_ids(pid_t pid)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, "0 100000 10", 11) == 11 ? 0 : -errno;
	close(fd);
	return ret;
}

/* Answers his process, which holds what he made. */
static pid_t promise_as(struct promised *p)
{
	pid_t pid = bt_spawn(promise, p);

	if (pid > 0 && p->ns && BT_WAIT(p->step, 10000) && !map_ids(pid))
		p->step = 2;
	BT_WAIT(p->step == 3, 20000);
	return pid;
}

static void let_go(const pid_t *pids, unsigned int nr)
{
	while (nr--) {
		kill(pids[nr], SIGKILL);
		waitpid(pids[nr], NULL, 0);
	}
}

#define HALF	((int)(POOL_LIMIT / 2 / BYTES))

/* Who clones all that he may leaves others room, whatever he calls himself. */
TEST_F_TIMEOUT(clone, a_users_share, BT_SLOW)
{
	static const struct {
		uid_t uid;
		bool ns;
		int most, made, err;
	} rounds[] = {
		{ 1000, false, 9, HALF, -ENOSPC },
		{ 1000, false, 1, 0, -ENOSPC },
		{ 1000, true, 1, 0, -ENOSPC },
		{ 1001, false, 1, 1, 0 },
		/* What root keeps apart is apart. */
		{ 0, true, 1, 1, 0 },
	};
	struct promised *p = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[ARRAY_SIZE(rounds)];
	struct bt_client d[HALF + 1];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rounds); i++) {
		*p = (struct promised){
			.c = self->c, .uid = rounds[i].uid, .ns = rounds[i].ns,
			.most = rounds[i].most,
		};
		pids[i] = promise_as(p);
		EXPECT_EQ(rounds[i].made, p->made) {
			TH_LOG("round %u", i);
		}
		EXPECT_EQ(rounds[i].err, p->err) {
			TH_LOG("round %u", i);
		}
	}
	EXPECT_EQ((HALF + 2) * BYTES, POOL().shared_bytes);
	EXPECT_EQ(0, bt_client_clone(&self->c, &d[0]));
	bt_client_close(&d[0]);
	let_go(pids, ARRAY_SIZE(rounds));
	EXPECT_TRUE(BT_WAIT(!POOL().shared_bytes, 10000));
	/* A bound that was lowered, and one that is not root's. */
	EXPECT_EQ(0, bt_param_set("clone_share", "0"));
	*p = (struct promised){ .c = self->c, .uid = 1000, .most = 1 };
	pids[0] = promise_as(p);
	EXPECT_EQ(-ENOSPC, p->err);
	for (i = 0; i <= HALF; i++)
		EXPECT_EQ(0, bt_client_clone(&self->c, &d[i]));
	EXPECT_EQ(0, bt_param_set("clone_share", "50"));
	while (i--)
		bt_client_close(&d[i]);
	/* He has his share again. */
	let_go(pids, 1);
	EXPECT_TRUE(BT_WAIT(!POOL().shared_bytes, 10000));
	*p = (struct promised){ .c = self->c, .uid = 1000, .most = 9 };
	pids[0] = promise_as(p);
	EXPECT_EQ(HALF, p->made);
	let_go(pids, 1);
	munmap(p, BT_PAGE);
}

/* What a clone has for itself, since its parent is gone, is in nobody's way. */
TEST_F_TIMEOUT(clone, left_alone, BT_SLOW)
{
	struct promised *p = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)p);
	*p = (struct promised){
		.c = self->c, .uid = 1000, .most = HALF + 1, .alone = true,
	};
	pid = promise_as(p);
	EXPECT_EQ(HALF + 1, p->made);
	EXPECT_EQ(0, p->err);
	EXPECT_EQ(0, POOL().shared_bytes);
	let_go(&pid, 1);
	munmap(p, BT_PAGE);
}

/* ---- pins ----------------------------------------------------------------------------- */

/* A page that somebody else may write to stays its client's. */
TEST_F_TIMEOUT(clone, pinned, BT_SLOW)
{
	struct iovec one = { self->p, 8 };
	struct bt_client d;
	__u64 seen = 0;
	int at[2];

	*(__u64 *)self->p = 5;
	ASSERT_EQ(0, pipe(at));
	ASSERT_EQ(8, vmsplice(at[1], &one, 1, 0));
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	EXPECT_EQ(BYTES - BT_HUGE, shared(d.fd));
	EXPECT_EQ(BYTES + BT_HUGE, POOL().attached_bytes);
	EXPECT_EQ(5, value_at(d.map + self->e.offset));
	/* What is written goes to where the pin is. */
	*(__u64 *)self->p = 6;
	EXPECT_EQ(8, read(at[0], &seen, 8));
	EXPECT_EQ(6, seen);
	EXPECT_EQ(5, value_at(d.map + self->e.offset));
	EXPECT_SOUND(d.fd);
	bt_client_close(&d);

	/* One that is pinned by the last of its owners, who lets go of it. */
	ASSERT_EQ(0, bt_client_clone(&self->c, &d));
	EXPECT_EQ(BYTES, shared(d.fd));
	one.iov_base = d.map + self->e.offset;
	ASSERT_EQ(8, vmsplice(at[1], &one, 1, 0));
	ASSERT_EQ(0, bt_free1(self->c.fd, self->e.handle));
	bt_client_close(&d);
	EXPECT_EQ(BT_HUGE, POOL().escaped_bytes);
	EXPECT_EQ(8, read(at[0], &seen, 8));
	EXPECT_EQ(6, seen);
	EXPECT_TRUE(BT_WAIT(!POOL().escaped_bytes, 10000));
	close(at[0]);
	close(at[1]);
}

/* Who had a page and pins it to read from it sees nothing of what comes later. */
TEST_F_TIMEOUT(clone, pinned_by_who_has_left, BT_SLOW)
{
	struct iovec one;
	struct bt_client d;
	__u64 seen;
	int at[2], k;

	ASSERT_EQ(0, pipe(at));
	for (k = 0; k < 3; k++) {
		*(__u64 *)self->p = 5;
		ASSERT_EQ(0, bt_client_clone(&self->c, &d));
		one.iov_base = d.map + self->e.offset;
		one.iov_len = 8;
		EXPECT_EQ(5, value_at(one.iov_base));
		ASSERT_EQ(8, vmsplice(at[1], &one, 1, 0));
		/* It leaves by a free, by a close, or by a copy of its own. */
		if (k == 0)
			ASSERT_EQ(0, bt_free1(d.fd, self->e.handle));
		if (k == 2)
			*(__u64 *)one.iov_base = 7;
		if (k == 1)
			bt_client_close(&d);
		*(__u64 *)self->p = 6;
		EXPECT_EQ(8, read(at[0], &seen, 8));
		EXPECT_EQ(5, seen) {
			TH_LOG("way %d", k);
		}
		EXPECT_EQ(6, value_at(self->p));
		EXPECT_TRUE(BT_WAIT(!POOL().escaped_bytes, 10000));
		EXPECT_SOUND(self->c.fd);
		if (k != 1)
			bt_client_close(&d);
	}
	close(at[0]);
	close(at[1]);
}

/* Pins a page for long, for writing: 0 or -errno. */
static int pin_for_long(void *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = BT_PAGE };
	struct io_uring_params p = {};
	int fd = syscall(__NR_io_uring_setup, 1, &p), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS,
		      &iov, 1) ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * Core mm may refuse it where it would have to be told of writes; not where
 * nothing is cloneable.
 */
TEST_F_TIMEOUT(clone, pinned_for_long, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bt_client d;
	int ret;

	ASSERT_EQ(0, bt_client_open(&d, self->pool));
	ASSERT_EQ(0, bt_alloc1(d.fd, BT_PAGE, &e));
	d.map[e.offset] = 1;
	ret = pin_for_long(d.map + e.offset);
	/* Before 6.5 io_uring itself refuses whatever is mapped from a file. */
	if (ret == -ENOSYS || ret == -EPERM || ret == -EOPNOTSUPP) {
		bt_client_close(&d);
		SKIP(return, "no io_uring, or none for a file's memory");
	}
	bt_client_close(&d);
	EXPECT_EQ(0, ret);
	ret = pin_for_long(self->p);
	TH_LOG("of what is cloneable: %d", ret);
	EXPECT_TRUE(!ret || ret == -EFAULT);
}

/* Huge pages that one fault maps together are not, while they are shared. */
TEST_F_TIMEOUT(clone, mapped_around, BT_SLOW)
{
	__u64 bytes = 3 * BYTES - 5 * BT_PAGE;
	struct bmem_alloc_entry e;
	struct bt_client d;
	char *p, *q;
	int i;

	ASSERT_EQ(0, bt_free1(self->c.fd, self->e.handle));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, bytes, &e));
	p = self->c.map + e.offset;
	for (i = 0; i < 3; i++) {
		bt_tag(p, bytes, i);
		ASSERT_EQ(0, bt_client_clone(&self->c, &d));
		q = d.map + e.offset;
		EXPECT_EQ(-1, bt_tag_verify(i % 2 ? p : q, bytes, i));
		bt_tag(i % 2 ? q : p, bytes, 50);
		EXPECT_EQ(-1, bt_tag_verify(i % 2 ? p : q, bytes, i));
		EXPECT_EQ(-1, bt_tag_verify(i % 2 ? q : p, bytes, 50));
		EXPECT_SOUND(d.fd);
		bt_client_close(&d);
	}
}

/* ---- base pages ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(clone, of_base_pages, BT_SLOW)
{
	struct bmem_alloc_entry e;
	struct bmem_client_stats st;
	struct bt_client c, d;
	int pool;

	pool = bt_pool_create(self->admin, "base", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open_cloneable(&c, pool));
	ASSERT_EQ(0, bt_param_set("huge", "N"));
	EXPECT_EQ(0, bt_alloc1(c.fd, 3 * BT_MIB, &e));
	bt_tag(c.map + e.offset, 3 * BT_MIB, 1);
	EXPECT_EQ(0, bt_client_clone(&c, &d));
	EXPECT_EQ(0, bt_client_stats(d.fd, 0, &st));
	EXPECT_EQ(3 * BT_MIB, st.base_bytes);
	EXPECT_EQ(0, st.shared_bytes);
	bt_tag(c.map + e.offset, 3 * BT_MIB, 2);
	EXPECT_EQ(-1, bt_tag_verify(d.map + e.offset, 3 * BT_MIB, 1));
	EXPECT_SOUND(d.fd);
	/* They are moved to huge pages as any others. */
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(d.fd, 0, &st) && !st.base_bytes &&
			    !bt_client_stats(c.fd, 0, &st) && !st.base_bytes,
			    30000));
	EXPECT_EQ(-1, bt_tag_verify(d.map + e.offset, 3 * BT_MIB, 1));
	EXPECT_EQ(-1, bt_tag_verify(c.map + e.offset, 3 * BT_MIB, 2));
	EXPECT_SOUND(d.fd);
	bt_client_close(&c);
	bt_client_close(&d);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

/* No huge page when a copy is to be taken: as many 4 KiB pages as are used. */
TEST_F_TIMEOUT(clone, copied_to_base_pages, BT_SLOW)
{
	struct bmem_client_stats st;
	struct bmem_alloc_entry e;
	struct bt_client c, d;
	int pool;

	pool = bt_pool_create(self->admin, "base", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open_cloneable(&c, pool));
	ASSERT_EQ(0, bt_bind_cache(c.fd, 0));
	ASSERT_EQ(0, bt_alloc1(c.fd, 3 * BT_MIB, &e));
	bt_tag(c.map + e.offset, 3 * BT_MIB, 1);
	ASSERT_EQ(0, bt_client_clone(&c, &d));
	ASSERT_EQ(0, bt_param_set("huge", "N"));
	bt_tag(d.map + e.offset, 3 * BT_MIB, 2);
	EXPECT_EQ(0, bt_client_stats(d.fd, 0, &st));
	EXPECT_EQ(3 * BT_MIB, st.base_bytes);
	EXPECT_EQ(3 * BT_MIB, st.attached_bytes);
	EXPECT_EQ(0, st.shared_bytes);
	EXPECT_EQ(-1, bt_tag_verify(c.map + e.offset, 3 * BT_MIB, 1));
	EXPECT_EQ(-1, bt_tag_verify(d.map + e.offset, 3 * BT_MIB, 2));
	EXPECT_SOUND(d.fd);
	EXPECT_SOUND(c.fd);
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_TRUE(BT_WAIT(!bt_client_stats(d.fd, 0, &st) && !st.base_bytes,
			    30000));
	EXPECT_EQ(-1, bt_tag_verify(d.map + e.offset, 3 * BT_MIB, 2));
	EXPECT_SOUND(d.fd);
	bt_client_close(&c);
	bt_client_close(&d);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

/*
 * One call for two tensors in what is shared: the first is zeroed, for which all
 * is copied, also what the second has not been given yet.
 */
TEST_F_TIMEOUT(clone, copied_for_the_first_of_two, BT_SLOW)
{
	struct bmem_alloc_entry e[2], two[2] = {
		{ .bytes = 100000, .flags = BMEM_ALLOC_ZERO },
		{ .bytes = 200000 },
	};
	struct bmem_client_stats st;
	struct bt_client c, d;
	int pool;

	pool = bt_pool_create(self->admin, "base", POOL_LIMIT, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open_cloneable(&c, pool));
	ASSERT_EQ(0, bt_bind_cache(c.fd, 0));
	ASSERT_EQ(0, bt_alloc1(c.fd, BT_MIB, &e[0]));
	bt_tag(c.map + e[0].offset, BT_MIB, 1);
	ASSERT_EQ(0, bt_client_clone(&c, &d));
	ASSERT_EQ(0, bt_param_set("huge", "N"));
	EXPECT_EQ(0, bt_alloc(d.fd, two, 2, NULL));
	EXPECT_EQ(0, bt_client_stats(d.fd, 0, &st));
	EXPECT_EQ(st.granted_bytes, st.base_bytes);
	EXPECT_EQ(-1, bt_not_byte(d.map + two[0].offset, 100000, 0));
	EXPECT_EQ(-1, bt_tag_verify(d.map + e[0].offset, BT_MIB, 1));
	EXPECT_SOUND(d.fd);
	EXPECT_EQ(0, bt_free1(d.fd, two[0].handle));
	EXPECT_EQ(0, bt_free1(d.fd, two[1].handle));
	EXPECT_SOUND(d.fd);
	ASSERT_EQ(0, bt_param_set("huge", "Y"));
	bt_client_close(&d);
	EXPECT_EQ(BT_HUGE, pool_now(self->admin, pool).attached_bytes);
	bt_client_close(&c);
	EXPECT_TRUE(BT_WAIT(!pool_now(self->admin, pool).clients, 10000));
	EXPECT_EQ(0, pool_now(self->admin, pool).attached_bytes);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, pool));
}

/* ---- who pays ---------------------------------------------------------------------------------- */

#define CGROUP_MOUNT	"/tmp/bmem-clone-cgroup"
#define CGROUP		CGROUP_MOUNT "/child"

static int make_cgroup(void)
{
	mkdir(CGROUP_MOUNT, 0755);
	if (mount("none", CGROUP_MOUNT, "cgroup2", 0, NULL) && errno != EBUSY)
		return -errno;
	if (bt_write_file(CGROUP_MOUNT "/cgroup.subtree_control", "+memory"))
		return -ENOENT;
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return -errno;
	return access(CGROUP "/memory.current", R_OK) ? -errno : 0;
}

static long long charged(void)
{
	char *text = bt_read_file(CGROUP "/memory.current");
	long long n = text ? atoll(text) : -1;

	free(text);
	return n;
}

struct payer {
	struct bt_client *d;
	char *p;
	__u64 bytes;
};

static int pay(void *arg)
{
	struct payer *y = arg;
	long long before;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (bt_write_file(CGROUP "/cgroup.procs", pid))
		return -1;
	before = charged();
	bt_tag(y->p, y->bytes, 9);
	/* Counters of a cgroup are behind by a few pages for each CPU. */
	return (charged() - before) / 1024;
}

TEST_F_TIMEOUT(clone, charged_to_who_writes, BT_SLOW)
{
	struct bt_client d;
	struct payer y = { .d = &d, .bytes = BYTES };
	int ret;

	ret = make_cgroup();
	if (ret) {
		umount2(CGROUP_MOUNT, MNT_DETACH);
		SKIP(return, "no memory controller: %s", strerror(-ret));
	}
	/* Beyond the reservation, which is nobody's charge. */
	EXPECT_EQ(0, bt_pool_resize(self->admin, self->pool,
				    BMEM_RESIZE_RESERVE, 0, 0));
	EXPECT_EQ(0, bt_client_clone(&self->c, &d));
	y.p = d.map + self->e.offset;
	ret = bt_in_child(pay, &y);
	EXPECT_LE((long long)(BYTES - BT_MIB) / 1024, ret);
	EXPECT_GE((long long)(BYTES + 2 * BT_MIB) / 1024, ret);
	bt_client_close(&d);
	EXPECT_EQ(0, rmdir(CGROUP));
	umount2(CGROUP_MOUNT, MNT_DETACH);
}

/* ---- death ------------------------------------------------------------------------------------- */

/* The signal of a write for which there should have been room. */
static volatile int *crashed;

static void crash(int sig)
{
	*crashed = sig;
	_exit(1);
}

/* Clones, writes and frees, and has children that do, until it is killed. */
static int live_on(void *arg)
{
	struct bt_client *c = arg, d[3];
	struct bmem_alloc_entry e[3];
	__u64 rnd = getpid();
	unsigned int k;
	pid_t child;

	memset(d, 0, sizeof(d));
	signal(SIGBUS, crash);
	signal(SIGSEGV, crash);
	for (;;) {
		k = bt_random(&rnd) % 3;
		if (d[k].map) {
			memset(d[k].map + bt_random(&rnd) % 4 * BT_HUGE, 1, 9000);
			bt_free1(d[k].fd, e[k].handle);
			bt_client_close(&d[k]);
			continue;
		}
		if (bt_client_clone(c, &d[k]))
			memset(&d[k], 0, sizeof(d[k]));
		else
			bt_alloc1(d[k].fd, 100000, &e[k]);
		memset(c->map + bt_random(&rnd) % 4 * BT_HUGE, 2, 9000);
		child = bt_random(&rnd) % 4 ? -1 : fork();
		if (child)
			continue;
		if (d[k].map) {
			bt_bind_clone(d[k].fd);
			memset(d[k].map, 3, BYTES);
		}
		_exit(0);
	}
}

TEST_F_TIMEOUT(clone, killed_at_any_moment, BT_SLOW)
{
	const char *wish = getenv("BMEM_CLONE_KILLS");
	int kills = wish ? atoi(wish) : bt_debug_kernel() ? 15 : 40;
	__u64 rnd = 11;
	pid_t child;
	int i;

	/* The tensor lies at the beginning of the space. */
	ASSERT_EQ(0, self->e.offset);
	crashed = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)crashed);
	signal(SIGCHLD, SIG_IGN);
	for (i = 0; i < kills; i++) {
		child = bt_spawn(live_on, &self->c);
		ASSERT_LT(0, child);
		usleep(bt_random(&rnd) % 60000);
		kill(child, SIGKILL);
		EXPECT_TRUE(BT_WAIT(POOL().clients == 1 &&
				    POOL().attached_bytes == BYTES, 30000)) {
			TH_LOG("kill %d: %u clients, %llu attached", i,
			       POOL().clients, POOL().attached_bytes);
		}
		EXPECT_EQ(0, POOL().shared_bytes);
		EXPECT_EQ(0, *crashed);
		EXPECT_SOUND(self->c.fd);
	}
	signal(SIGCHLD, SIG_DFL);
	munmap((void *)crashed, BT_PAGE);
}

TEST_HARNESS_MAIN
