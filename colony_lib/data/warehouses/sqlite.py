"""SQLite warehouses: one file, by Python's own sqlite3; times are kept as text in ISO 8601, booleans as 0 and 1."""

from __future__ import annotations

import os
import sqlite3
from typing import Any, ClassVar

from colony_lib.base import files
from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses import Staged, relative, sqlite_rows
from colony_lib.data.warehouses.remote import Remote
from colony_lib.data.warehouses.sqltext import literal, quote

_ROWS = 50_000  # handed over at once


def place(rest: str, root: str) -> str:
    """The file's real path, from what follows `sqlite:` in the URL."""
    host, slash, path = rest[2:].partition("/") if rest.startswith("//") else ("", "/", rest)
    if host or not slash or not path.strip("/") or path.startswith(":") or "?" in path or "\x00" in path:
        raise ColonyError(
            "a SQLite warehouse is a file here",
            fix="write sqlite:///folder/data.db, or sqlite:////folder/… for an absolute path",
            code=USAGE,
        )
    return os.path.realpath(os.path.join(root, path))


def exists(rest: str, root: str) -> bool:
    """See warehouses.exists."""
    return os.path.exists(place(rest, root))


def connect(rest: str, *, root: str, where: str | None, read_only: bool, timeout: float) -> SQLite:
    """See warehouses.connect."""
    path = place(rest, root)
    new = not os.path.exists(path)
    files.make_dirs(os.path.dirname(path))
    shown = relative(path, root)
    found = SQLite(sqlite3.connect(path, timeout=timeout, isolation_level=None), path, shown, where, new)
    try:
        found.rows("SELECT count(*) FROM sqlite_master", doing=f"cannot open the warehouse '{escape(shown)}'")
    except BaseException:
        found.close()
        raise
    return found


class SQLite(Remote):
    """One open SQLite file. See warehouses.Warehouse for the methods."""

    type_names: ClassVar[dict[str, str]] = {"VARCHAR": "TEXT", "JSON": "JSON_TEXT"}
    unequal = "IS NOT"

    def __init__(self, connection: sqlite3.Connection, path: str, shown: str, where: str | None, new: bool) -> None:
        super().__init__()
        self.connection = connection
        self.path = path
        self.shown = shown
        self.where = where
        self.new = new  # the file was made by opening it
        self.attached: list[str] = []  # files of rows on their way
        self._committed = False

    # --- SQL

    def run(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> int:
        return self._do(sql, values, doing).rowcount

    def rows(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> list[Any]:
        try:
            return self._do(sql, values, doing).fetchall()
        except sqlite3.Error as error:
            raise self.refusal(error, doing) from None

    def _do(self, sql: str, values: list[Any] | None, doing: str) -> sqlite3.Cursor:
        try:
            return self.connection.execute(sql, values or [])
        except sqlite3.Error as error:
            raise self.refusal(error, doing) from None

    def refusal(self, error: sqlite3.Error, doing: str) -> ColonyError:
        name = getattr(error, "sqlite_errorname", "") or ""
        said = escape(str(error))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return ColonyError(
                f"the warehouse '{escape(self.shown)}' is in use by another program",
                fix="try again, or wait longer with --lock-timeout",
                code=BUSY,
            )
        return ColonyError(f"{doing}: {said}", code=FAILED)

    def day(self, date: str) -> str:
        return literal(date)

    # --- the transaction

    def begin(self) -> None:
        from colony_lib.data.warehouses import receipts

        self.run("BEGIN IMMEDIATE")
        receipts.make(self)

    def commit(self) -> None:
        self.run("COMMIT", doing=f"the load was not committed to '{escape(self.shown)}'")
        self._committed = True

    def rollback(self) -> None:
        self._known = None
        if self.connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Close the file; one that was made by opening it, and that nothing was committed to, goes again."""
        self.connection.close()
        super().close()
        if self.new and not self._committed and os.path.exists(self.path) and not os.path.getsize(self.path):
            os.unlink(self.path)

    # --- rows

    def _hand_over(self, staged: Staged) -> None:
        kinds = ", ".join(f"{quote(name)} {self.type_name(kind)}" for name, kind in staged.columns.items())
        self.run(f"DROP TABLE IF EXISTS temp.{quote(staged.table)}")
        self.run(f"CREATE TEMP TABLE {quote(staged.table)} ({kinds})")
        sqlite_rows.fill(self, f"temp.{quote(staged.table)}", staged, f"cannot hand '{staged.where}' over")

    def append(self, table: str, staged: Staged) -> None:
        if self.is_settled(staged):
            super().append(table, staged)
        else:
            names = ", ".join(map(quote, staged.columns))
            sqlite_rows.fill(self, f"{quote(table)} ({names})", staged, f"cannot load into '{table}'")

    def index(self, table: str, staged: Staged, key: list[str]) -> None:
        """Without one SQLite goes through all rows for each row: of the table it stays, of the staged rows it goes with
        them. Neither is unique, for it is told in words when the table's keys are not."""
        self.settle(staged)
        columns = ", ".join(map(quote, key))
        name = quote(f"colony_key_{table}_{'_'.join(key)}")
        self.run(f"CREATE INDEX IF NOT EXISTS {name} ON {quote(table)} ({columns})")
        self.run(f"CREATE INDEX IF NOT EXISTS temp.{quote(staged.table + '_key')} ON {quote(staged.table)} ({columns})")
        self.run("ANALYZE temp")

    def values(self, table: str, staged: Staged) -> dict[str, str]:
        return {column: f"s.{quote(column)}" for column in staged.columns}

    def backup(self, table: str, path: str) -> int:
        kinds = self._kinds(table)
        names = ", ".join(map(quote, kinds))
        cursor = self._do(f"SELECT {names} FROM {quote(table)}", None, f"cannot back '{table}' up")
        return self.staging.keep_rows(lambda: cursor.fetchmany(_ROWS), kinds, path)

    # --- tables

    def _read_catalog(self) -> list[tuple[str, bool, str, str]]:
        return self.rows(
            "SELECT m.name, m.type = 'table', c.name, c.type FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY m.name, c.cid"
        )

    def _retype(self, table: str, column: str, kind: str) -> None:
        """A column's type cannot be changed; one without a value can be made anew, as the last."""
        self.define(f"ALTER TABLE {quote(table)} DROP COLUMN {quote(column)}")
        self.define(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column)} {kind}")

    def _widen(self, table: str, column: str) -> None:
        """A column of whole numbers keeps others as they are."""

    def _holds_all(self, column: str, old: str, kind: str, staged: Staged) -> bool:
        if kind in ("DATE", "TIME", "TIMESTAMP", "JSON", "VARCHAR") and old.upper() == "TEXT":
            return True
        return super()._holds_all(column, old, kind, staged)

    def refresh(self, tables: list[str]) -> list[str]:
        return []
