"""`colony status`: what agents do, told from held locks, on a small screen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock, locks
from colony_lib.base.text import width
from colony_lib.store import agents, paths, schema
from tests.conftest import BIN, Colony, clean_environment

SEED = Path(__file__).resolve().parents[1] / "data" / "seed_colony.yml"
NOTHING = {
    "pid": None,
    "task": None,
    "run_id": None,
    "step": None,
    "since": None,
    "tokens": 0,
    "cost_usd": 0.0,
}


def eventually(happens: Any, seconds: float = 90) -> None:
    """Wait until it does; for the start of processes, of which nothing tells us."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Held:
    """A workflow whose only step of the agent `worker` runs until it is let go."""

    def __init__(self, colony: Colony, name: str = "held", after: str = "echo done") -> None:
        self.colony = colony
        self.gate = colony.root / f"{name}.gate"
        self.began = colony.root / f"{name}.began"
        script = f"touch {self.began}; while [ ! -e {self.gate} ]; do sleep 0.05; done; {after}"
        colony.workflow(
            name,
            f"steps:\n  - name: first\n    run: 'true'\n  - name: load-data\n    agent: worker\n    depends_on: [first]\n"
            f"    timeout: 60s\n    run: |\n      {script}\n  - name: last\n    depends_on: [load-data]\n    run: 'true'\n",
        )
        self.process = colony.start("workflow", "run", name)
        assert self.process.stdout
        self.run_id = self.process.stdout.readline().strip()
        eventually(self.began.exists)

    def let_go(self) -> int:
        self.gate.touch()
        self.process.communicate(timeout=120)
        return self.process.returncode


def test_idle_agents_are_listed_under_a_summary(colony: Colony) -> None:
    result = colony("status")
    assert result.err == ""
    assert result.out == (
        "test-colony: 2 agents, no live run\n"
        "AGENT         STATUS   STEP  SINCE  ROLE\n"
        "orchestrator  stopped  -     -      coordinates\n"
        "worker        stopped  -     -      does the work\n"
    )


def test_json_is_one_agent_a_line_with_the_promised_keys(colony: Colony) -> None:
    found = colony.lines("status", "--json")
    assert found == [
        {"id": "orchestrator", "role": "coordinates", "status": "stopped", **NOTHING},
        {"id": "worker", "role": "does the work", "status": "stopped", **NOTHING},
    ]
    for line in found:
        schema.check(line, "agent")


def test_an_agent_whose_step_runs_is_working_and_then_no_more(colony: Colony) -> None:
    held = Held(colony)
    line = colony.lines("status", "--json")[1]
    schema.check(line, "agent")
    assert (line["status"], line["run_id"], line["step"]) == ("working", held.run_id, "load-data")
    assert Path(f"/proc/{line['pid']}").exists()
    assert abs(clock.seconds(line["since"]) - clock.epoch()) < 60
    lines = colony("status").out.split("\n")
    assert lines[0] == "test-colony: 2 agents, 1 working, 1 live run"
    assert lines[3].startswith("worker        working  load-data  ")
    assert lines[4].startswith(f"{held.run_id}  held running ")
    assert lines[4].endswith("s, 1 of 3 steps done: load-data")
    assert held.let_go() == 0
    assert colony.lines("status", "--json")[1]["status"] == "stopped"


def test_a_failed_step_shows_its_agent_and_the_way_on(colony: Colony) -> None:
    held = Held(colony, after="echo 'no such table' >&2; exit 3")
    assert held.let_go() == 1
    line = colony.lines("status", "--json")[1]
    assert (line["status"], line["step"], line["pid"]) == ("failed", "load-data", None)
    lines = colony("status").out.split("\n")
    assert lines[0] == "test-colony: 2 agents, 1 failed, no live run"
    assert lines[4].startswith("last failure: held failed at load-data ")
    assert lines[5] == f"  colony workflow resume {held.run_id}"
    colony.workflow("held", "steps:\n  - name: load-data\n    agent: worker\n    run: 'true'\n")
    colony("workflow", "run", "held")
    assert colony("status").out.split("\n")[0] == "test-colony: 2 agents, no live run"


def test_a_killed_run_is_shown_as_interrupted(colony: Colony) -> None:
    held = Held(colony)
    held.process.kill()
    held.process.wait()
    held.gate.touch()
    eventually(lambda: "interrupted" in colony("status").out)
    out = colony("status").out
    assert "last failure: held interrupted " in out
    assert f"  colony workflow resume {held.run_id}\n" in out
    colony("workflow", "resume", held.run_id)
    assert colony("status").out.startswith("test-colony: 2 agents, no live run\n")


def test_the_seeds_six_agents_fit_a_small_screen_at_their_busiest(colony: Colony) -> None:
    text = SEED.read_text(encoding="utf-8")
    colony.write("colony.yml", text.replace("id: data-transformer", "id: worker"))
    failed = Held(colony, "bad", after="printf 'x%.0s' $(seq 500) >&2; exit 3")
    failed.let_go()
    held = [Held(colony, f"a-rather-long-name-{number}") for number in range(4)]
    lines = colony("status").out.rstrip("\n").split("\n")
    assert len(lines) <= 14
    assert max(map(width, lines)) <= 80
    assert "and 1 live run more: colony workflow history" in lines
    for one in held:
        assert one.let_go() == 0


def test_a_worker_is_alive_while_it_holds_its_lock(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.use(str(colony.root))
    state = {"v": 1, "status": "working", "pid": 4711, "task": "t-1", "since": "2026-01-01T00:00:00.000Z", "tokens": 9}
    colony.write(".colony/agents/worker.json", json.dumps(state))
    fd = locks.try_hold(agents.worker_lock("worker"))
    assert fd is not None
    line = colony.lines("status", "--json")[1]
    assert (line["status"], line["task"], line["pid"], line["tokens"]) == ("working", "t-1", 4711, 9)
    colony.write(".colony/agents/worker.json", json.dumps({**state, "task": None}))
    assert colony.lines("status", "--json")[1]["status"] == "idle"
    locks.release(fd)
    died = colony.lines("status", "--json")[1]
    assert (died["status"], died["pid"]) == ("failed", None)
    colony.write(".colony/agents/worker.json", json.dumps({**state, "status": "stopped"}))
    assert colony.lines("status", "--json")[1]["status"] == "stopped"
    colony.write(".colony/agents/worker.json", "{damaged")
    assert colony.lines("status", "--json")[1]["status"] == "stopped"


def test_a_hostile_role_stays_text(colony: Colony) -> None:
    colony.write("colony.yml", 'agents:\n  - id: a\n    role: "x\\e]0;pwned\\a\\e[2J"\n')
    out = colony("status").out
    assert "\x1b" not in out and "\x07" not in out
    assert "x\\x1b]0;pwned\\x07\\x1b[2J" in out


def test_a_damaged_run_does_not_hide_the_others(colony: Colony) -> None:
    colony.workflow("w", "steps:\n  - name: one\n    run: 'true'\n")
    run_id = colony("workflow", "run", "w").out.split("\n")[0]
    (colony.root / ".colony/runs" / run_id / "plan.json").write_text("{", encoding="utf-8")
    (colony.root / ".colony/runs" / run_id / "summary.json").unlink()
    result = colony("status")
    assert result.out.startswith("test-colony: 2 agents, no live run\n")
    assert run_id in result.err


def test_a_bad_colony_yml_is_told_in_one_line(colony: Colony) -> None:
    colony.write("colony.yml", "agents:\n  - id: a\n    rol: x\n")
    result = colony("status", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == "colony status: unknown key 'rol' in 'agents[0]' at colony.yml:3; did you mean 'role'?\n"


def test_a_warm_start_imports_nothing_heavy(colony: Colony) -> None:
    colony.write("colony.yml", SEED.read_text(encoding="utf-8"))
    colony("status")
    words = [sys.executable, "-X", "importtime", str(BIN / "colony-status")]
    done = subprocess.run(words, cwd=colony.root, env=clean_environment(), capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    heavy = {"yaml", "jsonschema", "dataclasses", "typing", "pathlib", "datetime", "subprocess", "tempfile", "filelock"}
    # What site itself imports (a .pth file of the environment) is not ours.
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "pass"], env=clean_environment(), capture_output=True, text=True
    )
    theirs = {line.split("|")[-1].strip() for line in bare.stderr.splitlines()}
    assert "colony_lib.store.agents" in imported
    assert not (imported - theirs) & heavy


def test_the_seeds_monitoring_line_works(colony: Colony) -> None:
    colony("state", "task", "add", "fetch-daily-data")
    words = ["sh", "-c", 'colony status && echo "" && colony state task list']
    done = subprocess.run(words, cwd=colony.root, env=clean_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("test-colony: 2 agents, no live run\n")
    assert "\n\nID " in done.stdout and "fetch-daily-data" in done.stdout
