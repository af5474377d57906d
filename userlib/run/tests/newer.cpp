// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Every form of operator new and delete, for what bmem-run makes of them.
 *
 * usage: newer
 *
 * Leaks two blocks of 100 000 bytes in leak_by_new(); ends with the number of
 * what went wrong.  It is built as a library, too, for misfit: a C program.
 */
#include <climits>
#include <cstdint>
#include <cstring>
#include <new>

namespace {

struct alignas(256) wide {
	char bytes[80000];
};

struct alignas(128) narrow {
	char bytes[128];
};

struct plain {
	char bytes[90000];
};

char *volatile kept;
int asked;

bool aligned(const void *p, std::uintptr_t to)
{
	return p && !(reinterpret_cast<std::uintptr_t>(p) % to);
}

/* For blocks that are bmem's and for those that are not. */
template <typename T> int round(std::size_t n)
{
	T *one = new T, *many = new T[n];
	T *quiet = new (std::nothrow) T;
	T *quiets = new (std::nothrow) T[n];

	if (!aligned(one, alignof(T)) || !aligned(many, alignof(T)) ||
	    !aligned(quiet, alignof(T)) || !aligned(quiets, alignof(T)))
		return 1;
	std::memset(static_cast<void *>(many), 1, n * sizeof(T));
	delete one;
	delete[] many;
	::operator delete(quiet, std::nothrow);
	delete[] quiets;
	/* By size, and of nothing. */
	::operator delete(::operator new(70000), static_cast<std::size_t>(70000));
	delete static_cast<T *>(nullptr);
	return 0;
}

std::size_t volatile too_much = PTRDIFF_MAX / 2;

void handler()
{
	if (++asked == 3)
		std::set_new_handler(nullptr);
}

int refused()
{
	bool thrown = false;

	if (::operator new(too_much, std::nothrow))
		return 2;
	std::set_new_handler(handler);
	try {
		kept = static_cast<char *>(::operator new(too_much));
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	return thrown && asked == 3 ? 0 : 3;
}

}

extern "C" __attribute__((noinline)) void leak_by_new();

void leak_by_new()
{
	kept = new char[100000];
	kept[0] = 1;
}

extern "C" int newer();

int newer()
{
	int bad = round<plain>(3);

	if (!bad)
		bad = round<wide>(2);
	if (!bad)
		bad = round<narrow>(5);
	for (int i = 0; i < 20000 && !bad; i++)
		bad = round<int>(5);
	if (!bad)
		bad = refused();
	leak_by_new();
	leak_by_new();
	return bad;
}

int main()
{
	return newer();
}
