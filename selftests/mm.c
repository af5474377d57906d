// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory management does with a mapping of /dev/bmem.  The tables of
 * CALL() lines are the documentation: each names a call, its result, and
 * what it means; the test makes the call on a tensor of 8 MiB and then looks
 * at the contents through two mappings, and at the sums.
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#include "bmem_test.h"

#define BYTES		(8 * BT_MIB)
#define SEED		4711

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/**
 * struct mm - a tensor that is mapped twice
 * @c: client, with its whole space mapped
 * @offset: of the tensor
 * @handle: of it
 * @all: the tensor in that mapping
 * @p: the tensor in a mapping of its own; a call may change it
 * @bytes: how much of the tensor @p shows
 */
struct mm {
	struct bt_client c;
	__u64 offset;
	__u64 handle;
	char *all;
	char *p;
	__u64 bytes;
};

static int mm_open(struct mm *m, int pool)
{
	struct bmem_alloc_entry e = { .bytes = BYTES, .align = BT_HUGE };
	int ret = bt_client_open(&m->c, pool);

	if (!ret)
		ret = bt_alloc(m->c.fd, &e, 1, NULL);
	if (ret)
		return ret;
	m->offset = e.offset;
	m->handle = e.handle;
	m->all = m->c.map + e.offset;
	m->p = bt_map(m->c.fd, e.offset, BYTES);
	m->bytes = BYTES;
	if (!m->p)
		return -errno;
	bt_tag(m->p, BYTES, SEED);
	return 0;
}

/* NULL when contents and sums are as they were. */
static const char *mm_intact(struct mm *m)
{
	if (bt_tag_verify(m->all, BYTES, SEED) >= 0)
		return "contents changed";
	if (m->p && memcmp(m->p, m->all, m->bytes))
		return "the two mappings differ";
	return bt_check(m->c.fd);
}

static int err_of(long ret)
{
	return ret < 0 ? -errno : 0;
}

FIXTURE(call) {
	struct mm m;
	char *balancing;
};

FIXTURE_VARIANT(call) {
	int (*run)(struct mm *m, long arg);
	long arg;
	int err;
	const char *says;
};

#define CALL(name, run, arg, err, says) \
	FIXTURE_VARIANT_ADD(call, name) { run, arg, err, says }

FIXTURE_SETUP(call)
{
	self->balancing = bt_balancing_off();
	ASSERT_EQ(0, mm_open(&self->m, BMEM_POOL_DEFAULT));
}

FIXTURE_TEARDOWN(call)
{
	bt_client_close(&self->m.c);
	bt_balancing_back(self->balancing);
}

#define SKIPPED	1

TEST_F_TIMEOUT(call, outcome, BT_SLOW)
{
	const char *bad;
	int ret = variant->run(&self->m, variant->arg);

	if (ret == SKIPPED)
		SKIP(return, "not in this kernel or machine");
	EXPECT_EQ(-variant->err, ret) {
		TH_LOG("%s", variant->says);
	}
	bad = mm_intact(&self->m);
	EXPECT_EQ(NULL, bad) {
		TH_LOG("%s", bad);
	}
}

/* ---- madvise ----------------------------------------------------------------- */

/* Of all of it, of one small page, of a range that begins and ends in pages. */
static int run_madvise(struct mm *m, long advice)
{
	int whole = err_of(madvise(m->p, BYTES, advice)), part;

	part = err_of(madvise(m->p + 5 * BT_PAGE, BT_PAGE, advice));
	if (part != whole)
		return -ENOTUNIQ;
	if (bt_tag_verify(m->p, BYTES, SEED) >= 0)
		return -EUCLEAN;
	part = err_of(madvise(m->p + BT_HUGE - BT_PAGE, BT_HUGE + 3 * BT_PAGE, advice));
	return part == whole ? whole : -ENOTUNIQ;
}

/* Newer kernels (7.3) let a special mapping that is not inherited stay so. */
static int run_dofork(struct mm *m, long advice)
{
	int ret = run_madvise(m, advice);

	return ret == -EINVAL ? 0 : ret;
}

CALL(madv_normal, run_madvise, MADV_NORMAL, 0, "no effect");
CALL(madv_random, run_madvise, MADV_RANDOM, 0, "no effect");
CALL(madv_sequential, run_madvise, MADV_SEQUENTIAL, 0, "no effect");
CALL(madv_willneed, run_madvise, MADV_WILLNEED, 0, "no effect: it is there");
CALL(madv_dontneed, run_madvise, MADV_DONTNEED, 0,
     "unmapped until touched again; contents stay, they are the tensor's");
CALL(madv_free, run_madvise, MADV_FREE, EINVAL, "for anonymous memory only");
CALL(madv_remove, run_madvise, MADV_REMOVE, ENODEV,
     "no holes: memory is given back by FREE alone");
CALL(madv_dontfork, run_madvise, MADV_DONTFORK, 0, "the child has no mapping");
CALL(madv_dofork, run_dofork, MADV_DOFORK, 0,
     "the child shares the mapping; EINVAL and no effect on newer kernels");
CALL(madv_mergeable, run_madvise, MADV_MERGEABLE, 0,
     "no effect: KSM leaves shared mappings alone");
CALL(madv_unmergeable, run_madvise, MADV_UNMERGEABLE, 0, "no effect");
CALL(madv_hugepage, run_madvise, MADV_HUGEPAGE, 0, "no effect: huge anyway");
CALL(madv_nohugepage, run_madvise, MADV_NOHUGEPAGE, 0,
     "later faults may map small pages; the memory stays huge");
CALL(madv_dontdump, run_madvise, MADV_DONTDUMP, 0, "no effect: never dumped");
CALL(madv_dodump, run_madvise, MADV_DODUMP, EINVAL, "never dumped");
CALL(madv_wipeonfork, run_madvise, MADV_WIPEONFORK, EINVAL, "shared memory");
CALL(madv_keeponfork, run_madvise, MADV_KEEPONFORK, 0, "no effect");
CALL(madv_cold, run_madvise, MADV_COLD, 0, "no effect: not on any LRU list");
CALL(madv_pageout, run_madvise, MADV_PAGEOUT, 0, "no effect: never swapped");
CALL(madv_populate_read, run_madvise, MADV_POPULATE_READ, 0, "mapped at once");
CALL(madv_populate_write, run_madvise, MADV_POPULATE_WRITE, 0, "mapped at once");
CALL(madv_dontneed_locked, run_madvise, MADV_DONTNEED_LOCKED, 0,
     "as MADV_DONTNEED");
CALL(madv_collapse, run_madvise, MADV_COLLAPSE, EINVAL, "huge anyway");
CALL(madv_unknown, run_madvise, 77, EINVAL, "no such advice");

/* Refused, and nobody loses anything by it. */
static int run_soft_offline(struct mm *m, long advice)
{
	int ret;

	bt_poke(m->p + BT_HUGE, m->p[BT_HUGE]);
	ret = err_of(madvise(m->p + BT_HUGE, BT_PAGE, advice));
	if (ret == -EINVAL || ret == -EPERM)
		return SKIPPED;
	return ret ? -EBUSY : 0;
}

CALL(madv_soft_offline, run_soft_offline, MADV_SOFT_OFFLINE, EBUSY,
     "refused: not movable (EIO or EBUSY)");

/* ---- locking ------------------------------------------------------------------ */

static __u64 locked_bytes(void)
{
	char *text = bt_read_file("/proc/self/status"), *at = strstr(text, "VmLck:");
	__u64 kib = at ? strtoull(at + 6, NULL, 10) : ~0ULL;

	free(text);
	return kib * BT_KIB;
}

static int run_mlock(struct mm *m, long flags)
{
	int ret = err_of(syscall(SYS_mlock2, m->p, BYTES, flags));

	return ret ? ret : locked_bytes() ? -ENOTUNIQ : 0;
}

static int run_mlockall(struct mm *m, long flags)
{
	/* The mapping of the whole space has mostly no memory behind it. */
	munmap(m->c.map, m->c.space);
	m->c.map = NULL;
	m->all = bt_map(m->c.fd, m->offset, BYTES);
	if (mlockall(flags))
		return -errno;
	return err_of(munlockall());
}

static int run_munlock(struct mm *m, long arg)
{
	(void)arg;
	return err_of(mlock(m->p, BYTES) ?: munlock(m->p, BYTES));
}

CALL(mlock, run_mlock, 0, 0, "mapped at once; not counted, never swapped anyway");
CALL(mlock_onfault, run_mlock, 1, 0, "no effect");
CALL(munlock, run_munlock, 0, 0, "no effect");
CALL(mlockall, run_mlockall, MCL_CURRENT, 0, "as mlock");

/* ---- NUMA calls ------------------------------------------------------------------ */

static int run_mbind(struct mm *m, long flags)
{
	unsigned long mask = 1;

	return err_of(syscall(SYS_mbind, m->p, BYTES, MPOL_BIND, &mask, 64, flags));
}

static int run_mbind_other(struct mm *m, long flags)
{
	unsigned long mask = 2;

	if (bt_numa_nodes() < 2)
		return SKIPPED;
	return err_of(syscall(SYS_mbind, m->p, BYTES, MPOL_BIND, &mask, 64, flags));
}

/* Moves, or asks about, one page of each huge page. */
static int run_move_pages(struct mm *m, long node)
{
	void *pages[BYTES / BT_HUGE];
	int nodes[BYTES / BT_HUGE], status[BYTES / BT_HUGE];
	unsigned int i, nr = BYTES / BT_HUGE;
	long ret;

	if (node >= bt_numa_nodes())
		return SKIPPED;
	for (i = 0; i < nr; i++) {
		pages[i] = m->p + i * BT_HUGE;
		nodes[i] = node;
	}
	ret = syscall(SYS_move_pages, 0, nr, pages, node < 0 ? NULL : nodes, status, 2);
	if (ret < 0)
		return -errno;
	for (i = 0; i < nr; i++)
		if (status[i] < 0 || status[i] >= bt_numa_nodes())
			return status[i];
	return 0;
}

/* Both ways, so that one of them would have to move. */
static int run_move_pages_away(struct mm *m, long arg)
{
	int there, back;

	(void)arg;
	if (bt_numa_nodes() < 2)
		return SKIPPED;
	there = run_move_pages(m, 1);
	back = run_move_pages(m, 0);
	return there ? there : back;
}

static int run_migrate_pages(struct mm *m, long arg)
{
	unsigned long from = 1, to = bt_numa_nodes() > 1 ? 2 : 1;
	long ret = syscall(SYS_migrate_pages, 0, 64, &from, &to);

	(void)m;
	(void)arg;
	return ret < 0 ? -errno : 0;
}

CALL(mbind, run_mbind, 0, 0, "no effect: the pool's policy decides");
CALL(mbind_move, run_mbind, MPOL_MF_MOVE, 0, "no effect: nothing is moved");
CALL(mbind_other_node, run_mbind_other, 0, 0, "no effect");
CALL(move_pages_query, run_move_pages, -1, 0, "tells the node of each page");
CALL(move_pages_away, run_move_pages_away, 0, EBUSY, "not moved");
CALL(migrate_pages, run_migrate_pages, 0, 0, "passed over");

/* ---- mremap -------------------------------------------------------------------------- */

static int run_mremap_grow(struct mm *m, long flags)
{
	return err_of((long)mremap(m->p, BYTES, 2 * BYTES, flags));
}

static int run_mremap_shrink(struct mm *m, long to)
{
	if (mremap(m->p, BYTES, to, 0) != m->p)
		return -errno;
	m->bytes = to;
	return bt_peek(m->p + to) == SIGSEGV ? 0 : -ENOTUNIQ;
}

/* Moves to an address that is @by bytes off a huge page's beginning. */
static int run_mremap_move(struct mm *m, long by)
{
	char *room = mmap(NULL, BYTES + 2 * BT_HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = (char *)BT_ROUND_UP((uintptr_t)room, BT_HUGE) + by, *was = m->p;
	struct bt_smaps maps;

	m->p = mremap(was, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (m->p == MAP_FAILED)
		return -errno;
	if (m->p != to || bt_peek(was) != SIGSEGV)
		return -ENOTUNIQ;
	if (bt_tag_verify(m->p, BYTES, SEED) >= 0)
		return -EUCLEAN;
	bt_smaps(0, m->p, BYTES, &maps);
	return maps.rss == BYTES && maps.pmd == (by ? 0 : BYTES) ? 0 : -EILSEQ;
}

static int run_mremap_part(struct mm *m, long arg)
{
	char *to = mmap(NULL, 3 * BT_PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = m->p + BT_HUGE + 7 * BT_PAGE, *got;

	(void)arg;
	got = mremap(at, 3 * BT_PAGE, 3 * BT_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (got == MAP_FAILED)
		return -errno;
	if (memcmp(got, m->all + BT_HUGE + 7 * BT_PAGE, 3 * BT_PAGE) ||
	    bt_peek(at) != SIGSEGV)
		return -EUCLEAN;
	m->p = NULL;
	return 0;
}

static int run_mremap_copy(struct mm *m, long arg)
{
	(void)arg;
	return err_of((long)mremap(m->p, 0, BYTES, MREMAP_MAYMOVE));
}

static int run_mremap_dontunmap(struct mm *m, long arg)
{
	(void)arg;
	return err_of((long)mremap(m->p, BYTES, BYTES,
				   MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
}

CALL(mremap_grow, run_mremap_grow, MREMAP_MAYMOVE, EFAULT,
     "refused: the whole space can be mapped at once");
CALL(mremap_grow_in_place, run_mremap_grow, 0, EFAULT, "refused");
CALL(mremap_shrink, run_mremap_shrink, 4 * BT_MIB, 0, "the rest is unmapped");
CALL(mremap_shrink_odd, run_mremap_shrink, 3 * BT_MIB - BT_PAGE, 0,
     "the rest is unmapped, within a huge page too");
CALL(mremap_move, run_mremap_move, 0, 0, "moves, stays mapped as huge pages");
CALL(mremap_move_misaligned, run_mremap_move, 3 * BT_PAGE, 0,
     "moves, mapped as small pages from then on");
CALL(mremap_part, run_mremap_part, 0, 0, "some pages move, the others stay");
CALL(mremap_copy, run_mremap_copy, 0, EFAULT, "refused: it would grow");
CALL(mremap_dontunmap, run_mremap_dontunmap, 0, EINVAL, "refused");

/* ---- mprotect, munmap ------------------------------------------------------------------- */

static int run_mprotect_read(struct mm *m, long bytes)
{
	char *at = m->p + BT_HUGE;

	if (mprotect(at, bytes, PROT_READ))
		return -errno;
	if (bt_poke(at, 1) != SIGSEGV || bt_peek(at) ||
	    bt_poke(m->p, m->p[0]) || bt_poke(at + bytes, at[bytes]))
		return -ENOTUNIQ;
	if (mprotect(at, bytes, PROT_READ | PROT_WRITE))
		return -errno;
	return bt_poke(at, *at) ? -ENOTUNIQ : 0;
}

static int run_mprotect_none(struct mm *m, long arg)
{
	(void)arg;
	if (mprotect(m->p, BYTES, PROT_NONE))
		return -errno;
	if (bt_peek(m->p) != SIGSEGV)
		return -ENOTUNIQ;
	return err_of(mprotect(m->p, BYTES, PROT_READ | PROT_WRITE));
}

static int run_mprotect_exec(struct mm *m, long arg)
{
	(void)arg;
	return err_of(mprotect(m->p, BYTES, PROT_READ | PROT_EXEC));
}

/* A hole of @bytes in the second huge page, and the second mapping that fills it. */
static int run_munmap_hole(struct mm *m, long bytes)
{
	char *at = m->p + BT_HUGE + 4 * BT_PAGE, *got;

	if (munmap(at, bytes))
		return -errno;
	if (bt_peek(at) != SIGSEGV || bt_peek(at - 1) || bt_peek(at + bytes))
		return -ENOTUNIQ;
	got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   m->c.fd, m->offset + BT_HUGE + 4 * BT_PAGE);
	return got == at ? 0 : -errno;
}

static int run_munmap_all(struct mm *m, long arg)
{
	(void)arg;
	if (munmap(m->p, BYTES))
		return -errno;
	m->p = bt_map(m->c.fd, m->offset, BYTES);
	return m->p ? 0 : -errno;
}

CALL(mprotect_read, run_mprotect_read, BT_HUGE, 0, "writing raises SIGSEGV");
CALL(mprotect_read_page, run_mprotect_read, BT_PAGE, 0,
     "within a huge page too, its other pages stay writable");
CALL(mprotect_none, run_mprotect_none, 0, 0, "access raises SIGSEGV");
CALL(mprotect_exec, run_mprotect_exec, 0, EACCES, "tensors are data");
CALL(munmap_hole_in_huge_page, run_munmap_hole, BT_PAGE, 0,
     "the rest stays; the hole can be mapped again");
CALL(munmap_hole, run_munmap_hole, BT_HUGE, 0, "across huge pages too");
CALL(munmap, run_munmap_all, 0, 0, "tensors live on, and are mapped again as they were");

/* ---- mmap ------------------------------------------------------------------------------------ */

static int try_map(struct mm *m, int prot, int flags, __u64 offset, size_t bytes)
{
	void *p = mmap(NULL, bytes, prot, flags, m->c.fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, bytes);
	return 0;
}

static int run_map(struct mm *m, long flags)
{
	return try_map(m, PROT_READ | PROT_WRITE, flags, m->offset, BYTES);
}

static int run_map_prot(struct mm *m, long prot)
{
	return try_map(m, prot, MAP_SHARED, m->offset, BYTES);
}

/* Begins @before bytes before the end of the space and has 8 MiB. */
static int run_map_near_end(struct mm *m, long before)
{
	return try_map(m, PROT_READ, MAP_SHARED, m->c.space - before, BYTES);
}

static int run_map_far(struct mm *m, long offset)
{
	return try_map(m, PROT_READ, MAP_SHARED, offset & ~4095L, BYTES);
}

static int run_map_populated(struct mm *m, long flags)
{
	struct bt_smaps maps;
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       m->c.fd, m->offset);

	if (p == MAP_FAILED)
		return -errno;
	bt_smaps(0, p, BYTES, &maps);
	munmap(p, BYTES);
	return maps.rss == BYTES && maps.pmd == BYTES ? 0 : -EILSEQ;
}

/* Where the address and the offset do not agree modulo 2 MiB. */
static int run_map_misaligned(struct mm *m, long by)
{
	char *room = mmap(NULL, BYTES + 2 * BT_HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = (char *)BT_ROUND_UP((uintptr_t)room, BT_HUGE) + by;
	struct bt_smaps maps;

	munmap(m->p, BYTES);
	m->p = mmap(to, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    m->c.fd, m->offset);
	if (m->p != to)
		return -errno;
	if (bt_tag_verify(m->p, BYTES, SEED) >= 0)
		return -EUCLEAN;
	bt_tag(m->p, BYTES, SEED);
	bt_smaps(0, m->p, BYTES, &maps);
	return maps.rss == BYTES && !maps.pmd ? 0 : -EILSEQ;
}

static int run_read_only_file(struct mm *m, long prot)
{
	char path[32];
	char *p;
	int fd, ret;

	/* The client is the open file, so another open is another client. */
	snprintf(path, sizeof(path), BT_DEVICE);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	(void)m;
	p = mmap(NULL, BYTES, prot, MAP_SHARED, fd, 0);
	ret = p == MAP_FAILED ? -errno : 0;
	if (!ret && mprotect(p, BYTES, PROT_READ | PROT_WRITE) != -1)
		ret = -ENOTUNIQ;
	close(fd);
	return ret;
}

static int run_nothing_there(struct mm *m, long arg)
{
	(void)arg;
	if (bt_peek(m->c.map + m->c.space - 1) != SIGBUS ||
	    bt_poke(m->c.map + m->c.space / 2, 1) != SIGBUS)
		return -ENOTUNIQ;
	return 0;
}

/* Freed and trimmed memory is gone from every mapping. */
static int run_freed(struct mm *m, long arg)
{
	struct bmem_alloc_entry e = { .bytes = BT_HUGE, .align = BT_HUGE };
	char *p;

	(void)arg;
	if (bt_alloc(m->c.fd, &e, 1, NULL))
		return -EIO;
	p = m->c.map + e.offset;
	if (bt_poke(p, 1) || bt_free1(m->c.fd, e.handle) ||
	    bt_trim(m->c.fd, 0, 0, NULL))
		return -EIO;
	return bt_peek(p) == SIGBUS && bt_poke(p + BT_PAGE, 1) == SIGBUS ?
	       0 : -ENOTUNIQ;
}

static int run_remap_file_pages(struct mm *m, long arg)
{
	(void)arg;
	return err_of(syscall(SYS_remap_file_pages, m->p, BYTES, 0,
			      m->offset / BT_PAGE, 0));
}

CALL(mmap_shared, run_map, MAP_SHARED, 0, "as often as wanted");
CALL(mmap_private, run_map, MAP_PRIVATE, EINVAL, "tensors are shared memory");
CALL(mmap_exec, run_map_prot, PROT_READ | PROT_EXEC, EACCES, "tensors are data");
CALL(mmap_exec_only, run_map_prot, PROT_EXEC, EACCES, "tensors are data");
CALL(mmap_read, run_map_prot, PROT_READ, 0, "read-only mapping");
CALL(mmap_to_the_end, run_map_near_end, BYTES, 0, "up to the end of the space");
CALL(mmap_across_the_end, run_map_near_end, BYTES - BT_PAGE, EINVAL,
     "out of the space");
CALL(mmap_behind_the_end, run_map_near_end, 0, EINVAL, "out of the space");
CALL(mmap_far, run_map_far, LONG_MAX - 2 * BYTES, EINVAL, "out of the space");
CALL(mmap_populate, run_map_populated, MAP_POPULATE, 0, "mapped at once, huge");
CALL(mmap_locked, run_map_populated, MAP_LOCKED, 0, "mapped at once, huge");
CALL(mmap_misaligned, run_map_misaligned, BT_PAGE, 0, "mapped as small pages");
CALL(mmap_misaligned_half, run_map_misaligned, BT_MIB, 0, "mapped as small pages");
CALL(mmap_read_only_file, run_read_only_file, PROT_READ, 0,
     "an O_RDONLY descriptor maps, and cannot become writable");
CALL(mmap_read_only_file_write, run_read_only_file, PROT_READ | PROT_WRITE, EACCES,
     "nor be mapped so");
CALL(access_without_tensor, run_nothing_there, 0, 0,
     "SIGBUS where nothing was ever allocated");
CALL(access_to_freed, run_freed, 0, 0, "SIGBUS once the huge page went back");
CALL(remap_file_pages, run_remap_file_pages, 0, 0, "maps again");

/* ---- looking at memory ---------------------------------------------------------------------------- */

/* Present where mapped, absent in a mapping that was never touched. */
static int run_mincore(struct mm *m, long arg)
{
	unsigned char vec[BYTES / BT_PAGE];
	char *fresh = bt_map(m->c.fd, m->offset, BYTES);
	size_t i;

	(void)arg;
	if (mincore(m->p, BYTES, vec))
		return -errno;
	for (i = 0; i < sizeof(vec); i++)
		if (!(vec[i] & 1))
			return -ENOTUNIQ;
	if (mincore(fresh, BYTES, vec))
		return -errno;
	return memchr(vec, 1, sizeof(vec)) ? -ENOTUNIQ : 0;
}

static int run_msync(struct mm *m, long flags)
{
	return err_of(msync(m->p, BYTES, flags));
}

static int run_fallocate(struct mm *m, long mode)
{
	return err_of(fallocate(m->c.fd, mode, m->offset, BYTES));
}

static int run_ftruncate(struct mm *m, long to)
{
	return err_of(ftruncate(m->c.fd, to));
}

static int run_fsync(struct mm *m, long arg)
{
	(void)arg;
	return err_of(fsync(m->c.fd));
}

static int run_read(struct mm *m, long arg)
{
	char byte;

	(void)arg;
	return err_of(read(m->c.fd, &byte, 1));
}

static int run_lseek(struct mm *m, long to)
{
	return err_of(lseek(m->c.fd, to, SEEK_SET));
}

CALL(mincore, run_mincore, 0, 0, "present where it is mapped");
CALL(msync_async, run_msync, MS_ASYNC, 0, "no effect");
CALL(msync_invalidate, run_msync, MS_INVALIDATE, 0, "no effect");
CALL(msync_sync, run_msync, MS_SYNC, EINVAL, "there is nothing to write to");
CALL(fallocate, run_fallocate, 0, ENODEV, "memory comes from ALLOC");
CALL(fallocate_punch, run_fallocate, 3, ENODEV, "and goes by FREE");
CALL(ftruncate, run_ftruncate, 0, EINVAL, "no size of its own");
CALL(fsync, run_fsync, 0, EINVAL, "there is nothing to write to");
CALL(read, run_read, 0, EINVAL, "tensors are read through the mapping");
CALL(lseek, run_lseek, 4096, ESPIPE, "no position either");

/* Another process reads and writes through @path of ours, or by ptrace. */
static int poke_proc_mem(struct mm *m, long pid)
{
	char path[32], back[100];
	off_t at = (uintptr_t)m->p + BT_HUGE - 50;
	int fd, ret = -EIO;

	snprintf(path, sizeof(path), "/proc/%ld/mem", pid);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	if (pread(fd, back, sizeof(back), at) == sizeof(back) &&
	    !memcmp(back, m->p + BT_HUGE - 50, sizeof(back))) {
		memset(m->all + BT_HUGE - 50, 0, 50);
		if (pwrite(fd, back, sizeof(back), at) == sizeof(back) &&
		    !memcmp(back, m->all + BT_HUGE - 50, sizeof(back)))
			ret = 0;
	}
	close(fd);
	return ret;
}

struct helper {
	struct mm *m;
	pid_t parent;
};

static int other_proc_mem(void *arg)
{
	struct helper *h = arg;

	return poke_proc_mem(h->m, h->parent);
}

static int run_proc_mem(struct mm *m, long arg)
{
	struct helper h = { .m = m, .parent = getpid() };

	(void)arg;
	return bt_in_child(other_proc_mem, &h);
}

static int be_traced(void *arg)
{
	(void)arg;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	return 0;
}

static int run_ptrace(struct mm *m, long arg)
{
	long was, at = BT_HUGE + 4096 + 64;
	int status, ret = -EUCLEAN;
	pid_t pid = bt_spawn(be_traced, NULL);

	(void)arg;
	waitpid(pid, &status, 0);
	*(long *)(m->all + at) = 0x1234567890;
	errno = 0;
	was = ptrace(PTRACE_PEEKDATA, pid, m->p + at, NULL);
	if (errno)
		ret = -errno;
	else if (ptrace(PTRACE_POKEDATA, pid, m->p + at, (void *)0x42L))
		ret = -errno;
	else if (was == 0x1234567890 && *(long *)(m->all + at) == 0x42)
		ret = 0;
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	waitpid(pid, &status, 0);
	return ret;
}

static int run_uffd(struct mm *m, long mode)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)m->p, BYTES }, .mode = mode,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC), ret;

	if (fd < 0)
		return SKIPPED;
	ret = err_of(ioctl(fd, UFFDIO_API, &api));
	if (!ret)
		ret = err_of(ioctl(fd, UFFDIO_REGISTER, &reg));
	close(fd);
	return ret;
}

CALL(proc_mem, run_proc_mem, 0, 0, "another process reads and writes /proc/PID/mem");
CALL(ptrace, run_ptrace, 0, 0, "PEEKDATA and POKEDATA work");
CALL(userfaultfd_missing, run_uffd, UFFDIO_REGISTER_MODE_MISSING, EINVAL, "refused");
CALL(userfaultfd_wp, run_uffd, UFFDIO_REGISTER_MODE_WP, EINVAL, "refused");

/* ---- huge page settings -------------------------------------------------------------------------------- */

#define THP_ENABLED	"/sys/kernel/mm/transparent_hugepage/enabled"

static int run_thp(struct mm *m, const char *setting)
{
	char *was = bt_read_file(THP_ENABLED), *open = was ? strchr(was, '[') : NULL;
	struct bt_smaps maps;

	if (!open)
		return SKIPPED;
	open[strcspn(open, "]")] = 0;
	bt_write_file(THP_ENABLED, setting);
	munmap(m->p, BYTES);
	m->p = bt_map(m->c.fd, m->offset, BYTES);
	bt_tag(m->p, BYTES, SEED);
	bt_smaps(0, m->p, BYTES, &maps);
	bt_write_file(THP_ENABLED, open + 1);
	free(was);
	return maps.pmd == BYTES ? 0 : -EILSEQ;
}

static int run_thp_never(struct mm *m, long arg)
{
	(void)arg;
	return run_thp(m, "never");
}

static int run_thp_always(struct mm *m, long arg)
{
	(void)arg;
	return run_thp(m, "always");
}

/* Newer kernels obey these for file mappings, older ones do not. */
static int run_small(struct mm *m, long by_prctl)
{
	int ret;

	munmap(m->p, BYTES);
	if (by_prctl && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		return -errno;
	m->p = bt_map(m->c.fd, m->offset, BYTES);
	ret = by_prctl ? 0 : err_of(madvise(m->p, BYTES, MADV_NOHUGEPAGE));
	if (bt_tag_verify(m->p, BYTES, SEED) >= 0)
		return -EUCLEAN;
	bt_tag(m->p, BYTES, SEED);
	return ret;
}

CALL(thp_never, run_thp_never, 0, 0, "huge all the same: it is no page cache");
CALL(thp_always, run_thp_always, 0, 0, "huge");
CALL(thp_disabled_by_prctl, run_small, 1, 0,
     "small mappings of huge memory where the kernel obeys");
CALL(thp_disabled_by_madvise, run_small, 0, 0,
     "small mappings of huge memory where the kernel obeys");

/* ---- memory hot-unplug ------------------------------------------------------------------------------------ */

#define BLOCKS	"/sys/devices/system/memory"

/* Physical address of @p by the page tables, 0 when it cannot be told. */
static __u64 physical(const void *p)
{
	__u64 entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, 8, (uintptr_t)p / BT_PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry >> 63 ? (entry & ((1ULL << 55) - 1)) * BT_PAGE : 0;
}

static int offline_block(void *arg)
{
	return bt_write_file(arg, "offline");
}

static int run_offline(struct mm *m, long arg)
{
	char *text = bt_read_file(BLOCKS "/block_size_bytes"), path[96];
	__u64 size = text ? strtoull(text, NULL, 16) : 0, at;
	int ret;

	(void)arg;
	free(text);
	at = physical(m->p + BT_HUGE);
	if (!size || !at)
		return SKIPPED;
	snprintf(path, sizeof(path), BLOCKS "/memory%llu/state", at / size);
	if (access(path, W_OK))
		return SKIPPED;
	ret = bt_in_child(offline_block, path);
	if (!ret)
		bt_write_file(path, "online");
	return ret ? -EBUSY : 0;
}

CALL(memory_offline, run_offline, 0, EBUSY, "refused: not movable");

/* ---- one large tensor ------------------------------------------------------------------------------------------ */

#define LOOP_BYTES	(16 * BT_MIB)

FIXTURE(big) {
	struct bt_client c;
	struct bmem_alloc_entry e;
	int admin;
	char *p;
	char *balancing;
	long faults;
};

/* 1 GiB where the machine has that much and some to spare. */
static __u64 big_bytes(void)
{
	__u64 spare = 192 * BT_MIB, have = bt_meminfo("MemAvailable");

	if (have >= BT_GIB + spare)
		return BT_GIB;
	return have < spare + 64 * BT_MIB ? 0 : (have - spare) / BT_HUGE * BT_HUGE;
}

FIXTURE_SETUP(big)
{
	__u64 bytes = big_bytes();
	char warm[4096];
	int pool;

	if (!bytes)
		SKIP(return, "too little memory");
	self->balancing = bt_balancing_off();
	bt_write_file("/proc/sys/vm/drop_caches", "3");
	bt_write_file("/proc/sys/vm/compact_memory", "1");
	self->admin = bt_open();
	pool = bt_pool_create(self->admin, "big", bytes, 0);
	ASSERT_LE(0, pool);
	ASSERT_EQ(0, bt_client_open(&self->c, pool));
	ASSERT_EQ(0, bt_alloc1(self->c.fd, bytes, &self->e));
	self->p = self->c.map + self->e.offset;
	/* What the counting itself touches is touched before. */
	bt_fill(warm, sizeof(warm), 1);
	self->faults = bt_minor_faults();
	self->faults = bt_minor_faults();
	bt_fill(self->p, bytes, 1);
	self->faults = bt_minor_faults() - self->faults;
	TH_LOG("%llu MiB, %ld faults", bytes / BT_MIB, self->faults);
}

FIXTURE_TEARDOWN(big)
{
	bt_client_close(&self->c);
	bt_pool_destroy(self->admin, self->c.pool);
	close(self->admin);
	bt_balancing_back(self->balancing);
}

TEST_F_TIMEOUT(big, written_and_read_back, 2 * BT_SLOW)
{
	struct bt_smaps maps;

	EXPECT_LE(self->faults, 512);
	EXPECT_LE(self->faults, (long)(self->e.bytes / BT_HUGE));
	EXPECT_EQ(-1, bt_verify(self->p, self->e.bytes, 1));
	ASSERT_EQ(0, bt_smaps(0, self->p, self->e.bytes, &maps));
	EXPECT_EQ(self->e.bytes, maps.pmd);
	EXPECT_EQ(self->e.bytes, maps.rss);
	EXPECT_EQ(NULL, bt_check(self->c.fd));
	if (self->e.bytes < BT_GIB)
		TH_LOG("less than 1 GiB: give the guest 3G");
}

TEST_F_TIMEOUT(big, direct_io, BT_SLOW)
{
	/* Into the middle, across huge pages, and off their borders. */
	char *at = self->p + self->e.bytes / 2 - BT_MIB - BT_PAGE, name[32];
	int file, loop, fd;
	__u64 got = 0;
	ssize_t n = 0;

	loop = bt_loop(name, sizeof(name), &file, LOOP_BYTES, 99);
	if (loop < 0)
		SKIP(return, "no loop device: %s", strerror(-loop));
	fd = open(name, O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	while (got < LOOP_BYTES && (n = read(fd, at + got, LOOP_BYTES - got)) > 0)
		got += n;
	EXPECT_EQ(LOOP_BYTES, got) {
		TH_LOG("read: %s", strerror(errno));
	}
	EXPECT_EQ(-1, bt_verify(at, LOOP_BYTES, 99));
	/* And out of it. */
	bt_fill(at, LOOP_BYTES, 100);
	for (got = 0; got < LOOP_BYTES; got += n) {
		n = pwrite(fd, at + got, LOOP_BYTES - got, got);
		if (n <= 0)
			break;
	}
	EXPECT_EQ(LOOP_BYTES, got);
	memset(at, 0, LOOP_BYTES);
	EXPECT_EQ(LOOP_BYTES, pread(fd, at, LOOP_BYTES, 0));
	EXPECT_EQ(-1, bt_verify(at, LOOP_BYTES, 100));
	close(fd);
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	close(file);
}

/* Reads a parent's tensor by process_vm_readv and writes it by writev. */
static int peer_reads(void *arg)
{
	struct iovec *remote = arg;
	char *copy = malloc(remote->iov_len);
	struct iovec local = { copy, remote->iov_len };
	ssize_t n = process_vm_readv(getppid(), &local, 1, remote, 1, 0);

	if (n != (ssize_t)remote->iov_len)
		return n < 0 ? -errno : -EIO;
	/* The mapping is the child's too, but the copy came the other way. */
	if (memcmp(copy, remote->iov_base, n))
		return -EUCLEAN;
	bt_fill(copy, n, 55);
	n = process_vm_writev(getppid(), &local, 1, remote, 1, 0);
	return n == (ssize_t)remote->iov_len ? 0 : -errno;
}

TEST_F_TIMEOUT(big, process_vm_readv, BT_SLOW)
{
	struct iovec remote = {
		self->p + self->e.bytes / 2 - BT_MIB - 100, 5 * BT_MIB + 1234,
	};

	EXPECT_EQ(0, bt_in_child(peer_reads, &remote));
	EXPECT_EQ(-1, bt_verify(remote.iov_base, remote.iov_len, 55));
}

/* ---- processes ------------------------------------------------------------------------------------------------------ */

FIXTURE(proc) {
	struct mm m;
	int admin;
	char *balancing;
};

FIXTURE_SETUP(proc)
{
	self->balancing = bt_balancing_off();
	ASSERT_EQ(0, mm_open(&self->m, BMEM_POOL_DEFAULT));
	self->admin = bt_open();
}

FIXTURE_TEARDOWN(proc)
{
	bt_client_close(&self->m.c);
	close(self->admin);
	bt_balancing_back(self->balancing);
}

static int child_sees_and_writes(void *arg)
{
	struct mm *m = arg;

	if (bt_tag_verify(m->p, BYTES, SEED) >= 0)
		return 1;
	strcpy(m->p + 100, "from the child");
	return mm_intact(m) ? 2 : 0;
}

TEST_F_TIMEOUT(proc, fork_shares, BT_SLOW)
{
	EXPECT_EQ(0, bt_in_child(child_sees_and_writes, &self->m));
	EXPECT_STREQ("from the child", self->m.p + 100);
	EXPECT_EQ(NULL, mm_intact(&self->m));
}

static int peek_at(void *arg)
{
	return bt_peek(arg);
}

TEST_F_TIMEOUT(proc, dontfork, BT_SLOW)
{
	ASSERT_EQ(0, madvise(self->m.p, BYTES, MADV_DONTFORK));
	EXPECT_EQ(SIGSEGV, bt_in_child(peek_at, self->m.p));
	if (madvise(self->m.p, BYTES, MADV_DOFORK)) {
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(SIGSEGV, bt_in_child(peek_at, self->m.p));
	} else {
		EXPECT_EQ(0, bt_in_child(peek_at, self->m.p));
	}
	EXPECT_EQ(NULL, mm_intact(&self->m));
}

TEST_F_TIMEOUT(proc, vfork, BT_SLOW)
{
	pid_t pid = vfork();
	int status;

	if (!pid) {
		self->m.p[200] = 77;
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(77, self->m.all[200]);
	EXPECT_EQ(NULL, mm_intact(&self->m));
}

/* Mappings alone keep the client and its memory. */
TEST_F_TIMEOUT(proc, mapping_outlives_descriptor, BT_SLOW)
{
	struct bmem_client_stats st;
	__u64 id = self->m.c.id;

	close(self->m.c.fd);
	self->m.c.fd = -1;
	EXPECT_EQ(-1, bt_tag_verify(self->m.p, BYTES, SEED));
	EXPECT_EQ(0, bt_client_stats(self->admin, id, &st));
	munmap(self->m.p, BYTES);
	EXPECT_EQ(-1, bt_tag_verify(self->m.all, BYTES, SEED));
	munmap(self->m.c.map, self->m.c.space);
	self->m.c.map = NULL;
	EXPECT_EQ(-ENOENT, bt_client_stats(self->admin, id, &st));
}

static int die_with_a_core(void *arg)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	(void)arg;
	setrlimit(RLIMIT_CORE, &all);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	abort();
}

/* Bytes of memory at [@at, @at + @bytes) that the core file @path holds. */
static __u64 bytes_in_core(const char *path, __u64 at, __u64 bytes)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	__u64 sum = 0;
	int fd = open(path, O_RDONLY), i;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return ~0ULL;
	for (i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) !=
		    sizeof(ph))
			return ~0ULL;
		if (ph.p_type == PT_LOAD && ph.p_vaddr < at + bytes &&
		    ph.p_vaddr + ph.p_memsz > at)
			sum += ph.p_filesz;
	}
	close(fd);
	return sum;
}

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE		"/tmp/bmem-core"

TEST_F_TIMEOUT(proc, core_dump_leaves_it_out, BT_SLOW)
{
	char *was = bt_read_file(CORE_PATTERN);
	struct stat st = { 0 };

	ASSERT_NE(NULL, was);
	ASSERT_EQ(0, bt_write_file(CORE_PATTERN, CORE));
	unlink(CORE);
	EXPECT_EQ(BT_SIGNALLED(SIGABRT), bt_in_child(die_with_a_core, NULL));
	bt_write_file(CORE_PATTERN, was);
	free(was);
	if (stat(CORE, &st) || !st.st_size)
		SKIP(return, "no core file was written");
	EXPECT_EQ(0, bytes_in_core(CORE, (uintptr_t)self->m.p, BYTES));
	EXPECT_EQ(0, bytes_in_core(CORE, (uintptr_t)self->m.c.map, self->m.c.space));
	/* There is a core, with other memory in it. */
	EXPECT_LT(0, bytes_in_core(CORE, (uintptr_t)&st, 1));
	unlink(CORE);
}

TEST_F_TIMEOUT(proc, vm_flags, BT_SLOW)
{
	struct bt_smaps maps;

	ASSERT_EQ(0, bt_smaps(0, self->m.p, BYTES, &maps));
	EXPECT_EQ(1, maps.vmas);
	EXPECT_NE(NULL, strstr(maps.flags, " sh"));
	EXPECT_NE(NULL, strstr(maps.flags, " de"));
	EXPECT_NE(NULL, strstr(maps.flags, " dd"));
	/* May not become executable, is neither I/O nor raw frames. */
	EXPECT_EQ(NULL, strstr(maps.flags, " me"));
	EXPECT_EQ(NULL, strstr(maps.flags, " io"));
	EXPECT_EQ(NULL, strstr(maps.flags, " pf"));
	EXPECT_EQ(BYTES, maps.pmd);
}

static void told(int sig)
{
	(void)sig;
}

/* A page that hardware calls bad: nobody crashes, others stay intact. */
static int poison(void *arg)
{
	struct mm m;
	int ret;

	ret = mm_open(&m, *(int *)arg);
	if (ret)
		return ret;
	/* Who has the page mapped is told, before the call is over. */
	signal(SIGBUS, told);
	ret = madvise(m.p + BT_HUGE, BT_PAGE, MADV_HWPOISON) ? errno : 0;
	bt_peek(m.p + BT_HUGE);
	/* The first touch through another mapping has to fault it in. */
	if (bt_peek(m.all + BT_HUGE) != SIGBUS)
		return -EUCLEAN;
	if (bt_free1(m.c.fd, m.handle))
		return -EUCLEAN;
	return ret;
}

#define PINS_LEAST	500
#define PINS_MOST	530
#define PIPE_PINS	64

/* Takes one more reference of the huge page at @p, in the last of @pipes. */
static int pin_one(char *p, int n, int (*pipes)[2])
{
	struct iovec one = { p + n % 512 * BT_PAGE, 1 };
	int *at = pipes[n / PIPE_PINS];

	if (n % PIPE_PINS == 0 &&
	    (pipe(at) || fcntl(at[1], F_SETPIPE_SZ, PIPE_PINS * BT_PAGE) < 0))
		return -errno;
	return vmsplice(at[1], &one, 1, SPLICE_F_NONBLOCK) == 1 ? 0 : -errno;
}

/*
 * Advice for a part of a huge page makes core mm split it.  Whether it does
 * depends on the count of references, which a user can choose; and no count may
 * do: before core mm splits a page it unmaps the whole of it.
 */
TEST_F_TIMEOUT(proc, no_count_of_pins_splits, BT_SLOW)
{
	int pipes[PINS_MOST / PIPE_PINS + 1][2], n;
	struct mm *m = &self->m;

	/* The first of the space, where core mm takes marked pages to be. */
	ASSERT_EQ(0, m->offset);
	/* What is mapped twice is not split. */
	ASSERT_EQ(0, munmap(m->p, BYTES));
	bt_tag(m->all, BYTES, SEED);
	for (n = 0; n < PINS_MOST; n++) {
		ASSERT_EQ(0, pin_one(m->all, n, pipes));
		if (n < PINS_LEAST)
			continue;
		/* Huge, also where an attempt has torn the mapping. */
		ASSERT_EQ(0, madvise(m->all, BT_HUGE, MADV_DONTNEED));
		ASSERT_EQ(0, bt_peek(m->all));
		ASSERT_NE(0, physical(m->all + 100 * BT_PAGE));
		madvise(m->all, BT_PAGE, MADV_COLD);
		EXPECT_NE(0, physical(m->all + 100 * BT_PAGE)) {
			TH_LOG("unmapped to be split with %d pins", n + 1);
		}
	}
	for (n = 0; n < PINS_MOST; n += PIPE_PINS) {
		close(pipes[n / PIPE_PINS][0]);
		close(pipes[n / PIPE_PINS][1]);
	}
	EXPECT_EQ(-1, bt_tag_verify(m->all, BYTES, SEED));
}

TEST_F_TIMEOUT(proc, hwpoison_is_survived, BT_SLOW)
{
	int ret, admin, pool;

	/* It takes a page away for good, so only where that is the purpose. */
	if (!bt_debug_kernel())
		SKIP(return, "only on a debug kernel");
	admin = bt_open();
	ASSERT_LE(0, admin);
	/* Such a page stays escaped as long as its pool is there. */
	pool = bt_pool_create(admin, "poison", 2 * BYTES, 0);
	ASSERT_LE(0, pool);
	ret = bt_in_child(poison, &pool);
	TH_LOG("madvise(MADV_HWPOISON): %s", ret >= BT_SIGNALLED(0) ? "killed" :
	       strerror(ret));
	EXPECT_NE(BT_SIGNALLED(SIGSEGV), ret);
	EXPECT_NE(-EUCLEAN, ret);
	EXPECT_EQ(0, bt_pool_destroy(admin, pool));
	close(admin);
	EXPECT_EQ(NULL, mm_intact(&self->m));
}

TEST(fault_around_is_bounded)
{
	static const char * const bad[] = { "0", "33", "-1", "4294967297", "x" };
	char was[32], now[32];
	unsigned int i;

	ASSERT_EQ(0, bt_param("fault_around", was, sizeof(was)));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, bt_param_set("fault_around", bad[i]));
	ASSERT_EQ(0, bt_param("fault_around", now, sizeof(now)));
	EXPECT_STREQ(was, now);
	EXPECT_EQ(0, bt_param_set("fault_around", "32"));
	EXPECT_EQ(0, bt_param_set("fault_around", "1"));
	EXPECT_EQ(0, bt_param_set("fault_around", was));
}

TEST_HARNESS_MAIN
