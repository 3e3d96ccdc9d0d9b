"""Fetches a source of files or objects in parts that run at once: each batch reads its share of them, and the last one
to finish puts the parts together as one fetch would have read them.

Parts lie in staging/parts/, and their fingerprint says of which files or objects, as they are, and of which settings
they were read: parts of what has changed meanwhile are never put together.
"""

from __future__ import annotations

import hashlib
import os
import time

from colony_lib.base import clock, files, jsontext, locks
from colony_lib.base.errors import USAGE, ColonyError, failed
from colony_lib.data import batches, envelope, fetch_one, staging
from colony_lib.data.collect import Collected
from colony_lib.data.outcomes import Outcome
from colony_lib.data.quarantine import Keeper, Unreadable
from colony_lib.data.sources import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from colony_lib.data.sources import Request, Source

MOST = 1000
_BATCH = 1000


def can_share(request: Request, source: Source) -> bool:
    """Whether the source is made of files or objects that can be read each by itself, whoever has read the others."""
    return hasattr(source, "pieces") and not request.settings.get("only_new")


def pieces(request: Request, source: Source) -> list[list[Any]]:
    """The files or objects of the source, in order, each with what tells that it is still the same; asks for them.
    ColonyError (USAGE) where there is no such thing."""
    if can_share(request, source):
        found: list[list[Any]] = source.pieces()  # type: ignore[attr-defined]
        return found
    if request.settings.get("only_new"):
        what, key = "takes only objects that no earlier day has taken", "only_new"
    else:
        what, key = f"is of type '{request.settings['type']}', not made of files or objects", "type"
    raise ColonyError(f"source '{request.name}' {what}", where=request.where(key), fix="leave out --batch", code=USAGE)


def fetching(number: int, count: int) -> Callable[[Request, Source], Outcome]:
    """How a source is fetched when batch `number` of `count` is asked for."""
    if count == 1:
        return fetch_one.fetch
    return lambda request, source: fetch(request, source, number, count)


def fetch(request: Request, source: Source, number: int, count: int) -> Outcome:
    """Read one share of the source; the last of them makes the source's raw file. Every expected trouble is in the
    outcome, and until all parts are there its status is 'waiting'."""
    started = time.monotonic()
    keeper = Keeper(request.pipeline, request.name, request.date, clock.now(), request.since, again=False)
    with fetch_one.expected() as trouble:
        part = _Part(request, source, number, count)
        with part.locked():
            done = part.already()
        if done is None:
            try:
                made = part.make()
            except Unreadable as unreadable:
                keeper.problems(request.tally.problems, failed=True)
                keeper.body(unreadable)
                raise
            missing = part.missing()
            if missing:
                seconds = round(time.monotonic() - started, 3)
                return _told(request, Collected([]), keeper, {"records": made, "waiting": missing, "seconds": seconds})
            with part.locked():
                done = part.already() or part.together()  # another process may have done it meanwhile
        if done.error is None:
            staging.put(request.pipeline, "raw", request.name, request.date)
        return done
    return fetch_one.outcome(
        request, Collected([]), keeper.fetch_time, time.monotonic() - started, None, keeper.kept, trouble[0]
    )


def _told(request: Request, collected: Collected, keeper: Keeper, more: dict[str, Any]) -> Outcome:
    done = fetch_one.outcome(request, collected, keeper.fetch_time, 0.0, None, keeper.kept, None)
    done.figures |= {"status": "waiting", **more}
    return done


class _Part:
    """One share of a source's files or objects. `already` and `together` are called under the lock; `make` and
    `missing` are not, for they ask others."""

    def __init__(self, request: Request, source: Source, number: int, count: int) -> None:
        self.request = request
        self.source = source
        self.number = number
        self.count = count
        self.pieces = pieces(request, source)
        told = [count, request.date, request.since, request.settings, self.pieces]
        self.fingerprint = hashlib.sha256(jsontext.dumps(told).encode()).hexdigest()

    def _path(self, number: int) -> str:
        name = f"{self.request.name}_{self.request.date}.raw.{number}-of-{self.count}.json"
        return os.path.join(self.request.pipeline.folder("staging"), "parts", name)

    def _mark(self) -> str:
        name = f"{self.request.name}_{self.request.date}.raw.done.json"
        return os.path.join(self.request.pipeline.folder("staging"), "parts", name)

    def _raw(self) -> str:
        return self.request.pipeline.path("raw", self.request.name, self.request.date)

    def locked(self) -> Any:
        what = f"the parts of '{self.request.name}'"
        return locks.held(self.request.pipeline.lock(f"parts-{self.request.name}"), what=what)

    def make(self) -> int:
        """Read the share; how many records it has."""
        count = 0
        self.source.share = batches.share(len(self.pieces), self.number, self.count)  # type: ignore[attr-defined]
        head = {"source": self.request.name, "date": self.request.date, "fingerprint": self.fingerprint}
        with envelope.Writer(self._path(self.number), head) as out:
            for item in _read(self.request, self.source):
                out.add(item)
                count += "row" in item
        staging.put_part(self.request.pipeline, self._parts(), self.number, self._path(self.number))
        self.request.tally = Tally()  # what there is to tell is in the part, and told when the parts are put together
        return count

    def _head(self, number: int) -> dict[str, Any] | None:
        try:
            head, _ = envelope.stream(self._path(number))
        except (FileNotFoundError, ColonyError):
            return None  # not there, or damaged: its own batch makes it anew
        return head if head.get("fingerprint") == self.fingerprint else None

    def missing(self) -> list[int]:
        """The batches whose parts are not there yet, here or in staging; without any, all parts are here."""
        missing = {number: self._path(number) for number in range(self.count) if self._head(number) is None}
        return staging.take_parts(self.request.pipeline, self._parts(), missing)

    def _parts(self) -> str:
        return f"{self.request.name}_{self.request.date}.raw/{self.fingerprint}"

    def already(self) -> Outcome | None:
        """How the fetch ended that put the parts of these very files or objects together, if what it wrote is
        still what is there: a batch that is made again, because its process was killed before it could say so, is
        done."""
        mark = files.read_json(self._mark(), None)
        if mark is None or mark.get("fingerprint") != self.fingerprint or mark.get("sha256") != self._written():
            return None
        self._clear()
        return Outcome(self.request.name, mark["figures"])

    def _written(self) -> str | None:
        if not os.path.exists(self._raw()):
            return None
        with open(self._raw(), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def together(self) -> Outcome:
        """Fetch the source from its parts, and take them away."""
        joined = _Joined(self.source, [self._path(number) for number in range(self.count)], self.fingerprint)
        done = fetch_one.fetch(self.request, joined, hand_on=False)
        if done.error is None:
            mark = {"v": 1, "fingerprint": self.fingerprint, "sha256": self._written(), "figures": done.figures}
            files.write_json(self._mark(), mark)
            self._clear()
        return done

    def _clear(self) -> None:
        for number in range(self.count):
            path = self._path(number)
            try:
                if os.path.lexists(path):
                    os.unlink(path)
            except OSError as error:
                raise failed("remove", path, error) from None


def _read(request: Request, source: Source) -> Iterator[dict[str, Any]]:
    """What a part holds, in order: {"of": file or object} that is begun, {"bad": …} that cannot be read, {"row": …}."""
    from colony_lib.data.http import Stopped
    from colony_lib.data.readers import objects

    tally = request.tally
    pages = told = 0
    for batch in source.batches():
        if request.stop.is_set():
            raise Stopped
        if tally.pages > pages:
            pages = tally.pages
            yield {"of": tally.origin}
        rows = list(objects(batch, tally.problems))
        for problem in tally.problems[told:]:
            yield {"bad": problem}
        told = len(tally.problems)
        for row in rows:
            yield {"row": row}


class _Joined:
    """The source as its parts hold it; see colony_lib.data.sources."""

    expected: int | None = None

    def __init__(self, source: Source, paths: list[str], fingerprint: str) -> None:
        self.source = source
        self.fingerprint = fingerprint
        self.secrets = source.secrets
        self.origin = source.origin
        self.request: Request = source.request  # type: ignore[attr-defined]
        self.paths = paths

    def plan(self) -> dict[str, Any]:
        return self.source.plan()

    def batches(self) -> Iterator[list[Any]]:
        tally = self.request.tally
        batch: list[Any] = []
        for path in self.paths:
            try:
                head, items = envelope.stream(path)
            except FileNotFoundError:
                head, items = {}, iter(())
            batches.check_part(head, self.fingerprint, self.request.pipeline.shown(path))
            for item in items:
                if "row" in item and len(batch) < _BATCH:
                    batch.append(item["row"])
                    continue
                if batch:
                    yield batch
                batch = []
                if "row" in item:
                    batch.append(item["row"])
                elif "of" in item:
                    tally.pages += 1
                    tally.origin = item["of"]
                else:
                    bad = item["bad"]
                    tally.problems.append((bad["line"], bad["reason"], bad["record"]))
        if batch:
            yield batch

    def keep(self) -> None:
        self.source.keep()
