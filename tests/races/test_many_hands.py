"""Thirty-two at once, each with its own commands, some of them shot: all that was acknowledged is there once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment

HANDS = 32
# What each does, and says on standard output only after the command that did it has exited with 0.
LOOP = """
id=$(colony state task add "task of $1") && echo "added $id"
task=$(colony state task claim --agent "a$1") && echo "claimed $task"
[ -n "$task" ] && colony state task complete "$task" --result "$1" && echo "completed $task"
colony metrics record hands 1 --label hand="$1" --id "hand-$1" && echo "recorded hand-$1"
colony broadcast "from $1" && echo "broadcast $1"
colony state set count n+=1 "by.h$1=1" && echo "counted $1"
colony state memory add note "remember $1" >/dev/null && echo "remembered $1"
"""


def hands(colony: Colony) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            ["sh", "-c", LOOP, "sh", str(number)],
            cwd=colony.root,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for number in range(HANDS)
    ]


def acknowledged(outputs: list[str]) -> dict[str, list[str]]:
    """{verb: [what]} of the whole lines that the hands have printed."""
    found: dict[str, list[str]] = {}
    for output in outputs:
        for line in output.split("\n")[:-1]:
            verb, what = line.split(" ", 1)
            found.setdefault(verb, []).append(what)
    return found


def account(colony: Colony, said: dict[str, list[str]], unsure: int) -> None:
    """Hold what is there against what was acknowledged; up to `unsure` things more may be there, whole."""
    tasks = {task["id"]: task for task in colony.lines("state", "task", "list", "--json")}
    added = said.get("added", [])
    assert len(added) == len(set(added)) and set(added) <= set(tasks)
    assert len(tasks) <= len(added) + unsure
    claimed = said.get("claimed", [])
    assert len(claimed) == len(set(claimed))  # no task was two claimants'
    assert all(tasks[task]["status"] in ("in_progress", "completed") for task in claimed)
    assert all(tasks[task]["status"] == "completed" for task in said.get("completed", []))
    for task in tasks.values():
        if task["status"] == "completed":  # whoever claimed it completed it
            assert f"a{task['result']}" == task["owner"]
    points = Counter(point["labels"]["hand"] for point in colony.json("metrics", "show", "hands", "--json")["points"])
    assert set(points.values()) == {1} and {f"hand-{hand}" for hand in points} >= set(said.get("recorded", []))
    messages = Counter(message["text"].split()[-1] for message in colony.lines("messages", "list", "--json"))
    assert set(messages.values()) == {1} and set(messages) >= set(said.get("broadcast", []))
    count = colony.json("state", "get", "count")
    assert count["n"] == len(count["by"]) and set(count["by"]) >= {f"h{hand}" for hand in said.get("counted", [])}
    memories = Counter(each["text"].split()[-1] for each in colony.lines("state", "memory", "search", "", "--json"))
    assert set(memories.values()) == {1} and set(memories) >= set(said.get("remembered", []))


def test_thirty_two_hands_at_once_lose_nothing_and_take_no_task_twice(colony: Colony) -> None:
    outputs = []
    for process in hands(colony):
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, ""), err
        outputs.append(out)
    said = acknowledged(outputs)
    assert {verb: len(what) for verb, what in said.items()} == dict.fromkeys(
        ("added", "claimed", "completed", "recorded", "broadcast", "counted", "remembered"), HANDS
    )
    account(colony, said, unsure=0)
    assert colony.json("state", "get", "count")["n"] == HANDS


@pytest.mark.parametrize("seed", range(2))
def test_hands_that_are_shot_at_random_instants_leave_what_they_had_acknowledged(colony: Colony, seed: int) -> None:
    chance = random.Random(seed)
    processes = hands(colony)
    deadline = time.monotonic() + 300
    doomed = chance.sample(range(HANDS), HANDS // 2)
    while doomed and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.02, 0.3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(processes[doomed.pop()].pid, signal.SIGKILL)
    outputs = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in err
        outputs.append(out)
    account(colony, acknowledged(outputs), unsure=HANDS)
    # And all of it can be worked with.
    colony("state", "task", "add", "after")
    colony("state", "set", "count", "n+=1", "by.after=1")
    for path in (colony.root / ".colony/state").iterdir():
        assert path.suffix != ".json" or Path(path).read_bytes().endswith(b"\n")
