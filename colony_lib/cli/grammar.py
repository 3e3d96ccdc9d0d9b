"""What can be written after each command, from the commands' own parsers: for completions and man pages.

A command shows its parser when it is asked for help, so whatever `--help` knows is known here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from colony_lib.cli import load
from colony_lib.cli.args_parser import Parser

# What a word stands for, by command and metavar, else by metavar alone; what is not named here is free text.
NAMES: dict[Any, str] = {
    ("workflow", "NAME"): "workflows",
    ("cron", "NAME"): "workflows",
    ("metrics", "NAME"): "metrics",
    ("state", "PATH"): "",
    ("state", "STATUS"): "=ready blocked in_progress completed failed cancelled",
    "RUN": "runs",
    "STEP": "steps",
    "AGENT": "agents",
    "REF": "tasks",
    "BLOCKER": "tasks",
    "A,B": "tasks",
    "DATASET": "datasets",
    "DATASET|RUN": "datasets",
    "DATASET|FILE": "datasets files",
    "SOURCE": "sources",
    "DOC": "documents",
    "FILE": "files",
    "PATH": "files",
    "DIR": "folders",
}

_BY_MEANING = {
    "agent": "agents",
    "run": "runs",
    "step": "steps",
    "dataset": "datasets",
    "date": "=today yesterday",
    "by": "",
}


class Word:
    """A word that may come: a verb, an option or an argument. `takes`: what stands in its place or after it ('' is
    free text, None nothing at all), a kind of name or the words themselves after '='; `many`: it may come again."""

    __slots__ = ("help", "many", "metavar", "names", "takes")

    def __init__(self, names: list[str], help: str, takes: str | None, metavar: str = "", many: bool = False) -> None:
        self.names = names
        self.help = help
        self.takes = takes
        self.metavar = metavar
        self.many = many


class Grammar:
    """A command or verb: `path` ('workflow run'), its `parser`, and the words that may follow."""

    __slots__ = ("arguments", "options", "parser", "path", "verbs")

    def __init__(self, path: str, parser: Parser) -> None:
        self.path = path
        self.parser = parser
        self.verbs: list[Word] = []
        self.options: list[Word] = []
        self.arguments: list[Word] = []
        for action in parser._actions:
            self._add(action)

    def _add(self, action: argparse.Action) -> None:
        if isinstance(action, argparse._SubParsersAction):
            said = {choice.dest: choice.help or "" for choice in action._choices_actions}
            self.verbs = [Word([name], said.get(name, ""), None) for name in action.choices]
        elif action.help is argparse.SUPPRESS:
            return
        elif action.option_strings:
            takes = None if action.nargs == 0 else self._takes(action)
            self.options.append(Word(list(action.option_strings), action.help or "", takes, _shown(action)))
        else:
            many = action.nargs in ("*", "+") or isinstance(action.nargs, int)
            self.arguments.append(Word([], action.help or "", self._takes(action), _shown(action), many))

    def _takes(self, action: argparse.Action) -> str:
        if action.choices is not None:
            return "=" + " ".join(map(str, action.choices))
        shown = _shown(action)
        command = self.path.split(" ")[0]
        if action.dest in _BY_MEANING:
            return _BY_MEANING[action.dest]
        return NAMES.get((command, shown)) or NAMES.get(shown, "")


def _shown(action: argparse.Action) -> str:
    metavar = action.metavar
    return metavar if isinstance(metavar, str) else metavar[0] if metavar else action.dest.upper()


class _Shown(Exception):
    """Carries the parser that was asked for help."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser


def of(*words: str) -> Grammar:
    """The grammar of a command ('fetch') or verb ('workflow', 'run')."""

    def print_help(self: Parser, file: object = None) -> None:
        raise _Shown(self)

    usual, name = Parser.print_help, sys.argv[0]
    Parser.print_help = print_help  # type: ignore[method-assign,assignment]
    try:
        load(words[0]).main([*words[1:], "--help"])
    except _Shown as shown:
        return Grammar(" ".join(words), shown.parser)
    finally:
        Parser.print_help = usual  # type: ignore[method-assign]
        sys.argv[0] = name
    raise AssertionError(f"'{' '.join(words)} --help' shows no parser")


def walk(*words: str) -> Iterator[Grammar]:
    """The grammar of a command, then those of its verbs and of theirs."""
    found = of(*words)
    yield found
    for verb in found.verbs:
        yield from walk(*words, verb.names[0])
