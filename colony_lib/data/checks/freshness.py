"""The check `freshness`: how old the newest row is, seen from the end of the day that the data is of."""

from __future__ import annotations

import datetime
from typing import Any

import pandas as pd

from colony_lib.base.text import escape
from colony_lib.data.checks.registry import FAIL, Subject, finding


def freshness(subject: Subject) -> list[dict[str, Any]]:
    """Only where it is asked for: thresholds: {freshness: {column: TIME, warn: HOURS, fail: HOURS}}. The value is
    hours, 0 for rows that are newer than the day."""
    expected = subject.expectations
    name = expected.option("freshness", "column")
    if name is None or subject.date is None or not len(subject):
        return []
    if name not in subject.frame.columns:
        return [finding("freshness", (False, FAIL, None), None, f"there is no column '{escape(name)}'")]
    times = pd.to_datetime(subject.frame[name], errors="coerce", utc=True).dropna()
    if not len(times):
        return [finding("freshness", (False, FAIL, None), None, f"no row has a time in '{escape(name)}'")]
    end = datetime.datetime.combine(
        datetime.date.fromisoformat(subject.date) + datetime.timedelta(days=1), datetime.time(), datetime.UTC
    )
    hours = round(max((end - times.max().to_pydatetime()).total_seconds() / 3600, 0.0), 3)
    limits = expected.limits("freshness", instead=True)
    passed, severity, limit = limits.below(hours)
    message = f"the newest row is {hours:,.6g} hours older than the day's end"
    return [finding("freshness", (passed, severity, limit), hours, message)]
