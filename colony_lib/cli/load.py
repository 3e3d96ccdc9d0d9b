"""`colony load`: the validated files of a day into the warehouse, all or nothing."""

from __future__ import annotations

from colony_lib.base import locks
from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.load_gate import Item
    from colony_lib.data.pipeline import Pipeline

DETAILS = """\
Loads what is in staging/transformed/ for the date, if the validation report of that very file says PASS or WARN: rows,
receipts, watermarks, views and post-load checks in one transaction. A repeat changes nothing; to have a day loaded
again, delete its line in the table colony_loads, or drop the table and load its days anew. colony_loads,
colony_load_history, colony_tables, colony_watermarks and colony_views in the warehouse say what was loaded and when.

exit status: 0 loaded, or it was before; 1 refused or failed: nothing is loaded; 75 the warehouse is in use
"""
COLUMNS = [
    ("table", "TABLE"), ("mode", "MODE"), ("inserted", "INSERTED"), ("updated", "UPDATED"), ("unchanged", "UNCHANGED"),
    ("deleted", "DELETED"), ("rows_before", "BEFORE"), ("rows_after", "AFTER"), ("validation", "VALIDATION"),
]  # fmt: skip


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony load",
        "load validated data into the warehouse",
        [
            "colony load --date 2013-02-08",
            "colony load flights --date 2013-02-08 --dry-run",
            "colony load --json | jq .tables",
            "colony load --status",
            "colony load --restore planes",
        ],
        DETAILS,
    )
    parser.add_argument("datasets", metavar="DATASET", nargs="*", help="only these (default: all that have a 'load')")
    parser.add_argument("--date", metavar="D", type=args.date, help="the date that the data is of, YYYY-MM-DD")
    parser.add_argument(
        "--unchecked", action="store_true", help="load what validation refused or never saw; the receipt says so"
    )
    parser.add_argument("--dry-run", action="store_true", help="do all, print what it came to, and take it back")
    parser.add_argument("--status", action="store_true", help="print what is in the warehouse and load nothing")
    parser.add_argument("--restore", metavar="TABLE", help="take a table back to its last backup, and load nothing")
    parser.add_argument("--pipeline", metavar="FILE", help="the pipeline file (default: pipeline.yml)")
    args.add_lock_timeout(parser)
    args.add_json(parser)
    given = parser.parse_args(argv)

    from colony_lib.data import pipeline as pipelines

    pipeline = pipelines.load(given.pipeline)
    if given.status:
        return _status(pipeline, given)
    if given.restore is not None:
        return _restore(pipeline, given)
    date = pipelines.logical_date(given.date)
    if given.unchecked:
        show.warn("--unchecked: loading whatever validation says", "load")
    summary = _recorded(pipeline, date, given)
    _print(summary, given)
    return OK


def _status(pipeline: Pipeline, given: Any) -> int:
    from colony_lib.data import load

    document = load.status(pipeline, locks.default_timeout)
    if given.json:
        show.record(document)
        return OK
    rows = [{"table": name, **table} for name, table in document["tables"].items()]
    show.table(rows, ["table", "rows", "date", "watermark", "last_load_time", ("load_id", "LOAD"), "warehouse"])
    return OK


def _restore(pipeline: Pipeline, given: Any) -> int:
    from colony_lib.data import load, summary
    from colony_lib.store import lineage

    if given.datasets or given.dry_run:
        raise ColonyError("--restore takes a table and nothing else", code=USAGE)
    if not pipeline.in_colony():
        done = load.restore(pipeline, given.restore, locks.default_timeout)
    else:
        with lineage.recording("load") as run:
            done = load.restore(pipeline, given.restore, locks.default_timeout, run)
        summary.log("load", "warn", f"table '{given.restore}' was taken back to its last backup")
    _print(done, given)
    return OK


def _recorded(pipeline: Pipeline, date: str, given: Any) -> dict[str, Any]:
    """The load, with its lineage, log lines and metrics when in a colony."""
    from colony_lib.data import load, load_record, summary
    from colony_lib.store import lineage

    def go() -> tuple[dict[str, Any], list[Item]]:
        return load.load(
            pipeline,
            date,
            given.datasets,
            unchecked=given.unchecked,
            dry_run=given.dry_run,
            timeout=locks.default_timeout,
        )

    if given.dry_run or not pipeline.in_colony():
        return go()[0]
    try:
        with lineage.recording("load", date) as run:
            load_record.reads(pipeline, given.datasets, date, run)
            loaded, items = go()
            load_record.lineage_of(loaded, items, run)
    except ColonyError as error:
        summary.log("load", "error", str(error))
        raise
    load_record.tell(loaded)
    return loaded


def _print(summary: dict[str, Any], given: Any) -> None:
    from colony_lib.base.text import plural, show_duration
    from colony_lib.data import summary as summaries

    for note in summary["notes"]:
        show.warn(note.removeprefix("warning: "), "load")
    done = {"loaded": "loaded", "unchanged": "nothing to change:"}[summary["status"]]
    if summary["dry_run"]:
        done = f"dry run, nothing is kept: would have {done}" if done == "loaded" else f"dry run: {done}"
    text = f"{done} {plural(summary['record_count'], 'record')} of {summary['date']}, {summary['warehouse']}"
    summaries.emit(summary, [f"{text} ({show_duration(summary['seconds'])})"], json=given.json)
    if not given.json:
        rows = [{"table": name, **table} for name, table in summary["tables"].items()]
        show.table(rows, COLUMNS)
