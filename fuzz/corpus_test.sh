#!/usr/bin/env bash
# corpus/ is what scripts/corpus.sh makes of the reproducers, and every seed runs in the plain drivers.
set -euo pipefail

: "${MMURACE:?}" "${OUT:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bash scripts/corpus.sh "$MMURACE" "$work/corpus"
diff -rq corpus "$work/corpus" | grep -v 'README.md' && {
	echo "corpus/ is out of date: run scripts/corpus.sh out/bin/mmurace corpus"
	exit 1
}
for folder in corpus/*/; do
	target=$(basename "$folder")
	"$OUT/fiber-plain/fuzz/$target" "$folder"* >"$work/log" 2>&1 || {
		echo "a seed of $target fails:"
		cat "$work/log"
		exit 1
	}
	echo "$target: $(ls "$folder" | wc -l) seeds"
done

# what is no input does not stop the others, and never waits
odd=$work/odd
mkdir -p "$odd/a folder"
cp corpus/fault_vs_invalidate/zap_skips_flush "$odd/a folder/"
mkfifo "$odd/fifo"
ln -s nowhere "$odd/link"
: >"$odd/empty"
truncate -s 64M "$odd/huge"
status=0
timeout 60 "$OUT/fiber-plain/fuzz/fault_vs_invalidate" "$odd" >"$work/log" 2>&1 || status=$?
[[ $status == 1 ]] && grep -q 'fifo: expected a file' "$work/log" && grep -q 'link: no such file' "$work/log" || {
	echo "odd inputs: code $status, expected 1 and a word on fifo and link:"
	cat "$work/log"
	exit 1
}
