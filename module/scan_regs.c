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
#include <linux/sched/coredump.h>
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

/**
 * struct threads - those of a process
 * @nr: entries in @at
 * @max: room
 * @at: with a reference
 */
struct threads {
	unsigned int nr;
	unsigned int max;
	struct task_struct *at[];
};

static bool has_mm(struct task_struct *task, const struct mm_struct *mm)
{
	/* Compared only. */
	return READ_ONCE(task->mm) == mm && !(task->flags & PF_KTHREAD);
}

static bool same_user(struct task_struct *task)
{
	const struct cred *cred = __task_cred(task), *own = current_cred();

	return uid_eq(own->fsuid, cred->uid) && uid_eq(own->fsuid, cred->euid) &&
	       uid_eq(own->fsuid, cred->suid) && gid_eq(own->fsgid, cred->gid) &&
	       gid_eq(own->fsgid, cred->egid) &&
	       gid_eq(own->fsgid, cred->sgid) && own->user_ns == cred->user_ns;
}

/**
 * bmem_scan_allowed() - may the caller have a process scanned?
 * @mm: process, with a reference by mmgrab()
 *
 * Return: true to the kernel's own worker, to whoever may trace all, and to the
 * user whose process it is, as with ptrace(2).
 */
bool bmem_scan_allowed(struct mm_struct *mm)
{
	struct task_struct *p, *t;
	bool allowed = true;

	if (current->flags & PF_KTHREAD || mm == current->mm ||
	    capable(CAP_SYS_PTRACE))
		return true;
	if (get_dumpable(mm) != SUID_DUMP_USER)
		return false;
	rcu_read_lock();
	for_each_process(p) {
		for_each_thread(p, t)
			if (has_mm(t, mm) && !same_user(t))
				allowed = false;
	}
	rcu_read_unlock();
	return allowed;
}

/* ---- which threads ----------------------------------------------------------------- */

static unsigned int threads_find(struct mm_struct *mm, struct threads *th)
{
	struct task_struct *p, *t;
	unsigned int nr = 0;

	rcu_read_lock();
	for_each_process(p) {
		for_each_thread(p, t) {
			if (!has_mm(t, mm))
				continue;
			if (th && th->nr < th->max)
				th->at[th->nr++] = get_task_struct(t);
			nr++;
		}
	}
	rcu_read_unlock();
	return nr;
}

static void threads_put(struct threads *th)
{
	while (th->nr)
		put_task_struct(th->at[--th->nr]);
	kvfree(th);
}

/* NULL without memory. */
static struct threads *threads_get(struct mm_struct *mm)
{
	unsigned int max = threads_find(mm, NULL), nr;
	struct threads *th;

	for (;;) {
		/* More may come before they are counted again. */
		max += max / 4 + 8;
		th = kvzalloc(struct_size(th, at, max),
			      GFP_KERNEL | __GFP_NOWARN);
		if (!th)
			return NULL;
		th->max = max;
		nr = threads_find(mm, th);
		if (nr <= max)
			return th;
		threads_put(th);
		max = nr;
	}
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

/**
 * bmem_scan_registers() - read the registers of a process's threads
 * @s: scan
 * @mm: process, with a reference by mmgrab()
 * @start: in, the lowest address of the main thread's stack; out, the lowest
 *	that is in use, where that can be told
 * @end: the stack's end
 *
 * Return: 0; -ENOMEM, or an errno of bmem_client_lock().
 */
int bmem_scan_registers(struct scan *s, struct mm_struct *mm,
			unsigned long *start, unsigned long end)
{
	struct threads *th = threads_get(mm);
	unsigned long low = end, sp;
	bool any = false, running;
	struct thread_regs tr;
	unsigned int i;

	if (!th)
		return -ENOMEM;
	/* They have ended, and their registers are gone before their memory. */
	if (!th->nr)
		s->cut = true;
	for (i = 0; i < th->nr; i++) {
		tr.task = th->at[i];
		if (!regs_get(&tr, &running)) {
			s->cut = true;
			break;
		}
		any |= running;
		bmem_scan_words(s, &tr.regs, sizeof(tr.regs));
		sp = user_stack_pointer(&tr.regs);
		if (sp >= *start && sp < end)
			low = min(low, sp);
	}
	threads_put(th);
	/* One that runs uses more or less of it at any time. */
	if (!any && !s->cut && low < end)
		*start = max(*start, (low - RED_ZONE) & ~(sizeof(u64) - 1));
	return bmem_scan_settle(s);
}
