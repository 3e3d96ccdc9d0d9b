"""What a finished load leaves in the colony beside the warehouse: lineage, log lines and metrics."""

from __future__ import annotations

from typing import Any

from colony_lib.base.text import plural
from colony_lib.data import load_gate, summary
from colony_lib.data.load_gate import Item
from colony_lib.data.pipeline import Pipeline
from colony_lib.store import lineage


def reads(pipeline: Pipeline, names: list[str], date: str, run: lineage.recording) -> None:
    """Say that the files of these datasets are being loaded."""
    for name in load_gate.chosen(pipeline, names):
        run.inputs.append(lineage.file(pipeline.shown(pipeline.path("transformed", name, date))))
    run.running()


def lineage_of(loaded: dict[str, Any], items: list[Item], run: lineage.recording) -> None:
    """Give the load's event its inputs, outputs and provenance, from the summary and the heads of the files.

    A repeat has no provenance of its own: the rows in the table came from the load before.
    """
    for item in items:
        result = loaded["tables"][item.table]
        columns = item.head.get("columns")
        columns = columns if isinstance(columns, dict) else {}
        run.inputs.append(lineage.file(item.shown, columns))
        written = result["inserted"] + result["updated"]
        name, namespace = _named(loaded["warehouse"], item.table, item.schema)
        run.outputs.append(lineage.table(name, namespace, item.shown, columns, written))
        if not result["repeat"]:
            run.provenance.append(_provenance(loaded, item, result))


def restored(
    run: lineage.recording, done: dict[str, Any], table: str, schema: str | None, backup: str, columns: dict[str, str]
) -> None:
    """Give a restore's event its input, output and provenance: the rows came from the backup now."""
    result = done["tables"][table]
    run.date = done["date"]  # known only now
    name, namespace = _named(done["warehouse"], table, schema)
    run.inputs.append(lineage.file(backup, dict(columns)))
    run.outputs.append(lineage.table(name, namespace, backup, dict(columns), done["record_count"]))
    run.provenance.append(
        {
            "dataset": result["dataset"],
            "date": done["date"],
            "load_time": result["loaded_at"],
            "warehouse_table": table,
            "warehouse": done["warehouse"],
            "load_id": result["receipt"],
            "record_count": done["record_count"],
            "restored_from": backup,
        }
    )


def _named(warehouse: str, table: str, schema: str | None) -> tuple[str, str]:
    """(name, namespace) of a table as OpenLineage has them (https://openlineage.io/docs/spec/naming)."""
    if warehouse.startswith("postgresql://"):
        host, _, database = warehouse.removeprefix("postgresql://").partition("/")
        return f"{database}.{schema or 'public'}.{table}", f"postgres://{host}"
    kind = "duckdb" if warehouse.endswith((".duckdb", ".ddb")) else "sqlite"
    return table, f"{kind}:{warehouse}"


def _provenance(loaded: dict[str, Any], item: Item, result: dict[str, Any]) -> dict[str, Any]:
    came = item.head.get("lineage")
    came = came if isinstance(came, dict) else {}
    return {
        "dataset": item.dataset,
        "date": loaded["date"],
        "source": came.get("source"),
        "fetch_time": came.get("fetch_time"),
        "transformations": item.head.get("transformations"),
        "validation_passed": item.validation in load_gate.PASSING if item.validation else None,
        "validation": item.validation,
        "load_time": result["loaded_at"],
        "warehouse_table": item.table,
        "warehouse": loaded["warehouse"],
        "load_id": item.load_id,
        "record_count": item.head.get("record_count"),
        "file": item.shown,
        "raw_file": came.get("file"),
    }


def tell(loaded: dict[str, Any]) -> None:
    """Log what was loaded, and record how many rows each table took; a repeat is no second point."""
    for note in loaded["notes"]:
        summary.log("load", "warn" if note.startswith("warning: ") else "info", note.removeprefix("warning: "))
    for table, result in loaded["tables"].items():
        counts = ", ".join(f"{result[key]:,} {key}" for key in ("inserted", "updated", "deleted", "unchanged"))
        before = "was loaded before; " if result["repeat"] else ""
        summary.log("load", "info", f"{result['dataset']} of {loaded['date']} → {table}: {before}{counts}")
        if result["validation"] not in load_gate.PASSING:
            summary.log("load", "warn", f"{result['dataset']} of {loaded['date']} was loaded unchecked")
        if not result["repeat"]:
            from colony_lib.store import metrics

            labels = {"table": table, "date": loaded["date"]}
            rows = result["inserted"] + result["updated"]
            metrics.record("pipeline_records_loaded", rows, labels, point_id=f"load-{result['receipt']}")
    summary.log(
        "load", "info", f"loaded {plural(loaded['record_count'], 'record')} of {loaded['date']}: {loaded['status']}"
    )
