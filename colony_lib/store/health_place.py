"""The checks of `colony health` for where colony and steps write: whose the folders are, and the scratch disk."""

from __future__ import annotations

import os

from colony_lib.base.text import plural
from colony_lib.store import health, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]


def _owner() -> Iterator[Record]:
    """Folders of the colony that this user cannot write in: made by root, say, or under sudo."""
    import shlex

    closed = []
    for folder in ("", ".colony", "staging", "reports", "metrics", "logs"):
        place = os.path.join(paths.root(), folder)
        below = [entry.path for entry in os.scandir(place) if entry.is_dir()] if folder and os.path.isdir(place) else []
        closed += [path for path in [place, *below] if os.path.isdir(path) and not _may_write(path)]
    if closed:
        first = os.path.relpath(closed[0], paths.root())
        message = f"{plural(len(closed), 'folder')} in which you cannot write, the first: {first}"
        fix = f'sudo chown -R "$(id -un)" {shlex.join(closed[:10])}'
        yield health.finding("owner", "fail", message, fix)
    else:
        yield health.finding("owner", "ok", "its folders are yours to write in")


def _may_write(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _scratch() -> Iterator[Record]:
    """Where steps write their output first: another disk, often, and a small one."""
    folder = paths.scratch_folder()
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if not _may_write(folder):
        yield health.finding("scratch", "fail", f"you cannot write in {folder}", "set TMPDIR to a folder of yours")
    elif free < health.TOO_LITTLE_SPACE:
        fix = f"free some space in {folder}, or set TMPDIR to a larger disk"
        yield health.finding("scratch", "fail", f"{free / (1 << 20):,.0f} MiB free in {folder}", fix)
    else:
        yield health.finding("scratch", "ok", f"{folder}, {free / (1 << 30):,.1f} GiB free")


CHECKS = (_owner, _scratch)
