"""Log lines as they are read: the last ones from the end of the files, all in the order of time, or new ones as
they come; what is not wanted is told by its bytes, before any JSON is parsed, or not even read (`logblocks`)."""

from __future__ import annotations

import os

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.files import open_regular
from colony_lib.store import logblocks, paths
from colony_lib.store.logblocks import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from colony_lib.base.jsonl import Problem

    Record = dict[str, Any]

LEVELS = logblocks.LEVELS
BLOCK = logblocks.BLOCK
LONGEST = logblocks.LONGEST
FIRST_BLOCK = 1 << 16  # what is read from the end at first
# How many bytes of older lines in a row end the search for lines since a time: clocks may jump, but not for so long.
PATIENCE = 4 << 20
LEARNED = 8  # blocks of which something new is known, before it is worth a write
_CONTEXT = ("run_id", "step", "attempt")


class Wanted:
    """Which lines are wanted: at least of a level, not before a time (as stored), of a run, of a step, and with a
    message that `matches`. `literal` is a text that every such message holds, if there is one."""

    __slots__ = ("_levels", "_needles", "_same", "levels", "matches", "since")

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
        self.matches = matches
        self._levels = frozenset(LEVELS[LEVELS.index(level) :])
        # A bit for each level that is wanted; none where all of them are.
        self.levels = 0 if level == LEVELS[0] else sum(1 << LEVELS.index(word) for word in self._levels)
        self._same = {key: value for key, value in (("run_id", run_id), ("step", step)) if value is not None}
        # For each condition the byte strings of which a line must hold one, however its writer sets blanks.
        self._needles: list[tuple[bytes, ...]] = []
        if self.levels:
            self._needles.append(tuple(needle for i, needle in enumerate(logblocks.NEEDLES) if self.levels >> i & 1))
        self._needles += [(jsontext.dumps(value).encode(),) for value in self._same.values()]
        if literal and literal.isascii() and literal.isprintable() and not set(literal) & set('"\\/'):
            self._needles.append((literal.encode(), b"\\u"))

    def maybe(self, line: bytes) -> bool:
        """Whether the line may be wanted: never false for one that is."""
        return all(any(needle in line for needle in needles) for needles in self._needles)

    def lines(self, data: bytes | bytearray, begin: int, end: int) -> list[tuple[int, bytes]]:
        """Of the whole lines there those that may be wanted, each with its place: never fewer than are."""
        if not self._needles:
            places = [begin]
            lines = bytes(memoryview(data)[begin : end - 1]).split(b"\n")
            for line in lines:
                places.append(places[-1] + len(line) + 1)
            return list(zip(places, lines))
        # By the condition that is met the latest, and so perhaps the least often.
        first = []
        for needles in self._needles:
            places = [place for place in (data.find(needle, begin, end) for needle in needles) if place >= 0]
            if not places:
                return []
            first.append((min(places), needles))
        found: dict[int, bytes] = {}
        for needle in max(first)[1]:
            place = data.find(needle, begin, end)
            while place >= 0:
                start = data.rfind(b"\n", begin, place) + 1 or begin
                stop = data.find(b"\n", place, end)
                if start not in found and self.maybe(line := bytes(data[start:stop])):
                    found[start] = line
                place = data.find(needle, stop, end)
        return sorted(found.items())

    def absent(self, data: bytes | bytearray, begin: int, end: int) -> int:
        """A bit for each wanted level that does not occur, up to the first one that does."""
        found = 0
        for place in range(len(LEVELS) - 1, -1, -1):
            if self.levels >> place & 1:
                if data.find(logblocks.NEEDLES[place], begin, end) >= 0:
                    break
                found |= 1 << place
        return found

    def recent(self, told: str | None) -> bool:
        """Whether a line that tells this of its time may be as new as wanted: never false for one that is."""
        return self.since is None or told is None or told >= self.since

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

    __slots__ = ("_known", "_room", "agent", "bad", "end", "fd", "path")

    def __init__(self, agent: str) -> None:
        """FileNotFoundError when there is no log."""
        self.agent = agent
        self.path = paths.log(agent)
        self.fd = open_regular(self.path, follow=False)
        self.end = _after_last_newline(self.fd, os.fstat(self.fd).st_size)
        self.bad: list[tuple[int, str]] = []  # offset and reason of lines that could not be read
        self._known: logblocks.Known | None = None
        self._room = bytearray()

    def close(self) -> None:
        os.close(self.fd)

    def problems(self) -> list[Problem]:
        """The unreadable lines met so far as (file, line number, why); their numbers are counted only now."""
        numbered: list[Problem] = []
        number, at = 1, 0
        for offset, why in sorted(set(self.bad)):
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
        try:
            for piece in self._backwards(wanted):
                if wanted.since is not None:
                    older = older + piece.size if self._is_older(piece, wanted) else 0
                    if older > PATIENCE:
                        return
                if self._may_hold(piece, wanted):
                    for offset, line in reversed(piece.lines(wanted)):
                        record = self.record(offset, line)
                        if record is not None and wanted.keeps(record):
                            yield record
        finally:
            self._keep()

    def forwards(self, wanted: Wanted) -> Iterator[Record]:
        """The wanted lines, oldest first."""
        start = 0
        if wanted.since is not None:
            older, start = 0, self.end
            for piece in self._backwards(wanted):
                older = older + piece.size if self._is_older(piece, wanted) else 0
                start = piece.offset
                if older > PATIENCE:
                    break
        try:
            for piece in self._forwards(start, self.end, wanted):
                yield from self._wanted(piece, wanted)
        finally:
            self._keep()

    def fresh(self, wanted: Wanted) -> Iterator[Record]:
        """The wanted lines that came after `end`, which moves past them."""
        size = os.fstat(self.fd).st_size
        if size < self.end:
            self.end = 0  # truncated: what is there now is new
            self._known = None
        for piece in self._forwards(self.end, size, wanted):
            self.end = piece.offset + piece.size
            yield from self._wanted(piece, wanted)

    def _wanted(self, piece: Piece, wanted: Wanted) -> Iterator[Record]:
        if not self._may_hold(piece, wanted):
            return
        for offset, line in piece.lines(wanted):
            record = self.record(offset, line)
            if record is not None and wanted.keeps(record):
                yield record

    def _is_older(self, piece: Piece, wanted: Wanted) -> bool:
        """Whether the first and the last line are too old; what lies between them is not looked at."""
        if piece.known is not None:
            first, last = piece.known.first, piece.known.last
        else:
            first, last = logblocks.outer(piece.data, piece.begin, piece.begin + piece.size)
        return not wanted.recent(first) and not wanted.recent(last)

    def _may_hold(self, piece: Piece, wanted: Wanted) -> bool:
        """Whether lines of the piece may be wanted; what levels are not among them is learned."""
        if piece.known is not None:
            return False
        data, begin, end = piece.data, piece.begin, piece.begin + piece.size
        whole = logblocks.has_no_long_line(data, begin, end)
        if not whole:
            self.bad += [(place, "too long") for place, line in piece.lines(Wanted()) if len(line) > LONGEST]
        if wanted.levels:
            absent = wanted.absent(data, begin, end)
            if absent and whole and piece.exact and self._known is not None:
                outer = logblocks.outer(data, begin, end)
                self._known.learn(piece.offset, piece.offset + piece.size, absent, *outer)
            if absent == wanted.levels:
                return False
        return True

    def _look_up(self, wanted: Wanted) -> logblocks.Known | None:
        """What is known of the blocks, where that can help."""
        if wanted.levels and self._known is None:
            self._known = logblocks.Known(self.agent, self.fd, BLOCK)
        return self._known if wanted.levels else None

    def _keep(self) -> None:
        if self._known is not None:
            self._known.keep(LEARNED)

    def _backwards(self, wanted: Wanted) -> Iterator[Piece]:
        """The lines from the end to the beginning, in pieces that grow, and then end where blocks do."""
        end = low = self.end  # lines up to `end` are still to come; from `low` on the file has been read
        rest = b""  # what has been read before `end`, for it is not known yet where its first line begins
        size, exact, dropping = FIRST_BLOCK, False, False
        while end > 0:
            known = self._look_up(wanted) if self.end - end > BLOCK and not dropping else None
            block = known.ending(end) if known is not None else None
            if block is not None and block.absent & wanted.levels == wanted.levels:
                yield Piece(b"", block.start, 0, block.end - block.start, True, block)
                end, low, rest, exact = block.start, block.start, b"", True
                continue
            start = max(low - size, (low - 1) // BLOCK * BLOCK)
            data, stop = self._read(start, low, rest)
            if stop < low - start + len(rest):
                return  # truncated meanwhile
            low, size = start, min(size * 4, BLOCK)
            if dropping:
                stop = data.rfind(b"\n", 0, stop) + 1
                end = start + stop
                if start and not stop:
                    continue
                self.bad.append((end, "too long"))
                dropping = exact = False
            head = data.find(b"\n", 0, stop) + 1 if start else 0
            if start and head in (0, stop):  # not one whole line yet
                dropping = stop > LONGEST
                rest = b"" if dropping else bytes(data[:stop])
                continue
            if stop > head:
                yield Piece(data, start + head, head, stop - head, exact and start % BLOCK == 0)
            rest = bytes(data[:head])
            end, exact = start + head, start % BLOCK == 0

    def _read(self, start: int, end: int, rest: bytes) -> tuple[bytes | bytearray, int]:
        """These bytes of the file with the rest behind them, and how many there are. What is as large as a block
        stands in the room: memory that is new each time costs three times what the reading does."""
        if end - start < BLOCK:
            data = os.pread(self.fd, end - start, start) + rest
            return data, len(data)
        size = self._fill(0, start, end)
        self._room[size : size + len(rest)] = rest
        return self._room, size + len(rest)

    def _fill(self, at: int, start: int, end: int) -> int:
        """Reads these bytes of the file into the room, and returns how many there were."""
        stop = at + end - start
        self._room.extend(bytes(max(stop - len(self._room), 0)))
        return os.preadv(self.fd, [memoryview(self._room)[at:stop]], start)

    def _forwards(self, start: int, end: int, wanted: Wanted) -> Iterator[Piece]:
        """The lines from `start` up to the last newline before `end`, in pieces that end where blocks do."""
        exact = start == 0
        while start < end:
            known = self._look_up(wanted) if end - start > BLOCK else None
            block = known.beginning(start) if known is not None else None
            if block is not None and block.end <= end and block.absent & wanted.levels == wanted.levels:
                yield Piece(b"", start, 0, block.end - start, True, block)
                start, exact = block.end, True
                continue
            edge = min((start // BLOCK + 1) * BLOCK, end)
            have = self._fill(0, start, edge)
            if have < edge - start:
                return  # truncated meanwhile
            stop = self._room.rfind(b"\n", 0, have) + 1
            newline = -1  # behind the edge: there ends the line that goes over it
            while edge < end and newline < 0 and have - stop <= LONGEST:
                got = self._fill(have, edge, min(edge + FIRST_BLOCK, end))
                if not got:
                    return
                newline = self._room.find(b"\n", have, have + got)
                have, edge = have + got, edge + got
            stop = newline + 1 or stop
            long = newline < 0 and have - stop > LONGEST
            if stop:
                yield Piece(self._room, start, 0, stop, exact and newline >= 0)
            if newline < 0 and not long:
                return
            start, exact = start + stop, True
            if long:
                begin, start = start, self._after_newline(edge, end)
                if start < 0:
                    return
                self.bad.append((begin, "too long"))

    def _after_newline(self, start: int, end: int) -> int:
        """Where the next line begins; -1 when there is none before `end`."""
        while start < end:
            got = self._fill(0, start, min(start + BLOCK, end))
            found = self._room.find(b"\n", 0, got) + 1
            if found or not got:
                return start + found if found else -1
            start += got
        return -1


class Piece:
    """Some whole lines of a log, from `offset` on: `size` bytes that stand in `data` from `begin` on, or, when it is
    `known` that none of them is wanted, nowhere. `exact`: they are a block, as `logblocks` has them."""

    __slots__ = ("begin", "data", "exact", "known", "offset", "size")

    def __init__(
        self,
        data: bytes | bytearray,
        offset: int,
        begin: int,
        size: int,
        exact: bool,
        known: logblocks.Block | None = None,
    ) -> None:
        self.data, self.offset, self.begin, self.size = data, offset, begin, size
        self.exact, self.known = exact, known

    def lines(self, wanted: Wanted) -> list[tuple[int, bytes]]:
        """The lines that may be wanted, each with its place in the file."""
        start = self.offset - self.begin
        found = wanted.lines(self.data, self.begin, self.begin + self.size)
        return [(start + place, line) for place, line in found if line and wanted.recent(told(line))]


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
