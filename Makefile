# SPDX-License-Identifier: GPL-2.0-only
# bmem: module, library, tests.  All output goes to build/; `make help`.

TOP := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
O ?= $(TOP)build
# Other directories' Makefiles are given it.
override O := $(abspath $(O))
KDIR ?= /lib/modules/$(shell uname -r)/build
PREFIX ?= /usr/local
DESTDIR ?=

export PREFIX DESTDIR

.PHONY: all module lib tests demo check check-debug check-matrix check-style \
	bench install uninstall modules_install clean help

all: module-if-possible lib

# ---- module ------------------------------------------------------------------

# Kbuild leaves its objects beside the sources, so every kernel gets a copy of
# them: several can be built from one tree, and the tree stays clean.  The
# kernel's Makefile has a meaning of its own for O.
MODULE_SRC := Kbuild module uapi

module:
	@test -e $(KDIR)/Makefile || { \
		echo "no kernel headers in $(KDIR): install linux-headers-$$(uname -r) or give KDIR=..." >&2; \
		exit 1; }
	@rel=$$(sed -n 's/^#define UTS_RELEASE "\(.*\)"/\1/p' \
		$(KDIR)/include/generated/utsrelease.h) && \
	dir=$(O)/modules/$$rel && mkdir -p $$dir && \
	cd $(TOP) && find $(MODULE_SRC) -type f | \
		cpio -pdmu --quiet $$dir 2>/dev/null && \
	MAKEFLAGS='$(filter-out O=%,$(MAKEFLAGS))' \
	$(MAKE) --no-print-directory -C $(KDIR) M=$$dir $(KMAKE) modules && \
	echo "  bmem.ko for $$rel: $$dir/bmem.ko"

.PHONY: module-if-possible
module-if-possible:
	@if test -e $(KDIR)/Makefile; then \
		$(MAKE) --no-print-directory -f $(TOP)Makefile module; \
	else \
		echo "  (no module: no kernel headers in $(KDIR); install linux-headers-$$(uname -r) or give KDIR=...)"; \
	fi

# ---- library, tests ------------------------------------------------------------

lib:
	$(MAKE) -C $(TOP)userlib O=$(O)

tests: lib
	$(MAKE) -C $(TOP)userlib O=$(O) run-tests
	$(MAKE) -C $(TOP)userlib/python O=$(O) tests
	$(MAKE) -C $(TOP)selftests O=$(O)

demo:
	$(TOP)scripts/setup --quiet --kernels
	$(MAKE) --no-print-directory -s tests
	$(TOP)scripts/vm --timeout 900 -- $(TOP)selftests/demo.sh

check:
	$(TOP)scripts/check -j 2 style native 6.12 6.1

check-debug:
	$(TOP)scripts/check debug

check-style:
	$(TOP)scripts/check style

check-matrix:
	$(TOP)scripts/check matrix

bench:
	$(TOP)scripts/setup --quiet --kernels
	$(TOP)scripts/setup --quiet --bench || \
		echo "bench: what is missing is left out" >&2
	$(MAKE) --no-print-directory -s tests
	$(MAKE) --no-print-directory -s -C $(TOP)userlib O=$(O) all bench
	O=$(O) $(TOP)scripts/bench

# ---- install ---------------------------------------------------------------------

MODULE_RELEASE = $(shell sed -n 's/^\#define UTS_RELEASE "\(.*\)"/\1/p' \
		   $(KDIR)/include/generated/utsrelease.h 2>/dev/null)

install: lib
	$(MAKE) -C $(TOP)userlib O=$(O) install

uninstall:
	$(MAKE) -C $(TOP)userlib O=$(O) uninstall
	rm -f $(DESTDIR)/lib/modules/$(MODULE_RELEASE)/updates/bmem.ko

modules_install: module
	install -D -m 644 $(O)/modules/$(MODULE_RELEASE)/bmem.ko \
		$(DESTDIR)/lib/modules/$(MODULE_RELEASE)/updates/bmem.ko
	$(if $(DESTDIR),,depmod $(MODULE_RELEASE))

clean:
	rm -rf $(O)

define HELP
make                  libbmem, and bmem.ko if this kernel's headers are there
make KDIR=DIR         the same for the kernel whose headers are in DIR
make demo             one command: two training runs in a VM, one is killed
make check            build, and test natively and on 6.1 and 6.12 in VMs
make check-debug      the same tests on a KASAN and lockdep kernel, KUnit, kmemleak
make check-matrix     build for and test on the newest kernel (not in CI)
make check-style      checkpatch, sparse, W=1, kernel-doc
make bench            figures, native and in a VM; build/bench/results.json
make install          library, headers, tools and manuals to DESTDIR and PREFIX
make modules_install  bmem.ko for KDIR's kernel
make uninstall        removes what install and modules_install put there
make clean            remove build/
endef
export HELP

help:
	@echo "$$HELP"
