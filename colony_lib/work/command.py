"""One attempt of a step that is a command: started, watched, ended in time, and recorded.

The command's shell is a small wrapper that outlives all of us if it must. It inherits the attempt's lock (which so
is held as long as the attempt lives, whoever else dies). When the command has ended it tells its supervisor, and stays
until that has recorded the end; when it finds that its supervisor is gone, it turns into `colony-run-step --finish`,
which records what the supervisor would have recorded.

The command's streams are files without a name, in memory where the system has such, and not pipes: a pipe would kill a
command whose supervisor died, and a file with a name could keep a secret that was never redacted.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import errno
import fcntl
import os
import select
import sys
import time

from colony_lib.base import files, jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape, show_duration
from colony_lib.store import env, leases, paths, runs
from colony_lib.store.redact import Redactor
from colony_lib.work import evidence, stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

INLINE = 32 * 1024  # bytes; a larger output is a file of its own beside the journal
GRACE = 5.0  # seconds between TERM and KILL
LOCK_FD = 9  # where the wrapper finds the attempt's lock
TELL_FD = 8  # where it tells its supervisor the command's exit status
HEAR_FD = 7  # where it hears that this has been recorded
_AGAIN = 75  # the exit status by which a command asks for another attempt
_LINE_LIMIT = 256 * 1024  # bytes

# The wrapper tells its pid and the attempt's lease in the lock file, and runs the command with its own descriptors
# closed, so that what the command leaves behind does not hold them. A shell that is ended by its command (`set -e`, a
# mistake in the text) comes to the trap with them still closed: then it can only look whether its supervisor is there.
_HEAD = (
    f'echo "$$ ${{COLONY_LEASE##*#}}" >&{LOCK_FD}; '
    "colony_command=$1 colony_parent=$2 colony_python=$3 colony_script=$4 colony_job=$5; shift 5; "
)
_IS_THERE = '[ -e "/proc/$colony_parent/exe" ]' if os.path.exists("/proc/self/exe") else 'kill -0 "$colony_parent"'
_END = (
    f"colony_status=$?; if {{ :; }} 2>/dev/null >&{TELL_FD}; then "
    f'trap "" PIPE; echo "$colony_status" 2>/dev/null >&{TELL_FD}; '
    f"read -r colony_recorded <&{HEAR_FD} && exit $colony_status; "
    f"elif {_IS_THERE} 2>/dev/null; then exit $colony_status; fi; "
    'echo "$colony_status" >"$COLONY_OUTPUT.status"; '
    'exec "$colony_python" "$colony_script" --finish "$colony_job" "$colony_status"'
)
_CLOSED = f"{LOCK_FD}>&- {TELL_FD}>&- {HEAR_FD}<&-"
_DIRECT = f"{_HEAD}trap '{_END}' EXIT; eval \"$colony_command\" {_CLOSED}"
# A command that ends or replaces its shell, or sets a trap, gets a shell of its own.
_NESTED = f'{_HEAD}(eval "$colony_command") {_CLOSED}; {_END}'


def wrapper(command: str) -> str:
    return _NESTED if any(word in command for word in ("exit", "trap", "exec")) else _DIRECT


class Workplace:
    """What the attempts of one supervisor share: the slot whose held lock says that an attempt is alive, a folder for
    what commands write to $COLONY_OUTPUT, the pipes from and to their wrappers, and what is the same for each."""

    __slots__ = (
        "_folder", "_redactors", "confirming", "environment", "hearing", "lock", "scratch", "script", "slot", "streams",
        "telling", "told",
    )  # fmt: skip

    def __init__(self, slot: str, lock: int, scratch: str) -> None:
        self.slot = slot
        self.lock = lock  # descriptor of the held lock
        self.scratch = scratch
        self.environment = env.environ()
        self.script = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), "colony-run-step")
        self.told, self.telling = os.pipe2(os.O_CLOEXEC)
        self.hearing, self.confirming = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.told, False)
        self.streams: tuple[int, int, int] | None = None  # for the next attempt
        self._folder = ""  # the working directory that we are in
        self._redactors: dict[str, Redactor] = {}

    def redactor(self, secrets: Record) -> Redactor:
        key = jsontext.dumps(secrets)
        if key not in self._redactors:
            self._redactors[key] = Redactor(secrets)
        return self._redactors[key]

    def go_to(self, folder: str) -> None:
        if folder != self._folder:
            os.chdir(folder)
            self._folder = folder

    def status(self) -> int | None:
        """The exit status that a wrapper has told; None when it has told none."""
        try:
            said = os.read(self.told, 64).split()
        except BlockingIOError:
            return None
        return int(said[-1]) if said and said[-1].isdigit() else None

    def make_ready(self) -> None:
        """Make beforehand what the next attempt needs, while nobody waits for it."""
        try:
            self.streams = self.streams or _streams()
        except OSError:
            self.streams = None  # the attempt itself will say so

    def confirm(self) -> None:
        """Tell the wrapper that its command's end is recorded: it can go."""
        os.write(self.confirming, b"\n")

    def forget(self) -> None:
        """Take back what a wrapper that was killed had told, or had not yet heard."""
        self.status()
        if select.select([self.hearing], [], [], 0)[0]:
            os.read(self.hearing, 64)


class Attempt:
    """One attempt of a job, from start to record.

    A job is {step, batch, attempt, agent, command, env, context, folder, timeout_seconds, expect, output_schema,
    secrets, started}.
    """

    def __init__(self, run: runs.Run, journal: runs.Journal, job: Record, place: Workplace) -> None:
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
        started = runs.record("attempt_started", **self.identity(), **fields)
        job["began_ns"] = self.began_ns
        job["started"] = started["ts"]
        job["lease"] = started["id"]
        self.journal.append(started)
        if not job.get("idempotent", True):
            self.journal.sync()  # after a power cut it must be known that this began
        try:
            self.out, self.err, self.source = self.place.streams or _streams()
            self.place.streams = None
            files.write_all(self.source, jsontext.dumps(job["context"]).encode())
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
        left = {key: job.get(key) for key in ("agent", "expect", "output_schema", "began_ns", "started", "folder")}
        finish = jsontext.dumps({"run": self.run.run_id, "slot": place.slot, **self.identity(), **left})
        words = ["sh", "-c", wrapper(command), "sh", command, str(os.getpid()), sys.executable, place.script, finish]
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
            (os.POSIX_SPAWN_DUP2, place.lock, LOCK_FD),
            (os.POSIX_SPAWN_DUP2, place.telling, TELL_FD),
            (os.POSIX_SPAWN_DUP2, place.hearing, HEAR_FD),
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
        self._watch = _watch(self.pid)
        while not self._ended(pause, deadline):
            self.tell(log)
            pause = min(pause * 1.5, 0.2)
            if deadline is not None and time.monotonic() >= deadline:
                self.ended_by = "timeout"
            else:
                self.ended_by = asked(0)
            if self.ended_by:
                end_group(self.pid, self._reap)
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
        ended = finish(self, code)
        if not self._reaped:
            self.place.confirm()
            self._recorded = True
        return ended

    def _see_off(self) -> None:
        """Wait for the wrapper, which has nothing left to do."""
        if self._watch >= 0:
            select.select([self._watch], [], [], GRACE)
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


_DEFAULT_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT]


def finish(attempt: Attempt, code: int) -> Record:
    """Read what the command left, decide what the attempt came to, keep it, record it."""
    job = attempt.job
    error: str | None = None
    status = "completed"
    output: Any = None
    if attempt.ended_by == "timeout":
        status, error = "failed", f"timed out after {show_duration(job['timeout_seconds'])}"
    elif attempt.ended_by == "cancel":
        status, error = "cancelled", "cancelled"
    elif attempt.ended_by == "stop":
        status, error = "interrupted", "interrupted"
    elif code != 0:
        status, error = "busy" if code == _AGAIN else "failed", _last_line(attempt, code)
    kept: Record = {}
    folder = os.path.join(attempt.run.folder, attempt_folder(job))
    try:
        if status == "completed":
            output = _output(attempt)
            error = evidence.missing(
                output, job.get("output_schema"), job.get("expect") or [], job["folder"], job["began_ns"]
            )
            status = "failed" if error else "completed"
        kept = _keep(attempt, folder, output if status == "completed" else None)
        if status == "completed" and job.get("inputs") is not None:  # a step with `cache`
            from colony_lib.work import reuse

            kept |= reuse.left(attempt.run.step(job["step"]).definition, job, attempt.source)
    except ColonyError as problem:
        # Nobody knows what it did. When it must not be repeated, a person has to say whether it took effect.
        doubt = code == 0 and not attempt.run.step(job["step"]).definition.get("idempotent", True)
        status, error = "interrupted" if doubt else "failed", str(problem)
    fields = {"started": job["started"], "status": status, "exit_code": code}
    ended = runs.record("attempt_ended", **attempt.identity(), **fields, **kept)
    if error and status != "completed":
        ended["error"] = attempt.redactor.text(error)
    attempt.journal.append(ended)
    return ended


def attempt_folder(job: Record) -> str:
    """Where an attempt's files are, relative to the run's folder: steps/NAME/[BATCH/]ATTEMPT."""
    batch = [] if job["batch"] is None else [f"batch-{job['batch']}"]
    return os.path.join("steps", job["step"], *batch, str(job["attempt"]))


def _output(attempt: Attempt) -> Any:
    """The value of what the command wrote to $COLONY_OUTPUT, else of its standard output."""
    try:
        data = files.read_bytes(attempt.scratch, limit=1 << 40)
    except FileNotFoundError:
        data = b""
    if not data:
        data = _all(attempt.out)
    data = attempt.redactor.data(data)
    if not data:
        return ""
    try:
        return jsontext.loads(data)
    except ColonyError:
        return data.decode("utf-8", "replace").rstrip("\n")


def _keep(attempt: Attempt, folder: str, output: Any) -> Record:
    """Write the streams and a large output beside the journal; returns what the record says of the output."""
    for fd, name in ((attempt.out, "stdout.log"), (attempt.err, "stderr.log")):
        if os.fstat(fd).st_size:
            # Only this attempt writes here: no lock is needed, and a power cut may take it.
            files.write_bytes(os.path.join(folder, name), attempt.redactor.data(_all(fd)), durable=False)
    if output is None:
        return {}
    text = jsontext.dumps(output)
    if len(text) <= INLINE:
        return {"output": output}
    path = os.path.join(folder, "output.json")
    files.write_text(path, text + "\n")
    files.sync_folders(folder, attempt.run.folder)  # they were made for the streams, which need not last
    return {"output_file": os.path.relpath(path, attempt.run.folder)}


def _last_line(attempt: Attempt, code: int) -> str:
    """'exit status 3: no such table', with the last words on standard error."""
    size = os.fstat(attempt.err).st_size
    tail = os.pread(attempt.err, 4096, max(0, size - 4096))
    lines = attempt.redactor.data(tail).decode("utf-8", "replace").rstrip().rsplit("\n", 1)
    said = f": {escape(lines[-1].strip())[:400]}" if lines[-1].strip() else ""
    name = _signal_name(code - 128)
    if name:
        return f"ended by {name}{said}"
    return f"exit status {code}{said}"


def _signal_name(number: int) -> str | None:
    if number <= 0:
        return None
    import signal

    return signal.Signals(number).name if number in set(signal.Signals) else None


def _all(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    parts = []
    offset = 0
    while offset < size:
        part = os.pread(fd, min(size - offset, 1 << 24), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _streams() -> tuple[int, int, int]:
    """Descriptors for a command's output, its errors and its input."""
    return _nameless(), _nameless(), _nameless()


def _nameless() -> int:
    """A new file that has no name: it is gone with the last process that has it open. In memory, where one costs a
    tenth of what it does on a disk, and where what it holds comes to be anyway when it is read."""
    try:
        fd = os.memfd_create("colony")
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        return fd
    except (OSError, AttributeError):
        import tempfile

        fd, name = tempfile.mkstemp(prefix="colony-")
        os.unlink(name)
        return fd


def _watch(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def end_group(pid: int, gone: Callable[[], bool], grace: float = GRACE) -> None:
    """End the process group: TERM, and KILL when some of it is still there after `grace` seconds. `gone` reaps
    the leader and says whether it has ended."""
    ended = gone()
    deadline = time.monotonic() + grace
    if _signal_group(pid, signal.SIGTERM):
        while time.monotonic() < deadline:
            ended = ended or gone()
            if not _signal_group(pid, 0):
                break
            time.sleep(0.01)
        else:
            _signal_group(pid, signal.SIGKILL)
    while not ended:
        time.sleep(0.005)
        ended = gone()


def _signal_group(pid: int, number: int) -> bool:
    """Send the signal; False when the group has no process any more."""
    try:
        os.killpg(pid, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False


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

    with nullcontext() if _is_open_as(LOCK_FD, lock) else locks.held(lock, what="the attempt"):
        job["secrets"] = env.secret_values()
        journal = runs.Journal(job["run"])
        attempt = Attempt(run, journal, job, Workplace(job["slot"], -1, ""))
        attempt.scratch = env.get("COLONY_OUTPUT") or ""
        attempt.source, attempt.out, attempt.err = os.dup(0), os.dup(1), os.dup(2)
        unit = run.step(job["step"]).unit(job["batch"])
        key = run.key(unit)
        if key is not None:
            job["inputs"] = {name: [digest] for name, digest in key["inputs"].items()}
        if unit.status == "running" and unit.attempts == job["attempt"]:
            attempt.tell(stream.logger(run.run_id, job), last=True)
            finish(attempt, code)
            journal.sync()
        attempt.close()
    return 0
