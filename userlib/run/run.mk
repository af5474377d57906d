# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# bmem-run and its preload library, included by the library's Makefile.

BINDIR ?= $(PREFIX)/bin

run_dir    := $(here)/run
run_lib    := client.o malloc.o new.o next.o report.o say.o space.o tree.o
run_cmd    := bmem-run.o device.o program.o
run_tests  := family misfit newer newer.so newer-alone.so owner plugin.so \
	      replaced waiting.so

all: $(B)/bmem-run $(B)/libbmem-run.so

# What the compiler knows of malloc() is not so while it is being made.
$(addprefix $(B)/run/,$(run_lib)): cflags += -fPIC -fvisibility=hidden \
	-fno-builtin -fomit-frame-pointer

$(B)/run/%.o: $(run_dir)/%.c
	@mkdir -p $(@D)
	$(CC) $(cflags) -c $< -o $@

# Beside libbmem.so.0, which it shares with whatever else in the process uses
# it; nodelete: blocks outlive everything.
$(B)/libbmem-run.so: $(addprefix $(B)/run/,$(run_lib)) $(B)/lib/symbol.o \
		$(B)/libbmem.so $(run_dir)/libbmem-run.map
	$(CC) -shared $(CFLAGS) $(SAN) $(LDFLAGS) -pthread -o $@ \
		$(filter %.o,$^) -L$(B) -lbmem -Wl,-soname,libbmem-run.so \
		-Wl,-z,nodelete -Wl,-z,now -Wl,-rpath,'$$ORIGIN' \
		-Wl,--version-script,$(run_dir)/libbmem-run.map

$(B)/bmem-run: $(addprefix $(B)/run/,$(run_cmd)) $(B)/libbmem.so
	$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(B) -lbmem \
		-Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib'

# ---- tests ----

.PHONY: run-tests check-run check-programs

tests: run-tests
run-tests: $(addprefix $(B)/run/tests/,$(run_tests))

# The compiler would do without blocks that are freed at once.
$(B)/run/tests/%.so: $(run_dir)/tests/%.c
	@mkdir -p $(@D)
	$(CC) $(cflags) -fno-builtin -fPIC -shared -o $@ $<

$(B)/run/tests/%.so: $(run_dir)/tests/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -std=c++17 -Wall -Wextra -fno-builtin \
		-fPIC -shared -o $@ $<

# With a C++ library of its own, as libraries for Python have it.
$(B)/run/tests/newer-alone.so: $(run_dir)/tests/newer.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -std=c++17 -Wall -Wextra -fno-builtin \
		-fPIC -shared -static-libstdc++ -o $@ $<

$(B)/run/tests/%: $(run_dir)/tests/%.c
	@mkdir -p $(@D)
	$(CC) $(cflags) -fno-builtin -rdynamic -o $@ $< -lcmocka

$(B)/run/tests/%: $(run_dir)/tests/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -std=c++17 -Wall -Wextra -fno-builtin \
		-rdynamic -o $@ $<

# Programs under bmem-run compared with programs alone: a few seconds.
check-run: all run-tests
	$(run_dir)/tests/check $(B)

# The same with large ones: an hour.
check-programs: all run-tests
	$(run_dir)/tests/programs $(B)

check: check-run

.PHONY: lint-run
lint: lint-run
lint-run:
	@if command -v mandoc >/dev/null; then \
		mandoc -T lint -W warning $(here)/man/bmem-run.1; \
	fi

# ---- install ----

.PHONY: install-run uninstall-run

install: install-run
install-run: all
	$(INSTALL) -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(BINDIR) \
		$(DESTDIR)$(MANDIR)/man1
	$(INSTALL) -m 755 $(B)/libbmem-run.so $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(B)/bmem-run $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(here)/man/bmem-run.1 $(DESTDIR)$(MANDIR)/man1

uninstall: uninstall-run
uninstall-run:
	rm -f $(DESTDIR)$(LIBDIR)/libbmem-run.so $(DESTDIR)$(BINDIR)/bmem-run \
		$(DESTDIR)$(MANDIR)/man1/bmem-run.1

-include $(wildcard $(B)/run/*.d $(B)/run/tests/*.d)
