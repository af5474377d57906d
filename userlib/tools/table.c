// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Tables: sorted, for people, and as JSON.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ctl.h"

/**
 * table_add() - one more row
 * @t: table
 *
 * Return: the row, all zero; good until the next one is added.
 */
void *table_add(struct table *t)
{
	/* Doubled at each power of two. */
	if (!(t->nr & (t->nr - 1)))
		t->rows = must(reallocarray(t->rows, t->nr ? 2 * t->nr : 1,
					    t->row_size));
	return memset((char *)t->rows + t->row_size * t->nr++, 0, t->row_size);
}

/**
 * table_free() - forget all rows
 * @t: table
 */
void table_free(struct table *t)
{
	size_t i;

	for (i = 0; t->drop && i < t->nr; i++)
		t->drop((char *)t->rows + i * t->row_size);
	free(t->rows);
	t->rows = NULL;
	t->nr = 0;
}

/* ---- values ------------------------------------------------------------------ */

static const void *value_at(const struct column *col, const void *row)
{
	return (const char *)row + col->offset;
}

static uint64_t number_of(const struct column *col, const void *row)
{
	const void *at = value_at(col, row);

	return col->size == sizeof(uint32_t) ? *(const uint32_t *)at :
					       *(const uint64_t *)at;
}

static bool is_text(const struct column *col)
{
	return col->kind == KIND_CHARS || col->kind == KIND_TEXT;
}

/* Never NULL; an array that has no end is the caller's to bound. */
static const char *text_of(const struct column *col, const void *row)
{
	const void *at = value_at(col, row);
	const char *text;

	if (col->kind == KIND_CHARS)
		return at;
	text = *(const char *const *)at;
	return text ? text : "";
}

static size_t text_max(const struct column *col)
{
	return col->kind == KIND_CHARS ? col->size : SIZE_MAX / 8;
}

/* ---- sorting ------------------------------------------------------------------ */

/**
 * table_column() - find a column
 * @t: table
 * @name: key or title
 *
 * Return: the column, or NULL.
 */
const struct column *table_column(const struct table *t, const char *name)
{
	const struct column *col;

	for (col = t->columns; col->key; col++)
		if (!strcmp(col->key, name) ||
		    (col->title && !strcmp(col->title, name)))
			return col;
	return NULL;
}

/**
 * table_names() - what --sort accepts
 * @t: table
 *
 * Return: names with spaces between them, for free().
 */
char *table_names(const struct table *t)
{
	const struct column *col;
	char *names = must(strdup("")), *more;

	for (col = t->columns; col->key; col++) {
		more = text_format("%s%s%s", names, *names ? " " : "",
				   col->title ? col->title : col->key);
		free(names);
		names = more;
	}
	return names;
}

struct order {
	const struct column *col;
	int sign;
};

static int compare(const void *a, const void *b, void *arg)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	const struct order *by = arg;
	uint64_t m, n;
	int ret;

	if (is_text(by->col)) {
		ret = strncmp(text_of(by->col, x), text_of(by->col, y),
			      text_max(by->col));
	} else {
		m = number_of(by->col, x);
		n = number_of(by->col, y);
		ret = m < n ? -1 : m > n;
	}
	/* What is equal stays in its order. */
	return ret ? by->sign * ret : x < y ? -1 : x > y;
}

static void sort_rows(struct table *t, struct order *order)
{
	const char **at = must(calloc(t->nr + 1, sizeof(*at)));
	char *rows = must(calloc(t->nr + 1, t->row_size));
	size_t i;

	for (i = 0; i < t->nr; i++)
		at[i] = (char *)t->rows + i * t->row_size;
	qsort_r(at, t->nr, sizeof(*at), compare, order);
	for (i = 0; i < t->nr; i++)
		memcpy(rows + i * t->row_size, at[i], t->row_size);
	memcpy(t->rows, rows, t->nr * t->row_size);
	free(rows);
	free(at);
}

/**
 * table_sort() - put the rows in order
 * @t: table
 * @by: column, NULL for the table's own
 * @reverse: the other way round
 *
 * Sizes, counts and times go down, names and numbers that are names go up.
 * Rows that are equal stay as they are.
 *
 * Return: 0, or -ENOENT for no such column.
 */
int table_sort(struct table *t, const char *by, bool reverse)
{
	struct order order = { .col = table_column(t, by ? by : t->sort) };
	bool up;

	if (!order.col)
		return -ENOENT;
	up = is_text(order.col) || order.col->kind == KIND_ID;
	order.sign = up == reverse ? -1 : 1;
	if (t->nr)
		sort_rows(t, &order);
	return 0;
}

/* ---- for people ------------------------------------------------------------------ */

static char *cell(const struct options *o, const struct column *col,
		  const void *row, bool utf8)
{
	char *text;

	switch (col->kind) {
	case KIND_BYTES:
		return text_bytes(number_of(col, row), o->bytes);
	case KIND_MS:
		return text_ms(number_of(col, row));
	case KIND_HEX:
		return text_format("%#llx",
				   (unsigned long long)number_of(col, row));
	case KIND_CHARS:
	case KIND_TEXT:
		text = text_safe(text_of(col, row), text_max(col), utf8);
		if (*text)
			return text;
		free(text);
		return must(strdup("-"));
	default:
		return text_format("%llu",
				   (unsigned long long)number_of(col, row));
	}
}

static void pad(FILE *out, size_t n)
{
	while (n--)
		putc(' ', out);
}

/* The last column is not filled up: no line ends with spaces. */
static void put_cell(FILE *out, const struct column *col, const char *text,
		     size_t width, bool last, bool utf8)
{
	size_t fill = width - text_width(text, utf8);

	if (!is_text(col))
		pad(out, fill);
	fputs(text, out);
	if (is_text(col) && !last)
		pad(out, fill);
	fputs(last ? "\n" : "  ", out);
}

static unsigned int shown(const struct table *t, const struct column **cols)
{
	const struct column *col;
	unsigned int n = 0;

	for (col = t->columns; col->key; col++)
		if (col->title)
			cols[n++] = col;
	return n;
}

#define COLUMNS_MAX	64

static size_t rows_shown(const struct options *o, const struct table *t)
{
	return o->limit && o->limit < t->nr ? o->limit : t->nr;
}

/**
 * table_print() - print a table for people
 * @ctl: run
 * @t: table, sorted
 * @out: where to
 */
void table_print(struct ctl *ctl, const struct table *t, FILE *out)
{
	const struct column *cols[COLUMNS_MAX];
	unsigned int n = shown(t, cols), i;
	size_t width[COLUMNS_MAX], rows = rows_shown(ctl->o, t), r, w;
	bool utf8 = text_is_utf8();
	char **cells = must(calloc(rows * n + 1, sizeof(*cells)));
	const char *row = t->rows;

	for (i = 0; i < n; i++)
		width[i] = ctl->o->plain ? 0 : strlen(cols[i]->title);
	for (r = 0; r < rows; r++) {
		for (i = 0; i < n; i++) {
			cells[r * n + i] = cell(ctl->o, cols[i],
						row + r * t->row_size, utf8);
			w = text_width(cells[r * n + i], utf8);
			width[i] = w > width[i] ? w : width[i];
		}
	}
	for (i = 0; i < n && !ctl->o->plain; i++)
		put_cell(out, cols[i], cols[i]->title, width[i], i + 1 == n,
			 utf8);
	for (r = 0; r < rows; r++) {
		for (i = 0; i < n; i++) {
			put_cell(out, cols[i], cells[r * n + i], width[i],
				 i + 1 == n, utf8);
			free(cells[r * n + i]);
		}
		if (t->details)
			t->details(ctl, row + r * t->row_size, out);
	}
	free(cells);
}

/* ---- for programs ---------------------------------------------------------------- */

/**
 * json_text() - a string
 * @text: of anybody's making
 *
 * JSON is made of characters: what is not valid UTF-8 becomes \xNN.
 *
 * Return: a json_t, the caller's.
 */
void *json_text(const char *text)
{
	json_t *string = json_string(text);
	char *safe;

	if (string)
		return string;
	safe = text_safe(text, SIZE_MAX / 8, true);
	string = json_string(safe);
	free(safe);
	return must(string);
}

static json_t *json_value(const struct column *col, const void *row)
{
	char *text;
	json_t *value;

	switch (col->kind) {
	case KIND_HEX:
		text = text_format("%#llx",
				   (unsigned long long)number_of(col, row));
		break;
	case KIND_CHARS:
	case KIND_TEXT:
		text = must(strndup(text_of(col, row), text_max(col)));
		break;
	default:
		return must(json_integer((json_int_t)number_of(col, row)));
	}
	value = json_text(text);
	free(text);
	return value;
}

/**
 * table_json() - a table as an array of objects
 * @ctl: run
 * @t: table, sorted
 *
 * Return: a json_t, the caller's.
 */
void *table_json(struct ctl *ctl, const struct table *t)
{
	json_t *array = must(json_array()), *object;
	size_t rows = rows_shown(ctl->o, t), r;
	const struct column *col;
	const char *row = t->rows;

	for (r = 0; r < rows; r++, row += t->row_size) {
		object = must(json_object());
		for (col = t->columns; col->key; col++)
			json_object_set_new(object, col->key,
					    json_value(col, row));
		if (t->more)
			t->more(ctl, row, object);
		json_array_append_new(array, object);
	}
	return array;
}

/**
 * json_print() - print an object
 * @o: options: where one follows another, each is a line
 * @object: json_t, which is dropped
 * @out: where to
 *
 * All in ASCII, control characters as \uNNNN.
 *
 * Return: 0, or -EIO.
 */
int json_print(const struct options *o, void *object, FILE *out)
{
	int ret = json_dumpf(object, out, JSON_ENSURE_ASCII |
			     (o->watch || o->lines ? JSON_COMPACT : JSON_INDENT(2)));

	json_decref(object);
	putc('\n', out);
	return ret ? -EIO : 0;
}
