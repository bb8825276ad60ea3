#!/usr/bin/env bash
# stress as people and scripts use it: exit codes, messages, nothing lost.
set -uo pipefail

: "${MMURACE:?path of the mmurace binary}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
target=fault_vs_invalidate

# expect CODE PATTERN COMMAND...: the command ends with that code and says something like PATTERN
expect() {
	local code=$1 pattern=$2 status=0
	shift 2
	"$@" >"$work/output" 2>&1 || status=$?
	if ((status != code)); then
		echo "expected exit code $code, found $status: $*"
		head -20 "$work/output"
		failed=1
	elif ! grep -qE -e "$pattern" "$work/output"; then
		echo "expected output like '$pattern': $*"
		head -20 "$work/output"
		failed=1
	fi
}

# ---- wrong usage
expect 1 'usage: mmurace stress' "$MMURACE"
expect 1 'fiber-plain' "$MMURACE" run $target
expect 1 'expected TARGET' "$MMURACE" stress
expect 1 "Did you mean: $target" "$MMURACE" stress fault_vs_invalidat
expect 1 'Did you mean: zap_stops_early' "$MMURACE" stress $target --bug zap_stop_early
expect 1 'from 1 to 64' "$MMURACE" stress $target --threads 65
expect 1 'positive number' "$MMURACE" stress $target --seconds 0
expect 1 'this binary is' "$MMURACE" stress $target --config fiber-plain
expect 1 'cannot be created' "$MMURACE" stress $target --save /proc/absent/folder
# memory is refused before anything runs, with the arithmetic
expect 1 '\(64 threads x 512 KiB of stack \+ .* MiB of world\) x .* = [0-9]+ MiB are needed, 10 MiB can be had' \
	"$MMURACE" stress $target --threads 64 --memory 10 --save "$work/none"

# ---- it says what it runs on
expect 0 'nothing found' "$MMURACE" stress everything --threads 64 --seconds 2 --save "$work/none"
grep -q '64 threads: 63 tasks, and the one that runs RCU callbacks' "$work/output" || {
	echo "expected a word about 64 threads"
	failed=1
}
expect 0 '16 threads take turns on 1 core' taskset -c 0 "$MMURACE" stress $target --threads 16 --seconds 1 --save "$work/none"
[ -z "$(ls "$work/none")" ] || { echo "files without a finding"; failed=1; }

# ---- from a finding to its reliability
expect 81 'stale_mapping SM1' "$MMURACE" stress $target --bug zap_stops_early --seconds 2 --runs 20 --search 0 --save "$work/found"
grep -qE 'fails [0-9]+ of 20 times' "$work/output" || { echo "expected k of n"; failed=1; }
grep -qE 'no schedule: not searched for' "$work/output" || { echo "expected why there is no schedule"; failed=1; }
for file in finding.repro explain.txt meta.json; do
	[ -s "$work"/found/stale_mapping-SM1-*/$file ] || { echo "expected $file in a folder of the finding"; failed=1; }
done
expect 0 '"runs":[[:space:]]*20,?$' cat "$work"/found/stale_mapping-SM1-*/meta.json
# what is known is counted
expect 81 'it was known before' "$MMURACE" stress $target --bug zap_stops_early --seconds 2 --seed 2 --runs 2 --search 0 --save "$work/found"
[ "$(grep -o 'program-[0-9a-f]*' "$work"/found/stale_mapping-SM1-*/meta.json | sort -u | wc -l)" -eq 2 ] || {
	echo "expected the programs of two runs"
	cat "$work"/found/stale_mapping-SM1-*/meta.json
	failed=1
}

# and to a schedule, where something is built that can search
if [ -x "$OUT/fiber-plain/bin/mmurace" ] && [ -x "$OUT/bin/mmurace" ]; then
	expect 81 'mmurace replay --config fiber-[a-z]+ ' "$MMURACE" stress $target --bug zap_stops_early --seconds 1 --runs 2 --save "$work/with space"
	replay=$(sed -n 's/.*every time: mmurace //p' "$work/output" | head -1)
	eval "expect 0 . '$OUT/bin/mmurace' $replay"
	# The text with a schedule is the finding's, that of the program stays beside it; nothing else is left.
	folder=$(dirname "$(ls "$work/with space"/*/program.repro | head -1)")
	[ "$(ls -A "$folder" | xargs)" = "explain.txt finding.repro meta.json program.repro" ] || { ls -A "$folder"; failed=1; }
	ls -A "$work/with space" | grep '^[.]' && { echo "something hidden is left"; failed=1; }
fi

# an interrupt ends it cleanly, with the table
expect 85 interrupted timeout --preserve-status -s INT 2 "$MMURACE" stress $target --seconds 60 --save "$work/none"

# ended by force it leaves no child behind, which nobody would ever stop
"$MMURACE" stress $target --seconds 60 --save "$work/orphan" >/dev/null 2>&1 &
parent=$!
for _ in $(seq 100); do
	read -r child </proc/$parent/task/$parent/children && break
	sleep 0.1
done
kill -KILL $parent
wait $parent 2>/dev/null
for _ in $(seq 100); do
	kill -0 "${child:-none}" 2>/dev/null || break
	sleep 0.1
done
if [ -z "$child" ] || kill -0 "$child" 2>/dev/null; then
	echo "expected a child that ends with its parent, found: '$child'"
	[ -z "$child" ] || kill -KILL "$child"
	failed=1
fi

exit $failed
