#!/usr/bin/env bash
# ./build.sh fuzz as people use it: messages, exit codes, what a run and its findings consist of. Of the engines, those whose
# rows are built.
set -uo pipefail

: "${OUT:?folder of the configurations}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export MMURACE_WORK=$scratch/work MMURACE_FINDINGS=$scratch/findings
unset MMURACE_BUG MMURACE_KNOWN MMURACE_FEATURES
failed=0

complain() {
	echo "$*"
	tail -n 30 "$scratch/output"
	failed=1
}

# expect CODE PATTERN COMMAND...: the command ends with that code and says something like PATTERN
expect() {
	local code=$1 pattern=$2 status=0
	shift 2
	"$@" >"$scratch/output" 2>&1 || status=$?
	if ((status != code)); then
		complain "expected exit code $code, found $status: $*"
	elif ! grep -qE -e "$pattern" "$scratch/output"; then
		complain "expected output like '$pattern': $*"
	fi
}

# ---- wrong usage, before anything is built
expect 1 'Did you mean: canary' "$root/build.sh" fuzz canry 5
expect 1 'Did you mean: afl' "$root/build.sh" fuzz canary 5 --engine alf
expect 1 'Did you mean: thread' "$root/build.sh" fuzz canary 5 --sanitizer=thred
expect 1 'Did you mean: --engine' "$root/build.sh" fuzz canary 5 --engin=afl
expect 1 'no configuration with --sanitizer memory' "$root/build.sh" fuzz canary 5 --engine afl --sanitizer memory
expect 1 'usage:' "$root/build.sh" fuzz canary 0
expect 1 'usage:' "$root/build.sh" fuzz canary five
expect 1 'Did you mean: hull_not_widened' env MMURACE_BUG=hull_not_widend "$root/build.sh" fuzz canary 5

# check_run RUN ENGINE: the lines are as docs/findings.md says, and speak of what is there
check_run() {
	python3 - "$1" "$2" >"$scratch/output" 2>&1 <<'END' || complain "run.jsonl of $2 is not as it should be"
import hashlib, json, pathlib, sys

run = pathlib.Path(sys.argv[1])
head, *lines = [json.loads(line) for line in (run / "run.jsonl").read_text().splitlines()]
assert head["run"] == 1 and head["engine"] == sys.argv[2], head
assert (head["target"], head["bug"], head["sanitizer"]) == ("canary", "seq_test_dropped", "address"), head
assert lines, "no artifacts"
for line in lines:
    name = line["artifact"]
    assert hashlib.sha1((run / name).read_bytes()).hexdigest() == name.split("-")[1], line
    assert line["seconds"] >= 0 and line["executions"] > 0, line
there = {path.name for path in run.glob("crash-*")}
assert there == {line["artifact"] for line in lines}, there
if sys.argv[2] == "libfuzzer":
    counts = [line["executions"] for line in lines]
    assert counts == sorted(counts), "executions are not of all starts"
END
}

# check_canary ENGINE BINARY: fuzzes for a while; an input that fails does not end it
check_canary() {
	local run repro artifact number
	expect 81 'it goes on' "$root/build.sh" fuzz canary 5 --engine "$1"
	cp "$scratch/output" "$scratch/screen"
	run=$(find "$MMURACE_WORK/canary/runs" -mindepth 1 -maxdepth 1 | sort | tail -n 1)
	check_run "$run" "$1"
	grep -qE '^ +[0-9]+ x stale_mapping SM4 ' "$scratch/screen" || complain "$1: the list of findings is missing"
	repro=$(find "$MMURACE_FINDINGS" -name '*.repro' | head -n 1)
	grep -qF "$repro" "$scratch/screen" || complain "$1: the reproducer '$repro' is not listed"
	expect 0 'stale_mapping SM4' "$OUT/fiber-plain/bin/mmurace" replay "$repro"
	rm -rf "$MMURACE_FINDINGS"

	# The file that is listed fails again; as a known finding it is passed over, and counted.
	artifact=$(find "$run" -maxdepth 1 -name 'crash-*' | head -n 1)
	{ ("$2" "$artifact" >"$scratch/output" 2>&1); } 2>/dev/null && complain "$1: the artifact does not fail again"
	number=$(sed -n 's/^mmurace: canary: finding \([0-9a-f]*\): .*/\1/p' "$scratch/output")
	echo "$number what people read" >"$scratch/known"
	expect 0 "finding $number: met [1-9][0-9]* times more" env MMURACE_KNOWN="$scratch/known" "$2" "$artifact"
}

# Interrupted in the middle: what was found so far is said, nothing goes on.
check_interrupt() {
	local pid status=0
	"$root/build.sh" fuzz canary 600 >"$scratch/output" 2>&1 &
	pid=$!
	until grep -q 'it goes on' "$scratch/output" || ! kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
	done
	kill -TERM "$pid"
	wait "$pid" || status=$?
	((status == 85)) || complain "expected exit code 85 of an interrupted run, found $status"
	grep -q '^Interrupted' "$scratch/output" || complain "it does not say that it was interrupted"
	grep -qE '^ +[0-9]+ x stale_mapping SM4 ' "$scratch/output" || complain "what was found before is missing"
}

if [[ $OUT != "$root/out" ]]; then
	echo "skipped: ./build.sh builds in $root/out, not in $OUT"
	exit $failed
fi
binary=$OUT/fuzz-asan/fuzz/canary
if [[ -x $binary && -x $OUT/fiber-asan/bin/mmurace ]]; then
	check_canary libfuzzer "$binary"
	check_interrupt
	echo what >"$scratch/known"
	expect 1 'MMURACE_KNOWN.*expected a number' env MMURACE_KNOWN="$scratch/known" "$binary" -runs=1
	expect 1 'expected none, state, switch or all' env MMURACE_FEATURES=edges "$binary" -runs=1
else
	echo "skipped: fuzz-asan and fiber-asan are not built"
fi
if [[ -x $OUT/afl-asan/fuzz/canary && -x $OUT/fiber-asan/bin/mmurace ]]; then
	check_canary afl "$OUT/afl-asan/fuzz/canary"
else
	echo "skipped: afl-asan and fiber-asan are not built"
fi
exit $failed
