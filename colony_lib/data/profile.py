"""A day's rows in a few figures, kept in the validation report, and those of earlier days read back from theirs."""

from __future__ import annotations

import glob
import math
import os
import re

import pandas as pd

from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.data.pipeline import Pipeline

DAYS = 60  # earlier days that are looked at
_COLUMNS = 200  # of a table that has more the first ones are counted
_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2})\.json\Z")

Profile = dict[str, float]


def of(frame: pd.DataFrame) -> Profile:
    """{rows, nulls.COLUMN: share, mean.COLUMN: of numbers, true.COLUMN: share}: none of it depends on the order of the
    rows, and what there is none of is not in it."""
    count = len(frame)
    found: Profile = {"rows": count}
    if not count:
        return found
    for name in list(map(str, frame.columns))[:_COLUMNS]:
        column = frame[name]
        nulls = int(column.isna().sum())
        found[f"nulls.{name}"] = _short(nulls / count)
        if nulls == count:
            continue
        if pd.api.types.is_bool_dtype(column.dtype):
            found[f"true.{name}"] = _short(int(column.sum()) / (count - nulls))
        elif pd.api.types.is_numeric_dtype(column.dtype):
            # Sums of floats depend on their order in the last digits; sorted they do not.
            values = column.dropna().astype("float64").sort_values()
            mean = float(values.mean())
            if math.isfinite(mean):
                found[f"mean.{name}"] = _short(mean)
    return found


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def earlier(pipeline: Pipeline, dataset: str, date: str) -> list[tuple[str, Profile]]:
    """[(date, profile)] of the days before that were not refused, newest first; at most DAYS of them. What somebody
    has damaged is passed over."""
    pattern = os.path.join(glob.escape(pipeline.folder("reports")), f"validation_{glob.escape(dataset)}_*.json")
    dates = {match[1]: path for path in glob.glob(pattern) if (match := _DATE.search(path)) and match[1] < date}
    found: list[tuple[str, Profile]] = []
    for day in sorted(dates, reverse=True)[:DAYS]:
        try:
            report = files.read_json(dates[day], None)
        except ColonyError:
            continue
        if isinstance(report, dict) and report.get("dataset") == dataset and report.get("status") != "FAIL":
            profile = report.get("profile")
            if isinstance(profile, dict):
                known = {k: float(v) for k, v in profile.items() if isinstance(v, int | float) and math.isfinite(v)}
                found.append((day, known))
    return found
