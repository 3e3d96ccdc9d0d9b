"""A tool's process: started within its bounds, waited for, ended when its time is up, its output kept to a size."""

from __future__ import annotations

import marshal
import os
import select
import signal
import time

from colony_lib.work import spawn
from colony_lib.work.catch import Catch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from colony_lib.work.confine import Bounds

_POLL = 0.15  # seconds between two questions whether we are asked to end
_LATE = 4.0  # seconds after which one who should have ended the tool is ended with it
_DRAINED = 1 << 20  # bytes that a pipe holds at the very most


class Done:
    """What became of a process. `data`: what it wrote to its standard output and error, in order, redacted; when that
    was too much, the first 60 % and the last 40 % of what may be kept, and `whole` is the path of the file with all of
    it (up to 50 MB). `size`: bytes of it all. `status`: its exit status, 128 + n after signal n. `ended_by`: None,
    'timeout', 'asked'."""

    __slots__ = ("data", "ended_by", "seconds", "size", "status", "whole")

    def __init__(
        self, data: bytes, size: int, status: int, ended_by: str | None, seconds: float, whole: str | None
    ) -> None:
        self.data = data
        self.size = size
        self.status = status
        self.ended_by = ended_by
        self.seconds = seconds
        self.whole = whole


def run(
    words: list[str], *, folder: str, environment: dict[str, str], bounds: Bounds | None, input: bytes | None,
    timeout: float | None, most: int, whole: str | None, started: Callable[[int], None], asked: Callable[[], bool],
    redact: Callable[[bytes], bytes],
) -> Done:  # fmt: skip
    """Run the words with exactly that environment and wait until they, and all that they have started, have ended.
    `started` hears the process group. OSError when they cannot be started."""
    began = time.monotonic()
    job = {
        "words": words, "folder": folder, "environment": environment, "parent": os.getpid(),
        "rules": None if bounds is None else bounds.rules(), "network": bounds is None or bounds.network,
    }  # fmt: skip
    output, told, pid = spawn.start(marshal.dumps(job), input)
    watch = _Watch(pid, output, told, None if timeout is None else began + timeout, started, asked)
    with Catch(most, whole, redact) as catch:
        try:
            watch.until_it_ends(catch)
            status = watch.finish(catch)
            catch.finish()
        finally:
            watch.close()
    if watch.error:
        raise OSError(watch.error, os.strerror(watch.error), words[0])
    return Done(catch.data(), catch.size, status, watch.ended_by, time.monotonic() - began, catch.kept_in)


class _Watch:
    """The tool while it runs, by what the process between us tells of it."""

    def __init__(
        self, pid: int, output: int, told: int, deadline: float | None, started: Callable[[int], None],
        asked: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.ended_by: str | None = None
        self.error = 0
        self._pid, self._output, self._told = pid, output, told
        self._group = 0
        self._status: int | None = None
        self._deadline = deadline
        self._started, self._asked = started, asked
        self._lines = b""

    def until_it_ends(self, catch: Catch) -> None:
        """Until nobody is left who could tell of the tool."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        poll.register(self._told, select.POLLIN)
        give_up = float("inf")
        open_fds = {self._output, self._told}
        while self._told in open_fds and time.monotonic() < give_up:
            for fd, _ in poll.poll(self._pause() * 1000):
                data = _read(fd)
                if data == b"":
                    poll.unregister(fd)
                    open_fds.discard(fd)
                elif data and fd == self._output:
                    catch.add(data)
                elif data:
                    self._hear(data)
            if self.ended_by is None and self._status is None and (why := self._reason()):
                self.ended_by = why
                os.kill(self._pid, signal.SIGTERM)
                give_up = time.monotonic() + _LATE
            if self._status is not None and give_up == float("inf"):
                give_up = time.monotonic() + _LATE

    def _pause(self) -> float:
        """Seconds until there is something to ask."""
        left = float("inf") if self._deadline is None or self.ended_by else self._deadline - time.monotonic()
        return max(0.001, min(_POLL, left))

    def _reason(self) -> str | None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "timeout"
        return "asked" if self._asked() else None

    def _hear(self, data: bytes) -> None:
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            kind, number = line[:1], int(line[2:])
            if kind == b"P":
                self._group = number
                self._started(number)
            elif kind == b"E":
                self.error = number
            else:
                self._status = number

    def finish(self, catch: Catch) -> int:
        """Take what is left of the output when nobody is left who could write it; the tool's exit status."""
        self._end()
        left = _DRAINED  # who has escaped us may write for ever
        while left > 0 and (data := _read(self._output)):
            catch.add(data)
            left -= len(data)
        return 128 + signal.SIGKILL if self._status is None else self._status

    def _end(self) -> None:
        """See the process between us ended: it ends all others first, unless it has been killed itself."""
        if not self._pid:
            return
        os.kill(self._pid, signal.SIGUSR1)
        give_up = time.monotonic() + _LATE
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > give_up:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.002)
        self._pid = 0
        if self._status is None and self._group:
            try:
                os.killpg(self._group, signal.SIGKILL)
            except ProcessLookupError:
                return

    def close(self) -> None:
        """End what still runs (somebody has raised), and forget it."""
        self._end()
        os.close(self._output)
        os.close(self._told)


def _read(fd: int) -> bytes | None:
    """What is there now; b'' at the end, None when nothing is there yet."""
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None
