"""Claims from the command line: under a lease that ends with its holder, whoever kills whom."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony
from tests.work.test_runs import children, kill, until


def task(colony: Colony, ref: str = "load") -> dict[str, Any]:
    found: dict[str, Any] = colony.json("state", "task", "show", ref, "--json")
    return found


HOLDING = 'echo "$COLONY_TASK $COLONY_AGENT" > began; while [ ! -e go ]; do sleep 0.05; done'


def held(colony: Colony) -> subprocess.Popen[str]:
    """A claim whose command runs until the file `go` is there."""
    colony("state", "task", "add", "load")
    process = colony.start("state", "task", "claim", "--agent", "w1", "--", "sh", "-c", HOLDING)
    until(lambda: (colony.root / "began").exists())
    return process


def test_a_command_holds_its_task_while_it_runs_and_completes_it(colony: Colony) -> None:
    process = held(colony)
    assert (task(colony)["status"], task(colony)["owner"]) == ("in_progress", "w1")
    other = colony("state", "task", "claim", "--agent", "w2", check=False)
    assert (other.code, other.out) == (1, "")
    (colony.root / "go").touch()
    out, err = process.communicate(timeout=60)
    found = task(colony)
    assert (process.returncode, out, err) == (0, "", f"{found['id']} completed\n")
    assert found["status"] == "completed" and (colony.root / "began").read_text() == f"{found['id']} w1\n"
    assert list((colony.root / ".colony/locks/leases").iterdir()) == []


@pytest.mark.parametrize(
    ("command", "code", "status", "said"),
    [
        ("exit 3", 1, "failed", "failed: the command exited with 3"),
        ("exit 75", 75, "ready", "ready: the command exited with 75"),
        ("kill -9 $$", 1, "failed", "failed: the command exited with 137"),
    ],
)
def test_the_commands_end_decides_over_the_task(colony: Colony, command: str, code: int, status: str, said: str) -> None:
    colony("state", "task", "add", "load")
    done = colony("state", "task", "claim", "load", "--agent", "w1", "--", "sh", "-c", command, check=False)
    found = task(colony)
    assert (done.code, done.out, done.err) == (code, "", f"{found['id']} {said}\n")
    assert found["status"] == status and found["result"] == ({"exit_status": int(said.split()[-1])} if code == 1 else None)


def test_a_command_that_cannot_be_started_leaves_the_task_ready(colony: Colony) -> None:
    colony("state", "task", "add", "load")
    done = colony("state", "task", "claim", "--agent", "w1", "--", "./nosuch", check=False)
    assert done.code == 2
    assert done.err == "colony state: cannot run './nosuch': No such file or directory; the task is ready again\n"
    assert task(colony)["status"] == "ready"
    for words in (["--"], ["--json", "--", "true"]):
        assert colony("state", "task", "claim", "--agent", "w1", *words, check=False).code == 2


def test_when_claim_and_command_are_killed_anybody_can_take_the_task_again(colony: Colony) -> None:
    process = held(colony)
    kill(process.pid, *children(process.pid))
    process.communicate()
    found = task(colony)
    assert (found["status"], found["owner"], found["abandoned"]) == ("ready", "w1", True)
    listed = colony("state", "task", "list").out.splitlines()[1]
    assert listed.split()[1:] == ["ready", "2", "w1", "(gone)", "load", "-"]
    again = colony("state", "task", "claim", "--agent", "w2", "--", "true")
    assert again.err == f"{found['id']} completed\n" and task(colony)["owner"] == "w2"


def test_a_command_that_outlived_its_claim_is_not_robbed(colony: Colony) -> None:
    process = held(colony)
    process.send_signal(signal.SIGKILL)
    process.wait()  # and not for its pipes, which its command has too
    assert (task(colony)["status"], task(colony)["abandoned"]) == ("in_progress", False)
    assert colony("state", "task", "claim", "--agent", "w2", check=False).code == 1
    (colony.root / "go").touch()
    process.communicate(timeout=60)
    until(lambda: task(colony)["abandoned"])
    assert colony("state", "task", "claim", "--agent", "w2").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_claim_ends_its_command_and_puts_the_task_back(colony: Colony, number: int, code: int) -> None:
    process = held(colony)
    below = children(process.pid)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert (task(colony)["status"], task(colony)["owner"], task(colony)["abandoned"]) == ("ready", None, False)
    assert below and not any(Path(f"/proc/{pid}").exists() for pid in below)


def test_a_step_that_claims_holds_the_task_as_long_as_its_attempt_lives(colony: Colony) -> None:
    colony("state", "task", "add", "load")
    claim = "colony state task claim --agent worker; touch began; while [ ! -e go ]; do sleep 0.05; done"
    colony.workflow("w", f"steps:\n  - {{name: s, agent: worker, run: '{claim}'}}\n")
    process = colony.start("workflow", "run", "w", "-q", start_new_session=True)
    until(lambda: (colony.root / "began").exists())
    assert (task(colony)["status"], task(colony)["owner"]) == ("in_progress", "worker")
    workers = children(process.pid)
    kill(process.pid, *workers)  # the command goes on, and so does its claim
    process.communicate()
    assert task(colony)["abandoned"] is False
    (colony.root / "go").touch()
    until(lambda: task(colony)["abandoned"])
    assert task(colony)["status"] == "ready"


def test_the_next_attempt_on_a_slot_does_not_keep_an_earlier_ones_claim_alive(colony: Colony) -> None:
    colony("state", "task", "add", "load")
    colony.workflow(
        "w",
        "max_parallel: 1\nsteps:\n"
        "  - {name: a, run: 'colony state task claim --agent a'}\n"
        "  - {name: b, depends_on: [a], run: 'colony state task show load --json'}\n",
    )
    run = colony("workflow", "run", "w", "-q").out.strip()
    steps = {step["name"]: step for step in colony.json("workflow", "status", run, "--json")["steps"]}
    assert steps["a"]["output"] == steps["b"]["output"]["id"]
    assert (steps["b"]["output"]["status"], steps["b"]["output"]["abandoned"]) == ("ready", True)


def test_thirty_two_claimants_of_abandoned_tasks_take_each_of_them_once(colony: Colony) -> None:
    colony("state", "task", "add", "-", input="".join(f'{{"title":"t{n}"}}\n' for n in range(8)))
    for n in range(8):
        dead = colony.start("state", "task", "claim", f"t{n}", "--agent", "dead", "--", "sh", "-c", f"touch b{n}; exec sleep 600")
        until(lambda n=n: (colony.root / f"b{n}").exists())  # type: ignore[misc]
        kill(dead.pid, *children(dead.pid))
        dead.communicate()
    claims = [colony.start("state", "task", "claim", "--agent", f"a{n}", "--", "sh", "-c", "echo $COLONY_TASK >> done") for n in range(32)]
    codes = []
    for claim in claims:
        claim.communicate(timeout=120)
        codes.append(claim.returncode)
    assert sorted(codes) == [0] * 8 + [1] * 24
    done = (colony.root / "done").read_text().split()
    assert len(done) == len(set(done)) == 8
    assert os.listdir(colony.root / ".colony/locks/leases") == []
