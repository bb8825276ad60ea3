# shellcheck shell=bash
# Completion of mmurace in bash:  source out/share/bash-completion/completions/mmurace
# Verbs, options and names are what the tool itself says there is.

# _mmurace_names LIST: first column of mmurace list
_mmurace_names() { "$tool" list "$1" 2>/dev/null | awk 'NF { print $1 }'; }

# _mmurace_values OPTION: the values it may take; fails when these are files
_mmurace_values() {
	case $1 in
	--bug) printf 'none\n' && _mmurace_names bugs ;;
	--variant) printf 'default\nupstream\n' && "$tool" list variants 2>/dev/null | awk 'NF { print $1 }' ;;
	--strategy) _mmurace_names strategies ;;
	--target) _mmurace_names targets ;;
	--config) _mmurace_names configs ;;
	--forbid) printf '%s\n' true hull seq race slot root other ;;
	--save | --output | -o | --reproducers) return 1 ;;
	esac
}

# _mmurace_arguments VERB: what may stand behind it; fails when these are files
_mmurace_arguments() {
	case $1 in
	run | stress) _mmurace_names targets ;;
	list) "$tool" help list 2>/dev/null | sed -n 's/^.*\b\(targets|[a-z|]*\).*/\1/p' | tr '|' '\n' ;;
	compare) _mmurace_names variants | sed 's/=.*//' | sort -u ;;
	help) "$tool" help --words 2>/dev/null | cut -d' ' -f1 ;;
	bisect) git for-each-ref --format='%(refname:short)' 2>/dev/null && return 1 ;;
	*) return 1 ;;
	esac
}

_mmurace() {
	local tool=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]-} words
	COMPREPLY=()
	# bash splits --bug=x into three words
	[[ $word != = ]] || word=''
	[[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD - 2]}
	if ((COMP_CWORD == 1)); then
		words=$("$tool" help --words 2>/dev/null | cut -d' ' -f1)
	elif [[ $word == -* ]]; then
		words=$("$tool" help --words 2>/dev/null | awk -v verb="$verb" '$1 == verb { $1 = ""; print }')
		[[ $words != *=* ]] || compopt -o nospace 2>/dev/null
	elif [[ $before == -* ]] && words=$(_mmurace_values "$before") && [[ -n $words ]]; then
		:
	elif [[ $before == -* ]] && ! _mmurace_values "$before" >/dev/null; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	elif ! words=$(_mmurace_arguments "$verb"); then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; compgen -f -- "$word")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o bashdefault -F _mmurace mmurace
