"""The shell in which a command runs, which outlives all of us if it must, and what it and its supervisor say.

It inherits the attempt's lock (which so is held as long as the attempt lives, whoever else dies). When the command has
ended it tells its supervisor, and stays until that has recorded the end; when it finds that its supervisor is gone, it
turns into `colony-run-step --finish`, which records what the supervisor would have recorded.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import fcntl
import os
import select
import sys
import time

from colony_lib.base import jsontext
from colony_lib.store import env
from colony_lib.store.redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

GRACE = 5.0  # seconds between TERM and KILL
LOCK_FD = 9  # where the wrapper finds the attempt's lock
TELL_FD = 8  # where it tells its supervisor the command's exit status
HEAR_FD = 7  # where it hears that this has been recorded

# The wrapper tells its pid, its machine and the attempt's lease in the lock file, and runs the command with its own
# descriptors closed, so that what the command leaves behind does not hold them. A shell that is ended by its command
# (`set -e`, a mistake in the text) comes to the trap with them still closed: then it can only look whether its
# supervisor is there.
_HEAD = (
    f'echo "$$ $6 ${{COLONY_LEASE##*#}}" >&{LOCK_FD}; '
    "colony_command=$1 colony_parent=$2 colony_python=$3 colony_script=$4 colony_job=$5; shift 6; "
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


def around(command: str) -> str:
    """The shell text of the wrapper for such a command, which then finds it as its first word."""
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
        # Numbers that are not among those under which the wrapper finds them: one put in its place would close another.
        self.telling, self.hearing = _above(self.telling), _above(self.hearing)
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
            self.streams = self.streams or streams()
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


def _above(fd: int) -> int:
    """The descriptor, moved to a number above those that the wrapper uses."""
    if fd > LOCK_FD:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOCK_FD + 1)
    os.close(fd)
    return moved


def streams() -> tuple[int, int, int]:
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


def watch(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def end_group(pid: int, gone: Callable[[], bool], grace: float = GRACE) -> None:
    """End the process group: TERM, and KILL when some of it is still there after `grace` seconds. `gone` reaps
    the leader and says whether it has ended."""
    ended, looks = gone(), 0
    deadline = time.monotonic() + grace
    if _signal_group(pid, signal.SIGTERM):
        while time.monotonic() < deadline:
            ended = ended or gone()
            looks += 1
            if not _signal_group(pid, 0) or (looks % 5 == 0 and _is_dead(pid)):
                break
            time.sleep(0.01)
        else:
            _signal_group(pid, signal.SIGKILL)
    while not ended:
        time.sleep(0.005)
        ended = gone()


def _is_dead(group: int) -> bool:
    """Whether all that is left of the group has ended, and nobody has taken notice yet: the first process of a
    container, which inherits what a killed shell had started, often does so late or never."""
    states = set()
    try:
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as file:
                        state, _, its = file.read().rpartition(b")")[2].split()[:3]
                except (OSError, ValueError):
                    continue  # it has gone meanwhile
                if int(its) == group:
                    states.add(state)
    except OSError:
        return False  # there is no /proc here
    return bool(states) and states <= {b"Z", b"X"}


def _signal_group(pid: int, number: int) -> bool:
    """Send the signal; False when the group has no process any more."""
    try:
        os.killpg(pid, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False
