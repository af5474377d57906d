// SPDX-License-Identifier: GPL-2.0-only
/*
 * Program files: what the frames of call sites refer to, by the client's own
 * numbering.  With a file's build id a frame can be named long after the
 * process is gone.
 */
#include <linux/slab.h>

#include "bmem_private.h"

/**
 * struct progfile - a program, or a shared library
 * @build_id_len: length of @build_id
 * @build_id: all zero from there on
 * @path: name of the file
 */
struct progfile {
	u32 build_id_len;
	u8 build_id[BMEM_BUILD_ID_MAX];
	char path[];
};

static int progfile_check(const struct bmem_module *cmd)
{
	if (cmd->flags)
		return -EOPNOTSUPP;
	if (!cmd->module || cmd->module > BMEM_MODULES_MAX ||
	    cmd->build_id_len > BMEM_BUILD_ID_MAX)
		return -EINVAL;
	if (memchr_inv(cmd->build_id + cmd->build_id_len, 0,
		       BMEM_BUILD_ID_MAX - cmd->build_id_len))
		return -EINVAL;
	return bmem_text_check(cmd->path, sizeof(cmd->path));
}

static struct progfile *progfile_make(const struct bmem_module *cmd)
{
	size_t len = strlen(cmd->path) + 1;
	struct progfile *file;

	file = kmalloc(struct_size(file, path, len), GFP_BMEM_META);
	if (!file)
		return NULL;
	file->build_id_len = cmd->build_id_len;
	memcpy(file->build_id, cmd->build_id, sizeof(file->build_id));
	memcpy(file->path, cmd->path, len);
	return file;
}

/**
 * bmem_progfile_known() - has a program file been named?
 * @client: client, locked
 * @module: its number
 *
 * Return: true if so; it stays for as long as the client does.
 */
bool bmem_progfile_known(struct bmem_client *client, u32 module)
{
	lockdep_assert_held(&client->lock);
	return xa_load(&client->sites.progfiles, module);
}

/**
 * bmem_progfile_name() - BMEM_MODULE
 * @client: client
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_progfile_name(struct bmem_client *client,
		       const struct bmem_module *cmd)
{
	struct progfile *file, *old;
	int rc = progfile_check(cmd);

	if (rc)
		return rc;
	file = progfile_make(cmd);
	if (!file)
		return -ENOMEM;
	if (mutex_lock_killable(&client->lock)) {
		kfree(file);
		return -EINTR;
	}
	old = xa_store(&client->sites.progfiles, cmd->module, file,
		       GFP_BMEM_META);
	if (xa_is_err(old)) {
		rc = xa_err(old);
		old = file;
	} else {
		client->sites.bytes += ksize(file) - ksize(old);
	}
	mutex_unlock(&client->lock);
	kfree(old);
	return rc;
}

/**
 * bmem_progfiles_clone() - the same program files in a clone
 * @to: clone, locked
 * @from: client, locked
 *
 * Return: 0 or -ENOMEM.
 */
int bmem_progfiles_clone(struct bmem_client *to, struct bmem_client *from)
{
	struct progfile *file, *own;
	unsigned long index;

	xa_for_each(&from->sites.progfiles, index, file) {
		own = kmemdup(file, bmem_progfile_size(file), GFP_BMEM_META);
		if (!own)
			return -ENOMEM;
		if (xa_err(xa_store(&to->sites.progfiles, index, own,
				    GFP_BMEM_META))) {
			kfree(own);
			return -ENOMEM;
		}
		to->sites.bytes += ksize(own);
		cond_resched();
	}
	return 0;
}

/**
 * bmem_progfile_tell() - what is known of a program file, as in the ABI
 * @file: file
 * @build_id_len: out
 * @build_id: out, %BMEM_BUILD_ID_MAX bytes
 * @path: out, %BMEM_PATH_LEN bytes
 */
void bmem_progfile_tell(const struct progfile *file, u32 *build_id_len,
			u8 *build_id, char *path)
{
	*build_id_len = file->build_id_len;
	memcpy(build_id, file->build_id, BMEM_BUILD_ID_MAX);
	strscpy_pad(path, file->path, BMEM_PATH_LEN);
}

/**
 * bmem_progfile_size() - memory that one takes
 * @file: file
 *
 * Return: bytes from @file on.
 */
size_t bmem_progfile_size(const struct progfile *file)
{
	return struct_size(file, path, strlen(file->path) + 1);
}

/**
 * bmem_progfile_take() - take a program file from a client that dies
 * @client: client, locked
 * @module: its number
 *
 * Return: the file, for kfree(); NULL for none.
 */
struct progfile *bmem_progfile_take(struct bmem_client *client, u32 module)
{
	lockdep_assert_held(&client->lock);
	return xa_erase(&client->sites.progfiles, module);
}

/**
 * bmem_progfile_info() - BMEM_MODULE_INFO
 * @self: caller
 * @cmd: as in the ABI
 *
 * Return: 0 or an errno of the ABI.
 */
int bmem_progfile_info(struct bmem_client *self, struct bmem_module_info *cmd)
{
	struct bmem_client *client;
	struct progfile *file;
	int rc = 0;

	if (cmd->flags)
		return -EOPNOTSUPP;
	client = bmem_client_visible(self, cmd->client_id);
	if (!client)
		return -ENOENT;
	if (mutex_lock_killable(&client->lock)) {
		bmem_client_put(client);
		return -EINTR;
	}
	file = xa_load(&client->sites.progfiles, cmd->module);
	if (file)
		bmem_progfile_tell(file, &cmd->build_id_len, cmd->build_id,
				   cmd->path);
	else
		rc = -ENOENT;
	mutex_unlock(&client->lock);
	bmem_client_put(client);
	return rc;
}

/**
 * bmem_progfiles_release() - forget the program files of a client that dies
 * @client: client, locked
 */
void bmem_progfiles_release(struct bmem_client *client)
{
	struct progfile *file;
	unsigned long index;

	lockdep_assert_held(&client->lock);
	xa_for_each(&client->sites.progfiles, index, file)
		kfree(file);
	xa_destroy(&client->sites.progfiles);
}
