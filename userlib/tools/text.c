// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Text for people: sizes, times, and names that come from other programs.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "ctl.h"

/**
 * must() - there is no going on without memory
 * @p: what an allocation answered
 *
 * Return: @p, never NULL.
 */
void *must(void *p)
{
	if (p)
		return p;
	fputs("bmemctl: out of memory\n", stderr);
	exit(STATUS_FAILED);
}

/**
 * text_format() - sprintf() into memory of its own
 * @format: as for printf()
 *
 * Return: text, for free().
 */
char *text_format(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, format);
	len = vasprintf(&text, format, ap);
	va_end(ap);
	return must(len < 0 ? NULL : text);
}

/* ---- names ----------------------------------------------------------------- */

/* Length of a UTF-8 sequence and its character, or 0 for none that is valid. */
static size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 :
		   s[0] >> 3 == 30 ? 4 : 0, i;

	if (!n || n > len)
		return 0;
	*c = n == 1 ? s[0] : s[0] & (0x7fU >> n);
	for (i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	if (*c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000))
		return 0;
	return n;
}

/*
 * What moves the cursor, changes colours, sets a title, ends a line, or makes
 * what follows look like something else.
 */
static bool is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

/**
 * text_safe() - a name that cannot harm a terminal
 * @text: of anybody's making
 * @max: length of its array, if it should not end
 * @utf8: characters beyond ASCII may be shown
 *
 * All that is not a printable character becomes \xNN, byte by byte; the rest is
 * as it is.
 *
 * Return: text, for free().
 */
char *text_safe(const char *text, size_t max, bool utf8)
{
	size_t len = strnlen(text, max), at = 0, i, n;
	const unsigned char *s = (const void *)text;
	char *out = must(malloc(4 * len + 1)), *to = out;
	uint32_t c = 0;

	while (at < len) {
		n = utf8_decode(s + at, len - at, &c);
		if (n && !is_harmful(c) && (n == 1 || utf8)) {
			memcpy(to, s + at, n);
			to += n;
			at += n;
			continue;
		}
		for (i = n ? n : 1; i; i--)
			to += sprintf(to, "\\x%02x", s[at++]);
	}
	*to = 0;
	return out;
}

/**
 * text_is_utf8() - does the terminal show UTF-8?
 *
 * Return: what the locale says, which setlocale() has set.
 */
bool text_is_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* Columns of the first character, and its length. */
static size_t char_width(const char *text, bool utf8, size_t *bytes)
{
	uint32_t c = 0;
	int w;

	*bytes = utf8 ? utf8_decode((const void *)text, strnlen(text, 4), &c) : 0;
	w = *bytes ? wcwidth((wchar_t)c) : 1;
	*bytes += !*bytes;
	return w < 0 ? 1 : (size_t)w;
}

/**
 * text_width() - columns that a text takes
 * @text: from text_safe()
 * @utf8: as it was told
 *
 * Return: how many.
 */
size_t text_width(const char *text, bool utf8)
{
	size_t width = 0, bytes;

	for (; *text; text += bytes)
		width += char_width(text, utf8, &bytes);
	return width;
}

/**
 * text_fit() - how much of a text there is room for
 * @text: from text_safe()
 * @width: columns that there are
 * @utf8: as it was told
 *
 * Return: bytes.
 */
size_t text_fit(const char *text, size_t width, bool utf8)
{
	size_t at = 0, bytes, w;

	for (; text[at]; at += bytes) {
		w = char_width(text + at, utf8, &bytes);
		if (w > width)
			break;
		width -= w;
	}
	return at;
}

/* ---- sizes and times ----------------------------------------------------------- */

/**
 * text_bytes() - a size
 * @bytes: that
 * @exact: as a plain number
 *
 * Return: "512B", "1.5KiB", "12.0MiB", ..., for free().  Never more than it is.
 */
char *text_bytes(uint64_t bytes, bool exact)
{
	static const char units[] = "KMGTPE";
	unsigned int unit = 0;
	uint64_t tenths;

	if (exact)
		return text_format("%llu", (unsigned long long)bytes);
	if (bytes < 1024)
		return text_format("%lluB", (unsigned long long)bytes);
	while (bytes >> 10 >= 1024) {
		bytes >>= 10;
		unit++;
	}
	tenths = bytes * 10 >> 10;
	return text_format("%llu.%u%ciB", (unsigned long long)(tenths / 10),
			   (unsigned int)(tenths % 10), units[unit]);
}

/**
 * text_ms() - a time
 * @ms: in milliseconds
 *
 * Return: "0.5s", "59.9s", "3m07s", "2h05m", "3d04h", for free().
 */
char *text_ms(uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s < 60)
		return text_format("%llu.%us", s, (unsigned int)(ms / 100 % 10));
	if (s < 3600)
		return text_format("%llum%02llus", s / 60, s % 60);
	if (s < 86400)
		return text_format("%lluh%02llum", s / 3600, s / 60 % 60);
	return text_format("%llud%02lluh", s / 86400, s / 3600 % 24);
}

/**
 * text_to_number() - a number, and nothing else
 * @text: digits
 * @max: most that it may be
 * @number: out
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int text_to_number(const char *text, uint64_t max, uint64_t *number)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || n > max)
		return -ERANGE;
	*number = n;
	return 0;
}

/* The digits in front of a unit, and where that begins. */
static int number_and_unit(const char *text, uint64_t *number,
			   const char **unit)
{
	size_t digits = strspn(text, "0123456789");
	char buf[24];

	if (!digits || digits >= sizeof(buf))
		return digits ? -ERANGE : -EINVAL;
	memcpy(buf, text, digits);
	buf[digits] = 0;
	*unit = text + digits;
	return text_to_number(buf, UINT64_MAX, number);
}

/**
 * text_to_bytes() - a size
 * @text: whole number and unit: none or B, or K, M, G, T with or without iB
 * @bytes: out
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int text_to_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *unit, *which;
	unsigned int shift;
	uint64_t n;
	int ret;

	ret = number_and_unit(text, &n, &unit);
	if (ret)
		return ret;
	if (!*unit || !strcmp(unit, "B")) {
		*bytes = n;
		return 0;
	}
	which = strchr(units, *unit >= 'a' ? *unit - 'a' + 'A' : *unit);
	if (!which || (unit[1] && strcmp(unit + 1, "iB")))
		return -EINVAL;
	shift = 10 * (unsigned int)(which - units + 1);
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = n << shift;
	return 0;
}

/**
 * text_to_ms() - a time
 * @text: whole number and unit: none or s, ms, m, h or d
 * @ms: out, in milliseconds
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int text_to_ms(const char *text, uint64_t *ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 },
	};
	const char *unit;
	uint64_t n;
	size_t i;
	int ret;

	ret = number_and_unit(text, &n, &unit);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name))
			continue;
		if (n > UINT64_MAX / units[i].ms)
			return -ERANGE;
		*ms = n * units[i].ms;
		return 0;
	}
	return -EINVAL;
}
