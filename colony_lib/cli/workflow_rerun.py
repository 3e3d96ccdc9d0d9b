"""`colony workflow rerun`: a new run that takes what another has done, and does the rest."""

from __future__ import annotations

from colony_lib.base.errors import OK
from colony_lib.cli import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from colony_lib.store import runs


def add(verbs: Any, go: Callable[..., int]) -> None:
    """Add the verb to `colony workflow`; `go(run, given, resumed=False)` runs a run that has been made."""
    rerun = verbs.add_parser(
        "rerun",
        prog="colony workflow rerun",
        summary="start a new run with the date and input of another, taking outputs from it",
        help="do a run, or a part of it, again",
        examples=[
            "colony workflow rerun latest --failed",
            "colony workflow rerun r20130208 --from load-data",
            "colony workflow rerun latest --only generate-report",
        ],
        details="The workflow is taken as its file is now, so that a step can be mended and done again. Steps whose\n"
        "outputs are taken have the status 'cached'. Without an option everything is done again. Exit status: as of\n"
        "'colony workflow run', and 75 while RUN is still running.",
    )
    rerun.add_argument("run", metavar="RUN", help="an id, a unique start of one, or 'latest'")
    which = rerun.add_mutually_exclusive_group()
    which.add_argument("--from", dest="start", metavar="STEP", help="that step and all that depends on it")
    which.add_argument("--only", metavar="STEP", help="that step alone; nothing after it")
    which.add_argument("--failed", action="store_true", help="what RUN has not completed; of parallel steps by batches")
    rerun.add_argument("--detach", action="store_true", help="do not wait: run in the background")
    rerun.add_argument("--quiet", "-q", action="store_true", help="no progress on standard error")

    def handler(given: argparse.Namespace) -> int:
        run = _prepared(given)
        return OK if run is None else go(run, given, resumed=False)

    rerun.set_defaults(handler=handler)


def _prepared(given: argparse.Namespace) -> runs.Run | None:
    from colony_lib.store import runs
    from colony_lib.work import rerun

    run_id = runs.find(given.run)
    made = rerun.prepare(run_id, start=given.start, only=given.only, failed=given.failed)
    if made is None:
        print(run_id, flush=True)
        show.note(f"{run_id} has completed all its steps: nothing to do")
        return None
    run, _, notes = made
    print(run.run_id, flush=True)
    for note in notes if not given.quiet else []:
        show.note(note)
    return run
