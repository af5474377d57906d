/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What bmem-run tells its preload library, by environment variables, so that
 * the program's own children are told as well.
 */
#ifndef BMEM_RUN_H
#define BMEM_RUN_H

#define RUN_LIBRARY	"libbmem-run.so"

/* Size in bytes from which on blocks are bmem's; the library sleeps without. */
#define RUN_THRESHOLD	"BMEM_RUN_THRESHOLD"
/* Label of each process's client. */
#define RUN_LABEL	"BMEM_RUN_LABEL"
/* Number of the pool. */
#define RUN_POOL	"BMEM_RUN_POOL"
/* "exit", "off", or an absolute path. */
#define RUN_REPORT	"BMEM_RUN_REPORT"
/* What becomes of a request when the pool is full: "libc" or "fail". */
#define RUN_FULL	"BMEM_RUN_FULL"
/* Process id of the program that bmem-run became. */
#define RUN_PID		"BMEM_RUN_PID"
/* Room for the number of the table that tree.c has: digits, once it is there. */
#define RUN_TREE	"BMEM_RUN_TREE"
#define RUN_TREE_NONE	"----------"
#define RUN_TREE_LEN	(sizeof(RUN_TREE_NONE) - 1)

#endif /* BMEM_RUN_H */
