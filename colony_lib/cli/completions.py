"""`colony completions`: what a shell needs to complete Colony's command lines."""

from __future__ import annotations

import sys

from colony_lib.base.errors import OK
from colony_lib.cli import args

SHELLS = ("bash", "zsh", "fish")


def main(argv: list[str]) -> int:
    parser = args.Parser(
        prog="colony completions",
        summary="print what a shell needs to complete commands, options and the names in a colony",
        examples=[
            "colony completions bash >~/.local/share/bash-completion/completions/colony",
            "source <(colony completions zsh)    in ~/.zshrc, after compinit",
            "colony completions fish >~/.config/fish/completions/colony.fish",
        ],
        details="Commands, options and their values; workflows, runs, steps, agents, tasks, metrics, documents,\n"
        "datasets and sources of the colony one stands in; after 'colony fetch' and after 'colony-fetch' alike: for the\n"
        "latter bash and fish want the script sourced, as they look a file up by the command's name.",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    shell = parser.parse_args(argv).shell
    from colony_lib.cli import completing, grammar, help

    summaries = help.own()
    found = [each for name in summaries if name != "help" for each in grammar.walk(name)]
    sys.stdout.write(completing.script(shell, found, summaries))
    return OK
