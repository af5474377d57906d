// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * References between tensors, told to the device by address.
 */
#include <errno.h>

#include "internal.h"

/* What the device calls the tensor that @ptr leads into. */
static int handle_of(struct bmem_client *c, const void *ptr, uint64_t *handle)
{
	struct bmem_tensor_info info = {
		.size = sizeof(info),
		.flags = BMEM_INFO_OFFSET,
		.offset = (uintptr_t)ptr - (uintptr_t)c->base,
	};
	int ret;

	if (!bmem_owns(c, ptr))
		return -EINVAL;
	ret = call(c, BMEM_TENSOR_INFO, &info);
	*handle = info.tensor.handle;
	return ret;
}

static int one_link(struct bmem_client *c, unsigned long cmd, const void *from,
		    const void *to)
{
	struct bmem_link_entry e = { 0 };
	struct bmem_link arg = {
		.size = sizeof(arg),
		.nr = 1,
		.entries = (uintptr_t)&e,
	};
	uint64_t handle = 0;
	int ret = handle_of(c, to, &handle);

	e.to = handle;
	handle = 0;
	if (!ret && from)
		ret = handle_of(c, from, &handle);
	e.from = handle;
	if (!ret)
		ret = call(c, cmd, &arg);
	return ret ? ret : e.result;
}

int bmem_link(struct bmem_client *c, const void *from, const void *to)
{
	return one_link(c, BMEM_LINK, from, to);
}

int bmem_unlink(struct bmem_client *c, const void *from, const void *to)
{
	return one_link(c, BMEM_UNLINK, from, to);
}

int bmem_link_batch(struct bmem_client *c, struct bmem_link *link)
{
	return call(c, BMEM_LINK, link);
}

int bmem_unlink_batch(struct bmem_client *c, struct bmem_link *link)
{
	return call(c, BMEM_UNLINK, link);
}
