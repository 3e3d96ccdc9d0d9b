"""What every command line may hold, read off the parsers that read it: verbs, options and arguments by path."""

from __future__ import annotations

import os
import sys

from colony_lib.cli import load_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from colony_lib.cli.args_parser import Parser

# What is a name in the colony, by the word that a help text has for it; NAME means what its command is about.
KINDS = {
    "RUN": "run", "STEP": "step", "S": "step", "AGENT": "agent", "REF": "task", "BLOCKER": "task", "A,B": "task",
    "DOC": "document", "SOURCE": "source", "DATASET": "dataset", "DATASET|RUN": "dataset",
    "DATASET|FILE": "dataset/file",
    "FILE": "file", "JOURNAL": "file", "DIR": "folder",
}  # fmt: skip
NAMED = {"workflow": "workflow", "cron": "workflow", "metrics": "metric"}
BY_OPTION = {
    "--agent": "agent",
    "--dataset": "dataset",
    "--run": "run",
    "--replay": "run",
    "--step": "step",
    "--from": "",
    "--name": "",
}


class Command:
    """One command or verb: `verbs` and `options` as {name: help}, `values` as {option: kind of its value},
    `arguments` as kinds in their order, a `*` behind one that repeats. A kind is a key of KINDS' values, choices
    as `=one two`, or '' for free text."""

    def __init__(self, path: str, parser: Parser) -> None:
        self.path = path
        self.parser = parser
        self.verbs: dict[str, str] = {}
        self.options: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.arguments: list[str] = []
        for action in parser._actions:
            if action is parser.verbs:
                shown = {choice.dest: choice.help for choice in parser.verbs._choices_actions}
                self.verbs = {name: line(shown.get(name)) for name in parser.verbs.choices}
            elif action.option_strings:
                self._option(action)
            else:
                again = "*" if action.nargs in ("*", "+", "...") else ""
                self.arguments.append(_kind(path, action) + again)

    def _option(self, action: argparse.Action) -> None:
        for name in action.option_strings:
            self.options[name] = line(action.help)
            if action.nargs != 0:
                self.values[name] = _kind(self.path, action)


def line(text: str | None) -> str:
    """A help text as argparse shows it, on one line."""
    return " ".join((text or "").replace("%%", "%").split())


def _kind(path: str, action: argparse.Action) -> str:
    for name in action.option_strings:
        if name in BY_OPTION and not action.choices and action.metavar != "D":
            return BY_OPTION[name] or ("step" if action.metavar == "STEP" else "")
    if action.choices:
        return "=" + " ".join(map(str, action.choices))
    word = str(action.metavar or action.dest)
    if word == "NAME" and not action.option_strings:
        return NAMED.get(path.split("/")[0], "")
    return KINDS.get(word, "")


def parser_of(name: str, verbs: list[str]) -> Parser:
    """The parser that `colony NAME VERBS…` is read by."""
    from colony_lib.cli import args_parser

    args_parser.describing = True
    try:
        load_module(name).main([*verbs, "--help"])
    except args_parser.Asked as asked:
        return asked.parser
    finally:
        args_parser.describing = False
    raise AssertionError(f"{name} has no parser for --help")


def commands(name: str) -> Iterator[Command]:
    """The command `colony NAME` and, below it, each of its verbs."""
    waiting: list[list[str]] = [[]]
    while waiting:
        verbs = waiting.pop(0)
        command = Command("/".join([name, *verbs]), parser_of(name, verbs))
        yield command
        waiting += [[*verbs, verb] for verb in command.verbs]


def executables() -> dict[str, str]:
    """{name: summary} of the executables beside this one, `help` not among them."""
    here = os.path.dirname(os.path.realpath(sys.argv[0]))
    found = {}
    for file in sorted(os.listdir(here)):
        if file.startswith("colony-") and file != "colony-help":
            with open(os.path.join(here, file), encoding="utf-8", errors="replace") as opened:
                lines = [text for text in opened.read(400).split("\n") if text.startswith("# Summary: ")]
            name = file.removeprefix("colony-")
            if lines and os.path.exists(os.path.join(os.path.dirname(__file__), name.replace("-", "_") + ".py")):
                found[name] = lines[0].removeprefix("# Summary: ").strip()
    return found
