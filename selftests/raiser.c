// SPDX-License-Identifier: GPL-2.0-only
/*
 * bmem_raise.ko's parameters; see raiser.h.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "bmem_test.h"
#include "raiser.h"

int raiser_load(void)
{
	const char *dir = getenv("BMEM_KUNIT_DIR");
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/bmem_raise.ko", dir ? dir : "");
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -ENOSYS;
	if (syscall(SYS_finit_module, fd, "", 0))
		ret = -errno;
	close(fd);
	return ret;
}

int raiser_unload(void)
{
	return syscall(SYS_delete_module, "bmem_raise", 0) ? -errno : 0;
}

int raise_event(__u32 type, __u32 pool, __u64 client, __u32 level)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u %llu %u", type, pool, client, level);
	return bt_write_file("/sys/module/bmem_raise/parameters/event", text);
}

int hold_client(__u64 client)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", client);
	return bt_write_file("/sys/module/bmem_raise/parameters/hold", text);
}
