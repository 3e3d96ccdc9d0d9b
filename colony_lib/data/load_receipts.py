"""Receipts: what a load leaves in the warehouse beside its rows, and by which it is known when it comes again."""

from __future__ import annotations

from typing import Any

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import plural
from colony_lib.data import load_gate, load_metadata
from colony_lib.data.load_gate import Item
from colony_lib.data.load_modes import CHANGES
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Staged, Warehouse
from colony_lib.store import env


def known(warehouse: Warehouse, table: str) -> list[dict[str, Any]]:
    """The receipts of the loads whose rows the table has, oldest first: not those from before it was made or
    replaced, nor, when it was taken back to a backup, those from after that. One that is not in colony_loads any more,
    because the table was dropped or somebody wants the load again, does not count."""
    found: list[dict[str, Any]] = []
    kept: dict[str, list[dict[str, Any]]] = {}  # by backup, what was in the table when it was made
    for receipt in warehouse.history(table):
        if receipt["backup"]:
            kept[receipt["backup"]] = list(found)
        if receipt["mode"] == "restore":
            found = [*kept.get(receipt["file"], []), receipt]
        elif receipt["mode"] in ("replace", "upsert-delete"):
            found = [receipt]
        else:
            found.append(receipt)
    counting = warehouse.receipt_ids(table)
    return [receipt for receipt in found if receipt["load_id"] in counting]


def standing(item: Item, date: str, receipts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The receipt, among those that are `known` of the table, that makes this load a repeat, or None.

    Rows are appended once, in whatever mode they came first. In the other modes a load is a repeat while nothing was
    loaded over it, of the same dataset and date or, where it says what the whole table is, at all; and only in the same
    mode and by the same key (which receipts of earlier versions do not tell): another would have made another table.
    """
    if item.mode == "append":
        return next((receipt for receipt in receipts if receipt["load_id"] == item.load_id), None)
    if item.mode in ("upsert", "scd2"):
        receipts = [r for r in receipts if r["dataset"] == item.dataset and r["date"] == date]
    last = receipts[-1] if receipts else None
    if last is None or last["load_id"] != item.load_id or last["mode"] != item.mode:
        return None
    return last if last["key"] in (None, jsontext.dumps(item.key)) else None


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


def appended_before(item: Item, date: str, receipts: list[dict[str, Any]]) -> list[str]:
    """A warning where other records of the dataset and date are in the table already; `receipts` are those `known`."""
    earlier = [r for r in receipts if r["dataset"] == item.dataset and r["date"] == date and r["mode"] != "restore"]
    rows = sum(receipt["record_count"] or 0 for receipt in earlier)
    if not rows:
        return []
    return [
        f"warning: {plural(rows, 'row')} of {date} were appended to '{item.table}' before, from other records; "
        "they stay beside the new ones"
    ]


def check_order(item: Item, date: str, receipts: list[dict[str, Any]], where: str) -> None:
    """ColonyError (FAILED) when the table keeps a history that goes on after the date."""
    later = sorted({r["date"] for r in receipts if r["date"] > date}) if item.mode == "scd2" else []
    if later:
        raise ColonyError(
            f"table '{item.table}' has a history with the later date {later[0]}, and {date} is not as it was loaded",
            where=where,
            fix="a history is loaded in the order of its dates: drop the table and load them all, or leave it as it is",
            code=FAILED,
        )


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
        "key": jsontext.dumps(item.key),
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
