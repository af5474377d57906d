/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that takes the system's memory, to see what bmem gives back. */
#ifndef HOG_H
#define HOG_H

#include <stdbool.h>

#include <linux/types.h>

/**
 * struct appetite - when a hog has had enough
 * @fd: of /dev/bmem, for @sated
 * @pool: whose memory it is after
 * @most: what it takes at the most, in bytes
 * @enough: bytes that @sated is to find
 * @sated: asked after each MiB
 * @arg: for @sated
 */
struct appetite {
	int fd;
	int pool;
	__u64 most;
	__u64 enough;
	bool (*sated)(const struct appetite *want);
	void *arg;
};

/* For bt_in_child(); 0 or a negative errno. */
int hog(void *arg);

/* A figure of /proc/vmstat, ~0 when there is none of that name. */
__u64 vmstat(const char *key);

/* How often a client has been asked for what it keeps idle, ~0 without its page. */
__u32 recall_of(int fd);

#endif /* HOG_H */
