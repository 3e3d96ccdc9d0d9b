"""`colony transform`: the command line of cleaning, converting, enriching and aggregating datasets."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import plural
from colony_lib.cli import show
from colony_lib.cli.args import Parser, add_json, add_lock_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.transform_files import Day, Input

SUMMARY = "clean, convert, enrich and aggregate raw data"
EXAMPLES = (
    "colony transform                                all datasets of pipeline.yml, for today",
    "colony transform flights --date 2013-01-15      one dataset, from staging/raw/",
    "colony transform staging/raw/*_2013-01-15.json  the datasets of those files",
    "colony transform - --dataset flights <new.csv | colony validate-data -",
    "colony transform --batch 0/4                    a quarter of the rows; the last batch puts them together",
)
DETAILS = """\
For each dataset: clean rows in staging/transformed/DATASET_DATE.json, rows that could not be transformed, each
with its reason, in staging/rejected/, and reports/transformation_DATASET_DATE.json, which counts what every
transformation did (rows_affected). Without a list of its own a dataset's columns are named in snake_case, its
missing values become null, its columns the schema's types, its dates ISO 8601; repeated rows are dropped and
rows that break a constraint of the schema are rejected. Nothing is written when one of the datasets fails.

With 'staging: s3://…' in pipeline.yml raw data that another machine has fetched is taken from there, and what is
made is put there."""


def parser() -> Parser:
    p = Parser("colony transform", SUMMARY, EXAMPLES, DETAILS)
    p.add_argument(
        "what",
        nargs="*",
        metavar="DATASET|FILE",
        help="datasets, or raw files; - is standard input, to standard output",
    )
    p.add_argument("--date", metavar="D", help="the logical date (default $COLONY_DATE, else today)")
    p.add_argument("--dataset", metavar="NAME", help="the dataset that the one FILE belongs to")
    p.add_argument("--batch", metavar="I/N", help="transform the I-th of N parts of the rows, from 0 on")
    p.add_argument("--pipeline", metavar="FILE", help="the pipeline file (default pipeline.yml)")
    add_lock_timeout(p)
    add_json(p)
    return p


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    from colony_lib.data import pipeline as pipelines

    pipeline = pipelines.find(args.pipeline)
    if args.what == ["-"]:
        return _pipe(pipeline, args)
    if "-" in args.what:
        raise ColonyError("'-' stands alone", fix="name no other input beside it", code=USAGE)
    paths = [word for word in args.what if is_file(word)]
    if paths and len(paths) < len(args.what):
        raise ColonyError("datasets and files together", fix="name either datasets or files", code=USAGE)
    if args.dataset and len(paths) != 1:
        raise ColonyError("--dataset goes with one FILE", code=USAGE)
    if args.batch and paths:
        raise ColonyError("--batch takes datasets, not files", code=USAGE)
    day = run(pipeline, args.what, paths, args)
    from colony_lib.data import transform_parts, transform_record
    from colony_lib.data.summary import emit

    if args.batch:
        transform_parts.batch(args.batch)  # refused here, before anything is recorded
    with transform_record.recording(day) as done:
        summary = transform_parts.run(day, args.batch) if args.batch else day.write()
        done(summary)
    emit(summary, lines(summary), json=args.json)
    for name in [] if args.batch else summary["datasets"]:
        _tell_rejected(day, name)
    return OK


def is_file(word: str) -> bool:
    """Whether a word on the command line means a file rather than a dataset."""
    data = (".json", ".ndjson", ".jsonl", ".csv", ".tsv", ".gz")
    return "/" in word or word.endswith(data) or os.path.exists(word)


def run(pipeline: Pipeline, words: list[str], paths: list[str], args: Any) -> Day:
    """A day with the plans of all datasets asked for; nothing is read but the files named."""
    from colony_lib.data import pipeline as pipelines
    from colony_lib.data import transform_files

    given = [transform_files.open_input(path, pipeline) for path in paths]
    dates = {_own_date(item) for item in given} - {None} if args.date is None else set()
    if len(dates) > 1:
        raise ColonyError(
            "the files are of several dates", fix="transform each date by itself, or say --date", code=USAGE
        )
    day = transform_files.Day(pipeline, pipelines.logical_date(args.date or next(iter(dates), None)))
    names = [_give(day, item, path, args.dataset) for item, path in zip(given, paths, strict=True)]
    day.choose(day.dependants(names) if paths else words or transform_files.selected(pipeline))
    return day


def _own_date(given: Input) -> str | None:
    from colony_lib.data.pipeline import check_date

    own = given.head.get("date")
    return check_date(own) if isinstance(own, str) else None


def _give(day: Day, given: Input, path: str, dataset: str | None) -> str:
    """Let the day take that dataset's rows from this file; the dataset's name."""
    from colony_lib.base.text import check_name
    from colony_lib.data.transform_files import dataset_of

    name = check_name(dataset or dataset_of(day.pipeline, given, path), "dataset", where=path)
    plan = day.plan(name)
    source = plan.source
    if plan.from_:
        raise ColonyError(f"'{name}' is built from '{plan.from_}', not from a file", where=path, code=USAGE)
    if source in day.given:
        raise ColonyError(f"two files for '{name}'", where=path, fix="transform each by itself", code=USAGE)
    day.given[source] = given
    return name


def _pipe(pipeline: Pipeline, args: Any) -> int:
    """Records from standard input, the envelope to standard output; rejected rows are kept in the usual place."""
    from colony_lib.data import pipeline as pipelines
    from colony_lib.data import table, transform_files

    if args.json or args.batch:
        raise ColonyError("with '-' standard output is the data", fix="leave out --json and --batch", code=USAGE)
    given = transform_files.open_input("-", pipeline)
    day = transform_files.Day(pipeline, pipelines.logical_date(args.date or _own_date(given)))
    name = _give(day, given, "-", args.dataset)
    outcome = day.outcome(name)
    rejected = day.rejected(name)
    if rejected:
        transform_files.write_list(pipeline.path("rejected", name, day.date), rejected)
        _tell_rejected(day, name)
    transform_files.print_envelope(day.head(name), table.to_rows(outcome.frame), sys.stdout.write)
    return OK


def _tell_rejected(day: Day, name: str) -> None:
    """Where the dataset's rejected rows are, and why the first of them was."""
    rejected = day.rejected(name)
    if rejected:
        path = day.pipeline.shown(day.pipeline.path("rejected", name, day.date))
        first = f"row {rejected[0]['row']}: {rejected[0]['reason']}"
        show.warn(f"{plural(len(rejected), 'row')} rejected, see {path} ({first})", "transform")


def lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people: a line a dataset, and under it what changed something."""
    found = []
    for name, dataset in summary["datasets"].items():
        counts = f"{dataset['rows_in']:,} in, {dataset['rows_out']:,} out"
        counts += "".join(f", {dataset[key]:,} {key}" for key in ("rejected", "dropped") if dataset[key])
        found.append(f"{name}: {counts} → {dataset['file']}")
        for step in dataset["transformations"]:
            if step["rows_affected"]:
                what = step.get("name") or " ".join(str(step[k]) for k in ("type", "column", "dataset") if step.get(k))
                found.append(f"  {what}: {plural(step['rows_affected'], 'row')}")
    if summary.get("waiting"):
        waiting = ", ".join(map(str, summary["waiting"]))
        found.append(f"part {summary['batch']} of {summary['batches']} is done, waiting for {waiting}")
    return found
