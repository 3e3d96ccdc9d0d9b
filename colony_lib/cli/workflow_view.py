"""`colony workflow status | history`: what runs did and do."""

from __future__ import annotations

import sys

from colony_lib.base.errors import OK
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from colony_lib.store import runs

_LIMIT = 20  # runs
_STRIP = 28  # runs in the line of a workflow, as a mark and as a bar each


def plain(verb: str, words: list[str]) -> Any:
    """What an ordinary line says, read without a parser; None for any other."""
    if verb == "status":
        given = args.simple(words, ["--watch", "--exit-status", "--json"], arguments=["run"])
        if given is not None:
            given.handler, given.run = _status, given.run or "latest"
        return given
    given = args.simple(words, ["--json"], ["--limit"], ["name"])
    if given is not None:
        given.handler, given.limit = _history, args.count(given.limit) if given.limit else _LIMIT
    return given


def add_status(verbs: Any) -> None:
    """Add the verb to `colony workflow`; the parsed command has a `handler(given) -> exit status`."""
    from colony_lib.cli import watching

    status = verbs.add_parser(
        "status",
        prog="colony workflow status",
        summary="what a run did and does, step by step",
        help="what a run did and does, step by step",
        examples=[
            "colony workflow status",
            "colony workflow status latest --json | jq '.steps[] | select(.error)'",
            "colony workflow status --watch=5 --exit-status",
        ],
        details="'colony run-step RUN STEP' prints what a completed step gave; --json has the outputs of all.\n"
        "Exit status 0 whatever the run's status, unless --exit-status is given.",
    )
    status.add_argument(
        "run", nargs="?", default="latest", metavar="RUN", help="an id, a unique start of one, or 'latest'"
    )
    status.add_argument("--watch", action="store_true", help=f"until the run has ended {watching.HELP}")
    status.add_argument("--exit-status", action="store_true", help="exit as the run did: 0, 1 or 75")
    args.add_json(status)
    status.set_defaults(handler=_status)


def add_history(verbs: Any) -> None:
    """Add the verb to `colony workflow`; the parsed command has a `handler(given) -> exit status`."""
    history = verbs.add_parser(
        "history",
        prog="colony workflow history",
        summary="the runs there were, newest first",
        help="the runs there were, newest first",
        examples=["colony workflow history daily-etl --limit 10"],
    )
    history.add_argument("name", nargs="?", metavar="NAME", help="only runs of this workflow")
    history.add_argument(
        "--limit", type=args.count, default=_LIMIT, metavar="N", help=f"at most so many (default {_LIMIT})"
    )
    args.add_json(history)
    history.set_defaults(handler=_history)


def next_command(run: runs.Run, status: str) -> str | None:
    """How to go on with a run of this status; None where there is nothing to go on with."""
    if status == "waiting":
        step = next((name for name, step in run.steps.items() if step.status == "waiting"), None)
        if step is None:  # it has been decided already
            return f"colony workflow resume {run.run_id}"
        return f"colony workflow approve {run.run_id} {step}, then colony workflow resume {run.run_id}"
    if status == "failed":
        failed = next((step for step in run.steps.values() if step.status == "failed"), None)
        agent = failed.definition.get("agent") if failed else None
        return f"colony logs {agent + ' ' if agent else ''}--run {run.run_id}, then colony workflow resume {run.run_id}"
    if status in ("interrupted", "cancelled"):
        return f"colony workflow resume {run.run_id}"
    return None


def _status(given: argparse.Namespace) -> int:
    from colony_lib.store import runs

    run_id = runs.find(given.run)
    if given.watch:
        return _watch(run_id, given)
    run = runs.load(run_id)
    show.problems(run.problems, "workflow")
    if given.json:
        show.record(run.record())
    else:
        _draw(run)
    return _code(run, given)


def _code(run: runs.Run, given: argparse.Namespace) -> int:
    if not given.exit_status:
        return OK
    return {"completed": 0, "running": 75, "waiting": 75, "interrupted": 75}.get(run.status, 1)


def _watch(run_id: str, given: argparse.Namespace) -> int:
    from colony_lib.cli import watching
    from colony_lib.store import runs

    run = runs.load(run_id)

    def look() -> tuple[Any, bool]:
        nonlocal run
        run = runs.load(run_id)
        record = run.record(outputs=given.json)
        if given.json:
            show.record(record)
        else:
            _draw(run)
        return _without_clocks(record), run.status != "running"

    watching.follow(given.every, look, between="" if given.json else "\n")
    return _code(run, given)


def _without_clocks(record: dict[str, Any]) -> dict[str, Any]:
    """What of a run changes only when something happens."""
    steps = [{key: value for key, value in step.items() if key != "duration_seconds"} for step in record["steps"]]
    return {**record, "duration_seconds": None, "steps": steps}


def _draw(run: runs.Run) -> None:
    from colony_lib.base.text import escape, show_duration
    from colony_lib.store import prices

    record = run.record(outputs=False)
    took = show_duration(record["duration_seconds"])
    done = sum(step["status"] in ("completed", "cached", "skipped") for step in record["steps"])
    status = show.colour(record["status"], show.STATUS_COLOURS.get(record["status"]))
    counts = f"{done}/{len(record['steps'])} steps"
    print(f"{record['run_id']}  {record['workflow']}  {status}  {took}  {record['date']}  {counts}")
    rows = [
        {
            "mark": show.MARKS.get(step["status"], "●"),
            "step": step["name"],
            "status": step["status"],
            "tries": step["attempts"] or None,
            "took": show_duration(step["duration_seconds"]),
            "agent": step["agent"],
            "note": _remark(step),
        }
        for step in record["steps"]
    ]
    if record["rerun_of"]:
        print(f"rerun of {record['rerun_of']}")
    show.table(rows, [("mark", ""), "step", "status", "tries", "took", "agent", ("note", "")])
    if record["tokens"]:
        print(f"used: {record['tokens']:,} tokens, {prices.shown(record['cost_usd'])}")
    if record["error"]:
        print(escape(record["error"]))
    following = next_command(run, record["status"])
    if following:
        print(f"next: {following}")


def _remark(step: dict[str, Any]) -> str:
    if step["error"] and step["status"] != "completed":
        return str(step["error"])
    if step["waiting_on"]:
        return "waits for " + ", ".join(step["waiting_on"])
    from colony_lib.store import prices

    used = prices.amount(step["tokens"], step["cost_usd"])
    parts = [used] if used else []
    if step.get("batches"):
        cached = f", {step['batches']['cached']} of them cached" if step["batches"]["cached"] else ""
        parts.append(f"{step['batches']['completed']} of {step['batches']['count']} batches{cached}")
    if step["why"]:
        parts.append(step["why"])
    return "; ".join(parts) or " "


def _history(given: argparse.Namespace) -> int:
    import itertools

    from colony_lib.base.text import show_duration
    from colony_lib.store import runs

    rows = list(itertools.islice(runs.summaries(given.name), given.limit))
    if not rows and given.name is not None:
        _refuse_unknown(given.name)
    if given.json:
        show.records(rows)
        return OK
    if show.is_terminal():
        _strips(rows)
    for row in rows:
        row["took"] = show_duration(row["duration_seconds"])
        row["started"] = (row["started"] or "")[:19].replace("T", " ")
    show.table(rows, ["run_id", "workflow", "status", "date", "started", "took", ("slowest_step", "SLOWEST STEP")])
    if not rows:
        show.nothing("no run yet: 'colony workflow run NAME' starts one")
    return OK


def _strips(rows: Sequence[dict[str, Any]]) -> None:
    """A line a workflow: how its runs ended, the oldest first, how long they took, and how long they usually do."""
    import statistics

    from colony_lib.base.text import escape, show_duration
    from colony_lib.store import chart

    ascii_only = not chart.fits(sys.stdout.encoding)
    for name in dict.fromkeys(row["workflow"] for row in rows):
        mine = [row for row in reversed(rows) if row["workflow"] == name][-_STRIP:]
        took = [row["duration_seconds"] for row in mine]
        good = [row["duration_seconds"] for row in mine if row["status"] == "completed" and row["duration_seconds"]]
        if len(mine) < 2 or not good:
            continue
        marks = "".join(show.MARKS.get(row["status"], "●") for row in mine)
        usual = f"usually {show_duration(statistics.median(good))}"
        print(f"{escape(name)}  {marks}  {chart.sparkline(took, ascii_only=ascii_only)}  {usual}")


def _refuse_unknown(name: str) -> None:
    from colony_lib.base.errors import unknown
    from colony_lib.store import workflow

    names = workflow.names()
    if name not in names:
        raise unknown("workflow", name, names)
