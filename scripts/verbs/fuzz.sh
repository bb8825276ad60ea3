# shellcheck shell=bash
# The verb fuzz: engines over targets, again and again, then triage of what they found.
# build.sh sources this.

source "$root/scripts/verbs/engines.sh"

# Where runs, corpora and findings go.
work=$(realpath -m -- "${MMURACE_WORK:-$out/work}")
findings=$(realpath -m -- "${MMURACE_FINDINGS:-$out/findings}")

# `row` is what is fuzzed, `judge` the row of the command line tool that sees the same.
row='' judge='' engine=libfuzzer sanitizer=address

found=0  # kinds of failures, over all targets
broken=0 # whether an engine ended for no reason of ours

names_in() { find "$root/$1" -maxdepth 1 -name '*.c' ! -name '*_test.c' -printf '%f\n' 2>/dev/null | sed 's/\.c$//' | sort; }

# seed TARGET: the work corpus gets the seeds under the names libFuzzer would give them
seed() {
	local corpus=$work/$1/corpus file
	mkdir -p "$corpus"
	[[ -d $root/corpus/$1 ]] || return 0
	while IFS= read -r -d '' file; do
		cp "$file" "$corpus/$(sha1sum <"$file" | cut -d' ' -f1)"
	done < <(find "$root/corpus/$1" -type f -print0)
}

# artifacts_in DIR: the inputs that made a run fail, NUL-terminated
artifacts_in() {
	find "$1" -maxdepth 1 -type f \( -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' \) -print0
}

# make_run TARGET: creates a folder for a run; sets the global `run`
run=''
make_run() {
	local name nr=0
	name=$work/$1/runs/$(date +%Y%m%d-%H%M%S)
	mkdir -p "$work/$1/runs"
	run=$name
	until mkdir "$run" 2>/dev/null; do
		nr=$((nr + 1))
		((nr < 100)) || fail "$run cannot be created"
		run=$name-$nr
	done
}

# list_kinds TARGET: what was found, how often, in which file, and how to see it again as it is
list_kinds() {
	local kind
	for kind in "${kinds[@]}"; do
		printf '  %6d x %s\n           %s%s %q\n' "${times[$kind]}" "${kind#finding *: }" \
			"${MMURACE_BUG:+MMURACE_BUG=$MMURACE_BUG }" "out/$row/fuzz/$1" "${first[$kind]#"$root/"}"
	done
}

# triage RUN: sorts, minimises and explains what the run found
triage() {
	local status=0
	in_background "$mmurace" triage --config "$judge" "$1" -o "$findings" >"$1/triage" 2>&1 || status=$?
	((status != 1 && status != 80)) || {
		tail -n 5 "$1/triage" >&2
		say "build.sh: mmurace triage failed with code $status; the inputs stay where they are." >&2
	}
}

# fuzz_target TARGET SECONDS
fuzz_target() {
	local target=$1
	make_run "$target"
	seed "$target"
	say "fuzzing $target for $2 seconds in $row${MMURACE_BUG:+ with the bug $MMURACE_BUG} (log: ${run#"$root/"}/log)"
	begin_run "$target" "$run"
	"${engine}_for" "$target" "$2" "$run"
	add_passed_over "$run"
	if ((${#kinds[@]} == 0)); then
		say "$target: nothing found"
		return
	fi
	found=$((found + ${#kinds[@]}))
	say "$target: $(count_failures) failing inputs:"
	list_kinds "$target"
	[[ ! -f $root/fuzz/formats/$target.c ]] || return 0
	if ((interrupted)); then
		printf 'Not minimised yet; do it with:\n  out/bin/mmurace triage --config %s %q -o %q\n' \
			"$judge" "${run#"$root/"}" "${findings#"$root/"}"
	else
		say "Minimising and explaining (log: ${run#"$root/"}/triage)"
		triage "$run"
	fi
}

choose_rows() {
	local short
	case $sanitizer in
	address) short=asan ;;
	thread) short=tsan ;;
	memory) short=msan ;;
	none) short=plain ;;
	*) fail "there is no sanitizer '$sanitizer'.$(near "$sanitizer" address thread memory none) There are: address thread memory none" ;;
	esac
	case $engine in
	libfuzzer) row=fuzz-$short ;;
	afl) row=afl-$short ;;
	*) fail "there is no engine '$engine'.$(near "$engine" libfuzzer afl) There are: libfuzzer afl" ;;
	esac
	judge=fiber-$short
	is_row "$row" || fail "$engine has no configuration with --sanitizer $sanitizer; --engine libfuzzer has all of them."
}

require_bug() {
	local bugs
	[[ -n ${MMURACE_BUG:-} && $MMURACE_BUG != none ]] || return 0
	mapfile -t bugs < <(sed -n 's/^BUG(\([a-z0-9_]*\),.*/\1/p' "$root/src/base/bugs.def")
	printf '%s\n' "${bugs[@]}" | grep -qxF -e "$MMURACE_BUG" ||
		fail "MMURACE_BUG: no bug is named '$MMURACE_BUG'.$(near "$MMURACE_BUG" none "${bugs[@]}") out/bin/mmurace list bugs names them."
}

# What triage has left, or met again, since the file $1 was touched: file, what is violated, and how to see it.
list_findings() {
	local file
	find "$findings" \( -name '*.repro' -o -name meta.json \) -newer "$1" -print 2>/dev/null |
		sed 's/meta\.json$/finding.repro/' | sort -u |
		while IFS= read -r file; do
			printf '  %s: %s\n    out/bin/mmurace replay --config %s %q\n' "${file#"$root/"}" \
				"$(sed -n 's/^expect *//p' "$file")" "$judge" "${file#"$root/"}"
		done
}

# Not the tests of the rows: they take longer than all the rest.
build_parts() {
	build_row "$row"
	build_row "$judge" mmurace
	build_row fiber-plain mmurace $([[ $engine != afl ]] || echo afl_mutator)
	install_tool
}

fuzz_usage() {
	fail "usage: ./build.sh fuzz [TARGET|all] [SECONDS] [--engine libfuzzer|afl] [--sanitizer address|thread|memory|none]"
}

fuzz_verb() {
	local name=$default_target seconds=$default_seconds words=() targets=() formats known target start
	while (($#)); do
		case $1 in
		--engine | --sanitizer)
			(($# > 1)) || fuzz_usage
			[[ $1 == --engine ]] && engine=$2 || sanitizer=$2
			shift
			;;
		--engine=*) engine=${1#*=} ;;
		--sanitizer=*) sanitizer=${1#*=} ;;
		-*) fail "fuzz has no option '$1'.$(near "${1%%=*}" --engine --sanitizer) There are: --engine --sanitizer" ;;
		*) words+=("$1") ;;
		esac
		shift
	done
	if ((${#words[@]} == 1)) && [[ ${words[0]} =~ ^[0-9]+$ ]]; then
		seconds=${words[0]}
	else
		name=${words[0]-$name}
		seconds=${words[1]-$seconds}
	fi
	((${#words[@]} <= 2)) && [[ $seconds =~ ^[0-9]+$ ]] && ((10#$seconds > 0)) || fuzz_usage
	seconds=$((10#$seconds))
	choose_rows
	require_bug

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
	build_parts
	cd "$root"
	mkdir -p "$work" "$findings"
	start=$(mktemp "$work/began.XXXXXX")
	trap interrupt INT TERM
	for target in "${targets[@]}"; do
		((interrupted)) || fuzz_target "$target" "$seconds"
	done
	end_verb "$start"
}

# end_verb FILE: FILE is as old as the verb. Does not return.
end_verb() {
	local list
	list=$(list_findings "$1")
	if ((found > 0)); then
		say "Found: $found kind$( ((found == 1)) || echo s) of failures."
	else
		say "Nothing found."
	fi
	[[ -z $list ]] || printf 'Reproducers, explained in the explain.txt beside them:\n%s\n' "$list"
	rm -f "$1"
	if ((interrupted)); then
		say "Interrupted."
		exit $exit_interrupted
	fi
	((broken == 0)) || exit 1
	((found == 0)) || exit $exit_found
	exit 0
}
