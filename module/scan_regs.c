// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reachability scan's look at threads: whose they are, and what is in
 * their registers.
 *
 * A thread that is on no CPU is in the kernel, and what it had in its registers
 * as it came in is at the top of its kernel stack.  One that is on a CPU is
 * interrupted to tell.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/ptrace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/irq_regs.h>

#include "scan.h"

/* So often is a thread that goes from CPU to CPU run after. */
#define CHASE_TRIES	16

/* Below the stack pointer, code may have something yet. */
#define RED_ZONE	128

/* Processes that are looked at in one RCU section. */
#define SLICE_GROUPS	1024

/* So often is the walk over all processes begun again. */
#define WALK_TRIES	16

/* Room for threads, to begin with. */
#define THREADS_FIRST	64

/* Threads that are read between two looks at the time. */
#define SLICE_THREADS	64

/**
 * struct threads - those of a process
 * @nr: entries in @at
 * @found: how many there are
 * @max: room
 * @at: with a reference
 */
struct threads {
	unsigned int nr;
	unsigned int found;
	unsigned int max;
	struct task_struct *at[];
};

static bool same_user(struct task_struct *task)
{
	const struct cred *cred = __task_cred(task), *own = current_cred();

	return uid_eq(own->fsuid, cred->uid) && uid_eq(own->fsuid, cred->euid) &&
	       uid_eq(own->fsuid, cred->suid) && gid_eq(own->fsgid, cred->gid) &&
	       gid_eq(own->fsgid, cred->egid) &&
	       gid_eq(own->fsgid, cred->sgid) && own->user_ns == cred->user_ns;
}

/*
 * May the caller have a process read?  The kernel's own worker may, whoever may
 * trace all, and the user whose process it is, as with ptrace(2).
 */
static bool allowed(struct mm_struct *mm, const struct threads *th)
{
	unsigned int i;
	bool own = true;

	if (current->flags & PF_KTHREAD || mm == current->mm ||
	    capable(CAP_SYS_PTRACE))
		return true;
	rcu_read_lock();
	for (i = 0; own && i < th->nr; i++)
		own = same_user(th->at[i]) && bmem_task_open(th->at[i], mm);
	rcu_read_unlock();
	return own;
}

/* ---- which threads ----------------------------------------------------------------- */

/*
 * A group's threads share their memory; one that has ended has none any more,
 * be it the leader.  Compared only.
 */
static bool group_has(struct task_struct *leader, const struct mm_struct *mm)
{
	const struct mm_struct *its;
	struct task_struct *t;

	if (leader->flags & PF_KTHREAD)
		return false;
	for_each_thread(leader, t) {
		its = READ_ONCE(t->mm);
		if (its)
			return its == mm;
	}
	return false;
}

/* Counts those for which there is no room, too. */
static void group_take(struct task_struct *leader, const struct mm_struct *mm,
		       struct threads *th)
{
	struct task_struct *t;

	for_each_thread(leader, t) {
		if (READ_ONCE(t->mm) != mm)
			continue;
		if (th->found < th->max)
			th->at[th->nr++] = get_task_struct(t);
		th->found++;
	}
}

/*
 * Leaves the RCU section for a moment.  Returns 0; -EAGAIN when the process has
 * left the list meanwhile, so that nothing comes behind it; or an errno of
 * bmem_scan_breathe().
 */
static int walk_pause(struct scan *s, struct task_struct *leader)
{
	int rc;

	get_task_struct(leader);
	rcu_read_unlock();
	rc = bmem_scan_breathe(s);
	rcu_read_lock();
	if (!rc && !(pid_alive(leader) && thread_group_leader(leader)))
		rc = -EAGAIN;
	put_task_struct(leader);
	return rc;
}

static int threads_find(struct scan *s, const struct mm_struct *mm,
			struct threads *th)
{
	struct task_struct *leader;
	unsigned int n = 0;
	int rc = 0;

	rcu_read_lock();
	for_each_process(leader) {
		if (group_has(leader, mm))
			group_take(leader, mm, th);
		if (++n % SLICE_GROUPS)
			continue;
		rc = walk_pause(s, leader);
		if (rc)
			break;
	}
	rcu_read_unlock();
	return rc;
}

static void threads_put(struct threads *th)
{
	while (th->nr)
		put_task_struct(th->at[--th->nr]);
	kvfree(th);
}

/*
 * All threads that have a process's memory.  Where processes come and go too
 * fast to be walked over the scan is cut short, and *@out left alone.  Returns 0,
 * -ENOMEM, or an errno of bmem_scan_breathe().
 */
static int threads_get(struct scan *s, const struct mm_struct *mm,
		       struct threads **out)
{
	unsigned int max = THREADS_FIRST, tries;
	struct threads *th;
	int rc;

	for (tries = 0; tries < WALK_TRIES; tries++) {
		th = kvzalloc(struct_size(th, at, max), GFP_BMEM_META);
		if (!th)
			return -ENOMEM;
		th->max = max;
		rc = threads_find(s, mm, th);
		if (!rc && th->found <= max) {
			*out = th;
			return 0;
		}
		/* More may come before they are counted again. */
		max = max(max, th->found + th->found / 4);
		threads_put(th);
		if (rc && rc != -EAGAIN)
			return rc;
	}
	s->cut = true;
	return 0;
}

/* ---- what is in their registers -------------------------------------------------------- */

/**
 * struct thread_regs - the registers of a thread
 * @task: thread
 * @found: it is there, on this CPU
 * @regs: out
 */
struct thread_regs {
	struct task_struct *task;
	bool found;
	struct pt_regs regs;
};

static void on_its_cpu(void *arg)
{
	struct pt_regs *regs = get_irq_regs();
	struct thread_regs *tr = arg;

	if (current != tr->task)
		return;
	if (!regs || !user_mode(regs))
		regs = task_pt_regs(current);
	tr->regs = *regs;
	tr->found = true;
}

/*
 * The stack of a thread that ends may be another's by the time it is read, but
 * it is there until the grace period is over.
 */
static bool off_its_cpu(struct thread_regs *tr)
{
	const void *stack;
	bool ok = true;

	rcu_read_lock();
	stack = READ_ONCE(tr->task->stack);
	if (stack)
		ok = !copy_from_kernel_nofault(&tr->regs,
					       task_pt_regs(tr->task),
					       sizeof(tr->regs));
	else
		memset(&tr->regs, 0, sizeof(tr->regs));
	rcu_read_unlock();
	return ok;
}

/* False when they cannot be had. */
static bool regs_get(struct thread_regs *tr, bool *running)
{
	unsigned int tries;

	for (tries = 0; tries < CHASE_TRIES; tries++) {
		tr->found = false;
		*running = tr->task != current && bmem_task_running(tr->task);
		if (!*running)
			return off_its_cpu(tr);
		if (!smp_call_function_single(task_cpu(tr->task), on_its_cpu,
					      tr, 1) && tr->found)
			return true;
	}
	return false;
}

/* What one thread tells; its stack pointer lowers *@low.  False for nothing. */
static bool read_thread(struct scan *s, struct task_struct *task,
			unsigned long start, unsigned long *low, bool *any)
{
	struct thread_regs tr = { .task = task };
	unsigned long sp;
	bool running;

	if (!regs_get(&tr, &running))
		return false;
	*any |= running;
	bmem_scan_words(s, &tr.regs, sizeof(tr.regs));
	sp = user_stack_pointer(&tr.regs);
	if (sp >= start && sp < *low)
		*low = sp;
	return true;
}

static int read_threads(struct scan *s, const struct threads *th,
			unsigned long start, unsigned long *low, bool *any)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < th->nr; i++) {
		if (!read_thread(s, th->at[i], start, low, any)) {
			s->cut = true;
			break;
		}
		if (i % SLICE_THREADS == SLICE_THREADS - 1)
			rc = bmem_scan_breathe(s);
	}
	return rc;
}

/**
 * bmem_scan_registers() - read the registers of a process's threads
 * @s: scan
 * @mm: process, with a reference by mmgrab()
 * @start: in, the lowest address of the main thread's stack; out, the lowest
 *	that is in use, where that can be told
 * @end: the stack's end
 *
 * Where the caller may not have the process read the scan is cut short.
 *
 * Return: 0; -ENOMEM, or an errno of bmem_client_lock() or bmem_scan_breathe().
 */
int bmem_scan_registers(struct scan *s, struct mm_struct *mm,
			unsigned long *start, unsigned long end)
{
	struct threads *th = NULL;
	unsigned long low = end;
	bool any = false;
	int rc = threads_get(s, mm, &th);

	if (rc || !th)
		return rc;
	/* They have ended, and their registers are gone before their memory. */
	if (!th->nr || !allowed(mm, th))
		s->cut = true;
	if (!s->cut)
		rc = read_threads(s, th, *start, &low, &any);
	threads_put(th);
	/* One that runs uses more or less of it at any time. */
	if (!any && !s->cut && low < end)
		*start = max(*start, (low - RED_ZONE) & ~(sizeof(u64) - 1));
	return rc ?: bmem_scan_settle(s);
}
