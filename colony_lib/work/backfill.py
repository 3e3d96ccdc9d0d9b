"""A workflow's runs for a range of days: what becomes of each day, and an engine process of its own for each run.

The processes are children that need nothing of their parent: when it is killed they run to their end or not, each a
whole run that can be resumed, and the same command goes on. What a backfill has used is told by the runs' journals, so
that a budget holds across kills.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque

from colony_lib.base import jsontext, locks
from colony_lib.base.errors import BUG, BUSY, FAILED, INTERRUPTED, OK, TERMINATED, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import alerts, paths, runs
from colony_lib.work import launch
from colony_lib.work.budget import Used, used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

    Record = dict[str, Any]

MOST = 3660  # days
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESUMABLE = ("failed", "interrupted", "cancelled")


def days(first: str, last: str) -> list[str]:
    """The days from `first` to `last`, both included; [] when that is none."""
    import datetime

    day, end = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)
    return [(day + datetime.timedelta(n)).isoformat() for n in range((end - day).days + 1)]


class Day:
    """One day: what is to be done about it (`action`: none, start, resume or rerun), and what came of it."""

    __slots__ = ("action", "date", "error", "run_id", "seconds", "status", "why")

    def __init__(self, date: str) -> None:
        self.date = date
        self.action = "start"
        self.run_id: str | None = None
        self.status: str | None = None  # a run's status, or 'not_started'
        self.why: str | None = None  # why nothing is done
        self.error: str | None = None
        self.seconds: float | None = None

    def record(self) -> Record:
        """The day as --json prints it (schemas/backfill.schema.json)."""
        return {
            "date": self.date,
            "run_id": self.run_id,
            "status": self.status,
            "action": self.action,
            "why": self.why,
            "duration_seconds": self.seconds,
            "error": self.error,
        }


class Days:
    """What the runs that there are make of the days. With an `input`, only runs with that input count; a rerun of a
    single step is no run of its day."""

    def __init__(self, plan: Record, input: Any = None) -> None:
        self._plan = plan
        self._input = input
        self._newest = ""
        self.runs: dict[str, list[Record]] = {}  # history lines by day, newest first

    def look(self) -> None:
        """Take in the runs that are new since the last look."""
        new: dict[str, list[Record]] = {}
        newest = self._newest
        for summary in runs.summaries(self._plan["name"], after=newest):
            self._newest = max(self._newest, summary["run_id"])
            if summary["only"] is None and self._counts(summary):
                new.setdefault(summary["date"], []).append(summary)
        for date, found in new.items():
            self.runs[date] = found + self.runs.get(date, [])

    def _counts(self, summary: Record) -> bool:
        return self._input is None or runs.load(summary["run_id"]).header.get("input") == self._input

    def decide(self, date: str) -> Day:
        """What is to be done about the day."""
        day = Day(date)
        found = self.runs.get(date, [])
        completed = next((summary for summary in found if summary["status"] == "completed"), None)
        if completed is not None:
            day.action, day.run_id, day.status, day.why = "none", completed["run_id"], "completed", "completed before"
        elif found:
            run = runs.load(found[0]["run_id"])
            day.run_id, day.status = run.run_id, run.status  # a kept line may be older than what runs now
            day.why = _why_not(run)
            day.action = "none" if day.why else "resume" if self._is_same(run.plan) else "rerun"
        return day

    def _is_same(self, plan: Record) -> bool:
        """Whether resuming a run, which keeps to its own plan, does what the workflow's file says now."""
        from colony_lib.work import rerun

        return rerun.is_same(plan, self._plan)


def _why_not(run: runs.Run) -> str | None:
    """Why the run is not gone on with; None when it is."""
    if run.status == "waiting":
        return "it waits for a person" if any(step.status == "waiting" for step in run.steps.values()) else None
    return {"completed": "completed before", "running": "it is being run"}.get(run.status)


class _Process:
    """The engine of a day: the pipe by which it speaks, and whether it has said that there is no place for its run."""

    __slots__ = ("_rest", "_tell", "day", "no_place", "pid", "pipe")

    def __init__(self, pid: int, day: Day, pipe: int, tell: launch.Tell) -> None:
        self.pid = pid
        self.day = day
        self.pipe = pipe
        self.no_place = False
        self._tell = tell
        self._rest = b""

    def hear(self) -> bool:
        """Take in what it has said; False when it has ended."""
        try:
            data = os.read(self.pipe, 1 << 16)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = jsontext.loads(line)
            if "news" in said:
                self._tell(*said["news"])
            self.day.run_id = said.get("run_id") or self.day.run_id
            self.day.error = said.get("error") or self.day.error
            self.no_place = said.get("no_place", False)
        return bool(data)


def _say(pipe: int, *, wait: bool = True, **words: Any) -> None:
    """Say it to the parent, whole; without `wait` it may be lost when nobody listens. A parent that is dead is none."""
    try:
        if wait:
            select.select([], [pipe], [], 60)
        os.write(pipe, jsontext.dumps(words).encode() + b"\n")  # less than a pipe takes at once
    except (BlockingIOError, BrokenPipeError):
        return


class Backfill:
    """One invocation. `done(day)` hears of each day once, when it is known what became of it; `progress(date)` gives
    what hears of the steps of that day's run; `note(text)` takes talk."""

    def __init__(
        self,
        plan: Record,
        wanted: list[str],
        *,
        given: Any,
        known: Days,
        parallel: int,
        budget: dict[str, float],
        stop_on_failure: bool,
        done: Callable[[Day], None],
        progress: Callable[[str], launch.Tell],
        note: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.given = given
        self.known = known
        self.limit = parallel
        self.budget = budget
        self.stop_on_failure = stop_on_failure
        self.done = done
        self.progress = progress
        self.note = note
        self.mark = f"{wanted[0]}/{wanted[-1]}"
        self._wanted = wanted
        self.ended: list[Day] = []
        self._queue = deque(wanted)
        self._active: dict[int, _Process] = {}  # by pipe
        self._used: dict[str, Used] = {}
        self._stop: str | None = None  # why no further day is started
        self._signalled = 0
        self._before: dict[int, Any] = {}
        self._has_failed = False

    def go(self) -> int:
        """Do the days; returns the exit status. ColonyError (BUSY) when the workflow is being backfilled already."""
        path = paths.lock(f"backfill-{self.plan['name']}")
        alone = locks.try_hold(path, note=f"process {os.getpid()}")
        if alone is None:
            what = f"workflow '{self.plan['name']}' is being backfilled already ({locks.note(path)})"
            raise ColonyError(what, fix="wait for that", code=BUSY)
        launch.warm(self.plan)
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            self._settle()
            self._count_used()
            while True:
                while self._queue and not self._stop and len(self._active) < self.limit:
                    self._next(alone)
                if not self._active:
                    break
                self._wait()
            for date in self._queue:
                day = Day(date)
                day.status, day.action, day.why = "not_started", "none", self._stop
                self._end(day)
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            locks.release(alone)
        return self._exit_status()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = self._signalled or number
        self._stop = "interrupted"
        for process in self._active.values():
            os.kill(process.pid, number)  # it is not reaped yet, so the number is still its own

    def _settle(self) -> None:
        """Say what is known already, so that it does not depend on how far we get."""
        self.known.look()
        left: deque[str] = deque()
        for date in self._queue:
            day = self.known.decide(date)
            if day.action == "none":
                self._end(day)
            else:
                left.append(date)
        self._queue = left

    def _end(self, day: Day) -> None:
        self.ended.append(day)
        self.done(day)

    # -- the budget

    def _count_used(self) -> None:
        """What earlier invocations for the same days have used."""
        if self.budget:
            for date in self._wanted:
                for summary in self.known.runs.get(date, []):
                    self._used[summary["run_id"]] = used(summary["run_id"], self.mark)

    def _is_used_up(self) -> bool:
        if not self.budget:
            return False
        for process in self._active.values():
            process.hear()
            if process.day.run_id is not None:
                self._used[process.day.run_id] = used(process.day.run_id, self.mark)
        total = self.total()
        if not total.reaches(self.budget):
            return False
        self.note(f"the budget is used up: {total.words(self.budget)}")
        which = f"{self.plan['name']} {self.mark} {sorted(self.budget.items())}"
        said = f"backfill of {self.plan['name']}, {self.mark}: the budget is used up: {total.words(self.budget)}"
        alerts.used_up(self.plan["name"], which, said)
        return True

    def total(self) -> Used:
        return sum(self._used.values(), Used())

    # -- a day's process

    def _next(self, alone: int) -> None:
        if self._is_used_up():
            self._stop = "the budget is used up"
            return
        self.known.look()
        day = self.known.decide(self._queue.popleft())
        if day.action == "none":
            self._end(day)  # somebody has done it meanwhile
            return
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # what comes from here on is for the new process too
        if not self._signalled:
            pid = os.fork()
            if pid == 0:
                try:
                    # With our copies the backfill would look alive after its death, and listening.
                    for fd in (alone, ours, *self._active):
                        os.close(fd)
                    self._child(day, theirs)
                finally:
                    os._exit(FAILED)  # whatever signal comes at its end, the child must not go on as its parent
            self._active[ours] = _Process(pid, day, ours, self.progress(day.date))
        else:
            os.close(ours)
            self._queue.appendleft(day.date)
        os.close(theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _child(self, day: Day, pipe: int) -> NoReturn:
        """The life of a day's engine."""
        code = FAILED
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            launch.leave_terminal(None)  # whoever reads what the parent says must not have to wait for us
            run, resumed = self._made(day)
            _say(pipe, run_id=run.run_id)
            launch.leave_terminal(run)

            def tell(step: str, status: str, seconds: float | None, error: str | None) -> None:
                _say(pipe, wait=False, news=[step, status, seconds, error and error[:500]])

            code = launch.carry_on(run, tell, resumed=resumed, backfill=self.mark)[1]
        except ColonyError as error:
            code = error.code
            _say(pipe, error=str(error)[:500], no_place=isinstance(error, launch.NoPlace))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            code = BUG
            _say(pipe, error=f"a bug in Colony: {type(error).__name__}: {escape(error)}"[:500])
        except BaseException:
            code = TERMINATED
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _made(self, day: Day) -> tuple[runs.Run, bool]:
        """(the day's run, made or opened again and held; whether it is a resumed one)."""
        more = {"backfill": self.mark}
        if day.action == "resume" and day.run_id is not None:
            run, held = launch.reopen(day.run_id)
            if held:
                return run, True
        elif day.action == "rerun" and day.run_id is not None:
            from colony_lib.work import rerun

            made = rerun.prepare(day.run_id, failed=True, trigger="backfill", more=more)
            if made is not None:
                return made[0], False
        else:
            dates = launch.logical_dates(self.plan, day.date)
            return launch.begin(self.plan, self.given, dates, "backfill", more)[0], False
        raise ColonyError(f"the run '{day.run_id}' has been completed meanwhile", code=BUSY)

    # -- its end

    def _wait(self) -> None:
        """Hear what the days' processes say until one of them has ended, and what came of its day."""
        poll = select.poll()
        for pipe in self._active:
            poll.register(pipe, select.POLLIN)
        process = next((self._active[pipe] for pipe, _ in poll.poll() if not self._active[pipe].hear()), None)
        if process is None:
            return
        del self._active[process.pipe]  # from here on no signal is passed on to it: it is at its end
        status = os.waitpid(process.pid, 0)[1]
        os.close(process.pipe)
        day = process.day
        if day.run_id is None or day.error is not None:
            self._not_done(process, os.waitstatus_to_exitcode(status))
            return
        run = runs.load(day.run_id)
        summary = run.summary()
        day.status, day.seconds, day.error = summary["status"], summary["duration_seconds"], run.error
        if self.budget:
            self._used[day.run_id] = used(day.run_id, self.mark)
        self._end(day)
        if day.status in ("failed", "cancelled"):
            self._failed(day)

    def _not_done(self, process: _Process, code: int) -> None:
        """The day's process has ended before it made the day's run, or could not run it to an end."""
        day = process.day
        if process.no_place and self._active and not self._stop:
            # A run of somebody else's has taken a place: go on with those that are left, and do this day later.
            self.limit = len(self._active)
            self._queue.appendleft(day.date)
            return
        if process.no_place and not self._stop:
            self._stop = day.error
        day.action = "none"
        day.why, day.error = day.error or self._stop or "its process was ended before its run began", None
        if day.run_id is None:
            day.status = "not_started"
        else:
            day.status = runs.load(day.run_id).status  # perhaps somebody else runs it now
        self._end(day)
        if code > 0 and code not in (BUSY, INTERRUPTED, TERMINATED):
            self._failed(day)

    def _failed(self, day: Day) -> None:
        self._has_failed = True
        if self.stop_on_failure and not self._stop:
            self._stop = f"{day.date} failed"

    def _exit_status(self) -> int:
        if self._signalled:
            return INTERRUPTED if self._signalled == signal.SIGINT else TERMINATED
        if self._has_failed:
            return FAILED
        return OK if all(day.status == "completed" for day in self.ended) else BUSY
