"""The few numbers that a validation keeps of a table, for later days to be compared with.

    record_count        rows
    nulls:COLUMN        the share of its cells that are null
    mean:COLUMN         of numbers and truth values (the share of true), where there are any
    distinct:COLUMN     how many different texts there are

They do not depend on the order of the rows: sums are exact before they are rounded.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from colony_lib.data import table

_PORTION = 1 << 16  # numbers that are Python objects at one time
MOST = 200  # columns; of wider tables the first


def of(frame: pd.DataFrame) -> dict[str, float]:
    """{statistic: value} of a frame with typed columns; of no rows only their number."""
    found: dict[str, float] = {"record_count": len(frame)}
    for name in list(map(str, frame.columns))[:MOST] if len(frame) else ():
        column = frame[name]
        there = ~table.absent(column)
        count = int(there.sum())
        found[f"nulls:{name}"] = round(1 - count / len(frame), 6)
        kind = table.kind(column)
        if count and kind in ("integer", "number", "boolean"):
            found[f"mean:{name}"] = _significant(_sum(column, kind, there) / count)
        elif count and kind == "string":
            found[f"distinct:{name}"] = len(table.encoded(column)[1])
    return found


def _sum(column: pd.Series, kind: str, there: np.ndarray) -> float:
    if kind == "number":
        numbers = column.to_numpy(dtype="float64", na_value=0)[there]
        parts = (numbers[start : start + _PORTION].tolist() for start in range(0, len(numbers), _PORTION))
        return math.fsum(itertools.chain.from_iterable(parts))
    values = column.to_numpy(dtype="int64", na_value=0)
    largest = max(abs(int(values.min())), abs(int(values.max())))
    if largest * len(values) < 2**63:
        return float(int(values.sum()))
    return float(sum(values.tolist()))


def _significant(value: float) -> float:
    return float(f"{value:.9g}")
