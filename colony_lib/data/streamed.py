"""Records out of a reply that is too large to hold: a JSON array, wherever it lies in the reply, or NDJSON, read from a
file a portion at a time."""

from __future__ import annotations

import hashlib
import io

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import IO, Any

LARGE = 8 * 1024 * 1024  # bytes of a reply from which on it is read so
RECORD_LIMIT = 16 * 1024 * 1024  # characters of one record, or of all that is beside the records
_PORTION = 1 << 20
_BATCH = 1000
_SPACE = " \t\n\r"


class Seen:
    """What is left of the records of a page once they have gone by: how many they were, and a `content` by which pages
    are compared, where there are others."""

    def __init__(self, *, others: bool = True) -> None:
        self.count = 0
        self._others = others
        self._hash = hashlib.blake2b(digest_size=16)

    def __len__(self) -> int:
        return self.count

    def add(self, records: list[Any]) -> None:
        self.count += len(records)
        if self._others:
            self._hash.update(jsontext.dumps(records).encode())

    @property
    def content(self) -> bytes:
        return self._hash.digest()


class Lines:
    """The records of NDJSON; a line that is none is a problem with its number. `value` tells of no next page."""

    def __init__(self, file: IO[bytes], problems: readers.Problems) -> None:
        self.file = file
        self.problems = problems
        self.value: Any = []

    def batches(self) -> Iterator[list[Any]]:
        self.file.seek(0)
        number = 0
        while block := self.file.read(_PORTION):
            if not block.endswith(b"\n"):
                block += self.file.readline(RECORD_LIMIT + 1)
            records = jsontext.loads_lines(block)
            if records is not None and all(type(record) is dict for record in records):
                number += len(records)
                yield records
                continue
            batch: list[Any] = []
            for line in block.removesuffix(b"\n").split(b"\n"):
                number += 1
                if len(line) > RECORD_LIMIT:
                    self._pass_over(number, line, block.endswith(b"\n"))
                else:
                    batch += readers.ndjson_line(line, number, self.problems)
            yield batch

    def _pass_over(self, number: int, line: bytes, ended: bool) -> None:
        """Of a line that is too long, which is the last of its block, what follows is passed over as well."""
        self.problems.append((number, f"the line is longer than {RECORD_LIMIT:,} bytes", readers.shown(line[:2001])))
        while not ended:
            rest = self.file.readline(_PORTION)
            ended = not rest or rest.endswith(b"\n")


def cut_short(file: IO[bytes]) -> bool:
    """Whether NDJSON ends in the middle of a record: its last line has no end, and is no JSON."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - RECORD_LIMIT, 0))
    last = file.read()
    if not last or last.endswith(b"\n"):
        return False
    try:
        jsontext.loads(last.rpartition(b"\n")[2])
    except ColonyError:
        return True
    return False


class Document:
    """The records of a JSON reply, at the dotted `path`, else the reply itself, else its only list; afterwards `value`
    is the reply without them. ColonyError (FAILED) for what is no JSON, or no records."""

    def __init__(self, file: IO[bytes], path: str | None, said: str = "the reply is not JSON") -> None:
        import json.decoder  # noqa: F401 - the C scanner raises its errors only where the package is loaded

        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        self._path = path
        self._said = said
        self._buffer = ""
        self._place = 0
        self._ended = False
        self._suspect = False  # of holding a lone surrogate
        self._found = False
        self.value: Any = None

    def batches(self) -> Iterator[list[Any]]:
        try:
            self.value = yield from self._walk(self._path.split(".") if self._path else [], top=True)
            if self._next():
                raise ValueError("there is more behind its end")
        except UnicodeError:
            raise ColonyError(f"{self._said}: not UTF-8 text", code=FAILED) from None
        except ValueError as error:
            raise ColonyError(f"{self._said}: {error}", code=FAILED) from None
        except RecursionError:
            raise ColonyError(f"{self._said}: nested too deeply", code=FAILED) from None
        finally:
            self._text.detach()  # the file is its owner's to close
        rest = readers.records_in(self.value, self._path)
        if not self._found:
            yield rest

    def _walk(self, keys: list[str], *, top: bool = False) -> Generator[list[Any], None, Any]:
        """The records, if they are in this value; returns the value without them."""
        first = self._next()
        if first == "[" and not keys and (not top or not self._path) and not self._found:
            self._found = True
            yield from self._array()
            return []
        if first != "{" or (not keys and not top):
            return self._value()
        found: dict[str, Any] = {}
        self._place += 1
        while self._next() != "}":
            if found:
                self._take(",")
            if self._next() != '"':
                raise ValueError("a name is missing in an object")
            name = self._value()
            self._take(":")
            if (keys and name == keys[0]) or (not self._path and self._next() == "["):
                found[name] = yield from self._walk(keys[1:])
            else:
                found[name] = self._value()
        self._place += 1
        return found

    def _array(self) -> Iterator[list[Any]]:
        self._place += 1
        batch: list[Any] = []
        first = True
        while self._next() != "]":
            if not first:
                self._take(",")
            first = False
            self._next()
            batch.append(self._value())
            if len(batch) == _BATCH:
                yield batch
                batch = []
        self._place += 1
        yield batch

    # -- the text

    def _more(self) -> None:
        kept = self._buffer[self._place :]
        if len(kept) > RECORD_LIMIT:
            raise ColonyError(
                f"a record, or what is beside the records, is longer than {RECORD_LIMIT:,} characters",
                fix="ask for it without that field",
                code=FAILED,
            )
        portion = self._text.read(max(_PORTION, len(kept)))
        self._ended = not portion
        self._buffer, self._place = kept + portion, 0
        self._suspect = "\\ud" in self._buffer or "\\uD" in self._buffer

    def _next(self) -> str:
        """The next character that is no space, not yet taken; '' at the end."""
        while True:
            while self._place < len(self._buffer):
                if self._buffer[self._place] not in _SPACE:
                    return self._buffer[self._place]
                self._place += 1
            if self._ended:
                return ""
            self._more()

    def _take(self, wanted: str) -> None:
        if self._next() != wanted:
            raise ValueError(f"'{wanted}' is missing" if self._next() else "it ends in the middle")
        self._place += 1
        self._next()

    def _value(self) -> Any:
        while True:
            try:
                value, end = jsontext.scan(self._buffer, self._place)
                if end < len(self._buffer) or self._ended:  # a number may go on behind the end
                    break
            except (StopIteration, ValueError):
                if self._ended:
                    short = not self._buffer[self._place :].rstrip(_SPACE).endswith(("]", "}"))
                    raise ValueError("it ends in the middle" if short else "a value is not JSON") from None
            self._more()
        if self._suspect:
            jsontext.loads(self._buffer[self._place : end])  # refuses a lone surrogate
        self._place = end
        return value
