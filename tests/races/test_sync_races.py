"""Machines that sync at once, beside writers, and are shot: all come to the same, and nothing acknowledged is lost.

COLONY_TEST_LONG=1 makes the long form of each test: more machines, rounds and kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import files, locks
from colony_lib.store import documents, git, paths, statefiles, tasks
from tests.conftest import REPOSITORY, NoLock
from tests.machines import Machine, bare, check_whole, environment, machine, settle

LONG = bool(os.environ.get("COLONY_TEST_LONG"))


@pytest.fixture(autouse=True)
def _nobodys_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git has no identity and no configuration but the repository's own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path)


def below(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def shoot(process: subprocess.Popen[str], everything: bool) -> None:
    for pid in below(process.pid) if everything else [process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def start(each: Machine, *words: str) -> subprocess.Popen[str]:
    command = ["colony", "state", *(words or ("sync", "--lock-timeout", "60s"))]
    return subprocess.Popen(
        command, cwd=each.root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


class Ledger:
    """What was acknowledged: each machine's tasks, the last value of the field that it alone writes, and the last
    value of the field that all of them write."""

    def __init__(self, machines: list[Machine]) -> None:
        self.machines = machines
        self.titles: set[str] = set()
        self.last: dict[str, int] = {}
        self.number = 0
        self.anybody = 0

    def write(self, each: Machine) -> None:
        self.number += 1
        name = each.root.name
        each.add(f"{name}-{self.number}")
        self.titles.add(f"{name}-{self.number}")
        each.set("doc", **{name: self.number}, anybody=self.number)
        self.last[name] = self.anybody = self.number

    def check(self, remote: Path) -> None:
        settle(self.machines)
        check_whole(remote, self.machines)
        for each in self.machines[:1]:
            assert set(each.titles()) == self.titles
            assert each.document("doc") == {**self.last, "anybody": self.anybody}


def test_three_machines_that_sync_at_the_same_time_come_to_the_same(tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote) for name in "abc"]
    code = [each.code() for each in machines]
    ledger = Ledger(machines)
    for _ in range(10 if LONG else 2):
        for each in machines:
            ledger.write(each)
        for process in [start(each) for each in machines for _ in range(2)]:
            assert (process.communicate(timeout=120), process.returncode)[1] == 0
        ledger.check(remote)
    assert [each.code() for each in machines] == code


def test_machines_that_are_shot_in_their_syncs_lose_nothing_and_come_to_the_same(tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote) for name in ("abc" if LONG else "ab")]
    code = [each.code() for each in machines]
    ledger = Ledger(machines)
    chance = random.Random(2013)
    for each in machines:
        ledger.write(each)
        each.exchange()
    began = time.monotonic()
    start(machines[0]).wait()
    whole = time.monotonic() - began
    for _ in range(40 if LONG else 3):
        for each in machines:
            ledger.write(each)
        running = [start(each) for each in machines]
        for process in running:
            time.sleep(chance.uniform(0.1, 1.0) * whole)
            shoot(process, everything=chance.random() < 0.5)
            assert process.stderr is not None
            process.stderr.close()
        ledger.check(remote)
    assert [each.code() for each in machines] == code


def test_tasks_and_fields_that_are_written_during_syncs_are_all_there(tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote, dirty=False) for name in "ab"]
    count = 60 if LONG else 15
    program = f"""
import sys, time
from colony_lib.store import documents, memory, tasks
for number in range({count}):
    tasks.add([tasks.wanted({{"title": f"{{sys.argv[1]}}-{{number}}"}})])
    documents.change("doc", [(sys.argv[1], "=", number), ("n", "+=", 1)])
    memory.add("note", f"{{sys.argv[1]}} {{number}}")
    time.sleep(0.02)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, each.root.name], cwd=each.root, env=environment(PYTHONPATH=str(REPOSITORY)))
        for each in machines
    ]  # fmt: skip
    rounds = 0
    while any(writer.poll() is None for writer in writers):
        for each in machines:
            each.exchange()
        rounds += 1
    assert [writer.wait() for writer in writers] == [0, 0] and rounds >= 1
    settle(machines)
    check_whole(remote, machines)
    assert machines[0].titles() == sorted(f"{name}-{number}" for name in "ab" for number in range(count))
    document = machines[0].document("doc")
    assert (document["a"], document["b"]) == (count - 1, count - 1) and document["n"] >= count


# ---- every step may be the last


def in_a_child(act: Callable[[], Any]) -> int:
    """The status of a process of its own that does it: 0, or -9 when it shot itself."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def shot_at(step: int, after: bool, each: Machine) -> int:
    """A sync in a process of its own, shot before (or just after) its step of that number: a call of git, a file that
    is put in its place."""

    def act() -> None:
        count = 0

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def met(*words: Any, **settings: Any) -> Any:
                nonlocal count
                count += 1
                mine = count
                if mine == step and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                found = real(*words, **settings)
                if mine == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            return met

        git.run = dying(git.run)
        files.put = dying(files.put)
        files.write_bytes = dying(files.write_bytes)
        files.replacing.__exit__ = dying(files.replacing.__exit__)  # type: ignore[method-assign]
        locks.sign = dying(locks.sign)
        each.exchange()

    return in_a_child(act)


@pytest.mark.parametrize("after", [False, True])
def test_a_sync_that_is_shot_at_any_of_its_steps_is_finished_by_the_next(after: bool, tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote) for name in "ab"]
    ledger = Ledger(machines)
    code = [each.code() for each in machines]
    a, b = machines
    step, every = (1, 1) if LONG else (2 + 5 * after, 10)
    while True:
        for each in machines:
            ledger.write(each)
        b.exchange()
        died = shot_at(step, after, a)
        a.set("doc", a=ledger.number + 1)  # what is written between the kill and the next sync is later than all
        ledger.number += 1
        ledger.last["a"] = ledger.number
        ledger.check(remote)
        if died == 0:
            break
        assert died == -signal.SIGKILL
        step += every
    assert step > 20
    assert [each.code() for each in machines] == code


def test_what_a_shot_sync_had_brought_in_is_not_taken_for_a_write_of_its_own(tmp_path: Path, remote: Path) -> None:
    a, b = (machine(tmp_path, name, remote, dirty=False) for name in "ab")
    b.set("doc", n=0)
    settle([b, a])
    b.set("doc", n=1)
    b.exchange()
    b.set("doc", n=2)  # before a brings n=1 into its file, and is shot before it can say so

    def act() -> None:
        real = files.put

        def put(temporary: str, path: str) -> None:
            real(temporary, path)
            os.kill(os.getpid(), signal.SIGKILL)

        files.put = put
        a.exchange()

    assert in_a_child(act) == -signal.SIGKILL
    assert a.document("doc") == {"n": 1}
    settle([a, b])
    check_whole(remote, [a, b])
    assert a.document("doc") == {"n": 2}


@pytest.mark.parametrize("step", range(1, 80, 1) if LONG else [2, 21])
def test_the_first_sync_of_all_may_be_shot_at_any_step_too(step: int, tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote) for name in "ab"]
    ledger = Ledger(machines)
    code = [each.code() for each in machines]
    for each in machines:
        ledger.write(each)
    for each in machines:
        assert shot_at(step, False, each) in (0, -signal.SIGKILL)
    ledger.check(remote)
    assert [each.code() for each in machines] == code
    assert all("colony-state" in os.listdir(each.root / ".git" / "worktrees") for each in machines)


def test_a_loser_whose_sync_was_shot_is_told_by_the_next_one_and_once(tmp_path: Path, remote: Path) -> None:
    machines = [machine(tmp_path, name, remote, dirty=False) for name in "ab"]
    a, b = machines
    step = 1
    while True:
        task = a.add(f"t{step}")
        settle(machines)
        b.claim(task, "loader")
        b.exchange()
        a.claim(task, "worker")  # later by the clock of ids
        died = shot_at(step, False, a)
        a.exchange()
        texts = [message["text"] for message in a.lines("messages", "list", "worker", "--json")]
        assert len([text for text in texts if task in text]) == 1, (step, texts)
        if died == 0:
            break
        step += 2 if LONG else 14
    assert b.lines("messages", "list", "loader", "--json") == []


# ---- without the lock this is lost, which shows that the tests above can fail


@pytest.mark.parametrize("locked", [True, False])
def test_a_task_that_is_added_while_the_journal_is_replaced_stays_and_without_the_lock_is_lost(
    locked: bool, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (machine(tmp_path, name, remote, dirty=False) for name in "ab")
    b.add("from b")
    b.exchange()
    a.add("from a")
    adding = threading.Thread(target=lambda: tasks.add([tasks.wanted({"title": "meanwhile"})]))
    real = statefiles.journal
    calls: list[str] = []

    def met(file: str) -> bytes:
        found = real(file)
        calls.append(file)
        if calls.count("tasks.jsonl") == 3:  # once for the commit, once for the union, once before it takes its place
            adding.start()
            adding.join(timeout=1)
        return found

    monkeypatch.setattr(statefiles, "journal", met)
    if not locked:
        monkeypatch.setattr(statefiles.locks, "held", NoLock)
    a.exchange()
    adding.join()
    monkeypatch.undo()
    assert a.titles() == ["from a", "from b"] + ["meanwhile"] * locked


@pytest.mark.parametrize("locked", [True, False])
def test_a_field_that_is_set_while_the_document_is_replaced_stays_and_without_the_lock_is_lost(
    locked: bool, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (machine(tmp_path, name, remote, dirty=False) for name in "ab")
    b.set("doc", b=1)
    b.exchange()
    a.set("doc", a=1)
    setting = threading.Thread(target=lambda: documents.change("doc", [("meanwhile", "=", 1)]))
    real = files.put

    def met(temporary: str, path: str) -> None:
        setting.start()
        setting.join(timeout=1)
        real(temporary, path)

    monkeypatch.setattr(files, "put", met)
    if not locked:
        monkeypatch.setattr(statefiles.locks, "held", NoLock)
        monkeypatch.setattr(locks, "sign", lambda fd, note: None)
    a.exchange()
    setting.join()
    monkeypatch.undo()
    assert a.document("doc") == {"a": 1, "b": 1} | ({"meanwhile": 1} if locked else {})
    paths.use(None)
    assert json.loads((a.state / "doc.json").read_text())
