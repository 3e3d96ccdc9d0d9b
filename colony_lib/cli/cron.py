"""`colony cron`: the schedule triggers of workflows as lines of the user's crontab, and their next times."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import FAILED, OK, ColonyError, unknown
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    Record = dict[str, Any]


def main(argv: list[str]) -> int:
    parser = args.Parser(
        prog="colony cron",
        summary="run workflows at the times of their schedules, by the user's crontab",
        examples=[
            "colony cron list",
            "colony cron install --dry-run",
            "colony cron install",
            "colony cron next daily-etl -n 3",
            "colony cron tick --dry-run",
        ],
        details="Colony keeps one marked block of lines per colony in the crontab; all other lines stay as they are.\n"
        "What a run prints goes to .colony/logs/cron.log. Cron jobs have hardly any environment: put the\n"
        "variables that agents need, and PATH, into the file that 'env_file' in colony.yml names.\n"
        "What becomes of times at which the machine was off, a workflow's trigger says: missed: skip, latest or all.",
    )
    verbs = parser.commands()
    _add_changes(verbs)
    _add_tick(verbs)
    _add_views(verbs)
    given = parser.parse_args(argv)
    status: int = given.handler(given)
    return status


def _add_changes(verbs: Any) -> None:
    install = verbs.add_parser(
        "install",
        prog="colony cron install",
        summary="write the schedules into the crontab; prints the lines that are now there",
        help="write the schedules into the crontab",
        examples=["colony cron install --dry-run", "colony cron install", "colony cron install daily-etl"],
        details="Each workflow is first checked as it would run there, in cron's bare environment. Its times count\n"
        "from now on; those of a schedule that is installed already and has not changed, from when they did.",
    )
    install.add_argument("name", metavar="NAME", nargs="?", help="only this workflow (default: all with a schedule)")
    install.set_defaults(handler=_install)
    remove = verbs.add_parser(
        "remove",
        prog="colony cron remove",
        summary="take the schedules out of the crontab",
        help="take the schedules out of the crontab",
        examples=["colony cron remove --dry-run", "colony cron remove", "colony cron remove daily-etl"],
    )
    remove.add_argument("name", metavar="NAME", nargs="?", help="only this workflow (default: the whole block)")
    remove.set_defaults(handler=_remove)
    for verb in (install, remove):
        verb.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
        args.add_lock_timeout(verb)


def _add_tick(verbs: Any) -> None:
    tick = verbs.add_parser(
        "tick",
        prog="colony cron tick",
        summary="start what the schedules have due now, in the background; says nothing when nothing is",
        help="start what is due now",
        examples=[
            "colony cron tick",
            "colony cron tick daily-etl --dry-run",
            "* * * * * cd /srv/flights && /usr/local/bin/colony cron tick   # a crontab line by hand",
        ],
        details="Each time of a schedule is run once, whoever looks at it and whenever they die. Times count from the\n"
        "first tick on, or from 'colony cron install'; when a schedule is changed, anew. What becomes of times at\n"
        "which nobody looked, 'missed' in the workflow's trigger says: skip leaves them; latest runs the newest of\n"
        "the last 'window' (default 7d); all runs each of those, the oldest first, as 'concurrency' lets. Both also\n"
        "go on with a scheduled run that was cut off. Exit status 0 unless a schedule could not be looked at.",
    )
    tick.add_argument("names", metavar="NAME", nargs="*", help="only these workflows (default: all with a schedule)")
    tick.add_argument("--dry-run", action="store_true", help="show what would be started, and start nothing")
    args.add_json(tick)
    args.add_lock_timeout(tick)
    tick.set_defaults(handler=_tick)


def _add_views(verbs: Any) -> None:
    lines = verbs.add_parser(
        "list",
        prog="colony cron list",
        summary="print the crontab lines of the workflows, installed or not",
        help="print the crontab lines, installed or not",
        examples=["colony cron list", "colony cron list --json | jq -r 'select(.installed | not) | .workflow'"],
    )
    lines.add_argument("name", metavar="NAME", nargs="?", help="only this workflow")
    args.add_json(lines)
    lines.set_defaults(handler=_list)
    times = verbs.add_parser(
        "next",
        prog="colony cron next",
        summary="print the next times of the schedules, in their zones",
        help="print the next times",
        examples=["colony cron next", "colony cron next daily-etl -n 3"],
    )
    times.add_argument("name", metavar="NAME", nargs="?", help="only this workflow")
    times.add_argument("-n", "--count", type=args.count, default=1, metavar="N", help="how many of each (default 1)")
    args.add_json(times)
    times.set_defaults(handler=_next)
    due = verbs.add_parser(
        "due",
        prog="colony cron due",
        summary="exit 0 if the workflow's schedule names this very minute, else 1",
        help="tell by the exit status whether a workflow is due",
        examples=["colony cron due daily-etl && colony workflow run daily-etl"],
        details="Asks the schedule alone: whether that time has been run already, 'colony cron tick --dry-run' tells.",
    )
    due.add_argument("name", metavar="NAME", help="the workflow")
    due.set_defaults(handler=_due)


# ── what is scheduled ──────────────────────────────────────────────────────────────────────────────────────────


def _plans(name: str | None) -> list[Record]:
    """The plans with a schedule, or the named one, which must have one. ColonyError when a file is wrong: it
    might have a schedule."""
    from colony_lib.store import ticks, workflow

    if name is not None:
        plan = workflow.load(workflow.path(name))
        if not ticks.is_scheduled(plan):
            raise ticks.no_schedule(plan)
        return [plan]
    return [plan for plan in map(workflow.load, workflow.files()) if ticks.is_scheduled(plan)]


def _lines(plans: list[Record]) -> dict[str, bytes]:
    from colony_lib.store import crontab, paths

    return crontab.lines(plans, paths.root(), _python(), _executables())


def _python() -> str:
    if not os.path.isabs(sys.executable or ""):
        raise ColonyError("the path of this Python is not known", fix="call Colony by an absolute path", code=FAILED)
    return sys.executable


def _executables() -> str:
    """The folder of colony-workflow: that of this command, else of the checkout or the environment."""
    own = os.path.abspath(sys.argv[0])
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in (
        os.path.dirname(own),
        os.path.dirname(os.path.realpath(own)),
        os.path.join(package, "bin"),
        os.path.dirname(sys.executable),
    ):
        if os.path.isfile(os.path.join(folder, "colony-workflow")):
            return folder
    raise ColonyError("colony-workflow is not beside this command", fix="install Colony again", code=FAILED)


# ── install, remove ────────────────────────────────────────────────────────────────────────────────────────────


def _install(given: argparse.Namespace) -> int:
    from colony_lib.base import files
    from colony_lib.store import config, cronenv, crontab, paths, ticks, workflow

    root = paths.root()
    settings = config.load()
    plans = _plans(given.name)
    for plan in plans:
        workflow.check_against_config(plan, settings)
        _check_input(plan)
    lines = _lines(plans)
    files.make_dirs(paths.logs_folder())
    with crontab.lock():
        old = crontab.read()
        there = crontab.entries(old, root)
        environ = cronenv.environment(crontab.settings(old, root))
        for plan in plans:
            cronenv.refuse_missing(plan, settings, environ)
        wanted = lines
        if given.name is not None:
            wanted = there
            for name, line in lines.items():
                wanted = crontab.joined(wanted, name, line)
        new = crontab.changed(old, root, wanted)
        if _dry(given, old, new):
            return OK
        for plan in plans:  # before a tick can look: what was missed while a schedule was not installed does not count
            ticks.watch(plan, anew=plan["name"] not in there)
        if new != old:
            crontab.write(new)
            if crontab.entries(crontab.read(), root) != wanted:
                raise ColonyError("'crontab' took the new table and does not show it", fix="see 'crontab -l'")
        for name in there.keys() - wanted.keys():
            ticks.forget(name)
    for text in dict.fromkeys(wanted[name] for name in sorted(wanted)):
        print(os.fsdecode(text))
    for warning in [
        *crontab.warnings(new, root),
        *(cronenv.warnings(plans, settings, environ, _executables()) if plans else []),
        *(text for plan in plans for text in workflow.warnings(plan)),
    ]:
        show.warn(warning)
    show.note(_summary("installed" if new != old else "already there", wanted) if wanted else _nothing(there))
    return OK


def _check_input(plan: Record) -> None:
    """Nobody gives a scheduled run its input: the schema's defaults must do."""
    from colony_lib.store import workflow

    try:
        workflow.check_input(plan, None)
    except ColonyError as error:
        what = f"workflow '{plan['name']}' cannot start by itself: {error.what}"
        raise ColonyError(what, where=plan["file"], fix="give what is required a default", code=error.code) from None


def _summary(what: str, entries: Any) -> str:
    return f"{what}: {plural(len(entries), 'workflow')}; 'colony cron next' shows when"


def _nothing(there: Any) -> str:
    return "no workflow has a schedule" + ("; the old lines are gone" if there else "")


def _remove(given: argparse.Namespace) -> int:
    from colony_lib.store import crontab, paths, ticks

    root = paths.root()
    with crontab.lock():
        old = crontab.read()
        there = crontab.entries(old, root)
        if given.name is not None and given.name not in there:
            raise unknown("workflow in the crontab", escape(given.name), there)
        left = {} if given.name is None else crontab.without(there, given.name)
        new = crontab.changed(old, root, left)
        if _dry(given, old, new):
            return OK
        if new != old:
            crontab.write(new)
        for name in there.keys() - left.keys():
            ticks.forget(name)
    gone = len(there) - len(left)
    show.note(f"removed: {plural(gone, 'workflow')}" if new != old else "nothing of this colony is in the crontab")
    return OK


def _dry(given: argparse.Namespace, old: bytes, new: bytes) -> bool:
    """For --dry-run: show the difference."""
    if given.dry_run:
        import difflib

        before, after = (data.decode("utf-8", "backslashreplace").split("\n")[:-1] for data in (old, new))
        for line in difflib.unified_diff(before, after, "crontab now", "crontab then", lineterm=""):
            print(escape(line))
        if old == new:
            show.note("nothing would change")
    return bool(given.dry_run)


# ── tick ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _tick(given: argparse.Namespace) -> int:
    from colony_lib.store import ticks, workflow
    from colony_lib.work import tick

    now = ticks.now()
    status = OK
    for name in given.names or workflow.files():
        try:
            plan = workflow.load(workflow.path(name) if given.names else name)
            if ticks.is_scheduled(plan):
                for record in tick.look(plan, now, dry=given.dry_run):
                    status = _tell(record, given) or status
            elif given.names:
                raise ticks.no_schedule(plan)
        except ColonyError as error:
            name = workflow.stem(name) if not given.names else name
            record, is_new = tick.trouble(name, error) if not given.dry_run else (tick.failed(name, error), True)
            status = status or error.code
            if is_new or sys.stderr.isatty():
                _tell(record, given)
    return status


def _tell(record: Record, given: argparse.Namespace) -> int:
    """Print what was done, at once: who reads the log wants to know how far a tick came."""
    if given.json:
        show.record(record)
    elif record["action"] == "failed":
        show.warn(f"{record['ts']} {record['workflow']}: {record['reason']}", "cron")
    else:
        print(escape(_words(record, given.dry_run)))
    sys.stdout.flush()
    return FAILED if record["action"] == "failed" else OK


def _words(record: Record, dry: bool) -> str:
    action = f"would be {record['action']}" if dry and record["action"] != "waits" else record["action"]
    words = f"{record['ts']} {record['workflow']} {record['local']} {action}"
    if record["count"] != 1:
        import datetime

        more = "all before it" if record["count"] is None else f"{record['count'] - 1:,} more"
        first, last = (datetime.datetime.fromisoformat(record[key]) for key in ("first", "local"))
        words += f", and {more} since {first.astimezone(last.tzinfo).isoformat(timespec='minutes')}"
    if record["run_id"]:
        words += f" {record['run_id']}"
    return words + (f": {record['reason']}" if record["reason"] else "")


# ── list, next, due ────────────────────────────────────────────────────────────────────────────────────────────


def _list(given: argparse.Namespace) -> int:
    from colony_lib.store import crontab

    plans = _plans(given.name)
    there = _installed() if given.json else None
    if not plans:
        show.note("no workflow has a schedule")
    lines = _lines(plans)
    if not given.json:
        for line in dict.fromkeys(lines[plan["name"]] for plan in plans):
            print(os.fsdecode(line))
        return OK
    for plan in plans:
        line = lines[plan["name"]]
        found = there.get(plan["name"]) if there is not None else None
        show.record(
            {
                "workflow": plan["name"],
                "cron": plan["trigger"]["cron"],
                "timezone": plan["trigger"]["timezone"],
                "line": os.fsdecode(line),
                "installed": None if there is None else found is not None,
                "current": None if found is None else crontab.same(found, line),
            }
        )
    return OK


def _installed() -> dict[str, bytes] | None:
    """The entries of this colony's block; None, and a warning, where there is no crontab that could be asked."""
    from colony_lib.store import crontab, paths

    try:
        return crontab.entries(crontab.read(), paths.root())
    except ColonyError as error:
        show.warn(str(error))
        return None


def _next(given: argparse.Namespace) -> int:
    from colony_lib.base import clock
    from colony_lib.base.text import show_duration
    from colony_lib.store import schedule, ticks

    now = ticks.now()
    rows = []
    for plan in _plans(given.name):
        zone = schedule.zone(plan["trigger"]["timezone"])
        for time in schedule.next_times(plan["trigger"]["cron"], zone, now, given.count):
            rows.append((time.timestamp(), plan["name"], time, schedule.zone_name(zone)))
    rows.sort(key=lambda row: row[:2])
    if not rows and not given.json:
        show.note("no workflow has a schedule")
    elif given.json:
        for moment, name, time, zone_name in rows:
            record = {"workflow": name, "next": clock.stamp(moment), "local": time.isoformat(), "timezone": zone_name}
            show.record(record)
    else:
        wait = now.timestamp()
        show.table(
            [
                {
                    "workflow": name,
                    "next": time.isoformat(" ", "minutes"),
                    "timezone": zone_name,
                    "in": show_duration(moment - wait),
                }
                for moment, name, time, zone_name in rows
            ],
            ["workflow", "next", "timezone", "in"],
        )
    return OK


def _due(given: argparse.Namespace) -> int:
    from colony_lib.store import schedule, ticks

    (plan,) = _plans(given.name)
    trigger = plan["trigger"]
    due = schedule.at_minute(trigger["cron"], schedule.zone(trigger["timezone"]), ticks.now())
    return FAILED if due is None else OK
