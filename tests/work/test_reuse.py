"""The key of a step's work: it changes exactly when one of its parts does."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import paths, references, runs, successes, workflow
from colony_lib.work import reuse
from colony_lib.work.engine import Schedule
from colony_lib.work.jobs import Jobs
from tests.conftest import Colony

FLOW = """\
input: {type: object}
steps:
  - {name: x, run: "true"}
  - name: a
    agent: worker
    depends_on: [x]
    run: "echo {{steps.x.output}} {{input.n}}"
    instructions: count them
    env: {MODE: fast, PLACE: "{{input.place}}"}
    output_schema: {type: object, required: [n], properties: {n: {type: integer}}}
    expect: {files: [out.json]}
    cache: {inputs: ["data/*.csv"]}
"""


class World:
    """All that a key may depend on, and what it must not depend on."""

    def __init__(self, colony: Colony) -> None:
        self.colony = colony
        self.text = FLOW
        self.input: dict[str, Any] = {"n": 1, "place": "p", "other": 0}
        self.output: Any = {"k": [1]}
        self.files = {"data/a.csv": "1", "data/b.csv": "2", "data/c.txt": "no input"}
        self.date = "2013-02-08"

    def key(self) -> dict[str, Any]:
        """The key of the step `a` in this world, of a new run."""
        root = self.colony.root
        paths.use(str(root))
        for path in sorted((root / "data").glob("*")):
            path.unlink()
        for name, data in self.files.items():
            self.colony.write(name, data)
        self.colony.workflow("w", self.text)
        plan = workflow.load("w")
        agents = {name: {"id": name, "env": {}, "env_file": None, "env_lines": {}} for name in ("worker", "orchestrator")}
        run = runs.create(plan, date=self.date, yesterday="x", input=self.input, agents=agents, trigger="test")
        ended = {"step": "x", "batch": None, "attempt": 1, "status": "completed", "output": self.output}
        run.apply(runs.record("attempt_ended", **ended))
        schedule = Schedule(run)
        job = Jobs(run, schedule).make("a", None)
        record = reuse.Reuse(run, schedule, lambda: None).look(job)
        assert record is not None and record["type"] == "step_keyed"
        found: dict[str, Any] = record["key"]
        return found


def digest(key: dict[str, Any], read: bool = False) -> str:
    return successes.key_digest("a", key, read)


def replaced(old: str, new: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        assert old in world.text
        world.text = world.text.replace(old, new)

    return change


def setting(name: str, value: Any) -> Callable[[World], None]:
    return lambda world: setattr(world, name, value)


def file(name: str, data: str | None) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.files.pop(name, None) if data is None else world.files.update({name: data})

    return change


# What changes the key, each with the words that say so.
PARTS: dict[str, tuple[Callable[[World], None], str]] = {
    "command": (replaced("echo {{", "echo -n {{"), "the command changed"),
    "instructions": (replaced("count them", "count all"), "the instructions changed"),
    "agent": (replaced("agent: worker", "agent: orchestrator"), "it is another agent's"),
    "variable": (replaced("MODE: fast", "MODE: slow"), "the variable MODE is another value"),
    "schema": (replaced("type: integer", "type: number"), "the output_schema changed"),
    "expect": (replaced("[out.json]", "[out2.json]"), "what it expects changed"),
    "output before": (setting("output", {"k": [2]}), "{{steps.x.output}} is another value"),
    "input": (setting("input", {"n": 2, "place": "p", "other": 0}), "{{input.n}} is another value"),
    "input in a variable": (setting("input", {"n": 1, "place": "q", "other": 0}), "the variable PLACE is another value"),
    "file changed": (file("data/a.csv", "3"), "data/a.csv changed since r1"),
    "file new": (file("data/d.csv", ""), "a new input data/d.csv"),
    "file gone": (file("data/b.csv", None), "the input data/b.csv is gone"),
}
# What must not: it is no part of the work.
OTHER: dict[str, Callable[[World], None]] = {
    "a comment and other lines": replaced("steps:\n", "# a comment\n\n\nsteps:\n"),
    "a timeout": replaced("    agent: worker\n", "    agent: worker\n    timeout: 5m\n"),
    "retries": replaced("    agent: worker\n", "    agent: worker\n    retry: {max_attempts: 4}\n"),
    "the schema's order": replaced("{type: object, required: [n], ", "{required: [n], type: object, "),
    "another step": replaced("  - name: a\n", "  - {name: z, run: 'true'}\n  - name: a\n"),
    "the description": replaced("steps:\n", "description: other\nsteps:\n"),
    "a file that no glob names": file("data/c.txt", "other"),
    "an input that nobody takes": setting("input", {"n": 1, "place": "p", "other": 9}),
    "the date, which nobody takes": setting("date", "2014-01-01"),
    "the glob, when it names the same": replaced('["data/*.csv"]', '["data/?.csv"]'),
}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_changes_the_key_and_is_named(colony: Colony, name: str) -> None:
    before = World(colony).key()
    changed = World(colony)
    PARTS[name][0](changed)
    after = changed.key()
    assert digest(before) != digest(after)
    assert reuse.differences(before, after, False, since="r1") == [PARTS[name][1]]
    assert digest(World(colony).key()) == digest(before)


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_part_of_the_work_changes_nothing(colony: Colony, name: str) -> None:
    before = World(colony).key()
    changed = World(colony)
    OTHER[name](changed)
    assert digest(changed.key()) == digest(before)
    assert reuse.differences(before, changed.key(), False) == []


def test_any_two_worlds_have_the_same_key_exactly_when_all_parts_are_the_same(colony: Colony) -> None:
    chance = random.Random(2013)
    found: list[tuple[frozenset[str], str, dict[str, Any]]] = []
    alone = {"input", "input in a variable"}  # two changes of one thing
    for _ in range(40):
        world = World(colony)
        parts = set(chance.sample(sorted(PARTS), chance.randrange(4)))
        parts -= {"input"} if alone <= parts else set()
        for name in sorted(parts):
            PARTS[name][0](world)
        for name in chance.sample(["a timeout", "the description", "a file that no glob names", "another step"], 2):
            OTHER[name](world)
        key = world.key()
        found.append((frozenset(parts), digest(key), key))
    for (parts, one, key), (others, two, other) in itertools.combinations(found, 2):
        assert (one == two) == (parts == others)
        assert (reuse.differences(key, other, False) == []) == (parts == others)


def test_an_upgrade_of_colony_changes_no_key(colony: Colony) -> None:
    # These are what earlier versions have written into journals. Were they to change, all paid work would be done again
    # after an upgrade: give the key another `v` then, and say so in CHANGELOG.md.
    key = World(colony).key()
    assert key["command"] == "30b92f0ddc1cff31d997ea3cfcaa65ed15a0e2fb617a09f74488547ea45309f3"
    assert digest(key) == "2bea9bc422cb53c0a5c511d7880a7a7ebb2373231e4bab577aebbbf6f9f59ae4"
    assert digest(key, read=True) == "cbb597f0e26eb525059c2a4b7e4c258099051561e29d2ab2ceaa773d412cd4ab"


def test_the_context_counts_for_those_who_read_it(colony: Colony) -> None:
    before = World(colony).key()
    other = World(colony)
    other.input["other"] = 5
    after = other.key()
    assert reuse.differences(before, after, False) == []
    assert reuse.differences(before, after, True) == ["what it reads on standard input is another value"]
    assert digest(before, True) != digest(after, True) != digest(after, False)


def test_a_key_of_another_kind_is_never_taken_for_the_same(colony: Colony) -> None:
    key = World(colony).key()
    older = copy.deepcopy(key) | {"v": 0}
    assert reuse.differences(older, key, False, since="r1") == ["what Colony compares has changed since r1"]


def inputs(root: Path, *patterns: str) -> tuple[list[str], list[str]]:
    scope = references.Scope({"id": "r", "workflow": "w", "date": "2013-02-08", "yesterday": "2013-02-07"})
    paths.use(str(root))
    found, unmatched = reuse.inputs({"cache": {"inputs": list(patterns)}}, scope)
    return list(found), unmatched


def test_inputs_are_files_by_glob_by_name_and_by_folder(colony: Colony) -> None:
    for name in ("d/a.csv", "d/.hidden", "d/sub/b.csv", "e_2013-02-08.json", "e_2013-02-07.json"):
        colony.write(name, "")
    (colony.root / "link").symlink_to("d/a.csv")
    (colony.root / "loop").symlink_to(".")
    root = colony.root
    assert inputs(root, "d/*")[0] == ["d/a.csv"]
    assert inputs(root, "d/**/*.csv")[0] == ["d/a.csv", "d/sub/b.csv"]
    assert inputs(root, "d")[0] == inputs(root, "./d/")[0] == ["d/.hidden", "d/a.csv", "d/sub/b.csv"]
    assert inputs(root, "link", "d/a.csv", "d/a.csv")[0] == ["d/a.csv", "link"]
    assert inputs(root, "e_{{date}}.json")[0] == ["e_2013-02-08.json"]
    assert inputs(root, "nothing", "d/*.json", "loop/d/sub") == (["loop/d/sub/b.csv"], ["nothing", "d/*.json"])
    assert inputs(root, str(root / "link"))[0] == [str(root / "link")]
