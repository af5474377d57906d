#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Programs under bmem-run on /dev/bmem: malloc() and its family, fork(), closed
# descriptors, Python, and what the kernel says of them meanwhile and afterwards.
#
# shellcheck disable=SC2317 # functions that check and refuses call

. "$(dirname "$0")/tap.sh"

user=${O:-$top/build}/userlib
run=$user/bmem-run
family=$user/run/tests/family
misfit=$user/run/tests/misfit
debug=/sys/kernel/debug/bmem
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
export BMEM_BACKEND=dev BMEM_TEST_SHORT=1 CMOCKA_MESSAGE_OUTPUT=TAP
unset BMEM_VERBOSE LD_PRELOAD

if [ ! -x "$run" ] || [ ! -x "$family" ]; then
	skip run_real "no $run: make tests"
	finish
fi
if ! "$run" --report off -- true 2>"$tmp/why"; then
	if grep -q 'does not know this call' "$tmp/why"; then
		skip run_real "this module cannot copy a client for fork()"
	else
		fail run_real "$(cat "$tmp/why")"
	fi
	finish
fi

# ---- the family --------------------------------------------------------------

# one by one, so that each counts: family SIZE
family() {
	"$run" --report off --threshold "$1" -- "$family" >"$tmp/out" 2>"$tmp/err"
	status=$?
	sed -nE 's/^(ok|not ok) [0-9]+ (- |# SKIP )(.*)/\1 \2 \3/p' "$tmp/out" >"$tmp/results"
	while read -r how what rest; do
		case $how$what in
		ok-) pass "$1_$rest" ;;
		notok) # "not ok - name" or "not ok # SKIP name"
			case $rest in
			*SKIP*) skip "$1_${rest##* }" "not for this threshold" ;;
			*) fail "$1_${rest##* }" "$(cat "$tmp/err")" ;;
			esac ;;
		esac
	done <"$tmp/results"
	[ "$status" = 0 ] || fail "family_$1" "status $status: $(tail -n 5 "$tmp/err")"
}

family 64K
family 0

# ---- the library ----------------------------------------------------------------

for trace in cnn-tensor kv-tensor cnn-heap kv-heap numpy-heap; do
	check "two_threads_$trace" "$user/tests/test_replay" "$trace"
done

# ---- what is said -------------------------------------------------------------

# says NAME STATUS PATTERN COMMAND...: on standard error.
says() {
	name=$1 want=$2 pattern=$3
	shift 3
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	got=$?
	if [ $got = "$want" ] && grep -qE -- "$pattern" "$tmp/err"; then
		pass "$name"
	else
		fail "$name" "$*: status $got, expected $want and '$pattern'; it said: $(cat "$tmp/err")"
	fi
}

says verbose 0 'active in misfit \(pid [0-9]+\): dev backend, blocks of 1.0 MiB' \
	env BMEM_VERBOSE=1 "$run" -t 1M -- "$misfit" leak 1 1048576
says report 0 'never freed: 3\.0 MiB in 3 blocks' "$run" -- "$misfit" leak 3 1048576
says names_the_site 0 'leak_here @ misfit' "$run" -- "$misfit" leak 3 1048576
says no_such_pool 125 'no such pool: fast' "$run" --pool fast -- true
says no_pool_of_that_number 125 'no such pool: 77' "$run" --pool 77 -- true
# shellcheck disable=SC2016 # perl's
says closed_descriptor 0 'has closed bmem.s file descriptor' "$run" -- perl -e \
	'use POSIX; $a = "a" x 1e6; POSIX::close($_) for 3 .. 2000; @b = map { "b" x 1e6 } 1 .. 9; $a eq "a" x 1e6 or die'

# ---- with children ---------------------------------------------------------------

says tree 0 '^bmem-run: 3 processes in all had blocks' "$run" -- "$misfit" forks 3145728
check tree_killed grep -q '^bmem-run:     at least 3.0 MiB in misfit' "$tmp/err"
check tree_ended grep -q '^bmem-run:     3.0 MiB in misfit' "$tmp/err"
says tree_unfreed 0 'never freed by all that have ended: 6.0 MiB in 2 blocks' "$run" -- \
	bash -c "$misfit leak 1 3145728; $misfit killed 3145728; $misfit leak 1 3145728; exit 0"
# It cannot be asked any more, so that what is known is what was noted.
says tree_closed 0 '^bmem-run:     at least 3.0 MiB in misfit' "$run" -- \
	sh -c "$misfit quiet 3145728; exit 0"

# ---- permission -----------------------------------------------------------------

chgrp tty /dev/bmem
chmod 660 /dev/bmem
if command -v setpriv >/dev/null; then
	nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
	# shellcheck disable=SC2086 # several words
	says which_group 125 'for members of group tty: sudo usermod -aG tty' \
		$nobody "$run" -- true
	chmod 600 /dev/bmem
	# shellcheck disable=SC2086
	says no_group 125 'only root may use /dev/bmem; to let a group in: sudo chgrp' \
		$nobody "$run" -- true
	chmod 660 /dev/bmem
	# shellcheck disable=SC2086
	says without_permission 0 'memory of the process alone' \
		env BMEM_BACKEND=auto $nobody "$run" --backend auto -- true
else
	skip which_group "no setpriv"
	skip no_group "no setpriv"
	skip without_permission "no setpriv"
fi

# ---- no room ---------------------------------------------------------------------

if [ -n "$ko" ] && rmmod bmem && insmod "$ko" limit_mib=64; then
	says full_libc 0 'served by libc' "$run" -- "$misfit" fill 3 40000000
	check full_libc_has_all grep -qx 'got 3 of 3' "$tmp/out"
	check full_is_said_once test "$(grep -c 'this is said once' "$tmp/err")" = 1
	says full_fails 0 'failed with ENOMEM' "$run" --full fail -- "$misfit" fill 2 40000000
	check full_fails_has_one grep -qx 'got 1 of 2' "$tmp/out"
	rmmod bmem
	insmod "$ko"
else
	skip full "no module to load with a limit"
fi

# ---- Python ----------------------------------------------------------------------

cat >"$tmp/leak.py" <<'END'
import os, sys

def planted():
    return bytearray(5 << 20)

kept = [planted() for _ in range(3)]
kept[0][:4] = b'mine'
child = os.fork()
if not child:
    kept[0][:4] = b'hers'
    kept.pop()
    os._exit(0 if kept[0][:4] == b'hers' else 1)
status = os.waitpid(child, 0)[1]
print(bytes(kept[0][:4]).decode(), status)
if len(sys.argv) > 1:
    os.kill(os.getpid(), 9)
END
# The kernel may hold on to what is left of a process for a moment.
buried() {
	for _ in $(seq 60); do
		grep -q "$1" "$debug/tombstones" && return
		sleep 1
	done
	return 1
}

if [ -x /usr/bin/python3 ]; then
	says python_leak 0 'in 3 blocks.* leak.py:4' "$run" -- /usr/bin/python3 "$tmp/leak.py"
	check python_fork grep -qx 'mine 0' "$tmp/out"
	"$run" --label planted -- /usr/bin/python3 "$tmp/leak.py" killed >/dev/null 2>&1
	check python_tombstone buried planted
else
	skip python_leak "no python3"
	skip python_fork "no python3"
	skip python_tombstone "no python3"
fi

# ---- afterwards --------------------------------------------------------------------

no_clients() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		attached=$(sed -n 's/^attached_bytes: //p' "$debug/stats")
		[ "${attached:-0}" = 0 ] && return
		sleep 1
	done
	cat "$debug/stats" "$debug/clients"
	return 1
}
check everything_is_back no_clients

finish
