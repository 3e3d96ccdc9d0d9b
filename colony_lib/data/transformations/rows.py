"""Transformations that leave rows out: duplicates, nulls, and what a condition does not hold for."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.data import expression, table
from colony_lib.data.transformations.registry import TABLE, Apply, Step, Work, completed, transformation


@transformation("drop_duplicates", keys=("key", "keep"), scope=TABLE)
def drop_duplicates(step: Step) -> Apply:
    """Rows that repeat an earlier one in every column are dropped. With `key` (columns, or `primaryKey` for the
    schema's), one row of each key is kept, `keep: first` or `last`; `conflicts` then counts those that were not the
    same in the other columns. Without it rows of one key that differ all stay, for validate-data to find."""
    key = step.names("key")
    keep = step.choice("keep", ("first", "last"))
    if key == ["primaryKey"]:
        key = step.schema.primary_key
        if not key:
            raise step.error("there is no primaryKey in the schema", "key", "name the columns")

    def apply(work: Work) -> dict[str, Any]:
        for name in key:
            step.column(work, name, "key")
        everything = table.codes(work.frame, list(work.frame.columns))
        if not key:
            return {"rows_affected": work.drop(_repeats(everything, keep))}
        same = table.codes(work.frame, key)
        repeats = _repeats(same, keep)
        # A repeat that is wholly equal to another row of its key loses nothing.
        conflicts = int((repeats & ~_repeats(everything, keep)).sum())
        return {"rows_affected": work.drop(repeats), "conflicts": conflicts, "key": key}

    return apply


def _repeats(codes: np.ndarray, keep: str) -> np.ndarray:
    """The rows whose code came before (keep 'first') or comes again (keep 'last')."""
    order = codes if keep == "first" else codes[::-1]
    _, first = np.unique(order, return_index=True)
    repeated = np.ones(len(codes), dtype=bool)
    repeated[first] = False
    return repeated if keep == "first" else repeated[::-1]


@transformation("drop_nulls", keys=("columns", "action"))
def drop_nulls(step: Step) -> Apply:
    """Rows with a null in one of `columns`: `action: reject` keeps them apart with the reason, `drop` does not."""
    names = step.names("columns")
    if not names:
        raise step.error("the transformation 'drop_nulls' needs 'columns'")
    action = step.choice("action", ("reject", "drop"))

    def apply(work: Work) -> dict[str, Any]:
        nulls = {name: step.column(work, name, "columns").isna().to_numpy(dtype=bool) for name in names}
        rows = np.logical_or.reduce(list(nulls.values()))
        if action == "drop":
            return {"rows_affected": work.drop(rows), "columns": names}
        count = work.reject(rows, step.type, lambda i: "; ".join(f"{n}: is null" for n in names if nulls[n][i]))
        return {"rows_affected": count, "rejected": count, "columns": names}

    return apply


@transformation("filter", keys=("where",))
def filter_(step: Step) -> Apply:
    """Rows for which `where` holds stay; the others, those for which it is null among them, are dropped."""
    condition = expression.parse(step.need("where"), where=step.place("where"))

    def apply(work: Work) -> dict[str, Any]:
        true, _ = condition.truth(work.frame if len(work.frame) else completed(work.frame, condition.columns))
        return {"rows_affected": work.drop(~true), "where": condition.text}

    return apply
