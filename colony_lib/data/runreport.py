"""The report of one run of any workflow, whether or not it moved data: a page, Markdown and JSON in reports/."""

from __future__ import annotations

import os
from typing import Any

from colony_lib.base import clock, files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.data import mail, report_run
from colony_lib.data.markdown import code, number, table, text, took
from colony_lib.data.page import run as page_run
from colony_lib.data.page import runpage
from colony_lib.store import paths, runs

Record = dict[str, Any]
LONGEST = 300  # characters of a step's output
_KINDS = {"html": "html", "markdown": "md", "json": "json"}


def make(run_id: str) -> Record:
    """The report (schemas/run-report.schema.json) of a run that is there, and its three files."""
    run = page_run.gather(run_id)
    report: Record = {
        "v": 1,
        "generated": clock.now(),
        **run,
        "outputs": _outputs(run_id),
        "problems": report_run.problems(run_id)[: report_run.GROUPS],
        "files": {kind: os.path.join("reports", f"run_{run_id}.{ending}") for kind, ending in _KINDS.items()},
    }
    files.make_dirs(os.path.join(paths.root(), "reports"))
    files.write_text(_path(report, "html"), runpage.render(report))
    files.write_text(_path(report, "markdown"), render(report))
    files.write_json(_path(report, "json"), report)
    return report


def page_of(run_id: str) -> str | None:
    """The page that tells of the run as it ended: its own, or that of the day whose data it made; None without one."""
    ended = runs.load(run_id).record(outputs=False)["ended"]
    own = os.path.join(paths.root(), "reports", f"run_{run_id}.html")
    if ended is not None and os.path.isfile(own) and os.stat(own).st_mtime >= clock.seconds(ended):
        return own
    metrics = os.path.join(paths.root(), "metrics")
    days = [name for name in os.listdir(metrics) if name.startswith("daily_")] if os.path.isdir(metrics) else []
    for name in sorted(days, reverse=True):
        try:
            daily = files.read_json(os.path.join(metrics, name), None)
        except ColonyError:
            continue  # a damaged file tells of no run
        if isinstance(daily, dict) and daily.get("run_id") == run_id:
            page = os.path.join(paths.root(), str((daily.get("files") or {}).get("html")))
            return page if os.path.isfile(page) else None
    return None


def _path(report: Record, kind: str) -> str:
    return os.path.join(paths.root(), report["files"][kind])


def _outputs(run_id: str) -> dict[str, str]:
    """{step: its output as one line, cut} of the steps that gave any."""
    found = {}
    for step in runs.load(run_id).record()["steps"]:
        output = step.get("output")
        if output not in (None, ""):
            words = output if isinstance(output, str) else jsontext.dumps(output)
            found[step["name"]] = cut(escape(words), LONGEST)
    return found


def render(report: Record) -> str:
    """The report as Markdown."""
    lines = [f"# {text(mail.subject(report))}", "", _facts(report), ""]
    failed = report["failed"]
    if failed:
        lines += ["## What failed", "", f"{code(failed['name'])}: {text(failed['error'] or 'no reason is known')}", ""]
        lines += [
            f"    {one['ts'][11:19]} {one['level'].upper():<5} {cut(escape(one['message']), LONGEST)}"
            for one in failed["lines"]
        ]
        lines += [""] * bool(failed["lines"])
    if report["next"]:
        lines += ["Go on with:", "", f"    {report['next']}", ""]
    rows = [
        [code(step["name"]), step["status"], text(step["agent"] or "–"), number(step["attempts"]),
         took(step["duration_seconds"]), took(step["usual"])]
        for step in report["steps"]
    ]  # fmt: skip
    lines += ["## Steps", "", *table(["Step", "Status", "Agent", "Attempts#", "Took#", "Usually#"], rows)]
    if report["outputs"]:
        lines += ["## Outputs", ""]
        lines += [*(f"- {code(name)}: {text(output)}" for name, output in report["outputs"].items()), ""]
    if report["problems"]:
        lines += ["## Errors and warnings", ""]
        for one in report["problems"]:
            times = f"{one['count']} × " if one["count"] > 1 else ""
            step = f", step {code(one['step'])}" if one["step"] else ""
            lines.append(f"- **{one['level']}** {times}{code(one['agent'])}{step}: {text(one['message'])}")
        lines.append("")
    if len(report["history"]) > 1:
        lines += [f"## The last {len(report['history'])} runs", ""]
        rows = [[code(one["run_id"]), text(one["date"]), one["status"]] for one in report["history"]]
        lines += table(["Run", "Date", "Status"], rows)
    return "\n".join(lines).rstrip("\n") + "\n"


def _facts(report: Record) -> str:
    said = f"run {code(report['run_id'])}, started {report['started']}"
    if report["ended"]:
        said += f", took {took(report['duration_seconds'])}"
    if report["tokens"]:
        said += f", {number(report['tokens'])} tokens, ${report['cost_usd'] or 0:,.4f}"
    return f"{said}; made {report['generated']}"
