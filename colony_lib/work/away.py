"""`colony-run-step --away RUN`: does attempts of a run on a machine of a cluster, one after the other, for the engine
that has sent them; started by the cluster's worker (work/shipped.py), which it outlives when it must."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import sys

from colony_lib.base import files, jsontext, locks
from colony_lib.store import env, paths, runs
from colony_lib.work import pool, stream, tickets
from colony_lib.work.wrapper import Workplace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_IDLE = 15.0  # seconds without a job after which the process ends


class _Inbox(pool.Inbox):
    """As that of a worker on the engine's machine; an answer says which slot it is of."""

    def answer(self, record: Record, journal: runs.Journal) -> None:
        # The engine's fsync is of another machine's memory: what was written here is made durable here.
        journal.sync()
        self.say({"slot": self.slot, "ended": record})

    slot = ""

    def say(self, answer: Record) -> None:
        """Tell the worker of the cluster, if it is still there."""
        try:
            files.write_all(self._answers, jsontext.dumps(answer).encode() + b"\n")
        except OSError:
            self.orphaned = True


def main(run_id: str) -> int:
    """Do the jobs that come on standard input, an answer a line on standard output, until there are no more."""
    for number in (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_IGN)
    # A run's own journal is not read: it may be long, and all that an attempt needs comes with its job.
    run = runs.Run(run_id, runs.read_header(run_id))
    inbox = _Inbox(os.dup(0), os.dup(1), runs.cancel_file(run_id))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    scratch = pool.new_scratch(run_id)
    try:
        place = Workplace("", -1, scratch)
        journal = runs.Journal(run_id)
        while (job := inbox.next_job(_IDLE)) is not None:
            inbox.slot = job["slot"]
            _do(run, journal, job, place, inbox)
            place.make_ready()
    except BaseException as error:
        scratch = ""  # a command may live on and write there
        stream.worker_failed(run_id, error)
        raise
    finally:
        if scratch:
            pool.remove(scratch)
    return 0


def _do(run: runs.Run, journal: runs.Journal, job: Record, place: Workplace, inbox: _Inbox) -> None:
    slot = job["slot"]
    if not locks.is_held(paths.run_lock(run.run_id, "alive")):
        where = f"{tickets.host()}: nobody is seen to hold the run's lock"
        inbox.say({"slot": slot, "refused": f"{where}; the file system there must keep locks between machines"})
        return
    if os.path.exists(runs.cancel_file(run.run_id)):
        inbox.say({"slot": slot, "lost": "the run is being cancelled"})
        return
    held = tickets.claim(run.run_id, slot, job["ticket"])
    if held is None:
        inbox.say({"slot": slot, "lost": "it was begun before, or taken back"})
        return
    try:
        place.slot, place.lock = slot, held
        pool.do(run, journal, _of_here(job, place), place, inbox)
    finally:
        locks.release(held)


def _of_here(job: Record, place: Workplace) -> Record:
    """The job with this machine's Python and PATH in place of the engine's."""
    known = [*job["env"]["PATH"].split(os.pathsep), os.path.dirname(place.script)]
    path = os.pathsep.join(dict.fromkeys([*known, *(env.get("PATH") or os.defpath).split(os.pathsep)]))
    job = {**job, "env": {**job["env"], "PATH": path}, "host": tickets.host()}
    if job.get("runner"):  # an agent's: its command is our own program
        import shlex

        job["command"] = shlex.join([sys.executable, place.script, "--agent"])
    return job
