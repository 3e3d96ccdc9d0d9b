"""Transformations of values that are too small, too large or too unlike the others: range and outliers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.data import table, tableschema
from colony_lib.data.tableschema import Field, shown
from colony_lib.data.transformations.registry import TABLE, Apply, Step, Work, transformation

_FEWEST = 4  # values; of fewer nothing can be said


def _values(step: Step, work: Work, name: str) -> tuple[pd.Series, np.ndarray, np.ndarray] | None:
    """(column, its values, mask of those that are there) of a column with an order; None when all is null."""
    column = step.column(work, name)
    kind = table.kind(column)
    if kind == "null":
        return None
    there = column.notna().to_numpy(dtype=bool)
    if kind in ("integer", "number"):
        return column, column.to_numpy(dtype="int64" if kind == "integer" else "float64", na_value=0), there
    if kind in ("date", "datetime"):
        return column, column.to_numpy(), there
    raise step.error(
        f"the column '{name}' holds {'texts' if kind == 'string' else kind + ' values'}, which have no range",
        "column",
        "declare its type in the schema",
    )


def _limit(step: Step, key: str, column: pd.Series) -> Any:
    """The limit as the column's kind has it, or None when it is not given."""
    given = step.get(key)
    if given is None:
        return None
    kind = table.kind(column)
    kind = "number" if kind == "integer" and isinstance(given, float) else kind
    if kind in ("date", "datetime") and not isinstance(given, str):
        given = given.isoformat() if hasattr(given, "isoformat") else given
    cast, problem = tableschema.cast(table.infer([given]), Field(key, kind))
    if problem is not None:
        raise step.error(problem.reason(0, given), key)
    return cast.to_numpy()[0] if kind in ("date", "datetime") else cast.iloc[0]


def _act(
    step: Step, work: Work, name: str, rows: np.ndarray, action: str, flag: str, why: Callable[[Any], str]
) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows_affected": int(rows.sum())}
    column = work.frame[name]
    if action == "reject":
        counts["rejected"] = work.reject(
            rows, step.type, lambda i: f"{name}: {shown(column.iloc[i])} {why(column.iloc[i])}"
        )
    elif action == "null":
        work.set({name: table.nulled(column, rows)})
    elif action == "flag":
        none = np.zeros(len(rows), dtype=bool)
        work.set({flag: table.column("boolean", rows, none, work.frame.index)})
    return counts


@transformation("range", keys=("column", "minimum", "maximum", "action", "flag"))
def range_(step: Step) -> Apply:
    """`column` from `minimum` to `maximum`, both allowed. What is outside: `action: reject` (the row), `clip` (to
    the limit), `null` (the value), `flag` (in a column of its own, `flag`, default COLUMN_out_of_range)."""
    name = str(step.need("column"))
    action = step.choice("action", ("reject", "clip", "null", "flag"))
    if step.get("minimum") is None and step.get("maximum") is None:
        raise step.error("the transformation 'range' needs 'minimum' or 'maximum'")

    def apply(work: Work) -> dict[str, Any]:
        found = _values(step, work, name)
        flag = str(step.get("flag") or f"{name}_out_of_range")
        if found is None:
            none = np.zeros(len(work.frame), dtype=bool)
            return _act(step, work, name, none, action, flag, str)
        column, values, there = found
        low, high = _limit(step, "minimum", column), _limit(step, "maximum", column)
        below = (values < low) & there if low is not None else np.zeros(len(values), dtype=bool)
        above = (values > high) & there if high is not None else np.zeros(len(values), dtype=bool)
        if action == "clip":
            return _clip(step, work, name, below, low, above, high)
        return _act(step, work, name, below | above, action, flag, lambda v: _outside(v, low, high))

    return apply


def _outside(value: Any, low: Any, high: Any) -> str:
    value = value.to_datetime64() if isinstance(value, pd.Timestamp) else value
    return f"is below {shown(low)}" if low is not None and value < low else f"is above {shown(high)}"


def _clip(
    step: Step, work: Work, name: str, below: np.ndarray, low: Any, above: np.ndarray, high: Any
) -> dict[str, Any]:
    column = work.frame[name].copy()
    for rows, limit, key in ((below, low, "minimum"), (above, high, "maximum")):
        if rows.any():
            if table.kind(column) == "integer" and limit != int(limit):
                raise step.error(f"integers cannot be clipped to {shown(limit)}", key)
            column[rows] = limit
    work.set({name: column})
    return {"rows_affected": int((below | above).sum())}


@transformation("outliers", keys=("column", "method", "factor", "action", "flag"), scope=TABLE)
def outliers(step: Step) -> Apply:
    """Values of `column` far from the others: `method: iqr`, more than `factor` (1.5) interquartile ranges outside the
    quartiles, or `zscore`, more than `factor` (3) standard deviations from the mean. `action: flag` (the default, in
    the column `flag`, default COLUMN_outlier), `reject` or `null`. Of fewer than 4 values none is an outlier."""
    name = str(step.need("column"))
    method = step.choice("method", ("iqr", "zscore"))
    action = step.choice("action", ("flag", "reject", "null"))
    factor = float(step.get("factor") or (1.5 if method == "iqr" else 3.0))

    def apply(work: Work) -> dict[str, Any]:
        flag = str(step.get("flag") or f"{name}_outlier")
        none = np.zeros(len(work.frame), dtype=bool)
        found = _values(step, work, name)
        if found is None or int(found[2].sum()) < _FEWEST:
            return _act(step, work, name, none, action, flag, str)
        column, values, there = found
        if table.kind(column) not in ("integer", "number"):
            raise step.error(f"outliers are found among numbers, '{name}' holds {table.kind(column)}s", "column")
        low, high = _fences(values[there].astype(float), method, factor)
        rows = ((values < low) | (values > high)) & there
        return _act(step, work, name, rows, action, flag, lambda v: f"is outside {low:.6g} to {high:.6g} ({method})")

    return apply


def _fences(values: np.ndarray, method: str, factor: float) -> tuple[float, float]:
    values = np.sort(values)  # so that sums, and with them the fences, do not depend on the rows' order
    if method == "iqr":
        first, third = (float(q) for q in np.quantile(values, [0.25, 0.75]))
        return first - factor * (third - first), third + factor * (third - first)
    mean, deviation = float(values.mean()), float(values.std())
    return mean - factor * deviation, mean + factor * deviation
