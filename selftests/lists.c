// SPDX-License-Identifier: GPL-2.0-only
/*
 * CLIENT_LIST, TOMBSTONE_LIST, _SITES and _MODULE: what they say against what
 * was done and what debugfs says; who sees what.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#define USER	1000

/**
 * struct life - a child with a client, in shared memory
 * @node: device that it opens
 * @uid: who it becomes
 * @sites: call sites that it allocates at
 * @files: program files that the stacks of these refer to
 * @id: of its client, once it is ready
 * @pid: itself, as it sees it
 * @st: its figures
 */
struct life {
	char node[64];
	uid_t uid;
	int sites;
	int files;
	volatile __u64 id;
	pid_t pid;
	struct bmem_client_stats st;
};

FIXTURE(lists) {
	int fd;
	struct life *life;
};

FIXTURE_SETUP(lists)
{
	ASSERT_EQ(0, geteuid());
	self->fd = bt_open();
	ASSERT_LE(0, self->fd);
	self->life = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->life);
	self->life->uid = USER;
	self->life->sites = 2;
	self->life->files = 2;
	ASSERT_EQ(0, bt_lend_device(self->life->node, sizeof(self->life->node)));
}

FIXTURE_TEARDOWN(lists)
{
	unlink(self->life->node);
	munmap(self->life, BT_PAGE);
	close(self->fd);
}

static __u64 offset_of(int site, int frame)
{
	return 0x1000 * site + 16 * frame + 5;
}

/* A site with a stack of three frames, each in a program file of its own. */
static int name_site(int fd, const struct life *l, int site)
{
	struct bmem_frame frames[FRAMES];
	struct bmem_site arg = {
		.size = sizeof(arg), .site = site, .nr_frames = FRAMES,
		.frames = (uintptr_t)frames,
	};
	int i;

	for (i = 0; i < FRAMES; i++)
		frames[i] = (struct bmem_frame){
			.module = (site * FRAMES + i) % l->files + 1,
			.offset = offset_of(site, i),
		};
	snprintf(arg.label, sizeof(arg.label), "layer %d", site);
	return bt_call(fd, BMEM_SITE, &arg);
}

static int name_file(int fd, int module)
{
	struct bmem_module arg = {
		.size = sizeof(arg), .module = module, .build_id_len = 20,
	};

	memset(arg.build_id, module, 20);
	snprintf(arg.path, sizeof(arg.path), "/lib/file %d", module);
	return bt_call(fd, BMEM_MODULE, &arg);
}

/* Site n holds one tensor of n * 10000 bytes. */
static int live(struct life *l)
{
	struct bmem_alloc_entry e;
	struct bmem_query q;
	int i, err = 0, fd;

	prctl(PR_SET_NAME, "odd\033 name");
	if (l->uid && bt_become(l->uid, BT_NOBODY, -1))
		return 1;
	fd = open(l->node, O_RDWR);
	if (fd < 0 || bt_bind_label(fd, "a life") || bt_query(fd, &q))
		return 2;
	for (i = 1; i <= l->files; i++)
		err |= name_file(fd, i);
	for (i = 1; i <= l->sites; i++) {
		e = (struct bmem_alloc_entry){ .bytes = i * 10000, .site = i };
		err |= name_site(fd, l, i) | bt_alloc(fd, &e, 1, NULL);
	}
	err |= bt_client_stats(fd, 0, &l->st);
	if (err)
		return 3;
	l->pid = getpid();
	l->id = q.client_id;
	return 0;
}

static int live_until_killed(void *arg)
{
	int ret = live(arg);

	if (!ret)
		pause();
	return ret;
}

static pid_t begin(struct life *l)
{
	pid_t pid = bt_spawn(live_until_killed, l);

	return BT_WAIT(l->id, 30000) ? pid : -1;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Row of client @id as the caller sees it; 0 or -ENOENT. */
static int client_row(int fd, __u64 id, struct bmem_client_row *row)
{
	struct bmem_client_list l = {
		.size = sizeof(l), .row_size = sizeof(*row),
		.rows = (uintptr_t)row,
	};
	int ret;

	do {
		l.nr = 1;
		ret = bt_call(fd, BMEM_CLIENT_LIST, &l);
		if (ret || !l.nr)
			return ret ? ret : -ENOENT;
	} while (row->client_id != id);
	return 0;
}

/* ---- clients ----------------------------------------------------------------- */

TEST_F_TIMEOUT(lists, client, BT_SLOW)
{
	struct life *l = self->life;
	struct bmem_client_row row;
	__u64 cgroup = 0, before = bt_now_ms();
	char id[32];
	pid_t pid;

	pid = begin(l);
	ASSERT_LT(0, pid);
	usleep(50000);
	ASSERT_EQ(0, client_row(self->fd, l->id, &row));
	/* All of these round down. */
	EXPECT_GE(bt_now_ms() - before + 1, row.age_ms);
	EXPECT_LE(50, row.age_ms);
	EXPECT_EQ(pid, row.pid);
	EXPECT_EQ(USER, row.uid);
	EXPECT_EQ(BMEM_POOL_DEFAULT, row.pool);
	EXPECT_EQ(0, row.mappings);
	EXPECT_STREQ("odd\033 name", row.comm);
	EXPECT_STREQ("a life", row.label);
	EXPECT_GT(BT_SLOW * 1000, row.age_ms);
	snprintf(id, sizeof(id), "%llu", (unsigned long long)l->id);
	EXPECT_EQ(0, bt_table_sum("clients", "id", id, "cgroup", &cgroup));
	EXPECT_EQ(cgroup, row.cgroup);
	EXPECT_NE(0, row.cgroup);
	end(pid);
	EXPECT_EQ(-ENOENT, client_row(self->fd, l->id, &row));
}

TEST_F_TIMEOUT(lists, clients_in_pieces, BT_SLOW)
{
	struct bmem_client_row rows[3];
	struct bmem_client_list arg = {
		.size = sizeof(arg), .row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	int fds[10], i, seen = 0;
	__u64 last = 0;

	for (i = 0; i < 10; i++) {
		fds[i] = bt_open();
		ASSERT_LE(0, fds[i]);
	}
	do {
		arg.nr = 3;
		ASSERT_EQ(0, bt_call(self->fd, BMEM_CLIENT_LIST, &arg));
		for (i = 0; i < (int)arg.nr; i++) {
			EXPECT_LT(last, rows[i].client_id);
			last = rows[i].client_id;
			seen += rows[i].pid == (__u32)getpid();
		}
	} while (arg.nr == 3);
	EXPECT_EQ(11, seen);
	for (i = 0; i < 10; i++)
		close(fds[i]);
	arg.cursor = ~0ULL;
	arg.nr = 3;
	EXPECT_EQ(0, bt_call(self->fd, BMEM_CLIENT_LIST, &arg));
	EXPECT_EQ(0, arg.nr);
}

/* A caller of a later version gets zeroes for what this one does not know. */
TEST_F_TIMEOUT(lists, longer_rows, BT_SLOW)
{
	struct { struct bmem_client_row row; char more[40]; } c[2];
	struct bmem_client_list arg = {
		.size = sizeof(arg), .row_size = sizeof(c[0]),
		.nr = 1, .rows = (uintptr_t)c,
	};

	memset(c, 0x55, sizeof(c));
	EXPECT_EQ(0, bt_call(self->fd, BMEM_CLIENT_LIST, &arg));
	EXPECT_EQ(1, arg.nr);
	EXPECT_NE(0, c[0].row.client_id);
	EXPECT_EQ(-1, bt_not_byte(c[0].more, sizeof(c[0].more), 0));
	EXPECT_EQ(-1, bt_not_byte(&c[1], sizeof(c[1]), 0x55));
}

/* ---- who sees what ------------------------------------------------------------- */

struct look {
	struct life *life;
	uid_t uid;
	__u64 serial;
};

/* 1 when the client is seen and 2 when the tombstone is; less than 0 for errors. */
static int looks(void *arg)
{
	struct look *k = arg;
	struct bmem_tombstone_site held[BMEM_TOMBSTONE_SITES_MAX];
	struct bmem_tombstone_sites s = {
		.size = sizeof(s), .serial = k->serial,
		.row_size = sizeof(held[0]), .nr = BMEM_TOMBSTONE_SITES_MAX,
		.rows = (uintptr_t)held,
	};
	struct bmem_tombstone_module m = {
		.size = sizeof(m), .serial = k->serial, .module = 1,
	};
	struct bmem_tombstone_row tomb;
	struct bmem_client_row row;
	int fd, ret = 0, sites, file;

	if (k->uid && bt_become(k->uid, BT_NOBODY, -1))
		return -1;
	fd = open(k->life->node, O_RDWR);
	if (fd < 0)
		return -2;
	if (!client_row(fd, k->life->id, &row))
		ret |= 1;
	if (tombstone_of(fd, k->life->id, &tomb))
		ret |= 2;
	sites = bt_call(fd, BMEM_TOMBSTONE_SITES, &s);
	file = bt_call(fd, BMEM_TOMBSTONE_MODULE, &m);
	if (ret & 2)
		return sites || file ? -3 : ret;
	return sites == -ENOENT && file == -ENOENT ? ret : -4;
}

TEST_F_TIMEOUT(lists, other_users, BT_SLOW)
{
	static const uid_t seeing[] = { USER, 0 };
	struct look k = { .life = self->life };
	struct bmem_tombstone_row row;
	pid_t pid = begin(self->life);
	unsigned int i;

	ASSERT_LT(0, pid);
	for (i = 0; i < 2; i++) {
		k.uid = seeing[i];
		EXPECT_EQ(1, bt_in_child(looks, &k));
	}
	k.uid = USER + 1;
	EXPECT_EQ(0, bt_in_child(looks, &k));
	end(pid);
	k.serial = tombstone_of(self->fd, k.life->id, &row);
	EXPECT_NE(0, k.serial);
	for (i = 0; i < 2; i++) {
		k.uid = seeing[i];
		EXPECT_EQ(2, bt_in_child(looks, &k));
	}
	k.uid = USER + 1;
	EXPECT_EQ(0, bt_in_child(looks, &k));
}

/* What the first process of a pid namespace sees of itself and of @out. */
static int in_namespace(void *arg)
{
	struct life *l = arg;
	struct bmem_client_row row;
	struct bmem_tombstone_row tomb;
	struct bmem_query q;
	__u64 mine;
	int fd = bt_open();

	if (fd < 0 || bt_query(fd, &q) || client_row(fd, q.client_id, &row))
		return 1;
	if (row.pid != 1)
		return 2;
	/* That of the namespace outside has no number here. */
	if (client_row(fd, l->id, &row) || row.pid)
		return 3;
	close(fd);
	l->uid = 0;
	l->id = 0;
	if (live(l))
		return 4;
	mine = l->id;
	/* Closes what live() left open, but for the standard ones. */
	for (fd = 3; fd < 64; fd++)
		close(fd);
	fd = bt_open();
	if (fd < 0 || !tombstone_of(fd, mine, &tomb))
		return 5;
	return tomb.pid == 1 ? 0 : 6;
}

static int new_namespace(void *arg)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return errno == EINVAL ? 77 : 10;
	pid = fork();
	if (!pid)
		_exit(in_namespace(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 11;
	return WEXITSTATUS(status);
}

TEST_F_TIMEOUT(lists, pid_namespace, BT_SLOW)
{
	struct bmem_tombstone_row row;
	pid_t pid = begin(self->life);
	int ret;

	ASSERT_LT(0, pid);
	ret = bt_in_child(new_namespace, self->life);
	end(pid);
	if (ret == 77)
		SKIP(return, "no pid namespaces");
	EXPECT_EQ(0, ret);
	/* From outside it has the number that it has outside. */
	EXPECT_NE(0, tombstone_of(self->fd, self->life->id, &row));
	EXPECT_LT(1, row.pid);
}

/* ---- tombstones ------------------------------------------------------------------- */

/* A process that becomes another program leaves what it held behind. */
TEST_F_TIMEOUT(lists, tombstone_after_exec, BT_SLOW)
{
	struct life *l = self->life;
	struct bmem_tombstone_row row;
	struct bmem_alloc_entry e = { .bytes = 12345, .site = 1 };
	struct bmem_query q;
	int fd, status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		fd = open(l->node, O_RDWR | O_CLOEXEC);
		if (fd < 0 || bt_query(fd, &q) || bt_alloc(fd, &e, 1, NULL))
			_exit(1);
		l->id = q.client_id;
		execl("/bin/sleep", "sleep", "1", NULL);
		_exit(1);
	}
	ASSERT_TRUE(BT_WAIT(l->id && tombstone_of(self->fd, l->id, &row), 10000));
	EXPECT_EQ(BMEM_WAY_EXEC, row.way);
	EXPECT_EQ(0, row.code);
	EXPECT_EQ(pid, row.pid);
	EXPECT_EQ(12345, row.live_bytes);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F_TIMEOUT(lists, tombstone_of_a_killed, BT_SLOW)
{
	struct life *l = self->life;
	struct bmem_tombstone_row row;
	struct bmem_tombstone_site held[BMEM_TOMBSTONE_SITES_MAX];
	struct bmem_tombstone_sites s = {
		.size = sizeof(s), .row_size = sizeof(held[0]), .nr = 2,
		.rows = (uintptr_t)held,
	};
	struct bmem_tombstone_module m = { .size = sizeof(m) };
	int i, k, site;
	pid_t pid;

	pid = begin(l);
	ASSERT_LT(0, pid);
	end(pid);
	s.serial = tombstone_of(self->fd, l->id, &row);
	ASSERT_NE(0, s.serial);
	EXPECT_EQ(pid, row.pid);
	EXPECT_EQ(USER, row.uid);
	EXPECT_EQ(BMEM_WAY_SIGNAL, row.way);
	EXPECT_EQ(SIGKILL, row.code);
	EXPECT_EQ(2, row.live_tensors);
	EXPECT_EQ(30000, row.live_bytes);
	EXPECT_EQ(l->st.granted_bytes, row.granted_bytes);
	EXPECT_EQ(l->st.attached_bytes, row.attached_bytes);
	EXPECT_EQ(l->st.peak_live_bytes, row.peak_live_bytes);
	EXPECT_EQ(l->st.peak_attached_bytes, row.peak_attached_bytes);
	EXPECT_EQ(l->st.allocs, row.allocs);
	EXPECT_EQ(l->st.frees, row.frees);
	EXPECT_EQ(0, row.failed);
	EXPECT_EQ(0, row.rest_sites);
	EXPECT_STREQ("default", row.pool);
	EXPECT_STREQ("odd\033 name", row.comm);
	EXPECT_STREQ("a life", row.label);

	/* Its sites, the largest first, with their stacks. */
	ASSERT_EQ(0, bt_call(self->fd, BMEM_TOMBSTONE_SITES, &s));
	ASSERT_EQ(2, s.nr);
	EXPECT_EQ(2, row.nr_sites);
	for (i = 0; i < 2; i++) {
		site = 2 - i;
		EXPECT_EQ(site, held[i].site);
		EXPECT_EQ(1, held[i].live_tensors);
		EXPECT_EQ(site * 10000, held[i].live_bytes);
		EXPECT_STREQ(i ? "layer 1" : "layer 2", held[i].label);
		ASSERT_EQ(FRAMES, held[i].nr_frames);
		for (k = 0; k < FRAMES; k++) {
			EXPECT_EQ((site * FRAMES + k) % 2 + 1, held[i].frames[k].module);
			EXPECT_EQ(offset_of(site, k), held[i].frames[k].offset);
		}
		EXPECT_EQ(-1, bt_not_byte(&held[i].frames[FRAMES],
					  (BMEM_FRAMES_MAX - FRAMES) *
					  sizeof(struct bmem_frame), 0));
	}
	/* The program files that these are in. */
	for (i = 1; i <= 2; i++) {
		m.serial = s.serial;
		m.module = i;
		EXPECT_EQ(0, bt_call(self->fd, BMEM_TOMBSTONE_MODULE, &m));
		EXPECT_EQ(20, m.build_id_len);
		EXPECT_EQ(-1, bt_not_byte(m.build_id, 20, i));
		EXPECT_STREQ(i == 1 ? "/lib/file 1" : "/lib/file 2", m.path);
	}
	m.module = 3;
	EXPECT_EQ(-ENOENT, bt_call(self->fd, BMEM_TOMBSTONE_MODULE, &m));
	s.nr = 1;
	EXPECT_EQ(-EMSGSIZE, bt_call(self->fd, BMEM_TOMBSTONE_SITES, &s));
	EXPECT_EQ(2, s.nr);
}

/* It keeps 16 sites and 32 program files; the rest is summed up. */
TEST_F_TIMEOUT(lists, tombstone_is_bounded, BT_SLOW)
{
	struct life *l = self->life;
	struct bmem_tombstone_row row;
	struct bmem_tombstone_site held[BMEM_TOMBSTONE_SITES_MAX];
	struct bmem_tombstone_sites s = {
		.size = sizeof(s), .row_size = sizeof(held[0]),
		.nr = BMEM_TOMBSTONE_SITES_MAX, .rows = (uintptr_t)held,
	};
	struct bmem_tombstone_module m = { .size = sizeof(m) };
	int i, files = 0;
	pid_t pid;

	l->sites = 20;
	l->files = 60;
	pid = begin(l);
	ASSERT_LT(0, pid);
	end(pid);
	s.serial = tombstone_of(self->fd, l->id, &row);
	ASSERT_NE(0, s.serial);
	EXPECT_EQ(BMEM_TOMBSTONE_SITES_MAX, row.nr_sites);
	EXPECT_EQ(4, row.rest_sites);
	EXPECT_EQ(4, row.rest_tensors);
	EXPECT_EQ((1 + 2 + 3 + 4) * 10000, row.rest_bytes);
	ASSERT_EQ(0, bt_call(self->fd, BMEM_TOMBSTONE_SITES, &s));
	for (i = 0; i < BMEM_TOMBSTONE_SITES_MAX; i++) {
		EXPECT_EQ(20 - i, held[i].site);
		EXPECT_EQ(FRAMES, held[i].nr_frames);
	}
	for (i = 1; i <= 60; i++) {
		m.serial = s.serial;
		m.module = i;
		files += !bt_call(self->fd, BMEM_TOMBSTONE_MODULE, &m);
	}
	EXPECT_EQ(BMEM_TOMBSTONE_MODULES_MAX, files);
	/* Those of the largest site are there. */
	for (i = 0; i < FRAMES; i++) {
		m.module = held[0].frames[i].module;
		EXPECT_EQ(0, bt_call(self->fd, BMEM_TOMBSTONE_MODULE, &m));
	}
}

/* The list is that of debugfs, oldest first, and goes on where it stopped. */
TEST_F_TIMEOUT(lists, tombstones_in_pieces, BT_SLOW)
{
	struct bmem_tombstone_row rows[5];
	struct bmem_tombstone_list arg = {
		.size = sizeof(arg), .row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	struct bmem_alloc_entry e;
	__u64 seen = 0, last = 0;
	char line[64], *text;
	int i, fd;

	for (i = 0; i < 12; i++) {
		fd = bt_open();
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, bt_alloc1(fd, 100, &e));
		close(fd);
	}
	text = bt_read_file(BT_DEBUGFS "/tombstones");
	ASSERT_NE(NULL, text);
	do {
		arg.nr = 5;
		ASSERT_EQ(0, bt_call(self->fd, BMEM_TOMBSTONE_LIST, &arg));
		for (i = 0; i < (int)arg.nr; i++) {
			EXPECT_LT(last, rows[i].serial);
			last = rows[i].serial;
			snprintf(line, sizeof(line), "tombstone %llu client=%llu ",
				 (unsigned long long)last,
				 (unsigned long long)rows[i].client_id);
			EXPECT_NE(NULL, strstr(text, line));
			seen++;
		}
	} while (arg.nr == 5);
	EXPECT_EQ(bt_debugfs_value("stats", "tombstones"), seen);
	EXPECT_EQ(bt_debugfs_value("stats", "tombstones_total"), last);
	free(text);
}

TEST_HARNESS_MAIN
