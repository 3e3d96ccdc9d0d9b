"""A metric's journal taken apart, block by block, into columns.

A block is read as one JSON array, which any spelling of its lines passes at the speed of the C scanner; only a block
with a line that is no JSON is read line by line. (`pointblocks` does the same with numpy, for millions of points.)
"""

from __future__ import annotations

import os

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.files import open_regular
from colony_lib.store import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from colony_lib.base.jsonl import Problem

    # ids, times (24 bytes each), values, labels (JSON), what follows (',"type":"counter"' or '')
    Columns = tuple[Sequence[bytes], Sequence[bytes], Sequence[float], Sequence[bytes], Sequence[bytes]]
    Row = tuple[bytes, bytes, float, bytes, bytes]

BLOCK = 1 << 20
LONGEST = 1 << 16  # bytes of one line; a longer one is somebody's damage
LONGEST_ID = 200  # bytes, as many as `record` takes; a longer one is known by its start and its digest
DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
TIME = b"0000-00-00T00:00:00.000Z"
NOTHING: Columns = ((), (), (), (), ())
_spelled: dict[tuple[tuple[str, str], ...], bytes] = {}  # labels as they were read, and as they are written


def size(path: str) -> int:
    """Bytes of the journal, 0 where there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0


def read(path: str, problems: list[Problem] | None = None) -> Iterator[Columns]:
    """The points of a journal in the order of the file, repeats included.

    A torn last line is passed over; any other line that is no point goes to `problems` and is skipped.
    """
    number = 0
    room = bytearray(LONGEST + BLOCK + 2)
    for end in blocks(path, room):
        lines = bytes(memoryview(room)[: end - 1]).split(b"\n")
        columns = at_once(lines) or _with_care(lines, path, number, problems)
        number += len(lines)
        if columns[0]:
            yield columns


def blocks(path: str, room: bytearray, start: int = 0) -> Iterator[int]:
    """Puts whole lines, each with its newline, into the room from `start` on, again and again, and says where they
    end. Of a line that is too long there is only so much that it shows. (One room for all blocks: memory that is new
    each time costs three times what the reading does.) The room holds LONGEST + BLOCK + 2 bytes from there."""
    try:
        fd = open_regular(path, follow=False)
    except FileNotFoundError:
        return
    view = memoryview(room)
    have = start  # where what was read ends
    try:
        while True:
            got = os.readv(fd, [view[have : have + BLOCK]])
            if not got:
                break
            end = room.rfind(b"\n", have, have + got) + 1
            have += got
            if end:
                yield end
                room[start : start + have - end] = view[end:have]
                have = start + have - end
            have = min(have, start + LONGEST + 1)
    finally:
        os.close(fd)
    if have > start and not isinstance(_slow(bytes(view[start:have])), str):
        room[have] = 10  # whole, but its newline was torn off
        yield have + 1


def at_once(lines: list[bytes]) -> Columns | None:
    """The lines' points, if every one of them is one; else None.

    Between two lines stands a number that no writer of lines could foresee: so lines that are no JSON by themselves
    do not become any by standing side by side.
    """
    if max(map(len, lines)) > LONGEST:
        return None
    between = int.from_bytes(os.urandom(7), "big")
    try:
        found = jsontext.loads(b"[" + (b",%d," % between).join(lines) + b"]")
    except ColonyError:
        return None
    if len(found) != 2 * len(lines) - 1 or found[1::2] != [between] * (len(lines) - 1):
        return None
    rows = []
    for record in found[::2]:
        row = _row(record)
        if isinstance(row, str):
            return None
        rows.append(row)
    return tuple(zip(*rows))  # type: ignore[return-value]


def _with_care(lines: list[bytes], path: str, number: int, problems: list[Problem] | None) -> Columns:
    """The points of lines of which not every one is one; `number` lines stand before them."""
    rows: list[Row] = []
    for line in lines:
        number += 1
        row = point(line)
        if isinstance(row, tuple):
            rows.append(row)
        elif row and problems is not None:
            problems.append((path, number, row))
    return tuple(zip(*rows)) if rows else NOTHING  # type: ignore[return-value]


def point(line: bytes) -> Row | str:
    """The point of a line in any spelling; or why it is none ('' for an empty line)."""
    return "" if not line or line.isspace() else _slow(line)


def _slow(line: bytes) -> Row | str:
    if len(line) > LONGEST:
        return "too long"
    try:
        return _row(jsontext.loads(line))
    except ColonyError as error:
        return error.what


def _row(record: Any) -> Row | str:
    """The point of a line's value, its labels and what follows spelled our way; or why it is none."""
    if not isinstance(record, dict) or not isinstance(record.get("id"), str):
        return "not an object with an 'id'"
    if not isinstance(record.get("ts"), str):
        return "has no time 'ts'"
    labels = record.get("labels") or {}
    if not isinstance(labels, dict):
        return "its labels are no object"
    value = record.get("value")
    if isinstance(value, str):
        return "its value is a text"
    time = record["ts"].encode()
    try:
        if time.translate(DIGITS_AS_ZERO) != TIME:
            time = metrics.moment(record["ts"]).encode()
        number = value if type(value) is float else float(metrics.number(value))
    except ColonyError as error:
        return error.what
    more = b""
    if "type" in record or "unit" in record:
        said = {key: record[key] for key in ("type", "unit") if isinstance(record.get(key), str)}
        more = ("," + jsontext.dumps(said)[1:-1]).encode() if said else b""
    return identity(record["id"].encode()), time, number, _labels(labels), more


def identity(text: bytes) -> bytes:
    """The id as it is compared: at most LONGEST_ID bytes, and none of them at its end is a zero."""
    if len(text) <= LONGEST_ID and b"\0" not in text:
        return text
    from hashlib import sha256

    return text[: LONGEST_ID - 64] + sha256(text).hexdigest().encode()


def _labels(labels: dict[str, Any]) -> bytes:
    """The labels as we write them: ordered by name, compact, every value a text."""
    if not labels:
        return b"{}"
    plain = all(type(value) is str for value in labels.values())
    key = tuple(labels.items()) if plain else ()
    text = _spelled.get(key)
    if text is None:
        text = jsontext.dumps({name: str(value) for name, value in sorted(labels.items())}).encode()
        if plain and len(_spelled) < 10_000:
            _spelled[key] = text
    return text


def tail(path: str) -> list[Row]:
    """The points in the last bytes of a journal, whatever its size; [] when there is none to be read there."""
    try:
        fd = open_regular(path, follow=False)
    except FileNotFoundError:
        return []
    try:
        start = max(os.fstat(fd).st_size - LONGEST, 0)
        block = os.pread(fd, LONGEST, start)
    finally:
        os.close(fd)
    begin, end = block.find(b"\n") + 1 if start else 0, block.rfind(b"\n")
    if end < begin:
        return []
    lines = block[begin:end].split(b"\n")
    return list(zip(*(at_once(lines) or _with_care(lines, path, 0, None))))
