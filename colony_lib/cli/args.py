"""Command lines: what their words mean. The parser itself (args_parser) is imported when it is first asked for, as
`args.Parser`: argparse costs as much as Python's own start, and simple lines are read without it."""

from __future__ import annotations

import sys

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import cut, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    from colony_lib.cli.args_parser import Parser as Parser


def __getattr__(name: str) -> Any:
    if name == "Parser":
        from colony_lib.cli.args_parser import Parser

        return Parser
    raise AttributeError(name)


class Given:
    """What a command line says, by name, as argparse's Namespace has it."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def simple(
    argv: list[str],
    switches: Sequence[str] = (),
    values: Sequence[str] = (),
    arguments: Sequence[str] = (),
    least: int = 0,
) -> Any:
    """What a plain command line says: `switches` (True or False), `values` and `arguments` (text or None; `least`
    arguments must be there). None for any other line (help, a slip, '--'): the parser has the words for those."""
    found: dict[str, Any] = {name.strip("-").replace("-", "_"): False for name in switches}
    found |= {name.strip("-").replace("-", "_"): None for name in values} | dict.fromkeys(arguments)
    rest = []
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word in switches:
            found[word.strip("-").replace("-", "_")] = True
        elif name in values:
            value = value if equals else next(words, "")
            if not value or value.startswith("-"):
                return None
            found[name.strip("-").replace("-", "_")] = value
        elif not word or word.startswith("-"):
            return None
        else:
            rest.append(word)
    if not least <= len(rest) <= len(arguments):
        return None
    return Given(**found | dict(zip(arguments, rest)))


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON: a list as one object a line")


def add_lock_timeout(parser: argparse.ArgumentParser) -> None:
    from colony_lib.cli.args_parser import LockTimeout

    parser.add_argument(
        "--lock-timeout",
        type=positive_duration,
        metavar="T",
        action=LockTimeout,
        help="how long to wait for a lock, then exit 75 (default 10s)",
    )


def typed(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """An argparse `type` whose ColonyError goes through as it is."""
    return convert


def positive_duration(text: str) -> float:
    from colony_lib.base.text import duration

    return duration(text)


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ColonyError(f"'{escape(cut(text, 40))}' is not a whole number from 0 on", code=USAGE)
    return int(text)


def moment(text: str) -> str:
    """A time, given as one or as how long ago it was (2h, 7d), as files write times."""
    from colony_lib.base import clock
    from colony_lib.base.text import duration

    try:
        return clock.stamp(max(clock.epoch() - duration(text), 0.0))
    except ColonyError:
        try:
            return clock.stamp(clock.seconds(text))
        except (ValueError, OverflowError, OSError):
            fix = "write it like 7d, 2h, 30m or 2026-11-23T06:00:00Z"
            raise ColonyError(f"'{escape(text)[:60]}' is neither a duration nor a time", fix=fix, code=USAGE) from None


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
