"""Journals of events: what a writer need not read, and what it then must not miss."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import jsonl
from colony_lib.store import journal, memory, messages, paths, tasks


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    (tmp_path / ".colony" / "state").mkdir(parents=True)
    (tmp_path / "colony.yml").write_text("name: c\nagents: []\n")
    paths.use(str(tmp_path))
    return tmp_path


def clocks(path: str) -> list[int]:
    return [json.loads(line)["clock"] for line in Path(path).read_bytes().split(b"\n") if line.startswith(b"{")]


WRITES = {
    "memory": (lambda: memory.add("note", "x"), paths.memory),
    "messages": (lambda: messages.send("all", "x"), paths.messages),
    "tasks": (lambda: tasks.add([tasks.wanted({"title": "x"})]), paths.tasks),
}


@pytest.mark.parametrize("kind", WRITES)
def test_who_adds_to_a_journal_that_only_we_have_added_to_reads_nothing_of_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, path = WRITES[kind]
    write()

    def unread(*_: Any, **__: Any) -> Any:
        raise AssertionError("the journal was read")

    monkeypatch.setattr(journal, "read", unread)
    for _ in range(5):
        write()
    assert clocks(path()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", WRITES)
def test_what_anybody_else_did_to_the_journal_is_read_first(kind: str) -> None:
    write, of = WRITES[kind]
    write()
    path = Path(of())
    later = {**json.loads(path.read_bytes()), "id": "another", "clock": 40}
    with open(path, "a") as file:
        file.write(json.dumps(later) + "\n")  # another machine's event, by a hand-made merge
    write()
    assert clocks(of())[-1] == 41
    state = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"clock": 40', b'"clock": 70'))  # of the same size
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    write()
    assert clocks(of())[-1] == 71
    path.rename(path.with_suffix(".old"))
    path.write_bytes(path.with_suffix(".old").read_bytes() + b"no event\n")
    write()
    assert clocks(of())[-1] == 72
    path.unlink()
    write()
    assert clocks(of()) == [1]


@pytest.mark.parametrize(
    "torn",
    [b'{"v":1,"id":"torn', b'{"v":1,"id":"x","clock":9,"ts":"2026-01-01T00:00:00.000Z","type":"note","text":"whole"}'],
)
def test_after_a_writer_that_died_half_way_the_next_one_looks(torn: bytes) -> None:
    memory.add("note", "first")
    with open(paths.memory(), "ab") as file:
        file.write(torn)
    memory.add("note", "second")
    assert clocks(paths.memory()) == ([1, 2] if torn.endswith(b"torn") else [1, 9, 10])
    assert [each["text"] for each in memory.everything()][-1] == "second"


def test_a_writer_that_died_before_it_left_its_trail_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory.add("note", "first")
    monkeypatch.setattr(journal.Trail, "leave", lambda *_: None)
    memory.add("note", "second")
    monkeypatch.undo()
    memory.add("note", "third")
    memory.add("note", "fourth")
    assert clocks(paths.memory()) == [1, 2, 3, 4]


@pytest.mark.parametrize("left", [b"", b"process 4711", b"a b c d e f", b"x 1 2 3 4", b"x " + b"9" * 300, b"\xff"])
def test_whatever_stands_in_the_lock_file_the_clock_goes_on(left: bytes) -> None:
    memory.add("note", "first")
    Path(paths.lock("memory")).write_bytes(left)
    memory.add("note", "second")
    assert clocks(paths.memory()) == [1, 2]


def test_the_events_of_a_piece_are_taken_only_as_writers_add_them() -> None:
    memory.add("note", "a")
    start = os.path.getsize(paths.memory())
    for text in "bc":
        memory.add("note", text)
    end = os.path.getsize(paths.memory())
    assert [event["text"] for event in journal.added(paths.memory(), start, end, memory.check, 1) or []] == ["b", "c"]
    assert journal.added(paths.memory(), start, end, memory.check, 2) is None  # not later than what is known
    assert journal.added(paths.memory(), start, end - 1, memory.check, 1) is None  # half a line
    assert journal.added(paths.memory(), start, end + 9, memory.check, 1) is None  # more than there is
    jsonl.append(paths.memory(), [{"v": 9, "id": "odd"}], lock=paths.lock("memory"))
    assert journal.added(paths.memory(), start, os.path.getsize(paths.memory()), memory.check, 1) is None
    assert journal.added(paths.memory(), start, start, memory.check, 1) == []
