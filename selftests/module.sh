#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Loading and unloading bmem.ko: again and again, with clients, with bad parameters.
#
# shellcheck disable=SC2317 # functions that check and refuses call

. "$(dirname "$0")/tap.sh"

if [ -z "$ko" ]; then
	skip module "BMEM_KO does not say where bmem.ko is"
	finish
fi

loaded() {
	[ -d /sys/module/bmem ]
}

unload() {
	! loaded || rmmod bmem
}

value() {
	sed -n "s/^$1: //p" /sys/kernel/debug/bmem/stats
}

# Without what files have left in the page cache, and processors keep aside.
free_mib() {
	echo 3 >/proc/sys/vm/drop_caches
	echo 1 2>/dev/null >/proc/sys/vm/compact_memory
	awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo
}

# The same when they have let go of what they did not need any more.
settled_free_mib() {
	now=$(free_mib)
	tries=30
	while [ $((tries -= 1)) -gt 0 ]; do
		was=$now
		sleep 1
		now=$(free_mib)
		[ $((now - was)) -ge 8 ] || break
	done
	echo "$now"
}

# Processors keep free pages aside, up to a share of all memory since 6.7, and let
# go of them little by little.
has_free_mib() {
	tries=30
	until [ "$(free_mib)" -gt "$1" ]; do
		[ $((tries -= 1)) -gt 0 ] || {
			echo "$(free_mib) MiB are free, expected more than $1"
			return 1
		}
		sleep 1
	done
}

# ran COMMAND...: it succeeds, and has run tests and left none out.
ran() {
	told=$("$@" 2>&1) && printf '%s\n' "$told" |
		grep -q '^# Totals: pass:[1-9][0-9]* fail:0 .* skip:0 ' && return
	printf '%s\n' "$told"
	return 1
}

# A client that comes and goes.
past_client() {
	ran "$bin/abi" -r abi.garbage_in_out_fields >/dev/null
}

again_and_again() {
	round=0
	while [ "$round" -lt 50 ]; do
		unload && insmod "$ko" || return 1
		[ $((round % 2)) -eq 0 ] || past_client || return 1
		round=$((round + 1))
		[ $((round % 10)) -ne 0 ] || echo "# loaded $round times" >&3
	done
}

exec 3>&1
check load_and_unload_50_times again_and_again
refuses load_twice "exists" insmod "$ko"

# ---- in use ----

# Open before anything else goes on.
exec 4<>/dev/bmem
sleep 1000 &
holder=$!
exec 4<&-
refuses unload_with_an_open_client "in use" rmmod bmem
kill -9 "$holder"
wait "$holder" 2>/dev/null
check unload_after_the_client_was_killed rmmod bmem
insmod "$ko"
exec 5</sys/kernel/debug/bmem/clients
refuses unload_with_a_reader_in_debugfs "in use" rmmod bmem
exec 5<&-
check unload_after_the_reader rmmod bmem

# ---- parameters ----

for bad in reserve_mib=3 limit_mib=7 "reserve_mib=64 limit_mib=32" space_gib=3 \
	space_gib=4294967295 tombstones=65537 tombstones=-1 cache_mib=65537 \
	cleanup_batch=1025 cleanup_idle_ms=0 pressure_levels=70,80,90 \
	pressure_levels=80,70,90,95 pressure_hysteresis=21 \
	promote_ms=9 promote_ms=3600001 huge=perhaps level=most level=4 reserve_mib=x \
	clone_share=101 clone_share=18446744073709551616 \
	leak_round_ms=9 leak_round_ms=18446744073709551616; do
	name=$(echo "refuses_$bad" | tr -c 'a-z0-9_=\n' _)
	# shellcheck disable=SC2086 # several parameters
	refuses "$name" "invalid" insmod "$ko" $bad
	unload
done

# Much more than processors keep aside of free pages, which do not count as free.
before=$(settled_free_mib)
check load_with_parameters insmod "$ko" reserve_mib=1024 limit_mib=1024 space_gib=16 \
	tombstones=10 cache_mib=0 promote_ms=10
check space_gib [ "$(value space_bytes)" = $((16 << 30)) ]
check reservation_is_held [ "$(free_mib)" -lt $((before - 900)) ]
check ring_of_10 ran "$bin/life" -r life.ring_is_bounded
check no_cache [ "$(cat /sys/module/bmem/parameters/cache_mib)" = 0 ]
refuses promote_ms_at_run_time "error" \
	sh -c 'echo 5 >/sys/module/bmem/parameters/promote_ms'
check promote_ms_is_as_it_was [ "$(cat /sys/module/bmem/parameters/promote_ms)" = 10 ]
refuses tombstones_at_run_time "denied" \
	sh -c 'echo 5 >/sys/module/bmem/parameters/tombstones'
check unload_parameters rmmod bmem
check memory_came_back has_free_mib $((before - 64))

# Without huge pages there is nothing to make a reservation of: what was set up
# by then is undone.
refuses reservation_without_huge_pages "memory" insmod "$ko" huge=N
check nothing_of_it_stayed [ ! -e /dev/bmem ]
check load_without_ring insmod "$ko" tombstones=0 reserve_mib=0 huge=N
echo Y >/sys/module/bmem/parameters/huge
check ring_of_0 ran "$bin/life" -r life.ring_is_bounded
check unload_without_ring rmmod bmem
check load_without_tracking insmod "$ko" level=off
check level_is_off [ "$(cat /sys/module/bmem/parameters/level)" = off ]
check alloc_without_tracking ran "$bin/sites" -r sites.tombstone_when_off
check tracking_at_run_time sh -c 'echo full >/sys/module/bmem/parameters/level'
check figures_then ran "$bin/sites" -r sites.figures_of_tensors
check unload_without_tracking rmmod bmem
check load_with_little_space insmod "$ko" space_gib=1
check no_gap_is_told ran "$bin/slots" -r slots.refused_for_want_of_space
check unload_with_little_space rmmod bmem
check load_again insmod "$ko"
finish
