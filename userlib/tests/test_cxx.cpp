// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The C++ side: client and memory resource, with the containers that people
 * use.  cmocka leaves functions by longjmp, which C++ does not allow; so this
 * program has a few lines of its own for TAP.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory_resource>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <bmem_resource.hpp>

namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;

const char *program, *name;
int number;

/* A failed check; ends its test. */
struct failure {
	std::string text;
};

template <typename A, typename B>
void eq(const A &got, const B &want, const char *what, int line)
{
	if (got == static_cast<A>(want))
		return;
	std::ostringstream s;

	s << "#   " << __FILE__ << ":" << line << ": " << what
	  << "\n#     got:      " << got << "\n#     expected: " << want
	  << "\n#     alone:    " << program << " " << name << "\n";
	throw failure{s.str()};
}

#define EQ(got, want) eq(got, want, #got, __LINE__)
#define IS(what) eq(static_cast<bool>(what), true, #what, __LINE__)

bmem::client open_client()
{
	bmem_options o{};

	o.sz = sizeof(o);
	o.max_bytes = 128 * MiB;
	return bmem::client(&o);
}

bmem_client_stats stats_of(const bmem::client &c)
{
	bmem_client_stats st{};

	st.size = sizeof(st);
	EQ(bmem_stats(c.get(), &st), 0);
	return st;
}

void vector_grows()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "vector", 0);
	{
		std::pmr::vector<int> v(&r);

		for (int i = 0; i < 1000000; i++)
			v.push_back(i);
		for (int i = 0; i < 1000000; i++)
			EQ(v[static_cast<std::size_t>(i)], i);
		EQ(stats_of(c).live_tensors, 1U);
		EQ(stats_of(c).live_bytes, v.capacity() * sizeof(int));
		IS(bmem_owns(c.get(), v.data()));
		EQ(reinterpret_cast<std::uintptr_t>(v.data()) % 64, 0U);
	}
	EQ(stats_of(c).live_tensors, 0U);
	IS(stats_of(c).allocs > 10);
	EQ(stats_of(c).allocs, stats_of(c).frees);
}

void map_of_nodes()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "map", 0);
	{
		std::pmr::unordered_map<int, std::pmr::string> m(&r);

		for (int i = 0; i < 2000; i++)
			m.emplace(i, std::string(100, 'a' + i % 26).c_str());
		for (int i = 0; i < 2000; i++)
			EQ(m.at(i)[99], 'a' + i % 26);
		for (int i = 0; i < 2000; i += 2)
			m.erase(i);
		EQ(m.size(), 1000U);
		/* Node and string of each, and the table. */
		EQ(stats_of(c).live_tensors, 2001U);
	}
	EQ(stats_of(c).live_tensors, 0U);
}

void pooled()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "pool", 0);
	{
		std::pmr::synchronized_pool_resource pool(&r);
		std::pmr::map<int, int> m(&pool);

		for (int i = 0; i < 10000; i++)
			m[i] = i;
		IS(stats_of(c).live_tensors < 1000);
		EQ(m[9999], 9999);
	}
	EQ(stats_of(c).live_tensors, 0U);
}

void threshold()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "large");
	std::pmr::vector<char> small(MiB - 1, &r), large(MiB, &r);

	IS(!bmem_owns(c.get(), small.data()));
	IS(bmem_owns(c.get(), large.data()));
	EQ(stats_of(c).live_bytes, MiB);
	small = std::pmr::vector<char>(2 * MiB, &r);
	IS(bmem_owns(c.get(), small.data()));
	EQ(stats_of(c).live_bytes, 3 * MiB);
}

/* A resource that counts, to see what goes upstream. */
class counting : public std::pmr::memory_resource {
public:
	int live = 0;

private:
	void *do_allocate(std::size_t n, std::size_t a) override
	{
		live++;
		return std::pmr::new_delete_resource()->allocate(n, a);
	}
	void do_deallocate(void *p, std::size_t n, std::size_t a) override
	{
		live--;
		std::pmr::new_delete_resource()->deallocate(p, n, a);
	}
	bool do_is_equal(const memory_resource &o) const noexcept override
	{
		return this == &o;
	}
};

void upstream()
{
	bmem::client c = open_client();
	counting up;
	bmem::memory_resource r(c, "up", 4096, &up);
	void *a = r.allocate(4095, 8), *b = r.allocate(4096, 8);

	EQ(up.live, 1);
	EQ(stats_of(c).live_tensors, 1U);
	r.deallocate(a, 4095, 8);
	EQ(up.live, 0);
	r.deallocate(b, 4096, 8);
	EQ(stats_of(c).live_tensors, 0U);
}

void alignments()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "align", 0);

	for (std::size_t a = 1; a <= 2 * MiB; a *= 2) {
		void *p = r.allocate(100, a);

		EQ(reinterpret_cast<std::uintptr_t>(p) % a, 0U);
		r.deallocate(p, 100, a);
	}
	/* Nothing is an allocation too, and has an address of its own. */
	void *p = r.allocate(0, 1), *q = r.allocate(0, 1);

	IS(p && q && p != q);
	r.deallocate(p, 0, 1);
	r.deallocate(q, 0, 1);
}

bool throws_bad_alloc(std::pmr::memory_resource &r, std::size_t n,
		      std::size_t align)
{
	try {
		(void)r.allocate(n, align);
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

void bad_alloc()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "bad", 0);

	IS(throws_bad_alloc(r, std::size_t{1} << 60, 8));
	EQ(errno, EFBIG);
	IS(throws_bad_alloc(r, 100, 4 * MiB));
	EQ(errno, EINVAL);
	EQ(stats_of(c).live_tensors, 0U);
}

void equality()
{
	bmem::client c = open_client(), d = open_client();
	bmem::memory_resource a(c, "a"), b(c, "b", 0), other(d, "a");
	counting up;
	bmem::memory_resource elsewhere(c, "a", 0, &up);

	IS(a == a);
	IS(a == b);
	IS(a != other);
	IS(a != elsewhere);
	IS(a != *std::pmr::new_delete_resource());
	/* Equal means that one frees what the other allocated. */
	b.deallocate(a.allocate(2 * MiB), 2 * MiB);
	b.deallocate(a.allocate(10), 10);
	EQ(stats_of(c).live_tensors, 0U);
}

void label()
{
	bmem::client c = open_client();
	bmem::memory_resource r(c, "kv-cache", 0);
	bmem_tensor_desc d{};
	void *p = r.allocate(100);

	d.sz = sizeof(d);
	EQ(bmem_tensor_info(c.get(), p, &d), 0);
	EQ(std::string(d.label), "kv-cache");
	EQ(d.site, r.site());
	r.deallocate(p, 100);
}

std::string label_now(const bmem::client &c)
{
	void *p = bmem_alloc(c.get(), 64, 0, 0, nullptr);
	bmem_tensor_desc d{};

	d.sz = sizeof(d);
	EQ(bmem_tensor_info(c.get(), p, &d), 0);
	EQ(bmem_free(c.get(), p), 0);
	return d.label;
}

void scopes()
{
	bmem::client c = open_client();

	try {
		bmem::scope outer("decoder");
		bmem::scope inner("kv-cache");

		EQ(label_now(c).rfind("decoder/kv-cache @ ", 0), 0U);
		throw 1;
	} catch (int) {
	}
	EQ(label_now(c).find("decoder"), std::string::npos);
}

void client_moves()
{
	bmem::client a = open_client();
	bmem_client *raw = a.get();
	bmem::client b(std::move(a));

	IS(!a.get());
	IS(b.get() == raw);
	a = std::move(b);
	IS(a.get() == raw);
}

void client_throws()
{
	bmem_options o{};
	int code = 0;

	o.sz = 1;
	try {
		bmem::client c(&o);
	} catch (const std::system_error &e) {
		code = e.code().value();
		IS(std::strstr(e.what(), "out of range"));
	}
	EQ(code, EINVAL);
}

void tensors_end_with_their_scope()
{
	bmem::client c = open_client();
	bmem::tensor<float> kept;
	{
		auto t = bmem::make_tensor<float>(c, 100000, "weights",
						  BMEM_ALLOC_ZERO);

		EQ(t[99999], 0.0f);
		EQ(stats_of(c).live_bytes, 400000U);
		try {
			auto u = bmem::make_tensor<char>(c, 1000);

			EQ(stats_of(c).live_tensors, 2U);
			throw 1;
		} catch (int) {
		}
		EQ(stats_of(c).live_tensors, 1U);
		t[500] = 7;
		kept = bmem::view(t, 500, 10);
	}
	/* The view keeps it. */
	EQ(stats_of(c).live_tensors, 1U);
	EQ(kept[0], 7.0f);
	kept.reset();
	EQ(stats_of(c).live_tensors, 0U);
}

void tensors_are_shared()
{
	bmem::client c = open_client();
	std::shared_ptr<int[]> a = bmem::make_tensor<int>(c, 1000), b = a;

	a.reset();
	EQ(stats_of(c).live_tensors, 1U);
	b.reset();
	EQ(stats_of(c).live_tensors, 0U);
}

template <typename F>
int thrown(F f)
{
	try {
		f();
	} catch (const std::bad_alloc &) {
		return errno;
	}
	return 0;
}

void tensors_that_cannot_be()
{
	bmem::client c = open_client();
	auto t = bmem::make_tensor<double>(c, 100);

	EQ(thrown([&] { bmem::make_tensor<double>(c, SIZE_MAX / 8 + 1); }), EOVERFLOW);
	EQ(thrown([&] { bmem::make_tensor<double>(c, 0); }), EINVAL);
	EQ(thrown([&] { bmem::make_tensor<char>(c, 200 * MiB); }), EFBIG);
	EQ(thrown([&] { bmem::view(t, 50, 51); }), EINVAL);
	EQ(thrown([&] { bmem::view(t, SIZE_MAX / 8 + 1, 1); }), EINVAL);
	EQ(stats_of(c).live_tensors, 1U);
}

const struct {
	const char *name;
	void (*fn)();
} tests[] = {
#define TEST(f) { #f, f }
	TEST(vector_grows),
	TEST(map_of_nodes),
	TEST(pooled),
	TEST(threshold),
	TEST(upstream),
	TEST(alignments),
	TEST(bad_alloc),
	TEST(equality),
	TEST(label),
	TEST(scopes),
	TEST(client_moves),
	TEST(client_throws),
	TEST(tensors_end_with_their_scope),
	TEST(tensors_are_shared),
	TEST(tensors_that_cannot_be),
};

bool run(void (*fn)())
{
	number++;
	try {
		fn();
	} catch (const failure &f) {
		std::printf("not ok %d - %s\n%s", number, name, f.text.c_str());
		return false;
	} catch (const std::exception &e) {
		std::printf("not ok %d - %s\n#   threw: %s\n#   alone: %s %s\n",
			    number, name, e.what(), program, name);
		return false;
	}
	std::printf("ok %d - %s\n", number, name);
	return true;
}

} /* namespace */

int main(int argc, char **argv)
{
	int failed = 0;

	program = argv[0];
	setenv("BMEM_BACKEND", "memfd", 0);
	for (const auto &t : tests) {
		name = t.name;
		if (argc < 2 || !std::strcmp(argv[1], name))
			failed += !run(t.fn);
	}
	std::printf("1..%d\n", number);
	return failed != 0;
}
