"""Log lines as they are read: the last ones from the end of the files, all in the order of time, or new ones as
they come; what is not wanted is told by its bytes, before any JSON is parsed."""

from __future__ import annotations

import os

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.files import open_regular
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from colony_lib.base.jsonl import Problem

    Record = dict[str, Any]

LEVELS = ("debug", "info", "warn", "error")
BLOCK = 1 << 20
FIRST_BLOCK = 1 << 16  # what is read from the end at first
LONGEST = 1 << 20  # bytes of one line; a longer one is somebody's damage
# How many bytes of older lines in a row end the search for lines since a time: clocks may jump, but not for so long.
PATIENCE = 4 << 20
_CONTEXT = ("run_id", "step", "attempt")


class Wanted:
    """Which lines are wanted: at least of a level, not before a time (as stored), of a run, of a step, and with a
    message that `matches`. `literal` is a text that every such message holds, if there is one."""

    __slots__ = ("_levels", "_needles", "_same", "_since", "matches", "since")

    def __init__(
        self,
        level: str = "debug",
        since: str | None = None,
        run_id: str | None = None,
        step: str | None = None,
        matches: Callable[[str], bool] | None = None,
        literal: str | None = None,
    ) -> None:
        self.since = since
        self._since = (since or "").encode()
        self.matches = matches
        self._levels = frozenset(LEVELS[LEVELS.index(level) :])
        self._same = {key: value for key, value in (("run_id", run_id), ("step", step)) if value is not None}
        # For each condition the byte strings of which a line must hold one, however its writer sets blanks.
        self._needles: list[tuple[bytes, ...]] = []
        if len(self._levels) < len(LEVELS):
            self._needles.append(tuple(f'"{word}"'.encode() for word in self._levels))
        self._needles += [(jsontext.dumps(value).encode(),) for value in self._same.values()]
        if literal and literal.isascii() and literal.isprintable() and not set(literal) & set('"\\/'):
            self._needles.append((literal.encode(), b"\\u"))

    def maybe(self, data: bytes) -> bool:
        """Whether the line, or any line of the block, may be wanted: never false for one that is."""
        return all(any(needle in data for needle in needles) for needles in self._needles)

    def recent(self, line: bytes) -> bool:
        """Whether the line may be as new as wanted: never false for one that is."""
        if not self._since or not line.startswith(b'{"v":1,"id":"'):
            return True  # nothing is asked, or another writer's line, whose keys may stand anywhere
        start = line.find(b'"ts":"') + 6
        return line[start : start + 24] >= self._since

    def older(self, block: bytes) -> bool:
        """Whether the block's first and last line are too old; what lies between them is not looked at."""
        first, last = block[: block.find(b"\n")], block[block.rfind(b"\n", 0, -1) + 1 :]
        return not self.recent(first) and not self.recent(last)

    def keeps(self, record: Record) -> bool:
        return (
            record["level"] in self._levels
            and (self.since is None or record["ts"] >= self.since)
            and all(record[key] == value for key, value in self._same.items())
            and (self.matches is None or self.matches(record["message"]))
        )


def agents() -> list[str]:
    """The names that have a log, sorted."""
    return paths.journals_in(paths.logs_folder(), "agent")


def _is_log_line(found: Record) -> bool:
    texts = (found.get("ts"), found.get("message"), found.get("agent", ""))
    return found.get("level") in LEVELS and all(isinstance(text, str) for text in texts)


class Source:
    """One agent's log, open: the lines up to `end` that were whole when it was opened, and those that came since."""

    __slots__ = ("agent", "bad", "end", "fd", "path")

    def __init__(self, agent: str) -> None:
        """FileNotFoundError when there is no log."""
        self.agent = agent
        self.path = paths.log(agent)
        self.fd = open_regular(self.path, follow=False)
        self.end = _after_last_newline(self.fd, os.fstat(self.fd).st_size)
        self.bad: list[tuple[int, str]] = []  # offset and reason of lines that could not be read

    def close(self) -> None:
        os.close(self.fd)

    def problems(self) -> list[Problem]:
        """The unreadable lines met so far as (file, line number, why); their numbers are counted only now."""
        numbered: list[Problem] = []
        number, at = 1, 0
        for offset, why in sorted(self.bad):
            while at < offset:
                piece = os.pread(self.fd, min(BLOCK, offset - at), at)
                if not piece:
                    break
                number += piece.count(b"\n")
                at += len(piece)
            numbered.append((self.path, number, why))
        self.bad = []
        return numbered

    def record(self, offset: int, line: bytes) -> Record | None:
        """The line's record, with null for what it does not say; None, and the reason kept, when it is none."""
        try:
            found = jsontext.loads(line) if len(line) <= LONGEST else None
        except ColonyError as error:
            self.bad.append((offset, error.what))
            return None
        if not isinstance(found, dict) or not _is_log_line(found):
            self.bad.append((offset, "not a log line" if len(line) <= LONGEST else "too long"))
            return None
        found.setdefault("agent", self.agent)
        for key in _CONTEXT:
            found.setdefault(key, None)
        return found

    def backwards(self, wanted: Wanted) -> Iterator[Record]:
        """The wanted lines, newest first. Reads no more of the file than is asked for."""
        older = 0
        for offset, block in self._blocks_backwards():
            if wanted.since is not None:
                older = older + len(block) if wanted.older(block) else 0
                if older > PATIENCE:
                    return
            if wanted.maybe(block):
                place = offset + len(block)
                for line in reversed(block[:-1].split(b"\n")):
                    place -= len(line) + 1
                    if line and wanted.maybe(line) and wanted.recent(line):
                        record = self.record(place, line)
                        if record is not None and wanted.keeps(record):
                            yield record

    def forwards(self, wanted: Wanted) -> Iterator[Record]:
        """The wanted lines, oldest first."""
        start = 0
        if wanted.since is not None:
            older, start = 0, self.end
            for offset, block in self._blocks_backwards():
                older = older + len(block) if wanted.older(block) else 0
                start = offset
                if older > PATIENCE:
                    break
        for offset, block in self._blocks(start, self.end):
            yield from self._wanted(offset, block, wanted)

    def fresh(self, wanted: Wanted) -> Iterator[Record]:
        """The wanted lines that came after `end`, which moves past them."""
        size = os.fstat(self.fd).st_size
        if size < self.end:
            self.end = 0  # truncated: what is there now is new
        for offset, block in self._blocks(self.end, size):
            self.end = offset + len(block)
            yield from self._wanted(offset, block, wanted)

    def _wanted(self, offset: int, block: bytes, wanted: Wanted) -> Iterator[Record]:
        if not wanted.maybe(block):
            return
        for line in block[:-1].split(b"\n"):
            if line and wanted.maybe(line) and wanted.recent(line):
                record = self.record(offset, line)
                if record is not None and wanted.keeps(record):
                    yield record
            offset += len(line) + 1

    def _blocks_backwards(self) -> Iterator[tuple[int, bytes]]:
        """(offset, whole lines) from the end to the beginning, in pieces that grow."""
        start, size, rest, dropping = self.end, FIRST_BLOCK, b"", False
        while start > 0:
            size = min(size, start)
            start -= size
            piece = os.pread(self.fd, size, start)
            size = min(size * 4, BLOCK)
            if dropping:
                piece = piece[: piece.rfind(b"\n") + 1]
                if start and not piece:
                    continue
                self.bad.append((start + len(piece), "too long"))
                dropping = False
            block = piece + rest
            head = block.find(b"\n") + 1 if start else 0
            if start and head in (0, len(block)):
                rest = block  # not one whole line yet
                if len(rest) > LONGEST:
                    rest, dropping = b"", True
                continue
            if len(block) > head:
                yield start + head, block[head:]
            rest = block[:head]

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """(offset, whole lines) from `start` on, up to the last newline before `end`."""
        rest, dropped = b"", -1
        while start + len(rest) < end:
            piece = os.pread(self.fd, min(BLOCK, end - start - len(rest)), start + len(rest))
            if not piece:
                return
            if dropped >= 0:
                head = piece.find(b"\n") + 1
                start += head or len(piece)
                if not head:
                    continue
                self.bad.append((dropped, "too long"))
                piece, dropped = piece[head:], -1
            block = rest + piece
            whole = block.rfind(b"\n") + 1
            if whole:
                yield start, block[:whole]
            start += whole
            rest = block[whole:]
            if len(rest) > LONGEST:
                dropped = start
                start += len(rest)
                rest = b""


def _after_last_newline(fd: int, end: int) -> int:
    while end > 0:
        size = min(FIRST_BLOCK, end)
        found = os.pread(fd, size, end - size).rfind(b"\n") + 1
        if found:
            return end - size + found
        end -= size
    return 0


def open_all(names: Iterable[str]) -> list[Source]:
    """The logs of these agents, those that are there."""
    sources = []
    for name in names:
        try:
            sources.append(Source(name))
        except FileNotFoundError:
            continue
    return sources


def last(sources: Iterable[Source], wanted: Wanted, count: int) -> list[Record]:
    """The last `count` wanted lines of all the logs, in the order of time (of one log, in its own order). A line
    repeated (same id) counts once."""
    found: list[Record] = []
    several = 0
    for source in sources:
        several += 1
        own: dict[object, Record] = {}
        if count:
            for record in source.backwards(wanted):
                own.setdefault(record.get("id", len(own)), record)
                if len(own) == count:
                    break
        found += reversed(own.values())
    if several > 1:
        found.sort(key=lambda record: record["ts"])
    return found[-count:] if count else []


def every(sources: Iterable[Source], wanted: Wanted) -> Iterator[Record]:
    """All wanted lines, merged by time as they are read: of each log only a block is in memory."""
    from heapq import merge

    return merge(*(_once(source.forwards(wanted)) for source in sources), key=lambda record: record["ts"])


def _once(records: Iterable[Record]) -> Iterator[Record]:
    """Without repeats, as far back as a merge of files puts them: the last 100,000 ids."""
    recent: dict[object, None] = {}
    for record in records:
        identity = record.get("id")
        if identity is None or identity not in recent:
            recent[identity] = None
            if len(recent) > 100_000:
                del recent[next(iter(recent))]
            yield record


class Follower:
    """New lines as they come: of the named agents, or with None of all, also of those that appear later; over
    rotation (a new file of the name) and truncation."""

    __slots__ = ("_names", "sources")

    def __init__(self, names: list[str] | None, sources: Iterable[Source]) -> None:
        """`sources` are open already: their lines after `end` are the new ones."""
        self._names = names
        self.sources = {source.agent: source for source in sources}

    def new(self, wanted: Wanted) -> list[Record]:
        """The wanted lines since the last call, in the order of time."""
        found: list[Record] = []
        for name in agents() if self._names is None else self._names:
            if name not in self.sources:
                for source in open_all([name]):
                    source.end = 0
                    self.sources[name] = source
        for name, source in list(self.sources.items()):
            found += source.fresh(wanted)
            if _replaced(source):
                found += source.fresh(wanted)  # what came between the look at its end and the rename
                source.close()
                del self.sources[name]
                for fresh in open_all([name]):
                    fresh.end = 0
                    self.sources[name] = fresh
                    found += fresh.fresh(wanted)
        if len(self.sources) > 1:
            found.sort(key=lambda record: record["ts"])
        return found


def _replaced(source: Source) -> bool:
    """Whether the path now names another file. One that is only gone is kept until there is another."""
    try:
        now = os.stat(source.path, follow_symlinks=False)
    except OSError:
        return False
    mine = os.fstat(source.fd)
    return (now.st_ino, now.st_dev) != (mine.st_ino, mine.st_dev)
