"""The check `completeness`: the share of cells that are not null."""

from __future__ import annotations

from typing import Any

import pandas as pd

from colony_lib.base.text import escape
from colony_lib.data import table
from colony_lib.data.checks.registry import Subject, finding, percent


def counted(subject: Subject) -> list[str]:
    """The columns that count: those named by the threshold's `columns`, else the schema's that are in the data, else
    all; less its `except`."""
    there = [str(name) for name in subject.raw.columns]
    only = subject.expectations.option("completeness", "columns")
    names = only or [name for name in there if name in subject.schema.fields] or there
    exempt = subject.expectations.option("completeness", "except") or []
    return [name for name in names if name not in exempt and name in there]


def shares(subject: Subject) -> pd.Series:
    """{column: share of its cells that are not null}, the least complete first."""
    if "filled" not in subject.work:
        filled = {name: float(1 - table.absent(subject.raw[name]).mean()) for name in counted(subject)}
        subject.work["filled"] = pd.Series(filled, dtype=float).sort_values(kind="stable")
    found: pd.Series = subject.work["filled"]
    return found


def value_of(subject: Subject) -> float:
    """The share of cells that are not null; 0 where there are none at all."""
    if not len(subject):
        return 0.0
    found = shares(subject)
    return round(float(found.mean()), 6) if len(found) else 0.0


def completeness(subject: Subject) -> list[dict[str, Any]]:
    """Without records there is nothing to judge (see record_count). Each column that has a threshold of its own,
    `completeness:NAME`, is a check of its own too."""
    names = [name for name in subject.expectations.thresholds if name.startswith("completeness:")]
    return [_together(subject), *(_one(subject, name) for name in names)]


def _one(subject: Subject, name: str) -> dict[str, Any]:
    limits = subject.expectations.limits(name, instead=True)
    column = name.partition(":")[2]
    severity, limit = ("fail", limits.fail) if limits.fail is not None else ("warn", limits.warn)
    if not len(subject):
        return finding(name, (True, severity, limit), None, "there are no records")
    if column not in subject.raw.columns:
        message = f"cannot be checked: there is no column '{escape(column)}'"
        return finding(name, (False, severity, limit), None, message)
    value = round(float(subject.raw[column].notna().mean()), 6)
    return finding(name, limits.at_least(value), value, f"{percent(value)} of its cells are filled")


def _together(subject: Subject) -> dict[str, Any]:
    limits = subject.expectations.limits("completeness", fail=0.95)
    if not len(subject):
        limit = limits.warn if limits.warn is not None else limits.fail
        return finding("completeness", (True, "fail", limit), None, "there are no records")
    value = value_of(subject)
    gaps = [f"{escape(name)} {percent(full)}" for name, full in shares(subject).items() if full < 1]
    message = f"{percent(value)} of the cells are filled" + (f"; least of all {', '.join(gaps[:3])}" if gaps else "")
    return finding("completeness", limits.at_least(value), value, message)
