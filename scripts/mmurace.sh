#!/bin/sh
# Runs mmurace of the configuration that --config names. Without --config: fiber-asan for replay,
# which should see all there is to see, if it is built; thread-tsan-3 for stress; and fiber-plain, the fastest, for
# everything else.
set -eu

here=$(dirname "$(readlink -f "$0")")
out=$(dirname "$here")
root=$(dirname "$out")

fail() {
	printf 'mmurace: %s\n' "$1" >&2
	exit 1
}

# Instructions of verbs on threads are counted by a program of its own.
if [ "${1-} ${2-}" = "bench contract" ]; then
	contract=$out/thread-plain-9/bin/contract
	[ -x "$contract" ] ||
		fail "the configuration thread-plain-9 is not built. Build it with: ./build.sh build thread-plain-9"
	shift 2
	exec "$contract" "$@"
fi

# Names of the rows that have the verb: tasks are threads for stress and fibers for all others; no engine drives them.
rows() {
	backend=fiber
	[ "$verb" != stress ] || backend=thread
	sed -n 's/^CONFIG([^,]*, "\([^"]*\)", "'$backend'", .*, "none", [0-9]*)$/\1/p' "$root/fuzz/configs.def"
}

row='' verb='' previous=''
for word in "$@"; do
	if [ "$previous" = --config ]; then
		row=$word
		[ -n "$row" ] || fail "--config needs a name, one of: $(rows | xargs)"
	else
		case $word in
		--) break ;;
		--config=*) row=${word#*=} ;;
		-*) ;;
		*) [ -n "$verb" ] || verb=$word ;;
		esac
	fi
	previous=$word
done
[ "$previous" != --config ] || [ -n "$row" ] || fail "--config needs a name, one of: $(rows | xargs)"

if [ -z "$row" ]; then
	row=fiber-plain
	[ "$verb" != stress ] || row=thread-tsan-3
	if [ "$verb" = replay ] && [ -x "$out/fiber-asan/bin/mmurace" ]; then
		row=fiber-asan
	fi
fi

if ! rows | grep -qxF -e "$row"; then
	near=$(rows | awk -v word="$row" -f "$root/scripts/near.awk" | xargs)
	fail "no configuration with ${verb:-a command line tool} is named '$row'.${near:+ Did you mean: $near?} There are: $(rows | xargs)"
fi
# Commits are built and asked by a script. Its help is that of any row.
if [ "${1-}" = bisect ]; then
	case " $* " in
	*" --help "* | *" -? "* | *" --usage "*) ;;
	*) exec bash "$root/scripts/bisect.sh" "$@" ;;
	esac
fi
[ -x "$out/$row/bin/mmurace" ] ||
	fail "the configuration $row is not built. Build it with: ./build.sh build $row"

exec "$out/$row/bin/mmurace" "$@"
