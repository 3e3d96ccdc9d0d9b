"""Journals that several machines may write: events under a logical clock, read in one order everywhere.

An event carries `v`, `id`, `clock` (1 + the greatest clock its writer had seen), `ts` and `by`. What a journal
means is a function of the *set* of its events in the order (clock, id), so that neither the order of the lines,
nor a repeat, nor anybody's wall clock changes it.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsonl, jsontext, locks
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    Event = dict[str, Any]
    Check = Callable[[Event], str | None]

VERSION = 1
LAST_CLOCK = 1 << 53  # beyond it jq and JavaScript lose count
LINE_LIMIT = 1 << 20  # bytes of one event; larger things are files, and the event names them


def actor() -> str:
    """Who acts: the agent of the step we run in, else 'user'."""
    return env.get("COLONY_AGENT") or "user"


def is_time(value: object) -> bool:
    return isinstance(value, str) and len(value) == 24 and value[10] == "T" and value[23] == "Z"


def _envelope(event: Event) -> str | None:
    """Why the event is unusable, whatever it is about; else None."""
    if event.get("v") != VERSION:
        return f"its version is {event.get('v')!r}, not {VERSION}: written by another Colony"
    if type(event.get("clock")) is not int or not 0 <= event["clock"] <= LAST_CLOCK:
        return "its clock is not a whole number in range"
    if not is_time(event.get("ts")):
        return "its time is not like 2026-11-23T06:18:00.123Z"
    if not isinstance(event.get("by", ""), str):
        return "its 'by' is not text"
    return None


def read(path: str, check: Check, problems: list[jsonl.Problem] | None = None) -> list[Event]:
    """The events in their one order, each id once; [] when there is no file.

    Lines that are no event are added to `problems` as (file, line, why). `check` says what is wrong with an event
    of this journal's kind, or None. Of two lines that claim one id the one with the smaller text counts, so
    that not even forgery makes the order of lines matter.
    """
    return once(jsonl.iterate(path, problems, check=lambda event: fault(event, check)))


def fault(event: Event, check: Check) -> str | None:
    """Why the record of a line cannot be used; None when it can."""
    why = _envelope(event) or check(event)
    if why is None and "then" in event:  # events that compaction has put into the line of the first (store/compaction)
        if not isinstance(event["then"], list) or not all(isinstance(each, dict) for each in event["then"]):
            return "its 'then' is no list of events"
        for each in _then(event):
            why = why or _envelope(each) or check(each)
            if not isinstance(each.get("id"), str):
                return "an event in its 'then' has no 'id'"
    return why


def _then(event: Event) -> Iterator[Event]:
    head: Event = {key: event[key] for key in ("v", "task") if key in event}
    for later in event["then"]:
        yield {**head, **later}


def once(lines: Iterable[Event]) -> list[Event]:
    """The events of the lines' records, which have no fault, each id once and in their one order."""
    known: dict[str, Event] = {}
    for event in lines:
        if "then" in event:
            later = _then(event)
            event = {key: value for key, value in event.items() if key != "then"}
        else:
            later = None
        for each in (event,) if later is None else (event, *later):
            other = known.setdefault(each["id"], each)
            if other is not each and other != each and jsontext.dumps(each) < jsontext.dumps(other):
                known[each["id"]] = each
    return sorted(known.values(), key=lambda event: (event["clock"], event["id"]))


class changing:
    """`with changing(path, lock, check, what) as journal:` — decide on `journal.events`, then `journal.add(…)`.

    The lock is held for the whole block. At its end all that was added is appended by one write and is on the
    disk when the block is left; after an exception nothing is written. Raises ColonyError: BUSY when the lock
    cannot be had, FAILED when the write fails (the journal is then as before).
    """

    __slots__ = ("_check", "_lock", "_path", "clock", "events", "new")

    def __init__(self, path: str, lock: str, check: Check, what: str) -> None:
        self._path = path
        self._check = check
        self._lock = locks.held(lock, what=what)
        self.clock = 0  # of the newest event
        self.events: list[Event] = []
        self.new: list[Event] = []

    def __enter__(self) -> Self:
        self._lock.__enter__()
        try:
            self._load()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _load(self) -> None:
        """Read what there is, under the lock."""
        self.events = read(self._path, self._check)
        self.clock = self.events[-1]["clock"] if self.events else 0

    def _wrote(self, fd: int) -> None:
        """The events are in the journal, open at `fd`, and the lock is still held."""

    def add(self, **fields: Any) -> Event:
        """The event of these fields, stamped and to be written at the end of the block."""
        self.clock += 1
        if self.clock > LAST_CLOCK:
            fix = "a line there holds a forged clock: take it out"
            raise ColonyError("the logical clock has come to its end", where=self._path, fix=fix)
        event = {"v": VERSION, "id": clock.new_id(), "clock": self.clock, "ts": clock.now(), "by": actor(), **fields}
        why = _envelope(event) or self._check(event)
        if why is not None:
            raise AssertionError(f"an event that no reader would take: {why}: {event}")
        if len(jsontext.dumps(event)) > LINE_LIMIT:
            raise ColonyError(
                f"that is more than {LINE_LIMIT >> 20} MiB in one record",
                fix="keep large things in a file and name the file",
                code=USAGE,
            )
        if files.redacts():  # what is decided on and kept elsewhere is what the journal will hold
            event = jsontext.loads(files.redacted(jsontext.dumps(event)))
        self.new.append(event)
        return event

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fd = -1
        created = False
        try:
            try:
                if kind is None and self.new:
                    fd = jsonl.open_append(self._path)
                    created = os.fstat(fd).st_size == 0
                    jsonl.append_to(fd, self._path, self.new)
                    self._wrote(fd)
            finally:
                self._lock.__exit__(None, None, None)
            if fd >= 0:
                jsonl.sync(fd, self._path, new=created)
        finally:
            if fd >= 0:
                os.close(fd)
