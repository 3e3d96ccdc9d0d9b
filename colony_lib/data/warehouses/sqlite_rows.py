"""Rows into SQLite: by ADBC's driver, where it is installed, into a file of their own, which SQLite then copies from;
else one by one, which takes twice as long.

The driver has a SQLite of its own. Two of them must never have one file open in one process (the locks of the one would
end with the other's), so the driver gets the scratch file alone and is done with it before it is attached: the
warehouse itself, and its transaction, are Python's sqlite3's alone.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.sqltext import quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.sqlite import SQLite

_ROWS = 50_000  # handed over at once
_FEW = 5_000  # rows that are there before the driver is imported
_ATTACHED = 8  # files at most; SQLite takes ten


def fill(db: SQLite, into: str, staged: Staged, doing: str) -> None:
    """Insert the staged rows into a table, its name and columns being given in SQL."""
    wanted = ", ".join(f"{_as_kept(name, kind)} AS {quote(name)}" for name, kind in staged.columns.items())
    select = f"SELECT {wanted} FROM {quote(staged.table)}"
    driver = _driver() if staged.rows > _FEW and len(db.attached) < _ATTACHED else None
    if driver is None:
        _one_by_one(db, into, select, len(staged.columns), doing)
        return
    path = os.path.join(db.scratch, f"{len(db.attached)}.db")
    _write(driver, db, select, path, doing)
    name = f"colony_given_{len(db.attached)}"
    db.run(f"ATTACH ? AS {name}", [path], doing=doing)
    db.attached.append(name)
    columns = ", ".join(map(quote, staged.columns))
    db.run(f"INSERT INTO {into} SELECT {columns} FROM {name}.given", doing=doing)


def _one_by_one(db: SQLite, into: str, select: str, columns: int, doing: str) -> None:
    insert = f"INSERT INTO {into} VALUES ({', '.join('?' * columns)})"
    try:
        for rows in db.staging.chunks(select, _ROWS):
            db.connection.executemany(insert, rows)
    except sqlite3.Error as error:
        raise db.refusal(error, doing) from None


def _driver() -> Any:
    """ADBC's driver; None where it is not installed."""
    try:
        import adbc_driver_sqlite
    except ImportError:
        return None
    return adbc_driver_sqlite


def _write(driver: Any, db: SQLite, select: str, path: str, doing: str) -> None:
    """Make the SQLite file of the rows, its table being `given`. It need not outlive us, nor be whole if we die."""
    import adbc_driver_manager as adbc

    try:
        with driver.connect(path) as database, adbc.AdbcConnection(database) as connection:
            for pragma in ("journal_mode=OFF", "synchronous=OFF"):
                with adbc.AdbcStatement(connection) as statement:
                    statement.set_sql_query(f"PRAGMA {pragma}")
                    statement.execute_update()
            with adbc.AdbcStatement(connection) as statement:
                target = adbc.StatementOptions.INGEST_TARGET_TABLE.value
                mode = adbc.StatementOptions.INGEST_MODE.value
                statement.set_options(**{target: "given", mode: "adbc.ingest.mode.create"})
                statement.bind_stream(db.staging.stream(select))
                statement.execute_update()
    except adbc.Error as error:
        raise ColonyError(f"{doing}: {escape(str(error).partition(chr(10))[0])}", code=FAILED) from None


def _as_kept(name: str, kind: str) -> str:
    """The column as SQLite keeps it: sqlite3 turns neither times nor dates into anything by itself."""
    if kind in ("BIGINT", "DOUBLE"):
        return quote(name)
    if kind == "BOOLEAN":
        return f"CAST({quote(name)} AS BIGINT)"
    return f"CAST({quote(name)} AS VARCHAR)"
