/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What backing.c and share.c share: chunks, and the pages in them.
 */
#ifndef BMEM_BACKING_H
#define BMEM_BACKING_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "bmem_private.h"

/**
 * struct share - who has a huge page that is, or was, in several clients
 * @ref: the chunks that refer to it; goes after @lock is let go of, so that
 *	whoever finds himself the only owner does not free it under another
 * @lock: of who copies the page or lets go of it
 * @owners: clients that have it; all but the last go under @lock, after they
 *	have unmapped it and read from it what they want; only an owner makes
 *	others
 * @charges: chunks of all owners but one, each of which counts for a user; under
 *	charges_lock
 *
 * So an owner that finds itself the only one stays so, for as long as it does
 * not clone, and may write once nobody else has a pin.
 */
struct share {
	struct kref ref;
	/* Of who copies the page or lets go of it. */
	struct mutex lock;
	atomic_t owners;
	struct list_head charges;
};

/**
 * bmem_chunk_shared() - is a chunk's page in other clients, too?
 * @chunk: chunk, its client locked or its chunks' xa_lock held
 *
 * Return: whether it is; false stays.
 */
static inline bool bmem_chunk_shared(const struct bmem_chunk *chunk)
{
	return chunk->share && atomic_read_acquire(&chunk->share->owners) > 1;
}

/**
 * bmem_base_pages_list() - all base pages of a chunk, on their way out
 * @base: as in struct bmem_chunk
 * @gone: by page->lru; added to
 */
static inline void bmem_base_pages_list(struct page **base,
					struct list_head *gone)
{
	u32 i;

	for (i = 0; i < BMEM_HUGE_PAGES; i++)
		if (base[i])
			list_add_tail(&base[i]->lru, gone);
}

struct bmem_chunk *bmem_chunk_add(struct bmem_client *client, u32 index);
void bmem_chunk_remove(struct bmem_client *client, struct bmem_chunk *chunk);
void bmem_chunk_set_huge(struct bmem_client *client, struct bmem_chunk *chunk,
			 struct page *huge);
int bmem_chunk_fill(struct bmem_client *client, struct bmem_chunk *chunk);
int bmem_chunk_fill_base(struct bmem_client *client, struct bmem_chunk *chunk);
int bmem_attach_base(struct bmem_client *client, struct bmem_chunk *chunk,
		     u32 first, u32 n);
void bmem_chunk_unmap(struct bmem_client *client,
		      const struct bmem_chunk *chunk, u32 first, u32 n);
void bmem_count_attached(struct bmem_client *client, u32 pages, bool base);
unsigned long bmem_give_pages(struct bmem_client *client,
			      struct list_head *gone);
void bmem_page_settle(struct page *p);
bool bmem_page_idle(struct page *p, unsigned int *tries);

int bmem_chunk_unshare(struct bmem_client *client, struct bmem_chunk *chunk);
bool bmem_chunk_leave(struct bmem_client *client, struct bmem_chunk *chunk);
void bmem_chunk_settle(struct bmem_client *client, struct bmem_chunk *chunk);

#endif /* BMEM_BACKING_H */
