"""Measures whole processes, one after another: time, CPU and peak memory. A small program of its own.

Linux counts the memory of whoever starts a program to that program's peak, so whoever measures must be smaller than
all that is measured: this is started with `python -I -S` and imports next to nothing. A job comes in by standard
input, its measure goes out by standard output, both in Python's own `marshal`; see `measure.Stopwatch`.
"""

import _signal  # what `signal` wraps, without its enums
import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Job = dict[str, Any]

GROUP = -1  # of the child that runs


def end(number: int, frame: object) -> None:
    """The time is up, or we are to stop: the child and all that stayed in its group end."""
    if GROUP > 0:
        os.killpg(GROUP, _signal.SIGKILL)
    if number != _signal.SIGALRM:
        os._exit(128 + number)


def become(job: "Job") -> "NoReturn":
    os.setsid()  # no terminal: a command behaves as in a pipe, and its group can be ended whole
    os.chdir(job["folder"])
    for target, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if target else os.O_RDONLY
        os.dup2(os.open(path, flags, 0o666), target)
    os.execvpe(job["words"][0], job["words"], job["env"])


def measured(job: "Job") -> "Job":
    """{seconds, cpu_seconds, peak_bytes, status, late} of the command {words, folder, env, out, err, limit}; CPU and
    peak are those of the process and of the children that it waited for."""
    global GROUP
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            become(job)
        except OSError as error:
            os.write(2, f"{job['words'][0]}: {error}\n".encode())
        os._exit(127)
    GROUP = child
    _signal.setitimer(_signal.ITIMER_REAL, job["limit"])
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    GROUP = -1
    try:
        os.killpg(child, _signal.SIGKILL)  # whatever it left behind must not run beside the next one
    except ProcessLookupError:
        pass
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "status": os.waitstatus_to_exitcode(status),
        "late": seconds >= job["limit"],
    }


def main() -> None:
    for number in (_signal.SIGALRM, _signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, end)
    while True:
        try:
            job = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        sys.stdout.buffer.write(marshal.dumps(measured(job)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
