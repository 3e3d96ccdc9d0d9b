"""Receipts: what a load leaves in the warehouse beside its rows, and by which it is known when it comes again."""

from __future__ import annotations

from typing import Any

from colony_lib.base import jsontext
from colony_lib.base.text import plural
from colony_lib.data import load_gate, load_metadata
from colony_lib.data.load_gate import Item
from colony_lib.data.load_modes import CHANGES
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Staged, Warehouse
from colony_lib.store import env


def standing(warehouse: Warehouse, item: Item, date: str) -> dict[str, Any] | None:
    """The receipt that makes this load a repeat, or None.

    An append counts once for ever. An upsert or a replace is a repeat only while nothing was loaded over it: of the
    same dataset and date, for a replace of the table at all.
    """
    if warehouse.columns(item.table) is None and item.head.get("record_count"):
        return None  # somebody has dropped the table
    receipts = [receipt for receipt in warehouse.receipts() if receipt["table_name"] == item.table]
    if item.mode == "upsert":
        receipts = [r for r in receipts if r["dataset"] == item.dataset and r["date"] == date]
    wanted = receipts if item.mode == "append" else receipts[-1:]
    return next((receipt for receipt in wanted if receipt["load_id"] == item.load_id), None)


def repeated(warehouse: Warehouse, item: Item, receipt: dict[str, Any]) -> dict[str, Any]:
    rows = warehouse.count(item.table) if warehouse.columns(item.table) else 0
    return {
        "dataset": item.dataset,
        "mode": item.mode,
        "rows_before": rows,
        "rows_after": rows,
        **dict.fromkeys(CHANGES, 0),
        "unchanged": item.head["record_count"],
        "discarded": 0,
        "receipt": item.load_id,
        "loaded_at": receipt["loaded_at"],
        "repeat": True,
        "validation": receipt["validation"],
        "backup": None,
    }


def appended_before(warehouse: Warehouse, item: Item, date: str) -> list[str]:
    earlier = [r for r in warehouse.receipts(date) if r["table_name"] == item.table and r["dataset"] == item.dataset]
    if not earlier:
        return []
    rows = sum(receipt["record_count"] or 0 for receipt in earlier)
    return [
        f"warning: {plural(rows, 'row')} of {date} were appended to '{item.table}' before, from other records; "
        "they stay beside the new ones"
    ]


def record(
    pipeline: Pipeline,
    warehouse: Warehouse,
    item: Item,
    staged: Staged,
    date: str,
    result: dict[str, Any],
    *,
    unchecked: bool,
) -> None:
    receipt = {
        "load_id": item.load_id,
        "table_name": item.table,
        "date": date,
        "file": item.shown,
        "file_sha256": item.sha256,
        "record_count": staged.rows,
        "quality_score": item.quality_score,
        "unchecked": unchecked and item.validation not in load_gate.PASSING,
        "run_id": env.step().get("run_id"),
        **{key: result[key] for key in ("dataset", "mode", "rows_before", "rows_after", *CHANGES, "unchanged")},
        **{key: result[key] for key in ("loaded_at", "validation", "backup")},
    }
    table = {
        "table_name": item.table,
        "dataset": item.dataset,
        "mode": item.mode,
        "key": jsontext.dumps(item.key),
        "last_load_id": item.load_id,
        "last_date": date,
        "last_load_time": result["loaded_at"],
        "rows": result["rows_after"],
    }
    mark = load_metadata.watermark(pipeline, warehouse, item, staged, date)
    stamped = mark and {**mark, "load_id": item.load_id, "updated_at": result["loaded_at"]}
    warehouse.record(receipt, table, stamped)
