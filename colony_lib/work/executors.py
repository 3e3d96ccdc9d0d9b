"""Where a run's steps are done: on this machine, or on the clusters that colony.yml calls executors."""

from __future__ import annotations

import time

from colony_lib.base.errors import ColonyError
from colony_lib.work.engine import LOCAL, executor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.store import runs
    from colony_lib.work.remote import Remote

    Record = dict[str, Any]
    Key = int | None

_REFUSALS = 3  # times that a cluster may give one job back without having begun it
_STOPPING = 15.0  # seconds that what is done elsewhere gets to end when the engine ends


class Executors:
    """The clusters of one run, each connected to when there is the first step for it."""

    def __init__(self, run: runs.Run, poll: select.poll) -> None:
        self._run = run
        self._poll = poll
        self._settings: dict[str, Record] = {}
        self._remotes: dict[str, Remote] = {}
        self._by_fd: dict[int, Remote] = {}
        self._refusals: dict[tuple[str, Key], int] = {}
        self._give_up = 0.0
        if any(executor(step.definition) != LOCAL for step in run.steps.values()):
            from colony_lib.store import config

            self._settings = {each["name"]: each for each in config.load()["executors"]}

    @property
    def slots(self) -> set[str]:
        """Those of the attempts that are with a cluster."""
        return {slot for remote in self._remotes.values() for slot in remote.jobs}

    def has(self, fd: int) -> bool:
        return fd in self._by_fd

    def is_local(self, name: str) -> bool:
        """Whether its steps are done on this machine. ColonyError when colony.yml has no such executor (any more)."""
        return name == LOCAL or self._setting(name)["type"] == LOCAL

    def limit(self, name: str) -> int | None:
        """How many steps an executor on this machine may do at once; None when it does not say."""
        found: int | None = None if name not in self._settings else self._settings[name]["max_parallel"]
        return found

    def _setting(self, name: str) -> Record:
        from colony_lib.store import config

        return config.executor({"executors": list(self._settings.values())}, name)

    def has_room(self, name: str) -> bool:
        """Whether that cluster takes a job now; it is connected to from here on."""
        if name not in self._remotes:
            from colony_lib.work.remote import Remote, resolved

            self._remotes[name] = Remote(self._run, resolved(self._setting(name)))
            self._listen(self._remotes[name])
        return self._remotes[name].has_room()

    def _listen(self, remote: Remote) -> None:
        import select

        self._by_fd = {fd: each for fd, each in self._by_fd.items() if each is not remote}
        if remote.fd >= 0:
            self._by_fd[remote.fd] = remote
            self._poll.register(remote.fd, select.POLLIN)

    def send(self, name: str, job: Record, avoid: set[str]) -> None:
        """Give the job to that cluster. ColonyError when nothing can be done there any more."""
        remote = self._remotes[name]
        if remote.failure is not None:
            raise ColonyError(f"the executor '{name}': {remote.failure}")
        remote.send(job, avoid | self.slots, self._run.step(job["step"]).definition.get("resources"))

    def hear(self, fd: int) -> Iterable[tuple[str, Any]]:
        """What has come from a cluster:

        ('ended', record)  an attempt's last record, which is in the journal already
        ('back', job)      the attempt has not begun and will not: it can be given away again
        ('failed', (job, why))  the same, too often
        ('orphan', (job, slot))  it has begun, and nobody there knows what became of it
        ('said', (level, words))  what the log should say of the cluster
        """
        remote = self._by_fd[fd]
        self._poll.unregister(fd)
        news = remote.receive()
        self._listen(remote)
        for each in news:
            if "state" in each:
                yield "said", _words(remote.name, each)
            elif each["slot"] not in remote.jobs:
                continue  # taken back meanwhile
            elif "ended" in each:
                del remote.jobs[each["slot"]]
                yield "ended", each["ended"]
            else:
                yield self._unknown(remote, each)

    def _unknown(self, remote: Remote, news: Record) -> tuple[str, Any]:
        slot = news["slot"]
        job = remote.jobs[slot]
        if remote.has_begun(slot):
            return "orphan", (job, slot)
        unit = job["step"], job["batch"]
        why = news.get("refused")
        if why is None:
            return "back", job
        self._refusals[unit] = self._refusals.get(unit, 0) + 1
        if self._refusals[unit] < _REFUSALS:
            return "back", job
        return "failed", (job, f"the executor '{remote.name}' cannot do it: {why}")

    # -- the end

    def take_back(self) -> list[Record]:
        """The jobs that are with a cluster and have not begun; they never will."""
        return [job for remote in self._remotes.values() for job in remote.take_back()]

    def tell_stop(self) -> None:
        """Ask for the end of all that has begun elsewhere."""
        self._give_up = time.monotonic() + _STOPPING
        for remote in self._remotes.values():
            remote.tell_stop()

    def given_up(self) -> list[Record]:
        """After `tell_stop`: the jobs of which nobody has heard in time; they go on without us."""
        found: list[Record] = []
        if self._give_up and time.monotonic() > self._give_up:
            for remote in self._remotes.values():
                found += remote.jobs.values()
                remote.jobs.clear()
        return found

    def close(self) -> None:
        for remote in self._remotes.values():
            remote.close()


def _words(name: str, news: Record) -> tuple[str, str]:
    """(level, words) for the log."""
    who = f"executor '{name}'"
    if news["state"] == "here":
        return "info", f"{who}: {news['workers']} workers with {news['threads']} threads"
    level = "error" if news["state"] == "failed" else "warn"
    return level, f"{who}: {news['why']}"
