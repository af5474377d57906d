// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A program with an allocator of its own, which knows its blocks only: what its
 * C++ and C libraries take from it has to come back to it.
 *
 * usage: owner; ends with the number of what went wrong.
 */
#include <cstdlib>
#include <cstring>
#include <new>
#include <unistd.h>

namespace {

alignas(16) char space[4 << 20];
std::size_t used;
void *volatile block;

const std::size_t head = 16;

char *taken(void *ptr)
{
	char *at = static_cast<char *>(ptr);

	if (at < space || at >= space + sizeof(space))
		_exit(99);
	return at - head;
}

}

extern "C" void *malloc(std::size_t bytes)
{
	std::size_t room = (bytes + head + 15) & ~std::size_t(15);
	char *at = space + used;

	if (room < bytes || room > sizeof(space) - used)
		return nullptr;
	used += room;
	std::memcpy(at, &bytes, sizeof(bytes));
	return at + head;
}

extern "C" void free(void *ptr)
{
	if (ptr)
		taken(ptr);
}

/* What is never taken back is zero. */
extern "C" void *calloc(std::size_t nr, std::size_t bytes)
{
	return bytes && nr > sizeof(space) / bytes ? nullptr : malloc(nr * bytes);
}

extern "C" void *realloc(void *ptr, std::size_t bytes)
{
	std::size_t had = 0;
	void *to = malloc(bytes);

	if (ptr)
		std::memcpy(&had, taken(ptr), sizeof(had));
	if (to && ptr)
		std::memcpy(to, ptr, had < bytes ? had : bytes);
	return to;
}

int main()
{
	char *p = static_cast<char *>(reallocarray(nullptr, 10, 10));

	if (!p)
		return 1;
	p[99] = 7;
	p = static_cast<char *>(reallocarray(p, 1000, 100));
	if (!p || p[99] != 7)
		return 2;
	free(p);
	block = p = new char[100000];
	delete[] p;
	block = p = static_cast<char *>(::operator new(100000, std::nothrow));
	::operator delete(p);
	return 0;
}
