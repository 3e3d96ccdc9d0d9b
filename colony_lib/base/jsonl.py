"""Journals: files of JSON lines that only grow, each line with an id of its own, so that twice is once."""

from __future__ import annotations

import os
import stat

from colony_lib.base import jsontext, locks
from colony_lib.base.errors import ColonyError, failed
from colony_lib.base.files import make_dirs, open_regular, redacted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, BinaryIO

    Problem = tuple[str, int, str]  # file, line number, why

LINE_LIMIT = 64 * 1024 * 1024  # bytes; a longer line is somebody's damage
_BLOCK = 1 << 20
TOO_LONG = b"\x00 too long"


def _line(record: dict[str, Any]) -> str:
    if "id" not in record or "v" not in record:
        raise AssertionError(f"a journal's record needs 'id' and 'v': {list(record)}")
    return jsontext.dumps(record) + "\n"


def _mend(fd: int) -> int:
    """The size to append at, after the torn end that a killed writer may have left is mended.

    A last line without a newline was never acknowledged: whole JSON gets its newline, anything else goes.
    The lock is held.
    """
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size
    start = size
    tail = b""
    while start > 0 and b"\n" not in tail:
        step = min(_BLOCK, start)
        start -= step
        tail = os.pread(fd, step, start) + tail
    torn = tail[tail.rfind(b"\n") + 1 :]
    try:
        whole = isinstance(jsontext.loads(torn), dict)
    except ColonyError:
        whole = False
    if whole:
        os.write(fd, b"\n")
        return size + 1
    os.ftruncate(fd, size - len(torn))
    return size - len(torn)


def open_append(path: str) -> int:
    """A descriptor to append with; the folder is made when it is not there, a symbolic link refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            make_dirs(os.path.dirname(path))
            fd = os.open(path, flags, 0o666)
    except OSError as error:
        raise failed("append to", path, error) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # a FIFO would take the records and lose them
        os.close(fd)
        raise ColonyError(f"'{path}' is not a regular file")
    return fd


def append_to(fd: int, path: str, records: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Append the records by one write, and return where in the file they begin and end. The caller holds the
    journal's lock.

    A write that fails or falls short is taken back: the journal is as before and ColonyError says why.
    """
    data = redacted("".join(map(_line, records))).encode("utf-8")
    if not data:
        return 0, 0
    try:
        size = _mend(fd)
        try:
            written = os.write(fd, data)
            while written < len(data):
                written += os.write(fd, data[written:])
        except OSError:
            os.ftruncate(fd, size)
            raise
    except OSError as error:
        raise failed("append to", path, error) from None
    return size, size + len(data)


def append(path: str, records: Iterable[dict[str, Any]], *, lock: str, durable: bool = False) -> tuple[int, int]:
    """Append whole lines under the lock, and return where in the file they begin and end. With `durable` the call
    returns when they are on the disk.

    The fsync comes after the lock is given back, so that the fsyncs of many writers share the disk's work.
    """
    fd = -1
    try:
        with locks.held(lock):
            fd = open_append(path)
            new = durable and os.fstat(fd).st_size == 0
            place = append_to(fd, path, records)
        if durable:
            sync(fd, path, new=new)
        return place
    finally:
        if fd >= 0:
            os.close(fd)


def sync(fd: int, path: str, *, new: bool = False) -> None:
    """Make what was appended durable; for a new file its name too."""
    from colony_lib.base.files import sync_folder

    try:
        os.fdatasync(fd)
        if new:
            sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise failed("make durable", path, error) from None


def lines(path: str, *, start: int = 0, follow_links: bool = False) -> Iterator[tuple[int, bytes, bool]]:
    """(offset, line without its newline, whether the newline was there) from byte `start` on; nothing when
    there is no file. Lines end at '\\n' only."""
    try:
        fd = open_regular(path, follow=follow_links)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb", _BLOCK) as file:
        yield from _lines(file, start)


def _lines(file: BinaryIO, offset: int) -> Iterator[tuple[int, bytes, bool]]:
    file.seek(offset)
    while True:
        line = file.readline(LINE_LIMIT)
        if not line:
            return
        length = len(line)
        if line.endswith(b"\n"):
            yield offset, line[:-1], True
        elif length < LINE_LIMIT:
            yield offset, line, False
            return  # were its rest to come meanwhile, that would look like a line of its own
        else:
            while line and not line.endswith(b"\n"):
                line = file.readline(_BLOCK)
                length += len(line)
            yield offset, TOO_LONG, True
        offset += length


def iterate(
    path: str,
    problems: list[Problem] | None = None,
    *,
    start: int = 0,
    check: Callable[[dict[str, Any]], str | None] | None = None,
) -> Iterator[dict[str, Any]]:
    """The journal's records in the order of the file, as they are read, repeats included.

    A torn last line is passed over in silence (its writer never acknowledged it); any other line that is no
    JSON object with an id, or of which `check` says what is wrong with it, is added to `problems` and skipped.
    """
    for number, values in _values(path, start):
        for record in values:
            number += 1
            if isinstance(record, dict) and isinstance(record.get("id"), str):
                why = check(record) if check is not None else None
                if why is None:
                    yield record
                    continue
            elif record is _BLANK:
                continue
            else:
                why = record.why if isinstance(record, _Unreadable) else "not an object with an 'id'"
            if problems is not None:
                problems.append((path, number, why))


class _Unreadable:
    """A line that is not JSON."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


_BLANK = object()


def _values(path: str, start: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """(how many lines stand before, the values of the next ones: what the line holds, an _Unreadable, or _BLANK
    for a blank or torn line), block by block.

    Blocks in which every line is JSON, which is to say nearly all, are taken apart at once.
    """
    try:
        fd = open_regular(path, follow=False)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb", _BLOCK) as file:
        offset, number = start, 0
        while True:
            block = os.pread(fd, _BLOCK, offset)
            block = block[: block.rfind(b"\n") + 1]
            if not block:
                break  # the end, or a line that is longer than a block
            found = jsontext.loads_lines(block)
            if found is None:
                found = [_value(line) for line in block[:-1].split(b"\n")]
            yield number, found
            number += len(found)
            offset += len(block)
        for _, line, ended in _lines(file, offset):
            value = _value(line)
            yield number, (_BLANK if isinstance(value, _Unreadable) and not ended else value,)
            number += 1


def _value(line: bytes) -> Any:
    if not line or line.isspace():
        return _BLANK
    if line == TOO_LONG:
        return _Unreadable("too long")
    try:
        return jsontext.loads(line)
    except ColonyError as error:
        return _Unreadable(error.what)


def read(path: str, problems: list[Problem] | None = None, *, start: int = 0) -> list[dict[str, Any]]:
    """All records of the journal, each id once (its first line), in the order of the file."""
    seen: dict[str, dict[str, Any]] = {}
    for record in iterate(path, problems, start=start):
        seen.setdefault(record["id"], record)
    return list(seen.values())


def tail_lines(path: str, before: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(offset, line) from the end of the file backwards, reading only as much as is asked for.

    A torn last line is left out. `before` is the byte to begin under, default the end.
    """
    try:
        fd = open_regular(path, follow=False)
    except FileNotFoundError:
        return
    try:
        end = os.fstat(fd).st_size if before is None else before
        rest = b""
        torn = before is None
        while end > 0:
            step = min(_BLOCK // 4, end)
            end -= step
            parts = (os.pread(fd, step, end) + rest).split(b"\n")
            rest = parts[0]
            offset = end + sum(len(part) + 1 for part in parts)
            for part in reversed(parts[1:]):
                offset -= len(part) + 1
                if torn:
                    torn = False  # what stands after the last newline
                elif part:
                    yield offset, part
        if rest and not torn:
            yield 0, rest
    finally:
        os.close(fd)
