"""Aggregation: one row a group, for the datasets that are built from another one.

To add a measure: write a function of (values that are not null, their groups) and give it a line in MEASURES.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data import expression, table
from colony_lib.data.expression import Expression
from colony_lib.data.transformations.registry import completed

_MEASURE = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*\Z", re.DOTALL)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)\Z")
Place = Callable[..., "str | None"]


def _floats(values: pd.Series) -> pd.Series:
    return pd.Series(values.to_numpy(dtype=float), index=values.index)


def _summed(values: pd.Series, groups: np.ndarray) -> pd.Series:
    if table.kind(values) == "number":
        return _floats(values).groupby(groups).sum().astype("Float64")
    rough = _floats(values).abs().groupby(groups).sum()
    if len(rough) and float(rough.max()) >= 2.0**63:
        raise ColonyError("a sum is too large for an integer", fix="multiply by 1.0 to sum decimals", code=USAGE)
    return values.astype("Int64").groupby(groups).sum()


def _quantile(share: float) -> Callable[[pd.Series, np.ndarray], pd.Series]:
    return lambda values, groups: _floats(values).groupby(groups).quantile(share).astype("Float64")


def _distinct(values: pd.Series, groups: np.ndarray) -> pd.Series:
    codes = pd.Series(table.codes(values.to_frame("v"), ["v"]), index=values.index)
    return codes.groupby(groups).nunique().astype("Int64")


NUMERIC = ("integer", "number", "boolean", "null")
ORDERED = ("integer", "number", "boolean", "date", "datetime", "string", "null")
ANY = (*ORDERED, "any")
# name: (kinds it takes, kind of the result or '' for the values' own, work, result of a group without values)
MEASURES: dict[str, tuple[tuple[str, ...], str, Callable[[pd.Series, np.ndarray], pd.Series], Any]] = {
    "count": (ANY, "integer", lambda v, g: v.groupby(g).size().astype("Int64"), 0),
    "sum": (NUMERIC, "sum", _summed, None),
    "mean": (NUMERIC, "number", lambda v, g: _floats(v).groupby(g).mean().astype("Float64"), None),
    "std": (NUMERIC, "number", lambda v, g: _floats(v).groupby(g).std(ddof=0).astype("Float64"), None),
    "min": (ORDERED, "", lambda v, g: v.groupby(g).min(), None),
    "max": (ORDERED, "", lambda v, g: v.groupby(g).max(), None),
    "median": (NUMERIC, "number", _quantile(0.5), None),
    "nunique": (ANY, "integer", _distinct, 0),
}


class Measure:
    """A column of the result: a function, and the expression it is of (None: the rows themselves)."""

    __slots__ = ("function", "name", "of", "where")

    def __init__(self, name: str, text: Any, where: str | None) -> None:
        self.name = name
        self.where = where
        match = _MEASURE.match(text) if isinstance(text, str) else None
        if match is None:
            raise ColonyError(
                f"'{escape(text)}' is not a measure", where=where, fix='write one like "mean(dep_delay)"', code=USAGE
            )
        self.function, inner = match.group(1).lower(), match.group(2)
        if self.function not in MEASURES and not _PERCENTILE.match(self.function):
            raise unknown("measure", self.function, [*MEASURES, "p50", "p95"], where=where, code=USAGE)
        if not (inner or "").strip() and self.function != "count":
            raise ColonyError(f"'{self.function}' needs a column: {self.function}(…)", where=where, code=USAGE)
        self.of: Expression | None = expression.parse(inner, where=where) if (inner or "").strip() else None

    def over(self, frame: pd.DataFrame, groups: np.ndarray, count: int) -> pd.Series:
        """The measure of each group, with the index 0 … count - 1."""
        index = pd.RangeIndex(count)
        if self.of is None:
            sizes = np.bincount(groups, minlength=count).astype("int64")
            return table.column("integer", sizes, np.zeros(count, dtype=bool), index)
        percentile = _PERCENTILE.match(self.function)
        quantile = (NUMERIC, "number", _quantile(float(percentile.group(1)) / 100), None) if percentile else None
        kinds, result, work, nothing = quantile or MEASURES[self.function]
        values = self.of.evaluate(frame)
        kind = table.kind(values)
        if kind not in kinds:
            raise self.of.error(f"{self.function} cannot be taken of {kind} values", 1)
        result = {"": "integer" if kind == "boolean" else kind, "sum": "number" if kind == "number" else "integer"}.get(
            result, result
        )
        there = values.notna().to_numpy(dtype=bool)
        if kind == "boolean":
            values = values.astype("Int64")
        made = table.empty(result, index)
        if there.any():
            made = work(values[there], groups[there]).reindex(index)
            if result == "string":  # pandas may have made a text dtype of its own of it
                made = table.nulled(made.astype(object), made.isna().to_numpy(dtype=bool))
        return made if nothing is None else made.fillna(nothing)


class Aggregation:
    """`by` columns, `measures` {column: measure}, `where` a condition on the rows that are counted."""

    __slots__ = ("by", "measures", "place", "where")

    def __init__(self, options: Mapping[str, Any], place: Place) -> None:
        by = options.get("by") or []
        self.by = [by] if isinstance(by, str) else [str(name) for name in by]
        self.place = place
        given = options.get("measures") or {}
        self.measures = [Measure(str(name), text, place("measures", name)) for name, text in given.items()]
        self.where = (
            expression.parse(options["where"], where=place("where")) if options.get("where") is not None else None
        )
        for measure in self.measures:
            if measure.name in self.by:
                raise ColonyError(f"'{escape(measure.name)}' is a measure and a group", where=measure.where, code=USAGE)

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """One row for each combination of the `by` columns that occurs, nulls among them, in their order."""
        if not len(frame):
            used = [c for e in (self.where, *(m.of for m in self.measures)) if e is not None for c in e.columns]
            frame = completed(frame, [*self.by, *used])
        for name in self.by:
            if name not in frame.columns:
                raise unknown("column", escape(name), map(str, frame.columns), where=self.place("by"), code=USAGE)
        if self.where is not None:
            frame = frame[self.where.truth(frame)[0]]
        frame = frame.reset_index(drop=True)
        groups, firsts = np.zeros(len(frame), dtype="int64"), np.arange(min(len(frame), 1))
        if self.by:
            _, firsts, groups = np.unique(table.codes(frame, self.by), return_index=True, return_inverse=True)
        columns = {name: frame[name].take(firsts).reset_index(drop=True) for name in self.by}
        for measure in self.measures:
            columns[measure.name] = measure.over(frame, groups, len(firsts))
        made = table.frame(columns, len(firsts))
        if self.by and len(made):
            keys = table.frame({n: table.hashable(made[n]) for n in self.by}, len(made))
            made = made.take(keys.sort_values(self.by, kind="stable", na_position="last").index).reset_index(drop=True)
        return made
