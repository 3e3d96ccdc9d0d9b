"""Leaving out of staged rows what their table has no place for: the policy `discard` of a changed schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from colony_lib.base.text import escape, plural
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.sqltext import quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB


def discard(
    staging: DuckDB,
    table: str,
    there: Mapping[str, str | None],
    staged: Staged,
    fits: Callable[[str], bool],
) -> list[str]:
    """Drop the columns that are new and the values that are not of their column's type, in the DuckDB that has the
    rows; what was left out, for people, and its number in `staged.discarded`.

    `there` is {column: DuckDB's type, None where it has none for it} of the table; `fits` says of a column whose type
    is another that the table takes all of it as it is.
    """
    known = {column.lower(): kind for column, kind in there.items()}
    notes: list[str] = []
    for column, kind in list(staged.columns.items()):
        if column.lower() not in known:
            lost = _without(staging, staged, column)
            notes.append(f"left out column '{escape(column)}' ({plural(lost, 'value')}), which table '{table}' has not")
        elif (
            (old := known[column.lower()]) is not None
            and old != kind
            and column not in staged.empty
            and not fits(column)
        ):
            lost = _cast(staging, staged, column, old)
            if lost:
                notes.append(f"left out {plural(lost, 'value')} of column '{escape(column)}' of '{table}': not {old}")
        else:
            continue
        staged.discarded += lost
    return notes


def _without(staging: DuckDB, staged: Staged, column: str) -> int:
    name, rows = quote(column), quote(staged.table)
    lost: int = staging.one(f"SELECT count({name}) FROM {rows}")
    if len(staged.columns) > 1:
        staging.run(f"ALTER TABLE {rows} DROP COLUMN {name}")
    del staged.columns[column]
    return lost


def _cast(staging: DuckDB, staged: Staged, column: str, old: str) -> int:
    """Give the rows' column the table's type; the values that are not the same in it become NULL."""
    name, rows, kind = quote(column), quote(staged.table), staged.columns[column]
    same = f"try_cast(try_cast({name} AS {old}) AS {kind}) IS NOT DISTINCT FROM {name}"
    if kind == "BOOLEAN" and old != "VARCHAR":
        same = "FALSE"  # a truth value is no 1
    lost: int = staging.one(f"SELECT count({name}) FROM {rows} WHERE NOT ({same})")
    staging.run(
        f"ALTER TABLE {rows} ALTER COLUMN {name} TYPE {old} USING CASE WHEN {same} THEN try_cast({name} AS {old}) END"
    )
    staged.columns[column] = old
    if not staging.one(f"SELECT count({name}) FROM {rows}"):
        staged.empty.add(column)
    return lost
