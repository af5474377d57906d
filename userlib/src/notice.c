// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Saying, once a process, that the fallback is in use, why, and what to do.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/*
 * Not getgrgid(): name services may load libraries and go to the network, and
 * a static program cannot have them.
 */
static void group_name(gid_t gid, char *name, size_t len)
{
	char buf[4096];
	struct group grp, *g;
	FILE *f = fopen("/etc/group", "re");

	snprintf(name, len, "%u", gid);
	if (!f)
		return;
	while (!fgetgrent_r(f, &grp, buf, sizeof(buf), &g)) {
		if (g->gr_gid != gid)
			continue;
		snprintf(name, len, "%s", g->gr_name);
		break;
	}
	fclose(f);
}

static void say_permission(char *why, size_t len)
{
	char group[64];
	struct stat st;

	if (stat(BMEM_DEVICE, &st)) {
		snprintf(why, len, "%s may not be looked at",
			 BMEM_DEVICE);
		return;
	}
	group_name(st.st_gid, group, sizeof(group));
	if (!st.st_gid || !(st.st_mode & 0060)) {
		snprintf(why, len,
			 "no permission for %s (group %s, mode %04o): run as root, or let a group in, as root: chgrp GROUP %s && chmod 0660 %s",
			 BMEM_DEVICE, group, st.st_mode & 07777, BMEM_DEVICE,
			 BMEM_DEVICE);
		return;
	}
	snprintf(why, len,
		 "no permission for %s (group %s, mode %04o): join the group with 'usermod -aG %s USER' and log in again",
		 BMEM_DEVICE, group, st.st_mode & 07777, group);
}

static void say_why(int err, char *why, size_t len)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		say_permission(why, len);
		break;
	case -ENOENT:
	case -ENOTDIR:
		snprintf(why, len,
			 "%s is not there: load the module ('modprobe bmem' or 'insmod bmem.ko')",
			 BMEM_DEVICE);
		break;
	case -ENODEV:
	case -ENXIO:
		snprintf(why, len,
			 "%s has no driver: load the module ('modprobe bmem' or 'insmod bmem.ko')",
			 BMEM_DEVICE);
		break;
	default:
		snprintf(why, len, "%s is not a bmem device: remove it and load the module",
			 BMEM_DEVICE);
		break;
	}
}

/**
 * notice_fallback() - say that there is no device
 * @err: why it could not be opened, a negative errno
 * @quiet: say nothing
 */
void notice_fallback(int err, bool quiet)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	char why[384], line[768];
	int saved = errno, n;

	if (quiet || atomic_flag_test_and_set(&said))
		return;
	say_why(err, why, sizeof(why));
	n = snprintf(line, sizeof(line),
		     "libbmem: %s. Using memory of this process instead (backend memfd), which other processes and reports do not see. BMEM_BACKEND=dev makes this an error, BMEM_QUIET=1 silences it.\n",
		     why);
	/* One write, so that lines of several processes do not mix. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		n = 0;
	errno = saved;
}
