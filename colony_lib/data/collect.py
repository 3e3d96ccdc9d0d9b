"""The records of one fetch as they come: repeats dropped, the rest kept aside until it is known to be whole."""

from __future__ import annotations

import tempfile
from itertools import chain

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.data import seen
from colony_lib.data.drift import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BLOCK = 1 << 18  # characters written or read at once
_IN_MEMORY = 16 * 1024 * 1024  # bytes; more goes to a file without a name, which no crash leaves behind
MAX_FIELD = 16_000_000  # characters; what is longer is hardly a value, and everything after the fetch holds it whole


class Collected:
    """Records, each once: `count` kept, `duplicates` dropped (same key, same content), `conflicts` kept though
    their key was there before with another content. One without a key that `remembers` nothing counts no repeats, and
    stays small however many there are."""

    def __init__(self, key: list[str], *, remembers: bool = True, max_field: int = MAX_FIELD) -> None:
        self.key = key
        self.max_field = max_field
        self._remembers = remembers or bool(key)
        self.count = 0
        self.duplicates = 0
        self.conflicts = 0
        self.keyless = 0
        self.shape = Shape()
        self._first: dict[str, Any] | None = None
        self._order: tuple[str, ...] = ()
        self._seen = seen.Seen()
        self._waiting: list[str] = []  # lines that are not yet in the file, and their characters
        self._size = 0
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, mode="w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - close() ends it

    @property
    def unique(self) -> int:
        """How many records there are that differ in their key, or where there is no key in anything."""
        return self._seen.unique + self.keyless

    @property
    def whole(self) -> tuple[int, ...]:
        """The totals with which a source says that this is all of it. Without a key a repeat may be a record."""
        return (self.unique, self.count) if self.key else (self.count,)

    def add(self, row: dict[str, Any]) -> str | None:
        """Take in one record; the name of a field of it that is longer than `max_field` characters, and then it was not
        taken in. ColonyError (USAGE) when it cannot be written as JSON."""
        line = jsontext.dumps(row)
        if len(line) > self.max_field and (long := self._longest(row))[0] > self.max_field:
            return long[1]
        self.shape.add(row)
        if self._first is None:
            self._first = row
            self._order = tuple(row)
        if self._is_repeat(row, line):
            self.duplicates += 1
            return None
        self.count += 1
        self._waiting.append(line)
        self._size += len(line)
        if self._size > _BLOCK:
            self._put_aside()
        return None

    def _put_aside(self) -> None:
        if self._waiting:
            self._file.seek(0, 2)
            self._file.write("\n".join(self._waiting) + "\n")
            self._waiting, self._size = [], 0

    def _longest(self, row: dict[str, Any]) -> tuple[int, str]:
        lengths = {name: len(value if isinstance(value, str) else jsontext.dumps(value)) for name, value in row.items()}
        return max((length, name) for name, length in lengths.items())

    def _is_repeat(self, row: dict[str, Any], line: str) -> bool:
        if not self._remembers:
            self.keyless += 1
            return False
        content = seen.digest(self._canonical(row, line))
        if not self.key:
            self._seen.add(content, b"")
            return False
        try:
            identity = seen.key([row[name] for name in self.key])
        except KeyError:
            self.keyless += 1
            return False
        found = self._seen.add(identity, content)
        self.conflicts += found == seen.CONFLICT
        return found == seen.REPEAT

    def _canonical(self, row: dict[str, Any], line: str) -> str:
        """The record as text in which the order of its fields makes no difference; mostly the line itself."""
        if tuple(row) == self._order:
            return line
        order = self._order if row.keys() == set(self._order) else sorted(row)
        return jsontext.dumps({name: row[name] for name in order})

    def lines(self) -> Iterator[str]:
        """The kept records as lines of JSON, in the order they came."""
        return chain.from_iterable(self.blocks())

    def blocks(self) -> Iterator[list[str]]:
        """The same, some at a time."""
        self._put_aside()
        self._file.seek(0)
        while some := self._file.readlines(_BLOCK):
            yield [line[:-1] for line in some]

    def check_key(self) -> None:
        """ColonyError (FAILED) when no record has the key: then it is the key's name that is wrong."""
        if self.key and self._first is not None and self.keyless == self.count:
            missing = next(name for name in self.key if name not in self._first)
            fields = ", ".join(escape(name) for name in list(self._first)[:12])
            raise ColonyError(
                f"no record has the key field '{escape(missing)}'", fix=f"the fields are {fields}", code=FAILED
            )

    def close(self) -> None:
        self._file.close()
        self._seen.close()
