// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a block of code leaves behind: the difference of two lists of what is
 * live, by call site.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cache.h"

/* Call sites that a message names. */
#define SITES_NAMED	16

/* Entries that tables begin with; they double. */
#define ROOM_FIRST	256

/**
 * struct known - a tensor that was there
 * @handle: its name, never 0
 * @gen: generation of its record: one that is kept and used again by this
 *	library has the same name
 */
struct known {
	uint64_t handle;
	uint64_t gen;
};

/**
 * struct bmem_block - a block of code that has begun
 * @client: whose tensors
 * @known: what was live at its beginning, by hash; half of it is free
 * @nr: entries in use
 * @room: entries in @known, a power of two
 */
struct bmem_block {
	struct bmem_client *client;
	struct known *known;
	size_t nr;
	size_t room;
};

/* The program's malloc() may be what is looked at: this is none of it. */
static void *pages_get(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void pages_put(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

static struct known known_by(const struct bmem_client *c,
			     const struct bmem_tensor_desc *t)
{
	uint64_t offset = (uint64_t)((const char *)t->ptr - c->base);
	uint64_t entry = span_at(c, offset);
	struct known k = { .handle = t->handle };

	if (span_is_tensor(entry) && entry & BMEM_SPAN_RECORDED &&
	    span_record(entry) < c->records)
		k.gen = peek(&c->ledger[span_record(entry)].head) >>
			BMEM_RECORD_GEN_SHIFT & BMEM_RECORD_GEN_MASK;
	return k;
}

/* Where it is, or where it would be. */
static struct known *known_slot(const struct bmem_block *b,
				const struct known *k)
{
	uint64_t hash = (k->handle ^ k->gen << 40) * 0x9e3779b97f4a7c15ULL;
	size_t i = (size_t)(hash >> 32) & (b->room - 1);

	while (b->known[i].handle && (b->known[i].handle != k->handle ||
				      b->known[i].gen != k->gen))
		i = (i + 1) & (b->room - 1);
	return &b->known[i];
}

static int known_grow(struct bmem_block *b)
{
	struct bmem_block more = { .room = 2 * b->room };
	size_t i;

	more.known = pages_get(more.room * sizeof(*more.known));
	if (!more.known)
		return -ENOMEM;
	for (i = 0; i < b->room; i++)
		if (b->known[i].handle)
			*known_slot(&more, &b->known[i]) = b->known[i];
	pages_put(b->known, b->room * sizeof(*b->known));
	b->known = more.known;
	b->room = more.room;
	return 0;
}

static int note_known(const struct bmem_tensor_desc *t, void *arg)
{
	struct bmem_block *b = arg;
	struct known k = known_by(b->client, t);
	int ret = 2 * b->nr >= b->room ? known_grow(b) : 0;

	if (ret)
		return ret;
	*known_slot(b, &k) = k;
	b->nr++;
	return 0;
}

static void block_put(struct bmem_block *b)
{
	pages_put(b->known, b->room * sizeof(*b->known));
	pages_put(b, sizeof(*b));
}

struct bmem_block *bmem_block_begin(struct bmem_client *client)
{
	struct bmem_block *b = pages_get(sizeof(*b));
	int ret = -ENOMEM;

	if (b) {
		b->client = client;
		b->room = ROOM_FIRST;
		b->known = pages_get(b->room * sizeof(*b->known));
		if (b->known)
			ret = bmem_foreach(client, note_known, b);
	}
	if (!ret)
		return b;
	if (b)
		block_put(b);
	errno = -ret;
	return NULL;
}

/* ---- what is left ------------------------------------------------------------------ */

/**
 * struct left - what one call site has left
 * @site: its number
 * @tensors: how many
 * @bytes: what they asked for
 * @label: what the site is called
 */
struct left {
	uint32_t site;
	uint64_t tensors;
	uint64_t bytes;
	char label[BMEM_LABEL_LEN];
};

/**
 * struct search - a block that ends
 * @block: it
 * @left: by site, in the order in which they were found
 * @nr: entries in @left
 * @room: entries that there is room for
 * @tensors: sum
 * @bytes: sum
 */
struct search {
	const struct bmem_block *block;
	struct left *left;
	size_t nr;
	size_t room;
	uint64_t tensors;
	uint64_t bytes;
};

static int left_grow(struct search *s)
{
	size_t room = s->room ? 2 * s->room : ROOM_FIRST;
	struct left *more = pages_get(room * sizeof(*more));

	if (!more)
		return -ENOMEM;
	if (s->nr)
		memcpy(more, s->left, s->nr * sizeof(*more));
	pages_put(s->left, s->room * sizeof(*s->left));
	s->left = more;
	s->room = room;
	return 0;
}

/* NULL without memory. */
static struct left *left_by(struct search *s, uint32_t site)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->left[i].site == site)
			return &s->left[i];
	if (s->nr == s->room && left_grow(s))
		return NULL;
	s->left[s->nr] = (struct left) { .site = site };
	return &s->left[s->nr++];
}

static int note_left(const struct bmem_tensor_desc *t, void *arg)
{
	struct search *s = arg;
	struct known k = known_by(s->block->client, t);
	struct left *left;

	if (known_slot(s->block, &k)->handle)
		return 0;
	left = left_by(s, t->site);
	if (!left)
		return -ENOMEM;
	left->tensors++;
	left->bytes += t->bytes;
	s->tensors++;
	s->bytes += t->bytes;
	return 0;
}

static void name_sites(struct search *s)
{
	struct bmem_site_row rows[16];
	struct bmem_site_list list = {
		.size = sizeof(list), .row_size = sizeof(rows[0]),
		.rows = (uintptr_t)rows,
	};
	uint32_t i;
	size_t k;

	do {
		list.nr = 16;
		if (bmem_site_list(s->block->client, &list))
			return;
		for (i = 0; i < list.nr; i++)
			for (k = 0; k < s->nr; k++)
				if (s->left[k].site == rows[i].site)
					memcpy(s->left[k].label, rows[i].label,
					       sizeof(rows[i].label));
	} while (list.nr == 16);
}

/* The largest first, as many as are named. */
static void sort_named(struct search *s)
{
	struct left swap;
	size_t i, k, most;

	for (i = 0; i < s->nr && i < SITES_NAMED; i++) {
		most = i;
		for (k = i + 1; k < s->nr; k++)
			if (s->left[k].bytes > s->left[most].bytes)
				most = k;
		swap = s->left[i];
		s->left[i] = s->left[most];
		s->left[most] = swap;
	}
}

/* Appends; what has no room is cut off. */
__attribute__((format(printf, 3, 4)))
static void say(char **text, size_t *len, const char *format, ...)
{
	va_list ap;
	int n;

	if (!*len)
		return;
	va_start(ap, format);
	n = vsnprintf(*text, *len, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= *len)
		n = (int)*len - 1;
	*text += n;
	*len -= (size_t)n;
}

static void describe_left(const struct search *s, char *text, size_t len)
{
	const struct left *l = s->left;
	size_t i;

	if (len)
		*text = 0;
	if (!s->tensors)
		return;
	say(&text, &len, "%llu bytes in %llu tensors left behind:\n",
	    (unsigned long long)s->bytes, (unsigned long long)s->tensors);
	for (i = 0; i < s->nr && i < SITES_NAMED; i++)
		say(&text, &len, "    %llu bytes in %llu tensors from %.*s (site %u)\n",
		    (unsigned long long)l[i].bytes,
		    (unsigned long long)l[i].tensors, BMEM_LABEL_LEN,
		    l[i].label[0] ? l[i].label : "an unknown place", l[i].site);
	if (i < s->nr)
		say(&text, &len, "    and more from %zu other sites\n",
		    s->nr - i);
}

int64_t bmem_block_end(struct bmem_block *b, char *text, size_t len)
{
	struct search s = { .block = b };
	int ret = bmem_foreach(b->client, note_left, &s);

	if (!ret) {
		sort_named(&s);
		if (s.nr && len)
			name_sites(&s);
		describe_left(&s, text, len);
	}
	pages_put(s.left, s.room * sizeof(*s.left));
	block_put(b);
	return ret ? ret : (int64_t)s.tensors;
}
