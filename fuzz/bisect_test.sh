#!/usr/bin/env bash
# mmurace bisect, on a repository of ten commits whose "mmurace" is a script that says what each commit shall say. That
# git, the clone, the builds, and the choice between replay, nearby sites and search are real.
set -uo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
repo="$work/a repository"
failed=0
unset GIT_DIR GIT_WORK_TREE
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x

git init -q -b master "$repo"
mkdir "$repo/scripts"
cp "$source_root/scripts/bisect.sh" "$repo/scripts/"
cat >"$repo/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(fake NONE)
add_custom_target(mmurace COMMAND install -D -m 755 "${CMAKE_SOURCE_DIR}/answers" "${CMAKE_BINARY_DIR}/bin/mmurace")
END
printf 'out\n' >"$repo/.gitignore"
file="$work/a text.repro"
printf 'repro 1\ntarget    x\nexpect    stale_tlb D1  f:v(p) / g:w(q)\n' >"$file"

# commit SUBJECT REPLAY NEARBY SEARCH: exit codes of replay, and what search says
commit() {
	cat >"$repo/answers" <<END
#!/bin/sh
case "\$1 \$2" in
"replay --nearby") exit $3 ;;
replay*) exit $2 ;;
search*) echo '{"verdicts":{"none":3,"$4":1}}'; exit 81 ;;
esac
END
	git -C "$repo" add -A
	git -C "$repo" commit -q --allow-empty -m "$1"
	git -C "$repo" rev-parse HEAD
}

# expect CODE PATTERN ARGUMENT...
expect() {
	local code=$1 pattern=$2 status=0
	shift 2
	(cd / && bash "$repo/scripts/bisect.sh" bisect "$@") >"$work/output" 2>&1 || status=$?
	if ((status != code)) || ! grep -qE -e "$pattern" "$work/output"; then
		echo "expected code $code and output like '$pattern', found code $status: bisect $*"
		cat "$work/output"
		failed=1
	fi
}

ids=()
for n in 1 2 3 4; do ids+=("$(commit "good $n" 84 84 'stale_mapping SM4')"); done
echo 'message(FATAL_ERROR "no")' >>"$repo/CMakeLists.txt"
ids+=("$(commit "does not build" 84 84 none)")
sed -i '$d' "$repo/CMakeLists.txt"
ids+=("$(commit "the culprit" 84 84 'stale_tlb D1')")
ids+=("$(commit "found nearby" 84 0 none)")
for n in 8 9 10; do ids+=("$(commit "bad $n" 0 0 none)"); done
first=${ids[0]} last=${ids[9]}
echo changed >>"$repo/answers"
before=$(git -C "$repo" status --short; git -C "$repo" for-each-ref)

# the commit in front of the culprit cannot be judged: both may be it
expect 85 '^  [0-9a-f]+ the culprit' "$first" "$last" "$file"
grep -q 'skip .*does not build' "$work/output" || { echo "expected a commit that is skipped"; failed=1; }
grep -q 'bad .*another schedule' "$work/output" || { echo "expected one found by search"; failed=1; }
# the culprit behind commits that can be judged
git -C "$repo" checkout -q --force -b other "${ids[3]}"
culprit=$(commit "another culprit" 84 0 none)
tip=$(commit "behind it" 0 0 none)
expect 0 "first bad commit: $(git -C "$repo" rev-parse --short "$culprit") another culprit" "$first" "$tip" "$file"
grep -q 'bad .*nearby' "$work/output" || { echo "expected one found at nearby sites"; failed=1; }
git -C "$repo" checkout -q --force master && git -C "$repo" branch -q -D other && echo changed >>"$repo/answers"

# what is wrong is said
expect 1 "git does not know" "$first" nonsense "$file"
expect 1 "comes? before|no ancestor" "$last" "$first" "$file"
expect 1 "which are one" "$first" "$first" "$file"
expect 1 "expected GOOD BAD FILE" "$first" "$last"
expect 1 "can be read" "$first" "$last" "$work/absent.repro"
printf 'repro 1\nexpect    none\n' >"$work/none.repro"
expect 1 "whose commit is looked for" "$first" "$last" "$work/none.repro"
expect 84 "does not give the verdict" "$first" "${ids[3]}" "$file"
expect 84 "gives the verdict .* already" "${ids[7]}" "$last" "$file"
expect 1 "no option" "$first" "$last" "$file" --sechdules 3

# what a killed git left, and half a clone, are no hindrance
touch "$repo/out/bisect/tree/.git/index.lock"
expect 85 '^  [0-9a-f]+ the culprit' "$first" "$last" "$file"
rm "$repo/out/bisect/tree/.git/HEAD"
expect 85 '^  [0-9a-f]+ the culprit' "$first" "$last" "$file"

# variables of a hook must not have us check out in the repository that they name
GIT_DIR="$repo/.git" GIT_WORK_TREE="$repo" expect 85 '^  [0-9a-f]+ the culprit' "$first" "$last" "$file"

# An interrupt is no answer about the commit at which it comes: its search ends early, and says that there is nothing.
git -C "$repo" checkout -q --force -b interrupts "${ids[3]}"
silent=$(commit "silent" 84 84 none)
sed -i "s/^search.*/search*) trap '' INT; kill -INT 0; exit 85 ;;/" "$repo/answers"
git -C "$repo" commit -q -a -m "interrupted in its search"
cut_short=$(git -C "$repo" rev-parse HEAD)
tip=$(commit "behind that" 0 0 none)
git -C "$repo" checkout -q --force master && git -C "$repo" branch -q -D interrupts && echo changed >>"$repo/answers"
# the signal is for the whole group, of which we are no part
for from in "$cut_short" "$silent"; do
	status=0
	setsid --wait bash "$repo/scripts/bisect.sh" bisect "$from" "$tip" "$file" >"$work/output" 2>&1 || status=$?
	if ((status != 85)) || ! grep -q 'interrupted: nothing is decided' "$work/output"; then
		echo "expected code 85 and that bisect was interrupted, found code $status"
		cat "$work/output"
		failed=1
	fi
done

# nothing but out/ was touched
after=$(git -C "$repo" status --short; git -C "$repo" for-each-ref)
[[ $before == "$after" ]] || { echo "the user's repository was changed"; failed=1; }
exit $failed
