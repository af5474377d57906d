// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A client's beginning and end, and which backend it gets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "caller.h"

#define OPEN_FLAGS	(BMEM_OPEN_QUIET | BMEM_OPEN_CACHE | \
			 BMEM_OPEN_LEVEL | BMEM_OPEN_PRIVATE)

/**
 * label_check() - the ABI's rule for labels
 * @label: %BMEM_LABEL_LEN bytes, or less with a terminating zero
 *
 * Return: 0, or -EINVAL when it does not end or has control characters.
 */
int label_check(const char *label)
{
	size_t n = strnlen(label, BMEM_LABEL_LEN);

	if (n == BMEM_LABEL_LEN)
		return -EINVAL;
	while (n--)
		if ((unsigned char)label[n] < ' ' || label[n] == 0x7f)
			return -EINVAL;
	return 0;
}

static int read_options(struct bmem_options *o, const struct bmem_options *user)
{
	int ret;

	memset(o, 0, sizeof(*o));
	if (!user)
		return 0;
	ret = sized_in(o, sizeof(*o), user, user->sz, sizeof(o->sz));
	if (ret)
		return ret;
	if (o->flags & ~OPEN_FLAGS || o->__reserved ||
	    (o->level && !(o->flags & BMEM_OPEN_LEVEL)))
		return -EOPNOTSUPP;
	if (o->backend > BMEM_BACKEND_MEMFD || o->level > BMEM_LEVEL_FULL)
		return -EINVAL;
	return o->label ? label_check(o->label) : 0;
}

/* A variable that has one of @nr names as its value; unset leaves @value. */
static int env_choice(const char *variable, const char *const *names,
		      uint32_t nr, uint32_t *value)
{
	const char *env = secure_getenv(variable);
	uint32_t i;

	if (!env || !*env)
		return 0;
	for (i = 0; i < nr; i++) {
		if (strcmp(env, names[i]))
			continue;
		*value = i;
		return 1;
	}
	return -EINVAL;
}

static int env_backend(struct bmem_options *o)
{
	static const char * const names[] = {
		[BMEM_BACKEND_AUTO] = "auto",
		[BMEM_BACKEND_DEV] = "dev",
		[BMEM_BACKEND_MEMFD] = "memfd",
	};
	int ret;

	if (o->backend != BMEM_BACKEND_AUTO)
		return 0;
	ret = env_choice("BMEM_BACKEND", names, ARRAY_SIZE(names), &o->backend);
	return ret < 0 ? ret : 0;
}

static int env_level(struct bmem_options *o)
{
	static const char * const names[] = {
		[BMEM_LEVEL_OFF] = "off",
		[BMEM_LEVEL_COUNTS] = "counts",
		[BMEM_LEVEL_STANDARD] = "standard",
		[BMEM_LEVEL_FULL] = "full",
	};
	int ret;

	if (o->flags & BMEM_OPEN_LEVEL)
		return 0;
	ret = env_choice("BMEM_LEVEL", names, ARRAY_SIZE(names), &o->level);
	if (ret > 0)
		o->flags |= BMEM_OPEN_LEVEL;
	return ret < 0 ? ret : 0;
}

static bool env_quiet(void)
{
	const char *env = secure_getenv("BMEM_QUIET");

	return env && *env && strcmp(env, "0");
}

/* Not there, not for us, or not bmem: what another backend can make up for. */
static bool device_absent(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
	case -ENOTDIR:
	case -EACCES:
	case -EPERM:
	case -ENOTTY:
		return true;
	default:
		return false;
	}
}

static int open_with(struct bmem_client *c, const struct backend *backend,
		     const struct bmem_options *o)
{
	c->backend = backend;
	c->fd = -1;
	return backend->open(c, o);
}

static int open_any(struct bmem_client *c, const struct bmem_options *o)
{
	int ret;

	if (o->backend == BMEM_BACKEND_MEMFD)
		return open_with(c, &backend_memfd, o);
	ret = open_with(c, &backend_dev, o);
	/*
	 * A pool is the device's: whoever asks for one by number is told that
	 * it cannot be had, not given other memory.
	 */
	if (o->backend == BMEM_BACKEND_DEV || o->pool || !device_absent(ret))
		return ret;
	notice_fallback(ret, o->flags & BMEM_OPEN_QUIET || env_quiet());
	return open_with(c, &backend_memfd, o);
}

/* What the upper half needs, on top of a backend. */
static int open_front(struct bmem_client *c)
{
	int ret;

	ret = depot_init(c);
	if (ret)
		return ret;
	ret = thread_client_add(c);
	if (ret)
		depot_fini(c);
	else
		depot_hide(c);
	return ret;
}

static int open_client(struct bmem_client *c, const struct bmem_options *o)
{
	int ret;

	ret = open_any(c, o);
	if (ret)
		return ret;
	ret = open_front(c);
	if (ret)
		c->backend->close(c);
	return ret;
}

int bmem_open(struct bmem_client **client, const struct bmem_options *options)
{
	struct bmem_options o;
	struct bmem_client *c;
	int ret;

	if (!client)
		return -EINVAL;
	*client = NULL;
	ret = read_options(&o, options);
	if (!ret)
		ret = env_backend(&o);
	if (!ret)
		ret = env_level(&o);
	if (ret)
		return ret;

	c = scratch_get(sizeof(*c));
	if (!c)
		return -ENOMEM;
	magazines_init(c);
	c->private = o.flags & BMEM_OPEN_PRIVATE;
	ret = costs_init(&c->sites.costs, &o);
	if (!ret)
		ret = open_client(c, &o);
	if (ret) {
		scratch_put(c, sizeof(*c));
		return ret;
	}
	caller_look();
	*client = c;
	return 0;
}

void bmem_close(struct bmem_client *c)
{
	int saved = errno;

	if (!c)
		return;
	events_close(c);
	thread_client_remove(c);
	refs_close(c);
	depot_fini(c);
	c->backend->close(c);
	scratch_put(c, sizeof(*c));
	errno = saved;
}

const char *bmem_backend_name(const struct bmem_client *c)
{
	return c->backend->name;
}

/**
 * client_bind() - apply the options that the ABI has a call for
 * @c: client
 * @o: options, checked
 *
 * Return: 0 or an errno of BMEM_BIND.
 */
int client_bind(struct bmem_client *c, const struct bmem_options *o)
{
	struct bmem_bind bind = { .size = sizeof(bind) };

	if (o->pool != BMEM_POOL_DEFAULT) {
		bind.flags |= BMEM_BIND_POOL;
		bind.pool = o->pool;
	}
	if (o->label) {
		bind.flags |= BMEM_BIND_LABEL;
		strcpy(bind.label, o->label);
	}
	if (o->flags & BMEM_OPEN_CACHE) {
		bind.flags |= BMEM_BIND_CACHE;
		bind.cache_bytes = o->cache_bytes;
	}
	if (o->flags & BMEM_OPEN_LEVEL) {
		bind.flags |= BMEM_BIND_LEVEL;
		bind.level = o->level;
	}
	return bind.flags ? call(c, BMEM_BIND, &bind) : 0;
}

int bmem_set_wait(struct bmem_client *c, unsigned int timeout_ms)
{
	if (timeout_ms > BMEM_WAIT_MAX_MS)
		return -EINVAL;
	if (timeout_ms && c->backend != &backend_dev)
		return -EOPNOTSUPP;
	poke(&c->wait_ms, timeout_ms);
	return 0;
}

int bmem_set_level(struct bmem_client *c, enum bmem_level level)
{
	struct bmem_bind bind = {
		.size = sizeof(bind),
		.flags = BMEM_BIND_LEVEL,
		.level = level,
	};

	return call(c, BMEM_BIND, &bind);
}
