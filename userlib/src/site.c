// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Call sites: a number for every return address and label.
 *
 * The number is taken from a hash of the name, so that parent and child, which
 * share a client after fork(), number the same site alike.  A call site that
 * was seen before costs a hash and a load.
 *
 * No lock: a slot is claimed by its key, then its number is published.  Who
 * meets a slot that is claimed but not yet published works the number out for
 * himself and gets the same one; so nobody ever waits, not even in a child
 * whose parent was in here when it forked.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define SITE_PENDING	0U
#define SITE_LOST	(~0U)

/* The finaliser of MurmurHash3: every bit of the input moves every other. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 33);
}

static uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		h = mix(h ^ word);
		text += sizeof(word);
	}
	word = (uint64_t)len << 56;
	memcpy(&word, text, len);
	return mix(h ^ word);
}

/*
 * Two keys of 64 bits that are equal by chance are not worth a comparison of
 * what they were made from: 16384 sites have 1e-11 of a chance.
 */
static uint64_t site_key(const char *label, const void *ret)
{
	uint64_t h = mix((uintptr_t)ret + 0x9e3779b97f4a7c15ULL);

	if (label)
		h = hash_text(h, label, strnlen(label, BMEM_LABEL_LEN));
	return h ? h : 1;
}

static bool number_ok(uint32_t site)
{
	return site != SITE_PENDING && site != SITE_LOST;
}

/*
 * Enter a name's hash in the set of names.
 *
 * Return: true if it has its lower half, the number, to itself.
 */
static bool name_enter(struct sites *s, uint64_t hash)
{
	uint32_t at = (uint32_t)hash % SITE_SLOTS, n;
	uint64_t have;

	for (n = 0; n < SITE_SLOTS; n++, at = (at + 1) % SITE_SLOTS) {
		have = 0;
		if (atomic_compare_exchange_strong(&s->names[at], &have, hash))
			return true;
		if (have == hash)
			return true;
		if ((uint32_t)have == (uint32_t)hash)
			return false;
	}
	return false;
}

static uint32_t name_number(struct sites *s, const char *name)
{
	uint64_t hash = hash_text(0, name, strlen(name));
	int tries;

	for (tries = 0; tries < 8; tries++, hash = mix(hash + 1))
		if (number_ok((uint32_t)hash) && name_enter(s, hash))
			return (uint32_t)hash;
	return SITE_LOST;
}

/* Cut at @len, but not inside a UTF-8 character. */
static size_t cut(const char *text, size_t len)
{
	size_t n = strnlen(text, len + 1);

	if (n <= len)
		return n;
	for (n = len; n && (text[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static void copy_label(char *to, const char *from, size_t len)
{
	size_t i, n = cut(from, len);

	for (i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ?
			'?' : from[i];
	to[n] = '\0';
}

/*
 * "label @ program+0xoffset".  Where it is too long the label is cut: the
 * place is what leads to the line.
 */
static void site_name(char *name, const char *label, const void *ret)
{
	const char *file;
	char place[BMEM_LABEL_LEN / 2 + 24];
	Dl_info info;
	size_t room;

	if (!ret) {
		copy_label(name, label, BMEM_LABEL_LEN - 1);
		return;
	}
	/* The return address may be the first byte behind its function. */
	if (!dladdr((const char *)ret - 1, &info) || !info.dli_fname) {
		memset(&info, 0, sizeof(info));
		info.dli_fname = "?";
	}
	file = strrchr(info.dli_fname, '/');
	file = file ? file + 1 : info.dli_fname;
	snprintf(place, sizeof(place), "%.32s+0x%zx", file,
		 (size_t)((const char *)ret - (const char *)info.dli_fbase));
	if (!label || !*label)
		label = info.dli_sname;
	if (!label) {
		copy_label(name, place, BMEM_LABEL_LEN - 1);
		return;
	}
	room = BMEM_LABEL_LEN - 1 - strlen(" @ ") - strlen(place);
	copy_label(name, label, room);
	strcat(name, " @ ");
	copy_label(name + strlen(name), place, strlen(place));
}

static uint32_t site_make(struct bmem_client *c, const char *label,
			  const void *ret)
{
	struct bmem_site arg = { .size = sizeof(arg) };

	site_name(arg.label, label, ret);
	arg.site = name_number(&c->sites, arg.label);
	if (arg.site == SITE_LOST || call(c, BMEM_SITE, &arg))
		return SITE_LOST;
	return arg.site;
}

/* The slot with a key, or a free one that is now claimed for it, or NULL. */
static struct site_slot *slot_get(struct sites *s, uint64_t key)
{
	uint32_t at = (uint32_t)(key >> 32) % SITE_SLOTS, n;
	struct site_slot *slot;
	uint64_t have;

	for (n = 0; n < SITE_SLOTS; n++, at = (at + 1) % SITE_SLOTS) {
		slot = &s->slots[at];
		have = atomic_load_explicit(&slot->key, memory_order_relaxed);
		if (have == key)
			return slot;
		if (have)
			continue;
		/* A quarter stays free, so that every search ends soon. */
		if (atomic_load(&s->used) >= SITE_SLOTS / 4 * 3)
			return NULL;
		if (atomic_compare_exchange_strong(&slot->key, &have, key)) {
			atomic_fetch_add(&s->used, 1);
			return slot;
		}
		if (have == key)
			return slot;
	}
	return NULL;
}

static uint32_t site_lost(struct sites *s)
{
	atomic_fetch_add_explicit(&s->lost, 1, memory_order_relaxed);
	return 0;
}

/**
 * site_at() - number of a call site
 * @c: client
 * @label: what the memory is for, or NULL
 * @ret: return address; NULL when the label is the whole name
 *
 * Return: the number, or 0 when there is no room for another site.
 */
uint32_t site_at(struct bmem_client *c, const char *label, const void *ret)
{
	struct site_slot *slot = slot_get(&c->sites, site_key(label, ret));
	uint32_t site;
	int saved;

	if (!slot)
		return site_lost(&c->sites);
	site = atomic_load_explicit(&slot->site, memory_order_acquire);
	if (site == SITE_PENDING) {
		saved = errno;
		site = site_make(c, label, ret);
		atomic_store_explicit(&slot->site, site, memory_order_release);
		errno = saved;
	}
	return site == SITE_LOST ? site_lost(&c->sites) : site;
}

uint32_t bmem_site(struct bmem_client *c, const char *name)
{
	uint32_t site;

	if (!name || !*name) {
		errno = EINVAL;
		return 0;
	}
	site = site_at(c, name, NULL);
	if (!site)
		errno = ENOSPC;
	return site;
}

uint64_t bmem_sites_lost(const struct bmem_client *c)
{
	return atomic_load(&c->sites.lost);
}
