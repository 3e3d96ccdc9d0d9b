"""The metrics as rows: newest value, change against the median, course over some hours, and the alerts' thresholds."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable

from colony_lib.base.errors import ColonyError
from colony_lib.store import metrics, paths, points

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Threshold = tuple[str, float]  # a comparison's sign, and the limit: the alert is on while it holds

RANGES = ((24, "24 h"), (168, "7 d"), (720, "30 d"))
BUCKETS = 240  # parts of the time that are kept of each metric
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
REST = 20  # a metric is read again only after so many times what its last reading took


class Trend:
    """One metric over a range of hours; `state` tells whether its file has changed since."""

    __slots__ = (
        "buckets", "count", "high", "hours", "last", "low", "median", "name", "p95", "read_at", "state", "threshold",
        "took", "type", "unit",
        "usual",
    )  # fmt: skip

    def __init__(self, name: str, hours: int, state: tuple[int, int], threshold: Threshold | None) -> None:
        began = time.monotonic()
        window = points.Window(name, hours)
        found = window.statistics()
        self.name, self.hours, self.state, self.threshold = name, hours, state, threshold
        self.type, self.unit = window.type, window.unit
        self.last: tuple[str, int | float, dict[str, str]] | None = window.last
        self.count: int = found["count"]
        self.low, self.high, self.median, self.p95 = found["min"], found["max"], found["p50"], found["p95"]
        self.buckets = window.buckets(BUCKETS)
        self.usual = window.median_like_last({"date"})
        self.took = time.monotonic() - began
        self.read_at = time.monotonic()

    @property
    def change(self) -> float | None:
        """The newest value's distance from what is usual for its labels, their median, as a share of that."""
        if self.last is None or not self.usual:
            return None
        return float((float(self.last[1]) - self.usual) / abs(self.usual))

    def is_over(self, value: float | None) -> bool:
        """Whether the alert's condition holds for the value."""
        if value is None or self.threshold is None:
            return False
        sign, limit = self.threshold
        return _HOLDS[sign](value, limit)

    def shrunk(self, count: int) -> list[float | None]:
        """The course in fewer parts: the average of what falls into each."""
        found: list[float | None] = []
        for part in range(count):
            low, high = part * BUCKETS // count, max((part + 1) * BUCKETS // count, part * BUCKETS // count + 1)
            there = [value for value in self.buckets[low:high] if value is not None]
            found.append(sum(there) / len(there) if there else None)
        return found


class Trends:
    """All metrics of the colony; only what has changed is read again, and what is slow to read not all the time."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Trend] = {}
        self._alerts: dict[str, Threshold] = {}
        self._alerts_of: tuple[int, int] | None = None

    def look(self, hours: int) -> list[Trend]:
        """The metrics over that range, by name. What cannot be read is left out."""
        alerts = self._thresholds()
        found = []
        for name in metrics.names():
            try:
                found.append(self._trend(name, hours, alerts.get(name)))
            except (ColonyError, OSError):
                continue
        return found

    def _trend(self, name: str, hours: int, threshold: Threshold | None) -> Trend:
        state = _state(paths.metric(name)) or (0, 0)
        known = self._known.get((name, hours))
        if known is not None:
            known.threshold = threshold
            old = time.monotonic() - known.read_at
            fresh = known.state == state and old < hours * 3600 / BUCKETS
            if fresh or old < REST * known.took:
                return known
        made = self._known[name, hours] = Trend(name, hours, state, threshold)
        return made

    def _thresholds(self) -> dict[str, Threshold]:
        """{metric: threshold} of the alerts in pipeline.yml; none while that file is wrong."""
        file = os.path.join(paths.root(), "pipeline.yml")
        state = _state(file)
        if state != self._alerts_of:
            self._alerts_of = state
            self._alerts = _alerts(file) if state else {}
        return self._alerts


def _state(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _alerts(file: str) -> dict[str, Threshold]:
    from colony_lib.data import pipeline, report_alerts

    try:
        alerts = report_alerts.check(pipeline.load(file))
    except ColonyError:
        return {}
    named: dict[str, Any] = {figure: metric for metric, figure in report_alerts.METRICS.items()}
    return {named.get(figure, f"pipeline_{figure}"): (sign, limit) for figure, sign, limit in alerts}
