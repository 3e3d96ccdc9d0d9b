"""Runs that go: those that may, whole, and never one that somebody needs."""

from __future__ import annotations

import datetime
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import locks
from tests.conftest import Colony
from tests.work.test_runs import WAITING, children, in_slow, kill, start, status, until

STEPS = 'steps:\n  - {name: a, run: "[ ! -e fails ] && echo 1"}\n'


def run(colony: Colony, *words: str, days_ago: int = 0, name: str = "w") -> str:
    """Run the workflow, `days_ago` by the clock that its records carry; returns the run's id."""
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    result = colony("workflow", "run", name, *words, "-q", check=False, env={"COLONY_NOW": moment.isoformat()})
    return result.out.strip()


def there(colony: Colony) -> list[str]:
    """The ids of the runs that there are, oldest first."""
    return [line["run_id"] for line in colony.lines("workflow", "history", "--limit", "1000", "--json")][::-1]


def prune(colony: Colony, *words: str, **settings: Any) -> list[str]:
    return colony("workflow", "prune", *words, **settings).out.split()


def entries(colony: Colony) -> list[str]:
    """Everything in the folder of the runs and in that of their locks."""
    names = []
    for folder in ("runs", "locks/runs"):
        path = colony.root / ".colony" / folder
        names += [f"{folder}/{name}" for name in sorted(os.listdir(path))] if path.exists() else []
    return names


def test_a_run_goes_when_it_is_older_than_the_days_that_are_kept(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    old = [run(colony, days_ago=days) for days in (40, 31)]
    new = [run(colony, days_ago=days) for days in (29, 0)]
    assert prune(colony, "--keep-days", "30") == old
    assert there(colony) == new
    assert entries(colony) == [f"{folder}/{name}" for folder in ("runs", "locks/runs") for name in new]
    assert prune(colony, "--keep-days", "30") == []


def test_a_run_goes_when_so_many_of_its_workflow_are_newer(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    colony.workflow("v", STEPS)
    others = [run(colony, name="v") for _ in range(2)]
    ids = [run(colony) for _ in range(4)]
    assert prune(colony, "w", "--keep-runs", "2") == ids[:2]
    assert sorted(there(colony)) == sorted([*others, *ids[2:]])
    assert prune(colony, "--keep-runs", "1") == [others[0], ids[2]]


def test_with_both_limits_a_run_must_be_beyond_both(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    ids = [run(colony, days_ago=days) for days in (50, 40, 35, 0)]
    assert prune(colony, "--keep-days", "30", "--keep-runs", "3") == ids[:1]
    assert prune(colony, "--keep-days", "45", "--keep-runs", "0") == []
    assert prune(colony, "--keep-days", "37", "--keep-runs", "0") == ids[1:2]


def test_the_newest_completed_run_stays_whatever_is_said(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    older, newest = run(colony, days_ago=90), run(colony, days_ago=80)
    (colony.root / "fails").touch()
    failed = run(colony, days_ago=70)
    assert prune(colony, "--keep-days", "0", "--keep-runs", "0") == [older, failed]
    assert there(colony) == [newest]
    rerun = colony("workflow", "rerun", newest, "--only", "a", "-q", check=False).out.strip()
    (colony.root / "fails").unlink()
    partly = colony("workflow", "rerun", newest, "--only", "a", "-q").out.strip()
    assert prune(colony, "--keep-runs", "0") == [rerun]
    assert there(colony) == [newest, partly]


def test_runs_that_live_or_wait_stay(colony: Colony) -> None:
    colony.workflow("v", 'steps:\n  - {name: a, approval: true, run: "true"}\n')
    waiting = run(colony, name="v")
    process, live = start(colony, WAITING)
    until(lambda: in_slow(colony))
    assert prune(colony, "--keep-runs", "0") == []
    kill(process.pid, *children(process.pid))  # the command lives on, and will record its end
    process.communicate()
    assert status(colony, live)["status"] == "interrupted"
    assert prune(colony, "--keep-runs", "0") == []
    (colony.root / "go").touch()
    until(lambda: status(colony, live)["steps"][1]["status"] == "completed")
    result = colony("workflow", "prune", "--keep-runs", "0")
    assert result.out.split() == [live] and f"interrupted, and could have been resumed: {live}" in result.err
    assert there(colony) == [waiting]


def test_a_run_that_is_taken_up_at_this_instant_stays(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / "fails").touch()
    ids = [run(colony) for _ in range(2)]
    held = locks.try_hold(str(colony.root / f".colony/locks/runs/{ids[0]}/alive.lock"))
    assert held is not None
    try:
        assert prune(colony, "--keep-runs", "0") == ids[1:]
    finally:
        locks.release(held)
    assert there(colony) == ids[:1]


def test_a_dry_run_removes_nothing_and_says_the_same(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    ids = [run(colony) for _ in range(3)]
    before = entries(colony)
    result = colony("workflow", "prune", "--keep-runs", "1", "--dry-run")
    assert result.out.split() == ids[:2] and result.err.startswith("would remove 2 runs, ")
    assert entries(colony) == before
    done = colony("workflow", "prune", "--keep-runs", "1")
    assert done.out == result.out and done.err == result.err.replace("would remove", "removed")


def test_the_bytes_are_those_that_get_free(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - {name: a, run: 'head -c 100000 /dev/zero | tr \"\\\\0\" x'}\n")
    first = run(colony)
    colony("workflow", "rerun", first, "--failed")
    colony.workflow("w", "steps:\n  - {name: a, run: 'head -c 100000 /dev/zero | tr \"\\\\0\" x'}\n  - {name: b, run: 'true'}\n")
    colony("workflow", "rerun", first, "--failed")  # shares the output
    (line,) = colony.lines("workflow", "prune", "--keep-runs", "1", "--json")
    # The stream of the attempt goes; the output stays, for the other run has it too.
    assert line["run_id"] == first and 100_000 < line["bytes"] < 150_000
    assert len(colony.json("workflow", "status", "--json")["steps"][0]["output"]) == 100_000


def test_links_are_neither_followed_nor_taken_away(colony: Colony, tmp_path: Path) -> None:
    colony.workflow("w", STEPS)
    (colony.root / "fails").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    inside, linked = run(colony), run(colony)
    (colony.root / f".colony/runs/{inside}/link").symlink_to(outside)
    folder = colony.root / f".colony/runs/{linked}"
    folder.rename(tmp_path / linked)
    folder.symlink_to(tmp_path / linked)
    for words in (("--dry-run",), ()):
        assert prune(colony, "--keep-runs", "0", *words) == [inside]
    assert folder.is_symlink() and (tmp_path / linked / "plan.json").exists() and (outside / "kept").exists()


def test_what_killed_commands_have_left_is_known_to_health_and_to_the_next_prune(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    run(colony)
    runs = colony.root / ".colony/runs"
    gone = subprocess.Popen(["true"])
    gone.wait()
    aside = runs / f".r20130208-000000-000aa.{gone.pid}.0123abcd.tmp"  # a removal, killed
    (aside / "steps/a").mkdir(parents=True)
    (aside / "plan.json").write_text("{}")
    unmade = runs / "r20130208-000000-000bb"  # a start, killed
    unmade.mkdir()
    (unmade / "journal.jsonl").write_text(json.dumps({"id": "1", "v": 1, "type": "step_cached", "step": "a"}) + "\n")
    (colony.root / ".colony/locks/runs/r20130208-000000-000cc").mkdir()  # a removal, killed a little later
    damaged = runs / "r20130208-000000-000dd"  # it has run: only a person can know what it is worth
    damaged.mkdir()
    (damaged / "journal.jsonl").write_text(json.dumps({"id": "1", "v": 1, "type": "run_started"}) + "\n")
    mine = runs / "readme"
    mine.mkdir()
    said = next(line for line in colony.lines("health", "--json") if line["check"] == "leftovers")
    assert said["status"] == "warn" and aside.name in said["fix"] and "rm -r" in said["fix"]
    result = colony("workflow", "prune", "--keep-runs", "5")
    assert result.out == "" and "2 folders that killed commands had left behind" in result.err
    left = there(colony)
    assert entries(colony) == [f"runs/{name}" for name in sorted([damaged.name, mine.name, *left])] + [f"locks/runs/{left[0]}"]


def test_a_prune_that_is_shot_leaves_each_run_whole_or_gone(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    (colony.root / "fails").touch()
    chance = random.Random(2013)
    runs = colony.root / ".colony/runs"
    left = [run(colony) for _ in range(12)]
    for run_id in left:  # so that to remove one takes a while
        for number in range(300):
            (runs / run_id / "steps" / str(number)).mkdir(parents=True)
    halves = 0
    for _ in range(40):
        process = colony.start("workflow", "prune", "--keep-runs", "0", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        names = os.listdir(runs)
        halves += any(name.endswith(".tmp") for name in names)
        before, left = left, sorted(name for name in names if not name.startswith("."))
        assert left == before[len(before) - len(left) :]  # the oldest go first
        for run_id in left:
            assert (runs / run_id / "plan.json").exists() and len(os.listdir(runs / run_id / "steps")) == 300
        if not left:
            break
    assert there(colony) == left and halves
    colony("workflow", "prune", "--keep-runs", "0")
    assert entries(colony) == []


def test_two_at_a_time_are_kept_apart(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    run(colony)
    held = locks.try_hold(str(colony.root / ".colony/locks/prune.lock"), note="process 1")
    assert held is not None
    refused = colony("workflow", "prune", "--keep-runs", "0", check=False)
    locks.release(held)
    assert refused.code == 75 and "process 1" in refused.err


def test_a_new_run_and_a_reused_output_are_safe_beside_a_prune(colony: Colony) -> None:
    colony.workflow("w", "concurrency: 9\nsteps:\n  - {name: a, cache: {}, run: 'python3 -c \"print(list(range(9000)))\"'}\n")
    for _ in range(6):
        pruning = [colony.start("workflow", "prune", "--keep-runs", "0") for _ in range(2)]
        running = [colony.start("workflow", "run", "w", "-q") for _ in range(2)]
        for process in running:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
        for process in pruning:
            _, err = process.communicate(timeout=120)
            assert process.returncode in (0, 75) and "Traceback" not in err and "bug" not in err
        assert colony.json("workflow", "status", out.strip(), "--json")["steps"][0]["output"] == list(range(9000))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "nothing says what to keep; give --keep-days N, --keep-runs N, or both"),
        (("w",), 2, "nothing says what to keep"),
        (("--keep-days", "-1"), 2, "is not a whole number"),
        (("--keep-days", "x"), 2, "is not a whole number"),
        (("--keep-runs", "1.5"), 2, "is not a whole number"),
        (("ww", "--keep-runs", "1"), 1, "did you mean 'w'?"),
    ],
)
def test_bad_words_are_refused(colony: Colony, words: tuple[str, ...], code: int, says: str) -> None:
    colony.workflow("w", STEPS)
    run(colony)
    refused = colony("workflow", "prune", *words, check=False)
    assert refused.code == code and says in refused.err and len(refused.err.splitlines()) == 1 and not refused.out


def test_every_line_meets_its_schema(colony: Colony) -> None:
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "schemas/prune.schema.json").read_text())
    colony.workflow("w", STEPS)
    for _ in range(3):
        run(colony)
    for words in (("--dry-run",), ()):
        for line in colony.lines("workflow", "prune", "--keep-runs", "1", "--json", *words):
            jsonschema.validate(line, schema, cls=jsonschema.Draft202012Validator)
            assert set(line) == set(schema["properties"])


def test_a_workflow_that_is_gone_can_be_named(colony: Colony) -> None:
    colony.workflow("w", STEPS)
    ids = [run(colony) for _ in range(2)]
    (colony.root / ".colony/workflows/w.yaml").unlink()
    assert prune(colony, "w", "--keep-runs", "1") == ids[:1]
