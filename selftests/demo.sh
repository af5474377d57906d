#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's part of `make demo`.  First act: two processes replay a recorded
# PyTorch training run through libbmem; one of them is killed.  Second act: a
# NumPy program that knows nothing of bmem runs under bmem-run, which says by
# Python's file and line where its leak is; while it runs bmemctl does so as well,
# where the module can keep a program's memory private over fork().  It fails when
# the memory does not come back, or the leak is not named.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
replay=${BMEM_REPLAY:-$here/../build/selftests/replay}
trace=$here/traces/cnn-tensor.trace.zst
python=${PYTHON:-/usr/bin/python3}
built=$here/../build/userlib
dbg=/sys/kernel/debug/bmem
pace=${DEMO_SECONDS:-20}

say() {
	printf '\n\033[1m== %s\033[0m\n' "$*"
}

# A row of one of bmem's tables, by the names of its columns.
columns() {
	awk -v want="$1" '
	/^#/ { for (i = 2; i <= NF; i++) col[$i] = i - 1; next }
	{ n = split(want, w, ","); line = ""
	  for (i = 1; i <= n; i++) line = line (i > 1 ? " " : "") $(col[w[i]])
	  print line }' "$2"
}

# Sizes in columns $1 of standard input for people.
human() {
	numfmt --field="$1" --to=iec-i --suffix=B --invalid=ignore --format=%.1f
}

pool_row() {
	columns total,zeroed,dirty,zeroing,attached,escaped,reserve $dbg/pools | head -n 1
}

pool_now() {
	pool_row | human 1-7 | {
		read -r total zeroed dirty zeroing attached escaped reserve
		echo "pool default: holds $total = $zeroed zeroed + $dirty dirty + $zeroing being zeroed" \
			"+ $attached attached + $escaped escaped; reservation $reserve"
	}
}

attached_bytes() {
	columns attached $dbg/pools | head -n 1
}

client_id() {
	columns id,label $dbg/clients | awk -v l="$1" '$2 == l { print $1 }'
}

allocs() {
	columns label,allocs $dbg/clients | awk -v l="$1" '$1 == l { print $2 }'
}

# Until a client has stopped at its peak: it allocates no more.
wait_for_hold() {
	local before=none now
	for _ in $(seq 60); do
		now=$(allocs "$1")
		[ -n "$now" ] && [ "$now" = "$before" ] && return
		before=$now
		sleep 1
	done
}

show_clients() {
	{
		echo "client pid comm label tensors live attached peak"
		columns id,tgid,comm,label,tensors,live,attached,peak_live $dbg/clients |
			human 6-8
	} | column -t
}

show_largest() {
	{
		echo "size age_s site"
		columns client,bytes,age_ms,label $dbg/tensors | awk -v c="$1" '$1 == c' |
			sort -k 2,2nr | head -n 4 | awk '{ printf "%s %.1f %s\n", $2, $3 / 1000, $4 }' |
			human 1
	} | column -t
}

show_tombstone() {
	awk -v l="label=$1" '/^tombstone/ { on = $NF == l } on' $dbg/tombstones | awk '
	function human(b,   u, i) {
		u = "B  KiBMiBGiB"; for (i = 1; b >= 1024 && i < 4; i++) b /= 1024
		return sprintf(i > 1 ? "%.1f %s" : "%d %s", b, substr(u, 3 * i - 2, 3))
	}
	/^tombstone/ {
		for (i = 3; i <= NF; i++) { eq = index($i, "="); v[substr($i, 1, eq - 1)] = substr($i, eq + 1) }
		printf "%s (pid %s, %s) ended by %s after %.1f s; it held %s in %s tensors (%s of memory), peak %s:\n",
			v["comm"], v["tgid"], v["label"], v["way"], v["lived_ms"] / 1000,
			human(v["live_bytes"]), v["live_tensors"], human(v["attached_bytes"]), human(v["peak_live_bytes"])
		next
	}
	sites++ < 6 { split($0, part, "\t"); printf "  %10s in %4d tensors  from %s\n", human($1), $4, part[2]; next }
	{ more++; rest += $1 }
	END { if (more) printf "  %10s from other sites\n", human(rest) }'
}

say "An empty pool: $(uname -sr), bmem $(cat /sys/module/bmem/version)"
pool_now

say "Two processes replay a recorded PyTorch training run, contents checked"
"$replay" --trace "$trace" --label train-A --pattern --pace "$pace" &
a=$!
"$replay" --trace "$trace" --label train-B --pattern --hold --quiet &
b=$!
trap 'kill -9 $a $b 2>/dev/null || true' EXIT
wait_for_hold train-B

say "While they run: who holds what"
pool_now
echo
show_clients
for label in train-A train-B; do
	printf '\nlargest tensors of %s:\n' $label
	show_largest "$(client_id $label)"
done

say "kill -9 train-B"
kill -9 $b
wait $b 2>/dev/null || true
for _ in $(seq 50); do
	[ -z "$(client_id train-B)" ] && break
	sleep 0.1
done
show_clients
pool_now

say "Its tombstone"
show_tombstone train-B

say "train-A goes on to its end"
wait $a
trap - EXIT

everything_is_back() {
	say "Everything is back"
	for _ in $(seq 50); do
		read -r _ zeroed _ _ attached escaped reserve < <(pool_row)
		[ "$zeroed" = "$reserve" ] && break
		sleep 0.1
	done
	pool_now
	if [ "$attached" != 0 ] || [ "$escaped" != 0 ] || [ "$zeroed" != "$reserve" ]; then
		echo "demo: memory did not come back" >&2
		exit 1
	fi
}

everything_is_back

# ---- second act ----

ctl() {
	"$built/bmemctl" "$@"
}

# The line of a program that does something: a leak is told by its number.
line_of() {
	grep -n "$1" "$2" | cut -d : -f 1
}

# named FILE LINE: is the leak among the largest call sites?
named() {
	if ! grep -q "demo_fit.py:$2" "$1"; then
		echo "demo: expected demo_fit.py:$2 among the largest call sites" >&2
		exit 1
	fi
}

second_act() {
	local program=$here/demo_fit.py line client work
	work=$(mktemp -d)
	mkfifo "$work/enter"
	say "A NumPy program that knows nothing of bmem: bmem-run -- python3 demo_fit.py"
	"$built/bmem-run" --label fit --report "$work/report" -- "$python" "$program" <"$work/enter" >"$work/out" &
	fit=$!
	trap 'kill -9 $fit 2>/dev/null || true' EXIT
	exec 3>"$work/enter"
	until grep -q Enter "$work/out"; do
		if ! kill -0 $fit 2>/dev/null; then
			echo "demo: the program ended before its time" >&2
			exit 1
		fi
		sleep 1
	done
	cat "$work/out"

	line=$(line_of 'error = y - target' "$program")
	client=$(client_id fit)
	if [ -n "$client" ]; then
		say "While it runs: bmemctl clients"
		ctl clients
		say "Who holds it? bmemctl sites --client $client --limit 3"
		ctl sites --client "$client" --limit 3
	fi
	say "Enter: it ends, and bmem-run sums up"
	echo >&3
	exec 3>&-
	wait $fit
	trap - EXIT
	cat "$work/report"
	named "$work/report" "$line"
	say "There: each step leaves one more"
	sed -n "$((line - 1)),$((line + 1))p" "$program" | nl -ba -v $((line - 1)) -s '  '
	rm -r "$work"
}

if [ -x "$built/bmem-run" ] && "$python" -c 'import numpy' 2>/dev/null; then
	second_act
	everything_is_back
else
	say "No second act: python3-numpy is not installed"
fi
cat <<'NEXT'

What to type next:
  make check                                          build everything, run all tests on two kernels
  build/userlib/bmem-run -- python3 YOUR.py           your program on this host, without root
  scripts/vm -- cat /sys/kernel/debug/bmem/pools      any command, in a VM with bmem loaded
  make && sudo insmod build/modules/$(uname -r)/bmem.ko    bmem on this host
NEXT
