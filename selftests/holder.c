// SPDX-License-Identifier: GPL-2.0-only
/*
 * usage: holder LABEL NAME
 *
 * Holds three tensors by libbmem until it is killed: one of 5000 bytes, two of
 * 3 MiB and 7 bytes.  Says the id of its client, and the lines that allocated
 * them, when they are there.  NAME becomes the name of its process.
 *
 * With HOLDER_LEAK=N in the environment it loses N tensors besides, of %SITES call
 * sites, in a step of training; the same step of an evaluation loses none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <bmem.h>

static int small_line, large_line;

__attribute__((noinline)) static void *holder_small(struct bmem_client *c)
{
	void *p;

	small_line = __LINE__ + 1;
	p = bmem_alloc(c, 5000, 0, 0, "small");
	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline)) static void *holder_large(struct bmem_client *c)
{
	void *p;

	large_line = __LINE__ + 1;
	p = bmem_alloc(c, (3 << 20) + 7, 0, 0, "large");
	__asm__ volatile("" ::: "memory");
	return p;
}

#define SITES	500

static void **kept;
static size_t nr_kept;

/* What a word leads to is not lost to a scan. */
static void *keep(void *p)
{
	void **more = realloc(kept, (nr_kept + 1) * sizeof(*kept));

	if (!p || !more)
		return NULL;
	kept = more;
	kept[nr_kept++] = p;
	return p;
}

/*
 * A tensor that was held, and is no more, though nobody frees it, is lost; and
 * no word leads to it, so that two detectors find it.
 */
__attribute__((noinline)) static int holder_step(struct bmem_client *c,
						 const char *label, int lose)
{
	void *p = bmem_alloc(c, 64, 0, 0, label);
	int ret = p && (lose || keep(p)) ? bmem_link(c, NULL, p) : -1;

	if (!ret && lose)
		ret = bmem_unlink(c, NULL, p);
	__asm__ volatile("" ::: "memory");
	return ret;
}

__attribute__((noinline)) static int holder_train(struct bmem_client *c, int nr)
{
	char label[32];
	int i, ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		snprintf(label, sizeof(label), "site-%d", i % SITES);
		ret = holder_step(c, label, 1);
	}
	__asm__ volatile("" ::: "memory");
	return ret;
}

__attribute__((noinline)) static int holder_eval(struct bmem_client *c)
{
	int ret = holder_step(c, "evaluation", 0);

	__asm__ volatile("" ::: "memory");
	return ret;
}

int main(int argc, char **argv)
{
	struct bmem_options o = { .sz = sizeof(o), .backend = BMEM_BACKEND_DEV };
	struct bmem_query q = { .size = sizeof(q) };
	struct bmem_client *c;
	int ret;

	if (argc < 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, 9);
	prctl(PR_SET_NAME, argv[2]);
	o.label = argv[1];
	ret = bmem_open(&c, &o);
	if (!ret)
		ret = bmem_query(c, &q);
	if (ret) {
		fprintf(stderr, "holder: %s\n", bmem_strerror(ret));
		return 1;
	}
	if (!keep(holder_small(c)) || !keep(holder_large(c)) ||
	    !keep(holder_large(c)))
		return 1;
	if (getenv("HOLDER_LEAK") &&
	    (holder_train(c, atoi(getenv("HOLDER_LEAK"))) || holder_eval(c)))
		return 1;
	printf("%llu %d %d\n", (unsigned long long)q.client_id, small_line,
	       large_line);
	fflush(stdout);
	for (;;)
		pause();
}
