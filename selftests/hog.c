// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bmem_test.h"
#include "hog.h"

__u64 vmstat(const char *key)
{
	char *text = bt_read_file("/proc/vmstat"), want[64];
	const char *at;
	__u64 value = ~0ULL;

	snprintf(want, sizeof(want), "\n%s ", key);
	at = text ? strstr(text, want) : NULL;
	if (at)
		value = strtoull(at + strlen(want), NULL, 10);
	free(text);
	return value;
}

__u32 recall_of(int fd)
{
	struct bmem_control *control;
	struct bmem_query q;
	__u32 recall;

	if (bt_query(fd, &q))
		return ~0U;
	control = mmap(NULL, BT_PAGE, PROT_READ, MAP_SHARED, fd,
		       q.control_offset + BT_PAGE);
	if (control == MAP_FAILED)
		return ~0U;
	recall = control->recall;
	munmap(control, BT_PAGE);
	return recall;
}

/*
 * Takes memory and uses it, until enough of it is what bmem gave, however much
 * else the system can find: then it needs all of that, or is killed.
 */
int hog(void *arg)
{
	const struct appetite *want = arg;
	__u64 at;
	char *p;

	p = mmap(NULL, want->most, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	madvise(p, want->most, MADV_NOHUGEPAGE);
	for (at = 0; at < want->most; at += BT_PAGE) {
		p[at] = 1;
		if (!(at % BT_MIB) && want->sated(want))
			break;
	}
	return 0;
}
