"""What the pages of a day and of a run have in common: the document itself, and the parts that tell of a run."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from colony_lib.base.text import show_duration
from colony_lib.data.markdown import number
from colony_lib.data.page import graph, timeline
from colony_lib.data.page.html import Markup, Piece, element, name, section, table, text
from colony_lib.data.page.marks import MARKS, badge, kind_of
from colony_lib.data.page.style import CSS

Record = dict[str, Any]


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


def moment(stamp: str | None) -> str:
    """'2013-02-08 02:00 UTC' of a time as files have it."""
    return f"{stamp[:10]} {stamp[11:16]} UTC" if stamp and len(stamp) >= 16 else stamp or "–"


def took(seconds: float | None) -> str:
    return "–" if seconds is None else show_duration(seconds)


def failure(run: Record | None) -> Markup | None:
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


def graph_of(run: Record) -> Markup:
    return section("Graph", element("div", graph.draw(run["steps"]), class_="figure"), id_="graph")


def timeline_of(run: Record, now: str) -> Markup | None:
    picture = timeline.draw(run["steps"], now)
    return section("Timeline", element("div", picture, class_="figure"), id_="timeline") if picture else None


def steps(run: Record) -> Markup:
    costly = any(step["tokens"] for step in run["steps"])
    headings = ["Step", "Status", "Agent", "Attempts#", "Took#", "Usually#", "Limit#"]
    headings += ["Tokens#", "Cost#"] if costly else []
    rows = []
    for step in run["steps"]:
        row: list[Piece] = [
            name(step["name"]), badge(step["status"]), name(step["agent"] or "–"), step["attempts"],
            took(step["duration_seconds"]), took(step["usual"]), took(step["timeout_seconds"]),
        ]  # fmt: skip
        if costly:
            row += [f"{step['tokens'] or 0:,}", f"${step['cost_usd'] or 0:,.4f}"]
        rows.append(row)
    return section("Steps", table(headings, rows), id_="steps")


def history(run: Record) -> Markup | None:
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


def problems(report: Record) -> Markup | None:
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
