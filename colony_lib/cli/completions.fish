# Completion of colony for fish, made by 'colony completions fish'.
set -g __colony_sh '# SHARED
_colony_complete "$@"'

function __colony_fish
    set -l words (commandline -opc)
    set -l path (string replace -rf '^(?:.*/)?colony-' '' -- $words[1])
    test -n "$path"; or set path ''
    set -l last (commandline -ct | string unescape)
    set -l lines (sh -c $__colony_sh sh "$path" $words[2..-1] "$last")
    switch "$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
        case '*'
            printf '%s\n' $lines[2..-1]
    end
end

for command in colony COMMANDS
    complete -c $command -f -a '(__colony_fish)'
end
