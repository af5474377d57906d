// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * "events": what happens, a line each, as it happens.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

#define AT_A_TIME	16

static const char * const types[BMEM_EVENT_TYPES] = {
	[BMEM_EVENT_PRESSURE] = "pressure",
	[BMEM_EVENT_CLEANUP_DONE] = "cleanup-done",
	[BMEM_EVENT_ALLOC_FAILED] = "alloc-failed",
	[BMEM_EVENT_RECALL] = "recall",
	[BMEM_EVENT_COMPACT_WANTED] = "compact-wanted",
	[BMEM_EVENT_COMPACTED] = "compacted",
	[BMEM_EVENT_LEAK_SUSPECTED] = "leak-suspected",
	[BMEM_EVENT_LEAK_CONFIRMED] = "leak-confirmed",
	[BMEM_EVENT_LEAK_CLEARED] = "leak-cleared",
	[BMEM_EVENT_CLIENT_GONE] = "client-gone",
};

/* By the clock on the wall, from one that does not stop in suspend. */
static void say_when(struct event *row)
{
	struct timespec wall, boot;
	int64_t ns;
	time_t s;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	ns = (wall.tv_sec - boot.tv_sec) * 1000000000LL +
	     (wall.tv_nsec - boot.tv_nsec) + (int64_t)row->e.time_ns;
	s = ns / 1000000000;
	localtime_r(&s, &tm);
	strftime(row->time, sizeof(row->time), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(row->time + strlen(row->time), 8, ".%03d",
		 (int)(ns / 1000000 % 1000));
}

static void describe(struct event *row, const struct bmem_event *e)
{
	row->e = *e;
	row->type = e->type < BMEM_EVENT_TYPES && types[e->type] ?
		    types[e->type] : "unknown";
	if (e->pool != BMEM_EVENT_NO_POOL)
		snprintf(row->pool, sizeof(row->pool), "%u", e->pool);
	say_when(row);
}

/* No table: its columns are as wide as what is not known yet. */
static void print_event(struct ctl *ctl, const struct event *row)
{
	char *bytes = text_bytes(row->e.bytes, ctl->o->bytes);

	printf("%s  %-14s  %6llu  %4s  %5u  %10s  %10llu", row->time, row->type,
	       (unsigned long long)row->e.client_id,
	       row->pool[0] ? row->pool : "-", row->e.level, bytes,
	       (unsigned long long)row->e.arg);
	if (row->e.lost)
		printf("  %llu lost before", (unsigned long long)row->e.lost);
	putchar('\n');
	free(bytes);
}

/* Returns whether it was one that is wanted. */
static bool show_one(struct ctl *ctl, const struct bmem_event *e)
{
	struct table t = *view_named("events");
	struct event *row = table_add(&t);

	if (ctl->o->client && ctl->o->client != e->client_id) {
		table_free(&t);
		return false;
	}
	describe(row, e);
	if (ctl->o->json)
		(void)print_json(ctl, &t);
	else
		print_event(ctl, row);
	table_free(&t);
	return true;
}

/* All that the kernel can tell this user. */
static int ask(struct ctl *ctl)
{
	struct bmem_events st = { .size = sizeof(st) };
	int ret = bmem_events_status(ctl->c, &st);

	return ret ? ret : bmem_events_want(ctl->c, st.known);
}

int show_events(struct ctl *ctl)
{
	struct bmem_event e[AT_A_TIME];
	uint64_t shown = 0;
	int ret = ask(ctl), i;

	if (!ret && !ctl->o->json && !ctl->o->plain)
		printf("%-23s  %-14s  %6s  %4s  %5s  %10s  %10s\n", "time",
		       "type", "client", "pool", "level", "bytes", "arg");
	while (!ret) {
		/* Who reads from a pipe is to see it as it happens. */
		if (fflush(stdout) || ferror(stdout))
			return STATUS_FAILED;
		ret = bmem_events_read(ctl->c, e, AT_A_TIME, -1);
		for (i = 0; i < ret; i++) {
			shown += show_one(ctl, &e[i]);
			if (ctl->o->rounds && shown == ctl->o->rounds)
				return STATUS_OK;
		}
		if (ret > 0 || ret == -EINTR)
			ret = 0;
	}
	return complain("events", ret);
}
