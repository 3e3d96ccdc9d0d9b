"""The page of one run of any workflow: what failed first, then how it went, step by step."""

from __future__ import annotations

from typing import Any

from colony_lib.data.page import parts
from colony_lib.data.page.html import Markup, Piece, element, name, section, table
from colony_lib.data.page.marks import badge

Record = dict[str, Any]


def render(report: Record) -> str:
    """The page of a run's report (schemas/run-report.schema.json)."""
    shown: list[Piece] = [
        _head(report),
        parts.failure(report),
        parts.graph_of(report),
        parts.timeline_of(report, report["generated"]),
        parts.steps(report),
        _outputs(report),
        parts.history(report),
        parts.problems(report),
        _foot(report),
    ]
    title = f"{report['workflow']} of {report['date']}: {report['status']}"
    return parts.page(title, element("main", [part for part in shown if part is not None]))


def _head(report: Record) -> Markup:
    said: list[Piece] = ["run ", element("code", report["run_id"]), f" of {report['date']}, "]
    said.append(parts.moment(report["started"]))
    said.append(f", {parts.took(report['duration_seconds'])}" if report["duration_seconds"] is not None else "")
    if report["tokens"]:
        said.append(f", {report['tokens']:,} tokens, ${report['cost_usd'] or 0:,.4f}")
    return element(
        "header",
        element("p", "colony · a run", class_="eyebrow"),
        element("h1", name(report["workflow"]), " ", badge(report["status"])),
        element("p", said, class_="soft"),
    )


def _outputs(report: Record) -> Markup | None:
    if not report["outputs"]:
        return None
    rows: list[list[Piece]] = [[name(step), element("code", output)] for step, output in report["outputs"].items()]
    return section("Outputs", table(["Step", "What it gave"], rows), id_="outputs")


def _foot(report: Record) -> Markup:
    files = report["files"]
    said = f"Made {report['generated']} from the run's journal and the logs; the same in "
    return element("footer", said, element("code", files["markdown"]), " and ", element("code", files["json"]), ".")
