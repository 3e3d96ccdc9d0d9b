"""Earlier successes of a workflow's steps, found by what decided them.

The truth is in the runs' journals. The index under `.colony/cache/` is made from them and may be deleted at any time:
it is brought up to date, or made anew, when it is next asked, from those journals alone that it does not know yet.
"""

from __future__ import annotations

import hashlib
import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]
    Place = tuple[str, str, int | None]  # run, step, batch

_FOREIGN = -1  # in place of the journal's size: a run of another workflow


def digest(value: Any) -> str:
    """SHA-256 of the value's JSON text. The order of keys counts, as it does to a command that is given the text."""
    return hashlib.sha256(jsontext.dumps(value).encode()).hexdigest()


def ordered(value: Any) -> Any:
    """The value with the keys of all objects sorted, for what means the same in any order."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


def key_digest(step: str, key: Record, read: bool) -> str:
    """The one word for a step's key. `read`: the command read its standard input, which then is part of the key."""
    parts = {name: part for name, part in key.items() if read or name != "context"}
    return digest(ordered({"step": step, **parts}))


def same_work(step: runs.Step, batch: int | None) -> str:
    """What a unit is called across runs: the step, the batch's number, or of a for_each its item."""
    name = str(step.definition["name"])
    if batch is None:
        return name
    return f"{name}[{digest(step.items[batch])[:16] if step.items is not None else batch}]"


class Successes:
    """The successes of a workflow's other runs. Places of what is found are to be looked at: runs may be gone."""

    def __init__(self, workflow: str, own: str) -> None:
        self._workflow = workflow
        self._own = own
        self._path = paths.cache(f"reuse-{workflow}")
        self._runs: dict[str, int] = {}  # each run's journal size when it was read
        self._keys: dict[str, list[Any]] = {}
        self._latest: dict[str, list[Any]] = {}
        self._load()
        if self._refresh():
            self._keep()

    def find(self, key: str) -> Place | None:
        """Where the newest success with this key_digest is."""
        found = self._keys.get(key)
        return None if found is None else (found[0], found[1], found[2])

    def latest(self, work: str) -> Place | None:
        """Where the newest success of that work (as same_work names it) is, whatever its key."""
        found = self._latest.get(work)
        return None if found is None else (found[0], found[1], found[2])

    def _load(self) -> None:
        try:
            kept = files.read_json(self._path, None, follow=False)
            if isinstance(kept, dict) and kept.get("v") == 1:
                self._runs, self._keys, self._latest = dict(kept["runs"]), dict(kept["keys"]), dict(kept["latest"])
        except (ColonyError, KeyError, TypeError, ValueError):
            self._runs, self._keys, self._latest = {}, {}, {}  # damaged: made anew

    def _keep(self) -> None:
        kept = {"v": 1, "runs": self._runs, "keys": self._keys, "latest": self._latest}
        try:
            files.write_json(self._path, kept, indent=None, durable=False)
        except ColonyError:
            return  # a full disk or a read-only colony makes the next start slower, not this one wrong

    def _refresh(self) -> bool:
        """Read what is new; whether there was anything."""
        there = runs.ids()
        changed = self._forget(set(there))
        for run_id in reversed(there):  # the oldest first: of several successes the newest counts
            known = self._runs.get(run_id)
            if run_id == self._own or known == _FOREIGN:
                continue
            size = _journal_size(run_id)
            if size is None or size == known:
                continue
            changed = True
            self._read(run_id, size)
        return changed

    def _forget(self, there: set[str]) -> bool:
        """Leave out runs that are gone. What is older than one of them is read again: it may hold a success that a
        newer one had put in the shade."""
        gone = [run_id for run_id in self._runs if run_id not in there]
        if not gone:
            return False
        newest = max((run_id for run_id in gone if self._runs[run_id] != _FOREIGN), default="")
        kept = ((run_id, size) for run_id, size in self._runs.items() if run_id in there)
        self._runs = {run_id: size for run_id, size in kept if run_id > newest or size == _FOREIGN}
        self._keys = {key: place for key, place in self._keys.items() if place[0] in there}
        self._latest = {work: place for work, place in self._latest.items() if place[0] in there}
        return True

    def _read(self, run_id: str, size: int) -> None:
        try:
            if runs.workflow_of(run_id) != self._workflow:
                self._runs[run_id] = _FOREIGN
                return
            run = runs.load(run_id)
        except ColonyError:
            return  # unreadable, or gone meanwhile: there is nothing to take from it
        self._runs[run_id] = size
        for name, step in run.steps.items():
            for batch, unit in step.units.items():
                if unit.status not in runs.SUCCEEDED or not (unit.key or unit.key_file):
                    continue
                key = run.key(unit)
                place = [run_id, name, batch]
                if key is not None:
                    self._latest[same_work(step, batch)] = place
                    if unit.changed is None:
                        self._keys[key_digest(name, key, unit.read)] = place


def _journal_size(run_id: str) -> int | None:
    try:
        return os.stat(os.path.join(paths.run(run_id), "journal.jsonl")).st_size
    except OSError:
        return None
