"""`colony completions`: prints a completion script, made from the parsers that read the command lines."""

from __future__ import annotations

import os

from colony_lib.base.errors import OK
from colony_lib.cli import args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ["bash", "zsh", "fish"]


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony completions",
        "print what makes TAB complete commands and names in your shell",
        [
            "source <(colony completions bash)    # in ~/.bashrc",
            "source <(colony completions zsh)     # in ~/.zshrc, after compinit",
            "colony completions fish > ~/.config/fish/completions/colony.fish",
        ],
        details="Completes commands, options, and the names in the colony one stands in: workflows, runs, agents,\n"
        "steps, tasks, metrics, documents, sources, datasets. Only the titles of tasks are asked of a\n"
        "command; all else is read by the shell. Print it anew after an upgrade.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    shell = parser.parse_args(argv).shell
    print(_script(shell), end="")
    return OK


def _script(shell: str) -> str:
    from colony_lib.cli import grammar

    names = grammar.executables()
    cases = "".join(f"    {line}\n" for line in _cases(names))
    sh = _part("sh").replace("    # CASES\n", cases)
    if shell == "fish":
        # The shared part is one single-quoted word, in which fish reads backslash and quote only.
        sh = sh.replace("\\", "\\\\").replace("'", "\\'")
    commands = " ".join(f"colony-{name}" for name in [*names, "help"])
    return _part(shell).replace("# SHARED\n", sh).replace("COMMANDS", commands)


def _part(name: str) -> str:
    path = os.path.join(os.path.dirname(__file__), f"completions.{name}")
    with open(path, encoding="utf-8") as file:
        return file.read()


def _cases(names: dict[str, str]) -> Iterator[str]:
    """The branches of the shared part's `case`: what may follow each path."""
    from colony_lib.cli import grammar

    first = {**names, "help": "list the commands, and say more about one"}
    options = {"-C": "go to this folder first", "--help": "list the commands", "--version": "print the version"}
    yield _case("", first, options, {"-C": "folder"}, [])
    topics = load_topics()
    yield _case("help", {**names, **dict.fromkeys(topics, "a topic")}, {}, {}, [])
    for name in names:
        for command in grammar.commands(name):
            yield _case(command.path, command.verbs, command.options, command.values, command.arguments)


def load_topics() -> list[str]:
    """The topics that `colony help` knows besides the commands."""
    from colony_lib.cli import load_module

    return list(load_module("help").TOPICS)


def _case(
    path: str, verbs: dict[str, str], options: dict[str, str], values: dict[str, str], arguments: list[str]
) -> str:
    parts = [
        f"{variable}={_quoted(''.join(f'{line}{chr(10)}' for line in lines))}"
        for variable, lines in (
            ("verbs", [f"{name}\t{help}" for name, help in verbs.items()]),
            ("options", [f"{name}\t{help}" for name, help in options.items()]),
            ("values", [f"{name}\t{kind}" for name, kind in values.items()]),
            ("arguments", arguments),
        )
        if lines
    ]
    return f"{_quoted(path)}) {' '.join(parts)} ;;"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
