#!/usr/bin/env bash
# mmurace bisect GOOD BAD FILE: the commit from which on a reproducer's verdict shows. git bisect does the search, in
# a clone of its own under out/bisect: the working tree, its branches and its builds are left alone.
#
#   bisect.sh bisect GOOD BAD FILE [--schedules N] [--config ROW]
#   bisect.sh step                   what git bisect runs, at a commit that is checked out
#
# A commit is bad when it gives the verdict that the file expects: the same oracle, class and sites. Where the
# schedule cannot be followed any more, nearby sites are tried, then other schedules of the same program, of
# which oracle and class must agree. What does not build, or cannot read the file, is skipped.
set -euo pipefail

exit_usage=1 exit_different=84 exit_unfinished=85
# what git bisect wants to hear
good=0 bad=1 skip=125

fail() {
	printf 'mmurace: bisect: %s\n' "$1" >&2
	exit "${2-$exit_usage}"
}

# A build or a search that is interrupted ends like one that fails, and would be an answer about its commit. The other
# half gets a code with which git bisect gives up.
interrupted() {
	trap '' INT TERM
	# it may come where everything goes to the log
	exec 2>&4
	[[ $1 == step ]] && exit $((128 + 2))
	fail "interrupted: nothing is decided" "$exit_unfinished"
}

# ---- one commit --------------------------------------------------------------------------------

# The paths are given by the other half in the environment; the working folder is the clone.
compile() {
	{ [[ -f out/$BISECT_ROW/build.ninja ]] || cmake -S . -B "out/$BISECT_ROW" -G Ninja -DROW="$BISECT_ROW"; } &&
		cmake --build "out/$BISECT_ROW" --target mmurace
}

# asked VERB...: exit code of mmurace of this commit; what it says goes to the log
asked() {
	local status=0
	printf '\n+ mmurace %s\n' "$*" >>"$BISECT_LOG"
	"out/$BISECT_ROW/bin/mmurace" "$@" >"$BISECT_LOG.last" 2>&1 || status=$?
	cat "$BISECT_LOG.last" >>"$BISECT_LOG"
	return $status
}

# Sets the globals `answer` and `how`.
judge() {
	local status=0
	answer=$skip
	how="does not build"
	compile >>"$BISECT_LOG" 2>&1 || return 0
	asked replay "$BISECT_FILE" || status=$?
	how="its schedule"
	case $status in
	0) answer=$bad && return ;;
	"$exit_different") ;;
	1) how="cannot read the file: $(grep -m1 . "$BISECT_LOG.last" || true)" && return ;;
	*) how="replay ended with code $status" && return ;;
	esac
	status=0
	asked replay --nearby "$BISECT_FILE" || status=$?
	how="its schedule at nearby sites"
	((status != 0)) || { answer=$bad && return; }
	status=0
	asked search "$BISECT_FILE" --schedules "$BISECT_SCHEDULES" --json || status=$?
	how="another schedule"
	if grep -qF -e "\"$BISECT_VERDICT\"" "$BISECT_LOG.last"; then
		answer=$bad
	elif ((status == 1 || status == 80)); then
		how="search ended with code $status"
	else
		answer=$good
		how="not in $BISECT_SCHEDULES schedules of its program"
	fi
}

step() {
	local answer how
	: >>"$BISECT_LOG"
	printf '\n==== %s\n' "$(git log -1 --format='%h %s')" >>"$BISECT_LOG"
	judge
	case $answer in
	"$good") printf '  good  %s  (%s)\n' "$(git log -1 --format='%h %s')" "$how" ;;
	"$bad") printf '  bad   %s  (%s)\n' "$(git log -1 --format='%h %s')" "$how" ;;
	*) printf '  skip  %s  (%s)\n' "$(git log -1 --format='%h %s')" "$how" ;;
	esac >&3
	return "$answer"
}

# ---- all of them -------------------------------------------------------------------------------

commit_of() {
	git -C "$root" rev-parse --verify --quiet "$1^{commit}" ||
		fail "expected a commit, found '$1', which git does not know here"
}

parse() {
	local words=()
	BISECT_ROW=fiber-plain
	BISECT_SCHEDULES=20000
	while (($#)); do
		case $1 in
		--schedules | --config)
			(($# > 1)) || fail "$1 needs a value"
			[[ $1 == --config ]] && BISECT_ROW=$2 || BISECT_SCHEDULES=$2
			shift
			;;
		--schedules=*) BISECT_SCHEDULES=${1#*=} ;;
		--config=*) BISECT_ROW=${1#*=} ;;
		-*) fail "has no option $1. It has: --schedules --config (mmurace help bisect)" ;;
		*) words+=("$1") ;;
		esac
		shift
	done
	((${#words[@]} == 3)) || fail "expected GOOD BAD FILE, found ${#words[@]} arguments"
	[[ $BISECT_SCHEDULES =~ ^[1-9][0-9]*$ ]] || fail "--schedules: expected a positive number, found '$BISECT_SCHEDULES'"
	given_good=${words[0]} given_bad=${words[1]} given_file=${words[2]}
}

# The verdict is oracle and class of the line `expect`.
read_file() {
	[[ -f $given_file && -r $given_file ]] || fail "$given_file: expected a reproducer that can be read"
	BISECT_VERDICT=$(awk '$1 == "expect" { print $2 " " $3; exit }' "$given_file")
	[[ -n $BISECT_VERDICT && $BISECT_VERDICT != none* ]] ||
		fail "$given_file: expected a line 'expect ORACLE CLASS', whose commit is looked for; found ${BISECT_VERDICT:-none}"
}

fetch() { git -C "$1" fetch -q "$root" "$2" "$3" 2>/dev/null; }

# A clone shares the objects: only the files of a commit are written. Half a clone, or one of a repository that has moved,
# has no objects; what is left of its builds is of no use either.
clone() {
	local tree=$1
	# Nobody else is at work here: the locks are those of a git that was killed.
	rm -f "$tree"/.git/*.lock
	if ! [[ -d $tree/.git ]] || ! fetch "$@"; then
		rm -rf "$tree"
		git clone -q --shared --no-checkout "$root" "$tree" || fail "cannot clone into $tree"
		fetch "$@" || fail "cannot fetch $given_good and $given_bad into $tree"
	fi
	git -C "$tree" bisect reset >/dev/null 2>&1 || true
}

# ends_as EXPECTED COMMIT NAME: the two ends must be what the user says they are
ends_as() {
	local status=0
	git checkout -q --force "$2"
	step || status=$?
	((status == $1)) && return
	((status != skip)) || fail "$3 cannot be judged (the log is $BISECT_LOG)" "$exit_unfinished"
	case $1 in
	"$good") fail "$3 gives the verdict $BISECT_VERDICT already: expected a commit that does not" "$exit_different" ;;
	*) fail "$3 does not give the verdict $BISECT_VERDICT: expected a commit that does" "$exit_different" ;;
	esac
}

report() {
	local first
	first=$(git bisect log | sed -n 's/^# first bad commit: \[\([0-9a-f]*\)\].*/\1/p')
	if [[ -n $first ]]; then
		printf '\nfirst bad commit: '
		git log -1 --format='%h %s%n  %an, %ad' --date=short "$first"
		git diff-tree --no-commit-id --stat -r --root "$first" | sed 's/^/  /'
		return
	fi
	printf '\nnot decided: what is left could not be judged. The first bad commit is one of\n'
	git bisect log | sed -n 's/^# possible first bad commit: \[\([0-9a-f]*\)\].*/\1/p' |
		xargs -r git log --no-walk=unsorted --format='  %h %s'
	return "$exit_unfinished"
}

bisect() {
	local tree commit_good commit_bad
	parse "$@"
	# A hook's variables would send every git below to the user's repository, and checkout --force would have its files.
	# shellcheck disable=SC2046
	unset $(git rev-parse --local-env-vars)
	root=$(git -C "$here" rev-parse --show-toplevel 2>/dev/null) || fail "expected a git repository around $here"
	read_file
	commit_good=$(commit_of "$given_good")
	commit_bad=$(commit_of "$given_bad")
	git -C "$root" merge-base --is-ancestor "$commit_good" "$commit_bad" ||
		fail "expected $given_good to come before $given_bad; it is no ancestor of it"
	[[ $commit_good != "$commit_bad" ]] || fail "expected two commits, found $given_good and $given_bad, which are one"
	BISECT_FILE=$(realpath "$given_file")
	mkdir -p "$root/out/bisect"
	exec 9>"$root/out/bisect/lock"
	flock -n 9 || fail "another bisect is at work in $root/out/bisect"
	# So would a clone that git does not take for one: git looks for a repository in the folders above.
	export GIT_CEILING_DIRECTORIES=$root/out/bisect
	tree=$root/out/bisect/tree
	BISECT_LOG=$root/out/bisect/log
	: >"$BISECT_LOG"
	export BISECT_ROW BISECT_SCHEDULES BISECT_VERDICT BISECT_FILE BISECT_LOG
	clone "$tree" "$commit_good" "$commit_bad"
	cd "$tree"
	exec 3>&1
	printf '%s: %s, %s commits\n' "$given_file" "$BISECT_VERDICT" "$(git rev-list --count "$commit_good..$commit_bad")"
	ends_as "$bad" "$commit_bad" "$given_bad"
	ends_as "$good" "$commit_good" "$given_good"
	git bisect start "$commit_bad" "$commit_good" >>"$BISECT_LOG" 2>&1
	git bisect run bash "$self" step >>"$BISECT_LOG" 2>&1 || true
	report
}

self=$(realpath "${BASH_SOURCE[0]}")
here=$(dirname "$self")
exec 4>&2
trap 'interrupted "${1-}"' INT TERM
case ${1-} in
bisect) shift && bisect "$@" ;;
step) step || exit $? ;;
*) fail "is called by mmurace" ;;
esac
