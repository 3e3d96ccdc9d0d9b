"""The loader: takes the validated files of a day into the warehouse, all of them or none, in one transaction.

Under the warehouse's lock: read and check every file, then begin; rows, receipts, load history, metadata, watermarks,
views and post-load checks; verify the counts; commit. What follows from the warehouse (the state document
load_metadata, the day's load report) is written after the commit and rewritten by the next load: a crash between
the two costs nothing.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

from colony_lib.base import clock
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import (
    load_after,
    load_gate,
    load_metadata,
    load_modes,
    load_receipts,
    load_warehouse,
    staging,
    warehouses,
)
from colony_lib.data.load_gate import Item
from colony_lib.data.load_modes import CHANGES
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import NotAsTold, Staged, Warehouse
from colony_lib.store import lineage, progress


def load(
    pipeline: Pipeline,
    date: str,
    names: list[str],
    *,
    unchecked: bool = False,
    dry_run: bool = False,
    timeout: float = 10.0,
) -> tuple[dict[str, Any], list[Item]]:
    """Load the datasets (all with a `load` when none is named) of one day; returns the summary and what was loaded.

    ColonyError, and nothing is loaded: FAILED when the gate refuses a file, it does not fit its table, the row
    counts do not add up or a post-load check is false; USAGE for the pipeline file; BUSY (naming who) when the
    warehouse is in use for longer than `timeout` seconds. With `dry_run` all is done and taken back.
    """
    started = time.monotonic()
    chosen = load_gate.chosen(pipeline, names)
    url, where = load_warehouse.warehouse_url(pipeline)
    warehouses.split(url, where)
    items = load_gate.items(pipeline, chosen, date, unchecked=unchecked)
    try:
        with progress.working(), load_warehouse.opened(pipeline, timeout) as warehouse:
            try:
                summary = _load(pipeline, warehouse, date, items, unchecked=unchecked, dry_run=dry_run)
            except NotAsTold:
                for item in items:
                    item.kinds = {}
                summary = _load(pipeline, warehouse, date, items, unchecked=unchecked, dry_run=dry_run)
            if not dry_run:
                load_metadata.follow(pipeline, warehouse, date)
        if not dry_run:
            staging.put(pipeline, "load", "", date)
    finally:
        for item in items:
            item.close()
    summary["seconds"] = round(time.monotonic() - started, 3)
    return summary, items


def restore(
    pipeline: Pipeline, table: str, timeout: float = 10.0, run: lineage.recording | None = None
) -> dict[str, Any]:
    """Take a table back to its last backup, and tell `run` of it; see load_restore."""
    from colony_lib.data import load_restore

    with load_warehouse.opened(pipeline, timeout) as warehouse:
        return load_restore.restore(pipeline, warehouse, table, run)


def status(pipeline: Pipeline, timeout: float = 10.0) -> dict[str, Any]:
    """What is in the warehouse, as the state document load_metadata says it; the document is put right on the way."""
    url, where = load_warehouse.warehouse_url(pipeline)
    if not warehouses.exists(url, pipeline.root):
        raise ColonyError(
            "there is no warehouse yet", where=where, fix="load something first: colony load", code=FAILED
        )
    with load_warehouse.opened(pipeline, timeout) as warehouse:
        return load_metadata.follow(pipeline, warehouse)


def _load(
    pipeline: Pipeline, warehouse: Warehouse, date: str, items: list[Item], *, unchecked: bool, dry_run: bool
) -> dict[str, Any]:
    plan = load_after.plan(pipeline, warehouse)
    for item in items:
        item.schema = warehouse.schema()
    receipts = {item.table: _receipts(warehouse, item) for item in items}
    standing = {item.dataset: load_receipts.standing(item, date, receipts[item.table]) for item in items}
    staged: dict[str, Staged] = {}
    notes: list[str] = []
    for item in items:
        if standing[item.dataset] is None:
            where = pipeline.where("datasets", item.dataset, "load")
            load_receipts.check_order(item, date, receipts[item.table], where)
            staged[item.dataset] = _staged(pipeline, warehouse, item)
            notes += _discard(pipeline, warehouse, item, staged[item.dataset])
    tables: dict[str, dict[str, Any]] = {}
    changed_views = plan.changed(warehouse)
    warehouse_changes = bool(staged or changed_views)
    if warehouse_changes:
        warehouse.begin()
    try:
        for item in items:  # all of them before any row, and any backup of rows
            if item.dataset in staged and staged[item.dataset].rows:
                if warehouse.columns(item.table) is None:
                    warehouse.forget(item.table)
                notes += _fit(pipeline, warehouse, item, staged[item.dataset])
        for item in items:
            receipt = standing[item.dataset]
            if receipt is None:
                if item.mode == "append" and staged[item.dataset].rows:
                    notes += load_receipts.appended_before(item, date, receipts[item.table])
                result, said = _apply(
                    pipeline, warehouse, item, staged[item.dataset], date, unchecked=unchecked, dry_run=dry_run
                )
                notes += said
                load_gate.check_unchanged(item)
            else:
                result = load_receipts.repeated(warehouse, item, receipt)
            _add(tables, item.table, result)
        if warehouse_changes:
            notes += plan.carry_out(warehouse)
            if dry_run:
                warehouse.rollback()
            else:
                warehouse.commit()
    except BaseException:
        if warehouse_changes:
            warehouse.rollback()
        raise
    moved = any(table[change] for table in tables.values() for change in CHANGES)
    return {
        "date": date,
        "status": "loaded" if moved else "unchanged",
        "record_count": sum(item.head.get("record_count") or 0 for item in items),
        "tables": tables,
        "views": sorted(plan.made),
        "checks": plan.passed,
        "load_id": _whole_id(items),
        "warehouse": warehouse.shown,
        "unchecked": unchecked,
        "dry_run": dry_run,
        "notes": notes,
    }


def _receipts(warehouse: Warehouse, item: Item) -> list[dict[str, Any]]:
    """Those of the loads whose rows are in the item's table."""
    if warehouse.columns(item.table) is None and item.head.get("record_count"):
        return []  # somebody has dropped the table
    return load_receipts.known(warehouse, item.table)


def _whole_id(items: list[Item]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(sorted(item.load_id for item in items)).encode()).hexdigest()[:32]


def _staged(pipeline: Pipeline, warehouse: Warehouse, item: Item) -> Staged:
    progress.tell(item.dataset, "reading")
    fields = (pipeline.dataset(item.dataset).get("schema") or {}).get("fields") or []
    declared = {field["name"]: field["type"] for field in fields if field.get("type", "any") != "any"}
    found = item.head.get("columns")
    staged = warehouse.stage(
        item.dataset,
        item.fd,
        declared,
        found if isinstance(found, dict) else {},
        item.kinds,
        item.shown,
        only_appended=_is_only_appended(pipeline, item),
    )
    load_gate.check_unchanged(item)
    if item.key:
        warehouse.check_key(staged, item.key)
    return staged


def _is_only_appended(pipeline: Pipeline, item: Item) -> bool:
    """Whether nobody looks at the rows before they are in the table, nor afterwards where they came from."""
    policy = pipeline.schema_policy("datasets", item.dataset)
    looked_at = item.key or policy == "discard" or load_metadata.has_column(pipeline, item)
    return item.mode == "append" and not looked_at


def _discard(pipeline: Pipeline, warehouse: Warehouse, item: Item, staged: Staged) -> list[str]:
    """Leave out what the table has no place for, where that is the dataset's policy."""
    if pipeline.schema_policy("datasets", item.dataset) != "discard":
        return []
    notes = warehouse.discard(item.table, staged, load_modes.own_columns(item))
    if staged.rows and not staged.columns:
        raise ColonyError(f"table '{item.table}' has none of the file's columns", where=item.shown, code=FAILED)
    if notes and item.key:
        warehouse.check_key(staged, item.key)
    return notes


def _fit(pipeline: Pipeline, warehouse: Warehouse, item: Item, staged: Staged) -> list[str]:
    frozen = pipeline.schema_policy("datasets", item.dataset) == "freeze"
    return warehouse.fit(item.table, staged, load_modes.own_columns(item), frozen=frozen)


def _apply(
    pipeline: Pipeline,
    warehouse: Warehouse,
    item: Item,
    staged: Staged,
    date: str,
    *,
    unchecked: bool,
    dry_run: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Bring one dataset's rows into its table, check the arithmetic and write the receipt; (result, notes)."""
    notes: list[str] = []
    progress.tell(item.dataset, f"into the table {item.table}")
    there = warehouse.columns(item.table) is not None
    before = after = 0
    applied = load_modes.Applied()
    if there:
        before = warehouse.hold(item.table)
        where = pipeline.where("datasets", item.dataset, "load")

        def keep() -> str | None:
            return None if dry_run else _backed_up(pipeline, warehouse, item, date, before)

        applied = load_modes.apply(warehouse, item, staged, date, before=before, where=where, keep=keep)
        notes += applied.notes
        after = warehouse.count_again(item.table, before + applied.more)
    counts, backup = applied.counts, applied.backup
    _verify(item, staged.rows, before, after, applied)
    result = {
        "dataset": item.dataset,
        "mode": item.mode,
        "rows_before": before,
        "rows_after": after,
        **counts,
        "discarded": staged.discarded,
        "receipt": item.load_id,
        "loaded_at": clock.now(),
        "repeat": False,
        "validation": item.validation,
        "backup": backup,
    }
    load_receipts.record(pipeline, warehouse, item, staged, date, result, unchecked=unchecked)
    return result, notes


def _verify(item: Item, rows: int, before: int, after: int, applied: load_modes.Applied) -> None:
    counts = applied.counts
    whole = counts["inserted"] + counts["updated"] + counts["unchanged"] == rows
    if not whole or min(counts.values()) < 0 or after != before + applied.more:
        shown = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        raise ColonyError(
            f"the row counts of table '{item.table}' do not add up: {before:,} before, {after:,} after, "
            f"{rows:,} in the file; {shown}",
            where=item.shown,
            fix="nothing was loaded",
            code=FAILED,
        )


def _backed_up(pipeline: Pipeline, warehouse: Warehouse, item: Item, date: str, rows: int) -> str:
    # The name is of the load that replaces: after a crash the same load writes the same backup again. One that was
    # committed, and comes again after others, leaves its first backup alone.
    taken = {receipt["backup"] for receipt in warehouse.history(item.table)}
    stem = os.path.join(pipeline.folder("backups"), f"{item.table}_before_{date}_{item.load_id[:12]}")
    names = (f"{stem}{'' if number == 1 else f'_{number}'}.parquet" for number in itertools.count(1))
    path = next(name for name in names if pipeline.shown(name) not in taken)
    kept = warehouse.backup(item.table, path)
    if kept != rows:
        raise ColonyError(
            f"the backup of '{item.table}' has {kept:,} of its {rows:,} rows", fix="nothing was loaded", code=FAILED
        )
    return pipeline.shown(path)


def _add(tables: dict[str, dict[str, Any]], table: str, result: dict[str, Any]) -> None:
    """Two datasets may load into one table: their counts are added."""
    first = tables.get(table)
    if first is None:
        tables[table] = result
        return
    for key in (*CHANGES, "unchanged", "discarded"):
        first[key] += result[key]
    first["rows_after"] = result["rows_after"]
    first["dataset"] += ", " + result["dataset"]
    first["repeat"] = first["repeat"] and result["repeat"]
