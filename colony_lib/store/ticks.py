"""What becomes of the times of a schedule: which are due, which are gone, and the document that remembers it.

A workflow is watched from its first tick, or from `colony cron install`, on. `.colony/schedules/NAME.json` says so:
{v, workflow, cron, timezone, since, decided, seen, open: [{scheduled, run_id, resumed}], said}. All times of the
schedule up to `decided` have had their decision; no run up to the id `seen` has a time after that. `open` are the runs
that ticks have started and may have to go on with; `said` is what was told last of a time that has to wait.

A run carries its scheduled time in its own header. So what a crash leaves between a run that is made and a document
that is not yet written is found by looking at the runs: `made`.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import paths, runs, schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]
    Time = tuple[datetime.datetime, str]  # the moment in UTC, and the day it counts for


def lock(name: str) -> locks.held:
    """The lock under which it is decided what becomes of the workflow's times."""
    return locks.held(paths.lock(f"schedule-{name}"), what=f"the schedule of '{name}'")


def moment(iso: str) -> datetime.datetime:
    import datetime

    return datetime.datetime.fromtimestamp(clock.seconds(iso), datetime.UTC)


def now() -> datetime.datetime:
    import datetime

    return datetime.datetime.fromtimestamp(clock.epoch(), datetime.UTC)


def stamp(time: datetime.datetime) -> str:
    return clock.stamp(time.timestamp())


def is_scheduled(plan: Mapping[str, Any]) -> bool:
    return plan["trigger"] is not None and plan["trigger"]["type"] == "schedule"


def no_schedule(plan: Mapping[str, Any]) -> ColonyError:
    return ColonyError(
        f"workflow '{escape(plan['name'])}' has no schedule",
        where=plan["file"],
        fix='write trigger: {type: schedule, cron: "0 2 * * *"}',
        code=USAGE,
    )


# ── the decision ───────────────────────────────────────────────────────────────────────────────────────────────


def outstanding(
    trigger: Mapping[str, Any], zone: datetime.tzinfo, decided: datetime.datetime, now: datetime.datetime
) -> tuple[list[Time], list[Time], bool]:
    """(due, gone, counted): what of the schedule's times after `decided` is to be run, in this order, what is given
    up, and whether `gone` has them all: of those that lie far behind it has the first one only.

    With `missed: skip` the time of this very minute is due, with `latest` the newest one of the window, with `all`
    each one of the window; the time of this minute always counts as in the window.
    """
    import datetime
    from itertools import islice

    minute = now.replace(second=0, microsecond=0)
    window = datetime.timedelta(seconds=trigger["window_seconds"])
    far = minute - 2 * max(window, datetime.timedelta(days=1))
    cron = trigger["cron"]
    early = list(islice(schedule.times(cron, zone, decided, far), 2)) if decided < far else []
    found = list(schedule.times(cron, zone, max(decided, far), minute))
    counting = [time for time in found if time[0] == minute or time[0] >= minute - window]
    due = {
        "skip": [time for time in counting if time[0] == minute],
        "latest": counting[-1:],
        "all": counting,
    }[trigger["missed"]]
    first = due[0] if due else None
    return due, early[:1] + [time for time in found if first is None or time < first], len(early) < 2


# ── the document ───────────────────────────────────────────────────────────────────────────────────────────────


def begun(plan: Mapping[str, Any], decided: datetime.datetime) -> Record:
    """The document of a workflow whose watch begins: no time up to `decided` counts any more."""
    trigger = plan["trigger"]
    return {
        "v": 1,
        "workflow": plan["name"],
        "cron": schedule.expand(trigger["cron"]),
        "timezone": schedule.zone_name(schedule.zone(trigger["timezone"])),
        "since": stamp(decided),
        "decided": stamp(decided),
        "seen": "",
        "open": [],
        "said": None,
    }


def read(name: str) -> Record | None:
    """The workflow's document; None when it is not watched. ColonyError when the document is damaged."""
    path = paths.schedule(name)
    kept = files.read_json(path, None, follow=False)
    if kept is None and not os.path.lexists(path):
        return None
    if not _is_whole(kept):
        raise ColonyError("not the record of a schedule", where=path)
    found: Record = kept
    return found


def _is_whole(kept: Any) -> bool:
    texts = ("workflow", "cron", "timezone", "since", "decided", "seen")
    if not isinstance(kept, dict) or kept.get("v") != 1 or not all(isinstance(kept.get(key), str) for key in texts):
        return False
    runs_there = kept.get("open")
    if not isinstance(runs_there, list) or not all(_is_run(each) for each in runs_there):
        return False
    return _is_time(kept["since"]) and _is_time(kept["decided"]) and isinstance(kept.get("said"), str | None)


def _is_run(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("run_id"), str)
        and type(entry.get("resumed")) is int
        and _is_time(entry.get("scheduled"))
    )


def _is_time(text: Any) -> bool:
    try:
        moment(text)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def keep(record: Record) -> None:
    """Write the document; its lock is held."""
    files.write_json(paths.schedule(record["workflow"]), record)


def watch(plan: Mapping[str, Any], *, anew: bool) -> None:
    """Begin to watch the workflow now; without `anew` only if it is not watched, or has another schedule by now."""
    name = plan["name"]
    with lock(name):
        try:
            old = read(name)
        except ColonyError:
            old = None
        fresh = begun(plan, now())
        if anew or old is None or is_other(old, fresh):
            keep(fresh)


def is_other(one: Record, other: Record) -> bool:
    """Whether two documents are about different schedules."""
    return any(one[key] != other[key] for key in ("cron", "timezone"))


def forget(name: str) -> None:
    """Watch the workflow no longer."""
    with lock(name):
        if os.path.lexists(paths.schedule(name)):
            os.unlink(paths.schedule(name))


# ── the runs ───────────────────────────────────────────────────────────────────────────────────────────────────


def made(name: str, seen: str, decided: datetime.datetime) -> tuple[dict[str, str], str]:
    """({scheduled time: run id} of the workflow's runs with a time after `decided`, the id of the newest run of
    all). Looks at the runs after the id `seen` only, and at none that was made before `decided`."""
    newest = ""
    found: dict[str, str] = {}
    after = stamp(decided)
    first = max(seen, runs.first_id(decided.timestamp()))
    for run_id in runs.ids():
        newest = newest or run_id
        if run_id <= first:
            break
        if not os.path.exists(os.path.join(paths.runs_folder(), run_id, "plan.json")):
            continue  # it has not become a run, or not yet
        try:
            header = runs.read_header(run_id)
        except ColonyError:
            continue  # damaged: whoever lists the runs says so
        scheduled = header.get("scheduled")
        if header["plan"].get("name") == name and isinstance(scheduled, str) and scheduled > after:
            found[scheduled] = run_id
    return found, newest
