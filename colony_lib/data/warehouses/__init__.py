"""Warehouses: finds the module for a URL's scheme, and says what each such module must offer.

To add one, write a module beside duckdb.py with `place(rest, root)`, `exists(rest, root)` and `connect(rest, …)`, where
`rest` is what follows the scheme, returning a `Warehouse` as below, and name it in SCHEMES. Its packages are imported
inside `connect`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Protocol

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses.duckdb_types import Kinds

DEFAULT = "duckdb:///warehouse/warehouse.duckdb"
SCHEMES = {
    "duckdb": "colony_lib.data.warehouses.duckdb",
    "postgresql": "colony_lib.data.warehouses.postgresql",
    "sqlite": "colony_lib.data.warehouses.sqlite",
}
_SAME = {"postgres": "postgresql"}  # other names of a scheme
_SUFFIXES = (".duckdb", ".ddb")  # a plain path with one of these is a DuckDB file


class Staged:
    """A dataset's rows, read, typed and checked, in a temporary table of the warehouse; if `unread`, in a view of the
    file, which has still to be read.

    `columns` {name: type} are the warehouse's own types; `declared` the columns whose type pipeline.yml says,
    `empty` those without a single value, `guessed` those whose type nobody could tell, `zoned` the times that had a
    UTC offset. Without rows there are no columns. `discarded` is how many values were left out of them.
    """

    __slots__ = ("columns", "declared", "discarded", "empty", "guessed", "rows", "table", "unread", "where", "zoned")

    def __init__(
        self,
        table: str,
        columns: dict[str, str],
        rows: int,
        declared: set[str],
        empty: set[str],
        guessed: set[str],
        zoned: set[str],
        where: str,
    ) -> None:
        self.table = table
        self.columns = columns
        self.rows = rows
        self.declared = declared
        self.empty = empty
        self.guessed = guessed
        self.zoned = zoned
        self.where = where
        self.discarded = 0
        self.unread = False


class NotAsTold(ColonyError):
    """The rows of a file are not of the kinds that its validation has told of, and some are to be looked at closely."""

    def __init__(self, where: str) -> None:
        super().__init__("the rows are not as their validation says", where=where, code=FAILED)


class Warehouse(Protocol):
    """What a warehouse module's `connect` returns. Errors are ColonyError; after one inside a transaction only
    `rollback` and `close` may be called."""

    shown: str  # for people and receipts: no password, and relative to the root where it can be

    def schema(self) -> str | None:
        """The schema in which tables are found and made; None where there is but one."""

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
        """Read the envelope open at `fd` into a temporary table, for SQL to see once `settle` was called. `declared`
        are the Table Schema types that pipeline.yml gives columns, `found` those that the transformer found in the
        others (it may be wrong), `kinds` {column: {JSON kind: values}} what the validation of this very file has told
        of all of them ({}: nothing). Rows that are `only_appended` may stay in the file until they are; then `append`
        (or what must look at them before) may raise NotAsTold, and they are to be staged anew without `kinds`.
        Refuses (FAILED) what is not whole or does not fit the types; columns that are
        declared and absent are not missed here (a transformation may have dropped them)."""

    def check_key(self, staged: Staged, key: list[str]) -> None:
        """Refuse (FAILED) a key that has NULLs or comes twice, with their number and examples."""

    def begin(self) -> None:
        """Start the one transaction of a load, and make Colony's own tables where they are not there."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...

    def columns(self, table: str) -> dict[str, str] | None:
        """{column: type} of a table, None when there is none; FAILED when the name is a view's."""

    def discard(self, table: str, staged: Staged, own: dict[str, str]) -> list[str]:
        """Leave out of the staged rows the columns that the table lacks, and the values that are not of their column's
        type; returns what was left out, for people."""

    def fit(self, table: str, staged: Staged, own: dict[str, str], *, frozen: bool = False) -> list[str]:
        """Make the table, or add the columns it lacks; returns what was changed, for people. `own` {name: type} are
        columns that the table has besides those of the rows. Refuses (FAILED) a column that the rows lack or whose
        type has changed; of a `frozen` table any change."""

    def day(self, date: str) -> str:
        """A date in SQL."""

    unequal: str  # the operator that tells whether two values differ, NULL being one

    def values(self, table: str, staged: Staged) -> dict[str, str]:
        """{column: SQL} of the values of the staged rows `s`, as the table takes them."""

    def change(self, sql: str) -> int:
        """Do a statement that changes rows; how many."""

    def one(self, sql: str) -> Any:
        """The one value that a query gives."""

    def hold(self, table: str) -> int:
        """Let nobody else change the table until the transaction ends; how many rows it has. BUSY when somebody else
        has it for too long."""

    def count(self, table: str) -> int: ...

    def count_again(self, table: str, expected: int) -> int:
        """How many rows a table that we hold has now: counted, or just `expected` where the engine itself has kept
        count of what was done to the table since, and says the same."""

    def append(self, table: str, staged: Staged) -> None: ...

    def settle(self, staged: Staged) -> None:
        """Have the staged rows where SQL that names `staged.table` finds them; inside the transaction."""

    def index(self, table: str, staged: Staged, key: list[str]) -> None:
        """Make finding rows by their key quick in both tables, where the engine would else look at all for each."""

    def upsert(self, table: str, staged: Staged, key: list[str]) -> tuple[int, int]:
        """Insert new keys, change rows that differ; (rows inserted, rows changed)."""

    def matching(self, table: str, staged: Staged, key: list[str]) -> int:
        """How many rows of the table have a key of the staged rows."""

    def common(self, table: str, staged: Staged) -> int:
        """How many rows the table and the staged rows have in common, as bags."""

    def clear(self, table: str) -> None:
        """Delete all rows of the table."""

    def backup(self, table: str, path: str) -> int:
        """Write the table as it is now to a Parquet file, durably; returns its rows."""

    def stage_backup(self, table: str, path: str, where: str) -> Staged:
        """Read a backup of the table into a temporary table, its columns of the table's types. Refuses (FAILED) one
        that cannot be read, or has other columns than the table."""

    def distinct(self, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
        """The different values of those columns of a table or view together, in no order; FAILED for a name or column
        that is not there."""

    def greatest(self, staged: Staged, column: str) -> str | int | float | None:
        """The greatest value of a column; times as ISO 8601, with Z when they had an offset."""

    def receipts(self, date: str | None = None) -> list[dict[str, Any]]:
        """The receipts that stand (of one date), oldest first."""

    def receipt_ids(self, table: str) -> set[str]:
        """The load_id of each receipt that stands of one table."""

    def forget(self, table: str) -> None:
        """Let no receipt of a table stand: it was dropped."""

    def history(self, table: str | None = None) -> list[dict[str, Any]]:
        """The receipts of all loads (into one table) that were committed, oldest first."""

    def record(self, receipt: dict[str, Any], table: dict[str, Any], watermark: dict[str, Any] | None) -> None:
        """Write the receipt, its line in the load history, the table's metadata and its watermark."""

    def watermarks(self) -> list[dict[str, Any]]: ...

    def tables(self) -> list[dict[str, Any]]:
        """The metadata of the tables loaded by Colony, with `rows` as counted now."""

    def refresh(self, tables: list[str]) -> list[str]:
        """Refresh the materialised views that read the tables, wherever they come from; what was done, for people."""

    def views(self) -> dict[str, str]:
        """{name: sql} of the views that Colony made."""

    def make_view(self, name: str, sql: str) -> None: ...

    def holds(self, sql: str) -> bool:
        """Whether a checking query gives true; anything but one truth value is refused (USAGE)."""

    def names_in(self, sql: str) -> list[str]:
        """The tables and views that a query reads; USAGE when it is not one SELECT statement."""


def connect(
    url: str, *, root: str, where: str | None = None, read_only: bool = False, timeout: float = 10.0
) -> Warehouse:
    """Open the warehouse of a URL, or of a plain path to a DuckDB file; relative paths start from `root`.

    ColonyError: USAGE for a scheme that is not there, BUSY when another program has it open for longer than
    `timeout` seconds. Nothing of the URL but its scheme is in an error: it may hold a password.
    """
    scheme, rest = split(url, where)
    module = import_module(SCHEMES[scheme])
    warehouse: Warehouse = module.connect(rest, root=root, where=where, read_only=read_only, timeout=timeout)
    return warehouse


def split(url: str, where: str | None = None) -> tuple[str, str]:
    """(scheme, rest) of a warehouse's URL; ColonyError (USAGE) for a scheme that is not there."""
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme:
        if url.endswith(_SUFFIXES):
            return "duckdb", url
        raise ColonyError(
            "the warehouse is neither a URL nor a path that ends in .duckdb",
            where=where,
            fix=f"write it like {DEFAULT}, or sqlite:///warehouse/warehouse.db",
            code=USAGE,
        )
    scheme = _SAME.get(scheme.lower(), scheme.lower())
    if scheme not in SCHEMES:
        raise ColonyError(
            f"unknown kind of warehouse '{escape(scheme)[:40]}'",
            where=where,
            fix=f"there is {', '.join(SCHEMES)}, as in {DEFAULT}",
            code=USAGE,
        )
    return scheme, rest


def identity(url: str, root: str) -> str:
    """A short name for the warehouse that is the same however its URL is written; for its lock."""
    import hashlib

    scheme, rest = split(url)
    module = import_module(SCHEMES[scheme])
    place: str = module.place(rest, root)
    return f"{scheme}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def relative(path: str, root: str) -> str:
    """The path as people see it: relative to the root when it lies in it."""
    inner = os.path.relpath(path, root)
    return path if inner.startswith("..") else inner


def exists(url: str, root: str) -> bool:
    """Whether there is something at the URL to open; nothing is made."""
    scheme, rest = split(url)
    module = import_module(SCHEMES[scheme])
    found: bool = module.exists(rest, root)
    return found
