"""Numbers as pictures of text: a sparkline, and a line chart of several rows; where there is nothing is a gap."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "·"
_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-~=*#"
# The dots of a braille character (two columns of four) as bits, from the top.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def fits(encoding: str | None) -> bool:
    """Whether an output of this encoding can show the characters beyond ASCII that charts use."""
    try:
        (GAP + _BARS + "⣿│└").encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _levels(values: Sequence[float | None], count: int, within: Sequence[float] = ()) -> list[int | None]:
    """Each value as a level from 0 to count-1, on a scale that holds those of `within` too; values that are all the
    same stand in the middle."""
    there = [value for value in values if value is not None]
    if not there:
        return [None] * len(values)
    low, high = min(*there, *within, there[0]), max(*there, *within, there[0])
    # Halved, so that the distance between the largest and the smallest number there is stays finite.
    span = high / 2 - low / 2
    if span <= 0.0:
        return [None if value is None else (count - 1) // 2 for value in values]
    return [None if value is None else round((value / 2 - low / 2) / span * (count - 1)) for value in values]


def sparkline(values: Sequence[float | None], *, ascii_only: bool = False) -> str:
    """One character a value, from the smallest to the largest there is; `·` (in ASCII a blank) for None."""
    bars, gap = (_ASCII_BARS, " ") if ascii_only else (_BARS, GAP)
    return "".join(gap if level is None else bars[level] for level in _levels(values, len(bars)))


def row_of(value: float, values: Sequence[float | None], height: int) -> int | None:
    """In which row of `lines(values, height, within=[value])`, from the top, the value lies; None without values."""
    there = [one for one in values if one is not None]
    level = _levels([*there, value], height * 4)[-1] if there else None
    return None if level is None else height - 1 - level // 4


def lines(
    values: Sequence[float | None], height: int = 4, *, ascii_only: bool = False, within: Sequence[float] = ()
) -> list[str]:
    """A line chart `height` rows high: braille, two values a column, or '*' and one value a column in ASCII. The scale
    holds the values of `within` too.

    Neighbours are joined by upright strokes; None breaks the line, and a column of gaps alone shows the mark on
    the lowest row.
    """
    if ascii_only:
        return _stars(values, height, within)
    levels = _levels(values, height * 4, within)
    cells = [[0] * ((len(values) + 1) // 2) for _ in range(height)]
    before: int | None = None
    for x, level in enumerate(levels):
        if level is not None:
            start = level if before is None else before
            for y in range(min(start, level), max(start, level) + 1):
                if y == level or y != start:  # the stroke from the neighbour's height, which has its own dot
                    row, dot = divmod(height * 4 - 1 - y, 4)
                    cells[row][x // 2] |= _DOTS[dot][x % 2]
        before = level
    drawn = [[chr(0x2800 + bits) if bits else " " for bits in row] for row in cells]
    for column in range(len(drawn[0])):
        if all(row[column] == " " for row in drawn):
            drawn[-1][column] = GAP
    return ["".join(row) for row in drawn]


def _stars(values: Sequence[float | None], height: int, within: Sequence[float]) -> list[str]:
    levels = _levels(values, height, within)
    return ["".join("*" if level == y else " " for level in levels) for y in range(height - 1, -1, -1)]


def framed(
    values: Sequence[float | None], left: str, right: str, height: int = 4, *, ascii_only: bool = False
) -> list[str]:
    """The line chart with its scale: the largest and the smallest value at the side, `left` and `right` (times)
    under its ends."""
    side, corner, floor = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    rows = lines(values, height, ascii_only=ascii_only)
    there = [value for value in values if value is not None] or [0.0]
    scale = [f"{max(there):.4g}"] + [""] * (height - 2) + [f"{min(there):.4g}"]
    if max(there) == min(there) and any(value is not None for value in values):  # one number, beside the one line
        scale = ["" if row != row_of(there[0], values, height) else scale[0] for row in range(height)]
    margin = max(map(len, scale))
    drawn = [f"{mark:>{margin}} {side}{row}".rstrip() for mark, row in zip(scale, rows)]
    columns = len(rows[0])
    drawn.append(" " * margin + " " + corner + floor * columns)
    drawn.append(" " * margin + "  " + left + right.rjust(columns - len(left)))
    return drawn
