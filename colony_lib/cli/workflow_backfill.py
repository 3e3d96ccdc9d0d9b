"""`colony workflow backfill`: a run for each day of a range, the days that are done passed over."""

from __future__ import annotations

import sys

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural, show_duration
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from colony_lib.work.backfill import Day

    Tell = Callable[[str, str, float | None, str | None], None]

# What would be done about a day, by its action.
_CHANGED = "rerun, for the workflow has changed"
WOULD = {"start": "would be started", "resume": "would be resumed", "rerun": f"would be {_CHANGED}"}
DID = {"start": "", "resume": "resumed", "rerun": _CHANGED}


def add(verbs: Any, read_input: Callable[[str | None], Any], progress: Callable[[bool, str], Tell]) -> None:
    """Add the verb to `colony workflow`. `read_input` gives the value of --input; `progress(quiet, prefix)` what
    prints the news of a run's steps."""
    backfill = verbs.add_parser(
        "backfill",
        prog="colony workflow backfill",
        summary="run a workflow for each day of a range; days already completed are passed over",
        help="run a workflow for each day of a range",
        examples=[
            "colony workflow backfill daily-etl --from 2013-02-01 --to 2013-02-28 --dry-run",
            "colony workflow backfill daily-etl --from 2013-02-01 --to 2013-02-28 --parallel 4",
            "colony workflow backfill daily-etl --from 2013-02-01 --to yesterday --budget usd=20,time=3h",
        ],
        details="A day whose newest run was interrupted, failed or cancelled is gone on with: nothing is done twice.\n"
        "One line a day, as it becomes known: date, run, status. The same command goes on after any kill.\n"
        "Exit status: 0 all days are completed, 1 a run failed, 75 a day waits, is being run, or was not started,\n"
        "130 interrupted.",
    )
    backfill.add_argument("name", metavar="NAME", help="the workflow")
    backfill.add_argument("--from", dest="first", type=args.date, required=True, metavar="D", help="the first day")
    backfill.add_argument("--to", dest="last", type=args.date, required=True, metavar="D", help="the last day")
    backfill.add_argument(
        "--parallel", type=args.count, default=1, metavar="N", help="so many runs at once; at most `concurrency`"
    )
    backfill.add_argument("--budget", metavar="LIMITS", help="usd=5,tokens=100000,time=2h: used up, no more is started")
    backfill.add_argument("--input", metavar="JSON", help="every run's input; only runs with this input count as done")
    backfill.add_argument("--stop-on-failure", action="store_true", help="start no further day when one has failed")
    backfill.add_argument("--dry-run", action="store_true", help="print what would be done about each day")
    backfill.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")
    args.add_json(backfill)
    backfill.set_defaults(handler=lambda given: _backfill(given, read_input, progress))


def _backfill(
    given: argparse.Namespace, read_input: Callable[[str | None], Any], progress: Callable[[bool, str], Tell]
) -> int:
    from colony_lib.store import workflow
    from colony_lib.work import backfill, budget, launch

    limits = budget.parse(given.budget) if given.budget is not None else {}
    wanted = _days(given)
    plan = workflow.load(given.name)
    values = read_input(given.input)
    checked = launch.check(plan, values)[0]
    known = backfill.Days(plan, None if given.input is None else checked)
    if given.dry_run:
        return _dry_run(given, known, wanted)
    parallel = _parallel(given, plan)

    def note(text: str) -> None:
        if not given.quiet:
            show.note(text)

    work = backfill.Backfill(
        plan,
        wanted,
        given=values,
        known=known,
        parallel=parallel,
        budget=limits,
        stop_on_failure=given.stop_on_failure,
        done=_Lines(given.json),
        progress=lambda date: progress(given.quiet, f"{date} "),
        note=note,
    )
    code = work.go()
    counts = [
        f"{sum(day.status == status for day in work.ended)} {status.replace('_', ' ')}"
        for status in dict.fromkeys(day.status for day in work.ended if day.status)
    ]
    note(f"{plan['name']}, {plural(len(wanted), 'day')}: {', '.join(counts)}")
    if limits:
        note(f"used: {work.total().words(limits)}")
    return code


def _days(given: argparse.Namespace) -> list[str]:
    from colony_lib.work import backfill

    wanted = backfill.days(given.first, given.last)
    if not wanted:
        raise ColonyError(f"--from {given.first} is after --to {given.last}", fix="turn them round", code=USAGE)
    if len(wanted) > backfill.MOST:
        raise ColonyError(
            f"from {given.first} to {given.last} is {plural(len(wanted), 'day')}",
            fix=f"at most {backfill.MOST:,} at a time",
            code=USAGE,
        )
    return wanted


def _parallel(given: argparse.Namespace, plan: dict[str, Any]) -> int:
    if given.parallel < 1:
        raise ColonyError("--parallel must be 1 or more", code=USAGE)
    most = int(plan["concurrency"])
    if given.parallel > most and not given.quiet:
        at_once = plural(most, "run")
        show.note(f"{at_once} at once, not {given.parallel}: the workflow's 'concurrency' is {most}")
    return int(min(given.parallel, most))


def _dry_run(given: argparse.Namespace, known: Any, wanted: list[str]) -> int:
    known.look()
    for date in wanted:
        _print(known.decide(date), given.json, WOULD)
    return OK


class _Lines:
    """Prints each day's line; when the reader has gone (`| head`), the work goes on."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._is_heard = True

    def __call__(self, day: Day) -> None:
        try:
            if self._is_heard:
                _print(day, self._as_json, DID)
        except BrokenPipeError:
            self._is_heard = False


def _print(day: Day, as_json: bool, words: dict[str, str]) -> None:
    if as_json:
        show.record(day.record())
    else:
        status = f"not started: {day.why}" if day.status == "not_started" else day.status or "-"
        said = words.get(day.action) or (day.why if day.status != "not_started" else None)
        took = show_duration(day.seconds) if day.seconds is not None else None
        parts = [day.date, f"{day.run_id or '-':<22}", status, *([f"in {took}"] if took else []), said, day.error]
        show.value(escape("  ".join(part for part in parts if part)))
    sys.stdout.flush()
