"""The day beside earlier days: reads their metrics/daily_DATE.json."""

from __future__ import annotations

import os
import re
import statistics
from typing import Any

from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.data import staging
from colony_lib.data.pipeline import Pipeline, day_before

FIGURES = (
    "records_fetched", "records_processed", "records_rejected", "records_loaded", "quality_score", "error_count",
    "warning_count", "duration_seconds",
)  # fmt: skip
DAYS = 28  # earlier days that the median is of
_FIRST = "0001-01-01"  # however far back they are: it is the last ones that count
SHOWN = 6  # earlier days in the report
_NAME = re.compile(r"daily_(\d{4}-\d{2}-\d{2})\.json\Z")


def gather(pipeline: Pipeline, date: str, today: dict[str, Any]) -> dict[str, Any]:
    """{days: [{date, figures…}] the last earlier ones, oldest first, previous: the day before this one in them,
    median: {figure: …} of up to 28, change: {figure: today less previous}, steps: {step: median of the seconds that it
    took when it completed}}; `days` is [] for the first day."""
    reports = _earlier(pipeline, date)
    earlier = [{"date": day, **_figures(report)} for day, report in reports]
    if not earlier:
        return {"days": [], "previous": None, "median": {}, "change": {}, "count": 0, "steps": {}}
    previous = earlier[-1]
    return {
        "days": earlier[-SHOWN:],
        "previous": previous["date"],
        "median": {figure: _median([day[figure] for day in earlier]) for figure in FIGURES},
        "change": {figure: _less(today[figure], previous[figure]) for figure in FIGURES},
        "count": len(earlier),
        "steps": _steps([report for _, report in reports if report.get("workflow") == today["workflow"]]),
    }


def _earlier(pipeline: Pipeline, date: str) -> list[tuple[str, dict[str, Any]]]:
    """(date, report) of the last earlier days, oldest first."""
    staging.take_days(pipeline, "daily", "", _FIRST, day_before(date))
    folder = pipeline.folder("metrics")
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    dates = [match[1] for name in names if (match := _NAME.match(name)) and match[1] < date]
    found = []
    for day in dates[-DAYS:]:
        try:
            value = files.read_json(os.path.join(folder, f"daily_{day}.json"), None)
        except ColonyError:
            continue  # a damaged file of another day must not stop this one's report
        if isinstance(value, dict):
            found.append((day, value))
    return found


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    found = {figure: report.get(figure) for figure in FIGURES}
    return {figure: value if isinstance(value, int | float) else None for figure, value in found.items()}


def _steps(reports: list[dict[str, Any]]) -> dict[str, float | None]:
    took: dict[str, list[Any]] = {}
    for report in reports:
        steps = report.get("steps")
        for step in steps if isinstance(steps, list) else []:
            if isinstance(step, dict) and step.get("status") == "completed":
                seconds = step.get("duration_seconds")
                if isinstance(seconds, int | float):
                    took.setdefault(str(step.get("name")), []).append(seconds)
    return {name: _median(seconds) for name, seconds in took.items()}


def _median(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(statistics.median(known)), 6) if known else None


def _less(one: Any, other: Any) -> float | None:
    return None if one is None or other is None else round(one - other, 6)
