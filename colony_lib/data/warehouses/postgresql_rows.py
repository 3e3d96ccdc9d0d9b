"""Rows between the staging DuckDB and a PostgreSQL server, by COPY: both ways through a pipe, while both ends work.

An upsert reads the table back where it is not far larger than what is loaded: what differs is found in DuckDB, whose
joins are many times quicker, and only that is sent. The table is held against other writers from before it is read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from colony_lib.base import files
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.sqltext import quote, same_key

if TYPE_CHECKING:
    from colony_lib.data.warehouses.postgresql import PostgreSQL

_BLOCK = 1 << 20
_FAR_LARGER = 4  # times the rows that are loaded: there the server finds them quicker than they are read
_BACK = "colony_back"  # the table as it was read back
_STATE = "colony_state"  # (place, fresh, differs) of each staged row
T = TypeVar("T")


def copy_in(db: PostgreSQL, table: str, columns: list[str], select: str, where: str) -> int:
    """Send what a query of the staging DuckDB gives into a table; how many rows arrived."""
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    names = ", ".join(map(quote, columns))

    def write() -> None:
        try:
            db.staging.write_csv(select, writing)
        except BaseException as error:
            failures.append(error)
        finally:
            os.close(writing)

    def send() -> int:
        with db.connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as copy:
                while block := os.read(reading, _BLOCK):
                    copy.write(block)
                if failures:
                    raise failures[0]
            return int(cursor.rowcount)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        return int(db.did(send, f"cannot hand '{where}' over"))
    finally:
        os.close(reading)
        writer.join()


def copy_out(db: PostgreSQL, table: str, columns: list[str], read: Callable[[int], T], doing: str) -> T:
    """What `read` makes of the table's rows, which come as CSV from the descriptor that it is given."""
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    names = ", ".join(map(quote, columns))

    def fetch() -> None:
        try:
            with db.connection.cursor() as cursor:
                with cursor.copy(f"COPY (SELECT {names} FROM {quote(table)}) TO STDOUT (FORMAT csv)") as copy:
                    wanted = True
                    for block in copy:
                        wanted = wanted and _written(writing, block)
        except BaseException as error:
            failures.append(error)
        finally:
            os.close(writing)

    fetcher = threading.Thread(target=fetch, daemon=True)
    fetcher.start()
    try:
        found = read(reading)
    finally:
        os.close(reading)
        fetcher.join()
    for error in failures:

        def fail(error: BaseException = error) -> None:
            raise error

        db.did(fail, doing)
    return found


def _written(fd: int, block: Any) -> bool:
    """False when nobody reads any more: the rest is then only taken from the server, or its transaction would fail."""
    try:
        files.write_all(fd, bytes(block))
    except BrokenPipeError:
        return False
    return True


def takes(db: PostgreSQL, table: str, staged: Staged) -> bool:
    """Whether COPY into the table does what INSERT of the staged rows would: their types are the table's, no rule and
    no row security stand before it."""
    there = {column.lower(): kind for column, kind in (db.columns(table) or {}).items()}
    alike = all(
        column in staged.empty or there.get(column.lower()) == db.type_name(kind)
        for column, kind in staged.columns.items()
    )
    plain = db.rows(
        "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT row_security_active(oid) FROM pg_class "
        "WHERE relnamespace = current_schema()::regnamespace AND relname = ?",
        [table],
    )
    return alike and plain == [(True,)]


def upsert(db: PostgreSQL, table: str, staged: Staged, key: list[str]) -> tuple[int, int] | None:
    """(rows inserted or changed, rows of the table that have a key of the staged ones), done by sending only what
    differs; None, and nothing is done, where the server must look for itself."""
    before = db.count(table)
    if before > _FAR_LARGER * staged.rows or "JSON" in staged.columns.values() or not takes(db, table, staged):
        return None
    compared = _compared(db, table, staged, key, before) if before else (staged.rows, 0, 0)
    if compared is None:
        return None
    fresh, differing, matching = compared
    rows, state = quote(staged.table), f"SELECT place FROM {_STATE} WHERE"
    columns = list(staged.columns)
    if differing:
        changed = quote(staged.table + "_changed")
        kinds = ", ".join(f"{quote(name)} {db.type_name(kind)}" for name, kind in staged.columns.items())
        db.run(f"DROP TABLE IF EXISTS pg_temp.{changed}")
        db.run(f"CREATE TEMP TABLE {changed} ({kinds})")
        _whole(
            copy_in(db, changed, columns, f"(FROM {rows} WHERE rowid IN ({state} differs))", staged.where), differing
        )
        db.run(f"ANALYZE {changed}")
        values = db.values(table, staged)
        changes = ", ".join(f"{quote(name)} = {values[name]}" for name in columns if name not in key)
        done = db.run(
            f"UPDATE {quote(table)} AS t SET {changes} FROM {changed} AS s WHERE {same_key(key)}",
            doing=f"cannot load into '{table}'",
        )
        _whole(done, differing)
    if fresh:
        select = f"(FROM {rows} WHERE rowid IN ({state} fresh))" if before else rows
        _whole(copy_in(db, quote(table), columns, select, staged.where), fresh)
    return fresh + differing, matching + fresh


def _whole(done: int, wanted: int) -> None:
    if done != wanted:
        raise ColonyError(f"{done:,} of {wanted:,} rows reached the warehouse", fix="nothing was loaded", code=FAILED)


def _compared(db: PostgreSQL, table: str, staged: Staged, key: list[str], before: int) -> tuple[int, int, int] | None:
    """(rows whose key is new, rows that differ from the table's, rows of the table with such keys); None where what
    was read back does not tell: a value that DuckDB does not have, or a key that the table has twice."""
    kinds = {name: "VARCHAR" if name in staged.empty else kind for name, kind in staged.columns.items()}

    def read(fd: int) -> bool:
        try:
            db.staging.run(f"CREATE OR REPLACE TEMP TABLE {_BACK} AS FROM {db.staging.csv(fd, kinds)}")
        except ColonyError:
            return False
        return True

    if not copy_out(db, table, list(kinds), read, f"cannot read '{table}'") or db.staging.count(_BACK) != before:
        return None
    rest = [column for column in kinds if column not in key]
    differs = " OR ".join(f"t.{quote(column)} IS DISTINCT FROM s.{quote(column)}" for column in rest) or "false"
    there = f"t.{quote(key[0])} IS NOT NULL"
    db.staging.run(
        f"CREATE OR REPLACE TEMP TABLE {_STATE} AS SELECT s.rowid AS place, NOT ({there}) AS fresh, "
        f"({there}) AND ({differs}) AS differs FROM {quote(staged.table)} AS s "
        f"LEFT JOIN {_BACK} AS t ON {same_key(key)}"
    )
    total, fresh, differing = db.staging.rows(
        f"SELECT count(*), count(*) FILTER (fresh), count(*) FILTER (differs) FROM {_STATE}"
    )[0]
    db.staging.run(f"DROP TABLE {_BACK}")
    return (fresh, differing, total - fresh) if total == staged.rows else None
