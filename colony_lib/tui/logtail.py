"""The log lines that a view holds: the last ones at once, older ones as they are asked for, new ones as they come.

Memory is bounded. What a filter rejects is told by its bytes where that can be; a search can be given up at any block.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from heapq import merge
from itertools import chain, islice

from colony_lib.store import logread, paths
from colony_lib.tui.logwanted import GivenUp, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.tui.filters import Filter

    Record = dict[str, Any]

PAGE = 1000  # lines that are read at first, and each time when older ones are wanted
KEPT = 20_000  # lines that are held while following
MOST = 200_000  # lines that are held at all
BLOCK = 1 << 20  # bytes
LAG = 16 << 20  # bytes of new lines of one look from which on they are passed over


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
        self.trouble: str | None = None  # why the files could not be read; for those who start threads, as `busy` is
        self.busy = False  # a thread is at work; for those who start threads
        self._agents = agents
        self._wanted = Wanted(self, chosen, run_id, step, since)
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
        if keep and self.missed:
            self.open()
            return len(self.lines)
        self.searched = 0
        behind = sum(max(os.fstat(source.fd).st_size - source.end, 0) for source in self._follower.sources.values())
        if behind > LAG and keep:
            self.open()
            self.skipped = behind
            return len(self.lines)
        if behind > LAG:
            count = sum(_passed(source) for source in self._follower.sources.values())
            self.missed += count
            return count
        found = self._follower.new(self._wanted)
        found = [record for record in found if self._is_asked(record["agent"])]
        for source in self._follower.sources.values():
            source.bad = []  # `colony logs` tells of unreadable lines; here they must not pile up
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


def _passed(source: logread.Source) -> int:
    """Pass over all that is new in a log; how many lines that were, whatever is in them."""
    size, count = os.fstat(source.fd).st_size, 0
    while source.end < size:
        piece = os.pread(source.fd, min(BLOCK, size - source.end), source.end)
        whole = piece.rfind(b"\n") + 1
        if not whole:
            break  # a line that is not whole yet, or longer than any
        count += piece.count(b"\n", 0, whole)
        source.end += whole
    return count


def _time(record: Record) -> str:
    return str(record["ts"])
