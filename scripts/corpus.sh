#!/usr/bin/env bash
# Makes the engines' seeds from the reproducers: each text in its binary form for its target and for
# the decoder, and as it stands for the parser. Usage: scripts/corpus.sh MMURACE FOLDER
set -euo pipefail

mmurace=$1 folder=$2
cd "$(dirname "$0")/.."
mkdir -p "$folder"/{decode,parse}
for text in reproducers/*.repro; do
	name=$(basename "$text" .repro)
	target=$(sed -n 's/^target *//p' "$text")
	mkdir -p "$folder/$target"
	"$mmurace" encode "$text" -o "$folder/$target/$name" >/dev/null
	cp "$folder/$target/$name" "$folder/decode/$name"
	cp "$text" "$folder/parse/$name"
done
