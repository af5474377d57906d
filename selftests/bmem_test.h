/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests share: thin calls of /dev/bmem, ground truth from /proc
 * and debugfs to hold against them, patterns, and children.
 *
 * Functions that can fail answer 0 (or a value) or a negative errno; none of
 * them asserts, so that every test says for itself what it expects.
 */
#ifndef BMEM_TEST_H
#define BMEM_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/bmem.h>

#define BT_DEVICE	"/dev/bmem"
#define BT_DEBUGFS	"/sys/kernel/debug/bmem"
#define BT_PARAMS	"/sys/module/bmem/parameters"

#define BT_KIB		1024ULL
#define BT_MIB		(1024 * BT_KIB)
#define BT_GIB		(1024 * BT_MIB)
#define BT_PAGE		((__u64)BMEM_PAGE_SIZE)
#define BT_HUGE		((__u64)BMEM_HUGE_SIZE)

/* Seconds that a test may take where every instruction is emulated. */
#define BT_SLOW		300

#define BT_ROUND_UP(x, to)	((((x) + (to) - 1) / (to)) * (to))
#define BT_NOBODY	65534

/*
 * For what comes by itself and no figure says when: longer than any machine
 * stalls, shorter than the minute for which tests put off what is not to come.
 */
#define BT_SOON		50000

/* Is @cond true now, or does it become true within @ms milliseconds? */
#define BT_WAIT(cond, ms) __extension__ ({				\
	__u64 bt_end = bt_now_ms() + (ms);				\
	bool bt_ok;							\
	while (!(bt_ok = (cond)) && bt_now_ms() < bt_end)		\
		usleep(20000);						\
	bt_ok; })

/* ---- the device ---------------------------------------------------------- */

int bt_open(void);
int bt_call(int fd, unsigned long cmd, void *arg);
int bt_query(int fd, struct bmem_query *q);
int bt_bind_pool(int fd, int pool);
int bt_bind_label(int fd, const char *label);
int bt_bind_cache(int fd, __u64 bytes);
int bt_bind_policy(int fd, __u32 policy);
int bt_site(int fd, __u32 site, const char *label);
int bt_alloc(int fd, struct bmem_alloc_entry *e, unsigned int nr,
	     unsigned int *failed);
int bt_alloc1(int fd, __u64 bytes, struct bmem_alloc_entry *e);
int bt_free(int fd, struct bmem_free_entry *e, unsigned int nr,
	    unsigned int *freed);
int bt_free1(int fd, __u64 handle);
int bt_info(int fd, __u64 handle, struct bmem_tensor_info *info);
int bt_info_at(int fd, __u64 offset, struct bmem_tensor_info *info);
/*
 * Stats are looked at when what FREE has queued has gone back: how long that
 * takes by itself is for the tests of cleanup, which use the _now variants.
 */
void bt_settle(int fd);
int bt_client_stats(int fd, __u64 id, struct bmem_client_stats *st);
int bt_client_now(int fd, __u64 id, struct bmem_client_stats *st);
int bt_trim(int fd, __u32 flags, __u64 keep, __u64 *trimmed);

/* All live tensors of a client, by offset; *@out is the caller's to free. */
int bt_list(int fd, __u64 client, struct bmem_tensor **out);

/* A pool with a name that no other test uses; its id, or -errno. */
int bt_pool_create(int fd, const char *name, __u64 limit, __u64 reserve);
/* The same with a policy, and for BMEM_POLICY_BIND a node. */
int bt_pool_create_on(int fd, const char *name, __u64 limit, __u64 reserve,
		      __u32 policy, __u32 nid);
int bt_pool_destroy(int fd, int pool);
int bt_pool_resize(int fd, int pool, __u32 flags, __u64 limit, __u64 reserve);
int bt_pool_stats(int fd, int pool, struct bmem_pool_stats *st);
int bt_pool_now(int fd, int pool, struct bmem_pool_stats *st);
int bt_pressure(int fd, int pool, struct bmem_pressure *p);
int bt_pool_stats_node(int fd, int pool, int nid, struct bmem_pool_stats *st);

/**
 * struct bt_client - a client with its space mapped
 * @fd: its descriptor
 * @id: its identity
 * @pool: id of its pool
 * @space: length of its space
 * @map: where the space is mapped
 */
struct bt_client {
	int fd;
	int pool;
	__u64 id;
	__u64 space;
	char *map;
};

int bt_client_open(struct bt_client *c, int pool);
void bt_client_close(struct bt_client *c);

/* The same, of which clones can be made; and a clone, mapped. */
int bt_bind_clone(int fd);
int bt_client_open_cloneable(struct bt_client *c, int pool);
int bt_client_clone(const struct bt_client *c, struct bt_client *clone);
void *bt_map(int fd, __u64 offset, size_t bytes);

/* ---- ground truth -------------------------------------------------------- */

/* NULL when client and pool agree with the listing, else what does not. */
const char *bt_check(int fd);

/* The same for a pool alone: parts add up, and clients' sums equal it. */
const char *bt_check_pool(int fd, int pool);

/* The parts of a pool add up, at any moment of whatever its clients do. */
const char *bt_check_parts(int fd, int pool);

struct bt_snap {
	struct bmem_client_stats client;
	struct bmem_pool_stats pool;
};

int bt_snap(int fd, struct bt_snap *snap);

/*
 * NULL when nothing but the counters of failures differs, else the name of
 * what does.  Pages that the background zeroes count as free before and after.
 */
const char *bt_snap_diff(const struct bt_snap *a, const struct bt_snap *b);

/**
 * struct bt_smaps - what /proc/PID/smaps says about a range of addresses
 * @vmas: number of mappings in it
 * @size: their length
 * @rss: present in page tables
 * @pmd: present as huge pages of a file mapping
 * @flags: VmFlags of the first of them
 */
struct bt_smaps {
	unsigned int vmas;
	__u64 size;
	__u64 rss;
	__u64 pmd;
	char flags[256];
};

int bt_smaps(pid_t pid, const void *addr, __u64 bytes, struct bt_smaps *out);
/*
 * NUMA balancing takes entries of page tables away for a while to see who uses
 * them, which are faults, and which 6.1's smaps leaves out.  What is to be counted
 * is touched after this, which answers what bt_balancing_back() is to be given.
 */
char *bt_balancing_off(void);
void bt_balancing_back(char *was);
long bt_minor_faults(void);
__u64 bt_meminfo(const char *key);

/* A number out of a debugfs file of `key: value` lines, or ~0. */
__u64 bt_debugfs_value(const char *file, const char *key);
bool bt_debug_kernel(void);
/* The letter of proc(5) for what a process or a thread does; 0 for none. */
char bt_task_state(pid_t tid);
/* Prints that, and where in the kernel it is, for each thread of a process. */
void bt_say_where(pid_t pid);

/* Sum of column @col over the rows of a debugfs table with @key in @key_col. */
int bt_table_sum(const char *file, const char *key_col, const char *key,
		 const char *col, __u64 *sum);

/* Column @col of the first such row. */
int bt_table_text(const char *file, const char *key_col, const char *key,
		  const char *col, char *text, size_t size);

/* A whole file as a string that the caller frees, or NULL. */
char *bt_read_file(const char *path);
int bt_write_file(const char *path, const char *text);
/* As reclaim, which comes again when it had to pass over somebody. */
int bt_shrink(const char *pages);
int bt_param(const char *name, char *value, size_t size);
int bt_param_set(const char *name, const char *value);
int bt_numa_nodes(void);

/* ---- memory -------------------------------------------------------------- */

/* Every word a function of its position and @seed. */
void bt_fill(void *p, __u64 bytes, __u64 seed);

/* -1 when all is as bt_fill() left it, else the first offset that is not. */
long long bt_verify(const void *p, __u64 bytes, __u64 seed);

/* The cheap variant: one word in each 4 KiB, and the last byte. */
void bt_tag(void *p, __u64 bytes, __u64 seed);
long long bt_tag_verify(const void *p, __u64 bytes, __u64 seed);

/* The first offset whose byte is not @byte, or -1. */
long long bt_not_byte(const void *p, __u64 bytes, unsigned char byte);

/* 0, or the signal that reading (writing) the byte at @p raised. */
int bt_peek(const void *p);
int bt_poke(void *p, unsigned char byte);

/*
 * A block device of @bytes over a file that bt_fill() filled with @seed; its
 * name in @name.  The device and @file are the caller's to close, after
 * LOOP_CLR_FD.
 */
int bt_loop(char *name, size_t size, int *file, __u64 bytes, __u64 seed);

/* ---- children ------------------------------------------------------------ */

#define BT_SIGNALLED(sig)	(10000 + (sig))

/* What @fn returned in a forked child, or BT_SIGNALLED(). */
int bt_in_child(int (*fn)(void *arg), void *arg);

/* Fork a child that dies with its parent and runs @fn. */
pid_t bt_spawn(int (*fn)(void *arg), void *arg);

/* A node of the device that everybody may open; the caller unlinks it. */
int bt_lend_device(char *path, size_t size);

/* Become another user; @group is an extra group, or -1. */
int bt_become(uid_t uid, gid_t gid, int group);

__u64 bt_now_ms(void);
__u64 bt_now_ns(void);
__u64 bt_random(__u64 *state);

#endif /* BMEM_TEST_H */
