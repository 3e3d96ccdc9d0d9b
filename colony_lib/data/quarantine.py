"""The quarantine: what could not be read or was not whole, kept in staging/quarantine for a person to look at, and for
`colony fetch --retry-quarantine` to try again."""

from __future__ import annotations

import os
import re

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import plural
from colony_lib.data import envelope, readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

BODY_LIMIT = 1 << 20  # bytes of an unreadable body that are kept
# What a file holds: a reply or file that is unreadable, less than there should be, a day refused for its fields (of all
# three the fetch failed), or records that were left out of a day that is complete, each with its reason.
BODY, PART, DAY, ROWS = "body", "part", "day", "rows"
_NAME = re.compile(r"(.+)_(\d{4}-\d{2}-\d{2})-(\d{1,9})\.json\Z")
_PROBLEM = {"origin", "line", "reason", "record"}


class Unreadable(ColonyError):
    """A reply or file that cannot be read: `body` is (the start of) it, `origin` where it came from, masked."""

    def __init__(self, what: str, *, origin: str, body: bytes, fix: str | None = None) -> None:
        super().__init__(what, where=origin, fix=fix, code=FAILED)
        self.origin = origin
        self.body = body


class Keeper:
    """Puts in quarantine what one fetch could not take; `kept` are the paths of its files. A fetch that is made `again`
    keeps nothing of its failing: what it retries is there already."""

    def __init__(
        self, pipeline: Pipeline, source: str, date: str, fetch_time: str, since: str | None, *, again: bool
    ) -> None:
        self.pipeline = pipeline
        self.source = source
        self.date = date
        self.fetch_time = fetch_time
        self.since = since
        self.again = again
        self.kept: list[str] = []
        self._told = False

    def body(self, error: Unreadable) -> None:
        """Keep an unreadable body with its reason."""
        text = readers.shown(error.body, BODY_LIMIT)
        head = self._head(BODY, error.what, error.origin)
        if not self.again:
            self._keep(lambda path: files.write_json(path, {**head, "bytes": len(error.body), "body": text}))

    def day(self, kind: str, reason: str, origin: str, lines: Iterable[str]) -> None:
        """Keep all records that came, given as lines of JSON."""
        if not self.again:
            self._rows(self._head(kind, reason, origin), lines)

    def problems(self, found: list[dict[str, Any]], *, failed: bool = False) -> None:
        """Keep the records that could not be read, all of a fetch in one file; a second time does nothing."""
        if not found or self._told or (failed and self.again):
            return
        self._told = True
        reason = f"{plural(len(found), 'record')} could not be read"
        self._rows(self._head(ROWS, reason, found[0]["origin"]), map(jsontext.dumps, found))

    def _head(self, kind: str, reason: str, origin: str) -> dict[str, Any]:
        head = {"v": 1, "source": self.source, "date": self.date, "time": clock.now(), "kind": kind}
        return {**head, "fetch_time": self.fetch_time, "since": self.since, "reason": reason, "origin": origin}

    def _rows(self, head: dict[str, Any], lines: Iterable[str]) -> None:
        def write(path: str) -> None:
            with envelope.Writer(path, head) as out:
                for line in lines:
                    out.add_line(line)

        self._keep(write)

    def _keep(self, write: Callable[[str], None]) -> None:
        # What lies there waits for a person: a repeat of the fetch takes the next number and replaces nothing.
        with _locked(self.pipeline, self.source):
            number = 1
            while os.path.lexists(path := self.pipeline.path("quarantine", self.source, self.date, number)):
                number += 1
            write(path)
        self.kept.append(path)


class Entry:
    """A file in quarantine: its `head`, and for ROWS the `problems` in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        try:
            self.head, rows = envelope.stream(path)
            self.is_body = False
        except ColonyError:  # no envelope
            self.head, rows = files.read_json(path), iter(())
            self.is_body = isinstance(self.head, dict) and "body" in self.head
            if not self.is_body:
                raise
        kind = self.head.get("kind")
        self.problems: list[dict[str, Any]] = []
        if kind in (None, ROWS) and not self.is_body:
            self.problems = list(rows)
            if kind is None and not all(problem.keys() == _PROBLEM for problem in self.problems):
                kind, self.problems = PART, []
        self.kind: str = BODY if self.is_body else kind or ROWS
        # Files of earlier versions do not say of which fetch they are: they were made in it, so after it began.
        self.fetch_time = str(self.head.get("fetch_time") or self.head.get("time") or "")
        self.exact = "fetch_time" in self.head

    @property
    def attempts(self) -> int:
        count = self.head.get("attempts")
        return count if isinstance(count, int) else 0

    def note(self, pipeline: Pipeline, reason: str) -> None:
        """Write that it was tried again in vain, and why; of ROWS the problems that are left."""
        self.head |= {"attempts": self.attempts + 1, "last_attempt": {"time": clock.now(), "reason": reason}}
        with _locked(pipeline, self.head["source"]):
            if self.kind == BODY:
                files.write_json(self.path, self.head)
            elif self.kind == ROWS:
                envelope.write(self.path, self.head, self.problems)
            else:
                envelope.write(self.path, self.head, envelope.stream(self.path)[1])

    def settle(self, pipeline: Pipeline) -> None:
        """Take it out of the quarantine: all that it holds is in the day's data now."""
        with _locked(pipeline, self.head["source"]):
            if os.path.lexists(self.path):
                os.unlink(self.path)


def waiting(pipeline: Pipeline) -> Iterator[tuple[str, str, int]]:
    """(source, date, number) of each file in quarantine, in this order."""
    try:
        names = os.listdir(pipeline.folder("quarantine"))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    found = (_NAME.match(name) for name in names)
    yield from sorted((match[1], match[2], int(match[3])) for match in found if match)


def entries(pipeline: Pipeline, source: str, date: str) -> list[Entry]:
    """The files of a source and date, by their number. ColonyError (FAILED) for one that cannot be read."""
    paths = [
        pipeline.path("quarantine", name, day, number)
        for name, day, number in waiting(pipeline)
        if (name, day) == (source, date)
    ]
    found = []
    for path in paths:
        try:
            found.append(Entry(path))
        except ColonyError as error:
            fix = "look at it, and take it away"
            raise ColonyError(error.what, where=pipeline.shown(path), fix=fix, code=FAILED) from None
    return found


def _locked(pipeline: Pipeline, source: str) -> Any:
    return locks.held(pipeline.lock(f"quarantine-{source}"), what=f"the quarantine of '{source}'")
