// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID/fdinfo: a client's figures, in the grammar of
 * Documentation/gpu/drm-usage-stats.rst with a prefix of its own.
 */
#include <linux/fs.h>

#include "bmem_private.h"

static void show_kib(struct seq_file *m, const char *key, const char *pool,
		     u64 bytes)
{
	seq_printf(m, "bmem-%s-%s:\t%llu KiB\n", key, pool, bytes >> 10);
}

/**
 * bmem_show_fdinfo() - .show_fdinfo
 * @m: where to
 * @file: open device
 */
void bmem_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct bmem_client *client = file->private_data;
	unsigned int tries = BMEM_REPORT_TRIES;
	struct bmem_client_stats st = {};
	struct bmem_identity who;
	char pool[BMEM_POOL_NAME_LEN];

	if (!bmem_client_report(client, &st, &who, pool, &tries))
		return;

	seq_printf(m, "bmem-client-id:\t%llu\n", st.client_id);
	seq_printf(m, "bmem-pool:\t%s\n", pool);
	show_kib(m, "total", pool, st.live_bytes);
	show_kib(m, "granted", pool, st.granted_bytes);
	show_kib(m, "resident", pool, st.attached_bytes);
	show_kib(m, "purgeable", pool, st.cached_bytes + st.queued_bytes);
	show_kib(m, "peak", pool, st.peak_live_bytes);
	show_kib(m, "idle", pool, st.idle_bytes);
	seq_printf(m, "bmem-tensors:\t%llu\n", st.live_tensors);
	seq_printf(m, "bmem-allocs:\t%llu\n", st.allocs);
	seq_printf(m, "bmem-frees:\t%llu\n", st.frees);
	seq_printf(m, "bmem-failed:\t%llu\n", st.failed);
}
