"""The union of two journals' lines: what either had, each line once, in one order whoever joins them.

A line is kept as it is, byte for byte, whether it is an event or not; only a line whose every event another line holds
(compaction puts a finished task's events into one, store/compaction.py) goes. This is the one place that knows how
lines of two files become one file.
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
_SLACK = 1 << 12  # bytes that a line of several events may have more
_PACKED = b'"then":['  # what every line that compaction has made holds
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
    """The lines of `lines` that `data` has not, neither as they are nor within others, in their order."""
    found = _missing(lines, data)
    held = _held(split(data)) if found and _PACKED in data else set()
    return [line for line in found if not held or not _is_held(line, held)]


def _missing(lines: bytes, data: bytes) -> list[bytes]:
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
    """All lines of both, but for those that others of them hold. When one of them has all that the other has it is
    that one, as it stands; else what they share at their beginnings stands as it is, and after it the rest by
    (clock, id), with what is no event last: a journal reads like one that a single machine wrote."""
    start = _shared(one, other)
    first, second = set(split(one[start:])), set(split(other[start:]))
    if first == second:
        return min(one, other)
    both = first | second
    if _PACKED in one or _PACKED in other:
        both = _without_held(both)
    if first == both:
        return one
    if second == both:
        return other
    return one[:start] + join(both)


def _without_held(lines: set[bytes]) -> set[bytes]:
    """The lines but for those whose events one of the others holds; of two that hold the same the smaller stays."""
    packed = sorted((line for line in lines if _PACKED in line), key=lambda line: (-len(_events(line)), line))
    kept: list[bytes] = []
    for line in packed:
        if not _is_held(line, _held(kept)):
            kept.append(line)
    held = _held(kept)
    return {line for line in lines if _PACKED not in line and not _is_held(line, held)} | set(kept)


def _held(lines: Iterable[bytes]) -> set[str]:
    """The events that the lines hold together with others."""
    return {event for line in lines if _PACKED in line for event in _events(line)}


def _is_held(line: bytes, held: set[str]) -> bool:
    events = _events(line)
    return bool(events) and all(event in held for event in events)


def _events(line: bytes) -> list[str]:
    """The events of a line, each as one text whatever line holds it; [] of a line that is none."""
    try:
        record = jsontext.loads(line) if len(line) <= LINE_LIMIT + _SLACK else None
    except ColonyError:
        return []
    if not isinstance(record, dict) or not isinstance(record.get("id"), str):
        return []
    later = record.pop("then", [])
    if not isinstance(later, list) or not all(isinstance(each, dict) for each in later):
        return []
    head = {key: record[key] for key in ("v", "task") if key in record}
    return [jsontext.dumps(dict(sorted(each.items()))) for each in (record, *({**head, **each} for each in later))]


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
