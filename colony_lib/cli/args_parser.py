"""The parser of command lines: argparse with examples first, nearest-name hints, one-line errors, no abbreviations."""

from __future__ import annotations

import argparse
import sys

from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

# Help reads the same in every language; looking for translations that are not there costs 2 ms.
argparse._ = str  # type: ignore[attr-defined]


class _Layout(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, max_help_position=28, width=100, **settings)


class Asked(BaseException):
    """Raised in the place of printing a help text while `describing` is on: `parser` is the one it is about."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser


describing = False


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
        self.verbs = self.add_subparsers(
            dest="verb", metavar="COMMAND", title="commands", description="", parser_class=Parser
        )
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

    def print_help(self, file: Any = None) -> None:
        if describing:
            raise Asked(self)
        super().print_help(file)

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


class LockTimeout(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        from colony_lib.base import locks

        locks.default_timeout = values
