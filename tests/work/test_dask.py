"""Steps on a Dask cluster, with a real scheduler and real workers: the same files, and the same truth in them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.work import remote
from tests.clusters import Cluster, away, brokers, certificates, kill_away
from tests.conftest import Colony, clean_environment
from tests.fake_api import FakeAPI

# Each batch says that it begins and that it ends, and fails when the same batch is being done at the same time.
BATCH = "mkdir at-work-{{item}} && echo begin {{item}} >> ledger && sleep %s; echo end {{item}} >> ledger; rmdir at-work-{{item}}; echo {{item}}"


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made.start(3)
    finally:
        made.stop()


def configure(colony: Colony, where: str, more: str = "") -> None:
    colony.write("colony.yml", f"name: test-colony\nexecutors:\n  - {{name: cluster, type: dask, {where}}}\n{more}")


def fan(colony: Colony, count: int, command: str, more: str = "") -> None:
    items = json.dumps(list(range(count)))
    colony.workflow(
        "fan",
        f"executor: cluster\nsteps:\n  - name: each\n    for_each: {items}\n    run: {json.dumps(command)}\n{more}",
    )


def until(found: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass in time")


def ledger(colony: Colony) -> Counter[str]:
    """How often each line stands in what the batches have written."""
    path = colony.root / "ledger"
    return Counter(path.read_text().splitlines() if path.exists() else [])


def start(colony: Colony, **settings: Any) -> tuple[subprocess.Popen[str], str]:
    process = colony.start("workflow", "run", "fan", **settings)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def records(colony: Colony, run: str, kind: str) -> list[dict[str, Any]]:
    return [record for record in colony.journal(f"runs/{run}/journal.jsonl") if record["type"] == kind]


def run_log(colony: Colony) -> list[str]:
    return [line["message"] for line in colony.lines("logs", "colony", "--json", "-n", "1000")]


def step(colony: Colony, name: str = "each", run: str = "latest") -> dict[str, Any]:
    status = colony.json("workflow", "status", run, "--json")
    return next(each for each in status["steps"] if each["name"] == name)


# -- what it does


def test_a_fan_out_gives_on_a_cluster_what_it_gives_on_one_machine(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    command = "echo '{\"square\": '$(expr {{item}} '*' {{item}})'}'; echo done {{item}} >&2"
    fan(colony, 200, command, "  - name: sum\n    depends_on: [each]\n    run: wc -c\n    executor: local\n")
    colony("workflow", "run", "fan")
    there = step(colony)["output"]
    assert there == [{"square": number * number} for number in range(200)]
    run = colony.json("workflow", "status", "--json")["run_id"]
    began = records(colony, run, "attempt_started")
    assert Counter((record["step"], record["batch"]) for record in began) == {
        **{("each", number): 1 for number in range(200)}, ("sum", None): 1
    }  # fmt: skip
    assert {record["host"] for record in began if record["step"] == "each"} == {os.uname().nodename}
    assert len({record["pid"] for record in began if record["step"] == "each"}) == 3
    path = colony.root / ".colony/workflows/fan.yaml"
    path.write_text(path.read_text().replace("executor: cluster\n", ""))
    colony("workflow", "run", "fan")
    assert step(colony)["output"] == there
    assert "done 7" in " ".join(run_log(colony))  # standard error comes to the same log from everywhere


def test_a_command_sees_the_callers_environment_and_the_workers_machine(colony: Colony, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    try:
        made.start_scheduler()
        made.start_worker(env={"TMPDIR": str(tmp_path), "SLURM_JOB_ID": "77", "LEFT": "worker"})
        configure(colony, f"address: '{made.address}'")
        show = 'echo "$COLONY_STEP $COLONY_RUN_ID $GIVEN $LEFT $TMPDIR $SLURM_JOB_ID $(pwd)"; command -v colony'
        fan(colony, 1, show)
        run = colony("workflow", "run", "fan", env={"GIVEN": "caller", "TMPDIR": "/nowhere", "LEFT": "caller"}).out.strip()
        said, found = step(colony)["output"][0].split("\n")
        assert said == f"each {run} caller caller {tmp_path} 77 {colony.root}"
        assert found.endswith("/bin/colony")
    finally:
        made.stop()


def test_secrets_travel_to_the_cluster_and_into_no_file(colony: Colony, cluster: Cluster) -> None:
    configure(
        colony, f"address: '{cluster.address}'", "agents:\n  - {id: loader, env: {DATABASE_PASSWORD: $PASSWORD_GIVEN}}\n"
    )
    fan(colony, 1, "echo it is $DATABASE_PASSWORD; echo $DATABASE_PASSWORD >&2", "    agent: loader\n")
    colony("workflow", "run", "fan", env={"PASSWORD_GIVEN": "hunter2-and-more"})
    assert step(colony)["output"][0].startswith("it is ") and "hunter2" not in json.dumps(step(colony))
    for path in colony.root.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
    assert all(b"hunter2" not in path.read_bytes() for path in cluster.folder.glob("*.log"))


def test_a_step_that_fails_is_tried_again_and_what_has_not_begun_is_taken_back(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    command = "echo {{item}} >> tried; test {{item}} != 0 || { sleep 0.5; echo no such table >&2; exit 3; }; sleep 1"
    fan(colony, 40, command, "    retry: {max_attempts: 2, delay: 10ms}\n")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 1 and "exit status 3: no such table" in result.err
    tried = Counter((colony.root / "tried").read_text().split())
    assert tried["0"] == 2 and len(tried) < 20 and max(count for item, count in tried.items() if item != "0") == 1
    found = step(colony)
    assert found["status"] == "failed" and away_is_idle(colony)
    before = tried
    time.sleep(1.5)
    assert Counter((colony.root / "tried").read_text().split()) == before  # nothing of it begins afterwards


def away_is_idle(colony: Colony) -> bool:
    """Whether no attempt of the newest run is alive."""
    run = colony.json("workflow", "status", "--json")["run_id"]
    from colony_lib.base import locks

    folder = colony.root / ".colony/locks/runs" / run
    return not any(locks.is_held(str(path)) for path in folder.glob("slot-*.lock"))


def test_a_step_that_takes_too_long_there_is_ended_there(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 1, "sleep 60", "    timeout: 500ms\n")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 1 and "timed out after 0.5s" in result.err and away_is_idle(colony)


def test_a_cancelled_run_ends_what_is_being_done_on_the_cluster(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 20, BATCH % 30)
    process, run = start(colony)
    until(lambda: ledger(colony).total() == 3)
    colony("workflow", "cancel", run)
    assert process.wait(60) == 1 and away_is_idle(colony)
    assert step(colony, run=run)["status"] == "cancelled"
    time.sleep(1)
    assert sum(count for line, count in ledger(colony).items() if line.startswith("begin")) == 3


def test_an_interrupted_engine_ends_its_attempts_and_the_resume_makes_them_again(
    colony: Colony, cluster: Cluster
) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 6, BATCH % "$(test -e quick && echo 0 || echo 30)")
    process, run = start(colony)
    until(lambda: ledger(colony).total() == 3)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and away_is_idle(colony)
    ends = records(colony, run, "attempt_ended")
    assert [end["status"] for end in ends] == ["interrupted"] * 3
    for path in colony.root.glob("at-work-*"):
        path.rmdir()
    (colony.root / "quick").touch()
    colony("workflow", "resume", run)
    assert step(colony, run=run)["output"] == list(range(6))


# -- what dies


def test_a_killed_worker_of_the_cluster_costs_no_attempt(colony: Colony, cluster: Cluster) -> None:
    """The process that does the attempt outlives the worker, and its end is found in the journal."""
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 9, BATCH % 2)
    process, run = start(colony)
    until(lambda: ledger(colony).total() == 3)
    cluster.kill_worker()
    assert process.wait(120) == 0
    assert ledger(colony) == {f"{word} {number}": 1 for number in range(9) for word in ("begin", "end")}
    assert {record["attempt"] for record in records(colony, run, "attempt_ended")} == {1}


def test_attempts_that_are_killed_with_their_worker_are_made_again(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 9, f"rmdir at-work-{{{{item}}}} 2>/dev/null; {BATCH % 2}")
    process, run = start(colony)
    until(lambda: ledger(colony).total() == 3)
    cluster.kill_worker()
    assert kill_away(run) == 3
    assert process.wait(120) == 0
    found = ledger(colony)
    assert {line: count for line, count in found.items() if line.startswith("end")} == {
        f"end {number}": 1 for number in range(9)
    }
    assert found.total() == 9 + 9 + 3
    ends = records(colony, run, "attempt_ended")
    assert Counter(end["status"] for end in ends) == {"completed": 9, "interrupted": 3}
    assert step(colony, run=run)["output"] == list(range(9))


def test_a_killed_scheduler_that_comes_again_is_gone_on_with(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 12, BATCH % 1)
    process, run = start(colony)
    until(lambda: ledger(colony).total() >= 3)
    cluster.kill_scheduler()
    for worker in cluster.workers:
        worker.wait(60)
    cluster.workers.clear()
    cluster.start(3)
    assert process.wait(120) == 0
    assert ledger(colony) == {f"{word} {number}": 1 for number in range(12) for word in ("begin", "end")}
    assert any("the connection to the scheduler was lost" in line for line in run_log(colony))


def test_a_killed_engine_is_resumed_and_what_it_had_sent_is_done_once(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 12, BATCH % 1)
    process, run = start(colony)
    until(lambda: ledger(colony).total() >= 3)
    process.kill()
    process.wait()
    colony("workflow", "resume", run)
    assert ledger(colony) == {f"{word} {number}": 1 for number in range(12) for word in ("begin", "end")}
    ends = records(colony, run, "attempt_ended")
    assert Counter(end["batch"] for end in ends if end["status"] == "completed") == {number: 1 for number in range(12)}


def test_a_killed_connection_process_is_replaced(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 9, BATCH % 1)
    process, _ = start(colony)
    until(lambda: ledger(colony).total() >= 3)
    (broker,) = brokers(process.pid)
    os.kill(broker, signal.SIGKILL)
    assert process.wait(120) == 0
    assert ledger(colony) == {f"{word} {number}": 1 for number in range(9) for word in ("begin", "end")}


# -- what cannot be


def test_steps_fail_when_no_scheduler_answers_in_time(colony: Colony) -> None:
    configure(colony, "address: 'tcp://127.0.0.1:9', connect_timeout: 1s")
    fan(colony, 3, "echo {{item}}")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 1 and "the executor 'cluster': no scheduler answers: " in result.err
    assert step(colony)["status"] == "failed"


def test_a_scheduler_file_is_waited_for_and_says_where_the_cluster_is(colony: Colony, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    try:
        (colony.root / "shared").mkdir()
        file = colony.root / "shared/scheduler.json"
        configure(colony, "scheduler_file: shared/scheduler.json")
        fan(colony, 3, "echo {{item}}")
        process, _ = start(colony)
        until(lambda: f"executor 'cluster': there is no scheduler file {file} yet" in run_log(colony))
        made.start_scheduler("--scheduler-file", str(file))
        made.start_worker()
        assert process.wait(90) == 0 and step(colony)["output"] == [0, 1, 2]
        file.write_text("{}")
        configure(colony, "scheduler_file: shared/scheduler.json, connect_timeout: 1s")
        result = colony("workflow", "run", "fan", check=False)
        assert result.code == 1 and f"no scheduler answers: there is no address in {file}" in result.err
    finally:
        made.stop()


def test_without_dask_an_executor_cannot_be_used_and_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name))
    with pytest.raises(ColonyError) as refused:
        remote.resolved({"name": "cluster", "type": "dask", "address": None, "scheduler_file": None})
    assert refused.value.what == "the executor 'cluster' needs the package distributed, which is not installed"
    assert refused.value.fix == "pip install 'colony[dask]'"


def test_a_worker_that_does_not_see_the_folder_is_said_to(colony: Colony, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    hidden = f"mount -t tmpfs none {colony.root} && exec \"$@\""
    try:
        probe = subprocess.run(["unshare", "-m", "sh", "-c", hidden, "sh", "true"], capture_output=True)
        if probe.returncode:
            pytest.skip("this machine lets nobody have mounts of his own")
        made.start_scheduler()
        made.start_worker(before=("unshare", "-m", "sh", "-c", hidden, "sh"))
        configure(colony, f"address: '{made.address}'")
        fan(colony, 1, "echo {{item}}")
        result = colony("workflow", "run", "fan", check=False)
        assert result.code == 1
        assert f"does not see the colony's folder {colony.root}" in result.err
    finally:
        made.stop()


def test_a_step_waits_for_a_worker_that_has_what_it_needs_and_the_log_says_what(
    colony: Colony, cluster: Cluster
) -> None:
    configure(colony, f"address: '{cluster.address}', resources: {{memory: 1GB}}")
    more = "    resources: {cpus: 2, tags: [gpu]}\n"
    fan(colony, 4, "echo $COLONY_WORKER", more)
    process, _ = start(colony)
    lack = "executor 'cluster': no worker of the cluster offers gpu=1 cpus=2 memory=1e+09"
    until(lambda: lack in run_log(colony))
    cluster.start_worker("--resources", "cpus=2 memory=2e9 gpu=1", env={"COLONY_WORKER": "able"})
    assert process.wait(60) == 0
    assert step(colony)["output"] == ["able"] * 4


def test_a_run_is_refused_before_anything_is_written_when_its_executor_cannot_be(colony: Colony) -> None:
    fan(colony, 1, "true")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 2 and "unknown executor 'cluster'" in result.err and "colony.yml has no executors yet" in result.err
    configure(colony, "address: $SCHEDULER")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 2 and "the environment variable SCHEDULER is not set" in result.err
    assert not list((colony.root / ".colony/runs").glob("*"))


# -- how much at once


def test_max_parallel_of_an_executor_and_of_the_workflow_hold(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}', max_parallel: 2")
    count = "mkdir -p n; touch n/{{item}}; ls n | wc -l >> seen; sleep 0.3; rm n/{{item}}"
    fan(colony, 8, count)
    colony("workflow", "run", "fan")
    assert max(map(int, (colony.root / "seen").read_text().split())) == 2
    (colony.root / "seen").unlink()
    path = colony.root / ".colony/workflows/fan.yaml"
    path.write_text(path.read_text().replace("executor: cluster", "executor: cluster\nmax_parallel: 1"))
    colony("workflow", "run", "fan")
    assert max(map(int, (colony.root / "seen").read_text().split())) == 1


def test_an_executor_on_this_machine_may_have_a_limit_of_its_own(colony: Colony) -> None:
    colony.write("colony.yml", "name: test-colony\nexecutors:\n  - {name: cluster, type: local, max_parallel: 2}\n")
    fan(colony, 8, "mkdir -p n; touch n/{{item}}; ls n | wc -l >> seen; sleep 0.3; rm n/{{item}}", "    parallel: 8\n")
    colony("workflow", "run", "fan")
    assert max(map(int, (colony.root / "seen").read_text().split())) == 2


@pytest.mark.parametrize("more", ["deploy: {with: local, workers: 2}", "deploy: {with: local}, adapt: {minimum: 2, maximum: 2}"])
def test_a_cluster_that_is_started_for_the_run_ends_with_it(colony: Colony, more: str) -> None:
    configure(colony, more)
    fan(colony, 6, "sleep 1; echo {{item}}")
    colony("workflow", "run", "fan")
    assert step(colony)["output"] == list(range(6))
    run = colony.json("workflow", "status", "--json")["run_id"]
    assert len({record["pid"] for record in records(colony, run, "attempt_started")}) == 2
    until(lambda: not away(run))


def test_a_deployer_that_is_not_installed_is_named(colony: Colony) -> None:
    configure(colony, "deploy: {with: yarn}")
    fan(colony, 1, "true")
    result = colony("workflow", "run", "fan", check=False)
    assert result.code == 1 and "'deploy: {with: yarn}' needs the package dask-yarn" in result.err


# -- agents, and one step by itself


def test_an_agent_does_its_step_on_the_cluster_and_nothing_is_paid_for_twice(
    colony: Colony, cluster: Cluster
) -> None:
    """The process in which the agent works is killed after its first tool has run: the conversation is gone on with."""
    script = {"Do it": [{"tools": [["bash", {"command": "echo once >> staging/paid; sleep 3"}]]}, {"text": "done"}]}
    with FakeAPI(script) as api:
        configure(
            colony, f"address: '{cluster.address}'",
            "agents:\n  - {id: worker, role: Worker, model: claude-sonnet-5-5}\nshared_paths: [staging]\n",
        )  # fmt: skip
        colony.workflow("fan", "executor: cluster\nsteps:\n  - {name: each, agent: worker, instructions: Do it.}\n")
        (colony.root / "staging").mkdir()
        process, run = start(colony, env=api.environment())
        until(lambda: (colony.root / "staging/paid").exists())
        assert kill_away(run) == 1
        assert process.wait(120) == 0
        found = step(colony, run=run)
        assert (found["output"], found["attempts"]) == ("done", 2)
        assert len(api.requests) == 2 and api.problems == []
    used = [record for path in (colony.root / ".colony/spending").glob("*.jsonl") for record in map(json.loads, path.read_text().splitlines())]
    assert sum(record["usd"] for record in used if record["type"] == "settled") == pytest.approx(found["cost_usd"])


def test_one_step_by_itself_is_done_where_the_engine_would_do_it(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    colony.workflow(
        "fan",
        "executor: cluster\nsteps:\n  - {name: first, run: exit 3}\n  - {name: each, executor: local, run: echo here}\n",
    )
    colony("workflow", "run", "fan", check=False)
    run = colony.json("workflow", "status", "--json")["run_id"]
    path = colony.root / f".colony/runs/{run}/plan.json"
    path.write_text(path.read_text().replace("exit 3", "echo mended"))
    assert colony("run-step", run, "first").out == "mended\n"
    began = records(colony, run, "attempt_started")
    assert ["host" in record for record in began if record["step"] == "first"] == [True, True]
    assert ["host" in record for record in began if record["step"] == "each"] == [False]


def test_what_is_done_about_a_failure_is_done_on_this_machine(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    colony.workflow(
        "fan",
        "executor: cluster\nsteps:\n  - {name: each, run: exit 3}\n"
        "error_handling:\n  - {step: tell, run: 'echo {{failure.step}} > told'}\n",
    )
    colony("workflow", "run", "fan", check=False)
    assert (colony.root / "told").read_text() == "each\n"
    run = colony.json("workflow", "status", "--json")["run_id"]
    assert ["host" in record for record in records(colony, run, "attempt_started")] == [True, False]


# -- health


def health(colony: Colony) -> list[tuple[str, str, str | None]]:
    """What `colony health` says of executors: (status, message, fix)."""
    found = colony.lines("health", "--json", check=False)
    return [(each["status"], each["message"], each["fix"]) for each in found if each["check"] == "executor"]


def test_health_asks_the_cluster_whether_it_sees_the_folder_and_its_locks(colony: Colony, cluster: Cluster) -> None:
    configure(colony, f"address: '{cluster.address}'")
    fan(colony, 1, "true", "    resources: {tags: [gpu]}\n")
    ok = "cluster: 3 workers with 3 threads on 1 machine; they see this folder and its locks"
    lack = "no worker of cluster offers what step 'each' of fan needs"
    until(lambda: ("ok", ok, None) in health(colony))
    assert health(colony) == [("ok", ok, None), ("warn", lack, "dask worker --resources 'gpu=1'")]


def test_health_says_what_is_wrong_with_a_cluster(colony: Colony, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    try:
        configure(colony, f"address: '{made.address}'")
        ((status, message, fix),) = health(colony)
        assert (status, fix) == ("fail", "start it, or mend its entry in colony.yml")
        assert message.startswith("cluster: ") and "Connection refused" in message
        made.start_scheduler()
        assert health(colony) == [("warn", "cluster: it has no workers", "start some: dask worker ADDRESS")]
        hidden = f'mount -t tmpfs none {colony.root} && exec "$@"'
        if subprocess.run(["unshare", "-m", "sh", "-c", hidden, "sh", "true"], capture_output=True).returncode:
            pytest.skip("this machine lets nobody have mounts of his own")
        made.start_worker(before=("unshare", "-m", "sh", "-c", hidden, "sh"))
        blind = f"cluster: {os.uname().nodename} does not see this folder"
        fix = f"mount it there under the same path, {colony.root}"
        assert until(lambda: [each for each in health(colony) if each[0] == "fail"]) == [("fail", blind, fix)]
        configure(colony, "deploy: {with: yarn}")
        assert health(colony)[0][0] == "fail" and health(colony)[0][2] == "pip install dask-yarn"
        configure(colony, "deploy: {with: local}")
        assert health(colony) == [("ok", "cluster: LocalCluster starts one for each run", None)]
    finally:
        made.stop()


def test_a_cluster_may_want_certificates_and_where_there_are_none_it_is_said_at_once(
    colony: Colony, tmp_path: Path
) -> None:
    environment = certificates(tmp_path)
    made = Cluster(tmp_path, "tls", environment)
    try:
        made.start(1)
        configure(colony, f"address: '{made.address}'")
        fan(colony, 3, "echo {{item}}")
        colony("workflow", "run", "fan", env=environment)
        (step,) = json.loads(colony("workflow", "status", "latest", "--json").out)["steps"]
        assert step["output"] == [0, 1, 2]
        done = colony("workflow", "run", "fan", check=False)
        assert done.code == 1
        words = f"the executor 'cluster': {made.address} wants a certificate, and Dask's configuration names none; set "
        assert words in done.err
        assert health(colony)[0][:2] == ("fail", "cluster: " + words.partition(": ")[2].removesuffix("; set "))
    finally:
        made.stop()


# -- where locks do not hold between machines


def test_a_machine_that_cannot_see_the_engines_lock_begins_nothing(colony: Colony) -> None:
    """Nobody holds the run's lock here, as it looks from a machine to which the file system brings no locks."""
    colony.workflow("fan", "steps:\n  - {name: each, run: 'echo done >> ledger'}\n")
    run = colony("workflow", "run", "fan", "-q").out.strip()
    slot, ticket = "slot-away-0", "01given"
    lock = colony.root / f".colony/locks/runs/{run}/{slot}.lock"
    lock.write_text(f"ticket {ticket}")
    done = subprocess.run(
        ["colony-run-step", "--away", run], cwd=colony.root, env=clean_environment(), capture_output=True, text=True,
        input=json.dumps({"slot": slot, "ticket": ticket, "step": "each", "batch": None, "attempt": 2}) + "\n",
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "slot": slot,
        "refused": f"{os.uname().nodename}: nobody is seen to hold the run's lock; the file system there must keep locks "
        "between machines",
    }
    assert lock.read_text() == f"ticket {ticket}"  # another may begin it
    assert ledger(colony) == {"done": 1} and len(records(colony, run, "attempt_started")) == 1


def test_health_says_when_a_worker_sees_the_folder_and_not_its_locks(colony: Colony, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    locks = f"{colony.root}/.colony/locks"
    apart = f'mount -t tmpfs none {colony.root} && mkdir -p {locks} && : > {locks}/health.lock && exec "$@"'
    try:
        if subprocess.run(["unshare", "-m", "sh", "-c", apart, "sh", "true"], capture_output=True).returncode:
            pytest.skip("this machine lets nobody have mounts of his own")
        made.start_scheduler()
        made.start_worker(before=("unshare", "-m", "sh", "-c", apart, "sh"))
        configure(colony, f"address: '{made.address}'")
        said = f"cluster: {os.uname().nodename} does not see a lock that is held here"
        fix = "use a file system that keeps locks between machines"
        assert until(lambda: [each for each in health(colony) if each[0] == "fail"]) == [("fail", said, fix)]
    finally:
        made.stop()
