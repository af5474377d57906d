// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recorded runs of real programs, contents checked at every free and at the
 * end, and after every 1000 events the kernel against the model.
 */
#include <limits.h>

#include "kselftest_harness.h"

#include "player.h"

#define EVERY		1000
#define POOL_LIMIT	(256 * BT_MIB)

/*
 * The debug kernel is there for what it says in its log; a whole trace takes
 * it ten times as long as the others.
 */
#define DEBUG_EVENTS	60000

#ifndef TRACES
#define TRACES		"traces"
#endif

FIXTURE(replay) {
	struct trace trace;
	struct player player;
	int admin;
	int pool;
};

FIXTURE_VARIANT(replay) {
	const char *file;
};

FIXTURE_VARIANT_ADD(replay, cnn) { .file = "cnn-tensor.trace.zst" };
FIXTURE_VARIANT_ADD(replay, kv) { .file = "kv-tensor.trace.zst" };
FIXTURE_VARIANT_ADD(replay, cnn_heap) { .file = "cnn-heap.trace.zst" };
FIXTURE_VARIANT_ADD(replay, kv_heap) { .file = "kv-heap.trace.zst" };
FIXTURE_VARIANT_ADD(replay, numpy) { .file = "numpy-heap.trace.zst" };

FIXTURE_SETUP(replay)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", TRACES, variant->file);
	self->admin = bt_open();
	ASSERT_LE(0, self->admin);
	self->pool = bt_pool_create(self->admin, "replay", POOL_LIMIT, 0);
	ASSERT_LE(0, self->pool);
	ASSERT_EQ(0, trace_load(&self->trace, path)) {
		TH_LOG("%s", path);
	}
	ASSERT_EQ(NULL, player_open(&self->player, &self->trace, &backend_raw,
				    "replay_test", self->pool)) {
		TH_LOG("%s", self->player.error);
	}
	self->player.pattern = true;
}

static size_t events_to_play(const struct trace *t)
{
	bool debug = bt_debug_kernel();

	return debug && t->nr > DEBUG_EVENTS ? DEBUG_EVENTS : t->nr;
}

FIXTURE_TEARDOWN(replay)
{
	player_close(&self->player);
	EXPECT_EQ(0, bt_pool_destroy(self->admin, self->pool));
	close(self->admin);
}

#define ASSERT_FINE(bad) do {						\
	const char *bad_ = (bad);					\
	ASSERT_EQ(NULL, bad_) {						\
		TH_LOG("event %zu: %s", self->player.next, bad_);	\
	}								\
} while (0)

TEST_F_TIMEOUT(replay, whole_trace, 4 * BT_SLOW)
{
	size_t last = events_to_play(&self->trace);
	struct player *p = &self->player;
	struct bmem_client_stats st;
	struct bmem_pool_stats pool;

	while (p->next < last) {
		ASSERT_FINE(player_step(p));
		if (p->played % EVERY == 0)
			ASSERT_FINE(player_check(p));
		if (p->played % 50000 == 0)
			TH_LOG("%llu events, %llu MiB live", p->played,
			       p->live_bytes / BT_MIB);
	}
	ASSERT_FINE(player_verify(p));
	ASSERT_FINE(player_check(p));
	if (last == self->trace.nr)
		EXPECT_EQ(self->trace.peak_bytes, p->peak_bytes);
	if (p->big_bytes) {
		TH_LOG("waste from 1 MiB up: %.4f %%", 100.0 *
		       (p->big_granted - p->big_bytes) / p->big_bytes);
		EXPECT_LT((p->big_granted - p->big_bytes) * 100, p->big_bytes);
	}
	ASSERT_EQ(0, bt_client_stats(p->client.fd, 0, &st));
	TH_LOG("peak: %llu bytes live, %llu attached (%.3f)", st.peak_live_bytes,
	       st.peak_attached_bytes,
	       (double)st.peak_attached_bytes / st.peak_live_bytes);

	ASSERT_FINE(player_drain(p));
	ASSERT_FINE(player_check(p));
	ASSERT_EQ(0, bt_trim(p->client.fd, 0, 0, NULL));
	ASSERT_EQ(0, bt_client_stats(p->client.fd, 0, &st));
	EXPECT_EQ(0, st.live_tensors);
	EXPECT_EQ(0, st.attached_bytes);
	ASSERT_EQ(0, bt_pool_stats(self->admin, self->pool, &pool));
	EXPECT_EQ(0, pool.attached_bytes);
	EXPECT_EQ(0, pool.total_bytes);
}

TEST_HARNESS_MAIN
