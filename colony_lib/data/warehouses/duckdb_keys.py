"""Keys of staged rows in DuckDB: each must be there, and come once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.sqltext import quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB

# Rows of which hashes are compared: for fewer, importing numpy takes longer than it spares; more are much in memory.
_MANY, _TOO_MANY = 1_000_000, 16_000_000


def _listed(noun: str, names: list[Any]) -> str:
    return noun + ("s " if len(names) > 1 else " ") + ", ".join(f"'{escape(name)}'" for name in names)


def check_key(db: DuckDB, staged: Staged, key: list[str]) -> None:
    """See Warehouse.check_key."""
    if not staged.rows:
        return
    missing = [column for column in key if column not in staged.columns]
    if missing:
        raise ColonyError(
            f"the key's {_listed('column', missing)} {'is' if len(missing) == 1 else 'are'} not in the file",
            where=staged.where,
            fix="it has " + ", ".join(map(escape, staged.columns)),
            code=FAILED,
        )
    table = quote(staged.table)
    some = " OR ".join(f"{quote(column)} IS NULL" for column in key)
    for column in key if db.one(f"SELECT count(*) FROM {table} WHERE {some}") else []:
        nulls = db.one(f"SELECT count(*) FROM {table} WHERE {quote(column)} IS NULL")
        if nulls:
            row = db.one(f"SELECT min(rowid) FROM {table} WHERE {quote(column)} IS NULL")
            raise ColonyError(
                f"{plural(nulls, 'row')} without a value in the key column '{escape(column)}'",
                where=f"{staged.where}:{row + 2}",
                fix="fill, drop or reject them in the transformation",
                code=FAILED,
            )
    columns = ", ".join(map(quote, key))
    if _are_unique(db, table, columns, staged.rows):
        return
    twice = db.rows(
        f"SELECT {columns}, count(*), count(*) OVER () FROM {table} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
    )
    if twice:
        *values, times, number = twice[0]
        shown = ", ".join(f"{escape(name)}={escape(value)}" for name, value in zip(key, values, strict=True))
        raise ColonyError(
            f"{plural(number, 'key')} more than once in the file, such as {shown} ({times} times)",
            where=staged.where,
            fix="add a drop_duplicates transformation, or a column to the key",
            code=FAILED,
        )


def _are_unique(db: DuckDB, table: str, columns: str, rows: int) -> bool:
    """Where no two keys have the same hash no two are the same, and sorting hashes takes a third of the time of a
    DISTINCT of the keys."""
    if _MANY <= rows <= _TOO_MANY:
        import numpy as np

        hashes = np.asarray(db.run(f"SELECT hash({columns}) AS h FROM {table}").fetchnumpy()["h"])
        hashes.sort()
        if not (hashes[1:] == hashes[:-1]).any():
            return True
    return bool(db.one(f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM {table})") == rows)
