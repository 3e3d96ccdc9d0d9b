"""What a validation leaves in the colony beside its reports: lineage, log lines, metrics, and on FAIL a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import summary
from colony_lib.data.transform_files import columns_of
from colony_lib.data.validate_files import Gate
from colony_lib.store import lineage, paths

ORCHESTRATOR = "orchestrator"
_ADVICE = "None of it may be loaded: see the report, correct the source or the rules, transform and validate again."


def reads(gate: Gate, run: lineage.recording) -> None:
    """Say that these files are being validated."""
    run.inputs += [lineage.file(gate.shown(target.path), columns_of(target.given.head)) for target in gate.targets]
    run.running()


def trace(reports: Sequence[dict[str, Any]], run: lineage.recording) -> None:
    """Give the run's lineage event what was validated and how it came out."""
    for report in reports:
        run.inputs.append(lineage.file(report["file"], dataQualityAssertions={"assertions": assertions(report)}))
        run.provenance.append(
            {
                "dataset": report["dataset"],
                "date": report["date"],
                "validation_passed": report["status"] != "FAIL",
                "validation": report["status"],
                "quality_score": report["quality_score"],
                "validation_report": report["report"],
                "validated_file": report["file"],
            }
        )
    failed = [report["dataset"] for report in reports if report["status"] == "FAIL"]
    if failed:
        run.failed = f"validation failed: {', '.join(failed)}"


def assertions(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report's checks as OpenLineage's dataQualityAssertions has them: whether they found nothing, how grave."""
    made = []
    for check in report["checks"]:
        kind, _, what = check["name"].partition(":")
        one = {"assertion": kind, "success": check["passed"], "name": check["name"], "description": check["message"]}
        one["severity"] = "error" if check["severity"] == "fail" else "warn"
        for key, value in (("expected", check["threshold"]), ("actual", check["value"])):
            if value is not None:
                one[key] = str(value)
        if what and "+" not in what:
            one["column"] = what
        made.append(one)
    return made


def tell(reports: Sequence[dict[str, Any]], total: dict[str, Any]) -> None:
    """Log each dataset's result and failed checks; record data_quality_score and pipeline_error_count."""
    for report in reports:
        level = {"PASS": "info", "WARN": "warn"}.get(report["status"], "error")
        head = f"validate {report['dataset']} of {report['date']}"
        counts = f"{plural(report['record_count'], 'record')}, quality {report['quality_score']:.4f}"
        summary.log("validate-data", level, f"{head}: {report['status']}, {counts}")
        for check in report["checks"]:
            if not check["passed"]:
                severity = "error" if check["severity"] == "fail" else "warn"
                summary.log("validate-data", severity, f"{head}: {check['name']}: {check['message']}")
    figures = {"data_quality_score": total["quality_score"], "pipeline_error_count": total["error_count"]}
    summary.measure(figures, {"date": total["date"]})


def alert(reports: Sequence[dict[str, Any]]) -> str | None:
    """On FAIL, send the orchestrator (where there is none, everybody) what failed and where to look. Returns why it
    could not be sent, or None."""
    failed = [report for report in reports if report["status"] == "FAIL"]
    if not failed or paths.root_or_none() is None:
        return None
    from colony_lib.store import messages

    try:
        to = ORCHESTRATOR if ORCHESTRATOR in messages.recipients() else messages.ALL
        messages.send(to, "\n".join(_told(report) for report in failed) + "\n" + _ADVICE)
    except ColonyError as error:
        return str(error)
    return None


def warn(reports: Sequence[dict[str, Any]]) -> None:
    """Set off the alerts of colony.yml that wait for a WARN of the gate."""
    if paths.root_or_none() is None:
        return
    from colony_lib.store import alerts

    for report in reports:
        if report["status"] == "WARN":
            broken = [check["name"] for check in report["checks"] if not check["passed"]]
            text = f"validation of {report['dataset']} for {report['date']}: WARN: {', '.join(broken)}"
            alerts.warned(report["dataset"], f"{text} ({report['report']})", report["date"])


def _told(report: dict[str, Any]) -> str:
    broken = [c for c in report["checks"] if not c["passed"] and c["severity"] == "fail"]
    reasons = "; ".join(f"{check['name']}: {check['message']}" for check in broken)
    return escape(f"Validation of {report['dataset']} for {report['date']} FAILED: {reasons} ({report['report']})")
