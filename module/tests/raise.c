// SPDX-License-Identifier: GPL-2.0-only
/*
 * bmem_raise.ko: raises events in bmem.ko and keeps clients busy, for tests of
 * what reacts to events that nothing else can be made to raise at will.
 *
 * Who loads it has the device open, so that bmem.ko stays.
 */
#include <linux/completion.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include "../bmem_private.h"
#include "../event.h"

static void (*event_raise)(const struct bmem_event_note *note);
static struct bmem_client *(*client_get)(u64 id);
static void (*client_put)(struct bmem_client *client);

static struct task_struct *holder;
static DECLARE_COMPLETION(held);

/* ---- events ------------------------------------------------------------------- */

static int event_set(const char *val, const struct kernel_param *kp)
{
	struct bmem_event_note note = {};

	if (sscanf(val, "%u %u %llu %u", &note.type, &note.pool, &note.client,
		   &note.level) != 4)
		return -EINVAL;
	if (!note.type || note.type >= BMEM_EVENT_TYPES || !event_raise)
		return -EINVAL;
	note.uid = GLOBAL_ROOT_UID;
	event_raise(&note);
	return 0;
}

static const struct kernel_param_ops event_ops = { .set = event_set };
module_param_cb(event, &event_ops, NULL, 0200);
MODULE_PARM_DESC(event, "raise one: TYPE POOL CLIENT LEVEL");

/* ---- a busy client -------------------------------------------------------------- */

/* A task of its own: none leaves the kernel with a lock. */
static int hold(void *arg)
{
	struct bmem_client *client = arg;

	mutex_lock(&client->lock);
	complete(&held);
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	mutex_unlock(&client->lock);
	client_put(client);
	return 0;
}

static void let_go(void)
{
	if (holder)
		kthread_stop(holder);
	holder = NULL;
}

static int hold_set(const char *val, const struct kernel_param *kp)
{
	struct bmem_client *client;
	struct task_struct *task;
	u64 id;
	int rc = kstrtou64(val, 0, &id);

	if (rc)
		return rc;
	let_go();
	if (!id)
		return 0;
	client = client_get ? client_get(id) : NULL;
	if (!client)
		return -ENOENT;
	reinit_completion(&held);
	task = kthread_run(hold, client, "bmem_hold");
	if (IS_ERR(task)) {
		client_put(client);
		return PTR_ERR(task);
	}
	holder = task;
	wait_for_completion(&held);
	return 0;
}

static const struct kernel_param_ops hold_ops = { .set = hold_set };
module_param_cb(hold, &hold_ops, NULL, 0200);
MODULE_PARM_DESC(hold, "keep a client locked, by its id; 0 to let go of it");

/* ---- the module ------------------------------------------------------------------- */

/* bmem.ko exports nothing; where its functions are, a probe knows. */
static void *find(const char *name)
{
	struct kprobe probe = { .symbol_name = name };

	if (register_kprobe(&probe))
		return NULL;
	unregister_kprobe(&probe);
	return probe.addr;
}

static int __init raise_init(void)
{
	client_get = find("bmem_client_get");
	client_put = find("bmem_client_put");
	event_raise = find("bmem_event_raise");
	return client_get && client_put && event_raise ? 0 : -ENOENT;
}

static void __exit raise_exit(void)
{
	let_go();
}

module_init(raise_init);
module_exit(raise_exit);
MODULE_DESCRIPTION("Raises events of bmem and keeps clients busy, for tests");
MODULE_LICENSE("GPL");
