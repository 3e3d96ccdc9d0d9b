"""Starts the process that starts a tool (work/confined.py), without a fork of this one, which may have threads."""

from __future__ import annotations

import os
import sys

from colony_lib.base import files

_JOB, _TELL = 3, 4  # descriptors of the process that starts the tool
_PROGRAM = "import sys; sys.path[:0] = sys.argv[1:2]; from colony_lib.work import confined; confined.main()"
LIBRARY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start(job: bytes, input: bytes | None) -> tuple[int, int, int]:
    """Start the process that starts the tool: descriptors of its output and of what is told of it, the pid."""
    opened = [_memory(job), os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) if input is None else _memory(input)]
    output, to_output = os.pipe2(os.O_CLOEXEC)
    told, to_told = os.pipe2(os.O_CLOEXEC)
    opened += [to_output, to_told]
    try:
        # Copies far above, so that none is overwritten before it has been put in its place.
        high = [_above(fd) for fd in opened]
        opened += high
        places = [(high[1], 0), (high[2], 1), (high[2], 2), (high[0], _JOB), (high[3], _TELL)]
        line = [sys.executable, "-I", "-S", "-c", _PROGRAM, LIBRARY, str(_JOB), str(_TELL)]
        pid = os.posix_spawn(
            sys.executable, line, {"LC_ALL": "C.UTF-8"}, setsid=True, setsigmask=[],
            file_actions=[(os.POSIX_SPAWN_DUP2, *place) for place in places],
        )  # fmt: skip
    except BaseException:
        os.close(output)
        os.close(told)
        raise
    finally:
        for fd in opened:
            os.close(fd)
    os.set_blocking(output, False)
    os.set_blocking(told, False)
    return output, told, pid


def _above(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _memory(data: bytes) -> int:
    """A descriptor from which the data can be read, of no file on a disk."""
    fd = os.memfd_create("colony", os.MFD_CLOEXEC)
    files.write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
