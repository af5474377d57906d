// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Scopes: labels for all that a thread allocates between push and pop.
 *
 * A scope is known by the text of its whole path, "outer/inner", and has a
 * number that is the same in all threads.  No lock: an entry is claimed by its
 * hash; whoever finds it claimed but not yet written writes the same text into
 * it himself, so nobody waits, not even in a child whose parent was in here
 * when it forked.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "hash.h"
#include "internal.h"
#include "scope.h"

#define WORDS	(BMEM_LABEL_LEN / sizeof(uint64_t))

/**
 * struct scope - one path
 * @key: hash of its text, 0 while the entry is free
 * @ready: @text is there
 * @text: of %BMEM_LABEL_LEN bytes
 */
struct scope {
	_Atomic uint64_t key;
	_Atomic bool ready;
	_Atomic uint64_t text[WORDS];
};

/* A quarter stays free, so that every search ends soon. */
static struct scope table[SCOPES_MAX];
static _Atomic uint32_t used;

static void text_write(struct scope *s, const char *text)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < WORDS; i++) {
		memcpy(&word, text + i * sizeof(word), sizeof(word));
		atomic_store_explicit(&s->text[i], word, memory_order_relaxed);
	}
	atomic_store_explicit(&s->ready, true, memory_order_release);
}

/* The number of a path, or 0 when there is no room for another. */
static uint32_t scope_number(const char text[BMEM_LABEL_LEN])
{
	uint64_t key = hash_text(0, text, strlen(text)) | 1, have;
	uint32_t at = (uint32_t)(key >> 32) % SCOPES_MAX;
	struct scope *s;

	for (;; at = (at + 1) % SCOPES_MAX) {
		s = &table[at];
		have = atomic_load_explicit(&s->key, memory_order_relaxed);
		if (!have) {
			if (atomic_load(&used) >= SCOPES_MAX / 4 * 3)
				return 0;
			if (atomic_compare_exchange_strong(&s->key, &have,
							   key)) {
				atomic_fetch_add(&used, 1);
				have = key;
			}
		}
		if (have == key)
			break;
	}
	if (!atomic_load_explicit(&s->ready, memory_order_acquire))
		text_write(s, text);
	return at + 1;
}

/**
 * scope_text() - the path of a scope
 * @text: out, %BMEM_LABEL_LEN bytes; empty for 0
 * @id: number of the scope, or 0
 */
void scope_text(char text[BMEM_LABEL_LEN], uint32_t id)
{
	const struct scope *s;
	uint64_t word;
	size_t i;

	memset(text, 0, BMEM_LABEL_LEN);
	if (!id)
		return;
	s = &table[id - 1];
	for (i = 0; i < WORDS; i++) {
		word = atomic_load_explicit(&s->text[i], memory_order_relaxed);
		memcpy(text + i * sizeof(word), &word, sizeof(word));
	}
}

/* The scope @name inside of @outer; @outer where there is none. */
static uint32_t scope_inside(uint32_t outer, const char *name)
{
	char text[BMEM_LABEL_LEN];
	uint32_t id;
	size_t n;

	if (!name || !*name)
		return outer;
	scope_text(text, outer);
	n = strlen(text);
	if (n && n < BMEM_LABEL_LEN - 1)
		text[n++] = '/';
	label_copy(text + n, name, BMEM_LABEL_LEN - 1 - n);
	id = scope_number(text);
	return id ? id : outer;
}

/* In the lower half it only has to differ, see site_flat(). */
static void scope_enter(struct scopes *s, uint32_t id)
{
	s->id = id;
	tls.scope_key = (uint64_t)id << SCOPE_SHIFT | id * 0x85ebca6bU;
}

void bmem_scope_push(const char *name)
{
	struct scopes *s = &tls.scopes;

	if (s->depth < SCOPE_DEPTH) {
		s->below[s->depth] = s->id;
		scope_enter(s, scope_inside(s->id, name));
	}
	s->depth++;
}

void bmem_scope_pop(void)
{
	struct scopes *s = &tls.scopes;

	if (!s->depth)
		return;
	s->depth--;
	if (s->depth < SCOPE_DEPTH)
		scope_enter(s, s->below[s->depth]);
}
