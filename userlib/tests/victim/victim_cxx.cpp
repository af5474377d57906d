// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
// The same with a name that only C++ has.
#include <cstdint>
#include <cstdio>
#include <link.h>

static uintptr_t base;

static int look(struct dl_phdr_info *info, size_t, void *)
{
	base = info->dlpi_addr;
	return 1;
}

namespace victims {
template <typename T> struct layer {
	__attribute__((noinline)) void forward(T *where)
	{
		*where = (T)__builtin_return_address(0) - (T)base;
	}
	__attribute__((noinline)) void backward(T *where)
	{
		forward(where);
		__asm__ volatile("");
	}
};
}

int main()
{
	victims::layer<unsigned long> l;
	unsigned long where;

	dl_iterate_phdr(look, nullptr);
	l.backward(&where);
	std::printf("%lx 0 -\n", where);
}
