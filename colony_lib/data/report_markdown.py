"""The day's report as Markdown; whatever stands in data is only text there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from colony_lib.data.markdown import code, number, percent, table, text, took

NULLS_SHOWN = 8
SAMPLES = 5
MARKS = {"PASS": "✓ PASS", "WARN": "! WARN", "FAIL": "✗ FAIL"}


def render(report: dict[str, Any]) -> str:
    """The whole report (report.make, with its alerts)."""
    lines = [f"# Daily report: {report['date']}", ""]
    for part in (_summary, _alerts, _missing, _records, _findings, _checks, _load, _steps, _problems, _trend, _lineage):
        lines += part(report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _summary(report: dict[str, Any]) -> list[str]:
    run = f" by run {code(report['run_id'])} of {code(report['workflow'])}" if report["run_id"] else ""
    errors = report["errors"]
    made = [f"made {report['generated']}{run}", "", *_failed(report)]
    change = report["trend"]["change"]
    rows = [
        ["Data quality", MARKS.get(report["status"], text(report["status"] or "–")), ""],
        ["Quality score", number(report["quality_score"], 4), _delta(change, "quality_score")],
        ["Records fetched", number(report["records_fetched"]), _delta(change, "records_fetched")],
        ["Records processed", number(report["records_processed"]), _delta(change, "records_processed")],
        ["Records rejected", number(report["records_rejected"]), _delta(change, "records_rejected")],
        ["Rows written to the warehouse", number(report["records_loaded"]), _delta(change, "records_loaded")],
        ["Errors", f"{number(report['error_count'])}", _delta(change, "error_count")],
        ["Warnings logged", number(report["warning_count"]), _delta(change, "warning_count")],
        ["Processing time", took(report["duration_seconds"]), _delta(change, "duration_seconds")],
    ]  # fmt: skip
    previous = report["trend"]["previous"]
    headings = ["Figure", "Value#", f"Change since {previous}#" if previous else "Change#"]
    made += table(headings, rows)
    made += [
        f"Errors: {number(errors['records'])} records invalid, rejected or unreadable, {number(errors['quarantined'])} "
        f"in quarantine, {number(errors['logged'])} logged.",
        "",
    ]
    return made


def _failed(report: dict[str, Any]) -> list[str]:
    """What a reader must not have to look for: that the run did not come to its end, and by which steps."""
    if report["run_status"] not in ("failed", "cancelled"):
        return []
    steps = [step for step in report["steps"] if step["status"] == "failed"]
    lines = [f"- {code(step['name'])}: {text(step['error'] or 'no reason is known')}" for step in steps]
    loaded = "" if report["loaded"] else ", and no load of this day is known"
    ended = "was cancelled" if report["run_status"] == "cancelled" else "failed"
    return [f"**The run {ended}{loaded}.**", "", *lines, *([""] if lines else [])]


def _delta(change: dict[str, Any], figure: str) -> str:
    value = change.get(figure)
    if value is None:
        return ""
    if figure == "duration_seconds":
        return ("+" if value >= 0 else "-") + took(abs(value))
    return f"{value:+,.4f}" if isinstance(value, float) and figure == "quality_score" else f"{value:+,.6g}"


def _alerts(report: dict[str, Any]) -> list[str]:
    held = [alert for alert in report["alerts"] if alert["holds"]]
    if not report["alerts"]:
        return []
    lines = ["## Alerts", ""]
    for alert in held:
        sent = "broadcast" if alert.get("message") else "not sent: there is no colony here"
        lines.append(f"- **{alert['figure']}** is {number(alert['value'])}, {text(alert['condition'])} ({sent})")
    for alert in report["alerts"]:
        if alert["holds"] is None:
            lines.append(f"- {alert['figure']} ({text(alert['condition'])}) could not be judged: it is not known")
    if not lines[2:]:
        lines.append(f"None of {len(report['alerts'])} holds.")
    return [*lines, ""]


def _missing(report: dict[str, Any]) -> list[str]:
    if not report["missing"]:
        return []
    return [
        "## Missing",
        "",
        "What this report should be made of and is not there:",
        "",
        *(f"- {text(one)}" for one in report["missing"]),
        "",
    ]


def _records(report: dict[str, Any]) -> list[str]:
    lines = ["## Records in and out", ""]
    if report["fetch"]:
        rows = [
            [
                code(name),
                number(one["records"]),
                number(one.get("pages")),
                number(one.get("retries")),
                number(one.get("duplicates")),
                number(one["quarantined"]),
                one["fetch_time"] or "–",
            ]
            for name, one in report["fetch"].items()
        ]
        lines += table(
            ["Fetched from", "Records#", "Pages#", "Retries#", "Repeats dropped#", "Quarantined#", "At"], rows
        )
        for name, one in report["fetch"].items():
            lines += [
                f"- {code(name)}: {text(kept['reason'])} ({code(kept['file'])})" for kept in one.get("quarantine", [])
            ]
        lines += [""] if lines[-1] else []
    if report["transform"]:
        rows = [
            [
                code(name),
                *(number(one[key]) for key in ("rows_in", "dropped", "rejected", "rows_out")),
                took(one["seconds"]),
            ]
            for name, one in report["transform"].items()
        ]
        lines += table(["Transformed", "In#", "Dropped#", "Rejected#", "Out#", "Took#"], rows)
    return lines if lines[2:] else []


def _findings(report: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, found in report["findings"].items():
        transformed = report["transform"][name]
        part = _cleaned(transformed) + _nulls(found, transformed["rows_out"]) + _rejected(found) + _lookups(found)
        part += _invalid(report["validation"].get(name, {}))
        part += _groups(found["groups"], part)
        if part:
            lines += [f"### {code(name)}", "", *part, ""]
    return ["## What was found in the data", "", *lines] if lines else []


def _cleaned(transformed: dict[str, Any]) -> list[str]:
    done = [step for step in transformed["transformations"] or [] if step.get("rows_affected")]
    if not done:
        return []
    said = []
    for step in done:
        name = step.get("name") or " ".join(str(step[key]) for key in ("type", "column", "dataset") if step.get(key))
        said.append(f"{code(name)} {number(step['rows_affected'])}")
    return [f"- Transformations, with the rows that each changed: {', '.join(said)}"]


def _groups(groups: dict[str, Any] | None, before: list[str]) -> list[str]:
    """A table of the largest groups, without the columns that are the same in all of them."""
    if not groups or not groups["largest"]:
        return []
    rows = groups["largest"]
    by = [name for name in groups["by"] if len(rows) == 1 or any(row.get(name) != rows[0].get(name) for row in rows)]
    measures = groups["measures"]
    broken = {name for name in measures if any(isinstance(row.get(name), float) for row in rows)}
    cells = [
        [*(text(row.get(name)) for name in by), *(_measure(row.get(name), name in broken) for name in measures)]
        for row in rows
    ]
    said = f"The {len(rows)} largest of {groups['count']:,} groups:" if groups["count"] > len(rows) else "All groups:"
    headings = [*map(text, by), *(f"{text(measure)}#" for measure in measures)]
    return [*([""] if before else []), said, "", *table(headings, cells)]


def _measure(value: Any, broken: bool) -> str:
    if value is None or isinstance(value, (int, float)):
        return number(value, 1 if broken and value is not None else None)
    return text(value)


def _nulls(found: dict[str, Any], rows: int) -> list[str]:
    lines = []
    if found["true"]:
        true = ", ".join(
            f"{code(one['column'])} {number(one['rows'])} ({percent(one['share'])})" for one in found["true"]
        )
        lines.append(f"- True, of {number(rows)} rows: {true}")
    if not found["nulls"]:
        return lines
    shown = ", ".join(
        f"{code(one['column'])} {number(one['nulls'])} ({percent(one['share'])})"
        for one in found["nulls"][:NULLS_SHOWN]
    )
    rest = len(found["nulls"]) - NULLS_SHOWN
    more = f" and {rest} more columns" if rest > 0 else ""
    return [*lines, f"- Without a value, of {number(rows)} rows: {shown}{more}"]


def _rejected(found: dict[str, Any]) -> list[str]:
    return [
        f"- Rejected by {code(one['transformation'])}: {number(one['count'])} × {text(one['reason'])}"
        + (f" (row {number(one['row'])}: {text(one['example'])})" if one["example"] != one["reason"] else "")
        for one in found["rejected"][:SAMPLES]
    ]


def _lookups(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found["lookups"]:
        if not one["missing"]:
            continue
        total = one["found"] + one["missing"]
        line = f"- Not in {code(one['dataset'])}: {number(one['missing'])} of {number(total)} rows"
        details = []
        if one.get("without_key"):
            details.append(f"{number(one['without_key'])} have no {', '.join(map(code, one['on']))}")
        if one.get("unknown"):
            some = ", ".join(f"{code(e['value'])} ({number(e['count'])})" for e in one["examples"])
            details.append(f"{number(one['unknown'])} unknown {', '.join(map(code, one['on']))}, most often {some}")
        lines.append(line + (": " + "; ".join(details) if details else ""))
    return lines


def _invalid(validation: dict[str, Any]) -> list[str]:
    lines = []
    for error in validation.get("errors", [])[:SAMPLES]:
        line = f"- Against the schema: {code(error.get('column'))} {text(error.get('rule'))}, "
        line += f"{number(error.get('count'))} ×"
        for sample in (error.get("sample") or [])[:1]:
            line += f", such as row {number(sample.get('row'))}: {text(sample.get('reason'))}"
        lines.append(line)
    flagged: dict[str, list[str]] = {}
    for row in validation.get("flagged", []):
        key = ", ".join(f"{name}={value}" for name, value in (row.get("key") or {}).items())
        for check in row.get("checks") or []:
            flagged.setdefault(str(check), []).append(
                f"row {number(row.get('row'))}" + (f" {code(key)}" if key else "")
            )
    for check, rows in flagged.items():
        lines.append(f"- Flagged by {code(check)}: {'; '.join(rows[:3])}" + ("; …" if len(rows) > 3 else ""))
    return lines


def _checks(report: dict[str, Any]) -> list[str]:
    if not report["validation"]:
        return []
    lines = ["## Quality", ""]
    lines += table(
        ["Dataset", "Status", "Score#", "Records#", "With errors#", "Flagged#", "Checks failed"],
        [
            [
                code(name),
                MARKS.get(one["status"], text(one["status"])),
                number(one["quality_score"], 4),
                *(number(one[key]) for key in ("record_count", "error_count", "rows_flagged")),
                f"{sum(not check.get('passed') for check in one['checks'])} of {len(one['checks'])}",
            ]
            for name, one in report["validation"].items()
        ],
    )
    failed = []
    for name, one in report["validation"].items():
        for check in one["checks"]:
            if not check.get("passed"):
                mark = "✗" if check.get("severity") == "fail" else "!"
                failed.append(f"- {mark} {code(name)} {code(check.get('name'))}: {text(check.get('message'))}")
    return [*lines, *failed, *([""] if failed else [])]


def _load(report: dict[str, Any]) -> list[str]:
    load = report["load"]
    if not load:
        return []
    keys = ("inserted", "updated", "unchanged", "deleted", "rows_before", "rows_after")
    rows = [
        [code(name), text(one["mode"]), *(number(one[key]) for key in keys), text(one["validation"] or "–")]
        for name, one in load["tables"].items()
    ]
    lines = ["## Loaded", "", f"into {code(load['warehouse'])} at {load['load_time']}", ""]
    lines += table(
        ["Table", "Mode", "Inserted#", "Updated#", "Unchanged#", "Deleted#", "Before#", "After#", "Validation"], rows
    )
    unchecked = [code(name) for name, one in load["tables"].items() if one.get("unchecked")]
    if unchecked:
        lines += [f"**Loaded unchecked**, whatever validation said: {', '.join(unchecked)}", ""]
    return lines


def _steps(report: dict[str, Any]) -> list[str]:
    if not report["steps"]:
        return []
    usual = report["trend"]["steps"]
    rows = [
        [
            code(step["name"]),
            text(step["status"]),
            number(step["attempts"]),
            took(step["duration_seconds"]),
            *([took(usual.get(step["name"]))] if usual else []),
            text(step["error"] or ""),
        ]
        for step in report["steps"]
    ]
    median = ["Median#"] if usual else []
    return [
        "## Steps",
        "",
        f"run {code(report['run_id'])}, started {report['run_started']}",
        "",
        *table(["Step", "Status", "Attempts#", "Took#", *median, "Error"], rows),
    ]


def _problems(report: dict[str, Any]) -> list[str]:
    if not report["problems"]:
        return ["## Errors and warnings", "", "The run logged none.", ""] if report["run_id"] else []
    lines = ["## Errors and warnings", ""]
    for one in report["problems"]:
        place = f"{code(one['agent'])}" + (f", step {code(one['step'])}" if one["step"] else "")
        times = f"{number(one['count'])} × " if one["count"] > 1 else ""
        lines.append(f"- **{one['level']}** {times}{place}: {text(one['message'])}")
    return [*lines, ""]


def _trend(report: dict[str, Any]) -> list[str]:
    trend = report["trend"]
    if not trend["days"]:
        return ["## Trend", "", "No earlier day to compare with.", ""]
    figures = ("records_processed", "records_rejected", "quality_score", "error_count", "duration_seconds")
    rows = [[day["date"], *_trend_row(day, figures)] for day in trend["days"]]
    rows.append([f"**{report['date']}**", *_trend_row(report, figures)])
    rows.append([f"median of {trend['count']}", *_trend_row(trend["median"], figures)])
    return ["## Trend", "", *table(["Day", "Processed#", "Rejected#", "Quality#", "Errors#", "Took#"], rows)]


def _trend_row(day: dict[str, Any], figures: Sequence[str]) -> list[str]:
    cells = []
    for figure in figures:
        value = day.get(figure)
        if value is None:
            cells.append("–")
        elif figure == "duration_seconds":
            cells.append(took(value))
        else:
            cells.append(number(value, 4) if figure == "quality_score" else number(value))
    return cells


def _lineage(report: dict[str, Any]) -> list[str]:
    if not report["lineage"]:
        return []
    rows = [
        [
            code(one["dataset"]),
            code(one["source"]) if one["source"] else "–",
            one["fetch_time"] or "–",
            number(len(one["transformations"])) if one["transformations"] is not None else "–",
            {True: "passed", False: "failed"}.get(one["validation_passed"], "–"),
            one["load_time"] or "–",
            code(one["warehouse_table"]) if one["warehouse_table"] else "–",
        ]
        for one in report["lineage"]
    ]
    return [
        "## Lineage",
        "",
        *table(["Dataset", "Source", "Fetched", "Transformations#", "Validation", "Loaded", "Table"], rows),
    ]
