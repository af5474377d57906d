# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by the tests that are shell scripts: results in the form of the
# kernel's kselftest harness.  Sets $top, $bin and $ko.
#
# shellcheck disable=SC2034 # for those who source it

set -u
PATH=$PATH:/sbin:/usr/sbin
top=$(cd "$(dirname "$0")/.." && pwd -P)
bin=${O:-$top/build}/selftests
ko=${BMEM_KO:-}
passed=0
failed=0
skipped=0

echo "TAP version 13"

count() {
	echo $((passed + failed + skipped))
}

pass() {
	passed=$((passed + 1))
	echo "ok $(count) $1"
}

fail() {
	failed=$((failed + 1))
	echo "not ok $(count) $1"
	[ "$#" -lt 2 ] || echo "# $2"
}

skip() {
	skipped=$((skipped + 1))
	echo "ok $(count) $1 # SKIP $2"
}

# check NAME COMMAND...: passes when the command succeeds.
check() {
	name=$1
	shift
	if said=$("$@" 2>&1); then
		pass "$name"
	else
		fail "$name" "$* failed: $said"
	fi
}

# refuses NAME TEXT COMMAND...: passes when the command fails and says TEXT.
refuses() {
	name=$1 want=$2
	shift 2
	if said=$("$@" 2>&1); then
		fail "$name" "$* succeeded"
	elif ! printf '%s\n' "$said" | grep -qi -- "$want"; then
		fail "$name" "$* failed, but not for '$want': $said"
	else
		pass "$name"
	fi
}

finish() {
	echo "1..$(count)"
	echo "# Totals: pass:$passed fail:$failed xfail:0 xpass:0 skip:$skipped error:0"
	[ "$failed" -eq 0 ]
	exit
}
