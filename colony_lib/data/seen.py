"""What was seen of a source's records: which keys, and which contents of each, by their digests, of any number.

The first half million is in memory, more goes into an SQLite file without a name: ten million records take some 100 MB.
"""

from __future__ import annotations

import hashlib

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

IN_MEMORY = 500_000  # keys
_DIGEST = 16  # bytes
_CACHE = 64  # MiB of the file
_NOTHING: tuple[bytes, ...] = ()

NEW, REPEAT, CONFLICT = "new", "repeat", "conflict"


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST).digest()


def key(values: Sequence[Any]) -> bytes:
    """The digest of a key's values; 1 and 1.0 are one number, as they are in JSON."""
    plain = [int(v) if type(v) is float and v.is_integer() else v for v in values]
    return digest(jsontext.dumps(plain))


class Seen:
    """`add` says of each record what it is; `unique` counts the keys."""

    def __init__(self, most: int | None = None) -> None:
        self.unique = 0
        self._most = IN_MEMORY if most is None else most
        self._known: dict[bytes, tuple[bytes, ...]] = {}
        self._file: sqlite3.Connection | None = None

    def add(self, key: bytes, content: bytes) -> str:
        """NEW for a key that was not there, REPEAT for one that was there with this content, else CONFLICT.
        ColonyError (FAILED) when there is no room for the file."""
        before = self._known.get(key, _NOTHING) if self._file is None else self._read(self._file, key)
        if content in before:
            return REPEAT
        self.unique += not before
        if self._file is not None:
            self._write(self._file, [(key, content)])
        else:
            self._known[key] = (*before, content)
            if len(self._known) > self._most:
                self._spill()
        return CONFLICT if before else NEW

    def _spill(self) -> None:
        import sqlite3

        self._file = sqlite3.connect("", isolation_level=None)  # '' is a file of this connection alone, gone with it
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute(f"PRAGMA cache_size = {-_CACHE * 1024}")
        self._file.execute("CREATE TABLE seen (key BLOB, content BLOB, PRIMARY KEY (key, content)) WITHOUT ROWID")
        self._file.execute("BEGIN")
        self._write(self._file, [(key, content) for key, found in self._known.items() for content in found])
        self._known = {}

    def _read(self, file: sqlite3.Connection, key: bytes) -> tuple[bytes, ...]:
        return tuple(content for (content,) in file.execute("SELECT content FROM seen WHERE key = ?", (key,)))

    def _write(self, file: sqlite3.Connection, rows: list[tuple[bytes, bytes]]) -> None:
        import sqlite3

        try:
            file.executemany("INSERT INTO seen VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise ColonyError(
                f"cannot remember which records there were: {error}", fix="free some space in $TMPDIR", code=FAILED
            ) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
