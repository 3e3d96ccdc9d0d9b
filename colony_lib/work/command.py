"""One attempt of a step that is a command: started, watched, ended in time, and recorded.

The command runs in a shell that outlives all of us if it must (work/wrapper.py); what it came to is decided and
recorded in work/outcome.py, by the supervisor or, when that has died, by the shell in its place (`finish_orphan`).

The command's streams are files without a name, in memory where the system has such, and not pipes: a pipe would kill a
command whose supervisor died, and a file with a name could keep a secret that was never redacted.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import errno
import os
import select
import sys
import time

from colony_lib.base import files, jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import env, leases, paths, runs
from colony_lib.work import context, outcome, stream, wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

_LINE_LIMIT = 256 * 1024  # bytes
# What of a job the wrapper needs that outlives us.
_LEFT = ("agent", "expect", "output_schema", "began_ns", "started", "folder", "runner", "worktree")
_DEFAULT_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT]


class Attempt:
    """One attempt of a job, from start to record.

    A job is {step, batch, attempt, agent, command, env, context, folder, timeout_seconds, expect, output_schema,
    secrets, started}.
    """

    def __init__(self, run: runs.Run, journal: runs.Journal, job: Record, place: wrapper.Workplace) -> None:
        self.run = run
        self.journal = journal
        self.job = job
        self.place = place
        self.redactor = place.redactor(job.get("secrets") or {})
        self.scratch = os.path.join(place.scratch, f"{job['step']}.{job['batch']}.{job['attempt']}.output")
        self.out = self.err = self.source = -1
        self.pid = 0
        self.ended_by: str | None = None  # 'timeout', 'cancel' or 'stop': who ended it, if we did
        self._told = 0  # bytes of standard error that have been logged
        self.code: int | None = None  # the command's exit status, when its wrapper has told it
        self.wait_status = 0
        self._reaped = False
        self._recorded = False  # and its wrapper told so
        self._watch = -1  # the wrapper's pidfd
        self.began = time.monotonic()
        self.began_ns = time.time_ns()

    def identity(self) -> Record:
        job = self.job
        return {"step": job["step"], "batch": job["batch"], "attempt": job["attempt"]}

    # -- start

    def start(self) -> None:
        """Record that the attempt begins, then start its command."""
        job = self.job
        fields = {"slot": self.place.slot, "pid": os.getpid(), "scratch": self.scratch}
        if job.get("host"):
            fields["host"] = job["host"]  # of an attempt that is made on another machine than the engine's, perhaps
        started = runs.record("attempt_started", **self.identity(), **fields)
        job["began_ns"] = self.began_ns
        job["started"] = started["ts"]
        job["lease"] = started["id"]
        self.journal.append(started)
        if not job.get("idempotent", True):
            self.journal.sync()  # after a power cut it must be known that this began
        try:
            self.out, self.err, self.source = self.place.streams or wrapper.streams()
            self.place.streams = None
            files.write_all(self.source, context.text(job))
            os.lseek(self.source, 0, os.SEEK_SET)
            self._spawn()
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise ColonyError("the command and its environment are too large for one process") from None
            raise ColonyError(f"cannot start the command: {error.strerror}") from None
        except ValueError as error:
            raise ColonyError(f"cannot start the command: {error}") from None

    def _spawn(self) -> None:
        job, place = self.job, self.place
        command = job["command"]
        left = {key: job.get(key) for key in _LEFT}
        finish = jsontext.dumps({"run": self.run.run_id, "slot": place.slot, **self.identity(), **left})
        ours = [str(os.getpid()), sys.executable, place.script, finish, os.uname().nodename]
        words = ["sh", "-c", wrapper.around(command), "sh", command, *ours]
        environment = {
            **place.environment,
            **job["env"],
            "COLONY_OUTPUT": self.scratch,
            "COLONY_ATTEMPT": str(job["attempt"]),
            "COLONY_LEASE": leases.spell(f"runs/{self.run.run_id}/{place.slot}", job["lease"]),
        }
        os.ftruncate(place.lock, 0)
        os.lseek(place.lock, 0, os.SEEK_SET)
        place.go_to(job["folder"])
        place.forget()
        actions = [
            (os.POSIX_SPAWN_DUP2, self.source, 0),
            (os.POSIX_SPAWN_DUP2, self.out, 1),
            (os.POSIX_SPAWN_DUP2, self.err, 2),
            (os.POSIX_SPAWN_DUP2, place.lock, wrapper.LOCK_FD),
            (os.POSIX_SPAWN_DUP2, place.telling, wrapper.TELL_FD),
            (os.POSIX_SPAWN_DUP2, place.hearing, wrapper.HEAR_FD),
        ]
        self.pid = os.posix_spawn(
            "/bin/sh",
            words,
            environment,
            file_actions=actions,
            setsid=True,
            setsigdef=_DEFAULT_SIGNALS,
            setsigmask=(),
        )

    # -- watch

    def wait(self, asked: Callable[[float], str | None], log: Callable[[str, list[str]], None]) -> None:
        """Wait for the command's end. `asked(seconds)` waits that long for somebody who wants the attempt ended and
        says how ('cancel', 'stop') or None; `log(agent, lines)` takes standard error as it comes."""
        limit = self.job.get("timeout_seconds")
        deadline = None if limit is None else self.began + limit
        pause = 0.05
        self._watch = wrapper.watch(self.pid)
        while not self._ended(pause, deadline):
            self.tell(log)
            pause = min(pause * 1.5, 0.2)
            if deadline is not None and time.monotonic() >= deadline:
                self.ended_by = "timeout"
            else:
                self.ended_by = asked(0)
            if self.ended_by:
                wrapper.end_group(self.pid, self._reap)
                break
        self.tell(log, last=True)

    def _ended(self, pause: float, deadline: float | None) -> bool:
        """Whether the command has ended, waiting for that at most `pause` seconds and not past the deadline."""
        if deadline is not None:
            pause = min(pause, max(deadline - time.monotonic(), 0))
        if self._watch >= 0:
            ready, _, _ = select.select([self._watch, self.place.told], [], [], pause)
            return bool(ready) and self._has_ended()
        until = time.monotonic() + pause  # no pidfd on this system
        while not self._has_ended():
            if time.monotonic() >= until:
                return False
            time.sleep(0.002)
        return True

    def _has_ended(self) -> bool:
        self.code = self.place.status()
        return self.code is not None or self._reap()

    def _reap(self) -> bool:
        """Whether the wrapper is gone."""
        if not self._reaped:
            pid, self.wait_status = os.waitpid(self.pid, os.WNOHANG)
            self._reaped = bool(pid)
        return self._reaped

    def tell(self, log: Callable[[str, list[str]], None], last: bool = False) -> None:
        """Hand on the whole lines of standard error that are new, redacted.

        The attempt does not end because its log cannot be written: what was not taken is told again the next time,
        and is in stderr.log in the end.
        """
        try:
            self._tell(log, last)
        except (ColonyError, OSError):
            return

    def _tell(self, log: Callable[[str, list[str]], None], last: bool) -> None:
        agent = self.job.get("agent") or "colony"
        size = os.fstat(self.err).st_size
        if size < self._told:
            self._told = 0  # the command truncated it (`> /dev/stderr`)
        while self._told < size:
            data = os.pread(self.err, _LINE_LIMIT, self._told)
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) == _LINE_LIMIT:
                # Half of a line could hold half of a secret, which nobody would recognise: say only that it is there.
                log(agent, [f"(a line of more than {_LINE_LIMIT:,} bytes: see stderr.log of the attempt)"])
                self._told = self._next_line(size)
                continue
            if end == 0:
                if not last:
                    return
                end = len(data)
            text = self.redactor.data(data[:end]).decode("utf-8", "replace")
            log(agent, [line for line in text.split("\n") if line.strip()])
            self._told += end

    def _next_line(self, size: int) -> int:
        offset = self._told
        while offset < size:
            data = os.pread(self.err, _LINE_LIMIT, offset)
            if b"\n" in data:
                return offset + data.index(b"\n") + 1
            offset += len(data)
        return size

    # -- finish

    def finish(self) -> Record:
        """The attempt's last record, appended to the journal: its status, error and output. Then the wrapper may go."""
        if self.code is not None:
            code = self.code
        elif os.WIFSIGNALED(self.wait_status):
            code = 128 + os.WTERMSIG(self.wait_status)
        else:
            code = os.WEXITSTATUS(self.wait_status)
        ended = outcome.record(self, code)
        if not self._reaped:
            self.place.confirm()
            self._recorded = True
        return ended

    def _see_off(self) -> None:
        """Wait for the wrapper, which has nothing left to do."""
        if self._watch >= 0:
            select.select([self._watch], [], [], wrapper.GRACE)
        if not self._reap():
            os.kill(self.pid, signal.SIGKILL)  # it is stopped, or there is no pidfd to wait for
            os.waitpid(self.pid, 0)
            self._reaped = True

    def close(self) -> None:
        """Let go of what the attempt has, and of its wrapper when its end is recorded."""
        if self._recorded:
            self._see_off()
        for fd in (self.out, self.err, self.source, self._watch):
            if fd >= 0:
                os.close(fd)
        if self.pid and not self._reaped:
            return  # what outlives us still writes there
        for path in (self.scratch, self.scratch + ".status"):
            if os.path.lexists(path):
                os.unlink(path)


def _is_open_as(fd: int, path: str) -> bool:
    """Whether the descriptor is open and is that file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def finish_orphan(words: str, code: int) -> int:
    """What `colony-run-step --finish` does: it is the attempt's own wrapper, which outlived its supervisor, and
    still has the command's streams as its standard output and error."""
    job = jsontext.loads(words)
    run = runs.load(job["run"])
    lock = paths.run_lock(job["run"], job["slot"])
    # After `exit` in the command the wrapper's own descriptor of the lock is gone, otherwise it is still held by it.
    from contextlib import nullcontext

    with nullcontext() if _is_open_as(wrapper.LOCK_FD, lock) else locks.held(lock, what="the attempt"):
        job["secrets"] = env.secret_values()
        journal = runs.Journal(job["run"])
        attempt = Attempt(run, journal, job, wrapper.Workplace(job["slot"], -1, ""))
        attempt.scratch = env.get("COLONY_OUTPUT") or ""
        attempt.source, attempt.out, attempt.err = os.dup(0), os.dup(1), os.dup(2)
        unit = run.step(job["step"]).unit(job["batch"])
        key = run.key(unit)
        if key is not None:
            job["inputs"] = {name: [digest] for name, digest in key["inputs"].items()}
        if unit.status == "running" and unit.attempts == job["attempt"]:
            attempt.tell(stream.logger(run.run_id, job), last=True)
            outcome.record(attempt, code)
            journal.sync()
        attempt.close()
    return 0
