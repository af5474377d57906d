// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The device and its pools: can they be used, and if not, what helps?
 */
#include <errno.h>
#include <error.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bmem.h>

#include "launch.h"

#define DEVICE	"/dev/bmem"

/**
 * device_explain() - say what is wrong with the device, and what helps
 * @to: where to
 * @err: errno of bmem_open(), positive or negative
 */
void device_explain(FILE *to, int err)
{
	struct stat st;
	struct group *group;

	err = abs(err);
	if (access(DEVICE, F_OK)) {
		fprintf(to, "bmem-run: there is no " DEVICE ": sudo modprobe bmem\n");
	} else if ((err == EACCES || err == EPERM) && !stat(DEVICE, &st) &&
	    access(DEVICE, R_OK | W_OK)) {
		group = getgrgid(st.st_gid);
		if (!st.st_gid || (st.st_mode & 0060) != 0060)
			fprintf(to, "bmem-run: only root may use " DEVICE "; to let a group in: sudo chgrp GROUP " DEVICE " && sudo chmod 0660 " DEVICE "\n");
		else if (group)
			fprintf(to, "bmem-run: " DEVICE " is for members of group %s: sudo usermod -aG %s $USER, then log in again\n",
				group->gr_name, group->gr_name);
		else
			fprintf(to, "bmem-run: " DEVICE " is for members of group %u\n",
				(unsigned int)st.st_gid);
	} else {
		fprintf(to, "bmem-run: " DEVICE ": %s\n", bmem_strerror(err));
	}
}

static int open_device(struct bmem_client **c, uint32_t pool, const char *label)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_DEV,
		.pool = pool,
		.label = label,
		.flags = BMEM_OPEN_QUIET | BMEM_OPEN_PRIVATE,
	};

	return bmem_open(c, &o);
}

/**
 * device_check() - would a client get the device, and this pool?
 * @pool: number of the pool
 * @label: of the client
 *
 * Return: 0 or an errno of bmem_open().
 */
int device_check(uint32_t pool, const char *label)
{
	struct bmem_client *c;
	int ret = open_device(&c, pool, label);

	if (!ret)
		bmem_close(c);
	return ret;
}

static int pool_among(struct bmem_client *c, const char *name, uint32_t *pool)
{
	struct bmem_pool_stats st;
	uint32_t ids[BMEM_POOLS_MAX];
	int i, n = bmem_pool_list(c, ids, BMEM_POOLS_MAX);

	for (i = 0; i < n; i++) {
		st = (struct bmem_pool_stats) {
			.size = sizeof(st),
			.pool = ids[i],
		};
		if (bmem_pool_stats(c, &st) ||
		    strncmp(st.name, name, sizeof(st.name)))
			continue;
		*pool = ids[i];
		return 0;
	}
	return n < 0 ? n : -ENOENT;
}

/**
 * pool_find() - a pool by its name or number
 * @name: what the user gave
 * @pool: out, its number
 *
 * Return: 0, -ENOENT for no such pool, or another errno of bmem_open().
 */
int pool_find(const char *name, uint32_t *pool)
{
	struct bmem_client *c;
	unsigned long n;
	char *end;
	int ret;

	errno = 0;
	n = strtoul(name, &end, 10);
	if (*name >= '0' && *name <= '9' && !*end && !errno &&
	    n <= UINT32_MAX) {
		*pool = (uint32_t)n;
		return 0;
	}
	ret = open_device(&c, BMEM_POOL_DEFAULT, NULL);
	if (ret)
		return ret;
	ret = pool_among(c, name, pool);
	bmem_close(c);
	return ret;
}
