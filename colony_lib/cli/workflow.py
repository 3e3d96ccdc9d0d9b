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
        details="A workflow is a file, .colony/workflows/NAME.yaml: 'colony help workflows' says how to write one.",
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


def _add_views(verbs: Any) -> None:
    from colony_lib.cli import workflow_view

    workflow_view.add_status(verbs)
    workflow_view.add_history(verbs)


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
            "colony workflow run daily-etl --replay latest",
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
    run.add_argument(
        "--replay",
        metavar="RUN",
        help="agents' models say again what they said in RUN: no model is asked, no token paid",
    )
    run.add_argument("--detach", action="store_true", help="do not wait: run in the background")
    run.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")
    run.set_defaults(handler=_run)


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
    "status history": _add_views,
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
        given.handler, given.date, given.replay = _run, given.date and args.date(given.date), None
    elif verb == ["resume"]:
        given = args.simple(words, quiet, arguments=["run"])
        if given is not None:
            given.handler = _resume
    elif verb in (["status"], ["history"]):
        from colony_lib.cli import workflow_view

        return workflow_view.plain(verb[0], words)
    elif verb == ["list"]:
        from colony_lib.cli import workflow_definitions

        return workflow_definitions.plain(words)
    if given is not None:
        given.run = getattr(given, "run", None) or "latest"
        given.quiet = getattr(given, "quiet", False) or getattr(given, "q", False)
    return given


def main(argv: list[str]) -> int:
    every = None
    if argv[:1] == ["status"] and any(word.startswith("--watch") for word in argv):
        from colony_lib.cli import watching

        argv, every = watching.option(argv)
    given = _plain(argv) or _parser(argv[0] if argv else "").parse_args(argv)
    given.every = every
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

        mark = show.MARKS.get(status, "●")
        took = f" in {show_duration(seconds)}" if seconds is not None and status != "started" else ""
        line = f"{self.prefix}{mark} {escape(step)} {status}{took}" + (f": {escape(error)}" if error else "")
        try:
            print(line, file=sys.stderr)
        except (BrokenPipeError, OSError):
            self.quiet = True  # nobody listens any more; the run goes on


def _run(given: argparse.Namespace) -> int:
    from colony_lib.store import env
    from colony_lib.work import launch

    if given.scheduled:
        return _run_scheduled(given)
    more: dict[str, Any] = {"no_cache": True} if given.no_cache else {}
    trigger = env.get("COLONY_TRIGGER") or "manual"
    value, date = _input(given.input), given.date
    if given.replay is not None:
        value, date, more["replay"] = _replayed(given, value)
    run, _ = launch.prepare(given.name, value, date, trigger, more)
    print(run.run_id, flush=True)
    return _go(run, given, resumed=False)


def _replayed(given: argparse.Namespace, value: Any) -> tuple[Any, str, str]:
    """(input, date, run) of the run that is replayed, where the line does not say otherwise."""
    from colony_lib.store import runs

    if given.scheduled:
        raise ColonyError("--replay and --scheduled do not go together", code=USAGE)
    run_id = runs.find(given.replay)
    header = runs.read_header(run_id)
    if header["plan"]["name"] != given.name:
        newest = next((run["run_id"] for run in runs.summaries(given.name)), None)
        fix = f"the newest of '{given.name}' is {newest}" if newest else f"there is no run of '{given.name}' yet"
        raise ColonyError(
            f"{run_id} is a run of '{header['plan']['name']}', not of '{given.name}'", fix=fix, code=USAGE
        )
    return header.get("input") if value is None else value, given.date or header["date"], run_id


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

    took = show_duration(run.duration(status))
    show.note(f"{show.MARKS[status]} {run.plan['name']} {status} in {took}" + (f": {run.error}" if run.error else ""))
    if status != "completed":
        from colony_lib.cli import workflow_view

        following = workflow_view.next_command(run, status)
        if following:
            show.note(f"  next: {following}")


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
