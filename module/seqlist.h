/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of debugfs that list something of all clients: what a reader of one has
 * to know, and how it goes on.
 *
 * No lock is held from one batch to the next: a reader remembers ids, so that
 * clients may come and go.
 */
#ifndef BMEM_SEQLIST_H
#define BMEM_SEQLIST_H

#include <linux/seq_file.h>
#include <linux/types.h>

struct bmem_client;

/**
 * struct seqlist - where a reader is; the first member of a list's own struct
 * @pos: number of the entry that it is at, 1 for the first
 * @client: id of the client that the batch is of
 * @last: id of the last client
 * @tries: patience that is left, for bmem_client_lock()
 * @at: entry of the batch
 * @nr: entries in the batch
 * @end: behind the last entry
 * @over: behind the line of totals, too
 */
struct seqlist {
	loff_t pos;
	u64 client;
	u64 last;
	unsigned int tries;
	u32 at;
	u32 nr;
	bool end;
	bool over;
};

/**
 * struct seqlist_type - a list
 * @size: of its own struct
 * @totals: one more entry follows the last, with @end set
 * @fill: put the next batch of a client, which is not locked, into the own
 *	struct, and its length into @nr, which is 0; @begin for its first one
 */
struct seqlist_type {
	size_t size;
	bool totals;
	void (*fill)(struct seqlist *list, struct bmem_client *client,
		     bool begin);
};

void *seqlist_start(struct seq_file *m, loff_t *pos,
		    const struct seqlist_type *type);
void *seqlist_next(struct seq_file *m, loff_t *pos,
		   const struct seqlist_type *type);
void seqlist_stop(struct seq_file *m, void *v);

/* Defines NAME_sops and NAME_fops, of a NAME_type and a NAME_show(). */
#define DEFINE_SEQLIST(name, ...)					\
static void *name##_start(struct seq_file *m, loff_t *pos)		\
{									\
	return seqlist_start(m, pos, &name##_type);			\
}									\
									\
static void *name##_next(struct seq_file *m, void *v, loff_t *pos)	\
{									\
	return seqlist_next(m, pos, &name##_type);			\
}									\
									\
static const struct seq_operations name##_sops = {			\
	.start = name##_start,						\
	.next = name##_next,						\
	.stop = seqlist_stop,						\
	.show = name##_show,						\
};									\
									\
static int name##_open(struct inode *inode, struct file *file)		\
{									\
	return seq_open_private(file, &name##_sops, name##_type.size);	\
}									\
									\
static const struct file_operations name##_fops = {			\
	.owner = THIS_MODULE,						\
	.open = name##_open,						\
	.read = seq_read,						\
	.llseek = seq_lseek,						\
	.release = seq_release_private,					\
	__VA_ARGS__							\
}

#endif /* BMEM_SEQLIST_H */
