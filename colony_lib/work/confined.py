"""The process between us and a tool: it starts the tool within its bounds, and sees to it that nothing is left.

    python -I -S -c '…' LIBRARY JOB TELL

JOB is a descriptor with what is to be done (marshal: the same Python reads it as wrote it, and nothing of it shows in
a process list), TELL one for lines: `P pid`, then `E errno` or `S status`. It is a program of its own, so that nothing
is done between fork and exec in a process with threads. It outlives the tool, adopts what the tool leaves behind, and
ends that: at SIGTERM as well, and at once when we are killed (SIGUSR1).
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what `signal` wraps; its enums alone would cost 5 ms
import errno
import marshal
import os
import sys
import time

from colony_lib.base import landlock, seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GRACE = 2.0  # seconds between TERM and KILL
_OPEN_FILES, _LARGEST = 1024, 10 << 30


def main() -> None:
    job_fd, tell = int(sys.argv[2]), int(sys.argv[3])
    with open(job_fd, "rb") as file:
        job = marshal.load(file)
    os.set_inheritable(tell, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1})
    seal.die_with_parent(signal.SIGUSR1)
    if os.getppid() != job["parent"]:
        return
    seal.adopt_orphans()
    pid = os.fork()
    if pid == 0:
        _become(job, tell)
    os.write(tell, b"P %d\n" % pid)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    for fd in range(3):
        os.dup2(null, fd)
    _attend(pid, tell)


def _become(job: dict[str, Any], tell: int) -> None:
    """In the child: turn into the tool; or tell why not, and end."""
    try:
        os.setsid()
        supervisor = os.getppid()
        seal.die_with_parent(signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        _set_up(job, tell)
        os.execvpe(job["words"][0], job["words"], job["environment"])
    except (OSError, ValueError) as error:
        os.write(tell, b"E %d\n" % (getattr(error, "errno", 0) or errno.EINVAL))
    finally:
        os._exit(127)


def _set_up(job: dict[str, Any], tell: int) -> None:
    import resource

    os.umask(0o022)
    os.chdir(job["folder"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    most = _LARGEST if hard == resource.RLIM_INFINITY else min(_LARGEST, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.closerange(3, tell)
    os.closerange(tell + 1, os.sysconf("SC_OPEN_MAX"))
    if job["rules"] is not None:
        seal.no_new_privileges()
        if not job["network"]:
            seal.no_network()
        landlock.restrict(job["rules"], network=job["network"])


def _attend(pid: int, tell: int) -> None:
    """Wait for the tool, end it when asked to, and then end all that it has left."""
    patience = GRACE
    while True:
        number = signal.sigwaitinfo({signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1}).si_signo
        if number != signal.SIGCHLD:
            patience = GRACE if number == signal.SIGTERM else 0.0
            break
        if _reap(pid, tell):
            break
    _end_all(pid, tell, patience)


def _reap(pid: int, tell: int) -> bool | None:
    """Take note of what has ended: True when the tool is among it, None when no process is left."""
    ended = False
    try:
        while True:
            found, status = os.waitpid(-1, os.WNOHANG)
            if found == 0:
                return ended
            if found == pid:
                ended = True
                code = os.waitstatus_to_exitcode(status)
                os.write(tell, b"S %d\n" % (code if code >= 0 else 128 - code))
    except ChildProcessError:
        return True if ended else None
    except BrokenPipeError:
        return ended  # nobody is there to be told


def _end_all(pid: int, tell: int, patience: float) -> None:
    """TERM for every process below us, KILL when it has had its time."""
    deadline = time.monotonic() + patience
    told: set[int] = set()
    while _reap(pid, tell) is not None:
        over = time.monotonic() >= deadline
        number = signal.SIGKILL if over else signal.SIGTERM
        for each in _descendants():
            if over or each not in told:
                told.add(each)
                _kill(each, number)
        signal.sigtimedwait({signal.SIGCHLD}, 0.02)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it has ended, or is no longer ours to end


def _descendants() -> list[int]:
    """The processes below this one."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    found = {os.getpid()}
    grown = True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(new)
        found |= new
    return list(found - {os.getpid()})
