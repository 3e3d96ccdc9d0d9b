"""The check `duplicates`: the share of rows whose key an earlier row has."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.base.text import escape, plural
from colony_lib.data import table
from colony_lib.data.checks.registry import Subject, finding, percent, share


def repeated(subject: Subject) -> tuple[np.ndarray, list[str]]:
    """(rows that repeat another one, the key): by the threshold's `key`, else the primary key, else the whole row.
    A key with a null in it is no key; whole rows are compared with their nulls."""
    if "repeated" not in subject.work:
        subject.work["repeated"] = _repeated(subject)
    found: tuple[np.ndarray, list[str]] = subject.work["repeated"]
    return found


def _repeated(subject: Subject) -> tuple[np.ndarray, list[str]]:
    key = subject.expectations.option("duplicates", "key") or subject.schema.primary_key
    key = [key] if isinstance(key, str) else list(key)
    if any(name not in subject.frame.columns for name in key):
        return subject.none(), key
    rows = table.repeats(table.codes(subject.frame, key or list(subject.frame.columns)), subject.raw)
    if key:
        null = np.logical_or.reduce([table.absent(subject.frame[name]) for name in key])
        rows &= ~null
    return rows, key


def duplicates(subject: Subject) -> list[dict[str, Any]]:
    limits = subject.expectations.limits("duplicates", warn=0, fail=0.01)
    rows, key = repeated(subject)
    by = f"by {', '.join(map(escape, key))}" if key else "by the whole row"
    missing = [name for name in key if name not in subject.frame.columns]
    if missing and len(subject):
        message = f"cannot be checked: there is no column '{escape(missing[0])}'"
        return [finding("duplicates", (False, "fail", limits.fail), None, message)]
    count = int(rows.sum())
    value = share(count, len(subject))
    judged = limits.below(value)
    if not judged[0]:
        subject.flag("duplicates", rows, invalid=False)
    message = (
        f"{plural(count, 'row')} ({percent(value)}) repeat another, {by}" if count else f"no row repeats another, {by}"
    )
    return [finding("duplicates", judged, value, message)]
