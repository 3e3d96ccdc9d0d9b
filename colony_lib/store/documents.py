"""The user's own documents in `.colony/state/`: JSON files that steps read and change by paths, under a lock."""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext, locks
from colony_lib.base.errors import USAGE, ColonyError, nearest, unknown
from colony_lib.base.text import cut, plural
from colony_lib.store import config, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

ABSENT: Any = object()
# Text that only somebody who meant JSON writes; read as a bare string it would hide their slip.
_MEANT_AS_JSON = r'[\[{"]|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z|-?(NaN|Infinity)\Z'


def value(text: str) -> Any:
    """The value of a word from a command line: JSON where it is JSON, else the text itself ('PASS', '2013-02-08').

    ColonyError (USAGE) for text that begins like a JSON object, list or string and is none, and for numbers that
    JSON has not (NaN, 1e999).
    """
    try:
        return jsontext.loads(text)
    except ColonyError as error:
        import re

        if re.match(_MEANT_AS_JSON, text.strip()):
            raise ColonyError(f"'{cut(text, 60)}' is {error.what}", code=USAGE) from None
        return text


def segments(path: str) -> list[str]:
    """The keys of 'a.b.0', or of the JSON Pointer '/a/b.c/0' (for keys that hold dots)."""
    parts = path.split(".")
    if path.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    if "" in parts:
        raise ColonyError(
            f"'{cut(path, 60)}' is not a path", fix="write a.b.0, or /a/b.c/0 for keys with dots", code=USAGE
        )
    return parts


def _index(part: str, length: int) -> int | None:
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 and int(part) < length else None


def lookup(document: Any, path: str) -> Any:
    """The value at the path, or ABSENT."""
    at = document
    for part in segments(path):
        if isinstance(at, dict) and part in at:
            at = at[part]
        elif isinstance(at, list) and (index := _index(part, len(at))) is not None:
            at = at[index]
        else:
            return ABSENT
    return at


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1, the order of keys does not matter."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return bool(one == other)


def _stored(name: str) -> Any:
    path = paths.document(name)
    try:
        return files.read_json(path, ABSENT, follow=False)
    except ColonyError as error:
        said = f" is {error.what}" if error.what.startswith("not ") else f": {error.what}"
        raise ColonyError(f"the document '{name}'{said}", where=error.where, code=error.code) from None


def names() -> list[str]:
    """The documents that are there."""
    folder = paths.state_folder()
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[:-5] for name in found if name.endswith(".json") and not name.startswith("."))


def get(name: str, path: str | None = None) -> Any:
    """The document, or the value at a path of it. ColonyError (FAILED) when there is none, with the nearest."""
    document = _stored(name)
    if document is ABSENT:
        raise unknown("document", name, names())
    if path is None:
        return document
    found = lookup(document, path)
    if found is ABSENT:
        raise ColonyError(f"the document '{name}' has no '{cut(path, 60)}'", fix=_near(document, path))
    return found


def _near(document: Any, path: str) -> str | None:
    """What there is instead at the first step of the path that leads nowhere."""
    at = document
    for part in segments(path):
        if isinstance(at, list):
            if (index := _index(part, len(at))) is None:
                return f"the list there has {plural(len(at), 'item')}, from 0 on"
            at = at[index]
        elif isinstance(at, dict):
            if part not in at:
                some = ", ".join(f"'{cut(key, 40)}'" for key in list(at)[:8]) or "nothing"
                return nearest(part, at) or f"there is {some}"
            at = at[part]
        else:
            return "what is there is neither an object nor a list"
    return None


def _place(document: Any, path: str) -> tuple[Any, Any]:
    """(object or list, key or index) to set; objects on the way are made. ColonyError (FAILED) where a value
    that is neither stands in the way, or a list would get a gap."""
    at = document
    parts = segments(path)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        key: Any = part
        if isinstance(at, list):
            key = _index(part, len(at) + 1)
            if key is None:
                there = plural(len(at), "item")
                raise ColonyError(f"cannot set '{path}': the list has {there}, '{part}' is no place in it")
            if not last and key == len(at):
                at.append({})
        elif not isinstance(at, dict):
            raise ColonyError(f"cannot set '{path}': what holds '{part}' is neither an object nor a list")
        elif not last:
            at.setdefault(part, {})
        if last:
            return at, key
        at = at[key]
    raise AssertionError("a path has a part")


def _put(document: Any, path: str, new: Any) -> None:
    holder, key = _place(document, path)
    if isinstance(holder, list) and key == len(holder):
        holder.append(new)
    else:
        holder[key] = new


def _is_number(item: Any) -> bool:
    return isinstance(item, (int, float)) and not isinstance(item, bool)


def change(name: str, assignments: Sequence[tuple[str, str, Any]], conditions: Sequence[tuple[str, Any]] = ()) -> Any:
    """Change the document at once by (path, '=' or '+=', value), and return it; it is made when it is not there.

    Nothing is written, and ColonyError (FAILED) raised, when one of the conditions (path, value) does not hold: a
    path that is absent counts as null. '+=' adds numbers, to 0 where there is none.
    """

    def changed(document: Any) -> Any:
        for path, wanted in conditions:
            found = lookup(document, path)
            if not same(None if found is ABSENT else found, wanted):
                there = "absent" if found is ABSENT else cut(jsontext.dumps(found), 60)
                raise ColonyError(f"'{path}' of '{name}' is {there}, not {cut(jsontext.dumps(wanted), 60)}")
        for path, operator, new in assignments:
            if operator == "+=":
                old = lookup(document, path)
                old = 0 if old is ABSENT or old is None else old
                if not _is_number(old):
                    raise ColonyError(f"cannot add to '{path}' of '{name}': it is not a number")
                new = old + new
            _put(document, path, new)
        return document

    for path, operator, new in assignments:
        segments(path)
        if operator == "+=" and not _is_number(new):
            raise ColonyError(f"'{path}+=' adds numbers only", fix=f"set it with '{path}=…'", code=USAGE)
    try:
        return update(name, changed)
    except OverflowError:
        raise ColonyError("the sum is too large a number", code=USAGE) from None


def update(name: str, changed: Callable[[Any], Any]) -> Any:
    """Make the document `changed(document)` under its lock ({} where there is none yet); returns it. ColonyError
    (USAGE) when what is there is not JSON."""
    shared = config.may_share()

    def change(document: Any) -> Any:
        return _timed(name, document, changed) if shared else changed(document)

    return files.update_json(paths.document(name), change, lock=lock(name), default={})


def _timed(name: str, document: Any, changed: Callable[[Any], Any]) -> Any:
    """`changed(document)`, and for a later sync the time of each field that it changes. The lock is held.

    What is noted of a write that then fails does no harm: a time counts only for a field that is other than before.
    """
    from colony_lib.store import fields

    before = fields.flatten(document)
    document = changed(document)
    now = fields.flatten(document)
    differ = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if differ:
        fields.note_times(paths.field_times(name), differ)
    return document


def replace(name: str, new: Any) -> Any:
    """Make the document this value, whatever it was (it may have been damaged)."""
    with locks.held(lock(name), what=f"the document '{name}'"):
        if config.may_share():
            try:
                old = files.read_json(paths.document(name), {}, follow=False)
            except ColonyError:
                old = {}
            _timed(name, old, lambda _: new)
        files.write_json(paths.document(name), new)
    return new


def lock(name: str) -> str:
    """The lock file of a document."""
    return paths.lock("document-" + os.path.basename(paths.document(name)))
