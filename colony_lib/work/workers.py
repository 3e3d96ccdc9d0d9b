"""The worker processes of one run on this machine: made when there is work for them, kept while there is."""

from __future__ import annotations

import select

from colony_lib.base.errors import ColonyError
from colony_lib.work.pool import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.store import runs

    Record = dict[str, Any]

_UNBORN = 10  # workers in a row that may die before they have got the job that they were made for


class Workers:
    """As many as the run's `max_parallel` says, at most. What they say can be read where `poll` says so."""

    def __init__(self, run: runs.Run, poll: select.poll) -> None:
        self._run = run
        self._poll = poll
        self._by_fd: dict[int, Worker] = {}
        self._idle: list[Worker] = []

    @property
    def are_busy(self) -> bool:
        """Whether any of them does something."""
        return any(worker.job is not None for worker in self._by_fd.values())

    def have_room(self) -> bool:
        """Whether one more job can be done now."""
        return bool(self._idle) or len(self._by_fd) < self._run.plan["max_parallel"]

    def send(self, job: Record, avoid: set[str]) -> None:
        """Give one of them the job; a new one gets a slot that is none of those to `avoid`. ColonyError when new ones
        die again and again."""
        unborn = 0
        while unborn < _UNBORN:
            worker = self._idle.pop() if self._idle else self._new(avoid)
            try:
                worker.send(job)
                return
            except OSError:
                unborn += not self._idle
                self._forget(worker)  # it died before: the job is another's, and not in doubt
        raise ColonyError(
            f"{_UNBORN} processes in a row died before they could be given the step '{job['step']}'",
            fix=f"see what the system's log says of them, then 'colony workflow resume {self._run.run_id}'",
        )

    def _new(self, avoid: set[str]) -> Worker:
        # A worker that has died unnoticed leaves its slot free, and is looked for there when it is noticed.
        worker = Worker(self._run, avoid | {each.slot for each in self._by_fd.values()})
        self._by_fd[worker.fd] = worker
        self._poll.register(worker.fd, select.POLLIN)
        return worker

    def hear(self, fd: int) -> Iterator[tuple[str, Any]]:
        """What has come from a worker:

        ('ended', record)  an attempt's last record, which is in the journal already
        ('lost', (job, slot))  it has died while it did the job there
        """
        worker = self._by_fd[fd]
        records = worker.receive()
        if records is None:
            self._forget(worker)
            if worker.job is not None:
                yield "lost", (worker.job, worker.slot)
            return
        for record in records:
            worker.job = None
            self._idle.append(worker)
            yield "ended", record

    def _forget(self, worker: Worker) -> None:
        self._poll.unregister(worker.fd)
        del self._by_fd[worker.fd]
        if worker in self._idle:  # what was written to its closed pipe could come to any file opened since
            self._idle.remove(worker)
        worker.close()

    def tell_stop(self) -> None:
        """Ask for the end of what they do."""
        for worker in self._by_fd.values():
            if worker.job is not None:
                worker.tell_stop()

    def close(self) -> None:
        """Let all of them go."""
        for worker in self._by_fd.values():
            worker.close()
