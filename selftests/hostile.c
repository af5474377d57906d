// SPDX-License-Identifier: GPL-2.0-only
/*
 * Users without rights who do everything at once, with any argument: threads
 * that share descriptors race calls, mappings, forks and closes, while root
 * looks on and changes pools.  In the end the books are exact and all memory
 * is back.
 *
 * BMEM_SECONDS says for how long at least (default 10), BMEM_SEED repeats a run.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#define POOL_LIMIT	(96 * BT_MIB)
#define POOL_RESERVE	(8 * BT_MIB)
#define ATTACKERS	2
#define THREADS		4
#define FDS		4
#define HANDLES		64

#define LEAK_KINDS	(BMEM_LEAK_KIND(BMEM_LEAK_UNREFERENCED) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_UNREACHABLE) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_CYCLE) | \
			 BMEM_LEAK_KIND(BMEM_LEAK_GROWTH))

/* An attacker that has had fewer ALLOCs goes on: a slow machine is no excuse. */
#define ALLOCS_LEAST	60

/**
 * struct attack - what the threads of an attacker share
 * @node: device that they may open
 * @pool: that they bind to
 * @fds: descriptors, replaced while others use them
 * @handles: what was allocated last on each
 * @slots: what was given out last on each
 * @space: length of a client's space
 * @end: when to stop, in milliseconds
 * @seed: of the random numbers
 * @calls: made so far
 * @allocs: of these ALLOCs that succeeded
 * @bad: an errno that is not in the ABI's table
 */
struct attack {
	const char *node;
	int pool;
	int fds[FDS];
	volatile __u64 handles[FDS][HANDLES];
	volatile __u64 slots[FDS][HANDLES];
	__u64 space;
	__u64 end;
	__u64 seed;
	__u64 calls;
	__u64 allocs;
	int bad;
};

/* ---- arguments ---------------------------------------------------------------- */

static const __u64 corners[] = {
	0, 1, 2, 63, 64, 65, 4095, 4096, 4097, 65535, 65536, 0x7fffffff,
	0x80000000, 0xffffffff, 0x100000000, BT_HUGE - 1, BT_HUGE, BT_HUGE + 1,
	POOL_LIMIT, POOL_LIMIT + 1, 1ULL << 47, 1ULL << 62, 1ULL << 63,
	0x7fffffffffffffff, ~0ULL, ~0ULL - 4095,
};

static __u64 corner(__u64 *rnd)
{
	return corners[bt_random(rnd) % ARRAY_SIZE(corners)];
}

static __u64 some_bytes(__u64 *rnd)
{
	return 1 + bt_random(rnd) % (1ULL << (bt_random(rnd) % 25));
}

/**
 * struct scratch - what a thread's calls point at
 *
 * In a mapping of its own, and as long as any count that a call accepts: what
 * the kernel writes for a spoiled argument stays within it.
 */
struct scratch {
	struct bmem_alloc_entry alloc[BMEM_BATCH_MAX];
	struct bmem_free_entry gone[BMEM_BATCH_MAX];
	struct bmem_link_entry links[BMEM_BATCH_MAX];
	struct bmem_tensor rows[BMEM_BATCH_MAX];
	__u32 ids[BMEM_POOLS_MAX];
	__u64 slots[BMEM_BATCH_MAX];
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	unsigned char sites[BMEM_BATCH_MAX][BMEM_PAGE_SIZE];
};

#define BATCH	16

static struct scratch *make_scratch(void)
{
	return mmap(NULL, sizeof(struct scratch), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void fill_alloc(union any *a, struct scratch *s, __u64 *rnd)
{
	unsigned int i;

	a->alloc.nr = 1 + bt_random(rnd) % BATCH;
	a->alloc.entries = (uintptr_t)s->alloc;
	memset(s->alloc, 0, BATCH * sizeof(*s->alloc));
	for (i = 0; i < a->alloc.nr; i++) {
		s->alloc[i].bytes = bt_random(rnd) % 50 ? some_bytes(rnd) : corner(rnd);
		s->alloc[i].site = bt_random(rnd) % 40;
		s->alloc[i].flags = bt_random(rnd) % 4;
		if (bt_random(rnd) % 50 == 0)
			s->alloc[i].align = corner(rnd);
	}
}

static void fill_free(union any *a, struct scratch *s, struct attack *at, int i,
		      __u64 *rnd)
{
	unsigned int n;

	a->free.nr = 1 + bt_random(rnd) % BATCH;
	a->free.entries = (uintptr_t)s->gone;
	memset(s->gone, 0, BATCH * sizeof(*s->gone));
	for (n = 0; n < a->free.nr; n++)
		s->gone[n].handle = bt_random(rnd) % 20 ?
			at->handles[i][bt_random(rnd) % HANDLES] : corner(rnd);
}

/* Some cycles, some holds, many of what is gone by now. */
static void fill_link(union any *a, struct scratch *s, struct attack *at, int i,
		      __u64 *rnd)
{
	unsigned int n;

	a->link.nr = 1 + bt_random(rnd) % BATCH;
	a->link.entries = (uintptr_t)s->links;
	memset(s->links, 0, BATCH * sizeof(*s->links));
	for (n = 0; n < a->link.nr; n++) {
		s->links[n].from = bt_random(rnd) % 4 ?
			at->handles[i][bt_random(rnd) % HANDLES] : 0;
		s->links[n].to = bt_random(rnd) % 20 ?
			at->handles[i][bt_random(rnd) % HANDLES] : corner(rnd);
	}
}

/* Names of slots that are out, were out, or never will be. */
static void fill_put(union any *a, struct scratch *s, struct attack *at, int i,
		     __u64 *rnd)
{
	unsigned int n;

	a->slots.nr = 1 + bt_random(rnd) % BATCH;
	for (n = 0; n < a->slots.nr; n++) {
		s->slots[n] = at->slots[i][bt_random(rnd) % HANDLES];
		if (bt_random(rnd) % 10 == 0)
			s->slots[n] ^= 1ULL << bt_random(rnd) % 64;
	}
}

static void fill_frames(union any *a, struct scratch *s, __u64 *rnd)
{
	unsigned int i;

	a->site.nr_frames = bt_random(rnd) % (BMEM_FRAMES_MAX + 1);
	a->site.frames = (uintptr_t)s->frames;
	for (i = 0; i < a->site.nr_frames; i++)
		s->frames[i] = (struct bmem_frame){
			bt_random(rnd) % 3, 0, bt_random(rnd),
		};
}

/*
 * Puts a corner into one field.  A pointer is replaced as a whole: half of one
 * would lead the kernel to memory of ours that it was not told to write.
 */
static void spoil(union any *a, int call, __u64 *rnd)
{
	static const size_t pointer[CALLS] = {
		[ALLOC] = offsetof(struct bmem_alloc, entries),
		[FREE] = offsetof(struct bmem_free, entries),
		[LIST] = offsetof(struct bmem_tensor_list, entries),
		[POOLS] = offsetof(struct bmem_pool_list, ids),
		[SLOTS_GET] = offsetof(struct bmem_slots, slots),
		[SLOTS_PUT] = offsetof(struct bmem_slots, slots),
		[SITE] = offsetof(struct bmem_site, frames),
		[SITE_LIST] = offsetof(struct bmem_site_list, rows),
		[SITE_FRAMES] = offsetof(struct bmem_site_frames, frames),
		[CLIENT_LIST] = offsetof(struct bmem_client_list, rows),
		[TOMBSTONE_LIST] = offsetof(struct bmem_tombstone_list, rows),
		[TOMBSTONE_SITES] = offsetof(struct bmem_tombstone_sites, rows),
		[LEAK_LIST] = offsetof(struct bmem_leak_list, rows),
		[LINK] = offsetof(struct bmem_link, entries),
		[UNLINK] = offsetof(struct bmem_link, entries),
		[GROWTH_LIST] = offsetof(struct bmem_growth_list, rows),
	};
	size_t at = bt_random(rnd) % (calls[call].size / 4) * 4;
	__u64 value = corner(rnd);

	if (pointer[call] && at / 8 == pointer[call] / 8)
		memcpy(a->bytes + pointer[call], &value, 8);
	else
		memcpy(a->bytes + at, &value, 4);
	/* Nobody has time for a minute's sleep. */
	if (call == LEAK_SCAN && a->leak_scan.delay_ms - 1 > 9)
		a->flags &= ~BMEM_LEAK_SCAN_CONFIRM;
}

/* A sensible argument for call @call, of which one field may then be spoiled. */
static void fill(union any *a, int call, struct scratch *s, struct attack *at,
		 int i, __u64 *rnd)
{
	memset(a, 0, sizeof(*a));
	a->size = calls[call].size;
	a->flags = bt_random(rnd) & calls[call].known;
	switch (call) {
	case BIND:
		a->bind.pool = bt_random(rnd) % 8 ? (unsigned int)at->pool : 0;
		a->bind.cache_bytes = bt_random(rnd) % (32 * BT_MIB);
		strcpy(a->bind.label, "hostile");
		break;
	case SITE:
		a->site.site = 1 + bt_random(rnd) % 40;
		strcpy(a->site.label, "nowhere");
		fill_frames(a, s, rnd);
		break;
	case MODULE:
		a->module.module = 1 + bt_random(rnd) % 4;
		a->module.build_id_len = bt_random(rnd) % 33;
		strcpy(a->module.path, "/nowhere");
		break;
	case MODULE_INFO:
		a->module_info.client_id = bt_random(rnd) % 40;
		a->module_info.module = 1 + bt_random(rnd) % 4;
		break;
	case SITE_LIST:
		a->site_list.client_id = bt_random(rnd) % 40;
		a->site_list.row_size = sizeof(struct bmem_site_row);
		a->site_list.nr = 1 + bt_random(rnd) % 64;
		a->site_list.rows = (uintptr_t)s->sites;
		break;
	case GROWTH_LIST:
		a->growth_list.client_id = bt_random(rnd) % 40;
		a->growth_list.row_size = sizeof(struct bmem_growth_row);
		a->growth_list.nr = 1 + bt_random(rnd) % 64;
		a->growth_list.rows = (uintptr_t)s->sites;
		break;
	case SITE_FRAMES:
		a->site_frames.client_id = bt_random(rnd) % 40;
		a->site_frames.site = 1 + bt_random(rnd) % 40;
		a->site_frames.nr = bt_random(rnd) % (BMEM_FRAMES_MAX + 1);
		a->site_frames.frames = (uintptr_t)s->frames;
		break;
	case CLIENT_LIST:
		a->client_list.row_size = sizeof(struct bmem_client_row);
		a->client_list.nr = 1 + bt_random(rnd) % 64;
		a->client_list.rows = (uintptr_t)s->sites;
		break;
	case TOMBSTONE_LIST:
		a->tombstone_list.row_size = sizeof(struct bmem_tombstone_row);
		a->tombstone_list.nr = 1 + bt_random(rnd) % 64;
		a->tombstone_list.rows = (uintptr_t)s->sites;
		break;
	case TOMBSTONE_SITES:
		a->tombstone_sites.serial = bt_random(rnd) % 40;
		a->tombstone_sites.row_size = sizeof(struct bmem_tombstone_site);
		a->tombstone_sites.nr = BMEM_TOMBSTONE_SITES_MAX;
		a->tombstone_sites.rows = (uintptr_t)s->sites;
		break;
	case TOMBSTONE_MODULE:
		a->tombstone_module.serial = bt_random(rnd) % 40;
		a->tombstone_module.module = 1 + bt_random(rnd) % 4;
		break;
	case LINK:
	case UNLINK:
		fill_link(a, s, at, i, rnd);
		break;
	case LEAK_SCAN:
		a->leak_scan.client_id = bt_random(rnd) % 40;
		a->leak_scan.kinds = bt_random(rnd) & LEAK_KINDS;
		/* Not so long that nothing else is done. */
		a->leak_scan.delay_ms = 1 + bt_random(rnd) % 3;
		break;
	case LEAK_LIST:
		a->leak_list.client_id = bt_random(rnd) % 40;
		a->leak_list.kinds = bt_random(rnd) & LEAK_KINDS;
		a->leak_list.row_size = sizeof(struct bmem_leak_row);
		a->leak_list.nr = 1 + bt_random(rnd) % 64;
		a->leak_list.rows = (uintptr_t)s->sites;
		break;
	case EVENTS:
		a->events.mask = bt_random(rnd) & (BMEM_EVENT_BIT(BMEM_EVENT_TYPES) - 2);
		break;
	case LEAK_SKIP:
		a->leak_skip.addr = bt_random(rnd) & 0x7ffffffffff8;
		a->leak_skip.bytes = 8 << bt_random(rnd) % 30;
		break;
	case ALLOC:
		fill_alloc(a, s, rnd);
		break;
	case FREE:
		fill_free(a, s, at, i, rnd);
		break;
	case INFO:
		a->info.handle = at->handles[i][bt_random(rnd) % HANDLES];
		break;
	case LIST:
		a->list.nr = 1 + bt_random(rnd) % (4 * BATCH);
		a->list.client_id = bt_random(rnd) % 40;
		a->list.entries = (uintptr_t)s->rows;
		break;
	case STATS:
		a->stats.client_id = bt_random(rnd) % 40;
		break;
	case TRIM:
		a->trim.keep_bytes = bt_random(rnd) % (16 * BT_MIB);
		break;
	case SLOTS_GET:
		a->slots.size_class = bt_random(rnd) % BMEM_CLASSES;
		a->slots.nr = 1 + bt_random(rnd) % HANDLES;
		a->slots.slots = (uintptr_t)s->slots;
		break;
	case SLOTS_PUT:
		fill_put(a, s, at, i, rnd);
		a->slots.slots = (uintptr_t)s->slots;
		break;
	case POOLS:
		a->pools.nr = BMEM_POOLS_MAX;
		a->pools.ids = (uintptr_t)s->ids;
		break;
	case POOL_STATS:
	case PRESSURE:
	case DESTROY:
	case RESIZE:
		a->pool_stats.pool = bt_random(rnd) % 4;
		break;
	}
	if (bt_random(rnd) % 4 == 0)
		spoil(a, call, rnd);
	/* Nobody is to wait here for what comes back by chance. */
	if (call == ALLOC)
		a->alloc.timeout_ms %= 8;
	if (call == SLOTS_GET || call == SLOTS_PUT)
		a->slots.timeout_ms %= 8;
}

static bool known_error(int ret)
{
	static const int known[] = {
		0, ENOTTY, EFAULT, EINVAL, E2BIG, EOPNOTSUPP, EOVERFLOW, ENOENT,
		EPERM, EEXIST, EBUSY, EMSGSIZE, EFBIG, ENOSPC, ENOMEM, EINTR,
		/* The descriptor was closed by another thread. */
		EBADF,
		/* Too many clones. */
		EMFILE, ENFILE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (ret == -known[i])
			return true;
	return false;
}

/* ---- deeds ------------------------------------------------------------------------ */

static void one_call(struct attack *at, struct scratch *s, __u64 *rnd)
{
	static const unsigned char often[] = {
		ALLOC, ALLOC, FREE, FREE, SLOTS_GET, SLOTS_PUT, SLOTS_PUT, LIST,
	};
	int i = bt_random(rnd) % FDS, call, ret;
	void *arg;
	union any a;

	call = bt_random(rnd) % 2 ? often[bt_random(rnd) % ARRAY_SIZE(often)] :
	       (int)(bt_random(rnd) % CALLS);
	fill(&a, call, s, at, i, rnd);
	arg = bt_random(rnd) % 100 ? (void *)&a : (void *)corner(rnd);
	ret = bt_call(at->fds[i], bt_random(rnd) % 100 ? calls[call].cmd :
		      (unsigned int)corner(rnd), arg);
	if (!known_error(ret))
		at->bad = ret;
	if (call == CLONE && !ret && arg == &a)
		at->bad |= close(a.clone.fd);
	if (call == ALLOC && !ret)
		__atomic_add_fetch(&at->allocs, 1, __ATOMIC_RELAXED);
	if (call == ALLOC && !ret && a.alloc.entries == (uintptr_t)s->alloc)
		at->handles[i][bt_random(rnd) % HANDLES] = s->alloc[0].handle;
	if (call == SLOTS_GET && !ret && a.slots.slots == (uintptr_t)s->slots)
		for (unsigned int n = 0; n < a.slots.nr && n < HANDLES; n++)
			at->slots[i][bt_random(rnd) % HANDLES] = s->slots[n];
	__atomic_add_fetch(&at->calls, 1, __ATOMIC_RELAXED);
}

/* Nonsense into a ledger, through a mapping that may be of another client's. */
static void one_ledger(struct attack *at, __u64 *rnd)
{
	int fd = at->fds[bt_random(rnd) % FDS];
	struct bmem_query q = { .size = sizeof(q) };
	size_t bytes = (1 + bt_random(rnd) % 16) * BT_PAGE;
	struct iovec local, remote;
	__u64 words[64];
	char *p;
	int i;

	if (bt_call(fd, BMEM_QUERY, &q))
		return;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 q.ledger_offset + bt_random(rnd) % 4 * BT_PAGE);
	if (p == MAP_FAILED)
		return;
	for (i = 0; i < 64; i++)
		words[i] = bt_random(rnd);
	local = (struct iovec){ words, sizeof(words) };
	for (i = 0; i < 32; i++) {
		remote = (struct iovec){
			p + bt_random(rnd) % (bytes - sizeof(words)), sizeof(words),
		};
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	}
	munmap(p, bytes);
}

/* What only the kernel writes is mapped, tried to be written, and read. */
static void one_window(struct attack *at, __u64 *rnd)
{
	int fd = at->fds[bt_random(rnd) % FDS];
	struct bmem_query q = { .size = sizeof(q) };
	struct iovec local, remote;
	char copy[5000] = { 0 };
	char *p;

	if (bt_call(fd, BMEM_QUERY, &q))
		return;
	p = mmap(NULL, 2 * BT_PAGE, PROT_READ, MAP_SHARED, fd,
		 bt_random(rnd) % 2 ? q.control_offset : q.spans_offset);
	if (p == MAP_FAILED)
		return;
	local = (struct iovec){ copy, sizeof(copy) };
	remote = (struct iovec){ p, sizeof(copy) };
	if (!mprotect(p, 2 * BT_PAGE, PROT_READ | PROT_WRITE) ||
	    process_vm_writev(getpid(), &local, 1, &remote, 1, 0) > 0)
		at->bad = -EUCLEAN;
	process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	munmap(p, 2 * BT_PAGE);
}

/* Writes what is there; faults in what is not are part of it. */
static void one_mapping(struct attack *at, __u64 *rnd)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLD,
		MADV_PAGEOUT, MADV_NOHUGEPAGE, MADV_HUGEPAGE, MADV_REMOVE,
	};
	size_t bytes = BT_ROUND_UP(2 * BT_PAGE + bt_random(rnd) % (16 * BT_MIB), BT_PAGE);
	size_t cut = bt_random(rnd) % 2 ? bytes / 2 & ~4095UL : 0;
	__u64 from = bt_random(rnd) % (64 * BT_MIB) & ~4095ULL;
	char *p = bt_map(at->fds[bt_random(rnd) % FDS], from, bytes);
	struct iovec local, remote;
	char copy[5000] = { 0 };

	if (!p)
		return;
	/* By a system call, which answers EFAULT where a store would raise SIGBUS. */
	local = (struct iovec){ copy, sizeof(copy) };
	remote = (struct iovec){
		p + bt_random(rnd) % (bytes - sizeof(copy)), sizeof(copy),
	};
	process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	madvise(p, bytes, advice[bt_random(rnd) % ARRAY_SIZE(advice)]);
	process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	if (bt_random(rnd) % 2)
		mprotect(p + (bytes / 2 & ~4095UL), 4096, PROT_READ);
	/* In two parts: where one was, another thread's mapping may be by then. */
	if (cut)
		munmap(p, cut);
	munmap(p + cut, bytes - cut);
}

static int open_hostile(struct attack *at)
{
	int fd = open(at->node, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		bt_bind_pool(fd, at->pool);
	return fd;
}

/* Puts another client behind a descriptor that others may be using. */
static void one_reopen(struct attack *at, __u64 *rnd)
{
	int fd = open_hostile(at);

	if (fd < 0)
		return;
	dup3(fd, at->fds[bt_random(rnd) % FDS], O_CLOEXEC);
	close(fd);
}

static void one_fork(struct attack *at, __u64 *rnd)
{
	struct bmem_alloc_entry e;
	pid_t pid = fork();

	if (!pid) {
		bt_alloc1(at->fds[0], some_bytes(rnd), &e);
		_exit(0);
	}
	if (pid > 0 && bt_random(rnd) % 2)
		kill(pid, SIGKILL);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static bool goes_on(struct attack *at)
{
	return bt_now_ms() < at->end ||
	       __atomic_load_n(&at->allocs, __ATOMIC_RELAXED) < ALLOCS_LEAST;
}

static void *rage(void *arg)
{
	struct attack *at = arg;
	__u64 rnd = __atomic_add_fetch(&at->seed, 1, __ATOMIC_RELAXED);
	struct scratch *s = make_scratch();

	while (goes_on(at)) {
		unsigned int what = bt_random(&rnd) % 1000;

		if (what < 930)
			one_call(at, s, &rnd);
		else if (what < 970)
			one_mapping(at, &rnd);
		else if (what < 982)
			one_ledger(at, &rnd);
		else if (what < 986)
			one_window(at, &rnd);
		else if (what < 995)
			one_reopen(at, &rnd);
		else
			one_fork(at, &rnd);
	}
	munmap(s, sizeof(*s));
	return NULL;
}

/* ---- the two sides ------------------------------------------------------------------ */

/* One attacker; 0 when each of its clients is in order at the end. */
static int attacker(void *arg)
{
	struct attack *at = arg;
	pthread_t thread[THREADS];
	int i, ret;

	ret = bt_become(BT_NOBODY, BT_NOBODY, -1);
	if (ret)
		return ret;
	for (i = 0; i < FDS; i++)
		at->fds[i] = open_hostile(at);
	for (i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, rage, at);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < FDS; i++) {
		const char *bad = bt_check(at->fds[i]);

		if (bad)
			printf("# hostile: %s\n", bad);
		ret |= bad ? -EUCLEAN : 0;
	}
	return ret ? ret : at->bad;
}

/* What root does meanwhile: reads everything, changes what can be changed. */
static const char *meddle(int admin, int pool, __u64 *rnd)
{
	static const char * const files[] = {
		"stats", "pools", "clients", "tensors", "tombstones", "last_failure",
		"leaks", "links",
	};
	char path[64], *text;

	snprintf(path, sizeof(path), BT_DEBUGFS "/%s",
		 files[bt_random(rnd) % ARRAY_SIZE(files)]);
	text = bt_read_file(path);
	if (!text)
		return "a debugfs file cannot be read";
	free(text);
	switch (bt_random(rnd) % 8) {
	case 0:
		bt_trim(admin, BMEM_TRIM_POOL, 0, NULL);
		break;
	case 1:
		bt_pool_resize(admin, pool, BMEM_RESIZE_LIMIT,
			       POOL_LIMIT - bt_random(rnd) % 32 * BT_HUGE, 0);
		break;
	case 2:
		bt_pool_resize(admin, pool, BMEM_RESIZE_RESERVE, 0,
			       bt_random(rnd) % 8 * BT_HUGE);
		break;
	case 3:
		bt_param_set("huge", bt_random(rnd) % 2 ? "Y" : "N");
		break;
	}
	return bt_check_parts(admin, pool);
}

FIXTURE(hostile) {
	int admin;
	int pool;
	__u64 in_use;
	char node[64];
	struct attack *at;
};

FIXTURE_SETUP(hostile)
{
	struct bmem_pool_stats st;

	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "hostile", POOL_LIMIT, POOL_RESERVE);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_lend_device(self->node, sizeof(self->node)));
	ASSERT_EQ(0, bt_pool_stats(self->admin, 0, &st));
	self->in_use = st.attached_bytes;
	self->at = mmap(NULL, ATTACKERS * sizeof(*self->at), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_TEARDOWN(hostile)
{
	bt_param_set("huge", "Y");
	unlink(self->node);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

/* Back as before: nothing attached, nothing escaped, as much held as reserved. */
static bool at_rest(int admin, int pool, __u64 attached)
{
	struct bmem_pool_stats st;

	return !bt_pool_stats(admin, pool, &st) && st.attached_bytes == attached &&
	       !st.escaped_bytes && !bt_check_pool(admin, pool) &&
	       (attached || st.total_bytes == st.reserve_bytes);
}

static void log_pool(struct __test_metadata *_metadata, int admin, int pool)
{
	struct bmem_pool_stats st;

	if (!bt_pool_stats(admin, pool, &st))
		TH_LOG("pool %d: attached %llu, escaped %llu, total %llu, reserve %llu; %s",
		       pool, st.attached_bytes, st.escaped_bytes, st.total_bytes,
		       st.reserve_bytes, bt_check_pool(admin, pool) ?: "in order");
}

TEST_F_TIMEOUT(hostile, everything_at_once, 4 * BT_SLOW)
{
	const char *env = getenv("BMEM_SECONDS"), *seed = getenv("BMEM_SEED");
	unsigned int seconds = env ? atoi(env) : 10;
	__u64 rnd = seed ? strtoull(seed, NULL, 0) : bt_now_ns();
	__u64 made = 0, allocs = 0;
	pid_t pid[ATTACKERS];
	int i, status;

	TH_LOG("%u s, BMEM_SEED=%llu", seconds, rnd);
	for (i = 0; i < ATTACKERS; i++) {
		self->at[i] = (struct attack){
			.node = self->node, .pool = self->pool,
			.end = bt_now_ms() + seconds * 1000,
			.seed = bt_random(&rnd),
		};
		pid[i] = bt_spawn(attacker, &self->at[i]);
	}
	while (goes_on(&self->at[0]) || goes_on(&self->at[1])) {
		const char *bad = meddle(self->admin, self->pool, &rnd);

		ASSERT_EQ(NULL, bad) {
			TH_LOG("%s", bad);
		}
	}
	for (i = 0; i < ATTACKERS; i++) {
		EXPECT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status) {
			TH_LOG("attacker %d: status %#x, errno %d", i, status,
			       -self->at[i].bad);
		}
		made += self->at[i].calls;
		allocs += self->at[i].allocs;
	}
	TH_LOG("%llu calls, %llu successful ALLOCs", made, allocs);
	EXPECT_LE(ATTACKERS * ALLOCS_LEAST, allocs);
	/* Without huge pages nothing that the reservation lacks can be got. */
	EXPECT_EQ(0, bt_param_set("huge", "Y"));
	EXPECT_TRUE(BT_WAIT(at_rest(self->admin, self->pool, 0), 10000)) {
		log_pool(_metadata, self->admin, self->pool);
	}
	EXPECT_TRUE(BT_WAIT(at_rest(self->admin, 0, self->in_use), 10000)) {
		log_pool(_metadata, self->admin, 0);
	}
}

TEST_HARNESS_MAIN
