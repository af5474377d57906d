// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists for programs: CLIENT_LIST, and tombstones by TOMBSTONE_LIST, _SITES and
 * _MODULE.  Whoever asks sees what is of the same effective user, with
 * CAP_SYS_ADMIN all.
 */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bmem_private.h"

/**
 * bmem_sees_all() - may the caller look at everybody's?
 *
 * Not capable(): a user who only sees less has done nothing worth auditing.
 *
 * Return: true with CAP_SYS_ADMIN.
 */
bool bmem_sees_all(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

/**
 * bmem_sees() - may the caller look at this one?
 * @who: whose
 * @all: bmem_sees_all()
 *
 * Return: that.
 */
bool bmem_sees(const struct bmem_identity *who, bool all)
{
	return all || uid_eq(who->uid, current_euid());
}

/**
 * bmem_rows_check() - does a caller ask for a list as it should?
 * @nr: rows that it has room for
 * @row_size: size of a row that it knows
 * @least: size of the first version's
 *
 * Return: 0 or -EINVAL.
 */
int bmem_rows_check(u32 nr, u32 row_size, size_t least)
{
	if (!nr || nr > BMEM_BATCH_MAX || row_size < least ||
	    row_size > PAGE_SIZE)
		return -EINVAL;
	return 0;
}

/**
 * bmem_row_tell() - copy a row to the caller
 * @rows: where its rows are
 * @at: number of the row
 * @row_size: size that it knows; a caller of an earlier version has shorter
 *	rows, one of a later version longer ones: what is unknown here is zero
 * @row: row
 * @size: its size
 *
 * Return: 0 or -EFAULT.
 */
int bmem_row_tell(u64 rows, u32 at, u32 row_size, const void *row,
		  size_t size)
{
	char __user *to = u64_to_user_ptr(rows);

	to += (size_t)at * row_size;
	size = min_t(size_t, size, row_size);
	if (copy_to_user(to, row, size) ||
	    clear_user(to + size, row_size - size))
		return -EFAULT;
	return 0;
}

/**
 * bmem_rows_tell() - copy several rows to the caller
 * @rows: as for bmem_row_tell()
 * @at: number of the first row
 * @row_size: as for bmem_row_tell()
 * @row: rows, one behind the other
 * @size: size of each
 * @nr: how many
 *
 * Return: 0 or -EFAULT.
 */
int bmem_rows_tell(u64 rows, u32 at, u32 row_size, const void *row,
		   size_t size, u32 nr)
{
	int rc = 0;
	u32 i;

	for (i = 0; i < nr && !rc; i++)
		rc = bmem_row_tell(rows, at + i, row_size, row + i * size, size);
	return rc;
}

/* ---- clients -------------------------------------------------------------------- */

static void client_row(struct bmem_client *client,
		       const struct bmem_identity *who,
		       struct bmem_client_row *row)
{
	row->client_id = who->id;
	row->age_ms = div_u64(ktime_get_boottime_ns() - who->opened,
			      NSEC_PER_MSEC);
	row->cgroup = who->cgroup;
	row->uid = from_kuid_munged(current_user_ns(), who->uid);
	row->mappings = max(atomic_read(&client->maps), 0);
	strscpy(row->comm, who->comm, sizeof(row->comm));
	strscpy(row->label, who->label, sizeof(row->label));
}

/* 1 when it was told, 0 when there is nothing to tell of it, or an error. */
static int client_tell(struct bmem_client *client, struct bmem_client_list *cmd,
		       u32 at, unsigned int *tries)
{
	struct bmem_client_row row = {};
	struct bmem_identity who;

	if (!bmem_client_describe(client, &who, &row.pool, tries))
		return 0;
	row.pid = bmem_client_pid(client);
	client_row(client, &who, &row);
	return bmem_row_tell(cmd->rows, at, cmd->row_size, &row, sizeof(row)) ?: 1;
}

/**
 * bmem_client_rows() - BMEM_CLIENT_LIST
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_client_rows(struct bmem_client_list *cmd)
{
	unsigned int tries = BMEM_REPORT_TRIES;
	u64 last = bmem_clients_last();
	struct bmem_client *client;
	bool all = bmem_sees_all();
	u32 told = 0;
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	rc = bmem_rows_check(cmd->nr, cmd->row_size,
			     offsetofend(struct bmem_client_row, label));
	if (rc)
		return rc;
	while (told < cmd->nr && (client = bmem_client_next(cmd->cursor, last))) {
		cmd->cursor = client->who.id;
		if (bmem_sees(&client->who, all))
			rc = client_tell(client, cmd, told, &tries);
		bmem_client_put(client);
		if (rc < 0)
			return rc;
		told += rc;
		rc = 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	cmd->nr = told;
	return 0;
}

/* ---- tombstones ------------------------------------------------------------------ */

/* The process is gone: only what was noted of it can be told. */
static u32 pid_for_current(const struct bmem_identity *who)
{
	struct pid_namespace *ns = task_active_pid_ns(current);

	if (ns == &init_pid_ns)
		return who->tgid;
	return ns->ns.inum == who->pid_ns ? who->ns_tgid : 0;
}

static int tombstone_tell(const struct bmem_tombstone *t,
			  struct bmem_tombstone_list *cmd, u32 at)
{
	const struct bmem_identity *who = bmem_tombstone_who(t);
	struct bmem_tombstone_row row = {};

	bmem_tombstone_row(t, &row);
	row.pid = pid_for_current(who);
	row.uid = from_kuid_munged(current_user_ns(), who->uid);
	return bmem_row_tell(cmd->rows, at, cmd->row_size, &row, sizeof(row)) ?: 1;
}

/**
 * bmem_tombstone_rows() - BMEM_TOMBSTONE_LIST
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tombstone_rows(struct bmem_tombstone_list *cmd)
{
	struct bmem_tombstone *t;
	bool all = bmem_sees_all();
	u32 told = 0;
	int rc;

	if (cmd->flags)
		return -EOPNOTSUPP;
	rc = bmem_rows_check(cmd->nr, cmd->row_size,
			     offsetofend(struct bmem_tombstone_row, label));
	if (rc)
		return rc;
	/* The cursor is the last serial number that was looked at. */
	while (told < cmd->nr && cmd->cursor != U64_MAX &&
	       (t = bmem_tombstone_get(cmd->cursor + 1))) {
		cmd->cursor = bmem_tombstone_serial(t);
		if (bmem_sees(bmem_tombstone_who(t), all))
			rc = tombstone_tell(t, cmd, told);
		bmem_tombstone_put(t);
		if (rc < 0)
			return rc;
		told += rc;
		rc = 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	cmd->nr = told;
	return 0;
}

/* The tombstone with this very number, for bmem_tombstone_put(), or NULL. */
static struct bmem_tombstone *tombstone_visible(u64 serial)
{
	struct bmem_tombstone *t = serial ? bmem_tombstone_get(serial) : NULL;

	if (t && bmem_tombstone_serial(t) == serial &&
	    bmem_sees(bmem_tombstone_who(t), bmem_sees_all()))
		return t;
	bmem_tombstone_put(t);
	return NULL;
}

static int sites_tell(const struct bmem_tombstone *t,
		      struct bmem_tombstone_sites *cmd, u32 room)
{
	struct bmem_tombstone_site *row;
	int rc = 0;
	u32 i;

	row = kzalloc(sizeof(*row), GFP_BMEM_META);
	if (!row)
		return -ENOMEM;
	for (i = 0; !rc && i < room && bmem_tombstone_site(t, i, row); i++) {
		rc = bmem_row_tell(cmd->rows, i, cmd->row_size, row, sizeof(*row));
		memset(row, 0, sizeof(*row));
	}
	kfree(row);
	return rc;
}

/**
 * bmem_tombstone_sites() - BMEM_TOMBSTONE_SITES
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tombstone_sites(struct bmem_tombstone_sites *cmd)
{
	struct bmem_tombstone_row sums = {};
	struct bmem_tombstone *t;
	u32 room = cmd->nr;
	int rc = -EMSGSIZE;

	if (cmd->flags)
		return -EOPNOTSUPP;
	if (room > BMEM_TOMBSTONE_SITES_MAX ||
	    cmd->row_size < offsetofend(struct bmem_tombstone_site, frames) ||
	    cmd->row_size > PAGE_SIZE)
		return -EINVAL;
	t = tombstone_visible(cmd->serial);
	if (!t)
		return -ENOENT;
	bmem_tombstone_row(t, &sums);
	if (sums.nr_sites <= room)
		rc = sites_tell(t, cmd, room);
	cmd->nr = sums.nr_sites;
	bmem_tombstone_put(t);
	return rc;
}

/**
 * bmem_tombstone_module() - BMEM_TOMBSTONE_MODULE
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_tombstone_module(struct bmem_tombstone_module *cmd)
{
	const struct progfile *file;
	struct bmem_tombstone *t;

	if (cmd->flags)
		return -EOPNOTSUPP;
	t = tombstone_visible(cmd->serial);
	if (!t)
		return -ENOENT;
	file = bmem_tombstone_file(t, cmd->module);
	if (file)
		bmem_progfile_tell(file, &cmd->build_id_len, cmd->build_id,
				   cmd->path);
	bmem_tombstone_put(t);
	return file ? 0 : -ENOENT;
}
