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
_TRAIL = 127  # bytes
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


def added(path: str, start: int, end: int, check: Check, newest: int) -> list[Event] | None:
    """The events between these bytes of the journal; None when they are not what writers add one after the other,
    each later than `newest`, the clock of the one before."""
    fd = files.open_regular(path, follow=False)
    try:
        data = os.pread(fd, end - start, start)
    finally:
        os.close(fd)
    events: list[Event] | None = jsontext.loads_lines(data) if data else []
    if len(data) != end - start or events is None:
        return None
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("id"), str) or fault(event, check):
            return None
        if event["clock"] <= newest or "then" in event:
            return None
        newest = event["clock"]
    return events


class Trail:
    """What the last who added to a journal left in its lock file: how the journal is to be found again (inode, size,
    time of change), the clock of its newest event, and the name of the unbroken row of additions of which it is the
    last. As long as the journal is found so, nobody else has touched it, and nothing of it need be read to add to it.
    """

    __slots__ = ("chain", "clock", "state")

    def __init__(self, chain: str, state: tuple[int, ...], clock: int) -> None:
        self.chain = chain
        self.state = state
        self.clock = clock

    def leave(self, fd: int) -> None:
        """Write it into the lock file, open at `fd` and held: always as many bytes, for to truncate a file costs more
        than all else that is done under the lock."""
        text = " ".join([self.chain, *map(str, (*self.state, self.clock))])
        os.pwrite(fd, text.ljust(_TRAIL).encode() + b"\n", 0)


def found(state: os.stat_result) -> tuple[int, ...]:
    """How a journal is known again."""
    return state.st_ino, state.st_dev, state.st_size, state.st_mtime_ns


def trail(lock: str | int, state: os.stat_result) -> Trail | None:
    """The trail in the lock file (its path, or a descriptor of it) that leads to the journal as it is now; None when
    there is none: it is new, or was changed by a sync, an editor, or a writer that died half-way."""
    words = locks.note(lock).partition("\n")[0].split()
    if len(words) != 6 or not all(word.isascii() and word.isdigit() for word in words[1:]):
        return None
    *there, newest = map(int, words[1:])
    return Trail(words[0], found(state), newest) if tuple(there) == found(state) else None


def state_of(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None


class changing:
    """`with changing(path, lock, check, what) as journal:` — decide on `journal.events`, then `journal.add(…)`.

    The lock is held for the whole block. At its end all that was added is appended by one write and is on the
    disk when the block is left; after an exception nothing is written. What there is is read when it is asked for.
    Raises ColonyError: BUSY when the lock cannot be had, FAILED when the write fails (the journal is then as before).
    """

    __slots__ = ("_check", "_events", "_lock", "_path", "chain", "clock", "new")

    def __init__(self, path: str, lock: str, check: Check, what: str) -> None:
        self._path = path
        self._check = check
        self._lock = locks.held(lock, what=what)
        self._events: list[Event] | None = None
        self.chain = ""  # of its trail
        self.clock = 0  # of the newest event
        self.new: list[Event] = []

    def __enter__(self) -> Self:
        self._lock.__enter__()
        try:
            state = state_of(self._path)
            left = trail(self._lock.fd, state) if state is not None else None
            if left is not None:
                self.chain, self.clock = left.chain, left.clock
            else:
                self.chain = clock.new_id()
                self._load()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    @property
    def events(self) -> list[Event]:
        """What there is, in order."""
        if self._events is None:
            self._events = read(self._path, self._check)
        return self._events

    def _load(self) -> None:
        """Find out the newest event's clock where no trail tells it."""
        self.clock = self.events[-1]["clock"] if self.events else 0

    def _wrote(self, state: os.stat_result) -> None:
        """The events are in the journal, which now is so, and the lock is still held."""

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
                    state = os.fstat(fd)
                    Trail(self.chain, found(state), self.clock).leave(self._lock.fd)
                    self._wrote(state)
            finally:
                self._lock.__exit__(None, None, None)
            if fd >= 0:
                jsonl.sync(fd, self._path, new=created)
        finally:
            if fd >= 0:
                os.close(fd)
