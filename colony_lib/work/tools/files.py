"""The file tools: read, list, write and edit, in the agent's folder and the shared ones.

Paths are walked one name after the other, and no link is followed but those by which a worktree shares its folders:
what another process puts in the way meanwhile cannot lead outside.
"""

from __future__ import annotations

import os
import time

from colony_lib.base import beneath
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.work.tools import setting
from colony_lib.work.tools.setting import Call, Outcome, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]

NAMES = ("read_file", "list_files", "write_file", "edit_file")
_EFFECTS = {"read_file": "read", "list_files": "read", "write_file": "idempotent", "edit_file": "write"}
_LARGEST = 10_000_000  # bytes of a file that is read or edited whole
_LISTED = 500  # files that a list shows …
_LOOKED_AT = 200_000  # … of so many at most
_OUTPUTS = ".outputs"  # the name under which the step's own long results can be read
_PATH = {"type": "string", "description": "relative to your working folder"}


def definition(name: str) -> Record:
    described, properties, required = {
        "read_file": (
            "Read a text file. Of a long one give `offset` (the first line, from 1) and `limit` (how many lines).",
            {"path": _PATH, "offset": {"type": "integer", "minimum": 1}, "limit": {"type": "integer", "minimum": 1}},
            ["path"],
        ),
        "list_files": (
            "List files by a pattern (`staging/raw/*.json`, `**/*.sql`), with their sizes in bytes.",
            {"pattern": {"type": "string"}},
            ["pattern"],
        ),
        "write_file": (
            "Write a whole text file; its folders are made where they are missing.",
            {"path": _PATH, "content": {"type": "string"}},
            ["path", "content"],
        ),
        "edit_file": (
            "Replace a text in a file. `old` must stand in it exactly once, unless `all` is true.",
            {"path": _PATH, "old": {"type": "string"}, "new": {"type": "string"}, "all": {"type": "boolean"}},
            ["path", "old", "new"],
        ),
    }[name]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": described, "input_schema": schema}


def effect(name: str) -> str:
    return _EFFECTS[name]


def words(where: Setting, given: Record) -> str:
    """The path as permissions see it: relative, without anything that only looks like another one."""
    path = str(given.get("path") or given.get("pattern") or "")
    try:
        return os.path.normpath("/".join(_named(where, path)[1]) or path)
    except ColonyError:
        return path  # it will be refused, whatever is permitted


def call(where: Setting, name: str, given: Record, how: Call) -> Outcome:
    try:
        return {"read_file": _read, "list_files": _list, "write_file": _write, "edit_file": _edit}[name](
            where, given, how
        )
    except FileNotFoundError:
        return Outcome(f"there is no file '{escape(given['path'])}'", is_error=True)
    except ColonyError as error:
        return Outcome(error.what, is_error=True)
    except OSError as error:
        return Outcome(f"{error.strerror}: '{escape(given.get('path') or given.get('pattern'))}'", is_error=True)


# -- where a path leads


def place(where: Setting, path: str, *, writing: bool) -> tuple[str, list[str]]:
    """(anchor, names below it) of a path. ColonyError for one that leads out of what the agent may read or write."""
    shown = f"'{escape(path)}'"
    base, parts = _named(where, path)
    if ".." in parts or not parts:
        raise ColonyError(f"{shown} must be below your working folder")
    if parts[0] == _OUTPUTS and not writing:
        return where.outputs, parts[1:] or ["."]
    if _is_private(where, parts, writing=writing):
        raise ColonyError(f"{shown} is not yours to {'write' if writing else 'read'}")
    if parts[0] == ".colony":
        base = where.root  # a worktree has a link to it
    anchor, below = _shared(where, base, parts)
    if writing and (anchor == where.root or not below):
        raise ColonyError(
            f"{shown} is not in a shared folder ({', '.join(where.shared)}), and you can write nowhere else"
        )
    return (anchor, below) if below else (base, parts)


def _named(where: Setting, path: str) -> tuple[str, list[str]]:
    """(the agent's folder, or the root for a path that names it, the names below)."""
    try:
        wrong = "\0" in path or not path.strip() or not os.fsencode(path)
    except UnicodeEncodeError:
        wrong = True
    if wrong:
        raise ColonyError(f"'{escape(path)}' is no path")
    base = where.folder
    if os.path.isabs(path):
        inside = [each for each in (where.folder, where.root) if path.startswith(each + os.sep)]
        if not inside:
            raise ColonyError(f"'{escape(path)}' is outside your working folder")
        base = inside[0]
        path = path[len(base) :]
    return base, [part for part in path.split(os.sep) if part not in ("", ".")]


def _shared(where: Setting, base: str, parts: list[str]) -> tuple[str, list[str]]:
    """(shared folder, names below it) of what lies in one, else the same again."""
    for shared in where.shared:
        names = shared.strip("/").split("/")
        if parts[: len(names)] == names:
            return os.path.join(where.root, *names), parts[len(names) :]
    return base, parts


def _is_private(where: Setting, parts: list[str], *, writing: bool = False) -> bool:
    if ".git" in parts or (parts[0] == ".colony" and (writing or parts[1:2] not in ([], ["workflows"]))):
        return True
    if not where.env_file:
        return False
    secret = os.path.join(where.root, os.path.expanduser(where.env_file))
    return os.path.join(where.root, *parts) in (os.path.normpath(secret), os.path.realpath(secret))


# -- the four


def _read(where: Setting, given: Record, how: Call) -> Outcome:
    fd = beneath.file(*place(where, given["path"], writing=False))
    first: int = given.get("offset", 1)
    count: int | None = given.get("limit")
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(fd).st_size
        if b"\0" in file.read(8192):
            return Outcome(f"'{escape(given['path'])}' is not a text file ({size:,} bytes)", is_error=True)
        file.seek(0)
        if first == 1 and count is None:
            data = file.read(setting.MOST + 1)
            if len(data) <= setting.MOST:
                return Outcome(where.redact(data.decode("utf-8", "replace")) or "(an empty file)")
            file.seek(0)
        lines, more = _lines(where, file, first, count or size)
    text = where.redact(b"".join(lines).decode("utf-8", "replace"))
    if not lines:
        return Outcome(f"the file has no line {first} ({size:,} bytes in all)", is_error=True)
    last = first + len(lines) - 1
    note = f"\n… lines {first} to {last} of {size:,} bytes; go on with offset {last + 1} …" if more else ""
    return Outcome(text.rstrip("\n") + note)


def _lines(where: Setting, file: Any, first: int, count: int) -> tuple[list[bytes], bool]:
    """(the lines from `first` on, as many as there is room for; whether there are more)."""
    found: list[bytes] = []
    room = setting.MOST
    for number, line in enumerate(_each(file), 1):
        if number < first:
            continue
        if number >= first + count or (found and len(line) > room):
            return found, True
        # A secret is taken out before a line is cut: half of one would not be known again.
        found.append(setting.redacted(where, line)[: setting.MOST] if len(line) > setting.MOST else line)
        room -= len(line)
    return found, False


def _each(file: Any) -> Iterator[bytes]:
    """The file's lines; of one that is much longer than any result its beginning only."""
    while line := file.readline(2 * setting.MOST):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(1 << 20)
        yield line


def _list(where: Setting, given: Record, how: Call) -> Outcome:
    import re

    pattern = given["pattern"]
    if os.path.isabs(pattern) or ".." in pattern.split(os.sep):
        return Outcome("the pattern must be below your working folder", is_error=True)
    matches = re.compile(_as_expression(os.path.normpath(pattern)), re.DOTALL).fullmatch
    found: list[str] = []
    for number, (name, path, is_folder) in enumerate(_walk(where, where.folder, ())):
        if len(found) == _LISTED or number == _LOOKED_AT or (number % 1000 == 0 and _is_over(how)):
            found.append(f"… more than {len(found)}, or not all looked at: make the pattern narrower")
            break
        if matches(name):
            found.append(f"{escape(name)}/" if is_folder else f"{escape(name)}  {os.path.getsize(path):,}")
    return Outcome("\n".join(found) or f"no file matches '{escape(cut(pattern, 200))}'")


def _is_over(how: Call) -> bool:
    return how.asked() or (how.deadline is not None and time.monotonic() >= how.deadline)


def _as_expression(pattern: str) -> str:
    """The pattern as a regular expression: `*` and `?` stay within a name, `**` goes over folders."""
    import re

    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)


def _walk(where: Setting, folder: str, names: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """(name, path, is it a folder) of what lies in the folder and below, in order; no link is followed but those by
    which a worktree shares its folders."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            parts = [*names, entry.name]
            shown = os.sep.join(parts)
            private = _is_private(where, parts)
            if private and parts != [".colony"]:  # the workflows in it can be read
                continue
            path, is_folder = entry.path, entry.is_dir(follow_symlinks=False)
            if entry.is_symlink() and (shown in where.shared or shown == ".colony"):
                path, is_folder = os.path.join(where.root, shown), True
            if is_folder:
                if not private:
                    yield shown, path, True
                yield from _walk(where, path, tuple(parts))
            elif entry.is_file(follow_symlinks=False):
                yield shown, path, False


def _write(where: Setting, given: Record, how: Call) -> Outcome:
    data = given["content"].encode("utf-8", "surrogatepass")
    beneath.write(*place(where, given["path"], writing=True), data)
    return Outcome(f"written: {len(data):,} bytes")


def _edit(where: Setting, given: Record, how: Call) -> Outcome:
    target = place(where, given["path"], writing=True)
    with os.fdopen(beneath.file(*target), "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        return Outcome(f"the file is larger than {_LARGEST:,} bytes: change it by a command", is_error=True)
    old, new = (given[name].encode("utf-8", "surrogatepass") for name in ("old", "new"))
    count = data.count(old) if old else 0
    if count == 0:
        return Outcome("`old` does not stand in the file: read it, and give the text exactly", is_error=True)
    if count > 1 and not given.get("all"):
        return Outcome(
            f"`old` stands in the file {count} times: give more of what is around it, or all: true", is_error=True
        )
    beneath.write(*target, data.replace(old, new))
    return Outcome(f"replaced {count} time{'s' * (count > 1)}")
