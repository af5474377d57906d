// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Slots from the backend and back.
 */
#include <errno.h>

#include "cache.h"

/* What this client cannot reach: it is mapped in part, or its ledger is. */
static bool slot_fits(const struct bmem_client *c, uint64_t name,
		      uint32_t bytes)
{
	uint64_t offset = name_offset(name);

	return name_record(name) < c->records && offset < c->len &&
	       bytes <= c->len - offset;
}

static int put(struct bmem_client *c, uint64_t *names, uint32_t nr)
{
	struct bmem_slots arg = {
		.size = sizeof(arg),
		.nr = nr,
		.slots = (uintptr_t)names,
	};

	return nr ? call(c, BMEM_SLOTS_PUT, &arg) : 0;
}

/**
 * slots_get() - free slots of one class
 * @c: client
 * @class: size class
 * @names: out, array of @nr
 * @nr: how many are wanted, at least 1
 * @got: out, how many there are, at least 1
 * @wait_ms: how long to wait for memory
 *
 * Return: 0 or an errno of BMEM_SLOTS_GET; -ENOMEM also when there are slots
 * that this client has not mapped.
 */
int slots_get(struct bmem_client *c, uint32_t class, uint64_t *names,
	      uint32_t nr, uint32_t *got, uint32_t wait_ms)
{
	uint32_t bytes = slab_classes[class].bytes, i, n = 0;
	struct bmem_slots arg = {
		.size = sizeof(arg),
		.size_class = class,
		.nr = nr,
		.slots = (uintptr_t)names,
	};
	uint64_t name;
	int ret;

	if (wait_ms) {
		arg.flags = BMEM_CALL_WAIT;
		arg.timeout_ms = wait_ms;
	}
	ret = call(c, BMEM_SLOTS_GET, &arg);
	if (ret)
		return ret;
	/* Those that fit come first. */
	for (i = 0; i < arg.nr; i++) {
		name = names[i];
		if (!slot_fits(c, name, bytes))
			continue;
		names[i] = names[n];
		names[n++] = name;
	}
	(void)put(c, names + n, arg.nr - n);
	__atomic_fetch_add(&c->depot->held, (int64_t)n * bytes,
			   __ATOMIC_RELAXED);
	*got = n;
	return n ? 0 : -ENOMEM;
}

/**
 * slots_put() - give slots back
 * @c: client
 * @names: names of slots that hold nothing
 * @nr: how many, at most %BMEM_BATCH_MAX
 * @bytes: what they take up
 */
void slots_put(struct bmem_client *c, uint64_t *names, uint32_t nr,
	       uint64_t bytes)
{
	(void)put(c, names, nr);
	__atomic_fetch_sub(&c->depot->held, (int64_t)bytes, __ATOMIC_RELAXED);
}
