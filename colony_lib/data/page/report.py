"""The day's report as an HTML page: what went wrong first, then how the day went, then every figure behind it."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any

from colony_lib.base.text import show_duration
from colony_lib.data.markdown import number, percent
from colony_lib.data.page import charts, graph, timeline
from colony_lib.data.page.html import Markup, Piece, element, folded, name, section, table, text
from colony_lib.data.page.marks import MARKS, badge, kind_of
from colony_lib.data.page.style import CSS

Record = dict[str, Any]


def render(report: Record, run: Record | None) -> str:
    """The page of a report (schemas/report.schema.json) and of its run (page.run.gather), if there is one."""
    title = f"Daily report {report['date']}" + (f": {report['workflow']}" if report["workflow"] else "")
    parts: list[Piece] = [_head(report, run), _failure(run), _attention(report), _cards(report)]
    if run is not None:
        parts += [_graph(run), _timeline(run, report["generated"]), _steps(run), _history(run)]
    made = (_quality, _load, _fetch, _problems, _trend, _lineage, _missing, _foot)
    parts += [part(report) for part in made]
    return page(title, element("main", [part for part in parts if part is not None]))


def page(title: str, body: Markup) -> str:
    """A whole document; its policy lets it load nothing, run nothing, and be styled by this very style alone."""
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{text(title)}</title><style>{CSS}</style></head>\n<body>{body}</body></html>\n"
    )


def _day(date: str) -> str:
    return datetime.date.fromisoformat(date).strftime("%A %-d %B %Y")


def _moment(stamp: str | None) -> str:
    """'2013-02-08 02:00 UTC' of a time as files have it."""
    return f"{stamp[:10]} {stamp[11:16]} UTC" if stamp and len(stamp) >= 16 else stamp or "–"


def _took(seconds: float | None) -> str:
    return "–" if seconds is None else show_duration(seconds)


def _head(report: Record, run: Record | None) -> Markup:
    said: list[Piece] = []
    if run is not None:
        said = ["run ", element("code", run["run_id"]), " ", badge(run["status"]), f" {_moment(run['started'])}"]
        said.append(f", {_took(run['duration_seconds'])}" if run["duration_seconds"] is not None else "")
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


def _failure(run: Record | None) -> Markup | None:
    if run is None or (run["failed"] is None and run["next"] is None):
        return None
    failed = run["failed"]
    if failed is None:
        said = element("h3", f"The run is {run['status']}")
        return element("div", said, element("pre", run["next"]), class_="notice warn")
    lines = [f"{line['ts'][11:19]} {line['level'].upper():<5} {line['message']}" for line in failed["lines"]]
    return element(
        "div",
        element("h3", name(failed["name"]), f" {failed['status']}, attempt {failed['attempts']} of {failed['most']}"),
        element("p", failed["error"] or ""),
        element("pre", Markup("\n".join(map(text, lines)))) if lines else None,
        element("p", "Go on with:") if run["next"] else None,
        element("pre", run["next"]) if run["next"] else None,
        class_="notice",
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
        ("Processing time", "duration_seconds", _took),
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


def _graph(run: Record) -> Markup:
    return section("Graph", element("div", graph.draw(run["steps"]), class_="figure"), id_="graph")


def _timeline(run: Record, now: str) -> Markup | None:
    picture = timeline.draw(run["steps"], now)
    return section("Timeline", element("div", picture, class_="figure"), id_="timeline") if picture else None


def _steps(run: Record) -> Markup:
    costly = any(step["tokens"] for step in run["steps"])
    headings = ["Step", "Status", "Agent", "Attempts#", "Took#", "Usually#", "Limit#"]
    headings += ["Tokens#", "Cost#"] if costly else []
    rows = []
    for step in run["steps"]:
        row: list[Piece] = [
            name(step["name"]), badge(step["status"]), name(step["agent"] or "–"), step["attempts"],
            _took(step["duration_seconds"]), _took(step["usual"]), _took(step["timeout_seconds"]),
        ]  # fmt: skip
        if costly:
            row += [f"{step['tokens'] or 0:,}", f"${step['cost_usd'] or 0:,.4f}"]
        rows.append(row)
    return section("Steps", table(headings, rows), id_="steps")


def _history(run: Record) -> Markup | None:
    if len(run["history"]) < 2:
        return None
    squares = [
        element(
            "li",
            MARKS[kind_of(each["status"])],
            class_=kind_of(each["status"]),
            title=f"{each['date']} {each['status']}",
        )
        for each in run["history"]
    ]
    return section(f"The last {len(squares)} runs", element("ol", squares, class_="history"), id_="runs")


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
        [name(source), number(entry["records"]), number(entry.get("quarantined", 0)), _moment(entry.get("fetch_time"))]
        for source, entry in report["fetch"].items()
    ]
    return section("Fetched", table(["Source", "Records#", "In quarantine#", "At"], rows), id_="fetched")


def _problems(report: Record) -> Markup | None:
    if not report["problems"]:
        return None
    rows = [
        [
            badge("FAIL" if one["level"] == "error" else "WARN"), name(one["agent"]), name(one["step"] or "–"),
            number(one["count"]), one["message"],
        ]
        for one in report["problems"]
    ]  # fmt: skip
    return section(
        "Errors and warnings", table(["Level", "Agent", "Step", "Times#", "First of them"], rows), id_="problems"
    )


def _trend(report: Record) -> Markup | None:
    days = report["trend"]["days"]
    if not days:
        return None
    keys = ("records_processed", "records_rejected", "quality_score", "error_count", "duration_seconds")
    today = {"date": report["date"], **{key: report[key] for key in keys}}
    rows = [
        [
            day["date"], number(day["records_processed"]), number(day["records_rejected"]),
            number(day["quality_score"], 4), number(day["error_count"]), _took(day["duration_seconds"]),
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
                name(one["dataset"]), name(one["source"] or "–"), _moment(one["fetch_time"]), ", ".join(done) or "–",
                badge(one["validation"]) if one.get("validation") else "–", name(one["warehouse_table"] or "–"),
                _moment(one["load_time"]),
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
