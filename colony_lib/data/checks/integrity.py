"""The checks `referential_integrity:FIELD`: foreign keys that are not in the dataset or table they refer to."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import table
from colony_lib.data.checks.registry import FAIL, Subject, finding, percent, share
from colony_lib.data.fieldtypes import TYPES
from colony_lib.data.tableschema import Field, ForeignKey, cast, shown


def referential_integrity(subject: Subject) -> list[dict[str, Any]]:
    """A key with a null in it refers to nothing and breaks nothing."""
    return [_one(subject, key) for key in subject.schema.foreign_keys]


def _one(subject: Subject, key: ForeignKey) -> dict[str, Any]:
    name = f"referential_integrity:{'+'.join(key.fields)}"
    limits = subject.expectations.limits(name, instead=True, fail=0)
    target = f"the table {key.table}" if key.table else key.resource or "the same data"
    try:
        rows = _orphans(subject, key)
    except ColonyError as error:
        if error.code == BUSY:
            raise  # the warehouse is in use: later the check may well be possible
        return finding(name, (False, FAIL, limits.fail), None, f"cannot be checked: {error}")
    count = int(rows.sum())
    value = share(count, len(subject))
    judged = limits.below(value)
    if not judged[0]:
        subject.flag(name, rows, invalid=judged[1] == FAIL)
    if not count:
        return finding(name, judged, value, f"every {' + '.join(key.fields)} is in {target}")
    orphans = table.frame({f: subject.frame[f][rows].reset_index(drop=True) for f in key.fields}, count)
    distinct = orphans.iloc[np.unique(table.codes(orphans, key.fields), return_index=True)[1]]
    values = sorted(", ".join(map(shown, row)) for row in zip(*(table.values(distinct[f]) for f in key.fields)))
    some = "; ".join(values[:5]) + (f" and {len(values) - 5:,} more" if len(values) > 5 else "")
    message = f"{plural(count, 'row')} ({percent(value)}) with {' + '.join(key.fields)} not in {escape(target)}: {some}"
    return finding(name, judged, value, message)


def _referred(subject: Subject, key: ForeignKey) -> pd.DataFrame:
    if not key.table:
        return subject.lookup(key.resource) if key.resource else subject.frame
    if subject.warehouse is None:
        raise ColonyError("there is no warehouse here")
    found = subject.warehouse(key.table, key.reference_fields)
    columns = {}
    for place, (mine, theirs) in enumerate(zip(key.fields, key.reference_fields, strict=True)):
        kind = table.kind(subject.frame[mine]) if mine in subject.frame.columns else "any"
        column = table.infer([_plain(row[place]) for row in found])
        typed, problem = cast(column, Field(theirs, kind if kind in TYPES else "any"))
        columns[theirs] = column if problem is not None else typed  # of another kind: told when they are compared
    return table.frame(columns, len(found))


def _plain(value: Any) -> Any:
    """A warehouse's value as JSON has it; a time without an offset is UTC, as load writes it."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, uuid.UUID) else value


def _orphans(subject: Subject, key: ForeignKey) -> np.ndarray:
    other = _referred(subject, key)
    for frame, names in ((subject.frame, key.fields), (other, key.reference_fields)):
        for name in names:
            if name not in frame.columns:
                if not len(subject):
                    return subject.none()
                raise ColonyError(
                    f"there is no column '{escape(name)}'"
                    + ("" if frame is subject.frame else f" in {key.resource or key.table}")
                )
    try:
        codes, null = table.common_codes(subject.frame, key.fields, other, key.reference_fields)
    except TypeError as error:
        raise ColonyError(str(error)) from None
    count = len(subject)
    known = np.unique(codes[count:][~null[count:]])
    return np.asarray(~np.isin(codes[:count], known) & ~null[:count])
