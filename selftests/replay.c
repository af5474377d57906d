// SPDX-License-Identifier: GPL-2.0-only
/*
 * replay: plays a recorded trace on /dev/bmem, as the program once ran that
 * it was recorded from, and can check everything on the way.
 */
#include <getopt.h>
#include <signal.h>

#include "player.h"

/**
 * struct options - the command line
 * @trace: file
 * @label: of the client
 * @pool: id of its pool
 * @check_every: events between two checks against the model, 0 for none
 * @from: first event
 * @to: event to stop before
 * @pace: seconds that the replay is stretched to
 * @raw: by ioctls even when libbmem is there
 * @pattern: write contents and check them
 * @hold: stop at the peak and wait for a signal
 * @quiet: no progress
 */
struct options {
	const char *trace;
	const char *label;
	int pool;
	unsigned long check_every;
	size_t from;
	size_t to;
	double pace;
	bool raw;
	bool pattern;
	bool hold;
	bool quiet;
};

static const char usage_text[] =
	"usage: replay --trace FILE [options]\n"
	"  --label NAME       what reports call this client (the trace's name)\n"
	"  --pool ID          pool to bind to (0)\n"
	"  --window A:B       only events A to B; what was live at A comes first\n"
	"  --pattern          write every tensor and verify it\n"
	"  --check-every N    compare the kernel with a model after N events\n"
	"  --pace SECONDS     stretch the run to about so long\n"
	"  --hold             stop at the peak and wait to be killed\n"
	"  --raw              ioctls instead of libbmem\n"
	"  --quiet            no progress\n";

static const struct option long_options[] = {
	{ "trace", required_argument, NULL, 't' },
	{ "label", required_argument, NULL, 'l' },
	{ "pool", required_argument, NULL, 'P' },
	{ "window", required_argument, NULL, 'w' },
	{ "pattern", no_argument, NULL, 'p' },
	{ "check-every", required_argument, NULL, 'c' },
	{ "pace", required_argument, NULL, 's' },
	{ "hold", no_argument, NULL, 'H' },
	{ "raw", no_argument, NULL, 'r' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ },
};

static int parse_options(struct options *o, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (opt) {
		case 't':
			o->trace = optarg;
			break;
		case 'l':
			o->label = optarg;
			break;
		case 'P':
			o->pool = atoi(optarg);
			break;
		case 'w':
			if (sscanf(optarg, "%zu:%zu", &o->from, &o->to) != 2)
				return -1;
			break;
		case 'p':
			o->pattern = true;
			break;
		case 'c':
			o->check_every = strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->pace = atof(optarg);
			break;
		case 'H':
			o->hold = true;
			break;
		case 'r':
			o->raw = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			return -1;
		}
	}
	return o->trace && optind == argc ? 0 : -1;
}

static void progress(const struct player *p, const struct options *o)
{
	static __u64 shown;
	__u64 now = bt_now_ms();

	if (o->quiet || now - shown < 2000)
		return;
	shown = now;
	fprintf(stderr, "replay: %s: %3zu %%, %llu tensors, %.1f MiB live\n",
		o->label, (p->next - o->from) * 100 / (o->to - o->from), p->live,
		p->live_bytes / 1048576.0);
}

/* Sleeps until the moment that event @i of the run is due. */
static void keep_pace(const struct options *o, __u64 start, size_t i)
{
	__u64 due = start + o->pace * 1e9 * i / (o->to - o->from);
	__u64 now = bt_now_ns();

	if (due > now)
		usleep((due - now) / 1000);
}

static void hold(const struct player *p, const struct options *o)
{
	printf("replay: %s: holding %llu tensors, %llu bytes\n", o->label,
	       p->live, p->live_bytes);
	fflush(stdout);
	pause();
}

static const char *play(struct player *p, const struct options *o)
{
	__u64 start = bt_now_ns();
	const char *bad = NULL;
	size_t peak = p->trace->peak_at;

	if (peak <= o->from || peak > o->to)
		peak = o->to;
	while (p->next < o->to && !bad) {
		bad = player_step(p);
		if (!bad && o->check_every && p->played % o->check_every == 0)
			bad = player_check(p);
		if (o->hold && p->next == peak)
			hold(p, o);
		if (p->played % 64 == 0) {
			progress(p, o);
			if (o->pace)
				keep_pace(o, start, p->next - o->from);
		}
	}
	return bad;
}

/* Plays, verifies what is left, gives it back. */
static const char *run(struct player *p, const struct options *o)
{
	const char *bad = player_seek(p, o->from);
	__u64 start = bt_now_ns(), spent;

	if (!bad)
		bad = play(p, o);
	spent = bt_now_ns() - start;
	if (!bad)
		bad = player_verify(p);
	if (!bad && o->check_every)
		bad = player_check(p);
	if (bad)
		return bad;
	printf("replay: %s: %llu events by %s, %llu ns each, peak %.1f MiB live, %llu tensors left",
	       o->label, p->played, p->backend->name,
	       spent / (p->played ? p->played : 1), p->peak_bytes / 1048576.0,
	       p->live);
	if (p->big_bytes)
		printf(", waste from 1 MiB up %.3f %%",
		       100.0 * (p->big_granted - p->big_bytes) / p->big_bytes);
	printf("\n");
	return player_drain(p);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	const struct backend *backend;
	const char *bad;
	struct player p;
	struct trace t;
	int ret;

	if (parse_options(&o, argc, argv)) {
		fputs(usage_text, stderr);
		return 2;
	}
	ret = trace_load(&t, o.trace);
	if (ret) {
		fprintf(stderr, "replay: %s: %s\n", o.trace,
			ret == -EILSEQ ? "not a trace" : strerror(-ret));
		return 1;
	}
	if (!o.to || o.to > t.nr)
		o.to = t.nr;
	if (o.from >= o.to) {
		fprintf(stderr, "replay: the trace has %zu events\n", t.nr);
		return 2;
	}
	if (!o.label)
		o.label = t.name;
	backend = o.raw ? NULL : backend_lib();
	bad = player_open(&p, &t, backend ? backend : &backend_raw, o.label, o.pool);
	if (!bad) {
		p.pattern = o.pattern;
		bad = run(&p, &o);
		player_close(&p);
	}
	if (bad)
		fprintf(stderr, "replay: %s: %s\n", o.label, bad);
	trace_unload(&t);
	return bad ? 1 : 0;
}
