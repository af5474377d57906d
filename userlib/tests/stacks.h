/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Call sites from inside: a client of the fallback, a thread's cache, and what
 * the client has been told of a site.
 */
#ifndef BMEM_TEST_STACKS_H
#define BMEM_TEST_STACKS_H

#include <pthread.h>

#include "../src/site.h"
#include "client.h"

#define TOLD_MAX	(BMEM_SITES_MAX + 16)

/* What the backend was told of sites and program files, in order. */
static struct {
	uint32_t sites;
	uint32_t modules;
	const struct backend *backend;
	struct bmem_module module[64];
	struct {
		uint32_t site;
		uint32_t nr;
		struct bmem_frame frames[BMEM_FRAMES_MAX];
	} site[TOLD_MAX];
} told;

static void tell_site(const struct bmem_site *arg)
{
	IS(told.sites < TOLD_MAX);
	IS(arg->nr_frames <= BMEM_FRAMES_MAX);
	told.site[told.sites].site = arg->site;
	told.site[told.sites].nr = arg->nr_frames;
	memcpy(told.site[told.sites].frames, (void *)(uintptr_t)arg->frames,
	       arg->nr_frames * sizeof(struct bmem_frame));
	told.sites++;
}

static int tell(struct bmem_client *c, unsigned long cmd, void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int ret = told.backend->call(c, cmd, arg);

	pthread_mutex_lock(&lock);
	if (cmd == BMEM_SITE && !ret)
		tell_site(arg);
	if (cmd == BMEM_MODULE) {
		IS(told.modules < COUNT(told.module));
		told.module[told.modules++] = *(struct bmem_module *)arg;
		/* A backend that does not know of them has been told so. */
		ret = ret == -ENOTTY ? 0 : ret;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

/* A client that is listened to, and whose governor leaves all as it is. */
__attribute__((unused))
static struct bmem_client *client_told(void)
{
	static struct backend ears;
	struct bmem_client *c = client();

	told.sites = 0;
	told.modules = 0;
	told.backend = c->backend;
	ears = *c->backend;
	ears.call = tell;
	c->backend = &ears;
	atomic_store(&c->sites.costs.governor.permille, 1000000);
	return c;
}

__attribute__((unused))
static struct site_cache *cache(void)
{
	struct site_cache *sc = calloc(1, sizeof(*sc));

	IS(sc);
	return sc;
}

/* As a function of the library asks for its caller's site. */
__attribute__((noinline, unused))
static uint32_t site_here(struct bmem_client *c, struct site_cache *sc,
			  const char *label, uint32_t level, size_t bytes)
{
	return site_of(c, sc, label, __builtin_return_address(0),
		       __builtin_frame_address(0), level, bytes);
}

/* What was said of a site; what the backend answers is the same, if it can. */
__attribute__((unused))
static uint32_t frames_of_site(struct bmem_client *c, uint32_t site,
			       struct bmem_frame *frames)
{
	struct bmem_site_frames arg = {
		.size = sizeof(arg),
		.site = site,
		.nr = BMEM_FRAMES_MAX,
		.frames = (uintptr_t)frames,
	};
	int ret = call(c, BMEM_SITE_FRAMES, &arg);
	uint32_t i;

	for (i = told.sites; i-- && told.site[i].site != site;)
		;
	IS(i < told.sites);
	if (ret == -ENOTTY) {
		memcpy(frames, told.site[i].frames,
		       sizeof(told.site[i].frames));
		return told.site[i].nr;
	}
	EQ(ret, 0);
	EQ(arg.nr, told.site[i].nr);
	EQ(memcmp(frames, told.site[i].frames, arg.nr * sizeof(*frames)), 0);
	return arg.nr;
}

__attribute__((unused))
static uint32_t depth_of(struct bmem_client *c, uint32_t site)
{
	struct bmem_frame frames[BMEM_FRAMES_MAX];

	return frames_of_site(c, site, frames);
}

__attribute__((unused))
static void label_of(struct bmem_client *c, uint32_t site, char *label)
{
	void *p = bmem_alloc_at(c, 64, 0, 0, site);

	strcpy(label, info_of(c, p).label);
	EQ(bmem_free(c, p), 0);
}

#endif /* BMEM_TEST_STACKS_H */
