#!/usr/bin/env bash
# Help, man page and completion say what the tables say: every verb, every option.
set -uo pipefail

: "${MMURACE:?path of the mmurace binary}"
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/../../scripts/completion.bash"
failed=0

complain() {
	echo "$1"
	failed=1
}

# completes WANTED WORD...: the last word, completed, may become WANTED; "!x" must not
completes() {
	local wanted=$1
	shift
	COMP_WORDS=("$MMURACE" "$@") COMP_CWORD=$# COMPREPLY=()
	_mmurace "$MMURACE" "${!#}"
	if [[ $wanted == !* ]]; then
		! grep -qxF -e "${wanted#!}" <<<"$(printf '%s\n' "${COMPREPLY[@]}")" || complain "offered ${wanted#!}: $*"
	else
		grep -qxF -e "$wanted" <<<"$(printf '%s\n' "${COMPREPLY[@]}")" || complain "expected $wanted: $*; found ${COMPREPLY[*]}"
	fi
}

completes replay re
completes '!run' re
completes everything run ev
completes '--bug=' run --b
completes '!--bug=' explain --b
completes zap_skips_flush run everything --bug zap_sk
completes zap_skips_flush run everything --bug = zap_sk
completes fault_precheck compare fault
completes bugs list b
completes minimise help mini
completes walk run everything --strategy wa
(cd "$here" && completes completion_test.sh replay compl && exit $failed) || failed=1
(cd "$here" && completes completion_test.sh run everything --save compl && exit $failed) || failed=1

# ---- the man page is the help, and the help is complete
page=$(dirname "$(dirname "$MMURACE")")/share/man/man1/mmurace.1
all=$("$MMURACE" help --all)
[[ -f $page ]] || complain "there is no man page: $page"
man=$(sed 's/\\-/-/g' "$page" 2>/dev/null)
while read -r verb options; do
	grep -q "^mmurace $verb " <<<"$all" || complain "help --all lacks $verb"
	grep -q "mmurace $verb " <<<"$man" || complain "the man page lacks $verb"
	for option in $options; do
		grep -q -e "$option" <<<"$all" || complain "help --all lacks $verb $option"
		grep -qF -e "${option%=}" <<<"$man" || complain "the man page lacks $option"
	done
	case $verb in
	stress) continue ;; # another binary's
	esac
	grep -q "^Usage: mmurace $verb" <<<"$("$MMURACE" "$verb" --help)" || complain "$verb --help does not say how it is used"
	"$MMURACE" help "$verb" | cmp -s - <("$MMURACE" "$verb" --help) || complain "help $verb differs from $verb --help"
done < <("$MMURACE" help --words)
exit $failed
