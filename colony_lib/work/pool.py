"""The processes that do a run's attempts: forked warm from the engine, each in a session of its own, each one
attempt at a time, and each able to finish what it does after the engine has died."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket as sockets
import sys
import tempfile

from colony_lib.base import jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, runs
from colony_lib.work import stream
from colony_lib.work.command import Attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]


class Worker:
    """The engine's end of one worker process."""

    __slots__ = ("_buffer", "job", "pid", "slot", "socket")

    def __init__(self, run: runs.Run) -> None:
        self.slot, lock = take_slot(run.run_id)
        ours, theirs = sockets.socketpair()
        self.socket: sockets.socket = ours
        self._buffer = b""
        self.job: Record | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(run, theirs, self.slot, lock)
        theirs.close()
        os.close(lock)  # the worker holds it; with our copy it would look alive after its death

    def send(self, job: Record) -> None:
        """Give it a job; BrokenPipeError when it has died."""
        self.job = job
        self.socket.sendall(jsontext.dumps(job).encode() + b"\n")

    def tell_stop(self) -> None:
        """Ask it to end what it does."""
        try:
            self.socket.sendall(b"stop\n")
        except OSError:
            return  # it has died: there is nothing left to stop

    def receive(self) -> list[Record] | None:
        """The records that have come; None when the worker has died."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [jsontext.loads(line) for line in lines]

    def close(self) -> None:
        """Let the worker go; it ends when it has nothing to do."""
        self.socket.close()
        os.waitpid(self.pid, 0)


def take_slot(run_id: str) -> tuple[str, int]:
    """(name, descriptor) of a slot's lock that was free and now is held."""
    number = 0
    while True:
        slot = f"slot-{number}"
        lock = locks.try_hold(paths.run_lock(run_id, slot))
        if lock is not None:
            return slot, lock
        number += 1


def new_scratch() -> str:
    """A private folder outside the colony for what commands write to $COLONY_OUTPUT before it is redacted."""
    return tempfile.mkdtemp(prefix="colony-")


class _Inbox:
    """The worker's end of the socket: jobs, the word 'stop', and the engine's death."""

    def __init__(self, end: sockets.socket, cancel: str) -> None:
        self._socket = end
        self._buffer = b""
        self._lines: list[bytes] = []
        self._cancel = cancel
        self.orphaned = False

    def _read(self, seconds: float | None) -> None:
        if self.orphaned:
            return
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if ready:
            try:
                data = self._socket.recv(1 << 20)
            except ConnectionError:
                data = b""
            self.orphaned = not data
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            self._lines += lines

    def next_job(self) -> Record | None:
        """The next job; None when there will be none."""
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if line != b"stop":
                    job: Record = jsontext.loads(line)
                    return job
            if self.orphaned:
                return None
            self._read(None)

    def asked(self, seconds: float) -> str | None:
        """How somebody wants the attempt ended: 'stop', 'cancel', or None."""
        self._read(seconds)
        if b"stop" in self._lines:
            self._lines.remove(b"stop")
            return "stop"
        return "cancel" if os.path.exists(self._cancel) else None

    def answer(self, record: Record, journal: runs.Journal) -> None:
        """Tell the engine; when it is gone, make durable ourselves what it would have made durable."""
        if not self.orphaned:
            try:
                self._socket.sendall(jsontext.dumps(record).encode() + b"\n")
                return
            except OSError:
                self.orphaned = True
        journal.sync()


def _serve(run: runs.Run, end: sockets.socket, slot: str, lock: int) -> NoReturn:
    """The worker's whole life."""
    status = 1
    scratch = ""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        _close_all_but(end.fileno(), lock)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):  # whoever reads the engine's output must not have to wait for us
            os.dup2(null, fd)
        scratch = new_scratch()
        journal = runs.Journal(run.run_id)
        inbox = _Inbox(end, runs.cancel_file(run.run_id))
        while (job := inbox.next_job()) is not None:
            inbox.answer(do(run, journal, job, slot, lock, scratch, inbox.asked), journal)
        status = 0
    except BaseException as error:
        stream.worker_failed(run.run_id, error)
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        os._exit(status)


def _close_all_but(*kept: int) -> None:
    """Close what the fork inherited: above all the engine's own locks, which must die with the engine."""
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        if fd > 2 and fd not in kept:
            os.closerange(fd, fd + 1)  # does not mind that the listing's own is closed already


def do(run: runs.Run, journal: runs.Journal, job: Record, slot: str, lock: int, scratch: str, asked: Any) -> Record:
    """Do one attempt and return its last record; the path that the engine and `colony-run-step` share."""
    attempt = Attempt(run, journal, job, slot, lock, scratch)
    try:
        try:
            attempt.start()
        except ColonyError as error:
            ended = runs.record(
                "attempt_ended", **attempt.identity(), status="failed", exit_code=None, error=str(error)
            )
            journal.append(ended)
            return ended
        attempt.wait(asked, stream.logger(run.run_id, job))
        return attempt.finish()
    finally:
        attempt.close()
