// SPDX-License-Identifier: GPL-2.0-only
/*
 * Playing a trace on /dev/bmem; see player.h.
 */
#include "player.h"

#define SITES	(4 * BMEM_SITES_MAX)

#define FAIL(p, ...) \
	(snprintf((p)->error, sizeof((p)->error), __VA_ARGS__), (p)->error)

/* ---- through the ioctls --------------------------------------------------- */

static int raw_open(struct player *p, const char *label, int pool)
{
	int ret = bt_client_open(&p->client, pool);

	return ret ? ret : bt_bind_label(p->client.fd, label);
}

static int raw_alloc(struct player *p, struct block *b, __u32 align)
{
	struct bmem_alloc_entry e = {
		.bytes = b->bytes, .align = align, .site = b->site,
	};
	int ret = bt_alloc(p->client.fd, &e, 1, NULL);

	if (ret)
		return ret;
	b->addr = p->client.map + e.offset;
	b->handle = e.handle;
	b->granted = e.granted;
	return 0;
}

static int raw_free(struct player *p, struct block *b)
{
	return bt_free1(p->client.fd, b->handle);
}

static int raw_site(struct player *p, __u32 hash, const char *label,
		    __u32 *number)
{
	*number = hash;
	return bt_site(p->client.fd, hash, label);
}

static int raw_stats(struct player *p, struct bmem_client_stats *st)
{
	return bt_call(p->client.fd, BMEM_CLIENT_STATS, st);
}

static int raw_list(struct player *p, struct bmem_tensor_list *l)
{
	return bt_call(p->client.fd, BMEM_TENSOR_LIST, l);
}

static const char *raw_check(struct player *p)
{
	return bt_check(p->client.fd);
}

static void raw_close(struct player *p)
{
	bt_client_close(&p->client);
}

const struct backend backend_raw = {
	.name = "ioctl",
	.open = raw_open,
	.alloc = raw_alloc,
	.free = raw_free,
	.site = raw_site,
	.stats = raw_stats,
	.list = raw_list,
	.check = raw_check,
	.close = raw_close,
};

/* ---- one event ------------------------------------------------------------ */

/* A call site's number; gives it its name the first time that it is seen. */
static int site_number(struct player *p, __u32 hash, __u32 *number)
{
	char label[BMEM_LABEL_LEN];
	struct known_site *s;
	__u32 at = hash % SITES;
	int ret;

	*number = 0;
	if (!hash)
		return 0;
	while (p->sites[at].hash && p->sites[at].hash != hash)
		at = (at + 1) % SITES;
	s = &p->sites[at];
	if (!s->hash) {
		snprintf(label, sizeof(label), "%.40s/%08x", p->trace->name, hash);
		ret = p->backend->site(p, hash, label, &s->number);
		if (ret)
			return ret;
		s->hash = hash;
	}
	*number = s->number;
	return 0;
}

static const char *play_alloc(struct player *p, const struct trace_event *ev)
{
	struct block *b = &p->blocks[ev->id];
	int ret;

	*b = (struct block){ .bytes = ev->bytes };
	ret = site_number(p, ev->site, &b->site);
	if (ret)
		return FAIL(p, "site %08x: %s", ev->site, strerror(-ret));
	ret = p->backend->alloc(p, b, ev->align < BMEM_ALIGN_MIN ? 0 : ev->align);
	if (ret)
		return FAIL(p, "block %u of %llu bytes: %s", ev->id, ev->bytes,
			    strerror(-ret));
	if (ev->align && (uintptr_t)b->addr % ev->align)
		return FAIL(p, "block %u at %p, to be aligned to %u", ev->id,
			    b->addr, ev->align);
	if (p->pattern)
		bt_tag(b->addr, b->bytes, ev->id);
	p->live++;
	p->live_bytes += b->bytes;
	if (p->live_bytes > p->peak_bytes)
		p->peak_bytes = p->live_bytes;
	if (b->bytes >= BT_MIB) {
		p->big_bytes += b->bytes;
		p->big_granted += b->granted;
	}
	return NULL;
}

static const char *verify_block(struct player *p, const struct block *b)
{
	size_t id = b - p->blocks;
	long long bad;

	bad = p->pattern ? bt_tag_verify(b->addr, b->bytes, id) : -1;
	if (bad >= 0)
		return FAIL(p, "block %zu of %llu bytes at %p: content changed at %lld",
			    id, b->bytes, b->addr, bad);
	return NULL;
}

static const char *play_free(struct player *p, __u32 id)
{
	struct block *b = &p->blocks[id];
	const char *bad = verify_block(p, b);
	int ret;

	if (bad)
		return bad;
	ret = p->backend->free(p, b);
	if (ret)
		return FAIL(p, "freeing block %u: %s", id, strerror(-ret));
	p->live--;
	p->live_bytes -= b->bytes;
	b->addr = NULL;
	return NULL;
}

const char *player_step(struct player *p)
{
	const struct trace_event *ev = &p->trace->events[p->next++];

	p->played++;
	return ev->bytes ? play_alloc(p, ev) : play_free(p, ev->id);
}

/* Allocates what is live in the trace before @event, without what came and went. */
const char *player_seek(struct player *p, size_t event)
{
	const struct trace_event **live = calloc(p->trace->ids, sizeof(*live));
	const char *bad = NULL;
	size_t i;

	for (i = 0; i < event; i++) {
		const struct trace_event *ev = &p->trace->events[i];

		live[ev->id] = ev->bytes ? ev : NULL;
	}
	for (i = 0; i < p->trace->ids && !bad; i++)
		if (live[i])
			bad = play_alloc(p, live[i]);
	free(live);
	p->next = event;
	return bad;
}

/* ---- the model ------------------------------------------------------------ */

const char *player_verify(struct player *p)
{
	const char *bad = NULL;
	size_t i;

	for (i = 0; i < p->trace->ids && !bad; i++)
		if (p->blocks[i].addr)
			bad = verify_block(p, &p->blocks[i]);
	return bad;
}

/* All live tensors as the kernel has them, by offset. */
static struct bmem_tensor *list_all(struct player *p, __u64 *nr)
{
	struct bmem_tensor *rows = NULL;
	struct bmem_tensor_list l = { .size = sizeof(l) };

	*nr = 0;
	do {
		rows = realloc(rows, (*nr + BMEM_BATCH_MAX) * sizeof(*rows));
		l.nr = BMEM_BATCH_MAX;
		l.entries = (uintptr_t)(rows + *nr);
		if (p->backend->list(p, &l)) {
			free(rows);
			return NULL;
		}
		*nr += l.nr;
	} while (l.nr == BMEM_BATCH_MAX);
	return rows;
}

static int by_address(const void *a, const void *b)
{
	const struct block *const *x = a, *const *y = b;

	return (*x)->addr < (*y)->addr ? -1 : (*x)->addr > (*y)->addr;
}

/* All live blocks of the model, by address. */
static const struct block **model_rows(struct player *p)
{
	const struct block **rows = calloc(p->live + 1, sizeof(*rows));
	size_t i, nr = 0;

	for (i = 0; i < p->trace->ids; i++)
		if (p->blocks[i].addr)
			rows[nr++] = &p->blocks[i];
	qsort(rows, nr, sizeof(*rows), by_address);
	return rows;
}

/* Row by row the list is what the model says. */
static const char *compare_rows(struct player *p, const struct bmem_tensor *rows,
				const struct block **model)
{
	__u64 i;

	for (i = 0; i < p->live; i++) {
		const struct bmem_tensor *t = &rows[i];
		const struct block *b = model[i];

		if (t->offset - rows[0].offset != (__u64)(b->addr - model[0]->addr) ||
		    t->bytes != b->bytes || t->site != b->site ||
		    (b->granted && t->granted != b->granted) ||
		    (b->handle && t->handle != b->handle))
			return FAIL(p, "block %zu: listed as %llu bytes of %llu at %#llx from %#x, is %llu of %llu at %p from %#x",
				    (size_t)(b - p->blocks), t->bytes, t->granted,
				    t->offset, t->site, b->bytes, b->granted,
				    b->addr, b->site);
	}
	return NULL;
}

static const char *check_sums(struct player *p, __u64 nr)
{
	struct bmem_client_stats st = { .size = sizeof(st) };
	int ret = p->backend->stats(p, &st);

	if (ret)
		return FAIL(p, "no statistics: %s", strerror(-ret));
	if (st.live_tensors != p->live || st.live_bytes != p->live_bytes ||
	    nr != p->live)
		return FAIL(p, "model %llu blocks, %llu bytes; kernel %llu, %llu; listed %llu",
			    p->live, p->live_bytes, st.live_tensors,
			    st.live_bytes, nr);
	if (p->backend->slots ? st.peak_live_bytes < p->peak_bytes :
				st.peak_live_bytes != p->peak_bytes)
		return FAIL(p, "peak of the model %llu, of the kernel %llu",
			    p->peak_bytes, st.peak_live_bytes);
	return NULL;
}

/* The invariants, and the model against the kernel's figures and listing. */
const char *player_check(struct player *p)
{
	const char *bad = p->backend->check ? p->backend->check(p) : NULL;
	const struct block **model;
	struct bmem_tensor *rows;
	__u64 nr;

	if (bad)
		return FAIL(p, "%s", bad);
	rows = list_all(p, &nr);
	if (!rows)
		return FAIL(p, "no listing");
	model = model_rows(p);
	bad = check_sums(p, nr);
	if (!bad)
		bad = compare_rows(p, rows, model);
	free(model);
	free(rows);
	return bad;
}

/* Frees all that is live. */
const char *player_drain(struct player *p)
{
	const char *bad = NULL;
	size_t i;

	for (i = 0; i < p->trace->ids && !bad; i++)
		if (p->blocks[i].addr)
			bad = play_free(p, i);
	return bad;
}

const char *player_open(struct player *p, const struct trace *t,
			const struct backend *backend, const char *label, int pool)
{
	int ret;

	*p = (struct player){ .trace = t, .backend = backend };
	ret = backend->open(p, label, pool);
	if (ret)
		return FAIL(p, "%s backend: %s", backend->name, strerror(-ret));
	p->blocks = calloc(t->ids, sizeof(*p->blocks));
	p->sites = calloc(SITES, sizeof(*p->sites));
	return NULL;
}

void player_close(struct player *p)
{
	p->backend->close(p);
	free(p->blocks);
	free(p->sites);
}
