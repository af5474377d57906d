/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What a thread has of its own: all in one place, so that one look at where
 * that is will do.
 */
#ifndef BMEM_TLS_H
#define BMEM_TLS_H

#include <stdint.h>

/* Clients that a thread can go between without losing its cache of one. */
#define TLS_SLOTS	8
#define TLS_NONE	(~0ULL)
#define SCOPE_DEPTH	32

struct cache;

/**
 * struct tls_slot - a thread's cache of one client
 * @serial: the client's, %TLS_NONE while the slot is free
 * @cache: not to be touched before @serial was compared: it may be gone
 */
struct tls_slot {
	uint64_t serial;
	struct cache *cache;
};

/**
 * struct scopes - the labels that a thread has pushed
 * @id: the innermost, 0 for none
 * @depth: how many were pushed
 * @below: what @id was before each push
 */
struct scopes {
	uint32_t id;
	uint32_t depth;
	uint32_t below[SCOPE_DEPTH];
};

/**
 * struct tls - what a thread has
 * @slots: its caches, the one that was used last first
 * @scope_key: the innermost scope, as struct site_flat has it
 * @scopes: the labels that it has pushed
 */
struct tls {
	struct tls_slot slots[TLS_SLOTS];
	uint64_t scope_key;
	struct scopes scopes;
};

#pragma GCC visibility push(hidden)
extern __thread struct tls tls __attribute__((tls_model("initial-exec")));
#pragma GCC visibility pop

#endif /* BMEM_TLS_H */
