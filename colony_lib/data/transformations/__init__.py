"""The transformations that a dataset's `transform:` list may name, one small module for each group.

To add one: write a function in the module of its group (or a new module, imported below)

    @transformation("mask", keys=("column", "keep"), scope=ROWS)
    def mask(step: Step) -> Apply:
        column = step.need("column")             # check everything that can be checked without data here
        def apply(work: Work) -> dict[str, Any]:
            values = step.column(work, column)   # the frame's index is the rows' place in the input: keep it
            …
            work.set(column, masked)             # or work.reject(rows, step.type, reason), work.drop(rows)
            return {"rows_affected": changed}
        return apply

and add its name and keys to `transformation` in schemas/pipeline.schema.json, and what it does to columns to EFFECTS in
columnlineage.py. `scope=TABLE` says that it needs all
rows at once (duplicates, outliers); such a one runs after the parts of a `--batch` run have been put together.
`rows_affected` counts rows whose values changed, or that were taken out.
"""

from __future__ import annotations

from colony_lib.data.transformations import aggregating, bounds, cleaning, columns, enriching, naming, rows
from colony_lib.data.transformations.registry import ALIASES, REGISTRY, Apply, Step, Work

__all__ = [
    "ALIASES",
    "REGISTRY",
    "Apply",
    "Step",
    "Work",
    "aggregating",
    "bounds",
    "cleaning",
    "columns",
    "enriching",
    "naming",
    "rows",
]
