"""What the tests of load and report share: a day's transformed file with its validation report, and an independent look
into the warehouse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

DATE = "2013-02-08"


def write_pipeline(root: Path, datasets: dict[str, Any], **more: Any) -> None:
    """pipeline.yml; JSON is YAML too."""
    document = {"version": 1, "warehouse": {"url": "duckdb:///w.duckdb"}, "datasets": datasets, **more}
    (root / "pipeline.yml").write_text(json.dumps(document, indent=1))


def transformed(root: Path, dataset: str, rows: list[Any], date: str = DATE, **head: Any) -> Path:
    """The file that `colony transform` would leave, written without its code."""
    path = root / "staging" / "transformed" / f"{dataset}_{date}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    came = {"source": dataset, "fetch_time": "2026-11-23T06:00:00.000Z", "file": f"staging/raw/{dataset}_{date}.json"}
    whole = {"v": 1, "dataset": dataset, "date": date, "lineage": came, "transformations": [], **head}
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    first = json.dumps(whole, separators=(",", ":"))[:-1] + f',"record_count":{len(rows)},"data":['
    path.write_text(first + "\n" + lines + ("\n" if rows else "") + "]}\n")
    return path


def validated(root: Path, dataset: str, date: str = DATE, status: str = "PASS", **more: Any) -> Path:
    """The validation report of the transformed file as it is now."""
    file = root / "staging" / "transformed" / f"{dataset}_{date}.json"
    path = root / "reports" / f"validation_{dataset}_{date}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "file": f"staging/transformed/{file.name}",
        "dataset": dataset,
        "date": date,
        "timestamp": "2026-11-23T06:01:00.000Z",
        "record_count": json.loads(file.read_text())["record_count"],
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "status": status,
        "quality_score": 0.98,
        "checks": [],
        **more,
    }
    path.write_text(json.dumps(report))
    return path


def day(root: Path, dataset: str, rows: list[Any], date: str = DATE, status: str = "PASS", **head: Any) -> Path:
    """A day's transformed file and its validation report."""
    path = transformed(root, dataset, rows, date, **head)
    validated(root, dataset, date, status)
    return path


def query(root: Path, sql: str, warehouse: str = "w.duckdb") -> list[tuple[Any, ...]]:
    """What another program sees in the warehouse."""
    import duckdb

    with duckdb.connect(str(root / warehouse), read_only=True) as connection:
        found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return found
