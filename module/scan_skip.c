// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the reachability scan leaves out: memory that holds addresses of
 * tensors, but no references to them, as a library's books do.
 *
 * It is the process's own word, for its own client and its own memory: whoever
 * leaves out too much accuses himself.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "scan.h"

/* Those of all processes that share a client. */
#define SKIPS_ALL	256

static bool gone(const struct scan_skip *skip)
{
	return !atomic_read(&skip->mm->mm_users);
}

static void skip_remove(struct scan_skips *sk, unsigned int i)
{
	mmdrop(sk->at[i].mm);
	sk->at[i] = sk->at[--sk->nr];
}

/* Of processes that have ended, or that have it already. */
static void skips_prune(struct scan_skips *sk, unsigned long start,
			unsigned long end)
{
	unsigned int i;

	for (i = sk->nr; i--;)
		if (gone(&sk->at[i]) ||
		    (sk->at[i].mm == current->mm && sk->at[i].start < end &&
		     sk->at[i].end > start))
			skip_remove(sk, i);
}

static unsigned int skips_own(const struct scan_skips *sk)
{
	unsigned int i, n = 0;

	for (i = 0; i < sk->nr; i++)
		n += sk->at[i].mm == current->mm;
	return n;
}

static int skip_add(struct bmem_client *client, unsigned long start,
		    unsigned long end)
{
	struct scan_skips *sk = &client->skips;

	lockdep_assert_held(&client->lock);
	if (!sk->at)
		sk->at = kcalloc(SKIPS_ALL, sizeof(*sk->at), GFP_BMEM_META);
	if (!sk->at)
		return -ENOMEM;
	skips_prune(sk, start, end);
	if (sk->nr == SKIPS_ALL || skips_own(sk) == BMEM_LEAK_SKIPS_MAX)
		return -ENOSPC;
	mmgrab(current->mm);
	sk->at[sk->nr].mm = current->mm;
	sk->at[sk->nr].start = start;
	sk->at[sk->nr++].end = end;
	return 0;
}

/**
 * bmem_leak_skip() - BMEM_LEAK_SKIP
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_leak_skip(struct bmem_client *client, struct bmem_leak_skip *cmd)
{
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (!cmd->bytes || !IS_ALIGNED(cmd->addr | cmd->bytes, sizeof(u64)) ||
	    cmd->addr >= TASK_SIZE_MAX ||
	    cmd->bytes > TASK_SIZE_MAX - cmd->addr)
		return -EINVAL;
	if (mutex_lock_killable(&client->lock))
		return -EINTR;
	rc = skip_add(client, cmd->addr, cmd->addr + cmd->bytes);
	mutex_unlock(&client->lock);
	return rc;
}

/**
 * bmem_leak_skips_release() - forget them all
 * @client: client that dies, locked
 */
void bmem_leak_skips_release(struct bmem_client *client)
{
	struct scan_skips *sk = &client->skips;

	while (sk->nr)
		skip_remove(sk, sk->nr - 1);
	kfree(sk->at);
	sk->at = NULL;
}

static int by_address(const void *a, const void *b)
{
	const struct scan_skip *x = a, *y = b;

	if (x->start == y->start)
		return 0;
	return x->start < y->start ? -1 : 1;
}

static void skips_take(struct scan *s, const struct scan_skips *sk,
		       const struct mm_struct *mm)
{
	unsigned int i;

	for (i = 0; i < sk->nr; i++)
		if (sk->at[i].mm == mm && s->nr_skips < BMEM_LEAK_SKIPS_MAX)
			s->skips[s->nr_skips++] = sk->at[i];
}

/**
 * bmem_scan_skips() - learn what a process wants left out
 * @s: scan; no lock is held
 * @mm: process
 *
 * Return: 0 or an errno of bmem_client_lock().
 */
int bmem_scan_skips(struct scan *s, struct mm_struct *mm)
{
	int rc = bmem_leak_lock(s->round);

	s->nr_skips = 0;
	if (rc)
		return rc;
	skips_take(s, &s->client->skips, mm);
	mutex_unlock(&s->client->lock);
	sort(s->skips, s->nr_skips, sizeof(*s->skips), by_address, NULL);
	return 0;
}
