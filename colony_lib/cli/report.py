"""`colony report`: the report of a day or of a run as a page, Markdown and JSON; a day's metrics and alerts."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

DETAILS = """\
Reads what the other data tools left for the date, the run's record and its logs, and writes reports/daily_DATE.md, the
same as a page for a browser in reports/daily_DATE.html, and metrics/daily_DATE.json. What is missing is said to be
missing. Alerts of pipeline.yml that hold are broadcast, once for each run. Figures are recorded as the metrics
pipeline_records_processed, pipeline_duration_seconds, pipeline_error_count and data_quality_score.

Without a pipeline.yml it is the report of a run, the newest unless --run or --date names another, in
reports/run_RUN.html, .md and .json. With one, --run without --date reports on the day whose data the run made, or,
when it made none, on the run.

--mail writes no file: it prints the text of a mail about one run of any workflow, the newest unless --run or --date
names another, whether or not there is a pipeline.yml. Its first line, in ASCII, is fit for a subject; there is no
header, because cron's MAILTO and `mail -s` write their own. To be mailed only when a run failed, from a crontab:

  colony workflow run daily-etl >/dev/null 2>&1 || colony report --mail

exit status: 0 the report is written, whatever it says; 1 nothing at all is known of the date, or there is no run
"""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony report",
        "write the report of a day, or of a run",
        [
            "colony report",
            "colony report --date 2013-02-08",
            "colony report --date 2013-02-08 --run latest",
            "colony report --json | jq .files.html",
            "colony report --mail --run latest",
        ],
        DETAILS,
    )
    parser.add_argument("--date", metavar="D", type=args.date, help="the date that the data is of, YYYY-MM-DD")
    parser.add_argument("--run", metavar="RUN", help="the run to report on (default: the one that made the files)")
    parser.add_argument(
        "--mail", action="store_true", help="print the plain text of a mail about the run, write nothing"
    )
    parser.add_argument("--pipeline", metavar="FILE", help="the pipeline file (default: pipeline.yml)")
    args.add_lock_timeout(parser)
    args.add_json(parser)
    given = parser.parse_args(argv)
    if given.mail:
        if given.json:
            raise ColonyError(
                "--mail and --json together", fix="a run as JSON is 'colony workflow status --json'", code=USAGE
            )
        _mail(given)
        return OK

    if _of_a_run(given):
        _report_run(given)
        return OK

    from colony_lib.data import pipeline as pipelines
    from colony_lib.data import report_alerts

    pipeline = pipelines.load(given.pipeline)
    date = pipelines.logical_date(given.date)
    alerts = report_alerts.check(pipeline)
    if pipeline.in_colony():
        from colony_lib.store import lineage

        with lineage.recording("report", date) as run:
            report = _make(pipeline, date, given.run, alerts)
            sides = [
                (run.inputs, [one["report"] for part in ("transform", "validation") for one in report[part].values()]),
                (run.outputs, list(report["files"].values())),
            ]
            for side, files in sides:
                side += [lineage.dataset(file) for file in files]
    else:
        report = _make(pipeline, date, given.run, alerts)
    _print(report, given)
    return OK


def _of_a_run(given: Any) -> bool:
    """Whether the report is that of a run. With --run alone, `given.date` becomes that of the data which it made."""
    from colony_lib.store import env, paths

    if paths.root_or_none() is None:
        return False
    if not _has_pipeline(given.pipeline):
        return True
    if given.run is None or given.date is not None or env.step().get("run_id"):
        return False
    from colony_lib.store import runs

    made = _validated(runs.find(given.run))
    if not made:
        return True
    given.date = max(made)
    return False


def _report_run(given: Any) -> None:
    from colony_lib.base.text import plural, show_duration
    from colony_lib.data import runreport, summary

    report = runreport.make(_run_of(given))
    lines = [report["files"]["html"], f"run: {report['run_id']} of {report['workflow']}, {report['status']}"]
    done = sum(step["status"] in ("completed", "cached") for step in report["steps"])
    lines.append(f"completed: {done} of {plural(len(report['steps']), 'step')}")
    if report["duration_seconds"] is not None:
        lines.append(f"took: {show_duration(report['duration_seconds'])}")
    if report["failed"]:
        lines.append(f"failed: {report['failed']['name']}: {report['failed']['error']}")
    summary.emit(report, lines, json=given.json)


def _has_pipeline(file: str | None) -> bool:
    from colony_lib.data import pipeline as pipelines
    from colony_lib.store import paths

    return file is not None or os.path.exists(os.path.join(paths.root(), pipelines.DEFAULT_FILE))


def _make(pipeline: Pipeline, date: str, run: str | None, alerts: Any) -> dict[str, Any]:
    from colony_lib.base import files
    from colony_lib.data import report as reports
    from colony_lib.data import report_alerts, report_markdown, staging, summary

    report = reports.make(pipeline, date, run)
    report["alerts"] = report_alerts.judge(report, alerts)
    report_alerts.send(report, report["alerts"], in_colony=pipeline.in_colony())
    files.write_text(pipeline.path("report", date=date), report_markdown.render(report))
    files.write_text(pipeline.path("page", date=date), _page(report))
    files.write_json(pipeline.path("daily", date=date), report)
    staging.put(pipeline, "daily", "", date)
    if pipeline.in_colony():
        report_alerts.measure(report)
        for alert in report["alerts"]:
            if alert["holds"]:
                said = f"{alert['figure']} is {alert['value']:g}, {alert['condition']}"
                summary.log("report", "warn", f"alert for {date}: {said}")
        summary.log("report", "info", f"report of {date}: {report['files']['markdown']}")
    return report


def _mail(given: Any) -> None:
    from colony_lib.data import mail
    from colony_lib.data.page import run as page_run

    run = page_run.gather(_run_of(given))
    sys.stdout.write(mail.render(run, _data_of(run, given.pipeline)))


def _run_of(given: Any) -> str:
    """The run that is meant: the one named, the one this is a step of, the newest of the date, the newest."""
    from colony_lib.store import env, runs

    if given.run is None and given.date is not None:
        found = next((run["run_id"] for run in runs.summaries() if run["date"] == given.date), None)
        if found is None:
            raise ColonyError(f"no run is of {given.date}", fix="see 'colony workflow history'", code=FAILED)
        return str(found)
    return runs.find(given.run or env.step().get("run_id") or "latest")


def _data_of(run: dict[str, Any], file: str | None) -> dict[str, Any] | None:
    """The report of the data that the run made, by its lineage; None without a pipeline file or such data."""
    if not _has_pipeline(file):
        return None
    from colony_lib.data import pipeline as pipelines
    from colony_lib.data import report as reports

    made = _validated(run["run_id"])
    if not made:
        return None
    day = max(made)
    try:
        report = reports.make(pipelines.load(file), day, run["run_id"])
    except ColonyError as error:
        show.warn(str(error), "report")  # the mail tells of the run all the same
        return None
    found = report["validation"].items()  # the files; another run may have written them anew
    report["validation"] = {name: one for name, one in found if one["status"] == made[day].get(name)}
    return report


def _validated(run_id: str) -> dict[str, dict[str, Any]]:
    """{date: {dataset: verdict}} that the run has validated: often the data are of the day before its own."""
    from colony_lib.store import lineage

    made: dict[str, dict[str, Any]] = {}
    for event in lineage.of_run(run_id):
        said = lineage.run_facet(event, "colony_provenance")
        for entry in (said.get("datasets") or []) if said.get("tool") == "validate-data" else []:
            made.setdefault(str(entry.get("date")), {})[str(entry.get("dataset"))] = entry.get("validation")
    return made


def _page(report: dict[str, Any]) -> str:
    from colony_lib.data.page import report as pages
    from colony_lib.data.page import run as page_run

    run_id = report["run_id"]
    return pages.render(report, None if run_id is None else page_run.gather(run_id))


def _print(report: dict[str, Any], given: Any) -> None:
    from colony_lib.base.text import show_duration
    from colony_lib.data import summary

    for one in report["missing"]:
        show.warn(f"missing: {one}", "report")
    shown = {
        "records processed": report["records_processed"],
        "quality": None if report["status"] is None else f"{report['status']}, score {report['quality_score']:.4f}",
        "errors": report["error_count"],
        "processing time": show_duration(report["duration_seconds"]),
    }
    lines = [report["files"]["markdown"]]
    lines += [f"{name}: {'not known' if value in (None, '-') else _shown(value)}" for name, value in shown.items()]
    for alert in report["alerts"]:
        if alert["holds"]:
            lines.append(f"alert: {alert['figure']} is {alert['value']:g}, {alert['condition']}")
    summary.emit(report, lines, json=given.json)


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
