#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The module's own leaks: load, work, unload, and then nothing may be left.

. "$(dirname "$0")/tap.sh"

leaks=/sys/kernel/debug/kmemleak

if [ -z "$ko" ] || ! echo clear 2>/dev/null >"$leaks"; then
	skip kmemleak "no kmemleak in this kernel"
	finish
fi

# What is unreferenced now is not ours.
echo scan >"$leaks"
sleep 6
echo scan >"$leaks"
echo clear >"$leaks"

[ ! -d /sys/module/bmem ] || rmmod bmem
check load insmod "$ko"
# That these ran to their end is what makes silence mean something.
check abi "$bin/abi"
check life "$bin/life" -t tombstone_of_many_sites -t ring_is_bounded \
	-t descriptor_in_a_socket
check hostile env BMEM_SECONDS=5 "$bin/hostile"
check unload rmmod bmem

# Nothing younger than five seconds is ever reported.
echo scan >"$leaks"
sleep 6
echo scan >"$leaks"
found=$(cat "$leaks")
if [ -z "$found" ]; then
	pass nothing_unreferenced
else
	fail nothing_unreferenced
	printf '%s\n' "$found" | sed 's/^/# /'
fi
insmod "$ko"
finish
