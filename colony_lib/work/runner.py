"""The engine's loop: starts what may start, waits, records, until the run has an end."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import select
import time

from colony_lib.base import locks
from colony_lib.base.errors import BUSY, FAILED, INTERRUPTED, OK, TERMINATED, ColonyError
from colony_lib.store import paths, runs
from colony_lib.work import adoption
from colony_lib.work.engine import LOCAL, Schedule, executor
from colony_lib.work.executors import Executors
from colony_lib.work.jobs import Jobs
from colony_lib.work.news import News
from colony_lib.work.pool import remove_scratch
from colony_lib.work.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any

    from colony_lib.work.reuse import Reuse

    Record = dict[str, Any]

LOOK = 0.2  # seconds between looks for a wish to cancel, and at attempts that other processes do
EXIT = {"completed": OK, "failed": FAILED, "cancelled": FAILED, "waiting": BUSY, "interrupted": INTERRUPTED}


class _Stopped(Exception):
    """The run is to end, or has failed, while it was found out whether a step's work had been done before."""


class Runner:
    """Runs one run, whose 'alive' lock the caller holds. `tell(step, status, seconds, error)` hears of progress."""

    def __init__(self, run: runs.Run, tell: Callable[[str, str, float | None, str | None], None]) -> None:
        self.run = run
        self.journal = runs.Journal(run.run_id)
        self.news = News(run, tell)
        self.orphans: list[adoption.Orphan] = []
        self.signalled = 0
        self._unsynced = False  # completions that are in the journal and perhaps not on the disk
        self._looked = 0.0
        self._stopping: str | None = None
        self._reuse: Reuse | None = None
        self._poll = select.poll()
        self._workers = Workers(run, self._poll)
        self._executors = Executors(run, self._poll)

    # -- the whole

    def go(self, *, resumed: bool = False, only: str | None = None, backfill: str | None = None) -> str:
        """Run to the end and return the run's status; with `only` just that step, which must be able to start.
        `backfill` is the range of days for which it is run, kept with what it uses from here on."""
        if resumed and only is None:
            tell_of(self.run)  # its engine may have been killed before it could
        self.orphans = adoption.settle(self.run, self.journal)
        if only is None:
            why = {} if backfill is None else {"backfill": backfill}
            self._note(runs.record("run_started", pid=os.getpid(), resumed=resumed, **why))
        self.only = only
        self.schedule = Schedule(self.run, only or self.run.header.get("only"))
        self.jobs = Jobs(self.run, self.schedule)
        for orphan in self.orphans:
            self.schedule.adopt(orphan.step, orphan.batch)
        wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = [(number, signal.signal(number, self._on_signal)) for number in _SIGNALS]
        old_wake = signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        self._poll.register(wake_r, select.POLLIN)
        self._wake = wake_r
        status = None
        try:
            self._loop()
            status = self._outcome()
            if only is None:
                self._finish(status)
            else:
                self.journal.sync()
            return status
        finally:
            signal.set_wakeup_fd(old_wake)
            for number, handler in before:
                signal.signal(number, handler)
            self._workers.close()
            self._executors.close()
            if self._reuse is not None:
                self._reuse.close()
            if status not in (None, "interrupted"):  # then what outlived an engine may still be at work
                remove_scratch(self.run.run_id)
            self.news.flush()
            self.journal.close()
            os.close(wake_r)
            os.close(wake_w)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signalled = self.signalled or number

    def _loop(self) -> None:
        while True:
            if not self._stopping:
                self._dispatch()
            self._write_news()
            if self.schedule.is_over() or (self._stopping and not self.schedule.active):
                return
            self._wait()

    def _wait(self) -> None:
        """Wait for a worker's word, a signal, a retry's time, or the next look around; then take in what came."""
        self.news.pass_on()
        now = time.monotonic()  # not the wall clock, which may be set meanwhile
        until = now + LOOK
        for due in (self.schedule.wake(), self.news.due):
            if due is not None and due < until:
                until = due
        self._take_in(self._poll.poll(max(until - now, 0.0) * 1000))
        if self.news.due is not None and time.monotonic() >= self.news.due:
            self.news.flush()

    def _take_in(self, ready: list[tuple[int, int]]) -> None:
        for fd, _ in ready:
            if fd == self._wake:
                os.read(fd, 512)
            else:
                self._hear(self._executors.hear(fd) if self._executors.has(fd) else self._workers.hear(fd))
        now = time.monotonic()
        if self.signalled and not self._stopping:
            self._stop("interrupted")
        if now - self._looked >= LOOK:
            self._looked = now
            self._look_around()

    def _look_around(self) -> None:
        if not locks.restore() and not self._stopping:
            self._stop("interrupted")  # the locks were removed, and another engine has begun to run this
        if not self._stopping and os.path.exists(runs.cancel_file(self.run.run_id)):
            self._stop("cancelled")
        if self._stopping:
            for job in self._executors.given_up():
                self.schedule.active.discard((job["step"], job["batch"]))
        for orphan in list(self.orphans):
            record = orphan.look(self.run, self.journal)
            if record is not None:
                self.orphans.remove(orphan)
                self._apply(record)

    def _stop(self, why: str) -> None:
        """Start nothing more and end what is being done."""
        self._stopping = why
        self._take_back()
        if why == "interrupted":
            self._executors.tell_stop()
            for orphan in self.orphans:  # not our children: they go on, and the next resume finds them
                self.schedule.active.discard((orphan.step, orphan.batch))
            self.orphans = []
            self._workers.tell_stop()

    def _take_back(self) -> None:
        """What a cluster has not begun is not to begin any more."""
        for job in self._executors.take_back():
            self.schedule.active.discard((job["step"], job["batch"]))

    # -- starting

    def _has_room(self, where: str) -> bool:
        """Whether that executor can do one more unit now."""
        most = self.run.plan.get("max_parallel_of_all")
        if most is not None and len(self.schedule.active) >= most:
            return False
        if where != LOCAL and not self._executors.is_local(where):
            return self._executors.has_room(where)
        limit = self._executors.limit(where)
        if limit is not None and self._active_on(where) >= limit:
            return False
        return self._workers.have_room()

    def _active_on(self, where: str) -> int:
        return sum(executor(self.run.step(name).definition) == where for name, _ in self.schedule.active)

    def _dispatch(self) -> None:
        while not self._stopping:
            unit = self.schedule.next(time.monotonic(), self._has_room)
            if unit is None:
                if self.schedule.failure:
                    self._take_back()
                return
            name, batch = unit
            try:
                job = self.jobs.make(name, batch)
            except ColonyError as error:
                self._failed({"step": name, "batch": batch}, str(error))
                continue
            if self.run.step(name).definition.get("cache") is not None and self._is_reused(job):
                continue
            if self._unsynced and self.run.step(name).definition["depends_on"]:
                # What this step depends on must be on the disk before it starts.
                self._sync()
            where = executor(self.run.step(name).definition)
            if self._executors.is_local(where):
                self._send(job)
            else:
                self._send_away(where, job)

    def _send(self, job: Record) -> None:
        self._workers.send(job, self._slots_of_orphans())
        self.news.started(job)

    def _send_away(self, where: str, job: Record) -> None:
        try:
            self._executors.send(where, job, self._slots_of_orphans())
        except ColonyError as error:
            self._failed(job, str(error))
        else:
            self.news.sent(job, where)

    def _slots_of_orphans(self) -> set[str]:
        return {orphan.slot for orphan in self.orphans}

    def _failed(self, job: Record, error: str) -> None:
        """The step fails without an attempt."""
        record = runs.record("step_failed", step=job["step"], batch=job["batch"], error=error)
        self._note(record)
        self.news.decided(record)
        self._ended(job["step"], job["batch"])

    def _is_reused(self, job: Record) -> bool:
        """Whether an earlier success's output takes the job's place, or nothing is to be done any more at all."""
        from colony_lib.work.reuse import Reuse

        self._reuse = self._reuse or Reuse(self.run, self.schedule, self._breathe)
        name, batch = job["step"], job["batch"]
        try:
            record = self._reuse.look(job)
            self._breathe()
        except _Stopped:
            self.schedule.active.discard((name, batch))
            return True
        if record is not None:
            self._note(record)
            self.news.decided(record)
        if self.run.step(name).unit(batch).status != "cached":
            return False
        self._ended(name, batch)
        return True

    def _breathe(self) -> None:
        """Between the reads of large inputs: hear what workers say. _Stopped when nothing more is to be started."""
        if time.monotonic() - self._looked >= LOOK:
            self._take_in(self._poll.poll(0))
        if self._stopping or self.schedule.failure:
            raise _Stopped

    # -- hearing

    def _hear(self, news: Iterable[tuple[str, Any]]) -> None:
        """Take in what workers and clusters say of their jobs and of themselves."""
        for kind, what in news:
            if kind == "ended":
                self._apply(what)
            elif kind == "lost":  # the command may live on, and is then waited for like any orphan
                self.orphans.append(adoption.Orphan.of_job(*what))
            elif kind == "back" and not self._stopping:
                self.schedule.take_back(what["step"], what["batch"])
            elif kind == "back":
                self.schedule.active.discard((what["step"], what["batch"]))
            elif kind == "failed":
                self._failed(*what)
            elif kind == "orphan" and self._stopping != "interrupted":
                self.orphans.append(adoption.Orphan.of_job(*what))
            elif kind == "orphan":  # it goes on without us, and the next resume finds it
                self.schedule.active.discard((what[0]["step"], what[0]["batch"]))
            else:
                self.news.said(*what)

    def _apply(self, record: Record) -> None:
        """Take in an attempt's last record, which is in the journal already."""
        self.run.apply(record)
        self._unsynced = True
        self.news.ended(record)
        if record["status"] == "cancelled" and not self._stopping:
            self._stop("cancelled")  # its worker has seen the wish before us
        if record["step"] in self.run.steps:
            self._ended(record["step"], record["batch"])

    def _ended(self, name: str, batch: int | None) -> None:
        self.schedule.ended(name, batch, time.monotonic())

    # -- recording

    def _note(self, record: Record) -> None:
        self.journal.append(record)
        self.run.apply(record)
        self._unsynced = True

    def _write_news(self) -> None:
        if self.schedule.news:
            self.journal.append(*self.schedule.news)
            for record in self.schedule.news:
                self.news.decided(record)
            self.schedule.news.clear()
            self._unsynced = True

    def _sync(self) -> None:
        self.journal.sync()
        self._unsynced = False

    # -- the end

    def _outcome(self) -> str:
        if self._stopping:
            return self._stopping
        if self.schedule.failure:
            return "failed"
        if self.schedule.waiting:
            return "waiting"
        left = self.schedule.unsettled() if self.only is None else None
        if left is not None:
            # Not to be had from what is written here: the journal is not what it was. Never call that completed.
            said = f"it is {self.run.steps[left].status}, and nothing makes it: the run's journal is damaged"
            self.schedule.failure = left, said
            return "failed"
        return "completed"

    def _finish(self, status: str) -> None:
        error = None
        if status in ("failed", "cancelled"):
            records = [
                runs.record("step_cancelled", step=name)
                for name, step in self.run.steps.items()
                if step.status in ("pending", "retrying")
            ]
            for record in records:
                self.run.apply(record)
            self.journal.append(*records)
        if status == "failed" and self.schedule.failure:
            name, said = self.schedule.failure
            error = f"{name}: {said}"
            self._handle_failure({"step": name, "error": said})
            if self._stopping:
                status = self._stopping
        self._note(runs.record("run_ended", status=status, error=error))
        self._sync()
        self.news.run_ended(status, error)
        runs.keep_summary(self.run)
        tell_of(self.run)

    def _handle_failure(self, failure: Record) -> None:
        """Do the error_handling steps, one after the other; the run stays failed whatever comes of them."""
        for name, step in self.run.handlers.items():
            while step.status in ("pending", "retrying") and not self._stopping:
                try:
                    job = self.jobs.make(name, None, failure)
                except ColonyError as error:
                    self._note(runs.record("step_failed", step=name, error=str(error)))
                    break
                self._sync()
                self._send(job)
                while self._workers.are_busy or self.orphans:
                    self._wait()
                if step.status == "retrying":
                    time.sleep(min(step.definition["retry"]["delay_seconds"], 60.0))


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def tell_of(run: runs.Run) -> None:
    """Send the alerts of colony.yml that the run sets off."""
    from colony_lib.store import alerts

    alerts.of_run(run)


def hold(run_id: str) -> int:
    """The held lock that says the run is alive. ColonyError (BUSY) when another process runs it."""
    path = paths.run_lock(run_id, "alive")
    fd = locks.try_hold(path, note=f"process {os.getpid()}")
    if fd is None:
        raise ColonyError(
            f"the run '{run_id}' is being run by another process ({locks.note(path) or 'unknown'})",
            fix=f"watch it with 'colony workflow status {run_id}'",
            code=BUSY,
        )
    return fd


def exit_status(status: str, signalled: int) -> int:
    """The exit status for a run that ended so; a terminated one differs from one interrupted at the keyboard."""
    if status == "interrupted":
        return INTERRUPTED if signalled in (0, signal.SIGINT) else TERMINATED
    return EXIT[status]
