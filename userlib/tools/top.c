// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The verb "top": who holds what and whose holdings grow, again and again, on the
 * whole terminal or, in batch mode, one picture below the other.
 *
 * A picture is text, made as all lists are; the terminal gets as much of it as
 * it has room for.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_NCURSES
#include <curses.h>
#endif

#include "ctl.h"

/* Findings below the list of clients. */
#define FINDINGS_SHOWN	5

/* Lines of a picture besides rows: sums, headings, findings and their heading. */
#define LINES_OTHER	(4 + 1 + FINDINGS_SHOWN)

static volatile sig_atomic_t stopped;

/* ---- rows ------------------------------------------------------------------------- */

static struct seat *seat_of(struct table *seats, uint64_t client)
{
	struct seat *s = seats->rows;
	size_t i;

	for (i = 0; i < seats->nr; i++)
		if (s[i].who.client_id == client)
			return &s[i];
	return NULL;
}

static void seats_make(const struct table *clients, struct table *seats)
{
	const struct client *c = clients->rows;
	struct seat *s;
	size_t i;

	for (i = 0; i < clients->nr; i++, c++) {
		s = table_add(seats);
		s->who = c->who;
		s->tensors = c->st.live_tensors;
		s->live = c->st.live_bytes;
		s->attached = c->st.attached_bytes;
		s->peak = c->st.peak_live_bytes;
		s->trend = "-";
	}
}

/* The row of the client as a whole comes first. */
static void seat_trend(struct ctl *ctl, struct seat *s)
{
	struct bmem_growth_row row;
	struct bmem_growth_list list = {
		.size = sizeof(list), .client_id = s->who.client_id,
		.row_size = sizeof(row), .nr = 1, .rows = (uintptr_t)&row,
	};

	if (bmem_growth_list(ctl->c, &list) || !list.nr)
		return;
	s->trend = trend_name(row.trend);
	s->slope = row.slope;
}

static void seats_leaks(struct table *seats, const struct table *leaks)
{
	const struct leak *l = leaks->rows;
	struct seat *s;
	size_t i;

	for (i = 0; i < leaks->nr; i++, l++) {
		s = seat_of(seats, l->row.client_id);
		if (!s)
			continue;
		s->leaks++;
		s->leaked += l->row.bytes;
	}
}

/* ---- a picture --------------------------------------------------------------------- */

/**
 * struct picture - what is shown
 * @pools: struct pool
 * @seats: struct seat, sorted
 * @leaks: struct leak, the largest first
 */
struct picture {
	struct table pools;
	struct table seats;
	struct table leaks;
};

static int picture_take(struct ctl *ctl, struct picture *p, const char *sort,
			bool reverse)
{
	struct table clients = *view_named("clients");
	struct seat *s;
	size_t i;
	int ret;

	p->pools = *view_named("pools");
	p->seats = *view_named("top");
	p->leaks = *view_named("leaks");
	ret = fetch_pools(ctl, &p->pools);
	if (!ret)
		ret = fetch_clients(ctl, &clients);
	seats_make(&clients, &p->seats);
	table_free(&clients);
	if (ret)
		return ret;
	for (s = p->seats.rows, i = 0; i < p->seats.nr; i++)
		seat_trend(ctl, &s[i]);
	/* The fallback has no findings, nor has a module that is older. */
	if (!fetch_leaks(ctl, &p->leaks, NULL))
		seats_leaks(&p->seats, &p->leaks);
	table_sort(&p->leaks, NULL, false);
	return table_sort(&p->seats, sort, reverse);
}

static void picture_free(struct picture *p)
{
	table_free(&p->pools);
	table_free(&p->seats);
	table_free(&p->leaks);
}

static void print_sums(struct ctl *ctl, const struct picture *p, FILE *out)
{
	const struct pool *pool = p->pools.rows;
	const struct seat *s = p->seats.rows;
	uint64_t holds = 0, max = 0, free_bytes = 0, live = 0;
	char *a, *b, *c, *d;
	size_t i;

	for (i = 0; i < p->pools.nr; i++) {
		holds += pool[i].st.total_bytes;
		max += pool[i].st.limit_bytes;
		free_bytes += pool[i].st.zeroed_bytes + pool[i].st.dirty_bytes +
			      pool[i].st.zeroing_bytes;
	}
	for (i = 0; i < p->seats.nr; i++)
		live += s[i].live;
	a = text_bytes(holds, ctl->o->bytes);
	b = text_bytes(max, ctl->o->bytes);
	c = text_bytes(free_bytes, ctl->o->bytes);
	d = text_bytes(live, ctl->o->bytes);
	fprintf(out, "%zu pools hold %s of %s, %s of that free\n", p->pools.nr,
		a, b, c);
	fprintf(out, "%zu clients, %s live; %zu leaks\n", p->seats.nr, d,
		p->leaks.nr);
	free(a);
	free(b);
	free(c);
	free(d);
}

static void print_finding(struct ctl *ctl, const struct leak *l, FILE *out)
{
	char *size = text_bytes(l->row.bytes, ctl->o->bytes),
	     *label = text_safe(l->row.label, sizeof(l->row.label),
				text_is_utf8());

	fprintf(out, "%9s in %llu tensors, %s, %s: client %llu, site %u  %s\n",
		size, (unsigned long long)l->row.tensors, l->kind, l->state,
		(unsigned long long)l->row.client_id, l->row.site, label);
	free(size);
	free(label);
}

/* As many clients as there are lines for, 0 for all. */
static void picture_print(struct ctl *ctl, const struct picture *p,
			  unsigned int lines, FILE *out)
{
	const struct leak *l = p->leaks.rows;
	struct options o = *ctl->o;
	struct ctl few = *ctl;
	size_t i;

	o.limit = !lines ? 0 : lines > LINES_OTHER ? lines - LINES_OTHER : 1;
	few.o = &o;
	print_sums(ctl, p, out);
	putc('\n', out);
	table_print(&few, &p->seats, out);
	if (p->leaks.nr)
		putc('\n', out);
	for (i = 0; i < p->leaks.nr && i < FINDINGS_SHOWN; i++)
		print_finding(ctl, &l[i], out);
}

/* ---- batch ---------------------------------------------------------------------------- */

static int batch(struct ctl *ctl)
{
	const struct timespec pause = {
		.tv_sec = (time_t)(ctl->o->interval_ms / 1000),
		.tv_nsec = (long)(ctl->o->interval_ms % 1000) * 1000000,
	};
	struct picture p;
	uint64_t round;
	int ret;

	for (round = 1;; round++) {
		ret = picture_take(ctl, &p, ctl->o->sort, ctl->o->reverse);
		if (!ret)
			picture_print(ctl, &p, 0, stdout);
		picture_free(&p);
		if (ret)
			return view_failed(ctl, view_named("top"), ret);
		if (fflush(stdout) || ferror(stdout) || round == ctl->o->rounds)
			return STATUS_OK;
		nanosleep(&pause, NULL);
		putchar('\n');
	}
}

/* ---- the terminal ---------------------------------------------------------------------- */

#ifdef HAVE_NCURSES

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* The heading that is @step further on than the one that is sorted by. */
static const char *next_column(const char *sort, int step)
{
	const struct column *col = view_named("top")->columns;
	int nr = 0, at = 0;

	for (; col[nr].key; nr++)
		if (!strcmp(sort, col[nr].key) ||
		    (col[nr].title && !strcmp(sort, col[nr].title)))
			at = nr;
	do {
		at = (at + step + nr) % nr;
	} while (!col[at].title);
	return col[at].title;
}

static void draw(const struct options *o, char *text, const char *sort)
{
	char *line, *rest = text;
	bool utf8 = text_is_utf8();
	int y = 0;

	erase();
	while ((line = strsep(&rest, "\n")) && y < LINES - 1) {
		/* The headings. */
		if (y == 3 && !o->plain)
			attron(A_REVERSE);
		mvaddnstr(y++, 0, line,
			  (int)text_fit(line, (size_t)COLS, utf8));
		attroff(A_REVERSE);
	}
	attron(A_BOLD);
	mvprintw(LINES - 1, 0, "by %s", sort);
	attroff(A_BOLD);
	addnstr("   s S: sort   r: reverse   space: now   q: quit",
		COLS - getcurx(stdscr) - 1);
	refresh();
}

static int show_once(struct ctl *ctl, const char *sort, bool reverse)
{
	char *text = NULL;
	struct picture p;
	size_t len;
	FILE *f;
	int ret = picture_take(ctl, &p, sort, reverse);

	if (!ret) {
		f = must(open_memstream(&text, &len));
		picture_print(ctl, &p, LINES > 2 ? (unsigned int)LINES - 1 : 1,
			      f);
		fclose(f);
		draw(ctl->o, must(text), sort);
		free(text);
	}
	picture_free(&p);
	return ret;
}

/* Where nobody can type any more, no key is waited for either. */
static bool hung_up(void)
{
	struct pollfd in = { .fd = STDIN_FILENO };

	return poll(&in, 1, 0) > 0 &&
	       in.revents & (POLLHUP | POLLERR | POLLNVAL);
}

static int on_terminal(struct ctl *ctl)
{
	const char *sort = ctl->o->sort ? ctl->o->sort : "live";
	bool reverse = ctl->o->reverse;
	uint64_t round = 0;
	int ret = 0, key;

	timeout((int)ctl->o->interval_ms);
	while (!ret && !stopped) {
		ret = show_once(ctl, sort, reverse);
		if (ret || ++round == ctl->o->rounds)
			break;
		key = getch();
		if (key == 'q' || key == 'Q' || (key == ERR && hung_up()))
			break;
		if (key == 's' || key == 'S')
			sort = next_column(sort, key == 's' ? 1 : -1);
		if (key == 'r')
			reverse = !reverse;
	}
	return ret;
}

static int interactive(struct ctl *ctl)
{
	struct sigaction sa = { .sa_handler = stop };
	SCREEN *screen;
	int ret;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		fputs("bmemctl: top: this is no terminal: bmemctl top -b\n",
		      stderr);
		return STATUS_FAILED;
	}
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		fputs("bmemctl: top: the terminal is not known (TERM): bmemctl top -b\n",
		      stderr);
		return STATUS_FAILED;
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	cbreak();
	noecho();
	keypad(stdscr, true);
	curs_set(0);
	ret = on_terminal(ctl);
	endwin();
	delscreen(screen);
	return ret ? view_failed(ctl, view_named("top"), ret) : STATUS_OK;
}

#else

static int interactive(struct ctl *ctl)
{
	(void)ctl;
	(void)stopped;
	fputs("bmemctl: top: built without ncurses: bmemctl top -b\n", stderr);
	return STATUS_FAILED;
}

#endif

int show_top(struct ctl *ctl)
{
	return ctl->o->batch ? batch(ctl) : interactive(ctl);
}
