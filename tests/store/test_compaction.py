"""Compaction: the journal means the same before and after, beside writers, for a copy that did not compact, and after a kill."""

from __future__ import annotations

import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import files, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import compaction, journal, leases, memory, messages, paths, replica, taskfold, tasks
from tests.conftest import NoLock
from tests.store.test_tasks import add, busy_history, everything_of


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    (tmp_path / ".colony" / "state").mkdir(parents=True)
    (tmp_path / "colony.yml").write_text("name: c\nagents: []\n")
    paths.use(str(tmp_path))
    return tmp_path


def target(name: str = "tasks") -> compaction.Journal:
    return next(each for each in compaction.every() if each.name == name)


def lines() -> list[bytes]:
    return Path(paths.tasks()).read_bytes().splitlines(keepends=True)


def events() -> list[dict[str, Any]]:
    return journal.read(paths.tasks(), taskfold.check)


@pytest.mark.parametrize("seed", range(6))
def test_no_event_is_lost_and_nothing_else_is_seen(seed: int) -> None:
    chance = random.Random(seed)
    history = busy_history(seed, machines=3)
    shuffled = history + chance.choices(history, k=20)
    chance.shuffle(shuffled)
    before = everything_of(shuffled)
    known = events()
    told = compaction.compact(target())
    assert events() == known and tasks.everything() == before
    assert told["bytes"] == os.path.getsize(paths.tasks()) < told["bytes_before"] == sum(map(len, shuffled))
    assert told["lines"] == len(lines()) < told["lines_before"] == len(shuffled)
    again = compaction.compact(target())
    assert (again["bytes"], again["lines"]) == (told["bytes"], told["lines"]) == (again["bytes_before"], again["lines_before"])


@pytest.mark.parametrize("seed", range(4))
def test_a_union_with_a_copy_that_did_not_compact_or_went_on_means_the_same(seed: int) -> None:
    history = busy_history(seed, machines=2)
    part = history[: len(history) // 2]
    whole = everything_of(history)
    everything_of(part)
    compaction.compact(target())
    packed = lines()
    for union in (packed + history, history + packed, packed + history[len(part) :]):
        assert everything_of(union) == whole
        compaction.compact(target())
        assert tasks.everything() == whole


def test_a_finished_task_is_one_line_that_jq_can_read_and_an_open_one_stays_as_it_is() -> None:
    done = add("fetch", agent="a1")
    add("load", "fetch")
    tasks.claim("a1")
    tasks.finish("fetch", "completed", {"rows": 3})
    compaction.compact(target())
    first, second = map(json.loads, lines())
    assert (first["type"], first["task"], [each["type"] for each in first["then"]]) == ("add", done, ["claim", "finish"])
    assert second["title"] == "load" and "then" not in second
    assert first["then"][1]["result"] == {"rows": 3} and first["then"][0]["id"] and first["then"][0]["clock"] == 3
    tasks.update("fetch", "ready")
    compaction.compact(target())
    assert [json.loads(line)["type"] for line in lines()] == ["add", "add", "update"]
    assert tasks.find(tasks.load(), done)["status"] == "open"


def test_what_nobody_can_read_is_kept_as_it_is() -> None:
    add("fetch")
    tasks.finish("fetch", "completed")
    strange = [b"<<<<<<< HEAD\n", b'{"v":9,"id":"x","clock":1}\n', b'{"id":7}\n', b"\xff\xfe\n", b"[1]\n"]
    Path(paths.tasks()).write_bytes(b"".join([*strange[:3], *lines(), *strange[3:], b"\n", b'{"torn']))
    compaction.compact(target())
    assert lines()[:5] == strange and lines()[-1] == b'{"torn'
    problems: list[Any] = []
    assert [task["title"] for task in tasks.everything(problems)] == ["fetch"] and len(problems) == 5
    add("load")
    assert [task["title"] for task in tasks.everything()] == ["fetch", "load"]


def test_a_damaged_then_is_an_unreadable_line() -> None:
    add("fetch")
    tasks.finish("fetch", "completed")
    compaction.compact(target())
    good = json.loads(lines()[0])
    for damage in ([1], {}, [{}], [{**good["then"][0], "status": "odd"}], [{**good["then"][0], "id": 7}]):
        Path(paths.tasks()).write_text(json.dumps({**good, "then": damage}) + "\n")
        problems: list[Any] = []
        assert tasks.everything(problems) == [] and len(problems) == 1
        compaction.compact(target())
        assert json.loads(lines()[0])["then"] == damage


def test_a_line_does_not_grow_beyond_what_a_line_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LINE_LIMIT", 2000)
    add("fetch")
    for number in range(30):
        tasks.finish("fetch", "failed", "x" * 300 + str(number))
        tasks.update("fetch", "ready")
    tasks.finish("fetch", "completed")
    known = events()
    assert compaction.compact(target())["lines"] < 20
    assert events() == known and max(map(len, lines())) < 2100


def test_memory_and_messages_lose_their_repeats_only() -> None:
    for text in ("a", "b", "c"):
        memory.add("note", text)
        messages.send("all", text)
    before = (memory.everything(), messages.everything())
    for name, path in (("memory", paths.memory()), ("messages", paths.messages())):
        data = Path(path).read_bytes()
        Path(path).write_bytes(data + data)
        assert compaction.compact(target(name)) == {
            "journal": name, "bytes": len(data), "bytes_before": 2 * len(data), "lines": 3, "lines_before": 6,
        }  # fmt: skip
        assert Path(path).read_bytes() == data
    assert (memory.everything(), messages.everything()) == before


def test_a_dry_run_and_a_journal_that_is_not_there_change_nothing() -> None:
    assert compaction.compact(target())["bytes_before"] == 0 and not Path(paths.tasks()).exists()
    add("fetch")
    tasks.finish("fetch", "completed")
    before = lines()
    told = compaction.compact(target(), dry_run=True)
    assert lines() == before and told["lines"] == 1 and told["bytes"] < told["bytes_before"]


def appending_meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do `act` between the reading of the journal and its replacement."""
    real = compaction._read

    def read(*words: Any) -> Any:
        found = real(*words)
        act()
        return found

    monkeypatch.setattr(compaction, "_read", read)


def test_what_is_appended_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")
    tasks.finish("fetch", "completed")
    appending_meanwhile(monkeypatch, lambda: (add("load"), tasks.claim("a1")))
    compaction.compact(target())
    assert [(task["title"], task["status"]) for task in tasks.everything()] == [("fetch", "completed"), ("load", "in_progress")]


def test_without_the_lock_what_is_appended_at_the_last_moment_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is what keeps it: a writer that comes between the look at the end and the rename must wait."""
    outcomes = {}
    for locked in (True, False):
        for title in ("fetch", "clean"):
            add(title)
            tasks.finish(title, "completed")
        finish = files.replacing.finish
        late: list[threading.Thread] = []

        def slowly(self: Any, finish: Any = finish, late: Any = late, locked: bool = locked) -> None:
            if Path(self.path).name == "tasks.jsonl" and not late:
                late.append(threading.Thread(target=add, args=(f"late {locked}",)))
                late[0].start()
                late[0].join(0.5)
            finish(self)

        monkeypatch.setattr(files.replacing, "finish", slowly)
        if not locked:
            monkeypatch.setattr(compaction.locks, "held", NoLock)
        compaction.compact(target())
        monkeypatch.undo()
        late[0].join()
        outcomes[locked] = any(task["title"] == f"late {locked}" for task in tasks.everything())
    assert outcomes == {True: True, False: False}


def test_a_journal_that_others_replace_meanwhile_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")
    tasks.finish("fetch", "completed")
    merged = [*lines(), *lines()]
    appending_meanwhile(monkeypatch, lambda: files.write_bytes(paths.tasks(), b"".join(merged)))
    with pytest.raises(ColonyError, match="again and again"):
        compaction.compact(target())
    assert lines() == merged and not [name for name in os.listdir(Path(paths.tasks()).parent) if name.endswith(".tmp")]


def test_a_full_disk_leaves_the_journal_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")
    tasks.finish("fetch", "completed")
    before = lines()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ColonyError, match="No space left"):
        compaction.compact(target())
    monkeypatch.undo()
    assert lines() == before and os.listdir(Path(paths.tasks()).parent) == ["tasks.jsonl"]


def test_a_very_long_list_of_finished_tasks_is_compacted_once_and_then_when_it_has_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "VERY_LONG", 4000)
    add("open")
    assert compaction.tasks_if_due() is None
    for number in range(15):
        add(f"t{number}")
        tasks.finish(f"t{number}", "completed")
    told = compaction.tasks_if_due()
    assert told and told["lines"] == 16
    add("one more")
    assert compaction.tasks_if_due() is None
    while os.path.getsize(paths.tasks()) < 2 * told["bytes"]:
        name = add("again")
        tasks.finish(name, "completed")
    assert compaction.tasks_if_due()


def test_dead_leases_are_cleared_away_and_live_or_claimed_ones_stay(root: Path) -> None:
    folder = root / ".colony/locks/leases"
    add("load")
    add("clean")
    with leases.new() as lease:
        tasks.claim("a1", "load", lease=lease)
        (folder / "dead.lock").touch()
        (folder / "claimed.lock").touch()
        tasks.claim("a2", "clean", lease={"lock": "leases/claimed", "copy": replica.name()})
        assert compaction.remove_dead_leases() == 1
        assert sorted(path.stem for path in folder.iterdir()) == sorted(["claimed", lease["lock"].removeprefix("leases/")])


def test_a_lease_that_is_cleared_away_as_it_begins_gets_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real, met = locks.try_hold, []

    def cleared(path: str, note: str = "") -> int | None:
        fd = real(path, note)
        if not met:
            met.append(path)
            os.unlink(path)
        return fd

    monkeypatch.setattr(locks, "try_hold", cleared)
    with leases.new() as lease:
        assert not leases.is_lost(lease) and paths.lease(lease["lock"]) != met[0]
