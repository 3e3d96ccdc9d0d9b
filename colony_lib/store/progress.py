"""How far long work is, on a terminal: one line on standard error that is drawn over itself and taken away at the end.

Where standard error is no terminal, nothing at all is written and `tell` costs a comparison.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from colony_lib.store import env

EVERY = 0.1  # seconds between two drawings
AFTER = 0.2  # seconds that work may take before it says anything
_BAR = 16  # characters
_shown: _Line | None = None


class working:
    """`with working(): …` — what is told in the block is shown, and gone after it."""

    __slots__ = ("_mine",)

    def __enter__(self) -> None:
        global _shown
        self._mine = _shown is None and _is_terminal()
        if self._mine:
            _shown = _Line()

    def __exit__(self, *_: object) -> None:
        global _shown
        if self._mine and _shown is not None:
            _shown.clear()
            _shown = None


def tell(what: str, doing: str, count: int | None = None, of: int | None = None) -> None:
    """With `what` ("flights") one is `doing` that ("reading"), at `count` rows, of so many, where these are known. Of
    several things at once (threads) all are shown; '' as `doing`: that one is done with."""
    if _shown is not None:
        _shown.tell(what, doing, count, of)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and env.get("TERM") not in (None, "", "dumb")


class _Line:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = self._drawn = time.monotonic()
        self._since: dict[tuple[str, str], float] = {}
        self._parts: dict[str, str] = {}
        self._over = False
        self._visible = False
        # Who waits for another machine tells once and then no more: that is drawn when its time has come.
        self._waits = threading.Timer(AFTER, self._draw_what_is_told)
        self._waits.daemon = True
        self._waits.start()

    def _draw_what_is_told(self) -> None:
        with self._lock:
            if self._parts and not self._over:
                self._draw()

    def tell(self, what: str, doing: str, count: int | None, of: int | None) -> None:
        now = time.monotonic()
        with self._lock:
            self._parts.pop(what, None)
            begins = (what, doing) not in self._since
            if doing:
                seconds = now - self._since.setdefault((what, doing), now)
                self._parts[what] = _said(what, doing, count, of, seconds)
            if now - self._began >= AFTER and (begins or now - self._drawn >= EVERY):
                self._draw()
                self._drawn = now

    def _draw(self) -> None:
        from colony_lib.base.text import cut, escape

        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            width = 80
        line = cut(escape(" · ".join(reversed(self._parts.values()))), max(width - 1, 20))
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()
        self._visible = True

    def clear(self) -> None:
        self._waits.cancel()
        with self._lock:
            self._over = True
            if self._visible:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                self._visible = False


def _said(what: str, doing: str, count: int | None, of: int | None, seconds: float) -> str:
    if count is None:
        return f"{what}: {doing}"
    rate = f", {count / seconds:,.0f}/s" if seconds >= 1 and count else ""
    if not of:
        return f"{what}: {doing} {count:,} rows{rate}"
    bar, rest = "█░" if "utf" in (sys.stderr.encoding or "").lower() else "#-"
    full = min(_BAR * count // of, _BAR)
    return f"{what}: {doing} {bar * full}{rest * (_BAR - full)} {count:,} of {of:,} rows{rate}"
