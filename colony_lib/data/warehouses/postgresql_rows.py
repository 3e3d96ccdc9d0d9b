"""Rows between the staging DuckDB and a PostgreSQL server, by COPY: CSV both ways through a pipe, while both ends work;
many rows go there in binary, see postgresql_binary.

An upsert reads the table back where it is not far larger than what is loaded: what differs is found in DuckDB, whose
joins are many times quicker, and only that is sent. The table is held against other writers from before it is read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from colony_lib.base import files
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data.warehouses import Staged, duckdb_upsert
from colony_lib.data.warehouses.sqltext import quote

if TYPE_CHECKING:
    from colony_lib.data.warehouses.postgresql import PostgreSQL

_BLOCK = 1 << 20
_SOME = 1 << 16  # as much as a pipe takes
_FAR_LARGER = 4  # times the rows that are loaded: there the server finds them quicker than they are read
_BACK = "colony_back"  # the table as it was read back
_PLACE = "colony_place"  # where a row of the table lies
_MANY = 2_000_000  # values; for fewer, importing numpy takes longer than it spares
# DuckDB hands 122,880 rows over at once: bytes of the texts of each at most, or of all that it has.
_SHORT, _LITTLE = 1 << 9, 1 << 28
_BINARY = {"BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "VARCHAR", "JSON"}
T = TypeVar("T")


def copy_in(db: PostgreSQL, table: str, kinds: dict[str, str], select: str, rows: int, where: str) -> int:
    """Send the rows that a query of the staging DuckDB gives, about so many, into a table's columns {name: type}; how
    many arrived. A type is DuckDB's where the column's is what `db` has for it, else the server's own."""
    try:
        if rows * len(kinds) >= _MANY and _BINARY.issuperset(kinds.values()) and _is_slender(db, kinds, select):
            return _copy_binary(db, table, kinds, select, where)
        return _copy_csv(db, table, list(kinds), select, where)
    except ColonyError as error:
        raise _has_nul(db, kinds, select, where) or error from None


def _has_nul(db: PostgreSQL, kinds: dict[str, str], select: str, where: str) -> ColonyError | None:
    """The refusal that names the column, where what the server refused is a NUL; it says only that it got one."""
    for name, kind in kinds.items():
        if kind in ("VARCHAR", "JSON"):
            nul = "chr(0)" if kind == "VARCHAR" else "'\\u0000'"
            found = db.staging.one(f"SELECT count(*) FROM {select} WHERE contains({quote(name)}, {nul})")
            if found:
                what = f"{plural(found, 'value')} of column '{escape(name)}' with the character U+0000"
                fix = "PostgreSQL cannot hold it: correct it at the source, or filter the row out; nothing was loaded"
                return ColonyError(what, where=where, fix=fix, code=FAILED)
    return None


def _is_slender(db: PostgreSQL, kinds: dict[str, str], select: str) -> bool:
    """Whether as many rows as come at once are little in memory, whatever texts are in them."""
    if db.staging.one("SELECT sum(memory_usage_bytes + temporary_storage_bytes) FROM duckdb_memory()") <= _LITTLE:
        return True
    texts = [f"max(strlen({quote(name)}))" for name, kind in kinds.items() if kind in ("VARCHAR", "JSON")]
    longest = db.staging.rows(f"SELECT {', '.join(texts)} FROM {select}")[0] if texts else ()
    return sum(length or 0 for length in longest) <= _SHORT


def _copy_binary(db: PostgreSQL, table: str, kinds: dict[str, str], select: str, where: str) -> int:
    from colony_lib.data.warehouses import postgresql_binary

    doing, names = f"cannot hand '{where}' over", ", ".join(map(quote, kinds))
    made = postgresql_binary.copied(db.staging.stream(f"FROM {select}"), list(kinds.values()), doing)

    def send() -> int:
        with db.connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)") as copy:
                for piece in made:
                    copy.write(piece)
            return int(cursor.rowcount)

    return int(db.did(send, doing))


def _copy_csv(db: PostgreSQL, table: str, columns: list[str], select: str, where: str) -> int:
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    names = ", ".join(map(quote, columns))

    def write() -> None:
        try:
            # To a server before 18 a line of nothing but \. is the end, which a single column may hold.
            db.staging.write_csv(select, writing, quoted=len(columns) == 1)
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


def copy_out(db: PostgreSQL, table: str, columns: Iterable[str], read: Callable[[int], T], doing: str) -> T:
    """What `read` makes of the table's rows, which come as CSV from the descriptor that it is given. `columns` are
    SQL."""
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    names = ", ".join(columns)

    def fetch() -> None:
        try:
            with db.connection.cursor() as cursor:
                with cursor.copy(f"COPY (SELECT {names} FROM {quote(table)}) TO STDOUT (FORMAT csv)") as copy:
                    wanted, some = True, bytearray()
                    for row in copy:  # each comes by itself
                        some += row
                        if len(some) >= _SOME:
                            wanted, some = wanted and _written(writing, some), bytearray()
                    if wanted:
                        _written(writing, some)
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


def _written(fd: int, block: bytearray) -> bool:
    """False when nobody reads any more: the rest is then only taken from the server, or its transaction would fail."""
    try:
        files.write_all(fd, bytes(block))
    except BrokenPipeError:
        return False
    return True


def column_kinds(db: PostgreSQL, table: str, staged: Staged) -> dict[str, str]:
    """{column: type}, as `copy_in` wants them, of staged rows that the table `takes`."""
    there, own = {column.lower(): kind for column, kind in (db.columns(table) or {}).items()}, db.type_names.values()
    return {
        column: kind if column not in staged.empty or there[column.lower()] in own else there[column.lower()]
        for column, kind in staged.columns.items()
    }


def takes(db: PostgreSQL, table: str, staged: Staged, *, alone: bool = False) -> bool:
    """Whether COPY into the table does what INSERT of the staged rows would: their types are the table's, no rule and
    no row security stand before it. `alone`: and its rows are all in itself, not in partitions or heirs, and texts
    are the same only when they are so letter by letter."""
    there = {column.lower(): kind for column, kind in (db.columns(table) or {}).items()}
    alike = all(
        column in staged.empty or there.get(column.lower()) == db.type_name(kind)
        for column, kind in staged.columns.items()
    )
    plain = db.rows(
        "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT row_security_active(oid), "
        "relkind = 'r' AND NOT relhassubclass AND NOT EXISTS (SELECT 1 FROM pg_attribute AS a "
        "JOIN pg_collation AS k ON k.oid = a.attcollation WHERE a.attrelid = c.oid AND NOT k.collisdeterministic) "
        "FROM pg_class AS c WHERE relnamespace = current_schema()::regnamespace AND relname = ?",
        [table],
    )
    return alike and bool(plain) and bool(plain[0][0] and (plain[0][1] or not alone))


def upsert(db: PostgreSQL, table: str, staged: Staged, key: list[str]) -> tuple[int, int, int] | None:
    """(rows inserted, rows changed, rows of the table that have a key of the staged ones), done by sending only what
    differs; None, and nothing is done, where the server must look for itself."""
    before = db.rows_held(table)
    if (
        before > _FAR_LARGER * staged.rows
        or "JSON" in staged.columns.values()
        or not takes(db, table, staged, alone=True)
    ):
        return None
    compared = _compared(db, table, staged, key, before) if before else (staged.rows, 0, 0)
    if compared is None:
        return None
    fresh, differing, matching = compared
    if differing:
        _change(db, table, staged, key, differing)
    if fresh:
        select = duckdb_upsert.fresh(staged) if before else quote(staged.table)
        _whole(copy_in(db, quote(table), column_kinds(db, table, staged), select, fresh, staged.where), fresh)
    return fresh, differing, matching + fresh


def _change(db: PostgreSQL, table: str, staged: Staged, key: list[str], rows: int) -> None:
    """Change those rows that differ, each where it was read: nothing moves them while the table is held."""
    changed, values = quote(staged.table + "_changed"), db.values(table, staged)
    rest = [column for column in staged.columns if column not in key]
    kinds = [f"{quote(name)} {db.type_name(staged.columns[name])}" for name in rest]
    db.run(f"DROP TABLE IF EXISTS pg_temp.{changed}")
    db.run(f"CREATE TEMP TABLE {changed} ({', '.join([f'{_PLACE} tid', *kinds])})")
    select = duckdb_upsert.differing(staged, rest, _PLACE)
    given = {_PLACE: "tid", **{name: staged.columns[name] for name in rest}}
    _whole(copy_in(db, changed, given, select, rows, staged.where), rows)
    changes = ", ".join(f"{quote(name)} = {values[name]}" for name in rest)
    done = db.run(
        f"UPDATE {quote(table)} AS t SET {changes} FROM {changed} AS s WHERE t.ctid = s.{_PLACE}",
        doing=f"cannot load into '{table}'",
    )
    _whole(done, rows)


def _whole(done: int, wanted: int) -> None:
    if done != wanted:
        raise ColonyError(f"{done:,} of {wanted:,} rows reached the warehouse", fix="nothing was loaded", code=FAILED)


def _compared(db: PostgreSQL, table: str, staged: Staged, key: list[str], before: int) -> tuple[int, int, int] | None:
    """(rows whose key is new, rows that differ from the table's, rows of the table with such keys); None where what
    was read back does not tell: a value that DuckDB does not have, or a key that the table has twice."""
    kinds = {name: "VARCHAR" if name in staged.empty else kind for name, kind in staged.columns.items()}
    if _PLACE in kinds:
        return None

    def read(fd: int) -> bool:
        try:
            db.staging.run(
                f"CREATE OR REPLACE TEMP TABLE {_BACK} AS FROM {db.staging.csv(fd, {_PLACE: 'VARCHAR', **kinds})}"
            )
        except ColonyError:
            return False
        return True

    if (
        not copy_out(db, table, ["ctid", *map(quote, kinds)], read, f"cannot read '{table}'")
        or db.staging.count(_BACK) != before
    ):
        return None
    found = duckdb_upsert.compare(db.staging, _BACK, _PLACE, staged, key)
    db.staging.run(f"DROP TABLE {_BACK}")
    return found
