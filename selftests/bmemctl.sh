#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bmemctl against the module: what it shows, as root and as a user, against
# debugfs and against what was allocated; pools with every bad input; names of
# functions of programs that were killed and removed.
. "$(dirname "$0")/tap.sh"

ctl=${O:-$top/build}/userlib/bmemctl
holder=$bin/holder
dbg=/sys/kernel/debug/bmem
age_param=/sys/module/bmem/parameters/leak_age_ms
tmp=$(mktemp -d)
chmod 755 "$tmp"
holders='' p=''
# Set by hold.
a_pid='' a_id='' a_small='' a_large='' b_id='' g_pid='' g_id='' l_pid='' l_id=''
# The device's own group and mode come back, whatever happens.
was=$(stat -c %g:%a /dev/bmem)
trap 'for p in $holders; do kill -9 $p 2>/dev/null; done; [ ! -e /dev/bmem.away ] || mv /dev/bmem.away /dev/bmem
chgrp ${was%:*} /dev/bmem; chmod ${was#*:} /dev/bmem; rm -rf "$tmp"' EXIT

if [ ! -x "$ctl" ] || [ ! -x "$holder" ]; then
	skip bmemctl "it was not built: libdw-dev or libjansson-dev is missing"
	finish
fi
export LC_ALL=C.UTF-8
chgrp 1000 /dev/bmem
chmod 0660 /dev/bmem

as() { # as UID COMMAND...
	setpriv --reuid "$1" --regid 1000 --clear-groups "${@:2}"
}

# hold NAME UID LABEL COMM [PROGRAM]: sets $NAME_pid, $NAME_id, $NAME_small, $NAME_large.
hold() {
	local out=$tmp/$1 pid id small large
	(exec setpriv --reuid "$2" --regid 1000 --clear-groups "${5:-$holder}" "$3" "$4") >"$out" &
	pid=$!
	holders="$holders $pid"
	for _ in $(seq 1200); do
		[ -s "$out" ] && break
		sleep 0.1
	done
	read -r id small large <"$out"
	eval "$1_pid=$pid $1_id=$id $1_small=$small $1_large=$large"
}

# ends STATUS COMMAND...: it ends with that, and says something about failures.
ends() {
	local want=$1 got=0
	shift
	"$@" >"$tmp/out" 2>"$tmp/err" || got=$?
	[ "$got" = "$want" ] || { echo "status $got, not $want: $(cat "$tmp/err")"; return 1; }
	[ "$want" = 0 ] || [ -s "$tmp/err" ] || { echo "it says nothing"; return 1; }
}

# save NAME COMMAND...: keeps what it prints for judge.
save() {
	local name=$1
	shift
	"$@" >"$tmp/$name.json"
}

# One pass or fail for each line of standard input, "NAME :: EXPRESSION": the
# expression is Python's, on what was saved.  One interpreter for many of them:
# it takes a second to start where every instruction is emulated.
judge() {
	while read -r verdict name; do
		if [ "$verdict" = pass ]; then
			pass "$name"
		else
			fail "$name" "$(cat "$tmp/why.$verdict")"
		fi
	done < <(python3 /dev/fd/3 "$tmp" "$dbg" 3<<'PY'
import json, sys
tmp, dbg = sys.argv[1:3]
def load(name):
    d = json.load(open("%s/%s.json" % (tmp, name)))
    return next(v for k, v in d.items() if k != "bmemctl")
def stats():
    return dict(l.strip().split(": ") for l in open(dbg + "/stats"))
def table(name, key, value):
    rows = [l.split() for l in open(dbg + "/" + name)]
    return next(r for r in (dict(zip(rows[0][1:], r)) for r in rows[1:]) if r[key] == str(value))
def row(rows, **want):
    return next(r for r in rows if all(r[k] == v for k, v in want.items()))
def same(a, b, names):
    for k in names.split():
        x, _, y = k.partition("=")
        assert int(a[x]) == int(b[y or x]), "%s: %s, expected %s" % (k, a[x], b[y or x])
    return True
for n, line in enumerate(sys.stdin):
    name, _, expression = line.strip().partition(" :: ")
    try:
        why = "" if eval(expression) else "not true: " + expression
    except Exception as e:
        why = "%s: %r" % (expression, e)
    if why:
        open("%s/why.%d" % (tmp, n), "w").write(why)
    print("%s %s" % (n if why else "pass", name))
PY
	)
}

# says TEXT COMMAND...: it succeeds, and TEXT (a basic expression) is in what it prints.
says() {
	local want=$1
	shift
	"$@" >"$tmp/out" || return 1
	grep -q -- "$want" "$tmp/out" || { echo "no '$want' in:"; cat "$tmp/out"; return 1; }
}

silent_on() { # silent_on TEXT COMMAND...: it succeeds, and TEXT is not in it
	local not=$1
	shift
	"$@" >"$tmp/out" || return 1
	! grep -q -- "$not" "$tmp/out" || { echo "'$not' is in:"; cat "$tmp/out"; return 1; }
}

hold a 1000 "job a" "h$(printf '\033')[31mld"
hold b 1001 "job b" holder
live=$((5000 + 2 * (3 * 1048576 + 7)))

# ---- figures, as root ------------------------------------------------------------

save status "$ctl" status --json
save clients "$ctl" clients -j
save one "$ctl" clients --json --client "$a_id"
save pools "$ctl" pools --json
save pressure "$ctl" pressure --json
check "pressure tells of the system's, too" says '^system: .* of the last 10 s' "$ctl" pressure
check "but not in JSON" silent_on '^system: ' "$ctl" pressure --json
save size "$ctl" tensors --client "$a_id" --sort size --json
save least "$ctl" tensors --client "$a_id" --sort size --reverse --limit 1 --json
save age "$ctl" tensors --sort age --json --no-symbols
save site "$ctl" tensors --sort site --json --no-symbols
save large "$ctl" tensors -c "$a_id" --min-size 1M -j
save old "$ctl" tensors -c "$a_id" --min-age 1d -j
save sites "$ctl" sites -c "$a_id" -j
judge <<JUDGE
status is debugfs's stats :: same(load("status")[0], stats(), "live_tensors=tensors live_bytes granted_bytes attached_bytes cached_bytes clients pools tombstones") and load("status")[0]["scope"] == "all clients"
a client is debugfs's row :: same(row(load("clients"), client=$a_id), table("clients", "id", $a_id), "pid=tgid uid live_tensors=tensors live_bytes=live granted_bytes=granted attached_bytes=attached base_bytes=base cached_bytes=cached peak_live_bytes=peak_live peak_attached_bytes=peak_attached allocs frees failed promoted escaped_bytes=escaped mappings=maps sites shared_bytes=shared cgroup")
and what was allocated :: [(r["pid"], r["uid"], r["live_tensors"], r["live_bytes"], r["label"], r["pool"]) for r in load("one")] == [($a_pid, 1000, 3, $live, "job a", "default")]
root sees both :: len(load("clients")) == 2
pressure is debugfs's :: same(load("pressure")[0], table("pressure", "id", 0), "id held_bytes=held limit_bytes=limit recalls compactions raised_entered=raised critical_entered=critical")
pools are debugfs's :: same(load("pools")[0], table("pools", "id", 0), "id clients limit_bytes=limit reserve_bytes=reserve total_bytes=total attached_bytes=attached escaped_bytes=escaped base_bytes=base peak_attached_bytes=peak_attached huge_taken huge_given fallbacks promoted failed shared_bytes=shared")
tensors by size :: [r["bytes"] for r in load("size")] == [3145735, 3145735, 5000]
the other way round, the first only :: [r["bytes"] for r in load("least")] == [5000]
tensors by age :: [r["age_ms"] for r in load("age")] == sorted([r["age_ms"] for r in load("age")], reverse=True)
tensors by site :: [r["site"] for r in load("site")] == sorted([r["site"] for r in load("site")]) and len(load("site")) == 6
large tensors only :: len(load("large")) == 2
old tensors only :: len(load("old")) == 0
sites add up :: sum(r["live_bytes"] for r in load("sites")) == $live
frames have names, lines, build ids :: any(f.get("function") == "holder_large" and f["line"] == $a_large and len(f["build_id"]) == 40 for r in load("sites") for f in r["frames"])
JUDGE
check "sizes for people" says '  3\.0MiB  ' "$ctl" tensors -c "$a_id"
check "where large tensors come from" grep -q "holder_large (holder\.c:$a_large)" "$tmp/out"
check "sizes in bytes" says ' 3145735 ' "$ctl" tensors -c "$a_id" --bytes

# ---- names ------------------------------------------------------------------------

check "whole stacks" says '#1 main (holder\.c:' "$ctl" sites -c "$a_id" --stacks
check "where small ones come from" grep -q "holder_small (holder\.c:$a_small)" "$tmp/out"
check "no names when not wanted" silent_on holder_large "$ctl" sites -c "$a_id" --no-symbols
check "escapes are told" says 'h\\x1b\[31mld' "$ctl" clients
check "but never reach the terminal" sh -c "! grep -q '$(printf '\033')' '$tmp/out'"

# ---- as a user ----------------------------------------------------------------------

save mine as 1000 "$ctl" clients --json
save status as 1000 "$ctl" status --json
judge <<JUDGE
a user sees his own :: [r["client"] for r in load("mine")] == [$a_id]
with figures :: load("status")[0]["live_bytes"] == $live and load("status")[0]["scope"] == "clients of user 1000"
JUDGE
check "with tensors and names" says "holder_large (holder\.c:$a_large)" as 1000 "$ctl" tensors
check "and nobody else's clients" ends 4 as 1000 "$ctl" clients --client "$b_id"
check "nor tensors" ends 4 as 1000 "$ctl" tensors --client "$b_id"
check "nor sites" ends 4 as 1000 "$ctl" sites --client "$b_id"
check "a user makes no pools" ends 5 as 1000 "$ctl" pools create mine --max 4M
check "and destroys none" ends 5 as 1000 "$ctl" pools destroy default
check "without permission: status" ends 3 setpriv --reuid 1002 --regid 1002 --clear-groups "$ctl" status
check "without permission: advice" grep -q 'usermod -aG' "$tmp/err"
mv /dev/bmem /dev/bmem.away
check "without a device: status" ends 3 "$ctl" status
check "without a device: advice" grep -q 'modprobe bmem' "$tmp/err"
mv /dev/bmem.away /dev/bmem

# ---- pools: what is no use of it at all, userlib/tests/ctl tries --------------------

save before "$ctl" pools -j
check "a pool" ends 0 "$ctl" pools create trial --max 8M --reserve 2M --group 1000
save made "$ctl" pools -j
while read -r want what; do
	# shellcheck disable=SC2086 # words
	check "pools $what: status $want" ends "$want" "$ctl" pools $what
done <<'BAD'
1 create trial --max 4M
1 create a/b --max 4M
1 create 0123456789012345678901234567890123 --max 4M
1 create x --max 0
1 create x --max 3M
1 create x --max 4M --reserve 6M
1 create x --max 4M --reserve 1M
1 create x --max 4M --policy bind --node 4000
4 resize nowhere --max 4M
1 resize trial --max 1M
1 resize trial --reserve 10M
1 resize trial --max 0
4 destroy 4711
1 destroy default
BAD
save kept "$ctl" pools -j
check "resized" ends 0 "$ctl" pools resize trial --max 16M --reserve 4M
save resized "$ctl" pools -j
id=$("$ctl" pools --no-headings | awk '$2 == "trial" { print $1 }')
save destroyed "$ctl" pools destroy "$id" --json
save after "$ctl" pools -j
judge <<JUDGE
it is there :: same(row(load("made"), name="trial"), dict(l=8 << 20, r=2 << 20, c=0), "limit_bytes=l reserve_bytes=r total_bytes=r clients=c")
nothing of that changed it :: same(row(load("kept"), name="trial"), dict(l=8 << 20, r=2 << 20), "limit_bytes=l reserve_bytes=r") and len(load("kept")) == len(load("before")) + 1
its new bounds hold :: same(row(load("resized"), name="trial"), dict(l=16 << 20, r=4 << 20), "limit_bytes=l reserve_bytes=r")
destroyed by number :: load("destroyed")["id"] == $id and len(load("after")) == len(load("before"))
JUDGE

# ---- leaks, growth, top ----------------------------------------------------------------

check "no leaks yet" says 'confirmed: 0 findings' "$ctl" leaks -c "$a_id"
check "what to type then" grep -q '^next: bmemctl leaks --scan$' "$tmp/out"
age=$(cat $age_param)
echo 1 >$age_param
# Its call sites are whole stacks, whatever time it takes to walk them here.
HOLDER_LEAK=${BMEM_LEAKED:-20000} BMEM_LEVEL=full BMEM_OVERHEAD=1000 hold l 1000 "job l" leaky
check "leaks are found" says 'confirmed: 500 findings' as 1000 "$ctl" leaks --scan --pid "$l_pid"
echo "$age" >$age_param
check "what is not shown is told" grep -q '^450 more findings of .* are not shown: --limit 500$' "$tmp/out"
check "no more than that" sh -c "[ \$(grep -c unreferenced '$tmp/out') = 50 ]"
check "where stacks part" grep -q '^common: client [0-9]*, .* of 500 sites: holder_train (holder\.c:[0-9]*); what comes through there all leaks$' "$tmp/out"
began=$(date +%s%N)
save leaks "$ctl" leaks -j -c "$l_id"
echo "# 500 findings of ${BMEM_LEAKED:-20000} tensors as JSON: $((($(date +%s%N) - began) / 1000000)) ms"
began=$(date +%s%N)
check "for people" says 'cleared: 0' "$ctl" leaks -c "$l_id"
echo "# the same for people: $((($(date +%s%N) - began) / 1000000)) ms"
save few "$ctl" leaks -j -c "$l_id" --limit 3
save counts "$ctl" status --json
check "folded" sh -c "'$ctl' leaks --folded -c '$l_id' >'$tmp/folded' && [ \$(grep -c '^pid $l_pid;.*main;holder_train;holder_step [0-9]*$' '$tmp/folded') = 500 ] && [ \$(wc -l <'$tmp/folded') = 500 ]"
check "pprof" python3 - "$ctl" "$l_id" <<'PPROF'
import re, subprocess, sys
lines = subprocess.check_output([sys.argv[1], "leaks", "--pprof", "-c", sys.argv[2]], text=True).splitlines()
head = re.fullmatch(r"heap profile: (\d+): (\d+) \[\1: \2\] @ heapprofile", lines[0])
middle = lines.index("MAPPED_LIBRARIES:")
rows = [re.fullmatch(r"(\d+): (\d+) \[\1: \2\] @((?: 0x[0-9a-f]+)+)", l) for l in lines[1:middle - 1]]
maps = [re.fullmatch(r"([0-9a-f]+)-([0-9a-f]+) r-xp 00000000 00:00 0 (/\S*)", l) for l in lines[middle + 1:]]
assert len(rows) == 500 and all(rows) and maps and all(maps)
assert sum(int(r[1]) for r in rows) == int(head[1]) and sum(int(r[2]) for r in rows) == int(head[2])
for r in rows:
    for at in r[3].split():
        assert any(int(m[1], 16) <= int(at, 16) < int(m[2], 16) for m in maps), at
assert any(m[3].endswith("/holder") for m in maps)
PPROF
check "another user has none" ends 4 as 1001 "$ctl" leaks -c "$l_id"
check "growth, all of it" says 'all  *[a-z-]*  *no' as 1000 "$ctl" growth --all -c "$a_id"
check "top" says "leaky.* 500  $(awk "BEGIN { printf \"%.1f\", 64 * ${BMEM_LEAKED:-20000} / 1048576 }")MiB" "$ctl" top -b -n 1
judge <<JUDGE
findings add up :: len(load("leaks")) == 500 and sum(r["tensors"] for r in load("leaks")) == ${BMEM_LEAKED:-20000} and all(r["bytes"] == 64 * r["tensors"] and r["state"] == "confirmed" for r in load("leaks"))
their stacks :: all([f.get("function") for f in r["frames"] if f.get("function", "").startswith("holder_")] == ["holder_step", "holder_train"] for r in load("leaks"))
what is left out is counted :: json.load(open(tmp + "/few.json"))["truncated"] == 497 and len(load("few")) == 3
one group :: [(g["sites"], g["parted"], g["frames"][0]["function"]) for g in json.load(open(tmp + "/leaks.json"))["groups"]] == [(500, True, "holder_train")]
status counts them :: load("counts")[0]["leaks_confirmed"] == 500 and load("counts")[0]["leaked_bytes"] == 64 * ${BMEM_LEAKED:-20000}
JUDGE
kill -9 "$l_pid"
wait "$l_pid" 2>/dev/null
check "what it left behind" says 'exit  *left behind.*holder_step (holder\.c:' "$ctl" leaks --pid "$l_pid"

# ---- tombstones ----------------------------------------------------------------------

cp "$holder" "$tmp/gone"
objcopy --only-keep-debug "$tmp/gone" "$tmp/gone.debug"
objcopy --strip-all "$tmp/gone"
hold g 1000 "job g" gone "$tmp/gone"
build=$(readelf -n "$tmp/gone" | sed -n 's/.*Build ID: //p')
# What root, the owner and another user hear of it.
listen() { # listen NAME UID
	(exec setpriv --reuid "$2" --regid 1000 --clear-groups "$ctl" events --json --client "$a_id" \
		--count 1) >"$tmp/$1.json" &
	holders="$holders $!"
	for _ in $(seq 600); do
		grep -qs bmem-client-id /proc/$!/fdinfo/* && [ "$(cut -d ' ' -f 3 /proc/$!/stat)" = S ] && break
		sleep 0.1
	done
}
listen heard_root 0
root_pid=$!
listen heard_own 1000
own_pid=$!
listen heard_other 1001
other_pid=$!
kill -9 "$a_pid" "$g_pid"
wait "$a_pid" "$g_pid" 2>/dev/null
wait "$root_pid" "$own_pid"
check "another user hears nothing" sh -c "kill '$other_pid' && [ ! -s '$tmp/heard_other.json' ]"
rm "$tmp/gone"
save tomb "$ctl" tombstones -j -c "$a_id"
save mine as 1000 "$ctl" tombstones -j -c "$a_id"
judge <<JUDGE
a tombstone :: [(r["pid"], r["uid"], r["end"], r["live_tensors"], r["live_bytes"], r["label"]) for r in load("tomb")] == [($a_pid, 1000, "signal 9", 3, $live, "job a")]
root hears of it :: [(r["type"], r["client"], r["bytes"]) for r in load("heard_root")] == [("client-gone", $a_id, $live)]
and the user :: load("heard_own")[0]["serial"] == load("heard_root")[0]["serial"]
its sites add up :: sum(s["live_bytes"] for s in load("tomb")[0]["sites"]) == $live
the user sees it :: len(load("mine")) == 1
JUDGE
check "with names" says "3\.0MiB in 1 tensors  large.*holder_large (holder\.c:$a_large)" "$ctl" tombstones -c "$a_id" --stacks
check "and stacks" grep -q '#1 main (holder\.c:' "$tmp/out"
check "no escapes in it" sh -c "! grep -q '$(printf '\033')' '$tmp/out'"
check "another user does not see it" ends 4 as 1001 "$ctl" tombstones -c "$a_id"
check "a program that is gone, without debug file" says 'gone+0x' "$ctl" tombstones -c "$g_id"
mkdir -p "$tmp/debug/.build-id/${build:0:2}"
mv "$tmp/gone.debug" "$tmp/debug/.build-id/${build:0:2}/${build:2}.debug"
check "with it, by build id" says "holder_large (holder\.c:$a_large)" "$ctl" tombstones -c "$g_id" --debug-dir "$tmp/debug"

# ---- watching ------------------------------------------------------------------------

watched() {
	"$ctl" watch pools -k 3 -i 100ms -b | awk 'BEGIN { RS = "" } { n++; if (n > 1 && $0 != last) bad = 1; last = $0 } END { exit n != 3 || bad }'
}
# Until what the killed left behind is zeroed: from then on nothing changes.
for _ in $(seq 300); do
	awk '/^#/ { next } $10 + $11 { busy = 1 } END { exit busy }' $dbg/pools && break
	sleep 0.1
done
check "what does not change looks the same" watched
check "a full disk is a failure" ends 1 sh -c "'$ctl' clients >/dev/full"
check "every list is valid JSON" sh -c "for v in status pools clients tensors sites tombstones leaks growth; do '$ctl' \$v --json; done | python3 -c 'import json, sys
text, n = sys.stdin.read().lstrip(), 0
while text:
    at = json.JSONDecoder().raw_decode(text)[1]
    text, n = text[at:].lstrip(), n + 1
sys.exit(n != 8)'"
finish
