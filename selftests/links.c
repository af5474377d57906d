// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: declared, refused, gone with their tensors; and what the kernel makes
 * of them, against a model with a Tarjan of its own.
 *
 * BMEM_LINKS is the length of the long chain and cycle (default 20000),
 * BMEM_SEED repeats a run.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#include "leak_calls.h"

#define POOL_LIMIT	(256 * BT_MIB)
#define DELAY		1
#define KINDS		(LK_UNREF | LK_CYCLE)

FIXTURE(links) {
	struct bt_client c;
	int admin;
	int pool;
	struct bmem_alloc_entry t[4];
};

FIXTURE_SETUP(links)
{
	unsigned int i;

	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "links", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, bt_client_open(&self->c, self->pool));
	for (i = 0; i < ARRAY_SIZE(self->t); i++) {
		self->t[i] = (struct bmem_alloc_entry){
			.bytes = 5000, .site = i + 1,
		};
		ASSERT_EQ(0, bt_alloc(self->c.fd, &self->t[i], 1, NULL));
	}
}

FIXTURE_TEARDOWN(links)
{
	EXPECT_EQ(NULL, bt_check(self->c.fd));
	bt_client_close(&self->c);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

#define EXPECT_COUNTS(handle_, holds_, in_, out_) do {			\
	struct bmem_tensor_info i_ = { .size = sizeof(i_) };		\
	EXPECT_EQ(0, bt_info(self->c.fd, handle_, &i_));		\
	EXPECT_EQ(holds_, i_.holds);					\
	EXPECT_EQ(in_, i_.links_in);					\
	EXPECT_EQ(out_, i_.links_out);					\
} while (0)

/* ---- the calls ---------------------------------------------------------------- */

TEST_F(links, link_and_unlink)
{
	__u64 a = self->t[0].handle, b = self->t[1].handle;
	int fd = self->c.fd;

	EXPECT_EQ(-ENOENT, lk_unlink(fd, a, b));
	EXPECT_EQ(-ENOENT, lk_unlink(fd, 0, a));
	EXPECT_COUNTS(a, 0, 0, 0);
	EXPECT_EQ(0, lk_link(fd, a, b));
	EXPECT_EQ(-EEXIST, lk_link(fd, a, b));
	EXPECT_EQ(0, lk_link(fd, b, a));
	EXPECT_EQ(0, lk_link(fd, a, a));
	EXPECT_EQ(-EEXIST, lk_link(fd, a, a));
	EXPECT_COUNTS(a, 0, 2, 2);
	EXPECT_COUNTS(b, 0, 1, 1);
	EXPECT_EQ(0, lk_link(fd, 0, a));
	EXPECT_EQ(0, lk_link(fd, 0, a));
	EXPECT_COUNTS(a, 2, 2, 2);
	EXPECT_EQ(0, lk_unlink(fd, 0, a));
	EXPECT_EQ(0, lk_unlink(fd, 0, a));
	EXPECT_EQ(-ENOENT, lk_unlink(fd, 0, a));
	EXPECT_EQ(0, lk_unlink(fd, a, a));
	EXPECT_EQ(0, lk_unlink(fd, a, b));
	EXPECT_EQ(-ENOENT, lk_unlink(fd, a, b));
	EXPECT_COUNTS(a, 0, 1, 0);
	EXPECT_COUNTS(b, 0, 0, 1);
}

TEST_F(links, what_is_refused)
{
	struct bmem_alloc_entry far = { .bytes = 8 * BT_MIB };
	__u64 a = self->t[0].handle;
	struct bt_client other;
	int fd = self->c.fd;

	EXPECT_EQ(-EINVAL, lk_link(fd, a, 0));
	EXPECT_EQ(-EINVAL, lk_unlink(fd, a, 0));
	EXPECT_EQ(-ENOENT, lk_link(fd, a, ~0ULL));
	EXPECT_EQ(-ENOENT, lk_link(fd, ~0ULL, a));
	EXPECT_EQ(-ENOENT, lk_link(fd, 0, a + 1));
	/* A handle is a name within its client. */
	ASSERT_EQ(0, bt_client_open(&other, self->pool));
	ASSERT_EQ(0, bt_alloc1(other.fd, 4 * BT_MIB, &far));
	ASSERT_EQ(0, bt_alloc1(other.fd, 4 * BT_MIB, &far));
	EXPECT_EQ(-ENOENT, lk_link(fd, a, far.handle));
	EXPECT_EQ(-ENOENT, lk_link(fd, far.handle, a));
	EXPECT_EQ(-ENOENT, lk_link(fd, 0, far.handle));
	bt_client_close(&other);
	EXPECT_COUNTS(a, 0, 0, 0);
}

TEST_F(links, batch_is_each_for_itself)
{
	__u64 a = self->t[0].handle, b = self->t[1].handle;
	struct bmem_link_entry e[] = {
		{ .from = a, .to = b }, { .from = a, .to = b },
		{ .to = 0 }, { .to = 12345 }, { .to = b },
	};
	struct bmem_link l = {
		.size = sizeof(l), .nr = ARRAY_SIZE(e), .entries = (uintptr_t)e,
	};

	ASSERT_EQ(0, bt_call(self->c.fd, BMEM_LINK, &l));
	EXPECT_EQ(2, l.done);
	EXPECT_EQ(0, e[0].result);
	EXPECT_EQ(-EEXIST, e[1].result);
	EXPECT_EQ(-EINVAL, e[2].result);
	EXPECT_EQ(-ENOENT, e[3].result);
	EXPECT_EQ(0, e[4].result);
	EXPECT_COUNTS(b, 1, 1, 0);
}

/* Nobody pays for links that does not use them, and all is given back. */
TEST_F(links, memory_is_counted)
{
	struct bmem_client_stats before, after;
	__u64 links;

	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &before));
	links = bt_debugfs_value("overhead", "links_bytes");
	ASSERT_EQ(0, lk_link(self->c.fd, 0, self->t[0].handle));
	ASSERT_EQ(0, bt_client_stats(self->c.fd, 0, &after));
	EXPECT_LT(before.meta_bytes + 1000, after.meta_bytes);
	EXPECT_EQ(links + after.meta_bytes - before.meta_bytes,
		  bt_debugfs_value("overhead", "links_bytes"));
	bt_client_close(&self->c);
	EXPECT_TRUE(BT_WAIT(bt_debugfs_value("overhead", "links_bytes") == links,
			    BT_SOON));
	ASSERT_EQ(0, bt_client_open(&self->c, self->pool));
}

/* ---- tensors come and go -------------------------------------------------------- */

TEST_F(links, go_with_their_tensors)
{
	__u64 a = self->t[0].handle, b = self->t[1].handle;
	__u64 c = self->t[2].handle, place = self->t[1].offset;
	int fd = self->c.fd;

	ASSERT_EQ(0, lk_link(fd, a, b));
	ASSERT_EQ(0, lk_link(fd, b, c));
	ASSERT_EQ(0, lk_link(fd, c, b));
	ASSERT_EQ(0, lk_link(fd, b, b));
	ASSERT_EQ(0, bt_free1(fd, b));
	EXPECT_COUNTS(a, 0, 0, 0);
	EXPECT_COUNTS(c, 0, 0, 0);
	EXPECT_EQ(-ENOENT, lk_unlink(fd, a, b));
	EXPECT_EQ(-ENOENT, lk_link(fd, a, b));
	/* What takes its place is another tensor. */
	ASSERT_EQ(0, bt_alloc1(fd, 5000, &self->t[1]));
	EXPECT_EQ(place, self->t[1].offset);
	EXPECT_COUNTS(self->t[1].handle, 0, 0, 0);
}

TEST_F(links, recorded_tensor_used_again)
{
	struct bmem_alloc_entry e = {
		.bytes = 5000, .flags = BMEM_ALLOC_RECORD,
	};
	__u64 a = self->t[0].handle;
	struct bmem_record *ledger;
	struct bmem_query q;
	int fd = self->c.fd;
	__u64 gen = 1ULL << BMEM_RECORD_GEN_SHIFT;

	ASSERT_EQ(0, bt_query(fd, &q));
	ledger = mmap(NULL, BT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      q.ledger_offset);
	ASSERT_NE(MAP_FAILED, ledger);
	ASSERT_EQ(0, bt_alloc(fd, &e, 1, NULL));
	ASSERT_EQ(BMEM_RECORD_LIVE, ledger->head & BMEM_RECORD_STATE_MASK);
	ASSERT_EQ(0, lk_link(fd, a, e.handle));
	EXPECT_COUNTS(e.handle, 0, 1, 0);
	/* Freed, and used again for another one, without a call. */
	ledger->head += gen;
	EXPECT_COUNTS(e.handle, 0, 0, 0);
	EXPECT_EQ(-ENOENT, lk_unlink(fd, a, e.handle));
	ASSERT_EQ(0, lk_link(fd, a, e.handle));
	ledger->head &= ~BMEM_RECORD_STATE_MASK;
	EXPECT_EQ(-ENOENT, lk_link(fd, 0, e.handle));
	munmap(ledger, BT_PAGE);
}

TEST_F(links, slots)
{
	struct bmem_leak_row *rows;
	struct lk_slots s;
	__u64 a, b;

	ASSERT_EQ(0, lk_slots_open(&s, self->pool, 2));
	ASSERT_EQ(0, bt_site(s.c.fd, 7, "seven"));
	a = lk_slot_live(&s, 0, 7);
	b = lk_slot_live(&s, 1, 7);
	ASSERT_EQ(0, lk_link(s.c.fd, a, b));
	ASSERT_EQ(0, lk_link(s.c.fd, 0, a));
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, DELAY, NULL));
	ASSERT_EQ(0, lk_list(s.c.fd, 0, 0, &rows, NULL));
	free(rows);
	/* The kernel is not told, but notices before it looks. */
	lk_slot_free(&s, 0);
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, DELAY, NULL));
	ASSERT_EQ(1, lk_list(s.c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(BMEM_LEAK_UNREFERENCED, rows[0].kind);
	EXPECT_EQ(BMEM_LEAK_CONFIRMED, rows[0].state);
	EXPECT_EQ(7, rows[0].site);
	EXPECT_EQ(1, rows[0].tensors);
	EXPECT_EQ(64, rows[0].bytes);
	EXPECT_EQ(b, rows[0].samples[0]);
	EXPECT_EQ(0, strcmp("seven", rows[0].label));
	free(rows);
	lk_slot_free(&s, 1);
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, 0, NULL));
	ASSERT_EQ(0, lk_list(s.c.fd, 0, 0, &rows, NULL));
	free(rows);
	lk_slots_close(&s);
}

TEST_F(links, file)
{
	__u64 a = self->t[0].handle, b = self->t[1].handle;
	char *text, want[96];

	ASSERT_EQ(0, lk_link(self->c.fd, a, b));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, a));
	ASSERT_EQ(0, lk_link(self->c.fd, 0, a));
	text = bt_read_file(BT_DEBUGFS "/links");
	ASSERT_NE(NULL, text);
	snprintf(want, sizeof(want), "\n%llu %d - %#llx 2\n", self->c.id,
		 getpid(), a);
	EXPECT_NE(NULL, strstr(text, want));
	snprintf(want, sizeof(want), "\n%llu %d %#llx %#llx 1\n", self->c.id,
		 getpid(), a, b);
	EXPECT_NE(NULL, strstr(text, want));
	free(text);
}

/* ---- against a model -------------------------------------------------------------- */

#define NODES		60
#define ROUNDS		40

/**
 * struct model - what there should be
 * @handle: of each node's tensor; the node's site is its number + 1
 * @holds: of each
 * @referred: it has been
 * @link: matrix
 * @num: Tarjan's numbers
 * @low: Tarjan's lowlinks
 * @comp: component of each, from 1 on
 * @stack: of nodes
 * @depth: length of @stack
 * @seen: nodes numbered
 * @comps: components
 * @used: of each component
 * @cycle: of each component: it is one
 */
struct model {
	__u64 handle[NODES];
	int holds[NODES];
	int referred[NODES];
	char link[NODES][NODES];
	int num[NODES];
	int low[NODES];
	int comp[NODES];
	int stack[NODES];
	int depth;
	int seen;
	int comps;
	int used[NODES + 1];
	int cycle[NODES + 1];
};

static void tarjan(struct model *m, int v)
{
	int w, size = 0;

	m->num[v] = ++m->seen;
	m->low[v] = m->num[v];
	m->stack[m->depth++] = v;
	for (w = 0; w < NODES; w++) {
		if (!m->link[v][w])
			continue;
		if (!m->num[w]) {
			tarjan(m, w);
			m->low[v] = m->low[w] < m->low[v] ? m->low[w] : m->low[v];
		} else if (!m->comp[w] && m->num[w] < m->low[v]) {
			m->low[v] = m->num[w];
		}
	}
	if (m->low[v] != m->num[v])
		return;
	m->comps++;
	do {
		w = m->stack[--m->depth];
		m->comp[w] = m->comps;
		size++;
	} while (w != v);
	m->cycle[m->comps] = size > 1 || m->link[v][v];
}

static void solve(struct model *m)
{
	int c, v, w;

	memset(m->num, 0, sizeof(m->num));
	memset(m->comp, 0, sizeof(m->comp));
	memset(m->used, 0, sizeof(m->used));
	m->depth = 0;
	m->seen = 0;
	m->comps = 0;
	for (v = 0; v < NODES; v++)
		if (!m->num[v])
			tarjan(m, v);
	for (v = 0; v < NODES; v++)
		m->used[m->comp[v]] |= m->holds[v] || !m->referred[v];
	for (c = m->comps; c; c--)
		for (v = 0; v < NODES; v++)
			for (w = 0; w < NODES; w++)
				if (m->comp[v] == c && m->used[c] && m->link[v][w])
					m->used[m->comp[w]] = 1;
}

/* Is there something else that is not in use before it, a cycle or any? */
static int after(const struct model *m, int node, int cycle)
{
	char seen[NODES + 1] = { 0 };
	int c, v, w, found = 0;

	seen[m->comp[node]] = 1;
	for (c = 1; c <= m->comps; c++)
		for (v = 0; v < NODES; v++)
			for (w = 0; w < NODES; w++) {
				if (m->comp[v] != c || !m->link[v][w] ||
				    !seen[m->comp[w]] || m->comp[w] == c)
					continue;
				seen[c] = 1;
				found |= !cycle || m->cycle[c];
			}
	return found;
}

/* What is expected of a node: kind << 8 | evidence, or 0. */
static int verdict(const struct model *m, int v)
{
	int w, referred = 0;

	if (m->used[m->comp[v]])
		return 0;
	for (w = 0; w < NODES; w++)
		referred |= m->link[w][v];
	if (!referred)
		return BMEM_LEAK_UNREFERENCED << 8 | BMEM_LEAK_NO_REFERENCE;
	if (m->cycle[m->comp[v]])
		return BMEM_LEAK_CYCLE << 8 | BMEM_LEAK_IN_CYCLE |
		       (after(m, v, 0) ? BMEM_LEAK_BEHIND : 0);
	return after(m, v, 1) ? BMEM_LEAK_CYCLE << 8 | BMEM_LEAK_BEHIND : 0;
}

static const char *renew(struct model *m, int fd, int v)
{
	struct bmem_alloc_entry e = { .bytes = 100, .site = v + 1 };
	int w;

	if (m->handle[v] && bt_free1(fd, m->handle[v]))
		return "free";
	if (bt_alloc(fd, &e, 1, NULL))
		return "alloc";
	m->handle[v] = e.handle;
	m->holds[v] = 0;
	m->referred[v] = 0;
	for (w = 0; w < NODES; w++) {
		m->link[v][w] = 0;
		m->link[w][v] = 0;
	}
	return NULL;
}

static const char *change(struct model *m, int fd, __u64 *rnd)
{
	int v = bt_random(rnd) % NODES, w = bt_random(rnd) % NODES;

	switch (bt_random(rnd) % 16) {
	case 0 ... 6:
		if (lk_link(fd, m->handle[v], m->handle[w]) !=
		    (m->link[v][w] ? -EEXIST : 0))
			return "link";
		m->link[v][w] = 1;
		m->referred[w] = 1;
		return NULL;
	case 7 ... 10:
		if (lk_unlink(fd, m->handle[v], m->handle[w]) !=
		    (m->link[v][w] ? 0 : -ENOENT))
			return "unlink";
		m->link[v][w] = 0;
		return NULL;
	case 11 ... 12:
		m->referred[v] = 1;
		m->holds[v]++;
		return lk_link(fd, 0, m->handle[v]) ? "hold" : NULL;
	case 13 ... 14:
		if (lk_unlink(fd, 0, m->handle[v]) !=
		    (m->holds[v] ? 0 : -ENOENT))
			return "drop";
		m->holds[v] -= !!m->holds[v];
		return NULL;
	default:
		return renew(m, fd, v);
	}
}

TEST_F_TIMEOUT(links, random_graphs, BT_SLOW)
{
	const char *seed = getenv("BMEM_SEED"), *bad = NULL;
	__u64 rnd = seed ? strtoull(seed, NULL, 0) : bt_now_ns();
	struct model *m = calloc(1, sizeof(*m));
	const struct bmem_leak_row *row;
	struct bmem_leak_row *rows;
	int round, v, i, nr, want, lost = 0;

	TH_LOG("BMEM_SEED=%llu", rnd);
	for (v = 0; v < NODES; v++)
		ASSERT_EQ(NULL, renew(m, self->c.fd, v));
	/* More, where chance has made few leaks: there must be some to compare. */
	for (round = 0; round < ROUNDS ||
	     (lost <= ROUNDS && round < 4 * ROUNDS); round++) {
		for (i = 0; i < 60 && !bad; i++)
			bad = change(m, self->c.fd, &rnd);
		ASSERT_EQ(NULL, bad) {
			TH_LOG("round %d: %s", round, bad);
		}
		ASSERT_EQ(0, lk_scan(self->c.fd, KINDS, 0, NULL));
		/* What one kind has let go of, another has from its next scan on. */
		ASSERT_EQ(0, lk_scan(self->c.fd, KINDS, 0, NULL));
		nr = lk_list(self->c.fd, 0, KINDS, &rows, NULL);
		solve(m);
		for (v = 0; v < NODES; v++) {
			want = verdict(m, v);
			row = lk_row(rows, nr, want >> 8, v + 1);
			lost += !!want;
			nr -= !!want;
			ASSERT_EQ(want, row ? (int)(row->kind << 8 | row->evidence) : 0) {
				TH_LOG("round %d, node %d", round, v);
			}
			nr += !!want;
		}
		for (v = 0, i = 0; v < NODES; v++)
			i += !!verdict(m, v);
		EXPECT_EQ(i, nr);
		free(rows);
	}
	EXPECT_LT(ROUNDS, lost);
	free(m);
}

/* ---- large ones -------------------------------------------------------------------- */

static __u32 long_enough(void)
{
	const char *nr = getenv("BMEM_LINKS");

	return nr ? strtoul(nr, NULL, 0) : 20000;
}

/* From each to the next, in one line. */
static int chain(struct lk_slots *s)
{
	struct bmem_link_entry *e = calloc(s->nr, sizeof(*e));
	__u32 i;
	long done;

	for (i = 0; i < s->nr; i++) {
		e[i].to = lk_slot_live(s, i, 1);
		if (i)
			e[i].from = e[i - 1].to;
	}
	done = lk_links(s->c.fd, BMEM_LINK, e, s->nr);
	free(e);
	return done == s->nr ? 0 : -EIO;
}

static __u64 handle_of(const struct lk_slots *s, __u32 i)
{
	return (1ULL | 1ULL << 25) << BMEM_SLOT_PLACE_BITS |
	       (s->names[i] & ((1ULL << BMEM_SLOT_PLACE_BITS) - 1));
}

TEST_F_TIMEOUT(links, long_chain_and_cycle, 4 * BT_SLOW)
{
	__u32 nr = long_enough();
	struct bmem_leak_scan scan;
	struct bmem_leak_row *rows;
	struct lk_slots s;
	__u64 first, last, at;

	ASSERT_EQ(0, lk_slots_open(&s, self->pool, nr));
	ASSERT_EQ(0, bt_site(s.c.fd, 1, "one"));
	ASSERT_EQ(0, chain(&s));
	first = handle_of(&s, 0);
	last = handle_of(&s, nr - 1);
	/* Held at its beginning: all is well. */
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, 0, &scan));
	EXPECT_EQ(0, scan.suspected);
	/* Not held any more: the first is not referred to, and no other's. */
	ASSERT_EQ(0, lk_unlink(s.c.fd, 0, first));
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, 0, &scan));
	EXPECT_EQ(1, scan.suspected);
	EXPECT_EQ(64, scan.suspected_bytes);
	/* Closed: it is a cycle. */
	ASSERT_EQ(0, lk_link(s.c.fd, last, first));
	at = bt_now_ms();
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, DELAY, &scan));
	TH_LOG("%u links: two scans of a cycle in %llu ms", nr,
	       bt_now_ms() - at);
	EXPECT_EQ(1, scan.confirmed);
	EXPECT_EQ(64ULL * nr, scan.confirmed_bytes);
	ASSERT_EQ(1, lk_list(s.c.fd, 0, 0, &rows, NULL));
	EXPECT_EQ(BMEM_LEAK_CYCLE, rows[0].kind);
	EXPECT_EQ(BMEM_LEAK_IN_CYCLE, rows[0].evidence);
	EXPECT_EQ(nr, rows[0].confirmed_tensors);
	EXPECT_EQ(BMEM_LEAK_SAMPLES, rows[0].nr_samples);
	free(rows);
	/* One hold, anywhere, and there is none. */
	ASSERT_EQ(0, lk_link(s.c.fd, 0, handle_of(&s, nr / 2)));
	ASSERT_EQ(0, lk_scan(s.c.fd, KINDS, 0, &scan));
	EXPECT_EQ(0, scan.suspected + scan.confirmed);
	EXPECT_LT(0, scan.cleared);
	lk_slots_close(&s);
}

TEST_HARNESS_MAIN
