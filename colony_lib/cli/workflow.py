"""`colony workflow`: define, run, watch and resume workflows."""

from __future__ import annotations

import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from colony_lib.store import runs


def _parser(verb: str = "") -> args.Parser:
    """The parser of that verb's lines; where there is no such verb, one that knows them all."""
    parser = args.Parser(
        prog="colony workflow",
        summary="define, run, watch and resume workflows",
        examples=[
            "colony workflow run daily-etl --date 2013-02-08",
            "colony workflow status --watch",
            "colony workflow resume latest",
            "colony workflow rerun latest --failed",
            "colony workflow history daily-etl --limit 10",
        ],
    )
    verbs = parser.commands()
    # Each verb costs as much to add as a small module to import, and a line has but one.
    wanted = [names for names in _VERBS if verb in names.split()] or list(_VERBS)
    for names in wanted:
        _VERBS[names](verbs)
    return parser


def _add_definitions(verbs: Any) -> None:
    from colony_lib.cli import workflow_definitions

    workflow_definitions.add(verbs)


def _add_rerun(verbs: Any) -> None:
    from colony_lib.cli import workflow_rerun

    workflow_rerun.add(verbs, _go)


def _add_backfill(verbs: Any) -> None:
    from colony_lib.cli import workflow_backfill

    workflow_backfill.add(verbs, _input, _Progress)


def _add_prune(verbs: Any) -> None:
    from colony_lib.cli import workflow_prune

    workflow_prune.add(verbs)


def _add_run(verbs: Any) -> None:
    run = verbs.add_parser(
        "run",
        prog="colony workflow run",
        summary="start a run; the first line of standard output is its id",
        help="start a run",
        examples=[
            "colony workflow run daily-etl",
            "colony workflow run daily-etl --date 2013-02-08 --detach",
            "echo '{\"rows\": 10}' | colony workflow run sample --input -",
        ],
        details="Exit status: 0 completed, 1 failed or cancelled, 75 another run is in progress or a step waits for a\n"
        "person, 130 interrupted (resumable).",
    )
    run.add_argument("name", metavar="NAME", help="the workflow")
    run.add_argument(
        "--input", metavar="JSON", help="the run's input, checked against the workflow's schema; - reads it"
    )
    day = run.add_mutually_exclusive_group()
    day.add_argument("--date", type=args.date, metavar="D", help="the logical date (default today)")
    day.add_argument(
        "--scheduled",
        action="store_true",
        help="it is the run of the schedule's time in this minute: not made when there is one",
    )
    run.add_argument("--no-cache", action="store_true", help="do all steps, also those whose work has been done before")
    run.add_argument("--detach", action="store_true", help="do not wait: run in the background")
    run.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")
    run.set_defaults(handler=_run)


def _add_status(verbs: Any) -> None:
    status = verbs.add_parser(
        "status",
        prog="colony workflow status",
        summary="what a run did and does, step by step",
        help="what a run did and does, step by step",
        examples=["colony workflow status", "colony workflow status latest --json | jq '.steps[] | select(.error)'"],
        details="Exit status 0 whatever the run's status, unless --exit-status is given.",
    )
    status.add_argument(
        "run", nargs="?", default="latest", metavar="RUN", help="an id, a unique start of one, or 'latest'"
    )
    status.add_argument("--watch", action="store_true", help="redraw every second until the run has ended")
    status.add_argument("--exit-status", action="store_true", help="exit as the run did: 0, 1 or 75")
    args.add_json(status)
    status.set_defaults(handler=_status)


def _add_history(verbs: Any) -> None:
    history = verbs.add_parser(
        "history",
        prog="colony workflow history",
        summary="the runs there were, newest first",
        help="the runs there were, newest first",
        examples=["colony workflow history daily-etl --limit 10"],
    )
    history.add_argument("name", nargs="?", metavar="NAME", help="only runs of this workflow")
    history.add_argument("--limit", type=args.count, default=20, metavar="N", help="at most so many (default 20)")
    args.add_json(history)
    history.set_defaults(handler=_history)


def _add_ends(verbs: Any) -> None:
    resume = verbs.add_parser(
        "resume",
        prog="colony workflow resume",
        summary="go on with an interrupted, failed, cancelled or waiting run; what is completed is not done again",
        help="go on with a run that was interrupted or failed",
        examples=["colony workflow resume latest"],
    )
    resume.add_argument("run", nargs="?", default="latest", metavar="RUN")
    resume.add_argument("--detach", action="store_true", help="do not wait: run in the background")
    resume.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")
    resume.set_defaults(handler=_resume)
    cancel = verbs.add_parser(
        "cancel",
        prog="colony workflow cancel",
        summary="end a run and everything it started",
        help="end a run and everything it started",
        examples=["colony workflow cancel latest"],
    )
    cancel.add_argument("run", metavar="RUN")
    cancel.set_defaults(handler=_cancel)


def _add_decisions(verbs: Any) -> None:
    for name, what in (("approve", "let a waiting step go on"), ("reject", "fail a waiting step")):
        verb = verbs.add_parser(
            name,
            prog=f"colony workflow {name}",
            summary=what,
            help=what,
            examples=[f"colony workflow {name} latest load-data --by ada"],
        )
        verb.add_argument("run", metavar="RUN")
        verb.add_argument("step", metavar="STEP")
        verb.add_argument("--by", metavar="NAME", help="who decides (default: you)")
        if name == "approve":
            verb.add_argument(
                "--done", action="store_true", help="its last attempt did take effect: do not run it again"
            )
            verb.add_argument("--output", metavar="JSON", help="with --done: the step's output")
        verb.set_defaults(handler=_decide)


_VERBS = {
    "list show validate graph": _add_definitions,
    "run": _add_run,
    "status": _add_status,
    "history": _add_history,
    "resume cancel": _add_ends,
    "rerun": _add_rerun,
    "backfill": _add_backfill,
    "prune": _add_prune,
    "approve reject": _add_decisions,
}


def _plain(argv: list[str]) -> Any:
    """The lines that schedulers, `watch` and scripts say again and again, read without a parser; None for others."""
    verb, words = argv[:1], argv[1:]
    quiet = ["--detach", "--quiet", "-q"]
    given: Any = None
    if verb == ["run"]:
        given = args.simple(words, ["--no-cache", "--scheduled", *quiet], ["--input", "--date"], ["name"], least=1)
        if given is None or (given.date and given.scheduled):
            return None
        given.handler, given.date = _run, given.date and args.date(given.date)
    elif verb == ["resume"]:
        given = args.simple(words, quiet, arguments=["run"])
        if given is not None:
            given.handler = _resume
    elif verb == ["status"]:
        given = args.simple(words, ["--watch", "--exit-status", "--json"], arguments=["run"])
        if given is not None:
            given.handler = _status
    if given is not None:
        given.run = getattr(given, "run", None) or "latest"
        given.quiet = getattr(given, "quiet", False) or getattr(given, "q", False)
    return given


def main(argv: list[str]) -> int:
    given = _plain(argv) or _parser(argv[0] if argv else "").parse_args(argv)
    status: int = given.handler(given)
    return status


# -- run and resume


class _Progress:
    """A line on standard error for each step that starts or ends."""

    def __init__(self, quiet: bool, prefix: str = "") -> None:
        self.quiet = quiet
        self.prefix = prefix

    def __call__(self, step: str, status: str, seconds: float | None, error: str | None) -> None:
        if self.quiet or (status == "started" and not sys.stderr.isatty()):
            return
        from colony_lib.base.text import escape, show_duration

        mark = MARKS.get(status, "●")
        took = f" in {show_duration(seconds)}" if seconds is not None and status != "started" else ""
        line = f"{self.prefix}{mark} {escape(step)} {status}{took}" + (f": {escape(error)}" if error else "")
        try:
            print(line, file=sys.stderr)
        except (BrokenPipeError, OSError):
            self.quiet = True  # nobody listens any more; the run goes on


MARKS = {
    "completed": "✓", "cached": "✓", "failed": "✗", "skipped": "–", "cancelled": "–", "interrupted": "!", "busy": "!",
    "retrying": "!", "waiting": "?", "pending": "·", "running": "●",
}  # fmt: skip


def _run(given: argparse.Namespace) -> int:
    from colony_lib.store import env
    from colony_lib.work import launch

    if given.scheduled:
        return _run_scheduled(given)
    more = {"no_cache": True} if given.no_cache else {}
    trigger = env.get("COLONY_TRIGGER") or "manual"
    run, _ = launch.prepare(given.name, _input(given.input), given.date, trigger, more)
    print(run.run_id, flush=True)
    return _go(run, given, resumed=False)


def _run_scheduled(given: argparse.Namespace) -> int:
    from colony_lib.work import tick

    begun = tick.by_its_line(given.name, _input(given.input))
    if isinstance(begun, str):
        show.note(f"the schedule's time in this minute has its run already: {begun}")
        return OK
    run, _ = begun
    print(run.run_id, flush=True)
    return _go(run, given, resumed=False)


def _input(text: str | None) -> Any:
    from colony_lib.base import jsontext

    if text is None:
        return None
    if text == "-":
        return jsontext.loads(sys.stdin.buffer.read(), where="standard input")
    return jsontext.loads(text, where="--input")


def _go(run: runs.Run, given: argparse.Namespace, *, resumed: bool) -> int:
    from colony_lib.work import launch

    if given.detach:
        launch.detach(run, resumed=resumed)
        if not given.quiet:
            show.note(f"running in the background; watch it with 'colony workflow status {run.run_id} --watch'")
        return OK
    status, code = launch.carry_on(run, _Progress(given.quiet), resumed=resumed)
    if not given.quiet:
        _closing(run, status)
    return code


def _closing(run: runs.Run, status: str) -> None:
    from colony_lib.base.text import show_duration

    words = f"{MARKS[status]} {run.plan['name']} {status} in {show_duration(run.summary(status)['duration_seconds'])}"
    if run.error:
        words += f": {run.error}"
    show.note(words)
    following = _next_command(run, status)
    if following:
        show.note(f"  next: {following}")


def _next_command(run: runs.Run, status: str) -> str | None:
    if status == "waiting":
        step = next((name for name, step in run.steps.items() if step.status == "waiting"), "STEP")
        return f"colony workflow approve {run.run_id} {step}, then colony workflow resume {run.run_id}"
    if status == "failed":
        failed = next((step for step in run.steps.values() if step.status == "failed"), None)
        agent = failed.definition.get("agent") if failed else None
        return f"colony logs {agent + ' ' if agent else ''}--run {run.run_id}, then colony workflow resume {run.run_id}"
    if status in ("interrupted", "cancelled"):
        return f"colony workflow resume {run.run_id}"
    return None


def _resume(given: argparse.Namespace) -> int:
    from colony_lib.store import runs

    run_id = runs.find(given.run)
    done = runs.is_completed(run_id)  # asked first: it costs no engine and no journal
    if not done:
        from colony_lib.work import launch

        run, held = launch.reopen(run_id)
        done = not held
    print(run_id, flush=True)
    if done:
        show.note(f"{run_id} is completed: nothing to do")
        return OK
    return _go(run, given, resumed=True)


def _cancel(given: argparse.Namespace) -> int:
    from colony_lib.work import launch

    run = launch.cancel(given.run)
    show.note(f"{run.run_id} {run.status}")
    return OK if run.status == "cancelled" else FAILED


def _decide(given: argparse.Namespace) -> int:
    from colony_lib.base import jsontext
    from colony_lib.store import env
    from colony_lib.work import launch

    done = given.verb == "approve" and given.done
    output = None
    if given.verb == "approve" and given.output is not None:
        if not done:
            raise ColonyError("--output goes with --done", code=USAGE)
        output = jsontext.loads(given.output, where="--output")
    decision = "done" if done else "approved" if given.verb == "approve" else "rejected"
    by = given.by or env.get("USER") or env.get("LOGNAME") or "somebody"
    run = launch.decide(given.run, given.step, decision, by, output)
    show.note(f"{given.step} {decision} by {by}; next: colony workflow resume {run.run_id}")
    return OK


# -- looking


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
    import time

    from colony_lib.store import runs

    while True:
        run = runs.load(run_id)
        if given.json:
            show.record(run.record())
            sys.stdout.flush()
        else:
            if show.is_terminal():
                sys.stdout.write("\x1b[H\x1b[2J")
            _draw(run)
            sys.stdout.flush()
        if run.status != "running":
            return _code(run, given)
        time.sleep(1)


def _draw(run: runs.Run) -> None:
    from colony_lib.base.text import escape, show_duration

    record = run.record(outputs=False)
    took = show_duration(record["duration_seconds"])
    done = sum(step["status"] in ("completed", "cached", "skipped") for step in record["steps"])
    status = show.colour(record["status"], show.STATUS_COLOURS.get(record["status"]))
    print(
        f"{record['run_id']}  {record['workflow']}  {status}  {took}  {record['date']}  {done}/{len(run.steps)} steps"
    )
    rows = [
        {
            "mark": MARKS.get(step["status"], "●"),
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
    if record["error"]:
        print(escape(record["error"]))
    following = _next_command(run, record["status"])
    if following:
        print(f"next: {following}")


def _remark(step: dict[str, Any]) -> str:
    if step["error"] and step["status"] != "completed":
        return str(step["error"])
    if step["waiting_on"]:
        return "waits for " + ", ".join(step["waiting_on"])
    parts = []
    if step.get("batches"):
        cached = f", {step['batches']['cached']} of them cached" if step["batches"]["cached"] else ""
        parts.append(f"{step['batches']['completed']} of {step['batches']['count']} batches{cached}")
    if step["why"]:
        parts.append(step["why"])
    return "; ".join(parts) or " "


def _history(given: argparse.Namespace) -> int:
    import itertools

    from colony_lib.base.errors import unknown
    from colony_lib.base.text import show_duration
    from colony_lib.store import runs, workflow

    found = itertools.islice(runs.summaries(given.name), given.limit)
    rows = list(found)
    if not rows and given.name is not None and given.name not in workflow.names():
        raise unknown("workflow", given.name, workflow.names())
    if given.json:
        show.records(rows)
        return OK
    for row in rows:
        row["took"] = show_duration(row["duration_seconds"])
        row["started"] = (row["started"] or "")[:19].replace("T", " ")
    show.table(rows, ["run_id", "workflow", "status", "date", "started", "took", ("slowest_step", "SLOWEST STEP")])
    return OK
