"""`--watch[=SECONDS]`: a view that is drawn over itself on a terminal, and told anew in a pipe when it has changed."""

from __future__ import annotations

import io
import sys

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import cut, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EVERY = 1.0  # seconds, unless told
HELP = "redraw in place every second, or as often as --watch=SECONDS says; in a pipe only what has changed"


def option(words: list[str]) -> tuple[list[str], float]:
    """The words with `--watch=SECONDS` as a plain `--watch`, and the seconds. (As an optional value argparse would
    take the word after `--watch` for it.)"""
    every = EVERY
    found = list(words)
    for place, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--watch="):
            found[place], every = "--watch", _seconds(word.removeprefix("--watch="))
    return found, every


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise ColonyError(
            f"'{escape(cut(text, 40))}' is not a time to wait between two looks",
            fix="write seconds, 0.1 or more: --watch=5",
            code=USAGE,
        )
    return seconds


class _Captured(io.StringIO):
    """Takes what a view prints; a terminal if standard output is one, so that the view has its colours and width."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def follow(every: float, look: Callable[[], tuple[Any, bool]], between: str = "\n") -> None:
    """Look every so many seconds until it is over. `look` prints the view and returns (what counts as a change,
    whether it is over). `between` stands between two blocks in a pipe."""
    import time

    out = sys.stdout
    last: Any = None
    drawn = False
    while True:
        captured = _Captured(out.isatty())
        sys.stdout = captured
        try:
            state, over = look()
        finally:
            sys.stdout = out
        if captured.terminal:
            out.write(_over(captured.getvalue(), _rows(out.fileno()), first=not drawn, over=over))
        elif not drawn or state != last:
            out.write((between if drawn else "") + captured.getvalue())
        out.flush()
        drawn, last = True, state
        if over:
            return
        time.sleep(every)


def _rows(terminal: int) -> int:
    """The lines of the terminal as it is now; $LINES may be of a time before it was resized."""
    import os

    return os.get_terminal_size(terminal).lines or 24


def _over(text: str, rows: int, *, first: bool, over: bool) -> str:
    """What draws the text over the one before, line by line, so that nothing flickers; while it goes on no more lines
    than the screen has, for a screen that scrolls is no longer drawn in place."""
    lines = text.rstrip("\n").split("\n")
    room = max(rows - 1, 1)
    if len(lines) > room and not over:
        lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
    begin = "\x1b[H\x1b[2J" if first else "\x1b[H"
    return begin + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
