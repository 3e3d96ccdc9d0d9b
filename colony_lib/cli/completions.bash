# Completion of colony for bash, made by 'colony completions bash'.
# SHARED

_colony_bash() {
    local -a words=()
    local line=${COMP_LINE:0:COMP_POINT} i word typed cur quote= before= path= candidate mode= glued
    # readline breaks words at ':' and '=' too: what has no blank between is one word, but for --option=value.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        glued=1
        case $line in [[:blank:]]*) glued= ; line=${line#"${line%%[![:blank:]]*}"} ;; esac
        ((i == COMP_CWORD)) && word=$line
        line=${line#"$word"}
        if [[ $glued && ${#words[@]} -gt 0 ]]; then
            if [[ ${words[-1]} == --* && $word == = ]]; then
                [[ $i -eq $COMP_CWORD ]] && words+=('')
                continue
            elif [[ ${words[-1]} == --* ]]; then words+=("$word")
            else words[-1]+=$word; fi
        else
            words+=("$word")
        fi
    done
    typed=${words[-1]}
    case $typed in [\"\']*) quote=${typed:0:1} ;; esac
    for i in "${!words[@]}"; do # as typed, to what is meant
        word=${words[i]}
        case $word in
        [\"\']*) word=${word#?}; word=${word%[\"\']} ;;
        *) word=${word//\\/} ;;
        esac
        words[i]=$word
    done
    cur=${words[-1]}
    word=${words[0]##*/}
    [[ $word == colony-* ]] && path=${word#colony-}
    COMPREPLY=()
    [[ ! $quote && $typed == *:* ]] && before=${typed%"${typed##*:}"}
    while IFS= read -r candidate; do
        [[ $mode ]] || { mode=$candidate; continue; }
        candidate=${candidate%%$'\t'*}
        [[ $candidate == "$cur"* ]] || continue
        [[ $quote ]] || { printf -v candidate %q "$candidate"; candidate=${candidate#"$before"}; }
        COMPREPLY+=("$candidate")
    done < <(shopt -u failglob nullglob; set +o noglob; _colony_complete "$path" "${words[@]:1}")
    case $mode in
    files) compopt -o default 2>/dev/null ;;
    folders) compopt -o dirnames 2>/dev/null ;;
    esac
    return 0
}
complete -F _colony_bash colony COMMANDS
