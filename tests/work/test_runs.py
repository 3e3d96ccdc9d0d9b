"""Runs from the outside: their record, overlap, ends, and going on after any kind of death."""

from __future__ import annotations

import contextlib
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

from tests.conftest import BIN, Colony, clean_environment


def until(found: Callable[[], Any], seconds: float = 90.0) -> Any:
    """What `found` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass in time")


def start(colony: Colony, steps: str, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a run of `w`; returns its engine's process and the run's id."""
    colony.workflow("w", steps)
    process = colony.start("workflow", "run", "w", *words)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def status(colony: Colony, run: str = "latest") -> dict[str, Any]:
    found: dict[str, Any] = colony.json("workflow", "status", run, "--json")
    return found


def statuses(colony: Colony, run: str = "latest") -> dict[str, str]:
    return {step["name"]: step["status"] for step in status(colony, run)["steps"]}


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid:
                found.append(int(name))
    return found


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a short one has ended by itself meanwhile
            os.kill(pid, signal.SIGKILL)


WAITING = """\
steps:
  - {name: first, run: "echo first >> ledger; echo 1"}
  - {name: slow, depends_on: [first], run: "echo slow >> ledger; while [ ! -e go ]; do sleep 0.05; done; echo done >> ledger; echo 2"}
  - {name: last, depends_on: [slow], run: "echo last >> ledger; echo {{steps.slow.output}}"}
"""


def ledger(colony: Colony) -> list[str]:
    return (colony.root / "ledger").read_text().split()


def in_slow(colony: Colony) -> bool:
    return (colony.root / "ledger").exists() and "slow" in ledger(colony)


def test_a_second_run_of_a_workflow_is_refused_with_75_and_names_the_first(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    second = colony("workflow", "run", "w", check=False)
    assert second.code == 75 and run in second.err and len(second.err.splitlines()) == 1
    (colony.root / "go").touch()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(os.listdir(colony.root / ".colony/runs")) == 1


def test_concurrency_lets_so_many_run(colony: Colony) -> None:
    process, _ = start(colony, "concurrency: 2\n" + WAITING)
    until(lambda: in_slow(colony))
    (colony.root / "go").touch()
    assert colony("workflow", "run", "w").code == 0
    process.communicate(timeout=120)


def test_a_killed_engine_loses_nothing_and_resume_repeats_nothing(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    kill(process.pid)
    process.communicate()
    found = status(colony, run)
    assert found["status"] == "interrupted"
    assert statuses(colony, run) == {"first": "completed", "slow": "running", "last": "pending"}
    (colony.root / "go").touch()
    until(lambda: statuses(colony, run)["slow"] == "completed")  # recorded by its own process
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "done", "last"]
    assert status(colony, run)["status"] == "completed"
    assert next(step for step in status(colony, run)["steps"] if step["name"] == "last")["output"] == 2


def test_resume_waits_for_a_command_that_outlived_its_engine(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    kill(process.pid)
    process.communicate()
    again = colony.start("workflow", "resume", run)
    time.sleep(0.5)
    assert again.poll() is None
    (colony.root / "go").touch()
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert ledger(colony) == ["first", "slow", "done", "last"]


def test_a_command_that_outlived_engine_and_supervisor_records_itself(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    workers = children(process.pid)
    assert workers
    kill(process.pid, *workers)
    process.communicate()
    assert statuses(colony, run)["slow"] == "running"
    (colony.root / "go").touch()
    until(lambda: statuses(colony, run)["slow"] == "completed")
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "done", "last"]


def test_a_killed_supervisor_alone_is_survived_within_the_run(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    kill(*children(process.pid))
    time.sleep(0.3)
    (colony.root / "go").touch()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert ledger(colony) == ["first", "slow", "done", "last"]


def test_a_supervisor_that_is_killed_while_it_has_nothing_to_do_is_replaced(colony: Colony) -> None:
    """Its pipe is closed then; what is written to it afterwards could come to any file that was opened since."""
    two = "".join(f'  - {{name: last-{n}, depends_on: [slow], run: "echo last-{n} >> ledger"}}\n' for n in "ab")
    process, run = start(colony, WAITING.partition("  - {name: last")[0] + '  - {name: early, run: "true"}\n' + two)
    until(lambda: in_slow(colony) and statuses(colony, run)["early"] == "completed")
    (idle,) = [pid for pid in children(process.pid) if not children(pid)]
    kill(idle)
    until(lambda: idle not in children(process.pid))
    (colony.root / "go").touch()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert sorted(ledger(colony)) == ["done", "first", "last-a", "last-b", "slow"]
    assert all(isinstance(each, dict) for each in colony.journal(f"runs/{run}/journal.jsonl"))


def everything(pid: int) -> list[int]:
    found = [pid]
    for child in children(pid):
        found += everything(child)
    return found


def test_when_all_dies_at_once_the_attempt_is_interrupted_and_made_again(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    kill(*everything(process.pid))
    process.communicate()
    assert status(colony, run)["status"] == "interrupted"
    assert statuses(colony, run)["slow"] == "pending"
    (colony.root / "go").touch()
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "slow", "done", "last"]
    journal = colony.journal(f"runs/{run}/journal.jsonl")
    assert [
        record["status"] for record in journal if record["type"] == "attempt_ended" and record["step"] == "slow"
    ] == [
        "interrupted",
        "completed",
    ]


def test_a_step_that_must_not_be_repeated_waits_for_a_person(colony: Colony) -> None:
    process, run = start(colony, WAITING.replace("{name: slow,", "{name: slow, idempotent: false,"))
    until(lambda: in_slow(colony))
    kill(*everything(process.pid))
    process.communicate()
    resumed = colony("workflow", "resume", run, check=False)
    assert resumed.code == 75 and "approve" in resumed.err
    assert status(colony, run)["status"] == "waiting" and statuses(colony, run)["slow"] == "waiting"
    colony("workflow", "approve", run, "slow", "--done", "--output", '{"n": 5}', "--by", "ada")
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "last"]
    assert next(step for step in status(colony, run)["steps"] if step["name"] == "last")["output"] == {"n": 5}


def test_approving_again_runs_the_doubtful_step_again(colony: Colony) -> None:
    process, run = start(colony, WAITING.replace("{name: slow,", "{name: slow, idempotent: false,"))
    until(lambda: in_slow(colony))
    kill(*everything(process.pid))
    process.communicate()
    (colony.root / "go").touch()
    assert colony("workflow", "resume", run, check=False).code == 75
    colony("workflow", "approve", run, "slow")
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "slow", "done", "last"]


def test_a_failed_run_resumes_at_the_failed_step(colony: Colony) -> None:
    colony.workflow(
        "w",
        'steps:\n  - {name: a, run: "echo a >> ledger"}\n  - {name: b, depends_on: [a], run: "echo b >> ledger; test -e fixed"}\n',
    )
    failed = colony("workflow", "run", "w", check=False)
    assert failed.code == 1 and "colony workflow resume" in failed.err
    (colony.root / "fixed").touch()
    assert colony("workflow", "resume").code == 0
    assert ledger(colony) == ["a", "b", "b"]


def test_resuming_a_completed_run_does_nothing_and_is_no_failure(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "echo a >> ledger"}\n')
    run = colony("workflow", "run", "w").out.strip()
    journal = (colony.root / f".colony/runs/{run}/journal.jsonl").read_bytes()
    for kept in (True, False):
        for words in ((), (run,), (run[:-1], "--detach", "-q")):
            if not kept:  # the history line beside the journal is a cache
                (colony.root / f".colony/runs/{run}/summary.json").unlink(missing_ok=True)
            again = colony("workflow", "resume", *words)
            assert (again.out, again.err) == (f"{run}\n", f"{run} is completed: nothing to do\n")
    assert ledger(colony) == ["a"]
    assert (colony.root / f".colony/runs/{run}/journal.jsonl").read_bytes() == journal
    assert colony("workflow", "resume", "r9", check=False).code == 1


def test_resuming_a_completed_run_needs_neither_engine_nor_parser(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "true"}\n')
    colony("workflow", "run", "w")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", BIN / "colony-workflow", "resume"],
        cwd=colony.root, capture_output=True, text=True, env=clean_environment(),
    )  # fmt: skip
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "colony_lib.store.runs" in names
    assert not names & {"argparse", "colony_lib.work.launch", "yaml", "socket"}


def test_ctrl_c_ends_the_children_and_leaves_a_run_that_can_go_on(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    below = everything(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert status(colony, run)["status"] == "interrupted" and statuses(colony, run)["slow"] == "pending"
    assert not [pid for pid in below if at_work(pid)]
    (colony.root / "go").touch()
    assert colony("workflow", "resume", run).code == 0
    assert ledger(colony) == ["first", "slow", "slow", "done", "last"]


def test_sigterm_exits_143(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143 and status(colony, run)["status"] == "interrupted"
    assert colony.lines("workflow", "history", "--json")[0]["status"] == "interrupted"


def at_work(pid: int) -> bool:
    """Whether the process is there, and not only waits for somebody to take notice of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_cancel_ends_a_live_run_and_all_it_started(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    below = everything(process.pid)[1:]
    assert colony("workflow", "cancel", run).code == 0
    process.communicate(timeout=120)
    assert process.returncode == 1
    assert status(colony, run)["status"] == "cancelled"
    assert statuses(colony, run) == {"first": "completed", "slow": "cancelled", "last": "cancelled"}
    assert not [pid for pid in below if at_work(pid)]
    assert colony("workflow", "cancel", run, check=False).code == 1


@pytest.mark.parametrize("moment", range(6))
def test_a_run_is_cancelled_also_when_its_worker_sees_the_wish_before_its_engine(colony: Colony, moment: int) -> None:
    os.mkfifo(colony.root / "endless")
    steps = 'steps:\n  - {name: slow, run: "echo slow >> ledger; read -r line < endless"}\n'
    process, run = start(colony, steps + '  - {name: last, depends_on: [slow], run: "echo last >> ledger"}\n')
    until(lambda: in_slow(colony))
    time.sleep(moment * 0.035)  # both look every fifth of a second
    assert colony("workflow", "cancel", run).code == 0
    process.communicate(timeout=120)
    assert process.returncode == 1 and status(colony, run)["status"] == "cancelled"
    assert statuses(colony, run) == {"slow": "cancelled", "last": "cancelled"} and ledger(colony) == ["slow"]


def test_cancel_ends_what_outlived_its_engine(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    workers = children(process.pid)
    commands = [child for worker in workers for child in children(worker)]
    kill(process.pid, *workers)
    process.communicate()
    assert colony("workflow", "cancel", run).code == 0
    assert status(colony, run)["status"] == "cancelled"
    assert not [pid for pid in commands if at_work(pid)]


def test_a_cancelled_run_can_be_resumed(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    colony("workflow", "cancel", run)
    process.communicate(timeout=120)
    (colony.root / "go").touch()
    assert colony("workflow", "resume", run).code == 0


def test_detach_returns_at_once_and_the_run_goes_on(colony: Colony) -> None:
    colony.workflow("w", WAITING)
    result = colony("workflow", "run", "w", "--detach")
    run = result.out.strip()
    until(lambda: in_slow(colony))
    assert status(colony, run)["status"] == "running"
    (colony.root / "go").touch()
    until(lambda: status(colony, run)["status"] == "completed")


def test_approval_holds_no_process_and_says_75(colony: Colony) -> None:
    colony.workflow(
        "w",
        'steps:\n  - {name: a, run: "echo 1"}\n  - {name: b, depends_on: [a], approval: true, run: "echo {{steps.a.output}}"}\n',
    )
    result = colony("workflow", "run", "w", check=False)
    run = result.out.strip()
    assert result.code == 75 and status(colony, run)["status"] == "waiting"
    assert not status(colony, run)["ended"] or status(colony, run)["status"] == "waiting"
    colony("workflow", "approve", run, "b", "--by", "ada")
    assert colony("workflow", "resume", run).code == 0
    assert statuses(colony, run) == {"a": "completed", "b": "completed"}


def test_reject_fails_the_run(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: b, approval: true, run: "touch ran"}\n')
    run = colony("workflow", "run", "w", check=False).out.strip()
    colony("workflow", "reject", run, "b", "--by", "ada")
    assert status(colony, run)["steps"][0]["error"] == "rejected by ada"
    assert not (colony.root / "ran").exists()


def test_run_step_does_one_step_as_the_engine_would(colony: Colony) -> None:
    colony.workflow(
        "w",
        'steps:\n  - {name: a, run: "echo 7"}\n  - {name: b, depends_on: [a], run: "test -e ok && echo {{steps.a.output}}"}\n'
        '  - {name: c, depends_on: [b], run: "echo c"}\n',
    )
    assert colony("workflow", "run", "w", check=False).code == 1
    refused = colony("run-step", "latest", "c", check=False)
    assert (refused.code == 1 and "waits for b" in refused.err) or statuses(colony)["c"] == "cancelled"
    assert colony("run-step", "latest", "b", check=False).code == 1
    (colony.root / "ok").touch()
    assert colony("run-step", "latest", "b").out == "7\n"
    assert colony("run-step", "latest", "b").out == "7\n"
    assert colony("workflow", "resume").code == 0
    assert colony("run-step", "latest", "nope", check=False).code == 1


def test_history_is_newest_first_and_names_the_slowest_step(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: quick, run: "true"}\n  - {name: slow, run: "sleep 0.2"}\n')
    ids = [colony("workflow", "run", "w").out.strip() for _ in range(3)]
    rows = colony.lines("workflow", "history", "w", "--json")
    assert [row["run_id"] for row in rows] == ids[::-1]
    assert {row["slowest_step"] for row in rows} == {"slow"}
    assert len(colony.lines("workflow", "history", "--limit", "2", "--json")) == 2
    assert colony("workflow", "history", "nope", check=False).code == 1


def test_runs_are_named_by_id_by_a_unique_start_and_by_latest(colony: Colony) -> None:
    assert colony("workflow", "status", check=False).code == 1
    colony.workflow("w", 'steps:\n  - {name: a, run: "true"}\n')
    first, second = (colony("workflow", "run", "w").out.strip() for _ in range(2))
    assert status(colony)["run_id"] == second
    assert status(colony, first[:-1])["run_id"] == first
    assert colony("workflow", "status", "r", check=False).code == 1
    unknown = colony("workflow", "status", first[:-2] + "zz", check=False)
    assert unknown.code == 1 and first in unknown.err


def test_status_exits_0_unless_asked_for_the_runs_own(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "false"}\n')
    colony("workflow", "run", "w", check=False)
    assert colony("workflow", "status").code == 0
    assert colony("workflow", "status", "--exit-status", check=False).code == 1
    assert "next: colony logs" in colony("workflow", "status").out


def test_every_shape_meets_its_schema(colony: Colony) -> None:
    import jsonschema

    schemas = Path(__file__).parent.parent.parent / "schemas"
    colony.workflow(
        "w", 'steps:\n  - {name: a, run: "echo 1"}\n  - {name: b, parallel: 2, depends_on: [a], run: "true"}\n'
    )
    colony("workflow", "run", "w", "--date", "2013-01-01")
    for name, value in (("run", status(colony)), ("history", colony.lines("workflow", "history", "--json")[0])):
        schema = json.loads((schemas / f"{name}.schema.json").read_text())
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
        assert set(schema["required"]) <= set(value)


def test_the_input_is_checked_against_the_workflows_schema(colony: Colony) -> None:
    colony.workflow(
        "w",
        "input: {type: object, required: [n], properties: {n: {type: integer}}}\nsteps:\n  - {name: a, run: 'echo {{input.n}}'}\n",
    )
    for given in ('{"n": "x"}', "{", "[]", "{}"):
        refused = colony("workflow", "run", "w", "--input", given, check=False)
        assert refused.code == 2 and len(refused.err.splitlines()) == 1
    assert colony("workflow", "run", "w", "--input", '{"n": 4}').code == 0
    assert status(colony)["steps"][0]["output"] == 4
    assert colony("workflow", "run", "w", "--input", "-", input='{"n": 5}').code == 0


def test_a_step_that_kills_its_own_processes_fails_and_does_not_go_on_for_ever(colony: Colony) -> None:
    # What the kernel's memory killer may do: the command's shell and its supervisor die, again and again.
    colony.workflow("w", 'steps:\n  - {name: a, run: "echo x >> ledger; kill -9 $PPID $$"}\n')
    result = colony("workflow", "run", "w", check=False)
    assert result.code == 1 and "killed 3 times" in result.err
    assert ledger(colony) == ["x", "x", "x"]


def test_a_run_that_waits_for_its_retry_holds_no_place_for_others(colony: Colony) -> None:
    colony.workflow(
        "w",
        """\
max_parallel: 1
steps:
  - {name: a, run: "[ -e b-ran ]", retry: {max_attempts: 20, backoff: fixed, delay: 100ms}}
  - {name: b, run: "touch b-ran"}
""",
    )
    assert colony("workflow", "run", "w").code == 0


def test_values_of_a_shared_step_list_stay_in_order_under_retries_and_kills_of_status_readers(colony: Colony) -> None:
    colony.workflow(
        "w", 'steps:\n  - {name: p, parallel: 12, run: "[ $COLONY_ATTEMPT = 2 ] && echo {{batch_id}}", retry: {max_attempts: 2, delay: 10ms}}\n'
    )
    process = colony.start("workflow", "run", "w")
    readers = [colony.start("workflow", "status", "--watch") for _ in range(2)]
    process.communicate(timeout=120)
    for reader in readers:
        reader.kill()
        reader.communicate()
    assert process.returncode == 0
    assert status(colony)["steps"][0]["output"] == list(range(12))


def test_a_handler_that_a_resumed_run_did_not_need_again_is_not_shown_as_pending(colony: Colony) -> None:
    colony.workflow(
        "w", 'steps:\n  - {name: a, run: "test -e fixed"}\nerror_handling:\n  - {step: mend, run: "touch fixed"}\n'
    )
    assert colony("workflow", "run", "w", check=False).code == 1
    assert statuses(colony) == {"a": "failed", "mend": "completed"}
    assert colony("workflow", "resume").code == 0
    assert statuses(colony) == {"a": "completed"}


def test_a_run_whose_locks_were_removed_holds_them_again_and_is_not_run_twice(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    shutil.rmtree(colony.root / ".colony/locks")
    until(lambda: len(list(colony.root.glob(".colony/locks/**/*.lock"))) >= 3)  # the workflow's, the engine's, the attempt's
    assert status(colony, run)["status"] == "running" and statuses(colony, run)["slow"] == "running"
    assert colony("workflow", "resume", run, check=False).code == 75
    assert colony("workflow", "run", "w", check=False).code == 75
    (colony.root / "go").touch()
    process.communicate(timeout=120)
    assert process.returncode == 0 and ledger(colony) == ["first", "slow", "done", "last"]


def test_an_engine_whose_lock_was_removed_and_taken_by_another_ends(colony: Colony) -> None:
    process, run = start(colony, WAITING)
    until(lambda: in_slow(colony))
    # All at once, as if the other engine had been started in the moment between.
    lock = colony.root / f".colony/locks/runs/{run}/alive.lock"
    with (lock.parent / "other").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        (lock.parent / "other").rename(lock)
        process.communicate(timeout=120)
    assert process.returncode == 130 and status(colony, run)["status"] == "interrupted"
