"""The check `anomalies`: figures of the day that are far from those of the days before.

How far is told by the robust z-score: the distance from the median of the earlier days, in units of 1.4826 times their
median absolute deviation, which one odd day among them does not move (Iglewicz and Hoaglin, How to Detect and Handle
Outliers, 1993). A figure that hardly ever changes is given a little room: 5 % of its median, of a share 0.01. Where
there are enough days of the same weekday, only these count, because weeks have a rhythm. With less history nothing is
said.
"""

from __future__ import annotations

import datetime
import statistics
from typing import Any

from colony_lib.base.text import escape
from colony_lib.data import profile
from colony_lib.data.checks.registry import Subject, finding

DAYS = 8  # earlier days without which nothing is said …
WEEKS = 5  # … and days of the same weekday from which on only those count
LIMIT = 6.0
_SHOWN = 5


def anomalies(subject: Subject) -> list[dict[str, Any]]:
    """thresholds: {anomalies: {warn: 6, fail: Z, days: 8, except: [COLUMN or rows]}}; the value is the greatest z."""
    expected = subject.expectations
    limits = expected.limits("anomalies", warn=LIMIT)
    days = int(expected.option("anomalies", "days") or DAYS)
    left_out = set(expected.option("anomalies", "except") or ())
    history = _alike(subject.date, subject.history, days)
    if len(history) < min(days, WEEKS) or subject.date is None:
        return []
    scores = []
    for name, value in subject.profile.items():
        kind, _, column = name.partition(".")
        known = [day[name] for day in history if name in day]
        if len(known) == len(history) and column not in left_out and kind not in left_out:
            usual = statistics.median(known)
            scores.append((_score(value, usual, known, kind), name, value, usual))
    if not scores:
        return []
    scores.sort(key=lambda each: (-each[0], each[1]))
    greatest = round(scores[0][0], 2)
    judged = limits.below(greatest)
    limit = judged[2]
    odd = [each for each in scores if limit is not None and each[0] >= limit]
    if not odd:
        return [finding("anomalies", judged, greatest, f"as usual, beside {len(history)} earlier days")]
    said = "; ".join(f"{_named(name)} {value:,.6g}, usually {usual:,.6g}" for _, name, value, usual in odd[:_SHOWN])
    more = f"; and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
    return [finding("anomalies", judged, greatest, f"{said}{more}")]


def _alike(date: str | None, history: list[tuple[str, profile.Profile]], days: int) -> list[profile.Profile]:
    """The days to compare with: those of the same weekday where they are enough, else all, if they are."""
    if date is None:
        return []
    weekday = datetime.date.fromisoformat(date).weekday()
    same = [known for day, known in history if datetime.date.fromisoformat(day).weekday() == weekday]
    if len(same) >= WEEKS:
        return same
    return [known for _, known in history] if len(history) >= days else []


def _score(value: float, usual: float, known: list[float], kind: str) -> float:
    spread = 1.4826 * statistics.median(abs(each - usual) for each in known)
    room = 0.01 if kind in ("nulls", "true") else 0.05 * abs(usual)
    return abs(value - usual) / max(spread, room, 1e-9)


def _named(name: str) -> str:
    kind, _, column = name.partition(".")
    words = {"nulls": "share of nulls in", "mean": "mean of", "true": "share of true in"}
    return f"{words[kind]} {escape(column)}" if column else "rows"
