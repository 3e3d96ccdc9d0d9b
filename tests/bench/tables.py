"""Markdown tables: made, read, and put into a document between two marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def made(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as text; a bar in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def read(text: str) -> list[list[str]]:
    """The cells of the rows of the text's one table, its head left out, as `made` was given them."""
    lines = [line for line in text.split("\n") if line.startswith("|")]
    parted = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:])
    return [[cell.strip().replace("\\|", "|") for cell in cells] for cells in parted]


def between(text: str, name: str) -> str:
    """What stands between the marks `<!-- NAME: … -->` and `<!-- end of NAME -->`."""
    found = re.search(_marks(name), text, re.DOTALL)
    if found is None:
        raise ValueError(f"there are no marks '<!-- {name}: … -->' and '<!-- end of {name} -->'")
    return found[2]


def replaced(text: str, name: str, new: str) -> str:
    """The text with something else between these marks."""
    between(text, name)
    return re.sub(_marks(name), lambda found: found[1] + new + found[3], text, flags=re.DOTALL)


def put(path: Path, name: str, new: str) -> None:
    """Replace what stands between the marks in the file."""
    path.write_text(replaced(path.read_text(encoding="utf-8"), name, new), encoding="utf-8")


def _marks(name: str) -> str:
    return rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- end of {name} -->\n)"
