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
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "calls.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Since 6.7. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC	(1 << 15)
#endif

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
	unsigned int cmd;
	void *arg;
	union any a;

	call = bt_random(rnd) % 2 ? often[bt_random(rnd) % ARRAY_SIZE(often)] :
	       (int)(bt_random(rnd) % CALLS);
	fill(&a, call, s, at, i, rnd);
	arg = bt_random(rnd) % 100 ? (void *)&a : (void *)corner(rnd);
	cmd = bt_random(rnd) % 100 ? calls[call].cmd : (unsigned int)corner(rnd);
	ret = bt_call(at->fds[i], cmd, arg);
	if (!known_error(ret))
		at->bad = ret;
	/* FIGETBSZ is one of the corners, and succeeds with any file. */
	if (cmd != calls[call].cmd)
		call = CALLS;
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
		"leaks", "links", "sites", "growth", "placement", "overhead",
		"pressure", "cleanup", "events",
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

/* ---- clones ------------------------------------------------------------------------- */

#define CLONERS		2
#define CLONES_LEAST	60
/* Threads of a cloner; each has a chunk that nobody else writes to. */
#define CLONE_THREADS	3
#define CLONE_BYTES	(CLONE_THREADS * BT_HUGE)
/* What a clone wrote is no value of the client that it was made of. */
#define IN_CLONE	(1ULL << 63)

/**
 * struct cloner - a process that makes clones until it is killed
 * @c: of what
 * @e: the only tensor in it
 * @other: one that it has links to, and which comes and goes
 * @rounds: clones that were made and looked at
 * @bad: what was seen that cannot be; of any of its threads
 */
struct cloner {
	const char *node;
	int pool;
	struct bt_client c;
	struct bmem_alloc_entry e;
	__u64 other;
	__u64 seed;
	volatile __u64 rounds;
	volatile int bad;
};

static __u64 *word_of(const struct bt_client *c, const struct cloner *cl, int i)
{
	return (__u64 *)(c->map + cl->e.offset + i * BT_HUGE + 8 * i);
}

static __u64 peek_word(const __u64 *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static void poke_word(__u64 *at, __u64 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/* Faults for somebody else to serve: there are none to be had of a device. */
static bool take_faults(int fd, char *p, size_t bytes)
{
	struct uffdio_register all = {
		.range = { (uintptr_t)p, bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return !ioctl(fd, UFFDIO_REGISTER, &all);
}

/* Writes that core mm notes by itself: any mapping will do for that. */
static void note_writes(int fd, char *p, size_t bytes)
{
	struct uffdio_register all = {
		.range = { (uintptr_t)p, bytes },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)p, bytes },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(fd, UFFDIO_REGISTER, &all))
		return;
	ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
	madvise(p, bytes, MADV_POPULATE_READ);
	ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
	madvise(p, bytes / 2 & ~4095UL, MADV_POPULATE_WRITE);
	wp.mode = 0;
	ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
}

static bool other_faults(char *p, size_t bytes)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	bool taken;

	if (fd < 0)
		return false;
	if (ioctl(fd, UFFDIO_API, &api)) {
		api.features = 0;
		ioctl(fd, UFFDIO_API, &api);
	}
	taken = take_faults(fd, p, bytes);
	if (api.features & UFFD_FEATURE_WP_ASYNC)
		note_writes(fd, p, bytes);
	close(fd);
	return taken;
}

/* To another place, which is not aligned as the memory is. */
static char *move_to(char *p, size_t bytes)
{
	char *q = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (q == MAP_FAILED)
		return p;
	if (mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, q) != MAP_FAILED)
		return q;
	munmap(q, bytes);
	return p;
}

/* A view of a client beside its own, and what can be done to that. */
static int torment(const struct bt_client *c, const struct cloner *cl,
		   __u64 *rnd)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLD,
		MADV_PAGEOUT, MADV_NOHUGEPAGE, MADV_HUGEPAGE, MADV_REMOVE,
		MADV_FREE, MADV_DONTFORK, MADV_COLLAPSE,
	};
	size_t half = CLONE_BYTES / 2 & ~4095UL, rest = CLONE_BYTES - half;
	char *p = bt_map(c->fd, cl->e.offset, CLONE_BYTES), *q;
	int ret = 0;

	if (!p)
		return 0;
	q = p + half;
	if (bt_random(rnd) % 2)
		madvise(p, half, MADV_POPULATE_READ);
	madvise(p + bt_random(rnd) % 3 * BT_PAGE, half,
		advice[bt_random(rnd) % ARRAY_SIZE(advice)]);
	if (bt_random(rnd) % 2)
		mprotect(q, BT_PAGE, PROT_READ);
	if (bt_random(rnd) % 2)
		mprotect(q, BT_PAGE, PROT_READ | PROT_WRITE);
	if (other_faults(p, CLONE_BYTES) ||
	    mremap(q, rest, 2 * CLONE_BYTES, MREMAP_MAYMOVE) != MAP_FAILED)
		ret = -ECHILD;
	if (bt_random(rnd) % 2)
		p = move_to(p, half);
	madvise(p, half, MADV_POPULATE_READ);
	munmap(p, half);
	munmap(q, rest);
	return ret;
}

/* Calls that look at a client, or at all, in a row. */
static void ask_all(const struct bt_client *c, const struct cloner *cl, __u64 *rnd)
{
	struct bmem_link_entry link = {
		.from = cl->e.handle, .to = cl->other,
	};
	struct bmem_link links = {
		.size = sizeof(links), .nr = 1, .entries = (uintptr_t)&link,
	};
	struct bmem_pressure pressure = { .size = sizeof(pressure) };
	struct bmem_leak_scan scan = {
		.size = sizeof(scan), .kinds = LEAK_KINDS,
	};
	struct bmem_events events = {
		.size = sizeof(events), .flags = BMEM_EVENTS_SET,
		.mask = bt_random(rnd) % 2 ? BMEM_EVENT_BIT(BMEM_EVENT_PRESSURE) : 0,
	};
	struct bmem_client_stats st;

	bt_call(c->fd, BMEM_LINK, &links);
	bt_call(c->fd, BMEM_PRESSURE, &pressure);
	bt_call(c->fd, BMEM_EVENTS, &events);
	if (bt_random(rnd) % 8 == 0)
		bt_call(c->fd, BMEM_LEAK_SCAN, &scan);
	bt_client_stats(c->fd, 0, &st);
	bt_trim(c->fd, 0, 0, NULL);
}

/* A clone is as its client was, and neither sees what the other does. */
static int look_at_clone(struct cloner *cl, const struct bt_client *d, int own,
			 __u64 was, __u64 *rnd)
{
	__u64 *mine = word_of(&cl->c, cl, own), *its = word_of(d, cl, own);
	__u64 others = peek_word(word_of(d, cl, (own + 1) % CLONE_THREADS));
	int pipes[2] = { -1, -1 };
	struct iovec iov = { its, 8 };
	__u64 seen = was;

	poke_word(mine, was + 1);
	if (peek_word(its) != was || others & IN_CLONE)
		return -EILSEQ;
	if (bt_random(rnd) % 2 && !pipe(pipes) && vmsplice(pipes[1], &iov, 1, 0) != 8)
		return -EIO;
	poke_word(its, IN_CLONE | was);
	if (torment(bt_random(rnd) % 2 ? d : &cl->c, cl, rnd))
		return -ECHILD;
	ask_all(bt_random(rnd) % 2 ? d : &cl->c, cl, rnd);
	poke_word(mine, was + 2);
	if (pipes[0] >= 0 && read(pipes[0], &seen, 8) != 8)
		return -EIO;
	close(pipes[0]);
	close(pipes[1]);
	/* The pin saw its own page's: what there was, or what the clone wrote. */
	if (seen != was && seen != (IN_CLONE | was))
		return -ENOTUNIQ;
	if (peek_word(its) != (IN_CLONE | was) || peek_word(mine) != was + 2)
		return -EUCLEAN;
	if (peek_word(word_of(d, cl, (own + 1) % CLONE_THREADS)) != others)
		return -ESTALE;
	return 0;
}

static int clone_once(struct cloner *cl, int own, __u64 *rnd)
{
	__u64 was = peek_word(word_of(&cl->c, cl, own));
	struct bt_client d, dd;
	int ret;

	/* The pool may be full: of what is attached, or of promises. */
	ret = bt_client_clone(&cl->c, &d);
	if (ret)
		return ret == -ENOSPC || ret == -ENOMEM ? 0 : ret;
	ret = look_at_clone(cl, &d, own, was, rnd);
	if (!ret && bt_random(rnd) % 2 && !bt_client_clone(&d, &dd)) {
		if (bt_random(rnd) % 2)
			bt_client_close(&d);
		if (peek_word(word_of(&dd, cl, own)) != (IN_CLONE | was))
			ret = -EREMOTE;
		bt_client_close(&dd);
	}
	bt_client_close(&d);
	cl->rounds++;
	return ret;
}

static struct cloner *cloner;

static void *clone_on(void *arg)
{
	int own = (intptr_t)arg, ret;
	struct bmem_alloc_entry e;
	__u64 rnd;

	rnd = __atomic_add_fetch(&cloner->seed, 1, __ATOMIC_RELAXED);
	while (!cloner->bad) {
		ret = clone_once(cloner, own, &rnd);
		if (ret)
			cloner->bad = ret;
		if (own)
			continue;
		if (cloner->other)
			bt_free1(cloner->c.fd, cloner->other);
		cloner->other = bt_alloc1(cloner->c.fd, 1 + bt_random(&rnd) % BT_MIB,
					  &e) ? 0 : e.handle;
	}
	return NULL;
}

static int clone_begin(struct cloner *cl)
{
	cl->c.space = 64 * BT_MIB;
	cl->c.fd = open(cl->node, O_RDWR | O_CLOEXEC);
	if (cl->c.fd < 0)
		return -errno;
	cl->c.map = bt_bind_pool(cl->c.fd, cl->pool) || bt_bind_clone(cl->c.fd) ?
		    NULL : bt_map(cl->c.fd, 0, cl->c.space);
	return cl->c.map ? 0 : -ENODEV;
}

/* Until it is killed. */
static int clone_rage(void *arg)
{
	pthread_t thread[CLONE_THREADS];
	intptr_t i;

	cloner = arg;
	cloner->e = (struct bmem_alloc_entry){
		.bytes = CLONE_BYTES, .align = BT_HUGE,
	};
	cloner->bad = bt_become(BT_NOBODY, BT_NOBODY, -1);
	if (!cloner->bad)
		cloner->bad = clone_begin(cloner);
	if (cloner->bad)
		return 1;
	/* There may be none before the one that was killed is gone. */
	while (bt_alloc(cloner->c.fd, &cloner->e, 1, NULL))
		usleep(1000);
	for (i = 0; i < CLONE_THREADS; i++)
		pthread_create(&thread[i], NULL, clone_on, (void *)i);
	for (i = 0; i < CLONE_THREADS; i++)
		pthread_join(thread[i], NULL);
	return 2;
}

TEST_F_TIMEOUT(hostile, clones, 4 * BT_SLOW)
{
	const char *env = getenv("BMEM_SECONDS"), *seed = getenv("BMEM_SEED");
	__u64 rnd = seed ? strtoull(seed, NULL, 0) : bt_now_ns();
	__u64 ms = 1000 * (env ? atoi(env) : 10), began = bt_now_ms(), rounds = 0;
	pid_t pid[CLONERS] = { 0 };
	unsigned int kills = 0, i;
	struct cloner *cl;
	int status;

	cl = mmap(NULL, CLONERS * sizeof(*cl), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, cl);
	TH_LOG("BMEM_SEED=%llu", rnd);
	/* A slow machine is no excuse. */
	for (i = 0; bt_now_ms() - began < (rounds < CLONES_LEAST ? 10 * ms : ms);
	     i = (i + 1) % CLONERS) {
		if (pid[i]) {
			/* At any moment, and also when it has got somewhere. */
			if (bt_random(&rnd) % 2)
				BT_WAIT(cl[i].rounds || cl[i].bad, BT_SOON);
			usleep(bt_random(&rnd) % 1000000);
			rounds += cl[i].rounds;
			EXPECT_EQ(0, cl[i].bad);
			kill(pid[i], SIGKILL);
			EXPECT_EQ(pid[i], waitpid(pid[i], &status, 0));
			/* No write that there was room for has failed before. */
			EXPECT_EQ(SIGKILL, status);
			kills++;
		}
		cl[i] = (struct cloner){
			.node = self->node, .pool = self->pool,
			.seed = bt_random(&rnd),
		};
		pid[i] = bt_spawn(clone_rage, &cl[i]);
		EXPECT_EQ(NULL, bt_check_parts(self->admin, self->pool));
	}
	for (i = 0; i < CLONERS; i++) {
		EXPECT_EQ(0, cl[i].bad);
		kill(pid[i], SIGKILL);
		EXPECT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(SIGKILL, status);
	}
	TH_LOG("%llu clones, %u kills", rounds, kills);
	EXPECT_LE(CLONES_LEAST, rounds);
	EXPECT_TRUE(BT_WAIT(at_rest(self->admin, self->pool, 0), 10000)) {
		log_pool(_metadata, self->admin, self->pool);
	}
	munmap(cl, CLONERS * sizeof(*cl));
}

TEST_HARNESS_MAIN
