/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * bmem for C++17: a client that closes itself, and a std::pmr memory resource.
 *
 *	bmem::client c;
 *	bmem::memory_resource kv(c, "kv-cache");
 *	std::pmr::vector<float> v(1 << 20, &kv);
 */
#ifndef BMEM_RESOURCE_HPP
#define BMEM_RESOURCE_HPP

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "bmem.h"

namespace bmem {

/**
 * class bmem::client - owns a struct bmem_client
 *
 * Closes it at its end; movable, not copyable.  Must outlive every resource
 * and every container that uses it.
 */
class client {
public:
	/**
	 * client() - open, see bmem_open()
	 * @options: or nullptr for the defaults
	 *
	 * Throws std::system_error with the errno of bmem_open().
	 */
	explicit client(const bmem_options *options = nullptr)
	{
		int ret = bmem_open(&c_, options);

		if (ret)
			throw std::system_error(-ret, std::generic_category(),
						bmem_strerror(ret));
	}

	client(client &&other) noexcept : c_(std::exchange(other.c_, nullptr)) {}

	client &operator=(client &&other) noexcept
	{
		std::swap(c_, other.c_);
		return *this;
	}

	client(const client &) = delete;
	client &operator=(const client &) = delete;
	~client() { bmem_close(c_); }

	/** get() - for the functions of bmem.h; stays owned by this object */
	bmem_client *get() const noexcept { return c_; }

private:
	bmem_client *c_ = nullptr;
};

/**
 * struct bmem::deleter - lets go of a tensor, see bmem_unref()
 *
 * For std::unique_ptr, and std::shared_ptr with its count.
 */
struct deleter {
	bmem_client *c = nullptr;

	void operator()(void *p) const noexcept { (void)bmem_unref(c, p); }
};

/** bmem::tensor - owns one, or a reference to one, until its scope ends */
template <typename T = std::byte>
using tensor = std::unique_ptr<T[], deleter>;

/**
 * bmem::make_tensor() - allocate memory for n objects of trivial type
 * @c: client, which must outlive the tensor
 * @n: how many
 * @label: as for bmem_alloc()
 * @flags: likewise
 *
 * Not initialized, unless @flags has BMEM_ALLOC_ZERO.  Throws std::bad_alloc;
 * errno then says why.
 */
template <typename T>
tensor<T> make_tensor(const client &c, std::size_t n,
		      const char *label = nullptr, unsigned int flags = 0)
{
	static_assert(std::is_trivially_copyable_v<T> &&
		      std::is_trivially_destructible_v<T>,
		      "nobody calls constructors and destructors");
	if (n > SIZE_MAX / sizeof(T)) {
		errno = EOVERFLOW;
		throw std::bad_alloc();
	}
	void *p = bmem_alloc(c.get(), n * sizeof(T),
			     alignof(T) > BMEM_ALIGN_MIN ? alignof(T) : 0,
			     flags, label);

	if (!p)
		throw std::bad_alloc();
	return tensor<T>(static_cast<T *>(p), deleter{c.get()});
}

/**
 * bmem::view() - hold a part of a tensor, see bmem_view()
 * @of: tensor or view
 * @first: index of its first object
 * @n: how many
 *
 * The tensor stays until this is gone, too.  Throws std::bad_alloc where the
 * part is not in the tensor, or for want of memory; errno then says which.
 */
template <typename T>
tensor<T> view(const tensor<T> &of, std::size_t first, std::size_t n)
{
	void *p = nullptr;

	errno = EINVAL;
	if (first <= SIZE_MAX / sizeof(T) && n <= SIZE_MAX / sizeof(T))
		p = bmem_view(of.get_deleter().c, of.get(), first * sizeof(T),
			      n * sizeof(T));
	if (!p)
		throw std::bad_alloc();
	return tensor<T>(static_cast<T *>(p), of.get_deleter());
}

/**
 * class bmem::memory_resource - allocate containers in a client
 *
 * What is smaller than the threshold is left to another resource: containers
 * allocate many small blocks, of which each would be a tensor.  Thread-safe if
 * that one is; the default one is.
 */
class memory_resource : public std::pmr::memory_resource {
public:
	/** define default_threshold - bytes from which a tensor pays, 1 MiB */
	static constexpr std::size_t default_threshold = std::size_t{1} << 20;

	/**
	 * memory_resource() - a resource
	 * @c: client, which must outlive the resource
	 * @label: name of the call site that all its tensors are counted under
	 * @threshold: smallest size that becomes a tensor; 0 for everything
	 * @upstream: where smaller blocks come from
	 */
	explicit memory_resource(bmem_client *c, const char *label = "pmr",
				 std::size_t threshold = default_threshold,
				 std::pmr::memory_resource *upstream =
					 std::pmr::new_delete_resource())
		: c_(c), upstream_(upstream), threshold_(threshold),
		  site_(bmem_site(c, label))
	{
	}

	explicit memory_resource(const client &c, const char *label = "pmr",
				 std::size_t threshold = default_threshold,
				 std::pmr::memory_resource *upstream =
					 std::pmr::new_delete_resource())
		: memory_resource(c.get(), label, threshold, upstream)
	{
	}

	/** site() - number of the call site of all its tensors */
	std::uint32_t site() const noexcept { return site_; }

private:
	/* Throws std::bad_alloc; errno then says why. */
	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		if (bytes < threshold_)
			return upstream_->allocate(bytes, align);
		void *p = bmem_alloc_at(c_, bytes ? bytes : 1,
					align < BMEM_ALIGN_MIN ? 0 : align, 0,
					site_);
		if (!p)
			throw std::bad_alloc();
		return p;
	}

	void do_deallocate(void *p, std::size_t bytes,
			   std::size_t align) override
	{
		if (bmem_owns(c_, p))
			(void)bmem_free(c_, p);
		else
			upstream_->deallocate(p, bytes, align);
	}

	/* Equal when one can free what the other allocated. */
	bool do_is_equal(const std::pmr::memory_resource &other)
		const noexcept override
	{
		auto *o = dynamic_cast<const memory_resource *>(&other);

		return o && o->c_ == c_ &&
		       o->upstream_->is_equal(*upstream_);
	}

	bmem_client *c_;
	std::pmr::memory_resource *upstream_;
	std::size_t threshold_;
	std::uint32_t site_;
};

/**
 * class bmem::scope - bmem_scope_push() for as long as the object lives
 *
 * Ends in the thread that began it, innermost first.
 */
class scope {
public:
	explicit scope(const char *name) noexcept { bmem_scope_push(name); }
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;
	~scope() { bmem_scope_pop(); }
};

} /* namespace bmem */

#endif /* BMEM_RESOURCE_HPP */
