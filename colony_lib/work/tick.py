"""Starting what a schedule names: each of its times once, whoever looks, however often, and wherever the last one died.

All is decided under the workflow's lock: what is due (store/ticks.py), that no run has that time yet, the run itself,
and the document that says so. Only then is the lock left and the run started, in a process of its own: a process that
is forked would take the lock along for as long as it lives. Between the two the run's own locks are held, so that
nobody takes it for interrupted; and if this process dies there, the run is, and a later tick goes on with it.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, locks
from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.base.text import plural
from colony_lib.store import logs, paths, runs, schedule, ticks, workflow

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.store.ticks import Time

    Record = dict[str, Any]
    Begun = tuple[runs.Run, list[int]]

RESUMES = 5  # a run that is cut off again and again is not gone on with for ever
_OVER = ("completed", "failed", "cancelled")


def look(plan: Record, now: datetime.datetime, *, dry: bool = False) -> Iterator[Record]:
    """Start all that is due of the workflow's schedule; a record for each thing done, put off or given up:

    {ts, workflow, scheduled, local, date, action, run_id, count, first, reason}. `action` is `started`, `resumed`,
    `waits` (a later tick tries again; said once) or `given up`: then `count` times from `first` to `scheduled`, None
    for more than were counted; or `failed`, when the document could not be read or written. With `dry` nothing is done,
    and the records are those that would be. ColonyError when others decide for too long.
    """
    if dry:
        turn = _Turn(plan, now, dry=True)
        turn.take()
        yield from turn.news
        return
    while True:
        with ticks.lock(plan["name"]):
            turn = _Turn(plan, now)
            begun = turn.take()
        if begun is not None:
            from colony_lib.work import launch

            launch.detach(begun[0], resumed=turn.resumed)
            for fd in begun[1]:
                locks.release(fd)  # the run's own process holds them
        yield from turn.news
        if begun is None:
            return


def by_its_line(name: str, given: Any) -> Begun | str:
    """For the workflow's own crontab line: the run of this minute's time, to be carried on by this process, with its
    held locks; or the id of the run that this time has already. Where the schedule names no time of this minute (cron
    was late, or the line is an old one) the run has none either."""
    plan = workflow.load(name)
    if not ticks.is_scheduled(plan):
        raise ticks.no_schedule(plan)
    now = ticks.now()
    with ticks.lock(plan["name"]):
        turn = _Turn(plan, now)
        time = schedule.at_minute(plan["trigger"]["cron"], turn.zone, now)
        if time is None:
            from colony_lib.work import launch

            return launch.prepare(name, given, None, "schedule")
        return turn.take_this(time, given)


def trouble(name: str, error: ColonyError) -> tuple[Record, bool]:
    """(the record of a workflow whose schedule could not be looked at, whether it has not been said before)."""
    record = failed(name, error)
    try:
        if not os.path.lexists(paths.schedule(name)):
            return record, True
        with ticks.lock(name):
            kept = ticks.read(name)
            if kept is None or kept["said"] == record["reason"]:
                return record, kept is None
            ticks.keep({**kept, "said": record["reason"]})
    except ColonyError:
        return record, True  # better said twice than not at all
    return record, True


def failed(name: str, error: ColonyError) -> Record:
    return _record(name, "failed", reason=str(error))


def _record(name: str, action: str, **fields: Any) -> Record:
    record: Record = {"ts": clock.now(), "workflow": name, "scheduled": None, "local": None, "date": None}
    record |= {"action": action, "run_id": None, "count": 1, "first": None, "reason": None}
    return {**record, **fields}


class _Turn:
    """One decision on one workflow's schedule; its lock is held (but for a dry one)."""

    def __init__(self, plan: Record, now: datetime.datetime, *, dry: bool = False) -> None:
        self.plan = plan
        self.name: str = plan["name"]
        self.trigger: Record = plan["trigger"]
        self.zone = schedule.zone(self.trigger["timezone"])
        self.now = now
        self.dry = dry
        self.resumed = False
        self.news: list[Record] = []
        self.skips = self.trigger["missed"] == "skip"
        self._waits = False  # for a place, and all that comes after it with it
        self._free = 0
        self._kept: Record | None = None
        self.document = self._read()
        if dry:
            alive = sum(summary["status"] == "running" for summary in runs.summaries(self.name))
            self._free = plan["concurrency"] - alive

    # ── the document ────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> Record:
        """The document as it is to be from now on: begun, begun anew for another schedule, made again where it is
        damaged, and with its decisions taken back to now where the clock was."""
        import datetime

        now = ticks.now()
        fresh = ticks.begun(self.plan, now)
        before = now.replace(second=0, microsecond=0) - datetime.timedelta(minutes=1)
        try:
            kept = ticks.read(self.name)
        except ColonyError as error:
            reason = f"what was decided of its schedule cannot be read and is made anew: {error}"
            self.news.append(_record(self.name, "failed", reason=reason))
            self._warn(reason)
            return {**ticks.begun(self.plan, before), "open": self._open_by_headers(now)}
        if kept is None:
            return fresh
        self._kept = {**kept, "open": [dict(entry) for entry in kept["open"]]}
        if ticks.is_other(kept, fresh):
            return {**fresh, "open": kept["open"]}
        if ticks.moment(kept["decided"]) - now > datetime.timedelta(seconds=1):
            # The runs themselves tell which of the times that come again have been run.
            since = min(kept["since"], ticks.stamp(before))
            return {**kept, "since": since, "decided": ticks.stamp(before), "seen": ""}
        return kept

    def _open_by_headers(self, now: datetime.datetime) -> list[Record]:
        """The scheduled runs of the window, oldest first: those that are over are taken out when they are looked at."""
        import datetime

        window = datetime.timedelta(seconds=self.trigger["window_seconds"])
        made = ticks.made(self.name, "", now - window)[0]
        return [_open(scheduled, made[scheduled]) for scheduled in sorted(made)]

    def _keep(self, begun: Begun | None) -> None:
        if self.dry or self.document == self._kept:
            return
        try:
            ticks.keep(self.document)
        except ColonyError as error:
            if begun is None:
                raise
            # The run is made and has its time in its header: that is enough for the next tick.
            self.news.append(_record(self.name, "failed", reason=str(error)))

    def _decided(self, time: Time) -> None:
        self.document["decided"] = max(self.document["decided"], ticks.stamp(time[0]))

    # ── the decision ────────────────────────────────────────────────────────────────────────────────────────────

    def take(self) -> Begun | None:
        """Decide, up to the first run that begins or goes on; None when there is none."""
        begun = None
        if self.skips:
            self.document["open"] = []
        else:
            begun = self._resume()
        if begun is None and not self._waits:
            begun = self._start()
        if not self._waits:
            self.document["said"] = None
        self._keep(begun)
        return begun

    def take_this(self, time: Time, given: Any) -> Begun | str:
        """Make the run of this time, unless it has one."""
        import datetime

        from colony_lib.work import launch

        just_before = time[0] - datetime.timedelta(seconds=1)
        found = ticks.made(self.name, "", just_before)[0].get(ticks.stamp(time[0]))
        if found is not None:
            return found
        if self.skips:
            self._outstanding()
            self._decided(time)
        try:
            begun = launch.prepare(self.name, given, time[1], "schedule", _scheduled(time))
        except ColonyError as error:
            if not self.skips:
                raise  # a tick will try again
            self._give_up([time], error.what)
            self._keep(None)
            what = f"{self._local(time)} is given up: {error.what}"
            raise ColonyError(what, where=error.where, fix=error.fix, code=error.code) from None
        self._keep(begun)
        return begun

    def _resume(self) -> Begun | None:
        """Go on with a run that was cut off, the oldest first; what is over or too old is taken out of the document."""
        import datetime

        window = datetime.timedelta(seconds=self.trigger["window_seconds"])
        oldest = ticks.stamp(self.now.replace(second=0, microsecond=0) - window)
        for entry in list(self.document["open"]):
            status = self._status(entry["run_id"])
            if status in _OVER or entry["scheduled"] < oldest:
                self.document["open"].remove(entry)
            elif status == "interrupted":
                begun = self._reopen(entry)
                if begun is not None or self._waits:
                    return begun
        return None

    @staticmethod
    def _status(run_id: str) -> str:
        if locks.is_held(paths.run_lock(run_id, "alive")):
            return "running"
        try:
            status: str = runs.load(run_id).status
        except ColonyError:
            return "cancelled"  # it is gone, or cannot be read: there is nothing to go on with
        if status == "interrupted" and os.path.exists(runs.cancel_file(run_id)):
            return "cancelled"  # somebody was ending it
        return status

    def _reopen(self, entry: Record) -> Begun | None:
        time = ticks.moment(entry["scheduled"]), ""
        begun = None
        try:
            if entry["resumed"] >= RESUMES:
                raise ColonyError(f"it was cut off {plural(RESUMES + 1, 'time')}")
            if self.dry:
                self._take_place()
            else:
                from colony_lib.work import launch

                begun = launch.reopen(entry["run_id"])
                if not begun[1]:  # no locks: it has been completed meanwhile, and there is nothing to go on with
                    self.document["open"].remove(entry)
                    return None
        except ColonyError as error:
            if error.code == BUSY:
                self._wait(time, error, run_id=entry["run_id"])
                return None
            self.document["open"].remove(entry)
            reason = f"the interrupted run {entry['run_id']} is not gone on with: {error}"
            self._tell("given up", time, run_id=entry["run_id"], reason=reason)
            self._warn(f"{self._local(time)}: {reason}")
            return None
        entry["resumed"] += 1
        self.resumed = True
        self._tell("resumed", time, run_id=entry["run_id"], reason="it was interrupted")
        return begun

    def _start(self) -> Begun | None:
        """Give up what is gone, and begin what is due, in its order."""
        for time in self._outstanding():
            try:
                begun = self._prepare(time)
            except ColonyError as error:
                if not self.skips:
                    self._wait(time, error)
                    return None
                self._give_up([time], error.what)
                continue
            run_id = begun[0].run_id if begun else None
            self._taken(time, run_id)
            self._tell("started", time, run_id=run_id)
            if begun is not None:
                return begun
        return None

    def _outstanding(self) -> list[Time]:
        """The times that are due and have no run, after giving up those that are gone; a time that was found to
        have its run (whoever made it died before he could say so) is decided."""
        decided = ticks.moment(self.document["decided"])
        due, gone, counted = ticks.outstanding(self.trigger, self.zone, decided, self.now)
        if not due and not gone:
            return []
        made, newest = ticks.made(self.name, self.document["seen"], decided)
        if not made:
            self.document["seen"] = newest
        self._give_up([time for time in gone if ticks.stamp(time[0]) not in made], self._why_gone(bool(due)), counted)
        left = [time for time in due if ticks.stamp(time[0]) not in made]
        for time in [*gone, *due]:
            if left and time >= left[0]:
                break  # decided is what comes before the first that is not
            if ticks.stamp(time[0]) in made:
                self._taken(time, made[ticks.stamp(time[0])])
        return left

    def _taken(self, time: Time, run_id: str | None) -> None:
        """The time has its run."""
        self._decided(time)
        if run_id is not None and not self.skips:
            self.document["open"].append(_open(ticks.stamp(time[0]), run_id))

    def _prepare(self, time: Time) -> Begun | None:
        if self.dry:
            self._take_place()
            return None
        from colony_lib.work import launch

        return launch.prepare(self.name, None, time[1], "schedule", _scheduled(time))

    def _take_place(self) -> None:
        """For a dry turn: what launch would say."""
        if self._free <= 0:
            raise ColonyError(f"workflow '{self.name}' is running already", code=BUSY)
        self._free -= 1

    # ── what is told ────────────────────────────────────────────────────────────────────────────────────────────

    def _why_gone(self, newer: bool) -> str:
        if self.skips:
            return "nobody looked in its minute (missed: skip)"
        if self.trigger["missed"] == "latest" and newer:
            return "a newer time is run (missed: latest)"
        return "older than the window of the trigger"

    def _give_up(self, times: list[Time], reason: str, counted: bool = True) -> None:
        if not times:
            return
        for time in times:
            self._decided(time)
        first, last = times[0], times[-1]
        count = len(times) if counted else None
        self._tell("given up", last, reason=reason, count=count, first=ticks.stamp(first[0]))
        many = "" if count == 1 else f" and {_more(count)} since {self._local(first)}"
        self._warn(f"{self._local(last)}{many} given up: {reason}")

    def _wait(self, time: Time, error: ColonyError, **fields: Any) -> None:
        self._waits = True
        said = f"{ticks.stamp(time[0])} {error.what}"
        if self.document["said"] != said:
            self.document["said"] = said
            self._tell("waits", time, reason=str(error) if error.code != BUSY else error.what, **fields)

    def _tell(self, action: str, time: Time, **fields: Any) -> None:
        known = {"scheduled": ticks.stamp(time[0]), "local": self._local(time), "date": time[1] or None}
        self.news.append(_record(self.name, action, **known, **fields))

    def _warn(self, message: str) -> None:
        if not self.dry:
            logs.line("colony", "warn", f"{self.name}: {message}")

    def _local(self, time: Time) -> str:
        return time[0].astimezone(self.zone).isoformat(timespec="minutes")


def _scheduled(time: Time) -> Record:
    """What the header of the time's run says besides: by that it is known as the one there is."""
    return {"scheduled": ticks.stamp(time[0])}


def _open(scheduled: str, run_id: str) -> Record:
    return {"scheduled": scheduled, "run_id": run_id, "resumed": 0}


def _more(count: int | None) -> str:
    return "all before it" if count is None else f"{count - 1:,} more"
