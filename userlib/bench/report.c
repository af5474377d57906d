// SPDX-License-Identifier: GPL-2.0-only
/*
 * report: tables and results.json out of what the benchmarks measured.
 *
 * usage: report RESULTS.json FILE...
 *
 * Each line of a FILE that reads "NAME VALUE UNIT" is one sample; all others
 * are passed over.  Samples of one name are of rounds that took turns, so the
 * i-th sample of one name and the i-th of another were taken side by side.  A
 * figure is the median of its samples, a ratio the median of the rounds'
 * ratios.
 */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define FIGURES_MAX	4096
#define SAMPLES_MAX	256
#define NAME_LEN	96

/**
 * struct figure - all samples of one name
 * @name: "what/it/ran"
 * @unit: of the samples
 * @nr: number of samples
 * @samples: in the order of the rounds
 */
struct figure {
	char name[NAME_LEN];
	char unit[16];
	int nr;
	double samples[SAMPLES_MAX];
};

static struct figure *figures;
static int nr_figures;
static json_t *results;

static const char *const allocators[] = {
	"glibc", "jemalloc", "tcmalloc", "mimalloc",
};
static const char *const columns[] = {
	"glibc", "jemalloc", "tcmalloc", "mimalloc", "bmem",
};
static const char *const traces[] = {
	"cnn-tensor", "kv-tensor", "cnn-heap", "kv-heap", "numpy-heap",
};
static const char *const small[] = { "64", "256", "1024", "4096" };
static const char *const large[] = {
	"65536", "262144", "1048576", "4194304", "67108864",
};

#define COUNT(array)	((int)(sizeof(array) / sizeof((array)[0])))

/* ---- samples --------------------------------------------------------------- */

static struct figure *find(const char *name)
{
	int i;

	for (i = 0; i < nr_figures; i++)
		if (!strcmp(figures[i].name, name))
			return &figures[i];
	return NULL;
}

static void add_sample(const char *name, double value, const char *unit)
{
	struct figure *f = find(name);

	if (!f) {
		if (nr_figures == FIGURES_MAX)
			return;
		f = &figures[nr_figures++];
		snprintf(f->name, sizeof(f->name), "%s", name);
		snprintf(f->unit, sizeof(f->unit), "%s", unit);
	}
	if (f->nr < SAMPLES_MAX)
		f->samples[f->nr++] = value;
}

static void read_samples(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256], name[NAME_LEN], unit[16];
	double value;

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%95s %lf %15s", name, &value, unit) == 3 &&
		    strchr(name, '/'))
			add_sample(name, value, unit);
	fclose(file);
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median_of(const double *from, int nr)
{
	double sorted[SAMPLES_MAX];

	if (!nr)
		return NAN;
	memcpy(sorted, from, (size_t)nr * sizeof(*sorted));
	qsort(sorted, (size_t)nr, sizeof(*sorted), by_value);
	return nr % 2 ? sorted[nr / 2] :
			(sorted[nr / 2 - 1] + sorted[nr / 2]) / 2;
}

/* NAN when nothing of the name was measured. */
static __attribute__((format(printf, 1, 2))) double median(const char *fmt, ...)
{
	char name[NAME_LEN];
	struct figure *f;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	f = find(name);
	return f ? median_of(f->samples, f->nr) : NAN;
}

/* Median of the rounds' ratios of @prefix/@a to @prefix/@b. */
static double paired(const char *prefix, const char *a, const char *b)
{
	double ratios[SAMPLES_MAX];
	struct figure *x, *y;
	char name[NAME_LEN];
	int i, nr;

	snprintf(name, sizeof(name), "%s/%s", prefix, a);
	x = find(name);
	snprintf(name, sizeof(name), "%s/%s", prefix, b);
	y = find(name);
	if (!x || !y)
		return NAN;
	nr = x->nr < y->nr ? x->nr : y->nr;
	for (i = 0; i < nr; i++)
		ratios[i] = x->samples[i] / y->samples[i];
	return median_of(ratios, nr);
}

/* Ratio of libbmem to the best of the four; NAN unless all are there. */
static double to_best(const char *prefix)
{
	double worst = 0, ratio;
	int i;

	for (i = 0; i < COUNT(allocators); i++) {
		ratio = paired(prefix, "bmem", allocators[i]);
		if (isnan(ratio))
			return NAN;
		worst = fmax(worst, ratio);
	}
	return worst;
}

/* ---- results.json ---------------------------------------------------------- */

static json_t *number(double value)
{
	return isnan(value) ? json_null() : json_real(value);
}

/*
 * What is not measured has a value of null, and is not met nor missed.  @least:
 * the goal is the least that will do, not the most.
 */
static void result_of(const char *name, double value, const char *unit,
		      double goal, bool least, const char *note)
{
	bool reached = least ? value >= goal : value <= goal;
	json_t *met = isnan(value) || isnan(goal) ? json_null() :
						    json_boolean(reached);
	char text[640];

	snprintf(text, sizeof(text), "%s%s", isnan(value) ? "not measured; " : "",
		 note);
	json_array_append_new(results, json_pack("{s:s,s:o,s:s,s:o,s:o,s:s}",
						 "name", name,
						 "value", number(value),
						 "unit", unit,
						 "goal", number(goal),
						 "met", met, "note", text));
	if (isnan(goal))
		return;
	printf("%-34s %10s %-12s %8g  %s\n", name,
	       isnan(value) ? "-" : (snprintf(text, sizeof(text), "%.4g", value),
				     text), unit, goal,
	       isnan(value) ? "not measured" : reached ? "met" : "MISSED");
}

static void result(const char *name, double value, const char *unit,
		   double goal, const char *note)
{
	result_of(name, value, unit, goal, false, note);
}

/* What ran, by the beginning of a figure's name. */
static const struct {
	const char *prefix;
	const char *note;
} notes[] = {
	{ "pairs/", "native, memfd backend; CPU time a pair without the loop's own; pairs/ORDER/THREADS/TOUCH/BYTES/ALLOCATOR" },
	{ "replay/", "native, memfd backend; CPU time an event, loop included (its own is .../loop); one thread, 256 call sites, untouched" },
	{ "touched/", "as replay/, one byte written in each page of a block" },
	{ "chunks/", "how often the fallback got 2 MiB from the kernel during replay/" },
	{ "held/", "native, first replay; bmem: attached bytes, a look each 16 events; others: growth of RSS, one byte a page written, a look each 256 events" },
	{ "scan/native/", "native: the module's scan_words.h on 256 MiB; CPU time" },
	{ "vm/icount/", "6.12 in QEMU, -icount: exact instructions of the guest, all its work meanwhile included" },
	{ "vm/time/", "6.12 in QEMU without KVM, 2 CPUs: emulated time" },
};

static const char *note_of(const char *name)
{
	int i;

	for (i = 0; i < COUNT(notes); i++)
		if (!strncmp(name, notes[i].prefix, strlen(notes[i].prefix)))
			return notes[i].note;
	return "";
}

static void all_figures(void)
{
	struct figure *f;

	for (f = figures; f < figures + nr_figures; f++)
		result(f->name, median_of(f->samples, f->nr), f->unit, NAN,
		       note_of(f->name));
}

/* ---- tables ---------------------------------------------------------------- */

static void cell(double value)
{
	if (isnan(value))
		printf(" %12s", "-");
	else if (value < 1000)
		printf(" %12.2f", value);
	else
		printf(" %12.0f", value);
}

static void header(const char *title)
{
	int i;

	printf("\n%-28s", title);
	for (i = 0; i < COUNT(columns); i++)
		printf(" %12s", columns[i]);
	printf("\n");
}

static void row(const char *prefix, const char *name)
{
	int i;

	printf("%-28s", name);
	for (i = 0; i < COUNT(columns); i++)
		cell(median("%s/%s", prefix, columns[i]));
	printf("\n");
}

static void pairs_of(const char *order, int threads, const char *touch)
{
	char prefix[NAME_LEN];
	int i;

	snprintf(prefix, sizeof(prefix), "%s, %d thread%s, %s", order, threads,
		 threads > 1 ? "s" : "", touch);
	header(prefix);
	for (i = 0; i < COUNT(small) + COUNT(large); i++) {
		const char *size = i < COUNT(small) ? small[i] :
						      large[i - COUNT(small)];

		snprintf(prefix, sizeof(prefix), "pairs/%s/%d/%s/%s", order,
			 threads, touch, size);
		row(prefix, size);
	}
}

static void pair_tables(void)
{
	static const char *const orders[] = { "pair", "fifo", "random", "lifo" };
	int i, threads;

	printf("\nns of CPU time a pair of allocation and free\n");
	for (i = 0; i < COUNT(orders); i++) {
		for (threads = 1; threads <= 2; threads++) {
			pairs_of(orders[i], threads, "untouched");
			pairs_of(orders[i], threads, "touched");
		}
	}
	pairs_of("handed", 2, "untouched");
	pairs_of("handed", 2, "touched");
}

static void trace_table(const char *title, const char *kind, const char *what)
{
	char prefix[NAME_LEN];
	int i;

	header(title);
	for (i = 0; i < COUNT(traces); i++) {
		snprintf(prefix, sizeof(prefix), "%s/%s/%s", kind, traces[i], what);
		row(prefix, traces[i]);
	}
}

static void level_table(void)
{
	static const char *const levels[] = {
		"loop", "bmem-off", "bmem-counts", "bmem-standard", "bmem-full",
	};
	int i, k;

	printf("\n%-28s", "replay by tracking level, ns");
	for (k = 0; k < COUNT(levels); k++)
		printf(" %13s", levels[k]);
	printf("\n");
	for (i = 0; i < COUNT(traces); i++) {
		printf("%-28s", traces[i]);
		for (k = 0; k < COUNT(levels); k++) {
			printf(" ");
			cell(median("replay/%s/first/%s", traces[i], levels[k]));
		}
		printf("\n");
	}
}

static void scan_table(void)
{
	printf("\nlook at words of the scan for leaks, GiB/s\n");
	printf("%-28s", "numbers");
	cell(median("scan/native/numbers"));
	printf("\n%-28s", "one pointer in 8 words");
	cell(median("scan/native/one_pointer_in_8"));
	printf("\n");
}

static void vm_table(void)
{
	struct figure *f;

	printf("\nin the VM\n");
	for (f = figures; f < figures + nr_figures; f++)
		if (!strncmp(f->name, "vm/", 3))
			printf("%-44s %16.*f %s\n", f->name,
			       median_of(f->samples, f->nr) < 100 ? 3 : 0,
			       median_of(f->samples, f->nr), f->unit);
}

/* ---- figures to reach ------------------------------------------------------ */

static double worst_to_best(const char *touch, const char *const *sizes, int nr)
{
	char prefix[NAME_LEN];
	double worst = 0, ratio;
	int i;

	for (i = 0; i < nr; i++) {
		snprintf(prefix, sizeof(prefix), "pairs/pair/1/%s/%s", touch,
			 sizes[i]);
		ratio = to_best(prefix);
		if (isnan(ratio))
			return NAN;
		worst = fmax(worst, ratio);
	}
	return worst;
}

static double worst_to_glibc(void)
{
	char prefix[NAME_LEN];
	double worst = 0, ratio;
	int i;

	for (i = 0; i < COUNT(small); i++) {
		snprintf(prefix, sizeof(prefix), "pairs/pair/1/untouched/%s",
			 small[i]);
		ratio = paired(prefix, "bmem", "glibc");
		if (isnan(ratio))
			return NAN;
		worst = fmax(worst, ratio);
	}
	return worst;
}

/* Geometric mean over the traces of one name's ratio to another. */
static double replay_mean(const char *what, const char *pass, const char *a,
			  const char *b)
{
	char prefix[NAME_LEN];
	double sum = 0;
	int i;

	for (i = 0; i < COUNT(traces); i++) {
		snprintf(prefix, sizeof(prefix), "%s/%s/%s", what, traces[i],
			 pass);
		sum += log(paired(prefix, a, b));
	}
	return exp(sum / COUNT(traces));
}

/* Mean over the traces of how many nanoseconds an event one takes more. */
static double replay_more(const char *a, const char *b)
{
	double sum = 0;
	int i;

	for (i = 0; i < COUNT(traces); i++)
		sum += median("replay/%s/again/%s", traces[i], a) -
		       median("replay/%s/again/%s", traces[i], b);
	return sum / COUNT(traces);
}

static double held_mean(const char *what, const char *name)
{
	double sum = 0;
	int i;

	for (i = 0; i < COUNT(traces); i++)
		sum += log(median("held/%s/%s/%s", traces[i], what, name));
	return exp(sum / COUNT(traces));
}

static double worst_metadata(void)
{
	double cnn = median("held/cnn-tensor/meta/bmem");
	double kv = median("held/kv-tensor/meta/bmem");

	return isnan(cnn) || isnan(kv) ? NAN : fmax(cnn, kv);
}

static void native_goals(void)
{
	result("pair_small_to_best", worst_to_best("untouched", small, COUNT(small)),
	       "ratio", 1.5,
	       "64 B to 4 KiB, order pair, one thread, default level: worst size's ratio to the best of glibc, jemalloc, tcmalloc, mimalloc");
	result("pair_small_to_glibc", worst_to_glibc(), "ratio", 1.0,
	       "the same, to glibc");
	result("pair_large_untouched_to_best",
	       worst_to_best("untouched", large, COUNT(large)), "ratio", 1.0,
	       "64 KiB to 64 MiB, order pair, one thread: worst size's ratio to the best of the four; first 8 bytes written");
	result("pair_large_touched_to_best",
	       worst_to_best("touched", large, COUNT(large)), "ratio", 1.0,
	       "the same, one byte a page written");
	result("replay_to_tcmalloc",
	       replay_mean("replay", "first", "bmem", "tcmalloc"), "ratio", 1.0,
	       "geometric mean over five traces, first replay in a fresh process, default level, loop included in both; bmem's memory is zeroed, nobody else's is there at all");
	result("replay_again_to_tcmalloc",
	       replay_mean("replay", "again", "bmem", "tcmalloc"), "ratio", 1.0,
	       "the same, second replay in the process");
	result("replay_keep_again_to_tcmalloc",
	       replay_mean("replay", "again", "bmem-keep", "tcmalloc"), "ratio",
	       1.0, "the same where bmem gives nothing back, as tcmalloc does");
	result("replay_touched_to_tcmalloc",
	       replay_mean("touched", "first", "bmem", "tcmalloc"), "ratio", 1.0,
	       "first replay, one byte written in each page: each has its memory");
	result("replay_touched_again_to_tcmalloc",
	       replay_mean("touched", "again", "bmem", "tcmalloc"), "ratio", 1.0,
	       "the same, second replay in the process");
	result("held_peak", held_mean("peak", "bmem"), "ratio", 1.12,
	       "attached bytes in huge pages over live bytes at the peak, geometric mean over five traces");
	result("held_mean", held_mean("mean", "bmem"), "ratio", 1.16,
	       "the same, sums over all looks");
	result("held_peak_tight", held_mean("peak", "bmem-tight"), "ratio", 1.12,
	       "the same where empty huge pages are given back at once");
	result("held_mean_tight", held_mean("mean", "bmem-tight"), "ratio", 1.16,
	       "the same");
	result("tracking_full_to_off",
	       replay_mean("replay", "first", "bmem-full", "bmem-off"), "ratio",
	       1.03,
	       "CPU time of replays, geometric mean over five traces; nothing is computed between the events");
	result("tracking_standard_to_off",
	       replay_mean("replay", "first", "bmem-standard", "bmem-off"),
	       "ratio", 1.01,
	       "the same");
	/* A ratio hides behind whatever else is slow; a difference does not. */
	result("tracking_full_more", replay_more("bmem-full", "bmem-off"),
	       "ns", NAN,
	       "what level full takes more than off, an event, mean over five traces, second replay");
	result("tracking_standard_more", replay_more("bmem-standard", "bmem-off"),
	       "ns", NAN, "the same for level standard");
	result("metadata_on_tensor_traces", worst_metadata(), "%", 0.5,
	       "bookkeeping over live bytes, sums over the replay, the worse of cnn-tensor and kv-tensor");
}

static void vm_goals(void)
{
	double base = median("vm/icount/pair_at/100");
	double most = median("vm/icount/pair_at/1000000");
	double queued = fmax(median("vm/icount/free_queued/10"),
			     median("vm/icount/free_queued/64"));

	if (isnan(most))
		most = median("vm/icount/pair_at/100000");
	result("map_1GiB_to_hugetlb",
	       median("vm/icount/map/bmem/1073741824/all") /
	       median("vm/icount/map/hugetlb/1073741824/all"), "ratio", 0.02,
	       "6.12, -icount: mmap, first touch, munmap and release of 1 GiB from a warm pool, against MAP_HUGETLB, instructions");
	result("ioctl_pair_growth", most / base, "ratio", 1.5,
	       isnan(median("vm/icount/pair_at/1000000")) ?
	       "6.12, -icount: ALLOC + FREE of 4 MiB with 10^5 tensors live over 10^2" :
	       "6.12, -icount: ALLOC + FREE of 4 MiB with 10^6 tensors live over 10^2");
	result("free_queued", queued / median("vm/icount/free_queued/0"), "ratio",
	       1.1, "6.12, -icount: FREE of 2 MiB with 10 or 64 huge pages waiting to go back, over one with none");
	result("list_100000", median("vm/time/list_alone/100000"), "ms", 100,
	       "6.12, emulated: TENSOR_LIST of 100000 tensors in calls of 1024; while another thread allocates and frees: vm/time/list/100000");
	result("list_longest_wait", median("vm/time/alloc_wait/listing") / 1000 /
	       median("vm/time/list/100000"), "ratio", NAN,
	       "longest wait of another thread's ALLOC and FREE over the time of the list; a lock held across it would make this 1");
}

/*
 * A scan of a GiB takes the time of its words, here, and that of the kernel's
 * work for its pages: of that the VM counts the instructions, and each is taken
 * to last a nanosecond, which is slower than any processor of today.
 */
static double scan_speed(const char *what)
{
	double rest = median("vm/icount/scan_page_rest");

	return 1 / (1 / median("scan/native/%s", what) +
		    rest * (1 << 18) / 1e9);
}

static void leak_goals(void)
{
	double pair = median("vm/icount/growth_pair");

	result_of("scan_words", median("scan/native/numbers"), "GiB/s", 1, true,
		  "native, one core: the module's loop over words alone, none of which leads anywhere; without page tables, references to pages and kmap");
	result_of("scan_words_pointers", median("scan/native/one_pointer_in_8"),
		  "GiB/s", 1, true,
		  "the same where each eighth word leads to a tensor that is known by then");
	result_of("scan_native", scan_speed("numbers"), "GiB/s", 1, true,
		  "native time of the words, and a nanosecond for each instruction of the kernel's other work for a page (page tables, get_user_pages, kmap, put_page: vm/icount/scan_page_rest)");
	result_of("scan_native_pointers", scan_speed("one_pointer_in_8"), "GiB/s",
		  1, true, "the same where each eighth word leads to a tensor");
	result("growth_of_allocations_100", median("vm/icount/growth_share/100"),
	       "%", 1,
	       "6.12, -icount: all that sweeps do, site figures and trends, while one thread does nothing but ALLOC and FREE, over the instructions of these calls; 100 sites, default period; of one that spends a part of its time so, more by as much");
	result("growth_of_allocations_2000", median("vm/icount/growth_share/2000"),
	       "%", 1, "the same with 2000 sites");
	result("growth_pairs_100",
	       median("vm/icount/growth_second/100") / pair * 100, "pairs/s", NAN,
	       "ALLOC and FREE so often a second make a second's sweeps of 100 sites one percent of them");
	result("growth_pairs_2000",
	       median("vm/icount/growth_second/2000") / pair * 100, "pairs/s",
	       NAN, "the same with 2000 sites");
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 3) {
		fputs("usage: report RESULTS.json FILE...\n", stderr);
		return 2;
	}
	figures = calloc(FIGURES_MAX, sizeof(*figures));
	results = json_array();
	if (!figures || !results)
		return 1;
	for (i = 2; i < argc; i++)
		read_samples(argv[i]);
	pair_tables();
	trace_table("replay, first, ns an event", "replay", "first");
	trace_table("replay, again, ns an event", "replay", "again");
	level_table();
	trace_table("replay, first, touched, ns an event", "touched", "first");
	trace_table("replay, again, touched, ns an event", "touched", "again");
	trace_table("held / live at the peak", "held", "peak");
	trace_table("held / live, mean", "held", "mean");
	scan_table();
	vm_table();
	printf("\n%-34s %10s %-12s %8s\n", "figures to reach", "value", "unit",
	       "goal");
	native_goals();
	vm_goals();
	leak_goals();
	all_figures();
	if (json_dump_file(results, argv[1], JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, "report: cannot write %s\n", argv[1]);
		return 1;
	}
	json_decref(results);
	return 0;
}
