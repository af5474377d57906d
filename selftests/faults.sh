#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Tells the kernel's fault injection to fail what bmem.ko asks for, and nothing
# else, then runs the sweep.

. "$(dirname "$0")/tap.sh"

debug=/sys/kernel/debug
sections=/sys/module/bmem/sections

if [ ! -e /proc/self/fail-nth ]; then
	skip faults "no fault injection in this kernel"
	finish
fi

# The text of the module; its end is far enough behind for all of it.  Addresses
# of the kernel's half are beyond what the arithmetic of sh takes.
start=$(cat "$sections/.text")
size=$(awk '$1 == "bmem" { print $2 }' /proc/modules)
end=$(printf '0x%x' $((start + size)))

set_all() {
	for kind in failslab fail_page_alloc fail_usercopy; do
		[ ! -e "$debug/$kind/$1" ] || echo "$2" >"$debug/$kind/$1"
	done
}

set_all ignore-gfp-wait N
set_all ignore-gfp-highmem N
set_all min-order 0
set_all verbose 0
set_all require-start "$start"
set_all require-end "$end"

"$bin/faults" "$@"
status=$?
set_all require-start 0
set_all require-end 0xffffffffffffffff
exit "$status"
