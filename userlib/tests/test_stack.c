// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Stacks: that each call chain has its own site and the right frames, and that
 * a walk ends well wherever it is led.  Built with frame pointers.
 */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "../src/module.h"
#include "../src/stack.h"
#include "stacks.h"

#define FULL	BMEM_LEVEL_FULL

static struct bmem_client *c;
static struct site_cache *sc;
static size_t bytes = 100;
static const void *ret_of_outer;

static int set_up(void **state)
{
	test_note_name(state);
	c = client_told();
	sc = cache();
	bytes = 100;
	/*
	 * One sample in 2^29, the least there is: these chains lead through code
	 * without frame pointers.
	 */
	atomic_store(&c->sites.costs.governor.throttle, 30);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	site_cache_flush(c, sc);
	free(sc);
	bmem_close(c);
	return 0;
}

#undef TEST
#define TEST(f)		{ #f, f, set_up, tear_down, (void *)#f }

__attribute__((noinline))
static uint32_t inner(void)
{
	return site_here(c, sc, NULL, FULL, bytes);
}

/* Two callers with frames of the same shape. */
__attribute__((noinline))
static uint32_t left(void)
{
	uint32_t site = inner();

	ret_of_outer = __builtin_return_address(0);
	return site;
}

__attribute__((noinline))
static uint32_t right(void)
{
	uint32_t site = inner();

	ret_of_outer = __builtin_return_address(0);
	return site;
}

__attribute__((noinline))
static uint32_t either(bool second)
{
	return second ? right() : left();
}

static void chains_have_their_own_sites(void **state)
{
	uint32_t site[2] = { 0 }, now;
	int i;

	(void)state;
	/* Frame and return address are the same: only what is above differs. */
	for (i = 0; i < 10000; i++) {
		now = either(i & 1);
		if (i < 2)
			site[i] = now;
		EQ(now, site[i & 1]);
	}
	IS(site[0] && site[1] && site[0] != site[1]);
	EQ(bmem_sites_lost(c), 0);
}

/* Each bit of @path is a choice of where the next one is called from. */
__attribute__((noinline))
static uint32_t path_down(uint32_t path, int depth)
{
	uint32_t site;

	if (!depth)
		return either(path & 1);
	if (path & 1) {
		site = path_down(path >> 1, depth - 1);
		/* Or both calls are made one. */
		__asm__ volatile("nop" : "+r"(site));
	} else {
		site = path_down(path >> 1, depth - 1);
	}
	return site;
}

/* More stacks than a thread's tables have room for, in any order. */
static void many_paths(void **state)
{
	static uint32_t site[4096];
	const uint32_t paths = COUNT(site);
	uint32_t path = 1, now, i, k;

	(void)state;
	memset(site, 0, sizeof(site));
	for (i = 0; i < 20 * paths; i++) {
		/* A few of them often, the rest now and then. */
		path = path * 1103515245 + 12345;
		k = path >> 16 & (path >> 9 & 1 ? paths - 1 : 63);
		/* On a slow machine the governor would allow samples again. */
		atomic_store(&c->sites.costs.governor.throttle, 30);
		now = path_down(k, 11);
		IS(now);
		if (!site[k])
			site[k] = now;
		EQ(now, site[k]);
	}
	for (i = 0; i < paths; i++)
		for (k = 0; k < i && site[i]; k++)
			IS(site[i] != site[k]);
	EQ(bmem_sites_lost(c), 0);
}

static uintptr_t load_address(const void *code)
{
	Dl_info info;

	IS(dladdr(code, &info));
	return (uintptr_t)info.dli_fbase;
}

static void frames_are_right(void **state)
{
	struct bmem_frame f[BMEM_FRAMES_MAX];
	uintptr_t base = load_address(either);
	uint32_t i, nr = frames_of_site(c, either(false), f);
	const void *ret = __builtin_return_address(0);

	(void)state;
	/* inner, left, either, this, and what called it. */
	IS(nr >= 5);
	EQ(f[2].offset + base, (uintptr_t)ret_of_outer);
	for (i = 0; i < 4; i++) {
		EQ(f[i].module, f[0].module);
		IS(f[i].module);
	}
	EQ(f[4].offset + load_address(ret), (uintptr_t)ret);
}

static void build_id_of(const char *file, char *hex, size_t len)
{
	char command[256];
	FILE *p;

	snprintf(command, sizeof(command),
		 "readelf -n '%s' 2>/dev/null | sed -n 's/.*Build ID: //p'",
		 file);
	p = popen(command, "r");
	IS(p);
	if (!fgets(hex, (int)len, p))
		*hex = '\0';
	hex[strcspn(hex, "\n")] = '\0';
	pclose(p);
}

static struct bmem_module_info module_info(uint32_t module)
{
	struct bmem_module_info info = {
		.size = sizeof(info),
		.module = module,
	};

	uint32_t i;
	int ret;

	for (i = told.modules; i-- && told.module[i].module != module;)
		;
	IS(i < told.modules);
	ret = call(c, BMEM_MODULE_INFO, &info);
	if (ret == -ENOTTY) {
		info.build_id_len = told.module[i].build_id_len;
		memcpy(info.build_id, told.module[i].build_id,
		       sizeof(info.build_id));
		strcpy(info.path, told.module[i].path);
		return info;
	}
	EQ(ret, 0);
	STR(info.path, told.module[i].path);
	return info;
}

static void build_ids(void **state)
{
	struct bmem_frame f[BMEM_FRAMES_MAX];
	uint32_t i, n, nr = frames_of_site(c, either(false), f);
	char want[128], got[2 * BMEM_BUILD_ID_MAX + 1];
	struct bmem_module_info info;

	(void)state;
	/* This program, and the C library and what else is in between. */
	for (i = 0; i < nr; i++) {
		IS(f[i].module);
		info = module_info(f[i].module);
		build_id_of(info.path, want, sizeof(want));
		for (n = 0; n < info.build_id_len; n++)
			sprintf(got + 2 * n, "%02x", info.build_id[n]);
		got[2 * n] = '\0';
		STR(got, want);
	}
	IS(module_info(f[0].module).build_id_len);
	HAS(module_info(f[0].module).path, "test_stack");
	HAS(module_info(f[nr - 1].module).path, "/lib");
}

static void *in_thread(void *arg)
{
	struct site_cache *mine = cache();

	*(uint32_t *)arg = site_here(c, mine, NULL, FULL, 100);
	site_cache_flush(c, mine);
	free(mine);
	return NULL;
}

static void at_thread_start(void **state)
{
	struct bmem_frame f[BMEM_FRAMES_MAX];
	uint32_t site = 0, nr;
	pthread_t t;

	(void)state;
	EQ(pthread_create(&t, NULL, in_thread, &site), 0);
	EQ(pthread_join(t, NULL), 0);
	IS(site);
	nr = frames_of_site(c, site, f);
	/* The function, and the library's that called it. */
	IS(nr >= 2 && nr < 6);
	IS(f[0].module != f[nr - 1].module);
}

#define RACERS	4
#define CHAINS	64

struct racer {
	pthread_t thread;
	uint32_t site[CHAINS];
};

__attribute__((noinline))
static uint32_t down(struct site_cache *mine, unsigned int n)
{
	uint32_t site = n ? down(mine, n - 1) :
			    site_here(c, mine, NULL, FULL, 100);

	__asm__ volatile("" : "+r" (site));
	return site;
}

static void *race(void *arg)
{
	struct site_cache *mine = cache();
	struct racer *r = arg;
	char name[16];
	int i, k;

	for (k = 0; k < 20; k++) {
		for (i = 0; i < CHAINS; i++) {
			snprintf(name, sizeof(name), "%d", i / 16);
			BMEM_SCOPE(name);

			r->site[i] = down(mine, (unsigned int)i % 16);
		}
	}
	site_cache_flush(c, mine);
	free(mine);
	return NULL;
}

/* All at once for the first time: they come to the same numbers. */
static void threads_agree(void **state)
{
	struct racer r[RACERS] = { 0 };
	int i, k, other;

	(void)state;
	for (i = 0; i < RACERS; i++)
		EQ(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
	for (i = 0; i < RACERS; i++)
		EQ(pthread_join(r[i].thread, NULL), 0);
	for (i = 0; i < RACERS; i++)
		EQ(memcmp(r[i].site, r[0].site, sizeof(r[0].site)), 0);
	for (k = 0; k < CHAINS; k++)
		for (other = 0; other < k; other++)
			IS(r[0].site[k] && r[0].site[k] != r[0].site[other]);
	EQ(stats_of(c).sites, CHAINS);
}

__attribute__((noinline))
static uint32_t deep(unsigned int n)
{
	uint32_t site = n ? deep(n - 1) : inner();

	/* Not a tail call. */
	__asm__ volatile("" : "+r" (site));
	return site;
}

static void deep_recursion(void **state)
{
	uint32_t a = deep(1000), b = deep(2000), few = deep(3);

	(void)state;
	/* Beyond the frames that are kept, chains are the same. */
	EQ(a, b);
	IS(a != few);
	EQ(depth_of(c, a), BMEM_FRAMES_MAX);
	EQ(depth_of(c, few), depth_of(c, deep(2)) + 1);
}

/* Frames in memory of our own: a saved frame pointer and a return address. */
struct fake {
	uintptr_t fp;
	uintptr_t pc;
};

static struct fake fakes[64] __attribute__((aligned(64)));

static uintptr_t text(size_t i)
{
	return (uintptr_t)either + 1 + i;
}

static void chain(size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		fakes[i] = (struct fake) {
			(uintptr_t)&fakes[i + 1], text(i),
		};
	fakes[nr - 1].fp = 0;
}

static struct stack walked(void)
{
	struct stack st;

	stack_walk(&st, (void *)fakes[0].pc, &fakes[0], (uintptr_t)fakes,
		   (uintptr_t)(fakes + COUNT(fakes)));
	return st;
}

static void walk_of_fakes(void **state)
{
	uint32_t i;

	(void)state;
	chain(10);
	EQ(walked().nr, 10);
	IS(walked().whole);
	for (i = 0; i < 10; i++)
		EQ(walked().pcs[i], text(i));
	chain(COUNT(fakes));
	EQ(walked().nr, BMEM_FRAMES_MAX);
	IS(walked().whole);
}

static void ends_at(uintptr_t fp)
{
	chain(10);
	fakes[4].fp = fp;
	EQ(walked().nr, 5);
	IS(!walked().whole);
}

static void smashed_frame_pointers(void **state)
{
	(void)state;
	ends_at((uintptr_t)&fakes[4]);			/* itself */
	ends_at((uintptr_t)&fakes[3]);			/* downwards */
	ends_at((uintptr_t)&fakes[5] + 8);		/* misaligned */
	ends_at((uintptr_t)&fakes[5] + 1);
	ends_at((uintptr_t)(fakes + COUNT(fakes)));	/* beyond the end */
	ends_at((uintptr_t)(fakes + COUNT(fakes)) - 8);
	ends_at(1);
	ends_at(~15UL);
	ends_at(~0UL);
	ends_at(0x4141414141414140UL);
	/* A return address in no program. */
	chain(10);
	fakes[5].pc = 0x4141414141414141UL;
	EQ(walked().nr, 5);
	fakes[5].pc = (uintptr_t)fakes;
	EQ(walked().nr, 5);
	fakes[5].pc = 0;
	EQ(walked().nr, 5);
	/* The last frame that fits. */
	chain(10);
	fakes[8].fp = (uintptr_t)&fakes[COUNT(fakes) - 1];
	fakes[COUNT(fakes) - 1] = (struct fake) { 0, text(9) };
	EQ(walked().nr, 10);
}

static void frame_not_on_the_stack(void **state)
{
	struct stack st;
	uintptr_t low = (uintptr_t)fakes, high = (uintptr_t)&fakes[5];

	(void)state;
	chain(10);
	stack_walk(&st, (void *)text(0), &fakes[5], low, high);
	EQ(st.nr, 1);
	stack_walk(&st, (void *)text(0), (void *)8, low, high);
	EQ(st.nr, 1);
	stack_walk(&st, (void *)text(0), &fakes[2], 0, 0);
	EQ(st.nr, 1);
	stack_walk(&st, (void *)text(0), &fakes[2], low, low);
	EQ(st.nr, 1);
}

/* What was walked is looked at again: any change in it is noticed. */
static void change_is_noticed(void **state)
{
	uint32_t first, site, i;
	uintptr_t old;

	(void)state;
	sc->low = (uintptr_t)fakes;
	sc->high = (uintptr_t)(fakes + COUNT(fakes));
	chain(12);
	first = site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100);
	for (i = 1; i < 12; i++) {
		old = fakes[i].pc;
		fakes[i].pc = text(100 + i);
		site = site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100);
		IS(site && site != first);
		fakes[i].pc = old;
		EQ(site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100),
		   first);
	}
	/* The chain leads elsewhere, then ends before, then goes on. */
	fakes[40] = (struct fake) { 0, text(200) };
	fakes[5].fp = (uintptr_t)&fakes[40];
	EQ(depth_of(c, site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100)),
	   7);
	fakes[5].fp = 0;
	EQ(depth_of(c, site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100)),
	   6);
	fakes[5].fp = (uintptr_t)&fakes[6];
	EQ(site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100), first);
}

/* raise() is declared not to call anything of this file. */
static volatile uint32_t site_in_handler;

static void handler(int sig)
{
	int i;

	(void)sig;
	/* Often enough that samples are due. */
	for (i = 0; i < 1000; i++)
		site_in_handler = site_here(c, sc, NULL, FULL, bytes);
}

static void signal_on_another_stack(void **state)
{
	const size_t size = 1 << 16;
	char *mem = mmap(NULL, size + 2 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t other = { .ss_sp = mem + PAGE, .ss_size = size }, old;
	struct sigaction sa = {
		.sa_handler = handler, .sa_flags = SA_ONSTACK,
	};

	(void)state;
	IS(mem != MAP_FAILED);
	EQ(mprotect(mem + PAGE, size, PROT_READ | PROT_WRITE), 0);
	EQ(sigaltstack(&other, &old), 0);
	EQ(sigaction(SIGUSR1, &sa, NULL), 0);
	IS(either(false));
	for (bytes = 100; bytes <= 2 * MIB; bytes *= 20000) {
		site_in_handler = 0;
		EQ(raise(SIGUSR1), 0);
		IS(site_in_handler);
		EQ(depth_of(c, site_in_handler), 1);
	}
	EQ(sigaltstack(&old, NULL), 0);
	munmap(mem, size + 2 * PAGE);
}

/* A caller whose frame pointer leads nowhere, as without frame pointers. */
__attribute__((noinline))
static uint32_t without(uint32_t level)
{
	struct fake dead = { 1, (uintptr_t)__builtin_return_address(0) };

	__asm__ volatile("" : : "r" (&dead) : "memory");
	return site_of(c, sc, NULL, __builtin_return_address(0), &dead, level,
		       bytes);
}

static void unwinder_where_frames_end(void **state)
{
	uint32_t level, site[1000], n;

	(void)state;
	if (test_under("tsan"))
		skip();
	atomic_store(&c->sites.costs.governor.throttle, 0);
	for (level = BMEM_LEVEL_STANDARD; level <= FULL; level++) {
		for (n = 0; n < COUNT(site); n++)
			site[n] = without(level);
		EQ(depth_of(c, site[0]), 1);
		for (n = 1; n < COUNT(site) && site[n] == site[0]; n++)
			;
		/* One in ten at first. */
		IS(n < (level == FULL ? COUNT(site) : 20));
		IS(depth_of(c, site[n]) > 2);
		memset(sc, 0, sizeof(*sc));
	}
	IS(atomic_load(&c->sites.costs.samples) > 2);
	IS(atomic_load(&c->sites.costs.samples) < 50);
}

static void big_ones_have_whole_stacks(void **state)
{
	uint32_t small, big;

	(void)state;
	bytes = MIB - 1;
	small = site_here(c, sc, NULL, BMEM_LEVEL_STANDARD, bytes);
	EQ(depth_of(c, small), 1);
	big = site_here(c, sc, NULL, BMEM_LEVEL_STANDARD, MIB);
	IS(depth_of(c, big) > 1);
	EQ(site_here(c, sc, NULL, BMEM_LEVEL_COUNTS, MIB), 0);
	EQ(site_here(c, sc, NULL, BMEM_LEVEL_OFF, MIB), 0);
}

static void loaded_and_unloaded(void **state)
{
	struct module_place here, there;
	uint64_t loads = module_loads();
	struct bmem_module_info info;
	uintptr_t pc;
	void *lib;

	(void)state;
	if (test_under("asan") || test_under("tsan"))
		skip();
	IS(module_find(text(0), &here));
	/* Not libbmem itself, which stays for good. */
	lib = dlopen("libm.so.6", RTLD_NOW);
	IS(lib);
	pc = (uintptr_t)dlsym(lib, "cbrt");
	IS(pc);
	IS(module_find(pc, &there));
	IS(there.module && there.module != here.module);
	EQ(there.offset, pc - load_address((void *)pc));
	module_announce(c, there.module);
	info = module_info(there.module);
	HAS(info.path, "libm.so.6");
	EQ(module_loads(), loads);
	EQ(dlclose(lib), 0);
	/* Something that is not known makes it look again. */
	IS(!module_find(1, &there));
	EQ(there.module, 0);
	EQ(there.offset, 1);
	IS(module_loads() != loads);
	IS(!module_find(pc, &there));
}

static void loses_none(void **state)
{
	uint32_t i, site;

	(void)state;
	sc->low = (uintptr_t)fakes;
	sc->high = (uintptr_t)(fakes + COUNT(fakes));
	chain(4);
	for (i = 0; i < BMEM_SITES_MAX + 100; i++) {
		fakes[1].pc = text(0) + i % 128;
		fakes[2].pc = text(0) + i / 128;
		site = site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100);
		EQ(!!site, i < BMEM_SITES_MAX);
	}
	EQ(bmem_sites_lost(c), 100);
	/* Again: what is known is still known, what is lost is lost again. */
	for (i = 0; i < BMEM_SITES_MAX + 100; i++) {
		fakes[1].pc = text(0) + i % 128;
		fakes[2].pc = text(0) + i / 128;
		site = site_of(c, sc, NULL, (void *)text(0), fakes, FULL, 100);
		EQ(!!site, i < BMEM_SITES_MAX);
	}
	EQ(bmem_sites_lost(c), 200);
}

static const struct CMUnitTest tests[] = {
	TEST(chains_have_their_own_sites),
	TEST(many_paths),
	TEST(frames_are_right),
	TEST(build_ids),
	TEST(at_thread_start),
	TEST(threads_agree),
	TEST(deep_recursion),
	TEST(walk_of_fakes),
	TEST(smashed_frame_pointers),
	TEST(frame_not_on_the_stack),
	TEST(change_is_noticed),
	TEST(signal_on_another_stack),
	TEST(unwinder_where_frames_end),
	TEST(big_ones_have_whole_stacks),
	TEST(loaded_and_unloaded),
	TEST(loses_none),
};

TEST_MAIN(tests)
