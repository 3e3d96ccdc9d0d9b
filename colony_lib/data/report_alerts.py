"""What a day's report sets off: alerts of pipeline.yml, each broadcast once, and the day's metrics, each one point."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Callable
from typing import Any

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape
from colony_lib.data.pipeline import Pipeline

_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*\Z")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
FIGURES = (
    "records_fetched", "records_processed", "records_rejected", "records_loaded", "records_quarantined",
    "quality_score", "rows_flagged", "error_count", "warning_count", "duration_seconds",
)  # fmt: skip
# The metrics of the seed: name and the figure it is.
METRICS = {
    "pipeline_records_processed": "records_processed",
    "pipeline_duration_seconds": "duration_seconds",
    "pipeline_error_count": "error_count",
    "data_quality_score": "quality_score",
}


def check(pipeline: Pipeline) -> list[tuple[str, str, float]]:
    """[(figure, operator, limit)] of the pipeline's alerts; a metric's name stands for its figure. ColonyError (USAGE)
    with its line for a figure that no report has."""
    made = []
    for name, condition in (pipeline.document.get("alerts") or {}).items():
        where = pipeline.where("alerts", name)
        figure = METRICS.get(name, name)
        if figure not in FIGURES:
            raise unknown("figure", escape(name), [*FIGURES, *METRICS], where=where, code=USAGE)
        match = _CONDITION.match(str(condition))
        if match is None:
            raise ColonyError(
                f"'{escape(condition)}' is not a condition", where=where, fix="write it like '< 0.95'", code=USAGE
            )
        made.append((figure, match[1], float(match[2])))
    return made


def judge(report: dict[str, Any], alerts: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    """[{figure, condition, value, holds}]; `holds` is null where the figure is not known."""
    found = []
    for figure, sign, limit in alerts:
        value = report[figure]
        holds = None if value is None else _COMPARE[sign](value, limit)
        found.append({"figure": figure, "condition": f"{sign} {limit:g}", "value": value, "holds": holds})
    return found


def send(report: dict[str, Any], judged: list[dict[str, Any]], *, in_colony: bool) -> None:
    """Broadcast the alerts that hold, and write the message's id into each (null outside a colony). The id is made of
    the run, else the date, and the alert: however often the report is made, it is sent once."""
    for alert in judged:
        if not alert["holds"]:
            continue
        alert["message"] = None
        if not in_colony:
            continue
        from colony_lib.store import messages

        run = f" (run {report['run_id']})" if report["run_id"] else ""
        text = f"⚠️ {report['date']}: {alert['figure']} is {alert['value']:g}, {alert['condition']}{run}"
        sent = messages.send(messages.ALL, text, message_id=_id("alert", report, alert["figure"], alert["condition"]))
        alert["message"] = sent["id"]


def measure(report: dict[str, Any]) -> None:
    """Record the day's metrics, at the time of the load (else of the validation). A point's id is made of the run (else
    the date) and its value: a repeat counts once, a corrected figure is a new point; a run has one duration."""
    from colony_lib.store import metrics

    validated = [one["timestamp"] for one in report["validation"].values() if one["timestamp"]]
    at = report["load"].get("load_time") or max(validated, default=None)
    for name, figure in METRICS.items():
        value = report[figure]
        if value is None:
            continue
        labels = {"date": report["date"]}
        if report["workflow"]:
            labels["workflow"] = report["workflow"]
        identity = "" if figure == "duration_seconds" else str(value)
        metrics.record(name, value, labels, at, _id("report", report, name, identity))


def _id(kind: str, report: dict[str, Any], *parts: str) -> str:
    text = "\n".join((report["run_id"] or "", report["date"], *parts))
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
