/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Tests that need a process of their own.
 */
#ifndef BMEM_TEST_CHILD_H
#define BMEM_TEST_CHILD_H

#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

struct child {
	int status;
	char err[2048];
};

/* Run @fn in a child; what it returns is its exit status. */
__attribute__((unused))
static struct child in_child(int (*fn)(void))
{
	struct child ch = { 0 };
	size_t n = 0;
	ssize_t got;
	int fds[2];
	pid_t pid;

	EQ(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	IS(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(fn());
	}
	close(fds[1]);
	while ((got = read(fds[0], ch.err + n, sizeof(ch.err) - 1 - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	EQ(waitpid(pid, &ch.status, 0), pid);
	ch.status = WIFEXITED(ch.status) ? WEXITSTATUS(ch.status) :
					   1000 + WTERMSIG(ch.status);
	return ch;
}

#endif /* BMEM_TEST_CHILD_H */
