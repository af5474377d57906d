// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * PyTorch's allocator for the CPU: storages from a threshold on are tensors of
 * bmem, all else is libc10's.
 *
 * Built once for each form that c10::Allocator has had, from the headers of
 * one PyTorch; needs nothing but libc10, from whichever PyTorch is loaded.
 */
#include <atomic>
#include <cstdint>
#include <cstring>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <bmem.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

bmem_client *client;
std::atomic<std::size_t> threshold{std::size_t(-1)};
std::atomic<std::uint64_t> served, refused;

/* Call sites are those of whoever called us: hence not a function. */
void *tensor(std::size_t size, const void *ret, const void *frame)
{
	void *p = bmem_alloc_from(client, size, 0, 0, nullptr, ret, frame);

	(p ? served : refused).fetch_add(1, std::memory_order_relaxed);
	return p;
}

void release(void *ptr)
{
	if (!ptr)
		return;
	/* It has the sizes of what was allocated while it was profiling. */
	c10::profiledCPUMemoryReporter().Delete(ptr);
	if (bmem_owns(client, ptr))
		(void)bmem_free(client, ptr);
	else
		c10::free_cpu(ptr);
}

struct allocator final : c10::Allocator {
	c10::DataPtr allocate(std::size_t size) BMEM_TORCH_CONST override
	{
		const c10::Device cpu(c10::DeviceType::CPU);
		void *p = nullptr;

		if (size >= threshold.load(std::memory_order_relaxed))
			p = tensor(size, __builtin_return_address(0),
				   __builtin_frame_address(0));
		if (!p)
			p = c10::alloc_cpu(size);
		if (p)
			c10::profiledCPUMemoryReporter().New(p, size);
		return {p, p, release, cpu};
	}

	/* Allowed, because the context is the memory itself. */
	c10::DeleterFnPtr raw_deleter() const override
	{
		return release;
	}

#if BMEM_TORCH_ABI >= 2
	void copy_data(void *to, const void *from,
		       std::size_t size) const override
	{
		std::memcpy(to, from, size);
	}
#endif
};

/* Storages may outlive all else. */
allocator &the_allocator()
{
	static allocator &a = *new allocator;

	return a;
}

} // namespace

/**
 * bmem_torch_install() - have storages of the CPU allocated here
 * @with: where they go, never closed
 * @from: from so many bytes on
 *
 * Return: 0, or -1 when another allocator, of a higher priority, keeps its
 * place.
 */
EXPORT int bmem_torch_install(bmem_client *with, std::size_t from)
{
	if (!client)
		client = with;
	threshold = from ? from : 1;
	if (c10::GetAllocator(c10::DeviceType::CPU) == &the_allocator())
		return 0;
	c10::SetAllocator(c10::DeviceType::CPU, &the_allocator(), 100);
	return c10::GetAllocator(c10::DeviceType::CPU) == &the_allocator() ?
	       0 : -1;
}

/* New storages are libc10's again; those there are stay where they are. */
EXPORT void bmem_torch_uninstall()
{
	threshold = std::size_t(-1);
}

EXPORT void bmem_torch_counts(std::uint64_t counts[2])
{
	counts[0] = served;
	counts[1] = refused;
}
