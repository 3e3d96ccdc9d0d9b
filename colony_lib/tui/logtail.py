"""The log lines that a view holds: the last ones at once, older ones as they are asked for, new ones as they come.

Memory is bounded. What a filter rejects is told by its bytes where that can be; a search can be given up at any block.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from heapq import merge
from itertools import chain, islice

from colony_lib.store import logread, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.tui.filters import Filter

    Record = dict[str, Any]

PAGE = 1000  # lines that are read at first, and each time when older ones are wanted
KEPT = 20_000  # lines that are held while following
MOST = 200_000  # lines that are held at all
LAG = 16 << 20  # bytes of new lines of one look from which on they are passed over


class GivenUp(Exception):
    """The search was cancelled."""


class _Wanted(logread.Wanted):
    """Lines of a filter: with a probe for words in any case, and a way to give up between two blocks."""

    __slots__ = ("_filter", "_tail", "_word")

    def __init__(self, tail: Tail, chosen: Filter, run_id: str | None, step: str | None, since: str | None) -> None:
        probe = chosen.probe()
        literal = probe[0].decode() if probe and not probe[1] else None
        matches = chosen.finds if chosen.words else None
        super().__init__(chosen.level, since, run_id, step or chosen.exact("step"), matches, literal)
        self._filter, self._tail = chosen, tail
        self._word = probe[0] if probe and probe[1] else None

    def lines(self, data: bytes | bytearray, begin: int, end: int) -> list[tuple[int, bytes]]:
        self._tail.looked(end - begin)
        if self._word is None:
            return super().lines(data, begin, end)
        # In any case: in a copy in small letters, which is several times quicker than a regular expression. What is
        # spelled by an escape (\\uXXXX) may be the word too.
        small = bytes(memoryview(data)[begin:end]).lower()
        starts = {start for needle in (self._word, b"\\u") for start in _starts(small, needle)}
        found = []
        for start in sorted(starts):
            line = bytes(data[begin + start : begin + small.find(b"\n", start)])
            if self.maybe(line):
                found.append((begin + start, line))
        return found

    def absent(self, data: bytes | bytearray, begin: int, end: int) -> int:
        self._tail.looked(0)
        return super().absent(data, begin, end)

    def keeps(self, record: Record) -> bool:
        return super().keeps(record) and self._filter.keeps(_fields(record))


def _starts(lines: bytes, needle: bytes) -> Iterator[int]:
    """Where the lines begin in which the needle is; the last line ends in a newline too."""
    place = lines.find(needle)
    while place >= 0:
        yield lines.rfind(b"\n", 0, place) + 1
        place = lines.find(needle, lines.find(b"\n", place) + 1)


class Tail:
    """A window on the logs of some agents (None: of all), through a filter.

    Only one thread calls `open`, `fresh`, `older` and `oldest` at a time; another may read `lines` and set `cancelled`.
    """

    def __init__(
        self,
        chosen: Filter,
        agents: list[str] | None = None,
        *,
        run_id: str | None = None,
        step: str | None = None,
        since: str | None = None,
    ) -> None:
        self.filter = chosen
        self.lines: list[Record] = []  # the oldest first; replaced, or added to at its end, never changed elsewhere
        self.cancelled = False
        self.searched = 0  # bytes that have been looked through since the last call
        self.at_top = False  # there is nothing older
        self.at_end = True  # the newest lines are held
        self.missed = 0  # lines that came while others were being looked at
        self.skipped = 0  # bytes that were passed over so as not to lag
        self.unreadable = 0
        self.trouble: str | None = None  # why the files could not be read; for those who start threads, as `busy` is
        self.busy = False  # a thread is at work; for those who start threads
        self._agents = agents
        self._wanted = _Wanted(self, chosen, run_id, step, since)
        self._behind: Iterator[Record] | None = None
        self._sources: list[logread.Source] = []  # those that `_behind` reads
        self._follower: logread.Follower | None = None
        self._folder = 0  # when the folder of the logs last changed

    def give_up(self) -> None:
        """Called by another thread: end the search at the next block."""
        self.cancelled = True

    def looked(self, size: int) -> None:
        """Called for each block of a file: how much has been searched, and the place where one gives up."""
        self.searched += size
        if self.cancelled:
            raise GivenUp

    def open(self) -> None:
        """Read the last lines, and stand at the end."""
        self.close()
        self.searched, self.missed, self.skipped = 0, 0, 0
        self.at_top, self.at_end = False, True
        follow = logread.open_all(self._names())
        self._follower = logread.Follower(None if self._agents is None else self._names(), follow)
        self._backwards({source.agent: source.end for source in follow})
        self.lines = []
        self.lines = self._page()

    def has_news(self) -> bool:
        """Whether `fresh` may find something: a quick look at the folder and the files' sizes. Of files that have been
        replaced only the folder tells."""
        if self._follower is None or not self.at_end:
            return False
        try:
            folder = os.stat(paths.logs_folder()).st_mtime_ns
        except FileNotFoundError:
            return False
        was, self._folder = self._folder, folder
        return folder != was or any(
            os.fstat(source.fd).st_size != source.end for source in self._follower.sources.values()
        )

    def fresh(self, keep: bool = True) -> int:
        """Take in what is new; the number of lines. With `keep` false they are only counted."""
        if self._follower is None or not self.at_end:
            return 0
        self.cancelled = False
        if keep and self.missed:
            self.open()
            return len(self.lines)
        self.searched = 0
        behind = sum(max(os.fstat(source.fd).st_size - source.end, 0) for source in self._follower.sources.values())
        if behind > LAG and keep:
            self.open()
            self.skipped = behind
            return len(self.lines)
        found = self._follower.new(self._wanted)
        found = [record for record in found if self._is_asked(record["agent"])]
        self.unreadable += sum(len(source.bad) for source in self._follower.sources.values())
        for source in self._follower.sources.values():
            source.bad = []
        if not keep:
            self.missed += len(found)
        elif found:
            self._add(found)
        return len(found)

    def _add(self, found: list[Record]) -> None:
        if len(self.lines) + len(found) <= KEPT:
            self.lines.extend(found)
            return
        self.lines = (self.lines + found)[-(KEPT - PAGE) :]
        self._drop_behind()  # what is older than the first line is found anew when it is asked for
        self.at_top = False

    def older(self) -> int:
        """Read a page of older lines; how many there were. 0 at the top, or when as many are held as may be."""
        self.searched = 0
        if self.at_top or len(self.lines) >= MOST:
            return 0
        if self._behind is None and self.lines:
            self._backwards({})
            self._pass_over(self.lines[0])
        found = self._page()
        self.lines = found + self.lines
        return len(found)

    def oldest(self) -> None:
        """Hold the oldest lines there are; `older` and `fresh` then find nothing until `open`."""
        self.searched = 0
        self._drop_behind()
        sources = logread.open_all(self._names())
        try:
            self.lines = list(islice(logread.every(sources, self._wanted), KEPT))
        except GivenUp:
            pass  # what was held is held on
        finally:
            for source in sources:
                source.close()
        self.at_top = True
        self.at_end = False

    def close(self) -> None:
        self._drop_behind()
        if self._follower is not None:
            for source in self._follower.sources.values():
                source.close()
            self._follower = None

    # -- inside

    def _names(self) -> list[str]:
        known = logread.agents() if self._agents is None else self._agents
        return [name for name in known if self._is_asked(name)]

    def _is_asked(self, name: str) -> bool:
        terms = [(pattern, wanted) for field, pattern, wanted in self.filter.fields if field == "agent"]
        return all(fnmatchcase(name, pattern) is wanted for pattern, wanted in terms)

    def _backwards(self, ends: dict[str, int]) -> None:
        self._drop_behind()
        self._sources = logread.open_all(self._names())
        for source in self._sources:
            source.end = min(ends.get(source.agent, source.end), source.end)
        several = [source.backwards(self._wanted) for source in self._sources]
        self._behind = several[0] if len(several) == 1 else merge(*several, key=_time, reverse=True)

    def _pass_over(self, first: Record) -> None:
        """Skip what is held already: everything down to that line."""
        for record in self._behind or ():
            if record == first:
                return
            if record["ts"] < first["ts"]:
                self._behind = chain([record], self._behind or ())
                return

    def _page(self) -> list[Record]:
        found: list[Record] = []
        try:
            for record in islice(self._behind or (), PAGE):
                found.append(record)
            self.at_top = len(found) < PAGE
        except GivenUp:
            self.at_top = True  # what was found until then is kept
        if self.at_top:
            self._drop_behind()
        found.reverse()
        return found

    def _drop_behind(self) -> None:
        self._behind = None
        for source in self._sources:
            source.close()
        self._sources = []


def _time(record: Record) -> str:
    return str(record["ts"])


def _fields(record: Record) -> Record:
    return {**record, "run": record["run_id"]}
