// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages: put together in place and written at once, without stdio, which
 * may be locked, closed, or not there yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

static void text_vadd(struct text *t, const char *format, va_list args)
{
	size_t room = t->room - t->len;
	int n = vsnprintf(t->at + t->len, room, format, args);

	if (n > 0)
		t->len += (size_t)n < room ? (size_t)n : room - 1;
}

/**
 * text_add() - printf() to the end of a text
 * @t: text; what does not fit is cut
 * @format: as for printf(); no floating point, which may allocate
 */
void text_add(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_vadd(t, format, args);
	va_end(args);
}

/**
 * text_size() - a number of bytes for people
 * @t: text
 * @bytes: how many
 */
void text_size(struct text *t, uint64_t bytes)
{
	static const char * const units[] = { "KiB", "MiB", "GiB", "TiB" };
	uint64_t tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		text_add(t, "%u B", (unsigned int)bytes);
		return;
	}
	while (tenths >= 10240 && i < 3) {
		tenths /= 1024;
		i++;
	}
	text_add(t, "%llu.%u %s", (unsigned long long)(tenths / 10),
		 (unsigned int)(tenths % 10), units[i]);
}

/* What a write may bring upon the program, which did not ask for it. */
static const int signals[] = { SIGPIPE, SIGXFSZ };

static void hold_signals(sigset_t *held, sigset_t *mask)
{
	sigset_t before;
	size_t i;

	sigemptyset(held);
	sigpending(&before);
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (!sigismember(&before, signals[i]))
			sigaddset(held, signals[i]);
	pthread_sigmask(SIG_BLOCK, held, mask);
}

static void drop_signals(const sigset_t *held, const sigset_t *mask)
{
	const struct timespec now = { 0 };

	while (sigtimedwait(held, NULL, &now) > 0)
		;
	pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/**
 * text_write() - write a text
 * @t: text
 * @fd: where to; that it may be closed, or nobody reads it, is no mistake
 */
void text_write(const struct text *t, int fd)
{
	sigset_t held, mask;
	size_t at = 0;
	ssize_t n;

	hold_signals(&held, &mask);
	while (at < t->len) {
		n = write(fd, t->at + at, t->len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	drop_signals(&held, &mask);
}

/* Standard error when the process began. */
static struct {
	bool known;
	dev_t dev;
	ino_t ino;
} first;

/**
 * say_set_up() - learn where standard error is
 */
void say_set_up(void)
{
	struct stat st;
	int saved = errno;

	first.known = !fstat(STDERR_FILENO, &st);
	first.dev = st.st_dev;
	first.ino = st.st_ino;
	errno = saved;
}

/*
 * A program that closed it may have a file of its own there, which is not for
 * messages: one that is read as well, or is to be closed by exec().  What it put
 * there for messages is neither.
 */
static bool is_for_messages(void)
{
	struct stat st;
	int flags;

	if (fstat(STDERR_FILENO, &st))
		return false;
	if (first.known && st.st_dev == first.dev && st.st_ino == first.ino)
		return true;
	flags = fcntl(STDERR_FILENO, F_GETFL);
	return isatty(STDERR_FILENO) ||
	       (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY &&
		!fcntl(STDERR_FILENO, F_GETFD));
}

/**
 * text_say() - write a text on standard error
 * @t: text
 *
 * Keeps errno.
 */
void text_say(const struct text *t)
{
	int saved = errno;

	if (is_for_messages())
		text_write(t, STDERR_FILENO);
	errno = saved;
}

/**
 * say() - a line on standard error
 * @format: as for text_add()
 *
 * Keeps errno.
 */
void say(const char *format, ...)
{
	TEXT(t, 4096);
	int saved = errno;
	va_list args;

	text_add(&t, "bmem-run: ");
	va_start(args, format);
	text_vadd(&t, format, args);
	va_end(args);
	text_add(&t, "\n");
	t.at[t.len - 1] = '\n';
	text_say(&t);
	errno = saved;
}
