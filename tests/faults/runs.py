"""One run of the scenario that meets a fault, is resumed until it is completed, and is then held to account."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from tests.conftest import Result
from tests.faults import accounting, scenario
from tests.faults.harness import Fault, Place, untidy

ATTEMPTS = 12  # resumes; a scenario without faults needs one, and each fault one more
CODES = {  # what `run` and `resume` may exit with beside 0 (done) and 1 (the gate is closed, or the disk is full)
    "engine": {-9},
    "self": {-9},
    "pythons": {-9},
    "everything": {-9},
    "commands": set(),
    "terminate": {143, -15},  # the second before Python has come to Colony's own handler
}

READS = [
    ("workflow", "history", "--json"), ("logs", "--json"), ("status", "--json"), ("metrics", "list", "--json"), ("workflow", "status"),
]  # fmt: skip


def kind_of(fault: Fault) -> str:
    return fault.kind.rstrip("+")


def is_error(fault: Fault) -> bool:
    return kind_of(fault) not in CODES


class Trial:
    """One run with its faults; `wrong` collects every promise that it broke, in words."""

    def __init__(self, place: Place, *faults: Fault) -> None:
        self.place = place
        self.faults = faults
        self.wrong: list[str] = []
        self.snapshots: list[accounting.Snapshot] = []
        self.approvals = 0
        self.codes: set[int] = {0, 1}.union(*(CODES.get(kind_of(fault), set()) for fault in faults))

    def go(self) -> Trial:
        self.place.arm(*self.faults)
        run = self._until_it_exists()
        if run is not None:
            self._until_it_is_completed(run)
            self._account(run)
        return self

    # -- the run

    def _do(self, *words: str) -> Result:
        """One command of the run, and what must hold whatever became of it."""
        while True:
            done = self.place(*words)
            if done.code != 75 or not done.err:
                break
            time.sleep(0.02)  # who was shot a moment ago still holds a lock
        self.wrong += untidy(done, self.codes | {75})  # 75: a step waits for a person
        if any(fault.kind.endswith("+") for fault in self.faults) and self.place.fired():
            self.place.disarm()  # somebody has freed the disk
        self._look()
        self._release()
        return done

    def _release(self) -> None:
        """Let the step whose time limit nobody watches any more fail by itself; a resume would end it, but late."""
        with contextlib.suppress(OSError):  # nobody reads
            fd = os.open(self.place.root / "endless", os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"\n")
            os.close(fd)

    def _until_it_exists(self) -> str | None:
        """Start the run until there is one; a run that was not acknowledged need not be there."""
        for _ in range(ATTEMPTS):
            done = self._do("workflow", "run", "w", "-q")
            told = done.out.strip()
            there = [path.parent.name for path in self.place.root.glob(".colony/runs/*/plan.json")]
            if told and told not in there:
                self.wrong.append(f"the run {told} was acknowledged and is not there")
                return None
            if len(there) > 1:
                self.wrong.append(f"there is more than one run: {there}")
                return None
            if there:
                return there[0]
        self.wrong.append("no run came to be")
        return None

    def _until_it_is_completed(self, run: str) -> None:
        for _ in range(ATTEMPTS):
            status = self._status(run)
            if status["status"] == "completed":
                return
            waiting = [step["name"] for step in status["steps"] if step["status"] == "waiting"]
            if status["status"] == "waiting" and waiting:
                if not any(fault.kind not in ("engine",) for fault in self.faults):
                    self.wrong.append(f"{waiting} wait for a person, though only the engine was shot")
                self._decide(run, waiting[0])
            self._do("workflow", "resume", run, "-q")
        self.wrong.append(f"the run is not completed after {ATTEMPTS} resumes: {self._status(run)}")

    def _decide(self, run: str, step: str) -> None:
        """Say of a step in doubt what a person would who looked: whether it took effect."""
        ledger = self._ledger()
        if any(entry.what == "end" and entry.unit == (step, None) and entry.code == 0 for entry in ledger):
            done = self.place("workflow", "approve", run, step, "--done", "--output", "4", "--by", "ada")
            self.decided_done = True
        else:
            done = self.place("workflow", "approve", run, step, "--by", "ada")
            self.approvals += 1
        self.wrong += untidy(done, {0})

    decided_done = False
    happened = False

    # -- looking at it

    def _look(self) -> None:
        """What the journal and the ledger hold now; every line of both can be read."""
        for path in self.place.root.glob(".colony/runs/*/journal.jsonl"):
            records, wrong = accounting.read_journal(path.read_bytes())
            self.wrong += wrong
            ledger = len(self._ledger())
            self.snapshots.append(accounting.Snapshot(ledger, accounting.completed(records)))

    def _ledger(self) -> list[accounting.Entry]:
        return accounting.read_ledger((self.place.root / "ledger").read_text())

    def _status(self, run: str) -> dict[str, Any]:
        """What `status` says of the run when its engine is dead; it must be true."""
        armed, self.place.faults = self.place.faults, None
        done = self.place("workflow", "status", run, "--json")
        other = self.place(*READS[len(self.snapshots) % len(READS)])
        self.place.faults = armed
        self.wrong += untidy(done, {0}) + untidy(other, {0}) + [f"a read complains: {other!r}"] * bool(other.err)
        if done.code != 0:
            return {"status": "unreadable", "steps": []}
        found: dict[str, Any] = json.loads(done.out)
        if found["status"] not in ("interrupted", "failed", "waiting", "completed") and not self.place.processes():
            self.wrong.append(f"status says {found['status']}, and no process is there")
        for step in found["steps"]:
            kept = {unit for unit in self.snapshots[-1].completed if unit[0] == step["name"]} if self.snapshots else set()
            units = [unit for unit in scenario.PROMISES if unit[0] == step["name"]]
            if step["status"] not in ("completed", "skipped") and units and kept == set(units):
                self.wrong.append(f"status says that {step['name']} is {step['status']}, and it is completed")
            if step["status"] == "completed" and step["output"] != scenario.OUTPUTS.get(step["name"], ""):
                self.wrong.append(f"status says that the output of {step['name']} is {str(step['output'])[:80]!r}")
        return found

    # -- in the end

    def _account(self, run: str) -> None:
        self.happened = bool(self.place.faults is None or self.place.fired())
        self.wrong += self.place.wait_for_quiet()
        self.wrong += self.place.held_locks()
        folder = self.place.root / ".colony/runs" / run
        records, _ = accounting.read_journal((folder / "journal.jsonl").read_bytes())
        for record in records:
            if record["type"] == "attempt_ended" and "output_file" in record:
                record["output"] = json.loads((folder / record["output_file"]).read_text())
        promises = dict(scenario.PROMISES)
        if self.decided_done:
            records.append(
                {"v": 1, "id": "-", "type": "attempt_ended", "step": "single", "attempt": 99, "status": "completed"}
            )
        wrong = accounting.violations(
            promises,
            self._ledger(),
            records,
            self.snapshots,
            doubt=any(fault.kind != "engine" for fault in self.faults),
            trouble=any(map(is_error, self.faults)),
            shot=any(fault.kind in ("commands", "everything") for fault in self.faults),
            approvals=self.approvals,
            handlers=scenario.HANDLERS,
        )
        self.wrong += [each for each in wrong if not (self.decided_done and "single attempt 99" in each)]
        final = self._status(run)
        said = {step["name"]: step["status"] for step in final["steps"]}
        if final["status"] == "completed" and said != scenario.STATUSES:
            self.wrong.append(f"status says {said}")
        self._health()

    def _health(self) -> None:
        """What killed writers have left is little, and `health` names it."""
        left = self.place.temporary_files()
        if len(left) > 3 * len(self.faults):
            self.wrong.append(f"temporary files pile up: {left}")
        self.place.disarm()
        deadline = time.monotonic() + 20  # a dead process that nobody has waited for yet is one still
        unnamed = left
        while unnamed and time.monotonic() < deadline:
            told = self.place("health").out
            unnamed = [path for path in left if path not in told]
        self.wrong += [f"'health' does not name {path}" for path in unnamed if not _has_heir(path)]


def _has_heir(path: str) -> bool:
    """Whether the number of the dead process that a temporary file is named after has become another process's."""
    number = os.path.basename(path).split(".")[-3:-2]
    return bool(number) and Path(f"/proc/{number[0]}").exists()


def trial(folder: Path, warm: Path, *faults: Fault) -> Trial:
    """A whole trial in a folder of its own, which is removed when all went well."""
    place = Place(folder, lambda root: scenario.make(root, warm))
    try:
        made = Trial(place, *faults).go()
    except BaseException:
        place.end_processes()
        raise
    if made.wrong:
        place.end_processes()
    else:
        place.remove()
    return made
