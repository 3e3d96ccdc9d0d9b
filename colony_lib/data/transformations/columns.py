"""Transformations that make or fill columns from what is in the same row: derive and fill_nulls."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.data import expression, table, tableschema
from colony_lib.data.tableschema import Field
from colony_lib.data.transformations.registry import Apply, Step, Work, completed, transformation


@transformation("derive", keys=("column", "expression"))
def derive(step: Step) -> Apply:
    """`column` becomes what `expression` gives; rows_affected counts the rows that have a value in it."""
    name = str(step.need("column"))
    formula = expression.parse(step.need("expression"), where=step.place("expression"))

    def apply(work: Work) -> dict[str, Any]:
        column = formula.evaluate(work.frame if len(work.frame) else completed(work.frame, formula.columns))
        work.set({name: column})
        return {"rows_affected": int(column.notna().sum())}

    return apply


@transformation("fill_nulls", keys=("columns",))
def fill_nulls(step: Step) -> Apply:
    """`columns: {name: value}`: the value stands where there was none."""
    given = step.need("columns")
    if not isinstance(given, dict) or any(value is None for value in given.values()):
        raise step.error("'columns' of fill_nulls is {column: value}", "columns")

    def apply(work: Work) -> dict[str, Any]:
        filled = np.zeros(len(work.frame), dtype=bool)
        for name, value in given.items():
            column = step.column(work, name, "columns")
            null = column.isna().to_numpy(dtype=bool)
            kind = table.kind(column)
            if kind == "null":  # nothing to go by but the schema, else the value itself
                field = step.schema.fields.get(name)
                kind = field.kind if field else table.kind(table.infer([value]))
                column = table.empty(kind, column.index)
            single, problem = tableschema.cast(table.infer([_plain(value)]), Field(name, kind))
            if problem is not None:
                raise step.error(problem.reason(0, _plain(value)), "columns")
            column = column.copy()
            column[null] = single.iloc[0]
            work.set({name: column})
            filled |= null
        return {"rows_affected": int(filled.sum()), "columns": list(given)}

    return apply


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value  # YAML reads an unquoted date as one
