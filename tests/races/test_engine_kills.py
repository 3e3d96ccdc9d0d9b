"""A run that is shot again and again, at random instants, ends with every step done and none done twice."""

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

from tests.conftest import Colony

STEPS = "max_parallel: 3\nsteps:\n" + "".join(
    f"  - {{name: s{n}, depends_on: [{f's{n - 3}' if n >= 3 else ''}], run: 'echo s{n} >> started; sleep 0.3; echo s{n} >> done'}}\n"
    for n in range(12)
)


def below(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int(Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found += below(int(name))
    return found


def shoot(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def targets(victim: str, engine: int) -> list[int]:
    if victim == "engine":
        return [engine]
    if victim == "engine and workers":
        workers = [pid for pid in below(engine) if pid != engine and Path(f"/proc/{pid}/cmdline").exists()]
        return [engine, *(pid for pid in workers if b"colony-workflow" in _command(pid))]
    return below(engine)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.parametrize("victim", ["engine", "engine and workers", "everything"])
def test_a_run_that_is_shot_at_random_instants_ends_whole(colony: Colony, victim: str) -> None:
    random.seed(victim)
    colony.workflow("w", STEPS)
    words: tuple[str, ...] = ("run", "w")
    kills = 0
    for _ in range(60):
        process = colony.start("workflow", *words, "-q", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            code = process.wait(random.uniform(0.15, 0.5) if kills < 8 else 60)
        except subprocess.TimeoutExpired:
            shoot(targets(victim, process.pid))
            process.wait()
            kills += 1
            if list((colony.root / ".colony/runs").glob("*/plan.json")):  # shot before that there is no run to resume
                words = ("resume", "latest")
            continue
        if code == 75:  # the lock of one that was shot a moment ago
            time.sleep(0.05)
            continue
        assert code == 0
        break
    assert kills >= 3
    record = colony.json("workflow", "status", "--json")
    assert record["status"] == "completed"
    journal = colony.journal(f"runs/{record['run_id']}/journal.jsonl")
    completed = Counter(
        each["step"] for each in journal if each["type"] == "attempt_ended" and each["status"] == "completed"
    )
    assert completed == {f"s{n}": 1 for n in range(12)}
    done = Counter((colony.root / "done").read_text().split())
    if victim == "everything":
        # A command that died with everything is in doubt: it may have been made again, and then the journal says so.
        doubted = Counter(
            each["step"] for each in journal if each["type"] == "attempt_ended" and each["status"] == "interrupted"
        )
        assert all(1 <= done[step] <= 1 + doubted[step] for step in completed)
    else:
        assert done == completed
    assert Counter((colony.root / "started").read_text().split()).keys() == completed.keys()
