#!/usr/bin/env bash
# The front door: ./build.sh help lists what it can do.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
out=$root/out
mmurace=$out/bin/mmurace

verbs=(fuzz test build check matrix bench gate overnight report check-ossfuzz help)
ci_rows=(fiber-plain fiber-plain-9 fiber-asan fiber-tsan fiber-msan fiber-gcc fuzz-asan fuzz-tsan
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
  fuzz [TARGET|all] [SECONDS]     fuzz (60 seconds a target), then minimise and explain what it finds
                                  exit code: 0 nothing found, 81 something found, 85 interrupted
  test [ROW...]                   build the configurations CI builds (or these), run all tests
  build ROW...                    build these configurations: rows of fuzz/configs.def
  check                           style: format, layers, function length, orphan rows, banned names
  matrix [ARGUMENT...]            mmurace matrix: does every known bug get found?
  bench [ARGUMENT...]             mmurace bench; with "contract": instructions of verbs, beside handwritten ones
  gate, overnight, report, check-ossfuzz      not there yet
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

# ---- packages ----------------------------------------------------------------------------------

missing_packages() {
	local package
	while read -r package; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
			say "$package"
	done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$root/scripts/packages.txt")
}

install_missing() {
	local packages as_root=()
	type dpkg-query >/dev/null 2>&1 || {
		say "This is not a Debian system: install the likes of scripts/packages.txt yourself."
		return
	}
	mapfile -t packages < <(missing_packages)
	((${#packages[@]})) || return 0
	if ((EUID != 0)); then
		sudo -n true 2>/dev/null || { [[ -t 0 ]] && type sudo >/dev/null 2>&1; } ||
			fail "packages are missing and this is neither root nor can it use sudo. Run as root:
  apt-get update && apt-get install --no-install-recommends ${packages[*]}"
		as_root=(sudo)
	fi
	say "Installing the Debian packages that are missing: ${packages[*]}"
	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -q update ||
		say "apt-get update failed; trying with the package lists that are here"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y \
		install --no-install-recommends "${packages[@]}" ||
		fail "apt-get could not install: ${packages[*]}"
}

# ---- building ----------------------------------------------------------------------------------

all_rows() { sed -n 's/^CONFIG([^,]*, "\([^"]*\)".*/\1/p' "$root/fuzz/configs.def"; }

is_row() { all_rows | grep -qxF -e "$1"; }

is_engine_row() {
	! sed -n 's/^CONFIG([^,]*, "\([^"]*\)", .*, "none", [0-9]*)$/\1/p' "$root/fuzz/configs.def" |
		grep -qxF -e "$1"
}

require_rows() {
	local row
	for row in "$@"; do
		is_row "$row" || fail "no configuration is named '$row'.$(near "$row" $(all_rows))" \
			"There are: $(all_rows | xargs)"
	done
}

configure_and_compile() {
	[[ -f $out/$1/build.ninja ]] || cmake -S "$root" -B "$out/$1" -G Ninja -DROW="$1" || return
	cmake --build "$out/$1" --parallel "$(nproc)"
}

# One builder at a time in a folder: ninja does not guard its own.
build_row() {
	local row=$1 log=$out/$1/build.log
	mkdir -p "$out/$row"
	say "building $row"
	if ! (
		flock 9
		configure_and_compile "$row" >"$log" 2>&1
	) 9>"$out/$row/lock"; then
		cat "$log" >&2
		fail "$row did not build (the log is out/$row/build.log)"
	fi
}

# build ROW...: leaves out/<row>/ and the dispatcher out/bin/mmurace
build() {
	local row
	require_rows "$@"
	for row in "$@"; do
		build_row "$row"
	done
	mkdir -p "$out/bin"
	install -m 755 "$root/scripts/mmurace.sh" "$mmurace"
}

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

# ---- check and test ----------------------------------------------------------------------------

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
		say "add_test([==[check_self_test]==] python3 [==[$root/scripts/check_test.py]==])"
		for row in "$@"; do
			is_engine_row "$row" || say "subdirs([==[$row]==])"
		done
	} >"$out/CTestTestfile.cmake"
}

test_verb() {
	local rows=("$@")
	[[ ${1-} != kernel ]] || not_there_yet "test kernel"
	((${#rows[@]})) || rows=("${ci_rows[@]}")
	require_rows "${rows[@]}"
	install_missing
	build "${rows[@]}"
	write_ctest_tree "${rows[@]}"
	exec ctest --test-dir "$out" --output-on-failure --no-tests=error --no-label-summary -j2
}

# ---- fuzz --------------------------------------------------------------------------------------

fuzzer=0       # pid of the running fuzzer, 0 if none
interrupted=0

interrupt() {
	interrupted=1
	((fuzzer == 0)) || kill -TERM "$fuzzer" 2>/dev/null || true
}

names_in() { find "$root/$1" -maxdepth 1 -name '*.c' ! -name '*_test.c' -printf '%f\n' 2>/dev/null | sed 's/\.c$//' | sort; }

# wait_for PID: waits although signals interrupt wait; returns the exit code
wait_for() {
	local status
	while :; do
		status=0
		wait "$1" || status=$?
		kill -0 "$1" 2>/dev/null || return "$status"
	done
}

# seed TARGET: the work corpus gets the seeds under the names libFuzzer would give them
seed() {
	local work=$out/work/$1/corpus file
	mkdir -p "$work"
	[[ -d $root/corpus/$1 ]] || return 0
	while IFS= read -r -d '' file; do
		cp "$file" "$work/$(sha1sum <"$file" | cut -d' ' -f1)"
	done < <(find "$root/corpus/$1" -type f -print0)
}

# artifacts_in DIR: the inputs that made a run fail, NUL-terminated
artifacts_in() {
	find "$1" -maxdepth 1 -type f \( -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' \) -print0
}

count_artifacts() { artifacts_in "$1" | tr -cd '\0' | wc -c; }

# How often the fuzzer wrote an artifact; the same one twice counts twice.
count_written() { grep -cs 'Test unit written to' "$1/log" || true; }

# An input that fails must leave the corpus, or the next run would end with it at once.
drop_from_corpus() {
	local file
	while IFS= read -r -d '' file; do
		rm -f "$2/${file##*-}"
	done < <(artifacts_in "$1")
}

# fuzz_for TARGET SECONDS RUN: fuzzes, and starts again after each failure, until the time is up
fuzz_for() {
	local target=$1 run=$3 corpus=$out/work/$1/corpus deadline=$((SECONDS + $2))
	local left status before
	while left=$((deadline - SECONDS)) && ((left > 0 && !interrupted)); do
		before=$(count_written "$run")
		"$out/fuzz-asan/fuzz/$target" -max_total_time="$left" -artifact_prefix="$run/" \
			-timeout=25 -report_slow_units=1000000 "$corpus" >>"$run/log" 2>&1 &
		fuzzer=$!
		status=0
		wait_for "$fuzzer" || status=$?
		fuzzer=0
		((status != 0 && !interrupted)) || break
		(($(count_written "$run") > before)) || {
			tail -n 20 "$run/log" >&2
			fail "the fuzzer of $target ended with code $status and left no input (log: $run/log)"
		}
		drop_from_corpus "$run" "$corpus"
	done
}

# triage TARGET RUN: minimises and explains what the run found
triage() {
	local target=$1 run=$2 dir=$out/findings/$1 artifacts file status=0
	mapfile -d '' artifacts < <(artifacts_in "$run")
	if [[ -f $root/fuzz/formats/$target.c ]]; then
		say "$target is a target for a format; run an input again with:"
		printf '  out/fiber-asan/fuzz/%s %q\n' "$target" "${artifacts[@]#"$root/"}"
		return
	fi
	mkdir -p "$dir"
	touch "$run/triage"
	say "Minimising and explaining:"
	"$mmurace" triage --config fiber-asan "${artifacts[@]}" --target "$target" -o "$dir" || status=$?
	((status != 1 && status != 80)) ||
		say "build.sh: mmurace triage failed with code $status; the inputs stay where they are." >&2
	((!interrupted)) || return 0
	find "$dir" -name '*.repro' -newer "$run/triage" -print0 | sort -z |
		while IFS= read -r -d '' file; do
			printf '  %s, explained in %s; replay it with:\n    out/bin/mmurace replay %q\n' \
				"${file#"$root/"}" "$(basename "${file%.repro}").txt" "${file#"$root/"}"
		done
}

# fuzz_target TARGET SECONDS: counts what it found in the global `found`
fuzz_target() {
	local target=$1 run=$out/work/$1/runs/$(date +%Y%m%d-%H%M%S) count
	mkdir -p "$run"
	seed "$target"
	say "fuzzing $target for $2 seconds${MMURACE_BUG:+ with the bug $MMURACE_BUG} (log: ${run#"$root/"}/log)"
	fuzz_for "$target" "$2" "$run"
	count=$(count_artifacts "$run")
	if ((count == 0)); then
		say "$target: nothing found"
		return
	fi
	found=$((found + count))
	say "$target: $count failing inputs in ${run#"$root/"}"
	if ((interrupted)); then
		printf 'Not minimised yet; do it with:\n  out/bin/mmurace triage --config fiber-asan %q/*-* --target %s -o %q\n' \
			"${run#"$root/"}" "$target" "out/findings/$target"
	else
		triage "$target" "$run"
	fi
}

fuzz_verb() {
	local name=$default_target seconds=$default_seconds targets=() formats known target found=0
	if (($# == 1)) && [[ $1 =~ ^[0-9]+$ ]]; then
		seconds=$1
	else
		name=${1-$name}
		seconds=${2-$seconds}
	fi
	(($# <= 2)) && [[ $seconds =~ ^[0-9]+$ ]] && ((10#$seconds > 0)) ||
		fail "usage: ./build.sh fuzz [TARGET|all] [SECONDS]"
	seconds=$((10#$seconds))

	mapfile -t targets < <(names_in targets)
	mapfile -t formats < <(names_in fuzz/formats)
	known=("${targets[@]}" "${formats[@]}")
	if [[ $name == all ]]; then
		# canary carries a bug for ever
		mapfile -t targets < <(printf '%s\n' "${known[@]}" | grep -vx canary)
	else
		printf '%s\n' "${known[@]}" | grep -qxF -e "$name" ||
			fail "no target is named '$name'.$(near "$name" all "${known[@]}") There are: ${known[*]}"
		targets=("$name")
	fi

	install_missing
	build fuzz-asan fiber-plain fiber-asan
	cd "$root"
	trap interrupt INT TERM
	for target in "${targets[@]}"; do
		((interrupted)) || fuzz_target "$target" "$seconds"
	done
	if ((interrupted)); then
		say "Interrupted: $found failing inputs so far."
		exit $exit_interrupted
	fi
	if ((found > 0)); then
		say "Found: $found failing inputs; reproducers and explanations are in out/findings/"
		exit $exit_found
	fi
	say "Nothing found."
}

# ---- the rest ----------------------------------------------------------------------------------

not_there_yet() { fail "'$1' is not there yet."; }

tool_verb() {
	install_missing
	build fiber-plain
	[[ "$1 ${2-}" != "bench contract" ]] || build thread-plain-9
	exec "$mmurace" "$@"
}

main() {
	local verb=${1-}
	# An OSS-Fuzz build (engine, compilers and flags from the environment) will start here.
	[[ -z ${LIB_FUZZING_ENGINE-} ]] || not_there_yet "building with LIB_FUZZING_ENGINE"
	(($# == 0)) || shift
	case $verb in
	"") default_verb ;;
	fuzz) fuzz_verb "$@" ;;
	test) test_verb "$@" ;;
	build) build_verb "$@" ;;
	check) check ;;
	matrix | bench) tool_verb "$verb" "$@" ;;
	gate | overnight | report | check-ossfuzz) not_there_yet "$verb" ;;
	help | -h | --help) usage ;;
	*) fail "there is no verb '$verb'.$(near "$verb" "${verbs[@]}") There are: ${verbs[*]}" ;;
	esac
}

main "$@"
