"""Which runs have had their time, and how they go: whole, and never one that somebody still needs."""

from __future__ import annotations

import os
import re
import stat

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.store import paths, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]

_DAY = 86_400.0
_ID = re.compile(r"r\d{8}-\d{6}-\d{3}..\Z")


def due(workflow: str | None, keep_days: int | None, keep_runs: int | None) -> list[Record]:
    """The history lines of the runs that may go, oldest first: those that are beyond every limit that is given, in days
    since they ended (or started) and in newer runs of their workflow. Runs that are alive or wait for a person stay,
    and so do each workflow's newest completed run, and folders that are links."""
    found = []
    count: dict[str, int] = {}
    newest: set[tuple[str, bool]] = set()  # completed runs, of the whole workflow or of one step of it
    for summary in runs.summaries(workflow):
        name = summary["workflow"]
        newer = count.get(name, 0)
        count[name] = newer + 1
        kind = (name, summary["only"] is None)
        is_newest = summary["status"] == "completed" and kind not in newest
        if is_newest:
            newest.add(kind)
        if summary["status"] in ("running", "waiting") or is_newest:
            continue
        if keep_runs is not None and newer < keep_runs:
            continue
        if keep_days is not None and _age(summary) <= keep_days * _DAY:
            continue
        if os.path.islink(paths.run(summary["run_id"])):
            continue
        found.append(summary)
    return found[::-1]


def _age(summary: Record) -> float:
    """Seconds since it ended or started; 0 where that cannot be read."""
    try:
        return clock.epoch() - max(clock.seconds(summary[key]) for key in ("started", "ended") if summary[key])
    except (TypeError, ValueError):
        return 0.0


def size(folder: str) -> int:
    """Bytes of the files in the folder that have no other name (reruns share large outputs); links are not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                total += status.st_size
    return total


class Removal:
    """Holds what keeps two removals apart. ColonyError (BUSY) when another goes on."""

    def __init__(self) -> None:
        path = paths.lock("prune")
        held = locks.try_hold(path, note=f"process {os.getpid()}")
        if held is None:
            what = f"runs are being removed already ({locks.note(path)})"
            raise ColonyError(what, fix="wait for that", code=BUSY)
        self._held = held

    def __enter__(self) -> Removal:
        return self

    def __exit__(self, *problem: object) -> None:
        locks.release(self._held)

    def remove(self, summary: Record) -> bool:
        """Remove a run that is due; False when it has come to life meanwhile."""
        run_id = summary["run_id"]
        alive = locks.try_hold(paths.run_lock(run_id, "alive"))
        if alive is None:
            return False
        try:
            # With the lock nobody begins to run it; an attempt may have outlived its engine, and will record its end.
            if _attempts(run_id) or runs.load(run_id).ended_status != _ended(summary):
                return False
            aside = files.set_aside(paths.run(run_id))
        finally:
            locks.release(alive)
        files.remove_folder(aside)
        self._remove_locks(run_id)
        return True

    def _remove_locks(self, run_id: str) -> None:
        # A lock file is never deleted, for then two could hold 'the' lock, one by the old file and one by a new. These
        # may be: no run is ever given this id again (it is a time in milliseconds, later than that of every run there
        # was when it was given), and whoever still gets such a lock finds no run to do anything with.
        folder = os.path.dirname(paths.run_lock(run_id, "alive"))
        if os.path.isdir(folder) and not os.path.islink(folder):
            files.remove_folder(folder)

    def sweep(self) -> int:
        """Remove what killed removals and killed starts of runs have left behind; returns how many folders that was."""
        count = 0
        for folder in leftovers():
            files.remove_folder(folder)
            count += 1
        with locks.held(paths.lock("runs"), what="the list of runs"):  # with it, no run is just being made
            unmade = [files.set_aside(paths.run(run_id)) for run_id in runs.ids() if _is_unmade(run_id)]
        for folder in unmade:
            files.remove_folder(folder)
        for run_id in _locked_ids():
            if not os.path.lexists(paths.run(run_id)):
                self._remove_locks(run_id)
        return count + len(unmade)


def leftovers() -> Iterator[str]:
    """Folders of runs that a killed removal had set aside."""
    folder = paths.runs_folder()
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if re.match(files.TEMPORARY, name) and os.path.isdir(path) and not os.path.islink(path):
            yield path


def _is_unmade(run_id: str) -> bool:
    """Whether it is a folder that was to become a run, and whose maker was killed before its plan was there."""
    folder = paths.run(run_id)
    if not _ID.match(run_id) or os.path.islink(folder) or os.path.lexists(os.path.join(folder, "plan.json")):
        return False
    journal = jsonl.iterate(os.path.join(folder, "journal.jsonl"))
    return not any(record.get("type") == "run_started" for record in journal)


def _attempts(run_id: str) -> bool:
    """Whether an attempt of the run is alive."""
    folder = os.path.dirname(paths.run_lock(run_id, "alive"))
    slots = [name for name in os.listdir(folder) if name.startswith("slot-")]
    return any(locks.is_held(os.path.join(folder, name)) for name in slots)


def _ended(summary: Record) -> str | None:
    """What Run.ended_status was when the history line was made; an interrupted run may have ended without a word."""
    return str(summary["status"]) if summary["status"] != "interrupted" or summary["ended"] else None


def _locked_ids() -> list[str]:
    folder = os.path.dirname(os.path.dirname(paths.run_lock("r", "alive")))
    try:
        return sorted(name for name in os.listdir(folder) if _ID.match(name))
    except FileNotFoundError:
        return []
