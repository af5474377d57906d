// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Stacks of call sites, with names.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ctl.h"

static void find_program(struct ctl *ctl, const struct bmem_frame *f,
			 program_fn program, const void *row, struct program *p)
{
	memset(p, 0, sizeof(*p));
	if (!f->module || program(ctl, row, f->module, p))
		memset(p, 0, sizeof(*p));
}

/* libbmem's own frames say nothing about the program. */
static bool is_own(const struct program *p)
{
	const char *slash = strrchr(p->path, '/');

	return !strncmp(slash ? slash + 1 : p->path, "libbmem.so", 10);
}

/**
 * stack_where() - the innermost frame, in words
 * @ctl: run
 * @frames: innermost first
 * @nr: how many
 * @program: which file a frame is in
 * @row: for @program
 *
 * Return: text for free(), or NULL for no frames.
 */
char *stack_where(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		  program_fn program, const void *row)
{
	struct program p;
	uint32_t i;

	if (!nr)
		return NULL;
	for (i = 0; i < nr; i++) {
		find_program(ctl, &frames[i], program, row, &p);
		if (!is_own(&p))
			return symbols_text(ctl->symbols, &p,
					    frames[i].offset, false);
	}
	find_program(ctl, &frames[0], program, row, &p);
	return symbols_text(ctl->symbols, &p, frames[0].offset, false);
}

/**
 * stack_print() - the whole stack, a line a frame
 * @ctl: run
 * @frames: innermost first
 * @nr: how many
 * @program: which file a frame is in
 * @row: for @program
 * @out: where to
 */
void stack_print(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		 program_fn program, const void *row, FILE *out)
{
	char *text, *safe;
	struct program p;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		find_program(ctl, &frames[i], program, row, &p);
		text = symbols_text(ctl->symbols, &p, frames[i].offset, true);
		safe = text_safe(text, strlen(text), text_is_utf8());
		fprintf(out, "      #%u %s\n", i, safe);
		free(safe);
		free(text);
	}
}

/**
 * folded_name() - a name as one frame of a folded stack
 * @text: of anybody's making
 * @max: bytes of it at most
 *
 * Frames end at semicolons, the stack at its last blank.
 *
 * Return: for free().
 */
char *folded_name(const char *text, size_t max)
{
	char *safe = text_safe(text, max, text_is_utf8()), *c;

	for (c = safe; *c; c++)
		if (*c == ';')
			*c = ':';
	if (*safe)
		return safe;
	free(safe);
	return must(strdup("?"));
}

static void folded_frame(const char *text, FILE *out)
{
	char *name = folded_name(text, strlen(text));

	fprintf(out, ";%s", name);
	free(name);
}

/**
 * stack_folded() - a stack in one line, outermost frame first
 * @ctl: run
 * @frames: innermost first
 * @nr: how many
 * @program: which file a frame is in
 * @row: for @program
 * @out: where to; a semicolon stands before each frame
 */
void stack_folded(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		  program_fn program, const void *row, FILE *out)
{
	struct spot spots[INLINED_MAX];
	struct program p;
	unsigned int n;
	char *text;

	while (nr--) {
		find_program(ctl, &frames[nr], program, row, &p);
		n = ctl->symbols ? symbols_find(ctl->symbols, &p,
						frames[nr].offset, spots) : 0;
		if (!n) {
			text = symbols_text(NULL, &p, frames[nr].offset, false);
			folded_frame(text, out);
			free(text);
		}
		while (n--)
			folded_frame(spots[n].function ? spots[n].function :
							 "?", out);
	}
}

static json_t *build_id(const struct program *p)
{
	char hex[2 * BMEM_BUILD_ID_MAX + 1] = "";
	uint32_t i;

	for (i = 0; i < p->build_id_len && i < BMEM_BUILD_ID_MAX; i++)
		sprintf(hex + 2 * i, "%02x", p->build_id[i]);
	return must(json_string(hex));
}

static json_t *spot_json(const struct spot *spot)
{
	json_t *o = must(json_object());

	if (spot->function)
		json_object_set_new(o, "function", json_text(spot->function));
	if (spot->file) {
		json_object_set_new(o, "file", json_text(spot->file));
		json_object_set_new(o, "line", json_integer(spot->line));
	} else if (spot->delta) {
		json_object_set_new(o, "function_offset",
				    json_integer((json_int_t)spot->delta));
	}
	return o;
}

static json_t *frame_json(struct ctl *ctl, const struct bmem_frame *f,
			  const struct program *p)
{
	struct spot spots[INLINED_MAX];
	unsigned int n = 0, i;
	json_t *o, *outer = must(json_array());

	if (ctl->symbols)
		n = symbols_find(ctl->symbols, p, f->offset, spots);
	o = n ? spot_json(&spots[0]) : must(json_object());
	for (i = 1; i < n; i++)
		json_array_append_new(outer, spot_json(&spots[i]));
	json_object_set_new(o, "inlined_into", outer);
	json_object_set_new(o, "module", json_text(p->path));
	json_object_set_new(o, "build_id", build_id(p));
	json_object_set_new(o, "offset", json_integer((json_int_t)f->offset));
	return o;
}

/**
 * stack_json() - a stack as an array of objects
 * @ctl: run
 * @frames: innermost first
 * @nr: how many
 * @program: which file a frame is in
 * @row: for @program
 *
 * Return: a json_t, the caller's.
 */
void *stack_json(struct ctl *ctl, const struct bmem_frame *frames, uint32_t nr,
		 program_fn program, const void *row)
{
	json_t *array = must(json_array());
	struct program p;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		find_program(ctl, &frames[i], program, row, &p);
		json_array_append_new(array, frame_json(ctl, &frames[i], &p));
	}
	return array;
}
