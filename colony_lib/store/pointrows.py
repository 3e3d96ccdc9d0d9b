"""A metric's journal taken apart, block by block, into columns.

A journal may hold millions of points, so lines as `metrics` writes them are taken apart by one expression over a
whole block and checked column by column; only a block with other lines goes through the JSON reader, line by line.
"""

from __future__ import annotations

import os

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.files import open_regular
from colony_lib.store import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

    from colony_lib.base.jsonl import Problem

    # ids, times (24 bytes each), values, labels (JSON), what follows (',"type":"counter"' or '')
    Columns = tuple[Sequence[bytes], Sequence[bytes], Sequence[float], Sequence[bytes], Sequence[bytes]]
    Row = tuple[bytes, bytes, float, bytes, bytes]

BLOCK = 1 << 20
LONGEST = 1 << 16  # bytes of one line; a longer one is somebody's damage
SMALL = 1 << 15  # bytes; a smaller block costs less line by line than the import of regular expressions does
_LINE = rb'^\{"v":1,"id":"([^"]+)","ts":"([^"]{24})","value":([^,]+),"labels":(\{[^}]*\})([^\n}]*)\}$'
_line: re.Pattern[bytes] | None = None
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TIME = b"0000-00-00T00:00:00.000Z"
_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._:/@+-"
_NUMBER_BYTES = b"0123456789.eE+-"
_MORE = rb'(?:,"(?:type|unit)":"[^"\\\x00-\x1f\x7f-\xff]*")*\Z'
_INFINITE = float("inf")


def read(path: str, problems: list[Problem] | None = None) -> Iterator[Columns]:
    """The points of a journal in the order of the file, repeats included.

    A torn last line is passed over; any other line that is no point goes to `problems` and is skipped.
    """
    number = 0
    known: dict[bytes, bool] = {}
    for block in _blocks(path):
        count = block.count(b"\n")
        columns = _at_once(block, count, known) or _with_care(block, path, number, problems)
        number += count
        if columns[0]:
            yield columns


def _blocks(path: str) -> Iterator[bytes]:
    """Whole lines, each with its newline, in blocks; of a line that is too long only so much that it shows."""
    try:
        fd = open_regular(path, follow=False)
    except FileNotFoundError:
        return
    try:
        rest = b""
        while True:
            piece = os.read(fd, BLOCK)
            if not piece:
                break
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest = (rest + piece)[: LONGEST + 1]
        if rest and not isinstance(_slow(rest), str):
            yield rest + b"\n"  # whole, but its newline was torn off
    finally:
        os.close(fd)


def _at_once(block: bytes, count: int, known: dict[bytes, bool]) -> Columns | None:
    """The block's points, if it is worth it and every line of it looks as we write it; else None.

    The expression is loose because that is fast; what it leaves open is checked here, a column at a time. `known`
    remembers which labels are labels. (A number as only Python spells it, such as 05, passes as the number it is.)
    """
    global _line
    if len(block) < SMALL:
        return None
    import re

    if _line is None:
        _line = re.compile(_LINE, re.MULTILINE)
    found = _line.findall(block)
    if not found or len(found) != count:
        return None
    ids, times, spelled, labels, more = zip(*found)
    if b"".join(ids).translate(None, _ID_BYTES) or b"".join(spelled).translate(None, _NUMBER_BYTES):
        return None
    if b"".join(times).translate(_DIGITS_AS_ZERO) != _TIME * count:
        return None
    try:
        values = list(map(float, spelled))
    except ValueError:
        return None
    if _INFINITE in values or -_INFINITE in values:
        return None
    for text in set(labels):
        if text not in known:
            known[text] = _is_labels(text)
        if not known[text]:
            return None
    if not all(re.match(_MORE, text) for text in set(more) - {b""}):
        return None
    return ids, times, values, labels, more


def _is_labels(text: bytes) -> bool:
    try:
        labels = jsontext.loads(text)
    except ColonyError:
        return False
    return isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())


def _with_care(block: bytes, path: str, number: int, problems: list[Problem] | None) -> Columns:
    """The points of a block in which not every line looks as we write it."""
    rows: list[Row] = []
    for line in block[:-1].split(b"\n"):
        number += 1
        if not line or line.isspace():
            continue
        row = _slow(line)
        if not isinstance(row, str):
            rows.append(row)
        elif problems is not None:
            problems.append((path, number, row))
    return tuple(zip(*rows)) if rows else ((), (), (), (), ())  # type: ignore[return-value]


def _slow(line: bytes) -> Row | str:
    """The point of a line in any spelling, its labels and what follows spelled our way; or why it is none."""
    try:
        if len(line) > LONGEST:
            return "too long"
        record = jsontext.loads(line)
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
        more = {key: record[key] for key in ("type", "unit") if isinstance(record.get(key), str)}
        time = record["ts"].encode()
        if time.translate(_DIGITS_AS_ZERO) != _TIME:
            time = metrics.moment(record["ts"]).encode()
        return (
            record["id"].encode(),
            time,
            float(metrics.number(value)),
            jsontext.dumps({key: str(value) for key, value in sorted(labels.items())}).encode(),
            ("," + jsontext.dumps(more)[1:-1]).encode() if more else b"",
        )
    except ColonyError as error:
        return error.what


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
    block = block[block.find(b"\n") + 1 if start else 0 : block.rfind(b"\n") + 1]
    columns = block and (_at_once(block, block.count(b"\n"), {}) or _with_care(block, path, 0, None))
    return list(zip(*columns)) if columns else []
