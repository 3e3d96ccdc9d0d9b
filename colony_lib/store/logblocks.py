"""What is known of the blocks of a large log: the levels that do not occur in them, so that who looks for rare lines
reads only where they may be.

It is kept in `.colony/cache/`, by readers of what they have looked through, and by the writers as a log grows. It is
no second truth: it holds for that very file (inode) while it has not become smaller, has not been changed at the same
size, and begins its blocks with the same bytes; else it is dropped, and so is one that is damaged or of another make.
"""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = ("debug", "info", "warn", "error")
NEEDLES = tuple(f'"{level}"'.encode() for level in LEVELS)  # what a line of the level holds somewhere
BLOCK = 1 << 20  # block k begins with the first line that begins behind byte k · BLOCK (block 0: with the file)
LONGEST = 1 << 20  # bytes of one line; a longer one is somebody's damage, and no block that holds one is known
VERSION = 1
_START = b'{"v":1,"id":"'  # how lines of our own begin
_REST = 1 << 17  # bytes behind a block's end in which its last line should end
_CHECKED = 64  # bytes at a block's start that are compared
_CHECKS = 1000  # blocks of which that is done, however many there are
_MOST = 1 << 14  # blocks that are kept, the newest ones


class Block:
    """Whole lines from `start` to `end` of a log: in `absent` a bit for each level that does not occur, `check` a
    number of the first bytes, `first` and `last` the times of its outer lines (None where they do not tell at once)."""

    __slots__ = ("absent", "check", "end", "first", "last", "start")

    def __init__(self, start: int, end: int, absent: int, check: int, first: str | None, last: str | None) -> None:
        self.start, self.end, self.absent = start, end, absent
        self.check, self.first, self.last = check, first, last

    def row(self) -> list[Any]:
        return [self.start, self.end, self.absent, self.check, self.first, self.last]


class Known:
    """The known blocks of one open log."""

    __slots__ = ("_agent", "_by_end", "_by_start", "_fd", "_learned", "_size", "_state")

    def __init__(self, agent: str, fd: int, size: int) -> None:
        """`size`: that of blocks. The log is open at `fd` for as long as this is used."""
        self._agent, self._fd, self._size = agent, fd, size
        self._state = os.fstat(fd)
        self._by_start: dict[int, Block] = {}
        self._by_end: dict[int, Block] = {}
        self._learned = 0
        for block in self._kept():
            self._add(block)

    def beginning(self, start: int) -> Block | None:
        return self._by_start.get(start)

    def ending(self, end: int) -> Block | None:
        return self._by_end.get(end)

    def learn(self, start: int, end: int, absent: int, first: str | None, last: str | None) -> None:
        """That these levels do not occur in the block from `start` to `end`."""
        if end <= self._state.st_size:
            self._add(Block(start, end, absent, self._check(start), first, last))
            self._learned += 1

    def look(self, number: int) -> None:
        """Learn of a block by reading it; of one that is not whole yet, or damaged, nothing."""
        start = number * self._size
        data = os.pread(self._fd, self._size + _REST, start)
        begin = data.find(b"\n") + 1 if number else 0
        end = data.find(b"\n", self._size) + 1
        if (begin or not number) and begin < end and has_no_long_line(data, begin, end):
            absent = sum(1 << place for place, needle in enumerate(NEEDLES) if data.find(needle, begin, end) < 0)
            first, last = outer(data, begin, end)
            self.learn(start + begin, start + end, absent, first, last)

    def keep(self, least: int = 1) -> None:
        """Keep what has been learned for others, if it is about that many blocks. A disk that is full or may not be
        written makes the next search slower, not this one wrong."""
        if self._learned < least:
            return
        try:
            now = os.stat(paths.log(self._agent), follow_symlinks=False)
            if (now.st_dev, now.st_ino) != (self._state.st_dev, self._state.st_ino):
                return  # another file has the name now
            mine = list(self._by_start.values())
            for block in self._kept():  # others may have learned something meanwhile
                self._add(block)
            for block in mine:
                self._add(block)
            self._write()
        except (ColonyError, OSError):
            return
        self._learned = 0

    def _add(self, block: Block) -> None:
        before = self._by_start.get(block.start)
        if before is not None and before.end == block.end and before.check == block.check:
            block.absent |= before.absent
        elif before is not None:
            self._by_end.pop(before.end, None)
        self._by_start[block.start] = self._by_end[block.end] = block

    def _check(self, start: int) -> int:
        from binascii import crc32

        return crc32(os.pread(self._fd, _CHECKED, start))

    def _kept(self) -> list[Block]:
        """The blocks of the file in the cache, if it speaks of this log as it is."""
        try:
            kept = files.read_json(_file(self._agent), None, follow=False)
            if not isinstance(kept, dict) or kept["v"] != VERSION or kept["block"] != self._size:
                return []
            same = kept["inode"] == [self._state.st_dev, self._state.st_ino] and kept["size"] <= self._state.st_size
            if not same or (kept["size"] == self._state.st_size and kept["changed"] != self._state.st_ctime_ns):
                return []
            if kept["check"] != _sum(kept["blocks"]):
                return []
            blocks = [Block(*row) for row in kept["blocks"]]
            for block in blocks[:: -(-len(blocks) // _CHECKS) or 1] + blocks[-1:]:
                if block.check != self._check(block.start):
                    return []
        except (ColonyError, OSError, KeyError, TypeError, ValueError):
            return []
        return blocks

    def _write(self) -> None:
        rows = [self._by_start[start].row() for start in sorted(self._by_start)[-_MOST:]]
        kept = {
            "v": VERSION,
            "inode": [self._state.st_dev, self._state.st_ino],
            "size": self._state.st_size,
            "changed": self._state.st_ctime_ns,
            "block": self._size,
            "check": _sum(rows),
            "blocks": rows,
        }
        files.write_json(_file(self._agent), kept, indent=None, durable=False)


def grown(agent: str, before: int, after: int) -> None:
    """For writers: the log has grown from so many bytes to so many; each block that it filled by that is looked
    through. What fails here fails no writer."""
    if before // BLOCK == after // BLOCK:
        return
    try:
        fd = files.open_regular(paths.log(agent), follow=False)
    except (ColonyError, OSError):
        return
    try:
        known = Known(agent, fd, BLOCK)
        for number in range(before // BLOCK, after // BLOCK):
            known.look(number)
        known.keep()
    except OSError:
        return
    finally:
        os.close(fd)


def has_no_long_line(data: bytes | bytearray, begin: int, end: int) -> bool:
    """Whether no line is longer than LONGEST, of whole lines that are not much longer together."""
    return end - begin <= LONGEST or data.find(b"\n", end - LONGEST - 1, begin + LONGEST) >= 0


def told(line: bytes | bytearray) -> str | None:
    """The time of a line of our own, which stands in its first bytes; None for other writers' lines, whose keys may
    stand anywhere."""
    place = line.find(b'"ts":"') if line.startswith(_START) else -1
    return None if place < 0 else line[place + 6 : place + 30].decode("ascii", "replace")


def outer(data: bytes | bytearray, begin: int, end: int) -> tuple[str | None, str | None]:
    """What the first and the last of some whole lines tell of their times."""
    last = data.rfind(b"\n", begin, end - 1) + 1 or begin
    return told(data[begin : begin + 400]), told(data[last : last + 400])


def _sum(rows: list[list[Any]]) -> int:
    from binascii import crc32

    return crc32(jsontext.dumps(rows).encode())


def _file(agent: str) -> str:
    return paths.cache(f"log-{agent}")
