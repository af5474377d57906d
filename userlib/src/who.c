// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who the fallback's one client is, for CLIENT_LIST.
 */
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arena.h"

/**
 * who_init() - take down who opens the arena
 * @bk: books, all zero but for @bk->st.client_id
 * @now: by clock_now()
 */
void who_init(struct books *bk, uint64_t now)
{
	struct bmem_client_row *who = &bk->who;

	bk->opened_ms = now;
	who->client_id = bk->st.client_id;
	who->pid = (uint32_t)getpid();
	who->uid = geteuid();
	who->pool = BMEM_POOL_DEFAULT;
	who->mappings = 1;
	(void)prctl(PR_GET_NAME, who->comm);
}

/**
 * who_label() - what the client calls itself
 * @bk: books, locked
 * @label: checked
 */
void who_label(struct books *bk, const char *label)
{
	memset(bk->who.label, 0, sizeof(bk->who.label));
	memcpy(bk->who.label, label, strlen(label));
}

/**
 * arena_client_list() - BMEM_CLIENT_LIST
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_client_list(struct arena *a, struct bmem_client_list *cmd)
{
	char *to = (char *)(uintptr_t)cmd->rows;
	struct bmem_client_row row;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	row = a->books->who;
	row.age_ms = clock_now(a) - a->books->opened_ms;
	arena_unlock(a);
	cmd->nr = cmd->cursor < row.client_id;
	if (!cmd->nr)
		return 0;
	memcpy(to, &row, sizeof(row));
	memset(to + sizeof(row), 0, cmd->row_size - sizeof(row));
	cmd->cursor = row.client_id;
	return 0;
}
