#!/usr/bin/env bash
# Every reproducer gives its expected verdict, and the same trace hash, in every configuration built;
# and every catalogue reproducer is silent when its bug is disarmed.
set -euo pipefail

: "${OUT:?path of the build output}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

hashes() { # ROW: one line "file hash" for each reproducer
	"$OUT/$1/bin/mmurace" replay reproducers --json |
		sed -n 's/.*"file":"\([^"]*\)".*"hash":"\([^"]*\)".*/\1 \2/p'
}

rows=0
for row in fiber-plain fiber-asan fiber-msan fiber-tsan fiber-gcc; do
	[ -x "$OUT/$row/bin/mmurace" ] || continue
	rows=$((rows + 1))
	if ! "$OUT/$row/bin/mmurace" replay reproducers >"$work/log" 2>&1; then
		echo "$row: a reproducer does not give its expected verdict:"
		cat "$work/log"
		failed=1
	fi
	hashes "$row" >"$work/$row"
	if ! cmp -s "$work/fiber-plain" "$work/$row"; then
		echo "$row: trace hashes differ from fiber-plain:"
		diff "$work/fiber-plain" "$work/$row" || true
		failed=1
	fi
done
count=$(wc -l <"$work/fiber-plain")
echo "$count reproducers, $rows configurations"
[ "$count" -eq "$(ls reproducers/*.repro | wc -l)" ] || { echo "not every file was replayed"; failed=1; }

for file in reproducers/*.repro; do
	grep -q '^bug ' "$file" || continue
	if ! "$OUT/fiber-plain/bin/mmurace" replay "$file" --bug none >"$work/log" 2>&1; then
		echo "$file is not silent when disarmed:"
		cat "$work/log"
		failed=1
	fi
done
exit "$failed"
