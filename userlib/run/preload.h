/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the files of libbmem-run.so share.
 *
 * The library stands in front of the C library's malloc() from the first call
 * in a process to the last, which are before any constructor and behind all
 * destructors.  So nothing here has to be set up before it works, nothing is
 * torn down, and nothing here allocates.
 *
 * What libbmem does may itself allocate (a thread's stack is looked up in
 * /proc/self/maps, say), and a signal may interrupt it.  Each thread counts how
 * deep in it is: what is asked for in there is the C library's.
 *
 * No locks but libbmem's.
 */
#ifndef BMEM_PRELOAD_H
#define BMEM_PRELOAD_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <bmem.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* Blocks that wait to be given back; more than that stay with the program. */
#define LATER_MAX	64

/**
 * struct thread - what a thread has to know
 * @inside: how many calls deep it is in libbmem
 * @asked: it has asked for a block of the threshold's size in there
 * @nr_later: how many blocks were freed meanwhile
 * @later: these; not kept in their own memory, of which a child may have a copy
 *	from before
 * @left: bytes that it may still allocate before the next look at the peak
 */
struct thread {
	unsigned int inside;
	bool asked;
	unsigned int nr_later;
	void *later[LATER_MAX];
	int64_t left;
};

/**
 * struct run - the process's state
 * @client: once it is open; never closed
 * @base: where its space begins
 * @len: its length; 0 until @base is known
 * @threshold: size from which on blocks are bmem's; 0 until it is known
 * @full_fails: with no room in the pool, fail
 * @verbose: say more
 * @main: this is the program that bmem-run was given
 * @pid: the process that read this; another one is a child of fork()
 * @state: of @client, see client.c
 * @missed: requests that went to libc because there was no room
 * @missed_bytes: their sizes
 * @refused: requests that failed because there was no room
 * @lost: libbmem could not be used any more
 * @off: why it is not used at all, or NULL
 */
struct run {
	_Atomic(struct bmem_client *) client;
	_Atomic uintptr_t base;
	_Atomic size_t len;
	_Atomic size_t threshold;
	bool full_fails;
	bool verbose;
	bool main;
	pid_t pid;
	_Atomic int state;
	_Atomic uint64_t missed;
	_Atomic uint64_t missed_bytes;
	_Atomic uint64_t refused;
	_Atomic bool lost;
	_Atomic(const char *) off;
};

/**
 * struct next - the malloc() behind this one, looked up when first called
 */
struct next {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t nr, size_t size);
	void *(*realloc)(void *ptr, size_t size);
	void (*free)(void *ptr);
	int (*posix_memalign)(void **ptr, size_t align, size_t size);
	void *(*aligned_alloc)(size_t align, size_t size);
	void *(*memalign)(size_t align, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	size_t (*malloc_usable_size)(void *ptr);
};

#pragma GCC visibility push(hidden)
extern struct run run;
extern __thread struct thread self __attribute__((tls_model("initial-exec")));

/* client.c */
struct bmem_client *client_open(void);
bool client_wants(size_t size);
bool client_failed(size_t size, int err);
void client_misuse(const char *function, const void *ptr, int err);

/* next.c */
extern struct next next;
bool next_is_early(const void *ptr);
void *early_alloc(size_t size, size_t align);
size_t early_size(const void *ptr);

/* malloc.c */
void *new_here(size_t size, size_t align, const void *ret);
bool malloc_is_here(void);

/* report.c */
void report_set_up(const char *where);
void report_look(void);

/* space.c */
void space_set_up(void);

/* say.c */
/**
 * struct text - what is put together before it is written
 * @at: where
 * @room: how much there may be
 * @len: how much there is
 */
struct text {
	char *at;
	size_t room;
	size_t len;
};

/* An empty one of up to @bytes. */
#define TEXT(name, bytes)						\
	char name##_at[bytes];						\
	struct text name = { .at = name##_at, .room = sizeof(name##_at) }

__attribute__((format(printf, 2, 3)))
void text_add(struct text *t, const char *format, ...);
void text_size(struct text *t, uint64_t bytes);
void text_write(const struct text *t, int fd);
void text_say(const struct text *t);
__attribute__((format(printf, 1, 2)))
void say(const char *format, ...);
void say_set_up(void);

/* tree.c */
void tree_set_up(uint64_t owner);
void tree_note(const struct bmem_client_stats *st);
void tree_end(const struct bmem_client_stats *st);
bool tree_others(void);
void tree_add(struct text *t);
#pragma GCC visibility pop

/* The client, opened now if need be, or NULL; the caller is inside. */
static inline struct bmem_client *client_get(void)
{
	struct bmem_client *c = atomic_load_explicit(&run.client,
						     memory_order_acquire);

	return likely(c) ? c : client_open();
}

static inline bool owned(const void *ptr)
{
	size_t len = atomic_load_explicit(&run.len, memory_order_acquire);

	return (uintptr_t)ptr - atomic_load_explicit(&run.base,
						     memory_order_relaxed) < len;
}

#endif /* BMEM_PRELOAD_H */
