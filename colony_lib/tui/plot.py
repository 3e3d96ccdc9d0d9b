"""A metric's course as lines of the screen: braille over a scale, with the alert's threshold drawn through."""

from __future__ import annotations

from colony_lib.base import clock
from colony_lib.base.text import show_duration
from colony_lib.store import chart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from colony_lib.tui.paint import Line
    from colony_lib.tui.trends import Trend

MARGIN = 11  # columns of the scale


def amount(value: float | None, unit: str | None) -> str:
    """A value as people say it: '6m52s', '98.7 %', '10,498', '$0.13', '1.2 MB'."""
    if value is None:
        return "-"
    if unit == "seconds":
        return show_duration(value) if value >= 0 else f"-{show_duration(-value)}"
    if unit == "milliseconds":
        return f"{value:,.0f} ms"
    if unit == "usd":
        return f"${value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"${value:.4f}"
    if unit == "percent":
        return f"{value:.4g} %"
    if unit == "bytes":
        for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    if abs(value) >= 1e12:
        return f"{value:.4g}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 10_000 else f"{value:.4g}"


def spark(trend: Trend, columns: int, *, ascii_only: bool = False) -> Line:
    """The course in one line; parts over the threshold in red."""
    values = trend.shrunk(columns)
    drawn = chart.sparkline(values, ascii_only=ascii_only)
    line: Line = []
    for sign, value in zip(drawn, values):
        role = "faint" if value is None else "bad" if trend.is_over(value) else "run"
        if line and line[-1][1] == role:
            line[-1] = (line[-1][0] + sign, role)
        else:
            line.append((sign, role))
    return line


def draw(trend: Trend, columns: int, height: int, *, ascii_only: bool = False) -> list[Line]:
    """The chart, `height` rows and two more for the axis."""
    room = max(columns - MARGIN - 3, 10)
    values = trend.shrunk(room if ascii_only else room * 2)
    limit = trend.threshold[1] if trend.threshold else None
    within = [limit] if limit is not None else []
    rows = chart.lines(values, height, ascii_only=ascii_only, within=within)
    there = [value for value in values if value is not None]
    at = chart.row_of(limit, values, height) if limit is not None else None
    ends = [*there, *within] or [0.0]
    labels = {0: amount(max(ends), trend.unit), height - 1: amount(min(ends), trend.unit)}
    if max(ends) == min(ends):
        labels = {chart.row_of(ends[0], values, height) or 0: labels[0]}  # one number, beside the one line
    if at is not None and limit is not None:
        labels[at] = amount(limit, trend.unit)
    above = trend.threshold is not None and ">" in trend.threshold[0]
    drawn: list[Line] = []
    for number, row in enumerate(rows):
        wrong = at is not None and (number < at if above else number > at)
        label = (f"{labels.get(number, ''):>{MARGIN}} ", "warn" if number == at else "dim")
        if number == at:
            row = "".join("┄" if sign in " ·" else sign for sign in row.ljust(room))
        pieces: Line = [label, ("│", "faint")]
        for sign in row:
            role = "warn" if sign == "┄" else "faint" if sign == chart.GAP else "bad" if wrong else "run"
            if pieces[-1][1] == role:
                pieces[-1] = (pieces[-1][0] + sign, role)
            else:
                pieces.append((sign, role))
        drawn.append(pieces)
    drawn.append([(" " * (MARGIN + 1) + "└" + "─" * room, "faint")])
    start = clock.stamp(clock.epoch() - trend.hours * 3600)
    left = start[11:16] if trend.hours <= 24 else start[5:10]
    drawn.append([(" " * (MARGIN + 2) + left + "now".rjust(room - len(left)), "dim")])
    return drawn
