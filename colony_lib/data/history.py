"""The earlier days of a dataset, as their validation reports tell them: what anomalies are measured against."""

from __future__ import annotations

import datetime
import os
import re
from typing import Any

from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.data import staging
from colony_lib.data.pipeline import Pipeline, day_before


class Day:
    """An earlier date and its statistics (see columnstats)."""

    __slots__ = ("date", "statistics")

    def __init__(self, date: str, statistics: dict[str, float]) -> None:
        self.date = date
        self.statistics = statistics

    @property
    def weekday(self) -> int:
        return weekday(self.date)


def weekday(date: str) -> int:
    """0 is Monday."""
    return datetime.date.fromisoformat(date).weekday()


def earlier(pipeline: Pipeline, dataset: str, date: str, days: int) -> list[Day]:
    """The dataset's dates in the `days` before this one that were validated, oldest first.

    Later dates do not count, so that a day that is validated again is judged as it was. Nor does a day that failed, for
    it was not loaded; but one that failed as an anomaly alone does, or what has changed for good would fail for ever.
    """
    first = (datetime.date.fromisoformat(date) - datetime.timedelta(days=days)).isoformat()
    staging.take_days(pipeline, "validation", dataset, first, day_before(date))
    folder = os.path.dirname(pipeline.path("validation", dataset, date))
    name = re.compile(rf"validation_{re.escape(dataset)}_(\d{{4}}-\d\d-\d\d)\.json\Z")
    try:
        found = sorted(match[1] for entry in os.listdir(folder) if (match := name.match(entry)))
    except FileNotFoundError:
        return []
    reports = [(day, _report(pipeline.path("validation", dataset, day))) for day in found if first <= day < date]
    return [Day(day, _numbers(report["statistics"])) for day, report in reports if _counts(report)]


def _report(path: str) -> dict[str, Any]:
    try:
        found = files.read_json(path, {})
    except ColonyError:
        return {}  # a damaged report of another day must not stop this one's
    return found if isinstance(found, dict) else {}


def _counts(report: dict[str, Any]) -> bool:
    checks = report.get("checks")
    if not isinstance(report.get("statistics"), dict) or not isinstance(checks, list):
        return False
    broken = [c for c in checks if isinstance(c, dict) and c.get("passed") is False and c.get("severity") == "fail"]
    return all(check.get("name") == "anomaly" for check in broken)


def _numbers(statistics: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in statistics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
