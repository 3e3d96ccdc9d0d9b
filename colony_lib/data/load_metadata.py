"""What follows from the warehouse: the state document load_metadata, the day's load report, and the watermarks."""

from __future__ import annotations

import os
import re
from typing import Any

from colony_lib.base import clock, files
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.data.load_gate import Item
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Staged, Warehouse
from colony_lib.store import documents

DOCUMENT = "load_metadata"


def report_path(pipeline: Pipeline, date: str) -> str:
    """The day's load report: the receipts of that date, as the warehouse has them."""
    return pipeline.path("load", date=date)


def outside_path(pipeline: Pipeline) -> str:
    """Where the document lies when there is no colony."""
    return os.path.join(pipeline.state_folder(), DOCUMENT + ".json")


def follow(pipeline: Pipeline, warehouse: Warehouse, date: str | None = None) -> dict[str, Any]:
    """Make the document and the load report (of the date, else of the newest) what the warehouse says; returns the
    document. The warehouse's lock is held.

    {last_load_time, tables: {T: {rows, load_id, date, watermark, dataset, mode, last_load_time, warehouse}},
    watermarks: {source: value}}; what stands in it of other warehouses and of the user's own stays.
    """
    tables = warehouse.tables()
    marks = warehouse.watermarks()
    said = {
        table["table_name"]: {
            "rows": table["rows"],
            "load_id": table["last_load_id"],
            "date": table["last_date"],
            "watermark": next((m["value"] for m in reversed(marks) if m["table_name"] == table["table_name"]), None),
            "dataset": table["dataset"],
            "mode": table["mode"],
            "last_load_time": table["last_load_time"],
            "warehouse": warehouse.shown,
        }
        for table in tables
    }
    incremental = {
        mark["source"]: mark["value"] for mark in marks if mark["field"] is not None and mark["value"] is not None
    }

    def merged(old: Any) -> dict[str, Any]:
        old = old if isinstance(old, dict) else {}
        others = old.get("tables") if isinstance(old.get("tables"), dict) else {}
        kept = {
            k: v for k, v in others.items() if isinstance(v, dict) and v.get("warehouse") not in (None, warehouse.shown)
        }
        known = {**kept, **said}
        times = [table["last_load_time"] for table in known.values() if table.get("last_load_time")]
        old_marks = old.get("watermarks") if isinstance(old.get("watermarks"), dict) else {}
        return {
            **old,
            "last_load_time": max(times, default=None),
            "tables": known,
            "watermarks": {**old_marks, **incremental},
        }

    document = _write(pipeline, merged)
    newest = max((table["last_date"] for table in tables if table["last_date"]), default=None)
    _write_report(pipeline, warehouse, date or newest)
    return document


def _write(pipeline: Pipeline, merged: Any) -> dict[str, Any]:
    if not pipeline.in_colony():
        path = outside_path(pipeline)
        document: dict[str, Any] = merged(files.read_json(path, None))
        files.write_json(path, document)
        return document
    try:
        document = documents.update(DOCUMENT, merged)
    except ColonyError as error:
        if error.code != USAGE:
            raise
        document = documents.replace(DOCUMENT, merged(None))  # it was damaged: what it says is in the warehouse
    return document


def _write_report(pipeline: Pipeline, warehouse: Warehouse, date: str | None) -> None:
    if date is None:
        return
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for receipt in warehouse.receipts(date):
        key = (receipt["table_name"], receipt["dataset"])
        latest[key] = receipt
    if not latest:
        return
    value = {
        "v": 1,
        "date": date,
        "warehouse": warehouse.shown,
        "record_count": sum(receipt["record_count"] or 0 for receipt in latest.values()),
        "load_time": max(receipt["loaded_at"] for receipt in latest.values()),
        "receipts": list(latest.values()),
    }
    path = report_path(pipeline, date)
    if files.read_json(path, None) != value:
        files.write_json(path, value)


def watermark(pipeline: Pipeline, warehouse: Warehouse, item: Item, staged: Staged, date: str) -> dict[str, Any] | None:
    """The dataset's watermark after this load: the greatest value ever loaded of the column that `load.watermark` or
    the source's `incremental` names, else the greatest date; it never goes back. Without that column there is none
    (and the next fetch takes everything)."""
    from colony_lib.base import jsontext

    column = _column(pipeline, item, staged)
    old = next(
        (
            mark
            for mark in warehouse.watermarks()
            if (mark["table_name"], mark["dataset"], mark["field"]) == (item.table, item.dataset, column)
        ),
        None,
    )
    found: Any = date if column is None else warehouse.greatest(staged, column) if column in staged.columns else None
    values = [value for value in (found, old and old["value"]) if value is not None]
    return {
        "table_name": item.table,
        "dataset": item.dataset,
        "source": item.source,
        "field": column,
        "value": jsontext.dumps(max(values, key=_sortable)) if values else None,
        "date": date,
    }


def has_column(pipeline: Pipeline, item: Item) -> bool:
    """Whether the dataset's watermark is a value of a column."""
    return bool(pipeline.dataset(item.dataset)["load"].get("watermark") or _field(pipeline, item))


def _field(pipeline: Pipeline, item: Item) -> str | None:
    source = (pipeline.document.get("sources") or {}).get(item.source) or {}
    field: str | None = (source.get("incremental") or {}).get("field")
    return field


def _column(pipeline: Pipeline, item: Item, staged: Staged) -> str | None:
    named = pipeline.dataset(item.dataset)["load"].get("watermark")
    if named:
        if staged.rows and named not in staged.columns:
            raise ColonyError(
                f"there is no column '{named}' for the watermark",
                where=pipeline.where("datasets", item.dataset, "load", "watermark"),
                fix="the file has " + ", ".join(staged.columns),
                code=USAGE,
            )
        return str(named)
    field = _field(pipeline, item)
    if not field:
        return None
    snake = re.sub(r"[^0-9A-Za-z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field)).strip("_").lower()
    return next((column for column in (field, snake) if column in staged.columns), snake)


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers by size, times by when they are, other text as text."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    try:
        return (0, clock.seconds(str(value)), "")
    except ValueError:
        return (1, 0.0, str(value))
