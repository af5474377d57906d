// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The device backend against a device that is played by this program: open,
 * ioctl, mmap and stat are answered here (ld --wrap), so that every error of
 * the ABI can be had at every call.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "child.h"
#include "client.h"

#define SPACE		GIB
#define TENSORS		4096
#define PLACES		((1ULL << BMEM_SLOT_PLACE_BITS) - 1)
/* Where its windows are, as QUERY answers; it has no ledger. */
#define CONTROL_AT	(1ULL << 50)
#define SPANS_AT	(CONTROL_AT + 2 * PAGE)

int __real_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long cmd, ...);
int __real_stat(const char *path, struct stat *st);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
int __real_munmap(void *addr, size_t len);

/* What the device does, and what it has seen. */
static struct {
	int open_err;
	int open_eintr;
	int fail_nr;			/* _IOC_NR of the call that fails */
	int fail_err;
	int fail_times;
	int free_result;
	bool dev_missing;
	struct bmem_query query;
	size_t map_max;
	bool map_crooked;
	struct stat st;

	int fd;
	int side_fd;			/* what the windows show */
	uint64_t *spans;
	unsigned long calls[64];
	struct bmem_bind bind;
	struct bmem_site site;
	size_t mapped;
	void *mapped_at;
	unsigned int unmapped;

	uint64_t next;			/* offset of the next tensor */
	struct bmem_tensor t[TENSORS];
	unsigned int nr, live;
} dev;

static size_t side_bytes(void)
{
	return 2 * PAGE + dev.query.spans_bytes;
}

static void side_init(void)
{
	char *side;

	dev.side_fd = memfd_create("windows", MFD_CLOEXEC);
	EQ(ftruncate(dev.side_fd, (off_t)side_bytes()), 0);
	side = __real_mmap(NULL, side_bytes(), PROT_READ | PROT_WRITE,
			   MAP_SHARED, dev.side_fd, 0);
	IS(side != MAP_FAILED);
	((struct bmem_control *)(side + PAGE))->level = BMEM_LEVEL_FULL;
	dev.spans = (uint64_t *)(side + 2 * PAGE);
}

static void side_fini(void)
{
	if (!dev.spans)
		return;
	__real_munmap((char *)dev.spans - 2 * PAGE, side_bytes());
	close(dev.side_fd);
}

static void dev_reset(void)
{
	side_fini();
	memset(&dev, 0, sizeof(dev));
	dev.fd = -1;
	dev.map_max = SIZE_MAX;
	dev.query = (struct bmem_query) {
		.size = sizeof(dev.query),
		.client_id = 5,
		.space_bytes = SPACE,
		.page_size = BMEM_PAGE_SIZE,
		.huge_size = BMEM_HUGE_SIZE,
		.align_min = BMEM_ALIGN_MIN,
		.align_max = BMEM_ALIGN_MAX,
		.batch_max = BMEM_BATCH_MAX,
		.sites_max = BMEM_SITES_MAX,
		.pools_max = BMEM_POOLS_MAX,
		.control_offset = CONTROL_AT,
		.spans_offset = SPANS_AT,
		.spans_bytes = SPACE / PAGE * 8,
	};
	side_init();
}

static unsigned long called(unsigned long cmd)
{
	return dev.calls[_IOC_NR(cmd) - 0x40];
}

static void refuse(unsigned long cmd, int err, int times)
{
	dev.fail_nr = _IOC_NR(cmd);
	dev.fail_err = err;
	dev.fail_times = times;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/bmem"))
		return __real_open(path, flags, 0);
	if (dev.open_eintr) {
		dev.open_eintr--;
		errno = EINTR;
		return -1;
	}
	if (dev.open_err) {
		errno = dev.open_err;
		return -1;
	}
	EQ(flags, O_RDWR | O_CLOEXEC);
	dev.fd = memfd_create("device", MFD_CLOEXEC);
	EQ(ftruncate(dev.fd, (off_t)dev.query.space_bytes), 0);
	return dev.fd;
}

int __wrap_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st)
{
	if (strcmp(path, "/dev/bmem"))
		return __real_stat(path, st);
	*st = dev.st;
	return 0;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	char *p;

	if (fd < 0 || fd != dev.fd)
		return __real_mmap(addr, len, prot, flags, fd, off);
	IS(flags & MAP_SHARED);
	if ((uint64_t)off >= CONTROL_AT) {
		EQ(prot, PROT_READ);
		return __real_mmap(addr, len, prot, flags, dev.side_fd,
				   off - (off_t)CONTROL_AT);
	}
	EQ(off, 0);
	EQ(prot, PROT_READ | PROT_WRITE);
	if (len > dev.map_max) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	dev.mapped = len;
	if (!dev.map_crooked || flags & MAP_FIXED) {
		dev.mapped_at = __real_mmap(addr, len, prot, flags, fd, off);
		return dev.mapped_at;
	}
	p = __real_mmap(NULL, len + 2 * HUGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p += HUGE - (uintptr_t)p % HUGE + PAGE;
	return __real_mmap(p, len, prot, flags | MAP_FIXED, fd, off);
}

int __wrap_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len)
{
	dev.unmapped += len == dev.mapped && addr == dev.mapped_at;
	return __real_munmap(addr, len);
}

static struct bmem_tensor *dev_find(uint64_t handle)
{
	uint64_t n = handle >> BMEM_SLOT_PLACE_BITS;

	return n && n <= dev.nr && dev.t[n - 1].bytes &&
	       dev.t[n - 1].handle == handle ? &dev.t[n - 1] : NULL;
}

/* What the span map says of a tensor; its number is its generation. */
static void dev_map_tensor(const struct bmem_tensor *t)
{
	uint64_t page = t->offset / PAGE, pages = t->granted / PAGE;

	if (t->offset % PAGE || t->offset >= dev.query.space_bytes ||
	    t->granted > dev.query.space_bytes - t->offset)
		return;
	dev.spans[page] = t->bytes ? BMEM_SPAN_TENSOR |
		t->handle >> BMEM_SLOT_PLACE_BITS << BMEM_SPAN_ARG_SHIFT : 0;
	if (pages > 1)
		dev.spans[page + 1] = t->bytes ? BMEM_SPAN_MORE |
			pages << BMEM_SPAN_ARG_SHIFT : 0;
	else if (t->bytes)
		dev.spans[page] |= BMEM_SPAN_SINGLE;
}

static int dev_alloc(struct bmem_alloc *a)
{
	struct bmem_alloc_entry *e = (void *)(uintptr_t)a->entries;
	uint32_t i;

	EQ(a->size, sizeof(*a));
	EQ(a->flags, 0);
	IS(a->nr >= 1 && a->nr <= BMEM_BATCH_MAX);
	for (i = 0; i < a->nr; i++, e++) {
		EQ(e->__reserved, 0);
		IS(dev.nr < TENSORS);
		dev.t[dev.nr] = (struct bmem_tensor) {
			.handle = (dev.nr + 1ULL) << BMEM_SLOT_PLACE_BITS |
				  (dev.next / 64 & PLACES),
			.offset = dev.next,
			.bytes = e->bytes,
			.granted = (e->bytes + PAGE - 1) & ~(PAGE - 1),
			.site = e->site,
		};
		e->handle = dev.t[dev.nr].handle;
		e->offset = dev.t[dev.nr].offset;
		e->granted = dev.t[dev.nr].granted;
		dev_map_tensor(&dev.t[dev.nr]);
		dev.next += e->granted;
		dev.nr++;
		dev.live++;
	}
	return 0;
}

static int dev_free(struct bmem_free *f)
{
	struct bmem_free_entry *e = (void *)(uintptr_t)f->entries;
	struct bmem_tensor *t;
	uint32_t i;

	EQ(f->size, sizeof(*f));
	for (i = 0; i < f->nr; i++, e++) {
		EQ(e->__reserved, 0);
		t = dev_find(e->handle);
		e->result = t ? dev.free_result : -ENOENT;
		if (!t)
			continue;
		t->bytes = 0;
		dev_map_tensor(t);
		dev.live--;
		f->freed++;
	}
	return 0;
}

static int dev_info(struct bmem_tensor_info *info)
{
	struct bmem_tensor *t = dev_find(info->handle);

	EQ(info->size, sizeof(*info));
	if (!t)
		return ENOENT;
	info->tensor = *t;
	return 0;
}

static int dev_call(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case BMEM_QUERY:
		EQ(*(uint32_t *)arg, sizeof(struct bmem_query));
		memcpy(arg, &dev.query, sizeof(dev.query));
		return 0;
	case BMEM_BIND:
		dev.bind = *(struct bmem_bind *)arg;
		return 0;
	case BMEM_SITE:
		dev.site = *(struct bmem_site *)arg;
		return 0;
	case BMEM_ALLOC:
		return dev_alloc(arg);
	case BMEM_FREE:
		return dev_free(arg);
	case BMEM_TENSOR_INFO:
		return dev_info(arg);
	default:
		return 0;
	}
}

int __wrap_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	va_list ap;
	void *arg;
	int err;

	EQ(fd, dev.fd);
	EQ(_IOC_TYPE(cmd), BMEM_IOC_TYPE);
	EQ(cmd, _IO(BMEM_IOC_TYPE, _IOC_NR(cmd)));
	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	dev.calls[_IOC_NR(cmd) - 0x40]++;
	if (dev.fail_times && dev.fail_nr == (int)_IOC_NR(cmd)) {
		dev.fail_times--;
		errno = dev.fail_err;
		return -1;
	}
	err = dev_call(cmd, arg);
	if (!err)
		return 0;
	errno = err;
	return -1;
}

/* ---- opening ---- */

static int open_dev(struct bmem_client **c)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_DEV,
	};

	return bmem_open(c, &o);
}

static struct bmem_client *opened(void)
{
	struct bmem_client *c = NULL;

	dev_reset();
	EQ(open_dev(&c), 0);
	STR(bmem_backend_name(c), "dev");
	return c;
}

static bool fd_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void open_close(void **state)
{
	struct bmem_client *c = opened();

	(void)state;
	EQ(called(BMEM_QUERY), 1);
	EQ(called(BMEM_BIND), 0);
	EQ(dev.mapped, SPACE);
	IS(fd_open(dev.fd));
	dev.unmapped = 0;
	bmem_close(c);
	EQ(dev.unmapped, 1);
	IS(!fd_open(dev.fd));
}

static void open_errors(void **state)
{
	static const int errs[] = {
		ENOENT, EACCES, EPERM, ENODEV, ENXIO, EMFILE, ENOMEM, EBUSY,
	};
	struct bmem_client *c;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(errs); i++) {
		dev_reset();
		dev.open_err = errs[i];
		c = (void *)1;
		EQ(open_dev(&c), -errs[i]);
		EQ((uintptr_t)c, 0);
	}
}

static void open_interrupted(void **state)
{
	struct bmem_client *c;

	(void)state;
	dev_reset();
	dev.open_eintr = 3;
	EQ(open_dev(&c), 0);
	bmem_close(c);
}

static void query_errors(void **state)
{
	static const int errs[] = { ENOTTY, EINVAL, E2BIG, EOPNOTSUPP };
	struct bmem_client *c;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(errs); i++) {
		dev_reset();
		refuse(BMEM_QUERY, errs[i], 1);
		EQ(open_dev(&c), -errs[i]);
		IS(!fd_open(dev.fd));
	}
}

static void query_other_abi(void **state)
{
	struct bmem_client *c;

	(void)state;
	dev_reset();
	dev.query.page_size = 16384;
	EQ(open_dev(&c), -EOPNOTSUPP);
	dev_reset();
	dev.query.huge_size = 32 * MIB;
	EQ(open_dev(&c), -EOPNOTSUPP);
	dev_reset();
	dev.query.batch_max = 16;
	EQ(open_dev(&c), -EOPNOTSUPP);
	dev_reset();
	dev.query.space_bytes = 0;
	EQ(open_dev(&c), -EOPNOTSUPP);
	IS(!fd_open(dev.fd));
}

static void bind_options(void **state)
{
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_DEV,
		.pool = 3,
		.label = "trainer",
		.cache_bytes = 12345,
		.flags = BMEM_OPEN_CACHE,
	};
	struct bmem_client *c;

	(void)state;
	dev_reset();
	EQ(bmem_open(&c, &o), 0);
	EQ(called(BMEM_BIND), 1);
	EQ(dev.bind.size, sizeof(dev.bind));
	EQ(dev.bind.flags,
	   BMEM_BIND_POOL | BMEM_BIND_LABEL | BMEM_BIND_CACHE);
	EQ(dev.bind.pool, 3);
	EQ(dev.bind.__reserved, 0);
	EQ(dev.bind.cache_bytes, 12345);
	STR(dev.bind.label, "trainer");
	bmem_close(c);
	o.pool = 0;
	o.flags = 0;
	EQ(bmem_open(&c, &o), 0);
	EQ(dev.bind.flags, BMEM_BIND_LABEL);
	EQ(dev.bind.cache_bytes, 0);
	bmem_close(c);
}

static void bind_errors(void **state)
{
	static const int errs[] = { ENOENT, EPERM, EINVAL, EBUSY };
	struct bmem_options o = {
		.sz = sizeof(o),
		.backend = BMEM_BACKEND_AUTO,
		.pool = 3,
	};
	struct bmem_client *c;
	size_t i;

	(void)state;
	unsetenv("BMEM_BACKEND");
	for (i = 0; i < COUNT(errs); i++) {
		dev_reset();
		refuse(BMEM_BIND, errs[i], 1);
		/* Who asks for a pool is not given other memory. */
		EQ(bmem_open(&c, &o), -errs[i]);
		IS(!fd_open(dev.fd));
	}
	setenv("BMEM_BACKEND", "memfd", 1);
}

static void auto_takes_device(void **state)
{
	struct bmem_client *c;

	(void)state;
	unsetenv("BMEM_BACKEND");
	dev_reset();
	EQ(bmem_open(&c, NULL), 0);
	STR(bmem_backend_name(c), "dev");
	bmem_close(c);
	setenv("BMEM_BACKEND", "memfd", 1);
}

/* Exit status 200 for the fallback, 201 for the device, or errno. */
static int child_auto(void)
{
	struct bmem_options o = { .sz = sizeof(o), .max_bytes = LIMIT };
	struct bmem_client *c;
	int ret;

	unsetenv("BMEM_BACKEND");
	unsetenv("BMEM_QUIET");
	ret = bmem_open(&c, &o);
	return ret ? -ret : strcmp(bmem_backend_name(c), "dev") ? 200 : 201;
}

static void auto_falls_back(void **state)
{
	static const int absent[] = { ENOENT, EACCES, EPERM, ENODEV, ENXIO };
	static const int fatal[] = { EMFILE, ENFILE, ENOMEM };
	struct child ch;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(absent); i++) {
		dev_reset();
		dev.open_err = absent[i];
		ch = in_child(child_auto);
		EQ(ch.status, 200);
		HAS(ch.err, "libbmem: ");
		HAS(ch.err, absent[i] == EACCES || absent[i] == EPERM ?
		    "no permission for /dev/bmem" : "modprobe bmem");
	}
	for (i = 0; i < COUNT(fatal); i++) {
		dev_reset();
		dev.open_err = fatal[i];
		ch = in_child(child_auto);
		EQ(ch.status, fatal[i]);
		STR(ch.err, "");
	}
	dev_reset();
	refuse(BMEM_QUERY, ENOTTY, 1);
	ch = in_child(child_auto);
	EQ(ch.status, 200);
	HAS(ch.err, "not a bmem device");
	dev_reset();
	refuse(BMEM_QUERY, EINVAL, 1);
	EQ(in_child(child_auto).status, EINVAL);
}

static void notice_names_group(void **state)
{
	struct child ch;

	(void)state;
	dev_reset();
	dev.open_err = EACCES;
	dev.st.st_mode = S_IFCHR | 0660;
	dev.st.st_gid = 1;	/* daemon, on every Debian and Fedora */
	ch = in_child(child_auto);
	HAS(ch.err, "(group daemon, mode 0660)");
	HAS(ch.err, "usermod -aG daemon USER");
	/* A group that has no name. */
	dev.st.st_gid = 123456789;
	HAS(in_child(child_auto).err, "(group 123456789, mode 0660)");
	/* Joining root is no advice. */
	dev.st.st_gid = 0;
	HAS(in_child(child_auto).err, "run as root");
	HAS(in_child(child_auto).err, "chgrp GROUP /dev/bmem && chmod 0660 /dev/bmem");
	dev.st.st_gid = 1;
	dev.st.st_mode = S_IFCHR | 0600;
	HAS(in_child(child_auto).err, "run as root");
}

/* ---- mapping ---- */

static void map_prefix(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	struct bmem_request r[3] = { { .size = 10 }, { .size = 10 },
				     { .size = 10 } };
	char *p;
	size_t i;

	(void)state;
	dev_reset();
	dev.map_max = 100 * MIB;
	EQ(open_dev(&c), 0);
	EQ(dev.mapped, 64 * MIB);
	dev.next = 64 * MIB - 3 * PAGE;
	p = bmem_alloc(c, PAGE, 0, 0, NULL);
	IS(p);
	p[PAGE - 1] = 1;
	/* Now beyond what is mapped: given back, and an error. */
	dev.next = 64 * MIB;
	NUL(bmem_alloc(c, 1, 0, 0, NULL), ENOMEM);
	EQ(dev.live, 1);
	/* And across its end. */
	dev.next = 64 * MIB - PAGE;
	NUL(bmem_alloc(c, PAGE + 1, 0, 0, NULL), ENOMEM);
	EQ(dev.live, 1);
	/* One of several is enough. */
	dev.next = 64 * MIB - 2 * PAGE;
	EQ(bmem_alloc_batch(c, r, 3, NULL), -ENOMEM);
	EQ(dev.live, 1);
	for (i = 0; i < 3; i++)
		EQ((uintptr_t)r[i].ptr, 0);
	EQ(bmem_free(c, p), 0);
}

static void map_nothing(void **state)
{
	struct bmem_client *c;

	(void)state;
	dev_reset();
	dev.map_max = MIB;
	EQ(open_dev(&c), -ENOMEM);
	IS(!fd_open(dev.fd));
}

static void map_odd_space(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;

	(void)state;
	dev_reset();
	dev.query.space_bytes = 48 * MIB;
	EQ(open_dev(&c), 0);
	EQ(dev.mapped, 48 * MIB);
}

static void map_aligned(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = NULL;
	char *p;

	(void)state;
	dev_reset();
	dev.map_crooked = true;
	EQ(open_dev(&c), 0);
	p = bmem_alloc(c, SPACE, HUGE, 0, NULL);
	IS(p);
	EQ((uintptr_t)p % HUGE, 0);
	p[0] = 1;
	p[SPACE - 1] = 1;
}

/* ---- tensors ---- */

static void alloc_errors(void **state)
{
	static const int errs[] = {
		EFAULT, EINVAL, EOPNOTSUPP, EOVERFLOW, EFBIG, ENOSPC, ENOMEM,
		EPERM, ENOTTY,
	};
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	struct bmem_request r = { .size = 10 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(errs); i++) {
		refuse(BMEM_ALLOC, errs[i], 1);
		NUL(bmem_alloc(c, 10, 0, 0, NULL), errs[i]);
		refuse(BMEM_ALLOC, errs[i], 1);
		EQ(bmem_alloc_batch(c, &r, 1, NULL), -errs[i]);
		EQ((uintptr_t)r.ptr, 0);
	}
	EQ(dev.live, 0);
}

static void alloc_interrupted(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	void *p;

	(void)state;
	/* So that the site is known. */
	p = bmem_alloc_at(c, 10, 0, 0, 0);
	refuse(BMEM_ALLOC, EINTR, 5);
	errno = 77;
	p = bmem_alloc_at(c, 10, 0, 0, 0);
	IS(p);
	EQ(errno, 77);
	refuse(BMEM_FREE, EINTR, 5);
	EQ(bmem_free(c, p), 0);
	EQ(errno, 77);
	EQ(dev.live, 1);
}

/* An answer that makes no sense is an error, and nothing is written to. */
static void alloc_nonsense(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();

	(void)state;
	dev.next = 100;
	NUL(bmem_alloc(c, 10, 0, 0, NULL), ENOMEM);
	dev.next = UINT64_MAX - PAGE + 1;
	NUL(bmem_alloc(c, 10, 0, 0, NULL), ENOMEM);
	EQ(dev.live, 0);
}

static void free_errors(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	void *p = bmem_alloc(c, 10, 0, 0, NULL);
	void *q = bmem_alloc(c, 10, 0, 0, NULL), *both[] = { p, q };

	(void)state;
	IS(p && q);
	/* A call that fails has changed nothing: it can be repeated. */
	refuse(BMEM_FREE, ENOMEM, 1);
	EQ(bmem_free(c, p), -ENOMEM);
	EQ(dev.live, 2);
	refuse(BMEM_FREE, ENOMEM, 2);
	EQ(bmem_free_batch(c, both, 2), -ENOMEM);
	EQ(dev.live, 2);
	EQ(bmem_free_batch(c, both, 2), 0);
	EQ(dev.live, 0);
	EQ(bmem_free(c, p), -ENOENT);
	EQ(called(BMEM_FREE), 5);
}

/* The kernel does not know it: freed by the other side of a fork, say. */
static void free_stale(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	void *p = bmem_alloc(c, 10, 0, 0, NULL);
	void *q = bmem_alloc(c, 10, 0, 0, NULL), *both[] = { p, q };

	(void)state;
	IS(p && q);
	dev.t[0].bytes = 0;
	EQ(bmem_free_batch(c, both, 2), -ENOENT);
	EQ(bmem_free(c, p), -ENOENT);
	EQ(bmem_free(c, q), -ENOENT);
	EQ(called(BMEM_FREE), 3);
}

static void realloc_errors(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	char *p = bmem_alloc(c, 10, 0, 0, NULL), *q;

	(void)state;
	IS(p);
	strcpy(p, "content");
	refuse(BMEM_TENSOR_INFO, EINVAL, 1);
	NUL(bmem_realloc(c, p, 5000, 0), EINVAL);
	refuse(BMEM_ALLOC, ENOSPC, 1);
	NUL(bmem_realloc(c, p, 5000, 0), ENOSPC);
	EQ(dev.live, 1);
	q = bmem_realloc(c, p, 5000, 0);
	IS(q && q != p);
	STR(q, "content");
	EQ(dev.live, 1);
	EQ(bmem_free(c, p), -ENOENT);
	EQ(bmem_free(c, q), 0);
}

static void batch_parts(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	struct bmem_request *r = calloc(2500, sizeof(*r));
	size_t i;

	(void)state;
	IS(r);
	for (i = 0; i < 2500; i++)
		r[i].size = 1;
	EQ(bmem_alloc_batch(c, r, 2500, NULL), 0);
	EQ(called(BMEM_ALLOC), 3);
	EQ(dev.live, 2500);
	for (i = 0; i < 2500; i++)
		EQ(bmem_free(c, r[i].ptr), 0);
	free(r);
}

/* The second of two calls fails: the first one's tensors go back. */
static int fail_second(struct bmem_client *c, struct bmem_request *r)
{
	dev.next = SPACE - 1500 * PAGE;
	return bmem_alloc_batch(c, r, 2048, NULL);
}

static void batch_parts_undone(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	struct bmem_request *r = calloc(2048, sizeof(*r));
	size_t i;

	(void)state;
	IS(r);
	for (i = 0; i < 2048; i++)
		r[i].size = 1;
	EQ(fail_second(c, r), -ENOMEM);
	EQ(called(BMEM_ALLOC), 2);
	EQ(dev.live, 0);
	for (i = 0; i < 2048; i++)
		EQ((uintptr_t)r[i].ptr, 0);
	free(r);
}

static void sites_named_once(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		IS(bmem_alloc(c, 10, 0, 0, "loop"));
	EQ(called(BMEM_SITE), 1);
	EQ(dev.site.size, sizeof(dev.site));
	EQ(dev.site.flags, 0);
	EQ(dev.site.__reserved, 0);
	IS(dev.site.site);
	HAS(dev.site.label, "loop @ test_dev+0x");
	EQ(dev.t[9].site, dev.site.site);
}

static void sites_refused(void **state)
{
	BMEM_AUTO_CLOSE struct bmem_client *c = opened();
	uint32_t site;
	size_t i;

	(void)state;
	refuse(BMEM_SITE, ENOSPC, 1);
	for (i = 0; i < 3; i++)
		IS(bmem_alloc(c, 10, 0, 0, "loop"));
	/* Not asked again, and no allocation fails for it. */
	EQ(called(BMEM_SITE), 1);
	EQ(dev.t[2].site, 0);
	EQ(bmem_sites_lost(c), 3);
	site = bmem_site(c, "named");
	IS(site);
	EQ(dev.site.site, site);
}

static const struct CMUnitTest tests[] = {
	TEST(open_close),
	TEST(open_errors),
	TEST(open_interrupted),
	TEST(query_errors),
	TEST(query_other_abi),
	TEST(bind_options),
	TEST(bind_errors),
	TEST(auto_takes_device),
	TEST(auto_falls_back),
	TEST(notice_names_group),
	TEST(map_prefix),
	TEST(map_nothing),
	TEST(map_odd_space),
	TEST(map_aligned),
	TEST(alloc_errors),
	TEST(alloc_interrupted),
	TEST(alloc_nonsense),
	TEST(free_errors),
	TEST(free_stale),
	TEST(realloc_errors),
	TEST(batch_parts),
	TEST(batch_parts_undone),
	TEST(sites_named_once),
	TEST(sites_refused),
};

TEST_MAIN(tests)
