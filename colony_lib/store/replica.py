"""Which copy of the colony this is: a name for this folder among the machines that share its state by git."""

from __future__ import annotations

import os

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths

_known: tuple[str, str] = ("", "")  # its file and the name, in this process


def name() -> str:
    """The name of this copy, made when it is first asked for. A copy of the folder, which brings the name along,
    is another copy: the name counts only in the folder for which it was made."""
    global _known
    path = paths.replica()
    if _known[0] == path:
        return _known[1]
    found = _kept(path)
    if found is None:
        files.make_dirs(paths.locks_folder())
        with locks.held(paths.lock("replica")):
            found = _kept(path)
            if found is None:
                found = clock.short_id("c-")
                files.write_json(path, {"v": 1, "name": found, "folder": _folder()})
    _known = (path, found)
    return found


def _kept(path: str) -> str | None:
    try:
        kept = files.read_json(path, None, follow=False)
    except ColonyError:
        return None  # damaged: this copy gets a new name, as if it had moved
    if not isinstance(kept, dict) or not isinstance(kept.get("name"), str) or kept.get("folder") != _folder():
        return None
    return str(kept["name"])


def _folder() -> int:
    return os.stat(paths.locks_folder()).st_ino
