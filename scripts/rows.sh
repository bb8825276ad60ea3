# shellcheck shell=bash
# Configurations, rows of fuzz/configs.def: their names, and building them.
# build.sh sources this.

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
	local row=$1
	shift
	[[ -f $out/$row/build.ninja ]] || cmake -S "$root" -B "$out/$row" -G Ninja -DROW="$row" || return
	cmake --build "$out/$row" --parallel "$(nproc)" ${1+--target "$@"}
}

# build_row ROW [PART...]: all of the row but its tests, or these parts of it. One builder at a time in a folder: ninja does
# not guard its own.
build_row() {
	local row=$1 log=$out/$1/build.log
	shift
	mkdir -p "$out/$row"
	say "building $row"
	if ! (
		flock 9
		configure_and_compile "$row" "$@" >"$log" 2>&1
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
		# What is built can be used, whatever becomes of the next one.
		install_tool
	done
}

# The dispatcher, its completion and its manual page.
install_tool() {
	install -D -m 755 "$root/scripts/mmurace.sh" "$mmurace"
	# With out/bin in PATH, man finds the page by itself.
	install -D -m 644 "$root/scripts/completion.bash" "$out/share/bash-completion/completions/mmurace"
	[[ ! -f $out/fiber-plain/share/man/man1/mmurace.1 ]] ||
		install -D -m 644 "$out/fiber-plain/share/man/man1/mmurace.1" "$out/share/man/man1/mmurace.1"
}
