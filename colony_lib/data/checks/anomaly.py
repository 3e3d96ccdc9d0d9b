"""The check `anomaly`: statistics of the table that are far from what earlier days of the same weekday had.

For each statistic (see columnstats) the expected value is the median of the earlier days of this date's weekday; the
unit of distance is 1.4826 times the median absolute deviation of all earlier days from the medians of their own
weekdays. Medians, because a few bad days in the history must not move what counts as normal; weekdays, because a
Sunday is not a bad Monday. The distance is widened for how few days a median is of:

    d = |value - median| / max(1.4826 × MAD × sqrt(n / (n - k)), floor) / sqrt(1 + π / (2 m))

with n earlier days of k weekdays, m of them of this weekday. `floor` is what chance alone does where the history is
constant: the square root of a count, the binomial deviation of a share (at least 0.005), a hundredth of a mean.
It is quiet about a statistic until m reaches `least` (4) and n three times that. It warns from d = 6 on, which of
normally distributed days about one in a thousand reaches after four weeks.
"""

from __future__ import annotations

import math
import statistics as medians
from collections.abc import Sequence
from typing import Any

from colony_lib.base.text import escape
from colony_lib.data.checks.registry import Limits, Subject, finding
from colony_lib.data.history import weekday

HISTORY = 56  # days looked back
LEAST = 4  # earlier days of the weekday
WARN_FROM = 6.0
_NORMAL = 1.4826  # of a normal distribution the standard deviation over the median absolute one
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


class Distance:
    """How far a statistic is from what was expected of it, in deviations; `count` days the expectation is of."""

    __slots__ = ("count", "expected", "name", "value", "widths")

    def __init__(self, name: str, value: float, expected: float, widths: float, count: int) -> None:
        self.name = name
        self.value = value
        self.expected = expected
        self.widths = widths
        self.count = count

    def told(self, days: str) -> str:
        side = "above" if self.value > self.expected else "below"
        what = f"{escape(self.name)} {self.value:.6g} is {self.widths:.1f} deviations {side}"
        return f"{what} {self.expected:.6g}, the median of {self.count} {days}"


def anomaly(subject: Subject) -> list[dict[str, Any]]:
    """No finding without a date or enough history, nor of an empty table (see record_count)."""
    option = subject.expectations.option
    limits = subject.expectations.limits("anomaly", warn=WARN_FROM)
    if subject.date is None or option("anomaly", "off") or not len(subject):
        return []
    least = int(option("anomaly", "least") or LEAST)
    day = weekday(subject.date)
    found = []
    for name, value in subject.statistics.items():
        if _wanted(name, option("anomaly", "columns"), option("anomaly", "except") or ()):
            known = [(d.weekday, d.statistics[name]) for d in subject.history if name in d.statistics]
            one = distance(name, value, len(subject), day, known, least)
            found += [one] if one is not None else []
    if not found:
        return []
    found.sort(key=lambda one: (-one.widths, one.name))
    return [_judged(found, limits, _WEEKDAYS[day])]


def _judged(found: Sequence[Distance], limits: Limits, days: str) -> dict[str, Any]:
    judged = limits.below(found[0].widths)
    if judged[0]:
        return finding("anomaly", judged, found[0].widths, f"like earlier {days}: most unlike, {found[0].told(days)}")
    odd = [one for one in found if not limits.below(one.widths)[0]]
    more = f"; and {len(odd) - 3} more" if len(odd) > 3 else ""
    return finding("anomaly", judged, found[0].widths, "; ".join(one.told(days) for one in odd[:3]) + more)


def _wanted(name: str, only: Sequence[str] | None, exempt: Sequence[str]) -> bool:
    column = name.partition(":")[2]
    return column not in exempt and name not in exempt and (not only or not column or column in only)


def distance(
    name: str, value: float, rows: int, day: int, known: Sequence[tuple[int, float]], least: int = LEAST
) -> Distance | None:
    """How far the value is from earlier ones [(weekday, value)]; None while there are too few of them."""
    groups: dict[int, list[float]] = {}
    for other, earlier in known:
        groups.setdefault(other, []).append(earlier)
    mine = groups.get(day, [])
    count = len(known)
    if len(mine) < least or count < 3 * least:
        return None
    middle = {other: medians.median(values) for other, values in groups.items()}
    apart = medians.median(abs(earlier - middle[other]) for other, earlier in known)
    expected = middle[day]
    width = max(_NORMAL * apart * math.sqrt(count / (count - len(groups))), _floor(name, expected, rows))
    width *= math.sqrt(1 + math.pi / (2 * len(mine)))
    return Distance(name, value, expected, round(abs(value - expected) / width, 2), len(mine))


def _floor(name: str, expected: float, rows: int) -> float:
    """What chance alone does to such a statistic, where earlier days were all alike."""
    kind = name.partition(":")[0]
    if kind in ("record_count", "distinct"):
        return max(1.0, math.sqrt(abs(expected)))
    if kind == "nulls":
        return max(0.005, math.sqrt(expected * (1 - expected) / rows))
    return max(0.01 * abs(expected), 1e-6)
