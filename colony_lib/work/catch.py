"""The output of a tool, as it comes: redacted, its head and its tail kept, the whole of a long one in a file."""

from __future__ import annotations

from colony_lib.base import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PIECE = 1 << 20  # bytes that are redacted at once
_LINE = 4 * _PIECE  # bytes after which a line without an end is cut
_WINDOW = 1 << 14  # bytes before and after a cut that are looked at for a secret in it
KEPT = 50 << 20  # bytes of a long output that are kept


class Catch:
    """`with Catch(…) as catch:` — takes output with `add`, until `finish`. Then it has `data()` (at most `most` bytes:
    of more, the first 60 % and the last 40 %), the `size` of it all, and `kept_in`: `whole`, when all that came did not
    fit and is in that file."""

    def __init__(self, most: int, whole: str | None, redact: Callable[[bytes], bytes]) -> None:
        self.size = 0
        self.kept_in: str | None = None
        self._most, self._whole, self._redact = most, whole, redact
        self._raw = bytearray()  # not yet redacted
        self._head = bytearray()  # all as long as it fits, then the first 60 %
        self._tail = bytearray()
        self._over = False
        self._dropped = 0
        self._file: files.replacing | None = None

    def __enter__(self) -> Catch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an exception there is no file."""
        if self._file is not None:
            file, self._file = self._file, None
            file.__exit__(kind, error, trace)

    def add(self, data: bytes) -> None:
        self._raw += data
        while len(self._raw) >= 2 * _PIECE + self._most:
            if self.size >= KEPT:
                # Of the rest only the end will be shown: what stands before it is counted, and need not be redacted.
                self._drop(len(self._raw) - _PIECE - self._most)
                return
            cut = self._cut()
            if not cut:
                return
            self._take(bytes(self._raw[:cut]))
            del self._raw[:cut]

    def _cut(self) -> int:
        """Where what has come can be cut in two without cutting a secret; 0 when nowhere yet. Secrets of several lines
        are redacted line by line."""
        cut = self._raw.rfind(b"\n", 0, 2 * _PIECE) + 1
        if cut or len(self._raw) < _LINE:
            return cut
        for cut in range(_LINE - _WINDOW, _WINDOW, -_WINDOW):
            before, after = bytes(self._raw[cut - _WINDOW : cut]), bytes(self._raw[cut : cut + _WINDOW])
            if self._redact(before + after) == self._redact(before) + self._redact(after):
                return cut
        return len(self._raw)

    def _drop(self, count: int) -> None:
        del self._raw[:count]
        self.size += count
        self._dropped += count

    def _take(self, data: bytes) -> None:
        data = self._redact(data)
        self.size += len(data)
        tail = self._most - self._most * 6 // 10
        if not self._over:
            self._head += data
            if len(self._head) <= self._most:
                return
            self._over = True
            data = bytes(self._head)
            del self._head[self._most - tail :]
        self._tail = (self._tail + data[-tail:])[-tail:]
        if self._whole is not None and not self._dropped:
            self._save(data)

    def _save(self, data: bytes) -> None:
        if self._file is None:
            self._file = files.replacing(self._whole or "", durable=False)
            self._file.__enter__()
        files.write_all(self._file.fd, data)

    def finish(self) -> None:
        """All has come."""
        self._take(bytes(self._raw))
        self._raw.clear()
        if self._file is not None:
            if self._dropped:
                self._save(f"\n[{self._dropped:,} bytes or more that came after this are not kept]\n".encode())
            self.kept_in = self._whole

    def data(self) -> bytes:
        return bytes(self._head + self._tail)
