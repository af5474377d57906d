#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs the KUnit suites of bmem_kunit.ko and passes their results on.

. "$(dirname "$0")/tap.sh"

suites=${BMEM_KUNIT_DIR:-}/bmem_kunit.ko
results=/sys/kernel/debug/kunit
failed_suites=0

if [ -z "${BMEM_KUNIT_DIR:-}" ] || [ ! -e "$suites" ]; then
	skip kunit "no bmem_kunit.ko for this kernel"
	finish
fi

[ -d /sys/module/kunit ] || insmod "$BMEM_KUNIT_KO" enable=1 || {
	fail kunit "$BMEM_KUNIT_KO does not load"
	finish
}
check insmod insmod "$suites"
for file in "$results"/*/results; do
	[ -e "$file" ] || continue
	echo "# $file"
	# A case is one level in, a parameter of it two.
	while IFS= read -r line; do
		case $line in
		"    ok "*"# SKIP"*) skip "${line#    ok * }" KUnit ;;
		"    ok "*) pass "${line#    ok * }" ;;
		"    not ok "*) fail "${line#    not ok * }" ;;
		# It has failed as a whole, perhaps before its first case.
		"not ok "*) failed_suites=$((failed_suites + 1)); echo "# $line" ;;
		*) echo "# $line" ;;
		esac
	done <"$file"
done
# Loading says nothing about results, and without suites there are none.
check has_cases [ "$(count)" -gt 1 ]
cases=$(cat "$top"/module/tests/*_kunit.c | grep -c 'KUNIT_CASE')
check has_all_cases [ "$(($(count) - 2))" -eq "$cases" ]
check no_suite_failed [ "$failed_suites" -eq 0 ]
rmmod bmem_kunit
finish
