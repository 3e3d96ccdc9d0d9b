"""Sources of type `file`: CSV, JSON, NDJSON and Parquet files of this machine, by path or glob, gzip included."""

from __future__ import annotations

import glob
import io
import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import FAILED, ColonyError, failed
from colony_lib.base.text import escape
from colony_lib.data import readers
from colony_lib.data.pipeline import byte_count
from colony_lib.data.quarantine import Unreadable
from colony_lib.data.streamed import LARGE, Document, Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.data.sources import Request

_BATCH = 1000


class Source:
    """One reading of the files of a source; see colony_lib.data.sources."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settings = request.settings
        self.secrets: dict[str, str] = {}
        self.expected: int | None = None
        self.path: str = request.setting("path")
        self.origin = escape(self.path)
        self.max_bytes = byte_count(self.settings.get("max_bytes", "200MB"))
        self.share: tuple[int, int] | None = None  # (begin, end) of the files to read; None: all

    def plan(self) -> dict[str, Any]:
        return {"path": self.path, "files": [self.request.pipeline.shown(path) for path in self._found()]}

    def _found(self) -> list[str]:
        path = os.path.join(self.request.pipeline.root, os.path.expanduser(self.path))
        # A name that is there is meant as it stands, whatever brackets are in it.
        return [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))

    def pieces(self) -> list[list[Any]]:
        """[name, bytes, time] of each file."""
        found = []
        for path in self._found():
            try:
                its = os.stat(path)
            except OSError as error:
                raise failed("read", self.request.pipeline.shown(path), error) from None
            found.append([self.request.pipeline.shown(path), its.st_size, its.st_mtime_ns])
        return found

    def batches(self) -> Iterator[list[Any]]:
        found = self._found()
        if not found and not self.settings.get("optional"):
            raise ColonyError(
                f"there is no file '{escape(self.path)}'",
                where=self.request.where("path"),
                fix="check its 'path'",
                code=FAILED,
            )
        tally = self.request.tally
        for path in found[slice(*self.share)] if self.share else found:
            tally.pages += 1
            tally.origin = self.request.pipeline.shown(path)
            batch: list[Any] = []
            for row in self._rows(path, tally.origin):
                batch.append(row)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            yield batch

    def _rows(self, path: str, shown: str) -> Iterator[Any]:
        try:
            packed = files.read_bytes(path, limit=self.max_bytes)
        except FileNotFoundError:
            raise ColonyError(f"'{escape(shown)}' is gone, or a link to nothing", code=FAILED) from None
        except ColonyError as error:  # too large, no regular file
            raise ColonyError(error.what, where=error.where, fix=error.fix, code=FAILED) from None
        yield from parsed(packed, path, shown, self.settings, self.request.tally.problems, self.max_bytes)

    def keep(self) -> None:
        """Nothing is noted of a file."""


def parsed(
    packed: bytes, path: str, shown: str, settings: dict[str, Any], problems: readers.Problems, limit: int
) -> Iterator[Any]:
    """The records of a file's bytes, by the source's `format`, `encoding`, `delimiter` and `records`, or by what the
    name and the bytes tell. Unreadable when they are none."""
    try:
        yield from _records(readers.unzip(packed, shown, limit), path, shown, settings, problems)
    except ColonyError as error:
        what = error.what
        raise Unreadable(what, origin=error.where or escape(shown), body=packed[:2000], fix=error.fix) from None


def _records(data: bytes, path: str, shown: str, settings: dict[str, Any], problems: readers.Problems) -> Iterator[Any]:
    kind = settings.get("format") or readers.detect(data, path)
    if kind == "csv":
        if not data.strip():
            raise ColonyError("the file is empty: there is not even a header line")
        encoding = settings.get("encoding", "utf-8")
        tabs = readers.suffix(path) == ".tsv"
        readers.check_csv(data, settings.get("delimiter") or ("\t" if tabs else None))
        delimiter = settings.get("delimiter") or ("\t" if tabs else ",")
        limit = byte_count(settings.get("max_field", "1MB"))  # one stray quote must not swallow the rest of a file
        yield from readers.Csv(data, shown, problems, encoding=encoding, delimiter=delimiter, max_field=limit)
    elif kind == "ndjson":
        for batch in Lines(io.BytesIO(data), problems).batches():
            yield from batch
    elif kind == "parquet":
        from colony_lib.data import parquet

        yield from parquet.rows(data, shown)
    elif len(data) > LARGE:
        for batch in Document(io.BytesIO(data), settings.get("records"), "not JSON").batches():
            yield from batch
    else:
        yield from readers.records_in(jsontext.loads(data, where=escape(shown)), settings.get("records"))
