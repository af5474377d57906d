// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the selftests share; see bmem_test.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "bmem_test.h"

/* ---- the device ---------------------------------------------------------- */

int bt_open(void)
{
	int fd = open(BT_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int bt_call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

int bt_query(int fd, struct bmem_query *q)
{
	*q = (struct bmem_query){ .size = sizeof(*q) };
	return bt_call(fd, BMEM_QUERY, q);
}

int bt_bind_pool(int fd, int pool)
{
	struct bmem_bind b = {
		.size = sizeof(b), .flags = BMEM_BIND_POOL, .pool = pool,
	};

	return bt_call(fd, BMEM_BIND, &b);
}

int bt_bind_label(int fd, const char *label)
{
	struct bmem_bind b = { .size = sizeof(b), .flags = BMEM_BIND_LABEL };

	snprintf(b.label, sizeof(b.label), "%s", label);
	return bt_call(fd, BMEM_BIND, &b);
}

int bt_bind_policy(int fd, __u32 policy)
{
	struct bmem_bind b = {
		.size = sizeof(b), .flags = BMEM_BIND_POLICY, .policy = policy,
	};

	return bt_call(fd, BMEM_BIND, &b);
}

int bt_bind_cache(int fd, __u64 bytes)
{
	struct bmem_bind b = {
		.size = sizeof(b), .flags = BMEM_BIND_CACHE,
		.cache_bytes = bytes,
	};

	return bt_call(fd, BMEM_BIND, &b);
}

int bt_site(int fd, __u32 site, const char *label)
{
	struct bmem_site s = { .size = sizeof(s), .site = site };

	snprintf(s.label, sizeof(s.label), "%s", label);
	return bt_call(fd, BMEM_SITE, &s);
}

int bt_alloc(int fd, struct bmem_alloc_entry *e, unsigned int nr,
	     unsigned int *failed)
{
	struct bmem_alloc a = {
		.size = sizeof(a), .nr = nr, .entries = (uintptr_t)e,
	};
	int ret = bt_call(fd, BMEM_ALLOC, &a);

	if (failed)
		*failed = a.failed;
	return ret;
}

int bt_alloc1(int fd, __u64 bytes, struct bmem_alloc_entry *e)
{
	*e = (struct bmem_alloc_entry){ .bytes = bytes };
	return bt_alloc(fd, e, 1, NULL);
}

int bt_free(int fd, struct bmem_free_entry *e, unsigned int nr,
	    unsigned int *freed)
{
	struct bmem_free f = {
		.size = sizeof(f), .nr = nr, .entries = (uintptr_t)e,
	};
	int ret = bt_call(fd, BMEM_FREE, &f);

	if (freed)
		*freed = f.freed;
	return ret;
}

int bt_free1(int fd, __u64 handle)
{
	struct bmem_free_entry e = { .handle = handle };
	int ret = bt_free(fd, &e, 1, NULL);

	return ret ? ret : e.result;
}

int bt_info(int fd, __u64 handle, struct bmem_tensor_info *info)
{
	*info = (struct bmem_tensor_info){
		.size = sizeof(*info), .handle = handle,
	};
	return bt_call(fd, BMEM_TENSOR_INFO, info);
}

int bt_info_at(int fd, __u64 offset, struct bmem_tensor_info *info)
{
	*info = (struct bmem_tensor_info){
		.size = sizeof(*info), .flags = BMEM_INFO_OFFSET,
		.offset = offset,
	};
	return bt_call(fd, BMEM_TENSOR_INFO, info);
}

void bt_settle(int fd)
{
	if (geteuid() || bt_write_file(BT_DEBUGFS "/cleanup", "flush"))
		bt_trim(fd, BMEM_TRIM_QUEUED, 0, NULL);
}

int bt_client_stats(int fd, __u64 id, struct bmem_client_stats *st)
{
	int ret = bt_client_now(fd, id, st);

	if (ret || !st->queued_bytes)
		return ret;
	bt_settle(fd);
	return bt_client_now(fd, id, st);
}

int bt_client_now(int fd, __u64 id, struct bmem_client_stats *st)
{
	*st = (struct bmem_client_stats){
		.size = sizeof(*st), .client_id = id,
		.flags = BMEM_STATS_LEDGER,
	};
	return bt_call(fd, BMEM_CLIENT_STATS, st);
}

int bt_trim(int fd, __u32 flags, __u64 keep, __u64 *trimmed)
{
	struct bmem_trim t = {
		.size = sizeof(t), .flags = flags, .keep_bytes = keep,
	};
	int ret = bt_call(fd, BMEM_TRIM, &t);

	if (trimmed)
		*trimmed = t.trimmed_bytes;
	return ret;
}

int bt_list(int fd, __u64 client, struct bmem_tensor **out)
{
	struct bmem_tensor *rows = NULL;
	struct bmem_tensor_list l = { .size = sizeof(l), .client_id = client };
	unsigned int nr = 0;
	int ret;

	do {
		rows = realloc(rows, (nr + BMEM_BATCH_MAX) * sizeof(*rows));
		l.nr = BMEM_BATCH_MAX;
		l.entries = (uintptr_t)(rows + nr);
		ret = bt_call(fd, BMEM_TENSOR_LIST, &l);
		if (ret) {
			free(rows);
			return ret;
		}
		nr += l.nr;
	} while (l.nr == BMEM_BATCH_MAX);
	*out = rows;
	return nr;
}

int bt_pool_create_on(int fd, const char *name, __u64 limit, __u64 reserve,
		      __u32 policy, __u32 nid)
{
	static unsigned int serial;
	struct bmem_pool_create c = {
		.size = sizeof(c), .limit_bytes = limit,
		.reserve_bytes = reserve, .policy = policy, .nid = nid,
		.gid = BMEM_GID_ANY,
	};
	int ret;

	snprintf(c.name, sizeof(c.name), "%.12s.%d.%u", name, getpid(),
		 serial++);
	ret = bt_call(fd, BMEM_POOL_CREATE, &c);
	return ret ? ret : (int)c.pool;
}

int bt_pool_create(int fd, const char *name, __u64 limit, __u64 reserve)
{
	return bt_pool_create_on(fd, name, limit, reserve, BMEM_POLICY_LOCAL,
				 0);
}

int bt_pool_destroy(int fd, int pool)
{
	struct bmem_pool_destroy d = { .size = sizeof(d), .pool = pool };

	return bt_call(fd, BMEM_POOL_DESTROY, &d);
}

int bt_pool_resize(int fd, int pool, __u32 flags, __u64 limit, __u64 reserve)
{
	struct bmem_pool_resize r = {
		.size = sizeof(r), .flags = flags, .pool = pool,
		.limit_bytes = limit, .reserve_bytes = reserve,
	};

	return bt_call(fd, BMEM_POOL_RESIZE, &r);
}

int bt_pool_stats(int fd, int pool, struct bmem_pool_stats *st)
{
	bt_settle(fd);
	return bt_pool_now(fd, pool, st);
}

int bt_pool_now(int fd, int pool, struct bmem_pool_stats *st)
{
	*st = (struct bmem_pool_stats){ .size = sizeof(*st), .pool = pool };
	return bt_call(fd, BMEM_POOL_STATS, st);
}

int bt_pressure(int fd, int pool, struct bmem_pressure *p)
{
	*p = (struct bmem_pressure){ .size = sizeof(*p), .pool = pool };
	return bt_call(fd, BMEM_PRESSURE, p);
}

int bt_pool_stats_node(int fd, int pool, int nid, struct bmem_pool_stats *st)
{
	bt_settle(fd);
	*st = (struct bmem_pool_stats){
		.size = sizeof(*st), .flags = BMEM_STATS_NODE,
		.pool = pool, .nid = nid,
	};
	return bt_call(fd, BMEM_POOL_STATS, st);
}

void *bt_map(int fd, __u64 offset, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       offset);

	return p == MAP_FAILED ? NULL : p;
}

int bt_bind_clone(int fd)
{
	struct bmem_bind b = { .size = sizeof(b), .flags = BMEM_BIND_CLONE };

	return bt_call(fd, BMEM_BIND, &b);
}

static int bt_client_map(struct bt_client *c, bool cloneable)
{
	struct bmem_query q;
	int ret;

	ret = bt_query(c->fd, &q);
	if (!ret && c->pool != BMEM_POOL_DEFAULT)
		ret = bt_bind_pool(c->fd, c->pool);
	if (!ret && cloneable)
		ret = bt_bind_clone(c->fd);
	if (ret)
		goto fail;
	c->id = q.client_id;
	c->space = q.space_bytes;
	c->map = bt_map(c->fd, 0, c->space);
	if (c->map)
		return 0;
	ret = -ENOMEM;
fail:
	close(c->fd);
	c->fd = -1;
	return ret;
}

int bt_client_open(struct bt_client *c, int pool)
{
	*c = (struct bt_client){ .fd = bt_open(), .pool = pool };
	return c->fd < 0 ? c->fd : bt_client_map(c, false);
}

int bt_client_open_cloneable(struct bt_client *c, int pool)
{
	*c = (struct bt_client){ .fd = bt_open(), .pool = pool };
	return c->fd < 0 ? c->fd : bt_client_map(c, true);
}

int bt_client_clone(const struct bt_client *c, struct bt_client *clone)
{
	struct bmem_clone arg = { .size = sizeof(arg) };
	int ret = bt_call(c->fd, BMEM_CLONE, &arg);

	if (ret)
		return ret;
	*clone = *c;
	clone->fd = arg.fd;
	clone->id = arg.client_id;
	clone->map = bt_map(clone->fd, 0, clone->space);
	if (clone->map)
		return 0;
	close(clone->fd);
	return -ENOMEM;
}

void bt_client_close(struct bt_client *c)
{
	if (c->map)
		munmap(c->map, c->space);
	if (c->fd >= 0)
		close(c->fd);
	c->map = NULL;
	c->fd = -1;
}

/* ---- ground truth -------------------------------------------------------- */

static char bt_message[512];

#define BT_FAIL(...) \
	(snprintf(bt_message, sizeof(bt_message), __VA_ARGS__), bt_message)

/* What a listing adds up to. */
struct bt_sums {
	__u64 bytes;
	__u64 granted;
	__u64 chunks;
};

static const char *bt_sum_rows(const struct bmem_tensor *rows, int nr,
			       __u64 space, struct bt_sums *sums)
{
	__u64 end = 0, chunk_end = 0;
	int i;

	*sums = (struct bt_sums){ 0 };
	for (i = 0; i < nr; i++) {
		const struct bmem_tensor *t = &rows[i];
		__u64 first = t->offset / BT_HUGE;
		__u64 last = (t->offset + t->granted - 1) / BT_HUGE + 1;

		if (t->offset < end)
			return BT_FAIL("tensor at %#llx overlaps the one before it, which ends at %#llx",
				       t->offset, end);
		if (t->granted < t->bytes || !t->bytes)
			return BT_FAIL("tensor at %#llx: %llu requested, %llu granted",
				       t->offset, t->bytes, t->granted);
		end = t->offset + t->granted;
		if (end > space)
			return BT_FAIL("tensor at %#llx ends beyond the space", t->offset);
		if (first < chunk_end)
			first = chunk_end;
		if (last > first)
			sums->chunks += last - first;
		chunk_end = last;
		sums->bytes += t->bytes;
		sums->granted += t->granted;
	}
	return NULL;
}

static const char *bt_check_client(const struct bmem_client_stats *st, int nr,
				   const struct bt_sums *sums)
{
	__u64 held = st->attached_bytes - st->cached_bytes - st->queued_bytes;

	if (st->live_tensors != (__u64)nr || st->live_bytes != sums->bytes ||
	    st->granted_bytes - st->idle_bytes != sums->granted)
		return BT_FAIL("stats say %llu tensors, %llu live, %llu granted, of this %llu idle; the list %d, %llu, %llu",
			       st->live_tensors, st->live_bytes, st->granted_bytes,
			       st->idle_bytes, nr, sums->bytes, sums->granted);
	if (st->slot_bytes > st->granted_bytes || st->slot_bytes > st->span_bytes)
		return BT_FAIL("slots of %llu in %llu granted and spans of %llu",
			       st->slot_bytes, st->granted_bytes, st->span_bytes);
	if (st->allocs - st->frees != st->live_tensors)
		return BT_FAIL("%llu allocated - %llu freed is not %llu live",
			       st->allocs, st->frees, st->live_tensors);
	if (st->live_bytes > st->granted_bytes ||
	    st->granted_bytes > st->attached_bytes)
		return BT_FAIL("not live %llu <= granted %llu <= attached %llu",
			       st->live_bytes, st->granted_bytes, st->attached_bytes);
	if (st->base_bytes > st->attached_bytes ||
	    st->cached_bytes + st->queued_bytes >
	    st->attached_bytes - st->base_bytes)
		return BT_FAIL("base %llu and cached %llu exceed attached %llu",
			       st->base_bytes, st->cached_bytes, st->attached_bytes);
	if (st->cached_bytes > st->cache_limit_bytes)
		return BT_FAIL("cached %llu above its bound %llu",
			       st->cached_bytes, st->cache_limit_bytes);
	/* Idle slots, and those that are in, lie in huge pages, too. */
	if (!st->base_bytes && (st->spans || st->idle_bytes ?
				held < sums->chunks * BT_HUGE :
				held != sums->chunks * BT_HUGE))
		return BT_FAIL("tensors lie in %llu huge pages, attached %llu - cached %llu says otherwise",
			       sums->chunks, st->attached_bytes, st->cached_bytes);
	if (st->peak_live_bytes < st->live_bytes ||
	    st->peak_attached_bytes < st->attached_bytes)
		return BT_FAIL("a peak is below its present value");
	return NULL;
}

/* The parts of a pool add up to its total, on every node and over all. */
static const char *bt_pool_parts(const struct bmem_pool_stats *p)
{
	__u64 sum = p->zeroed_bytes + p->dirty_bytes + p->zeroing_bytes +
		    p->attached_bytes + p->escaped_bytes;

	if (p->total_bytes != sum)
		return BT_FAIL("pool total %llu, its parts %llu (zeroed %llu dirty %llu zeroing %llu attached %llu escaped %llu)",
			       p->total_bytes, sum, p->zeroed_bytes, p->dirty_bytes,
			       p->zeroing_bytes, p->attached_bytes, p->escaped_bytes);
	if (p->base_bytes > p->attached_bytes)
		return BT_FAIL("pool base %llu exceeds attached %llu",
			       p->base_bytes, p->attached_bytes);
	return NULL;
}

const char *bt_check_parts(int fd, int pool)
{
	struct bmem_pool_stats p;

	if (bt_pool_stats(fd, pool, &p))
		return BT_FAIL("no stats of pool %d", pool);
	return bt_pool_parts(&p);
}

/* The pool's figures, and the sum of its clients', of the same moment. */
static int bt_pool_and_clients(int fd, int pool, struct bmem_pool_stats *p,
			       __u64 *sum)
{
	struct bmem_pool_stats after;
	int i, ret;

	for (i = 0; i < 50; i++) {
		ret = bt_pool_stats(fd, pool, p);
		if (ret)
			return ret;
		if (bt_table_sum("clients", "pool", p->name, "attached", sum))
			return -ENODATA;
		ret = bt_pool_now(fd, pool, &after);
		/* Cleanup is at work by itself. */
		if (ret || after.attached_bytes == p->attached_bytes)
			return ret;
	}
	return 0;
}

const char *bt_check_pool(int fd, int pool)
{
	struct bmem_pool_stats p;
	const char *bad;
	__u64 sum;
	int ret = bt_pool_and_clients(fd, pool, &p, &sum);

	if (ret && ret != -ENODATA)
		return BT_FAIL("no stats of pool %d", pool);
	bad = bt_pool_parts(&p);
	if (bad)
		return bad;
	/* debugfs is root's; others have checked what they can see. */
	if (ret)
		return geteuid() ? NULL : BT_FAIL("no table of clients in debugfs");
	if (sum != p.attached_bytes + p.shared_bytes)
		return BT_FAIL("clients of pool %d hold %llu, the pool says %llu and %llu shared",
			       pool, sum, p.attached_bytes, p.shared_bytes);
	return NULL;
}

const char *bt_check(int fd)
{
	struct bmem_client_stats st;
	struct bmem_tensor *rows;
	struct bmem_query q;
	struct bt_sums sums;
	const char *bad;
	int nr;

	if (bt_query(fd, &q) || bt_client_stats(fd, 0, &st))
		return BT_FAIL("query or stats failed: %s", strerror(errno));
	nr = bt_list(fd, 0, &rows);
	if (nr < 0)
		return BT_FAIL("list failed: %s", strerror(-nr));
	bad = bt_sum_rows(rows, nr, q.space_bytes, &sums);
	free(rows);
	if (!bad)
		bad = bt_check_client(&st, nr, &sums);
	return bad ? bad : bt_check_pool(fd, st.pool);
}

int bt_snap(int fd, struct bt_snap *snap)
{
	int ret = bt_client_stats(fd, 0, &snap->client);

	return ret ? ret : bt_pool_stats(fd, snap->client.pool, &snap->pool);
}

struct bt_field {
	const char *name;
	size_t offset;
	size_t size;
};

#define BT_CLIENT(f) { "client " #f, offsetof(struct bt_snap, client.f), \
		       sizeof(((struct bt_snap *)0)->client.f) }
#define BT_POOL(f) { "pool " #f, offsetof(struct bt_snap, pool.f), \
		     sizeof(((struct bt_snap *)0)->pool.f) }

/*
 * All of both structs but the counters of failures, the free lists, and
 * @meta_bytes: tables that grew for a try stay.
 */
static const struct bt_field bt_fields[] = {
	BT_CLIENT(client_id), BT_CLIENT(pool), BT_CLIENT(sites),
	BT_CLIENT(live_tensors), BT_CLIENT(live_bytes),
	BT_CLIENT(granted_bytes), BT_CLIENT(attached_bytes),
	BT_CLIENT(base_bytes), BT_CLIENT(cached_bytes),
	BT_CLIENT(cache_limit_bytes),
	BT_CLIENT(peak_live_bytes), BT_CLIENT(peak_attached_bytes),
	BT_CLIENT(allocs), BT_CLIENT(frees), BT_CLIENT(promoted),
	BT_CLIENT(escaped_bytes), BT_POOL(shared_bytes),
	BT_POOL(pool), BT_POOL(clients), BT_POOL(policy), BT_POOL(bind_nid),
	BT_POOL(gid), BT_POOL(limit_bytes), BT_POOL(reserve_bytes),
	BT_POOL(total_bytes), BT_POOL(attached_bytes), BT_POOL(escaped_bytes),
	BT_POOL(base_bytes), BT_POOL(peak_attached_bytes),
	BT_POOL(huge_taken), BT_POOL(huge_given), BT_POOL(fallbacks),
	BT_POOL(promoted), BT_POOL(escaped_total_bytes), BT_POOL(name),
};

const char *bt_snap_diff(const struct bt_snap *a, const struct bt_snap *b)
{
	size_t i;

	for (i = 0; i < sizeof(bt_fields) / sizeof(bt_fields[0]); i++) {
		const struct bt_field *f = &bt_fields[i];

		if (memcmp((const char *)a + f->offset,
			   (const char *)b + f->offset, f->size))
			return f->name;
	}
	if (a->pool.zeroed_bytes + a->pool.dirty_bytes + a->pool.zeroing_bytes !=
	    b->pool.zeroed_bytes + b->pool.dirty_bytes + b->pool.zeroing_bytes)
		return "pool free bytes";
	return NULL;
}

/* Adds one line of smaps to what is known of the range. */
static void bt_smaps_line(const char *line, struct bt_smaps *out)
{
	unsigned long long kib;

	if (sscanf(line, "Size: %llu kB", &kib) == 1)
		out->size += kib * BT_KIB;
	else if (sscanf(line, "Rss: %llu kB", &kib) == 1)
		out->rss += kib * BT_KIB;
	else if (sscanf(line, "FilePmdMapped: %llu kB", &kib) == 1)
		out->pmd += kib * BT_KIB;
	else if (!strncmp(line, "VmFlags:", 8) && out->vmas == 1)
		snprintf(out->flags, sizeof(out->flags), "%.255s", line + 8);
}

int bt_smaps(pid_t pid, const void *addr, __u64 bytes, struct bt_smaps *out)
{
	uintptr_t from = (uintptr_t)addr, to = from + bytes;
	unsigned long start, end;
	bool inside = false;
	char path[64], line[512];
	FILE *f;

	*out = (struct bt_smaps){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/smaps", pid ? pid : getpid());
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start < to && end > from;
			out->vmas += inside;
		} else if (inside) {
			bt_smaps_line(line, out);
		}
	}
	fclose(f);
	return 0;
}

#define BT_BALANCING	"/proc/sys/kernel/numa_balancing"

char *bt_balancing_off(void)
{
	char *was = bt_read_file(BT_BALANCING);

	bt_write_file(BT_BALANCING, "0");
	return was;
}

void bt_balancing_back(char *was)
{
	if (was)
		bt_write_file(BT_BALANCING, was);
	free(was);
}

long bt_minor_faults(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return ru.ru_minflt;
}

__u64 bt_meminfo(const char *key)
{
	char *text = bt_read_file("/proc/meminfo"), *at;
	unsigned long long kib = 0;

	at = text ? strstr(text, key) : NULL;
	if (at)
		sscanf(at + strlen(key), ": %llu", &kib);
	free(text);
	return kib * BT_KIB;
}

char *bt_read_file(const char *path)
{
	size_t used = 0, size = 1 << 16;
	char *text = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0) {
		free(text);
		return NULL;
	}
	while ((got = read(fd, text + used, size - used - 1)) > 0) {
		used += got;
		if (size - used < size / 4) {
			size *= 2;
			text = realloc(text, size);
		}
	}
	close(fd);
	text[used] = 0;
	return text;
}

int bt_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int bt_shrink(const char *pages)
{
	int ret;

	BT_WAIT((ret = bt_write_file(BT_DEBUGFS "/shrink", pages)) != -EAGAIN,
		2000);
	return ret;
}

static char *bt_read_debugfs(const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), BT_DEBUGFS "/%s", file);
	return bt_read_file(path);
}

char bt_task_state(pid_t tid)
{
	char path[64], *text, *at, state;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	text = bt_read_file(path);
	at = text ? strrchr(text, ')') : NULL;
	state = at ? at[2] : 0;
	free(text);
	return state;
}

void bt_say_where(pid_t pid)
{
	char path[300], *stack;
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stack", entry->d_name);
		stack = bt_read_file(path);
		printf("# task %s: state %c\n%s", entry->d_name,
		       bt_task_state(atoi(entry->d_name)), stack ?: "");
		free(stack);
	}
	if (tasks)
		closedir(tasks);
}

/* Is this the kernel that scripts/kernel builds, where all takes ten times as long? */
bool bt_debug_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

__u64 bt_debugfs_value(const char *file, const char *key)
{
	char *text = bt_read_debugfs(file), *line, *save;
	__u64 value = ~0ULL;
	size_t len = strlen(key);

	if (!text)
		return value;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (!strncmp(line, key, len) &&
		    line[len + strspn(line + len, " \t")] == ':')
			value = strtoull(strchr(line, ':') + 1, NULL, 0);
	}
	free(text);
	return value;
}

/* Position of a named column in a table's `# a b c` line, or -1. */
static int bt_column(char *header, const char *name)
{
	char *save, *word;
	int i = 0;

	for (word = strtok_r(header, "# \t", &save); word;
	     word = strtok_r(NULL, "# \t", &save), i++)
		if (!strcmp(word, name))
			return i;
	return -1;
}

/* A row's word in a column; its length, 0 when the row is too short. */
static size_t bt_cell(const char *row, int column, const char **cell)
{
	while (column-- > 0) {
		row += strspn(row, " \t");
		row += strcspn(row, " \t");
	}
	row += strspn(row, " \t");
	*cell = row;
	return strcspn(row, " \t");
}

/* Calls @fn with column @col of every row that has @key in @key_col. */
static int bt_table_walk(const char *file, const char *key_col, const char *key,
			 const char *col,
			 void (*fn)(const char *cell, size_t len, void *arg),
			 void *arg)
{
	char *text = bt_read_debugfs(file), *line, *save, *copy;
	int key_at = -1, at = -1;
	const char *cell;
	size_t len;

	if (!text)
		return -ENOENT;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (*line == '#') {
			copy = strdup(line);
			key_at = bt_column(copy, key_col);
			strcpy(copy, line);
			at = bt_column(copy, col);
			free(copy);
			continue;
		}
		if (key_at < 0 || at < 0)
			break;
		len = bt_cell(line, key_at, &cell);
		if (len != strlen(key) || memcmp(cell, key, len))
			continue;
		len = bt_cell(line, at, &cell);
		fn(cell, len, arg);
	}
	free(text);
	return key_at < 0 || at < 0 ? -EINVAL : 0;
}

static void bt_add_cell(const char *cell, size_t len, void *arg)
{
	(void)len;
	*(__u64 *)arg += strtoull(cell, NULL, 0);
}

int bt_table_sum(const char *file, const char *key_col, const char *key,
		 const char *col, __u64 *sum)
{
	*sum = 0;
	return bt_table_walk(file, key_col, key, col, bt_add_cell, sum);
}

struct bt_text {
	char *text;
	size_t size;
};

static void bt_copy_cell(const char *cell, size_t len, void *arg)
{
	struct bt_text *t = arg;

	if (!t->text[0])
		snprintf(t->text, t->size, "%.*s", (int)len, cell);
}

int bt_table_text(const char *file, const char *key_col, const char *key,
		  const char *col, char *text, size_t size)
{
	struct bt_text t = { text, size };

	text[0] = 0;
	return bt_table_walk(file, key_col, key, col, bt_copy_cell, &t);
}

int bt_param(const char *name, char *value, size_t size)
{
	char path[128], *text;

	snprintf(path, sizeof(path), BT_PARAMS "/%s", name);
	text = bt_read_file(path);
	if (!text)
		return -ENOENT;
	text[strcspn(text, "\n")] = 0;
	snprintf(value, size, "%s", text);
	free(text);
	return 0;
}

int bt_param_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), BT_PARAMS "/%s", name);
	return bt_write_file(path, value);
}

int bt_numa_nodes(void)
{
	char path[64];
	int n = 0;

	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", n);
	while (!access(path, F_OK) && ++n);
	return n ? n : 1;
}

/* ---- memory -------------------------------------------------------------- */

static inline __u64 bt_mix(__u64 seed, __u64 at)
{
	__u64 x = (seed + 1) * 0x9e3779b97f4a7c15ULL + at;

	x ^= x >> 31;
	x *= 0xbf58476d1ce4e5b9ULL;
	return x ^ (x >> 29);
}

void bt_fill(void *p, __u64 bytes, __u64 seed)
{
	__u64 at, word;

	for (at = 0; at + 8 <= bytes; at += 8)
		((__u64 *)p)[at / 8] = bt_mix(seed, at);
	word = bt_mix(seed, at);
	memcpy((char *)p + at, &word, bytes - at);
}

long long bt_verify(const void *p, __u64 bytes, __u64 seed)
{
	__u64 at, word;

	for (at = 0; at + 8 <= bytes; at += 8)
		if (((const __u64 *)p)[at / 8] != bt_mix(seed, at))
			return at;
	word = bt_mix(seed, at);
	return memcmp((const char *)p + at, &word, bytes - at) ? (long long)at : -1;
}

static size_t bt_tag_size(__u64 bytes, __u64 at)
{
	return bytes - at < 8 ? bytes - at : 8;
}

static bool bt_has_last(__u64 bytes)
{
	return (bytes - 1) % BT_PAGE >= 8;
}

void bt_tag(void *p, __u64 bytes, __u64 seed)
{
	__u64 at, word;

	for (at = 0; at < bytes; at += BT_PAGE) {
		word = bt_mix(seed, at);
		memcpy((char *)p + at, &word, bt_tag_size(bytes, at));
	}
	if (bt_has_last(bytes))
		((unsigned char *)p)[bytes - 1] = bt_mix(seed, bytes);
}

long long bt_tag_verify(const void *p, __u64 bytes, __u64 seed)
{
	__u64 at, word;

	for (at = 0; at < bytes; at += BT_PAGE) {
		word = bt_mix(seed, at);
		if (memcmp((const char *)p + at, &word, bt_tag_size(bytes, at)))
			return at;
	}
	if (bt_has_last(bytes) && ((const unsigned char *)p)[bytes - 1] !=
				  (unsigned char)bt_mix(seed, bytes))
		return bytes - 1;
	return -1;
}

long long bt_not_byte(const void *p, __u64 bytes, unsigned char byte)
{
	const __u64 *words = p;
	__u64 at, want;

	memset(&want, byte, sizeof(want));
	for (at = 0; at + 8 <= bytes; at += 8)
		if (words[at / 8] != want)
			return at;
	for (; at < bytes; at++)
		if (((const unsigned char *)p)[at] != byte)
			return at;
	return -1;
}

static sigjmp_buf bt_env;

static void bt_on_fault(int sig)
{
	siglongjmp(bt_env, sig);
}

/* Runs one access with the faults that it may raise caught. */
static int bt_access(unsigned char *p, int byte)
{
	struct sigaction sa = { .sa_handler = bt_on_fault }, bus, segv;
	volatile unsigned char *at = p;
	int sig;

	sigaction(SIGBUS, &sa, &bus);
	sigaction(SIGSEGV, &sa, &segv);
	sig = sigsetjmp(bt_env, 1);
	if (!sig) {
		if (byte < 0)
			(void)*at;
		else
			*at = byte;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return sig;
}

int bt_peek(const void *p)
{
	return bt_access((unsigned char *)p, -1);
}

int bt_poke(void *p, unsigned char byte)
{
	return bt_access(p, byte);
}

int bt_loop(char *name, size_t size, int *file, __u64 bytes, __u64 seed)
{
	char path[] = "/tmp/bmem-loop-XXXXXX", *text;
	int control, dev, nr;

	if (access("/dev/loop-control", F_OK) && system("modprobe loop 2>/dev/null"))
		return -ENODEV;
	*file = mkstemp(path);
	if (*file < 0)
		return -errno;
	unlink(path);
	text = malloc(bytes);
	bt_fill(text, bytes, seed);
	nr = write(*file, text, bytes) == (ssize_t)bytes ? 0 : -errno;
	free(text);
	control = nr ? nr : open("/dev/loop-control", O_RDWR);
	if (control < 0)
		return -errno;
	nr = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(name, size, "/dev/loop%d", nr);
	if (nr < 0)
		return -errno;
	if (access(name, F_OK))
		usleep(200000);
	dev = open(name, O_RDWR);
	if (dev < 0 || ioctl(dev, LOOP_SET_FD, *file))
		return -errno;
	return dev;
}

/* ---- children ------------------------------------------------------------ */

pid_t bt_spawn(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(fn(arg));
}

struct bt_shared {
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static int bt_run_shared(void *arg)
{
	struct bt_shared *sh = arg;

	sh->result = sh->fn(sh->arg);
	return 0;
}

int bt_in_child(int (*fn)(void *arg), void *arg)
{
	struct bt_shared *sh;
	int status, ret;
	pid_t pid;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return -errno;
	*sh = (struct bt_shared){ .fn = fn, .arg = arg };
	pid = bt_spawn(bt_run_shared, sh);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		ret = -errno;
	else if (WIFSIGNALED(status))
		ret = BT_SIGNALLED(WTERMSIG(status));
	else
		ret = sh->result;
	munmap(sh, sizeof(*sh));
	return ret;
}

int bt_lend_device(char *path, size_t size)
{
	static unsigned int serial;
	struct stat st;

	if (stat(BT_DEVICE, &st))
		return -errno;
	snprintf(path, size, BT_DEVICE "-test-%d-%u", getpid(), serial++);
	if (mknod(path, S_IFCHR | 0600, st.st_rdev) || chmod(path, 0666))
		return -errno;
	return 0;
}

int bt_become(uid_t uid, gid_t gid, int group)
{
	gid_t extra = group;

	if (setgroups(group >= 0, &extra) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

__u64 bt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

__u64 bt_now_ms(void)
{
	return bt_now_ns() / 1000000;
}

__u64 bt_random(__u64 *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return bt_mix(*state, 0);
}
