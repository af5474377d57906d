// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Opening the device, and what to do where that cannot be.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"

#define DEVICE	"/dev/bmem"

static void say_denied(const char *device, char *text, size_t len)
{
	struct group *g;
	struct stat st;
	char name[64];

	if (stat(device, &st)) {
		snprintf(text, len, "no permission to look at %s", device);
		return;
	}
	g = getgrgid(st.st_gid);
	if (g)
		snprintf(name, sizeof(name), "%s", g->gr_name);
	else
		snprintf(name, sizeof(name), "%u", st.st_gid);
	if (!st.st_gid || !(st.st_mode & 0060))
		snprintf(text, len,
			 "no permission for %s (group %s, mode %04o): only root may use it; to let a group in, as root: chgrp GROUP %s && chmod 0660 %s",
			 device, name, st.st_mode & 07777, device, device);
	else
		snprintf(text, len,
			 "no permission for %s (group %s, mode %04o): join the group, as root: usermod -aG %s USER; then log in again",
			 device, name, st.st_mode & 07777, name);
}

/**
 * device_say() - why the device cannot be used, and what to do
 * @err: negative errno of opening it
 * @device: its path
 * @text: out
 * @len: its length
 */
void device_say(int err, const char *device, char *text, size_t len)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		snprintf(text, len,
			 "%s is missing: the module is not loaded; as root: modprobe bmem (or insmod bmem.ko)",
			 device);
		break;
	case -EACCES:
	case -EPERM:
		say_denied(device, text, len);
		break;
	case -ENOTTY:
	case -EOPNOTSUPP:
		snprintf(text, len,
			 "%s is of another version of bmem than this program: load the module that belongs to it; as root: modprobe -r bmem && modprobe bmem",
			 device);
		break;
	default:
		snprintf(text, len, "%s: %s", device, strerror(-err));
	}
}

/**
 * device_open() - become a client
 * @ctl: run
 *
 * BMEM_BACKEND=memfd is for trying it out without the module: it then shows
 * itself alone.
 *
 * Return: enum status.
 */
int device_open(struct ctl *ctl)
{
	const char *env = secure_getenv("BMEM_BACKEND");
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = env && !strcmp(env, "memfd") ? BMEM_BACKEND_MEMFD :
							  BMEM_BACKEND_DEV,
		.label = "bmemctl",
	};
	struct bmem_query q = { .size = sizeof(q) };
	char why[512];
	int ret;

	ret = bmem_open(&ctl->c, &o);
	if (!ret)
		ret = bmem_query(ctl->c, &q);
	if (ret) {
		device_say(ret, DEVICE, why, sizeof(why));
		fprintf(stderr, "bmemctl: %s\n", why);
		return STATUS_DEVICE;
	}
	ctl->self = q.client_id;
	ctl->backend = bmem_backend_name(ctl->c);
	return STATUS_OK;
}
