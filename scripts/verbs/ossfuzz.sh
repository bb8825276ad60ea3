# shellcheck shell=bash
# What OSS-Fuzz, ClusterFuzzLite and their relatives call: fuzz targets built with the compilers, flags and engine of
# the environment, into $OUT. Installs nothing, and writes to $OUT and $WORK only.
# build.sh sources this.
#
#   CC CXX CFLAGS CXXFLAGS   as given, ours are added behind
#   LIB_FUZZING_ENGINE       words for the linker, as given; that it is set is the sign
#   OUT                      folder for the binaries and what belongs to them
#   WORK                     folder for what is in between
#   SANITIZER FUZZING_ENGINE named in messages; the flags say all that matters

# What afl++'s own compiler is not to count: the list that CMakeLists.txt has for the others.
uncounted_files() {
	printf '*/src/%s/*\n' base sched kern/fiber kern/shared oracle endstate
	printf '%s\n' '*/fuzz/*' '*/inspect.c'
}

# dictionary FORMAT: words of the text form, as engines read them; nothing for other formats
dictionary() {
	[[ $1 == parse ]] || return 0
	(
		cd "$root"
		sed -nE 's/^(OP|ORACLE|STRATEGY)\(([a-z_]+),.*/\2/p' src/workload/ops.def src/oracle/oracles.def \
			fuzz/strategy/strategies.def
		sed -nE 's/^(KNOB|VARIANT)\(([a-z_]+), ([a-z_]+),.*/\2\n\3/p' src/subject/variants.def
		sed -nE 's/^\t\[LINE_[a-z_]+\] = \{ "([a-z]+)".*/\1/p' src/workload/text.c
		printf '%s\n' vcpu notifier ioctl order hva switch until answer start end seed rcu0 ro
	) | sort -u | sed 's/.*/"&"/'
}

# seed_corpus TARGET: its seeds, or one input that means "draw a program"
seed_corpus() {
	local zip=$OUT/$1_seed_corpus.zip seeds=$root/corpus/$1
	rm -f "$zip"
	if [[ ! -d $seeds ]]; then
		seeds=$WORK/mmurace/seeds
		mkdir -p "$seeds"
		head -c 16 /dev/zero >"$seeds/nothing"
	fi
	(cd "$seeds" && zip -q -X -j -r "$zip" .)
}

options() {
	cat <<'END'
[libfuzzer]
len_control = 0
END
}

oss_fuzz_build() {
	local name build binary words generator=()
	for name in CC CXX OUT; do
		[[ -n ${!name-} ]] || fail "LIB_FUZZING_ENGINE is set, so this is a build for OSS-Fuzz: it needs $name, too"
	done
	for name in cmake zip "${CC%% *}" "${CXX%% *}"; do
		type "$name" >/dev/null 2>&1 || fail "a build for OSS-Fuzz needs '$name', which is not there"
	done
	[[ -n ${WORK-} ]] || WORK=$(mktemp -d)
	mkdir -p "$OUT" "$WORK"
	OUT=$(cd "$OUT" && pwd -P) WORK=$(cd "$WORK" && pwd -P)
	build=$WORK/mmurace
	rm -rf "$build"
	mkdir -p "$build"
	uncounted_files >"$build/uncounted"
	export AFL_LLVM_DENYLIST=$build/uncounted
	! type ninja >/dev/null 2>&1 || generator=(-G Ninja)

	say "mmurace for ${FUZZING_ENGINE:-an engine} and ${SANITIZER:-the given flags}"
	cmake -S "$root" -B "$build/build" "${generator[@]}" -DROW=given
	cmake --build "$build/build" --parallel "$(nproc)"
	for binary in "$build"/build/fuzz/*; do
		name=$(basename "$binary")
		[[ -x $binary && $name =~ ^[A-Za-z0-9_-]+$ ]] || fail "the engine's users take no target named '$name'"
		install -m 755 "$binary" "$OUT/$name"
		options >"$OUT/$name.options"
		seed_corpus "$name"
		words=$(dictionary "$name")
		[[ -z $words ]] || printf '%s\n' "$words" >"$OUT/$name.dict"
	done
}

check_ossfuzz_verb() {
	install_missing
	exec python3 "$root/scripts/verbs/check_ossfuzz.py" "$@"
}
