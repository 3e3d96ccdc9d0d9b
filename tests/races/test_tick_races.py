"""Ticks that look at the same instant, and ticks that are shot at every step: one run of a time, and none is lost."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock, files, locks
from colony_lib.store import paths, runs
from colony_lib.work import launch
from tests.conftest import BIN, REPOSITORY, Colony, clean_environment

NOW = "2026-11-23T04:00:10Z"
TIME = "2026-11-23T04:00:00.000Z"
WORKFLOW = """\
trigger: {cron: "0 4 * * *", timezone: UTC, missed: MISSED}
concurrency: 50
steps:
  - {name: a, run: "echo {{run.id}} >> ledger"}
"""
# Ticks as the executable does, once the lock on the file 'go' is left; with the word 'unlocked' without the lock of the
# decision.
TICK = """\
import contextlib, fcntl, os, sys
sys.path.insert(0, sys.argv[1])
sys.argv[0] = os.path.join(sys.argv[1], "bin", "colony-cron")
from colony_lib.base import clock
clock.freeze(os.environ["COLONY_NOW"])
from colony_lib.cli import cron
from colony_lib.store import config, runs, ticks, workflow
from colony_lib.work import launch, tick
if sys.argv[2] == "unlocked":
    ticks.lock = lambda name: contextlib.nullcontext()
print("ready", flush=True)
fcntl.flock(os.open("go", os.O_RDONLY), fcntl.LOCK_SH)
sys.exit(cron.main(["tick", "w"]))
"""


def watched(colony: Colony, missed: str = "all") -> None:
    """A workflow with a schedule, watched since the day before."""
    colony.workflow("w", WORKFLOW.replace("MISSED", missed))
    colony("cron", "tick", env={"COLONY_NOW": "2026-11-22T12:00:00Z"})


def scheduled(colony: Colony) -> list[str]:
    """The scheduled times of all runs."""
    plans = (colony.root / ".colony/runs").glob("*/plan.json")
    return sorted(str(json.loads(plan.read_text())["scheduled"]) for plan in plans)


def settled() -> list[dict[str, Any]]:
    """The runs of the colony that this process uses, once none is alive."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not any(locks.is_held(paths.run_lock(run_id, "alive")) for run_id in runs.ids()):
            return list(runs.summaries())
        time.sleep(0.005)
    raise AssertionError("a run did not end in time")


# ── at the same instant ────────────────────────────────────────────────────────────────────────────────────────


def started(colony: Colony, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TICK, str(REPOSITORY), mode],
        cwd=colony.root,
        env=clean_environment(COLONY_NOW=NOW),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def at_once(colony: Colony, mode: str, *others: Callable[[], subprocess.Popen[str]]) -> list[str]:
    """Six ticks at one instant, and others; the scheduled times of the runs there are then."""
    go = os.open(colony.root / "go", os.O_RDWR | os.O_CREAT)
    fcntl.flock(go, fcntl.LOCK_EX)
    ticks = [started(colony, mode) for _ in range(6)]
    for process in ticks:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.close(go)
    ticks += [other() for other in others]
    said = [process.communicate(timeout=120) for process in ticks]
    assert all(process.returncode == 0 for process in ticks), said
    return scheduled(colony)


@pytest.mark.parametrize("missed", ["skip", "all"])
def test_ticks_at_the_same_instant_start_one_run(colony: Colony, missed: str) -> None:
    paths.use(str(colony.root))
    watched(colony, missed)
    for _ in range(3):
        assert at_once(colony, "locked") == [TIME]
    assert [run["status"] for run in settled()] == ["completed"]


def test_without_the_lock_the_same_ticks_start_several(colony: Colony) -> None:
    paths.use(str(colony.root))
    watched(colony)
    document = paths.schedule("w")
    before = files.read_json(document)
    for _ in range(30):
        if len(at_once(colony, "unlocked")) > 1:
            break
        settled()
        files.write_json(document, before)
        shutil.rmtree(colony.root / ".colony/runs")
    else:
        raise AssertionError("the lock is of no use")
    settled()


def test_a_line_of_its_own_and_ticks_at_the_same_instant_make_one_run(colony: Colony) -> None:
    paths.use(str(colony.root))
    watched(colony, "skip")

    def line() -> subprocess.Popen[str]:
        return colony.start("workflow", "run", "w", "--scheduled", env={"COLONY_NOW": NOW})

    assert at_once(colony, "locked", line, line, line) == [TIME]
    assert [run["status"] for run in settled()] == ["completed"]


# ── shot ───────────────────────────────────────────────────────────────────────────────────────────────────────


def tick(root: Path, now: str, shot: int = 0) -> None:
    """A tick in a process of its own. With a number it, or what it forks before the run goes on, shoots itself at that
    call of the kernel that could leave something behind, and leaves the file 'shot'."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    status = 1
    try:
        os.chdir(root)
        os.environ |= clean_environment()
        sys.argv[0] = str(BIN / "colony-cron")
        clock.freeze(now)
        from colony_lib.cli import cron

        if shot:
            _shoot_at(shot, root)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = cron.main(["tick", "w"])
    finally:
        os._exit(status)


def _shoot_at(number: int, root: Path) -> None:
    left = [number]
    touch, die, carry_on = os.open, os.kill, launch.carry_on

    def shooting(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*words: Any, **more: Any) -> Any:
            if name != "open" or words[1] & (os.O_WRONLY | os.O_RDWR):
                left[0] -= 1
            if left[0] == 0:
                touch(root / "shot", os.O_CREAT)
                die(os.getpid(), signal.SIGKILL)
            return real(*words, **more)

        setattr(module, name, call)

    def unharmed(*words: Any, **more: Any) -> Any:
        left[0] = -1
        return carry_on(*words, **more)

    for name in ("open", "write", "fsync", "rename", "mkdir", "ftruncate", "fork", "setsid", "dup2"):
        shooting(os, name)
    shooting(fcntl, "flock")
    launch.carry_on = unharmed


@pytest.mark.parametrize("missed", ["skip", "all"])
def test_a_tick_that_is_shot_at_any_step_leaves_one_run_at_most_and_the_next_goes_on(
    colony: Colony, tmp_path: Path, missed: str
) -> None:
    watched(colony, missed)
    interrupted = shots = 0
    for number in range(1, 1000):
        root = tmp_path / "copy"
        shutil.copytree(colony.root, root)
        paths.use(str(root))
        tick(root, NOW, shot=number)
        shot = (root / "shot").exists()
        shots += shot
        interrupted += [run["status"] for run in settled()] == ["interrupted"]
        for now in ("2026-11-23T04:00:50Z", "2026-11-23T04:01:10Z"):
            tick(root, now)  # as cron does, the minute after
            history = settled()
        assert scheduled(Colony(root)) == [TIME], (
            number
        )  # the tick in the same minute has made it, if the first had not
        ledger = (root / "ledger").read_text().split() if (root / "ledger").exists() else []
        if history[0]["status"] == "interrupted":
            assert missed == "skip" and shot and ledger == [], number
        else:
            assert (history[0]["status"], ledger) == ("completed", [history[0]["run_id"]]), number
        assert files.read_json(paths.schedule("w"))["decided"] == TIME, number
        shutil.rmtree(root)
        if not shot:
            break
    assert shots > 25 and interrupted > 8 and not shot
