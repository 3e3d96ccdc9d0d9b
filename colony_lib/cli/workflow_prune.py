"""`colony workflow prune`: removes runs that have had their time."""

from __future__ import annotations

import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError, unknown
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def add(verbs: Any) -> None:
    """Add the verb to `colony workflow`."""
    prune = verbs.add_parser(
        "prune",
        prog="colony workflow prune",
        summary="remove old runs, those beyond every limit that is given, and print their ids",
        help="remove old runs",
        examples=[
            "colony workflow prune --keep-days 90 --dry-run",
            "colony workflow prune daily-etl --keep-days 90 --keep-runs 30",
        ],
        details="A run goes when it is beyond every limit that is given. Runs that are alive or wait for a person,\n"
        "and each workflow's newest completed run, always stay. With a run go its outputs, transcripts and streams;\n"
        "logs, metrics and lineage stay. Safe beside everything else; killed, it leaves runs whole or gone.",
    )
    prune.add_argument("name", nargs="?", metavar="NAME", help="only runs of this workflow")
    prune.add_argument("--keep-days", type=args.count, metavar="N", help="keep runs of the last N days")
    prune.add_argument("--keep-runs", type=args.count, metavar="N", help="keep each workflow's newest N runs")
    prune.add_argument("--dry-run", action="store_true", help="print what would go, and remove nothing")
    args.add_json(prune)
    args.add_lock_timeout(prune)
    prune.set_defaults(handler=_prune)


def _prune(given: argparse.Namespace) -> int:
    from colony_lib.store import paths, retention, runs, workflow

    if given.keep_days is None and given.keep_runs is None:
        raise ColonyError("nothing says what to keep", fix="give --keep-days N, --keep-runs N, or both", code=USAGE)
    if given.name is not None and given.name not in workflow.names() and not any(runs.summaries(given.name)):
        raise unknown("workflow", given.name, workflow.names())
    gone: list[dict[str, Any]] = []
    failed = False
    if given.dry_run:
        for summary in retention.due(given.name, given.keep_days, given.keep_runs):
            gone.append({**summary, "bytes": retention.size(paths.run(summary["run_id"]))})
            _print(gone[-1], given.json)
    else:
        with retention.Removal() as removal:
            swept = removal.sweep()
            for summary in retention.due(given.name, given.keep_days, given.keep_runs):
                size = retention.size(paths.run(summary["run_id"]))
                try:
                    if removal.remove(summary):
                        gone.append({**summary, "bytes": size})
                        _print(gone[-1], given.json)
                except ColonyError as error:
                    failed = True
                    show.warn(f"{summary['run_id']} is not removed, or not wholly: {error}", "workflow")
        if swept:
            show.note(f"and {plural(swept, 'folder')} that killed commands had left behind")
    _talk(gone, given.dry_run)
    return FAILED if failed else OK


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        keys = ("run_id", "workflow", "status", "date", "started", "ended", "bytes")
        show.record({key: record[key] for key in keys})
    else:
        show.value(record["run_id"])
    sys.stdout.flush()


def _talk(gone: list[dict[str, Any]], dry_run: bool) -> None:
    interrupted = [record["run_id"] for record in gone if record["status"] == "interrupted"]
    if interrupted:
        could = "can still be resumed" if dry_run else "could have been resumed"
        show.note(f"interrupted, and {could}: {escape(', '.join(interrupted))}")
    size = sum(record["bytes"] for record in gone)
    show.note(f"{'would remove' if dry_run else 'removed'} {plural(len(gone), 'run')}, {_show_bytes(size)}")


def _show_bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return plural(count, "byte")
