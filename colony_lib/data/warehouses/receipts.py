"""What Colony keeps in a warehouse beside the rows: receipts, load history, tables, watermarks and views."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar, Protocol

from colony_lib.data.warehouses.sqltext import quote


class Database(Protocol):
    """What of a warehouse is needed here. `type_names`: its names for the types below, where it has others."""

    type_names: ClassVar[dict[str, str]]

    def run(self, sql: str, values: list[Any] | None = None) -> Any: ...

    def rows(self, sql: str, values: list[Any] | None = None) -> list[Any]: ...

    def one(self, sql: str, values: list[Any] | None = None) -> Any: ...

    def define(self, sql: str) -> None: ...

    def columns(self, table: str) -> dict[str, str] | None: ...

    def count(self, table: str) -> int: ...


_RECEIPT = {
    "load_id": "VARCHAR", "table_name": "VARCHAR", "dataset": "VARCHAR", "date": "DATE", "mode": "VARCHAR",
    "file": "VARCHAR", "file_sha256": "VARCHAR", "record_count": "BIGINT", "rows_before": "BIGINT",
    "rows_after": "BIGINT", "inserted": "BIGINT", "updated": "BIGINT", "unchanged": "BIGINT", "deleted": "BIGINT",
    "validation": "VARCHAR", "quality_score": "DOUBLE", "unchecked": "BOOLEAN", "backup": "VARCHAR",
    "run_id": "VARCHAR", "loaded_at": "TIMESTAMP", "sequence": "BIGINT", "key": "VARCHAR",
}  # fmt: skip
_TABLE = {
    "table_name": "VARCHAR", "dataset": "VARCHAR", "mode": "VARCHAR", "key": "VARCHAR", "last_load_id": "VARCHAR",
    "last_date": "DATE", "last_load_time": "TIMESTAMP", "rows": "BIGINT",
}  # fmt: skip
_WATERMARK = {
    "table_name": "VARCHAR", "dataset": "VARCHAR", "source": "VARCHAR", "field": "VARCHAR", "value": "JSON",
    "date": "DATE", "load_id": "VARCHAR", "updated_at": "TIMESTAMP",
}  # fmt: skip
_VIEW = {"name": "VARCHAR", "sql": "VARCHAR"}
_TABLES = {
    "colony_loads": _RECEIPT,  # the receipts that stand: one for each load_id
    "colony_load_history": _RECEIPT,  # every load that was committed; only grows
    "colony_tables": _TABLE,
    "colony_watermarks": _WATERMARK,
    "colony_views": _VIEW,
}


def make(db: Database) -> None:
    """Make the tables that are not there, and the columns that one of an earlier version has not."""
    for name, columns in _TABLES.items():
        there = db.columns(name)
        wanted = {column: f"{quote(column)} {db.type_names.get(kind, kind)}" for column, kind in columns.items()}
        if there is None:
            db.define(f"CREATE TABLE {name} ({', '.join(wanted.values())})")
        else:
            for column in wanted.keys() - there.keys():
                db.define(f"ALTER TABLE {name} ADD COLUMN {wanted[column]}")


def _read(db: Database, table: str, condition: str = "", values: list[Any] | None = None) -> list[dict[str, Any]]:
    there = db.columns(table)
    if there is None:
        return []
    columns = _TABLES[table]
    wanted = ", ".join(
        "NULL" if column not in there else f"CAST({quote(column)} AS VARCHAR)" if kind == "JSON" else quote(column)
        for column, kind in columns.items()
    )
    found = db.rows(f"SELECT {wanted} FROM {table} {condition}", values)
    kinds = columns.items()
    return [{column: _plain(value, kind) for (column, kind), value in zip(kinds, row, strict=True)} for row in found]


def plain(value: Any) -> Any:
    """A value of a row as JSON has it: times as ISO 8601 in UTC, decimals as numbers."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds" if value.microsecond % 1000 else "milliseconds") + "Z"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _plain(value: Any, kind: str) -> Any:
    return bool(value) if kind == "BOOLEAN" and value is not None else plain(value)


def _insert(db: Database, table: str, values: dict[str, Any]) -> None:
    columns = _TABLES[table]
    marks = ", ".join("?" for _ in columns)
    db.run(
        f"INSERT INTO {table} ({', '.join(map(quote, columns))}) VALUES ({marks})",
        [values.get(column) for column in columns],
    )


def receipts(db: Database, date: str | None) -> list[dict[str, Any]]:
    if date is None:
        return _read(db, "colony_loads", "ORDER BY sequence")
    return _read(db, "colony_loads", "WHERE CAST(date AS VARCHAR) = ? ORDER BY sequence", [date])


def receipt_ids(db: Database, table: str) -> set[str]:
    if db.columns("colony_loads") is None:
        return set()
    return {row[0] for row in db.rows("SELECT load_id FROM colony_loads WHERE table_name = ?", [table])}


def forget(db: Database, table: str) -> None:
    db.run("DELETE FROM colony_loads WHERE table_name = ?", [table])


def history(db: Database, table: str | None) -> list[dict[str, Any]]:
    if table is None:
        return _read(db, "colony_load_history", "ORDER BY sequence")
    return _read(db, "colony_load_history", "WHERE table_name = ? ORDER BY sequence", [table])


def record(db: Database, receipt: dict[str, Any], table: dict[str, Any], watermark: dict[str, Any] | None) -> None:
    """See Warehouse.record. The receipt gets its `sequence`: the order of loads, whatever the clocks say."""
    receipt["sequence"] = db.one("SELECT coalesce(max(sequence), 0) + 1 FROM colony_load_history")
    db.run("DELETE FROM colony_loads WHERE load_id = ?", [receipt["load_id"]])
    for name in ("colony_loads", "colony_load_history"):
        _insert(db, name, receipt)
    db.run("DELETE FROM colony_tables WHERE table_name = ?", [table["table_name"]])
    _insert(db, "colony_tables", table)
    if watermark is not None:
        db.run(
            "DELETE FROM colony_watermarks WHERE table_name = ? AND dataset = ?",
            [watermark["table_name"], watermark["dataset"]],
        )
        _insert(db, "colony_watermarks", watermark)


def watermarks(db: Database) -> list[dict[str, Any]]:
    from colony_lib.base import jsontext

    found = _read(db, "colony_watermarks", "ORDER BY table_name, dataset")
    return [{**mark, "value": None if mark["value"] is None else jsontext.loads(mark["value"])} for mark in found]


def tables(db: Database) -> list[dict[str, Any]]:
    found = _read(db, "colony_tables", "ORDER BY table_name")
    return [
        {**table, "rows": db.count(table["table_name"])}
        for table in found
        if db.columns(table["table_name"]) is not None
    ]


def views(db: Database) -> dict[str, str]:
    return {view["name"]: view["sql"] for view in _read(db, "colony_views", "ORDER BY name")}


def record_view(db: Database, name: str, sql: str) -> None:
    db.run("DELETE FROM colony_views WHERE name = ?", [name])
    _insert(db, "colony_views", {"name": name, "sql": sql})
