"""Transforms a day in parts that run at once: each batch does its rows, the last one to finish puts them together.

A part is what the transformations that look at single rows make of a slice of the input; what needs all rows
(duplicates, outliers, aggregation …) is done when the parts are put together. The result is byte for byte what one
process would have made. Parts lie in staging/parts/; their fingerprint says of which input and description they are.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import numpy as np

from colony_lib.base import files, jsontext, locks
from colony_lib.base.errors import USAGE, ColonyError, failed
from colony_lib.data import batches, envelope, frames, staging, table, transform, transform_files
from colony_lib.data.transform import Outcome, Plan, Planned
from colony_lib.data.transform_files import Day
from colony_lib.data.transformations import Work

MOST = 256


def batch(text: str) -> tuple[int, int]:
    """(I, N) of 'I/N', I from 0 to N - 1; ColonyError (USAGE) for anything else."""
    return batches.batch(text, MOST)


def run(day: Day, text: str) -> dict[str, Any]:
    """Do batch I/N of each of the day's datasets; the summary tells those that this batch completed, and in `waiting`
    the batches that are still to come for the others."""
    number, count = batch(text)
    if all(day.plans[name].from_ for name in day.names):
        raise ColonyError("only datasets that are built from others were named", fix="leave out --batch", code=USAGE)
    done: dict[str, dict[str, Any]] = {}
    waiting: set[int] = set()
    for name in [n for n in day.names if day.plans[n].from_ is None]:
        part = _Part(day, name, number, count)
        part.make()
        with part.locked():
            before = part.already()
            if before is None:
                part.keep()
        missing = part.missing() if before is None else []
        if missing:
            waiting.update(missing)
            continue
        others = [other for other in day.dependants([name])[1:] if other in day.names]
        with part.locked():
            done[name] = part.already() or part.together()  # another process may have done it meanwhile
            for other in others:
                day.outcome(other)
                done[other] = day.write_one(other)
        for one in (name, *others):
            day.hand_on(one)
    summary = day.summary({name: done[name] for name in day.names if name in done})
    more = {"batch": number, "batches": count, "waiting": sorted(waiting)}
    return {**summary, "status": "waiting" if waiting else "complete", **more}


class _Part:
    """One batch's rows of one dataset. `make` transforms them; `already`, `keep` and `together` are called under the
    lock, `missing` is not, for it may ask another machine."""

    def __init__(self, day: Day, name: str, number: int, count: int) -> None:
        self.day = day
        self.name = name
        self.number = number
        self.count = count
        self.plan: Plan = day.plan(name)
        self.given = day.input(name)
        self.records = self.given.rows
        self.fingerprint = self._fingerprint()
        alone = next((i for i, step in enumerate(self.plan.steps) if step.scope != "rows"), len(self.plan.steps))
        self.first: list[Planned] = self.plan.steps[:alone]
        self.rest: list[Planned] = self.plan.steps[alone:]
        self.columns: list[str] = []
        self.made: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []

    def _fingerprint(self) -> str:
        told = hashlib.sha256(jsontext.dumps([self.count, self.given.head, self.given.file]).encode())
        told.update(jsontext.dumps(transform_files.describe(self.day.pipeline, self.name)).encode())
        for row in self.records:
            told.update(jsontext.dumps(row).encode())
        return told.hexdigest()

    def _path(self, number: int) -> str:
        folder = os.path.join(self.day.pipeline.folder("staging"), "parts")
        return os.path.join(folder, f"{self.name}_{self.day.date}.{number}-of-{self.count}.json")

    def make(self) -> None:
        start = time.monotonic()
        total = len(self.records)
        begin, end = batches.share(total, self.number, self.count)
        # The columns are those of all rows, so that a part does not depend on what its own rows happen to have.
        whole = frames.of_rows(self.records)
        self.columns = list(map(str, whole.columns))
        frame = whole.iloc[np.arange(begin, end)]
        work = Work(frame, self.plan.schema, self.day.clean)
        counts = transform.apply_steps(work, self.first, self.name)
        self.rows = table.to_rows(work.frame)
        self.made = {
            "fingerprint": self.fingerprint,
            "places": [int(place) for place in work.frame.index],
            "columns": {name: table.kind(work.frame[name]) for name in map(str, work.frame.columns)},
            "transformations": counts,
            "rejects": [[place, kind, reason] for place, (kind, reason) in sorted(work.rejects.items())],
            "dropped": work.dropped,
            "seconds": round(time.monotonic() - start, 3),
        }

    def already(self) -> dict[str, Any] | None:
        """What was written when the parts of this very input were put together, if that is still what is there: a
        batch that is made again, because its process was killed before it could say so, is done."""
        mark = files.read_json(self._mark(), None)
        if mark is None or mark.get("fingerprint") != self.fingerprint or mark.get("sha256") != self._written():
            return None
        self._clear()
        found: dict[str, Any] = mark["dataset"]
        return found

    def _mark(self) -> str:
        return f"{self._path(0).removesuffix(f'.0-of-{self.count}.json')}.done.json"

    def _written(self) -> str | None:
        path = self.day.pipeline.path("transformed", self.name, self.day.date)
        if not os.path.exists(path):
            return None
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def locked(self) -> Any:
        return locks.held(self.day.pipeline.lock(f"transform-{self.name}"), what=f"the parts of '{self.name}'")

    def keep(self) -> None:
        """Write this part."""
        envelope.write(self._path(self.number), self.made, self.rows)

    def missing(self) -> list[int]:
        """The numbers of the parts that are not there yet, here or in staging; without any, all are here."""
        parts = f"{self.name}_{self.day.date}/{self.fingerprint}"
        staging.put_part(self.day.pipeline, parts, self.number, self._path(self.number))
        missing = {number: self._path(number) for number in range(self.count) if self._head(number) is None}
        return staging.take_parts(self.day.pipeline, parts, missing)

    def _head(self, number: int) -> dict[str, Any] | None:
        try:
            head, _ = envelope.stream(self._path(number))
        except (FileNotFoundError, ColonyError):
            return None  # not there, or damaged: its own batch makes it anew
        return head if head.get("fingerprint") == self.fingerprint else None

    def together(self) -> dict[str, Any]:
        """Put all parts together, do the rest, write the dataset's files, and take the parts away."""
        parts = [self._read(number) for number in range(self.count)]
        rows = [row for _, part in parts for row in part]
        kinds = _kinds([head["columns"] for head, _ in parts])
        frame = transform_files.typed(rows, kinds)
        frame.index = [place for head, _ in parts for place in head["places"]]  # type: ignore[assignment]
        work = Work(frame, self.plan.schema, self.day.clean)
        work.rejects = {place: (kind, why) for head, _ in parts for place, kind, why in head["rejects"]}
        work.dropped = sum(head["dropped"] for head, _ in parts)
        outcome = Outcome(frame, len(self.records), self.columns)
        counts = [_sum([head["transformations"][i] for head, _ in parts]) for i in range(len(self.first))]
        outcome.transformations = counts + transform.apply_steps(work, self.rest, self.name)
        transform.finish(outcome, work, self.records)
        self.day.outcomes[self.name] = outcome
        self.day.seconds[self.name] = sum(head["seconds"] for head, _ in parts)
        written = self.day.write_one(self.name)
        files.write_json(
            self._mark(), {"v": 1, "fingerprint": self.fingerprint, "sha256": self._written(), "dataset": written}
        )
        self._clear()
        return written

    def _read(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        path = self._path(number)
        try:
            head, rows = envelope.read(path)
        except FileNotFoundError:
            head, rows = {}, []
        batches.check_part(head, self.fingerprint, self.day.pipeline.shown(path))
        return head, rows

    def _clear(self) -> None:
        for number in range(self.count):
            path = self._path(number)
            try:
                if os.path.lexists(path):
                    os.unlink(path)
            except OSError as error:
                raise failed("remove", path, error) from None


def _kinds(found: list[dict[str, str]]) -> dict[str, str]:
    """{column: kind} over all parts: a part whose rows are all null has nothing to say."""
    kinds: dict[str, str] = {}
    for columns in found:
        for name, kind in columns.items():
            known = kinds.get(name, "null")
            kinds[name] = kind if known == "null" else known if kind in (known, "null") else "any"
    return {name: "any" if kind == "null" else kind for name, kind in kinds.items()}


def _sum(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """What the parts' same transformation did, together."""
    total: dict[str, Any] = {}
    for count in counts:
        for key, value in count.items():
            if isinstance(value, int) and not isinstance(value, bool):
                total[key] = total.get(key, 0) + value
            else:
                total.setdefault(key, value)
    return total
