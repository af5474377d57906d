// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Call sites, and the program files that their frames refer to, by the numbers
 * that the process gave them.
 *
 * What a site has done is worked out when somebody asks, from what is live and
 * from the last tensor of each idle record: there is no history here, and so
 * no class.  A peak is the largest sum that was ever asked for.
 */
#include <errno.h>
#include <string.h>

#include "arena.h"

/* Where a site's number is, or the free entry where it belongs. */
static uint32_t *site_slot(struct books *bk, uint32_t site)
{
	uint32_t n = 0, *at;

	/* At most half of the slots are ever used, so one is free. */
	do {
		at = &bk->site_slots[site_step(site, n++)];
	} while (*at && bk->sites[*at].site != site);
	return at;
}

/**
 * site_find() - the entry of a site
 * @bk: books, locked
 * @site: number
 *
 * Return: the entry; that of site 0 when there is none.
 */
struct caller *site_find(struct books *bk, uint32_t site)
{
	return &bk->sites[site ? *site_slot(bk, site) : 0];
}

/**
 * site_get() - the entry of a site, made if need be
 * @bk: books, locked
 * @site: number, not 0
 *
 * Return: the entry, or NULL when there is no room for another.
 */
struct caller *site_get(struct books *bk, uint32_t site)
{
	uint32_t *slot = site_slot(bk, site);

	if (*slot)
		return &bk->sites[*slot];
	if (bk->st.sites >= BMEM_SITES_MAX)
		return NULL;
	*slot = ++bk->st.sites;
	bk->sites[*slot].site = site;
	return &bk->sites[*slot];
}

/**
 * site_label() - the name of a site
 * @bk: books, locked
 * @s: the site
 * @label: out, filled up with zeroes
 */
void site_label(const struct books *bk, const struct caller *s,
		char label[BMEM_LABEL_LEN])
{
	memset(label, 0, BMEM_LABEL_LEN);
	memcpy(label, bk->texts + s->text, s->text_room);
}

static void label_set(struct books *bk, struct caller *s, const char *label)
{
	uint32_t len = (uint32_t)strlen(label), room = s->text_room;

	if (len >= room) {
		/* None is what it has already. */
		if (!len)
			return;
		room = (len / TEXT_UNIT + 1) * TEXT_UNIT;
		s->text = bk->texts_top;
		s->text_room = (uint8_t)room;
		bk->texts_top += room;
	}
	memset(bk->texts + s->text, 0, room);
	memcpy(bk->texts + s->text, label, len);
}

static bool module_known(const struct books *bk, uint32_t module)
{
	return bk->modules[module - 1].module == module;
}

static int frames_check(const struct books *bk, const struct bmem_frame *f,
			uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		if (f[i].__reserved)
			return -EOPNOTSUPP;
		if (f[i].module > BMEM_MODULES_MAX)
			return -EINVAL;
		if (f[i].module && !module_known(bk, f[i].module))
			return -EINVAL;
	}
	return 0;
}

/*
 * Make room for a stack.  Where a site's becomes longer, the room it had is
 * lost: nobody who tells whole stacks does that.
 */
static int frames_room(struct books *bk, struct caller *s, uint32_t nr)
{
	if (nr <= s->room)
		return 0;
	if (nr > FRAMES_ROOM - bk->frames_top)
		return -ENOSPC;
	s->frames = bk->frames_top;
	s->room = (uint8_t)nr;
	bk->frames_top += nr;
	return 0;
}

static int name_site(struct arena *a, const struct bmem_site *cmd)
{
	const struct bmem_frame *f = (const void *)(uintptr_t)cmd->frames;
	struct caller *s;
	int ret;

	ret = frames_check(a->books, f, cmd->nr_frames);
	if (ret)
		return ret;
	s = site_get(a->books, cmd->site);
	if (!s)
		return -ENOSPC;
	ret = frames_room(a->books, s, cmd->nr_frames);
	if (ret)
		return ret;
	label_set(a->books, s, cmd->label);
	if (!cmd->nr_frames)
		return 0;
	memcpy(a->books->frames + s->frames, f, cmd->nr_frames * sizeof(*f));
	s->nr_frames = (uint8_t)cmd->nr_frames;
	return 0;
}

/**
 * arena_name_site() - BMEM_SITE
 * @a: arena
 * @cmd: checked, but for the frames
 *
 * Return: 0 or an errno of the ABI, or -ENOTRECOVERABLE.
 */
int arena_name_site(struct arena *a, const struct bmem_site *cmd)
{
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	ret = name_site(a, cmd);
	arena_unlock(a);
	return ret;
}

/**
 * arena_name_module() - BMEM_MODULE
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_name_module(struct arena *a, const struct bmem_module *cmd)
{
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	a->books->modules[cmd->module - 1] = *cmd;
	arena_unlock(a);
	return 0;
}

/**
 * arena_module_info() - BMEM_MODULE_INFO
 * @a: arena
 * @cmd: checked
 *
 * Return: 0, -ENOENT or -ENOTRECOVERABLE.
 */
int arena_module_info(struct arena *a, struct bmem_module_info *cmd)
{
	const struct bmem_module *m;
	int ret;

	if (!cmd->module || cmd->module > BMEM_MODULES_MAX)
		return -ENOENT;
	ret = arena_lock(a);
	if (ret)
		return ret;
	m = &a->books->modules[cmd->module - 1];
	if (m->module) {
		cmd->build_id_len = m->build_id_len;
		memcpy(cmd->build_id, m->build_id, sizeof(cmd->build_id));
		memcpy(cmd->path, m->path, sizeof(cmd->path));
	} else {
		ret = -ENOENT;
	}
	arena_unlock(a);
	return ret;
}

/**
 * arena_site_frames() - BMEM_SITE_FRAMES
 * @a: arena
 * @cmd: checked
 *
 * Return: 0, -ENOENT, -EMSGSIZE or -ENOTRECOVERABLE.
 */
int arena_site_frames(struct arena *a, struct bmem_site_frames *cmd)
{
	void *to = (void *)(uintptr_t)cmd->frames;
	uint32_t room = cmd->nr;
	struct caller *s;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	s = site_find(a->books, cmd->site);
	if (!s->site)
		ret = -ENOENT;
	else if (s->nr_frames > room)
		ret = -EMSGSIZE;
	if (ret != -ENOENT)
		cmd->nr = s->nr_frames;
	if (!ret && cmd->nr)
		memcpy(to, a->books->frames + s->frames,
		       cmd->nr * sizeof(struct bmem_frame));
	arena_unlock(a);
	return ret;
}

/* ---- what they have done ------------------------------------------ */

static uint32_t size_bucket(uint64_t bytes)
{
	uint32_t i = 0;

	while (i < BMEM_SITE_BUCKETS - 1 && bytes >= 64ULL << 2 * (i + 1))
		i++;
	return i;
}

static uint32_t life_bucket(uint32_t ticks)
{
	uint32_t i = ticks ? 32 - (uint32_t)__builtin_clz(ticks) : 0;

	return min_u32(i, BMEM_SITE_BUCKETS - 1);
}

static void note_size(struct bmem_site_row *row, uint64_t bytes)
{
	uint32_t i;

	row->size_hist[size_bucket(bytes)]++;
	for (i = 0; i < row->nr_sizes && i < BMEM_SITE_SIZES; i++)
		if (row->sizes[i] == bytes)
			return;
	if (row->nr_sizes < BMEM_SITE_SIZES)
		row->sizes[row->nr_sizes] = bytes;
	if (row->nr_sizes <= BMEM_SITE_SIZES)
		row->nr_sizes++;
}

static struct bmem_site_row *row_find(struct books *bk, uint32_t site)
{
	return &bk->rows[site_find(bk, site) - bk->sites];
}

static void note_live(struct bmem_site_row *row, uint64_t bytes,
		      uint64_t age_ms)
{
	if (!row->live_tensors || age_ms > row->first_ms)
		row->first_ms = age_ms;
	if (!row->live_tensors || age_ms < row->last_ms)
		row->last_ms = age_ms;
	row->live_tensors++;
	row->live_bytes += bytes;
	note_size(row, bytes);
}

static void note_record(struct arena *a, uint32_t record, uint64_t granted)
{
	struct bmem_site_row *row;
	struct record_view v;

	record_read(a, record, granted, &v);
	row = row_find(a->books, v.site);
	if (v.live) {
		note_live(row, v.bytes, record_age(a, &v));
	} else if (v.gen) {
		row->frees++;
		row->life_hist[life_bucket(v.ticks)]++;
	}
}

static void note_extent(struct arena *a, const struct extent *x, uint64_t now)
{
	const struct slab_class *c;
	uint32_t slot;

	if (extent_recorded(x)) {
		note_record(a, x->record, (uint64_t)x->pages << PAGE_SHIFT);
		return;
	}
	if (!extent_slotted(x)) {
		note_live(row_find(a->books, x->site), x->bytes,
			  now - x->born_ms);
		return;
	}
	c = &slab_classes[x->class];
	for (slot = 0; slot < c->slots; slot++)
		if (!(x->free >> slot & 1))
			note_record(a, x->record + slot, c->bytes);
}

/* The peak stays. */
static void forget(struct bmem_site_row *row)
{
	*row = (struct bmem_site_row) { .peak_bytes = row->peak_bytes };
}

static void sum_up(struct bmem_site_row *row)
{
	row->allocs = row->live_tensors + row->frees;
	if (row->live_tensors > 1)
		row->reuse_ms = (row->first_ms - row->last_ms) /
				(row->live_tensors - 1);
	if (row->live_bytes > row->peak_bytes)
		row->peak_bytes = row->live_bytes;
	if (row->nr_sizes > BMEM_SITE_SIZES)
		memset(row->sizes, 0, sizeof(row->sizes));
}

static void look(struct arena *a)
{
	uint32_t end = a->books->place.chunks * PLACE_CHUNK_PAGES, page, i;
	uint64_t now = clock_now(a);
	struct books *bk = a->books;
	const struct extent *x;

	bk->rows_top = bk->st.sites + 1;
	for (i = 0; i < bk->rows_top; i++)
		forget(&bk->rows[i]);
	for (page = extent_after(a, 0, end); page < end;
	     page = extent_after(a, page + x->pages, end)) {
		x = extent_at(a, page);
		note_extent(a, x, now);
	}
	for (i = 0; i < bk->rows_top; i++)
		sum_up(&bk->rows[i]);
}

/* The site with the lowest number from @number on. */
static const struct caller *site_from(const struct books *bk, uint64_t number)
{
	const struct caller *best = NULL;
	uint32_t i;

	for (i = 0; i <= bk->st.sites; i++)
		if (bk->sites[i].site >= number &&
		    (!best || bk->sites[i].site < best->site))
			best = &bk->sites[i];
	return best;
}

static void tell_row(const struct books *bk, const struct caller *s, char *to,
		     uint32_t size)
{
	size_t i = (size_t)(s - bk->sites);
	struct bmem_site_row row = { 0 };

	/* What came since the list was begun has no figures yet. */
	if (i < bk->rows_top)
		row = bk->rows[i];
	row.site = s->site;
	row.nr_frames = s->nr_frames;
	site_label(bk, s, row.label);
	memcpy(to, &row, sizeof(row));
	memset(to + sizeof(row), 0, size - sizeof(row));
}

/**
 * arena_site_list() - BMEM_SITE_LIST
 * @a: arena
 * @cmd: checked
 *
 * Return: 0 or -ENOTRECOVERABLE.
 */
int arena_site_list(struct arena *a, struct bmem_site_list *cmd)
{
	char *to = (char *)(uintptr_t)cmd->rows;
	const struct caller *s;
	uint32_t n;
	int ret;

	ret = arena_lock(a);
	if (ret)
		return ret;
	if (!cmd->cursor)
		look(a);
	for (n = 0; n < cmd->nr; n++) {
		s = site_from(a->books, cmd->cursor);
		if (!s)
			break;
		tell_row(a->books, s, to + (size_t)n * cmd->row_size,
			 cmd->row_size);
		cmd->cursor = (uint64_t)s->site + 1;
	}
	arena_unlock(a);
	cmd->nr = n;
	return 0;
}
