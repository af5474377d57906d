// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What an allocator on top of the library needs: call sites of its own callers,
 * sizes that change in place, and the list of sites.
 */
#include "client.h"

static struct bmem_client *c;

static int set_up(void **state)
{
	test_note_name(state);
	c = client();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	bmem_close(c);
	return 0;
}

/* An allocator: what calls it is the call site. */
__attribute__((noinline))
static void *allocator(size_t size, const void **ret)
{
	*ret = __builtin_return_address(0);
	return bmem_alloc_from(c, size, 0, 0, NULL, *ret,
			       __builtin_frame_address(0));
}

/* The row of the site that a tensor is counted under. */
static struct bmem_site_row row_of(const void *p)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };
	struct bmem_site_row row = { 0 };
	struct bmem_site_list list = {
		.size = sizeof(list),
		.row_size = sizeof(row),
		.rows = (uintptr_t)&row,
	};

	EQ(bmem_tensor_info(c, p, &d), 0);
	IS(d.site);
	do {
		list.nr = 1;
		EQ(bmem_site_list(c, &list), 0);
	} while (list.nr && row.site != d.site);
	EQ(list.nr, 1);
	STR(row.label, d.label);
	return row;
}

/* Small ones have the return address alone, the others begin with it. */
static void site_is_the_callers(void **state)
{
	static const size_t sizes[] = { 100, 100000, 2 * MIB };
	struct bmem_frame frames[BMEM_FRAMES_MAX];
	struct bmem_module_info info = { .size = sizeof(info) };
	struct bmem_site_frames sf = {
		.size = sizeof(sf),
		.frames = (uintptr_t)frames,
	};
	const void *ret[2];
	void *p, *q;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		p = allocator(sizes[i], &ret[0]);
		q = allocator(sizes[i], &ret[1]);
		IS(p && q && ret[0] != ret[1]);
		sf.site = row_of(p).site;
		IS(sf.site != row_of(q).site);
		sf.nr = BMEM_FRAMES_MAX;
		EQ(bmem_site_frames(c, &sf), 0);
		IS(sf.nr >= 1);
		info.module = frames[0].module;
		IS(info.module);
		EQ(bmem_module_info(c, &info), 0);
		EQ((uintptr_t)ret[0] % BMEM_PAGE_SIZE,
		   frames[0].offset % BMEM_PAGE_SIZE);
		EQ(bmem_free(c, p), 0);
		EQ(bmem_free(c, q), 0);
	}
}

static void from_errors(void **state)
{
	const void *ret = __builtin_return_address(0);

	(void)state;
	NUL(bmem_alloc_from(c, 0, 0, 0, NULL, ret, NULL), EINVAL);
	NUL(bmem_alloc_from(c, 64, 24, 0, NULL, ret, NULL), EINVAL);
	NUL(bmem_alloc_from(c, 64, 0, 1U << 9, NULL, ret, NULL), EOPNOTSUPP);
}

static uint64_t bytes_of(const void *p)
{
	struct bmem_tensor_desc d = { .sz = sizeof(d) };

	EQ(bmem_tensor_info(c, p, &d), 0);
	return d.bytes;
}

/* In place up to what was granted, and down to half of it; else not at all. */
static void resize_in_place(void **state)
{
	static const size_t sizes[] = { 100, 5000, 33000, 3 * MIB + 5 };
	size_t i, granted;
	char *p;

	(void)state;
	for (i = 0; i < 4; i++) {
		p = bmem_alloc(c, sizes[i], 0, 0, NULL);
		IS(p);
		granted = bmem_usable_size(c, p);
		memset(p, 0x5a, granted);
		EQ(bmem_resize(c, p, granted), 0);
		EQ(bytes_of(p), granted);
		EQ(bmem_resize(c, p, granted + 1), -ERANGE);
		EQ(bytes_of(p), granted);
		EQ(bmem_resize(c, p, granted / 2 + 1), 0);
		EQ(bytes_of(p), granted / 2 + 1);
		EQ(bmem_resize(c, p, granted / 2), -ERANGE);
		EQ(bmem_resize(c, p, 1), -ERANGE);
		EQ(bytes_of(p), granted / 2 + 1);
		EQ(p[0], 0x5a);
		EQ(p[granted - 1], 0x5a);
		EQ(bmem_free(c, p), 0);
	}
}

static void resize_errors(void **state)
{
	char *p = bmem_alloc(c, 1000, 0, 0, NULL);
	int x;

	(void)state;
	IS(p);
	EQ(bmem_resize(c, p, 0), -EINVAL);
	EQ(bmem_resize(c, &x, 100), -EINVAL);
	EQ(bmem_resize(c, p + 1, 100), -EINVAL);
	EQ(bmem_resize(c, p + 64, 100), -ENOENT);
	EQ(bmem_resize(c, p, SIZE_MAX), -ERANGE);
	EQ(bmem_free(c, p), 0);
	EQ(bmem_resize(c, p, 900), -ENOENT);
}

/* What is owned is the space, to the byte. */
static void space_is_owned(void **state)
{
	size_t len = 0;
	char *base = bmem_space(c, &len);
	char *p = bmem_alloc(c, 100000, 0, 0, NULL);

	(void)state;
	IS(base && len >= LIMIT && len % BMEM_HUGE_SIZE == 0);
	IS(bmem_space(c, NULL) == base);
	IS(p >= base && p + 100000 <= base + len);
	IS(bmem_owns(c, base) && bmem_owns(c, base + len - 1));
	IS(!bmem_owns(c, base - 1) && !bmem_owns(c, base + len));
}

static const struct CMUnitTest tests[] = {
	{ "site_is_the_callers", site_is_the_callers, set_up, tear_down, (void *)"site_is_the_callers" },
	{ "from_errors", from_errors, set_up, tear_down, (void *)"from_errors" },
	{ "resize_in_place", resize_in_place, set_up, tear_down, (void *)"resize_in_place" },
	{ "space_is_owned", space_is_owned, set_up, tear_down, (void *)"space_is_owned" },
	{ "resize_errors", resize_errors, set_up, tear_down, (void *)"resize_errors" },
};

TEST_MAIN(tests)
