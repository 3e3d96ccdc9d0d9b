"""The day's report as an HTML page: what went wrong first, then how the day went, then every figure behind it."""

from __future__ import annotations

import datetime
from typing import Any

from colony_lib.data.markdown import number, percent
from colony_lib.data.page import charts, parts
from colony_lib.data.page.html import Markup, Piece, element, folded, name, section, table
from colony_lib.data.page.marks import badge

Record = dict[str, Any]


def render(report: Record, run: Record | None) -> str:
    """The page of a report (schemas/report.schema.json) and of its run (page.run.gather), if there is one."""
    title = f"Daily report {report['date']}" + (f": {report['workflow']}" if report["workflow"] else "")
    shown: list[Piece] = [_head(report, run), parts.failure(run), _attention(report), _cards(report)]
    if run is not None:
        shown += [
            parts.graph_of(run),
            parts.timeline_of(run, report["generated"]),
            parts.steps(run),
            parts.history(run),
        ]
    made = (_quality, _load, _fetch, parts.problems, _trend, _lineage, _missing, _foot)
    shown += [part(report) for part in made]
    return parts.page(title, element("main", [part for part in shown if part is not None]))


def _day(date: str) -> str:
    return datetime.date.fromisoformat(date).strftime("%A %-d %B %Y")


def _head(report: Record, run: Record | None) -> Markup:
    said: list[Piece] = []
    if run is not None:
        # A step of the run itself has mostly made the page: for whoever reads it later that run is over.
        then = " when this was written, begun" if run["status"] == "running" else ""
        said = ["run ", element("code", run["run_id"]), " ", badge(run["status"])]
        said.append(f"{then} {parts.moment(run['started'])}")
        said.append(f", {parts.took(run['duration_seconds'])}" if run["duration_seconds"] is not None else "")
        if run["tokens"]:
            said.append(f", {run['tokens']:,} tokens, ${run['cost_usd']:,.4f}")
    status = badge(report["status"]) if report["status"] else None
    where = report["workflow"] or "no run of a workflow"
    return element(
        "header",
        element("p", "colony · ", name(where), class_="eyebrow"),
        element("h1", _day(report["date"]), status),
        element("p", said, class_="soft") if said else None,
    )


def _attention(report: Record) -> Markup | None:
    """What a person should look at though nothing has failed: alerts that hold, checks that do not."""
    found: list[Piece] = [
        element("li", f"{alert['figure']} is {number(alert['value'])}, {alert['condition']}")
        for alert in report["alerts"]
        if alert["holds"]
    ]
    for dataset, entry in report["validation"].items():
        for check in _not_passed(entry):
            what = [badge("FAIL" if check.get("severity") == "fail" else "WARN"), " ", name(dataset), ": "]
            found.append(element("li", *what, name(check.get("name")), f" – {check.get('message') or ''}"))
    if not found:
        return None
    kind = "notice" if report["status"] == "FAIL" else "notice warn"
    return element("div", element("h3", "To look at"), element("ul", found), class_=kind)


def _not_passed(entry: Record) -> list[Record]:
    return [check for check in entry["checks"] if not check.get("passed")]


def _cards(report: Record) -> Markup:
    trend = report["trend"]
    figures = (
        ("Quality score", "quality_score", lambda value: number(value, 4)),
        ("Records processed", "records_processed", number),
        ("Errors", "error_count", number),
        ("Processing time", "duration_seconds", parts.took),
    )
    cards = []
    for title, key, shown in figures:
        median = trend["median"].get(key)
        values = [*(day.get(key) for day in trend["days"]), report[key]]
        label = f"{title} of the last {len(values)} days"
        usual = element("p", f"usually {shown(median)}", class_="soft") if median is not None else None
        cards.append(
            element(
                "div", element("p", title, class_="soft"), element("b", shown(report[key])), usual,
                charts.line(values, median, label), class_="card",
            )
        )  # fmt: skip
    return element("div", cards, class_="cards")


def _quality(report: Record) -> Markup | None:
    if not report["validation"]:
        return None
    rows = [
        [
            name(dataset), badge(entry["status"]), number(entry["quality_score"], 4), number(entry["record_count"]),
            number(entry["error_count"]), number(entry["rows_flagged"]), number(len(_not_passed(entry))),
        ]
        for dataset, entry in report["validation"].items()
    ]  # fmt: skip
    headings = ["Dataset", "Status", "Score#", "Records#", "Errors#", "Flagged#", "Checks not passed#"]
    checks = [
        _check(dataset, check)
        for dataset, entry in report["validation"].items()
        for check in sorted(entry["checks"], key=lambda check: bool(check.get("passed")))
    ]
    every = table(["Dataset", "Result", "Check", "Value#", "Threshold#", "Found"], checks)
    return section("Data quality", table(headings, rows), folded(f"All {len(checks)} checks", every), id_="quality")


def _check(dataset: str, check: Record) -> list[Piece]:
    came = "PASS" if check.get("passed") else "FAIL" if check.get("severity") == "fail" else "WARN"
    figures = [_value(check.get("value")), _value(check.get("threshold"))]
    return [name(dataset), badge(came), name(check.get("name")), *figures, check.get("message") or ""]


def _value(value: Any) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value or "–")


def _load(report: Record) -> Markup | None:
    tables = report["load"].get("tables")
    if not tables:
        return None
    keys = ("inserted", "updated", "unchanged", "deleted", "rows_after")
    rows = [
        [name(table_), entry.get("mode") or "", *(number(entry.get(key)) for key in keys)]
        for table_, entry in tables.items()
    ]
    where = element("p", "into ", element("code", report["load"].get("warehouse") or ""), class_="soft")
    headings = ["Table", "Mode", "Inserted#", "Updated#", "Unchanged#", "Deleted#", "Rows now#"]
    return section("Loaded", where, table(headings, rows), id_="loaded")


def _fetch(report: Record) -> Markup | None:
    if not report["fetch"]:
        return None
    rows = [
        [
            name(source),
            number(entry["records"]),
            number(entry.get("quarantined", 0)),
            parts.moment(entry.get("fetch_time")),
        ]
        for source, entry in report["fetch"].items()
    ]
    return section("Fetched", table(["Source", "Records#", "In quarantine#", "At"], rows), id_="fetched")


def _trend(report: Record) -> Markup | None:
    days = report["trend"]["days"]
    if not days:
        return None
    keys = ("records_processed", "records_rejected", "quality_score", "error_count", "duration_seconds")
    today = {"date": report["date"], **{key: report[key] for key in keys}}
    rows = [
        [
            day["date"], number(day["records_processed"]), number(day["records_rejected"]),
            number(day["quality_score"], 4), number(day["error_count"]), parts.took(day["duration_seconds"]),
        ]
        for day in [*days, today]
    ]  # fmt: skip
    headings = ["Day", "Processed#", "Rejected#", "Quality#", "Errors#", "Took#"]
    return section("Day by day", table(headings, rows), id_="trend")


def _lineage(report: Record) -> Markup | None:
    if not report["lineage"]:
        return None
    rows = []
    for one in report["lineage"]:
        done = [f"{each['type']} ({each['rows_affected']:,})" for each in one["transformations"] or []]
        rows.append(
            [
                name(one["dataset"]), name(one["source"] or "–"), parts.moment(one["fetch_time"]),
                ", ".join(done) or "–",
                badge(one["validation"]) if one.get("validation") else "–", name(one["warehouse_table"] or "–"),
                parts.moment(one["load_time"]),
            ]
        )  # fmt: skip
    headings = ["Dataset", "Source", "Fetched", "Transformed (rows)", "Validated", "Table", "Loaded"]
    return section("Where the rows came from", table(headings, rows), id_="lineage")


def _missing(report: Record) -> Markup | None:
    if not report["missing"]:
        return None
    return section("Missing", element("ul", [element("li", one) for one in report["missing"]]), id_="missing")


def _foot(report: Record) -> Markup:
    files = report["files"]
    rejected = report["records_rejected"]
    share = (
        f", {percent(rejected / report['records_fetched'])} of what was fetched set apart"
        if (rejected and report["records_fetched"])
        else ""
    )
    said = f"Made {report['generated']} from the files of the tools{share}; the same in "
    return element("footer", said, element("code", files["markdown"]), " and ", element("code", files["json"]), ".")
