"""A program on a leash: it, and all that it has started, ends when it has ended or we have, however that came.

Claude Code starts its commands in sessions of their own, so that they outlive it even when it is killed: a step's next
attempt would find them still at work. Between us and the program stands a guard, a fork of us, to which whatever loses
its parent falls (PR_SET_CHILD_SUBREAPER). It holds one end of a pipe, and its end tells it that we are gone. The
program is in a process group of its own: a TERM to ours reaches us alone, and we can still let the program tell what
it has cost. Should the guard be killed, the program at least dies with it (PR_SET_PDEATHSIG).

Where the system has no /proc or no prctl (macOS), the program is ended, and what it has left in other sessions is not.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from colony_lib.base.errors import failed
from colony_lib.work import wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

_INTERRUPT = b"i"  # what the guard hears: end the program by INT, so that it can tell how far it has come
_GRACE = 2.0  # seconds between TERM and KILL for the program; what it has started is killed
_PDEATHSIG, _SUBREAPER = 1, 36  # prctl
_BLOCK = 1 << 18


class Leash:
    """A started program. `words[0]` is its path; `folder` where it works; `source` what it reads."""

    def __init__(self, words: list[str], *, folder: str, environment: dict[str, str], source: bytes) -> None:
        import tempfile

        prctl = _prctl()
        sys.stdout.flush()
        sys.stderr.flush()
        held, self._hold = os.pipe()
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        self._woken, self._wake = os.pipe()
        self.stopping = False  # whether somebody wants us to end
        self._until: float | None = None
        self._before = signal.signal(signal.SIGTERM, self._stop)
        try:
            with tempfile.TemporaryFile() as given:
                given.write(source)
                given.seek(0)
                self.pid = os.fork()
                if self.pid == 0:
                    for fd in (self._hold, self._out, self._err, self._woken, self._wake):
                        os.close(fd)
                    _be_guard(held, prctl, lambda: _become(words, folder, environment, (given.fileno(), out, err)))
        except OSError as error:
            raise failed("start", words[0], error) from None
        for fd in (held, out, err):
            os.close(fd)

    def _stop(self, *_: Any) -> None:
        self.stopping = True
        os.write(self._wake, b"!")

    def interrupt(self, seconds: float) -> None:
        """Ask the program to end and to say how far it has come; after so many seconds it is ended."""
        if self._hold >= 0:
            os.write(self._hold, _INTERRUPT)
        self.finish_in(seconds)

    def finish_in(self, seconds: float) -> None:
        """End the program if it has not ended by itself in so many seconds."""
        until = time.monotonic() + seconds
        self._until = until if self._until is None else min(self._until, until)

    def end(self) -> None:
        """Let the guard end the program and all that it has started."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def lines(self) -> Iterator[tuple[str, str]]:
        """('out' | 'err', a whole line) as they come, and ('', '') at least once a second, until the program and all
        that wrote there has ended."""
        rests = {self._out: bytearray(), self._err: bytearray()}
        while rests:
            if self._until is not None and time.monotonic() >= self._until:
                self.end()
            ready, _, _ = select.select([*rests, self._woken], [], [], 1.0)
            for fd in ready:
                if fd == self._woken:
                    os.read(fd, 64)
                    continue
                data = os.read(fd, _BLOCK)
                rests[fd] += data
                whole: list[bytearray] = []
                if not data:
                    whole = [rests.pop(fd)]
                elif b"\n" in data:
                    *whole, rests[fd] = rests[fd].split(b"\n")
                name = "out" if fd == self._out else "err"
                yield from ((name, line.decode("utf-8", "replace")) for line in whole if line.strip())
            yield "", ""

    def close(self) -> int:
        """End what is still there; returns the program's exit status as a shell has it."""
        self.end()
        _, status = os.waitpid(self.pid, 0)
        signal.signal(signal.SIGTERM, self._before)
        for fd in (self._out, self._err, self._woken, self._wake):
            os.close(fd)
        return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _prctl() -> Callable[[int, int], Any]:
    """prctl(2), looked up before any fork; where there is none, a function that does nothing."""
    import ctypes

    found = getattr(ctypes.CDLL(None), "prctl", None)
    return (lambda option, value: found(option, value, 0, 0, 0)) if found else (lambda option, value: None)


def _be_guard(held: int, prctl: Callable[[int, int], Any], become: Callable[[], NoReturn]) -> NoReturn:
    """The guard: start the program, wait for its end or ours, end all that is left, exit with the program's status."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        prctl(_SUBREAPER, 1)
        guard = os.getpid()
        pid = os.fork()
        if pid == 0:
            prctl(_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == guard:
                become()
            os._exit(127)
        _let_go(keep=held)
        code = _wait(pid, held)
        _end_rest(pid)
    finally:
        os._exit(code)


def _let_go(keep: int) -> None:
    """Close the program's streams: their end is to be seen. What is locked stays so until the guard goes."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for fd in _pipes():
        if fd not in (keep, 1, 2):
            os.close(fd)


def _pipes() -> list[int]:
    import stat

    found = []
    for fd in range(3, 256):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                found.append(fd)
        except OSError:
            continue  # not open
    return found


def _become(words: list[str], folder: str, environment: dict[str, str], streams: tuple[int, int, int]) -> NoReturn:
    """Turn into the program."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for place, fd in enumerate(streams):
            os.dup2(fd, place)
        os.chdir(folder)
        os.execve(words[0], words, environment)
    except OSError as error:
        os.write(2, f"cannot start {words[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _wait(pid: int, held: int) -> int:
    """Wait until the program has ended, which it is made to do when the other end of `held` is closed."""
    watch = wrapper.watch(pid)
    deadline: float | None = None
    heard = [held]
    while True:
        pause = 0.05 if watch < 0 else None if deadline is None else max(deadline - time.monotonic(), 0)
        ready, _, _ = select.select([*heard, *([watch] if watch >= 0 else [])], [], [], pause)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        if held in ready and os.read(held, 1) == _INTERRUPT:
            os.kill(pid, signal.SIGINT)
        elif held in ready:
            heard = []
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _GRACE
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = None


def _end_rest(program: int) -> None:
    """Kill what is left: what loses its parent by that becomes our child, until there is none."""
    while True:
        for pid in _children(program):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children(program: int) -> list[int]:
    """Our children, those that have ended included."""
    if not os.path.isdir("/proc/self"):
        return []
    ours, found = str(os.getpid()), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    words = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it has just gone
            if words[1].decode() == ours:
                found.append(int(name))
    return found
