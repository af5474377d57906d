// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Errors in words: what it means here, and what to do.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

static const struct {
	int err;
	const char *text;
} texts[] = {
	{ 0, "no error" },
	{ ENOTTY, "the device does not know this call: the module is older than the library, or it is not bmem; load the module that came with this library" },
	{ EFAULT, "a pointer leads to memory that cannot be accessed: check the arguments" },
	{ EINVAL, "a value is out of range: sizes are 1 or more, alignments 0 or a power of two from 64 to 2 MiB, a pointer must come from this client" },
	{ E2BIG, "a struct has fields that this library or module does not know: use the library and module that the program was built for, or newer" },
	{ EOPNOTSUPP, "a flag or reserved field that is not defined, or a call that this backend does not have: pools can be changed with the module only" },
	{ EOVERFLOW, "sizes do not fit 64 bits when added up: check how they were computed" },
	{ ENOENT, "no such tensor (freed already?), pool or client; when opening: there is no /dev/bmem, load the module with 'modprobe bmem'" },
	{ EPERM, "not permitted: it needs CAP_SYS_ADMIN, or the pool admits only another group ('bmemctl pools' shows which)" },
	{ EACCES, "no permission for /dev/bmem: join the group that owns it ('ls -l /dev/bmem'), and log in again" },
	{ ENODEV, "/dev/bmem has no driver: load the module with 'modprobe bmem'" },
	{ ENXIO, "/dev/bmem has no driver: load the module with 'modprobe bmem'" },
	{ EEXIST, "a pool of this name is there already: choose another name" },
	{ EBUSY, "in use: close the pool's clients, or free the client's tensors, and try again" },
	{ EMSGSIZE, "the array is too small: take the number of entries that the call answered" },
	{ EFBIG, "larger than the pool's limit or the client's space, it cannot succeed: ask for less, or raise the limit" },
	{ ENOSPC, "the pool is at its limit, or the space has no gap of this size: free tensors, bmem_trim() other clients, or raise the pool's limit" },
	{ ENOMEM, "out of memory: the system, the memory cgroup (memory.max) or the address space (ulimit -v) has none left; free something or raise that limit" },
	{ EINTR, "a signal ended the wait: try again" },
	{ EHWPOISON, "memory of a tensor has failed: see the kernel's log" },
	{ ENOTRECOVERABLE, "a process died while it changed the books that it shared with this one after fork(): close the client and open another" },
};

const char *bmem_strerror(int err)
{
	const char *text;
	size_t i;

	/* Not -err: INT_MIN has no positive. */
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].err == err || -texts[i].err == err)
			return texts[i].text;
	text = err > 0 ? strerrordesc_np(err) : NULL;
	if (err < 0 && err > -4096)
		text = strerrordesc_np(-err);
	return text ? text : "unknown error";
}
