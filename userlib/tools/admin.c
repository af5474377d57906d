// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The verbs that change pools.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ctl.h"

static int fail(const struct options *o, int err, const char *advice)
{
	char *name = text_safe(o->name, BMEM_POOL_NAME_LEN + 16, text_is_utf8());
	char *what = text_format("%s %s", o->verb->name, name);
	int status = complain(what, err);

	if (advice)
		fprintf(stderr, "bmemctl: %s\n", advice);
	free(what);
	free(name);
	return status;
}

/* What the errno alone does not say. */
static const char *advice(int err)
{
	switch (err) {
	case -EPERM:
		return "pools are changed with CAP_SYS_ADMIN: run it as root";
	case -EINVAL:
		return "sizes are multiples of 2M, --max is at least 2M and --reserve at most --max; a name is of letters, digits, '.', '_' and '-', at most 31; the node of --policy bind must exist";
	case -ENOMEM:
		return "the reservation cannot be had: not enough free memory";
	case -EEXIST:
		return "a pool of this name is there already";
	case -ENOSPC:
		return "there are as many pools as there can be";
	case -EBUSY:
		return "clients are bound to it (bmemctl clients), it is the default pool, or it is being resized";
	case -EOPNOTSUPP:
		return "without /dev/bmem there is one pool only";
	default:
		return NULL;
	}
}

static int say_pool(struct ctl *ctl, const char *done, uint32_t id)
{
	json_t *o;

	if (!ctl->o->json) {
		printf("pool %u %s\n", id, done);
		return STATUS_OK;
	}
	o = must(json_object());
	json_object_set_new(o, "bmemctl", json_integer(SCHEMA));
	json_object_set_new(o, done, must(json_pack("{s:I}", "id", (json_int_t)id)));
	return json_print(ctl->o, o, stdout) ? STATUS_FAILED : STATUS_OK;
}

/* By name, else by number. */
static int find_pool(struct ctl *ctl, struct bmem_pool_stats *st)
{
	struct table t = *view_named("pools");
	const struct pool *p;
	uint64_t id = UINT64_MAX;
	int ret = fetch_pools(ctl, &t);
	int found = -ENOENT;
	size_t i;

	(void)text_to_number(ctl->o->name, UINT32_MAX, &id);
	for (i = 0, p = t.rows; !ret && i < t.nr; i++) {
		if (!strcmp(p[i].st.name, ctl->o->name)) {
			*st = p[i].st;
			found = 0;
			break;
		}
		if (p[i].st.pool == id) {
			*st = p[i].st;
			found = 0;
		}
	}
	table_free(&t);
	return ret ? ret : found;
}

int pool_create(struct ctl *ctl)
{
	const struct options *o = ctl->o;
	struct bmem_pool_create cmd = {
		.size = sizeof(cmd),
		.limit_bytes = o->max_bytes,
		.reserve_bytes = o->reserve_bytes,
		.policy = o->policy,
		.nid = o->node,
		.gid = o->has_gid ? o->gid : BMEM_GID_ANY,
	};
	int ret;

	if (!o->has_max) {
		fputs("bmemctl: pools create needs --max, the most memory that the pool may hold\n",
		      stderr);
		return STATUS_USAGE;
	}
	if (strlen(o->name) >= sizeof(cmd.name))
		return fail(o, -EINVAL, advice(-EINVAL));
	strcpy(cmd.name, o->name);
	ret = bmem_pool_create(ctl->c, &cmd);
	if (ret)
		return fail(o, ret, advice(ret));
	return say_pool(ctl, "created", cmd.pool);
}

int pool_resize(struct ctl *ctl)
{
	const struct options *o = ctl->o;
	struct bmem_pool_resize cmd = {
		.size = sizeof(cmd),
		.flags = (o->has_max ? BMEM_RESIZE_LIMIT : 0) |
			 (o->has_reserve ? BMEM_RESIZE_RESERVE : 0),
		.limit_bytes = o->max_bytes,
		.reserve_bytes = o->reserve_bytes,
	};
	struct bmem_pool_stats st;
	int ret;

	if (!cmd.flags) {
		fputs("bmemctl: pools resize needs --max, --reserve or both\n",
		      stderr);
		return STATUS_USAGE;
	}
	ret = find_pool(ctl, &st);
	if (ret)
		return fail(o, ret, NULL);
	cmd.pool = st.pool;
	ret = bmem_pool_resize(ctl->c, &cmd);
	if (ret)
		return fail(o, ret, advice(ret));
	return say_pool(ctl, "resized", st.pool);
}

int pool_destroy(struct ctl *ctl)
{
	struct bmem_pool_stats st;
	int ret;

	ret = find_pool(ctl, &st);
	if (ret)
		return fail(ctl->o, ret, NULL);
	ret = bmem_pool_destroy(ctl->c, st.pool);
	if (ret)
		return fail(ctl->o, ret, advice(ret));
	return say_pool(ctl, "destroyed", st.pool);
}
