"""Attempts that outlived the engine that started them: found by their held locks, waited for, and settled."""

from __future__ import annotations

import os
import time

from colony_lib.base import clock, locks
from colony_lib.store import paths, runs
from colony_lib.work import outcome, tickets
from colony_lib.work.wrapper import end_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_FINISHING = 15.0  # seconds that a wrapper which turned into a finisher gets, between one lock and the next
_BEGINNING = 5.0  # seconds in which a process that has the lock of its slot says in the journal that it begins
_LATE = 15.0  # seconds past its deadline at which an attempt without a supervisor is ended


class Orphan:
    """One attempt that began, has no end in the journal, and is not ours."""

    def __init__(
        self, step: str, batch: int | None, attempt: int, slot: str, deadline: float | None, scratch: str
    ) -> None:
        self.step = step
        self.batch = batch
        self.attempt = attempt
        self.slot = slot
        self.deadline = deadline
        self.scratch = scratch
        self._ended_by_us: str | None = None
        self._free_since: float | None = None
        self._begun = False  # whether the journal knows of its beginning

    @classmethod
    def of_job(cls, job: Record, slot: str) -> Orphan:
        """The attempt of a worker of ours that died."""
        limit = job.get("timeout_seconds")
        deadline = None if limit is None else clock.epoch() + limit
        return cls(job["step"], job["batch"], job["attempt"], slot, deadline, "")

    def look(self, run: runs.Run, journal: runs.Journal) -> Record | None:
        """The attempt's last record once it is over, else None."""
        if locks.is_held(paths.run_lock(run.run_id, self.slot)):
            self._end_if_asked(run)
            return None
        found = self._record(run)
        if found is not None:
            return found
        now = time.monotonic()
        self._free_since = self._free_since or now
        if self._is_finishing(run) and now - self._free_since < _FINISHING:
            return None
        status, error = "interrupted", "interrupted: its processes ended before what they did was recorded"
        if not self._begun:
            error = "interrupted: its process ended before the command was started"
        if self._ended_by_us == "timeout":
            status, error = "failed", "timed out while nobody watched it"
        elif self._ended_by_us == "cancel":
            status, error = "cancelled", "cancelled"
        identity = {"step": self.step, "batch": self.batch, "attempt": self.attempt}
        more = outcome.agent_fields(paths.attempt(run.run_id, self.step, self.batch, self.attempt), 0)
        record = runs.record("attempt_ended", **identity, status=status, error=error, begun=self._begun, **more)
        journal.append(record)
        return record

    def _record(self, run: runs.Run) -> Record | None:
        """Its last record, if somebody has written one."""
        for record in run.records():
            if (
                record.get("type") == "attempt_ended"
                and record.get("step") == self.step
                and record.get("batch") == self.batch
                and record.get("attempt") == self.attempt
            ):
                return record
            if record.get("type") == "attempt_started" and self._is_mine(record):
                self.scratch = record.get("scratch") or ""
                self._begun = True
        return None

    def _is_mine(self, record: Record) -> bool:
        mine = (self.step, self.batch, self.attempt)
        return (record.get("step"), record.get("batch"), record.get("attempt")) == mine

    def _is_finishing(self, run: runs.Run) -> bool:
        """Whether its wrapper has written the exit status and is about to record it (work/wrapper.py). What another
        machine has written we cannot see: then it may be so."""
        if self._is_elsewhere(run):
            return True
        return bool(self.scratch) and os.path.exists(self.scratch + ".status")

    def _is_elsewhere(self, run: runs.Run) -> bool:
        """Whether its processes are, or were, another machine's: their numbers mean nothing here."""
        note = locks.note(paths.run_lock(run.run_id, self.slot)).split()
        return len(note) == 3 and note[1] != tickets.host()

    def _end_if_asked(self, run: runs.Run) -> None:
        cancelled = os.path.exists(runs.cancel_file(run.run_id))
        late = self.deadline is not None and clock.epoch() > self.deadline + _LATE
        if self._ended_by_us or not (cancelled or late) or self._is_elsewhere(run):
            return
        # The lock is held and holds the wrapper's pid, so that pid is the wrapper's and no other process's.
        note = locks.note(paths.run_lock(run.run_id, self.slot)).split()
        if note and note[0].isdigit():
            self._ended_by_us = "cancel" if cancelled else "timeout"
            end_group(int(note[0]), lambda: True)


def settle(run: runs.Run, journal: runs.Journal) -> list[Orphan]:
    """Look at every attempt that the journal calls running: those that are over get their last record; returns
    those that are alive, which must be waited for. An error_handling step that is alive is waited for here: it
    belongs to a failure that was before. What was sent to a cluster and has not begun is taken back. The run's 'alive'
    lock is held."""
    _wait_for_beginnings(run)
    alive = []
    started: dict[tuple[str, int | None], Record] = {}
    for record in run.records():
        if record.get("type") == "attempt_started":
            key = record["step"], record.get("batch")
            if key not in started or record["attempt"] >= started[key]["attempt"]:
                started[key] = record
    for name, step in {**run.steps, **run.handlers}.items():
        for batch, unit in step.units.items():
            if unit.status != "running" or (name, batch) not in started:
                continue
            record = started[name, batch]
            limit = step.definition.get("timeout_seconds")
            deadline = None if limit is None else clock.seconds(record["ts"]) + limit
            orphan = Orphan(name, batch, record["attempt"], record["slot"], deadline, record.get("scratch") or "")
            ended = orphan.look(run, journal)
            while ended is None and name in run.handlers:
                time.sleep(0.05)
                ended = orphan.look(run, journal)
            if ended is not None:
                run.apply(ended)
            else:
                alive.append(orphan)
    return alive


def _wait_for_beginnings(run: runs.Run) -> None:
    """Take back what has not begun elsewhere, and see in the run what has: whoever had taken the lock of a slot by then
    is about to say in the journal that he begins."""
    slots = tickets.take_back_all(run.run_id)
    deadline = time.monotonic() + _BEGINNING
    while slots:
        for record in run.records():
            run.apply(record)
        units = [unit for step in run.steps.values() for unit in step.units.values()]
        known = {unit.slot for unit in units if unit.status == "running"}
        slots = [slot for slot in slots if slot not in known and locks.is_held(paths.run_lock(run.run_id, slot))]
        if time.monotonic() > deadline:
            return
        if slots:
            time.sleep(0.05)
