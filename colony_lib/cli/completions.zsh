#compdef colony COMMANDS
# Completion of colony for zsh, made by 'colony completions zsh'.
# SHARED

_colony_sh() {
    emulate -L sh
    _colony_complete "$@"
}

_colony_zsh() {
    emulate -L zsh
    local -a given lines names shown
    local name=${${(Q)words[1]}:t} line
    given=("${(@Q)words[2,CURRENT]}")
    [[ $name == colony-* ]] && name=${name#colony-} || name=
    lines=("${(@f)$(_colony_sh "$name" "${given[@]}")}")
    case ${lines[1]} in
    files) _files; return ;;
    folders) _files -/; return ;;
    esac
    for line in "${(@)lines[2,-1]}"; do
        [[ -n $line ]] || continue
        names+=("${line%%$'\t'*}")
        [[ $line == *$'\t'?* ]] && shown+=("${line/$'\t'/  -- }") || shown+=("${line%%$'\t'*}")
    done
    (( $#names )) && compadd -l -d shown -a names
}

if [[ ${funcstack[1]} == _colony ]]; then
    _colony_zsh "$@" # autoloaded from a file _colony in $fpath
else
    compdef _colony_zsh colony COMMANDS
fi
