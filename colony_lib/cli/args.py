"""Command lines: argparse with examples first, nearest-name hints, one-line errors and no abbreviations."""

from __future__ import annotations

import argparse
import sys

from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn


class _Layout(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, max_help_position=28, width=100, **settings)


class Parser(argparse.ArgumentParser):
    """A parser for one executable or one of its verbs."""

    def __init__(
        self, prog: str, summary: str = "", examples: Sequence[str] = (), details: str = "", **settings: Any
    ) -> None:
        self.summary = summary
        self.examples = list(examples)
        self.verbs: argparse._SubParsersAction[Parser] | None = None
        settings.pop("allow_abbrev", None)
        super().__init__(
            prog=prog, description=summary, epilog=details, allow_abbrev=False, formatter_class=_Layout, **settings
        )

    def commands(self, required: bool = True) -> argparse._SubParsersAction[Parser]:
        """The verbs of a noun: `verbs = p.commands(); verbs.add_parser('add', prog=…, summary=…, examples=…)`."""
        self.verbs = self.add_subparsers(dest="verb", metavar="COMMAND", title="commands", parser_class=Parser)
        self.verbs.required = required
        return self.verbs

    def format_help(self) -> str:
        lines = [self.summary, ""] if self.summary else []
        if self.examples:
            lines += ["examples:", *(f"  {example}" for example in self.examples), ""]
        description, self.description = self.description, None
        try:
            return "\n".join(lines) + ("\n" if lines else "") + super().format_help()
        finally:
            self.description = description

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            kind = "command" if action is self.verbs else (action.metavar or action.dest)
            hint = nearest(str(value), names) or "there is " + ", ".join(names)
            raise ColonyError(f"unknown {str(kind).lower()} '{escape(value)}'", fix=hint, code=USAGE)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, extra = self.parse_known_args(args, namespace)
        if extra:
            self._unrecognized(extra[0], getattr(parsed, "_parser", self))
        return parsed

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, extra = super().parse_known_args(args, namespace)
        if not hasattr(parsed, "_parser"):
            parsed._parser = self  # the innermost parser finishes first: its options are the ones to hint at
        return parsed, extra

    def _unrecognized(self, word: str, parser: argparse.ArgumentParser) -> NoReturn:
        options = [option for action in parser._actions for option in action.option_strings]
        kind = "option" if word.startswith("-") else "argument"
        hint = nearest(word.split("=")[0], options) if kind == "option" else None
        raise ColonyError(f"unknown {kind} '{escape(word)}'", fix=hint or f"see '{parser.prog} --help'", code=USAGE)

    def error(self, message: str) -> NoReturn:
        raise ColonyError(escape(message), fix=f"see '{self.prog} --help'", code=USAGE)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            print(message, end="", file=sys.stderr)
        sys.stdout.flush()
        raise SystemExit(status)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON: a list as one object a line")


def add_lock_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lock-timeout",
        type=positive_duration,
        metavar="T",
        action=_LockTimeout,
        help="how long to wait for a lock, then exit 75 (default 10s)",
    )


class _LockTimeout(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        from colony_lib.base import locks

        locks.default_timeout = values


def typed(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """An argparse `type` whose ColonyError goes through as it is."""
    return convert


def positive_duration(text: str) -> float:
    from colony_lib.base.text import duration

    return duration(text)


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ColonyError(f"'{escape(text)}' is not a whole number from 0 on", code=USAGE)
    return int(text)


def date(text: str) -> str:
    """A day written YYYY-MM-DD; also 'today' and 'yesterday', by the machine's clock."""
    import datetime

    if text in ("today", "yesterday"):
        day = datetime.date.today()
        return str(day if text == "today" else day - datetime.timedelta(days=1))
    try:
        if len(text) != 10:
            raise ValueError
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ColonyError(f"'{escape(text)}' is not a date", fix="write it like 2013-02-08", code=USAGE) from None


def text_or_input(words: list[str]) -> str:
    """The words as one text; of '-' alone what standard input holds, without its last newlines."""
    if words != ["-"]:
        return " ".join(words)
    try:
        return sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
    except UnicodeDecodeError:
        raise ColonyError("standard input is not UTF-8 text", code=USAGE) from None
