// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A program with an operator new and an operator delete of its own: blocks have
 * a head.  All other forms are the C++ library's, which call these two.
 *
 * usage: replaced; ends with the number of what went wrong.
 */
#include <cstdlib>
#include <new>

/* Those who know the size are left to the library as well. */
#pragma GCC diagnostic ignored "-Wsized-deallocation"

namespace {

struct alignas(16) head {
	std::size_t bytes, check;
};

struct big {
	char bytes[100000];
};

std::size_t live;
void *volatile block;

const std::size_t check = 0x626d656d;

}

void *operator new(std::size_t bytes)
{
	head *h = static_cast<head *>(std::malloc(bytes + sizeof(*h)));

	if (!h)
		throw std::bad_alloc();
	h->bytes = bytes;
	h->check = check;
	live += bytes;
	return h + 1;
}

void operator delete(void *ptr) noexcept
{
	head *h = static_cast<head *>(ptr) - 1;

	if (!ptr)
		return;
	if (h->check != check)
		std::_Exit(9);
	h->check = 0;
	live -= h->bytes;
	std::free(h);
}

int main()
{
	std::size_t before = live;
	big *one;

	block = one = new big;
	delete one;
	if (live != before)
		return 1;
	block = one = new big[3];
	delete[] one;
	if (live != before)
		return 2;
	/* As std::stable_sort() has its buffer. */
	block = ::operator new(200000, std::nothrow);
	if (live != before + 200000)
		return 3;
	::operator delete(block);
	block = one = new (std::nothrow) big[3];
	delete[] one;
	return live == before ? 0 : 4;
}
