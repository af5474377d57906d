// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What reports call a site.
 */
#include <stdio.h>
#include <string.h>

#include "module.h"
#include "symbol.h"

static bool symbol_ask(const void *ret, struct symbol *s)
{
	bool found;

	if (!module_look_begin())
		return false;
	/* The return address may be the first byte behind its function. */
	found = symbol_find((uintptr_t)ret - 1, s);
	module_look_end();
	return found;
}

/* Cut at @len, but not inside a UTF-8 character. */
static size_t cut(const char *text, size_t len)
{
	size_t n = strnlen(text, len + 1);

	if (n <= len)
		return n;
	for (n = len; n && (text[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

/**
 * label_copy() - make a text a label
 * @to: out, @len + 1 bytes
 * @from: any text
 * @len: most bytes to take
 *
 * Control characters become '?', which is the ABI's rule for labels.
 *
 * Return: the label's length.
 */
size_t label_copy(char *to, const char *from, size_t len)
{
	size_t i, n = cut(from, len);

	for (i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ?
			'?' : from[i];
	to[n] = '\0';
	return n;
}

/**
 * site_name() - "label @ program+0xoffset"
 * @name: out, %BMEM_LABEL_LEN bytes
 * @label: what the memory is for; NULL or empty for the function's name
 * @ret: return address; NULL when the label is the whole name
 *
 * Where it is too long the label is cut: the place is what leads to the line.
 */
void site_name(char *name, const char *label, const void *ret)
{
	char place[BMEM_LABEL_LEN / 2 + 24];
	struct symbol s;
	size_t room;

	if (!ret) {
		label_copy(name, label, BMEM_LABEL_LEN - 1);
		return;
	}
	if (!symbol_ask(ret, &s)) {
		memset(&s, 0, sizeof(s));
		strcpy(s.file, "?");
		s.file_offset = (uintptr_t)ret - 1;
	}
	snprintf(place, sizeof(place), "%.32s+0x%zx", s.file,
		 (size_t)s.file_offset + 1);
	if (!label || !*label)
		label = s.name;
	if (!*label) {
		label_copy(name, place, BMEM_LABEL_LEN - 1);
		return;
	}
	room = BMEM_LABEL_LEN - 1 - strlen(" @ ") - strlen(place);
	name += label_copy(name, label, room);
	name = stpcpy(name, " @ ");
	label_copy(name, place, strlen(place));
}
