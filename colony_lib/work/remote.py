"""The engine's end of one cluster: the jobs that it has been given, and the process that holds the connection
(work/broker.py)."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import sys
import time

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import env, executor_rules, paths, runs
from colony_lib.work import context, tickets
from colony_lib.work.spawn import LIBRARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_PIECE = 1 << 20  # bytes
# Not an executable's text: a cluster's workers that are started from there would run that again.
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from colony_lib.work import broker; sys.exit(broker.main())"
_DEATHS = 3  # brokers that may die
_LEAVING = 2.0  # seconds that a broker may take to let go of a cluster
_ENDING = 60.0  # seconds that the end of a cluster may take which was started for the run
_AHEAD = 32  # jobs beyond its threads that a cluster has, so that it does not wait for us


class Remote:
    """One executor of a run that is a cluster. `fd` is where its news can be read."""

    def __init__(self, run: runs.Run, executor: Record) -> None:
        self.executor = executor
        self.name: str = executor["name"]
        self.jobs: dict[str, Record] = {}  # what is with the cluster, by slot
        self.is_here = False
        self.failure: str | None = None  # why nothing can be done there any more
        self._run = run
        self._threads = 0
        self._deaths = 0
        self._start()

    def _start(self) -> None:
        """Start the broker, in a session of its own: what is typed at the terminal is for the engine."""
        script = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), "colony-run-step")
        setup = {
            "run": self._run.run_id,
            "root": paths.root(),
            "python": sys.executable,
            "script": script,
            "environment": env.environ(),
        }
        source, self._to = os.pipe2(os.O_CLOEXEC)
        self.fd, answers = os.pipe2(os.O_CLOEXEC)
        log = os.open(
            os.path.join(self._run.folder, f"executor-{self.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666
        )
        places = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, answers, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-c", _PROGRAM, LIBRARY, f"colony-broker-{self.name}"],
                env.environ(),
                file_actions=places,
                setsid=True,
            )
        finally:
            for fd in (source, answers, log):
                os.close(fd)
        self._buffer = b""
        self._say({"executor": self.executor, "setup": setup})

    def _say(self, order: Record) -> None:
        try:
            files.write_all(self._to, jsontext.dumps(order).encode() + b"\n")
        except OSError:
            return  # it has died, and its end of the other pipe says so

    # -- jobs

    def has_room(self) -> bool:
        """Whether it takes one more job now. One that has failed takes all, to fail them."""
        if self.failure is not None:
            return True
        most = self.executor["max_parallel"] or self._threads + max(self._threads, _AHEAD)
        return self.is_here and len(self.jobs) < most

    def send(self, job: Record, avoid: set[str], resources: Record | None) -> None:
        """Give it a job, in a slot of its own that is none of those to `avoid`."""
        slot, ticket = tickets.issue(self._run.run_id, avoid)
        self.jobs[slot] = job
        asked = executor_rules.amounts(self.executor, resources)
        self._say({"job": {**context.packed(job), "slot": slot, "ticket": ticket}, "resources": asked})
        job["ticket"] = ticket

    def receive(self) -> list[Record]:
        """What has come: {slot, ended | lost | refused} of jobs, {state, …} of the cluster."""
        data = os.read(self.fd, _PIECE)
        if not data:
            return self._died()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        found = []
        for line in lines:
            news = jsontext.loads(line)
            if news.get("state") == "here":
                self.is_here, self._threads = True, news["threads"]
            elif news.get("state") == "away":
                self.is_here = False
            elif news.get("state") == "failed":
                self.is_here, self.failure = False, news["why"]
            found.append(news)
        return found

    def _died(self) -> list[Record]:
        self._deaths += 1
        self.is_here = False
        self._reap()
        why = f"the process that was connected to it has ended (see executor-{self.name}.log in the run's folder)"
        news: list[Record] = [{"slot": slot, "lost": why} for slot in self.jobs]
        if self._deaths < _DEATHS:
            self._start()
            return [*news, {"state": "away", "why": why}]
        self.failure = why
        self.fd = -1
        return [*news, {"state": "failed", "why": why}]

    def has_begun(self, slot: str) -> bool:
        """Whether the job's attempt has begun; when not, it never will now. The job is ours no more either way."""
        job = self.jobs.pop(slot)
        return not tickets.take_back(self._run.run_id, slot, job["ticket"])

    def take_back(self) -> list[Record]:
        """The jobs that had not begun, which now never will."""
        taken = [slot for slot, job in self.jobs.items() if tickets.take_back(self._run.run_id, slot, job["ticket"])]
        if taken and self.fd >= 0:
            self._say({"forget": taken})
        return [self.jobs.pop(slot) for slot in taken]

    def tell_stop(self) -> None:
        """Ask for the end of what is being done; it comes as news, if the cluster can be reached."""
        if self.jobs and self.fd >= 0:
            self._say({"stop": list(self.jobs)})

    # -- the end

    def close(self) -> None:
        """Let the broker go, and with it a cluster that was started for this run."""
        if self.fd >= 0:
            self._reap()
            self.fd = -1

    def _reap(self) -> None:
        os.close(self._to)
        os.close(self.fd)
        deadline = time.monotonic() + (_LEAVING if self.executor["deploy"] is None else _ENDING)
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.monotonic() >= deadline:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                return
            time.sleep(0.005)


def resolved(executor: Record) -> Record:
    """The executor of colony.yml with its variables filled in and its path whole. ColonyError when this machine cannot
    hand work to it: a variable is not set, Dask is not installed."""
    if executor["type"] != "dask":
        return executor
    import importlib.util

    from colony_lib.store import variables

    who = f"the executor '{executor['name']}'"
    if importlib.util.find_spec("distributed") is None:
        what = f"{who} needs the package distributed, which is not installed"
        raise ColonyError(what, fix="pip install 'colony[dask]'")
    found = dict(executor)
    for key in ("address", "scheduler_file"):
        if found[key] is not None:
            found[key] = variables.expand(found[key], env.environ(), who=who)
    if found["scheduler_file"] is not None:
        found["scheduler_file"] = os.path.join(paths.root(), os.path.expanduser(found["scheduler_file"]))
    return found
