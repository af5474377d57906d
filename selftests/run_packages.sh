#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# NumPy's own tests and PyTorch's training loops, unmodified, on /dev/bmem: the same
# results as alone, the registry as an independent count has it, nothing left.
# Half an hour under emulation, so nobody runs it by default:
#
#	scripts/vm --mem 3G --timeout 3600 -- selftests/run_packages.sh [numpy] [torch]
#
# The tests of NumPy are those of what allocates most: arrays, files, transforms.
#
# shellcheck disable=SC2317 # functions that check calls

. "$(dirname "$0")/tap.sh"

user=${O:-$top/build}/userlib
python=/usr/bin/python3
debug=/sys/kernel/debug/bmem
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The emulated processor has what it cannot do fast.
export BMEM_BACKEND=dev PYTHONDONTWRITEBYTECODE=1 NPY_DISABLE_CPU_FEATURES="AVX2 FMA3"
unset BMEM_VERBOSE LD_PRELOAD
[ $# -gt 0 ] || set -- numpy torch

has() {
	for module; do
		"$python" -c "import $module" 2>/dev/null || return 1
	done
}

stat_is() { # stat_is NAME VALUE, soon
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(sed -n "s/^$1: //p" "$debug/stats")" = "$2" ] && return
		sleep 1
	done
	cat "$debug/stats" "$debug/clients"
	return 1
}

# nothing_left WHAT
nothing_left() {
	for what in clients tensors live_bytes granted_bytes attached_bytes; do
		check "$1_leaves_no_$what" stat_is "$what" 0
	done
}

# ---- NumPy -------------------------------------------------------------------

# numpy_tests RESULT [COMMAND...]: how each test ended, in RESULT.
numpy_tests() {
	result=$1
	shift
	start=$(date +%s)
	# shellcheck disable=SC2086 # many files
	(cd "$tmp" && "$@" "$python" -m pytest -q -m 'not slow' -p no:cacheprovider -rN \
		--junitxml="$result.xml" $numpy_files) >"$result.log" 2>"$result.err"
	echo "# $(tail -n 1 "$result.log") ($(($(date +%s) - start)) s)"
	"$python" - "$result.xml" >"$result" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    how = [k.tag for k in case if k.tag in ("failure", "error", "skipped")]
    print(case.get("classname"), case.get("name"), how[0] if how else "passed")
PYTHON
}

run_numpy() {
	if ! has numpy pytest hypothesis; then
		skip numpy "no python3-numpy, python3-pytest or python3-hypothesis"
		return
	fi
	numpy=$("$python" -c 'import numpy; print(numpy.__path__[0])')
	numpy_files=
	for file in core/tests/test_multiarray.py core/tests/test_numeric.py \
		core/tests/test_mem_policy.py core/tests/test_mem_overlap.py \
		core/tests/test_nditer.py core/tests/test_regression.py \
		lib/tests/test_io.py fft; do
		numpy_files="$numpy_files $numpy/$file"
	done
	numpy_tests "$tmp/alone"
	check numpy_has_passed test "$(grep -c ' passed$' "$tmp/alone")" -gt 2000
	numpy_tests "$tmp/under" "$user/bmem-run" --threshold 4K --
	check numpy_is_the_same diff "$tmp/alone" "$tmp/under"
	grep '^bmem-run:.*allocated' "$tmp/under.err" | sed 's/^/# /'
	allocs=$(sed -nE 's/^bmem-run: python3 .* and more, ([0-9]+) allocated \(dev backend\)$/\1/p' "$tmp/under.err")
	check numpy_was_served test "${allocs:-0}" -gt 50000
	nothing_left numpy
}

# ---- PyTorch -----------------------------------------------------------------

# Compares the output, and the registry with count.so's count after each step.
run_torch() {
	if ! has torch; then
		skip torch "no python3-torch"
		return
	fi
	before=$(sed -n 's/^clients_total: //p' "$debug/stats")
	check torch_training "$top/userlib/python/tests/run" "$user" test_run Programs.test_training
	after=$(sed -n 's/^clients_total: //p' "$debug/stats")
	# Each loop and its two workers.
	check torch_was_served test $((after - before)) -ge 6
	nothing_left torch
}

for what; do
	case $what in
	numpy | torch) "run_$what" ;;
	*) fail "$what" "there are numpy and torch" ;;
	esac
done
finish
