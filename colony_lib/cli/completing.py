"""Completion scripts for bash, zsh and fish, made of the commands' grammar (see grammar).

shtab, the library for this, knows no fish, and neither a command that is spread over executables (`colony fetch` is
`colony-fetch`) nor names that only the colony knows. A script asks no Python: names come from `ls` and `sed` over the
colony's files, in some milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from colony_lib.cli.grammar import Grammar
from colony_lib.cli.help import TOPICS


def _item(key: str) -> str:
    """What prints the values of that key in a YAML list, as `- id: fetcher` or `- {id: fetcher, …}` has them."""
    return r"""sed -n 's/^ *- *{\{0,1\} *KEY: *["'"'"']\{0,1\}\([A-Za-z0-9._-]*\).*/\1/p' """.replace(
        "KEY", key
    ).rstrip()


# How the names of each kind are found, in any sh: $colony is the colony's folder, $line the words so far.
_FIND = {
    "workflows": r"""ls -- "$colony/.colony/workflows" | sed -n 's/\.ya\{0,1\}ml$//p'""",
    "runs": r"""echo latest; ls -r -- "$colony/.colony/runs" | sed -n '/^r/p'""",
    "agents": _item("id") + r""" "$colony/colony.yml" """,
    "steps": r"""cat -- "$colony"/.colony/workflows/* | """ + _item("name") + " | sort -u",
    "tasks": r"""sed -n 's/.*"type":"add","task":"\([a-z0-9-]*\)".*/\1/p' "$colony/.colony/state/tasks.jsonl" """,
    "metrics": r"""ls -- "$colony/.colony/metrics" | sed -n 's/\.jsonl$//p'""",
    "documents": r"""ls -- "$colony/.colony/state" | sed -n 's/\.json$//p'""",
    "datasets": r"""sed -n '/^datasets:/,/^[a-z]/s/^  \([A-Za-z0-9_-]*\):.*/\1/p' pipeline.yml""",
    "sources": r"""sed -n '/^sources:/,/^[a-z]/s/^  \([A-Za-z0-9_-]*\):.*/\1/p' pipeline.yml""",
}
_FILES = ("files", "folders")


def script(shell: str, grammars: Sequence[Grammar], summaries: dict[str, str]) -> str:
    """The script of that shell. `grammars` of all commands and their verbs; `summaries` {command: what it does}."""
    write: Callable[[str], str] = quoted if shell != "fish" else _fish_quoted
    words = {"": [(name, said) for name, said in summaries.items()]}
    takes: dict[str, str] = {}
    for grammar in grammars:
        path = grammar.path
        words[path] = [(verb.names[0], verb.help) for verb in grammar.verbs]
        words[f"{path} -"] = [(name, option.help) for option in grammar.options for name in option.names]
        for option in grammar.options:
            takes.update({f"{path} {name}": option.takes for name in option.names if option.takes is not None})
        for number, argument in enumerate(grammar.arguments, 1):
            if argument.takes:
                takes[f"{path} {'+' if argument.many else number}"] = argument.takes
    words["help"] = [*words[""], *((topic, "") for topic in TOPICS)]
    head = f"# Completions of Colony for {shell}: made by 'colony completions {shell}'.\n"
    parts = _FISH if shell == "fish" else _SH + (_BASH if shell == "bash" else _ZSH)
    case = _fish_case if shell == "fish" else _case
    return head + (
        parts.replace("@WORDS@", case([(path, _listed(found, write)) for path, found in words.items() if found]))
        .replace("@TAKES@", case([(path, f"echo {write(kind)}") for path, kind in takes.items()]))
        .replace(
            "@FIND@",
            case([(kind, f"sh -c {write(find)}" if shell == "fish" else find) for kind, find in _FIND.items()]),
        )
        .replace("@EXECUTABLES@", " ".join(["colony", *(f"colony-{name}" for name in summaries)]))
    )


def _listed(found: list[tuple[str, str]], write: Callable[[str], str]) -> str:
    lines = [f"{word}\\t{' '.join(said.split())}" if said else word for word, said in found]
    return "printf '%b\\n' " + " ".join(write(line.replace("%%", "%")) for line in lines)


def quoted(text: str) -> str:
    """One word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _case(branches: list[tuple[str, str]]) -> str:
    return "\n".join(f"        {quoted(pattern)}) {does} ;;" for pattern, does in branches)


def _fish_case(branches: list[tuple[str, str]]) -> str:
    return "\n".join(f"        case {_fish_quoted(pattern)}\n            {does}" for pattern, does in branches)


# Shared by bash and zsh. `_colony_at WORD…` reads the words before the cursor; it leaves the command in $route, the
# number of the argument at the cursor in $place, and in $after the option whose value stands there, if one does.
_SH = r"""
_colony_words() { # the words that may follow a command, each with what it means
    case $1 in
@WORDS@
    esac
}

_colony_takes() { # what an option or the n-th argument of a command takes
    case $1 in
@TAKES@
    esac
}

_colony_find() { # the names of a kind in the colony around
    local colony=${COLONY_ROOT:-$PWD}
    while [ -n "$colony" ] && [ ! -d "$colony/.colony" ]; do colony=${colony%/*}; done
    [ -n "$colony" ] || colony=/
    case $1 in
@FIND@
    esac 2>/dev/null | grep -x '[A-Za-z0-9._:-]*' # the shell looks at names again: nothing in them may mean anything
}

_colony_names() { # of a kind, or of several
    case $1 in
        '='*) printf '%s\n' "${1#=}" | tr ' ' '\n' ;;
        *' '*) _colony_names "${1%% *}"; _colony_names "${1#* }" ;;
        *) _colony_find "$1" ;;
    esac
}

_colony_at() {
    local word=${1##*/}
    shift
    route= place=1 after=
    case $word in
        colony) ;;
        *) route=${word#colony-} ;;
    esac
    while [ $# -gt 0 ]; do
        if [ -n "$after" ]; then
            after=
        elif [ -z "$route" ]; then
            case $1 in
                -C) after=-C ;;
                *) route=$1 ;;
            esac
        elif [ "${1#-}" != "$1" ]; then
            case $1 in
                *=*) ;;
                *) [ -z "$(_colony_takes "$route $1")" ] || after=$1 ;;
            esac
        elif [ "$place" = 1 ] && _colony_words "$route" | cut -f1 | grep -qxF -e "$1"; then
            route="$route $1"
        else
            place=$((place + 1))
        fi
        shift
    done
}

_colony_kind() { # what stands at the cursor, whose word begins with $1
    if [ "$after" = -C ]; then
        echo folders
    elif [ -n "$after" ]; then
        _colony_takes "$route $after"
    else
        kind=$(_colony_takes "$route $place")
        [ -n "$kind" ] || kind=$(_colony_takes "$route +")
        echo "$kind"
    fi
}
"""

_BASH = r"""
_colony() {
    local route place after kind word IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]} before=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD}"; do
        [ "$word" = = ] || before+=("$word") # bash takes '--option=value' for three words
    done
    [ "$cur" != = ] || cur=
    _colony_at "${before[@]}"
    kind=$(_colony_kind)
    COMPREPLY=()
    if [ -z "$after" ]; then
        case $cur in
            -*) COMPREPLY=($(compgen -W "$(_colony_words "$route -" | cut -f1)" -- "$cur")) ;;
            *) [ "$place" != 1 ] || COMPREPLY=($(compgen -W "$(_colony_words "$route" | cut -f1)" -- "$cur")) ;;
        esac
    fi
    case " $kind " in
        *' files '*) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;;
        *' folders '*) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")) ;;
    esac
    case $cur in -*) ;; *) COMPREPLY+=($(compgen -W "$(_colony_names "$kind")" -- "$cur")) ;; esac
}
complete -F _colony @EXECUTABLES@
"""

_ZSH = r"""
_colony() {
    local path_was=$route
    local -a found described
    local route place after kind line
    _colony_at "${(@Q)words[1,CURRENT-1]}"
    kind=$(_colony_kind)
    if [[ -z $after ]]; then
        if [[ $PREFIX == -* ]]; then
            found=("${(@f)$(_colony_words "$route -")}")
        elif [[ $place == 1 ]]; then
            found=("${(@f)$(_colony_words "$route")}")
        fi
        for line in $found; do
            [[ -z $line ]] || described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        done
        (( $#described )) && _describe -t commands colony described
    fi
    case " $kind " in
        *' files '*) _files ;;
        *' folders '*) _files -/ ;;
    esac
    if [[ -n $after || $PREFIX != -* ]]; then
        found=("${(@f)$(_colony_names "$kind")}")
        found=("${(@)found:#}")
        (( $#found )) && compadd -a found
    fi
}
compdef _colony @EXECUTABLES@
"""

_FISH = r"""
function _colony_words
    switch "$argv[1]"
@WORDS@
    end
end

function _colony_takes
    switch "$argv[1]"
@TAKES@
    end
end

function _colony_find
    set -lx colony $PWD
    set -q COLONY_ROOT; and set colony $COLONY_ROOT
    while test -n "$colony" -a ! -d "$colony/.colony"
        set colony (string replace -r '/[^/]*$' '' -- $colony)
    end
    switch "$argv[1]"
@FIND@
    end 2>/dev/null | string match -r '^[A-Za-z0-9._:-]+$'
end

function _colony_names
    for kind in (string split ' ' -- "$argv[1]")
        switch "$kind"
            case files
                __fish_complete_path (commandline -ct)
            case folders
                __fish_complete_directories (commandline -ct)
            case '*'
                _colony_find $kind
        end
    end
end

function _colony
    set -l before (commandline -opc)
    set -l path (string replace -r '^(.*/)?colony-?' '' -- $before[1])
    set -l place 1
    set -l after ''
    for word in $before[2..-1]
        if test -n "$after"
            set after ''
        else if test -z "$path"
            if test "$word" = -C
                set after -C
            else
                set path $word
            end
        else if string match -q -- '-*' $word
            if not string match -q -- '*=*' $word; and test -n "$(_colony_takes "$path $word")"
                set after $word
            end
        else if test $place = 1; and contains -- $word (_colony_words $path | string replace -r '\t.*' '')
            set path "$path $word"
        else
            set place (math $place + 1)
        end
    end
    set -l kind
    if test "$after" = -C
        set kind folders
    else if test -n "$after"
        set kind (_colony_takes "$path $after")
    else
        set kind (_colony_takes "$path $place")
        test -n "$kind"; or set kind (_colony_takes "$path +")
        if string match -q -- '-*' (commandline -ct)
            _colony_words "$path -"
        else if test $place = 1
            _colony_words "$path"
        end
    end
    if string match -q -- '=*' "$kind"
        string split ' ' -- (string sub -s 2 -- "$kind")
    else if test -n "$kind"
        _colony_names "$kind"
    end
end

for name in @EXECUTABLES@
    complete -c $name -f -a '(_colony)'
end
"""
