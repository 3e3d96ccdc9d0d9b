"""Tab 5: the metrics, what is over its alert's threshold first; below them the chart of the one under the cursor."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from colony_lib.base import text
from colony_lib.tui import frame, plot
from colony_lib.tui.paint import Line, cell
from colony_lib.tui.rows import Lines, Rows, painter
from colony_lib.tui.tab import Tab
from colony_lib.tui.trends import RANGES, Trend

CHART = 6  # rows of the chart on a small screen


class MetricsTab(Tab):
    name_of = "Metrics"

    def __init__(self) -> None:
        super().__init__()
        self.range = 0
        self._full = False

    @property
    def hours(self) -> int:
        return RANGES[self.range][0]

    def compose(self) -> ComposeResult:
        yield Lines([], id="metrics-head")
        yield Rows(
            self._row, lambda trend: trend.name, empty="no metrics yet: colony metrics record NAME VALUE", id="metrics"
        )
        yield Lines([], id="chart")

    def draw(self) -> None:
        lets = [trend for trend in self.found.trends if self.filter.lets({}, trend.name)]
        lets.sort(key=lambda trend: not _is_over(trend))
        self.main().display = not self._full
        self.query_one("#metrics-head", Lines).put(self._head(self.size.width or 80))
        self.main().show(lets)
        self._draw_chart()

    def on_resize(self) -> None:
        self.draw()

    def on_rows_moved(self, event: Rows.Moved) -> None:
        self._draw_chart()

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        self.do_full()

    def back(self) -> bool:
        was, self._full = self._full, False
        if was:
            self.draw()
        return was

    def wrong(self) -> list[str]:
        return [trend.name for trend in self.main().items if _is_over(trend)]

    def do_longer(self) -> None:
        self._change(1)

    def do_shorter(self) -> None:
        self._change(-1)

    def do_full(self) -> None:
        self._full = not self._full
        self.draw()

    def _change(self, step: int) -> None:
        self.range = max(0, min(self.range + step, len(RANGES) - 1))
        self.colony.look_soon()
        self.draw()

    def _head(self, columns: int) -> Line:
        name, change, spark = _columns(columns)
        ranges = "  ".join(f"[{label}]" if place == self.range else label for place, (_, label) in enumerate(RANGES))
        head = cell("   METRIC", name + 3) + cell("NOW", 11, True) + cell("VS MEDIAN", change, True) + "  "
        return [(head, "dim"), (cell(ranges, spark), "accent"), (" ALERT", "dim")]

    def _row(self, trend: Trend, columns: int) -> Line:
        name, change, spark = _columns(columns)
        wrong = _is_over(trend)
        value = trend.last[1] if trend.last else None
        alert = f" {trend.threshold[0]} {plot.amount(trend.threshold[1], trend.unit)}" if trend.threshold else ""
        return [
            (" ✗ " if wrong else "   ", "bad"),
            (cell(trend.name, name), "bold" if wrong else "text"),
            (cell(plot.amount(value, trend.unit), 11, True), "bad" if wrong else "text"),
            (cell(_change(trend), change, True) + "  ", "dim"),
            *plot.spark(trend, spark, ascii_only=painter(self).ascii_only),
            (alert, "warn" if wrong else "dim"),
        ]

    def _draw_chart(self) -> None:
        trend: Trend | None = self.main().item
        lines = self.query_one("#chart", Lines)
        columns, rows = self.size.width or 80, self.size.height or 20
        if trend is None:
            lines.put()
            return
        height = max(rows - 6, 3) if self._full else max(min(rows // 2 - 4, 12), 3)
        numbers = _numbers(trend)
        title: Line = [(trend.name, "bold"), (f"  {RANGES[self.range][1]}", "accent")]
        drawn = plot.draw(trend, columns, height, ascii_only=painter(self).ascii_only)
        if trend.last and trend.last[2]:
            title.append(("  newest: " + " ".join(f"{k}={v}" for k, v in sorted(trend.last[2].items())), "dim"))
        if not trend.count:
            drawn = [[(f" no points in the last {RANGES[self.range][1]}", "dim")]]
        lines.put(frame.rule(title, columns), *drawn, numbers)


def _columns(columns: int) -> tuple[int, int, int]:
    """How wide name, change and sparkline are; the change has no room on a small screen."""
    if columns < 76:
        return 24, 0, 19
    name = 26 if columns < 110 else 44
    return name, 10, max(min(columns - name - 36, 60), 19)


def _is_over(trend: Trend) -> bool:
    return trend.last is not None and trend.is_over(trend.last[1])


def _change(trend: Trend) -> str:
    change = trend.change
    if change is None:
        return "-"
    if abs(change) < 0.0005:
        return "="
    return f"{change:+.1%}" if abs(change) < 1 else f"{change:+.0%}" if abs(change) < 100 else "…"


def _numbers(trend: Trend) -> Line:
    if not trend.count:
        return []
    parts: list[tuple[str, Any]] = [
        ("min", trend.low),
        ("median", trend.median),
        ("p95", trend.p95),
        ("max", trend.high),
    ]
    line: Line = [("  ", "")]
    for name, value in parts:
        line += [(f" {name} ", "dim"), (plot.amount(value, trend.unit), "text"), ("  ", "")]
    return [*line, (f" {text.plural(trend.count, 'point')}", "dim")]
