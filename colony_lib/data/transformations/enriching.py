"""The transformation that looks rows up in another dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import table
from colony_lib.data.tableschema import shown
from colony_lib.data.transformations.registry import Apply, Step, Work, completed, transformation


@transformation("enrich", keys=("dataset", "on", "columns", "missing", "duplicates"))
def enrich(step: Step) -> Apply:
    """Take `columns: {theirs: ours}` of the row of `dataset` that has the same `on` (a list, or {ours: theirs}).

    A row is never multiplied: a key that is there twice is an error, or with `duplicates: first` the first counts.
    A row that finds nothing (a null key among them) keeps nulls, or with `missing: reject` is rejected; both are
    counted as `missing`. rows_affected counts the rows that found something.
    """
    dataset = str(step.need("dataset"))
    on = _pairs(step, "on")
    wanted = {theirs: ours for theirs, ours in _pairs(step, "columns").items()}
    missing = step.choice("missing", ("keep", "reject"))
    duplicates = step.choice("duplicates", ("error", "first"))

    def apply(work: Work) -> dict[str, Any]:
        assert work.lookup is not None
        other = work.lookup(dataset)
        for ours in on:
            step.column(work, ours, "on")
        if not len(other):
            other = completed(other, [*on.values(), *wanted])
        for theirs in [*on.values(), *wanted]:
            if theirs not in other.columns:
                fix = "there is " + ", ".join(sorted(map(escape, other.columns))[:10])
                raise step.error(f"the dataset '{dataset}' has no column '{escape(theirs)}'", "columns", fix)
        for ours in wanted.values():
            if ours in work.frame.columns:
                fix = "give it another name: {theirs: ours}"
                raise step.error(f"there is a column '{escape(ours)}' already", "columns", fix)
        place, twice = _places(step, work.frame, other, on)
        if twice and duplicates == "error":
            key = ", ".join(f"{theirs} {shown(other[theirs].iloc[twice[0]])}" for theirs in on.values())
            raise ColonyError(
                f"the dataset '{dataset}' has {plural(len(twice), 'row')} with a repeated key ({escape(key)})",
                where=step.place(),
                fix="make its keys unique, or write 'duplicates: first'",
                code=FAILED,
            )
        found = place >= 0
        work.set({ours: _taken(other[theirs], place, work.frame.index) for theirs, ours in wanted.items()})
        counts = {"dataset": dataset, "rows_affected": int(found.sum()), "missing": int((~found).sum())}
        if twice:
            counts["duplicates"] = len(twice)
        if missing == "reject":
            keys = [work.frame[ours] for ours in on]
            said = list(on)

            def reason(i: int) -> str:
                return (
                    ", ".join(f"{n}: {shown(k.iloc[i])}" for n, k in zip(said, keys, strict=True))
                    + f" is not in {dataset}"
                )

            counts["rejected"] = work.reject(~found, step.type, reason)
        return counts

    return apply


def _pairs(step: Step, key: str) -> dict[str, str]:
    given = step.need(key)
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list):
        given = {str(name): str(name) for name in given}
    if not isinstance(given, dict) or not given or not all(isinstance(v, str) and v for v in given.values()):
        raise step.error(f"'{key}' of enrich is a list of columns or {{column: column}}", key)
    return {str(name): value for name, value in given.items()}


def _places(step: Step, ours: pd.DataFrame, theirs: pd.DataFrame, on: dict[str, str]) -> tuple[np.ndarray, list[int]]:
    """For each of our rows the place of its first match in theirs, or -1; and the places of their repeated keys."""
    try:
        codes, null = table.common_codes(ours, list(on), theirs, list(on.values()))
    except TypeError as error:
        raise step.error(str(error), "on", "declare the same type for both in their schemas") from None
    left, right = codes[: len(ours)], codes[len(ours) :]
    right_null = null[len(ours) :]
    keys, first = np.unique(right[~right_null], return_index=True)
    places = np.flatnonzero(~right_null)
    repeated = np.ones(len(places), dtype=bool)
    repeated[first] = False
    if not len(keys):
        return np.full(len(left), -1), []
    at = np.minimum(np.searchsorted(keys, left), len(keys) - 1)
    match = (keys[at] == left) & ~null[: len(ours)]
    return np.where(match, places[first][at], -1), [int(i) for i in places[repeated]]


def _taken(column: pd.Series, place: np.ndarray, index: pd.Index) -> pd.Series:
    """The column's values at those places, null at -1."""
    if not len(column):
        return table.empty(table.kind(column) if table.kind(column) != "null" else "any", index)
    taken = column.take(np.maximum(place, 0))
    taken.index = index
    return table.nulled(taken, place < 0)
