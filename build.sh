#!/usr/bin/env bash
# The front door: ./build.sh help lists what it can do.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
out=$root/out
mmurace=$out/bin/mmurace

verbs=(fuzz test build check matrix bench gate overnight report check-ossfuzz help)
ci_rows=(fiber-plain fiber-plain-9 fiber-asan fiber-tsan fiber-msan fiber-gcc fuzz-asan fuzz-tsan afl-asan
	thread-tsan-3 thread-asan-3 thread-plain-9)
default_target=fault_vs_invalidate
default_seconds=60

# Exit codes that mmurace and this script share.
exit_found=81
exit_interrupted=85

usage() {
	cat <<'END'
usage: ./build.sh [VERB [ARGUMENT...]]

  (no verb)                       install what is missing, build, say what to do next
  fuzz [TARGET|all] [SECONDS] [--engine libfuzzer|afl] [--sanitizer address|thread|memory|none]
                                  fuzz (60 seconds a target), then minimise and explain what it finds; an input
                                  that fails does not end it
                                  exit code: 0 nothing found, 81 something found, 85 interrupted
  test [ROW...]                   build the configurations CI builds (or these), run all tests
  build ROW...                    build these configurations, without their tests: rows of fuzz/configs.def
  check                           style: format, layers, function length, orphan rows, banned names
  matrix [ARGUMENT...]            mmurace matrix: does every known bug get found?
  bench [ARGUMENT...]             mmurace bench; with "contract": instructions of verbs, beside handwritten ones
  check-ossfuzz [ENGINE SANITIZER...]
                                  builds as OSS-Fuzz does and checks what it asks for (scripts/verbs/check_ossfuzz.py)
  gate [--base REF] [--budget SECONDS] [-o FOLDER]
                                  is this tree worse than where it comes from? (docs/gate.md)
                                  exit code: 0 pass, 81 regression, 80 cannot judge, 85 interrupted
  overnight, report               not there yet
  help                            this text

Everything is built under out/, one folder a configuration. Then: out/bin/mmurace help
END
}

say() { printf '%s\n' "$*"; }

fail() {
	printf 'build.sh: %s\n' "$*" >&2
	exit 1
}

# near WORD NAME...: " Did you mean: ...?" or nothing
near() {
	local word=$1 names
	shift
	names=$(printf '%s\n' "$@" | awk -v word="$word" -f "$root/scripts/near.awk" | xargs)
	[[ -z $names ]] || printf ' Did you mean: %s?' "$names"
}

source "$root/scripts/packages.sh"
source "$root/scripts/rows.sh"
source "$root/scripts/verbs/fuzz.sh"
source "$root/scripts/verbs/ossfuzz.sh"

# ---- verbs -------------------------------------------------------------------------------------

build_verb() {
	(($#)) || fail "build needs the name of a configuration: $(all_rows | xargs)"
	require_rows "$@"
	install_missing
	build "$@"
}

default_verb() {
	install_missing
	build fiber-plain fiber-asan fuzz-asan
	cat <<END

Built. Next:
  ./build.sh fuzz                 fuzz $default_target for $default_seconds seconds
  ./build.sh test                 run the tests
  out/bin/mmurace help            what the tool can do
END
}

check() {
	local status=0
	install_missing
	cd "$root"
	find src fuzz targets -name '*.[ch]' -print0 2>/dev/null |
		xargs -0r clang-format-19 --style=file --dry-run -Werror || {
		status=1
		say "The formatting differs from .clang-format; clang-format-19 -i FILE mends it."
	}
	python3 scripts/check.py || status=1
	return $status
}

# The ctest tree of all rows: CMake writes one for each row, we join them and add the checks.
write_ctest_tree() {
	local row
	{
		say "add_test([==[check]==] [==[$root/build.sh]==] check)"
		say "add_test([==[check_ossfuzz]==] [==[$root/build.sh]==] check-ossfuzz libfuzzer address)"
		say "add_test([==[check_self_test]==] python3 [==[$root/scripts/check_test.py]==])"
		say "add_test([==[gate_self_test]==] python3 [==[$root/scripts/gate/gate_test.py]==])"
		for row in "$@"; do
			is_engine_row "$row" || say "subdirs([==[$row]==])"
		done
	} >"$out/CTestTestfile.cmake"
}

test_verb() {
	local rows=("$@") row
	[[ ${1-} != kernel ]] || not_there_yet "test kernel"
	((${#rows[@]})) || rows=("${ci_rows[@]}")
	require_rows "${rows[@]}"
	install_missing
	for row in "${rows[@]}"; do
		build_row "$row" all $(is_engine_row "$row" || echo tests)
	done
	install_tool
	write_ctest_tree "${rows[@]}"
	exec ctest --test-dir "$out" --output-on-failure --no-tests=error --no-label-summary -j2
}

gate_verb() {
	[[ " $* " == *" --help "* || " $* " == *" -h "* ]] || install_missing
	PYTHONPATH=$root/scripts exec python3 -B -m gate "$@"
}

not_there_yet() { fail "'$1' is not there yet."; }

tool_verb() {
	install_missing
	build fiber-plain
	[[ "$1 ${2-}" != "bench contract" ]] || build thread-plain-9
	exec "$mmurace" "$@"
}

main() {
	local verb=${1-}
	if [[ -n ${LIB_FUZZING_ENGINE-} && $# == 0 ]]; then
		oss_fuzz_build
		return
	fi
	(($# == 0)) || shift
	case $verb in
	"") default_verb ;;
	fuzz) fuzz_verb "$@" ;;
	test) test_verb "$@" ;;
	build) build_verb "$@" ;;
	check) check ;;
	matrix | bench) tool_verb "$verb" "$@" ;;
	check-ossfuzz) check_ossfuzz_verb "$@" ;;
	gate) gate_verb "$@" ;;
	overnight | report) not_there_yet "$verb" ;;
	help | -h | --help) usage ;;
	*) fail "there is no verb '$verb'.$(near "$verb" "${verbs[@]}") There are: ${verbs[*]}" ;;
	esac
}

main "$@"
