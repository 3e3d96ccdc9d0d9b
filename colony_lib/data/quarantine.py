"""The quarantine: what could not be read or was not whole, kept in staging/quarantine for a person to look at."""

from __future__ import annotations

import os

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import envelope, readers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

BODY_LIMIT = 1 << 20  # bytes of an unreadable body that are kept


class Unreadable(ColonyError):
    """A reply or file that cannot be read: `body` is (the start of) it, `origin` where it came from, masked."""

    def __init__(self, what: str, *, origin: str, body: bytes, fix: str | None = None) -> None:
        super().__init__(what, where=origin, fix=fix, code=FAILED)
        self.origin = origin
        self.body = body


def keep_body(pipeline: Pipeline, source: str, date: str, error: Unreadable) -> str:
    """Keep an unreadable body with its reason; returns the path of the quarantine file."""
    body = readers.shown(error.body, BODY_LIMIT)

    def write(path: str) -> None:
        head = _head(source, date, error.what, error.origin)
        files.write_json(path, {**head, "bytes": len(error.body), "body": body})

    return _keep(pipeline, source, date, write)


def keep_rows(pipeline: Pipeline, source: str, date: str, reason: str, origin: str, lines: Iterable[str]) -> str:
    """Keep records, given as lines of JSON, under `data`; returns the path of the quarantine file."""

    def write(path: str) -> None:
        with envelope.Writer(path, _head(source, date, reason, origin)) as out:
            for line in lines:
                out.add_line(line)

    return _keep(pipeline, source, date, write)


def _head(source: str, date: str, reason: str, origin: str) -> dict[str, Any]:
    return {"v": 1, "source": source, "date": date, "time": clock.now(), "reason": reason, "origin": origin}


def _keep(pipeline: Pipeline, source: str, date: str, write: Callable[[str], None]) -> str:
    # What lies there waits for a person: a repeat of the fetch takes the next number and replaces nothing.
    with locks.held(pipeline.lock(f"quarantine-{source}"), what=f"the quarantine of '{source}'"):
        number = 1
        while os.path.lexists(path := pipeline.path("quarantine", source, date, number)):
            number += 1
        write(path)
    return path
