"""The index of a long task list: it answers what the journal says, whatever becomes of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import journal, leases, paths, taskfold, taskindex, tasks
from tests.store import test_tasks
from tests.store.test_tasks import add, busy_history, something


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".colony" / "state").mkdir(parents=True)
    paths.use(str(tmp_path))
    monkeypatch.setattr(tasks, "LONG", 1)  # every list is long
    return tmp_path


def index_file() -> Path:
    return Path(paths.task_index())


def opened() -> taskindex.Index | None:
    return taskindex._open(tasks._is_lost, paths.lock("tasks"))


def ready() -> list[dict[str, Any]]:
    return tasks.rows(taskfold.Chosen(["ready"], urgent=True))


def of_index(question: Any) -> Any:
    """The answer of the index itself, which must be there and count."""
    index = opened()
    assert index is not None
    try:
        return question(index)
    finally:
        index.close()


def questions(board: taskfold.Tasks) -> list[Any]:
    """Everything that can be asked of the tasks."""
    Chosen = taskfold.Chosen
    everyone = [json.loads(text) for text in board.texts(Chosen())]
    names = [task["id"] for task in everyone]
    agents = (("m0", None), ("m1",), ("m0", "m1", None))
    choices = [
        Chosen(statuses, agent, urgent=urgent, count=count)
        for statuses in (None, ["ready"], ["blocked", "in_progress"], ["completed", "failed", "cancelled"])
        for agent in (None, "m0", "nobody")
        for urgent in (False, True)
        for count in (None, 2)
    ]
    tasks_of = [board[name] for name in names]
    return [
        everyone,
        tasks_of,
        [taskfold.shown(board, task) for task in tasks_of],
        [list(itertools.islice(board.texts(chosen), chosen.count)) for chosen in choices],
        [
            [{key: row[key] or None for key in taskfold.ROW} for row in itertools.islice(board.rows(chosen), chosen.count)]
            for chosen in choices
        ],
        [(board.free(who) or {}).get("id") for who in agents],
        [[task["id"] for task in board.titled(title)] for title in ("fetch", "clean", "load", "same", "none")],
        [[other["id"] for other in board.dependants(task)] for task in tasks_of],
        [name in board for name in [*names, "none", ""]],
        [board.blocks(name) for name in sorted({b for task in everyone for b in task["blockers"]})],
        [sorted(task["id"] for task in board.starting(name)) for name in names],
        board.tally(),
        list(board.hints()),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_after_each_of_many_random_changes_the_index_says_what_the_journal_says(seed: int) -> None:
    chance = random.Random(seed)
    changes = 0
    add("fetch")
    tasks.everything()  # makes the index; from now on every change keeps it
    for _ in range(60):
        try:
            something(chance, chance.randrange(2))
            changes += 1
        except ColonyError:
            continue
        assert of_index(questions) == questions(tasks.load())
    assert changes > 20


@pytest.mark.parametrize("seed", range(4))
def test_an_index_made_of_a_merged_journal_says_what_the_journal_says(seed: int) -> None:
    lines = busy_history(seed, machines=3)
    random.Random(seed).shuffle(lines)
    Path(paths.tasks()).write_bytes(b"<<<<<<< HEAD\n" + b"".join([*lines, *lines[:7]]) + b'{"torn')
    problems: list[Any] = []
    expected: list[Any] = []
    assert tasks.asked(questions, problems) == questions(tasks.load(expected))
    assert problems == expected and len(problems) == 1
    assert of_index(questions) == questions(tasks.load())
    tasks.add([tasks.wanted({"title": "after"})])
    assert tasks.asked(questions) == questions(tasks.load())
    assert of_index(questions) == questions(tasks.load())


def test_what_has_been_done_to_the_journal_by_others_is_seen() -> None:
    for title in ("fetch", "clean", "load"):
        add(title)
    whole = Path(paths.tasks()).read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in (
        b"".join(lines[:2]),  # shorter
        whole.replace(b'"title":"clean"', b'"title":"clear"'),  # of the same size
        whole + whole,
        whole + b"no event\n",
        b"",
        whole,
    ):
        Path(paths.tasks()).write_bytes(damaged)
        problems: list[Any] = []
        assert [task["title"] for task in tasks.everything(problems)] == [
            task["title"] for task in tasks.load().values()
        ]
        assert len(problems) == damaged.count(b"no event")
    assert [task["title"] for task in tasks.everything()] == ["fetch", "clean", "load"]


def test_an_index_that_is_damaged_or_gone_or_of_another_version_or_boot_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")
    expected = tasks.asked(questions)
    size = index_file().stat().st_size
    for number, damage in enumerate((b"", b"garbage", os.urandom(size), index_file().read_bytes()[: size // 2])):
        index_file().write_bytes(damage)
        assert tasks.asked(questions) == expected
        index_file().write_bytes(damage)
        add(f"another {number}")
        expected = questions(tasks.load())
        assert tasks.asked(questions) == expected
    index_file().unlink()
    assert tasks.asked(questions) == expected and index_file().exists()
    monkeypatch.setattr(taskindex, "VERSION", 2)
    assert opened() is None
    assert tasks.asked(questions) == expected and of_index(questions) == expected
    monkeypatch.setattr(taskindex, "_boot", lambda: "another boot")
    assert opened() is None
    assert tasks.asked(questions) == expected and of_index(questions) == expected


def test_damage_met_in_the_middle_of_a_change_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")

    def broken(*_: object) -> None:
        raise taskindex.Broken("the disk image is malformed")

    monkeypatch.setattr(taskindex.Index, "_store", broken)
    add("clean")
    assert tasks.claim("a1")["title"] == "fetch"
    monkeypatch.undo()
    monkeypatch.setattr(tasks, "LONG", 1)
    paths_of = [task["title"] for task in tasks.everything()]
    assert paths_of == ["fetch", "clean"] and tasks.everything()[0]["status"] == "in_progress"
    assert of_index(questions) == questions(tasks.load())


def test_an_index_that_cannot_be_kept_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")

    def full(*_: object) -> None:
        raise taskindex.Broken("database or disk is full")

    tasks.everything()
    monkeypatch.setattr(taskindex.Index, "keep", full)
    assert tasks.claim("a1")["title"] == "fetch"
    assert not index_file().exists()
    assert [task["status"] for task in tasks.everything()] == ["in_progress"]


def test_a_writer_that_died_between_the_journal_and_the_index_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    add("fetch")
    tasks.everything()
    for dying in (taskindex.Index, journal.Trail):  # after the journal, and before that
        monkeypatch.setattr(dying, {taskindex.Index: "keep", journal.Trail: "leave"}[dying], lambda *_: None)
        tasks.finish("fetch", "failed", dying.__name__)
        monkeypatch.undo()
        monkeypatch.setattr(tasks, "LONG", 1)
        assert [task["result"] for task in tasks.everything()] == [dying.__name__]
        assert of_index(questions) == questions(tasks.load())
        tasks.update("fetch", "ready")


def test_what_sqlite_left_of_an_old_index_never_meets_a_new_one(root: Path) -> None:
    add("fetch")
    tasks.everything()
    old = index_file().read_bytes()
    add("clean")
    leftover = Path(str(index_file()) + "-journal")
    leftover.write_bytes(old)
    index_file().write_bytes(b"garbage")
    add("load", "fetch")
    assert not leftover.exists()
    assert of_index(questions) == questions(tasks.load())


def test_where_no_index_can_be_made_the_journal_answers(root: Path) -> None:
    (root / ".colony" / "cache").write_text("not a folder")
    add("fetch")
    assert tasks.claim("a1")["title"] == "fetch"
    assert [task["status"] for task in tasks.everything()] == ["in_progress"]


def test_a_secret_is_no_more_in_the_index_than_in_the_journal() -> None:
    from colony_lib.base import files

    add("first")
    files.set_redactor(lambda text: text.replace("hunter2-hunter2", "[PASSWORD]"))
    task = tasks.add([tasks.wanted({"title": "log in with hunter2-hunter2"})])[0][0]
    files.set_redactor(None)
    assert task["title"] == "log in with [PASSWORD]"
    assert b"hunter2" not in index_file().read_bytes() and b"hunter2" not in Path(paths.tasks()).read_bytes()
    assert of_index(questions) == questions(tasks.load())


def test_the_index_is_one_that_sqlite_finds_nothing_wrong_with() -> None:
    chance = random.Random(5)
    for _ in range(40):
        try:
            something(chance, 0)
        except ColonyError:
            continue
    connection = sqlite3.connect(index_file())
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_abandoned_tasks_are_free_in_the_order_of_their_urgency() -> None:
    for title, priority in (("a", 2), ("b", 1), ("c", 2), ("d", 1)):
        add(title, priority=priority)
    with leases.new() as lease:
        for title in ("a", "d"):
            tasks.claim("dead", title, lease=lease)
        assert [task["title"] for task in ready()] == ["b", "c"]
    assert [task["title"] for task in ready()] == ["b", "d", "a", "c"]
    assert of_index(questions) == questions(tasks.load())
    assert [tasks.claim("alive")["title"] for _ in range(4)] == ["b", "d", "a", "c"]


def test_the_verbs_that_the_task_tests_try_do_the_same_with_an_index(tmp_path: Path) -> None:
    """Each of those tests once more, where every list is long."""
    done = 0
    for name, test in vars(test_tasks).items():
        if name.startswith("test_") and not hasattr(test, "pytestmark") and test.__code__.co_argcount == 0:
            home = tmp_path / name[:60]
            (home / ".colony" / "state").mkdir(parents=True)
            paths.use(str(home))
            test()
            done += 1
    assert done > 25


def test_tasks_that_block_each_other_in_long_rows_are_counted_right() -> None:
    rows = list(itertools.pairwise(f"t{n}" for n in range(30)))
    add("t0")
    for blocker, title in rows:
        add(title, blocker)
    for blocker, _ in rows:
        assert [task["title"] for task in ready()] == [blocker]
        tasks.finish(blocker, "completed")
    tasks.update("t3", "ready")
    assert [task["title"] for task in ready()] == ["t3", "t29"] and tasks.load().tally()["ready"] == 2
    assert of_index(questions) == questions(tasks.load())


@pytest.mark.parametrize("seed", range(8))
def test_what_was_added_since_the_index_was_asked_is_taken_in_when_it_is_asked_again(seed: int) -> None:
    chance = random.Random(100 + seed)
    add("fetch")
    tasks.everything()
    taken_in = 0
    for _ in range(25):
        size = index_file().stat().st_mtime_ns
        for _ in range(chance.randrange(1, 6)):
            tasks.add([tasks.wanted({"title": chance.choice(["fetch", "clean", "load"]), "priority": chance.randrange(4)})])
        assert index_file().stat().st_mtime_ns == size  # an addition alone leaves it alone
        inode = index_file().stat().st_ino
        with contextlib.suppress(ColonyError):
            something(chance, 0)
        assert tasks.asked(questions) == questions(tasks.load())
        taken_in += index_file().stat().st_ino == inode
    assert taken_in == 25  # it was never made anew
