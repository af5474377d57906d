/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recorded allocations of real programs; traces/README.md has the format.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/**
 * struct trace_event - an allocation or a free
 * @bytes: size of what is allocated, 0 for a free
 * @id: which block
 * @site: hash of the call stack that allocated
 * @align: what it has to be aligned to
 */
struct trace_event {
	__u64 bytes;
	__u32 id;
	__u32 site;
	__u32 align;
};

/**
 * struct trace - a recording
 * @name: its file's name without folder and suffixes
 * @events: allocations and frees in order
 * @nr: number of events
 * @ids: number of blocks
 * @peak_bytes: most bytes live at a time
 * @peak_at: number of events up to that moment
 */
struct trace {
	char name[64];
	struct trace_event *events;
	size_t nr;
	size_t ids;
	__u64 peak_bytes;
	size_t peak_at;
};

/* 0, or -errno; -EILSEQ for a file that is no trace. */
int trace_load(struct trace *t, const char *path);
void trace_unload(struct trace *t);

#endif /* TRACE_H */
