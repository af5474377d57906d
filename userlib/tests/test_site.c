// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Call sites: numbers, names, and what happens when the table is full.
 */
#include "../src/sites.h"
#include "client.h"

__attribute__((noinline))
static void *at_one_place(struct bmem_client *c, const char *label)
{
	void *p = bmem_alloc(c, 10, 0, 0, label);

	IS(p);
	return p;
}

/* A client whose sites are return addresses, whatever stacks can be had. */
static struct bmem_client *client_standard(void)
{
	struct bmem_client *c = client();

	EQ(bmem_set_level(c, BMEM_LEVEL_STANDARD), 0);
	return c;
}

static void site_of_caller(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	uint32_t one = info_of(c, at_one_place(c, NULL)).site;
	uint32_t two = info_of(c, at_one_place(c, NULL)).site;
	void *p = bmem_alloc(c, 10, 0, 0, NULL);

	(void)state;
	IS(one && p);
	EQ(two, one);
	IS(info_of(c, p).site != one);
	EQ(stats_of(c).sites, 2);
}

static void site_of_label(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client_standard();
	char label[16] = "weights";
	uint32_t w = info_of(c, at_one_place(c, label)).site, b;

	(void)state;
	/* What counts is the text, not where it is kept. */
	strcpy(label, "bias");
	b = info_of(c, at_one_place(c, label)).site;
	IS(w && b && w != b);
	EQ(info_of(c, at_one_place(c, "weights")).site, w);
	EQ(info_of(c, at_one_place(c, "bias")).site, b);
	EQ(stats_of(c).sites, 2);
}

static void site_label_text(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_tensor_desc d = info_of(c, at_one_place(c, "weights"));

	(void)state;
	HAS(d.label, "weights @ test_site+0x");
	/* Without a label the function's name, where it is known; it is static. */
	d = info_of(c, at_one_place(c, NULL));
	HAS(d.label, "test_site+0x");
	/* An empty label is none. */
	STR(info_of(c, at_one_place(c, "")).label, d.label);
}

static void site_label_long(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	struct bmem_tensor_desc d;
	char label[300];

	(void)state;
	memset(label, 'x', sizeof(label));
	label[sizeof(label) - 1] = 0;
	d = info_of(c, at_one_place(c, label));
	/* Cut in the label: the place is whole, and it fills what there is. */
	HAS(d.label, "xxx @ test_site+0x");
	EQ(strlen(d.label), BMEM_LABEL_LEN - 1);
}

static void site_label_utf8(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char name[2 * BMEM_LABEL_LEN] = "x";
	struct bmem_tensor_desc d;
	size_t i;

	(void)state;
	/* One odd byte, then two at a time: 63 is in the middle of none. */
	for (i = 0; i < 40; i++)
		strcat(name, "\xc3\xa4");
	d = info_of(c, bmem_alloc_at(c, 1, 0, 0, bmem_site(c, name)));
	EQ(strlen(d.label), 63);
	/* And of one here. */
	d = info_of(c, bmem_alloc_at(c, 1, 0, 0, bmem_site(c, name + 1)));
	EQ(strlen(d.label), 62);
}

static void site_label_control(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	uint32_t site = bmem_site(c, "a\nb\x7f" "c");

	(void)state;
	IS(site);
	STR(info_of(c, bmem_alloc_at(c, 1, 0, 0, site)).label, "a?b?c");
}

static void site_by_name(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	uint32_t a = bmem_site(c, "a"), b = bmem_site(c, "b");
	void *p = bmem_alloc_at(c, 10, 0, 0, a);

	(void)state;
	IS(a && b && a != b && p);
	EQ(bmem_site(c, "a"), a);
	EQ(info_of(c, p).site, a);
	STR(info_of(c, p).label, "a");
	EQ(bmem_site(c, NULL), 0);
	errno = 0;
	EQ(bmem_site(c, ""), 0);
	EQ(errno, EINVAL);
	EQ(stats_of(c).sites, 2);
}

static void site_none(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	void *p = bmem_alloc_at(c, 10, 0, 0, 0);

	(void)state;
	IS(p);
	EQ(info_of(c, p).site, 0);
	STR(info_of(c, p).label, "");
	EQ(stats_of(c).sites, 0);
}

static void site_keeps_errno(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();

	(void)state;
	errno = 77;
	at_one_place(c, "first sight");
	EQ(errno, 77);
}

static void sums_are(struct bmem_client *c, uint32_t site, uint64_t tensors,
		     uint64_t bytes)
{
	struct bmem_site_sums s = { .sz = sizeof(s) };

	EQ(bmem_site_stats(c, site, &s), 0);
	EQ(s.live_tensors, tensors);
	EQ(s.live_bytes, bytes);
	IS(s.granted_bytes >= bytes);
}

static void site_sums(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	uint32_t a = bmem_site(c, "a"), b = bmem_site(c, "b");
	struct bmem_site_sums s = { .sz = sizeof(s) - 1 };
	void *p[200];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(p); i++) {
		p[i] = bmem_alloc_at(c, i + 1, 0, 0, i % 2 ? a : b);
		IS(p[i]);
	}
	sums_are(c, a, 100, 10100);
	sums_are(c, b, 100, 10000);
	sums_are(c, 0, 0, 0);
	EQ(bmem_free(c, p[1]), 0);
	sums_are(c, a, 99, 10098);
	EQ(bmem_site_stats(c, a, &s), -EINVAL);
}

/* A few sites touch a few pages of their table, and every place is found. */
static void site_places(void **state)
{
	static const uint32_t hashes[] = { 0, 1, 255, 0x9e3779b1U, ~0U };
	static bool seen[SITE_SLOTS];
	uint32_t i, n, at, found;

	(void)state;
	for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		memset(seen, 0, sizeof(seen));
		for (n = 0, found = 0; n < SITE_STEPS; n++) {
			at = site_step(hashes[i], n);
			IS(at < SITE_SLOTS);
			IS(n >= SITE_TRIES || at < SITE_PART);
			found += !seen[at];
			seen[at] = true;
		}
		EQ(found, SITE_SLOTS);
	}
}

static void sites_full(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = client();
	char name[32];
	uint32_t i, first = bmem_site(c, "site 0");
	void *p;

	(void)state;
	for (i = 1; i < BMEM_SITES_MAX; i++) {
		snprintf(name, sizeof(name), "site %u", i);
		if (!bmem_site(c, name))
			EQ(i, BMEM_SITES_MAX);
	}
	EQ(stats_of(c).sites, BMEM_SITES_MAX);
	EQ(bmem_sites_lost(c), 0);
	errno = 0;
	EQ(bmem_site(c, "one too many"), 0);
	EQ(errno, ENOSPC);
	EQ(bmem_sites_lost(c), 1);
	/* Nothing fails for want of a name, and what is known stays so. */
	p = at_one_place(c, NULL);
	EQ(info_of(c, p).site, 0);
	at_one_place(c, NULL);
	EQ(bmem_sites_lost(c), 3);
	EQ(bmem_site(c, "site 0"), first);
	/* Nor when the library's own table is full as well. */
	for (i = 0; i < 2 * BMEM_SITES_MAX; i++) {
		snprintf(name, sizeof(name), "more %u", i);
		EQ(bmem_site(c, name), 0);
	}
	EQ(bmem_sites_lost(c), 3 + 2 * BMEM_SITES_MAX);
	EQ(bmem_site(c, "site 0"), first);
	at_one_place(c, NULL);
	LIVE(c, 3, 30);
}

static const struct CMUnitTest tests[] = {
	TEST(site_of_caller),
	TEST(site_of_label),
	TEST(site_label_text),
	TEST(site_label_long),
	TEST(site_label_utf8),
	TEST(site_label_control),
	TEST(site_by_name),
	TEST(site_none),
	TEST(site_keeps_errno),
	TEST(site_sums),
	TEST(site_places),
	TEST(sites_full),
};

TEST_MAIN(tests)
