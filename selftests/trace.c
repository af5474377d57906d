// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a recorded trace; see trace.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "trace.h"

/* All of a zstd file as a string, or NULL with errno. */
static char *unpack(const char *path)
{
	size_t used = 0, size = 8 << 20, in_size = ZSTD_DStreamInSize(), got;
	char *text = malloc(size), *in = malloc(in_size);
	ZSTD_DStream *z = ZSTD_createDStream();
	FILE *f = fopen(path, "r");
	int err = f ? 0 : errno;

	while (!err && (got = fread(in, 1, in_size, f))) {
		ZSTD_inBuffer from = { in, got, 0 };

		while (!err && from.pos < from.size) {
			ZSTD_outBuffer to = { text, size - 1, used };

			if (ZSTD_isError(ZSTD_decompressStream(z, &to, &from)))
				err = EILSEQ;
			used = to.pos;
			if (size - used < size / 4)
				text = realloc(text, size *= 2);
		}
	}
	if (f)
		fclose(f);
	ZSTD_freeDStream(z);
	free(in);
	text[used] = 0;
	if (!err)
		return text;
	free(text);
	errno = err;
	return NULL;
}

/* The numbers of an `a` line behind its id: size, align, tid, time, site. */
static bool parse_alloc(struct trace_event *ev, char *at)
{
	ev->bytes = strtoull(at, &at, 10);
	ev->align = strtoul(at, &at, 10);
	strtoul(at, &at, 10);
	strtoull(at, &at, 10);
	ev->site = strtoul(at, &at, 16);
	return ev->bytes && !*at;
}

static bool parse(struct trace *t, char *text)
{
	char *line, *save, *at;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct trace_event ev = { 0 };

		if (line[0] != 'a' && line[0] != 'f') {
			if (line[0] != '#' && line[0] != 's')
				return false;
			continue;
		}
		ev.id = strtoul(line + 1, &at, 10);
		if (line[0] == 'a' && !parse_alloc(&ev, at))
			return false;
		if (ev.id >= t->ids)
			t->ids = ev.id + 1;
		t->events[t->nr++] = ev;
	}
	return t->nr;
}

static void find_peak(struct trace *t)
{
	__u64 *bytes = calloc(t->ids, sizeof(*bytes)), live = 0;
	size_t i;

	for (i = 0; i < t->nr; i++) {
		const struct trace_event *ev = &t->events[i];

		live += ev->bytes ? ev->bytes : -bytes[ev->id];
		bytes[ev->id] = ev->bytes;
		if (live > t->peak_bytes) {
			t->peak_bytes = live;
			t->peak_at = i + 1;
		}
	}
	free(bytes);
}

static void set_name(struct trace *t, const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	snprintf(t->name, sizeof(t->name), "%.*s", (int)strcspn(base, "."), base);
}

int trace_load(struct trace *t, const char *path)
{
	char *text = unpack(path), *at;
	size_t lines = 1;

	*t = (struct trace){ 0 };
	if (!text)
		return -errno;
	for (at = text; (at = strchr(at, '\n')); at++)
		lines++;
	t->events = calloc(lines, sizeof(*t->events));
	if (!parse(t, text)) {
		trace_unload(t);
		free(text);
		return -EILSEQ;
	}
	free(text);
	set_name(t, path);
	find_peak(t);
	return 0;
}

void trace_unload(struct trace *t)
{
	free(t->events);
	*t = (struct trace){ 0 };
}
