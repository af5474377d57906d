/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Tensors with several holders.
 */
#ifndef BMEM_REFS_H
#define BMEM_REFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct bmem_client;
struct ref;

/**
 * struct refs - references to a client's tensors, in this process
 * @lock: guards all below
 * @held: it is held for fork()
 * @slots: open addressing by address
 * @room: length of @slots, a power of two, or 0
 * @nr: entries in use
 */
struct refs {
	pthread_mutex_t lock;
	bool held;
	struct ref *slots;
	uint32_t room;
	uint32_t nr;
};

void refs_close(struct bmem_client *c);

#endif /* BMEM_REFS_H */
