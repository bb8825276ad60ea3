#!/usr/bin/env bash
# The command line as people and scripts use it: exit codes, JSON, messages, nothing lost.
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

# ---- lists
for list in targets bugs oracles variants strategies ops configs; do
	expect 0 . "$MMURACE" list "$list"
	expect 0 '^\{"name":"' "$MMURACE" list "$list" --json
done

# ---- wrong usage: what, where, expected, found, near names; always code 1
expect 1 usage "$MMURACE"
expect 0 usage "$MMURACE" help
expect 1 'Did you mean: run' "$MMURACE" rum
expect 1 "Did you mean: $target" "$MMURACE" run fault_vs_invalidat
expect 1 'Did you mean: --?bug|Did you mean: bug' "$MMURACE" run $target --bgu x
expect 1 'Did you mean: seq_test_dropped' "$MMURACE" run $target --bug seq_tst_dropped
expect 1 'Did you mean: fault_precheck=none' "$MMURACE" run $target --variant fault_precheck=non
expect 1 'excludes fault_precheck=' "$MMURACE" run $target --variant zap_root=single_pass
expect 1 'Did you mean: walk' "$MMURACE" run $target --strategy wlak
expect 1 'Did you mean: hull' "$MMURACE" run $target --forbid hul
expect 1 'Did you mean: bugs' "$MMURACE" list bgs
expect 1 'expected a number' "$MMURACE" run $target --seed x
expect 1 'expected a positive number' "$MMURACE" run $target --schedules 0
expect 1 'expected TARGET' "$MMURACE" run
expect 1 'no configuration is named' "$MMURACE" run $target --config fiber-plane
expect 1 'cannot be read' "$MMURACE" replay "$work/absent.repro"
expect 1 'expected at most' "$MMURACE" explain /dev/zero
expect 1 'expected files named' "$MMURACE" replay "$work"
expect 1 '-o' "$MMURACE" minimise "$work/absent.repro"
expect 1 'cannot be created|can be written' "$MMURACE" run $target --save /proc/absent/folder

sed 's/^expect .*/expect    stale_maping SM1/' "$(dirname "${BASH_SOURCE[0]}")/../reproducers/zap_skips_flush.repro" >"$work/slip.repro"
expect 1 'Did you mean: stale_mapping' "$MMURACE" replay "$work/slip.repro"

# ---- decode arms what the fuzz binary had armed
"$MMURACE" encode "$(dirname "${BASH_SOURCE[0]}")/../reproducers/hull_not_widened.repro" -o "$work/input"
expect 0 '^expect +stale_mapping SM4' env MMURACE_BUG=hull_not_widened "$MMURACE" decode "$work/input" --target $target
expect 0 '^expect +none' env MMURACE_BUG=hull_not_widened "$MMURACE" decode "$work/input" --target $target --bug none
expect 1 'no bug is named' env MMURACE_BUG=hull "$MMURACE" decode "$work/input" --target $target

# ---- search
expect 0 'no violation' "$MMURACE" run $target --schedules 2000
expect 0 '^\{"target":"fault_vs_invalidate","bug":"none","schedules":2000,.*"verdicts":\{.*"first":null,"seed":7,"ops_skipped":0,"ops_ring_full":0\}$' \
	"$MMURACE" run $target --schedules 2000 --seed 7 --json
expect 0 'no violation' "$MMURACE" run $target --schedules 1000 --check
expect 0 'no violation' "$MMURACE" run $target --seconds 0.5 --strategy walk --variant fault_precheck=none --schedules 500
expect 81 '"first":\{"schedule":[0-9]+,"seed":[0-9]+,"verdict":"stale_mapping SM4"\}' \
	"$MMURACE" run $target --bug seq_test_dropped --stop-on-first --json
expect 81 false_retry "$MMURACE" run $target --forbid seq --stop-on-first
expect 82 progress "$MMURACE" run $target --bug yield_without_progress --stop-on-first
expect 81 . "$MMURACE" run canary --stop-on-first

# equal seeds give equal runs
"$MMURACE" run $target --schedules 3000 --seed 5 --bug hull_not_widened | grep times >"$work/first"
"$MMURACE" run $target --schedules 3000 --seed 5 --bug hull_not_widened | grep times >"$work/second"
cmp -s "$work/first" "$work/second" || { echo "two runs of one seed differ"; failed=1; }

# an interrupt ends it cleanly, with a summary
"$MMURACE" run $target --seconds 60 >"$work/output" 2>&1 &
pid=$!
sleep 1
kill -INT $pid
wait $pid
status=$?
((status == 85)) || { echo "expected exit code 85 after SIGINT, found $status"; failed=1; }
grep -q 'interrupted' "$work/output" || { echo "expected a summary after SIGINT"; failed=1; }

# ---- from a finding to an explanation
expect 81 saved "$MMURACE" run $target --bug hull_not_widened --stop-on-first --save "$work/found"
repro=$(ls "$work"/found/*.repro | head -1)
ls "$work"/found/*.tmp >/dev/null 2>&1 && { echo "a temporary file was left behind"; failed=1; }
expect 0 stale_mapping "$MMURACE" replay "$repro"
expect 0 '^\{"file":".*","verdict":"stale_mapping SM4","expected":"stale_mapping SM4","hash":"0x[0-9a-f]{16}","sites":".+","expected_sites":".+"\}$' \
	"$MMURACE" replay "$work/found" --json
expect 0 none "$MMURACE" replay "$repro" --bug none
expect 84 'expected stale_mapping' "$MMURACE" replay "$repro" --bug zap_stops_early
expect 0 'task 0 op 1 ~1 point' "$MMURACE" replay "$repro" --trace
expect 0 '^\{"ops":[1-6],"tasks":[23],"directives":[0-4],"attempts":[0-9]+,"seconds":[0-9.e-]+\}$' \
	"$MMURACE" minimise "$repro" -o "$work/small.repro" --json
cmp -s "$repro" "$work/small.repro" || { echo "minimising what is small changed it"; failed=1; }
expect 0 'task 0 \(' "$MMURACE" explain "$repro"
"$MMURACE" encode "$repro" -o "$work/input" || { echo "encode failed"; failed=1; }
expect 81 stale_mapping "$MMURACE" triage "$work/input" --target $target --bug hull_not_widened -o "$work/triaged"
[ "$(ls "$work"/triaged/* | xargs)" = "explain.txt finding.repro meta.json" ] || { echo "expected one finding of triage"; failed=1; }

# ---- the program of a text, whatever its schedule and verdict say: strategies in turn, until one fails
grep -v '^at \|^start\|^strategy' "$repro" >"$work/program.repro"
expect 84 . "$MMURACE" replay "$work/program.repro"
expect 81 'stale_mapping SM4' "$MMURACE" search "$work/program.repro" --save "$work/searched"
expect 0 stale_mapping "$MMURACE" replay "$work/searched"
expect 81 '"first":\{"schedule":[0-9]+,"seed":[0-9]+,"verdict":"stale_mapping SM4"\}' \
	"$MMURACE" search "$work/program.repro" --json --strategy walk --seed 3
expect 0 'no violation in any schedule of this program' "$MMURACE" search "$repro" --bug none --schedules 2000
expect 1 'expected FILE' "$MMURACE" search
expect 1 'cannot be read' "$MMURACE" search "$work/absent.repro"
expect 85 interrupted timeout --preserve-status -s INT 1 "$MMURACE" search "$repro" --bug none --seconds 60

# a directive that is not met is told, and found nearby
sed 's/^\(at 0 [^ ]* \)[a-z_]*:/\1renamed:/' "$repro" >"$work/renamed.repro"
if ! cmp -s "$repro" "$work/renamed.repro"; then
	expect 84 'diverged: .*no site has this text' "$MMURACE" replay "$work/renamed.repro"
	expect 0 'moved' "$MMURACE" replay "$work/renamed.repro" --nearby
fi

# sites of the verdict move with the code, and are told
sed 's/^\(expect .*\)tdp_mmu_set_spte_atomic/\1renamed/' "$repro" >"$work/moved.repro"
expect 84 'expected stale_mapping' "$MMURACE" replay "$work/moved.repro"
expect 0 'moved  expect' "$MMURACE" replay "$work/moved.repro" --nearby

# ---- what is written to: links lead on, devices stay what they are
: >"$work/real"
ln -s "$work/real" "$work/link"
"$MMURACE" encode "$repro" -o "$work/link" || { echo "encode failed"; failed=1; }
[ -L "$work/link" ] && [ -s "$work/real" ] || { echo "a link was replaced"; failed=1; }
mkfifo "$work/pipe"
cat "$work/pipe" >"$work/piped" &
"$MMURACE" encode "$repro" -o "$work/pipe" || { echo "encode failed"; failed=1; }
wait
[ -p "$work/pipe" ] && cmp -s "$work/piped" "$work/real" || { echo "a pipe was replaced"; failed=1; }
"$MMURACE" list bugs >/dev/full 2>"$work/full" && { echo "a full standard output went unnoticed"; failed=1; }
grep -q 'standard output cannot be written' "$work/full" || { echo "no word about a full standard output"; failed=1; }

# ---- malformed texts
{ cat "$repro"; echo garbage; } >"$work/bad.repro"
expect 1 'bad.repro:[0-9]+:[0-9]+: expected .* found' "$MMURACE" replay "$work/bad.repro"
sed 's/^geometry .*/geometry  9/' "$repro" >"$work/wide.repro"
expect 1 'geometry' "$MMURACE" replay "$work/wide.repro"

# ---- a full disk loses nothing
if [ -w /dev/full ]; then
	expect 1 'can be written' "$MMURACE" minimise "$repro" -o /dev/full/x
fi

# ---- matrix and bench
expect 84 '^\{"bug":"seq_test_dropped","oracle":"stale_mapping","reached":[0-9]+,"triggered":[0-9]+,"detected":true,"schedules_to_first":[0-9]+,' \
	"$MMURACE" matrix --bug seq_test_dropped --seeds 1 --reproducers "$work" --json
expect 0 '^\{"name":"point","config":"[a-z-]+","metric":"time","value":[0-9.]+,"unit":"ns"\}$' \
	"$MMURACE" bench point --json
for row in points wide-points; do
	expect 0 "^\{\"name\":\"$row\",\"config\":\"[a-z0-9-]+\",\"metric\":\"count\",\"value\":[1-9][0-9.]+,\"unit\":\"points\"\}\$" \
		"$MMURACE" bench $row --json
done
# ---- comparing designs
expect 0 '^fixed_locked +[0-9.]+ \([0-9]+\) ' "$MMURACE" compare fault_precheck --target $target --schedules 500
expect 0 'left out: zap_root=single_pass excludes fault_precheck=' "$MMURACE" compare zap_root --schedules 100
expect 0 '^\{"knob":"zap_root","value":"single_pass","target":"everything","seed":1,"schedules":0,"left_out":".+"\}$' \
	"$MMURACE" compare zap_root --schedules 100 --json
expect 0 '^\{"knob":"fault_precheck","value":"none",.*"schedules":500,"figures":\{"points":\{"total":[0-9]+,"median":[0-9]+\},' \
	"$MMURACE" compare fault_precheck --target $target --schedules 500 --json
"$MMURACE" compare slot_zap --schedules 300 --json >"$work/first"
"$MMURACE" compare slot_zap --schedules 300 --json >"$work/second"
cmp -s "$work/first" "$work/second" || { echo "two comparisons of one seed differ"; failed=1; }
expect 1 'Did you mean: fault_precheck' "$MMURACE" compare fault_prechek
expect 1 'at most' "$MMURACE" compare zap_root --schedules 1000000
expect 1 'Did you mean: wide-schedules' "$MMURACE" bench wide-schedule
expect 0 'stale_then_flushed' "$MMURACE" matrix --reachability --schedules 150000

((failed)) || echo "the command line behaves"
exit $failed
