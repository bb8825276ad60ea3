# shellcheck shell=bash
# Engines of the verb fuzz: running one over one target until its time is up, and what it leaves: a run, as
# docs/findings.md describes it. fuzz.sh sources this.

child=0        # pid of what runs on our behalf, 0 if nothing does
interrupted=0  # how often

# The first interrupt asks what runs to end, so that nothing is lost; a further one ends it.
interrupt() {
	interrupted=$((interrupted + 1))
	((child == 0)) || kill -"$( ((interrupted > 1)) && echo KILL || echo TERM)" "$child" 2>/dev/null || true
}

# in_background COMMAND...: runs it such that interrupts are heard meanwhile; returns its exit code
in_background() {
	local status
	"$@" &
	child=$!
	while :; do
		status=0
		wait "$child" || status=$?
		kill -0 "$child" 2>/dev/null || break
	done
	child=0
	return "$status"
}

# ---- the run -------------------------------------------------------------------------------------
#
# Globals: what was found in the run so far.
declare -A times=() first=() # by kind of failure: how often, and the artifact seen first
kinds=()                     # in the order of their first
said=0                       # SECONDS when the screen was told of the count last
began=0                      # microseconds
executions=0                 # of engines that have ended

# Of a kind of failure: so many artifacts are kept, and an oracle's verdict is passed over from so many on.
artifacts_kept=10
known_from=3

now_us() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

# begin_run TARGET RUN: the first line of run.jsonl, and nothing found yet
begin_run() {
	local bug=${MMURACE_BUG:-} commit compiler
	times=() first=() kinds=() said=$SECONDS executions=0
	began=$(now_us)
	[[ -n $bug || ! -f $root/targets/$1.c ]] ||
		bug=$(sed -n 's/.*\.bug = BUG_\([a-z0-9_]*\),.*/\1/p' "$root/targets/$1.c")
	commit=$(git -C "$root" describe --always --dirty --abbrev=12 '--exclude=*' 2>/dev/null) || commit=''
	compiler=$("$(sed -n "s/^CONFIG([^,]*, \"$row\", \"[^\"]*\", \"\([^\"]*\)\".*/\1/p" "$root/fuzz/configs.def")" \
		--version 2>/dev/null | sed -n '1s/.*\(clang version [0-9.]*\).*/\1/p') || compiler=''
	printf '{"run":1,"target":"%s","bug":"%s","engine":"%s","sanitizer":"%s"%s%s}\n' "$1" "${bug:-none}" "$engine" \
		"$sanitizer" "${commit:+,\"commit\":\"$commit\"}" "${compiler:+,\"compiler\":\"$compiler\"}" >"$2/run.jsonl"
}

# kind_of FILE: what an engine's output says of the failure, in one line
kind_of() {
	sed -n -e 's/^mmurace: [^:]*: \(finding [0-9a-f]*: .*\)/\1/p' -e 's/^mmurace: \(framework bug: .*\)/\1/p' "$1" |
		head -n 1 | grep . ||
		sed -n '/^SUMMARY: /{s/^SUMMARY: //; s/ (BuildId:.*//; s/([^ ]*\/\([^ /]*+0x[0-9a-f]*\))/(\1)/; p}' "$1" |
		head -n 1 | grep . || printf 'a failure without a word\n'
}

# took TARGET RUN ARTIFACT MILLISECONDS EXECUTIONS KIND: an artifact was found. Of what is known well only the number grows.
took() {
	local target=$1 run=$2 artifact=$3 kind=$6 time executed='' nr
	nr=$((${times[$kind]:-0} + 1)) # kinds hold brackets: no subscripts in arithmetic
	times[$kind]=$nr
	if ((nr == 1)); then
		kinds+=("$kind")
		first[$kind]=$artifact
		say "$target: $(date +%H:%M:%S): ${kind#finding *: } (it goes on)"
	elif ((SECONDS - said >= 60)); then
		say "$target: $(date +%H:%M:%S): $(count_failures) failing inputs so far, of ${#kinds[@]} kinds; it goes on"
		said=$SECONDS
	fi
	if ((nr > artifacts_kept)); then
		rm -f "$artifact"
		return
	fi
	if ((nr == known_from)) && [[ $kind == finding\ * ]]; then
		printf '%s\n' "${kind#finding }" | sed 's/: / /' >>"$run/known"
	fi
	printf -v time '%d.%03d' $(($4 / 1000)) $(($4 % 1000))
	[[ -z $5 ]] || executed=",\"executions\":$5"
	printf '{"artifact":"%s","seconds":%s%s}\n' "${artifact##*/}" "$time" "$executed" >>"$run/run.jsonl"
}

count_failures() {
	local sum=0 kind
	for kind in "${kinds[@]}"; do
		sum=$((sum + ${times[$kind]}))
	done
	printf '%s' "$sum"
}

# add_passed_over RUN: findings that the engine has passed over are counted by itself
add_passed_over() {
	local kind number passed
	for kind in "${kinds[@]}"; do
		[[ $kind == finding\ * ]] || continue
		number=${kind#finding }
		passed=$(sed -n "s/^mmurace: finding ${number%%:*}: met \([0-9]*\) times more$/\1/p" "$1/log" |
			awk '{ sum += $1 } END { print sum + 0 }')
		times[$kind]=$((${times[$kind]} + passed))
	done
}

# ---- libFuzzer -----------------------------------------------------------------------------------

# executed_in FILE: executions that libFuzzer's output tells of: the sum at its end, else the last line of progress
executed_in() {
	awk '/^stat::number_of_executed_units:/ { sum = $2 } /^#[0-9]+/ { last = substr($1, 2) + 0 }
		END { print sum ? sum : last + 0 }' "$1"
}

# libfuzzer_once TARGET SECONDS RUN ARGUMENT...
libfuzzer_once() {
	local target=$1 seconds=$2 run=$3
	shift 3
	MMURACE_KNOWN=$run/known exec "$out/$row/fuzz/$target" -max_total_time="$seconds" -len_control=0 \
		-artifact_prefix="$run/" -timeout=25 -report_slow_units=1000000 -print_final_stats=1 "$@" >>"$run/log" 2>&1
}

# What is found often must not cost a whole corpus each time: so many starts read all of it, those behind so many inputs.
whole_starts=10
sample_inputs=200

# sample RUN CORPUS: sets the global `inputs` to the arguments that have libFuzzer read some of the corpus
inputs=()
sample() {
	mkdir -p "$1/new"
	find "$1/new" -type f -exec mv -t "$2" {} +
	find "$2" -type f | shuf -n "$sample_inputs" | paste -sd, >"$1/sample"
	inputs=("-seed_inputs=@$1/sample" "$1/new")
}

# libfuzzer_for TARGET SECONDS RUN: fuzzes, and starts again after each failure, until the time is up
libfuzzer_for() {
	local target=$1 run=$3 corpus=$work/$1/corpus deadline=$((SECONDS + $2))
	local left status size artifact starts=0
	: >>"$run/log"
	: >>"$run/known"
	inputs=("$corpus")
	while left=$((deadline - SECONDS)) && ((left > 0 && !interrupted)); do
		starts=$((starts + 1))
		((starts <= whole_starts)) || sample "$run" "$corpus"
		size=$(stat -c %s "$run/log")
		status=0
		in_background libfuzzer_once "$target" "$left" "$run" "${inputs[@]}" || status=$?
		tail -c "+$((size + 1))" "$run/log" >"$run/last"
		executions=$((executions + $(executed_in "$run/last")))
		((status != 0)) || break
		artifact=$(sed -n 's/.*Test unit written to //p' "$run/last" | tail -n 1)
		if [[ ! -f $artifact ]]; then
			((interrupted)) || went_wrong "the fuzzer of $target" "$status" "$run"
			break
		fi
		# An input that fails must leave the corpus, or the next run would end with it at once.
		rm -f "$corpus/${artifact##*-}"
		took "$target" "$run" "$artifact" $((($(now_us) - began) / 1000)) "$executions" "$(kind_of "$run/last")"
	done
	[[ ! -d $run/new ]] || sample "$run" "$corpus"
	rm -rf "$run/last" "$run/new" "$run/sample"
}

# went_wrong WHO CODE RUN: an engine ended for no reason of ours
went_wrong() {
	tail -n 20 "$3/log" >&2
	say "build.sh: $1 ended with code $2 and left no input (log: ${3#"$root/"}/log)" >&2
	broken=1
}

# ---- afl++ ---------------------------------------------------------------------------------------

# afl_once TARGET SECONDS RUN
afl_once() {
	local environment
	environment=(AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1
		TSAN_OPTIONS=abort_on_error=1) # an exit code is no crash to afl-fuzz
	# The library knows programs; texts and formats are bytes.
	[[ -f $root/fuzz/formats/$1.c ]] ||
		environment+=(AFL_CUSTOM_MUTATOR_LIBRARY="$out/fiber-plain/lib/afl_mutator.so" MMURACE_TARGET="$1")
	exec env "${environment[@]}" afl-fuzz -i "$3/seeds" -o "$3/afl" -V "$2" -m none -t 10000 -- \
		"$out/$row/fuzz/$1" >>"$3/log" 2>&1
}

# afl_for TARGET SECONDS RUN: one afl-fuzz, which goes on after a failure by itself. What it has found goes where
# libFuzzer's would, under such names.
afl_for() {
	local target=$1 run=$3 status=0
	mkdir -p "$run/seeds"
	touch "$run/taken"
	cp -r "$work/$target/corpus/." "$run/seeds/"
	head -c 16 /dev/zero >"$run/seeds/nothing"
	afl_once "$target" "$2" "$run" &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		sleep 1
		take_afl_findings "$target" "$run"
	done
	wait "$child" || status=$?
	child=0
	take_afl_findings "$target" "$run"
	if ((status != 0 && !interrupted)); then
		# It does not begin where all seeds fail.
		((${#kinds[@]})) || take_failing_seeds "$target" "$run"
		((${#kinds[@]})) || went_wrong "afl-fuzz of $target" "$status" "$run"
	fi
	[[ ! -f $run/afl/default/fuzzer_stats ]] ||
		sed -n 's/^\(execs_done\|stability\|corpus_count\) *: */\1 /p' "$run/afl/default/fuzzer_stats" |
		xargs -r printf '  %s %s, %s %s, %s %s\n'
}

# take_afl_findings TARGET RUN: what is new among the failing inputs of afl-fuzz becomes an artifact of the run.
take_afl_findings() {
	local run=$2 file
	[[ -d $run/afl/default ]] || return 0
	touch "$run/taking"
	while IFS= read -r -d '' file; do
		take_afl_finding "$1" "$run" "$file"
	done < <(find "$run/afl/default" -path '*/id:*' \( -path '*/crashes/*' -o -path '*/hangs/*' \) \
		-newer "$run/taken" -print0)
	mv "$run/taking" "$run/taken"
}

take_failing_seeds() {
	local file
	while IFS= read -r -d '' file; do
		run_alone "$1" "$file" "$2/last" || take_afl_finding "$1" "$2" "$file"
	done < <(find "$2/seeds" -type f -print0)
}

# run_alone TARGET FILE LOG: the target's exit code. The shell has to say nothing of how it ended.
run_alone() {
	{ (timeout 30 "$out/$row/fuzz/$1" "$2" >"$3" 2>&1); } 2>/dev/null
}

# take_afl_finding TARGET RUN FILE
take_afl_finding() {
	local run=$2 file=$3 name artifact milliseconds executed status=0
	name=$(sha1sum <"$file" | cut -d' ' -f1)
	if [[ $file == */hangs/* ]]; then artifact=$run/timeout-$name; else artifact=$run/crash-$name; fi
	[[ ! -e $artifact ]] || return 0
	cp "$file" "$artifact"
	# afl-fuzz keeps nothing of what the target has said. Of a race ThreadSanitizer may have known one side from an earlier
	# input.
	run_alone "$1" "$artifact" "$run/last" || status=$?
	if ((status == 0)); then
		say "SUMMARY: does not fail on its own" >>"$run/last"
	else
		say "SUMMARY: ended with code $status" >>"$run/last"
	fi
	[[ $file =~ ,time:([0-9]+),execs:([0-9]+) ]] || BASH_REMATCH=()
	milliseconds=${BASH_REMATCH[1]:-$((($(now_us) - began) / 1000))}
	executed=${BASH_REMATCH[2]:-}
	took "$1" "$run" "$artifact" "$milliseconds" "$executed" "$(kind_of "$run/last")"
	rm -f "$run/last"
}
