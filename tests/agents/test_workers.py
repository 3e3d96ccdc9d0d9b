"""Background workers, as real processes: `colony start`, `stop` and `attach`, killed and ended at any time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import paths, references, workflow
from colony_lib.work import taskplan
from tests.conftest import BIN, REPOSITORY, Colony, clean_environment
from tests.fake_api import FakeAPI

# An agent's command signs the ledger when it begins, waits for the file `go`, and signs again when it is done.
COMMAND = (
    'cat > given-$COLONY_AGENT.json; echo "$COLONY_RUN_ID $COLONY_AGENT begun" >> ledger; '
    "while [ ! -e go ]; do sleep 0.02; done; "
    'if grep -q break given-$COLONY_AGENT.json; then echo "it broke" >&2; exit 3; fi; '
    'echo "$COLONY_RUN_ID $COLONY_AGENT done" >> ledger; echo "said by $COLONY_AGENT" >&2; echo "{\\"n\\": 1}"'
)
CONFIG = f"""\
name: workers
agents:
  - id: orchestrator
    role: coordinates
    runner: command
    command: {json.dumps(COMMAND)}
  - id: worker
    role: works
    runner: command
    command: {json.dumps(COMMAND)}
"""
THINKER = "  - {id: thinker, role: thinks, model: claude-sonnet-5-5}\n"


def until(found: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


class Crew:
    """A colony with workers, and what can be seen of them."""

    def __init__(self, colony: Colony) -> None:
        self.colony = colony
        self.root = colony.root

    def __call__(self, *words: str, **more: Any) -> Any:
        return self.colony(*words, **more)

    def add(self, title: str, *words: str) -> str:
        return str(self.colony("state", "task", "add", title, *words).out.strip())

    def task(self, ref: str) -> dict[str, Any]:
        found: dict[str, Any] = self.colony.json("state", "task", "show", ref, "--json")
        return found

    def ended(self, ref: str) -> dict[str, Any]:
        until(lambda: self.task(ref)["status"] in ("completed", "failed", "cancelled"))
        return self.task(ref)

    def state(self, agent: str = "worker") -> dict[str, Any]:
        return next(line for line in self.colony.lines("status", "--json") if line["id"] == agent)

    def ledger(self, word: str = "") -> list[str]:
        file = self.root / "ledger"
        return [line for line in (file.read_text().splitlines() if file.exists() else []) if word in line]

    def go(self) -> None:
        (self.root / "go").touch()

    def runs(self) -> list[dict[str, Any]]:
        return self.colony.lines("workflow", "history", "--json")

    def log(self, agent: str = "worker") -> list[str]:
        return [line["message"] for line in self.colony.lines("logs", agent, "--json", "-n", "all")]

    def processes(self) -> list[int]:
        """All processes that work in the colony's folder."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if os.readlink(f"/proc/{name}/cwd") == str(self.root):
                        found.append(int(name))
                except OSError:
                    continue
        return found

    def kill_all(self) -> None:
        while found := self.processes():
            for pid in found:
                kill(pid)

    def python(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A worker in the foreground of a Python in which something is otherwise."""
        head = f"import os, sys; sys.path.insert(0, {str(REPOSITORY)!r}); sys.argv[0] = {str(BIN / 'colony-start')!r}\n"
        head += "from colony_lib.store import tasks\nfrom colony_lib.work import background, taskplan\n"
        return subprocess.run(
            [sys.executable, "-c", head + code],
            cwd=self.root,
            env=clean_environment(**env),
            capture_output=True,
            text=True,
        )


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.fixture
def crew(colony: Colony) -> Iterator[Crew]:
    colony.write("colony.yml", CONFIG)
    found = Crew(colony)
    yield found
    found.kill_all()


def test_a_task_becomes_the_plan_that_a_workflow_of_the_same_words_has(crew: Crew) -> None:
    crew.colony.workflow(
        "task-worker", "concurrency: 16\nsteps:\n  - {name: task, agent: worker, instructions: Do it}\n"
    )
    paths.use(str(crew.root))
    written = workflow.load("task-worker")
    ours = taskplan.plan("worker", {"title": "Do it", "description": ""})
    places = ("file", "line", "lines")
    for plan in (written, ours):
        assert set(plan["steps"][0]["lines"]) == {"name", "agent", "instructions"}
        for part in (plan, plan["steps"][0]):
            for key in places:
                part.pop(key, None)
    assert ours == written


@pytest.mark.parametrize("text", ["{{date}}", "a {{{b}}} {{", "}} {{{{{", '{{"{{"}} {{"}}"}}', "{ {{x"])
def test_a_tasks_words_mean_themselves(text: str) -> None:
    template = taskplan.instructions({"title": text, "description": text})
    assert references.text(template, references.Scope({})) == f"{text}\n\n{text}"


def test_an_assigned_task_is_done_with_its_result(crew: Crew) -> None:
    crew.go()
    assert crew("start").out.splitlines()[1].startswith("worker: started (")
    task = crew.add("say {{date}}", "--agent", "worker", "--description", "and {{more")
    done = crew.ended(task)
    (run,) = crew.runs()
    assert done["status"] == "completed" and done["result"] == {"run_id": run["run_id"], "output": {"n": 1}}
    assert json.loads((crew.root / "given-worker.json").read_text())["instructions"] == "say {{date}}\n\nand {{more"
    assert crew.ledger() == [f"{run['run_id']} worker begun", f"{run['run_id']} worker done"]
    assert run["workflow"] == "task-worker"


def test_a_task_of_nobody_is_done_by_the_orchestrator(crew: Crew) -> None:
    crew.go()
    crew("start")
    tasks = [crew.add(f"task {number}") for number in range(3)]
    assert [crew.ended(task)["agent"] for task in tasks] == ["orchestrator"] * 3
    assert {line.split()[1] for line in crew.ledger()} == {"orchestrator"}


def test_without_an_orchestrator_the_first_agent_does_what_is_nobodys(crew: Crew) -> None:
    crew.colony.write("colony.yml", CONFIG.replace("id: orchestrator", "id: first"))
    crew.go()
    crew("start")
    assert crew.ended(crew.add("anything"))["agent"] == "first"


def test_two_workers_do_twenty_tasks_each_once(crew: Crew) -> None:
    crew.go()
    crew("start")
    specs = [{"title": f"task {number}", "agent": "worker" if number % 2 else None} for number in range(20)]
    lines = "".join(json.dumps({key: value for key, value in spec.items() if value}) + "\n" for spec in specs)
    crew("state", "task", "add", "-", input=lines)
    until(lambda: len(crew.colony.lines("state", "task", "list", "--status", "completed", "--json")) == 20)
    assert (
        len(crew.ledger("done")) == len(set(crew.ledger("done"))) == len(crew.ledger("begun")) == len(crew.runs()) == 20
    )


def test_a_blocked_task_waits_for_its_blockers(crew: Crew) -> None:
    first = crew.add("first", "--agent", "worker", "--id", "t-first")
    second = crew.add("second", "--agent", "orchestrator", "--blockers", "t-first", "--priority", "0")
    crew("start")
    until(lambda: crew.ledger("worker begun"))
    assert crew.task(second)["status"] == "blocked" and crew.state("orchestrator")["status"] == "idle"
    crew.go()
    crew.ended(second)
    assert [line.split()[1:] for line in crew.ledger("done")] == [["worker", "done"], ["orchestrator", "done"]]
    assert crew.task(first)["completed"] < crew.task(second)["completed"]


def test_status_tells_what_a_worker_does(crew: Crew) -> None:
    assert crew.state()["status"] == "stopped"
    crew("start")
    idle = crew.state()
    assert idle["status"] == "idle" and idle["pid"] in crew.processes() and idle["since"]
    task = crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    busy = crew.state()
    assert (busy["status"], busy["task"], busy["step"]) == ("working", task, "task")
    assert busy["run_id"] == crew.runs()[0]["run_id"]
    crew("stop")
    assert crew.state()["status"] == "stopped" and crew.processes() == []


def test_a_worker_killed_with_all_its_processes_is_seen_as_dead_and_its_run_goes_on(crew: Crew) -> None:
    crew("start", "worker")
    task = crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    crew.kill_all()
    assert crew.state()["status"] == "failed" and crew.task(task)["status"] == "ready"
    crew.go()
    crew("start", "worker")
    done = crew.ended(task)
    (run,) = crew.runs()
    assert done["result"]["run_id"] == run["run_id"]
    assert crew.ledger() == [f"{run['run_id']} worker {word}" for word in ("begun", "begun", "done")]
    assert crew.state()["status"] == "idle"


def test_what_outlives_a_killed_worker_is_not_done_again(crew: Crew) -> None:
    crew("start", "worker")
    task = crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    kill(json.loads((crew.root / ".colony/agents/worker.json").read_text())["pid"])
    until(lambda: crew.state()["status"] == "failed")
    crew("start", "worker")
    until(lambda: crew.task(task)["status"] == "in_progress")
    crew.go()
    assert crew.ended(task)["status"] == "completed"
    assert len(crew.ledger("begun")) == len(crew.ledger("done")) == len(crew.runs()) == 1


def test_a_run_that_had_ended_when_its_worker_was_killed_ends_the_task(crew: Crew) -> None:
    crew.go()
    dying = "tasks.finish = lambda *_, **__: os.kill(os.getpid(), 9)\nbackground.foreground('worker')"
    good, bad = crew.add("long", "--agent", "worker"), crew.add("break", "--agent", "worker")
    for _ in range(2):  # once more: the second one dies when it has found the first one's run
        assert crew.python(dying).returncode == -signal.SIGKILL
    assert crew.task(good)["status"] == "ready"
    crew("start", "worker")
    assert crew.ended(good)["status"] == "completed" and crew.ended(bad)["status"] == "failed"
    assert len(crew.ledger("done")) == 1 and len(crew.runs()) == 2


def test_a_task_that_is_put_back_by_hand_is_done_anew(crew: Crew) -> None:
    crew.go()
    crew("start", "worker")
    task = crew.add("long", "--agent", "worker")
    first = crew.ended(task)["result"]["run_id"]
    crew("state", "task", "update", task, "ready")
    until(lambda: len(crew.ledger("done")) == 2)
    assert crew.ended(task)["result"]["run_id"] != first


def test_stop_is_graceful_and_start_goes_on(crew: Crew) -> None:
    crew("start", "worker")
    task = crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    assert crew("stop", "worker").out == "worker: stopped\n"
    assert crew.processes() == [] and crew.task(task)["status"] == "ready"
    (run,) = crew.runs()
    assert run["status"] == "interrupted" and crew.state()["status"] == "stopped"
    crew.go()
    crew("start", "worker")
    assert crew.ended(task)["result"]["run_id"] == run["run_id"]
    assert len(crew.ledger("done")) == len(crew.runs()) == 1


def test_a_worker_that_does_not_end_is_killed(crew: Crew) -> None:
    crew("start", "worker")
    pid = crew.state()["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert crew("stop", "worker", "--timeout", "100ms").out == "worker: killed\n"
    assert crew.state()["status"] == "stopped" and crew.processes() == []


def test_a_second_start_changes_nothing(crew: Crew) -> None:
    crew("start", "worker")
    pid = crew.state()["pid"]
    assert crew("start", "worker").out == f"worker: runs already (process {pid})\n"
    refused = crew("start", "--foreground", "worker", check=False)
    assert refused.code == 75 and f"runs already (process {pid})" in refused.err
    assert crew.processes() == [pid]


def test_starts_at_the_same_time_make_one_worker(crew: Crew) -> None:
    starts = [crew.colony.start("start", "worker") for _ in range(6)]
    said = [start.communicate()[0] for start in starts]
    assert [start.returncode for start in starts] == [0] * 6
    assert sum("started" in text for text in said) == 1 and len(crew.processes()) == 1


def test_a_second_stop_says_that_nothing_runs(crew: Crew) -> None:
    crew("start")
    assert crew("stop").out == "orchestrator: stopped\nworker: stopped\n"
    again = crew("stop")
    assert (again.out, again.err) == ("", "no worker runs\n")
    assert crew("stop", "worker").out == "worker: not running\n"


def test_stop_believes_no_process_number_without_the_lock(crew: Crew) -> None:
    crew("start", "worker")
    crew.kill_all()
    lock = crew.root / ".colony/locks/agents-worker.lock"
    lock.write_text(f"process {os.getpid()} token")
    assert crew("stop", "worker").out == "worker: not running: it had died\n"
    assert crew.state()["status"] == "stopped"


def test_a_failing_task_fails_with_its_error_and_the_worker_goes_on(crew: Crew) -> None:
    crew.go()
    crew("start", "worker")
    bad = crew.ended(crew.add("break", "--agent", "worker"))
    assert bad["status"] == "failed" and "it broke" in bad["result"]["error"]
    assert crew.ended(crew.add("good", "--agent", "worker"))["status"] == "completed"


def test_a_cancelled_run_cancels_its_task(crew: Crew) -> None:
    crew("start", "worker")
    task = crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    crew("workflow", "cancel", "latest")
    assert crew.ended(task)["status"] == "cancelled"


def test_an_unknown_agent_is_refused_with_the_nearest(crew: Crew) -> None:
    for verb in ("start", "stop", "attach"):
        refused = crew(verb, "wroker", check=False)
        assert refused.code == 1 and "did you mean 'worker'?" in refused.err
    assert crew.processes() == []


def test_no_key_is_needed_until_there_is_work_and_then_it_is_waited_for(crew: Crew) -> None:
    crew.colony.write("colony.yml", CONFIG + THINKER + "env_file: .env\n")
    crew("start", "thinker")
    assert crew.state("thinker")["status"] == "idle"
    task = crew.add("think", "--agent", "thinker")
    until(lambda: any("ANTHROPIC_API_KEY" in line for line in crew.log("thinker")))
    assert crew.task(task)["status"] == "ready" and crew.runs() == []
    with FakeAPI({"think": [{"text": "thought"}]}) as api:
        lines = [f"{name}={value}\n" for name, value in api.environment().items()]
        crew.colony.write(".env", "".join(lines))
        assert crew.ended(task)["result"]["output"] == "thought"


def test_a_run_that_waits_for_the_model_is_gone_on_with_later(crew: Crew) -> None:
    crew.colony.write("colony.yml", CONFIG + THINKER)
    task = crew.add("think", "--agent", "thinker")
    code = """
made = taskplan.plan
def plan(agent, task):
    found = made(agent, task)
    found["steps"][0]["timeout_seconds"] = 20.0
    return found
taskplan.plan = plan
finish = tasks.finish
def done(*given, **named):
    finish(*given, **named)
    os.kill(os.getpid(), 15)
tasks.finish = done
background.foreground("thinker")
"""
    with FakeAPI({"think": [{"text": "thought", "faults": [{"fault": "429", "retry_after": 600}]}]}) as api:
        ended = crew.python(code, **api.environment())
    assert ended.returncode == 0, ended
    assert crew.task(task)["result"]["output"] == "thought" and len(crew.runs()) == 1
    assert any("put back: it waits for the model's API" in line for line in crew.log("thinker"))


def test_attach_shows_what_is_there_and_each_new_line(crew: Crew) -> None:
    crew("start", "worker")
    crew.add("long", "--agent", "worker")
    until(lambda: crew.ledger("begun"))
    attached = crew.colony.start("attach", "worker")
    try:
        assert attached.stdout is not None and attached.stderr is not None
        assert attached.stderr.readline().startswith("worker: working for ")
        lines: list[str] = []
        while "begun" not in (lines[-1] if lines else ""):
            lines.append(attached.stdout.readline())
        crew.go()
        while "said by worker" not in lines[-1]:
            lines.append(attached.stdout.readline())
        attached.send_signal(signal.SIGINT)
        assert attached.wait() == 130
    finally:
        attached.kill()
        attached.communicate()
    assert crew.state()["pid"] in crew.processes()


def test_a_worker_in_the_foreground_ends_when_it_is_told(crew: Crew) -> None:
    crew.go()
    task = crew.add("long", "--agent", "worker")
    worker = crew.colony.start("start", "--foreground", "worker")
    crew.ended(task)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 0 and crew.state()["status"] == "stopped"
    worker.communicate()


def test_a_worker_inherits_nothing_that_its_starter_has_open(crew: Crew, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    done = subprocess.run(
        ["colony", "start", "worker"], cwd=crew.root, env=clean_environment(), pass_fds=[writer], capture_output=True
    )
    os.close(writer)
    assert done.returncode == 0 and os.read(reader, 1) == b""  # at the end: nobody holds the other one
    os.close(reader)


def test_an_end_that_cannot_be_recorded_yet_is_recorded_later(crew: Crew) -> None:
    crew.go()
    task = crew.add("long", "--agent", "worker")
    code = """
from colony_lib.base.errors import ColonyError
finish, tried = tasks.finish, []
def full(*given, **named):
    tried.append(given)
    if len(tried) < 2:
        raise ColonyError("cannot write: No space left on device")
    finish(*given, **named)
    os.kill(os.getpid(), 15)
tasks.finish = full
background.foreground("worker")
"""
    assert crew.python(code).returncode == 0
    assert crew.task(task)["status"] == "completed" and len(crew.ledger("done")) == len(crew.runs()) == 1
    assert any("cannot be recorded: cannot write" in line for line in crew.log())


def test_start_says_what_the_workers_lack_for_their_tasks(colony: Colony) -> None:
    colony.write("colony.yml", "agents: [{id: a}, {id: b, runner: command, command: cat}]\n")
    try:
        started = colony("start")
        assert [line.split(" (")[0] for line in started.out.splitlines()] == ["a: started", "b: started"]
        assert started.err == (
            "a: no task can be done yet: ANTHROPIC_API_KEY is not set, which a model needs; export it, or write it into the "
            "env_file of colony.yml\n"
        )
    finally:
        colony("stop")
