"""What warehouses that are not DuckDB have in common: rows are read and checked by a DuckDB in memory and handed over;
what is then done with them is said in SQL that any of them understands.

A module of one engine (postgresql, sqlite) makes a subclass: how it connects, hands rows over, names types, and what it
does its own way.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.data.warehouses import Staged, receipts
from colony_lib.data.warehouses.common import Common
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
from colony_lib.store import paths

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB


class Remote(Common):
    """One open warehouse, without what its engine does in its own way. See warehouses.Warehouse for the methods."""

    shown: str
    where: str | None

    def __init__(self) -> None:
        super().__init__()
        self._staging: DuckDB | None = None
        self._scratch: str | None = None
        self._settled: set[str] = set()

    # --- what an engine must offer

    @abstractmethod
    def run(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> int:
        """Do a statement (`?` stands for a value); the number of rows that it changed."""

    @abstractmethod
    def _hand_over(self, staged: Staged) -> None:
        """Make the temporary table of the same name, and fill it from DuckDB's; inside the transaction."""

    @abstractmethod
    def _retype(self, table: str, column: str, kind: str) -> None:
        """Give a column that has no value the type."""

    @abstractmethod
    def _widen(self, table: str, column: str) -> None:
        """Make a column of whole numbers one of numbers."""

    def change(self, sql: str) -> int:
        return self.run(sql)

    # --- rows

    @property
    def scratch(self) -> str:
        """A folder of our own that goes when we close."""
        if self._scratch is None:
            self._scratch = files.private_folder(paths.scratch_folder(), "colony-load-")
        return self._scratch

    @property
    def staging(self) -> DuckDB:
        """The DuckDB in which rows are read and checked."""
        if self._staging is None:
            from colony_lib.data.warehouses import duckdb

            self._staging = duckdb.in_memory(self.scratch, self.where)
        return self._staging

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
        return self.staging.stage(name, fd, declared, found, kinds, where)

    def stage_backup(self, table: str, path: str, where: str) -> Staged:
        return self.staging.read_backup(table, path, self._kinds(table), where)

    def settle(self, staged: Staged) -> None:
        if not self.is_settled(staged):
            self._hand_over(staged)
            self._settled.add(staged.table)

    def is_settled(self, staged: Staged) -> bool:
        return staged.table in self._settled

    def _kinds(self, table: str) -> dict[str, str]:
        """{column: DuckDB's type for it} of a table; what it has no type for is text."""
        back = {name.lower(): kind for kind, name in self.type_names.items()}
        known = {kind.lower(): kind for kind in ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP")} | back
        return {name: known.get(kind.lower(), "VARCHAR") for name, kind in (self.columns(table) or {}).items()}

    def check_key(self, staged: Staged, key: list[str]) -> None:
        self.staging.check_key(staged, key)

    def greatest(self, staged: Staged, column: str) -> str | int | float | None:
        return self.staging.greatest(staged, column)

    def names_in(self, sql: str) -> list[str]:
        return self.staging.names_in(sql)

    def append(self, table: str, staged: Staged) -> None:
        self.settle(staged)
        names, values = ", ".join(map(quote, staged.columns)), ", ".join(self.values(table, staged).values())
        self.run(
            f"INSERT INTO {quote(table)} ({names}) SELECT {values} FROM {quote(staged.table)} AS s",
            doing=f"cannot load into '{table}'",
        )

    def values(self, table: str, staged: Staged) -> dict[str, str]:
        """{column: SQL of its staged value}, of the table's type where there is none whose type could tell. No value is
        cast: a cast to varchar(3) would cut it, where an insert refuses it."""
        there = {column.lower(): kind for column, kind in (self.columns(table) or {}).items()}
        return {
            column: f"CAST(NULL AS {there[column.lower()]})" if column in staged.empty else f"s.{quote(column)}"
            for column in staged.columns
        }

    def upsert(self, table: str, staged: Staged, key: list[str]) -> tuple[int, int]:
        """Without a unique index, which not every table has: change those that differ, then add those that are new."""
        self.settle(staged)
        changed = 0
        values = self.values(table, staged)
        rest = [column for column in staged.columns if column not in key]
        if rest:
            differs = " OR ".join(f"t.{quote(column)} {self.unequal} {values[column]}" for column in rest)
            changes = ", ".join(f"{quote(column)} = {values[column]}" for column in rest)
            changed = self.run(
                f"UPDATE {quote(table)} AS t SET {changes} FROM {quote(staged.table)} AS s "
                f"WHERE {same_key(key)} AND ({differs})",
                doing=f"cannot load into '{table}'",
            )
        names = ", ".join(map(quote, staged.columns))
        inserted = self.run(
            f"INSERT INTO {quote(table)} ({names}) SELECT {', '.join(values.values())} FROM {quote(staged.table)} AS s "
            f"WHERE NOT EXISTS (SELECT 1 FROM {quote(table)} AS t WHERE {same_key(key)})",
            doing=f"cannot load into '{table}'",
        )
        return inserted, changed

    def matching(self, table: str, staged: Staged, key: list[str]) -> int:
        self.settle(staged)
        found: int = self.one(
            f"SELECT count(*) FROM {quote(table)} AS t "
            f"WHERE EXISTS (SELECT 1 FROM {quote(staged.table)} AS s WHERE {same_key(key)})"
        )
        return found

    def common(self, table: str, staged: Staged) -> int:
        """As bags, by counting each row on both sides: INTERSECT ALL is not known everywhere."""
        self.settle(staged)
        names, values = ", ".join(map(quote, staged.columns)), ", ".join(self.values(table, staged).values())
        sides = (
            f"SELECT {names}, 1 AS __there, 0 AS __given FROM {quote(table)} UNION ALL "
            f"SELECT {values}, 0, 1 FROM {quote(staged.table)} AS s"
        )
        found = self.one(
            "SELECT sum(CASE WHEN a < b THEN a ELSE b END) FROM "
            f"(SELECT sum(__there) AS a, sum(__given) AS b FROM ({sides}) AS g GROUP BY {names}) AS c"
        )
        return int(found or 0)

    def clear(self, table: str) -> None:
        self.run(f"DELETE FROM {quote(table)}", doing=f"cannot empty '{table}'")

    # --- tables

    def fit(self, table: str, staged: Staged, own: dict[str, str], *, frozen: bool = False) -> list[str]:
        there = self.columns(table)
        check_free(staged.columns, own, staged.where)
        if there is None:
            kinds = {**staged.columns, **own}
            wanted = ", ".join(f"{quote(name)} {self.type_name(kind)}" for name, kind in kinds.items())
            self.define(f"CREATE TABLE {quote(table)} ({wanted})")
            return [f"made table '{table}' with {plural(len(staged.columns), 'column')}"]
        there = check_own(table, there, own, staged.where)
        check_lost(table, there, staged.columns, staged.where)
        known = {column.lower(): kind for column, kind in there.items()}
        notes: list[str] = []
        for column, kind in staged.columns.items():
            old, new = known.get(column.lower()), self.type_name(kind)
            if old is None:
                check_not_frozen(frozen, table, column, staged.where)
                self.define(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column)} {new}")
                notes.append(f"added column '{column}' ({new}) to table '{table}'; rows loaded before have none")
            elif old != new:
                notes += self._reconcile(table, column, old, kind, staged, frozen)
        return notes

    def discard(self, table: str, staged: Staged, own: dict[str, str]) -> list[str]:
        """In the staging, and then the rows are handed over again."""
        from colony_lib.data.warehouses.discard import discard

        types = {name: kind for name, kind in (self.columns(table) or {}).items() if name not in own}
        if not types or not staged.rows:
            return []
        kinds = self._kinds(table)
        there = {
            name: kinds[name] if self.type_name(kinds[name]).lower() == kind.lower() else None
            for name, kind in types.items()
        }
        known = {name.lower(): kind for name, kind in types.items()}

        def fits(column: str) -> bool:
            return self._holds_all(column, known[column.lower()], staged.columns[column], staged)

        before = dict(staged.columns)
        notes = discard(self.staging, table, there, staged, fits)
        if staged.columns != before and staged.columns:
            self._hand_over(staged)
        return notes

    def _reconcile(self, table: str, column: str, old: str, kind: str, staged: Staged, frozen: bool) -> list[str]:
        """Bring the rows' type and the table's together where no value is lost by it, else refuse."""
        if column in staged.empty or self._holds_all(column, old, kind, staged):
            return []
        new = self.type_name(kind)
        if not frozen and not self.one(f"SELECT count({quote(column)}) FROM {quote(table)}"):
            self._retype(table, column, new)
            self._known = None
            return [f"column '{column}' of '{table}', which had no value yet, is {new} now (was {old})"]
        beyond = f"SELECT count(*) FROM {quote(table)} WHERE {quote(column)} NOT BETWEEN -{EXACT} AND {EXACT}"
        if (
            not frozen
            and kind == "DOUBLE"
            and column not in staged.declared
            and self._is_whole(old)
            and not self.one(beyond)
        ):
            self._widen(table, column)
            self._known = None
            return [f"column '{column}' of '{table}' is {self.type_name('DOUBLE')} now (was {old})"]
        raise another_type(table, column, old, new, staged.where)

    def _is_whole(self, old: str) -> bool:
        return old.lower() in ("bigint", "integer", "int", "smallint")

    def _holds_all(self, column: str, old: str, kind: str, staged: Staged) -> bool:
        """Whether the table's type takes every value of the staged column as it is."""
        name, rows = quote(column), quote(staged.table)
        old = old.lower()
        if kind == "BIGINT" and re.match(r"double|real|numeric|decimal", old):
            return not self.staging.one(f"SELECT count(*) FROM {rows} WHERE abs({name}) > {EXACT}")
        if kind == "BIGINT" and self._is_whole(old):
            limit = {"smallint": 2**15, "bigint": 2**63}.get(old, 2**31)
            return not self.staging.one(
                f"SELECT count(*) FROM {rows} WHERE {name} NOT BETWEEN -{limit} AND {limit - 1}"
            )
        if kind == "DOUBLE" and self._is_whole(old):
            limit = {"smallint": 2**15, "bigint": EXACT}.get(old, 2**31)
            bad = f"{name} <> trunc({name}) OR abs({name}) >= {limit}"
            return not self.staging.one(f"SELECT count(*) FROM {rows} WHERE {bad}")
        if kind == "DOUBLE":
            return bool(re.match(r"double|numeric$|decimal$", old))
        if kind == "VARCHAR":
            return bool(re.match(r"text|varchar|character varying|char", old))
        return kind == "TIMESTAMP" and old.startswith("timestamp")

    def make_view(self, name: str, sql: str) -> None:
        self._check_view_name(name)
        self._replace_view(name, bare(sql))
        self.rows(f"SELECT * FROM {quote(name)} LIMIT 0", doing=f"view '{name}'")
        receipts.record_view(self, name, sql)

    def _replace_view(self, name: str, sql: str) -> None:
        self.define(f"DROP VIEW IF EXISTS {quote(name)}", doing=f"view '{name}'")
        self.define(f"CREATE VIEW {quote(name)} AS {sql}", doing=f"view '{name}'")

    def holds(self, sql: str) -> bool:
        found = self.rows(bare(sql), doing="its query failed")
        if len(found) != 1 or len(found[0]) != 1 or found[0][0] not in (True, False, None):
            raise ColonyError(
                "its query does not give one true or false", fix="write it like: select count(*) = 0 from …", code=USAGE
            )
        return bool(found[0][0])

    # --- the end

    def close(self) -> None:
        if self._staging is not None:
            self._staging.close()
            self._staging = None
        if self._scratch is not None:
            files.remove_folder(self._scratch)
            self._scratch = None
