"""The envelope: the JSON file that one data tool hands to the next, a head and its records one on a line.

`{"v":1,"source":"flights","date":"2013-01-31",…,"record_count":842,"data":[` stands on the first line, each record
on one of its own, `]}` on the last: jq reads it as one document, grep by line, and memory stays bounded.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from colony_lib.base import files, jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.data import readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, Any

    Row = dict[str, Any]

VERSION = 1
_COUNT_WIDTH = 12  # the count is known last and stands first: its place is kept by spaces, which JSON allows
_BLOCK = 1 << 20
_END = b"]}"
_LAST = _END + b"\n"  # the last line
WHOLE = 1 << 25  # bytes; of a larger envelope the records are not held


class Writer:
    """`with Writer(path, head) as out: out.add(row)` — the file appears whole, with its count, when the block ends;
    after an exception (or Ctrl-C) what was there before is untouched."""

    __slots__ = ("_buffer", "_count_at", "_fd", "_replacing", "_size", "count", "head", "path")

    def __init__(self, path: str, head: dict[str, Any], *, durable: bool = True) -> None:
        self.path = path
        self.head = {"v": VERSION, **{k: v for k, v in head.items() if k not in ("v", "record_count", "data")}}
        self.count = 0
        self._replacing = files.replacing(path, durable=durable)
        self._buffer: list[str] = []
        self._size = 0
        self._fd = -1
        self._count_at = 0

    def __enter__(self) -> Writer:
        start = files.redacted(jsontext.dumps(self.head)[:-1] + ',"record_count":').encode()
        self._count_at = len(start)
        self._fd = self._replacing.__enter__()
        self._finishing(lambda: files.write_all(self._fd, start + b" " * _COUNT_WIDTH + b',"data":['))
        return self

    def add(self, row: Row) -> None:
        """One more record; ColonyError (USAGE) when it cannot be JSON (NaN, an infinity)."""
        self.add_line(jsontext.dumps(row))

    def add_line(self, line: str) -> None:
        """One more record that is one line of JSON already, as jsontext.dumps gives it."""
        self.add_lines([line])

    def add_lines(self, lines: list[str]) -> None:
        """As many more."""
        if not lines:
            return
        text = ",\n".join(lines)
        self._buffer.append((",\n" if self.count else "\n") + text)
        self.count += len(lines)
        self._size += len(text)
        if self._size > _BLOCK:
            self._flush()

    def _flush(self) -> None:
        text, self._buffer, self._size = "".join(self._buffer), [], 0
        files.write_all(self._fd, files.redacted(text).encode())

    def _end(self) -> None:
        self._buffer.append("\n]}\n")
        self._flush()
        os.pwrite(self._fd, f"{self.count:{_COUNT_WIDTH}d}".encode(), self._count_at)

    def _finishing(self, act: Callable[[], None]) -> None:
        """Do it; whatever goes wrong, the temporary file goes too and the error says which file it was for."""
        try:
            act()
        except BaseException as error:
            self._replacing.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._finishing(self._end)
        self._replacing.__exit__(kind, error, trace)


def write(path: str, head: dict[str, Any], rows: Iterable[Row], *, durable: bool = True) -> int:
    """Replace the file by an envelope of these records, as they come; returns their count."""
    with Writer(path, head, durable=durable) as out:
        for row in rows:
            out.add(row)
    return out.count


def write_lines(path: str, head: dict[str, Any], lines: Iterable[list[str]]) -> int:
    """The same of records that are lines of JSON already, some at a time; see Writer.add_line."""
    with Writer(path, head) as out:
        for some in lines:
            out.add_lines(some)
    return out.count


def read(path: str) -> tuple[dict[str, Any], list[Row]]:
    """(head, records) of an envelope. FileNotFoundError when it is not there; ColonyError (FAILED) when it is not
    whole: its last line is missing, or it does not hold as many records as its head says."""
    head, rows = stream(path)
    return head, list(rows)


class Records(Sequence):  # type: ignore[type-arg]
    """The records of an envelope that was written here, read anew each time somebody goes through them, always from
    the file that had the name at first. `[place]` is for places in rising order: the file is gone through once."""

    __slots__ = ("_file", "_lines", "_next", "head", "path")

    def __init__(self, path: str, file: IO[bytes], head: dict[str, Any]) -> None:
        self.path = path
        self.head = head
        self._file = file
        self._next = 0  # place of the record that _lines gives next
        self._lines: Iterator[bytes] = iter(())

    def _open(self) -> IO[bytes]:
        return io.BufferedReader(_Pread(self._file.fileno()), _BLOCK)

    def __len__(self) -> int:
        count = self.head.get("record_count")
        return count if isinstance(count, int) else 0

    def __iter__(self) -> Iterator[Row]:
        file = self._open()
        file.readline()
        return _lines(file, self.path, self.head)

    def __getitem__(self, place: Any) -> Any:
        if place < self._next or not self._next:
            self._lines = iter(self._open())
            self._next = -1  # the head's line
        line = b""
        while self._next <= place:
            line = next(self._lines)
            self._next += 1
        return jsontext.loads(line.rstrip(b",\r\n"), where=f"{self.path}:{place + 2}")


class _Pread(io.RawIOBase):
    """A file from its start, whatever others have read of it by the same descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._fd, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def records(path: str) -> tuple[dict[str, Any], Sequence[Row]]:
    """As `read`, but of a file over WHOLE bytes the records stay in it and are read when they are gone through; what is
    wrong with one is raised then."""
    large = _large(path)
    return (large.head, large) if large is not None else read(path)


def _large(path: str) -> Records | None:
    """The records of an envelope of more than WHOLE bytes that was written here; None for anything else."""
    file = os.fdopen(files.open_regular(path), "rb", _BLOCK)
    if os.fstat(file.fileno()).st_size > WHOLE and (head := _own_head(file, path)) is not None:
        return Records(path, file, head)
    file.close()
    return None


def _own_head(file: IO[bytes], path: str) -> dict[str, Any] | None:
    """The head of an envelope that was written here, its first line; None for anything else."""
    first = file.readline(_BLOCK)
    if not (first.startswith(b'{"v":1,') and first.endswith(b'"data":[\n')):
        return None
    head: dict[str, Any] = jsontext.loads(first[:-1] + _END, where=f"{path}:1")
    head.pop("data")
    return head


def stream(path: str) -> tuple[dict[str, Any], Iterator[Row]]:
    """As `read`, but the records come one by one; what is wrong with one is raised when it is reached.

    An envelope that was not written here (indented, say) is read as one document.
    """
    fd = files.open_regular(path)
    file = os.fdopen(fd, "rb", _BLOCK)
    head = _own_head(file, path)
    if head is not None:
        return head, _lines(file, path, head)
    file.close()
    head, rows = _whole(jsontext.loads(files.read_bytes(path), where=path), path)
    return head, iter(rows)


def _lines(file: IO[bytes], path: str, head: dict[str, Any]) -> Iterator[Row]:
    count = 0
    ended = False
    with file:
        for block in _blocks(file):
            body = block.removesuffix(_LAST)
            rows = jsontext.loads_items(body) if body[-1:] == b"\n" else None
            if rows is not None and all(type(row) is dict for row in rows):
                yield from rows
                count += len(rows)
                ended = body is not block
            else:
                for row in _one_by_one(block, path, count + 2):
                    if row is None:
                        ended = True
                        break
                    yield row
                    count += 1
            if ended:
                break
    if not ended or count != head.get("record_count"):
        raise _torn(path, head.get("record_count"), count)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of the file, some whole lines at a time."""
    begun: list[bytes] = []
    while block := file.read(_BLOCK):
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, block[:end]])
            begun = []
        begun.append(block[end:])
    last = b"".join(begun)
    if last:
        yield last


def _one_by_one(block: bytes, path: str, first: int) -> Iterator[Row | None]:
    """The records of lines that are not as we write them, with an error that says which; None is the end of all."""
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), first):
        if line.rstrip() == _END:
            yield None
            return
        row = jsontext.loads(line.rstrip(b",\r\n"), where=f"{path}:{number}")
        if not isinstance(row, dict):
            raise ColonyError("the record is not a JSON object", where=f"{path}:{number}", code=FAILED)
        yield row


def _torn(path: str, said: Any, count: int) -> ColonyError:
    return ColonyError(
        f"'{path}' is not whole: its head says {escape(said)} records, it holds {count:,}",
        fix="make it anew",
        code=FAILED,
    )


def _whole(value: Any, path: str) -> tuple[dict[str, Any], list[Row]]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise ColonyError(f"'{path}' is not an envelope: there is no list 'data' in it", code=FAILED)
    head = {key: item for key, item in value.items() if key != "data"}
    if "record_count" in head and head["record_count"] != len(value["data"]):
        raise _torn(path, head["record_count"], len(value["data"]))
    return head, value["data"]


def open_rows(path: str, problems: readers.Problems | None = None) -> tuple[dict[str, Any], Iterable[Row]]:
    """(head, records) of any table of records: an envelope, a JSON list, NDJSON or CSV; '-' is standard input.

    The head says the `format` found, and of CSV the `columns`. A record that cannot be read (not an object, a
    line that is not JSON, a row with too few or too many cells) goes to `problems` as (line or place, reason,
    what it was) and is passed over; without `problems` it is a ColonyError with file and line. FileNotFoundError
    when there is no file; nothing at all in it is no records.
    """
    name = "standard input" if path == "-" else path
    large = _large(path) if path != "-" else None
    if large is not None:
        return {**large.head, "format": "envelope"}, large
    data = readers.unzip(_bytes(path), name)
    kind = readers.detect(data, path)
    refuse: readers.Problems = problems if problems is not None else readers.Refusing(name)
    if kind == "csv":
        table = readers.Csv(data, name, refuse, delimiter="\t" if readers.suffix(path) == ".tsv" else ",")
        return {"format": kind, "columns": table.columns}, iter(table)
    if kind == "ndjson":
        return {"format": kind}, readers.ndjson(data, name, refuse)
    value = jsontext.loads(data, where=name) if data.strip() else []
    if isinstance(value, dict):
        if isinstance(value.get("data"), list):
            head, rows = _whole(value, name)
            return {**head, "format": "envelope"}, readers.objects(rows, refuse)
        value = [value]
    if not isinstance(value, list):
        raise ColonyError("there is no table in it: neither a list nor an object", where=name, code=USAGE)
    return {"format": kind}, readers.objects(value, refuse)


def _bytes(path: str) -> bytes:
    if path != "-":
        return files.read_bytes(path)
    data = sys.stdin.buffer.read(files.LIMIT + 1)
    if len(data) > files.LIMIT:
        raise ColonyError(f"standard input is larger than {plural(files.LIMIT, 'byte')}", code=USAGE)
    return data
