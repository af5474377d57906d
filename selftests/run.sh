#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: selftests/run.sh [PROGRAM...]
#
# Runs the selftests on the running kernel, which has bmem.ko loaded: all, or those
# that are named (abi, mm, module.sh, ...). Meant for the guest of scripts/vm:
#
#	scripts/vm --mem 3G -- selftests/run.sh
#
# Each program's output is KTAP. A program also fails when the kernel's log has a
# warning or worse after the marker that stands before it. Ends with
# "N passed, N failed, N skipped", which counts single tests; status 1 if any failed.

set -u
here=$(cd "$(dirname "$0")" && pwd -P)
top=$(dirname "$here")
bin=${O:-$top/build}/selftests
kernel=${BMEM_KERNEL:-6.12}

case ${1:-} in
-h | --help)
	awk 'NR > 2 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
	exit 0
	;;
esac
# A program of user space, on top of what lists tests: one kernel is enough, and not
# one that makes every program slow.
tools=
[ "$kernel" != 6.12 ] || tools="bmemctl.sh run_real.sh"
# shellcheck disable=SC2086 # words or none
[ "$#" -gt 0 ] || set -- abi alloc mm life slots sites growth lists events links leaks leak_scan leak_corpus clone \
	cached cleanup pressure validate replay_test hostile \
	$tools module.sh faults.sh kunit.sh kmemleak.sh

passed=0
failed=0
skipped=0
again=
log=$(mktemp)
trap 'rm -f "$log" "$log.status"' EXIT

program() {
	case $1 in
	*.sh) echo "$here/$1" ;;
	*) echo "$bin/$1" ;;
	esac
}

# How to run what failed once more, alone.
remember() {
	line="	scripts/vm --kernel $kernel --mem 3G -- $1"
	case "$again
" in
	*"$line
"*) ;;
	*) again="$again
$line" ;;
	esac
}

# Adds up a program's totals; says how to repeat what failed.
tally() {
	path=$(program "$1")
	path=${path#"$top/"}
	# shellcheck disable=SC2046 # three numbers
	set -- "$1" "$2" $(sed -n 's/^# Totals: pass:\([0-9]*\) fail:\([0-9]*\) .*skip:\([0-9]*\) error:.*/\1 \2 \3/p' "$log" | tail -n 1)
	if [ "$#" -ne 5 ]; then
		echo "# $1 ended with status $2 before it was through"
		failed=$((failed + 1))
		remember "$path"
		return
	fi
	passed=$((passed + $3))
	failed=$((failed + $4))
	skipped=$((skipped + $5))
	if [ "$(($3 + $4 + $5))" -eq 0 ]; then
		echo "# $1 ran no test"
		failed=$((failed + 1))
		remember "$path"
	fi
	if [ "$2" -ne 0 ] && [ "$4" -eq 0 ]; then
		echo "# $1 ended with status $2"
		failed=$((failed + 1))
		remember "$path"
	fi
	# shellcheck disable=SC2013 # names have no white space
	for name in $(sed -n 's/^not ok [0-9]* \([^ ]*\).*/\1/p' "$log"); do
		case $1 in
		*.sh) remember "$path" ;;
		*) remember "$path -r $name" ;;
		esac
	done
}

run() {
	marker="selftests: $1 $$"
	begun=$(date +%s)
	echo "# ---- $1"
	echo "$marker" >/dev/kmsg
	{
		"$(program "$1")" 2>&1
		echo "$?" >"$log.status"
	} | tee "$log"
	tally "$1" "$(cat "$log.status")"
	if ! "$top/scripts/check-dmesg" --since "$marker"; then
		echo "not ok $1: the kernel complained"
		failed=$((failed + 1))
		remember "$(program "$1" | sed "s|^$top/||")"
	fi
	echo "# ---- $1: $(($(date +%s) - begun)) s; so far $passed passed, $failed failed, $skipped skipped"
}

for name; do
	run "$name"
done
[ -z "$again" ] || echo "To repeat one alone:$again"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
