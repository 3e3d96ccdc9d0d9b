"""What the next boot finds after the power went: all that was acknowledged, and all that something else was begun upon."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import accounting, scenario
from tests.faults.disk import DATA, NAMES, NOTHING, WAYS, Disk
from tests.faults.harness import LONG, LONG_LIMIT, STRIDE, Place, evenly
from tests.faults.test_command_faults import VERBS, Table

# The first line of each step's ledger is its beginning. No file but the ledger tells the commands of an earlier attempt:
# what they leave elsewhere would be no part of the disk that is modelled.
STEPS = """\
name: w
max_parallel: 3
steps:
  - {name: list, run: '. ./ledger.sh; begin; printf "[10,20,30]"; end'}
  - {name: large, depends_on: [list], run: '. ./ledger.sh; begin; printf "%40000d" 7 | tr " " x; end'}
  - {name: each, depends_on: [list], for_each: "{{steps.list.output}}", parallel: 2, run: '. ./ledger.sh; begin; echo {{item}}; end'}
  - {name: single, depends_on: [list], idempotent: false, run: '. ./ledger.sh; begin; echo 4; end'}
  - name: again
    depends_on: [large]
    retry: {max_attempts: 9, backoff: fixed, delay: 5ms}
    run: '. ./ledger.sh; begin; if [ $(grep -c "begin again" ledger) = 1 ]; then end 1; exit 1; fi; echo 5; end'
  - {name: never, depends_on: [single], when: "{{steps.single.output}} == 0", run: '. ./ledger.sh; begin; end'}
  - {name: last, depends_on: [again, each, single], run: '. ./ledger.sh; begin; echo {{steps.large.output}}; end'}
"""
LARGE = "x" * 39_999 + "7"
AFTER = {"large": ["list"], "each": ["list"], "single": ["list"], "again": ["large"], "last": ["again", "each", "single"]}
OUTPUTS = {"list": [10, 20, 30], "large": LARGE, "each": [10, 20, 30], "single": 4, "again": 5, "last": LARGE}


def ancestors(step: str) -> set[str]:
    """All that the step depends on, near and far."""
    return set(AFTER.get(step, [])).union(*(ancestors(other) for other in AFTER.get(step, [])))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a colony's folder but its locks, which the commands' own shells write too."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith("locks")}


class Recorded:
    """What a colony's processes did to its files, event by event, and the folders that a loss of power leaves."""

    def __init__(self, place: Place, act: Callable[[], Any]) -> None:
        self.place = place
        self.before = place.folder / "before"
        shutil.copytree(place.root, self.before, symlinks=True)
        self.disk = Disk(place.root / ".colony")
        place.arm(record=True)
        act()
        self.events = place.events()
        place.disarm()
        # The model has seen every write: without a loss it has what the folder has.
        self._until(len(self.events)).all(place.folder / "all")
        assert contents(place.folder / "all") == contents(place.root / ".colony")

    def _until(self, moment: int) -> Disk:
        disk = copy.deepcopy(self.disk)
        for _, event in self.events[:moment]:
            disk.event(event)
        return disk

    def lost(self, target: Path, moment: int, way: str) -> Place:
        """A colony as it is found when the power goes before the event of that number."""
        place = Place(target, lambda root: None)
        place.root.rmdir()
        shutil.copytree(self.before, place.root, symlinks=True, ignore=shutil.ignore_patterns(".colony"))
        self._until(moment).found(place.root / ".colony", way, seed=moment)
        ledger = place.root / "ledger"
        if ledger.exists():
            size = self.events[moment - 1][0] if moment else 0
            ledger.write_bytes((self.place.root / "ledger").read_bytes()[:size])
        return place

    def moments(self, *kinds: str) -> list[int]:
        """The numbers of the events of these kinds, and the end."""
        return [n for n, (_, event) in enumerate(self.events) if event.split("\t")[0] in kinds] + [len(self.events)]


# ---- a run


def make(root: Path) -> None:
    scenario.empty(root)
    (root / "ledger.sh").write_text(scenario.LEDGER)
    (root / "ledger").write_text("")
    (root / ".colony/workflows/w.yaml").write_text(STEPS)


def status(place: Place) -> dict[str, Any] | None:
    """What `status` says of the run; None when there is none."""
    done = place("workflow", "status", "--json")
    assert done.code == 0 or "there is no run yet" in done.err, done
    return json.loads(done.out) if done.code == 0 else None


def entries(place: Place) -> list[accounting.Entry]:
    return accounting.read_ledger((place.root / "ledger").read_text())


def broken(place: Place) -> list[str]:
    """The promises that the run did not keep over the loss of power, in words; it is gone on with till its end."""
    before = entries(place)
    begun = {entry.unit[0] for entry in before if entry.what == "begin"}
    needed = set().union(*(ancestors(step) for step in begun))
    found = status(place)
    said = {step["name"]: step for step in found["steps"]} if found else {}
    wrong = [
        f"{step} was completed before another began upon it, and is {said.get(step, {}).get('status', 'unknown')}"
        for step in sorted(needed)
        if said.get(step, {}).get("status") != "completed" or said[step]["output"] != OUTPUTS[step]
    ]
    if found is None:
        return wrong + ["a step had begun, and there is no run"] * bool(begun)
    for _ in range(6):
        if found is None or found["status"] == "completed":
            break
        if found["status"] == "waiting":
            assert place("workflow", "approve", "latest", "single", "--done", "--output", "4").code == 0
        done = place("workflow", "resume", "-q")
        if done.code not in (0, 1, 75):
            wrong.append(f"{done!r}")
        found = status(place)
    assert found is not None
    if found["status"] != "completed":
        wrong.append(f"the run cannot be completed: {found['status']}, {found['error']}")
    for step in found["steps"]:
        if step["status"] == "completed" and step["output"] != OUTPUTS[step["name"]]:
            wrong.append(f"the output of {step['name']} is {str(step['output'])[:40]}")
    for entry in entries(place)[len(before) :]:
        step = entry.unit[0]
        if entry.what == "begin" and (step in needed or (step == "single" and step in begun)):
            wrong.append(f"{step} began again after the power had gone")
    return wrong


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize("way", WAYS)
def test_a_run_over_a_loss_of_power_repeats_nothing_that_something_else_was_begun_upon(
    way: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    place = Place(tmp_path / "whole", make)
    recorded = Recorded(place, lambda: place("workflow", "run", "w", "-q"))
    found = status(place)
    assert found is not None and found["status"] == "completed"
    moments = list(range(0, len(recorded.events) + 1, STRIDE)) if LONG else evenly(recorded.moments("spawn"), 4, WAYS.index(way))
    wrong = []
    for moment in moments:
        after = recorded.lost(tmp_path / f"at-{moment}", moment, way)
        wrong += [f"before event {moment} ({recorded.events[moment:][:1]}): {each}"[:400] for each in broken(after)]
        record_property("tried", f"power: {way}")
        after.remove()
    assert wrong == [], "\n".join(wrong)


# ---- commands

# Logs and metrics are left to the kernel (durability: process): they survive any kill, and not a loss of power. But to
# clear a metric must not cost the points that it keeps.
DURABLE = [name for name, verb in VERBS.items() if verb.words[0] not in ("metrics", "init") or verb.rewrites]


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize("name", DURABLE)
def test_what_a_command_acknowledged_is_there_after_a_loss_of_power_and_before_that_all_or_nothing(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    table = Table(name, tmp_path / "table")
    place = table.copy()
    recorded = Recorded(place, lambda: table.act(place))
    end = len(recorded.events)
    chosen = [(moment, way) for moment in range(end + 1) for way in WAYS][:: STRIDE or 1]
    if not LONG:  # at the end, and where a rename could overtake what was written
        chosen = [(end, NOTHING), (end, DATA), *((moment + 1, NAMES) for moment in recorded.moments("rename")[:-1])]
    wrong = []
    for moment, way in chosen:
        after = recorded.lost(tmp_path / f"at-{moment}-{WAYS.index(way)}", moment, way)
        count = table.verb.count(after)
        if count not in (0, table.verb.size) or (moment == end and count != table.verb.size):
            wrong.append(f"before event {moment} of {end}, when {way}, it is there {count} times")
        record_property("tried", f"power: {way}")
        after.remove()
    assert wrong == [], "\n".join(wrong)
