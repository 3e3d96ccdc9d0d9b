"""Which log lines a filter wants, told by their bytes where that can be; and how a search is given up."""

from __future__ import annotations

from typing import Protocol

from colony_lib.store import logread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.tui.filters import Filter

    Record = dict[str, Any]


class Search(Protocol):
    """Who is told of each block that is looked through, and may raise GivenUp."""

    def looked(self, size: int) -> None: ...


class GivenUp(Exception):
    """The search was cancelled."""


class Wanted(logread.Wanted):
    """Lines of a filter: with a probe for words in any case, and a way to give up between two blocks."""

    __slots__ = ("_filter", "_tail", "_word")

    def __init__(self, tail: Search, chosen: Filter, run_id: str | None, step: str | None, since: str | None) -> None:
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
        return super().keeps(record) and self._filter.keeps({**record, "run": record["run_id"]})


def _starts(lines: bytes, needle: bytes) -> Iterator[int]:
    """Where the lines begin in which the needle is; the last line ends in a newline too."""
    place = lines.find(needle)
    while place >= 0:
        yield lines.rfind(b"\n", 0, place) + 1
        place = lines.find(needle, lines.find(b"\n", place) + 1)
