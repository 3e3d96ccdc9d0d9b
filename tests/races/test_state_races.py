"""Many processes at one state, and processes that are shot: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import documents, journal, memory, messages, paths, tasks
from tests.conftest import REPOSITORY, NoLock, clean_environment


def start(root: Path, program: str, *words: str) -> subprocess.Popen[str]:
    """A process of its own that runs the program text with the state's modules at hand."""
    prelude = "import sys\nfrom colony_lib.store import documents, memory, messages, tasks\nme = sys.argv[1]\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + program, *words],
        cwd=root,
        env=clean_environment(PYTHONPATH=str(REPOSITORY)),
        stdout=subprocess.PIPE,
        text=True,
    )


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    found = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return found


@pytest.fixture(autouse=True)
def here(colony: Any) -> None:
    paths.use(str(colony.root))


ADD_EIGHT = """
for number in range(8):
    spec = tasks.wanted({"title": f"{me}-{number}", "blockers": [f"{me}-{number - 1}"] if number else []})
    print(tasks.add([spec])[0][0]["id"])
"""


def test_twelve_processes_that_add_eight_tasks_each_add_ninety_six(colony: Any) -> None:
    printed = outputs([start(colony.root, ADD_EIGHT, f"w{i}") for i in range(12)])
    ids = "".join(printed).split()
    problems: list[Any] = []
    found = tasks.everything(problems)
    assert problems == [] and len(ids) == len(set(ids)) == 96
    assert sorted(task["id"] for task in found) == sorted(ids)
    assert [task["status"] for task in found].count("ready") == 12
    clocks = [event["clock"] for event in colony.journal("state/tasks.jsonl")]
    assert clocks == list(range(1, 97))  # each had seen all before it


def test_twenty_claimants_on_five_tasks_take_each_of_them_once(colony: Any) -> None:
    ids = [tasks.add([tasks.wanted({"title": f"task {i}"})])[0][0]["id"] for i in range(5)]
    claims = [colony.start("state", "task", "claim", "--agent", f"a{i}") for i in range(20)]
    results = [(*claim.communicate(timeout=120), claim.returncode) for claim in claims]
    assert sorted(code for _, _, code in results) == [0] * 5 + [1] * 15
    assert sorted(out.strip() for out, _, code in results if code == 0) == sorted(ids)
    owners = {task["id"]: task["owner"] for task in tasks.everything()}
    for number, (out, err, code) in enumerate(results):
        if code == 0:
            assert owners[out.strip()] == f"a{number}"
        else:
            assert err == f"colony state: no task is ready for 'a{number}'; 5 in_progress\n"


def test_claimants_that_work_off_a_chain_do_every_task_once(colony: Any) -> None:
    for i in range(12):
        tasks.add([tasks.wanted({"title": f"t{i}", "blockers": [f"t{i - 4}"] if i >= 4 else []})])
    worker = """
from colony_lib.base.errors import ColonyError
import time
while any(task["status"] != "completed" for task in tasks.everything()):
    try:
        task = tasks.claim(me)
    except ColonyError:
        time.sleep(0.005)
        continue
    tasks.finish(task["id"], "completed", me)
    print(task["id"])
"""
    done = "".join(outputs([start(colony.root, worker, f"a{i}") for i in range(6)])).split()
    assert sorted(done) == sorted(task["id"] for task in tasks.everything())


def test_counters_memory_and_messages_of_ten_processes_are_all_there(colony: Any) -> None:
    program = """
for number in range(6):
    documents.change("count", [("n", "+=", 1), (f"by.{me}", "+=", 1)])
    memory.add("note", f"{me} {number}")
    messages.send("all", f"{me} {number} 🚨")
"""
    outputs([start(colony.root, program, f"w{i}") for i in range(10)])
    assert documents.get("count") == {"n": 60, "by": {f"w{i}": 6 for i in range(10)}}
    wanted = sorted(f"w{i} {number}" for i in range(10) for number in range(6))
    assert sorted(m["text"] for m in memory.everything()) == wanted
    sent = messages.everything()
    assert sorted(m["text"] for m in sent) == [f"{text} 🚨" for text in wanted]
    for i in range(10):  # each sender's messages in the order it sent them
        mine = [m["text"] for m in sent if m["text"].startswith(f"w{i} ")]
        assert mine == [f"w{i} {number} 🚨" for number in range(6)]


def test_one_of_many_gets_the_gate(colony: Any) -> None:
    gates = [colony.start("state", "set", "gate", f"owner=w{i}", "--if", "owner=null") for i in range(8)]
    codes = {}
    for number, gate in enumerate(gates):
        gate.communicate(timeout=120)
        codes[f"w{number}"] = gate.returncode
    assert sorted(codes.values()) == [0] + [1] * 7
    assert codes[documents.get("gate", "owner")] == 0


def test_a_reader_beside_writers_never_meets_half_of_anything(colony: Any) -> None:
    documents.change("count", [("n", "=", 0)])
    program = 'for number in range(25):\n    documents.change("count", [("n", "+=", 1)])\n    memory.add("note", "x" * 3000)\n'
    writers = [start(colony.root, program, str(i)) for i in range(3)]
    seen = []
    while any(writer.poll() is None for writer in writers):
        problems: list[Any] = []
        seen.append((documents.get("count", "n"), len(memory.everything(problems))))
        assert problems == []
    outputs(writers)
    assert seen == sorted(seen) and documents.get("count", "n") == 75 and len(memory.everything()) == 75


# ---- without the lock these are lost, which shows that the tests above can fail


def meeting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Let two callers of the function wait for each other between reading and writing, if both get that far."""
    real = getattr(module, name)
    barrier = threading.Barrier(2)

    def met(*args: Any, **settings: Any) -> Any:
        found = real(*args, **settings)
        try:
            barrier.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            pass  # the other one waits for the lock
        return found

    monkeypatch.setattr(module, name, met)


def both(act: Any) -> list[Any]:
    """What two threads that do the same got."""
    found: list[Any] = []

    def run(number: int) -> None:
        try:
            found.append(act(number))
        except ColonyError as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("locked", [True, False])
def test_two_claims_at_one_moment_give_one_task_to_one_and_without_the_lock_to_both(
    locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.add([tasks.wanted({"title": "load"})])
    meeting(monkeypatch, journal, "read")
    if not locked:
        monkeypatch.setattr(locks, "held", NoLock)
    got = both(lambda number: tasks.claim(f"a{number}")["id"])
    assert sum(isinstance(one, str) for one in got) == (1 if locked else 2)


@pytest.mark.parametrize("locked", [True, False])
def test_two_additions_at_one_moment_both_count_and_without_the_lock_one_is_lost(
    locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colony_lib.base import files

    meeting(monkeypatch, files, "read_json")
    if not locked:
        monkeypatch.setattr(locks, "held", NoLock)
    both(lambda number: documents.change("count", [("n", "+=", 1)]))
    monkeypatch.undo()
    assert documents.get("count", "n") == (2 if locked else 1)


# ---- kill -9


def shots(root: Path, program: str, count: int) -> list[list[str]]:
    """The lines that each of `count` writers had printed before it was shot, at moments spread over its writes."""
    printed = []
    for number in range(count):
        process = start(root, program, f"w{number}")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + number % 3)]
        time.sleep(number % 7 * 0.0006)
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        printed.append([line.rstrip("\n") for line in lines if line.endswith("\n")])
    return printed


def test_every_task_that_was_acknowledged_before_a_kill_is_there(colony: Any) -> None:
    program = """
for number in range(10_000):
    print(tasks.add([tasks.wanted({"title": f"{me}-{number}", "description": "x" * 6000})])[0][0]["id"], flush=True)
"""
    acknowledged = [line for lines in shots(colony.root, program, 14) for line in lines]
    assert len(acknowledged) >= 14
    began = time.monotonic()
    colony("state", "task", "add", "after")
    assert time.monotonic() - began < 10
    problems: list[Any] = []
    found = tasks.everything(problems)
    assert problems == [] and found[-1]["title"] == "after"
    assert set(acknowledged) <= {task["id"] for task in found}
    assert len(found) <= len(acknowledged) + 14 + 1  # each may have left one that it could not tell of
    for line in Path(paths.tasks()).read_bytes().split(b"\n")[:-1]:
        json.loads(line)


def test_every_change_of_a_document_that_was_acknowledged_before_a_kill_is_there(colony: Any) -> None:
    program = """
for number in range(10_000):
    now = documents.change("count", [("n", "+=", 1), (me, "=", "x" * 20_000)])
    print(now["n"], flush=True)
"""
    for lines in shots(colony.root, program, 14):
        assert documents.get("count", "n") >= int(lines[-1])
    assert colony.json("state", "set", "count", "n+=1", "--json")["n"] == documents.get("count", "n")
    assert tasks.everything() == []
