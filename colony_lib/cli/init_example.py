"""The part of `colony init` that lays down an example: all of its files or none, never over one that is there."""

from __future__ import annotations

import os
import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape, plural

_NAME = re.compile(r"^name: .*$", re.MULTILINE)
_CRON = re.compile(r"^( *)cron: .*\n", re.MULTILINE)


def files_of(example: str, name: str | None, zone: str | None) -> dict[str, str]:
    """{path: text} of the example, with the colony's name (as YAML) and the zone of its schedules where given."""
    from colony_lib.store import examples

    found = examples.texts(example)
    if name is not None:
        found["colony.yml"] = _NAME.sub(lambda _: f"name: {name}", found["colony.yml"], count=1)
    if zone is not None:
        for path, text in found.items():
            if path.startswith(".colony/workflows/"):
                found[path] = _CRON.sub(lambda line: f"{line.group()}{line.group(1)}timezone: {zone}\n", text)
    return found


def has_schedule(example: str) -> bool:
    from colony_lib.store import examples

    texts = examples.texts(example).items()
    return any(_CRON.search(text) for path, text in texts if path.startswith(".colony/workflows/"))


def refuse_other_files(root: str, wanted: dict[str, str]) -> None:
    """ColonyError (USAGE) when a file of the example is there with other content, or has something in its way."""
    from colony_lib.base import files

    other = []
    for path, text in wanted.items():
        parts = path.split("/")
        below = [os.path.join(root, *parts[:count]) for count in range(1, len(parts))]
        if any(os.path.lexists(place) and not os.path.isdir(place) for place in below):
            other.append(path)
            continue
        there = os.path.join(root, path)
        if os.path.lexists(there):
            try:
                same = files.read_text(there) == text
            except (ColonyError, OSError):
                same = False  # a folder, a FIFO, a link to nowhere, bytes that are no text: no file of the example's
            if not same:
                other.append(path)
    if other:
        also = f" and {plural(len(other) - 1, 'file')} more" if len(other) > 1 else ""
        raise ColonyError(
            f"'{escape(other[0])}'{also} would be overwritten, so nothing was made",
            where=escape(root),
            fix="give an empty folder: colony init --example NAME DIR",
            code=USAGE,
        )


def mode(text: str) -> int:
    """A program may be run."""
    return 0o777 if text.startswith("#!") else 0o666
