"""Trying again what a fetch put into quarantine: days that failed are fetched again, records that were left out of a
day are checked by today's rules and join it when they pass.

The day's file is always replaced whole, and before what was taken leaves the quarantine; which records joined is
written with them, so that a retry that was killed between the two is gone on with and no record comes twice.
"""

from __future__ import annotations

import time
from collections import Counter

from colony_lib.base import files, jsontext
from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.base.text import plural
from colony_lib.data import envelope, fetch_one, quarantine, staging
from colony_lib.data.collect import Collected
from colony_lib.data.drift import Drift, Shape
from colony_lib.data.fetch import Fetch
from colony_lib.data.outcomes import Outcome
from colony_lib.data.quarantine import ROWS, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from colony_lib.data.pipeline import Pipeline
    from colony_lib.data.sources import Request, Source

    Row = dict[str, Any]


def fetches(pipeline: Pipeline, names: Iterable[str], date: str | None) -> list[Fetch]:
    """A fetch for each day (or only this one) of which something waits, of the sources of which it does."""
    chosen = list(names)
    for name in chosen:
        pipeline.source(name)
    days: dict[str, list[str]] = {}
    for name, day, _ in quarantine.waiting(pipeline):
        if name in (chosen or pipeline.names("sources")) and day == (date or day):
            days.setdefault(day, []).append(name)
    return [
        Fetch(pipeline, days[day], day, sinces=_sinces(pipeline, days[day], day), one=retry) for day in sorted(days)
    ]


def _sinces(pipeline: Pipeline, names: list[str], date: str) -> dict[str, str | None]:
    """From where the fetches that failed began: their loads may have come further since."""
    found: dict[str, str | None] = {}
    for name in dict.fromkeys(names):
        try:
            heads = [entry.head for entry in quarantine.entries(pipeline, name, date)]
        except ColonyError:
            continue  # told when the source's turn comes
        for head in heads:
            if "since" in head:
                found.setdefault(name, head["since"])
    return found


def retry(request: Request, source: Source) -> Outcome:
    """Try again all that waits of one source and date; every expected trouble is in the outcome."""
    started = time.monotonic()
    one = _Again(request, source)
    with fetch_one.expected() as trouble:
        return one.run()
    found = fetch_one.outcome(
        request, Collected([]), one.fetch_time, time.monotonic() - started, None, one.left(), trouble[0]
    )
    return one.told(found)


class _Again:
    """One retry: `entries` that wait, `settled` those that are done."""

    def __init__(self, request: Request, source: Source) -> None:
        self.request = request
        self.source = source
        self.pipeline = request.pipeline
        self.started = time.monotonic()
        self.path = self.pipeline.path("raw", request.name, request.date)
        self.entries: list[Entry] = []
        self.settled: list[str] = []
        self.joined = 0
        self.raw: dict[str, Any] | None = None

    @property
    def fetch_time(self) -> str:
        return str((self.raw or {}).get("fetch_time", ""))

    def run(self) -> Outcome:
        staging.take(self.pipeline, "raw", self.request.name, self.request.date)
        self.entries = quarantine.entries(self.pipeline, self.request.name, self.request.date)
        self.raw = _head(self.path)
        failed = [entry for entry in self.entries if self.raw is None or self._failed(entry)]
        if failed:
            return self._fetched(failed)
        mine = [entry for entry in self.entries if entry.kind == ROWS and self._is_mine(entry)]
        for entry in self.entries:
            if entry not in mine:
                self._settle(entry)  # a later fetch of the day was whole
        return self._rechecked(mine)

    def _failed(self, entry: Entry) -> bool:
        """Whether the entry is of a fetch that came to no raw file."""
        return entry.fetch_time > self.fetch_time and (entry.kind != ROWS or entry.exact)

    def _is_mine(self, entry: Entry) -> bool:
        """Whether its records were left out of the raw file that is there."""
        return entry.fetch_time == self.fetch_time or (not entry.exact and entry.fetch_time > self.fetch_time)

    def left(self) -> list[str]:
        return [entry.path for entry in self.entries if self.pipeline.shown(entry.path) not in self.settled]

    def told(self, found: Outcome) -> Outcome:
        found.figures |= {"joined": self.joined, "settled": self.settled}
        return found

    def _settle(self, entry: Entry) -> None:
        entry.settle(self.pipeline)
        self.settled.append(self.pipeline.shown(entry.path))

    # -- a day that failed

    def _fetched(self, failed: list[Entry]) -> Outcome:
        found = fetch_one.fetch(self.request, self.source, again=True)
        if found.error is None:
            self.joined = found.figures["records"]
            for entry in self.entries:
                self._settle(entry)
        else:
            for entry in failed if found.error.code != BUSY else ():  # busy: nobody was asked
                entry.note(self.pipeline, files.redacted(str(found.error)))
            found.figures["quarantine"] = [self.pipeline.shown(path) for path in self.left()]
        return self.told(found)

    # -- records that were left out

    def _rechecked(self, mine: list[Entry]) -> Outcome:
        assert self.raw is not None
        # What a retry that was killed has replaced is put there before it leaves the quarantine.
        staging.put(self.pipeline, "raw", self.request.name, self.request.date)
        for entry in mine:
            self._finish(entry)
        limit = fetch_one.max_field(self.request)
        collected = Collected(fetch_one.key_of(self.request), max_field=limit)
        try:
            for row in envelope.stream(self.path)[1]:
                collected.add(row)
            before = collected.count
            places = self._take_records(mine, collected)
            reread, reason = self._take_reread(mine, collected)
            taken = {entry.name: sorted({*places.get(entry.name, ()), *reread.get(entry.name, ())}) for entry in mine}
            self.joined = collected.count - before
            if any(taken.values()):
                self._replace(mine, taken, collected)
            for entry in mine:
                self._leave(entry, taken[entry.name], reason or "the same is still wrong with them")
            self.request.tally.problems[:] = [problem for entry in mine for problem in entry.problems]
            seconds = time.monotonic() - self.started
            found = fetch_one.outcome(self.request, collected, self.fetch_time, seconds, self.path, self.left(), None)
        finally:
            collected.close()
        if reason:
            self.request.tally.notes.append(reason)
        return self.told(found)

    def _finish(self, entry: Entry) -> None:
        """What an earlier retry took and was killed before it could say so here."""
        attempt, ranges = ((self.raw or {}).get("joined") or {}).get(entry.name, (0, []))
        if attempt > entry.attempts:
            self._leave(entry, [n for first, last in ranges for n in range(first, last + 1)], "interrupted")

    def _leave(self, entry: Entry, taken: list[int], reason: str) -> None:
        """Take those problems out of the entry; it stays as long as there are others."""
        if self.pipeline.shown(entry.path) in self.settled:
            return
        gone = set(taken)
        entry.problems = [problem for place, problem in enumerate(entry.problems) if place not in gone]
        if entry.problems:
            entry.note(self.pipeline, reason)
        else:
            self._settle(entry)

    def _take_records(self, mine: list[Entry], collected: Collected) -> dict[str, list[int]]:
        """Those that are records, and were left out for their fields: {file: places} of those that pass now."""
        records = [
            (entry.name, place, problem["record"])
            for entry in mine
            for place, problem in enumerate(entry.problems)
            if isinstance(problem["record"], dict)
        ]
        passed, _ = self._passing([record for _, _, record in records])
        found: dict[str, list[int]] = {}
        for (name, place, _), row in zip(records, passed, strict=True):
            if row is not None:
                collected.add(row)
                found.setdefault(name, []).append(place)
        return found

    def _passing(self, records: list[Row]) -> tuple[list[Row | None], Drift]:
        """Each record as the source's `schema_policy` lets it pass today, or None."""
        shape = Shape()
        for record in records:
            shape.add(record)
        drift = Drift(self.pipeline, self.request.name, shape)
        policy = self.pipeline.schema_policy("sources", self.request.name)
        if policy == "evolve" or not (drift.new or drift.retyped):
            return list(records), drift
        reduced = [drift.reduce(record) for record in records]
        return [
            row if wrong is None and (policy == "discard" or row == record) else None
            for record, (row, wrong) in zip(records, reduced, strict=True)
        ], drift

    def _take_reread(self, mine: list[Entry], collected: Collected) -> tuple[dict[str, list[int]], str | None]:
        """Those that were no records: the source is read again by today's settings, and what it now gives besides the
        day's records are they. ({file: places}, why not)."""
        unread = [
            (entry.name, place, (problem["origin"], problem["line"]))
            for entry in mine
            for place, problem in enumerate(entry.problems)
            if not isinstance(problem["record"], dict)
        ]
        if not unread:
            return {}, None
        records = [problem["record"] for entry in mine for problem in entry.problems]
        held = [record for record in records if isinstance(record, dict)]
        fresh = Collected(collected.key, max_field=collected.max_field)
        try:
            fetch_one.collect(self.request, self.source, fresh)
            known = Counter(map(_content, [*map(jsontext.loads, collected.lines()), *held]))
            keys = {_key(jsontext.loads(line), fresh.key) for line in collected.lines()} - {None}
            new = []
            for row in map(jsontext.loads, fresh.lines()):
                content = _content(row)
                if known[content]:
                    known[content] -= 1
                elif _key(row, fresh.key) not in keys:
                    new.append(row)
        except ColonyError as error:
            return {}, f"the source could not be read again: {error}"
        finally:
            fresh.close()
        still = Counter((problem["origin"], problem["line"]) for problem in self.request.tally.problems)
        resolved: dict[str, list[int]] = {}
        for name, place, origin in unread:
            if still[origin]:
                still[origin] -= 1
            else:
                resolved.setdefault(name, []).append(place)
        count = sum(map(len, resolved.values()))
        passed, drift = self._passing(new)
        if len(new) > count or None in passed:
            what = f"the source gives {plural(len(new), 'record')} that the day has not, for {count:,} in quarantine"
            return {}, f"{what}: fetch the day anew" if len(new) > count else f"the fields have changed: {drift.said()}"
        for row in passed:
            collected.add(row or {})
        return resolved, None

    def _replace(self, mine: list[Entry], taken: dict[str, list[int]], collected: Collected) -> None:
        """Replace the raw file by the day with those that joined, and what they were beside them."""
        marks = {entry.name: [entry.attempts + 1, _ranges(taken[entry.name])] for entry in mine if taken[entry.name]}
        with fetch_one.writing(self.request):
            if _head(self.path) != self.raw:
                raise ColonyError(
                    "the day was fetched anew meanwhile",
                    where=self.pipeline.shown(self.path),
                    fix="try again",
                    code=BUSY,
                )
            envelope_head = {**(self.raw or {}), "joined": marks}
            with envelope.Writer(self.path, envelope_head) as out:
                for line in collected.lines():
                    out.add_line(line)
        staging.put(self.pipeline, "raw", self.request.name, self.request.date)
        if self.pipeline.schema_policy("sources", self.request.name) == "evolve":
            Drift(self.pipeline, self.request.name, collected.shape).remember()


def _head(path: str) -> dict[str, Any] | None:
    try:
        return envelope.stream(path)[0]
    except FileNotFoundError:
        return None


def _content(row: Row) -> str:
    return jsontext.dumps({name: row[name] for name in sorted(row)})


def _key(row: Row, key: list[str]) -> str | None:
    """What tells the record from others where the source has a key and the record has it."""
    return jsontext.dumps([row[name] for name in key]) if key and all(name in row for name in key) else None


def _ranges(places: list[int]) -> list[list[int]]:
    """[[first, last], …] of whole numbers in order."""
    found: list[list[int]] = []
    for place in places:
        if found and found[-1][1] == place - 1:
            found[-1][1] = place
        else:
            found.append([place, place])
    return found
