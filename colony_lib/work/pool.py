"""The processes that do a run's attempts: forked warm from the engine, each in a session of its own, each one
attempt at a time, and each able to finish what it does after the engine has died."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import os
import select
import sys

from colony_lib.base import files, jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, runs
from colony_lib.work import context, stream
from colony_lib.work.command import Attempt
from colony_lib.work.wrapper import Workplace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]

_PIECE = 1 << 20  # bytes


class Worker:
    """The engine's end of one worker process: a pipe to it, and one (`fd`) from it."""

    __slots__ = ("_buffer", "_to", "fd", "job", "pid", "slot")

    def __init__(self, run: runs.Run, avoid: set[str]) -> None:
        self.slot, lock = take_slot(run.run_id, avoid)
        jobs, self._to = os.pipe2(os.O_CLOEXEC)
        self.fd, answers = os.pipe2(os.O_CLOEXEC)
        self._buffer = b""
        self.job: Record | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(run, jobs, answers, self.slot, lock)
        os.close(jobs)
        os.close(answers)
        locks.release(lock)  # the worker holds it; with our copy it would look alive after its death

    def send(self, job: Record) -> None:
        """Give it a job; BrokenPipeError when it has died."""
        self.job = job
        files.write_all(self._to, jsontext.dumps(context.packed(job)).encode() + b"\n")

    def tell_stop(self) -> None:
        """Ask it to end what it does."""
        try:
            files.write_all(self._to, b"stop\n")
        except OSError:
            return  # it has died: there is nothing left to stop

    def receive(self) -> list[Record] | None:
        """The records that have come; None when the worker has died."""
        data = os.read(self.fd, _PIECE)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [jsontext.loads(line) for line in lines]

    def close(self) -> None:
        """Let the worker go; it ends when it has nothing to do."""
        os.close(self._to)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def take_slot(run_id: str, avoid: set[str]) -> tuple[str, int]:
    """(name, descriptor) of a slot's lock that was free and now is held. Not one of those to `avoid`, by which
    somebody waits for an attempt that was made there: held by us they would never look free to him."""
    number = 0
    while True:
        slot = f"slot-{number}"
        lock = None if slot in avoid else locks.try_hold(paths.run_lock(run_id, slot))
        if lock is not None:
            return slot, lock
        number += 1


def new_scratch(run_id: str) -> str:
    """A private folder outside the colony for what commands write to $COLONY_OUTPUT before it is redacted."""
    return files.private_folder(paths.scratch_folder(), f"colony-{run_id}-")


def remove_scratch(run_id: str) -> None:
    """Remove the folders that killed workers of the run have left; nothing of the run is alive any more."""
    folder = paths.scratch_folder()
    for name in os.listdir(folder):
        if name.startswith(f"colony-{run_id}-"):
            remove(os.path.join(folder, name))


class Inbox:
    """The worker's end of the pipes: jobs, the word 'stop', and the engine's death."""

    def __init__(self, jobs: int, answers: int, cancel: str) -> None:
        self._jobs = jobs
        self._answers = answers
        self._buffer = b""
        self._lines: list[bytes] = []
        self._cancel = cancel
        self.orphaned = False

    def _read(self, seconds: float | None) -> bool:
        """Whether something came, if only the end, within so many seconds."""
        if self.orphaned:
            return False
        ready, _, _ = select.select([self._jobs], [], [], seconds)
        if ready:
            data = os.read(self._jobs, _PIECE)
            self.orphaned = not data
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            self._lines += lines
        return bool(ready)

    def next_job(self, patience: float | None = None) -> Record | None:
        """The next job; None when there will be none, or none has come for `patience` seconds."""
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if line != b"stop":
                    job: Record = jsontext.loads(line)
                    return job
            if self.orphaned or not self._read(patience):
                return None

    def asked(self, seconds: float) -> str | None:
        """How somebody wants the attempt ended: 'stop', 'cancel', or None."""
        self._read(seconds)
        locks.restore()
        if b"stop" in self._lines:
            self._lines.remove(b"stop")
            return "stop"
        return "cancel" if os.path.exists(self._cancel) else None

    def answer(self, record: Record, journal: runs.Journal) -> None:
        """Tell the engine; when it is gone, make durable ourselves what it would have made durable."""
        if not self.orphaned:
            try:
                files.write_all(self._answers, jsontext.dumps(record).encode() + b"\n")
                return
            except OSError:
                self.orphaned = True
        journal.sync()


def _serve(run: runs.Run, jobs: int, answers: int, slot: str, lock: int) -> NoReturn:
    """The worker's whole life."""
    status = 1
    scratch = ""
    try:
        os.setsid()
        _signal.set_wakeup_fd(-1)
        _close_all_but(jobs, answers, lock)
        locks.forget_all_but(lock)
        for number in (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE):
            _signal.signal(number, _signal.SIG_IGN)
        for number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGCHLD):
            _signal.signal(number, _signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):  # whoever reads the engine's output must not have to wait for us
            os.dup2(null, fd)
        scratch = new_scratch(run.run_id)
        place = Workplace(slot, lock, scratch)
        journal = runs.Journal(run.run_id)
        inbox = Inbox(jobs, answers, runs.cancel_file(run.run_id))
        while (job := inbox.next_job()) is not None:
            do(run, journal, job, place, inbox)
            place.make_ready()
        status = 0
    except BaseException as error:
        scratch = ""  # the command may live on and write there; it goes when the run ends
        stream.worker_failed(run.run_id, error)
    finally:
        if scratch:
            remove(scratch)
        os._exit(status)


def remove(scratch: str) -> None:
    """Remove the folder, in which there is nothing unless a command made more of $COLONY_OUTPUT than a file."""
    try:
        os.rmdir(scratch)
    except OSError:
        import shutil

        shutil.rmtree(scratch, ignore_errors=True)


def _close_all_but(*kept: int) -> None:
    """Close what the fork inherited: above all the engine's own locks, which must die with the engine."""
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        if fd > 2 and fd not in kept:
            os.closerange(fd, fd + 1)  # does not mind that the listing's own is closed already


def do(run: runs.Run, journal: runs.Journal, job: Record, place: Workplace, inbox: Inbox) -> None:
    """Do one attempt, and answer with its last record as soon as that is in the journal: what comes next can be
    decided while its processes end."""
    attempt = Attempt(run, journal, job, place)
    try:
        try:
            attempt.start()
        except ColonyError as error:
            ended = runs.record(
                "attempt_ended", **attempt.identity(), status="failed", exit_code=None, error=str(error)
            )
            journal.append(ended)
        else:
            attempt.wait(inbox.asked, stream.logger(run.run_id, job))
            ended = attempt.finish()
        inbox.answer(ended, journal)
    finally:
        attempt.close()
