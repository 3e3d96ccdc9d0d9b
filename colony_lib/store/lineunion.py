"""The union of two journals' lines: what either had, each line once, in one order whoever joins them.

A line is kept as it is, byte for byte, whether it is an event or not. This is the one place that knows how lines of
two files become one file.
"""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LINE_LIMIT = 1 << 20  # bytes; what is longer is no event, and not worth parsing
_LAST = float("inf")


def split(data: bytes) -> list[bytes]:
    """The lines, without their newlines and without blank ones."""
    return [line for line in data.split(b"\n") if line and not line.isspace()]


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
    there = set(split(data))
    return [line for line in split(lines) if line not in there]


def union(one: bytes, other: bytes) -> bytes:
    """All lines of both. When one of them has all that the other has it is that one, as it stands; else the order is
    (clock, id) with what is no event after them, so that a journal reads like one that a single machine wrote."""
    if one == other:
        return one
    first, second = set(split(one)), set(split(other))
    if first == second:
        return min(one, other)
    if first >= second:
        return one
    if second >= first:
        return other
    return join(first | second)


def join(lines: Iterable[bytes]) -> bytes:
    """A journal of these lines, in their order."""
    return b"".join(line + b"\n" for line in sorted(lines, key=_place))


def _place(line: bytes) -> tuple[float, str, bytes]:
    if len(line) <= LINE_LIMIT:
        try:
            event = jsontext.loads(line)
        except ColonyError:
            return _LAST, "", line
        if isinstance(event, dict) and type(event.get("clock")) is int and isinstance(event.get("id"), str):
            return min(event["clock"], 1 << 60), event["id"], line
    return _LAST, "", line
