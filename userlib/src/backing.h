/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The memory under the fallback's arena.
 */
#ifndef BMEM_BACKING_H
#define BMEM_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct backing - a sparse range of memory, filled by the 2 MiB chunk
 * @base: where it is mapped
 * @len: its length
 * @fd: memfd, or -1 where there are none (anonymous memory)
 * @huge: made of huge pages
 * @plain: times that ordinary pages are not made huge ones; UINT32_MAX for ever
 * @private: a child of fork() gets a copy
 */
struct backing {
	char *base;
	size_t len;
	int fd;
	bool huge;
	uint32_t plain;
	bool private;
};

int backing_open(struct backing *bk, size_t len, bool private);
void backing_close(struct backing *bk);
int backing_attach(struct backing *bk, uint32_t chunk, uint32_t nr);
int backing_detach(struct backing *bk, uint32_t chunk, uint32_t nr);

#endif /* BMEM_BACKING_H */
