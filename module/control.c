// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells a process without being asked: the time, coarsely,
 * how much to record, and that idle slots are wanted back.
 *
 * The clock is one page for all.  It is kept while somebody maps it.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/workqueue.h>

#include "bmem_private.h"
#include "event.h"

#define TICK_NS		(BMEM_TICK_MS * NSEC_PER_MSEC)

/* The highest level of any client. */
u32 bmem_level = BMEM_LEVEL_FULL;

static struct page *clock_page;
static u64 clock_start;
/* Who sets the clock sets it to now: it never goes back. */
static DEFINE_SPINLOCK(clock_lock);
static atomic_t clock_readers = ATOMIC_INIT(0);
static struct workqueue_struct *clock_wq;

static void clock_run(struct work_struct *work);
static DECLARE_DELAYED_WORK(clock_work, clock_run);

/* Wraps after 497 days, as what is compared with it does. */
static u32 clock_now(void)
{
	return (u32)div_u64(ktime_get_boottime_ns() - clock_start, TICK_NS);
}

/* Returns what it is set to. */
static u32 clock_set(void)
{
	struct bmem_clock *clock = page_address(clock_page);
	u32 ticks;

	spin_lock(&clock_lock);
	ticks = clock_now();
	WRITE_ONCE(clock->ticks, ticks);
	spin_unlock(&clock_lock);
	return ticks;
}

static void clock_run(struct work_struct *work)
{
	clock_set();
	if (atomic_read(&clock_readers))
		queue_delayed_work(clock_wq, &clock_work,
				   msecs_to_jiffies(BMEM_TICK_MS));
}

/**
 * bmem_clock_open() - somebody maps the clock
 */
void bmem_clock_open(void)
{
	if (atomic_inc_return(&clock_readers) != 1)
		return;
	/* Nobody is to see the time at which the last reader left. */
	clock_set();
	mod_delayed_work(clock_wq, &clock_work, 0);
}

/**
 * bmem_clock_close() - a mapping of the clock is gone
 */
void bmem_clock_close(void)
{
	atomic_dec(&clock_readers);
}

static struct bmem_control *control_of(struct bmem_client *client)
{
	return page_address(client->control);
}

/**
 * bmem_client_ticks() - the time in a client's ledger
 * @client: client
 *
 * Return: ticks of %BMEM_TICK_MS since it was opened.
 */
u32 bmem_client_ticks(struct bmem_client *client)
{
	return clock_now() - control_of(client)->epoch;
}

/**
 * bmem_control_level() - how much a client records now
 * @client: client
 *
 * Return: enum bmem_level.
 */
u32 bmem_control_level(struct bmem_client *client)
{
	return min(READ_ONCE(client->level), READ_ONCE(bmem_level));
}

/**
 * bmem_control_update() - let a client know its level
 * @client: client
 */
void bmem_control_update(struct bmem_client *client)
{
	u32 level;

	do {
		level = bmem_control_level(client);
		WRITE_ONCE(control_of(client)->level, level);
		/*
		 * Another update may have begun after this one and be through:
		 * see what it saw.  Pairs with itself.
		 */
		smp_mb();
	} while (level != bmem_control_level(client));
}

/**
 * bmem_control_recall() - ask a client for its idle slots
 * @client: client
 */
void bmem_control_recall(struct bmem_client *client)
{
	struct bmem_control *control = control_of(client);
	struct bmem_event_note note = {
		.type = BMEM_EVENT_RECALL,
		.pool = READ_ONCE(client->reader.pool),
		.client = client->who.id,
		.uid = client->who.uid,
	};

	/* Two at once may count as one: both are answered by one flush. */
	WRITE_ONCE(control->recall, READ_ONCE(control->recall) + 1);
	bmem_event_raise(&note);
}

/**
 * bmem_control_init() - a control page for a client that is being opened
 * @client: client
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_control_init(struct bmem_client *client)
{
	client->level = BMEM_LEVEL_STANDARD;
	client->control = alloc_page(GFP_BMEM_META | __GFP_ZERO);
	if (!client->control)
		return -ENOMEM;
	/*
	 * The page may be late, by more than a tick on a busy machine: a tensor
	 * would be of a time before the client's, which nobody believes.
	 */
	control_of(client)->epoch = clock_set();
	bmem_control_update(client);
	return 0;
}

/**
 * bmem_control_clone() - a clone's time and level go on as its origin's are
 * @to: clone, locked
 * @from: client, locked
 */
void bmem_control_clone(struct bmem_client *to, struct bmem_client *from)
{
	WRITE_ONCE(control_of(to)->epoch, control_of(from)->epoch);
	WRITE_ONCE(control_of(to)->recall, READ_ONCE(control_of(from)->recall));
	WRITE_ONCE(to->level, from->level);
	bmem_control_update(to);
}

/**
 * bmem_control_destroy() - the client is gone
 * @client: client
 */
void bmem_control_destroy(struct bmem_client *client)
{
	put_page(client->control);
}

/**
 * bmem_control_fault() - map a page of the control window
 * @client: client
 * @vmf: fault
 *
 * Return: VM_FAULT_SIGBUS beyond the two pages; else 0 with the page.
 */
vm_fault_t bmem_control_fault(struct bmem_client *client, struct vm_fault *vmf)
{
	unsigned long index = vmf->pgoff - (BMEM_CONTROL_OFFSET >> PAGE_SHIFT);

	if (index > 1 || page_ref_count(clock_page) > INT_MAX / 2)
		return VM_FAULT_SIGBUS;
	/* Both are there for as long as anybody can map them. */
	vmf->page = index ? client->control : clock_page;
	get_page(vmf->page);
	return 0;
}

int bmem_control_start(void)
{
	clock_wq = alloc_workqueue("bmem_clock", WQ_UNBOUND, 1);
	if (!clock_wq)
		return -ENOMEM;
	clock_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	clock_start = ktime_get_boottime_ns();
	if (!clock_page)
		destroy_workqueue(clock_wq);
	return clock_page ? 0 : -ENOMEM;
}

void bmem_control_stop(void)
{
	cancel_delayed_work_sync(&clock_work);
	destroy_workqueue(clock_wq);
	put_page(clock_page);
}
