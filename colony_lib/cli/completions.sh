_colony_grammar() { # PATH: sets what may follow it, one a line: verbs, options, values (kinds), arguments (kinds)
    verbs= options= values= arguments=
    case $1 in
    # CASES
    *) return 1 ;;
    esac
}

_colony_files() { # FOLDER SUFFIX: the names in it that are names to Colony, without the suffix
    local file name
    for file in "$1"/*"$2"; do
        [ -e "$file" ] || continue
        name=${file##*/}
        name=${name%"$2"}
        case $name in [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) ;; *) printf '%s\n' "$name" ;; esac
    done
}

_colony_keys() { # SECTION FILE: the keys of that section of a YAML file, as they are mostly written: a line each
    awk -v section="$1:" '/^[^ #]/ { inside = index($0, section) == 1; next }
        inside && match($0, /[^ ]/) && /^ *[A-Za-z0-9][A-Za-z0-9._-]*:/ {
            if (!depth) depth = RSTART
            if (RSTART == depth) { sub(/:.*/, ""); print substr($0, depth) }
        }' "$2" 2>/dev/null
}

_colony_names() { # KIND FOLDER: the names of that kind in the colony of that folder
    local dir
    case $1 in =*)
        printf '%s\n' "${1#=}" | tr ' ' '\n'
        return ;;
    esac
    dir=$2
    case $dir/ in */.colony/worktrees/*) dir=${dir%%/.colony/worktrees/*} ;; esac
    until [ -d "$dir/.colony" ]; do
        case $dir in
        */*) dir=${dir%/*} ;;
        *) case $1 in source | dataset*) dir=$2; break ;; *) return ;; esac ;; # the data tools need no colony
        esac
    done
    case $1 in
    workflow) _colony_files "$dir/.colony/workflows" .yaml; _colony_files "$dir/.colony/workflows" .yml ;;
    metric) _colony_files "$dir/.colony/metrics" .jsonl ;;
    document) _colony_files "$dir/.colony/state" .json ;;
    run) printf 'latest\tthe run that started last\n'; _colony_files "$dir/.colony/runs" '' ;;
    step) cat "$dir"/.colony/workflows/*.y*ml 2>/dev/null |
        sed -n 's/^ *- *\({ *\)\{0,1\}name: *["'\'']\{0,1\}\([A-Za-z0-9][A-Za-z0-9._-]*\).*/\2/p' | sort -u ;;
    agent) sed -n '/^agents:/,/^[^ #-]/s/^ *- *\({ *\)\{0,1\}id: *["'\'']\{0,1\}\([A-Za-z0-9][A-Za-z0-9._-]*\).*/\2/p' \
        "$dir/colony.yml" 2>/dev/null ;;
    source) _colony_keys sources "$dir/pipeline.yml" ;;
    dataset*) _colony_keys datasets "$dir/pipeline.yml" ;;
    task) colony -C "$dir" state task list --json 2>/dev/null |
        sed -n 's/.*"title": *"\([^"\\]*\)".*"status": *"\([a-z_]*\)".*/\1	\2/p;s/.*"title": *"\([^"\\]*\)".*/\1/p' |
        sed -n 1,1000p ;;
    esac
}

_colony_complete() { # PATH WORD…: what may stand for the last word: '.', 'files' or 'folders', then name TAB help lines
    local verbs options values arguments at folder want word line tab nl only prefix names
    tab='	'
    nl='
'
    at=$1 folder=${COLONY_ROOT:-$PWD} want= only= prefix=
    shift
    _colony_grammar "$at" || return
    while [ $# -gt 1 ]; do
        word=$1
        shift
        if [ -n "$want" ]; then
            case $want in *folder) [ -d "$word" ] && folder=$(cd "$word" && pwd) ;; esac
            want=
            continue
        fi
        case $word in
        --) only=1; continue ;;
        -*)
            [ -n "$only" ] && continue
            case $nl$values in *"$nl$word$tab"*)
                want=${nl}${values}
                want=${want#*"$nl$word$tab"}
                want=.${want%%"$nl"*} ;;
            esac
            continue ;;
        esac
        case $nl$verbs in
        *"$nl$word$tab"*)
            [ "$at" = help ] && return
            at=${at:+$at/}$word
            _colony_grammar "$at" || return ;;
        *)
            [ -n "$verbs" ] && { printf 'files\n'; return; } # someone's own colony-NAME, or a slip
            case $arguments in *'*'"$nl") [ "${arguments#*"$nl"}" ] || continue ;; esac
            arguments=${arguments#*"$nl"} ;;
        esac
    done
    case $1 in --*=*)
        word=${1%%=*}
        case $nl$values in *"$nl$word$tab"*)
            want=${nl}${values}
            want=${want#*"$nl$word$tab"}
            want=.${want%%"$nl"*}
            prefix=$word= ;;
        esac ;;
    esac
    if [ -z "$want" ]; then
        case $only$1 in -*)
            printf '.\n%s' "$options"
            return ;;
        esac
        [ -n "$verbs" ] && { printf '.\n%s' "$verbs"; return; }
        want=.${arguments%%"$nl"*}
        want=${want%'*'}
    fi
    case $want in
    .file) printf 'files\n' ;;
    .folder) printf 'folders\n' ;;
    .dataset/file) # a file, unless a dataset begins so
        names=$(_colony_names dataset "$folder")
        case ${names:+$nl$names} in *"$nl$1"*) printf '.\n%s\n' "$names" ;; *) printf 'files\n' ;; esac ;;
    .) printf '.\n' ;;
    *)
        printf '.\n'
        if [ -n "$prefix" ]; then _colony_names "${want#.}" "$folder" | sed "s/^/$prefix/"
        else _colony_names "${want#.}" "$folder"; fi ;;
    esac
}
