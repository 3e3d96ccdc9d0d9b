"""DuckDB warehouses: one file, one transaction a load; says in SQL what the loader wants done."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable
from typing import Any

from colony_lib.base import files
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.data.warehouses import (
    Staged,
    duckdb_keys,
    duckdb_names,
    duckdb_once,
    duckdb_rows,
    duckdb_upsert,
    receipts,
    relative,
)
from colony_lib.data.warehouses.duckdb_copies import Copies
from colony_lib.data.warehouses.duckdb_file import CONFIG, first_line, opened, package, place
from colony_lib.data.warehouses.duckdb_signals import Signals
from colony_lib.data.warehouses.duckdb_types import Kinds
from colony_lib.data.warehouses.sqltext import (
    EXACT,
    another_type,
    bare,
    check_free,
    check_lost,
    check_not_frozen,
    check_own,
    quote,
    same_key,
)

_FAMILIES = (
    ("numbers", re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL\(.*")),
    ("text", re.compile(r"VARCHAR|ENUM\(.*|UUID")),
    ("times", re.compile(r"TIMESTAMP.*")),
)
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?")


def exists(rest: str, root: str) -> bool:
    """See warehouses.exists."""
    return os.path.exists(place(rest, root))


def connect(rest: str, *, root: str, where: str | None, read_only: bool, timeout: float) -> DuckDB:
    """See warehouses.connect."""
    duckdb = package(where)
    path = place(rest, root)
    new = not os.path.exists(path)
    if not read_only:
        files.make_dirs(os.path.dirname(path))
    shown = relative(path, root)
    try:
        return DuckDB(opened(duckdb, path, shown, read_only, timeout), path, shown, new=new)
    except BaseException:
        # A signal that came while the file was made: nobody has it open yet who would take it away again.
        if new and os.path.exists(path):
            DuckDB(duckdb.connect(path, config=CONFIG), path, shown, new=True).close()
        raise


def in_memory(scratch: str, where: str | None) -> DuckDB:
    """A DuckDB that is nobody's warehouse: what is more than its memory lies in files in `scratch`."""
    duckdb = package(where)
    connection = duckdb.connect(":memory:", config={**CONFIG, "temp_directory": scratch})
    connection.execute("SET TimeZone = 'UTC'")
    return DuckDB(connection, ":memory:", "", new=False)


class DuckDB(Copies):
    """One open DuckDB file. `shown` is its path for people. See warehouses.Warehouse for the methods."""

    def __init__(self, connection: Any, path: str, shown: str, *, new: bool) -> None:
        super().__init__()
        self.connection = connection
        self.path = path
        self.shown = shown
        self.new = new  # the file was made by opening it
        self._committed = False
        self._matching: dict[tuple[str, str], int] = {}  # of an upsert that has just been done
        self._signals = Signals()

    # --- SQL

    def run(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> Any:
        """The result of a statement; any error of DuckDB is a ColonyError (FAILED) of one line."""
        return self._did(lambda: self.connection.execute(sql, values), doing)

    def rows(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> list[Any]:
        return list(self._did(lambda: self.connection.execute(sql, values).fetchall(), doing))

    def _did(self, work: Callable[[], Any], doing: str) -> Any:
        import duckdb

        try:
            return work()
        except duckdb.Error as error:
            self._signals.again()
            raise ColonyError(f"{doing}: {first_line(error)}", code=FAILED) from None
        except RuntimeError as error:
            self._signals.again()
            raise ColonyError(f"{doing}: {first_line(error)}", code=FAILED) from None

    def values(self, table: str, staged: Staged) -> dict[str, str]:
        return {column: f"s.{quote(column)}" for column in staged.columns}

    def change(self, sql: str) -> int:
        return int(self.one(sql))

    # --- the transaction

    def begin(self) -> None:
        self.run("BEGIN TRANSACTION")
        receipts.make(self)

    def commit(self) -> None:
        self.run("COMMIT", doing=f"the load was not committed to '{self.shown}'")
        self._committed = True

    def rollback(self) -> None:
        import duckdb

        self._known = None
        try:
            self.connection.rollback()
        except duckdb.TransactionException:
            return  # the failed COMMIT has ended it

    def close(self) -> None:
        """Close the file; one that was made by opening it, and that nothing was committed to, goes again."""
        unused = (
            self.new
            and not self._committed
            and not self.one("SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database()")
        )
        self.connection.close()
        self._signals.close()
        if unused and os.path.exists(self.path):
            os.unlink(self.path)

    # --- rows

    def stage(
        self,
        name: str,
        fd: int,
        declared: dict[str, str],
        found: dict[str, str],
        kinds: Kinds,
        where: str,
        *,
        only_appended: bool = False,
    ) -> Staged:
        staged = kinds and duckdb_once.stage(self, name, fd, declared, found, kinds, where, only_appended=only_appended)
        return staged or duckdb_rows.stage(self, name, fd, declared, found, where)

    def check_key(self, staged: Staged, key: list[str]) -> None:
        duckdb_keys.check_key(self, staged, key)

    def append(self, table: str, staged: Staged) -> None:
        if staged.unread:
            duckdb_once.append(self, table, staged)
            return
        names = ", ".join(map(quote, staged.columns))
        self.run(f"INSERT INTO {quote(table)} ({names}) SELECT {names} FROM {quote(staged.table)}")

    def upsert(self, table: str, staged: Staged, key: list[str]) -> tuple[int, int]:
        done = duckdb_upsert.upsert(self, table, staged, key)
        if done is None:
            return self._merge(table, staged, key)
        inserted, changed, self._matching[table, staged.table] = done
        return inserted, changed

    def _merge(self, table: str, staged: Staged, key: list[str]) -> tuple[int, int]:
        before = self.count(table)
        rest = [column for column in staged.columns if column not in key]
        names = ", ".join(map(quote, staged.columns))
        values = ", ".join(f"s.{quote(column)}" for column in staged.columns)
        matched = ""
        if rest:
            differs = " OR ".join(f"t.{quote(column)} IS DISTINCT FROM s.{quote(column)}" for column in rest)
            changes = ", ".join(f"{quote(column)} = s.{quote(column)}" for column in rest)
            matched = f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {changes} "
        changed: int = self.one(
            f"MERGE INTO {quote(table)} AS t USING {quote(staged.table)} AS s ON {same_key(key)} "
            f"{matched}WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
        )
        inserted = self.count(table) - before
        return inserted, changed - inserted

    def matching(self, table: str, staged: Staged, key: list[str]) -> int:
        known = self._matching.pop((table, staged.table), None)
        if known is not None:
            return known
        found: int = self.one(
            f"SELECT count(*) FROM {quote(table)} AS t "
            f"WHERE EXISTS (SELECT 1 FROM {quote(staged.table)} AS s WHERE {same_key(key)})"
        )
        return found

    def common(self, table: str, staged: Staged) -> int:
        names = ", ".join(map(quote, staged.columns))
        found: int = self.one(
            f"SELECT count(*) FROM (SELECT {names} FROM {quote(table)} "
            f"INTERSECT ALL SELECT {names} FROM {quote(staged.table)})"
        )
        return found

    def clear(self, table: str) -> None:
        self.run(f"DELETE FROM {quote(table)}")

    def backup(self, table: str, path: str) -> int:
        folder = os.path.dirname(path)
        files.make_dirs(folder)
        for left in os.listdir(folder):  # by a load that was killed: the warehouse's lock is ours, nobody writes them
            if left.startswith(f".{table}_before_") and left.endswith(".tmp"):
                os.unlink(os.path.join(folder, left))
        return self.keep(f"FROM {quote(table)}", path)

    def stage_backup(self, table: str, path: str, where: str) -> Staged:
        return self.read_backup(table, path, self.columns(table) or {}, where)

    def greatest(self, staged: Staged, column: str) -> str | int | float | None:
        value = self.one(f"SELECT max({quote(column)}) FROM {quote(staged.table)}")
        if isinstance(value, datetime.datetime):
            return value.isoformat() + ("Z" if column in staged.zoned else "")
        found: str | int | float | None = receipts.plain(value)
        return found

    # --- tables

    def _read_catalog(self) -> list[Any]:
        return self.rows(
            "SELECT c.table_name, t.table_name IS NOT NULL, c.column_name, c.data_type FROM duckdb_columns() AS c "
            "LEFT JOIN duckdb_tables() AS t USING (database_name, schema_name, table_name) "
            "WHERE c.database_name = current_database() AND c.schema_name = 'main' AND NOT c.internal "
            "ORDER BY c.table_name, c.column_index"
        )

    def fit(self, table: str, staged: Staged, own: dict[str, str], *, frozen: bool = False) -> list[str]:
        there = self.columns(table)
        check_free(staged.columns, own, staged.where)
        if there is None:
            wanted = ", ".join(f"{quote(column)} {kind}" for column, kind in {**staged.columns, **own}.items())
            self.define(f"CREATE TABLE {quote(table)} ({wanted})")
            guessed = [column for column in staged.columns if column in staged.guessed]
            return [
                f"made table '{table}' with {plural(len(staged.columns), 'column')}",
                *(
                    f"column '{column}' of '{table}' has no value yet: {staged.columns[column]} until it has"
                    for column in guessed
                ),
            ]
        there = check_own(table, there, own, staged.where)
        check_lost(table, there, staged.columns, staged.where)
        known = {column.lower(): kind for column, kind in there.items()}
        notes: list[str] = []
        for column, kind in list(staged.columns.items()):
            old = known.get(column.lower())
            if old is None:
                check_not_frozen(frozen, table, column, staged.where)
                self.define(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column)} {kind}")
                notes.append(f"added column '{column}' ({kind}) to table '{table}'; rows loaded before have none")
            elif old != kind:
                notes += self._reconcile(table, column, old, kind, staged, frozen)
        return notes

    def discard(self, table: str, staged: Staged, own: dict[str, str]) -> list[str]:
        from colony_lib.data.warehouses.discard import discard

        there = {name: kind for name, kind in (self.columns(table) or {}).items() if name not in own}
        return discard(self, table, there, staged, lambda column: False) if there and staged.rows else []

    def _reconcile(self, table: str, column: str, old: str, kind: str, staged: Staged, frozen: bool) -> list[str]:
        """Bring the rows' type and the table's together where no value is lost by it, else refuse."""
        if staged.unread:
            duckdb_once.take_in(self, staged)
        name, rows = quote(column), quote(staged.table)
        back = f"try_cast(try_cast({name} AS {old}) AS {kind})"
        if column in staged.empty or (
            _family(old) == _family(kind)
            and not self.one(f"SELECT count(*) FROM {rows} WHERE {name} IS NOT NULL AND {back} IS DISTINCT FROM {name}")
        ):
            self.run(f"ALTER TABLE {rows} ALTER COLUMN {name} TYPE {old} USING try_cast({name} AS {old})")
            staged.columns[column] = old
            return []
        if not frozen and not self.one(f"SELECT count({name}) FROM {quote(table)}"):
            self.define(f"ALTER TABLE {quote(table)} ALTER COLUMN {name} TYPE {kind} USING NULL")
            return [f"column '{column}' of '{table}', which had no value yet, is {kind} now (was {old})"]
        widens = not frozen and column not in staged.declared and kind == "DOUBLE" and _INTEGERS.fullmatch(old)
        beyond = f"SELECT count(*) FROM {quote(table)} WHERE {name} NOT BETWEEN -{EXACT} AND {EXACT}"
        if widens and not self.one(beyond):
            self.define(f"ALTER TABLE {quote(table)} ALTER COLUMN {name} TYPE DOUBLE")
            return [f"column '{column}' of '{table}' is DOUBLE now (was {old})"]
        raise another_type(table, column, old, kind, staged.where)

    def refresh(self, tables: list[str]) -> list[str]:
        return []  # DuckDB has no materialised views

    def make_view(self, name: str, sql: str) -> None:
        self._check_view_name(name)
        self.define(f"CREATE OR REPLACE VIEW {quote(name)} AS {bare(sql)}", doing=f"view '{name}'")
        self.run(f"SELECT * FROM {quote(name)} LIMIT 0", doing=f"view '{name}'")
        receipts.record_view(self, name, sql)

    def holds(self, sql: str) -> bool:
        found = self.rows(bare(sql), doing="its query failed")
        if len(found) != 1 or len(found[0]) != 1 or not isinstance(found[0][0], bool | None):
            raise ColonyError(
                "its query does not give one true or false", fix="write it like: select count(*) = 0 from …", code=USAGE
            )
        return found[0][0] is True

    def names_in(self, sql: str) -> list[str]:
        return duckdb_names.names_in(self, sql)


def _family(kind: str) -> str:
    return next((family for family, pattern in _FAMILIES if pattern.fullmatch(kind)), kind)
