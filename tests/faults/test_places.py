"""A colony on a disk that is read-only, full, or not the only one, and under a clock that jumps."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.faults import places
from tests.faults.harness import Fault, Place


@pytest.fixture
def filled(tmp_path: Path) -> Place:
    place = Place(tmp_path / "place", places.make)
    places.fill(place)
    return place


# The same error for everything that changes a file, from the first on: what a mount, a full disk or rights do.
WHOLE = {"EROFS+": "Read-only file system", "EACCES+": "Permission denied", "EDQUOT+": "quota", "ENOSPC+": "No space left on device"}


@pytest.mark.parametrize("error", WHOLE)
def test_a_colony_that_cannot_be_written_is_read_as_before_and_every_write_is_refused_in_one_line(filled: Place, error: str) -> None:
    before = places.answers(filled)
    for cached in (True, False):
        if not cached:
            shutil.rmtree(filled.root / ".colony/cache")
        filled.arm(Fault(error, "before", "*"))
        assert places.answers(filled) == before
    filled.arm(Fault(error, "before", "*"))
    places.refuses(filled, WHOLE[error])
    filled.disarm()
    assert places.answers(filled) == before
    assert filled("workflow", "run", "w", "-q").code == 0


def test_a_colony_on_a_read_only_mount(tmp_path: Path) -> None:
    places.mounted("read_only", tmp_path)


def test_a_colony_on_a_small_disk_that_fills_up_and_is_freed(tmp_path: Path) -> None:
    places.mounted("full", tmp_path)


def test_a_colony_whose_folders_are_mounts(tmp_path: Path) -> None:
    places.mounted("two_file_systems", tmp_path)


def test_a_colony_whose_state_is_a_link_to_a_folder_elsewhere(tmp_path: Path) -> None:
    place = Place(tmp_path / "place", places.make)
    # Another file system where there is one that is usual.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as elsewhere:
        (place.root / ".colony/state").rmdir()
        (place.root / ".colony/state").symlink_to(elsewhere)
        places.fill(place)
        assert all(code == 0 for code, _, _ in places.answers(place))
        assert place("state", "set", "doc", "n+=1").code == 0
        assert json.loads((Path(elsewhere) / "doc.json").read_text())["n"] == 2
        assert sorted(os.listdir(elsewhere)) == ["doc.json", "memory.jsonl", "tasks.jsonl"]


# ---- clocks

PAST, NOW, FUTURE = "1956-03-01T00:00:00Z", "2026-11-23T06:18:00Z", "2096-03-01T00:00:00Z"


@pytest.mark.parametrize("clocks", [(NOW, PAST), (NOW, FUTURE), (FUTURE, PAST), (PAST, FUTURE)], ids=" then ".join)
def test_under_a_clock_that_jumped_the_later_write_counts(tmp_path: Path, clocks: tuple[str, str]) -> None:
    first, second = clocks
    place = Place(tmp_path / "place", places.make)
    for words in (("state", "task", "add", "t"), ("state", "task", "complete", "t"), ("broadcast", "one"), ("state", "set", "doc", "n=1")):
        assert place(*words, COLONY_NOW=first).code == 0
    for words in (("state", "task", "update", "t", "ready"), ("broadcast", "two"), ("state", "set", "doc", "n+=1"), ("state", "task", "add", "u")):
        assert place(*words, COLONY_NOW=second).code == 0
    for now in (first, second):
        tasks = [json.loads(line) for line in place("state", "task", "list", "--json", COLONY_NOW=now).out.splitlines()]
        assert [(task["title"], task["status"]) for task in tasks] == [("t", "ready"), ("u", "ready")]
        messages = [json.loads(line)["text"] for line in place("messages", "list", "--json", COLONY_NOW=now).out.splitlines()]
        assert messages == ["one", "two"]
        assert place("state", "get", "doc", "n", COLONY_NOW=now).out == "2\n"


@pytest.mark.parametrize("clocks", [(NOW, PAST), (NOW, FUTURE), (FUTURE, PAST), (PAST, FUTURE)], ids=" then ".join)
def test_a_run_that_is_resumed_under_a_clock_that_jumped_goes_on_and_the_newest_run_is_the_latest(
    tmp_path: Path, clocks: tuple[str, str]
) -> None:
    first, second = clocks
    place = Place(tmp_path / "place", places.make)
    steps = (
        '  - {name: a, timeout: 1h, run: "echo a >> did"}\n'
        '  - {name: b, depends_on: [a], timeout: 1h, run: "echo b >> did; [ -e go ] || exit 1", retry: {max_attempts: 2, delay: 10ms}}\n'
    )
    (place.root / ".colony/workflows/w.yaml").write_text("name: w\nsteps:\n" + steps)
    failed = place("workflow", "run", "w", COLONY_NOW=first)
    assert failed.code == 1
    (place.root / "go").touch()
    assert place("workflow", "resume", COLONY_NOW=second).code == 0
    assert (place.root / "did").read_text().split() == ["a", "b", "b", "b"]
    later = place("workflow", "run", "w", COLONY_NOW=second).out.strip()
    for now in (first, second):
        record = json.loads(place("workflow", "status", "--json", COLONY_NOW=now).out)
        assert (record["run_id"], record["status"]) == (later, "completed")
        runs = [json.loads(line) for line in place("workflow", "history", "--json", COLONY_NOW=now).out.splitlines()]
        assert [run["run_id"] for run in runs] == [later, failed.out.strip()]
        assert all(run["duration_seconds"] >= 0 for run in runs)
        assert place("status", COLONY_NOW=now).code == 0 and place("logs", COLONY_NOW=now).code == 0


def test_a_retry_comes_when_it_is_due_under_a_clock_that_stands_still(tmp_path: Path) -> None:
    place = Place(tmp_path / "place", places.make)
    steps = 'steps:\n  - {name: a, run: "[ -e tried ] || { touch tried; exit 1; }", retry: {max_attempts: 2, delay: 10ms}}\n'
    (place.root / ".colony/workflows/w.yaml").write_text(f"name: w\n{steps}")
    assert place("workflow", "run", "w", timeout=60, COLONY_NOW=NOW).code == 0
