"""Takes a table back to its last backup, in one transaction and with a receipt; the rows that it had are backed up."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from colony_lib.base import clock
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import load_after, load_metadata, load_record
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Warehouse
from colony_lib.store import env, lineage

Record = dict[str, Any]


def restore(pipeline: Pipeline, warehouse: Warehouse, table: str, run: lineage.recording | None = None) -> Record:
    """The summary, as of a load. ColonyError (FAILED), and nothing is changed, when there is no table or no backup, or
    the backup does not fit the table or cannot be read."""
    started = time.monotonic()
    if warehouse.columns(table) is None:
        raise ColonyError(f"there is no table '{escape(table)}'", fix="see 'colony load --status'", code=FAILED)
    last = _last(warehouse, table)
    path = os.path.join(pipeline.root, last["backup"])
    if not os.path.isfile(path):
        raise ColonyError(f"the backup {escape(last['backup'])} is gone", code=FAILED)
    plan = load_after.plan(pipeline, warehouse)
    staged = warehouse.stage_backup(table, path, pipeline.shown(path))
    loaded_at = clock.now()
    load_id = hashlib.sha256(f"restore\n{last['backup']}\n{loaded_at}".encode()).hexdigest()[:32]
    warehouse.begin()
    try:
        before = warehouse.hold(table)
        kept = _backed_up(pipeline, warehouse, table, load_id, before)
        same = warehouse.common(table, staged) if staged.rows else 0
        warehouse.clear(table)
        if staged.rows:
            warehouse.append(table, staged)
        after = warehouse.count(table)
        if after != staged.rows:
            what = f"{after:,} of the backup's {staged.rows:,} rows came"
            raise ColonyError(what, fix="nothing was changed", code=FAILED)
        result = {
            "dataset": last["dataset"], "mode": "restore", "rows_before": before, "rows_after": after,
            "inserted": after - same, "updated": 0, "unchanged": same, "deleted": before - same, "receipt": load_id,
            "loaded_at": loaded_at, "repeat": False, "validation": last["validation"], "backup": kept,
        }  # fmt: skip
        _record(warehouse, table, last, result, staged.rows, kept)
        notes = plan.carry_out(warehouse)
        warehouse.commit()
    except BaseException:
        warehouse.rollback()
        raise
    load_metadata.follow(pipeline, warehouse, last["date"])
    notes += [f"column '{escape(name)}' is newer than the backup: the rows have none" for name in sorted(staged.empty)]
    notes.insert(0, f"the {plural(before, 'row')} that '{table}' had are in {kept}" if kept else f"'{table}' was empty")
    done = {
        "date": last["date"], "status": "loaded" if after - same or before - same else "unchanged",
        "record_count": staged.rows, "tables": {table: result}, "views": sorted(plan.made), "checks": plan.passed,
        "load_id": load_id, "warehouse": warehouse.shown, "unchecked": False, "dry_run": False, "notes": notes,
        "seconds": round(time.monotonic() - started, 3),
    }  # fmt: skip
    if run is not None:
        load_record.restored(run, done, table, warehouse.schema(), last["backup"], staged.columns)
    return done


def _last(warehouse: Warehouse, table: str) -> Record:
    """The newest load of the table that made a backup."""
    found = [receipt for receipt in warehouse.history(table) if receipt["backup"]]
    if not found:
        fix = "backups are made before rows are replaced or taken out"
        raise ColonyError(f"there is no backup of '{escape(table)}'", fix=fix, code=FAILED)
    return found[-1]


def _backed_up(pipeline: Pipeline, warehouse: Warehouse, table: str, load_id: str, rows: int) -> str | None:
    if not rows:
        return None
    path = os.path.join(pipeline.folder("backups"), f"{table}_before_restore_{load_id[:12]}.parquet")
    if warehouse.backup(table, path) != rows:
        raise ColonyError(f"the backup of '{table}' is not whole", fix="nothing was changed", code=FAILED)
    return pipeline.shown(path)


def _record(warehouse: Warehouse, table: str, last: Record, result: Record, rows: int, kept: str | None) -> None:
    counted = {key: result[key] for key in ("rows_before", "rows_after", "inserted", "updated", "unchanged", "deleted")}
    receipt = {
        **last, **counted, "load_id": result["receipt"], "mode": "restore", "file": last["backup"], "file_sha256": None,
        "record_count": rows, "backup": kept, "run_id": env.step().get("run_id"), "loaded_at": result["loaded_at"],
        "key": None,
    }  # fmt: skip
    entry = {
        "table_name": table, "dataset": last["dataset"], "mode": "restore", "key": None, "rows": rows,
        "last_load_id": result["receipt"], "last_date": last["date"], "last_load_time": result["loaded_at"],
    }  # fmt: skip
    warehouse.record(receipt, entry, None)
