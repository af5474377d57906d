// SPDX-License-Identifier: GPL-2.0-only
/*
 * bmem_raise.ko: loading it raises one event in bmem.ko, for tests of what
 * reacts to events that nothing else can be made to raise at will.
 *
 * Who loads it has the device open, so that bmem.ko stays.
 */
#include <linux/kprobes.h>
#include <linux/module.h>

#include "../event.h"

static unsigned int type;
module_param(type, uint, 0444);
MODULE_PARM_DESC(type, "enum bmem_event_type");

static unsigned int pool = BMEM_EVENT_NO_POOL;
module_param(pool, uint, 0444);
MODULE_PARM_DESC(pool, "id of the pool that it is about (default none)");

/* bmem.ko exports nothing; where its functions are, a probe knows. */
static struct kprobe probe = { .symbol_name = "bmem_event_raise" };

static int __init raise_init(void)
{
	struct bmem_event_note note = { .type = type, .pool = pool };
	void (*raise)(const struct bmem_event_note *note);
	int rc;

	if (!type || type >= BMEM_EVENT_TYPES)
		return -EINVAL;
	rc = register_kprobe(&probe);
	if (rc)
		return rc;
	raise = (void *)probe.addr;
	unregister_kprobe(&probe);
	raise(&note);
	return 0;
}

static void __exit raise_exit(void)
{
}

module_init(raise_init);
module_exit(raise_exit);
MODULE_DESCRIPTION("Raises an event of bmem, for tests");
MODULE_LICENSE("GPL");
