"""Commands on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable

from tests.conftest import Colony, clean_environment


def terminal(
    colony: Colony,
    *words: str,
    rows: int = 24,
    on: Callable[[str], bool] = lambda shown: False,
    env: dict[str, str] | None = None,
) -> tuple[str, int]:
    """(what `colony WORDS…` wrote to a terminal, its exit status); it is left alone until it ends, or interrupted when
    `on(shown so far)` says so. The terminal has `rows` lines of 80 columns."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        os.chdir(colony.root)
        os.execvpe("colony", ["colony", *words], clean_environment(TERM="xterm", **(env or {})))
    shown, interrupted = "", False
    while True:
        try:
            got = os.read(master, 65536)
        except OSError:
            break
        if not got:
            break
        shown += got.decode("utf-8", "replace")
        if not interrupted and on(shown):
            interrupted = True
            os.write(master, b"\x03")
    os.close(master)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
