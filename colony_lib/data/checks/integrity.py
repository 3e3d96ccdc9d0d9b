"""The checks `referential_integrity:FIELD`: foreign keys that are not found in the dataset they refer to."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import table
from colony_lib.data.checks.registry import FAIL, Subject, finding, percent, share
from colony_lib.data.tableschema import ForeignKey, shown


def referential_integrity(subject: Subject) -> list[dict[str, Any]]:
    """A key with a null in it refers to nothing and breaks nothing."""
    return [_one(subject, key) for key in subject.schema.foreign_keys]


def _one(subject: Subject, key: ForeignKey) -> dict[str, Any]:
    name = f"referential_integrity:{'+'.join(key.fields)}"
    limits = subject.expectations.limits(name, instead=True, fail=0)
    target = key.resource or "the same data"
    try:
        rows = _orphans(subject, key)
    except ColonyError as error:
        return finding(name, (False, FAIL, limits.fail), None, f"cannot be checked: {error}")
    count = int(rows.sum())
    value = share(count, len(subject))
    judged = limits.below(value)
    if not judged[0]:
        subject.flag(name, rows, invalid=judged[1] == FAIL)
    if not count:
        return finding(name, judged, value, f"every {' + '.join(key.fields)} is in {target}")
    orphans = subject.frame.loc[rows, key.fields]
    distinct = orphans.iloc[np.unique(table.codes(orphans, key.fields), return_index=True)[1]]
    values = sorted(", ".join(map(shown, row)) for row in zip(*(table.values(distinct[f]) for f in key.fields)))
    some = "; ".join(values[:5]) + (f" and {len(values) - 5:,} more" if len(values) > 5 else "")
    message = f"{plural(count, 'row')} ({percent(value)}) with {' + '.join(key.fields)} not in {escape(target)}: {some}"
    return finding(name, judged, value, message)


def _orphans(subject: Subject, key: ForeignKey) -> np.ndarray:
    other = subject.lookup(key.resource) if key.resource else subject.frame
    for frame, names in ((subject.frame, key.fields), (other, key.reference_fields)):
        for name in names:
            if name not in frame.columns:
                if not len(subject):
                    return subject.none()
                raise ColonyError(
                    f"there is no column '{escape(name)}'" + ("" if frame is subject.frame else f" in {key.resource}")
                )
    try:
        codes, null = table.common_codes(subject.frame, key.fields, other, key.reference_fields)
    except TypeError as error:
        raise ColonyError(str(error)) from None
    count = len(subject)
    known = np.unique(codes[count:][~null[count:]])
    return np.asarray(~np.isin(codes[:count], known) & ~null[:count])
