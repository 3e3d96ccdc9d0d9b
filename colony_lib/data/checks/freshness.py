"""The check `freshness`: how old the newest row is at the end of the logical date."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from colony_lib.base.text import escape
from colony_lib.data import table
from colony_lib.data.checks.registry import FAIL, WARN, Subject, finding


def freshness(subject: Subject) -> list[dict[str, Any]]:
    """thresholds: {freshness: {column: NAME, warn: HOURS, fail: HOURS}}. Against the end of the date in UTC, not the
    clock, so that a date that is validated again later comes out the same. A date counts as its own end."""
    name = subject.expectations.option("freshness", "column")
    if name is None or subject.date is None or not len(subject):
        return []
    limits = subject.expectations.limits("freshness", instead=True)
    severity = FAIL if limits.fail is not None else WARN
    limit = limits.warn if limits.warn is not None else limits.fail
    column = subject.frame[name] if name in subject.frame.columns else None
    kind = table.kind(column) if column is not None else None
    if column is None or kind not in ("date", "datetime"):
        why = "there is no such column" if column is None else "it holds no dates" if kind != "null" else "all are null"
        return [finding("freshness", (False, severity, limit), None, f"cannot be told by {escape(name)}: {why}")]
    moments = column.to_numpy()
    moments = moments[~np.isnat(moments)]
    if not len(moments):
        return [finding("freshness", (False, severity, limit), None, f"cannot be told by {escape(name)}: all are null")]
    newest = moments.max().astype("datetime64[s]").item()
    end = datetime.datetime.fromisoformat(subject.date) + datetime.timedelta(days=1)
    newest += datetime.timedelta(days=1) if kind == "date" else datetime.timedelta()
    hours = round((end - newest).total_seconds() / 3600, 2)
    shown = (newest - datetime.timedelta(days=1)).date().isoformat() if kind == "date" else f"{newest.isoformat()}Z"
    message = (
        f"the newest {escape(name)} is {shown}, {abs(hours):g} hours {'before' if hours >= 0 else 'after'} the end"
    )
    return [finding("freshness", limits.at_most(hours), hours, f"{message} of {subject.date}")]
