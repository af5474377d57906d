/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The call sites of one client: tables of atomics, no lock.
 */
#ifndef BMEM_SITES_H
#define BMEM_SITES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/bmem.h>

#include "hash.h"
#include "overhead.h"

/* Twice what the kernel can know, so that chains stay short. */
#define SITE_SLOTS	(2 * BMEM_SITES_MAX)

/*
 * Where a hash may be: in a few places each of parts that double, so that few
 * sites touch few pages; then anywhere.
 */
#define SITE_PART	256U
#define SITE_PARTS	7U
#define SITE_TRIES	8U
#define SITE_STEPS	(SITE_SLOTS + SITE_PARTS * SITE_TRIES)

#define SITE_PENDING	0U
#define SITE_LOST	(~0U)

/* The @n-th place for a hash in a table of %SITE_SLOTS, @n below %SITE_STEPS. */
static inline uint32_t site_step(uint32_t hash, uint32_t n)
{
	uint32_t part = n / SITE_TRIES, len;

	if (part >= SITE_PARTS)
		return (hash + n) % SITE_SLOTS;
	len = SITE_PART << part;
	/* Behind all parts before, which are as long but for the first. */
	return len - SITE_PART + (hash + n % SITE_TRIES) % len;
}

_Static_assert(SITE_PART * ((1U << SITE_PARTS) - 1) <= SITE_SLOTS,
	       "parts of a table");

/**
 * struct site_slot - one call site that has been seen
 * @key: hash of return addresses, scope and label; 0 while the slot is free
 * @check: another hash of the same; 0 until the slot's owner is decided
 * @site: its number; SITE_PENDING until it is known, SITE_LOST for no room
 * @interval: one allocation in so many has its whole stack taken
 */
struct site_slot {
	_Atomic uint64_t key;
	_Atomic uint64_t check;
	_Atomic uint32_t site;
	_Atomic uint32_t interval;
};

/**
 * struct site_number - a number that is taken
 * @key: hash of what it stands for; the number is the lower half
 * @check: another hash of the same
 */
struct site_number {
	_Atomic uint64_t key;
	_Atomic uint64_t check;
};

/**
 * struct sites - the call sites of a client
 * @slots: open addressing by key; entries are never removed
 * @names: keeps two sites from having the same number
 * @announced: bit map of the program files that the backend has been told of
 * @used: slots in use
 * @numbers: entries of @names in use
 * @lost: allocations that found no room
 * @costs: what tracking takes, and the bounds it is kept in
 */
struct sites {
	struct site_slot slots[SITE_SLOTS];
	struct site_number names[SITE_SLOTS];
	_Atomic uint64_t announced[BMEM_MODULES_MAX / 64 + 1];
	_Atomic uint32_t used;
	_Atomic uint32_t numbers;
	_Atomic uint64_t lost;
	struct costs costs;
};

#endif /* BMEM_SITES_H */
