"""Documents that several machines write: each field knows its last write, and of two writes the later one counts.

A document's fields are its leaves by JSON Pointer: everything but an object with keys (a list is one field). Its
history is a map from pointer to the last write there: (time in ms, who, JSON text, or '' for "gone"). Maps are
joined by taking the greater write of each pointer, which comes out the same in any order and however often; what a
document says is a function of its map. A write that knew another one is later than it, whatever the clocks say.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsonl, jsontext
from colony_lib.base.errors import ColonyError, failed
from colony_lib.store import journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Write = tuple[int, str, str]
    Map = dict[str, Write]
    Fields = dict[str, str]  # pointer: JSON text

VERSION = 1
DEPTH = 24  # objects deeper than this are fields as a whole,
FIELDS = 20_000  # and so is a document with more fields than this; every machine must draw these lines alike
LAST = 253_402_300_799_999  # the last millisecond of the year 9999
GONE = ""
EMPTY = "{}"
_WRITER_LIMIT = 200  # characters


def flatten(document: Any) -> Fields:
    """The fields of a JSON value, in its own order."""
    found: Fields = {}
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, dict) and value and depth < DEPTH:
            inner = [(f"{path}/{_escape(key)}", item, depth + 1) for key, item in value.items()]
            waiting += reversed(inner)
        else:
            found[path] = jsontext.dumps(value)
        if len(found) > FIELDS:
            return {"": jsontext.dumps(document)}
    return found


def parse(data: bytes) -> Fields | None:
    """The fields of a document's text; None when it is not JSON."""
    try:
        return flatten(jsontext.loads(data))
    except ColonyError:
        return None


def build(fields: Fields, like: Any = None) -> Any:
    """The JSON value of the fields. Keys stand as in the value `like`, those it has not after them, sorted."""
    if "" in fields:
        return jsontext.loads(fields[""])
    made: dict[str, Any] = {}
    for path in sorted(fields):
        *parents, last = map(_unescape, path[1:].split("/"))
        at = made
        for part in parents:
            at = at.setdefault(part, {})
        at[last] = jsontext.loads(fields[path])
    return _in_order_of(like, made, 0)


def _in_order_of(like: Any, value: Any, depth: int) -> Any:
    if depth > DEPTH or not isinstance(value, dict) or not isinstance(like, dict):
        return value
    keys = [*(key for key in like if key in value), *(key for key in value if key not in like)]
    return {key: _in_order_of(like.get(key), value[key], depth + 1) for key in keys}


def text(fields: Fields, like: Any = None) -> bytes:
    """The document of the fields as it is written to the disk."""
    value = build(fields, like)
    try:
        return jsontext.pretty(value).encode("utf-8")
    except ColonyError:  # nested more deeply than can be indented
        return (jsontext.dumps(value) + "\n").encode("utf-8")


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def top(path: str) -> str:
    """The name of the topmost field that the pointer leads through; '' for the document as a whole."""
    return _unescape(path[1:].split("/", 1)[0])


def _above(path: str) -> Iterable[str]:
    """The pointers that the pointer leads through."""
    at = path.rfind("/")
    while at >= 0:
        path = path[:at]
        yield path
        at = path.rfind("/")


def live(history: Map) -> Fields:
    """What the document says. Where one write made a value and another one an object at the same place, the later
    one stands; an object that is empty gives way to what is in it. Where all is gone it is an empty object."""
    there = {path: write for path, write in history.items() if write[2] != GONE}
    below: Map = {}
    for path, write in there.items():
        for above in _above(path):
            if above not in below or below[above] < write:
                below[above] = write

    def stands(path: str) -> bool:
        write = there.get(path)
        return write is not None and (path not in below or (write[2] != EMPTY and write > below[path]))

    said = {
        path: write[2]
        for path, write in there.items()
        if stands(path) and not any(above in there and stands(above) for above in _above(path))
    }
    return said if said or not history else {"": EMPTY}


def stamped(history: Map, now: Fields, at: int, by: str, times: dict[str, int] | None = None) -> Map:
    """The history with whatever differs in the document as it is now, written by `by` at the time that `times` has for
    the field, else at `at` (ms since 1970).

    Each new write is later than the one it replaces, even where the clock stood before it. The map itself, not a
    copy, when nothing differs.
    """
    if live(history) == now:
        return history
    made = dict(history)
    for path in {**history, **now}:
        old, value = history.get(path), now.get(path, GONE)
        if (GONE if old is None else old[2]) != value:
            least = 0 if old is None else old[0] + 1
            noted = (times or {}).get(path, -1)
            # A time that was noted before the last sync is of a write that has been shared.
            made[path] = min(max(noted if noted >= least else at, least), LAST), by, value
    return made


def known(history: Map, now: Fields) -> Map:
    """The writes of another's history that made what the document says as well: of a document whose own is lost."""
    return {path: write for path, write in history.items() if path in now and now[path] == write[2]}


def join(one: Map, other: Map) -> Map:
    """The later write of each field."""
    made = dict(one)
    for path, write in other.items():
        if path not in made or made[path] < write:
            made[path] = write
    return made


def render(history: Map, candidates: Iterable[bytes]) -> bytes | None:
    """The document's text: of the candidates that say what the history says the smallest, else one that is made new
    in the style of the smallest; None when there is nothing to say."""
    said = live(history)
    if not said:
        return None
    known = {data: parse(data) for data in candidates}
    same = [data for data, found in known.items() if found == said]
    if same:
        return min(same)
    style = min((data for data, found in known.items() if found is not None), default=None)
    return text(said, None if style is None else jsontext.loads(style))


def moved(before: Fields, now: Fields, onto: Fields) -> Fields:
    """`onto` with the changes that lead from `before` to `now`: what was changed stands, whatever was there."""
    changed = {path: value for path, value in now.items() if before.get(path) != value}
    over = {above for path in changed for above in _above(path)}
    made = {
        path: value
        for path, value in onto.items()
        if path not in over
        and not (path in before and path not in now)
        and not any(changed.get(above, EMPTY) != EMPTY for above in _above(path))
    }
    within = {above for path in made for above in _above(path)}
    return made | {path: value for path, value in changed.items() if value != EMPTY or path not in within}


# -- when fields were written, until a sync takes note: a line for each write, "MILLISECONDS POINTER"


def note_times(path: str, differ: Iterable[str]) -> None:
    """Note that these fields are written now. The document's lock is held; a power cut may take the note away, and the
    time of the file then stands for it."""
    now = int(clock.epoch() * 1000)
    lines = "".join(f"{now} {jsontext.dumps(field)}\n" for field in differ)
    fd = jsonl.open_append(path)
    try:
        files.write_all(fd, files.redacted(lines).encode("utf-8"))
    except OSError as error:
        raise failed("append to", path, error) from None
    finally:
        os.close(fd)


def read_times(data: bytes) -> dict[str, int]:
    """{field: when it was last written, in ms since 1970}."""
    found: dict[str, int] = {}
    for line in data.split(b"\n"):
        moment, _, field = line.partition(b" ")
        try:
            found[str(jsontext.loads(field))] = int(moment)
        except (ColonyError, ValueError):
            continue  # torn by a kill
    return found


# -- as a file: one write a line, so that git's union of two such files is right as well


def encode(history: Map) -> bytes:
    lines = []
    for path in sorted(history):
        at, by, value = history[path]
        head = jsontext.dumps({"v": VERSION, "id": path, "ts": clock.stamp(at / 1000), "by": by})
        lines.append(head if value == GONE else f'{head[:-1]},"value":{value}}}')
    return "".join(line + "\n" for line in lines).encode("utf-8")


def decode(data: bytes) -> tuple[Map, int]:
    """(history, number of lines that are none): the greatest write of each field, whatever the order of the lines."""
    found: Map = {}
    wrong = 0
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            path, write = _decoded(line)
        except (ColonyError, ValueError):
            wrong += 1
            continue
        if path not in found or found[path] < write:
            found[path] = write
    return found, wrong


def _decoded(line: bytes) -> tuple[str, Write]:
    record = jsontext.loads(line)
    if not isinstance(record, dict) or record.get("v") != VERSION:
        raise ValueError("no write of a field")
    path, at, by = record.get("id"), record.get("ts"), record.get("by")
    if not isinstance(path, str) or (path and not path.startswith("/")) or path.count("/") > DEPTH:
        raise ValueError("no pointer")
    if not isinstance(by, str) or len(by) > _WRITER_LIMIT or not journal.is_time(at):
        raise ValueError("no time or writer")
    moment = round(clock.seconds(str(at)) * 1000)
    if not 0 <= moment <= LAST:
        raise ValueError("no time of ours")
    return path, (moment, by, jsontext.dumps(record["value"]) if "value" in record else GONE)
