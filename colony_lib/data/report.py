"""The day's report: gathers what the tools' files say of a date into one document, each figure read from its file."""

from __future__ import annotations

import glob
import os
from typing import Any

from colony_lib.base import clock, files
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import envelope, load_metadata, report_findings, report_run, report_trend, staging
from colony_lib.data.load_gate import loadable
from colony_lib.data.pipeline import Pipeline

STATUSES = ("PASS", "WARN", "FAIL")  # the gravest is the day's


def make(pipeline: Pipeline, date: str, run_ref: str | None) -> dict[str, Any]:
    """The report as metrics/daily_DATE.json has it (schemas/report.schema.json), alerts not yet in it.

    `run_ref`: the run whose steps and log lines belong in it; None: the one that, by the lineage events, loaded or
    made that date's files, if any. What should be there and is not is named under `missing`. ColonyError (FAILED)
    when nothing at all is known of the date.
    """
    _take(pipeline, date)
    missing: list[str] = []
    run = report_run.gather(pipeline, date, run_ref, missing)
    fetch = _fetch(pipeline, date, missing)
    transform = _transform(pipeline, date, missing)
    validation = _validation(pipeline, date, missing)
    load = _load(pipeline, date, missing)
    if not (fetch or transform or validation or load or run["run_id"]):
        raise ColonyError(
            f"nothing is known of {date}: it was not fetched, transformed, validated or loaded",
            fix=_known_day(pipeline),
            code=FAILED,
        )
    found = {name: report_findings.gather(pipeline, name, date) for name in transform}
    report: dict[str, Any] = {
        "v": 1,
        "date": date,
        "generated": clock.now(),
        "run_id": run["run_id"],
        "workflow": run["workflow"],
        **_figures(fetch, transform, validation, load, run),
        "fetch": fetch,
        "transform": transform,
        "findings": found,
        "validation": validation,
        "load": load,
        "steps": run["steps"],
        "run_status": run["status"],
        "run_started": run["started"],
        "problems": run["problems"],
        "lineage": report_run.provenance(pipeline, date),
        "missing": missing,
    }
    report["trend"] = report_trend.gather(pipeline, date, report)
    report["files"] = {
        "markdown": pipeline.shown(pipeline.path("report", date=date)),
        "json": pipeline.shown(pipeline.path("daily", date=date)),
        "html": pipeline.shown(pipeline.path("page", date=date)),
    }
    return report


def _take(pipeline: Pipeline, date: str) -> None:
    """Have the files here that other machines have put into staging."""
    staging.check(pipeline)
    for name in pipeline.names("sources"):
        staging.take(pipeline, "raw", name, date)
    for name in pipeline.names("datasets"):
        staging.take(pipeline, "transformed", name, date)
        staging.take(pipeline, "validation", name, date)
    staging.take(pipeline, "load", "", date)


def _known_day(pipeline: Pipeline) -> str:
    """What to do when nothing is known of a day: the newest of which something is, by the reports of validation."""
    found = glob.glob(os.path.join(glob.escape(pipeline.folder("reports")), "validation_*_????-??-??.json"))
    if not found:
        return "name the date of the data with --date, or run the pipeline for it first"
    newest = max(file[-15:-5] for file in found)
    return f"the newest day with data is {newest}: colony report --date {newest}"


def _figures(
    fetch: dict[str, Any],
    transform: dict[str, Any],
    validation: dict[str, Any],
    load: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """The day in a few numbers; null where no file tells it.

    records_processed: the records that were loaded, else those that came through the transformation. quality_score:
    that of the worst dataset. error_count: records in error (validation's count: invalid, rejected, unreadable), those
    in quarantine, and the error lines that the run logged.
    """
    tables = load.get("tables", {})
    transformed = sum(one["rows_out"] for one in transform.values()) if transform else None
    invalid = sum(one["error_count"] for one in validation.values())
    quarantined = sum(one["quarantined"] for one in fetch.values())
    logged = run["logged"]["error"]
    return {
        "status": max((one["status"] for one in validation.values()), key=_gravity, default=None),
        "loaded": bool(tables),
        "records_fetched": sum(one["records"] for one in fetch.values()) if fetch else None,
        "records_processed": load["record_count"] if tables else transformed,
        "records_rejected": sum(one["rejected"] for one in transform.values()) if transform else None,
        "records_loaded": sum(t["inserted"] + t["updated"] for t in tables.values()) if tables else None,
        "records_quarantined": quarantined,
        "quality_score": min((v["quality_score"] for v in validation.values()), default=None),
        "rows_flagged": sum(one["rows_flagged"] for one in validation.values()) if validation else None,
        "error_count": invalid + quarantined + logged,
        "errors": {"records": invalid, "quarantined": quarantined, "logged": logged},
        "warning_count": run["logged"]["warn"],
        "duration_seconds": run["duration_seconds"],
    }


def _gravity(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def read(path: str) -> dict[str, Any] | None:
    """A tool's JSON file; None when it is not there. ColonyError (FAILED) when it is damaged."""
    try:
        value = files.read_json(path, None)
    except ColonyError as error:
        raise ColonyError(error.what, where=error.where or path, fix="make it anew", code=FAILED) from None
    return value if isinstance(value, dict) else None


def _fetch(pipeline: Pipeline, date: str, missing: list[str]) -> dict[str, Any]:
    """{source: {file, records, fetch_time, quarantined, reasons, …}} from the raw files and the quarantine."""
    found: dict[str, Any] = {}
    told = _fetch_results(pipeline)
    for name in pipeline.names("sources"):
        path = pipeline.path("raw", name, date)
        kept = _quarantine(pipeline, name, date)
        try:
            head, _ = envelope.stream(path)
        except FileNotFoundError:
            missing.append(f"raw data of source '{name}': no {pipeline.shown(path)}")
            if kept:
                found[name] = {"file": None, "records": 0, "fetch_time": None, **kept}
            continue
        entry = {
            "file": pipeline.shown(path),
            "records": head.get("record_count") or 0,
            "fetch_time": head.get("fetch_time"),
        }
        more = told.get(name)
        if isinstance(more, dict) and more.get("fetch_time") == head.get("fetch_time"):
            entry.update({key: more.get(key) for key in ("pages", "retries", "duplicates")})
        found[name] = {**entry, **kept, "quarantined": kept.get("quarantined", 0)}
    return found


def _fetch_results(pipeline: Pipeline) -> dict[str, Any]:
    if not pipeline.in_colony():
        return {}
    from colony_lib.store import documents

    try:
        document = documents.get("fetch_results")
    except ColonyError:
        return {}  # it says no more than how often a page was asked for
    return document if isinstance(document, dict) else {}


def _quarantine(pipeline: Pipeline, source: str, date: str) -> dict[str, Any]:
    """{quarantined: records (or bodies) in quarantine, quarantine: [{file, reason, records}]}; {} without any."""
    pattern = os.path.join(glob.escape(pipeline.folder("quarantine")), f"{source}_{date}-*.json")
    kept = []
    for path in sorted(glob.glob(pattern)):
        document = read(path) or {}
        count = document.get("record_count")
        kept.append(
            {
                "file": pipeline.shown(path),
                "reason": str(document.get("reason")),
                "records": count if isinstance(count, int) else 1,
            }
        )
    return {"quarantined": sum(one["records"] for one in kept), "quarantine": kept} if kept else {}


def _transform(pipeline: Pipeline, date: str, missing: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in pipeline.names("datasets"):
        path = pipeline.path("transformation", name, date)
        report = read(path)
        if report is None:
            missing.append(f"transformation report of '{name}': no {pipeline.shown(path)}")
            continue
        keys = ("file", "rows_in", "rows_out", "rejected", "dropped", "transformations", "seconds")
        found[name] = {**{key: report.get(key) for key in keys}, "report": pipeline.shown(path)}
        for key in ("rows_in", "rows_out", "rejected", "dropped"):
            found[name][key] = found[name][key] or 0
    return found


def _validation(pipeline: Pipeline, date: str, missing: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in pipeline.names("datasets"):
        path = pipeline.path("validation", name, date)
        report = read(path)
        if report is None:
            missing.append(f"validation report of '{name}': no {pipeline.shown(path)}")
            continue
        found[name] = {
            "status": str(report.get("status")),
            "timestamp": report.get("timestamp"),
            "quality_score": report.get("quality_score") or 0.0,
            "record_count": report.get("record_count") or 0,
            "error_count": report.get("error_count") or 0,
            "rows_flagged": report.get("rows_flagged") or 0,
            "checks": [check for check in report.get("checks") or [] if isinstance(check, dict)],
            "errors": report.get("errors") or [],
            "flagged": report.get("flagged") or [],
            "report": pipeline.shown(path),
        }
    return found


def _load(pipeline: Pipeline, date: str, missing: list[str]) -> dict[str, Any]:
    """{warehouse, load_time, record_count, tables: {T: receipt}} from the day's load report; {} when not loaded."""
    wanted = loadable(pipeline)
    if not wanted:
        return {}
    path = load_metadata.report_path(pipeline, date)
    report = read(path)
    if report is None:
        missing.append(f"the load: no {pipeline.shown(path)}")
        return {}
    tables: dict[str, Any] = {}
    for receipt in report.get("receipts") or []:
        tables[receipt["table_name"] if receipt["table_name"] not in tables else receipt["dataset"]] = receipt
    loaded = {receipt["dataset"] for receipt in tables.values()}
    missing += [f"the load of '{name}': no receipt in {pipeline.shown(path)}" for name in wanted if name not in loaded]
    return {
        "warehouse": report.get("warehouse"),
        "load_time": report.get("load_time"),
        "record_count": report.get("record_count") or 0,
        "tables": tables,
        "report": pipeline.shown(path),
    }
