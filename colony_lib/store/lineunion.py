"""The union of two journals' lines: what either had, each line once, in one order whoever joins them.

A line is kept as it is, byte for byte, whether it is an event or not. This is the one place that knows how lines of
two files become one file.
"""

from __future__ import annotations

import re

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FEW = 20  # lines that are looked for one by one
LINE_LIMIT = 1 << 20  # bytes; what is longer is no event, and not worth parsing
_LAST = float("inf")
# How Colony itself begins an event; it need not be parsed to be put in its place.
_PLAIN = re.compile(rb'\{"v":1,"id":"([0-9A-Za-z._-]+)","clock":(0|[1-9][0-9]{0,17}),').match


def split(data: bytes) -> list[bytes]:
    """The lines, without their newlines and without blank ones."""
    return [line for line in data.split(b"\n") if line and (line[0] > 32 or not line.isspace())]


def whole(data: bytes) -> bytes:
    """The data up to its last newline, and a last line without one if it is a whole record: what follows was never
    acknowledged, and the next writer would take it away (base.jsonl)."""
    end = data.rfind(b"\n") + 1
    torn = data[end:]
    if torn:
        try:
            if isinstance(jsontext.loads(torn), dict):
                return data + b"\n"
        except ColonyError:
            return data[:end]
    return data[:end]


def missing(lines: bytes, data: bytes) -> list[bytes]:
    """The lines of `lines` that `data` has not, in their order."""
    start = _shared(lines, data)
    there = set(split(data[start:]))
    found = [line for line in split(lines[start:]) if line not in there]
    if found and start:  # a line may be there twice
        if len(found) > FEW:
            there = set(split(data[:start]))
            return [line for line in found if line not in there]
        return [line for line in found if not _stands(line, data, start)]
    return found


def _stands(line: bytes, data: bytes, end: int) -> bool:
    """Whether it is one of the lines of `data` up to there."""
    return data.startswith(line + b"\n") or data.find(b"\n" + line + b"\n", 0, end) >= 0


def union(one: bytes, other: bytes) -> bytes:
    """All lines of both. When one of them has all that the other has it is that one, as it stands; else what they share
    at their beginnings stands as it is, and after it the rest by (clock, id), with what is no event last: a journal
    reads like one that a single machine wrote."""
    start = _shared(one, other)
    first, second = set(split(one[start:])), set(split(other[start:]))
    if first == second:
        return min(one, other)
    if first >= second:
        return one
    if second >= first:
        return other
    return one[:start] + join(first | second)


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes of whole lines both begin with: journals grow at their ends, and the rest is small."""
    place, block = 0, 1 << 20
    while block:
        while place + block <= min(len(one), len(other)) and one[place : place + block] == other[place : place + block]:
            place += block
        block >>= 1
    return one.rfind(b"\n", 0, place) + 1


def join(lines: Iterable[bytes]) -> bytes:
    """A journal of these lines, in their order."""
    return b"".join(line + b"\n" for line in sorted(lines, key=_place))


def _place(line: bytes) -> tuple[float, str, bytes]:
    plain = _PLAIN(line)
    if plain is not None:
        return int(plain[2]), plain[1].decode(), line
    if len(line) <= LINE_LIMIT:
        try:
            event = jsontext.loads(line)
        except ColonyError:
            return _LAST, "", line
        if isinstance(event, dict) and type(event.get("clock")) is int and isinstance(event.get("id"), str):
            return event["clock"], event["id"], line
    return _LAST, "", line
