// SPDX-License-Identifier: GPL-2.0-only
/*
 * How clients end: killed at any moment, by exit, by exec, by the last of
 * those who share a descriptor.  Every byte comes back, and the tombstone
 * says what was there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "player.h"

#define POOL_LIMIT	(1024 * BT_MIB)
#define POOL_RESERVE	(32 * BT_MIB)

FIXTURE(life) {
	int admin;
	int pool;
};

FIXTURE_SETUP(life)
{
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "life", POOL_LIMIT, POOL_RESERVE);
	ASSERT_LE(0, self->pool);
}

static bool pool_is_at_rest(int admin, int pool)
{
	struct bmem_pool_stats st;

	return !bt_pool_stats(admin, pool, &st) && !st.clients &&
	       st.total_bytes == POOL_RESERVE && !st.attached_bytes &&
	       !st.escaped_bytes && !bt_check_pool(admin, pool);
}

FIXTURE_TEARDOWN(life)
{
	EXPECT_TRUE(BT_WAIT(pool_is_at_rest(self->admin, self->pool), 5000));
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

/* ---- tombstones --------------------------------------------------------------- */

/**
 * struct tombstone - one out of debugfs
 * @head: its first line
 * @sites: the lines of its sites
 */
struct tombstone {
	char head[1024];
	char sites[4096];
};

/* The tombstone of a client; false when there is none. */
static bool find_tombstone(__u64 client, struct tombstone *t)
{
	char *text = bt_read_file(BT_DEBUGFS "/tombstones"), *at, want[32];
	char *line, *save;

	*t = (struct tombstone){ 0 };
	snprintf(want, sizeof(want), " client=%llu ", client);
	at = text ? strstr(text, want) : NULL;
	while (at && at > text && at[-1] != '\n')
		at--;
	line = at ? strtok_r(at, "\n", &save) : NULL;
	if (line)
		snprintf(t->head, sizeof(t->head), "%s", line);
	while (line && (line = strtok_r(NULL, "\n", &save)) && *line == ' ')
		snprintf(t->sites + strlen(t->sites),
			 sizeof(t->sites) - strlen(t->sites), "%s\n", line);
	free(text);
	return t->head[0];
}

/* A word of the head, `key=value`; "" when it is not there. */
static const char *tomb_word(const struct tombstone *t, const char *key)
{
	static char value[128];
	char want[64];
	const char *at;

	snprintf(want, sizeof(want), " %s=", key);
	at = strstr(t->head, want);
	if (!at)
		return "";
	at += strlen(want);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, " "), at);
	return value;
}

static __u64 tomb_value(const struct tombstone *t, const char *key)
{
	return strtoull(tomb_word(t, key), NULL, 0);
}

/* Sums over all lines of sites; the number of lines. */
static int tomb_sites(const struct tombstone *t, __u64 *bytes, __u64 *tensors)
{
	const char *at = t->sites;
	unsigned long long b, n;
	int lines = 0;

	*bytes = *tensors = 0;
	while (sscanf(at, " %llu bytes in %llu tensors", &b, &n) == 2) {
		*bytes += b;
		*tensors += n;
		lines++;
		at = strchr(at, '\n') + 1;
	}
	return lines;
}

/**
 * struct will - what a child leaves behind, in shared memory
 * @pool: to bind to
 * @ready: it has come to where it is to end
 * @nr_sites: call sites to allocate at
 * @orphan: child that it leaves behind
 * @end: how it ends
 * @st: its figures just before
 */
struct will {
	int pool;
	volatile bool ready;
	int nr_sites;
	pid_t orphan;
	int (*end)(struct will *w, int fd);
	struct bmem_client_stats st;
};

static struct will *make_will(int pool, int nr_sites,
			      int (*end)(struct will *w, int fd))
{
	struct will *w = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*w = (struct will){ .pool = pool, .nr_sites = nr_sites, .end = end };
	return w;
}

/* Site n has n tensors of n * 10000 bytes, and some that are freed again. */
static int hold_by_sites(int fd, int nr_sites)
{
	struct bmem_alloc_entry e;
	char label[32];
	int site, i, err = 0;

	for (site = 1; site <= nr_sites; site++) {
		snprintf(label, sizeof(label), "layer %d", site);
		err |= bt_site(fd, site, label);
		for (i = 0; i <= site; i++) {
			e = (struct bmem_alloc_entry){
				.bytes = site * 10000, .site = site,
			};
			err |= bt_alloc(fd, &e, 1, NULL);
		}
		err |= bt_free1(fd, e.handle);
	}
	return err;
}

static int live_and_die(void *arg)
{
	struct will *w = arg;
	struct bt_client c;

	if (bt_client_open(&c, w->pool) || bt_bind_label(c.fd, "the late") ||
	    hold_by_sites(c.fd, w->nr_sites))
		return 99;
	memset(c.map, 1, 10000);
	if (bt_client_stats(c.fd, 0, &w->st))
		return 98;
	w->ready = true;
	return w->end(w, c.fd);
}

static int end_by_pause(struct will *w, int fd)
{
	(void)w;
	(void)fd;
	pause();
	return 0;
}

static int end_by_exit(struct will *w, int fd)
{
	(void)w;
	(void)fd;
	return 3;
}

static int end_by_fault(struct will *w, int fd)
{
	(void)w;
	(void)fd;
	return raise(SIGSEGV);
}

/* Closes and unmaps, and stays until it is killed. */
static int end_by_close(struct will *w, int fd)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512];

	(void)w;
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, BT_DEVICE) &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2)
			munmap((void *)from, to - from);
	close(fd);
	pause();
	return 0;
}

static void expect_tombstone(struct __test_metadata *_metadata, struct will *w,
			     pid_t pid, const char *way)
{
	struct tombstone t;
	__u64 bytes, tensors;

	ASSERT_TRUE(BT_WAIT(find_tombstone(w->st.client_id, &t), 5000));
	EXPECT_STREQ(way, tomb_word(&t, "way"));
	EXPECT_EQ(pid, (pid_t)tomb_value(&t, "tgid"));
	EXPECT_EQ(w->st.live_tensors, tomb_value(&t, "live_tensors"));
	EXPECT_EQ(w->st.live_bytes, tomb_value(&t, "live_bytes"));
	EXPECT_EQ(w->st.granted_bytes, tomb_value(&t, "granted_bytes"));
	EXPECT_EQ(w->st.attached_bytes, tomb_value(&t, "attached_bytes"));
	EXPECT_EQ(w->st.peak_live_bytes, tomb_value(&t, "peak_live_bytes"));
	EXPECT_EQ(w->st.allocs, tomb_value(&t, "allocs"));
	EXPECT_EQ(w->st.frees, tomb_value(&t, "frees"));
	/* What is not there at all is 0, too. */
	EXPECT_STREQ("0", tomb_word(&t, "escaped_bytes"));
	EXPECT_EQ(0, tomb_value(&t, "escaped_bytes"));
	EXPECT_NE(NULL, strstr(t.head, "the\\040late"));
	tomb_sites(&t, &bytes, &tensors);
	EXPECT_EQ(w->st.live_bytes, bytes);
	EXPECT_EQ(w->st.live_tensors, tensors);
}

static void test_end(struct __test_metadata *_metadata, FIXTURE_DATA(life) *self,
		     int (*end)(struct will *w, int fd), int signal,
		     const char *way)
{
	struct will *w = make_will(self->pool, 5, end);
	__u64 before = bt_now_ms();
	pid_t pid = bt_spawn(live_and_die, w);
	struct tombstone t;
	char line[64];
	int site;

	EXPECT_TRUE(BT_WAIT(w->ready, 20000));
	if (signal)
		kill(pid, signal);
	if (end != end_by_close)
		EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	expect_tombstone(_metadata, w, pid, way);
	/* Site by site, with its name. */
	usleep(20000);
	find_tombstone(w->st.client_id, &t);
	EXPECT_LE(20, tomb_value(&t, "closed_ms"));
	/* Both round down. */
	EXPECT_GE(bt_now_ms() - before + 1, tomb_value(&t, "closed_ms"));
	for (site = 1; site <= 5; site++) {
		snprintf(line, sizeof(line), "  %d bytes in %d tensors\tlayer %d\n",
			 site * site * 10000, site, site);
		EXPECT_NE(NULL, strstr(t.sites, line)) {
			TH_LOG("no line '%s' in %s", line, t.sites);
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F_TIMEOUT(life, tombstone_of_a_killed, BT_SLOW)
{
	test_end(_metadata, self, end_by_pause, SIGKILL, "signal(9)");
}

TEST_F_TIMEOUT(life, tombstone_of_a_crashed, BT_SLOW)
{
	test_end(_metadata, self, end_by_fault, 0, "signal(11)");
}

TEST_F_TIMEOUT(life, tombstone_after_exit, BT_SLOW)
{
	test_end(_metadata, self, end_by_exit, 0, "exit(3)");
}

TEST_F_TIMEOUT(life, tombstone_after_close, BT_SLOW)
{
	test_end(_metadata, self, end_by_close, 0, "closed");
}

/* More sites than a tombstone names: what is not named is still counted. */
TEST_F_TIMEOUT(life, tombstone_of_many_sites, BT_SLOW)
{
	struct will *w = make_will(self->pool, 40, end_by_pause);
	const char *largest = "  16000000 bytes in 40 tensors\tlayer 40\n";
	pid_t pid = bt_spawn(live_and_die, w);
	struct tombstone t;
	__u64 bytes, tensors;

	EXPECT_TRUE(BT_WAIT(w->ready, 20000));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_tombstone(_metadata, w, pid, "signal(9)");
	find_tombstone(w->st.client_id, &t);
	EXPECT_GT(40, tomb_sites(&t, &bytes, &tensors));
	/* The largest comes first. */
	EXPECT_EQ(0, strncmp(t.sites, largest, strlen(largest)));
}

/* ---- the ring -------------------------------------------------------------------- */

/* Serial numbers of the tombstones that are there: how many, first, last. */
static int read_ring(__u64 *first, __u64 *last)
{
	char *text = bt_read_file(BT_DEBUGFS "/tombstones"), *line, *save;
	unsigned long long serial;
	int nr = 0;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "tombstone %llu ", &serial) != 1)
			continue;
		if (!nr++)
			*first = serial;
		*last = serial;
	}
	free(text);
	return nr;
}

static int short_life(int pool)
{
	struct bmem_alloc_entry e;
	int fd = bt_open(), ret;

	if (fd < 0)
		return fd;
	ret = bt_bind_pool(fd, pool);
	if (!ret)
		ret = bt_alloc1(fd, 4096, &e);
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(life, ring_is_bounded, BT_SLOW)
{
	__u64 total = bt_debugfs_value("stats", "tombstones_total");
	__u64 first = 0, last = 0;
	char text[16];
	int ring, i;

	ASSERT_EQ(0, bt_param("tombstones", text, sizeof(text)));
	ring = atoi(text);
	if (ring > 2000)
		SKIP(return, "a ring of %d", ring);
	for (i = 0; i < ring + 5; i++)
		ASSERT_EQ(0, short_life(self->pool));
	total += ring + 5;
	EXPECT_EQ(total, bt_debugfs_value("stats", "tombstones_total"));
	EXPECT_EQ(ring, bt_debugfs_value("stats", "tombstones"));
	EXPECT_EQ(total - ring, bt_debugfs_value("stats", "tombstones_dropped"));
	EXPECT_EQ(ring, read_ring(&first, &last));
	if (ring) {
		EXPECT_EQ(total, last);
		EXPECT_EQ(total - ring + 1, first);
	}
}

/* Opening alone is no life to speak of. */
TEST_F_TIMEOUT(life, no_tombstone_without_a_tensor, BT_SLOW)
{
	__u64 total = bt_debugfs_value("stats", "tombstones_total");
	int i, fd;

	for (i = 0; i < 10; i++) {
		fd = bt_open();
		ASSERT_LE(0, fd);
		close(fd);
	}
	EXPECT_EQ(total, bt_debugfs_value("stats", "tombstones_total"));
}

/* ---- killed at random -------------------------------------------------------------- */

#define KILLS		200
#define AT_A_TIME	4

/**
 * struct victim - a process that replays until it is killed
 * @started: it holds memory
 * @pid: which
 */
struct victim {
	volatile bool started;
	pid_t pid;
};

struct replaying {
	const struct trace *trace;
	const struct backend *backend;
	int pool;
	struct victim *victim;
	size_t from;
	bool pattern;
};

static int replay_forever(void *arg)
{
	struct replaying *r = arg;
	const char *bad;
	struct player p;

	bad = player_open(&p, r->trace, r->backend, "victim", r->pool);
	p.pattern = r->pattern;
	if (!bad)
		bad = player_seek(&p, r->from);
	while (!bad) {
		bad = player_step(&p);
		r->victim->started = true;
		if (!bad && p.next == p.trace->nr) {
			bad = player_drain(&p);
			p.next = 0;
		}
	}
	printf("# victim: %s\n", bad);
	return 1;
}

static void start_victim(struct replaying *r, struct victim *v, __u64 *rnd)
{
	v->started = false;
	r->victim = v;
	r->from = bt_random(rnd) % r->trace->nr;
	r->pattern = bt_random(rnd) % 2;
	v->pid = bt_spawn(replay_forever, r);
}

/* One that holds memory, whichever; NULL when none does. */
static struct victim *pick_victim(struct victim *v, __u64 *rnd)
{
	int n = bt_random(rnd) % AT_A_TIME, i;

	for (i = 0; i < AT_A_TIME; i++, n++)
		if (v[n % AT_A_TIME].pid && v[n % AT_A_TIME].started)
			return &v[n % AT_A_TIME];
	return NULL;
}

/* Kills it a random while after it came to hold memory. */
static int kill_victim(struct victim *v, __u64 *rnd)
{
	pid_t pid = v->pid;
	int status;

	usleep(bt_random(rnd) % 40000);
	v->pid = 0;
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : -EIO;
}

static void kill_at_random(struct __test_metadata *_metadata,
			   FIXTURE_DATA(life) *self,
			   const struct backend *backend, int kills)
{
	__u64 total = bt_debugfs_value("stats", "tombstones_total");
	__u64 clients = bt_debugfs_value("stats", "clients");
	__u64 rnd = bt_now_ns();
	struct replaying r = { .pool = self->pool, .backend = backend };
	struct victim *v;
	struct trace trace;
	int n;

	v = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, trace_load(&trace, TRACES "/cnn-tensor.trace.zst"));
	r.trace = &trace;
	for (n = 0; n < AT_A_TIME; n++)
		start_victim(&r, &v[n], &rnd);
	for (n = 0; n < kills; n++) {
		struct victim *next;

		ASSERT_TRUE(BT_WAIT((next = pick_victim(v, &rnd)), 60000));
		ASSERT_EQ(0, kill_victim(next, &rnd));
		if (n < kills - AT_A_TIME)
			start_victim(&r, next, &rnd);
		if (n % 20 == 0) {
			EXPECT_EQ(NULL, bt_check_parts(self->admin, self->pool));
			TH_LOG("%d killed", n);
		}
	}
	EXPECT_TRUE(BT_WAIT(pool_is_at_rest(self->admin, self->pool), 10000));
	EXPECT_EQ(clients, bt_debugfs_value("stats", "clients"));
	EXPECT_EQ(total + kills, bt_debugfs_value("stats", "tombstones_total"));
	EXPECT_EQ(bt_debugfs_value("stats", "tombstones") +
		  bt_debugfs_value("stats", "tombstones_dropped"), total + kills);
}

TEST_F_TIMEOUT(life, killed_at_random, 3 * BT_SLOW)
{
	kill_at_random(_metadata, self, &backend_raw, KILLS);
}

/* Slots come and go by the magazine: some are in the victim's, some are on the way. */
TEST_F_TIMEOUT(life, killed_in_the_library, 3 * BT_SLOW)
{
	if (!backend_lib())
		SKIP(return, "built without libbmem");
	kill_at_random(_metadata, self, backend_lib(),
		       bt_debug_kernel() ? KILLS / 5 : KILLS / 2);
}

/* Killed inside of calls that take long, with threads that touch memory. */
static void *touch_forever(void *arg)
{
	struct bt_client *c = arg;
	__u64 at;

	for (;;)
		for (at = 0; at < 128 * BT_MIB; at += BT_PAGE)
			(*(volatile char *)(c->map + at))++;
	return NULL;
}

static int allocate_forever(void *arg)
{
	struct will *w = arg;
	struct bmem_alloc_entry e;
	struct bt_client c;
	pthread_t thread;

	if (bt_client_open(&c, w->pool) || bt_bind_cache(c.fd, 0))
		return 1;
	if (bt_alloc1(c.fd, 128 * BT_MIB, &e) || e.offset)
		return 2;
	pthread_create(&thread, NULL, touch_forever, &c);
	w->ready = true;
	for (;;)
		if (bt_alloc1(c.fd, 128 * BT_MIB, &e) || bt_free1(c.fd, e.handle))
			return 3;
}

TEST_F_TIMEOUT(life, killed_in_the_middle_of_calls, BT_SLOW)
{
	__u64 rnd = bt_now_ns();
	int n, status;

	for (n = 0; n < 20; n++) {
		struct will *w = make_will(self->pool, 0, NULL);
		pid_t pid = bt_spawn(allocate_forever, w);

		EXPECT_TRUE(BT_WAIT(w->ready, 20000));
		usleep(bt_random(&rnd) % 60000);
		kill(pid, SIGKILL);
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		/* Not of the memory that it touches. */
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
		EXPECT_TRUE(BT_WAIT(pool_is_at_rest(self->admin, self->pool), 5000));
	}
}

/* ---- shared descriptors --------------------------------------------------------------- */

static void be_orphan(struct will *w)
{
	w->ready = true;
	for (;;)
		pause();
}

/* Opens, leaves an orphan with the descriptor, exits. */
static int open_and_leave_orphan(void *arg)
{
	struct will *w = arg;
	struct bt_client c;
	pid_t pid;

	if (bt_client_open(&c, w->pool) || hold_by_sites(c.fd, 3) ||
	    bt_client_stats(c.fd, 0, &w->st))
		return 1;
	pid = fork();
	if (!pid)
		be_orphan(w);
	w->orphan = pid;
	return 0;
}

TEST_F_TIMEOUT(life, orphan_keeps_the_client, BT_SLOW)
{
	struct will *w = make_will(self->pool, 0, NULL);
	struct bmem_client_stats st;
	struct tombstone t;

	EXPECT_EQ(0, bt_in_child(open_and_leave_orphan, w));
	EXPECT_TRUE(BT_WAIT(w->ready, 5000));
	ASSERT_LT(0, w->orphan);
	ASSERT_EQ(0, bt_client_stats(self->admin, w->st.client_id, &st));
	EXPECT_EQ(w->st.live_bytes, st.live_bytes);
	EXPECT_EQ(w->st.attached_bytes, st.attached_bytes);
	EXPECT_FALSE(find_tombstone(w->st.client_id, &t));
	kill(w->orphan, SIGKILL);
	EXPECT_TRUE(BT_WAIT(find_tombstone(w->st.client_id, &t), 5000));
	/* It was not its opener that ended. */
	EXPECT_STREQ("closed", tomb_word(&t, "way"));
	EXPECT_EQ(w->st.live_bytes, tomb_value(&t, "live_bytes"));
}

static int send_fd(int sock, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -EIO;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

struct parcel {
	int pool;
	int socks[2];
};

/* Fills a tensor and sends the descriptor, then exits. */
static int send_and_exit(void *arg)
{
	struct parcel *pa = arg;
	struct bmem_alloc_entry e;
	struct bt_client c;
	int ret;

	ret = bt_client_open(&c, pa->pool);
	if (!ret)
		ret = bt_alloc1(c.fd, 5 * BT_MIB, &e);
	if (ret)
		return ret;
	bt_fill(c.map + e.offset, 5 * BT_MIB, 21);
	return send_fd(pa->socks[0], c.fd);
}

TEST_F_TIMEOUT(life, descriptor_in_a_socket, BT_SLOW)
{
	struct parcel pa = { .pool = self->pool };
	struct bmem_tensor *rows;
	struct bmem_query q;
	char *p;
	int fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pa.socks));
	ASSERT_EQ(0, bt_in_child(send_and_exit, &pa));
	/* Nobody has it open, and it is alive. */
	EXPECT_FALSE(pool_is_at_rest(self->admin, self->pool));
	EXPECT_EQ(NULL, bt_check_pool(self->admin, self->pool));
	fd = receive_fd(pa.socks[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bt_query(fd, &q));
	ASSERT_EQ(1, bt_list(fd, 0, &rows));
	p = bt_map(fd, rows[0].offset, rows[0].granted);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(-1, bt_verify(p, 5 * BT_MIB, 21));
	EXPECT_EQ(0, bt_free1(fd, rows[0].handle));
	EXPECT_EQ(NULL, bt_check(fd));
	munmap(p, rows[0].granted);
	free(rows);
	close(fd);
	EXPECT_TRUE(pool_is_at_rest(self->admin, self->pool));
	/* In flight when the socket closes. */
	ASSERT_EQ(0, bt_in_child(send_and_exit, &pa));
	close(pa.socks[0]);
	close(pa.socks[1]);
	EXPECT_TRUE(BT_WAIT(pool_is_at_rest(self->admin, self->pool), 5000));
}

static int end_by_exec(struct will *w, int fd)
{
	(void)w;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	execlp("sleep", "sleep", "1000", NULL);
	return 97;
}

static int end_by_exec_inherited(struct will *w, int fd)
{
	(void)w;
	fcntl(fd, F_SETFD, 0);
	execlp("sleep", "sleep", "1000", NULL);
	return 97;
}

TEST_F_TIMEOUT(life, exec_closes, BT_SLOW)
{
	struct will *w = make_will(self->pool, 5, end_by_exec);
	pid_t pid = bt_spawn(live_and_die, w);
	struct tombstone t;

	EXPECT_TRUE(BT_WAIT(w->ready, 20000));
	EXPECT_TRUE(BT_WAIT(find_tombstone(w->st.client_id, &t), 10000));
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	expect_tombstone(_metadata, w, pid, "exec");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F_TIMEOUT(life, exec_inherits, BT_SLOW)
{
	struct will *w = make_will(self->pool, 5, end_by_exec_inherited);
	pid_t pid = bt_spawn(live_and_die, w);
	struct bmem_client_stats st;
	char path[64], id[32], maps[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	EXPECT_TRUE(BT_WAIT(w->ready && ({
		char *text = bt_read_file(path);
		bool is = text && !strncmp(text, "sleep", 5);

		free(text);
		is; }), 20000));
	/* The mapping is gone with the old program, the memory is not. */
	EXPECT_EQ(0, bt_client_stats(self->admin, w->st.client_id, &st));
	EXPECT_EQ(w->st.live_bytes, st.live_bytes);
	snprintf(id, sizeof(id), "%llu", w->st.client_id);
	bt_table_text("clients", "id", id, "maps", maps, sizeof(maps));
	EXPECT_STREQ("0", maps);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_tombstone(_metadata, w, pid, "signal(9)");
}

/* ---- reports while clients come and go --------------------------------------- */

#define CHURNERS	3
/* A report takes milliseconds; one that follows the newcomers has no end. */
#define REPORT_MS	60000
#define REPORT_ROUNDS	5

static int open_and_close(void *arg)
{
	int pool = *(int *)arg, i, fd;
	struct bmem_alloc_entry e;

	for (;;) {
		fd = bt_open();
		if (fd < 0 || bt_bind_pool(fd, pool))
			return 1;
		for (i = 0; i < 4; i++)
			bt_alloc1(fd, 3 * BT_PAGE, &e);
		close(fd);
	}
}

/* Reads a file to its end, or for as long as it may take; bytes or -errno. */
static long long read_report(const char *name)
{
	static char text[1 << 16];
	__u64 end = bt_now_ms() + REPORT_MS;
	long long all = 0;
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), BT_DEBUGFS "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, text, sizeof(text))) > 0 && bt_now_ms() < end)
		all += n;
	close(fd);
	return n > 0 ? -ETIME : n < 0 ? -errno : all;
}

TEST_F_TIMEOUT(life, reports_end_under_churn, 3 * BT_SLOW)
{
	static const char *const names[] = {
		"stats", "pools", "clients", "tensors", "sites", "tombstones",
		"overhead", "placement",
	};
	__u64 opened = bt_debugfs_value("stats", "tombstones_total");
	pid_t pids[CHURNERS];
	long long got;
	size_t k;
	int i, status;

	for (i = 0; i < CHURNERS; i++) {
		pids[i] = bt_spawn(open_and_close, &self->pool);
		ASSERT_LT(0, pids[i]);
	}
	EXPECT_TRUE(BT_WAIT(bt_debugfs_value("stats", "tombstones_total") >
			    opened, 30000));
	for (i = 0; i < REPORT_ROUNDS; i++) {
		for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
			got = read_report(names[k]);
			EXPECT_LT(0, got) {
				TH_LOG("%s: %s", names[k], strerror(-got));
			}
		}
	}
	for (i = 0; i < CHURNERS; i++) {
		kill(pids[i], SIGKILL);
		/* It came and went until then. */
		EXPECT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(SIGKILL, status);
	}
	TH_LOG("%llu clients came and went", (unsigned long long)
	       bt_debugfs_value("stats", "tombstones_total") - opened);
}

TEST_HARNESS_MAIN
