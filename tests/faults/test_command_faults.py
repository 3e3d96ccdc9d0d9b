"""Every command that writes, stopped or refused at each system call by which it does: what was acknowledged is there once,
what was not is there whole or not at all, what was there before is there still, and the next command works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Result
from tests.faults import accounting, scenario
from tests.faults.harness import LONG, LONG_LIMIT, STRIDE, Fault, Place, evenly, layer, untidy

FAULTS = [
    ("self", "before"), ("self", "half"), ("self", "after"), ("terminate", "before"), ("terminate", "after"),
    ("ENOSPC", "before"), ("ENOSPC", "half"), ("ENOSPC+", "before"), ("ENOSPC+", "half"),
    ("EIO", "before"), ("EIO", "half"), ("EIO+", "before"), ("EROFS+", "before"),
]  # fmt: skip
CODES = {"self": {0, -9}, "terminate": {0, 143, -15}}
SAMPLE = 4  # faults of a command that are tried without COLONY_TEST_LONG


class Verb(NamedTuple):
    """A command that writes, and how to tell what it did."""

    words: tuple[str, ...]
    count: Callable[[Place], int]  # how often its effect is there; reads with the colony's own commands
    before: tuple[tuple[str, ...], ...] = ()  # the commands that make what it finds
    again: set[int] = {0}  # what it exits with when it is given once more, after it took effect
    once: bool = False  # whether it takes effect only once, however often it is given
    size: int = 1  # how many things it makes, all or none; killed in the middle of its one write it may have made the first
    input: str | None = None
    files: dict[str, str] = {}
    rewrites: bool = False  # whether it removes lines from a journal


def lines(place: Place, *words: str) -> list[dict[str, Any]]:
    """The JSON Lines that a reading command prints; it must have nothing to complain of."""
    done = place(*words, "--json")
    assert done.code == 0 and done.err == "", done
    return [json.loads(line) for line in done.out.splitlines()]


def tasks(**wanted: Any) -> Callable[[Place], int]:
    def count(place: Place) -> int:
        return sum(wanted.items() <= task.items() for task in lines(place, "state", "task", "list"))

    return count


def number(place: Place) -> int:
    done = place("state", "get", "doc", "n")
    assert done.code == 0 or "there is none yet" in done.err or "unknown document" in done.err, done
    return int(done.out or 0)


def points(name: str) -> Callable[[Place], int]:
    def count(place: Place) -> int:
        done = place("metrics", "show", name, "--json")
        assert done.code == 0 or "unknown metric" in done.err, done
        return len(json.loads(done.out)["points"]) if done.code == 0 else 0

    return count


def texts(words: tuple[str, ...], text: str) -> Callable[[Place], int]:
    def count(place: Place) -> int:
        return sum(found["text"] == text for found in lines(place, *words))

    return count


def cleared(place: Place) -> int:
    """Whether the old points are gone; the new one must be there."""
    found = [point["value"] for point in json.loads(place("metrics", "show", "m", "--hours", "999999", "--json").out)["points"]]
    assert found in ([1, 2, 3], [3])
    return int(found == [3])


def status(place: Place) -> dict[str, Any]:
    done = place("workflow", "status", "--json")
    assert done.code == 0 and done.err == "", done
    found: dict[str, Any] = json.loads(done.out)
    return found


def step_is(wanted: str) -> Callable[[Place], int]:
    return lambda place: int(status(place)["steps"][0]["status"] == wanted)


def is_cancelled(place: Place) -> int:
    return int(status(place)["status"] == "cancelled")


def made(place: Place) -> int:
    """Whether the colony in the folder `new` is whole."""
    done = place("validate", COLONY_ROOT=str(place.root / "new")) if (place.root / "new/.colony").exists() else None
    return int(done is not None and done.code == 0 and (place.root / "new/.colony/workflows/hello.yaml").exists())


WAITS = {".colony/workflows/w.yaml": "name: w\nsteps:\n  - {name: a, approval: true, run: 'echo a >> did'}\n"}
RAN = (("workflow", "run", "w", "-q"),)
ADDED = (("state", "task", "add", "first"), ("state", "task", "add", "load", "--id", "t-load"))
VERBS = {
    "the first task": Verb(("state", "task", "add", "load"), tasks(title="load")),
    "a task": Verb(("state", "task", "add", "more", "--blockers", "load"), tasks(title="more"), ADDED),
    "a task with an id": Verb(("state", "task", "add", "more", "--id", "t-more"), tasks(title="more"), ADDED, once=True),
    "many tasks": Verb(
        ("state", "task", "add", "-"), tasks(title="one"), ADDED, size=3, input='{"title": "one"}\n' * 3
    ),
    "a claim": Verb(("state", "task", "claim", "t-load", "--agent", "worker"), tasks(id="t-load", status="in_progress"), ADDED, {1}, True),
    "a completion": Verb(
        ("state", "task", "complete", "load", "--result", '{"n": 1}'),
        tasks(title="load", status="completed", result={"n": 1}), ADDED, once=True,
    ),
    "a document": Verb(("state", "set", "doc", "n+=1"), number),
    "a change of a document": Verb(("state", "set", "doc", "n+=1"), number, (("state", "set", "doc", "n=0", "kept=1"),)),
    "a memory": Verb(
        ("state", "memory", "add", "decision", "load by upsert"), texts(("state", "memory", "search", "upsert"), "load by upsert"),
        (("state", "memory", "add", "decision", "no upsert"),),
    ),
    "the first point": Verb(("metrics", "record", "m", "1"), points("m")),
    "a point with an id": Verb(("metrics", "record", "m", "1", "--id", "p"), points("m"), once=True),
    "a clearing": Verb(
        ("metrics", "clear", "m", "--before", "2014-01-01"), cleared,
        tuple(("metrics", "record", "m", str(n), "--at", f"201{n + 1}-06-01T00:00:00Z") for n in (1, 2, 3)),
        once=True, rewrites=True,
    ),
    "a broadcast": Verb(("broadcast", "hello"), texts(("messages", "list"), "hello"), (("broadcast", "before"),)),
    "a message": Verb(("messages", "send", "worker", "hello"), texts(("messages", "list"), "hello")),
    "an approval": Verb(("workflow", "approve", "latest", "a", "--by", "ada"), step_is("pending"), RAN, {1}, True, files=WAITS),
    "a rejection": Verb(("workflow", "reject", "latest", "a", "--by", "ada"), step_is("failed"), RAN, {1}, True, files=WAITS),
    "a cancelling": Verb(("workflow", "cancel", "latest"), is_cancelled, RAN, {1}, True, files=WAITS),
    "a colony": Verb(("init", "--name", "new"), made, once=True),
}  # fmt: skip


class Table:
    """One command's colony as it finds it, and the points that it passes there."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.verb = VERBS[name]
        self.folder = folder
        self.number = 0
        self.ready = Place(folder / "ready", self._make)
        for words in self.verb.before:
            done = self.ready(*words)
            assert done.code in (0, 75), done
        self.ready.disarm()
        place = self.copy()
        place.arm()
        assert self.act(place).code == 0
        self.points = place.points()
        place.disarm()
        assert self.verb.count(place) == self.verb.size
        assert {label.split(" ")[1] for label, _ in self.points} >= {"write"}

    def _make(self, root: Path) -> None:
        scenario.empty(root)
        for name, text in self.verb.files.items():
            (root / name).write_text(text)
        (root / "new").mkdir()

    def copy(self) -> Place:
        """The colony as the command finds it."""
        self.number += 1
        place = Place(self.folder / str(self.number), lambda root: None)
        place.root.rmdir()
        shutil.copytree(self.ready.root, place.root)
        return place

    def act(self, place: Place) -> Result:
        more = {"COLONY_ROOT": ""}
        if self.verb.words[0] == "init":
            root, place.root = place.root, place.root / "new"
            try:
                return place(*self.verb.words, **more)
            finally:
                place.root = root
        return place(*self.verb.words, input=self.verb.input, **more)

    def faults(self) -> list[Fault]:
        """Every fault at every point, or a sample of them that has something of each."""
        every = [
            Fault(kind, when, *point) for kind, when in FAULTS for point in self.points if layer.takes(point[0], kind, when)
        ]
        start = sum(map(ord, self.name))
        return every[start % STRIDE :: STRIDE] if LONG else evenly(every, SAMPLE, start)

    def tried(self, fault: Fault) -> list[str]:
        """What is wrong after the command has met the fault, in words."""
        place = self.copy()
        before = contents(place.root)
        place.arm(fault)
        done = self.act(place)
        wrong = untidy(done, CODES.get(fault.kind, {0, 1}))
        if not place.fired():
            wrong.append("it did not happen")
        place.disarm()
        verb = self.verb
        there = verb.count(place)
        whole = range(verb.size + 1) if (fault.kind, fault.when) == ("self", "half") else (0, verb.size)
        if there not in whole or (done.code == 0 and there != verb.size):
            wrong.append(f"exit status {done.code}, and it is there {there} times")
        wrong += lost(before, contents(place.root), verb.rewrites)
        again = self.act(place)
        wrong += untidy(again, verb.again if there else {0})
        wanted = verb.size if verb.once or not there else there + verb.size
        if verb.count(place) != wanted:
            wrong.append(f"it was there {there} times, and given again {verb.count(place)} times")
        for path in sorted(place.root.rglob("*.jsonl")):
            if not path.read_bytes().endswith(b"\n"):
                wrong.append(f"{path.name} is torn still")
            wrong += accounting.read_journal(path.read_bytes())[1]
        left = place.temporary_files()
        may = fault.kind in CODES or fault.kind in ("EIO+", "EROFS+")  # killed, or not able to remove it either
        wrong += [f"left behind: {left}"] if len(left) > may else []
        wrong += place.held_locks() + place.wait_for_quiet()
        if not wrong:
            place.remove()
        return [f"{fault}: {each}" for each in wrong]


def contents(root: Path) -> dict[str, bytes]:
    """What is in the files that hold something."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and not name.startswith((".colony/locks", ".colony/cache")) and not name.endswith(".tmp"):
            found[name] = path.read_bytes()
    return found


def lost(before: dict[str, bytes], after: dict[str, bytes], rewrites: bool) -> Iterator[str]:
    """What was there before and is there no more; a document may be another, but must be whole."""
    for name, data in before.items():
        if name not in after:
            yield f"{name} is gone"
        elif name.endswith(".jsonl") and not rewrites and not after[name].startswith(data):
            yield f"{name} has lost what was in it"
        elif name.endswith(".json"):
            json.loads(after[name])


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize("name", VERBS)
def test_a_command_that_meets_a_fault_has_done_it_once_or_not_at_all_and_can_be_given_again(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    table = Table(name, tmp_path)
    wrong = []
    faults = table.faults()
    for fault in faults:
        wrong += table.tried(fault)
        record_property("tried", f"command: {fault.kind} {fault.when}")
    assert wrong == [], "\n".join(wrong)
