"""Journals: whole lines or none, torn ends mended, damage reported and passed over."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import jsonl
from colony_lib.base.errors import ColonyError


def record(n: Any, **more: Any) -> dict[str, Any]:
    return {"v": 1, "id": f"r{n}", "n": n, **more}


def append(path: Path, *records: dict[str, Any], durable: bool = False) -> None:
    jsonl.append(str(path), records, lock=str(path) + ".lock", durable=durable)


def numbers(path: Path) -> list[Any]:
    return [found["n"] for found in jsonl.read(str(path))]


def test_what_is_appended_is_read_in_order_and_each_id_once(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1), record(2), durable=True)
    append(path, record(2), record(3))
    assert numbers(path) == [1, 2, 3]


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert jsonl.read(str(tmp_path / "none.jsonl")) == []


def test_a_line_whose_second_half_is_written_while_it_is_read_is_a_torn_end_and_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1), record(2))
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    found = jsonl.lines(str(path))
    assert [next(found)[2], next(found)[2]] == [True, False]
    path.write_bytes(data)
    assert list(found) == []
    problems: list[Any] = []
    path.write_bytes(data[:-10])
    reading = jsonl.iterate(str(path), problems)
    assert next(reading)["n"] == 1
    path.write_bytes(data)
    assert [each["n"] for each in reading] in ([], [2]) and problems == []


def test_a_torn_end_is_passed_over_in_silence_and_mended_by_the_next_write_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1), record(2, text="zürich"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole) - 1):
        path.write_bytes(whole[:cut])
        problems: list[Any] = []
        assert [found["n"] for found in jsonl.read(str(path), problems)] == [1] and problems == []
        append(path, record(3))
        assert numbers(path) == [1, 3]
        assert path.read_bytes().count(b"\n") == 2


def test_a_last_line_that_is_whole_but_for_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1), record(2))
    path.write_bytes(path.read_bytes()[:-1])
    assert numbers(path) == [1, 2]
    append(path, record(3))
    assert numbers(path) == [1, 2, 3]


def test_damage_in_the_middle_is_reported_with_its_line_skipped_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1))
    with path.open("ab") as file:
        file.write(b'{"v":1,"id":\n\xff\xfe\n[1]\n{"no":"id"}\n\n{"v":1,"id":"x","n":NaN}\n' + b"[" * 3000 + b"\n")
    append(path, record(2))
    before = path.read_bytes()
    problems: list[Any] = []
    assert [found["n"] for found in jsonl.read(str(path), problems)] == [1, 2]
    assert [problem[1] for problem in problems] == [2, 3, 4, 5, 7, 8]
    append(path, record(3))
    assert path.read_bytes().startswith(before)


def test_line_separators_other_than_newline_do_not_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1, text="a\u2028b\u0085c\rd\x0be"))
    assert jsonl.read(str(path))[0]["text"] == "a\u2028b\u0085c\rd\x0be"
    assert path.read_bytes().count(b"\n") == 1 and b"\xe2\x80\xa8" not in path.read_bytes()


def test_the_tail_is_read_from_the_end_whatever_the_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    random.seed(4)
    records = [record(n, fill="x" * random.choice([0, 10, 300_000])) for n in range(40)]
    append(path, *records)
    lines = path.read_bytes().split(b"\n")[:-1]
    found = list(jsonl.tail_lines(str(path)))
    assert [line for _, line in found] == lines[::-1]
    data = path.read_bytes()
    assert all(data[offset : offset + len(line)] == line for offset, line in found)
    with path.open("ab") as file:
        file.write(b'{"torn')
    assert [line for _, line in jsonl.tail_lines(str(path))] == lines[::-1]


def test_a_failed_write_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j.jsonl"
    append(path, record(1))
    before = path.read_bytes()
    real = os.write
    calls: list[int] = []

    def short_then_full_disk(fd: int, data: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            return real(fd, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", short_then_full_disk)
    with pytest.raises(ColonyError, match="No space left"):
        append(path, record(2))
    monkeypatch.undo()
    assert path.read_bytes() == before
    append(path, record(3))
    assert numbers(path) == [1, 3]


def _append_many(path: str, writer: int, count: int) -> None:
    for n in range(count):
        jsonl.append(path, [{"v": 1, "id": f"{writer}-{n}", "fill": "x" * 9000}], lock=path + ".lock")


def test_twelve_writers_of_long_lines_never_mix_them(tmp_path: Path) -> None:
    path = str(tmp_path / "j.jsonl")
    processes = [multiprocessing.Process(target=_append_many, args=(path, w, 20)) for w in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    problems: list[Any] = []
    assert {found["id"] for found in jsonl.read(path, problems)} == {f"{w}-{n}" for w in range(12) for n in range(20)}
    assert problems == []


def _append_for_ever(path: str, acknowledged: str) -> None:
    n = 0
    with open(acknowledged, "ab", buffering=0) as told:
        while True:
            n += 1
            jsonl.append(path, [{"v": 1, "id": f"{os.getpid()}-{n}"}], lock=path + ".lock")
            told.write(f"{os.getpid()}-{n}\n".encode())


def test_writers_that_are_shot_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    path, told = str(tmp_path / "j.jsonl"), str(tmp_path / "told")
    for _ in range(12):
        process = multiprocessing.Process(target=_append_for_ever, args=(path, told))
        process.start()
        time.sleep(random.uniform(0.01, 0.06))
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    problems: list[Any] = []
    found = {each["id"] for each in jsonl.read(path, problems)}
    assert set(Path(told).read_text().split()) <= found
    assert problems == []


def test_a_journal_behind_a_symbolic_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    os.symlink(tmp_path / "outside", tmp_path / "j.jsonl")
    with pytest.raises(ColonyError):
        append(tmp_path / "j.jsonl", record(1))
    with pytest.raises(ColonyError):
        jsonl.read(str(tmp_path / "j.jsonl"))
    assert (tmp_path / "outside").read_text() == ""
