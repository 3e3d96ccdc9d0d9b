"""Signals while DuckDB works: it ends its query for them with a RuntimeError of its own, which hides the exception
that their handler raised; here that exception comes back."""

from __future__ import annotations

import os
import signal
import threading


class Signals:
    """Notes the signals that arrive, until `close`. Only a main thread gets signals; elsewhere it notes none."""

    __slots__ = ("_old", "_read", "_write")

    def __init__(self) -> None:
        self._read = self._write = -1
        if threading.current_thread() is not threading.main_thread():
            return
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def again(self) -> None:
        """Call the handler of the last signal again: it raises. Returns when there was none."""
        if self._read < 0:
            return
        try:
            numbers = os.read(self._read, 1024)
        except BlockingIOError:
            return
        handler = signal.getsignal(numbers[-1])
        if callable(handler):
            handler(numbers[-1], None)

    def close(self) -> None:
        if self._read >= 0:
            signal.set_wakeup_fd(self._old)
            os.close(self._read)
            os.close(self._write)
            self._read = self._write = -1
