#!/usr/bin/env bash
# triage as people and scripts use it: from what engines leave to findings, each once, whatever is in the way.
set -uo pipefail

: "${MMURACE:?path of the mmurace binary}" "${OUT:?folder with all configurations}"
reproducers=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../reproducers" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
target=fault_vs_invalidate
bugs=(hull_not_widened seq_test_dropped)

complain() {
	echo "$*"
	failed=1
}

# expect CODE PATTERN COMMAND...: the command ends with that code and says something like PATTERN
expect() {
	local code=$1 pattern=$2 status=0
	shift 2
	timeout 120 "$@" >"$work/output" 2>&1 </dev/null || status=$?
	if ((status != code)); then
		complain "expected exit code $code, found $status: $*"
		head -20 "$work/output"
	elif [ "$pattern" ] && ! grep -qE -e "$pattern" "$work/output"; then
		complain "expected output like '$pattern': $*"
		head -20 "$work/output"
	fi
}

# artifact FILE FOLDER: a copy under the name that libFuzzer would give it; prints the path
artifact() {
	local path
	path=$2/crash-$(sha1sum <"$1" | cut -d' ' -f1)
	cp "$1" "$path"
	echo "$path"
}

# run_of BUG NUMBER FOLDER: a run with so many artifacts, equal but for a seed that does not matter
run_of() {
	local nr octal path
	mkdir -p "$3"
	"$MMURACE" encode "$reproducers/$1.repro" -o "$work/base" || failed=1
	printf '{"run":1,"target":"%s","bug":"%s","engine":"libfuzzer","sanitizer":"address","commit":"0123abc","compiler":"clang version 19.1.7"}\n' \
		$target "$1" >"$3/run.jsonl"
	for ((nr = 0; nr < $2; nr++)); do
		octal=$(printf '\\%03o\\%03o' $((nr % 256)) $((nr / 256)))
		{
			head -c 8 "$work/base"
			printf "$octal"
			tail -c +11 "$work/base"
		} >"$work/input"
		path=$(artifact "$work/input" "$3")
		printf '{"artifact":"%s","seconds":%d.5,"executions":%d00}\n' "$(basename "$path")" $((nr + 3)) $((nr + 7)) >>"$3/run.jsonl"
	done
	# what an engine that was killed leaves
	printf '{"artifact":"crash-' >>"$3/run.jsonl"
}

# folders_of FOLDER: how many findings are there
folders_of() { find "$1" -mindepth 1 -maxdepth 1 -type d ! -name '.*' | wc -l; }

# whole FOLDER: every finding is complete, and nothing that nobody asked for is there
whole() {
	local folder
	[ -z "$(find "$1" -name '.*' ! -path "$1" -o -name '*.tmp')" ] || complain "something is left: $(find "$1" -name '.*' ! -path "$1" -o -name '*.tmp')"
	for folder in "$1"/*/; do
		[ -d "$folder" ] || continue
		[ -s "$folder/finding.repro" ] && [ -s "$folder/meta.json" ] && tail -c 2 "$folder/meta.json" | grep -q '}' ||
			complain "half a finding: $(ls -A "$folder")"
	done
}

# replay_of META: what its command says behind "mmurace"
replay_of() { sed -n 's/.*"replay":[[:space:]]*"mmurace \(.*\)",\{0,1\}$/\1/p' "$1"; }

for bug in "${bugs[@]}"; do
	run_of "$bug" 100 "$work/runs/$bug"
done

# ---- what this binary is
expect 0 '^mmurace [0-9a-z-]+ \([a-z0-9-]+, [a-z]+ version [0-9.]+\)$' "$MMURACE" --version

# ---- from artifacts to findings
mkdir "$work/reference"
cd "$work/reference" || exit 1
expect 81 '^ +100 +100  new    stale_mapping SM4 .* bug hull_not_widened$' "$MMURACE" triage ../runs/* -o found
[ "$(folders_of found)" -eq 2 ] || complain "expected 2 findings, found $(ls found)"
whole found
for folder in found/*/; do
	[ -s "$folder/explain.txt" ] || complain "expected explain.txt in $folder"
	eval "expect 0 stale_mapping '$MMURACE' $(replay_of "$folder/meta.json")"
	for line in '"meta":	1' '"engine":	"libfuzzer"' '"sanitizer":	"address"' '"commit":	"0123abc"' '"minimised":	true' '"seconds":	3.5' '"executions":	700' \
		'"geometry":	3' "\"target\":	\"$target\"" '"depth":	[12]' '"tasks":	[23]'; do
		grep -q "$line" "$folder/meta.json" || complain "expected $line in meta.json"
	done
	expect 0 'task 0 \(' cat "$folder/explain.txt"
done
cp -r found before
expect 81 '^ +100 +100  known  stale_mapping' "$MMURACE" triage ../runs/* -o found
diff -r before found || complain "what is known has changed"
expect 81 '"state":"known","seen":100,"count":100}$' "$MMURACE" triage ../runs/* -o found --json
# one artifact more, by its name alone: what the engine had armed is told
head -c 16 /dev/zero | cat - "$work/base" | tail -c +17 >"$work/same"
printf 'x' >>"$work/same"
MMURACE_BUG=seq_test_dropped expect 81 '^ +1 +101  known' "$MMURACE" triage "$work/same" --target $target -o found
expect 81 '^ +1 +101  known' "$MMURACE" triage "$work/same" --target $target --bug seq_test_dropped -o found
rm -rf found
mv before found

# ---- without making them small, and then after all
expect 81 'depth' "$MMURACE" triage ../runs/* -o raw --no-minimise
expect 0 '"minimised":	false' cat raw/*/meta.json
expect 81 'known' "$MMURACE" triage ../runs/* -o raw
sed -i 's/ raw\// found\//' raw/*/meta.json
# keys are in the order in which they came
for folder in found/*/; do
	cmp "$folder/finding.repro" "raw/$(basename "$folder")/finding.repro" || failed=1
	diff <(sort "$folder/meta.json" | tr -d ,) <(sort "raw/$(basename "$folder")/meta.json" | tr -d ,) || failed=1
done
rm -r raw

# ---- whatever ends it, the next one comes to the same end
# same_end CWD: found/ there is what an undisturbed run leaves
same_end() {
	(cd "$1" && expect 81 'finding' "$MMURACE" triage ../runs/* -o found; exit $failed) || failed=1
	whole "$1/found"
	diff -r "$work/reference/found" "$1/found" || complain "another end than undisturbed"
}
# ends_by SIGNAL PATTERN CWD: it gets the signal when it says something like PATTERN; prints its exit code
ends_by() {
	local line pid
	mkdir -p "$3"
	mkfifo "$3/said"
	(cd "$3" && exec "$MMURACE" triage ../runs/* -o found) >"$3/said" 2>&1 &
	pid=$!
	while read -r line; do
		[[ ! $line =~ $2 ]] || kill -"$1" $pid 2>/dev/null
	done <"$3/said"
	wait $pid 2>/dev/null
	echo $?
	rm "$3/said"
}
for pattern in replaying new: 'ops in'; do
	ends_by KILL "$pattern" "$work/killed" >/dev/null
	same_end "$work/killed"
	rm -r "$work/killed"
done
for delay in 0.01 0.03 0.06 0.1 0.15 0.2 0.3; do
	mkdir "$work/killed"
	# It is waited for: one that is only about to die would still own what it has staged.
	{
		(cd "$work/killed" && exec "$MMURACE" triage ../runs/* -o found >/dev/null 2>&1) &
		sleep $delay
		kill -KILL $!
		wait $!
	} 2>/dev/null
	same_end "$work/killed"
	rm -r "$work/killed"
done
code=$(ends_by INT replaying "$work/interrupted")
((code == 85)) || complain "expected exit code 85 after SIGINT, found $code"
same_end "$work/interrupted"
# an update beyond its point of no return is completed; what a dead process left beside it goes
folder=$(ls -d "$work"/interrupted/found/*/ | head -1)
mkdir "$folder/.update" "$work/interrupted/found/.new.999999999"
: >"$work/interrupted/found/.probe.999999999"
mv "$folder/finding.repro" "$folder/.update/"
mv "$folder/meta.json" "$folder/.update/"
echo half >"$folder/meta.json.999999999.tmp"
echo half >"$work/interrupted/found/.new.999999999/meta.json"
same_end "$work/interrupted"
rm -r "$work/interrupted"

# ---- a full disk: nothing is lost, nothing is half there, and the next run completes it
full_disk() {
	local size
	for size in 4k 8k 12k 16k 20k; do
		mkdir "$work/full"
		mount -t tmpfs -o size=$size tmpfs "$work/full" || return
		(
			cd "$work/full" || exit 1
			expect 1 'cannot be written: No space' "$MMURACE" triage ../runs/* -o found
			grep -q '^repro 1' "$work/output" || complain "the finding is not on standard error"
			whole found
			mount -o remount,size=1m "$work/full"
			exit $failed
		) || failed=1
		same_end "$work/full"
		umount "$work/full"
		rmdir "$work/full"
	done
	exit $failed
}
export -f full_disk same_end whole expect complain
export work MMURACE failed
if unshare -m mount -t tmpfs tmpfs "$work/reference" 2>/dev/null; then
	unshare -m bash -c full_disk || failed=1
else
	# no file may become larger than 4 KiB, which the list of artifacts does
	mkdir "$work/full"
	(
		cd "$work/full" || exit 1
		trap '' XFSZ
		ulimit -f 4
		exec timeout 120 "$MMURACE" triage ../runs/* -o found
	) 2>&1 | cat >"$work/output"
	((PIPESTATUS[0] == 1)) || complain "expected exit code 1 without room for meta.json"
	whole "$work/full/found"
	same_end "$work/full"
	rm -r "$work/full"
fi
cd "$work" || exit 1

# ---- bad input: told, and everything else is done
cp -r runs/hull_not_widened odd
mkdir odd/crash-directory
mkfifo odd/crash-fifo
ln -s /nowhere odd/crash-dangling
head -c 1048577 /dev/zero >odd/crash-huge
head -c 1048576 /dev/zero >odd/crash-large
: >odd/crash-empty
printf '\xff\x00' >odd/oom-short
sed 's/^repro 1/repro 2/' "$reproducers/hull_not_widened.repro" >odd/other.repro
cp "$reproducers/hull_not_widened.repro" odd/text.repro
expect 1 'hull_not_widened$' "$MMURACE" triage odd -o odd-found
for pattern in 'crash-directory: expected a regular file, found a directory' 'crash-fifo: expected a regular file, found a FIFO' \
	'crash-dangling: cannot be read' 'crash-huge: expected at most 1048576 bytes, found 1048577' 'other.repro:1:.*expected' \
	'run.jsonl:102: expected .* left out' ' 101 +101  new' 'crash-empty: does not fail here .*it failed in commit 0123abc, this is'; do
	grep -qE -e "$pattern" output || complain "expected output like '$pattern'"
done
((failed)) && cat output
[ "$(folders_of odd-found)" -eq 1 ] || complain "expected 1 finding, found $(ls odd-found)"
whole odd-found
expect 1 'crash-fifo: expected a regular file' "$MMURACE" triage odd/crash-fifo --target $target -o odd-found
expect 1 'cannot be read' "$MMURACE" triage absent --target $target -o odd-found
mkdir nothing
expect 1 'expected a run' "$MMURACE" triage nothing --target $target -o odd-found
: >nothing/run.jsonl
expect 0 '' "$MMURACE" triage nothing -o odd-found
expect 1 'expected --target' "$MMURACE" triage "$work/same" -o odd-found
expect 1 'expected -o' "$MMURACE" triage "$work/same" --target $target
expect 1 'expected target canary, as --target says, found fault_vs_invalidate' "$MMURACE" triage odd --target canary -o odd-found
sed -i 's/"target":"[a-z_]*"/"target":"retired"/' odd/run.jsonl
expect 1 "found 'retired'" "$MMURACE" triage odd -o odd-found
sed -i "s/\"target\":\"retired\"/\"target\":\"$target\"/; s/\"bug\":\"[a-z_]*\"/\"bug\":\"mended\"/" odd/run.jsonl
expect 1 "found 'mended'" "$MMURACE" triage odd -o odd-found
expect 1 '101 +101  known' "$MMURACE" triage odd -o odd-found --bug hull_not_widened
expect 1 'cannot be created|can be written' "$MMURACE" triage "$work/same" --target $target -o /proc/absent/folder
# an artifact of another version is one that does not fail here
expect 84 'does not fail here \(bug none\)' "$MMURACE" triage "$work/same" --target $target -o odd-found
expect 84 '"state":"does not fail"' "$MMURACE" triage "$work/same" --target $target -o odd-found --json

# ---- formats are no programs
expect 0 'run it again with:' "$MMURACE" triage "$work/same" --target parse -o odd-found
grep -qE "^  out/[a-z-]+/fuzz/parse .*/same$" output || complain "expected the command that runs it again"
printf '{"run":1,"target":"decode"}\n' >nothing/run.jsonl
cp same nothing/crash-same
expect 0 'out/[a-z-]+/fuzz/decode nothing/crash-same' "$MMURACE" triage nothing -o odd-found

# ---- a target that fails on every input is one finding, or a few; blanks in paths
mkdir 'every input'
for byte in 0 1 2 3 4 5 6 7 10 11 12 13 14 15 16 17; do
	printf "\\$byte\\x00\\x00\\x00\\x00\\x01\\x1f" >input
	{ "$OUT/fiber-plain/fuzz/canary" input >/dev/null 2>&1; } 2>/dev/null || artifact input 'every input' >/dev/null
done
nr=$(ls 'every input' | wc -l)
((nr >= 8)) || complain "expected the canary to fail on most inputs, not on $nr of 16"
expect 81 "^ +$nr +$nr  new " "$MMURACE" triage 'every input' --target canary -o 'found here' --no-minimise
[ "$(folders_of 'found here')" -eq 1 ] || complain "expected one finding, found $(ls 'found here')"
for folder in 'found here'/*/; do
	eval "expect 0 . '$MMURACE' $(replay_of "$folder/meta.json")"
done

# ---- a folder edited by hand is never overwritten, nor lost
"$MMURACE" triage runs/hull_not_widened -o edited --no-minimise >/dev/null 2>&1
folder=$(ls -d edited/*/)
sed -i 's/^why .*/why       By hand./' "$folder/finding.repro"
echo note >"$folder/notes.txt"
cp "$folder/finding.repro" mine
expect 81 'edited by hand' "$MMURACE" triage runs/hull_not_widened -o edited
cmp "$folder/finding.repro" mine || failed=1
[ "$(cat "$folder/notes.txt")" = note ] || complain "a note was lost"
# a key that hands have added stays; the count grows
sed -i 's/^{$/{"mine": "yes",/' "$folder/meta.json"
expect 81 '^ +1 +101  known' "$MMURACE" triage "$reproducers/hull_not_widened.repro" -o edited
grep -q '"mine":	"yes"' "$folder/meta.json" || complain "a key was lost"
cp "$folder/meta.json" whole.json
for edit in 'echo garbage' 'echo "{}"' 'sed s/\"meta\":.1/\"meta\":2/ whole.json' 'sed s/\"signature\"/\"signed\"/ whole.json' 'sed s/\"artifacts\"/\"relics\"/ whole.json'; do
	eval "$edit" >"$folder/meta.json"
	cp "$folder/meta.json" theirs.json
	expect 81 'the folder is left as it is' "$MMURACE" triage runs/hull_not_widened -o edited
	grep -qE '^ +100 +0  odd' output || complain "expected an odd finding"
	cmp "$folder/meta.json" theirs.json || failed=1
	[ "$(folders_of edited)" -eq 1 ] || complain "expected no other folder, found $(ls edited)"
done
rm "$folder/meta.json"
expect 81 'it is missing' "$MMURACE" triage runs/hull_not_widened -o edited
[ "$(folders_of edited)" -eq 1 ] || complain "expected no other folder, found $(ls edited)"
# of which finding it is cannot be told: there is another folder then
echo garbage >"$folder/finding.repro"
expect 81 'does not say which finding' "$MMURACE" triage runs/hull_not_widened -o edited
[ "$(ls -d edited/*-2)" ] && [ "$(cat "$folder/finding.repro")" = garbage ] || complain "expected a folder more: $(ls edited)"
grep -q 'edited/.*-2/finding.repro' edited/*-2/meta.json || complain "expected the command to name the folder"

# ---- between inputs and texts, there and back
for bug in hull_not_widened zap_stops_early; do
	"$MMURACE" encode "$reproducers/$bug.repro" -o there || failed=1
	expect 0 '' "$MMURACE" decode there --target $target --bug $bug -o back.repro
	expect 0 . "$MMURACE" replay back.repro
	sed -n 's/.* hash \(0x[0-9a-f]*\),.*/\1/p' output >first
	"$MMURACE" encode back.repro -o again || failed=1
	expect 0 '' "$MMURACE" decode again --target $target --bug $bug -o again.repro
	expect 0 . "$MMURACE" replay again.repro
	sed -n 's/.* hash \(0x[0-9a-f]*\),.*/\1/p' output >second
	[ -s first ] && cmp first second || complain "another trace after going there and back"
	cmp back.repro again.repro || failed=1
done
expect 0 '^expect    none' "$MMURACE" decode there --target $target
expect 0 '^strategy ' "$MMURACE" decode there --target $target
"$MMURACE" decode there --target $target >sound.repro
expect 0 none "$MMURACE" replay sound.repro
expect 1 'expected --target' "$MMURACE" decode there
expect 1 'found parse, which is for a format' "$MMURACE" decode there --target parse
expect 1 'found a directory' "$MMURACE" decode runs --target $target

((failed)) || echo "triage behaves"
exit $failed
