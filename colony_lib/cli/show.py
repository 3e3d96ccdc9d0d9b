"""Printing: tables for eyes, JSON for programs, talk on standard error."""

from __future__ import annotations

import os
import sys

from colony_lib.base.jsontext import dumps
from colony_lib.base.text import cut, escape, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from colony_lib.base.errors import ColonyError

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "grey": "90", "bold": "1"}
_STATUSES = {
    "green": "completed cached PASS ok",
    "cyan": "ready",
    "blue": "running working in_progress",
    "yellow": "retrying waiting interrupted blocked WARN warn",
    "red": "failed FAIL fail error",
    "grey": "cancelled skipped pending stopped",
}
MARKS = {
    "completed": "✓", "cached": "✓", "failed": "✗", "skipped": "–", "cancelled": "–", "interrupted": "!", "busy": "!",
    "retrying": "!", "waiting": "?", "pending": "·", "running": "●",
}  # fmt: skip
STATUS_COLOURS = {status: name for name, statuses in _STATUSES.items() for status in statuses.split()}


def is_terminal() -> bool:
    return sys.stdout.isatty()


def columns() -> int:
    """The terminal's width; 0 (no limit) where output is not a terminal."""
    if not is_terminal():
        return 0
    from shutil import get_terminal_size

    return get_terminal_size().columns


def coloured() -> bool:
    """Colour only on a terminal that wants it (NO_COLOR, TERM=dumb)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def colour(text: str, name: str | None) -> str:
    if name not in _COLOURS or not coloured():
        return text
    return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m"


def cell(value: Any) -> str:
    """One value as a table shows it."""
    if value.__class__ is str and value and value.isascii() and value.isprintable():
        return str(value)
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return escape(", ".join(map(str, value))) or "-"
    if isinstance(value, dict):
        return escape(dumps(value))
    return escape(value)


def table(rows: Iterable[dict[str, Any]], wanted: Sequence[str | tuple[str, str]], *, limit: int | None = None) -> None:
    """Aligned columns under headings. `wanted`: keys, or (key, heading). On a terminal the last column is cut
    to its width; in a pipe nothing is cut. Numbers stand right. Prints nothing but the heading for no rows."""
    keys = [(item, item.upper().replace("_", " ")) if isinstance(item, str) else item for item in wanted]
    found = list(rows)[:limit]
    room = columns()
    used = 0  # columns of the terminal
    made = []
    for place, (key, heading) in enumerate(keys):
        values = [row.get(key) for row in found]
        texts = [heading, *map(cell, values)]
        sizes = [len(text) for text in texts] if "".join(texts).isascii() else list(map(width, texts))
        size = max(sizes)
        last = place == len(keys) - 1
        if room and last and used + size > room:
            size = max(room - used, 8)
            texts = [cut(text, size) if own > size else text for text, own in zip(texts, sizes)]
            sizes = list(map(width, texts))
        right = _are_numbers(values)
        if coloured():
            texts = [colour(texts[0], "grey"), *(colour(text, STATUS_COLOURS.get(text)) for text in texts[1:])]
        if right or not last:
            pads = [" " * (size - own) for own in sizes]
            texts = list(map("".join, zip(pads, texts) if right else zip(texts, pads)))
        made.append(texts)
        used += size + 2
    sys.stdout.writelines("  ".join(line).rstrip() + "\n" for line in zip(*made))


def _are_numbers(values: list[Any]) -> bool:
    numbers = {type(value) for value in values} - {type(None)}
    return bool(numbers) and numbers <= {int, float, bool}


def records(items: Iterable[Any]) -> None:
    """JSON Lines: one object a line, each printed as it becomes known."""
    for item in items:
        sys.stdout.write(dumps(item) + "\n")


def lines(texts: Iterable[str]) -> None:
    """Texts that are JSON already, one a line."""
    sys.stdout.writelines(f"{text}\n" for text in texts)


def record(item: Any) -> None:
    """One JSON object (or value) on one line."""
    print(dumps(item))


def value(item: Any) -> None:
    """One value, bare: text as it is, anything else as JSON."""
    print(item if isinstance(item, str) else dumps(item))


def nothing(text: str) -> None:
    """Tell people at a terminal why they see nothing; a pipe holds nothing, which says it all."""
    if is_terminal():
        note(text)


def note(text: str) -> None:
    """Talk, on standard error."""
    print(escape(text, keep="\n"), file=sys.stderr)


def warn(text: str, name: str = "") -> None:
    print(f"colony {name}: {escape(text)}" if name else f"warning: {escape(text)}", file=sys.stderr)


def fault(error: ColonyError, as_json: bool) -> None:
    """One thing that is wrong with a file, as a result: 'file:line: what; what to do', or an object of
    schemas/problem.schema.json."""
    file, colon, line = (error.where or "").rpartition(":")
    place = (file, int(line)) if colon and line.isdigit() else (error.where, None)
    if as_json:
        record({"file": place[0], "line": place[1], "message": error.what, "fix": error.fix})
    else:
        where = f"{error.where}: " if error.where else ""
        print(escape(f"{where}{error.what}" + (f"; {error.fix}" if error.fix else "")))


def problems(found: Iterable[tuple[str, int, str]], name: str = "") -> None:
    """One line on standard error for each line of a journal that could not be read (base.jsonl)."""
    speaker = f"colony {name}" if name else "colony"
    for path, number, why in found:
        near = os.path.relpath(path)
        where = escape(path if near.startswith("..") else near)
        print(f"{speaker}: skipped an unreadable line at {where}:{number}: {escape(why)}", file=sys.stderr)
