"""`colony validate-data`: the command line of the quality gate before the warehouse."""

from __future__ import annotations

import os

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.cli import show
from colony_lib.cli.args import Parser, add_json, add_lock_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.validate_files import Gate

SUMMARY = "check data quality before it is loaded"
EXAMPLES = (
    "colony validate-data                                all datasets of pipeline.yml, as transformed for today",
    "colony validate-data flights --date 2013-01-15      one of them",
    "colony validate-data new.csv                        any envelope, JSON list, NDJSON or CSV",
    "colony validate-data new.csv --dataset flights      by what pipeline.yml asks of flights",
    "cat reports/validation_*.json | jq '.checks[] | select(.passed == false)'",
)
DETAILS = """\
Each dataset gets reports/validation_DATASET_DATE.json with its checks: record_count, schema, completeness,
duplicates, error_rate, referential_integrity of each foreign key (into another dataset, or a table of the
warehouse), freshness where a threshold names its column, anomaly, and the dataset's own rules.
Without thresholds in pipeline.yml: completeness at least 0.95, duplicates below 0.01, errors below 0.001, or it is
FAIL; any duplicate or error at all, and no records, is WARN (no records of a dataset that is required: FAIL).

anomaly compares the number of rows and each column's nulls, mean and distinct texts with the same weekday's in the
56 days before, as their reports tell them: it warns from 6 deviations on (median and median absolute deviation),
and says nothing before it knows 4 such weekdays and 12 days in all.

quality_score is completeness x uniqueness x validity: the shares of cells that are not null, of rows that do not
repeat another, and of records without an error (of the schema, in transform, or of a foreign key or rule that
failed with severity fail), rounded down to four digits; of several datasets the worst counts. Without records it
is 0, unless record_count passes. No result depends on the order of the rows.

Exit status: 0 for PASS and WARN (rows with a problem are flagged in the report), 1 for FAIL. On FAIL the
orchestrator is sent a message, and colony load refuses the data."""


def parser() -> Parser:
    p = Parser("colony validate-data", SUMMARY, EXAMPLES, DETAILS)
    p.add_argument("what", nargs="*", metavar="DATASET|FILE", help="datasets, or files; - is standard input")
    p.add_argument("--date", metavar="D", help="the logical date (default $COLONY_DATE, else today)")
    p.add_argument("--dataset", metavar="NAME", help="the dataset that the one FILE belongs to")
    p.add_argument("--pipeline", metavar="FILE", help="the pipeline file (default pipeline.yml)")
    add_lock_timeout(p)
    add_json(p)
    return p


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    from colony_lib.data import pipeline as pipelines
    from colony_lib.data import validate_files, validate_record
    from colony_lib.data.summary import emit
    from colony_lib.store import lineage

    pipeline = pipelines.find(args.pipeline)
    date = pipelines.logical_date(args.date)
    gate = validate_files.Gate(pipeline)
    _add(gate, pipeline, args, date)
    with lineage.recording("validate-data", date) as run:
        validate_record.reads(gate, run)
        reports = gate.run()
        validate_record.trace(reports, run)
    summary = validate_files.summary(reports, date)
    emit(summary, lines(reports, summary), json=args.json)
    validate_record.tell(reports, summary)
    validate_record.warn(reports)
    unsent = validate_record.alert(reports)
    if unsent:
        show.warn(f"the orchestrator could not be told: {unsent}", "validate-data")
    if summary["status"] != "FAIL":
        return OK
    show.warn(closed(reports), "validate-data")
    return FAILED


def closed(reports: list[dict[str, Any]]) -> str:
    """One line for those who only see that the gate is closed, such as a step's record: what failed, where to look."""
    failed = [report for report in reports if report["status"] == "FAIL"]
    said = []
    for report in failed:
        checks = [check["name"] for check in report["checks"] if not check["passed"] and check["severity"] == "fail"]
        said.append(f"{report['dataset']} ({', '.join(checks)})")
    return f"FAIL: {'; '.join(said)}: nothing of it may be loaded, see {failed[0]['report']}"


def _add(gate: Gate, pipeline: Pipeline, args: Any, date: str) -> None:
    """Give the gate what the command line names; without a word, all datasets of the pipeline file."""
    from colony_lib.data.transform_files import selected

    paths = [word for word in args.what if _is_file(word)]
    if paths and len(paths) < len(args.what):
        raise ColonyError("datasets and files together", fix="name either datasets or files", code=USAGE)
    if args.dataset and len(paths) != 1:
        raise ColonyError("--dataset goes with one FILE", code=USAGE)
    if paths:
        for path in dict.fromkeys(paths):
            gate.add_file(path, args.dataset, args.date and date, date)
        return
    for name in dict.fromkeys(args.what or selected(pipeline, "validate-data")):
        gate.add_dataset(name, date)


def _is_file(word: str) -> bool:
    data = (".json", ".ndjson", ".jsonl", ".csv", ".tsv", ".gz")
    return word == "-" or "/" in word or word.endswith(data) or os.path.exists(word)


def lines(reports: list[dict[str, Any]], summary: dict[str, Any]) -> list[str]:
    """The result for people: a line a dataset, and under it the checks that did not pass."""
    found = []
    width = max((len(report["dataset"]) for report in reports), default=0)
    for report in reports:
        counts = f"{plural(report['record_count'], 'record')}, quality {report['quality_score']:.4f}"
        found.append(f"{report['status']:4}  {report['dataset']:{width}}  {counts}  {report['report']}")
        for check in report["checks"]:
            if not check["passed"]:
                found.append(f"      {check['severity']}: {check['name']}: {check['message']}")
    if len(reports) > 1:
        counts = f"quality {summary['quality_score']:.4f}, {plural(summary['error_count'], 'error')}"
        found.append(f"{summary['status']:4}  {counts}")
    return found
