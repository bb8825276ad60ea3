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
