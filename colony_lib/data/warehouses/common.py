"""What all warehouses have in common: their catalog, asked for once, and what Colony keeps in them beside the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses import Staged, receipts
from colony_lib.data.warehouses.sqltext import literal, quote


class Common(ABC):
    """The part of an open warehouse that is the same for every engine. See warehouses.Warehouse for the methods."""

    shown: str  # for people and receipts
    unequal = "IS DISTINCT FROM"
    type_names: ClassVar[dict[str, str]] = {}  # of DuckDB's types that are called otherwise here

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, dict[str, str]]] | None = None

    # --- what an engine must offer

    @abstractmethod
    def run(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> Any:
        """Do a statement (`?` stands for a value)."""

    @abstractmethod
    def rows(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> list[Any]:
        """What a query gives."""

    @abstractmethod
    def _read_catalog(self) -> list[Any]:
        """(table or view, whether it is a table, column, type) of all columns, in their order."""

    # --- SQL

    def one(self, sql: str, values: list[Any] | None = None) -> Any:
        return self.rows(sql, values)[0][0]

    def define(self, sql: str, *, doing: str = "the warehouse refused") -> None:
        """Run a statement that makes or changes a table or view."""
        self._known = None
        self.run(sql, doing=doing)

    def type_name(self, kind: str) -> str:
        return self.type_names.get(kind, kind)

    def schema(self) -> str | None:
        return None

    def day(self, date: str) -> str:
        return f"DATE {literal(date)}"

    def count(self, table: str) -> int:
        found: int = self.one(f"SELECT count(*) FROM {quote(table)}")
        return found

    def hold(self, table: str) -> int:
        """The transaction has the file for itself."""
        return self.count(table)

    def count_again(self, table: str, expected: int) -> int:
        return self.count(table)

    def index(self, table: str, staged: Staged, key: list[str]) -> None:
        """Nothing: engines that join by hashing need no index for it."""
        return

    def settle(self, staged: Staged) -> None:
        """Nothing: they are in the warehouse already."""
        return

    # --- tables

    def columns(self, table: str) -> dict[str, str] | None:
        found = self._catalog().get(self._called(table))
        if found is None:
            return None
        if not found[0]:
            raise ColonyError(
                f"'{escape(table)}' is a view in the warehouse", fix="give the table another name", code=FAILED
            )
        return dict(found[1])

    def distinct(self, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
        is_table, there = self._catalog().get(self._called(table), (False, {}))
        if not there:
            raise ColonyError(f"there is no table or view '{escape(table)}' in {escape(self.shown)}")
        missing = [name for name in columns if name not in there]
        if missing:
            what = "table" if is_table else "view"
            raise ColonyError(f"there is no column '{escape(missing[0])}' in the {what} {escape(table)}")
        return [
            tuple(row) for row in self.rows(f"SELECT DISTINCT {', '.join(map(quote, columns))} FROM {quote(table)}")
        ]

    def _called(self, name: str) -> str:
        """The same for all spellings of one table's name."""
        return name.lower()

    def _catalog(self) -> dict[str, tuple[bool, dict[str, str]]]:
        """{name, as `_called`: (whether it is a table, {column: type})}, asked for once until something changes it."""
        if self._known is None:
            self._known = {}
            for name, is_table, column, kind in self._read_catalog():
                self._known.setdefault(self._called(name), (bool(is_table), {}))[1][column] = kind
        return self._known

    def _check_view_name(self, name: str) -> None:
        if self._catalog().get(self._called(name), (False,))[0]:
            raise ColonyError(f"'{name}' is a table in the warehouse", fix="give the view another name", code=FAILED)

    # --- what Colony keeps beside the rows

    def receipts(self, date: str | None = None) -> list[dict[str, Any]]:
        return receipts.receipts(self, date)

    def receipt_ids(self, table: str) -> set[str]:
        return receipts.receipt_ids(self, table)

    def forget(self, table: str) -> None:
        receipts.forget(self, table)

    def history(self, table: str | None = None) -> list[dict[str, Any]]:
        return receipts.history(self, table)

    def record(self, receipt: dict[str, Any], table: dict[str, Any], watermark: dict[str, Any] | None) -> None:
        receipts.record(self, receipt, table, watermark)

    def watermarks(self) -> list[dict[str, Any]]:
        return receipts.watermarks(self)

    def tables(self) -> list[dict[str, Any]]:
        return receipts.tables(self)

    def views(self) -> dict[str, str]:
        return receipts.views(self)
