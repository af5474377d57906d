# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the other scripts: where things are kept, and how to speak.

set -eu

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck disable=SC2034 # used by the scripts that source this file
repo=$(dirname "$scripts")
# shellcheck disable=SC2034
cache=${BMEM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/bmem}

say() {
	[ -n "${quiet:-}" ] || printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit "${die_status:-1}"
}

# The comment block under the SPDX line of a script is its help text.
usage() {
	awk 'NR > 2 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

need_value() {
	[ "$#" -ge 2 ] || die "$1 needs a value (see --help)"
}

is_debian() {
	[ -e /etc/debian_version ] && command -v dpkg-query >/dev/null
}

# Prints the version of an installed Debian package, nothing when it is absent.
package_version() {
	# shellcheck disable=SC2016 # dpkg-query's own variables
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^installed //p'
}

# The tarball of the kernel source, which Debian installs under /usr/src.
kernel_tarball() {
	echo "/usr/src/linux-source-6.12.tar.xz"
}

# Runs the rest of the arguments with the lock FILE held; a killed holder frees it.
with_lock() {
	local file=$1 fd
	shift
	mkdir -p "$(dirname "$file")"
	exec {fd}>"$file"
	if ! flock -n "$fd"; then
		say "waiting for another run to finish ($file)"
		flock "$fd"
	fi
	"$@"
	exec {fd}>&-
}

# Makes a kernel directory DIR for scripts/vm out of the unpacked packages in TREE:
# vmlinuz, config, lib/modules/RELEASE, and last of all the file release.
store_kernel() {
	local tree=$1 dir=$2 image modules release
	image=$(find "$tree/boot" "$tree/usr/lib/modules" -name 'vmlinuz*' -type f 2>/dev/null | head -n 1)
	modules=$(find "$tree/lib/modules" "$tree/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1)
	if [ -z "$image" ] || [ -z "$modules" ]; then
		die "no kernel image or modules in $tree"
	fi
	release=${modules##*/}
	mkdir -p "$dir/lib/modules"
	mv "$image" "$dir/vmlinuz"
	mv "$modules" "$dir/lib/modules/"
	find "$tree" -name "config-$release" -o -path "*/$release/config" | head -n 1 |
		xargs -r -I{} cp {} "$dir/config"
	# A package is unpacked here, not installed, so nobody has run depmod.
	PATH=$PATH:/sbin:/usr/sbin depmod -b "$dir" "$release"
	echo "$release" >"$dir/release"
}
