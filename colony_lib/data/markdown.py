"""Markdown that reads well in a terminal and on a forge: tables, names, numbers, and texts that stay only texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from colony_lib.base.text import cut, escape, show_duration, width

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|!(?=\[)")
_START = re.compile(r"(\d+(?=[.)])|(?=[#+=>-]))")  # what would begin a list, heading, quote or rule
_LINK = re.compile(r"(?i)(?<=:)//|(?<=www)\.")
LONGEST = 240


def text(value: object) -> str:
    """A text as Markdown shows it literally: no markup, HTML, link or line break of its own."""
    line = cut(escape(value).strip(), LONGEST)
    line = _LINK.sub(lambda match: "\\" + match.group(), _SPECIAL.sub(lambda match: "\\" + match.group(), line))
    first = _START.match(line)
    if first:
        line = first[1] + "\\" + line[first.end(1) :]
    return line


def code(value: object) -> str:
    """A name as Markdown code, also inside a table."""
    line = cut(escape(value), LONGEST).replace("|", "\\|")
    runs = [len(run) for run in re.findall("`+", line)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if runs or not line.strip() else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def number(value: Any, digits: int | None = None) -> str:
    if value is None:
        return "–"
    if digits is not None:
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def took(seconds: float | None) -> str:
    return "–" if seconds is None else show_duration(seconds)


def percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share == 0 or share >= 0.0005 else "< 0.1 %"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """An aligned table; a heading that ends in '#' stands for a column of numbers, to the right."""
    right = [heading.endswith("#") for heading in headings]
    lines = [[heading.rstrip("#") for heading in headings], *([*row] for row in rows)]
    sizes = [max(3, *(width(line[i]) for line in lines)) for i in range(len(headings))]
    made = []
    for count, line in enumerate(lines):
        cells = [
            " " * (size - width(cell)) + cell if aside else cell + " " * (size - width(cell))
            for cell, size, aside in zip(line, sizes, right, strict=True)
        ]
        made.append("| " + " | ".join(cells) + " |")
        if count == 0:
            rules = ["-" * (size + 1) + (":" if aside else "-") for size, aside in zip(sizes, right, strict=True)]
            made.append("|" + "|".join(rules) + "|")
    return [*made, ""]
