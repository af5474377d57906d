/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 256 places in the program that allocate, so that a replay has call sites as
 * the recorded program had them.  Included once for each source: SOURCE names
 * it.
 */
#define PASTE_(a, b, c)	a##b##c
#define PASTE(a, b, c)	PASTE_(a, b, c)

#define SITE(n)								\
static __attribute__((noinline, noclone, no_icf)) void *		\
PASTE(SOURCE, _, n)(struct bmem_client *client, size_t size, size_t align) \
{									\
	void *p = allocate(SOURCE, client, size, align);		\
									\
	/* Or the call becomes a jump, and the site is the caller. */	\
	__asm__ volatile("" : "+r"(p));					\
	return p;							\
}

#define SITES_16(h)							\
	SITE(h##0) SITE(h##1) SITE(h##2) SITE(h##3) SITE(h##4)		\
	SITE(h##5) SITE(h##6) SITE(h##7) SITE(h##8) SITE(h##9)		\
	SITE(h##a) SITE(h##b) SITE(h##c) SITE(h##d) SITE(h##e) SITE(h##f)

SITES_16(0) SITES_16(1) SITES_16(2) SITES_16(3) SITES_16(4) SITES_16(5)
SITES_16(6) SITES_16(7) SITES_16(8) SITES_16(9) SITES_16(a) SITES_16(b)
SITES_16(c) SITES_16(d) SITES_16(e) SITES_16(f)

#define AT(n)	PASTE(SOURCE, _, n)
#define AT_16(h)							\
	AT(h##0), AT(h##1), AT(h##2), AT(h##3), AT(h##4), AT(h##5),	\
	AT(h##6), AT(h##7), AT(h##8), AT(h##9), AT(h##a), AT(h##b),	\
	AT(h##c), AT(h##d), AT(h##e), AT(h##f)

static const allocate_fn PASTE(SOURCE, _, sites)[256] = {
	AT_16(0), AT_16(1), AT_16(2), AT_16(3), AT_16(4), AT_16(5),
	AT_16(6), AT_16(7), AT_16(8), AT_16(9), AT_16(a), AT_16(b),
	AT_16(c), AT_16(d), AT_16(e), AT_16(f),
};

#undef SITE
#undef AT
#undef SOURCE
